#include "sim/oracle_member.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fixed.h"
#include "sim/pairs.h"

enum {
    CHANGES_MAX = 256,  // members whose state changed within one step and its effects
    ENDINGS_MAX = 1024, // ends of which not all need know yet
    SUSPICIONS = 8,     // incarnations of one life whose first suspicion is kept
    PROBE_BYTES = 200,  // of each interval: a ping, and an answer to one, with all headers
    PROBE_LOSS_TIMES =
        15, // a ping and its answer are lost twice as often, and cost thirteen packets each then
    NEWS_BYTES = 24 * 64, // one piece of news of one node: sent ln N + 12 times, and by links
};

/** One uid: a process, or its life after a rebirth. */
typedef struct life {
    uint64_t uid;
    uint32_t host;
    uint32_t index;
    bool over, leaving, foreign;
    uint64_t incarnation;            // the last known one of itself
    uint64_t suspect_us[SUSPICIONS]; // first suspicion of an incarnation, by its low bits
    uint64_t suspect_inc[SUSPICIONS];
    uint64_t unreachable_us; // first verdict of all
    bool unreachable;
    bool condemned; // by an operator
} life_t;

/** What one host knows of one life. */
typedef struct seen {
    uint64_t incarnation;
    uint64_t doubted_us; // since when it is not up
    uint8_t state;       // za_member_state_t + 1; 0: nothing
} seen_t;

typedef struct watcher {
    seen_t *seen; // by index of the life
    uint32_t count;
} watcher_t;

typedef struct ending {
    uint64_t at_us; // when all must know
    uint64_t uid;
    uint32_t process_count; // lives at the time: only these must know
} ending_t;

typedef struct oracle {
    za_realm_t *realm;
    const za_plan_t *plan;
    bool benign, upgrades;
    uint64_t jump_max_us; // of a clock, that no node notices
    bool end_known;       // somebody was told down while it lived: whole sides may be told so now
    uint64_t gave_up_us;  // when a node did, for a split, or began anew; 0: none has
    uint64_t min_suspicion_us, min_refused_us, min_down_us;
    uint64_t end_bound_us;
    uint64_t
        gathering_us; // until all have given up who do, and the first of them are a cluster again
    za_pairs_t lives;
    life_t **by_index;
    uint32_t life_count, life_capacity;
    life_t **current; // of each host; NULL: no process
    bool *refused;    // of each host: somebody's connection to it was
    watcher_t *watchers;
    uint32_t change_count;
    uint64_t changes[CHANGES_MAX];
    uint32_t ending_count;
    ending_t endings[ENDINGS_MAX];
} oracle_t;

static const char *name_of(za_member_state_t state)
{
    return za_member_state_name(state);
}

static uint64_t now_us(const oracle_t *oracle)
{
    return za_realm_now_us(oracle->realm);
}

static life_t *life_of(const oracle_t *oracle, uint64_t uid)
{
    return za_pairs_get(&oracle->lives, uid);
}

static bool lives_now(const oracle_t *oracle, const life_t *life)
{
    return !life->over && za_host_uid(oracle->realm, life->host) == life->uid;
}

/* ---- lives ------------------------------------------------------------------------------------ */

static void forget_seen(watcher_t *watcher)
{
    free(watcher->seen);
    *watcher = (watcher_t){ 0 };
}

static void note_own_incarnation(oracle_t *oracle, life_t *life)
{
    za_member_info_t info;
    if (za_host_find(oracle->realm, life->host, life->uid, &info) &&
        info.incarnation > life->incarnation) {
        life->incarnation = info.incarnation;
    }
}

static void end_life(oracle_t *oracle, life_t *life)
{
    note_own_incarnation(oracle, life);
    life->over = true;
}

static void note_suspicion(oracle_t *oracle, life_t *life, uint64_t incarnation)
{
    uint64_t at = incarnation % SUSPICIONS;
    if (incarnation > life->suspect_inc[at]) {
        life->suspect_inc[at] = incarnation;
        life->suspect_us[at] = now_us(oracle);
    }
}

