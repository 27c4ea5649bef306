/**
 * Timers: one 4-ary heap for each worker, keyed by due time, then by age.
 *
 * The timer is the message it will deliver. It lives in the heap of the worker that armed it, its
 * home; the actor may have moved on, so another worker cancels by a flag and the home frees it.
 *
 * Memory   The array lies in a reservation of address space; pages are taken as it grows.
 * Threads  The home's; za_timers_cancel from any worker, for a timer of the actor it runs.
 * Errors   ZA_ENOBUFS: ZA_TIMERS_MAX are armed.
 */
#pragma once

#include "core/message.h"

typedef enum za_armed {
    ZA_ARMED,     // in the heap; the home and the actor may both want it
    ZA_FIRED,     // the home took it out: on its way to the actor
    ZA_CANCELLED, // the actor gave it up: the home frees it
} za_armed_t;

typedef struct za_timer_entry {
    uint64_t due_ns;
    za_message_t *message;
} za_timer_entry_t;

typedef struct za_timers {
    za_timer_entry_t *heap; // NULL before the first
    uint32_t count;
    uint32_t worker;
    _Atomic uint64_t deadline_ns;            // of the first; UINT64_MAX: none
    _Alignas(64) _Atomic uint32_t cancelled; // by others, not yet found
} za_timers_t;

void za_timers_init(za_timers_t *timers, uint32_t worker);
void za_timers_deinit(za_timers_t *timers);
/** Arms `message` for its due_ns: in its home's heap from now on. */
za_err_t za_timers_arm(za_timers_t *timers, za_message_t *message);
/** Takes out the first timer that is due, ZA_FIRED or ZA_CANCELLED; NULL: none is. */
za_message_t *za_timers_take(za_timers_t *timers, uint64_t now_ns);
/** Takes out up to `max` timers that others cancelled, if there are so many that a search pays. */
uint32_t za_timers_sweep(za_timers_t *timers, za_message_t **out, uint32_t max);

typedef enum za_cancel {
    ZA_CANCEL_YOURS, // out of the heap: the caller frees it
    ZA_CANCEL_HOMES, // the home frees it
    ZA_CANCEL_FIRED, // on its way to the actor, which must not find it in its records
} za_cancel_t;

/** `timers`: of the calling worker; `home`: where `message` is. */
za_cancel_t za_timers_cancel(za_timers_t *timers, za_timers_t *home, za_message_t *message);
