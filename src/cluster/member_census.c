// The census (consistency mode): who answers us while somebody is in doubt.
//
// What decides a split must say the same on both of its sides, and hearing somebody does not: where
// only one direction is cut, who hears all others and is heard by none would count itself among
// those who have it unreachable already. So nothing counts but an answer to a question of our own
// that was asked since the doubt began: the two-way check of routers (OSPF, RFC 2328 section 10.5;
// IS-IS, RFC 5303), and of a Raft leader that steps down without its followers' answers (Ongaro,
// 2014, section 6.2). An answer through a helper counts as well, for it shows that our words get
// there, if only by way of another: nobody is given up for the path between two.

#include "base/assert.h"
#include "cluster/membership_internal.h"

enum {
    PINGS = 64,          // per interval, or a quarter of the members
    PING_REQS = 32,      // per interval: helpers keep half of their relays for rounds of probes
    SILENT_QUESTIONS = 4 // without an answer
};

static_assert((int)PING_REQS <= (int)ZA_MEMBER_RELAYS_MAX / 2,
              "rounds of probes have their relays");

static uint64_t interval(const za_membership_t *m)
{
    return m->timing.probe_interval_ms;
}

static uint32_t questions_max(const za_membership_t *m)
{
    return m->live_count / 4 > PINGS ? m->live_count / 4 : PINGS;
}

/** Looks until each was asked once. */
static uint32_t turns(const za_membership_t *m)
{
    uint32_t most = questions_max(m);
    return m->live_count > most ? (m->live_count + most - 1) / most : 1;
}

uint64_t za_member_census_silent_ms(const za_membership_t *m)
{
    return SILENT_QUESTIONS * turns(m) * interval(m);
}

/* ---- answers ------------------------------------------------------------------------------- */

/** When it answered last, or when it was first asked. */
static uint64_t answered_ms(const za_membership_t *m, const za_member_t *member)
{
    uint64_t at_ms = m->census.answered_ms[za_member_index(m, member)];
    return at_ms > m->census.began_ms ? at_ms : m->census.began_ms;
}

bool za_member_census_answers(za_membership_t *m, const za_member_t *member)
{
    if (member == za_member_self(m)) {
        return true;
    }
    bool askable = member->linked || m->datagrams || m->live_count <= ZA_MEMBER_MESH_MAX;
    if (!askable && member->in_alive) {
        return true; // neither a datagram nor a link gets there: nothing can be said of it
    }
    return m->now_ms - answered_ms(m, member) < za_member_census_silent_ms(m);
}

bool za_member_census_since(const za_membership_t *m, const za_member_t *member, uint64_t since_ms)
{
    return m->census.answered_ms[za_member_index(m, member)] > since_ms;
}

void za_member_census_answered(za_membership_t *m, uint64_t uid, uint64_t seq)
{
    const za_member_census_t *census = &m->census;
    if (seq <= census->asked[0] || seq > m->next_seq) {
        return; // late, or never asked
    }
    const za_member_t *member = za_member_find(m, uid);
    if (member != NULL) {
        m->census.answered_ms[za_member_index(m, member)] = m->now_ms;
    }
}

void za_member_census_forget(za_membership_t *m, const za_member_t *member)
{
    if (m->census_on) {
        m->census.answered_ms[za_member_index(m, member)] = 0; // another will have its place
    }
}

/* ---- questions ----------------------------------------------------------------------------- */

void za_member_census_begin(za_membership_t *m)
{
    za_member_census_t *census = &m->census;
    m->census_on = true;
    census->began_ms = m->now_ms;
    census->looks = 0;
    census->asked[0] = census->asked[1] = m->next_seq;
    // Not everybody's first choice: all begin a census at a time.
    census->helper_cursor = (uint32_t)(za_membership_self_uid(m) % m->fresh);
}

void za_member_census_end(za_membership_t *m)
{
    m->census_on = false;
}

static bool counts(za_membership_t *m, const za_member_t *member)
{
    return member->in_view && member->stable && member != za_member_self(m);
}

