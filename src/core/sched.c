/** Scheduler: which actor a worker runs next, and who is woken when there are more. */
#include "core/worker.h"

enum {
    BACKLOG_RING = 4,   // so many wait: worth a wake
    FRESH_IN_ROW = 128, // spawned actors run before the ring so often: a parent waits for a brood
    STEAL_MAX = ZA_RING_RUNS / 2,
};

/* ---- the ring ----------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) bool ring_push(za_ring_t *ring, za_cell_t *cell)
{
    // acquire: a thief has copied a place before we write over it
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire); // pairs: ring-head
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); // relaxed: ours
    if (tail - head >= ZA_RING_RUNS) {
        return false;
    }
    // relaxed: published by tail; atomic because a thief that comes too late may read it
    atomic_store_explicit(&ring->cells[tail % ZA_RING_RUNS], cell, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release); // pairs: ring-tail
    return true;
}

/**
 * Fetches what the actors behind `head` will need, while the one before them runs: of the next but
 * one its cell, of the next, whose cell was fetched the last time, its message. A thousand actors
 * that talk at random are some cache misses each otherwise.
 */
static inline void ring_prefetch(const za_ring_t *ring, uint32_t head, uint32_t tail)
{
    if (tail - head < 3) {
        return;
    }
    // relaxed, all of them: looked at by nobody, only fetched
    za_cell_t *second =
        atomic_load_explicit(&ring->cells[(head + 2) % ZA_RING_RUNS], memory_order_relaxed);
    __builtin_prefetch(second);
    __builtin_prefetch((char *)second + 64);
    za_cell_t *first =
        atomic_load_explicit(&ring->cells[(head + 1) % ZA_RING_RUNS], memory_order_relaxed);
    char *message = (char *)atomic_load_explicit(&first->mailbox.oldest, memory_order_relaxed);
    __builtin_prefetch(message);
    __builtin_prefetch(message + 64);
}

static inline __attribute__((always_inline)) za_cell_t *ring_pop(za_ring_t *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire); // pairs: ring-head
    for (;;) {
        uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); // relaxed: ours
        if (head == tail) {
            return NULL;
        }
        za_cell_t *cell =
            atomic_load_explicit(&ring->cells[head % ZA_RING_RUNS], memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&ring->head, &head, head + 1,
                                                  memory_order_acq_rel, // pairs: ring-head
                                                  memory_order_acquire)) {
            ring_prefetch(ring, head, tail);
            return cell;
        }
    }
}

/** Moves half of `victim`, or what there is room for, to the end of `ring`; true if something came. */
static bool ring_steal(za_ring_t *ring, za_ring_t *victim)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);   // relaxed: ours
    uint32_t head = atomic_load_explicit(&victim->head, memory_order_acquire); // pairs: ring-head
    for (;;) {
        // acquire: the places, and the actors behind them
        uint32_t end =
            atomic_load_explicit(&victim->tail, memory_order_acquire); // pairs: ring-tail
        uint32_t count = end - head;
        count = count - count / 2;
        if (count > STEAL_MAX) { // head is old, tail new
            return false;
        }
        uint32_t room = ZA_RING_RUNS - za_ring_count(ring); // grows at most: others only take
        count = count < room ? count : room;
        if (count == 0) {
            return false;
        }
        for (uint32_t i = 0; i < count; i++) {
            // relaxed: valid if the exchange succeeds; ours are published by tail
            za_cell_t *cell = atomic_load_explicit(&victim->cells[(head + i) % ZA_RING_RUNS],
                                                   memory_order_relaxed);
            atomic_store_explicit(&ring->cells[(tail + i) % ZA_RING_RUNS], cell,
                                  memory_order_relaxed);
        }
        if (atomic_compare_exchange_weak_explicit(&victim->head, &head, head + count,
                                                  memory_order_acq_rel, // pairs: ring-head
                                                  memory_order_acquire)) {
            atomic_store_explicit(&ring->tail, tail + count,
                                  memory_order_release); // pairs: ring-tail
            return true;
        }
    }
}

/* ---- waking ------------------------------------------------------------------------------- */

void za_wake_one(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    uint32_t none = 0;
    // seq_cst: after the work was left. The woken clears it before it looks, so that whoever finds
    // it set knows that a look is still to come.
    if (atomic_compare_exchange_strong_explicit(&runtime->wake_pending, &none, 1,
                                                memory_order_seq_cst, memory_order_seq_cst)) {
        ZA_TALLY(worker, wakes);
        runtime->host.wake(runtime->config.host_context, NULL);
    }
}

