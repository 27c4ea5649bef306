/**
 * Harness: what every program of benchmarks on one node shares. A workload says how to measure once;
 * the harness makes a runtime for each run, warms up, repeats, and reports (report.h).
 *
 *     PROGRAM [--quick | --smoke] [--workers N] [--runs N] [ID ...]
 *     PROGRAM --list | --bounce
 *
 * --quick measures a tenth, three times; --smoke a hundredth, once, only to see that it works.
 *
 * A runtime of its own for each run: no run profits from memory that another one touched. The warm-up
 * is a run of a tenth of the size that is not counted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zactor/actor.h>

#include "core/runtime.h"
#include "latency.h"

/** What idle workers do. */
typedef enum bench_idle {
    BENCH_RESTS = 0,
    BENCH_SPINS = 1, // never rest: busy_wait
} bench_idle_t;

/** What one workload measures; `how` of the table row says which variant. */
typedef struct bench_workload {
    const char *id;
    const char *impl; // NULL: "zactor"; "limit": the same without us, measured beside it
    const char *unit;
    /** One run; the value in `unit`. Exits with a message if the outcome is wrong. */
    double (*measure)(const struct bench_workload *workload, uint64_t amount);
    uint64_t amount;   // messages, actors, rounds: what `measure` counts; a tenth with --quick
    uint32_t how_many; // producers, tokens ...
    uint32_t workers;  // the only number of workers that makes sense; 0: one, and two
    bool cold;         // no warm-up
    bool fixed;        // --quick does not make it smaller
    bench_idle_t idle;
} bench_workload_t;

/** The messages that most workloads use. */
typedef struct b_Msg {
    uint64_t n;
    za_ref_t ref;
} b_Msg;

typedef struct b_Go {
    uint64_t n;
    za_ref_t ref;
} b_Go;

extern const za_type_t b_Msg_type;
extern const za_type_t b_Go_type;

/** A type that never leaves the node: name and number in this program. */
#define BENCH_TYPE(T, number)                                                                      \
    static const za_type_t T##_type = { .name = #T, .id = number, .size = sizeof(T) }

/** Ends the program with a message. */
_Noreturn void bench_fail(const char *format, ...) ZA_PRINTF(1, 2);
void bench_must(za_err_t err, const char *what);
/** A workload's outcome that must be true. */
void bench_check(bool right, const char *what);

/* ---- a run of one's own: for programs that are no table of workloads --------------------------- */

void bench_open(uint32_t workers, bench_idle_t idle);
void bench_close(void);

/* ---- for `measure`: outside the workers ------------------------------------------------------- */

za_runtime_t *bench_runtime(void);
/** The worker of the measuring thread; more threads take their own by za_runtime_guest. */
za_worker_t *bench_guest(void);
uint32_t bench_workers(void);
za_ref_t bench_spawn(const za_class_t *class_, uint32_t mailbox);
za_ref_t bench_spawn_with(const za_class_t *class_, const za_spawn_opts_t *opts);
/** On one worker for good: the first is 1. */
za_ref_t bench_spawn_at(const za_class_t *class_, uint32_t worker);
void bench_tell(za_ref_t to, const za_type_t *type, const void *body);
/** Begins to measure: time, CPU time, allocations. */
void bench_begin(void);
/** Waits for bench_end; the nanoseconds between. */
double bench_wait(void);
/** The latencies of this run; the line gets its tails. In ns. */
bench_latency_t *bench_latencies(void);
/** One more figure of this run, in `params`. */
void bench_param(const char *name, double value);

/* ---- for actors ------------------------------------------------------------------------------- */

/** By the actor that sees the last message. Any thread. */
void bench_end(void);
uint64_t bench_now_ns(void);
/** A random number below `bound` from the run's own seed; `state` is the caller's, not 0. */
uint32_t bench_random(uint64_t *state, uint32_t bound);

/* ---- the program ------------------------------------------------------------------------------ */

/** `tables` end with NULL, each of them with a row without id. Returns the exit status. */
int bench_main(int argc, char **argv, const bench_workload_t *const *tables);
