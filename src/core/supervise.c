/** Supervision: how an actor starts, fails, restarts in place, and ends. */
#include <string.h>

#include "core/fiber.h"

/* ---- starting ----------------------------------------------------------------------------- */

static bool may_restart(const za_extra_t *extra)
{
    return extra != NULL && extra->max_restarts > 0 && extra->restart != ZA_RESTART_NEVER;
}

static void start(za_worker_t *worker, za_cell_t *cell)
{
    za_runtime_t *runtime = worker->runtime;
    // relaxed, both: the owner's
    const za_class_t *class_ = atomic_load_explicit(&cell->class_, memory_order_relaxed);
    uint32_t restarts = atomic_load_explicit(&cell->restarts, memory_order_relaxed);
    bool replays = cell->extra != NULL && cell->extra->replay.count > 0;
    cell->status = replays ? ZA_STATUS_REPLAYING : ZA_STATUS_RUNNING;
    cell->hears |= ZA_HEARS_DUE;
    if (cell->hears & ZA_HEARS_MEMBERS && runtime->remote.started != NULL) {
        runtime->remote.started(runtime->config.remote_context, worker,
                                (za_ref_t){ 0, worker->ctx.id }, class_);
    }
    if (cell->extra != NULL) {
        cell->extra->started_ms = za_ms(worker);
    }
    if (cell->extra == NULL || cell->extra->args == NULL) {
        if (cell->hears & ZA_HEARS_STARTED) {
            za_Started started = { .restarts = restarts };
            za_handle(worker, cell, NULL, &za_Started_type, &started, 0);
        }
        return;
    }
    za_message_t *args = cell->extra->args;
    bool again = may_restart(cell->extra) ||
                 (cell->extra->together && cell->extra->restart != ZA_RESTART_NEVER);
    za_handle(worker, cell, NULL, args->type, za_body(args), 0);
    if (!again) {
        cell->extra->args = NULL;
        za_message_drop(worker, args);
    }
}

void za_cell_start(za_worker_t *worker, za_cell_t *cell)
{
    start(worker, cell);
    if (za_cell_is_running(cell)) {
        za_strategy_answer(worker, cell);
    }
}

/* ---- failing ------------------------------------------------------------------------------ */

/** Counts one more restart. False: the limit within the window is reached. */
static bool count_restart(za_worker_t *worker, za_extra_t *extra)
{
    uint64_t now_ms = za_ms(worker);
    if (!za_window_admit(&extra->restarts, &worker->pool, extra->max_restarts, extra->within_ms,
                         now_ms)) {
        return false;
    }
    // A run as long as the window was a success: the backoff begins anew.
    bool lasted = now_ms - extra->started_ms > extra->within_ms;
    extra->backoff_step = lasted ? 0 : extra->backoff_step;
    return true;
}

typedef enum count { COUNT_FAILURE, COUNT_RESTART, COUNT_LIMIT } count_t;

/** One more at the supervisor, which lives: it waits for its children before it ends. */
static void count_at_parent(za_worker_t *worker, const za_cell_t *cell, count_t what)
{
    // relaxed: constant while it lives
    uint32_t slot = atomic_load_explicit(&cell->parent, memory_order_relaxed);
    if (slot == 0) {
        return;
    }
    za_extra_t *extra = za_cell_at(worker->runtime, slot)->extra;
    // relaxed, all of them: counters
    switch (what) {
    case COUNT_FAILURE:
        atomic_fetch_add_explicit(&extra->child_failures, 1, memory_order_relaxed);
        break;
    case COUNT_RESTART:
        atomic_fetch_add_explicit(&extra->child_restarts, 1, memory_order_relaxed);
        break;
    case COUNT_LIMIT:
        atomic_fetch_add_explicit(&extra->child_limits, 1, memory_order_relaxed);
        break;
    }
}

