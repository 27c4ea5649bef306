// One to many: the same news to a thousand listeners, work dealt to a few, an actor for each piece of
// work, and one that counts.

#include <stdatomic.h>

#include "macro/tables.h"

enum { LISTENERS = 1000, WORKERS = 60, BATCH = 100 };

static za_ref_t crowd[LISTENERS];
static _Atomic uint64_t busy; // actors, or messages, that are not done

typedef struct speaker {
    uint64_t left; // rounds
    uint32_t next; // of the crowd
    uint32_t size;
} speaker_t;

typedef struct b_News {
    uint64_t left; // rounds that follow
} b_News;

BENCH_TYPE(b_News, 341);

/* ---- fan-out ------------------------------------------------------------------------------ */

typedef struct listener {
    uint64_t heard;
} listener_t;

static za_verdict_t listener_news(za_ctx_t *ctx, listener_t *self, const b_News *m)
{
    (void)ctx;
    self->heard++;
    if (m->left == 0 && atomic_fetch_sub_explicit(&busy, 1, memory_order_acq_rel) == 1) {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(listener, listener_t, (b_News, listener_news));

/** One round; where a mailbox is full the round goes on in the next message. */
static za_verdict_t speak(za_ctx_t *ctx, speaker_t *self)
{
    const b_News news = { .left = self->left - 1 };
    while (self->next < self->size &&
           za_tell(ctx, crowd[self->next], &b_News_type, &news) == ZA_OK) {
        self->next++;
    }
    if (self->next == self->size) {
        self->next = 0;
        self->left--;
    }
    if (self->left > 0) {
        bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Msg, .n = 0)), "go on");
    }
    return ZA_DONE;
}

static za_verdict_t speaker_go(za_ctx_t *ctx, speaker_t *self, const b_Go *m)
{
    *self = (speaker_t){ .left = m->n, .size = (uint32_t)m->ref.actor };
    return speak(ctx, self);
}

static za_verdict_t speaker_msg(za_ctx_t *ctx, speaker_t *self, const b_Msg *m)
{
    (void)m;
    return speak(ctx, self);
}

ZA_ACTOR(speaker, speaker_t, (b_Go, speaker_go), (b_Msg, speaker_msg));

static double speak_to(const za_class_t *class_, uint32_t size, uint64_t messages)
{
    uint64_t rounds = messages / size > 0 ? messages / size : 1;
    for (uint32_t i = 0; i < size; i++) {
        crowd[i] = bench_spawn(class_, 0);
    }
    atomic_store_explicit(&busy, size, memory_order_relaxed); // relaxed: sent after it
    za_ref_t root = bench_spawn(&speaker_class, 0);
    bench_begin();
    bench_tell(root, ZA_MSG(b_Go, .n = rounds, .ref.actor = size));
    return (double)(rounds * size) / bench_wait() * 1e3;
}

static double fan_out(const bench_workload_t *workload, uint64_t messages)
{
    return speak_to(&listener_class, workload->how_many, messages);
}

/* ---- fork-join ---------------------------------------------------------------------------- */

/** A little work, as in Savina: what a message costs is still most of it. */
static uint64_t compute(uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        value = value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    }
    return value;
}

static za_verdict_t worker_news(za_ctx_t *ctx, listener_t *self, const b_News *m)
{
    (void)ctx;
    self->heard = compute(self->heard + m->left);
    if (m->left == 0 && atomic_fetch_sub_explicit(&busy, 1, memory_order_acq_rel) == 1) {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(worker, listener_t, (b_News, worker_news));

static double forkjoin_throughput(const bench_workload_t *workload, uint64_t messages)
{
    return speak_to(&worker_class, workload->how_many, messages);
}

static za_verdict_t piece_news(za_ctx_t *ctx, listener_t *self, const b_News *m)
{
    (void)ctx;
    self->heard = compute(m->left);
    if (atomic_fetch_sub_explicit(&busy, 1, memory_order_acq_rel) == 1) {
        bench_end();
    }
    return ZA_STOP;
}

ZA_ACTOR(piece, listener_t, (b_News, piece_news));

static za_verdict_t forker_go(za_ctx_t *ctx, speaker_t *self, const b_Go *m)
{
    self->left = m->n > 0 ? m->n : self->left;
    for (int i = 0; i < BATCH && self->left > 0; i++, self->left--) {
        za_ref_t ref;
        bench_must(za_spawn(ctx, piece, &ref), "spawn");
        bench_must(za_tell(ctx, ref, ZA_MSG(b_News, .left = self->left)), "tell");
    }
    if (self->left > 0) {
        bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Go, .n = 0)), "go on");
    }
    return ZA_DONE;
}

