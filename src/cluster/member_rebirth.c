#include "cluster/membership_internal.h"

enum {
    LAST_CLAIM = 4,
    NUMBER_2 = 2 << 3 | 0,
    NUMBER_3 = 3 << 3 | 0,
    WORD_1 = 1 << 3 | 1,
    WORD_4 = 4 << 3 | 1,
};

static void send_down(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    za_member_frame_t frame;
    if (za_member_frame_begin(m, uid, za_MembershipFrame_down_tag, &frame, out)) {
        frame.at = za_member_fixed_put(frame.at, 1, uid);
        za_member_frame_end(&frame, out);
    }
}

void za_member_tell_down(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    uint64_t uid = member->uid;
    if (za_member_link(m, uid) == NULL) {
        return;
    }
    // heard_ms of a terminal one: when it was told.
    if (member->heard_ms == ZA_MEMBER_NEVER ||
        m->now_ms - member->heard_ms >= (uint64_t)m->timing.probe_interval_ms * 1) {
        member->heard_ms = m->now_ms;
        send_down(m, uid, out);
    }
    za_member_close(m, uid, out);
}

typedef struct side {
    uint32_t up;
    uint64_t joined;
    uint64_t lowest;
} side_t;

static side_t own_side(const za_membership_t *m)
{
    side_t side = { 0, UINT64_MAX, UINT64_MAX };
    for (uint16_t at = 0; at < m->fresh; at++) {
        const za_member_t *member = za_member_slot(m, at);
        if (member != NULL && member->in_alive) {
            side.up++;
            side.joined = za_ms_min(side.joined, za_member_text(m, member)->joined);
            side.lowest = za_ms_min(side.lowest, member->uid);
        }
    }
    return side;
}

/** More members, then the older, then the lower uid. */
static bool side_wins(side_t a, side_t b)
{
    if (a.up != b.up) {
        return a.up > b.up;
    }
    if (a.joined != b.joined) {
        return a.joined < b.joined;
    }
    return a.lowest <= b.lowest;
}

void za_member_claim(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    za_member_frame_t frame;
    if (za_member_frame_begin(m, member->uid, za_MembershipFrame_claim_tag, &frame, out)) {
        side_t side = own_side(m);
        frame.at = za_member_fixed_put(frame.at, 1, member->uid);
        frame.at = za_member_number_put(frame.at, 2, side.up);
        frame.at = za_member_number_put(frame.at, 3, side.joined);
        frame.at = za_member_fixed_put(frame.at, 4, side.lowest);
        za_member_frame_end(&frame, out);
    }
}

static void be_reborn(za_membership_t *m, uint64_t by)
{
    if (m->phase <= ZA_PHASE_UP) {
        m->rebirth_due = true;
        m->rebirth_by = by;
        return;
    }
    za_member_t *member = za_member_find(m, by);
    if (member != NULL) {
        member->leave_acked = true; // it knows that we end
    }
}

typedef struct claim {
    uint64_t uid;
    side_t side;
} claim_t;

static bool claim_get(const za_member_body_t *body, claim_t *claim)
{
    const uint8_t *next = body->bytes;
    const uint8_t *end = body->bytes + body->size;
    za_member_field_t field;
    *claim = (claim_t){ 0 };
    while (za_member_field_get(&next, end, &field)) {
        if (field.key == WORD_1) {
            claim->uid = field.number;
        } else if (field.key == NUMBER_2) {
            claim->side.up = field.number > UINT32_MAX ? UINT32_MAX : (uint32_t)field.number;
        } else if (field.key == NUMBER_3) {
            claim->side.joined = field.number;
        } else if (field.key == WORD_4) {
            claim->side.lowest = field.number;
        } else if (!za_member_field_later(&field, LAST_CLAIM)) {
            return false;
        }
    }
    return next == end;
}

void za_member_on_claim(za_membership_t *m, uint64_t uid, const za_member_body_t *body,
                        za_effects_t *out)
{
    claim_t claim;
    if (!claim_get(body, &claim)) {
        m->counters.frames_bad++;
        return;
    }
    if (claim.uid != za_membership_self_uid(m)) {
        return; // for whom we were before
    }
    za_member_t *member = za_member_find(m, uid);
    bool trusted = member != NULL && member->in_view;
    if (trusted || m->phase != ZA_PHASE_UP) {
        be_reborn(m, uid); // we were one side, and it says that we are down
        return;
    }
    za_membership_mark(m, out, ZA_MARK_RECONNECT_DOWNED);
    // We alone decide, so that never both yield.
    if (side_wins(claim.side, own_side(m))) {
        be_reborn(m, uid);
        return;
    }
    send_down(m, uid, out);
    za_member_close(m, uid, out);
}

void za_member_on_down(za_membership_t *m, uint64_t uid, const za_member_body_t *body)
{
    uint64_t down;
    if (!za_member_single_get(body, WORD_1, &down)) {
        m->counters.frames_bad++;
    } else if (down == za_membership_self_uid(m)) {
        be_reborn(m, uid);
    }
}

static uint64_t draw_uid(za_membership_t *m)
{
    uint64_t uid = za_rng_next(&m->rng);
    while (uid == 0 || uid == ZA_NODE_NAMED || za_member_find(m, uid) != NULL) {
        uid = za_rng_next(&m->rng);
    }
    return uid;
}

/** In consistency mode what may exist only once stops before our uid changes. */
static void say_down_self(const za_membership_t *m, za_effects_t *out)
{
    if (za_member_downing_waits(m) && m->phase != ZA_PHASE_JOINING) {
        const char *text = za_effects_copy(out, m->downing.text);
        za_effects_add(out, ZA_EFFECT_DOWN_SELF)->name = text;
    }
}

void za_member_rebirth(za_membership_t *m, za_effects_t *out)
{
    if (!za_effects_have_room(out, 5, 1024)) {
        m->more = true;
        return;
    }
    uint64_t was = za_membership_self_uid(m);
    uint64_t uid = draw_uid(m);
    const za_member_link_t *by = za_member_link(m, m->rebirth_by);
    za_member_link_t told = { 0 };
    if (by != NULL) {
        told = *by;
    }
    m->rebirth_due = false;
    say_down_self(m, out);
    m->counters.rebirths++;
    za_membership_mark(m, out, ZA_MARK_REBIRTH);
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_REBORN);
    effect->uid = uid;
    effect->was = was;

    m->phase = ZA_PHASE_JOINING;
    m->link_count = 0; // the driver makes all links anew, under the new uid
    m->connect_count = 0;
    m->connects_ms = ZA_MEMBER_NEVER;
    m->claimant_count = 0;
    m->dump_count = 0;
    za_member_probe_stop(m);
    za_member_table_reborn(m, uid);
    za_member_downing_reborn(m, was);
    za_member_join_start(m);
    za_member_announce(m, za_member_self(m), out);
    if (told.address[0] != '\0') {
        // The winning side first: what our old side thinks of it must not come with us.
        m->join_prefer = told.uid;
        m->join_prefer_ms = m->now_ms + (uint64_t)m->timing.probe_interval_ms * 4;
        m->join_retry_ms = m->now_ms + (uint64_t)m->timing.probe_interval_ms * 1;
        za_membership_connect(m, out, told.address);
    }
}
