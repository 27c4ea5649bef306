#include <string.h>

#include "base/assert.h"
#include "base/fixed.h"
#include "cluster/membership_internal.h"
#include "pb_decode.h"
#include "pb_encode.h"

enum {
    RECORDS_MAX = sizeof(((za_MembershipDatagram *)0)->records) / sizeof(za_MemberRecord),
    HEAD_BYTES = 2 + 11 + 9 + 9,                                    // kind, seq, target, view_hash
    RECORD_BYTES = 3 + 9 + 11 + 2 + 2 + 2 + 2 + 11 + 2 + 2 + 2 + 2, // but for texts and evidence
};

/* ---- the queue ----------------------------------------------------------------------------- */

static uint16_t index_of(const za_membership_t *m, const za_member_t *member)
{
    return (uint16_t)(member - m->members);
}

void za_member_gossip_remove(za_membership_t *m, za_member_t *member)
{
    if (member->gossip_left == 0) {
        return;
    }
    member->gossip_left = 0;
    m->gossip_count--;
    if (member->gossip_previous == ZA_MEMBER_NONE) {
        m->gossip_first = member->gossip_next;
    } else {
        m->members[member->gossip_previous].gossip_next = member->gossip_next;
    }
    if (member->gossip_next == ZA_MEMBER_NONE) {
        m->gossip_last = member->gossip_previous;
    } else {
        m->members[member->gossip_next].gossip_previous = member->gossip_previous;
    }
}

static void append(za_membership_t *m, za_member_t *member, uint8_t left)
{
    member->gossip_left = left;
    member->gossip_next = ZA_MEMBER_NONE;
    member->gossip_previous = m->gossip_last;
    if (m->gossip_last == ZA_MEMBER_NONE) {
        m->gossip_first = index_of(m, member);
    } else {
        m->members[m->gossip_last].gossip_next = index_of(m, member);
    }
    m->gossip_last = index_of(m, member);
    m->gossip_count++;
}

static void prepend(za_membership_t *m, za_member_t *member, uint8_t left)
{
    member->gossip_left = left;
    member->gossip_previous = ZA_MEMBER_NONE;
    member->gossip_next = m->gossip_first;
    if (m->gossip_first == ZA_MEMBER_NONE) {
        m->gossip_last = index_of(m, member);
    } else {
        m->members[m->gossip_first].gossip_previous = index_of(m, member);
    }
    m->gossip_first = index_of(m, member);
    m->gossip_count++;
}

/** Fresh news goes to the front; what was sent goes to the back. */
void za_member_gossip_add(za_membership_t *m, za_member_t *member)
{
    if (m->phase == ZA_PHASE_JOINING || member->voided) {
        return;
    }
    za_member_gossip_remove(m, member);
    // ceil(ln N) + 12 leaves N e^-(ln N + 12) = 6e-6 members uninformed; sync finds those.
    prepend(m, member, (uint8_t)(za_ln_ceil(m->live_count) + 12));
    m->gossip_ms = m->gossiped_ms + m->timing.gossip_interval_ms;
    if (m->gossip_ms < m->now_ms) {
        m->gossip_ms = m->now_ms;
    }
}

/* ---- datagrams out ------------------------------------------------------------------------- */

static uint32_t record_bytes(const za_MemberRecord *record)
{
    return RECORD_BYTES + (uint32_t)(strlen(record->name) + strlen(record->address)) +
           8u * (uint32_t)(record->suspecters_count + record->refused_count);
}

static bool add_record(za_MembershipDatagram *datagram, const za_MemberRecord *record,
                       uint32_t *budget)
{
    uint32_t bytes = record_bytes(record);
    if (bytes > *budget || datagram->records_count == RECORDS_MAX) {
        return false;
    }
    *budget -= bytes;
    datagram->records[datagram->records_count++] = *record;
    return true;
}

