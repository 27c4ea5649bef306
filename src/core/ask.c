/**
 * Asks and timers: what an actor waits for. Both are records in its table under their id; the record
 * is the message that comes when time is up, so that it cannot fail for want of memory.
 */
#include <string.h>

#include "base/sort.h"
#include "core/worker.h"

#define NS_PER_MS UINT64_C(1000000)

/* ---- records ------------------------------------------------------------------------------ */

za_message_t *za_record_get(const za_cell_t *cell, uint64_t id)
{
    return cell->extra == NULL ? NULL : za_table_get(&cell->extra->records, id, 0);
}

void za_record_forget(za_cell_t *cell, uint64_t id)
{
    if (cell->extra != NULL) {
        za_table_remove(&cell->extra->records, id, 0);
    }
}

void za_record_cancel(za_worker_t *worker, za_message_t *record)
{
    za_timers_t *home = &worker->runtime->workers[record->timer.worker].timers;
    za_guard_enter(&worker->guard);
    za_cancel_t cancel = za_timers_cancel(&worker->timers, home, record);
    za_guard_leave(&worker->guard);
    if (cancel == ZA_CANCEL_YOURS) {
        za_message_drop(worker, record);
    }
}

za_err_t za_worker_arm(za_worker_t *worker, za_message_t *timer)
{
    za_guard_enter(&worker->guard);
    za_err_t err = za_timers_arm(&worker->timers, timer);
    za_guard_leave(&worker->guard);
    return err;
}

za_err_t za_record_begin(za_worker_t *worker, za_cell_t *cell, za_message_t *record)
{
    za_extra_t *extra = za_cell_extra(worker, cell);
    za_err_t err = ZA_ENOBUFS;
    if (extra == NULL || !za_table_put(&extra->records, &worker->pool, record->ask, 0, record)) {
        goto fail_put;
    }
    err = za_worker_arm(worker, record);
    if (err != ZA_OK) {
        goto fail_arm;
    }
    return ZA_OK;

fail_arm:
    za_record_forget(cell, record->ask);
fail_put:
    za_message_drop(worker, record);
    return err;
}

static uint64_t record_order(const za_table_entry_t *entry)
{
    const za_message_t *message = entry->value;
    return entry->b == 0 ? entry->a : message->actor;
}

static bool record_before(const void *a, const void *b)
{
    return record_order(a) < record_order(b);
}

/** As they were made: the places in a table depend on the addresses of kept messages. */
static const za_sort_t by_age = { sizeof(za_table_entry_t), record_before };

void za_records_clear(za_worker_t *worker, za_cell_t *cell)
{
    za_extra_t *extra = cell->extra;
    if (extra == NULL) {
        return;
    }
    uint32_t count = extra->records.count;
    za_table_entry_t *entries = za_table_compact(&extra->records);
    za_sort(&by_age, entries, count);
    for (uint32_t i = 0; i < count; i++) {
        za_message_t *record = entries[i].value;
        if (entries[i].b == 0) {
            za_record_cancel(worker, record);
        } else {
            record->block.flags &= (uint8_t)~ZA_FLAG_HELD;
            if (!(record->block.flags & ZA_FLAG_FAILED)) { // its handler failed: counted by then
                za_dead_letter(worker, za_Reason_REASON_NO_ANSWER);
            }
            za_message_settle(worker, cell, record);
        }
    }
    za_table_clear(&extra->records, &worker->pool);
    za_list_init(&extra->far_asks);
    za_list_init(&extra->lost_asks);
    if (extra->resume != NULL) {
        za_record_cancel(worker, extra->resume);
        extra->resume = NULL;
    }
    za_watches_clear(worker, cell);
}

/* ---- asks --------------------------------------------------------------------------------- */

/** No longer than what is left of the ask being handled. */
static uint64_t shorten(const za_ctx_t *ctx, uint64_t timeout_ms)
{
    const za_message_t *handled = ctx->message;
    if (handled == NULL || handled->block.kind != ZA_KIND_USER || handled->ask == 0 ||
        handled->deadline_ms == 0) {
        return timeout_ms;
    }
    uint64_t now_ms = za_ms(ctx->worker);
    uint64_t left_ms = handled->deadline_ms > now_ms ? handled->deadline_ms - now_ms : 0;
    return left_ms < timeout_ms ? left_ms : timeout_ms;
}

