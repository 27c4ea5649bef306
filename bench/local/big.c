// Many to many: each actor sends a ping to a random other one and waits for its pong (Savina's big).

#include <stdatomic.h>

#include "harness.h"
#include "local/tables.h"

enum { ACTORS = 1000 };

static za_ref_t everybody[ACTORS];
static _Atomic uint32_t busy; // actors that have pings to send

typedef struct b_Ping {
    za_ref_t from;
} b_Ping;

typedef struct b_Pong {
    uint64_t n;
} b_Pong;

BENCH_TYPE(b_Ping, 304);
BENCH_TYPE(b_Pong, 305);

typedef struct caller {
    uint64_t left;
    uint64_t seed;
} caller_t;

static void ping(za_ctx_t *ctx, caller_t *self)
{
    za_ref_t to = everybody[bench_random(&self->seed, ACTORS)];
    bench_must(za_tell(ctx, to, ZA_MSG(b_Ping, .from = za_self(ctx))), "ping");
}

static za_verdict_t caller_go(za_ctx_t *ctx, caller_t *self, const b_Go *m)
{
    self->left = m->n;
    self->seed = m->ref.actor;
    ping(ctx, self);
    return ZA_DONE;
}

static za_verdict_t caller_ping(za_ctx_t *ctx, caller_t *self, const b_Ping *m)
{
    (void)self;
    bench_must(za_tell(ctx, m->from, ZA_MSG(b_Pong, .n = 1)), "pong");
    return ZA_DONE;
}

static za_verdict_t caller_pong(za_ctx_t *ctx, caller_t *self, const b_Pong *m)
{
    (void)m;
    if (--self->left > 0) {
        ping(ctx, self);
    } else if (atomic_fetch_sub_explicit(&busy, 1, memory_order_acq_rel) == 1) {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(caller, caller_t, (b_Ping, caller_ping), (b_Pong, caller_pong), (b_Go, caller_go));

/** Pings and pongs both count. */
static double big(const bench_workload_t *workload, uint64_t messages)
{
    uint64_t each = messages / 2 / workload->how_many;
    for (uint32_t i = 0; i < ACTORS; i++) {
        everybody[i] = bench_spawn(&caller_class, 0);
    }
    atomic_store_explicit(&busy, ACTORS, memory_order_relaxed); // relaxed: sent after it
    bench_begin();
    for (uint32_t i = 0; i < ACTORS; i++) {
        bench_tell(everybody[i],
                   ZA_MSG(b_Go, .n = each, .ref.actor = UINT64_C(0x9e3779b97f4a7c15) * (i + 1)));
    }
    return (double)(each * 2 * ACTORS) / bench_wait() * 1e3;
}

const bench_workload_t bench_local_big[] = {
    { .id = "big", .unit = "M/s", .measure = big, .amount = 10000000, .how_many = ACTORS },
    { 0 },
};
