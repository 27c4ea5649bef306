/**
 * Registry: names of actors, cluster-wide.
 *
 * Every node is the only writer of its own map, and numbers its changes; all others copy it. A
 * copy's state is a function of (owner uid, applied), so equal `applied` means an equal hash
 * everywhere: the check that every delta and digest carries. Changes are pushed to linked members at
 * once, and anti-entropy with one random peer repairs whatever a push missed.
 *
 * Names    Of several holders the one with the lowest (hlc, uid) is what lookups answer. A loser's
 *          owner takes its entry back after ZA_REGISTRY_SETTLE_MS and tells the actor. No third
 *          party ever removes an entry.
 * Effects  NAME_SET and NAME_CLEARED exactly when the answer of a lookup changes.
 * Bounds   ZA_NAMES_PER_NODE_MAX per owner and ZA_REGISTRY_ENTRIES_MAX in all; more is refused here,
 *          and an owner that does not fit is not copied for a while.
 * Memory   Taken in create.
 */
#pragma once

#include "cluster/effects.h"
#include "cluster/view.h"

enum {
    ZA_REGISTRY_TAG = 2,
    ZA_REGISTRY_ENTRIES_MAX = 64 * 1024, // live, removed and staged
    ZA_REGISTRY_REMOVALS_MAX = 1024,     // remembered per owner; who lacks more gets a snapshot
    ZA_REGISTRY_SETTLE_MS = 1000,
    ZA_REGISTRY_BATCH_MS = 5,       // changes of this time travel together
    ZA_REGISTRY_PULL_MS = 5000,     // a pull without an answer is given up
    ZA_REGISTRY_BLOCKED_MS = 10000, // an owner that did not fit
};

typedef struct za_registry za_registry_t;

/** `view` must outlive the registry. */
za_err_t za_registry_create(const za_view_t *view, uint32_t sync_ms, uint64_t seed, uint64_t now_ms,
                            za_registry_t **out);
void za_registry_destroy(za_registry_t *registry);

/** A local actor takes a name. Refusals are counted and logged: two effects at most. */
void za_registry_register(za_registry_t *registry, const char *name, uint64_t actor,
                          uint64_t now_ms, za_effects_t *out);
void za_registry_unregister(za_registry_t *registry, const char *name, uint64_t actor,
                            uint64_t now_ms);
/** A local actor ended: its names go. */
void za_registry_actor_stopped(za_registry_t *registry, uint64_t actor, uint64_t now_ms);

/** Membership knows `uid`, not terminal: its map may be copied. */
void za_registry_member(za_registry_t *registry, uint64_t uid, uint64_t now_ms);
/** `uid` is terminal: its map is gone from now on. */
void za_registry_gone(za_registry_t *registry, uint64_t uid);
/** Our uid changed: our names are announced again under the new one. Links are gone. */
void za_registry_reborn(za_registry_t *registry, uint64_t now_ms);
void za_registry_link_up(za_registry_t *registry, uint64_t uid);
void za_registry_link_down(za_registry_t *registry, uint64_t uid);

/** A frame of `uid`, without the tag. False: no frame of ours, count it. At most 16 effects. */
bool za_registry_frame(za_registry_t *registry, uint64_t uid, const uint8_t *bytes, size_t size,
                       uint64_t now_ms, za_effects_t *out);
/** Name changes first, then deltas, snapshots and anti-entropy. */
za_step_t za_registry_pump(za_registry_t *registry, uint64_t now_ms, za_effects_t *out);
/** Name changes alone. */
za_step_t za_registry_pump_names(za_registry_t *registry, uint64_t now_ms, za_effects_t *out);
uint64_t za_registry_deadline_ms(const za_registry_t *registry);

/** ZA_ENOENT. The own uid as 0. */
za_err_t za_registry_whereis(const za_registry_t *registry, const char *name, za_ref_t *out);
/** Sorted by name; false from `visit` ends it. */
void za_registry_each_name(const za_registry_t *registry,
                           bool (*visit)(const char *name, za_ref_t ref, void *context),
                           void *context);
/** Equal on two nodes if they hold the same maps. */
uint64_t za_registry_hash(const za_registry_t *registry);
/** What is held of `uid`; false if nothing. */
bool za_registry_version(const za_registry_t *registry, uint64_t uid, uint64_t *applied,
                         uint64_t *hash);

typedef struct za_registry_stats {
    uint64_t divergence; // a hash was not what `applied` says: must stay 0
    uint64_t conflicts;  // names that our actors lost
    uint64_t refused;    // a table was full
    uint64_t snapshots;  // sent
    uint64_t entries;
} za_registry_stats_t;

void za_registry_stats(const za_registry_t *registry, za_registry_stats_t *out);
