#include "core/message.h"

#include <string.h>

#include "core/worker.h"

void za_dead_letter(za_worker_t *worker, za_Reason reason)
{
    ZA_TALLY(worker, dead_by_reason[(unsigned)reason % 16]);
}

za_message_t *za_signal_make(za_worker_t *worker, za_kind_t kind, uint64_t actor, uint64_t ask,
                             uint64_t reason)
{
    za_message_t *message = za_message_make(worker, kind, 0, ZA_POOL_BEYOND);
    if (message == NULL) {
        return NULL;
    }
    message->reason = reason;
    message->actor = actor;
    message->sender = ZA_REF_NONE;
    message->ask = ask;
    message->deadline_ms = 0;
    return message;
}

void za_message_fail(za_worker_t *worker, za_message_t *message, za_Reason reason)
{
    za_runtime_t *runtime = worker->runtime;
    if (message->block.kind != ZA_KIND_USER || message->ask == 0) {
        za_message_drop(worker, message);
        return;
    }
    if (message->sender.node != 0) {
        if (runtime->remote.ask_failed != NULL) {
            runtime->remote.ask_failed(runtime->config.remote_context, worker, message->sender,
                                       message->ask, reason);
        }
        za_message_drop(worker, message);
        return;
    }
    za_cell_t *asker = za_cell_find(runtime, message->sender.actor);
    if (asker == NULL) {
        za_message_drop(worker, message);
        return;
    }
    za_message_unshare(worker, message);
    message->block.kind = ZA_KIND_ASK_FAILED;
    message->block.flags = 0;
    message->reason = reason;
    message->actor = message->sender.actor;
    za_cell_push(worker, asker, message);
}

void za_message_die(za_worker_t *worker, za_message_t *message, za_Reason reason)
{
    za_dead_letter(worker, reason);
    za_message_fail(worker, message, reason);
}

void za_message_refuse(za_worker_t *worker, za_message_t *message)
{
    switch ((za_kind_t)message->block.kind) {
    case ZA_KIND_USER:
        za_message_die(worker, message, za_Reason_REASON_NO_ACTOR);
        break;
    case ZA_KIND_WATCH:
        za_watch_answer(worker, message, za_Reason_REASON_NO_ACTOR);
        break;
    case ZA_KIND_LINK:
        za_link_answer(worker, message, za_Reason_REASON_NO_ACTOR);
        break;
    case ZA_KIND_REPLY:
        ZA_TALLY(worker, late_replies);
        za_message_drop(worker, message);
        break;
    default: // a notification for an actor that is gone
        za_message_drop(worker, message);
        break;
    }
}

void za_message_release(za_worker_t *worker, za_message_t *message)
{
    za_moved_end(message); // if it was not handled
    za_message_t *frozen = za_frozen_in(message);
    if (frozen != NULL) {
        za_frozen_drop(worker, frozen);
    } else {
        za_blobs_release(worker, message);
    }
}

/** A za_every that was delivered: the next time, and not the ones that were missed. */
static void rearm(za_worker_t *worker, za_cell_t *cell, za_message_t *timer)
{
    if (za_record_get(cell, timer->ask) != timer) {
        za_message_drop(worker, timer); // cancelled meanwhile
        return;
    }
    uint64_t period_ns = timer->timer.period_ms * UINT64_C(1000000);
    uint64_t due_ns = timer->due_ns + period_ns;
    if (due_ns <= worker->now_ns) {
        due_ns = worker->now_ns + period_ns - (worker->now_ns - timer->due_ns) % period_ns;
    }
    timer->due_ns = due_ns;
    timer->block.flags &= ZA_FLAG_SHARES;
    if (za_worker_arm(worker, timer) != ZA_OK) {
        za_record_forget(cell, timer->ask);
        za_log_line(worker, cell, timer->actor, ZA_ERROR, "a periodic timer ends: too many timers");
        za_message_drop(worker, timer);
    }
}

void za_message_settle_rare(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    unsigned flags = message->block.flags;
    if (flags & ZA_FLAG_HELD) {
        return;
    } else if (flags & ZA_FLAG_ASIDE) {
        message->block.flags &= ZA_FLAG_SHARES;
        za_aside_push(&cell->extra->stash, message);
    } else if (flags & ZA_FLAG_REFUSED) {
        za_message_refuse(worker, message);
    } else if (flags & ZA_FLAG_REARM) {
        rearm(worker, cell, message);
    } else if (message->block.kind == ZA_KIND_WATCH) {
        za_watcher_add(worker, cell, message);
    } else if (message->block.kind == ZA_KIND_LINK) {
        za_link_join(worker, cell, message);
    } else {
        za_message_fail(worker, message,
                        flags & ZA_FLAG_FAILED ? (za_Reason)message->deadline_ms
                                               : za_Reason_REASON_NO_ANSWER);
    }
}

/* ---- what came from another node ---------------------------------------------------------- */

const za_type_t *za_class_type(const za_class_t *class_, uint32_t id)
{
    for (size_t i = 0; i < class_->handler_count; i++) {
        if (class_->handlers[i].type->id == id) {
            return class_->handlers[i].type;
        }
    }
    return NULL;
}

za_err_t za_message_decode(za_worker_t *worker, const za_class_t *class_, za_message_t *raw,
                           za_message_t **out)
{
    const za_type_t *type = za_class_type(class_, (uint32_t)raw->type_id);
    if (type == NULL) {
        return ZA_ETYPE;
    }
    size_t size = raw->block.bytes;
    size_t block_bytes = type->size + size;
    if (block_bytes > ZA_BODY_BYTES_MAX) {
        return ZA_ETOOBIG;
    }
    za_message_t *message =
        za_message_make(worker, (za_kind_t)raw->block.kind, block_bytes, ZA_POOL_BOUNDED);
    if (message == NULL) {
        return ZA_ENOBUFS;
    }
    memset(za_body(message), 0, type->size);
    za_err_t err = type->decode(za_body(message), block_bytes, za_body(raw), size);
    if (err != ZA_OK) {
        za_message_drop(worker, message);
        return ZA_EPROTO;
    }
    // The node behind the bytes; see za_runtime_deliver.
    uint64_t from_uid;
    memcpy(&from_uid, (char *)za_body(raw) + size, sizeof from_uid);
    za_runtime_resolve_refs(worker->runtime, type, za_body(message), from_uid);
    message->type = type;
    message->actor = raw->actor;
    message->sender = raw->sender;
    message->ask = raw->ask;
    message->deadline_ms = raw->deadline_ms;
    *out = message;
    return ZA_OK;
}