uint32_t za_busy_count(const za_runtime_t *runtime)
{
    // relaxed: a guess
    return runtime->config.workers - atomic_load_explicit(&runtime->idle, memory_order_relaxed);
}

void za_wake_for_backlog(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    // relaxed: a missed wake costs parallelism until the next pick, never work: we run it ourselves
    if (atomic_load_explicit(&runtime->idle, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&runtime->wake_pending, memory_order_relaxed) != 0) {
        return;
    }
    if (za_busy_count(runtime) < za_spread_allowed(&runtime->spread)) {
        za_wake_one(worker);
    } else {
        za_spread_want(&runtime->spread);
    }
}

/** Leaves a runnable actor to whoever looks next. */
static void leave_to_all(za_runtime_t *runtime, za_cell_t *cell)
{
    // relaxed: the exchange checks it
    za_cell_t *top = atomic_load_explicit(&runtime->injected, memory_order_relaxed);
    do {
        atomic_store_explicit(&cell->link, top, memory_order_relaxed); // relaxed: published below
        // seq_cst: before the look at `idle`; a worker counts itself idle, then looks here
    } while (!atomic_compare_exchange_weak_explicit(&runtime->injected, &top, cell,
                                                    memory_order_seq_cst, // pairs: inject
                                                    memory_order_relaxed));
}

/** From a thread that runs no actors. */
static void inject(za_worker_t *worker, za_cell_t *cell)
{
    za_runtime_t *runtime = worker->runtime;
    leave_to_all(runtime, cell);
    if (atomic_load_explicit(&runtime->idle, memory_order_seq_cst) > 0) {
        za_wake_one(worker);
    }
}

/* ---- scheduling --------------------------------------------------------------------------- */

/** Inlined where an actor is scheduled: with many that talk to many, that is for each message. */
static inline __attribute__((always_inline)) void enqueue(za_worker_t *worker, za_cell_t *cell)
{
    // Once there is an overflow, everything goes through it: first in, first out.
    if (worker->overflow.count > 0 || !ring_push(&worker->ring, cell)) {
        za_runs_push_last(&worker->overflow, cell);
    }
    // relaxed: see za_wake_for_backlog
    if (za_ring_count(&worker->ring) >= BACKLOG_RING &&
        atomic_load_explicit(&worker->runtime->idle, memory_order_relaxed) != 0) {
        za_wake_for_backlog(worker);
    }
}

/** One that does not wait in the queues of this worker. */
static void schedule_elsewhere(za_worker_t *worker, za_cell_t *cell)
{
    if (za_cell_is_placed(cell)) {
        za_place(worker, cell);
    } else {
        inject(worker, cell);
    }
}

static inline __attribute__((always_inline)) void schedule(za_worker_t *worker, za_cell_t *cell)
{
    if (__builtin_expect(worker->guest || za_cell_is_placed(cell), 0)) {
        schedule_elsewhere(worker, cell);
        return;
    }
    za_guard_enter(&worker->guard);
    if (worker->run_next == NULL) {
        worker->run_next = cell; // a conversation stays here, and wakes nobody
    } else {
        enqueue(worker, cell);
    }
    za_guard_leave(&worker->guard);
}

void za_schedule(za_worker_t *worker, za_cell_t *cell)
{
    schedule(worker, cell);
}

za_err_t za_schedule_told(za_worker_t *worker, za_cell_t *cell)
{
    schedule(worker, cell);
    return ZA_OK;
}

void za_schedule_last(za_worker_t *worker, za_cell_t *cell)
{
    if (__builtin_expect(worker->guest || za_cell_is_placed(cell), 0)) {
        schedule_elsewhere(worker, cell);
        return;
    }
    za_guard_enter(&worker->guard);
    enqueue(worker, cell);
    za_guard_leave(&worker->guard);
}

void za_schedule_fresh(za_worker_t *worker, za_cell_t *cell)
{
    if (worker->guest || za_cell_is_placed(cell)) {
        schedule_elsewhere(worker, cell);
        return;
    }
    za_guard_enter(&worker->guard);
    za_runs_push_first(&worker->fresh, cell);
    if (worker->fresh.count >= BACKLOG_RING) {
        za_wake_for_backlog(worker);
    }
    za_guard_leave(&worker->guard);
}

