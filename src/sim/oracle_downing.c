#include "sim/oracle_downing.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum {
    VERDICTS_MAX = 512,  // of one run; what comes later is not looked at
    DOWNED_MAX = 64,     // of one verdict
    GUESTS_MAX = 4096,   // children that live at a time
    PATIENCE_MS = 30000, // after a fault, until all have decided and are one cluster again
};

typedef struct verdict {
    uint64_t uid; // who decided
    uint64_t at_us;
    uint64_t view, here;
    za_downing_verdict_t verdict;
    uint32_t downed_count;
    uint64_t downed[DOWNED_MAX];
} verdict_t;

/** A child of another node's actor, while it lives. */
typedef struct guest {
    uint64_t request, actor;
    uint32_t host, epoch;
} guest_t;

typedef struct oracle {
    bool patient;       // S2 is looked at
    uint64_t apart_us;  // decisions that lie further apart have nothing to do with each other
    uint64_t *since_ms; // of each host: its last verdict that was looked at
    uint32_t downed_count;
    uint64_t downed[DOWNED_MAX]; // within this step
    uint32_t verdict_count;
    verdict_t verdicts[VERDICTS_MAX];
    uint32_t guest_count;
    guest_t guests[GUESTS_MAX];
} oracle_t;

/* ---- S1, S3 ----------------------------------------------------------------------------------- */

static bool downs(const verdict_t *verdict, uint64_t uid)
{
    for (uint32_t i = 0; i < verdict->downed_count; i++) {
        if (verdict->downed[i] == uid) {
            return true;
        }
    }
    return false;
}

static void compare(const oracle_t *oracle, za_realm_t *realm, const verdict_t *a,
                    const verdict_t *b)
{
    if (a->view != b->view || b->at_us - a->at_us > oracle->apart_us) {
        return;
    }
    if (downs(a, b->uid) && downs(b, a->uid)) {
        za_realm_fail(realm, "S1", "%016llx and %016llx both go on, and call each other down",
                      (unsigned long long)a->uid, (unsigned long long)b->uid);
    }
    if (a->here == b->here && a->verdict != b->verdict) {
        za_realm_fail(realm, "S3", "%016llx decides %s and %016llx %s, and they see the same",
                      (unsigned long long)a->uid, za_downing_verdict_name(a->verdict),
                      (unsigned long long)b->uid, za_downing_verdict_name(b->verdict));
    }
}

static void look_at_verdict(oracle_t *oracle, za_realm_t *realm, uint64_t uid,
                            const za_downing_info_t *info)
{
    if (oracle->verdict_count == VERDICTS_MAX) {
        return;
    }
    verdict_t *verdict = &oracle->verdicts[oracle->verdict_count++];
    *verdict = (verdict_t){ .uid = uid,
                            .at_us = za_realm_now_us(realm),
                            .view = info->decided_view,
                            .here = info->decided_here,
                            .verdict = info->verdict,
                            .downed_count = oracle->downed_count };
    memcpy(verdict->downed, oracle->downed, sizeof verdict->downed);
    for (uint32_t i = 0; i + 1 < oracle->verdict_count; i++) {
        compare(oracle, realm, &oracle->verdicts[i], verdict);
    }
}

static void step(void *context, za_realm_t *realm, uint32_t host)
{
    oracle_t *oracle = context;
    const za_cluster_t *cluster = za_host_cluster(realm, host);
    if (cluster != NULL) {
        za_downing_info_t info;
        za_cluster_downing(cluster, &info);
        bool decided = info.decided_ms != 0 && info.decided_ms != oracle->since_ms[host];
        if (decided) {
            oracle->since_ms[host] = info.decided_ms;
            look_at_verdict(oracle, realm, info.decided_as, &info);
        }
    }
    oracle->downed_count = 0;
}

/* ---- S2 --------------------------------------------------------------------------------------- */

static void remove_guest(oracle_t *oracle, uint32_t at)
{
    oracle->guests[at] = oracle->guests[--oracle->guest_count];
}

static void child_starts(oracle_t *oracle, za_realm_t *realm, uint32_t host,
                         const za_effect_t *effect)
{
    for (uint32_t i = 0; oracle->patient && i < oracle->guest_count; i++) {
        const guest_t *guest = &oracle->guests[i];
        if (guest->request == effect->id) {
            za_realm_fail(realm, "S2", "n%u: epoch %u of child %llu starts, and %u lives on n%u",
                          host, effect->epoch, (unsigned long long)effect->id, guest->epoch,
                          guest->host);
        }
    }
    if (oracle->guest_count < GUESTS_MAX) {
        oracle->guests[oracle->guest_count++] =
            (guest_t){ .request = effect->id, .host = host, .epoch = effect->epoch };
    }
}

