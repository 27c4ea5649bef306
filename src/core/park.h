/**
 * Park: a thread rests until another one wakes it. A wake that comes first is not lost.
 *
 * Threads  Wait by the owner; wake by any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

typedef struct za_park {
    _Atomic uint32_t token; // 1: a wake that nobody waited for yet
} za_park_t;

/** Rests until a wake or for `timeout_ns`; UINT64_MAX: without limit. May return early. */
void za_park_wait(za_park_t *park, uint64_t timeout_ns);
void za_park_wake(za_park_t *park);
/** Tells the processor that this thread spins. */
void za_park_relax(void);
