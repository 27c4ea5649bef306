/**
 * Host 1. The two races that matter, and how they end:
 *
 * A worker rests while work comes. It notes `epoch` before its turn, says that it rests, and rests
 * only if `epoch` is still the same; a wake changes `epoch`, then looks who rests. Both sides are
 * sequentially consistent, so one sees the other.
 *
 * A worker waits in poll while somebody queues work for the poller. The same with `kicks` and
 * `waiting`.
 */
#include "core/threads.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/alarm.h"
#include "core/clock.h"
#include "core/dedicated_threads.h"
#include "core/fault.h"
#include "core/park.h"
#include "core/watchdog_thread.h"
#include "core/worker.h"

enum {
    POLL_EVERY = 61,         // turns of a busy worker between looks at the network
    SPIN_MIN = 32,           // looks before resting; doubles when it paid, halves when not
    SPIN_MAX = 2048,         // about 50 us: what a wake would cost
    SPIN_BUSY = 256,         // busy waiting: looks for work between looks at network and clock
    KEEPER_NS = 1000 * 1000, // the network waits at most so long for user code
    ANY_SEAT = ZA_WORKERS_MAX,
};

typedef struct seat {
    _Alignas(64) za_threads_t *threads;
    za_worker_t *worker;
    pthread_t thread;
    za_park_t park;
    uint32_t spin;
    uint32_t turns;
    bool polls; // it owns the poller: the network waits until it is done
} seat_t;

struct za_threads {
    za_poller_t poller; // poll is NULL without one
    za_threads_opts_t opts;
    za_runtime_t *runtime;
    uint32_t count; // started
    seat_t *seats;
    za_alarm_t alarm;
    pthread_t keeper;
    bool has_keeper;
    za_worker_t *keeper_worker;
    za_dedicated_threads_t dedicated;
    za_watchdog_thread_t watchdog;
    _Alignas(64) _Atomic uint32_t epoch; // wakes so far
    _Atomic uint64_t parked;             // bit i: worker i rests on its park
    _Atomic uint32_t stopping;
    _Alignas(64) _Atomic uint32_t owner; // 1: somebody may call poll
    _Atomic uint32_t waiting;            // 1 + seat of the owner that waits in poll, or is about to
    _Atomic uint32_t kicks;              // za_threads_kick_poller so far
    _Atomic uint32_t armed;              // 1: the keeper's alarm is set
    // Who the workers' threads are. Not in the seats: others may ask while the seats are freed.
    _Atomic(pthread_t) selves[ZA_WORKERS_MAX];
};

static_assert(ZA_WORKERS_MAX <= 64, "`parked` has a bit for each worker");

/* ---- waking ------------------------------------------------------------------------------- */

/** Wakes this one if it rests on its park. False: it does not. */
static bool wake_seat(za_threads_t *threads, uint32_t index)
{
    uint64_t bit = UINT64_C(1) << index;
    // seq_cst: after the epoch; whoever clears the bit wakes, and nobody else does
    if ((atomic_load_explicit(&threads->parked, memory_order_seq_cst) & bit) == 0 ||
        (atomic_fetch_and_explicit(&threads->parked, ~bit, memory_order_seq_cst) & bit) == 0) {
        return false;
    }
    za_park_wake(&threads->seats[index].park);
    return true;
}

/** Wakes one that rests on its park. False: none does. */
static bool wake_parked(za_threads_t *threads)
{
    // seq_cst: after the epoch; see the head of this file
    uint64_t parked = atomic_load_explicit(&threads->parked, memory_order_seq_cst);
    while (parked != 0) {
        unsigned index = (unsigned)__builtin_ctzll(parked);
        uint64_t without = parked & ~(UINT64_C(1) << index);
        // seq_cst: whoever clears the bit wakes, and nobody else does
        if (atomic_compare_exchange_weak_explicit(&threads->parked, &parked, without,
                                                  memory_order_seq_cst, memory_order_seq_cst)) {
            za_park_wake(&threads->seats[index].park);
            return true;
        }
    }
    return false;
}

/** `seat`: only if that one waits; ANY_SEAT: whoever does. */
static void interrupt_poll(za_threads_t *threads, uint32_t seat)
{
    // seq_cst: after epoch or kicks. The exchange leaves one interrupt for each wait.
    uint32_t waiting = atomic_load_explicit(&threads->waiting, memory_order_seq_cst);
    if (waiting != 0 && (seat == ANY_SEAT || waiting == seat + 1) &&
        atomic_exchange_explicit(&threads->waiting, 0, memory_order_seq_cst) != 0) {
        threads->poller.interrupt(threads->poller.context);
    }
}

