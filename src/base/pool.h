/**
 * Pools: memory of the message path, in size classes, one pool for each thread that allocates.
 *
 * A block is free, or owned by exactly one user. A block freed on another thread is noted there in a
 * magazine (Bonwick and Adams, "Magazines and Vmem", 2001), which goes home when it is full. So the
 * hot path touches no shared line, and the home learns from a few lines where all the blocks are
 * instead of walking from one to the next, each a miss.
 *
 * Memory   Chunks come from the system by mmap, counted against `bytes_max` of all pools together
 *          and against `class_bytes_max` of their size class, so that one size cannot eat all. They
 *          go back in deinit. A free block keeps its class. Reuse is last in, first out.
 * Threads  Each pool has one owner; `returned` alone is written by others.
 * Errors   An empty pool answers NULL, never malloc, and counts it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/numa.h"

#if defined(__SANITIZE_ADDRESS__)
#define ZA_POOL_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZA_POOL_POISONS 1
#endif
#endif
#ifdef ZA_POOL_POISONS
#include <sanitizer/asan_interface.h>
#define ZA_POISON(address, bytes) ASAN_POISON_MEMORY_REGION(address, bytes)
#define ZA_UNPOISON(address, bytes) ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#else
// The size is worth computing only where it is used.
#define ZA_POISON(address, bytes) ((void)sizeof(bytes), (void)(address))
#define ZA_UNPOISON(address, bytes) ((void)sizeof(bytes), (void)(address))
#endif

// What is free is nobody's. Debug builds without AddressSanitizer fill it, and look when it is taken.
#if defined(ZA_SLOW_CHECKS) && !defined(ZA_POOL_POISONS)
void za_pool_fill_freed(void *address, size_t bytes);
void za_pool_check_freed(const void *address, size_t bytes);
#define ZA_FREED(address, bytes) za_pool_fill_freed(address, bytes)
#define ZA_TAKEN(address, bytes) za_pool_check_freed(address, bytes)
#else
#define ZA_FREED(address, bytes) ZA_POISON(address, bytes)
#define ZA_TAKEN(address, bytes) ZA_UNPOISON(address, bytes)
#endif

/** The head of every block; what lies behind it is the user's. */
typedef struct za_block {
    _Atomic(struct za_block *) next; // the pool's while free, else the user's
    uint8_t home;                    // index of the pool it came from
    uint8_t size_class;
    uint8_t kind;   // the user's
    uint8_t flags;  // the user's
    uint32_t bytes; // the user's
} za_block_t;

enum {
    ZA_POOL_CLASSES = 57, // 48, then steps of 64 up to 512, then four to each doubling up to 2 MiB
    ZA_POOL_FINE_BYTES_MAX = 512, // in steps of 64
    ZA_POOL_BLOCK_BYTES_MAX = 2 * 1024 * 1024,
    ZA_POOL_BATCH = 60,      // blocks of a magazine: it fills a block of 512 bytes
    ZA_POOL_MAGAZINE = 0xff, // za_block_t.kind of a magazine on its way
};

static_assert(sizeof(za_block_t) == 16, "two words before every user");
static_assert(ZA_POOLS_MAX <= UINT8_MAX, "home is a byte");
static_assert(sizeof(uintptr_t) == 8, "the size class fits above an address");

/** Blocks of one home that were freed elsewhere. Itself a block of the pool that filled it. */
typedef struct za_magazine {
    za_block_t block;
    uint64_t count;
    uint64_t blocks[ZA_POOL_BATCH]; // address, and the size class above it
} za_magazine_t;

enum { ZA_POOL_CLASS_SHIFT = 56 }; // addresses of user space end below

typedef struct za_pool za_pool_t;

typedef enum za_pool_bound {
    ZA_POOL_BOUNDED,
    ZA_POOL_BEYOND, // may exceed the bounds: notifications, bounded by what they are notices of
} za_pool_bound_t;

/** Answers whether an allocation may succeed; see za_pools_guard. */
typedef bool za_pool_guard_fn(void *context, size_t bytes, za_pool_bound_t bound);

/** What all pools of one runtime share. Complete because its owner embeds it. */
typedef struct za_pools {
    uint64_t bytes_max;
    uint64_t class_bytes_max;
    _Atomic uint64_t bytes;
    _Atomic uint64_t class_bytes[ZA_POOL_CLASSES]; // of `bytes`, by size class
    _Atomic uint64_t refused[ZA_POOL_CLASSES];     // answers of NULL
    za_pool_guard_fn *guard;                       // NULL but in tests
    void *guard_context;
    const za_numa_t *numa;           // NULL: chunks lie where they are touched first
    _Atomic uint64_t bytes_unplaced; // of chunks that the system did not put where they belong
    _Atomic(za_pool_t *) homes[ZA_POOLS_MAX];
} za_pools_t;

