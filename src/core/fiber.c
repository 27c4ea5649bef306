#include "core/fiber.h"

#include <inttypes.h>

#include "core/fiber_sanitize.h"
#include "core/fiber_switch.h"

/* ---- the stack ---------------------------------------------------------------------------- */

// Which fiber this thread is on, for a handler of faults. Initial-exec: no call, no allocation.
static _Thread_local za_fiber_t *current __attribute__((tls_model("initial-exec")));

static size_t stack_bytes(const za_fiber_t *fiber)
{
    return (size_t)((const char *)fiber - fiber->low);
}

/** Goes back to the worker. */
static void leave(za_fiber_t *fiber)
{
    ZA_ASAN_LEAVE(&fiber->asan_stack, fiber->asan_home, fiber->asan_home_bytes);
    ZA_TSAN_SWITCH(fiber->tsan_home);
    za_switch(&fiber->point, fiber->home);
    ZA_ASAN_ARRIVE(fiber->asan_stack, &fiber->asan_home, &fiber->asan_home_bytes);
}

/** What a fiber does all its life. */
static void call_handlers(void *argument)
{
    za_fiber_t *fiber = argument;
    ZA_ASAN_ARRIVE(NULL, &fiber->asan_home, &fiber->asan_home_bytes);
    for (;;) {
        fiber->verdict = fiber->call(&fiber->ctx, fiber->self, fiber->body);
        fiber->state = ZA_FIBER_RESTS;
        leave(fiber);
    }
}

/** Runs the fiber until its handler returns or waits. */
static void enter(za_fiber_t *fiber)
{
    void *asan_stack = NULL;
    current = fiber;
    fiber->tsan_home = ZA_TSAN_SELF();
    ZA_ASAN_LEAVE(&asan_stack, fiber->low, stack_bytes(fiber));
    ZA_TSAN_SWITCH(fiber->tsan);
    za_switch(&fiber->home, fiber->point);
    ZA_ASAN_ARRIVE(asan_stack, NULL, NULL);
    current = NULL;
}

void za_fiber_make(za_fiber_t *fiber)
{
    fiber->tsan = ZA_TSAN_MAKE();
    fiber->point = za_switch_make(fiber->low, fiber, call_handlers, fiber);
}

void za_fiber_unmake(za_fiber_t *fiber)
{
    ZA_TSAN_UNMAKE(fiber->tsan);
}

bool za_fiber_find_fault(const void *address, za_fiber_fault_t *out)
{
    const za_fiber_t *fiber = current;
    if (fiber == NULL || !fiber->guarded || (const char *)address >= fiber->low ||
        (const char *)address < fiber->low - ZA_FIBER_GUARD_BYTES) {
        return false;
    }
    out->actor = (za_ref_t){ 0, fiber->ctx.id };
    // relaxed: the owner's, and that is who is here
    out->class_name = atomic_load_explicit(&fiber->ctx.cell->class_, memory_order_relaxed)->name;
    return true;
}

/** What lies below is broken already: who it was must be said, and nothing may go on. */
static _Noreturn void fail_overflow(za_worker_t *worker, za_cell_t *cell, const za_fiber_t *fiber)
{
    // relaxed: the owner's
    const za_class_t *class_ = atomic_load_explicit(&cell->class_, memory_order_relaxed);
    char ref[ZA_REF_TEXT_BYTES];
    za_log_line(worker, cell, fiber->ctx.id, ZA_ERROR, "stack overflow in fiber of actor %s %s",
                class_->name, za_ref_format((za_ref_t){ 0, fiber->ctx.id }, ref));
    za_misuse(class_->name, "overflowed the stack of its fiber: give it more stack_bytes");
}

/* ---- a handler ---------------------------------------------------------------------------- */

/** The worker's own context says what is handled, too: for the watchdog and for what follows. */
static void show(za_worker_t *worker, const za_fiber_t *fiber)
{
    za_ctx_t *ctx = &worker->ctx;
    ctx->message = fiber->message;
    za_ctx_set(ctx, za_ctx_type(&fiber->ctx), za_ctx_body(&fiber->ctx));
    ctx->tag = fiber->ctx.tag;
    ctx->after = 0;
    ctx->kept_copy = fiber->ctx.kept_copy;
    ctx->copy = fiber->ctx.copy;
}

