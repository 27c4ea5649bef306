/**
 * Interleaving checker: runs real source files under every schedule within a bound.
 *
 * The sources are compiled with the instrumentation of ThreadSanitizer and linked against this
 * checker instead of its runtime, so that each atomic operation and each access to plain memory of
 * an unchanged file ends up here. Threads are fibers. Before an operation on a location that
 * threads share, the checker may let another thread go first; a load may be answered with an older
 * store that its thread is still allowed to see. All such choices are walked through, with few
 * preemptions first (Musuvathi and Qadeer, "Iterative context bounding", PLDI 2007); the memory
 * model is that of docs/decisions/0015-interleaving-checker.md, which says what is not looked at.
 *
 * Memory   A scenario's state comes from zc_alloc, in setup. It is put back before each schedule.
 * Threads  A scenario's thread functions run as its threads; everything else in the checker's.
 * Errors   A broken promise, a race on plain memory, an access to freed memory, a failed assertion
 *          and a deadlock (a lost wake is one) end the run with the schedule that shows it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ZC_THREADS_MAX = 4 };

typedef struct zc_thread {
    const char *name;
    void (*run)(void);
} zc_thread_t;

typedef struct zc_scenario {
    const char *name;
    const char *promise;
    void (*setup)(void); // once
    zc_thread_t threads[ZC_THREADS_MAX];
    void (*finish)(void); // after each schedule, when all threads have ended
    unsigned preemptions; // bounds of a usual run; the program's options replace them
    unsigned stale;
} zc_scenario_t;

/** Zeroed memory that is put back before each schedule. In setup, or while threads run. */
void *zc_alloc(size_t bytes);

/** Waits until another thread has written something since the last call: for loops that look. */
void zc_await(void);

/** Ends the run: the promise is broken. */
_Noreturn void zc_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define ZC_MUST(condition, ...) ((condition) ? (void)0 : zc_fail(__VA_ARGS__))

/** Index of the running thread in its scenario. */
unsigned zc_self(void);

/** All scenarios; ends with NULL. */
extern const zc_scenario_t *const zc_scenarios[];
