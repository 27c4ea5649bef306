// Runs one trial, and measures how fast trials run.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "zasim.h"

static void print_line(void *context, const char *line)
{
    (void)context;
    puts(line);
}

static bool read_plan(const options_t *options, za_plan_t *plan)
{
    FILE *in = strcmp(options->plan_file, "-") == 0 ? stdin : fopen(options->plan_file, "r");
    if (in == NULL) {
        perror(options->plan_file);
        return false;
    }
    char problem[160];
    za_err_t err = za_plan_read(plan, in, problem, sizeof problem);
    if (in != stdin) {
        fclose(in);
    }
    if (err != ZA_OK) {
        say(STATUS_USAGE, "%s: %s", options->plan_file, problem);
    }
    return err == ZA_OK;
}

void draw_plan(const options_t *options, uint64_t seed, za_plan_t *plan)
{
    if (options->splits) {
        za_plan_draw_splits(plan, seed);
    } else {
        za_plan_draw(plan, seed, options->nodes, options->services);
    }
    if (options->hours) {
        za_plan_stretch(plan);
    }
}

bool make_plan(const options_t *options, za_plan_t *plan)
{
    if (options->plan_file != NULL) {
        return read_plan(options, plan);
    }
    if (options->faults || options->splits) {
        draw_plan(options, options->seed, plan);
        return true;
    }
    za_plan_init(plan, options->seed, options->nodes != 0 ? options->nodes : 5);
    plan->services = options->services;
    plan->datagrams = options->datagrams;
    plan->loss_ppm = options->loss_percent * (ZA_PER_MILLION / 100);
    if (options->minutes != 0) {
        plan->duration_ms = options->minutes * 60000;
    }
    return true;
}

static void print_result(const options_t *options, const za_plan_t *plan,
                         const za_trial_result_t *result, double cpu)
{
    double node_hours = (double)result->stats.host_us / 3.6e9;
    sheet_t *sheet = sheet_create(options->json);
    sheet_text(sheet, "seed", "%" PRIu64, plan->seed);
    sheet_number(sheet, "nodes", plan->nodes, 0);
    sheet_number(sheet, "faults", plan->fault_count, 0);
    sheet_text(sheet, "verdict", "%s", result->failure.failed ? result->failure.oracle : "ok");
    sheet_number(sheet, "settled_ms", result->settled_ms, 0);
    sheet_number(sheet, "node_hours", node_hours, 3);
    sheet_number(sheet, "events", (double)result->stats.events, 0);
    sheet_number(sheet, "cpu_s", cpu, 3);
    sheet_number(sheet, "node_hours_per_cpu_s", cpu > 0 ? node_hours / cpu : 0, 1);
    sheet_text(sheet, "hash", "%016" PRIx64, result->hash);
    sheet_end_row(sheet);
    sheet_print(sheet);
}

static bool trace_host(const options_t *options, uint32_t *host)
{
    *host = UINT32_MAX;
    return strcmp(options->trace, "all") == 0 || sscanf(options->trace, "node=%" SCNu32, host) == 1;
}

status_t verb_run(const options_t *options)
{
    static za_plan_t plan; // too large for a stack
    if (!make_plan(options, &plan)) {
        return STATUS_USAGE;
    }
    za_trial_options_t trial = { .no_oracles = options->no_oracles };
    if (options->trace != NULL) {
        if (!trace_host(options, &trial.trace_host)) {
            return say(STATUS_USAGE, "--trace: %s is neither all nor node=N", options->trace);
        }
        trial.trace = print_line;
    }
    za_trial_result_t result;
    double before = cpu_seconds();
    za_err_t err = za_trial_run(&plan, &trial, &result);
    if (err != ZA_OK) {
        return say(STATUS_USAGE, "cannot run: %s", za_err_text(err));
    }
    print_result(options, &plan, &result, cpu_seconds() - before);
    if (result.failure.failed) {
        return say(STATUS_VIOLATION, "seed %" PRIu64 ": %s at %.6f s: %s", plan.seed,
                   result.failure.oracle, (double)result.failure.at_us / 1e6, result.failure.text);
    }
    return STATUS_OK;
}

typedef struct speed {
    uint32_t nodes;
    bool services, datagrams, oracles;
} speed_t;

/** CPU seconds, events and node-hours of that many minutes, with the joins before. */
static bool run_minutes(const options_t *options, const speed_t *speed, uint32_t minutes,
                        double *cpu, double *events, double *node_hours)
{
    static za_plan_t plan;
    za_plan_init(&plan, options->seed, speed->nodes);
    plan.services = speed->services;
    plan.datagrams = speed->datagrams;
    plan.duration_ms = minutes * 60000;
    za_trial_result_t result;
    double before = cpu_seconds();
    za_err_t err =
        za_trial_run(&plan, &(za_trial_options_t){ .no_oracles = !speed->oracles }, &result);
    *cpu = cpu_seconds() - before;
    *events = (double)result.stats.events;
    *node_hours = (double)result.stats.host_us / 3.6e9;
    return err == ZA_OK && !result.failure.failed;
}

/** What is left of a longer run without a shorter one is idle time. */
static bool measure_speed(sheet_t *sheet, const options_t *options, const speed_t *speed)
{
    uint32_t minutes = options->minutes != 0 ? options->minutes : 10;
    double cpu[2];
    double events[2];
    double node_hours[2];
    if (!run_minutes(options, speed, 1, &cpu[0], &events[0], &node_hours[0]) ||
        !run_minutes(options, speed, 1 + minutes, &cpu[1], &events[1], &node_hours[1])) {
        return false;
    }
    double idle_cpu = cpu[1] - cpu[0];
    double idle_hours = node_hours[1] - node_hours[0];
    sheet_number(sheet, "nodes", speed->nodes, 0);
    sheet_text(sheet, "services", "%s", speed->services ? "yes" : "no");
    sheet_text(sheet, "transport", "%s", speed->datagrams ? "auto" : "tls");
    sheet_text(sheet, "oracles", "%s", speed->oracles ? "yes" : "no");
    sheet_number(sheet, "joins_cpu_s", cpu[0], 2);
    sheet_number(sheet, "node_hours", idle_hours, 1);
    sheet_number(sheet, "ns_per_event", idle_cpu * 1e9 / (events[1] - events[0]), 0);
    sheet_number(sheet, "node_hours_per_cpu_s", idle_hours / idle_cpu, 1);
    sheet_end_row(sheet);
    return true;
}

status_t verb_speed(const options_t *options)
{
    sheet_t *sheet = sheet_create(options->json);
    uint32_t nodes = options->nodes != 0 ? options->nodes : 128;
    for (int services = 0; services < 2; services++) {
        for (int oracles = 0; oracles < 2; oracles++) {
            speed_t speed = { nodes, services != 0, options->datagrams, oracles != 0 };
            if (!measure_speed(sheet, options, &speed)) {
                return say(STATUS_VIOLATION, "an idle cluster of %u fails", nodes);
            }
        }
    }
    sheet_print(sheet);
    return STATUS_OK;
}
