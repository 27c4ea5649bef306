/**
 * Fiber pool: the stacks of actors whose handlers may wait.
 *
 * Up to a configured count each stack has a guard below it, whose touch is a fault: it costs two
 * mappings of the few that a process may have. The ones beyond are cut from larger mappings, and
 * have a canary at the low end that is looked at whenever the stack is left. Stacks of that kind are
 * shifted by the size of a canary, so that the canary lies in the page that the stack below uses
 * first: a fiber that waits costs one page. The fiber itself lies at the high end of its stack.
 *
 * Memory   Taken from the system when first needed, kept until the runtime is destroyed, and at most
 *          for za_runtime_config_t.fibers_max. Pages are taken as they are used.
 * Threads  Any; a lock is held for a few instructions, and for one system call for a new stack.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <zactor/err.h>

typedef struct za_fiber za_fiber_t;
typedef struct za_runtime_config za_runtime_config_t;

enum {
    ZA_FIBER_SIZES = 7,                     // powers of two, from ZA_FIBER_BYTES_MIN on
    ZA_FIBER_GUARD_BYTES = 16 * 1024,       // address space: as far as one careless array reaches
    ZA_FIBER_CANARY_BYTES = 64,             // one line
    ZA_FIBER_CHUNK_BYTES = 8 * 1024 * 1024, // mapped at once
};

/** One mapping; its record is in its first page. */
typedef struct za_fiber_chunk za_fiber_chunk_t;

/** Stacks of one size and kind. */
typedef struct za_fiber_shelf {
    za_fiber_t *free;
    za_fiber_chunk_t *chunks; // the newest first: the only one with stacks that nobody had yet
} za_fiber_shelf_t;

/** Complete only because za_runtime_t embeds it. */
typedef struct za_fiber_pool {
    pthread_mutex_t lock;
    uint32_t alive, alive_max;
    uint32_t guarded, guarded_max; // made so far
    bool told;                     // the log has it that there are some without guards
    za_fiber_shelf_t shelves[ZA_FIBER_SIZES][2]; // [1]: with guards
} za_fiber_pool_t;

void za_fiber_pool_init(za_fiber_pool_t *pool, const za_runtime_config_t *config);
/** Nobody is on one of its stacks any more. What those that wait had on theirs is forgotten. */
void za_fiber_pool_deinit(za_fiber_pool_t *pool);
/**
 * A stack of at least `bytes`, or the default for 0. `*first_without_guard`: the log should say so.
 * ZA_ENOBUFS: as many as there may be. ZA_ENOMEM.
 */
za_err_t za_fiber_pool_take(za_fiber_pool_t *pool, size_t bytes, za_fiber_t **out,
                            bool *first_without_guard);
/** It rests where it began, or was never used. */
void za_fiber_pool_give(za_fiber_pool_t *pool, za_fiber_t *fiber);
/** False: its stack overflowed, and what lies below is broken. Of guarded ones always true. */
bool za_fiber_is_whole(const za_fiber_t *fiber);
