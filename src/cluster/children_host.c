#include "cluster/children_internal.h"

void za_guest_drop(za_children_t *children, uint32_t id)
{
    za_guest_t *guest = za_guest_at(children, id);
    if (guest->reports) {
        za_chain_remove(&children->reports, &children->guests, ZA_GUEST_REPORTS, id);
    }
    uint32_t entry = guest->actor != 0 ? za_guest_find_actor(children, guest->actor) : 0;
    if (entry != 0) {
        za_slots_remove(&children->actors, entry);
    }
    za_slots_remove(&children->guests, id);
}

static void report_guest(za_children_t *children, uint32_t id)
{
    za_guest_t *guest = za_guest_at(children, id);
    if (!guest->reports) {
        guest->reports = true;
        za_chain_append(&children->reports, &children->guests, ZA_GUEST_REPORTS, id);
    }
}

void za_guest_end(za_children_t *children, uint32_t id, za_Reason reason)
{
    za_guest_t *guest = za_guest_at(children, id);
    guest->phase = ZA_GUEST_ENDED;
    guest->reason = reason;
    if (guest->orphan) {
        za_guest_drop(children, id);
    } else {
        report_guest(children, id);
    }
}

void za_guest_emit_stop(uint64_t actor, za_effects_t *out)
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
bool za_guest_have_room(const za_effects_t *out)
{
    return za_effects_have_room(out, 5,
                                sizeof(za_spawn_spec_t) + ZA_CLASS_NAME_BYTES_MAX + 1 +
                                    ZA_NAME_BYTES_MAX + 1 + ZA_SPAWN_ARGS_BYTES_MAX);
}

/** Makes the guest and asks the node to start it; the caller has made sure of room. */
void za_guest_host(za_children_t *children, uint64_t uid, const za_SysSpawn *frame,
                   za_effects_t *out)
{
    if (za_guest_find(children, uid, frame->request) != 0) {
        return; // one request is one child
    }
    bool room = children->guests.count < ZA_CHILDREN_MAX;
    uint32_t id = za_slots_add(&children->guests, za_children_hash(uid, frame->request));
    if (id == 0) {
        children->stats.refused++;
        za_effects_add(out, ZA_EFFECT_LOG)->name = za_effects_text(
            out, "child table full: a spawn of node %016llx is lost", (unsigned long long)uid);
        return;
    }
    za_guest_t *guest = za_guest_at(children, id);
    guest->uid = uid;
    guest->request = frame->request;
    guest->epoch = frame->epoch;
    guest->asked_as = uid != ZA_CHILDREN_SELF ? uid : za_view_self(children->view);
    if (!room) {
        children->stats.refused++;
        za_guest_end(children, id, za_Reason_REASON_LIMIT);
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
    uint32_t id = za_guest_find(children, uid, request);
    if (id == 0) {
        id = za_guest_find(children, ZA_CHILDREN_SELF, request);
    }
    if (id == 0 || za_guest_at(children, id)->phase != ZA_GUEST_STARTING ||
        za_guest_at(children, id)->asked_as != uid) {
        return;
    }
    za_guest_t *guest = za_guest_at(children, id);
    if (err != ZA_OK) {
        za_guest_end(children, id, reason_of(err));
        return;
    }
    if (guest->orphan) {
        za_guest_emit_stop(actor, out);
        za_guest_drop(children, id);
        return;
    }
    guest->phase = ZA_GUEST_RUNS;
    guest->was_started = true;
    guest->actor = actor;
    uint32_t entry = za_slots_add(&children->actors, za_mix64(actor));
    ZA_ASSERT(entry != 0); // as many as guests that may start
    *(za_guest_actor_t *)za_slots_at(&children->actors, entry) = (za_guest_actor_t){ actor, id };
    report_guest(children, id);
    if (guest->unwanted) {
        za_guest_emit_stop(actor, out);
    }
}

void za_guest_stop(za_children_t *children, uint64_t uid, const za_SysStop *frame,
                   za_effects_t *out)
{
    uint32_t id = za_guest_find(children, uid, frame->request);
    if (id == 0 || za_guest_at(children, id)->epoch != frame->epoch) {
        return;
    }
    za_guest_t *guest = za_guest_at(children, id);
    if (guest->phase == ZA_GUEST_STARTING) {
        guest->unwanted = true;
    } else if (guest->phase == ZA_GUEST_RUNS) {
        za_guest_emit_stop(guest->actor, out);
    }
}
