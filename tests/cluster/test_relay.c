// Members without a link between them that others reach: nobody is at fault, and what must arrive does.
#include "cluster/relay.h"
#include "cluster_world.h"

enum {
    SAID_MS = 10 * 200,                  // local timing: ten probe intervals without a link
    APART_MS = SAID_MS + 3 * 200 + 1000, // and the next attempt to connect, and a moment
    SEEN_MS = 500,
};

typedef struct look {
    uint64_t uid;
    za_member_info_t info;
} look_t;

static bool look_at(const za_member_info_t *info, void *context)
{
    look_t *look = context;
    if (info->uid == look->uid) {
        look->info = *info;
    }
    return true;
}

static za_member_info_t member_at(const world_t *w, int node, int other)
{
    look_t look = { .uid = w->nodes[other].uid };
    za_cluster_each_member(w->nodes[node].cluster, look_at, &look);
    return look.info;
}

static za_cluster_counters_t counters_of(const world_t *w, int node)
{
    za_cluster_counters_t counters;
    za_cluster_counters(w->nodes[node].cluster, &counters);
    return counters;
}

static void set_cut(world_t *w, int a, int b, bool cut)
{
    w->cut[a][b] = w->cut[b][a] = cut;
    if (cut) {
        drop_link(w, a, b, ZA_ETIMEOUT, ZA_ETIMEOUT);
    }
}

static world_t *joined_world(uint64_t seed, int count)
{
    world_t *w = world_create(seed, count);
    run_until(w, w->now_ms + 5000);
    for (int a = 0; a < count; a++) {
        for (int b = 0; b < count; b++) {
            cr_assert(member_at(w, a, b).state == ZA_MEMBER_UP, "node%d of node%d", a, b);
        }
    }
    return w;
}

/** As joined_world, and nodes 0 and 1 cannot link. */
static world_t *parted_world(uint64_t seed, int count)
{
    world_t *w = joined_world(seed, count);
    set_cut(w, 0, 1, true);
    run_until(w, w->now_ms + APART_MS);
    return w;
}

static uint64_t watch(world_t *w, int node, uint64_t watcher, int other, uint64_t target)
{
    za_ref_t ref = { w->nodes[other].uid, target };
    uint64_t id = (uint64_t)w->watch_count + 1;
    w->watches[w->watch_count++] =
        (watched_t){ .watcher = watcher, .id = id, .target = ref, .wanted = true };
    step_node(w, node,
              (za_cluster_event_t){
                  .type = ZA_CLUSTER_WATCH, .watcher = { 0, watcher }, .id = id, .ref = ref });
    return id;
}

static const watched_t *watch_of(const world_t *w, uint64_t id)
{
    return &w->watches[id - 1];
}

static void expect_nobody_down(const world_t *w)
{
    cr_expect(w->down_count == 0 && w->reborn == 0, "%d downs, %" PRIu64 " rebirths", w->down_count,
              w->reborn);
}

Test(relay, members_that_others_reach_are_said_to_be_apart_and_nobody_is_downed)
{
    world_t *w = joined_world(1, 3);
    set_cut(w, 0, 1, true);
    run_until(w, w->now_ms + SAID_MS - 1);
    cr_expect(!member_at(w, 0, 1).apart, "not before");
    run_until(w, w->now_ms + APART_MS - SAID_MS);
    cr_expect(member_at(w, 0, 1).apart && member_at(w, 1, 0).apart, "both say so");
    cr_expect(!member_at(w, 2, 0).apart && !member_at(w, 0, 2).apart, "of each other alone");
    cr_expect(counters_of(w, 0).aparts == 1 && counters_of(w, 2).aparts == 0, "once");
    run_until(w, w->now_ms + 60000);
    cr_expect(member_at(w, 0, 1).state == ZA_MEMBER_UP && member_at(w, 1, 0).state == ZA_MEMBER_UP,
              "and they stay up");
    expect_nobody_down(w);
    world_destroy(w);
}

