// Conversations: one message in flight.

#include "harness.h"
#include "local/tables.h"

typedef struct player {
    za_ref_t peer;
} player_t;

static za_verdict_t player_go(za_ctx_t *ctx, player_t *self, const b_Go *m)
{
    self->peer = m->ref;
    if (m->n > 0) {
        ZA_IGNORE(za_tell(ctx, self->peer, ZA_MSG(b_Msg, .n = m->n)));
    }
    return ZA_DONE;
}

static za_verdict_t player_msg(za_ctx_t *ctx, player_t *self, const b_Msg *m)
{
    if (m->n == 0) {
        bench_end();
        return ZA_DONE;
    }
    ZA_IGNORE(za_tell(ctx, self->peer, ZA_MSG(b_Msg, .n = m->n - 1)));
    return ZA_DONE;
}

ZA_ACTOR(player, player_t, (b_Msg, player_msg), (b_Go, player_go));

static double play(za_ref_t a, za_ref_t b, uint64_t messages)
{
    bench_tell(b, ZA_MSG(b_Go, .ref = a));
    bench_begin();
    bench_tell(a, ZA_MSG(b_Go, .n = messages, .ref = b));
    return bench_wait() / (double)messages;
}

static double pingpong(const bench_workload_t *workload, uint64_t messages)
{
    (void)workload;
    return play(bench_spawn(&player_class, 0), bench_spawn(&player_class, 0), messages);
}

/** Each on a worker of its own, and no worker rests. */
static double pingpong_cross(const bench_workload_t *workload, uint64_t messages)
{
    (void)workload;
    return play(bench_spawn_at(&player_class, 1), bench_spawn_at(&player_class, 2), messages);
}

const bench_workload_t bench_local_pingpong[] = {
    { .id = "pingpong", .unit = "ns/msg", .measure = pingpong, .amount = 10000000, .how_many = 2 },
    { .id = "pingpong-cross",
      .unit = "ns/msg",
      .measure = pingpong_cross,
      .amount = 2000000,
      .how_many = 2,
      .workers = 2,
      .idle = BENCH_SPINS },
    { 0 },
};
