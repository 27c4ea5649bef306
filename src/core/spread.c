#include "core/spread.h"

enum {
    PERIOD_NS = 2 * 1000 * 1000, // some 100,000 short messages: enough to compare
    TRIAL_PERIODS = 2,           // the first does not count: caches fill
    PAUSE_MIN = 8,               // periods
    PAUSE_MAX = 512,             // a second: trials cost less than one in two hundred
    RATE_FINE = 500,             // messages per worker and millisecond: above it they are short
    MORE_PERCENT = 110,          // what more workers must bring at least, of what fewer did
    FEWER_PERCENT = 97,          // what fewer must bring, of what more did
};

void za_spread_init(za_spread_t *spread, uint32_t workers)
{
    atomic_init(&spread->allowed, workers);
    spread->workers = workers;
    spread->pause = PAUSE_MIN;
}

static void allow(za_spread_t *spread, uint32_t workers)
{
    atomic_store_explicit(&spread->allowed, workers, memory_order_relaxed); // relaxed: a policy
}

static void begin_trial(za_spread_t *spread, uint32_t workers, uint64_t rate)
{
    spread->before = za_spread_allowed(spread);
    spread->rate = rate;
    spread->periods = 0;
    allow(spread, workers);
}

static void end_trial(za_spread_t *spread, uint64_t rate)
{
    uint32_t tried = za_spread_allowed(spread);
    uint64_t needed = spread->rate * (tried > spread->before ? MORE_PERCENT : FEWER_PERCENT);
    if (rate * 100 >= needed) {
        spread->pause = PAUSE_MIN;
    } else {
        allow(spread, spread->before);
        spread->pause = spread->pause < PAUSE_MAX ? spread->pause * 2 : PAUSE_MAX;
    }
    spread->before = 0;
    spread->periods = spread->pause;
}

/** The next number of workers to try; the present one if there is none. */
static uint32_t next_trial(za_spread_t *spread, bool wanted)
{
    uint32_t allowed = za_spread_allowed(spread);
    bool can_more = wanted && allowed < spread->workers;
    bool fewer = allowed > 1 && (!can_more || !spread->tried_fewer);
    spread->tried_fewer = fewer;
    if (fewer) {
        return allowed / 2;
    }
    uint32_t more = allowed * 2 < spread->workers ? allowed * 2 : spread->workers;
    return can_more ? more : allowed;
}

static void decide(za_spread_t *spread, uint64_t rate, bool wanted)
{
    uint32_t allowed = za_spread_allowed(spread);
    if (rate < (uint64_t)allowed * RATE_FINE) {
        allow(spread, spread->workers);
        spread->before = 0;
        spread->periods = 0;
        spread->pause = PAUSE_MIN;
    } else if (spread->before != 0) {
        if (++spread->periods >= TRIAL_PERIODS) {
            end_trial(spread, rate);
        }
    } else if (spread->periods > 0) {
        spread->periods--;
    } else {
        uint32_t workers = next_trial(spread, wanted);
        if (workers != allowed) {
            begin_trial(spread, workers, rate);
        }
    }
}

void za_spread_decide(za_spread_t *spread, uint64_t handled, uint64_t now_ns)
{
    // acquire: the fields below go from one decider to the next
    if (atomic_exchange_explicit(&spread->deciding, 1, memory_order_acquire) !=
        0) { // pairs: spread
        return;
    }
    if (za_spread_is_due(spread, now_ns) && now_ns > spread->ended_ns) {
        uint64_t elapsed_ns = now_ns - spread->ended_ns;
        if (spread->ended_ns != 0) {
            bool wanted = atomic_exchange_explicit(&spread->wanted, 0, // relaxed: a hint
                                                   memory_order_relaxed) != 0;
            decide(spread, (handled - spread->handled) * 1000000 / elapsed_ns, wanted);
        }
        spread->handled = handled;
        spread->ended_ns = now_ns;
        // relaxed, both: a policy; whoever sees an old end comes here for nothing
        atomic_store_explicit(&spread->retiring, 1, memory_order_relaxed);
        atomic_store_explicit(&spread->period_ends_ns, now_ns + PERIOD_NS, memory_order_relaxed);
    }
    atomic_store_explicit(&spread->deciding, 0, memory_order_release); // pairs: spread
}