static void drop_reply(za_worker_t *worker, za_fiber_t *fiber)
{
    if (fiber->reply != NULL) {
        za_message_drop(worker, fiber->reply);
        fiber->reply = NULL;
    }
}

/** Its handler returned: what follows is as for any actor. */
static void finish_call(za_worker_t *worker, za_cell_t *cell, za_fiber_t *fiber)
{
    za_ctx_t *ctx = &worker->ctx;
    za_message_t *message = fiber->message;
    show(worker, fiber);
    ctx->after = fiber->ctx.after;
    ctx->news = fiber->ctx.news;
    fiber->ctx.news = NULL;
    fiber->message = NULL;
    drop_reply(worker, fiber);
    za_handled(worker, cell, message, fiber->verdict);
    if (fiber->copy != NULL) {
        za_message_drop(worker, fiber->copy);
        fiber->copy = NULL;
    }
    if (fiber->waited && message != NULL) {
        za_message_settle(worker, cell, message);
    }
    za_cell_replay(cell, &(za_aside_t){ 0 }); // what it unstashed before it waited
}

/** It waits: nothing is handled until it goes on, not even what was unstashed. */
static void set_waiting(za_cell_t *cell, za_fiber_t *fiber)
{
    fiber->waited = true;
    if (fiber->message != NULL && (fiber->message->block.flags & ZA_FLAG_HELD) == 0) {
        fiber->message->block.flags |= ZA_FLAG_HELD;
        fiber->holds = true;
    }
    if (cell->status == ZA_STATUS_REPLAYING) {
        cell->status = ZA_STATUS_RUNNING;
    }
}

/** Begins a handler, or goes on with it. */
static void run(za_worker_t *worker, za_cell_t *cell, za_fiber_t *fiber)
{
    if (fiber->holds) {
        fiber->message->block.flags &= (uint8_t)~ZA_FLAG_HELD;
        fiber->holds = false;
    }
    fiber->state = ZA_FIBER_RUNS;
    fiber->ctx.worker = worker;
    fiber->ctx.told = 0; // a batch is the worker's
    show(worker, fiber);
    enter(fiber);
    if (!za_fiber_is_whole(fiber)) {
        fail_overflow(worker, cell, fiber);
    }
    za_batch_close(worker);
    if (fiber->state == ZA_FIBER_WAITS) {
        set_waiting(cell, fiber);
    } else {
        finish_call(worker, cell, fiber);
    }
}

/** Ends the wait. */
static void go_on(za_worker_t *worker, za_cell_t *cell, za_fiber_t *fiber, za_err_t result)
{
    fiber->result = result;
    run(worker, cell, fiber);
}

/** A block for a notification that has none: what it is in may go while its handler waits. */
static za_message_t *copy_body(za_worker_t *worker, const za_type_t *type, const void *body)
{
    uint32_t bytes = za_type_extent(type, body);
    za_message_t *copy = za_message_make(worker, ZA_KIND_AGAIN, bytes, ZA_POOL_BEYOND);
    if (copy != NULL) {
        copy->sender = ZA_REF_NONE;
        copy->deadline_ms = 0;
        za_message_fill(copy, type, body, bytes);
    }
    return copy;
}

