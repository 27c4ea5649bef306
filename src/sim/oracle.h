/**
 * Oracles: what must hold in every run of a realm (sim/realm.h), checked while it runs.
 *
 * An oracle is a table of functions and a context of its own. It sees each process begin and end,
 * each event go in and each effect come out, and is asked after each step; when the faults are over
 * and the realm had time to settle it is asked for the last time. It looks into a node with the
 * functions of cluster/cluster.h or cluster/membership.h and reports with za_realm_fail, which ends
 * the run; the first report counts.
 *
 * Every function may be NULL. Hosts are indexes from 0; a host has a process while it is ZA_HOST_ON.
 */
#pragma once

#include "cluster/cluster.h"

typedef struct za_realm za_realm_t;

typedef struct za_oracle_ops {
    const char *name;
    /** A process began, or was reborn under a new uid: za_host_uid is the new one. */
    void (*started)(void *context, za_realm_t *realm, uint32_t host);
    /** It ends now: crashed, vanished or left. */
    void (*stopped)(void *context, za_realm_t *realm, uint32_t host);
    /** `event` is about to be stepped; ticks, datagrams and frames are not shown. */
    void (*input)(void *context, za_realm_t *realm, uint32_t host, const za_cluster_event_t *event);
    /** `effect` came out; those of transport and logging are not shown. */
    void (*effect)(void *context, za_realm_t *realm, uint32_t host, const za_effect_t *effect);
    /** After a step and all its effects. */
    void (*step)(void *context, za_realm_t *realm, uint32_t host);
    /** All faults are healed, and the bound that the plan gives for settling is over. */
    void (*settled)(void *context, za_realm_t *realm);
    /** Frees the context. */
    void (*destroy)(void *context);
} za_oracle_ops_t;
