/**
 * Actors are spawned, watched, written to and ended in reused cells, on several workers: each watch
 * gives one za_Down, no message reaches another actor, and all memory of cells comes back.
 */
#include "stress_world.h"

enum { BREEDERS = 8, BROOD = 16 };

static _Atomic uint64_t rounds_left;
static _Atomic uint64_t breeders_left = BREEDERS;

/* A chick: lives for one message, and tells whose it is. */
typedef struct chick {
    uint64_t unused;
} chick_t;

static za_verdict_t chick_num(za_ctx_t *ctx, chick_t *self, const s_Num *m)
{
    (void)self;
    MUST(m->ref.actor == za_self(ctx).actor); // never meant for a former one
    return m->n % 3 == 0 ? ZA_FAIL : ZA_STOP;
}

ZA_ACTOR(chick, chick_t, (s_Num, chick_num));

typedef struct breeder {
    za_ref_t brood[BROOD];
    uint32_t alive;
    uint64_t stale;
} breeder_t;

static void breed(za_ctx_t *ctx, breeder_t *self)
{
    for (uint32_t i = 0; i < BROOD; i++) {
        za_ref_t old = self->brood[i];
        MUST(za_spawn(ctx, chick, &self->brood[i]) == ZA_OK);
        za_ref_t chick = self->brood[i];
        MUST(za_watch(ctx, chick) == ZA_OK);
        MUST(za_tell(ctx, chick, ZA_MSG(s_Num, .n = i, .ref = chick)) == ZA_OK);
        // Late: to one that is ending or gone. Accepted or not, nobody else may get it.
        ZA_IGNORE(za_tell(ctx, chick, ZA_MSG(s_Num, .n = i, .ref = chick)));
        if (old.actor != 0) {
            MUST(za_tell(ctx, old, ZA_MSG(s_Num, .n = i, .ref = old)) == ZA_EGONE);
        }
    }
    self->alive = BROOD;
}

static za_verdict_t breeder_started(za_ctx_t *ctx, breeder_t *self, const za_Started *m)
{
    (void)m;
    breed(ctx, self);
    return ZA_DONE;
}

static za_verdict_t breeder_down(za_ctx_t *ctx, breeder_t *self, const za_Down *m)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < BROOD; i++) {
        found += za_ref_equal(self->brood[i], m->ref);
    }
    MUST(found == 1 && self->alive > 0);
    if (--self->alive > 0) {
        return ZA_DONE;
    }
    uint64_t left = atomic_load_explicit(&rounds_left, memory_order_relaxed);
    while (left > 0 &&
           !atomic_compare_exchange_weak_explicit(&rounds_left, &left, left - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    if (left == 0) {
        atomic_fetch_sub_explicit(&breeders_left, 1, memory_order_release);
        return ZA_STOP;
    }
    breed(ctx, self);
    return ZA_DONE;
}

ZA_ACTOR(breeder, breeder_t, (za_Started, breeder_started), (za_Down, breeder_down));

int main(int argc, char **argv)
{
    uint64_t rounds = stress_rounds(argc, argv, 20000);
    atomic_store_explicit(&rounds_left, rounds, memory_order_relaxed);
    stress_t stress;
    stress_start(&stress, 3, 100);
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    for (int i = 0; i < BREEDERS; i++) {
        stress_spawn(guest, &breeder_class);
    }
    za_counters_t counters;
    do {
        sched_yield();
        za_runtime_counters(stress.runtime, &counters);
    } while (atomic_load_explicit(&breeders_left, memory_order_acquire) > 0 || counters.actors > 0);
    MUST(counters.spawned == (rounds + BREEDERS) * BROOD + BREEDERS);
    MUST(counters.stopped == counters.spawned);
    stress_stop(&stress);
    return 0;
}
