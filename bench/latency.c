#include "latency.h"

void bench_latency_add(bench_latency_t *latency, uint64_t ns)
{
    unsigned row = 0;
    uint64_t step = ns;
    if (ns >= BENCH_LATENCY_STEPS) {
        row = 58u - (unsigned)__builtin_clzll(ns); // 1 for 64..127
        row = row < BENCH_LATENCY_DOUBLINGS ? row : BENCH_LATENCY_DOUBLINGS - 1;
        step = (ns >> (row - 1)) - BENCH_LATENCY_STEPS;
        step = step < BENCH_LATENCY_STEPS ? step : BENCH_LATENCY_STEPS - 1;
    }
    latency->counts[row][step]++;
    latency->count++;
    latency->max_ns = ns > latency->max_ns ? ns : latency->max_ns;
}

void bench_latency_merge(bench_latency_t *latency, const bench_latency_t *from)
{
    for (unsigned row = 0; row < BENCH_LATENCY_DOUBLINGS; row++) {
        for (unsigned step = 0; step < BENCH_LATENCY_STEPS; step++) {
            latency->counts[row][step] += from->counts[row][step];
        }
    }
    latency->count += from->count;
    latency->max_ns = from->max_ns > latency->max_ns ? from->max_ns : latency->max_ns;
}

/** The middle of a step. */
static double middle(unsigned row, unsigned step)
{
    if (row == 0) {
        return step;
    }
    uint64_t width = UINT64_C(1) << (row - 1);
    return (double)((step + UINT64_C(64)) * width) + (double)(width - 1) / 2;
}

double bench_latency_at(const bench_latency_t *latency, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)latency->count);
    uint64_t seen = 0;
    for (unsigned row = 0; row < BENCH_LATENCY_DOUBLINGS; row++) {
        for (unsigned step = 0; step < BENCH_LATENCY_STEPS; step++) {
            seen += latency->counts[row][step];
            if (seen > wanted) {
                double at = middle(row, step);
                return at < (double)latency->max_ns ? at : (double)latency->max_ns;
            }
        }
    }
    return (double)latency->max_ns;
}
