/**
 * Pin: which core the thread of each worker stays on.
 *
 * A worker that stays has its cache for itself, and its slabs in the memory next to it (base/numa.h).
 * It pays when other programs share the machine: the kernel may not move it to a core that is free.
 *
 * Memory   Plain structs of the caller's.
 * Threads  None is special.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/limits.h"
#include "base/numa.h"

/** Cores in an order that means something. */
typedef struct za_cores {
    uint32_t count;
    uint16_t cores[ZA_CORES_MAX];
} za_cores_t;

/** "0,2,4-7", in that order, none twice. ZA_EINVAL: it is not such a list; `out` is untouched. */
za_err_t za_cores_parse(const char *text, za_cores_t *out);
bool za_cores_have(const za_cores_t *cores, uint32_t core);
/** "0-3,8" of ascending cores; cut to `text_bytes`. */
void za_cores_print(const za_cores_t *cores, char *text, size_t text_bytes);

/**
 * Chooses `workers` of `allowed` (ascending): as many on each memory node as on any other, as far as
 * there are cores, and workers with neighbouring numbers on the same node.
 * ZA_EINVAL: more workers than cores; `out` is untouched.
 */
za_err_t za_cores_spread(const za_cores_t *allowed, const za_numa_t *numa, uint32_t workers,
                         za_cores_t *out);

/* ---- pin_linux.c -------------------------------------------------------------------------- */

/** The cores the calling thread may run on, ascending. ZA_EIO: the system does not say. */
za_err_t za_cores_allowed(za_cores_t *out);
/** A thread made with `attributes` stays on `core`; making it fails if that is not allowed. */
za_err_t za_pin_attributes(pthread_attr_t *attributes, uint32_t core);
