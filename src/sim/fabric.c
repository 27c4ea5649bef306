#include <string.h>

#include "base/assert.h"
#include "sim/realm_internal.h"

/* ---- paths ------------------------------------------------------------------------------------ */

static bool in_set(const uint64_t *set, uint32_t set_hosts, uint32_t host)
{
    return set == NULL || (host < set_hosts && (set[host / 64] >> (host % 64) & 1) != 0);
}

static bool applies(const za_path_fault_t *fault, uint32_t from, uint32_t to)
{
    bool there =
        in_set(fault->from, fault->set_hosts, from) && in_set(fault->to, fault->set_hosts, to);
    bool back = fault->both_ways && in_set(fault->from, fault->set_hosts, to) &&
                in_set(fault->to, fault->set_hosts, from);
    return there || back;
}

static uint32_t more_ppm(uint32_t a, uint32_t b)
{
    return a + b < ZA_PER_MILLION ? a + b : ZA_PER_MILLION;
}

/** Gilbert's two states, by time: each slot of a burst's length is bad or good as a whole. */
static bool in_burst(const za_realm_t *realm, const za_path_fault_t *fault, uint32_t from,
                     uint32_t to)
{
    if (fault->burst_us == 0) {
        return false;
    }
    uint64_t slot = (realm->now_us - fault->since_us) / fault->burst_us;
    uint64_t draw = za_chance(realm->config.seed + fault->number, ZA_CHANCE_FAULT,
                              za_chance_link(from, to), slot);
    return za_chance_below(draw, ZA_PER_MILLION) < fault->burst_ppm;
}

static void add_fault(const za_realm_t *realm, const za_path_fault_t *fault, uint32_t from,
                      uint32_t to, za_path_t *path)
{
    uint64_t age_us = realm->now_us - fault->since_us;
    bool on = fault->flap_us == 0 || age_us / fault->flap_us % 2 == 0;
    path->blocked |= fault->block && on;
    path->refusing |= fault->refuse && on;
    path->burst |= in_burst(realm, fault, from, to);
    path->loss_ppm = more_ppm(path->loss_ppm, fault->loss_ppm);
    path->duplicate_ppm = more_ppm(path->duplicate_ppm, fault->duplicate_ppm);
    path->corrupt_ppm = more_ppm(path->corrupt_ppm, fault->corrupt_ppm);
    path->reorder_ppm = more_ppm(path->reorder_ppm, fault->reorder_ppm);
    path->reorder_us = path->reorder_us > fault->reorder_us ? path->reorder_us : fault->reorder_us;
    path->delay_us += fault->delay_us;
    path->jitter_us += fault->jitter_us;
    if (fault->mtu != 0 && (path->mtu == 0 || fault->mtu < path->mtu)) {
        path->mtu = fault->mtu;
    }
}

/** Whether any fault may be about packets between the two. */
static bool disturbed(const za_realm_t *realm, uint32_t from, uint32_t to)
{
    return (realm->hosts[from].faults | realm->hosts[to].faults | realm->everywhere) != 0;
}

za_path_t za_path_of(const za_realm_t *realm, uint32_t from, uint32_t to, bool stream)
{
    za_path_t path = { .loss_ppm = realm->config.loss_ppm,
                       .duplicate_ppm = realm->config.duplicate_ppm };
    if (!disturbed(realm, from, to)) {
        return path;
    }
    for (uint32_t i = 0; i < realm->path_count; i++) {
        const za_path_fault_t *fault = &realm->paths[i];
        if (realm->path_used[i] && !(stream && fault->datagrams_only) && applies(fault, from, to)) {
            add_fault(realm, fault, from, to, &path);
        }
    }
    return path;
}

/** Most take little more than the minimum, few come near the maximum, as on real networks. */
static uint64_t usual_latency_us(const za_realm_config_t *config, uint64_t draw)
{
    uint64_t unit = draw & 0xffff;
    uint64_t span = config->latency_us_max - config->latency_us_min;
    return config->latency_us_min + ((span * unit >> 16) * unit >> 16);
}

uint64_t za_path_latency_us(const za_realm_t *realm, const za_path_t *path, uint32_t from,
                            uint32_t to, uint64_t draw)
{
    uint64_t latency = usual_latency_us(&realm->config, draw);
    if (path->delay_us != 0 || path->jitter_us != 0) {
        uint64_t more = za_chance(draw, ZA_CHANCE_FAULT, za_chance_link(from, to), realm->now_us);
        latency += path->delay_us + za_chance_below(more, (uint64_t)path->jitter_us + 1);
    }
    return latency;
}

static void mark_hosts(za_realm_t *realm, const za_path_fault_t *fault, bool on)
{
    uint32_t step = on ? 1 : UINT32_MAX;
    if (fault->from == NULL || fault->to == NULL) {
        realm->everywhere += step;
        return;
    }
    for (uint32_t i = 0; i < fault->set_hosts && i < realm->config.hosts; i++) {
        if (in_set(fault->from, fault->set_hosts, i) || in_set(fault->to, fault->set_hosts, i)) {
            realm->hosts[i].faults += step;
        }
    }
}

