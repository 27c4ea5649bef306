/**
 * NUMA: which memory is near which core, and pages that stay there.
 *
 * A table that a host fills: from the system (numa_linux.c), or by hand, as tests do for machines
 * they do not have. On a machine with one memory node, or none that is known, all of it does nothing.
 *
 * Memory   A plain struct of the caller's; whoever gets a pointer to it reads it for as long as he
 *          lives.
 * Threads  Constant once it is filled.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

enum {
    ZA_CORES_MAX = 1024,     // as the kernel counts them: what cpu_set_t holds
    ZA_NUMA_NODES_MAX = 64,  // one word of a node mask; larger machines are not known to us
    ZA_NUMA_NODE_NONE = 255, // no such core, or a thread that stays on none
};

typedef struct za_numa {
    uint32_t node_count;         // 1: nothing is nearer than anything else
    uint32_t core_count;         // the highest core known, and one
    uint8_t nodes[ZA_CORES_MAX]; // by core; ZA_NUMA_NODE_NONE: no such core
    /** Prefers `node` for pages that nobody touched yet. */
    za_err_t (*bind)(void *context, void *pages, size_t bytes, uint32_t node);
    void *context;
} za_numa_t;

/**
 * Reads the machine's. `folder` is where the kernel shows its nodes; NULL: where it always does.
 * What cannot be read is one node with no core known.
 */
void za_numa_read(za_numa_t *numa, const char *folder);

/** The node that `core` belongs to; ZA_NUMA_NODE_NONE if there is no such core. `numa` may be NULL. */
uint32_t za_numa_node_of(const za_numa_t *numa, uint32_t core);

/**
 * Keeps `pages` (page-aligned) near `node`, as long as it has any left: others are better than none.
 * Nothing to do, and ZA_OK: one node, or ZA_NUMA_NODE_NONE, or no `numa`. ZA_EIO: the system refuses.
 */
za_err_t za_numa_bind(const za_numa_t *numa, void *pages, size_t bytes, uint32_t node);
