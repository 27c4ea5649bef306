/**
 * Dedicated workers: each runs one actor, on a thread of its own, so that the actor may block.
 *
 * Such an actor is placed (placed.h) on a worker that takes no part in stealing. It handles one
 * message a turn, with the time read anew and everything it sent on its way before the next: while
 * it blocks, nobody waits for anything of it but its own messages.
 *
 * A host that has no threads (the simulator) has no dedicated workers either: there the actor is one
 * among the others, because nothing takes time in virtual time.
 *
 * Memory   ZA_DEDICATED_MAX workers are reserved; one is set up when it is first taken.
 * Threads  Taken by whoever spawns, given back by the thread itself when its actor has ended.
 */
#pragma once

#include "core/runtime.h"

/** Which of them are in use. Complete only because za_runtime_t embeds it. */
typedef struct za_dedicated {
    _Atomic uint32_t taken; // bit i: runs an actor, or is about to
    _Atomic uint32_t ready; // bit i: was set up once
} za_dedicated_t;

/**
 * A thread with a stack of `stack_bytes` for an actor that is being spawned. `*home` is what
 * za_extra_t.home wants, or 0 if the host has no threads. ZA_ENOBUFS: as many as there may be.
 */
za_err_t za_dedicated_take(za_worker_t *worker, size_t stack_bytes, uint32_t *home);
/** The actor of `home` ended, or could not be spawned after all. */
void za_dedicated_end(za_worker_t *worker, uint32_t home);
/** True for the home of a dedicated actor. */
bool za_dedicated_is(const za_runtime_t *runtime, uint32_t home);
