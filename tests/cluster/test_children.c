#include "cluster/children.h"
#include "fake_view.h"
#include "support/za_test.h"

enum { SELF = 1, FAR = 50, OTHER = 60, PARENT = 7, TAG = 77 };

static za_effects_t effects;
static fake_view_t fake;
static za_syslane_t *lane;
static za_children_t *children;
static uint64_t now_ms;

static void begin(void)
{
    fake_init(&fake, SELF);
    fake_set(&fake, SELF, ZA_KNOWN_UP);
    fake_set(&fake, FAR, ZA_KNOWN_UP);
    fake_set(&fake, OTHER, ZA_KNOWN_UP);
    cr_assert(za_syslane_create(&lane) == ZA_OK);
    cr_assert(za_children_create(&fake.view, lane, 3, &children) == ZA_OK);
    za_effects_reset(&effects);
    za_syslane_link_up(lane, FAR, 0);
    za_syslane_link_up(lane, OTHER, 0);
    now_ms = 1000;
}

static void end(void)
{
    za_children_destroy(children);
    za_syslane_destroy(lane);
}

TestSuite(children, .init = begin, .fini = end);

static void spawn(uint64_t request, uint64_t uid, za_on_node_down_t on_node_down)
{
    static const uint8_t args[3] = { 1, 2, 3 };
    za_spawn_spec_t spec = { .class_name = "worker",
                             .name = "w1",
                             .parent = PARENT,
                             .mailbox = 12,
                             .on_node_down = on_node_down,
                             .args_type_id = 99,
                             .args = args,
                             .args_bytes = 3 };
    za_children_spawn(children, request, PARENT, uid, TAG, &spec, &effects);
}

static uint32_t pump(void)
{
    za_effects_reset(&effects);
    cr_assert(za_children_pump(children, now_ms, &effects) == ZA_STEP_DONE);
    return effects.count;
}

static void frame_in(uint64_t uid, za_SysFrame *frame)
{
    za_effects_reset(&effects);
    za_children_frame(children, uid, frame, now_ms, &effects);
}

static void spawned_in(uint64_t uid, uint64_t request, uint32_t epoch, uint64_t actor)
{
    static za_SysFrame frame;
    frame.which_body = za_SysFrame_spawned_tag;
    frame.body.spawned = (za_SysSpawned){ request, epoch, actor };
    frame_in(uid, &frame);
}

static void ended_in(uint64_t uid, uint64_t request, uint32_t epoch, za_Reason reason, bool started)
{
    static za_SysFrame frame;
    frame.which_body = za_SysFrame_ended_tag;
    frame.body.ended = (za_SysEnded){ request, epoch, (uint32_t)reason, started };
    frame_in(uid, &frame);
}

static void stop_in(uint64_t uid, uint64_t request, uint32_t epoch)
{
    static za_SysFrame frame;
    frame.which_body = za_SysFrame_stop_tag;
    frame.body.stop = (za_SysStop){ request, epoch };
    frame_in(uid, &frame);
}

static void spawn_in(uint64_t uid, uint64_t request)
{
    static za_SysFrame frame;
    frame.which_body = za_SysFrame_spawn_tag;
    frame.body.spawn = (za_SysSpawn)za_SysSpawn_init_zero;
    frame.body.spawn.request = request;
    frame.body.spawn.epoch = 1;
    frame.body.spawn.parent = PARENT;
    memcpy(frame.body.spawn.class_name, "worker", 7);
    frame.body.spawn.args.size = 2;
    frame.body.spawn.args.bytes[0] = 8;
    frame.body.spawn.args.bytes[1] = 9;
    frame_in(uid, &frame);
}

/** A child that runs on FAR as actor 500. */
static void running_child(za_on_node_down_t on_node_down)
{
    spawn(1, FAR, on_node_down);
    cr_assert(pump() == 1 && effects.items[0].uid == FAR, "the spawn is sent");
    spawned_in(FAR, 1, 1, 500);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_SPAWNED);
}

