#include "schedule.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/rng.h"

enum {
    QUIET_MS = 3000, // the cluster forms
    EACH_MAX = 3,    // faults of one kind
    LATENCY_US_MIN = 100,
    REVIVE_MS = 50, // how often a node that leaves is looked at
};

static const char *const fault_names[FAULT_KINDS] = {
    "loss",          "latency",     "partition",  "one-way", "flap",  "crash",
    "crash-restart", "pause-short", "pause-long", "reset",   "leave",
};

const char *fault_name(fault_kind_t kind)
{
    return fault_names[kind];
}

/* ---- drawing --------------------------------------------------------------------------------------- */

/** Log-uniform from `least` to `most`. */
static uint64_t draw_log(za_rng_t *rng, uint64_t least, uint64_t most)
{
    uint32_t octaves = 0;
    while (least << octaves < most) {
        octaves++;
    }
    uint64_t octave = least << za_rng_below(rng, octaves == 0 ? 1 : octaves);
    uint64_t value = octave + za_rng_below(rng, octave + 1);
    return value < most ? value : most;
}

static uint32_t draw_other(za_rng_t *rng, uint32_t nodes, uint32_t but)
{
    uint32_t node = (uint32_t)za_rng_below(rng, nodes - 1);
    return node < but ? node : node + 1;
}

/** A node that may end. */
static uint32_t draw_mortal(za_rng_t *rng, const schedule_t *schedule)
{
    return draw_other(rng, schedule->nodes, schedule->spared);
}

static uint64_t draw_side(za_rng_t *rng, uint32_t nodes)
{
    uint64_t all = nodes == 64 ? UINT64_MAX : (UINT64_C(1) << nodes) - 1;
    uint64_t side = 0;
    while (side == 0 || side == all) {
        side = za_rng_next(rng) & all;
    }
    return side;
}

static void draw_fault(za_rng_t *rng, const schedule_t *schedule, fault_t *fault)
{
    uint32_t nodes = schedule->nodes;
    fault->a = (uint32_t)za_rng_below(rng, nodes);
    fault->b = draw_other(rng, nodes, fault->a);
    fault->for_ms = draw_log(rng, 500, 30000);
    switch (fault->kind) {
    case FAULT_LOSS:
        fault->amount = (uint32_t)draw_log(rng, 10, 400);
        break;
    case FAULT_LATENCY:
        fault->amount = (uint32_t)draw_log(rng, 2000, 400000);
        break;
    case FAULT_PARTITION:
        fault->side = draw_side(rng, nodes);
        break;
    case FAULT_FLAP:
        fault->amount = (uint32_t)draw_log(rng, 100, 4000);
        break;
    case FAULT_CRASH:
        fault->a = draw_mortal(rng, schedule);
        fault->for_ms = 0;
        fault->amount = (uint32_t)za_rng_below(rng, 2);
        break;
    case FAULT_CRASH_RESTART:
        fault->a = draw_mortal(rng, schedule);
        fault->for_ms = draw_log(rng, 5, 20000);
        break;
    case FAULT_PAUSE_SHORT:
        fault->for_ms = draw_log(rng, 50, 1500);
        break;
    case FAULT_PAUSE_LONG:
        fault->for_ms = 10000 + za_rng_below(rng, 20000);
        break;
    case FAULT_RESET:
        fault->for_ms = 0;
        break;
    case FAULT_LEAVE:
        fault->a = draw_mortal(rng, schedule);
        fault->for_ms = draw_log(rng, 100, 10000);
        break;
    case FAULT_ONE_WAY:
    case FAULT_KINDS:
        break;
    }
}

/** Most nodes are there in the end: the word count waits for them. */
static void spare_majority(schedule_t *schedule)
{
    uint64_t gone = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < schedule->fault_count; i++) {
        fault_t *fault = &schedule->faults[i];
        if (fault->kind != FAULT_CRASH || fault->amount == 0 || (gone >> fault->a & 1) != 0) {
            continue;
        }
        if (count == (schedule->nodes - 1) / 2) {
            fault->amount = 0;
            continue;
        }
        gone |= UINT64_C(1) << fault->a;
        count++;
    }
}

