#include <string.h>

#include "base/assert.h"
#include "cluster/membership_internal.h"

enum {
    JOIN_ADDRESSES = 4, // tried per attempt
    LAST_JOIN = 3,      // fields of the small frames
    LAST_CODE = 3,
    BODY_LAST = za_MembershipFrame_leave_ack_tag,
    NUMBER_1 = 1 << 3 | 0,
    NUMBER_2 = 2 << 3 | 0,
    TEXT_2 = 2 << 3 | 2,
    TEXT_3 = 3 << 3 | 2,
    WORD_3 = 3 << 3 | 1,
    WORD_4 = 4 << 3 | 1,
};

static uint64_t interval(const za_membership_t *m, uint32_t times)
{
    return (uint64_t)m->timing.probe_interval_ms * times;
}

/** Later than every join known here. */
static uint64_t tick_clock(za_membership_t *m)
{
    m->clock = za_ms_min(m->clock + 1, ZA_MEMBER_LOGICAL_MAX);
    return m->clock;
}

uint64_t za_member_alone_wait_ms(const za_membership_t *m)
{
    return interval(m, 6);
}

/* ---- the joiner ---------------------------------------------------------------------------- */

void za_member_join_start(za_membership_t *m)
{
    m->phase = ZA_PHASE_JOINING;
    m->join_target = 0;
    m->join_prefer = 0;
    m->join_prefer_ms = 0;
    m->join_pause_ms = 0;
    m->join_end_ms = ZA_MEMBER_NEVER;
    m->join_retry_ms = m->now_ms;
    m->join_refusals = 0;
    m->join_crowded = false;
    m->join_denials = 0;
    m->join_told = 0;
    m->join_tell_ms = m->now_ms + za_member_alone_wait_ms(m); // most are members long before
    m->others = (za_member_tries_t){ 0 };
    m->alone_ms = ZA_MEMBER_NEVER;
    if (za_member_downing_may_found(m)) {
        bool nobody = m->seed_count == 0 && m->count == 1;
        m->alone_ms = m->now_ms + (nobody ? 0 : za_member_alone_wait_ms(m));
    }
}

uint64_t za_member_join_deadline(const za_membership_t *m)
{
    uint64_t deadline = ZA_MEMBER_NEVER;
    if (m->phase == ZA_PHASE_JOINING) {
        deadline = za_ms_min(m->join_end_ms, za_ms_min(m->join_retry_ms, m->alone_ms));
    } else if (m->phase != ZA_PHASE_UP) {
        deadline = m->leave_end_ms;
        if (m->phase == ZA_PHASE_PARTING && m->now_ms < m->parting_ms) {
            deadline = za_ms_min(deadline, m->parting_ms);
        }
    }
    for (uint32_t i = 0; i < m->claimant_count; i++) {
        deadline = za_ms_min(deadline, m->claimants[i].end_ms);
    }
    return deadline;
}

void za_member_join_lag(za_membership_t *m, uint64_t lag_ms)
{
    for (uint32_t i = 0; i < m->claimant_count; i++) {
        m->claimants[i].end_ms += lag_ms; // the holder's answer may wait in our socket
    }
    if (m->join_end_ms != ZA_MEMBER_NEVER) {
        m->join_end_ms += lag_ms;
    }
    if (m->alone_ms != ZA_MEMBER_NEVER) {
        m->alone_ms += lag_ms;
    }
}

static bool may_ask(za_membership_t *m, uint64_t uid)
{
    const za_member_t *member = za_member_find(m, uid);
    return member == NULL || member->voided || !za_member_terminal(member);
}

static uint8_t *put_text(uint8_t *at, uint32_t field, const char *text)
{
    uint32_t bytes = (uint32_t)strlen(text);
    at = za_member_length_put(at, field, bytes);
    memcpy(at, text, bytes);
    return at + bytes;
}

/** A text of a peer, for people and comparisons; false if it is too long or has control characters. */
static bool get_text(const za_member_field_t *field, char *out, uint32_t bytes_max)
{
    if (field->size > bytes_max) {
        return false;
    }
    for (uint32_t i = 0; i < field->size; i++) {
        if (field->bytes[i] < 0x20 || field->bytes[i] == 0x7f) {
            return false;
        }
        out[i] = (char)field->bytes[i];
    }
    out[field->size] = '\0';
    return true;
}

