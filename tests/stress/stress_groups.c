/**
 * Actors join and leave groups, end and are spawned anew on several workers, and members of another
 * node come and go, while others read the groups and route to their members: nobody ever gets what was meant for another group, a reader
 * never finds half a change, and what was accepted is handled or counted as a dead letter.
 */
#include "stress_world.h"

#include <string.h>

#include "core/router.h"
#include "core/worker.h"

enum {
    GROUPS = 4,      // kept by members who stay
    STEADY = 3,      // of each
    MOVERS = 12,     // who come and go
    SENDERS = 6,     //
    BURST = 8,       // messages of a sender before it yields
    REMOTES = 20,    // of another node, that come and go
    READ_MAX = 4096, // members a reader copies
};

#define OTHER_NODE UINT64_C(9)

static _Atomic uint64_t moves_left;
static _Atomic uint64_t senders_left = SENDERS;
static _Atomic uint64_t accepted;
static _Atomic uint64_t handled;

static const char *const names[GROUPS] = { "a", "a group with a rather long name", "third", "4" };

/* A member: of one group for all its life, so that whoever misses is found out. */
typedef struct member {
    uint64_t group;
} member_t;

static za_verdict_t member_num(za_ctx_t *ctx, member_t *self, const s_Num *m)
{
    if (m->from == UINT64_MAX) { // its spawner says which
        self->group = m->n;
        MUST(za_join(ctx, names[m->n]) == ZA_OK);
        return ZA_DONE;
    }
    MUST(m->n == self->group);
    atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed);
    return ZA_DONE;
}

ZA_ACTOR(steady, member_t, (s_Num, member_num));

/* A mover: leaves, joins again, or ends and has a successor. */
static za_verdict_t mover_num(za_ctx_t *ctx, member_t *self, const s_Num *m)
{
    (void)member_num(ctx, self, m);
    uint64_t left = atomic_load_explicit(&moves_left, memory_order_relaxed);
    if (left == 0 || m->from == UINT64_MAX) {
        return ZA_DONE;
    }
    atomic_store_explicit(&moves_left, left - 1, memory_order_relaxed); // about so many
    za_leave(ctx, names[self->group]);
    if (za_random(ctx) % 3 != 0) {
        MUST(za_join(ctx, names[self->group]) == ZA_OK);
        return ZA_DONE;
    }
    return ZA_STOP;
}

ZA_ACTOR(mover, member_t, (s_Num, mover_num));

/* The keeper: as many movers as there were. */
typedef struct keeper {
    uint64_t group;
} keeper_t;

static void spawn_mover(za_ctx_t *ctx, uint64_t group)
{
    za_ref_t ref;
    MUST(za_spawn(ctx, mover, &ref) == ZA_OK);
    MUST(za_watch(ctx, ref) == ZA_OK);
    MUST(za_tell(ctx, ref, ZA_MSG(s_Num, .n = group, .from = UINT64_MAX)) == ZA_OK);
}

static za_verdict_t keeper_num(za_ctx_t *ctx, keeper_t *self, const s_Num *m)
{
    self->group = m->n;
    for (int i = 0; i < MOVERS; i++) {
        spawn_mover(ctx, self->group);
    }
    return ZA_DONE;
}

static za_verdict_t keeper_down(za_ctx_t *ctx, keeper_t *self, const za_Down *m)
{
    (void)m;
    spawn_mover(ctx, self->group);
    return ZA_DONE;
}

ZA_ACTOR(keeper, keeper_t, (s_Num, keeper_num), (za_Down, keeper_down));

/* A sender: routes in every way, and reads. */
typedef struct sender {
    uint64_t unused;
} sender_t;

static void read_group(za_ctx_t *ctx, uint32_t group)
{
    static _Thread_local za_ref_t refs[READ_MAX];
    uint32_t count = 0;
    MUST(za_members(ctx, names[group], refs, READ_MAX, &count) == ZA_OK);
    MUST(count >= STEADY && count <= STEADY + 2 * MOVERS + REMOTES);
    for (uint32_t i = 0; i < count; i++) {
        MUST(refs[i].node == 0 ? za_id_slot(refs[i].actor) != 0
                               : refs[i].node == OTHER_NODE && refs[i].actor % GROUPS == group);
        MUST(i == 0 || refs[i].node == 0 || refs[i - 1].node <= refs[i].node); // ours first
        MUST(i == 0 || refs[i].node != 0 || refs[i - 1].node == 0);
        for (uint32_t j = 0; j < i; j++) {
            MUST(!za_ref_equal(refs[i], refs[j])); // each once
        }
    }
}

