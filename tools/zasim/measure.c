#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static void *grow(void *array, uint32_t *capacity, size_t item_bytes)
{
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    void *grown = realloc(array, *capacity * item_bytes);
    if (grown == NULL) {
        perror("zasim");
        exit(STATUS_USAGE);
    }
    return grown;
}

/* ---- samples ----------------------------------------------------------------------------------- */

void samples_add(samples_t *samples, uint64_t us)
{
    if (samples->count == samples->capacity) {
        samples->us = grow(samples->us, &samples->capacity, sizeof *samples->us);
    }
    samples->us[samples->count++] = us;
    samples->sorted = false;
}

static int by_value(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a;
    uint64_t second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

uint64_t samples_quantile(samples_t *samples, uint32_t permille)
{
    if (samples->count == 0) {
        return 0;
    }
    if (!samples->sorted) {
        qsort(samples->us, samples->count, sizeof *samples->us, by_value);
        samples->sorted = true;
    }
    uint32_t at = (uint32_t)(((uint64_t)samples->count * permille + 999) / 1000);
    return samples->us[at > 0 ? at - 1 : 0];
}

void samples_free(samples_t *samples)
{
    free(samples->us);
    *samples = (samples_t){ 0 };
}

/* ---- observer ---------------------------------------------------------------------------------- */

/** A failure is one incarnation of one uid, however many say so. */
static void note_false(observer_t *observer, uint64_t failure)
{
    observer->false_verdicts++;
    for (uint32_t i = 0; i < observer->victim_count; i++) {
        if (observer->victims[i] == failure) {
            return;
        }
    }
    observer->false_failures++;
    if (observer->victim_count == observer->victim_capacity) {
        observer->victims =
            grow(observer->victims, &observer->victim_capacity, sizeof *observer->victims);
    }
    observer->victims[observer->victim_count++] = failure;
}

static bool is_excused(const observer_t *observer, uint32_t host)
{
    return host >= OBSERVER_EXCUSED_FIRST && host - OBSERVER_EXCUSED_FIRST < observer->excused;
}

static void note_known(observer_t *observer, const za_realm_t *realm, uint32_t host)
{
    if (host < observer->hosts && observer->told[host] == 0) {
        observer->told[host] = 1;
        observer->known++;
        observer->last_us = za_realm_now_us(realm);
        observer->first_us = observer->known == 1 ? observer->last_us : observer->first_us;
    }
}

static void on_effect(void *context, za_realm_t *realm, uint32_t host, const za_effect_t *effect)
{
    observer_t *observer = context;
    if (effect->type != ZA_EFFECT_MEMBER) {
        return;
    }
    bool failure = effect->state == ZA_MEMBER_UNREACHABLE || effect->state == ZA_MEMBER_DOWN;
    uint32_t there = za_host_of_uid(realm, effect->uid);
    bool lives = there != UINT32_MAX && za_host_uid(realm, there) == effect->uid;
    za_member_info_t info = { 0 };
    if (failure && lives && !is_excused(observer, there) &&
        za_host_find(realm, host, effect->uid, &info)) {
        note_false(observer, za_mix64(effect->uid + info.incarnation));
    }
    if (effect->uid != observer->uid) {
        return;
    }
    bool doubt = failure || effect->state == ZA_MEMBER_SUSPECT;
    if (observer->state == ZA_MEMBER_LEFT && doubt) {
        observer->wrong++;
    }
    bool enough = effect->state == observer->state ||
                  (observer->state == ZA_MEMBER_UNREACHABLE && effect->state == ZA_MEMBER_DOWN);
    if (enough) {
        note_known(observer, realm, host);
    }
}

static const za_oracle_ops_t observer_ops = { .name = "observer", .effect = on_effect };

void observer_aim(observer_t *observer, uint64_t uid, za_member_state_t state)
{
    observer->uid = uid;
    observer->state = state;
    observer->known = 0;
    observer->wrong = 0;
    observer->first_us = observer->last_us = 0;
    memset(observer->told, 0, observer->hosts);
}

void observer_free(observer_t *observer)
{
    free(observer->told);
    free(observer->victims);
    *observer = (observer_t){ 0 };
}

/* ---- realms ------------------------------------------------------------------------------------ */

za_realm_config_t lan_config(const options_t *options, uint64_t seed, uint32_t hosts)
{
    return (za_realm_config_t){ .seed = seed,
                                .hosts = hosts,
                                .services = options->services,
                                .datagrams = options->datagrams,
                                .seeds = options->seeds,
                                .timing = za_cluster_timing_lan,
                                .latency_us_min = 100,
                                .latency_us_max = 500,
                                .drift_ppm = 100,
                                .late_us = 1000 };
}

za_realm_t *observed_realm(const za_realm_config_t *config, observer_t *observer)
{
    za_realm_t *realm = NULL;
    za_err_t err = za_realm_create(config, &realm);
    *observer = (observer_t){ .hosts = config->hosts, .told = calloc(config->hosts, 1) };
    if (err != ZA_OK || observer->told == NULL) {
        exit((int)say(STATUS_USAGE, "cannot make a realm of %u hosts: %s", config->hosts,
                      za_err_text(err)));
    }
    za_realm_add_oracle(realm, &observer_ops, observer);
    return realm;
}

enum { AT_ONCE = 2000 }; // more take minutes of CPU to join: they are members from the start

za_realm_t *lan_realm(const options_t *options, uint64_t seed, uint32_t hosts, uint32_t loss_ppm,
                      observer_t *observer)
{
    za_realm_config_t config = lan_config(options, seed, hosts);
    config.loss_ppm = loss_ppm;
    za_realm_t *realm = observed_realm(&config, observer);
    if (hosts > AT_ONCE) {
        za_realm_form(realm);
        za_realm_run(realm, 30 * ZA_US_PER_S); // until links are made
    }
    for (uint32_t i = 0; i < hosts; i++) {
        za_host_start(realm, i);
    }
    // A thousand that start at once take a dozen seconds.
    if (!run_until_converged(realm, 600 * ZA_US_PER_S, 100 * ZA_US_PER_MS)) {
        exit((int)say(STATUS_VIOLATION, "seed %llu: %u nodes found no common view in 600 s",
                      (unsigned long long)seed, hosts));
    }
    return realm;
}

bool run_until_known(za_realm_t *realm, const observer_t *observer, uint32_t count,
                     uint64_t bound_us)
{
    uint64_t end_us = za_realm_now_us(realm) + bound_us;
    while (observer->known < count && za_realm_now_us(realm) < end_us) {
        za_realm_run(realm, za_realm_now_us(realm) + 10 * ZA_US_PER_MS);
    }
    return observer->known >= count;
}

bool run_until_converged(za_realm_t *realm, uint64_t bound_us, uint64_t step_us)
{
    uint64_t end_us = za_realm_now_us(realm) + bound_us;
    while (!za_realm_converged(realm)) {
        if (za_realm_now_us(realm) >= end_us) {
            return false;
        }
        za_realm_run(realm, za_realm_now_us(realm) + step_us);
    }
    return true;
}

status_t measure_rows(const options_t *options, const size_row_t *rows, measure_row_t *row)
{
    sheet_t *sheet = sheet_create(options->json);
    bool good = true;
    bool listed = options->nodes == 0;
    for (; rows->nodes != 0; rows++) {
        if (options->nodes == 0 || options->nodes == rows->nodes) {
            listed = true;
            good &= row(sheet, options, rows->nodes, options->runs ? options->runs : rows->runs);
        }
    }
    if (!listed) {
        good &= row(sheet, options, options->nodes, options->runs ? options->runs : rows->runs);
    }
    sheet_print(sheet);
    return good || !options->check ? STATUS_OK : STATUS_VIOLATION;
}
