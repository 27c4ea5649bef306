#include <pthread.h>
#include <signal.h>

#include <zactor/stack.h>

#include "core/park.h"
#include "on_threads.h"

static _Atomic uint32_t got;

static void start_with(const za_poller_t *poller, uint32_t workers, const za_threads_opts_t *opts)
{
    make_threads(poller, workers, opts);
    start_threads();
}

static void start(const za_poller_t *poller, uint32_t workers)
{
    start_with(poller, workers, &(za_threads_opts_t){ 0 });
}

typedef struct counter {
    uint64_t unused;
} counter_t;

static za_verdict_t counter_num(za_ctx_t *ctx, counter_t *self, const t_Num *m)
{
    (void)self;
    if (m->n > 0) {
        cr_assert(za_after(ctx, 1, ZA_MSG(t_Num, .n = m->n - 1), NULL) == ZA_OK, "timer");
    } else {
        atomic_fetch_add_explicit(&got, 1, memory_order_release);
    }
    return ZA_DONE;
}

ZA_ACTOR(counter, counter_t, (t_Num, counter_num));

static za_ref_t spawn_counter(za_worker_t *guest)
{
    const za_spawn_opts_t opts = { .size = sizeof opts };
    za_ref_t ref;
    cr_assert(za_runtime_spawn(guest, &counter_class, &opts, ZA_REF_NONE, &ref) == ZA_OK, "spawn");
    return ref;
}

static void tell_num(za_worker_t *guest, za_ref_t to, uint64_t n)
{
    za_outgoing_t out = { .to = to, .type = &t_Num_type, .body = &(const t_Num){ .n = n } };
    cr_assert(za_runtime_tell(guest, &out) == ZA_OK, "tell");
}

Test(threads, run_what_a_foreign_thread_sends)
{
    start(NULL, 2);
    za_worker_t *guest = za_runtime_guest(runtime);
    za_ref_t ref = spawn_counter(guest);
    for (int i = 0; i < 1000; i++) {
        tell_num(guest, ref, 0);
    }
    wait_for(&got, 1000);
    stop();
}

Test(threads, a_resting_worker_wakes_for_its_timers)
{
    start(NULL, 2);
    za_worker_t *guest = za_runtime_guest(runtime);
    tell_num(guest, spawn_counter(guest), 20); // a chain of 20 timers
    wait_for(&got, 1);
    stop();
}

static uint64_t parks(void)
{
    za_counters_t counters;
    za_runtime_counters(runtime, &counters);
    return counters.parks;
}

Test(threads, busy_waiting_workers_never_park)
{
    start_with(NULL, 2, &(za_threads_opts_t){ .busy_wait = true });
    za_worker_t *guest = za_runtime_guest(runtime);
    tell_num(guest, spawn_counter(guest), 5); // timers, with nothing to do in between
    wait_for(&got, 1);
    cr_expect(parks() == 0, "%u parks", (unsigned)parks());
    stop();
}

static uint32_t pinned_to;

static za_verdict_t check_core(za_ctx_t *ctx, counter_t *self, const t_Num *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    za_cores_t cores; // of this thread
    cr_expect(za_cores_allowed(&cores) == ZA_OK && cores.count == 1, "one core");
    cr_expect(cores.cores[0] == pinned_to, "core %u, not %u", cores.cores[0], pinned_to);
    atomic_fetch_add_explicit(&got, 1, memory_order_release);
    return ZA_DONE;
}

ZA_ACTOR(pinned, counter_t, (t_Num, check_core));

Test(threads, a_pinned_worker_stays_on_its_core)
{
    za_threads_opts_t opts = { 0 };
    cr_assert(za_cores_allowed(&opts.pin) == ZA_OK, "cores");
    pinned_to = opts.pin.cores[opts.pin.count - 1];
    opts.pin.cores[0] = (uint16_t)pinned_to;
    opts.pin.count = 1;
    start_with(NULL, 1, &opts);
    za_worker_t *guest = za_runtime_guest(runtime);
    const za_spawn_opts_t spawn = { .size = sizeof spawn };
    za_ref_t ref;
    za_err_t err = za_runtime_spawn(guest, &pinned_class, &spawn, ZA_REF_NONE, &ref);
    cr_assert(err == ZA_OK, "spawn");
    tell_num(guest, ref, 0);
    wait_for(&got, 1);
    stop();
}

