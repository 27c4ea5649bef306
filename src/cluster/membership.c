#include "cluster/membership.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "cluster/membership_internal.h"

const za_cluster_timing_t za_cluster_timing_lan = {
    .probe_interval_ms = 500,
    .probe_timeout_ms = 100,
    .suspicion_mult = 4,
    .gossip_interval_ms = 100,
    .sync_interval_ms = 10000,
    .auto_down_ms = 5000,
    .leave_timeout_ms = 5000,
    .reconnect_interval_ms = 10000,
    .seed_interval_ms = 30000,
    .registry_sync_ms = 1000,
};

const za_cluster_timing_t za_cluster_timing_wan = {
    .probe_interval_ms = 2000,
    .probe_timeout_ms = 1000,
    .suspicion_mult = 6,
    .gossip_interval_ms = 500,
    .sync_interval_ms = 30000,
    .auto_down_ms = 20000,
    .leave_timeout_ms = 10000,
    .reconnect_interval_ms = 10000,
    .seed_interval_ms = 30000,
    .registry_sync_ms = 5000,
};

const za_cluster_timing_t za_cluster_timing_local = {
    .probe_interval_ms = 200,
    .probe_timeout_ms = 50,
    .suspicion_mult = 3,
    .gossip_interval_ms = 20,
    .sync_interval_ms = 1000,
    .auto_down_ms = 1000,
    .leave_timeout_ms = 1000,
    .reconnect_interval_ms = 1000,
    .seed_interval_ms = 2000,
    .registry_sync_ms = 200,
};

enum {
    LOG_BYTES_MAX = 512,
    TEXTS_OWN = 2, // our own record has two while one replaces the other
};

/* ---- effects ------------------------------------------------------------------------------- */

bool za_membership_room(za_membership_t *m, za_effects_t *out, uint32_t bytes)
{
    if (za_effects_have_room(out, ZA_MEMBER_EFFECTS_RESERVE + 1, bytes + 4096)) {
        return true;
    }
    m->more = true;
    return false;
}

void za_membership_mark(za_membership_t *m, za_effects_t *out, za_mark_t mark)
{
    if (za_membership_room(m, out, 0)) {
        za_effects_add(out, ZA_EFFECT_MARK)->mark = mark;
    }
}

static void connect_to(za_membership_t *m, za_effects_t *out, uint64_t uid, const char *address)
{
    if (za_membership_room(m, out, ZA_ADDRESS_BYTES_MAX + 1)) {
        const char *text = za_effects_copy(out, address);
        za_effect_t *effect = za_effects_add(out, ZA_EFFECT_CONNECT);
        effect->uid = uid;
        effect->address = text;
    }
}

void za_membership_connect(za_membership_t *m, za_effects_t *out, const char *address)
{
    connect_to(m, out, 0, address);
}

void za_membership_mesh(za_membership_t *m, za_effects_t *out, const za_member_t *member)
{
    connect_to(m, out, member->uid, za_member_address(m, member));
}

void za_membership_log(za_membership_t *m, za_effects_t *out, int level, const char *format, ...)
{
    if (!za_membership_room(m, out, LOG_BYTES_MAX)) {
        return;
    }
    char text[LOG_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_LOG);
    effect->level = level;
    effect->name = za_effects_copy(out, text);
}

/* ---- create -------------------------------------------------------------------------------- */

static bool fits(const char *text, size_t bytes_max)
{
    return text != NULL && text[0] != '\0' && strlen(text) <= bytes_max;
}

static bool timing_valid(const za_cluster_timing_t *timing)
{
    const uint32_t minute_ms = 60000;
    return timing->probe_interval_ms >= 10 && timing->probe_interval_ms <= minute_ms &&
           timing->probe_timeout_ms > 0 && timing->probe_timeout_ms <= timing->probe_interval_ms &&
           timing->suspicion_mult > 0 && timing->suspicion_mult <= 100 &&
           timing->gossip_interval_ms > 0 && timing->gossip_interval_ms <= minute_ms &&
           timing->sync_interval_ms > 0 && timing->reconnect_interval_ms > 0 &&
           timing->seed_interval_ms > 0;
}

