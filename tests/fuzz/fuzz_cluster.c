// Whole nodes against all that can reach them. Three clusters talk to each other in virtual time; the
// input says who cannot link to whom, what is lost, repeated, changed on its way or written by somebody
// else, what actors and operators ask for, and who starts anew. Whatever comes, no assertion fails, each
// step ends, and no clock stands still; and as long as nobody wrote or changed a frame, all nodes that
// are left agree when the faults are over.
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "cluster/cluster.h"
#include "cluster/relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/** Each input takes some large tables anew; kept for long after their end they would be all that is done. */
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=1";
}

enum {
    NODES = 3,
    QUEUE_MAX = 256,
    SENT_MAX = 192,      // of it: what ends links has room as well
    STEPS_MAX = 1000,    // of one event
    TIME_MAX_MS = 60000, // of virtual time that the input may take
    TURNS_MAX = 20000,
    HEAL_MS = 40000,
    LATENCY_MS = 2,
    REFUSE_MS = 20,
    RAW_MAX = 512,
    WATCHERS = 8,
};

typedef struct packet {
    uint64_t at_ms;
    uint8_t to;
    uint64_t start; // of its receiver
    uint64_t uid;   // of its receiver: a datagram is for one life
    uint32_t link;  // that it is sent over; 0: none
    uint8_t from;
    za_cluster_event_t event;
    uint8_t *bytes;
} packet_t;

typedef struct node {
    za_cluster_t *cluster; // NULL: it has left
    uint64_t uid;
    uint64_t start;
    char name[4], address[8];
    za_ref_t watchers[WATCHERS]; // of others, on actors here
    uint64_t watches[WATCHERS];
} node_t;

typedef struct world {
    const uint8_t *at, *end;
    uint64_t now_ms, starts, watches, requests;
    uint32_t links, turns;
    bool forged; // a frame was written or changed
    za_downing_strategy_t strategy;
    node_t nodes[NODES];
    uint32_t link[NODES][NODES]; // symmetric; 0: none
    bool cut[NODES][NODES];
    packet_t queue[QUEUE_MAX];
    uint32_t count;
    uint64_t lease_holder, lease_revision;
    za_effects_t *effects;
} world_t;

static uint8_t take(world_t *w)
{
    return w->at < w->end ? *w->at++ : 0;
}

/* ---- what is under way ------------------------------------------------------------------------ */

static void drop_packet(world_t *w, uint32_t at)
{
    free(w->queue[at].bytes);
    memmove(&w->queue[at], &w->queue[at + 1], (--w->count - at) * sizeof *w->queue);
}

/** False: there is no room, and it is lost. */
static bool post(world_t *w, packet_t packet, const uint8_t *bytes)
{
    if (w->count == QUEUE_MAX || w->nodes[packet.to].cluster == NULL) {
        return false;
    }
    packet.start = w->nodes[packet.to].start;
    packet.uid = w->nodes[packet.to].uid;
    if (bytes != NULL) {
        packet.bytes = malloc(packet.event.size + 1u);
        ZA_ASSERT(packet.bytes != NULL);
        memcpy(packet.bytes, bytes, packet.event.size);
        packet.event.bytes = packet.bytes;
    }
    uint32_t at = w->count++;
    for (; at > 0 && w->queue[at - 1].at_ms > packet.at_ms; at--) {
        w->queue[at] = w->queue[at - 1];
    }
    w->queue[at] = packet;
    return true;
}

static void post_event(world_t *w, uint8_t to, uint64_t delay_ms, za_cluster_event_t event)
{
    post(w, (packet_t){ .at_ms = w->now_ms + delay_ms, .to = to, .event = event }, event.bytes);
}

static int node_of(const world_t *w, uint64_t uid)
{
    for (int i = 0; i < NODES; i++) {
        if (w->nodes[i].cluster != NULL && w->nodes[i].uid == uid) {
            return i;
        }
    }
    return -1;
}

/* ---- links ------------------------------------------------------------------------------------ */

static void end_link(world_t *w, uint8_t a, uint8_t b, za_err_t err, uint64_t delay_ms)
{
    za_cluster_event_t down = { .type = ZA_CLUSTER_LINK_DOWN, .err = err, .uid = w->nodes[b].uid };
    w->link[a][b] = w->link[b][a] = 0;
    post_event(w, a, 0, down);
    down.uid = w->nodes[a].uid;
    post_event(w, b, delay_ms, down);
}

