#include "base/assert.h"
#include "cluster/membership_internal.h"

enum {
    TARGETS_MAX = 64, // looked at per round: others are unreachable, and not probed
    UDP_SILENT_MAX = 3,
    RTT_RISE = 8,   // the 99th percentile rises by an eighth, and falls by a 99th of that
    RTT_UNIT = 256, // of it, per microsecond
};

/* ---- local health (Lifeguard) -------------------------------------------------------------- */

void za_member_health(za_membership_t *m, int delta)
{
    int health = (int)m->health + delta;
    m->health = (uint32_t)(health < 0 || m->plain          ? 0
                           : health > ZA_MEMBER_HEALTH_MAX ? ZA_MEMBER_HEALTH_MAX
                                                           : health);
}

/* ---- round trips --------------------------------------------------------------------------- */

/**
 * Smoothed round trip of one peer, and the 99th percentile of all, by the frugal estimate of Ma,
 * Muthukrishnan and Sandler (2013): one up for each sample above, a 99th down for each below.
 */
static void note_rtt(za_membership_t *m, za_member_t *member, uint32_t rtt_us)
{
    uint64_t sum = 7 * (uint64_t)member->rtt_us + rtt_us;
    member->rtt_us = member->rtt_us == 0 ? rtt_us : (uint32_t)(sum / 8);
    uint64_t sample = (uint64_t)rtt_us * RTT_UNIT;
    uint64_t step = m->rtt99 / RTT_RISE + 1;
    if (m->rtt99 == 0) {
        m->rtt99 = sample;
    } else if (sample > m->rtt99) {
        m->rtt99 += step;
    } else {
        m->rtt99 -= step / 99;
    }
}

/** Thrice the 99th percentile of round trips, within [configured, T/2]; T/2 while it is unknown. */
static uint64_t timeout_ms(const za_membership_t *m, const za_member_t *target)
{
    uint64_t most = m->timing.probe_interval_ms / 2;
    uint64_t timeout = most;
    if (target->rtt_us != 0) {
        uint64_t rtt99_us = m->rtt99 / RTT_UNIT;
        uint64_t rtt_us = target->rtt_us > rtt99_us ? target->rtt_us : rtt99_us;
        timeout = 3 * rtt_us / 1000 + 1;
    }
    timeout = timeout < m->timing.probe_timeout_ms ? m->timing.probe_timeout_ms : timeout;
    return za_ms_min(timeout, most) * (m->health + 1);
}

/* ---- rounds -------------------------------------------------------------------------------- */

static uint64_t interval_ms(const za_membership_t *m)
{
    return (uint64_t)m->timing.probe_interval_ms * (m->health + 1);
}

void za_member_probe_start(za_membership_t *m, uint64_t first_ms)
{
    m->probe.phase = ZA_PROBE_IDLE;
    m->probe.next_ms = first_ms;
}

void za_member_probe_stop(za_membership_t *m)
{
    za_member_probe_start(m, ZA_MEMBER_NEVER);
    m->probe.target = 0;
    m->probe.urgent = 0;
    m->probe.voided = 0;
    m->relay_count = 0;
    m->relays_ms = ZA_MEMBER_NEVER;
    m->pass_at = 0;
}

/** Unreachable members are not probed: reconnecting looks after them, and rounds stay short. */
static bool may_probe(const za_member_t *member)
{
    return member->live && member->rank != (unsigned)za_MemberRank_MEMBER_RANK_UNREACHABLE;
}

/** The next of this pass: a random one of those that it has not met. */
static za_member_t *next_in_pass(za_membership_t *m)
{
    if (m->pass_at >= m->live_size) {
        m->pass_at = 0;
    }
    uint64_t draw = za_rng_below(&m->rng, (uint64_t)(m->live_size - m->pass_at));
    uint16_t at = (uint16_t)(m->pass_at + draw);
    uint16_t slot = m->live[at];
    m->live[at] = m->live[m->pass_at];
    m->live[m->pass_at++] = slot;
    return &m->members[slot];
}

/** Each member once per pass, in random order: a crash is met within two passes. */
static za_member_t *next_target(za_membership_t *m)
{
    za_member_t *urgent = m->probe.urgent != 0 ? za_member_find(m, m->probe.urgent) : NULL;
    m->probe.urgent = 0;
    if (urgent != NULL && may_probe(urgent)) {
        return urgent;
    }
    uint32_t tries = m->live_size < TARGETS_MAX ? 2u * m->live_size : TARGETS_MAX;
    for (uint32_t i = 0; i < tries; i++) {
        za_member_t *member = next_in_pass(m);
        if (may_probe(member)) {
            return member;
        }
    }
    return NULL;
}

static void send_ping(za_membership_t *m, uint64_t uid, uint64_t seq, bool over_link,
                      za_effects_t *out)
{
    za_member_send_t send = {
        .uid = uid,
        .kind = za_DatagramKind_DATAGRAM_KIND_PING,
        .over_link = over_link,
        .seq = seq,
        .target = uid,
    };
    za_member_send(m, &send, out);
}

