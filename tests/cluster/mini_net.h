/**
 * Mini net: several memberships in one test, joined by a seeded virtual network with latency, loss,
 * duplication, partitions, crashes, restarts and stalls. It is their driver: it carries out their
 * effects, and checks after every step what must hold in every step.
 *
 * Links are as TLS connections: frames in order, one link per pair, FIN after a crash, refused
 * connections to a dead process, silence across a cut.
 */
#pragma once

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "cluster/membership.h"
#include "support/za_test.h"

enum {
    MINI_NODES_MAX = 96,
    MINI_SEEN_MAX = 512,
    MINI_SILENT_MS = 3000, // until a cut connection attempt or a stuck link is given up
};

typedef enum mini_kind {
    MINI_TICK,
    MINI_DATAGRAM,
    MINI_FRAME,
    MINI_ARRIVE, // a connection attempt reaches the address
    MINI_LINK_UP,
    MINI_LINK_DOWN,
    MINI_FAILED,
    MINI_BREAK, // both ends give a stuck link up
} mini_kind_t;

typedef struct mini_event {
    uint64_t at_ms, order;
    mini_kind_t kind;
    uint32_t to, from;
    uint32_t process; // of `to` (of `from` for ARRIVE)
    uint64_t link;
    za_err_t err;
    uint32_t size;
    uint8_t *bytes;
} mini_event_t;

typedef struct mini_link {
    uint64_t id;  // 0: none
    bool open[2]; // by the end with the lower index, the higher
    uint64_t uid[2];
    uint64_t last_ms[2]; // latest delivery to that end
    bool stuck;
} mini_link_t;

typedef struct mini_seen {
    uint64_t uid;
    za_member_state_t state;
} mini_seen_t;

typedef struct mini_node {
    za_membership_t *membership;
    char name[16];
    char address[24];
    uint32_t process; // counts its starts
    bool paused, left;
    uint64_t paused_until;
    uint64_t tick_ms;
    uint32_t seen_count;
    mini_seen_t seen[MINI_SEEN_MAX];
    uint32_t refused, reborn, left_effects;
    za_err_t denies; // what whoever connects to it gets; ZA_OK: a link
    uint32_t lines;  // of its log
    char line[512];  // the last one
    uint32_t held_count, held_capacity;
    mini_event_t *held; // arrived while it was paused
} mini_node_t;

typedef struct mini_net {
    uint64_t seed, now_ms, order, link_ids, hash, steps;
    za_rng_t rng;
    za_cluster_timing_t timing;
    uint32_t count;
    uint32_t loss_permille, duplicate_permille, latency_ms;
    uint64_t marks[ZA_MARK_COUNT];
    uint64_t bytes_sent, datagrams_sent;
    const char *seeds[3];
    uint32_t seed_count;
    bool discovers;
    mini_node_t nodes[MINI_NODES_MAX];
    bool cut[MINI_NODES_MAX][MINI_NODES_MAX];
    bool pending[MINI_NODES_MAX][MINI_NODES_MAX];
    mini_link_t links[MINI_NODES_MAX][MINI_NODES_MAX]; // [lower][higher]
    uint32_t heap_count, heap_capacity;
    mini_event_t *heap;
    za_effects_t effects;
} mini_net_t;

/* ---- events in order of (time, birth) ------------------------------------------------------- */

static inline bool mini_before(const mini_event_t *a, const mini_event_t *b)
{
    return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->order < b->order);
}

static inline void mini_push(mini_net_t *net, mini_event_t event)
{
    if (net->heap_count == net->heap_capacity) {
        net->heap_capacity = net->heap_capacity == 0 ? 1024 : net->heap_capacity * 2;
        net->heap = realloc(net->heap, net->heap_capacity * sizeof *net->heap);
        cr_assert(net->heap != NULL, "out of memory");
    }
    event.order = ++net->order;
    uint32_t at = net->heap_count++;
    while (at > 0 && mini_before(&event, &net->heap[(at - 1) / 2])) {
        net->heap[at] = net->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    net->heap[at] = event;
}

static inline mini_event_t mini_pop(mini_net_t *net)
{
    mini_event_t first = net->heap[0];
    mini_event_t last = net->heap[--net->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= net->heap_count) {
            break;
        }
        if (child + 1 < net->heap_count && mini_before(&net->heap[child + 1], &net->heap[child])) {
            child++;
        }
        if (!mini_before(&net->heap[child], &last)) {
            break;
        }
        net->heap[at] = net->heap[child];
        at = child;
    }
    net->heap[at] = last;
    return first;
}

