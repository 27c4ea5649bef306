/**
 * The parts of membership see one struct. Each part is one .c file and owns the fields that stand
 * under its name; the table is read by all.
 *
 *   member_table.c  records by uid and by (name, uid), merge into the table
 *   member_doubts.c who is in doubt, and the timers of suspicion
 *   member_names.c  one live member for each name
 *   member_probe.c  rounds of probes, helpers, local health
 *   member_gossip.c which news goes to whom; datagrams out
 *   member_sync.c   digests and differences; frames out
 *   member_join.c   joining, names in use; frames to where they belong
 *   member_leave.c  leaving
 *   member_rebirth.c who is told that it is down, claims, a new uid
 *   member_link.c   links and when to make them
 *   member_downing.c who goes on when members are unreachable (consistency mode)
 *   member_census.c who answers us while somebody is in doubt (consistency mode)
 *   membership.c    create, step, queries
 */
#pragma once

#include "base/rng.h"
#include "cluster/downing.h"
#include "cluster/member.h"
#include "cluster/member_codec.h"
#include "cluster/membership.h"

enum {
    ZA_MEMBER_NONE = 0xffff,     // no index
    ZA_MEMBER_LINE = 64,         // bytes of a cache line
    ZA_MEMBER_MESH_MAX = 64,     // members up to which everyone links to everyone
    ZA_MEMBER_RING = 2,          // links to the next ones in the ring of uids, above that
    ZA_MEMBER_SPARSE_LINKS = 96, // links kept above that; below ZA_PEERS_MAX with room for incoming
    ZA_MEMBER_HELPERS = 3,       // k of SWIM's indirect probe
    ZA_MEMBER_FANOUT = 3,
    ZA_MEMBER_URGENT_MAX = 32, // members up to which each looks at once at whom another doubts
    ZA_MEMBER_RELAYS_MAX = 64, // probes we make for others; more are not answered
    ZA_MEMBER_HEALTH_MAX = 8,
    ZA_MEMBER_CLAIMANTS_MAX = 8,  // joiners that wait for a name; more must ask again
    ZA_MEMBER_DUMPS_MAX = 64,     // joiners that are being sent all records; more must ask again
    ZA_MEMBER_CONNECTS_MAX = 256, // planned at once; what finds no room comes with the reconnects
    ZA_MEMBER_SEEDS_MAX = ZA_CLUSTER_SEEDS_MAX,
    ZA_MEMBER_PAGE = 48, // records of a frame, as in membership.options
    ZA_MEMBER_DIGEST_PAGE = 256,
    ZA_MEMBER_PIGGYBACK_BYTES = 400, // news on a ping or an ack: keeps an idle round small
    ZA_MEMBER_FRAME_BYTES_MAX = 32 * 1024,
    ZA_MEMBER_RECONNECTS = 8,       // addresses tried per reconnect interval
    ZA_MEMBER_EFFECTS_RESERVE = 16, // of a step's effects, kept for those that are said only once
};
#define ZA_MEMBER_NEVER UINT64_MAX
#define ZA_MEMBER_TOMBSTONE_MS UINT64_C(86400000)

static_assert((int)ZA_MEMBERS_LIMIT < (int)ZA_MEMBER_NONE, "an index fits in 16 bits");

/** What we heard, while we are no member, of the process that was this one. */
typedef enum za_fenced {
    ZA_FENCED_NOT,     // nothing: it may be a member
    ZA_FENCED_STARTED, // it was started anew, and is joining
    ZA_FENCED_GAVE_UP, // it gave up as we did, and is joining
    ZA_FENCED_ALIKE,   // and its last stable view was ours
} za_fenced_t;

/**
 * What probes and their answers look at of each member: half a cache line, because these are most of
 * what an idle node touches. What is looked at when something changes is beside it: za_member_rest_t,
 * and what only few need: za_member_doubt_t.
 */
typedef struct za_member {
    uint64_t uid;
    // The last word from itself; NEVER: none. Of a terminal one: when it was told so.
    uint64_t heard_ms;
    uint32_t texts;        // in the table of texts
    uint32_t rtt_us;       // 0: unknown
    uint16_t doubt;        // place in `doubts`
    uint8_t gossip_left;   // transmissions still to make; 0: not queued
    uint8_t shown;         // za_member_state_t told to the driver
    unsigned terminal : 2; // these four: as in za_member_opinion_t
    unsigned rank : 2;
    unsigned reason : 3;
    unsigned leaving : 1;
    unsigned linked : 1;
    unsigned in_view : 1;  // counted in live_count
    unsigned in_alive : 1; // counted in alive_count
    unsigned live : 1;     // in `live`
    unsigned in_dead : 1;  // counted in dead_count
    unsigned leave_acked : 1;
    // Doubted or down before our rebirth: our old side's opinion, which we no longer hold. It says
    // nothing to others and gives way to any news.
    unsigned voided : 1;
    unsigned was_self : 1;    // our own uid before a rebirth
    unsigned gossip_full : 1; // its texts are news, too
    unsigned udp_silent : 2;  // rounds in a row that only the link saved
    unsigned udp_degraded : 1;
    unsigned apart : 1; // others reach it, and we have no link: so the driver was told
    // member_downing.c
    unsigned stable : 1; // of the last stable view
    unsigned cut : 1;    // unreachable
    unsigned fenced : 2; // za_fenced_t
} za_member_t;