Test(threads, a_core_that_is_not_allowed_stops_the_start)
{
    za_threads_opts_t opts = { .pin = { .count = 1 } };
    za_cores_t allowed;
    cr_assert(za_cores_allowed(&allowed) == ZA_OK, "cores");
    while (za_cores_have(&allowed, opts.pin.cores[0])) {
        opts.pin.cores[0]++;
    }
    za_runtime_config_t config = { .workers = 1,
                                   .actors_max = 10,
                                   .pool_bytes_max = 16u << 20,
                                   .mailbox_default = 10,
                                   .host = za_threads_host() };
    cr_assert(za_threads_create(NULL, &threads) == ZA_OK, "threads");
    config.host_context = threads;
    cr_assert(za_runtime_create(&config, &runtime) == ZA_OK, "runtime");
    za_threads_configure(threads, &opts);
    cr_expect(za_threads_start(threads, runtime) == ZA_EINVAL, "no such core");
    opts.pin.cores[0] = allowed.cores[0];
    config.workers = 2;
    za_runtime_destroy(runtime);
    cr_assert(za_runtime_create(&config, &runtime) == ZA_OK, "runtime");
    za_threads_configure(threads, &opts);
    cr_expect(za_threads_start(threads, runtime) == ZA_EINVAL, "one core for two workers");
    za_runtime_destroy(runtime);
    za_threads_destroy(threads);
}

/* ---- the watchdog ------------------------------------------------------------------------- */

static _Atomic uint32_t named, returned, frames, let_go;

static void note_line(void *context, int level, const char *class_name, za_ref_t actor,
                      const char *text)
{
    (void)context;
    (void)level;
    cr_expect(actor.actor != 0 && strcmp(class_name, "sleeper") == 0, "whose: %s", class_name);
    if (strncmp(text, "  at ", 5) == 0) {
        atomic_fetch_add_explicit(&frames, 1, memory_order_release);
    } else if (strncmp(text, "a handler of t.Go has run", 25) == 0) {
        atomic_fetch_add_explicit(&named, 1, memory_order_release);
    } else if (strncmp(text, "a slow handler of t.Go returned", 31) == 0) {
        atomic_fetch_add_explicit(&returned, 1, memory_order_release);
    }
}

static za_verdict_t sleep_go(za_ctx_t *ctx, counter_t *self, const t_Go *m)
{
    (void)ctx;
    (void)self;
    wait_for(&let_go, (uint32_t)m->n);
    return ZA_DONE;
}

ZA_ACTOR(sleeper, counter_t, (t_Go, sleep_go));

// Twice, with a rest in between: the watchdog rests with its workers, and comes back.
Test(threads, the_watchdog_names_a_slow_handler_and_where_it_is)
{
    struct sigaction action = { .sa_sigaction = za_stack_signal,
                                .sa_flags = SA_SIGINFO | SA_RESTART };
    cr_assert(sigaction(SIGURG, &action, NULL) == 0, "a signal");
    cr_assert(za_threads_create(NULL, &threads) == ZA_OK, "threads");
    const za_remote_t remote = { .log = note_line };
    const za_runtime_config_t config = { .workers = 1,
                                         .actors_max = 10,
                                         .pool_bytes_max = 16u << 20,
                                         .mailbox_default = 10,
                                         .remote = &remote,
                                         .host = za_threads_host(),
                                         .host_context = threads };
    cr_assert(za_runtime_create(&config, &runtime) == ZA_OK, "runtime");
    za_threads_configure(threads,
                         &(za_threads_opts_t){ .watchdog_ms = 20, .stack_signal = SIGURG });
    cr_assert(za_threads_start(threads, runtime) == ZA_OK, "start");
    za_worker_t *guest = za_runtime_guest(runtime);
    const za_spawn_opts_t opts = { .size = sizeof opts };
    za_ref_t ref;
    cr_assert(za_runtime_spawn(guest, &sleeper_class, &opts, ZA_REF_NONE, &ref) == ZA_OK, "spawn");
    for (uint32_t round = 1; round <= 2; round++) {
        uint32_t frames_before = atomic_load_explicit(&frames, memory_order_acquire);
        za_outgoing_t out = { .to = ref, .type = &t_Go_type, .body = &(const t_Go){ .n = round } };
        cr_assert(za_runtime_tell(guest, &out) == ZA_OK, "tell");
        wait_for(&named, round);
        wait_for(&frames, frames_before + 3); // the wait, the handler, its caller
        atomic_fetch_add_explicit(&let_go, 1, memory_order_release);
        wait_for(&returned, round);
    }
    za_counters_t counters;
    za_runtime_counters(runtime, &counters);
    cr_expect(counters.slow_handlers == 2, "%u", (unsigned)counters.slow_handlers);
    stop();
}

/* ---- the poller --------------------------------------------------------------------------- */

static za_park_t poll_park;
static _Atomic uint32_t polling, polls, overlaps, queued, seen;

static void poll_once(void *context, za_worker_t *worker, uint64_t timeout_ns)
{
    (void)context;
    (void)worker;
    if (atomic_exchange_explicit(&polling, 1, memory_order_acq_rel) != 0) {
        atomic_fetch_add_explicit(&overlaps, 1, memory_order_relaxed);
    }
    if (timeout_ns > 0) {
        za_park_wait(&poll_park, timeout_ns);
    }
    atomic_store_explicit(&seen, atomic_load_explicit(&queued, memory_order_acquire),
                          memory_order_release);
    atomic_fetch_add_explicit(&polls, 1, memory_order_release);
    atomic_store_explicit(&polling, 0, memory_order_release);
}

