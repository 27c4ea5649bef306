/**
 * What must hold of membership in every run, by the letters that docs/cluster.md explains:
 *
 *   M1  what a node knows of another grows in the order (end, incarnation, rank) and never shrinks
 *   M2  nobody knows a uid that never was, an incarnation that its owner has not reached, or that one
 *       left who did not
 *   M4  left and down are for ever
 *   M5  nobody is unreachable without having been suspected long enough, and no live node is down
 *       without having been unreachable long enough, refused connections, or an operator's word
 *   M6  without faults that could explain it, no live node is unreachable or down
 *   M7  without such faults, all know the end of a node within a bound
 *   M8  a node has no more records than there were processes
 *   M10 without faults, datagrams cost less than a budget
 *
 * M3 (no two processes with one uid) is the realm's own; M9 (one view in the end) the trial's.
 */
#pragma once

#include "sim/plan.h"

/** Watches `realm` until it is destroyed. ZA_ENOMEM. */
za_err_t za_oracle_member_add(za_realm_t *realm, const za_plan_t *plan);
