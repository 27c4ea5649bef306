#include "cluster/downing.h"

#include <inttypes.h>
#include <string.h>

#include "support/za_test.h"

enum { MEMBERS_MAX = 6, STABLE_MS = 5000, T_MS = 500 };

/** A cluster of `count` members whose uids are 1..count, split into sides; bits are members. */
typedef struct split {
    int count;
    int sides;
    uint32_t side[MEMBERS_MAX]; // members of each side
    uint32_t stable;            // of the last stable view
    uint32_t eligible;
    int oldest; // the member that joined first; then it goes round
} split_t;

static za_downing_tally_t tally_of(const split_t *split, uint32_t here)
{
    za_downing_tally_t tally = { 0 };
    for (int i = 0; i < split->count; i++) {
        za_downing_member_t member = {
            .uid = (uint64_t)i + 1,
            .joined = (uint64_t)((i - split->oldest + split->count) % split->count) + 10,
            .stable = (split->stable >> i & 1) != 0,
            .eligible = (split->eligible >> i & 1) != 0,
            .reachable = (here >> i & 1) != 0,
        };
        za_downing_count(&tally, &member);
    }
    return tally;
}

/** A view that has not changed for long enough. */
static za_downing_view_t settled(const split_t *split, uint32_t here)
{
    return (za_downing_view_t){ .tally = tally_of(split, here),
                                .cut_ms = 1000,
                                .changed_ms = 1000,
                                .stable_after_ms = STABLE_MS,
                                .probe_interval_ms = T_MS,
                                .self_stable = true };
}

static za_downing_verdict_t verdict_of(const za_downing_config_t *config, const split_t *split,
                                       uint32_t here)
{
    za_downing_view_t view = settled(split, here);
    return za_downing_decide(config, &view, 1000 + STABLE_MS);
}

typedef struct check {
    za_downing_config_t config;
    void (*look)(const za_downing_config_t *config, const split_t *split);
    uint64_t splits;
} check_t;

static void look_at_all_eligible(check_t *check, split_t *split)
{
    for (split->eligible = 0; split->eligible < 1u << split->count; split->eligible++) {
        for (split->oldest = 0; split->oldest < split->count; split->oldest++) {
            check->splits++;
            check->look(&check->config, split);
        }
    }
}

/** Every way to deal members into sides: member i goes to one of the sides so far, or a new one. */
static void each_split(check_t *check)
{
    for (int count = 1; count <= MEMBERS_MAX; count++) {
        int choice[MEMBERS_MAX] = { 0 }; // restricted growth: choice[i] <= 1 + max of those before
        for (;;) {
            split_t split = { .count = count, .stable = (1u << count) - 1 };
            for (int i = 0; i < count; i++) {
                split.side[choice[i]] |= 1u << i;
                split.sides = choice[i] + 1 > split.sides ? choice[i] + 1 : split.sides;
            }
            look_at_all_eligible(check, &split);
            int at = count - 1;
            for (; at > 0; at--) {
                int highest = 0;
                for (int i = 0; i < at; i++) {
                    highest = choice[i] > highest ? choice[i] : highest;
                }
                if (choice[at] <= highest) {
                    break;
                }
                choice[at] = 0;
            }
            if (at <= 0) {
                break;
            }
            choice[at]++;
        }
    }
}

static int winners(const za_downing_config_t *config, const split_t *split)
{
    int count = 0;
    for (int i = 0; i < split->sides; i++) {
        za_downing_verdict_t verdict = verdict_of(config, split, split->side[i]);
        count += verdict == ZA_DOWNING_DOWN_OTHERS || verdict == ZA_DOWNING_KEEP;
    }
    return count;
}

static void at_most_one_side_wins(const za_downing_config_t *config, const split_t *split)
{
    int count = winners(config, split);
    cr_assert(count <= 1, "%s: %d sides of %d members win (eligible %x)",
              za_downing_strategy_name(config->strategy), count, split->count, split->eligible);
}

/** How many splits the strategy can decide: it must not be safe by losing always. */
static void check_strategy(za_downing_config_t config)
{
    check_t check = { .config = config, .look = at_most_one_side_wins };
    each_split(&check);
    cr_assert(check.splits > 70000, "%" PRIu64 " splits", check.splits);
}

// S1: of all splits of up to six members, with any of them eligible, at most one side goes on.
Test(downing, keep_majority_never_keeps_two_sides)
{
    check_strategy((za_downing_config_t){ .strategy = ZA_DOWNING_KEEP_MAJORITY });
}

