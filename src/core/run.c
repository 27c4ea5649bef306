/** Running an actor: its commands, its messages, and going idle without losing one of either. */
#include <string.h>

#include "core/fiber.h"

enum { FORGET_BATCH = 64 }; // one write to the producers' line for so many messages

static const za_handler_t *find_by_address(const za_class_t *class_, const za_type_t *type)
{
    const za_handler_t *handler = class_->handlers;
    for (size_t left = class_->handler_count; left > 0; left--, handler++) {
        if (handler->type == type) {
            return handler;
        }
    }
    return NULL;
}

const za_handler_t *za_handler_find(const za_class_t *class_, const za_type_t *type)
{
    const za_handler_t *handler = find_by_address(class_, type);
    if (handler != NULL) {
        return handler;
    }
    // A type may have one descriptor in each shared object.
    for (size_t i = 0; i < class_->handler_count; i++) {
        if (class_->handlers[i].type->id == type->id) {
            return &class_->handlers[i];
        }
    }
    return NULL;
}

/* ---- one handler -------------------------------------------------------------------------- */

static void lose(za_worker_t *worker, za_message_t *message, za_Reason reason)
{
    za_dead_letter(worker, reason);
    // A kept one is let go when the life ends, and is not counted again then.
    if (message != NULL &&
        (message->block.kind == ZA_KIND_USER || message->block.flags & ZA_FLAG_HELD)) {
        message->block.flags |= ZA_FLAG_FAILED;
        message->deadline_ms = reason;
    }
}

/** Loses a message that no handler saw; if it was the answer to an ask, that is told instead. */
static void lose_unheard(za_worker_t *worker, za_message_t *message, za_Reason reason)
{
    lose(worker, message, reason);
    if (message->block.kind == ZA_KIND_REPLY) {
        message->block.flags |= ZA_FLAG_FAILED;
        message->deadline_ms = reason;
    }
}

static void discard_news(za_worker_t *worker)
{
    while (worker->ctx.news != NULL) {
        za_message_t *message = worker->ctx.news;
        // relaxed: the list is the handler's
        worker->ctx.news =
            (za_message_t *)atomic_load_explicit(&message->block.next, memory_order_relaxed);
        za_message_drop(worker, message);
    }
}

/** Puts the message aside, or loses it. */
static za_verdict_t stash(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    if (message != NULL && message->block.flags & ZA_FLAG_HELD) {
        za_log_line(worker, cell, worker->ctx.id, ZA_ERROR, "a kept message cannot be stashed");
        return ZA_FAIL;
    }
    za_Reason lost = za_stash_put(worker, cell, message);
    if (lost != za_Reason_REASON_NONE) {
        lose(worker, message, lost);
    }
    return ZA_DONE;
}

/** The copy of a notification without a block that its handler kept, and keeps still; or NULL. */
static za_message_t *kept_copy(const za_worker_t *worker, const za_cell_t *cell)
{
    return worker->ctx.kept_copy
               ? za_table_get(&cell->extra->records, (uintptr_t)worker->ctx.copy, 1)
               : NULL;
}

static void obey_verdict(za_worker_t *worker, za_cell_t *cell, za_message_t *message,
                         za_verdict_t verdict)
{
    if (worker->ctx.stopping) {
        return; // it ends, whatever it says
    }
    if (verdict == ZA_STASH) {
        verdict = stash(worker, cell, message);
    }
    if (verdict == ZA_STOP || (verdict == ZA_DONE && worker->ctx.after & ZA_AFTER_STOP)) {
        za_cell_quit(worker, cell);
        return;
    }
    if (verdict == ZA_DONE) {
        return; // stashed
    }
    if (verdict != ZA_FAIL) {
        za_log_line(worker, cell, worker->ctx.id, ZA_ERROR, "a handler answered %d: no verdict",
                    (int)verdict);
    }
    lose(worker, message != NULL ? message : kept_copy(worker, cell), za_Reason_REASON_FAILED);
    za_cell_fail(worker, cell);
}

/** The actor has no handler for it. */
static void unheard(za_worker_t *worker, za_cell_t *cell, za_message_t *message,
                    const za_type_t *type)
{
    if (message != NULL && message->block.kind != ZA_KIND_NOTIFY) {
        lose_unheard(worker, message, za_Reason_REASON_BAD_MESSAGE);
    } else if (type == &za_NameLost_type) {
        // Two that do the work of one name are worse than none: who does not say otherwise gives way.
        za_cell_end(worker, cell, za_Reason_REASON_STOPPED);
    }
}