/** A rebirth takes a node's verdicts back, those of this very step too; its doubts others have heard of. */
static void drop_changes(oracle_t *oracle, uint32_t host)
{
    for (uint32_t i = 0; i < oracle->change_count; i++) {
        za_member_info_t info;
        if (za_host_find(oracle->realm, host, oracle->changes[i], &info) &&
            info.state == ZA_MEMBER_SUSPECT) {
            note_suspicion(oracle, life_of(oracle, info.uid), info.incarnation);
        }
    }
    oracle->change_count = 0;
    forget_seen(&oracle->watchers[host]);
}

static void started(void *context, za_realm_t *realm, uint32_t host)
{
    oracle_t *oracle = context;
    life_t *life = calloc(1, sizeof *life);
    ZA_ASSERT(life != NULL); // a simulator without memory cannot go on
    if (oracle->current[host] != NULL) {
        end_life(oracle, oracle->current[host]); // reborn
    }
    if (oracle->life_count == oracle->life_capacity) {
        oracle->life_capacity = oracle->life_capacity == 0 ? 64 : 2 * oracle->life_capacity;
        oracle->by_index =
            realloc(oracle->by_index, oracle->life_capacity * sizeof *oracle->by_index);
        ZA_ASSERT(oracle->by_index != NULL);
    }
    life->uid = za_host_uid(realm, host);
    life->host = host;
    life->index = oracle->life_count;
    life->incarnation = 1;
    life->foreign = za_host_version(realm, host) == ZA_VERSION_FOREIGN;
    oracle->by_index[oracle->life_count++] = life;
    oracle->current[host] = life;
    za_pairs_set(&oracle->lives, life->uid, life);
    drop_changes(oracle, host);
}

static void stopped(void *context, za_realm_t *realm, uint32_t host)
{
    oracle_t *oracle = context;
    life_t *life = oracle->current[host];
    ZA_ASSERT(life != NULL);
    end_life(oracle, life);
    oracle->current[host] = NULL;
    (void)realm;
    if (oracle->benign && oracle->ending_count < ENDINGS_MAX) {
        oracle->endings[oracle->ending_count++] =
            (ending_t){ now_us(oracle) + oracle->end_bound_us, life->uid, oracle->life_count };
    }
}

/* ---- M1, M2, M4: what a host knows ------------------------------------------------------------- */

static int rank_of(za_member_state_t state)
{
    return state == ZA_MEMBER_SUSPECT ? 1 : state == ZA_MEMBER_UNREACHABLE ? 2 : 0;
}

static bool is_end(za_member_state_t state)
{
    return state == ZA_MEMBER_LEFT || state == ZA_MEMBER_DOWN;
}

static seen_t *seen_of(oracle_t *oracle, uint32_t host, const life_t *life)
{
    watcher_t *watcher = &oracle->watchers[host];
    if (life->index >= watcher->count) {
        uint32_t count = oracle->life_count + oracle->life_count / 4 + 8;
        watcher->seen = realloc(watcher->seen, count * sizeof *watcher->seen);
        ZA_ASSERT(watcher->seen != NULL);
        memset(watcher->seen + watcher->count, 0, (count - watcher->count) * sizeof *watcher->seen);
        watcher->count = count;
    }
    return &watcher->seen[life->index];
}

