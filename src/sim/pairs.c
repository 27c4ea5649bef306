#include "sim/pairs.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"

typedef struct za_pair {
    uint64_t key; // 0: free
    void *value;
} za_pair_t;

static uint32_t find(const za_pairs_t *pairs, uint64_t key)
{
    uint32_t mask = pairs->capacity - 1;
    uint32_t at = (uint32_t)za_mix64(key) & mask;
    while (pairs->slots[at].key != key && pairs->slots[at].key != 0) {
        at = (at + 1) & mask;
    }
    return at;
}

static void grow(za_pairs_t *pairs)
{
    za_pairs_t grown = { .capacity = pairs->capacity == 0 ? 64 : pairs->capacity * 2 };
    grown.slots = calloc(grown.capacity, sizeof *grown.slots);
    ZA_ASSERT(grown.slots != NULL); // a simulator without memory cannot go on
    for (uint32_t i = 0; i < pairs->capacity; i++) {
        if (pairs->slots[i].key != 0) {
            grown.slots[find(&grown, pairs->slots[i].key)] = pairs->slots[i];
        }
    }
    grown.count = pairs->count;
    free(pairs->slots);
    *pairs = grown;
}

/** Moves those that follow back, so that no search stops at the gap. */
static void take_out(za_pairs_t *pairs, uint32_t gap)
{
    uint32_t mask = pairs->capacity - 1;
    for (uint32_t at = (gap + 1) & mask; pairs->slots[at].key != 0; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)za_mix64(pairs->slots[at].key) & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            pairs->slots[gap] = pairs->slots[at];
            gap = at;
        }
    }
    pairs->slots[gap] = (za_pair_t){ 0 };
    pairs->count--;
}

void za_pairs_set(za_pairs_t *pairs, uint64_t key, void *value)
{
    ZA_ASSERT(key != 0);
    if (2 * pairs->count >= pairs->capacity) {
        grow(pairs);
    }
    uint32_t at = find(pairs, key);
    if (value == NULL) {
        if (pairs->slots[at].key != 0) {
            take_out(pairs, at);
        }
        return;
    }
    pairs->count += pairs->slots[at].key == 0;
    pairs->slots[at] = (za_pair_t){ key, value };
}

void *za_pairs_get(const za_pairs_t *pairs, uint64_t key)
{
    return pairs->capacity == 0 ? NULL : pairs->slots[find(pairs, key)].value;
}

void za_pairs_deinit(za_pairs_t *pairs)
{
    free(pairs->slots);
    *pairs = (za_pairs_t){ 0 };
}
