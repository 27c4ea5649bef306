/**
 * Watches. The watcher keeps an entry with the id of the watch; the target keeps the block that will
 * be the za_Down. What comes without an entry is dropped: so each watch gives at most one za_Down,
 * and every block that is let go becomes one, so it gives at least one.
 */
#include "core/worker.h"

static void fill_down(za_message_t *block, uint64_t watcher, za_ref_t target, za_Reason reason)
{
    block->block.kind = ZA_KIND_DOWN;
    block->block.flags = 0;
    block->block.bytes = sizeof(za_Down);
    block->actor = watcher;
    block->type = &za_Down_type;
    block->deadline_ms = 0;
    *(za_Down *)za_body(block) = (za_Down){ .ref = target, .reason = reason };
}

void za_watch_answer(za_worker_t *worker, za_message_t *watch, za_Reason reason)
{
    za_runtime_t *runtime = worker->runtime;
    za_ref_t target = { 0, watch->actor };
    za_ref_t watcher = watch->sender;
    if (watcher.node != 0) {
        if (runtime->remote.down != NULL) {
            runtime->remote.down(runtime->config.remote_context, worker, watcher, watch->ask,
                                 target, reason);
        }
        za_message_drop(worker, watch);
        return;
    }
    za_cell_t *cell = za_cell_find(runtime, watcher.actor);
    if (cell == NULL) {
        za_message_drop(worker, watch);
        return;
    }
    fill_down(watch, watcher.actor, target, reason);
    za_cell_push(worker, cell, watch);
}

void za_watch_hand(za_worker_t *worker, za_message_t *watch)
{
    za_cell_t *target = za_cell_living(worker->runtime, watch->actor);
    if (target == NULL) {
        // Not into the mailbox: whoever has the cell now may wait for a long time.
        za_watch_answer(worker, watch, za_Reason_REASON_NO_ACTOR);
    } else {
        za_cell_push(worker, target, watch);
    }
}

/* ---- the watcher -------------------------------------------------------------------------- */

void za_watch_fired(za_worker_t *worker, za_cell_t *cell, const za_message_t *down)
{
    const za_Down *body = (const za_Down *)(down + 1);
    za_table_t *watches = cell->extra == NULL ? NULL : &cell->extra->watches;
    const za_message_t *entry =
        watches == NULL ? NULL : za_table_get(watches, body->ref.actor, body->ref.node);
    if (entry == NULL || entry->ask != down->ask) {
        return; // not watched any more, or watched anew
    }
    za_message_drop(worker, za_table_remove(watches, body->ref.actor, body->ref.node));
    za_handle(worker, cell, NULL, &za_Down_type, body, 0);
}

static za_message_t *make_watch(za_ctx_t *ctx, za_kind_t kind, uint64_t actor, uint64_t watch_id,
                                size_t bytes, za_pool_bound_t bound)
{
    za_message_t *message = za_message_make(ctx->worker, kind, bytes, bound);
    if (message != NULL) {
        message->type = NULL;
        message->actor = actor;
        message->sender = (za_ref_t){ 0, ctx->id };
        message->ask = watch_id;
        message->deadline_ms = 0;
    }
    return message;
}

/** Hands the watch to a local target, dead or alive: the answer is sure. */
static za_err_t watch_local(za_ctx_t *ctx, za_ref_t actor, uint64_t watch_id)
{
    za_message_t *watch =
        make_watch(ctx, ZA_KIND_WATCH, actor.actor, watch_id, sizeof(za_Down), ZA_POOL_BOUNDED);
    if (watch == NULL) {
        return ZA_ENOBUFS;
    }
    za_watch_hand(ctx->worker, watch);
    return ZA_OK;
}

static za_err_t watch_remote(za_ctx_t *ctx, za_ref_t actor, uint64_t watch_id)
{
    za_runtime_t *runtime = ctx->worker->runtime;
    if (runtime->remote.watch == NULL) {
        return ZA_ENOROUTE;
    }
    return runtime->remote.watch(runtime->config.remote_context, ctx->worker,
                                 (za_ref_t){ 0, ctx->id }, watch_id, actor);
}

