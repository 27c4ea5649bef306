// What actors hear of members: how things are when they start, and then each change once and in order.
#include "stage.h"

#include <stdio.h>
#include <string.h>

typedef enum said {
    SAID_NOTHING,
    SAID_JOINING,
    SAID_UP,
    SAID_SUSPECT,
    SAID_UNREACHABLE,
    SAID_REACHABLE,
    SAID_LEAVING,
    SAID_LEFT,
    SAID_DOWN,
    SAID_REBORN,
    SAID_COUNT,
    // Of one connection, whatever the state.
    SAID_APART = SAID_COUNT,
    SAID_TOGETHER,
} said_t;

typedef struct listener {
    uint32_t heard;
} listener_t;

static za_verdict_t hear(za_ctx_t *ctx, listener_t *self, said_t said, uint64_t uid)
{
    self->heard++;
    stage_note(MEMBER, stage_node(ctx), said, (za_ref_t){ uid, 1 });
    return ZA_DONE;
}

#define HEARS(what, said)                                                                          \
    static za_verdict_t on_##what(za_ctx_t *ctx, listener_t *self, const za_Member##what *m)       \
    {                                                                                              \
        cr_assert(m->name[0] == 'n' && m->address[0] != '\0', "a name and an address");            \
        return hear(ctx, self, said, m->node);                                                     \
    }

HEARS(Joining, SAID_JOINING)
HEARS(Up, SAID_UP)
HEARS(Suspect, SAID_SUSPECT)
HEARS(Unreachable, SAID_UNREACHABLE)
HEARS(Reachable, SAID_REACHABLE)
HEARS(Leaving, SAID_LEAVING)
HEARS(Left, SAID_LEFT)
HEARS(Down, SAID_DOWN)

static za_verdict_t on_reborn(za_ctx_t *ctx, listener_t *self, const za_Reborn *reborn)
{
    cr_assert(reborn->was != reborn->node, "a new uid");
    return hear(ctx, self, SAID_REBORN, reborn->node);
}

ZA_ACTOR(listener, listener_t, (za_MemberJoining, on_Joining), (za_MemberUp, on_Up),
         (za_MemberSuspect, on_Suspect), (za_MemberUnreachable, on_Unreachable),
         (za_MemberReachable, on_Reachable), (za_MemberLeaving, on_Leaving),
         (za_MemberLeft, on_Left), (za_MemberDown, on_Down), (za_Reborn, on_reborn));

static za_verdict_t on_reachable_only(za_ctx_t *ctx, listener_t *self, const za_MemberReachable *m)
{
    return hear(ctx, self, SAID_REACHABLE, m->node);
}
ZA_ACTOR(patient, listener_t, (za_MemberReachable, on_reachable_only));

static void listen(uint32_t node)
{
    za_ref_t ref;
    cr_assert(za_sim_spawn(stage_sim, node, listener, &ref) == ZA_OK, "a listener");
    stage_settle();
}

/** What the listener of `node` heard of that uid since `from`, as a string of digits. */
static const char *story(uint32_t node, uint64_t uid)
{
    static char text[STAGE_EVENTS_MAX + 1];
    uint32_t length = 0;
    for (uint32_t i = 0; i < stage_event_count; i++) {
        const stage_event_t *event = &stage_events[i];
        if (event->kind == MEMBER && event->a == node && event->ref.node == uid) {
            text[length++] = (char)('0' + event->b);
        }
    }
    text[length] = '\0';
    return text;
}

#define IS(text, ...) (strcmp(text, (const char[]){ __VA_ARGS__, '\0' }) == 0)
#define D(said) ('0' + (said))

