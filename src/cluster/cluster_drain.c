#include "cluster/cluster_internal.h"

#include <string.h>

#include "base/assert.h"

/* ---- what an effect means ---------------------------------------------------------------------- */

static uint32_t text_bytes(const char *text)
{
    return text != NULL ? (uint32_t)strlen(text) + 1 : 0;
}

static const void *copy_bytes(za_effects_t *out, const void *bytes, uint32_t size)
{
    if (bytes == NULL) {
        return NULL;
    }
    void *copy = za_effects_alloc(out, size);
    memcpy(copy, bytes, size);
    return copy;
}

/** Passes an effect of membership on. False: `out` has no room. */
static bool pass_on(const za_effect_t *effect, za_effects_t *out)
{
    uint32_t name = text_bytes(effect->name);
    uint32_t address = text_bytes(effect->address);
    if (!za_effects_have_room(out, 3, name + address + effect->size)) {
        return false;
    }
    za_effect_t *copy = za_effects_add(out, effect->type);
    *copy = *effect;
    copy->name = copy_bytes(out, effect->name, name);
    copy->address = copy_bytes(out, effect->address, address);
    copy->bytes = copy_bytes(out, effect->bytes, effect->size);
    return true;
}

/** Names go before the children move. False: `out` is full. */
static bool settle_names(za_cluster_t *cluster, za_effects_t *out)
{
    if (cluster->phase == ZA_DRAIN_NAMES) {
        if (za_registry_pump_names(cluster->registry, cluster->now_ms, out) == ZA_STEP_MORE) {
            return false;
        }
        cluster->phase = ZA_DRAIN_CHILDREN;
    }
    return true;
}

/**
 * A uid became terminal. In this order: no more of it is delivered, its watches fire, its names go,
 * its children move, and then the news. False: `out` is full, and the phase says where to go on.
 */
static bool member_gone(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    uint64_t uid = effect->uid;
    za_Reason reason =
        effect->state == ZA_MEMBER_LEFT ? za_Reason_REASON_NODE_LEFT : za_Reason_REASON_NODE_DOWN;
    if (cluster->phase == ZA_DRAIN_BEGIN) {
        if (!za_effects_have_room(out, 1, 0)) {
            return false;
        }
        if (za_cluster_is_linked(cluster, uid)) {
            za_effects_add(out, ZA_EFFECT_CLOSE_LINK)->uid = uid;
            za_cluster_link_down(cluster, uid);
        }
        za_relay_end(cluster->relay, uid);
        za_syslane_forget(cluster->lane, uid);
        cluster->phase = ZA_DRAIN_WATCHES;
    }
    if (cluster->phase == ZA_DRAIN_WATCHES) {
        if (za_watch_gone(cluster->watch, uid, reason, out) == ZA_STEP_MORE) {
            return false;
        }
        za_registry_gone(cluster->registry, uid);
        cluster->phase = ZA_DRAIN_NAMES;
    }
    if (!settle_names(cluster, out)) {
        return false;
    }
    if (cluster->phase == ZA_DRAIN_CHILDREN) {
        za_children_set_margin(cluster->children, za_member_downing_margin_ms(cluster->membership));
        if (za_children_gone(cluster->children, uid, reason, cluster->now_ms, out) ==
            ZA_STEP_MORE) {
            return false;
        }
        cluster->phase = ZA_DRAIN_END;
    }
    return pass_on(effect, out);
}

/**
 * We lost a split: whoever holds a name here loses it before another can have it. Nobody is the
 * winner yet. False: `out` is full.
 */
static bool lose_names(za_cluster_t *cluster, za_effects_t *out)
{
    return za_registry_lose_names(cluster->registry, cluster->now_ms, out) == ZA_STEP_DONE &&
           za_registry_pump_names(cluster->registry, cluster->now_ms, out) == ZA_STEP_DONE;
}

/** This node lost a split. False: as in member_gone. */
static bool down_self(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    if (cluster->phase == ZA_DRAIN_BEGIN) {
        if (!pass_on(effect, out)) {
            return false;
        }
        cluster->phase = ZA_DRAIN_NAMES;
    }
    return lose_names(cluster, out);
}

