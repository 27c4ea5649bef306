/**
 * Links, strategies, stash and become on several workers at once: each link gives one za_Exit, no
 * child is left halted by a round, and whatever was put aside, an ask is answered in the end.
 */
#include "stress_world.h"

enum { BREEDERS = 4, BROOD = 8, NESTS = 4, KIDS = 4 };

static _Atomic uint64_t rounds_left;
static _Atomic uint64_t roots_left = BREEDERS + NESTS;

static bool take_round(void)
{
    // relaxed, all of it: a number
    uint64_t left = atomic_load_explicit(&rounds_left, memory_order_relaxed);
    while (left > 0 &&
           !atomic_compare_exchange_weak_explicit(&rounds_left, &left, left - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    return left > 0;
}

static za_verdict_t root_done(void)
{
    atomic_fetch_sub_explicit(&roots_left, 1, memory_order_release); // pairs: roots-left
    return ZA_STOP;
}

/* ---- links: linked from both sides, ended by either verdict ------------------------------- */

typedef struct chick {
    uint64_t unused;
} chick_t;

static za_verdict_t chick_num(za_ctx_t *ctx, chick_t *self, const s_Num *m)
{
    (void)self;
    if (m->n % 2 == 0) {
        MUST(za_link(ctx, m->ref) == ZA_OK); // it links to us at the same time
    }
    if (m->n % 5 == 0) {
        za_unlink(ctx, m->ref);
        MUST(za_link(ctx, m->ref) == ZA_OK);
    }
    return m->n % 3 == 0 ? ZA_FAIL : ZA_STOP;
}

ZA_ACTOR(chick, chick_t, (s_Num, chick_num));

typedef struct breeder {
    za_ref_t brood[BROOD];
    bool heard[BROOD];
    uint32_t alive;
} breeder_t;

static void breed(za_ctx_t *ctx, breeder_t *self)
{
    for (uint32_t i = 0; i < BROOD; i++) {
        MUST(za_spawn(ctx, chick, &self->brood[i]) == ZA_OK);
        // Told first or linked first: the end of the chick may come before the link.
        if (i % 2 == 0) {
            MUST(za_link(ctx, self->brood[i]) == ZA_OK);
        }
        MUST(za_tell(ctx, self->brood[i], ZA_MSG(s_Num, .n = i, .ref = za_self(ctx))) == ZA_OK);
        if (i % 2 != 0) {
            MUST(za_link(ctx, self->brood[i]) == ZA_OK);
        }
        self->heard[i] = false;
    }
    self->alive = BROOD;
}

static za_verdict_t breeder_started(za_ctx_t *ctx, breeder_t *self, const za_Started *m)
{
    (void)m;
    MUST(za_trap_exit(ctx, true) == ZA_OK);
    breed(ctx, self);
    return ZA_DONE;
}

static za_verdict_t breeder_exit(za_ctx_t *ctx, breeder_t *self, const za_Exit *m)
{
    for (uint32_t i = 0; i < BROOD; i++) {
        if (za_ref_equal(self->brood[i], m->ref)) {
            MUST(!self->heard[i]); // once
            self->heard[i] = true;
            self->alive--;
        }
    }
    if (self->alive > 0) {
        return ZA_DONE;
    }
    if (!take_round()) {
        return root_done();
    }
    breed(ctx, self);
    return ZA_DONE;
}

ZA_ACTOR(breeder, breeder_t, (za_Started, breeder_started), (za_Exit, breeder_exit));

/* ---- strategies: children that fail, stash and become ------------------------------------- */

typedef struct kid {
    uint64_t handled;
} kid_t;

extern const za_class_t kid_class, busy_class;

enum { ASKED = 1000 };

static za_verdict_t kid_num(za_ctx_t *ctx, kid_t *self, const s_Num *m)
{
    self->handled++;
    if (m->n == ASKED) {
        za_reply(ctx, ZA_MSG(s_Num, .n = ASKED));
        return ZA_DONE;
    }
    switch (m->n % 6) {
    case 0:
        return ZA_FAIL;
    case 1:
        return ZA_STASH;
    case 2:
        MUST(za_become(ctx, busy) == ZA_OK);
        return ZA_DONE;
    default:
        return ZA_DONE;
    }
}

static za_verdict_t busy_num(za_ctx_t *ctx, kid_t *self, const s_Num *m)
{
    self->handled++;
    if (m->n != ASKED && m->n % 3 != 0) {
        return ZA_STASH;
    }
    MUST(za_become(ctx, kid) == ZA_OK);
    za_unstash_all(ctx);
    if (m->n == ASKED) {
        za_reply(ctx, ZA_MSG(s_Num, .n = ASKED));
    }
    return ZA_DONE;
}

ZA_ACTOR(kid, kid_t, (s_Num, kid_num));
ZA_ACTOR(busy, kid_t, (s_Num, busy_num));

typedef struct nest {
    za_ref_t kids[KIDS];
    uint32_t answers;
    uint32_t asked;
} nest_t;

static za_verdict_t nest_started(za_ctx_t *ctx, nest_t *self, const za_Started *m)
{
    (void)m;
    MUST(za_supervise(ctx, za_random(ctx) % 2 == 0 ? ZA_ONE_FOR_ALL : ZA_REST_FOR_ONE) == ZA_OK);
    for (uint32_t i = 0; i < KIDS; i++) {
        MUST(za_spawn(ctx, kid, &self->kids[i], .max_restarts = UINT32_MAX, .stash = 10) == ZA_OK);
    }
    MUST(za_tell(ctx, za_self(ctx), ZA_MSG(s_Num, .n = 0)) == ZA_OK);
    return ZA_DONE;
}

static za_verdict_t nest_num(za_ctx_t *ctx, nest_t *self, const s_Num *m)
{
    if (m->n == ASKED) {
        return ++self->answers == KIDS ? root_done() : ZA_DONE;
    }
    for (uint32_t i = 0; i < KIDS; i++) { // a halted one may be full: it is told later
        ZA_IGNORE(za_tell(ctx, self->kids[i], ZA_MSG(s_Num, .n = za_random(ctx) % 100)));
    }
    if (take_round()) {
        MUST(za_tell(ctx, za_self(ctx), ZA_MSG(s_Num, .n = 0)) == ZA_OK);
        return ZA_DONE;
    }
    if (za_ask(ctx, self->kids[self->asked], ZA_MSG(s_Num, .n = ASKED), .timeout_ms = 100000) ==
        ZA_OK) {
        self->asked++;
    }
    if (self->asked < KIDS) {
        MUST(za_tell(ctx, za_self(ctx), ZA_MSG(s_Num, .n = 0)) == ZA_OK);
    }
    return ZA_DONE;
}

static za_verdict_t nest_timeout(za_ctx_t *ctx, nest_t *self, const za_Timeout *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    MUST(!"a child is halted for ever");
    return ZA_DONE;
}

static za_verdict_t nest_down(za_ctx_t *ctx, nest_t *self, const za_Down *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    MUST(!"an ask that waits in a mailbox outlives restarts");
    return ZA_DONE;
}

ZA_ACTOR(nest, nest_t, (za_Started, nest_started), (s_Num, nest_num), (za_Down, nest_down),
         (za_Timeout, nest_timeout));

int main(int argc, char **argv)
{
    atomic_store_explicit(&rounds_left, stress_rounds(argc, argv, 4000), memory_order_relaxed);
    stress_t stress;
    stress_start(&stress, 3, 100);
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    for (int i = 0; i < BREEDERS; i++) {
        stress_spawn(guest, &breeder_class);
    }
    for (int i = 0; i < NESTS; i++) {
        stress_spawn(guest, &nest_class);
    }
    za_counters_t counters;
    do {
        sched_yield();
        za_runtime_counters(stress.runtime, &counters);
    } while (atomic_load_explicit(&roots_left, memory_order_acquire) > 0 || // pairs: roots-left
             counters.actors > 0);
    MUST(counters.restarted > 0);
    MUST(counters.dead_by_reason[za_Reason_REASON_FAILED] > 0);
    stress_stop(&stress);
    return 0;
}
