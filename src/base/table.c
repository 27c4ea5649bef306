#include "base/table.h"

#include <string.h>

#include "base/hash.h"

enum { CAPACITY_MIN = 4 }; // 16 + 4 * 24 bytes fill two cache lines

static za_table_entry_t *entries(const za_table_t *table)
{
    return (za_table_entry_t *)(void *)(table->block + 1);
}

static uint32_t first_index(const za_table_t *table, uint64_t a, uint64_t b)
{
    return (uint32_t)za_mix64(a ^ za_mix64(b)) & (table->capacity - 1);
}

/** Where the key is, or the empty entry where it would be. */
static uint32_t find(const za_table_t *table, uint64_t a, uint64_t b)
{
    const za_table_entry_t *all = entries(table);
    uint32_t i = first_index(table, a, b);
    while (all[i].value != NULL && (all[i].a != a || all[i].b != b)) {
        i = (i + 1) & (table->capacity - 1);
    }
    return i;
}

static bool grow(za_table_t *table, za_pool_t *pool)
{
    za_table_t larger = { .capacity = table->capacity == 0 ? CAPACITY_MIN : table->capacity * 2 };
    size_t bytes = sizeof(za_block_t) + larger.capacity * sizeof(za_table_entry_t);
    larger.block = za_pool_alloc(pool, bytes, ZA_POOL_BOUNDED);
    if (larger.block == NULL) {
        return false;
    }
    memset(larger.block + 1, 0, bytes - sizeof(za_block_t));
    for (uint32_t i = 0; i < table->capacity; i++) {
        const za_table_entry_t *entry = &entries(table)[i];
        if (entry->value != NULL) {
            entries(&larger)[find(&larger, entry->a, entry->b)] = *entry;
            larger.count++;
        }
    }
    za_table_clear(table, pool);
    *table = larger;
    return true;
}

bool za_table_put(za_table_t *table, za_pool_t *pool, uint64_t a, uint64_t b, void *value)
{
    // At most three quarters full: a probe stays short, and there always is an empty entry.
    if ((table->count + 1) * 4 > table->capacity * 3 && !grow(table, pool)) {
        return false;
    }
    entries(table)[find(table, a, b)] = (za_table_entry_t){ a, b, value };
    table->count++;
    return true;
}

void *za_table_get(const za_table_t *table, uint64_t a, uint64_t b)
{
    return table->count == 0 ? NULL : entries(table)[find(table, a, b)].value;
}

void *za_table_remove(za_table_t *table, uint64_t a, uint64_t b)
{
    if (table->count == 0) {
        return NULL;
    }
    za_table_entry_t *all = entries(table);
    uint32_t mask = table->capacity - 1;
    uint32_t hole = find(table, a, b);
    void *value = all[hole].value;
    if (value == NULL) {
        return NULL;
    }
    // Closes the gap: an entry moves back unless it would come before its first place.
    for (uint32_t i = (hole + 1) & mask; all[i].value != NULL; i = (i + 1) & mask) {
        uint32_t home = first_index(table, all[i].a, all[i].b);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            all[hole] = all[i];
            hole = i;
        }
    }
    all[hole].value = NULL;
    table->count--;
    return value;
}

const za_table_entry_t *za_table_next(const za_table_t *table, uint32_t *index)
{
    while (*index < table->capacity) {
        const za_table_entry_t *entry = &entries(table)[(*index)++];
        if (entry->value != NULL) {
            return entry;
        }
    }
    return NULL;
}

za_table_entry_t *za_table_compact(za_table_t *table)
{
    if (table->block == NULL) {
        return NULL;
    }
    za_table_entry_t *all = entries(table);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < table->capacity; i++) {
        if (all[i].value != NULL) {
            all[kept++] = all[i];
        }
    }
    return all;
}

void za_table_clear(za_table_t *table, za_pool_t *pool)
{
    if (table->block != NULL) {
        za_pool_free(pool, table->block);
    }
    *table = (za_table_t){ 0 };
}
