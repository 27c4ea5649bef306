/**
 * Effects: what a cluster step asks its driver to do, in order.
 *
 * A step appends to a za_effects_t that the driver owns, and the driver carries all of it out before
 * it steps again. A step that runs out of room answers ZA_STEP_MORE: its state is consistent, the
 * driver carries out what is there and steps with ZA_CLUSTER_CONTINUE.
 *
 * Memory  Bytes and strings of an effect lie in the arena of the effects, valid until the next reset.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/actor.h>

#include "base/assert.h"
#include "base/limits.h"
#include "wire/lane.h"

typedef enum za_step {
    ZA_STEP_DONE,
    ZA_STEP_MORE,
} za_step_t;

/** DESIGN's words, everywhere and in this order. */
typedef enum za_member_state {
    ZA_MEMBER_JOINING,
    ZA_MEMBER_UP,
    ZA_MEMBER_SUSPECT,
    ZA_MEMBER_UNREACHABLE,
    ZA_MEMBER_LEAVING,
    ZA_MEMBER_LEFT,
    ZA_MEMBER_DOWN,
} za_member_state_t;

const char *za_member_state_name(za_member_state_t state);

/** What an actor may register under. */
typedef enum za_name_kind {
    ZA_NAME_UNIQUE, // one holder answers lookups; others lose it
    ZA_NAME_GROUP,  // any number of members; topics are groups that begin with a byte names may not
} za_name_kind_t;

typedef enum za_effect_type {
    // Transport.
    // uid, address (the member's), bytes, over_link, asks: may be lost. By UDP to `address`, or as a
    // DATAGRAM frame over the link to `uid` if over_link or there is no UDP; dropped without a link.
    ZA_EFFECT_SEND_DATAGRAM,
    ZA_EFFECT_SEND_FRAME, // uid, lane, bytes: in order while the link lives; dropped without one
    // address: make a link to whoever is there, unless one is being made. uid: of the member that it is
    // a link of the mesh to, which may wait while many join; 0: somebody needs it now.
    ZA_EFFECT_CONNECT,
    ZA_EFFECT_CLOSE_LINK, // uid: say GOODBYE and close, nothing of it is delivered from now on
    // Membership.
    // uid, name, address, bytes (roles, NUL-terminated; NULL: none), state: a member's state changed
    ZA_EFFECT_MEMBER,
    // The same, without a state, and id: 1, a member is alive, and no link to it can be made: messages for it go
    // nowhere; 0, it has a link again, or it is unreachable. Its end is told by ZA_EFFECT_MEMBER.
    ZA_EFFECT_APART,
    // name (the strategy): this node lost a split. What may exist only once stops, then REBORN comes.
    ZA_EFFECT_DOWN_SELF,
    // uid (ours), id (time to live, ms; 0: only look), tag: take the lease of the cluster if nobody
    // has it, or if its revision is `tag`. Each taking makes a new revision. Answer with
    // ZA_CLUSTER_LEASE in any case.
    ZA_EFFECT_LEASE,
    ZA_EFFECT_REBORN,  // uid: our new uid (was = the old one); every link must be made anew
    ZA_EFFECT_LEFT,    // our own leave is complete
    ZA_EFFECT_REFUSED, // err, text: we cannot join (name in use, version): give up or retry
    // Datagrams: see cluster/member_keys.h. The driver zeroes the bytes when it has taken them.
    ZA_EFFECT_KEYS, // bytes (za_epoch_key_t each), id: all that are accepted; which to send with
    ZA_EFFECT_WANT_KEYS, // answer with ZA_CLUSTER_KEYS, from a secure source
    // Registry.
    ZA_EFFECT_NAME_SET,      // name, ref: lookup of `name` now answers `ref` (own uid as 0)
    ZA_EFFECT_NAME_CLEARED,  // name, ref: nobody holds it any more; whom it answered until now
    ZA_EFFECT_NAME_LOST,     // name, ref (winner, or none), actor, err: see za_registry_register
    ZA_EFFECT_GROUP_ADDED,   // name, ref, bytes (meta): a new member, or its new meta
    ZA_EFFECT_GROUP_REMOVED, // name, ref
    // Watches.
    ZA_EFFECT_FIRE,          // watcher, id, ref (target), reason: za_runtime_down
    ZA_EFFECT_WATCH_LOCAL,   // watcher (remote), id, actor: za_runtime_watch
    ZA_EFFECT_UNWATCH_LOCAL, // watcher (remote), id, actor
    ZA_EFFECT_LINK_LOCAL,    // watcher (remote), id, actor: za_runtime_link
    ZA_EFFECT_EXIT_LOCAL,    // actor, id, ref (the other end), reason: za_runtime_exit
    // Remote children.
    ZA_EFFECT_SPAWN_LOCAL,  // request, uid (asking node), spawn: start it, answer CHILD_STARTED
    ZA_EFFECT_STOP_LOCAL,   // actor, reason
    ZA_EFFECT_SPAWNED,      // actor (parent), tag, ref, epoch: za_Spawned
    ZA_EFFECT_SPAWN_FAILED, // actor (parent), tag, reason: za_SpawnFailed
    // Observation.
    ZA_EFFECT_LOG,  // level, text
    ZA_EFFECT_MARK, // mark: a coverage mark was hit
} za_effect_type_t;