/** Complete because its owner embeds it; the fields are the pool's alone. */
struct za_pool {
    // Owner.
    struct {
        za_block_t *free;
        char *fresh; // not yet touched part of the newest chunk
        char *end;
        uint64_t chunk_bytes;
    } classes[ZA_POOL_CLASSES];
    za_magazine_t *away[ZA_POOLS_MAX]; // blocks of other homes; NULL: none yet
    uint32_t away_count;               // magazines that are not NULL
    uint8_t home;                      // whose blocks come back to `free`
    uint8_t index;                     // of the pool: the home of its blocks
    uint8_t numa_node; // new chunks come from there; ZA_NUMA_NODE_NONE: from anywhere
    void *chunks;
    uint64_t carved; // blocks that left the fresh part of a chunk
    za_pools_t *pools;
    // Others.
    _Alignas(64) _Atomic(za_block_t *) returned; // magazines, and single blocks
};

/** `class_bytes_max` 0: seven eighths of `bytes_max`, which leaves something for the other sizes. */
void za_pools_init(za_pools_t *pools, uint64_t bytes_max, uint64_t class_bytes_max);
/** From now on chunks are bound to memory nodes of `numa`, which outlives the pools. */
void za_pools_set_numa(za_pools_t *pools, const za_numa_t *numa);
/** The owner stays near memory node `node` from now on: so do the chunks it takes later. */
void za_pool_place(za_pool_t *pool, uint32_t node);
/** `pool` is zeroed memory and becomes home number `home`. */
void za_pool_init(za_pool_t *pool, za_pools_t *pools, uint8_t home);
/** Unmaps every chunk, whoever holds blocks of it. */
void za_pool_deinit(za_pool_t *pool);

/** Blocks that have a user now. Exact while no thread allocates or frees. */
uint64_t za_pools_blocks_in_use(const za_pools_t *pools);
/**
 * For tests of error paths: from now on `guard` is asked before every allocation, and a false is an
 * empty pool. Nothing that was freed is used again. Before the first allocation.
 */
void za_pools_guard(za_pools_t *pools, za_pool_guard_fn *guard, void *context);

/** Sends blocks of other homes there; for a thread that is about to rest. */
void za_pool_flush(za_pool_t *pool);

za_block_t *za_pool_alloc_slow(za_pool_t *pool, unsigned size_class, za_pool_bound_t bound);
/** Notes a block of another home; sends the magazine when it is full. */
void za_pool_free_away(za_pool_t *pool, za_block_t *block);
size_t za_pool_class_bytes(unsigned size_class);

static inline unsigned za_pool_class(size_t bytes)
{
    if (bytes <= ZA_POOL_FINE_BYTES_MAX) {
        return bytes <= 48 ? 0 : (unsigned)((bytes + 63) / 64);
    }
    unsigned exponent = 63u - (unsigned)__builtin_clzll(bytes - 1);
    return 9 + (exponent - 9) * 4 + (unsigned)((bytes - 1) >> (exponent - 2) & 3);
}

/** True if za_pool_take may be called for `bytes`. */
static inline bool za_pool_has(const za_pool_t *pool, size_t bytes)
{
    return bytes <= ZA_POOL_BLOCK_BYTES_MAX && pool->classes[za_pool_class(bytes)].free != NULL;
}

/** As za_pool_alloc, after za_pool_has was true: it cannot fail, and calls nothing. */
static inline za_block_t *za_pool_take(za_pool_t *pool, size_t bytes)
{
    unsigned size_class = za_pool_class(bytes);
    za_block_t *block = pool->classes[size_class].free;
    // relaxed: the block was freed by this thread, or acquired with the whole returned chain
    pool->classes[size_class].free = atomic_load_explicit(&block->next, memory_order_relaxed);
    ZA_TAKEN(block + 1, za_pool_class_bytes(size_class) - sizeof(za_block_t));
    return block;
}

/** A block of at least `bytes` with its head, whose `next` is undefined; NULL: none is left. */
static inline za_block_t *za_pool_alloc(za_pool_t *pool, size_t bytes, za_pool_bound_t bound)
{
    if (bytes > ZA_POOL_BLOCK_BYTES_MAX) {
        return NULL;
    }
    if (__builtin_expect(!za_pool_has(pool, bytes), 0)) {
        return za_pool_alloc_slow(pool, za_pool_class(bytes), bound);
    }
    return za_pool_take(pool, bytes);
}

/** Takes a block of any home. */
static inline void za_pool_free(za_pool_t *pool, za_block_t *block)
{
    ZA_FREED(block + 1, za_pool_class_bytes(block->size_class) - sizeof(za_block_t));
    unsigned home = block->home;
    unsigned size_class = block->size_class;
    if (__builtin_expect(home == pool->home, 1)) {
        // relaxed: published by nobody, the list is this thread's
        atomic_store_explicit(&block->next, pool->classes[size_class].free, memory_order_relaxed);
        pool->classes[size_class].free = block;
        return;
    }
    za_magazine_t *magazine = pool->away[home];
    if (__builtin_expect(magazine == NULL || magazine->count >= ZA_POOL_BATCH - 1, 0)) {
        za_pool_free_away(pool, block);
        return;
    }
    // The block itself is not written to: its line stays shared until its home uses it again.
    magazine->blocks[magazine->count++] = (uint64_t)(uintptr_t)block | (uint64_t)block->size_class
                                                                           << ZA_POOL_CLASS_SHIFT;
}
