#include "base/pool.h"

#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"

enum {
    PAGE_BYTES = 4096,
    CHUNK_BYTES_MIN = 16 * 1024,   // a class that is hardly used costs little of the bound
    CHUNK_BYTES_MAX = 1024 * 1024, // few system calls when much is used; pages come when touched
    CHUNK_HEAD_BYTES = 64,         // keeps blocks on cache lines
    NO_HOME = UINT8_MAX,           // of a guarded pool: nothing that is freed is its own
};

typedef struct chunk {
    void *next;
    size_t bytes;
} chunk_t;

static_assert(sizeof(chunk_t) <= CHUNK_HEAD_BYTES, "the head of a chunk");
static_assert(sizeof(za_magazine_t) <= 512, "a magazine fits the class it says");

size_t za_pool_class_bytes(unsigned size_class)
{
    if (size_class < 9) {
        return size_class == 0 ? 48 : (size_t)size_class * 64;
    }
    unsigned exponent = 9 + (size_class - 9) / 4;
    unsigned step = (size_class - 9) % 4;
    return ((size_t)1 << exponent) + (step + 1) * ((size_t)1 << (exponent - 2));
}

#if defined(ZA_SLOW_CHECKS) && !defined(ZA_POOL_POISONS)

enum {
    FREED_BYTE = 0xdd,
    FREED_BYTES_MAX = 512, // of a block: where its user wrote last, mostly
};

void za_pool_fill_freed(void *address, size_t bytes)
{
    memset(address, FREED_BYTE, bytes < FREED_BYTES_MAX ? bytes : FREED_BYTES_MAX);
}

void za_pool_check_freed(const void *address, size_t bytes)
{
    bytes = bytes < FREED_BYTES_MAX ? bytes : FREED_BYTES_MAX;
    for (size_t i = 0; i < bytes; i++) {
        if (((const unsigned char *)address)[i] != FREED_BYTE) {
            za_misuse("a message", "was written to after its handler returned, or it was freed");
        }
    }
}

#endif

void za_pools_init(za_pools_t *pools, uint64_t bytes_max, uint64_t class_bytes_max)
{
    memset(pools, 0, sizeof *pools);
    pools->bytes_max = bytes_max;
    pools->class_bytes_max = class_bytes_max != 0 ? class_bytes_max : bytes_max - bytes_max / 8;
}

/** Blocks of a chain, free or returned, and those that its magazines note. */
static uint64_t chain_blocks(const za_block_t *block)
{
    uint64_t count = 0;
    while (block != NULL) {
        bool magazine = block->kind == ZA_POOL_MAGAZINE;
        count += 1 + (magazine ? ((const za_magazine_t *)(const void *)block)->count : 0);
        // relaxed: nobody allocates or frees meanwhile
        block = atomic_load_explicit(&block->next, memory_order_relaxed);
    }
    return count;
}

static uint64_t free_blocks(const za_pool_t *pool)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < ZA_POOL_CLASSES; i++) {
        count += chain_blocks(pool->classes[i].free);
    }
    for (unsigned home = 0; home < ZA_POOLS_MAX; home++) {
        count += pool->away[home] != NULL ? 1 + pool->away[home]->count : 0;
    }
    // Acquire: read by another thread than the owner's. pairs: pool-returned
    return count + chain_blocks(atomic_load_explicit(&pool->returned, memory_order_acquire));
}

uint64_t za_pools_blocks_in_use(const za_pools_t *pools)
{
    uint64_t count = 0;
    for (unsigned home = 0; home < ZA_POOLS_MAX; home++) {
        const za_pool_t *pool =
            atomic_load_explicit(&pools->homes[home], memory_order_acquire); // pairs: pool-home
        count += pool != NULL ? pool->carved - free_blocks(pool) : 0;
    }
    return count;
}

void za_pools_guard(za_pools_t *pools, za_pool_guard_fn *guard, void *context)
{
    pools->guard = guard;
    pools->guard_context = context;
    for (unsigned home = 0; home < ZA_POOLS_MAX; home++) {
        // relaxed: one thread, before all others
        za_pool_t *pool = atomic_load_explicit(&pools->homes[home], memory_order_relaxed);
        if (pool != NULL) {
            ZA_ASSERT(pool->chunks == NULL);
            pool->home = NO_HOME; // so each allocation takes the long way and asks
        }
    }
}

void za_pools_set_numa(za_pools_t *pools, const za_numa_t *numa)
{
    pools->numa = numa;
}

void za_pool_place(za_pool_t *pool, uint32_t node)
{
    pool->numa_node = node < ZA_NUMA_NODES_MAX ? (uint8_t)node : ZA_NUMA_NODE_NONE;
}