/* ---- links ---------------------------------------------------------------------------------- */

static inline mini_link_t *mini_link(mini_net_t *net, uint32_t a, uint32_t b)
{
    return a < b ? &net->links[a][b] : &net->links[b][a];
}

static inline uint64_t mini_latency(mini_net_t *net)
{
    uint64_t jitter = za_rng_below(&net->rng, net->latency_ms + 1);
    return 1 + jitter;
}

static inline bool mini_running(const mini_net_t *net, uint32_t node)
{
    return net->nodes[node].membership != NULL;
}

/** In order behind all that was sent to that end before. */
static inline uint64_t mini_in_order(mini_net_t *net, mini_link_t *link, int end)
{
    uint64_t at_ms = net->now_ms + mini_latency(net);
    at_ms = at_ms > link->last_ms[end] ? at_ms : link->last_ms[end];
    link->last_ms[end] = at_ms;
    return at_ms;
}

static inline void mini_link_event(mini_net_t *net, mini_kind_t kind, uint32_t to, uint32_t from,
                                   uint64_t at_ms, za_err_t err)
{
    mini_push(net, (mini_event_t){ .at_ms = at_ms,
                                   .kind = kind,
                                   .to = to,
                                   .from = from,
                                   .process = net->nodes[to].process,
                                   .link = mini_link(net, to, from)->id,
                                   .err = err });
}

/** `node` closes its end; the peer hears of it in order, or of silence across a cut. */
static inline void mini_close(mini_net_t *net, uint32_t node, uint32_t peer, za_err_t err)
{
    mini_link_t *link = mini_link(net, node, peer);
    int end = node < peer ? 0 : 1;
    if (link->id == 0 || !link->open[end]) {
        return;
    }
    link->open[end] = false;
    if (!link->open[1 - end]) {
        link->id = 0;
        return;
    }
    bool cut = net->cut[node][peer];
    uint64_t at_ms = mini_in_order(net, link, 1 - end) + (cut ? MINI_SILENT_MS : 0);
    link->last_ms[1 - end] = at_ms;
    mini_link_event(net, MINI_LINK_DOWN, peer, node, at_ms, cut ? ZA_ETIMEOUT : err);
}

static inline void mini_close_all(mini_net_t *net, uint32_t node, za_err_t err)
{
    for (uint32_t peer = 0; peer < net->count; peer++) {
        if (peer != node) {
            mini_close(net, node, peer, err);
        }
    }
}