static void add_news(za_membership_t *m, const za_member_t *receiver, uint32_t budget)
{
    za_MembershipDatagram *datagram = &m->datagram_out;
    // A member that is doubted hears it from whoever speaks to it, so that it can refute.
    if (receiver != NULL && receiver->record.rank != za_MemberRank_MEMBER_RANK_ALIVE) {
        add_record(datagram, &receiver->record, &budget);
    }
    uint32_t queued = m->gossip_count;
    for (uint32_t i = 0; i < queued; i++) {
        za_member_t *member = &m->members[m->gossip_first];
        if (!add_record(datagram, &member->record, &budget)) {
            break;
        }
        uint8_t left = member->gossip_left;
        za_member_gossip_remove(m, member);
        if (left > 1) {
            append(m, member, (uint8_t)(left - 1));
        }
    }
}

static void send_datagram(za_membership_t *m, uint64_t uid, uint32_t budget, za_effects_t *out)
{
    const za_member_t *receiver = za_member_find(m, uid);
    za_MembershipDatagram *datagram = &m->datagram_out;
    datagram->view_hash = m->view_hash;
    datagram->records_count = 0;
    if (m->phase != ZA_PHASE_JOINING) {
        add_news(m, receiver, budget);
    }
    uint8_t *bytes = za_effects_alloc(out, ZA_DATAGRAM_BYTES_MAX);
    pb_ostream_t stream = pb_ostream_from_buffer(bytes, ZA_DATAGRAM_BYTES_MAX);
    bool encoded = pb_encode(&stream, za_MembershipDatagram_fields, datagram);
    ZA_ASSERT(encoded); // the budget is below the limit
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SEND_DATAGRAM);
    effect->uid = uid;
    effect->address =
        receiver != NULL ? za_effects_text(out, "%s", receiver->record.address) : NULL;
    effect->bytes = bytes;
    effect->size = (uint32_t)stream.bytes_written;
}

/** Whether a datagram can get to `uid`: over a link, or to the address of a member. */
static bool reachable(za_membership_t *m, uint64_t uid)
{
    if (za_member_link(m, uid) != NULL) {
        return true;
    }
    const za_member_t *member = m->datagrams ? za_member_find(m, uid) : NULL;
    return member != NULL && member->in_view;
}

void za_member_send(za_membership_t *m, uint64_t uid, za_DatagramKind kind, uint64_t seq,
                    uint64_t target, za_effects_t *out)
{
    // Lost like any other datagram if there is no way or no room.
    if (!reachable(m, uid) ||
        !za_effects_have_room(out, ZA_MEMBER_EFFECTS_RESERVE,
                              ZA_DATAGRAM_BYTES_MAX + ZA_ADDRESS_BYTES_MAX + 1)) {
        return;
    }
    m->datagram_out.kind = kind;
    m->datagram_out.seq = seq;
    m->datagram_out.target = target;
    bool gossip = kind == za_DatagramKind_DATAGRAM_KIND_GOSSIP;
    send_datagram(m, uid, gossip ? ZA_DATAGRAM_BYTES_MAX - HEAD_BYTES : ZA_MEMBER_PIGGYBACK_BYTES,
                  out);
}

uint32_t za_member_pick(const za_membership_t *m, za_rng_t *rng, uint64_t not_a, uint64_t not_b,
                        bool alive_only, uint64_t *uids, uint32_t max)
{
    // Reservoir sampling over the links in order of uid.
    uint32_t seen = 0;
    for (uint32_t i = 0; i < m->link_count; i++) {
        uint64_t uid = m->links[i].uid;
        uint16_t index = za_member_index(m, uid);
        if (uid == not_a || uid == not_b || index == ZA_MEMBER_NONE) {
            continue;
        }
        const za_member_t *member = &m->members[index];
        if (alive_only ? !member->in_alive : !member->in_view) {
            continue;
        }
        seen++;
        if (seen <= max) {
            uids[seen - 1] = uid;
            continue;
        }
        uint64_t at = za_rng_below(rng, seen);
        if (at < max) {
            uids[at] = uid;
        }
    }
    return seen < max ? seen : max;
}

