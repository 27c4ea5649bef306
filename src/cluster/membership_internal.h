/**
 * The parts of membership see one struct. Each part is one .c file and owns the fields that stand
 * under its name; the table is read by all.
 *
 *   member_table.c  records by uid and by (name, uid), merge into the table, timers of suspicion
 *   member_probe.c  rounds of probes, helpers, local health
 *   member_gossip.c which news goes to whom; datagrams out
 *   member_sync.c   digests and differences; frames out
 *   member_join.c   joining, leaving, rebirth, names in use
 *   member_link.c   links and when to make them
 *   member_downing.c who goes on when members are unreachable (consistency mode)
 *   membership.c    create, step, queries
 */
#pragma once

#include "base/rng.h"
#include "cluster/downing.h"
#include "cluster/member.h"
#include "cluster/membership.h"

enum {
    ZA_MEMBER_NONE = 0xffff,     // no index
    ZA_MEMBER_MESH_MAX = 64,     // members up to which everyone links to everyone
    ZA_MEMBER_SPARSE_LINKS = 96, // links kept above that; below ZA_PEERS_MAX with room for incoming
    ZA_MEMBER_HELPERS = 3,       // k of SWIM's indirect probe
    ZA_MEMBER_FANOUT = 3,
    ZA_MEMBER_RELAYS_MAX = 64, // probes we make for others; more are not answered
    ZA_MEMBER_HEALTH_MAX = 8,
    ZA_MEMBER_CLAIMANTS_MAX = 8, // joiners that wait for a name; more must ask again
    ZA_MEMBER_SEEDS_MAX = ZA_CLUSTER_SEEDS_MAX,
    ZA_MEMBER_PAGE = 64, // records of a frame, as in membership.options
    ZA_MEMBER_DIGEST_PAGE = 256,
    ZA_MEMBER_PIGGYBACK_BYTES = 400, // news on a ping or an ack: keeps an idle round small
    ZA_MEMBER_FRAME_BYTES_MAX = 32 * 1024,
    ZA_MEMBER_RECONNECTS = 8,       // addresses tried per reconnect interval
    ZA_MEMBER_EFFECTS_RESERVE = 16, // of a step's effects, kept for those that are said only once
};
#define ZA_MEMBER_NEVER UINT64_MAX
#define ZA_MEMBER_TOMBSTONE_MS UINT64_C(86400000)

static_assert((int)ZA_MEMBERS_MAX < (int)ZA_MEMBER_NONE, "an index fits in 16 bits");

/** What we heard, while we are no member, of the process that was this one. */
typedef enum za_fenced {
    ZA_FENCED_NOT,     // nothing: it may be a member
    ZA_FENCED_STARTED, // it was started anew, and is joining
    ZA_FENCED_GAVE_UP, // it gave up as we did, and is joining
    ZA_FENCED_ALIKE,   // and its last stable view was ours
} za_fenced_t;

typedef struct za_member {
    za_MemberRecord record;
    uint64_t hash;       // its part of the view hash; 0 if none
    uint64_t since_ms;   // of the state shown
    uint64_t added_ms;   // when we first knew it
    uint64_t heard_ms;   // last word from itself; NEVER: none
    uint64_t told_ms;    // when it was told that it is down
    uint64_t rank_ms;    // start of the present rank
    uint64_t timer_ms;   // end of the suspicion, or of UNREACHABLE
    uint64_t connect_ms; // next attempt to link
    uint32_t rtt_us;
    uint16_t gossip_next, gossip_previous;
    uint8_t gossip_left; // transmissions still to make; 0: not queued
    uint8_t shown;       // za_member_state_t told to the driver
    bool linked;
    bool in_view, in_alive; // counted in live_count, in alive_count
    bool leave_acked;
    // A tombstone from before our rebirth: our old side's opinion, which we no longer hold. It says
    // nothing to others and gives way to any news.
    bool voided;
    bool was_self; // our own uid before a rebirth
    // member_downing.c
    bool stable;    // of the last stable view
    bool cut;       // unreachable
    uint8_t fenced; // za_fenced_t
} za_member_t;

typedef struct za_member_link {
    uint64_t uid;
    char name[ZA_NODE_NAME_BYTES_MAX + 1];
    char address[ZA_ADDRESS_BYTES_MAX + 1];
} za_member_link_t;

typedef enum za_probe_phase {
    ZA_PROBE_IDLE,     // until `next_ms`
    ZA_PROBE_DIRECT,   // until `timeout_ms`
    ZA_PROBE_INDIRECT, // until `end_ms`
} za_probe_phase_t;