void za_cell_wake(za_worker_t *worker, za_cell_t *cell)
{
    if (za_mailbox_is_idle(&cell->mailbox) && za_mailbox_claim(&cell->mailbox)) {
        za_schedule(worker, cell);
        return;
    }
    uint8_t suspended = 1;
    // seq_cst, both: the suspended looks for commands after it has said so; see suspend in run.c.
    // The look saves the exchange: mostly it is running.
    if (atomic_load_explicit(&cell->suspended, memory_order_seq_cst) != 0 &&
        atomic_compare_exchange_strong_explicit(&cell->suspended, &suspended, 0,
                                                memory_order_seq_cst, // pairs: suspend
                                                memory_order_seq_cst)) {
        za_schedule(worker, cell);
    }
}

void za_cell_command(za_worker_t *worker, za_cell_t *cell, za_message_t *command)
{
    // relaxed: the exchange checks it
    za_message_t *top = atomic_load_explicit(&cell->commands, memory_order_relaxed);
    do {
        // relaxed: published by the exchange
        atomic_store_explicit(&command->block.next, (za_block_t *)top, memory_order_relaxed);
        // seq_cst: before the look at the mailbox; the owner idles, then looks here
    } while (!atomic_compare_exchange_weak_explicit(&cell->commands, &top, command,
                                                    memory_order_seq_cst, // pairs: commands
                                                    memory_order_relaxed));
    za_cell_wake(worker, cell);
}

/* ---- picking ------------------------------------------------------------------------------ */

/** Takes all that was injected into the own queue, oldest first. */
static bool take_injected(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    // seq_cst: see inject
    if (atomic_load_explicit(&runtime->injected, memory_order_seq_cst) == NULL) {
        return false;
    }
    za_cell_t *cell =
        atomic_exchange_explicit(&runtime->injected, NULL, memory_order_acquire); // pairs: inject
    za_cell_t *oldest = NULL;
    while (cell != NULL) {
        // relaxed: the chain was acquired above
        za_cell_t *next = atomic_load_explicit(&cell->link, memory_order_relaxed);
        atomic_store_explicit(&cell->link, oldest, memory_order_relaxed);
        oldest = cell;
        cell = next;
    }
    bool some = oldest != NULL;
    while (oldest != NULL) {
        za_cell_t *next =
            atomic_load_explicit(&oldest->link, memory_order_relaxed); // relaxed: ours
        enqueue(worker, oldest);
        oldest = next;
    }
    return some;
}

static bool steal(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    uint32_t count = runtime->config.workers;
    if (count == 1) {
        return false;
    }
    if (za_busy_count(runtime) > za_spread_allowed(&runtime->spread)) {
        return false;
    }
    uint32_t start = (uint32_t)za_rng_below(&worker->rng, count);
    for (uint32_t i = 0; i < count; i++) {
        za_worker_t *victim = &worker->runtime->workers[(start + i) % count];
        if (victim != worker && ring_steal(&worker->ring, &victim->ring)) {
            ZA_TALLY(worker, steals);
            return true;
        }
    }
    return false;
}

bool za_steal_from(za_worker_t *worker, za_worker_t *victim)
{
    za_guard_enter(&worker->guard);
    bool some = ring_steal(&worker->ring, &victim->ring);
    za_guard_leave(&worker->guard);
    return some;
}

/** Moves what the ring had no room for there, in its order. */
static __attribute__((noinline)) void refill(za_worker_t *worker)
{
    while (worker->overflow.count > 0) {
        // Out of the list first: who steals it from the ring runs it and writes its link.
        za_cell_t *cell = za_runs_pop(&worker->overflow);
        if (!ring_push(&worker->ring, cell)) {
            za_runs_push_first(&worker->overflow, cell);
            break;
        }
    }
}

/** Thieves see the ring only: when it is empty, it gets what was spawned last but one. */
static __attribute__((noinline)) void offer_fresh(za_worker_t *worker)
{
    for (uint32_t i = 0; i < BACKLOG_RING && worker->fresh.count > 1; i++) {
        za_cell_t *last = za_runs_pop(&worker->fresh);
        za_cell_t *before = za_runs_pop(&worker->fresh);
        za_runs_push_first(&worker->fresh, last);
        if (!ring_push(&worker->ring, before)) {
            za_runs_push_first(&worker->fresh, before);
            return;
        }
    }
}

