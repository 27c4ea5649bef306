/**
 * The provider of leases of a simulated cluster: one key in a store that all hosts ask, compare and
 * set, as with a lease of etcd or a Lease object of Kubernetes. It has a clock of its own, answers
 * after some milliseconds, and a little of what it does is never heard of.
 */
#include "sim/chance.h"
#include "sim/realm_internal.h"

enum {
    ANSWER_US_MIN = 1000,
    ANSWER_US_MAX = 20000,
    SILENCE_US = 500000, // until whoever asked gives up
    LOST_IN = 50,        // one answer in so many
};

static uint64_t holder_of(const za_realm_t *realm)
{
    return realm->now_us < realm->lease.until_us ? realm->lease.holder : 0;
}

static void take(za_realm_t *realm, const za_effect_t *effect)
{
    realm->lease.holder = effect->uid;
    realm->lease.until_us = realm->now_us + effect->id * ZA_US_PER_MS;
    realm->lease.revision++;
}

void za_lease_ask(za_realm_t *realm, uint32_t index, const za_effect_t *effect)
{
    za_cluster_event_t answer = { .type = ZA_CLUSTER_LEASE, .err = ZA_ETIMEOUT };
    if (realm->lease.cut || realm->hosts[index].lease_cut) {
        za_host_post(realm, index, &answer, SILENCE_US);
        return;
    }
    bool free = holder_of(realm) == 0;
    if (effect->id != 0 && (free || realm->lease.revision == effect->tag)) {
        take(realm, effect);
    }
    uint64_t draw =
        za_chance(realm->config.seed, ZA_CHANCE_LEASE, index, realm->now_us + realm->draws++);
    if (za_chance_below(draw, LOST_IN) == 0) {
        za_host_post(realm, index, &answer, SILENCE_US);
        return;
    }
    answer.err = ZA_OK;
    answer.uid = holder_of(realm);
    answer.tag = realm->lease.revision;
    uint64_t late_us = za_chance_below(za_mix64(draw), ANSWER_US_MAX - ANSWER_US_MIN);
    za_host_post(realm, index, &answer, ANSWER_US_MIN + late_us);
}

void za_realm_cut_lease(za_realm_t *realm, bool cut)
{
    realm->lease.cut = cut;
}

void za_host_cut_lease(za_realm_t *realm, uint32_t host, bool cut)
{
    realm->hosts[host].lease_cut = cut;
}

uint64_t za_realm_lease_holder(const za_realm_t *realm)
{
    return holder_of(realm);
}