/** Calls a handler; inlined where messages are handled. */
static inline void handle(za_worker_t *worker, za_cell_t *cell, za_message_t *message,
                          const za_type_t *type, const void *body, uint64_t tag)
{
    // relaxed: written by whoever spawned it, before it was scheduled
    const za_class_t *class_ = atomic_load_explicit(&cell->class_, memory_order_relaxed);
    const za_handler_t *handler = find_by_address(class_, type);
    if (__builtin_expect(handler == NULL, 0)) {
        handler = za_handler_find(class_, type);
        if (handler == NULL) {
            unheard(worker, cell, message, type);
            return;
        }
    }
    if (message != NULL) {
        za_moved_end(message); // nothing but in debug builds
    }
    za_ctx_t *ctx = &worker->ctx;
    ctx->message = message;
    za_ctx_set(ctx, type, body);
    ctx->tag = tag;
    ctx->after = 0;
    ctx->told = 0;
    ctx->kept_copy = false;
    za_verdict_t verdict = handler->call(ctx, cell->state != NULL ? cell->state + 1 : NULL, body);
    za_batch_close(worker);
    za_metrics_count(&worker->metrics, cell, 1);
    if (__builtin_expect(ctx->news != NULL, 0)) {
        discard_news(worker);
    }
    if (__builtin_expect(verdict != ZA_DONE || ctx->after & ZA_AFTER_STOP, 0)) {
        obey_verdict(worker, cell, message, verdict);
    }
}

void za_handle_plainly(za_worker_t *worker, za_cell_t *cell, za_message_t *message,
                       const za_type_t *type, const void *body, uint64_t tag)
{
    handle(worker, cell, message, type, body, tag);
}

void za_handle(za_worker_t *worker, za_cell_t *cell, za_message_t *message, const za_type_t *type,
               const void *body, uint64_t tag)
{
    if (__builtin_expect(cell->head_done == ZA_HEAD_FIBER, 0)) {
        za_fiber_handle(worker, cell, message, type, body, tag);
        return;
    }
    handle(worker, cell, message, type, body, tag);
}

/* ---- one message -------------------------------------------------------------------------- */

/** What a raw message says once decoded: handled from a block of its own. */
static void handle_raw(za_worker_t *worker, za_cell_t *cell, za_message_t *raw, uint64_t tag)
{
    za_message_t *message = NULL;
    // relaxed: as in za_handle
    const za_class_t *class_ = atomic_load_explicit(&cell->class_, memory_order_relaxed);
    za_err_t err = za_message_decode(worker, class_, raw, &message);
    if (err != ZA_OK) {
        lose_unheard(worker, raw,
                     err == ZA_ENOBUFS ? za_Reason_REASON_LIMIT : za_Reason_REASON_BAD_MESSAGE);
        return;
    }
    raw->ask = 0; // the decoded one has it now
    za_handle(worker, cell, message, message->type, za_body(message), tag);
    za_message_settle(worker, cell, message);
}

/** One that is encoded, or may stand for another. */
static __attribute__((noinline)) void handle_indirect(za_worker_t *worker, za_cell_t *cell,
                                                      za_message_t *message, uint64_t tag)
{
    if (message->block.flags & ZA_FLAG_RAW) {
        handle_raw(worker, cell, message, tag);
        return;
    }
    const za_message_t *shown = za_shown(message);
    za_handle(worker, cell, message, shown->type, shown + 1, tag);
}

/** One with a time in it. False: it is too late to handle it. */
static __attribute__((noinline)) bool look_at_time(za_worker_t *worker, const za_cell_t *cell,
                                                   za_message_t *message)
{
    // In debug builds the same bit marks what was moved, and that has a time only if it is an ask.
    if (message->block.flags & ZA_FLAG_STAMPED && message->ask == 0) {
        za_metrics_arrived(worker, cell, message);
        return true;
    }
    if (message->deadline_ms > za_ms(worker)) {
        return true;
    }
    lose(worker, message, za_Reason_REASON_TOO_LATE);
    if (message->sender.node == 0) {
        message->ask = 0; // the asker's own timer tells it: za_Timeout, not za_Down
    }
    return false;
}

