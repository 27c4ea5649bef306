#include "base/assert.h"
#include "cluster/membership_internal.h"

/* ---- local health (Lifeguard) -------------------------------------------------------------- */

void za_member_health(za_membership_t *m, int delta)
{
    int health = (int)m->health + delta;
    m->health = (uint32_t)(health < 0                      ? 0
                           : health > ZA_MEMBER_HEALTH_MAX ? ZA_MEMBER_HEALTH_MAX
                                                           : health);
}

/* ---- rounds -------------------------------------------------------------------------------- */

static uint64_t interval_ms(const za_membership_t *m)
{
    return (uint64_t)m->timing.probe_interval_ms * (m->health + 1);
}

/** Thrice the usual round trip, within [T/5, T/2]; the configured guess while it is unknown. */
static uint64_t timeout_ms(const za_membership_t *m, const za_member_t *target)
{
    uint64_t interval = m->timing.probe_interval_ms;
    uint64_t timeout = m->timing.probe_timeout_ms;
    if (target->rtt_us != 0) {
        timeout = 3 * (uint64_t)target->rtt_us / 1000 + 1;
    }
    timeout = timeout < interval / 5 ? interval / 5 : timeout;
    timeout = za_ms_min(timeout, interval / 2);
    return timeout * (m->health + 1);
}

void za_member_probe_start(za_membership_t *m, uint64_t first_ms)
{
    m->probe.phase = ZA_PROBE_IDLE;
    m->probe.target = 0;
    m->probe.next_ms = first_ms;
}

void za_member_probe_stop(za_membership_t *m)
{
    za_member_probe_start(m, ZA_MEMBER_NEVER);
    m->relay_count = 0;
    m->probe.urgent = 0;
    m->probe.order_count = 0;
    m->probe.order_at = 0;
}

uint64_t za_member_probe_deadline(const za_membership_t *m)
{
    uint64_t deadline = m->probe.phase == ZA_PROBE_IDLE     ? m->probe.next_ms
                        : m->probe.phase == ZA_PROBE_DIRECT ? m->probe.timeout_ms
                                                            : m->probe.end_ms;
    for (uint32_t i = 0; i < m->relay_count; i++) {
        deadline = za_ms_min(deadline, za_ms_min(m->relays[i].nack_ms, m->relays[i].end_ms));
    }
    return deadline;
}

/** Unreachable members are not probed: reconnecting looks after them, and rounds stay short. */
static bool may_probe(const za_membership_t *m, uint16_t index)
{
    const za_member_t *member = &m->members[index];
    return index != m->self && member->in_view &&
           member->record.rank != za_MemberRank_MEMBER_RANK_UNREACHABLE;
}

static void deal_order(za_membership_t *m)
{
    za_member_probe_t *probe = &m->probe;
    probe->order_count = 0;
    probe->order_at = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (may_probe(m, m->by_uid[i])) {
            probe->order[probe->order_count++] = m->by_uid[i];
        }
    }
    for (uint32_t i = probe->order_count; i > 1; i--) {
        uint64_t at = za_rng_below(&m->rng, i);
        uint16_t swap = probe->order[at];
        probe->order[at] = probe->order[i - 1];
        probe->order[i - 1] = swap;
    }
}

/** Each member once per pass, in random order: a crash is met within two passes. */
static uint16_t next_target(za_membership_t *m)
{
    za_member_probe_t *probe = &m->probe;
    uint16_t urgent = probe->urgent != 0 ? za_member_index(m, probe->urgent) : ZA_MEMBER_NONE;
    probe->urgent = 0;
    if (urgent != ZA_MEMBER_NONE && may_probe(m, urgent)) {
        return urgent;
    }
    for (int pass = 0; pass < 2; pass++) {
        while (probe->order_at < probe->order_count) {
            uint16_t index = probe->order[probe->order_at++];
            if (may_probe(m, index)) {
                return index;
            }
        }
        deal_order(m);
    }
    return ZA_MEMBER_NONE;
}

