/** Two workers, two classes, actors that move: each message is counted once, for its class. */
#include "stress_world.h"

enum { ACTORS = 200 };

static _Atomic uint64_t handled[2]; // by class
static _Atomic uint64_t left;
static za_ref_t actors[ACTORS];

typedef struct none {
    uint64_t unused;
} none_t;

/** Tells two others, as long as there are messages left to send. */
static za_verdict_t go_on(za_ctx_t *ctx, const s_Num *m, uint32_t class_)
{
    atomic_fetch_add_explicit(&handled[class_], 1, memory_order_relaxed); // relaxed: a count
    for (uint64_t i = 1; i <= 2; i++) {
        uint64_t before = atomic_load_explicit(&left, memory_order_relaxed); // relaxed: a count
        while (before > 0 &&
               !atomic_compare_exchange_weak_explicit(&left, &before, before - 1,
                                                      memory_order_relaxed, memory_order_relaxed)) {
        }
        uint64_t to = (m->n * 31 + i * 17) % ACTORS;
        if (before > 0) {
            MUST(za_tell(ctx, actors[to], ZA_MSG(s_Num, .n = to + before)) == ZA_OK);
        }
    }
    return ZA_DONE;
}

static za_verdict_t even_num(za_ctx_t *ctx, none_t *self, const s_Num *m)
{
    (void)self;
    return go_on(ctx, m, 0);
}

static za_verdict_t odd_num(za_ctx_t *ctx, none_t *self, const s_Num *m)
{
    (void)self;
    return go_on(ctx, m, 1);
}

ZA_ACTOR(even, none_t, (s_Num, even_num));
ZA_ACTOR(odd, none_t, (s_Num, odd_num));

static bool add_handled(const za_actor_info_t *info, void *context)
{
    *(uint64_t *)context += info->handled;
    return true;
}

int main(int argc, char **argv)
{
    static za_class_metrics_t metrics;
    uint64_t rounds = stress_rounds(argc, argv, 1000000);
    stress_t stress;
    stress_start(&stress, 2, 100000);
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    for (uint32_t i = 0; i < ACTORS; i++) {
        actors[i] = stress_spawn(guest, i % 2 == 0 ? &even_class : &odd_class);
    }
    atomic_store_explicit(&left, rounds, memory_order_relaxed); // relaxed: the messages publish it
    uint64_t told = 10;
    for (uint64_t i = 0; i < told; i++) {
        MUST(stress_tell(guest, actors[i], (s_Num){ .n = i }) == ZA_OK);
    }
    // Readers do not disturb, and never see a count go back.
    uint64_t seen = 0;
    uint64_t sum = 0;
    while (sum < rounds + told) {
        za_counters_t counters;
        za_runtime_counters(stress.runtime, &counters);
        sum = counters.handled;
        MUST(sum >= seen && sum <= rounds + told);
        seen = sum;
        sched_yield();
    }
    uint64_t of_workers = 0;
    za_worker_metrics_t worker;
    for (uint32_t i = 0; za_runtime_worker_metrics(stress.runtime, i, &worker); i++) {
        of_workers += worker.handled;
    }
    uint64_t of_actors = 0;
    uint64_t cursor = 0;
    za_runtime_each_actor(stress.runtime, &cursor, add_handled, &of_actors);
    MUST(of_workers == rounds + told);
    MUST(of_actors == rounds + told);
    for (uint32_t i = 0; i < 2; i++) {
        MUST(za_runtime_class_metrics(stress.runtime, i, &metrics));
        MUST(metrics.handled == atomic_load_explicit(&handled[i], memory_order_relaxed));
        MUST(za_histogram_count(&metrics.run_ns) > 0);
        MUST(za_histogram_count(&metrics.latency_ns) > 0);
        MUST(za_histogram_max(&metrics.latency_ns) > 0);
    }
    MUST(!za_runtime_class_metrics(stress.runtime, 2, &metrics));
    stress_stop(&stress);
    return 0;
}
