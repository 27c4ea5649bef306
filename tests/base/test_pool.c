#include "base/pool.h"
#include "support/za_test.h"

static za_pools_t pools;
static za_pool_t here, there;

static void setup(uint64_t bytes_max)
{
    za_pools_init(&pools, bytes_max, 0);
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    za_pool_init(&here, &pools, 0);
    za_pool_init(&there, &pools, 1);
}

static void teardown(void)
{
    za_pool_deinit(&here);
    za_pool_deinit(&there);
}

static uint64_t taken(void)
{
    return atomic_load_explicit(&pools.bytes, memory_order_relaxed);
}

Test(pool, classes_hold_what_they_are_asked_for)
{
    size_t before = 0;
    for (size_t bytes = 1; bytes <= ZA_POOL_BLOCK_BYTES_MAX; bytes += 1 + bytes / 97) {
        unsigned size_class = za_pool_class(bytes);
        size_t room = za_pool_class_bytes(size_class);
        cr_assert(size_class < ZA_POOL_CLASSES, "class of %zu", bytes);
        cr_assert(room >= bytes, "%zu in %zu", bytes, room);
        cr_assert(bytes <= 512 || room <= bytes * 5 / 4 + 1, "little is lost: %zu", bytes);
        cr_assert(room >= before, "classes grow");
        before = room;
    }
    cr_assert(za_pool_class(ZA_POOL_BLOCK_BYTES_MAX) == ZA_POOL_CLASSES - 1, "the last class");
}

Test(pool, reuses_the_last_freed_first)
{
    setup(1 << 20);
    za_block_t *a = za_pool_alloc(&here, 100, ZA_POOL_BOUNDED);
    za_block_t *b = za_pool_alloc(&here, 100, ZA_POOL_BOUNDED);
    cr_assert(a != NULL && b != NULL && a != b, "two blocks");
    za_pool_free(&here, a);
    za_pool_free(&here, b);
    cr_assert(za_pool_alloc(&here, 100, ZA_POOL_BOUNDED) == b, "the last one");
    cr_assert(za_pool_alloc(&here, 100, ZA_POOL_BOUNDED) == a, "then the other");
    teardown();
}

Test(pool, blocks_above_the_smallest_lie_on_cache_lines)
{
    setup(1 << 20);
    for (size_t bytes = 49; bytes < 5000; bytes += 61) {
        za_block_t *block = za_pool_alloc(&here, bytes, ZA_POOL_BOUNDED);
        cr_assert((uintptr_t)block % 64 == 0, "%zu bytes at %p", bytes, (void *)block);
    }
    teardown();
}

Test(pool, holds_its_bound_and_lets_notices_beyond)
{
    setup(64 * 1024);
    uint32_t count = 0;
    while (za_pool_alloc(&here, 1000, ZA_POOL_BOUNDED) != NULL) {
        count++;
    }
    cr_assert(count >= 32 && taken() <= 64 * 1024, "%d blocks", (int)count);
    cr_assert(za_pool_alloc(&here, 1000, ZA_POOL_BEYOND) != NULL, "a notice");
    cr_assert(za_pool_alloc(&here, 100000000, ZA_POOL_BEYOND) == NULL, "no such class");
    teardown();
}

static uint32_t take_all(za_pool_t *pool, size_t bytes)
{
    uint32_t count = 0;
    while (za_pool_alloc(pool, bytes, ZA_POOL_BOUNDED) != NULL) {
        count++;
    }
    return count;
}

Test(pool, one_size_cannot_eat_all)
{
    setup(1 << 20);
    uint32_t many = take_all(&here, 1000);
    cr_assert(many >= 700 && taken() <= (1 << 20) / 8 * 7, "%d blocks", (int)many);
    cr_assert(take_all(&there, 1000) == 0, "nor through another pool");
    cr_assert(take_all(&here, 100) > 100, "what is left is for the other sizes");
    cr_assert(taken() <= 1 << 20, "and it has a bound as well");
    teardown();
}

Test(pool, counts_what_it_refuses)
{
    setup(64 * 1024);
    take_all(&here, 1000);
    unsigned size_class = za_pool_class(1000);
    uint64_t before = atomic_load_explicit(&pools.refused[size_class], memory_order_relaxed);
    cr_assert(before == 1, "once at the end");
    cr_assert(za_pool_alloc(&here, 1000, ZA_POOL_BOUNDED) == NULL, "once more");
    cr_assert(za_pool_alloc(&here, 1000, ZA_POOL_BEYOND) != NULL, "a notice is not refused");
    cr_assert(atomic_load_explicit(&pools.refused[size_class], memory_order_relaxed) == before + 1,
              "twice");
    teardown();
}

Test(pool, knows_how_many_blocks_have_a_user)
{
    setup(1 << 20);
    za_block_t *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = za_pool_alloc(&here, 10 + 20 * i, ZA_POOL_BOUNDED);
    }
    cr_assert(za_pools_blocks_in_use(&pools) == 100, "all");
    for (size_t i = 0; i < 100; i++) {
        za_pool_free(i % 3 == 0 ? &there : &here, blocks[i]);
        cr_assert(za_pools_blocks_in_use(&pools) == 99 - i, "after %d", (int)i);
    }
    za_pool_flush(&there);
    cr_assert(za_pools_blocks_in_use(&pools) == 0, "on their way home");
    blocks[0] = za_pool_alloc(&here, 10, ZA_POOL_BOUNDED);
    cr_assert(za_pools_blocks_in_use(&pools) == 1, "used again");
    teardown();
}