static int compare_faults(const void *left, const void *right)
{
    const fault_t *a = left;
    const fault_t *b = right;
    if (a->at_ms != b->at_ms) {
        return a->at_ms < b->at_ms ? -1 : 1;
    }
    return (int)a->kind - (int)b->kind;
}

void schedule_draw(schedule_t *schedule, uint64_t seed, uint32_t nodes, uint64_t seconds)
{
    za_rng_t rng;
    za_rng_init(&rng, za_mix64(seed * 64 + nodes));
    *schedule = (schedule_t){ .seed = seed, .nodes = nodes, .end_ms = seconds * 1000 };
    schedule->spared = (uint32_t)za_rng_below(&rng, nodes);
    schedule->count_at_ms = QUIET_MS + za_rng_below(&rng, schedule->end_ms / 2);
    schedule->latency_us_max = (uint32_t)draw_log(&rng, LATENCY_US_MIN, 5000);
    schedule->loss_permille = za_rng_below(&rng, 2) == 0 ? 0 : (uint32_t)za_rng_below(&rng, 5);
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        bool chosen = za_rng_below(&rng, 2) == 0;
        uint64_t count = 1 + za_rng_below(&rng, EACH_MAX);
        for (uint64_t i = 0; chosen && i < count; i++) {
            fault_t *fault = &schedule->faults[schedule->fault_count++];
            fault->kind = (fault_kind_t)kind;
            fault->at_ms = QUIET_MS + za_rng_below(&rng, schedule->end_ms - QUIET_MS);
            draw_fault(&rng, schedule, fault);
        }
    }
    spare_majority(schedule);
    qsort(schedule->faults, schedule->fault_count, sizeof(fault_t), compare_faults);
}

void schedule_print(const schedule_t *schedule, FILE *out)
{
    fprintf(out,
            "seed %" PRIu64 ", %u nodes, %" PRIu64 " s, latency up to %u us, loss %u permille, "
            "word count from %" PRIu64 " ms on n%u\n",
            schedule->seed, schedule->nodes, schedule->end_ms / 1000, schedule->latency_us_max,
            schedule->loss_permille, schedule->count_at_ms, schedule->spared);
    for (uint32_t i = 0; i < schedule->fault_count; i++) {
        const fault_t *fault = &schedule->faults[i];
        fprintf(out, "%4u: %7" PRIu64 " ms %-13s n%u", i, fault->at_ms, fault_name(fault->kind),
                fault->a);
        switch (fault->kind) {
        case FAULT_PARTITION:
            fprintf(out, " nodes %" PRIx64 " apart", fault->side);
            break;
        case FAULT_ONE_WAY:
            fprintf(out, " to n%u", fault->b);
            break;
        case FAULT_FLAP:
        case FAULT_RESET:
            fprintf(out, " and n%u", fault->b);
            break;
        default:
            break;
        }
        fprintf(out, " for %" PRIu64 " ms, %u\n", fault->for_ms, fault->amount);
    }
}

/* ---- carrying out ---------------------------------------------------------------------------------- */

typedef struct action {
    uint64_t at_ms;
    const fault_t *fault;
    bool on;
} action_t;

enum { ACTIONS_MAX = FAULTS_MAX * 2 };

typedef enum fate { FATE_LIVES, FATE_RETURNS, FATE_GONE } fate_t;

struct faults {
    za_sim_t *sim;
    const schedule_t *schedule;
    schedule_events_t events;
    action_t actions[ACTIONS_MAX]; // not sorted: few
    uint32_t action_count;
    uint8_t blocks[ZA_SIM_NODES_MAX][ZA_SIM_NODES_MAX]; // how many faults block this direction
    fate_t fates[ZA_SIM_NODES_MAX];
    uint64_t return_ms[ZA_SIM_NODES_MAX]; // since when it is gone; then at least for that long
    uint64_t gone_ms[ZA_SIM_NODES_MAX];   // 0: it still runs
};