/** Coverage marks: a simulation that never reaches one of these tested less than it claims. */
typedef enum za_mark {
    ZA_MARK_SUSPECT,
    ZA_MARK_REFUTE,
    ZA_MARK_INDIRECT_PROBE,
    ZA_MARK_REFUSED_EVIDENCE,
    ZA_MARK_DOWN,
    ZA_MARK_REPLACED,
    ZA_MARK_REBIRTH,
    ZA_MARK_RECONNECT_DOWNED,
    ZA_MARK_SYSTEM_RESEND,
    ZA_MARK_RESPAWN,
    ZA_MARK_NAME_CONFLICT,
    ZA_MARK_REGISTRY_SNAPSHOT,
    ZA_MARK_MAILBOX_FULL,
    ZA_MARK_BULK,
    ZA_MARK_DOWNING_KEPT,
    ZA_MARK_DOWNING_SELF,
    ZA_MARK_DOWNING_FENCED,
    ZA_MARK_DOWNING_ANEW,
    ZA_MARK_JOIN_WAITS,
    ZA_MARK_APART,
    ZA_MARK_RELAY,
    ZA_MARK_COUNT
} za_mark_t;

/** How to start a child for another node; args are protobuf bytes of type args_type_id. */
typedef struct za_spawn_spec {
    const char *class_name;
    const char *name; // to be registered; NULL: none
    uint64_t parent;  // actor id on the asking node
    uint32_t mailbox, overflow, restart, max_restarts, within_ms, backoff_min_ms, backoff_max_ms;
    uint32_t on_limit, on_node_down, stash;
    uint32_t args_type_id;
    const uint8_t *args;
    uint32_t args_bytes;
} za_spawn_spec_t;

typedef struct za_effect {
    za_effect_type_t type;
    union {
        za_lane_t lane;
        za_member_state_t state;
        za_mark_t mark;
        int level;
        za_err_t err;
        uint32_t epoch;
    };
    za_Reason reason;
    bool over_link; // a datagram that must not go by UDP: it finds out whether UDP is the trouble
    bool asks;      // a datagram that is answered by who gets it: silence after it says something
    uint64_t uid;
    uint64_t was;
    uint64_t id; // watch id, request id
    uint64_t tag;
    uint64_t actor;
    za_ref_t ref;
    za_ref_t watcher;
    const char *name; // also text and address, NUL-terminated
    const char *address;
    const uint8_t *bytes;
    uint32_t size;
    const za_spawn_spec_t *spawn;
} za_effect_t;

enum {
    ZA_EFFECTS_MAX = 512, // per step; a step that needs more answers ZA_STEP_MORE
    ZA_EFFECTS_ARENA_BYTES = 512 * 1024,
};

typedef struct za_effects {
    uint32_t count;
    uint32_t used; // bytes of the arena
    uint32_t
        withheld; // effects, and as large a part of the arena, that a host keeps back: to make steps short
    za_effect_t items[ZA_EFFECTS_MAX];
    _Alignas(16) uint8_t arena[ZA_EFFECTS_ARENA_BYTES];
} za_effects_t;

static inline void za_effects_reset(za_effects_t *effects)
{
    effects->count = 0;
    effects->used = 0;
}

/** True if `count` more effects with `bytes` of arena fit. */
static inline bool za_effects_have_room(const za_effects_t *effects, uint32_t count, uint32_t bytes)
{
    uint32_t kept = effects->withheld * (ZA_EFFECTS_ARENA_BYTES / ZA_EFFECTS_MAX);
    return effects->count + count + effects->withheld <= ZA_EFFECTS_MAX &&
           effects->used + bytes + 16 * count + kept <= ZA_EFFECTS_ARENA_BYTES;
}

/** Appends a zeroed effect; the caller has made sure of room. */
static inline za_effect_t *za_effects_add(za_effects_t *effects, za_effect_type_t type)
{
    ZA_ASSERT(effects->count < ZA_EFFECTS_MAX);
    za_effect_t *effect = &effects->items[effects->count++];
    // Field by field: of the whole of it compilers make a string instruction, which takes longer.
    effect->type = type;
    effect->lane = (za_lane_t)0; // and all of the union
    effect->reason = (za_Reason)0;
    effect->over_link = false;
    effect->asks = false;
    effect->uid = 0;
    effect->was = 0;
    effect->id = 0;
    effect->tag = 0;
    effect->actor = 0;
    effect->ref = (za_ref_t){ 0, 0 };
    effect->watcher = (za_ref_t){ 0, 0 };
    effect->name = NULL;
    effect->address = NULL;
    effect->bytes = NULL;
    effect->size = 0;
    effect->spawn = NULL;
    return effect;
}

/** `bytes` of arena, 16-aligned; the caller has made sure of room. */
static inline void *za_effects_alloc(za_effects_t *effects, uint32_t bytes)
{
    uint32_t left = ZA_EFFECTS_ARENA_BYTES - effects->used;
    ZA_ASSERT(bytes <= left);
    void *block = effects->arena + effects->used;
    uint32_t padded = (bytes + 15u) & ~15u;
    effects->used += padded < left ? padded : left;
    return block;
}

/** A copy of `text`; the caller has made sure of room. */
const char *za_effects_copy(za_effects_t *effects, const char *text);
/** Where the next block will lie: for bytes whose number is known when they are written. */
static inline uint8_t *za_effects_next(za_effects_t *effects)
{
    return effects->arena + effects->used;
}
const char *za_effects_text(za_effects_t *effects, const char *format, ...) ZA_PRINTF(2, 3);
