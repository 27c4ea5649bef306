// Routing to the members of a group whose nodes have a role: as if no others were there.
#include "stage.h"

#include <string.h>

enum { EACH = 3, KEYS = 60 };

static const char *const roles[STAGE_NODES] = { "web", "web,encoder", "encoder,gpu.large" };

static za_err_t answer;
static za_route_opts_t opts;
static uint32_t routed_count;

static void open_with_members(uint64_t seed)
{
    stage_open_with((za_sim_opts_t){ .seed = seed, .roles = roles });
    for (uint32_t i = 0; i < STAGE_NODES * EACH; i++) {
        stage_join(i % STAGE_NODES, 0);
    }
    stage_settle();
}

static void route_all(za_ctx_t *ctx)
{
    for (uint32_t n = 1; n <= routed_count; n++) {
        opts.key = opts.policy == ZA_HASH ? n : 0;
        answer = za_route_with(ctx, "workers", ZA_MSG(probe_Work, .n = n), &opts);
        if (answer != ZA_OK) {
            return;
        }
    }
}

static void route_from(uint32_t node, const char *role, za_policy_t policy, uint32_t count)
{
    opts = (za_route_opts_t){ .size = sizeof opts, .policy = policy, .role = role };
    routed_count = count;
    stage_forget();
    stage_do(node, route_all);
}

static void expect_each(uint32_t on_0, uint32_t on_1, uint32_t on_2)
{
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
    cr_assert(stage_count_at(WORKED, 0) == on_0 && stage_count_at(WORKED, 1) == on_1 &&
                  stage_count_at(WORKED, 2) == on_2,
              "%u %u %u", stage_count_at(WORKED, 0), stage_count_at(WORKED, 1),
              stage_count_at(WORKED, 2));
}

// Local first: also with a role, those of this node are preferred if it has the role.
Test(group_roles, the_own_node_is_preferred_if_it_has_the_role)
{
    static const za_policy_t policies[] = { ZA_ROUND_ROBIN, ZA_RANDOM, ZA_LEAST_LOADED };
    open_with_members(121);
    for (uint32_t i = 0; i < 3; i++) {
        route_from(0, "web", policies[i], 30);
        expect_each(30, 0, 0);
        route_from(1, "web", policies[i], 30);
        expect_each(0, 30, 0);
        route_from(0, "gpu.large", policies[i], 30);
        expect_each(0, 0, 30);
    }
    stage_close();
}

Test(group_roles, those_of_other_nodes_that_have_it_take_turns)
{
    open_with_members(122);
    route_from(0, "encoder", ZA_ROUND_ROBIN, 60);
    expect_each(0, 30, 30);
    route_from(2, "web", ZA_ROUND_ROBIN, 60);
    expect_each(30, 30, 0);
    route_from(1, "web", (za_policy_t)(ZA_ROUND_ROBIN | ZA_ANYWHERE), 60);
    expect_each(30, 30, 0);
    stage_close();
}

static void route_to_both(za_ctx_t *ctx)
{
    for (uint32_t n = 1; n <= 60; n++) {
        const char *role = n % 2 == 0 ? "encoder" : "web";
        cr_assert(za_route_to(ctx, "workers", ZA_MSG(probe_Work, .n = n), .role = role,
                              .policy = (za_policy_t)(ZA_ROUND_ROBIN | ZA_ANYWHERE)) == ZA_OK,
                  "routed");
    }
}

// What others route to another role between two messages takes no turn of this one.
Test(group_roles, each_role_has_turns_of_its_own)
{
    stage_open_with((za_sim_opts_t){ .seed = 123, .roles = roles });
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        stage_join(node, 0);
    }
    stage_settle();
    stage_do(0, route_to_both);
    cr_assert(stage_count_at(WORKED, 0) == 15 && stage_count_at(WORKED, 1) == 30 &&
                  stage_count_at(WORKED, 2) == 15,
              "%u %u %u", stage_count_at(WORKED, 0), stage_count_at(WORKED, 1),
              stage_count_at(WORKED, 2));
    stage_close();
}

static uint64_t owners[KEYS + 1];

Test(group_roles, a_key_has_the_same_member_of_the_role_on_all_nodes)
{
    open_with_members(124);
    uint32_t used = 0;
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        route_from(from, "encoder", ZA_HASH, KEYS);
        cr_assert(stage_count(WORKED) == KEYS && stage_count_at(WORKED, 0) == 0, "only encoders");
        for (uint32_t i = 0; i < stage_event_count; i++) {
            const stage_event_t *event = &stage_events[i];
            uint64_t who = event->ref.actor * STAGE_NODES + event->a;
            if (event->kind == WORKED && from == 0) {
                owners[event->b] = who;
                used |= 1u << event->a;
            } else if (event->kind == WORKED) {
                cr_assert(owners[event->b] == who, "key %u from node %u", (unsigned)event->b, from);
            }
        }
    }
    cr_assert(used == 6, "both nodes have keys");
    stage_close();
}