static za_member_profile_t own_profile(const za_cluster_config_t *config)
{
    return (za_member_profile_t){
        .attributes = 1,
        .name = config->name,
        .address = config->address,
        .roles = config->roles != NULL ? config->roles : "",
        .meta = config->meta,
        .name_bytes = (uint32_t)strlen(config->name),
        .address_bytes = (uint32_t)strlen(config->address),
        .roles_bytes = config->roles != NULL ? (uint32_t)strlen(config->roles) : 0,
        .meta_bytes = config->meta_bytes,
    };
}

static bool config_valid(const za_cluster_config_t *config)
{
    if (config == NULL || !fits(config->name, ZA_NODE_NAME_BYTES_MAX) ||
        !fits(config->address, ZA_ADDRESS_BYTES_MAX) || config->seed_count > ZA_MEMBER_SEEDS_MAX ||
        config->members_max > ZA_MEMBERS_LIMIT || config->members_max == 1 ||
        !timing_valid(&config->timing)) {
        return false;
    }
    for (uint32_t i = 0; i < config->seed_count; i++) {
        if (!fits(config->seeds[i], ZA_ADDRESS_BYTES_MAX)) {
            return false;
        }
    }
    if (!za_downing_config_valid(&config->downing)) {
        return false;
    }
    za_member_profile_t profile = own_profile(config);
    return za_member_profile_valid(&profile);
}

static void copy_config(za_membership_t *m, const za_cluster_config_t *config)
{
    m->timing = config->timing;
    m->datagrams = config->datagrams;
    m->plain = config->plain_swim;
    snprintf(m->name, sizeof m->name, "%s", config->name);
    snprintf(m->address, sizeof m->address, "%s", config->address);
    for (uint32_t i = 0; i < config->seed_count; i++) {
        if (strcmp(config->seeds[i], m->address) == 0) {
            m->may_found = true; // a seed may be the first of all
        } else {
            memcpy(m->seeds[m->seed_count++].address, config->seeds[i],
                   strlen(config->seeds[i]) + 1);
        }
    }
    m->may_found = m->may_found || (m->seed_count == 0 && !config->discovers);
}

static bool insert_self(za_membership_t *m, const za_cluster_config_t *config)
{
    uint64_t uid = za_rng_next(&m->rng);
    while (uid == 0 || uid == ZA_NODE_NAMED) {
        uid = za_rng_next(&m->rng);
    }
    za_member_profile_t profile = own_profile(config);
    za_member_opinion_t opinion = { .inc = 1 };
    za_member_t *self = za_member_insert(m, uid, &opinion, &profile);
    if (self != NULL) {
        za_member_set_self(m, self);
    }
    return self != NULL;
}

/** Of all but probes and gossip, as far as a node in this phase does anything. */
static uint64_t rest_deadline(const za_membership_t *m)
{
    if (m->phase == ZA_PHASE_LEFT) {
        return ZA_MEMBER_NEVER;
    }
    uint64_t at_ms = za_member_join_deadline(m);
    if (m->unannounced) {
        return m->now_ms;
    }
    if (m->phase == ZA_PHASE_JOINING) {
        return at_ms;
    }
    at_ms = za_ms_min(at_ms, za_member_downing_deadline(m));
    at_ms = za_ms_min(at_ms, za_ms_min(za_member_timers_deadline(m), m->connects_ms));
    return za_ms_min(at_ms, za_ms_min(m->sync_ms, za_ms_min(m->reconnect_ms, m->seed_ms)));
}

/** The rest stays what it was only while the phase is UP and all is told. */
static bool rest_moves(const za_membership_t *m)
{
    return m->phase != ZA_PHASE_UP || m->unannounced || m->dump_count > 0;
}

static bool probes_count(const za_membership_t *m)
{
    return m->phase != ZA_PHASE_LEFT && m->phase != ZA_PHASE_JOINING && !m->unannounced;
}

