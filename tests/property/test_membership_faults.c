// Membership under random faults: after they end, one view, one uid per live node, and nobody who
// is well is left out. ZACTOR_LONG=<seeds> runs that many seeds per size; ZACTOR_SEED=<n> one.
#include "../cluster/mini_net.h"

enum { SEEDS = 100, HEAL_BOUND_MS = 60000 };

typedef struct faults {
    bool loss, duplicates, splits, cuts, crashes, pauses, operators;
} faults_t;

static bool toss(za_rng_t *rng)
{
    return (za_rng_next(rng) >> 63) != 0;
}

static void one_fault(mini_net_t *net, za_rng_t *rng, const faults_t *faults)
{
    uint32_t a = (uint32_t)za_rng_below(rng, net->count);
    uint32_t b = (uint32_t)za_rng_below(rng, net->count);
    bool on = toss(rng);
    switch (za_rng_below(rng, 8)) {
    case 0:
        net->loss_permille = faults->loss ? (uint32_t)za_rng_below(rng, 300) : 0;
        break;
    case 1:
        net->duplicate_permille = faults->duplicates ? 200 : 0;
        break;
    case 2:
        if (faults->splits) {
            mini_split(net, a, on);
        }
        break;
    case 3:
        if (faults->cuts && a != b) {
            mini_cut(net, a, b, on);
        }
        break;
    case 4:
    case 5:
        if (faults->crashes && net->nodes[a].membership == NULL) {
            mini_start(net, a);
        } else if (faults->crashes) {
            mini_crash(net, a);
        }
        break;
    case 6:
        if (faults->pauses && net->nodes[a].membership != NULL) {
            if (net->nodes[a].paused) {
                mini_resume(net, a);
            } else {
                mini_pause(net, a);
            }
        }
        break;
    default:
        if (faults->operators && net->nodes[a].membership != NULL && !net->nodes[a].paused) {
            mini_step(
                net, a,
                (za_cluster_event_t){ .type = ZA_CLUSTER_DOWN_NODE, .name = net->nodes[b].name });
        }
        break;
    }
}

static void run(uint64_t seed, uint32_t count)
{
    za_rng_t rng;
    za_rng_init(&rng, seed * 1000 + count);
    faults_t faults = {
        .loss = toss(&rng),
        .duplicates = toss(&rng),
        .splits = toss(&rng),
        .cuts = toss(&rng),
        .crashes = toss(&rng),
        .pauses = toss(&rng),
        .operators = za_rng_below(&rng, 4) == 0,
    };
    mini_net_t *net = mini_create(seed, count, za_cluster_timing_lan);
    net->latency_ms = (uint32_t)za_rng_below(&rng, 40);
    mini_start_all(net);
    uint64_t end_ms = net->now_ms + 60000 + za_rng_below(&rng, 60000);
    while (net->now_ms < end_ms) {
        uint64_t wait_ms = za_rng_below(&rng, 6000);
        mini_run(net, wait_ms);
        one_fault(net, &rng, &faults);
        mini_check_owners(net);
    }
    mini_heal(net);
    uint64_t elapsed;
    MINI_RUN_UNTIL(net, mini_converged(net), HEAL_BOUND_MS, elapsed);
    if (elapsed == UINT64_MAX) {
        mini_print(net);
    }
    cr_assert(elapsed != UINT64_MAX, "seed %" PRIu64 ", %u nodes: never one view again", seed,
              count);
    mini_check_owners(net);
    uint64_t rebirths = 0;
    for (uint32_t i = 0; i < count; i++) {
        rebirths += net->nodes[i].reborn;
    }
    mini_run(net, 20000); // and it stays so
    cr_assert(mini_converged(net), "seed %" PRIu64 ", %u nodes: it did not stay one view", seed,
              count);
    for (uint32_t i = 0; i < count; i++) {
        rebirths -= net->nodes[i].reborn;
    }
    cr_assert(rebirths == 0, "seed %" PRIu64 ": reborn after all was well", seed);
    mini_destroy(net);
}

static void run_seeds(uint32_t count, uint64_t seeds)
{
    const char *one = getenv("ZACTOR_SEED");
    if (one != NULL) {
        run(strtoull(one, NULL, 10), count);
        return;
    }
    const char *many = getenv("ZACTOR_LONG");
    uint64_t last = many != NULL ? strtoull(many, NULL, 10) : seeds;
    for (uint64_t seed = 1; seed <= last; seed++) {
        run(seed, count);
    }
}

Test(membership_faults, two_nodes)
{
    run_seeds(2, SEEDS);
}

Test(membership_faults, three_nodes)
{
    run_seeds(3, SEEDS);
}

Test(membership_faults, five_nodes)
{
    run_seeds(5, SEEDS);
}

Test(membership_faults, sixteen_nodes)
{
    run_seeds(16, SEEDS);
}
