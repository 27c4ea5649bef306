#include "core/watchdog_thread.h"

#include <stdio.h>

#include "core/clock.h"
#include "core/worker.h"

/** What is told while a handler is slow. */
typedef struct telling {
    za_watchdog_thread_t *thread;
    za_ref_t actor;
    const char *class_name;
} telling_t;

static void log_frame(void *context, const char *text)
{
    const telling_t *telling = context;
    const za_runtime_t *runtime = telling->thread->runtime;
    char line[256];
    snprintf(line, sizeof line, "  at %s", text);
    runtime->remote.log(runtime->config.remote_context, ZA_WARN, telling->class_name,
                        telling->actor, line);
}

static void tell(void *context, const za_slow_t *slow)
{
    za_watchdog_thread_t *thread = context;
    const za_runtime_t *runtime = thread->runtime;
    if (!slow->over) {
        ZA_TALLY(thread->guest, slow_handlers);
    }
    if (runtime->remote.log == NULL) {
        return;
    }
    char line[256];
    snprintf(line, sizeof line,
             slow->over ? "a slow handler of %s returned after %llu ms"
                        : "a handler of %s has run for %llu ms: worker %u serves nobody else",
             slow->type_name, (unsigned long long)slow->ms, slow->worker);
    runtime->remote.log(runtime->config.remote_context, slow->over ? ZA_INFO : ZA_WARN,
                        slow->class_name, slow->actor, line);
    if (!slow->over && thread->stack_signal != 0) {
        telling_t telling = { thread, slow->actor, slow->class_name };
        (void)za_stack_walk(&thread->stack, thread->thread_of(thread->context, slow->worker),
                            thread->stack_signal, log_frame, &telling);
    }
}

/** Until a worker works again. */
static void rest(za_watchdog_thread_t *thread)
{
    // seq_cst: before the look at the workers; see za_watchdog_thread_notice
    atomic_store_explicit(&thread->resting, 1, memory_order_seq_cst);
    if (thread->all_rest(thread->context)) {
        za_park_wait(&thread->park, UINT64_MAX);
    }
    atomic_store_explicit(&thread->resting, 0, memory_order_relaxed); // relaxed: a wake too many
}

static void *run(void *argument)
{
    za_watchdog_thread_t *thread = argument;
    uint64_t period_ns = za_watchdog_period_ns(&thread->watchdog);
    // relaxed: the wake that follows a stop orders it
    while (atomic_load_explicit(&thread->stopping, memory_order_relaxed) == 0) {
        if (!za_watchdog_look(&thread->watchdog, thread->runtime, za_clock_ns(), tell, thread)) {
            rest(thread);
        }
        za_park_wait(&thread->park, period_ns);
    }
    return NULL;
}

void za_watchdog_thread_wake(za_watchdog_thread_t *thread)
{
    // The exchange leaves one wake for each rest. relaxed: the park orders
    if (atomic_exchange_explicit(&thread->resting, 0, memory_order_relaxed) != 0) {
        za_park_wake(&thread->park);
    }
}

za_err_t za_watchdog_thread_start(za_watchdog_thread_t *thread)
{
    thread->guest = za_runtime_guest(thread->runtime);
    if (thread->guest == NULL) {
        return ZA_ENOBUFS;
    }
    if (thread->stack_signal != 0) {
        za_stack_prepare();
    }
    thread->started = pthread_create(&thread->thread, NULL, run, thread) == 0;
    return thread->started ? ZA_OK : ZA_ENOMEM;
}

void za_watchdog_thread_stop(za_watchdog_thread_t *thread)
{
    if (thread->started) {
        // relaxed: see run
        atomic_store_explicit(&thread->stopping, 1, memory_order_relaxed);
        za_park_wake(&thread->park);
        pthread_join(thread->thread, NULL);
        thread->started = false;
    }
}
