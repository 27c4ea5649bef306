// How long until all know that a node is gone, and until all see a newcomer or a leaver.

#include "measure.h"
#include "sim/chance.h"

/** What a row must reach; 0: no bound is set for it. */
typedef struct bound {
    uint32_t nodes;
    uint32_t p50_ms, p99_ms;
} bound_t;

static bool within(samples_t *samples, uint32_t permille, uint32_t bound_ms)
{
    return bound_ms == 0 || samples_quantile(samples, permille) <= bound_ms * ZA_US_PER_MS;
}

static bool print_row(sheet_t *sheet, const char *what, uint32_t nodes, uint64_t seed,
                      samples_t *samples, uint32_t missed, const bound_t *bounds)
{
    const bound_t *bound = bounds;
    while (bound->nodes != 0 && bound->nodes != nodes) {
        bound++;
    }
    bool good =
        missed == 0 && within(samples, 500, bound->p50_ms) && within(samples, 990, bound->p99_ms);
    sheet_text(sheet, "what", "%s", what);
    sheet_number(sheet, "nodes", nodes, 0);
    sheet_number(sheet, "seed", (double)seed, 0);
    sheet_number(sheet, "runs", samples->count, 0);
    sheet_number(sheet, "p50_s", (double)samples_quantile(samples, 500) / 1e6, 3);
    sheet_number(sheet, "p99_s", (double)samples_quantile(samples, 990) / 1e6, 3);
    sheet_number(sheet, "max_s", (double)samples_quantile(samples, 1000) / 1e6, 3);
    sheet_number(sheet, "missed", missed, 0);
    sheet_text(sheet, "bound", "%s", bound->nodes == 0 ? "-" : good ? "met" : "MISSED");
    sheet_end_row(sheet);
    return good;
}

/* ---- detect ------------------------------------------------------------------------------------ */

static bool detect_end(sheet_t *sheet, const options_t *options, uint32_t nodes, uint32_t runs,
                       bool silent)
{
    static const bound_t closed_bounds[] = { { 32, 0, 1000 }, { 0 } };
    static const bound_t silent_bounds[] = { { 32, 4000, 6000 }, { 1000, 7500, 10000 }, { 0 } };
    observer_t observer;
    samples_t samples = { 0 };
    uint32_t missed = 0;
    za_realm_t *realm = lan_realm(options, options->seed, nodes, 0, &observer);
    for (uint32_t run = 0; run < runs; run++) {
        // Some time between probes and syncs, so that runs differ in their phase.
        uint64_t draw = za_chance(options->seed, ZA_CHANCE_WORK, run, nodes);
        uint64_t wait_us = 2 * ZA_US_PER_S + za_chance_below(draw, 2 * ZA_US_PER_S);
        za_realm_run(realm, za_realm_now_us(realm) + wait_us);
        uint32_t victim = (uint32_t)za_chance_below(za_mix64(draw), nodes);
        observer_aim(&observer, za_host_uid(realm, victim),
                     silent ? ZA_MEMBER_UNREACHABLE : ZA_MEMBER_DOWN);
        uint64_t at_us = za_realm_now_us(realm);
        if (silent) {
            za_host_vanish(realm, victim);
        } else {
            za_host_crash(realm, victim);
        }
        if (run_until_known(realm, &observer, nodes - 1, 60 * ZA_US_PER_S)) {
            samples_add(&samples, observer.last_us - at_us);
        } else {
            missed++;
        }
        za_host_start(realm, victim);
        missed += !run_until_converged(realm, 120 * ZA_US_PER_S, 100 * ZA_US_PER_MS);
    }
    bool good =
        print_row(sheet, silent ? "host gone, to unreachable" : "process killed, to down", nodes,
                  options->seed, &samples, missed, silent ? silent_bounds : closed_bounds);
    za_realm_destroy(realm);
    observer_free(&observer);
    samples_free(&samples);
    return good;
}

static bool detect(sheet_t *sheet, const options_t *options, uint32_t nodes, uint32_t runs)
{
    bool good = detect_end(sheet, options, nodes, runs, false);
    return detect_end(sheet, options, nodes, runs, true) && good;
}

