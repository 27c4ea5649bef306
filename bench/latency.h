/**
 * Latencies of one run: a histogram with 64 steps to each doubling, so a percentile is off by 1.6 %
 * at most, and a run of any length takes the same memory (Tene's HdrHistogram).
 *
 * Threads  One writer; read when it is done.
 */
#pragma once

#include <stdint.h>

enum {
    BENCH_LATENCY_STEPS = 64,
    BENCH_LATENCY_DOUBLINGS = 36, // up to an hour
};

typedef struct bench_latency {
    uint64_t counts[BENCH_LATENCY_DOUBLINGS][BENCH_LATENCY_STEPS];
    uint64_t count;
    uint64_t max_ns;
} bench_latency_t;

void bench_latency_add(bench_latency_t *latency, uint64_t ns);
/** Adds all of `from`. */
void bench_latency_merge(bench_latency_t *latency, const bench_latency_t *from);
/** The time that `share` (0..1) of all do not exceed; 0 if there is none. */
double bench_latency_at(const bench_latency_t *latency, double share);
