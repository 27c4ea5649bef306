#include "cluster/children.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/rng.h"

enum {
    ARGS_BLOCKS = 32 * 1024, // 4 MiB of arguments
    REFUSALS_MAX = 1024,     // guest records that only say "limit"
    SELF = 0,                // a host's or asker's uid: this node, whatever its uid is
    RETRY_MS = 200,
};

typedef enum place {
    PLACE_NEW,     // not asked for yet
    PLACE_ASKED,   // the host is starting it
    PLACE_RUNS,    // the host said so
    PLACE_RESPAWN, // its host is gone: a new one is chosen at due_ms
} place_t;

typedef enum todo {
    TODO_NONE,
    TODO_SPAWN,
    TODO_STOP,   // the host's answer ends the record
    TODO_FORGET, // stop it, and nobody waits for the answer
    TODO_FAIL,   // tell the parent
} todo_t;

typedef struct child {
    uint64_t request;
    uint64_t parent;
    uint64_t tag;
    uint64_t uid;        // of the host
    uint64_t rank_below; // hosts of this rank and above have refused
    uint64_t due_ms;
    uint64_t patient_until_ms; // not up ourselves: wait for others until then
    za_ref_t ref;              // of the present or last incarnation
    uint32_t epoch;
    uint32_t args; // blocks
    place_t place;
    todo_t todo;
    za_Reason reason;  // TODO_FAIL
    uint64_t clear_ms; // since when its last host surely has heard that we are another uid
    bool held;         // our uid changed: its last host may not have stopped it yet
    bool tried_self;
    bool stopping;        // its parent wants it to end: no host's end starts it again
    za_spawn_spec_t spec; // its pointers are not used
    char class_name[ZA_CLASS_NAME_BYTES_MAX + 1];
    char name[ZA_NAME_BYTES_MAX + 1];
    za_link_t siblings, work, waits;
} child_t;

typedef struct parent {
    uint64_t actor;
    za_chain_t children;
} parent_t;

typedef enum phase { PHASE_STARTING, PHASE_RUNS, PHASE_ENDED } phase_t;

typedef struct guest {
    uint64_t uid; // of the parent's node
    uint64_t request;
    uint64_t actor;
    uint64_t asked_as; // the uid in SPAWN_LOCAL: our own, of that time, for SELF
    uint32_t epoch;
    phase_t phase;
    za_Reason reason;
    bool was_started;
    bool reports;  // in the work list
    bool unwanted; // starting, and to be stopped once it runs
    bool orphan;   // nobody is told
    za_link_t work;
} guest_t;

typedef struct actor_entry {
    uint64_t actor;
    uint32_t guest;
} actor_entry_t;

struct za_children {
    const za_view_t *view;
    za_syslane_t *lane;
    za_rng_t rng;
    uint64_t salt;       // requests are numbered from 1 on every node
    za_slots_t children; // by request
    za_slots_t parents;  // by actor
    za_slots_t guests;   // by uid and request
    za_slots_t actors;   // guests by actor
    za_blocks_t args;
    za_chain_t work;    // children with something to do
    za_chain_t waits;   // children to be respawned, the first due first
    za_chain_t reports; // guests with something to tell
    uint32_t margin_ms; // 0: availability mode
    uint64_t unsure_ms; // when we were last seen on no side, or one that could lose
    za_children_stats_t stats;
    uint8_t bytes[ZA_SPAWN_ARGS_BYTES_MAX];
};