static void interrupt_poll(void *context)
{
    (void)context;
    za_park_wake(&poll_park);
}

static const za_poller_t poller = { .poll = poll_once, .interrupt = interrupt_poll };

Test(threads, a_kick_is_never_lost)
{
    start(&poller, 2);
    for (uint32_t i = 1; i <= 2000; i++) {
        atomic_store_explicit(&queued, i, memory_order_release);
        za_threads_kick_poller(threads);
        wait_for(&seen, i);
    }
    stop();
    cr_assert(atomic_load_explicit(&overlaps, memory_order_relaxed) == 0, "one poller at a time");
}

static za_verdict_t block_go(za_ctx_t *ctx, counter_t *self, const t_Go *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    atomic_fetch_add_explicit(&got, 1, memory_order_release);
    wait_for(&let_go, 1);
    return ZA_DONE;
}

ZA_ACTOR(blocker, counter_t, (t_Go, block_go));

static _Atomic uint32_t waits, looks;

/** The network's own timers: so many waits end with nothing for a worker. */
static void poll_for_nothing(void *context, za_worker_t *worker, uint64_t timeout_ns)
{
    (void)context;
    (void)worker;
    if (timeout_ns == 0) {
        atomic_fetch_add_explicit(&looks, 1, memory_order_release);
    } else if (atomic_fetch_add_explicit(&waits, 1, memory_order_release) >= 100) {
        za_park_wait(&poll_park, timeout_ns);
    }
}

static const za_poller_t idle_poller = { .poll = poll_for_nothing, .interrupt = interrupt_poll };

// Each look without a wait would be a turn for nothing, and an alarm for the keeper.
Test(threads, what_concerns_the_network_alone_wakes_nobody_else)
{
    start(&idle_poller, 1);
    wait_for(&waits, 101);
    uint32_t count = atomic_load_explicit(&looks, memory_order_acquire);
    cr_expect(count < 20, "%u looks besides 100 waits", count);
    stop();
}

static za_verdict_t wait_for_polls(za_ctx_t *ctx, counter_t *self, const t_Go *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    wait_for(&polls, atomic_load_explicit(&polls, memory_order_acquire) + 1);
    atomic_fetch_add_explicit(&got, 1, memory_order_release);
    return ZA_DONE;
}

ZA_ACTOR(poll_waiter, counter_t, (t_Go, wait_for_polls));

static za_worker_t *postman;
static za_ref_t addressee;
static _Atomic uint32_t letters;

/** Brings one message at a time, as if another thread had sent it during the poll. */
static void poll_and_hand_in(void *context, za_worker_t *worker, uint64_t timeout_ns)
{
    poll_once(context, worker, timeout_ns);
    uint32_t due = 1;
    if (atomic_compare_exchange_strong_explicit(&letters, &due, 0, memory_order_acquire,
                                                memory_order_relaxed)) {
        za_outgoing_t out = { .to = addressee,
                              .type = &t_Go_type,
                              .body = &(const t_Go){ .n = 0 } };
        cr_assert(za_runtime_tell(postman, &out) == ZA_OK, "tell");
    }
}

static const za_poller_t mail_poller = { .poll = poll_and_hand_in, .interrupt = interrupt_poll };

// It would wait for ever: nobody else may poll while the worker has the network in its hands.
Test(threads, what_is_handed_to_a_worker_waits_until_that_lets_go_of_the_network)
{
    start(&mail_poller, 1);
    za_worker_t *guest = za_runtime_guest(runtime);
    postman = za_runtime_guest(runtime);
    const za_spawn_opts_t opts = { .size = sizeof opts, .worker = 1 };
    za_err_t err = za_runtime_spawn(guest, &poll_waiter_class, &opts, ZA_REF_NONE, &addressee);
    cr_assert(err == ZA_OK, "spawn");
    for (uint32_t round = 1; round <= 50; round++) {
        atomic_store_explicit(&letters, 1, memory_order_release);
        za_threads_kick_poller(threads);
        wait_for(&got, round);
    }
    stop();
}

Test(threads, the_network_is_polled_while_all_workers_are_in_handlers)
{
    start(&poller, 1);
    za_worker_t *guest = za_runtime_guest(runtime);
    const za_spawn_opts_t opts = { .size = sizeof opts };
    za_ref_t ref;
    cr_assert(za_runtime_spawn(guest, &blocker_class, &opts, ZA_REF_NONE, &ref) == ZA_OK, "spawn");
    za_outgoing_t out = { .to = ref, .type = &t_Go_type, .body = &(const t_Go){ .n = 1 } };
    cr_assert(za_runtime_tell(guest, &out) == ZA_OK, "tell");
    wait_for(&got, 1); // the only worker is in the handler now
    uint32_t before = atomic_load_explicit(&polls, memory_order_acquire);
    wait_for(&polls, before + 3); // by the keeper
    atomic_store_explicit(&let_go, 1, memory_order_release);
    stop();
}
