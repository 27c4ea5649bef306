#include "cluster/watch.h"
#include "fake_view.h"
#include "support/za_test.h"

#include <pb_decode.h>

enum { SELF = 1, FAR = 50, OTHER = 60 };

static za_effects_t effects;
static fake_view_t fake;
static za_syslane_t *lane;
static za_watch_t *watch;

static void begin(void)
{
    fake_init(&fake, SELF);
    fake_set(&fake, FAR, ZA_KNOWN_UP);
    fake_set(&fake, OTHER, ZA_KNOWN_UP);
    cr_assert(za_syslane_create(&lane) == ZA_OK);
    cr_assert(za_watch_create(&fake.view, lane, &watch) == ZA_OK);
    za_effects_reset(&effects);
}

static void end(void)
{
    za_watch_destroy(watch);
    za_syslane_destroy(lane);
}

static void add(uint64_t watcher, uint64_t id, uint64_t uid, uint64_t target, uint64_t now_ms)
{
    za_watch_add(watch, (za_ref_t){ 0, watcher }, id, (za_ref_t){ uid, target }, now_ms, &effects);
}

static uint32_t pump(uint64_t now_ms)
{
    za_effects_reset(&effects);
    cr_assert(za_watch_pump(watch, now_ms, &effects) == ZA_STEP_DONE);
    return effects.count;
}

static void frame_in(uint64_t uid, za_SysFrame frame)
{
    za_effects_reset(&effects);
    za_watch_frame(watch, uid, &frame, &effects);
}

static za_SysFrame down_frame(uint64_t watcher, uint64_t id, za_Reason reason)
{
    za_SysFrame frame = { .which_body = za_SysFrame_down_tag };
    frame.body.down = (za_SysDown){ watcher, id, (uint32_t)reason };
    return frame;
}

TestSuite(watch, .init = begin, .fini = end);

Test(watch, fires_once_by_the_far_down)
{
    add(5, 1, FAR, 9, 0);
    za_syslane_link_up(lane, FAR, 0);
    cr_assert(pump(0) == 1, "the watch is sent");
    frame_in(FAR, down_frame(5, 1, za_Reason_REASON_STOPPED));
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_FIRE);
    cr_expect(effects.items[0].watcher.actor == 5 && effects.items[0].id == 1);
    cr_expect(effects.items[0].ref.node == FAR && effects.items[0].ref.actor == 9);
    cr_expect(effects.items[0].reason == za_Reason_REASON_STOPPED);
    frame_in(FAR, down_frame(5, 1, za_Reason_REASON_STOPPED));
    cr_expect(effects.count == 0, "once");
}

Test(watch, only_the_targets_node_may_end_it)
{
    add(5, 1, FAR, 9, 0);
    frame_in(OTHER, down_frame(5, 1, za_Reason_REASON_STOPPED));
    cr_expect(effects.count == 0);
}

Test(watch, fires_at_once_for_a_terminal_uid)
{
    fake_set(&fake, FAR, ZA_KNOWN_DOWN);
    add(5, 1, FAR, 9, 0);
    cr_assert(effects.count == 1 && effects.items[0].reason == za_Reason_REASON_NODE_DOWN);
    fake_set(&fake, OTHER, ZA_KNOWN_LEFT);
    add(5, 2, OTHER, 9, 0);
    cr_assert(effects.count == 2 && effects.items[1].reason == za_Reason_REASON_NODE_LEFT);
}

Test(watch, gives_an_unknown_uid_ten_seconds)
{
    add(5, 1, 777, 9, 1000);
    cr_expect(effects.count == 0);
    cr_assert(za_watch_deadline_ms(watch) == 11000);
    cr_expect(pump(10999) == 0);
    cr_assert(pump(11000) == 1 && effects.items[0].reason == za_Reason_REASON_NO_NODE);
    cr_expect(pump(30000) == 0);
}

