#include "core/metrics.h"

#include "core/worker.h"

enum {
    SAMPLE_EVERY = 2039, // runs: a sample costs some 200 ns; prime, so that no pattern locks in
    RUN_SHIFT = 13,      // every 8 us count as one run more, so that long runs are watched more
};

/* ---- classes ------------------------------------------------------------------------------ */

uint8_t za_class_number(za_runtime_t *runtime, const za_class_t *class_)
{
    za_classes_t *classes = &runtime->classes;
    for (uint32_t i = ZA_CLASS_OTHER + 1; i < ZA_CLASS_NUMBERS; i++) {
        // acquire: what was written of the class before it was first spawned
        const za_class_t *known =
            atomic_load_explicit(&classes->of[i], memory_order_acquire); // pairs: class-number
        if (known == NULL &&
            atomic_compare_exchange_strong_explicit(&classes->of[i], &known, class_,
                                                    memory_order_release, // pairs: class-number
                                                    memory_order_acquire)) {
            return (uint8_t)i;
        }
        if (known == class_) {
            return (uint8_t)i;
        }
    }
    return ZA_CLASS_OTHER;
}

/* ---- turns -------------------------------------------------------------------------------- */

/** Virtual time stands still within a turn; so it does on a guest, which has no turns. */
static uint64_t clock_ns(const za_worker_t *worker)
{
    const za_runtime_t *runtime = worker->runtime;
    return runtime->host.clock_ns != NULL ? runtime->host.clock_ns() : worker->now_ns;
}

static void add_busy(za_metrics_t *metrics, uint64_t elapsed_ns)
{
    // relaxed: one writer; readers want a number
    uint64_t busy_ns = atomic_load_explicit(&metrics->busy_ns, memory_order_relaxed);
    atomic_store_explicit(&metrics->busy_ns, busy_ns + elapsed_ns, memory_order_relaxed);
}

uint32_t za_metrics_begin_turn(za_worker_t *worker, bool was_idle)
{
    za_metrics_t *metrics = &worker->metrics;
    uint64_t elapsed_ns = worker->now_ns - metrics->turn_ns;
    if (metrics->is_busy && !was_idle) {
        add_busy(metrics, elapsed_ns);
    }
    metrics->is_busy = true;
    metrics->turn_ns = worker->now_ns;
    uint64_t runs = elapsed_ns >> RUN_SHIFT;
    metrics->sample_in = runs < metrics->sample_in ? metrics->sample_in - (uint32_t)runs : 0;
    return metrics->sample_in;
}

void za_metrics_end_turn(za_worker_t *worker, uint32_t runs)
{
    za_metrics_t *metrics = &worker->metrics;
    metrics->sample_in -= runs < metrics->sample_in ? runs : metrics->sample_in;
    // relaxed, both: one writer; readers want a number
    uint64_t turns = atomic_load_explicit(&metrics->turns, memory_order_relaxed);
    atomic_store_explicit(&metrics->turns, turns + 1, memory_order_relaxed);
}

void za_metrics_gauge(za_worker_t *worker)
{
    za_metrics_t *metrics = &worker->metrics;
    uint32_t runnable = (worker->run_next != NULL) + worker->fresh.count + worker->overflow.count +
                        worker->placed.count + za_ring_count(&worker->ring);
    // relaxed, both: one writer; readers want a number
    atomic_store_explicit(&metrics->runnable, runnable, memory_order_relaxed);
    atomic_store_explicit(&metrics->timers, worker->timers.count, memory_order_relaxed);
}

void za_worker_rest(za_worker_t *worker, uint64_t now_ns)
{
    za_metrics_t *metrics = &worker->metrics;
    if (metrics->is_busy && now_ns > metrics->turn_ns) {
        add_busy(metrics, now_ns - metrics->turn_ns);
    }
    metrics->is_busy = false;
}

/* ---- samples ------------------------------------------------------------------------------ */

/** The short way is open again. */
static void unstamp(za_worker_t *worker)
{
    worker->stamps = false;
    worker->near_slots = worker->runtime->slot_max;
}

