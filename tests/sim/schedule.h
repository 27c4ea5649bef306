/**
 * Schedule: the faults of one run, drawn from its seed and carried out as their time comes.
 */
#pragma once

#include <stdio.h>

#include <zactor/sim.h>

typedef enum fault_kind {
    FAULT_LOSS,
    FAULT_LATENCY,
    FAULT_PARTITION,
    FAULT_ONE_WAY,
    FAULT_FLAP,
    FAULT_CRASH, // until the faults are over, or for good
    FAULT_CRASH_RESTART,
    FAULT_PAUSE_SHORT,
    FAULT_PAUSE_LONG, // long enough to be declared down
    FAULT_RESET,
    FAULT_LEAVE,
    FAULT_KINDS
} fault_kind_t;

enum { FAULTS_MAX = 64 };

typedef struct fault {
    fault_kind_t kind;
    uint64_t at_ms, for_ms;
    uint32_t a, b;   // nodes
    uint64_t side;   // FAULT_PARTITION
    uint32_t amount; // permille, us, or ms of one flap; FAULT_CRASH: 1 if for good
} fault_t;

typedef struct schedule {
    uint64_t seed;
    uint32_t nodes;
    uint64_t end_ms; // all faults are over
    uint32_t spared; // never crashes or leaves: the word count's driver lives there
    uint64_t count_at_ms;
    uint32_t latency_us_max, loss_permille; // of the healthy network
    uint32_t fault_count;
    fault_t faults[FAULTS_MAX];
} schedule_t;

void schedule_draw(schedule_t *schedule, uint64_t seed, uint32_t nodes, uint64_t seconds);
const char *fault_name(fault_kind_t kind);
void schedule_print(const schedule_t *schedule, FILE *out);

/** What has to happen to a node besides: told by the schedule's driver. */
typedef struct schedule_events {
    void (*starts)(za_sim_t *sim, uint32_t node); // after its process has started
    void (*ended)(za_sim_t *sim, uint32_t node);
} schedule_events_t;

typedef struct faults faults_t;

/** Makes ready to carry them out on `sim`. */
faults_t *faults_create(za_sim_t *sim, const schedule_t *schedule, const schedule_events_t *events);
void faults_destroy(faults_t *faults);
/** When the next thing happens; UINT64_MAX: nothing does any more. */
uint64_t faults_next_ms(const faults_t *faults);
/** Carries out all that is due. */
void faults_step(faults_t *faults);
/** All is well again: paths open, processes resumed, and started unless they are gone for good. */
void faults_heal(faults_t *faults);
/** Starts what left or crashed and is to come back, once it is gone. True: nothing is missing. */
bool faults_revive(faults_t *faults);
