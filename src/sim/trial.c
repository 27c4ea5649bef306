#include "sim/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/chance.h"
#include "sim/oracle_downing.h"
#include "sim/oracle_member.h"
#include "sim/oracle_registry.h"
#include "sim/work.h"

enum {
    SETTLE_STEP_US = 50000,
    // A watch on a node that is not known waits for syncs, what strangers left goes after a minute.
    SERVICES_SETTLE_US = 75000000,
};

/** A fault begins, or ends. */
typedef struct action {
    uint64_t at_us;
    uint32_t order; // of equals: as the plan lists them, ends first
    uint32_t fault;
    bool ends;
} action_t;

typedef struct trial {
    const za_plan_t *plan;
    za_realm_t *realm;
    za_work_t *work;                     // NULL: none
    uint32_t active[ZA_PLAN_FAULTS_MAX]; // of paths: what za_realm_fault answered
    uint32_t action_count;
    action_t actions[2 * ZA_PLAN_FAULTS_MAX];
} trial_t;

/* ---- faults ----------------------------------------------------------------------------------- */

static za_path_fault_t path_fault(const za_plan_t *plan, const za_fault_t *fault)
{
    za_path_fault_t path = { .from = fault->a,
                             .to = fault->b,
                             .set_hosts = ZA_PLAN_SET_HOSTS,
                             .both_ways = fault->kind != ZA_FAULT_ONEWAY,
                             .number = fault->number };
    uint32_t period_us = fault->period_ms * 1000;
    (void)plan;
    switch (fault->kind) {
    case ZA_FAULT_PARTITION:
    case ZA_FAULT_ONEWAY:
        path.block = true;
        break;
    case ZA_FAULT_REFUSE:
        path.refuse = true;
        break;
    case ZA_FAULT_FLAP:
        path.block = true;
        path.flap_us = period_us;
        break;
    case ZA_FAULT_LOSS:
        path.loss_ppm = fault->amount;
        break;
    case ZA_FAULT_BURST:
        path.burst_ppm = fault->amount;
        path.burst_us = period_us;
        break;
    case ZA_FAULT_DELAY:
        path.delay_us = fault->amount / 2;
        path.jitter_us = fault->amount / 2;
        break;
    case ZA_FAULT_DUPLICATE:
        path.duplicate_ppm = fault->amount;
        break;
    case ZA_FAULT_REORDER:
        path.reorder_ppm = fault->amount;
        path.reorder_us = period_us;
        break;
    case ZA_FAULT_CORRUPT:
        path.corrupt_ppm = fault->amount;
        path.datagrams_only = true; // TCP repeats what it finds corrupt
        break;
    case ZA_FAULT_MTU:
        path.mtu = fault->amount;
        path.datagrams_only = true;
        break;
    case ZA_FAULT_UDP:
        path.block = true;
        path.datagrams_only = true;
        break;
    default:
        ZA_ASSERT(!"no fault of paths");
    }
    return path;
}

/** The program of the host is exchanged: it ends, and the other one starts at once. */
static void exchange(za_realm_t *realm, uint32_t host, za_host_version_t version)
{
    bool runs = za_host_state(realm, host) == ZA_HOST_ON;
    za_host_set_version(realm, host, version);
    if (runs) {
        za_host_crash(realm, host);
        za_host_start(realm, host);
    }
}

/** What holds for as long as the fault lasts: it begins, or is over. */
static void set_state(za_realm_t *realm, const za_fault_t *fault, uint32_t host, bool on)
{
    uint32_t amount = on ? fault->amount : 0;
    switch (fault->kind) {
    case ZA_FAULT_PAUSE:
        za_host_pause(realm, host, on);
        break;
    case ZA_FAULT_STARVE:
        za_host_starve(realm, host, on);
        break;
    case ZA_FAULT_SLOW:
        za_host_slow(realm, host, amount);
        break;
    case ZA_FAULT_DISTRUST:
        za_host_distrust(realm, host, on);
        break;
    case ZA_FAULT_EXPIRE:
        za_host_expire(realm, host, on);
        break;
    case ZA_FAULT_SUSPEND:
        za_host_suspend(realm, host, on);
        break;
    case ZA_FAULT_JUMP:
        if (on) { // no clock goes back
            za_host_jump(realm, host, amount);
        }
        break;
    case ZA_FAULT_WALL:
        za_host_set_back(realm, host, amount);
        break;
    case ZA_FAULT_TIGHT:
        za_host_tighten(realm, host, amount);
        break;
    case ZA_FAULT_UPGRADE:
        exchange(realm, host, on ? ZA_VERSION_LATER : ZA_VERSION_PRESENT);
        break;
    case ZA_FAULT_VERSION:
        exchange(realm, host, on ? ZA_VERSION_FOREIGN : ZA_VERSION_PRESENT);
        break;
    case ZA_FAULT_LEASE:
        za_host_cut_lease(realm, host, on);
        break;
    default:
        ZA_ASSERT(!"no fault of hosts");
    }
}

