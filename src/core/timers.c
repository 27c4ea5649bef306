#include "core/timers.h"

#include "base/assert.h"

enum {
    SEARCH_MAX = 16
}; // so few in a slot are searched for the first, which costs less than moves

void za_timers_init(za_timers_t *timers, uint32_t worker)
{
    ZA_ASSERT(worker < ZA_POOLS_MAX);
    *timers = (za_timers_t){ .worker = worker, .moving = ZA_WHEEL_NOWHERE };
    atomic_init(&timers->deadline_ns, UINT64_MAX);
}

static uint64_t get_deadline(const za_timers_t *timers)
{
    return atomic_load_explicit(&timers->deadline_ns, memory_order_relaxed); // relaxed: the home's
}

static void set_deadline(za_timers_t *timers, uint64_t due_ns)
{
    timers->is_stale = false;
    // relaxed: a hint for others, exact for the home
    if (due_ns != get_deadline(timers)) {
        atomic_store_explicit(&timers->deadline_ns, due_ns, memory_order_relaxed);
    }
}

/* ---- slots: lists whose first knows the last ------------------------------------------------ */

static za_message_t *next_of(const za_message_t *message)
{
    // relaxed: the list is the home's
    return (za_message_t *)atomic_load_explicit(&message->block.next, memory_order_relaxed);
}

static void set_next(za_message_t *message, za_message_t *next)
{
    // relaxed: the list is the home's
    atomic_store_explicit(&message->block.next, (za_block_t *)next, memory_order_relaxed);
}

static void append(za_timers_t *timers, uint32_t slot, za_message_t *message)
{
    za_message_t *first = timers->slots[slot];
    message->timer.slot = (uint16_t)slot;
    set_next(message, NULL);
    if (first == NULL) {
        uint32_t level = slot / ZA_WHEEL_SLOTS;
        message->timer.previous = message;
        timers->slots[slot] = message;
        timers->occupied[level] |= UINT64_C(1) << slot % ZA_WHEEL_SLOTS;
        timers->levels |= 1U << level;
        return;
    }
    message->timer.previous = first->timer.previous;
    set_next(first->timer.previous, message);
    first->timer.previous = message;
}

static void take_out(za_timers_t *timers, za_message_t *message)
{
    uint32_t slot = message->timer.slot;
    ZA_ASSERT(slot < ZA_WHEEL_NOWHERE);
    za_message_t *next = next_of(message);
    message->timer.slot = ZA_WHEEL_NOWHERE;
    if (message != timers->slots[slot]) {
        set_next(message->timer.previous, next);
        za_message_t *after = next != NULL ? next : timers->slots[slot];
        after->timer.previous = message->timer.previous;
        return;
    }
    timers->slots[slot] = next;
    if (next != NULL) {
        next->timer.previous = message->timer.previous;
        return;
    }
    uint32_t level = slot / ZA_WHEEL_SLOTS;
    timers->occupied[level] &= ~(UINT64_C(1) << slot % ZA_WHEEL_SLOTS);
    timers->levels &= ~((uint32_t)(timers->occupied[level] == 0) << level);
    if (slot == timers->moving) {
        timers->moving = ZA_WHEEL_NOWHERE;
    }
}

/* ---- the wheel ------------------------------------------------------------------------------ */

/** At the highest digit in which it differs from the base. */
static void place(za_timers_t *timers, za_message_t *message)
{
    uint64_t due_ns = message->due_ns > timers->base_ns ? message->due_ns : timers->base_ns;
    uint64_t difference = due_ns ^ timers->base_ns;
    // `| 1`: no difference is level 0 as well
    uint32_t level = (63U - (uint32_t)__builtin_clzll(difference | 1)) / ZA_WHEEL_BITS;
    uint32_t digit = (uint32_t)(due_ns >> level * ZA_WHEEL_BITS) % ZA_WHEEL_SLOTS;
    append(timers, level * ZA_WHEEL_SLOTS + digit, message);
}

