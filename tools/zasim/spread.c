// How one update reaches everybody, and what a lossy or a stuttering cluster says of healthy nodes.

#include <stdio.h>

#include "measure.h"
#include "sim/chance.h"

/* ---- spread ------------------------------------------------------------------------------------ */

enum { SPREAD_MISSED_S = 2 }; // later than any gossip: only a sync could still bring it

/**
 * An update that one node alone has: an operator's word about a host that has just gone, before
 * anybody missed it.
 */
static bool update(za_realm_t *realm, const options_t *options, uint32_t run, observer_t *observer,
                   samples_t *samples)
{
    uint32_t nodes = za_realm_host_count(realm);
    uint64_t draw = za_chance(options->seed, ZA_CHANCE_WORK, run, nodes);
    uint32_t victim = (uint32_t)za_chance_below(draw, nodes);
    uint64_t step = 1 + za_chance_below(za_mix64(draw), nodes - 1);
    uint32_t origin = (victim + (uint32_t)step) % nodes;
    char name[16];
    snprintf(name, sizeof name, "n%u", victim);
    observer_aim(observer, za_host_uid(realm, victim), ZA_MEMBER_DOWN);
    za_host_vanish(realm, victim);
    uint64_t at_us = za_realm_now_us(realm);
    za_host_input(realm, origin,
                  &(za_cluster_event_t){ .type = ZA_CLUSTER_DOWN_NODE, .name = name });
    bool all = run_until_known(realm, observer, nodes - 1, SPREAD_MISSED_S * ZA_US_PER_S);
    if (all) {
        samples_add(samples, observer->last_us - at_us);
    }
    // Time for the queues to empty, and for the newcomer.
    za_realm_run(realm, za_realm_now_us(realm) + ZA_US_PER_S);
    za_host_start(realm, victim);
    all &= run_until_converged(realm, 120 * ZA_US_PER_S, 50 * ZA_US_PER_MS);
    za_realm_run(realm, za_realm_now_us(realm) + za_chance_below(draw, ZA_US_PER_S));
    return all;
}

static bool spread(sheet_t *sheet, const options_t *options, uint32_t nodes, uint32_t runs)
{
    observer_t observer;
    samples_t samples = { 0 };
    uint32_t missed = 0;
    za_realm_t *realm =
        lan_realm(options, options->seed, nodes, options->loss_percent * 10000, &observer);
    for (uint32_t run = 0; run < runs; run++) {
        missed += !update(realm, options, run, &observer, &samples);
    }
    bool bound = nodes <= 1000 && options->loss_percent == 0;
    bool good = missed == 0 && (!bound || samples_quantile(&samples, 990) <= ZA_US_PER_S / 2);
    sheet_text(sheet, "what", "one update, to all");
    sheet_number(sheet, "nodes", nodes, 0);
    sheet_number(sheet, "seed", (double)options->seed, 0);
    sheet_number(sheet, "loss_percent", options->loss_percent, 0);
    sheet_number(sheet, "updates", runs, 0);
    sheet_number(sheet, "p50_s", (double)samples_quantile(&samples, 500) / 1e6, 3);
    sheet_number(sheet, "p99_s", (double)samples_quantile(&samples, 990) / 1e6, 3);
    sheet_number(sheet, "max_s", (double)samples_quantile(&samples, 1000) / 1e6, 3);
    sheet_number(sheet, "missed", missed, 0);
    sheet_text(sheet, "bound", "%s", !bound ? "-" : good ? "met" : "MISSED");
    sheet_end_row(sheet);
    za_realm_destroy(realm);
    observer_free(&observer);
    samples_free(&samples);
    return good;
}

status_t verb_spread(const options_t *options)
{
    static const size_row_t rows[] = { { 3, 2000 },  { 8, 20000 }, { 32, 2000 },
                                       { 128, 200 }, { 1000, 10 }, { 0, 10 } };
    return measure_rows(options, rows, spread);
}

/* ---- loss -------------------------------------------------------------------------------------- */

/** Hours of a cluster that loses packets and has no other trouble. */
static uint64_t lose(const options_t *options, uint64_t seed, uint32_t nodes, uint32_t minutes,
                     za_realm_stats_t *stats, uint64_t *suspicions)
{
    observer_t observer;
    za_realm_t *realm = lan_realm(options, seed, nodes, options->loss_percent * 10000, &observer);
    za_realm_run(realm, za_realm_now_us(realm) + minutes * 60 * ZA_US_PER_S);
    za_realm_stats(realm, stats);
    *suspicions = stats->marks[ZA_MARK_SUSPECT];
    uint64_t failures = observer.false_failures;
    za_realm_destroy(realm);
    observer_free(&observer);
    return failures;
}

