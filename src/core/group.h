/**
 * Groups: named sets of actors, readable by every worker without a lock or a message.
 *
 * A group is there while it has a member, here or on another node; those of this node come first.
 * Each is kept twice, as with the kernel's seqcount latch:
 * whoever changes it writes one side while readers use the other, then the sides change places. So a
 * reader never waits for a writer, not even for one whose thread stands still; it looks again if the
 * group changed meanwhile, and takes the writers' lock after some tries.
 *
 * Order    Members of this node before others, and in no other order; it changes when one leaves.
 * Memory   Seats of members are pool blocks that stay with the groups until the end: who reads seats
 *          that were given to another group finds that out, and finds no foreign memory.
 * Threads  Readers: any worker or guest. Joining and leaving: the owner of the cell.
 */
#pragma once

#include "core/message.h"
#include "core/runtime.h"

typedef struct za_cell za_cell_t;
typedef struct za_groups za_groups_t;
typedef struct za_group za_group_t;

enum { ZA_GROUP_WORDS = (ZA_NAME_BYTES_MAX + 7) / 8 };

/** The name of a group in the form in which it is compared. */
typedef struct za_group_key {
    uint64_t hash;
    uint32_t words;
    uint64_t word[ZA_GROUP_WORDS]; // zero behind the name; not behind `words`
} za_group_key_t;

/** ZA_EINVAL for none or an empty one, ZA_ETOOBIG over ZA_NAME_BYTES_MAX. */
za_err_t za_group_key(const char *name, za_group_key_t *out);

/** NULL: out of memory. */
za_groups_t *za_groups_create(void);
void za_groups_destroy(za_groups_t *groups);

/**
 * Adds the actor `id` of `cell` and tells the other nodes; twice is once, but for what `opts` (valid; NULL:
 * none) say. ZA_ENOBUFS at a limit, or if the pool is empty; else as za_group_key. Nothing was done then.
 */
za_err_t za_group_join(za_worker_t *worker, za_cell_t *cell, uint64_t id, const char *name,
                       const za_join_opts_t *opts);
void za_group_leave(za_worker_t *worker, za_cell_t *cell, uint64_t id, const char *name);
/** Out of all groups: the actor ends. Other nodes hear of that by za_remote_t.stopped. */
void za_groups_leave(za_worker_t *worker, za_cell_t *cell);

/* ---- reading ------------------------------------------------------------------------------ */

typedef struct za_group_seat {
    _Atomic uint64_t node;
    _Atomic uint64_t actor;
} za_group_seat_t;

/** One look at a group. What was read through it counts only if za_group_is_same says so later. */
typedef struct za_group_view {
    za_groups_t *groups;
    za_group_t *group;
    const za_group_seat_t *seats;
    uint64_t sequence;
    uint32_t count;  // > 0
    uint32_t locals; // the first of them are of this node
    uint32_t tries;
    uint32_t probes; // slots looked at
    bool held;       // the writers' lock: it will be the same
} za_group_view_t;

/** Begins to read the group. False: it has no member, and there is nothing to end. */
bool za_group_look(za_groups_t *groups, const za_group_key_t *key, za_group_view_t *out);

static inline za_ref_t za_group_member(const za_group_view_t *view, uint32_t index)
{
    const za_group_seat_t *seat = &view->seats[index];
    // acquire, both: keeps the second look at the sequence behind them
    return (za_ref_t){ .node = atomic_load_explicit(&seat->node, memory_order_acquire),
                       .actor = atomic_load_explicit(&seat->actor, memory_order_acquire) };
}

/** Ends the reading. False: the group changed, look again with the same view. */
bool za_group_is_same(za_group_view_t *view);
/** One number after the other, for those who take turns; from 0. Of the group of a valid look. */
uint32_t za_group_turn(const za_group_view_t *view);
/** As za_group_turn, for those who take turns among some of the members: `which` says of what. */
uint32_t za_groups_turn(za_groups_t *groups, uint64_t which);

/** Copies at most `max` members, `*locals` of this node first; the number of all of them. */
uint32_t za_group_copy(za_groups_t *groups, const za_group_key_t *key, za_ref_t *out, uint32_t max,
                       uint32_t *locals);
