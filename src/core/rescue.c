#include "core/rescue.h"

#include "core/park.h"
#include "core/worker.h"

void za_guard_wait(za_guard_t *guard)
{
    do {
        za_guard_leave(guard);
        while (atomic_load_explicit(&guard->rescuer, memory_order_acquire) != 0) { // pairs: rescue
            za_park_relax();
        }
        // relaxed: see za_guard_enter
        atomic_store_explicit(&guard->touching, 1, memory_order_relaxed);
        za_fence_light();
    } while (atomic_load_explicit(&guard->rescuer, memory_order_acquire) != 0); // pairs: rescue
}

/** Takes all that waits in the victim's lists or is due there, while its owner keeps away. */
static bool take_lists(za_worker_t *worker, za_worker_t *victim)
{
    bool some = false;
    za_cell_t *cell;
    while ((cell = za_private_pop(victim)) != NULL) {
        za_schedule_last(worker, cell);
        some = true;
    }
    za_timers_fire_for(worker, victim);
    return some;
}

/** One rescue at a time: two workers that take from each other would wait for each other. */
static bool rescue_from(za_worker_t *worker, za_worker_t *victim)
{
    za_runtime_t *runtime = worker->runtime;
    // acquire: what another rescuer left there
    if (atomic_exchange_explicit(&runtime->rescuing, 1, memory_order_acquire) !=
        0) { // pairs: rescuing
        return false;
    }
    // relaxed: za_fence_heavy
    atomic_store_explicit(&victim->guard.rescuer, worker->index + 1, memory_order_relaxed);
    za_fence_heavy();
    // acquire: the lists as the owner left them
    bool away =
        atomic_load_explicit(&victim->guard.touching, memory_order_acquire) == 0; // pairs: guard
    bool some = away && take_lists(worker, victim);
    atomic_store_explicit(&victim->guard.rescuer, 0, memory_order_release); // pairs: rescue
    atomic_store_explicit(&runtime->rescuing, 0, memory_order_release);     // pairs: rescuing
    return some;
}

/** True if it has been in one run for long. */
static bool is_stuck(za_worker_t *worker, const za_worker_t *other)
{
    za_seen_t *seen = &worker->seen[other->index];
    // relaxed, both: a guess
    uint32_t runs = atomic_load_explicit(&other->runs, memory_order_relaxed);
    if (runs != seen->runs || seen->since_ns == 0) {
        *seen = (za_seen_t){ runs, worker->now_ns };
        return false;
    }
    return !atomic_load_explicit(&other->idle, memory_order_relaxed) &&
           worker->now_ns - seen->since_ns >= ZA_RESCUE_AFTER_NS;
}

static void rescue_all(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    for (uint32_t i = 0; i < runtime->config.workers; i++) {
        za_worker_t *other = &runtime->workers[i];
        if (other == worker || !is_stuck(worker, other)) {
            continue;
        }
        bool some = runtime->can_rescue && rescue_from(worker, other);
        if (za_steal_from(worker, other) || some) {
            ZA_TALLY(worker, rescues);
        }
    }
}

void za_rescue(za_worker_t *worker)
{
    if (worker->runtime->config.workers > 1 && worker->now_ns >= worker->watch_ns) {
        worker->watch_ns = worker->now_ns + ZA_RESCUE_AFTER_NS;
        rescue_all(worker);
    }
}

uint64_t za_rescue_rest(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    // Twice in a row: another idle worker may just be looking as well, and two must not keep each
    // other awake.
    bool busy = za_busy_count(runtime) > 0;
    if (busy && worker->saw_busy) {
        worker->looks_left = ZA_RESCUE_LINGER;
    } else if (busy && worker->looks_left == 0) {
        worker->looks_left = 1;
    }
    worker->saw_busy = busy;
    if (worker->looks_left == 0) {
        return UINT64_MAX;
    }
    worker->looks_left--;
    // relaxed: a guess; one more or less does no harm
    if (atomic_load_explicit(&runtime->rescuers, memory_order_relaxed) >= ZA_RESCUERS_MAX) {
        return UINT64_MAX;
    }
    worker->watches = true;
    atomic_fetch_add_explicit(&runtime->rescuers, 1, memory_order_relaxed);
    return worker->now_ns + ZA_RESCUE_LOOK_NS;
}

void za_rescue_unrest(za_worker_t *worker)
{
    if (worker->watches) {
        worker->watches = false;
        // relaxed: see za_rescue_rest
        atomic_fetch_sub_explicit(&worker->runtime->rescuers, 1, memory_order_relaxed);
    }
}

void za_rescue_post(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    // relaxed, both: a guess; whoever works longer than a turn is asked again
    if (atomic_load_explicit(&runtime->rescuers, memory_order_relaxed) == 0 &&
        atomic_load_explicit(&runtime->idle, memory_order_relaxed) > 0) {
        za_wake_one(worker);
    }
}
