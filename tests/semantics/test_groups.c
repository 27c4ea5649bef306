// Groups and topics over several nodes: who is seen, who is chosen, and that each gets it once.
#include "stage.h"

#include <string.h>

enum { EACH = 3, KEYS = 60, LARGE_BYTES = 100 * 1000, LIST_MAX = 64 };

static za_err_t answer;
static za_policy_t policy;
static uint32_t from_n, to_n; // numbers of the messages to be routed
static za_ref_t list[LIST_MAX];
static uint32_t list_count;

static void open_with_members(uint64_t seed, uint32_t each)
{
    stage_open(seed, NULL);
    for (uint32_t i = 0; i < STAGE_NODES * each; i++) {
        stage_join(i % STAGE_NODES, 0);
    }
    stage_settle();
}

static void list_members(za_ctx_t *ctx)
{
    answer = za_members(ctx, "workers", list, LIST_MAX, &list_count);
}

static void expect_members(uint32_t from, uint32_t count)
{
    stage_do(from, list_members);
    cr_assert(answer == ZA_OK && list_count == count, "node %u sees %u, not %u", from, list_count,
              count);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            cr_assert(!za_ref_equal(list[i], list[k]), "one is there twice");
        }
    }
}

static void route_some(za_ctx_t *ctx)
{
    for (uint32_t n = from_n; n < to_n; n++) {
        answer =
            za_route(ctx, "workers", policy, policy == ZA_HASH ? n : 0, ZA_MSG(probe_Work, .n = n));
        if (answer != ZA_OK) {
            return;
        }
    }
}

static void route_from(uint32_t node, za_policy_t how, uint32_t count)
{
    policy = how;
    from_n = 1;
    to_n = 1 + count;
    stage_forget();
    stage_do(node, route_some);
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
}

/* ---- who is seen --------------------------------------------------------------------------- */

Test(groups, members_of_all_nodes_are_seen_on_all_nodes)
{
    open_with_members(61, EACH);
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        expect_members(from, STAGE_NODES * EACH);
        for (uint32_t i = 0; i < list_count; i++) {
            cr_assert((list[i].node == 0) == (i < EACH), "those of the node itself are the first");
        }
    }
    stage_close();
}

Test(groups, who_leaves_or_ends_is_gone_on_all_nodes)
{
    open_with_members(62, 1);
    za_ref_t leaver = stage_join(1, 0);
    za_ref_t ender = stage_join(2, 0);
    stage_settle();
    expect_members(0, 5);
    cr_assert(za_sim_tell(stage_sim, 1, leaver, ZA_MSG(probe_Do, .op = 2)) == ZA_OK, "told");
    stage_settle();
    expect_members(0, 4);
    cr_assert(za_sim_tell(stage_sim, 2, ender, ZA_MSG(probe_Do, .op = 1)) == ZA_OK, "told");
    stage_settle();
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        expect_members(from, 3);
    }
    stage_close();
}

Test(groups, members_of_a_node_go_when_it_is_down_and_others_when_it_is_back)
{
    open_with_members(63, EACH);
    za_sim_crash(stage_sim, 2);
    za_sim_run_for(stage_sim, 30000);
    expect_members(0, 2 * EACH);
    expect_members(1, 2 * EACH);
    za_sim_restart(stage_sim, 2);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "back");
    stage_join(2, 0);
    za_sim_run_for(stage_sim, 3000);
    expect_members(0, 2 * EACH + 1);
    expect_members(1, 2 * EACH + 1);
    stage_close();
}

Test(groups, come_together_again_after_a_partition)
{
    open_with_members(64, EACH);
    za_sim_partition(stage_sim, 1); // node 0 alone
    za_sim_run_for(stage_sim, STAGE_BOUND_MS);
    expect_members(0, EACH);
    expect_members(1, 2 * EACH);
    stage_join(0, 0);
    stage_join(1, 0);
    za_sim_heal(stage_sim);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "healed");
    za_sim_run_for(stage_sim, 5000);
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        expect_members(from, STAGE_NODES * EACH + 2);
    }
    stage_close();
}

/* ---- who is chosen -------------------------------------------------------------------------- */

Test(groups, members_of_the_own_node_are_preferred)
{
    static const za_policy_t policies[] = { ZA_ROUND_ROBIN, ZA_RANDOM, ZA_LEAST_LOADED };
    open_with_members(65, EACH);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t from = 0; from < STAGE_NODES; from++) {
            route_from(from, policies[i], 30);
            cr_assert(stage_count(WORKED) == 30 && stage_count_at(WORKED, from) == 30,
                      "policy %u from node %u: %u stayed", i, from, stage_count_at(WORKED, from));
        }
    }
    stage_close();
}

Test(groups, anywhere_prefers_nobody)
{
    open_with_members(66, EACH);
    route_from(0, (za_policy_t)(ZA_ROUND_ROBIN | ZA_ANYWHERE), 90);
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        cr_assert(stage_count_at(WORKED, node) == 30, "node %u got %u", node,
                  stage_count_at(WORKED, node));
    }
    route_from(1, (za_policy_t)(ZA_RANDOM | ZA_ANYWHERE), 300);
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        cr_assert(stage_count_at(WORKED, node) > 60, "node %u got %u", node,
                  stage_count_at(WORKED, node));
    }
    stage_close();
}

