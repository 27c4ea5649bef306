#include "cluster/children_internal.h"

static void write_spawn(const za_children_t *children, const za_child_t *child, za_SysSpawn *frame)
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
    za_child_t *child = za_child_at(children, id);
    za_SysFrame *frame = za_syslane_draft(children->lane);
    frame->which_body = za_SysFrame_spawn_tag;
    sent_t sent = SENT_YES;
    if (child->uid == ZA_CHILDREN_SELF) {
        if (!za_guest_have_room(out)) {
            return SENT_NO_ROOM;
        }
        write_spawn(children, child, &frame->body.spawn);
        za_guest_host(children, ZA_CHILDREN_SELF, &frame->body.spawn, out);
    } else if (!za_syslane_ready(children->lane, child->uid)) {
        return SENT_LATER;
    } else {
        write_spawn(children, child, &frame->body.spawn);
        sent = send_draft(children, child->uid, now_ms, out);
    }
    if (sent == SENT_YES) {
        child->place = ZA_PLACE_ASKED;
        za_child_set_todo(children, id, ZA_TODO_NONE);
    }
    return sent;
}

static sent_t do_stop(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    za_child_t *child = za_child_at(children, id);
    if (!za_effects_have_room(out, 1, 0)) {
        return SENT_NO_ROOM;
    }
    za_SysStop stop = { .request = child->request, .epoch = child->epoch };
    sent_t sent = SENT_YES;
    if (child->uid == ZA_CHILDREN_SELF) {
        za_guest_stop(children, ZA_CHILDREN_SELF, &stop, out);
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
    if (child->todo == ZA_TODO_FORGET) {
        za_child_drop(children, id);
    } else {
        za_child_set_todo(children, id, ZA_TODO_NONE);
    }
    return SENT_YES;
}

static sent_t do_child(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    switch (za_child_at(children, id)->todo) {
    case ZA_TODO_SPAWN:
        return do_spawn(children, id, now_ms, out);
    case ZA_TODO_STOP:
    case ZA_TODO_FORGET:
        return do_stop(children, id, now_ms, out);
    case ZA_TODO_FAIL:
        if (!za_effects_have_room(out, 1, 0)) {
            return SENT_NO_ROOM;
        }
        za_child_fail(children, id, za_child_at(children, id)->reason, out);
        return SENT_YES;
    case ZA_TODO_NONE:
        break;
    }
    ZA_ASSERT(!"a child in the work list has something to do");
    return SENT_LATER;
}

/** Tells the asker how its guest does. */
static sent_t do_report(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out)
{
    za_guest_t *guest = za_guest_at(children, id);
    if (!za_effects_have_room(out, 1, 0)) {
        return SENT_NO_ROOM;
    }
    bool ended = guest->phase == ZA_GUEST_ENDED;
    za_SysEnded end = { guest->request, guest->epoch, (uint32_t)guest->reason, guest->was_started };
    za_SysSpawned spawned = { guest->request, guest->epoch, guest->actor };
    uint64_t uid = guest->uid;
    if (uid != ZA_CHILDREN_SELF) {
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
    za_chain_remove(&children->reports, &children->guests, ZA_GUEST_REPORTS, id);
    if (ended) {
        za_guest_drop(children, id);
    }
    if (uid == ZA_CHILDREN_SELF && ended) {
        za_child_ended(children, ZA_CHILDREN_SELF, &end, now_ms, out);
    } else if (uid == ZA_CHILDREN_SELF) {
        za_child_spawned(children, ZA_CHILDREN_SELF, &spawned, out);
    }
    return SENT_YES;
}

static za_step_t pump_work(za_children_t *children, uint64_t now_ms, za_effects_t *out)
{
    uint32_t id = children->work.first;
    while (id != 0) {
        uint32_t next = za_chain_next(&children->children, ZA_CHILD_WORK, id);
        if (do_child(children, id, now_ms, out) == SENT_NO_ROOM) {
            return ZA_STEP_MORE;
        }
        id = next;
    }
    return ZA_STEP_DONE;
}

void za_children_each_waiting(const za_children_t *children,
                              void (*visit)(uint64_t uid, void *visitor), void *visitor)
{
    uint64_t last = ZA_CHILDREN_SELF; // most often many wait for the same one
    for (uint32_t id = children->work.first; id != 0;
         id = za_chain_next(&children->children, ZA_CHILD_WORK, id)) {
        uint64_t uid = za_child_at(children, id)->uid;
        if (uid != ZA_CHILDREN_SELF && uid != last) {
            visit(uid, visitor);
        }
        last = uid;
    }
    last = ZA_CHILDREN_SELF;
    for (uint32_t id = children->reports.first; id != 0;
         id = za_chain_next(&children->guests, ZA_GUEST_REPORTS, id)) {
        uint64_t uid = za_guest_at(children, id)->uid;
        if (uid != ZA_CHILDREN_SELF && uid != last) {
            visit(uid, visitor);
        }
        last = uid;
    }
}

za_step_t za_children_pump(za_children_t *children, uint64_t now_ms, za_effects_t *out)
{
    while (children->waits.first != 0 &&
           za_child_at(children, children->waits.first)->due_ms <= now_ms) {
        if (!za_child_place(children, children->waits.first, now_ms, out)) {
            return ZA_STEP_MORE;
        }
    }
    if (pump_work(children, now_ms, out) == ZA_STEP_MORE) {
        return ZA_STEP_MORE;
    }
    uint32_t id = children->reports.first;
    while (id != 0) {
        uint32_t next = za_chain_next(&children->guests, ZA_GUEST_REPORTS, id);
        if (do_report(children, id, now_ms, out) == SENT_NO_ROOM) {
            return ZA_STEP_MORE;
        }
        id = next;
    }
    return ZA_STEP_DONE;
}
