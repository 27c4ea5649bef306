// Faults of a host's clocks, machine, certificate, program and memory, one by one.
#include <stdlib.h>
#include <string.h>

#include "sim/trial.h"
#include "support/seeds.h"
#include "support/za_test.h"

enum { SECOND_US = 1000000 };

/** What hosts are told of connections that fail, by error. */
typedef struct heard {
    uint32_t auth, version;
} heard_t;

static void count_failures(void *context, za_realm_t *realm, uint32_t host,
                           const za_cluster_event_t *event)
{
    heard_t *heard = context;
    (void)realm;
    (void)host;
    heard->auth += event->type == ZA_CLUSTER_CONNECT_FAILED && event->err == ZA_EAUTH;
    heard->version += event->type == ZA_CLUSTER_CONNECT_FAILED && event->err == ZA_EVERSION;
}

static void no_destroy(void *context)
{
    (void)context;
}

static void run_for(za_realm_t *realm, uint32_t seconds)
{
    cr_assert(za_realm_run(realm, za_realm_now_us(realm) + (uint64_t)seconds * SECOND_US), "runs");
}

/** A LAN of `hosts` that see each other. */
static za_realm_t *formed(uint64_t seed, uint32_t hosts, heard_t *heard)
{
    static const za_oracle_ops_t ops = { "heard", .input = count_failures, .destroy = no_destroy };
    za_realm_config_t config = { .seed = seed,
                                 .hosts = hosts,
                                 .datagrams = seed % 2 == 0,
                                 .timing = za_cluster_timing_lan,
                                 .latency_us_min = 100,
                                 .latency_us_max = 500 };
    za_realm_t *realm = NULL;
    cr_assert(za_realm_create(&config, &realm) == ZA_OK, "created");
    *heard = (heard_t){ 0 };
    za_realm_add_oracle(realm, &ops, heard);
    for (uint32_t i = 0; i < hosts; i++) {
        za_host_start(realm, i);
    }
    run_for(realm, 5);
    cr_assert(za_realm_converged(realm), "all see all");
    return realm;
}

static bool is_up_for(const za_realm_t *realm, uint32_t watcher, uint32_t host)
{
    za_member_info_t info;
    return za_host_find(realm, watcher, za_host_uid(realm, host), &info) &&
           info.state == ZA_MEMBER_UP;
}

static void run_plan(const za_plan_t *plan)
{
    za_trial_result_t result;
    cr_assert(za_trial_run(plan, NULL, &result) == ZA_OK, "memory");
    if (result.failure.failed) {
        za_plan_write(plan, stderr); // for zasim run --plan
    }
    cr_assert(!result.failure.failed, "seed %d: %s at %d ms: %s", (int)plan->seed,
              result.failure.oracle, (int)(result.failure.at_us / 1000), result.failure.text);
}

// M6: a node that misses time blames itself, and its suspicions of others last as long as ever.
Test(faults, a_clock_that_jumps_ahead_makes_nobody_a_failure)
{
    za_plan_t *plan = malloc(sizeof *plan);
    za_seeds_t seeds = za_seeds(12);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        za_plan_init(plan, seed, 6);
        plan->datagrams = seed % 2;
        plan->loss_ppm = 10000;
        plan->latency_us_min = 15000;
        plan->latency_us_max = 20000;
        for (uint32_t i = 0; i < 180; i++) { // three in a row: a probe, a suspicion, a verdict
            uint32_t at_ms = 5000 + 283 * (i / 3) + 20 * (i % 3);
            za_fault_t *fault = za_plan_add(plan, ZA_FAULT_JUMP, at_ms, 1);
            fault->amount = 20000;
            za_fault_add_host(fault->a, (uint32_t)(seed + i / 3) % 6);
        }
        cr_assert(za_plan_is_benign(plan), "M6 looks");
        run_plan(plan);
    }
    free(plan);
}

// A virtual machine that stood still finds itself in a world that went on: it is down, and reborn.
Test(faults, a_machine_that_stood_still_comes_back)
{
    heard_t heard;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        za_realm_t *realm = formed(seed, 5, &heard);
        uint64_t uid = za_host_uid(realm, 2);
        uint64_t before_ms = za_host_now_ms(realm, 2);
        za_host_suspend(realm, 2, true);
        run_for(realm, 60);
        za_member_info_t info;
        cr_assert(za_host_find(realm, 1, uid, &info) && info.state == ZA_MEMBER_DOWN,
                  "nothing was heard of it");
        za_host_suspend(realm, 2, false);
        cr_assert(za_host_now_ms(realm, 2) - before_ms <= 1, "its clock stood still, too");
        run_for(realm, 60);
        cr_assert(za_realm_converged(realm), "seed %d: it is a member again", (int)seed);
        cr_assert(za_host_uid(realm, 2) != uid, "under another uid");
        za_realm_destroy(realm);
    }
}