za_err_t za_ask_open(za_ctx_t *ctx, za_ref_t to, uint32_t timeout_ms, uint64_t tag,
                     za_message_t **out)
{
    za_worker_t *worker = ctx->worker;
    za_message_t *record =
        za_message_make(worker, ZA_KIND_TIMEOUT, sizeof(za_ask_record_t), ZA_POOL_BOUNDED);
    if (record == NULL) {
        return ZA_ENOBUFS;
    }
    if (za_node_is_here(worker->runtime, to.node)) {
        to.node = 0;
    } else {
        // relaxed: the broadcast of a lost node finds it set, or the ask was sent after the loss
        atomic_store_explicit(&ctx->cell->asks_out, 1, memory_order_relaxed);
    }
    za_ask_record_t *ask = za_body(record);
    *ask = (za_ask_record_t){ .timeout = { .tag = tag }, .target = to };
    za_list_init(&ask->far);
    record->type = &za_Timeout_type;
    record->actor = ctx->id;
    record->ask = za_worker_next_id(worker);
    record->timer.period_ms = 0;
    record->due_ns = worker->now_ns + shorten(ctx, timeout_ms) * NS_PER_MS;
    za_err_t err = za_record_begin(worker, ctx->cell, record);
    if (err == ZA_OK) {
        if (to.node != 0) {
            za_list_append(&ctx->cell->extra->far_asks, &ask->far);
        }
        *out = record;
    }
    return err;
}

za_outgoing_t za_ask_outgoing(const za_ctx_t *ctx, const za_message_t *record)
{
    const za_ask_record_t *ask = (const za_ask_record_t *)(record + 1);
    uint64_t deadline_ms = record->due_ns / NS_PER_MS;
    return (za_outgoing_t){
        .to = ask->target,
        .sender = { 0, ctx->id },
        .ask = record->ask,
        .deadline_ms = deadline_ms != 0 ? deadline_ms : 1, // 0 is none
    };
}

/** Its answer is no longer waited for. */
static void close_ask(za_cell_t *cell, za_message_t *record)
{
    za_ask_record_t *ask = za_body(record);
    za_list_remove(&ask->far);
    za_record_forget(cell, record->ask);
}

void za_ask_undo(za_ctx_t *ctx, za_message_t *record)
{
    close_ask(ctx->cell, record);
    za_record_cancel(ctx->worker, record);
}

bool za_ask_end(za_worker_t *worker, za_cell_t *cell, uint64_t id, za_ask_record_t *out)
{
    za_message_t *record = za_record_get(cell, id);
    if (record == NULL || record->block.kind != ZA_KIND_TIMEOUT) {
        return false; // answered, timed out, or a peer's invention
    }
    *out = *(za_ask_record_t *)za_body(record);
    close_ask(cell, record);
    za_record_cancel(worker, record);
    return true;
}

static void tell_down(za_worker_t *worker, za_cell_t *cell, const za_ask_record_t *ask,
                      za_Reason reason)
{
    za_Down down = { .ref = ask->target, .reason = reason, .tag = ask->timeout.tag };
    za_handle(worker, cell, NULL, &za_Down_type, &down, ask->timeout.tag);
}

/** Sets apart the open asks towards `node`, in their order: each is looked at once. */
static void set_lost_apart(za_worker_t *worker, za_extra_t *extra, uint64_t node)
{
    za_list_t *item = extra->far_asks.next;
    while (item != &extra->far_asks) {
        za_list_t *next = item->next;
        za_ask_record_t *ask = ZA_CONTAINER(item, za_ask_record_t, far);
        worker->looks++;
        if (ask->target.node == node) {
            za_list_remove(item);
            za_list_append(&extra->lost_asks, item);
        }
        item = next;
    }
}

/** One ask at a time: the handler that hears of it may open and close others. */
static void fail_node(za_worker_t *worker, za_cell_t *cell, uint64_t node, za_Reason reason)
{
    za_extra_t *extra = cell->extra;
    if (extra == NULL) {
        return;
    }
    set_lost_apart(worker, extra, node);
    // An actor that fails meanwhile forgets the rest with its other records.
    while (!za_list_is_empty(&extra->lost_asks) && za_cell_is_running(cell)) {
        za_ask_record_t *lost = ZA_CONTAINER(extra->lost_asks.next, za_ask_record_t, far);
        za_ask_record_t ask;
        bool open = za_ask_end(worker, cell, za_message_of(lost)->ask, &ask);
        ZA_ASSERT(open);
        tell_down(worker, cell, &ask, reason);
    }
}

void za_ask_unheard(za_worker_t *worker, za_cell_t *cell, const za_ask_record_t *ask,
                    za_Reason reason)
{
    tell_down(worker, cell, ask, reason);
}

void za_ask_failed(za_worker_t *worker, za_cell_t *cell, const za_message_t *signal)
{
    if (signal->block.kind == ZA_KIND_FAIL_NODE) {
        fail_node(worker, cell, signal->ask, (za_Reason)signal->reason);
        return;
    }
    za_ask_record_t ask;
    if (za_ask_end(worker, cell, signal->ask, &ask)) {
        tell_down(worker, cell, &ask, (za_Reason)signal->reason);
    }
}

void za_ask_timed_out(za_worker_t *worker, za_cell_t *cell, za_message_t *record)
{
    if (za_record_get(cell, record->ask) != record) {
        return; // it was answered while this was queued
    }
    close_ask(cell, record);
    ZA_TALLY(worker, timeouts);
    const za_ask_record_t *ask = za_body(record);
    za_handle(worker, cell, NULL, &za_Timeout_type, &ask->timeout, ask->timeout.tag);
}