void za_metrics_run(za_worker_t *worker, za_cell_t *cell)
{
    za_metrics_t *metrics = &worker->metrics;
    // relaxed, all: the owner's, or numbers that change while we look
    uint64_t handled = atomic_load_explicit(&cell->handled, memory_order_relaxed);
    uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed) & ZA_BOUND_COUNT;
    za_samples_t *samples = &metrics->samples[(uint8_t)handled];
    za_histogram_record(&samples->queued, za_mailbox_count(&cell->mailbox, bound));
    metrics->sample_in += SAMPLE_EVERY;
    uint64_t start_ns = clock_ns(worker);
    worker->stamps = true;
    worker->near_slots = 0;
    za_cell_run(worker, cell);
    unstamp(worker);
    za_histogram_record(&samples->run_ns, clock_ns(worker) - start_ns);
}

void za_metrics_stamp(za_worker_t *worker, za_message_t *message)
{
    uint64_t now_ns = clock_ns(worker);
    if (message->block.kind == ZA_KIND_USER && message->deadline_ms == 0 && now_ns != 0) {
        message->block.flags |= ZA_FLAG_STAMPED;
        message->sent_ns = now_ns;
        unstamp(worker); // one of a run
    }
}

void za_metrics_arrived(za_worker_t *worker, const za_cell_t *cell, za_message_t *message)
{
    uint64_t sent_ns = message->sent_ns;
    uint64_t now_ns = clock_ns(worker);
    message->block.flags &= (uint8_t)~ZA_FLAG_STAMPED;
    message->deadline_ms = 0;
    if (worker->metrics.samples != NULL) {
        // relaxed: the owner's
        uint64_t handled = atomic_load_explicit(&cell->handled, memory_order_relaxed);
        za_histogram_record(&worker->metrics.samples[(uint8_t)handled].latency_ns,
                            now_ns > sent_ns ? now_ns - sent_ns : 0);
    }
}

/* ---- looking in --------------------------------------------------------------------------- */

/** The last number is that of those that came too late, and only then there are any. */
static uint32_t number_of(uint32_t index)
{
    return index + 1 < ZA_CLASS_NUMBERS ? index + 1 : ZA_CLASS_OTHER;
}

const char *za_runtime_class_name(const za_runtime_t *runtime, uint32_t index)
{
    if (index >= ZA_CLASS_NUMBERS) {
        return NULL;
    }
    uint32_t number = number_of(index);
    if (number == ZA_CLASS_OTHER) {
        return "(other)";
    }
    const za_class_t *class_ = atomic_load_explicit(&runtime->classes.of[number],
                                                    memory_order_acquire); // pairs: class-number
    return class_ == NULL ? NULL : class_->name;
}

bool za_runtime_class_metrics(const za_runtime_t *runtime, uint32_t index, za_class_metrics_t *out)
{
    const char *name = za_runtime_class_name(runtime, index);
    if (name == NULL) {
        return false;
    }
    uint32_t number = number_of(index);
    memset(out, 0, sizeof *out);
    out->name = name;
    uint32_t cursor = 0;
    for (const za_worker_t *next; (next = za_worker_each(runtime, &cursor)) != NULL;) {
        const za_metrics_t *metrics = &next->metrics;
        // relaxed: a number that goes on
        out->handled += atomic_load_explicit(&metrics->handled[number], memory_order_relaxed);
        if (metrics->samples != NULL) {
            za_histogram_add(&out->latency_ns, &metrics->samples[number].latency_ns);
            za_histogram_add(&out->run_ns, &metrics->samples[number].run_ns);
            za_histogram_add(&out->queued, &metrics->samples[number].queued);
        }
    }
    return true;
}

bool za_runtime_worker_metrics(const za_runtime_t *runtime, uint32_t index,
                               za_worker_metrics_t *out)
{
    if (index >= runtime->config.workers) {
        return false;
    }
    const za_worker_t *worker = &runtime->workers[index];
    const za_metrics_t *metrics = &worker->metrics;
    // relaxed, all: numbers that go on
#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)
    *out = (za_worker_metrics_t){
        .handled = za_metrics_handled(metrics),
        .turns = GET(metrics->turns),
        .busy_ns = GET(metrics->busy_ns),
        .steals = GET(worker->tally.steals),
        .parks = GET(worker->tally.parks),
        .wakes = GET(worker->tally.wakes),
        .runnable = GET(metrics->runnable),
        .timers = GET(metrics->timers),
    };
#undef GET
    return true;
}