static void begin_host(za_realm_t *realm, const za_fault_t *fault, uint32_t host)
{
    switch (fault->kind) {
    case ZA_FAULT_CRASH:
    case ZA_FAULT_MOVE:
    case ZA_FAULT_REUSE:
        za_host_crash(realm, host);
        break;
    case ZA_FAULT_VANISH:
        za_host_vanish(realm, host);
        break;
    case ZA_FAULT_LEAVE:
        za_host_leave(realm, host);
        break;
    default:
        set_state(realm, fault, host, true);
        break;
    }
}

static void end_host(za_realm_t *realm, const za_fault_t *fault, uint32_t host)
{
    switch (fault->kind) {
    case ZA_FAULT_MOVE:
    case ZA_FAULT_REUSE:
        za_host_move(realm, host, fault->kind == ZA_FAULT_REUSE);
        za_host_start(realm, host);
        break;
    case ZA_FAULT_CRASH:
    case ZA_FAULT_VANISH:
    case ZA_FAULT_LEAVE:
        za_host_start(realm, host);
        break;
    default:
        set_state(realm, fault, host, false);
        break;
    }
}

static void reset_between(za_realm_t *realm, const za_fault_t *fault)
{
    uint32_t hosts = za_realm_host_count(realm);
    for (uint32_t a = 0; a < hosts && a < ZA_PLAN_SET_HOSTS; a++) {
        for (uint32_t b = 0; za_fault_has_host(fault->a, a) && b < hosts; b++) {
            if (a != b && za_fault_has_host(fault->b, b)) {
                za_realm_reset(realm, a, b);
            }
        }
    }
}

static void act(trial_t *trial, const action_t *action)
{
    const za_fault_t *fault = &trial->plan->faults[action->fault];
    za_realm_t *realm = trial->realm;
    if (za_fault_is_path(fault->kind)) {
        if (action->ends) {
            za_realm_heal(realm, trial->active[action->fault]);
        } else {
            za_path_fault_t path = path_fault(trial->plan, fault);
            trial->active[action->fault] = za_realm_fault(realm, &path);
        }
        return;
    }
    if (fault->kind == ZA_FAULT_RESET) {
        if (!action->ends) {
            reset_between(realm, fault);
        }
        return;
    }
    uint32_t hosts = za_realm_host_count(realm);
    for (uint32_t host = 0; host < hosts && host < ZA_PLAN_SET_HOSTS; host++) {
        if (za_fault_has_host(fault->a, host)) {
            if (action->ends) {
                end_host(realm, fault, host);
            } else {
                begin_host(realm, fault, host);
            }
        }
    }
}

static int by_time(const void *a, const void *b)
{
    const action_t *first = a;
    const action_t *second = b;
    if (first->at_us != second->at_us) {
        return first->at_us < second->at_us ? -1 : 1;
    }
    return first->order < second->order ? -1 : first->order > second->order;
}

static void schedule(trial_t *trial)
{
    const za_plan_t *plan = trial->plan;
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        uint64_t start_ms = plan->faults[i].start_ms;
        uint64_t end_ms = start_ms + plan->faults[i].length_ms;
        end_ms = end_ms < plan->duration_ms ? end_ms : plan->duration_ms;
        if (start_ms >= end_ms) {
            continue; // it comes after the end: a plan made shorter
        }
        action_t *begin = &trial->actions[trial->action_count++];
        *begin = (action_t){ start_ms * ZA_US_PER_MS, 2 * i + 1, i, false };
        action_t *end = &trial->actions[trial->action_count++];
        *end = (action_t){ end_ms * ZA_US_PER_MS, 2 * i, i, true };
    }
    qsort(trial->actions, trial->action_count, sizeof trial->actions[0], by_time);
}

/* ---- run -------------------------------------------------------------------------------------- */

