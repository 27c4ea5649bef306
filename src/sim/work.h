/**
 * Work: what actors would do, without actors: names are registered and given up, actors are watched,
 * stop, have children on other nodes. It keeps a model of it all and is an oracle by it:
 *
 *   W1  a watch fires at most once
 *   W2  in the end it has fired if its target is gone
 *   W3  it fires for no target that lives on a node that is neither down nor unknown, and not after
 *       it was taken back
 *   V1  a child has a higher epoch than the one before it
 *   R3  no name leads to a uid that is terminal where it is looked up
 *   R5  in the end all registries are equal, and names lead to those who hold them
 */
#pragma once

#include "sim/plan.h"

typedef struct za_work za_work_t;

/** ZA_ENOMEM. It belongs to the realm, which destroys it. */
za_err_t za_work_add(za_realm_t *realm, const za_plan_t *plan, za_work_t **out);
/** When the next operation is due; UINT64_MAX if there is none. */
uint64_t za_work_due_us(const za_work_t *work);
/** Does what is due. */
void za_work_act(za_work_t *work);
