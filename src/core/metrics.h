/**
 * Metrics of a worker: what it handled, by class, and how long things took.
 *
 * Counts are exact, for each message. Times are samples: now and then a run of an actor is watched:
 * how many messages wait when it begins, how long it takes, and when the first message that it sends
 * is handled. A sample costs four looks at the clock, so one run in about 2,000 is watched when runs
 * are short, and one in each turn when they are long; the message path itself has nothing to do.
 *
 * Order    Classes are numbered as they come, by the first spawn: one seed, the same numbers.
 * Memory   Reserved address space of the runtime; a page is taken when a class has its first sample.
 *          Classes beyond ZA_CLASSES_MAX are counted together.
 * Threads  The worker's own; any thread may read.
 */
#pragma once

#include "core/cell.h"

/** Samples of one class on one worker. */
typedef struct za_samples {
    za_histogram_t latency_ns;
    za_histogram_t run_ns;
    za_histogram_t queued;
} za_samples_t;

enum {
    ZA_CLASS_OTHER = 0, // the number of all classes that came too late
    ZA_CLASS_NUMBERS = ZA_CLASSES_MAX + 1,
};

static_assert(ZA_CLASS_NUMBERS == 1 << ZA_HANDLED_SHIFT, "a class's number is a byte");

/** Of the runtime: the classes by number. The first NULL ends them. */
typedef struct za_classes {
    _Atomic(const za_class_t *) of[ZA_CLASS_NUMBERS];
} za_classes_t;

typedef struct za_metrics {
    za_samples_t *samples;  // by class; NULL: a guest
    uint32_t sample_in;     // so many runs until the next sample
    uint32_t delivered;     // from other threads and nodes; see za_metrics_stamps
    bool is_busy;           // it did not rest since the last turn
    uint64_t turn_ns;       // when that began
    _Atomic uint64_t turns; // from here on: read by any
    _Atomic uint64_t busy_ns;
    _Atomic uint32_t runnable;
    _Atomic uint32_t timers;
    _Atomic uint64_t handled_all;
    _Atomic uint64_t handled[ZA_CLASS_NUMBERS]; // of it, by class
} za_metrics_t;

/** The number of a class, which is given one if it has none. */
uint8_t za_class_number(za_runtime_t *runtime, const za_class_t *class_);

/** Counts messages that were handled. */
static inline void za_metrics_count(za_metrics_t *metrics, za_cell_t *cell, uint64_t count)
{
    // relaxed, all of them: one writer at a time; readers want a number, not an order
    uint64_t handled = atomic_load_explicit(&cell->handled, memory_order_relaxed);
    _Atomic uint64_t *of_class = &metrics->handled[(uint8_t)handled];
    atomic_store_explicit(of_class, atomic_load_explicit(of_class, memory_order_relaxed) + count,
                          memory_order_relaxed);
    atomic_store_explicit(&metrics->handled_all,
                          atomic_load_explicit(&metrics->handled_all, memory_order_relaxed) + count,
                          memory_order_relaxed);
    atomic_store_explicit(&cell->handled, handled + (count << ZA_HANDLED_SHIFT),
                          memory_order_relaxed);
}

/** All that a worker handled, of any class: each turn looks, so it is kept and not summed up. */
static inline uint64_t za_metrics_handled(const za_metrics_t *metrics)
{
    // relaxed: a number that goes on
    return atomic_load_explicit(&metrics->handled_all, memory_order_relaxed);
}

/** A turn begins. Returns how many runs of it come before a sample; UINT32_MAX: all. */
uint32_t za_metrics_begin_turn(za_worker_t *worker, bool was_idle);
void za_metrics_end_turn(za_worker_t *worker, uint32_t runs);
/** Notes what waits in the lists of the worker, inside their guard. */
void za_metrics_gauge(za_worker_t *worker);
/** Runs the actor, and watches. */
void za_metrics_run(za_worker_t *worker, za_cell_t *cell);

/** Notes the time in a message that has no deadline: it is a sample when it is handled. */
void za_metrics_stamp(za_worker_t *worker, za_message_t *message);
/** A stamped message is about to be handled. */
void za_metrics_arrived(za_worker_t *worker, const za_cell_t *cell, za_message_t *message);
/** True now and then: a message that came from outside is to be stamped. */
static inline bool za_metrics_stamps(za_metrics_t *metrics)
{
    enum { EVERY = 64 };
    return ++metrics->delivered % EVERY == 0;
}