#define SIBLINGS offsetof(child_t, siblings)
#define WORK offsetof(child_t, work)
#define WAITS offsetof(child_t, waits)
#define REPORTS offsetof(guest_t, work)

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
    if (za_slots_init(&children->children, ZA_CHILDREN_MAX, sizeof(child_t)) != ZA_OK ||
        za_slots_init(&children->parents, ZA_CHILDREN_MAX, sizeof(parent_t)) != ZA_OK ||
        za_slots_init(&children->guests, ZA_CHILDREN_MAX + REFUSALS_MAX, sizeof(guest_t)) !=
            ZA_OK ||
        za_slots_init(&children->actors, ZA_CHILDREN_MAX, sizeof(actor_entry_t)) != ZA_OK ||
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

static child_t *child_at(const za_children_t *children, uint32_t id)
{
    return za_slots_at(&children->children, id);
}

static guest_t *guest_at(const za_children_t *children, uint32_t id)
{
    return za_slots_at(&children->guests, id);
}

static parent_t *parent_at(const za_children_t *children, uint32_t id)
{
    return za_slots_at(&children->parents, id);
}

static uint32_t find_child(const za_children_t *children, uint64_t request)
{
    uint32_t id = za_slots_first(&children->children, za_mix64(request));
    while (id != 0 && child_at(children, id)->request != request) {
        id = za_slots_next(&children->children, id);
    }
    return id;
}

static uint32_t find_parent(const za_children_t *children, uint64_t actor)
{
    uint32_t id = za_slots_first(&children->parents, za_mix64(actor));
    while (id != 0 && parent_at(children, id)->actor != actor) {
        id = za_slots_next(&children->parents, id);
    }
    return id;
}

static uint64_t guest_hash(uint64_t uid, uint64_t request)
{
    return za_mix64(uid ^ za_mix64(request));
}

static uint32_t find_guest(const za_children_t *children, uint64_t uid, uint64_t request)
{
    uint32_t id = za_slots_first(&children->guests, guest_hash(uid, request));
    while (id != 0 &&
           (guest_at(children, id)->uid != uid || guest_at(children, id)->request != request)) {
        id = za_slots_next(&children->guests, id);
    }
    return id;
}

static uint32_t find_actor(const za_children_t *children, uint64_t actor)
{
    uint32_t id = za_slots_first(&children->actors, za_mix64(actor));
    while (id != 0 && ((actor_entry_t *)za_slots_at(&children->actors, id))->actor != actor) {
        id = za_slots_next(&children->actors, id);
    }
    return id;
}

/* ---- children: the parent's end --------------------------------------------------------------- */

static void set_todo(za_children_t *children, uint32_t id, todo_t todo)
{
    child_t *child = child_at(children, id);
    if (child->todo == TODO_NONE && todo != TODO_NONE) {
        za_chain_append(&children->work, &children->children, WORK, id);
    } else if (child->todo != TODO_NONE && todo == TODO_NONE) {
        za_chain_remove(&children->work, &children->children, WORK, id);
    }
    child->todo = todo;
}

static void stop_waiting(za_children_t *children, uint32_t id)
{
    child_t *child = child_at(children, id);
    if (child->place == PLACE_RESPAWN && child->todo == TODO_NONE) {
        za_chain_remove(&children->waits, &children->children, WAITS, id);
    }
}

static void drop_child(za_children_t *children, uint32_t id)
{
    child_t *child = child_at(children, id);
    stop_waiting(children, id);
    set_todo(children, id, TODO_NONE);
    uint32_t parent_id = find_parent(children, child->parent);
    parent_t *parent = parent_at(children, parent_id);
    za_chain_remove(&parent->children, &children->children, SIBLINGS, id);
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

static void fail_child(za_children_t *children, uint32_t id, za_Reason reason, za_effects_t *out)
{
    const child_t *child = child_at(children, id);
    emit_failed(child->parent, child->tag, reason, out);
    drop_child(children, id);
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
    uint32_t parent_id = find_parent(children, parent_actor);
    if (parent_id == 0) {
        parent_id = za_slots_add(&children->parents, za_mix64(parent_actor));
        parent_at(children, parent_id)->actor = parent_actor;
    }
    child_t *child = child_at(children, id);
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
    za_chain_append(&parent_at(children, parent_id)->children, &children->children, SIBLINGS, id);
    set_todo(children, id, TODO_SPAWN);
    return true;
}

void za_children_spawn(za_children_t *children, uint64_t request, uint64_t parent, uint64_t uid,
                       uint64_t tag, const za_spawn_spec_t *spec, za_effects_t *out)
{
    bool self = uid == SELF || uid == za_view_self(children->view);
    za_known_t known = self ? ZA_KNOWN_UP : za_view_known(children->view, uid);
    if (known != ZA_KNOWN_UP && known != ZA_KNOWN_LIVE) {
        emit_failed(parent, tag, za_Reason_REASON_NO_NODE, out);
        return;
    }
    if (!spec_fits(spec) || find_child(children, request) != 0) {
        emit_failed(parent, tag, za_Reason_REASON_REFUSED, out);
        return;
    }
    if (!add_child(children, request, parent, self ? SELF : uid, tag, spec)) {
        children->stats.refused++;
        emit_failed(parent, tag, za_Reason_REASON_LIMIT, out);
    }
}

void za_children_stop(za_children_t *children, uint64_t parent, za_ref_t ref)
{
    uint32_t parent_id = find_parent(children, parent);
    if (parent_id == 0) {
        return;
    }
    if (ref.node == za_view_self(children->view)) {
        ref.node = 0;
    }
    uint32_t id = parent_at(children, parent_id)->children.first;
    while (id != 0 && !za_ref_equal(child_at(children, id)->ref, ref)) {
        id = za_chain_next(&children->children, SIBLINGS, id);
    }
    if (id == 0) {
        return;
    }
    child_t *child = child_at(children, id);
    child->stopping = true;
    if (child->place == PLACE_ASKED || child->place == PLACE_RUNS) {
        set_todo(children, id, TODO_STOP);
        return;
    }
    stop_waiting(children, id); // between two hosts: there is nothing to stop
    child->reason = za_Reason_REASON_STOPPED;
    set_todo(children, id, TODO_FAIL);
}

/** Its host is gone: a new one after `delay_ms`. */
static void respawn_child(za_children_t *children, uint32_t id, uint64_t due_ms)
{
    child_t *child = child_at(children, id);
    stop_waiting(children, id);
    set_todo(children, id, TODO_NONE);
    child->place = PLACE_RESPAWN;
    child->due_ms = due_ms;
    uint32_t after = children->waits.last;
    while (after != 0 && child_at(children, after)->due_ms > due_ms) {
        after = za_chain_prev(&children->children, WAITS, after);
    }
    za_chain_insert(&children->waits, &children->children, WAITS, after, id);
}

/** The host `uid` of a child is terminal, or we are to it. False: `out` has no room. */
static bool lose_host(za_children_t *children, uint32_t id, za_Reason reason, uint64_t delay_ms,
                      uint64_t now_ms, za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, 0)) {
        return false;
    }
    child_t *child = child_at(children, id);
    if (child->todo == TODO_FORGET) {
        drop_child(children, id);
        return true;
    }
    if (child->stopping || child->spec.on_node_down == ZA_NODE_DOWN_STOP) {
        fail_child(children, id, child->stopping ? za_Reason_REASON_STOPPED : reason, out);
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
    uint64_t rank = guest_hash(uid, choice->request);
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
static bool is_held(za_children_t *children, child_t *child, uint64_t now_ms)
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
static bool place_child(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    if (!za_effects_have_room(out, 2, 0)) {
        return false;
    }
    child_t *child = child_at(children, id);
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
        fail_child(children, id, za_Reason_REASON_REFUSED, out);
        return true;
    }
    stop_waiting(children, id);
    child->held = false;
    child->place = PLACE_NEW;
    child->uid = choice.uid; // 0 is SELF, the last resort
    child->rank_below = choice.rank;
    child->tried_self = choice.uid == 0;
    set_todo(children, id, TODO_SPAWN);
    children->stats.respawns++;
    za_effects_add(out, ZA_EFFECT_MARK)->mark = ZA_MARK_RESPAWN;
    return true;
}

static void child_spawned(za_children_t *children, uint64_t uid, const za_SysSpawned *frame,
                          za_effects_t *out)
{
    uint32_t id = find_child(children, frame->request);
    if (id == 0) {
        return; // its parent ended, and a stop is on its way
    }
    child_t *child = child_at(children, id);
    if (child->uid != uid || child->epoch != frame->epoch || child->place != PLACE_ASKED) {
        return;
    }
    child->place = PLACE_RUNS;
    child->ref = (za_ref_t){ uid, frame->actor };
    if (child->todo == TODO_FORGET) {
        return;
    }
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SPAWNED);
    effect->actor = child->parent;
    effect->tag = child->tag;
    effect->ref = child->ref;
    effect->epoch = child->epoch;
}

