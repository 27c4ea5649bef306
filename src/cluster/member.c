#include "cluster/member.h"

#include <string.h>

#include "base/assert.h"

int za_member_compare(const za_member_opinion_t *a, const za_member_opinion_t *b)
{
    if (a->terminal != b->terminal) {
        return a->terminal < b->terminal ? -1 : 1;
    }
    if (a->inc != b->inc) {
        return a->inc < b->inc ? -1 : 1;
    }
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

bool za_member_add_evidence(za_member_evidence_t *evidence, uint64_t uid)
{
    // Sorted, and the least survive: a union that forgets by that rule still commutes.
    uint32_t at = 0;
    while (at < evidence->count && evidence->uids[at] < uid) {
        at++;
    }
    if (at == ZA_MEMBER_EVIDENCE_MAX || (at < evidence->count && evidence->uids[at] == uid)) {
        return false;
    }
    bool full = evidence->count == ZA_MEMBER_EVIDENCE_MAX;
    uint32_t last = full ? ZA_MEMBER_EVIDENCE_MAX - 1 : evidence->count;
    memmove(&evidence->uids[at + 1], &evidence->uids[at], (last - at) * sizeof *evidence->uids);
    evidence->uids[at] = uid;
    evidence->count = last + 1;
    return true;
}

static bool add_all(za_member_evidence_t *into, const za_member_evidence_t *news)
{
    bool changed = false;
    for (uint32_t i = 0; i < news->count; i++) {
        bool added = za_member_add_evidence(into, news->uids[i]);
        changed = changed || added;
    }
    return changed;
}

za_merge_t za_member_merge(za_member_opinion_t *into, const za_member_opinion_t *news)
{
    int order = za_member_compare(into, news);
    if (order > 0) {
        return ZA_MERGE_OLD;
    }
    if (order < 0) {
        *into = *news;
        return ZA_MERGE_NEW;
    }
    bool more = add_all(&into->suspecters, &news->suspecters);
    bool refused = add_all(&into->refused, &news->refused);
    bool reason = news->reason > into->reason;
    if (reason) {
        into->reason = news->reason;
    }
    return more || refused || reason ? ZA_MERGE_MORE : ZA_MERGE_OLD;
}

static bool evidence_valid(const za_member_evidence_t *evidence)
{
    for (uint32_t i = 1; i < evidence->count; i++) {
        if (evidence->uids[i - 1] >= evidence->uids[i]) {
            return false;
        }
    }
    return true;
}

bool za_member_opinion_valid(const za_member_opinion_t *opinion)
{
    bool doubted = opinion->rank != za_MemberRank_MEMBER_RANK_ALIVE;
    bool evidence = opinion->suspecters.count > 0 || opinion->refused.count > 0;
    return opinion->inc != 0 && opinion->inc <= ZA_MEMBER_LOGICAL_MAX &&
           opinion->terminal <= _za_MemberTerminal_MAX && opinion->rank <= _za_MemberRank_MAX &&
           opinion->reason <= _za_MemberReason_MAX &&
           // One form for each opinion, so that equal opinions are equal bytes.
           (opinion->terminal == za_MemberTerminal_MEMBER_TERMINAL_NONE || !doubted) &&
           (doubted || !evidence) && evidence_valid(&opinion->suspecters) &&
           evidence_valid(&opinion->refused);
}

za_member_state_t za_member_state(const za_member_opinion_t *opinion)
{
    switch ((za_MemberTerminal)opinion->terminal) {
    case za_MemberTerminal_MEMBER_TERMINAL_LEFT:
        return ZA_MEMBER_LEFT;
    case za_MemberTerminal_MEMBER_TERMINAL_DOWN:
        return ZA_MEMBER_DOWN;
    case za_MemberTerminal_MEMBER_TERMINAL_NONE:
        break;
    }
    switch ((za_MemberRank)opinion->rank) {
    case za_MemberRank_MEMBER_RANK_SUSPECT:
        return ZA_MEMBER_SUSPECT;
    case za_MemberRank_MEMBER_RANK_UNREACHABLE:
        return ZA_MEMBER_UNREACHABLE;
    case za_MemberRank_MEMBER_RANK_ALIVE:
        break;
    }
    return opinion->leaving ? ZA_MEMBER_LEAVING : ZA_MEMBER_UP;
}
