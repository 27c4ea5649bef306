#include "cluster/downing.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static const char *const strategy_names[] = { "none",        "keep_majority", "static_quorum",
                                              "keep_oldest", "lease",         "down_all" };
static const char *const verdict_names[] = { "keep", "wait", "ask", "down_others", "down_self" };

const char *za_downing_strategy_name(za_downing_strategy_t strategy)
{
    ZA_ASSERT(strategy <= ZA_DOWNING_DOWN_ALL);
    return strategy_names[strategy];
}

const char *za_downing_verdict_name(za_downing_verdict_t verdict)
{
    ZA_ASSERT(verdict <= ZA_DOWNING_DOWN_SELF);
    return verdict_names[verdict];
}

/* ---- configuration ------------------------------------------------------------------------- */

bool za_downing_config_valid(const za_downing_config_t *config)
{
    bool quorum_fits = config->quorum > 0 && config->quorum <= ZA_DOWNING_QUORUM_MAX;
    return config->strategy <= ZA_DOWNING_DOWN_ALL &&
           (config->strategy == ZA_DOWNING_STATIC_QUORUM ? quorum_fits : config->quorum == 0) &&
           config->stable_after_ms <= ZA_DOWNING_STABLE_MS_MAX &&
           memchr(config->role, '\0', sizeof config->role) != NULL;
}

void za_downing_describe(const za_downing_config_t *config,
                         char text[ZA_DOWNING_TEXT_BYTES_MAX + 1])
{
    size_t room = ZA_DOWNING_TEXT_BYTES_MAX + 1;
    size_t used = (size_t)snprintf(text, room, "%s", za_downing_strategy_name(config->strategy));
    if (config->strategy == ZA_DOWNING_NONE) {
        return; // nothing else matters then
    }
    if (config->strategy == ZA_DOWNING_STATIC_QUORUM) {
        used += (size_t)snprintf(text + used, room - used, " %u", config->quorum);
    }
    if (config->strategy == ZA_DOWNING_KEEP_OLDEST && config->keep_lone_oldest) {
        used += (size_t)snprintf(text + used, room - used, " even alone");
    }
    if (config->role[0] != '\0') {
        used += (size_t)snprintf(text + used, room - used, " of role %s", config->role);
    }
    if (config->stable_after_ms != 0) {
        used += (size_t)snprintf(text + used, room - used, " after %u ms", config->stable_after_ms);
    }
    ZA_ASSERT(used < room);
}

uint32_t za_downing_stable_after_ms(const za_downing_config_t *config, uint32_t members,
                                    uint32_t probe_interval_ms)
{
    if (config->stable_after_ms != 0) {
        return config->stable_after_ms;
    }
    // 5, 8, 12 and 15 s at T = 500 ms: longer than all of a side need to see the same.
    uint32_t intervals = members <= 32     ? ZA_DOWNING_STABLE_INTERVALS
                         : members <= 128  ? 16
                         : members <= 1000 ? 24
                                           : 30;
    return intervals * probe_interval_ms;
}

uint32_t za_downing_margin_ms(uint32_t stable_after_ms)
{
    return (uint32_t)((uint64_t)stable_after_ms * 3 / 5);
}

/* ---- counting ------------------------------------------------------------------------------ */

static bool is_older(const za_downing_tally_t *tally, const za_downing_member_t *member)
{
    return tally->counted == 0 || member->joined < tally->oldest_joined ||
           (member->joined == tally->oldest_joined && member->uid < tally->oldest);
}

void za_downing_count(za_downing_tally_t *tally, const za_downing_member_t *member)
{
    tally->cut = tally->cut || !member->reachable;
    if (!member->stable) {
        return;
    }
    tally->members++;
    if (!member->eligible) {
        return;
    }
    if (tally->counted == 0 || member->uid < tally->lowest) {
        tally->lowest = member->uid;
        tally->lowest_here = member->reachable;
    }
    if (is_older(tally, member)) {
        tally->oldest = member->uid;
        tally->oldest_joined = member->joined;
        tally->oldest_here = member->reachable;
    }
    tally->counted++;
    tally->here += member->reachable;
}