Test(downing, static_quorum_never_keeps_two_sides)
{
    for (uint32_t quorum = 1; quorum <= MEMBERS_MAX + 1; quorum++) {
        check_strategy(
            (za_downing_config_t){ .strategy = ZA_DOWNING_STATIC_QUORUM, .quorum = quorum });
    }
}

Test(downing, keep_oldest_never_keeps_two_sides)
{
    check_strategy((za_downing_config_t){ .strategy = ZA_DOWNING_KEEP_OLDEST });
    check_strategy(
        (za_downing_config_t){ .strategy = ZA_DOWNING_KEEP_OLDEST, .keep_lone_oldest = true });
}

Test(downing, down_all_keeps_no_side)
{
    check_t check = { .config = { .strategy = ZA_DOWNING_DOWN_ALL },
                      .look = at_most_one_side_wins };
    each_split(&check);
    split_t split = { .count = 3, .stable = 7, .eligible = 7 };
    cr_expect(verdict_of(&check.config, &split, 3) == ZA_DOWNING_DOWN_SELF);
    cr_expect(verdict_of(&check.config, &split, 7) == ZA_DOWNING_KEEP);
}

static void a_split_into_two_has_a_winner(const za_downing_config_t *config, const split_t *split)
{
    bool nobody_counts = (split->eligible & split->stable) == 0;
    if (split->sides <= 2 && !nobody_counts) {
        cr_assert(winners(config, split) == 1, "%d members, side %x, eligible %x", split->count,
                  split->side[0], split->eligible);
    }
}

Test(downing, keep_majority_decides_every_split_into_two)
{
    check_t check = { .config = { .strategy = ZA_DOWNING_KEEP_MAJORITY },
                      .look = a_split_into_two_has_a_winner };
    each_split(&check);
}

Test(downing, keep_oldest_decides_every_split_into_two)
{
    check_t check = { .config = { .strategy = ZA_DOWNING_KEEP_OLDEST },
                      .look = a_split_into_two_has_a_winner };
    each_split(&check);
}

/** The lease goes to whoever asks first; all others hear whose it is. */
static void at_most_one_side_has_the_lease(const za_downing_config_t *config, const split_t *split)
{
    for (int first = 0; first < split->sides && split->sides > 1; first++) {
        int won = 0;
        for (int i = 0; i < split->sides; i++) {
            za_downing_view_t view = settled(split, split->side[i]);
            cr_assert(za_downing_decide(config, &view, 1000 + STABLE_MS + 4 * T_MS) ==
                      ZA_DOWNING_ASK);
            view.lease = i == first ? ZA_LEASE_OURS : ZA_LEASE_THEIRS;
            za_downing_verdict_t verdict = za_downing_decide(config, &view, 1000 + STABLE_MS);
            cr_assert(verdict == ZA_DOWNING_DOWN_OTHERS || verdict == ZA_DOWNING_DOWN_SELF);
            won += verdict == ZA_DOWNING_DOWN_OTHERS;
        }
        cr_assert(won == 1);
    }
}

Test(downing, a_lease_keeps_the_side_that_has_it_and_no_other)
{
    check_t check = { .config = { .strategy = ZA_DOWNING_LEASE },
                      .look = at_most_one_side_has_the_lease };
    each_split(&check);
}

Test(downing, a_minority_lets_others_ask_for_the_lease_first)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_LEASE };
    split_t split = { .count = 5, .stable = 31, .eligible = 31 };
    za_downing_view_t many = settled(&split, 7);
    za_downing_view_t few = settled(&split, 24);
    uint64_t at_ms = 1000 + STABLE_MS;
    cr_expect(za_downing_decide(&config, &many, at_ms) == ZA_DOWNING_ASK);
    cr_expect(za_downing_decide(&config, &few, at_ms) == ZA_DOWNING_WAIT);
    cr_expect(za_downing_decide(&config, &few, at_ms + 1999) == ZA_DOWNING_WAIT);
    cr_expect(za_downing_decide(&config, &few, at_ms + 2000) == ZA_DOWNING_ASK);
}

