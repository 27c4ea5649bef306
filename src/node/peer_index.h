/**
 * Peer index: the peer of a uid, found by any thread without a lock.
 *
 * Open addressing with linear probes. A uid that is removed leaves its slot to the next that comes by,
 * and never an empty one, so that whoever looks for another goes on past it. When half of the slots
 * have peers, all go to a table of twice the size. Readers may stand on the former one, which
 * stays until the end: all former ones together are smaller than the present one.
 *
 * Order    What was written to a peer before put is seen by whoever finds it.
 * Memory   16 bytes a slot, 4 slots a cache line; twice that counting former tables.
 * Threads  One writer; find from any thread, wait-free. A find beside a remove may answer the peer
 *          still, or one that took its slot: peers are type-stable, and say whose they are.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

#include "base/hash.h"

enum {
    ZA_PEER_INDEX_SLOTS = 128, // at first: 2 KiB, for a full mesh
    // Nobody looks farther; a put that finds no place makes a larger table ...
    ZA_PEER_INDEX_PROBES = 64,
    // ... but not for fewer peers than one in so many slots: they bear uids that somebody chose to meet.
    ZA_PEER_INDEX_SPARSE = 64,
};

typedef struct za_peer za_peer_t;

typedef struct za_peer_slot {
    _Atomic uint64_t uid;      // 0: never used; it stays when its peer is removed
    _Atomic(za_peer_t *) peer; // NULL: removed
} za_peer_slot_t;

typedef struct za_peer_table {
    struct za_peer_table *former; // the writer
    uint64_t mask;
    _Alignas(64) za_peer_slot_t slots[];
} za_peer_table_t;

typedef struct za_peer_index {
    _Atomic(za_peer_table_t *) table;
    uint32_t count; // the writer: uids that have a peer
} za_peer_index_t;

/** Room for `slots`, a power of two, before it grows. */
za_err_t za_peer_index_init(za_peer_index_t *index, uint32_t slots);
/** Nobody reads any more. An index of zeroes is allowed. */
void za_peer_index_deinit(za_peer_index_t *index);

/** The uid, not 0, is not there. ZA_ENOMEM: nothing changed; see also ZA_PEER_INDEX_SPARSE. */
za_err_t za_peer_index_put(za_peer_index_t *index, uint64_t uid, za_peer_t *peer);
void za_peer_index_remove(za_peer_index_t *index, uint64_t uid);

/** NULL: none, as for uid 0. */
static inline za_peer_t *za_peer_index_find(const za_peer_index_t *index, uint64_t uid)
{
    const za_peer_table_t *table =
        atomic_load_explicit(&index->table, memory_order_acquire); // pairs: peer-table
    uint64_t at = za_mix64(uid);
    for (uint64_t end = at + ZA_PEER_INDEX_PROBES; at != end; at++) {
        const za_peer_slot_t *slot = &table->slots[at & table->mask];
        uint64_t found =
            atomic_load_explicit(&slot->uid, memory_order_acquire); // pairs: peer-index
        if (found == 0) {
            return NULL; // also for uid 0: the peer may be there already, and its uid not yet
        }
        if (found == uid) {
            // relaxed: written before the uid, which the acquire above read.
            return atomic_load_explicit(&slot->peer, memory_order_relaxed);
        }
    }
    return NULL;
}
