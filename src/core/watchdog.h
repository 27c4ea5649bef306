/**
 * Watchdog: names the handler that runs for too long, while it runs. A handler cannot be interrupted,
 * and the worker it runs on serves nobody else; this is how one finds out which it is.
 *
 * It looks from outside, so that it costs a worker next to nothing: a worker notes whom it runs, of
 * what type the message is and where that lies, each a plain store; a handler that is found with
 * the same three and the same count of handled messages, look after look, for the limit, is slow.
 * (The Go runtime's sysmon finds goroutines that do not yield in this way.)
 *
 * Dedicated workers are not watched: their actors may block.
 *
 * Memory   A plain struct of the caller's.
 * Threads  One thread looks, any one. What it reads of a worker is atomic.
 */
#pragma once

#include "base/limits.h"
#include "core/runtime.h"

/** What one look sees of a worker. */
typedef struct za_sight {
    const struct za_cell *cell; // NULL: it runs nobody
    const za_type_t *type;
    const void *body;
    uint64_t handled;
} za_sight_t;

typedef struct za_watched {
    za_sight_t sight;
    uint64_t since_ns; // when it was first seen
    bool slow;         // and it was told
} za_watched_t;

/** A handler over the limit. */
typedef struct za_slow {
    uint32_t worker;
    za_ref_t actor;
    const char *class_name;
    const char *type_name; // of its message
    uint64_t ms;           // so far, at least
    bool over;             // it has returned
} za_slow_t;

typedef struct za_watchdog {
    uint64_t limit_ns;
    za_watched_t workers[ZA_WORKERS_MAX];
} za_watchdog_t;

/** Looks at least so often find a handler within a quarter of the limit. */
uint64_t za_watchdog_period_ns(const za_watchdog_t *watchdog);

/**
 * Looks at all workers once; calls `tell` for each handler that is over the limit, and once more when
 * it has returned. False: no worker runs anybody.
 */
bool za_watchdog_look(za_watchdog_t *watchdog, const za_runtime_t *runtime, uint64_t now_ns,
                      void (*tell)(void *context, const za_slow_t *slow), void *context);
