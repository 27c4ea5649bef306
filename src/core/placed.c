#include "core/placed.h"

#include "core/worker.h"

static void hand_over(za_worker_t *worker, za_worker_t *home, za_cell_t *cell)
{
    za_inbox_t *inbox = &home->inbox;
    // Mostly it is empty: a first look would only fetch the line once more than the exchange does.
    za_cell_t *newest = NULL;
    do {
        // relaxed: published below
        atomic_store_explicit(&cell->link, newest, memory_order_relaxed);
        // seq_cst: before the look at `resting`; the home says that it rests, then looks here
    } while (!atomic_compare_exchange_weak_explicit(&inbox->newest, &newest, cell,
                                                    memory_order_seq_cst, // pairs: inbox
                                                    memory_order_relaxed));
    // seq_cst, both: see above. The exchange leaves one wake for each rest.
    if (atomic_load_explicit(&inbox->resting, memory_order_seq_cst) != 0 &&
        atomic_exchange_explicit(&inbox->resting, 0, memory_order_seq_cst) != 0) {
        za_runtime_t *runtime = worker->runtime;
        ZA_TALLY(worker, wakes);
        runtime->host.wake(runtime->config.host_context, home);
    }
}

void za_place(za_worker_t *worker, za_cell_t *cell)
{
    za_worker_t *home = &worker->runtime->workers[cell->extra->home - 1];
    if (home == worker) {
        za_runs_push_last(&worker->placed, cell);
    } else {
        hand_over(worker, home, cell);
    }
}

bool za_inbox_take(za_worker_t *worker)
{
    if (!za_inbox_some(&worker->inbox)) {
        return false;
    }
    za_cell_t *cell = atomic_exchange_explicit(&worker->inbox.newest, NULL,
                                               memory_order_acquire); // pairs: inbox
    za_cell_t *oldest = NULL;
    while (cell != NULL) {
        // relaxed: the chain was acquired above
        za_cell_t *next = atomic_load_explicit(&cell->link, memory_order_relaxed);
        atomic_store_explicit(&cell->link, oldest, memory_order_relaxed);
        oldest = cell;
        cell = next;
    }
    while (oldest != NULL) {
        // relaxed: ours
        za_cell_t *next = atomic_load_explicit(&oldest->link, memory_order_relaxed);
        za_runs_push_last(&worker->placed, oldest);
        oldest = next;
    }
    return true;
}

bool za_inbox_rest(za_inbox_t *inbox)
{
    // seq_cst, both: see hand_over
    atomic_store_explicit(&inbox->resting, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&inbox->newest, memory_order_seq_cst) == NULL) {
        return true;
    }
    za_inbox_unrest(inbox);
    return false;
}

void za_inbox_unrest(za_inbox_t *inbox)
{
    // relaxed: whoever still sees the rest wakes once too often
    atomic_store_explicit(&inbox->resting, 0, memory_order_relaxed);
}
