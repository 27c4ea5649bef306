// Blocks of memory by pattern of use, beside malloc and free of the C library ("limit"): taken and
// freed at once, in bursts, in mixed sizes, and freed by another thread than took them.

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "micro/tables.h"

enum {
    BLOCK_BYTES = 64,
    BURST = 1000,
    MIXED_LIVE = 4096,
    MIXED_BYTES_MAX = 2048,
    PIPE = 1024, // blocks on their way to the thread that frees
};

// The C library's own: ours counts, and would be measured with it (counting.c).
void *__libc_malloc(size_t size);

/** An allocator under test. */
typedef struct memory {
    void *(*take)(za_worker_t *worker, size_t bytes);
    void (*give)(za_worker_t *worker, void *block);
} memory_t;

static void *take_message(za_worker_t *worker, size_t bytes)
{
    return za_message_alloc(worker, bytes);
}

static void give_message(za_worker_t *worker, void *block)
{
    za_message_free(worker, block);
}

static void *take_libc(za_worker_t *worker, size_t bytes)
{
    (void)worker;
    return __libc_malloc(bytes + 64); // the head of a message is 64 bytes too
}

static void give_libc(za_worker_t *worker, void *block)
{
    (void)worker;
    free(block);
}

static const memory_t messages_memory = { take_message, give_message };
static const memory_t libc_memory = { take_libc, give_libc };

static const memory_t *memory_of(const bench_workload_t *workload)
{
    return workload->impl == NULL ? &messages_memory : &libc_memory;
}

static void *take(const memory_t *memory, za_worker_t *worker, size_t bytes)
{
    char *block = memory->take(worker, bytes);
    if (block == NULL) {
        bench_fail("out of memory");
    }
    block[64] = 1; // who takes a block writes into it
    return block;
}

static double alloc_lifo(const bench_workload_t *workload, uint64_t blocks)
{
    const memory_t *memory = memory_of(workload);
    bench_begin();
    for (uint64_t i = 0; i < blocks; i++) {
        memory->give(bench_guest(), take(memory, bench_guest(), BLOCK_BYTES));
    }
    bench_end();
    return bench_wait() / (double)blocks;
}

static double alloc_burst(const bench_workload_t *workload, uint64_t blocks)
{
    const memory_t *memory = memory_of(workload);
    void *live[BURST];
    bench_begin();
    for (uint64_t i = 0; i < blocks / BURST; i++) {
        for (int at = 0; at < BURST; at++) {
            live[at] = take(memory, bench_guest(), BLOCK_BYTES);
        }
        for (int at = 0; at < BURST; at++) {
            memory->give(bench_guest(), live[at]);
        }
    }
    bench_end();
    return bench_wait() / (double)blocks;
}

static double alloc_mixed(const bench_workload_t *workload, uint64_t blocks)
{
    static void *live[MIXED_LIVE];
    const memory_t *memory = memory_of(workload);
    uint64_t seed = 4711;
    for (int at = 0; at < MIXED_LIVE; at++) {
        live[at] = take(memory, bench_guest(), bench_random(&seed, MIXED_BYTES_MAX) + 1);
    }
    bench_begin();
    for (uint64_t i = 0; i < blocks; i++) {
        uint32_t at = bench_random(&seed, MIXED_LIVE);
        memory->give(bench_guest(), live[at]);
        live[at] = take(memory, bench_guest(), bench_random(&seed, MIXED_BYTES_MAX) + 1);
    }
    bench_end();
    double elapsed_ns = bench_wait();
    for (int at = 0; at < MIXED_LIVE; at++) {
        memory->give(bench_guest(), live[at]);
    }
    return elapsed_ns / (double)blocks;
}

/** Blocks on their way from the thread that takes to the one that frees. */
static struct {
    const memory_t *memory;
    za_worker_t *guest; // of the thread that frees
    uint64_t blocks;
    _Alignas(64) _Atomic uint64_t taken;
    _Alignas(64) _Atomic uint64_t freed;
    void *slots[PIPE];
} cross;

/** The other thread is to go on: on a busy machine it may not even run. */
static void wait_a_little(uint32_t *looks)
{
    enum { LOOKS = 4096 };
    if (++*looks % LOOKS == 0) {
        sched_yield();
    }
}

static void *free_all(void *unused)
{
    (void)unused;
    uint32_t looks = 0;
    for (uint64_t i = 0; i < cross.blocks;) {
        // pairs: bench-pipe
        uint64_t until = atomic_load_explicit(&cross.taken, memory_order_acquire);
        if (i == until) {
            wait_a_little(&looks);
            continue;
        }
        for (; i < until; i++) {
            cross.memory->give(cross.guest, cross.slots[i % PIPE]);
        }
        atomic_store_explicit(&cross.freed, i, memory_order_release); // pairs: bench-pipe
    }
    return NULL;
}

static double alloc_cross(const bench_workload_t *workload, uint64_t blocks)
{
    enum { BATCH = 32 }; // as many as a turn sends: the pipe itself is not to be measured
    uint32_t looks = 0;
    pthread_t thread;
    cross.memory = memory_of(workload);
    cross.guest = za_runtime_guest(bench_runtime());
    cross.blocks = blocks - blocks % BATCH;
    atomic_store_explicit(&cross.taken, 0, memory_order_relaxed); // before the thread
    atomic_store_explicit(&cross.freed, 0, memory_order_relaxed);
    bench_check(pthread_create(&thread, NULL, free_all, NULL) == 0, "a thread");
    bench_begin();
    for (uint64_t i = 0; i < cross.blocks; i += BATCH) {
        // pairs: bench-pipe
        while (i + BATCH - atomic_load_explicit(&cross.freed, memory_order_acquire) > PIPE) {
            wait_a_little(&looks);
        }
        for (uint64_t at = i; at < i + BATCH; at++) {
            cross.slots[at % PIPE] = take(cross.memory, bench_guest(), BLOCK_BYTES);
        }
        atomic_store_explicit(&cross.taken, i + BATCH, memory_order_release); // pairs: bench-pipe
    }
    pthread_join(thread, NULL);
    bench_end();
    return bench_wait() / (double)blocks;
}

#define PATTERN(name, function, count)                                                             \
    { .id = name, .unit = "ns", .measure = function, .amount = count, .workers = 1 },              \
    {                                                                                              \
        .id = name, .impl = "limit", .unit = "ns", .measure = function, .amount = count,           \
        .workers = 1                                                                               \
    }

const bench_workload_t bench_micro_memory[] = {
    PATTERN("alloc-lifo", alloc_lifo, 20000000),
    PATTERN("alloc-burst", alloc_burst, 20000000),
    PATTERN("alloc-mixed", alloc_mixed, 5000000),
    PATTERN("alloc-cross", alloc_cross, 10000000),
    { 0 },
};
