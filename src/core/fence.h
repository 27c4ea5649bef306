/**
 * A pair of fences, of which one costs nothing: for a flag that its owner raises all the time and
 * that another thread seldom looks at. A store, the light fence, a load here, and a store, the heavy
 * fence, a load there: as with two full fences, at least one of the loads sees the other's store.
 * (Asymmetric Dekker synchronisation; membarrier(2).)
 *
 * Threads  Any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

/** Makes za_fence_heavy usable for all threads of the process. False: the kernel has no such thing. */
bool za_fence_prepare(void);

/** The seldom side: a full fence on every running thread of the process. Takes microseconds. */
void za_fence_heavy(void);

/** The frequent side: keeps the compiler from moving loads before stores. */
static inline void za_fence_light(void)
{
    // seq_cst: stands for what za_fence_heavy does here from afar
    atomic_signal_fence(memory_order_seq_cst);
}
