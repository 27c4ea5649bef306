/**
 * Placed actors: each runs on the one worker it was spawned for, its home, and is never stolen.
 *
 * Whoever makes one runnable hands it to its home: the home itself puts it into a private list,
 * anybody else into the home's inbox, and wakes the home if it rests. Thieves see neither.
 *
 * Order    An actor is in one list at most, like any other; see mailbox.h.
 * Memory   The home is in za_extra_t, so a placed actor has one. ZA_BOUND_PLACED in the cell says
 *          so; both end with the actor, and what comes later is drained by anybody.
 * Threads  za_place by the owner of the cell, on any thread of a worker; the rest by the home.
 */
#pragma once

#include "core/runs.h"

/** What others hand to a worker. Complete only because za_worker_t embeds it. */
typedef struct za_inbox {
    _Alignas(64) _Atomic(za_cell_t *) newest; // stack, linked by za_cell_t.link
    _Atomic uint32_t resting;                 // 1: the home does not look again before it is woken
} za_inbox_t;

static inline bool za_cell_is_placed(const za_cell_t *cell)
{
    // relaxed: the owner asks; constant while the actor lives
    return (atomic_load_explicit(&cell->bound, memory_order_relaxed) & ZA_BOUND_PLACED) != 0;
}

/** Makes a placed actor that was claimed runnable, at its home. */
void za_place(za_worker_t *worker, za_cell_t *cell);
/** Moves all that others handed in to the private list, oldest first. True if something came. */
bool za_inbox_take(za_worker_t *worker);

/** True if there is something to take, or about to be. */
static inline bool za_inbox_some(const za_inbox_t *inbox)
{
    // relaxed: a look; za_inbox_take acquires what is there
    return atomic_load_explicit(&inbox->newest, memory_order_relaxed) != NULL;
}

/** The home is about to rest. False: something came, and it does not. */
bool za_inbox_rest(za_inbox_t *inbox);
/** The home looks again. */
void za_inbox_unrest(za_inbox_t *inbox);
