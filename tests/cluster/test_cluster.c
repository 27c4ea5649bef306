#include "cluster_world.h"
#include "support/seeds.h"

static int up_members(const world_t *w, int node);

static bool count_up(const za_member_info_t *info, void *context)
{
    *(int *)context += info->state == ZA_MEMBER_UP;
    return true;
}

static int up_members(const world_t *w, int node)
{
    int count = 0;
    za_cluster_each_member(w->nodes[node].cluster, count_up, &count);
    return count;
}

static bool converged(const world_t *w)
{
    int live = 0;
    for (int i = 0; i < w->count; i++) {
        live += w->nodes[i].alive;
    }
    uint64_t hash = 0;
    bool first = true;
    for (int i = 0; i < w->count; i++) {
        if (!w->nodes[i].alive) {
            continue;
        }
        uint64_t mine = za_cluster_registry_hash(w->nodes[i].cluster);
        if (up_members(w, i) != live || (!first && mine != hash)) {
            return false;
        }
        first = false;
        hash = mine;
    }
    return true;
}

static void converge(world_t *w, uint64_t bound_ms)
{
    uint64_t end = w->now_ms + bound_ms;
    while (!converged(w) && w->now_ms < end) {
        run_until(w, w->now_ms + 100);
    }
    if (!converged(w)) {
        for (int i = 0; i < w->count; i++) {
            if (w->nodes[i].alive) {
                fprintf(stderr, "  node %d: up %d, registry %016" PRIx64 "\n", i, up_members(w, i),
                        za_cluster_registry_hash(w->nodes[i].cluster));
            }
        }
    }
    cr_assert(converged(w), "seed %" PRIu64 ": not converged", w->seed);
}

/* ---- operations ------------------------------------------------------------------------------- */

static int random_node(world_t *w)
{
    int node = (int)draw(w, (uint64_t)w->count);
    return w->nodes[node].alive ? node : -1;
}

static uint64_t random_actor(world_t *w, int node)
{
    int start = w->actor_count > 0 ? (int)draw(w, (uint64_t)w->actor_count) : 0;
    for (int i = 0; i < w->actor_count; i++) {
        int at = (start + i) % w->actor_count;
        if (w->actors[at].alive && w->actors[at].node == node && !w->actors[at].guest) {
            return ACTOR_BASE + (uint64_t)at + 1;
        }
    }
    return new_actor(w, node);
}

static void do_watch(world_t *w, int node, int other)
{
    uint64_t watcher = random_actor(w, node);
    uint64_t target = random_actor(w, other);
    za_ref_t ref = { w->nodes[other].uid, target };
    cr_assert(w->watch_count < WATCHES_MAX, "the model has room");
    w->watches[w->watch_count++] = (watched_t){
        .watcher = watcher, .id = (uint64_t)w->watch_count + 1, .target = ref, .wanted = true
    };
    const watched_t *watch = &w->watches[w->watch_count - 1];
    step_node(
        w, node,
        (za_cluster_event_t){
            .type = ZA_CLUSTER_WATCH, .watcher = { 0, watcher }, .id = watch->id, .ref = ref });
}

static void do_unwatch(world_t *w)
{
    if (w->watch_count == 0) {
        return;
    }
    watched_t *watch = &w->watches[draw(w, (uint64_t)w->watch_count)];
    if (!watch->wanted || watch->fired > 0) {
        return;
    }
    watch->wanted = false;
    int node = actor_of(w, watch->watcher)->node;
    step_node(w, node,
              (za_cluster_event_t){ .type = ZA_CLUSTER_UNWATCH,
                                    .watcher = { 0, watch->watcher },
                                    .id = watch->id,
                                    .ref = watch->target });
    watch->fired = 1; // from now on it must not fire
}

static void do_name(world_t *w, int node, za_cluster_event_type_t type)
{
    char name[16];
    uint64_t which = draw(w, NAMES_MAX);
    snprintf(name, sizeof name, "k%d", (int)which);
    za_ref_t holder = ZA_REF_NONE;
    za_err_t err = za_cluster_whereis(w->nodes[node].cluster, name, &holder);
    za_cluster_event_t event = { .type = type, .name = name };
    if (type == ZA_CLUSTER_REGISTER && err == ZA_ENOENT) {
        event.actor = random_actor(w, node);
    } else if (type == ZA_CLUSTER_UNREGISTER && err == ZA_OK && holder.node == 0) {
        event.actor = holder.actor;
    } else {
        return;
    }
    step_node(w, node, event);
}

