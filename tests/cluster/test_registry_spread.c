#include "registry_net.h"

#include <stdio.h>

// Where everybody is linked, one copy of a change goes to each node, and no more.
Test(registry_spread, a_change_goes_straight_to_all_who_are_linked)
{
    enum { NODES = 40 };
    rn_t *net = rn_create(NODES, 1);
    rn_mesh(net);
    rn_run(net, 100);
    rn_take(net, 3, "db", 7);
    rn_run(net, 12);
    cr_expect(rn_hold(net, 3) == NODES, "%u", rn_hold(net, 3));
    cr_expect(rn_frames(net, RN_PUSH) == NODES - 1, "%" PRIu64, rn_frames(net, RN_PUSH));
    rn_run(net, 3000);
    cr_expect(rn_frames(net, RN_PUSH) == NODES - 1 && rn_frames(net, RN_ANSWER) == 0,
              "%" PRIu64 " pushes, %" PRIu64 " answers", rn_frames(net, RN_PUSH),
              rn_frames(net, RN_ANSWER));
    rn_destroy(net);
}

static void spread_rumours(uint32_t nodes, uint32_t degree, uint64_t seed)
{
    rn_t *net = rn_create(nodes, seed);
    rn_sparse(net, degree);
    rn_run(net, 100);
    for (uint32_t change = 0; change < 20; change++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", change);
        uint32_t owner = change * 7 % nodes;
        rn_take(net, owner, name, 7);
        rn_run(net, 50);
        cr_expect(rn_hold(net, owner) >= nodes * 99 / 100, "seed %" PRIu64 ": %u of %u", seed,
                  rn_hold(net, owner), nodes);
        rn_run(net, 450);
        cr_assert(rn_hold(net, owner) == nodes, "seed %" PRIu64 ": %u of %u", seed,
                  rn_hold(net, owner), nodes);
    }
    rn_destroy(net);
}

Test(registry_spread, a_rumour_reaches_99_of_100_in_50_ms_and_all_in_half_a_second)
{
    spread_rumours(160, 12, 1);
    spread_rumours(160, 6, 2);
}

// Without the echoes a node that missed a push waits for a random peer that happens to know.
Test(registry_spread, a_missed_push_is_repaired_by_neighbours_within_a_second)
{
    enum { NODES = 60, CHANGES = 40 };
    rn_t *net = rn_create(NODES, 3);
    rn_mesh(net);
    rn_run(net, 2000);
    net->push_loss_percent = 20;
    for (uint32_t change = 0; change < CHANGES; change++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", change);
        rn_take(net, change, name, 7);
        rn_run(net, 1000);
        cr_assert(rn_hold(net, change) == NODES, "change %u: %u of %u", change,
                  rn_hold(net, change), (unsigned)NODES);
    }
    cr_expect(rn_frames(net, RN_ANSWER) > NODES * CHANGES / 10, "some were missed");
    rn_destroy(net);
}

Test(registry_spread, nodes_that_agree_compare_ever_less_until_something_changes)
{
    enum { NODES = 4, MINUTE_MS = 60000 };
    rn_t *net = rn_create(NODES, 1);
    rn_mesh(net);
    rn_take(net, 0, "db", 7);
    rn_run(net, MINUTE_MS);
    uint64_t first = rn_frames(net, RN_ROOT);
    rn_run(net, MINUTE_MS);
    uint64_t roots = rn_frames(net, RN_ROOT) - first;
    cr_expect(roots >= NODES * 6 && roots <= NODES * 10, "%" PRIu64 " in a minute", roots);
    rn_take(net, 0, "other", 7);
    first = rn_frames(net, RN_ROOT);
    rn_run(net, 4000);
    roots = rn_frames(net, RN_ROOT) - first;
    cr_expect(roots >= NODES * 2, "%" PRIu64 " in four seconds after a change", roots);
    rn_destroy(net);
}

static void fill(rn_t *net, uint32_t nodes, uint32_t names)
{
    for (uint32_t i = 0; i < nodes; i++) {
        for (uint32_t k = 0; k < names; k++) {
            char name[32];
            snprintf(name, sizeof name, "name-%u-%u", i, k);
            rn_take(net, i, name, 1 + k);
        }
    }
}