// Before it is said a refusal is evidence, which the other refutes; from then on it is none, and the
// other is not slowed down by doubts for as long as the path is broken.
Test(relay, what_a_firewall_refuses_is_no_evidence_once_it_is_said)
{
    world_t *w = joined_world(11, 3);
    w->refuses = true;
    set_cut(w, 0, 1, true);
    run_until(w, w->now_ms + 2 * APART_MS);
    cr_assert(member_at(w, 0, 1).apart && member_at(w, 1, 0).apart, "apart");
    uint64_t doubts = counters_of(w, 0).suspects + counters_of(w, 1).suspects;
    run_until(w, w->now_ms + 60000);
    cr_expect(counters_of(w, 0).suspects + counters_of(w, 1).suspects == doubts,
              "%" PRIu64 " more doubts",
              counters_of(w, 0).suspects + counters_of(w, 1).suspects - doubts);
    expect_nobody_down(w);
    world_destroy(w);
}

Test(relay, members_are_together_again_with_their_link)
{
    world_t *w = parted_world(2, 3);
    cr_assert(member_at(w, 0, 1).apart, "apart");
    set_cut(w, 0, 1, false);
    run_until(w, w->now_ms + 2000);
    cr_expect(w->link[0][1] != 0 && !member_at(w, 0, 1).apart && !member_at(w, 1, 0).apart,
              "together");
    uint64_t before = counters_of(w, 0).relayed;
    uint64_t target = new_actor(w, 1);
    uint64_t id = watch(w, 0, new_actor(w, 0), 1, target);
    run_until(w, w->now_ms + SEEN_MS);
    stop_actor(w, target, za_Reason_REASON_STOPPED);
    run_until(w, w->now_ms + SEEN_MS);
    cr_expect(watch_of(w, id)->fired == 1, "a watch fires");
    cr_expect(counters_of(w, 0).relayed == before, "over the link alone");
    expect_nobody_down(w);
    world_destroy(w);
}

Test(relay, watches_begin_and_fire_over_a_neighbour)
{
    world_t *w = joined_world(3, 3);
    uint64_t old_target = new_actor(w, 1);
    uint64_t old_id = watch(w, 0, new_actor(w, 0), 1, old_target);
    run_until(w, w->now_ms + SEEN_MS);
    set_cut(w, 0, 1, true);
    run_until(w, w->now_ms + APART_MS);

    uint64_t new_target = new_actor(w, 1);
    uint64_t new_id = watch(w, 0, new_actor(w, 0), 1, new_target);
    run_until(w, w->now_ms + SEEN_MS);
    stop_actor(w, old_target, za_Reason_REASON_STOPPED);
    stop_actor(w, new_target, za_Reason_REASON_STOPPED);
    run_until(w, w->now_ms + SEEN_MS);
    cr_expect(watch_of(w, old_id)->fired == 1, "one that was made before");
    cr_expect(watch_of(w, new_id)->fired == 1, "one that was made since");
    cr_expect(counters_of(w, 2).relayed_for_others > 0 && w->marks[ZA_MARK_RELAY] > 0, "relayed");
    expect_nobody_down(w);
    world_destroy(w);
}

Test(relay, names_spread_without_it)
{
    world_t *w = parted_world(4, 3);
    step_node(w, 0,
              (za_cluster_event_t){
                  .type = ZA_CLUSTER_REGISTER, .name = "k1", .actor = new_actor(w, 0) });
    run_until(w, w->now_ms + SEEN_MS);
    cr_expect(w->nodes[1].names[1].node == w->nodes[0].uid, "node1 finds the holder on node0");
    world_destroy(w);
}

