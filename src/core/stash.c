/**
 * Stash: messages that an actor cannot use yet and wants again later (Akka's Stash; the save queue
 * of Erlang's selective receive; postpone of gen_statem). It takes the message's own block.
 */
#include <string.h>

#include "core/worker.h"

/** A notification without a block of its own. Its memory is bounded by the stash. */
static za_message_t *copy_notice(za_worker_t *worker)
{
    const za_ctx_t *ctx = &worker->ctx;
    uint32_t bytes = za_type_extent(za_ctx_type(ctx), za_ctx_body(ctx));
    za_message_t *copy = za_message_make(worker, ZA_KIND_AGAIN, bytes, ZA_POOL_BEYOND);
    if (copy != NULL) {
        copy->actor = ctx->id;
        copy->sender = ZA_REF_NONE;
        copy->ask = ctx->tag;
        copy->deadline_ms = 0;
        za_message_fill(copy, za_ctx_type(ctx), za_ctx_body(ctx), bytes);
    }
    return copy;
}

za_Reason za_stash_put(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    za_extra_t *extra = za_cell_extra(worker, cell);
    if (extra == NULL) {
        return za_Reason_REASON_LIMIT;
    }
    uint32_t max = extra->stash_max != 0 ? extra->stash_max : ZA_STASH_DEFAULT;
    if (extra->stash.count >= max) {
        return za_Reason_REASON_STASH_FULL;
    }
    if (message == NULL) {
        za_message_t *copy = copy_notice(worker);
        if (copy == NULL) {
            return za_Reason_REASON_LIMIT;
        }
        za_aside_push(&extra->stash, copy);
        return za_Reason_REASON_NONE;
    }
    if (message->block.kind != ZA_KIND_USER) {
        // What it meant to the runtime is done; only its handler is called again.
        message->sender = message->block.kind == ZA_KIND_NOTIFY ? ZA_REF_NONE : message->sender;
        message->block.kind = ZA_KIND_AGAIN;
        message->ask = worker->ctx.tag;
    }
    message->block.flags |= ZA_FLAG_ASIDE; // into the list when it leaves the mailbox
    return za_Reason_REASON_NONE;
}

void za_cell_replay(za_cell_t *cell, za_aside_t *older)
{
    za_aside_prepend(&cell->extra->replay, older);
    if (cell->status == ZA_STATUS_RUNNING && cell->extra->replay.count > 0) {
        cell->status = ZA_STATUS_REPLAYING;
    }
}

void za_stash_reset(za_worker_t *worker, za_cell_t *cell)
{
    za_message_t *message;
    while (cell->extra != NULL && (message = za_aside_pop(&cell->extra->stash)) != NULL) {
        if (message->block.kind == ZA_KIND_USER) {
            za_message_die(worker, message, za_Reason_REASON_NO_ANSWER);
        } else {
            za_message_drop(worker, message);
        }
    }
}

void za_unstash_all(za_ctx_t *ctx)
{
    if (ctx != NULL && !ctx->stopping && ctx->cell->extra != NULL) {
        za_cell_replay(ctx->cell, &ctx->cell->extra->stash);
        ctx->after |= ZA_AFTER_CHANGE;
    }
}