/** Runs to the next deadline. */
static void wait(void)
{
    uint64_t deadline = za_children_deadline_ms(children);
    cr_assert(deadline != UINT64_MAX, "something is due");
    now_ms = deadline > now_ms ? deadline : now_ms;
    pump();
}

Test(children, parent_hears_where_its_child_runs)
{
    running_child(ZA_NODE_DOWN_RESPAWN);
    cr_expect(effects.items[0].actor == PARENT && effects.items[0].tag == TAG);
    cr_expect(effects.items[0].ref.node == FAR && effects.items[0].ref.actor == 500);
    cr_expect(effects.items[0].epoch == 1);
}

Test(children, an_unknown_or_dead_host_fails_at_once)
{
    spawn(1, 999, ZA_NODE_DOWN_RESPAWN);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_SPAWN_FAILED);
    cr_expect(effects.items[0].reason == za_Reason_REASON_NO_NODE);
}

Test(children, a_refusal_of_the_chosen_host_is_final)
{
    spawn(1, FAR, ZA_NODE_DOWN_RESPAWN);
    pump();
    ended_in(FAR, 1, 1, za_Reason_REASON_REFUSED, false);
    cr_assert(effects.count == 1 && effects.items[0].reason == za_Reason_REASON_REFUSED);
    ended_in(FAR, 1, 1, za_Reason_REASON_REFUSED, false);
    cr_expect(effects.count == 0, "once");
}

Test(children, respawns_elsewhere_only_when_the_host_is_terminal)
{
    running_child(ZA_NODE_DOWN_RESPAWN);
    za_syslane_link_down(lane, FAR);
    fake_set(&fake, FAR, ZA_KNOWN_LIVE); // unreachable
    cr_expect(pump() == 0 && za_children_deadline_ms(children) == UINT64_MAX);
    fake_set(&fake, FAR, ZA_KNOWN_DOWN);
    za_effects_reset(&effects);
    cr_assert(za_children_gone(children, FAR, za_Reason_REASON_NODE_DOWN, now_ms, &effects) ==
              ZA_STEP_DONE);
    cr_expect(za_children_deadline_ms(children) <= now_ms + ZA_CHILDREN_JITTER_MS);
    wait();
    cr_assert(effects.count == 2 && effects.items[1].uid == OTHER, "sent to the other node");
    spawned_in(OTHER, 1, 2, 600);
    cr_assert(effects.count == 1 && effects.items[0].epoch == 2);
    spawned_in(OTHER, 1, 2, 600);
    cr_expect(effects.count == 0, "once");
}

// Consistency mode: the other side of the split has the margin to hear of its end, and to stop the child.
Test(children, a_respawn_waits_for_the_margin_after_the_end_of_the_host)
{
    enum { MARGIN = 3000 };
    za_children_set_margin(children, MARGIN);
    running_child(ZA_NODE_DOWN_RESPAWN);
    za_syslane_link_down(lane, FAR);
    fake_set(&fake, FAR, ZA_KNOWN_DOWN);
    uint64_t down_ms = now_ms;
    za_effects_reset(&effects);
    cr_assert(za_children_gone(children, FAR, za_Reason_REASON_NODE_DOWN, now_ms, &effects) ==
              ZA_STEP_DONE);
    do {
        wait();
    } while (effects.count == 0);
    cr_assert(now_ms >= down_ms + MARGIN, "after %d ms", (int)(now_ms - down_ms));
    cr_assert(now_ms <= down_ms + MARGIN + ZA_CHILDREN_JITTER_MS, "after %d ms",
              (int)(now_ms - down_ms));
    cr_expect(effects.items[effects.count - 1].uid == OTHER, "sent to the other node");
}

Test(children, a_policy_of_stop_fails_instead)
{
    running_child(ZA_NODE_DOWN_STOP);
    za_effects_reset(&effects);
    cr_assert(za_children_gone(children, FAR, za_Reason_REASON_NODE_LEFT, now_ms, &effects) ==
              ZA_STEP_DONE);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_SPAWN_FAILED);
    cr_expect(effects.items[0].reason == za_Reason_REASON_NODE_LEFT);
}

