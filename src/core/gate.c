/** The node's side of the runtime: what enters from other nodes and foreign threads. */
#include <string.h>

#include "core/mailbox_drop.h"

static bool is_stopping(const za_runtime_t *runtime)
{
    // relaxed: whoever is a little too late is stopped with the rest
    return atomic_load_explicit(&runtime->stopping, memory_order_relaxed) != 0;
}

/* ---- messages ----------------------------------------------------------------------------- */

za_message_t *za_message_alloc(za_worker_t *worker, size_t bytes)
{
    if (bytes > ZA_MESSAGE_BYTES_MAX) {
        return NULL;
    }
    // Behind the bytes za_runtime_deliver notes the node they came from.
    return za_message_make(worker, ZA_KIND_FREE, bytes + sizeof(uint64_t), ZA_POOL_BOUNDED);
}

void za_message_free(za_worker_t *worker, za_message_t *message)
{
    za_message_drop(worker, message);
}

void *za_message_body(za_message_t *message)
{
    return za_body(message);
}

static void refuse(za_worker_t *worker, za_message_t *message, za_Reason reason)
{
    if (message->block.kind == ZA_KIND_REPLY) {
        ZA_TALLY(worker, late_replies);
        za_message_drop(worker, message);
        return;
    }
    za_message_die(worker, message, reason);
}

static uint64_t deadline_of(const za_worker_t *worker, uint32_t budget_ms)
{
    return budget_ms == 0 ? 0 : za_worker_now_ms(worker) + budget_ms;
}

void za_runtime_deliver(za_worker_t *worker, const za_incoming_t *incoming, za_message_t *message,
                        size_t size)
{
    za_runtime_t *runtime = worker->runtime;
    ZA_ASSERT(size + sizeof incoming->from_uid <= message->block.bytes);
    if (incoming->type_id == za_ExitSignal_type.id && !incoming->reply && incoming->ask == 0) {
        za_exit_deliver(worker, incoming, message, size);
        return;
    }
    if (incoming->type_id == za_Publication_type.id && !incoming->reply && incoming->ask == 0) {
        za_publication_deliver(worker, incoming, message, size);
        return;
    }
    memcpy((char *)za_body(message) + size, &incoming->from_uid, sizeof incoming->from_uid);
    message->block.kind = incoming->reply ? ZA_KIND_REPLY : ZA_KIND_USER;
    message->block.flags = ZA_FLAG_RAW;
    message->block.bytes = (uint32_t)size;
    message->type_id = incoming->type_id;
    message->actor = incoming->actor;
    message->sender = incoming->sender;
    if (za_uid_is_own(runtime, message->sender.node)) {
        message->sender.node = 0;
    }
    message->ask = incoming->ask;
    message->deadline_ms = deadline_of(worker, incoming->budget_ms);
    if (za_metrics_stamps(&worker->metrics)) {
        za_metrics_stamp(worker, message);
    }

    za_cell_t *cell = za_cell_living(runtime, incoming->actor);
    if (cell == NULL) {
        refuse(worker, message, za_Reason_REASON_NO_ACTOR);
        return;
    }
    bool full = !incoming->reply && !za_mailbox_admit(&cell->mailbox);
    if (full && !za_drop_admit(cell)) {
        refuse(worker, message, za_Reason_REASON_MAILBOX_FULL);
        return;
    }
    za_cell_push(worker, cell, message);
    if (full) {
        za_drop_settle(worker, cell);
    }
}

za_err_t za_runtime_tell(za_worker_t *worker, const za_outgoing_t *message)
{
    if (message == NULL || message->type == NULL || message->body == NULL ||
        za_ref_is_none(message->to)) {
        return ZA_EINVAL;
    }
    if (is_stopping(worker->runtime)) {
        return ZA_ESTOPPING;
    }
    worker->stamps = za_metrics_stamps(&worker->metrics);
    za_err_t err = za_send_any(worker, message);
    worker->stamps = false;
    return err;
}

za_err_t za_runtime_notify(za_worker_t *worker, uint64_t actor, const za_type_t *type,
                           const void *body)
{
    za_outgoing_t out = { .to = { 0, actor }, .type = type, .body = body };
    return za_send_local(worker, &out, ZA_KIND_NOTIFY);
}

/* ---- watches ------------------------------------------------------------------------------ */