Test(registry_spread, a_newcomer_takes_the_maps_from_several_peers)
{
    enum { NODES = 24, NEWCOMER = NODES };
    rn_t *net = rn_create(NODES + 1, 1);
    for (uint32_t a = 0; a < NODES; a++) {
        for (uint32_t b = a + 1; b < NODES; b++) {
            rn_link(net, a, b, true);
        }
    }
    fill(net, NODES, 200);
    rn_run(net, 3000);
    for (uint32_t peer = 0; peer < 4; peer++) {
        rn_link(net, NEWCOMER, peer, true);
    }
    rn_run(net, 2000);
    cr_assert(rn_equal(net) == NODES + 1, "%u", rn_equal(net));
    uint64_t most = 0;
    uint64_t sum = 0;
    for (uint32_t peer = 0; peer < NODES; peer++) {
        uint64_t served = net->nodes[peer].served[NEWCOMER];
        most = served > most ? served : most;
        sum += served;
    }
    cr_expect(sum > NODES * 200 * 30 && most < sum * 3 / 4, "%" PRIu64 " of %" PRIu64, most, sum);
    rn_destroy(net);
}

// 200 maps, one of which differs: the tree finds it with far less than 200 lines.
Test(registry_spread, many_maps_are_compared_by_a_tree)
{
    enum { NODES = 200 };
    rn_t *net = rn_create(NODES, 1);
    for (uint32_t i = 1; i < NODES; i++) {
        rn_link(net, 0, i, true);
    }
    fill(net, NODES, 1);
    rn_run(net, 6000);
    cr_assert(rn_equal(net) == NODES, "%u", rn_equal(net));
    for (uint32_t i = 2; i < NODES; i++) {
        rn_link(net, 0, i, false);
    }
    rn_link(net, 0, 1, false);
    rn_take(net, 0, "news", 7);
    rn_run(net, 1000);
    uint64_t before = rn_bytes(net);
    rn_link(net, 0, 1, true);
    rn_run(net, 100);
    cr_assert(za_registry_hash(net->nodes[0].registry) == za_registry_hash(net->nodes[1].registry));
    cr_expect(rn_bytes(net) - before < 2000, "%" PRIu64 " bytes", rn_bytes(net) - before);
    rn_destroy(net);
}

Test(registry_spread, any_node_serves_what_it_holds_across_a_chain)
{
    enum { NODES = 6 };
    rn_t *net = rn_create(NODES, 1);
    for (uint32_t i = 1; i < NODES; i++) {
        rn_link(net, i - 1, i, true);
    }
    rn_take(net, 0, "db", 7);
    rn_run(net, 50);
    cr_expect(rn_hold(net, 0) == NODES, "a rumour goes along the chain");
    rn_destroy(net);
}

/* ---- who counts, and what it is worth ---------------------------------------------------------- */

static za_name_answer_t answer_of(const rn_t *net, uint32_t node, const char *name)
{
    za_name_answer_t answer = { 0 };
    cr_assert(za_registry_whereis(net->nodes[node].registry, name, net->now_ms, &answer) == ZA_OK);
    return answer;
}

Test(registry_spread, a_higher_priority_takes_the_name)
{
    rn_t *net = rn_create(2, 1);
    rn_link(net, 0, 1, true);
    rn_register(net, 0, (za_claim_t){ .name = "db", .actor = 7 });
    rn_run(net, 100);
    rn_register(net, 1, (za_claim_t){ .name = "db", .actor = 8, .prio = 2 });
    rn_run(net, 100);
    cr_expect(answer_of(net, 0, "db").ref.actor == 8, "later, but higher");
    cr_expect(answer_of(net, 0, "db").holders == 2);
    rn_run(net, 2000);
    cr_expect(answer_of(net, 0, "db").holders == 1, "the loser has given up");
    rn_destroy(net);
}