static void do_spawn(world_t *w, int node, int other)
{
    static uint8_t args[300];
    memset(args, 7, sizeof args);
    if (w->child_count >= CHILDREN_MAX) {
        return;
    }
    uint64_t parent = random_actor(w, node);
    uint64_t tag = (uint64_t)++w->child_count;
    w->children[tag - 1] = (childrec_t){ .parent = parent, .tag = tag };
    za_spawn_spec_t spec = { .class_name = "worker",
                             .parent = parent,
                             .args_type_id = 9,
                             .args = args,
                             .args_bytes = sizeof args };
    spec.on_node_down = draw(w, 4) == 0 ? ZA_NODE_DOWN_STOP : ZA_NODE_DOWN_RESPAWN;
    step_node(w, node,
              (za_cluster_event_t){ .type = ZA_CLUSTER_SPAWN,
                                    .id = tag,
                                    .actor = parent,
                                    .uid = w->nodes[other].uid,
                                    .tag = tag,
                                    .spawn = &spec });
}

static void do_stop_child(world_t *w)
{
    if (w->child_count == 0) {
        return;
    }
    const childrec_t *child = &w->children[draw(w, (uint64_t)w->child_count)];
    const actor_t *parent = actor_of(w, child->parent);
    if (parent->alive && !child->failed && child->spawned > 0) {
        step_node(w, parent->node,
                  (za_cluster_event_t){
                      .type = ZA_CLUSTER_STOP_CHILD, .actor = child->parent, .ref = child->ref });
    }
}

static void stop_random(world_t *w, int node)
{
    for (int tries = 0; tries < 8 && w->actor_count > 0; tries++) {
        uint64_t at = draw(w, (uint64_t)w->actor_count);
        if (w->actors[at].alive && w->actors[at].node == node) {
            stop_actor(w, ACTOR_BASE + at + 1, za_Reason_REASON_STOPPED);
            return;
        }
    }
}

static void operate(world_t *w)
{
    int node = random_node(w);
    int other = random_node(w);
    uint64_t what = draw(w, 20);
    if (node < 0 || other < 0 || node == other) {
        return;
    }
    if (what < 6) {
        do_watch(w, node, other);
    } else if (what < 8) {
        do_unwatch(w);
    } else if (what < 12) {
        do_name(w, node, ZA_CLUSTER_REGISTER);
    } else if (what < 14) {
        do_name(w, node, ZA_CLUSTER_UNREGISTER);
    } else if (what < 16) {
        do_spawn(w, node, other);
    } else if (what < 17) {
        do_stop_child(w);
    } else {
        stop_random(w, node);
    }
}

static void set_cut(world_t *w, int a, int b, bool cut)
{
    w->cut[a][b] = w->cut[b][a] = cut;
    if (cut) {
        drop_link(w, a, b, ZA_ETIMEOUT, ZA_ETIMEOUT);
    }
}

static void partition(world_t *w)
{
    uint64_t sides = draw(w, UINT64_C(1) << w->count);
    for (int a = 0; a < w->count; a++) {
        for (int b = a + 1; b < w->count; b++) {
            set_cut(w, a, b, ((sides >> a) & 1) != ((sides >> b) & 1));
        }
    }
}

static void heal(world_t *w)
{
    for (int a = 0; a < w->count; a++) {
        for (int b = a + 1; b < w->count; b++) {
            set_cut(w, a, b, false);
        }
    }
}

static void disturb(world_t *w)
{
    uint64_t what = draw(w, 12);
    int node = random_node(w);
    int other = (int)draw(w, (uint64_t)w->count);
    if (what < 5) {
        drop_link(w, node < 0 ? 0 : node, other, ZA_EIO, ZA_EIO);
    } else if (what < 7) {
        partition(w);
    } else if (what < 9) {
        heal(w);
    } else if (what < 10 && node >= 0) {
        crash_node(w, node);
    } else if (!w->nodes[other].alive) {
        start_node(w, other);
    }
}

/* ---- what must be true ------------------------------------------------------------------------ */