static void send_ping(za_membership_t *m, uint64_t uid, uint64_t seq, za_effects_t *out)
{
    za_member_send(m, uid, za_DatagramKind_DATAGRAM_KIND_PING, seq, uid, out);
}

/** Above the full mesh, links made for probes are given back one by one. */
static void shed_link(za_membership_t *m, uint64_t target, za_effects_t *out)
{
    uint64_t uid = 0;
    if (m->live_count > ZA_MEMBER_MESH_MAX && m->link_count > ZA_MEMBER_SPARSE_LINKS &&
        za_member_pick(m, &m->rng, target, m->join_target, false, &uid, 1) == 1) {
        za_member_close(m, uid, out);
    }
}

static void begin_round(za_membership_t *m, za_effects_t *out)
{
    za_member_probe_t *probe = &m->probe;
    za_member_check_names(m, out);
    uint16_t index = next_target(m);
    if (index == ZA_MEMBER_NONE) {
        probe->next_ms = m->now_ms + interval_ms(m);
        return;
    }
    za_member_t *target = &m->members[index];
    probe->phase = ZA_PROBE_DIRECT;
    probe->target = target->record.uid;
    probe->seq = ++m->next_seq;
    probe->start_ms = m->now_ms;
    probe->timeout_ms = m->now_ms + timeout_ms(m, target);
    probe->end_ms = m->now_ms + interval_ms(m);
    probe->asked = 0;
    probe->nacks = 0;
    m->counters.probes++;
    if (target->linked || m->datagrams) {
        send_ping(m, probe->target, probe->seq, out);
    } else {
        za_membership_connect(m, out, target->record.address); // pinged when the link is up
    }
    shed_link(m, probe->target, out);
}

static void ask_helpers(za_membership_t *m, za_effects_t *out)
{
    za_member_probe_t *probe = &m->probe;
    uint64_t helpers[ZA_MEMBER_HELPERS];
    probe->asked = za_member_pick(m, &m->rng, probe->target, 0, true, helpers, ZA_MEMBER_HELPERS);
    for (uint32_t i = 0; i < probe->asked; i++) {
        za_member_send(m, helpers[i], za_DatagramKind_DATAGRAM_KIND_PING_REQ, probe->seq,
                       probe->target, out);
    }
    if (probe->asked > 0) {
        za_membership_mark(m, out, ZA_MARK_INDIRECT_PROBE);
    }
    send_ping(m, probe->target, probe->seq, out); // the first may have been lost
    probe->phase = ZA_PROBE_INDIRECT;
}

static void end_round(za_membership_t *m, za_effects_t *out)
{
    za_member_probe_t *probe = &m->probe;
    za_member_t *target = za_member_find(m, probe->target);
    za_member_probe_start(m, m->now_ms);
    if (target == NULL || !target->in_view) {
        return; // it ended while it was probed
    }
    m->counters.probe_failures++;
    // Helpers that did not even say "I asked, no answer" make ourselves the likelier culprit.
    if (probe->nacks < probe->asked) {
        za_member_health(m, 1);
    }
    za_member_suspect(m, target, false, out);
}

static void tick_relays(za_membership_t *m, za_effects_t *out)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->relay_count; i++) {
        za_member_relay_t relay = m->relays[i];
        if (relay.nack_ms <= m->now_ms) {
            za_member_send(m, relay.origin, za_DatagramKind_DATAGRAM_KIND_NACK, relay.origin_seq,
                           relay.target, out);
            relay.nack_ms = ZA_MEMBER_NEVER;
        }
        if (relay.end_ms > m->now_ms) {
            m->relays[kept++] = relay;
        }
    }
    m->relay_count = kept;
}