static inline void handle_user(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    if (__builtin_expect(message->deadline_ms != 0, 0) && !look_at_time(worker, cell, message)) {
        return;
    }
    if (__builtin_expect(message->block.flags & (ZA_FLAG_RAW | ZA_FLAG_SHARES), 0)) {
        handle_indirect(worker, cell, message, 0);
        return;
    }
    handle(worker, cell, message, message->type, za_body(message), 0);
}

static void handle_reply(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    za_ask_record_t ask;
    bool open = za_ask_end(worker, cell, message->ask, &ask);
    message->ask = 0;
    if (!open) {
        ZA_TALLY(worker, late_replies);
    } else if (message->block.flags & (ZA_FLAG_RAW | ZA_FLAG_SHARES)) {
        handle_indirect(worker, cell, message, ask.timeout.tag);
    } else {
        za_handle(worker, cell, message, message->type, za_body(message), ask.timeout.tag);
    }
    // One that is held was heard.
    if (__builtin_expect((message->block.flags & (ZA_FLAG_FAILED | ZA_FLAG_HELD)) == ZA_FLAG_FAILED,
                         0)) {
        za_ask_unheard(worker, cell, &ask, (za_Reason)message->deadline_ms);
    }
}

static void handle_timer(za_worker_t *worker, za_cell_t *cell, za_message_t *timer)
{
    if (za_record_get(cell, timer->ask) != timer) {
        return; // cancelled after it was queued
    }
    if (timer->timer.period_ms == 0) {
        za_record_forget(cell, timer->ask);
    } else {
        timer->block.flags |= ZA_FLAG_REARM;
    }
    za_handle(worker, cell, NULL, timer->type, za_body(timer), 0);
}

/** One that was stashed, and is no user's message. */
static void handle_again(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    uint64_t tag = message->ask;
    message->ask = 0;
    handle_indirect(worker, cell, message, tag);
}

static void dispatch_signal(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    switch ((za_kind_t)message->block.kind) {
    case ZA_KIND_NOTIFY:
        za_handle(worker, cell, message, message->type, za_body(message), 0);
        break;
    case ZA_KIND_AGAIN:
        handle_again(worker, cell, message);
        break;
    case ZA_KIND_TIMER:
        handle_timer(worker, cell, message);
        break;
    case ZA_KIND_IDLE:
        za_idle_tick(worker, cell, message);
        break;
    case ZA_KIND_TIMEOUT:
        za_ask_timed_out(worker, cell, message);
        break;
    case ZA_KIND_ASK_FAILED:
    case ZA_KIND_FAIL_NODE:
        za_ask_failed(worker, cell, message);
        break;
    case ZA_KIND_DOWN:
        za_watch_fired(worker, cell, message);
        break;
    case ZA_KIND_UNWATCH:
        za_watcher_remove(worker, cell, message->sender, message->ask);
        break;
    case ZA_KIND_EXIT:
        za_exit_received(worker, cell, message);
        break;
    case ZA_KIND_LINK:  // joins the links when it leaves the mailbox
    case ZA_KIND_WATCH: // joins the watchers
        break;
    default:
        ZA_ASSERT(!"a message that no mailbox may have");
    }
}

/** A message of the runtime itself. */
static void handle_signal(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    uint64_t before = za_cell_handled(cell);
    worker->ctx.signal = true;
    dispatch_signal(worker, cell, message);
    worker->ctx.signal = false;
    if (cell->extra != NULL) {
        cell->extra->notices += za_cell_handled(cell) - before;
    }
}

static inline void handle_message(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    if (__builtin_expect(message->actor != worker->ctx.id, 0)) {
        message->block.flags |= ZA_FLAG_REFUSED;
    } else if (message->block.kind == ZA_KIND_USER) {
        handle_user(worker, cell, message);
    } else if (message->block.kind == ZA_KIND_REPLY) {
        handle_reply(worker, cell, message);
    } else {
        handle_signal(worker, cell, message);
    }
}

/** As handle_message, for an actor that may be one with a fiber. */
static void handle_taken(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    if (cell->head_done != ZA_HEAD_FIBER || message->block.kind != ZA_KIND_USER ||
        message->actor != worker->ctx.id) {
        handle_message(worker, cell, message);
    } else if (message->deadline_ms == 0 || look_at_time(worker, cell, message)) {
        handle_indirect(worker, cell, message, 0);
    }
}

/* ---- one run ------------------------------------------------------------------------------ */

