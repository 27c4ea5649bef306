// Makes a failing run small.

#include "sim/shrink.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "zasim.h"

static void print_progress(void *context, const za_plan_t *best, uint32_t trials)
{
    (void)context;
    fprintf(stderr, "\r%4u trials: %3u faults, %4u nodes, %8u ms  ", trials, best->fault_count,
            best->nodes, best->duration_ms);
}

static bool write_plan(const options_t *options, const za_plan_t *plan)
{
    if (options->output_file == NULL) {
        za_plan_write(plan, stdout);
        return true;
    }
    FILE *out = fopen(options->output_file, "w");
    if (out == NULL) {
        perror(options->output_file);
        return false;
    }
    za_plan_write(plan, out);
    return fclose(out) == 0;
}

status_t verb_shrink(const options_t *options)
{
    static za_plan_t plan; // too large for a stack
    options_t drawn = *options;
    drawn.faults = true;
    if (!make_plan(&drawn, &plan)) {
        return STATUS_USAGE;
    }
    za_shrink_options_t shrink = { .trials_max = options->runs, .progress = print_progress };
    za_realm_failure_t failure;
    za_err_t err = za_shrink(&plan, &shrink, &failure);
    if (err == ZA_EINVAL) {
        return say(STATUS_USAGE, "seed %" PRIu64 " does not fail", plan.seed);
    }
    if (err != ZA_OK) {
        return say(STATUS_USAGE, "cannot run: %s", za_err_text(err));
    }
    fputc('\n', stderr);
    say(STATUS_OK, "%s at %.6f s: %s", failure.oracle, (double)failure.at_us / 1e6, failure.text);
    return write_plan(options, &plan) ? STATUS_OK : STATUS_USAGE;
}

status_t verb_plan(const options_t *options)
{
    static za_plan_t plan;
    options_t drawn = *options;
    drawn.faults = true;
    if (!make_plan(&drawn, &plan)) {
        return STATUS_USAGE;
    }
    return write_plan(options, &plan) ? STATUS_OK : STATUS_USAGE;
}
