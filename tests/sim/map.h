/**
 * Map: two 64-bit numbers to a 32-bit one, for the swarm's books. Grows; nothing is removed.
 *
 * Memory   From the heap; no memory is the end of the test.
 * Threads  One at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct map_entry {
    uint64_t a, b;
    uint32_t value; // 0: free
} map_entry_t;

typedef struct map {
    map_entry_t *entries;
    uint32_t count, capacity; // a power of two
} map_t;

/** The value of (a, b); 0 if there is none. */
uint32_t map_get(const map_t *map, uint64_t a, uint64_t b);
/** Sets it; `value` is not 0. */
void map_put(map_t *map, uint64_t a, uint64_t b, uint32_t value);
void map_deinit(map_t *map);