/** Restarts, or ends for `reason`. */
static void restart_or_end(za_worker_t *worker, za_cell_t *cell, za_Reason reason)
{
    za_extra_t *extra = cell->extra;
    if (may_restart(extra)) {
        if (count_restart(worker, extra)) {
            cell->status = ZA_STATUS_RESTARTING;
            cell->why = (uint8_t)reason;
            extra->failed_itself = true;
            return;
        }
        count_at_parent(worker, cell, COUNT_LIMIT);
        reason = za_Reason_REASON_LIMIT;
    }
    bool failed = reason != za_Reason_REASON_STOPPED;
    cell->escalates = failed && extra != NULL ? extra->on_limit : ZA_LIMIT_STOP;
    // relaxed: constant while it lives
    bool root = atomic_load_explicit(&cell->parent, memory_order_relaxed) == 0;
    if (failed && root) {
        za_log_line(worker, cell, worker->ctx.id, ZA_ERROR, "a root actor failed and stops");
    }
    za_cell_end(worker, cell, reason);
}

static bool is_up(const za_cell_t *cell)
{
    return za_cell_is_running(cell) || cell->status == ZA_STATUS_STARTING;
}

void za_cell_exit(za_worker_t *worker, za_cell_t *cell, za_Reason reason)
{
    if (is_up(cell)) {
        ZA_TALLY(worker, failed);
        count_at_parent(worker, cell, COUNT_FAILURE);
        restart_or_end(worker, cell, reason);
    }
}

void za_cell_fail(za_worker_t *worker, za_cell_t *cell)
{
    za_cell_exit(worker, cell, za_Reason_REASON_FAILED);
}

void za_cell_quit(za_worker_t *worker, za_cell_t *cell)
{
    if (!is_up(cell)) {
        return;
    }
    if (cell->extra != NULL && cell->extra->restart == ZA_RESTART_ALWAYS) {
        restart_or_end(worker, cell, za_Reason_REASON_STOPPED);
    } else {
        za_cell_end(worker, cell, za_Reason_REASON_STOPPED);
    }
}

void za_cell_end(za_worker_t *worker, za_cell_t *cell, za_Reason reason)
{
    if (cell->status != ZA_STATUS_DEAD && cell->status != ZA_STATUS_STOPPING) {
        if (cell->extra != NULL) {
            za_groups_leave(worker, cell); // now, so that nothing is routed to it any more
        }
        cell->status = ZA_STATUS_STOPPING;
        cell->why = (uint8_t)reason;
    }
}

/* ---- commands ----------------------------------------------------------------------------- */

static void obey_one(za_worker_t *worker, za_cell_t *cell, za_message_t *command)
{
    // relaxed: the owner's
    uint64_t id = atomic_load_explicit(&cell->id, memory_order_relaxed);
    za_kind_t kind = (za_kind_t)command->block.kind;
    if (kind == ZA_KIND_TOGETHER_HALT || kind == ZA_KIND_TOGETHER_GO) {
        za_strategy_told(worker, cell, command);
        return;
    }
    if (kind == ZA_KIND_TOGETHER_FAILED || kind == ZA_KIND_TOGETHER_DONE) {
        za_strategy_heard(worker, cell, command);
        return;
    }
    if (command->actor == id && kind == ZA_KIND_STOP) {
        za_cell_end(worker, cell, (za_Reason)command->reason);
    } else if (command->actor == id && cell->extra != NULL && cell->extra->resume == command) {
        cell->extra->resume = NULL;
        if (cell->status == ZA_STATUS_BACKOFF) {
            cell->status = ZA_STATUS_STARTING;
        }
    }
    za_message_drop(worker, command);
}