Test(group_roles, a_broadcast_reaches_all_of_the_role_once)
{
    open_with_members(125);
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        route_from(from, "encoder", ZA_BROADCAST, 4);
        expect_each(0, 4 * EACH, 4 * EACH);
    }
    stage_close();
}

Test(group_roles, full_members_are_passed_over_within_the_role)
{
    stage_open_with((za_sim_opts_t){ .seed = 126, .roles = roles });
    stage_join(0, 0);
    stage_join(1, 4);
    stage_join(2, 0);
    stage_settle();
    route_from(1, "encoder", ZA_ROUND_ROBIN, 20);
    cr_assert(answer == ZA_OK && stage_count(WORKED) == 20 && stage_count_at(WORKED, 0) == 0 &&
                  stage_count_at(WORKED, 1) >= 4 && stage_count_at(WORKED, 2) > 2,
              "%u %u %u", stage_count_at(WORKED, 0), stage_count_at(WORKED, 1),
              stage_count_at(WORKED, 2));
    stage_close();
}

static za_ask_opts_t ask;

static void ask_role(za_ctx_t *ctx)
{
    ask = (za_ask_opts_t){ .size = sizeof ask, .timeout_ms = 300, .tag = 5 };
    answer =
        za_route_to(ctx, "workers", ZA_MSG(probe_Work, .n = 77), .role = "gpu.large", .ask = &ask);
}

Test(group_roles, a_member_of_the_role_answers)
{
    open_with_members(127);
    stage_do(0, ask_role);
    cr_assert(answer == ZA_OK && stage_count(ANSWERED) == 1 && stage_last(ANSWERED).b == 77 &&
                  stage_count_at(WORKED, 2) == 1,
              "once");
    stage_close();
}

// A node that is back under its name with the same roles is another one; the dead one has none.
Test(group_roles, follow_the_nodes_that_come_and_go)
{
    open_with_members(128);
    za_sim_crash(stage_sim, 2);
    za_sim_run_for(stage_sim, 30000);
    route_from(0, "gpu.large", ZA_ROUND_ROBIN, 1);
    cr_assert(answer == ZA_ENOENT, "nobody has it: %s", za_err_name(answer));
    route_from(0, "encoder", ZA_ROUND_ROBIN, 10);
    expect_each(0, 10, 0);
    stage_restart(2);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "back");
    stage_join(2, 0);
    za_sim_run_for(stage_sim, 3000);
    route_from(0, "gpu.large", ZA_ROUND_ROBIN, 10);
    expect_each(0, 0, 10);
    stage_close();
}

// A side of a partition that gave nobody up takes its verdicts back with the roles.
Test(group_roles, are_there_again_after_a_partition)
{
    open_with_members(129);
    za_sim_partition(stage_sim, 1); // node 0 alone
    za_sim_run_for(stage_sim, STAGE_BOUND_MS);
    route_from(0, "encoder", ZA_ROUND_ROBIN, 1);
    cr_assert(answer == ZA_ENOENT, "nobody has it: %s", za_err_name(answer));
    za_sim_heal(stage_sim);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "healed");
    za_sim_run_for(stage_sim, 5000);
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        route_from(from, "encoder", ZA_BROADCAST, 1);
        expect_each(0, EACH, EACH);
        route_from(from, "web", ZA_BROADCAST, 1);
        expect_each(EACH, EACH, 0);
    }
    stage_close();
}

static void route_badly(za_ctx_t *ctx)
{
    static const char *const none[] = { "", "a b", "web,encoder",
                                        "a2345678901234567890123456789012x" };
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect(za_route_to(ctx, "workers", ZA_MSG(probe_Work, .n = 1), .role = none[i]) ==
                      ZA_EINVAL,
                  "no role: %s", none[i]);
    }
    cr_expect(za_route_to(ctx, "workers", ZA_MSG(probe_Work, .n = 1), .role = "others") ==
                  ZA_ENOENT,
              "nobody has it");
    cr_expect(za_route_to(ctx, "nobody", ZA_MSG(probe_Work, .n = 1), .role = "web") == ZA_ENOENT,
              "no member");
    cr_expect(za_route_with(ctx, "workers", ZA_MSG(probe_Work, .n = 1), NULL) == ZA_EINVAL,
              "no options");
    cr_expect(za_route_with(ctx, "workers", ZA_MSG(probe_Work, .n = 1),
                            &(za_route_opts_t){ .size = 1 }) == ZA_EINVAL,
              "of another size");
    ask = (za_ask_opts_t){ .size = sizeof ask, .timeout_ms = 300 };
    cr_expect(za_route_to(ctx, "workers", ZA_MSG(probe_Work, .n = 1), .role = "web", .ask = &ask,
                          .policy = ZA_BROADCAST) == ZA_EINVAL,
              "an ask has one answer");
}

Test(group_roles, bad_arguments_are_answered)
{
    open_with_members(130);
    stage_do(0, route_badly);
    cr_assert(stage_count(WORKED) == 0, "nothing was sent");
    stage_close();
}
