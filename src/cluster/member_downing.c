// Consistency mode (cluster/downing.h) inside membership: what the last stable view is, when to ask
// who goes on, and what to do then. Nothing here happens in availability mode.
//
// The rank of a member is an opinion that spreads at the pace of a suspicion, and a side of one or
// two members suspects slowly: nobody confirms. So whoever doubts a member asks all that count (the
// census, member_census.c). Who does not answer is suspected by each that asked, and a node that too
// few answer for it to win gives up in time, whatever its ranks say.

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "cluster/membership_internal.h"

enum {
    LEASE_INTERVALS = 4,   // for which a side that is lost asks for the lease
    WAIT_INTERVALS = 60,   // between words of who is missing
    FENCED_INTERVALS = 60, // for which a fenced node's word holds: it asks everyone in less
};

/* ---- what is read of a member -------------------------------------------------------------- */

/** The members one after the other, beginning with NULL; NULL at the end. */
static za_member_t *after(const za_membership_t *m, const za_member_t *member)
{
    for (uint32_t at = member == NULL ? 0 : (uint32_t)(member - m->members) + 1; at < m->fresh;
         at++) {
        if (za_member_slot(m, at) != NULL) {
            return &m->members[at];
        }
    }
    return NULL;
}

/** Whether `role` is empty or one of the member's. */
static bool has_role(const za_membership_t *m, const za_member_t *member, const char *role)
{
    size_t bytes = strlen(role);
    const char *at = za_member_text_roles(za_member_text(m, member));
    while (bytes > 0 && at != NULL) {
        size_t length = strcspn(at, ",");
        if (length == bytes && memcmp(at, role, bytes) == 0) {
            return true;
        }
        at = at[length] == ',' ? at + length + 1 : NULL;
    }
    return bytes == 0;
}

/* ---- the whole of it ----------------------------------------------------------------------- */

static bool enabled(const za_membership_t *m)
{
    return m->decides;
}

static uint64_t interval(const za_membership_t *m)
{
    return m->timing.probe_interval_ms;
}

static bool doubted(const za_membership_t *m)
{
    return m->live_count != m->alive_count;
}

static uint32_t stable_after_ms(const za_membership_t *m)
{
    return za_downing_stable_after_ms(&m->downing.config, m->downing.stable_count,
                                      m->timing.probe_interval_ms);
}

uint32_t za_member_downing_margin_ms(const za_membership_t *m)
{
    return enabled(m) ? za_downing_margin_ms(stable_after_ms(m)) : 0;
}

void za_member_downing_init(za_membership_t *m, const za_downing_config_t *config)
{
    za_member_downing_t *downing = &m->downing;
    downing->config = *config;
    m->decides = config->strategy != ZA_DOWNING_NONE;
    za_downing_describe(config, downing->text);
    downing->calm_ms = m->now_ms;
    downing->settle_ms = ZA_MEMBER_NEVER;
    downing->cut_ms = ZA_MEMBER_NEVER;
    downing->tick_ms = ZA_MEMBER_NEVER;
    downing->lost_ms = ZA_MEMBER_NEVER;
    downing->verdict_ms = m->now_ms;
}

/* ---- the last stable view ------------------------------------------------------------------ */

static void set_stable(za_membership_t *m, za_member_t *member, bool stable)
{
    if (member->stable != stable) {
        member->stable = stable;
        m->downing.stable_count += stable ? 1u : UINT32_MAX;
        m->downing.changed_ms = m->now_ms;
    }
}

static void set_cut(za_membership_t *m, za_member_t *member, bool cut)
{
    za_member_downing_t *downing = &m->downing;
    if (member->cut == cut) {
        return;
    }
    member->cut = cut;
    downing->changed_ms = m->now_ms;
    if (cut && downing->cut_count++ == 0) {
        downing->cut_ms = m->now_ms;
    } else if (!cut && --downing->cut_count == 0) {
        downing->cut_ms = ZA_MEMBER_NEVER;
        // What decided this split decides no other, also if another of our side was first to act on it.
        downing->won = downing->holder != 0 ? downing->revision : downing->won;
        downing->lease = ZA_LEASE_FREE; // the next split is another question
        downing->holder = 0;
        downing->first = 0;
    }
}

