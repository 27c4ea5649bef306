/**
 * Member record: what the cluster says of one process start, and how two opinions of it merge.
 *
 * The records of one uid form a join semilattice: merge takes the greater of (terminal, inc, rank),
 * and of equals the union of the evidence. So the order in which news arrives does not matter, and
 * neither does hearing it twice.
 *
 * Memory  Values; nothing is allocated.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cluster/effects.h"
#include "zactor/membership.pb.h"

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

/** Orders by (terminal, inc, rank): negative, 0 or positive. */
int za_member_compare(const za_MemberRecord *a, const za_MemberRecord *b);
/** Makes `into` the join of both; they have one uid. */
za_merge_t za_member_merge(za_MemberRecord *into, const za_MemberRecord *news);
/** Adds a uid to a set that keeps the least ZA_MEMBER_EVIDENCE_MAX. False if nothing changed. */
bool za_member_add_evidence(uint64_t *uids, pb_size_t *count, uint64_t uid);
/** Whether a record from a peer is one: names in bounds, enums known. */
bool za_member_valid(const za_MemberRecord *record);
/** A hash over the fields that views must agree on. */
uint64_t za_member_hash(const za_MemberRecord *record);
/** The state of a member that has joined. */
za_member_state_t za_member_state(const za_MemberRecord *record);
