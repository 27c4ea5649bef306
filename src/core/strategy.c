/**
 * Strategies: children that are restarted together (OTP's one_for_all and rest_for_one).
 *
 * A child that fails restarts in place as ever, up to the point where its old life is gone; there it
 * is halted and reports to its parent. The parent halts the others, the youngest first, and then lets
 * all go, the oldest first; each is done before the next is told. One message, the token, goes back
 * and forth in this round: the child's report, then the parent's word to each child and its answer.
 * So a round cannot fail for want of memory. A child that ends gives the token back first.
 *
 * A failure during a round widens it: it halts all once more, from the oldest that is concerned. Its
 * own report is not needed then.
 *
 * Order    Commands: ahead of messages. Messages to a halted child wait in its mailbox.
 * Threads  Fields of a round are the parent's; what a child keeps is the child's. They talk by
 *          commands only.
 */
#include "core/worker.h"

typedef enum round {
    ROUND_NONE,
    ROUND_HALTING,  // from the youngest to the oldest
    ROUND_STARTING, // from the oldest to the youngest
    ROUND_STOPPING, // one reached its limit, and the others go with it
} round_t;

/** za_message_t.reason of a GO. */
enum { TOGETHER, ALONE };

/* ---- the child ---------------------------------------------------------------------------- */

/** Sends a token back to where it came from. */
static void answer(za_worker_t *worker, za_message_t *token, za_kind_t kind, uint64_t child)
{
    token->block.kind = (uint8_t)kind;
    token->actor = token->sender.actor;
    token->ask = child;
    za_cell_t *parent = za_cell_find(worker->runtime, token->actor);
    za_cell_command(worker, parent, token);
}

void za_strategy_answer(za_worker_t *worker, za_cell_t *cell)
{
    za_extra_t *extra = cell->extra;
    if (extra != NULL && extra->token != NULL) {
        za_message_t *token = extra->token;
        extra->token = NULL;
        answer(worker, token, ZA_KIND_TOGETHER_DONE, worker->ctx.id);
    }
}

bool za_strategy_halt(za_worker_t *worker, za_cell_t *cell)
{
    za_extra_t *extra = cell->extra;
    if (extra == NULL || !extra->together) {
        return false;
    }
    za_message_t *token = extra->token;
    bool reports = extra->failed_itself || token == NULL;
    if (token == NULL) {
        // relaxed: constant while it lives
        uint32_t slot = atomic_load_explicit(&cell->parent, memory_order_relaxed);
        token = za_signal_make(worker, ZA_KIND_TOGETHER_FAILED, 0, 0, 0);
        if (token == NULL) {
            za_log_line(worker, cell, worker->ctx.id, ZA_ERROR, "no memory: it restarts alone");
            extra->failed_itself = false;
            return false;
        }
        token->sender = (za_ref_t){ 0, za_cell_id(za_cell_at(worker->runtime, slot)) };
    }
    extra->token = NULL;
    cell->status = ZA_STATUS_HALTED;
    answer(worker, token, reports ? ZA_KIND_TOGETHER_FAILED : ZA_KIND_TOGETHER_DONE,
           worker->ctx.id);
    return true;
}

/** The old life of a child that is up ends, without a failure of its own. */
static void halt_life(za_worker_t *worker, za_cell_t *cell)
{
    if (cell->extra->restart == ZA_RESTART_NEVER) {
        za_cell_end(worker, cell, za_Reason_REASON_STOPPED);
        return;
    }
    cell->status = ZA_STATUS_RESTARTING;
    cell->why = za_Reason_REASON_STOPPED;
}

/** True if the token stays with the child for now. */
static bool obey_halt(za_worker_t *worker, za_cell_t *cell)
{
    za_extra_t *extra = cell->extra;
    if (extra == NULL || !extra->together) {
        return false; // spawned before its parent had a strategy
    }
    switch ((za_status_t)cell->status) {
    case ZA_STATUS_STARTING:
    case ZA_STATUS_RUNNING:
    case ZA_STATUS_REPLAYING:
        halt_life(worker, cell);
        return true;
    case ZA_STATUS_STOPPING:
    case ZA_STATUS_RESTARTING:
        return true;
    case ZA_STATUS_BACKOFF:
        za_record_cancel(worker, extra->resume);
        extra->resume = NULL;
        cell->status = ZA_STATUS_HALTED;
        return false;
    case ZA_STATUS_DEAD:
    case ZA_STATUS_HALTED:
        break;
    }
    return false;
}