static inline __attribute__((always_inline)) bool has_commands(const za_cell_t *cell)
{
    // seq_cst: after the mailbox was made idle, or the actor suspended; see za_mailbox_claim
    const za_message_t *commands = atomic_load_explicit(&cell->commands, memory_order_seq_cst);
    const za_cell_t *ended = atomic_load_explicit(&cell->ended, memory_order_seq_cst);
    return ((uintptr_t)commands | (uintptr_t)ended) != 0; // one branch
}

static bool is_waiting(const za_cell_t *cell)
{
    return cell->status != ZA_STATUS_RUNNING && cell->status != ZA_STATUS_DEAD;
}

/** Rests in no queue until a command comes. False: one came, and we still are the owner. */
static bool suspend(za_cell_t *cell)
{
    // seq_cst: before the look for commands; see za_cell_wake
    atomic_store_explicit(&cell->suspended, 1, memory_order_seq_cst); // pairs: suspend
    if (!has_commands(cell)) {
        return true;
    }
    uint8_t suspended = 1;
    // seq_cst: only one of us and the commander goes on
    return !atomic_compare_exchange_strong_explicit(&cell->suspended, &suspended, 0,
                                                    memory_order_seq_cst, memory_order_seq_cst);
}

/** What a run keeps count of. */
typedef struct run {
    za_message_t *last; // the newest when the run began: later ones wait for the next run
    uint32_t left;      // messages
    uint32_t forget;    // handled user messages that still count
    uint32_t forget_max;
    uint32_t step;         // messages until it looks around
    uint32_t skipped;      // of the step, because it ended early
    const za_type_t *type; // of the last message, as the next one mostly has the same
    za_handler_fn *call;   // its handler
} run_t;

static void forget(za_cell_t *cell, run_t *run)
{
    if (run->forget > 0) {
        za_mailbox_make_room(&cell->mailbox, run->forget);
        run->forget = 0;
    }
}

/** How many handled messages may still count in a mailbox of this bound. */
static uint32_t forget_max(uint32_t bound)
{
    // In a small mailbox the count is exact, so that a handler finds the place it made.
    uint32_t part = bound < 32 ? 1 : bound / 8;
    return part < FORGET_BATCH ? part : FORGET_BATCH;
}

static run_t run_begin(const za_cell_t *cell, uint32_t messages_max)
{
    // relaxed: constant while the actor lives
    uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed);
    return (run_t){
        // relaxed: only compared
        .last = atomic_load_explicit(&cell->mailbox.newest, memory_order_relaxed),
        .left = messages_max,
        .forget_max = forget_max(bound & ZA_BOUND_COUNT),
    };
}

typedef enum leave {
    LEFT,      // the head is gone, we go on
    LEFT_IDLE, // the head is gone and the actor idle: no longer ours
    LEFT_NOT,  // a producer is about to link: come back
} leave_t;

/** Lets the handled head go. */
static inline leave_t leave_head(za_worker_t *worker, za_cell_t *cell, za_message_t *head)
{
    // Whoever needs the actor afterwards must not make it idle by leaving. One that is kept is let
    // go by the next handler, maybe of another worker: it must not be looked at any more then.
    bool needs_cell = (head->block.flags & (ZA_FLAG_REARM | ZA_FLAG_ASIDE | ZA_FLAG_HELD)) ||
                      head->block.kind == ZA_KIND_WATCH || head->block.kind == ZA_KIND_LINK;
    bool may_idle = !needs_cell && !is_waiting(cell);
    za_advance_t advance =
        za_mailbox_advance(&cell->mailbox, head, may_idle ? NULL : ZA_MAILBOX_BUSY);
    if (advance == ZA_ADVANCE_LATER) {
        cell->head_done = ZA_HEAD_DONE;
        return LEFT_NOT;
    }
    za_message_settle(worker, cell, head);
    if (advance == ZA_ADVANCED || !may_idle) {
        return LEFT;
    }
    return has_commands(cell) && za_mailbox_claim(&cell->mailbox) ? LEFT : LEFT_IDLE;
}

/** Handles the head of the mailbox and lets it go. */
static leave_t run_head(za_worker_t *worker, za_cell_t *cell, za_message_t *head, run_t *run)
{
    run->left = head == run->last ? 0 : run->left - 1;
    if (head->block.kind == ZA_KIND_USER && ++run->forget >= run->forget_max) {
        forget(cell, run);
    }
    handle_message(worker, cell, head);
    // relaxed: a guess whether we are about to be idle
    if (is_waiting(cell) || atomic_load_explicit(&head->block.next, memory_order_relaxed) == NULL) {
        forget(cell, run);
    }
    return leave_head(worker, cell, head);
}