static void check_growth(oracle_t *oracle, uint32_t host, const life_t *life,
                         const za_member_info_t *info)
{
    seen_t *seen = seen_of(oracle, host, life);
    if (seen->state != 0) {
        za_member_state_t before = (za_member_state_t)(seen->state - 1);
        bool shrinks =
            !is_end(info->state) &&
            (info->incarnation < seen->incarnation ||
             (info->incarnation == seen->incarnation && rank_of(info->state) < rank_of(before)));
        if (is_end(before) && !is_end(info->state)) {
            za_realm_fail(oracle->realm, "M4", "n%u: n%u is %s after %s", host, life->host,
                          name_of(info->state), name_of(before));
        } else if (shrinks) {
            za_realm_fail(oracle->realm, "M1", "n%u: n%u goes from %s %llu back to %s %llu", host,
                          life->host, name_of(before), (unsigned long long)seen->incarnation,
                          name_of(info->state), (unsigned long long)info->incarnation);
        }
    }
    if (seen->state == 0 || rank_of((za_member_state_t)(seen->state - 1)) == 0) {
        seen->doubted_us = now_us(oracle);
    }
    seen->state = (uint8_t)(info->state + 1);
    seen->incarnation = info->incarnation;
}

static void check_owner(oracle_t *oracle, uint32_t host, life_t *life, const za_member_info_t *info)
{
    if (info->incarnation > life->incarnation && !life->over) {
        note_own_incarnation(oracle, life);
    }
    if (info->incarnation > life->incarnation) {
        za_realm_fail(oracle->realm, "M2", "n%u knows incarnation %llu of n%u, which is at %llu",
                      host, (unsigned long long)info->incarnation, life->host,
                      (unsigned long long)life->incarnation);
    }
    if (info->state == ZA_MEMBER_LEFT && !life->leaving) {
        za_realm_fail(oracle->realm, "M2", "n%u: n%u left, which it did not", host, life->host);
    }
}

/* ---- M5, M6: verdicts -------------------------------------------------------------------------- */

/**
 * What clocks may have jumped ahead since then, unnoticed. A node that finds that it missed a deadline
 * moves its timers by as much, so each jump counts up to `most_us`, the time until the next deadline.
 */
static uint64_t jumped_us(const oracle_t *oracle, uint64_t since_us, uint64_t most_us)
{
    uint64_t sum_us = 0;
    for (uint32_t i = 0; i < oracle->plan->fault_count; i++) {
        const za_fault_t *fault = &oracle->plan->faults[i];
        uint64_t at_us = fault->start_ms * ZA_US_PER_MS;
        if (fault->kind == ZA_FAULT_JUMP && at_us >= since_us && at_us <= now_us(oracle)) {
            uint64_t ahead_us = fault->amount * ZA_US_PER_MS;
            sum_us += ahead_us < most_us ? ahead_us : most_us;
        }
    }
    return sum_us;
}

static void check_unreachable(oracle_t *oracle, uint32_t host, life_t *life,
                              const za_member_info_t *info)
{
    uint64_t at = info->incarnation % SUSPICIONS;
    if (life->suspect_inc[at] < info->incarnation) {
        // Whoever suspects this incarnation was at it with the one before: no state changed.
        life->suspect_inc[at] = info->incarnation;
        life->suspect_us[at] = seen_of(oracle, host, life)->doubted_us;
    }
    uint64_t elapsed_us = now_us(oracle) - life->suspect_us[at];
    uint64_t least_us =
        oracle->refused[life->host] ? oracle->min_refused_us : oracle->min_suspicion_us;
    if (life->suspect_inc[at] == info->incarnation &&
        elapsed_us + jumped_us(oracle, life->suspect_us[at], oracle->jump_max_us) < least_us) {
        za_realm_fail(oracle->realm, "M5", "n%u: n%u is unreachable after %llu ms of suspicion",
                      host, life->host, (unsigned long long)(elapsed_us / ZA_US_PER_MS));
    }
    if (!life->unreachable) {
        life->unreachable = true;
        life->unreachable_us = now_us(oracle);
    }
}

