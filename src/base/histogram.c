#include "base/histogram.h"

#include "base/assert.h"

static uint32_t bucket_of(uint64_t value)
{
    if (value < ZA_HISTOGRAM_STEPS) {
        return (uint32_t)value;
    }
    uint32_t exponent = 63U - (uint32_t)__builtin_clzll(value);
    if (exponent >= ZA_HISTOGRAM_BITS) {
        return ZA_HISTOGRAM_BUCKETS - 1;
    }
    uint32_t doubling = exponent - ZA_HISTOGRAM_STEPS_BITS;
    // The value's upper bits: 16 to 31, of which the first is the doubling's.
    return doubling * ZA_HISTOGRAM_STEPS + (uint32_t)(value >> doubling);
}

/** The largest value of a bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
    if (bucket < 2 * ZA_HISTOGRAM_STEPS) {
        return bucket;
    }
    uint32_t doubling = bucket / ZA_HISTOGRAM_STEPS - 1;
    uint64_t upper = bucket % ZA_HISTOGRAM_STEPS + ZA_HISTOGRAM_STEPS;
    return ((upper + 1) << doubling) - 1;
}

static uint64_t get(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed); // relaxed: a number, not an order
}

static void set(_Atomic uint64_t *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_relaxed); // relaxed: one writer
}

void za_histogram_record(za_histogram_t *histogram, uint64_t value)
{
    _Atomic uint64_t *count = &histogram->counts[bucket_of(value)];
    set(count, get(count) + 1);
    set(&histogram->sum, get(&histogram->sum) + value);
    if (value > get(&histogram->max)) {
        set(&histogram->max, value);
    }
}

void za_histogram_add(za_histogram_t *histogram, const za_histogram_t *other)
{
    for (uint32_t i = 0; i < ZA_HISTOGRAM_BUCKETS; i++) {
        set(&histogram->counts[i], get(&histogram->counts[i]) + get(&other->counts[i]));
    }
    set(&histogram->sum, get(&histogram->sum) + get(&other->sum));
    uint64_t max = get(&other->max);
    if (max > get(&histogram->max)) {
        set(&histogram->max, max);
    }
}

uint64_t za_histogram_count(const za_histogram_t *histogram)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < ZA_HISTOGRAM_BUCKETS; i++) {
        count += get(&histogram->counts[i]);
    }
    return count;
}

uint64_t za_histogram_sum(const za_histogram_t *histogram)
{
    return get(&histogram->sum);
}

uint64_t za_histogram_max(const za_histogram_t *histogram)
{
    return get(&histogram->max);
}

uint64_t za_histogram_below(const za_histogram_t *histogram, uint64_t bound)
{
    ZA_ASSERT(bound > 0 && (bound & (bound - 1)) == 0 && bound >> ZA_HISTOGRAM_BITS == 0);
    uint64_t count = 0;
    uint32_t end = bucket_of(bound); // a power of two begins a bucket
    for (uint32_t i = 0; i < end; i++) {
        count += get(&histogram->counts[i]);
    }
    return count;
}

uint64_t za_histogram_quantile(const za_histogram_t *histogram, uint32_t permille)
{
    uint64_t count = za_histogram_count(histogram);
    uint64_t max = get(&histogram->max);
    // The rank, rounded up, without overflow.
    uint64_t rank = count / 1000 * permille + (count % 1000 * permille + 999) / 1000;
    rank = rank > 0 ? rank : 1;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < ZA_HISTOGRAM_BUCKETS - 1; i++) {
        seen += get(&histogram->counts[i]);
        if (seen >= rank) {
            uint64_t end = bucket_end(i);
            return end < max ? end : max;
        }
    }
    return max;
}
