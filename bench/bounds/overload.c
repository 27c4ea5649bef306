// Overload: 32 producers and one actor whose handler takes 10 us of CPU, its mailbox bounded. Offered
// is 90 % of what it can do, then ten times that. What must hold: it does as much as before, memory
// does not grow, and each message that was refused was counted, by its producer and by the runtime.
//
//     bench_overload [--quick]

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "report.h"
#include "resident.h"

enum {
    PRODUCERS = 32,
    MAILBOX = 1024,
    WORK_NS = 10 * 1000,
    TICK_MS = 1,
    LOAD_S = 60,
    LOAD_QUICK_S = 6,
    CAPACITY_S = 2,
    SAMPLE_MS = 100,
    WORKERS = 2,
    GROWTH_BYTES_MAX = 2 << 20, // a mailbox may be full for the first time
};

static const double load_normal = 0.9;
static const double goodput_min = 0.95;

/* ---- work --------------------------------------------------------------------------------- */

static uint64_t rounds_of_work; // WORK_NS of them

/** A chain of multiplications: what it takes does not depend on memory or on the clock. */
static uint64_t work(uint64_t rounds)
{
    uint64_t value = rounds;
    for (uint64_t i = 0; i < rounds; i++) {
        value = value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    }
    return value;
}

/** The shortest of many: others on this core only make it longer. */
static void calibrate(void)
{
    enum { TRIES = 200, ROUNDS = 10000 };
    uint64_t best_ns = UINT64_MAX;
    volatile uint64_t kept = 0;
    for (int i = 0; i < TRIES; i++) {
        uint64_t begun_ns = bench_now_ns();
        kept += work(ROUNDS);
        uint64_t took_ns = bench_now_ns() - begun_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    (void)kept;
    rounds_of_work = (uint64_t)WORK_NS * ROUNDS / best_ns;
}

/* ---- actors ------------------------------------------------------------------------------- */

typedef struct b_Tick {
    uint64_t unused;
} b_Tick;

typedef struct b_Offer {
    uint64_t from_ns;
    double per_ns; // messages
    za_ref_t to;
} b_Offer;

BENCH_TYPE(b_Tick, 321);
BENCH_TYPE(b_Offer, 322);

/** What the actors tell the measuring thread. */
static _Atomic uint64_t handled;
static _Atomic uint64_t offered;
static _Atomic uint64_t refused;
static _Atomic uint64_t check_sum;
static _Atomic bool over; // producers end

typedef struct sink {
    uint64_t unused;
} sink_t;

static za_verdict_t sink_msg(za_ctx_t *ctx, sink_t *self, const b_Msg *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    // relaxed: counters, read when all is quiet or as samples
    atomic_store_explicit(&check_sum, work(rounds_of_work), memory_order_relaxed);
    atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed);
    return ZA_DONE;
}

ZA_ACTOR(sink, sink_t, (b_Msg, sink_msg));

typedef struct producer {
    b_Offer offer;
    uint64_t sent; // or refused
} producer_t;

static za_verdict_t producer_offer(za_ctx_t *ctx, producer_t *self, const b_Offer *m)
{
    self->offer = *m;
    bench_must(za_every(ctx, TICK_MS, ZA_MSG(b_Tick, .unused = 0), NULL), "tick");
    return ZA_DONE;
}

/** Sends what is due by now, also for ticks that came late. */
static za_verdict_t producer_tick(za_ctx_t *ctx, producer_t *self, const b_Tick *m)
{
    (void)m;
    if (atomic_load_explicit(&over, memory_order_acquire)) { // pairs: overload-over
        return ZA_STOP;
    }
    uint64_t now_ns = bench_now_ns();
    uint64_t due = (uint64_t)((double)(now_ns - self->offer.from_ns) * self->offer.per_ns);
    uint64_t no = 0;
    uint64_t count = due - self->sent;
    for (uint64_t i = 0; i < count; i++) {
        za_err_t err = za_tell(ctx, self->offer.to, ZA_MSG(b_Msg, .n = i));
        if (err == ZA_EFULL) {
            no++;
        } else {
            bench_must(err, "tell");
        }
    }
    self->sent = due;
    atomic_fetch_add_explicit(&offered, count, memory_order_relaxed); // counters, as above
    atomic_fetch_add_explicit(&refused, no, memory_order_relaxed);
    return ZA_DONE;
}

ZA_ACTOR(producer, producer_t, (b_Offer, producer_offer), (b_Tick, producer_tick));

/* ---- a load ------------------------------------------------------------------------------- */

typedef struct outcome {
    double goodput; // messages handled per second
    uint64_t offered, handled, refused;
    uint64_t counted;  // refused, as the runtime counts
    uint64_t growth;   // bytes, in the second half
    uint64_t resident; // bytes at most
} outcome_t;

static void sleep_ms(uint64_t ms)
{
    nanosleep(&(const struct timespec){ .tv_sec = (time_t)(ms / 1000),
                                        .tv_nsec = (long)(ms % 1000 * 1000000) },
              NULL);
}

static uint64_t load_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed); // a counter
}