/** It broke: what was sent over it is lost, too. */
static void drop_link(world_t *w, uint8_t a, uint8_t b, za_err_t err)
{
    uint32_t link = w->link[a][b];
    if (link == 0) {
        return;
    }
    for (uint32_t i = 0; i < w->count;) {
        if (w->queue[i].link == link) {
            drop_packet(w, i);
        } else {
            i++;
        }
    }
    end_link(w, a, b, err, 0);
}

/** What `at` sent before its goodbye still arrives. */
static void close_link(world_t *w, uint8_t at, uint64_t uid)
{
    int peer = node_of(w, uid);
    uint32_t link = peer >= 0 ? w->link[at][peer] : 0;
    if (link == 0) {
        return;
    }
    for (uint32_t i = 0; i < w->count;) {
        if (w->queue[i].link == link && w->queue[i].to == at) {
            drop_packet(w, i);
        } else {
            w->queue[i].link = w->queue[i].link == link ? 0 : w->queue[i].link;
            i++;
        }
    }
    end_link(w, at, (uint8_t)peer, ZA_OK, LATENCY_MS);
}

static void connect_to(world_t *w, uint8_t a, const char *address)
{
    for (uint8_t b = 0; b < NODES; b++) {
        node_t *peer = &w->nodes[b];
        if (a == b || strcmp(peer->address, address) != 0 || w->link[a][b] != 0) {
            continue;
        }
        if (peer->cluster == NULL || w->cut[a][b]) {
            za_cluster_event_t failed = { .type = ZA_CLUSTER_CONNECT_FAILED,
                                          .err = w->cut[a][b] ? ZA_ETIMEOUT : ZA_EREFUSED,
                                          .address = peer->address };
            post_event(w, a, REFUSE_MS, failed);
            return;
        }
        w->link[a][b] = w->link[b][a] = ++w->links;
        for (uint8_t i = 0; i < 2; i++) {
            const node_t *there = &w->nodes[i == 0 ? b : a];
            za_cluster_event_t up = { .type = ZA_CLUSTER_LINK_UP,
                                      .uid = there->uid,
                                      .name = there->name,
                                      .address = there->address };
            if (!post(w,
                      (packet_t){ .at_ms = w->now_ms + LATENCY_MS,
                                  .to = i == 0 ? a : b,
                                  .from = i == 0 ? b : a,
                                  .link = w->links,
                                  .event = up },
                      NULL)) {
                drop_link(w, a, b, ZA_ECLOSED);
                return;
            }
        }
        return;
    }
}

static void send_to(world_t *w, uint8_t from, const za_effect_t *effect)
{
    int to = node_of(w, effect->uid);
    bool frame = effect->type == ZA_EFFECT_SEND_FRAME;
    bool over_link = frame || effect->over_link;
    if (to < 0 || (over_link && w->link[from][to] == 0) || (!over_link && w->cut[from][to])) {
        return;
    }
    packet_t packet = { .at_ms = w->now_ms + LATENCY_MS,
                        .to = (uint8_t)to,
                        .from = from,
                        .link = over_link ? w->link[from][to] : 0,
                        .event = { .type = frame ? ZA_CLUSTER_FRAME : ZA_CLUSTER_DATAGRAM,
                                   .lane = effect->lane,
                                   .uid = w->nodes[from].uid,
                                   .over_link = over_link,
                                   .size = effect->size } };
    if ((w->count >= SENT_MAX || !post(w, packet, effect->bytes)) && frame) {
        drop_link(w, from, (uint8_t)to, ZA_ECLOSED); // a link loses nothing inside
    }
}

/* ---- effects ---------------------------------------------------------------------------------- */

static void answer_lease(world_t *w, uint8_t at, const za_effect_t *effect)
{
    if (effect->id != 0 && (w->lease_holder == 0 || effect->tag == w->lease_revision)) {
        w->lease_holder = effect->uid;
        w->lease_revision++;
    }
    za_cluster_event_t answer = { .type = ZA_CLUSTER_LEASE,
                                  .err = w->lease_revision == 0 ? ZA_EIO : ZA_OK,
                                  .uid = w->lease_holder,
                                  .tag = w->lease_revision };
    post_event(w, at, LATENCY_MS, answer);
}