status_t verb_loss(const options_t *options)
{
    uint32_t nodes = options->nodes != 0 ? options->nodes : 32;
    uint32_t minutes = options->minutes != 0 ? options->minutes : 600;
    uint32_t runs = options->runs != 0 ? options->runs : 3;
    uint64_t failures = 0;
    uint64_t suspicions = 0;
    uint64_t bytes = 0;
    double hours = 0;
    double before = cpu_seconds();
    for (uint32_t run = 0; run < runs; run++) {
        za_realm_stats_t stats;
        uint64_t more = 0;
        failures += lose(options, options->seed + run, nodes, minutes, &stats, &more);
        suspicions += more;
        bytes += stats.datagram_bytes;
        hours += (double)stats.host_us / 3.6e9;
        if (runs >= 10 && run % (runs / 10) == runs / 10 - 1) {
            fprintf(stderr, "%u of %u runs, %.0f node-hours, %llu false failures\n", run + 1, runs,
                    hours, (unsigned long long)failures);
        }
    }
    sheet_t *sheet = sheet_create(options->json);
    sheet_number(sheet, "nodes", nodes, 0);
    sheet_text(sheet, "seeds", "%llu-%llu", (unsigned long long)options->seed,
               (unsigned long long)(options->seed + runs - 1));
    sheet_number(sheet, "loss_percent", options->loss_percent, 0);
    sheet_number(sheet, "node_hours", hours, 0);
    sheet_number(sheet, "suspicions", (double)suspicions, 0);
    sheet_number(sheet, "false_failures", (double)failures, 0);
    sheet_number(sheet, "datagram_bytes_per_node_s", (double)bytes / (hours * 3600), 0);
    sheet_number(sheet, "node_hours_per_cpu_s", hours / (cpu_seconds() - before), 1);
    sheet_end_row(sheet);
    sheet_print(sheet);
    bool good = failures == 0 || options->loss_percent > 5;
    return good || !options->check ? STATUS_OK : STATUS_VIOLATION;
}

/* ---- starve ------------------------------------------------------------------------------------ */

enum {
    STARVE_NODES = 128,
    STARVE_S = 16, // of each 24 the slow nodes receive nothing, while their timers run
    STARVE_PERIOD_S = 24,
    STARVE_RUN_S = 120,
};

static uint64_t starve(const options_t *options, uint64_t seed, uint32_t slow, bool plain,
                       uint32_t multiplier)
{
    observer_t observer;
    za_realm_config_t config = lan_config(options, seed, STARVE_NODES);
    config.plain_swim = plain;
    config.timing.suspicion_mult = multiplier;
    za_realm_t *realm = observed_realm(&config, &observer);
    for (uint32_t i = 0; i < STARVE_NODES; i++) {
        za_host_start(realm, i);
    }
    run_until_converged(realm, 60 * ZA_US_PER_S, 100 * ZA_US_PER_MS);
    observer.excused = slow; // hosts 10 to 10 + slow: seeds are as well as others
    uint64_t start_us = za_realm_now_us(realm);
    for (uint64_t second = 0; second < STARVE_RUN_S; second++) {
        for (uint32_t i = 0; i < slow; i++) {
            uint64_t draw = za_chance(seed, ZA_CHANCE_WORK, i, 0);
            uint64_t phase = second + za_chance_below(draw, STARVE_PERIOD_S);
            za_host_starve(realm, OBSERVER_EXCUSED_FIRST + i, phase % STARVE_PERIOD_S < STARVE_S);
        }
        za_realm_run(realm, start_us + (second + 1) * ZA_US_PER_S);
    }
    uint64_t failures = observer.false_failures;
    za_realm_destroy(realm);
    observer_free(&observer);
    return failures;
}

status_t verb_starve(const options_t *options)
{
    static const struct {
        uint32_t slow;
        uint32_t of_swim[2]; // a bound: SWIM's failures divided by this, with multiplier 4 and 5
    } rows[] = { { 1, { 100, 80 } },
                 { 4, { 100, 80 } },
                 { 8, { 40, 80 } },
                 { 16, { 25, 80 } },
                 { 32, { 25, 80 } } };
    uint32_t runs = options->runs != 0 ? options->runs : 2;
    sheet_t *sheet = sheet_create(options->json);
    bool good = true;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        uint64_t failures[3] = { 0 };
        for (uint32_t run = 0; run < runs; run++) {
            uint64_t seed = options->seed + run;
            failures[0] += starve(options, seed, rows[row].slow, true, 4);
            failures[1] += starve(options, seed, rows[row].slow, false, 4);
            failures[2] += starve(options, seed, rows[row].slow, false, 5);
        }
        bool met = failures[1] * rows[row].of_swim[0] <= failures[0] &&
                   failures[2] * rows[row].of_swim[1] <= failures[0];
        sheet_number(sheet, "slow_of_128", rows[row].slow, 0);
        sheet_text(sheet, "seeds", "%llu-%llu", (unsigned long long)options->seed,
                   (unsigned long long)(options->seed + runs - 1));
        sheet_number(sheet, "swim", (double)failures[0], 0);
        sheet_number(sheet, "lifeguard_mult_4", (double)failures[1], 0);
        sheet_number(sheet, "lifeguard_mult_5", (double)failures[2], 0);
        sheet_text(sheet, "bound", "%s", met ? "met" : "MISSED");
        sheet_end_row(sheet);
        good &= met;
    }
    sheet_print(sheet);
    return good || !options->check ? STATUS_OK : STATUS_VIOLATION;
}