typedef struct presence {
    const za_realm_t *realm;
    uint32_t up;
    bool strangers; // somebody is up who does not run
} presence_t;

static bool count_up(const za_member_info_t *info, void *context)
{
    presence_t *presence = context;
    if (info->state == ZA_MEMBER_LEFT || info->state == ZA_MEMBER_DOWN) {
        return true;
    }
    uint32_t host = za_host_of_uid(presence->realm, info->uid);
    bool there = host != UINT32_MAX && za_host_uid(presence->realm, host) == info->uid;
    presence->strangers |= !there || info->state != ZA_MEMBER_UP;
    presence->up++;
    return !presence->strangers;
}

bool za_realm_converged(const za_realm_t *realm)
{
    uint32_t running = 0;
    uint32_t first = 0;
    for (uint32_t i = 0; i < za_realm_host_count(realm); i++) {
        if (za_host_state(realm, i) != ZA_HOST_ON || za_host_has_left(realm, i)) {
            continue;
        }
        if (!za_host_running(realm, i)) {
            return false;
        }
        first = running == 0 ? i : first;
        if (za_host_view_hash(realm, i) != za_host_view_hash(realm, first)) {
            return false;
        }
        running++;
    }
    if (running == 0) {
        return true;
    }
    // Views are equal: one speaks for all.
    presence_t presence = { .realm = realm };
    za_host_each_member(realm, first, count_up, &presence);
    return !presence.strangers && presence.up == running;
}

/** What keeps views apart, in words. */
typedef struct contrast {
    const za_realm_t *realm;
    uint32_t here, there;
    char text[160];
} contrast_t;

static bool compare_member(const za_member_info_t *info, void *context)
{
    contrast_t *contrast = context;
    za_member_info_t other;
    bool ended = info->state == ZA_MEMBER_LEFT || info->state == ZA_MEMBER_DOWN;
    bool known = za_host_find(contrast->realm, contrast->there, info->uid, &other);
    if (ended || (known && other.state == info->state && other.incarnation == info->incarnation)) {
        return true;
    }
    snprintf(contrast->text, sizeof contrast->text, ": n%u is %s %llu for n%u and %s %llu for n%u",
             za_host_of_uid(contrast->realm, info->uid), za_member_state_name(info->state),
             (unsigned long long)info->incarnation, contrast->here,
             known ? za_member_state_name(other.state) : "unknown",
             (unsigned long long)(known ? other.incarnation : 0), contrast->there);
    return false;
}

static void find_contrast(const za_realm_t *realm, contrast_t *contrast)
{
    contrast->realm = realm;
    for (uint32_t i = 0; i < za_realm_host_count(realm); i++) {
        for (uint32_t k = 0; k < za_realm_host_count(realm) && contrast->text[0] == '\0'; k++) {
            if (i != k && za_host_state(realm, i) == ZA_HOST_ON &&
                za_host_state(realm, k) == ZA_HOST_ON) {
                contrast->here = i;
                contrast->there = k;
                za_host_each_member(realm, i, compare_member, contrast);
            }
        }
    }
}

static void start_nodes(trial_t *trial)
{
    const za_plan_t *plan = trial->plan;
    // In order of their times; ties by index.
    uint32_t started = 0;
    for (uint64_t ms = 0; started < plan->nodes; ms++) {
        ZA_ASSERT(ms <= plan->start_ms);
        if (!za_realm_run(trial->realm, ms * ZA_US_PER_MS)) {
            return;
        }
        for (uint32_t i = 0; i < plan->nodes; i++) {
            uint64_t draw = za_chance(plan->seed, ZA_CHANCE_WORK, i, 0);
            if (za_chance_below(draw, (uint64_t)plan->start_ms + 1) == ms) {
                za_host_start(trial->realm, i);
                started++;
            }
        }
    }
}

/** Runs to `until_us`, with the work that falls due on the way. */
static bool run_work(trial_t *trial, uint64_t until_us)
{
    while (trial->work != NULL && za_work_due_us(trial->work) < until_us) {
        if (!za_realm_run(trial->realm, za_work_due_us(trial->work))) {
            return false;
        }
        za_work_act(trial->work);
    }
    return za_realm_run(trial->realm, until_us);
}