static void host_wake(void *context, za_worker_t *worker)
{
    za_threads_t *threads = context;
    atomic_fetch_add_explicit(&threads->epoch, 1,
                              memory_order_seq_cst); // see the head of this file
    if (worker == NULL) {                            // whoever comes takes what is there
        if (!wake_parked(threads)) {
            interrupt_poll(threads, ANY_SEAT);
        }
        return;
    }
    uint32_t seat = za_worker_index(worker);
    if (za_dedicated_is(worker->runtime, seat + 1)) {
        za_dedicated_threads_wake(&threads->dedicated, worker);
        return;
    }
    if (!wake_seat(threads, seat)) {
        interrupt_poll(threads, seat);
    }
}

static za_err_t host_dedicate(void *context, za_worker_t *worker, size_t stack_bytes)
{
    za_threads_t *threads = context;
    return za_dedicated_threads_start(&threads->dedicated, worker, stack_bytes);
}

static uint64_t host_recent_ns(void *context)
{
    (void)context;
    return za_clock_recent_ns();
}

const za_host_t *za_threads_host(void)
{
    static const za_host_t host = { .wake = host_wake,
                                    .dedicate = host_dedicate,
                                    .clock_ns = za_clock_ns,
                                    .recent_ns = host_recent_ns };
    return &host;
}

void za_threads_kick_poller(za_threads_t *threads)
{
    atomic_fetch_add_explicit(&threads->kicks, 1,
                              memory_order_seq_cst); // see the head of this file
    interrupt_poll(threads, ANY_SEAT);
}

/* ---- polling ------------------------------------------------------------------------------ */

static bool take_poller(za_threads_t *threads)
{
    // relaxed: a look that saves the exchange
    return threads->poller.poll != NULL &&
           atomic_load_explicit(&threads->owner, memory_order_relaxed) == 0 &&
           atomic_exchange_explicit(&threads->owner, 1, memory_order_acquire) == 0; // pairs: poller
}

bool za_threads_is_worker(const za_threads_t *threads)
{
    pthread_t self = pthread_self();
    for (uint32_t i = 0; i < ZA_WORKERS_MAX; i++) {
        // relaxed: a thread finds what it stored itself, or something else
        pthread_t worker = atomic_load_explicit(&threads->selves[i], memory_order_relaxed);
        if (worker != 0 && pthread_equal(worker, self)) {
            return true;
        }
    }
    return false;
}

static void release_poller(za_threads_t *threads)
{
    atomic_store_explicit(&threads->owner, 0, memory_order_release); // pairs: poller
}

/** Polls without waiting, if nobody else does. */
static void try_poll(za_threads_t *threads, za_worker_t *worker)
{
    if (take_poller(threads)) {
        threads->poller.poll(threads->poller.context, worker, 0);
        release_poller(threads);
    }
}

static bool is_stopping(const za_threads_t *threads)
{
    return atomic_load_explicit(&threads->stopping, memory_order_seq_cst) != 0; // after `epoch`
}

/** From now on nobody waits for the network: the keeper looks in a while, unless one does by then. */
static void arm_keeper(za_threads_t *threads)
{
    // relaxed: a look that saves the exchange; only one sets the alarm
    if (threads->has_keeper && atomic_load_explicit(&threads->armed, memory_order_relaxed) == 0 &&
        atomic_exchange_explicit(&threads->armed, 1, memory_order_acq_rel) == 0) { // pairs: keeper
        za_alarm_set(&threads->alarm, KEEPER_NS);
    }
}

/** True if a turn would find something, or the host stops. */
static bool came(const seat_t *seat, uint32_t epoch)
{
    // seq_cst: see the head of this file
    return atomic_load_explicit(&seat->threads->epoch, memory_order_seq_cst) != epoch ||
           za_has_runs(seat->worker) || za_worker_has_mail(seat->worker) ||
           za_worker_has_sent(seat->worker) || za_threads_time_left(seat->worker) == 0;
}

/**
 * Waits for the network as its owner, until a worker has something to do. `epoch` and `kicks` are from
 * before the last look. What concerns the network alone, above all its timers, is done here: a turn
 * for it, and the keeper's alarm before that turn, would be three wakes instead of one.
 */
