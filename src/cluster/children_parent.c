#include "cluster/children_internal.h"

enum { RETRY_MS = 200 };

void za_child_set_todo(za_children_t *children, uint32_t id, za_child_todo_t todo)
{
    za_child_t *child = za_child_at(children, id);
    if (child->todo == ZA_TODO_NONE && todo != ZA_TODO_NONE) {
        za_chain_append(&children->work, &children->children, ZA_CHILD_WORK, id);
    } else if (child->todo != ZA_TODO_NONE && todo == ZA_TODO_NONE) {
        za_chain_remove(&children->work, &children->children, ZA_CHILD_WORK, id);
    }
    child->todo = todo;
}

static void stop_waiting(za_children_t *children, uint32_t id)
{
    za_child_t *child = za_child_at(children, id);
    if (child->place == ZA_PLACE_RESPAWN && child->todo == ZA_TODO_NONE) {
        za_chain_remove(&children->waits, &children->children, ZA_CHILD_WAITS, id);
    }
}

void za_child_drop(za_children_t *children, uint32_t id)
{
    za_child_t *child = za_child_at(children, id);
    stop_waiting(children, id);
    za_child_set_todo(children, id, ZA_TODO_NONE);
    uint32_t parent_id = za_parent_find(children, child->parent);
    za_parent_t *parent = za_parent_at(children, parent_id);
    za_chain_remove(&parent->children, &children->children, ZA_CHILD_SIBLINGS, id);
    if (parent->children.count == 0) {
        za_slots_remove(&children->parents, parent_id);
    }
    za_blocks_free(&children->args, child->args);
    za_slots_remove(&children->children, id);
}

static void emit_failed(uint64_t parent, uint64_t tag, za_Reason reason, za_effects_t *out)
{
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SPAWN_FAILED);
    effect->actor = parent;
    effect->tag = tag;
    effect->reason = reason;
}

void za_child_fail(za_children_t *children, uint32_t id, za_Reason reason, za_effects_t *out)
{
    const za_child_t *child = za_child_at(children, id);
    emit_failed(child->parent, child->tag, reason, out);
    za_child_drop(children, id);
}

static bool spec_fits(const za_spawn_spec_t *spec)
{
    return spec != NULL && spec->class_name != NULL &&
           strlen(spec->class_name) <= ZA_CLASS_NAME_BYTES_MAX &&
           (spec->name == NULL || strlen(spec->name) <= ZA_NAME_BYTES_MAX) &&
           spec->args_bytes <= ZA_SPAWN_ARGS_BYTES_MAX;
}

static bool add_child(za_children_t *children, uint64_t request, uint64_t parent_actor,
                      uint64_t uid, uint64_t tag, const za_spawn_spec_t *spec)
{
    uint32_t args;
    if (children->children.count == ZA_CHILDREN_MAX ||
        !za_blocks_put(&children->args, spec->args, spec->args_bytes, &args)) {
        return false;
    }
    uint32_t id = za_slots_add(&children->children, za_mix64(request));
    uint32_t parent_id = za_parent_find(children, parent_actor);
    if (parent_id == 0) {
        parent_id = za_slots_add(&children->parents, za_mix64(parent_actor));
        za_parent_at(children, parent_id)->actor = parent_actor;
    }
    za_child_t *child = za_child_at(children, id);
    child->request = request;
    child->parent = parent_actor;
    child->tag = tag;
    child->uid = uid;
    child->rank_below = UINT64_MAX;
    child->epoch = 1;
    child->args = args;
    child->spec = *spec;
    memcpy(child->class_name, spec->class_name, strlen(spec->class_name) + 1);
    if (spec->name != NULL) {
        memcpy(child->name, spec->name, strlen(spec->name) + 1);
    }
    za_chain_append(&za_parent_at(children, parent_id)->children, &children->children,
                    ZA_CHILD_SIBLINGS, id);
    za_child_set_todo(children, id, ZA_TODO_SPAWN);
    return true;
}

