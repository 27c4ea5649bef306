/**
 * Roles: which roles the nodes of the cluster have, readable by every thread without a lock. Each role
 * that somebody has is a bit, so that whoever looks at many nodes compares no texts.
 *
 * Memory   Pages that are there when they are written: nodes without roles take none.
 * Threads  One writer; readers are any.
 */
#pragma once

#include <zactor/err.h>

#include <stdbool.h>
#include <stdint.h>

enum { ZA_ROLES_KNOWN_MAX = 64 }; // different ones, in all of a cluster

typedef struct za_roles za_roles_t;

/** Room for `nodes_max` nodes with roles, and this one, which has `own` (commas between them). */
za_err_t za_roles_create(uint32_t nodes_max, const char *own, za_roles_t **out);
void za_roles_destroy(za_roles_t *roles);

/**
 * From now on the node has these, with commas between them, and no others. ZA_ENOBUFS: no room for the
 * node, which has none then, or for one role more, which nobody has; the others are set.
 */
za_err_t za_roles_set(za_roles_t *roles, uint64_t uid, const char *list);
/** The node has ended. */
void za_roles_forget(za_roles_t *roles, uint64_t uid);

/** The bit of that role; 0: no node had it. */
uint64_t za_roles_bit(const za_roles_t *roles, const char *role);
/** The bits of that node's roles; of this one's, if it is 0. */
uint64_t za_roles_of(const za_roles_t *roles, uint64_t uid);
