#include <stdlib.h>

#include "sim/trial.h"
#include "support/seeds.h"
#include "support/za_test.h"

/** Splits as drawn; decided by a lease instead of the strategy that was drawn, if `lease`. */
static void run_splits(uint64_t count, bool lease)
{
    za_seeds_t seeds = za_seeds(count);
    uint64_t kept = 0;
    uint64_t gave_up = 0;
    za_plan_t *plan = malloc(sizeof *plan);
    za_trial_result_t *result = malloc(sizeof *result);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        za_plan_draw_splits(plan, seed);
        if (lease) {
            plan->downing = ZA_DOWNING_LEASE;
            plan->quorum = 0;
        }
        cr_assert(za_trial_run(plan, NULL, result) == ZA_OK, "memory");
        if (result->failure.failed) {
            za_plan_write(plan, stderr); // for zasim run --plan
        }
        cr_assert(!result->failure.failed, "seed %" PRIu64 ": %s at %" PRIu64 " ms: %s", seed,
                  result->failure.oracle, result->failure.at_us / 1000, result->failure.text);
        kept += result->stats.marks[ZA_MARK_DOWNING_KEPT];
        gave_up +=
            result->stats.marks[ZA_MARK_DOWNING_SELF] + result->stats.marks[ZA_MARK_DOWNING_FENCED];
    }
    cr_assert(!seeds.enough || (kept > 0 && gave_up > 0), "%" PRIu64 " kept, %" PRIu64 " gave up",
              kept, gave_up);
    free(result);
    free(plan);
}

// S1, S2, S3 (oracle_downing.h), and all that holds of membership and services, in consistency mode.
Test(downing, splits_of_simulated_clusters_have_one_winner, .timeout = 600)
{
    run_splits(12, false);
}

Test(downing, splits_of_simulated_clusters_have_one_winner_by_a_lease, .timeout = 600)
{
    run_splits(6, true);
}

static void add_split(za_plan_t *plan, uint32_t start_ms, uint32_t length_ms, uint32_t alone)
{
    za_fault_t *fault = za_plan_add(plan, ZA_FAULT_PARTITION, start_ms, length_ms);
    za_fault_add_host(fault->a, alone);
    for (uint32_t host = 0; host < plan->nodes; host++) {
        if (host != alone) {
            za_fault_add_host(fault->b, host);
        }
    }
}

// Two of three win a split with the lease, and are split themselves while the store still has it. Not all
// that won have heard who took it, and who did may have lost the answer: neither may go on with it.
Test(downing, a_lease_decides_one_split, .timeout = 120)
{
    za_seeds_t seeds = za_seeds(30);
    za_plan_t *plan = malloc(sizeof *plan);
    za_trial_result_t *result = malloc(sizeof *result);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        za_plan_init(plan, seed, 3);
        plan->services = 1; // whose oracles compare verdicts
        plan->timing = ZA_PLAN_LOCAL;
        plan->downing = ZA_DOWNING_LEASE;
        plan->duration_ms = 60000;
        add_split(plan, 20000, 10800, 2);
        add_split(plan, 29900, 3100, 1);
        cr_assert(za_trial_run(plan, NULL, result) == ZA_OK, "memory");
        cr_assert(!result->failure.failed, "seed %" PRIu64 ": %s: %s", seed, result->failure.oracle,
                  result->failure.text);
    }
    free(result);
    free(plan);
}
