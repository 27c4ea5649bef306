/**
 * Watchers: the watches on one actor, found by who watches and under which id.
 *
 * A few are one chain in the cell. From WATCHERS_CHAIN_MAX on they are spread over a table of chains
 * that doubles, so that thousands of watchers may come and go. Without memory for a larger table the
 * chains grow instead: a watch that has come is never refused.
 *
 * Memory   A watch is the block that will be its za_Down; the table is a pool block.
 * Threads  The owner of the cell.
 */
#pragma once

#include "core/message.h"
#include "core/runtime.h"

typedef struct za_cell za_cell_t;

/** The table; zero without one. */
typedef struct za_watchers {
    za_block_t *block; // heads of chains
    uint32_t mask;     // their number - 1
    uint32_t count;    // watches in them
} za_watchers_t;

/** A watch came to its target, which lives: `watch` is taken. Not for a queued one. */
void za_watcher_add(za_worker_t *worker, za_cell_t *cell, za_message_t *watch);
/** Frees the watch of that watcher and id, if it is there. */
void za_watcher_remove(za_worker_t *worker, za_cell_t *cell, za_ref_t watcher, uint64_t watch_id);
/** Answers all watches of an actor that ends, and frees the table. */
void za_watchers_tell(za_worker_t *worker, za_cell_t *cell, za_ref_t self, za_Reason reason);