/**
 * Above the full mesh, links made for probes and joins are given back: half of those that are too
 * many in each round. One by one would be as many as come with probes; but where a thousand join at
 * once all come to the seeds, whose table of links is full then, and the next waits for each that goes.
 */
static void shed_links(za_membership_t *m, uint64_t target, za_effects_t *out)
{
    if (m->live_count <= ZA_MEMBER_MESH_MAX || m->link_count <= ZA_MEMBER_SPARSE_LINKS) {
        return;
    }
    uint64_t uids[1 + (ZA_PEERS_MAX - ZA_MEMBER_SPARSE_LINKS) / 2];
    uint32_t count = 1 + (m->link_count - ZA_MEMBER_SPARSE_LINKS) / 2;
    count = za_member_pick_linked(m, &m->rng, target, m->join_target, false, uids, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!za_member_link_in_use(m, uids[i])) {
            za_member_close(m, uids[i], out);
        }
    }
}

static void begin_round(za_membership_t *m, za_effects_t *out)
{
    za_member_probe_t *probe = &m->probe;
    za_member_check_names(m, out);
    za_member_t *target = next_target(m);
    if (target == NULL) {
        probe->next_ms = m->now_ms + interval_ms(m);
        return;
    }
    probe->phase = ZA_PROBE_DIRECT;
    probe->target = target->uid;
    probe->voided = probe->voided == target->uid ? target->uid : 0;
    probe->seq = ++m->next_seq;
    probe->start_ms = m->now_ms;
    probe->start_us = m->now_us;
    probe->timeout_ms = m->now_ms + timeout_ms(m, target);
    probe->end_ms = m->now_ms + interval_ms(m);
    probe->asked = 0;
    probe->nacks = 0;
    m->probes++;
    if (target->linked || m->datagrams) {
        za_member_send_t ping = {
            .uid = target->uid,
            .member = target,
            .kind = za_DatagramKind_DATAGRAM_KIND_PING,
            .seq = probe->seq,
            .target = target->uid,
        };
        za_member_send(m, &ping, out);
    } else {
        za_membership_connect(m, out, za_member_address(m, target)); // pinged when the link is up
    }
    if (target->udp_degraded && target->linked) {
        send_ping(m, target->uid, probe->seq, true, out);
    }
    shed_links(m, target->uid, out);
}

/** A member that UDP does not reach, or no longer, answers over the link, or one made for it. */
static void ping_by_link(za_membership_t *m, const za_member_t *target, za_effects_t *out)
{
    if (target->linked) {
        send_ping(m, target->uid, m->probe.seq, true, out);
    } else if (m->datagrams) {
        za_membership_connect(m, out, za_member_address(m, target)); // pinged when the link is up
    }
}

static void ask_helpers(za_membership_t *m, za_effects_t *out)
{
    za_member_probe_t *probe = &m->probe;
    probe->phase = ZA_PROBE_INDIRECT;
    const za_member_t *target = za_member_find(m, probe->target);
    if (target == NULL) {
        return;
    }
    uint16_t helpers[ZA_MEMBER_HELPERS];
    probe->asked = za_member_pick(m, probe->target, 0, true, helpers, ZA_MEMBER_HELPERS);
    for (uint32_t i = 0; i < probe->asked; i++) {
        const za_member_t *helper = &m->members[helpers[i]];
        za_member_send_t send = {
            .uid = helper->uid,
            .kind = za_DatagramKind_DATAGRAM_KIND_PING_REQ,
            .over_link = helper->udp_degraded && helper->linked,
            .seq = probe->seq,
            .target = probe->target,
        };
        za_member_send(m, &send, out);
    }
    if (probe->asked > 0) {
        za_membership_mark(m, out, ZA_MARK_INDIRECT_PROBE);
    }
    if (m->datagrams) {
        send_ping(m, probe->target, probe->seq, false, out); // the first may have been lost
    }
    ping_by_link(m, target, out);
}

