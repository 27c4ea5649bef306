// Traffic between all nodes, what a node hears of its members, and references that travel.

#include <inttypes.h>

#include "work.h"

enum {
    TICK_MS = 600,
    BURST_MAX = 6,
    LUGGAGE_MAX = 8,
    HOLD_MS_MAX = 40000, // long enough for a rebirth of whom it belongs to
    PROBE_BULK_BYTES = 40000,
};

typedef struct luggage {
    work_Carry carry;
    uint64_t due_ms; // 0: free
} luggage_t;

typedef struct peer {
    uint32_t instance, node;
    bool probed;
    work_line_t lines[WORK_NODES_MAX];
    luggage_t luggage[LUGGAGE_MAX];
} peer_t;

static za_verdict_t on_root(za_ctx_t *ctx, peer_t *self, const work_Root *root)
{
    char name[WORLD_NAME_BYTES];
    self->node = root->node;
    self->instance = world_born(ctx, KIND_PEER, work_name(name, "peer", root->node));
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

/** Small and bulk mixed, to one peer. */
static void send_burst(za_ctx_t *ctx, peer_t *self)
{
    uint32_t node = work_draw(ctx, world_node_count());
    za_ref_t to;
    if (!work_find(ctx, "peer", node, &to)) {
        return;
    }
    uint32_t count = 1 + work_draw(ctx, BURST_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = work_draw_size(ctx, WORK_BYTES_MAX);
        work_send_item(ctx, &self->lines[node], self->instance, to, size, false);
    }
}

/** The cluster is healthy: each of these must arrive. */
static void send_probes(za_ctx_t *ctx, peer_t *self)
{
    static const uint32_t sizes[PROBES_PER_PAIR] = { 1, PROBE_BULK_BYTES, 1 };
    for (uint32_t node = 0; node < world_node_count(); node++) {
        za_ref_t to;
        if (world_process(node) == 0) {
            continue;
        }
        if (!work_find(ctx, "peer", node, &to)) {
            world_fail("n%u does not know peer/n%u, and all is healthy", self->node, node);
            return;
        }
        for (uint32_t i = 0; i < PROBES_PER_PAIR; i++) {
            world_probe_sent();
            if (!work_send_item(ctx, &self->lines[node], self->instance, to, sizes[i], true)) {
                world_fail("n%u cannot send to n%u, and all is healthy", self->node, node);
            }
        }
    }
}

static void bring_back(za_ctx_t *ctx, peer_t *self)
{
    for (uint32_t i = 0; i < LUGGAGE_MAX; i++) {
        luggage_t *luggage = &self->luggage[i];
        za_ref_t parent;
        if (luggage->due_ms == 0 || luggage->due_ms > za_now_ms(ctx) ||
            !work_find(ctx, "parent", luggage->carry.node, &parent)) {
            continue;
        }
        work_sent(za_tell(ctx, parent,
                          ZA_MSG(work_Carried, .process = luggage->carry.process,
                                 .record = luggage->carry.record, .child = luggage->carry.child,
                                 .instance = luggage->carry.instance)));
        luggage->due_ms = 0;
    }
}

static za_verdict_t on_tick(za_ctx_t *ctx, peer_t *self, const work_Tick *tick)
{
    (void)tick;
    char name[WORLD_NAME_BYTES];
    work_keep_name(ctx, self->instance, work_name(name, "peer", self->node));
    if (world_phase() == PHASE_WORK) {
        send_burst(ctx, self);
        bring_back(ctx, self);
    } else if (world_phase() == PHASE_PROBE && !self->probed) {
        self->probed = true;
        send_probes(ctx, self);
    }
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t on_item(za_ctx_t *ctx, peer_t *self, const work_Item *item)
{
    za_ref_t sender = za_sender(ctx);
    if (sender.node != 0 && world_uid_has_ended(world_here(ctx), sender.node)) {
        world_fail("n%u: a message of uid %016" PRIx64 " after its end was told", self->node,
                   sender.node);
    }
    work_take_item(self->instance, item);
    return ZA_DONE;
}

static za_verdict_t on_carry(za_ctx_t *ctx, peer_t *self, const work_Carry *carry)
{
    uint32_t slot = work_draw(ctx, LUGGAGE_MAX);
    uint32_t hold_ms = work_draw(ctx, HOLD_MS_MAX);
    self->luggage[slot] = (luggage_t){ *carry, za_now_ms(ctx) + 1 + hold_ms };
    return ZA_DONE;
}

static za_verdict_t on_name_lost(za_ctx_t *ctx, peer_t *self, const za_NameLost *lost)
{
    (void)ctx;
    world_counts.names_lost++;
    world_name_given_up(self->instance, lost->name);
    return ZA_DONE;
}

/* ---- members ------------------------------------------------------------------------------------ */

static za_verdict_t alive_again(za_ctx_t *ctx, const peer_t *self, uint64_t uid, const char *state)
{
    if (world_uid_has_ended(world_here(ctx), uid)) {
        world_fail("n%u: uid %016" PRIx64 " is %s after its end", self->node, uid, state);
    }
    world_mix(uid);
    return ZA_DONE;
}

static za_verdict_t on_up(za_ctx_t *ctx, peer_t *self, const za_MemberUp *member)
{
    return alive_again(ctx, self, member->node, "up");
}

static za_verdict_t on_suspect(za_ctx_t *ctx, peer_t *self, const za_MemberSuspect *member)
{
    return alive_again(ctx, self, member->node, "suspect");
}

static za_verdict_t on_unreachable(za_ctx_t *ctx, peer_t *self, const za_MemberUnreachable *member)
{
    return alive_again(ctx, self, member->node, "unreachable");
}

static za_verdict_t on_reachable(za_ctx_t *ctx, peer_t *self, const za_MemberReachable *member)
{
    return alive_again(ctx, self, member->node, "reachable");
}

static za_verdict_t on_leaving(za_ctx_t *ctx, peer_t *self, const za_MemberLeaving *member)
{
    return alive_again(ctx, self, member->node, "leaving");
}

static za_verdict_t ended(za_ctx_t *ctx, const peer_t *self, uint64_t uid)
{
    uint32_t process = world_here(ctx);
    if (world_uid_has_ended(process, uid)) {
        world_fail("n%u hears twice of the end of uid %016" PRIx64, self->node, uid);
    }
    world_uid_ended(process, uid);
    world_mix(uid);
    return ZA_DONE;
}

static za_verdict_t on_left(za_ctx_t *ctx, peer_t *self, const za_MemberLeft *member)
{
    return ended(ctx, self, member->node);
}

static za_verdict_t on_down(za_ctx_t *ctx, peer_t *self, const za_MemberDown *member)
{
    return ended(ctx, self, member->node);
}

static za_verdict_t on_reborn(za_ctx_t *ctx, peer_t *self, const za_Reborn *reborn)
{
    (void)self;
    (void)ctx;
    world_mix(reborn->node);
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, peer_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_peer, peer_t, (work_Root, on_root), (work_Tick, on_tick), (work_Item, on_item),
         (work_Carry, on_carry), (za_NameLost, on_name_lost), (za_MemberUp, on_up),
         (za_MemberSuspect, on_suspect), (za_MemberUnreachable, on_unreachable),
         (za_MemberReachable, on_reachable), (za_MemberLeaving, on_leaving),
         (za_MemberLeft, on_left), (za_MemberDown, on_down), (za_Reborn, on_reborn),
         (za_Stopping, on_stopping));
