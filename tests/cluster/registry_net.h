/**
 * Registry net: many registries in one test, joined by links that keep order and need a time, in
 * virtual time. Everything follows from the seed. Frames can be lost by a rule of the test, as no
 * link does, to see what repairs it.
 */
#pragma once

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <pb_decode.h>

#include "base/hash.h"
#include "base/rng.h"
#include "cluster/registry.h"
#include "support/za_test.h"

#include "zactor/registry.pb.h"

enum { RN_LATENCIES = 8, RN_SYNC_MS = 1000 };

typedef struct rn rn_t;

typedef struct rn_frame {
    struct rn_frame *next;
    uint32_t from, to;
    uint32_t size;
    uint8_t bytes[];
} rn_frame_t;

typedef struct rn_node {
    rn_t *net;
    uint32_t index;
    uint64_t uid;
    za_view_t view;
    za_registry_t *registry;
    bool *linked;
    uint8_t *known;        // za_known_t of each
    bool *unreachable;     // each
    uint32_t *asked;       // owners pulled from each, not answered
    uint64_t bytes_out[5]; // by kind of frame, below
    uint64_t frames_out[5];
    uint64_t *served; // bytes of answers to each
} rn_node_t;

/** Kinds of frames: za_RegistryFrame's bodies, with data that nobody asked for as a kind of its own. */
typedef enum rn_kind { RN_ROOT, RN_COMPARE, RN_PULL, RN_ANSWER, RN_PUSH } rn_kind_t;

struct rn {
    uint64_t now_ms;
    uint32_t count;
    rn_node_t *nodes;
    za_rng_t rng;
    uint32_t push_loss_percent;
    uint32_t silent; // whose answers are lost; UINT32_MAX: nobody's
    bool majority;
    void (*effect)(rn_t *net, uint32_t node, const za_effect_t *effect);
    void (*stepped)(rn_t *net, uint32_t node);
    void *context;
    rn_frame_t *first[RN_LATENCIES], **last[RN_LATENCIES];
    za_effects_t effects;
    za_RegistryFrame frame;
};

static inline uint64_t rn_uid(uint32_t index)
{
    return za_mix64(1000 + index);
}

static inline uint32_t rn_index(const rn_t *net, uint64_t uid)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (net->nodes[i].uid == uid) {
            return i;
        }
    }
    return UINT32_MAX;
}

static inline uint64_t rn_self(const void *context)
{
    return ((const rn_node_t *)context)->uid;
}

static inline za_known_t rn_known(const void *context, uint64_t uid)
{
    const rn_node_t *node = context;
    uint32_t index = rn_index(node->net, uid);
    return index == UINT32_MAX ? ZA_KNOWN_NOT : (za_known_t)node->known[index];
}

static inline uint32_t rn_up_count(const void *context)
{
    const rn_node_t *node = context;
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->net->count; i++) {
        count += node->known[i] == ZA_KNOWN_UP;
    }
    return count;
}

static inline bool rn_reachable(const void *context, uint64_t uid)
{
    const rn_node_t *node = context;
    uint32_t index = rn_index(node->net, uid);
    return index == UINT32_MAX || !node->unreachable[index];
}

static inline bool rn_may_claim(const void *context)
{
    return ((const rn_node_t *)context)->net->majority;
}

static inline void rn_start(rn_t *net, uint32_t index)
{
    rn_node_t *node = &net->nodes[index];
    za_registry_options_t options = { .limits = { 4096, 64 * 1024 },
                                      .sync_ms = RN_SYNC_MS,
                                      .seed = node->uid };
    cr_assert(za_registry_create(&node->view, &options, net->now_ms, &node->registry) == ZA_OK);
}

