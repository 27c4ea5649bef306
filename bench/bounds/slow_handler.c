// A slow handler: one actor keeps a worker for 200 ms at a time, again and again; there are two
// workers. How long do messages and timers of all other actors wait?
//
//     bench_slow_handler [--quick]

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "report.h"

enum {
    ACTORS = 100,
    HOPS = 4,        // a message goes on to random others
    PERIOD_US = 200, // between messages from outside
    SLOW_MS = 200,   // one handler call
    PAUSE_MS = 20,   // between two of them
    TIMER_MS = 5,    // each of TIMERS actors
    TIMERS = 50,
    RUN_S = 20,
    RUN_QUICK_S = 4,
    WORKERS = 2,
};

static const double p99_ms_max = 1.0;

typedef struct b_Slow {
    uint64_t unused;
} b_Slow;

typedef struct b_Hop {
    uint64_t sent_ns;
    uint64_t left;
} b_Hop;

typedef struct b_Due {
    uint64_t unused;
} b_Due;

BENCH_TYPE(b_Slow, 331);
BENCH_TYPE(b_Hop, 332);
BENCH_TYPE(b_Due, 333);

static za_ref_t others[ACTORS];
static bench_latency_t waits[ACTORS + TIMERS]; // each written by its actor
static _Atomic uint64_t slow_calls;
static _Atomic uint64_t pending; // messages from outside that still hop

/* ---- the slow one ------------------------------------------------------------------------- */

typedef struct slow {
    uint64_t unused;
} slow_t;

static za_verdict_t slow_slow(za_ctx_t *ctx, slow_t *self, const b_Slow *m)
{
    (void)self;
    (void)m;
    uint64_t until_ns = bench_now_ns() + SLOW_MS * UINT64_C(1000000);
    while (bench_now_ns() < until_ns) {
    }
    atomic_fetch_add_explicit(&slow_calls, 1, memory_order_relaxed); // a counter
    bench_must(za_after(ctx, PAUSE_MS, ZA_MSG(b_Slow, .unused = 0), NULL), "after");
    return ZA_DONE;
}

ZA_ACTOR(slow, slow_t, (b_Slow, slow_slow));

/* ---- the others: messages ----------------------------------------------------------------- */

typedef struct other {
    uint64_t index;
    uint64_t seed;
} other_t;

static za_verdict_t other_go(za_ctx_t *ctx, other_t *self, const b_Go *m)
{
    (void)ctx;
    self->index = m->n;
    self->seed = m->n + 1;
    return ZA_DONE;
}

static za_verdict_t other_hop(za_ctx_t *ctx, other_t *self, const b_Hop *m)
{
    uint64_t now_ns = bench_now_ns();
    bench_latency_add(&waits[self->index], now_ns - m->sent_ns);
    if (m->left == 0) {
        atomic_fetch_sub_explicit(&pending, 1, memory_order_release); // pairs: slow-end
        return ZA_DONE;
    }
    const b_Hop next = { .sent_ns = bench_now_ns(), .left = m->left - 1 };
    bench_must(za_tell(ctx, others[bench_random(&self->seed, ACTORS)], &b_Hop_type, &next), "hop");
    return ZA_DONE;
}

ZA_ACTOR(other, other_t, (b_Go, other_go), (b_Hop, other_hop));

/* ---- the others: timers ------------------------------------------------------------------- */

typedef struct waiter {
    uint64_t index;
    uint64_t due_ns;
} waiter_t;

static za_verdict_t wait_more(za_ctx_t *ctx, waiter_t *self)
{
    self->due_ns = bench_now_ns() + TIMER_MS * UINT64_C(1000000);
    bench_must(za_after(ctx, TIMER_MS, ZA_MSG(b_Due, .unused = 0), NULL), "after");
    return ZA_DONE;
}

static za_verdict_t waiter_go(za_ctx_t *ctx, waiter_t *self, const b_Go *m)
{
    self->index = m->n;
    return wait_more(ctx, self);
}

static za_verdict_t waiter_due(za_ctx_t *ctx, waiter_t *self, const b_Due *m)
{
    (void)m;
    uint64_t now_ns = bench_now_ns();
    bench_latency_add(&waits[self->index], now_ns > self->due_ns ? now_ns - self->due_ns : 0);
    return wait_more(ctx, self);
}

ZA_ACTOR(waiter, waiter_t, (b_Go, waiter_go), (b_Due, waiter_due));

/* ---- the program -------------------------------------------------------------------------- */

static void send_from_outside(uint64_t until_ns)
{
    uint64_t seed = 4711;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    while (bench_now_ns() < until_ns) {
        next.tv_nsec += PERIOD_US * 1000;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        atomic_fetch_add_explicit(&pending, 1, memory_order_relaxed); // sent after it
        bench_tell(others[bench_random(&seed, ACTORS)],
                   ZA_MSG(b_Hop, .sent_ns = bench_now_ns(), .left = HOPS));
    }
    while (atomic_load_explicit(&pending, memory_order_acquire) > 0) { // pairs: slow-end
        nanosleep(&(const struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
}

static void print(const char *variant, const bench_latency_t *parts, uint32_t count)
{
    static bench_latency_t all;
    memset(&all, 0, sizeof all);
    for (uint32_t i = 0; i < count; i++) {
        bench_latency_merge(&all, &parts[i]);
    }
    bench_report_t report = { .id = "slow-handler",
                              .variant = variant,
                              .impl = "zactor",
                              .unit = "ms",
                              .workers = WORKERS,
                              .goal = "p99 <= 1 ms",
                              .holds = bench_latency_at(&all, 0.99) / 1e6 <= p99_ms_max };
    bench_report_run(&report, bench_latency_at(&all, 0.5) / 1e6);
    bench_report_latency(&report, &all, 1e6);
    bench_report_param(&report, "samples", (double)all.count);
    // relaxed: a counter
    bench_report_param(&report, "slow_calls",
                       (double)atomic_load_explicit(&slow_calls, memory_order_relaxed));
    bench_report_print(&report);
}

int main(int argc, char **argv)
{
    bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;
    if (argc > 1 && !quick) {
        fprintf(stderr, "usage: bench_slow_handler [--quick]\n");
        return 2;
    }
    bench_open(WORKERS, BENCH_RESTS);
    for (uint32_t i = 0; i < ACTORS; i++) {
        others[i] = bench_spawn(&other_class, 0);
        bench_tell(others[i], ZA_MSG(b_Go, .n = i));
    }
    for (uint32_t i = 0; i < TIMERS; i++) {
        bench_tell(bench_spawn(&waiter_class, 0), ZA_MSG(b_Go, .n = ACTORS + i));
    }
    bench_tell(bench_spawn(&slow_class, 0), ZA_MSG(b_Slow, .unused = 0));
    send_from_outside(bench_now_ns() + (quick ? RUN_QUICK_S : RUN_S) * UINT64_C(1000000000));
    bench_close(); // no handler runs any more
    print("messages", waits, ACTORS);
    print("timers", waits + ACTORS, TIMERS);
    return 0;
}
