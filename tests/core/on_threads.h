/**
 * A runtime on real worker threads. Waits end when what they wait for has come; there is no time.
 */
#pragma once

#include <sched.h>
#include <stdatomic.h>

#include "core/threads.h"
#include "world.h"

static za_threads_t *threads;
static za_runtime_t *runtime;

static void make_threads(const za_poller_t *poller, uint32_t workers, const za_threads_opts_t *opts)
{
    cr_assert(za_threads_create(poller, &threads) == ZA_OK, "threads");
    za_threads_configure(threads, opts);
    const za_runtime_config_t config = { .workers = workers,
                                         .actors_max = 1000,
                                         .pool_bytes_max = 64u << 20,
                                         .mailbox_default = 10000,
                                         .seed = 1,
                                         .host = za_threads_host(),
                                         .host_context = threads };
    cr_assert(za_runtime_create(&config, &runtime) == ZA_OK, "runtime");
}

static void start_threads(void)
{
    cr_assert(za_threads_start(threads, runtime) == ZA_OK, "start");
}

static void stop(void)
{
    za_threads_stop(threads);
    za_runtime_destroy(runtime);
    za_threads_destroy(threads);
}

static void wait_for(_Atomic uint32_t *count, uint32_t wanted)
{
    while (atomic_load_explicit(count, memory_order_acquire) < wanted) {
        sched_yield();
    }
}
