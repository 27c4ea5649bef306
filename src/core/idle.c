/**
 * Receive timeout: an actor hears that nobody told it anything for a while (Akka's).
 *
 * No message touches a timer. A tick, eight times in a period, compares how many messages of users
 * were handled with what the last tick saw; so the notice is never early, and late by at most an
 * eighth.
 */
#include "core/worker.h"

enum { TICKS = 8 }; // in a period: twice as many halve the lateness and double the cost of idling

/** The body of the tick. */
typedef struct idle {
    uint64_t seen; // messages of users handled
    uint64_t since_ms;
    uint32_t timeout_ms;
} idle_t;

/** Messages of users that were handled, counted from anywhere: only to be compared. */
static uint64_t count_users(const za_cell_t *cell)
{
    return za_cell_handled(cell) - cell->extra->notices;
}

/** Until the next tick, or the end of the period if that is earlier. */
static uint32_t next_tick_ms(const idle_t *idle, uint64_t now_ms)
{
    uint32_t tick_ms = idle->timeout_ms / TICKS > 0 ? idle->timeout_ms / TICKS : 1;
    uint64_t end_ms = idle->since_ms + idle->timeout_ms;
    uint64_t left_ms = end_ms > now_ms ? end_ms - now_ms : 1;
    return left_ms < tick_ms ? (uint32_t)left_ms : tick_ms;
}

void za_idle_tick(za_worker_t *worker, za_cell_t *cell, za_message_t *tick)
{
    if (za_record_get(cell, tick->ask) != tick) {
        return; // turned off after it was queued
    }
    idle_t *idle = za_body(tick);
    uint64_t now_ms = za_ms(worker);
    uint64_t users = count_users(cell);
    bool quiet = users == idle->seen;
    bool over = quiet && now_ms - idle->since_ms >= idle->timeout_ms;
    if (!quiet || over) {
        idle->seen = users;
        idle->since_ms = now_ms;
    }
    tick->timer.period_ms = next_tick_ms(idle, now_ms);
    tick->block.flags = ZA_FLAG_REARM;
    if (over) {
        za_ReceiveTimeout timeout = { .timeout_ms = idle->timeout_ms };
        za_handle(worker, cell, NULL, &za_ReceiveTimeout_type, &timeout, 0);
    }
}

static void turn_off(za_worker_t *worker, za_cell_t *cell)
{
    za_extra_t *extra = cell->extra;
    za_message_t *tick = extra == NULL ? NULL : za_record_get(cell, extra->idle);
    if (tick != NULL) {
        za_record_forget(cell, extra->idle);
        za_record_cancel(worker, tick);
    }
}

za_err_t za_receive_timeout(za_ctx_t *ctx, uint32_t timeout_ms)
{
    if (ctx == NULL) {
        return ZA_EINVAL;
    }
    if (ctx->stopping) {
        return ZA_ESTOPPING;
    }
    za_worker_t *worker = ctx->worker;
    if (timeout_ms == 0) {
        turn_off(worker, ctx->cell);
        return ZA_OK;
    }
    za_extra_t *extra = za_cell_extra(worker, ctx->cell);
    za_message_t *tick =
        extra == NULL ? NULL
                      : za_message_make(worker, ZA_KIND_IDLE, sizeof(idle_t), ZA_POOL_BOUNDED);
    if (tick == NULL) {
        return ZA_ENOBUFS;
    }
    idle_t *idle = za_body(tick);
    *idle = (idle_t){
        // The message being handled is counted when its handler returns.
        .seen = count_users(ctx->cell) + (ctx->signal ? 0 : 1),
        .since_ms = za_ms(worker),
        .timeout_ms = timeout_ms,
    };
    tick->type = &za_ReceiveTimeout_type;
    tick->actor = ctx->id;
    tick->ask = za_worker_next_id(worker);
    tick->timer.period_ms = next_tick_ms(idle, idle->since_ms);
    tick->due_ns = worker->now_ns + tick->timer.period_ms * UINT64_C(1000000);
    uint64_t id = tick->ask;
    za_err_t err = za_record_begin(worker, ctx->cell, tick);
    if (err == ZA_OK) {
        turn_off(worker, ctx->cell);
        extra->idle = id;
    }
    return err;
}