/** Our record, with the latest time that we know as the time of the join. */
static void send_join(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    za_member_frame_t frame;
    if (!za_member_frame_begin(m, uid, za_MembershipFrame_join_tag, &frame, out)) {
        return;
    }
    za_member_opinion_t opinion;
    za_member_profile_t profile;
    za_member_line_t line;
    za_member_line(m, za_member_self(m), &opinion, &profile, false, &line);
    profile.joined = m->clock;
    frame.at = za_member_record_put(frame.at, ZA_MEMBER_ME, &line, za_member_record_bytes(&line));
    frame.at = put_text(frame.at, 2, m->downing.text);
    frame.at = za_member_fixed_put(frame.at, 3, m->downing.was);
    frame.at = za_member_fixed_put(frame.at, 4, m->downing.fence_hash);
    za_member_frame_end(&frame, out);
}

/** One at a time: views of two sides of a healed split must not mix in a joiner. */
void za_member_ask_to_join(za_membership_t *m, za_effects_t *out)
{
    if (m->phase != ZA_PHASE_JOINING || m->join_target != 0 || m->now_ms < m->join_pause_ms) {
        return;
    }
    uint64_t chosen = 0;
    if (m->join_prefer != 0 && m->now_ms < m->join_prefer_ms) {
        chosen = za_member_link(m, m->join_prefer) != NULL ? m->join_prefer : 0;
    } else {
        chosen = za_member_anew_ask(m);
        for (uint32_t i = 0; i < m->link_count && chosen == 0; i++) {
            uint64_t uid = m->links[m->ask_cursor++ % m->link_count].uid;
            chosen = may_ask(m, uid) ? uid : 0;
        }
    }
    if (chosen == 0) {
        return;
    }
    m->join_target = chosen;
    m->join_end_ms = m->now_ms + interval(m, 6);
    send_join(m, chosen, out);
}

static const char *join_address(const za_membership_t *m, uint32_t at)
{
    if (at < m->seed_count) {
        const za_member_seed_t *seed = &m->seeds[at];
        return m->now_ms >= seed->tries.again_ms ? seed->address : NULL;
    }
    if (m->now_ms < m->others.again_ms) {
        return NULL;
    }
    const za_member_t *member = za_member_slot(m, at - m->seed_count);
    bool useless = member == NULL || member == &m->members[m->self] || member->linked ||
                   member->terminal == (unsigned)za_MemberTerminal_MEMBER_TERMINAL_LEFT;
    return useless ? NULL : za_member_address(m, member);
}

/**
 * Where thousands start at once the seeds' CPUs are what there is least of: a full handshake takes one
 * of them 9 ms. Whoever was turned away therefore asks one seed at a time, at times of its own, and none
 * while one has its Join; by then a handshake with each of three would be two in vain.
 */
static void seek(za_membership_t *m, za_effects_t *out)
{
    m->join_retry_ms = m->now_ms + interval(m, 2);
    uint32_t addresses = JOIN_ADDRESSES;
    uint32_t all = m->seed_count + m->fresh;
    if (m->join_crowded) {
        m->join_retry_ms += za_rng_below(&m->rng, interval(m, 2));
        addresses = m->join_target == 0 ? 1 : 0;
        m->join_cursor = (uint32_t)za_rng_below(&m->rng, all); // not all that wait go to the same
    }
    uint32_t tried = 0;
    const char *first = addresses > 0 ? za_member_anew_connect(m) : NULL;
    if (first != NULL && (!m->join_crowded || za_rng_below(&m->rng, 2) == 0)) {
        za_membership_connect(m, out, first);
        tried++;
    }
    for (uint32_t i = 0; i < all && tried < addresses; i++) {
        const char *address = join_address(m, m->join_cursor++ % all);
        if (address != NULL && strcmp(address, m->address) != 0) {
            za_membership_connect(m, out, address);
            tried++;
        }
    }
    za_member_ask_to_join(m, out);
    za_member_seeds_tell(m, out);
}

static void want_links(za_membership_t *m)
{
    // Above the full mesh from a random one on: the first in everybody's table are the seeds.
    bool few = m->live_count > ZA_MEMBER_MESH_MAX;
    uint32_t start = few ? (uint32_t)za_rng_below(&m->rng, m->live_size) : 0;
    for (uint32_t i = 0; i < m->live_size; i++) {
        za_member_want_link(m, &m->members[m->live[(start + i) % m->live_size]]);
    }
}