// S3: what a node decides follows from its view alone, in whatever order members were counted.
Test(downing, the_order_of_counting_does_not_matter)
{
    za_downing_member_t members[4] = {
        { .uid = 9, .joined = 3, .stable = true, .eligible = true, .reachable = true },
        { .uid = 4, .joined = 3, .stable = true, .eligible = true, .reachable = false },
        { .uid = 7, .joined = 1, .stable = true, .eligible = true, .reachable = false },
        { .uid = 2, .joined = 0, .stable = true, .eligible = false, .reachable = true },
    };
    za_downing_tally_t first = { 0 };
    for (int start = 0; start < 4; start++) {
        for (int step = 1; step < 4; step += 2) {
            za_downing_tally_t tally = { 0 };
            for (int i = 0; i < 4; i++) {
                za_downing_count(&tally, &members[(start + i * step) % 4]);
            }
            if (start == 0 && step == 1) {
                first = tally;
            }
            cr_assert(tally.counted == 3 && tally.here == 1 && tally.members == 4);
            cr_assert(tally.lowest == 4 && !tally.lowest_here);
            cr_assert(tally.oldest == 7 && tally.oldest == first.oldest && !tally.oldest_here);
        }
    }
}

Test(downing, an_even_split_goes_to_the_lowest_uid)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_KEEP_MAJORITY };
    split_t split = { .count = 4, .stable = 15, .eligible = 15 };
    cr_expect(verdict_of(&config, &split, 9) == ZA_DOWNING_DOWN_OTHERS); // uids 1 and 4
    cr_expect(verdict_of(&config, &split, 6) == ZA_DOWNING_DOWN_SELF);
}

Test(downing, only_members_with_the_role_count)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_KEEP_MAJORITY, .role = "db" };
    split_t split = { .count = 6, .stable = 63, .eligible = 7 };
    cr_expect(verdict_of(&config, &split, 3) == ZA_DOWNING_DOWN_OTHERS);
    cr_expect(verdict_of(&config, &split, 60) == ZA_DOWNING_DOWN_SELF); // four, but one of the role
    split.eligible = 0;
    cr_expect(verdict_of(&config, &split, 31) == ZA_DOWNING_DOWN_SELF);
}

// Both sides of a split may gain members; the old ones alone say which side was the greater.
Test(downing, newcomers_on_any_side_do_not_count)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_KEEP_MAJORITY };
    split_t split = { .count = 6, .stable = 7, .eligible = 63 };
    cr_expect(verdict_of(&config, &split, 3) == ZA_DOWNING_DOWN_OTHERS);
    cr_expect(verdict_of(&config, &split, 4 | 8 | 16 | 32) == ZA_DOWNING_DOWN_SELF);
}

Test(downing, a_newcomer_follows_the_others_and_gives_up_without_them)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_KEEP_MAJORITY };
    split_t split = { .count = 3, .stable = 3, .eligible = 7 };
    za_downing_view_t view = settled(&split, 7 - 2);
    view.self_stable = false;
    cr_expect(za_downing_decide(&config, &view, 1000 + STABLE_MS) == ZA_DOWNING_WAIT);
    cr_expect(za_downing_decide(&config, &view, 1000 + 3 * STABLE_MS) == ZA_DOWNING_DOWN_SELF);
}

// More than 2q - 1 members could be two sides of q.
Test(downing, a_cluster_that_outgrew_its_quorum_keeps_nobody)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_STATIC_QUORUM, .quorum = 3 };
    split_t split = { .count = 5, .stable = 31, .eligible = 63 };
    cr_expect(verdict_of(&config, &split, 7) == ZA_DOWNING_DOWN_OTHERS);
    split.count = 6;
    split.stable = 63;
    cr_expect(verdict_of(&config, &split, 7) == ZA_DOWNING_DOWN_SELF);
    cr_expect(verdict_of(&config, &split, 56) == ZA_DOWNING_DOWN_SELF);
    split.stable = 3; // it shrank below the quorum
    cr_expect(verdict_of(&config, &split, 1) == ZA_DOWNING_DOWN_SELF);
}

Test(downing, the_oldest_alone_gives_way_unless_told_otherwise)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_KEEP_OLDEST };
    split_t split = { .count = 4, .stable = 15, .eligible = 15, .oldest = 2 };
    cr_expect(verdict_of(&config, &split, 4) == ZA_DOWNING_DOWN_SELF);
    cr_expect(verdict_of(&config, &split, 11) == ZA_DOWNING_DOWN_OTHERS);
    cr_expect(verdict_of(&config, &split, 5) == ZA_DOWNING_DOWN_OTHERS); // not alone
    config.keep_lone_oldest = true;
    cr_expect(verdict_of(&config, &split, 4) == ZA_DOWNING_DOWN_OTHERS);
    cr_expect(verdict_of(&config, &split, 11) == ZA_DOWNING_DOWN_SELF);
}