static void child_ended(za_children_t *children, uint64_t uid, const za_SysEnded *frame,
                        uint64_t now_ms, za_effects_t *out)
{
    uint32_t id = find_child(children, frame->request);
    if (id == 0) {
        return;
    }
    child_t *child = child_at(children, id);
    if (child->uid != uid || child->epoch != frame->epoch ||
        (child->place != PLACE_ASKED && child->place != PLACE_RUNS)) {
        return;
    }
    if (child->todo == TODO_FORGET) {
        drop_child(children, id);
        return;
    }
    // A host of our choice may not allow the class: the next one may. The user's choice is final.
    bool refused = !frame->started && frame->reason == za_Reason_REASON_REFUSED;
    if (refused && child->epoch > 1 && !child->stopping) {
        respawn_child(children, id, now_ms);
        return;
    }
    fail_child(children, id, (za_Reason)frame->reason, out);
}

/* ---- guests: the host's end ------------------------------------------------------------------- */

static void drop_guest(za_children_t *children, uint32_t id)
{
    guest_t *guest = guest_at(children, id);
    if (guest->reports) {
        za_chain_remove(&children->reports, &children->guests, REPORTS, id);
    }
    uint32_t entry = guest->actor != 0 ? find_actor(children, guest->actor) : 0;
    if (entry != 0) {
        za_slots_remove(&children->actors, entry);
    }
    za_slots_remove(&children->guests, id);
}