static void add_action(faults_t *faults, uint64_t at_ms, const fault_t *fault, bool on)
{
    ZA_ASSERT(faults->action_count < ACTIONS_MAX);
    faults->actions[faults->action_count++] = (action_t){ at_ms, fault, on };
}

faults_t *faults_create(za_sim_t *sim, const schedule_t *schedule, const schedule_events_t *events)
{
    faults_t *faults = calloc(1, sizeof *faults);
    ZA_ASSERT(faults != NULL);
    faults->sim = sim;
    faults->schedule = schedule;
    faults->events = *events;
    for (uint32_t i = 0; i < schedule->fault_count; i++) {
        add_action(faults, schedule->faults[i].at_ms, &schedule->faults[i], true);
    }
    return faults;
}

void faults_destroy(faults_t *faults)
{
    free(faults);
}

static void block(faults_t *faults, uint32_t from, uint32_t to, bool on)
{
    uint8_t *count = &faults->blocks[from][to];
    *count = (uint8_t)(on ? *count + 1 : *count - 1);
    za_sim_block(faults->sim, from, to, *count > 0);
}

static void partition(faults_t *faults, uint64_t side, bool on)
{
    for (uint32_t from = 0; from < faults->schedule->nodes; from++) {
        for (uint32_t to = 0; to < faults->schedule->nodes; to++) {
            if ((side >> from & 1) != (side >> to & 1)) {
                block(faults, from, to, on);
            }
        }
    }
}

/** All paths from and to the node; `on` false: as in health. */
static void set_paths(faults_t *faults, const fault_t *fault, bool on)
{
    const schedule_t *schedule = faults->schedule;
    uint32_t latency_us = schedule->latency_us_max;
    uint32_t loss = schedule->loss_permille;
    if (on && fault->kind == FAULT_LATENCY) {
        latency_us = fault->amount;
    } else if (on) {
        loss = fault->amount;
    }
    for (uint32_t other = 0; other < schedule->nodes; other++) {
        za_sim_set_path(faults->sim, fault->a, other, LATENCY_US_MIN, latency_us, loss);
        za_sim_set_path(faults->sim, other, fault->a, LATENCY_US_MIN, latency_us, loss);
    }
}

static void crash(faults_t *faults, const fault_t *fault)
{
    uint32_t node = fault->a;
    if (za_sim_node(faults->sim, node) == NULL) {
        return;
    }
    za_sim_crash(faults->sim, node);
    faults->events.ended(faults->sim, node);
    bool for_good = fault->kind == FAULT_CRASH && fault->amount == 1 && node != 0; // the seed
    faults->fates[node] = for_good ? FATE_GONE : FATE_RETURNS;
    faults->return_ms[node] = fault->kind == FAULT_CRASH ? faults->schedule->end_ms : fault->for_ms;
    faults->gone_ms[node] = 0;
}

static void leave(faults_t *faults, const fault_t *fault)
{
    if (za_sim_node(faults->sim, fault->a) == NULL || faults->fates[fault->a] != FATE_LIVES) {
        return;
    }
    za_sim_leave(faults->sim, fault->a);
    faults->fates[fault->a] = FATE_RETURNS;
    faults->return_ms[fault->a] = fault->for_ms;
    faults->gone_ms[fault->a] = 0;
}

/** True: the fault lasts, and ends later. */
static bool begin(faults_t *faults, const fault_t *fault)
{
    switch (fault->kind) {
    case FAULT_LOSS:
    case FAULT_LATENCY:
        set_paths(faults, fault, true);
        return true;
    case FAULT_PARTITION:
        partition(faults, fault->side, true);
        return true;
    case FAULT_ONE_WAY:
        block(faults, fault->a, fault->b, true);
        return true;
    case FAULT_FLAP:
        block(faults, fault->a, fault->b, true);
        block(faults, fault->b, fault->a, true);
        return true;
    case FAULT_CRASH:
    case FAULT_CRASH_RESTART:
        crash(faults, fault);
        return false;
    case FAULT_PAUSE_SHORT:
    case FAULT_PAUSE_LONG:
        za_sim_pause(faults->sim, fault->a);
        return true;
    case FAULT_RESET:
        za_sim_reset(faults->sim, fault->a, fault->b);
        return false;
    case FAULT_LEAVE:
        leave(faults, fault);
        return false;
    case FAULT_KINDS:
        break;
    }
    return false;
}