static bool may_follow(said_t before, said_t now)
{
    static const said_t next[SAID_COUNT][8] = {
        [SAID_NOTHING] = { SAID_JOINING, SAID_UP, SAID_SUSPECT, SAID_UNREACHABLE, SAID_LEAVING },
        [SAID_JOINING] = { SAID_UP, SAID_SUSPECT, SAID_UNREACHABLE, SAID_LEAVING, SAID_LEFT,
                           SAID_DOWN, SAID_REBORN },
        [SAID_UP] = { SAID_SUSPECT, SAID_UNREACHABLE, SAID_LEAVING, SAID_LEFT, SAID_DOWN },
        [SAID_SUSPECT] = { SAID_REACHABLE, SAID_UNREACHABLE, SAID_LEAVING, SAID_LEFT, SAID_DOWN },
        [SAID_UNREACHABLE] = { SAID_REACHABLE, SAID_LEAVING, SAID_LEFT, SAID_DOWN },
        [SAID_REACHABLE] = { SAID_SUSPECT, SAID_UNREACHABLE, SAID_LEAVING, SAID_LEFT, SAID_DOWN },
        [SAID_LEAVING] = { SAID_LEFT, SAID_DOWN },
        [SAID_DOWN] = { SAID_UP }, // a reborn node takes its own verdicts back
        [SAID_REBORN] = { SAID_JOINING, SAID_UP },
    };
    for (uint32_t i = 0; i < 8; i++) {
        if (next[before][i] == now && now != SAID_NOTHING) {
            return true;
        }
    }
    return false;
}

/** All that was heard anywhere makes sense, for each listener and member by itself. */
static void check_stories(void)
{
    for (uint32_t i = 0; i < stage_event_count; i++) {
        const stage_event_t *now = &stage_events[i];
        said_t before = SAID_NOTHING;
        for (uint32_t k = 0; k < i && now->kind == MEMBER; k++) {
            const stage_event_t *older = &stage_events[k];
            bool same =
                older->kind == MEMBER && older->a == now->a && older->ref.node == now->ref.node;
            before = same ? (said_t)older->b : before;
        }
        bool fits =
            now->kind != MEMBER || now->b == SAID_REBORN || may_follow(before, (said_t)now->b);
        cr_assert(fits, "node %u hears %u after %u", (unsigned)now->a, (unsigned)now->b,
                  (unsigned)before);
    }
}

static void open_with_listeners(uint64_t seed)
{
    stage_open(seed, NULL);
    for (uint32_t i = 0; i < STAGE_NODES; i++) {
        listen(i);
    }
}

Test(members, are_all_told_to_a_new_listener_once)
{
    open_with_listeners(41);
    for (uint32_t at = 0; at < STAGE_NODES; at++) {
        for (uint32_t of = 0; of < STAGE_NODES; of++) {
            cr_assert(IS(story(at, stage_uid(of)), D(SAID_UP)), "%u of %u: %s", at, of,
                      story(at, stage_uid(of)));
        }
    }
    check_stories();
    stage_close();
}

Test(members, that_crash_go_down)
{
    open_with_listeners(42);
    uint64_t uid = stage_uid(2);
    za_sim_crash(stage_sim, 2);
    za_sim_run_for(stage_sim, 30000);
    for (uint32_t at = 0; at < 2; at++) {
        const char *heard = story(at, uid);
        cr_assert(heard[strlen(heard) - 1] == D(SAID_DOWN), "node %u: %s", at, heard);
    }
    check_stories();
    stage_close();
}

Test(members, that_do_not_answer_for_a_while_are_suspect_then_unreachable_then_reachable)
{
    open_with_listeners(43);
    uint64_t uid = stage_uid(2);
    za_sim_pause(stage_sim, 2);
    bool gone = false;
    for (uint32_t i = 0; i < 100 && !gone; i++) {
        za_sim_run_for(stage_sim, 100);
        gone = strchr(story(0, uid), D(SAID_UNREACHABLE)) != NULL &&
               strchr(story(1, uid), D(SAID_UNREACHABLE)) != NULL;
    }
    cr_assert(gone, "unreachable");
    za_sim_resume(stage_sim, 2);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "back");
    stage_settle();
    for (uint32_t at = 0; at < 2; at++) {
        const char *heard = story(at, uid);
        cr_assert(IS(heard, D(SAID_UP), D(SAID_SUSPECT), D(SAID_UNREACHABLE), D(SAID_REACHABLE)),
                  "node %u: %s", at, heard);
    }
    check_stories();
    stage_close();
}

