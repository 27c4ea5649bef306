#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster/member_texts.h"
#include "sim/realm_internal.h"
#include "wire/epoch_key.h"

enum {
    TEXTS_MIN = 4096, // each restart has a text of its own while anybody remembers the last
    DRIFT_SHIFT = 28,
    TIGHT_EFFECTS = 128, // of a step: what one call writes at most must fit
    WALL_OFF_MS = 250,   // clocks that are kept right differ by up to twice that
    RESTARTS_MAX = 4000, // whose tombstones find room
};

#define NEVER UINT64_MAX
#define OFFSET_MAX_US UINT64_C(3600000000) // clocks of up to an hour apart
#define EPOCH_MS UINT64_C(1700000000000)   // wall time at which a realm begins
#define CERT_LEAD_MS UINT64_C(3600000) // certificates are valid from an hour before they are made

/* ---- the node: whole, or membership alone ------------------------------------------------------ */

static za_err_t node_create(const za_realm_t *realm, za_host_t *host,
                            const za_cluster_config_t *config, uint64_t now_ms)
{
    return realm->config.services ? za_cluster_create(config, now_ms, &host->cluster)
                                  : za_membership_create(config, now_ms, &host->membership);
}

static void node_destroy(const za_realm_t *realm, za_host_t *host)
{
    if (realm->config.services) {
        za_cluster_destroy(host->cluster);
    } else {
        za_membership_destroy(host->membership);
    }
    host->cluster = NULL;
}

static za_step_t node_step(za_realm_t *realm, za_host_t *host, const za_cluster_event_t *event)
{
    za_effects_reset(&realm->effects);
    realm->effects.withheld = host->narrow ? ZA_EFFECTS_MAX - TIGHT_EFFECTS : 0;
    realm->stats.steps++;
    return realm->config.services ? za_cluster_step(host->cluster, event, &realm->effects)
                                  : za_membership_step(host->membership, event, &realm->effects);
}

static uint64_t node_deadline_ms(const za_realm_t *realm, const za_host_t *host)
{
    return realm->config.services ? za_cluster_deadline_ms(host->cluster)
                                  : za_membership_deadline_ms(host->membership);
}

static uint64_t node_uid(const za_realm_t *realm, const za_host_t *host)
{
    return realm->config.services ? za_cluster_uid(host->cluster)
                                  : za_membership_uid(host->membership);
}

void za_host_expect(const za_realm_t *realm, uint32_t index, uint64_t uid)
{
    const za_host_t *host = &realm->hosts[index];
    if (host->state == ZA_HOST_ON && !realm->config.services) { // else other things take the time
        za_membership_expect(host->membership, uid);
    }
}

/* ---- clocks ----------------------------------------------------------------------------------- */

/** What the host's clock gains within `us`; negative: loses. */
static int64_t gained_us(const za_host_t *host, uint64_t us)
{
    __extension__ typedef __int128 wide_t; // a year of microseconds takes 45 bits
    return (int64_t)((wide_t)us * host->drift >> DRIFT_SHIFT);
}

static uint64_t local_us(const za_host_t *host, uint64_t us)
{
    return (uint64_t)((int64_t)us + host->offset_us + gained_us(host, us));
}

static uint64_t local_ms(const za_realm_t *realm, const za_host_t *host)
{
    return local_us(host, realm->now_us) / ZA_US_PER_MS;
}

/** The first moment of the realm, from now on, at which the host's clock, `here_us` now, shows `at_ms`. */
static uint64_t realm_us(const za_realm_t *realm, const za_host_t *host, uint64_t here_us,
                         uint64_t at_ms)
{
    uint64_t at_us = at_ms * ZA_US_PER_MS;
    uint64_t guess_us = realm->now_us;
    // Clocks go wrong by a hundredth at most: what is still missing falls by that with each turn.
    while (here_us < at_us) {
        uint64_t ahead_us = at_us - here_us;
        guess_us += (uint64_t)((int64_t)ahead_us - gained_us(host, ahead_us));
        here_us = local_us(host, guess_us);
    }
    return guess_us;
}

static void cancel_tick(za_realm_t *realm, za_host_t *host)
{
    if (host->tick_us != NEVER) {
        za_calendar_remove(&realm->calendar, &realm->ticks[host - realm->hosts].entry);
        host->tick_us = NEVER;
    }
}