static void become_up(za_membership_t *m, uint64_t joined, za_effects_t *out)
{
    za_member_t *self = za_member_self(m);
    m->phase = ZA_PHASE_UP;
    m->may_found = true; // whoever was a member may go on alone after a rebirth
    m->told_to_found = false;
    m->clock = joined > m->clock ? joined : m->clock;
    za_member_profile_t profile = za_member_profile(za_member_text(m, self));
    profile.joined = joined;
    bool set = za_member_set_texts(m, self, &profile);
    ZA_ASSERT(set); // two texts of a node's own are counted in
    m->join_target = 0;
    za_member_table_up(m);
    za_member_changed(m, self, out);
    uint64_t probe_jitter = za_rng_below(&m->rng, m->timing.probe_interval_ms);
    uint64_t sync_jitter = za_rng_below(&m->rng, m->timing.sync_interval_ms);
    za_member_probe_start(m, m->now_ms + probe_jitter);
    m->sync_ms = m->now_ms + sync_jitter;
    m->reconnect_ms = m->now_ms + m->timing.reconnect_interval_ms;
    m->seed_ms = m->now_ms + m->timing.seed_interval_ms;

    uint64_t uids[ZA_PEERS_MAX];
    uint32_t count = m->link_count;
    for (uint32_t i = 0; i < count; i++) {
        uids[i] = m->links[i].uid;
    }
    for (uint32_t i = 0; i < count; i++) {
        za_member_greet(m, uids[i], true, out);
    }
    want_links(m);
}

void za_member_found(za_membership_t *m, za_effects_t *out)
{
    become_up(m, tick_clock(m), out);
    za_member_downing_up(m, true, out);
}

typedef struct join_ack {
    uint64_t code, joined;
    char downing[ZA_DOWNING_TEXT_BYTES_MAX + 1]; // the cluster's
} join_ack_t;

static bool join_ack_get(const uint8_t *next, const uint8_t *end, join_ack_t *ack)
{
    za_member_field_t field;
    *ack = (join_ack_t){ 0 };
    while (za_member_field_get(&next, end, &field)) {
        if (field.key == NUMBER_1) {
            ack->code = field.number;
        } else if (field.key == NUMBER_2) {
            ack->joined = field.number;
        } else if (field.key == TEXT_3) {
            if (!get_text(&field, ack->downing, ZA_DOWNING_TEXT_BYTES_MAX)) {
                return false;
            }
        } else if (!za_member_field_later(&field, LAST_CODE)) {
            return false;
        }
    }
    return next == end && ack->joined <= ZA_MEMBER_LOGICAL_MAX;
}

/** Says why the cluster will not have us; asked again only after a while, which doubles. */
static void refused(za_membership_t *m, const join_ack_t *ack, za_effects_t *out)
{
    m->join_pause_ms = m->now_ms + za_member_backoff_ms(m, interval(m, 10), m->join_denials++);
    m->alone_ms = ZA_MEMBER_NEVER;
    if (!za_membership_room(m, out, 512)) {
        return;
    }
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_REFUSED);
    if (ack->code == za_JoinCode_JOIN_CODE_INCOMPATIBLE) {
        effect->err = ZA_ECONFIG;
        effect->name = za_effects_text(out, "cluster.downing is \"%s\" there and \"%s\" here",
                                       ack->downing, m->downing.text);
    } else if (ack->code == za_JoinCode_JOIN_CODE_FULL) {
        effect->err = ZA_EFULL;
        effect->name = za_effects_text(out, "with one member more, two halves of the cluster "
                                            "could both have its quorum");
    } else {
        effect->err = ZA_EEXIST;
        effect->name = za_effects_text(out, "the name %s is in use by a live member", m->name);
    }
}

static void on_join_ack(za_membership_t *m, uint64_t uid, const za_member_body_t *body,
                        za_effects_t *out)
{
    join_ack_t ack;
    if (!join_ack_get(body->bytes, body->bytes + body->size, &ack)) {
        m->counters.frames_bad++;
        return;
    }
    if (m->phase != ZA_PHASE_JOINING || uid != m->join_target) {
        return; // late: another accepted us
    }
    if (ack.code == za_JoinCode_JOIN_CODE_OK) {
        become_up(m, ack.joined, out);
        za_member_downing_up(m, false, out);
        return;
    }
    m->join_target = 0;
    m->join_end_ms = ZA_MEMBER_NEVER;
    if (ack.code == za_JoinCode_JOIN_CODE_WAIT) {
        // Who gave up asks one after the other, so that enough of them meet soon.
        m->join_pause_ms = m->now_ms + interval(m, m->downing.fenced ? 1 : 5) / 5;
        m->join_end_ms = m->join_pause_ms;
        return;
    }
    refused(m, &ack, out);
}