void za_pool_init(za_pool_t *pool, za_pools_t *pools, uint8_t home)
{
    ZA_ASSERT(home < ZA_POOLS_MAX);
    pool->pools = pools;
    pool->home = pools->guard != NULL ? NO_HOME : home;
    pool->index = home;
    pool->numa_node = ZA_NUMA_NODE_NONE;
    atomic_store_explicit(&pools->homes[home], pool, memory_order_release); // pairs: pool-home
}

void za_pool_deinit(za_pool_t *pool)
{
    chunk_t *chunk = pool->chunks;
    while (chunk != NULL) {
        chunk_t *next = chunk->next;
        ZA_UNPOISON(chunk, chunk->bytes);
        munmap(chunk, chunk->bytes);
        chunk = next;
    }
    pool->chunks = NULL;
}

/** Gives a magazine, or a single block, back to `home`. */
static void send_home(za_pool_t *pool, unsigned home, za_block_t *block)
{
    za_pool_t *owner =
        atomic_load_explicit(&pool->pools->homes[home], memory_order_acquire); // pairs: pool-home
    // relaxed: only a guess for the exchange below
    za_block_t *top = atomic_load_explicit(&owner->returned, memory_order_relaxed);
    do {
        // relaxed: published by the exchange
        atomic_store_explicit(&block->next, top, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&owner->returned, &top, block,
                                                    memory_order_release, // pairs: pool-returned
                                                    memory_order_relaxed));
}

static void send_magazine(za_pool_t *pool, unsigned home)
{
    za_magazine_t *magazine = pool->away[home];
    pool->away[home] = NULL;
    pool->away_count--;
    send_home(pool, home, &magazine->block);
}

static void put_magazine(za_pool_t *pool, unsigned home, za_magazine_t *magazine)
{
    magazine->block.kind = ZA_POOL_MAGAZINE;
    magazine->count = 0;
    pool->away[home] = magazine;
    pool->away_count++;
}

/** A magazine for `home`; NULL: no memory is left for one. */
static za_magazine_t *get_magazine(za_pool_t *pool, unsigned home)
{
    if (pool->away[home] != NULL) {
        return pool->away[home];
    }
    za_block_t *block = za_pool_alloc(pool, sizeof(za_magazine_t), ZA_POOL_BEYOND);
    // The allocation may have taken back one that goes there.
    if (pool->away[home] == NULL && block != NULL) {
        put_magazine(pool, home, (za_magazine_t *)(void *)block);
    } else if (block != NULL) {
        za_pool_free(pool, block);
    }
    return pool->away[home];
}

void za_pool_free_away(za_pool_t *pool, za_block_t *block)
{
    unsigned home = block->home;
    za_magazine_t *magazine = get_magazine(pool, home);
    if (magazine == NULL) {
        block->kind = 0; // it goes alone
        send_home(pool, home, block);
        return;
    }
    magazine->blocks[magazine->count++] = (uint64_t)(uintptr_t)block | (uint64_t)block->size_class
                                                                           << ZA_POOL_CLASS_SHIFT;
    if (magazine->count == ZA_POOL_BATCH) {
        send_magazine(pool, home);
    }
}

void za_pool_flush(za_pool_t *pool)
{
    for (unsigned home = 0; home < ZA_POOLS_MAX && pool->away_count > 0; home++) {
        if (pool->away[home] != NULL) {
            send_magazine(pool, home);
        }
    }
}

static void put_free(za_pool_t *pool, unsigned size_class, za_block_t *block)
{
    // relaxed: published by nobody, the list is this thread's
    atomic_store_explicit(&block->next, pool->classes[size_class].free, memory_order_relaxed);
    pool->classes[size_class].free = block;
}

static void empty_magazine(za_pool_t *pool, za_magazine_t *magazine)
{
    magazine->block.kind = 0;
    for (uint64_t i = 0; i < magazine->count; i++) {
        uint64_t entry = magazine->blocks[i];
        uintptr_t address = (uintptr_t)(entry & ((UINT64_C(1) << ZA_POOL_CLASS_SHIFT) - 1));
        put_free(pool, (unsigned)(entry >> ZA_POOL_CLASS_SHIFT), (za_block_t *)address);
    }
    unsigned home = magazine->block.home;
    if (home == pool->home || pool->away[home] != NULL) {
        za_pool_free(pool, &magazine->block);
        return;
    }
    put_magazine(pool, home, magazine); // goes back with what we free of its home
}

/** Takes everything that others have returned. All at once: no ABA. */
static void collect(za_pool_t *pool)
{
    // relaxed: a look that saves the exchange; what it misses comes next time
    if (atomic_load_explicit(&pool->returned, memory_order_relaxed) == NULL) {
        return;
    }
    za_block_t *block = atomic_exchange_explicit(&pool->returned, NULL,
                                                 memory_order_acquire); // pairs: pool-returned
    while (block != NULL) {
        // relaxed: the chain was acquired above
        za_block_t *next = atomic_load_explicit(&block->next, memory_order_relaxed);
        if (block->kind == ZA_POOL_MAGAZINE) {
            empty_magazine(pool, (za_magazine_t *)(void *)block);
        } else {
            put_free(pool, block->size_class, block);
        }
        block = next;
    }
}

