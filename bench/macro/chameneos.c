// Chameneos (Kaiser and Pradat-Peyre, 2003): creatures meet two by two at a mall and change colour.

#include "macro/tables.h"

enum { CREATURES = 100 };

typedef struct b_Meet {
    za_ref_t from;
    uint64_t colour;
} b_Meet;

typedef struct b_Met {
    uint64_t colour; // of the other
} b_Met;

typedef struct b_Over {
    uint64_t unused;
} b_Over;

BENCH_TYPE(b_Meet, 345);
BENCH_TYPE(b_Met, 346);
BENCH_TYPE(b_Over, 347);

typedef struct creature {
    za_ref_t mall;
    uint64_t colour;
    uint64_t meetings;
} creature_t;

static za_verdict_t meet(za_ctx_t *ctx, const creature_t *self)
{
    const b_Meet message = { .from = za_self(ctx), .colour = self->colour };
    bench_must(za_tell(ctx, self->mall, &b_Meet_type, &message), "meet");
    return ZA_DONE;
}

static za_verdict_t creature_go(za_ctx_t *ctx, creature_t *self, const b_Go *m)
{
    *self = (creature_t){ .mall = m->ref, .colour = m->n % 3 };
    return meet(ctx, self);
}

static za_verdict_t creature_met(za_ctx_t *ctx, creature_t *self, const b_Met *m)
{
    self->meetings++;
    self->colour = self->colour == m->colour ? self->colour : 3 - self->colour - m->colour;
    return meet(ctx, self);
}

static za_verdict_t creature_over(za_ctx_t *ctx, creature_t *self, const b_Over *m)
{
    (void)m;
    bench_must(za_tell(ctx, self->mall, ZA_MSG(b_Msg, .n = self->meetings)), "count");
    return ZA_STOP;
}

ZA_ACTOR(creature, creature_t, (b_Go, creature_go), (b_Met, creature_met), (b_Over, creature_over));

typedef struct mall {
    b_Meet waiting; // from: none
    uint64_t left;
    uint64_t meetings;
    uint64_t counted;
    uint64_t creatures;
} mall_t;

static za_verdict_t mall_go(za_ctx_t *ctx, mall_t *self, const b_Go *m)
{
    (void)ctx;
    *self = (mall_t){ .left = m->n, .meetings = m->n, .creatures = CREATURES };
    return ZA_DONE;
}

static za_verdict_t mall_meet(za_ctx_t *ctx, mall_t *self, const b_Meet *m)
{
    if (self->left == 0) {
        bench_must(za_tell(ctx, m->from, ZA_MSG(b_Over, .unused = 0)), "over");
    } else if (za_ref_is_none(self->waiting.from)) {
        self->waiting = *m;
    } else {
        bench_must(za_tell(ctx, self->waiting.from, ZA_MSG(b_Met, .colour = m->colour)), "met");
        bench_must(za_tell(ctx, m->from, ZA_MSG(b_Met, .colour = self->waiting.colour)), "met");
        self->waiting.from = ZA_REF_NONE;
        self->left--;
    }
    return ZA_DONE;
}

static za_verdict_t mall_count(za_ctx_t *ctx, mall_t *self, const b_Msg *m)
{
    (void)ctx;
    self->counted += m->n;
    if (--self->creatures == 0) {
        bench_check(self->counted == 2 * self->meetings, "two creatures in each meeting");
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(mall, mall_t, (b_Go, mall_go), (b_Meet, mall_meet), (b_Msg, mall_count));

static double chameneos(const bench_workload_t *workload, uint64_t meetings)
{
    za_ref_t mall = bench_spawn(&mall_class, 0);
    bench_tell(mall, ZA_MSG(b_Go, .n = meetings));
    bench_begin();
    for (uint32_t i = 0; i < workload->how_many; i++) {
        bench_tell(bench_spawn(&creature_class, 0), ZA_MSG(b_Go, .n = i, .ref = mall));
    }
    return (double)meetings / bench_wait() * 1e3;
}

const bench_workload_t bench_macro_chameneos[] = {
    { .id = "chameneos",
      .unit = "M/s",
      .measure = chameneos,
      .amount = 2000000,
      .how_many = CREATURES },
    { 0 },
};
