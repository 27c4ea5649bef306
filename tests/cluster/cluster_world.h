/**
 * A world of whole clusters for tests: virtual time, links that break, partitions, crashes, and a
 * model of actors, watches, names and children that knows what must come of them.
 *
 * Everything follows from the seed.
 */
#pragma once

#include "base/hash.h"
#include "base/rng.h"
#include "cluster/cluster.h"
#include "support/za_test.h"

enum {
    NODES_MAX = 8,
    LIVES_MAX = 512,   // process starts and rebirths: uids
    ACTORS_MAX = 4096, // of all nodes
    WATCHES_MAX = 4096,
    CHILDREN_MAX = 512,
    SERVED_MAX = 8192,
    NAMES_MAX = 24,
    PACKETS_MAX = 16384,
    CONNECT_MS = 10, // longer than any latency: a link ends before the next begins
    DOWNS_MAX = 4096,
    LOG_MAX = 4096,
    SAMPLES_MAX = 256,
    SAMPLE_BYTES_MAX = 2048,
};

typedef struct actor {
    int node;       // index
    uint32_t start; // of the node
    bool alive;
    bool guest;       // a child of another node's actor
    uint64_t asker;   // uid
    uint64_t request; // of the asker
    uint32_t epoch;
} actor_t;

typedef struct watched {
    uint64_t watcher; // actor
    uint64_t id;
    za_ref_t target; // with the uid it had
    bool wanted;     // not unwatched, and the watcher lives
    int fired;
    za_Reason reason;
} watched_t;

typedef struct served {
    za_ref_t watcher;
    uint64_t id;
    uint64_t actor;
    bool live;
} served_t;

typedef struct childrec {
    uint64_t parent; // actor
    uint64_t tag;    // index + 1
    uint32_t epoch;  // last heard
    za_ref_t ref;
    bool failed;
    int spawned;
} childrec_t;

typedef struct packet {
    uint64_t at_ms, order;
    int to;
    uint32_t to_start;
    uint32_t link; // of the pair; 0: for any
    int from;
    za_cluster_event_t event;
    uint8_t *bytes;
} packet_t;

typedef struct node {
    za_cluster_t *cluster;
    bool alive;
    uint32_t start; // process starts
    uint64_t uid;
    char name[16], address[16];
    int named;                 // its name is that of node `named` - 1; 0: its own
    za_ref_t names[NAMES_MAX]; // what lookups answer, by the effects
    uint8_t material[ZA_EPOCH_SECRET_BYTES];
} node_t;

typedef struct world {
    za_rng_t rng;
    uint64_t seed, now_ms, order;
    int count;
    node_t nodes[NODES_MAX];
    uint32_t link[NODES_MAX][NODES_MAX]; // symmetric; 0: none
    uint32_t links;
    bool cut[NODES_MAX][NODES_MAX];
    bool mute[NODES_MAX][NODES_MAX]; // what the first says does not reach the second; links stay
    bool refuses;                    // what is cut answers with RST
    packet_t packets[PACKETS_MAX];
    int packet_count;
    struct {
        uint64_t uid;
        int node;
        uint32_t start;
    } lives[LIVES_MAX];
    int life_count;
    actor_t actors[ACTORS_MAX]; // actor id = index + 1 + ACTOR_BASE
    int actor_count;
    watched_t watches[WATCHES_MAX];
    int watch_count;
    served_t served[SERVED_MAX];
    int served_count;
    childrec_t children[CHILDREN_MAX];
    int child_count;
    struct {
        uint64_t uid;
        int node;
    } downs[DOWNS_MAX]; // who held whom as terminal at some time
    int down_count;
    struct {
        za_effect_type_t type;
        uint64_t id;
    } log[LOG_MAX]; // services' and member-down effects of node `log_node`
    int log_node, log_count;
    struct {
        za_lane_t lane;
        uint32_t size;
        uint8_t bytes[SAMPLE_BYTES_MAX];
    } samples[SAMPLES_MAX];
    int sample_count;
    uint64_t reborn, marks[ZA_MARK_COUNT], names_lost;
    za_downing_config_t downing;
    bool twice_allowed;          // faults come faster than verdicts
    int seed_count;              // of each node; 0: two
    uint64_t gave_up[NODES_MAX]; // ZA_EFFECT_DOWN_SELF of each node
    struct {
        uint64_t holder, until_ms, revision;
        bool away; // nobody can ask it
        bool cut[NODES_MAX];
    } lease;
    bool keyed;     // nodes get material for keys of datagrams
    char said[256]; // the last refusal or warning
    uint64_t hash;  // over all effects: equal seeds, equal runs
    za_effects_t effects;
} world_t;