static void begin(za_worker_t *worker, za_cell_t *cell, za_message_t *message,
                  const za_handler_t *handler, const void *body, uint64_t tag)
{
    za_fiber_t *fiber = cell->extra->fiber;
    if (message == NULL) {
        fiber->copy = copy_body(worker, handler->type, body);
        if (fiber->copy == NULL) {
            za_dead_letter(worker, za_Reason_REASON_LIMIT);
            return;
        }
        body = za_body(fiber->copy);
    } else {
        za_moved_end(message); // nothing but in debug builds
    }
    za_ctx_t *ctx = &fiber->ctx;
    ctx->cell = cell;
    ctx->message = message;
    za_ctx_set(ctx, handler->type, body);
    ctx->news = NULL;
    ctx->id = worker->ctx.id;
    ctx->tag = tag;
    ctx->told_twice = 0;
    ctx->kept_copy = false;
    ctx->after = 0;
    ctx->stopping = false;
    ctx->signal = worker->ctx.signal;
    fiber->message = message;
    fiber->call = handler->call;
    fiber->self = cell->state != NULL ? cell->state + 1 : NULL;
    fiber->body = body;
    fiber->waited = false;
    fiber->cancelled = false;
    za_metrics_count(&worker->metrics, cell, 1);
    run(worker, cell, fiber);
}

/* ---- what it waits for -------------------------------------------------------------------- */

/** A notification while its handler waits: its own, or one for a later handler. */
static void notice(za_worker_t *worker, za_cell_t *cell, const za_type_t *type, const void *body,
                   uint64_t tag)
{
    za_fiber_t *fiber = cell->extra->fiber;
    if (za_record_get(cell, fiber->wait_id) == NULL) { // it just ended
        if (fiber->reply_type == NULL) {
            go_on(worker, cell, fiber, ZA_OK);
            return;
        }
        bool is_down = type == &za_Down_type;
        fiber->reason = is_down ? ((const za_Down *)body)->reason : za_Reason_REASON_NONE;
        go_on(worker, cell, fiber, is_down ? za_reason_err(fiber->reason) : ZA_ETIMEOUT);
        return;
    }
    // One signal may be several notifications: a lost node fails all asks to it.
    za_message_t *copy = copy_body(worker, type, body);
    if (copy == NULL) {
        za_dead_letter(worker, za_Reason_REASON_LIMIT);
        return;
    }
    copy->actor = worker->ctx.id;
    copy->ask = tag;
    za_aside_push(&fiber->later, copy);
}

void za_fiber_handle(za_worker_t *worker, za_cell_t *cell, za_message_t *message,
                     const za_type_t *type, const void *body, uint64_t tag)
{
    const za_fiber_t *fiber = cell->extra->fiber;
    if (fiber->state == ZA_FIBER_WAITS) {
        ZA_ASSERT(message == NULL); // see za_fiber_take
        notice(worker, cell, type, body, tag);
        return;
    }
    // relaxed: the owner's
    const za_class_t *class_ = atomic_load_explicit(&cell->class_, memory_order_relaxed);
    const za_handler_t *handler = za_handler_find(class_, type);
    if (handler == NULL || worker->ctx.stopping) {
        za_handle_plainly(worker, cell, message, type, body,
                          tag); // lost; or the last, which may not wait
        return;
    }
    begin(worker, cell, message, handler, body, tag);
}

/** What the answer says once decoded, and as the type that is waited for. */
static za_err_t read_reply(za_worker_t *worker, za_fiber_t *fiber, za_message_t **reply)
{
    const za_handler_t handler = { .type = fiber->reply_type };
    const za_class_t expected = { .handlers = &handler, .handler_count = 1 };
    if ((*reply)->block.flags & ZA_FLAG_RAW) {
        za_message_t *decoded = NULL;
        za_err_t err = za_message_decode(worker, &expected, *reply, &decoded);
        if (err != ZA_OK) {
            return err;
        }
        za_message_drop(worker, *reply);
        *reply = decoded;
        decoded->ask = 0;
        return ZA_OK;
    }
    return za_shown(*reply)->type->id == fiber->reply_type->id ? ZA_OK : ZA_ETYPE;
}

