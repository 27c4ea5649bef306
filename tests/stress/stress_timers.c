// One worker arms and fires, another cancels the same timers: each is fired or given back, once.
#include "base/rng.h"
#include "core/timers.h"
#include "stress_world.h"

enum { TIMERS = 64 };

typedef enum phase {
    FREE,      // the home's
    ARMED,     // may fire; the canceller may have it
    CANCELLED, // the canceller was told that the home frees it
    TOO_LATE,  // the canceller was told that it fired
} phase_t;

static za_timers_t home;
static za_timers_t other;
static za_message_t messages[TIMERS];
static _Atomic uint32_t phases[TIMERS];
static _Atomic uint32_t stop;

static void *cancel_all(void *argument)
{
    za_rng_t rng;
    (void)argument;
    za_rng_init(&rng, 2);
    while (atomic_load_explicit(&stop, memory_order_relaxed) == 0) { // relaxed: only ends the loop
        uint32_t i = (uint32_t)za_rng_below(&rng, TIMERS);
        if (atomic_load_explicit(&phases[i], memory_order_acquire) != ARMED) { // pairs: phase
            continue;
        }
        za_cancel_t how = za_timers_cancel(&other, &home, &messages[i]);
        MUST(how != ZA_CANCEL_YOURS);
        atomic_store_explicit(&phases[i], how == ZA_CANCEL_HOMES ? CANCELLED : TOO_LATE,
                              memory_order_release); // pairs: phase
    }
    return NULL;
}

/** Waits for what the canceller was told about a timer that left the wheel. */
static void finish(const za_message_t *message, phase_t expected)
{
    uint32_t i = (uint32_t)(message - messages);
    uint32_t phase = ARMED;
    while (phase == ARMED) {
        phase = atomic_load_explicit(&phases[i], memory_order_acquire); // pairs: phase
    }
    MUST(phase == expected);
    atomic_store_explicit(&phases[i], FREE, memory_order_relaxed); // relaxed: not the other's
}

int main(int argc, char **argv)
{
    uint64_t rounds = stress_rounds(argc, argv, 100000);
    pthread_t canceller;
    za_rng_t rng;
    uint64_t now_ns = 1;
    uint64_t fired = 0;
    uint64_t freed = 0;
    za_rng_init(&rng, 1);
    za_timers_init(&home, 0);
    za_timers_init(&other, 1);
    MUST(pthread_create(&canceller, NULL, cancel_all, NULL) == 0);
    while (fired + freed < rounds) {
        for (uint32_t i = 0; i < TIMERS; i++) {
            if (atomic_load_explicit(&phases[i], memory_order_relaxed) == FREE) { // relaxed: ours
                messages[i].due_ns = now_ns + za_rng_below(&rng, 200);
                MUST(za_timers_arm(&home, &messages[i]) == ZA_OK);
                atomic_store_explicit(&phases[i], ARMED, memory_order_release); // pairs: phase
            }
        }
        now_ns += 50;
        uint32_t work = 1000;
        const za_message_t *message;
        while ((message = za_timers_take(&home, now_ns, &work)) != NULL) {
            finish(message, TOO_LATE);
            fired++;
        }
        while ((message = za_timers_take_cancelled(&home)) != NULL) {
            finish(message, CANCELLED);
            freed++;
        }
    }
    atomic_store_explicit(&stop, 1, memory_order_relaxed); // relaxed: join publishes
    pthread_join(canceller, NULL);
    MUST(fired > 0 && freed > 0);
    return 0;
}
