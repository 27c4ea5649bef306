/**
 * Children, inside. The rooms:
 *
 *   children.c         the tables, what ends with a uid or an actor, frames to where they belong
 *   children_parent.c  the parent's end: where a child runs, and where it is started again
 *   children_host.c    the host's end: guests, which are started, stopped and reported here
 *   children_pump.c    what waits to be sent
 *
 * Ids are those of slots; 0: none.
 */
#pragma once

#include "cluster/children.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/rng.h"

enum {
    ZA_CHILDREN_SELF = 0, // a host's or asker's uid: this node, whatever its uid is
};

typedef enum za_child_place {
    ZA_PLACE_NEW,     // not asked for yet
    ZA_PLACE_ASKED,   // the host is starting it
    ZA_PLACE_RUNS,    // the host said so
    ZA_PLACE_RESPAWN, // its host is gone: a new one is chosen at due_ms
} za_child_place_t;

typedef enum za_child_todo {
    ZA_TODO_NONE,
    ZA_TODO_SPAWN,
    ZA_TODO_STOP,   // the host's answer ends the record
    ZA_TODO_FORGET, // stop it, and nobody waits for the answer
    ZA_TODO_FAIL,   // tell the parent
} za_child_todo_t;

typedef struct za_child {
    uint64_t request;
    uint64_t parent;
    uint64_t tag;
    uint64_t uid;        // of the host
    uint64_t rank_below; // hosts of this rank and above have refused
    uint64_t due_ms;
    uint64_t patient_until_ms; // not up ourselves: wait for others until then
    za_ref_t ref;              // of the present or last incarnation
    uint32_t epoch;
    uint32_t args; // blocks
    za_child_place_t place;
    za_child_todo_t todo;
    za_Reason reason;  // ZA_TODO_FAIL
    uint64_t clear_ms; // since when its last host surely has heard that we are another uid
    bool held;         // our uid changed: its last host may not have stopped it yet
    bool tried_self;
    bool stopping;        // its parent wants it to end: no host's end starts it again
    za_spawn_spec_t spec; // its pointers are not used
    char class_name[ZA_CLASS_NAME_BYTES_MAX + 1];
    char name[ZA_NAME_BYTES_MAX + 1];
    za_link_t siblings, work, waits;
} za_child_t;

typedef struct za_parent {
    uint64_t actor;
    za_chain_t children;
} za_parent_t;

typedef enum za_guest_phase { ZA_GUEST_STARTING, ZA_GUEST_RUNS, ZA_GUEST_ENDED } za_guest_phase_t;

typedef struct za_guest {
    uint64_t uid; // of the parent's node
    uint64_t request;
    uint64_t actor;
    uint64_t asked_as; // the uid in SPAWN_LOCAL: our own, of that time, for ZA_CHILDREN_SELF
    uint32_t epoch;
    za_guest_phase_t phase;
    za_Reason reason;
    bool was_started;
    bool reports;  // in the work list
    bool unwanted; // starting, and to be stopped once it runs
    bool orphan;   // nobody is told
    za_link_t work;
} za_guest_t;

typedef struct za_guest_actor {
    uint64_t actor;
    uint32_t guest;
} za_guest_actor_t;

struct za_children {
    const za_view_t *view;
    za_syslane_t *lane;
    za_rng_t rng;
    uint64_t salt;       // requests are numbered from 1 on every node
    za_slots_t children; // by request
    za_slots_t parents;  // by actor
    za_slots_t guests;   // by uid and request
    za_slots_t actors;   // guests by actor
    za_blocks_t args;
    za_chain_t work;    // children with something to do
    za_chain_t waits;   // children to be respawned, the first due first
    za_chain_t reports; // guests with something to tell
    uint32_t margin_ms; // 0: availability mode
    uint64_t unsure_ms; // when we were last seen on no side, or one that could lose
    za_children_stats_t stats;
    uint8_t bytes[ZA_SPAWN_ARGS_BYTES_MAX];
};

#define ZA_CHILD_SIBLINGS offsetof(za_child_t, siblings)
#define ZA_CHILD_WORK offsetof(za_child_t, work)
#define ZA_CHILD_WAITS offsetof(za_child_t, waits)
#define ZA_GUEST_REPORTS offsetof(za_guest_t, work)

static inline za_child_t *za_child_at(const za_children_t *children, uint32_t id)
{
    return za_slots_at(&children->children, id);
}

static inline za_guest_t *za_guest_at(const za_children_t *children, uint32_t id)
{
    return za_slots_at(&children->guests, id);
}

static inline za_parent_t *za_parent_at(const za_children_t *children, uint32_t id)
{
    return za_slots_at(&children->parents, id);
}

/* children.c */
uint32_t za_child_find(const za_children_t *children, uint64_t request);
uint32_t za_parent_find(const za_children_t *children, uint64_t actor);
uint32_t za_guest_find(const za_children_t *children, uint64_t uid, uint64_t request);
/** The entry of a guest by its actor. */
uint32_t za_guest_find_actor(const za_children_t *children, uint64_t actor);
uint64_t za_children_hash(uint64_t uid, uint64_t request);

/* children_parent.c */
/** What is to be done next, and the lists that this means. */
void za_child_set_todo(za_children_t *children, uint32_t id, za_child_todo_t todo);
void za_child_drop(za_children_t *children, uint32_t id);
/** The parent hears that it ended for good. One effect. */
void za_child_fail(za_children_t *children, uint32_t id, za_Reason reason, za_effects_t *out);
/** Its host is gone: it is started again after `delay_ms`, or ends. False: `out` has no room. */
bool za_child_lose_host(za_children_t *children, uint32_t id, za_Reason reason, uint64_t delay_ms,
                        uint64_t now_ms, za_effects_t *out);
/** Chooses a host for one that is to be started again. False: `out` has no room. */
bool za_child_place(za_children_t *children, uint32_t id, uint64_t now_ms, za_effects_t *out);
void za_child_spawned(za_children_t *children, uint64_t uid, const za_SysSpawned *frame,
                      za_effects_t *out);
void za_child_ended(za_children_t *children, uint64_t uid, const za_SysEnded *frame,
                    uint64_t now_ms, za_effects_t *out);

/* children_host.c */
void za_guest_drop(za_children_t *children, uint32_t id);
/** It ended, and whoever asked for it is to hear that. */
void za_guest_end(za_children_t *children, uint32_t id, za_Reason reason);
void za_guest_emit_stop(uint64_t actor, za_effects_t *out);
bool za_guest_have_room(const za_effects_t *out);
void za_guest_host(za_children_t *children, uint64_t uid, const za_SysSpawn *frame,
                   za_effects_t *out);
void za_guest_stop(za_children_t *children, uint64_t uid, const za_SysStop *frame,
                   za_effects_t *out);
