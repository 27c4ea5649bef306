// The wheel against a sorted list: random arms, cancels and jumps of time, from a nanosecond to the
// end of time. ZACTOR_LONG=<seeds> runs that many seeds; ZACTOR_SEED=<n> one.
#include <stdlib.h>

#include "base/rng.h"
#include "core/timers.h"
#include "support/za_test.h"

enum { SEEDS = 300, STEPS = 2000, TIMERS_MAX = 600, FEW = 12 };

typedef struct model {
    za_timers_t timers;
    za_timers_t elsewhere; // of another worker, which cancels too
    za_message_t messages[TIMERS_MAX];
    uint64_t age[TIMERS_MAX]; // 0: not armed
    bool elsewhere_cancelled[TIMERS_MAX];
    uint64_t ages;
    uint64_t now_ns;
    uint32_t used; // of the messages: some runs have few timers
    za_rng_t rng;
} model_t;

static uint64_t seed;

/** Long and short alike: a random number of random bits. */
static uint64_t any_span(za_rng_t *rng)
{
    uint64_t bits = za_rng_below(rng, 60);
    uint64_t span = za_rng_next(rng);
    return span & ((UINT64_C(1) << bits) - 1);
}

static void arm(model_t *model)
{
    uint32_t i = (uint32_t)za_rng_below(&model->rng, model->used);
    uint64_t span = any_span(&model->rng);
    if (model->age[i] != 0 || model->elsewhere_cancelled[i]) {
        return;
    }
    za_message_t *message = &model->messages[i];
    message->due_ns = span < UINT64_MAX - model->now_ns ? model->now_ns + span : UINT64_MAX - 1;
    message->ask = i;
    cr_assert(za_timers_arm(&model->timers, message) == ZA_OK, "seed %llu",
              (unsigned long long)seed);
    model->age[i] = ++model->ages;
}

static void cancel(model_t *model)
{
    uint32_t i = (uint32_t)za_rng_below(&model->rng, model->used);
    bool elsewhere = za_rng_below(&model->rng, 3) == 0;
    if (model->age[i] == 0) {
        return;
    }
    za_timers_t *caller = elsewhere ? &model->elsewhere : &model->timers;
    za_cancel_t how = za_timers_cancel(caller, &model->timers, &model->messages[i]);
    cr_assert(how == (elsewhere ? ZA_CANCEL_HOMES : ZA_CANCEL_YOURS), "seed %llu: %d",
              (unsigned long long)seed, how);
    model->age[i] = 0;
    model->elsewhere_cancelled[i] = elsewhere;
}

/** The first in the model; TIMERS_MAX: none is armed. */
static uint32_t model_first(const model_t *model)
{
    uint32_t first = TIMERS_MAX;
    for (uint32_t i = 0; i < TIMERS_MAX; i++) {
        uint64_t due_ns = model->messages[i].due_ns;
        if (model->age[i] != 0 &&
            (first == TIMERS_MAX || due_ns < model->messages[first].due_ns ||
             (due_ns == model->messages[first].due_ns && model->age[i] < model->age[first]))) {
            first = i;
        }
    }
    return first;
}

static void fire(model_t *model)
{
    uint64_t left = za_rng_below(&model->rng, 40);
    uint32_t work = (uint32_t)left; // sometimes too little: the rest comes later
    const za_message_t *message;
    while ((message = za_timers_take(&model->timers, model->now_ns, &work)) != NULL) {
        uint32_t first = model_first(model);
        cr_assert(message->due_ns <= model->now_ns, "seed %llu: early", (unsigned long long)seed);
        cr_assert(message->ask == first, "seed %llu: %u before %u", (unsigned long long)seed,
                  (unsigned)message->ask, first);
        model->age[first] = 0;
    }
    uint32_t first = model_first(model);
    bool is_due = first < TIMERS_MAX && model->messages[first].due_ns <= model->now_ns;
    cr_assert(work == 0 || !is_due, "seed %llu: late", (unsigned long long)seed);
}

static uint32_t model_count(const model_t *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < TIMERS_MAX; i++) {
        count += model->age[i] != 0;
    }
    return count;
}

static void free_cancelled(model_t *model)
{
    const za_message_t *message;
    while ((message = za_timers_take_cancelled(&model->timers)) != NULL) {
        cr_assert(model->elsewhere_cancelled[message->ask], "seed %llu: not cancelled",
                  (unsigned long long)seed);
        model->elsewhere_cancelled[message->ask] = false;
    }
    for (uint32_t i = 0; i < TIMERS_MAX; i++) {
        cr_assert(!model->elsewhere_cancelled[i], "seed %llu: lost", (unsigned long long)seed);
    }
    cr_assert(model->timers.count == model_count(model), "seed %llu: count",
              (unsigned long long)seed);
}