void za_runtime_down(za_worker_t *worker, za_ref_t watcher, uint64_t watch_id, za_ref_t target,
                     za_Reason reason)
{
    za_cell_t *cell = za_cell_living(worker->runtime, watcher.actor);
    if (cell == NULL) {
        return;
    }
    za_message_t *watch = za_message_make(worker, ZA_KIND_DOWN, sizeof(za_Down), ZA_POOL_BEYOND);
    if (watch == NULL) {
        za_log_line(worker, NULL, watcher.actor, ZA_ERROR, "no memory for a za_Down");
        return;
    }
    watch->type = &za_Down_type;
    watch->actor = watcher.actor;
    watch->sender = ZA_REF_NONE;
    watch->ask = watch_id;
    watch->deadline_ms = 0;
    target.node = za_node_is_here(worker->runtime, target.node) ? 0 : target.node;
    *(za_Down *)za_body(watch) = (za_Down){ .ref = target, .reason = reason };
    za_cell_push(worker, cell, watch);
}

za_err_t za_runtime_watch(za_worker_t *worker, za_ref_t watcher, uint64_t watch_id, uint64_t target)
{
    za_message_t *watch = za_message_make(worker, ZA_KIND_WATCH, sizeof(za_Down), ZA_POOL_BOUNDED);
    if (watch == NULL) {
        return ZA_ENOBUFS;
    }
    watch->type = NULL;
    watch->actor = target;
    watch->sender = watcher;
    watch->ask = watch_id;
    watch->deadline_ms = 0;
    za_watch_hand(worker, watch);
    return ZA_OK;
}

void za_runtime_unwatch(za_worker_t *worker, za_ref_t watcher, uint64_t watch_id, uint64_t target)
{
    za_cell_t *cell = za_cell_living(worker->runtime, target);
    if (cell == NULL) {
        return;
    }
    za_message_t *signal = za_signal_make(worker, ZA_KIND_UNWATCH, target, watch_id, 0);
    if (signal != NULL) { // else its za_Down comes, and the other node drops it
        signal->sender = watcher;
        za_cell_push(worker, cell, signal);
    }
}

/* ---- asks --------------------------------------------------------------------------------- */

void za_runtime_ask_failed(za_worker_t *worker, uint64_t actor, uint64_t ask, za_Reason reason)
{
    za_cell_t *cell = za_cell_living(worker->runtime, actor);
    if (cell == NULL) {
        return;
    }
    za_message_t *signal = za_signal_make(worker, ZA_KIND_ASK_FAILED, actor, ask, reason);
    if (signal != NULL) { // else its own timer ends it
        za_cell_push(worker, cell, signal);
    }
}

/** Slots that actors have or had. */
static uint32_t slots_used(const za_runtime_t *runtime)
{
    // relaxed: an actor that is being spawned just now is not meant
    return atomic_load_explicit(&runtime->slot_next, memory_order_relaxed);
}

void za_runtime_fail_asks(za_worker_t *worker, uint64_t uid, za_Reason reason)
{
    za_runtime_t *runtime = worker->runtime;
    uint32_t used = slots_used(runtime);
    for (uint32_t slot = 1; slot < used; slot++) {
        za_cell_t *cell = za_cell_at(runtime, slot);
        // relaxed: see za_ask_open
        if (atomic_load_explicit(&cell->asks_out, memory_order_relaxed) == 0) {
            continue;
        }
        za_message_t *signal =
            za_signal_make(worker, ZA_KIND_FAIL_NODE, za_cell_id(cell), uid, reason);
        if (signal != NULL) {
            za_cell_push(worker, cell, signal);
        }
    }
}

/* ---- actors ------------------------------------------------------------------------------- */

za_err_t za_runtime_spawn(za_worker_t *worker, const za_class_t *class_,
                          const za_spawn_opts_t *opts, za_ref_t owner, za_ref_t *out)
{
    if (is_stopping(worker->runtime)) {
        return ZA_ESTOPPING;
    }
    return za_cell_spawn(worker, NULL, owner, class_, opts, out);
}

static void stop_cell(za_worker_t *worker, za_cell_t *cell, uint64_t id, za_Reason reason)
{
    za_message_t *stop = za_signal_make(worker, ZA_KIND_STOP, id, 0, reason);
    if (stop != NULL) {
        za_cell_command(worker, cell, stop);
    } else {
        za_log_line(worker, NULL, id, ZA_ERROR, "no memory to stop an actor");
    }
}

void za_runtime_stop_actor(za_worker_t *worker, uint64_t actor, za_Reason reason)
{
    za_cell_t *cell = za_cell_living(worker->runtime, actor);
    if (cell != NULL) {
        stop_cell(worker, cell, actor, reason);
    }
}

