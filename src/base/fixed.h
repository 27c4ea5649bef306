/**
 * Logarithms in fixed point (Q16: 65536 is 1): one seed must give one run with every compiler, so a
 * step computes nothing in floating point.
 *
 * Error  Below 0.0002 for log2, from the linear interpolation between 64 steps per octave.
 */
#pragma once

#include <stdint.h>

enum { ZA_FIXED_ONE = 65536 };

/** log2(n) in Q16; 0 for n < 2. */
static inline uint32_t za_log2_q16(uint32_t n)
{
    // round(65536 * log2(1 + i / 64))
    static const uint32_t steps[65] = {
        0,     1466,  2909,  4331,  5732,  7112,  8473,  9814,  11136, 12440, 13727, 14996, 16248,
        17484, 18704, 19909, 21098, 22272, 23433, 24579, 25711, 26830, 27936, 29029, 30109, 31178,
        32234, 33279, 34312, 35334, 36346, 37346, 38336, 39316, 40286, 41246, 42196, 43137, 44068,
        44990, 45904, 46809, 47705, 48593, 49472, 50344, 51207, 52063, 52911, 53751, 54584, 55410,
        56229, 57040, 57845, 58643, 59434, 60219, 60997, 61769, 62534, 63294, 64047, 64794, 65536,
    };
    if (n < 2) {
        return 0;
    }
    uint32_t exponent = 31u - (uint32_t)__builtin_clz(n);
    // The fraction n / 2^exponent - 1 in Q22: 6 bits choose the step, 16 lie between two steps.
    uint32_t fraction = (uint32_t)((((uint64_t)n << 22) >> exponent) - (UINT64_C(1) << 22));
    uint32_t index = fraction >> 16;
    uint32_t between = ((steps[index + 1] - steps[index]) * (fraction & 0xffff)) >> 16;
    return (exponent << 16) + steps[index] + between;
}

/** ln(n) in Q16. */
static inline uint32_t za_ln_q16(uint32_t n)
{
    return (uint32_t)(((uint64_t)za_log2_q16(n) * 45426) >> 16); // ln 2
}

/** log10(n) in Q16. */
static inline uint32_t za_log10_q16(uint32_t n)
{
    return (uint32_t)(((uint64_t)za_log2_q16(n) * 19728) >> 16); // log10 2
}

/** ln(n), rounded up. */
static inline uint32_t za_ln_ceil(uint32_t n)
{
    return (za_ln_q16(n) + ZA_FIXED_ONE - 1) >> 16;
}