void za_member_downing_forget(za_membership_t *m, za_member_t *member)
{
    set_stable(m, member, false);
    set_cut(m, member, false);
    za_member_census_forget(m, member);
}

void za_member_downing_note(za_membership_t *m, za_member_t *member)
{
    if (!enabled(m) || m->phase == ZA_PHASE_JOINING) {
        return;
    }
    set_cut(m, member,
            member->in_view && member->rank == (unsigned)za_MemberRank_MEMBER_RANK_UNREACHABLE);
    if (!member->in_view) {
        set_stable(m, member, false);
    } else if (!member->stable) {
        m->downing.settle_ms = za_ms_min(m->downing.settle_ms, m->now_ms + stable_after_ms(m));
    }
}

void za_member_downing_up(za_membership_t *m, bool founder, za_effects_t *out)
{
    if (!enabled(m)) {
        return;
    }
    za_member_downing_t *downing = &m->downing;
    downing->fenced = false;
    downing->was = 0;
    downing->fence_hash = 0;
    for (za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        member->fenced = ZA_FENCED_NOT;
        if (member->voided && !za_member_terminal(member)) {
            member->voided = false; // out of reach, and those who went on know nothing of it
            za_member_down(m, member, za_MemberReason_MEMBER_REASON_STRATEGY, out);
        }
        // Whom the accepting node knows counts; the newcomer itself does when others count it.
        set_stable(m, member, member->in_view && (founder || member != za_member_self(m)));
        za_member_downing_note(m, member);
    }
}

/** Counts those who have been here for long enough while nobody was doubted. */
static void settle(za_membership_t *m)
{
    za_member_downing_t *downing = &m->downing;
    uint32_t wait_ms = stable_after_ms(m);
    downing->settle_ms = ZA_MEMBER_NEVER;
    for (za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        if (!member->in_view || member->stable || member->leaving) {
            continue;
        }
        // Longer than a suspicion takes: what one side learned just before a split does not count.
        uint64_t since_ms = za_member_rest(m, member)->since_ms;
        since_ms = since_ms > downing->calm_ms ? since_ms : downing->calm_ms;
        if (since_ms + wait_ms <= m->now_ms) {
            set_stable(m, member, true);
        } else {
            downing->settle_ms = za_ms_min(downing->settle_ms, since_ms + wait_ms);
        }
    }
}

/* ---- counting ------------------------------------------------------------------------------ */

typedef bool (*reached_t)(za_membership_t *m, const za_member_t *member);

static bool ranked_reachable(za_membership_t *m, const za_member_t *member)
{
    (void)m;
    return !member->cut;
}

/** Whether that process said lately that it is no member: it gave up, or it was started anew. */
static bool is_fenced(za_membership_t *m, const za_member_t *member)
{
    bool ours = strcmp(za_member_name(m, member), m->name) == 0 &&
                strcmp(za_member_address(m, member), m->address) == 0; // whatever uid we had
    return ours || member->uid == m->downing.was ||
           (member->fenced != ZA_FENCED_NOT &&
            m->now_ms - member->heard_ms < FENCED_INTERVALS * interval(m));
}

static za_downing_tally_t tally(za_membership_t *m, reached_t reached)
{
    za_downing_tally_t tally = { 0 };
    for (za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        if (!member->in_view && !member->stable) {
            continue;
        }
        za_downing_member_t counted = {
            .uid = member->uid,
            .joined = za_member_text(m, member)->joined,
            .stable = member->stable,
            .eligible = has_role(m, member, m->downing.config.role),
            .reachable = reached(m, member),
        };
        za_downing_count(&tally, &counted);
    }
    return tally;
}

/** Equal on two nodes if the same members counted. */
static uint64_t stable_hash(za_membership_t *m)
{
    uint64_t hash = 0;
    for (const za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        hash += member->stable ? za_mix64(member->uid) : 0;
    }
    return hash;
}