// Claims of names are ordered by wall clocks that need not be right: all still agree on one holder.
Test(faults, wall_clocks_that_are_days_apart_leave_one_holder_to_each_name)
{
    za_plan_t *plan = malloc(sizeof *plan);
    za_seeds_t seeds = za_seeds(6);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        za_plan_init(plan, seed, 5);
        plan->services = 1;
        plan->work = 300;
        za_fault_t *wall = za_plan_add(plan, ZA_FAULT_WALL, 5000, 30000);
        wall->amount = 1u << (8 + seed * 3); // up to three days
        za_fault_add_host(wall->a, 1);
        za_fault_add_host(wall->a, 3);
        run_plan(plan);
    }
    free(plan);
}

Test(faults, an_expired_certificate_makes_no_link_until_it_is_renewed)
{
    heard_t heard;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        za_realm_t *realm = formed(seed, 4, &heard);
        za_host_expire(realm, 3, true);
        run_for(realm, 30);
        cr_assert(za_realm_converged(realm), "links that are there stay");
        cr_assert(heard.auth == 0, "and nobody makes new ones");
        za_host_crash(realm, 3);
        za_host_start(realm, 3);
        run_for(realm, 60);
        cr_assert(heard.auth > 0, "the others refuse its certificate");
        cr_assert(!is_up_for(realm, 0, 3) && !is_up_for(realm, 3, 0), "it is no member");
        za_host_expire(realm, 3, false);
        run_for(realm, 60);
        cr_assert(za_realm_converged(realm), "seed %d: now it is", (int)seed);
        za_realm_destroy(realm);
    }
}

// Certificates are judged by the clock of who looks at them.
Test(faults, who_lives_in_yesterday_trusts_nobody)
{
    heard_t heard;
    za_realm_t *realm = formed(3, 4, &heard);
    za_host_set_back(realm, 2, 24 * 3600 * 1000);
    za_host_crash(realm, 2);
    za_host_start(realm, 2);
    run_for(realm, 60);
    cr_assert(heard.auth > 0 && !is_up_for(realm, 0, 2), "certificates are not valid yet");
    za_host_set_back(realm, 2, 0);
    run_for(realm, 60);
    cr_assert(za_realm_converged(realm), "the clock was set");
    za_realm_destroy(realm);
}

// Fields and frames that nobody knows yet, in every message: all else in them is taken as ever.
Test(faults, a_later_version_joins_and_is_understood)
{
    heard_t heard;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        za_realm_t *realm = formed(seed, 5, &heard);
        za_host_set_version(realm, 3, ZA_VERSION_LATER);
        za_host_crash(realm, 3);
        za_host_start(realm, 3);
        run_for(realm, 10);
        cr_assert(za_realm_converged(realm), "seed %d: it joined", (int)seed);
        uint64_t uid = za_host_uid(realm, 3);
        za_host_leave(realm, 3);
        run_for(realm, 2);
        za_member_info_t info;
        cr_assert(za_host_find(realm, 1, uid, &info) && info.state == ZA_MEMBER_LEFT,
                  "seed %d: its leave was understood", (int)seed);
        za_realm_destroy(realm);
    }
}

// M6, M7, and what holds of names and watches, while one after the other is restarted as a later version,
// and as the present one again.
Test(faults, a_rolling_upgrade_is_harmless)
{
    za_plan_t *plan = malloc(sizeof *plan);
    za_seeds_t seeds = za_seeds(6);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        za_plan_init(plan, seed, 5);
        plan->services = 1;
        plan->datagrams = seed % 2;
        plan->work = 100;
        plan->duration_ms = 90000;
        for (uint32_t i = 0; i < 5; i++) {
            za_fault_t *fault = za_plan_add(plan, ZA_FAULT_UPGRADE, 10000 + 5000 * i, 40000);
            za_fault_add_host(fault->a, i);
        }
        cr_assert(za_plan_is_benign(plan), "M6 looks");
        run_plan(plan);
    }
    free(plan);
}

