#include "bounce.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"

enum { BATCHES = 9, TRIPS = 20000 };

static struct {
    _Alignas(64) _Atomic uint64_t ball; // odd: it is the other's
    _Alignas(64) cpu_set_t mine;
    cpu_set_t others;
} court;

/** Puts the first two processors that we may use into the sets. */
static bool choose_processors(void)
{
    cpu_set_t allowed;
    int found = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return false;
    }
    CPU_ZERO(&court.mine);
    CPU_ZERO(&court.others);
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++) {
        if (CPU_ISSET(i, &allowed)) {
            CPU_SET(i, found == 0 ? &court.mine : &court.others);
            found++;
        }
    }
    return found == 2;
}

static void await(uint64_t ball)
{
    while (atomic_load_explicit(&court.ball, memory_order_acquire) != ball) { // pairs: bounce
    }
}

static void *other(void *unused)
{
    (void)unused;
    pthread_setaffinity_np(pthread_self(), sizeof court.others, &court.others);
    for (uint64_t i = 0; i < BATCHES * TRIPS; i++) {
        await(2 * i + 1);
        atomic_store_explicit(&court.ball, 2 * i + 2, memory_order_release); // pairs: bounce
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_bounce_ns(void)
{
    pthread_t thread;
    cpu_set_t before;
    double batches[BATCHES];
    if (!choose_processors() || sched_getaffinity(0, sizeof before, &before) != 0) {
        return 0;
    }
    sched_setaffinity(0, sizeof court.mine, &court.mine);
    atomic_store_explicit(&court.ball, 0, memory_order_relaxed); // before the thread
    if (pthread_create(&thread, NULL, other, NULL) != 0) {
        fprintf(stderr, "bench: no thread\n");
        exit(1);
    }
    uint64_t ball = 0;
    for (int batch = 0; batch < BATCHES; batch++) {
        uint64_t begun_ns = za_clock_ns();
        for (int i = 0; i < TRIPS; i++) {
            atomic_store_explicit(&court.ball, ball + 1, memory_order_release); // pairs: bounce
            ball += 2;
            await(ball);
        }
        batches[batch] = (double)(za_clock_ns() - begun_ns) / TRIPS;
    }
    pthread_join(thread, NULL);
    sched_setaffinity(0, sizeof before, &before);
    qsort(batches, BATCHES, sizeof *batches, by_value);
    return batches[BATCHES / 2];
}
