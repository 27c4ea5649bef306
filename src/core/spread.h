/**
 * Spread: how many workers may be busy at once.
 *
 * A second worker is no gain by itself. Where handlers are short, messages that cross cores cost
 * more than they save: a cache line takes 50 ns to the other core, a whole message with its handler
 * 15 ns on one. So the runtime counts what it gets done in a period, tries fewer workers, or more
 * where there is a backlog, and keeps what was faster. (Hill climbing, as the thread pool of .NET
 * does: Hellerstein et al., "Applying Control Theory in the Real World", 2009.) Where messages are
 * few, because handlers take long or because there is little to do, all workers are allowed.
 *
 * Threads  The worker whose turn it is when a period ends decides.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct za_spread {
    _Alignas(64) _Atomic uint32_t allowed; // workers
    _Atomic uint32_t wanted;               // 1: somebody had a backlog and woke nobody
    _Atomic uint32_t retiring;             // 1: one worker may hand over its work
    _Atomic uint64_t period_ends_ns;
    // Of whoever holds `deciding`.
    _Alignas(64) _Atomic uint32_t deciding;
    uint32_t workers;
    uint32_t before;  // allowed before the trial; 0: no trial is on
    uint32_t periods; // of the trial so far, or until the next one
    uint32_t pause;   // periods between two trials: grows while they change nothing
    bool tried_fewer; // the last time
    uint64_t rate;    // before the trial: messages in a millisecond
    uint64_t handled; // at the end of the last period
    uint64_t ended_ns;
} za_spread_t;

void za_spread_init(za_spread_t *spread, uint32_t workers);

/** `handled`: messages of all workers so far. Decides how many workers the next period allows. */
void za_spread_decide(za_spread_t *spread, uint64_t handled, uint64_t now_ns);

static inline uint32_t za_spread_allowed(const za_spread_t *spread)
{
    // relaxed: a policy, nothing is published by it
    return atomic_load_explicit(&spread->allowed, memory_order_relaxed);
}

/** There is a backlog, and no more workers are allowed. */
static inline void za_spread_want(za_spread_t *spread)
{
    // relaxed, both: a hint, written once in a while
    if (atomic_load_explicit(&spread->wanted, memory_order_relaxed) == 0) {
        atomic_store_explicit(&spread->wanted, 1, memory_order_relaxed);
    }
}

/** True if the period is over and somebody is to decide. */
static inline bool za_spread_is_due(const za_spread_t *spread, uint64_t now_ns)
{
    // relaxed: a look; za_spread_decide lets one decide
    return now_ns >= atomic_load_explicit(&spread->period_ends_ns, memory_order_relaxed);
}

/** True for one worker, when more are busy than allowed. */
static inline bool za_spread_retires(za_spread_t *spread)
{
    // relaxed, both: a policy; the exchange lets one go
    return atomic_load_explicit(&spread->retiring, memory_order_relaxed) != 0 &&
           atomic_exchange_explicit(&spread->retiring, 0, memory_order_relaxed) != 0;
}
