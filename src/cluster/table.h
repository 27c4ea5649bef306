/**
 * Tables of the cluster services: fixed records with a hash, lists through them, chained blocks,
 * short texts.
 *
 * Records have ids from 1, and 0 is none, so that zeroed memory is an empty table: a large table
 * costs address space until it is used. So do its buckets: they are split one by one as it grows
 * (linear hashing, Litwin, VLDB 1980), with no step that rehashes all.
 *
 * Order    A list keeps its order; a hash chain is only searched, never walked for effects.
 * Memory   Taken in init. A full table answers 0, and its user has the policy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

typedef struct za_slots {
    uint8_t *records;
    struct za_slot_head *heads;
    uint32_t *buckets;
    size_t record_bytes;
    uint32_t mask;  // of the buckets before the present round of splits
    uint32_t split; // buckets below this are split already
    uint32_t capacity;
    uint32_t fresh; // records never used start here
    uint32_t free;  // first of the freed ones
    uint32_t count;
} za_slots_t;

za_err_t za_slots_init(za_slots_t *slots, uint32_t capacity, size_t record_bytes);
void za_slots_deinit(za_slots_t *slots);
/** A zeroed record under `hash`; 0 if the table is full. */
uint32_t za_slots_add(za_slots_t *slots, uint64_t hash);
void za_slots_remove(za_slots_t *slots, uint32_t id);
/** Moves a record under another hash; its fields stay. */
void za_slots_rekey(za_slots_t *slots, uint32_t id, uint64_t hash);
/** First record with this hash, 0 if none; the caller compares keys. */
uint32_t za_slots_first(const za_slots_t *slots, uint64_t hash);
uint32_t za_slots_next(const za_slots_t *slots, uint32_t id);
void *za_slots_at(const za_slots_t *slots, uint32_t id);
/** False for a record that was removed or never added. */
bool za_slots_used(const za_slots_t *slots, uint32_t id);

/** Memory in use, of records that were in use once, too. */
size_t za_slots_bytes(const za_slots_t *slots);

/** A record's place in one list. */
typedef struct za_link {
    uint32_t prev, next;
} za_link_t;

typedef struct za_chain {
    uint32_t first, last, count;
} za_chain_t;

/** `offset` is where the record has its za_link_t for this list. */
void za_chain_append(za_chain_t *chain, const za_slots_t *slots, size_t offset, uint32_t id);
/** Puts `id` behind `after`; 0: at the front. */
void za_chain_insert(za_chain_t *chain, const za_slots_t *slots, size_t offset, uint32_t after,
                     uint32_t id);
void za_chain_remove(za_chain_t *chain, const za_slots_t *slots, size_t offset, uint32_t id);
uint32_t za_chain_next(const za_slots_t *slots, size_t offset, uint32_t id);
uint32_t za_chain_prev(const za_slots_t *slots, size_t offset, uint32_t id);

/** Bytes of any length in chained blocks of one pool. */
typedef struct za_blocks {
    uint8_t *bytes;
    uint32_t *next;
    uint32_t capacity, fresh, free, used;
} za_blocks_t;

enum { ZA_BLOCK_BYTES = 128 };

za_err_t za_blocks_init(za_blocks_t *blocks, uint32_t capacity);
void za_blocks_deinit(za_blocks_t *blocks);
/** Stores a copy; false if the pool has no room. *first is 0 for no bytes. */
bool za_blocks_put(za_blocks_t *blocks, const uint8_t *bytes, size_t size, uint32_t *first);
void za_blocks_get(const za_blocks_t *blocks, uint32_t first, uint8_t *out, size_t size);
void za_blocks_free(za_blocks_t *blocks, uint32_t first);

/**
 * Short texts, 1 to 256 bytes each, in cells of 16 to 256 bytes. A freed cell serves texts of its
 * own size again.
 */
typedef struct za_texts {
    uint8_t *bytes;
    uint32_t units; // capacity, of 16 bytes
    uint32_t fresh; // units never used start here
    uint32_t free[5];
} za_texts_t;

enum { ZA_TEXT_BYTES_MAX = 256 };

za_err_t za_texts_init(za_texts_t *texts, size_t capacity_bytes);
void za_texts_deinit(za_texts_t *texts);
/** Stores a copy; 0 if there is no room. */
uint32_t za_texts_put(za_texts_t *texts, const void *bytes, size_t size);
/** `size` as in put. */
void za_texts_free(za_texts_t *texts, uint32_t id, size_t size);
const void *za_texts_at(const za_texts_t *texts, uint32_t id);
/** Memory in use, of texts that were freed, too. */
size_t za_texts_bytes(const za_texts_t *texts);