static bool every_third_fails(void *context, size_t bytes, za_pool_bound_t bound)
{
    (void)bytes;
    return bound == ZA_POOL_BEYOND || ++*(uint32_t *)context % 3 != 0;
}

Test(pool, asks_its_guard_before_every_allocation)
{
    uint32_t asked = 0;
    setup(1 << 20);
    za_pools_guard(&pools, every_third_fails, &asked);
    for (uint32_t i = 1; i <= 300; i++) {
        za_block_t *block = za_pool_alloc(&here, 100, ZA_POOL_BOUNDED);
        cr_assert(asked == i && (block == NULL) == (i % 3 == 0), "number %d", (int)i);
        if (block != NULL) {
            za_pool_free(i % 2 == 0 ? &here : &there, block);
        }
    }
    za_pool_flush(&here);
    cr_assert(za_pools_blocks_in_use(&pools) == 0, "all came back");
    cr_assert(za_pool_alloc(&here, 100, ZA_POOL_BEYOND) != NULL && asked == 300, "a notice");
    teardown();
}

Test(pool, blocks_freed_elsewhere_come_home_in_batches)
{
    setup(1 << 20);
    za_block_t *blocks[ZA_POOL_BATCH + 10];
    for (size_t i = 0; i < ZA_POOL_BATCH + 10; i++) {
        blocks[i] = za_pool_alloc(&here, 64, ZA_POOL_BOUNDED);
    }
    for (size_t i = 0; i < ZA_POOL_BATCH - 1; i++) {
        za_pool_free(&there, blocks[i]);
    }
    cr_assert(atomic_load_explicit(&here.returned, memory_order_relaxed) == NULL, "not one by one");
    za_pool_free(&there, blocks[ZA_POOL_BATCH - 1]);
    cr_assert(atomic_load_explicit(&here.returned, memory_order_relaxed) != NULL, "a batch");
    for (size_t i = ZA_POOL_BATCH; i < ZA_POOL_BATCH + 10; i++) {
        za_pool_free(&there, blocks[i]);
    }
    za_pool_flush(&there);
    cr_assert(there.away_count == 0, "flushed");
    uint64_t before = taken();
    for (size_t i = 0; i < ZA_POOL_BATCH + 10; i++) {
        cr_assert(za_pool_alloc(&here, 64, ZA_POOL_BOUNDED) != NULL, "again");
    }
    cr_assert(taken() == before, "all came back");
    teardown();
}

typedef struct placed {
    uint64_t bytes[ZA_NUMA_NODES_MAX];
    bool refuse;
} placed_t;

static za_err_t note_place(void *context, void *pages, size_t bytes, uint32_t node)
{
    placed_t *placed = context;
    cr_assert((uintptr_t)pages % 4096 == 0 && bytes % 4096 == 0, "whole pages");
    placed->bytes[node] += bytes;
    return placed->refuse ? ZA_EIO : ZA_OK;
}

Test(pool, takes_memory_near_its_owner)
{
    placed_t placed = { 0 };
    za_numa_t numa = { .node_count = 2, .bind = note_place, .context = &placed };
    setup(1 << 20);
    za_pools_set_numa(&pools, &numa);
    cr_assert(za_pool_alloc(&here, 100, ZA_POOL_BOUNDED) != NULL, "before it has a place");
    cr_assert(placed.bytes[0] == 0 && placed.bytes[1] == 0, "from anywhere");
    za_pool_place(&here, 0);
    za_pool_place(&there, 1);
    uint64_t before = taken();
    cr_assert(za_pool_alloc(&here, 1000, ZA_POOL_BOUNDED) != NULL, "near node 0");
    cr_assert(placed.bytes[0] == taken() - before && placed.bytes[1] == 0, "all of it");
    before = taken();
    cr_assert(za_pool_alloc(&there, 1000, ZA_POOL_BOUNDED) != NULL, "near node 1");
    cr_assert(placed.bytes[1] == taken() - before, "all of it");
    teardown();
}

Test(pool, counts_memory_that_is_not_where_it_belongs)
{
    placed_t placed = { .refuse = true };
    za_numa_t numa = { .node_count = 2, .bind = note_place, .context = &placed };
    setup(1 << 20);
    za_pools_set_numa(&pools, &numa);
    za_pool_place(&here, 1);
    cr_assert(za_pool_alloc(&here, 100, ZA_POOL_BOUNDED) != NULL, "far is better than none");
    uint64_t unplaced = atomic_load_explicit(&pools.bytes_unplaced, memory_order_relaxed);
    cr_assert(unplaced == taken() && unplaced > 0, "%d bytes", (int)unplaced);
    teardown();
}

// The magazine that is wanted for a home may come back just while memory for it is looked for.
Test(pool, loses_no_magazine_that_comes_back_meanwhile)
{
    setup(1 << 20);
    za_block_t *mine = za_pool_alloc(&here, 100, ZA_POOL_BOUNDED);
    za_block_t *yours = za_pool_alloc(&there, 100, ZA_POOL_BOUNDED);
    za_pool_free(&there, mine);
    za_pool_flush(&there); // a magazine of `there` is on its way
    za_pool_free(&here, yours);
    za_pool_flush(&here);
    cr_assert(here.away_count == 0 && there.away_count == 0, "all are sent");
    cr_assert(za_pools_blocks_in_use(&pools) == 0, "none is lost");
    teardown();
}