Test(members, that_leave_are_leaving_and_then_left)
{
    open_with_listeners(44);
    uint64_t uid = stage_uid(2);
    za_sim_leave(stage_sim, 2);
    za_sim_run_for(stage_sim, 20000);
    for (uint32_t at = 0; at < 2; at++) {
        const char *heard = story(at, uid);
        cr_assert(IS(heard, D(SAID_UP), D(SAID_LEAVING), D(SAID_LEFT)), "node %u: %s", at, heard);
    }
    check_stories();
    stage_close();
}

Test(members, that_are_back_under_their_name_are_new_ones)
{
    open_with_listeners(45);
    uint64_t uid = stage_uid(2);
    za_sim_crash(stage_sim, 2);
    za_sim_run_for(stage_sim, 200);
    za_sim_restart(stage_sim, 2);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "back");
    stage_settle();
    for (uint32_t at = 0; at < 2; at++) {
        const char *heard = story(at, uid);
        cr_assert(heard[strlen(heard) - 1] == D(SAID_DOWN), "node %u: %s", at, heard);
        cr_assert(IS(story(at, stage_uid(2)), D(SAID_UP)), "node %u: a new one", at);
    }
    check_stories();
    stage_close();
}

Test(members, that_are_unreachable_are_told_so_to_a_new_listener)
{
    stage_open(46, NULL);
    uint64_t uid = stage_uid(2);
    za_ref_t ref;
    cr_assert(za_sim_spawn(stage_sim, 1, listener, &ref) == ZA_OK, "a listener");
    za_sim_pause(stage_sim, 2);
    for (uint32_t i = 0; i < 100 && strchr(story(1, uid), D(SAID_UNREACHABLE)) == NULL; i++) {
        za_sim_run_for(stage_sim, 100);
    }
    listen(1);
    listen(0);
    const char *heard = story(0, uid);
    cr_assert(IS(heard, D(SAID_UP), D(SAID_UNREACHABLE)), "node 0: %s", heard);
    stage_close();
}

Test(members, are_joining_before_they_are_up_and_a_reborn_node_says_so)
{
    open_with_listeners(47);
    uint64_t was = stage_uid(0);
    za_sim_partition(stage_sim, 1); // node 0 alone
    za_sim_run_for(stage_sim, STAGE_BOUND_MS);
    cr_assert(story(1, was)[strlen(story(1, was)) - 1] == D(SAID_DOWN), "%s", story(1, was));
    za_sim_heal(stage_sim);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "healed");
    za_sim_run_for(stage_sim, 2000);
    uint64_t now = stage_uid(0);
    uint64_t other = stage_uid(1);
    check_stories();
    if (now != was) {
        const char *heard = story(0, now);
        cr_assert(IS(heard, D(SAID_REBORN), D(SAID_JOINING), D(SAID_UP)), "node 0 of itself: %s",
                  heard);
        cr_assert(IS(story(1, now), D(SAID_UP)), "node 1: %s", story(1, now));
    } else {
        cr_assert(story(1, other)[0] == D(SAID_UP), "the other side was reborn");
    }
    stage_close();
}

// A class that wants to hear of nothing else hears of this, too.
Test(members, are_told_to_a_class_with_one_handler_only)
{
    stage_open(48, NULL);
    za_ref_t ref;
    cr_assert(za_sim_spawn(stage_sim, 0, patient, &ref) == ZA_OK, "a listener");
    stage_settle();
    za_sim_pause(stage_sim, 2);
    za_sim_run_for(stage_sim, 4000);
    za_sim_resume(stage_sim, 2);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "back");
    stage_settle();
    cr_assert(IS(story(0, stage_uid(2)), D(SAID_REACHABLE)), "%s", story(0, stage_uid(2)));
    stage_close();
}

