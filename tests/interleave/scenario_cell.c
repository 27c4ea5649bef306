/** core/cell.h, run.c, supervise.c: an actor ends, and its cell means another one. */
#include "check.h"

#include <string.h>

#include "core/worker.h"
#include "scenarios.h"

typedef struct l_Letter {
    uint64_t actor; // for whom it is
} l_Letter;

static const za_type_t l_Letter_type = { .name = "l.Letter", .id = 302, .size = sizeof(l_Letter) };

enum { GUESTS = 2, FUTILE_MAX = 3 };

typedef struct house {
    za_runtime_t *runtime;
    za_worker_t *worker;
    za_worker_t *guests[GUESTS];
    _Atomic uint64_t tenant; // id of the actor that lives there
    uint64_t former;
    _Atomic uint32_t gone; // guests that do nothing more
    // Plain: the worker's.
    uint32_t handled;
    uint32_t started;
    uint32_t stopped;
    uint32_t told[GUESTS]; // and accepted; each guest's
} house_t;

static house_t *house;

typedef struct tenant {
    uint64_t letters;
} tenant_t;

static za_verdict_t on_letter(za_ctx_t *ctx, tenant_t *self, const l_Letter *m)
{
    ZC_MUST(m->actor == za_self(ctx).actor, "a message for a former actor is handled");
    ZC_MUST(house->started > house->stopped, "an actor that has ended handles a message");
    self->letters++;
    house->handled++;
    return ZA_DONE;
}

static za_verdict_t on_started(za_ctx_t *ctx, tenant_t *self, const za_Started *m)
{
    (void)ctx, (void)m;
    ZC_MUST(self->letters == 0, "a new actor with the state of a former one");
    house->started++;
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, tenant_t *self, const za_Stopping *m)
{
    (void)ctx, (void)self, (void)m;
    house->stopped++;
    return ZA_DONE;
}

ZA_ACTOR(tenant, tenant_t, (l_Letter, on_letter), (za_Started, on_started),
         (za_Stopping, on_stopping));

/** One that nobody tells of its start and its end, and that ends with its first letter. */
static za_verdict_t on_last_letter(za_ctx_t *ctx, tenant_t *self, const l_Letter *m)
{
    ZC_MUST(m->actor == za_self(ctx).actor, "a message for a former actor is handled");
    ZC_MUST(self != NULL && self->letters++ == 0, "an actor that has ended handles a message");
    house->handled++;
    return ZA_STOP;
}

ZA_ACTOR(lodger, tenant_t, (l_Letter, on_last_letter));

/* ---- setup -------------------------------------------------------------------------------- */

static void wake_nobody(void *context, za_worker_t *worker)
{
    (void)context, (void)worker; // the worker looks whenever something was written
}

static uint64_t move_in_as(const za_class_t *class_)
{
    za_ref_t ref;
    const za_spawn_opts_t opts = { .size = sizeof opts };
    za_err_t err = za_runtime_spawn(house->worker, class_, &opts, ZA_REF_NONE, &ref);
    ZC_MUST(err == ZA_OK, "spawn: %s", za_err_name(err));
    return ref.actor;
}

static uint64_t move_in(void)
{
    return move_in_as(&tenant_class);
}

/** Runs one actor, as a turn does. False: none is runnable. */
static bool run_one(void)
{
    za_cell_t *cell = za_pick(house->worker);
    if (cell != NULL) {
        za_cell_run(house->worker, cell);
    }
    return cell != NULL;
}

static void build_house(void)
{
    static const za_host_t host = { .wake = wake_nobody };
    house = zc_alloc(sizeof *house);
    const za_runtime_config_t config = { .workers = 1,
                                         .actors_max = 4,
                                         .pool_bytes_max = 1 << 20,
                                         .mailbox_default = 2,
                                         .seed = 1,
                                         .host = &host };
    ZC_MUST(za_runtime_create(&config, &house->runtime) == ZA_OK, "runtime");
    house->worker = za_runtime_worker(house->runtime, 0);
    for (int i = 0; i < GUESTS; i++) {
        house->guests[i] = za_runtime_guest(house->runtime);
    }
}

static void setup_house(void)
{
    build_house();
    house->former = move_in();
    while (run_one()) {
    }
    atomic_store_explicit(&house->tenant, house->former, memory_order_relaxed);
}

/* ---- threads ------------------------------------------------------------------------------ */

/** Sends to whoever is known to live there. */
static void tell(uint32_t guest)
{
    uint64_t actor = atomic_load_explicit(&house->tenant, memory_order_relaxed);
    l_Letter letter = { actor };
    const za_outgoing_t out = { .to = { 0, actor }, .type = &l_Letter_type, .body = &letter };
    house->told[guest] += za_runtime_tell(house->guests[guest], &out) == ZA_OK;
}