void za_children_spawn(za_children_t *children, uint64_t request, uint64_t parent, uint64_t uid,
                       uint64_t tag, const za_spawn_spec_t *spec, za_effects_t *out)
{
    bool self = uid == ZA_CHILDREN_SELF || uid == za_view_self(children->view);
    za_known_t known = self ? ZA_KNOWN_UP : za_view_known(children->view, uid);
    if (known != ZA_KNOWN_UP && known != ZA_KNOWN_LIVE) {
        emit_failed(parent, tag, za_Reason_REASON_NO_NODE, out);
        return;
    }
    if (!spec_fits(spec) || za_child_find(children, request) != 0) {
        emit_failed(parent, tag, za_Reason_REASON_REFUSED, out);
        return;
    }
    if (!add_child(children, request, parent, self ? ZA_CHILDREN_SELF : uid, tag, spec)) {
        children->stats.refused++;
        emit_failed(parent, tag, za_Reason_REASON_LIMIT, out);
    }
}

void za_children_stop(za_children_t *children, uint64_t parent, za_ref_t ref)
{
    uint32_t parent_id = za_parent_find(children, parent);
    if (parent_id == 0) {
        return;
    }
    if (ref.node == za_view_self(children->view)) {
        ref.node = 0;
    }
    uint32_t id = za_parent_at(children, parent_id)->children.first;
    while (id != 0 && !za_ref_equal(za_child_at(children, id)->ref, ref)) {
        id = za_chain_next(&children->children, ZA_CHILD_SIBLINGS, id);
    }
    if (id == 0) {
        return;
    }
    za_child_t *child = za_child_at(children, id);
    child->stopping = true;
    if (child->place == ZA_PLACE_ASKED || child->place == ZA_PLACE_RUNS) {
        za_child_set_todo(children, id, ZA_TODO_STOP);
        return;
    }
    stop_waiting(children, id); // between two hosts: there is nothing to stop
    child->reason = za_Reason_REASON_STOPPED;
    za_child_set_todo(children, id, ZA_TODO_FAIL);
}

/** Its host is gone: a new one after `delay_ms`. */
static void respawn_child(za_children_t *children, uint32_t id, uint64_t due_ms)
{
    za_child_t *child = za_child_at(children, id);
    stop_waiting(children, id);
    za_child_set_todo(children, id, ZA_TODO_NONE);
    child->place = ZA_PLACE_RESPAWN;
    child->due_ms = due_ms;
    uint32_t after = children->waits.last;
    while (after != 0 && za_child_at(children, after)->due_ms > due_ms) {
        after = za_chain_prev(&children->children, ZA_CHILD_WAITS, after);
    }
    za_chain_insert(&children->waits, &children->children, ZA_CHILD_WAITS, after, id);
}

/** The host `uid` of a child is terminal, or we are to it. False: `out` has no room. */
bool za_child_lose_host(za_children_t *children, uint32_t id, za_Reason reason, uint64_t delay_ms,
                        uint64_t now_ms, za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, 0)) {
        return false;
    }
    za_child_t *child = za_child_at(children, id);
    if (child->todo == ZA_TODO_FORGET) {
        za_child_drop(children, id);
        return true;
    }
    if (child->stopping || child->spec.on_node_down == ZA_NODE_DOWN_STOP) {
        za_child_fail(children, id, child->stopping ? za_Reason_REASON_STOPPED : reason, out);
        return true;
    }
    uint64_t jitter = za_rng_below(&children->rng, ZA_CHILDREN_JITTER_MS);
    if (reason == za_Reason_REASON_NODE_DOWN) {
        delay_ms += children->margin_ms; // its last host may have heard of it later than we
    }
    child->epoch++;
    child->rank_below = UINT64_MAX;
    child->tried_self = false;
    child->patient_until_ms = now_ms + ZA_CHILDREN_ALONE_MS;
    respawn_child(children, id, now_ms + delay_ms + jitter);
    return true;
}

typedef struct choice {
    uint64_t request;
    uint64_t self;
    uint64_t rank_below;
    uint64_t uid;
    uint64_t rank;
    bool self_up;
} choice_t;

static void weigh(uint64_t uid, void *visitor)
{
    choice_t *choice = visitor;
    if (uid == choice->self) {
        choice->self_up = true;
        return;
    }
    // Rendezvous: every request has its own order of hosts, so a dead node's children spread.
    uint64_t rank = za_children_hash(uid, choice->request);
    if (rank < choice->rank_below && (choice->uid == 0 || rank > choice->rank)) {
        choice->uid = uid;
        choice->rank = rank;
    }
}

/**
 * Consistency mode: a node that is no member, or on a side that could lose, starts nothing, for the
 * cluster may go on elsewhere; and the others need time to stop what they have of us.
 */
