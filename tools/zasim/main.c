#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zasim.h"

const char *argp_program_version = "zasim " ZA_VERSION_TEXT;

typedef struct verb {
    const char *name;
    verb_fn *run;
    const char *help;
} verb_t;

// clang-format off
static const verb_t verbs[] = {
    { "run", verb_run, "one trial: --faults draws it from the seed, --plan reads it" },
    { "replay", verb_run, "the same, for a run that is known: with --trace" },
    { "plan", verb_plan, "prints the plan that a seed draws" },
    { "shrink", verb_shrink, "makes a failing plan small, and prints it" },
    { "soak", verb_soak, "one seed after another, in --jobs processes; goes on after --state" },
    { "speed", verb_speed, "simulated node-hours for each second of CPU" },
    { "detect", verb_detect, "a process is killed, a host is gone: until all know" },
    { "join", verb_join, "all start at once: until all see all" },
    { "leave", verb_leave, "a graceful end: until all see it" },
    { "spread", verb_spread, "one update: until all have it, and whom it misses" },
    { "loss", verb_loss, "hours of --loss percent: false failures" },
    { "registry", verb_registry, "how fast names spread, also with pushes lost; newcomers" },
    { "starve", verb_starve, "nodes that receive nothing for 16 s: false failures, beside plain SWIM" },
};
// clang-format on

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

enum {
    FLAG_FAULTS = 256,
    FLAG_SERVICES,
    FLAG_HOURS,
    FLAG_SPLITS,
    FLAG_TLS,
    FLAG_LOSS,
    FLAG_NO_ORACLES,
    FLAG_PLAN,
    FLAG_TRACE,
    FLAG_RUNS,
    FLAG_SEEDS,
    FLAG_APART,
    FLAG_JOBS,
    FLAG_STATE,
    FLAG_CHECK,
    FLAG_WRITE,
};

static const struct argp_option flags[] = {
    { "seed", 's', "N", 0, "everything follows from it (default 1)", 0 },
    { "nodes", 'n', "N", 0, "size of the cluster", 0 },
    { "minutes", 'm', "N", 0, "of virtual time", 0 },
    { "faults", FLAG_FAULTS, NULL, 0, "run: draw faults, and everything else, from the seed", 0 },
    { "plan", FLAG_PLAN, "FILE", 0, "run a written plan; - is stdin", 0 },
    { "services", FLAG_SERVICES, NULL, 0, "registry, watches and children as well", 0 },
    { "hours", FLAG_HOURS, NULL, 0, "faults far apart: trials of 10 minutes to 30 hours", 0 },
    { "splits", FLAG_SPLITS, NULL, 0, "consistency mode: partitions and crashes, one at a time",
      0 },
    { "tls", FLAG_TLS, NULL, 0, "transport = tls: no datagrams", 0 },
    { "loss", FLAG_LOSS, "PERCENT", 0, "of all packets", 0 },
    { "no-oracles", FLAG_NO_ORACLES, NULL, 0, "do not check", 0 },
    { "trace", FLAG_TRACE, "all|node=N", 0, "a line for each event and effect", 0 },
    { "seeds", FLAG_SEEDS, "N", 0, "hosts whose addresses all are given (default 2)", 0 },
    { "apart", FLAG_APART, "MS", 0, "join: from one start to the next (default 0)", 0 },
    { "runs", FLAG_RUNS, "N", 0, "how often an experiment is repeated", 0 },
    { "jobs", FLAG_JOBS, "N", 0, "processes at once (default: cores)", 0 },
    { "state", FLAG_STATE, "FILE", 0, "soak: where the running total is kept", 0 },
    { "check", FLAG_CHECK, NULL, 0, "exit status 1 if a figure misses its bound", 0 },
    { "write", FLAG_WRITE, "FILE", 0, "write the plan there, too", 0 },
    { "output", 'o', "FORM", 0, "table or json", 0 },
    { 0 },
};

static void take_number(struct argp_state *state, const char *text, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value > max) {
        argp_error(state, "%s is not a number up to %" PRIu64, text, max);
    }
    *out = value;
}