Test(relay, children_are_started_and_stopped_over_a_neighbour)
{
    static uint8_t args[300];
    memset(args, 7, sizeof args);
    world_t *w = parted_world(5, 3);
    uint64_t parent = new_actor(w, 0);
    for (uint64_t tag = 1; tag <= 8; tag++) { // one of eight is refused by the world
        w->child_count = (int)tag;
        w->children[tag - 1] = (childrec_t){ .parent = parent, .tag = tag };
        za_spawn_spec_t spec = { .class_name = "worker",
                                 .parent = parent,
                                 .restart = 2,
                                 .args = args,
                                 .args_bytes = sizeof args };
        step_node(w, 0,
                  (za_cluster_event_t){ .type = ZA_CLUSTER_SPAWN,
                                        .id = tag,
                                        .actor = parent,
                                        .uid = w->nodes[1].uid,
                                        .tag = tag,
                                        .spawn = &spec });
    }
    run_until(w, w->now_ms + SEEN_MS);
    int running = 0;
    for (int i = 0; i < 8; i++) {
        running += w->children[i].spawned;
    }
    cr_expect(running > 0, "children run on node1");
    stop_actor(w, parent, za_Reason_REASON_STOPPED);
    run_until(w, w->now_ms + SEEN_MS);
    for (int i = 0; i < w->actor_count; i++) {
        cr_expect(!w->actors[i].guest || !w->actors[i].alive, "none outlives its parent");
    }
    world_destroy(w);
}

// What the neighbour took with it goes again over the next, and comes once.
Test(relay, another_neighbour_takes_over)
{
    world_t *w = parted_world(6, 4);
    uint64_t target = new_actor(w, 1);
    uint64_t id = watch(w, 0, new_actor(w, 0), 1, target);
    run_until(w, w->now_ms + SEEN_MS);
    int via = counters_of(w, 2).relayed_for_others > 0 ? 2 : 3;
    cr_assert(counters_of(w, via).relayed_for_others > 0, "somebody relays");
    crash_node(w, via);
    stop_actor(w, target, za_Reason_REASON_STOPPED);
    run_until(w, w->now_ms + 5000);
    cr_expect(watch_of(w, id)->fired == 1, "it fires once");
    cr_expect(counters_of(w, 5 - via).relayed_for_others > 0, "over the other one");
    world_destroy(w);
}

// node2 has no link to node1 either: it says so, and node0 finds node3.
Test(relay, a_neighbour_without_a_link_says_so)
{
    for (uint64_t seed = 10; seed < 16; seed++) {
        world_t *w = joined_world(seed, 4);
        set_cut(w, 0, 1, true);
        set_cut(w, 2, 1, true);
        run_until(w, w->now_ms + APART_MS);
        uint64_t target = new_actor(w, 1);
        uint64_t id = watch(w, 0, new_actor(w, 0), 1, target);
        run_until(w, w->now_ms + SEEN_MS + ZA_RELAY_RETRY_MS);
        stop_actor(w, target, za_Reason_REASON_STOPPED);
        run_until(w, w->now_ms + SEEN_MS + ZA_RELAY_RETRY_MS);
        cr_expect(watch_of(w, id)->fired == 1, "seed %" PRIu64, seed);
        cr_expect(counters_of(w, 2).relayed_for_others == 0, "node2 cannot");
        expect_nobody_down(w);
        world_destroy(w);
    }
}

// An end is an end: with the last neighbour gone the two sides are a partition like any other.
Test(relay, ends_where_nobody_reaches_the_other)
{
    world_t *w = parted_world(7, 3);
    set_cut(w, 2, 1, true);
    run_until(w, w->now_ms + 3000);
    cr_expect(!member_at(w, 0, 1).apart, "not apart: %s",
              za_member_state_name(member_at(w, 0, 1).state));
    cr_expect(member_at(w, 0, 1).state == ZA_MEMBER_UNREACHABLE ||
                  member_at(w, 0, 1).state == ZA_MEMBER_DOWN,
              "unreachable");
    world_destroy(w);
}

/* ---- frames of peers ------------------------------------------------------------------------------ */

static void give_frame(world_t *w, int to, int from, uint64_t frame_from, uint64_t frame_to,
                       const uint8_t *body, uint32_t size)
{
    uint8_t bytes[ZA_RELAY_HEAD_MAX + 64];
    uint8_t *at = za_relay_head_put(bytes, frame_from, frame_to, size);
    if (size > 0) {
        memcpy(at, body, size);
    }
    step_node(w, to,
              (za_cluster_event_t){ .type = ZA_CLUSTER_FRAME,
                                    .uid = w->nodes[from].uid,
                                    .lane = ZA_LANE_CONTROL,
                                    .bytes = bytes,
                                    .size = (uint32_t)(at - bytes) + size });
}