/** True if messages are all there is to do. */
static inline bool is_plain(const za_cell_t *cell)
{
    return cell->status == ZA_STATUS_RUNNING && !has_commands(cell);
}

/** True for a message that asks for nothing but its handler. */
static inline bool is_simple(const za_message_t *message, uint64_t actor)
{
    return message->block.kind == ZA_KIND_USER && message->block.flags == 0 &&
           (message->ask | message->deadline_ms) == 0 && message->actor == actor;
}

/**
 * Notes the handler for messages of `type`, the next ones. False: the long way finds out. A batch goes on
 * only as long as the same short handler is called: what is in it waits for no more than a few like that.
 */
static __attribute__((noinline)) bool find_next(za_worker_t *worker, run_t *run,
                                                const za_type_t *type)
{
    za_batch_close(worker);
    worker->ctx.told = 0;
    // relaxed: the owner's
    const za_class_t *class_ =
        atomic_load_explicit(&worker->ctx.cell->class_, memory_order_relaxed);
    const za_handler_t *handler = find_by_address(class_, type);
    if (handler == NULL) {
        return false;
    }
    run->type = type;
    run->call = handler->call;
    za_ctx_set(&worker->ctx, type, NULL);
    return true;
}

void za_handled(za_worker_t *worker, za_cell_t *cell, za_message_t *message, za_verdict_t verdict)
{
    if (worker->ctx.news != NULL) {
        discard_news(worker);
    }
    if (verdict != ZA_DONE || worker->ctx.after & ZA_AFTER_STOP) {
        obey_verdict(worker, cell, message, verdict);
    }
}

/** A handler in a row of them asked for more than the next message. */
static __attribute__((noinline)) void handled_oddly(za_worker_t *worker, run_t *run,
                                                    za_message_t *message, za_verdict_t verdict)
{
    za_cell_t *cell = worker->ctx.cell;
    za_handled(worker, cell, message, verdict);
    if (worker->ctx.after & ZA_AFTER_CHANGE || cell->status != ZA_STATUS_RUNNING) {
        run->skipped = run->step - 1; // that was the last of the row, and of its handler
        run->step = 1;
        run->type = NULL;
    }
    worker->ctx.after = 0;
}

static inline za_message_t *next_of(const za_message_t *message)
{
    // relaxed: it was acquired before, or is only fetched
    return (za_message_t *)atomic_load_explicit(&message->block.next, memory_order_relaxed);
}

/**
 * Handles up to run->step simple messages whose successor is there, before the last of the run.
 * Meanwhile it leaves the line of the mailbox alone, which producers on other cores write to.
 * Returns the first that is not handled. What it needs after a handler fits the registers that calls
 * keep.
 */
static __attribute__((noinline)) za_message_t *handle_linked(za_worker_t *worker, void *state,
                                                             za_message_t *head, run_t *run)
{
    while (run->step > 0 && head != run->last && is_simple(head, worker->ctx.id)) {
        za_message_t *next = (za_message_t *)atomic_load_explicit(
            &head->block.next, memory_order_acquire); // pairs: mailbox-link
        if (__builtin_expect(next == NULL, 0) ||
            (__builtin_expect(head->type != run->type, 0) && !find_next(worker, run, head->type))) {
            break;
        }
        // Two ahead: a line that another core wrote takes longer than one handler.
        // A number, for there may be none.
        uintptr_t ahead = (uintptr_t)next_of(next);
        __builtin_prefetch((const void *)ahead);
        __builtin_prefetch((const void *)(ahead + sizeof(za_message_t)));
        za_moved_end(head); // nothing but in debug builds
        worker->ctx.message = head;
        // relaxed: as in za_ctx_set; the type is there already
        atomic_store_explicit(&worker->ctx.body, za_body(head), memory_order_relaxed);
        za_verdict_t verdict = run->call(&worker->ctx, state, za_body(head));
        if (__builtin_expect(worker->ctx.news != NULL, 0) ||
            __builtin_expect(verdict != ZA_DONE, 0) ||
            __builtin_expect(worker->ctx.after != 0, 0)) {
            handled_oddly(worker, run, head, verdict);
        }
        if (__builtin_expect(head->block.flags == 0, 1)) {
            za_pool_free(&worker->pool, &head->block);
        } else {
            za_message_settle_rare(worker, worker->ctx.cell, head);
        }
        head = next;
        run->step--;
    }
    za_batch_close(worker);
    return head;
}

