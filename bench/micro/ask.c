// A question and its answer, one at a time, with its deadline: by a handler for the answer, and by one
// handler of a fiber that waits in the middle.

#include <zactor/fiber.h>

#include "micro/tables.h"

typedef struct asker {
    za_ref_t server;
    uint64_t left;
    uint64_t begun_ns;
} asker_t;

typedef struct b_Question {
    uint64_t n;
} b_Question;

typedef struct b_Answer {
    uint64_t n;
} b_Answer;

BENCH_TYPE(b_Question, 314);
BENCH_TYPE(b_Answer, 315);

static za_verdict_t server_question(za_ctx_t *ctx, asker_t *self, const b_Question *m)
{
    (void)self;
    za_reply(ctx, ZA_MSG(b_Answer, .n = m->n));
    return ZA_DONE;
}

ZA_ACTOR(server, asker_t, (b_Question, server_question));

static void put(za_ctx_t *ctx, asker_t *self)
{
    self->begun_ns = bench_now_ns();
    bench_must(za_ask(ctx, self->server, ZA_MSG(b_Question, .n = self->left), .timeout_ms = 5000),
               "ask");
}

static za_verdict_t asker_go(za_ctx_t *ctx, asker_t *self, const b_Go *m)
{
    self->server = m->ref;
    self->left = m->n;
    put(ctx, self);
    return ZA_DONE;
}

static za_verdict_t asker_answer(za_ctx_t *ctx, asker_t *self, const b_Answer *m)
{
    bench_check(m->n == self->left, "the answer to the question");
    bench_latency_add(bench_latencies(), bench_now_ns() - self->begun_ns);
    if (--self->left == 0) {
        bench_end();
    } else {
        put(ctx, self);
    }
    return ZA_DONE;
}

ZA_ACTOR(asker, asker_t, (b_Go, asker_go), (b_Answer, asker_answer));

static double ask(const bench_workload_t *workload, uint64_t questions)
{
    (void)workload;
    za_ref_t server = bench_spawn(&server_class, 0);
    za_ref_t asker = bench_spawn(&asker_class, 0);
    bench_begin();
    bench_tell(asker, ZA_MSG(b_Go, .n = questions, .ref = server));
    bench_wait();
    return bench_latency_at(bench_latencies(), 0.5);
}

static za_verdict_t waiter_go(za_ctx_t *ctx, asker_t *self, const b_Go *m)
{
    (void)self;
    for (uint64_t i = 0; i < m->n; i++) {
        const b_Answer *answer = NULL;
        uint64_t begun_ns = bench_now_ns();
        bench_must(za_await(ctx, m->ref, ZA_MSG(b_Question, .n = i), ZA_ANSWER(b_Answer, &answer),
                            .timeout_ms = 5000),
                   "await");
        bench_check(answer->n == i, "the answer to the question");
        bench_latency_add(bench_latencies(), bench_now_ns() - begun_ns);
    }
    bench_end();
    return ZA_DONE;
}

ZA_ACTOR(waiter, asker_t, (b_Go, waiter_go));

static double await(const bench_workload_t *workload, uint64_t questions)
{
    (void)workload;
    const za_spawn_opts_t opts = { .size = sizeof opts, .fiber = true };
    za_ref_t server = bench_spawn(&server_class, 0);
    za_ref_t waiter = bench_spawn_with(&waiter_class, &opts);
    bench_begin();
    bench_tell(waiter, ZA_MSG(b_Go, .n = questions, .ref = server));
    bench_wait();
    return bench_latency_at(bench_latencies(), 0.5);
}

const bench_workload_t bench_micro_ask[] = {
    { .id = "ask", .unit = "ns", .measure = ask, .amount = 1000000 },
    { .id = "await", .unit = "ns", .measure = await, .amount = 1000000 },
    { 0 },
};