Test(children, a_refusal_after_a_respawn_tries_the_next_and_then_this_node)
{
    running_child(ZA_NODE_DOWN_RESPAWN);
    fake_set(&fake, FAR, ZA_KNOWN_DOWN);
    za_children_gone(children, FAR, za_Reason_REASON_NODE_DOWN, now_ms, &effects);
    wait();
    ended_in(OTHER, 1, 2, za_Reason_REASON_REFUSED, false);
    cr_expect(effects.count == 0);
    pump();
    cr_assert(effects.count == 2 && effects.items[1].type == ZA_EFFECT_SPAWN_LOCAL);
    cr_expect(effects.items[1].uid == SELF && effects.items[1].id == 1);
    za_effects_reset(&effects);
    za_children_started(children, 1, SELF, 900, ZA_OK, &effects);
    cr_assert(pump() == 1 && effects.items[0].type == ZA_EFFECT_SPAWNED);
    cr_expect(effects.items[0].ref.node == 0 && effects.items[0].ref.actor == 900);
}

Test(children, no_node_left_that_allows_it_is_a_failure)
{
    running_child(ZA_NODE_DOWN_RESPAWN);
    fake_set(&fake, FAR, ZA_KNOWN_DOWN);
    fake_set(&fake, OTHER, ZA_KNOWN_DOWN);
    za_children_gone(children, FAR, za_Reason_REASON_NODE_DOWN, now_ms, &effects);
    wait();
    cr_assert(effects.items[effects.count - 1].type == ZA_EFFECT_SPAWN_LOCAL, "alone: here");
    za_children_started(children, 1, SELF, 0, ZA_EDENIED, &effects);
    pump();
    wait();
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_SPAWN_FAILED);
    cr_expect(effects.items[0].reason == za_Reason_REASON_REFUSED);
}

Test(children, the_end_of_the_parent_stops_its_children)
{
    running_child(ZA_NODE_DOWN_RESPAWN);
    za_children_actor_stopped(children, PARENT, za_Reason_REASON_STOPPED);
    cr_assert(pump() == 1 && effects.items[0].uid == FAR, "a stop is sent");
    za_children_stats_t stats;
    za_children_stats(children, &stats);
    cr_expect(stats.children == 0);
    ended_in(FAR, 1, 1, za_Reason_REASON_STOPPED, true);
    cr_expect(effects.count == 0, "nobody is told");
}

Test(children, a_stopped_child_is_not_respawned)
{
    running_child(ZA_NODE_DOWN_RESPAWN);
    za_children_stop(children, PARENT, (za_ref_t){ FAR, 500 });
    cr_assert(pump() == 1, "a stop is sent");
    za_effects_reset(&effects);
    za_children_gone(children, FAR, za_Reason_REASON_NODE_DOWN, now_ms, &effects);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_SPAWN_FAILED);
    cr_expect(effects.items[0].reason == za_Reason_REASON_STOPPED);
}

Test(children, a_host_starts_one_child_per_request)
{
    spawn_in(FAR, 4);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_SPAWN_LOCAL);
    cr_expect(effects.items[0].id == 4 && effects.items[0].uid == FAR);
    cr_expect(strcmp(effects.items[0].spawn->class_name, "worker") == 0);
    cr_expect(effects.items[0].spawn->name == NULL && effects.items[0].spawn->args_bytes == 2);
    cr_expect(effects.items[0].spawn->args[1] == 9);
    spawn_in(FAR, 4);
    cr_expect(effects.count == 0);
    za_children_started(children, 4, FAR, 800, ZA_OK, &effects);
    cr_expect(pump() == 1, "reports that it runs");
    za_children_actor_stopped(children, 800, za_Reason_REASON_FAILED);
    cr_expect(pump() == 1, "and that it ended");
    za_children_stats_t stats;
    za_children_stats(children, &stats);
    cr_expect(stats.guests == 0);
}