static void give_bytes_back(za_pools_t *pools, unsigned size_class, uint64_t bytes)
{
    // relaxed: see take_bytes
    atomic_fetch_sub_explicit(&pools->class_bytes[size_class], bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&pools->bytes, bytes, memory_order_relaxed);
}

/** Counts `bytes` against the bounds: of all pools, and of the size class in all of them. */
static bool take_bytes(za_pools_t *pools, unsigned size_class, uint64_t bytes,
                       za_pool_bound_t bound)
{
    // relaxed: counters, nothing is published by them
    uint64_t taken = atomic_fetch_add_explicit(&pools->bytes, bytes, memory_order_relaxed) + bytes;
    uint64_t class_taken =
        atomic_fetch_add_explicit(&pools->class_bytes[size_class], bytes, memory_order_relaxed) +
        bytes;
    if (bound == ZA_POOL_BEYOND ||
        (taken <= pools->bytes_max && class_taken <= pools->class_bytes_max)) {
        return true;
    }
    give_bytes_back(pools, size_class, bytes);
    return false;
}

static uint64_t chunk_bytes_min(size_t block_bytes)
{
    return (block_bytes + CHUNK_HEAD_BYTES + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/** A new chunk for a class: twice the last one, or what just fits when the bound is near. */
static bool grow(za_pool_t *pool, unsigned size_class, za_pool_bound_t bound)
{
    uint64_t least = chunk_bytes_min(za_pool_class_bytes(size_class));
    uint64_t bytes = pool->classes[size_class].chunk_bytes * 2;
    bytes = bytes < CHUNK_BYTES_MIN ? CHUNK_BYTES_MIN : bytes;
    bytes = bytes > CHUNK_BYTES_MAX ? CHUNK_BYTES_MAX : bytes;
    bytes = bytes < least ? least : bytes;
    if (!take_bytes(pool->pools, size_class, bytes, ZA_POOL_BOUNDED)) {
        bytes = least;
        if (!take_bytes(pool->pools, size_class, bytes, bound)) {
            return false;
        }
    }
    chunk_t *chunk = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (chunk == MAP_FAILED) {
        give_bytes_back(pool->pools, size_class, bytes);
        return false;
    }
    // Before the first touch: that one decides where a page lies.
    if (za_numa_bind(pool->pools->numa, chunk, bytes, pool->numa_node) != ZA_OK) {
        // relaxed: a counter
        atomic_fetch_add_explicit(&pool->pools->bytes_unplaced, bytes, memory_order_relaxed);
    }
    chunk->next = pool->chunks;
    chunk->bytes = bytes;
    pool->chunks = chunk;
    pool->classes[size_class].chunk_bytes = bytes;
    pool->classes[size_class].fresh = (char *)chunk + CHUNK_HEAD_BYTES;
    pool->classes[size_class].end = (char *)chunk + bytes;
    return true;
}

/** A block that nobody had before; NULL: none is left. */
static za_block_t *carve(za_pool_t *pool, unsigned size_class, za_pool_bound_t bound)
{
    size_t bytes = za_pool_class_bytes(size_class);
    size_t left = (size_t)(pool->classes[size_class].end - pool->classes[size_class].fresh);
    if (left < bytes && !grow(pool, size_class, bound)) {
        return NULL;
    }
    za_block_t *block = (za_block_t *)(void *)pool->classes[size_class].fresh;
    pool->classes[size_class].fresh += bytes;
    pool->carved++;
    block->home = pool->index;
    block->size_class = (uint8_t)size_class;
    return block;
}

za_block_t *za_pool_alloc_slow(za_pool_t *pool, unsigned size_class, za_pool_bound_t bound)
{
    ZA_ASSERT(size_class < ZA_POOL_CLASSES);
    za_pools_t *pools = pool->pools;
    size_t bytes = za_pool_class_bytes(size_class);
    bool allowed = pools->guard == NULL || pools->guard(pools->guard_context, bytes, bound);
    if (pools->guard == NULL) {
        collect(pool);
    }
    za_block_t *block = pool->classes[size_class].free;
    if (block != NULL) {
        // relaxed: this thread's list
        pool->classes[size_class].free = atomic_load_explicit(&block->next, memory_order_relaxed);
        ZA_TAKEN(block + 1, bytes - sizeof(za_block_t));
        return block;
    }
    block = allowed ? carve(pool, size_class, bound) : NULL;
    if (block == NULL) {
        // relaxed: a counter
        atomic_fetch_add_explicit(&pools->refused[size_class], 1, memory_order_relaxed);
    }
    return block;
}
