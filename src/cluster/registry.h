/**
 * Registry: names and groups of actors, cluster-wide.
 *
 * Every node is the only writer of its own map, and numbers its changes; all others copy it. A
 * copy's state is a function of (owner uid, applied), so equal `applied` means an equal hash
 * everywhere: the check that every delta and digest carries. (The shape of Akka's distributed
 * publish-subscribe, with uids and counted changes in place of addresses and clocks.)
 *
 * News     In a cluster of up to 128 members the owner pushes changes to all whom it is linked to, in
 *          a larger one to six; where these are not all members, who hears it first passes it on to
 *          six. A little later each node names its versions to its neighbours; once per sync_ms, and
 *          less often while nothing changes, it compares a root hash with a random peer. What is
 *          missing is pulled, from any node that has it.
 * Names    Of several holders of a unique name the one with the highest (prio, earliest hlc, lowest
 *          uid) is what lookups answer; who cannot be reached comes last. A loser's owner takes its
 *          entry back after ZA_REGISTRY_SETTLE_MS and tells the actor. No third party ever removes
 *          an entry.
 * Groups   Any number of members, one entry for each (group, actor).
 * Effects  NAME_SET and NAME_CLEARED exactly when the answer of a lookup changes; GROUP_ADDED and
 *          GROUP_REMOVED exactly once for each change of the members (ADDED again: new meta).
 * Bounds   names_per_node_max per owner and entries_max in all; more is refused here, and an owner
 *          that does not fit is not copied for a while.
 * Memory   Address space is taken in create, pages as they are used.
 */
#pragma once

#include "cluster/cluster.h"
#include "cluster/view.h"

enum {
    ZA_REGISTRY_TAG = 2,
    ZA_REGISTRY_REMOVALS_MAX = 4096, // remembered per owner; who lacks more gets a snapshot
    ZA_REGISTRY_SETTLE_MS = 1000,
    ZA_REGISTRY_BATCH_MS = 5,       // changes of this time travel together
    ZA_REGISTRY_ECHO_MS = 25,       // until versions are named to neighbours
    ZA_REGISTRY_PULL_MS = 5000,     // a pull without an answer is given up
    ZA_REGISTRY_PARK_MS = 5000,     // a uid that membership does not know is remembered
    ZA_REGISTRY_BLOCKED_MS = 10000, // an owner that did not fit
    ZA_REGISTRY_SKEW_MS = 5000,     // a clock that is ahead by more is complained of
    ZA_REGISTRY_SERVE_MS = 5,
    ZA_REGISTRY_SERVE_BYTES = 64 * 1024, // answered per SERVE_MS: 13 MB/s, room for other frames
};

typedef struct za_registry za_registry_t;

/** `view` must outlive the registry. ZA_EINVAL: limits out of bounds. ZA_ENOMEM. */
typedef struct za_registry_options {
    za_registry_limits_t limits;
    uint32_t sync_ms;
    uint64_t seed;
} za_registry_options_t;

za_err_t za_registry_create(const za_view_t *view, const za_registry_options_t *options,
                            uint64_t now_ms, za_registry_t **out);
void za_registry_destroy(za_registry_t *registry);

/** What an actor asks for; the strings are copied. */
typedef struct za_claim {
    const char *name;
    za_name_kind_t kind;
    uint32_t prio;
    uint64_t actor;
    const uint8_t *meta;
    uint32_t meta_bytes;
} za_claim_t;

/**
 * A local actor takes a name or joins a group; again: changes prio and meta. Refusals are counted,
 * logged and, of unique names that it did not hold before, said in a NAME_LOST: two effects at most.
 * Its err, also when a name is lost later: ZA_EEXIST (another holds it), ZA_EUNAVAILABLE (this side of a
 * split gives no names away, or gives up), ZA_ENOBUFS (too many), ZA_EINVAL (no claim).
 */
void za_registry_register(za_registry_t *registry, const za_claim_t *claim, uint64_t now_ms,
                          za_effects_t *out);
