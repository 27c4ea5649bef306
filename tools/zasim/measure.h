/** What the experiments share: a realm of a LAN, who knows what since when, and samples. */
#pragma once

#include "zasim.h"

typedef struct samples {
    uint32_t count, capacity;
    uint64_t *us;
    bool sorted;
} samples_t;

void samples_add(samples_t *samples, uint64_t us);
/** The value that `permille` of all are not above; 0 of none. */
uint64_t samples_quantile(samples_t *samples, uint32_t permille);
void samples_free(samples_t *samples);

enum { OBSERVER_EXCUSED_FIRST = 10 };

/** Follows what each host says of one uid, and counts verdicts about all that live. */
typedef struct observer {
    uint64_t uid;
    za_member_state_t state; // that the hosts must come to say
    uint32_t known;          // hosts that said so
    uint64_t first_us, last_us;
    uint32_t wrong; // said that it failed, while it left
    uint64_t
        false_verdicts; // a healthy process called unreachable or down: by each host that says so
    uint64_t false_failures; // ... and each failure once
    uint32_t excused;        // hosts from OBSERVER_EXCUSED_FIRST that are not healthy
    uint8_t *told;           // of each host
    uint32_t hosts;
    uint64_t *victims; // uid and incarnation of each false failure, so that it counts once
    uint32_t victim_count, victim_capacity;
} observer_t;

/** A LAN of `hosts`, everybody started and in one view, and `observer` looking on. */
za_realm_t *lan_realm(const options_t *options, uint64_t seed, uint32_t hosts, uint32_t loss_ppm,
                      observer_t *observer);
/** The same from a configuration of one's own; nobody is started. */
za_realm_t *observed_realm(const za_realm_config_t *config, observer_t *observer);
za_realm_config_t lan_config(const options_t *options, uint64_t seed, uint32_t hosts);
void observer_aim(observer_t *observer, uint64_t uid, za_member_state_t state);
void observer_free(observer_t *observer);
/** Runs until `count` hosts know, or `bound_us` later. True if they do. */
bool run_until_known(za_realm_t *realm, const observer_t *observer, uint32_t count,
                     uint64_t bound_us);
bool run_until_converged(za_realm_t *realm, uint64_t bound_us, uint64_t step_us);

/** How many runs a row of `nodes` has if nobody says; the last one, of 0 nodes, is for any other number. */
typedef struct size_row {
    uint32_t nodes, runs;
} size_row_t;

typedef bool measure_row_t(sheet_t *sheet, const options_t *options, uint32_t nodes, uint32_t runs);

/** All rows, or that of the nodes asked for. */
status_t measure_rows(const options_t *options, const size_row_t *rows, measure_row_t *row);
