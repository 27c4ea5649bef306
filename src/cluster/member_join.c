#include <string.h>

#include "base/assert.h"
#include "cluster/membership_internal.h"
#include "pb_decode.h"

enum { JOIN_ADDRESSES = 4 }; // tried per attempt

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
        for (uint32_t i = 0; i < m->link_count && chosen == 0; i++) {
            uint64_t uid = m->links[m->join_cursor++ % m->link_count].uid;
            chosen = may_ask(m, uid) ? uid : 0;
        }
    }
    if (chosen == 0) {
        return;
    }
    m->join_target = chosen;
    m->join_end_ms = m->now_ms + interval(m, 6);
    m->frame_out.which_body = za_MembershipFrame_join_tag;
    m->frame_out.body.join.has_me = true;
    m->frame_out.body.join.me = za_member_self(m)->record;
    m->frame_out.body.join.me.joined = m->clock;
    m->frame_out.body.join.was = m->downing.was;
    m->frame_out.body.join.stable = m->downing.fence_hash;
    memcpy(m->frame_out.body.join.downing, m->downing.text, sizeof m->downing.text);
    za_member_send_frame(m, chosen, out);
}

static const char *join_address(const za_membership_t *m, uint32_t at)
{
    if (at < m->seed_count) {
        return m->seeds[at];
    }
    uint16_t index = m->by_uid[at - m->seed_count];
    const za_member_t *member = &m->members[index];
    bool useless = index == m->self || member->linked ||
                   member->record.terminal == za_MemberTerminal_MEMBER_TERMINAL_LEFT;
    return useless ? NULL : member->record.address;
}

static void seek(za_membership_t *m, za_effects_t *out)
{
    m->join_retry_ms = m->now_ms + interval(m, 2);
    uint32_t all = m->seed_count + m->count;
    uint32_t tried = 0;
    for (uint32_t i = 0; i < all && tried < JOIN_ADDRESSES; i++) {
        const char *address = join_address(m, m->join_cursor++ % all);
        if (address != NULL && strcmp(address, m->address) != 0) {
            za_membership_connect(m, out, address);
            tried++;
        }
    }
    za_member_ask_to_join(m, out);
}

static void become_up(za_membership_t *m, uint64_t joined, za_effects_t *out)
{
    za_member_t *self = za_member_self(m);
    m->phase = ZA_PHASE_UP;
    m->may_found = true; // whoever was a member may go on alone after a rebirth
    m->told_to_found = false;
    m->clock = joined > m->clock ? joined : m->clock;
    self->record.joined = joined;
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
    for (uint32_t i = 0; i < m->count; i++) {
        za_member_want_link(m, &m->members[m->by_uid[i]]);
    }
}

void za_member_found(za_membership_t *m, za_effects_t *out)
{
    become_up(m, tick_clock(m), out);
    za_member_downing_up(m, true);
}

/** Says why the cluster will not have us; asked again only after a while. */
static void refused(za_membership_t *m, za_effects_t *out)
{
    const za_MembershipJoinAck *ack = &m->frame_in.body.join_ack;
    m->join_pause_ms = m->now_ms + interval(m, 10);
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

static void on_join_ack(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    const za_MembershipJoinAck *ack = &m->frame_in.body.join_ack;
    if (m->phase != ZA_PHASE_JOINING || uid != m->join_target) {
        return; // late: another accepted us
    }
    if (ack->code == za_JoinCode_JOIN_CODE_OK) {
        if (ack->joined > ZA_MEMBER_LOGICAL_MAX) {
            m->counters.frames_bad++;
            return;
        }
        become_up(m, ack->joined, out);
        za_member_downing_up(m, false);
        return;
    }
    m->join_target = 0;
    m->join_end_ms = ZA_MEMBER_NEVER;
    if (ack->code == za_JoinCode_JOIN_CODE_WAIT) {
        // Who gave up asks one after the other, so that enough of them meet soon.
        m->join_pause_ms = m->now_ms + interval(m, m->downing.fenced ? 1 : 5) / 5;
        m->join_end_ms = m->join_pause_ms;
        return;
    }
    refused(m, out);
}

/* ---- the acceptor -------------------------------------------------------------------------- */

static void answer_join(za_membership_t *m, uint64_t uid, za_JoinCode code, za_effects_t *out)
{
    uint64_t joined = 0;
    if (code == za_JoinCode_JOIN_CODE_OK) {
        za_member_send_all(m, uid,
                           out); // the joiner knows our view, tombstones too, before it is up
        joined = tick_clock(m);
    }
    m->frame_out.which_body = za_MembershipFrame_join_ack_tag;
    m->frame_out.body.join_ack = (za_MembershipJoinAck){ .code = code, .joined = joined };
    memcpy(m->frame_out.body.join_ack.downing, m->downing.text, sizeof m->downing.text);
    za_member_send_frame(m, uid, out);
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
        .holder = holder->record.uid,
        .since_ms = m->now_ms,
        .end_ms = m->now_ms + interval(m, 2),
    };
    if (holder->linked) {
        za_member_send(m, holder->record.uid, za_DatagramKind_DATAGRAM_KIND_PING, ++m->next_seq,
                       holder->record.uid, out);
    } else {
        za_membership_connect(m, out, holder->record.address);
    }
}