void za_runtime_stop_all(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    atomic_store_explicit(&runtime->stopping, 1, memory_order_relaxed); // relaxed: see is_stopping
    uint32_t used = slots_used(runtime);
    for (uint32_t slot = 1; slot < used; slot++) {
        za_cell_t *cell = za_cell_at(runtime, slot);
        uint64_t id = za_cell_id(cell);
        // relaxed: published by the id
        bool root = atomic_load_explicit(&cell->parent, memory_order_relaxed) == 0;
        if (za_id_slot(id) != 0 && root) {
            stop_cell(worker, cell, id, za_Reason_REASON_STOPPED);
        }
    }
}

bool za_runtime_has(za_runtime_t *runtime, uint64_t actor)
{
    return za_cell_living(runtime, actor) != NULL;
}

void za_runtime_attach(za_worker_t *worker, uint64_t actor)
{
    za_cell_t *cell = za_cell_living(worker->runtime, actor);
    if (cell == NULL) {
        return;
    }
    // relaxed: read by the owner when it ends; an attach that comes later came too late
    atomic_store_explicit(&cell->attached, 1, memory_order_relaxed);
}

/* ---- looking in --------------------------------------------------------------------------- */

void za_runtime_each_actor(za_runtime_t *runtime, uint64_t *cursor,
                           bool (*visit)(const za_actor_info_t *info, void *context), void *context)
{
    uint32_t used = slots_used(runtime);
    for (uint64_t slot = *cursor == 0 ? 1 : *cursor; slot < used; slot++) {
        za_cell_t *cell = za_cell_at(runtime, (uint32_t)slot);
        uint64_t id = za_cell_id(cell);
        *cursor = slot + 1;
        if (za_id_slot(id) == 0) {
            continue;
        }
        const za_class_t *class_ =
            atomic_load_explicit(&cell->class_, memory_order_acquire); // pairs: class
        // relaxed, all of them: published by the id, or numbers that change while we look
        uint32_t parent = atomic_load_explicit(&cell->parent, memory_order_relaxed);
        uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed) & ZA_BOUND_COUNT;
        za_actor_info_t info = {
            .ref = { 0, id },
            .parent = { 0, parent == 0 ? 0 : za_cell_id(za_cell_at(runtime, parent)) },
            .class_name = class_->name,
            .queued = za_mailbox_count(&cell->mailbox, bound),
            .mailbox_max = bound,
            .restarts = atomic_load_explicit(&cell->restarts, memory_order_relaxed),
            .handled = za_cell_handled(cell),
        };
        if (!visit(&info, context)) {
            return;
        }
    }
}

static void add_tally(za_counters_t *out, const za_tally_t *tally)
{
    // relaxed: one writer each; a sum of numbers that go on
#define ADD(name) out->name += atomic_load_explicit(&tally->name, memory_order_relaxed)
    ADD(sent);
    ADD(spawned);
    ADD(stopped);
    ADD(failed);
    ADD(restarted);
    ADD(rejected);
    ADD(late_replies);
    ADD(timeouts);
    ADD(steals);
    ADD(rescues);
    ADD(parks);
    ADD(wakes);
    ADD(slow_handlers);
    ADD(blobs_refused);
    for (int i = 0; i < 16; i++) {
        ADD(dead_by_reason[i]);
    }
#undef ADD
}

void za_runtime_counters(const za_runtime_t *runtime, za_counters_t *out)
{
    *out = (za_counters_t){ 0 };
    uint32_t cursor = 0;
    for (const za_worker_t *next; (next = za_worker_each(runtime, &cursor)) != NULL;) {
        add_tally(out, &next->tally);
        out->handled += za_metrics_handled(&next->metrics);
    }
    for (int i = 0; i < 16; i++) {
        out->dead_letters += out->dead_by_reason[i];
    }
    out->actors = out->spawned - out->stopped;
    // relaxed, all: numbers that go on
    out->pool_bytes = atomic_load_explicit(&runtime->pools.bytes, memory_order_relaxed);
    out->blob_bytes = atomic_load_explicit(&runtime->blobs.bytes, memory_order_relaxed);
    for (unsigned i = 0; i < ZA_POOL_CLASSES; i++) {
        out->pool_refused += atomic_load_explicit(&runtime->pools.refused[i], memory_order_relaxed);
    }
    out->pool_bytes_unplaced =
        atomic_load_explicit(&runtime->pools.bytes_unplaced, memory_order_relaxed);
}