/* ---- strategies ---------------------------------------------------------------------------- */

static bool has_majority(const za_downing_tally_t *tally)
{
    uint32_t there = tally->counted - tally->here;
    return tally->here > there || (tally->here == there && tally->here > 0 && tally->lowest_here);
}

/** More than 2q - 1 members could make two sides of q each: then no side is safe. */
static bool has_quorum(const za_downing_tally_t *tally, uint32_t quorum)
{
    return tally->here >= quorum && tally->counted <= 2 * quorum - 1;
}

static bool has_oldest(const za_downing_config_t *config, const za_downing_tally_t *tally)
{
    uint32_t there = tally->counted - tally->here;
    if (tally->counted == 0) {
        return false;
    }
    if (config->keep_lone_oldest) {
        return tally->oldest_here;
    }
    // Of two the older one wins, for which of them is alone is a matter of view.
    if (tally->oldest_here) {
        return tally->here > 1 || there <= 1;
    }
    return there == 1 && tally->here > 1;
}

bool za_downing_side_wins(const za_downing_config_t *config, const za_downing_tally_t *tally)
{
    switch (config->strategy) {
    case ZA_DOWNING_NONE:
    case ZA_DOWNING_LEASE:
        return true;
    case ZA_DOWNING_KEEP_MAJORITY:
        return has_majority(tally);
    case ZA_DOWNING_STATIC_QUORUM:
        return has_quorum(tally, config->quorum);
    case ZA_DOWNING_KEEP_OLDEST:
        return has_oldest(config, tally);
    case ZA_DOWNING_DOWN_ALL:
        return !tally->cut;
    }
    ZA_ASSERT(!"a strategy of no known name");
    return false;
}

static za_downing_verdict_t decide_lease(const za_downing_view_t *view, uint64_t settled_ms,
                                         uint64_t now_ms)
{
    bool minority = !has_majority(&view->tally);
    uint64_t wait_ms = minority ? ZA_DOWNING_LEASE_MINORITY * view->probe_interval_ms : 0;
    switch (view->lease) {
    case ZA_LEASE_FREE:
        return now_ms >= settled_ms + wait_ms ? ZA_DOWNING_ASK : ZA_DOWNING_WAIT;
    case ZA_LEASE_ASKED:
        return ZA_DOWNING_WAIT;
    case ZA_LEASE_OURS:
        return ZA_DOWNING_DOWN_OTHERS;
    case ZA_LEASE_THEIRS:
        return ZA_DOWNING_DOWN_SELF;
    }
    return ZA_DOWNING_WAIT;
}

static za_downing_verdict_t decide_side(const za_downing_config_t *config,
                                        const za_downing_view_t *view, uint64_t settled_ms,
                                        uint64_t now_ms)
{
    if (config->strategy == ZA_DOWNING_LEASE) {
        return decide_lease(view, settled_ms, now_ms);
    }
    return za_downing_side_wins(config, &view->tally) ? ZA_DOWNING_DOWN_OTHERS
                                                      : ZA_DOWNING_DOWN_SELF;
}

za_downing_verdict_t za_downing_decide(const za_downing_config_t *config,
                                       const za_downing_view_t *view, uint64_t now_ms)
{
    if (config->strategy == ZA_DOWNING_NONE || !view->tally.cut) {
        return ZA_DOWNING_KEEP;
    }
    uint64_t settled_ms = view->changed_ms + view->stable_after_ms;
    uint64_t end_ms = view->cut_ms + (uint64_t)ZA_DOWNING_UNSTABLE_TIMES * view->stable_after_ms;
    za_downing_verdict_t verdict = ZA_DOWNING_WAIT;
    // A newcomer's opinion of the last stable view is another's: it follows those who were there.
    if (now_ms >= settled_ms && !view->open && view->self_stable) {
        verdict = decide_side(config, view, settled_ms, now_ms);
    }
    bool open = verdict == ZA_DOWNING_WAIT || verdict == ZA_DOWNING_ASK;
    if (open && now_ms >= end_ms) {
        return ZA_DOWNING_DOWN_SELF;
    }
    return verdict;
}