static void leave(void)
{
    atomic_fetch_add_explicit(&house->gone, 1, memory_order_release);
}

static void tell_once(void)
{
    tell(0);
    leave();
}

static void tell_twice(void)
{
    tell(1);
    tell(1);
    leave();
}

static void stop_tenant(void)
{
    za_runtime_stop_actor(house->guests[1], house->former, za_Reason_REASON_STOPPED);
    leave();
}

/**
 * One step of the worker. An actor whose sender is about to link its message is scheduled again and
 * again: after some runs that change nothing the worker waits for the sender.
 */
static void step(uint32_t *futile)
{
    uint32_t before = house->handled + house->started + house->stopped;
    bool ran = run_one();
    *futile = house->handled + house->started + house->stopped != before ? 0 : *futile + 1;
    if (!ran || *futile >= FUTILE_MAX) {
        zc_await();
        *futile = 0;
    }
}

/** Until so many actors have ended. */
static void work_until_ended(uint32_t stopped)
{
    uint32_t futile = 0;
    while (house->stopped < stopped) {
        step(&futile);
    }
}

/** Until the guests have gone, too, and nothing is left to do. */
static void work_to_the_end(uint32_t stopped)
{
    uint32_t futile = 0;
    while (atomic_load_explicit(&house->gone, memory_order_acquire) < GUESTS) {
        step(&futile);
    }
    work_until_ended(stopped);
    while (run_one()) {
    }
}

/** All letters are accounted for, and all cells at rest. */
static void finish_letters(void)
{
    za_counters_t counters;
    za_runtime_counters(house->runtime, &counters);
    uint32_t told = house->told[0] + house->told[1];
    ZC_MUST(house->handled + counters.dead_letters == told,
            "%u messages accepted, %u handled, %u dead letters", told, house->handled,
            (unsigned)counters.dead_letters);
    for (uint32_t slot = 1; slot < 3; slot++) {
        za_cell_t *cell = za_cell_at(house->runtime, slot);
        ZC_MUST(atomic_load_explicit(&cell->mailbox.newest, memory_order_relaxed) == NULL,
                "a cell is owned by nobody");
    }
}

static void finish_house(void)
{
    finish_letters();
    za_counters_t counters;
    za_runtime_counters(house->runtime, &counters);
    ZC_MUST(counters.actors == house->started - house->stopped, "actors are counted wrong");
}

/* ---- a command ---------------------------------------------------------------------------- */

static void work_until_stopped(void)
{
    work_to_the_end(1);
}

const zc_scenario_t zc_command = {
    .name = "command",
    .promise = "a command is not lost on an actor that goes idle, nor what is sent to it meanwhile",
    .setup = setup_house,
    .threads = { { "worker", work_until_stopped },
                 { "sender", tell_once },
                 { "stopper", stop_tenant } },
    .finish = finish_house,
    .preemptions = 2,
    .stale = 1,
};

/* ---- another actor ------------------------------------------------------------------------ */

static void replace_tenant(void)
{
    za_runtime_stop_actor(house->worker, house->former, za_Reason_REASON_STOPPED);
    work_until_ended(1);
    uint64_t next = move_in();
    atomic_store_explicit(&house->tenant, next, memory_order_relaxed);
    work_to_the_end(1);
}

const zc_scenario_t zc_reuse = {
    .name = "reuse",
    .promise = "what is meant for a former actor never reaches the next one of its cell",
    .setup = setup_house,
    .threads = { { "worker", replace_tenant },
                 { "sender-1", tell_once },
                 { "sender-2", tell_twice } },
    .finish = finish_house,
    .preemptions = 2,
    .stale = 1,
};

/* ---- two short lives ---------------------------------------------------------------------- */

static void setup_lodger(void)
{
    build_house();
    atomic_store_explicit(&house->tenant, move_in_as(&lodger_class), memory_order_relaxed);
}

/** The second one moves in as soon as the first has ended: into its cell, if that is at rest. */
static void lodge_two(void)
{
    uint32_t futile = 0;
    while (house->handled == 0) {
        step(&futile);
    }
    atomic_store_explicit(&house->tenant, move_in_as(&lodger_class), memory_order_relaxed);
    work_to_the_end(0);
}

static void finish_lodgers(void)
{
    finish_letters();
    za_counters_t counters;
    za_runtime_counters(house->runtime, &counters);
    ZC_MUST(counters.actors == 2 - house->handled, "one ends with each letter that is handled");
}

const zc_scenario_t zc_lodger = {
    .name = "lodger",
    .promise = "an actor that ends with its only message leaves to nobody what comes meanwhile",
    .setup = setup_lodger,
    .threads = { { "worker", lodge_two }, { "sender-1", tell_once }, { "sender-2", tell_twice } },
    .finish = finish_lodgers,
    .preemptions = 2,
    .stale = 1,
};