static void hear_reply(za_worker_t *worker, za_cell_t *cell, za_message_t *reply)
{
    za_fiber_t *fiber = cell->extra->fiber;
    za_ask_record_t ask;
    bool open = za_ask_end(worker, cell, reply->ask, &ask);
    ZA_ASSERT(open); // else it would not wait
    reply->ask = 0;
    za_err_t err = read_reply(worker, fiber, &reply);
    if (err != ZA_OK) {
        za_dead_letter(worker,
                       err == ZA_ENOBUFS ? za_Reason_REASON_LIMIT : za_Reason_REASON_BAD_MESSAGE);
        fiber->reason = za_Reason_REASON_BAD_MESSAGE;
        za_message_drop(worker, reply);
    } else {
        za_moved_end(reply); // nothing but in debug builds
        fiber->reply = reply;
        fiber->answer = za_shown(reply) + 1;
        za_metrics_count(&worker->metrics, cell, 1);
    }
    go_on(worker, cell, fiber, err);
}

/** True for what ends the wait. */
static bool is_awaited(const za_cell_t *cell, const za_fiber_t *fiber, const za_message_t *message)
{
    // relaxed: the owner's
    if (message->actor != atomic_load_explicit(&cell->id, memory_order_relaxed)) {
        return false;
    }
    switch ((za_kind_t)message->block.kind) {
    case ZA_KIND_REPLY:
    case ZA_KIND_ASK_FAILED:
    case ZA_KIND_TIMEOUT:
    case ZA_KIND_TIMER:
        return message->ask == fiber->wait_id;
    case ZA_KIND_FAIL_NODE:
        return fiber->wait_node != 0 && message->ask == fiber->wait_node;
    default:
        return false;
    }
}

za_message_t *za_fiber_later(za_cell_t *cell)
{
    za_message_t *message = za_aside_pop(&cell->extra->fiber->later);
    if (message != NULL && message->block.kind == ZA_KIND_USER) {
        za_mailbox_make_room(&cell->mailbox, 1);
    }
    return message;
}

za_take_t za_fiber_take(za_worker_t *worker, za_cell_t *cell, za_message_t **out)
{
    za_fiber_t *fiber = cell->extra->fiber;
    bool waits = fiber->state == ZA_FIBER_WAITS;
    *out = waits ? NULL : za_fiber_later(cell);
    if (*out != NULL) {
        return ZA_TAKEN;
    }
    za_message_t *head = za_mailbox_head(&cell->mailbox);
    if (head == NULL) {
        return ZA_TAKE_EMPTY;
    }
    if (za_mailbox_advance(&cell->mailbox, head, ZA_MAILBOX_BUSY) == ZA_ADVANCE_LATER) {
        return ZA_TAKE_LATER;
    }
    if (!waits) {
        if (head->block.kind == ZA_KIND_USER) {
            za_mailbox_make_room(&cell->mailbox, 1);
        }
        *out = head;
    } else if (!is_awaited(cell, fiber, head)) {
        za_aside_push(&fiber->later, head);
    } else if (head->block.kind == ZA_KIND_REPLY) {
        hear_reply(worker, cell, head);
    } else {
        *out = head; // comes back by za_fiber_handle
    }
    return ZA_TAKEN;
}

/* ---- the actor's life --------------------------------------------------------------------- */

za_err_t za_fiber_open(za_worker_t *worker, za_extra_t *extra, size_t bytes)
{
    za_fiber_pool_t *pool = &worker->runtime->fibers;
    bool first_without_guard = false;
    za_err_t err = za_fiber_pool_take(pool, bytes, &extra->fiber, &first_without_guard);
    if (err == ZA_OK && first_without_guard) {
        za_log_line(worker, NULL, 0, ZA_WARN,
                    "fibers beyond %" PRIu32 " have no guard page: an overflow ends the process, "
                    "but only when the fiber is left",
                    pool->guarded_max);
    }
    return err;
}

void za_fiber_close(za_worker_t *worker, za_extra_t *extra)
{
    ZA_ASSERT(extra->fiber->state == ZA_FIBER_RESTS && extra->fiber->later.count == 0);
    za_fiber_pool_give(&worker->runtime->fibers, extra->fiber);
    extra->fiber = NULL;
}

