/**
 * Cluster: one node's part in membership, registry, watches and remote supervision, as one sans-IO
 * state machine: event in, effects out. No clock, socket, thread, lock or allocation is inside.
 *
 * It composes cluster/membership (SWIM), cluster/registry, cluster/syslane (reliable system frames),
 * cluster/relay (the same where no link can be made), cluster/watch and cluster/children (za_spawn_on),
 * and routes between them.
 *
 * Time     Events carry now_ms of the driver's monotonic clock, which never goes back.
 * Chance   One seeded generator inside; the same events give the same effects.
 * Memory   Taken in create; every table has a limit and a policy when full.
 * Threads  One at a time.
 */
#pragma once

#include "cluster/downing.h"
#include "cluster/effects.h"
#include "wire/epoch_key.h"

typedef struct za_cluster za_cluster_t;

/** Times of the failure detector, ms; presets as in docs/protocol.md. */
typedef struct za_cluster_timing {
    uint32_t probe_interval_ms; // T
    uint32_t probe_timeout_ms;  // the least; thrice the 99th percentile of round trips, up to T/2
    uint32_t suspicion_mult;
    uint32_t gossip_interval_ms;
    uint32_t sync_interval_ms;
    uint32_t auto_down_ms; // UNREACHABLE to DOWN
    uint32_t leave_timeout_ms;
    uint32_t reconnect_interval_ms; // to DOWN and UNREACHABLE addresses
    uint32_t seed_interval_ms;      // to seeds that are no members
    uint32_t registry_sync_ms;      // anti-entropy
} za_cluster_timing_t;

extern const za_cluster_timing_t za_cluster_timing_lan;
extern const za_cluster_timing_t za_cluster_timing_wan;
extern const za_cluster_timing_t za_cluster_timing_local;

/** 0: the largest, ZA_NAMES_PER_NODE_MAX and ZA_REGISTRY_ENTRIES_MAX. */
typedef struct za_registry_limits {
    uint32_t names_per_node_max; // names and memberships that this node's actors may have
    uint32_t entries_max;        // of all nodes
} za_registry_limits_t;

enum { ZA_CLUSTER_SEEDS_MAX = 32 };

typedef struct za_cluster_config {
    const char *cluster;      // name; every member's must be equal
    const char *name;         // of this node, unique in the cluster, as in its certificate
    const char *address;      // "host:port" at which others reach this node
    const char *const *seeds; // addresses; our own is skipped
    uint32_t seed_count;
    bool
        discovers; // other seeds come later, by ZA_CLUSTER_SEEDS: to have none yet is not to be alone
    uint64_t random_seed; // also source of our uids
    za_cluster_timing_t timing;
    za_downing_config_t downing; // every member's must be equal; zeroed: availability mode
    za_registry_limits_t registry;
    // True: datagrams go to any member, linked or not, by UDP (transport = auto). False: only to
    // linked members, over the link (transport = tls).
    bool datagrams;
    bool plain_swim; // without Lifeguard: for comparisons in simulations, and nothing else
    // Records of members, tombstones among them: ZA_MEMBERS_MAX if 0, at most ZA_MEMBERS_LIMIT.
    uint32_t members_max;
    // Texts of members, shared by the clusters of one thread; they must outlive these, and have room
    // for two more than there are members. NULL: a table of its own.
    struct za_member_texts *texts;
    const char *roles;   // of this node, separated by commas; NULL: none
    const uint8_t *meta; // the application's own bytes about this node
    uint32_t meta_bytes; // ZA_MEMBER_META_BYTES_MAX
} za_cluster_config_t;