static void end(faults_t *faults, const fault_t *fault)
{
    switch (fault->kind) {
    case FAULT_LOSS:
    case FAULT_LATENCY:
        set_paths(faults, fault, false);
        break;
    case FAULT_PARTITION:
        partition(faults, fault->side, false);
        break;
    case FAULT_ONE_WAY:
        block(faults, fault->a, fault->b, false);
        break;
    case FAULT_FLAP:
        block(faults, fault->a, fault->b, false);
        block(faults, fault->b, fault->a, false);
        break;
    case FAULT_PAUSE_SHORT:
    case FAULT_PAUSE_LONG:
        za_sim_resume(faults->sim, fault->a);
        break;
    default:
        break;
    }
}

static void carry_out(faults_t *faults, action_t action)
{
    const fault_t *fault = action.fault;
    uint64_t over_ms = fault->at_ms + fault->for_ms;
    if (action.on) {
        if (begin(faults, fault)) {
            bool flaps = fault->kind == FAULT_FLAP;
            add_action(faults, action.at_ms + (flaps ? fault->amount : fault->for_ms), fault,
                       false);
        }
        return;
    }
    end(faults, fault);
    if (fault->kind == FAULT_FLAP && action.at_ms + fault->amount < over_ms) {
        add_action(faults, action.at_ms + fault->amount, fault, true);
    }
}

static bool something_returns(const faults_t *faults)
{
    for (uint32_t i = 0; i < faults->schedule->nodes; i++) {
        if (faults->fates[i] == FATE_RETURNS) {
            return true;
        }
    }
    return false;
}

uint64_t faults_next_ms(const faults_t *faults)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < faults->action_count; i++) {
        next = faults->actions[i].at_ms < next ? faults->actions[i].at_ms : next;
    }
    uint64_t look = za_sim_now_ms(faults->sim) + REVIVE_MS;
    return something_returns(faults) && look < next ? look : next;
}

void faults_step(faults_t *faults)
{
    uint64_t now = za_sim_now_ms(faults->sim);
    for (uint32_t i = 0; i < faults->action_count;) {
        action_t action = faults->actions[i];
        if (action.at_ms > now) {
            i++;
            continue;
        }
        faults->actions[i] = faults->actions[--faults->action_count];
        carry_out(faults, action);
    }
    faults_revive(faults);
}

bool faults_revive(faults_t *faults)
{
    uint64_t now = za_sim_now_ms(faults->sim);
    bool complete = true;
    for (uint32_t node = 0; node < faults->schedule->nodes; node++) {
        if (faults->fates[node] != FATE_RETURNS) {
            continue;
        }
        bool gone = za_sim_node(faults->sim, node) == NULL;
        if (gone && faults->gone_ms[node] == 0) {
            faults->gone_ms[node] = now;
        }
        if (gone && now >= faults->gone_ms[node] + faults->return_ms[node]) {
            za_sim_restart(faults->sim, node);
            faults->fates[node] = FATE_LIVES;
            faults->events.starts(faults->sim, node);
        } else {
            complete = false;
        }
    }
    return complete;
}

void faults_heal(faults_t *faults)
{
    faults->action_count = 0;
    const schedule_t *schedule = faults->schedule;
    for (uint32_t a = 0; a < schedule->nodes; a++) {
        za_sim_resume(faults->sim, a);
        faults->return_ms[a] = 0;
        for (uint32_t b = 0; b < schedule->nodes; b++) {
            faults->blocks[a][b] = 0;
            za_sim_set_path(faults->sim, a, b, LATENCY_US_MIN, schedule->latency_us_max,
                            schedule->loss_permille);
        }
    }
    za_sim_heal(faults->sim);
}
