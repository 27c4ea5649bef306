/** A link between the files that make, use and end it; what others need of it is in state.h. */
#pragma once

#include "node/state.h"

/* flushing.c */
void za_link_hold(za_link_t *link); // the owner's way: a holder is in a flush, which never waits
void za_link_flush_held(za_link_t *link, za_worker_t *worker); // holder
/** False: the socket is full, or broken; the owner knows. Holder. */
bool za_link_write_out(za_link_t *link, za_worker_t *worker);
/** Moves frames into the session and sealed bytes out of it; false: nothing is left to write. Holder. */
bool za_link_fill_out(za_link_t *link, za_worker_t *worker);

/* connecting.c; the owner */
/** A free slot with its buffer; NULL: there is none, or no memory. */
za_link_t *za_link_take(za_node_t *node);

/* closing.c; the owner */
/** Holds the flag, unless a callback of this link does already: then it answers false. */
bool za_link_hold_anew(za_link_t *link);
void za_link_let_go(za_link_t *link);
/** Says goodbye and takes the link away from its peer in one go. */
void za_link_say_goodbye(za_link_t *link, za_goodbye_t reason, const char *text, za_err_t err);

/* greetings.c; the owner, holding the flag */
void za_link_on_greeted(za_node_t *node, za_link_t *link, const za_session_peer_t *peer);
void za_link_on_established(za_node_t *node, za_link_t *link, const za_session_peer_t *info);

/* refusals.c; the owner */
/** Counts a connection "to" or "from" somebody that was refused, and says so unless too many are. */
void za_link_refused(za_node_t *node, const char *way, const char *address, const char *why);

/* receiving.c; the owner, holding the flag */
void za_link_on_event(za_node_t *node, za_link_t *link, const za_session_event_t *event);

/* local_admin.c; the owner, holding the flag */
void za_link_admin_read(za_node_t *node, za_link_t *link);
/** Answers the request that is there as a whole, unless the answer before it is still going out. */
void za_link_admin_serve(za_node_t *node, za_link_t *link);