status_t verb_detect(const options_t *options)
{
    static const size_row_t rows[] = { { 3, 300 },   { 8, 300 },    { 32, 300 },
                                       { 128, 100 }, { 1000, 100 }, { 0, 3 } };
    return measure_rows(options, rows, detect);
}

/* ---- join -------------------------------------------------------------------------------------- */

/** All at once, or one after the other: the time until all see all, after the last start. */
static bool join(sheet_t *sheet, const options_t *options, uint32_t nodes, uint32_t runs)
{
    static const bound_t bounds[] = { { 32, 0, 500 }, { 0 } };
    samples_t samples = { 0 };
    uint32_t missed = 0;
    for (uint32_t run = 0; run < runs; run++) {
        observer_t observer;
        za_realm_config_t config = lan_config(options, options->seed + run, nodes);
        za_realm_t *realm = observed_realm(&config, &observer);
        for (uint32_t i = 0; i < nodes; i++) {
            za_realm_run(realm, (uint64_t)i * options->apart_ms * ZA_US_PER_MS);
            za_host_start(realm, i);
        }
        uint64_t last_us = za_realm_now_us(realm);
        uint64_t bound_us = (60 + nodes / 10) * ZA_US_PER_S;
        if (run_until_converged(realm, bound_us, ZA_US_PER_MS)) {
            samples_add(&samples, za_realm_now_us(realm) - last_us);
        } else {
            missed++;
        }
        za_realm_destroy(realm);
        observer_free(&observer);
    }
    bool good =
        print_row(sheet, "all join at once", nodes, options->seed, &samples, missed, bounds);
    samples_free(&samples);
    return good;
}

status_t verb_join(const options_t *options)
{
    static const size_row_t rows[] = { { 3, 100 }, { 8, 100 }, { 32, 100 }, { 128, 10 }, { 0, 1 } };
    return measure_rows(options, rows, join);
}

/* ---- leave ------------------------------------------------------------------------------------- */

static bool leave(sheet_t *sheet, const options_t *options, uint32_t nodes, uint32_t runs)
{
    static const bound_t bounds[] = { { 3, 0, 300 }, { 8, 0, 300 }, { 32, 0, 300 }, { 0 } };
    observer_t observer;
    samples_t samples = { 0 };
    uint32_t missed = 0;
    za_realm_t *realm = lan_realm(options, options->seed, nodes, 0, &observer);
    for (uint32_t run = 0; run < runs; run++) {
        uint64_t draw = za_chance(options->seed, ZA_CHANCE_WORK, run, nodes);
        uint64_t wait_us = 2 * ZA_US_PER_S + za_chance_below(draw, 2 * ZA_US_PER_S);
        za_realm_run(realm, za_realm_now_us(realm) + wait_us);
        uint32_t leaver = (uint32_t)za_chance_below(za_mix64(draw), nodes);
        observer_aim(&observer, za_host_uid(realm, leaver), ZA_MEMBER_LEFT);
        uint64_t at_us = za_realm_now_us(realm);
        za_host_leave(realm, leaver);
        // The leaver says it of itself, too.
        bool all = run_until_known(realm, &observer, nodes, 20 * ZA_US_PER_S);
        if (all && observer.wrong == 0) {
            samples_add(&samples, observer.last_us - at_us);
        } else {
            missed++;
        }
        za_realm_run(realm, za_realm_now_us(realm) + 8 * ZA_US_PER_S);
        za_host_start(realm, leaver);
        missed += !run_until_converged(realm, 120 * ZA_US_PER_S, 100 * ZA_US_PER_MS);
    }
    bool good = print_row(sheet, "leave, to left", nodes, options->seed, &samples, missed, bounds);
    za_realm_destroy(realm);
    observer_free(&observer);
    samples_free(&samples);
    return good;
}

status_t verb_leave(const options_t *options)
{
    static const size_row_t rows[] = {
        { 3, 200 }, { 8, 200 }, { 32, 200 }, { 128, 50 }, { 0, 50 }
    };
    return measure_rows(options, rows, leave);
}
