#include "cluster/member.h"

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

int za_member_compare(const za_MemberRecord *a, const za_MemberRecord *b)
{
    if (a->terminal != b->terminal) {
        return a->terminal < b->terminal ? -1 : 1;
    }
    if (a->inc != b->inc) {
        return compare_u64(a->inc, b->inc);
    }
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

bool za_member_add_evidence(uint64_t *uids, pb_size_t *count, uint64_t uid)
{
    // Sorted, and the least survive: a union that forgets by that rule still commutes.
    pb_size_t at = 0;
    while (at < *count && uids[at] < uid) {
        at++;
    }
    if (at == ZA_MEMBER_EVIDENCE_MAX || (at < *count && uids[at] == uid)) {
        return false;
    }
    pb_size_t last = *count < ZA_MEMBER_EVIDENCE_MAX ? *count : ZA_MEMBER_EVIDENCE_MAX - 1;
    memmove(&uids[at + 1], &uids[at], (size_t)(last - at) * sizeof *uids);
    uids[at] = uid;
    *count = (pb_size_t)(last + 1);
    return true;
}

static bool add_all(uint64_t *uids, pb_size_t *count, const uint64_t *news, pb_size_t news_count)
{
    bool changed = false;
    for (pb_size_t i = 0; i < news_count; i++) {
        changed |= za_member_add_evidence(uids, count, news[i]);
    }
    return changed;
}

za_merge_t za_member_merge(za_MemberRecord *into, const za_MemberRecord *news)
{
    ZA_ASSERT(into->uid == news->uid);
    int order = za_member_compare(into, news);
    if (order > 0) {
        return ZA_MERGE_OLD;
    }
    if (order < 0) {
        *into = *news;
        return ZA_MERGE_NEW;
    }
    bool more = add_all(into->suspecters, &into->suspecters_count, news->suspecters,
                        news->suspecters_count);
    more |= add_all(into->refused, &into->refused_count, news->refused, news->refused_count);
    if (news->reason > into->reason) {
        into->reason = news->reason;
        more = true;
    }
    return more ? ZA_MERGE_MORE : ZA_MERGE_OLD;
}

static bool ascending(const uint64_t *uids, pb_size_t count)
{
    for (pb_size_t i = 1; i < count; i++) {
        if (uids[i - 1] >= uids[i]) {
            return false;
        }
    }
    return true;
}

bool za_member_valid(const za_MemberRecord *record)
{
    return record->uid != 0 && record->inc != 0 && record->inc <= ZA_MEMBER_LOGICAL_MAX &&
           record->joined <= ZA_MEMBER_LOGICAL_MAX && record->name[0] != '\0' &&
           record->address[0] != '\0' && record->terminal <= _za_MemberTerminal_MAX &&
           record->rank <= _za_MemberRank_MAX && record->reason <= _za_MemberReason_MAX &&
           // One form per opinion, so that equal opinions are equal bytes.
           (record->terminal == za_MemberTerminal_MEMBER_TERMINAL_NONE || record->rank == 0) &&
           ascending(record->suspecters, record->suspecters_count) &&
           ascending(record->refused, record->refused_count);
}

uint64_t za_member_hash(const za_MemberRecord *record)
{
    uint64_t hash = za_fnv64(ZA_FNV64_INIT, record->name, strlen(record->name));
    hash = za_fnv64(hash, record->address, strlen(record->address));
    hash = za_mix64(hash ^ record->uid);
    hash = za_mix64(hash ^ record->inc);
    hash = za_mix64(hash ^ record->joined);
    return za_mix64(hash ^ ((uint64_t)record->terminal << 8 | (uint64_t)record->rank << 4 |
                            (uint64_t)record->leaving));
}

za_member_state_t za_member_state(const za_MemberRecord *record)
{
    switch (record->terminal) {
    case za_MemberTerminal_MEMBER_TERMINAL_LEFT:
        return ZA_MEMBER_LEFT;
    case za_MemberTerminal_MEMBER_TERMINAL_DOWN:
        return ZA_MEMBER_DOWN;
    case za_MemberTerminal_MEMBER_TERMINAL_NONE:
        break;
    }
    switch (record->rank) {
    case za_MemberRank_MEMBER_RANK_SUSPECT:
        return ZA_MEMBER_SUSPECT;
    case za_MemberRank_MEMBER_RANK_UNREACHABLE:
        return ZA_MEMBER_UNREACHABLE;
    case za_MemberRank_MEMBER_RANK_ALIVE:
        break;
    }
    return record->leaving ? ZA_MEMBER_LEAVING : ZA_MEMBER_UP;
}