/** The other half of what the joiner is told. */
static void say_not_admitted(za_membership_t *m, za_JoinCode code, za_effects_t *out)
{
    const za_MembershipJoin *join = &m->frame_in.body.join;
    if (code == za_JoinCode_JOIN_CODE_WAIT || !za_membership_room(m, out, 512)) {
        return;
    }
    m->counters.joins_refused++;
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_LOG);
    effect->level = ZA_WARN;
    if (code == za_JoinCode_JOIN_CODE_INCOMPATIBLE) {
        effect->name =
            za_effects_text(out, "refused %s: its cluster.downing is \"%s\", here it is \"%s\"",
                            join->me.name, join->downing, m->downing.text);
    } else {
        effect->name = za_effects_text(out,
                                       "refused %s: with one member more, two halves of the "
                                       "cluster could both have its quorum of %u",
                                       join->me.name, m->downing.config.quorum);
    }
}

static void on_join(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    const za_MembershipJoin *join = &m->frame_in.body.join;
    const za_member_link_t *link = za_member_link(m, uid);
    bool sound = join->has_me && za_member_valid(&join->me) && join->me.uid == uid &&
                 join->me.terminal == za_MemberTerminal_MEMBER_TERMINAL_NONE;
    // The link's name is the certificate's.
    if (!sound || link == NULL ||
        (link->name[0] != '\0' && strcmp(link->name, join->me.name) != 0)) {
        m->counters.frames_bad++;
        return;
    }
    if (m->phase > ZA_PHASE_UP) {
        return;
    }
    m->clock = join->me.joined > m->clock ? join->me.joined : m->clock;
    za_member_t *holder = za_member_holder(m, join->me.name, uid);
    za_JoinCode code = za_member_downing_admit(m, join, holder, out);
    if (code != za_JoinCode_JOIN_CODE_OK) {
        say_not_admitted(m, code, out);
        answer_join(m, uid, code, out);
        return;
    }
    holder = za_member_holder(m, join->me.name, uid); // it may have ended just now
    if (holder == za_member_self(m)) {
        answer_join(m, uid, za_JoinCode_JOIN_CODE_NAME_IN_USE, out);
        return;
    }
    if (holder != NULL && strcmp(holder->record.address, join->me.address) != 0) {
        question_holder(m, uid, holder, out);
        return;
    }
    if (holder != NULL) {
        za_member_down(m, holder, za_MemberReason_MEMBER_REASON_REPLACED, out);
    }
    answer_join(m, uid, za_JoinCode_JOIN_CODE_OK, out);
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

/* ---- leaving ------------------------------------------------------------------------------- */

static void tell_leave(za_membership_t *m, za_effects_t *out)
{
    for (uint32_t i = 0; i < m->link_count; i++) {
        za_member_t *member = za_member_find(m, m->links[i].uid);
        if (member == NULL || !member->in_view) {
            continue;
        }
        member->leave_acked = false;
        m->frame_out.which_body = za_MembershipFrame_leave_tag;
        m->frame_out.body.leave.has_me = true;
        m->frame_out.body.leave.me = za_member_self(m)->record;
        za_member_send_frame(m, member->record.uid, out);
    }
}

static bool all_acked(za_membership_t *m)
{
    for (uint32_t i = 0; i < m->link_count; i++) {
        const za_member_t *member = za_member_find(m, m->links[i].uid);
        if (member != NULL && member->in_view && !member->leave_acked) {
            return false;
        }
    }
    return true;
}

static void finish_leave(za_membership_t *m, za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, 0)) {
        m->more = true;
        return;
    }
    m->phase = ZA_PHASE_LEFT;
    za_member_probe_stop(m);
    za_effects_add(out, ZA_EFFECT_LEFT);
}

