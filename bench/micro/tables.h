/** The workloads of bench_micro, by theme. */
#pragma once

#include "harness.h"

extern const bench_workload_t bench_micro_message[];
extern const bench_workload_t bench_micro_contention[];
extern const bench_workload_t bench_micro_life[];
extern const bench_workload_t bench_micro_memory[];
extern const bench_workload_t bench_micro_timers[];
extern const bench_workload_t bench_micro_ask[];
extern const bench_workload_t bench_micro_routing[];
extern const bench_workload_t bench_micro_names[];