Test(downing, a_view_is_decided_on_when_it_has_not_changed_for_a_while)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_KEEP_MAJORITY };
    split_t split = { .count = 3, .stable = 7, .eligible = 7 };
    za_downing_view_t view = settled(&split, 3);
    view.changed_ms = 3000;
    cr_expect(za_downing_decide(&config, &view, 7999) == ZA_DOWNING_WAIT);
    cr_expect(za_downing_decide(&config, &view, 8000) == ZA_DOWNING_DOWN_OTHERS);
    view.open = true; // a suspect may yet be a third side
    cr_expect(za_downing_decide(&config, &view, 8000) == ZA_DOWNING_WAIT);
}

Test(downing, a_view_that_never_settles_is_given_up)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_KEEP_MAJORITY };
    split_t split = { .count = 3, .stable = 7, .eligible = 7 };
    za_downing_view_t view = settled(&split, 3);
    view.changed_ms = 15000;
    cr_expect(za_downing_decide(&config, &view, 15999) == ZA_DOWNING_WAIT);
    cr_expect(za_downing_decide(&config, &view, 16000) == ZA_DOWNING_DOWN_SELF);
    config.strategy = ZA_DOWNING_LEASE;
    view.changed_ms = 1000;
    view.lease = ZA_LEASE_ASKED; // and nobody answers
    cr_expect(za_downing_decide(&config, &view, 15999) == ZA_DOWNING_WAIT);
    cr_expect(za_downing_decide(&config, &view, 16000) == ZA_DOWNING_DOWN_SELF);
    view.lease = ZA_LEASE_FREE; // or the answer is an error, again and again
    cr_expect(za_downing_decide(&config, &view, 15999) == ZA_DOWNING_ASK);
    cr_expect(za_downing_decide(&config, &view, 16000) == ZA_DOWNING_DOWN_SELF);
}

Test(downing, without_a_strategy_nothing_is_decided)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_NONE };
    split_t split = { .count = 3, .stable = 7, .eligible = 7 };
    za_downing_view_t view = settled(&split, 1);
    cr_expect(za_downing_decide(&config, &view, 100000) == ZA_DOWNING_KEEP);
}

Test(downing, the_time_to_settle_grows_with_the_cluster)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_KEEP_MAJORITY };
    cr_expect(za_downing_stable_after_ms(&config, 32, T_MS) == 5000);
    cr_expect(za_downing_stable_after_ms(&config, 33, T_MS) == 8000);
    cr_expect(za_downing_stable_after_ms(&config, 129, T_MS) == 12000);
    cr_expect(za_downing_stable_after_ms(&config, 1001, T_MS) == 15000);
    cr_expect(za_downing_margin_ms(5000) == 3000);
    config.stable_after_ms = 700;
    cr_expect(za_downing_stable_after_ms(&config, 1001, T_MS) == 700);
}

Test(downing, two_configurations_are_alike_if_their_texts_are)
{
    char text[ZA_DOWNING_TEXT_BYTES_MAX + 1];
    za_downing_config_t config = { .strategy = ZA_DOWNING_STATIC_QUORUM,
                                   .quorum = ZA_DOWNING_QUORUM_MAX,
                                   .stable_after_ms = ZA_DOWNING_STABLE_MS_MAX };
    memset(config.role, 'r', ZA_DOWNING_ROLE_BYTES_MAX);
    za_downing_describe(&config, text);
    cr_expect(strcmp(text, "static_quorum 32768 of role rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr "
                           "after 600000 ms") == 0,
              "%s", text);
    config = (za_downing_config_t){ .strategy = ZA_DOWNING_KEEP_OLDEST, .keep_lone_oldest = true };
    za_downing_describe(&config, text);
    cr_expect(strcmp(text, "keep_oldest even alone") == 0, "%s", text);
    config = (za_downing_config_t){ .strategy = ZA_DOWNING_NONE, .role = "db" };
    za_downing_describe(&config, text);
    cr_expect(strcmp(text, "none") == 0, "%s", text);
}

Test(downing, a_configuration_out_of_bounds_is_refused)
{
    za_downing_config_t config = { .strategy = ZA_DOWNING_STATIC_QUORUM };
    cr_expect(!za_downing_config_valid(&config), "no quorum");
    config.quorum = 2;
    cr_expect(za_downing_config_valid(&config));
    config.strategy = ZA_DOWNING_KEEP_MAJORITY;
    cr_expect(!za_downing_config_valid(&config), "a quorum that nobody asks for");
    config.quorum = 0;
    config.stable_after_ms = ZA_DOWNING_STABLE_MS_MAX + 1;
    cr_expect(!za_downing_config_valid(&config));
    config.stable_after_ms = 0;
    memset(config.role, 'r', sizeof config.role);
    cr_expect(!za_downing_config_valid(&config), "a role without an end");
}
