/**
 * Downing: who goes on when a part of the cluster cannot be reached.
 *
 * Availability mode (ZA_DOWNING_NONE): nobody asks here; a member that stays unreachable is down.
 * Consistency mode: every node asks the same pure function about the same view, and the answers of
 * the two sides of a split exclude each other. The side that loses stops what may exist only once
 * and joins again; the side that wins starts it after a margin.
 *
 * Counted  The members of the last stable view, and no others: who joins while somebody cannot be
 *          reached would let both sides grow into a majority.
 * Sources  Akka's split brain resolver (strategies, stable-after, down-all-when-unstable), Orleans
 *          and etcd (the lease).
 * Memory   Values; nothing is allocated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ZA_DOWNING_ROLE_BYTES_MAX = 32,
    ZA_DOWNING_TEXT_BYTES_MAX = 95, // of za_downing_describe
    ZA_DOWNING_STABLE_INTERVALS =
        10, // least stable_after, in probe intervals: its margin covers a census
    ZA_DOWNING_UNSTABLE_TIMES = 3,   // of stable_after: a view that still changes then is given up
    ZA_DOWNING_LEASE_TTL_MS = 15000, // longer than two sides' decisions lie apart
    ZA_DOWNING_LEASE_MINORITY = 4,   // probe intervals that a minority lets others ask first: 2 s
    ZA_DOWNING_STABLE_MS_MAX = 600000,
    ZA_DOWNING_QUORUM_MAX = 1 << 15,
};

typedef enum za_downing_strategy {
    ZA_DOWNING_NONE,          // availability mode
    ZA_DOWNING_KEEP_MAJORITY, // of an even split the side with the lowest uid
    ZA_DOWNING_STATIC_QUORUM, // the side with at least `quorum` members
    ZA_DOWNING_KEEP_OLDEST,   // the side with the member that joined first
    ZA_DOWNING_LEASE,         // the side that takes a lease which both can ask for
    ZA_DOWNING_DOWN_ALL,      // nobody: all join again
} za_downing_strategy_t;

const char *za_downing_strategy_name(za_downing_strategy_t strategy);

typedef struct za_downing_config {
    za_downing_strategy_t strategy;
    uint32_t quorum;          // of ZA_DOWNING_STATIC_QUORUM
    uint32_t stable_after_ms; // 0: by the number of members
    bool keep_lone_oldest;    // the oldest wins even if all others are on another side
    char role[ZA_DOWNING_ROLE_BYTES_MAX + 1]; // only members that have it count; empty: all do
} za_downing_config_t;

bool za_downing_config_valid(const za_downing_config_t *config);
/** One line that is equal on two nodes if, and only if, they decide alike. */
void za_downing_describe(const za_downing_config_t *config,
                         char text[ZA_DOWNING_TEXT_BYTES_MAX + 1]);

/** How long a view must not change before it is decided on: 10 T, 16 T from 33, 24 T from 129. */
uint32_t za_downing_stable_after_ms(const za_downing_config_t *config, uint32_t members,
                                    uint32_t probe_interval_ms);
/** How much later than its decision the winning side starts what the other side must have stopped. */
uint32_t za_downing_margin_ms(uint32_t stable_after_ms);

/** A member as the strategies see it. */
typedef struct za_downing_member {
    uint64_t uid;
    uint64_t joined; // logical time
    bool stable;     // of the last stable view
    bool eligible;   // has the role
    bool reachable;
} za_downing_member_t;

/** What is counted of a view; the order of counting does not matter. Zeroed at first. */
typedef struct za_downing_tally {
    uint32_t members; // of the last stable view, with and without the role
    uint32_t counted, here;
    uint64_t lowest, oldest, oldest_joined; // of the counted
    bool lowest_here, oldest_here;
    bool cut; // somebody is unreachable, counted or not
} za_downing_tally_t;

void za_downing_count(za_downing_tally_t *tally, const za_downing_member_t *member);

typedef enum za_lease_state {
    ZA_LEASE_FREE,   // not asked for
    ZA_LEASE_ASKED,  // no answer yet
    ZA_LEASE_OURS,   // held by a member that we reach
    ZA_LEASE_THEIRS, // held by another side
} za_lease_state_t;

typedef struct za_downing_view {
    za_downing_tally_t tally;
    uint64_t cut_ms;     // since when somebody is unreachable
    uint64_t changed_ms; // the last change of who counts or is unreachable
    uint32_t stable_after_ms;
    uint32_t probe_interval_ms;
    bool self_stable; // this node is of the last stable view
    bool open;        // a member is suspect: it may yet answer or not
    za_lease_state_t lease;
} za_downing_view_t;

typedef enum za_downing_verdict {
    ZA_DOWNING_KEEP,        // nobody is unreachable: all go on
    ZA_DOWNING_WAIT,        // not stable yet, or it is for others to decide
    ZA_DOWNING_ASK,         // for the lease
    ZA_DOWNING_DOWN_OTHERS, // the unreachable members are down
    ZA_DOWNING_DOWN_SELF,
} za_downing_verdict_t;

const char *za_downing_verdict_name(za_downing_verdict_t verdict);

/** Whether a side that reaches `tally.here` of the counted may go on; the lease left aside. */
bool za_downing_side_wins(const za_downing_config_t *config, const za_downing_tally_t *tally);

/** What to do now. Pure: equal views give equal verdicts on all nodes of a side. */
za_downing_verdict_t za_downing_decide(const za_downing_config_t *config,
                                       const za_downing_view_t *view, uint64_t now_ms);