static inline uint32_t mini_by_address(const mini_net_t *net, const char *address)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (strcmp(net->nodes[i].address, address) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static inline void mini_connect(mini_net_t *net, uint32_t node, const char *address)
{
    uint32_t peer = mini_by_address(net, address);
    if (peer == UINT32_MAX || peer == node || net->pending[node][peer]) {
        return;
    }
    const mini_link_t *link = mini_link(net, node, peer);
    if (link->id != 0 && link->open[node < peer ? 0 : 1]) {
        return;
    }
    net->pending[node][peer] = true;
    mini_push(net, (mini_event_t){ .at_ms = net->now_ms + mini_latency(net),
                                   .kind = MINI_ARRIVE,
                                   .to = peer,
                                   .from = node,
                                   .process = net->nodes[node].process });
}

static inline void mini_connect_fails(mini_net_t *net, const mini_event_t *event, za_err_t err)
{
    uint64_t wait_ms = err == ZA_ETIMEOUT ? MINI_SILENT_MS : mini_latency(net);
    mini_push(net, (mini_event_t){ .at_ms = net->now_ms + wait_ms,
                                   .kind = MINI_FAILED,
                                   .to = event->from,
                                   .from = event->to,
                                   .process = event->process,
                                   .err = err });
}

static inline void mini_arrive(mini_net_t *net, mini_event_t event)
{
    uint32_t a = event.from;
    uint32_t b = event.to;
    if (!mini_running(net, a) || net->nodes[a].process != event.process) {
        return;
    }
    if (net->cut[a][b] || (mini_running(net, b) && net->nodes[b].paused)) {
        mini_connect_fails(net, &event, ZA_ETIMEOUT);
        return;
    }
    if (!mini_running(net, b)) {
        mini_connect_fails(net, &event, ZA_EREFUSED);
        return;
    }
    if (net->nodes[b].denies != ZA_OK) {
        mini_connect_fails(net, &event, net->nodes[b].denies);
        return;
    }
    mini_link_t *link = mini_link(net, a, b);
    if (link->id != 0 && link->open[0] && link->open[1]) {
        net->pending[a][b] = false;
        return;
    }
    if (link->id != 0) {
        event.at_ms = net->now_ms + 5; // the old one is not quite gone
        mini_push(net, event);
        return;
    }
    net->pending[a][b] = false;
    uint32_t low = a < b ? a : b;
    uint32_t high = a < b ? b : a;
    *link = (mini_link_t){
        .id = ++net->link_ids,
        .open = { true, true },
        .uid = { za_membership_uid(net->nodes[low].membership),
                 za_membership_uid(net->nodes[high].membership) },
    };
    mini_link_event(net, MINI_LINK_UP, b, a, mini_in_order(net, link, b < a ? 0 : 1), ZA_OK);
    mini_link_event(net, MINI_LINK_UP, a, b, mini_in_order(net, link, a < b ? 0 : 1), ZA_OK);
}

static inline void mini_send(mini_net_t *net, uint32_t node, const za_effect_t *effect)
{
    bool frame = effect->type == ZA_EFFECT_SEND_FRAME;
    for (uint32_t peer = 0; peer < net->count; peer++) {
        mini_link_t *link = mini_link(net, node, peer);
        int end = node < peer ? 0 : 1;
        if (peer == node || link->id == 0 || !link->open[end] ||
            link->uid[1 - end] != effect->uid) {
            continue;
        }
        net->bytes_sent += effect->size;
        net->datagrams_sent += frame ? 0 : 1;
        bool lost = !frame && za_rng_below(&net->rng, 1000) < net->loss_permille;
        bool twice = !frame && za_rng_below(&net->rng, 1000) < net->duplicate_permille;
        if (net->cut[node][peer]) {
            if (frame && !link->stuck) {
                link->stuck = true; // what TCP cannot deliver breaks the connection
                mini_link_event(net, MINI_BREAK, peer, node, net->now_ms + MINI_SILENT_MS,
                                ZA_ETIMEOUT);
            }
            return;
        }
        for (int copy = lost ? 2 : twice ? 0 : 1; copy < 2; copy++) {
            uint64_t at_ms =
                frame ? mini_in_order(net, link, 1 - end) : net->now_ms + mini_latency(net);
            at_ms = at_ms > link->last_ms[1 - end] || frame ? at_ms : link->last_ms[1 - end];
            uint8_t *bytes = malloc(effect->size);
            cr_assert(bytes != NULL, "out of memory");
            memcpy(bytes, effect->bytes, effect->size);
            mini_push(net, (mini_event_t){ .at_ms = at_ms,
                                           .kind = frame ? MINI_FRAME : MINI_DATAGRAM,
                                           .to = peer,
                                           .from = node,
                                           .process = net->nodes[peer].process,
                                           .link = link->id,
                                           .size = effect->size,
                                           .bytes = bytes });
        }
        return;
    }
}

/* ---- what must hold in every step ------------------------------------------------------------ */

static inline bool mini_is_terminal(za_member_state_t state)
{
    return state == ZA_MEMBER_LEFT || state == ZA_MEMBER_DOWN;
}

/** Each change once; the end is final. */
static inline void mini_saw(mini_net_t *net, mini_node_t *node, const za_effect_t *effect)
{
    mini_seen_t *seen = NULL;
    for (uint32_t i = 0; i < node->seen_count && seen == NULL; i++) {
        seen = node->seen[i].uid == effect->uid ? &node->seen[i] : NULL;
    }
    if (seen == NULL) {
        cr_assert(node->seen_count < MINI_SEEN_MAX, "seed %" PRIu64 ": too many uids", net->seed);
        node->seen[node->seen_count++] = (mini_seen_t){ effect->uid, effect->state };
        return;
    }
    cr_assert(seen->state != effect->state,
              "seed %" PRIu64 " at %" PRIu64 ": %s told %s is %s twice", net->seed, net->now_ms,
              node->name, effect->name, za_member_state_name(effect->state));
    cr_assert(!mini_is_terminal(seen->state),
              "seed %" PRIu64 " at %" PRIu64 ": %s saw %s %016" PRIx64 " rise from %s to %s",
              net->seed, net->now_ms, node->name, effect->name, effect->uid,
              za_member_state_name(seen->state), za_member_state_name(effect->state));
    seen->state = effect->state;
}

/** A rebirth forgets whom the old side held for down: it joins the view of the other side. */
static inline void mini_forget(mini_node_t *node, uint64_t was)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < node->seen_count; i++) {
        if (node->seen[i].state != ZA_MEMBER_DOWN && node->seen[i].uid != was) {
            node->seen[kept++] = node->seen[i];
        }
    }
    node->seen_count = kept;
}

