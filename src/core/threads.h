/**
 * Host 1: worker threads. Each runs turns; one that finds nothing spins a little, then polls I/O if
 * nobody does, else parks on a futex.
 *
 * The poller  is the network as seen from here. One owner flag guards it; whoever holds it may call
 *             poll. An idle worker blocks in it; busy workers poll it without blocking every 61
 *             turns. When the last worker becomes busy a one-shot 1 ms timer is armed for the keeper
 *             thread, which polls while all workers are in handlers and sleeps again when one is not.
 */
#pragma once

#include "core/runtime.h"

typedef struct za_poller {
    void *context;
    /** Handles ready I/O, waiting up to timeout_ns for some. Only the owner of the flag calls it. */
    void (*poll)(void *context, za_worker_t *worker, uint64_t timeout_ns);
    /** Makes a poll that waits return soon. Any thread; called only if one waits. */
    void (*interrupt)(void *context);
} za_poller_t;

typedef struct za_threads za_threads_t;

/** The host to be given to za_runtime_create. `poller` may be NULL. */
za_err_t za_threads_create(const za_poller_t *poller, za_threads_t **out);
const za_host_t *za_threads_host(void);
/** Starts one thread for each worker of `runtime`, and the keeper if there is a poller. */
za_err_t za_threads_start(za_threads_t *threads, za_runtime_t *runtime);
/** Makes a waiting poll return so that its owner sees work queued for it. Any thread; cheap if nobody waits. */
void za_threads_kick_poller(za_threads_t *threads);
/** Returns when no thread runs any more. */
void za_threads_stop(za_threads_t *threads);
void za_threads_destroy(za_threads_t *threads);
