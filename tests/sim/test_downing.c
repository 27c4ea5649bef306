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