static void child_started(oracle_t *oracle, uint32_t host, const za_cluster_event_t *event)
{
    for (uint32_t i = oracle->guest_count; i-- > 0;) {
        guest_t *guest = &oracle->guests[i];
        if (guest->host == host && guest->request == event->id && guest->actor == 0) {
            guest->actor = event->ref.actor;
            if (event->err != ZA_OK) {
                remove_guest(oracle, i);
            }
        }
    }
}

static void actor_stopped(oracle_t *oracle, uint32_t host, uint64_t actor)
{
    for (uint32_t i = oracle->guest_count; i-- > 0;) {
        if (oracle->guests[i].host == host && oracle->guests[i].actor == actor) {
            remove_guest(oracle, i);
        }
    }
}

/* ---- the oracle ------------------------------------------------------------------------------- */

static void input(void *context, za_realm_t *realm, uint32_t host, const za_cluster_event_t *event)
{
    (void)realm;
    if (event->type == ZA_CLUSTER_CHILD_STARTED) {
        child_started(context, host, event);
    } else if (event->type == ZA_CLUSTER_ACTOR_STOPPED) {
        actor_stopped(context, host, event->actor);
    }
}

static void effect_out(void *context, za_realm_t *realm, uint32_t host, const za_effect_t *effect)
{
    oracle_t *oracle = context;
    bool down = effect->type == ZA_EFFECT_MEMBER && effect->state == ZA_MEMBER_DOWN;
    if (down && oracle->downed_count < DOWNED_MAX) {
        oracle->downed[oracle->downed_count++] = effect->uid;
    } else if (effect->type == ZA_EFFECT_SPAWN_LOCAL) {
        child_starts(oracle, realm, host, effect);
    } else if (effect->type == ZA_EFFECT_STOP_LOCAL) {
        actor_stopped(oracle, host, effect->actor); // told now, gone within the margin
    }
}

static void stopped(void *context, za_realm_t *realm, uint32_t host)
{
    (void)realm;
    oracle_t *oracle = context;
    oracle->since_ms[host] = 0;
    for (uint32_t i = oracle->guest_count; i-- > 0;) {
        if (oracle->guests[i].host == host) {
            remove_guest(oracle, i);
        }
    }
}

static void destroy(void *context)
{
    oracle_t *oracle = context;
    free(oracle->since_ms);
    free(oracle);
}

static const za_oracle_ops_t ops = { .name = "downing",
                                     .stopped = stopped,
                                     .input = input,
                                     .effect = effect_out,
                                     .step = step,
                                     .destroy = destroy };

/** Whether views are whole again before each fault, so that S2 is promised. */
static bool is_patient(const za_plan_t *plan)
{
    uint32_t free_ms = plan->start_ms + PATIENCE_MS;
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        const za_fault_t *fault = &plan->faults[i];
        bool plain = fault->kind == ZA_FAULT_PARTITION || fault->kind == ZA_FAULT_ONEWAY ||
                     fault->kind == ZA_FAULT_CRASH || fault->kind == ZA_FAULT_VANISH;
        if (!plain || fault->start_ms < free_ms) {
            return false;
        }
        free_ms = fault->start_ms + fault->length_ms + PATIENCE_MS;
    }
    return plan->downing != ZA_DOWNING_NONE && plan->loss_ppm <= 50000;
}

za_err_t za_oracle_downing_add(za_realm_t *realm, const za_plan_t *plan)
{
    oracle_t *oracle = calloc(1, sizeof *oracle);
    if (oracle == NULL) {
        return ZA_ENOMEM;
    }
    oracle->since_ms = calloc(za_realm_host_count(realm), sizeof *oracle->since_ms);
    if (oracle->since_ms == NULL) {
        destroy(oracle);
        return ZA_ENOMEM;
    }
    oracle->patient = is_patient(plan);
    oracle->apart_us = UINT64_MAX;
    if (plan->downing == ZA_DOWNING_LEASE) { // whose time is over for a side that slept
        oracle->apart_us = ZA_DOWNING_LEASE_TTL_MS * ZA_US_PER_MS;
    }
    za_realm_add_oracle(realm, &ops, oracle);
    return ZA_OK;
}