static bool must_wait(za_children_t *children, bool self_up, uint64_t now_ms)
{
    const za_view_t *view = children->view;
    bool sure = self_up && (view->may_claim == NULL || view->may_claim(view->context));
    if (!sure) {
        children->unsure_ms = now_ms;
        return true;
    }
    return children->unsure_ms != 0 && now_ms - children->unsure_ms < children->margin_ms;
}

/**
 * Whether the last host of a child of ours has had the time to stop it since our uid changed: it is
 * gone, or it has a link to who we are now, and so has heard who we were.
 */
static bool is_held(za_children_t *children, za_child_t *child, uint64_t now_ms)
{
    if (!child->held) {
        return false;
    }
    za_known_t known = za_view_known(children->view, child->uid);
    bool told = known == ZA_KNOWN_UP && za_syslane_ready(children->lane, child->uid);
    if (known == ZA_KNOWN_LIVE || (known == ZA_KNOWN_UP && !told)) {
        child->clear_ms = now_ms;
        return true;
    }
    return now_ms - child->clear_ms < children->margin_ms;
}

/** Chooses a host for the child that is due. False: `out` has no room. */
bool za_child_place(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    if (!za_effects_have_room(out, 2, 0)) {
        return false;
    }
    za_child_t *child = za_child_at(children, id);
    choice_t choice = { .request = child->request ^ children->salt,
                        .self = za_view_self(children->view),
                        .rank_below = child->rank_below };
    children->view->each_up(children->view->context, weigh, &choice);
    if (children->margin_ms > 0 &&
        (must_wait(children, choice.self_up, now_ms) || is_held(children, child, now_ms))) {
        respawn_child(children, id, now_ms + RETRY_MS);
        return true;
    }
    if (choice.uid == 0 && !choice.self_up && now_ms < child->patient_until_ms) {
        respawn_child(children, id,
                      now_ms + RETRY_MS); // joining: the others are not known again yet
        return true;
    }
    if (choice.uid == 0 && child->tried_self) {
        za_child_fail(children, id, za_Reason_REASON_REFUSED, out);
        return true;
    }
    stop_waiting(children, id);
    child->held = false;
    child->place = ZA_PLACE_NEW;
    child->uid = choice.uid; // 0 is ZA_CHILDREN_SELF, the last resort
    child->rank_below = choice.rank;
    child->tried_self = choice.uid == 0;
    za_child_set_todo(children, id, ZA_TODO_SPAWN);
    children->stats.respawns++;
    za_effects_add(out, ZA_EFFECT_MARK)->mark = ZA_MARK_RESPAWN;
    return true;
}

void za_child_spawned(za_children_t *children, uint64_t uid, const za_SysSpawned *frame,
                      za_effects_t *out)
{
    uint32_t id = za_child_find(children, frame->request);
    if (id == 0) {
        return; // its parent ended, and a stop is on its way
    }
    za_child_t *child = za_child_at(children, id);
    if (child->uid != uid || child->epoch != frame->epoch || child->place != ZA_PLACE_ASKED) {
        return;
    }
    child->place = ZA_PLACE_RUNS;
    child->ref = (za_ref_t){ uid, frame->actor };
    if (child->todo == ZA_TODO_FORGET) {
        return;
    }
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SPAWNED);
    effect->actor = child->parent;
    effect->tag = child->tag;
    effect->ref = child->ref;
    effect->epoch = child->epoch;
}

void za_child_ended(za_children_t *children, uint64_t uid, const za_SysEnded *frame,
                    uint64_t now_ms, za_effects_t *out)
{
    uint32_t id = za_child_find(children, frame->request);
    if (id == 0) {
        return;
    }
    za_child_t *child = za_child_at(children, id);
    if (child->uid != uid || child->epoch != frame->epoch ||
        (child->place != ZA_PLACE_ASKED && child->place != ZA_PLACE_RUNS)) {
        return;
    }
    if (child->todo == ZA_TODO_FORGET) {
        za_child_drop(children, id);
        return;
    }
    // A host of our choice may not allow the class: the next one may. The user's choice is final.
    bool refused = !frame->started && frame->reason == za_Reason_REASON_REFUSED;
    if (refused && child->epoch > 1 && !child->stopping) {
        respawn_child(children, id, now_ms);
        return;
    }
    za_child_fail(children, id, (za_Reason)frame->reason, out);
}