/** The slot with the first timer. All its timers are before those of any other. */
static uint32_t first_slot(const za_timers_t *timers)
{
    uint32_t level = (uint32_t)__builtin_ctz(timers->levels);
    return level * ZA_WHEEL_SLOTS + (uint32_t)__builtin_ctzll(timers->occupied[level]);
}

/** The least time that has its place in the slot, which is not before the base. */
static uint64_t slot_start(const za_timers_t *timers, uint32_t slot)
{
    uint32_t shift = slot / ZA_WHEEL_SLOTS * ZA_WHEEL_BITS;
    uint64_t digit = slot % ZA_WHEEL_SLOTS;
    uint64_t higher = shift + ZA_WHEEL_BITS < 64
                          ? timers->base_ns >> (shift + ZA_WHEEL_BITS) << (shift + ZA_WHEEL_BITS)
                          : 0;
    return higher | digit << shift;
}

/** The timer of the slot that is due first, of equals the oldest; NULL: too many to search. */
static za_message_t *first_of(const za_timers_t *timers, uint32_t slot)
{
    za_message_t *message = timers->slots[slot];
    if (slot < ZA_WHEEL_SLOTS) {
        return message; // all of a nanosecond
    }
    za_message_t *first = message;
    for (int i = 1; i < SEARCH_MAX; i++) {
        message = next_of(message);
        if (message == NULL) {
            return first;
        }
        first = message->due_ns < first->due_ns ? message : first;
    }
    return next_of(message) == NULL ? first : NULL;
}

/** Moves one timer of the slot that goes down. In their order: those due together stay in it. */
static void move_one(za_timers_t *timers)
{
    za_message_t *message = timers->slots[timers->moving];
    take_out(timers, message);
    place(timers, message);
}

/** When the first timer is due; if that lies among many, when their slot begins. */
static void find_deadline(za_timers_t *timers)
{
    uint64_t due_ns = UINT64_MAX;
    if (timers->levels != 0) {
        uint32_t slot = first_slot(timers);
        const za_message_t *first = first_of(timers, slot);
        due_ns = first != NULL ? first->due_ns : slot_start(timers, slot);
    }
    set_deadline(timers, due_ns);
}

void za_timers_settle(za_timers_t *timers)
{
    if (timers->is_stale && timers->moving == ZA_WHEEL_NOWHERE) {
        find_deadline(timers);
    }
}

/** Takes out a timer that was cancelled or fires. */
static void leave(za_timers_t *timers, za_message_t *message)
{
    take_out(timers, message);
    timers->count--;
    if (timers->count == 0) {
        set_deadline(timers, UINT64_MAX);
    } else if (message->due_ns == get_deadline(timers)) {
        timers->is_stale = true; // who looks for the first each time, looks in vain most times
    }
}

/* ---- arming --------------------------------------------------------------------------------- */

za_err_t za_timers_arm(za_timers_t *timers, za_message_t *message)
{
    if (timers->count >= ZA_TIMERS_MAX) {
        return ZA_ENOBUFS;
    }
    message->timer.worker = (uint8_t)timers->worker;
    // relaxed: whoever cancels on another worker got the actor through a run queue
    atomic_store_explicit(&message->timer.state, ZA_ARMED, memory_order_relaxed);
    if (timers->count++ == 0) {
        timers->base_ns = timers->now_ns; // nothing is in the way
    }
    if (timers->moving == ZA_WHEEL_NOWHERE) {
        place(timers, message);
    } else {
        // Behind the older ones that have not gone down yet. It brings two of them down, so that
        // the end comes, however many are armed meanwhile.
        append(timers, timers->moving, message);
        move_one(timers);
        if (timers->moving != ZA_WHEEL_NOWHERE) {
            move_one(timers);
        }
    }
    if (message->due_ns < get_deadline(timers)) {
        set_deadline(timers, message->due_ns);
    }
    return ZA_OK;
}