/** Takes an ended child out of the list, and does what its end means to the parent. */
static void reap(za_worker_t *worker, za_cell_t *parent, za_cell_t *child)
{
    za_runtime_t *runtime = worker->runtime;
    za_extra_t *extra = parent->extra;
    za_strategy_reaped(worker, extra, child);
    if (child->previous != 0) {
        za_cell_at(runtime, child->previous)->next = child->next;
    } else {
        extra->child_first = child->next;
    }
    if (child->next != 0) {
        za_cell_at(runtime, child->next)->previous = child->previous;
    } else {
        extra->child_last = child->previous;
    }
    if (extra->child_told == za_cell_slot(runtime, child)) {
        extra->child_told = 0; // the next one there was not told
    }
    za_on_limit_t means = (za_on_limit_t)child->escalates;
    za_slot_free(worker, child);
    if (means == ZA_LIMIT_ESCALATE) {
        za_cell_fail(worker, parent);
    } else if (means == ZA_LIMIT_STOP_ALL) {
        za_strategy_stop_all(extra);
    }
}

void za_cell_obey(za_worker_t *worker, za_cell_t *cell)
{
    za_block_t *stack =
        (za_block_t *)atomic_exchange_explicit(&cell->commands, NULL,
                                               memory_order_acquire); // pairs: commands
    za_block_t *oldest = NULL;
    while (stack != NULL) {
        // relaxed: the chain was acquired above
        za_block_t *next = atomic_load_explicit(&stack->next, memory_order_relaxed);
        atomic_store_explicit(&stack->next, oldest, memory_order_relaxed);
        oldest = stack;
        stack = next;
    }
    while (oldest != NULL) {
        za_block_t *next =
            atomic_load_explicit(&oldest->next, memory_order_relaxed); // relaxed: ours
        obey_one(worker, cell, (za_message_t *)(void *)oldest);
        oldest = next;
    }
    za_cell_t *child =
        atomic_exchange_explicit(&cell->ended, NULL, memory_order_acquire); // pairs: ended
    while (child != NULL) {
        uint32_t next = child->ended_next;
        reap(worker, cell, child);
        child = next == 0 ? NULL : za_cell_at(worker->runtime, next);
    }
    if (cell->extra != NULL) {
        za_strategy_step(worker, cell->extra);
    }
}

/* ---- ending ------------------------------------------------------------------------------- */

/** Stops the youngest child, if it was not told yet. False: there are none. */
static bool stop_children(za_worker_t *worker, za_cell_t *cell)
{
    za_extra_t *extra = cell->extra;
    if (extra == NULL || extra->child_last == 0) {
        return false;
    }
    za_cell_t *child = za_cell_at(worker->runtime, extra->child_last);
    if (extra->child_told != extra->child_last) {
        extra->child_told = extra->child_last;
        za_message_t *stop =
            za_signal_make(worker, ZA_KIND_STOP, za_cell_id(child), 0, za_Reason_REASON_STOPPED);
        if (stop != NULL) {
            za_cell_command(worker, child, stop);
        } else {
            extra->child_told = 0; // not even memory beyond the bound: at the next command
        }
    }
    return true;
}

/** Takes what the ending actor did not handle. */
static void drain_one(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    if (message->block.kind == ZA_KIND_LINK && message->actor == worker->ctx.id) {
        za_link_answer(worker, message, (za_Reason)cell->why);
    } else if (message->block.kind == ZA_KIND_WATCH && message->actor == worker->ctx.id) {
        za_watcher_add(worker, cell, message); // it watched us in time: told with the others
    } else {
        za_message_refuse(worker, message);
    }
}

static void drain_aside(za_worker_t *worker, za_cell_t *cell, za_aside_t *list)
{
    za_message_t *message;
    while ((message = za_aside_pop(list)) != NULL) {
        drain_one(worker, cell, message);
    }
}

static void drain_later(za_worker_t *worker, za_cell_t *cell)
{
    za_message_t *message;
    while (cell->extra->fiber != NULL && (message = za_fiber_later(cell)) != NULL) {
        drain_one(worker, cell, message);
    }
}

