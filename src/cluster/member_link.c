#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "cluster/membership_internal.h"

enum {
    LINKS_MIN = 3,            // above the full mesh: paths for gossip and indirect probes
    FIRST_RETRY_PART = 10,    // of a probe interval, before a seed that refused is tried again
    MESH_PACE = 4,            // links of the mesh that a member makes in a probe interval, at least
    EVIDENCE_JITTER_MS = 200, // spreads the reconnects of all who saw the same end
    IN_USE_MS = 30000,        // a link that carries messages is kept for so long after the last one
    RESTING_MS = 2500, // nothing since two looks of the driver: goes, where others need the room
    LINKS_SPARE = 8,   // room that is kept for links that come
    RING_MS = IN_USE_MS / 3, // so often the links of the ring are said to be in use
    APART_INTERVALS = 10,    // without a link to a member that others reach, until it is said ...
    APART_MEMBERS = 16,      // ... and as many again for each so many members
};

/* ---- the table of links -------------------------------------------------------------------- */

static uint32_t position(const za_membership_t *m, uint64_t uid)
{
    uint32_t low = 0;
    uint32_t high = m->link_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (m->links[middle].uid < uid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

za_member_link_t *za_member_link(const za_membership_t *m, uint64_t uid)
{
    uint32_t at = position(m, uid);
    return at < m->link_count && m->links[at].uid == uid ? &m->links[at] : NULL;
}

uint64_t za_member_linked_at(const za_membership_t *m, const char *address)
{
    for (uint32_t i = 0; i < m->link_count; i++) {
        if (strcmp(m->links[i].address, address) == 0) {
            return m->links[i].uid;
        }
    }
    return 0;
}

static za_member_link_t *add_link(za_membership_t *m, uint64_t uid)
{
    za_member_link_t *link = za_member_link(m, uid);
    if (link != NULL || m->link_count == ZA_PEERS_MAX) {
        return link;
    }
    uint32_t at = position(m, uid);
    memmove(&m->links[at + 1], &m->links[at], (m->link_count - at) * sizeof *m->links);
    m->link_count++;
    m->links[at] = (za_member_link_t){ .uid = uid };
    return &m->links[at];
}

/** Soon: a change seldom comes alone. */
static void look_at_ring(za_membership_t *m)
{
    m->ring_ms = za_ms_min(m->ring_ms, m->now_ms + m->timing.probe_interval_ms);
    m->look_ms = za_ms_min(m->look_ms, za_member_ring_deadline(m));
}

static bool remove_link(za_membership_t *m, uint64_t uid)
{
    uint32_t at = position(m, uid);
    if (at == m->link_count || m->links[at].uid != uid) {
        return false;
    }
    m->link_count--;
    memmove(&m->links[at], &m->links[at + 1], (m->link_count - at) * sizeof *m->links);
    look_at_ring(m);
    za_member_t *member = za_member_find(m, uid);
    if (member != NULL) {
        member->linked = false;
    }
    return true;
}

void za_member_close(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    if (!za_effects_have_room(out, 1, 0)) {
        m->more = true; // its next frame closes it
        return;
    }
    za_effects_add(out, ZA_EFFECT_CLOSE_LINK)->uid = uid;
    remove_link(m, uid);
    if (uid == m->join_target) {
        m->join_target = 0;
        m->join_end_ms = ZA_MEMBER_NEVER;
    }
}

static uint64_t used_ms(const za_member_link_t *link)
{
    return link->wanted_ms > link->up_ms ? link->wanted_ms : link->up_ms;
}

/**
 * Who talks to more members than it may have links gives back the one that has rested longest, in use or
 * not: else the next one would wait for IN_USE_MS, and what is sent to it would be given up before. Where
 * none rests, the table fills up, and whoever comes then is refused.
 */
static void make_room(za_membership_t *m, uint64_t comes, za_effects_t *out)
{
    const za_member_link_t *oldest = NULL;
    for (uint32_t i = 0; i < m->link_count; i++) {
        const za_member_link_t *link = &m->links[i];
        bool kept = link->uid == comes || link->uid == m->join_target ||
                    link->uid == m->probe.target || m->now_ms - used_ms(link) < RESTING_MS;
        if (!kept && (oldest == NULL || used_ms(link) < used_ms(oldest))) {
            oldest = link;
        }
    }
    if (oldest != NULL) {
        za_member_close(m, oldest->uid, out);
    }
}

/* ---- whom to link to ----------------------------------------------------------------------- */

static bool sparse(const za_membership_t *m)
{
    return m->live_count > ZA_MEMBER_MESH_MAX;
}

/** NULL: none is planned. */
static za_member_connect_t *planned(const za_membership_t *m, const za_member_t *member)
{
    uint16_t slot = (uint16_t)(member - m->members);
    uint32_t at = 0;
    while (at < m->connect_count && m->connects[at].member != slot) {
        at++;
    }
    return at < m->connect_count ? &m->connects[at] : NULL;
}

static void plan_connect(za_membership_t *m, const za_member_t *member,
                         const za_member_connect_t *plan)
{
    za_member_connect_t *connect = planned(m, member);
    if (connect == NULL) {
        if (m->connect_count == ZA_MEMBER_CONNECTS_MAX) {
            return; // it comes with the reconnects
        }
        connect = &m->connects[m->connect_count++];
        *connect = *plan;
        connect->member = (uint16_t)(member - m->members);
    }
    connect->since_ms = za_ms_min(connect->since_ms, plan->since_ms);
    connect->at_ms = za_ms_min(connect->at_ms, plan->at_ms);
    connect->wanted_ms = plan->wanted_ms != 0 ? plan->wanted_ms : connect->wanted_ms;
    m->connects_ms = za_ms_min(m->connects_ms, plan->at_ms);
}

static bool lately(const za_membership_t *m, uint64_t wanted_ms)
{
    return wanted_ms != 0 && m->now_ms - wanted_ms < IN_USE_MS;
}

bool za_member_link_in_use(const za_membership_t *m, uint64_t uid)
{
    const za_member_link_t *link = za_member_link(m, uid);
    return link != NULL && lately(m, link->wanted_ms);
}

void za_membership_want_link(za_membership_t *m, uint64_t uid)
{
    za_member_t *member = za_member_find(m, uid);
    if (member == NULL || !member->in_view || member == za_member_self(m) ||
        m->phase == ZA_PHASE_JOINING) {
        return;
    }
    za_member_link_t *link = za_member_link(m, uid);
    if (link != NULL) {
        link->wanted_ms = m->now_ms;
    } else if (sparse(m) || planned(m, member) == NULL) { // a mesh has it, or is most often at it
        const za_member_connect_t plan = { .at_ms = m->now_ms,
                                           .since_ms = m->now_ms,
                                           .wanted_ms = m->now_ms };
        plan_connect(m, member, &plan);
        m->rest_stale = true;
        m->deadline_ms = za_ms_min(m->deadline_ms, plan.at_ms); // not all calls are steps
    }
}

void za_member_want_link(za_membership_t *m, za_member_t *member)
{
    bool idle = m->phase == ZA_PHASE_JOINING || m->phase > ZA_PHASE_LEAVING;
    if (idle || !member->in_view || member->linked || member == za_member_self(m) ||
        (sparse(m) && m->link_count + m->connect_count >= LINKS_MIN)) {
        return; // with those that are planned there are enough
    }
    uint64_t at_ms = m->now_ms;
    if (za_membership_self_uid(m) > member->uid) {
        // The lower uid connects; we only do if it cannot. It may have many others to connect to first,
        // and two handshakes for one link are what a cluster that starts can least afford.
        uint64_t wait_ms = m->timing.probe_interval_ms;
        wait_ms += sparse(m) ? 0 : wait_ms * (m->live_count / MESH_PACE);
        at_ms += wait_ms + za_rng_below(&m->rng, wait_ms);
    }
    // Not apart before we have tried.
    plan_connect(m, member, &(za_member_connect_t){ .at_ms = at_ms, .since_ms = at_ms });
}

/* ---- the ring, above the full mesh --------------------------------------------------------- */

static uint64_t distance(const za_membership_t *m, uint64_t uid)
{
    return uid - za_membership_self_uid(m); // onwards, around the end
}

void za_member_ring_changed(za_membership_t *m, const za_member_t *member)
{
    if (distance(m, member->uid) <= m->ring_reach) { // ourselves included
        m->ring_stale = true;
        look_at_ring(m);
    }
}

static void find_ring(za_membership_t *m)
{
    memset(m->ring, 0, sizeof m->ring);
    for (uint16_t at = 0; at < m->live_size; at++) {
        uint64_t uid = m->members[m->live[at]].uid;
        for (uint32_t i = 0; i < ZA_MEMBER_RING; i++) {
            if (m->ring[i] == 0 || distance(m, uid) < distance(m, m->ring[i])) {
                uint64_t farther = m->ring[i];
                m->ring[i] = uid;
                uid = farther;
            }
            if (uid == 0) {
                break;
            }
        }
    }
    uint64_t last = m->ring[ZA_MEMBER_RING - 1];
    m->ring_reach = last != 0 ? distance(m, last) : UINT64_MAX;
    m->ring_stale = false;
}

/**
 * Who joins is linked to those that it joined by, which have many links, and to few others: a rumour that
 * goes to some links of each would pass it by. Therefore each is linked to the next ones in the ring of
 * uids, as in Chord: there is a way to everybody that leads over members with few links, and the next
 * ones of an echo are the next ones of all.
 */
static void tick_ring(za_membership_t *m)
{
    if (!sparse(m) || m->now_ms < m->ring_ms || m->phase != ZA_PHASE_UP) {
        return;
    }
    m->ring_ms = m->now_ms + RING_MS;
    if (m->ring_stale) {
        find_ring(m);
    }
    for (uint32_t i = 0; i < ZA_MEMBER_RING; i++) {
        const za_member_t *member = za_member_find(m, m->ring[i]);
        if (member == NULL) {
            continue;
        }
        if (!member->linked) {
            look_at_ring(m);
        }
        if (planned(m, member) == NULL) {
            za_membership_want_link(m, member->uid);
        }
    }
}

/**
 * Above the full mesh links are made on demand between those that know each other, and a digest of
 * thousands is 20 bytes of each: one's own record says what may be new, and equal views one hash. While
 * they change, gossip is at it.
 */
static void greet_one_of_many(za_membership_t *m, uint64_t uid, za_effects_t *out)
{
    za_member_send_record(m, uid, za_MembershipFrame_records_tag, za_member_self(m), out);
    if (m->now_ms >= m->changed_ms + 2 * (uint64_t)m->timing.probe_interval_ms) {
        za_member_send_view_hash(m, uid, out);
    }
}

void za_member_greet(za_membership_t *m, uint64_t uid, bool all, za_effects_t *out)
{
    za_member_t *member = za_member_find(m, uid);
    bool lower = za_membership_self_uid(m) < uid;
    if (member != NULL && member->in_alive && sparse(m)) {
        if (all || lower) {
            greet_one_of_many(m, uid, out);
        }
        return;
    }
    if (member == NULL || member->voided || !za_member_terminal(member)) {
        if (all || lower) {
            za_member_send_digest(m, uid, out);
        }
    } else if (member->terminal == (unsigned)za_MemberTerminal_MEMBER_TERMINAL_LEFT) {
        za_member_tell_down(m, member, out);
    } else if (all || lower) {
        za_member_claim(m, member, out);
    }
}

/* ---- links that are missing ---------------------------------------------------------------- */

/** A mesh of many that start at once takes a while: in 32 nodes on two busy cores five seconds. */
static uint64_t apart_ms(const za_membership_t *m)
{
    uint64_t meshes = sparse(m) ? 1 : 1 + m->live_count / APART_MEMBERS;
    return APART_INTERVALS * meshes * m->timing.probe_interval_ms;
}

/** Others reach it and we do not: a matter of the path between us, and no reason to suspect it. */
static void say_apart(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    bool alive = member->rank == (unsigned)za_MemberRank_MEMBER_RANK_ALIVE;
    if (member->apart || !alive || !za_membership_room(m, out, ZA_MEMBER_TOLD_BYTES_MAX)) {
        return; // the next attempt to connect says it
    }
    member->apart = true;
    m->counters.aparts++;
    za_membership_mark(m, out, ZA_MARK_APART);
    za_member_tell(m, member, ZA_EFFECT_APART, out)->id = 1;
}

void za_member_check_apart(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    bool unreachable = member->rank == (unsigned)za_MemberRank_MEMBER_RANK_UNREACHABLE;
    if (!member->apart || (member->in_view && !member->linked && !unreachable)) {
        return;
    }
    if (za_member_terminal(member)) {
        member->apart = false;
        return;
    }
    if (!za_membership_room(m, out, ZA_MEMBER_TOLD_BYTES_MAX)) {
        m->unannounced = true;
        return;
    }
    member->apart = false;
    za_member_tell(m, member, ZA_EFFECT_APART, out)->id = 0;
}

void za_member_link_lag(za_membership_t *m, uint64_t lag_ms)
{
    for (uint32_t i = 0; i < m->connect_count; i++) {
        m->connects[i].since_ms = za_ms_min(m->connects[i].since_ms + lag_ms, m->now_ms);
    }
}

/* ---- events -------------------------------------------------------------------------------- */

void za_member_link_up(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out)
{
    uint64_t uid = event->uid;
    bool refuse = uid == 0 || uid == za_membership_self_uid(m) || m->phase == ZA_PHASE_LEFT;
    if (!refuse && m->link_count >= ZA_PEERS_MAX - LINKS_SPARE) {
        make_room(m, uid, out);
    }
    za_member_link_t *link = refuse ? NULL : add_link(m, uid);
    if (link == NULL) {
        za_member_close(m, uid, out);
        return;
    }
    snprintf(link->name, sizeof link->name, "%s", event->name != NULL ? event->name : "");
    snprintf(link->address, sizeof link->address, "%s",
             event->address != NULL ? event->address : "");
    link->up_ms = m->now_ms;
    za_member_t *member = za_member_find(m, uid);
    if (member != NULL) {
        member->linked = true;
        if (!za_member_terminal(member)) {
            member->heard_ms = m->now_ms;
        }
        const za_member_connect_t *plan = planned(m, member);
        link->wanted_ms = plan != NULL ? plan->wanted_ms : 0;
        za_member_plan_connect(m, member, ZA_MEMBER_NEVER);
        za_member_check_apart(m, member, out);
        if (member->in_view) {
            za_member_replace_by_address(m, member, out); // it is there: no other can be
        }
    }
    if (m->phase == ZA_PHASE_JOINING) {
        za_member_seed_linked(m, link->address);
        za_member_ask_to_join(m, out);
    } else {
        za_member_greet(m, uid, false, out);
    }
    za_member_probe_linked(m, uid, out);
}

void za_member_link_down(za_membership_t *m, const za_cluster_event_t *event, za_effects_t *out)
{
    if (!remove_link(m, event->uid)) {
        return; // one that we closed
    }
    if (event->uid == m->join_target) {
        m->join_target = 0;
        m->join_end_ms = ZA_MEMBER_NEVER;
        za_member_ask_to_join(m, out);
    }
    za_member_t *member = za_member_find(m, event->uid);
    if (member == NULL || !member->in_view || m->phase == ZA_PHASE_JOINING) {
        return;
    }
    // FIN or RST without a goodbye: the process may be gone, and a new connection will tell.
    bool broken = event->err != ZA_OK;
    if (sparse(m) && !broken) {
        return;
    }
    if (broken && m->live_count <= ZA_MEMBER_URGENT_MAX) {
        m->probe.urgent = member->uid; // in the next round
    }
    uint64_t jitter = za_rng_below(&m->rng, EVIDENCE_JITTER_MS);
    uint64_t wait_ms = broken ? 0 : m->timing.probe_interval_ms;
    za_member_plan_connect(m, member, m->now_ms + wait_ms + jitter);
}

/**
 * A seed that refuses is a process that does not listen yet, if all are started at once: it is tried again
 * soon, and then ever later.
 */
static void retry_soon(za_membership_t *m)
{
    uint64_t wait_ms = (uint64_t)m->timing.probe_interval_ms << m->join_refusals;
    uint64_t at_ms = m->now_ms + wait_ms / FIRST_RETRY_PART;
    if (at_ms < m->join_retry_ms) { // it ends, because a round is two intervals long
        m->join_retry_ms = at_ms;
        m->join_refusals++;
    }
}

static void join_failed(za_membership_t *m, za_err_t err, const char *address, za_effects_t *out)
{
    za_member_seed_failed(m, address, err);
    za_member_anew_failed(m, address, err);
    if (err == ZA_EREFUSED) {
        retry_soon(m);
    }
    m->join_crowded |= err == ZA_ECLOSED; // it accepted, and greets as many as it may
    bool final = err == ZA_EAUTH || err == ZA_EVERSION || err == ZA_ECLUSTER;
    if (final && za_membership_room(m, out, 256)) {
        za_effect_t *effect = za_effects_add(out, ZA_EFFECT_REFUSED);
        effect->err = err;
        effect->name = za_effects_text(out, "%s: %s", address, za_err_text(err));
    }
}

void za_member_connect_failed(za_membership_t *m, const za_cluster_event_t *event,
                              za_effects_t *out)
{
    if (event->address == NULL) {
        return;
    }
    if (m->phase == ZA_PHASE_JOINING) {
        join_failed(m, event->err, event->address, out);
        return;
    }
    if (event->err != ZA_EREFUSED) {
        return;
    }
    for (uint16_t at = 0; at < m->live_size; at++) {
        za_member_t *member = &m->members[m->live[at]];
        // Where others reach it, a refusal says something of our path to it alone.
        if (!member->linked && !member->apart &&
            strcmp(za_member_address(m, member), event->address) == 0) {
            za_membership_mark(m, out, ZA_MARK_REFUSED_EVIDENCE);
            za_member_suspect(m, member, true, out);
        }
    }
}

/* ---- timers -------------------------------------------------------------------------------- */

void za_member_plan_connect(za_membership_t *m, const za_member_t *member, uint64_t at_ms)
{
    if (at_ms != ZA_MEMBER_NEVER) {
        plan_connect(m, member, &(za_member_connect_t){ .at_ms = at_ms, .since_ms = m->now_ms });
        return;
    }
    za_member_connect_t *connect = planned(m, member);
    if (connect != NULL) {
        *connect = m->connects[--m->connect_count];
    }
}

static void connect_member(za_membership_t *m, za_member_connect_t due, za_effects_t *out)
{
    za_member_t *member = &m->members[due.member];
    if (!member->in_view || member->linked) {
        return;
    }
    za_membership_mesh(m, out, member);
    uint64_t interval = m->timing.probe_interval_ms;
    uint64_t wait_ms = 2 * interval + za_rng_below(&m->rng, interval);
    if (member->rank == (unsigned)za_MemberRank_MEMBER_RANK_UNREACHABLE) {
        wait_ms = m->timing.reconnect_interval_ms;
        due.since_ms = m->now_ms;
    } else if (sparse(m) && m->link_count >= LINKS_MIN && !lately(m, due.wanted_ms)) {
        return;
    } else if (m->now_ms - due.since_ms >= apart_ms(m)) {
        say_apart(m, member, out);
    }
    due.at_ms = m->now_ms + wait_ms;
    plan_connect(m, member, &due);
}

static void tick_connects(za_membership_t *m, za_effects_t *out)
{
    if (m->now_ms < m->connects_ms) {
        return;
    }
    for (uint32_t i = 0; i < m->connect_count;) {
        za_member_connect_t due = m->connects[i];
        if (due.at_ms > m->now_ms) {
            i++;
            continue;
        }
        m->connects[i] = m->connects[--m->connect_count];
        // Appends it again, for later.
        connect_member(m, due, out);
    }
    m->connects_ms = ZA_MEMBER_NEVER;
    for (uint32_t i = 0; i < m->connect_count; i++) {
        m->connects_ms = za_ms_min(m->connects_ms, m->connects[i].at_ms);
    }
}

/** A member that is in view at `address`; NULL if there is none. */
static const za_member_t *member_at(const za_membership_t *m, const char *address, uint32_t hash)
{
    if (strcmp(address, m->address) == 0) {
        return &m->members[m->self];
    }
    for (uint16_t at = 0; at < m->live_size; at++) {
        const za_member_t *member = &m->members[m->live[at]];
        const za_member_text_t *text = za_member_text(m, member);
        if (text->address_hash == hash && strcmp(za_member_text_address(text), address) == 0) {
            return member;
        }
    }
    return NULL;
}

/** Whether to see if `member` is there again: the other half of a split that healed. */
static bool to_reconnect(const za_membership_t *m, const za_member_t *member)
{
    if (member->in_dead) {
        const za_member_text_t *text = za_member_text(m, member);
        return member_at(m, za_member_text_address(text), text->address_hash) == NULL;
    }
    return member->in_view && !member->linked &&
           member->rank == (unsigned)za_MemberRank_MEMBER_RANK_UNREACHABLE;
}

/**
 * Above the full mesh one more, if links were lost. In a mesh all that are missing: those who came while
 * there were too many for one have links to few.
 */
static void want_lost_links(za_membership_t *m)
{
    if (sparse(m)) {
        uint64_t at = za_rng_below(&m->rng, m->live_size);
        za_member_want_link(m, &m->members[m->live[at]]);
        return;
    }
    for (uint16_t at = 0; at < m->live_size; at++) {
        za_member_t *member = &m->members[m->live[at]];
        if (!member->linked && planned(m, member) == NULL) {
            za_member_want_link(m, member);
        }
    }
}

static void tick_reconnects(za_membership_t *m, za_effects_t *out)
{
    if (m->now_ms < m->reconnect_ms) {
        return;
    }
    uint64_t jitter = za_rng_below(&m->rng, m->timing.reconnect_interval_ms / 4 + 1);
    m->reconnect_ms = m->now_ms + m->timing.reconnect_interval_ms - jitter;
    za_member_purge(m);
    want_lost_links(m);
    if (m->dead_count + m->doubt_count == 0) {
        return;
    }
    uint32_t tried = 0;
    for (uint32_t i = 0; i < m->fresh && tried < ZA_MEMBER_RECONNECTS; i++) {
        const za_member_t *member = za_member_slot(m, m->reconnect_cursor++ % m->fresh);
        if (member != NULL && to_reconnect(m, member)) {
            za_membership_connect(m, out, za_member_address(m, member));
            tried++;
        }
    }
}

/** Whether the member last seen at that seed's address is still there, or another is. */
static bool seed_lives(const za_membership_t *m, za_member_seed_t *seed)
{
    const za_member_t *member = seed->member != 0 ? za_member_find(m, seed->member) : NULL;
    if (member == NULL || !member->in_view ||
        strcmp(za_member_address(m, member), seed->address) != 0) {
        uint32_t bytes = (uint32_t)strlen(seed->address);
        member = member_at(m, seed->address, za_member_text_hash(seed->address, bytes));
    }
    seed->member = member != NULL ? member->uid : 0;
    return member != NULL;
}

static void tick_seeds(za_membership_t *m, za_effects_t *out)
{
    if (m->now_ms < m->seed_ms) {
        return;
    }
    m->seed_ms = m->now_ms + m->timing.seed_interval_ms;
    for (uint32_t i = 0; i < m->seed_count; i++) {
        if (!seed_lives(m, &m->seeds[i])) {
            za_membership_connect(m, out, m->seeds[i].address);
        }
    }
}

void za_member_link_tick(za_membership_t *m, za_effects_t *out)
{
    tick_ring(m);
    tick_connects(m, out);
    tick_reconnects(m, out);
    tick_seeds(m, out);
}