static void check_down(oracle_t *oracle, uint32_t host, life_t *life)
{
    if (!lives_now(oracle, life)) {
        return;
    }
    // Who has nobody else to probe has no deadline before that of the verdict.
    uint64_t elapsed_us = now_us(oracle) - life->unreachable_us +
                          jumped_us(oracle, life->unreachable_us, oracle->min_down_us);
    bool unreachable = life->unreachable && elapsed_us >= oracle->min_down_us;
    // Whoever gave up, and founds a cluster anew, calls those down who are about to: soon, or when
    // enough are there.
    bool given_up =
        oracle->gave_up_us != 0 && now_us(oracle) - oracle->gave_up_us < oracle->gathering_us;
    if (!unreachable && !oracle->refused[life->host] && !life->condemned && !given_up &&
        !oracle->end_known) {
        za_realm_fail(oracle->realm, "M5", "n%u: n%u is down and lives, for no reason", host,
                      life->host);
    }
    oracle->end_known = true;
}

static void check_healthy(oracle_t *oracle, uint32_t host, const life_t *life,
                          za_member_state_t state)
{
    bool verdict = state == ZA_MEMBER_UNREACHABLE || state == ZA_MEMBER_DOWN;
    if (oracle->benign && verdict && lives_now(oracle, life) && !life->leaving) {
        za_realm_fail(oracle->realm, "M6", "n%u: n%u is %s and healthy", host, life->host,
                      name_of(state));
    }
}

/* ---- events ----------------------------------------------------------------------------------- */

static void input(void *context, za_realm_t *realm, uint32_t host, const za_cluster_event_t *event)
{
    oracle_t *oracle = context;
    if (event->type == ZA_CLUSTER_LEAVE && oracle->current[host] != NULL) {
        oracle->current[host]->leaving = true;
    }
    if (event->type == ZA_CLUSTER_CONNECT_FAILED && event->err == ZA_EREFUSED) {
        uint32_t there = za_realm_owner_of(realm, event->address);
        if (there != UINT32_MAX) {
            oracle->refused[there] = true;
        }
    }
    if (event->type == ZA_CLUSTER_DOWN_NODE) {
        for (uint32_t i = 0; i < za_realm_host_count(realm); i++) {
            char name[16];
            snprintf(name, sizeof name, "n%u", i);
            if (oracle->current[i] != NULL && strcmp(name, event->name) == 0) {
                oracle->current[i]->condemned = true;
            }
        }
    }
}

static void effect(void *context, za_realm_t *realm, uint32_t host, const za_effect_t *item)
{
    oracle_t *oracle = context;
    bool anew = item->type == ZA_EFFECT_MARK && item->mark == ZA_MARK_DOWNING_ANEW;
    if (item->type == ZA_EFFECT_DOWN_SELF || anew) {
        oracle->gave_up_us = now_us(oracle);
    }
    if (item->type != ZA_EFFECT_MEMBER) {
        return;
    }
    const life_t *life = life_of(oracle, item->uid);
    if (life == NULL) {
        za_realm_fail(realm, "M2", "n%u knows uid %016llx, which never was", host,
                      (unsigned long long)item->uid);
        return;
    }
    if (life->foreign != (za_host_version(realm, host) == ZA_VERSION_FOREIGN)) {
        za_realm_fail(realm, "X1", "n%u calls n%u %s, which speaks another version", host,
                      life->host, name_of(item->state));
    }
    if (item->uid != za_host_uid(realm, host)) { // a former life of its own counts as well
        // The record may have changed again within the step: it is looked at when that is over.
        const seen_t *seen = seen_of(oracle, host, life);
        if (seen->state != 0 && is_end((za_member_state_t)(seen->state - 1)) &&
            !is_end(item->state)) {
            za_realm_fail(realm, "M4", "n%u: n%u is %s after its end", host, life->host,
                          name_of(item->state));
        }
        if (oracle->change_count < CHANGES_MAX) {
            oracle->changes[oracle->change_count++] = item->uid;
        }
    }
}