/* ---- firing --------------------------------------------------------------------------------- */

/** The first timer, after what lies before it went down. NULL: not due, or the work is used up. */
static za_message_t *find_first(za_timers_t *timers, uint32_t *work)
{
    for (; *work > 0; --*work) {
        if (timers->moving != ZA_WHEEL_NOWHERE) {
            move_one(timers);
            continue;
        }
        if (timers->levels == 0) {
            break;
        }
        uint32_t slot = first_slot(timers);
        za_message_t *first = first_of(timers, slot);
        if (first != NULL) {
            set_deadline(timers, first->due_ns);
            return first->due_ns <= timers->now_ns ? first : NULL;
        }
        uint64_t start_ns = slot_start(timers, slot);
        if (start_ns > timers->now_ns) {
            set_deadline(timers, start_ns);
            break;
        }
        // All else is in later slots, which have the same places from the new base.
        timers->base_ns = start_ns;
        timers->moving = slot;
    }
    return NULL;
}

/** Takes the timer from its actor, unless the actor gave it up. */
static bool try_fire(za_message_t *message)
{
    uint8_t armed = ZA_ARMED;
    // relaxed: only one of us and the canceller has it. What was cancelled is freed when it comes
    // from the stack, which publishes it.
    return atomic_compare_exchange_strong_explicit(&message->timer.state, &armed, ZA_FIRED,
                                                   memory_order_relaxed, memory_order_relaxed);
}

za_message_t *za_timers_take(za_timers_t *timers, uint64_t now_ns, uint32_t *work)
{
    timers->now_ns = now_ns;
    while (get_deadline(timers) <= now_ns) {
        za_message_t *first = find_first(timers, work);
        if (first == NULL) {
            return NULL;
        }
        --*work;
        leave(timers, first);
        if (try_fire(first)) {
            return first;
        }
    }
    return NULL;
}

za_message_t *za_timers_take_cancelled(za_timers_t *timers)
{
    if (timers->given_up == NULL) {
        // relaxed: a look that saves the exchange
        if (atomic_load_explicit(&timers->cancelled, memory_order_relaxed) == NULL) {
            return NULL;
        }
        timers->given_up = atomic_exchange_explicit(&timers->cancelled, NULL,
                                                    memory_order_acquire); // pairs: timer-cancel
    }
    za_message_t *message = timers->given_up;
    timers->given_up = message->given_up;
    if (message->timer.slot != ZA_WHEEL_NOWHERE) { // else it was due, and cancelled
        leave(timers, message);
    }
    return message;
}

/* ---- cancelling ----------------------------------------------------------------------------- */

za_cancel_t za_timers_cancel(za_timers_t *timers, za_timers_t *home, za_message_t *message)
{
    if (timers == home) {
        // relaxed: only this thread fires it
        if (atomic_load_explicit(&message->timer.state, memory_order_relaxed) != ZA_ARMED) {
            return ZA_CANCEL_FIRED;
        }
        leave(timers, message);
        return ZA_CANCEL_YOURS;
    }
    uint8_t armed = ZA_ARMED;
    // relaxed: see try_fire; a timer that fired is queued, and the mailbox publishes it
    if (!atomic_compare_exchange_strong_explicit(&message->timer.state, &armed, ZA_CANCELLED,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        return ZA_CANCEL_FIRED;
    }
    // relaxed: the exchange checks it
    za_message_t *top = atomic_load_explicit(&home->cancelled, memory_order_relaxed);
    do {
        message->given_up = top;
        // release: the home frees the message after our last use
    } while (!atomic_compare_exchange_weak_explicit(&home->cancelled, &top, message,
                                                    memory_order_release, // pairs: timer-cancel
                                                    memory_order_relaxed));
    return ZA_CANCEL_HOMES;
}