Test(children, a_host_stops_what_lost_its_parents_node)
{
    spawn_in(FAR, 4);
    za_children_started(children, 4, FAR, 800, ZA_OK, &effects);
    spawn_in(FAR, 5); // still starting
    za_effects_reset(&effects);
    cr_assert(za_children_gone(children, FAR, za_Reason_REASON_NODE_DOWN, now_ms, &effects) ==
              ZA_STEP_DONE);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_STOP_LOCAL);
    cr_expect(effects.items[0].actor == 800);
    za_effects_reset(&effects);
    za_children_started(children, 5, FAR, 801, ZA_OK, &effects);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_STOP_LOCAL);
    cr_expect(effects.items[0].actor == 801 && pump() == 0);
}

Test(children, a_stop_that_overtakes_the_start_is_kept)
{
    spawn_in(FAR, 4);
    stop_in(FAR, 4, 1);
    cr_expect(effects.count == 0);
    za_children_started(children, 4, FAR, 800, ZA_OK, &effects);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_STOP_LOCAL);
}

Test(children, after_a_rebirth_children_start_again_and_guests_stop)
{
    running_child(ZA_NODE_DOWN_RESPAWN);
    spawn_in(OTHER, 4);
    za_children_started(children, 4, OTHER, 800, ZA_OK, &effects);
    fake.self = 2; // reborn, and not up yet
    fake_set(&fake, SELF, ZA_KNOWN_DOWN);
    za_syslane_reset(lane);
    za_effects_reset(&effects);
    cr_assert(za_children_reborn(children, now_ms, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_STOP_LOCAL);
    fake_set(&fake, 2, ZA_KNOWN_UP);
    za_syslane_link_up(lane, FAR, now_ms);
    za_syslane_link_up(lane, OTHER, now_ms);
    wait();
    cr_assert(effects.count == 2 && effects.items[1].type == ZA_EFFECT_SEND_FRAME);
    uint64_t host = effects.items[1].uid;
    spawned_in(host, 1, 2, 700);
    cr_assert(effects.count == 1 && effects.items[0].epoch == 2);
}

Test(children, a_full_table_is_told)
{
    for (uint64_t request = 1; request <= ZA_CHILDREN_MAX; request++) {
        spawn(request, FAR, ZA_NODE_DOWN_RESPAWN);
    }
    cr_assert(effects.count == 0);
    spawn(ZA_CHILDREN_MAX + 1, FAR, ZA_NODE_DOWN_RESPAWN);
    cr_assert(effects.count == 1 && effects.items[0].reason == za_Reason_REASON_LIMIT);
}

static void count_far(uint64_t uid, void *visitor)
{
    *(uint32_t *)visitor += uid == FAR;
}

static uint32_t waits_for_far(void)
{
    uint32_t count = 0;
    za_children_each_waiting(children, count_far, &count);
    return count;
}

// To a node that has forgotten us its guests' parents are gone, and so is what it ran for us; but what it was
// not asked for yet it may still be asked for.
Test(children, a_node_that_forgot_us_loses_guests_and_children)
{
    running_child(ZA_NODE_DOWN_RESPAWN);
    spawn_in(FAR, 30);
    za_children_started(children, 30, FAR, 600, ZA_OK, &effects);
    za_syslane_link_down(lane, FAR);
    spawn(2, FAR, ZA_NODE_DOWN_RESPAWN);
    za_effects_reset(&effects);
    cr_assert(za_children_forgotten(children, FAR, now_ms, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_STOP_LOCAL);
    cr_expect(effects.items[0].actor == 600);
    cr_expect(waits_for_far() == 1, "the new one is still to be asked for there");
    fake_set(&fake, FAR, ZA_KNOWN_DOWN);
    now_ms += ZA_CHILDREN_JITTER_MS;
    cr_assert(pump() == 2, "a mark and a frame, %u", effects.count);
    cr_expect(effects.items[1].uid == OTHER, "the one that ran is started elsewhere");
}
