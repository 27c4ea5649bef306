/** core/threads.c, park_linux.c and the turns of runtime.c: workers that rest, and who wakes them. */
#include "check.h"

#include <string.h>

#include "core/threads.c" // seats and their threads are its own
#include "scenarios.h"

typedef struct n_Num {
    uint64_t n;
} n_Num;

static const za_type_t n_Num_type = { .name = "n.Num", .id = 301, .size = sizeof(n_Num) };

typedef struct office {
    za_runtime_t *runtime;
    za_threads_t *threads;
    za_worker_t *guests[2];
    za_ref_t actors[2];
    _Atomic uint32_t handled;
    _Atomic uint32_t gone; // guests that use the runtime no more
    // The network, as far as these need one.
    _Atomic uint32_t queued;
    _Atomic uint32_t sent;
    _Atomic uint32_t interrupted;
} office_t;

static office_t *office;

typedef struct clerk {
    uint64_t unused;
} clerk_t;

static za_verdict_t on_num(za_ctx_t *ctx, clerk_t *self, const n_Num *m)
{
    (void)ctx, (void)self, (void)m;
    atomic_fetch_add_explicit(&office->handled, 1, memory_order_acq_rel);
    return ZA_DONE;
}

ZA_ACTOR(clerk, clerk_t, (n_Num, on_num));

/* ---- setup -------------------------------------------------------------------------------- */

/** As za_threads_start, but that the scenario's threads are the workers'. */
static void seat_workers(uint32_t workers)
{
    za_threads_t *threads = office->threads;
    threads->runtime = office->runtime;
    threads->seats = zc_alloc(workers * sizeof *threads->seats);
    for (uint32_t i = 0; i < workers; i++) {
        threads->seats[i] = (seat_t){ .threads = threads,
                                      .worker = za_runtime_worker(office->runtime, i),
                                      .thread = i,
                                      .spin = 1 };
    }
    threads->count = workers;
}

/** Turns until nobody has anything to do. */
static void come_to_rest(uint32_t workers)
{
    uint32_t idle = 0;
    while (idle < 2 * workers) {
        for (uint32_t i = 0; i < workers; i++) {
            za_worker_t *worker = za_runtime_worker(office->runtime, i);
            za_turn_t turn = za_worker_turn(worker, za_clock_ns());
            idle = turn == ZA_TURN_IDLE ? idle + 1 : 0;
        }
    }
}

static za_ref_t spawn(za_spawn_opts_t opts)
{
    za_ref_t ref;
    opts.size = sizeof opts;
    za_err_t err = za_runtime_spawn(office->guests[0], &clerk_class, &opts, ZA_REF_NONE, &ref);
    ZC_MUST(err == ZA_OK, "spawn: %s", za_err_name(err));
    return ref;
}

static void setup_office(uint32_t workers, const za_poller_t *poller)
{
    office = zc_alloc(sizeof *office);
    ZC_MUST(za_threads_create(poller, &office->threads) == ZA_OK, "threads");
    const za_runtime_config_t config = { .workers = workers,
                                         .actors_max = 8,
                                         .pool_bytes_max = 1 << 20,
                                         .mailbox_default = 8,
                                         .seed = 1,
                                         .host = za_threads_host(),
                                         .host_context = office->threads };
    ZC_MUST(za_runtime_create(&config, &office->runtime) == ZA_OK, "runtime");
    for (int i = 0; i < 2; i++) {
        office->guests[i] = za_runtime_guest(office->runtime);
    }
    seat_workers(workers);
    office->actors[0] = spawn((za_spawn_opts_t){ 0 });
    office->actors[1] = spawn((za_spawn_opts_t){ 0 });
    come_to_rest(workers);
}

/* ---- threads ------------------------------------------------------------------------------ */

static void worker_0(void)
{
    run_worker(&office->threads->seats[0]);
}

static void worker_1(void)
{
    run_worker(&office->threads->seats[1]);
}

static void tell(uint32_t guest, za_ref_t to)
{
    n_Num num = { 1 };
    const za_outgoing_t out = { .to = to, .type = &n_Num_type, .body = &num };
    za_err_t err = za_runtime_tell(office->guests[guest], &out);
    ZC_MUST(err == ZA_OK, "tell: %s", za_err_name(err));
}

static void wait_for(_Atomic uint32_t *count, uint32_t wanted)
{
    while (atomic_load_explicit(count, memory_order_acquire) < wanted) {
        zc_await();
    }
}

static void finish_office(void)
{
    ZC_MUST(atomic_load_explicit(&office->runtime->injected, memory_order_relaxed) == NULL,
            "an actor was left to nobody");
}

