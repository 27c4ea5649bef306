#include "core/dedicated_threads.h"

#include <unistd.h>

#include "core/clock.h"
#include "core/worker.h"

static za_dedicated_seat_t *seat_of(za_dedicated_threads_t *threads, const za_worker_t *worker)
{
    return &threads->seats[worker->index - za_dedicated_index(worker->runtime, 0)];
}

uint64_t za_threads_time_left(const za_worker_t *worker)
{
    uint64_t deadline_ns = za_worker_deadline_ns(worker);
    if (deadline_ns == UINT64_MAX) {
        return UINT64_MAX;
    }
    uint64_t now_ns = za_clock_ns();
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

static void *run_seat(void *argument)
{
    za_dedicated_seat_t *seat = argument;
    // relaxed: the wake that follows a stop orders it
    while (atomic_load_explicit(&seat->threads->stopping, memory_order_relaxed) == 0) {
        za_turn_t turn = za_dedicated_turn(seat->worker, za_clock_ns());
        if (turn == ZA_TURN_OVER) {
            break; // the seat may be another actor's by now
        }
        if (turn == ZA_TURN_IDLE) {
            za_park_wait(&seat->park, za_threads_time_left(seat->worker));
        }
    }
    return NULL;
}

/** What the actor asked for, or what the system needs at least: 128 KiB on 64-bit ARM. */
static size_t stack_bytes_of(const za_dedicated_seat_t *seat)
{
    size_t bytes = seat->stack_bytes != 0 ? seat->stack_bytes : ZA_STACK_BYTES_DEFAULT;
    long least = sysconf(_SC_THREAD_STACK_MIN);
    return least > 0 && bytes < (size_t)least ? (size_t)least : bytes;
}

/** Under the lock. */
static za_err_t start_thread(za_dedicated_seat_t *seat)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return ZA_ENOMEM;
    }
    seat->joins = pthread_attr_setstacksize(&attributes, stack_bytes_of(seat)) == 0 &&
                  pthread_create(&seat->thread, &attributes, run_seat, seat) == 0;
    pthread_attr_destroy(&attributes);
    return seat->joins ? ZA_OK : ZA_ENOMEM;
}

void za_dedicated_threads_init(za_dedicated_threads_t *threads)
{
    pthread_mutex_init(&threads->lock, NULL);
}

void za_dedicated_threads_deinit(za_dedicated_threads_t *threads)
{
    pthread_mutex_destroy(&threads->lock);
}

za_err_t za_dedicated_threads_start(za_dedicated_threads_t *threads, za_worker_t *worker,
                                    size_t stack_bytes)
{
    za_dedicated_seat_t *seat = seat_of(threads, worker);
    za_err_t err = ZA_OK;
    pthread_mutex_lock(&threads->lock);
    if (seat->joins) {
        pthread_join(seat->thread, NULL); // it has had its last turn
        seat->joins = false;
    }
    seat->threads = threads;
    seat->worker = worker;
    seat->stack_bytes = stack_bytes;
    seat->wanted = !threads->running;
    // relaxed: set under the lock, too
    if (atomic_load_explicit(&threads->stopping, memory_order_relaxed) != 0) {
        err = ZA_ESTOPPING;
    } else if (threads->running) {
        err = start_thread(seat);
    }
    pthread_mutex_unlock(&threads->lock);
    return err;
}

void za_dedicated_threads_wake(za_dedicated_threads_t *threads, const za_worker_t *worker)
{
    za_park_wake(&seat_of(threads, worker)->park);
}

za_err_t za_dedicated_threads_run(za_dedicated_threads_t *threads)
{
    za_err_t err = ZA_OK;
    pthread_mutex_lock(&threads->lock);
    threads->running = true;
    for (uint32_t i = 0; err == ZA_OK && i < ZA_DEDICATED_MAX; i++) {
        if (threads->seats[i].wanted) {
            threads->seats[i].wanted = false;
            err = start_thread(&threads->seats[i]);
        }
    }
    pthread_mutex_unlock(&threads->lock);
    return err;
}

void za_dedicated_threads_stop(za_dedicated_threads_t *threads)
{
    pthread_mutex_lock(&threads->lock);
    // relaxed: published by the lock, and by the wakes
    atomic_store_explicit(&threads->stopping, 1, memory_order_relaxed);
    pthread_mutex_unlock(&threads->lock);
    for (uint32_t i = 0; i < ZA_DEDICATED_MAX; i++) {
        if (threads->seats[i].joins) {
            za_park_wake(&threads->seats[i].park);
            pthread_join(threads->seats[i].thread, NULL);
            threads->seats[i].joins = false;
        }
    }
}