/** A view can hold a living uid as down until its own node is reborn: its watches have fired then. */
static bool was_down_for(const world_t *w, uint64_t uid, int node)
{
    for (int i = 0; i < w->down_count; i++) {
        if (w->downs[i].uid == uid && w->downs[i].node == node) {
            return true;
        }
    }
    return false;
}

static void check_watches(world_t *w)
{
    int serving = 0;
    int active = 0;
    for (int i = 0; i < w->watch_count; i++) {
        const watched_t *watch = &w->watches[i];
        if (!watch->wanted) {
            continue;
        }
        bool target_lives =
            actor_of(w, watch->target.actor)->alive && uid_lives(w, watch->target.node);
        bool held_down = watch->reason == za_Reason_REASON_NODE_DOWN &&
                         was_down_for(w, watch->target.node, actor_of(w, watch->watcher)->node);
        bool unknown = watch->reason == za_Reason_REASON_NO_NODE; // checked when it fired
        bool excused = watch->fired == 1 && (held_down || unknown);
        cr_assert(watch->fired == !target_lives || excused,
                  "seed %" PRIu64 ": watch %d of %" PRIx64 " fired %d (reason %d), target %s",
                  w->seed, i, watch->target.node, watch->fired, (int)watch->reason,
                  target_lives ? "lives" : "is gone");
        active += watch->fired == 0;
    }
    for (int i = 0; i < w->served_count; i++) {
        serving += w->served[i].live;
    }
    cr_assert(serving == active, "seed %" PRIu64 ": %d watches, %d served", w->seed, active,
              serving);
}

static void check_children(world_t *w)
{
    for (int i = 0; i < w->child_count; i++) {
        const childrec_t *child = &w->children[i];
        const actor_t *parent = actor_of(w, child->parent);
        int live = 0;
        for (int a = 0; a < w->actor_count; a++) {
            const actor_t *actor = &w->actors[a];
            if (actor->alive && actor->guest && actor->request == child->tag) {
                live++;
            }
        }
        bool wanted = parent->alive && !child->failed;
        cr_assert(live == wanted,
                  "seed %" PRIu64 ": child %d: %d live, parent %s, failed %d, spawned %d, epoch %u",
                  w->seed, i, live, parent->alive ? "lives" : "is gone", child->failed,
                  child->spawned, child->epoch);
    }
}

static void check_names(world_t *w)
{
    for (int n = 0; n < NAMES_MAX; n++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", n);
        uint64_t holder = 0;
        bool first = true;
        for (int i = 0; i < w->count; i++) {
            if (!w->nodes[i].alive) {
                continue;
            }
            za_ref_t ref = ZA_REF_NONE;
            za_err_t err = za_cluster_whereis(w->nodes[i].cluster, name, &ref);
            cr_assert((err == ZA_OK) != za_ref_is_none(ref), "seed %" PRIu64, w->seed);
            cr_assert(za_ref_equal(ref, w->nodes[i].names[n]),
                      "seed %" PRIu64 ": the effects told another answer", w->seed);
            cr_assert(first || ref.actor == holder, "seed %" PRIu64 ": two answers for %s", w->seed,
                      name);
            holder = ref.actor;
            first = false;
        }
        cr_assert(holder == 0 || actor_of(w, holder)->alive, "seed %" PRIu64 ": a dead holder",
                  w->seed);
    }
}

static void check_counters(world_t *w)
{
    for (int i = 0; i < w->count; i++) {
        if (w->nodes[i].alive) {
            za_cluster_counters_t counters;
            za_cluster_counters(w->nodes[i].cluster, &counters);
            cr_assert(counters.registry_divergence == 0, "seed %" PRIu64 ": divergence", w->seed);
            cr_assert(counters.frames_bad == 0, "seed %" PRIu64 ": bad frames", w->seed);
            cr_assert(counters.refused == 0, "seed %" PRIu64 ": refused", w->seed);
        }
    }
}