void za_member_gossip_tick(za_membership_t *m, za_effects_t *out)
{
    if (m->gossip_count == 0 || m->now_ms < m->gossip_ms) {
        return;
    }
    uint64_t uids[ZA_MEMBER_FANOUT];
    uint32_t count = za_member_pick(m, &m->rng, 0, 0, false, uids, ZA_MEMBER_FANOUT);
    for (uint32_t i = 0; i < count && m->gossip_count > 0; i++) {
        za_member_send(m, uids[i], za_DatagramKind_DATAGRAM_KIND_GOSSIP, 0, uids[i], out);
    }
    if (count == 0 && m->live_count <= 1) {
        // Nobody is there to be told; whoever comes gets all of it by sync.
        while (m->gossip_count > 0) {
            za_member_gossip_remove(m, &m->members[m->gossip_first]);
        }
    }
    m->gossiped_ms = m->now_ms;
    m->gossip_ms = m->now_ms + m->timing.gossip_interval_ms;
}

/* ---- datagrams in -------------------------------------------------------------------------- */

static bool decode(za_membership_t *m, const za_cluster_event_t *event)
{
    za_MembershipDatagram *datagram = &m->datagram_in;
    memset(datagram, 0, offsetof(za_MembershipDatagram, records));
    if (event->size > ZA_DATAGRAM_BYTES_MAX || event->bytes == NULL) {
        return false;
    }
    pb_istream_t stream = pb_istream_from_buffer(event->bytes, event->size);
    if (!pb_decode_ex(&stream, za_MembershipDatagram_fields, datagram, PB_DECODE_NOINIT)) {
        return false;
    }
    for (pb_size_t i = 0; i < datagram->records_count; i++) {
        if (!za_member_valid(&datagram->records[i])) {
            return false;
        }
    }
    return datagram->kind <= _za_DatagramKind_MAX;
}

static void dispatch(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    const za_MembershipDatagram *datagram = &m->datagram_in;
    switch (datagram->kind) {
    case za_DatagramKind_DATAGRAM_KIND_GOSSIP:
        break;
    case za_DatagramKind_DATAGRAM_KIND_PING:
        // A ping for a uid that we no longer have is for another: silence is the right answer.
        if (datagram->target == za_membership_self_uid(m)) {
            za_member_send(m, uid, za_DatagramKind_DATAGRAM_KIND_ACK, datagram->seq,
                           datagram->target, out);
        }
        break;
    case za_DatagramKind_DATAGRAM_KIND_ACK:
        za_member_probe_ack(m, uid, datagram->seq, out);
        break;
    case za_DatagramKind_DATAGRAM_KIND_PING_REQ:
        za_member_probe_relay(m, uid, datagram->seq, datagram->target, out);
        break;
    case za_DatagramKind_DATAGRAM_KIND_NACK:
        za_member_probe_nack(m, datagram->seq);
        break;
    }
}

void za_member_on_datagram(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out)
{
    m->counters.datagrams_in++;
    if (event->uid == 0 || event->uid == za_membership_self_uid(m) || !decode(m, event)) {
        m->counters.datagrams_bad++;
        return;
    }
    za_member_t *sender = za_member_find(m, event->uid);
    if (sender != NULL && !sender->voided) {
        if (za_member_terminal(sender)) {
            za_member_tell_down(m, sender, out);
            return;
        }
        sender->heard_ms = m->now_ms;
    }
    if (m->phase != ZA_PHASE_JOINING) { // a joiner hears the one it asked, by frames
        for (pb_size_t i = 0; i < m->datagram_in.records_count; i++) {
            za_member_learn(m, &m->datagram_in.records[i], out);
        }
    }
    dispatch(m, event->uid, out);
    bool hashed = m->datagram_in.kind == za_DatagramKind_DATAGRAM_KIND_PING ||
                  m->datagram_in.kind == za_DatagramKind_DATAGRAM_KIND_ACK;
    if (hashed) {
        za_member_sync_hash(m, event->uid, m->datagram_in.view_hash, out);
    }
}
