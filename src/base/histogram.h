/**
 * Histogram: how often values of which size came, in buckets that are linear within a doubling and
 * logarithmic beyond, as in Tene's HdrHistogram: the error of what is read is bounded in percent.
 *
 * Bounds   A value below 16 has a bucket of its own; else a bucket is at most 1/16 of its least
 *          value wide. What is beyond the last bucket counts in it; `max` is exact in any case.
 * Memory   Constant, 4.2 KiB. Histograms add up: those of workers, nodes, periods.
 * Threads  One writer; any thread may read meanwhile and gets each number whole, but perhaps not
 *          all of the same moment. Exact when the writer rests.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum {
    ZA_HISTOGRAM_STEPS_BITS = 4, // buckets in a doubling: 16
    ZA_HISTOGRAM_STEPS = 1 << ZA_HISTOGRAM_STEPS_BITS,
    ZA_HISTOGRAM_BITS = 36, // 2^36 ns are 69 s
    ZA_HISTOGRAM_BUCKETS = (ZA_HISTOGRAM_BITS - ZA_HISTOGRAM_STEPS_BITS + 1) * ZA_HISTOGRAM_STEPS,
};

/** Zero is empty. Complete because its owner embeds it; the fields are the histogram's alone. */
typedef struct za_histogram {
    _Atomic uint64_t sum; // of all values, modulo 2^64
    _Atomic uint64_t max;
    _Atomic uint64_t counts[ZA_HISTOGRAM_BUCKETS];
} za_histogram_t;

/** Counts `value`. The writer's. */
void za_histogram_record(za_histogram_t *histogram, uint64_t value);
/** Adds what is in `other`, which others may write meanwhile. The writer's. */
void za_histogram_add(za_histogram_t *histogram, const za_histogram_t *other);

uint64_t za_histogram_count(const za_histogram_t *histogram);
/** Modulo 2^64. */
uint64_t za_histogram_sum(const za_histogram_t *histogram);
uint64_t za_histogram_max(const za_histogram_t *histogram);
/** How many values were below `bound`, a power of two up to 2^35. Exact. */
uint64_t za_histogram_below(const za_histogram_t *histogram, uint64_t bound);
/**
 * The value that `permille` of all are not above, rounded up to the end of its bucket and never
 * above the maximum; 0 of an empty one.
 */
uint64_t za_histogram_quantile(const za_histogram_t *histogram, uint32_t permille);
