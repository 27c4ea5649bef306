#include "core/runtime.h"

#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"
#include "core/worker.h"

/* ---- creation ----------------------------------------------------------------------------- */

static void *map_pages(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static bool is_valid(const za_runtime_config_t *config)
{
    return config->workers >= 1 && config->workers <= ZA_WORKERS_MAX && config->actors_max >= 1 &&
           config->actors_max < ZA_SLOT_MASK && config->mailbox_default >= 1 &&
           config->host != NULL && config->host->wake != NULL;
}

void za_worker_init(za_runtime_t *runtime, uint32_t index)
{
    za_worker_t *worker = &runtime->workers[index];
    worker->runtime = runtime;
    worker->index = index;
    worker->guest = index >= runtime->config.workers;
    worker->ctx.worker = worker;
    worker->near_slots = runtime->slot_max;
    worker->near_cells = runtime->cells;
    worker->next_id = runtime->config.seed & 0xffff; // two runtimes do not share their ids
    za_rng_init(&worker->rng, runtime->config.seed + za_mix64(index + 1));
    worker->look_ns = UINT64_MAX;
    worker->inject_at = ZA_INJECT_EVERY;
    za_timers_init(&worker->timers, index);
    za_pool_init(&worker->pool, &runtime->pools, (uint8_t)index);
    worker->metrics.samples =
        worker->guest ? NULL : runtime->samples + (size_t)index * ZA_CLASS_NUMBERS;
}

za_err_t za_runtime_create(const za_runtime_config_t *config, za_runtime_t **out)
{
    if (config == NULL || out == NULL || !is_valid(config)) {
        return ZA_EINVAL;
    }
    za_err_t err = ZA_ENOMEM;
    za_runtime_t *runtime = map_pages(sizeof *runtime);
    if (runtime == NULL) {
        return err;
    }
    runtime->config = *config;
    runtime->host = *config->host;
    if (config->remote != NULL) {
        runtime->remote = *config->remote;
    }
    runtime->slot_max = config->actors_max + 1; // slot 0 names nobody
    atomic_init(&runtime->slot_next, 1);
    runtime->cells_bytes = (size_t)runtime->slot_max * sizeof(za_cell_t);
    runtime->cells = map_pages(runtime->cells_bytes);
    if (runtime->cells == NULL) {
        goto fail_cells;
    }
    // Guests and dedicated workers are zero pages until one is taken.
    runtime->workers_bytes = za_dedicated_index(runtime, ZA_DEDICATED_MAX) * sizeof(za_worker_t);
    runtime->workers = map_pages(runtime->workers_bytes);
    if (runtime->workers == NULL) {
        goto fail_workers;
    }
    // Address space: a class takes pages when it has its first sample.
    runtime->samples_bytes = config->workers * ZA_CLASS_NUMBERS * sizeof(za_samples_t);
    runtime->samples = map_pages(runtime->samples_bytes);
    if (runtime->samples == NULL) {
        goto fail_samples;
    }
    err = za_blobs_init(&runtime->blobs, config->blob_bytes_max, config->blob_map_bytes);
    if (err != ZA_OK) {
        goto fail_blobs;
    }
    runtime->groups = za_groups_create();
    if (runtime->groups == NULL) {
        err = ZA_ENOMEM;
        goto fail_groups;
    }
    za_fiber_pool_init(&runtime->fibers, config);
    za_pools_init(&runtime->pools, config->pool_bytes_max, config->pool_class_bytes_max);
    za_pools_set_numa(&runtime->pools, config->numa);
    za_spread_init(&runtime->spread, config->workers);
    runtime->can_rescue = config->workers > 1 && za_fence_prepare();
    for (uint32_t i = 0; i < config->workers; i++) {
        za_worker_init(runtime, i);
    }
    *out = runtime;
    return ZA_OK;

fail_groups:
    za_blobs_deinit(&runtime->blobs);
fail_blobs:
    munmap(runtime->samples, runtime->samples_bytes);
fail_samples:
    munmap(runtime->workers, runtime->workers_bytes);
fail_workers:
    munmap(runtime->cells, runtime->cells_bytes);
fail_cells:
    munmap(runtime, sizeof *runtime);
    return err;
}

static uint32_t guest_count(const za_runtime_t *runtime)
{
    uint32_t count = atomic_load_explicit(&runtime->guests, memory_order_acquire); // pairs: guests
    return count < ZA_GUESTS_MAX ? count : ZA_GUESTS_MAX;
}

za_worker_t *za_worker_each(const za_runtime_t *runtime, uint32_t *cursor)
{
    uint32_t guests = runtime->config.workers + guest_count(runtime);
    if (*cursor < guests) {
        return &runtime->workers[(*cursor)++];
    }
    uint32_t ready = atomic_load_explicit(&runtime->dedicated.ready,
                                          memory_order_acquire); // pairs: dedicated-ready
    uint32_t first = za_dedicated_index(runtime, 0);
    uint32_t number = *cursor > first ? *cursor - first : 0;
    uint32_t left = number >= ZA_DEDICATED_MAX ? 0 : ready >> number;
    if (left == 0) {
        return NULL;
    }
    number += (uint32_t)__builtin_ctz(left);
    *cursor = first + number + 1;
    return &runtime->workers[first + number];
}

void za_runtime_destroy(za_runtime_t *runtime)
{
    if (runtime == NULL) {
        return;
    }
    za_blobs_deinit(&runtime->blobs); // their heads are blocks of the pools
    za_fiber_pool_deinit(&runtime->fibers);
    uint32_t cursor = 0;
    for (za_worker_t *next; (next = za_worker_each(runtime, &cursor)) != NULL;) {
        za_pool_deinit(&next->pool);
    }
    za_groups_destroy(runtime->groups);
    munmap(runtime->samples, runtime->samples_bytes);
    munmap(runtime->workers, runtime->workers_bytes);
    munmap(runtime->cells, runtime->cells_bytes);
    munmap(runtime, sizeof *runtime);
}

void za_runtime_add_uid(za_runtime_t *runtime, uint64_t uid)
{
    if (uid == 0 || za_uid_is_own(runtime, uid)) {
        return;
    }
    // relaxed: one writer; the uid is published by the count
    uint32_t count = atomic_load_explicit(&runtime->uid_count, memory_order_relaxed);
    atomic_store_explicit(&runtime->uids[count % ZA_UIDS_MAX], uid, memory_order_relaxed);
    atomic_store_explicit(&runtime->uid_count, count + 1, memory_order_release); // pairs: uids
}

uint64_t za_uid_now(const za_runtime_t *runtime)
{
    uint32_t count = atomic_load_explicit(&runtime->uid_count, memory_order_acquire); // pairs: uids
    // relaxed: published by the count
    return count == 0 ? 0
                      : atomic_load_explicit(&runtime->uids[(count - 1) % ZA_UIDS_MAX],
                                             memory_order_relaxed);
}

bool za_uid_is_own(const za_runtime_t *runtime, uint64_t node)
{
    uint32_t count = atomic_load_explicit(&runtime->uid_count, memory_order_acquire); // pairs: uids
    count = count < ZA_UIDS_MAX ? count : ZA_UIDS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        // relaxed: published by the count
        if (atomic_load_explicit(&runtime->uids[i], memory_order_relaxed) == node) {
            return true;
        }
    }
    return false;
}

