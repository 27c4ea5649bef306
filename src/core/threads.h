/**
 * Host 1: worker threads. Each runs turns; one that finds nothing spins a little, then polls I/O if
 * nobody does, else parks on a futex.
 *
 * Dedicated   actors have a thread each, which rests on a futex of its own; dedicated_threads.h.
 * The poller  is the network as seen from here. One owner flag guards it; whoever holds it may call
 *             poll. An idle worker blocks in it; busy workers poll it without blocking every 61
 *             turns. When the last worker becomes busy a one-shot 1 ms timer is armed for the keeper
 *             thread, which polls while all workers are in handlers and sleeps again when one is not.
 */
#pragma once

#include "core/pin.h"
#include "core/runtime.h"

typedef struct za_poller {
    void *context;
    /** Handles ready I/O, waiting up to timeout_ns for some. Only the owner of the flag calls it. */
    void (*poll)(void *context, za_worker_t *worker, uint64_t timeout_ns);
    /** Makes a poll that waits return soon. Any thread; called only if one waits. */
    void (*interrupt)(void *context);
} za_poller_t;

typedef struct za_threads_opts {
    /**
     * Workers never rest: they look for work, and one of them at the network, without pause. Saves
     * the 35 to 90 us of waking a thread, and costs a whole core for each worker, always. With more
     * workers than cores it is a loss: who waits then takes the time of who works.
     */
    bool busy_wait;
    /** Worker i stays on core i of these, at least as many as there are workers. None: anywhere. */
    za_cores_t pin;
    uint32_t watchdog_ms; // a handler that runs for longer is logged and counted; 0: none is
    int stack_signal;     // for which za_stack_signal is installed: its stack, too; 0: no stack
} za_threads_opts_t;

typedef struct za_threads za_threads_t;

/** The host to be given to za_runtime_create. `poller` may be NULL. */
za_err_t za_threads_create(const za_poller_t *poller, za_threads_t **out);
const za_host_t *za_threads_host(void);
/** Before za_threads_start; without it all options are zero. */
void za_threads_configure(za_threads_t *threads, const za_threads_opts_t *opts);
/**
 * Starts one thread for each worker of `runtime`, and the keeper if there is a poller.
 * ZA_EINVAL: a core to be pinned to is not there or not allowed. ZA_ENOMEM ZA_EIO: no thread, no timer.
 */
za_err_t za_threads_start(za_threads_t *threads, za_runtime_t *runtime);
/** True on the thread of one of the workers. Any thread. */
bool za_threads_is_worker(const za_threads_t *threads);
/** Makes a waiting poll return so that its owner sees work queued for it. Any thread; cheap if nobody waits. */
void za_threads_kick_poller(za_threads_t *threads);
/** Returns when no thread runs any more. */
void za_threads_stop(za_threads_t *threads);
void za_threads_destroy(za_threads_t *threads);