static uint32_t number(struct argp_state *state, const char *text, uint32_t max)
{
    uint64_t value = 0;
    take_number(state, text, max, &value);
    return (uint32_t)value;
}

static error_t take_flag(int key, char *value, struct argp_state *state)
{
    options_t *options = state->input;
    switch (key) {
    case 's':
        take_number(state, value, UINT64_MAX, &options->seed);
        options->seed_given = true;
        break;
    case 'n':
        options->nodes = number(state, value, ZA_REALM_HOSTS_MAX);
        break;
    case 'm':
        options->minutes = number(state, value, 60 * 24 * 7);
        break;
    case 'o':
        if (strcmp(value, "json") != 0 && strcmp(value, "table") != 0) {
            argp_error(state, "-o: %s is neither table nor json", value);
        }
        options->json = strcmp(value, "json") == 0;
        break;
    case FLAG_FAULTS:
        options->faults = true;
        break;
    case FLAG_SERVICES:
        options->services = true;
        break;
    case FLAG_HOURS:
        options->hours = true;
        break;
    case FLAG_SPLITS:
        options->splits = true;
        break;
    case FLAG_TLS:
        options->datagrams = false;
        break;
    case FLAG_LOSS:
        options->loss_percent = number(state, value, 100);
        break;
    case FLAG_NO_ORACLES:
        options->no_oracles = true;
        break;
    case FLAG_PLAN:
        options->plan_file = value;
        break;
    case FLAG_TRACE:
        options->trace = value;
        break;
    case FLAG_SEEDS:
        options->seeds = number(state, value, ZA_REALM_SEEDS_MAX);
        break;
    case FLAG_APART:
        options->apart_ms = number(state, value, 60000);
        break;
    case FLAG_RUNS:
        options->runs = number(state, value, 1000000);
        break;
    case FLAG_JOBS:
        options->jobs = number(state, value, 256);
        break;
    case FLAG_STATE:
        options->state_file = value;
        break;
    case FLAG_CHECK:
        options->check = true;
        break;
    case FLAG_WRITE:
        options->output_file = value;
        break;
    case ARGP_KEY_ARG:
        if (options->word_count == (int)(sizeof options->words / sizeof options->words[0])) {
            argp_error(state, "too many arguments");
        }
        options->words[options->word_count++] = value;
        break;
    case ARGP_KEY_END:
        if (options->word_count == 0) {
            argp_usage(state);
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/** The verbs stand before what argp prints last. */
static char *list_verbs(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC) {
        return (char *)text;
    }
    size_t bytes = strlen(text) + 16;
    for (int i = 0; i < VERB_COUNT; i++) {
        bytes += strlen(verbs[i].help) + 16;
    }
    char *all = malloc(bytes);
    if (all == NULL) {
        return (char *)text;
    }
    int used = snprintf(all, bytes, "Verbs:\n");
    for (int i = 0; i < VERB_COUNT; i++) {
        used +=
            snprintf(all + used, bytes - (size_t)used, "  %-8s %s\n", verbs[i].name, verbs[i].help);
    }
    snprintf(all + used, bytes - (size_t)used, "\n%s", text);
    return all;
}

static const struct argp parser = {
    .options = flags,
    .parser = take_flag,
    .args_doc = "VERB [ARGUMENT...]",
    .doc =
        "Simulated clusters: the membership, registry and watches of ZActor in virtual time, under "
        "faults, from one seed.\v"
        "Exit status: 0 all is well, 1 an oracle failed or a figure missed its bound, 2 usage.",
    .help_filter = list_verbs,
};

int main(int argc, char **argv)
{
    options_t options = { .seed = 1, .datagrams = true };
    argp_err_exit_status = STATUS_USAGE;
    argp_parse(&parser, argc, argv, 0, NULL, &options);
    for (int i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, options.words[0]) == 0) {
            return (int)verbs[i].run(&options);
        }
    }
    return (int)say(STATUS_USAGE, "there is no verb %s; see zasim --help", options.words[0]);
}
