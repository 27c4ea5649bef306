// The member record: a join semilattice, whatever the records are.
#include "cluster/member.h"
#include "base/rng.h"
#include "support/za_test.h"

#include <string.h>

static void draw_set(za_rng_t *rng, uint64_t *uids, pb_size_t *count)
{
    *count = 0;
    uint64_t size = za_rng_below(rng, 7);
    for (uint64_t i = 0; i < size; i++) {
        uint64_t uid = 1 + za_rng_below(rng, 9);
        za_member_add_evidence(uids, count, uid);
    }
}

/** Few values, so that equal keys are common. An owner's attributes follow from uid and inc. */
static za_MemberRecord draw(za_rng_t *rng)
{
    za_MemberRecord record = za_MemberRecord_init_zero;
    record.uid = 7;
    record.inc = 1 + za_rng_below(rng, 3);
    record.terminal = (za_MemberTerminal)za_rng_below(rng, 3);
    record.rank = record.terminal == 0 ? (za_MemberRank)za_rng_below(rng, 3) : 0;
    record.reason = (za_MemberReason)za_rng_below(rng, 5);
    record.leaving = record.inc == 3;
    record.joined = 5;
    strcpy(record.name, "n");
    strcpy(record.address, "h:1");
    draw_set(rng, record.suspecters, &record.suspecters_count);
    draw_set(rng, record.refused, &record.refused_count);
    return record;
}

static za_MemberRecord join(za_MemberRecord a, const za_MemberRecord *b)
{
    za_member_merge(&a, b);
    return a;
}

static bool same(const za_MemberRecord *a, const za_MemberRecord *b)
{
    return za_member_compare(a, b) == 0 && a->reason == b->reason && a->leaving == b->leaving &&
           a->suspecters_count == b->suspecters_count && a->refused_count == b->refused_count &&
           memcmp(a->suspecters, b->suspecters, a->suspecters_count * sizeof(uint64_t)) == 0 &&
           memcmp(a->refused, b->refused, a->refused_count * sizeof(uint64_t)) == 0;
}

Test(member, merge_is_commutative_associative_and_idempotent)
{
    za_rng_t rng;
    za_rng_init(&rng, 1);
    for (int i = 0; i < 200000; i++) {
        za_MemberRecord a = draw(&rng);
        za_MemberRecord b = draw(&rng);
        za_MemberRecord c = draw(&rng);
        za_MemberRecord ab = join(a, &b);
        za_MemberRecord ba = join(b, &a);
        cr_assert(same(&ab, &ba), "draw %d: not commutative", i);
        za_MemberRecord bc = join(b, &c);
        za_MemberRecord left = join(ab, &c);
        za_MemberRecord right = join(a, &bc);
        cr_assert(same(&left, &right), "draw %d: not associative", i);
        za_MemberRecord twice = join(ab, &b);
        cr_assert(same(&twice, &ab), "draw %d: not idempotent", i);
        cr_assert(za_member_compare(&ab, &a) >= 0 && za_member_compare(&ab, &b) >= 0,
                  "draw %d: a record shrank", i);
    }
}

Test(member, merge_says_what_was_new)
{
    za_MemberRecord a = za_MemberRecord_init_zero;
    a.uid = 7;
    a.inc = 2;
    za_MemberRecord b = a;
    cr_assert(za_member_merge(&a, &b) == ZA_MERGE_OLD, "the same");
    b.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    cr_assert(za_member_merge(&a, &b) == ZA_MERGE_NEW, "a suspicion");
    za_member_add_evidence(b.suspecters, &b.suspecters_count, 9);
    cr_assert(za_member_merge(&a, &b) == ZA_MERGE_MORE, "evidence");
    b.inc = 1;
    cr_assert(za_member_merge(&a, &b) == ZA_MERGE_OLD, "an old incarnation");
    b.terminal = za_MemberTerminal_MEMBER_TERMINAL_DOWN;
    cr_assert(za_member_merge(&a, &b) == ZA_MERGE_NEW, "the end beats every incarnation");
    b.terminal = za_MemberTerminal_MEMBER_TERMINAL_NONE;
    b.inc = 1000;
    cr_assert(za_member_merge(&a, &b) == ZA_MERGE_OLD, "the end is final");
}

Test(member, evidence_keeps_the_least_uids)
{
    uint64_t uids[ZA_MEMBER_EVIDENCE_MAX];
    pb_size_t count = 0;
    const uint64_t given[] = { 50, 10, 40, 30, 20, 10, 60 };
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        za_member_add_evidence(uids, &count, given[i]);
    }
    cr_assert(count == 4, "%u uids", (unsigned)count);
    for (uint64_t i = 0; i < 4; i++) {
        cr_assert(uids[i] == (i + 1) * 10, "uids[%d]", (int)i);
    }
}

Test(member, states_have_their_words)
{
    const char *words[] = { "joining", "up", "suspect", "unreachable", "leaving", "left", "down" };
    for (int state = ZA_MEMBER_JOINING; state <= ZA_MEMBER_DOWN; state++) {
        cr_assert(strcmp(za_member_state_name((za_member_state_t)state), words[state]) == 0, "%s",
                  words[state]);
    }
}
