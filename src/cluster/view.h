/**
 * View: what the services ask membership, and what a test answers in its place.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

typedef enum za_known {
    ZA_KNOWN_NOT,  // no record of this uid
    ZA_KNOWN_LIVE, // joining, suspect, unreachable or leaving
    ZA_KNOWN_UP,
    ZA_KNOWN_LEFT,
    ZA_KNOWN_DOWN,
} za_known_t;

typedef struct za_view {
    const void *context;
    uint64_t (*self)(const void *context);
    za_known_t (*known)(const void *context, uint64_t uid);
    /** Calls `visit` for each member that is up, this node too if it is. */
    void (*each_up)(const void *context, void (*visit)(uint64_t uid, void *visitor), void *visitor);
    /** Members that are up, this node too if it is. */
    uint32_t (*up_count)(const void *context);
    /** False for a member that is unreachable. NULL: all can be reached. */
    bool (*reachable)(const void *context, uint64_t uid);
    /** False on a side of the cluster that may not give unique names away. NULL: it may. */
    bool (*may_claim)(const void *context);
    /** Whether the services use a link to `uid`. Asked by the relay alone, as the next. */
    bool (*linked)(const void *context, uint64_t uid);
    /** Up to `max` different members that are up and have a link, at random by `rng`. */
    uint32_t (*sample_linked)(const void *context, za_rng_t *rng, uint64_t *uids, uint32_t max);
} za_view_t;

static inline uint64_t za_view_self(const za_view_t *view)
{
    return view->self(view->context);
}

static inline za_known_t za_view_known(const za_view_t *view, uint64_t uid)
{
    return view->known(view->context, uid);
}

static inline uint32_t za_view_up_count(const za_view_t *view)
{
    return view->up_count(view->context);
}
