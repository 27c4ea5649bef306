/** What the verbs of zasim share. */
#pragma once

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/trial.h"

/** Exit status of every verb. */
typedef enum status {
    STATUS_OK = 0,
    STATUS_VIOLATION = 1, // an oracle failed, or a figure missed its bound
    STATUS_USAGE = 2,
} status_t;

typedef struct options {
    bool json;
    uint64_t seed;
    bool seed_given;
    uint32_t nodes;   // 0: not given
    uint32_t minutes; // of virtual time, or of wall time where a verb says so
    uint32_t runs;
    uint32_t seeds;    // hosts that all are given; 0: two
    uint32_t apart_ms; // join: between two starts
    uint32_t jobs;
    uint32_t loss_percent;
    bool services;
    bool datagrams;
    bool no_oracles;
    bool faults;
    bool hours;            // of virtual time a trial, not minutes
    bool splits;           // consistency mode, with time to decide each of them
    bool check;            // figures against their bounds
    const char *plan_file; // "-": stdin
    const char *state_file;
    const char *trace; // "node=3", "all"
    const char *output_file;
    const char *words[4]; // arguments of the verb
    int word_count;
} options_t;

typedef status_t verb_fn(const options_t *options);

verb_fn verb_registry, verb_run, verb_speed, verb_detect, verb_join, verb_leave, verb_shrink,
    verb_plan, verb_soak;
verb_fn verb_spread, verb_loss, verb_starve;

/** The plan that a seed draws for the options. */
void draw_plan(const options_t *options, uint64_t seed, za_plan_t *plan);
/** The plan that the options describe. False: said why. */
bool make_plan(const options_t *options, za_plan_t *plan);

/** Prints to stderr and answers `status`. */
status_t say(status_t status, const char *format, ...) ZA_PRINTF(2, 3);

/* ---- output.c: rows of named cells, as a table or as JSON ---------------------------------- */

typedef struct sheet sheet_t;

sheet_t *sheet_create(bool json);
void sheet_text(sheet_t *sheet, const char *name, const char *format, ...) ZA_PRINTF(3, 4);
void sheet_number(sheet_t *sheet, const char *name, double value, int digits);
void sheet_end_row(sheet_t *sheet);
/** Prints everything and frees it. */
void sheet_print(sheet_t *sheet);

/** CPU time of this process in seconds. */
double cpu_seconds(void);