/** Run-next, unless it was so often while somebody waited; then it goes behind those. */
static za_cell_t *pick_next(za_worker_t *worker)
{
    za_cell_t *cell = worker->run_next;
    bool waiting =
        za_ring_count(&worker->ring) > 0 || worker->fresh.count > 0 || worker->placed.count > 0;
    worker->run_next = NULL;
    worker->hops = waiting ? worker->hops + 1 : 0;
    if (worker->hops <= ZA_RUN_NEXT_BUSY_MAX) {
        return cell;
    }
    enqueue(worker, cell);
    return NULL;
}

static __attribute__((noinline)) za_cell_t *pick_own(za_worker_t *worker)
{
    if (worker->overflow.count > 0 && za_ring_count(&worker->ring) <= ZA_RING_RUNS / 2) {
        refill(worker);
    }
    // relaxed: a guess
    if (worker->fresh.count > 1 && za_ring_count(&worker->ring) == 0 &&
        atomic_load_explicit(&worker->runtime->idle, memory_order_relaxed) > 0) {
        offer_fresh(worker);
    }
    za_cell_t *cell = worker->run_next == NULL ? NULL : pick_next(worker);
    if (cell != NULL) {
        return cell;
    }
    worker->hops = 0;
    uint32_t runs = atomic_load_explicit(&worker->runs, memory_order_relaxed); // relaxed: ours
    if (worker->placed.count > 0 && runs % 2 != 0) { // odd: FRESH_IN_ROW looks at even ones
        return za_runs_pop(&worker->placed);
    }
    if (worker->fresh.count > 0 &&
        (runs % FRESH_IN_ROW != 0 || za_ring_count(&worker->ring) == 0)) {
        return za_runs_pop(&worker->fresh);
    }
    cell = ring_pop(&worker->ring);
    if (__builtin_expect(cell == NULL, 0)) { // or stolen just now
        cell = za_runs_pop(&worker->fresh);
        cell = cell != NULL ? cell : za_runs_pop(&worker->placed);
    }
    return cell;
}

/** Looks at what others left, and at what others have. */
static __attribute__((noinline)) za_cell_t *pick_foreign(za_worker_t *worker)
{
    return take_injected(worker) || steal(worker) ? pick_own(worker) : NULL;
}

za_cell_t *za_pick_any(za_worker_t *worker)
{
    uint32_t runs = atomic_load_explicit(&worker->runs, memory_order_relaxed); // relaxed: ours
    if (__builtin_expect((int32_t)(runs - worker->inject_at) >= 0, 0)) {
        worker->inject_at = runs + ZA_INJECT_EVERY;
        take_injected(worker);
    }
    if (__builtin_expect(za_inbox_some(&worker->inbox), 0)) {
        za_inbox_take(worker);
    }
    za_cell_t *cell;
    if (worker->run_next == NULL && za_private_count(worker) == 0) {
        worker->hops = 0;
        cell = ring_pop(&worker->ring);
    } else {
        cell = pick_own(worker);
    }
    if (__builtin_expect(cell == NULL, 0)) {
        cell = pick_foreign(worker);
    }
    if (za_ring_count(&worker->ring) == 0) {
        worker->backlog = 0;
    } else if (++worker->backlog >= ZA_BACKLOG_PICKS) {
        worker->backlog = 0;
        za_wake_for_backlog(worker);
    }
    return cell;
}

za_cell_t *za_private_pop(za_worker_t *worker)
{
    za_cell_t *cell = worker->run_next;
    if (cell != NULL) {
        worker->run_next = NULL;
        return cell;
    }
    cell = za_runs_pop(&worker->overflow);
    return cell != NULL ? cell : za_runs_pop(&worker->fresh);
}

void za_hand_over(za_worker_t *worker)
{
    za_cell_t *cell;
    za_guard_enter(&worker->guard);
    while ((cell = ring_pop(&worker->ring)) != NULL || (cell = za_private_pop(worker)) != NULL) {
        leave_to_all(worker->runtime, cell);
    }
    za_guard_leave(&worker->guard);
}

bool za_has_runs(za_worker_t *worker)
{
    za_guard_enter(&worker->guard);
    bool some = worker->run_next != NULL || worker->fresh.count > 0 || worker->overflow.count > 0 ||
                worker->placed.count > 0 || za_ring_count(&worker->ring) > 0;
    za_guard_leave(&worker->guard);
    return some;
}
