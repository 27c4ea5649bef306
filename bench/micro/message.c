// The way of one message: from before the send to the start of its handler.

#include <time.h>

#include "micro/tables.h"

enum { PAUSE_NS = 1000 * 1000 }; // long enough that every worker rests

typedef struct player {
    za_ref_t peer;
    uint64_t left;
} player_t;

typedef struct b_Sent {
    uint64_t at_ns;
    uint64_t left;
} b_Sent;

BENCH_TYPE(b_Sent, 311);

static void send_on(za_ctx_t *ctx, player_t *self, uint64_t left)
{
    const b_Sent sent = { .at_ns = bench_now_ns(), .left = left };
    bench_must(za_tell(ctx, self->peer, &b_Sent_type, &sent), "tell");
}

static za_verdict_t player_go(za_ctx_t *ctx, player_t *self, const b_Go *m)
{
    self->peer = m->ref;
    if (m->n > 0) {
        send_on(ctx, self, m->n);
    }
    return ZA_DONE;
}

/** One of the two is at work at a time: they may write into one histogram. */
static za_verdict_t player_sent(za_ctx_t *ctx, player_t *self, const b_Sent *m)
{
    bench_latency_add(bench_latencies(), bench_now_ns() - m->at_ns);
    if (m->left == 0) {
        bench_end();
    } else {
        send_on(ctx, self, m->left - 1);
    }
    return ZA_DONE;
}

ZA_ACTOR(player, player_t, (b_Sent, player_sent), (b_Go, player_go));

/** `how_many`: on so many workers are the two. */
static double message(const bench_workload_t *workload, uint64_t messages)
{
    za_ref_t a = bench_spawn_at(&player_class, 1);
    za_ref_t b = bench_spawn_at(&player_class, workload->how_many);
    bench_tell(b, ZA_MSG(b_Go, .ref = a));
    bench_begin();
    bench_tell(a, ZA_MSG(b_Go, .n = messages, .ref = b));
    bench_wait();
    return bench_latency_at(bench_latencies(), 0.5);
}

static za_verdict_t sleeper_sent(za_ctx_t *ctx, player_t *self, const b_Sent *m)
{
    (void)ctx;
    (void)self;
    bench_latency_add(bench_latencies(), bench_now_ns() - m->at_ns);
    bench_end();
    return ZA_DONE;
}

ZA_ACTOR(sleeper, player_t, (b_Sent, sleeper_sent));

/** From a thread that is none of ours, to an actor whose workers all rest. */
static double message_wake(const bench_workload_t *workload, uint64_t messages)
{
    (void)workload;
    za_ref_t to = bench_spawn(&sleeper_class, 0);
    for (uint64_t i = 0; i < messages; i++) {
        nanosleep(&(const struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
        bench_begin();
        bench_tell(to, ZA_MSG(b_Sent, .at_ns = bench_now_ns()));
        bench_wait();
    }
    return bench_latency_at(bench_latencies(), 0.5) / 1e3;
}

const bench_workload_t bench_micro_message[] = {
    { .id = "message-same",
      .unit = "ns",
      .measure = message,
      .amount = 3000000,
      .how_many = 1,
      .workers = 1 },
    { .id = "message-cross",
      .unit = "ns",
      .measure = message,
      .amount = 1000000,
      .how_many = 2,
      .workers = 2,
      .idle = BENCH_SPINS },
    { .id = "message-wake", .unit = "us", .measure = message_wake, .amount = 1000 },
    { 0 },
};
