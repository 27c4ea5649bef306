/**
 * Fibers on several workers: actors that await each other's answers in chains, sleep, time out, and
 * are stopped while they wait. Each await ends exactly once, with the right answer, wherever it goes on.
 */
#include <zactor/fiber.h>

#include "core/ctx.h"
#include "stress_world.h"

enum { ASKERS = 64, ANSWERERS = 8, VICTIMS = 32, WORKERS = 2 };

static za_ref_t answerers[ANSWERERS];
static uint64_t rounds_max;
static _Atomic uint64_t answered, timed_out, refused, finished, asleep, stopped_waits, moved;

typedef struct asker {
    uint64_t rounds;
} asker_t;

static void add(_Atomic uint64_t *count)
{
    atomic_fetch_add_explicit(count, 1, memory_order_release);
}

/** Answers at once, or after another await of its own; one in sixteen never. */
static za_verdict_t on_question(za_ctx_t *ctx, asker_t *self, const s_Num *question)
{
    (void)self;
    if (question->n % 16 == 15) {
        return ZA_DONE; // REASON_NO_ANSWER
    }
    if (question->n % 4 == 3 && question->from > 0) {
        const s_Num *answer = NULL;
        za_ref_t next = answerers[question->from - 1]; // downwards: no circle
        uint64_t inner = question->n & ~UINT64_C(15);
        za_err_t err = za_await(ctx, next, ZA_MSG(s_Num, .n = inner, .from = question->from - 1),
                                ZA_ANSWER(s_Num, &answer), .timeout_ms = 20000);
        MUST(err == ZA_OK || err == ZA_EFULL || err == ZA_ETIMEOUT);
        MUST(err != ZA_OK || answer->n == inner + 1);
    }
    za_reply(ctx, ZA_MSG(s_Num, .n = question->n + 1));
    return ZA_DONE;
}
ZA_ACTOR(answerer, asker_t, (s_Num, on_question));

static void ask_one(za_ctx_t *ctx, uint64_t n)
{
    const s_Num *answer = NULL;
    uint32_t level = (uint32_t)(za_random(ctx) % ANSWERERS);
    za_worker_t *before = za_ctx_worker(ctx);
    za_err_t err = za_await(ctx, answerers[level], ZA_MSG(s_Num, .n = n, .from = level),
                            ZA_ANSWER(s_Num, &answer), .timeout_ms = 20000);
    if (err == ZA_OK) {
        MUST(answer->n == n + 1 && n % 16 != 15);
        add(&answered);
    } else if (err == ZA_ETIMEOUT) {
        add(&timed_out);
    } else {
        MUST((err == ZA_ENOANSWER && n % 16 == 15) || err == ZA_EFULL);
        add(&refused);
    }
    if (za_ctx_worker(ctx) != before) {
        add(&moved);
    }
}

static za_verdict_t on_go(za_ctx_t *ctx, asker_t *self, const s_Num *go)
{
    double sum = 0.5; // lives in a register over each wait, if anywhere
    for (uint64_t i = 0; i < rounds_max; i++) {
        ask_one(ctx, i);
        sum += 1.0;
        self->rounds++;
        if (i % 64 == 0) {
            MUST(za_sleep(ctx, 1) == ZA_OK);
        }
    }
    MUST(self->rounds == rounds_max && sum == 0.5 + (double)rounds_max && go->n == 1);
    add(&finished);
    return ZA_DONE;
}
ZA_ACTOR(asker, asker_t, (s_Num, on_go));

static za_verdict_t on_sleep(za_ctx_t *ctx, asker_t *self, const s_Num *go)
{
    (void)self;
    (void)go;
    add(&asleep);
    za_err_t err = za_sleep(ctx, 3600 * 1000);
    MUST(err == ZA_ESTOPPING && za_sleep(ctx, 1) == ZA_ESTOPPING);
    add(&stopped_waits);
    return ZA_DONE;
}
ZA_ACTOR(victim, asker_t, (s_Num, on_sleep));

static za_ref_t spawn(za_worker_t *guest, const za_class_t *class_)
{
    za_ref_t ref;
    const za_spawn_opts_t opts = { .size = sizeof opts, .fiber = true };
    MUST(za_runtime_spawn(guest, class_, &opts, ZA_REF_NONE, &ref) == ZA_OK);
    return ref;
}

static uint64_t count_of(_Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_acquire);
}

static void wait_for(_Atomic uint64_t *count, uint64_t wanted)
{
    while (count_of(count) < wanted) {
        sched_yield();
    }
}

/** Actors that are stopped while they sleep, or before: a stop overtakes the message. */
static void stop_sleepers(za_worker_t *guest, uint64_t generations)
{
    for (uint64_t i = 0; i < generations; i++) {
        za_ref_t victims[VICTIMS];
        for (uint32_t v = 0; v < VICTIMS; v++) {
            victims[v] = spawn(guest, &victim_class);
            MUST(stress_tell(guest, victims[v], (s_Num){ .n = 1 }) == ZA_OK);
        }
        for (uint32_t v = 0; v < VICTIMS; v++) {
            if (i % 2 == 0 && v == 0) {
                wait_for(&asleep, count_of(&stopped_waits) + 1);
            }
            za_runtime_stop_actor(guest, victims[v].actor, za_Reason_REASON_STOPPED);
        }
    }
}

static uint64_t actors(za_runtime_t *runtime)
{
    za_counters_t counters;
    za_runtime_counters(runtime, &counters);
    return counters.actors;
}

int main(int argc, char **argv)
{
    rounds_max = stress_rounds(argc, argv, 1000);
    stress_t stress;
    stress_start(&stress, WORKERS, 1000);
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    for (uint32_t i = 0; i < ANSWERERS; i++) {
        answerers[i] = spawn(guest, &answerer_class);
    }
    for (uint32_t i = 0; i < ASKERS; i++) {
        MUST(stress_tell(guest, spawn(guest, &asker_class), (s_Num){ .n = 1 }) == ZA_OK);
    }
    stop_sleepers(guest, rounds_max / 10);
    wait_for(&finished, ASKERS);
    while (actors(stress.runtime) > ASKERS + ANSWERERS) {
        sched_yield();
    }
    MUST(count_of(&answered) + count_of(&refused) + count_of(&timed_out) == ASKERS * rounds_max);
    MUST(count_of(&asleep) == count_of(&stopped_waits) && count_of(&asleep) > 0);
    printf("%llu answered, %llu not answered, %llu timed out, %llu stopped while asleep, "
           "%llu went on elsewhere\n",
           (unsigned long long)count_of(&answered), (unsigned long long)count_of(&refused),
           (unsigned long long)count_of(&timed_out), (unsigned long long)count_of(&stopped_waits),
           (unsigned long long)count_of(&moved));
    stress_stop(&stress);
    return 0;
}