// P mode: a name whose holder cannot be reached is free on this side; healed, the older one wins.
Test(registry_spread, who_cannot_be_reached_gives_way_until_it_can)
{
    rn_t *net = rn_create(2, 1);
    rn_link(net, 0, 1, true);
    rn_take(net, 0, "db", 7);
    rn_run(net, 100);
    rn_link(net, 0, 1, false);
    rn_set_unreachable(net, 1, 0, true);
    za_name_answer_t answer = answer_of(net, 1, "db");
    cr_expect(answer.unreachable && answer.ref.actor == 7, "better than nobody");
    rn_take(net, 1, "db", 8);
    rn_run(net, 3000);
    answer = answer_of(net, 1, "db");
    cr_assert(!answer.unreachable && answer.ref.actor == 8 && answer.holders == 2,
              "it need not give way to who cannot be reached");
    rn_set_unreachable(net, 1, 0, false);
    rn_link(net, 0, 1, true);
    rn_run(net, 3000);
    cr_expect(answer_of(net, 1, "db").ref.actor == 7 && answer_of(net, 1, "db").holders == 1);
    cr_expect(answer_of(net, 0, "db").ref.actor == 7);
    rn_destroy(net);
}

Test(registry_spread, an_answer_says_how_old_it_is)
{
    rn_t *net = rn_create(3, 1);
    rn_mesh(net);
    rn_take(net, 0, "db", 7);
    rn_run(net, 5000);
    cr_expect(answer_of(net, 0, "db").age_ms == 0, "our own");
    cr_expect(answer_of(net, 1, "db").age_ms <= 4 * RN_SYNC_MS, "the others say the same");
    rn_link(net, 0, 1, false);
    rn_link(net, 0, 2, false);
    rn_set_unreachable(net, 1, 0, true);
    rn_set_unreachable(net, 2, 0, true);
    rn_run(net, 10000);
    uint64_t age_ms = answer_of(net, 1, "db").age_ms;
    cr_expect(age_ms >= 10000, "%" PRIu64 ": what others say of it is as old", age_ms);
    rn_destroy(net);
}

/* ---- clocks and sides -------------------------------------------------------------------------- */

typedef struct heard {
    uint32_t logs, lost;
    za_err_t err;
    za_ref_t ref;
} heard_t;

static void hear(rn_t *net, uint32_t node, const za_effect_t *effect)
{
    heard_t *heard = net->context;
    (void)node;
    heard->logs += effect->type == ZA_EFFECT_LOG;
    if (effect->type == ZA_EFFECT_NAME_LOST) {
        heard->lost++;
        heard->err = effect->err;
        heard->ref = effect->ref;
    }
}

static void set_wall(rn_t *net, uint32_t node, uint64_t wall_ms)
{
    za_registry_wall(net->nodes[node].registry, net->now_ms, wall_ms);
}

Test(registry_spread, the_earlier_claim_wins_by_the_walls_clock)
{
    rn_t *net = rn_create(2, 1);
    set_wall(net, 0, 5000000);
    set_wall(net, 1, 5000000);
    rn_run(net, 50);
    rn_take(net, 1, "db", 8);
    rn_run(net, 50);
    rn_take(net, 0, "db", 7);
    rn_link(net, 0, 1, true);
    rn_run(net, 3000);
    cr_expect(answer_of(net, 0, "db").ref.actor == 8);
    rn_destroy(net);
}

Test(registry_spread, of_claims_of_one_moment_the_lower_uid_wins)
{
    rn_t *net = rn_create(2, 1);
    set_wall(net, 0, 5000000);
    set_wall(net, 1, 5000000);
    rn_take(net, 0, "db", 7);
    rn_take(net, 1, "db", 8);
    rn_link(net, 0, 1, true);
    rn_run(net, 3000);
    uint64_t winner = rn_uid(0) < rn_uid(1) ? 7 : 8;
    cr_expect(answer_of(net, 0, "db").ref.actor == winner);
    cr_expect(answer_of(net, 1, "db").ref.actor == winner);
    rn_destroy(net);
}

