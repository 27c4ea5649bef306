// Splits decided by a provider of leases, in whole nodes.
#include "support/za_test.h"

#include <string.h>

#include <zactor/sim.h>
#include <zactor/zactor.h>

enum {
    NODES = 4,
    STABLE_MS = 30000, // until all count
    DECIDED_MS = 60000,
};

/** The store: compare and set, with a time of the test's. */
typedef struct store {
    za_sim_t *sim;
    uint64_t holder, until_ms, revision;
    uint64_t asked, taken;
    bool away;
} store_t;

static void ask(void *context, za_node_t *node, const za_lease_question_t *question)
{
    store_t *store = context;
    store->asked++;
    za_lease_answer_t answer = { .size = sizeof answer, .err = ZA_ETIMEOUT };
    if (!store->away) {
        uint64_t now_ms = za_sim_now_ms(store->sim);
        bool is_free = store->holder == 0 || now_ms >= store->until_ms;
        if (question->ttl_ms > 0 && (is_free || store->revision == question->revision)) {
            store->holder = question->holder;
            store->until_ms = now_ms + question->ttl_ms;
            store->revision++;
            store->taken++;
        }
        answer.err = ZA_OK;
        answer.holder = now_ms < store->until_ms ? store->holder : 0;
        answer.revision = store->revision;
    }
    cr_assert(za_node_uid(node) == question->holder, "a node asks for itself");
    cr_assert(question->cluster != NULL && question->cluster_id == 1, "its cluster's lease");
    cr_assert(za_node_answer_lease(node, &answer) == ZA_OK, "answered");
}

static store_t store;

static bool converged(za_sim_t *sim, void *context)
{
    (void)context;
    return za_sim_converged(sim);
}

static za_sim_t *created(uint64_t seed)
{
    static za_lease_provider_t provider = { .size = sizeof provider, .ask = ask };
    provider.context = &store;
    za_sim_t *sim;
    za_sim_opts_t opts = { .size = sizeof opts, .seed = seed, .nodes = NODES, .lease = &provider };
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK, "created");
    store = (store_t){ .sim = sim };
    return sim;
}

static za_sim_t *formed(uint64_t seed)
{
    za_sim_t *sim = created(seed);
    cr_assert(za_sim_run_until(sim, converged, NULL, 5000), "formed");
    za_sim_run_for(sim, STABLE_MS);
    cr_assert(store.asked == 0, "nobody asks while all are there");
    return sim;
}

/** Nodes that took another uid since `before`: they gave up. A bit for each. */
static uint32_t reborn(za_sim_t *sim, const uint64_t before[NODES])
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        bits |= za_node_uid(za_sim_node(sim, i)) != before[i] ? UINT32_C(1) << i : 0;
    }
    return bits;
}

static void uids_of(za_sim_t *sim, uint64_t out[NODES])
{
    for (uint32_t i = 0; i < NODES; i++) {
        out[i] = za_node_uid(za_sim_node(sim, i));
    }
}

Test(lease, goes_to_one_side_and_the_other_one_gives_up)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        za_sim_t *sim = formed(seed);
        uint64_t before[NODES];
        uids_of(sim, before);
        za_sim_partition(sim, 3);
        za_sim_run_for(sim, DECIDED_MS);
        uint32_t gave_up = reborn(sim, before);
        cr_assert(gave_up == 3 || gave_up == 12, "seed %d: %x", (int)seed, gave_up);
        cr_assert(store.taken > 0, "somebody took it");
        za_sim_heal(sim);
        cr_assert(za_sim_run_until(sim, converged, NULL, DECIDED_MS), "one cluster again");
        za_sim_destroy(sim);
    }
}

static uint32_t node_of(za_sim_t *sim, uint64_t uid)
{
    uint32_t node = 0;
    while (node < NODES && za_node_uid(za_sim_node(sim, node)) != uid) {
        node++;
    }
    cr_assert(node < NODES, "somebody has it");
    return node;
}