/** All that waits, in its order, goes to the dead letters. */
static void drain(za_worker_t *worker, za_cell_t *cell)
{
    if (cell->extra != NULL) {
        drain_aside(worker, cell, &cell->extra->stash);
        drain_aside(worker, cell, &cell->extra->replay);
        drain_aside(worker, cell, &cell->extra->passed);
        drain_later(worker, cell);
    }
    for (;;) {
        za_message_t *head = za_mailbox_head(&cell->mailbox);
        if (head == NULL ||
            za_mailbox_advance(&cell->mailbox, head, ZA_MAILBOX_BUSY) == ZA_ADVANCE_LATER) {
            return; // what is not linked yet is drained as a dead cell's
        }
        if (head->block.kind == ZA_KIND_USER) {
            za_mailbox_make_room(&cell->mailbox, 1);
        }
        drain_one(worker, cell, head);
    }
}

/** The parent takes the child out of its list, and frees the slot then. */
static void report_end(za_worker_t *worker, za_cell_t *cell)
{
    za_runtime_t *runtime = worker->runtime;
    // relaxed: constant while it lives
    uint32_t slot = atomic_load_explicit(&cell->parent, memory_order_relaxed);
    if (slot == 0) {
        za_slot_free(worker, cell);
        return;
    }
    // The parent lives: it waits for its children before it ends.
    za_cell_t *parent = za_cell_at(runtime, slot);
    za_cell_t *top = atomic_load_explicit(&parent->ended, memory_order_relaxed); // relaxed: checked
    do {
        cell->ended_next = top == NULL ? 0 : za_cell_slot(runtime, top);
        // seq_cst: before the look at the parent's mailbox; see za_mailbox_claim
    } while (!atomic_compare_exchange_weak_explicit(&parent->ended, &top, cell,
                                                    memory_order_seq_cst, // pairs: ended
                                                    memory_order_relaxed));
    za_cell_wake(worker, parent);
}

/** The last message of a life, if it had begun. The state is still there. */
static void tell_stopping(za_worker_t *worker, za_cell_t *cell, bool restarts)
{
    if (cell->hears & ZA_HEARS_DUE && cell->hears & ZA_HEARS_STOPPING) {
        za_Stopping stopping = { .reason = (za_Reason)cell->why, .restarts = restarts };
        worker->ctx.stopping = true;
        za_handle(worker, cell, NULL, &za_Stopping_type, &stopping, 0);
        worker->ctx.stopping = false;
    }
    cell->hears &= (uint8_t)~ZA_HEARS_DUE;
}

/** What is left of an actor that has told everybody. */
static void bury(za_worker_t *worker, za_cell_t *cell)
{
    za_cell_free_parts(worker, cell);
    cell->status = ZA_STATUS_DEAD;
    ZA_TALLY(worker, stopped);
    report_end(worker, cell);
}

/** The end: its children are gone. Afterwards the mailbox alone is ours. */
static void finish(za_worker_t *worker, za_cell_t *cell)
{
    za_runtime_t *runtime = worker->runtime;
    za_ref_t self = { 0, worker->ctx.id };
    za_Reason reason = (za_Reason)cell->why;
    tell_stopping(worker, cell, false);
    za_records_clear(worker, cell);
    // relaxed: see za_runtime_attach
    if (atomic_load_explicit(&cell->attached, memory_order_relaxed) != 0 &&
        runtime->remote.stopped != NULL) {
        runtime->remote.stopped(runtime->config.remote_context, worker, self, reason);
    }
    atomic_store_explicit(&cell->id, za_id_dead(self.actor),
                          memory_order_release); // pairs: cell-id
    za_drop_close(cell);
    drain(worker, cell);
    za_links_end(worker, cell, reason);
    za_watchers_tell(worker, cell, self, reason);
    za_strategy_answer(worker, cell);
    bury(worker, cell);
}

bool za_cell_end_bare(za_worker_t *worker, za_cell_t *cell, const za_message_t *head)
{
    // relaxed, both: see za_runtime_attach; only compared, for who pushes later finds it dead
    if (cell->status != ZA_STATUS_STOPPING || cell->extra != NULL || cell->watchers != NULL ||
        cell->hears & ZA_HEARS_STOPPING ||
        atomic_load_explicit(&cell->attached, memory_order_relaxed) != 0 ||
        head != atomic_load_explicit(&cell->mailbox.newest, memory_order_relaxed)) {
        return false;
    }
    atomic_store_explicit(&cell->id, za_id_dead(worker->ctx.id),
                          memory_order_release); // pairs: cell-id
    bury(worker, cell);
    return true;
}