/** Who counts is asked, and who is in doubt: a verdict waits for its answer. */
static bool is_asked(za_membership_t *m, const za_member_t *member)
{
    return counts(m, member) ||
           (member->in_view && !member->in_alive && member != za_member_self(m));
}

static bool answered_within(const za_membership_t *m, const za_member_t *member, uint64_t span_ms)
{
    return m->now_ms - answered_ms(m, member) < span_ms;
}

static void ask(za_membership_t *m, const za_member_t *whom, const za_member_t *target,
                bool over_link, za_effects_t *out)
{
    za_member_send_t question = {
        .uid = whom->uid,
        .member = whom,
        .kind = whom == target ? za_DatagramKind_DATAGRAM_KIND_PING
                               : za_DatagramKind_DATAGRAM_KIND_PING_REQ,
        .over_link = over_link,
        .seq = ++m->next_seq,
        .target = target->uid,
    };
    za_member_send(m, &question, out);
}

/** The next of those that answered the last question; NULL if there is none. */
static const za_member_t *next_helper(za_membership_t *m, const za_member_t *target)
{
    uint64_t lately_ms = turns(m) * interval(m) + interval(m) / 2;
    for (uint32_t i = 0; i < m->fresh; i++) {
        const za_member_t *helper = za_member_slot(m, m->census.helper_cursor++ % m->fresh);
        if (helper != NULL && helper != target && is_asked(m, helper) &&
            (helper->linked || m->datagrams) &&
            za_member_census_since(m, helper, m->census.began_ms) &&
            answered_within(m, helper, lately_ms)) {
            return helper;
        }
    }
    return NULL;
}

/** Who did not answer the last question is asked by all ways there are. */
static bool ask_again(za_membership_t *m, const za_member_t *member, za_effects_t *out)
{
    if (m->datagrams && member->linked && !member->udp_degraded) {
        ask(m, member, member, true, out);
    }
    const za_member_t *helper = next_helper(m, member);
    if (helper != NULL) {
        ask(m, helper, member, helper->udp_degraded && helper->linked, out);
    }
    return helper != NULL;
}

static void ask_silent(za_membership_t *m, za_effects_t *out)
{
    za_member_census_t *census = &m->census;
    uint32_t most = questions_max(m);
    uint32_t helped = 0;
    uint32_t asked = 0;
    for (uint32_t i = 0; i < m->fresh && asked < most; i++) {
        const za_member_t *member = za_member_slot(m, census->cursor++ % m->fresh);
        if (member == NULL || !is_asked(m, member)) {
            continue;
        }
        bool since = za_member_census_since(m, member, census->began_ms);
        if (!since || !answered_within(m, member, interval(m) / 2)) {
            ask(m, member, member, member->udp_degraded && member->linked, out);
            asked++;
        }
        uint64_t silent_ms = turns(m) * interval(m) + interval(m) / 2;
        if (helped < PING_REQS && !answered_within(m, member, silent_ms)) {
            helped += ask_again(m, member, out);
        }
        // The usual pace of reconnection is too slow for those who must be seen before a verdict.
        if (!member->linked && m->live_count <= ZA_MEMBER_MESH_MAX) {
            za_member_plan_connect(m, member, m->now_ms);
        }
    }
}

static void suspect_silent(za_membership_t *m, za_effects_t *out)
{
    for (uint32_t at = 0; at < m->fresh; at++) {
        za_member_t *member = za_member_slot(m, at);
        if (member != NULL && counts(m, member) && !member->cut &&
            !za_member_census_answers(m, member)) {
            za_member_suspect(m, member, false, out);
        }
    }
}

void za_member_census_look(za_membership_t *m, za_effects_t *out)
{
    za_member_census_t *census = &m->census;
    ZA_ASSERT(m->census_on);
    // A question may be answered for as long as it takes to ask four to eight others.
    if (++census->looks >= SILENT_QUESTIONS * turns(m)) {
        census->looks = 0;
        census->asked[0] = census->asked[1];
        census->asked[1] = m->next_seq;
    }
    suspect_silent(m, out);
    ask_silent(m, out);
}
