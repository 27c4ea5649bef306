// How names spread: one change to all, with every push and with some of them lost; a newcomer.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "sim/chance.h"

enum {
    NAMES = 1000,
    STEP_US = 1000,
    REGISTRY_TAG = 2,
    DATA_KEY = 0x22,   // field 4 of za.RegistryFrame
    ANSWER_KEY = 0x48, // field 9 of za.RegData, the last one
};

/** Which host answers what the last change made it answer, since when. */
typedef struct spread {
    char name[32];
    za_effect_type_t awaited;
    uint32_t known;
    uint64_t last_us;
    samples_t *each;
    uint64_t since_us;
} spread_t;

/** Every so many pushes are lost; what was asked for is not. */
typedef struct loss {
    uint64_t seed, frames;
    uint32_t percent;
} loss_t;

static void on_effect(void *context, za_realm_t *realm, uint32_t host, const za_effect_t *effect)
{
    spread_t *spread = context;
    (void)host;
    if (effect->type == spread->awaited && strcmp(effect->name, spread->name) == 0) {
        spread->known++;
        spread->last_us = za_realm_now_us(realm);
        if (spread->each != NULL) {
            samples_add(spread->each, spread->last_us - spread->since_us);
        }
    }
}

static const za_oracle_ops_t spread_ops = { .name = "spread", .effect = on_effect };

static bool lose_push(void *context, uint32_t from, uint32_t to, za_lane_t lane,
                      const uint8_t *bytes, uint32_t size)
{
    loss_t *loss = context;
    bool data =
        lane == ZA_LANE_CONTROL && size > 4 && bytes[0] == REGISTRY_TAG && bytes[1] == DATA_KEY;
    if (loss->percent == 0 || !data || (bytes[size - 2] == ANSWER_KEY && bytes[size - 1] == 1)) {
        return false;
    }
    uint64_t draw = za_chance(loss->seed, ZA_CHANCE_WORK, za_chance_link(from, to), ++loss->frames);
    return za_chance_below(draw, 100) < loss->percent;
}

static void say_name(za_realm_t *realm, uint32_t host, za_cluster_event_type_t type,
                     const char *name, uint64_t actor)
{
    za_host_input(realm, host, &(za_cluster_event_t){ .type = type, .name = name, .actor = actor });
}

/** One host after the other takes all its names. */
static void fill(za_realm_t *realm, uint32_t hosts)
{
    char name[32];
    for (uint32_t host = 0; host < hosts; host++) {
        for (uint32_t i = 0; i < NAMES; i++) {
            snprintf(name, sizeof name, "service-%u-%u", host, i);
            say_name(realm, host, ZA_CLUSTER_REGISTER, name, 1 + i);
        }
        za_realm_run(realm, za_realm_now_us(realm) + 50 * STEP_US);
    }
}

static bool in_sync(const za_realm_t *realm)
{
    uint64_t first = 0;
    for (uint32_t host = 0; host < za_realm_host_count(realm); host++) {
        const za_cluster_t *cluster = za_host_cluster(realm, host);
        if (cluster != NULL) {
            uint64_t hash = za_cluster_registry_hash(cluster);
            if (first != 0 && hash != first) {
                return false;
            }
            first = hash;
        }
    }
    return true;
}

/** Virtual time until all hold the same; UINT64_MAX if they do not by then. */
static uint64_t run_until_in_sync(za_realm_t *realm, uint64_t bound_us)
{
    uint64_t since_us = za_realm_now_us(realm);
    while (!in_sync(realm)) {
        if (za_realm_now_us(realm) >= since_us + bound_us || za_realm_failure(realm)->failed) {
            return UINT64_MAX;
        }
        za_realm_run(realm, za_realm_now_us(realm) + STEP_US);
    }
    return za_realm_now_us(realm) - since_us;
}

typedef struct bounds {
    uint64_t p99_us, max_us; // 0: none
} bounds_t;

static bool print_row(sheet_t *sheet, const char *what, const options_t *options, uint32_t hosts,
                      samples_t *samples, uint32_t missed, bounds_t bounds)
{
    uint64_t p99_us = samples_quantile(samples, 990);
    uint64_t max_us = samples_quantile(samples, 1000);
    bool good = missed == 0 && (bounds.p99_us == 0 || p99_us <= bounds.p99_us) &&
                (bounds.max_us == 0 || max_us <= bounds.max_us);
    sheet_text(sheet, "what", "%s", what);
    sheet_number(sheet, "nodes", hosts, 0);
    sheet_text(sheet, "seed", "%" PRIu64, options->seed);
    sheet_number(sheet, "samples", samples->count, 0);
    sheet_number(sheet, "missed", missed, 0);
    sheet_number(sheet, "p50_ms", (double)samples_quantile(samples, 500) / 1e3, 1);
    sheet_number(sheet, "p99_ms", (double)p99_us / 1e3, 1);
    sheet_number(sheet, "max_ms", (double)max_us / 1e3, 1);
    sheet_text(sheet, "verdict", "%s", good ? "ok" : "missed its bound");
    sheet_end_row(sheet);
    return good;
}

