/**
 * Many actors, half of them placed, tokens that hop at random, timers and asks in between: no token is
 * lost, and no placed actor is stolen.
 */
#include "core/ctx.h"
#include "stress_world.h"

enum { ACTORS = 64, TOKENS = 200, WORKERS = 3 };

static za_ref_t actors[ACTORS];
static _Atomic uint64_t finished;
static _Atomic uint64_t outcomes;
static _Atomic uint64_t asked;

typedef struct hop {
    uint64_t seen;
    za_timer_t timer;
    uint32_t worker; // of the last message; 0: none yet
} hop_t;

static void ask_somebody(za_ctx_t *ctx)
{
    uint64_t index = za_random(ctx) % ACTORS;
    if (za_ask(ctx, actors[index], ZA_MSG(s_Num, .from = 1), .timeout_ms = 1, .tag = 1) == ZA_OK) {
        atomic_fetch_add_explicit(&asked, 1, memory_order_relaxed);
    }
}

static za_verdict_t on_num(za_ctx_t *ctx, hop_t *self, const s_Num *m)
{
    if (za_tag(ctx) != 0) { // an answer
        atomic_fetch_add_explicit(&outcomes, 1, memory_order_relaxed);
        return ZA_DONE;
    }
    if (m->from == 2) { // the timer
        return ZA_DONE;
    }
    if (m->from == 1) { // asked: an answer, or none
        if (za_random(ctx) % 2 == 0) {
            za_reply(ctx, ZA_MSG(s_Num, .n = 1));
        }
        return ZA_DONE;
    }
    if (++self->seen % 16 == 0) {
        za_cancel(ctx, &self->timer);
        MUST(za_after(ctx, 1, ZA_MSG(s_Num, .from = 2), &self->timer) == ZA_OK);
        ask_somebody(ctx);
    }
    if (m->n == 0) {
        atomic_fetch_add_explicit(&finished, 1, memory_order_release);
        return ZA_DONE;
    }
    uint64_t index = za_random(ctx) % ACTORS;
    MUST(za_tell(ctx, actors[index], ZA_MSG(s_Num, .n = m->n - 1)) == ZA_OK);
    return ZA_DONE;
}

static za_verdict_t on_down(za_ctx_t *ctx, hop_t *self, const za_Down *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    atomic_fetch_add_explicit(&outcomes, 1, memory_order_relaxed);
    return ZA_DONE;
}

static za_verdict_t on_timeout(za_ctx_t *ctx, hop_t *self, const za_Timeout *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    atomic_fetch_add_explicit(&outcomes, 1, memory_order_relaxed);
    return ZA_DONE;
}

static za_verdict_t on_num_placed(za_ctx_t *ctx, hop_t *self, const s_Num *m)
{
    uint32_t worker = 1 + za_worker_index(za_ctx_worker(ctx));
    MUST(self->worker == 0 || self->worker == worker);
    self->worker = worker;
    return on_num(ctx, self, m);
}

ZA_ACTOR(hop, hop_t, (s_Num, on_num), (za_Down, on_down), (za_Timeout, on_timeout));
ZA_ACTOR(placed, hop_t, (s_Num, on_num_placed), (za_Down, on_down), (za_Timeout, on_timeout));

static za_ref_t spawn_placed(za_worker_t *guest, uint32_t worker)
{
    za_ref_t ref;
    const za_spawn_opts_t opts = { .size = sizeof opts, .worker = worker };
    MUST(za_runtime_spawn(guest, &placed_class, &opts, ZA_REF_NONE, &ref) == ZA_OK);
    return ref;
}

int main(int argc, char **argv)
{
    uint64_t hops = stress_rounds(argc, argv, 10000);
    stress_t stress;
    stress_start(&stress, WORKERS, 100000);
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    for (uint32_t i = 0; i < ACTORS; i++) {
        actors[i] =
            i % 2 == 0 ? stress_spawn(guest, &hop_class) : spawn_placed(guest, 1 + i / 2 % WORKERS);
    }
    for (int i = 0; i < TOKENS; i++) {
        MUST(stress_tell(guest, actors[i % ACTORS], (s_Num){ .n = hops }) == ZA_OK);
    }
    while (atomic_load_explicit(&finished, memory_order_acquire) < TOKENS) {
        sched_yield();
    }
    // Each ask ends, in one way.
    while (atomic_load_explicit(&outcomes, memory_order_relaxed) <
           atomic_load_explicit(&asked, memory_order_relaxed)) {
        sched_yield();
    }
    za_runtime_stop_all(guest);
    za_counters_t counters;
    do {
        sched_yield();
        za_runtime_counters(stress.runtime, &counters);
    } while (counters.actors > 0);
    MUST(atomic_load_explicit(&outcomes, memory_order_relaxed) ==
         atomic_load_explicit(&asked, memory_order_relaxed));
    stress_stop(&stress);
    return 0;
}