static void check_change(oracle_t *oracle, uint32_t host, uint64_t uid)
{
    za_member_info_t info;
    life_t *life = life_of(oracle, uid);
    if (!za_host_find(oracle->realm, host, uid, &info)) {
        return; // a full table forgot it at once
    }
    check_growth(oracle, host, life, &info);
    check_owner(oracle, host, life, &info);
    check_healthy(oracle, host, life, info.state);
    if (info.state == ZA_MEMBER_SUSPECT) {
        note_suspicion(oracle, life, info.incarnation);
    } else if (info.state == ZA_MEMBER_UNREACHABLE) {
        check_unreachable(oracle, host, life, &info);
    } else if (info.state == ZA_MEMBER_DOWN) {
        check_down(oracle, host, life);
    }
}

/* ---- M7: ends become known ---------------------------------------------------------------------- */

static void check_ending(oracle_t *oracle, const ending_t *ending)
{
    const life_t *gone = life_of(oracle, ending->uid);
    for (uint32_t i = 0; i < za_realm_host_count(oracle->realm); i++) {
        const life_t *life = oracle->current[i];
        za_member_info_t info;
        bool asked = life != NULL && life->index < ending->process_count;
        if (asked && za_host_find(oracle->realm, i, ending->uid, &info) &&
            info.state < ZA_MEMBER_UNREACHABLE) {
            za_realm_fail(oracle->realm, "M7", "n%u: n%u is %s, and gone for %llu ms", i,
                          gone->host, name_of(info.state),
                          (unsigned long long)(oracle->end_bound_us / ZA_US_PER_MS));
        }
    }
}

static void step(void *context, za_realm_t *realm, uint32_t host)
{
    oracle_t *oracle = context;
    if (za_host_state(realm, host) == ZA_HOST_ON) {
        for (uint32_t i = 0; i < oracle->change_count; i++) {
            check_change(oracle, host, oracle->changes[i]);
        }
    }
    oracle->change_count = 0;
    while (oracle->ending_count > 0 && oracle->endings[0].at_us <= now_us(oracle)) {
        check_ending(oracle, &oracle->endings[0]);
        memmove(&oracle->endings[0], &oracle->endings[1],
                --oracle->ending_count * sizeof oracle->endings[0]);
    }
}

/* ---- the end ----------------------------------------------------------------------------------- */

typedef struct tally {
    oracle_t *oracle;
    uint32_t host, records;
} tally_t;

static bool count_record(const za_member_info_t *info, void *context)
{
    tally_t *tally = context;
    tally->records++;
    if (life_of(tally->oracle, info->uid) == NULL) {
        za_realm_fail(tally->oracle->realm, "M2", "n%u knows uid %016llx, which never was",
                      tally->host, (unsigned long long)info->uid);
    }
    return true;
}

/** Probes that two hosts lose because the path between them is cut; one alone has no path to cut. */
static uint64_t cut_probes(const za_plan_t *plan)
{
    if (plan->nodes < 2) {
        return 0;
    }
    uint64_t probes = 0;
    uint64_t interval_ms = za_plan_timing_of(plan)->probe_interval_ms;
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        if (za_fault_is_pair(&plan->faults[i])) {
            probes += 2 * plan->faults[i].length_ms / interval_ms / (plan->nodes - 1) + 1;
        }
    }
    return probes;
}