/** Whether a suspect has not answered yet: it may turn out to be on another side. */
static bool has_open(za_membership_t *m)
{
    for (const za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        if (!member->in_view || member->in_alive || member->cut) {
            continue;
        }
        if (!za_member_census_since(m, member, za_member_rank_ms(m, member))) {
            return true;
        }
    }
    return false;
}

/** Since when too few answer for this node to win; NEVER if enough do. */
static uint64_t lost_since_ms(za_membership_t *m)
{
    za_member_downing_t *downing = &m->downing;
    za_downing_tally_t heard = tally(m, za_member_census_answers);
    za_downing_config_t config = downing->config;
    if (config.strategy == ZA_DOWNING_LEASE || config.strategy == ZA_DOWNING_DOWN_ALL) {
        config.strategy = ZA_DOWNING_KEEP_MAJORITY; // a minority is where nobody confirms
    }
    // While a cluster forms, a quorum is missing to all of it: that is nobody's silence.
    za_downing_tally_t all = heard;
    all.here = all.counted;
    all.lowest_here = all.oldest_here = true;
    bool forming =
        config.strategy == ZA_DOWNING_STATIC_QUORUM && !za_downing_side_wins(&config, &all);
    if (za_downing_side_wins(&config, &heard) || forming) {
        downing->lost_ms = ZA_MEMBER_NEVER;
    } else if (downing->lost_ms == ZA_MEMBER_NEVER) {
        downing->lost_ms = m->now_ms - za_member_census_silent_ms(m); // it began before it showed
    }
    return downing->lost_ms;
}

/* ---- verdicts ------------------------------------------------------------------------------ */

/** Whose the lease is: a holder that does not answer is on another side. */
static za_lease_state_t lease_now(za_membership_t *m)
{
    const za_member_downing_t *downing = &m->downing;
    if (downing->holder == 0) {
        return downing->lease;
    }
    const za_member_t *holder = za_member_find(m, downing->holder);
    bool ours =
        holder != NULL && holder->in_view && !holder->cut && za_member_census_answers(m, holder);
    return ours ? ZA_LEASE_OURS : ZA_LEASE_THEIRS;
}

/** Asks the provider; with a time to live of 0 only whose the lease is. */
static void ask_provider(za_membership_t *m, uint32_t ttl_ms, za_effects_t *out)
{
    if (!za_membership_room(m, out, 0)) {
        return;
    }
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_LEASE);
    effect->uid = za_membership_self_uid(m);
    effect->id = ttl_ms;
    effect->tag = m->downing.won;
    if (ttl_ms != 0) {
        m->downing.lease = ZA_LEASE_ASKED;
    }
}

void za_member_downing_lease(za_membership_t *m, const za_cluster_event_t *event)
{
    za_member_downing_t *downing = &m->downing;
    bool split = downing->cut_count > 0 || downing->lost_ms != ZA_MEMBER_NEVER;
    if (!split || m->phase != ZA_PHASE_UP || downing->holder != 0) {
        return; // late
    }
    if (downing->lease == ZA_LEASE_ASKED) {
        downing->lease = ZA_LEASE_FREE; // asked again at the next look, until the time is over
    }
    if (event->err != ZA_OK) {
        return;
    }
    if (downing->first == 0) {
        downing->first = event->uid != 0 ? event->tag : UINT64_MAX;
    }
    if (event->uid == 0) {
        return;
    }
    downing->holder = event->uid;
    // One that our side has since before this split says nothing, not even to who has it: it is taken
    // again, and the store gives it to one side alone.
    bool old = event->tag == downing->won ||
               (event->tag == downing->first && lease_now(m) == ZA_LEASE_OURS);
    if (old) {
        downing->won = event->tag;
        downing->holder = 0;
        return;
    }
    downing->revision = event->tag;
    downing->tick_ms = za_ms_min(downing->tick_ms, m->now_ms);
}

