// The simulator, and what whole nodes do in it.
#include "support/za_test.h"

#include <zactor/sim.h>

#include "cluster/cluster.h"
#include "node/node.h"

enum {
    FORM_MS = 3000,    // nodes that start at once find each other
    CRASH_MS = 2000,   // a connection that was reset is evidence: no suspicion must time out
    REPAIR_MS = 30000, // DOWN members are tried every 10 s
};

static za_sim_t *sim_of(uint64_t seed, uint32_t nodes)
{
    za_sim_t *sim;
    za_err_t err = za_sim_create(
        &(za_sim_opts_t){ .size = sizeof(za_sim_opts_t), .seed = seed, .nodes = nodes }, &sim);
    cr_assert(err == ZA_OK);
    return sim;
}

static bool converged(za_sim_t *sim, void *context)
{
    (void)context;
    return za_sim_converged(sim);
}

static za_sim_t *formed(uint64_t seed, uint32_t nodes)
{
    za_sim_t *sim = sim_of(seed, nodes);
    cr_assert(za_sim_run_until(sim, converged, NULL, FORM_MS), "the nodes did not find each other");
    return sim;
}

static uint64_t uid_of(za_sim_t *sim, uint32_t node)
{
    return za_node_uid(za_sim_node(sim, node));
}

typedef struct lookup {
    uint64_t uid;
    za_member_state_t state;
    bool found;
} lookup_t;

static bool look(const za_member_info_t *info, void *context)
{
    lookup_t *lookup = context;
    if (info->uid == lookup->uid) {
        lookup->found = true;
        lookup->state = info->state;
    }
    return !lookup->found;
}

/** How `node` sees the uid. */
static za_member_state_t state_at(za_sim_t *sim, uint32_t node, uint64_t uid)
{
    lookup_t lookup = { .uid = uid };
    za_cluster_each_member(za_node_cluster(za_sim_node(sim, node)), look, &lookup);
    cr_assert(lookup.found, "n%u does not know the uid", node);
    return lookup.state;
}

/* ---- the simulator --------------------------------------------------------------------------- */

Test(sim, refuses_options_that_make_no_sense)
{
    za_sim_t *sim;
    cr_expect(za_sim_create(NULL, &sim) == ZA_EINVAL);
    cr_expect(za_sim_create(&(za_sim_opts_t){ .nodes = 3 }, &sim) == ZA_EINVAL);
    cr_expect(za_sim_create(
                  &(za_sim_opts_t){ .size = sizeof(za_sim_opts_t), .nodes = ZA_SIM_NODES_MAX + 1 },
                  &sim) == ZA_EINVAL);
    cr_expect(
        za_sim_create(
            &(za_sim_opts_t){ .size = sizeof(za_sim_opts_t), .nodes = 3, .loss_permille = 1001 },
            &sim) == ZA_EINVAL);
}

Test(sim, calls_of_nodes_that_do_not_exist_do_nothing)
{
    za_sim_t *sim = formed(1, 2);
    za_sim_crash(sim, 2);
    za_sim_restart(sim, 2);
    za_sim_pause(sim, 2);
    za_sim_resume(sim, 2);
    za_sim_leave(sim, 2);
    za_sim_block(sim, 0, 2, true);
    za_sim_reset(sim, 2, 0);
    za_sim_restart(sim, 0); // it runs
    cr_expect(za_sim_node(sim, 2) == NULL);
    cr_expect(za_sim_mark_name(1000) == NULL && za_sim_marks(sim, 1000) == 0);
    za_sim_run_for(sim, 1000);
    cr_expect(za_sim_converged(sim));
    za_sim_destroy(sim);
}

static uint64_t hash_of_a_story(uint64_t seed)
{
    za_sim_t *sim = sim_of(seed, 4);
    za_sim_run_for(sim, 5000);
    za_sim_crash(sim, 1);
    za_sim_partition(sim, 8);
    za_sim_run_for(sim, 10000);
    za_sim_heal(sim);
    za_sim_restart(sim, 1);
    za_sim_run_for(sim, 20000);
    uint64_t hash = za_sim_hash(sim);
    za_sim_destroy(sim);
    return hash;
}

Test(sim, same_seed_same_run)
{
    uint64_t first = hash_of_a_story(7);
    uint64_t second = hash_of_a_story(7);
    uint64_t other = hash_of_a_story(8);
    cr_expect(first == second);
    cr_expect(first != other);
}

Test(sim, time_goes_on_without_events)
{
    za_sim_t *sim = sim_of(3, 1);
    za_sim_run_for(sim, 12345);
    cr_expect(za_sim_now_ms(sim) == 12345);
    cr_expect(za_sim_converged(sim));
    za_sim_destroy(sim);
}

/* ---- whole nodes ------------------------------------------------------------------------------- */

Test(nodes, find_each_other_through_one_seed)
{
    static const uint32_t sizes[] = { 2, 3, 5, 16 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        za_sim_t *sim = formed(10 + i, sizes[i]);
        za_sim_destroy(sim);
    }
}

typedef struct ended {
    uint64_t uid;
    za_member_state_t state;
    uint32_t but; // the node that ended
} ended_t;

static bool ended_everywhere(za_sim_t *sim, void *context)
{
    const ended_t *ended = context;
    for (uint32_t node = 0; node < za_sim_node_count(sim); node++) {
        if (node != ended->but && state_at(sim, node, ended->uid) != ended->state) {
            return false;
        }
    }
    return true;
}