static void plan_tick_anew(za_realm_t *realm, uint32_t index, uint64_t here_us,
                           uint64_t deadline_ms)
{
    za_host_t *host = &realm->hosts[index];
    cancel_tick(realm, host);
    host->deadline_ms = deadline_ms;
    if (deadline_ms > ZA_CALENDAR_END / (2 * ZA_US_PER_MS)) {
        return; // never
    }
    uint64_t at_us = realm_us(realm, host, here_us, deadline_ms);
    if (realm->config.late_us != 0) {
        uint64_t late = za_chance(realm->config.seed, ZA_CHANCE_LATE, index, deadline_ms);
        at_us += za_chance_below(late, realm->config.late_us);
    }
    host->tick_us = at_us;
    za_parcel_post(realm, &realm->ticks[index], at_us);
}

/** Sees that a tick comes when the node, whose clock shows `here_us`, wants one. */
static inline void plan_tick(za_realm_t *realm, uint32_t index, uint64_t here_us)
{
    za_host_t *host = &realm->hosts[index];
    uint64_t deadline_ms = node_deadline_ms(realm, host);
    if (deadline_ms != host->deadline_ms || host->tick_us == NEVER) {
        plan_tick_anew(realm, index, here_us, deadline_ms);
    }
}

/* ---- steps ------------------------------------------------------------------------------------ */

static bool for_oracles(const za_effect_t *effect)
{
    switch (effect->type) {
    case ZA_EFFECT_SEND_DATAGRAM:
    case ZA_EFFECT_SEND_FRAME:
    case ZA_EFFECT_CONNECT:
    case ZA_EFFECT_CLOSE_LINK:
    case ZA_EFFECT_LOG:
        return false;
    case ZA_EFFECT_MARK:
        return effect->mark == ZA_MARK_DOWNING_ANEW; // it explains what follows
    default:
        return true;
    }
}

static bool input_for_oracles(const za_cluster_event_t *event)
{
    switch (event->type) {
    case ZA_CLUSTER_TICK:
    case ZA_CLUSTER_DATAGRAM:
    case ZA_CLUSTER_FRAME:
        return false;
    default:
        return true;
    }
}

static void tell_input(za_realm_t *realm, uint32_t host, const za_cluster_event_t *event)
{
    for (uint32_t i = 0; i < realm->oracle_count; i++) {
        if (realm->oracles[i].ops->input != NULL) {
            realm->oracles[i].ops->input(realm->oracles[i].context, realm, host, event);
        }
    }
}

static void tell_effect(za_realm_t *realm, uint32_t host, const za_effect_t *effect)
{
    for (uint32_t i = 0; i < realm->oracle_count; i++) {
        if (realm->oracles[i].ops->effect != NULL) {
            realm->oracles[i].ops->effect(realm->oracles[i].context, realm, host, effect);
        }
    }
}

static void tell_started(za_realm_t *realm, uint32_t host)
{
    for (uint32_t i = 0; i < realm->oracle_count; i++) {
        if (realm->oracles[i].ops->started != NULL) {
            realm->oracles[i].ops->started(realm->oracles[i].context, realm, host);
        }
    }
}

static void tell_step(za_realm_t *realm, uint32_t host)
{
    for (uint32_t i = 0; i < realm->oracle_count; i++) {
        if (realm->oracles[i].ops->step != NULL) {
            realm->oracles[i].ops->step(realm->oracles[i].context, realm, host);
        }
    }
}

/** The process has this uid from now on. No two ever have the same (M3). */
static void take_uid(za_realm_t *realm, uint32_t index)
{
    za_host_t *host = &realm->hosts[index];
    host->uid = node_uid(realm, host);
    if (za_pairs_get(&realm->by_uid, host->uid) != NULL) {
        za_realm_fail(realm, "M3", "%s takes uid %016llx, which %s has or had", host->name,
                      (unsigned long long)host->uid,
                      ((za_host_t *)za_pairs_get(&realm->by_uid, host->uid))->name);
    }
    za_pairs_set(&realm->by_uid, host->uid, host);
    tell_started(realm, index);
}

/** As a driver does from its secure source. */
static void give_material(za_realm_t *realm, uint32_t index)
{
    uint8_t material[ZA_EPOCH_SECRET_BYTES];
    for (uint32_t i = 0; i < sizeof material; i++) {
        uint64_t draw = za_chance(realm->config.seed, ZA_CHANCE_PROCESS, index, realm->now_us + i);
        material[i] = (uint8_t)draw;
    }
    za_host_post(realm, index,
                 &(za_cluster_event_t){
                     .type = ZA_CLUSTER_KEYS, .bytes = material, .size = sizeof material },
                 0);
}

static void send_out(za_realm_t *realm, uint32_t index, const za_effect_t *effect)
{
    if (effect->type == ZA_EFFECT_SEND_DATAGRAM && realm->config.datagrams && !effect->over_link) {
        za_fabric_datagram(realm, index, effect);
    } else {
        za_stream_send(realm, index, effect);
    }
}