// The lease of a split is still in the store when the next trouble begins. That it was taken by one who
// is gone now says nothing of who may go on: its own side has won with it, and takes it again.
Test(lease, of_the_split_before_does_not_decide_the_next)
{
    za_sim_t *sim = formed(7);
    za_sim_partition(sim, 1); // three against one
    while (store.taken == 0) {
        za_sim_run_for(sim, 100);
    }
    za_sim_run_for(sim, 1000); // it is decided
    store.until_ms = UINT64_MAX;
    uint32_t holder = node_of(sim, store.holder);
    cr_assert(holder != 0, "a majority asks first");
    uint64_t before[NODES];
    uids_of(sim, before);
    za_sim_crash(sim, holder);
    za_sim_run_for(sim, DECIDED_MS);
    for (uint32_t i = 1; i < NODES; i++) {
        cr_expect(i == holder || za_node_uid(za_sim_node(sim, i)) == before[i],
                  "n%u gave up with the majority beside it", i);
    }
    cr_expect(store.taken >= 2, "it was taken again");
    za_sim_destroy(sim);
}

Test(lease, that_nobody_can_ask_for_is_lost_by_all)
{
    za_sim_t *sim = formed(5);
    uint64_t before[NODES];
    uids_of(sim, before);
    store.away = true;
    za_sim_partition(sim, 1);
    za_sim_run_for(sim, 2 * DECIDED_MS);
    cr_assert(reborn(sim, before) == 15, "%x gave up", reborn(sim, before));
    cr_assert(store.asked > 0 && store.taken == 0, "they asked");
    za_sim_destroy(sim);
}

typedef struct claimer {
    uint32_t ups;
} claimer_t;

static struct {
    za_err_t at_start, again;
    uint32_t taken_at; // the za_MemberUp at which it was given, from 1
    uint32_t lost, asks;
    za_NameLost last_lost;
} claims;

static za_verdict_t on_claimer(za_ctx_t *ctx, claimer_t *self, const za_Started *started)
{
    (void)self, (void)started;
    claims.at_start = za_register(ctx, "db");
    return ZA_DONE;
}

static za_verdict_t on_up(za_ctx_t *ctx, claimer_t *self, const za_MemberUp *up)
{
    (void)up;
    self->ups++;
    if (claims.taken_at == 0 && za_register(ctx, "db") == ZA_OK) {
        claims.taken_at = self->ups;
    }
    return ZA_DONE;
}

static za_verdict_t on_reborn(za_ctx_t *ctx, claimer_t *self, const za_Reborn *news)
{
    (void)self, (void)news;
    claims.asks++;
    claims.again = za_register(ctx, "other");
    return ZA_DONE;
}

static za_verdict_t on_name_lost(za_ctx_t *ctx, claimer_t *self, const za_NameLost *lost)
{
    (void)ctx, (void)self;
    claims.lost++;
    claims.last_lost = *lost;
    return ZA_DONE;
}
ZA_ACTOR(claimer, claimer_t, (za_Started, on_claimer), (za_MemberUp, on_up), (za_Reborn, on_reborn),
         (za_NameLost, on_name_lost));

// Who registers as soon as it starts would else lose the name without having had it, and stop for good.
Test(lease, names_are_refused_until_this_side_may_go_on)
{
    memset(&claims, 0, sizeof claims);
    za_sim_t *sim = created(8);
    cr_assert(za_sim_spawn(sim, 1, claimer, NULL) == ZA_OK, "spawned");
    cr_assert(za_sim_run_until(sim, converged, NULL, 5000), "formed");
    za_sim_run_for(sim, STABLE_MS);
    cr_expect(claims.at_start == ZA_EUNAVAILABLE, "%s", za_err_name(claims.at_start));
    cr_expect(claims.taken_at == 1, "at the first member that is up: %u", claims.taken_at);
    cr_expect(claims.lost == 0, "it has the name");
    za_sim_partition(sim, 2); // it is alone
    za_sim_run_for(sim, DECIDED_MS);
    cr_assert(claims.asks > 0 && claims.lost > 0, "it gave up, and the name with it");
    cr_expect(claims.last_lost.reason == za_NameLoss_NAME_GIVEN_UP &&
                  za_ref_is_none(claims.last_lost.winner),
              "reason %d", (int)claims.last_lost.reason);
    cr_expect(claims.again == ZA_EUNAVAILABLE, "%s", za_err_name(claims.again));
    za_sim_destroy(sim);
}

