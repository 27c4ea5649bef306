/**
 * Membership: who is in the cluster, and who can be reached. SWIM with Lifeguard, as one sans-IO
 * state machine: event in, effects out.
 *
 * Each process start is a member of its own, named by a random 64-bit uid; a member that is LEFT or
 * DOWN stays so. A live process that is told it is down is reborn: it takes a new uid and joins
 * again. There is no leader, and nothing waits for agreement.
 *
 * Events   TICK CONTINUE DATAGRAM FRAME LINK_UP LINK_DOWN CONNECT_FAILED WANT_LINK LEAVE DOWN_NODE
 *          LEASE; others are ignored. A frame on the control lane begins with a byte ZA_MEMBERSHIP_TAG, in both
 *          directions; datagrams carry no tag.
 * Stalls   A driver that was stopped steps its input first and TICK last; the stall itself is seen
 *          by the distance from the deadline, and nobody is blamed for it.
 * Memory   Taken in create. At most ZA_MEMBERS_MAX records: a full table drops the oldest of those that
 *          LEFT a minute ago or before, then the oldest LEFT or DOWN, then refuses newcomers.
 * Threads  One at a time.
 */
#pragma once

#include "base/rng.h"
#include "cluster/cluster.h"

enum { ZA_MEMBERSHIP_TAG = 1 };

typedef struct za_membership za_membership_t;

/** ZA_EINVAL for a configuration out of bounds, ZA_ENOMEM. `config` is copied. */
za_err_t za_membership_create(const za_cluster_config_t *config, uint64_t now_ms,
                              za_membership_t **out);
void za_membership_destroy(za_membership_t *membership);

/** ZA_STEP_MORE: carry the effects out and step with CONTINUE. */
za_step_t za_membership_step(za_membership_t *membership, const za_cluster_event_t *event,
                             za_effects_t *out);
/** When TICK is due; UINT64_MAX if never. */
uint64_t za_membership_deadline_ms(const za_membership_t *membership);
/**
 * A datagram of `uid` is on its way: the record that it will look at is fetched into the cache. For a
 * driver of many nodes that knows of it before it comes; nothing else follows from it.
 */
void za_membership_expect(const za_membership_t *membership, uint64_t uid);

uint64_t za_membership_uid(const za_membership_t *membership);
/** False if the uid is unknown. The strings are valid until the next step. */
bool za_membership_find(const za_membership_t *membership, uint64_t uid, za_member_info_t *out);
/** Members, tombstones among them, sorted by (name, uid); false from `visit` ends it. */
void za_membership_each_member(const za_membership_t *membership,
                               bool (*visit)(const za_member_info_t *info, void *context),
                               void *context);
/** Over the members that are neither left nor down: views are equal if, and only if, it is. */
uint64_t za_membership_view_hash(const za_membership_t *membership);
/** Members that are up, this node included. */
uint32_t za_membership_up_count(const za_membership_t *membership);
/**
 * A message for `uid` waits for a link, or one went over it: there is to be a link, and it is to stay.
 * Up to the size of a full mesh there is one anyway.
 */
void za_membership_want_link(za_membership_t *membership, uint64_t uid);
bool za_membership_is_linked(const za_membership_t *membership, uint64_t uid);
/** Up to `max` different members that are up or leaving and have a link, at random by `rng`. */
uint32_t za_membership_sample_linked(const za_membership_t *membership, za_rng_t *rng,
                                     uint64_t *uids, uint32_t max);
/** Whether an actor here may take a unique name: not on a side that would lose, or before we are up. */
bool za_membership_may_claim(za_membership_t *membership);
void za_membership_downing(const za_membership_t *membership, za_downing_info_t *out);
/** How much later than the end of a uid its work may start elsewhere; 0 in availability mode. */
uint32_t za_member_downing_margin_ms(const za_membership_t *membership);
/** Sets the fields that are membership's; leaves the others alone. */
void za_membership_counters(const za_membership_t *membership, za_cluster_counters_t *out);
