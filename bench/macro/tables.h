/** The workloads of bench_macro, by theme. Most are of the Savina suite (Imam and Sarkar, AGERE 2014). */
#pragma once

#include "harness.h"

extern const bench_workload_t bench_macro_fan[];
extern const bench_workload_t bench_macro_pipeline[];
extern const bench_workload_t bench_macro_chameneos[];
extern const bench_workload_t bench_macro_supervisor[];
extern const bench_workload_t bench_macro_queens[];
extern const bench_workload_t bench_macro_bank[];
extern const bench_workload_t bench_macro_dictionary[];
extern const bench_workload_t bench_macro_philosophers[];
extern const bench_workload_t bench_macro_sieve[];
extern const bench_workload_t bench_macro_radix[];
extern const bench_workload_t bench_macro_buffer[];
extern const bench_workload_t bench_macro_logistic[];