Test(lease, answers_that_are_none_are_refused)
{
    za_sim_t *sim = formed(6);
    za_node_t *node = za_sim_node(sim, 0);
    za_lease_answer_t good = { .size = sizeof good, .holder = 7, .revision = 1 };
    cr_assert(za_node_answer_lease(node, &good) == ZA_OK, "too late: nothing was asked");
    za_lease_answer_t bad = good;
    bad.revision = 0;
    cr_assert(za_node_answer_lease(node, &bad) == ZA_EINVAL, "a holder without a revision");
    bad = good;
    bad.err = ZA_ETIMEOUT;
    cr_assert(za_node_answer_lease(node, &bad) == ZA_EINVAL, "an answer and none");
    bad = good;
    bad.size = 8;
    cr_assert(za_node_answer_lease(node, &bad) == ZA_EINVAL, "of another version");
    cr_assert(za_node_answer_lease(NULL, &good) == ZA_EINVAL && za_node_answer_lease(node, NULL),
              "nothing");
    za_sim_run_for(sim, 1000);
    cr_assert(za_sim_converged(sim), "and nothing came of it");
    za_sim_destroy(sim);
}

Test(lease, simulations_want_a_whole_provider)
{
    za_sim_t *sim = NULL;
    za_lease_provider_t none = { .size = sizeof none };
    za_sim_opts_t opts = { .size = sizeof opts, .nodes = 1, .lease = &none };
    cr_assert(za_sim_create(&opts, &sim) == ZA_EINVAL && sim == NULL, "it asks nobody");
}

/* ---- the other strategies --------------------------------------------------------------------- */

static const char *const oldest_roles[NODES] = { "db", "db", NULL, NULL };

/** A cluster of these options, split into the nodes of `side` and the others until it is decided. */
static uint32_t reborn_after_split(za_sim_opts_t opts, uint64_t side)
{
    za_sim_t *sim = NULL;
    opts.size = sizeof opts;
    opts.nodes = NODES;
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK, "created");
    cr_assert(za_sim_run_until(sim, converged, NULL, 30000), "formed");
    za_sim_run_for(sim, 2 * STABLE_MS);
    uint64_t before[NODES];
    uids_of(sim, before);
    za_sim_partition(sim, side);
    za_sim_run_for(sim, 4 * DECIDED_MS);
    uint32_t bits = reborn(sim, before);
    za_sim_heal(sim);
    cr_assert(za_sim_run_until(sim, converged, NULL, 4 * DECIDED_MS), "one cluster again");
    za_sim_destroy(sim);
    return bits;
}

Test(sim_downing, every_strategy_of_the_configuration_can_be_tried, .timeout = 120)
{
    za_sim_opts_t majority = { .seed = 1, .downing = "keep_majority" };
    cr_expect(reborn_after_split(majority, 0x1) == 0x1, "one of four loses");
    za_sim_opts_t quorum = { .seed = 2, .downing = "static_quorum", .downing_quorum = 3 };
    cr_expect(reborn_after_split(quorum, 0x3) == 0xf, "no half has a quorum of three");
    za_sim_opts_t role = {
        .seed = 3, .downing = "keep_majority", .downing_role = "db", .roles = oldest_roles
    };
    cr_expect(reborn_after_split(role, 0xe) != 0xf, "one of the two that count goes on");
    za_sim_opts_t all = { .seed = 4, .downing = "down_all" };
    cr_expect(reborn_after_split(all, 0x1) == 0xf, "all begin anew");
    za_sim_opts_t wan = { .seed = 5, .downing = "keep_majority", .timing = "wan" };
    cr_expect(reborn_after_split(wan, 0x8) == 0x8, "with the times of a wide area");
}

Test(sim_downing, what_a_configuration_refuses_is_refused)
{
    static const za_sim_opts_t wrong[] = {
        { .downing = "keep_all" },
        { .timing = "moon" },
        { .downing = "lease" },
        { .downing = "static_quorum" },
        { .downing = "keep_majority", .downing_quorum = 2 },
        { .downing = "keep_majority", .downing_keep_lone_oldest = true },
        { .downing = "keep_majority", .downing_stable_after_ms = 4999 },
        { .downing = "keep_majority", .downing_stable_after_ms = 5000, .timing = "wan" },
        { .downing_stable_after_ms = 5000 },
        { .downing_role = "db" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        za_sim_t *sim = NULL;
        za_sim_opts_t opts = wrong[i];
        opts.size = sizeof opts;
        opts.nodes = 1;
        cr_expect(za_sim_create(&opts, &sim) == ZA_EINVAL && sim == NULL, "number %zu", i);
        za_sim_destroy(sim);
    }
}