/** As handle_linked, in steps after which commands are looked at and handled messages counted. */
static za_message_t *run_linked(za_worker_t *worker, za_cell_t *cell, za_message_t *head,
                                run_t *run)
{
    za_message_t *first = head;
    void *state = cell->state != NULL ? cell->state + 1 : NULL;
    za_ctx_t *ctx = &worker->ctx;
    ctx->tag = 0;
    ctx->after = 0;
    ctx->kept_copy = false;
    ctx->told = 0;
    run->type = NULL;
    while (run->left > 1 && run->forget_max > 1 && is_plain(cell)) {
        uint32_t step = run->forget_max - run->forget;
        step = step < run->left ? step : run->left - 1;
        if (__builtin_expect(!worker->brisk, 0)) { // each takes long: so may what is in the batch
            step = 1;
            ctx->told = 0;
        }
        run->step = step;
        run->skipped = 0;
        head = handle_linked(worker, state, head, run);
        uint32_t handled = step - run->step - run->skipped;
        if (handled == 0) {
            break;
        }
        run->left -= handled;
        run->forget += handled;
        if (run->forget >= run->forget_max) {
            forget(cell, run);
        }
        za_metrics_count(&worker->metrics, cell, handled);
    }
    if (head != first) {
        za_mailbox_skip_to(&cell->mailbox, head);
    }
    return head;
}

/** Before messages: commands, a head left over from the last run, a change of status. */
typedef enum ready {
    READY,      // to handle messages
    READY_NOT,  // schedule it again
    READY_GONE, // suspended: no longer ours
} ready_t;

/** Handles one message of those that go ahead of the mailbox. False: that were enough for a run. */
static bool replay_one(za_worker_t *worker, za_cell_t *cell, run_t *run)
{
    if (run->left == 0) {
        return false;
    }
    run->left--;
    za_message_t *message = za_aside_pop(&cell->extra->replay);
    if (cell->extra->replay.count == 0) {
        cell->status = ZA_STATUS_RUNNING;
    }
    handle_taken(worker, cell, message);
    za_message_settle(worker, cell, message);
    return true;
}

static ready_t get_ready_slowly(za_worker_t *worker, za_cell_t *cell, run_t *run)
{
    if (__builtin_expect(cell->head_done == ZA_HEAD_DONE, 0)) {
        za_message_t *head = za_mailbox_head(&cell->mailbox);
        if (za_mailbox_advance(&cell->mailbox, head, ZA_MAILBOX_BUSY) == ZA_ADVANCE_LATER) {
            return READY_NOT;
        }
        cell->head_done = ZA_HEAD_PLAIN;
        za_message_settle(worker, cell, head);
    }
    for (;;) {
        if (__builtin_expect(has_commands(cell), 0)) {
            za_cell_obey(worker, cell);
        }
        if (__builtin_expect(!is_waiting(cell), 1)) {
            return READY;
        }
        if (cell->status == ZA_STATUS_REPLAYING) {
            if (!replay_one(worker, cell, run)) {
                return READY_NOT;
            }
            continue;
        }
        forget(cell, run); // it may wait, or end: what it handled counts no more
        if (!za_cell_step(worker, cell) && suspend(cell)) {
            return READY_GONE;
        }
        // Ended or spawned: messages are compared with the id that holds now.
        worker->ctx.id = atomic_load_explicit(&cell->id, memory_order_relaxed); // relaxed: ours
    }
}

static inline ready_t get_ready(za_worker_t *worker, za_cell_t *cell, run_t *run)
{
    bool plain = !cell->head_done && !is_waiting(cell) && !has_commands(cell);
    return __builtin_expect(plain, 1) ? READY : get_ready_slowly(worker, cell, run);
}

/** Gives up an actor whose mailbox looks empty. */
static bool run_idle(za_worker_t *worker, za_cell_t *cell)
{
    if (!za_mailbox_try_idle(&cell->mailbox)) {
        za_schedule_last(worker, cell); // a first message is on its way
        return true;
    }
    return !has_commands(cell) || !za_mailbox_claim(&cell->mailbox);
}

