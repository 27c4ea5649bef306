#include "base/assert.h"
#include "base/fixed.h"
#include "cluster/membership_internal.h"

enum {
    MAX_OVER_MIN = 6,
    CONFIRMATIONS_MAX = 3,
};

static bool timer_before(const za_membership_t *m, uint16_t a, uint16_t b)
{
    uint64_t left = m->doubts[a].timer_ms;
    uint64_t right = m->doubts[b].timer_ms;
    return left < right || (left == right && a < b);
}

static void timer_put(za_membership_t *m, uint16_t doubt, uint32_t at)
{
    m->timers[at] = doubt;
    m->doubts[doubt].heap_at = (uint16_t)at;
}

/** Restores the heap around `at`, where `doubt` has a new time. */
static void timer_sift(za_membership_t *m, uint16_t doubt, uint32_t at)
{
    while (at > 0 && timer_before(m, doubt, m->timers[(at - 1) / 2])) {
        timer_put(m, m->timers[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    for (uint32_t child = 2 * at + 1; child < m->doubt_count; child = 2 * at + 1) {
        if (child + 1u < m->doubt_count &&
            timer_before(m, m->timers[child + 1], m->timers[child])) {
            child++;
        }
        if (!timer_before(m, m->timers[child], doubt)) {
            break;
        }
        timer_put(m, m->timers[child], at);
        at = child;
    }
    timer_put(m, doubt, at);
}

static void doubt_add(za_membership_t *m, za_member_t *member)
{
    uint16_t at = m->doubt_free;
    if (at != ZA_MEMBER_NONE) {
        m->doubt_free = m->doubts[at].member;
    } else {
        at = m->doubt_fresh++;
    }
    za_member_doubt_t *doubt = &m->doubts[at];
    doubt->member = za_member_index(m, member);
    doubt->rank_ms = m->now_ms;
    doubt->timer_ms = ZA_MEMBER_NEVER;
    doubt->suspecters.count = 0;
    doubt->refused.count = 0;
    member->doubt = at;
    timer_sift(m, at, m->doubt_count++);
}

void za_member_doubt_remove(za_membership_t *m, za_member_t *member)
{
    uint16_t at = member->doubt;
    uint16_t hole = m->doubts[at].heap_at;
    uint16_t last = m->timers[--m->doubt_count];
    if (last != at) {
        timer_sift(m, last, hole);
    }
    m->doubts[at].member = m->doubt_free;
    m->doubt_free = at;
    member->doubt = ZA_MEMBER_NONE;
}

void za_member_opinion(const za_membership_t *m, const za_member_t *member,
                       za_member_opinion_t *out)
{
    out->inc = za_member_rest(m, member)->inc;
    out->terminal = (uint8_t)member->terminal;
    out->rank = (uint8_t)member->rank;
    out->reason = (uint8_t)member->reason;
    out->leaving = member->leaving;
    const za_member_doubt_t *doubt = za_member_doubt(m, member);
    if (doubt != NULL) {
        out->suspecters = doubt->suspecters;
        out->refused = doubt->refused;
    } else {
        out->suspecters.count = 0;
        out->refused.count = 0;
    }
}

void za_member_set_opinion(za_membership_t *m, za_member_t *member,
                           const za_member_opinion_t *opinion)
{
    bool doubted = opinion->terminal == za_MemberTerminal_MEMBER_TERMINAL_NONE &&
                   opinion->rank != za_MemberRank_MEMBER_RANK_ALIVE;
    // A doubt about a later incarnation is a new one, even of the same rank: its owner refuted the one
    // before, which was only not heard of here. Of equal ones evidence is joined, and time goes on.
    za_member_rest_t *rest = za_member_rest(m, member);
    bool again = opinion->rank != member->rank || opinion->inc != rest->inc;
    rest->inc = opinion->inc;
    member->terminal = opinion->terminal & 3u;
    member->rank = opinion->rank & 3u;
    member->reason = opinion->reason & 7u;
    member->leaving = opinion->leaving;
    if (!doubted) {
        if (member->doubt != ZA_MEMBER_NONE) {
            za_member_doubt_remove(m, member);
        }
        return;
    }
    if (member->doubt == ZA_MEMBER_NONE) {
        doubt_add(m, member);
    }
    za_member_doubt_t *doubt = za_member_doubt(m, member);
    doubt->suspecters = opinion->suspecters;
    doubt->refused = opinion->refused;
    if (again) {
        doubt->rank_ms = m->now_ms;
    }
}

/* ---- suspicion ----------------------------------------------------------------------------- */

/** Whether enough members met a refusing address: a process that is gone, not a path. */
static bool refused_enough(const za_membership_t *m, const za_member_doubt_t *doubt)
{
    uint32_t needed = m->alive_count < 2 ? 1 : 2; // the suspect itself is not in alive_count
    return doubt->refused.count >= needed;
}

/** Lifeguard: long while one member alone suspects, shorter with each that agrees. */
static uint64_t suspicion_ms(const za_membership_t *m, const za_member_doubt_t *doubt)
{
    uint32_t log = za_log10_q16(m->live_count);
    uint64_t scale = log > ZA_FIXED_ONE ? log : ZA_FIXED_ONE;
    uint64_t min_ms =
        (m->timing.suspicion_mult * (uint64_t)m->timing.probe_interval_ms * scale) >> 16;
    uint32_t others = m->live_count > 2 ? m->live_count - 2u : 0;
    uint32_t k = others < CONFIRMATIONS_MAX ? others : CONFIRMATIONS_MAX;
    uint32_t have = doubt->suspecters.count;
    uint32_t confirmations = have > 0 ? have - 1 : 0;
    if (confirmations >= k || m->plain) {
        return min_ms;
    }
    uint64_t max_ms = min_ms * MAX_OVER_MIN;
    return max_ms - (max_ms - min_ms) * za_log2_q16(confirmations + 1) / za_log2_q16(k + 1);
}

void za_member_set_timer(za_membership_t *m, za_member_t *member)
{
    za_member_doubt_t *doubt = za_member_doubt(m, member);
    if (doubt == NULL) {
        return;
    }
    bool refused = refused_enough(m, doubt);
    uint64_t timer_ms = ZA_MEMBER_NEVER;
    if (member->rank == za_MemberRank_MEMBER_RANK_SUSPECT) {
        timer_ms = doubt->rank_ms + suspicion_ms(m, doubt);
        if (refused) { // evidence speeds a suspicion up, and is no verdict
            timer_ms = za_ms_min(timer_ms, doubt->rank_ms + m->timing.probe_interval_ms);
        }
    } else if (!za_member_downing_waits(m)) {
        timer_ms = doubt->rank_ms + (refused ? 0 : m->timing.auto_down_ms);
    }
    doubt->timer_ms = timer_ms;
    timer_sift(m, member->doubt, doubt->heap_at);
}

/* ---- our own opinion ----------------------------------------------------------------------- */

void za_member_suspect(za_membership_t *m, za_member_t *member, bool refused, za_effects_t *out)
{
    if (za_member_terminal(member) || member->voided || member == za_member_self(m)) {
        return;
    }
    za_member_news_t news = { .uid = member->uid, .brief = true };
    za_member_opinion(m, member, &news.opinion);
    news.profile.attributes = za_member_text(m, member)->attributes;
    if (news.opinion.rank == za_MemberRank_MEMBER_RANK_ALIVE) {
        news.opinion.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
        news.opinion.reason = za_MemberReason_MEMBER_REASON_TIMEOUT;
    }
    uint64_t self = za_membership_self_uid(m);
    za_member_add_evidence(&news.opinion.suspecters, self);
    if (refused) {
        za_member_add_evidence(&news.opinion.refused, self);
        news.opinion.reason = za_MemberReason_MEMBER_REASON_REFUSED;
    }
    za_member_learn(m, &news, out);
}

void za_member_down(za_membership_t *m, za_member_t *member, za_MemberReason reason,
                    za_effects_t *out)
{
    if (za_member_terminal(member)) {
        return;
    }
    m->rest_stale = true;
    za_member_opinion_t opinion = {
        .inc = za_member_rest(m, member)->inc,
        .terminal = za_MemberTerminal_MEMBER_TERMINAL_DOWN,
        .reason = (uint8_t)reason,
        .leaving = member->leaving,
    };
    za_member_set_opinion(m, member, &opinion);
    member->heard_ms = ZA_MEMBER_NEVER; // from now on: when it was told
    if (reason == za_MemberReason_MEMBER_REASON_REPLACED) {
        za_membership_mark(m, out, ZA_MARK_REPLACED);
    }
    za_member_changed(m, member, out);
}

static void fire_timer(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    bool refused = refused_enough(m, za_member_doubt(m, member)) && !za_member_downing_waits(m);
    if (member->rank == za_MemberRank_MEMBER_RANK_UNREACHABLE || refused) {
        za_member_down(m, member,
                       refused ? za_MemberReason_MEMBER_REASON_REFUSED
                               : za_MemberReason_MEMBER_REASON_TIMEOUT,
                       out);
        return;
    }
    za_member_opinion_t opinion;
    za_member_opinion(m, member, &opinion);
    opinion.rank = za_MemberRank_MEMBER_RANK_UNREACHABLE;
    za_member_set_opinion(m, member, &opinion);
    za_member_changed(m, member, out);
}

uint64_t za_member_rank_ms(const za_membership_t *m, const za_member_t *member)
{
    ZA_ASSERT(member->doubt != ZA_MEMBER_NONE);
    return m->doubts[member->doubt].rank_ms;
}

void za_member_timers(za_membership_t *m, za_effects_t *out)
{
    while (za_member_timers_deadline(m) <= m->now_ms && za_membership_room(m, out, 1024)) {
        fire_timer(m, &m->members[m->doubts[m->timers[0]].member], out);
    }
}

void za_member_table_lag(za_membership_t *m, uint64_t lag_ms)
{
    for (uint32_t i = 0; i < m->doubt_count; i++) { // all alike: the heap stays one
        za_member_doubt_t *doubt = &m->doubts[m->timers[i]];
        doubt->rank_ms += lag_ms;
        if (doubt->timer_ms != ZA_MEMBER_NEVER) {
            doubt->timer_ms += lag_ms;
        }
    }
}
