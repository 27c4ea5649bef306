/**
 * Host 1's threads for dedicated actors: one for each, from its spawn to its end.
 *
 * Threads  Any, but za_dedicated_threads_run and _stop from the one that starts and stops the host.
 */
#pragma once

#include <pthread.h>

#include "base/limits.h"
#include "core/park.h"
#include "core/runtime.h"

typedef struct za_dedicated_seat {
    _Alignas(64) za_park_t park;
    struct za_dedicated_threads *threads;
    za_worker_t *worker;
    size_t stack_bytes;
    pthread_t thread;
    bool wanted; // its thread starts with the others
    bool joins;  // its thread was started, and nobody has waited for its end yet
} za_dedicated_seat_t;

/** Complete only because za_threads_t embeds it. */
typedef struct za_dedicated_threads {
    pthread_mutex_t lock; // of all but the parks and `stopping`; spawning a thread is no hot path
    bool running;
    _Atomic uint32_t stopping;
    za_dedicated_seat_t seats[ZA_DEDICATED_MAX];
} za_dedicated_threads_t;

void za_dedicated_threads_init(za_dedicated_threads_t *threads);
void za_dedicated_threads_deinit(za_dedicated_threads_t *threads);
/** za_host_t.dedicate; before za_dedicated_threads_run it only notes what is wanted. */
za_err_t za_dedicated_threads_start(za_dedicated_threads_t *threads, za_worker_t *worker,
                                    size_t stack_bytes);
/** za_host_t.wake of a dedicated worker. */
void za_dedicated_threads_wake(za_dedicated_threads_t *threads, const za_worker_t *worker);
/** The host starts. ZA_ENOMEM: not all threads that are wanted; stop it. */
za_err_t za_dedicated_threads_run(za_dedicated_threads_t *threads);
/** Returns when no thread runs any more, and none will. */
void za_dedicated_threads_stop(za_dedicated_threads_t *threads);

/** ns until the next timer of `worker`; 0: it is due; UINT64_MAX: there is none. */
uint64_t za_threads_time_left(const za_worker_t *worker);