/* ---- one worker --------------------------------------------------------------------------- */

static void setup_one(void)
{
    setup_office(1, NULL);
}

/** The next message comes while the worker is on its way to rest. */
static void tell_and_tell(void)
{
    tell(0, office->actors[0]);
    wait_for(&office->handled, 1);
    tell(0, office->actors[1]);
    wait_for(&office->handled, 2);
    za_threads_stop(office->threads);
}

const zc_scenario_t zc_park = {
    .name = "park",
    .promise = "a worker that rests is woken for what comes, and for the end",
    .setup = setup_one,
    .threads = { { "worker", worker_0 }, { "guest", tell_and_tell } },
    .finish = finish_office,
    .preemptions = 2,
    .stale = 1,
};

/* ---- two guests --------------------------------------------------------------------------- */

static void tell_once(void)
{
    tell(1, office->actors[1]);
    atomic_fetch_add_explicit(&office->gone, 1, memory_order_release);
}

static void tell_and_stop(void)
{
    tell(0, office->actors[0]);
    wait_for(&office->handled, 2);
    wait_for(&office->gone, 1);
    za_threads_stop(office->threads);
}

const zc_scenario_t zc_park_guests = {
    .name = "park-guests",
    .promise = "two who wake one worker at once both get what they want",
    .setup = setup_one,
    .threads = { { "worker", worker_0 }, { "guest-1", tell_and_stop }, { "guest-2", tell_once } },
    .finish = finish_office,
    .preemptions = 1,
    .stale = 1,
};

/* ---- two workers -------------------------------------------------------------------------- */

static void setup_workers(void)
{
    setup_office(2, NULL);
}

static void tell_both(void)
{
    tell(0, office->actors[0]);
    tell(0, office->actors[1]);
    wait_for(&office->handled, 2);
    za_threads_stop(office->threads);
}

const zc_scenario_t zc_park_workers = {
    .name = "park-workers",
    .promise = "of two workers at rest enough are woken for all that comes",
    .setup = setup_workers,
    .threads = { { "worker-1", worker_0 }, { "worker-2", worker_1 }, { "guest", tell_both } },
    .finish = finish_office,
    .preemptions = 1,
    .stale = 1,
};

/* ---- a placed actor ----------------------------------------------------------------------- */

static void setup_placed(void)
{
    setup_office(2, NULL);
    office->actors[0] = spawn((za_spawn_opts_t){ .worker = 1 });
    come_to_rest(2);
}

/** Nobody else wakes anybody: the home is woken for it, or never. */
static void tell_placed(void)
{
    tell(0, office->actors[0]);
    wait_for(&office->handled, 1);
    tell(0, office->actors[0]);
    wait_for(&office->handled, 2);
    za_threads_stop(office->threads);
}

const zc_scenario_t zc_park_placed = {
    .name = "park-placed",
    .promise = "a worker that rests is woken for an actor that only it may run",
    .setup = setup_placed,
    .threads = { { "home", worker_0 }, { "other", worker_1 }, { "guest", tell_placed } },
    .finish = finish_office,
    .preemptions = 1,
    .stale = 1,
};

/* ---- the poller --------------------------------------------------------------------------- */

/** What is queued for the network is sent; waits for an interrupt if nothing is. */
static void poll_network(void *context, za_worker_t *worker, uint64_t timeout_ns)
{
    (void)context, (void)worker;
    if (timeout_ns > 0) {
        while (atomic_exchange_explicit(&office->interrupted, 0, memory_order_acquire) == 0) {
            zc_await();
        }
    }
    if (atomic_exchange_explicit(&office->queued, 0, memory_order_acquire) != 0) {
        atomic_store_explicit(&office->sent, 1, memory_order_release);
    }
}

static void interrupt_network(void *context)
{
    (void)context;
    atomic_store_explicit(&office->interrupted, 1, memory_order_release);
}

static void setup_poller(void)
{
    const za_poller_t poller = { .poll = poll_network, .interrupt = interrupt_network };
    setup_office(1, &poller);
}

static void queue_for_network(void)
{
    atomic_store_explicit(&office->queued, 1, memory_order_release);
    za_threads_kick_poller(office->threads);
    wait_for(&office->sent, 1);
    tell(0, office->actors[0]);
    wait_for(&office->handled, 1);
    za_threads_stop(office->threads);
}

const zc_scenario_t zc_poller = {
    .name = "poller",
    .promise = "who waits in poll is interrupted for what is queued, told, or ended",
    .setup = setup_poller,
    .threads = { { "worker", worker_0 }, { "guest", queue_for_network } },
    .finish = finish_office,
    .preemptions = 2,
    .stale = 1,
};
