#include "core/dedicated.h"

#include "core/worker.h"

static_assert(ZA_DEDICATED_MAX <= 32, "a bit for each");

static za_worker_t *worker_at(za_runtime_t *runtime, uint32_t number)
{
    return &runtime->workers[za_dedicated_index(runtime, number)];
}

/** A number of its own, below ZA_DEDICATED_MAX; or that, if none is left. */
static uint32_t take_number(za_dedicated_t *dedicated)
{
    // relaxed: the exchange checks it
    uint32_t taken = atomic_load_explicit(&dedicated->taken, memory_order_relaxed);
    uint32_t number;
    do {
        number = ~taken == 0 ? 32 : (uint32_t)__builtin_ctz(~taken);
        if (number >= ZA_DEDICATED_MAX) {
            return ZA_DEDICATED_MAX;
        }
        // acquire: what the former thread left in the worker
    } while (!atomic_compare_exchange_weak_explicit(&dedicated->taken, &taken,
                                                    taken | UINT32_C(1) << number,
                                                    memory_order_acquire, // pairs: dedicated
                                                    memory_order_relaxed));
    return number;
}

static void give_number(za_dedicated_t *dedicated, uint32_t number)
{
    atomic_fetch_and_explicit(&dedicated->taken, ~(UINT32_C(1) << number),
                              memory_order_release); // pairs: dedicated
}

bool za_dedicated_is(const za_runtime_t *runtime, uint32_t home)
{
    return home > za_dedicated_index(runtime, 0);
}

za_err_t za_dedicated_take(za_worker_t *worker, size_t stack_bytes, uint32_t *home)
{
    za_runtime_t *runtime = worker->runtime;
    *home = 0;
    if (runtime->host.dedicate == NULL) {
        return ZA_OK;
    }
    uint32_t number = take_number(&runtime->dedicated);
    if (number == ZA_DEDICATED_MAX) {
        return ZA_ENOBUFS;
    }
    uint32_t bit = UINT32_C(1) << number;
    za_worker_t *taken = worker_at(runtime, number);
    // relaxed: only who holds the number sets it, and the former holder was acquired
    if ((atomic_load_explicit(&runtime->dedicated.ready, memory_order_relaxed) & bit) == 0) {
        za_worker_init(runtime, za_dedicated_index(runtime, number));
        atomic_fetch_or_explicit(&runtime->dedicated.ready, bit,
                                 memory_order_release); // pairs: dedicated-ready
    }
    // relaxed: published by the start of the thread
    atomic_store_explicit(&taken->ended, 0, memory_order_relaxed);
    za_err_t err = runtime->host.dedicate(runtime->config.host_context, taken, stack_bytes);
    if (err != ZA_OK) {
        give_number(&runtime->dedicated, number);
        return ZA_ENOBUFS;
    }
    *home = taken->index + 1;
    return ZA_OK;
}

void za_dedicated_end(za_worker_t *worker, uint32_t home)
{
    za_runtime_t *runtime = worker->runtime;
    za_worker_t *ended = &runtime->workers[home - 1];
    // seq_cst: before the wake; the thread looks here after it has said that it rests
    atomic_store_explicit(&ended->ended, 1, memory_order_seq_cst);
    if (ended != worker) {
        runtime->host.wake(runtime->config.host_context, ended);
    }
}

/* ---- its thread --------------------------------------------------------------------------- */

static bool has_ended(const za_worker_t *worker)
{
    // seq_cst: see za_dedicated_end
    return atomic_load_explicit(&worker->ended, memory_order_seq_cst) != 0;
}

/** Gives back what the worker has; it may be another actor's from here on. */
static za_turn_t give_back(za_worker_t *worker)
{
    za_slots_give_back(worker);
    za_pool_flush(&worker->pool);
    za_runtime_t *runtime = worker->runtime;
    give_number(&runtime->dedicated, worker->index - za_dedicated_index(runtime, 0));
    return ZA_TURN_OVER;
}

za_turn_t za_dedicated_turn(za_worker_t *worker, uint64_t now_ns)
{
    za_worker_touch(worker, now_ns);
    za_inbox_unrest(&worker->inbox);
    za_timers_fire(worker);
    za_inbox_take(worker);
    za_cell_t *cell = za_runs_pop(&worker->placed);
    if (cell != NULL) {
        za_cell_run_one(worker, cell);
    }
    // The next handler may block for long: nothing of others' stays here.
    za_pool_flush(&worker->pool);
    za_timers_settle(&worker->timers);
    if (has_ended(worker)) {
        return give_back(worker);
    }
    if (worker->placed.count > 0 || za_worker_deadline_ns(worker) <= now_ns ||
        !za_inbox_rest(&worker->inbox)) {
        return ZA_TURN_MORE;
    }
    return has_ended(worker) ? give_back(worker) : ZA_TURN_IDLE;
}
