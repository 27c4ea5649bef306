#include "sim/shrink.h"

#include <stdlib.h>

#include "support/za_test.h"

/** Sides that were parted until the end have two views, and no time to become one again: M9. */
static void add_failure(za_plan_t *plan)
{
    plan->settle_ms = 50;
    za_fault_t *fault = za_plan_add(plan, ZA_FAULT_PARTITION, 10000, 30000);
    za_fault_add_host(fault->a, 0);
    for (uint32_t host = 1; host < plan->nodes; host++) {
        za_fault_add_host(fault->b, host);
    }
}

static void add_noise(za_plan_t *plan, za_fault_kind_t kind, uint32_t start_ms, uint32_t host)
{
    za_fault_t *fault = za_plan_add(plan, kind, start_ms, 500);
    fault->amount = 1000;
    fault->period_ms = 10;
    za_fault_add_host(fault->a, host);
    za_fault_add_host(fault->b, (host + 1) % plan->nodes);
}

Test(shrink, keeps_the_one_fault_that_matters)
{
    za_plan_t *plan = malloc(sizeof *plan);
    za_plan_init(plan, 1, 7);
    plan->duration_ms = 40000;
    plan->drift_ppm = 100;
    for (uint32_t i = 0; i < 5; i++) {
        add_noise(plan, ZA_FAULT_DUPLICATE, 1000 * i, i);
        add_noise(plan, ZA_FAULT_RESET, 2000 * i, i);
    }
    add_failure(plan);
    add_noise(plan, ZA_FAULT_LOSS, 3000, 2);
    za_realm_failure_t failure;
    za_shrink_options_t options = { .trials_max = 300 };
    cr_assert(za_shrink(plan, &options, &failure) == ZA_OK, "it fails");
    cr_assert(failure.failed && failure.oracle[0] == 'M', "and still does");
    cr_assert(plan->fault_count <= 1, "%u faults are left", plan->fault_count);
    cr_assert(plan->nodes < 7 && plan->drift_ppm == 0, "nothing else is left");
    free(plan);
}

Test(shrink, refuses_a_plan_that_does_not_fail)
{
    za_plan_t *plan = malloc(sizeof *plan);
    za_plan_init(plan, 5, 3);
    za_realm_failure_t failure;
    cr_assert(za_shrink(plan, NULL, &failure) == ZA_EINVAL, "there is nothing to make smaller");
    free(plan);
}