static void end_round(za_membership_t *m, za_effects_t *out)
{
    za_member_probe_t *probe = &m->probe;
    za_member_t *target = za_member_find(m, probe->target);
    za_member_probe_start(m, m->now_ms);
    probe->target = 0;
    probe->voided = 0;
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
    if (m->now_ms < m->relays_ms) {
        return;
    }
    uint32_t kept = 0;
    m->relays_ms = ZA_MEMBER_NEVER;
    for (uint32_t i = 0; i < m->relay_count; i++) {
        za_member_relay_t relay = m->relays[i];
        if (relay.nack_ms <= m->now_ms) {
            za_member_send_t nack = {
                .uid = relay.origin,
                .kind = za_DatagramKind_DATAGRAM_KIND_NACK,
                .seq = relay.origin_seq,
                .target = relay.target,
            };
            if (!m->plain) {
                za_member_send(m, &nack, out);
            }
            relay.nack_ms = ZA_MEMBER_NEVER;
        }
        if (relay.end_ms > m->now_ms) {
            m->relays[kept++] = relay;
            m->relays_ms = za_ms_min(m->relays_ms, za_ms_min(relay.nack_ms, relay.end_ms));
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

/**
 * What was asked before a stall may have been answered: it proves nothing either way, and the target is asked
 * anew. If we stall again meanwhile, it only gets the time that we were away, because on a machine that is
 * busy for long no round would ever end, and nobody that is gone would be missed.
 */
void za_member_probe_lag(za_membership_t *m, uint64_t lag_ms)
{
    za_member_probe_t *probe = &m->probe;
    m->relay_count = 0;
    m->relays_ms = ZA_MEMBER_NEVER;
    if (probe->phase != ZA_PROBE_IDLE && probe->voided == probe->target) {
        probe->start_ms += lag_ms;
        probe->start_us += lag_ms * 1000;
        probe->timeout_ms += lag_ms;
        probe->end_ms += lag_ms;
    } else if (probe->next_ms != ZA_MEMBER_NEVER || probe->phase != ZA_PROBE_IDLE) {
        if (probe->phase != ZA_PROBE_IDLE) {
            probe->voided = probe->urgent = probe->target;
        }
        za_member_probe_start(m, m->now_ms + m->timing.probe_interval_ms / 2);
        probe->target = 0;
    }
    za_member_health(m, 1);
}

/* ---- answers ------------------------------------------------------------------------------- */

void za_member_probe_linked(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    if (m->probe.phase != ZA_PROBE_IDLE && m->probe.target == uid) {
        send_ping(m, uid, m->probe.seq, true, out);
    }
    for (uint32_t i = 0; i < m->relay_count; i++) {
        if (m->relays[i].target == uid) {
            send_ping(m, uid, m->relays[i].seq, true, out);
        }
    }
}

/** An answer by UDP: whatever was the matter with it is over. */
static void note_udp(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    member->udp_silent = 0;
    if (member->udp_degraded) {
        member->udp_degraded = false;
        za_membership_log(m, out, ZA_INFO, "datagrams reach %s again", za_member_name(m, member));
    }
}

/** Only the link brought an answer, although UDP was asked first. */
static void note_no_udp(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    if (!m->datagrams || member->udp_degraded || ++member->udp_silent < UDP_SILENT_MAX) {
        return;
    }
    member->udp_degraded = true;
    m->counters.udp_degraded++;
    za_membership_log(m, out, ZA_WARN, "datagrams do not reach %s (%s): it is probed over its link",
                      za_member_name(m, member), za_member_address(m, member));
}

static void answered(za_membership_t *m, za_member_t *target, bool direct, bool over_link,
                     za_effects_t *out)
{
    za_member_probe_t *probe = &m->probe;
    if (direct && target != NULL) {
        if (over_link && probe->phase == ZA_PROBE_INDIRECT) {
            note_no_udp(m, target, out);
        }
        if (probe->phase == ZA_PROBE_DIRECT) {
            uint64_t rtt_us = m->now_us - probe->start_us + 1;
            note_rtt(m, target, rtt_us > UINT32_MAX ? UINT32_MAX : (uint32_t)rtt_us);
        }
    }
    probe->voided = 0;
    za_member_health(m, -1);
    za_member_probe_start(m, za_ms_min(probe->end_ms, probe->start_ms + interval_ms(m)));
}

void za_member_probe_ack(za_membership_t *m, uint64_t uid, za_member_t *sender, uint64_t seq,
                         bool over_link, za_effects_t *out)
{
    // Acks come from peers. One of another round says nothing of this one.
    if (m->probe.target != 0 && m->probe.seq == seq) {
        bool direct = uid == m->probe.target;
        za_member_t *target =
            direct && sender != NULL ? sender : za_member_find(m, m->probe.target);
        if (direct && !over_link && target != NULL) {
            note_udp(m, target, out); // also if the link was faster
        }
        if (m->probe.phase != ZA_PROBE_IDLE) {
            answered(m, target, direct, over_link, out);
        }
        return;
    }
    for (uint32_t i = 0; i < m->relay_count; i++) {
        za_member_relay_t relay = m->relays[i];
        if (relay.seq == seq && relay.target == uid) {
            m->relays[i] = m->relays[--m->relay_count];
            za_member_send_t ack = {
                .uid = relay.origin,
                .kind = za_DatagramKind_DATAGRAM_KIND_ACK,
                .seq = relay.origin_seq,
                .target = relay.target,
            };
            za_member_send(m, &ack, out);
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
    m->relays_ms = za_ms_min(m->relays_ms, relay->nack_ms);
    if (member->linked || m->datagrams) {
        send_ping(m, target, relay->seq, member->udp_degraded && member->linked, out);
    } else {
        za_membership_connect(m, out, za_member_address(m, member));
    }
}
