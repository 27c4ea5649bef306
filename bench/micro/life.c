// An actor's life: the call that spawns it, and all of it up to the notice of its end.

#include "micro/tables.h"

enum { BATCH = 100 };

typedef struct parent {
    uint64_t left;
    uint64_t begun_ns;
    uint64_t spawn_ns; // in za_spawn alone
} parent_t;

typedef struct child {
    uint64_t data[4];
} child_t;

static za_verdict_t child_msg(za_ctx_t *ctx, child_t *self, const b_Msg *m)
{
    (void)ctx;
    self->data[0] = m->n;
    return ZA_DONE;
}

ZA_ACTOR(child, child_t, (b_Msg, child_msg));

static void live(za_ctx_t *ctx, parent_t *self)
{
    za_ref_t ref;
    self->begun_ns = bench_now_ns();
    bench_must(za_spawn(ctx, child, &ref), "spawn");
    bench_must(za_watch(ctx, ref), "watch");
    bench_must(za_stop(ctx, ref), "stop");
}

static za_verdict_t parent_go(za_ctx_t *ctx, parent_t *self, const b_Go *m)
{
    self->left = m->n;
    live(ctx, self);
    return ZA_DONE;
}

static za_verdict_t parent_down(za_ctx_t *ctx, parent_t *self, const za_Down *m)
{
    (void)m;
    bench_latency_add(bench_latencies(), bench_now_ns() - self->begun_ns);
    if (--self->left == 0) {
        bench_end();
    } else {
        live(ctx, self);
    }
    return ZA_DONE;
}

ZA_ACTOR(parent, parent_t, (b_Go, parent_go), (za_Down, parent_down));

static double life(const bench_workload_t *workload, uint64_t lives)
{
    (void)workload;
    za_ref_t root = bench_spawn(&parent_class, 0);
    bench_begin();
    bench_tell(root, ZA_MSG(b_Go, .n = lives));
    bench_wait();
    return bench_latency_at(bench_latencies(), 0.5);
}

static uint64_t spawn_ns; // written by the actor before bench_end

static za_verdict_t breeder_go(za_ctx_t *ctx, parent_t *self, const b_Go *m)
{
    self->left = m->n > 0 ? m->n : self->left;
    uint64_t count = self->left < BATCH ? self->left : BATCH;
    za_ref_t refs[BATCH];
    uint64_t begun_ns = bench_now_ns();
    for (uint64_t i = 0; i < count; i++) {
        bench_must(za_spawn(ctx, child, &refs[i]), "spawn");
    }
    self->spawn_ns += bench_now_ns() - begun_ns;
    self->left -= count;
    for (uint64_t i = 0; i < count; i++) {
        bench_must(za_stop(ctx, refs[i]), "stop");
    }
    if (self->left > 0) {
        bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Go, .n = 0)), "tell");
    } else {
        spawn_ns = self->spawn_ns;
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(breeder, parent_t, (b_Go, breeder_go));

static double spawn_call(const bench_workload_t *workload, uint64_t actors)
{
    (void)workload;
    za_ref_t root = bench_spawn(&breeder_class, 0);
    bench_begin();
    bench_tell(root, ZA_MSG(b_Go, .n = actors));
    bench_wait();
    return (double)spawn_ns / (double)actors;
}

const bench_workload_t bench_micro_life[] = {
    { .id = "spawn-call", .unit = "ns", .measure = spawn_call, .amount = 1000000, .workers = 1 },
    { .id = "spawn-stop", .unit = "ns", .measure = life, .amount = 300000 },
    { 0 },
};