static void settled(void *context, za_realm_t *realm)
{
    oracle_t *oracle = context;
    for (uint32_t i = 0; i < za_realm_host_count(realm); i++) {
        tally_t tally = { oracle, i, 0 };
        za_host_each_member(realm, i, count_record, &tally);
        if (tally.records > oracle->life_count) {
            za_realm_fail(realm, "M8", "n%u has %u records of %u processes", i, tally.records,
                          oracle->life_count);
        }
    }
    za_realm_stats_t stats;
    za_realm_stats(realm, &stats);
    // What happens to a life is gossiped by everybody, and so is each doubt: a join alone may be most of
    // a short run. A later version says more.
    uint64_t pieces = oracle->life_count + stats.marks[ZA_MARK_SUSPECT];
    uint64_t news = pieces * za_realm_host_count(realm) * NEWS_BYTES;
    uint64_t interval_us = za_plan_timing_of(oracle->plan)->probe_interval_ms * ZA_US_PER_MS;
    uint64_t probes = stats.host_us / interval_us * PROBE_BYTES;
    uint64_t lost = probes * PROBE_LOSS_TIMES / 1000 * oracle->plan->loss_ppm / 1000;
    uint64_t cut = cut_probes(oracle->plan) * PROBE_LOSS_TIMES * PROBE_BYTES;
    uint64_t budget = probes + lost + cut + news;
    if (oracle->benign && !oracle->upgrades && stats.datagram_bytes > budget) {
        za_realm_fail(realm, "M10", "%llu bytes of datagrams, and no more than %llu are explained",
                      (unsigned long long)stats.datagram_bytes, (unsigned long long)budget);
    }
}

static void destroy(void *context)
{
    oracle_t *oracle = context;
    for (uint32_t i = 0; i < oracle->life_count; i++) {
        free(oracle->by_index[i]);
    }
    for (uint32_t i = 0; oracle->watchers != NULL && i < za_realm_host_count(oracle->realm); i++) {
        free(oracle->watchers[i].seen);
    }
    za_pairs_deinit(&oracle->lives);
    free(oracle->by_index);
    free(oracle->current);
    free(oracle->refused);
    free(oracle->watchers);
    free(oracle);
}

static const za_oracle_ops_t ops = {
    .name = "member",
    .started = started,
    .stopped = stopped,
    .input = input,
    .effect = effect,
    .step = step,
    .settled = settled,
    .destroy = destroy,
};

/** Clocks drift and have whole milliseconds: what a clock of the realm must see at least. */
static uint64_t least_us(uint64_t ms)
{
    return ms > 2 ? (ms - 2) * ZA_US_PER_MS * 99 / 100 : 0;
}

za_err_t za_oracle_member_add(za_realm_t *realm, const za_plan_t *plan)
{
    oracle_t *oracle = calloc(1, sizeof *oracle);
    if (oracle == NULL) {
        return ZA_ENOMEM;
    }
    uint32_t hosts = za_realm_host_count(realm);
    oracle->realm = realm;
    oracle->plan = plan;
    oracle->current = calloc(hosts, sizeof *oracle->current);
    oracle->watchers = calloc(hosts, sizeof *oracle->watchers);
    oracle->refused = calloc(hosts, sizeof *oracle->refused);
    if (oracle->current == NULL || oracle->refused == NULL || oracle->watchers == NULL) {
        destroy(oracle);
        return ZA_ENOMEM;
    }
    const za_cluster_timing_t *timing = za_plan_timing_of(plan);
    uint64_t interval_ms = timing->probe_interval_ms;
    uint64_t suspicion_ms = timing->suspicion_mult * interval_ms;
    uint32_t log = za_log10_q16(hosts);
    uint64_t scaled_ms = log > ZA_FIXED_ONE ? suspicion_ms * log >> 16 : suspicion_ms;
    oracle->benign = za_plan_is_benign(plan);
    oracle->upgrades = za_plan_has(plan, ZA_FAULT_UPGRADE);
    oracle->jump_max_us = interval_ms * 5 / 4 * ZA_US_PER_MS;
    oracle->min_suspicion_us = least_us(suspicion_ms);
    oracle->min_refused_us = least_us(interval_ms < 500 ? interval_ms : 500);
    oracle->min_down_us = least_us(timing->auto_down_ms);
    oracle->gathering_us = 30 * interval_ms * ZA_US_PER_MS;
    // Two passes of probes in a small cluster, the longest suspicion twice over, and time to spread.
    oracle->end_bound_us = (20 * interval_ms + 12 * scaled_ms + 5000) * ZA_US_PER_MS;
    za_realm_add_oracle(realm, &ops, oracle);
    return ZA_OK;
}
