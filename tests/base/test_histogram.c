// The histogram against the values themselves.
#include <stdlib.h>

#include "base/histogram.h"
#include "base/rng.h"
#include "support/za_test.h"

enum { VALUES = 20000 };

static za_histogram_t histogram;
static uint64_t values[VALUES];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/** Values of all sizes below 2^bits. */
static uint64_t any_value(za_rng_t *rng, uint32_t bits)
{
    uint32_t size = (uint32_t)za_rng_below(rng, bits + 1);
    uint64_t value = za_rng_next(rng);
    return size == 0 ? 0 : value >> (64 - size);
}

static void fill(uint64_t seed, uint32_t bits)
{
    za_rng_t rng;
    za_rng_init(&rng, seed);
    memset(&histogram, 0, sizeof histogram);
    for (int i = 0; i < VALUES; i++) {
        values[i] = any_value(&rng, bits);
        za_histogram_record(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof *values, compare);
}

Test(histogram, a_quantile_is_at_most_a_sixteenth_too_large)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        fill(seed, ZA_HISTOGRAM_BITS);
        for (uint32_t permille = 1; permille <= 1000; permille++) {
            uint64_t exact = values[(VALUES * permille + 999) / 1000 - 1];
            uint64_t told = za_histogram_quantile(&histogram, permille);
            cr_assert(told >= exact && told - exact <= exact / ZA_HISTOGRAM_STEPS,
                      "seed %u, %u permille: %llu, exact %llu", (unsigned)seed, permille,
                      (unsigned long long)told, (unsigned long long)exact);
        }
    }
}

Test(histogram, counts_below_powers_of_two_are_exact)
{
    fill(3, ZA_HISTOGRAM_BITS);
    for (uint32_t bit = 0; bit < ZA_HISTOGRAM_BITS; bit++) {
        uint64_t bound = UINT64_C(1) << bit;
        uint64_t exact = 0;
        while (exact < VALUES && values[exact] < bound) {
            exact++;
        }
        cr_assert(za_histogram_below(&histogram, bound) == exact, "2^%u", bit);
    }
}

Test(histogram, sums_counts_and_the_maximum_are_exact)
{
    fill(4, 50);
    uint64_t sum = 0;
    for (int i = 0; i < VALUES; i++) {
        sum += values[i];
    }
    cr_assert(za_histogram_sum(&histogram) == sum, "sum");
    cr_assert(za_histogram_count(&histogram) == VALUES, "count");
    cr_assert(za_histogram_max(&histogram) == values[VALUES - 1], "max");
    cr_assert(za_histogram_quantile(&histogram, 1000) == values[VALUES - 1], "all are below it");
}

Test(histogram, what_is_beyond_the_last_bucket_is_not_lost)
{
    memset(&histogram, 0, sizeof histogram);
    za_histogram_record(&histogram, UINT64_MAX);
    za_histogram_record(&histogram, UINT64_C(1) << ZA_HISTOGRAM_BITS);
    za_histogram_record(&histogram, 5);
    cr_assert(za_histogram_count(&histogram) == 3, "count");
    cr_assert(za_histogram_quantile(&histogram, 300) == 5, "the smallest");
    cr_assert(za_histogram_quantile(&histogram, 1000) == UINT64_MAX, "the largest");
    cr_assert(za_histogram_below(&histogram, UINT64_C(1) << 35) == 1, "one is small");
}

Test(histogram, merged_ones_are_as_one)
{
    static za_histogram_t parts[3];
    static za_histogram_t merged;
    fill(5, 40);
    memset(parts, 0, sizeof parts);
    memset(&merged, 0, sizeof merged);
    for (int i = 0; i < VALUES; i++) {
        za_histogram_record(&parts[i % 3], values[i]);
    }
    for (int i = 0; i < 3; i++) {
        za_histogram_add(&merged, &parts[i]);
    }
    cr_assert(memcmp(&merged, &histogram, sizeof merged) == 0, "the same numbers");
}

Test(histogram, an_empty_one_has_zeros)
{
    memset(&histogram, 0, sizeof histogram);
    cr_assert(za_histogram_quantile(&histogram, 500) == 0, "median");
    cr_assert(za_histogram_count(&histogram) == 0, "count");
    cr_assert(za_histogram_below(&histogram, 1024) == 0, "below");
}