static void say_left(za_membership_t *m, za_effects_t *out)
{
    za_member_t *self = za_member_self(m);
    m->phase = ZA_PHASE_PARTING;
    self->record.terminal = za_MemberTerminal_MEMBER_TERMINAL_LEFT;
    self->record.rank = za_MemberRank_MEMBER_RANK_ALIVE;
    tell_leave(m, out);
    za_member_changed(m, self, out);
}

void za_member_leave(za_membership_t *m, za_effects_t *out)
{
    if (m->phase > ZA_PHASE_UP) {
        return;
    }
    za_member_t *self = za_member_self(m);
    // The last quarter is for LEFT, so that all of it ends within the limit.
    m->leave_end_ms = m->now_ms + m->timing.leave_timeout_ms - m->timing.leave_timeout_ms / 4;
    if (m->phase == ZA_PHASE_JOINING) {
        m->phase = ZA_PHASE_LEAVING; // nobody knows us
        say_left(m, out);
        return;
    }
    m->phase = ZA_PHASE_LEAVING;
    self->record.leaving = true;
    self->record.inc++;
    tell_leave(m, out);
    za_member_changed(m, self, out);
}

void za_member_leave_check(za_membership_t *m, za_effects_t *out)
{
    bool late = m->now_ms >= m->leave_end_ms;
    if (m->phase == ZA_PHASE_LEAVING && (late || all_acked(m))) {
        say_left(m, out);
        // A moment more, so that LEFT reaches those who did not answer in time.
        m->leave_end_ms = m->now_ms + m->timing.leave_timeout_ms / 4;
        late = false;
    }
    if (m->phase == ZA_PHASE_PARTING && (late || all_acked(m))) {
        finish_leave(m, out);
    }
}

static void on_leave(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    const za_MembershipLeave *leave = &m->frame_in.body.leave;
    if (!leave->has_me || !za_member_valid(&leave->me) || leave->me.uid != uid) {
        m->counters.frames_bad++; // only the owner says that it leaves
        return;
    }
    // The ack first: LEFT closes the link.
    m->frame_out.which_body = za_MembershipFrame_leave_ack_tag;
    m->frame_out.body.leave_ack.terminal = leave->me.terminal;
    za_member_send_frame(m, uid, out);
    za_member_learn(m, &leave->me, out);
}

static void on_leave_ack(za_membership_t *m, uint64_t uid)
{
    za_member_t *member = za_member_find(m, uid);
    bool left = m->phase == ZA_PHASE_PARTING;
    bool said = m->frame_in.body.leave_ack.terminal == za_MemberTerminal_MEMBER_TERMINAL_LEFT;
    if (member != NULL && left == said) {
        member->leave_acked = true;
    }
}

/* ---- rebirth ------------------------------------------------------------------------------- */