static inline void mini_fold(mini_net_t *net, const za_effect_t *effect)
{
    net->hash = za_mix64(net->hash ^ net->now_ms);
    net->hash = za_mix64(net->hash ^ ((uint64_t)effect->type << 32 | (uint64_t)effect->size));
    net->hash = za_mix64(net->hash ^ effect->uid);
    if (effect->bytes != NULL) {
        net->hash = za_fnv64(net->hash, effect->bytes, effect->size);
    }
}

static inline void mini_carry_out(mini_net_t *net, uint32_t at, const za_effect_t *effect)
{
    mini_node_t *node = &net->nodes[at];
    mini_fold(net, effect);
    if (getenv("MINI_TRACE") != NULL && effect->type >= ZA_EFFECT_CONNECT &&
        effect->type <= ZA_EFFECT_REFUSED) {
        printf("%8" PRIu64 " %s: effect %d %016" PRIx64 " %s %s %s\n", net->now_ms, node->name,
               (int)effect->type, effect->uid, effect->name != NULL ? effect->name : "",
               effect->address != NULL ? effect->address : "",
               effect->type == ZA_EFFECT_MEMBER ? za_member_state_name(effect->state) : "");
    }
    switch (effect->type) {
    case ZA_EFFECT_SEND_DATAGRAM:
        cr_assert(effect->size <= ZA_DATAGRAM_BYTES_MAX, "datagram of %u bytes", effect->size);
        mini_send(net, at, effect);
        break;
    case ZA_EFFECT_SEND_FRAME:
        cr_assert(effect->size <= ZA_FRAME_BYTES_MAX && effect->bytes[0] == ZA_MEMBERSHIP_TAG,
                  "frame of %u bytes", effect->size);
        mini_send(net, at, effect);
        break;
    case ZA_EFFECT_CONNECT:
        mini_connect(net, at, effect->address);
        break;
    case ZA_EFFECT_CLOSE_LINK:
        for (uint32_t peer = 0; peer < net->count; peer++) {
            if (peer != at && mini_link(net, at, peer)->id != 0 &&
                mini_link(net, at, peer)->uid[at < peer ? 1 : 0] == effect->uid) {
                mini_close(net, at, peer, ZA_OK);
            }
        }
        break;
    case ZA_EFFECT_MEMBER:
        mini_saw(net, node, effect);
        break;
    case ZA_EFFECT_REBORN:
        mini_close_all(net, at, ZA_OK);
        mini_forget(node, effect->was);
        node->reborn++;
        break;
    case ZA_EFFECT_LEFT:
        node->left = true;
        node->left_effects++;
        break;
    case ZA_EFFECT_REFUSED:
        node->refused++;
        break;
    case ZA_EFFECT_LOG:
        node->lines++;
        snprintf(node->line, sizeof node->line, "%s", effect->name);
        break;
    case ZA_EFFECT_MARK:
        net->marks[effect->mark]++;
        break;
    default:
        break;
    }
}