// Two that wait to join may be linked and not know each other: a far end that was asked is told of the end.
Test(watch, on_a_node_that_was_asked_and_stays_unknown_is_taken_back)
{
    add(5, 1, 777, 9, 1000);
    add(5, 2, 777, 9, 1000);
    za_syslane_link_up(lane, 777, 1000);
    cr_assert(pump(1000) == 2, "two frames");
    za_syslane_link_down(lane, 777);
    za_watch_remove(watch, (za_ref_t){ 0, 5 }, 2, (za_ref_t){ 777, 9 });
    cr_assert(pump(11000) == 1 && effects.items[0].reason == za_Reason_REASON_NO_NODE, "fires one");
    za_syslane_link_up(lane, 777, 20000);
    za_effects_reset(&effects);
    cr_assert(za_syslane_pump(lane, 20000, &effects) == ZA_STEP_DONE,
              "what is not acked goes again");
    cr_assert(pump(20000) == 2, "%u frames say that both are over", effects.count);
    za_effects_reset(&effects);
    za_watch_gone(watch, 777, za_Reason_REASON_NODE_DOWN, &effects);
    cr_expect(effects.count == 0, "nothing is left to fire");
}

Test(watch, waits_on_for_a_uid_that_became_known)
{
    add(5, 1, 777, 9, 1000);
    fake_set(&fake, 777, ZA_KNOWN_UP);
    cr_expect(pump(11000) == 0);
    cr_expect(za_watch_gone(watch, 777, za_Reason_REASON_NODE_DOWN, &effects) == ZA_STEP_DONE);
    cr_expect(effects.count == 1, "and fires when it goes down");
}

Test(watch, never_fires_after_unwatch)
{
    add(5, 1, FAR, 9, 0);
    za_syslane_link_up(lane, FAR, 0);
    pump(0);
    za_watch_remove(watch, (za_ref_t){ 0, 5 }, 1, (za_ref_t){ FAR, 9 });
    za_effects_reset(&effects);
    cr_assert(za_watch_gone(watch, FAR, za_Reason_REASON_NODE_DOWN, &effects) == ZA_STEP_DONE);
    cr_expect(effects.count == 0);
}

Test(watch, unwatch_before_it_was_sent_sends_nothing)
{
    add(5, 1, FAR, 9, 0);
    za_watch_remove(watch, (za_ref_t){ 0, 5 }, 1, (za_ref_t){ FAR, 9 });
    za_syslane_link_up(lane, FAR, 0);
    cr_expect(pump(0) == 0);
}

Test(watch, a_node_down_fires_in_id_order)
{
    const uint64_t ids[] = { 9, 3, 7, 1, 8 };
    for (int i = 0; i < 5; i++) {
        add(5, ids[i], FAR, 100 + ids[i], 0);
    }
    cr_assert(za_watch_gone(watch, FAR, za_Reason_REASON_NODE_DOWN, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 5);
    for (uint32_t i = 1; i < 5; i++) {
        cr_expect(effects.items[i - 1].id < effects.items[i].id);
    }
}

Test(watch, a_node_down_with_many_watches_takes_several_steps)
{
    for (uint64_t id = 1; id <= 1300; id++) {
        add(5, id, FAR, 9, 0);
    }
    uint64_t fired = 0;
    int steps = 0;
    za_step_t step = ZA_STEP_MORE;
    while (step == ZA_STEP_MORE) {
        za_effects_reset(&effects);
        step = za_watch_gone(watch, FAR, za_Reason_REASON_NODE_DOWN, &effects);
        fired += effects.count;
        steps++;
    }
    cr_expect(fired == 1300 && steps == 3, "%" PRIu64 " in %d steps", fired, steps);
}

Test(watch, serves_a_far_watcher_until_the_actor_ends)
{
    za_SysFrame frame = { .which_body = za_SysFrame_watch_tag };
    frame.body.watch = (za_SysWatch){ .watcher = 70, .id = 4, .target = 9 };
    frame_in(FAR, frame);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_WATCH_LOCAL);
    cr_expect(effects.items[0].watcher.node == FAR && effects.items[0].watcher.actor == 70);
    cr_expect(effects.items[0].actor == 9 && effects.items[0].id == 4);
    za_watch_local_down(watch, (za_ref_t){ FAR, 70 }, 4, za_Reason_REASON_FAILED, 0);
    cr_expect(pump(0) == 0, "no link yet: it waits");
    za_syslane_link_up(lane, FAR, 0);
    cr_expect(pump(0) == 1, "and is sent with the link");
    za_watch_stats_t stats;
    za_watch_stats(watch, &stats);
    cr_expect(stats.serving == 0);
}

