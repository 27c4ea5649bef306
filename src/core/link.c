/**
 * Links: two actors that end together (Erlang's).
 *
 * Each side keeps an entry with the id of the link; the entry's block becomes the za_Exit for the
 * other side when this one ends, so that telling it cannot fail. What comes without an entry is
 * dropped: so a link tells each side at most once, and each entry that is let go is told: so at
 * least once. An actor has two tables, of links that it made and of those that others made to it:
 * who made a link decides who tells the other node what. Two that link to each other at once have
 * two links; the first end ends both.
 *
 * Order    An exit is a message of the actor that ended: it comes after its last message.
 * Restart  A restart ends a life: links end with it, as in Erlang, where the new life is a new
 *          process. So two that were linked never live on with one of them fresh.
 */
#include <string.h>

#include "core/worker.h"

enum { MADE, GOT }; // index of za_extra_t.links

static void fill_exit(za_message_t *block, uint64_t to, za_ref_t from, za_Reason reason)
{
    block->block.kind = ZA_KIND_EXIT;
    block->block.flags = 0;
    block->block.bytes = sizeof(za_Exit);
    block->type = &za_Exit_type;
    block->actor = to;
    block->sender = from;
    block->deadline_ms = 0;
    *(za_Exit *)za_body(block) = (za_Exit){ .ref = from, .reason = reason };
}

/** Pushes an exit whose block is `block`, or frees it: nobody is there to hear it. */
static void push_exit(za_worker_t *worker, za_message_t *block, uint64_t to, za_ref_t from,
                      za_Reason reason)
{
    za_cell_t *cell = za_cell_living(worker->runtime, to);
    if (cell == NULL) {
        za_message_drop(worker, block);
        return;
    }
    fill_exit(block, to, from, reason);
    za_cell_push(worker, cell, block);
}

/** Ends a link at the other side: takes its entry. REASON_NONE: it is no more, and nothing else. */
static void tell_peer(za_worker_t *worker, za_ref_t peer, uint32_t side, za_message_t *entry,
                      za_Reason reason)
{
    za_runtime_t *runtime = worker->runtime;
    za_ref_t self = { 0, worker->ctx.id };
    if (peer.node == 0) {
        push_exit(worker, entry, peer.actor, self, reason);
        return;
    }
    if (side == MADE && runtime->remote.unlink != NULL) {
        runtime->remote.unlink(runtime->config.remote_context, worker, self, entry->ask, peer,
                               reason);
    } else if (side == GOT && runtime->remote.down != NULL) {
        runtime->remote.down(runtime->config.remote_context, worker, peer, entry->ask, self,
                             reason);
    }
    za_message_drop(worker, entry);
}

/* ---- the side that is linked to ----------------------------------------------------------- */

void za_link_answer(za_worker_t *worker, za_message_t *link, za_Reason reason)
{
    za_runtime_t *runtime = worker->runtime;
    za_ref_t target = { 0, link->actor };
    za_ref_t maker = link->sender;
    if (maker.node == 0) {
        push_exit(worker, link, maker.actor, target, reason);
        return;
    }
    if (runtime->remote.down != NULL) {
        runtime->remote.down(runtime->config.remote_context, worker, maker, link->ask, target,
                             reason);
    }
    za_message_drop(worker, link);
}

void za_link_join(za_worker_t *worker, za_cell_t *cell, za_message_t *link)
{
    za_extra_t *extra = za_cell_extra(worker, cell);
    za_ref_t maker = link->sender;
    if (extra == NULL) {
        za_link_answer(worker, link, za_Reason_REASON_LIMIT);
        return;
    }
    // The maker forgot an older one: what it sent before is before this one.
    za_message_t *older = za_table_remove(&extra->links[GOT], maker.actor, maker.node);
    if (older != NULL) {
        za_message_drop(worker, older);
    }
    if (!za_table_put(&extra->links[GOT], &worker->pool, maker.actor, maker.node, link)) {
        za_link_answer(worker, link, za_Reason_REASON_LIMIT);
    }
}

/* ---- ends --------------------------------------------------------------------------------- */

void za_links_end(za_worker_t *worker, za_cell_t *cell, za_Reason reason)
{
    za_extra_t *extra = cell->extra;
    for (uint32_t side = MADE; extra != NULL && side <= GOT; side++) {
        uint32_t index = 0;
        const za_table_entry_t *item;
        while ((item = za_table_next(&extra->links[side], &index)) != NULL) {
            tell_peer(worker, (za_ref_t){ item->b, item->a }, side, item->value, reason);
        }
        za_table_clear(&extra->links[side], &worker->pool);
    }
}