typedef struct za_member_probe {
    za_probe_phase_t phase;
    uint64_t target, seq;
    uint64_t next_ms, start_ms, timeout_ms, end_ms;
    uint32_t asked, nacks;
    uint64_t urgent; // uid to probe next; 0: none
    uint16_t order_count, order_at;
    uint16_t order[ZA_MEMBERS_MAX];
} za_member_probe_t;

typedef struct za_member_relay {
    uint64_t origin, origin_seq, target, seq;
    uint64_t nack_ms, end_ms;
} za_member_relay_t;

typedef struct za_member_claimant {
    uint64_t uid, holder; // the joiner, and who has its name
    uint64_t since_ms, end_ms;
} za_member_claimant_t;

typedef struct za_member_downing {
    za_downing_config_t config;
    char text[ZA_DOWNING_TEXT_BYTES_MAX + 1];
    uint32_t stable_count, cut_count;
    uint64_t calm_ms;    // since when nobody is doubted; NEVER while somebody is
    uint64_t settle_ms;  // next look at who counts from now on
    uint64_t cut_ms;     // since when somebody is unreachable
    uint64_t changed_ms; // of what a verdict depends on
    uint64_t tick_ms;    // next look while somebody is doubted
    uint64_t census_ms;  // start of the census
    uint32_t census_cursor;
    uint64_t lost_ms; // since when too few answer
    za_lease_state_t lease;
    uint64_t holder;              // of the lease; 0: not known
    uint64_t revision;            // of the lease, as it is held
    uint64_t first;               // that we heard of in this split
    uint64_t won;                 // with which we won the last split
    za_downing_verdict_t verdict; // the last
    uint64_t verdict_ms;
    bool fenced;         // we gave up, and are no member until others take us in
    uint64_t was;        // our uid then
    uint64_t fence_hash; // of the last stable view then
} za_member_downing_t;

typedef enum za_member_phase {
    ZA_PHASE_JOINING,
    ZA_PHASE_UP,
    ZA_PHASE_LEAVING, // told everyone, waits for acks
    ZA_PHASE_PARTING, // said LEFT, waits for acks
    ZA_PHASE_LEFT,
} za_member_phase_t;

struct za_membership {
    // membership.c
    uint64_t now_ms;
    uint64_t deadline_ms; // as it was after the last step
    za_rng_t rng;
    za_cluster_timing_t timing;
    char name[ZA_NODE_NAME_BYTES_MAX + 1];
    char address[ZA_ADDRESS_BYTES_MAX + 1];
    char seeds[ZA_MEMBER_SEEDS_MAX][ZA_ADDRESS_BYTES_MAX + 1];
    uint32_t seed_count;
    bool datagrams;   // sent to members without a link, too
    bool more;        // the step ran out of room
    bool unannounced; // a member's `shown` lags behind
    za_cluster_counters_t counters;

    // member_table.c
    uint16_t self;
    uint16_t count;
    uint16_t free_count;
    uint16_t live_count;  // neither left nor down, ourselves included once up
    uint16_t alive_count; // of these, neither suspect nor unreachable
    uint64_t view_hash;
    uint64_t changed_ms;  // of the view
    uint64_t timers_ms;   // lower bound of all members' timers
    uint64_t connects_ms; // lower bound of all members' connect_ms
    uint16_t by_uid[ZA_MEMBERS_MAX];
    uint16_t by_name[ZA_MEMBERS_MAX];
    uint16_t free[ZA_MEMBERS_MAX];
    za_member_t *members; // ZA_MEMBERS_MAX

    // member_probe.c
    za_member_probe_t probe;
    uint32_t health; // 0: well
    uint64_t next_seq;
    uint32_t relay_count;
    za_member_relay_t relays[ZA_MEMBER_RELAYS_MAX];

    // member_gossip.c
    uint16_t gossip_first, gossip_last;
    uint16_t gossip_count;
    uint64_t gossip_ms, gossiped_ms;

    // member_sync.c
    uint64_t sync_ms;
    uint64_t hash_sync_ms; // last sync because of a hash

    // member_join.c
    za_member_phase_t phase;
    uint64_t clock;          // logical time of joins
    uint64_t join_target;    // whom we asked; 0: nobody
    uint64_t join_prefer;    // who told us to be reborn: ask it first
    uint64_t join_prefer_ms; // until then
    uint64_t join_end_ms;    // no answer until then: ask another
    uint64_t join_retry_ms;  // connect to more addresses
    uint64_t join_pause_ms;  // our name is in use: ask nobody until then
    uint32_t join_cursor;
    uint64_t alone_ms; // found a cluster of our own
    bool may_found;
    bool told_to_found; // by ZA_CLUSTER_SEEDS, which may take it back
    uint64_t leave_end_ms;
    bool rebirth_due;
    uint64_t rebirth_by;
    uint32_t claimant_count;
    za_member_claimant_t claimants[ZA_MEMBER_CLAIMANTS_MAX];

