#include "base/rng.h"
#include "base/table.h"
#include "support/za_test.h"

static za_pools_t pools;
static za_pool_t pool;
static int values[512];

static void setup(uint64_t bytes_max)
{
    za_pools_init(&pools, bytes_max, 0);
    memset(&pool, 0, sizeof pool);
    za_pool_init(&pool, &pools, 0);
}

Test(table, agrees_with_an_array_under_random_operations)
{
    setup(1 << 22);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        za_rng_t rng;
        za_rng_init(&rng, seed);
        za_table_t table = { 0 };
        bool model[512] = { false };
        for (int i = 0; i < 20000; i++) {
            uint64_t key = za_rng_below(&rng, 512);
            void *value = model[key] ? &values[key] : NULL;
            cr_assert(za_table_get(&table, key / 8, key % 8) == value, "get, seed %d", (int)seed);
            if (model[key]) {
                cr_assert(za_table_remove(&table, key / 8, key % 8) == value, "remove");
            } else {
                cr_assert(za_table_put(&table, &pool, key / 8, key % 8, &values[key]), "put");
            }
            model[key] = !model[key];
        }
        uint32_t index = 0;
        uint32_t count = 0;
        const za_table_entry_t *entry;
        while ((entry = za_table_next(&table, &index)) != NULL) {
            cr_assert(model[entry->a * 8 + entry->b], "a key that is there");
            count++;
        }
        cr_assert(count == table.count, "all of them");
        za_table_clear(&table, &pool);
        cr_assert(za_table_get(&table, 1, 1) == NULL && table.block == NULL, "empty");
    }
    za_pool_deinit(&pool);
}

Test(table, stays_as_it_is_when_no_memory_is_left)
{
    setup(128 * 1024);
    za_table_t table = { 0 };
    uint64_t count = 0;
    while (za_table_put(&table, &pool, count, 0, &values[0])) {
        count++;
    }
    cr_assert(count > 40, "%d", (int)count);
    for (uint64_t i = 0; i < count; i++) {
        cr_assert(za_table_get(&table, i, 0) == &values[0], "entry %d", (int)i);
    }
    cr_assert(za_table_get(&table, count, 0) == NULL, "not the refused one");
    za_pool_deinit(&pool);
}
