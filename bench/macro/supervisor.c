// A supervisor under stress: children fail at their first message and are restarted, again and again.

#include "macro/tables.h"

enum { CHILDREN = 100 };

typedef struct b_Fail {
    uint64_t unused;
} b_Fail;

BENCH_TYPE(b_Fail, 348);

typedef struct child {
    za_ref_t parent;
} child_t;

/** The spawn argument: the first message, again after each restart. */
static za_verdict_t child_go(za_ctx_t *ctx, child_t *self, const b_Go *m)
{
    self->parent = m->ref;
    bench_must(za_tell(ctx, self->parent, ZA_MSG(b_Msg, .n = 1, .ref = za_self(ctx))), "ready");
    return ZA_DONE;
}

static za_verdict_t child_fail(za_ctx_t *ctx, child_t *self, const b_Fail *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    return ZA_FAIL;
}

ZA_ACTOR(child, child_t, (b_Go, child_go), (b_Fail, child_fail));

typedef struct parent {
    uint64_t left; // restarts
} parent_t;

static za_verdict_t parent_go(za_ctx_t *ctx, parent_t *self, const b_Go *m)
{
    self->left = m->n + CHILDREN; // the first start of each is no restart
    for (int i = 0; i < CHILDREN; i++) {
        za_ref_t ref;
        bench_must(za_spawn(ctx, child, &ref, .max_restarts = UINT32_MAX,
                            ZA_ARGS(b_Go, .ref = za_self(ctx))),
                   "spawn");
    }
    return ZA_DONE;
}

static za_verdict_t parent_ready(za_ctx_t *ctx, parent_t *self, const b_Msg *m)
{
    if (self->left == 0) {
        return ZA_DONE; // others that were on their way
    }
    if (--self->left == 0) {
        bench_end();
        return ZA_DONE;
    }
    bench_must(za_tell(ctx, m->ref, ZA_MSG(b_Fail, .unused = 0)), "fail");
    return ZA_DONE;
}

ZA_ACTOR(parent, parent_t, (b_Go, parent_go), (b_Msg, parent_ready));

static double supervisor(const bench_workload_t *workload, uint64_t restarts)
{
    (void)workload;
    za_counters_t counters;
    za_ref_t root = bench_spawn(&parent_class, 0);
    bench_begin();
    bench_tell(root, ZA_MSG(b_Go, .n = restarts));
    double elapsed_ns = bench_wait();
    za_runtime_counters(bench_runtime(), &counters);
    bench_check(counters.restarted >= restarts, "a restart for each failure");
    return (double)restarts / elapsed_ns * 1e3;
}

const bench_workload_t bench_macro_supervisor[] = {
    { .id = "supervisor",
      .unit = "M/s",
      .measure = supervisor,
      .amount = 1000000,
      .how_many = CHILDREN },
    { 0 },
};