static void forget(za_worker_t *worker, za_extra_t *extra, uint32_t side, za_ref_t peer)
{
    za_message_t *entry = za_table_remove(&extra->links[side], peer.actor, peer.node);
    if (entry != NULL) {
        za_message_drop(worker, entry);
    }
}

/** True if the exit is of a link that is still there; it is not any more then. */
static bool end_link(za_worker_t *worker, za_cell_t *cell, const za_Exit *signal, uint64_t id)
{
    za_extra_t *extra = cell->extra;
    for (uint32_t side = MADE; extra != NULL && side <= GOT; side++) {
        const za_message_t *entry =
            za_table_get(&extra->links[side], signal->ref.actor, signal->ref.node);
        if (entry == NULL || entry->ask != id) {
            continue;
        }
        forget(worker, extra, side, signal->ref);
        if (signal->reason != za_Reason_REASON_NONE) {
            forget(worker, extra, side == MADE ? GOT : MADE, signal->ref); // its end ends both
        }
        return true;
    }
    return false;
}

/** What an exit does: it ends the actor, or is a message. */
static void obey_exit(za_worker_t *worker, za_cell_t *cell, const za_Exit *signal, bool kills)
{
    if (!kills && cell->extra != NULL && cell->extra->traps_exit) {
        za_handle(worker, cell, NULL, &za_Exit_type, signal, 0);
    } else if (signal->reason != za_Reason_REASON_STOPPED) {
        za_cell_exit(worker, cell, signal->reason);
    }
}

void za_exit_received(za_worker_t *worker, za_cell_t *cell, const za_message_t *message)
{
    const za_Exit *signal = (const za_Exit *)(message + 1);
    bool of_link = message->ask != 0;
    if (of_link && !end_link(worker, cell, signal, message->ask)) {
        return; // not linked any more, or linked anew
    }
    if (signal->reason == za_Reason_REASON_NONE) {
        return; // the other side unlinked
    }
    obey_exit(worker, cell, signal, !of_link && signal->reason == za_Reason_REASON_KILLED);
}

/* ---- actor.h ------------------------------------------------------------------------------ */

static bool is_linked(const za_extra_t *extra, za_ref_t peer)
{
    return za_table_get(&extra->links[MADE], peer.actor, peer.node) != NULL ||
           za_table_get(&extra->links[GOT], peer.actor, peer.node) != NULL;
}

static za_message_t *make_link(za_ctx_t *ctx, za_kind_t kind, uint64_t target, uint64_t id)
{
    za_message_t *message = za_message_make(ctx->worker, kind, sizeof(za_Exit), ZA_POOL_BOUNDED);
    if (message != NULL) {
        message->type = NULL;
        message->actor = target;
        message->sender = (za_ref_t){ 0, ctx->id };
        message->ask = id;
        message->deadline_ms = 0;
    }
    return message;
}

/** As za_watch_hand. */
static void hand_link(za_worker_t *worker, za_message_t *link)
{
    za_cell_t *cell = za_cell_living(worker->runtime, link->actor);
    if (cell == NULL) {
        za_link_answer(worker, link, za_Reason_REASON_NO_ACTOR);
    } else {
        za_cell_push(worker, cell, link);
    }
}

static za_err_t link_local(za_ctx_t *ctx, uint64_t target, uint64_t id)
{
    za_message_t *link = make_link(ctx, ZA_KIND_LINK, target, id);
    if (link == NULL) {
        return ZA_ENOBUFS;
    }
    hand_link(ctx->worker, link);
    return ZA_OK;
}

static za_err_t link_remote(za_ctx_t *ctx, za_ref_t target, uint64_t id)
{
    za_runtime_t *runtime = ctx->worker->runtime;
    if (runtime->remote.link == NULL) {
        return ZA_ENOROUTE;
    }
    return runtime->remote.link(runtime->config.remote_context, ctx->worker,
                                (za_ref_t){ 0, ctx->id }, id, target);
}

za_err_t za_link(za_ctx_t *ctx, za_ref_t actor)
{
    za_extra_t *extra;
    za_err_t err = za_watch_target(ctx, &actor, &extra);
    if (err != ZA_OK) {
        return err;
    }
    za_worker_t *worker = ctx->worker;
    if (is_linked(extra, actor)) {
        return ZA_OK;
    }
    uint64_t id = za_worker_next_id(worker);
    za_message_t *entry = make_link(ctx, ZA_KIND_FREE, actor.actor, id);
    if (entry == NULL) {
        return ZA_ENOBUFS;
    }
    if (!za_table_put(&extra->links[MADE], &worker->pool, actor.actor, actor.node, entry)) {
        za_message_drop(worker, entry);
        return ZA_ENOBUFS;
    }
    err = actor.node == 0 ? link_local(ctx, actor.actor, id) : link_remote(ctx, actor, id);
    if (err != ZA_OK) {
        forget(worker, extra, MADE, actor);
    }
    return err;
}