/** One life of a world: faults, then healing, then the truth. */
static uint64_t live_through(uint64_t seed, uint64_t marks[ZA_MARK_COUNT])
{
    uint64_t size = za_mix64(seed) % 4;
    world_t *w = world_create(seed, 3 + (int)size);
    converge(w, 30000);
    uint64_t end = w->now_ms + 40000;
    while (w->now_ms < end) {
        uint64_t pause = draw(w, 400);
        run_until(w, w->now_ms + pause);
        operate(w);
        if (draw(w, 12) == 0) {
            disturb(w);
        }
    }
    heal(w);
    for (int i = 0; i < w->count; i++) {
        if (!w->nodes[i].alive) {
            start_node(w, i);
        }
    }
    run_until(w, w->now_ms + 40000);
    converge(w, 60000);
    run_until(w, w->now_ms + 15000); // unknown uids, respawns, conflicts
    converge(w, 5000);
    check_watches(w);
    check_children(w);
    check_names(w);
    check_counters(w);
    uint64_t hash = w->hash;
    for (int i = 0; i < ZA_MARK_COUNT; i++) {
        marks[i] += w->marks[i];
    }
    world_destroy(w);
    return hash;
}

/** Node 0 watches `count` actors of node 1, has children there, and knows a name of it. */
static world_t *world_with_ties(int count)
{
    world_t *w = world_create(5, 3);
    converge(w, 30000);
    for (int i = 0; i < count; i++) {
        new_actor(w, 1);
        do_watch(w, 0, 1);
    }
    step_node(w, 1,
              (za_cluster_event_t){
                  .type = ZA_CLUSTER_REGISTER, .name = "k3", .actor = random_actor(w, 1) });
    for (int i = 0; i < 4; i++) {
        do_spawn(w, 0, 1); // the model's nodes refuse some requests
    }
    run_until(w, w->now_ms + 2000);
    w->log_count = 0;
    return w;
}

/** Position of the first effect of this type in the log, from `start`; -1: none. */
static int logged(const world_t *w, za_effect_type_t type, int start)
{
    for (int i = start; i < w->log_count; i++) {
        if (w->log[i].type == type) {
            return i;
        }
    }
    return -1;
}

// What an actor hears of a dead node must make sense in the order in which it hears it.
Test(cluster, a_node_down_is_told_in_order)
{
    world_t *w = world_with_ties(5);
    crash_node(w, 1);
    run_until(w, w->now_ms + 20000);
    int fire = logged(w, ZA_EFFECT_FIRE, 0);
    int cleared = logged(w, ZA_EFFECT_NAME_CLEARED, 0);
    int member = logged(w, ZA_EFFECT_MEMBER, 0);
    cr_assert(fire >= 0 && cleared > fire && member > cleared, "fire %d, name %d, member %d", fire,
              cleared, member);
    for (int i = fire + 1; i < fire + 5; i++) {
        cr_assert(w->log[i].type == ZA_EFFECT_FIRE && w->log[i].id > w->log[i - 1].id, "id order");
    }
    int again = logged(w, ZA_EFFECT_SPAWNED, 0);
    int failed = logged(w, ZA_EFFECT_SPAWN_FAILED, 0);
    cr_assert(again > member || failed > cleared, "respawn %d, failure %d, member %d", again,
              failed, member);
    world_destroy(w);
}

Test(cluster, a_node_down_closes_the_link_first)
{
    world_t *w = world_with_ties(3);
    step_node(w, 0, (za_cluster_event_t){ .type = ZA_CLUSTER_DOWN_NODE, .name = "node1" });
    int close = logged(w, ZA_EFFECT_CLOSE_LINK, 0);
    int fire = logged(w, ZA_EFFECT_FIRE, 0);
    cr_assert(close >= 0 && fire > close, "close %d, fire %d", close, fire);
    run_until(w, w->now_ms + 30000);
    converge(w, 30000); // the node was alive: it is reborn
    cr_assert(w->reborn == 1, "reborn %" PRIu64, w->reborn);
    world_destroy(w);
}

// More consequences than one step has room for: every one of them comes, once.
Test(cluster, consequences_of_any_number_take_several_steps)
{
    enum { COUNT = 1800 };
    world_t *w = world_with_ties(COUNT);
    crash_node(w, 1);
    run_until(w, w->now_ms + 20000);
    int fired = 0;
    for (int i = 0; i < w->watch_count; i++) {
        cr_assert(w->watches[i].fired == 1, "watch %d fired %d", i, w->watches[i].fired);
        fired++;
    }
    cr_expect(fired == COUNT);
    int member = logged(w, ZA_EFFECT_MEMBER, 0);
    cr_expect(member > COUNT, "told after the last of them");
    world_destroy(w);
}

