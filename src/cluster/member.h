/**
 * Member record: what the cluster says of one process start, and how two opinions of it merge.
 *
 * The opinions of one uid form a join semilattice: merge takes the greater of (terminal, inc, rank),
 * and of equals the union of the evidence. So the order in which news arrives does not matter, and
 * neither does hearing it twice.
 *
 * Memory  Values; nothing is allocated.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cluster/effects.h"
#include "cluster/member_texts.h"
#include "zactor/membership.pb.h" // the enums' values

enum {
    ZA_MEMBER_EVIDENCE_MAX = 4, // K + 1: three confirmations end a suspicion as early as may be
};

/** Incarnations and logical times reach no higher: a peer's lie must not make ours wrap. */
#define ZA_MEMBER_LOGICAL_MAX (UINT64_MAX / 2)

typedef enum za_merge {
    ZA_MERGE_OLD,  // nothing new
    ZA_MERGE_MORE, // the same opinion with more evidence
    ZA_MERGE_NEW,  // another (terminal, inc, rank)
} za_merge_t;

/** A set of uids that keeps the least ZA_MEMBER_EVIDENCE_MAX, ascending. */
typedef struct za_member_evidence {
    uint32_t count;
    uint64_t uids[ZA_MEMBER_EVIDENCE_MAX];
} za_member_evidence_t;

typedef struct za_member_opinion {
    uint64_t inc;                    // raised by the owner alone
    uint8_t terminal;                // za_MemberTerminal
    uint8_t rank;                    // za_MemberRank
    uint8_t reason;                  // za_MemberReason
    bool leaving;                    // with inc + 1
    za_member_evidence_t suspecters; // who could not reach it at this inc
    za_member_evidence_t refused;    // whom its address refused at this inc
} za_member_opinion_t;

/** A record as it came: its texts lie in the bytes that brought it. */
typedef struct za_member_news {
    uint64_t uid;
    za_member_opinion_t opinion;
    za_member_profile_t profile; // of a brief one only `attributes`
    bool brief;                  // for those that know the texts already
} za_member_news_t;

/** Orders by (terminal, inc, rank): negative, 0 or positive. */
int za_member_compare(const za_member_opinion_t *a, const za_member_opinion_t *b);
/** Makes `into` the join of both. */
za_merge_t za_member_merge(za_member_opinion_t *into, const za_member_opinion_t *news);
/** False if nothing changed. */
bool za_member_add_evidence(za_member_evidence_t *evidence, uint64_t uid);
/** Whether an opinion from a peer is one: in bounds, enums known, one form for each. */
bool za_member_opinion_valid(const za_member_opinion_t *opinion);
/** The state of a member that has joined. */
za_member_state_t za_member_state(const za_member_opinion_t *opinion);
