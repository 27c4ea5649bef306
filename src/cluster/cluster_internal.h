/**
 * The cluster, inside: membership, and the services that follow from it. The rooms:
 *
 *   cluster.c           create, step, deadline: membership first, then what its effects mean, then
 *                       what the services have to send
 *   cluster_events.c    which event and which frame goes to whom
 *   cluster_drain.c     effects of membership on their way to the driver, each behind or before what
 *                       it means for the services
 *   cluster_view.c      what the services see of membership
 *   cluster_links.c     links: which the services use, and which they wait for
 *   cluster_strangers.c who parts without having been a member, and who forgot us so
 *   cluster_look.c      queries
 *
 * A room changes the fields that stand under its name; the sub-machines are called by all.
 */
#pragma once

#include "cluster/asked.h"
#include "cluster/children.h"
#include "cluster/cluster.h"
#include "cluster/member_keys.h"
#include "cluster/membership.h"
#include "cluster/registry.h"
#include "cluster/relay.h"
#include "cluster/syslane.h"
#include "cluster/table.h"
#include "cluster/view.h"
#include "cluster/watch.h"

/** How far the consequences of one effect of membership have come. */
typedef enum za_drain_phase {
    ZA_DRAIN_BEGIN,
    ZA_DRAIN_WATCHES,
    ZA_DRAIN_NAMES,
    ZA_DRAIN_CHILDREN,
    ZA_DRAIN_END,
} za_drain_phase_t;

struct za_cluster {
    za_membership_t *membership;
    za_syslane_t *lane;
    za_relay_t *relay;
    za_registry_t *registry;
    za_watch_t *watch;
    za_children_t *children;
    za_keys_t *keys;

    // cluster.c
    uint64_t now_ms;
    uint64_t services_ms; // when the services have something to do, whatever membership does
    bool unfinished;      // the last step answered MORE

    // cluster_drain.c
    bool inner_more;        // membership has more; cluster.c knows it, too, of probes
    za_drain_phase_t phase; // of inner item `inner_at`
    uint32_t inner_at;
    za_effects_t *inner; // effects of membership that wait for their consequences

    // cluster_events.c
    uint64_t frames_bad;

    // cluster_view.c
    za_view_t view;

    // cluster_links.c
    za_slots_t links;  // peers with a link, as we were told
    za_asked_t *asked; // for links that the services wait for

    // cluster_strangers.c
    za_slots_t strangers;
    za_chain_t stranger_list; // the first due first
};

/* ---- cluster_events.c ------------------------------------------------------------------------ */

/**
 * Hands an event to membership, whose effects are left to za_cluster_drain, or to a service. Not TICK
 * and DATAGRAM: they are membership's alone, or nearly so (za_cluster_step).
 */
void za_cluster_take(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out);

/* ---- cluster_drain.c ------------------------------------------------------------------------- */

/** Its effects wait for za_cluster_drain, which has carried out those of the step before. */
void za_cluster_step_membership(za_cluster_t *cluster, const za_cluster_event_t *event);
/** Whether an effect of membership concerns the services, too: za_cluster_drain knows what to do. */
static inline bool za_cluster_concerns_services(const za_effect_t *effect)
{
    switch (effect->type) {
    case ZA_EFFECT_MEMBER:
    case ZA_EFFECT_APART:
    case ZA_EFFECT_DOWN_SELF:
    case ZA_EFFECT_REBORN:
    case ZA_EFFECT_CLOSE_LINK:
        return true;
    default:
        return false;
    }
}
/** Makes effects that membership gave straight to the driver wait for their consequences. */
void za_cluster_take_back(za_cluster_t *cluster, za_effects_t *out);
/** Passes effects of membership on with all that they mean here. False: `out` is full; go on then. */
bool za_cluster_drain(za_cluster_t *cluster, za_effects_t *out);

/* ---- cluster_view.c -------------------------------------------------------------------------- */

void za_cluster_view_init(za_cluster_t *cluster);
/** LEFT or DOWN: it will not be served again. */
bool za_cluster_is_terminal(const za_cluster_t *cluster, uint64_t uid);

/* ---- cluster_links.c ------------------------------------------------------------------------- */

za_err_t za_cluster_links_create(za_cluster_t *cluster);
void za_cluster_links_destroy(za_cluster_t *cluster);
/** Whether there is a link to `uid`; whether the services use it. */
bool za_cluster_is_linked(const za_cluster_t *cluster, uint64_t uid);
bool za_cluster_serves(const za_cluster_t *cluster, uint64_t uid);
void za_cluster_link_up(za_cluster_t *cluster, uint64_t uid);
void za_cluster_link_down(za_cluster_t *cluster, uint64_t uid);
void za_cluster_all_links_down(za_cluster_t *cluster);
/**
 * Lets the services use the link to `uid`. After a rebirth the others' uids are still those of
 * tombstones when their links come up; they are served when membership knows better. True: they use it.
 */
bool za_cluster_serve(za_cluster_t *cluster, uint64_t uid);
/** Above the mesh, or after a rebirth, there may be no link to those for whom something waits. */
void za_cluster_want_links(za_cluster_t *cluster);

/* ---- cluster_strangers.c --------------------------------------------------------------------- */

za_err_t za_cluster_strangers_create(za_cluster_t *cluster);
void za_cluster_strangers_destroy(za_cluster_t *cluster);
/** Remembers to clean up after `uid`. With a full table the oldest is looked at sooner. */
void za_cluster_note_stranger(za_cluster_t *cluster, uint64_t uid);
/** Drops what uids left here that never became members. False: `out` is full. */
bool za_cluster_forget_strangers(za_cluster_t *cluster, za_effects_t *out);
/** When the first is looked at; UINT64_MAX: there is none. */
uint64_t za_cluster_strangers_deadline_ms(const za_cluster_t *cluster);
/**
 * Peers that have forgotten us as strangers, while we remember them. To them we were gone: they have
 * stopped what they ran for us, and started elsewhere what we run for them. False: `out` is full.
 */
bool za_cluster_restart_lost(za_cluster_t *cluster, za_effects_t *out);