Test(groups, others_take_what_the_own_node_has_no_room_for)
{
    stage_open(67, NULL);
    stage_join(0, 4);
    stage_join(1, 0);
    stage_join(2, 0);
    stage_settle();
    route_from(0, ZA_ROUND_ROBIN, 20);
    cr_assert(stage_count(WORKED) == 20, "none was refused");
    cr_assert(stage_count_at(WORKED, 0) >= 4 && stage_count_at(WORKED, 1) > 2 &&
                  stage_count_at(WORKED, 2) > 2,
              "%u %u %u", stage_count_at(WORKED, 0), stage_count_at(WORKED, 1),
              stage_count_at(WORKED, 2));
    stage_close();
}

Test(groups, a_node_without_members_reaches_those_of_others_in_turn)
{
    stage_open(68, NULL);
    stage_join(1, 0);
    stage_join(2, 0);
    stage_settle();
    route_from(0, ZA_ROUND_ROBIN, 20);
    cr_assert(stage_count_at(WORKED, 1) == 10 && stage_count_at(WORKED, 2) == 10, "in turn");
    stage_close();
}

static uint64_t owners[KEYS + 1];

Test(groups, a_key_has_the_same_member_on_all_nodes)
{
    open_with_members(69, EACH);
    uint32_t used = 0;
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        route_from(from, ZA_HASH, KEYS);
        cr_assert(stage_count(WORKED) == KEYS, "all were handled");
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
    cr_assert(used == 7, "all nodes have keys");
    stage_close();
}

static void ask_group(za_ctx_t *ctx)
{
    answer = za_route_ask(ctx, "workers", ZA_ROUND_ROBIN, 0, ZA_MSG(probe_Work, .n = 77),
                          .timeout_ms = 300);
}

Test(groups, a_member_of_another_node_answers)
{
    stage_open(70, NULL);
    stage_join(2, 0);
    stage_settle();
    stage_do(0, ask_group);
    cr_assert(answer == ZA_OK && stage_count(ANSWERED) == 1 && stage_last(ANSWERED).b == 77,
              "once");
    stage_close();
}

/* ---- topics --------------------------------------------------------------------------------- */

/** All members got each of `count` messages once. */
static void expect_once_each(uint32_t members, uint32_t count)
{
    cr_assert(stage_count(WORKED) == members * count, "%u, not %u", stage_count(WORKED),
              members * count);
    for (uint32_t i = 0; i < stage_event_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            const stage_event_t *a = &stage_events[i], *b = &stage_events[k];
            cr_assert(a->kind != WORKED || b->kind != WORKED || a->b != b->b || a->a != b->a ||
                          !za_ref_equal(a->ref, b->ref),
                      "one got it twice");
        }
    }
}

Test(groups, a_publication_reaches_all_members_of_all_nodes_once)
{
    open_with_members(71, EACH);
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        route_from(from, ZA_BROADCAST, 5);
        expect_once_each(STAGE_NODES * EACH, 5);
    }
    stage_close();
}

static void publish_large(za_ctx_t *ctx)
{
    static unsigned char bytes[LARGE_BYTES];
    probe_Work *work = za_new(ctx, &probe_Work_type, LARGE_BYTES);
    cr_assert(work != NULL && za_bytes_put(work, &work->pad, bytes, LARGE_BYTES) == ZA_OK, "made");
    work->n = 1;
    answer = za_route(ctx, "workers", ZA_BROADCAST, 0, &probe_Work_type, work);
    void *made = work;
    za_discard(ctx, &made);
}

Test(groups, a_large_publication_reaches_all_members_once)
{
    open_with_members(72, EACH);
    stage_do(1, publish_large);
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
    expect_once_each(STAGE_NODES * EACH, 1);
    stage_close();
}

static za_ref_t told; // a member of node 1 as node 0 knows it

static void tell_and_publish(za_ctx_t *ctx)
{
    static unsigned char bytes[LARGE_BYTES];
    uint32_t n = 0;
    for (int round = 0; round < 20; round++) {
        uint32_t size = round % 3 == 0 ? LARGE_BYTES : 8;
        probe_Work *work = za_new(ctx, &probe_Work_type, size);
        cr_assert(work != NULL && za_bytes_put(work, &work->pad, bytes, size) == ZA_OK, "made");
        work->n = ++n;
        void *made = work;
        cr_assert(za_send(ctx, told, &made) == ZA_OK, "sent");
        cr_assert(za_publish(ctx, "workers", ZA_MSG(probe_Work, .n = ++n)) == ZA_OK, "published");
        cr_assert(za_tell(ctx, told, ZA_MSG(probe_Work, .n = ++n)) == ZA_OK, "told");
    }
}

// What is published keeps its place among what the publisher sends the member otherwise.
Test(groups, a_publication_keeps_the_order_of_each_pair)
{
    stage_open(73, NULL);
    za_ref_t first = stage_join(1, 0);
    stage_join(1, 0);
    stage_settle();
    told = (za_ref_t){ stage_uid(1), first.actor };
    stage_do(0, tell_and_publish);
    za_sim_run_for(stage_sim, 5000);
    uint32_t n = 0;
    for (uint32_t i = 0; i < stage_event_count; i++) {
        if (stage_events[i].kind == WORKED && stage_events[i].ref.actor == first.actor) {
            n++;
            cr_assert(stage_events[i].b == n, "%u comes as the %uth", (unsigned)stage_events[i].b,
                      (unsigned)n);
        }
    }
    cr_assert(n == 60, "all came: %u", (unsigned)n);
    stage_close();
}

static void publish_nowhere(za_ctx_t *ctx)
{
    answer = za_publish(ctx, "nothing", ZA_MSG(probe_Work, .n = 1));
}

Test(groups, a_topic_without_subscribers_takes_anything)
{
    open_with_members(74, 1);
    stage_do(0, publish_nowhere);
    cr_assert(answer == ZA_OK && stage_count(WORKED) == 0, "%s", za_err_name(answer));
    stage_close();
}