void za_strategy_told(za_worker_t *worker, za_cell_t *cell, za_message_t *token)
{
    // relaxed: the owner's
    uint64_t id = atomic_load_explicit(&cell->id, memory_order_relaxed);
    bool mine = token->actor == id && cell->status != ZA_STATUS_DEAD;
    bool keeps = false;
    if (mine && token->block.kind == ZA_KIND_TOGETHER_HALT) {
        keeps = obey_halt(worker, cell);
    } else if (mine && cell->status == ZA_STATUS_HALTED) {
        za_cell_resume(worker, cell, cell->extra->failed_itself);
        cell->extra->failed_itself = false;
        if (token->reason == ALONE) {
            za_message_drop(worker, token); // nobody waits for it
            return;
        }
        keeps = true;
    }
    if (keeps) {
        ZA_ASSERT(cell->extra->token == NULL); // a parent has one token under way
        cell->extra->token = token;
    } else {
        answer(worker, token, ZA_KIND_TOGETHER_DONE, token->actor);
    }
}

/* ---- the parent --------------------------------------------------------------------------- */

/** True if child `a` is older than `b`. */
static bool is_older(za_runtime_t *runtime, uint32_t a, uint32_t b)
{
    uint32_t slot = za_cell_at(runtime, a)->next;
    while (slot != 0 && slot != b) {
        slot = za_cell_at(runtime, slot)->next;
    }
    return slot != 0;
}

static void tell(za_worker_t *worker, za_cell_t *child, za_message_t *token, za_kind_t kind)
{
    token->block.kind = (uint8_t)kind;
    token->actor = za_cell_id(child);
    token->sender = (za_ref_t){ 0, worker->ctx.id };
    za_cell_command(worker, child, token);
}

/** Tells the next child, or ends the round. Takes the token. */
static void go_on(za_worker_t *worker, za_extra_t *extra, za_message_t *token)
{
    za_runtime_t *runtime = worker->runtime;
    if (extra->round == ROUND_HALTING && extra->round_next == 0) {
        extra->round = ROUND_STARTING;
        extra->round_next = extra->round_oldest;
    }
    if (extra->round_next == 0 ||
        (extra->round != ROUND_HALTING && extra->round != ROUND_STARTING)) {
        extra->round = extra->round == ROUND_STARTING ? ROUND_NONE : extra->round;
        za_message_drop(worker, token);
        return;
    }
    bool halts = extra->round == ROUND_HALTING;
    uint32_t slot = extra->round_next;
    za_cell_t *child = za_cell_at(runtime, slot);
    extra->round_next = !halts ? child->next : slot == extra->round_oldest ? 0 : child->previous;
    extra->round_token = token;
    token->reason = TOGETHER;
    tell(worker, child, token, halts ? ZA_KIND_TOGETHER_HALT : ZA_KIND_TOGETHER_GO);
}

/** A child failed: begins a round from the oldest that is concerned, or widens the one there is. */
static void widen(za_runtime_t *runtime, za_extra_t *extra, uint32_t failed)
{
    uint32_t oldest = extra->strategy == ZA_ONE_FOR_ALL ? extra->child_first : failed;
    if (extra->round == ROUND_NONE) {
        extra->rounds++;
        extra->round_oldest = oldest;
    } else if (extra->round_oldest == 0) {
        extra->round_oldest = oldest; // those it was about have ended
    } else if (is_older(runtime, oldest, extra->round_oldest)) {
        if (extra->round == ROUND_HALTING && extra->round_next == 0) {
            extra->round_next = za_cell_at(runtime, extra->round_oldest)->previous;
        }
        extra->round_oldest = oldest;
    }
    if (extra->round != ROUND_HALTING) {
        extra->round = ROUND_HALTING;
        extra->round_next = extra->child_last;
    }
}

/** The living child of `cell` that a token came from; NULL: it ended. */
static za_cell_t *find_child(za_runtime_t *runtime, const za_cell_t *cell, uint64_t id)
{
    za_cell_t *child = za_cell_living(runtime, id);
    // relaxed: a child of ours cannot change its parent; another's is only compared
    bool ours = child != NULL && atomic_load_explicit(&child->parent, memory_order_relaxed) ==
                                     za_cell_slot(runtime, cell);
    return ours ? child : NULL;
}