#define ACTOR_BASE 1000

static inline uint64_t draw(world_t *w, uint64_t bound)
{
    return za_rng_below(&w->rng, bound);
}

static inline actor_t *actor_of(world_t *w, uint64_t id)
{
    cr_assert(id > ACTOR_BASE && id <= ACTOR_BASE + (uint64_t)w->actor_count, "actor %" PRIu64, id);
    return &w->actors[id - ACTOR_BASE - 1];
}

static inline uint64_t new_actor(world_t *w, int node)
{
    cr_assert(w->actor_count < ACTORS_MAX, "the model has room");
    w->actors[w->actor_count++] =
        (actor_t){ .node = node, .start = w->nodes[node].start, .alive = true };
    return ACTOR_BASE + (uint64_t)w->actor_count;
}

/* ---- packets: a heap by (time, order) --------------------------------------------------------- */

static inline bool sooner(const packet_t *a, const packet_t *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static inline void post(world_t *w, packet_t packet)
{
    cr_assert(w->packet_count < PACKETS_MAX, "seed %" PRIu64 ": too many packets", w->seed);
    packet.order = ++w->order;
    packet.to_start = w->nodes[packet.to].start;
    int i = w->packet_count++;
    while (i > 0 && sooner(&packet, &w->packets[(i - 1) / 2])) {
        w->packets[i] = w->packets[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->packets[i] = packet;
}

static inline packet_t take_packet(world_t *w)
{
    packet_t top = w->packets[0];
    packet_t last = w->packets[--w->packet_count];
    int i = 0;
    for (;;) {
        int child = 2 * i + 1;
        if (child >= w->packet_count) {
            break;
        }
        if (child + 1 < w->packet_count && sooner(&w->packets[child + 1], &w->packets[child])) {
            child++;
        }
        if (!sooner(&w->packets[child], &last)) {
            break;
        }
        w->packets[i] = w->packets[child];
        i = child;
    }
    w->packets[i] = last;
    return top;
}

static inline void post_event(world_t *w, int to, uint64_t delay_ms, za_cluster_event_t event)
{
    post(w, (packet_t){ .at_ms = w->now_ms + delay_ms, .to = to, .from = -1, .event = event });
}

/* ---- links ------------------------------------------------------------------------------------ */

static inline int node_by_uid(const world_t *w, uint64_t uid)
{
    for (int i = 0; i < w->count; i++) {
        if (w->nodes[i].alive && w->nodes[i].uid == uid) {
            return i;
        }
    }
    return -1;
}

static inline uint64_t latency(int a, int b)
{
    return 1 + (uint64_t)((a * 7 + b * 7) % 5);
}

static inline void drop_link(world_t *w, int a, int b, za_err_t to_a, za_err_t to_b)
{
    if (w->link[a][b] == 0) {
        return;
    }
    w->link[a][b] = w->link[b][a] = 0;
    za_cluster_event_t down = { .type = ZA_CLUSTER_LINK_DOWN };
    if (w->nodes[a].alive) {
        down.uid = w->nodes[b].uid;
        down.err = to_a;
        post_event(w, a, 0, down);
    }
    if (w->nodes[b].alive) {
        down.uid = w->nodes[a].uid;
        down.err = to_b;
        post_event(w, b, 0, down);
    }
}

/** What was sent before the goodbye still arrives, then the peer hears of the end. */
static inline void close_link(world_t *w, int node, int peer)
{
    uint32_t link = w->link[node][peer];
    if (link == 0) {
        return;
    }
    w->link[node][peer] = w->link[peer][node] = 0;
    for (int i = 0; i < w->packet_count; i++) {
        packet_t *packet = &w->packets[i];
        if (packet->from == node && packet->to == peer && packet->link == link) {
            packet->link = 0;
        }
    }
    za_cluster_event_t down = { .type = ZA_CLUSTER_LINK_DOWN, .err = ZA_OK };
    down.uid = w->nodes[node].uid;
    post_event(w, peer, latency(node, peer), down);
    down.uid = w->nodes[peer].uid;
    post_event(w, node, 0, down);
}

static inline void connect_nodes(world_t *w, int a, int b, const char *address)
{
    za_cluster_event_t failed = { .type = ZA_CLUSTER_CONNECT_FAILED,
                                  .address = w->nodes[b].address };
    (void)address;
    if (a == b || w->link[a][b] != 0) {
        return;
    }
    if (w->cut[a][b] || w->mute[a][b] || w->mute[b][a]) {
        failed.err = w->refuses ? ZA_EREFUSED : ZA_ETIMEOUT;
        post_event(w, a, w->refuses ? 1 : 300, failed);
        return;
    }
    if (!w->nodes[b].alive) {
        failed.err = ZA_EREFUSED;
        post_event(w, a, 1, failed);
        return;
    }
    w->link[a][b] = w->link[b][a] = ++w->links;
    za_cluster_event_t up = { .type = ZA_CLUSTER_LINK_UP };
    for (int side = 0; side < 2; side++) {
        int here = side == 0 ? a : b;
        int there = side == 0 ? b : a;
        up.uid = w->nodes[there].uid;
        up.name = w->nodes[there].name;
        up.address = w->nodes[there].address;
        post(w, (packet_t){ .at_ms = w->now_ms + CONNECT_MS,
                            .to = here,
                            .from = there,
                            .link = w->link[a][b],
                            .event = up });
    }
}

/** Keeps a copy of a frame of the services for tests that garble them. */
static inline void keep_sample(world_t *w, const za_effect_t *effect)
{
    bool registry = effect->lane == ZA_LANE_CONTROL && effect->bytes[0] == 2;
    if (effect->type == ZA_EFFECT_SEND_FRAME && (registry || effect->lane == ZA_LANE_SYSTEM) &&
        w->sample_count < SAMPLES_MAX && effect->size <= SAMPLE_BYTES_MAX) {
        w->samples[w->sample_count].lane = effect->lane;
        w->samples[w->sample_count].size = effect->size;
        memcpy(w->samples[w->sample_count++].bytes, effect->bytes, effect->size);
    }
}

static inline void send_bytes(world_t *w, int from, const za_effect_t *effect)
{
    keep_sample(w, effect);
    int to = node_by_uid(w, effect->uid);
    if (to < 0 || w->link[from][to] == 0 || w->mute[from][to]) {
        return;
    }
    packet_t packet = { .to = to, .from = from, .link = w->link[from][to] };
    packet.at_ms = w->now_ms + latency(from, to);
    packet.event = (za_cluster_event_t){
        .type = effect->type == ZA_EFFECT_SEND_FRAME ? ZA_CLUSTER_FRAME : ZA_CLUSTER_DATAGRAM,
        .uid = w->nodes[from].uid,
        .lane = effect->lane,
        .size = effect->size,
    };
    packet.bytes = malloc(effect->size + 1);
    memcpy(packet.bytes, effect->bytes, effect->size);
    packet.event.bytes = packet.bytes;
    post(w, packet);
}

/* ---- the model of a node ---------------------------------------------------------------------- */

static inline int name_index(const char *name)
{
    int index = atoi(name + 1);
    cr_assert(name[0] == 'k' && index >= 0 && index < NAMES_MAX, "name %s", name);
    return index;
}

static inline int life_of(const world_t *w, uint64_t uid)
{
    for (int i = 0; i < w->life_count; i++) {
        if (w->lives[i].uid == uid) {
            return i;
        }
    }
    return -1;
}

static inline void begin_life(world_t *w, int node, uint64_t uid)
{
    cr_assert(w->life_count < LIVES_MAX && life_of(w, uid) < 0, "uids are new");
    w->nodes[node].uid = uid;
    w->lives[w->life_count].uid = uid;
    w->lives[w->life_count].node = node;
    w->lives[w->life_count++].start = w->nodes[node].start;
}

/** True if `uid` is what a live node has now. */
static inline bool uid_lives(const world_t *w, uint64_t uid)
{
    return node_by_uid(w, uid) >= 0;
}

static inline void stop_actor(world_t *w, uint64_t id, za_Reason reason)
{
    actor_t *actor = actor_of(w, id);
    if (!actor->alive) {
        return;
    }
    actor->alive = false;
    for (int i = 0; i < w->watch_count; i++) {
        if (w->watches[i].watcher == id && w->watches[i].wanted && w->watches[i].fired == 0) {
            w->watches[i].wanted = false;
            post_event(w, actor->node, 0,
                       (za_cluster_event_t){ .type = ZA_CLUSTER_UNWATCH,
                                             .watcher = { 0, id },
                                             .id = w->watches[i].id,
                                             .ref = w->watches[i].target });
        }
    }
    post_event(
        w, actor->node, 0,
        (za_cluster_event_t){ .type = ZA_CLUSTER_ACTOR_STOPPED, .actor = id, .reason = reason });
    for (int i = 0; i < w->served_count; i++) {
        if (w->served[i].live && w->served[i].actor == id) {
            w->served[i].live = false;
            post_event(w, actor->node, 0,
                       (za_cluster_event_t){ .type = ZA_CLUSTER_LOCAL_DOWN,
                                             .watcher = w->served[i].watcher,
                                             .id = w->served[i].id,
                                             .ref = { 0, id },
                                             .reason = reason });
        }
    }
}

typedef struct known {
    uint64_t uid;
    bool found;
} known_t;

static inline bool look_for(const za_member_info_t *info, void *context)
{
    known_t *known = context;
    known->found = known->found || info->uid == known->uid;
    return !known->found;
}

static inline bool knows(const world_t *w, int node, uint64_t uid)
{
    known_t known = { uid, false };
    za_cluster_each_member(w->nodes[node].cluster, look_for, &known);
    return known.found;
}

static inline void on_fire(world_t *w, int node, const za_effect_t *effect)
{
    for (int i = 0; i < w->watch_count; i++) {
        watched_t *watch = &w->watches[i];
        if (watch->watcher == effect->watcher.actor && watch->id == effect->id) {
            cr_assert(actor_of(w, watch->watcher)->node == node, "seed %" PRIu64, w->seed);
            cr_assert(za_ref_equal(watch->target, effect->ref), "seed %" PRIu64, w->seed);
            cr_assert(watch->fired == 0, "seed %" PRIu64 ": watch fired twice", w->seed);
            watch->fired++;
            watch->reason = effect->reason;
            if (effect->reason == za_Reason_REASON_STOPPED ||
                effect->reason == za_Reason_REASON_NO_ACTOR) {
                cr_assert(!actor_of(w, watch->target.actor)->alive,
                          "seed %" PRIu64 ": fired, but the target lives", w->seed);
            }
            if (effect->reason == za_Reason_REASON_NO_NODE) {
                cr_assert(!knows(w, node, effect->ref.node),
                          "seed %" PRIu64 ": fired as unknown, but the node is known", w->seed);
            }
            return;
        }
    }
    cr_assert(false, "seed %" PRIu64 ": no such watch", w->seed);
}

static inline void on_watch_local(world_t *w, int node, const za_effect_t *effect)
{
    actor_t *actor = actor_of(w, effect->actor);
    cr_assert(actor->node == node, "seed %" PRIu64 ": watch at the wrong node", w->seed);
    if (!actor->alive || actor->start != w->nodes[node].start) {
        post_event(w, node, 0,
                   (za_cluster_event_t){ .type = ZA_CLUSTER_LOCAL_DOWN,
                                         .watcher = effect->watcher,
                                         .id = effect->id,
                                         .ref = { 0, effect->actor },
                                         .reason = za_Reason_REASON_NO_ACTOR });
        return;
    }
    cr_assert(w->served_count < SERVED_MAX, "the model has room");
    w->served[w->served_count++] = (served_t){ effect->watcher, effect->id, effect->actor, true };
}

static inline void on_unwatch_local(world_t *w, const za_effect_t *effect)
{
    for (int i = 0; i < w->served_count; i++) {
        served_t *served = &w->served[i];
        if (served->live && za_ref_equal(served->watcher, effect->watcher) &&
            served->id == effect->id) {
            served->live = false;
        }
    }
}

/** In consistency mode a child starts only after all earlier ones of the same request have ended. */
static inline void check_single(const world_t *w, uint64_t request, uint32_t epoch)
{
    for (int i = 0; i < w->actor_count; i++) {
        const actor_t *actor = &w->actors[i];
        bool same = actor->guest && actor->request == request;
        cr_assert(!same || actor->epoch < epoch, "seed %" PRIu64 ": epoch %u after %u", w->seed,
                  epoch, actor->epoch);
        cr_assert(!same || !actor->alive,
                  "seed %" PRIu64 ": %" PRIu64 " ms: epoch %u starts while %u lives on node%d",
                  w->seed, w->now_ms, epoch, actor->epoch, actor->node);
    }
}

/** The provider of leases: one key, compare and set. */
static inline void on_lease(world_t *w, int node, const za_effect_t *effect)
{
    za_cluster_event_t answer = { .type = ZA_CLUSTER_LEASE };
    if (w->lease.away || w->lease.cut[node]) {
        answer.err = ZA_ETIMEOUT;
        post_event(w, node, 500, answer);
        return;
    }
    bool held = w->lease.holder != 0 && w->now_ms < w->lease.until_ms;
    if (effect->id != 0 && (!held || w->lease.revision == effect->tag)) {
        w->lease.holder = effect->uid;
        w->lease.until_ms = w->now_ms + effect->id;
        w->lease.revision++;
        held = true;
    }
    answer.uid = held ? w->lease.holder : 0;
    answer.tag = w->lease.revision;
    post_event(w, node, 5, answer);
}

static inline void on_spawn_local(world_t *w, int node, const za_effect_t *effect)
{
    cr_assert(strcmp(effect->spawn->class_name, "worker") == 0, "class %s",
              effect->spawn->class_name);
    if (w->downing.strategy != ZA_DOWNING_NONE && !w->twice_allowed) {
        check_single(w, effect->id, effect->epoch);
    }
    cr_assert(effect->spawn->args_bytes == 300 && effect->spawn->args[299] == 7, "arguments");
    za_cluster_event_t event = { .type = ZA_CLUSTER_CHILD_STARTED,
                                 .id = effect->id,
                                 .uid = effect->uid };
    if (za_mix64(effect->id ^ (uint64_t)node) % 8 == 0) {
        event.err = ZA_EDENIED;
    } else {
        uint64_t id = new_actor(w, node);
        actor_t *actor = actor_of(w, id);
        actor->guest = true;
        actor->asker = effect->uid;
        actor->request = effect->id;
        actor->epoch = effect->epoch;
        event.ref = (za_ref_t){ 0, id };
    }
    post_event(w, node, 2, event);
}

static inline childrec_t *child_of(world_t *w, uint64_t tag)
{
    cr_assert(tag > 0 && tag <= (uint64_t)w->child_count, "tag");
    return &w->children[tag - 1];
}

static inline void on_spawned(world_t *w, const za_effect_t *effect)
{
    childrec_t *child = child_of(w, effect->tag);
    cr_assert(child->parent == effect->actor && !child->failed, "seed %" PRIu64, w->seed);
    cr_assert(effect->epoch > child->epoch, "seed %" PRIu64 ": epoch %u after %u", w->seed,
              effect->epoch, child->epoch);
    child->epoch = effect->epoch;
    child->ref = effect->ref;
    child->spawned++;
}

static inline void on_reborn(world_t *w, int node, const za_effect_t *effect)
{
    cr_assert(w->nodes[node].uid == effect->was, "seed %" PRIu64, w->seed);
    for (int i = 0; i < w->count; i++) {
        drop_link(w, node, i, ZA_OK, ZA_OK);
    }
    begin_life(w, node, effect->uid);
    w->reborn++;
}

/** For a failing seed: ZACTOR_TRACE=1 prints what every node does. */
static inline void trace_effect(const world_t *w, int node, const za_effect_t *effect)
{
    static int on = -1;
    if (on < 0) {
        on = getenv("ZACTOR_TRACE") != NULL;
    }
    if (on && effect->type != ZA_EFFECT_SEND_DATAGRAM) {
        fprintf(stderr,
                "%6" PRIu64 " node%d effect %d uid %" PRIx64 " state/lane %d id %" PRIu64
                " actor %" PRIu64 " ref %" PRIx64 "/%" PRIu64 " watcher %" PRIx64 "/%" PRIu64
                " size %u %s %s\n",
                w->now_ms, node, (int)effect->type, effect->uid, (int)effect->state, effect->id,
                effect->actor, effect->ref.node, effect->ref.actor, effect->watcher.node,
                effect->watcher.actor, effect->size, effect->name != NULL ? effect->name : "",
                effect->address != NULL ? effect->address : "");
    }
}

static inline void log_effect(world_t *w, int node, const za_effect_t *effect)
{
    bool down = effect->type == ZA_EFFECT_MEMBER && effect->state == ZA_MEMBER_DOWN;
    bool service = effect->type == ZA_EFFECT_CLOSE_LINK ||
                   (effect->type >= ZA_EFFECT_NAME_SET && effect->type <= ZA_EFFECT_SPAWN_FAILED);
    if (node == w->log_node && (down || service) && w->log_count < LOG_MAX) {
        w->log[w->log_count].type = effect->type;
        w->log[w->log_count++].id = effect->id;
    }
}

/** As a driver does from its secure source: at the start, and when it is asked. */
static inline void give_material(world_t *w, int node)
{
    uint8_t *material = w->nodes[node].material;
    for (size_t i = 0; i < ZA_EPOCH_SECRET_BYTES; i++) {
        material[i] = (uint8_t)draw(w, 256);
    }
    post_event(w, node, 0,
               (za_cluster_event_t){
                   .type = ZA_CLUSTER_KEYS, .bytes = material, .size = ZA_EPOCH_SECRET_BYTES });
}

static inline void carry_out(world_t *w, int node, const za_effect_t *effect)
{
    node_t *self = &w->nodes[node];
    trace_effect(w, node, effect);
    log_effect(w, node, effect);
    w->hash = za_mix64(w->hash ^ (uint64_t)effect->type ^ effect->uid ^ effect->id ^ effect->actor);
    switch (effect->type) {
    case ZA_EFFECT_SEND_DATAGRAM:
    case ZA_EFFECT_SEND_FRAME:
        w->hash = za_mix64(w->hash ^ za_fnv64(ZA_FNV64_INIT, effect->bytes, effect->size));
        send_bytes(w, node, effect);
        break;
    case ZA_EFFECT_CONNECT:
        connect_nodes(w, node, atoi(effect->address + 1), effect->address);
        break;
    case ZA_EFFECT_CLOSE_LINK: {
        int peer = node_by_uid(w, effect->uid);
        if (peer >= 0) {
            close_link(w, node, peer);
        }
        break;
    }
    case ZA_EFFECT_REBORN:
        on_reborn(w, node, effect);
        break;
    case ZA_EFFECT_MEMBER:
        if (effect->state == ZA_MEMBER_DOWN || effect->state == ZA_MEMBER_LEFT) {
            cr_assert(w->down_count < DOWNS_MAX, "the model has room");
            w->downs[w->down_count].uid = effect->uid;
            w->downs[w->down_count++].node = node;
        }
        break;
    case ZA_EFFECT_NAME_SET:
        cr_assert(!za_ref_equal(self->names[name_index(effect->name)], effect->ref),
                  "seed %" PRIu64 ": the answer has not changed", w->seed);
        self->names[name_index(effect->name)] = effect->ref;
        break;
    case ZA_EFFECT_NAME_CLEARED:
        cr_assert(!za_ref_is_none(self->names[name_index(effect->name)]),
                  "seed %" PRIu64 ": cleared twice", w->seed);
        self->names[name_index(effect->name)] = ZA_REF_NONE;
        break;
    case ZA_EFFECT_NAME_LOST:
        w->names_lost++;
        break;
    case ZA_EFFECT_DOWN_SELF:
        w->gave_up[node]++;
        break;
    case ZA_EFFECT_LEASE:
        on_lease(w, node, effect);
        break;
    case ZA_EFFECT_REFUSED:
    case ZA_EFFECT_LOG:
        snprintf(w->said, sizeof w->said, "%s", effect->name);
        break;
    case ZA_EFFECT_FIRE:
        on_fire(w, node, effect);
        break;
    case ZA_EFFECT_WATCH_LOCAL:
        on_watch_local(w, node, effect);
        break;
    case ZA_EFFECT_UNWATCH_LOCAL:
        on_unwatch_local(w, effect);
        break;
    case ZA_EFFECT_SPAWN_LOCAL:
        on_spawn_local(w, node, effect);
        break;
    case ZA_EFFECT_STOP_LOCAL:
        stop_actor(w, effect->actor, effect->reason);
        break;
    case ZA_EFFECT_SPAWNED:
        on_spawned(w, effect);
        break;
    case ZA_EFFECT_SPAWN_FAILED:
        cr_assert(!child_of(w, effect->tag)->failed, "seed %" PRIu64 ": failed twice", w->seed);
        child_of(w, effect->tag)->failed = true;
        break;
    case ZA_EFFECT_MARK:
        w->marks[effect->mark]++;
        break;
    case ZA_EFFECT_WANT_KEYS:
        give_material(w, node);
        break;
    default:
        break;
    }
}

static inline void trace_event(const world_t *w, int node, const za_cluster_event_t *event)
{
    if (getenv("ZACTOR_TRACE") != NULL && event->type > ZA_CLUSTER_FRAME) {
        fprintf(stderr,
                "%6" PRIu64 " node%d EVENT %d uid %" PRIx64 " id %" PRIu64 " actor %" PRIu64
                " ref %" PRIx64 "/%" PRIu64 " watcher %" PRIx64 "/%" PRIu64 "\n",
                w->now_ms, node, (int)event->type, event->uid, event->id, event->actor,
                event->ref.node, event->ref.actor, event->watcher.node, event->watcher.actor);
    }
}

static inline void step_node(world_t *w, int node, za_cluster_event_t event)
{
    event.now_ms = w->now_ms;
    trace_event(w, node, &event);
    za_step_t more;
    do {
        za_effects_reset(&w->effects);
        more = za_cluster_step(w->nodes[node].cluster, &event, &w->effects);
        for (uint32_t i = 0; i < w->effects.count; i++) {
            carry_out(w, node, &w->effects.items[i]);
        }
        event = (za_cluster_event_t){ .type = ZA_CLUSTER_CONTINUE, .now_ms = w->now_ms };
    } while (more == ZA_STEP_MORE);
}

static inline void start_node(world_t *w, int node)
{
    node_t *self = &w->nodes[node];
    snprintf(self->name, sizeof self->name, "node%d", self->named > 0 ? self->named - 1 : node);
    snprintf(self->address, sizeof self->address, "n%d", node);
    self->start++;
    self->alive = true;
    memset(self->names, 0, sizeof self->names);
    const char *seeds[2] = { "n0", "n1" };
    za_cluster_config_t config = { .cluster = "world",
                                   .name = self->name,
                                   .address = self->address,
                                   .seeds = seeds,
                                   .seed_count = w->seed_count != 0 ? (uint32_t)w->seed_count : 2,
                                   .timing = za_cluster_timing_local,
                                   .downing = w->downing };
    config.random_seed = za_mix64(w->seed ^ za_mix64((uint64_t)node << 32 | self->start));
    za_err_t err = za_cluster_create(&config, w->now_ms, &self->cluster);
    cr_assert(err == ZA_OK, "create: %s", za_err_name(err));
    begin_life(w, node, za_cluster_uid(self->cluster));
    if (w->keyed) {
        give_material(w, node);
    }
    step_node(w, node, (za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
}

static inline void crash_node(world_t *w, int node)
{
    node_t *self = &w->nodes[node];
    self->alive = false;
    for (int i = 0; i < w->count; i++) {
        drop_link(w, node, i, ZA_ECLOSED, ZA_ECLOSED);
    }
    for (int i = 0; i < w->actor_count; i++) {
        if (w->actors[i].node == node) {
            w->actors[i].alive = false;
        }
    }
    for (int i = 0; i < w->watch_count; i++) {
        if (actor_of(w, w->watches[i].watcher)->node == node) {
            w->watches[i].wanted = false;
        }
    }
    for (int i = 0; i < w->served_count; i++) {
        if (actor_of(w, w->served[i].actor)->node == node) {
            w->served[i].live = false;
        }
    }
    za_cluster_destroy(self->cluster);
    self->cluster = NULL;
}

static inline void deliver(world_t *w, packet_t *packet)
{
    bool stale = packet->link != 0 && w->link[packet->from][packet->to] != packet->link;
    const node_t *to = &w->nodes[packet->to];
    if (to->alive && to->start == packet->to_start && !stale) {
        step_node(w, packet->to, packet->event);
    }
    free(packet->bytes);
}

/** Runs until `until_ms`. */
static inline void run_until(world_t *w, uint64_t until_ms)
{
    for (;;) {
        uint64_t due = until_ms;
        int who = -1;
        for (int i = 0; i < w->count; i++) {
            uint64_t deadline =
                w->nodes[i].alive ? za_cluster_deadline_ms(w->nodes[i].cluster) : UINT64_MAX;
            if (deadline < due) {
                due = deadline;
                who = i;
            }
        }
        if (w->packet_count > 0 && w->packets[0].at_ms <= due) {
            packet_t packet = take_packet(w);
            w->now_ms = packet.at_ms > w->now_ms ? packet.at_ms : w->now_ms;
            if (w->now_ms > until_ms) {
                post(w, packet);
                return;
            }
            deliver(w, &packet);
        } else if (who >= 0) {
            w->now_ms = due > w->now_ms ? due : w->now_ms;
            step_node(w, who, (za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
        } else {
            w->now_ms = until_ms;
            return;
        }
    }
}

/** Nothing is started yet. */
static inline world_t *world_prepare(uint64_t seed, int count)
{
    world_t *w = calloc(1, sizeof *w);
    w->seed = seed;
    w->count = count;
    w->now_ms = 1000;
    za_rng_init(&w->rng, seed);
    return w;
}

static inline world_t *world_create(uint64_t seed, int count)
{
    world_t *w = world_prepare(seed, count);
    for (int i = 0; i < count; i++) {
        start_node(w, i);
    }
    return w;
}

static inline void world_destroy(world_t *w)
{
    for (int i = 0; i < w->count; i++) {
        za_cluster_destroy(w->nodes[i].cluster);
    }
    while (w->packet_count > 0) {
        free(take_packet(w).bytes);
    }
    free(w);
}