static inline void mini_step(mini_net_t *net, uint32_t at, za_cluster_event_t event)
{
    mini_node_t *node = &net->nodes[at];
    event.now_ms = net->now_ms;
    za_step_t step;
    do {
        za_effects_reset(&net->effects);
        step = za_membership_step(node->membership, &event, &net->effects);
        net->steps++;
        for (uint32_t i = 0; i < net->effects.count; i++) {
            mini_carry_out(net, at, &net->effects.items[i]);
        }
        event.type = ZA_CLUSTER_CONTINUE;
    } while (step == ZA_STEP_MORE);
    uint64_t deadline_ms = za_membership_deadline_ms(node->membership);
    if (deadline_ms != UINT64_MAX && deadline_ms != node->tick_ms) {
        node->tick_ms = deadline_ms;
        mini_push(net,
                  (mini_event_t){ .at_ms = deadline_ms > net->now_ms ? deadline_ms : net->now_ms,
                                  .kind = MINI_TICK,
                                  .to = at,
                                  .process = node->process,
                                  .link = deadline_ms });
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static inline void mini_deliver(mini_net_t *net, const mini_event_t *event)
{
    mini_node_t *node = &net->nodes[event->to];
    mini_node_t *peer = &net->nodes[event->from];
    mini_link_t *link = event->to == event->from ? NULL : mini_link(net, event->to, event->from);
    int end = event->to < event->from ? 0 : 1;
    bool live = link != NULL && link->id != 0 && link->id == event->link && link->open[end];
    za_cluster_event_t in = { .lane = ZA_LANE_CONTROL };
    switch (event->kind) {
    case MINI_DATAGRAM:
    case MINI_FRAME:
        if (!live) {
            return;
        }
        in.type = event->kind == MINI_FRAME ? ZA_CLUSTER_FRAME : ZA_CLUSTER_DATAGRAM;
        in.bytes = event->bytes;
        in.size = event->size;
        break;
    case MINI_LINK_UP:
        if (!live) {
            return;
        }
        in.type = ZA_CLUSTER_LINK_UP;
        in.name = peer->name;
        in.address = peer->address;
        break;
    case MINI_LINK_DOWN:
        if (!live) {
            return;
        }
        in.type = ZA_CLUSTER_LINK_DOWN;
        in.err = event->err;
        in.uid = link->uid[1 - end];
        link->open[end] = false;
        link->id = link->open[1 - end] ? link->id : 0;
        mini_step(net, event->to, in);
        return;
    case MINI_FAILED:
        net->pending[event->to][event->from] = false;
        in.type = ZA_CLUSTER_CONNECT_FAILED;
        in.err = event->err;
        in.address = peer->address;
        mini_step(net, event->to, in);
        return;
    default:
        return;
    }
    in.uid = link->uid[1 - end];
    mini_step(net, event->to, in);
    (void)node;
}

static inline void mini_hold(mini_node_t *node, const mini_event_t *event)
{
    if (node->held_count == node->held_capacity) {
        node->held_capacity = node->held_capacity == 0 ? 64 : node->held_capacity * 2;
        node->held = realloc(node->held, node->held_capacity * sizeof *node->held);
        cr_assert(node->held != NULL, "out of memory");
    }
    node->held[node->held_count++] = *event;
}

static inline void mini_break(mini_net_t *net, const mini_event_t *event)
{
    mini_link_t *link = mini_link(net, event->to, event->from);
    if (link->id != event->link || link->id == 0) {
        return;
    }
    mini_link_event(net, MINI_LINK_DOWN, event->to, event->from, net->now_ms, ZA_ETIMEOUT);
    mini_link_event(net, MINI_LINK_DOWN, event->from, event->to, net->now_ms, ZA_ETIMEOUT);
}

static inline void mini_handle(mini_net_t *net, mini_event_t *event)
{
    mini_node_t *node = &net->nodes[event->to];
    if (event->kind == MINI_ARRIVE) {
        mini_arrive(net, *event);
        return;
    }
    if (event->kind == MINI_BREAK) {
        mini_break(net, event);
        return;
    }
    if (node->membership == NULL || node->process != event->process) {
        return;
    }
    if (node->paused) {
        if (event->kind != MINI_TICK) {
            mini_hold(node, event);
            event->bytes = NULL;
        }
        return;
    }
    if (event->kind != MINI_TICK) {
        mini_deliver(net, event);
    } else if (event->link == node->tick_ms) {
        node->tick_ms = UINT64_MAX;
        mini_step(net, event->to, (za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
    }
}

static inline void mini_run(mini_net_t *net, uint64_t for_ms)
{
    uint64_t end_ms = net->now_ms + for_ms;
    while (net->heap_count > 0 && net->heap[0].at_ms <= end_ms) {
        mini_event_t event = mini_pop(net);
        net->now_ms = event.at_ms;
        mini_handle(net, &event);
        free(event.bytes);
    }
    net->now_ms = end_ms;
}

/* ---- faults ---------------------------------------------------------------------------------- */

static inline void mini_start(mini_net_t *net, uint32_t at)
{
    mini_node_t *node = &net->nodes[at];
    cr_assert(node->membership == NULL, "it runs already");
    node->process++;
    node->paused = false;
    node->left = false;
    node->seen_count = 0;
    node->tick_ms = UINT64_MAX;
    uint64_t seed = za_rng_next(&net->rng);
    for (uint32_t i = 0; i < net->count; i++) {
        net->pending[at][i] = false;
    }
    za_cluster_config_t config = { .cluster = "mini",
                                   .name = node->name,
                                   .address = node->address,
                                   .seeds = net->seeds,
                                   .seed_count = net->seed_count,
                                   .discovers = net->discovers,
                                   .random_seed = seed,
                                   .timing = net->timing };
    za_err_t err = za_membership_create(&config, net->now_ms, &node->membership);
    cr_assert(err == ZA_OK, "create: %s", za_err_name(err));
    mini_step(net, at, (za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
}

static inline void mini_crash(mini_net_t *net, uint32_t at)
{
    mini_node_t *node = &net->nodes[at];
    mini_close_all(net, at, ZA_ECLOSED);
    za_membership_destroy(node->membership);
    node->membership = NULL;
    node->paused = false;
    for (uint32_t i = 0; i < node->held_count; i++) {
        free(node->held[i].bytes);
    }
    node->held_count = 0;
}

static inline void mini_pause(mini_net_t *net, uint32_t at)
{
    net->nodes[at].paused = true;
}

/** Input before timers, as the driver's contract says. */
static inline void mini_resume(mini_net_t *net, uint32_t at)
{
    mini_node_t *node = &net->nodes[at];
    if (!node->paused) {
        return;
    }
    node->paused = false;
    for (uint32_t i = 0; i < node->held_count; i++) {
        mini_deliver(net, &node->held[i]);
        free(node->held[i].bytes);
    }
    node->held_count = 0;
    node->tick_ms = UINT64_MAX;
    mini_step(net, at, (za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
}

static inline void mini_cut(mini_net_t *net, uint32_t a, uint32_t b, bool cut)
{
    net->cut[a][b] = cut;
    net->cut[b][a] = cut;
}

/** Nodes below `border` on one side, the rest on the other. */
static inline void mini_split(mini_net_t *net, uint32_t border, bool cut)
{
    for (uint32_t a = 0; a < border; a++) {
        for (uint32_t b = border; b < net->count; b++) {
            mini_cut(net, a, b, cut);
        }
    }
}

static inline void mini_heal(mini_net_t *net)
{
    memset(net->cut, 0, sizeof net->cut);
    net->loss_permille = 0;
    net->duplicate_permille = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->nodes[i].membership == NULL && !net->nodes[i].left) {
            mini_start(net, i);
        } else if (net->nodes[i].membership != NULL) {
            mini_resume(net, i);
        }
    }
}

/* ---- the whole -------------------------------------------------------------------------------- */

static inline mini_net_t *mini_create(uint64_t seed, uint32_t count, za_cluster_timing_t timing)
{
    mini_net_t *net = calloc(1, sizeof *net);
    cr_assert(net != NULL && count <= MINI_NODES_MAX, "out of memory");
    net->seed = seed;
    net->timing = timing;
    net->count = count;
    net->now_ms = 1000;
    net->latency_ms = 4;
    za_rng_init(&net->rng, seed);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(net->nodes[i].name, sizeof net->nodes[i].name, "n%u", i);
        snprintf(net->nodes[i].address, sizeof net->nodes[i].address, "h%u:7464", i);
        net->nodes[i].tick_ms = UINT64_MAX;
    }
    net->seed_count = count < 2 ? count : 2;
    for (uint32_t i = 0; i < net->seed_count; i++) {
        net->seeds[i] = net->nodes[i].address;
    }
    return net;
}

static inline void mini_start_all(mini_net_t *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        mini_start(net, i);
    }
}

static inline void mini_destroy(mini_net_t *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->nodes[i].membership != NULL) {
            mini_crash(net, i);
        }
        free(net->nodes[i].held);
    }
    for (uint32_t i = 0; i < net->heap_count; i++) {
        free(net->heap[i].bytes);
    }
    free(net->heap);
    free(net);
}

static inline uint64_t mini_uid(const mini_net_t *net, uint32_t at)
{
    return za_membership_uid(net->nodes[at].membership);
}

/** How `observer` sees the uid; JOINING if it does not know it. */
static inline za_member_state_t mini_state(const mini_net_t *net, uint32_t observer, uint64_t uid)
{
    za_member_info_t info;
    bool known = za_membership_find(net->nodes[observer].membership, uid, &info);
    return known ? info.state : ZA_MEMBER_JOINING;
}

static inline bool mini_all_see(const mini_net_t *net, uint64_t uid, za_member_state_t state)
{
    for (uint32_t i = 0; i < net->count; i++) {
        const mini_node_t *node = &net->nodes[i];
        if (node->membership != NULL && !node->paused && !node->left && mini_uid(net, i) != uid &&
            mini_state(net, i, uid) != state) {
            return false;
        }
    }
    return true;
}

/** One view everywhere: all who run are up for all, and nobody else is. */
static inline bool mini_converged(const mini_net_t *net)
{
    uint32_t running = 0;
    uint64_t hash = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        const mini_node_t *node = &net->nodes[i];
        if (node->membership == NULL || node->left) {
            continue;
        }
        uint64_t view = za_membership_view_hash(node->membership);
        if (node->paused || (running > 0 && view != hash)) {
            return false;
        }
        hash = view;
        running++;
    }
    for (uint32_t i = 0; i < net->count; i++) {
        const mini_node_t *node = &net->nodes[i];
        if (node->membership != NULL && !node->left &&
            za_membership_up_count(node->membership) != running) {
            return false;
        }
    }
    return true;
}

/** Virtual ms until `condition` holds, at most `bound_ms`; UINT64_MAX if it never did. */
#define MINI_RUN_UNTIL(net, condition, bound_ms, elapsed)                                          \
    for ((elapsed) = 0; !(condition); (elapsed) += 10) {                                           \
        if ((elapsed) >= (bound_ms)) {                                                             \
            (elapsed) = UINT64_MAX;                                                                \
            break;                                                                                 \
        }                                                                                          \
        mini_run((net), 10);                                                                       \
    }

/** Live uids differ; nobody knows an incarnation that its owner has not reached. */
static inline void mini_check_owners(const mini_net_t *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->nodes[i].membership == NULL) {
            continue;
        }
        uint64_t uid = mini_uid(net, i);
        za_member_info_t own;
        cr_assert(za_membership_find(net->nodes[i].membership, uid, &own), "unknown to itself");
        for (uint32_t j = 0; j < net->count; j++) {
            za_member_info_t info;
            if (j == i || net->nodes[j].membership == NULL) {
                continue;
            }
            cr_assert(mini_uid(net, j) != uid, "seed %" PRIu64 ": two with one uid", net->seed);
            if (za_membership_find(net->nodes[j].membership, uid, &info)) {
                cr_assert(info.incarnation <= own.incarnation,
                          "seed %" PRIu64 ": %s knows an incarnation of %s to come", net->seed,
                          net->nodes[j].name, net->nodes[i].name);
            }
        }
    }
}

static inline void mini_print(const mini_net_t *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        const mini_node_t *node = &net->nodes[i];
        if (node->membership == NULL) {
            printf("%s: not running\n", node->name);
            continue;
        }
        printf("%s %016" PRIx64 " reborn %u refused %u:", node->name, mini_uid(net, i),
               node->reborn, node->refused);
        for (uint32_t j = 0; j < net->count; j++) {
            if (net->nodes[j].membership != NULL) {
                printf(" %s", za_member_state_name(mini_state(net, i, mini_uid(net, j))));
            }
        }
        printf("\n");
    }
}