void za_unlink(za_ctx_t *ctx, za_ref_t actor)
{
    if (ctx == NULL || ctx->cell->extra == NULL || za_resolve_any(ctx->worker, &actor) != ZA_OK) {
        return;
    }
    actor.node = za_node_is_here(ctx->worker->runtime, actor.node) ? 0 : actor.node;
    for (uint32_t side = MADE; side <= GOT; side++) {
        za_message_t *entry =
            za_table_remove(&ctx->cell->extra->links[side], actor.actor, actor.node);
        if (entry != NULL) {
            tell_peer(ctx->worker, actor, side, entry, za_Reason_REASON_NONE);
        }
    }
}

za_err_t za_trap_exit(za_ctx_t *ctx, bool traps)
{
    if (ctx == NULL) {
        return ZA_EINVAL;
    }
    if (ctx->cell->extra == NULL && !traps) {
        return ZA_OK;
    }
    za_extra_t *extra = za_cell_extra(ctx->worker, ctx->cell);
    if (extra == NULL) {
        return ZA_ENOBUFS;
    }
    extra->traps_exit = traps;
    return ZA_OK;
}

za_err_t za_exit(za_ctx_t *ctx, za_ref_t actor, za_Reason reason)
{
    if (ctx == NULL || za_ref_is_none(actor) || reason <= za_Reason_REASON_NONE ||
        reason > za_Reason_REASON_KILLED) {
        return ZA_EINVAL;
    }
    za_worker_t *worker = ctx->worker;
    za_err_t err = za_resolve_any(worker, &actor);
    if (err != ZA_OK) {
        return err;
    }
    if (!za_node_is_here(worker->runtime, actor.node)) {
        za_outgoing_t out = { .to = actor,
                              .sender = { 0, ctx->id },
                              .type = &za_ExitSignal_type,
                              .body = &(const za_ExitSignal){ .reason = reason } };
        return za_send_any(worker, &out);
    }
    za_cell_t *cell = za_cell_living(worker->runtime, actor.actor);
    if (cell == NULL) {
        return ZA_EGONE;
    }
    za_message_t *signal = make_link(ctx, ZA_KIND_EXIT, actor.actor, 0);
    if (signal == NULL) {
        return ZA_ENOBUFS;
    }
    push_exit(worker, signal, actor.actor, (za_ref_t){ 0, ctx->id }, reason);
    return ZA_OK;
}

/* ---- the node's side ---------------------------------------------------------------------- */

za_err_t za_runtime_link(za_worker_t *worker, za_ref_t maker, uint64_t id, uint64_t target)
{
    za_message_t *link = za_message_make(worker, ZA_KIND_LINK, sizeof(za_Exit), ZA_POOL_BOUNDED);
    if (link == NULL) {
        return ZA_ENOBUFS;
    }
    link->type = NULL;
    link->actor = target;
    link->sender = maker;
    link->ask = id;
    link->deadline_ms = 0;
    hand_link(worker, link);
    return ZA_OK;
}

void za_runtime_exit(za_worker_t *worker, uint64_t actor, za_ref_t from, uint64_t id,
                     za_Reason reason)
{
    za_cell_t *cell = za_cell_living(worker->runtime, actor);
    if (cell == NULL) {
        return;
    }
    za_message_t *signal = za_message_make(worker, ZA_KIND_EXIT, sizeof(za_Exit), ZA_POOL_BEYOND);
    if (signal == NULL) {
        za_log_line(worker, NULL, actor, ZA_ERROR, "no memory for a za_Exit");
        return;
    }
    signal->ask = id;
    push_exit(worker, signal, actor, from, reason);
}

void za_exit_deliver(za_worker_t *worker, const za_incoming_t *incoming, za_message_t *message,
                     size_t size)
{
    za_ExitSignal signal = { 0 };
    bool good =
        za_ExitSignal_type.decode(&signal, sizeof signal, za_body(message), size) == ZA_OK &&
        signal.reason > za_Reason_REASON_NONE && signal.reason <= za_Reason_REASON_KILLED;
    za_message_drop(worker, message);
    if (!good) {
        za_dead_letter(worker, za_Reason_REASON_BAD_MESSAGE);
        return;
    }
    za_cell_t *cell = za_cell_living(worker->runtime, incoming->actor);
    if (cell == NULL) {
        za_dead_letter(worker, za_Reason_REASON_NO_ACTOR);
        return;
    }
    za_runtime_exit(worker, incoming->actor, incoming->sender, 0, signal.reason);
}
