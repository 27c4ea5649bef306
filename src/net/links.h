/**
 * Links: which connection to each peer is the one. A pure table; it holds no connection.
 *
 * Rule     Connections of two processes are ordered by (epoch, connected by the lower uid), and the
 *          greatest stays. The connecting side proposes an epoch above all it has seen between the
 *          two. So a new connection replaces an old one, of which one side may not yet know that it
 *          is broken; of two made at the same time, which propose the same, the lower uid's stays;
 *          and both ends agree, because both order by the same two numbers.
 * Memory   peers_max entries. When all are in use, a peer without a link makes room.
 * Threads  One at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zactor/err.h>

#include "net/security.h"

typedef struct za_links za_links_t;

typedef enum za_links_verdict {
    ZA_LINKS_ACCEPT,  // it is the link
    ZA_LINKS_REPLACE, // it is the link from now on: close *old with ZA_GOODBYE_REPLACED
    ZA_LINKS_REFUSE,  // close it with ZA_GOODBYE_REPLACED
    ZA_LINKS_SELF,    // it leads to ourselves: close it with ZA_GOODBYE_REFUSED
    ZA_LINKS_FULL,    // no room for another peer: close it with ZA_GOODBYE_REFUSED
} za_links_verdict_t;

za_err_t za_links_create(uint32_t peers_max, uint64_t uid, za_links_t **out);
void za_links_destroy(za_links_t *links);

/** We have a new uid: all that was known is of another pair. Its connections are the caller's to close. */
void za_links_reset(za_links_t *links, uint64_t uid);

/**
 * Connecting side, at ZA_SESSION_GREETED: the epoch to propose. ZA_LINKS_ACCEPT, or ZA_LINKS_REFUSE
 * (there is a link to that peer: another is not needed), SELF, FULL.
 */
za_links_verdict_t za_links_propose(za_links_t *links, uint64_t peer, uint32_t *epoch);

/**
 * Accepting side at ZA_SESSION_GREETED (before za_session_accept), connecting side at
 * ZA_SESSION_ESTABLISHED. `link` is what *old and za_links_find give back. Never ZA_LINKS_ACCEPT
 * with a link there already.
 */
za_links_verdict_t za_links_establish(za_links_t *links, uint64_t peer, uint32_t epoch,
                                      za_side_t side, void *link, void **old);

/** The connection ended. Nothing happens if another one is the link already. */
void za_links_remove(za_links_t *links, uint64_t peer, const void *link);

/** The link to that peer, or NULL. */
void *za_links_find(const za_links_t *links, uint64_t peer);