Test(cluster, frames_of_no_module_are_counted)
{
    world_t *w = world_create(6, 2);
    converge(w, 30000);
    const uint8_t bytes[] = { 9, 1, 2, 3 };
    za_cluster_event_t event = { .type = ZA_CLUSTER_FRAME,
                                 .uid = w->nodes[1].uid,
                                 .lane = ZA_LANE_CONTROL,
                                 .bytes = bytes,
                                 .size = sizeof bytes };
    step_node(w, 0, event);
    event.lane = ZA_LANE_SYSTEM;
    step_node(w, 0, event);
    event.lane = ZA_LANE_CONTROL;
    event.size = 0;
    step_node(w, 0, event);
    za_cluster_counters_t counters;
    za_cluster_counters(w->nodes[0].cluster, &counters);
    cr_expect(counters.frames_bad == 3, "%" PRIu64, counters.frames_bad);
    world_destroy(w);
}

/** One garbled frame to node 0; whatever it asks for is not done. */
static void feed_garbled(world_t *w, za_effects_t *out)
{
    uint8_t bytes[SAMPLE_BYTES_MAX];
    uint64_t which = draw(w, (uint64_t)w->sample_count);
    uint32_t size = w->samples[which].size;
    memcpy(bytes, w->samples[which].bytes, size);
    for (uint64_t i = draw(w, 5); i > 0; i--) {
        uint64_t at = draw(w, size);
        uint64_t value = draw(w, 256);
        bytes[at] = (uint8_t)value;
    }
    if (draw(w, 4) == 0) {
        size = (uint32_t)draw(w, size);
    }
    za_cluster_event_t event = { .type = ZA_CLUSTER_FRAME,
                                 .uid = w->nodes[1].uid,
                                 .now_ms = w->now_ms,
                                 .lane = w->samples[which].lane,
                                 .bytes = bytes,
                                 .size = size };
    if (event.lane == ZA_LANE_CONTROL && size > 0) {
        bytes[0] = 2; // membership has tests of its own
    }
    za_step_t step = ZA_STEP_MORE;
    while (step == ZA_STEP_MORE) {
        za_effects_reset(out);
        step = za_cluster_step(w->nodes[0].cluster, &event, out);
        event = (za_cluster_event_t){ .type = ZA_CLUSTER_CONTINUE, .now_ms = w->now_ms };
    }
}

// A peer with a certificate can still send anything: no frame may break an invariant.
Test(cluster, garbled_frames_break_nothing, .timeout = 120)
{
    static za_effects_t out;
    world_t *w = world_create(31, 3);
    converge(w, 30000);
    for (int i = 0; i < 150; i++) {
        operate(w);
        run_until(w, w->now_ms + 20);
    }
    cr_assert(w->sample_count > 100, "samples");
    for (int i = 0; i < 30000; i++) {
        feed_garbled(w, &out);
        w->now_ms += (uint64_t)(i % 50 == 0);
    }
    za_cluster_counters_t counters;
    za_cluster_counters(w->nodes[0].cluster, &counters);
    cr_expect(counters.frames_bad > 0);
    world_destroy(w);
}

Test(cluster, services_are_right_after_any_faults, .timeout = 3600)
{
    uint64_t marks[ZA_MARK_COUNT] = { 0 };
    za_seeds_t seeds = za_seeds(120);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        live_through(seed, marks);
        if (getenv("ZACTOR_VERBOSE") != NULL) {
            fprintf(stderr, "seed %" PRIu64 " done\n", seed);
        }
    }
    if (seeds.enough) { // a run that never comes here tested less than it claims
        cr_assert(marks[ZA_MARK_SYSTEM_RESEND] > 0, "no resend");
        cr_assert(marks[ZA_MARK_RESPAWN] > 0, "no respawn");
        cr_assert(marks[ZA_MARK_NAME_CONFLICT] > 0, "no conflict");
        cr_assert(marks[ZA_MARK_REGISTRY_SNAPSHOT] > 0, "no snapshot");
        cr_assert(marks[ZA_MARK_REBIRTH] > 0, "no rebirth");
    }
}

Test(cluster, same_seed_gives_the_same_run)
{
    uint64_t marks[ZA_MARK_COUNT] = { 0 };
    uint64_t once = live_through(77, marks);
    uint64_t again = live_through(77, marks);
    cr_assert(once == again, "two runs of one seed differ");
}
