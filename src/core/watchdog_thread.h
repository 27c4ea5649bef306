/**
 * Host 1's thread for the watchdog. It looks four times within the limit while a worker works, and
 * rests without a limit while all of them rest; whoever goes back to work wakes it.
 *
 * Threads  za_watchdog_thread_notice by workers; the rest by whoever starts and stops the host.
 */
#pragma once

#include "core/park.h"
#include "core/stack.h"
#include "core/watchdog.h"

typedef struct za_watchdog_thread {
    za_watchdog_t watchdog;
    za_stack_t stack;
    za_runtime_t *runtime;
    za_worker_t *guest; // for its counter
    int stack_signal;   // 0: none
    /** The thread of a worker; and whether all workers rest, seq_cst. */
    pthread_t (*thread_of)(void *context, uint32_t worker);
    bool (*all_rest)(void *context);
    void *context;
    pthread_t thread;
    bool started;
    za_park_t park;
    _Atomic uint32_t stopping;
    _Alignas(64) _Atomic uint32_t resting; // 1: it looks no more before it is woken
} za_watchdog_thread_t;

/**
 * Fields from `watchdog.limit_ns` to `context` are filled in by the caller. ZA_ENOBUFS: no guest is
 * left. ZA_ENOMEM: no thread.
 */
za_err_t za_watchdog_thread_start(za_watchdog_thread_t *thread);
void za_watchdog_thread_stop(za_watchdog_thread_t *thread);
void za_watchdog_thread_wake(za_watchdog_thread_t *thread);

/** A worker rests no more. */
static inline void za_watchdog_thread_notice(za_watchdog_thread_t *thread)
{
    // seq_cst: after the worker said so; the watchdog says that it rests, then looks at the workers
    if (atomic_load_explicit(&thread->resting, memory_order_seq_cst) != 0) {
        za_watchdog_thread_wake(thread);
    }
}