static void run_faults(trial_t *trial)
{
    for (uint32_t i = 0; i < trial->action_count; i++) {
        uint64_t at_us = trial->actions[i].at_us;
        if (at_us > za_realm_now_us(trial->realm) && !run_work(trial, at_us)) {
            return;
        }
        act(trial, &trial->actions[i]);
    }
    run_work(trial, trial->plan->duration_ms * ZA_US_PER_MS);
}

/** Everybody who does not run starts again. True if somebody did not. */
static bool start_all(za_realm_t *realm)
{
    bool started = false;
    for (uint32_t i = 0; i < za_realm_host_count(realm); i++) {
        started |= za_host_state(realm, i) != ZA_HOST_ON;
        za_host_start(realm, i);
    }
    return started;
}

/** Views must become one; who was still leaving when the faults ended comes back when it has left. */
static void settle(trial_t *trial, za_trial_result_t *out)
{
    za_realm_t *realm = trial->realm;
    uint64_t allowed_us = za_plan_settle_ms(trial->plan) * ZA_US_PER_MS;
    uint64_t healed_us = za_realm_now_us(realm);
    uint64_t bound_us = healed_us + allowed_us;
    bool runs = true;
    start_all(realm);
    while (runs && za_realm_now_us(realm) < bound_us) {
        runs = za_realm_run(realm, za_realm_now_us(realm) + SETTLE_STEP_US);
        if (runs && start_all(realm)) {
            bound_us = za_realm_now_us(realm) + allowed_us;
        } else if (runs && za_realm_converged(realm)) {
            out->settled = true;
            break;
        }
    }
    if (runs && !out->settled) {
        contrast_t contrast = { 0 };
        find_contrast(realm, &contrast);
        za_realm_fail(realm, "M9", "no common view %u ms after the last fault%s",
                      za_plan_settle_ms(trial->plan), contrast.text);
    }
    uint64_t settled_us = za_realm_now_us(realm);
    if (trial->work != NULL) {
        za_realm_run(realm, settled_us + SERVICES_SETTLE_US);
    }
    za_realm_settled(realm);
    out->settled_ms = (uint32_t)((settled_us - healed_us) / ZA_US_PER_MS);
}

static za_err_t create_realm(const za_plan_t *plan, za_realm_t **out)
{
    za_realm_config_t config = {
        .seed = plan->seed,
        .hosts = plan->nodes,
        .services = plan->services != 0,
        .datagrams = plan->datagrams != 0,
        .timing = *za_plan_timing_of(plan),
        .downing = za_plan_downing_of(plan),
        .latency_us_min = plan->latency_us_min,
        .latency_us_max = plan->latency_us_max,
        .loss_ppm = plan->loss_ppm,
        .duplicate_ppm = plan->duplicate_ppm,
        .drift_ppm = plan->drift_ppm,
        .late_us = plan->late_us,
        .names_max = plan->names,
    };
    return za_realm_create(&config, out);
}

za_err_t za_trial_run(const za_plan_t *plan, const za_trial_options_t *options,
                      za_trial_result_t *out)
{
    trial_t *trial = calloc(1, sizeof *trial);
    if (trial == NULL) {
        return ZA_ENOMEM;
    }
    trial->plan = plan;
    za_err_t err = create_realm(plan, &trial->realm);
    if (err != ZA_OK) {
        free(trial);
        return err;
    }
    memset(out, 0, sizeof *out);
    if (options != NULL && options->trace != NULL) {
        za_realm_trace(trial->realm, options->trace_host, options->trace, options->trace_context);
    }
    if (options == NULL || !options->no_oracles) {
        err = za_oracle_member_add(trial->realm, plan);
        if (err == ZA_OK && plan->services != 0) {
            err = za_oracle_registry_add(trial->realm);
        }
        if (err == ZA_OK && plan->services != 0 && plan->downing != 0) {
            err = za_oracle_downing_add(trial->realm, plan);
        }
        if (err == ZA_OK && plan->services != 0 && plan->work != 0) {
            err = za_work_add(trial->realm, plan, &trial->work);
        }
        if (err != ZA_OK) {
            za_realm_destroy(trial->realm);
            free(trial);
            return err;
        }
    }
    schedule(trial);
    start_nodes(trial);
    run_faults(trial);
    settle(trial, out);
    out->failure = *za_realm_failure(trial->realm);
    out->hash = za_realm_hash(trial->realm);
    out->virtual_us = za_realm_now_us(trial->realm);
    za_realm_stats(trial->realm, &out->stats);
    za_realm_destroy(trial->realm);
    free(trial);
    return ZA_OK;
}
