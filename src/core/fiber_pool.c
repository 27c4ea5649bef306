#include "core/fiber_pool.h"

#include <string.h>
#include <sys/mman.h>

#include "core/fiber.h"
#include "core/worker.h"

enum { PAGE_BYTES = 4096 }; // of the layout; a kernel's page may be larger

struct za_fiber_chunk {
    za_fiber_chunk_t *next;
    size_t bytes; // mapped
    size_t step;  // from one stack to the next
    uint32_t used, count;
    uint8_t size; // of the shelf
    bool guarded;
};

// No text, no address and no small number; compared as bytes.
static const uint64_t canary_word = UINT64_C(0xd1b54a32d192ed03);

static_assert(ZA_FIBER_BYTES_MIN << (ZA_FIBER_SIZES - 1) == ZA_FIBER_BYTES_MAX, "the largest size");
static_assert(ZA_FIBER_CANARY_BYTES % sizeof canary_word == 0, "whole words");
static_assert(sizeof(za_fiber_chunk_t) + ZA_FIBER_CANARY_BYTES <= PAGE_BYTES, "in the first page");

static size_t size_bytes(uint8_t size)
{
    return (size_t)ZA_FIBER_BYTES_MIN << size;
}

static uint8_t size_of(size_t bytes)
{
    uint8_t size = 0;
    while (size_bytes(size) < bytes) {
        size++;
    }
    return size;
}

/* ---- chunks ------------------------------------------------------------------------------- */

/** The low end of a stack. */
static char *stack_low(za_fiber_chunk_t *chunk, uint32_t number)
{
    char *first = (char *)chunk + ZA_FIBER_GUARD_BYTES;
    first += chunk->guarded ? ZA_FIBER_GUARD_BYTES : -ZA_FIBER_CANARY_BYTES;
    return first + number * chunk->step;
}

static za_fiber_t *fiber_at(char *low, size_t bytes)
{
    uintptr_t at = (uintptr_t)low + bytes - sizeof(za_fiber_t);
    return (za_fiber_t *)(at & ~(uintptr_t)63);
}

static za_fiber_chunk_t *map_chunk(uint8_t size, bool guarded, uint32_t count)
{
    size_t step = size_bytes(size) + (guarded ? ZA_FIBER_GUARD_BYTES : 0);
    size_t bytes = 2 * ZA_FIBER_GUARD_BYTES + count * step;
    int protection = guarded ? PROT_NONE : PROT_READ | PROT_WRITE;
    void *pages = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
        return NULL;
    }
    // A huge page would be taken whole for the few that a stack uses. Without: no harm.
    madvise(pages, bytes, MADV_NOHUGEPAGE);
    if (guarded && mprotect(pages, ZA_FIBER_GUARD_BYTES, PROT_READ | PROT_WRITE) != 0) {
        munmap(pages, bytes);
        return NULL;
    }
    za_fiber_chunk_t *chunk = pages;
    *chunk = (za_fiber_chunk_t){
        .bytes = bytes, .step = step, .count = count, .size = size, .guarded = guarded
    };
    return chunk;
}

static uint32_t chunk_count(const za_fiber_pool_t *pool, uint8_t size, bool guarded)
{
    uint32_t count = (uint32_t)(ZA_FIBER_CHUNK_BYTES / size_bytes(size));
    uint32_t left = pool->guarded_max - pool->guarded;
    return guarded && left < count ? left : count;
}

static void write_canary(char *low)
{
    for (size_t i = 0; i < ZA_FIBER_CANARY_BYTES; i += sizeof canary_word) {
        memcpy(low + i, &canary_word, sizeof canary_word);
    }
}

/** A stack that nobody had yet; NULL: the system gives none of that kind. Under the lock. */
static za_fiber_t *make(za_fiber_pool_t *pool, uint8_t size, bool guarded)
{
    za_fiber_shelf_t *shelf = &pool->shelves[size][guarded];
    za_fiber_chunk_t *chunk = shelf->chunks;
    if (chunk == NULL || chunk->used == chunk->count) {
        uint32_t count = chunk_count(pool, size, guarded);
        chunk = count == 0 ? NULL : map_chunk(size, guarded, count);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->next = shelf->chunks;
        shelf->chunks = chunk;
    }
    char *low = stack_low(chunk, chunk->used);
    size_t bytes = size_bytes(size);
    if (!guarded) {
        write_canary(low);
    } else if (mprotect(low, bytes, PROT_READ | PROT_WRITE) != 0) {
        return NULL; // vm.max_map_count
    }
    chunk->used++;
    pool->guarded += guarded;
    za_fiber_t *fiber = fiber_at(low, bytes);
    *fiber = (za_fiber_t){ .low = low, .size = size, .guarded = guarded };
    za_fiber_make(fiber);
    return fiber;
}