// X1: without a common version nothing that it says is heard, and it is a stranger to all.
Test(faults, a_version_without_a_common_one_is_refused_and_harms_nobody)
{
    heard_t heard;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        za_realm_t *realm = formed(seed, 4, &heard);
        za_host_set_version(realm, 3, ZA_VERSION_FOREIGN);
        za_host_crash(realm, 3);
        za_host_start(realm, 3);
        run_for(realm, 60);
        cr_assert(heard.version > 0, "it is told why");
        za_member_info_t info;
        for (uint32_t i = 0; i < 3; i++) {
            cr_assert(!za_host_find(realm, i, za_host_uid(realm, 3), &info), "n%u knows it",
                      (unsigned)i);
            cr_assert(is_up_for(realm, i, (i + 1) % 3), "the others are well");
        }
        za_host_set_version(realm, 3, ZA_VERSION_PRESENT);
        za_host_crash(realm, 3);
        za_host_start(realm, 3);
        run_for(realm, 60);
        cr_assert(za_realm_converged(realm), "seed %d: rolled back", (int)seed);
        za_realm_destroy(realm);
    }
}

// Sockets and queues of a few kilobytes, and steps that must be taken in parts: work is late, not wrong.
Test(faults, little_room_is_made_up_for_afterwards)
{
    za_plan_t *plan = malloc(sizeof *plan);
    za_seeds_t seeds = za_seeds(6);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        za_plan_init(plan, seed, 5);
        plan->services = 1;
        plan->datagrams = seed % 2;
        plan->work = 400;
        plan->names = 6;
        za_fault_t *tight = za_plan_add(plan, ZA_FAULT_TIGHT, 5000, 40000);
        tight->amount = 2048u << seed % 4;
        za_fault_t *slow = za_plan_add(plan, ZA_FAULT_STARVE, 15000, 3000);
        for (uint32_t i = 0; i < 5; i++) {
            za_fault_add_host(tight->a, i);
            za_fault_add_host(slow->a, i);
        }
        run_plan(plan);
    }
    free(plan);
}

Test(faults, plans_draw_each_kind_and_each_strategy)
{
    za_plan_t *plan = malloc(sizeof *plan);
    uint32_t kinds[ZA_FAULT_KINDS] = { 0 };
    uint32_t strategies[ZA_DOWNING_DOWN_ALL + 1] = { 0 };
    for (uint64_t seed = 1; seed <= 200; seed++) {
        za_plan_draw(plan, seed, 5, true);
        strategies[plan->downing]++;
        for (uint32_t i = 0; i < plan->fault_count; i++) {
            kinds[plan->faults[i].kind]++;
        }
    }
    for (int i = 0; i < ZA_FAULT_KINDS; i++) {
        cr_assert(kinds[i] > 0, "%s", za_fault_kind_name((za_fault_kind_t)i));
    }
    for (int i = 0; i <= ZA_DOWNING_DOWN_ALL; i++) {
        cr_assert(strategies[i] > 0, "%s", za_downing_strategy_name((za_downing_strategy_t)i));
    }
    free(plan);
}

Test(faults, of_every_kind_leave_a_cluster_of_one_alone)
{
    za_plan_t *plan = malloc(sizeof *plan);
    uint32_t pairs = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        za_plan_draw(plan, seed, 1, true);
        for (uint32_t i = 0; i < plan->fault_count; i++) {
            pairs += za_fault_is_pair(&plan->faults[i]);
        }
        run_plan(plan);
    }
    cr_assert(pairs > 0, "paths are cut in some");
    free(plan);
}

// M5: who comes back elsewhere finds its former life in the others' views, and may be the first to
// doubt it.
Test(faults, who_moved_is_a_witness_of_its_own_end)
{
    za_plan_t *plan = malloc(sizeof *plan);
    for (uint64_t seed = 10; seed < 30; seed++) {
        za_plan_init(plan, seed, 5);
        plan->duration_ms = 20000;
        plan->datagrams = 1;
        plan->timing = ZA_PLAN_LOCAL;
        plan->latency_us_min = 106;
        plan->latency_us_max = 605;
        plan->drift_ppm = 160;
        plan->late_us = 736;
        za_fault_t *fault = za_plan_add(plan, ZA_FAULT_REUSE, 10000, 52);
        for (uint32_t host = 1; host <= 3; host++) {
            za_fault_add_host(fault->a, host);
        }
        run_plan(plan);
    }
    free(plan);
}
