#include "map.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"

enum { MAP_MIN = 256 };

static map_entry_t *find(const map_t *map, uint64_t a, uint64_t b)
{
    uint32_t mask = map->capacity - 1;
    uint32_t i = (uint32_t)za_mix64(a ^ za_mix64(b)) & mask;
    while (map->entries[i].value != 0 && (map->entries[i].a != a || map->entries[i].b != b)) {
        i = (i + 1) & mask; // ends: at least half of the entries are free
    }
    return &map->entries[i];
}

uint32_t map_get(const map_t *map, uint64_t a, uint64_t b)
{
    return map->count == 0 ? 0 : find(map, a, b)->value;
}

static void grow(map_t *map)
{
    map_t old = *map;
    map->capacity = old.capacity == 0 ? MAP_MIN : old.capacity * 2;
    map->entries = calloc(map->capacity, sizeof *map->entries);
    ZA_ASSERT(map->entries != NULL);
    for (uint32_t i = 0; i < old.capacity; i++) {
        if (old.entries[i].value != 0) {
            *find(map, old.entries[i].a, old.entries[i].b) = old.entries[i];
        }
    }
    free(old.entries);
}

void map_put(map_t *map, uint64_t a, uint64_t b, uint32_t value)
{
    ZA_ASSERT(value != 0);
    if (map->count * 2 >= map->capacity) {
        grow(map);
    }
    map_entry_t *entry = find(map, a, b);
    map->count += entry->value == 0;
    *entry = (map_entry_t){ a, b, value };
}

void map_deinit(map_t *map)
{
    free(map->entries);
    *map = (map_t){ 0 };
}