/** Runs an actor for at most so many messages, and whatever else it has to do. */
static void run_any(za_worker_t *worker, za_cell_t *cell, uint32_t messages_max)
{
    run_t run = run_begin(cell, messages_max);
    for (;;) {
        ready_t ready = get_ready(worker, cell, &run);
        if (ready == READY_GONE) {
            return;
        }
        za_message_t *head = ready == READY ? za_mailbox_head(&cell->mailbox) : NULL;
        if (ready == READY && head == NULL) {
            forget(cell, &run);
            if (run_idle(worker, cell)) {
                return;
            }
            continue;
        }
        if (ready == READY_NOT || run.left == 0) {
            break;
        }
        if (head != run.last) {
            uint32_t left_before = run.left; // the head may be in the block that the old one left
            head = run_linked(worker, cell, head, &run);
            if (run.left != left_before && !is_plain(cell)) {
                continue;
            }
        }
        leave_t left = run_head(worker, cell, head, &run);
        if (left == LEFT_IDLE) {
            return;
        }
        if (left == LEFT_NOT) {
            break;
        }
    }
    forget(cell, &run);
    za_schedule_last(worker, cell);
}

/** As run_any, where a message is taken out before it is handled: ZA_HEAD_SHARED, ZA_HEAD_FIBER. */
static void run_taking(za_worker_t *worker, za_cell_t *cell, uint32_t messages_max)
{
    run_t run = run_begin(cell, messages_max);
    ready_t ready;
    while ((ready = get_ready_slowly(worker, cell, &run)) == READY && run.left > 0) {
        if (cell->head_done < ZA_HEAD_SHARED) {
            run_any(worker, cell, run.left); // it ended
            return;
        }
        za_message_t *message;
        za_take_t take = cell->head_done == ZA_HEAD_FIBER ? za_fiber_take(worker, cell, &message)
                                                          : za_drop_take(worker, cell, &message);
        if (take == ZA_TAKE_LATER) {
            break;
        }
        if (take == ZA_TAKEN) {
            run.left--;
            if (message != NULL) {
                handle_taken(worker, cell, message);
                za_message_settle(worker, cell, message);
            }
        } else if (run_idle(worker, cell)) {
            return;
        }
    }
    if (ready != READY_GONE) {
        za_schedule_last(worker, cell);
    }
}

/** True if there is one simple message, and nothing else to do: so go conversations. */
static inline bool is_lone(const za_cell_t *cell, const za_message_t *head, uint64_t id)
{
    // relaxed: only compared
    return head != NULL &&
           head == atomic_load_explicit(&cell->mailbox.newest, memory_order_relaxed) &&
           cell->status == ZA_STATUS_RUNNING && cell->head_done == ZA_HEAD_PLAIN &&
           is_simple(head, id) && !has_commands(cell);
}

/** As leave_bare, where others came, or are about to. */
static __attribute__((noinline)) leave_t leave_to_next(za_worker_t *worker, za_cell_t *cell,
                                                       za_message_t *head, za_advance_t advance)
{
    if (advance == ZA_ADVANCE_LATER) {
        cell->head_done = ZA_HEAD_DONE;
        return LEFT_NOT;
    }
    za_pool_free(&worker->pool, &head->block);
    return LEFT;
}

/** As leave_head, for a head without a flag: it is but a block. */
static inline leave_t leave_bare(za_worker_t *worker, za_cell_t *cell, za_message_t *head)
{
    za_advance_t advance = za_mailbox_advance(&cell->mailbox, head, NULL);
    if (__builtin_expect(advance != ZA_ADVANCED_LAST, 0)) {
        return leave_to_next(worker, cell, head, advance);
    }
    za_pool_free(&worker->pool, &head->block);
    return __builtin_expect(has_commands(cell), 0) && za_mailbox_claim(&cell->mailbox) ? LEFT
                                                                                       : LEFT_IDLE;
}

/** As leave_bare, for one that has a flag, or whose actor does not run any more. */
static __attribute__((noinline)) leave_t leave_oddly(za_worker_t *worker, za_cell_t *cell,
                                                     za_message_t *head)
{
    return head->block.flags == 0 && za_cell_end_bare(worker, cell, head)
               ? leave_bare(worker, cell, head)
               : leave_head(worker, cell, head);
}

/** Others came behind a lone message, or are about to; or its actor has a new status. */
static __attribute__((noinline)) void run_on(za_worker_t *worker, za_cell_t *cell, leave_t left)
{
    if (left == LEFT) {
        run_any(worker, cell, 0); // they have their turn
    } else {
        za_schedule_last(worker, cell);
    }
}