/** Messages with fields that are not known, and now and then a frame of a kind that is not. */
__attribute__((noinline)) static void send_later(za_realm_t *realm, uint32_t index,
                                                 const za_effect_t *effect)
{
    static const uint8_t unknown[2][5] = { { ZA_MEMBERSHIP_TAG, 15 << 3 | 2, 2, 8, 1 },
                                           { 77, 10, 2, 8, 1 } };
    enum { UNKNOWN_IN = 16 };
    za_effect_t later;
    send_out(realm, index, za_dialect_speak(effect, realm->dialect, &later));
    uint64_t draw =
        za_chance(realm->config.seed, ZA_CHANCE_DIALECT, index, realm->now_us + realm->draws);
    if (effect->type == ZA_EFFECT_SEND_FRAME && za_chance_below(draw, UNKNOWN_IN) == 0) {
        za_effect_t more = { .type = ZA_EFFECT_SEND_FRAME,
                             .uid = effect->uid,
                             .lane = ZA_LANE_CONTROL,
                             .bytes = unknown[draw & 1],
                             .size = sizeof unknown[0] };
        send_out(realm, index, &more);
    }
}

static void carry_out(za_realm_t *realm, uint32_t index, const za_effect_t *effect)
{
    za_host_t *host = &realm->hosts[index];
    switch (effect->type) {
    case ZA_EFFECT_SEND_DATAGRAM:
    case ZA_EFFECT_SEND_FRAME:
        if (host->version == ZA_VERSION_LATER) {
            send_later(realm, index, effect);
        } else {
            send_out(realm, index, effect);
        }
        break;
    case ZA_EFFECT_CONNECT:
        za_stream_connect(realm, index, effect->address);
        break;
    case ZA_EFFECT_CLOSE_LINK:
        za_stream_close_peer(realm, index, effect->uid);
        break;
    case ZA_EFFECT_REBORN:
        za_stream_goodbye_all(realm, index);
        take_uid(realm, index);
        break;
    case ZA_EFFECT_LEASE:
        za_lease_ask(realm, index, effect);
        break;
    case ZA_EFFECT_LEFT:
        host->left = true;
        break;
    case ZA_EFFECT_WANT_KEYS:
        give_material(realm, index);
        break;
    case ZA_EFFECT_MARK:
        if (effect->mark < ZA_MARK_COUNT) {
            realm->stats.marks[effect->mark]++;
        }
        break;
    default:
        break;
    }
}

static void carry_out_all(za_realm_t *realm, uint32_t index)
{
    const za_effects_t *effects = &realm->effects;
    for (uint32_t i = 0; i < effects->count; i++) {
        const za_effect_t *effect = &effects->items[i];
        if (realm->trace.line != NULL) {
            za_trace_effect(realm, index, effect);
        }
        carry_out(realm, index, effect);
        if (realm->oracle_count > 0 && for_oracles(effect)) {
            tell_effect(realm, index, effect);
        }
    }
}

static void end_process(za_realm_t *realm, uint32_t index, za_host_state_t state)
{
    za_host_t *host = &realm->hosts[index];
    for (uint32_t i = 0; i < realm->oracle_count; i++) {
        if (realm->oracles[i].ops->stopped != NULL) {
            realm->oracles[i].ops->stopped(realm->oracles[i].context, realm, index);
        }
    }
    node_destroy(realm, host);
    realm->stats.host_us += realm->now_us - host->on_us;
    host->state = (uint8_t)state;
    host->paused = host->starved = host->suspended = host->tick_waits = false;
    cancel_tick(realm, host);
}

static bool stands_still(const za_host_t *host)
{
    return host->paused || host->suspended;
}

// Apart, as what is seldom needs a frame that every step would pay for.
__attribute__((noinline)) static void go_on(za_realm_t *realm, uint32_t index,
                                            const za_cluster_event_t *event)
{
    const za_cluster_event_t more = { .type = ZA_CLUSTER_CONTINUE,
                                      .now_ms = event->now_ms,
                                      .now_us = event->now_us };
    za_step_t step = ZA_STEP_MORE;
    while (step == ZA_STEP_MORE) {
        step = node_step(realm, &realm->hosts[index], &more);
        carry_out_all(realm, index);
    }
}