static za_verdict_t sender_num(za_ctx_t *ctx, sender_t *self, const s_Num *m)
{
    (void)self;
    (void)m;
    for (int i = 0; i < BURST; i++) {
        uint64_t chance = za_random(ctx);
        uint32_t group = chance % GROUPS;
        za_policy_t policy = (za_policy_t)(chance / GROUPS % ZA_BROADCAST); // each but broadcast
        za_err_t err = za_route(ctx, names[group], policy, chance, ZA_MSG(s_Num, .n = group));
        // By key it may be one of the other node, which nobody can reach here.
        MUST(err == ZA_OK || err == ZA_EFULL || err == ZA_EGONE || err == ZA_ENOROUTE);
        atomic_fetch_add_explicit(&accepted, err == ZA_OK, memory_order_relaxed);
    }
    read_group(ctx, za_random(ctx) % GROUPS);
    ZA_IGNORE(za_publish(ctx, "nobody", ZA_MSG(s_Num, .n = 0)));
    if (atomic_load_explicit(&moves_left, memory_order_relaxed) == 0) {
        atomic_fetch_sub_explicit(&senders_left, 1, memory_order_release);
        return ZA_STOP;
    }
    MUST(za_tell(ctx, za_self(ctx), ZA_MSG(s_Num, .n = 0)) == ZA_OK);
    return ZA_DONE;
}

ZA_ACTOR(sender, sender_t, (s_Num, sender_num));

/** A member of the other node comes or goes. */
static void change_remote(za_worker_t *guest, za_rng_t *rng)
{
    uint32_t group = (uint32_t)za_rng_below(rng, GROUPS);
    za_ref_t member = { OTHER_NODE, (1 + za_rng_below(rng, REMOTES)) * GROUPS + group };
    if (za_rng_below(rng, 2) == 0) {
        MUST(za_runtime_group_add(guest, names[group], member) == ZA_OK);
    } else {
        za_runtime_group_remove(guest, names[group], member);
    }
}

int main(int argc, char **argv)
{
    atomic_store_explicit(&moves_left, stress_rounds(argc, argv, 1000000), memory_order_relaxed);
    stress_t stress;
    stress_start(&stress, 3, 1000);
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    for (uint32_t group = 0; group < GROUPS; group++) {
        for (int i = 0; i < STEADY; i++) {
            za_ref_t ref = stress_spawn(guest, &steady_class);
            MUST(stress_tell(guest, ref, (s_Num){ .n = group, .from = UINT64_MAX }) == ZA_OK);
        }
        MUST(stress_tell(guest, stress_spawn(guest, &keeper_class), (s_Num){ .n = group }) ==
             ZA_OK);
    }
    for (uint32_t group = 0; group < GROUPS; group++) { // until all are there
        za_group_key_t key;
        MUST(za_group_key(names[group], &key) == ZA_OK);
        uint32_t locals;
        while (za_group_copy(stress.runtime->groups, &key, NULL, 0, &locals) < STEADY + MOVERS) {
            sched_yield();
        }
    }
    for (int i = 0; i < SENDERS; i++) {
        MUST(stress_tell(guest, stress_spawn(guest, &sender_class), (s_Num){ .n = 0 }) == ZA_OK);
    }
    za_counters_t counters;
    za_rng_t rng;
    za_rng_init(&rng, 5);
    do {
        for (int i = 0; i < 100; i++) {
            change_remote(guest, &rng);
        }
        sched_yield();
        za_runtime_counters(stress.runtime, &counters);
    } while (atomic_load_explicit(&senders_left, memory_order_acquire) > 0 ||
             atomic_load_explicit(&handled, memory_order_relaxed) + counters.dead_letters <
                 atomic_load_explicit(&accepted, memory_order_relaxed));
    MUST(atomic_load_explicit(&handled, memory_order_relaxed) + counters.dead_letters ==
         atomic_load_explicit(&accepted, memory_order_relaxed));
    MUST(atomic_load_explicit(&handled, memory_order_relaxed) > 0);
    stress_stop(&stress);
    return 0;
}