void za_member_probe_tick(za_membership_t *m, za_effects_t *out)
{
    za_member_probe_t *probe = &m->probe;
    tick_relays(m, out);
    if (probe->phase == ZA_PROBE_DIRECT && m->now_ms >= probe->timeout_ms) {
        ask_helpers(m, out);
    }
    if (probe->phase == ZA_PROBE_INDIRECT && m->now_ms >= probe->end_ms) {
        end_round(m, out);
    }
    if (probe->phase == ZA_PROBE_IDLE && m->now_ms >= probe->next_ms) {
        begin_round(m, out);
    }
}

void za_member_probe_lag(za_membership_t *m)
{
    // What was asked before the stall may have been answered: it proves nothing either way.
    m->relay_count = 0;
    if (m->probe.next_ms != ZA_MEMBER_NEVER || m->probe.phase != ZA_PROBE_IDLE) {
        za_member_probe_start(m, m->now_ms + m->timing.probe_interval_ms / 2);
    }
    za_member_health(m, 1);
}

/* ---- answers ------------------------------------------------------------------------------- */

void za_member_probe_linked(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    if (m->probe.phase != ZA_PROBE_IDLE && m->probe.target == uid) {
        send_ping(m, uid, m->probe.seq, out);
    }
    for (uint32_t i = 0; i < m->relay_count; i++) {
        if (m->relays[i].target == uid) {
            send_ping(m, uid, m->relays[i].seq, out);
        }
    }
}

static void answered(za_membership_t *m, uint64_t uid)
{
    za_member_probe_t *probe = &m->probe;
    za_member_t *target = za_member_find(m, probe->target);
    if (target != NULL && uid == probe->target && probe->phase == ZA_PROBE_DIRECT) {
        uint32_t rtt_us = (uint32_t)(m->now_ms - probe->start_ms) * 1000u + 1u;
        target->rtt_us = target->rtt_us == 0 ? rtt_us : (7 * target->rtt_us + rtt_us) / 8;
    }
    za_member_health(m, -1);
    za_member_probe_start(m, za_ms_min(probe->end_ms, probe->start_ms + interval_ms(m)));
}

void za_member_probe_ack(za_membership_t *m, uint64_t uid, uint64_t seq, za_effects_t *out)
{
    // Acks come from peers. One of another round says nothing of this one.
    if (m->probe.phase != ZA_PROBE_IDLE && m->probe.seq == seq) {
        answered(m, uid);
        return;
    }
    for (uint32_t i = 0; i < m->relay_count; i++) {
        za_member_relay_t relay = m->relays[i];
        if (relay.seq == seq && relay.target == uid) {
            m->relays[i] = m->relays[--m->relay_count];
            za_member_send(m, relay.origin, za_DatagramKind_DATAGRAM_KIND_ACK, relay.origin_seq,
                           relay.target, out);
            return;
        }
    }
}

void za_member_probe_nack(za_membership_t *m, uint64_t seq)
{
    if (m->probe.phase == ZA_PROBE_INDIRECT && m->probe.seq == seq &&
        m->probe.nacks < m->probe.asked) {
        m->probe.nacks++;
    }
}

void za_member_probe_relay(za_membership_t *m, uint64_t origin, uint64_t seq, uint64_t target,
                           za_effects_t *out)
{
    const za_member_t *member = za_member_find(m, target);
    if (member == NULL || !member->in_view || member == za_member_self(m) ||
        m->relay_count == ZA_MEMBER_RELAYS_MAX) {
        return;
    }
    za_member_relay_t *relay = &m->relays[m->relay_count++];
    *relay = (za_member_relay_t){
        .origin = origin,
        .origin_seq = seq,
        .target = target,
        .seq = ++m->next_seq,
        // Before the asker's round ends: it asked after T/2 at the latest.
        .nack_ms = m->now_ms + m->timing.probe_interval_ms * 2 / 5,
        .end_ms = m->now_ms + m->timing.probe_interval_ms,
    };
    if (member->linked || m->datagrams) {
        send_ping(m, target, relay->seq, out);
    } else {
        za_membership_connect(m, out, member->record.address);
    }
}
