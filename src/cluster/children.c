#include "cluster/children_internal.h"

#include <stdlib.h>

enum {
    ARGS_BLOCKS = 32 * 1024, // 4 MiB of arguments
    REFUSALS_MAX = 1024,     // guest records that only say "limit"
};

za_err_t za_children_create(const za_view_t *view, za_syslane_t *lane, uint64_t seed,
                            za_children_t **out)
{
    za_children_t *children = calloc(1, sizeof *children);
    if (children == NULL) {
        return ZA_ENOMEM;
    }
    children->view = view;
    children->lane = lane;
    za_rng_init(&children->rng, seed);
    children->salt = za_rng_next(&children->rng);
    if (za_slots_init(&children->children, ZA_CHILDREN_MAX, sizeof(za_child_t)) != ZA_OK ||
        za_slots_init(&children->parents, ZA_CHILDREN_MAX, sizeof(za_parent_t)) != ZA_OK ||
        za_slots_init(&children->guests, ZA_CHILDREN_MAX + REFUSALS_MAX, sizeof(za_guest_t)) !=
            ZA_OK ||
        za_slots_init(&children->actors, ZA_CHILDREN_MAX, sizeof(za_guest_actor_t)) != ZA_OK ||
        za_blocks_init(&children->args, ARGS_BLOCKS) != ZA_OK) {
        za_children_destroy(children);
        return ZA_ENOMEM;
    }
    *out = children;
    return ZA_OK;
}

void za_children_destroy(za_children_t *children)
{
    if (children == NULL) {
        return;
    }
    za_blocks_deinit(&children->args);
    za_slots_deinit(&children->actors);
    za_slots_deinit(&children->guests);
    za_slots_deinit(&children->parents);
    za_slots_deinit(&children->children);
    free(children);
}

void za_children_set_margin(za_children_t *children, uint32_t margin_ms)
{
    children->margin_ms = margin_ms;
}

uint32_t za_child_find(const za_children_t *children, uint64_t request)
{
    uint32_t id = za_slots_first(&children->children, za_mix64(request));
    while (id != 0 && za_child_at(children, id)->request != request) {
        id = za_slots_next(&children->children, id);
    }
    return id;
}

uint32_t za_parent_find(const za_children_t *children, uint64_t actor)
{
    uint32_t id = za_slots_first(&children->parents, za_mix64(actor));
    while (id != 0 && za_parent_at(children, id)->actor != actor) {
        id = za_slots_next(&children->parents, id);
    }
    return id;
}

uint64_t za_children_hash(uint64_t uid, uint64_t request)
{
    return za_mix64(uid ^ za_mix64(request));
}

uint32_t za_guest_find(const za_children_t *children, uint64_t uid, uint64_t request)
{
    uint32_t id = za_slots_first(&children->guests, za_children_hash(uid, request));
    while (id != 0 && (za_guest_at(children, id)->uid != uid ||
                       za_guest_at(children, id)->request != request)) {
        id = za_slots_next(&children->guests, id);
    }
    return id;
}

uint32_t za_guest_find_actor(const za_children_t *children, uint64_t actor)
{
    uint32_t id = za_slots_first(&children->actors, za_mix64(actor));
    while (id != 0 && ((za_guest_actor_t *)za_slots_at(&children->actors, id))->actor != actor) {
        id = za_slots_next(&children->actors, id);
    }
    return id;
}

static bool is_asked_for(const za_child_t *child)
{
    return child->place == ZA_PLACE_ASKED || child->place == ZA_PLACE_RUNS;
}

void za_children_actor_stopped(za_children_t *children, uint64_t actor, za_Reason reason)
{
    uint32_t entry = za_guest_find_actor(children, actor);
    if (entry != 0) {
        za_guest_end(children, ((za_guest_actor_t *)za_slots_at(&children->actors, entry))->guest,
                     reason);
    }
    uint32_t parent_id = za_parent_find(children, actor);
    uint32_t id = parent_id != 0 ? za_parent_at(children, parent_id)->children.first : 0;
    while (id != 0) {
        uint32_t next = za_chain_next(&children->children, ZA_CHILD_SIBLINGS, id);
        const za_child_t *child = za_child_at(children, id);
        if (is_asked_for(child)) {
            za_child_set_todo(children, id, ZA_TODO_FORGET);
        } else {
            za_child_drop(children, id);
        }
        id = next;
    }
}