static_assert(sizeof(za_member_t) == 32, "two in a cache line");

typedef struct za_member_rest {
    uint64_t inc;
    uint64_t hash;     // its part of the view hash; 0 if none
    uint64_t since_ms; // of the state shown
    uint16_t next;     // with the same bucket of names, or free
    uint16_t gossip_next, gossip_previous;
} za_member_rest_t;

static_assert(sizeof(za_member_rest_t) == 32, "two in a cache line");

/** What else is kept of a member that is suspect or unreachable. */
typedef struct za_member_doubt {
    uint64_t rank_ms;  // start of the present rank
    uint64_t timer_ms; // end of the suspicion, or of UNREACHABLE
    za_member_evidence_t suspecters, refused;
    uint16_t member; // whose; free: the next free one
    uint16_t heap_at;
} za_member_doubt_t;

typedef struct za_member_connect {
    uint64_t at_ms;
    uint64_t since_ms;  // since when there is no link although the member can be reached
    uint64_t wanted_ms; // za_membership_want_link; 0: never
    uint16_t member;
} za_member_connect_t;

typedef struct za_member_link {
    uint64_t uid;
    uint64_t wanted_ms; // za_membership_want_link; 0: never
    uint64_t up_ms;     // since when there is the link
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
    uint32_t asked;
    uint64_t next_ms, timeout_ms, end_ms;
    uint64_t target, seq; // of the last round while IDLE
    uint64_t start_ms, start_us;
    // A line further: what only rounds that begin or fail look at.
    uint64_t urgent; // uid to probe next; 0: none
    uint64_t voided; // whose round a stall of ours has ended without a result; 0: none
    uint32_t nacks;
} za_member_probe_t;

typedef struct za_member_relay {
    uint64_t origin, origin_seq, target, seq;
    uint64_t nack_ms, end_ms;
} za_member_relay_t;

typedef struct za_member_claimant {
    uint64_t uid, holder; // the joiner, and who has its name
    uint64_t since_ms, end_ms;
} za_member_claimant_t;

/** All records on their way to a joiner, and the acceptance behind them. */
typedef struct za_member_dump {
    uint64_t uid;
    uint64_t joined;
    uint32_t at; // slot to go on with
} za_member_dump_t;

typedef struct za_member_downing {
    za_downing_config_t config;
    char text[ZA_DOWNING_TEXT_BYTES_MAX + 1];
    uint32_t stable_count, cut_count;
    uint64_t calm_ms;    // since when nobody is doubted; NEVER while somebody is
    uint64_t settle_ms;  // next look at who counts from now on
    uint64_t cut_ms;     // since when somebody is unreachable
    uint64_t changed_ms; // of what a verdict depends on
    uint64_t tick_ms;    // next look while somebody is doubted
    uint64_t lost_ms;    // since when too few answer
    za_lease_state_t lease;
    uint64_t holder;              // of the lease; 0: not known
    uint64_t revision;            // of the lease, as it is held
    uint64_t first;               // that we heard of in this split
    uint64_t won;                 // with which we won the last split
    za_downing_verdict_t verdict; // the last
    uint64_t verdict_ms;
    uint64_t decided_ms, decided_as, decided_view, decided_here; // the last of a whole view
    bool fenced;         // we gave up, and are no member until others take us in
    uint64_t was;        // our uid then
    uint64_t fence_hash; // of the last stable view then
    uint64_t wait_ms;    // when it is said for whom we wait
} za_member_downing_t;

/** After a split that nobody won: whom of those who gave up to seek. */
typedef struct za_member_anew {
    uint32_t passed; // of the lowest names: they do not answer
    uint64_t ask_ms; // when the first of the others is asked
    uint64_t asked;  // last
} za_member_anew_t;

typedef struct za_member_census {
    uint64_t began_ms;
    uint64_t
        asked[2]; // next_seq four to eight questions ago, and since: answers to older ones are late
    uint32_t looks;  // since the later of them
    uint32_t cursor; // whom to ask next
    uint32_t helper_cursor;
    uint64_t
        *answered_ms; // by slot: when it answered a question of ours; touched in a census alone
} za_member_census_t;

