/**
 * Trial: one run of a plan: the realm is made, its nodes start, the faults come and go, everything is
 * healed and has its time to settle; oracles look all the while.
 */
#pragma once

#include "sim/plan.h"

typedef struct za_trial_result {
    za_realm_failure_t failure;
    bool settled;        // all views were equal within the bound
    uint32_t settled_ms; // after the last fault
    uint64_t hash;
    uint64_t virtual_us;
    za_realm_stats_t stats;
} za_trial_result_t;

typedef struct za_trial_options {
    bool no_oracles;
    uint32_t trace_host; // with `trace`; UINT32_MAX: all
    void (*trace)(void *context, const char *line);
    void *trace_context;
} za_trial_options_t;

/** ZA_EINVAL for a plan that cannot be run, ZA_ENOMEM. A violation is a result, not an error. */
za_err_t za_trial_run(const za_plan_t *plan, const za_trial_options_t *options,
                      za_trial_result_t *out);
/** All running nodes have one view, and all of them are in it. */
bool za_realm_converged(const za_realm_t *realm);