/* ---- the acceptor -------------------------------------------------------------------------- */

static void send_join_ack(za_membership_t *m, uint64_t uid, za_JoinCode code, uint64_t joined,
                          za_effects_t *out)
{
    za_member_frame_t frame;
    if (za_member_frame_begin(m, uid, za_MembershipFrame_join_ack_tag, &frame, out)) {
        frame.at = za_member_number_put(frame.at, 1, (uint64_t)code);
        frame.at = za_member_number_put(frame.at, 2, joined);
        frame.at = put_text(frame.at, 3, m->downing.text);
        za_member_frame_end(&frame, out);
    }
}

void za_member_accept(za_membership_t *m, uint64_t uid, uint64_t joined, za_effects_t *out)
{
    send_join_ack(m, uid, za_JoinCode_JOIN_CODE_OK, joined, out);
}

static void answer_join(za_membership_t *m, uint64_t uid, za_JoinCode code, za_effects_t *out)
{
    if (code == za_JoinCode_JOIN_CODE_OK) {
        // The joiner knows our view, tombstones too, before it is up.
        za_member_send_all(m, uid, tick_clock(m), out);
    } else {
        send_join_ack(m, uid, code, 0, out);
    }
}

/** Another address under the same name: see whether the holder still answers. */
static void question_holder(za_membership_t *m, uint64_t joiner, za_member_t *holder,
                            za_effects_t *out)
{
    for (uint32_t i = 0; i < m->claimant_count; i++) {
        if (m->claimants[i].uid == joiner) {
            return;
        }
    }
    if (m->claimant_count == ZA_MEMBER_CLAIMANTS_MAX) {
        return; // it asks again
    }
    m->claimants[m->claimant_count++] = (za_member_claimant_t){
        .uid = joiner,
        .holder = holder->uid,
        .since_ms = m->now_ms,
        .end_ms = m->now_ms + interval(m, 2),
    };
    if (holder->linked) {
        za_member_send_t ping = {
            .uid = holder->uid,
            .kind = za_DatagramKind_DATAGRAM_KIND_PING,
            .over_link = true,
            .seq = ++m->next_seq,
            .target = holder->uid,
        };
        za_member_send(m, &ping, out);
    } else {
        za_membership_connect(m, out, za_member_address(m, holder));
    }
}

static bool get_join_field(const za_member_field_t *field, bool *found, za_member_joiner_t *out)
{
    switch (field->key) {
    case ZA_MEMBER_ME << 3 | 2:
        *found = za_member_record_get(field->bytes, field->size, &out->me);
        return *found;
    case TEXT_2:
        return get_text(field, out->downing, ZA_DOWNING_TEXT_BYTES_MAX);
    case WORD_3:
        out->was = field->number;
        return true;
    case WORD_4:
        out->stable = field->number;
        return true;
    default:
        return za_member_field_later(field, LAST_JOIN);
    }
}

/** Reads a Join, or a Leave, which has its first field only; a record comes from its owner alone. */
bool za_member_joiner_get(const za_member_body_t *body, uint64_t uid, za_member_joiner_t *out)
{
    const uint8_t *next = body->bytes;
    const uint8_t *end = body->bytes + body->size;
    za_member_field_t field;
    bool found = false;
    out->was = 0;
    out->stable = 0;
    out->downing[0] = '\0';
    while (za_member_field_get(&next, end, &field)) {
        if (!get_join_field(&field, &found, out)) {
            return false;
        }
    }
    return next == end && found && !out->me.brief && out->me.uid == uid;
}

/** The link's name is the certificate's. */
static bool is_named(const za_member_link_t *link, const za_member_profile_t *profile)
{
    size_t bytes = strlen(link->name);
    return bytes == 0 ||
           (bytes == profile->name_bytes && memcmp(link->name, profile->name, bytes) == 0);
}

static bool has_address(const za_membership_t *m, const za_member_t *member,
                        const za_member_profile_t *profile)
{
    za_member_profile_t own = za_member_profile(za_member_text(m, member));
    return own.address_bytes == profile->address_bytes &&
           memcmp(own.address, profile->address, own.address_bytes) == 0;
}

