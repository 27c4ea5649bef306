/** core/rescue.c: what waits on a worker is taken away from it while it comes back. */
#include "check.h"

#define za_park_relax zc_await // an owner waits until something was written, without end
#include "core/rescue.c"       // one rescue is its own
#include "scenarios.h"

enum { CELLS = 3, NS_PER_MS = 1000 * 1000 };

typedef struct r_Cancel {
    uint64_t unused;
} r_Cancel;

typedef struct r_Due {
    uint64_t unused;
} r_Due;

static const za_type_t r_Cancel_type = { .name = "r.Cancel", .id = 304, .size = sizeof(r_Cancel) };
static const za_type_t r_Due_type = { .name = "r.Due", .id = 305, .size = sizeof(r_Due) };

typedef struct ward {
    za_runtime_t *runtime;
    uint32_t put;              // cells, from 1 on
    uint32_t taken[CELLS + 1]; // plain: written by whoever takes the cell
    // Plain: the actor's.
    za_timer_t far;
    uint32_t due;
} ward_t;

static ward_t *ward;

static za_worker_t *worker_at(uint32_t index)
{
    return za_runtime_worker(ward->runtime, index);
}

static void wake_nobody(void *context, za_worker_t *worker)
{
    (void)context, (void)worker;
}

static void setup_ward(uint32_t workers)
{
    static const za_host_t host = { .wake = wake_nobody };
    ward = zc_alloc(sizeof *ward);
    const za_runtime_config_t config = { .workers = workers,
                                         .actors_max = 8,
                                         .pool_bytes_max = 1 << 20,
                                         .mailbox_default = 2,
                                         .seed = 1,
                                         .host = &host };
    ZC_MUST(za_runtime_create(&config, &ward->runtime) == ZA_OK, "runtime");
    ZC_MUST(ward->runtime->can_rescue, "nobody is rescued");
}

/** The next cell, as its owner until it is scheduled. */
static za_cell_t *next_cell(void)
{
    za_cell_t *cell = za_cell_at(ward->runtime, ++ward->put);
    cell->status = ZA_STATUS_RUNNING;
    return cell;
}

/** True if there was one. */
static bool pick(uint32_t index)
{
    za_cell_t *cell = za_pick(worker_at(index));
    if (cell == NULL) {
        return false;
    }
    uint32_t slot = za_cell_slot(ward->runtime, cell);
    ZC_MUST(slot > 0 && slot <= CELLS, "%u is no actor", slot);
    ZC_MUST(cell->status == ZA_STATUS_RUNNING, "an actor without what its last owner wrote");
    ZC_MUST(ward->taken[slot]++ == 0, "an actor is taken twice");
    return true;
}

static void finish_ward(void)
{
    za_runtime_t *runtime = ward->runtime;
    for (uint32_t i = 0; i < runtime->config.workers; i++) {
        while (pick(i)) {
        }
        const za_guard_t *guard = &worker_at(i)->guard;
        ZC_MUST(atomic_load_explicit(&guard->touching, memory_order_relaxed) == 0 &&
                    atomic_load_explicit(&guard->rescuer, memory_order_relaxed) == 0,
                "a guard stays closed");
    }
    ZC_MUST(atomic_load_explicit(&runtime->rescuing, memory_order_relaxed) == 0,
            "nobody is rescued any more");
    for (uint32_t slot = 1; slot <= ward->put; slot++) {
        ZC_MUST(ward->taken[slot] == 1, "an actor is lost");
    }
}

/* ---- two rescuers ------------------------------------------------------------------------- */

/** One waits in each of the private lists but the slot. */
static void setup_rescue(void)
{
    setup_ward(3);
    za_schedule_fresh(worker_at(0), next_cell());
    za_runs_push_last(&worker_at(0)->overflow, next_cell());
}

static void owner_comes_back(void)
{
    za_schedule(worker_at(0), next_cell());
    pick(0);
    pick(0);
}

static void rescuer_1(void)
{
    rescue_from(worker_at(1), worker_at(0));
    pick(1);
}

static void rescuer_2(void)
{
    rescue_from(worker_at(2), worker_at(0));
    pick(2);
}

const zc_scenario_t zc_rescue = {
    .name = "rescue",
    .promise = "what waits on a worker is taken once, by its owner or by one of two that rescue",
    .setup = setup_rescue,
    .threads = { { "owner", owner_comes_back },
                 { "rescuer-1", rescuer_1 },
                 { "rescuer-2", rescuer_2 } },
    .finish = finish_ward,
    .preemptions = 2,
    .stale = 1,
};