static void step(za_realm_t *realm, uint32_t index, za_cluster_event_t *event)
{
    za_host_t *host = &realm->hosts[index];
    event->now_us = local_us(host, realm->now_us);
    event->now_ms = event->now_us / ZA_US_PER_MS;
    if (realm->trace.line != NULL) {
        za_trace_event(realm, index, event);
    }
    if (realm->oracle_count > 0 && input_for_oracles(event)) {
        tell_input(realm, index, event);
    }
    za_step_t more = node_step(realm, host, event);
    carry_out_all(realm, index);
    if (more == ZA_STEP_MORE) {
        go_on(realm, index, event);
    }
    if (realm->oracle_count > 0) {
        tell_step(realm, index);
    }
    if (host->left) {
        za_stream_goodbye_all(realm, index);
        za_stream_close_all(realm, index, false);
        end_process(realm, index, ZA_HOST_OFF);
        return;
    }
    plan_tick(realm, index, event->now_us);
}

void za_host_tick(za_realm_t *realm, uint32_t index)
{
    za_host_t *host = &realm->hosts[index];
    host->tick_us = NEVER;
    if (stands_still(host)) {
        host->tick_waits = true;
        return;
    }
    za_realm_mix(realm, &realm->ticks[index]);
    step(realm, index, &realm->due);
}

/* ---- input ------------------------------------------------------------------------------------ */

// Apart, as what is seldom needs a frame that every datagram would pay for.
__attribute__((noinline)) static void step_news(za_realm_t *realm, const za_parcel_t *parcel)
{
    char address[24];
    za_cluster_event_t event = { .type = parcel->news.type,
                                 .uid = parcel->uid,
                                 .err = parcel->news.err };
    const za_frame_t *frame = parcel->news.frame;
    if (frame != NULL) {
        event.lane = (za_lane_t)frame->lane;
        event.bytes = frame->bytes;
        event.size = frame->size;
        event.over_link = parcel->news.type == ZA_CLUSTER_DATAGRAM;
    }
    if (parcel->news.type == ZA_CLUSTER_LINK_UP || parcel->news.type == ZA_CLUSTER_CONNECT_FAILED) {
        za_address_text(parcel->news.address, address, sizeof address);
        event.address = address;
        event.name = realm->hosts[parcel->from].name;
    }
    step(realm, parcel->host, &event);
}

/** A frame of a link that the process closed itself, or that a new one replaced, is not delivered. */
static bool cut_off(const za_parcel_t *parcel)
{
    return parcel->news.frame != NULL && parcel->stream->ends[parcel->side].cut;
}

static void deliver(za_realm_t *realm, za_parcel_t *parcel)
{
    za_host_t *host = &realm->hosts[parcel->host];
    bool runs = host->state == ZA_HOST_ON;
    if (parcel->kind == ZA_PARCEL_DATAGRAM) {
        bool foreign = parcel->side != (host->version == ZA_VERSION_FOREIGN);
        realm->stats.corrupted += runs && foreign; // without a common key it cannot be opened
        if (runs && !foreign) {
            za_cluster_event_t *event = &realm->datagram; // the rest of it stays zero
            event->uid = parcel->uid;
            event->bytes = parcel->bytes;
            event->size = parcel->size;
            step(realm, parcel->host, event);
        }
    } else if (parcel->kind == ZA_PARCEL_LOCAL) {
        if (runs && parcel->process == host->process) {
            step(realm, parcel->host, &parcel->local->event);
        }
        free(parcel->local);
    } else {
        if (runs && parcel->process == host->process && !cut_off(parcel)) {
            step_news(realm, parcel);
        }
        za_stream_release_frame(realm, parcel);
    }
    za_parcel_free(realm, parcel);
}

static bool waits(const za_realm_t *realm, const za_host_t *host)
{
    return stands_still(host) || host->starved || host->holds ||
           (host->serves && realm->now_us < host->busy_us);
}

__attribute__((noinline)) static void hold(za_realm_t *realm, za_host_t *host, za_parcel_t *parcel)
{
    if (parcel->kind == ZA_PARCEL_DATAGRAM) {
        uint32_t cost = parcel->size + ZA_SOCKET_COST;
        if (host->suspended || host->held_bytes + cost > za_host_room(host, ZA_SOCKET_BYTES)) {
            realm->stats.overflown++;
            za_parcel_free(realm, parcel);
            return;
        }
        host->held_bytes += cost;
    } else if (parcel->kind == ZA_PARCEL_EVENT && parcel->news.frame != NULL) {
        host->held_frame_bytes += parcel->news.frame->size;
    }
    if (host->held == NULL) {
        parcel->entry.next = &parcel->entry;
    } else {
        parcel->entry.next = host->held->next;
        host->held->next = &parcel->entry;
    }
    host->held = &parcel->entry;
    host->holds = true;
}