static void answer_spawn(world_t *w, uint8_t at, const za_effect_t *effect)
{
    ZA_ASSERT(effect->spawn != NULL && effect->spawn->class_name != NULL);
    za_cluster_event_t started = { .type = ZA_CLUSTER_CHILD_STARTED,
                                   .id = effect->id,
                                   .uid = effect->uid,
                                   .ref = { 0, 1 + effect->id % 8 },
                                   .err = effect->spawn->mailbox % 4 == 3 ? ZA_ENOENT : ZA_OK };
    post_event(w, at, 0, started);
}

/** For the next key of the datagrams. */
static void give_material(world_t *w, uint8_t at)
{
    uint8_t secret[ZA_EPOCH_SECRET_BYTES];
    memset(secret, (int)(w->now_ms / 100 + at), sizeof secret);
    za_cluster_event_t material = { .type = ZA_CLUSTER_KEYS,
                                    .bytes = secret,
                                    .size = sizeof secret };
    post_event(w, at, 1, material);
}

static void stop_node(world_t *w, uint8_t at)
{
    for (uint8_t peer = 0; peer < NODES; peer++) {
        drop_link(w, at, peer, ZA_ECLOSED);
    }
    za_cluster_destroy(w->nodes[at].cluster);
    w->nodes[at].cluster = NULL;
}

static void carry_out(world_t *w, uint8_t at, const za_effect_t *effect)
{
    node_t *node = &w->nodes[at];
    switch (effect->type) {
    case ZA_EFFECT_SEND_DATAGRAM:
    case ZA_EFFECT_SEND_FRAME:
        send_to(w, at, effect);
        break;
    case ZA_EFFECT_CONNECT:
        connect_to(w, at, effect->address);
        break;
    case ZA_EFFECT_CLOSE_LINK:
        close_link(w, at, effect->uid);
        break;
    case ZA_EFFECT_REBORN:
        for (uint8_t other = 0; other < NODES; other++) {
            drop_link(w, at, other, ZA_OK);
        }
        node->uid = effect->uid;
        break;
    case ZA_EFFECT_WANT_KEYS:
        give_material(w, at);
        break;
    case ZA_EFFECT_LEASE:
        answer_lease(w, at, effect);
        break;
    case ZA_EFFECT_SPAWN_LOCAL:
        answer_spawn(w, at, effect);
        break;
    case ZA_EFFECT_WATCH_LOCAL:
    case ZA_EFFECT_LINK_LOCAL:
        node->watchers[effect->id % WATCHERS] = effect->watcher;
        node->watches[effect->id % WATCHERS] = effect->id;
        break;
    default:
        break;
    }
}

static void step(world_t *w, uint8_t at, za_cluster_event_t event)
{
    node_t *node = &w->nodes[at];
    event.now_ms = w->now_ms;
    za_step_t more = ZA_STEP_MORE;
    bool left = false;
    for (int i = 0; more == ZA_STEP_MORE; i++) {
        ZA_ASSERT(i < STEPS_MAX); // it always wants more
        za_effects_reset(w->effects);
        more = za_cluster_step(node->cluster, &event, w->effects);
        for (uint32_t j = 0; j < w->effects->count; j++) {
            const za_effect_t *effect = &w->effects->items[j];
            carry_out(w, at, effect);
            left = left || effect->type == ZA_EFFECT_LEFT;
        }
        event = (za_cluster_event_t){ .type = ZA_CLUSTER_CONTINUE, .now_ms = w->now_ms };
    }
    ZA_ASSERT(za_cluster_uid(node->cluster) == node->uid);
    if (left) {
        stop_node(w, at);
    }
}

/* ---- time ------------------------------------------------------------------------------------- */

static void deliver(world_t *w, uint32_t at)
{
    packet_t packet = w->queue[at];
    w->queue[at].bytes = NULL;
    drop_packet(w, at);
    node_t *to = &w->nodes[packet.to];
    bool late = packet.event.type == ZA_CLUSTER_DATAGRAM && to->uid != packet.uid;
    if (to->cluster != NULL && to->start == packet.start && !late) {
        step(w, packet.to, packet.event);
    }
    free(packet.bytes);
}