    za_member_downing_t downing; // member_downing.c

    // member_link.c
    uint32_t link_count;
    za_member_link_t links[ZA_PEERS_MAX]; // sorted by uid
    uint64_t reconnect_ms, seed_ms;
    uint64_t reconnect_cursor;

    // Scratch of one step: too large for a stack.
    za_MembershipFrame frame_in, frame_out;
    za_MembershipDatagram datagram_in, datagram_out;
};

static inline za_member_t *za_member_self(za_membership_t *m)
{
    return &m->members[m->self];
}
static inline uint64_t za_membership_self_uid(const za_membership_t *m)
{
    return m->members[m->self].record.uid;
}
static inline bool za_member_terminal(const za_member_t *member)
{
    return member->record.terminal != za_MemberTerminal_MEMBER_TERMINAL_NONE;
}
static inline uint64_t za_ms_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- membership.c: effects, each with room for it ------------------------------------------ */

/** Room for one effect with `bytes`; false notes that the step ran out of it. */
bool za_membership_room(za_membership_t *m, za_effects_t *out, uint32_t bytes);
void za_membership_mark(za_membership_t *m, za_effects_t *out, za_mark_t mark);
void za_membership_connect(za_membership_t *m, za_effects_t *out, const char *address);

/* ---- member_table.c ------------------------------------------------------------------------ */

void za_member_table_init(za_membership_t *m);
uint16_t za_member_index(const za_membership_t *m, uint64_t uid); // ZA_MEMBER_NONE
za_member_t *za_member_find(za_membership_t *m, uint64_t uid);    // NULL
/** A slot for a new uid, zeroed but for it and name and address; NULL if the table is full. */
za_member_t *za_member_insert(za_membership_t *m, const za_MemberRecord *record);
/** Merges what a peer or we ourselves say of any uid. */
void za_member_learn(za_membership_t *m, const za_MemberRecord *news, za_effects_t *out);
/** Follows a change of `member`'s record: hash, counts, timers, gossip, the driver. */
void za_member_changed(za_membership_t *m, za_member_t *member, za_effects_t *out);
/** Tells the driver of the state of `member` if that is news to it. */
void za_member_announce(za_membership_t *m, za_member_t *member, za_effects_t *out);
void za_member_announce_all(za_membership_t *m, za_effects_t *out);
/** We could not reach it (`refused`: its address refuses us). */
void za_member_suspect(za_membership_t *m, za_member_t *member, bool refused, za_effects_t *out);
void za_member_down(za_membership_t *m, za_member_t *member, za_MemberReason reason,
                    za_effects_t *out);
void za_member_set_connect(za_membership_t *m, za_member_t *member, uint64_t at_ms);
/** Fires the timers that are due. */
void za_member_timers(za_membership_t *m, za_effects_t *out);
/** Moves suspicions by a stall of ours. */
void za_member_table_lag(za_membership_t *m, uint64_t lag_ms);
/** Drops tombstones that are old enough. */
void za_member_purge(za_membership_t *m);
/** The live member of that name other than `not_uid`; NULL if there is none. */
za_member_t *za_member_holder(za_membership_t *m, const char *name, uint64_t not_uid);
/** Ends a joiner's silence: all suspicions begin anew. */
void za_member_table_up(za_membership_t *m);
/** Our old uid becomes a tombstone, our old side's opinions void, `uid` ourselves. */
void za_member_table_reborn(za_membership_t *m, uint64_t uid);
/** Two live members under one name: the later one yields. */
void za_member_check_names(za_membership_t *m, za_effects_t *out);

/* ---- member_probe.c ------------------------------------------------------------------------ */

void za_member_probe_start(za_membership_t *m, uint64_t first_ms);
void za_member_probe_stop(za_membership_t *m);
uint64_t za_member_probe_deadline(const za_membership_t *m);
void za_member_probe_tick(za_membership_t *m, za_effects_t *out);
void za_member_probe_lag(za_membership_t *m);
void za_member_probe_linked(za_membership_t *m, uint64_t uid, za_effects_t *out);
void za_member_probe_ack(za_membership_t *m, uint64_t uid, uint64_t seq, za_effects_t *out);
void za_member_probe_nack(za_membership_t *m, uint64_t seq);
void za_member_probe_relay(za_membership_t *m, uint64_t origin, uint64_t seq, uint64_t target,
                           za_effects_t *out);
void za_member_health(za_membership_t *m, int delta);

/* ---- member_gossip.c ----------------------------------------------------------------------- */

