/**
 * Rescue: what waits behind a handler that takes long goes to another worker.
 *
 * The run-next slot and the private lists of a worker are its own, so that it pays nothing for them.
 * But when it has not come back from a run for ZA_RESCUE_AFTER_NS, another worker takes what waits
 * there, and delivers the timers that are due there. The owner raises a flag around each touch of its
 * lists, with a fence that costs nothing (fence.h); the rescuer takes them only while the flag is
 * down, and the owner waits for it, should it come back just then. Idle workers watch for as long as
 * others are busy, and a little longer; one that begins to work when nobody watches wakes one.
 *
 * What the long handler itself sent in a batch, and actors placed on its worker, wait for it.
 *
 * Threads  za_guard_* by the owner; the rest by the worker that watches.
 * Errors   Without membarrier(2) nobody is rescued from private lists; what is in the rings is.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/fence.h"

typedef struct za_worker za_worker_t;
typedef struct za_runtime za_runtime_t;

enum {
    ZA_RESCUE_AFTER_NS = 100 * 1000,
    ZA_RESCUE_LOOK_NS = 200 * 1000, // between looks: a rescue after 0.4 ms at the latest
    ZA_RESCUE_LINGER = 32,          // looks after the last that found somebody busy
    ZA_RESCUERS_MAX = 2,            // that watch at the same time
};

/** Around the private lists of one worker. */
typedef struct za_guard {
    _Atomic uint32_t touching; // the owner is about to use them
    _Atomic uint32_t rescuer;  // index + 1 of who takes them away; 0: nobody
} za_guard_t;

/** What a worker that watches knows of another. */
typedef struct za_seen {
    uint32_t runs;
    uint64_t since_ns; // it has not begun another run since
} za_seen_t;

/** Waits until the rescuer is done, and enters. */
void za_guard_wait(za_guard_t *guard);

/** Enters, if no rescuer is there; to be left again in any case. */
static inline bool za_guard_try_enter(za_guard_t *guard)
{
    // relaxed: za_fence_light, and za_fence_heavy on the other side
    atomic_store_explicit(&guard->touching, 1, memory_order_relaxed);
    za_fence_light();
    return __builtin_expect(atomic_load_explicit(&guard->rescuer, memory_order_acquire) == 0,
                            1); // pairs: rescue
}

static inline void za_guard_enter(za_guard_t *guard)
{
    if (__builtin_expect(!za_guard_try_enter(guard), 0)) {
        za_guard_wait(guard);
    }
}

static inline void za_guard_leave(za_guard_t *guard)
{
    atomic_store_explicit(&guard->touching, 0, memory_order_release); // pairs: guard
}

/** Once in a while: looks whether others are stuck, and takes over what waits for them. */
void za_rescue(za_worker_t *worker);

/** The worker has nothing to do: when it should look again, or UINT64_MAX. */
uint64_t za_rescue_rest(za_worker_t *worker);
/** The worker looks around. */
void za_rescue_unrest(za_worker_t *worker);
/** It has found something to do: now somebody must watch. */
void za_rescue_post(za_worker_t *worker);
