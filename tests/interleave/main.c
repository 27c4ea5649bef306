/**
 * Usage: interleave [--preemptions N] [--stale N] [--seconds N] [--part K/N] [SCENARIO...]
 *        interleave --list
 *        interleave --replay 'SCENARIO:SCHEDULE'
 * --part 2/4: every fourth scenario, from the second on; the parts together are all of them.
 * Exit status: 0 all promises hold within the bounds, 1 one does not, 2 the run itself went wrong,
 * among it one that `--seconds` of CPU time ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"

typedef struct options {
    zc_bounds_t bounds;
    bool has_preemptions;
    bool has_stale;
    double seconds;
    unsigned part; // from 0
    unsigned parts;
} options_t;

static const zc_scenario_t *find_scenario(const char *name, size_t length)
{
    for (const zc_scenario_t *const *scenario = zc_scenarios; *scenario != NULL; scenario++) {
        if (strlen((*scenario)->name) == length && strncmp((*scenario)->name, name, length) == 0) {
            return *scenario;
        }
    }
    fprintf(stderr, "no such scenario: %.*s\n", (int)length, name);
    exit(2);
}

static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/** Few preemptions first, so that a failure is shown with as few as it takes. */
static void run(const zc_scenario_t *scenario, const options_t *options)
{
    double begin = cpu_seconds();
    zc_bounds_t last = {
        options->has_preemptions ? options->bounds.preemptions : scenario->preemptions,
        options->has_stale ? options->bounds.stale : scenario->stale,
    };
    zc_prepare(scenario);
    zc_result_t result = { 0 };
    unsigned rounds = last.preemptions > last.stale ? last.preemptions : last.stale;
    for (unsigned round = 0; round <= rounds && !result.out_of_time; round++) {
        zc_bounds_t bounds = { round < last.preemptions ? round : last.preemptions,
                               round < last.stale ? round : last.stale };
        result = zc_explore(&bounds, options->seconds);
    }
    printf("%-16s %u preemptions, %u stale: %10llu schedules of up to %llu operations on %u shared "
           "places, %.2f s%s\n",
           scenario->name, last.preemptions, last.stale, (unsigned long long)result.schedules,
           (unsigned long long)result.ops_max, result.places, cpu_seconds() - begin,
           result.out_of_time ? ": OUT OF TIME" : "");
    fflush(stdout);
    if (result.out_of_time) {
        exit(2);
    }
}

static void replay(const char *text)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL) {
        fprintf(stderr, "not SCENARIO:SCHEDULE: %s\n", text);
        exit(2);
    }
    zc_prepare(find_scenario(text, (size_t)(colon - text)));
    zc_replay(colon + 1);
}

/** "K/N", K from 1 to N. */
static void set_part(options_t *options, const char *value)
{
    char *end;
    unsigned long part = strtoul(value, &end, 10);
    unsigned long parts = *end == '/' ? strtoul(end + 1, &end, 10) : 0;
    if (*end != '\0' || part == 0 || part > parts) {
        fprintf(stderr, "not K/N: %s\n", value);
        exit(2);
    }
    options->part = (unsigned)part - 1;
    options->parts = (unsigned)parts;
}

static const char *value_of(char **argv)
{
    if (argv[1] == NULL) {
        fprintf(stderr, "%s needs a value\n", argv[0]);
        exit(2);
    }
    return argv[1];
}

int main(int argc, char **argv)
{
    options_t options = { .seconds = 1e9, .parts = 1 };
    char **names = argv + 1;
    for (; *names != NULL && strncmp(*names, "--", 2) == 0; names += 2) {
        if (strcmp(*names, "--list") == 0) {
            for (const zc_scenario_t *const *s = zc_scenarios; *s != NULL; s++) {
                printf("%-16s %s\n", (*s)->name, (*s)->promise);
            }
            return 0;
        }
        const char *value = value_of(names);
        if (strcmp(*names, "--replay") == 0) {
            replay(value);
        } else if (strcmp(*names, "--preemptions") == 0) {
            options.bounds.preemptions = (unsigned)strtoul(value, NULL, 10);
            options.has_preemptions = true;
        } else if (strcmp(*names, "--stale") == 0) {
            options.bounds.stale = (unsigned)strtoul(value, NULL, 10);
            options.has_stale = true;
        } else if (strcmp(*names, "--seconds") == 0) {
            options.seconds = strtod(value, NULL);
        } else if (strcmp(*names, "--part") == 0) {
            set_part(&options, value);
        } else {
            fprintf(stderr, "what is %s?\n", *names);
            return 2;
        }
    }
    if (argc > 1 && *names != NULL) {
        for (; *names != NULL; names++) {
            run(find_scenario(*names, strlen(*names)), &options);
        }
        return 0;
    }
    for (unsigned i = 0; zc_scenarios[i] != NULL; i++) {
        if (i % options.parts == options.part) {
            run(zc_scenarios[i], &options);
        }
    }
    return 0;
}