static void wait_in_poll(seat_t *seat, uint32_t epoch, uint32_t kicks)
{
    za_threads_t *threads = seat->threads;
    za_worker_rest(seat->worker, za_clock_ns());
    do {
        // seq_cst, all here: see the head of this file
        atomic_store_explicit(&threads->waiting, za_worker_index(seat->worker) + 1,
                              memory_order_seq_cst);
        uint64_t timeout_ns = za_threads_time_left(seat->worker);
        uint32_t kicked = atomic_load_explicit(&threads->kicks, memory_order_seq_cst);
        if (atomic_load_explicit(&threads->epoch, memory_order_seq_cst) != epoch ||
            kicked != kicks) {
            timeout_ns = 0;
        }
        kicks = kicked;
        threads->poller.poll(threads->poller.context, seat->worker, timeout_ns);
        atomic_store_explicit(&threads->waiting, 0, memory_order_seq_cst);
    } while (!came(seat, epoch));
    release_poller(threads);
    arm_keeper(threads);
}

/* ---- a worker ----------------------------------------------------------------------------- */

static bool epoch_changed(const za_threads_t *threads, uint32_t epoch)
{
    // relaxed: a look while spinning; the turn that follows synchronises by what it finds
    return atomic_load_explicit(&threads->epoch, memory_order_relaxed) != epoch;
}

/** Runs what is handed in, and looks around so often afterwards. True: there is work for a turn. */
static bool look(seat_t *seat, uint32_t epoch, uint32_t times)
{
    uint32_t letters = 0;
    for (uint32_t i = 0; i < times; i++) {
        if (za_worker_has_mail(seat->worker)) {
            if (seat->polls || za_worker_run_mail(seat->worker)) {
                return true;
            }
            if (++letters == ZA_TURN_RUNS_MAX) {
                return true; // a turn looks at timers, too
            }
            i = 0;
        }
        if (epoch_changed(seat->threads, epoch)) {
            return true;
        }
        za_park_relax();
    }
    return false;
}

/** Looks around for a while. True: something came. Spins longer where it pays. */
static bool spin(seat_t *seat, uint32_t epoch)
{
    za_worker_attend(seat->worker);
    bool came = look(seat, epoch, seat->spin) || !za_worker_await(seat->worker);
    uint32_t next = came ? seat->spin * 2 : seat->spin / 2;
    seat->spin = next > SPIN_MAX ? SPIN_MAX : next < SPIN_MIN ? SPIN_MIN : next;
    return came;
}

/** Never rests: until something came, or a timer is due. */
static void wait_busily(seat_t *seat, uint32_t epoch)
{
    za_threads_t *threads = seat->threads;
    za_worker_attend(seat->worker);
    while (!look(seat, epoch, SPIN_BUSY) && !is_stopping(threads)) {
        za_worker_touch(seat->worker, za_clock_ns());
        try_poll(threads, seat->worker);
        if (za_has_runs(seat->worker) || za_threads_time_left(seat->worker) == 0) {
            return;
        }
    }
}

static void rest_parked(seat_t *seat, uint32_t epoch)
{
    za_threads_t *threads = seat->threads;
    uint64_t bit = UINT64_C(1) << za_worker_index(seat->worker);
    // seq_cst, all here: see the head of this file
    atomic_fetch_or_explicit(&threads->parked, bit, memory_order_seq_cst);
    if (atomic_load_explicit(&threads->epoch, memory_order_seq_cst) == epoch) {
        ZA_TALLY(seat->worker, parks);
        za_worker_rest(seat->worker, za_clock_ns());
        za_park_wait(&seat->park, za_threads_time_left(seat->worker));
    }
    atomic_fetch_and_explicit(&threads->parked, ~bit, memory_order_seq_cst);
}

/** Rests until a wake, the network or a timer. */
static void rest(seat_t *seat, uint32_t epoch)
{
    za_threads_t *threads = seat->threads;
    // seq_cst: before the look at the network; a kick after it is seen by wait_in_poll
    uint32_t kicks = atomic_load_explicit(&threads->kicks, memory_order_seq_cst);
    if (take_poller(threads)) {
        uint32_t before = atomic_load_explicit(&threads->epoch, memory_order_seq_cst);
        threads->poller.poll(threads->poller.context, seat->worker, 0);
        // What came in is ours to run: a run queue that is not empty ends the rest.
        seat->polls = true; // no user code: a handler might take long
        bool found = before != epoch || za_has_runs(seat->worker) || spin(seat, epoch);
        seat->polls = false;
        if (found) {
            release_poller(threads);
        } else {
            wait_in_poll(seat, epoch, kicks);
        }
        return;
    }
    if (!spin(seat, epoch)) {
        rest_parked(seat, epoch);
    }
}

