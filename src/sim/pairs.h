/**
 * Pairs: pointers by a 64-bit key, for whatever a realm looks up: processes by uid, connections by
 * the two hosts. Open addressing; nothing is ever walked, so no order depends on it.
 */
#pragma once

#include <stdint.h>

typedef struct za_pairs {
    struct za_pair *slots;
    uint32_t count;
    uint32_t capacity; // 0 or a power of two
} za_pairs_t;

/** Sets the value of `key` (not 0); NULL removes it. */
void za_pairs_set(za_pairs_t *pairs, uint64_t key, void *value);
/** NULL if there is none. */
void *za_pairs_get(const za_pairs_t *pairs, uint64_t key);
void za_pairs_deinit(za_pairs_t *pairs);