za_err_t za_reason_err(za_Reason reason)
{
    switch (reason) {
    case za_Reason_REASON_NO_ACTOR:
    case za_Reason_REASON_STOPPED:
        return ZA_EGONE;
    case za_Reason_REASON_NODE_DOWN:
    case za_Reason_REASON_NODE_LEFT:
    case za_Reason_REASON_LINK_LOST:
    case za_Reason_REASON_NO_NODE:
        return ZA_ENOROUTE;
    case za_Reason_REASON_MAILBOX_FULL:
        return ZA_EFULL;
    case za_Reason_REASON_REFUSED:
        return ZA_EDENIED;
    case za_Reason_REASON_LIMIT:
        return ZA_ENOBUFS;
    case za_Reason_REASON_BAD_MESSAGE:
        return ZA_ETYPE;
    case za_Reason_REASON_TOO_LATE:
        return ZA_ETIMEOUT;
    default:
        return ZA_ENOANSWER;
    }
}

/* ---- timers ------------------------------------------------------------------------------- */

static za_err_t start_timer(za_ctx_t *ctx, uint32_t delay_ms, uint32_t period_ms,
                            const za_type_t *type, const void *message, za_timer_t *out)
{
    if (ctx == NULL || type == NULL || message == NULL) {
        return ZA_EINVAL;
    }
    if (ctx->stopping) {
        return ZA_ESTOPPING;
    }
    uint32_t bytes = za_type_extent(type, message);
    if (bytes > ZA_MESSAGE_BYTES_MAX) {
        return ZA_ETOOBIG;
    }
    za_worker_t *worker = ctx->worker;
    za_message_t *record = za_message_make(worker, ZA_KIND_TIMER, bytes, ZA_POOL_BOUNDED);
    if (record == NULL) {
        return ZA_ENOBUFS;
    }
    za_message_fill(record, type, message, bytes);
    record->actor = ctx->id;
    record->ask = za_worker_next_id(worker);
    record->timer.period_ms = period_ms;
    record->due_ns = worker->now_ns + delay_ms * NS_PER_MS;
    za_err_t err = za_record_begin(worker, ctx->cell, record);
    if (err == ZA_OK && out != NULL) {
        out->id = record->ask;
    }
    return err;
}

za_err_t za_after(za_ctx_t *ctx, uint32_t delay_ms, const za_type_t *type, const void *message,
                  za_timer_t *out)
{
    return start_timer(ctx, delay_ms, 0, type, message, out);
}

za_err_t za_every(za_ctx_t *ctx, uint32_t period_ms, const za_type_t *type, const void *message,
                  za_timer_t *out)
{
    return period_ms == 0 ? ZA_EINVAL : start_timer(ctx, period_ms, period_ms, type, message, out);
}

void za_cancel(za_ctx_t *ctx, za_timer_t *timer)
{
    if (ctx == NULL || timer == NULL) {
        return;
    }
    za_message_t *record = za_record_get(ctx->cell, timer->id);
    if (record != NULL && record->block.kind == ZA_KIND_TIMER) {
        za_record_forget(ctx->cell, timer->id);
        za_record_cancel(ctx->worker, record);
    }
    timer->id = 0;
}

static void deliver(za_worker_t *worker, za_message_t *timer)
{
    za_cell_t *cell = za_cell_find(worker->runtime, timer->actor);
    if (timer->block.kind == ZA_KIND_RESUME) {
        za_cell_command(worker, cell, timer);
    } else {
        za_cell_push(worker, cell, timer);
    }
}

void za_timers_fire_for(za_worker_t *worker, za_worker_t *other)
{
    enum { WORK_MAX = 256 }; // its owner may be waiting
    uint32_t work = WORK_MAX;
    za_message_t *timer;
    while ((timer = za_timers_take(&other->timers, worker->now_ns, &work)) != NULL) {
        deliver(worker, timer);
    }
}

/** The home's wheel again: whoever rescues it may be taking out what has become due since. */
static za_message_t *take_cancelled(za_worker_t *worker)
{
    za_guard_enter(&worker->guard);
    za_message_t *timer = za_timers_take_cancelled(&worker->timers);
    za_guard_leave(&worker->guard);
    return timer;
}

void za_timers_fire(za_worker_t *worker)
{
    enum { WORK_MAX = 1024, FREE_MAX = 256, CHAIN_MAX = 16 }; // a turn is bounded
    uint32_t work = WORK_MAX;
    za_message_t *chain[CHAIN_MAX];
    uint32_t count;
    do {
        count = 0;
        za_guard_enter(&worker->guard);
        while (count < CHAIN_MAX &&
               (chain[count] = za_timers_take(&worker->timers, worker->now_ns, &work)) != NULL) {
            count++;
        }
        za_guard_leave(&worker->guard);
        for (uint32_t i = 0; i < count; i++) {
            deliver(worker, chain[i]);
        }
    } while (count == CHAIN_MAX);
    za_message_t *timer;
    for (int i = 0; i < FREE_MAX && (timer = take_cancelled(worker)) != NULL; i++) {
        za_message_drop(worker, timer);
    }
}