static void *run_worker(void *argument)
{
    seat_t *seat = argument;
    za_threads_t *threads = seat->threads;
    za_fault_stack_t fault_stack;
    za_fault_stack_begin(&fault_stack);
    _Atomic(pthread_t) *self = &threads->selves[za_worker_index(seat->worker)];
    atomic_store_explicit(self, pthread_self(), memory_order_relaxed); // relaxed: for this thread
    if (threads->opts.pin.count > 0) {
        za_worker_place(seat->worker, threads->opts.pin.cores[za_worker_index(seat->worker)]);
    }
    while (!is_stopping(threads)) {
        // seq_cst: before the turn; see the head of this file
        uint32_t epoch = atomic_load_explicit(&threads->epoch, memory_order_seq_cst);
        za_turn_t turn = za_worker_turn(seat->worker, za_clock_ns());
        if (turn == ZA_TURN_MORE) {
            if (++seat->turns % POLL_EVERY == 0) {
                try_poll(threads, seat->worker);
            }
            continue;
        }
        if (threads->opts.busy_wait) {
            wait_busily(seat, epoch);
        } else if (!is_stopping(threads)) {
            rest(seat, epoch);
            za_watchdog_thread_notice(&threads->watchdog);
        }
    }
    atomic_store_explicit(self, 0, memory_order_relaxed); // relaxed: as above
    za_fault_stack_end(&fault_stack);
    return NULL;
}

/* ---- the keeper --------------------------------------------------------------------------- */

/** Polls once a millisecond while nobody waits for the network. */
static void *run_keeper(void *argument)
{
    za_threads_t *threads = argument;
    for (;;) {
        za_alarm_wait(&threads->alarm);
        if (is_stopping(threads)) {
            return NULL;
        }
        atomic_store_explicit(&threads->armed, 0, memory_order_release); // pairs: keeper
        // seq_cst: after `armed`; whoever leaves the poll after this look arms us again
        if (atomic_load_explicit(&threads->waiting, memory_order_seq_cst) == 0) {
            try_poll(threads, threads->keeper_worker);
            // One that rests elsewhere is free to wait for the network instead of us.
            host_wake(threads, NULL);
            arm_keeper(threads);
        }
    }
}

static za_err_t start_keeper(za_threads_t *threads)
{
    if (threads->poller.poll == NULL) {
        return ZA_OK;
    }
    threads->keeper_worker = za_runtime_guest(threads->runtime);
    if (threads->keeper_worker == NULL) {
        return ZA_ENOBUFS;
    }
    za_err_t err = za_alarm_init(&threads->alarm);
    if (err != ZA_OK) {
        return err;
    }
    threads->has_keeper = true;
    if (pthread_create(&threads->keeper, NULL, run_keeper, threads) != 0) {
        threads->has_keeper = false;
        za_alarm_deinit(&threads->alarm);
        return ZA_ENOMEM;
    }
    arm_keeper(threads);
    return ZA_OK;
}

/* ---- the watchdog ------------------------------------------------------------------------- */

static pthread_t thread_of(void *context, uint32_t worker)
{
    const za_threads_t *threads = context;
    return threads->seats[worker].thread;
}

/** True if each is parked, or waits for the network. */
static bool all_rest(void *context)
{
    za_threads_t *threads = context;
    // seq_cst, both: see za_watchdog_thread_notice
    uint64_t rest = atomic_load_explicit(&threads->parked, memory_order_seq_cst);
    uint32_t waiting = atomic_load_explicit(&threads->waiting, memory_order_seq_cst);
    rest |= waiting == 0 ? 0 : UINT64_C(1) << (waiting - 1);
    return rest == UINT64_MAX >> (64 - threads->count);
}