/* ---- apart ---------------------------------------------------------------------------------------- */

HEARS(Apart, SAID_APART)
HEARS(Together, SAID_TOGETHER)
ZA_ACTOR(neighbour, listener_t, (za_MemberApart, on_Apart), (za_MemberTogether, on_Together),
         (za_MemberDown, on_Down), (za_MemberUnreachable, on_Unreachable));

static za_ref_t target;
static za_err_t told;

static void watch_target(za_ctx_t *ctx)
{
    cr_assert(za_watch(ctx, target) == ZA_OK, "a watch");
}

static void tell_target(za_ctx_t *ctx)
{
    told = za_tell(ctx, target, &probe_Work_type, &(probe_Work){ .n = 1 });
}

static void stop_self(za_ctx_t *ctx)
{
    cr_assert(za_stop(ctx, za_self(ctx)) == ZA_OK, "a stop");
}

static bool are_apart(za_sim_t *sim, void *context)
{
    (void)sim;
    (void)context;
    return story(0, stage_uid(1))[0] != '\0' && story(1, stage_uid(0))[0] != '\0';
}

// Nothing passes between nodes 0 and 1, and node 2 reaches both: what is sent is refused with an error,
// watches fire all the same, and nobody is down.
Test(members, without_a_connection_that_are_alive_are_apart_and_watches_of_them_fire)
{
    stage_open(49, NULL);
    za_ref_t ref;
    cr_assert(za_sim_spawn(stage_sim, 0, neighbour, &ref) == ZA_OK, "a listener");
    cr_assert(za_sim_spawn(stage_sim, 1, neighbour, &ref) == ZA_OK, "a listener");
    stage_settle();
    ref.node = stage_uid(1);
    target = stage_doers[1];
    target.node = stage_uid(1);
    stage_do(0, watch_target);
    za_sim_block(stage_sim, 0, 1, true);
    za_sim_block(stage_sim, 1, 0, true);
    za_sim_reset(stage_sim, 0, 1);
    cr_assert(za_sim_run_until(stage_sim, are_apart, NULL, STAGE_BOUND_MS), "both are told");
    stage_do(0, tell_target);
    cr_expect(told == ZA_ENOROUTE, "what is sent is refused: %s", za_err_name(told));
    stage_do(1, stop_self);
    stage_settle();
    cr_expect(stage_count(DOWN) == 1, "the watch fires once, not %u times", stage_count(DOWN));

    za_sim_heal(stage_sim);
    za_sim_run_for(stage_sim, 5000);
    cr_expect(IS(story(0, stage_uid(1)), D(SAID_APART), D(SAID_TOGETHER)), "node 0: %s",
              story(0, stage_uid(1)));
    cr_expect(IS(story(1, stage_uid(0)), D(SAID_APART), D(SAID_TOGETHER)), "node 1: %s",
              story(1, stage_uid(0)));
    target = ref;
    stage_do(0, tell_target);
    cr_expect(told == ZA_OK, "and what is sent is taken: %s", za_err_name(told));
    stage_close();
}

/* ---- what is asked for ---------------------------------------------------------------------------- */

static za_MemberInfo described;
static uint32_t descriptions;
static uint64_t wanted;

static za_verdict_t on_info(za_ctx_t *ctx, listener_t *self, const za_MemberInfo *info)
{
    (void)ctx;
    self->heard++;
    described = *info;
    descriptions++;
    return ZA_DONE;
}

static za_verdict_t on_query(za_ctx_t *ctx, listener_t *self, const probe_Do *what)
{
    (void)self;
    (void)what;
    told = za_query_member(ctx, wanted);
    return ZA_DONE;
}
ZA_ACTOR(asker, listener_t, (za_MemberInfo, on_info), (probe_Do, on_query));