/** The other half of what the joiner is told. */
static void say_not_admitted(za_membership_t *m, const za_member_joiner_t *join, za_JoinCode code,
                             za_effects_t *out)
{
    if (code == za_JoinCode_JOIN_CODE_WAIT) {
        return;
    }
    m->counters.joins_refused++;
    int bytes = (int)join->me.profile.name_bytes;
    if (code == za_JoinCode_JOIN_CODE_INCOMPATIBLE) {
        za_membership_log(m, out, ZA_WARN,
                          "refused %.*s: its cluster.downing is \"%s\", here it is \"%s\"", bytes,
                          join->me.profile.name, join->downing, m->downing.text);
    } else {
        za_membership_log(
            m, out, ZA_WARN,
            "refused %.*s: with one member more, two halves of the cluster could both "
            "have its quorum of %u",
            bytes, join->me.profile.name, m->downing.config.quorum);
    }
}

/** Whether a member has the joiner's name, and lives, or may. Then it has been answered, or will be. */
static bool name_is_held(za_membership_t *m, uint64_t uid, const za_member_profile_t *profile,
                         za_effects_t *out)
{
    za_member_t *holder = za_member_holder(m, profile->name, profile->name_bytes, uid);
    if (holder == za_member_self(m)) {
        answer_join(m, uid, za_JoinCode_JOIN_CODE_NAME_IN_USE, out);
        return true;
    }
    if (holder != NULL && !has_address(m, holder, profile)) {
        question_holder(m, uid, holder, out);
        return true;
    }
    if (holder != NULL) {
        za_member_down(m, holder, za_MemberReason_MEMBER_REASON_REPLACED, out);
    }
    return false;
}

static void on_join(za_membership_t *m, uint64_t uid, const za_member_body_t *body,
                    za_effects_t *out)
{
    za_member_joiner_t join;
    const za_member_link_t *link = za_member_link(m, uid);
    if (link == NULL || !za_member_joiner_get(body, uid, &join) ||
        !is_named(link, &join.me.profile) ||
        join.me.opinion.terminal != za_MemberTerminal_MEMBER_TERMINAL_NONE) {
        m->counters.frames_bad++;
        return;
    }
    if (m->phase > ZA_PHASE_UP) {
        return;
    }
    const za_member_profile_t *profile = &join.me.profile;
    m->clock = profile->joined > m->clock ? profile->joined : m->clock;
    za_member_t *holder = za_member_holder(m, profile->name, profile->name_bytes, uid);
    za_JoinCode code = za_member_downing_admit(m, &join, holder, out);
    if (code != za_JoinCode_JOIN_CODE_OK) {
        say_not_admitted(m, &join, code, out);
        answer_join(m, uid, code, out);
    } else if (!name_is_held(m, uid, profile, out)) {
        answer_join(m, uid, code, out);
    }
}

static void decide_claimant(za_membership_t *m, const za_member_claimant_t *claimant,
                            za_effects_t *out)
{
    za_member_t *holder = za_member_find(m, claimant->holder);
    bool answered = holder != NULL && holder->in_view && holder->heard_ms != ZA_MEMBER_NEVER &&
                    holder->heard_ms >= claimant->since_ms;
    if (answered) {
        answer_join(m, claimant->uid, za_JoinCode_JOIN_CODE_NAME_IN_USE, out);
        return;
    }
    if (za_member_link(m, claimant->uid) == NULL) {
        return; // nobody is there to take the name over
    }
    if (holder != NULL && holder->in_view && za_member_downing_waits(m)) {
        // It may live on the other side of a split: the strategy says when it does no longer.
        za_membership_mark(m, out, ZA_MARK_JOIN_WAITS);
        answer_join(m, claimant->uid, za_JoinCode_JOIN_CODE_WAIT, out);
        return;
    }
    if (holder != NULL && holder->in_view) {
        za_member_down(m, holder, za_MemberReason_MEMBER_REASON_REPLACED, out);
    }
    answer_join(m, claimant->uid, za_JoinCode_JOIN_CODE_OK, out);
}

static void tick_claimants(za_membership_t *m, za_effects_t *out)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->claimant_count; i++) {
        za_member_claimant_t claimant = m->claimants[i];
        if (claimant.end_ms <= m->now_ms) {
            decide_claimant(m, &claimant, out);
        } else {
            m->claimants[kept++] = claimant;
        }
    }
    m->claimant_count = kept;
}

/* ---- frames -------------------------------------------------------------------------------- */