static za_parcel_t *take_held(za_host_t *host)
{
    za_entry_t *first = host->held->next;
    if (first == host->held) {
        host->held = NULL;
        host->holds = false;
    } else {
        host->held->next = first->next;
    }
    za_parcel_t *parcel = (za_parcel_t *)first;
    if (parcel->kind == ZA_PARCEL_DATAGRAM) {
        host->held_bytes -= parcel->size + ZA_SOCKET_COST;
    } else if (parcel->kind == ZA_PARCEL_EVENT && parcel->news.frame != NULL) {
        host->held_frame_bytes -= parcel->news.frame->size;
    }
    return parcel;
}

static void plan_drain(za_realm_t *realm, uint32_t index)
{
    za_host_t *host = &realm->hosts[index];
    if (host->draining || host->held == NULL || stands_still(host) || host->starved) {
        return;
    }
    host->draining = true;
    uint64_t at_us = host->busy_us > realm->now_us ? host->busy_us : realm->now_us;
    za_parcel_post(realm, za_parcel_create(realm, ZA_PARCEL_DRAIN, index), at_us);
}

void za_host_take(za_realm_t *realm, za_parcel_t *parcel)
{
    uint32_t index = parcel->host;
    za_host_t *host = &realm->hosts[index];
    if (host->state == ZA_HOST_ON && waits(realm, host)) {
        hold(realm, host, parcel);
        plan_drain(realm, index);
        return;
    }
    deliver(realm, parcel);
    if (host->serves) {
        host->busy_us = realm->now_us + host->service_us;
    }
}

/** A slow host takes one input and is busy with it; another takes all that waits at once. */
void za_host_drain(za_realm_t *realm, za_parcel_t *parcel)
{
    uint32_t index = parcel->host;
    za_host_t *host = &realm->hosts[index];
    za_parcel_free(realm, parcel);
    host->draining = false;
    while (host->held != NULL && !stands_still(host) && !host->starved && !realm->failure.failed) {
        deliver(realm, take_held(host));
        if (host->service_us != 0) {
            host->busy_us = realm->now_us + host->service_us;
            plan_drain(realm, index);
            return;
        }
    }
}

/** Input before timers, as the driver's contract says. */
static void catch_up(za_realm_t *realm, uint32_t index)
{
    za_host_t *host = &realm->hosts[index];
    while (host->held != NULL && host->service_us == 0 && !realm->failure.failed) {
        deliver(realm, take_held(host));
    }
    plan_drain(realm, index);
    if (host->tick_waits && host->state == ZA_HOST_ON) {
        host->tick_waits = false;
        if (local_ms(realm, host) >= host->deadline_ms) {
            step(realm, index, &realm->due);
        } else {
            plan_tick(realm, index, local_us(host, realm->now_us));
        }
    }
}

static void drop_held(za_realm_t *realm, za_host_t *host)
{
    while (host->held != NULL) {
        za_parcel_t *parcel = take_held(host);
        if (parcel->kind == ZA_PARCEL_EVENT) {
            za_stream_release_frame(realm, parcel);
        } else if (parcel->kind == ZA_PARCEL_LOCAL) {
            free(parcel->local);
        }
        za_parcel_free(realm, parcel);
    }
}

/* ---- life ------------------------------------------------------------------------------------- */

za_err_t za_hosts_create(za_realm_t *realm)
{
    uint32_t count = realm->config.hosts;
    za_err_t err = za_member_texts_create(TEXTS_MIN + 8 * count, &realm->texts);
    if (err != ZA_OK) {
        return err;
    }
    realm->hosts = aligned_alloc(64, count * sizeof *realm->hosts);
    if (realm->hosts == NULL) {
        return ZA_ENOMEM;
    }
    memset(realm->hosts, 0, count * sizeof *realm->hosts);
    realm->ticks = aligned_alloc(64, count * sizeof *realm->ticks);
    realm->address_capacity = count + 4096; // hosts that move
    realm->addresses = malloc(realm->address_capacity * sizeof *realm->addresses);
    realm->address_owners = malloc(realm->address_capacity * sizeof *realm->address_owners);
    if (realm->ticks == NULL || realm->addresses == NULL || realm->address_owners == NULL) {
        return ZA_ENOMEM;
    }
    realm->address_count = count;
    for (uint32_t i = 0; i < count; i++) {
        za_host_t *host = &realm->hosts[i];
        uint64_t offset = za_chance(realm->config.seed, ZA_CHANCE_CLOCK, i, 0);
        uint64_t drift = za_chance(realm->config.seed, ZA_CHANCE_CLOCK, i, 1);
        uint64_t drifts = 2 * (uint64_t)realm->config.drift_ppm + 1;
        host->offset_us = (int64_t)(ZA_US_PER_S + za_chance_below(offset, OFFSET_MAX_US));
        int64_t drift_ppm =
            (int64_t)za_chance_below(drift, drifts) - (int64_t)realm->config.drift_ppm;
        host->drift = (int32_t)(drift_ppm * (1 << DRIFT_SHIFT) / (int64_t)ZA_PER_MILLION);
        uint64_t wall = za_chance(realm->config.seed, ZA_CHANCE_CLOCK, i, 2);
        host->wall_ms = (int64_t)za_chance_below(wall, 2 * WALL_OFF_MS + 1) - WALL_OFF_MS;
        host->cert_from = EPOCH_MS - CERT_LEAD_MS;
        host->cert_until = NEVER;
        realm->ticks[i] = (za_parcel_t){ .kind = ZA_PARCEL_TICK, .host = i, .from = i };
        host->tick_us = NEVER;
        host->address = i;
        realm->addresses[i] = realm->address_owners[i] = i;
        snprintf(host->name, sizeof host->name, "n%u", i);
    }
    return ZA_OK;
}