static inline rn_t *rn_create(uint32_t count, uint64_t seed)
{
    rn_t *net = calloc(1, sizeof *net);
    net->count = count;
    net->majority = true;
    net->silent = UINT32_MAX;
    net->nodes = calloc(count, sizeof *net->nodes);
    za_rng_init(&net->rng, seed);
    for (uint32_t i = 0; i < RN_LATENCIES; i++) {
        net->last[i] = &net->first[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        rn_node_t *node = &net->nodes[i];
        node->net = net;
        node->index = i;
        node->uid = rn_uid(i);
        node->linked = calloc(count, sizeof *node->linked);
        node->known = calloc(count, sizeof *node->known);
        node->unreachable = calloc(count, sizeof *node->unreachable);
        node->asked = calloc(count, sizeof *node->asked);
        node->served = calloc(count, sizeof *node->served);
        memset(node->known, ZA_KNOWN_UP, count);
        node->view = (za_view_t){ .context = node,
                                  .self = rn_self,
                                  .known = rn_known,
                                  .up_count = rn_up_count,
                                  .reachable = rn_reachable,
                                  .may_claim = rn_may_claim };
    }
    for (uint32_t i = 0; i < count; i++) {
        rn_start(net, i);
    }
    return net;
}

static inline void rn_destroy(rn_t *net)
{
    for (uint32_t i = 0; i < RN_LATENCIES; i++) {
        while (net->first[i] != NULL) {
            rn_frame_t *next = net->first[i]->next;
            free(net->first[i]);
            net->first[i] = next;
        }
    }
    for (uint32_t i = 0; i < net->count; i++) {
        za_registry_destroy(net->nodes[i].registry);
        free(net->nodes[i].linked);
        free(net->nodes[i].known);
        free(net->nodes[i].unreachable);
        free(net->nodes[i].asked);
        free(net->nodes[i].served);
    }
    free(net->nodes);
    free(net);
}

static inline rn_kind_t rn_kind(rn_t *net, uint32_t from, uint32_t to, const za_effect_t *effect)
{
    pb_istream_t stream = pb_istream_from_buffer(effect->bytes + 1, effect->size - 1);
    cr_assert(pb_decode(&stream, za_RegistryFrame_fields, &net->frame), "a frame");
    switch (net->frame.which_body) {
    case za_RegistryFrame_root_tag:
        return RN_ROOT;
    case za_RegistryFrame_pull_tag:
        cr_assert(net->nodes[from].asked[to] == 0, "one pull to a peer at a time");
        net->nodes[from].asked[to] = net->frame.body.pull.wants_count;
        return RN_PULL;
    case za_RegistryFrame_data_tag: {
        bool answer = net->frame.body.data.answer;
        net->nodes[to].asked[from] -= answer && net->frame.body.data.last;
        return answer ? RN_ANSWER : RN_PUSH;
    }
    default:
        return RN_COMPARE;
    }
}

static inline void rn_send(rn_t *net, uint32_t from, const za_effect_t *effect)
{
    uint32_t to = rn_index(net, effect->uid);
    cr_assert(to != UINT32_MAX && effect->bytes[0] == ZA_REGISTRY_TAG);
    rn_node_t *node = &net->nodes[from];
    if (!node->linked[to]) {
        return;
    }
    rn_kind_t kind = rn_kind(net, from, to, effect);
    node->frames_out[kind]++;
    node->bytes_out[kind] += effect->size;
    node->served[to] += kind == RN_ANSWER ? effect->size : 0;
    if ((kind == RN_PUSH && za_rng_below(&net->rng, 100) < net->push_loss_percent) ||
        (kind == RN_ANSWER && from == net->silent)) {
        return;
    }
    rn_frame_t *frame = malloc(sizeof *frame + effect->size);
    *frame = (rn_frame_t){ .from = from, .to = to, .size = effect->size };
    memcpy(frame->bytes, effect->bytes, effect->size);
    uint64_t at_ms = net->now_ms + 1 + (from * 7 + to * 7) % 3;
    uint32_t slot = (uint32_t)(at_ms % RN_LATENCIES);
    *net->last[slot] = frame;
    net->last[slot] = &frame->next;
}

static inline void rn_carry_out(rn_t *net, uint32_t node)
{
    for (uint32_t i = 0; i < net->effects.count; i++) {
        const za_effect_t *effect = &net->effects.items[i];
        if (effect->type == ZA_EFFECT_SEND_FRAME) {
            rn_send(net, node, effect);
        } else if (net->effect != NULL) {
            net->effect(net, node, effect);
        }
    }
    za_effects_reset(&net->effects);
}

static inline void rn_pump(rn_t *net, uint32_t node)
{
    za_step_t more = ZA_STEP_MORE;
    while (more == ZA_STEP_MORE) {
        more = za_registry_pump(net->nodes[node].registry, net->now_ms, &net->effects);
        za_registry_stats_t stats;
        za_registry_stats(net->nodes[node].registry, &stats);
        cr_assert(stats.divergence == 0, "node %u diverged", node);
        cr_assert(stats.pulls <= 4 && stats.parked <= 64, "bounds");
        rn_carry_out(net, node);
    }
    if (net->stepped != NULL) {
        net->stepped(net, node);
    }
}

static inline void rn_link(rn_t *net, uint32_t a, uint32_t b, bool up)
{
    if (a == b || net->nodes[a].linked[b] == up) {
        return;
    }
    for (int side = 0; side < 2; side++) {
        rn_node_t *here = &net->nodes[side == 0 ? a : b];
        uint32_t there = side == 0 ? b : a;
        here->linked[there] = up;
        here->asked[there] = 0;
        if (up) {
            za_registry_link_up(here->registry, net->nodes[there].uid);
        } else {
            za_registry_link_down(here->registry, net->nodes[there].uid);
        }
        rn_pump(net, here->index);
    }
}

static inline void rn_mesh(rn_t *net)
{
    for (uint32_t a = 0; a < net->count; a++) {
        for (uint32_t b = a + 1; b < net->count; b++) {
            rn_link(net, a, b, true);
        }
    }
}

/** How many are between two nodes in the ring of uids. */
static inline uint32_t rn_between(const rn_t *net, uint32_t from, uint32_t to)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        count += i != from && rn_uid(i) - rn_uid(from) < rn_uid(to) - rn_uid(from);
    }
    return count;
}

