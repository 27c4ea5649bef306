/**
 * Run: one seed of the swarm, from the first node to the last oracle.
 */
#pragma once

#include "schedule.h"
#include "world.h"

enum {
    RUN_MARKS_MAX = 32,
    RUN_FAILURE_BYTES = 1024,
};

typedef struct run_opts {
    bool verbose;       // log lines to stdout
    const char *folder; // for the texts of the word count
} run_opts_t;

typedef struct run_result {
    bool failed;
    char failure[RUN_FAILURE_BYTES];
    uint64_t hash, events;
    uint64_t heal_ms; // from the end of the faults until all nodes agreed
    uint64_t marks[RUN_MARKS_MAX];
    world_counts_t counts;
} run_result_t;

void run(const schedule_t *schedule, const run_opts_t *opts, run_result_t *out);
