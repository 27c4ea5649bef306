#include <string.h>

#include "base/assert.h"
#include "base/fixed.h"
#include "cluster/membership_internal.h"

enum { NOT_SHOWN = 0xff, MAX_OVER_MIN = 6, CONFIRMATIONS_MAX = 3, EVIDENCE_JITTER_MS = 200 };

void za_member_table_init(za_membership_t *m)
{
    m->free_count = ZA_MEMBERS_MAX;
    for (uint32_t i = 0; i < ZA_MEMBERS_MAX; i++) {
        m->free[i] = (uint16_t)(ZA_MEMBERS_MAX - 1 - i);
    }
    m->timers_ms = ZA_MEMBER_NEVER;
    m->connects_ms = ZA_MEMBER_NEVER;
}

/* ---- the two orders ------------------------------------------------------------------------ */

static uint32_t position_by_uid(const za_membership_t *m, uint64_t uid)
{
    uint32_t low = 0;
    uint32_t high = m->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (m->members[m->by_uid[middle]].record.uid < uid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t position_by_name(const za_membership_t *m, const char *name, uint64_t uid)
{
    uint32_t low = 0;
    uint32_t high = m->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const za_MemberRecord *record = &m->members[m->by_name[middle]].record;
        int order = strcmp(record->name, name);
        if (order < 0 || (order == 0 && record->uid < uid)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint16_t za_member_index(const za_membership_t *m, uint64_t uid)
{
    uint32_t at = position_by_uid(m, uid);
    if (at < m->count && m->members[m->by_uid[at]].record.uid == uid) {
        return m->by_uid[at];
    }
    return ZA_MEMBER_NONE;
}

za_member_t *za_member_find(za_membership_t *m, uint64_t uid)
{
    uint16_t index = za_member_index(m, uid);
    return index == ZA_MEMBER_NONE ? NULL : &m->members[index];
}

static void open_gap(uint16_t *order, uint32_t count, uint32_t at, uint16_t index)
{
    memmove(&order[at + 1], &order[at], (count - at) * sizeof *order);
    order[at] = index;
}

static void close_gap(uint16_t *order, uint32_t count, uint32_t at)
{
    memmove(&order[at], &order[at + 1], (count - at - 1) * sizeof *order);
}

static void recount(za_membership_t *m, za_member_t *member)
{
    bool self = member == za_member_self(m);
    bool in_view =
        !member->voided && !za_member_terminal(member) && !(self && m->phase == ZA_PHASE_JOINING);
    bool in_alive = in_view && member->record.rank == za_MemberRank_MEMBER_RANK_ALIVE;
    uint64_t hash = in_view ? za_member_hash(&member->record) : 0;
    if (hash != member->hash) {
        m->changed_ms = m->now_ms;
    }
    // A sum does not depend on the order in which members were met.
    m->view_hash = m->view_hash - member->hash + hash;
    m->live_count = (uint16_t)(m->live_count - member->in_view + in_view);
    m->alive_count = (uint16_t)(m->alive_count - member->in_alive + in_alive);
    member->hash = hash;
    member->in_view = in_view;
    member->in_alive = in_alive;
}

static void remove_member(za_membership_t *m, uint16_t index)
{
    za_member_t *member = &m->members[index];
    za_member_gossip_remove(m, member);
    za_member_downing_forget(m, member);
    member->voided = true;
    recount(m, member);
    close_gap(m->by_name, m->count, position_by_name(m, member->record.name, member->record.uid));
    close_gap(m->by_uid, m->count, position_by_uid(m, member->record.uid));
    m->count--;
    m->free[m->free_count++] = index;
    memset(member, 0, sizeof *member);
}

/** The tombstone to give up first; ZA_MEMBER_NONE if there is none. */
static uint16_t oldest_tombstone(const za_membership_t *m, za_MemberTerminal terminal)
{
    uint16_t oldest = ZA_MEMBER_NONE;
    for (uint32_t i = 0; i < m->count; i++) {
        uint16_t index = m->by_uid[i];
        const za_member_t *member = &m->members[index];
        if (member->record.terminal == terminal && index != m->self &&
            (oldest == ZA_MEMBER_NONE || member->since_ms < m->members[oldest].since_ms)) {
            oldest = index;
        }
    }
    return oldest;
}

static bool make_room(za_membership_t *m)
{
    if (m->free_count > 0) {
        return true;
    }
    uint16_t index = oldest_tombstone(m, za_MemberTerminal_MEMBER_TERMINAL_LEFT);
    if (index == ZA_MEMBER_NONE) {
        index = oldest_tombstone(m, za_MemberTerminal_MEMBER_TERMINAL_DOWN);
    }
    if (index == ZA_MEMBER_NONE) {
        return false;
    }
    remove_member(m, index);
    return true;
}

za_member_t *za_member_insert(za_membership_t *m, const za_MemberRecord *record)
{
    if (!make_room(m)) {
        return NULL;
    }
    uint16_t index = m->free[--m->free_count];
    za_member_t *member = &m->members[index];
    memset(member, 0, sizeof *member);
    member->record = *record;
    member->shown = NOT_SHOWN;
    member->added_ms = m->now_ms;
    member->since_ms = m->now_ms;
    member->rank_ms = m->now_ms;
    member->heard_ms = ZA_MEMBER_NEVER;
    member->told_ms = ZA_MEMBER_NEVER;
    member->timer_ms = ZA_MEMBER_NEVER;
    member->connect_ms = ZA_MEMBER_NEVER;
    member->linked = za_member_link(m, record->uid) != NULL;
    open_gap(m->by_uid, m->count, position_by_uid(m, record->uid), index);
    open_gap(m->by_name, m->count, position_by_name(m, record->name, record->uid), index);
    m->count++;
    return member;
}

/* ---- suspicion ----------------------------------------------------------------------------- */

/** Whether enough members met a refusing address: a process that is gone, not a path. */
static bool refused_enough(const za_membership_t *m, const za_member_t *member)
{
    uint32_t needed = m->alive_count < 2 ? 1 : 2; // the suspect itself is not in alive_count
    return member->record.refused_count >= needed;
}

/** Lifeguard: long while one member alone suspects, shorter with each that agrees. */
static uint64_t suspicion_ms(const za_membership_t *m, const za_member_t *member)
{
    uint32_t log = za_log10_q16(m->live_count);
    uint64_t scale = log > ZA_FIXED_ONE ? log : ZA_FIXED_ONE;
    uint64_t min_ms =
        (m->timing.suspicion_mult * (uint64_t)m->timing.probe_interval_ms * scale) >> 16;
    uint32_t others = m->live_count > 2 ? m->live_count - 2u : 0;
    uint32_t k = others < CONFIRMATIONS_MAX ? others : CONFIRMATIONS_MAX;
    uint32_t have = member->record.suspecters_count;
    uint32_t confirmations = have > 0 ? have - 1 : 0;
    if (confirmations >= k) {
        return min_ms;
    }
    uint64_t max_ms = min_ms * MAX_OVER_MIN;
    return max_ms - (max_ms - min_ms) * za_log2_q16(confirmations + 1) / za_log2_q16(k + 1);
}

static void set_timer(za_membership_t *m, za_member_t *member)
{
    member->timer_ms = ZA_MEMBER_NEVER;
    if (za_member_terminal(member) || member->voided || member == za_member_self(m)) {
        return;
    }
    bool refused = refused_enough(m, member);
    switch (member->record.rank) {
    case za_MemberRank_MEMBER_RANK_ALIVE:
        return;
    case za_MemberRank_MEMBER_RANK_SUSPECT:
        member->timer_ms = member->rank_ms + suspicion_ms(m, member);
        if (refused) { // evidence speeds a suspicion up, and is no verdict
            uint64_t early_ms = member->rank_ms + m->timing.probe_interval_ms;
            member->timer_ms = za_ms_min(member->timer_ms, early_ms);
        }
        break;
    case za_MemberRank_MEMBER_RANK_UNREACHABLE:
        if (za_member_downing_waits(m)) {
            return;
        }
        member->timer_ms = member->rank_ms + (refused ? 0 : m->timing.auto_down_ms);
        break;
    }
    m->timers_ms = za_ms_min(m->timers_ms, member->timer_ms);
}

void za_member_set_connect(za_membership_t *m, za_member_t *member, uint64_t at_ms)
{
    member->connect_ms = at_ms;
    m->connects_ms = za_ms_min(m->connects_ms, at_ms);
}

/* ---- what the driver is told --------------------------------------------------------------- */

static void count_state(za_membership_t *m, za_member_state_t state, za_effects_t *out)
{
    switch (state) {
    case ZA_MEMBER_SUSPECT:
        m->counters.suspects++;
        za_membership_mark(m, out, ZA_MARK_SUSPECT);
        break;
    case ZA_MEMBER_DOWN:
        m->counters.downs++;
        za_membership_mark(m, out, ZA_MARK_DOWN);
        break;
    default:
        break;
    }
}

void za_member_announce(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    if (member->voided) {
        return;
    }
    bool joining = member == za_member_self(m) && m->phase == ZA_PHASE_JOINING;
    za_member_state_t state = joining ? ZA_MEMBER_JOINING : za_member_state(&member->record);
    if (member->shown == state) {
        return;
    }
    if (member->shown != NOT_SHOWN && member->shown >= ZA_MEMBER_LEFT && state >= ZA_MEMBER_LEFT) {
        member->shown = (uint8_t)state; // LEFT here, DOWN elsewhere: its end was told, once
        return;
    }
    if (!za_membership_room(m, out, 2 * (ZA_NODE_NAME_BYTES_MAX + ZA_ADDRESS_BYTES_MAX))) {
        m->unannounced = true;
        return;
    }
    member->shown = (uint8_t)state;
    member->since_ms = m->now_ms;
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_MEMBER);
    effect->uid = member->record.uid;
    effect->state = state;
    effect->name = za_effects_text(out, "%s", member->record.name);
    effect->address = za_effects_text(out, "%s", member->record.address);
    count_state(m, state, out);
}

void za_member_announce_all(za_membership_t *m, za_effects_t *out)
{
    m->unannounced = false;
    for (uint32_t i = 0; i < m->count; i++) {
        za_member_announce(m, &m->members[m->by_name[i]], out);
    }
}

void za_member_changed(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    recount(m, member);
    za_member_downing_note(m, member);
    set_timer(m, member);
    za_member_gossip_add(m, member);
    za_member_announce(m, member, out);
    if (za_member_terminal(member) && member != za_member_self(m)) {
        member->connect_ms = ZA_MEMBER_NEVER;
        if (member->linked) {
            za_member_tell_down(m, member, out);
        }
    }
}

/* ---- our own opinion ----------------------------------------------------------------------- */

static void add_own_evidence(za_membership_t *m, za_MemberRecord *record, bool refused)
{
    uint64_t uid = za_membership_self_uid(m);
    za_member_add_evidence(record->suspecters, &record->suspecters_count, uid);
    if (refused) {
        za_member_add_evidence(record->refused, &record->refused_count, uid);
        record->reason = za_MemberReason_MEMBER_REASON_REFUSED;
    }
}

void za_member_suspect(za_membership_t *m, za_member_t *member, bool refused, za_effects_t *out)
{
    if (za_member_terminal(member) || member->voided || member == za_member_self(m)) {
        return;
    }
    za_MemberRecord news = member->record;
    if (news.rank == za_MemberRank_MEMBER_RANK_ALIVE) {
        news.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
        news.reason = za_MemberReason_MEMBER_REASON_TIMEOUT;
        news.suspecters_count = 0;
        news.refused_count = 0;
    }
    add_own_evidence(m, &news, refused);
    za_member_learn(m, &news, out);
}

void za_member_down(za_membership_t *m, za_member_t *member, za_MemberReason reason,
                    za_effects_t *out)
{
    if (za_member_terminal(member)) {
        return;
    }
    member->record.terminal = za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    member->record.rank = za_MemberRank_MEMBER_RANK_ALIVE;
    member->record.reason = reason;
    member->record.suspecters_count = 0;
    member->record.refused_count = 0;
    if (reason == za_MemberReason_MEMBER_REASON_REPLACED) {
        za_membership_mark(m, out, ZA_MARK_REPLACED);
    }
    za_member_changed(m, member, out);
}

static void fire_timer(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    bool refused = refused_enough(m, member) && !za_member_downing_waits(m);
    if (member->record.rank == za_MemberRank_MEMBER_RANK_UNREACHABLE || refused) {
        za_member_down(m, member,
                       refused ? za_MemberReason_MEMBER_REASON_REFUSED
                               : za_MemberReason_MEMBER_REASON_TIMEOUT,
                       out);
        return;
    }
    member->record.rank = za_MemberRank_MEMBER_RANK_UNREACHABLE;
    member->rank_ms = m->now_ms;
    za_member_changed(m, member, out);
}

void za_member_timers(za_membership_t *m, za_effects_t *out)
{
    if (m->now_ms < m->timers_ms) {
        return;
    }
    m->timers_ms = ZA_MEMBER_NEVER;
    for (uint32_t i = 0; i < m->count; i++) {
        za_member_t *member = &m->members[m->by_uid[i]];
        if (member->timer_ms <= m->now_ms && za_membership_room(m, out, 1024)) {
            fire_timer(m, member, out);
        }
        m->timers_ms = za_ms_min(m->timers_ms, member->timer_ms);
    }
}

void za_member_table_lag(za_membership_t *m, uint64_t lag_ms)
{
    m->timers_ms = ZA_MEMBER_NEVER;
    for (uint32_t i = 0; i < m->count; i++) {
        za_member_t *member = &m->members[m->by_uid[i]];
        if (member->timer_ms != ZA_MEMBER_NEVER) {
            member->rank_ms += lag_ms;
            member->timer_ms += lag_ms;
            m->timers_ms = za_ms_min(m->timers_ms, member->timer_ms);
        }
    }
}

void za_member_purge(za_membership_t *m)
{
    for (uint32_t i = m->count; i-- > 0;) {
        uint16_t index = m->by_uid[i];
        const za_member_t *member = &m->members[index];
        if (za_member_terminal(member) && index != m->self &&
            m->now_ms - member->since_ms >= ZA_MEMBER_TOMBSTONE_MS) {
            remove_member(m, index);
        }
    }
}

void za_member_table_up(za_membership_t *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        za_member_t *member = &m->members[m->by_uid[i]];
        member->rank_ms = m->now_ms;
        set_timer(m, member);
    }
}

void za_member_table_reborn(za_membership_t *m, uint64_t uid)
{
    za_member_t *old = za_member_self(m);
    za_MemberRecord record = old->record;
    record.uid = uid;
    record.inc = 1;
    record.joined = m->clock;
    record.leaving = false;
    old->record.terminal = za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    old->record.rank = za_MemberRank_MEMBER_RANK_ALIVE;
    old->was_self = true;
    old->shown = ZA_MEMBER_DOWN; // ZA_EFFECT_REBORN says so
    old->since_ms = m->now_ms;
    for (uint32_t i = 0; i < m->count; i++) {
        za_member_t *member = &m->members[m->by_uid[i]];
        za_member_gossip_remove(m, member);
        member->linked = false;
        member->timer_ms = ZA_MEMBER_NEVER;
        member->connect_ms = ZA_MEMBER_NEVER;
        if (member->record.terminal == za_MemberTerminal_MEMBER_TERMINAL_DOWN &&
            !member->was_self) {
            member->voided = true;
        }
        if (za_member_downing_waits(m) && !za_member_terminal(member) &&
            member->record.rank != za_MemberRank_MEMBER_RANK_ALIVE) {
            member->voided = true; // the winning side knows better who can be reached
        }
        recount(m, member);
    }
    if (!make_room(m)) {
        remove_member(m, m->self);
    }
    za_member_t *self = za_member_insert(m, &record);
    m->self = (uint16_t)(self - m->members);
    recount(m, self);
}

/* ---- names --------------------------------------------------------------------------------- */

static bool joined_before(const za_member_t *a, const za_member_t *b)
{
    return a->record.joined < b->record.joined ||
           (a->record.joined == b->record.joined && a->record.uid < b->record.uid);
}

/** Two processes cannot have one name and one address: the earlier one is gone. */
static void replace_by_address(za_membership_t *m, za_member_t *member, za_effects_t *out)
{
    uint32_t at = position_by_name(m, member->record.name, 0);
    for (; at < m->count && !za_member_terminal(member); at++) {
        za_member_t *other = &m->members[m->by_name[at]];
        if (strcmp(other->record.name, member->record.name) != 0) {
            break;
        }
        if (other == member || !other->in_view ||
            strcmp(other->record.address, member->record.address) != 0) {
            continue;
        }
        bool member_is_gone = other == za_member_self(m) || joined_before(member, other);
        za_member_down(m, member_is_gone ? member : other, za_MemberReason_MEMBER_REASON_REPLACED,
                       out);
    }
}

za_member_t *za_member_holder(za_membership_t *m, const char *name, uint64_t not_uid)
{
    for (uint32_t at = position_by_name(m, name, 0); at < m->count; at++) {
        za_member_t *member = &m->members[m->by_name[at]];
        if (strcmp(member->record.name, name) != 0) {
            return NULL;
        }
        bool self = member == za_member_self(m); // not in view while it joins
        if (member->record.uid != not_uid && (member->in_view || self)) {
            return member;
        }
    }
    return NULL;
}

static void resolve_name(za_membership_t *m, za_member_t *a, za_member_t *b, za_effects_t *out)
{
    // Joins are checked against the acceptor's view alone; this is for names that met later.
    uint64_t settle_ms = 6 * (uint64_t)m->timing.probe_interval_ms;
    if (!a->in_alive || !b->in_alive || strcmp(a->record.name, b->record.name) != 0 ||
        m->now_ms - a->added_ms < settle_ms || m->now_ms - b->added_ms < settle_ms) {
        return;
    }
    za_member_t *later = joined_before(a, b) ? b : a;
    if (later == za_member_self(m)) {
        m->rebirth_due = true;
        m->rebirth_by = 0;
        return;
    }
    za_member_down(m, later, za_MemberReason_MEMBER_REASON_REPLACED, out);
}

void za_member_check_names(za_membership_t *m, za_effects_t *out)
{
    za_member_t *previous = NULL;
    for (uint32_t i = 0; i < m->count; i++) {
        za_member_t *member = &m->members[m->by_name[i]];
        if (!member->in_alive) {
            continue;
        }
        if (previous != NULL && previous->in_alive) {
            resolve_name(m, previous, member, out);
        }
        previous = member;
    }
}

/* ---- news ---------------------------------------------------------------------------------- */

static void learn_of_self(za_membership_t *m, const za_MemberRecord *news, za_effects_t *out)
{
    za_member_t *self = za_member_self(m);
    if (news->terminal != za_MemberTerminal_MEMBER_TERMINAL_NONE) {
        if (m->phase <= ZA_PHASE_UP) {
            m->rebirth_due = true;
            m->rebirth_by = 0;
        }
        return;
    }
    bool doubted = news->rank != za_MemberRank_MEMBER_RANK_ALIVE;
    if (m->phase == ZA_PHASE_JOINING || m->phase > ZA_PHASE_LEAVING ||
        news->inc < self->record.inc || (news->inc == self->record.inc && !doubted)) {
        return;
    }
    if (news->inc == ZA_MEMBER_LOGICAL_MAX) {
        m->rebirth_due = true; // a lie, and no incarnation is left to refute it
        m->rebirth_by = 0;
        return;
    }
    self->record.inc = news->inc + 1;
    m->counters.refutes++;
    za_membership_mark(m, out, ZA_MARK_REFUTE);
    za_member_health(m, 1);
    za_member_changed(m, self, out);
}

static void learn_of_new(za_membership_t *m, const za_MemberRecord *news, za_effects_t *out)
{
    za_member_t *member = za_member_insert(m, news);
    if (member == NULL) {
        return; // the table is full of live members
    }
    za_member_changed(m, member, out);
    replace_by_address(m, member, out);
    if (!za_member_terminal(member)) {
        za_member_want_link(m, member);
    }
}

/** Another's suspicion: see for ourselves, and soon, so that it is confirmed or refuted. */
static void follow_suspicion(za_membership_t *m, za_member_t *member)
{
    if (!member->linked && m->live_count <= ZA_MEMBER_MESH_MAX) {
        uint64_t jitter = za_rng_below(&m->rng, EVIDENCE_JITTER_MS);
        za_member_set_connect(m, member, za_ms_min(member->connect_ms, m->now_ms + jitter));
    }
    // In a large cluster enough others probe it by chance, and all at once would be a burst.
    if (m->live_count <= 32) {
        m->probe.urgent = member->record.uid;
    }
}

static void learn_change(za_membership_t *m, za_member_t *member, za_member_state_t before,
                         za_effects_t *out)
{
    bool died = member->record.terminal == za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    if (died && member->heard_ms != ZA_MEMBER_NEVER &&
        m->now_ms - member->heard_ms < 2 * (uint64_t)m->timing.probe_interval_ms) {
        m->counters.down_of_live++; // agreement beats our own opinion
    }
    za_member_state_t state = za_member_state(&member->record);
    if (state != before) {
        member->rank_ms = m->now_ms;
    }
    za_member_changed(m, member, out);
    if (state == ZA_MEMBER_SUSPECT) {
        follow_suspicion(m, member);
    }
    if ((state == ZA_MEMBER_UP || state == ZA_MEMBER_LEAVING) && !member->linked) {
        za_member_want_link(m, member);
    }
}

void za_member_learn(za_membership_t *m, const za_MemberRecord *news, za_effects_t *out)
{
    if (news->uid == za_membership_self_uid(m)) {
        learn_of_self(m, news, out);
        return;
    }
    m->clock = news->joined > m->clock ? news->joined : m->clock;
    za_member_t *member = za_member_find(m, news->uid);
    if (member == NULL) {
        learn_of_new(m, news, out);
        return;
    }
    if (strcmp(member->record.name, news->name) != 0) {
        m->counters.frames_bad++; // a uid has one name for life
        return;
    }
    za_member_state_t before = za_member_state(&member->record);
    if (member->voided) {
        member->voided = false;
        member->record = *news;
        learn_change(m, member, before, out);
        replace_by_address(m, member, out);
        return;
    }
    switch (za_member_merge(&member->record, news)) {
    case ZA_MERGE_OLD:
        break;
    case ZA_MERGE_MORE:
        if (!za_member_terminal(member)) {
            set_timer(m, member);
            za_member_gossip_add(m, member);
        }
        break;
    case ZA_MERGE_NEW:
        learn_change(m, member, before, out);
        break;
    }
}