void za_fiber_cancel(za_worker_t *worker, za_cell_t *cell)
{
    za_fiber_t *fiber = cell->extra == NULL ? NULL : cell->extra->fiber;
    if (fiber == NULL || fiber->state != ZA_FIBER_WAITS) {
        return;
    }
    za_message_t *record = za_record_get(cell, fiber->wait_id);
    ZA_ASSERT(record != NULL);
    if (fiber->reply_type != NULL) {
        za_ask_undo(&worker->ctx, record);
    } else {
        za_record_forget(cell, fiber->wait_id);
        za_record_cancel(worker, record);
    }
    fiber->cancelled = true;
    go_on(worker, cell, fiber, ZA_ESTOPPING);
}

/* ---- what a handler calls ----------------------------------------------------------------- */

/** The fiber that the handler of `ctx` is on, ready to wait. */
static za_err_t find_fiber(za_ctx_t *ctx, za_fiber_t **out)
{
    if (ctx == NULL) {
        return ZA_EINVAL;
    }
    za_fiber_t *fiber = ctx->cell->extra == NULL ? NULL : ctx->cell->extra->fiber;
    if (fiber == NULL || ctx != &fiber->ctx) {
        return ZA_EDENIED;
    }
    drop_reply(ctx->worker, fiber);
    *out = fiber;
    return fiber->cancelled ? ZA_ESTOPPING : ZA_OK;
}

/** Comes back on the worker that the actor runs on then. */
static za_err_t wait(za_fiber_t *fiber, uint64_t id, uint64_t node, const za_type_t *reply_type)
{
    fiber->wait_id = id;
    fiber->wait_node = node;
    fiber->reply_type = reply_type;
    fiber->answer = NULL;
    fiber->reason = za_Reason_REASON_NONE;
    fiber->state = ZA_FIBER_WAITS;
    leave(fiber);
    return fiber->result;
}

static bool is_valid(const za_ctx_t *ctx, za_ref_t to, const za_await_opts_t *opts)
{
    bool is_self = to.actor == ctx->id && za_node_is_here(ctx->worker->runtime, to.node);
    return !za_ref_is_none(to) && !is_self && opts != NULL && opts->size >= sizeof *opts &&
           opts->timeout_ms > 0 && opts->reply_type != NULL && opts->reply != NULL;
}

za_err_t za_await_with(za_ctx_t *ctx, za_ref_t to, const za_type_t *type, const void *message,
                       const za_await_opts_t *opts)
{
    za_fiber_t *fiber = NULL;
    za_err_t err = find_fiber(ctx, &fiber);
    if (err != ZA_OK) {
        return err;
    }
    if (type == NULL || message == NULL || za_resolve_any(ctx->worker, &to) != ZA_OK) {
        return type == NULL || message == NULL ? ZA_EINVAL : ZA_ENOENT;
    }
    if (!is_valid(ctx, to, opts)) {
        return ZA_EINVAL;
    }
    za_message_t *record = NULL;
    err = za_ask_open(ctx, to, opts->timeout_ms, 0, &record);
    if (err != ZA_OK) {
        return err;
    }
    za_outgoing_t out = za_ask_outgoing(ctx, record);
    out.type = type;
    out.body = message;
    err = za_send_any(ctx->worker, &out);
    if (err != ZA_OK) {
        za_ask_undo(ctx, record);
        return err;
    }
    err = wait(fiber, out.ask, out.to.node, opts->reply_type);
    if (opts->reason != NULL) {
        *opts->reason = fiber->reason;
    }
    if (err == ZA_OK) {
        // The caller's pointer is of a type that is not known here.
        memcpy(opts->reply, &fiber->answer, sizeof fiber->answer);
    }
    return err;
}

za_err_t za_sleep(za_ctx_t *ctx, uint32_t delay_ms)
{
    za_fiber_t *fiber = NULL;
    za_err_t err = find_fiber(ctx, &fiber);
    if (err != ZA_OK || delay_ms == 0) {
        return err;
    }
    const za_Timeout over = { .tag = 0 };
    za_timer_t timer;
    err = za_after(ctx, delay_ms, &za_Timeout_type, &over, &timer);
    return err != ZA_OK ? err : wait(fiber, timer.id, 0, NULL);
}
