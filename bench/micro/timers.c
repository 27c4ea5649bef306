// Timers: armed and cancelled, armed and fired, alone and with a million others armed.

#include <stdatomic.h>

#include "micro/tables.h"

enum {
    BATCH = 1000,
    MANY = 1000000,   // armed besides
    HOLDER = 10000,   // of them by one actor
    ACTIVE = 40000,   // that fire and are armed again: more than one worker keeps up with
    FAR_MS = 3600000, // never in a benchmark
};

typedef struct clerk {
    uint64_t to_arm; // besides
    uint64_t left;
    uint64_t seed;
} clerk_t;

typedef struct b_Fire {
    uint64_t unused;
} b_Fire;

typedef struct b_Cancel {
    uint64_t count; // 0: go on
} b_Cancel;

BENCH_TYPE(b_Fire, 312);
BENCH_TYPE(b_Cancel, 313);

static _Atomic uint32_t holders_left; // that have not armed all of theirs

/** Arms what stands besides, some at a time, then says so. */
static za_verdict_t clerk_go(za_ctx_t *ctx, clerk_t *self, const b_Go *m)
{
    if (m->n > 0) {
        self->to_arm = m->n;
        self->seed = m->ref.actor;
    }
    for (int i = 0; i < BATCH && self->to_arm > 0; i++, self->to_arm--) {
        uint32_t delay_ms = FAR_MS + bench_random(&self->seed, FAR_MS);
        bench_must(za_after(ctx, delay_ms, ZA_MSG(b_Fire, .unused = 0), NULL), "arm");
    }
    if (self->to_arm > 0) {
        bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Go, .n = 0)), "tell");
    } else if (atomic_fetch_sub_explicit(&holders_left, 1, memory_order_acq_rel) == 1) {
        bench_end();
    }
    return ZA_DONE;
}

static za_verdict_t clerk_cancel(za_ctx_t *ctx, clerk_t *self, const b_Cancel *m)
{
    if (m->count > 0) {
        self->left = m->count;
        self->seed = 4711;
    }
    for (int i = 0; i < BATCH && self->left > 0; i++, self->left--) {
        za_timer_t timer;
        uint32_t delay_ms = 1000 + bench_random(&self->seed, 60000);
        bench_must(za_after(ctx, delay_ms, ZA_MSG(b_Fire, .unused = 0), &timer), "arm");
        za_cancel(ctx, &timer);
    }
    if (self->left > 0) {
        bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Cancel, .count = 0)), "tell");
    } else {
        bench_end();
    }
    return ZA_DONE;
}

static void arm_soon(za_ctx_t *ctx, clerk_t *self)
{
    uint32_t delay_ms = 1 + bench_random(&self->seed, 2);
    bench_must(za_after(ctx, delay_ms, ZA_MSG(b_Fire, .unused = 0), NULL), "arm");
}

static za_verdict_t clerk_fire(za_ctx_t *ctx, clerk_t *self, const b_Fire *m)
{
    (void)m;
    if (self->left > 0 && --self->left == 0) {
        bench_end();
    } else if (self->left >= ACTIVE) {
        arm_soon(ctx, self);
    }
    return ZA_DONE;
}

static za_verdict_t clerk_msg(za_ctx_t *ctx, clerk_t *self, const b_Msg *m)
{
    self->left = m->n;
    self->seed = 4711;
    for (int i = 0; i < ACTIVE; i++) {
        arm_soon(ctx, self);
    }
    return ZA_DONE;
}

ZA_ACTOR(clerk, clerk_t, (b_Go, clerk_go), (b_Cancel, clerk_cancel), (b_Msg, clerk_msg),
         (b_Fire, clerk_fire));

static void arm_besides(uint32_t timers)
{
    if (timers == 0) {
        return;
    }
    // relaxed: sent after it
    atomic_store_explicit(&holders_left, timers / HOLDER, memory_order_relaxed);
    bench_begin();
    for (uint32_t i = 0; i < timers / HOLDER; i++) {
        bench_tell(bench_spawn(&clerk_class, 0), ZA_MSG(b_Go, .n = HOLDER, .ref.actor = i + 1));
    }
    bench_param("arm_ns", bench_wait() / timers);
}

static double timer_cancel(const bench_workload_t *workload, uint64_t timers)
{
    za_ref_t ref = bench_spawn(&clerk_class, 0);
    arm_besides(workload->how_many);
    bench_begin();
    bench_tell(ref, ZA_MSG(b_Cancel, .count = timers));
    return bench_wait() / (double)timers;
}

static double timer_fire(const bench_workload_t *workload, uint64_t timers)
{
    za_ref_t ref = bench_spawn(&clerk_class, 0);
    arm_besides(workload->how_many);
    timers = timers > ACTIVE ? timers : ACTIVE;
    bench_begin();
    bench_tell(ref, ZA_MSG(b_Msg, .n = timers));
    return bench_wait() / (double)timers;
}

#define TIMER(name, function, besides)                                                             \
    {                                                                                              \
        .id = name, .unit = "ns", .measure = function, .amount = 2000000, .how_many = besides,     \
        .workers = 1                                                                               \
    }

const bench_workload_t bench_micro_timers[] = {
    TIMER("timer-cancel", timer_cancel, 0),
    TIMER("timer-cancel-1m", timer_cancel, MANY),
    TIMER("timer-fire", timer_fire, 0),
    TIMER("timer-fire-1m", timer_fire, MANY),
    { 0 },
};