static za_ref_t asker_ref;

static void query(uint64_t uid)
{
    wanted = uid;
    descriptions = 0;
    cr_assert(za_sim_tell(stage_sim, 0, asker_ref, ZA_MSG(probe_Do, .op = 1)) == ZA_OK, "told");
    stage_settle();
    cr_assert(told == ZA_OK && descriptions == 1, "one answer: %u", descriptions);
}

static void open_with_asker(uint64_t seed)
{
    static const char *const roles[STAGE_NODES] = { "web", "web,gpu", NULL };
    static const char *const meta[STAGE_NODES] = { NULL, "rack 4", NULL };
    stage_open_with((za_sim_opts_t){ .seed = seed, .roles = roles, .meta = meta });
    cr_assert(za_sim_spawn(stage_sim, 0, asker, &asker_ref) == ZA_OK, "spawned");
    za_sim_run_for(stage_sim, 5000); // each has probed each
}

Test(members, are_described_to_whom_asks)
{
    open_with_asker(49);
    query(stage_uid(1));
    cr_assert(described.node == stage_uid(1) && described.state == za_MemberState_MEMBER_UP &&
                  strcmp(described.name, "n1") == 0 && strcmp(described.roles, "web,gpu") == 0,
              "%s %s", described.name, described.roles);
    cr_assert(described.meta.size == 6 && memcmp(described.meta.bytes, "rack 4", 6) == 0, "meta");
    // One way takes 100 to 500 us.
    cr_assert(described.rtt_us >= 200 && described.rtt_us < 5000, "%u us", described.rtt_us);
    cr_assert(described.linked && !described.apart && !described.udp_degraded, "by all ways");
    cr_assert(described.since_ms >= 4000, "since it came up");
    query(0);
    cr_assert(described.node == stage_uid(0) && described.state == za_MemberState_MEMBER_UP &&
                  strcmp(described.roles, "web") == 0 && described.meta.size == 0,
              "itself");
    stage_close();
}

Test(members, that_are_gone_or_never_were_are_described_as_such)
{
    open_with_asker(50);
    uint64_t gone = stage_uid(2);
    za_sim_crash(stage_sim, 2);
    za_sim_run_for(stage_sim, 30000);
    query(gone);
    cr_assert(described.node == gone && described.state == za_MemberState_MEMBER_DOWN, "down");
    query(12345);
    cr_assert(described.node == 12345 && described.state == za_MemberState_MEMBER_UNKNOWN &&
                  described.name[0] == '\0',
              "nobody");
    stage_close();
}

static void query_badly(za_ctx_t *ctx)
{
    cr_expect(za_query_member(ctx, 0) == ZA_ETYPE, "no handler");
    cr_expect(za_query_member(NULL, 0) == ZA_EINVAL, "no context");
}

Test(members, queries_without_a_handler_are_refused)
{
    stage_open(51, NULL);
    stage_do(0, query_badly);
    stage_close();
}

static char heard_roles[264];

static za_verdict_t on_up_roles(za_ctx_t *ctx, listener_t *self, const za_MemberUp *up)
{
    self->heard++;
    if (up->node == stage_uid(1) && stage_node(ctx) == 0) {
        snprintf(heard_roles, sizeof heard_roles, "%s", up->roles);
    }
    return ZA_DONE;
}
ZA_ACTOR(reader, listener_t, (za_MemberUp, on_up_roles));

Test(members, come_up_with_their_roles)
{
    open_with_asker(52);
    cr_assert(za_sim_spawn(stage_sim, 0, reader, NULL) == ZA_OK, "spawned");
    stage_settle();
    cr_assert(strcmp(heard_roles, "web,gpu") == 0, "%s", heard_roles);
    stage_close();
}
