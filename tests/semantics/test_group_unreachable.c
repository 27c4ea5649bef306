// Routing to the members of a group while a node is unreachable, for a shorter time than it takes to
// be down: to those of other nodes, if there are some.
#include "stage.h"

enum { EACH = 3, KEYS = 60, CUT_BOUND_MS = 20000 };

static const char *const roles[STAGE_NODES] = { "web", "web,encoder", "encoder" };
static const char *const names[STAGE_NODES] = { "at0", "at1", "at2" };

static za_err_t answer;
static za_route_opts_t opts;
static uint32_t from_n, to_n; // numbers of the messages to be routed
static uint64_t uids[STAGE_NODES];

/** On each node an actor with a name, by which the others' view of the node is asked for. */
static void open_stage(uint64_t seed)
{
    stage_open_with((za_sim_opts_t){ .seed = seed, .roles = roles });
    for (uint32_t i = 0; i < STAGE_NODES; i++) {
        cr_assert(za_sim_spawn(stage_sim, i, stage_member, NULL, .name = names[i]) == ZA_OK,
                  "named");
        uids[i] = stage_uid(i);
    }
}

static void open_with_members(uint64_t seed)
{
    open_stage(seed);
    for (uint32_t i = 0; i < STAGE_NODES * EACH; i++) {
        stage_join(i % STAGE_NODES, 0);
    }
    stage_settle();
}

static bool sees_unreachable(uint32_t from, uint32_t node)
{
    za_whereis_info_t info;
    return za_node_whereis_with(za_sim_node(stage_sim, from), names[node], &info) == ZA_OK &&
           info.unreachable;
}

/** Node 2 is alone, as node 0 sees it. */
static bool is_cut(za_sim_t *sim, void *context)
{
    (void)sim;
    (void)context;
    return sees_unreachable(0, 2);
}

static void cut(void)
{
    za_sim_partition(stage_sim, 1u << 2);
    cr_assert(za_sim_run_until(stage_sim, is_cut, NULL, CUT_BOUND_MS), "unreachable");
}

static bool is_whole(za_sim_t *sim, void *context)
{
    (void)context;
    for (uint32_t i = 0; i < STAGE_NODES; i++) {
        for (uint32_t k = 0; k < STAGE_NODES; k++) {
            if (i != k && sees_unreachable(i, k)) {
                return false;
            }
        }
    }
    return za_sim_converged(sim);
}

/** Nobody was down meanwhile. */
static void heal(void)
{
    za_sim_heal(stage_sim);
    cr_assert(za_sim_run_until(stage_sim, is_whole, NULL, STAGE_BOUND_MS), "healed");
    stage_settle();
    for (uint32_t i = 0; i < STAGE_NODES; i++) {
        cr_assert(stage_uid(i) == uids[i], "node %u was down", i);
    }
}

static void route_some(za_ctx_t *ctx)
{
    for (uint32_t n = from_n; n < to_n; n++) {
        opts.key = opts.policy == ZA_HASH ? n : 0;
        answer = za_route_with(ctx, "workers", ZA_MSG(probe_Work, .n = n), &opts);
        if (answer != ZA_OK) {
            return;
        }
    }
}

static void route_from(uint32_t node, const char *role, unsigned policy, uint32_t count)
{
    opts = (za_route_opts_t){ .size = sizeof opts, .policy = (za_policy_t)policy, .role = role };
    from_n = 1;
    to_n = 1 + count;
    stage_forget();
    stage_do(node, route_some);
}

static void expect_each(uint32_t on_0, uint32_t on_1, uint32_t on_2)
{
    cr_assert(stage_count_at(WORKED, 0) == on_0 && stage_count_at(WORKED, 1) == on_1 &&
                  stage_count_at(WORKED, 2) == on_2,
              "%u %u %u, %s", stage_count_at(WORKED, 0), stage_count_at(WORKED, 1),
              stage_count_at(WORKED, 2), za_err_name(answer));
}

static const unsigned policies[] = { ZA_ROUND_ROBIN, ZA_RANDOM, ZA_LEAST_LOADED };

Test(group_unreachable, members_are_passed_over_until_they_can_be_reached)
{
    open_with_members(141);
    cut();
    for (uint32_t i = 0; i < 3; i++) {
        route_from(0, NULL, policies[i] | ZA_ANYWHERE, 60);
        cr_assert(answer == ZA_OK && stage_count(WORKED) == 60 && stage_count_at(WORKED, 2) == 0,
                  "policy %u: %u of %u on node 2", policies[i], stage_count_at(WORKED, 2),
                  stage_count(WORKED));
    }
    heal();
    route_from(0, NULL, ZA_ROUND_ROBIN | ZA_ANYWHERE, 90);
    expect_each(30, 30, 30);
    stage_close();
}