static uint64_t deadline(za_membership_t *m)
{
    if (m->rest_stale) {
        m->rest_ms = rest_deadline(m);
        m->look_ms = za_ms_min(m->rest_ms, za_member_ring_deadline(m));
        m->rest_stale = rest_moves(m);
        if (!probes_count(m)) {
            return m->rest_ms;
        }
    }
    ZA_ASSERT_SLOW(m->rest_ms == rest_deadline(m) && m->rest_stale == rest_moves(m));
    uint64_t at_ms = za_ms_min(m->rest_ms, za_member_probe_deadline(m));
    return m->gossip_count > 0 ? za_ms_min(at_ms, m->gossip_ms) : at_ms;
}

/** Its tables, all in one piece: zero pages cost nothing until they are used. */
static za_err_t create_tables(za_membership_t *m, const za_cluster_config_t *config)
{
    uint32_t capacity = config->members_max != 0 ? config->members_max : ZA_MEMBERS_MAX;
    m->memory = calloc(1, za_member_table_init(m, capacity, NULL));
    if (m->memory == NULL) {
        return ZA_ENOMEM;
    }
    uintptr_t line = ((uintptr_t)m->memory + 63) & ~(uintptr_t)63;
    za_member_table_init(m, capacity, (uint8_t *)m->memory + (line - (uintptr_t)m->memory));
    m->texts = config->texts;
    if (m->texts != NULL) {
        return ZA_OK;
    }
    m->own_texts = true;
    return za_member_texts_create(capacity + TEXTS_OWN, &m->texts);
}

za_err_t za_membership_create(const za_cluster_config_t *config, uint64_t now_ms,
                              za_membership_t **out)
{
    if (out == NULL || !config_valid(config)) {
        return ZA_EINVAL;
    }
    za_membership_t *m = aligned_alloc(ZA_MEMBER_LINE, sizeof *m);
    if (m == NULL) {
        return ZA_ENOMEM;
    }
    memset(m, 0, sizeof *m);
    m->now_ms = now_ms;
    m->gossip_first = ZA_MEMBER_NONE;
    m->gossip_last = ZA_MEMBER_NONE;
    // The name as well: nodes that were given one seed must not draw one uid.
    za_rng_init(&m->rng,
                config->random_seed ^ za_fnv64(ZA_FNV64_INIT, config->name, strlen(config->name)));
    za_member_downing_init(m, &config->downing);
    za_err_t err = create_tables(m, config);
    if (err == ZA_OK) {
        copy_config(m, config);
        err = insert_self(m, config) ? ZA_OK : ZA_ENOMEM;
    }
    if (err != ZA_OK) {
        za_membership_destroy(m);
        return err;
    }
    za_member_probe_stop(m);
    za_member_join_start(m);
    m->unannounced = true;
    m->rest_stale = true;
    m->deadline_ms = deadline(m);
    *out = m;
    return ZA_OK;
}

void za_membership_destroy(za_membership_t *membership)
{
    if (membership == NULL) {
        return;
    }
    if (membership->own_texts) {
        za_member_texts_destroy(membership->texts);
    } else if (membership->texts != NULL) {
        za_member_table_deinit(membership);
    }
    free(membership->memory);
    free(membership);
}

/* ---- step ---------------------------------------------------------------------------------- */

/**
 * After a stall of ours the silence of the others was our own: nobody is blamed for it. What came meanwhile
 * is taken before the tick that was due, and says nothing of another stall.
 */
static void notice_lag(za_membership_t *m)
{
    uint64_t due_ms = m->deadline_ms > m->noticed_ms ? m->deadline_ms : m->noticed_ms;
    if (m->now_ms <= due_ms || m->now_ms - due_ms <= m->timing.probe_interval_ms / 4) {
        return;
    }
    uint64_t lag_ms = m->now_ms - due_ms;
    m->noticed_ms = m->now_ms;
    m->rest_stale = true;
    za_member_table_lag(m, lag_ms);
    za_member_probe_lag(m, lag_ms);
    za_member_link_lag(m, lag_ms);
    za_member_join_lag(m, lag_ms);
    za_member_downing_lag(m);
}