void za_children_frame(za_children_t *children, uint64_t uid, const za_SysFrame *frame,
                       uint64_t now_ms, za_effects_t *out)
{
    switch (frame->which_body) {
    case za_SysFrame_spawn_tag:
        za_guest_host(children, uid, &frame->body.spawn, out);
        break;
    case za_SysFrame_spawned_tag:
        za_child_spawned(children, uid, &frame->body.spawned, out);
        break;
    case za_SysFrame_ended_tag:
        za_child_ended(children, uid, &frame->body.ended, now_ms, out);
        break;
    case za_SysFrame_stop_tag:
        za_guest_stop(children, uid, &frame->body.stop, out);
        break;
    default:
        break;
    }
}

/* ---- ends of uids ----------------------------------------------------------------------------- */

/** The parent's node is gone, or we are to it. False: `out` has no room. */
static bool lose_asker(za_children_t *children, uint32_t id, za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, 0)) {
        return false;
    }
    za_guest_t *guest = za_guest_at(children, id);
    if (guest->phase == ZA_GUEST_STARTING) {
        guest->orphan = true; // stopped as soon as it has started
        return true;
    }
    if (guest->phase == ZA_GUEST_RUNS) {
        za_guest_emit_stop(guest->actor, out);
    }
    za_guest_drop(children, id);
    return true;
}

static bool child_lives(const za_children_t *children, uint32_t id)
{
    return za_child_find(children, za_child_at(children, id)->request) == id;
}

static bool guest_lives(const za_children_t *children, uint32_t id)
{
    const za_guest_t *guest = za_guest_at(children, id);
    return za_guest_find(children, guest->uid, guest->request) == id;
}

/** Stops what runs here for `uid`. */
static za_step_t lose_askers(za_children_t *children, uint64_t uid, za_effects_t *out)
{
    for (uint32_t id = 1; id <= children->guests.fresh; id++) {
        if (guest_lives(children, id) && za_guest_at(children, id)->uid == uid &&
            !za_guest_at(children, id)->orphan && !lose_asker(children, id, out)) {
            return ZA_STEP_MORE;
        }
    }
    return ZA_STEP_DONE;
}

za_step_t za_children_forgotten(za_children_t *children, uint64_t uid, uint64_t now_ms,
                                za_effects_t *out)
{
    if (lose_askers(children, uid, out) == ZA_STEP_MORE) {
        return ZA_STEP_MORE;
    }
    for (uint32_t id = 1; id <= children->children.fresh; id++) {
        const za_child_t *child = za_child_at(children, id);
        if (child_lives(children, id) && child->uid == uid && is_asked_for(child) &&
            !za_child_lose_host(children, id, za_Reason_REASON_NO_NODE, 0, now_ms, out)) {
            return ZA_STEP_MORE;
        }
    }
    return ZA_STEP_DONE;
}

za_step_t za_children_gone(za_children_t *children, uint64_t uid, za_Reason reason, uint64_t now_ms,
                           za_effects_t *out)
{
    if (lose_askers(children, uid, out) == ZA_STEP_MORE) {
        return ZA_STEP_MORE;
    }
    for (uint32_t id = 1; id <= children->children.fresh; id++) {
        if (child_lives(children, id) && za_child_at(children, id)->uid == uid &&
            za_child_at(children, id)->place != ZA_PLACE_RESPAWN &&
            !za_child_lose_host(children, id, reason, 0, now_ms, out)) {
            return ZA_STEP_MORE;
        }
    }
    return ZA_STEP_DONE;
}

za_step_t za_children_reborn(za_children_t *children, uint64_t now_ms, za_effects_t *out)
{
    for (uint32_t id = 1; id <= children->guests.fresh; id++) {
        if (guest_lives(children, id) && za_guest_at(children, id)->uid != ZA_CHILDREN_SELF &&
            !za_guest_at(children, id)->orphan && !lose_asker(children, id, out)) {
            return ZA_STEP_MORE;
        }
    }
    for (uint32_t id = 1; id <= children->children.fresh; id++) {
        za_child_t *child = za_child_at(children, id);
        child->patient_until_ms = now_ms + ZA_CHILDREN_ALONE_MS;
        bool placed = is_asked_for(child);
        child->held = child->held || (placed && children->margin_ms > 0);
        child->clear_ms = now_ms;
        if (child_lives(children, id) && child->uid != ZA_CHILDREN_SELF && placed &&
            !za_child_lose_host(children, id, za_Reason_REASON_NODE_DOWN, ZA_CHILDREN_REJOIN_MS,
                                now_ms, out)) {
            return ZA_STEP_MORE;
        }
    }
    return ZA_STEP_DONE;
}

uint64_t za_children_deadline_ms(const za_children_t *children)
{
    uint32_t id = children->waits.first;
    return id != 0 ? za_child_at(children, id)->due_ms : UINT64_MAX;
}

void za_children_stats(const za_children_t *children, za_children_stats_t *out)
{
    *out = children->stats;
    out->children = children->children.count;
    out->guests = children->guests.count;
}