typedef enum za_member_phase {
    ZA_PHASE_JOINING,
    ZA_PHASE_UP,
    ZA_PHASE_LEAVING, // told everyone, waits for acks
    ZA_PHASE_PARTING, // said LEFT, waits for acks
    ZA_PHASE_LEFT,
} za_member_phase_t;

/** What became of attempts to connect while this node is no member. */
typedef struct za_member_tries {
    uint64_t again_ms; // not before
    uint32_t refusals; // in a row, for a reason that does not pass by itself
    za_err_t err;      // of the last; ZA_OK: none has failed since a link was made
} za_member_tries_t;

typedef struct za_member_seed {
    char address[ZA_ADDRESS_BYTES_MAX + 1];
    uint64_t member; // uid last seen there
    za_member_tries_t tries;
} za_member_seed_t;

struct za_membership {
    // ---- what steps look at: a line for all of them, ... ----
    _Alignas(ZA_MEMBER_LINE) uint64_t now_ms;
    uint64_t now_us;
    uint64_t deadline_ms; // as it was after the last step
    uint64_t noticed_ms;  // when a stall was noticed last
    // The deadline without probes and gossip, and when a tick has more to do than these. Kept from
    // step to step, because datagrams without news are most of what a node gets.
    uint64_t rest_ms, look_ms;
    uint64_t self_uid;
    uint64_t view_hash;

    // ---- ... one more for datagrams, ... ----
    za_member_t *members;
    uint16_t *by_uid; // open addressing: slot + 1, 0 if empty
    za_member_texts_t *texts;
    uint64_t datagrams_in;
    uint64_t relays_ms; // lower bound of all relays' times
    uint32_t mask;      // of the two tables of buckets in use; both double as members come
    za_member_phase_t phase;
    uint16_t self;
    uint16_t gossip_count;
    bool datagrams;   // sent to members without a link, too
    bool plain;       // SWIM without Lifeguard
    bool more;        // the step ran out of room
    bool unannounced; // a member's `shown` lags behind
    bool rebirth_due;
    bool ring_stale;
    bool rest_stale; // this step may move what rest_ms and look_ms are of
    bool decides;    // it has a downing strategy
    bool census_on;  // member_census.c

    // ---- ... one for the round of a probe, and its rest, ... ----
    _Alignas(ZA_MEMBER_LINE) za_member_probe_t probe;
    uint64_t next_seq;
    uint64_t rtt99;     // of all peers, in 256ths of a microsecond; 0: unknown
    uint32_t health;    // 0: well
    uint16_t pass_at;   // in `live`: whom this pass of probes has met are before it
    uint16_t live_size; // live_count without ourselves

    // ---- ... and one for rounds that begin. ----
    uint16_t *live;
    za_rng_t rng;
    uint64_t names_ms;    // look for names that two members have
    uint64_t probes;      // rounds so far
    uint16_t live_count;  // neither left nor down, ourselves included once up
    uint16_t alive_count; // of these, neither suspect nor unreachable
    uint32_t link_count;
    za_cluster_timing_t timing;

    // ---- ticks of all else ----
    uint16_t doubt_count;
    za_member_rest_t *rests; // of the same places as `members`
    uint64_t changed_ms;     // of the view
    uint64_t gossip_ms, gossiped_ms;
    uint64_t connects_ms; // lower bound of all connects
    uint64_t sync_ms;
    uint64_t hash_sync_ms; // last sync because of a hash
    uint64_t reconnect_ms, seed_ms, ring_ms;
    uint64_t purge_ms;
    uint32_t claimant_count, dump_count;
    uint32_t relay_count;
    za_cluster_counters_t counters; // but for `datagrams_in` and `probes`, which are above

    // ---- now and then ----
    // membership.c
    char name[ZA_NODE_NAME_BYTES_MAX + 1];
    char address[ZA_ADDRESS_BYTES_MAX + 1];
    uint32_t seed_count;
    za_member_seed_t *seeds; // ZA_MEMBER_SEEDS_MAX
    bool own_texts;
    void *memory; // all tables; address space until they are used

    // member_table.c
    uint16_t capacity;
    uint16_t fresh; // slots from here on were never used
    uint16_t free;  // first of the freed ones
    uint16_t count;
    uint16_t dead_count; // DOWN and not voided
    uint32_t mask_max;
    uint16_t *by_name;      // slot + 1 of the first with that hash
    uint16_t *sorted;       // by (name, uid), if *sorted_count is not NONE
    uint16_t *sorted_count; // written by queries: a cache
    uint16_t *scratch;      // of one step, for a list of members
    za_member_doubt_t *doubts;
    uint16_t doubt_fresh, doubt_free;
    uint16_t *timers; // heap of doubts by (timer_ms, place)

