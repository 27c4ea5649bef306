// Rings: tokens go round.

#include <stdatomic.h>

#include "harness.h"
#include "local/tables.h"

enum { RING = 1000, THREAD_RING = 503 }; // actors, of many tokens and of one

static _Atomic uint64_t tokens_left;

typedef struct link {
    za_ref_t next;
} link_t;

static za_verdict_t link_go(za_ctx_t *ctx, link_t *self, const b_Go *m)
{
    (void)ctx;
    self->next = m->ref;
    return ZA_DONE;
}

static za_verdict_t link_msg(za_ctx_t *ctx, link_t *self, const b_Msg *m)
{
    if (m->n > 0) {
        ZA_IGNORE(za_tell(ctx, self->next, ZA_MSG(b_Msg, .n = m->n - 1)));
    } else if (atomic_fetch_sub_explicit(&tokens_left, 1, memory_order_acq_rel) == 1) {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(link, link_t, (b_Msg, link_msg), (b_Go, link_go));

static double hops_ns(uint32_t size, uint32_t tokens, uint64_t hops)
{
    static za_ref_t links[RING];
    for (uint32_t i = 0; i < size; i++) {
        links[i] = bench_spawn(&link_class, 0);
    }
    for (uint32_t i = 0; i < size; i++) {
        bench_tell(links[i], ZA_MSG(b_Go, .ref = links[(i + 1) % size]));
    }
    atomic_store_explicit(&tokens_left, tokens, memory_order_relaxed); // relaxed: sent after it
    bench_begin();
    for (uint32_t i = 0; i < tokens; i++) {
        bench_tell(links[i * (size / tokens) % size], ZA_MSG(b_Msg, .n = hops / tokens));
    }
    return bench_wait();
}

static double ring(const bench_workload_t *workload, uint64_t hops)
{
    return (double)hops / hops_ns(RING, workload->how_many, hops) * 1e3;
}

static double threadring(const bench_workload_t *workload, uint64_t hops)
{
    return hops_ns(THREAD_RING, workload->how_many, hops) / (double)hops;
}

const bench_workload_t bench_local_ring[] = {
    { .id = "ring", .unit = "M/s", .measure = ring, .amount = 20000000, .how_many = 1000 },
    { .id = "threadring",
      .unit = "ns/hop",
      .measure = threadring,
      .amount = 5000000,
      .how_many = 1 },
    { 0 },
};
