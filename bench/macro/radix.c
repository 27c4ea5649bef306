// Radix sort as a chain: each actor lets numbers with its bit clear pass and holds the others back.

#include "macro/tables.h"

enum { BITS = 20, BATCH = 100, HELD_MAX = 200000 };

typedef struct b_Value {
    uint64_t n;
    uint64_t end; // 1: that was all
} b_Value;

BENCH_TYPE(b_Value, 362);

static uint32_t held[BITS][HELD_MAX]; // by the sorter of each bit alone

typedef struct sorter {
    za_ref_t next;
    uint32_t bit;
    uint32_t count;
} sorter_t;

static za_verdict_t sorter_go(za_ctx_t *ctx, sorter_t *self, const b_Go *m)
{
    (void)ctx;
    *self = (sorter_t){ .next = m->ref, .bit = (uint32_t)m->n };
    return ZA_DONE;
}

static za_verdict_t sorter_value(za_ctx_t *ctx, sorter_t *self, const b_Value *m)
{
    if (m->end == 1) {
        for (uint32_t i = 0; i < self->count; i++) {
            bench_must(za_tell(ctx, self->next, ZA_MSG(b_Value, .n = held[self->bit][i])),
                       "pass on");
        }
        bench_must(za_tell(ctx, self->next, ZA_MSG(b_Value, .end = 1)), "end");
    } else if ((m->n >> self->bit & 1) == 1) {
        held[self->bit][self->count++] = (uint32_t)m->n;
    } else {
        bench_must(za_tell(ctx, self->next, ZA_MSG(b_Value, .n = m->n)), "pass on");
    }
    return ZA_DONE;
}

ZA_ACTOR(sorter, sorter_t, (b_Go, sorter_go), (b_Value, sorter_value));

typedef struct checker {
    uint64_t last;
    uint64_t left;
} checker_t;

static za_verdict_t checker_go(za_ctx_t *ctx, checker_t *self, const b_Go *m)
{
    (void)ctx;
    self->left = m->n;
    return ZA_DONE;
}

static za_verdict_t checker_value(za_ctx_t *ctx, checker_t *self, const b_Value *m)
{
    (void)ctx;
    if (m->end == 1) {
        bench_check(self->left == 0, "every number arrives once");
        bench_end();
        return ZA_DONE;
    }
    bench_check(m->n >= self->last, "numbers arrive in order");
    self->last = m->n;
    self->left--;
    return ZA_DONE;
}

ZA_ACTOR(checker, checker_t, (b_Go, checker_go), (b_Value, checker_value));

typedef struct values {
    za_ref_t first;
    uint64_t left;
    uint64_t seed;
} values_t;

static za_verdict_t values_more(za_ctx_t *ctx, values_t *self, const b_Msg *m)
{
    (void)m;
    for (int i = 0; i < BATCH && self->left > 0; i++, self->left--) {
        uint64_t n = bench_random(&self->seed, 1u << BITS);
        bench_must(za_tell(ctx, self->first, ZA_MSG(b_Value, .n = n)), "value");
    }
    if (self->left > 0) {
        bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Msg, .n = 0)), "go on");
    } else {
        bench_must(za_tell(ctx, self->first, ZA_MSG(b_Value, .end = 1)), "end");
    }
    return ZA_DONE;
}

static za_verdict_t values_go(za_ctx_t *ctx, values_t *self, const b_Go *m)
{
    *self = (values_t){ .first = m->ref, .left = m->n, .seed = 4711 };
    return values_more(ctx, self, NULL);
}

ZA_ACTOR(values, values_t, (b_Go, values_go), (b_Msg, values_more));

/** Each number passes every sorter: hops per second. */
static double radix(const bench_workload_t *workload, uint64_t numbers)
{
    (void)workload;
    za_ref_t next = bench_spawn(&checker_class, UINT32_MAX);
    bench_tell(next, ZA_MSG(b_Go, .n = numbers));
    for (uint64_t bit = BITS; bit > 0; bit--) {
        za_ref_t sorter = bench_spawn(&sorter_class, UINT32_MAX);
        bench_tell(sorter, ZA_MSG(b_Go, .n = bit - 1, .ref = next));
        next = sorter;
    }
    za_ref_t values = bench_spawn(&values_class, 0);
    bench_begin();
    bench_tell(values, ZA_MSG(b_Go, .n = numbers, .ref = next));
    return (double)(numbers * (BITS + 1)) / bench_wait() * 1e3;
}

const bench_workload_t bench_macro_radix[] = {
    { .id = "radix-sort", .unit = "M/s", .measure = radix, .amount = HELD_MAX, .how_many = BITS },
    { 0 },
};
