/**
 * Children on other nodes (za_spawn_on), both ends.
 *
 * The parent's node keeps a record per request: where the child runs, its epoch and how to start it
 * again. The hosting node (a *guest* record there) restarts the child by itself within its policy and
 * tells of the end. When a host's uid is DOWN or LEFT, and never before, the child is started again
 * elsewhere with epoch + 1: on the member with the highest rendezvous hash, on this node as a last
 * resort. A host that loses the parent's uid stops the child, so that after a split heals one lives.
 *
 * Bounds   ZA_CHILDREN_MAX of each end; full: za_SpawnFailed with REASON_LIMIT.
 * Memory   Taken in create; specifications are copied, arguments into a pool.
 */
#pragma once

#include "cluster/effects.h"
#include "cluster/syslane.h"
#include "cluster/view.h"

enum {
    ZA_CHILDREN_MAX = 4096,
    ZA_CHILDREN_JITTER_MS = 200,  // respawns of a dead node's children spread over this
    ZA_CHILDREN_REJOIN_MS = 1000, // after a rebirth: others come up again before a place is chosen
    ZA_CHILDREN_ALONE_MS = 10000, // not up for so long: start the children here
};

typedef struct za_children za_children_t;

/** `view` and `lane` must outlive the children. */
za_err_t za_children_create(const za_view_t *view, za_syslane_t *lane, uint64_t seed,
                            za_children_t **out);
void za_children_destroy(za_children_t *children);

/**
 * Consistency mode: what was lost with a DOWN uid, or with ours, starts `margin_ms` after the end of
 * it or after we are up again, so that the side that lost has stopped it. 0: availability mode.
 */
void za_children_set_margin(za_children_t *children, uint32_t margin_ms);

/** A local `parent` wants a child on node `uid`. At most one effect. */
void za_children_spawn(za_children_t *children, uint64_t request, uint64_t parent, uint64_t uid,
                       uint64_t tag, const za_spawn_spec_t *spec, za_effects_t *out);
void za_children_stop(za_children_t *children, uint64_t parent, za_ref_t child);
/** The answer to SPAWN_LOCAL. At most one effect. */
void za_children_started(za_children_t *children, uint64_t request, uint64_t uid, uint64_t actor,
                         za_err_t err, za_effects_t *out);
/** A local actor ended: a guest, a parent, or neither. */
void za_children_actor_stopped(za_children_t *children, uint64_t actor, za_Reason reason);
/** A spawn, spawned, ended or stop frame of `uid`. At most one effect. */
void za_children_frame(za_children_t *children, uint64_t uid, const za_SysFrame *frame,
                       uint64_t now_ms, za_effects_t *out);
/** `uid` is terminal. After MORE: call again. */
za_step_t za_children_gone(za_children_t *children, uint64_t uid, za_Reason reason, uint64_t now_ms,
                           za_effects_t *out);
/** `uid` has forgotten us, and what it was asked for; not what it is still to be asked for. After MORE: call again. */
za_step_t za_children_forgotten(za_children_t *children, uint64_t uid, uint64_t now_ms,
                                za_effects_t *out);
/** Our uid changed: hosts stop our children, and we stop our guests. After MORE: call again. */
za_step_t za_children_reborn(za_children_t *children, uint64_t now_ms, za_effects_t *out);
/** Each uid for which something waits to be sent; it may be visited more than once. */
void za_children_each_waiting(const za_children_t *children,
                              void (*visit)(uint64_t uid, void *visitor), void *visitor);
za_step_t za_children_pump(za_children_t *children, uint64_t now_ms, za_effects_t *out);
uint64_t za_children_deadline_ms(const za_children_t *children);

typedef struct za_children_stats {
    uint64_t children; // of local parents
    uint64_t guests;   // of other nodes' parents
    uint64_t respawns;
    uint64_t refused; // a table was full
} za_children_stats_t;

void za_children_stats(const za_children_t *children, za_children_stats_t *out);