/** A host may sleep until the deadline: it is the first timer, or before that of many. */
static void check_deadline(model_t *model)
{
    za_timers_settle(&model->timers);
    uint64_t deadline_ns = atomic_load_explicit(&model->timers.deadline_ns, memory_order_relaxed);
    uint32_t first = model_first(model);
    uint64_t due_ns = first < TIMERS_MAX ? model->messages[first].due_ns : UINT64_MAX;
    cr_assert(deadline_ns <= due_ns, "seed %llu: it would sleep too long",
              (unsigned long long)seed);
    cr_assert(model->timers.count > FEW || model->timers.count != model_count(model) ||
                  deadline_ns == due_ns || deadline_ns <= model->now_ns,
              "seed %llu: it would wake in vain", (unsigned long long)seed);
    cr_assert(model->timers.count > 0 || deadline_ns == UINT64_MAX, "seed %llu: none is armed",
              (unsigned long long)seed);
}

static void advance(model_t *model)
{
    uint32_t first = model_first(model);
    uint64_t to_first = za_rng_below(&model->rng, 2);
    uint64_t span = any_span(&model->rng);
    if (to_first != 0 && first < TIMERS_MAX && model->messages[first].due_ns > model->now_ns) {
        model->now_ns = model->messages[first].due_ns;
    } else if (span < UINT64_MAX - model->now_ns && (span >> 48 == 0 || to_first != 0)) {
        model->now_ns += span;
    }
}

static void run_seed(void)
{
    static model_t model;
    memset(&model, 0, sizeof model);
    za_rng_init(&model.rng, seed);
    za_timers_init(&model.timers, 0);
    za_timers_init(&model.elsewhere, 1);
    model.now_ns = any_span(&model.rng);
    model.used = seed % 4 == 0 ? FEW : TIMERS_MAX;
    for (int step = 0; step < STEPS; step++) {
        switch (za_rng_below(&model.rng, 8)) {
        case 0:
            advance(&model);
            fire(&model);
            break;
        case 1:
            fire(&model);
            break;
        case 2:
        case 3:
            cancel(&model);
            break;
        case 4:
            free_cancelled(&model);
            break;
        default:
            arm(&model);
            break;
        }
        check_deadline(&model);
    }
}

Test(timers_model, is_a_sorted_list)
{
    const char *one = getenv("ZACTOR_SEED");
    const char *many = getenv("ZACTOR_LONG");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t count = one != NULL ? 1 : many != NULL ? strtoull(many, NULL, 10) : SEEDS;
    for (seed = first; seed < first + count; seed++) {
        run_seed();
    }
}

// A host that sleeps until the deadline and no longer comes to each timer at its nanosecond, and
// wakes at most once in vain for each level of the wheel that a timer goes down.
Test(timers_model, a_sleeping_host_is_exact)
{
    enum { TIMERS = 400 };
    static za_message_t messages[TIMERS];
    static za_timers_t timers;
    za_rng_t rng;
    za_rng_init(&rng, 7);
    za_timers_init(&timers, 0);
    for (uint32_t i = 0; i < TIMERS; i++) {
        messages[i].due_ns = any_span(&rng);
        cr_assert(za_timers_arm(&timers, &messages[i]) == ZA_OK, "armed");
    }
    uint32_t fired = 0;
    uint32_t wakes = 0;
    while (timers.count > 0) {
        uint64_t now_ns = atomic_load_explicit(&timers.deadline_ns, memory_order_relaxed);
        uint32_t work = UINT32_MAX;
        const za_message_t *message;
        wakes++;
        while ((message = za_timers_take(&timers, now_ns, &work)) != NULL) {
            cr_assert(message->due_ns == now_ns, "not early, not late");
            fired++;
        }
    }
    cr_assert(fired == TIMERS, "all: %u", fired);
    cr_assert(wakes <= TIMERS + TIMERS / 10, "in vain: %u", wakes - TIMERS);
}

// One million due in the same instant, as after a burst of asks: no call is long, and none is late.
Test(timers_model, a_million_in_one_slot_go_down_in_pieces)
{
    enum { TIMERS = ZA_TIMERS_MAX, WORK = 1024 };
    za_message_t *messages = calloc(TIMERS + 1, sizeof *messages);
    static za_timers_t timers;
    cr_assert(messages != NULL, "memory");
    za_timers_init(&timers, 0);
    for (uint32_t i = 0; i < TIMERS; i++) {
        messages[i].due_ns = UINT64_C(5000000000) + i % 1000;
        cr_assert(za_timers_arm(&timers, &messages[i]) == ZA_OK, "armed");
    }
    cr_assert(za_timers_arm(&timers, &messages[TIMERS]) == ZA_ENOBUFS, "one too many");
    uint64_t now_ns = UINT64_C(5000001000);
    uint64_t last_ns = 0;
    uint32_t fired = 0;
    uint32_t calls = 0;
    for (; timers.count > 0; calls++) {
        uint32_t work = WORK;
        const za_message_t *message;
        while ((message = za_timers_take(&timers, now_ns, &work)) != NULL) {
            cr_assert(message->due_ns >= last_ns, "in order");
            last_ns = message->due_ns;
            fired++;
        }
        cr_assert(timers.count == 0 || work == 0, "it stops only when the work is used up");
    }
    cr_assert(fired == TIMERS, "all: %u", fired);
    cr_assert(calls >= 2 * TIMERS / WORK, "each went down and was taken: %u calls", calls);
    cr_assert(calls <= (ZA_WHEEL_LEVELS + 1) * (TIMERS / WORK), "%u calls", calls);
    free(messages);
}