static void down_others(za_membership_t *m, za_effects_t *out)
{
    m->counters.downing_kept++;
    za_membership_mark(m, out, ZA_MARK_DOWNING_KEPT);
    for (za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        if (member->cut && za_membership_room(m, out, 1024)) {
            za_member_down(m, member, za_MemberReason_MEMBER_REASON_STRATEGY, out);
        }
    }
}

static void down_self(za_membership_t *m, za_mark_t mark, za_effects_t *out)
{
    za_member_downing_t *downing = &m->downing;
    downing->verdict = ZA_DOWNING_DOWN_SELF;
    downing->verdict_ms = m->now_ms;
    m->counters.downing_self++;
    za_membership_mark(m, out, mark);
    m->rebirth_due = true;
    m->rebirth_by = 0;
}

/**
 * The lease, in a split: whose it is is looked up at each look, so that a side which does not have it
 * stops soon. True: the verdict of this look is made.
 */
static bool look_at_lease(za_membership_t *m, uint64_t since_ms, za_effects_t *out)
{
    za_member_downing_t *downing = &m->downing;
    downing->lease = lease_now(m);
    if (downing->lease == ZA_LEASE_THEIRS) {
        down_self(m, ZA_MARK_DOWNING_FENCED, out);
        return true;
    }
    if (since_ms == ZA_MEMBER_NEVER || downing->lease == ZA_LEASE_OURS) {
        bool free = downing->cut_count > 0 && downing->lease == ZA_LEASE_FREE;
        if (free) {
            ask_provider(m, 0, out);
        }
        return false;
    }
    uint64_t limit_ms = stable_after_ms(m) + za_downing_margin_ms(stable_after_ms(m));
    uint64_t lost_ms = m->now_ms - since_ms;
    if (lost_ms >= limit_ms + LEASE_INTERVALS * interval(m)) {
        down_self(m, ZA_MARK_DOWNING_FENCED, out);
        return true;
    }
    if (downing->lease == ZA_LEASE_FREE) {
        ask_provider(m, lost_ms >= limit_ms ? ZA_DOWNING_LEASE_TTL_MS : 0, out);
    }
    return lost_ms >= limit_ms;
}

/** Gives up if a winning side has been out of reach for too long. True: so it is. */
static bool give_up(za_membership_t *m, za_effects_t *out)
{
    uint64_t since_ms = lost_since_ms(m);
    if (m->downing.config.strategy == ZA_DOWNING_LEASE) {
        return look_at_lease(m, since_ms, out);
    }
    if (since_ms == ZA_MEMBER_NEVER || m->now_ms - since_ms < stable_after_ms(m)) {
        return false;
    }
    down_self(m, ZA_MARK_DOWNING_FENCED, out);
    return true;
}

/** What the verdict was made of, for those who compare it with others'. */
static void note_decision(za_membership_t *m)
{
    za_member_downing_t *downing = &m->downing;
    downing->decided_ms = m->now_ms;
    downing->decided_as = za_membership_self_uid(m);
    downing->decided_view = stable_hash(m);
    downing->decided_here = 0;
    for (const za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        downing->decided_here += member->in_view && !member->cut ? za_mix64(member->uid) : 0;
    }
}

static void decide(za_membership_t *m, za_effects_t *out)
{
    za_member_downing_t *downing = &m->downing;
    za_downing_view_t view = {
        .tally = tally(m, ranked_reachable),
        .cut_ms = downing->cut_ms,
        .changed_ms = downing->changed_ms,
        .stable_after_ms = stable_after_ms(m),
        .probe_interval_ms = m->timing.probe_interval_ms,
        .self_stable = za_member_self(m)->stable,
        .open = has_open(m),
        .lease = downing->lease,
    };
    za_downing_verdict_t verdict = za_downing_decide(&downing->config, &view, m->now_ms);
    if (verdict != downing->verdict) {
        downing->verdict = verdict;
        downing->verdict_ms = m->now_ms;
    }
    bool of_view = m->now_ms >= view.changed_ms + view.stable_after_ms && view.self_stable &&
                   !view.open; // not merely given up
    if (of_view && (verdict == ZA_DOWNING_DOWN_OTHERS || verdict == ZA_DOWNING_DOWN_SELF)) {
        note_decision(m);
    }
    switch (verdict) {
    case ZA_DOWNING_KEEP:
    case ZA_DOWNING_WAIT:
        break;
    case ZA_DOWNING_ASK:
        ask_provider(m, ZA_DOWNING_LEASE_TTL_MS, out);
        break;
    case ZA_DOWNING_DOWN_OTHERS:
        down_others(m, out);
        break;
    case ZA_DOWNING_DOWN_SELF:
        down_self(m, ZA_MARK_DOWNING_SELF, out);
        break;
    }
}