Test(watch, a_far_node_that_ends_takes_its_watches_along)
{
    za_SysFrame frame = { .which_body = za_SysFrame_watch_tag };
    frame.body.watch = (za_SysWatch){ .watcher = 70, .id = 4, .target = 9 };
    frame_in(FAR, frame);
    za_effects_reset(&effects);
    cr_assert(za_watch_gone(watch, FAR, za_Reason_REASON_NODE_DOWN, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_UNWATCH_LOCAL);
    za_watch_local_down(watch, (za_ref_t){ FAR, 70 }, 4, za_Reason_REASON_FAILED, 0);
    za_syslane_link_up(lane, FAR, 0);
    cr_expect(pump(0) == 0, "nobody is told");
}

Test(watch, after_a_rebirth_ours_are_sent_again_and_theirs_end)
{
    za_syslane_link_up(lane, FAR, 0);
    add(5, 1, FAR, 9, 0);
    cr_assert(pump(0) == 1);
    za_SysFrame frame = { .which_body = za_SysFrame_watch_tag };
    frame.body.watch = (za_SysWatch){ .watcher = 70, .id = 4, .target = 9 };
    frame_in(FAR, frame);
    za_syslane_reset(lane);
    za_effects_reset(&effects);
    cr_assert(za_watch_reborn(watch, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_UNWATCH_LOCAL);
    za_syslane_link_up(lane, FAR, 0);
    cr_expect(pump(0) == 1, "ours again");
}

Test(watch, a_full_table_fires_with_the_limit)
{
    for (uint64_t id = 1; id <= ZA_WATCHES_MAX; id++) {
        add(5, id, FAR, 9, 0);
    }
    cr_assert(effects.count == 0);
    add(5, ZA_WATCHES_MAX + 1, FAR, 9, 0);
    cr_assert(effects.count == 1 && effects.items[0].reason == za_Reason_REASON_LIMIT);
    za_SysFrame frame = { .which_body = za_SysFrame_watch_tag };
    frame.body.watch = (za_SysWatch){ .watcher = 70, .id = 4, .target = 9 };
    frame_in(OTHER, frame);
    cr_expect(effects.count == 0, "a far watch is refused too");
    za_syslane_link_up(lane, OTHER, 0);
    cr_expect(pump(0) == 1, "and its node is told");
    za_watch_stats_t stats;
    za_watch_stats(watch, &stats);
    cr_expect(stats.refused == 2);
}

/* ---- links -------------------------------------------------------------------------------- */

static void link_to(uint64_t maker, uint64_t id, uint64_t uid, uint64_t target)
{
    za_watch_link(watch, (za_ref_t){ 0, maker }, id, (za_ref_t){ uid, target }, 0, &effects);
}

static void unlink_from(uint64_t maker, uint64_t id, uint64_t uid, za_Reason reason)
{
    za_watch_unlink(watch, (za_ref_t){ 0, maker }, id, (za_ref_t){ uid, 9 }, reason, 0);
}

static void link_frame_in(void)
{
    za_SysFrame frame = { .which_body = za_SysFrame_watch_tag };
    frame.body.watch = (za_SysWatch){ .watcher = 70, .id = 4, .target = 9, .link = true };
    frame_in(FAR, frame);
}

static void expect_exit(uint32_t at, uint64_t actor, uint64_t from, za_Reason reason)
{
    cr_assert(effects.count > at && effects.items[at].type == ZA_EFFECT_EXIT_LOCAL);
    cr_expect(effects.items[at].actor == actor && effects.items[at].ref.node == FAR);
    cr_expect(effects.items[at].ref.actor == from && effects.items[at].reason == reason);
}

/** The kind of the nth frame that was sent, and its reason. */
static za_SysFrame sent(uint32_t at)
{
    za_SysFrame frame = za_SysFrame_init_zero;
    cr_assert(at < effects.count && effects.items[at].type == ZA_EFFECT_SEND_FRAME);
    pb_istream_t in = pb_istream_from_buffer(effects.items[at].bytes, effects.items[at].size);
    cr_assert(pb_decode(&in, za_SysFrame_fields, &frame));
    return frame;
}

Test(watch, a_link_is_asked_for_and_its_far_end_is_an_exit)
{
    link_to(5, 1, FAR, 9);
    za_syslane_link_up(lane, FAR, 0);
    cr_assert(pump(0) == 1);
    cr_expect(sent(0).which_body == za_SysFrame_watch_tag && sent(0).body.watch.link);
    frame_in(FAR, down_frame(5, 1, za_Reason_REASON_FAILED));
    expect_exit(0, 5, 9, za_Reason_REASON_FAILED);
    frame_in(FAR, down_frame(5, 1, za_Reason_REASON_FAILED));
    cr_expect(effects.count == 0, "once");
}

Test(watch, the_end_of_a_links_maker_is_told_with_its_reason)
{
    link_to(5, 1, FAR, 9);
    za_syslane_link_up(lane, FAR, 0);
    pump(0);
    unlink_from(5, 1, FAR, za_Reason_REASON_FAILED);
    cr_assert(pump(0) == 1);
    cr_expect(sent(0).which_body == za_SysFrame_unwatch_tag);
    cr_expect(sent(0).body.unwatch.reason == za_Reason_REASON_FAILED);
}

// The far end must hear of the link first: it is told of no end of a link that it does not know.
Test(watch, a_maker_that_ends_before_its_link_was_sent_is_told_too)
{
    link_to(5, 1, FAR, 9);
    unlink_from(5, 1, FAR, za_Reason_REASON_FAILED);
    za_syslane_link_up(lane, FAR, 0);
    cr_assert(pump(0) == 2);
    cr_expect(sent(0).which_body == za_SysFrame_watch_tag);
    cr_expect(sent(1).which_body == za_SysFrame_unwatch_tag);
    cr_expect(sent(1).body.unwatch.reason == za_Reason_REASON_FAILED);
    za_watch_stats_t stats;
    za_watch_stats(watch, &stats);
    cr_expect(stats.active == 0, "nothing is left");
}

Test(watch, a_maker_that_ended_hears_nothing_of_the_far_node)
{
    link_to(5, 1, FAR, 9);
    unlink_from(5, 1, FAR, za_Reason_REASON_FAILED);
    cr_assert(za_watch_gone(watch, FAR, za_Reason_REASON_NODE_DOWN, &effects) == ZA_STEP_DONE);
    cr_expect(effects.count == 0);
}

Test(watch, a_link_that_is_taken_back_unsent_is_never_told)
{
    link_to(5, 1, FAR, 9);
    unlink_from(5, 1, FAR, za_Reason_REASON_NONE);
    za_syslane_link_up(lane, FAR, 0);
    cr_expect(pump(0) == 0);
}

Test(watch, the_end_of_a_far_maker_is_an_exit_of_our_actor)
{
    link_frame_in();
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_LINK_LOCAL);
    cr_expect(effects.items[0].watcher.node == FAR && effects.items[0].actor == 9);
    za_SysFrame frame = { .which_body = za_SysFrame_unwatch_tag };
    frame.body.unwatch =
        (za_SysUnwatch){ .watcher = 70, .id = 4, .reason = za_Reason_REASON_FAILED };
    frame_in(FAR, frame);
    expect_exit(0, 9, 70, za_Reason_REASON_FAILED);
    frame_in(FAR, frame);
    cr_expect(effects.count == 0, "once");
}

Test(watch, a_node_down_ends_links_of_both_ends)
{
    link_to(5, 1, FAR, 9);
    link_frame_in();
    za_effects_reset(&effects);
    cr_assert(za_watch_gone(watch, FAR, za_Reason_REASON_NODE_DOWN, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 2);
    expect_exit(0, 5, 9, za_Reason_REASON_NODE_DOWN);
    expect_exit(1, 9, 70, za_Reason_REASON_NODE_DOWN);
}

Test(watch, a_rebirth_ends_links_of_both_ends)
{
    za_syslane_link_up(lane, FAR, 0);
    link_to(5, 1, FAR, 9);
    cr_assert(pump(0) == 1);
    link_frame_in();
    za_syslane_reset(lane);
    za_effects_reset(&effects);
    cr_assert(za_watch_reborn(watch, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 2);
    expect_exit(0, 9, 70, za_Reason_REASON_NODE_DOWN);
    expect_exit(1, 5, 9, za_Reason_REASON_NODE_DOWN);
    za_syslane_link_up(lane, FAR, 0);
    cr_expect(pump(0) == 0, "and does not make them anew");
}

// A node that has forgotten us serves none of our watches and wants none of its own.
Test(watch, a_node_that_forgot_us_is_told_again_and_served_no_more)
{
    za_syslane_link_up(lane, FAR, 0);
    add(5, 1, FAR, 9, 0);
    add(5, 2, FAR, 9, 0);
    add(5, 3, OTHER, 9, 0);
    cr_assert(pump(0) == 2, "two frames to it");
    za_watch_remove(watch, (za_ref_t){ 0, 5 }, 2, (za_ref_t){ FAR, 9 });
    za_SysFrame frame = { .which_body = za_SysFrame_watch_tag };
    frame.body.watch = (za_SysWatch){ .watcher = 70, .id = 4, .target = 9 };
    frame_in(FAR, frame);
    za_effects_reset(&effects);
    cr_assert(za_watch_forgotten(watch, FAR, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 1 && effects.items[0].type == ZA_EFFECT_UNWATCH_LOCAL);
    cr_expect(effects.items[0].watcher.node == FAR && effects.items[0].id == 4);
    cr_assert(pump(0) == 1, "what was taken back is not told again, and what is of others neither");
    cr_expect(sent(0).which_body == za_SysFrame_watch_tag && sent(0).body.watch.id == 1);
}

Test(watch, a_node_that_forgot_us_ends_links_of_both_ends)
{
    za_syslane_link_up(lane, FAR, 0);
    link_to(5, 1, FAR, 9);
    cr_assert(pump(0) == 1);
    link_frame_in();
    za_effects_reset(&effects);
    cr_assert(za_watch_forgotten(watch, FAR, &effects) == ZA_STEP_DONE);
    cr_assert(effects.count == 2);
    expect_exit(0, 9, 70, za_Reason_REASON_NO_NODE);
    expect_exit(1, 5, 9, za_Reason_REASON_NO_NODE);
    cr_expect(pump(0) == 0, "and does not make them anew");
}

Test(watch, our_actors_end_is_told_to_a_far_maker)
{
    link_frame_in();
    za_watch_local_down(watch, (za_ref_t){ FAR, 70 }, 4, za_Reason_REASON_FAILED, 0);
    za_syslane_link_up(lane, FAR, 0);
    cr_assert(pump(0) == 1);
    cr_expect(sent(0).which_body == za_SysFrame_down_tag);
    cr_expect(sent(0).body.down.reason == za_Reason_REASON_FAILED);
}

static void count_waiting(uint64_t uid, void *visitor)
{
    *(uint64_t *)visitor = *(uint64_t *)visitor * 100 + uid;
}

/** The uids for which something waits, two digits each. */
static uint64_t waiting(void)
{
    uint64_t uids = 0;
    za_watch_each_waiting(watch, count_waiting, &uids);
    return uids;
}

// Who waits for a link, and what it is for that waits: also a watch that is only taken back.
Test(watch, says_for_whom_something_waits)
{
    add(5, 1, FAR, 9, 0);
    add(5, 2, FAR, 9, 0);
    add(5, 3, OTHER, 9, 0);
    cr_expect(waiting() == 100 * FAR + OTHER, "each once");
    za_syslane_link_up(lane, FAR, 0);
    pump(0);
    cr_expect(waiting() == OTHER);
    za_syslane_link_down(lane, FAR);
    za_watch_remove(watch, (za_ref_t){ 0, 5 }, 2, (za_ref_t){ FAR, 9 });
    cr_expect(waiting() == 100 * OTHER + FAR);
}
