/**
 * Timers: a hierarchical timing wheel for each worker (Varghese, Lauck 1987, scheme 7), with digits
 * of the nanosecond as its levels, so that it is exact: it is a radix heap (Ahuja, Mehlhorn, Orlin,
 * Tarjan 1990) besides. A timer lies at the highest digit in which it differs from `base_ns`, and
 * goes down when the base gets there.
 *
 * The timer is the message it will deliver. It lives in the wheel of the worker that armed it, its
 * home; the actor may have moved on, so another worker cancels by a mark and the home frees it.
 *
 * Order    By due time; those due at the same nanosecond in the order they were armed. Never early.
 * Cost     Arm and cancel: constant. A timer goes down at most once through each level, most
 *          through two or three.
 * Memory   Links within the messages; nothing else grows.
 * Threads  The home's; za_timers_cancel from any worker, for a timer of the actor it runs.
 * Errors   ZA_ENOBUFS: ZA_TIMERS_MAX are armed.
 */
#pragma once

#include "core/message.h"

typedef enum za_armed {
    ZA_ARMED,     // in the wheel; the home and the actor may both want it
    ZA_FIRED,     // the home took it out: on its way to the actor
    ZA_CANCELLED, // the actor gave it up: the home frees it
} za_armed_t;

enum {
    ZA_WHEEL_BITS = 6, // of a digit: a level's occupied slots fit one word
    ZA_WHEEL_SLOTS = 1 << ZA_WHEEL_BITS,
    ZA_WHEEL_LEVELS = 11, // 64 bits: no time is too far, and none wraps
    ZA_WHEEL_NOWHERE = ZA_WHEEL_LEVELS * ZA_WHEEL_SLOTS, // what is in no slot
};

static_assert(ZA_WHEEL_LEVELS * ZA_WHEEL_BITS >= 64, "every time has a place");
static_assert(ZA_POOLS_MAX <= UINT8_MAX, "a home is a byte");

typedef struct za_timers {
    _Atomic uint64_t deadline_ns; // of the first, or before it; UINT64_MAX: none
    uint64_t base_ns;             // no timer is due before it
    uint64_t now_ns;              // the latest that take was told
    uint32_t count;
    uint32_t worker;
    uint32_t moving;        // the slot that goes down just now, or ZA_WHEEL_NOWHERE
    uint32_t levels;        // bit n: level n is not empty
    bool is_stale;          // the first was cancelled: deadline_ns is before what is the first now
    za_message_t *given_up; // taken from `cancelled`
    uint64_t occupied[ZA_WHEEL_LEVELS]; // bit n of a level: slot n is not empty
    za_message_t *slots[ZA_WHEEL_NOWHERE];
    _Alignas(64) _Atomic(za_message_t *) cancelled; // stack, by others
} za_timers_t;

void za_timers_init(za_timers_t *timers, uint32_t worker);

/** Arms `message` for its due_ns: in its home's wheel from now on. */
za_err_t za_timers_arm(za_timers_t *timers, za_message_t *message);

/**
 * Takes out the first timer that is due, ZA_FIRED. NULL: none is, or `*work` is used up: each timer
 * that is taken or goes down costs one. In the latter case the deadline stays due.
 */
za_message_t *za_timers_take(za_timers_t *timers, uint64_t now_ns, uint32_t *work);

/** Takes out a timer that another worker cancelled, to be freed; NULL: there is none. */
za_message_t *za_timers_take_cancelled(za_timers_t *timers);

/**
 * Moves the deadline to the first timer, if that was cancelled. Exact, unless a great many timers lie
 * together in the future: then it is when they begin.
 */
void za_timers_settle(za_timers_t *timers);

typedef enum za_cancel {
    ZA_CANCEL_YOURS, // out of the wheel: the caller frees it
    ZA_CANCEL_HOMES, // the home frees it
    ZA_CANCEL_FIRED, // on its way to the actor, which must not find it in its records
} za_cancel_t;

/** `timers`: of the calling worker; `home`: where `message` is. */
za_cancel_t za_timers_cancel(za_timers_t *timers, za_timers_t *home, za_message_t *message);