typedef enum za_cluster_event_type {
    ZA_CLUSTER_TICK,     // the deadline has come (or earlier: harmless)
    ZA_CLUSTER_CONTINUE, // after ZA_STEP_MORE
    // From peers. `uid` is the link's authenticated peer.
    ZA_CLUSTER_DATAGRAM,       // uid, bytes, over_link; `uid` is the authenticated sender
    ZA_CLUSTER_FRAME,          // uid, lane (control or system), bytes
    ZA_CLUSTER_LINK_UP,        // uid, name, address: a link is ready for frames of all lanes
    ZA_CLUSTER_LINK_DOWN,      // uid, err: it broke; ZA_ECLOSED/ZA_EREFUSED (FIN/RST) is evidence
    ZA_CLUSTER_CONNECT_FAILED, // address, err (ZA_EREFUSED, ZA_ETIMEOUT, ZA_EAUTH, ZA_ECLUSTER ...)
    // From this node.
    ZA_CLUSTER_KEYS,        // bytes: ZA_EPOCH_SECRET_BYTES of secure chance; the first unasked
    ZA_CLUSTER_ROTATE_KEYS, // datagrams are to get another key
    // In place of the seeds before. bytes: addresses, a newline behind each; ours is skipped, and what
    // is more than ZA_CLUSTER_SEEDS_MAX. id: 1 if this node may be the first of all.
    ZA_CLUSTER_SEEDS,
    // uid: a message for that member waits for a link, or one went over it. Above the size of a full
    // mesh this is how links come about, and why they stay.
    ZA_CLUSTER_WANT_LINK,
    ZA_CLUSTER_LEAVE,
    ZA_CLUSTER_DOWN_NODE, // name: an operator declares an unreachable (or any) member down
    // The answer to ZA_EFFECT_LEASE: uid, who has the lease now (0: nobody), and tag, its revision, not
    // 0. err: the provider cannot say.
    ZA_CLUSTER_LEASE,
    ZA_CLUSTER_REGISTER,      // name, kind, actor, prio, bytes (meta), wall_ms
    ZA_CLUSTER_UNREGISTER,    // name, kind, actor
    ZA_CLUSTER_WATCH,         // watcher, id, ref (remote target)
    ZA_CLUSTER_UNWATCH,       // watcher, id, ref
    ZA_CLUSTER_LINK,          // watcher (maker), id, ref (remote target)
    ZA_CLUSTER_UNLINK,        // watcher (maker), id, ref, reason, after_user
    ZA_CLUSTER_LOCAL_DOWN,    // watcher (remote), id, ref (local target), reason, after_user
    ZA_CLUSTER_ACTOR_STOPPED, // actor, reason: drop its names, its children, its own child record
    ZA_CLUSTER_SPAWN, // id (request, unique per node), actor (parent), uid (target), tag, spawn
    ZA_CLUSTER_STOP_CHILD,    // actor (parent), ref (child)
    ZA_CLUSTER_CHILD_STARTED, // id, uid (asking node), ref (child, own uid as 0), err
} za_cluster_event_type_t;

typedef struct za_cluster_event {
    za_cluster_event_type_t type;
    za_lane_t lane;
    za_err_t err;
    za_Reason reason;
    za_name_kind_t kind;
    bool over_link; // the datagram came as a frame of the link, not by UDP
    uint32_t prio;  // of two holders of a name the one with the higher wins
    uint64_t now_ms;
    uint64_t now_us;  // the same moment, finer, for round trips; 0: not known
    uint64_t wall_ms; // since 1970, any clock: orders claims of names; 0: unknown
    uint64_t uid;
    uint64_t id;
    uint64_t tag;
    uint64_t actor;
    uint64_t after_user; // user frames handed to that peer's link before this event
    za_ref_t ref;
    za_ref_t watcher;
    const char *name;
    const char *address;
    const uint8_t *bytes;
    uint32_t size;
    const za_spawn_spec_t *spawn;
} za_cluster_event_t;

za_err_t za_cluster_create(const za_cluster_config_t *config, uint64_t now_ms, za_cluster_t **out);
void za_cluster_destroy(za_cluster_t *cluster);

za_step_t za_cluster_step(za_cluster_t *cluster, const za_cluster_event_t *event,
                          za_effects_t *out);
/** When ZA_CLUSTER_TICK is due; UINT64_MAX if never. */
uint64_t za_cluster_deadline_ms(const za_cluster_t *cluster);

/* ---- looking in: for zactorctl, metrics and the simulator's oracles ------------------------- */

uint64_t za_cluster_uid(const za_cluster_t *cluster);
/** Whether an actor here may take a unique name now: za_membership_may_claim. */
bool za_cluster_may_claim(const za_cluster_t *cluster);

typedef struct za_member_info {
    uint64_t uid;
    const char *name;
    const char *address;
    const char *roles; // separated by commas, "" if it has none
    const uint8_t *meta;
    uint32_t meta_bytes;
    za_member_state_t state;
    uint64_t incarnation;
    uint64_t since_ms; // of its present state, on this node's clock
    uint32_t rtt_us;   // 0: unknown
    bool self;
    bool linked;       // a link to it is up
    bool apart;        // others reach it, and no link can be made: see ZA_EFFECT_APART
    bool udp_degraded; // only probes over the link reach it
} za_member_info_t;

/** One of the members; false: it is not known. */
bool za_cluster_find_member(const za_cluster_t *cluster, uint64_t uid, za_member_info_t *out);
/** Members sorted by (name, uid); false from `visit` ends it. */
void za_cluster_each_member(const za_cluster_t *cluster,
                            bool (*visit)(const za_member_info_t *info, void *context),
                            void *context);
