// The member record: a join semilattice, whatever the records are.
#include "cluster/member.h"
#include "base/rng.h"
#include "support/za_test.h"

#include <string.h>

static void draw_set(za_rng_t *rng, za_member_evidence_t *evidence)
{
    evidence->count = 0;
    uint64_t size = za_rng_below(rng, 7);
    for (uint64_t i = 0; i < size; i++) {
        uint64_t uid = 1 + za_rng_below(rng, 9);
        za_member_add_evidence(evidence, uid);
    }
}

/** Few values, so that equal keys are common. What an owner says follows from its inc. */
static za_member_opinion_t draw(za_rng_t *rng)
{
    za_member_opinion_t record = { 0 };
    record.inc = 1 + za_rng_below(rng, 3);
    record.terminal = (uint8_t)za_rng_below(rng, 3);
    record.rank = record.terminal == 0 ? (uint8_t)za_rng_below(rng, 3) : 0;
    record.reason = (uint8_t)za_rng_below(rng, 5);
    record.leaving = record.inc == 3;
    draw_set(rng, &record.suspecters);
    draw_set(rng, &record.refused);
    return record;
}

static za_member_opinion_t join(za_member_opinion_t a, const za_member_opinion_t *b)
{
    za_member_merge(&a, b);
    return a;
}

static bool same_set(const za_member_evidence_t *a, const za_member_evidence_t *b)
{
    return a->count == b->count && memcmp(a->uids, b->uids, a->count * sizeof *a->uids) == 0;
}

static bool same(const za_member_opinion_t *a, const za_member_opinion_t *b)
{
    return za_member_compare(a, b) == 0 && a->reason == b->reason && a->leaving == b->leaving &&
           same_set(&a->suspecters, &b->suspecters) && same_set(&a->refused, &b->refused);
}

Test(member, merge_is_commutative_associative_and_idempotent)
{
    za_rng_t rng;
    za_rng_init(&rng, 1);
    for (int i = 0; i < 200000; i++) {
        za_member_opinion_t a = draw(&rng);
        za_member_opinion_t b = draw(&rng);
        za_member_opinion_t c = draw(&rng);
        za_member_opinion_t ab = join(a, &b);
        za_member_opinion_t ba = join(b, &a);
        cr_assert(same(&ab, &ba), "draw %d: not commutative", i);
        za_member_opinion_t bc = join(b, &c);
        za_member_opinion_t left = join(ab, &c);
        za_member_opinion_t right = join(a, &bc);
        cr_assert(same(&left, &right), "draw %d: not associative", i);
        za_member_opinion_t twice = join(ab, &b);
        cr_assert(same(&twice, &ab), "draw %d: not idempotent", i);
        cr_assert(za_member_compare(&ab, &a) >= 0 && za_member_compare(&ab, &b) >= 0,
                  "draw %d: a record shrank", i);
    }
}

Test(member, merge_says_what_was_new)
{
    za_member_opinion_t a = { .inc = 2 };
    za_member_opinion_t b = a;
    cr_assert(za_member_merge(&a, &b) == ZA_MERGE_OLD, "the same");
    b.rank = za_MemberRank_MEMBER_RANK_SUSPECT;
    cr_assert(za_member_merge(&a, &b) == ZA_MERGE_NEW, "a suspicion");
    za_member_add_evidence(&b.suspecters, 9);
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
    za_member_evidence_t evidence = { 0 };
    const uint64_t given[] = { 50, 10, 40, 30, 20, 10, 60 };
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        za_member_add_evidence(&evidence, given[i]);
    }
    cr_assert(evidence.count == 4, "%u uids", (unsigned)evidence.count);
    for (uint64_t i = 0; i < 4; i++) {
        cr_assert(evidence.uids[i] == (i + 1) * 10, "uids[%d]", (int)i);
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