/** Our uid changed: to everybody else our old one is down. False: as in member_gone. */
static bool reborn(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    if (cluster->phase == ZA_DRAIN_BEGIN) {
        if (!pass_on(effect, out)) {
            return false;
        }
        za_cluster_all_links_down(cluster);
        za_relay_reset(cluster->relay);
        za_syslane_reset(cluster->lane);
        za_registry_reborn(cluster->registry, cluster->now_ms);
        cluster->phase = ZA_DRAIN_WATCHES;
    }
    if (cluster->phase == ZA_DRAIN_WATCHES) {
        if (za_watch_reborn(cluster->watch, out) == ZA_STEP_MORE) {
            return false;
        }
        cluster->phase = ZA_DRAIN_NAMES;
    }
    if (!settle_names(cluster, out)) {
        return false;
    }
    if (cluster->phase == ZA_DRAIN_CHILDREN) {
        za_children_set_margin(cluster->children, za_member_downing_margin_ms(cluster->membership));
        if (za_children_reborn(cluster->children, cluster->now_ms, out) == ZA_STEP_MORE) {
            return false;
        }
        cluster->phase = ZA_DRAIN_END;
    }
    return true;
}

/** The driver first: user messages that wait end before a system frame goes another way. */
static bool apart(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    if (!pass_on(effect, out)) {
        return false;
    }
    if (effect->id != 0 && !za_cluster_is_linked(cluster, effect->uid)) {
        za_relay_begin(cluster->relay, effect->uid, cluster->now_ms);
    } else {
        za_relay_end(cluster->relay, effect->uid);
    }
    return true;
}

static bool on_member(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    if (effect->uid == za_cluster_uid(cluster)) {
        if (effect->state == ZA_MEMBER_UP) {
            za_asked_reset(cluster->asked); // before, nobody would make a link
        }
        return pass_on(effect, out);
    }
    if (effect->state == ZA_MEMBER_DOWN || effect->state == ZA_MEMBER_LEFT) {
        return member_gone(cluster, effect, out);
    }
    if (!za_cluster_is_terminal(cluster, effect->uid)) { // it may have gone in the same batch
        za_registry_member(cluster->registry, effect->uid, cluster->now_ms);
        za_cluster_serve(cluster, effect->uid);
        za_asked_forget(cluster->asked, effect->uid); // it may not have been a member yet
    }
    return pass_on(effect, out);
}

/** What an effect of membership means here. False: as in member_gone. */
static bool drain_one(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    switch (effect->type) {
    case ZA_EFFECT_MEMBER:
        return on_member(cluster, effect, out);
    case ZA_EFFECT_APART:
        return apart(cluster, effect, out);
    case ZA_EFFECT_DOWN_SELF:
        return down_self(cluster, effect, out);
    case ZA_EFFECT_REBORN:
        return reborn(cluster, effect, out);
    case ZA_EFFECT_CLOSE_LINK:
        if (!pass_on(effect, out)) {
            return false;
        }
        za_cluster_link_down(cluster, effect->uid);
        return true;
    default:
        return pass_on(effect, out);
    }
}

/* ---- effects that wait ------------------------------------------------------------------------- */

bool za_cluster_drain(za_cluster_t *cluster, za_effects_t *out)
{
    while (cluster->inner_at < cluster->inner->count) {
        if (!drain_one(cluster, &cluster->inner->items[cluster->inner_at], out)) {
            return false;
        }
        cluster->inner_at++;
        cluster->phase = ZA_DRAIN_BEGIN;
    }
    return true;
}

void za_cluster_step_membership(za_cluster_t *cluster, const za_cluster_event_t *event)
{
    ZA_ASSERT(cluster->inner_at == cluster->inner->count);
    za_effects_reset(cluster->inner);
    cluster->inner_at = 0;
    cluster->inner_more =
        za_membership_step(cluster->membership, event, cluster->inner) == ZA_STEP_MORE;
}

static const void *moved(const void *pointer, const za_effects_t *from, za_effects_t *to)
{
    return pointer != NULL ? to->arena + ((const uint8_t *)pointer - from->arena) : NULL;
}

void za_cluster_take_back(za_cluster_t *cluster, za_effects_t *out)
{
    za_effects_t *inner = cluster->inner;
    inner->count = out->count;
    inner->used = out->used;
    memcpy(inner->arena, out->arena, out->used);
    for (uint32_t i = 0; i < out->count; i++) {
        za_effect_t *effect = &inner->items[i];
        *effect = out->items[i];
        effect->name = moved(effect->name, out, inner);
        effect->address = moved(effect->address, out, inner);
        effect->bytes = moved(effect->bytes, out, inner);
    }
    cluster->inner_at = 0;
    za_effects_reset(out);
}