Test(relay, hands_on_what_comes_from_its_sender_alone)
{
    static const uint8_t ack[] = { 2 << 3, 0 };
    world_t *w = joined_world(8, 4);
    uint64_t uids[4];
    for (int i = 0; i < 4; i++) {
        uids[i] = w->nodes[i].uid;
    }
    uint64_t bad = counters_of(w, 2).frames_bad;
    give_frame(w, 2, 0, uids[0], uids[1], ack, sizeof ack);
    cr_expect(counters_of(w, 2).relayed_for_others == 1, "from its sender");
    give_frame(w, 2, 3, uids[0], uids[1], ack, sizeof ack);
    cr_expect(counters_of(w, 2).relayed_for_others == 1, "not from another: a second hop");
    cr_expect(counters_of(w, 2).frames_bad == bad + 1, "which is counted");
    give_frame(w, 2, 0, uids[0], uids[2], ack, sizeof ack);
    cr_expect(counters_of(w, 2).frames_bad == bad + 2, "it has a link of its own");
    give_frame(w, 2, 0, uids[0], uids[0], ack, sizeof ack);
    cr_expect(counters_of(w, 2).frames_bad == bad + 3, "to itself");
    give_frame(w, 2, 0, uids[0], uids[1], NULL, 0);
    cr_expect(counters_of(w, 2).frames_bad == bad + 4, "nothing in it");
    world_destroy(w);
}

// The watch that a stranger claims to bring is not taken: node0 is linked, and speaks for itself.
Test(relay, frames_of_a_linked_member_are_not_taken_from_others)
{
    world_t *w = joined_world(9, 3);
    uint64_t target = new_actor(w, 1);
    uint8_t body[] = {
        1 << 3, 1,      10 << 3 | 2, 20,         1 << 3 | 1,      1, 0, 0, 0, 0, 0, 0,
        0,      2 << 3, 9,           3 << 3 | 1, (uint8_t)target, 0, 0, 0, 0, 0, 0, 0
    };
    body[17] = (uint8_t)(target >> 8);
    int served = w->served_count;
    give_frame(w, 1, 2, w->nodes[0].uid, w->nodes[1].uid, body, sizeof body);
    cr_expect(w->served_count == served, "while there is a link");
    set_cut(w, 0, 1, true);
    run_until(w, w->now_ms + 50);
    give_frame(w, 1, 2, w->nodes[0].uid, w->nodes[1].uid, body, sizeof body);
    cr_expect(w->served_count == served + 1, "once there is none, they are");
    world_destroy(w);
}

Test(relay, garbage_costs_a_counter_and_nothing_else)
{
    world_t *w = joined_world(10, 3);
    za_rng_t rng;
    za_rng_init(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[80] = { ZA_RELAY_TAG };
        uint32_t size = 1 + (uint32_t)za_rng_below(&rng, sizeof bytes - 1);
        if (za_rng_below(&rng, 2) == 0) {
            uint64_t from = w->nodes[za_rng_below(&rng, 3)].uid;
            uint64_t to = w->nodes[za_rng_below(&rng, 3)].uid;
            za_relay_head_put(bytes, from, to, (uint32_t)za_rng_below(&rng, 60));
        } else {
            for (uint32_t k = 1; k < size; k++) {
                bytes[k] = (uint8_t)za_rng_next(&rng);
            }
        }
        step_node(w, 1,
                  (za_cluster_event_t){ .type = ZA_CLUSTER_FRAME,
                                        .uid = w->nodes[2].uid,
                                        .lane = ZA_LANE_CONTROL,
                                        .bytes = bytes,
                                        .size = size });
    }
    cr_expect(counters_of(w, 1).frames_bad > 1000, "counted");
    run_until(w, w->now_ms + 5000);
    expect_nobody_down(w);
    world_destroy(w);
}