void za_strategy_heard(za_worker_t *worker, za_cell_t *cell, za_message_t *token)
{
    za_extra_t *extra = cell->extra;
    // relaxed: the owner's
    if (token->actor != atomic_load_explicit(&cell->id, memory_order_relaxed) || extra == NULL) {
        za_message_drop(worker, token);
        return;
    }
    if (token == extra->round_token) {
        extra->round_token = NULL;
    }
    za_cell_t *child = token->block.kind == ZA_KIND_TOGETHER_FAILED
                           ? find_child(worker->runtime, cell, token->ask)
                           : NULL;
    if (child != NULL) {
        if (extra->round == ROUND_STOPPING || extra->strategy == ZA_ONE_FOR_ONE) {
            token->reason = ALONE;
            tell(worker, child, token, ZA_KIND_TOGETHER_GO);
            return;
        }
        widen(worker->runtime, extra, za_cell_slot(worker->runtime, child));
    }
    if (extra->round_token != NULL) {
        za_message_drop(worker, token); // the round has one already
    } else {
        go_on(worker, extra, token);
    }
}

void za_strategy_reaped(za_worker_t *worker, za_extra_t *extra, const za_cell_t *child)
{
    uint32_t slot = za_cell_slot(worker->runtime, child);
    if (extra->round == ROUND_NONE) {
        return;
    }
    if (extra->round_next == slot) {
        bool starts = extra->round == ROUND_STARTING;
        bool last = extra->round == ROUND_HALTING && slot == extra->round_oldest;
        extra->round_next = starts ? child->next : last ? 0 : child->previous;
    }
    if (extra->round_oldest == slot) {
        extra->round_oldest = child->next;
    }
    if (extra->round_stops == slot) {
        extra->round_stops = 0;
    }
}

void za_strategy_stop_all(za_extra_t *extra)
{
    if (extra->round != ROUND_STOPPING) {
        extra->round = ROUND_STOPPING;
        extra->round_next = extra->child_last;
        extra->round_stops = 0;
    }
}

void za_strategy_step(za_worker_t *worker, za_extra_t *extra)
{
    if (extra->round != ROUND_STOPPING || extra->round_stops != 0) {
        return;
    }
    if (extra->round_next == 0) {
        extra->round = ROUND_NONE;
        return;
    }
    za_cell_t *child = za_cell_at(worker->runtime, extra->round_next);
    za_message_t *stop =
        za_signal_make(worker, ZA_KIND_STOP, za_cell_id(child), 0, za_Reason_REASON_STOPPED);
    if (stop != NULL) { // else at the next command
        extra->round_stops = extra->round_next;
        extra->round_next = child->previous;
        za_cell_command(worker, child, stop);
    }
}

void za_strategy_reset(za_extra_t *extra)
{
    extra->strategy = ZA_ONE_FOR_ONE;
    extra->round = ROUND_NONE;
    extra->round_token = NULL; // one that a dead child has yet to give back is dropped
    extra->round_next = 0;
    extra->round_oldest = 0;
    extra->round_stops = 0;
}

/* ---- actor.h ------------------------------------------------------------------------------ */

za_err_t za_supervise(za_ctx_t *ctx, za_strategy_t strategy)
{
    if (ctx == NULL || strategy > ZA_REST_FOR_ONE) {
        return ZA_EINVAL;
    }
    if (ctx->stopping) {
        return ZA_ESTOPPING;
    }
    za_extra_t *extra = za_cell_extra(ctx->worker, ctx->cell);
    if (extra == NULL) {
        return ZA_ENOBUFS;
    }
    extra->strategy = (uint8_t)strategy;
    return ZA_OK;
}

void za_supervised(const za_ctx_t *ctx, za_supervised_t *out)
{
    if (out == NULL) {
        return;
    }
    *out = (za_supervised_t){ 0 };
    za_extra_t *extra = ctx == NULL ? NULL : ctx->cell->extra;
    if (extra == NULL) {
        return;
    }
    za_runtime_t *runtime = ctx->worker->runtime;
    for (uint32_t slot = extra->child_first; slot != 0; slot = za_cell_at(runtime, slot)->next) {
        out->children++;
    }
    // relaxed: counters
    out->failures = atomic_load_explicit(&extra->child_failures, memory_order_relaxed);
    out->restarts = atomic_load_explicit(&extra->child_restarts, memory_order_relaxed);
    out->limits = atomic_load_explicit(&extra->child_limits, memory_order_relaxed);
    out->rounds = extra->rounds;
}
