#include <string.h>

#include "base/assert.h"
#include "base/fixed.h"
#include "cluster/membership_internal.h"

enum {
    PICK_TRIES = 8,   // per pick, before it looks at all of them
    QUEUE_LONG = 64,  // news, more than a round of gossip takes: hearing one counts, too ...
    HEARD_COUNTS = 2, // ... as so many transmissions of it
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
    const za_member_rest_t *rest = za_member_rest(m, member);
    member->gossip_left = 0;
    m->gossip_count--;
    if (rest->gossip_previous == ZA_MEMBER_NONE) {
        m->gossip_first = rest->gossip_next;
    } else {
        m->rests[rest->gossip_previous].gossip_next = rest->gossip_next;
    }
    if (rest->gossip_next == ZA_MEMBER_NONE) {
        m->gossip_last = rest->gossip_previous;
    } else {
        m->rests[rest->gossip_next].gossip_previous = rest->gossip_previous;
    }
}

static void append(za_membership_t *m, za_member_t *member, uint8_t left)
{
    za_member_rest_t *rest = za_member_rest(m, member);
    member->gossip_left = left;
    rest->gossip_next = ZA_MEMBER_NONE;
    rest->gossip_previous = m->gossip_last;
    if (m->gossip_last == ZA_MEMBER_NONE) {
        m->gossip_first = index_of(m, member);
    } else {
        m->rests[m->gossip_last].gossip_next = index_of(m, member);
    }
    m->gossip_last = index_of(m, member);
    m->gossip_count++;
}