static void report_guest(za_children_t *children, uint32_t id)
{
    guest_t *guest = guest_at(children, id);
    if (!guest->reports) {
        guest->reports = true;
        za_chain_append(&children->reports, &children->guests, REPORTS, id);
    }
}

static void end_guest(za_children_t *children, uint32_t id, za_Reason reason)
{
    guest_t *guest = guest_at(children, id);
    guest->phase = PHASE_ENDED;
    guest->reason = reason;
    if (guest->orphan) {
        drop_guest(children, id);
    } else {
        report_guest(children, id);
    }
}

static void emit_stop(uint64_t actor, za_effects_t *out)
{
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_STOP_LOCAL);
    effect->actor = actor;
    effect->reason = za_Reason_REASON_STOPPED;
}

static const char *copy_text(za_effects_t *out, const char *text)
{
    uint32_t size = (uint32_t)strlen(text) + 1;
    char *copy = za_effects_alloc(out, size);
    memcpy(copy, text, size);
    return copy;
}

/** Room of one SPAWN_LOCAL with all that hangs on it. */
static bool have_spawn_room(const za_effects_t *out)
{
    return za_effects_have_room(out, 5,
                                sizeof(za_spawn_spec_t) + ZA_CLASS_NAME_BYTES_MAX + 1 +
                                    ZA_NAME_BYTES_MAX + 1 + ZA_SPAWN_ARGS_BYTES_MAX);
}

/** Makes the guest and asks the node to start it; the caller has made sure of room. */
static void host_guest(za_children_t *children, uint64_t uid, const za_SysSpawn *frame,
                       za_effects_t *out)
{
    if (find_guest(children, uid, frame->request) != 0) {
        return; // one request is one child
    }
    bool room = children->guests.count < ZA_CHILDREN_MAX;
    uint32_t id = za_slots_add(&children->guests, guest_hash(uid, frame->request));
    if (id == 0) {
        children->stats.refused++;
        za_effects_add(out, ZA_EFFECT_LOG)->name = za_effects_text(
            out, "child table full: a spawn of node %016llx is lost", (unsigned long long)uid);
        return;
    }
    guest_t *guest = guest_at(children, id);
    guest->uid = uid;
    guest->request = frame->request;
    guest->epoch = frame->epoch;
    guest->asked_as = uid != SELF ? uid : za_view_self(children->view);
    if (!room) {
        children->stats.refused++;
        end_guest(children, id, za_Reason_REASON_LIMIT);
        return;
    }
    za_spawn_spec_t *spec = za_effects_alloc(out, sizeof *spec);
    *spec = (za_spawn_spec_t){
        .class_name = copy_text(out, frame->class_name),
        .name = frame->name[0] != '\0' ? copy_text(out, frame->name) : NULL,
        .parent = frame->parent,
        .mailbox = frame->mailbox,
        .overflow = frame->overflow,
        .restart = frame->restart,
        .max_restarts = frame->max_restarts,
        .within_ms = frame->within_ms,
        .backoff_min_ms = frame->backoff_min_ms,
        .backoff_max_ms = frame->backoff_max_ms,
        .on_limit = frame->on_limit,
        .on_node_down = frame->on_node_down,
        .stash = frame->stash,
        .args_type_id = frame->args_type,
        .args_bytes = frame->args.size,
    };
    uint8_t *args = za_effects_alloc(out, frame->args.size);
    memcpy(args, frame->args.bytes, frame->args.size);
    spec->args = args;
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SPAWN_LOCAL);
    effect->id = frame->request;
    effect->uid = guest->asked_as;
    effect->epoch = frame->epoch;
    effect->spawn = spec;
}

