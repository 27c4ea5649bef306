#include "cluster/cluster_internal.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"

enum { REGISTRY_SYNC_MS = 1000 };

/* ---- create ----------------------------------------------------------------------------------- */

static za_err_t create_parts(za_cluster_t *cluster, const za_cluster_config_t *config)
{
    uint64_t registry_seed = za_mix64(config->random_seed + 1);
    uint64_t children_seed = za_mix64(config->random_seed + 2);
    uint64_t relay_seed = za_mix64(config->random_seed + 3);
    uint64_t now_ms = cluster->now_ms;
    uint32_t sync_ms = config->timing.registry_sync_ms;
    za_err_t err = za_membership_create(config, now_ms, &cluster->membership);
    if (err == ZA_OK) {
        err = za_cluster_links_create(cluster);
    }
    if (err == ZA_OK) {
        err = za_cluster_strangers_create(cluster);
    }
    if (err == ZA_OK) {
        err = za_syslane_create(&cluster->lane);
    }
    if (err == ZA_OK) {
        err = za_relay_create(&cluster->view, cluster->lane, relay_seed, &cluster->relay);
    }
    if (err == ZA_OK) {
        err = za_watch_create(&cluster->view, cluster->lane, &cluster->watch);
    }
    if (err == ZA_OK) {
        err = za_children_create(&cluster->view, cluster->lane, children_seed, &cluster->children);
    }
    if (err == ZA_OK) {
        za_registry_options_t options = { config->registry,
                                          sync_ms != 0 ? sync_ms : REGISTRY_SYNC_MS,
                                          registry_seed };
        err = za_registry_create(&cluster->view, &options, now_ms, &cluster->registry);
    }
    if (err == ZA_OK) {
        err = za_keys_create(&cluster->view, now_ms, &cluster->keys);
    }
    return err;
}

za_err_t za_cluster_create(const za_cluster_config_t *config, uint64_t now_ms, za_cluster_t **out)
{
    za_cluster_t *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL) {
        return ZA_ENOMEM;
    }
    cluster->now_ms = now_ms;
    za_cluster_view_init(cluster);
    cluster->inner = calloc(1, sizeof *cluster->inner);
    za_err_t err = cluster->inner != NULL ? create_parts(cluster, config) : ZA_ENOMEM;
    if (err != ZA_OK) {
        za_cluster_destroy(cluster);
        return err;
    }
    *out = cluster;
    return ZA_OK;
}

void za_cluster_destroy(za_cluster_t *cluster)
{
    if (cluster == NULL) {
        return;
    }
    za_keys_destroy(cluster->keys);
    za_registry_destroy(cluster->registry);
    za_children_destroy(cluster->children);
    za_watch_destroy(cluster->watch);
    za_relay_destroy(cluster->relay);
    za_syslane_destroy(cluster->lane);
    za_cluster_strangers_destroy(cluster);
    za_cluster_links_destroy(cluster);
    za_membership_destroy(cluster->membership);
    free(cluster->inner);
    free(cluster);
}

/* ---- step ------------------------------------------------------------------------------------- */

/**
 * Most steps are a probe or its answer, and concern membership alone: it writes for the driver itself.
 * False: there is more to be done.
 */
static bool step_alone(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    ZA_ASSERT(cluster->inner_at == cluster->inner->count);
    cluster->inner_more = za_membership_step(cluster->membership, event, out) == ZA_STEP_MORE;
    bool alone = !cluster->inner_more && cluster->now_ms < cluster->services_ms;
    for (uint32_t i = 0; i < out->count && alone; i++) {
        alone = !za_cluster_concerns_services(&out->items[i]);
    }
    if (!alone) {
        za_cluster_take_back(cluster, out);
    }
    return alone;
}

/** Lets the services say what they have to say. False: `out` is full. */
static bool pump(za_cluster_t *cluster, za_effects_t *out)
{
    uint64_t now_ms = cluster->now_ms;
    return za_cluster_forget_strangers(cluster, out) && za_cluster_restart_lost(cluster, out) &&
           za_relay_pump(cluster->relay, now_ms, out) == ZA_STEP_DONE &&
           za_syslane_pump(cluster->lane, now_ms, out) == ZA_STEP_DONE &&
           za_watch_pump(cluster->watch, now_ms, out) == ZA_STEP_DONE &&
           za_children_pump(cluster->children, now_ms, out) == ZA_STEP_DONE &&
           za_keys_pump(cluster->keys, now_ms, out) == ZA_STEP_DONE &&
           za_registry_pump(cluster->registry, now_ms, out) == ZA_STEP_DONE;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t services_deadline_ms(const za_cluster_t *cluster)
{
    uint64_t deadline = za_syslane_deadline_ms(cluster->lane);
    deadline = earlier(deadline, za_watch_deadline_ms(cluster->watch));
    deadline = earlier(deadline, za_children_deadline_ms(cluster->children));
    deadline = earlier(deadline, za_cluster_strangers_deadline_ms(cluster));
    deadline = earlier(deadline, za_asked_deadline_ms(cluster->asked));
    deadline = earlier(deadline, za_keys_deadline_ms(cluster->keys));
    deadline = earlier(deadline, za_relay_deadline_ms(cluster->relay));
    return earlier(deadline, za_registry_deadline_ms(cluster->registry));
}

za_step_t za_cluster_step(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    ZA_ASSERT(event->now_ms >= cluster->now_ms); // the driver's clock is monotonic
    ZA_ASSERT(out->count == 0);                  // it has carried everything out
    ZA_ASSERT(!cluster->unfinished || event->type == ZA_CLUSTER_CONTINUE);
    cluster->now_ms = event->now_ms;
    bool probe = event->type == ZA_CLUSTER_DATAGRAM || event->type == ZA_CLUSTER_TICK;
    if (probe && step_alone(cluster, event, out)) {
        return ZA_STEP_DONE;
    }
    cluster->unfinished = true;
    if (!probe) {
        za_cluster_take(cluster, event, out);
    }
    for (;;) {
        if (!za_cluster_drain(cluster, out) || !pump(cluster, out)) {
            return ZA_STEP_MORE;
        }
        if (!cluster->inner_more) {
            break;
        }
        za_cluster_step_membership(cluster, &(za_cluster_event_t){ .type = ZA_CLUSTER_CONTINUE,
                                                                   .now_ms = cluster->now_ms });
    }
    za_cluster_want_links(cluster);
    cluster->unfinished = false;
    cluster->services_ms = services_deadline_ms(cluster);
    return ZA_STEP_DONE;
}

uint64_t za_cluster_deadline_ms(const za_cluster_t *cluster)
{
    if (cluster->unfinished) {
        return cluster->now_ms;
    }
    return earlier(za_membership_deadline_ms(cluster->membership), cluster->services_ms);
}
