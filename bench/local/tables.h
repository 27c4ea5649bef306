/** The workloads of bench_local, by theme. */
#pragma once

#include "harness.h"

extern const bench_workload_t bench_local_pingpong[];
extern const bench_workload_t bench_local_fanin[];
extern const bench_workload_t bench_local_ring[];
extern const bench_workload_t bench_local_big[];
extern const bench_workload_t bench_local_spawn[];