void za_hosts_destroy(za_realm_t *realm)
{
    for (uint32_t i = 0; realm->hosts != NULL && i < realm->config.hosts; i++) {
        za_host_t *host = &realm->hosts[i];
        drop_held(realm, host);
        if (host->state == ZA_HOST_ON) {
            node_destroy(realm, host);
        }
    }
    za_member_texts_destroy(realm->texts);
    free(realm->hosts);
    free(realm->ticks);
    realm->hosts = NULL;
}

/**
 * Small tables stay in the cache: of all nodes together they are most of what a realm touches. All hosts
 * of a small realm may have been started anew three times while nobody has forgotten; of a large one four
 * thousand, because its tables are squares in address space.
 */
static uint32_t members_max(const za_realm_t *realm)
{
    uint32_t hosts = realm->config.hosts;
    uint32_t restarts = 3 * hosts < RESTARTS_MAX ? 3 * hosts : (uint32_t)RESTARTS_MAX;
    uint32_t count = hosts + restarts + 256;
    return count < ZA_MEMBERS_LIMIT ? count : (uint32_t)ZA_MEMBERS_LIMIT;
}

void za_host_start(za_realm_t *realm, uint32_t index)
{
    za_host_t *host = &realm->hosts[index];
    if (host->state == ZA_HOST_ON) {
        return;
    }
    drop_held(realm, host);
    host->process++;
    host->version = host->next_version;
    char address[24];
    za_address_text(host->address, address, sizeof address);
    const char *seeds[ZA_REALM_SEEDS_MAX];
    uint32_t hosts = realm->config.hosts;
    uint32_t seed_count = hosts < realm->seed_count ? hosts : realm->seed_count;
    for (uint32_t i = 0; i < seed_count; i++) {
        seeds[i] = realm->seeds[i];
    }
    za_cluster_config_t config = {
        .cluster = "realm",
        .name = host->name,
        .address = address,
        .seeds = seeds,
        .seed_count = seed_count,
        .random_seed = za_chance(realm->config.seed, ZA_CHANCE_PROCESS, index, host->process),
        .timing = realm->config.timing,
        .downing = realm->config.downing,
        .registry = { .names_per_node_max = realm->config.names_max },
        .datagrams = realm->config.datagrams,
        .plain_swim = realm->config.plain_swim,
        .members_max = members_max(realm),
        .texts = realm->texts,
    };
    za_err_t err = node_create(realm, host, &config, local_ms(realm, host));
    ZA_ASSERT(err == ZA_OK); // the configuration is ours, and a simulator needs its memory
    host->state = ZA_HOST_ON;
    host->left = false;
    host->on_us = realm->now_us;
    host->busy_us = host->shake_us = realm->now_us;
    host->deadline_ms = 0;
    take_uid(realm, index);
    plan_tick(realm, index, local_us(host, realm->now_us));
    if (realm->config.services) {
        give_material(realm, index);
    }
}

void za_host_crash(za_realm_t *realm, uint32_t index)
{
    if (realm->hosts[index].state == ZA_HOST_ON) {
        za_stream_close_all(realm, index, false);
        end_process(realm, index, ZA_HOST_OFF);
        drop_held(realm, &realm->hosts[index]);
    }
}

void za_host_vanish(za_realm_t *realm, uint32_t index)
{
    if (realm->hosts[index].state == ZA_HOST_ON) {
        za_stream_close_all(realm, index, true);
        end_process(realm, index, ZA_HOST_GONE);
        drop_held(realm, &realm->hosts[index]);
    }
}