Test(group_unreachable, members_are_passed_over_by_a_node_without_own_ones)
{
    open_stage(142);
    stage_join(1, 0);
    stage_join(2, 0);
    stage_settle();
    cut();
    for (uint32_t i = 0; i < 3; i++) {
        route_from(0, NULL, policies[i], 20);
        expect_each(0, 20, 0);
    }
    stage_close();
}

// Who sits behind those that are passed over does no more than the others.
Test(group_unreachable, members_leave_their_turns_to_all_others_alike)
{
    open_stage(143);
    for (uint32_t i = 0; i < EACH; i++) {
        stage_join(2, 0);
    }
    stage_settle();
    stage_join(0, 0);
    stage_join(1, 0);
    stage_settle();
    cut();
    route_from(0, NULL, ZA_ROUND_ROBIN | ZA_ANYWHERE, 60);
    expect_each(30, 30, 0);
    stage_close();
}

static uint64_t owners[KEYS + 1];

/** Fills `owners`, or counts the keys that have another one by now. */
static uint32_t route_keys(bool first)
{
    uint32_t moved = 0;
    route_from(0, NULL, ZA_HASH, KEYS);
    cr_assert(answer == ZA_OK && stage_count(WORKED) == KEYS, "each");
    for (uint32_t i = 0; i < stage_event_count; i++) {
        const stage_event_t *event = &stage_events[i];
        if (event->kind == WORKED) {
            uint64_t who = event->ref.actor * STAGE_NODES + event->a;
            moved += !first && owners[event->b] != who;
            owners[event->b] = first ? who : owners[event->b];
        }
    }
    return moved;
}

Test(group_unreachable, members_lend_their_keys_to_the_others_and_no_other_key_moves)
{
    open_with_members(144);
    route_keys(true);
    uint32_t on_2 = stage_count_at(WORKED, 2);
    cr_assert(on_2 > 0, "node 2 has keys");
    cut();
    uint32_t moved = route_keys(false);
    cr_assert(moved == on_2 && stage_count_at(WORKED, 2) == 0, "%u moved, not %u", moved, on_2);
    heal();
    cr_assert(route_keys(false) == 0, "all keys are back");
    stage_close();
}

Test(group_unreachable, members_of_a_role_are_passed_over_as_well)
{
    open_with_members(145);
    cut();
    for (uint32_t i = 0; i < 3; i++) {
        route_from(0, "encoder", policies[i], 20);
        expect_each(0, 20, 0);
    }
    route_from(0, "encoder", ZA_HASH, 20);
    expect_each(0, 20, 0);
    stage_close();
}

static void route_all_ways(za_ctx_t *ctx)
{
    static const za_policy_t ways[] = { ZA_ROUND_ROBIN, ZA_RANDOM, ZA_LEAST_LOADED, ZA_HASH };
    from_n = 1;
    to_n = 11;
    for (uint32_t i = 0; i < 8; i++) {
        opts = (za_route_opts_t){ .size = sizeof opts,
                                  .policy = ways[i % 4],
                                  .role = i < 4 ? NULL : "encoder" };
        route_some(ctx);
        cr_assert(answer == ZA_OK, "way %u: %s", i, za_err_name(answer));
    }
}

// What is sent waits until there is a link.
Test(group_unreachable, members_get_messages_if_there_are_no_others)
{
    open_stage(146);
    for (uint32_t i = 0; i < EACH; i++) {
        stage_join(2, 0);
    }
    stage_settle();
    cut();
    stage_forget();
    stage_do(0, route_all_ways);
    expect_each(0, 0, 0);
    heal();
    expect_each(0, 0, 80);
    stage_close();
}

Test(group_unreachable, members_do_not_get_what_the_others_have_no_room_for)
{
    open_stage(147);
    stage_join(0, 4);
    stage_join(2, 0);
    stage_settle();
    cut();
    route_from(0, NULL, ZA_ROUND_ROBIN | ZA_ANYWHERE, 20);
    cr_assert(answer == ZA_EFULL, "%s", za_err_name(answer));
    heal();
    expect_each(stage_count(WORKED), 0, 0);
    stage_close();
}

Test(group_unreachable, members_get_broadcasts_nevertheless)
{
    open_with_members(148);
    cut();
    route_from(0, NULL, ZA_BROADCAST, 2);
    expect_each(2 * EACH, 2 * EACH, 0);
    heal();
    expect_each(2 * EACH, 2 * EACH, 2 * EACH);
    stage_close();
}