za_worker_t *za_runtime_worker(za_runtime_t *runtime, uint32_t index)
{
    return index < runtime->config.workers ? &runtime->workers[index] : NULL;
}

za_worker_t *za_runtime_guest(za_runtime_t *runtime)
{
    // relaxed: reserves a number; published when the guest is ready
    uint32_t count = atomic_load_explicit(&runtime->guests_taken, memory_order_relaxed);
    do {
        if (count >= ZA_GUESTS_MAX) {
            return NULL;
        }
    } while (!atomic_compare_exchange_weak_explicit(&runtime->guests_taken, &count, count + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    za_worker_init(runtime, runtime->config.workers + count);
    atomic_fetch_add_explicit(&runtime->guests, 1, memory_order_release); // pairs: guests
    return &runtime->workers[runtime->config.workers + count];
}

/* ---- a turn ------------------------------------------------------------------------------- */

static void set_now(za_worker_t *worker, uint64_t now_ns)
{
    ZA_ASSERT(now_ns >= worker->now_ns); // the host's clock is monotonic
    worker->now_ns = now_ns;
    // relaxed: a clock for guests, no order
    atomic_store_explicit(&worker->now_ms, now_ns / 1000000, memory_order_relaxed);
}

static void set_idle(za_worker_t *worker, bool idle)
{
    atomic_store_explicit(&worker->idle, idle, memory_order_relaxed); // relaxed: others guess
}

static void become_busy(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    // relaxed: ours; others guess
    if (atomic_load_explicit(&worker->idle, memory_order_relaxed)) {
        set_idle(worker, false);
        worker->look_ns = UINT64_MAX;
        za_rescue_unrest(worker);
        za_inbox_unrest(&worker->inbox);
        atomic_fetch_sub_explicit(&runtime->idle, 1, memory_order_relaxed); // relaxed: a hint
    }
    // Whoever was woken looks now; from here on the next one may be woken.
    if (atomic_load_explicit(&runtime->wake_pending, memory_order_relaxed) !=
        0) { // relaxed: a look
        // seq_cst: before our look at what was left; see wake_one in sched.c
        atomic_store_explicit(&runtime->wake_pending, 0, memory_order_seq_cst);
    }
}

/**
 * Says that there is nothing to do, and looks once more: a guest that saw us busy woke nobody.
 * `steps_back`: what was left is for those that are busy; the last of them looks in its turn.
 */
static za_turn_t become_idle(za_worker_t *worker, bool steps_back)
{
    za_runtime_t *runtime = worker->runtime;
    set_idle(worker, true);
    // seq_cst: before the look; see inject in sched.c
    uint32_t idle = atomic_fetch_add_explicit(&runtime->idle, 1, memory_order_seq_cst) + 1;
    bool left = (steps_back && idle < runtime->config.workers) ||
                atomic_load_explicit(&runtime->injected, memory_order_seq_cst) == NULL;
    if (left && za_inbox_rest(&worker->inbox)) {
        worker->look_ns = za_rescue_rest(worker);
        return ZA_TURN_IDLE;
    }
    set_idle(worker, false);
    atomic_fetch_sub_explicit(&runtime->idle, 1, memory_order_relaxed); // relaxed: a hint
    return ZA_TURN_MORE;
}

void za_flush_remote(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    if (worker->sent_remote) {
        worker->sent_remote = false;
        if (runtime->remote.flush != NULL) {
            runtime->remote.flush(runtime->config.remote_context, worker);
        }
    }
}

void za_worker_place(za_worker_t *worker, uint32_t core)
{
    za_pool_place(&worker->pool, za_numa_node_of(worker->runtime->config.numa, core));
}

void za_worker_touch(za_worker_t *worker, uint64_t now_ns)
{
    set_now(worker, now_ns);
}

/** At the end of a period: says how many workers take part, and steps back if they are too many. */
static void spread(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    uint64_t handled = 0;
    for (uint32_t i = 0; i < runtime->config.workers; i++) {
        handled += za_metrics_handled(&runtime->workers[i].metrics);
    }
    za_spread_decide(&runtime->spread, handled, worker->now_ns);
}

/** More are busy than pay: one of them hands over what it has, and rests. */
static bool steps_back(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    if (za_busy_count(runtime) <= za_spread_allowed(&runtime->spread) || worker->placed.count > 0 ||
        !za_spread_retires(&runtime->spread)) {
        return false;
    }
    za_hand_over(worker);
    return true;
}

/** Looks at how long the messages of the last turn took, if nothing but that turn was in between. */
static void look_brisk(za_worker_t *worker, uint64_t now_ns, bool was_idle)
{
    enum { BRISK_NS = 1000 };
    uint64_t handled = za_metrics_handled(&worker->metrics);
    if (!was_idle) {
        uint64_t messages = handled - worker->turn_handled;
        worker->brisk = now_ns - worker->now_ns <= messages * BRISK_NS;
    }
    worker->turn_handled = handled;
}

/** Before it rests, or begins the next turn: when the first timer is due, and what waits. */
static void settle(za_worker_t *worker)
{
    za_guard_enter(&worker->guard);
    za_timers_settle(&worker->timers);
    za_metrics_gauge(worker);
    za_guard_leave(&worker->guard);
}

/** Runs one actor. False: there is none. */
static bool run_one(za_worker_t *worker, bool was_idle, bool is_sample)
{
    za_cell_t *cell = za_pick(worker);
    if (cell == NULL) {
        return false;
    }
    if (was_idle) {
        za_rescue_post(worker);
    }
    if (is_sample) {
        za_metrics_run(worker, cell);
    } else {
        za_cell_run(worker, cell);
    }
    return true;
}

/** Runs actors until there are none, or the turn is over; answers how many. */
static uint32_t run_turn(za_worker_t *worker, uint32_t sample, bool was_idle)
{
    uint32_t runs = 0;
    if (was_idle && run_one(worker, true, sample == 0)) {
        runs = 1;
        sample = sample == 0 ? UINT32_MAX : sample; // it was that
    }
    if (runs == 1 || !was_idle) {
        runs = za_run_actors(worker, runs, sample < ZA_TURN_RUNS_MAX ? sample : ZA_TURN_RUNS_MAX);
        if (runs == sample && runs < ZA_TURN_RUNS_MAX && run_one(worker, false, true)) {
            runs = za_run_actors(worker, runs + 1, ZA_TURN_RUNS_MAX);
        }
    }
    atomic_store_explicit(&worker->running, NULL, memory_order_relaxed); // relaxed: see watchdog.h
    return runs;
}

za_turn_t za_worker_turn(za_worker_t *worker, uint64_t now_ns)
{
    ZA_ASSERT(!worker->guest);
    bool was_idle = atomic_load_explicit(&worker->idle, memory_order_relaxed); // relaxed: ours
    look_brisk(worker, now_ns, was_idle);
    set_now(worker, now_ns);
    uint32_t sample = za_metrics_begin_turn(worker, was_idle);
    become_busy(worker);
    if (worker->runtime->config.workers > 1 && za_spread_is_due(&worker->runtime->spread, now_ns)) {
        spread(worker);
    }
    za_rescue(worker);
    za_timers_fire(worker);
    uint32_t runs = run_turn(worker, sample, was_idle);
    za_flush_remote(worker);
    za_metrics_end_turn(worker, runs);
    settle(worker);
    if (__builtin_expect(steps_back(worker), 0)) {
        za_pool_flush(&worker->pool);
        return become_idle(worker, true);
    }
    if (runs == ZA_TURN_RUNS_MAX || za_has_runs(worker) ||
        za_worker_deadline_ns(worker) <= now_ns) {
        return ZA_TURN_MORE;
    }
    za_pool_flush(&worker->pool);
    return become_idle(worker, false);
}

void za_worker_attend(za_worker_t *worker)
{
    za_inbox_unrest(&worker->inbox);
}

bool za_worker_has_mail(const za_worker_t *worker)
{
    return za_inbox_some(&worker->inbox);
}

bool za_worker_has_sent(const za_worker_t *worker)
{
    return worker->sent_remote;
}

bool za_worker_run_mail(za_worker_t *worker)
{
    za_inbox_take(worker);
    for (uint32_t runs = 0; runs < ZA_TURN_RUNS_MAX && worker->placed.count > 0; runs++) {
        za_cell_run(worker, za_runs_pop(&worker->placed));
    }
    atomic_store_explicit(&worker->running, NULL, memory_order_relaxed); // relaxed: see watchdog.h
    return worker->sent_remote || za_has_runs(worker);
}

bool za_worker_await(za_worker_t *worker)
{
    za_pool_flush(&worker->pool); // run_mail has freed blocks of others
    settle(worker);
    return za_inbox_rest(&worker->inbox);
}

static uint64_t timer_deadline_ns(const za_worker_t *worker)
{
    // relaxed: exact for the worker itself
    return atomic_load_explicit(&worker->timers.deadline_ns, memory_order_relaxed);
}

uint64_t za_worker_deadline_ns(const za_worker_t *worker)
{
    uint64_t timer_ns = timer_deadline_ns(worker);
    return timer_ns < worker->look_ns ? timer_ns : worker->look_ns;
}

uint64_t za_worker_now_ms(const za_worker_t *worker)
{
    if (!worker->guest || za_dedicated_is(worker->runtime, worker->index + 1)) {
        return za_ms(worker);
    }
    uint64_t now_ms = 0;
    for (uint32_t i = 0; i < worker->runtime->config.workers; i++) {
        uint64_t other_ms = za_ms(&worker->runtime->workers[i]);
        now_ms = other_ms > now_ms ? other_ms : now_ms;
    }
    return now_ms;
}

uint32_t za_worker_index(const za_worker_t *worker)
{
    return worker->index;
}

/* ---- a handler's context ------------------------------------------------------------------ */

za_ref_t za_self(const za_ctx_t *ctx)
{
    return ctx == NULL ? ZA_REF_NONE : (za_ref_t){ 0, ctx->id };
}

za_ref_t za_sender(const za_ctx_t *ctx)
{
    const za_message_t *message = ctx == NULL ? NULL : ctx->message;
    bool has_sender = message != NULL && (message->block.kind == ZA_KIND_USER ||
                                          message->block.kind == ZA_KIND_REPLY ||
                                          message->block.kind == ZA_KIND_AGAIN);
    return has_sender ? message->sender : ZA_REF_NONE;
}

uint64_t za_tag(const za_ctx_t *ctx)
{
    return ctx == NULL ? 0 : ctx->tag;
}

uint64_t za_now_ms(const za_ctx_t *ctx)
{
    return ctx == NULL ? 0 : za_ms(ctx->worker);
}

uint64_t za_random(za_ctx_t *ctx)
{
    return ctx == NULL ? 0 : za_rng_next(&ctx->worker->rng);
}

uint32_t za_worker_count(const za_ctx_t *ctx)
{
    return ctx == NULL ? 0 : ctx->worker->runtime->config.workers;
}

za_node_t *za_ctx_node(const za_ctx_t *ctx)
{
    return ctx == NULL ? NULL : ctx->worker->runtime->config.node;
}

za_worker_t *za_ctx_worker(za_ctx_t *ctx)
{
    return ctx->worker;
}

za_runtime_t *za_ctx_runtime(za_ctx_t *ctx)
{
    return ctx->worker->runtime;
}

uint64_t za_ctx_id(const za_ctx_t *ctx)
{
    return ctx->id;
}

const za_class_t *za_ctx_class(const za_ctx_t *ctx)
{
    return atomic_load_explicit(&ctx->cell->class_, memory_order_relaxed); // relaxed: the owner's
}

bool za_ctx_stopping(const za_ctx_t *ctx)
{
    return ctx->stopping;
}

za_err_t za_stop(za_ctx_t *ctx, za_ref_t actor)
{
    if (ctx == NULL || za_ref_is_none(actor)) {
        return ZA_EINVAL;
    }
    za_worker_t *worker = ctx->worker;
    za_runtime_t *runtime = worker->runtime;
    za_err_t err = za_resolve_any(worker, &actor);
    if (err != ZA_OK) {
        return err;
    }
    bool here = za_node_is_here(runtime, actor.node);
    if (here && actor.actor == ctx->id) {
        ctx->after |= ZA_AFTER_STOP;
        return ZA_OK;
    }
    za_cell_t *cell = here ? za_cell_living(runtime, actor.actor) : NULL;
    // relaxed: a child of ours cannot change its parent; another's is only compared
    bool child = cell != NULL && atomic_load_explicit(&cell->parent, memory_order_relaxed) ==
                                     za_cell_slot(runtime, ctx->cell);
    if (child) {
        za_message_t *stop =
            za_signal_make(worker, ZA_KIND_STOP, actor.actor, 0, za_Reason_REASON_STOPPED);
        if (stop == NULL) {
            return ZA_ENOBUFS;
        }
        za_cell_command(worker, cell, stop);
        return ZA_OK;
    }
    if (here && cell == NULL) {
        return ZA_EGONE;
    }
    if (runtime->remote.stop == NULL) {
        return ZA_EDENIED;
    }
    return runtime->remote.stop(runtime->config.remote_context, worker, (za_ref_t){ 0, ctx->id },
                                actor);
}
