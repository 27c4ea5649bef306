// Actors that come and go, and what one that does nothing weighs.

#include "harness.h"
#include "local/tables.h"
#include "resident.h"

enum { BATCH = 100 }; // actors of one handler call

typedef struct parent {
    uint64_t left;
    uint64_t replies;
} parent_t;

typedef struct child {
    uint64_t data[4];
} child_t;

static za_verdict_t child_msg(za_ctx_t *ctx, child_t *self, const b_Msg *m)
{
    self->data[0] = m->n;
    ZA_IGNORE(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Msg, .n = 1)));
    return ZA_STOP;
}

ZA_ACTOR(child, child_t, (b_Msg, child_msg));

static za_verdict_t breed(za_ctx_t *ctx, parent_t *self)
{
    for (int i = 0; i < BATCH && self->left > 0; i++, self->left--) {
        za_ref_t ref;
        if (za_spawn(ctx, child, &ref) != ZA_OK) {
            break;
        }
        ZA_IGNORE(za_tell(ctx, ref, ZA_MSG(b_Msg, .n = self->left)));
    }
    if (self->left > 0) {
        ZA_IGNORE(za_tell(ctx, za_self(ctx), ZA_MSG(b_Go, .n = 0)));
    }
    return ZA_DONE;
}

static za_verdict_t parent_go(za_ctx_t *ctx, parent_t *self, const b_Go *m)
{
    if (m->n > 0) {
        self->left = self->replies = m->n;
    }
    return breed(ctx, self);
}

static za_verdict_t parent_msg(za_ctx_t *ctx, parent_t *self, const b_Msg *m)
{
    (void)ctx;
    (void)m;
    if (--self->replies == 0) {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(parent, parent_t, (b_Msg, parent_msg), (b_Go, parent_go));

static double spawning(const bench_workload_t *workload, uint64_t actors)
{
    (void)workload;
    za_ref_t root = bench_spawn(&parent_class, UINT32_MAX);
    bench_begin();
    bench_tell(root, ZA_MSG(b_Go, .n = actors));
    return (double)actors / bench_wait() * 1e3;
}

/* ---- actor-bytes -------------------------------------------------------------------------- */

static za_verdict_t breed_idle(za_ctx_t *ctx, parent_t *self, const b_Go *m)
{
    self->left = m->n > 0 ? m->n : self->left;
    for (int i = 0; i < BATCH && self->left > 0; i++, self->left--) {
        za_ref_t ref;
        bench_must(za_spawn(ctx, child, &ref), "spawn");
    }
    if (self->left > 0) {
        ZA_IGNORE(za_tell(ctx, za_self(ctx), ZA_MSG(b_Go, .n = 0)));
    } else {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(idler, parent_t, (b_Go, breed_idle));

static double actor_bytes(const bench_workload_t *workload, uint64_t actors)
{
    (void)workload;
    za_ref_t root = bench_spawn(&idler_class, 0);
    uint64_t before = bench_resident_bytes();
    bench_begin();
    bench_tell(root, ZA_MSG(b_Go, .n = actors));
    bench_wait();
    return (double)(bench_resident_bytes() - before) / (double)actors;
}

/* ---- skynet ------------------------------------------------------------------------------- */

typedef struct b_Sky {
    uint64_t first; // the number of the first leaf
    uint64_t leaves;
} b_Sky;

BENCH_TYPE(b_Sky, 306);

typedef struct sky {
    za_ref_t parent;
    uint64_t sum;
    uint32_t left;
} sky_t;

static za_verdict_t sky_split(za_ctx_t *ctx, sky_t *self, const b_Sky *m);
static za_verdict_t sky_sum(za_ctx_t *ctx, sky_t *self, const b_Msg *m);

enum { FAN_OUT = 10 };

ZA_ACTOR(sky, sky_t, (b_Sky, sky_split), (b_Msg, sky_sum));

static za_verdict_t sky_split(za_ctx_t *ctx, sky_t *self, const b_Sky *m)
{
    if (m->leaves == 1) {
        bench_must(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Msg, .n = m->first)), "sum");
        return ZA_STOP;
    }
    self->parent = za_sender(ctx);
    self->left = FAN_OUT;
    uint64_t each = m->leaves / FAN_OUT;
    for (uint64_t i = 0; i < FAN_OUT; i++) {
        za_ref_t child;
        bench_must(za_spawn(ctx, sky, &child), "spawn");
        const b_Sky part = { .first = m->first + i * each, .leaves = each };
        bench_must(za_tell(ctx, child, &b_Sky_type, &part), "split");
    }
    return ZA_DONE;
}

static za_verdict_t sky_sum(za_ctx_t *ctx, sky_t *self, const b_Msg *m)
{
    self->sum += m->n;
    if (--self->left > 0) {
        return ZA_DONE;
    }
    bench_must(za_tell(ctx, self->parent, ZA_MSG(b_Msg, .n = self->sum)), "sum");
    return ZA_STOP;
}

typedef struct sky_root {
    uint64_t leaves;
} sky_root_t;

static za_verdict_t sky_root_go(za_ctx_t *ctx, sky_root_t *self, const b_Go *m)
{
    za_ref_t top;
    self->leaves = m->n;
    bench_must(za_spawn(ctx, sky, &top), "spawn");
    bench_must(za_tell(ctx, top, ZA_MSG(b_Sky, .leaves = m->n)), "split");
    return ZA_DONE;
}

static za_verdict_t sky_root_sum(za_ctx_t *ctx, sky_root_t *self, const b_Msg *m)
{
    (void)ctx;
    bench_check(m->n == self->leaves * (self->leaves - 1) / 2, "the sum of all leaves");
    bench_end();
    return ZA_DONE;
}

ZA_ACTOR(sky_root, sky_root_t, (b_Go, sky_root_go), (b_Msg, sky_root_sum));

/** A power of ten of leaves: --quick and the warm-up take tenths. */
static double skynet(const bench_workload_t *workload, uint64_t leaves)
{
    (void)workload;
    za_ref_t root = bench_spawn(&sky_root_class, 0);
    bench_begin();
    bench_tell(root, ZA_MSG(b_Go, .n = leaves));
    return bench_wait() / 1e9;
}

const bench_workload_t bench_local_spawn[] = {
    { .id = "spawn", .unit = "M actors/s", .measure = spawning, .amount = 1000000, .how_many = 1 },
    { .id = "actor-bytes",
      .unit = "B",
      .measure = actor_bytes,
      .amount = 1000000,
      .how_many = 1,
      .cold = true },
    { .id = "skynet",
      .unit = "s",
      .measure = skynet,
      .amount = 1000000,
      .how_many = FAN_OUT,
      .fixed = true },
    { 0 },
};