void za_member_gossip_add(za_membership_t *m, za_member_t *member);
void za_member_gossip_remove(za_membership_t *m, za_member_t *member);
void za_member_gossip_tick(za_membership_t *m, za_effects_t *out);
void za_member_send(za_membership_t *m, uint64_t uid, za_DatagramKind kind, uint64_t seq,
                    uint64_t target, za_effects_t *out);
void za_member_on_datagram(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out);
/** Up to `max` uids of linked live members other than the two given, at random. */
uint32_t za_member_pick(const za_membership_t *m, za_rng_t *rng, uint64_t not_a, uint64_t not_b,
                        bool alive_only, uint64_t *uids, uint32_t max);

/* ---- member_sync.c ------------------------------------------------------------------------- */

void za_member_send_frame(za_membership_t *m, uint64_t uid, za_effects_t *out); // m->frame_out
void za_member_send_digest(za_membership_t *m, uint64_t uid, za_effects_t *out);
void za_member_send_all(za_membership_t *m, uint64_t uid, za_effects_t *out);
void za_member_on_digest(za_membership_t *m, uint64_t uid, za_effects_t *out);  // m->frame_in
void za_member_on_records(za_membership_t *m, uint64_t uid, za_effects_t *out); // m->frame_in
void za_member_sync_tick(za_membership_t *m, za_effects_t *out);
void za_member_sync_hash(za_membership_t *m, uint64_t uid, uint64_t hash, za_effects_t *out);

/* ---- member_join.c ------------------------------------------------------------------------- */

void za_member_join_start(za_membership_t *m);
uint64_t za_member_join_deadline(const za_membership_t *m);
void za_member_join_tick(za_membership_t *m, za_effects_t *out);
void za_member_join_lag(za_membership_t *m, uint64_t lag_ms);
void za_member_on_frame(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out);
void za_member_ask_to_join(za_membership_t *m, za_effects_t *out);
void za_member_leave(za_membership_t *m, za_effects_t *out);
void za_member_leave_check(za_membership_t *m, za_effects_t *out);
/** A peer that is terminal here spoke to us: tell it, and close. */
void za_member_tell_down(za_membership_t *m, za_member_t *member, za_effects_t *out);
void za_member_claim(za_membership_t *m, za_member_t *member, za_effects_t *out);
void za_member_rebirth(za_membership_t *m, za_effects_t *out);
/** We are the first member of a new cluster. */
void za_member_found(za_membership_t *m, za_effects_t *out);

/** How long a node that may be the first of all listens for others before it is. */
uint64_t za_member_alone_wait_ms(const za_membership_t *m);

/* ---- member_seeds.c ------------------------------------------------------------------------ */

void za_member_on_seeds(za_membership_t *m, const za_cluster_event_t *event);

/* ---- member_downing.c: nothing happens here in availability mode ----------------------------- */

void za_member_downing_init(za_membership_t *m, const za_downing_config_t *config);
/** After each change of a member; its in_view is right already. */
void za_member_downing_note(za_membership_t *m, za_member_t *member);
void za_member_downing_forget(za_membership_t *m, za_member_t *member);
/** We are up. */
void za_member_downing_up(za_membership_t *m, bool founder);
void za_member_downing_tick(za_membership_t *m, za_effects_t *out);
/** After each step. */
void za_member_downing_follow(za_membership_t *m);
uint64_t za_member_downing_deadline(const za_membership_t *m);
void za_member_downing_lag(za_membership_t *m);
void za_member_downing_lease(za_membership_t *m, const za_cluster_event_t *event);
/** Our uid `was` is over; before join_start. */
void za_member_downing_reborn(za_membership_t *m, uint64_t was);
/** How a joiner is to be answered as far as splits go; `holder` has its name, NULL: nobody. */
za_JoinCode za_member_downing_admit(za_membership_t *m, const za_MembershipJoin *join,
                                    const za_member_t *holder, za_effects_t *out);
/** Whether no member is down but by a verdict, an operator or a successor at its address. */
bool za_member_downing_waits(const za_membership_t *m);
bool za_member_downing_may_found(const za_membership_t *m);

/* ---- member_link.c ------------------------------------------------------------------------- */

za_member_link_t *za_member_link(za_membership_t *m, uint64_t uid); // NULL
void za_member_link_up(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out);
void za_member_link_down(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out);
void za_member_connect_failed(za_membership_t *m, const za_cluster_event_t *event,
                              za_effects_t *out);
/** Sync, claim or word of its end, after a link or our join. `all`: also where the peer would. */
void za_member_greet(za_membership_t *m, uint64_t uid, bool all, za_effects_t *out);
void za_member_close(za_membership_t *m, uint64_t uid, za_effects_t *out);
/** Plans the link to a member that has none. */
void za_member_want_link(za_membership_t *m, za_member_t *member);
void za_member_link_tick(za_membership_t *m, za_effects_t *out);
