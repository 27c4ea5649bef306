/**
 * Shrink: a failing plan made smaller while it fails in the same way: delta debugging (Zeller,
 * Hildebrandt 2002) over the faults, then fewer nodes, less time, a quieter network.
 */
#pragma once

#include "sim/trial.h"

typedef struct za_shrink_options {
    uint32_t trials_max; // 0: 2,000
    /** After each success; NULL: silent. */
    void (*progress)(void *context, const za_plan_t *best, uint32_t trials);
    void *context;
} za_shrink_options_t;

/** ZA_EINVAL if `plan` does not fail. `plan` becomes the smaller one, `failure` what it fails with. */
za_err_t za_shrink(za_plan_t *plan, const za_shrink_options_t *options,
                   za_realm_failure_t *failure);