static void down_node(za_membership_t *m, const char *name, za_effects_t *out)
{
    if (name == NULL) {
        return;
    }
    za_member_t *member =
        za_member_holder(m, name, (uint32_t)strlen(name), za_membership_self_uid(m));
    if (member != NULL) {
        za_member_down(m, member, za_MemberReason_MEMBER_REASON_OPERATOR, out);
    }
}

static void tick(za_membership_t *m, za_effects_t *out)
{
    if (m->now_ms >= m->look_ms || m->rest_stale) { // not only a probe, or gossip
        m->rest_stale = true;
        if (m->unannounced) {
            za_member_announce_all(m, out);
        }
        za_member_join_tick(m, out);
        if (m->phase == ZA_PHASE_JOINING) {
            return;
        }
        za_member_dumps_tick(m, out);
    }
    za_member_probe_tick(m, out);
    if (m->rest_stale) { // all is looked at, or a probe had consequences
        za_member_timers(m, out);
        za_member_downing_tick(m, out);
        za_member_link_tick(m, out);
        za_member_sync_tick(m, out);
    }
    za_member_gossip_tick(m, out);
}

static void handle(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out)
{
    switch (event->type) {
    case ZA_CLUSTER_TICK:
    case ZA_CLUSTER_CONTINUE:
        tick(m, out);
        break;
    case ZA_CLUSTER_DATAGRAM:
        za_member_on_datagram(m, event, out);
        break;
    case ZA_CLUSTER_FRAME:
        za_member_on_frame(m, event, out);
        break;
    case ZA_CLUSTER_LINK_UP:
        za_member_link_up(m, event, out);
        break;
    case ZA_CLUSTER_LINK_DOWN:
        za_member_link_down(m, event, out);
        break;
    case ZA_CLUSTER_CONNECT_FAILED:
        za_member_connect_failed(m, event, out);
        break;
    case ZA_CLUSTER_SEEDS:
        za_member_on_seeds(m, event);
        break;
    case ZA_CLUSTER_WANT_LINK:
        za_membership_want_link(m, event->uid);
        break;
    case ZA_CLUSTER_LEAVE:
        za_member_leave(m, out);
        break;
    case ZA_CLUSTER_DOWN_NODE:
        down_node(m, event->name, out);
        break;
    case ZA_CLUSTER_LEASE:
        za_member_downing_lease(m, event);
        break;
    default:
        break;
    }
}

za_step_t za_membership_step(za_membership_t *membership, const za_cluster_event_t *event,
                             za_effects_t *out)
{
    za_membership_t *m = membership;
    ZA_ASSERT(event->now_ms >= m->now_ms); // the driver's clock is monotonic
    m->now_ms = event->now_ms;
    uint64_t now_us = event->now_us != 0 ? event->now_us : event->now_ms * 1000;
    m->now_us = now_us > m->now_us ? now_us : m->now_us;
    m->more = false;
    if (m->phase == ZA_PHASE_LEFT) {
        if (event->type == ZA_CLUSTER_LINK_UP) {
            za_member_link_up(m, event, out); // closes it
        }
        return ZA_STEP_DONE;
    }
    // Of a datagram or a tick its handler says whether it may.
    m->rest_stale |= event->type != ZA_CLUSTER_DATAGRAM && event->type != ZA_CLUSTER_TICK;
    notice_lag(m);
    handle(m, event, out);
    if (m->rebirth_due) {
        m->rest_stale = true;
        za_member_rebirth(m, out);
    }
    if (m->phase == ZA_PHASE_LEAVING || m->phase == ZA_PHASE_PARTING) {
        za_member_leave_check(m, out);
    }
    za_member_downing_follow(m);
    m->deadline_ms = deadline(m);
    ZA_ASSERT(m->link_count <= ZA_PEERS_MAX && m->count <= m->capacity);
    return m->more ? ZA_STEP_MORE : ZA_STEP_DONE;
}