/** Changes here and there, one at a time: `all` gets the time until the last host answers it. */
static uint32_t change_names(za_realm_t *realm, spread_t *spread, uint32_t first, uint32_t runs,
                             samples_t *all)
{
    uint32_t hosts = za_realm_host_count(realm);
    uint64_t seed = za_realm_config(realm)->seed;
    uint32_t missed = 0;
    for (uint32_t run = first; run < first + runs; run++) {
        uint64_t draw = za_chance(seed, ZA_CHANCE_WORK, hosts, run);
        uint32_t host = (uint32_t)za_chance_below(draw, hosts);
        za_realm_run(realm, za_realm_now_us(realm) + za_chance_below(za_mix64(draw), 200000));
        bool adds = run % 2 == 0;
        snprintf(spread->name, sizeof spread->name, "service-%u-%u", host,
                 adds ? NAMES + run : run);
        spread->awaited = adds ? ZA_EFFECT_NAME_SET : ZA_EFFECT_NAME_CLEARED;
        spread->known = 0;
        spread->since_us = za_realm_now_us(realm);
        say_name(realm, host, adds ? ZA_CLUSTER_REGISTER : ZA_CLUSTER_UNREGISTER, spread->name,
                 1 + (adds ? NAMES + run : run));
        while (spread->known < hosts &&
               za_realm_now_us(realm) < spread->since_us + 20 * ZA_US_PER_S) {
            za_realm_run(realm, za_realm_now_us(realm) + STEP_US);
        }
        if (spread->known == hosts) {
            samples_add(all, spread->last_us - spread->since_us);
        } else {
            missed++;
        }
    }
    return missed;
}

static uint64_t divergence(const za_realm_t *realm)
{
    uint64_t sum = 0;
    for (uint32_t host = 0; host < za_realm_host_count(realm); host++) {
        const za_cluster_t *cluster = za_host_cluster(realm, host);
        za_cluster_counters_t counters = { 0 };
        if (cluster != NULL) {
            za_cluster_counters(cluster, &counters);
        }
        sum += counters.registry_divergence;
    }
    return sum;
}

static bool measure_changes(sheet_t *sheet, const options_t *options, za_realm_t *realm,
                            spread_t *spread, loss_t *loss)
{
    uint32_t hosts = za_realm_host_count(realm);
    uint32_t runs = options->runs != 0 && options->runs < NAMES / 2 ? options->runs : 200;
    samples_t each = { 0 };
    samples_t all = { 0 };
    spread->each = &each;
    uint32_t missed = change_names(realm, spread, 0, runs, &all);
    bool good = print_row(sheet, "a change, to each", options, hosts, &each, missed,
                          (bounds_t){ .p99_us = 50 * ZA_US_PER_MS });
    good &= print_row(sheet, "a change, to all", options, hosts, &all, missed,
                      (bounds_t){ .p99_us = 50 * ZA_US_PER_MS });
    samples_free(&each);
    samples_free(&all);
    spread->each = NULL;
    loss->percent = 20;
    missed = change_names(realm, spread, runs, runs, &all);
    good &= print_row(sheet, "20 % of pushes lost, to all", options, hosts, &all, missed,
                      (bounds_t){ .max_us = ZA_US_PER_S });
    loss->percent = 0;
    samples_free(&all);
    return good;
}

/** Hosts start anew one after the other: the time from their start until they hold all names. */
static bool measure_newcomers(sheet_t *sheet, const options_t *options, za_realm_t *realm)
{
    uint32_t hosts = za_realm_host_count(realm);
    samples_t samples = { 0 };
    uint32_t missed = 0;
    for (uint32_t run = 0; run < 5; run++) {
        uint32_t host = hosts - 1 - run;
        za_host_crash(realm, host);
        za_realm_run(realm, za_realm_now_us(realm) + 20 * ZA_US_PER_S);
        za_host_start(realm, host);
        uint64_t us = run_until_in_sync(realm, 30 * ZA_US_PER_S);
        if (us == UINT64_MAX) {
            missed++;
        } else {
            samples_add(&samples, us);
        }
    }
    bool good = print_row(sheet, "a newcomer, in sync", options, hosts, &samples, missed,
                          (bounds_t){ .max_us = 2 * ZA_US_PER_S });
    samples_free(&samples);
    return good;
}

status_t verb_registry(const options_t *options)
{
    uint32_t hosts = options->nodes != 0 ? options->nodes : 100;
    options_t whole = *options;
    whole.services = true;
    observer_t observer;
    loss_t loss = { .seed = options->seed };
    spread_t spread = { 0 };
    za_realm_t *realm = lan_realm(&whole, options->seed, hosts, 0, &observer);
    za_realm_add_oracle(realm, &spread_ops, &spread);
    za_realm_set_loss(realm, lose_push, &loss);
    fill(realm, hosts);
    bool good = run_until_in_sync(realm, 60 * ZA_US_PER_S) != UINT64_MAX;
    if (!good) {
        say(STATUS_VIOLATION, "the registries of %u nodes are not equal after 60 s", hosts);
    }
    sheet_t *sheet = sheet_create(options->json);
    if (good) {
        good = measure_changes(sheet, options, realm, &spread, &loss);
        good &= measure_newcomers(sheet, options, realm);
    }
    sheet_print(sheet);
    if (divergence(realm) != 0) {
        say(STATUS_VIOLATION, "%" PRIu64 " copies diverged", divergence(realm));
        good = false;
    }
    za_realm_destroy(realm);
    observer_free(&observer);
    return good || !options->check ? STATUS_OK : STATUS_VIOLATION;
}