Test(nodes, know_of_a_crash_within_two_seconds)
{
    for (uint64_t seed = 20; seed < 30; seed++) {
        za_sim_t *sim = formed(seed, 3);
        za_sim_run_for(sim, 5000 + 37 * seed);
        ended_t ended = { .uid = uid_of(sim, 1), .state = ZA_MEMBER_DOWN, .but = 1 };
        za_sim_crash(sim, 1);
        cr_assert(za_sim_run_until(sim, ended_everywhere, &ended, CRASH_MS), "seed %d", (int)seed);
        za_sim_destroy(sim);
    }
}

Test(nodes, take_a_leave_for_a_leave)
{
    za_sim_t *sim = formed(30, 5);
    ended_t ended = { .uid = uid_of(sim, 2), .state = ZA_MEMBER_LEFT, .but = 2 };
    za_sim_leave(sim, 2);
    za_sim_run_for(sim, CRASH_MS);
    cr_expect(za_sim_node(sim, 2) == NULL, "the leave is not complete");
    cr_expect(ended_everywhere(sim, &ended));
    cr_expect(za_sim_marks(sim, ZA_MARK_DOWN) == 0, "a leave was seen as a failure");
    za_sim_destroy(sim);
}

Test(nodes, that_are_started_again_replace_their_former_uid)
{
    za_sim_t *sim = formed(31, 3);
    ended_t ended = { .uid = uid_of(sim, 2), .state = ZA_MEMBER_DOWN, .but = 2 };
    za_sim_crash(sim, 2);
    za_sim_restart(sim, 2);
    cr_expect(uid_of(sim, 2) != ended.uid);
    cr_assert(za_sim_run_until(sim, converged, NULL, FORM_MS));
    cr_expect(ended_everywhere(sim, &ended));
    za_sim_destroy(sim);
}

Test(nodes, survive_a_short_pause_as_who_they_are)
{
    za_sim_t *sim = formed(32, 3);
    uint64_t uid = uid_of(sim, 1);
    za_sim_pause(sim, 1);
    za_sim_run_for(sim, 3000);
    cr_expect(state_at(sim, 0, uid) != ZA_MEMBER_DOWN);
    za_sim_resume(sim, 1);
    cr_assert(za_sim_run_until(sim, converged, NULL, REPAIR_MS));
    cr_expect(uid_of(sim, 1) == uid);
    cr_expect(za_sim_marks(sim, ZA_MARK_REBIRTH) == 0);
    za_sim_destroy(sim);
}

Test(nodes, that_stand_still_are_unreachable_then_down_then_reborn)
{
    za_sim_t *sim = formed(33, 3);
    ended_t unreachable = { .uid = uid_of(sim, 1), .state = ZA_MEMBER_UNREACHABLE, .but = 1 };
    ended_t down = { .uid = unreachable.uid, .state = ZA_MEMBER_DOWN, .but = 1 };
    za_sim_pause(sim, 1);
    cr_assert(za_sim_run_until(sim, ended_everywhere, &unreachable, 10000));
    cr_assert(za_sim_run_until(sim, ended_everywhere, &down, 10000));
    za_sim_resume(sim, 1);
    cr_assert(za_sim_run_until(sim, converged, NULL, REPAIR_MS));
    cr_expect(uid_of(sim, 1) != down.uid);
    cr_expect(za_sim_marks(sim, ZA_MARK_REBIRTH) == 1, "one rebirth heals it");
    za_sim_destroy(sim);
}

Test(nodes, find_together_after_a_partition_that_both_sides_outlived)
{
    for (uint64_t seed = 40; seed < 44; seed++) {
        za_sim_t *sim = formed(seed, 5);
        uint64_t uids[] = { uid_of(sim, 0), uid_of(sim, 4) };
        za_sim_partition(sim, 0x3);
        za_sim_run_for(sim, 20000);
        cr_expect(state_at(sim, 0, uids[1]) == ZA_MEMBER_DOWN);
        cr_expect(state_at(sim, 4, uids[0]) == ZA_MEMBER_DOWN);
        za_sim_heal(sim);
        cr_assert(za_sim_run_until(sim, converged, NULL, REPAIR_MS), "seed %d", (int)seed);
        cr_expect(uid_of(sim, 0) == uids[0] || uid_of(sim, 4) == uids[1],
                  "one side alone is reborn");
        za_sim_destroy(sim);
    }
}

Test(nodes, are_not_down_when_one_direction_is_blocked_for_a_moment)
{
    za_sim_t *sim = formed(50, 3);
    za_sim_block(sim, 0, 1, true);
    za_sim_run_for(sim, 2000);
    za_sim_block(sim, 0, 1, false);
    cr_assert(za_sim_run_until(sim, converged, NULL, REPAIR_MS));
    cr_expect(za_sim_marks(sim, ZA_MARK_DOWN) == 0);
    za_sim_destroy(sim);
}

Test(nodes, connect_again_after_a_reset)
{
    za_sim_t *sim = formed(51, 3);
    za_sim_reset(sim, 0, 1);
    cr_assert(za_sim_run_until(sim, converged, NULL, FORM_MS));
    za_sim_run_for(sim, 10000);
    cr_expect(za_sim_converged(sim));
    cr_expect(za_sim_marks(sim, ZA_MARK_DOWN) == 0, "a lost connection is no lost node");
    za_sim_destroy(sim);
}
