/**
 * Router: sends to members of a group without an actor in between. Which member is decided by the
 * sender, from what every worker may read (group.h) and from the mailboxes themselves.
 */
#pragma once

#include "core/runtime.h"

/** One message for members of a group. */
typedef struct za_routed {
    const char *group;
    za_policy_t policy;
    uint64_t key; // ZA_HASH
    const za_type_t *type;
    const void *body;
    const char *role; // of the members' nodes; NULL: any
} za_routed_t;

/** As za_route, without a sender: for threads that are no workers. */
za_err_t za_runtime_route(za_worker_t *worker, const za_routed_t *routed);