static za_err_t start_watchdog(za_threads_t *threads)
{
    if (threads->opts.watchdog_ms == 0) {
        return ZA_OK;
    }
    za_watchdog_thread_t *watchdog = &threads->watchdog;
    watchdog->watchdog.limit_ns = threads->opts.watchdog_ms * UINT64_C(1000000);
    watchdog->runtime = threads->runtime;
    watchdog->stack_signal = threads->opts.stack_signal;
    watchdog->thread_of = thread_of;
    watchdog->all_rest = all_rest;
    watchdog->context = threads;
    return za_watchdog_thread_start(watchdog);
}

/* ---- life --------------------------------------------------------------------------------- */

za_err_t za_threads_create(const za_poller_t *poller, za_threads_t **out)
{
    if (out == NULL || (poller != NULL && (poller->poll == NULL || poller->interrupt == NULL))) {
        return ZA_EINVAL;
    }
    za_threads_t *threads = aligned_alloc(64, sizeof *threads);
    if (threads == NULL) {
        return ZA_ENOMEM;
    }
    *threads = (za_threads_t){ .alarm = { .fd = -1 } };
    za_dedicated_threads_init(&threads->dedicated);
    if (poller != NULL) {
        threads->poller = *poller;
    }
    *out = threads;
    return ZA_OK;
}

void za_threads_configure(za_threads_t *threads, const za_threads_opts_t *opts)
{
    ZA_ASSERT(threads->seats == NULL);
    threads->opts = *opts;
}

static za_err_t start_worker(za_threads_t *threads, uint32_t index)
{
    seat_t *seat = &threads->seats[index];
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return ZA_ENOMEM;
    }
    bool pinned = threads->opts.pin.count > 0;
    za_err_t err = pinned ? za_pin_attributes(&attributes, threads->opts.pin.cores[index]) : ZA_OK;
    if (err == ZA_OK) {
        int result = pthread_create(&seat->thread, &attributes, run_worker, seat);
        err = result == 0 ? ZA_OK : result == EINVAL ? ZA_EINVAL : ZA_ENOMEM;
    }
    pthread_attr_destroy(&attributes);
    return err;
}

za_err_t za_threads_start(za_threads_t *threads, za_runtime_t *runtime)
{
    if (threads == NULL || runtime == NULL || threads->seats != NULL) {
        return ZA_EINVAL;
    }
    uint32_t workers = runtime->config.workers;
    if (threads->opts.pin.count > 0 && threads->opts.pin.count < workers) {
        return ZA_EINVAL;
    }
    threads->runtime = runtime;
    threads->seats = aligned_alloc(64, workers * sizeof *threads->seats);
    if (threads->seats == NULL) {
        return ZA_ENOMEM;
    }
    for (uint32_t i = 0; i < workers; i++) {
        threads->seats[i] = (seat_t){ .threads = threads,
                                      .worker = za_runtime_worker(runtime, i),
                                      .spin = SPIN_MIN };
    }
    za_err_t err = start_keeper(threads);
    for (uint32_t i = 0; err == ZA_OK && i < workers; i++) {
        err = start_worker(threads, i);
        threads->count += err == ZA_OK;
    }
    if (err == ZA_OK) {
        err = za_dedicated_threads_run(&threads->dedicated);
    }
    if (err == ZA_OK) {
        err = start_watchdog(threads);
    }
    if (err != ZA_OK) {
        za_threads_stop(threads);
    }
    return err;
}

void za_threads_stop(za_threads_t *threads)
{
    // seq_cst: before the wakes; see the head of this file
    atomic_store_explicit(&threads->stopping, 1, memory_order_seq_cst);
    atomic_fetch_add_explicit(&threads->epoch, 1, memory_order_seq_cst);
    while (threads->count > 0 && wake_parked(threads)) {
    }
    interrupt_poll(threads, ANY_SEAT);
    za_watchdog_thread_stop(&threads->watchdog); // it asks threads that are there
    za_dedicated_threads_stop(&threads->dedicated);
    for (uint32_t i = 0; i < threads->count; i++) {
        pthread_join(threads->seats[i].thread, NULL);
    }
    if (threads->has_keeper) {
        za_alarm_set(&threads->alarm, 1);
        pthread_join(threads->keeper, NULL);
        za_alarm_deinit(&threads->alarm);
        threads->has_keeper = false;
    }
    threads->count = 0;
    free(threads->seats);
    threads->seats = NULL;
}

void za_threads_destroy(za_threads_t *threads)
{
    if (threads != NULL) {
        za_dedicated_threads_deinit(&threads->dedicated);
    }
    free(threads);
}