/* ---- when ---------------------------------------------------------------------------------- */

void za_member_downing_follow(za_membership_t *m)
{
    za_member_downing_t *downing = &m->downing;
    if (!enabled(m) || m->phase != ZA_PHASE_UP) {
        return;
    }
    if (doubted(m) && downing->tick_ms == ZA_MEMBER_NEVER) {
        downing->calm_ms = ZA_MEMBER_NEVER;
        za_member_census_begin(m);
        downing->lost_ms = ZA_MEMBER_NEVER;
        downing->tick_ms = m->now_ms;
    } else if (!doubted(m) && downing->calm_ms == ZA_MEMBER_NEVER) {
        za_member_census_end(m);
        downing->calm_ms = m->now_ms;
        downing->lost_ms = ZA_MEMBER_NEVER;
        downing->tick_ms = ZA_MEMBER_NEVER;
        downing->settle_ms = m->now_ms + stable_after_ms(m);
        if (downing->verdict == ZA_DOWNING_WAIT || downing->verdict == ZA_DOWNING_ASK) {
            downing->verdict = ZA_DOWNING_KEEP;
            downing->verdict_ms = m->now_ms;
        }
    }
}

void za_member_downing_tick(za_membership_t *m, za_effects_t *out)
{
    za_member_downing_t *downing = &m->downing;
    if (!enabled(m) || m->phase != ZA_PHASE_UP) {
        return;
    }
    if (!doubted(m)) {
        if (m->now_ms >= downing->settle_ms) {
            settle(m);
        }
        return;
    }
    if (m->now_ms < downing->tick_ms) {
        return;
    }
    downing->tick_ms = m->now_ms + interval(m);
    za_member_census_look(m, out);
    if (!give_up(m, out)) {
        decide(m, out);
    }
}

uint64_t za_member_downing_deadline(const za_membership_t *m)
{
    if (!enabled(m) || m->phase != ZA_PHASE_UP) {
        return ZA_MEMBER_NEVER;
    }
    return doubted(m) ? m->downing.tick_ms : m->downing.settle_ms;
}

void za_member_downing_lag(za_membership_t *m)
{
    // What was seen before the stall is no view to decide on; how long we were cut off still counts.
    if (m->downing.tick_ms != ZA_MEMBER_NEVER) {
        m->downing.tick_ms = m->now_ms + interval(m) / 2;
        m->downing.changed_ms = m->now_ms;
    }
}

/* ---- joins --------------------------------------------------------------------------------- */

/** Whether it is no member, and takes part if we begin anew with those of our last stable view. */
static bool is_alike(za_membership_t *m, const za_member_t *member)
{
    // Sides of different views could both find enough of theirs.
    return is_fenced(m, member) && member->fenced != ZA_FENCED_GAVE_UP;
}

/** Whether those who are no members any more could go on if they were one side of a split. */
static bool enough_gave_up(za_membership_t *m)
{
    za_downing_config_t config = m->downing.config;
    if (config.strategy == ZA_DOWNING_LEASE) {
        return false; // any side may have gone on, however small
    }
    if (config.strategy == ZA_DOWNING_DOWN_ALL) {
        config.strategy = ZA_DOWNING_KEEP_MAJORITY; // nobody went on
    }
    za_downing_tally_t together = tally(m, is_alike);
    return za_downing_side_wins(&config, &together);
}