Test(registry_spread, a_clock_far_ahead_is_told_once_and_not_followed)
{
    heard_t heard = { 0 };
    rn_t *net = rn_create(2, 1);
    net->effect = hear;
    net->context = &heard;
    set_wall(net, 0, 5000000);
    set_wall(net, 1, 5000000 + 60000);
    rn_link(net, 0, 1, true);
    rn_take(net, 1, "a", 8);
    rn_take(net, 1, "b", 8);
    rn_run(net, 100);
    za_registry_stats_t stats;
    za_registry_stats(net->nodes[0].registry, &stats);
    cr_expect(stats.skewed == 1 && heard.logs == 1, "%u logs", heard.logs);
    rn_take(net, 1, "c", 8); // by its clock a minute from now
    rn_link(net, 0, 1, false);
    rn_run(net, 1000);
    rn_take(net, 0, "c", 7);
    rn_link(net, 0, 1, true);
    rn_run(net, 3000);
    cr_expect(answer_of(net, 1, "c").ref.actor == 7, "who followed that clock would lose");
    rn_destroy(net);
}

Test(registry_spread, a_side_without_majority_gives_no_name_away)
{
    heard_t heard = { 0 };
    rn_t *net = rn_create(1, 1);
    net->effect = hear;
    net->context = &heard;
    rn_take(net, 0, "mine", 7);
    net->majority = false;
    rn_take(net, 0, "db", 7);
    cr_expect(heard.lost == 1 && heard.err == ZA_EUNAVAILABLE && za_ref_is_none(heard.ref));
    rn_take(net, 0, "mine", 7);
    rn_register(net, 0, (za_claim_t){ .name = "g", .kind = ZA_NAME_GROUP, .actor = 7 });
    cr_expect(heard.lost == 1, "what it has it keeps, and groups have no winner");
    rn_destroy(net);
}

Test(registry_spread, a_refused_claim_is_told_to_the_actor)
{
    heard_t heard = { 0 };
    rn_t *net = rn_create(1, 1);
    net->effect = hear;
    net->context = &heard;
    rn_take(net, 0, "", 7);
    cr_expect(heard.lost == 1 && heard.err == ZA_EINVAL);
    rn_take(net, 0, "db", 7);
    rn_take(net, 0, "db", 8);
    cr_expect(heard.lost == 2 && heard.err == ZA_EEXIST && heard.ref.actor == 7);
    rn_destroy(net);
}

/* ---- what is not known ------------------------------------------------------------------------- */

// Data of uids that membership does not know is remembered for 64 of them, and asked for at once when
// it does know.
Test(registry_spread, unknown_owners_wait_in_a_bounded_pool)
{
    enum { NODES = 90, LATE = NODES - 1 };
    rn_t *net = rn_create(NODES, 1);
    for (uint32_t i = 1; i < LATE; i++) {
        rn_link(net, 0, i, true);
        net->nodes[LATE].known[i] = ZA_KNOWN_NOT;
    }
    fill(net, LATE, 1);
    rn_run(net, 3000);
    rn_link(net, 0, LATE, true);
    rn_run(net, 20);
    za_registry_stats_t stats;
    za_registry_stats(net->nodes[LATE].registry, &stats);
    cr_assert(stats.parked == 64 && stats.refused >= LATE - 1 - 64, "%" PRIu64, stats.parked);
    for (uint32_t i = 1; i < LATE; i++) {
        rn_set_known(net, LATE, i, ZA_KNOWN_UP);
    }
    za_registry_stats(net->nodes[LATE].registry, &stats);
    cr_expect(stats.parked == 0);
    rn_run(net, 50);
    uint32_t names = 0;
    for (uint32_t i = 0; i < LATE; i++) {
        uint64_t applied, hash;
        names += za_registry_version(net->nodes[LATE].registry, net->nodes[i].uid, &applied, &hash);
    }
    cr_expect(names > 64, "%u maps", names);
    rn_run(net, 3000);
    cr_expect(rn_equal(net) == NODES, "the others by comparing");
    rn_destroy(net);
}