void za_host_move(za_realm_t *realm, uint32_t index, bool reused)
{
    za_host_t *host = &realm->hosts[index];
    // Seeds stay where the others' configuration has them.
    if (index < realm->seed_count || host->state == ZA_HOST_ON ||
        realm->address_count == realm->address_capacity) {
        return;
    }
    realm->addresses[host->address] = reused ? ZA_ADDRESS_STRANGER : ZA_ADDRESS_NOBODY;
    host->address = realm->address_count++;
    realm->addresses[host->address] = realm->address_owners[host->address] = index;
}

void za_host_leave(za_realm_t *realm, uint32_t index)
{
    za_host_input(realm, index, &(za_cluster_event_t){ .type = ZA_CLUSTER_LEAVE });
}

void za_host_pause(za_realm_t *realm, uint32_t index, bool paused)
{
    za_host_t *host = &realm->hosts[index];
    if (host->state != ZA_HOST_ON || host->paused == paused) {
        return;
    }
    host->paused = paused;
    if (!stands_still(host)) {
        catch_up(realm, index);
    }
}

void za_host_starve(za_realm_t *realm, uint32_t index, bool starved)
{
    za_host_t *host = &realm->hosts[index];
    if (host->state != ZA_HOST_ON || host->starved == starved) {
        return;
    }
    host->starved = starved;
    if (!starved && !stands_still(host)) {
        catch_up(realm, index);
    }
}

void za_host_slow(za_realm_t *realm, uint32_t index, uint32_t service_us)
{
    realm->hosts[index].service_us = service_us;
    realm->hosts[index].serves = service_us != 0;
    plan_drain(realm, index);
}

void za_host_distrust(za_realm_t *realm, uint32_t index, bool distrusted)
{
    realm->hosts[index].distrusted = distrusted;
}

static uint64_t true_wall_ms(const za_realm_t *realm)
{
    return EPOCH_MS + realm->now_us / ZA_US_PER_MS;
}

void za_host_expire(za_realm_t *realm, uint32_t index, bool expired)
{
    za_host_t *host = &realm->hosts[index];
    if (expired) {
        host->cert_until = true_wall_ms(realm);
    } else {
        host->cert_from = true_wall_ms(realm) - CERT_LEAD_MS;
        host->cert_until = NEVER;
    }
}

/** Its clock is another now. */
static void shift_tick(za_realm_t *realm, uint32_t index)
{
    za_host_t *host = &realm->hosts[index];
    if (host->state == ZA_HOST_ON && !host->tick_waits) { // it may have left meanwhile
        cancel_tick(realm, host);
        plan_tick(realm, index, local_us(host, realm->now_us));
    }
}

void za_host_suspend(za_realm_t *realm, uint32_t index, bool suspended)
{
    za_host_t *host = &realm->hosts[index];
    if (host->state != ZA_HOST_ON || host->suspended == suspended) {
        return;
    }
    host->suspended = suspended;
    if (suspended) {
        host->suspended_us = local_us(host, realm->now_us);
        return;
    }
    host->offset_us -= (int64_t)(local_us(host, realm->now_us) - host->suspended_us);
    if (!stands_still(host)) {
        catch_up(realm, index);
    }
    shift_tick(realm, index);
}

void za_host_jump(za_realm_t *realm, uint32_t index, uint32_t ahead_ms)
{
    za_host_t *host = &realm->hosts[index];
    host->offset_us += (int64_t)ahead_ms * (int64_t)ZA_US_PER_MS;
    shift_tick(realm, index);
}

void za_host_set_back(za_realm_t *realm, uint32_t index, uint32_t behind_ms)
{
    realm->hosts[index].behind_ms = behind_ms;
}

void za_host_tighten(za_realm_t *realm, uint32_t index, uint32_t bytes)
{
    realm->hosts[index].tight = bytes;
    realm->hosts[index].narrow = bytes != 0;
}

void za_host_set_version(za_realm_t *realm, uint32_t index, za_host_version_t version)
{
    if (realm->dialect == NULL && version == ZA_VERSION_LATER) {
        realm->dialect = malloc(ZA_DIALECT_BYTES_MAX);
        ZA_ASSERT(realm->dialect != NULL); // a simulator without memory cannot go on
    }
    realm->hosts[index].next_version = (uint8_t)version;
}

void za_host_input(za_realm_t *realm, uint32_t index, const za_cluster_event_t *event)
{
    if (za_host_running(realm, index)) {
        za_cluster_event_t copy = *event;
        step(realm, index, &copy);
    }
}

