/** Blocks are made on one thread and freed on others: they all come home, and none is given twice. */
#include <string.h>

#include "base/pool.h"
#include "stress_world.h"

enum { THREADS = 4, SLOTS = 512 };

static uint64_t rounds;
static za_pools_t pools;
static za_pool_t thread_pools[THREADS];
static _Atomic(za_block_t *) slots[SLOTS];

static void fill(za_block_t *block, size_t bytes, unsigned char value)
{
    memset(block + 1, value, bytes - sizeof *block);
    block->bytes = (uint32_t)bytes;
    block->kind = value;
}

static void check(const za_block_t *block)
{
    const unsigned char *bytes = (const unsigned char *)(block + 1);
    for (size_t i = 0; i < block->bytes - sizeof *block; i++) {
        MUST(bytes[i] == block->kind);
    }
}

static void *churn(void *argument)
{
    za_pool_t *pool = argument;
    uint64_t state = (uint64_t)(pool - thread_pools) + 1;
    for (uint64_t i = 0; i < rounds; i++) {
        state = state * UINT64_C(6364136223846793005) + 1;
        size_t bytes = 48 + (state >> 40) % 1000;
        za_block_t *block = za_pool_alloc(pool, bytes, ZA_POOL_BOUNDED);
        MUST(block != NULL);
        fill(block, bytes, (unsigned char)(state >> 33));
        za_block_t *other =
            atomic_exchange_explicit(&slots[(state >> 20) % SLOTS], block, memory_order_acq_rel);
        if (other != NULL) {
            check(other);
            za_pool_free(pool, other);
        }
    }
    za_pool_flush(pool);
    return NULL;
}

int main(int argc, char **argv)
{
    rounds = stress_rounds(argc, argv, 300000);
    za_pools_init(&pools, 64u << 20, 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        za_pool_init(&thread_pools[i], &pools, (uint8_t)i);
    }
    for (int i = 0; i < THREADS; i++) {
        MUST(pthread_create(&threads[i], NULL, churn, &thread_pools[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        za_pool_deinit(&thread_pools[i]);
    }
    return 0;
}