/* ---- from each other ---------------------------------------------------------------------- */

static void setup_mutual(void)
{
    setup_ward(2);
    za_schedule_fresh(worker_at(0), next_cell());
    za_schedule_fresh(worker_at(1), next_cell());
}

static void worker_0(void)
{
    rescue_from(worker_at(0), worker_at(1));
    pick(0);
}

static void worker_1(void)
{
    rescue_from(worker_at(1), worker_at(0));
    pick(1);
}

const zc_scenario_t zc_rescue_mutual = {
    .name = "rescue-mutual",
    .promise = "two that rescue from each other do not wait for each other",
    .setup = setup_mutual,
    .threads = { { "worker-1", worker_0 }, { "worker-2", worker_1 } },
    .finish = finish_ward,
    .preemptions = 2,
    .stale = 1,
};

/* ---- timers ------------------------------------------------------------------------------- */

typedef struct patient {
    uint64_t unused;
} patient_t;

static za_verdict_t on_started(za_ctx_t *ctx, patient_t *self, const za_Started *m)
{
    (void)self, (void)m;
    const r_Due due = { 0 };
    ZC_MUST(za_after(ctx, 1, &r_Due_type, &due, NULL) == ZA_OK &&
                za_after(ctx, 1000, &r_Due_type, &due, &ward->far) == ZA_OK,
            "timers");
    return ZA_DONE;
}

static za_verdict_t on_cancel(za_ctx_t *ctx, patient_t *self, const r_Cancel *m)
{
    (void)self, (void)m;
    za_cancel(ctx, &ward->far);
    return ZA_DONE;
}

static za_verdict_t on_due(za_ctx_t *ctx, patient_t *self, const r_Due *m)
{
    (void)ctx, (void)self, (void)m;
    ward->due++;
    return ZA_DONE;
}

ZA_ACTOR(patient, patient_t, (za_Started, on_started), (r_Cancel, on_cancel), (r_Due, on_due));

static void run_all(uint32_t index)
{
    za_cell_t *cell;
    while ((cell = za_pick(worker_at(index))) != NULL) {
        za_cell_run(worker_at(index), cell);
    }
}

/** Of two timers one is due now; the actor gave up the other on another worker, and their home knows. */
static void setup_timers(void)
{
    setup_ward(2);
    za_ref_t ref;
    const za_spawn_opts_t opts = { .size = sizeof opts };
    za_err_t err = za_runtime_spawn(worker_at(0), &patient_class, &opts, ZA_REF_NONE, &ref);
    ZC_MUST(err == ZA_OK, "spawn: %s", za_err_name(err));
    run_all(0);
    const r_Cancel cancel = { 0 };
    const za_outgoing_t out = { .to = ref, .type = &r_Cancel_type, .body = &cancel };
    ZC_MUST(za_runtime_tell(worker_at(1), &out) == ZA_OK, "tell");
    run_all(1);
    const za_timers_t *timers = &worker_at(0)->timers;
    ZC_MUST(timers->count == 2 &&
                atomic_load_explicit(&timers->cancelled, memory_order_relaxed) != NULL,
            "the timers are elsewhere");
    // The owner's turn began before the one timer was due, and takes long.
    za_worker_touch(worker_at(1), 2 * NS_PER_MS);
}

static void owner_fires(void)
{
    za_timers_fire(worker_at(0));
}

static void rescuer_fires(void)
{
    rescue_from(worker_at(1), worker_at(0));
}

static void finish_timers(void)
{
    za_worker_touch(worker_at(0), 2 * NS_PER_MS);
    za_timers_fire(worker_at(0));
    for (uint32_t i = 0; i < 2; i++) {
        run_all(i);
    }
    ZC_MUST(ward->due == 1, "a timer fires %u times", ward->due);
    ZC_MUST(worker_at(0)->timers.count == 0, "a cancelled timer stays");
}

const zc_scenario_t zc_rescue_timers = {
    .name = "rescue-timers",
    .promise = "a timer fires once, and a cancelled one is freed, while another worker fires",
    .setup = setup_timers,
    .threads = { { "owner", owner_fires }, { "rescuer", rescuer_fires } },
    .finish = finish_timers,
    .preemptions = 3,
    .stale = 2,
};
