// Logistic map: series of x = r * x * (1 - x), each term asked of the actor that knows the series' r.

#include <stdatomic.h>

#include "macro/tables.h"

enum { SERIES = 25 };

typedef struct b_Term {
    double x;
} b_Term;

typedef struct b_Next {
    double x;
} b_Next;

BENCH_TYPE(b_Term, 365);
BENCH_TYPE(b_Next, 366);

static _Atomic uint32_t busy;

static double rate_of(uint64_t series)
{
    return 3.46 + (double)series * 0.0025;
}

typedef struct computer {
    double rate;
} computer_t;

static za_verdict_t computer_go(za_ctx_t *ctx, computer_t *self, const b_Go *m)
{
    (void)ctx;
    self->rate = rate_of(m->n);
    return ZA_DONE;
}

static za_verdict_t computer_term(za_ctx_t *ctx, computer_t *self, const b_Term *m)
{
    za_reply(ctx, ZA_MSG(b_Next, .x = self->rate * m->x * (1 - m->x)));
    return ZA_DONE;
}

ZA_ACTOR(computer, computer_t, (b_Go, computer_go), (b_Term, computer_term));

typedef struct series {
    za_ref_t computer;
    uint64_t number;
    uint64_t left;
    double x;
} series_t;

static za_verdict_t next_term(za_ctx_t *ctx, const series_t *self)
{
    bench_must(za_ask(ctx, self->computer, ZA_MSG(b_Term, .x = self->x), .timeout_ms = 60000),
               "ask");
    return ZA_DONE;
}

static za_verdict_t series_go(za_ctx_t *ctx, series_t *self, const b_Go *m)
{
    self->computer = m->ref;
    self->number = m->n >> 40;
    self->left = m->n & ((UINT64_C(1) << 40) - 1);
    self->x = 0.5;
    return next_term(ctx, self);
}

static za_verdict_t series_next(za_ctx_t *ctx, series_t *self, const b_Next *m)
{
    bench_check(m->x == rate_of(self->number) * self->x * (1 - self->x), "the next term");
    self->x = m->x;
    if (--self->left > 0) {
        return next_term(ctx, self);
    }
    if (atomic_fetch_sub_explicit(&busy, 1, memory_order_acq_rel) == 1) {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(series, series_t, (b_Go, series_go), (b_Next, series_next));

static double logistic(const bench_workload_t *workload, uint64_t terms)
{
    uint64_t each = terms / workload->how_many;
    static za_ref_t computers[SERIES];
    for (uint32_t i = 0; i < SERIES; i++) {
        computers[i] = bench_spawn(&computer_class, 0);
        bench_tell(computers[i], ZA_MSG(b_Go, .n = i));
    }
    atomic_store_explicit(&busy, SERIES, memory_order_relaxed); // sent after it
    bench_begin();
    for (uint64_t i = 0; i < SERIES; i++) {
        bench_tell(bench_spawn(&series_class, 0),
                   ZA_MSG(b_Go, .n = i << 40 | each, .ref = computers[i]));
    }
    return (double)(each * SERIES) / bench_wait() * 1e3;
}

const bench_workload_t bench_macro_logistic[] = {
    { .id = "logistic-map",
      .unit = "M/s",
      .measure = logistic,
      .amount = 1000000,
      .how_many = SERIES },
    { 0 },
};
