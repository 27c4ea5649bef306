/**
 * What must hold in consistency mode, by the letters that docs/cluster.md explains:
 *
 *   S1  of one last stable view no two sides go on: no two nodes call each other down by a verdict
 *   S2  a supervised child starts after all its former lives have ended, and epochs rise; looked at
 *       where one fault is over, or decided everywhere, before the next begins
 *   S3  equal views have equal verdicts
 *
 * It sees verdicts in realms with services; in availability mode there are none.
 */
#pragma once

#include "sim/plan.h"

/** Watches `realm` until it is destroyed. ZA_ENOMEM. */
za_err_t za_oracle_downing_add(za_realm_t *realm, const za_plan_t *plan);