void za_host_post(za_realm_t *realm, uint32_t index, const za_cluster_event_t *event,
                  uint64_t delay_us)
{
    if (realm->hosts[index].state != ZA_HOST_ON) {
        return;
    }
    uint32_t args_bytes = event->spawn != NULL ? event->spawn->args_bytes : 0;
    za_local_event_t *local = malloc(sizeof *local + event->size + args_bytes);
    ZA_ASSERT(local != NULL); // a simulator without memory cannot go on
    local->event = *event;
    if (event->name != NULL) {
        snprintf(local->name, sizeof local->name, "%s", event->name);
        local->event.name = local->name;
    }
    if (event->bytes != NULL) {
        memcpy(local->bytes, event->bytes, event->size);
        local->event.bytes = local->bytes;
    }
    if (event->spawn != NULL) {
        local->spawn = *event->spawn;
        local->event.spawn = &local->spawn;
        if (args_bytes > 0) {
            memcpy(local->bytes + event->size, event->spawn->args, args_bytes);
            local->spawn.args = local->bytes + event->size;
        }
    }
    za_parcel_t *parcel = za_parcel_create(realm, ZA_PARCEL_LOCAL, index);
    parcel->local = local;
    za_parcel_post(realm, parcel, realm->now_us + delay_us);
}

/* ---- looking ---------------------------------------------------------------------------------- */

za_host_state_t za_host_state(const za_realm_t *realm, uint32_t host)
{
    return (za_host_state_t)realm->hosts[host].state;
}

bool za_host_running(const za_realm_t *realm, uint32_t host)
{
    return realm->hosts[host].state == ZA_HOST_ON && !stands_still(&realm->hosts[host]);
}

za_host_version_t za_host_version(const za_realm_t *realm, uint32_t host)
{
    return (za_host_version_t)realm->hosts[host].version;
}

uint64_t za_host_wall_ms(const za_realm_t *realm, uint32_t index)
{
    const za_host_t *host = &realm->hosts[index];
    return (uint64_t)((int64_t)true_wall_ms(realm) + host->wall_ms) - host->behind_ms;
}

bool za_host_has_left(const za_realm_t *realm, uint32_t host)
{
    return realm->hosts[host].left;
}

uint64_t za_host_uid(const za_realm_t *realm, uint32_t host)
{
    return realm->hosts[host].state == ZA_HOST_ON ? realm->hosts[host].uid : 0;
}

uint32_t za_host_process(const za_realm_t *realm, uint32_t host)
{
    return realm->hosts[host].process;
}

uint32_t za_host_of_uid(const za_realm_t *realm, uint64_t uid)
{
    const za_host_t *host = uid != 0 ? za_pairs_get(&realm->by_uid, uid) : NULL;
    return host != NULL ? (uint32_t)(host - realm->hosts) : UINT32_MAX;
}

uint64_t za_host_now_ms(const za_realm_t *realm, uint32_t host)
{
    return local_ms(realm, &realm->hosts[host]);
}

const za_cluster_t *za_host_cluster(const za_realm_t *realm, uint32_t host)
{
    bool whole = realm->config.services && realm->hosts[host].state == ZA_HOST_ON;
    return whole ? realm->hosts[host].cluster : NULL;
}

bool za_host_find(const za_realm_t *realm, uint32_t index, uint64_t uid, za_member_info_t *out)
{
    const za_host_t *host = &realm->hosts[index];
    if (host->state != ZA_HOST_ON) {
        return false;
    }
    return realm->config.services ? za_cluster_find_member(host->cluster, uid, out)
                                  : za_membership_find(host->membership, uid, out);
}

void za_host_each_member(const za_realm_t *realm, uint32_t index,
                         bool (*visit)(const za_member_info_t *info, void *context), void *context)
{
    const za_host_t *host = &realm->hosts[index];
    if (host->state != ZA_HOST_ON) {
        return;
    }
    if (realm->config.services) {
        za_cluster_each_member(host->cluster, visit, context);
    } else {
        za_membership_each_member(host->membership, visit, context);
    }
}

uint64_t za_host_view_hash(const za_realm_t *realm, uint32_t index)
{
    const za_host_t *host = &realm->hosts[index];
    return host->state != ZA_HOST_ON ? 0
           : realm->config.services  ? za_cluster_view_hash(host->cluster)
                                     : za_membership_view_hash(host->membership);
}

uint64_t za_host_datagram_bytes(const za_realm_t *realm, uint32_t host)
{
    return realm->hosts[host].datagram_bytes;
}