static za_fiber_t *pop(za_fiber_shelf_t *shelf)
{
    za_fiber_t *fiber = shelf->free;
    if (fiber != NULL) {
        shelf->free = fiber->next;
        fiber->next = NULL;
    }
    return fiber;
}

/** One with a guard, as long as there may be more of them; then one without. */
static za_fiber_t *pop_or_make(za_fiber_pool_t *pool, uint8_t size)
{
    za_fiber_t *fiber = pop(&pool->shelves[size][1]);
    if (fiber == NULL && pool->guarded < pool->guarded_max) {
        fiber = make(pool, size, true);
    }
    if (fiber == NULL) {
        fiber = pop(&pool->shelves[size][0]);
    }
    return fiber != NULL ? fiber : make(pool, size, false);
}

/* ---- the pool ----------------------------------------------------------------------------- */

void za_fiber_pool_init(za_fiber_pool_t *pool, const za_runtime_config_t *config)
{
    *pool = (za_fiber_pool_t){
        .alive_max = config->fibers_max != 0 ? config->fibers_max : ZA_FIBERS_DEFAULT,
        .guarded_max = config->fibers_guarded_max != 0 ? config->fibers_guarded_max
                                                       : ZA_FIBERS_GUARDED_DEFAULT,
    };
    pthread_mutex_init(&pool->lock, NULL);
}

static void unmap(za_fiber_chunk_t *chunk)
{
    for (uint32_t i = 0; i < chunk->used; i++) {
        char *low = stack_low(chunk, i);
        za_fiber_unmake(fiber_at(low, size_bytes(chunk->size)));
        ZA_UNPOISON(low, size_bytes(chunk->size));
    }
    munmap(chunk, chunk->bytes);
}

void za_fiber_pool_deinit(za_fiber_pool_t *pool)
{
    for (uint8_t size = 0; size < ZA_FIBER_SIZES; size++) {
        for (int guarded = 0; guarded < 2; guarded++) {
            za_fiber_chunk_t *chunk = pool->shelves[size][guarded].chunks;
            while (chunk != NULL) {
                za_fiber_chunk_t *next = chunk->next;
                unmap(chunk);
                chunk = next;
            }
        }
    }
    pthread_mutex_destroy(&pool->lock);
}

za_err_t za_fiber_pool_take(za_fiber_pool_t *pool, size_t bytes, za_fiber_t **out,
                            bool *first_without_guard)
{
    ZA_ASSERT(bytes <= ZA_FIBER_BYTES_MAX);
    za_err_t err = ZA_ENOBUFS;
    pthread_mutex_lock(&pool->lock);
    if (pool->alive < pool->alive_max) {
        za_fiber_t *fiber =
            pop_or_make(pool, size_of(bytes != 0 ? bytes : (size_t)ZA_FIBER_BYTES_DEFAULT));
        err = fiber == NULL ? ZA_ENOMEM : ZA_OK;
        if (fiber != NULL) {
            pool->alive++;
            *first_without_guard = !fiber->guarded && !pool->told;
            pool->told = pool->told || !fiber->guarded;
            *out = fiber;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return err;
}

void za_fiber_pool_give(za_fiber_pool_t *pool, za_fiber_t *fiber)
{
    pthread_mutex_lock(&pool->lock);
    za_fiber_shelf_t *shelf = &pool->shelves[fiber->size][fiber->guarded];
    fiber->next = shelf->free;
    shelf->free = fiber;
    pool->alive--;
    pthread_mutex_unlock(&pool->lock);
}

bool za_fiber_is_whole(const za_fiber_t *fiber)
{
    uint64_t broken = 0;
    for (size_t i = 0; !fiber->guarded && i < ZA_FIBER_CANARY_BYTES; i += sizeof canary_word) {
        uint64_t word;
        memcpy(&word, fiber->low + i, sizeof word);
        broken |= word ^ canary_word;
    }
    return broken == 0;
}
