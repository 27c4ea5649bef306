// Fixed-point logarithms against values computed elsewhere.
#include "base/fixed.h"
#include "support/za_test.h"

static void near(uint32_t got, uint32_t wanted)
{
    uint32_t off = got > wanted ? got - wanted : wanted - got;
    cr_assert(off <= 20, "%u, wanted %u", got, wanted);
}

Test(fixed, powers_of_two_are_exact)
{
    for (uint32_t i = 0; i < 32; i++) {
        cr_assert(za_log2_q16(UINT32_C(1) << i) == i << 16, "2^%u", i);
    }
    cr_assert(za_log2_q16(0) == 0, "log2(0) is defined as 0");
}

Test(fixed, logarithms_are_near_the_true_ones)
{
    near(za_log2_q16(3), 103872);
    near(za_log2_q16(1000), 653117);
    near(za_log2_q16(4294967295u), 2097152);
    near(za_ln_q16(10), 150902);
    near(za_log10_q16(1000), 196608);
    near(za_log10_q16(32), 98642);
}

Test(fixed, logarithms_never_fall)
{
    uint32_t before = 0;
    for (uint32_t n = 1; n < 100000; n++) {
        uint32_t log = za_log2_q16(n);
        cr_assert(log >= before, "at %u", n);
        before = log;
    }
}

Test(fixed, ceil_of_ln)
{
    cr_assert(za_ln_ceil(1) == 0, "1");
    cr_assert(za_ln_ceil(3) == 2, "3");
    cr_assert(za_ln_ceil(20) == 3, "20");
    cr_assert(za_ln_ceil(1000) == 7, "1000");
}
