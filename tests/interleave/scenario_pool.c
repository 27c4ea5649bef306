/** base/pool.h: blocks that are freed on another thread come home, once each. */
#include "check.h"

#include <string.h>

#include "base/pool.h"
#include "scenarios.h"

enum {
    BLOCK_BYTES = 6000, // two of them in a chunk: the home is soon out of fresh ones
    BLOCKS = 2,
    HOMES = 3,
};

typedef struct store {
    za_pools_t pools;
    za_pool_t pool[HOMES];
    za_block_t *made[BLOCKS + 1]; // by home 0; the last by home 1, if it made one
    uint32_t made_count;
    _Atomic(za_block_t *) given[HOMES]; // to the thread of that home
    uint32_t held[BLOCKS + 1];          // plain: written by whoever holds the block
} store_t;

static store_t *store;

/** Which of the blocks it is: another one would be memory from nowhere. */
static uint32_t number_of(const za_block_t *block)
{
    for (uint32_t i = 0; i < store->made_count; i++) {
        if (store->made[i] == block) {
            return i;
        }
    }
    zc_fail("%p is not a block of this pool", (const void *)block);
}

static void hold(za_block_t *block)
{
    uint32_t number = number_of(block);
    ZC_MUST(store->held[number] == 0, "a block is given out twice");
    store->held[number] = 1;
    memset(block + 1, 1, 64);
    block->bytes = number;
}

static void let_go(unsigned home, za_block_t *block)
{
    ZC_MUST(store->held[block->bytes] == 1, "a block is let go that nobody holds");
    store->held[block->bytes] = 0;
    za_pool_free(&store->pool[home], block);
}

static za_block_t *take_at(unsigned home)
{
    za_block_t *block = za_pool_alloc(&store->pool[home], BLOCK_BYTES, ZA_POOL_BOUNDED);
    if (block != NULL) {
        ZC_MUST(block->home == home, "a block of another home is given out");
        hold(block);
    }
    return block;
}

static za_block_t *take(void)
{
    return take_at(0);
}

/** Exhausts home 0, so that only what comes back can be had, and hands out both blocks. */
static void setup_store(void)
{
    store = zc_alloc(sizeof *store);
    za_pools_init(&store->pools, 16 * 1024 * HOMES, 0);
    for (uint8_t i = 0; i < HOMES; i++) {
        za_pool_init(&store->pool[i], &store->pools, i);
    }
    // Each home has freed blocks of home 0 before: what it needs for that is there.
    za_block_t *small[HOMES];
    for (unsigned i = 1; i < HOMES; i++) {
        small[i] = za_pool_alloc(&store->pool[0], 64, ZA_POOL_BEYOND);
        za_pool_free(&store->pool[i], small[i]);
        za_pool_flush(&store->pool[i]);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        za_block_t *block = za_pool_alloc(&store->pool[0], BLOCK_BYTES, ZA_POOL_BEYOND);
        store->made[store->made_count++] = block;
        hold(block);
        atomic_store_explicit(&store->given[i + 1], block, memory_order_relaxed);
    }
    store->pools.bytes_max = 0; // no more from the system
}

static void free_given(unsigned home)
{
    za_block_t *block = atomic_exchange_explicit(&store->given[home], NULL, memory_order_acquire);
    let_go(home, block);
    za_pool_flush(&store->pool[home]);
}

static void free_at_1(void)
{
    free_given(1);
}

static void free_at_2(void)
{
    free_given(2);
}

/** Takes, frees and takes again, while others send blocks home. */
static void live_at_home(void)
{
    za_block_t *first = take();
    za_block_t *second = take();
    if (first != NULL) {
        let_go(0, first);
    }
    if (second != NULL) {
        let_go(0, second);
    }
    first = take();
    if (first != NULL) {
        let_go(0, first);
    }
}

static void finish_store(void)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        ZC_MUST(take() != NULL, "a block is lost");
    }
    ZC_MUST(take() == NULL, "a block from nowhere");
}

const zc_scenario_t zc_pool = {
    .name = "pool",
    .promise = "blocks freed elsewhere come home: none is given out twice, none is lost",
    .setup = setup_store,
    .threads = { { "home", live_at_home }, { "far-1", free_at_1 }, { "far-2", free_at_2 } },
    .finish = finish_store,
    .preemptions = 3,
    .stale = 2,
};

/* ---- there and back ----------------------------------------------------------------------- */

/** Hands a block that came home to another thread, which frees it again. */
static void pass_on(void)
{
    za_block_t *block = take();
    while (block == NULL) {
        zc_await();
        block = take();
    }
    atomic_store_explicit(&store->given[2], block, memory_order_release);
    block = take();
    while (block == NULL) {
        zc_await();
        block = take();
    }
    let_go(0, block);
}

static void setup_pass(void)
{
    setup_store();
    za_block_t *second = atomic_exchange_explicit(&store->given[2], NULL, memory_order_relaxed);
    store->held[second->bytes] = 2; // out of the game
    store->made_count = BLOCKS;
}

static void free_what_comes(void)
{
    while (atomic_load_explicit(&store->given[2], memory_order_relaxed) == NULL) {
        zc_await();
    }
    free_given(2);
}

static void finish_pass(void)
{
    ZC_MUST(take() != NULL, "the block is lost");
    ZC_MUST(take() == NULL, "a block from nowhere");
}

const zc_scenario_t zc_pool_pass = {
    .name = "pool-pass",
    .promise = "a block may go round: freed far away, used at home, freed far away again",
    .setup = setup_pass,
    .threads = { { "home", pass_on }, { "far-1", free_at_1 }, { "far-2", free_what_comes } },
    .finish = finish_pass,
    .preemptions = 3,
    .stale = 2,
};

/* ---- both ways ---------------------------------------------------------------------------- */

static void setup_back(void)
{
    setup_store();
    za_block_t *second = atomic_exchange_explicit(&store->given[2], NULL, memory_order_relaxed);
    store->held[second->bytes] = 2; // out of the game
    za_pool_flush(&store->pool[0]); // so that home 0 keeps the next magazine that comes
    // All that home 1 has, in one block: given to home 0.
    za_block_t *block = za_pool_alloc(&store->pool[1], BLOCK_BYTES, ZA_POOL_BEYOND);
    store->made[store->made_count++] = block;
    hold(block);
    atomic_store_explicit(&store->given[0], block, memory_order_relaxed);
    za_pool_alloc(&store->pool[1], BLOCK_BYTES, ZA_POOL_BEYOND); // not seen again
}

/** Gets its own block back, and sends the other home's in what that one came in. */
static void swap_at_0(void)
{
    za_block_t *mine = take();
    while (mine == NULL) {
        zc_await();
        mine = take();
    }
    free_given(0);
    let_go(0, mine);
}

static void swap_at_1(void)
{
    free_given(1);
    za_block_t *mine = take_at(1);
    while (mine == NULL) {
        zc_await();
        mine = take_at(1);
    }
    let_go(1, mine);
}

static void finish_back(void)
{
    for (unsigned home = 0; home < 2; home++) {
        ZC_MUST(take_at(home) != NULL, "the block of home %u is lost", home);
        ZC_MUST(take_at(home) == NULL, "a block from nowhere at home %u", home);
    }
}

const zc_scenario_t zc_pool_back = {
    .name = "pool-back",
    .promise = "what brings blocks home takes others back, and no block goes astray",
    .setup = setup_back,
    .threads = { { "home-0", swap_at_0 }, { "home-1", swap_at_1 } },
    .finish = finish_back,
    .preemptions = 3,
    .stale = 2,
};
