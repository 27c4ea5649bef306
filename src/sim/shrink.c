#include "sim/shrink.h"

#include <stdlib.h>
#include <string.h>

enum { TRIALS_DEFAULT = 2000 };

typedef struct shrink {
    za_plan_t *best, *attempt;
    const za_shrink_options_t *options;
    uint32_t trials, trials_max;
    za_realm_failure_t failure; // of `best`
} shrink_t;

/** Whether `attempt` fails as `best` does; it is the best then. */
static bool try_attempt(shrink_t *shrink)
{
    za_trial_result_t result;
    if (shrink->trials == shrink->trials_max) {
        return false;
    }
    shrink->trials++;
    if (za_trial_run(shrink->attempt, NULL, &result) != ZA_OK || !result.failure.failed ||
        strcmp(result.failure.oracle, shrink->failure.oracle) != 0) {
        return false;
    }
    *shrink->best = *shrink->attempt;
    shrink->failure = result.failure;
    if (shrink->options != NULL && shrink->options->progress != NULL) {
        shrink->options->progress(shrink->options->context, shrink->best, shrink->trials);
    }
    return true;
}

/** The best plan without faults [from, to). */
static void without_faults(shrink_t *shrink, uint32_t from, uint32_t to)
{
    *shrink->attempt = *shrink->best;
    za_plan_t *plan = shrink->attempt;
    memmove(&plan->faults[from], &plan->faults[to],
            (plan->fault_count - to) * sizeof plan->faults[0]);
    plan->fault_count -= to - from;
    memset(&plan->faults[plan->fault_count], 0, (to - from) * sizeof plan->faults[0]);
}

/** Takes away ever smaller runs of faults. */
static bool fewer_faults(shrink_t *shrink)
{
    bool smaller = false;
    for (uint32_t size = shrink->best->fault_count; size > 0; size /= 2) {
        uint32_t at = 0;
        while (at < shrink->best->fault_count) {
            uint32_t end = at + size;
            end = end < shrink->best->fault_count ? end : shrink->best->fault_count;
            without_faults(shrink, at, end);
            if (try_attempt(shrink)) {
                smaller = true;
            } else {
                at = end;
            }
        }
    }
    return smaller;
}

static void cut_set(uint64_t *set, uint32_t hosts)
{
    for (uint32_t host = hosts; host < ZA_PLAN_SET_HOSTS; host++) {
        set[host / 64] &= ~(UINT64_C(1) << (host % 64));
    }
}

static bool fewer_nodes(shrink_t *shrink)
{
    bool smaller = false;
    for (uint32_t step = shrink->best->nodes / 2; step > 0; step /= 2) {
        while (shrink->best->nodes > step) {
            *shrink->attempt = *shrink->best;
            shrink->attempt->nodes -= step;
            if (shrink->attempt->quorum > shrink->attempt->nodes) { // it could never be met
                shrink->attempt->quorum = shrink->attempt->nodes / 2 + 1;
            }
            for (uint32_t i = 0; i < shrink->attempt->fault_count; i++) {
                cut_set(shrink->attempt->faults[i].a, shrink->attempt->nodes);
                cut_set(shrink->attempt->faults[i].b, shrink->attempt->nodes);
            }
            if (!try_attempt(shrink)) {
                break;
            }
            smaller = true;
        }
    }
    return smaller;
}

static bool less_time(shrink_t *shrink)
{
    bool smaller = false;
    // It need not go on after the failure, unless that is about the end.
    uint32_t failed_ms = (uint32_t)(shrink->failure.at_us / ZA_US_PER_MS) + 1;
    *shrink->attempt = *shrink->best;
    if (failed_ms < shrink->best->duration_ms && failed_ms > shrink->best->start_ms) {
        shrink->attempt->duration_ms = failed_ms;
        smaller |= try_attempt(shrink);
    }
    for (uint32_t step = shrink->best->duration_ms / 2; step > 500; step /= 2) {
        *shrink->attempt = *shrink->best;
        if (shrink->best->duration_ms > shrink->best->start_ms + step) {
            shrink->attempt->duration_ms -= step;
            smaller |= try_attempt(shrink);
        }
    }
    return smaller;
}

/** Whatever is not needed for the failure is set to nothing. */
static bool less_of_all(shrink_t *shrink)
{
    static const size_t offsets[] = {
        offsetof(za_plan_t, loss_ppm),  offsetof(za_plan_t, duplicate_ppm),
        offsetof(za_plan_t, drift_ppm), offsetof(za_plan_t, late_us),
        offsetof(za_plan_t, start_ms),  offsetof(za_plan_t, work),
        offsetof(za_plan_t, services),  offsetof(za_plan_t, downing),
        offsetof(za_plan_t, names),
    };
    bool smaller = false;
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        *shrink->attempt = *shrink->best;
        uint32_t *value = (uint32_t *)(void *)((char *)shrink->attempt + offsets[i]);
        if (*value != 0) {
            *value = 0;
            smaller |= try_attempt(shrink);
        }
    }
    return smaller;
}

static bool shorter_faults(shrink_t *shrink)
{
    bool smaller = false;
    for (uint32_t i = 0; i < shrink->best->fault_count; i++) {
        *shrink->attempt = *shrink->best;
        shrink->attempt->faults[i].length_ms /= 2;
        smaller |= shrink->attempt->faults[i].length_ms > 0 && try_attempt(shrink);
    }
    return smaller;
}

za_err_t za_shrink(za_plan_t *plan, const za_shrink_options_t *options, za_realm_failure_t *failure)
{
    za_trial_result_t result;
    za_err_t err = za_trial_run(plan, NULL, &result);
    if (err == ZA_OK && !result.failure.failed) {
        err = ZA_EINVAL;
    }
    if (err != ZA_OK) {
        return err;
    }
    shrink_t shrink = { .best = plan,
                        .attempt = malloc(sizeof *plan),
                        .options = options,
                        .failure = result.failure,
                        .trials_max = TRIALS_DEFAULT };
    if (shrink.attempt == NULL) {
        return ZA_ENOMEM;
    }
    if (options != NULL && options->trials_max != 0) {
        shrink.trials_max = options->trials_max;
    }
    bool smaller = true;
    while (smaller && shrink.trials < shrink.trials_max) {
        smaller = less_time(&shrink);
        smaller |= fewer_faults(&shrink);
        smaller |= fewer_nodes(&shrink);
        smaller |= less_of_all(&shrink);
        smaller |= shorter_faults(&shrink);
    }
    free(shrink.attempt);
    *failure = shrink.failure;
    return ZA_OK;
}