/** Looks at memory in the second half, and at what is done after the first tenth, which warms up. */
static void watch(uint64_t ms, outcome_t *out)
{
    uint64_t first_bytes = 0;
    uint64_t first_handled = 0;
    uint64_t first_ns = 0;
    for (uint64_t at = 0; at <= ms; at += SAMPLE_MS) {
        uint64_t bytes = bench_resident_bytes();
        if (at * 2 >= ms && first_bytes == 0) {
            first_bytes = bytes;
        }
        if (at * 10 >= ms && first_ns == 0) {
            first_handled = load_of(&handled);
            first_ns = bench_now_ns();
        }
        out->resident = bytes > out->resident ? bytes : out->resident;
        if (first_bytes != 0 && bytes > first_bytes && bytes - first_bytes > out->growth) {
            out->growth = bytes - first_bytes;
        }
        sleep_ms(SAMPLE_MS);
    }
    out->goodput =
        (double)(load_of(&handled) - first_handled) * 1e9 / (double)(bench_now_ns() - first_ns);
}

/** Waits until all that was accepted is handled and every producer has ended. */
static void drain(za_counters_t *counters)
{
    do {
        sleep_ms(10);
        za_runtime_counters(bench_runtime(), counters);
    } while (counters->actors > 1 || load_of(&handled) + load_of(&refused) < load_of(&offered));
}

static outcome_t offer(double per_s, uint64_t ms)
{
    outcome_t out = { 0 };
    za_counters_t counters;
    atomic_store_explicit(&handled, 0, memory_order_relaxed); // before the actors
    atomic_store_explicit(&offered, 0, memory_order_relaxed);
    atomic_store_explicit(&refused, 0, memory_order_relaxed);
    atomic_store_explicit(&over, false, memory_order_relaxed);
    bench_open(WORKERS, BENCH_RESTS);
    za_ref_t to = bench_spawn(&sink_class, MAILBOX);
    uint64_t from_ns = bench_now_ns();
    for (int i = 0; i < PRODUCERS; i++) {
        const b_Offer share = { .from_ns = from_ns, .per_ns = per_s / PRODUCERS / 1e9, .to = to };
        bench_tell(bench_spawn(&producer_class, 0), &b_Offer_type, &share);
    }
    watch(ms, &out);
    atomic_store_explicit(&over, true, memory_order_release); // pairs: overload-over
    drain(&counters);
    out.offered = load_of(&offered);
    out.handled = load_of(&handled);
    out.refused = load_of(&refused);
    out.counted = counters.rejected;
    bench_close();
    return out;
}

static bool is_exact(const outcome_t *out)
{
    return out->refused == out->counted && out->offered == out->handled + out->refused;
}

static bool is_flat(const outcome_t *out)
{
    return out->growth <= GROWTH_BYTES_MAX;
}

/** Two loads as one: what was done, on average, and the worse of what grew. */
static outcome_t both(const outcome_t *a, const outcome_t *b)
{
    return (outcome_t){ .goodput = (a->goodput + b->goodput) / 2,
                        .offered = a->offered + b->offered,
                        .handled = a->handled + b->handled,
                        .refused = a->refused + b->refused,
                        .counted = a->counted + b->counted,
                        .growth = a->growth > b->growth ? a->growth : b->growth,
                        .resident = a->resident > b->resident ? a->resident : b->resident };
}

static void print(const char *variant, const outcome_t *out, double capacity, const char *goal,
                  bool holds)
{
    bench_report_t report = { .id = "overload",
                              .variant = variant,
                              .impl = "zactor",
                              .unit = "k/s",
                              .workers = WORKERS,
                              .goal = goal,
                              .holds = holds };
    bench_report_run(&report, out->goodput / 1e3);
    bench_report_param(&report, "capacity_k", capacity / 1e3);
    bench_report_param(&report, "offered", (double)out->offered);
    bench_report_param(&report, "handled", (double)out->handled);
    bench_report_param(&report, "refused", (double)out->refused);
    bench_report_param(&report, "refused_as_counted", (double)out->counted);
    bench_report_param(&report, "exact", is_exact(out));
    bench_report_param(&report, "resident_mib", (double)out->resident / (1 << 20));
    bench_report_param(&report, "growth_kib", (double)out->growth / 1024);
    bench_report_print(&report);
}

int main(int argc, char **argv)
{
    bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;
    if (argc > 1 && !quick) {
        fprintf(stderr, "usage: bench_overload [--quick]\n");
        return 2;
    }
    uint64_t ms = (quick ? LOAD_QUICK_S : LOAD_S) * UINT64_C(1000);
    calibrate();
    double capacity = offer(2e9 / WORK_NS, CAPACITY_S * 1000).goodput; // twice what it can do
    // One half before and one after, because a shared machine is not the same for three minutes.
    outcome_t before = offer(capacity * load_normal, ms / 2);
    outcome_t tenfold = offer(capacity * load_normal * 10, ms);
    outcome_t after = offer(capacity * load_normal, ms / 2);
    outcome_t normal = both(&before, &after);
    print("1x", &normal, capacity, "exact, flat",
          is_exact(&before) && is_exact(&after) && is_flat(&normal));
    print("10x", &tenfold, capacity, ">= 95 % of 1x, exact, flat",
          is_exact(&tenfold) && is_flat(&tenfold) &&
              tenfold.goodput >= goodput_min * normal.goodput);
    return 0;
}