/** A frame has one body, the last of those in it that we know; fields of later versions are passed over. */
static bool body_get(const za_cluster_event_t *event, za_member_body_t *body)
{
    if (event->bytes == NULL || event->size < 2 || event->size > ZA_MEMBER_FRAME_BYTES_MAX ||
        event->bytes[0] != ZA_MEMBERSHIP_TAG || event->lane != ZA_LANE_CONTROL) {
        return false;
    }
    const uint8_t *next = event->bytes + 1;
    const uint8_t *end = event->bytes + event->size;
    za_member_field_t field;
    *body = (za_member_body_t){ 0 };
    while (za_member_field_get(&next, end, &field)) {
        if ((field.key & 7) == 2 && !za_member_field_later(&field, BODY_LAST)) {
            *body = (za_member_body_t){ field.key >> 3, field.size, field.bytes };
        }
    }
    return next == end && body->tag != 0;
}

/** Whether a frame of that sender is heard; a terminal sender may only say who is down. */
static bool admit(za_membership_t *m, uint64_t uid, uint32_t tag, za_effects_t *out)
{
    za_member_t *sender = za_member_find(m, uid);
    if (sender != NULL && !sender->voided) {
        if (!za_member_terminal(sender)) {
            sender->heard_ms = m->now_ms;
        } else if (tag != za_MembershipFrame_claim_tag && tag != za_MembershipFrame_down_tag) {
            za_member_tell_down(m, sender, out);
            return false;
        }
    }
    if (m->phase != ZA_PHASE_JOINING) {
        return true;
    }
    switch (tag) {
    case za_MembershipFrame_digest_tag:
    case za_MembershipFrame_leave_tag:
        return false;
    case za_MembershipFrame_records_tag:
        return uid == m->join_target;
    default:
        return true;
    }
}

static void dispatch(za_membership_t *m, uint64_t uid, const za_member_body_t *body,
                     za_effects_t *out)
{
    switch (body->tag) {
    case za_MembershipFrame_join_tag:
        on_join(m, uid, body, out);
        break;
    case za_MembershipFrame_join_ack_tag:
        on_join_ack(m, uid, body, out);
        break;
    case za_MembershipFrame_digest_tag:
        za_member_on_digest(m, uid, body->bytes, body->size, out);
        break;
    case za_MembershipFrame_records_tag:
        za_member_on_records(m, uid, body->bytes, body->size, out);
        break;
    case za_MembershipFrame_claim_tag:
        za_member_on_claim(m, uid, body, out);
        break;
    case za_MembershipFrame_down_tag:
        za_member_on_down(m, uid, body);
        break;
    case za_MembershipFrame_leave_tag:
        za_member_on_leave(m, uid, body, out);
        break;
    case za_MembershipFrame_leave_ack_tag:
        za_member_on_leave_ack(m, uid, body);
        break;
    default:
        m->counters.frames_bad++;
        break;
    }
}

/** The number or word of a frame that has one field. */
bool za_member_single_get(const za_member_body_t *body, uint32_t key, uint64_t *out)
{
    const uint8_t *next = body->bytes;
    const uint8_t *end = body->bytes + body->size;
    za_member_field_t field;
    *out = 0;
    while (za_member_field_get(&next, end, &field)) {
        if (field.key == key) {
            *out = field.number;
        } else if (!za_member_field_later(&field, 1)) {
            return false;
        }
    }
    return next == end;
}

void za_member_on_frame(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out)
{
    za_member_body_t body;
    if (event->uid == 0 || event->uid == za_membership_self_uid(m) || !body_get(event, &body)) {
        m->counters.frames_bad++;
        return;
    }
    if (admit(m, event->uid, body.tag, out)) {
        dispatch(m, event->uid, &body, out);
    }
}

void za_member_join_tick(za_membership_t *m, za_effects_t *out)
{
    tick_claimants(m, out);
    if (m->phase != ZA_PHASE_JOINING) {
        return;
    }
    if (m->now_ms >= m->alone_ms) {
        za_member_found(m, out);
        return;
    }
    if (m->now_ms >= m->join_end_ms) {
        za_member_anew_silent(m, m->join_target);
        m->join_target = 0;
        m->join_end_ms = ZA_MEMBER_NEVER;
        m->join_crowded = false; // it is silent, and may be so for ever
        za_member_ask_to_join(m, out);
    }
    if (m->now_ms >= m->join_retry_ms) {
        seek(m, out);
    }
    za_member_downing_wait(m, out);
}