static za_Reason reason_of(za_err_t err)
{
    switch (err) {
    case ZA_EDENIED:
    case ZA_ENOENT:
    case ZA_ESTOPPING:
        return za_Reason_REASON_REFUSED;
    case ZA_ENOBUFS:
    case ZA_ENOMEM:
        return za_Reason_REASON_LIMIT;
    case ZA_EPROTO:
    case ZA_ETYPE:
        return za_Reason_REASON_BAD_MESSAGE;
    default:
        return za_Reason_REASON_FAILED;
    }
}

void za_children_started(za_children_t *children, uint64_t request, uint64_t uid, uint64_t actor,
                         za_err_t err, za_effects_t *out)
{
    uint32_t id = find_guest(children, uid, request);
    if (id == 0) {
        id = find_guest(children, SELF, request);
    }
    if (id == 0 || guest_at(children, id)->phase != PHASE_STARTING ||
        guest_at(children, id)->asked_as != uid) {
        return;
    }
    guest_t *guest = guest_at(children, id);
    if (err != ZA_OK) {
        end_guest(children, id, reason_of(err));
        return;
    }
    if (guest->orphan) {
        emit_stop(actor, out);
        drop_guest(children, id);
        return;
    }
    guest->phase = PHASE_RUNS;
    guest->was_started = true;
    guest->actor = actor;
    uint32_t entry = za_slots_add(&children->actors, za_mix64(actor));
    ZA_ASSERT(entry != 0); // as many as guests that may start
    *(actor_entry_t *)za_slots_at(&children->actors, entry) = (actor_entry_t){ actor, id };
    report_guest(children, id);
    if (guest->unwanted) {
        emit_stop(actor, out);
    }
}

static void stop_guest(za_children_t *children, uint64_t uid, const za_SysStop *frame,
                       za_effects_t *out)
{
    uint32_t id = find_guest(children, uid, frame->request);
    if (id == 0 || guest_at(children, id)->epoch != frame->epoch) {
        return;
    }
    guest_t *guest = guest_at(children, id);
    if (guest->phase == PHASE_STARTING) {
        guest->unwanted = true;
    } else if (guest->phase == PHASE_RUNS) {
        emit_stop(guest->actor, out);
    }
}

void za_children_actor_stopped(za_children_t *children, uint64_t actor, za_Reason reason)
{
    uint32_t entry = find_actor(children, actor);
    if (entry != 0) {
        end_guest(children, ((actor_entry_t *)za_slots_at(&children->actors, entry))->guest,
                  reason);
    }
    uint32_t parent_id = find_parent(children, actor);
    uint32_t id = parent_id != 0 ? parent_at(children, parent_id)->children.first : 0;
    while (id != 0) {
        uint32_t next = za_chain_next(&children->children, SIBLINGS, id);
        const child_t *child = child_at(children, id);
        if (child->place == PLACE_ASKED || child->place == PLACE_RUNS) {
            set_todo(children, id, TODO_FORGET);
        } else {
            drop_child(children, id);
        }
        id = next;
    }
}