static void prepend(za_membership_t *m, za_member_t *member, uint8_t left)
{
    za_member_rest_t *rest = za_member_rest(m, member);
    member->gossip_left = left;
    rest->gossip_previous = ZA_MEMBER_NONE;
    rest->gossip_next = m->gossip_first;
    if (m->gossip_first == ZA_MEMBER_NONE) {
        m->gossip_last = index_of(m, member);
    } else {
        m->rests[m->gossip_first].gossip_previous = index_of(m, member);
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

/**
 * Where thousands join at once gossip has no room for as many transmissions of each as one lone update
 * gets. Whoever hears what it is about to say knows that others say it: the counter with feedback of
 * rumour mongering (Demers et al., Epidemic algorithms, 1987). An update that is one of few never meets
 * this, and keeps its ceil(ln N) + 12; of a flood each is said a third as often, and sync finds the few
 * that missed it.
 */
void za_member_gossip_heard(za_membership_t *m, za_member_t *member)
{
    if (member->gossip_left == 0 || m->gossip_count <= QUEUE_LONG) {
        return;
    }
    if (member->gossip_left > HEARD_COUNTS) {
        member->gossip_left -= HEARD_COUNTS;
    } else {
        za_member_gossip_remove(m, member);
        member->gossip_full = false;
    }
}

/* ---- datagrams out ------------------------------------------------------------------------- */

void za_member_line(const za_membership_t *m, const za_member_t *member,
                    za_member_opinion_t *opinion, za_member_profile_t *profile, bool brief,
                    za_member_line_t *out)
{
    const za_member_text_t *text = za_member_text(m, member);
    za_member_opinion(m, member, opinion);
    if (brief) {
        profile->attributes = text->attributes;
    } else {
        *profile = za_member_profile(text);
    }
    *out = (za_member_line_t){
        .uid = member->uid, .opinion = opinion, .profile = profile, .brief = brief
    };
}

typedef struct letter {
    uint8_t *start;
    uint8_t *at;
    const uint8_t *end;
    uint32_t records;
} letter_t;

static bool add_record(const za_membership_t *m, letter_t *letter, const za_member_t *member)
{
    za_member_opinion_t opinion;
    za_member_profile_t profile;
    za_member_line_t line;
    za_member_line(m, member, &opinion, &profile, !member->gossip_full, &line);
    uint32_t bytes = za_member_record_bytes(&line);
    if (letter->records == ZA_MEMBER_DATAGRAM_RECORDS_MAX || letter->end - letter->at < bytes + 3) {
        return false;
    }
    letter->at = za_member_record_put(letter->at, ZA_MEMBER_DATAGRAM_RECORDS, &line, bytes);
    letter->records++;
    return true;
}

static void add_news(za_membership_t *m, const za_member_t *receiver, letter_t *letter)
{
    // A member that is doubted hears it from whoever speaks to it, so that it can refute.
    if (receiver != NULL && receiver->rank != (unsigned)za_MemberRank_MEMBER_RANK_ALIVE &&
        !m->plain) {
        add_record(m, letter, receiver);
    }
    uint32_t queued = m->gossip_count;
    for (uint32_t i = 0; i < queued; i++) {
        za_member_t *member = &m->members[m->gossip_first];
        if (!add_record(m, letter, member)) {
            break;
        }
        uint8_t left = member->gossip_left;
        za_member_gossip_remove(m, member);
        if (left > 1) {
            append(m, member, (uint8_t)(left - 1));
        } else {
            member->gossip_full = false;
        }
    }
}

/** Whether a datagram can get to `uid`: over a link, or to the address of a member. */
static bool reachable(const za_membership_t *m, const za_member_t *member, uint64_t uid)
{
    if (member == NULL) {
        return za_member_link(m, uid) != NULL;
    }
    return member->linked || (m->datagrams && member->in_view);
}

/** False: lost like any other datagram, because there is no way or no room. */
static inline bool letter_open(za_membership_t *m, const za_member_send_t *send,
                               const za_member_t *receiver, letter_t *letter, za_effects_t *out)
{
    if (!reachable(m, receiver, send->uid) ||
        !za_effects_have_room(out, ZA_MEMBER_EFFECTS_RESERVE,
                              ZA_DATAGRAM_BYTES_MAX + ZA_ADDRESS_BYTES_MAX + 1)) {
        return false;
    }
    uint8_t *start = za_effects_next(out);
    letter->start = start;
    letter->at = za_member_head_put(start, send->kind, send->seq, send->target, m->view_hash);
    letter->records = 0;
    bool gossip = send->kind == za_DatagramKind_DATAGRAM_KIND_GOSSIP;
    letter->end = gossip ? start + ZA_DATAGRAM_BYTES_MAX : letter->at + ZA_MEMBER_PIGGYBACK_BYTES;
    return true;
}

static const char *copy_address(const za_membership_t *m, const za_member_t *member,
                                za_effects_t *out)
{
    const za_member_text_t *text = za_member_text(m, member);
    uint32_t bytes = (uint32_t)text->roles_at - text->address_at; // with its NUL
    return memcpy(za_effects_alloc(out, bytes), za_member_text_address(text), bytes);
}

static inline void letter_send(za_membership_t *m, const za_member_send_t *send,
                               const za_member_t *receiver, const letter_t *letter,
                               za_effects_t *out)
{
    uint32_t size = (uint32_t)(letter->at - letter->start);
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SEND_DATAGRAM);
    effect->uid = send->uid;
    effect->bytes = za_effects_alloc(out, size);
    effect->size = size;
    effect->over_link = send->over_link;
    effect->asks = send->kind == za_DatagramKind_DATAGRAM_KIND_PING ||
                   send->kind == za_DatagramKind_DATAGRAM_KIND_PING_REQ;
    effect->address = receiver != NULL ? copy_address(m, receiver, out) : NULL;
}

void za_member_send(za_membership_t *m, const za_member_send_t *send, za_effects_t *out)
{
    const za_member_t *receiver =
        send->member != NULL ? send->member : za_member_find(m, send->uid);
    letter_t letter;
    if (letter_open(m, send, receiver, &letter, out)) {
        if (m->phase != ZA_PHASE_JOINING) {
            add_news(m, receiver, &letter);
        }
        letter_send(m, send, receiver, &letter, out);
    }
}

/**
 * Where many join at once, gossip's rounds would be the better half of the time until all know all. Who
 * took a member in is linked to it, and while the cluster has a full mesh to most others: it tells them.
 * Gossip goes on as ever and finds those that this has missed.
 */
void za_member_herald(za_membership_t *m, za_member_t *newcomer, za_effects_t *out)
{
    if (m->phase != ZA_PHASE_UP || m->plain || m->live_count > ZA_MEMBER_MESH_MAX) {
        return;
    }
    for (uint32_t i = 0; i < m->link_count; i++) {
        const za_member_send_t send = { .uid = m->links[i].uid,
                                        .kind = za_DatagramKind_DATAGRAM_KIND_GOSSIP };
        const za_member_t *receiver = za_member_find(m, send.uid);
        letter_t letter;
        if (receiver != NULL && receiver->in_alive && receiver != newcomer &&
            letter_open(m, &send, receiver, &letter, out)) {
            add_record(m, &letter, newcomer);
            letter_send(m, &send, receiver, &letter, out);
        }
    }
}

/* ---- whom ---------------------------------------------------------------------------------- */

static bool taken(const uint16_t *slots, uint32_t count, uint16_t slot)
{
    for (uint32_t i = 0; i < count; i++) {
        if (slots[i] == slot) {
            return true;
        }
    }
    return false;
}

static bool fits(const za_membership_t *m, uint16_t slot, uint64_t not_a, uint64_t not_b,
                 bool alive_only)
{
    const za_member_t *member = &m->members[slot];
    return member->uid != not_a && member->uid != not_b && (member->in_alive || !alive_only) &&
           (member->linked || m->datagrams);
}

uint32_t za_member_pick(za_membership_t *m, uint64_t not_a, uint64_t not_b, bool alive_only,
                        uint16_t *slots, uint32_t max)
{
    uint32_t count = 0;
    uint32_t tries = m->live_size > max ? PICK_TRIES * max : 0;
    for (uint32_t i = 0; i < tries && count < max; i++) {
        uint64_t at = za_rng_below(&m->rng, m->live_size);
        uint16_t slot = m->live[at];
        if (!taken(slots, count, slot) && fits(m, slot, not_a, not_b, alive_only)) {
            slots[count++] = slot;
        }
    }
    if (count == max || m->live_size == 0) {
        return count;
    }
    // Few or none fit: look at each, from a random one on.
    uint64_t start = za_rng_below(&m->rng, m->live_size);
    for (uint32_t i = 0; i < m->live_size && count < max; i++) {
        uint16_t slot = m->live[(start + i) % m->live_size];
        if (!taken(slots, count, slot) && fits(m, slot, not_a, not_b, alive_only)) {
            slots[count++] = slot;
        }
    }
    return count;
}

/** The uid of a link to be picked; 0 if that one is not. */
static uint64_t linked_at(const za_membership_t *m, uint32_t at, uint64_t not_a, uint64_t not_b,
                          bool alive_only)
{
    uint64_t uid = m->links[at].uid;
    const za_member_t *member = uid != not_a && uid != not_b ? za_member_find(m, uid) : NULL;
    bool fits = member != NULL && (alive_only ? member->in_alive : member->in_view);
    return fits ? uid : 0;
}

uint32_t za_member_pick_linked(const za_membership_t *m, za_rng_t *rng, uint64_t not_a,
                               uint64_t not_b, bool alive_only, uint64_t *uids, uint32_t max)
{
    // One of many is found by chance, and most often at once.
    uint32_t tries = max == 1 && m->link_count > PICK_TRIES ? PICK_TRIES : 0;
    for (uint32_t i = 0; i < tries; i++) {
        uint64_t at = za_rng_below(rng, m->link_count);
        uids[0] = linked_at(m, (uint32_t)at, not_a, not_b, alive_only);
        if (uids[0] != 0) {
            return 1;
        }
    }
    // Reservoir sampling over the links in order of uid.
    uint32_t seen = 0;
    for (uint32_t i = 0; i < m->link_count; i++) {
        uint64_t uid = linked_at(m, i, not_a, not_b, alive_only);
        if (uid == 0) {
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
    uint16_t slots[ZA_MEMBER_FANOUT];
    uint32_t count = za_member_pick(m, 0, 0, false, slots, ZA_MEMBER_FANOUT);
    for (uint32_t i = 0; i < count && m->gossip_count > 0; i++) {
        const za_member_t *member = &m->members[slots[i]];
        za_member_send_t send = {
            .uid = member->uid,
            .kind = za_DatagramKind_DATAGRAM_KIND_GOSSIP,
            .over_link = member->udp_degraded && member->linked,
        };
        za_member_send(m, &send, out);
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

static void answer_ping(za_membership_t *m, const za_cluster_event_t *event,
                        const za_member_t *sender, const za_member_datagram_t *datagram,
                        za_effects_t *out)
{
    // A ping for a uid that we no longer have is for another: silence is the right answer.
    if (datagram->target != za_membership_self_uid(m)) {
        return;
    }
    za_member_send_t ack = {
        .uid = event->uid,
        .member = sender,
        .kind = za_DatagramKind_DATAGRAM_KIND_ACK,
        .seq = datagram->seq,
        .over_link = event->over_link, // back by the way that it came
    };
    za_member_send(m, &ack, out);
}

/** Whoever answers shows that our words reach it, and a helper's ack that they reach its target. */
static void note_answer(za_membership_t *m, uint64_t uid, const za_member_datagram_t *datagram)
{
    if (!m->census_on) {
        return;
    }
    za_member_census_answered(m, uid, datagram->seq);
    if (datagram->kind == za_DatagramKind_DATAGRAM_KIND_ACK && datagram->target != 0) {
        za_member_census_answered(m, datagram->target, datagram->seq);
    }
}

static void dispatch(za_membership_t *m, const za_cluster_event_t *event, za_member_t *sender,
                     const za_member_datagram_t *datagram, za_effects_t *out)
{
    switch (datagram->kind) {
    case za_DatagramKind_DATAGRAM_KIND_GOSSIP:
        break;
    case za_DatagramKind_DATAGRAM_KIND_PING:
        answer_ping(m, event, sender, datagram, out);
        break;
    case za_DatagramKind_DATAGRAM_KIND_ACK:
        note_answer(m, event->uid, datagram);
        za_member_probe_ack(m, event->uid, sender, datagram->seq, event->over_link, out);
        break;
    case za_DatagramKind_DATAGRAM_KIND_PING_REQ:
        za_member_probe_relay(m, event->uid, datagram->seq, datagram->target, out);
        break;
    case za_DatagramKind_DATAGRAM_KIND_NACK:
        note_answer(m, event->uid, datagram);
        za_member_probe_nack(m, datagram->seq);
        break;
    }
}

void za_member_on_datagram(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out)
{
    za_member_datagram_t datagram;
    m->datagrams_in++;
    if (event->uid == 0 || event->uid == za_membership_self_uid(m) || event->bytes == NULL ||
        event->size > ZA_DATAGRAM_BYTES_MAX ||
        !za_member_datagram_get(event->bytes, event->size, &datagram)) {
        m->counters.datagrams_bad++;
        return;
    }
    za_member_t *sender = za_member_find(m, event->uid);
    if (sender != NULL && !sender->voided) {
        if (za_member_terminal(sender)) {
            m->rest_stale = true;
            za_member_tell_down(m, sender, out);
            return;
        }
        sender->heard_ms = m->now_ms;
    }
    if (m->phase != ZA_PHASE_JOINING && datagram.record_count > 0) {
        // A joiner hears the one it asked, by frames.
        za_member_news_t news;
        while (za_member_datagram_record(&datagram, &news)) {
            za_member_learn(m, &news, out);
        }
        sender = NULL; // the table may have changed
    }
    dispatch(m, event, sender, &datagram, out);
    if (datagram.kind == za_DatagramKind_DATAGRAM_KIND_PING ||
        datagram.kind == za_DatagramKind_DATAGRAM_KIND_ACK) {
        za_member_sync_hash(m, event->uid, datagram.view_hash, out);
    }
}
