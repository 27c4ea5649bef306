/**
 * Table: pointers by a key of two words. Open addressing in one pool block that doubles.
 *
 * Memory   The block comes from the pool given to put; a table that holds nothing has none.
 * Threads  One owner.
 */
#pragma once

#include "base/pool.h"

typedef struct za_table_entry {
    uint64_t a;
    uint64_t b;
    void *value; // NULL: empty
} za_table_entry_t;

typedef struct za_table {
    za_block_t *block;
    uint32_t count;
    uint32_t capacity; // 0 or a power of two
} za_table_t;

/** Adds `value` (not NULL) under a key that is not there yet. False: no memory is left. */
bool za_table_put(za_table_t *table, za_pool_t *pool, uint64_t a, uint64_t b, void *value);
/** NULL if the key is not there. */
void *za_table_get(const za_table_t *table, uint64_t a, uint64_t b);
/** Removes the key and answers its value; NULL if it is not there. */
void *za_table_remove(za_table_t *table, uint64_t a, uint64_t b);
/** The next entry at or after `*index`; NULL at the end. The table must not change meanwhile. */
const za_table_entry_t *za_table_next(const za_table_t *table, uint32_t *index);
/** Moves all entries to the front of the block, in any order; then only clear is left to be called. */
za_table_entry_t *za_table_compact(za_table_t *table);
/** Empties the table and frees its block; the values are the caller's. */
void za_table_clear(za_table_t *table, za_pool_t *pool);