void za_children_frame(za_children_t *children, uint64_t uid, const za_SysFrame *frame,
                       uint64_t now_ms, za_effects_t *out)
{
    switch (frame->which_body) {
    case za_SysFrame_spawn_tag:
        host_guest(children, uid, &frame->body.spawn, out);
        break;
    case za_SysFrame_spawned_tag:
        child_spawned(children, uid, &frame->body.spawned, out);
        break;
    case za_SysFrame_ended_tag:
        child_ended(children, uid, &frame->body.ended, now_ms, out);
        break;
    case za_SysFrame_stop_tag:
        stop_guest(children, uid, &frame->body.stop, out);
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
    guest_t *guest = guest_at(children, id);
    if (guest->phase == PHASE_STARTING) {
        guest->orphan = true; // stopped as soon as it has started
        return true;
    }
    if (guest->phase == PHASE_RUNS) {
        emit_stop(guest->actor, out);
    }
    drop_guest(children, id);
    return true;
}

static bool child_lives(const za_children_t *children, uint32_t id)
{
    return find_child(children, child_at(children, id)->request) == id;
}

static bool guest_lives(const za_children_t *children, uint32_t id)
{
    const guest_t *guest = guest_at(children, id);
    return find_guest(children, guest->uid, guest->request) == id;
}

za_step_t za_children_gone(za_children_t *children, uint64_t uid, za_Reason reason, uint64_t now_ms,
                           za_effects_t *out)
{
    for (uint32_t id = 1; id <= children->guests.fresh; id++) {
        if (guest_lives(children, id) && guest_at(children, id)->uid == uid &&
            !guest_at(children, id)->orphan && !lose_asker(children, id, out)) {
            return ZA_STEP_MORE;
        }
    }
    for (uint32_t id = 1; id <= children->children.fresh; id++) {
        if (child_lives(children, id) && child_at(children, id)->uid == uid &&
            child_at(children, id)->place != PLACE_RESPAWN &&
            !lose_host(children, id, reason, 0, now_ms, out)) {
            return ZA_STEP_MORE;
        }
    }
    return ZA_STEP_DONE;
}

za_step_t za_children_reborn(za_children_t *children, uint64_t now_ms, za_effects_t *out)
{
    for (uint32_t id = 1; id <= children->guests.fresh; id++) {
        if (guest_lives(children, id) && guest_at(children, id)->uid != SELF &&
            !guest_at(children, id)->orphan && !lose_asker(children, id, out)) {
            return ZA_STEP_MORE;
        }
    }
    for (uint32_t id = 1; id <= children->children.fresh; id++) {
        child_t *child = child_at(children, id);
        child->patient_until_ms = now_ms + ZA_CHILDREN_ALONE_MS;
        bool placed = child->place == PLACE_ASKED || child->place == PLACE_RUNS;
        child->held = child->held || (placed && children->margin_ms > 0);
        child->clear_ms = now_ms;
        if (child_lives(children, id) && child->uid != SELF && placed &&
            !lose_host(children, id, za_Reason_REASON_NODE_DOWN, ZA_CHILDREN_REJOIN_MS, now_ms,
                       out)) {
            return ZA_STEP_MORE;
        }
    }
    return ZA_STEP_DONE;
}

/* ---- pump ------------------------------------------------------------------------------------- */

static void write_spawn(const za_children_t *children, const child_t *child, za_SysSpawn *frame)
{
    const za_spawn_spec_t *spec = &child->spec;
    frame->request = child->request;
    frame->epoch = child->epoch;
    frame->parent = child->parent;
    memcpy(frame->class_name, child->class_name, sizeof child->class_name);
    memcpy(frame->name, child->name, sizeof child->name);
    frame->mailbox = spec->mailbox;
    frame->overflow = spec->overflow;
    frame->restart = spec->restart;
    frame->max_restarts = spec->max_restarts;
    frame->within_ms = spec->within_ms;
    frame->backoff_min_ms = spec->backoff_min_ms;
    frame->backoff_max_ms = spec->backoff_max_ms;
    frame->on_limit = spec->on_limit;
    frame->on_node_down = spec->on_node_down;
    frame->stash = spec->stash;
    frame->args_type = spec->args_type_id;
    frame->args.size = (pb_size_t)spec->args_bytes;
    za_blocks_get(&children->args, child->args, frame->args.bytes, spec->args_bytes);
}

typedef enum sent { SENT_YES, SENT_LATER, SENT_NO_ROOM } sent_t;

/** Sends the draft to `uid`, which is not this node. */
static sent_t send_draft(za_children_t *children, uint64_t uid, uint64_t now_ms, za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, za_SysFrame_size + 64)) {
        return SENT_NO_ROOM;
    }
    return za_syslane_send(children->lane, uid, 0, 0, now_ms, out) ? SENT_YES : SENT_LATER;
}

static sent_t do_spawn(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    child_t *child = child_at(children, id);
    za_SysFrame *frame = za_syslane_draft(children->lane);
    frame->which_body = za_SysFrame_spawn_tag;
    sent_t sent = SENT_YES;
    if (child->uid == SELF) {
        if (!have_spawn_room(out)) {
            return SENT_NO_ROOM;
        }
        write_spawn(children, child, &frame->body.spawn);
        host_guest(children, SELF, &frame->body.spawn, out);
    } else if (!za_syslane_ready(children->lane, child->uid)) {
        return SENT_LATER;
    } else {
        write_spawn(children, child, &frame->body.spawn);
        sent = send_draft(children, child->uid, now_ms, out);
    }
    if (sent == SENT_YES) {
        child->place = PLACE_ASKED;
        set_todo(children, id, TODO_NONE);
    }
    return sent;
}

