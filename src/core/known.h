/**
 * Known classes: what a worker has found out about the classes it spawns, so that an actor's birth
 * and end look nothing up: neither the number under which its class is counted, nor whether it has
 * handlers for what the runtime itself would tell it. A cell notes the latter in za_cell_t.hears.
 *
 * Memory   A few entries in the worker, by a hash of the class; a class that falls out is looked at
 *          again.
 * Threads  The worker's own.
 */
#pragma once

#include <stdint.h>

#include <zactor/actor.h>

typedef struct za_worker za_worker_t;

/** What there are handlers for; of a cell that became another: what there may be handlers for. */
enum {
    ZA_HEARS_STARTED = 1,
    ZA_HEARS_STOPPING = 2,
    ZA_HEARS_MEMBERS = 4, // any of the events of members
    ZA_HEARS_STARTS = ZA_HEARS_STARTED | ZA_HEARS_MEMBERS,
    ZA_HEARS_LIFE = ZA_HEARS_STARTED | ZA_HEARS_STOPPING,
    ZA_HEARS_DUE = 8, // of a cell: its start was handled, so za_Stopping is due
};

typedef struct za_known {
    const za_class_t *class_;
    uint8_t number; // see metrics.h
    uint8_t hears;  // ZA_HEARS_ bits
} za_known_t;

enum { ZA_KNOWN_CLASSES = 16 };

/** Looks at a class that is in no entry. */
const za_known_t *za_known_learn(za_worker_t *worker, za_known_t *entry, const za_class_t *class_);