ZA_ACTOR(forker, speaker_t, (b_Go, forker_go));

static double forkjoin_create(const bench_workload_t *workload, uint64_t actors)
{
    (void)workload;
    atomic_store_explicit(&busy, actors, memory_order_relaxed); // relaxed: sent after it
    za_ref_t root = bench_spawn(&forker_class, 0);
    bench_begin();
    bench_tell(root, ZA_MSG(b_Go, .n = actors));
    return (double)actors / bench_wait() * 1e3;
}

/* ---- counting ----------------------------------------------------------------------------- */

typedef struct b_Add {
    uint64_t n;
} b_Add;

typedef struct b_Get {
    uint64_t unused;
} b_Get;

BENCH_TYPE(b_Add, 342);
BENCH_TYPE(b_Get, 343);

static za_verdict_t counter_add(za_ctx_t *ctx, listener_t *self, const b_Add *m)
{
    (void)ctx;
    self->heard += m->n;
    return ZA_DONE;
}

static za_verdict_t counter_get(za_ctx_t *ctx, listener_t *self, const b_Get *m)
{
    (void)m;
    za_reply(ctx, ZA_MSG(b_Msg, .n = self->heard));
    return ZA_DONE;
}

ZA_ACTOR(counter, listener_t, (b_Add, counter_add), (b_Get, counter_get));

typedef struct adder {
    za_ref_t counter;
    uint64_t left;
    uint64_t total;
} adder_t;

static za_verdict_t add(za_ctx_t *ctx, adder_t *self)
{
    for (int i = 0; i < BATCH && self->left > 0; i++) {
        if (za_tell(ctx, self->counter, ZA_MSG(b_Add, .n = 1)) != ZA_OK) {
            break;
        }
        self->left--;
    }
    if (self->left > 0) {
        bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Add, .n = 0)), "go on");
        return ZA_DONE;
    }
    if (za_ask(ctx, self->counter, ZA_MSG(b_Get, .unused = 0), .timeout_ms = 60000) != ZA_OK) {
        bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Add, .n = 0)), "ask later");
    }
    return ZA_DONE;
}

static za_verdict_t adder_go(za_ctx_t *ctx, adder_t *self, const b_Go *m)
{
    *self = (adder_t){ .counter = m->ref, .left = m->n, .total = m->n };
    return add(ctx, self);
}

static za_verdict_t adder_more(za_ctx_t *ctx, adder_t *self, const b_Add *m)
{
    (void)m;
    return add(ctx, self);
}

static za_verdict_t adder_count(za_ctx_t *ctx, adder_t *self, const b_Msg *m)
{
    (void)ctx;
    bench_check(m->n == self->total, "every message counted once");
    bench_end();
    return ZA_DONE;
}

ZA_ACTOR(adder, adder_t, (b_Go, adder_go), (b_Add, adder_more), (b_Msg, adder_count));

static double counting(const bench_workload_t *workload, uint64_t messages)
{
    (void)workload;
    za_ref_t counter = bench_spawn(&counter_class, 0);
    za_ref_t adder = bench_spawn(&adder_class, 0);
    bench_begin();
    bench_tell(adder, ZA_MSG(b_Go, .n = messages, .ref = counter));
    return (double)messages / bench_wait() * 1e3;
}

const bench_workload_t bench_macro_fan[] = {
    { .id = "fan-out",
      .unit = "M/s",
      .measure = fan_out,
      .amount = 10000000,
      .how_many = LISTENERS },
    { .id = "forkjoin-throughput",
      .unit = "M/s",
      .measure = forkjoin_throughput,
      .amount = 10000000,
      .how_many = WORKERS },
    { .id = "forkjoin-create",
      .unit = "M actors/s",
      .measure = forkjoin_create,
      .amount = 1000000,
      .how_many = 1 },
    { .id = "counting", .unit = "M/s", .measure = counting, .amount = 10000000, .how_many = 1 },
    { 0 },
};