static sent_t do_stop(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    child_t *child = child_at(children, id);
    if (!za_effects_have_room(out, 1, 0)) {
        return SENT_NO_ROOM;
    }
    za_SysStop stop = { .request = child->request, .epoch = child->epoch };
    sent_t sent = SENT_YES;
    if (child->uid == SELF) {
        stop_guest(children, SELF, &stop, out);
    } else if (!za_syslane_ready(children->lane, child->uid)) {
        return SENT_LATER;
    } else {
        za_SysFrame *frame = za_syslane_draft(children->lane);
        frame->which_body = za_SysFrame_stop_tag;
        frame->body.stop = stop;
        sent = send_draft(children, child->uid, now_ms, out);
    }
    if (sent != SENT_YES) {
        return sent;
    }
    if (child->todo == TODO_FORGET) {
        drop_child(children, id);
    } else {
        set_todo(children, id, TODO_NONE);
    }
    return SENT_YES;
}

static sent_t do_child(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    switch (child_at(children, id)->todo) {
    case TODO_SPAWN:
        return do_spawn(children, id, now_ms, out);
    case TODO_STOP:
    case TODO_FORGET:
        return do_stop(children, id, now_ms, out);
    case TODO_FAIL:
        if (!za_effects_have_room(out, 1, 0)) {
            return SENT_NO_ROOM;
        }
        fail_child(children, id, child_at(children, id)->reason, out);
        return SENT_YES;
    case TODO_NONE:
        break;
    }
    ZA_ASSERT(!"a child in the work list has something to do");
    return SENT_LATER;
}

/** Tells the asker how its guest does. */
static sent_t do_report(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    guest_t *guest = guest_at(children, id);
    if (!za_effects_have_room(out, 1, 0)) {
        return SENT_NO_ROOM;
    }
    bool ended = guest->phase == PHASE_ENDED;
    za_SysEnded end = { guest->request, guest->epoch, (uint32_t)guest->reason, guest->was_started };
    za_SysSpawned spawned = { guest->request, guest->epoch, guest->actor };
    uint64_t uid = guest->uid;
    if (uid != SELF) {
        if (!za_syslane_ready(children->lane, uid)) {
            return SENT_LATER;
        }
        za_SysFrame *frame = za_syslane_draft(children->lane);
        frame->which_body = ended ? za_SysFrame_ended_tag : za_SysFrame_spawned_tag;
        if (ended) {
            frame->body.ended = end;
        } else {
            frame->body.spawned = spawned;
        }
        sent_t sent = send_draft(children, uid, now_ms, out);
        if (sent != SENT_YES) {
            return sent;
        }
    }
    guest->reports = false;
    za_chain_remove(&children->reports, &children->guests, REPORTS, id);
    if (ended) {
        drop_guest(children, id);
    }
    if (uid == SELF && ended) {
        child_ended(children, SELF, &end, now_ms, out);
    } else if (uid == SELF) {
        child_spawned(children, SELF, &spawned, out);
    }
    return SENT_YES;
}

static za_step_t pump_work(za_children_t *children, uint64_t now_ms, za_effects_t *out)
{
    uint32_t id = children->work.first;
    while (id != 0) {
        uint32_t next = za_chain_next(&children->children, WORK, id);
        if (do_child(children, id, now_ms, out) == SENT_NO_ROOM) {
            return ZA_STEP_MORE;
        }
        id = next;
    }
    return ZA_STEP_DONE;
}

za_step_t za_children_pump(za_children_t *children, uint64_t now_ms, za_effects_t *out)
{
    while (children->waits.first != 0 &&
           child_at(children, children->waits.first)->due_ms <= now_ms) {
        if (!place_child(children, children->waits.first, now_ms, out)) {
            return ZA_STEP_MORE;
        }
    }
    if (pump_work(children, now_ms, out) == ZA_STEP_MORE) {
        return ZA_STEP_MORE;
    }
    uint32_t id = children->reports.first;
    while (id != 0) {
        uint32_t next = za_chain_next(&children->guests, REPORTS, id);
        if (do_report(children, id, now_ms, out) == SENT_NO_ROOM) {
            return ZA_STEP_MORE;
        }
        id = next;
    }
    return ZA_STEP_DONE;
}

uint64_t za_children_deadline_ms(const za_children_t *children)
{
    uint32_t id = children->waits.first;
    return id != 0 ? child_at(children, id)->due_ms : UINT64_MAX;
}

void za_children_stats(const za_children_t *children, za_children_stats_t *out)
{
    *out = children->stats;
    out->children = children->children.count;
    out->guests = children->guests.count;
}