    // member_probe.c
    za_member_relay_t relays[ZA_MEMBER_RELAYS_MAX];

    // member_gossip.c
    uint16_t gossip_first, gossip_last;

    // member_sync.c
    za_member_dump_t dumps[ZA_MEMBER_DUMPS_MAX];

    // member_join.c
    uint64_t clock;           // logical time of joins
    uint64_t join_target;     // whom we asked; 0: nobody
    uint64_t join_prefer;     // who told us to be reborn: ask it first
    uint64_t join_prefer_ms;  // until then
    uint64_t join_end_ms;     // no answer until then: ask another
    uint64_t join_retry_ms;   // connect to more addresses
    uint32_t join_refusals;   // rounds that began early because a seed refused
    bool join_crowded;        // a seed turned us away because too many came
    uint64_t join_pause_ms;   // our name is in use: ask nobody until then
    uint32_t join_denials;    // answers in a row that we may not join
    uint64_t join_tell_ms;    // say in the log that we still try, at the next round after it
    uint32_t join_told;       // how often we did
    za_member_tries_t others; // of all addresses that are no seeds
    uint32_t join_cursor;
    uint32_t ask_cursor; // its own, so that every link gets its turn
    uint64_t alone_ms;   // found a cluster of our own
    bool may_found;
    bool told_to_found; // by ZA_CLUSTER_SEEDS, which may take it back
    uint64_t leave_end_ms;
    uint64_t parting_ms; // until then we answer, although we have left
    uint64_t rebirth_by;
    za_member_claimant_t claimants[ZA_MEMBER_CLAIMANTS_MAX];

    za_member_downing_t downing; // member_downing.c
    za_member_anew_t anew;       // member_anew.c
    za_member_census_t census;   // member_census.c

    // member_link.c
    // Above the full mesh: the next ones of the ring of uids, and how far the last one is.
    uint64_t ring[ZA_MEMBER_RING];
    uint64_t ring_reach;
    za_member_link_t *links; // ZA_PEERS_MAX, sorted by uid
    uint32_t connect_count;
    za_member_connect_t *connects; // ZA_MEMBER_CONNECTS_MAX
    uint32_t reconnect_cursor;
};

/** Whoever becomes ourselves. */
static inline void za_member_set_self(za_membership_t *m, const za_member_t *member)
{
    m->self = (uint16_t)(member - m->members);
    m->self_uid = member->uid;
}
static inline za_member_t *za_member_self(za_membership_t *m)
{
    return &m->members[m->self];
}
static inline uint64_t za_membership_self_uid(const za_membership_t *m)
{
    return m->self_uid;
}
static inline za_member_rest_t *za_member_rest(const za_membership_t *m, const za_member_t *member)
{
    return &m->rests[member - m->members];
}
static inline bool za_member_terminal(const za_member_t *member)
{
    return member->terminal != za_MemberTerminal_MEMBER_TERMINAL_NONE;
}
static inline uint64_t za_ms_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline const za_member_text_t *za_member_text(const za_membership_t *m,
                                                     const za_member_t *member)
{
    return za_member_texts_at(m->texts, member->texts);
}
static inline const char *za_member_name(const za_membership_t *m, const za_member_t *member)
{
    return za_member_text(m, member)->name;
}
static inline const char *za_member_address(const za_membership_t *m, const za_member_t *member)
{
    return za_member_text_address(za_member_text(m, member));
}

/* ---- membership.c: effects, each with room for it ------------------------------------------ */

/** Room for one effect with `bytes`; false notes that the step ran out of it. */
bool za_membership_room(za_membership_t *m, za_effects_t *out, uint32_t bytes);
void za_membership_mark(za_membership_t *m, za_effects_t *out, za_mark_t mark);
void za_membership_connect(za_membership_t *m, za_effects_t *out, const char *address);
/** As za_membership_connect, for a link that nobody waits for. */
void za_membership_mesh(za_membership_t *m, za_effects_t *out, const za_member_t *member);
void za_membership_log(za_membership_t *m, za_effects_t *out, int level, const char *format, ...)
    ZA_PRINTF(4, 5);

/* ---- member_table.c ------------------------------------------------------------------------ */