/** Whether all that we ever knew of are here, and no members: then there is no other side. */
static bool all_gave_up(za_membership_t *m)
{
    for (const za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        bool lived = !za_member_terminal(member) && member != za_member_self(m);
        if ((lived || member->stable) && !is_fenced(m, member)) {
            return false;
        }
    }
    return true;
}

/** Of those who gave up and know of each other the one with the lowest name begins. */
static bool may_begin(za_membership_t *m)
{
    for (const za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        bool rival = is_fenced(m, member) && member->fenced >= ZA_FENCED_GAVE_UP;
        if (rival && strcmp(za_member_name(m, member), m->name) < 0) {
            return false;
        }
    }
    return enough_gave_up(m) || all_gave_up(m);
}

static bool same_text(const char *a, uint32_t a_bytes, const char *b, uint32_t b_bytes)
{
    return a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0;
}

/** A joiner speaks: whatever process had its name at its address is no member any more. */
static void note_joiner(za_membership_t *m, const za_member_joiner_t *join)
{
    bool alike = join->stable == m->downing.fence_hash;
    za_fenced_t fenced = join->was == 0 ? ZA_FENCED_STARTED
                         : alike        ? ZA_FENCED_ALIKE
                                        : ZA_FENCED_GAVE_UP;
    for (za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        za_member_profile_t own = za_member_profile(za_member_text(m, member));
        const za_member_profile_t *joiner = &join->me.profile;
        bool same =
            same_text(own.name, own.name_bytes, joiner->name, joiner->name_bytes) &&
            same_text(own.address, own.address_bytes, joiner->address, joiner->address_bytes);
        if (member != za_member_self(m) && (same || member->uid == join->was)) {
            member->fenced = (unsigned)fenced & 3u;
            member->heard_ms = m->now_ms; // its old uid says nothing else any more
        }
    }
}

/** Begins a new cluster of those who gave up; whoever has not is down from now on. */
static void begin_anew(za_membership_t *m, za_effects_t *out)
{
    za_membership_mark(m, out, ZA_MARK_DOWNING_ANEW);
    za_member_found(m, out);
    for (za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        if (member != za_member_self(m)) {
            za_member_down(m, member, za_MemberReason_MEMBER_REASON_STRATEGY, out);
        }
    }
}

static bool quorum_is_full(const za_membership_t *m, const za_member_t *holder)
{
    const za_downing_config_t *config = &m->downing.config;
    uint32_t others = m->live_count - (holder != NULL);
    return config->strategy == ZA_DOWNING_STATIC_QUORUM && others >= 2 * config->quorum - 1;
}

za_JoinCode za_member_downing_admit(za_membership_t *m, const za_member_joiner_t *join,
                                    const za_member_t *holder, za_effects_t *out)
{
    za_member_downing_t *downing = &m->downing;
    const char *text = join->downing[0] != '\0' ? join->downing : "none";
    if (strcmp(text, downing->text) != 0) {
        return za_JoinCode_JOIN_CODE_INCOMPATIBLE;
    }
    if (!enabled(m)) {
        return za_JoinCode_JOIN_CODE_OK;
    }
    if (m->phase == ZA_PHASE_JOINING && downing->fenced) {
        note_joiner(m, join);
        if (!may_begin(m)) {
            return za_JoinCode_JOIN_CODE_WAIT;
        }
        begin_anew(m, out);
    }
    // One that gave up comes back to those who went on, not to one that will give up a moment later.
    if (m->phase != ZA_PHASE_JOINING && join->was != 0 && doubted(m)) {
        return za_JoinCode_JOIN_CODE_WAIT;
    }
    // Two that wait to join must not make a cluster of their own: one may be the other half of a split.
    if (m->phase == ZA_PHASE_JOINING && !m->may_found) {
        return za_JoinCode_JOIN_CODE_WAIT;
    }
    return quorum_is_full(m, holder) ? za_JoinCode_JOIN_CODE_FULL : za_JoinCode_JOIN_CODE_OK;
}

bool za_member_downing_waits(const za_membership_t *m)
{
    return enabled(m);
}