/** The next two in the ring of uids, as membership links them, and more at random: `degree` on average. */
static inline void rn_sparse(rn_t *net, uint32_t degree)
{
    for (uint32_t a = 0; a < net->count; a++) {
        for (uint32_t b = 0; b < net->count; b++) {
            if (a != b && rn_between(net, a, b) < 2) {
                rn_link(net, a, b, true);
            }
        }
    }
    for (uint32_t i = 0; i < net->count * (degree - 4) / 2; i++) {
        uint32_t a = (uint32_t)za_rng_below(&net->rng, net->count);
        uint32_t b = (uint32_t)za_rng_below(&net->rng, net->count);
        rn_link(net, a, b, true);
    }
}

static inline void rn_register(rn_t *net, uint32_t node, za_claim_t claim)
{
    za_registry_register(net->nodes[node].registry, &claim, net->now_ms, &net->effects);
    rn_carry_out(net, node);
    rn_pump(net, node);
}

static inline void rn_take(rn_t *net, uint32_t node, const char *name, uint64_t actor)
{
    rn_register(net, node, (za_claim_t){ .name = name, .actor = actor });
}

static inline void rn_run(rn_t *net, uint64_t ms)
{
    for (uint64_t end = net->now_ms + ms; net->now_ms < end;) {
        net->now_ms++;
        uint32_t slot = (uint32_t)(net->now_ms % RN_LATENCIES);
        rn_frame_t *frame = net->first[slot];
        net->first[slot] = NULL;
        net->last[slot] = &net->first[slot];
        while (frame != NULL) {
            rn_frame_t *next = frame->next;
            if (net->nodes[frame->to].linked[frame->from]) {
                cr_assert(za_registry_frame(net->nodes[frame->to].registry,
                                            net->nodes[frame->from].uid, frame->bytes + 1,
                                            frame->size - 1, net->now_ms, &net->effects));
                rn_carry_out(net, frame->to);
                rn_pump(net, frame->to);
            }
            free(frame);
            frame = next;
        }
        for (uint32_t i = 0; i < net->count; i++) {
            if (za_registry_deadline_ms(net->nodes[i].registry) <= net->now_ms) {
                rn_pump(net, i);
            }
        }
    }
}

/** How many hold what the first holds. */
static inline uint32_t rn_equal(const rn_t *net)
{
    uint32_t equal = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        equal +=
            za_registry_hash(net->nodes[i].registry) == za_registry_hash(net->nodes[0].registry);
    }
    return equal;
}

/** How many hold the present map of `owner`. */
static inline uint32_t rn_hold(const rn_t *net, uint32_t owner)
{
    uint64_t newest = 0;
    uint64_t hash = 0;
    za_registry_version(net->nodes[owner].registry, net->nodes[owner].uid, &newest, &hash);
    uint32_t count = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        uint64_t applied = 0;
        za_registry_version(net->nodes[i].registry, net->nodes[owner].uid, &applied, &hash);
        count += applied == newest;
    }
    return count;
}

static inline uint64_t rn_frames(const rn_t *net, rn_kind_t kind)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        sum += net->nodes[i].frames_out[kind];
    }
    return sum;
}

static inline uint64_t rn_bytes(const rn_t *net)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < net->count; i++) {
        for (int kind = 0; kind <= RN_PUSH; kind++) {
            sum += net->nodes[i].bytes_out[kind];
        }
    }
    return sum;
}

static inline void rn_set_known(rn_t *net, uint32_t node, uint32_t other, za_known_t known)
{
    net->nodes[node].known[other] = (uint8_t)known;
    if (known == ZA_KNOWN_DOWN || known == ZA_KNOWN_LEFT) {
        za_registry_gone(net->nodes[node].registry, net->nodes[other].uid);
    } else if (known != ZA_KNOWN_NOT) {
        za_registry_member(net->nodes[node].registry, net->nodes[other].uid, net->now_ms);
    }
    rn_pump(net, node);
}

static inline void rn_set_unreachable(rn_t *net, uint32_t node, uint32_t other, bool unreachable)
{
    net->nodes[node].unreachable[other] = unreachable;
    rn_set_known(net, node, other, ZA_KNOWN_LIVE);
}