uint64_t za_membership_deadline_ms(const za_membership_t *membership)
{
    return membership->deadline_ms;
}

void za_membership_expect(const za_membership_t *membership, uint64_t uid)
{
    uint16_t slot = membership->by_uid[za_member_bucket(membership, uid)]; // + 1
    if (slot != 0) {
        __builtin_prefetch(&membership->members[slot - 1], 1);
    }
}

/* ---- queries ------------------------------------------------------------------------------- */

uint64_t za_membership_uid(const za_membership_t *membership)
{
    return za_membership_self_uid(membership);
}

static za_member_info_t info_of(const za_membership_t *m, uint16_t index)
{
    const za_member_t *member = &m->members[index];
    const za_member_rest_t *rest = &m->rests[index];
    const za_member_text_t *text = za_member_text(m, member);
    bool joining = index == m->self && m->phase == ZA_PHASE_JOINING;
    return (za_member_info_t){
        .uid = member->uid,
        .name = text->name,
        .address = za_member_text_address(text),
        .roles = za_member_text_roles(text),
        .meta = za_member_text_meta(text),
        .meta_bytes = text->meta_bytes,
        .state = joining ? ZA_MEMBER_JOINING : za_member_state_of(member),
        .incarnation = rest->inc,
        .since_ms = rest->since_ms,
        .rtt_us = member->rtt_us,
        .self = index == m->self,
        .linked = member->linked,
        .apart = member->apart,
        .udp_degraded = member->udp_degraded,
    };
}

bool za_membership_find(const za_membership_t *membership, uint64_t uid, za_member_info_t *out)
{
    const za_member_t *member = za_member_find(membership, uid);
    if (member == NULL) {
        return false;
    }
    *out = info_of(membership, (uint16_t)(member - membership->members));
    return true;
}

void za_membership_each_member(const za_membership_t *membership,
                               bool (*visit)(const za_member_info_t *info, void *context),
                               void *context)
{
    const uint16_t *sorted = za_member_sorted(membership);
    for (uint32_t i = 0; i < membership->count; i++) {
        const za_member_t *member = &membership->members[sorted[i]];
        if (member->voided && !za_member_terminal(member)) {
            continue; // a doubt of our side before a rebirth: nobody's opinion any more
        }
        za_member_info_t info = info_of(membership, sorted[i]);
        if (!visit(&info, context)) {
            return;
        }
    }
}

uint64_t za_membership_view_hash(const za_membership_t *membership)
{
    return membership->view_hash;
}

uint32_t za_membership_up_count(const za_membership_t *membership)
{
    return membership->alive_count;
}

bool za_membership_is_linked(const za_membership_t *membership, uint64_t uid)
{
    return za_member_link(membership, uid) != NULL;
}

uint32_t za_membership_sample_linked(const za_membership_t *membership, za_rng_t *rng,
                                     uint64_t *uids, uint32_t max)
{
    return za_member_pick_linked(membership, rng, 0, 0, true, uids, max);
}

void za_membership_counters(const za_membership_t *membership, za_cluster_counters_t *out)
{
    const za_cluster_counters_t *counters = &membership->counters;
    out->probes = membership->probes;
    out->probe_failures = counters->probe_failures;
    out->suspects = counters->suspects;
    out->refutes = counters->refutes;
    out->downs = counters->downs;
    out->down_of_live = counters->down_of_live;
    out->rebirths = counters->rebirths;
    out->downing_kept = counters->downing_kept;
    out->downing_self = counters->downing_self;
    out->joins_refused = counters->joins_refused;
    out->datagrams_in = membership->datagrams_in;
    out->datagrams_bad = counters->datagrams_bad;
    out->frames_bad = counters->frames_bad;
    out->udp_degraded = counters->udp_degraded;
    out->aparts = counters->aparts;
}