void za_registry_unregister(za_registry_t *registry, za_name_kind_t kind, const char *name,
                            uint64_t actor, uint64_t now_ms);
/** A local actor ended: its names and memberships go. */
void za_registry_actor_stopped(za_registry_t *registry, uint64_t actor, uint64_t now_ms);
/** All unique names of ours are lost, with no winner: this node is on the losing side of a split. */
za_step_t za_registry_lose_names(za_registry_t *registry, uint64_t now_ms, za_effects_t *out);
/** What the driver's wall clock says: stamps of claims follow it. */
void za_registry_wall(za_registry_t *registry, uint64_t now_ms, uint64_t wall_ms);

/** Membership knows `uid`, not terminal, or knows another state of it. */
void za_registry_member(za_registry_t *registry, uint64_t uid, uint64_t now_ms);
/** `uid` is terminal: its map is gone from now on. */
void za_registry_gone(za_registry_t *registry, uint64_t uid);
/** Our uid changed: our names are announced again under the new one. Links are gone. */
void za_registry_reborn(za_registry_t *registry, uint64_t now_ms);
void za_registry_link_up(za_registry_t *registry, uint64_t uid);
void za_registry_link_down(za_registry_t *registry, uint64_t uid);

/** A frame of `uid`, without the tag. False: no frame of ours, count it. */
bool za_registry_frame(za_registry_t *registry, uint64_t uid, const uint8_t *bytes, size_t size,
                       uint64_t now_ms, za_effects_t *out);
/** Changes of names and groups first, then deltas, snapshots and comparisons. */
za_step_t za_registry_pump(za_registry_t *registry, uint64_t now_ms, za_effects_t *out);
/** Changes of names and groups alone. */
za_step_t za_registry_pump_names(za_registry_t *registry, uint64_t now_ms, za_effects_t *out);
uint64_t za_registry_deadline_ms(const za_registry_t *registry);

/** ZA_ENOENT. The own uid as 0. */
za_err_t za_registry_whereis(const za_registry_t *registry, const char *name, uint64_t now_ms,
                             za_name_answer_t *out);
/** Sorted by name; false from `visit` ends it. */
void za_registry_each_name(const za_registry_t *registry,
                           bool (*visit)(const char *name, za_ref_t ref, void *context),
                           void *context);
/** Members of a group, or, for NULL, of all groups sorted by name; false from `visit` ends it. */
void za_registry_each_member(const za_registry_t *registry, const char *group,
                             za_group_visit_t visit, void *context);
/** Equal on two nodes if they hold the same maps. */
uint64_t za_registry_hash(const za_registry_t *registry);
/** What is held of `uid`; false if nothing. */
bool za_registry_version(const za_registry_t *registry, uint64_t uid, uint64_t *applied,
                         uint64_t *hash);
/** Each map that is held, in the order of their uids' hashes; false from `visit` ends it. */
void za_registry_each_owner(const za_registry_t *registry,
                            bool (*visit)(const za_owner_info_t *info, void *context),
                            void *context);

/**
 * The same for maps in parts of the tree whose hashes are not those in `seen`, where they are put: so
 * two looks at an equal registry cost one comparison. With all zero: for all that have data.
 */
void za_registry_each_changed(const za_registry_t *registry,
                              uint64_t seen[static ZA_REGISTRY_PARTS],
                              bool (*visit)(const za_owner_info_t *info, void *context),
                              void *context);

typedef struct za_registry_stats {
    uint64_t divergence; // a hash was not what `applied` says: must stay 0
    uint64_t conflicts;  // names that our actors lost
    uint64_t refused;    // a table was full, or a claim was no good
    uint64_t skewed;     // nodes whose clocks run ahead
    uint64_t snapshots;  // sent
    uint64_t frames_out, bytes_out;
    uint64_t entries, names;
    uint64_t pulls, parked; // at present
    uint64_t bytes;         // memory in use
} za_registry_stats_t;

void za_registry_stats(const za_registry_t *registry, za_registry_stats_t *out);