za_err_t za_watch_target(za_ctx_t *ctx, za_ref_t *actor, za_extra_t **extra)
{
    if (ctx == NULL || za_ref_is_none(*actor)) {
        return ZA_EINVAL;
    }
    if (ctx->stopping) {
        return ZA_ESTOPPING;
    }
    za_worker_t *worker = ctx->worker;
    za_err_t err = za_resolve_any(worker, actor);
    if (err != ZA_OK) {
        return err;
    }
    actor->node = za_node_is_here(worker->runtime, actor->node) ? 0 : actor->node;
    if (actor->node == 0 && actor->actor == ctx->id) {
        return ZA_EINVAL; // nobody hears of its own end, and ends with itself anyway
    }
    *extra = za_cell_extra(worker, ctx->cell);
    return *extra != NULL ? ZA_OK : ZA_ENOBUFS;
}

za_err_t za_watch(za_ctx_t *ctx, za_ref_t actor)
{
    za_extra_t *extra;
    za_err_t err = za_watch_target(ctx, &actor, &extra);
    if (err != ZA_OK) {
        return err;
    }
    za_worker_t *worker = ctx->worker;
    if (za_table_get(&extra->watches, actor.actor, actor.node) != NULL) {
        return ZA_OK;
    }
    uint64_t watch_id = za_worker_next_id(worker);
    za_message_t *entry = make_watch(ctx, ZA_KIND_FREE, actor.actor, watch_id, 0, ZA_POOL_BOUNDED);
    if (entry == NULL) {
        return ZA_ENOBUFS;
    }
    if (!za_table_put(&extra->watches, &worker->pool, actor.actor, actor.node, entry)) {
        za_message_drop(worker, entry);
        return ZA_ENOBUFS;
    }
    err = actor.node == 0 ? watch_local(ctx, actor, watch_id) : watch_remote(ctx, actor, watch_id);
    if (err != ZA_OK) {
        za_table_remove(&extra->watches, actor.actor, actor.node);
        za_message_drop(worker, entry);
    }
    return err;
}

/** Tells the target that its watcher is gone; what was sent meanwhile finds no entry. */
static void end_watch(za_worker_t *worker, uint64_t self, za_ref_t target, uint64_t watch_id)
{
    za_runtime_t *runtime = worker->runtime;
    za_ref_t watcher = { 0, self };
    if (target.node != 0) {
        if (runtime->remote.unwatch != NULL) {
            runtime->remote.unwatch(runtime->config.remote_context, worker, watcher, watch_id,
                                    target);
        }
        return;
    }
    za_cell_t *cell = za_cell_living(runtime, target.actor);
    if (cell == NULL) {
        return;
    }
    za_message_t *signal = za_signal_make(worker, ZA_KIND_UNWATCH, target.actor, watch_id, 0);
    if (signal != NULL) { // else the target keeps a watch whose za_Down will be dropped
        signal->sender = watcher;
        za_cell_push(worker, cell, signal);
    }
}

void za_unwatch(za_ctx_t *ctx, za_ref_t actor)
{
    if (ctx == NULL || ctx->cell->extra == NULL || za_resolve_any(ctx->worker, &actor) != ZA_OK) {
        return;
    }
    actor.node = za_node_is_here(ctx->worker->runtime, actor.node) ? 0 : actor.node;
    za_message_t *entry = za_table_remove(&ctx->cell->extra->watches, actor.actor, actor.node);
    if (entry != NULL) {
        end_watch(ctx->worker, ctx->id, actor, entry->ask);
        za_message_drop(ctx->worker, entry);
    }
}

void za_watches_clear(za_worker_t *worker, za_cell_t *cell)
{
    za_table_t *watches = &cell->extra->watches;
    uint32_t index = 0;
    const za_table_entry_t *item;
    while ((item = za_table_next(watches, &index)) != NULL) {
        za_message_t *entry = item->value;
        end_watch(worker, worker->ctx.id, (za_ref_t){ item->b, item->a }, entry->ask);
        za_message_drop(worker, entry);
    }
    za_table_clear(watches, &worker->pool);
}
