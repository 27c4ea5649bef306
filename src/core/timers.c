#include "core/timers.h"

#include <sys/mman.h>

#include "base/assert.h"

enum {
    ARITY = 4,           // half the levels of a binary heap, and siblings share a cache line
    SWEEP_COUNT_MIN = 64 // fewer dead timers are not worth a walk
};

void za_timers_init(za_timers_t *timers, uint32_t worker)
{
    *timers = (za_timers_t){ .worker = worker };
    atomic_init(&timers->deadline_ns, UINT64_MAX);
}

void za_timers_deinit(za_timers_t *timers)
{
    if (timers->heap != NULL) {
        munmap(timers->heap, ZA_TIMERS_MAX * sizeof *timers->heap);
        timers->heap = NULL;
    }
}

static bool is_before(const za_timer_entry_t *a, const za_timer_entry_t *b)
{
    if (a->due_ns != b->due_ns) {
        return a->due_ns < b->due_ns;
    }
    return a->message->ask < b->message->ask; // ids grow: equal due times fire in the order armed
}

static void put(za_timers_t *timers, uint32_t index, za_timer_entry_t entry)
{
    timers->heap[index] = entry;
    entry.message->timer.heap_index = index;
}

static void sift_up(za_timers_t *timers, uint32_t index, za_timer_entry_t entry)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / ARITY;
        if (!is_before(&entry, &timers->heap[parent])) {
            break;
        }
        put(timers, index, timers->heap[parent]);
        index = parent;
    }
    put(timers, index, entry);
}

static void sift_down(za_timers_t *timers, uint32_t index, za_timer_entry_t entry)
{
    for (;;) {
        uint32_t first = index * ARITY + 1;
        if (first >= timers->count) {
            break;
        }
        uint32_t least = first;
        uint32_t end = first + ARITY < timers->count ? first + ARITY : timers->count;
        for (uint32_t child = first + 1; child < end; child++) {
            if (is_before(&timers->heap[child], &timers->heap[least])) {
                least = child;
            }
        }
        if (!is_before(&timers->heap[least], &entry)) {
            break;
        }
        put(timers, index, timers->heap[least]);
        index = least;
    }
    put(timers, index, entry);
}

static void publish_deadline(za_timers_t *timers)
{
    uint64_t due = timers->count > 0 ? timers->heap[0].due_ns : UINT64_MAX;
    // relaxed: a hint for others, exact for the home
    if (due != atomic_load_explicit(&timers->deadline_ns, memory_order_relaxed)) {
        atomic_store_explicit(&timers->deadline_ns, due, memory_order_relaxed);
    }
}

static void remove_at(za_timers_t *timers, uint32_t index)
{
    ZA_ASSERT(index < timers->count);
    timers->count--;
    if (index < timers->count) {
        za_timer_entry_t moved = timers->heap[timers->count];
        if (index > 0 && is_before(&moved, &timers->heap[(index - 1) / ARITY])) {
            sift_up(timers, index, moved);
        } else {
            sift_down(timers, index, moved);
        }
    }
    publish_deadline(timers);
}

za_err_t za_timers_arm(za_timers_t *timers, za_message_t *message)
{
    if (timers->count >= ZA_TIMERS_MAX) {
        return ZA_ENOBUFS;
    }
    if (timers->heap == NULL) {
        void *heap = mmap(NULL, ZA_TIMERS_MAX * sizeof *timers->heap, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (heap == MAP_FAILED) {
            return ZA_ENOBUFS;
        }
        timers->heap = heap;
    }
    message->timer.worker = timers->worker;
    // relaxed: whoever cancels on another worker got the actor through a run queue
    atomic_store_explicit(&message->timer.state, ZA_ARMED, memory_order_relaxed);
    timers->count++;
    sift_up(timers, timers->count - 1, (za_timer_entry_t){ message->due_ns, message });
    publish_deadline(timers);
    return ZA_OK;
}

/** Takes the timer from its actor, unless the actor gave it up. */
static void fire(za_timers_t *timers, za_message_t *message)
{
    uint32_t armed = ZA_ARMED;
    // acquire: what the canceller did with it lies before we free it
    if (!atomic_compare_exchange_strong_explicit(&message->timer.state, &armed, ZA_FIRED,
                                                 memory_order_acquire, // pairs: timer-cancel
                                                 memory_order_acquire)) {
        // relaxed: a counter
        atomic_fetch_sub_explicit(&timers->cancelled, 1, memory_order_relaxed);
    }
}

za_message_t *za_timers_take(za_timers_t *timers, uint64_t now_ns)
{
    if (timers->count == 0 || timers->heap[0].due_ns > now_ns) {
        return NULL;
    }
    za_message_t *message = timers->heap[0].message;
    remove_at(timers, 0);
    fire(timers, message);
    return message;
}

uint32_t za_timers_sweep(za_timers_t *timers, za_message_t **out, uint32_t max)
{
    // relaxed: a counter
    uint32_t cancelled = atomic_load_explicit(&timers->cancelled, memory_order_relaxed);
    if (cancelled < SWEEP_COUNT_MIN || cancelled < timers->count / 2) {
        return 0;
    }
    uint32_t found = 0;
    for (uint32_t i = timers->count; i > 0 && found < max; i--) {
        za_message_t *message = timers->heap[i - 1].message;
        if (atomic_load_explicit(&message->timer.state,
                                 memory_order_acquire) == // pairs: timer-cancel
            ZA_CANCELLED) {
            remove_at(timers, i - 1);
            out[found++] = message;
        }
    }
    atomic_fetch_sub_explicit(&timers->cancelled, found, memory_order_relaxed);
    return found;
}

za_cancel_t za_timers_cancel(za_timers_t *timers, za_timers_t *home, za_message_t *message)
{
    if (timers == home) {
        // relaxed: only this thread fires it
        if (atomic_load_explicit(&message->timer.state, memory_order_relaxed) != ZA_ARMED) {
            return ZA_CANCEL_FIRED;
        }
        remove_at(timers, message->timer.heap_index);
        return ZA_CANCEL_YOURS;
    }
    uint32_t armed = ZA_ARMED;
    // release: the home frees the message after our last use. relaxed on failure: it is queued, and
    // the mailbox publishes it.
    if (!atomic_compare_exchange_strong_explicit(&message->timer.state, &armed, ZA_CANCELLED,
                                                 memory_order_release, // pairs: timer-cancel
                                                 memory_order_relaxed)) {
        return ZA_CANCEL_FIRED;
    }
    atomic_fetch_add_explicit(&home->cancelled, 1, memory_order_relaxed); // relaxed: a counter
    return ZA_CANCEL_HOMES;
}