uint32_t za_realm_fault(za_realm_t *realm, const za_path_fault_t *fault)
{
    uint32_t at = 0;
    while (at < ZA_REALM_PATHS_MAX && realm->path_used[at]) {
        at++;
    }
    ZA_ASSERT(at < ZA_REALM_PATHS_MAX); // the plan keeps to the limit
    realm->paths[at] = *fault;
    realm->paths[at].since_us = realm->now_us;
    realm->path_used[at] = true;
    realm->path_count = at + 1 > realm->path_count ? at + 1 : realm->path_count;
    mark_hosts(realm, fault, true);
    return at;
}

void za_realm_heal(za_realm_t *realm, uint32_t fault)
{
    ZA_ASSERT(fault < ZA_REALM_PATHS_MAX && realm->path_used[fault]);
    mark_hosts(realm, &realm->paths[fault], false);
    realm->path_used[fault] = false;
    while (realm->path_count > 0 && !realm->path_used[realm->path_count - 1]) {
        realm->path_count--;
    }
}

/* ---- datagrams -------------------------------------------------------------------------------- */

/** The host at the address, or the one that had the uid; UINT32_MAX if nobody is there. */
static uint32_t destination(const za_realm_t *realm, const za_effect_t *effect)
{
    return effect->address != NULL ? za_realm_host_at(realm, effect->address)
                                   : za_host_of_uid(realm, effect->uid);
}

static void post(za_realm_t *realm, uint32_t from, uint32_t to, const za_effect_t *effect,
                 uint64_t at_us)
{
    za_parcel_t *parcel = za_parcel_create(realm, ZA_PARCEL_DATAGRAM, to);
    parcel->from = from;
    parcel->uid = realm->hosts[from].uid;
    parcel->size = (uint16_t)effect->size;
    parcel->side = realm->hosts[from].version == ZA_VERSION_FOREIGN;
    za_host_expect(realm, to, parcel->uid);
    parcel->bytes =
        effect->size <= ZA_PARCEL_INLINE ? parcel->inline_bytes : za_block_create(realm);
    memcpy(parcel->bytes, effect->bytes, effect->size);
    za_parcel_post(realm, parcel, at_us);
}

static bool drawn(uint64_t draw, uint32_t shift, uint32_t ppm)
{
    return ppm != 0 && (draw >> shift & 0xfffff) * ZA_PER_MILLION < (uint64_t)ppm << 20;
}

static bool lost(za_realm_t *realm, const za_path_t *path, const za_effect_t *effect, uint64_t draw)
{
    if (path->blocked || path->refusing || path->burst ||
        (path->mtu != 0 && effect->size > path->mtu) || drawn(draw, 16, path->loss_ppm)) {
        realm->stats.lost++;
        return true;
    }
    uint64_t more = za_mix64(draw);
    if (drawn(more, 0, path->corrupt_ppm)) {
        realm->stats.corrupted++; // it arrives and is not authentic: nothing but a counter
        return true;
    }
    return false;
}

void za_fabric_datagram(za_realm_t *realm, uint32_t from, const za_effect_t *effect)
{
    ZA_ASSERT(effect->size <= ZA_DATAGRAM_BYTES_MAX);
    realm->stats.datagrams++;
    realm->stats.datagram_bytes += effect->size + ZA_DATAGRAM_OVERHEAD;
    realm->hosts[from].datagram_bytes += effect->size + ZA_DATAGRAM_OVERHEAD;
    uint32_t to = destination(realm, effect);
    if (to == UINT32_MAX || realm->hosts[to].state == ZA_HOST_GONE) {
        realm->stats.lost++;
        return;
    }
    uint64_t draw = za_chance(realm->config.seed, ZA_CHANCE_DATAGRAM,
                              za_chance_link(from, to) + realm->draws++, realm->now_us);
    if ((realm->config.loss_ppm | realm->config.duplicate_ppm) == 0 &&
        !disturbed(realm, from, to)) { // what is below would come to the same, and take longer
        post(realm, from, to, effect, realm->now_us + usual_latency_us(&realm->config, draw));
        return;
    }
    za_path_t path = za_path_of(realm, from, to, false);
    if (lost(realm, &path, effect, draw)) {
        return;
    }
    uint64_t latency = za_path_latency_us(realm, &path, from, to, draw);
    if (path.reorder_ppm != 0) {
        uint64_t late = za_mix64(draw + 1);
        latency +=
            drawn(late, 0, path.reorder_ppm) ? za_chance_below(za_mix64(late), path.reorder_us) : 0;
    }
    post(realm, from, to, effect, realm->now_us + latency);
    if (drawn(draw, 40, path.duplicate_ppm)) {
        uint64_t again = za_mix64(draw + 2);
        post(realm, from, to, effect,
             realm->now_us + za_path_latency_us(realm, &path, from, to, again));
    }
}