void za_member_tell_down(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    uint64_t uid = member->record.uid;
    if (za_member_link(m, uid) == NULL) {
        return;
    }
    if (member->told_ms == ZA_MEMBER_NEVER || m->now_ms - member->told_ms >= interval(m, 1)) {
        member->told_ms = m->now_ms;
        m->frame_out.which_body = za_MembershipFrame_down_tag;
        m->frame_out.body.down.uid = uid;
        za_member_send_frame(m, uid, out);
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
    for (uint32_t i = 0; i < m->count; i++) {
        const za_member_t *member = &m->members[m->by_uid[i]];
        if (member->in_alive) {
            side.up++;
            side.joined = za_ms_min(side.joined, member->record.joined);
            side.lowest = za_ms_min(side.lowest, member->record.uid);
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
    side_t side = own_side(m);
    m->frame_out.which_body = za_MembershipFrame_claim_tag;
    m->frame_out.body.claim = (za_MembershipClaim){
        .uid = member->record.uid,
        .up = side.up,
        .joined = side.joined,
        .lowest = side.lowest,
    };
    za_member_send_frame(m, member->record.uid, out);
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

static void on_claim(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    const za_MembershipClaim *claim = &m->frame_in.body.claim;
    if (claim->uid != za_membership_self_uid(m)) {
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
    side_t theirs = { claim->up, claim->joined, claim->lowest };
    if (side_wins(theirs, own_side(m))) {
        be_reborn(m, uid);
        return;
    }
    m->frame_out.which_body = za_MembershipFrame_down_tag;
    m->frame_out.body.down.uid = uid;
    za_member_send_frame(m, uid, out);
    za_member_close(m, uid, out);
}

static void on_down(za_membership_t *m, uint64_t uid)
{
    if (m->frame_in.body.down.uid == za_membership_self_uid(m)) {
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
        const char *text = za_effects_text(out, "%s", m->downing.text);
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
    m->claimant_count = 0;
    za_member_probe_stop(m);
    za_member_table_reborn(m, uid);
    za_member_downing_reborn(m, was);
    za_member_join_start(m);
    za_member_announce(m, za_member_self(m), out);
    if (told.address[0] != '\0') {
        // The winning side first: what our old side thinks of it must not come with us.
        m->join_prefer = told.uid;
        m->join_prefer_ms = m->now_ms + interval(m, 4);
        m->join_retry_ms = m->now_ms + interval(m, 1);
        za_membership_connect(m, out, told.address);
    }
}

/* ---- frames -------------------------------------------------------------------------------- */

static bool decode(za_membership_t *m, const za_cluster_event_t *event)
{
    if (event->bytes == NULL || event->size < 2 || event->size > ZA_MEMBER_FRAME_BYTES_MAX ||
        event->bytes[0] != ZA_MEMBERSHIP_TAG || event->lane != ZA_LANE_CONTROL) {
        return false;
    }
    pb_istream_t stream = pb_istream_from_buffer(event->bytes + 1, event->size - 1);
    return pb_decode(&stream, za_MembershipFrame_fields, &m->frame_in) &&
           m->frame_in.which_body != 0;
}

/** Whether a frame of that sender is heard; a terminal sender may only say who is down. */
static bool admit(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    pb_size_t body = m->frame_in.which_body;
    za_member_t *sender = za_member_find(m, uid);
    if (sender != NULL && !sender->voided) {
        if (!za_member_terminal(sender)) {
            sender->heard_ms = m->now_ms;
        } else if (body != za_MembershipFrame_claim_tag && body != za_MembershipFrame_down_tag) {
            za_member_tell_down(m, sender, out);
            return false;
        }
    }
    if (m->phase != ZA_PHASE_JOINING) {
        return true;
    }
    switch (body) {
    case za_MembershipFrame_digest_tag:
    case za_MembershipFrame_leave_tag:
        return false;
    case za_MembershipFrame_records_tag:
        return uid == m->join_target;
    default:
        return true;
    }
}

static void dispatch(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    switch (m->frame_in.which_body) {
    case za_MembershipFrame_join_tag:
        on_join(m, uid, out);
        break;
    case za_MembershipFrame_join_ack_tag:
        on_join_ack(m, uid, out);
        break;
    case za_MembershipFrame_digest_tag:
        za_member_on_digest(m, uid, out);
        break;
    case za_MembershipFrame_records_tag:
        za_member_on_records(m, uid, out);
        break;
    case za_MembershipFrame_claim_tag:
        on_claim(m, uid, out);
        break;
    case za_MembershipFrame_down_tag:
        on_down(m, uid);
        break;
    case za_MembershipFrame_leave_tag:
        on_leave(m, uid, out);
        break;
    case za_MembershipFrame_leave_ack_tag:
        on_leave_ack(m, uid);
        break;
    default:
        m->counters.frames_bad++;
        break;
    }
}

void za_member_on_frame(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out)
{
    if (event->uid == 0 || event->uid == za_membership_self_uid(m) || !decode(m, event)) {
        m->counters.frames_bad++;
        return;
    }
    if (admit(m, event->uid, out)) {
        dispatch(m, event->uid, out);
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
        m->join_target = 0;
        m->join_end_ms = ZA_MEMBER_NEVER;
        za_member_ask_to_join(m, out);
    }
    if (m->now_ms >= m->join_retry_ms) {
        seek(m, out);
    }
}
