/**
 * Window: whether an event is one too many within the last so many milliseconds.
 *
 * A sliding window, as of OTP's supervisor: at any time it is as if every event of the last
 * `within_ms` was looked at, where a tumbling one would allow twice as many around its border.
 * Exact up to ZA_WINDOW_TIMES_MAX events. For more, one time stands for a group of them, and at most
 * a group less one is allowed too many: under 1/ZA_WINDOW_TIMES_MAX of the limit.
 *
 * Memory   The times lie in one block of the pool, taken with the first event.
 * Threads  One owner.
 */
#pragma once

#include "base/pool.h"

enum { ZA_WINDOW_TIMES_MAX = 256 }; // 2 KiB of times

/** Zero has seen no event. */
typedef struct za_window {
    za_block_t *times; // uint64_t each, a ring
    uint64_t count;    // events so far
} za_window_t;

/** Counts an event, if fewer than `max` came within the last `within_ms`, both ends included. */
bool za_window_admit(za_window_t *window, za_pool_t *pool, uint32_t max, uint32_t within_ms,
                     uint64_t now_ms);
void za_window_deinit(za_window_t *window, za_pool_t *pool);