bool za_member_downing_may_found(const za_membership_t *m)
{
    return m->may_found && !(enabled(m) && m->downing.fenced);
}

/* ---- rebirth ------------------------------------------------------------------------------- */

void za_member_downing_reborn(za_membership_t *m, uint64_t was)
{
    za_member_downing_t *downing = &m->downing;
    if (!enabled(m)) {
        return;
    }
    // Those who counted are remembered: enough of them together may begin anew.
    if (!downing->fenced) {
        downing->was = was;
        downing->fence_hash = stable_hash(m);
    }
    za_member_census_end(m);
    downing->fenced = true;
    downing->wait_ms = m->now_ms + WAIT_INTERVALS * interval(m);
    za_member_anew_start(m);
    downing->cut_count = 0;
    downing->cut_ms = ZA_MEMBER_NEVER;
    downing->lost_ms = ZA_MEMBER_NEVER;
    downing->calm_ms = ZA_MEMBER_NEVER;
    downing->tick_ms = ZA_MEMBER_NEVER;
    downing->settle_ms = ZA_MEMBER_NEVER;
    downing->lease = ZA_LEASE_FREE;
    downing->holder = 0;
    downing->first = 0;
    for (za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        member->cut = false;
        member->fenced = ZA_FENCED_NOT;
    }
}

// Time proves nothing: a member that is silent may go on behind a split, however long. Only that
// process, its successor at its address, or a side that went on can end the waiting; or an operator,
// who knows what is gone.
void za_member_downing_wait(za_membership_t *m, za_effects_t *out)
{
    za_member_downing_t *downing = &m->downing;
    if (!enabled(m) || !downing->fenced || m->now_ms < downing->wait_ms) {
        return;
    }
    downing->wait_ms = m->now_ms + WAIT_INTERVALS * interval(m);
    za_member_anew_start(m); // who could not be reached may be back
    const za_member_t *missing = NULL;
    uint32_t count = 0;
    for (const za_member_t *member = after(m, NULL); member != NULL; member = after(m, member)) {
        if (member->stable && !is_fenced(m, member)) {
            missing = missing == NULL ? member : missing;
            count++;
        }
    }
    if (missing == NULL) {
        return; // they are about to begin anew
    }
    za_membership_log(m, out, ZA_WARN,
                      "gave up in a split, and waits for a side that goes on or for those who gave "
                      "up as well: %u of %u members are missing, one of them %s (%s); if they are "
                      "gone for good, start the seeds anew",
                      count, downing->stable_count, za_member_name(m, missing),
                      za_member_address(m, missing));
}

/* ---- queries ------------------------------------------------------------------------------- */

bool za_membership_may_claim(za_membership_t *m)
{
    if (!enabled(m)) {
        return true;
    }
    if (m->phase != ZA_PHASE_UP || m->downing.lost_ms != ZA_MEMBER_NEVER) {
        return false;
    }
    za_downing_config_t config = m->downing.config;
    if (config.strategy == ZA_DOWNING_LEASE || config.strategy == ZA_DOWNING_DOWN_ALL) {
        config.strategy = ZA_DOWNING_KEEP_MAJORITY;
    }
    if (!doubted(m) && config.strategy != ZA_DOWNING_STATIC_QUORUM) {
        return true;
    }
    za_downing_tally_t here = tally(m, ranked_reachable);
    return za_downing_side_wins(&config, &here);
}

void za_membership_downing(const za_membership_t *m, za_downing_info_t *out)
{
    const za_member_downing_t *downing = &m->downing;
    *out = (za_downing_info_t){
        .text = downing->text,
        .verdict = downing->verdict,
        .since_ms = downing->verdict_ms,
        .stable = downing->stable_count,
        .unreachable = downing->cut_count,
        .stable_after_ms = enabled(m) ? stable_after_ms(m) : 0,
        .fenced = downing->fenced,
        .decided_ms = downing->decided_ms,
        .decided_as = downing->decided_as,
        .decided_view = downing->decided_view,
        .decided_here = downing->decided_here,
    };
}
