/**
 * Report: the figures of some runs of one workload as one line of JSON.
 *
 * A run has a value, and a latency besides its p99, p99.9 and maximum. The line has the median of
 * the values, their minimum and maximum, and the medians of the others.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "latency.h"

enum {
    BENCH_RUNS_MAX = 15,
    BENCH_PARAMS_MAX = 16,
};

typedef struct bench_run_figures {
    double value;
    double p99; // 0: no latency
    double p999;
    double max;
} bench_run_figures_t;

typedef struct bench_report {
    const char *id;
    const char *impl; // "zactor", "limit" or what it is compared with
    const char *unit;
    const char *variant; // NULL, or which of several of one id: "x16"
    const char *what;    // NULL, or what the id does not say
    const char *goal;    // NULL, or what is aimed at, with `holds`
    bool holds;
    uint32_t workers;
    uint32_t runs;
    bench_run_figures_t figures[BENCH_RUNS_MAX];
    uint32_t params;
    struct {
        const char *name; // a constant
        double values[BENCH_RUNS_MAX];
    } param[BENCH_PARAMS_MAX];
} bench_report_t;

/** Begins the next run with its value. */
void bench_report_run(bench_report_t *report, double value);
/** The tails of the present run; times are divided by `unit_ns`. */
void bench_report_latency(bench_report_t *report, const bench_latency_t *latency, double unit_ns);
/** One more figure of the present run; the line has its median. */
void bench_report_param(bench_report_t *report, const char *name, double value);
/** Prints the line. */
void bench_report_print(bench_report_t *report);
