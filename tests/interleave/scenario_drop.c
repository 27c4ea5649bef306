/** core/mailbox_drop.h: senders and the owner take the head of one mailbox. */
#include "check.h"

#include "core/mailbox_drop.h"
#include "scenarios.h"

typedef struct d_Num {
    uint64_t n;
    uint64_t from;
} d_Num;

static const za_type_t d_Num_type = { .name = "d.Num", .id = 303, .size = sizeof(d_Num) };

enum { GUESTS = 2, BOUND = 1, FUTILE_MAX = 3 };

typedef struct full {
    za_runtime_t *runtime;
    za_worker_t *worker;
    za_worker_t *guests[GUESTS];
    za_cell_t *cell;
    uint64_t actor;
    _Atomic uint32_t gone; // guests that do nothing more
    // Plain: each guest's, and the worker's.
    uint32_t told[GUESTS];
    uint32_t handled;
    uint64_t last[GUESTS];
} full_t;

static full_t *full;

typedef struct keeper {
    uint64_t unused;
} keeper_t;

static za_verdict_t on_num(za_ctx_t *ctx, keeper_t *self, const d_Num *m)
{
    (void)ctx, (void)self;
    ZC_MUST(m->n > full->last[m->from], "out of order, or twice");
    full->last[m->from] = m->n;
    full->handled++;
    return ZA_DONE;
}

ZA_ACTOR(keeper, keeper_t, (d_Num, on_num));

static void wake_nobody(void *context, za_worker_t *worker)
{
    (void)context, (void)worker; // the worker looks whenever something was written
}

static bool run_one(void)
{
    za_cell_t *cell = za_pick(full->worker);
    if (cell != NULL) {
        za_cell_run(full->worker, cell);
    }
    return cell != NULL;
}

static void tell(uint32_t guest)
{
    d_Num num = { .n = ++full->told[guest], .from = guest };
    const za_outgoing_t out = { .to = { 0, full->actor }, .type = &d_Num_type, .body = &num };
    za_err_t err = za_runtime_tell(full->guests[guest], &out);
    ZC_MUST(err == ZA_OK, "a sender is refused: %s", za_err_name(err));
}

/** An actor whose mailbox is full: each send finds it so. */
static void setup_full(void)
{
    static const za_host_t host = { .wake = wake_nobody };
    full = zc_alloc(sizeof *full);
    const za_runtime_config_t config = { .workers = 1,
                                         .actors_max = 4,
                                         .pool_bytes_max = 1 << 20,
                                         .mailbox_default = 2,
                                         .seed = 1,
                                         .host = &host };
    ZC_MUST(za_runtime_create(&config, &full->runtime) == ZA_OK, "runtime");
    full->worker = za_runtime_worker(full->runtime, 0);
    for (int i = 0; i < GUESTS; i++) {
        full->guests[i] = za_runtime_guest(full->runtime);
    }
    za_ref_t ref;
    const za_spawn_opts_t opts = { .size = sizeof opts,
                                   .mailbox = BOUND,
                                   .overflow = ZA_DROP_OLDEST };
    ZC_MUST(za_runtime_spawn(full->worker, &keeper_class, &opts, ZA_REF_NONE, &ref) == ZA_OK,
            "spawn");
    full->actor = ref.actor;
    full->cell = za_cell_find(full->runtime, ref.actor);
    while (run_one()) {
    }
    tell(0);
}

static uint64_t dropped(void)
{
    za_counters_t counters;
    za_runtime_counters(full->runtime, &counters);
    return counters.dead_by_reason[za_Reason_REASON_MAILBOX_FULL];
}

static uint32_t told(void)
{
    return full->told[0] + full->told[1];
}

static void leave(void)
{
    atomic_fetch_add_explicit(&full->gone, 1, memory_order_release);
}

static void tell_twice(void)
{
    tell(0);
    tell(0);
    leave();
}

static void tell_once(void)
{
    tell(1);
    leave();
}

/* ---- senders alone ------------------------------------------------------------------------ */

static void finish_bound(void)
{
    uint32_t waiting = za_mailbox_count(&full->cell->mailbox, BOUND);
    ZC_MUST(waiting <= BOUND + GUESTS, "%u wait", waiting);
    // What was out of reach, as its push was not seen yet, goes with the next send.
    tell(0);
    ZC_MUST(za_mailbox_count(&full->cell->mailbox, BOUND) == BOUND, "%u wait",
            za_mailbox_count(&full->cell->mailbox, BOUND));
    ZC_MUST(dropped() == told() - BOUND, "%u of %u are dropped", (unsigned)dropped(), told());
}

const zc_scenario_t zc_drop_bound = {
    .name = "drop-bound",
    .promise =
        "senders to a full mailbox keep its bound: at the latest the next one, if a push is not seen yet",
    .setup = setup_full,
    .threads = { { "first", tell_twice }, { "second", tell_once } },
    .finish = finish_bound,
    .preemptions = 3,
    .stale = 1,
};

/* ---- and the owner ------------------------------------------------------------------------ */

/**
 * Runs the actor until the senders have gone and nothing is left. One whose sender is about to link
 * its message is scheduled again and again: after some runs in vain the owner waits for the sender.
 */
static void run_all(void)
{
    uint32_t futile = 0;
    for (;;) {
        bool last = atomic_load_explicit(&full->gone, memory_order_acquire) == GUESTS;
        uint32_t before = full->handled;
        bool ran = run_one();
        futile = full->handled != before ? 0 : futile + 1;
        if (!ran && last) {
            return;
        }
        if (!ran || futile >= FUTILE_MAX) {
            zc_await();
            futile = 0;
        }
    }
}

static void finish_all(void)
{
    ZC_MUST(full->handled + dropped() == told(), "%u are handled, %u dropped, of %u", full->handled,
            (unsigned)dropped(), told());
    ZC_MUST(full->handled > 0, "all are dropped");
    ZC_MUST(za_mailbox_count(&full->cell->mailbox, BOUND) == 0, "a place is lost");
    ZC_MUST(za_mailbox_claim(&full->cell->mailbox), "the mailbox is not idle");
}

const zc_scenario_t zc_drop = {
    .name = "drop",
    .promise = "each message is handled or dropped once, in order, whoever takes the head",
    .setup = setup_full,
    .threads = { { "first", tell_once }, { "second", tell_twice }, { "owner", run_all } },
    .finish = finish_all,
    .preemptions = 1,
    .stale = 0,
};