/** Sooner than it would; only datagrams overtake. */
static void hurry(world_t *w, uint8_t how)
{
    if (w->count == 0) {
        return;
    }
    uint32_t pick = how % w->count;
    for (uint32_t i = 0; i < pick && w->queue[pick].event.type != ZA_CLUSTER_DATAGRAM; i++) {
        if (w->queue[i].to == w->queue[pick].to && w->queue[i].event.type != ZA_CLUSTER_DATAGRAM) {
            pick = i;
        }
    }
    deliver(w, pick);
}

/** The node whose deadline comes first; -1: none comes until `end_ms`, and no packet does. */
static int next_node(const world_t *w, uint64_t *due_ms)
{
    int first = -1;
    for (int i = 0; i < NODES; i++) {
        if (w->nodes[i].cluster == NULL) {
            continue;
        }
        uint64_t deadline = za_cluster_deadline_ms(w->nodes[i].cluster);
        if (deadline < *due_ms) {
            *due_ms = deadline;
            first = i;
        }
    }
    return first;
}

static void run(world_t *w, uint64_t ms)
{
    uint64_t end_ms = w->now_ms + ms;
    for (; w->turns < TURNS_MAX; w->turns++) {
        uint64_t due_ms = w->count > 0 ? w->queue[0].at_ms : UINT64_MAX;
        int node = next_node(w, &due_ms);
        if (due_ms > end_ms) {
            break;
        }
        w->now_ms = due_ms > w->now_ms ? due_ms : w->now_ms;
        if (node < 0) {
            deliver(w, 0);
        } else {
            step(w, (uint8_t)node, (za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
        }
    }
    ZA_ASSERT(w->turns < TURNS_MAX); // a clock that stands still
    w->now_ms = end_ms;
}

/* ---- what the input does ---------------------------------------------------------------------- */

static void start_node(world_t *w, uint8_t at)
{
    static const char *const seeds[NODES] = { "n0:1", "n1:1", "n2:1" };
    node_t *node = &w->nodes[at];
    w->starts++;
    *node = (node_t){ .start = w->starts };
    memcpy(node->name, seeds[at], 2);
    memcpy(node->address, seeds[at], sizeof "n0:1");
    za_cluster_config_t config = { .cluster = "prod",
                                   .name = node->name,
                                   .address = node->address,
                                   .seeds = seeds,
                                   .seed_count = NODES,
                                   .random_seed = za_mix64(w->starts),
                                   .timing = za_cluster_timing_lan,
                                   .downing = { .strategy = w->strategy },
                                   .registry = { .names_per_node_max = 32, .entries_max = 256 },
                                   .datagrams = true,
                                   .members_max = 32,
                                   .roles = at == 0 ? "a,b" : NULL };
    config.downing.quorum = w->strategy == ZA_DOWNING_STATIC_QUORUM ? 2 : 0;
    ZA_ASSERT(za_cluster_create(&config, w->now_ms, &node->cluster) == ZA_OK);
    node->uid = za_cluster_uid(node->cluster);
    give_material(w, at);
}

static void restart(world_t *w, uint8_t at)
{
    if (w->nodes[at].cluster != NULL) {
        stop_node(w, at);
    }
    start_node(w, at);
}

/** Changes a byte of what is under way, or all behind it. */
static void garble(world_t *w)
{
    packet_t *packet = w->count > 0 ? &w->queue[take(w) % w->count] : NULL;
    uint8_t how = take(w);
    uint32_t at = take(w);
    uint8_t with = take(w);
    if (packet == NULL || packet->bytes == NULL || packet->event.size == 0 ||
        (packet->event.type != ZA_CLUSTER_FRAME && packet->event.type != ZA_CLUSTER_DATAGRAM)) {
        return;
    }
    at %= packet->event.size;
    w->forged = true;
    packet->bytes[at] = with;
    if (how % 4 == 1) {
        packet->event.size = at; // cut
    } else if (how % 4 == 2) {
        for (uint32_t i = at; i < packet->event.size; i++) {
            packet->bytes[i] = take(w);
        }
    }
}

/** A datagram is lost or comes twice; with a frame its link is lost. */
static void lose(world_t *w)
{
    uint8_t how = take(w);
    if (w->count == 0) {
        return;
    }
    packet_t packet = w->queue[how % w->count];
    if (packet.link != 0) {
        drop_link(w, packet.from, packet.to, ZA_ECLOSED);
    } else if (packet.event.type == ZA_CLUSTER_DATAGRAM && (how & 0x80) != 0) {
        packet.at_ms = w->now_ms + how;
        post(w, packet, packet.event.bytes);
    } else if (packet.event.type == ZA_CLUSTER_DATAGRAM) {
        drop_packet(w, how % w->count);
    }
}

static uint32_t take_raw(world_t *w, uint8_t *out)
{
    uint32_t size = (take(w) | (uint32_t)take(w) << 8) % RAW_MAX;
    for (uint32_t i = 0; i < size; i++) {
        out[i] = take(w);
    }
    return size;
}

/** A frame or datagram that the input wrote, of a member or of a stranger. */
static void forge(world_t *w, uint8_t to)
{
    uint8_t raw[RAW_MAX];
    uint8_t how = take(w);
    uint32_t size = take_raw(w, raw);
    w->forged = true;
    step(
        w, to,
        (za_cluster_event_t){ .type = how & 1 ? ZA_CLUSTER_FRAME : ZA_CLUSTER_DATAGRAM,
                              .lane = how & 2 ? ZA_LANE_SYSTEM : ZA_LANE_CONTROL,
                              .uid = how & 4 ? 77 : w->nodes[(to + 1 + (how >> 3) % 2) % NODES].uid,
                              .over_link = (how & 32) != 0,
                              .bytes = raw,
                              .size = size });
}

/** One that a neighbour hands on, of whom it is not, or for whom: whatever the input says. */
static void forge_relayed(world_t *w, uint8_t to)
{
    uint8_t bytes[RAW_MAX + ZA_RELAY_HEAD_MAX];
    uint8_t raw[RAW_MAX];
    uint8_t who = take(w);
    uint32_t size = take_raw(w, raw);
    uint64_t uids[4] = { w->nodes[0].uid, w->nodes[1].uid, w->nodes[2].uid, 77 };
    uint8_t *at = za_relay_head_put(bytes, uids[who & 3], uids[who >> 2 & 3], size);
    memcpy(at, raw, size);
    w->forged = true;
    step(w, to,
         (za_cluster_event_t){ .type = ZA_CLUSTER_FRAME,
                               .lane = ZA_LANE_CONTROL,
                               .uid = uids[who >> 4 & 3],
                               .bytes = bytes,
                               .size = (uint32_t)(at - bytes) + size });
}

static void set_cut(world_t *w, uint8_t how)
{
    uint8_t a = how % NODES;
    uint8_t b = (a + 1) % NODES;
    bool cut = (how & 0x10) != 0;
    w->cut[a][b] = w->cut[b][a] = cut;
    if (cut) {
        drop_link(w, a, b, how & 0x20 ? ZA_ECLOSED : ZA_ETIMEOUT);
    }
}

/* ---- what actors and operators ask ------------------------------------------------------------ */

static void name_something(world_t *w, uint8_t at)
{
    uint8_t which = take(w);
    char name[] = { 'k', (char)('a' + which % 8), '\0' };
    uint8_t meta[4] = { which };
    step(w, at,
         (za_cluster_event_t){ .type = which & 0x80 ? ZA_CLUSTER_UNREGISTER : ZA_CLUSTER_REGISTER,
                               .name = name,
                               .kind = which & 0x40 ? ZA_NAME_GROUP : ZA_NAME_UNIQUE,
                               .actor = 1 + (which >> 3) % 4,
                               .prio = which >> 5 & 1,
                               .bytes = meta,
                               .size = sizeof meta,
                               .wall_ms = UINT64_C(1000000) + w->now_ms });
}

static void watch_something(world_t *w, uint8_t at)
{
    static const za_cluster_event_type_t types[] = { ZA_CLUSTER_WATCH, ZA_CLUSTER_LINK,
                                                     ZA_CLUSTER_UNWATCH, ZA_CLUSTER_UNLINK };
    uint8_t how = take(w);
    za_cluster_event_type_t type = types[how % 4];
    bool makes = type == ZA_CLUSTER_WATCH || type == ZA_CLUSTER_LINK;
    uint64_t uid = how & 0x80 ? 77 : w->nodes[(at + 1 + (how >> 6) % 2) % NODES].uid;
    uint64_t id = makes ? ++w->watches : 1 + (how >> 4) % 4;
    step(w, at,
         (za_cluster_event_t){ .type = type,
                               .watcher = { 0, 1 + (how >> 2) % 4 },
                               .id = id,
                               .ref = { uid, 1 + (how >> 4) % 4 },
                               .reason =
                                   how & 0x40 ? za_Reason_REASON_STOPPED : za_Reason_REASON_NONE });
}

static void end_something(world_t *w, uint8_t at)
{
    node_t *node = &w->nodes[at];
    uint8_t how = take(w);
    za_cluster_event_t event = { .type = ZA_CLUSTER_ACTOR_STOPPED,
                                 .actor = 1 + how % 8,
                                 .ref = { 0, 1 + how % 8 },
                                 .reason = za_Reason_REASON_STOPPED };
    if (how & 0x80) {
        event.type = ZA_CLUSTER_LOCAL_DOWN;
        event.watcher = node->watchers[how % WATCHERS];
        event.id = node->watches[how % WATCHERS];
    }
    if (event.type == ZA_CLUSTER_ACTOR_STOPPED || event.watcher.node != 0) {
        step(w, at, event);
    }
}

static void spawn_something(world_t *w, uint8_t at)
{
    uint8_t how = take(w);
    uint8_t args[3] = { how, how, how };
    za_spawn_spec_t spec = { .class_name = "x",
                             .name = how & 1 ? "child" : NULL,
                             .parent = 1 + (how >> 1) % 4,
                             .mailbox = take(w),
                             .restart = how >> 3 & 1,
                             .max_restarts = 3,
                             .within_ms = 1000,
                             .on_node_down = how >> 4 & 1,
                             .args_type_id = 5,
                             .args = args,
                             .args_bytes = sizeof args };
    uint64_t uid = how & 0x80 ? 77 : w->nodes[(how >> 5) % NODES].uid;
    za_cluster_event_t event = { .type = ZA_CLUSTER_SPAWN,
                                 .id = ++w->requests,
                                 .actor = spec.parent,
                                 .uid = uid,
                                 .tag = w->requests,
                                 .spawn = &spec };
    if (how & 0x40) {
        event = (za_cluster_event_t){ .type = ZA_CLUSTER_STOP_CHILD,
                                      .actor = spec.parent,
                                      .ref = { uid, 1 + how % 8 } };
    }
    step(w, at, event);
}

static void operate(world_t *w, uint8_t at)
{
    static const char list[] = "n0:1\nn2:1\nx\n";
    uint8_t how = take(w);
    const node_t *other = &w->nodes[(at + 1 + how % 2) % NODES];
    za_cluster_event_t event = { .type = ZA_CLUSTER_WANT_LINK, .uid = other->uid };
    switch (how >> 4 & 7) {
    case 0:
        event.type = ZA_CLUSTER_LEAVE;
        break;
    case 1:
        event.type = ZA_CLUSTER_DOWN_NODE;
        event.name = other->name;
        break;
    case 2:
        event.type = ZA_CLUSTER_ROTATE_KEYS;
        break;
    case 3:
        event.type = ZA_CLUSTER_SEEDS;
        event.bytes = (const uint8_t *)list;
        event.size = sizeof list - 1;
        event.id = at == 0;
        break;
    case 4:
        restart(w, at);
        return;
    default:
        break;
    }
    step(w, at, event);
}

static bool look_at_member(const za_member_info_t *info, void *context)
{
    ZA_ASSERT(info->uid != 0 && info->name != NULL && info->address != NULL);
    (*(uint32_t *)context)++;
    return true;
}

static bool look_at_name(const char *name, za_ref_t ref, void *context)
{
    za_name_answer_t answer;
    ZA_ASSERT(za_cluster_lookup(context, name, &answer) == ZA_OK && answer.ref.actor == ref.actor);
    return true;
}

static bool look_at_group(const char *group, za_ref_t ref, const uint8_t *meta, uint32_t meta_bytes,
                          void *context)
{
    ZA_ASSERT(ref.actor != 0 && strlen(group) > 0 && (meta != NULL || meta_bytes == 0));
    (*(uint32_t *)context)++;
    return true;
}

static bool look_at_owner(const za_owner_info_t *info, void *context)
{
    ZA_ASSERT(info->uid != 0);
    *(uint32_t *)context += info->entries;
    return true;
}

/** As tools, metrics and oracles do: what is told fits together. */
static void look(const node_t *node)
{
    uint32_t members = 0;
    uint32_t entries = 0;
    uint32_t in_groups = 0;
    za_cluster_each_member(node->cluster, look_at_member, &members);
    za_cluster_each_name(node->cluster, look_at_name, node->cluster);
    za_cluster_each_group_member(node->cluster, NULL, look_at_group, &in_groups);
    za_cluster_each_owner(node->cluster, look_at_owner, &entries);
    za_downing_info_t downing;
    za_cluster_downing(node->cluster, &downing);
    ZA_ASSERT(members > 0 && in_groups <= entries);
}

static void act(world_t *w)
{
    uint8_t what = take(w);
    uint8_t at = (what >> 4) % NODES;
    if (w->nodes[at].cluster == NULL && what % 16 >= 5) {
        start_node(w, at);
    }
    switch (what % 16) {
    case 0:
    case 1:
        run(w, take(w));
        break;
    case 2:
        run(w, take(w) * UINT64_C(40));
        break;
    case 3:
        garble(w);
        break;
    case 4:
        lose(w);
        break;
    case 5:
        forge(w, at);
        break;
    case 6:
        forge_relayed(w, at);
        break;
    case 7:
        set_cut(w, take(w));
        break;
    case 8:
        name_something(w, at);
        break;
    case 9:
        watch_something(w, at);
        break;
    case 10:
        end_something(w, at);
        break;
    case 11:
        spawn_something(w, at);
        break;
    case 12:
        operate(w, at);
        break;
    case 13:
        if (w->nodes[at].cluster != NULL) {
            look(&w->nodes[at]);
        }
        break;
    default:
        hurry(w, take(w));
        break;
    }
}

/** Nobody lies, nothing is cut: whoever is left comes to the same view and the same names. */
static void settle(world_t *w)
{
    memset(w->cut, 0, sizeof w->cut);
    w->turns = 0;
    run(w, HEAL_MS);
    uint64_t view = 0;
    uint64_t names = 0;
    for (int i = 0; i < NODES; i++) {
        const za_cluster_t *cluster = w->nodes[i].cluster;
        if (cluster == NULL) {
            continue;
        }
        za_cluster_counters_t counters;
        za_cluster_counters(cluster, &counters);
        ZA_ASSERT(counters.frames_bad == 0 && counters.datagrams_bad == 0);
        ZA_ASSERT(counters.registry_divergence == 0);
        ZA_ASSERT(view == 0 || view == za_cluster_view_hash(cluster));
        ZA_ASSERT(names == 0 || names == za_cluster_registry_hash(cluster));
        view = za_cluster_view_hash(cluster);
        names = za_cluster_registry_hash(cluster);
    }
}

/** A byte for the strategy, then what happens. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static za_effects_t effects; // large, and empty between two inputs
    static const za_downing_strategy_t strategies[] = {
        ZA_DOWNING_NONE,          ZA_DOWNING_NONE,          ZA_DOWNING_NONE,
        ZA_DOWNING_KEEP_MAJORITY, ZA_DOWNING_STATIC_QUORUM, ZA_DOWNING_KEEP_OLDEST,
        ZA_DOWNING_LEASE,         ZA_DOWNING_DOWN_ALL,
    };
    world_t *w = calloc(1, sizeof *w);
    ZA_ASSERT(w != NULL);
    w->effects = &effects;
    w->at = data;
    w->end = data + size;
    w->now_ms = 1000;
    w->strategy = strategies[take(w) % 8];
    for (uint8_t i = 0; i < NODES; i++) {
        start_node(w, i);
    }
    run(w, 2000);
    while (w->at < w->end && w->now_ms < TIME_MAX_MS) {
        act(w);
    }
    if (!w->forged && w->strategy == ZA_DOWNING_NONE) {
        settle(w);
    }
    while (w->count > 0) {
        drop_packet(w, 0);
    }
    for (uint8_t i = 0; i < NODES; i++) {
        za_cluster_destroy(w->nodes[i].cluster);
    }
    free(w);
    return 0;
}