/* ---- restarting --------------------------------------------------------------------------- */

static uint64_t backoff_ms(za_worker_t *worker, za_extra_t *extra)
{
    if (extra->backoff_min_ms == 0) {
        return 0;
    }
    uint32_t step = extra->backoff_step < 31 ? extra->backoff_step++ : 31;
    uint64_t delay = (uint64_t)extra->backoff_min_ms << step;
    delay = delay < extra->backoff_max_ms ? delay : extra->backoff_max_ms;
    // The upper half is random: those that failed together do not come back together.
    uint64_t jitter = za_rng_below(&worker->rng, delay / 2 + 1);
    return delay - jitter;
}

/** Suspends the actor for its backoff. False: there is none, it restarts at once. */
static bool back_off(za_worker_t *worker, za_cell_t *cell)
{
    uint64_t delay_ms = backoff_ms(worker, cell->extra);
    if (delay_ms == 0) {
        return false;
    }
    za_message_t *resume =
        za_signal_make(worker, ZA_KIND_RESUME, worker->ctx.id, za_worker_next_id(worker), 0);
    if (resume == NULL) {
        return false;
    }
    resume->timer.period_ms = 0;
    resume->due_ns = worker->now_ns + delay_ms * UINT64_C(1000000);
    if (za_worker_arm(worker, resume) != ZA_OK) {
        za_message_drop(worker, resume);
        return false;
    }
    cell->extra->resume = resume;
    return true;
}

void za_cell_resume(za_worker_t *worker, za_cell_t *cell, bool backs_off)
{
    cell->status = backs_off && back_off(worker, cell) ? ZA_STATUS_BACKOFF : ZA_STATUS_STARTING;
}

/** A new life in the same cell: same reference, same mailbox, nothing else. */
static void restart(za_worker_t *worker, za_cell_t *cell)
{
    tell_stopping(worker, cell, true);
    za_links_end(worker, cell, (za_Reason)cell->why);
    za_stash_reset(worker, cell);
    za_become_reset(cell);
    if (cell->extra != NULL) {
        cell->extra->traps_exit = false;
        za_strategy_reset(cell->extra);
    }
    za_records_clear(worker, cell);
    // relaxed, both: the owner's
    const za_class_t *class_ = atomic_load_explicit(&cell->class_, memory_order_relaxed);
    if (cell->state != NULL) {
        memset(cell->state + 1, 0, class_->state_bytes);
    }
    uint32_t restarts = atomic_load_explicit(&cell->restarts, memory_order_relaxed);
    atomic_store_explicit(&cell->restarts, restarts + 1, memory_order_relaxed);
    ZA_TALLY(worker, restarted);
    count_at_parent(worker, cell, COUNT_RESTART);
    if (!za_strategy_halt(worker, cell)) {
        za_cell_resume(worker, cell, true);
    }
}

bool za_cell_step(za_worker_t *worker, za_cell_t *cell)
{
    switch ((za_status_t)cell->status) {
    case ZA_STATUS_STARTING:
        za_cell_start(worker, cell);
        return true;
    case ZA_STATUS_STOPPING:
        za_fiber_cancel(worker, cell);
        if (stop_children(worker, cell)) {
            return false;
        }
        finish(worker, cell);
        return true;
    case ZA_STATUS_RESTARTING:
        za_fiber_cancel(worker, cell);
        if (stop_children(worker, cell)) {
            return false;
        }
        restart(worker, cell);
        return true;
    case ZA_STATUS_HALTED:
    case ZA_STATUS_BACKOFF:
        return false;
    case ZA_STATUS_DEAD:
    case ZA_STATUS_RUNNING:
    case ZA_STATUS_REPLAYING: // see run.c
        break;
    }
    return true;
}
