#include "node/peer_index.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static za_peer_table_t *create_table(uint64_t slots)
{
    size_t bytes = sizeof(za_peer_table_t) + slots * sizeof(za_peer_slot_t);
    za_peer_table_t *table = aligned_alloc(_Alignof(za_peer_table_t), bytes);
    if (table != NULL) {
        memset(table, 0, bytes);
        table->mask = slots - 1;
    }
    return table;
}

/**
 * The first slot that was never used or whose peer is gone: what is left of this uid itself lies no
 * nearer, so that a find meets the new one first.
 */
static bool put(za_peer_table_t *table, uint64_t uid, za_peer_t *peer)
{
    uint64_t at = za_mix64(uid);
    for (uint64_t end = at + ZA_PEER_INDEX_PROBES; at != end; at++) {
        za_peer_slot_t *slot = &table->slots[at & table->mask];
        // relaxed, both: ours to change
        if (atomic_load_explicit(&slot->uid, memory_order_relaxed) == 0 ||
            atomic_load_explicit(&slot->peer, memory_order_relaxed) == NULL) {
            atomic_store_explicit(&slot->peer, peer, memory_order_relaxed);
            atomic_store_explicit(&slot->uid, uid, memory_order_release); // pairs: peer-index
            return true;
        }
    }
    return false;
}

/** Puts all that have peers into a larger table of `slots_max` at most; NULL: no memory, or no room. */
static za_peer_table_t *grow(za_peer_table_t *former, uint64_t slots_max)
{
    za_peer_table_t *table = NULL;
    uint64_t slots = former->mask + 1;
    bool all = false;
    while (!all) { // once, but for a chance that no seed finds
        slots *= 2;
        free(table);
        table = slots <= slots_max ? create_table(slots) : NULL;
        if (table == NULL) {
            return NULL;
        }
        all = true;
        for (uint64_t i = 0; i <= former->mask && all; i++) {
            // relaxed, both: ours to change
            uint64_t uid = atomic_load_explicit(&former->slots[i].uid, memory_order_relaxed);
            za_peer_t *peer = atomic_load_explicit(&former->slots[i].peer, memory_order_relaxed);
            all = peer == NULL || put(table, uid, peer);
        }
    }
    table->former = former;
    return table;
}

za_err_t za_peer_index_init(za_peer_index_t *index, uint32_t slots)
{
    ZA_ASSERT(slots > 0 && (slots & (slots - 1)) == 0);
    za_peer_table_t *table = create_table(slots);
    if (table == NULL) {
        return ZA_ENOMEM;
    }
    atomic_init(&index->table, table);
    index->count = 0;
    return ZA_OK;
}

void za_peer_index_deinit(za_peer_index_t *index)
{
    za_peer_table_t *table = atomic_load_explicit(&index->table, memory_order_relaxed); // the last
    while (table != NULL) {
        za_peer_table_t *former = table->former;
        free(table);
        table = former;
    }
    atomic_init(&index->table, NULL);
}

za_err_t za_peer_index_put(za_peer_index_t *index, uint64_t uid, za_peer_t *peer)
{
    ZA_ASSERT(uid != 0 && peer != NULL);
    za_peer_table_t *table = atomic_load_explicit(&index->table, memory_order_relaxed); // ours
    uint64_t count = (uint64_t)index->count + 1;
    uint64_t slots_max = count * ZA_PEER_INDEX_SPARSE;
    while (2 * count > table->mask + 1 || !put(table, uid, peer)) {
        za_peer_table_t *larger = grow(table, slots_max);
        if (larger == NULL) {
            return ZA_ENOMEM;
        }
        atomic_store_explicit(&index->table, larger, memory_order_release); // pairs: peer-table
        table = larger;
    }
    index->count++;
    return ZA_OK;
}

void za_peer_index_remove(za_peer_index_t *index, uint64_t uid)
{
    za_peer_table_t *table = atomic_load_explicit(&index->table, memory_order_relaxed); // ours
    uint64_t at = za_mix64(uid);
    for (uint64_t end = at + ZA_PEER_INDEX_PROBES; at != end; at++) {
        za_peer_slot_t *slot = &table->slots[at & table->mask];
        // relaxed, all: ours to change, and a late look is as good
        if (atomic_load_explicit(&slot->uid, memory_order_relaxed) == uid) {
            if (atomic_load_explicit(&slot->peer, memory_order_relaxed) != NULL) {
                atomic_store_explicit(&slot->peer, NULL, memory_order_relaxed);
                index->count--;
            }
            return;
        }
    }
}