/** Divides `memory`; with NULL it only says how many bytes that takes. */
size_t za_member_table_init(za_membership_t *m, uint32_t capacity, uint8_t *memory);
void za_member_table_deinit(za_membership_t *m);
static inline uint32_t za_member_bucket(const za_membership_t *m, uint64_t uid)
{
    return (uint32_t)((uid * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & m->mask;
}

/** NULL if that uid is not known. */
static inline za_member_t *za_member_find(const za_membership_t *m, uint64_t uid)
{
    for (uint32_t at = za_member_bucket(m, uid);; at = (at + 1) & m->mask) {
        uint16_t slot = m->by_uid[at]; // + 1
        if (slot == 0) {
            return NULL;
        }
        if (m->members[slot - 1].uid == uid) {
            return &m->members[slot - 1];
        }
    }
}

/** Slots 0 .. fresh - 1 are visited by `at`; NULL where one is free. */
za_member_t *za_member_slot(const za_membership_t *m, uint32_t at);
/**
 * Whether news of an unknown member may come in. A tombstone takes no other one's place: two full tables
 * that have dropped different ones would tell each other of them for ever.
 */
bool za_member_welcome(const za_membership_t *m, za_MemberTerminal terminal);
/** A slot for a new uid; NULL if the table is full. */
za_member_t *za_member_insert(za_membership_t *m, uint64_t uid, const za_member_opinion_t *opinion,
                              const za_member_profile_t *profile);
/** Other texts for a member. False if the table of texts is full. */
bool za_member_set_texts(za_membership_t *m, za_member_t *member,
                         const za_member_profile_t *profile);
void za_member_opinion(const za_membership_t *m, const za_member_t *member,
                       za_member_opinion_t *out);
void za_member_set_opinion(za_membership_t *m, za_member_t *member,
                           const za_member_opinion_t *opinion);
za_member_state_t za_member_state_of(const za_member_t *member);
/** Merges what a peer or we ourselves say of any uid. */
void za_member_learn(za_membership_t *m, const za_member_news_t *news, za_effects_t *out);
/** Follows a change of `member`: hash, counts, timers, gossip, the driver. */
void za_member_changed(za_membership_t *m, za_member_t *member, za_effects_t *out);
/** Tells the driver of the state of `member` if that is news to it. */
void za_member_announce(za_membership_t *m, za_member_t *member, za_effects_t *out);
void za_member_announce_all(za_membership_t *m, za_effects_t *out);
/** Bytes of an effect with the texts of a member. */
enum {
    ZA_MEMBER_TOLD_BYTES_MAX =
        ZA_NODE_NAME_BYTES_MAX + ZA_ADDRESS_BYTES_MAX + ZA_MEMBER_ROLES_BYTES_MAX + 3
};
/** An effect about `member`, with its texts; the caller has made sure of room. */
za_effect_t *za_member_tell(const za_membership_t *m, const za_member_t *member,
                            za_effect_type_t type, za_effects_t *out);
static inline uint16_t za_member_index(const za_membership_t *m, const za_member_t *member)
{
    return (uint16_t)(member - m->members);
}

/** How long a name that two had is watched. */
static inline uint64_t za_member_settle_ms(const za_membership_t *m)
{
    return 6 * (uint64_t)m->timing.probe_interval_ms;
}

/** The next member with that name from `slot` (+ 1) of a bucket on; NULL if there is none. */
za_member_t *za_member_named(const za_membership_t *m, uint16_t slot, const char *name,
                             uint32_t bytes);
za_member_t *za_member_first_named(const za_membership_t *m, const char *name, uint32_t bytes);
/** Drops tombstones that are old enough. */
void za_member_purge(za_membership_t *m);
/** Ends a joiner's silence: all suspicions begin anew. */
void za_member_table_up(za_membership_t *m);
/** Our old uid becomes a tombstone, our old side's opinions void, `uid` ourselves. */
void za_member_table_reborn(za_membership_t *m, uint64_t uid);
/** Slots in order of (name, uid). */
const uint16_t *za_member_sorted(const za_membership_t *m);

/* ---- member_doubts.c ----------------------------------------------------------------------- */

/** NULL: nobody doubts it. */
static inline za_member_doubt_t *za_member_doubt(const za_membership_t *m,
                                                 const za_member_t *member)
{
    return member->doubt != ZA_MEMBER_NONE ? &m->doubts[member->doubt] : NULL;
}

void za_member_doubt_remove(za_membership_t *m, za_member_t *member);
/** When the doubt turns into more, after each change of it. */
void za_member_set_timer(za_membership_t *m, za_member_t *member);
/** We could not reach it (`refused`: its address refuses us). */
void za_member_suspect(za_membership_t *m, za_member_t *member, bool refused, za_effects_t *out);
void za_member_down(za_membership_t *m, za_member_t *member, za_MemberReason reason,
                    za_effects_t *out);
/** Start of the present rank of a member that is doubted. */
uint64_t za_member_rank_ms(const za_membership_t *m, const za_member_t *member);
static inline uint64_t za_member_timers_deadline(const za_membership_t *m)
{
    return m->doubt_count > 0 ? m->doubts[m->timers[0]].timer_ms : ZA_MEMBER_NEVER;
}

/** Fires the timers that are due. */
void za_member_timers(za_membership_t *m, za_effects_t *out);
/** Moves suspicions by a stall of ours. */
void za_member_table_lag(za_membership_t *m, uint64_t lag_ms);

/* ---- member_names.c ------------------------------------------------------------------------ */

/** The live member of that name other than `not_uid`; NULL if there is none. */
za_member_t *za_member_holder(const za_membership_t *m, const char *name, uint32_t bytes,
                              uint64_t not_uid);
/** `member` is news: of two under its name and address one is gone. */
void za_member_replace_by_address(za_membership_t *m, za_member_t *member, za_effects_t *out);
/** Two live members under one name: the later one yields. */
void za_member_check_names(za_membership_t *m, za_effects_t *out);

/* ---- member_probe.c ------------------------------------------------------------------------ */

void za_member_probe_start(za_membership_t *m, uint64_t first_ms);
void za_member_probe_stop(za_membership_t *m);
static inline uint64_t za_member_probe_deadline(const za_membership_t *m)
{
    const za_member_probe_t *probe = &m->probe;
    uint64_t deadline = probe->phase == ZA_PROBE_IDLE     ? probe->next_ms
                        : probe->phase == ZA_PROBE_DIRECT ? probe->timeout_ms
                                                          : probe->end_ms;
    return za_ms_min(deadline, m->relays_ms);
}

void za_member_probe_tick(za_membership_t *m, za_effects_t *out);
void za_member_probe_lag(za_membership_t *m, uint64_t lag_ms);
void za_member_probe_linked(za_membership_t *m, uint64_t uid, za_effects_t *out);
/** `sender` is the member `uid`, if it is at hand. */
void za_member_probe_ack(za_membership_t *m, uint64_t uid, za_member_t *sender, uint64_t seq,
                         bool over_link, za_effects_t *out);
void za_member_probe_nack(za_membership_t *m, uint64_t seq);
void za_member_probe_relay(za_membership_t *m, uint64_t origin, uint64_t seq, uint64_t target,
                           za_effects_t *out);
void za_member_health(za_membership_t *m, int delta);

/* ---- member_gossip.c ----------------------------------------------------------------------- */

void za_member_gossip_add(za_membership_t *m, za_member_t *member);
void za_member_gossip_remove(za_membership_t *m, za_member_t *member);
/** Somebody else says what we are about to say of `member`. */
void za_member_gossip_heard(za_membership_t *m, za_member_t *member);
void za_member_gossip_tick(za_membership_t *m, za_effects_t *out);

typedef struct za_member_send {
    uint64_t uid;
    const za_member_t *member; // with that uid, if the caller has it at hand; NULL: it is looked up
    za_DatagramKind kind;
    bool over_link;
    uint64_t seq, target;
} za_member_send_t;

void za_member_send(za_membership_t *m, const za_member_send_t *send, za_effects_t *out);
/** Tells all to whom there is a link of one that joined over a link of ours. */
void za_member_herald(za_membership_t *m, za_member_t *newcomer, za_effects_t *out);
void za_member_on_datagram(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out);
/** Up to `max` slots of live members other than the two given, at random, that a datagram reaches. */
uint32_t za_member_pick(za_membership_t *m, uint64_t not_a, uint64_t not_b, bool alive_only,
                        uint16_t *slots, uint32_t max);
/** The same among those that have a link. */
uint32_t za_member_pick_linked(const za_membership_t *m, za_rng_t *rng, uint64_t not_a,
                               uint64_t not_b, bool alive_only, uint64_t *uids, uint32_t max);

/* ---- member_sync.c ------------------------------------------------------------------------- */

/** A frame while it is written; its bytes lie in the arena of the effects already. */
typedef struct za_member_frame {
    uint64_t uid;
    uint8_t *start, *at;
} za_member_frame_t;

/** Begins a frame with field `body` to `uid`. False without a link or without room. */
bool za_member_frame_begin(za_membership_t *m, uint64_t uid, uint32_t body,
                           za_member_frame_t *frame, za_effects_t *out);
void za_member_frame_end(za_member_frame_t *frame, za_effects_t *out);
/** A frame whose body is one record. */
void za_member_send_record(za_membership_t *m, uint64_t uid, uint32_t body,
                           const za_member_t *member, za_effects_t *out);
void za_member_line(const za_membership_t *m, const za_member_t *member,
                    za_member_opinion_t *opinion, za_member_profile_t *profile, bool brief,
                    za_member_line_t *out);
void za_member_send_digest(za_membership_t *m, uint64_t uid, za_effects_t *out);
/** Whoever has the same hash needs no more than this; another answers with its digest. */
void za_member_send_view_hash(za_membership_t *m, uint64_t uid, za_effects_t *out);
/** All records to a joiner, then its acceptance, in as many steps as it takes. */
void za_member_send_all(za_membership_t *m, uint64_t uid, uint64_t joined, za_effects_t *out);
void za_member_dumps_tick(za_membership_t *m, za_effects_t *out);
void za_member_on_digest(za_membership_t *m, uint64_t uid, const uint8_t *bytes, uint32_t size,
                         za_effects_t *out);
void za_member_on_records(za_membership_t *m, uint64_t uid, const uint8_t *bytes, uint32_t size,
                          za_effects_t *out);
void za_member_sync_tick(za_membership_t *m, za_effects_t *out);
void za_member_sync_hash(za_membership_t *m, uint64_t uid, uint64_t hash, za_effects_t *out);

/* ---- member_join.c ------------------------------------------------------------------------- */

void za_member_join_start(za_membership_t *m);
uint64_t za_member_join_deadline(const za_membership_t *m);
void za_member_join_tick(za_membership_t *m, za_effects_t *out);
void za_member_join_lag(za_membership_t *m, uint64_t lag_ms);
void za_member_on_frame(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out);
void za_member_ask_to_join(za_membership_t *m, za_effects_t *out);
void za_member_accept(za_membership_t *m, uint64_t uid, uint64_t joined, za_effects_t *out);
/** We are the first member of a new cluster. */
void za_member_found(za_membership_t *m, za_effects_t *out);

/** What a Join says. */
typedef struct za_member_joiner {
    za_member_news_t me;
    uint64_t was;                                // its uid until it gave up in a split; 0: none
    uint64_t stable;                             // a hash of those that counted then
    char downing[ZA_DOWNING_TEXT_BYTES_MAX + 1]; // what decides in a split
} za_member_joiner_t;

/** What a frame has in it. */
typedef struct za_member_body {
    uint32_t tag, size;
    const uint8_t *bytes;
} za_member_body_t;

/** The sender's own record and what else it says of itself. False: it is none. */
bool za_member_joiner_get(const za_member_body_t *body, uint64_t uid, za_member_joiner_t *out);
/** The number or word of a frame that has one field. */
bool za_member_single_get(const za_member_body_t *body, uint32_t key, uint64_t *out);
/** How long a node that may be the first of all listens for others before it is. */
uint64_t za_member_alone_wait_ms(const za_membership_t *m);

/* ---- member_leave.c ------------------------------------------------------------------------ */

void za_member_leave(za_membership_t *m, za_effects_t *out);
void za_member_leave_check(za_membership_t *m, za_effects_t *out);
void za_member_on_leave(za_membership_t *m, uint64_t uid, const za_member_body_t *body,
                        za_effects_t *out);
void za_member_on_leave_ack(za_membership_t *m, uint64_t uid, const za_member_body_t *body);

/* ---- member_rebirth.c ---------------------------------------------------------------------- */

/** A peer that is terminal here spoke to us: tell it, and close. */
void za_member_tell_down(za_membership_t *m, za_member_t *member, za_effects_t *out);
void za_member_claim(za_membership_t *m, za_member_t *member, za_effects_t *out);
void za_member_rebirth(za_membership_t *m, za_effects_t *out);
void za_member_on_claim(za_membership_t *m, uint64_t uid, const za_member_body_t *body,
                        za_effects_t *out);
void za_member_on_down(za_membership_t *m, uint64_t uid, const za_member_body_t *body);

/* ---- member_seeds.c ------------------------------------------------------------------------ */

void za_member_on_seeds(za_membership_t *m, const za_cluster_event_t *event);
/** An attempt to connect failed, or a link to that address was made, while we join. */
void za_member_seed_failed(za_membership_t *m, const char *address, za_err_t err);
void za_member_seed_linked(za_membership_t *m, const char *address);
/** The wait after the `times`th refusal in a row: doubles from `first_ms`, up to seed_interval_ms. */
uint64_t za_member_backoff_ms(za_membership_t *m, uint64_t first_ms, uint32_t times);
/** Says in the log which seeds were tried, why each failed, and that we go on: ever less often. */
void za_member_seeds_tell(za_membership_t *m, za_effects_t *out);

/* ---- member_downing.c: nothing happens here in availability mode ----------------------------- */

void za_member_downing_init(za_membership_t *m, const za_downing_config_t *config);
/** After each change of a member; its in_view is right already. */
void za_member_downing_note(za_membership_t *m, za_member_t *member);
void za_member_downing_forget(za_membership_t *m, za_member_t *member);
/** We are up. */
void za_member_downing_up(za_membership_t *m, bool founder, za_effects_t *out);
void za_member_downing_tick(za_membership_t *m, za_effects_t *out);
/** After each step. */
void za_member_downing_follow(za_membership_t *m);
uint64_t za_member_downing_deadline(const za_membership_t *m);
void za_member_downing_lag(za_membership_t *m);
void za_member_downing_lease(za_membership_t *m, const za_cluster_event_t *event);
/** Our uid `was` is over; before join_start. */
void za_member_downing_reborn(za_membership_t *m, uint64_t was);
/** How a joiner is to be answered as far as splits go; `holder` has its name, NULL: nobody. */
za_JoinCode za_member_downing_admit(za_membership_t *m, const za_member_joiner_t *join,
                                    const za_member_t *holder, za_effects_t *out);
/** Whether no member is down but by a verdict, an operator or a successor at its address. */
bool za_member_downing_waits(const za_membership_t *m);
bool za_member_downing_may_found(const za_membership_t *m);
/** While we join: says after a time, and then again, who is missing after a split that nobody won. */
void za_member_downing_wait(za_membership_t *m, za_effects_t *out);

/* ---- member_anew.c: where this node gave up in a split ---------------------------------------- */

/** Begins with the lowest name of all. */
void za_member_anew_start(za_membership_t *m);
/** The address to connect to now, or NULL; then the uid of a link to ask over now, or 0. */
const char *za_member_anew_connect(za_membership_t *m);
uint64_t za_member_anew_ask(za_membership_t *m);
/** The connect failed, or the Join had no answer. */
void za_member_anew_failed(za_membership_t *m, const char *address, za_err_t err);
void za_member_anew_silent(za_membership_t *m, uint64_t uid);

/* ---- member_census.c ------------------------------------------------------------------------- */

void za_member_census_begin(za_membership_t *m);
void za_member_census_end(za_membership_t *m);
/** Suspects who is silent, and asks all that count and all that are in doubt. */
void za_member_census_look(za_membership_t *m, za_effects_t *out);
/** Whether `member`, or a helper that asked it for us, answered one of the last questions. */
bool za_member_census_answers(za_membership_t *m, const za_member_t *member);
/** Whether it answered after `since_ms`. */
bool za_member_census_since(const za_membership_t *m, const za_member_t *member, uint64_t since_ms);
/** For how long one is silent that does not answer. */
uint64_t za_member_census_silent_ms(const za_membership_t *m);
/** `uid` answered question `seq`, in a census. */
void za_member_census_answered(za_membership_t *m, uint64_t uid, uint64_t seq);
void za_member_census_forget(za_membership_t *m, const za_member_t *member);

/* ---- member_link.c ------------------------------------------------------------------------- */

za_member_link_t *za_member_link(const za_membership_t *m, uint64_t uid); // NULL
/** The uid at the other end of a link to the address; 0: there is none. */
uint64_t za_member_linked_at(const za_membership_t *m, const char *address);
void za_member_link_up(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out);
void za_member_link_down(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out);
void za_member_connect_failed(za_membership_t *m, const za_cluster_event_t *event,
                              za_effects_t *out);
/** Sync, claim or word of its end, after a link or our join. `all`: also where the peer would. */
void za_member_greet(za_membership_t *m, uint64_t uid, bool all, za_effects_t *out);
void za_member_close(za_membership_t *m, uint64_t uid, za_effects_t *out);
/** Whether messages went over the link lately, so that it is not given back. */
bool za_member_link_in_use(const za_membership_t *m, uint64_t uid);
/** When the ring is looked at, by whatever tick comes then. */
static inline uint64_t za_member_ring_deadline(const za_membership_t *m)
{
    return m->live_count > ZA_MEMBER_MESH_MAX ? m->ring_ms : ZA_MEMBER_NEVER;
}
/** A member came into view, or left it. */
void za_member_ring_changed(za_membership_t *m, const za_member_t *member);
/** Plans the link to a member that has none. */
void za_member_want_link(za_membership_t *m, za_member_t *member);
/** Plans to connect to `member` at `at_ms`, or before if that is planned; NEVER: not at all. */
void za_member_plan_connect(za_membership_t *m, const za_member_t *member, uint64_t at_ms);
void za_member_link_tick(za_membership_t *m, za_effects_t *out);
/** Moves the time without a link by a stall of ours. */
void za_member_link_lag(za_membership_t *m, uint64_t lag_ms);
/** Takes ZA_EFFECT_APART back if it does not hold any more. */
void za_member_check_apart(za_membership_t *m, za_member_t *member, za_effects_t *out);