/** Runs an actor that has one simple message, and mostly nothing else afterwards. */
static inline __attribute__((always_inline)) void run_single(za_worker_t *worker, za_cell_t *cell,
                                                             za_message_t *head)
{
    za_mailbox_make_room(&cell->mailbox, 1);
    handle(worker, cell, head, head->type, za_body(head), 0);
    ZA_FORGET(cell);
    bool bare = head->block.flags == 0 && !is_waiting(cell);
    leave_t left = __builtin_expect(bare, 1) ? leave_bare(worker, cell, head)
                                             : leave_oddly(worker, cell, head);
    if (__builtin_expect(left != LEFT_IDLE, 0)) {
        run_on(worker, cell, left);
    }
}

/** Starts an actor to which that is all there is: it is not told. False: nothing was done. */
static inline bool start_bare(za_cell_t *cell)
{
    if (cell->status != ZA_STATUS_STARTING || cell->extra != NULL ||
        cell->hears & ZA_HEARS_STARTS || has_commands(cell)) {
        return false;
    }
    cell->status = ZA_STATUS_RUNNING;
    cell->hears |= ZA_HEARS_DUE;
    return true;
}

enum { LOOK_MESSAGES = 64 }; // between looks at the clock

/** Runs an actor that has more to do than one simple message. */
static void run_some(za_worker_t *worker, za_cell_t *cell, uint32_t messages_max)
{
    uint64_t before = za_cell_handled(cell);
    if (__builtin_expect(cell->head_done >= ZA_HEAD_SHARED, 0)) {
        run_taking(worker, cell, messages_max);
    } else {
        run_any(worker, cell, messages_max);
    }
    // Lone messages are not counted: a turn has few of them. A new actor in the cell: much, we look.
    worker->unlooked += (uint32_t)(za_cell_handled(cell) - before);
    if (worker->unlooked >= LOOK_MESSAGES) {
        worker->unlooked = 0;
        worker->look = true;
    }
}

/** Runs an actor that is new, or has more to do. Not inlined: conversations have no use for it. */
static __attribute__((noinline)) void run_other(za_worker_t *worker, za_cell_t *cell,
                                                za_message_t *head)
{
    if (start_bare(cell) && is_lone(cell, head, worker->ctx.id)) {
        run_single(worker, cell, head);
    } else {
        run_some(worker, cell, worker->brisk ? ZA_RUN_MESSAGES_MAX : ZA_RUN_SLOW_MAX);
    }
}

void za_cell_run_one(za_worker_t *worker, za_cell_t *cell)
{
    za_ctx_t *ctx = &worker->ctx;
    ctx->cell = cell;
    ctx->id = atomic_load_explicit(&cell->id, memory_order_relaxed); // relaxed: the owner's
    run_some(worker, cell, 1);
}

/** As za_cell_run, inlined where one runs after the other: it saves no registers for each of them. */
static inline __attribute__((always_inline)) void run_next(za_worker_t *worker, za_cell_t *cell)
{
    za_ctx_t *ctx = &worker->ctx;
    uint64_t id = atomic_load_explicit(&cell->id, memory_order_relaxed); // relaxed: the owner's
    za_message_t *head = za_mailbox_head(&cell->mailbox);
    ctx->cell = cell;
    atomic_store_explicit(&worker->running, cell, memory_order_relaxed); // relaxed: see watchdog.h
    ctx->id = id;
    if (__builtin_expect(is_lone(cell, head, id), 1)) {
        run_single(worker, cell, head);
    } else {
        run_other(worker, cell, head);
    }
}

void za_cell_run(za_worker_t *worker, za_cell_t *cell)
{
    run_next(worker, cell);
}

/** True if the turn took so long that timers and the network have waited enough. */
static bool is_turn_over(const za_worker_t *worker)
{
    const za_runtime_t *runtime = worker->runtime;
    return runtime->host.recent_ns != NULL &&
           (int64_t)(runtime->host.recent_ns(runtime->config.host_context) - worker->now_ns) >
               ZA_TURN_NS_MAX;
}

uint32_t za_run_actors(za_worker_t *worker, uint32_t runs, uint32_t max)
{
    worker->look = !worker->brisk;
    for (; runs < max; runs++) {
        za_cell_t *cell = za_pick(worker);
        if (cell == NULL) {
            break;
        }
        run_next(worker, cell);
        if (__builtin_expect(worker->look, 0)) {
            worker->look = !worker->brisk;
            if (is_turn_over(worker)) {
                return ZA_TURN_RUNS_MAX;
            }
        }
    }
    return runs;
}