/** Names that lookups answer, sorted; `ref` with the own uid as 0. */
void za_cluster_each_name(const za_cluster_t *cluster,
                          bool (*visit)(const char *name, za_ref_t ref, void *context),
                          void *context);
/** The datagrams' keys, the greatest first, and which is sent with (if there are any). */
uint32_t za_cluster_keys(const za_cluster_t *cluster, za_epoch_key_t out[static ZA_EPOCH_KEYS_MAX],
                         uint32_t *sending);
/** Looks one name up. ZA_ENOENT. */
za_err_t za_cluster_whereis(const za_cluster_t *cluster, const char *name, za_ref_t *out);

typedef struct za_name_answer {
    za_ref_t ref;     // the own uid as 0
    uint64_t age_ms;  // since a node last confirmed what is known of the holder's node; own: 0
    bool unreachable; // the holder's node is, and nobody else has the name
    uint32_t holders; // more than one: a conflict that is being settled
    uint32_t prio;
    uint32_t meta_bytes;
    const uint8_t *meta; // the registry's, until its next step
} za_name_answer_t;

/** The same with what it is worth. ZA_ENOENT. */
za_err_t za_cluster_lookup(const za_cluster_t *cluster, const char *name, za_name_answer_t *out);

typedef bool (*za_group_visit_t)(const char *group, za_ref_t ref, const uint8_t *meta,
                                 uint32_t meta_bytes, void *context);
/**
 * Members of a group, or, for NULL, of all groups sorted by name; false from `visit` ends it. After
 * a step that is DONE this is the set that the effects so far add up to: a late subscriber takes it
 * first, and the effects of later steps after that.
 */
void za_cluster_each_group_member(const za_cluster_t *cluster, const char *group,
                                  za_group_visit_t visit, void *context);

/** What is held of one node's names. */
typedef struct za_owner_info {
    uint64_t uid;
    uint64_t applied; // its changes up to this are in
    uint64_t hash;    // follows from uid and applied
    uint32_t entries;
    bool unreachable;
} za_owner_info_t;

void za_cluster_each_owner(const za_cluster_t *cluster,
                           bool (*visit)(const za_owner_info_t *info, void *context),
                           void *context);
enum { ZA_REGISTRY_PARTS = 1 + 16 + 256 };
/** Those that may have changed since the last call with `seen`; all of them if that is all zero. */
void za_cluster_each_changed_owner(const za_cluster_t *cluster,
                                   uint64_t seen[static ZA_REGISTRY_PARTS],
                                   bool (*visit)(const za_owner_info_t *info, void *context),
                                   void *context);
/** Which version of one node's names is held; false: none. */
bool za_cluster_owner_version(const za_cluster_t *cluster, uint64_t uid, uint64_t *applied,
                              uint64_t *hash);
/** Hash over the member records (views are equal iff hashes are) and over the registry. */
uint64_t za_cluster_view_hash(const za_cluster_t *cluster);
uint64_t za_cluster_registry_hash(const za_cluster_t *cluster);

/** What consistency mode thinks. */
typedef struct za_downing_info {
    const char *text; // za_downing_describe
    za_downing_verdict_t verdict;
    uint64_t since_ms; // of the verdict, on this node's clock
    uint32_t stable, unreachable;
    uint32_t stable_after_ms; // 0 in availability mode
    bool fenced;              // this node gave up, and waits to join again
    // The last verdict that was one of a view, ours or theirs: equal hashes, equal members.
    uint64_t decided_ms, decided_as; // 0: none yet; our uid then
    uint64_t decided_view, decided_here;
} za_downing_info_t;

void za_cluster_downing(const za_cluster_t *cluster, za_downing_info_t *out);

typedef struct za_cluster_counters {
    uint64_t probes, probe_failures, suspects, refutes, downs, down_of_live, rebirths;
    uint64_t downing_kept, downing_self, joins_refused;
    uint64_t datagrams_in, datagrams_bad, frames_bad;
    uint64_t udp_degraded;                // times that a member was reached over its link only
    uint64_t aparts;                      // times that one was reached by others only
    uint64_t relayed, relayed_for_others; // system frames over a neighbour; as such a neighbour
    uint64_t relay_refusals;              // neighbours that had no link to the member either
    uint64_t registry_divergence, name_conflicts, registry_bytes;
    uint64_t registry_refused; // claims that were no good or found a table full
    uint64_t clocks_skewed;    // nodes whose clocks run ahead, by their claims of names
    uint64_t watches, watches_fired, system_resends;
    uint64_t respawns;
    uint64_t refused; // names, watches and children that found a table full
} za_cluster_counters_t;

void za_cluster_counters(const za_cluster_t *cluster, za_cluster_counters_t *out);