// The one that is asked has a link, and says nothing: whatever keeps it busy, others have the map too.
Test(registry_spread, a_pull_that_is_never_answered_is_given_up)
{
    enum { OWNER, ONE, OTHER, LATE, NODES };
    for (uint32_t silent = ONE; silent <= OTHER; silent++) {
        rn_t *net = rn_create(NODES, 1);
        rn_link(net, OWNER, ONE, true);
        rn_link(net, OWNER, OTHER, true);
        rn_take(net, OWNER, "db", 7);
        rn_run(net, 3000);
        net->silent = silent;
        rn_link(net, silent, LATE, true); // asked, for it is the only one
        rn_run(net, 1500);
        rn_link(net, silent == ONE ? OTHER : ONE, LATE, true);
        cr_expect(rn_hold(net, OWNER) == NODES - 1, "nobody answers");
        rn_run(net, ZA_REGISTRY_PULL_MS + 4 * RN_SYNC_MS);
        cr_expect(rn_hold(net, OWNER) == NODES, "it waits for one that is silent");
        rn_destroy(net);
    }
}

Test(registry_spread, a_pull_without_an_answer_goes_to_another)
{
    enum { OWNER, ONE, OTHER, LATE, NODES };
    rn_t *net = rn_create(NODES, 1);
    rn_link(net, OWNER, ONE, true);
    rn_link(net, OWNER, OTHER, true);
    rn_take(net, OWNER, "db", 7);
    rn_run(net, 3000);
    rn_link(net, ONE, LATE, true);
    rn_link(net, OTHER, LATE, true);
    while (net->nodes[LATE].frames_out[RN_PULL] == 0) {
        rn_run(net, 1);
    }
    uint32_t asked = net->nodes[LATE].asked[ONE] > 0 ? ONE : OTHER;
    rn_link(net, asked, LATE, false); // and the answer never comes
    rn_run(net, 20);
    cr_expect(rn_hold(net, OWNER) == NODES, "not after a second, but at once");
    rn_destroy(net);
}

/* ---- subscribers ------------------------------------------------------------------------------- */

typedef struct follower {
    uint32_t added, removed;
} follower_t;

static void count_news(rn_t *net, uint32_t node, const za_effect_t *effect)
{
    follower_t *follower = net->context;
    follower->added += node == 1 && effect->type == ZA_EFFECT_GROUP_ADDED;
    follower->removed += node == 1 && effect->type == ZA_EFFECT_GROUP_REMOVED;
}

static bool count_all(const char *group, za_ref_t ref, const uint8_t *meta, uint32_t meta_bytes,
                      void *context)
{
    uint32_t *count = context;
    cr_assert(strcmp(group, "g") == 0 && ref.node == rn_uid(0) && meta_bytes == 2);
    cr_assert(memcmp(meta, "v1", 2) == 0);
    (*count)++;
    return true;
}

static void join_group(rn_t *net, uint64_t actor)
{
    rn_register(net, 0,
                (za_claim_t){ .name = "g",
                              .kind = ZA_NAME_GROUP,
                              .actor = actor,
                              .meta = (const uint8_t *)"v1",
                              .meta_bytes = 2 });
}

// A copy that is made anew from a snapshot says what differs, not that all went and came.
Test(registry_spread, a_snapshot_tells_only_the_differences)
{
    follower_t follower = { 0 };
    rn_t *net = rn_create(2, 1);
    net->effect = count_news;
    net->context = &follower;
    rn_link(net, 0, 1, true);
    for (uint64_t actor = 1; actor <= 50; actor++) {
        join_group(net, actor);
    }
    rn_run(net, 100);
    cr_assert(follower.added == 50 && follower.removed == 0);
    rn_link(net, 0, 1, false);
    za_registry_unregister(net->nodes[0].registry, ZA_NAME_GROUP, "g", 3, net->now_ms);
    for (uint32_t i = 0; i < ZA_REGISTRY_REMOVALS_MAX + 10; i++) { // more than is remembered
        join_group(net, 1000);
        za_registry_unregister(net->nodes[0].registry, ZA_NAME_GROUP, "g", 1000, net->now_ms);
    }
    join_group(net, 51);
    rn_link(net, 0, 1, true);
    rn_run(net, 200);
    cr_assert(rn_equal(net) == 2);
    cr_expect(follower.added == 51 && follower.removed == 1, "%u added, %u removed", follower.added,
              follower.removed);
    uint32_t present = 0;
    za_registry_each_member(net->nodes[1].registry, "g", count_all, &present);
    cr_expect(present == 50, "a late subscriber gets the present set");
    rn_destroy(net);
}
