#include "node/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/pages.h"
#include "node/state.h"

enum { SWEEP_MS = 1000 };

void za_node_log(const za_node_t *node, int level, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    node->params.log(node->params.log_context, level, NULL, ZA_REF_NONE, text);
}

static za_err_t create_tables(za_node_t *node)
{
    node->links = za_pages_alloc(ZA_LINKS_MAX * sizeof *node->links);
    node->in = za_pages_alloc(ZA_LINK_IN_BYTES);
    node->reply = za_pages_alloc(ZA_ADMIN_REPLY_BYTES_MAX);
    node->subscribers = za_pages_alloc(ZA_SUBSCRIBERS_MAX * sizeof *node->subscribers);
    node->listeners = za_pages_alloc(ZA_LISTENERS_MAX * sizeof *node->listeners);
    node->effects = za_pages_alloc(sizeof *node->effects);
    if (node->links == NULL || node->in == NULL || node->reply == NULL ||
        node->subscribers == NULL || node->listeners == NULL || node->effects == NULL) {
        return ZA_ENOMEM;
    }
    za_queue_init(&node->inbox);
    za_err_t err = za_peers_create(node);
    if (err == ZA_OK) {
        err = za_names_create(ZA_REGISTRY_ENTRIES_MAX, &node->names);
    }
    if (err == ZA_OK) {
        const char *own = node->params.roles != NULL ? node->params.roles : "";
        err = za_roles_create(ZA_MEMBERS_MAX, own, &node->roles);
    }
    return err;
}

static za_err_t create_runtime(za_node_t *node, const za_node_params_t *params)
{
    za_runtime_config_t config = {
        .workers = params->workers,
        .numa = params->numa,
        .actors_max = params->actors_max,
        .pool_bytes_max = params->pool_bytes_max,
        .blob_bytes_max = params->blob_bytes_max,
        .mailbox_default = params->mailbox_default,
        .seed = params->random_seed,
        .remote = &za_node_remote,
        .remote_context = node,
        .host = params->host,
        .host_context = params->host_context,
        .node = node,
    };
    return za_runtime_create(&config, &node->runtime);
}

static za_err_t create_cluster(za_node_t *node, const za_node_params_t *params, uint64_t now_ms)
{
    za_cluster_config_t config = {
        .cluster = node->cluster_name,
        .name = node->name,
        .address = node->address,
        .seeds = params->seeds,
        .seed_count = params->seed_count,
        .discovers = params->discovers,
        .random_seed = params->random_seed,
        .timing = params->timing,
        .downing = params->downing,
        .datagrams = params->datagrams,
        .roles = params->roles,
        .meta = params->meta,
        .meta_bytes = params->meta_bytes,
    };
    za_err_t err = za_cluster_create(&config, now_ms, &node->cluster);
    if (err == ZA_OK) {
        uint64_t uid = za_cluster_uid(node->cluster);
        atomic_store_explicit(&node->uid, uid, memory_order_release); // pairs: node-uid
        za_runtime_add_uid(node->runtime, uid);
        // relaxed: nobody else has the node yet
        atomic_store_explicit(&node->may_claim, za_cluster_may_claim(node->cluster),
                              memory_order_relaxed);
    }
    return err;
}

za_err_t za_node_init(const za_node_params_t *params, za_node_t **out)
{
    if (strlen(params->name) > ZA_NODE_NAME_BYTES_MAX || params->name[0] == '\0' ||
        strlen(params->cluster) > ZA_CLUSTER_NAME_BYTES_MAX ||
        strlen(params->address) > ZA_ADDRESS_BYTES_MAX) {
        return ZA_EINVAL;
    }
    // Its queues lie in cache lines of their own, and most of its tables are never touched.
    za_node_t *node = za_pages_alloc(sizeof *node);
    if (node == NULL) {
        return ZA_ENOMEM;
    }
    node->params = *params;
    strcpy(node->name, params->name);
    strcpy(node->cluster_name, params->cluster);
    strcpy(node->address, params->address);
    node->now_ms = node->started_ms = params->now_ns(params->now_context) / 1000000;
    za_err_t err = create_tables(node);
    if (err == ZA_OK) {
        err = create_runtime(node, params);
    }
    if (err == ZA_OK) {
        err = create_cluster(node, params, node->now_ms);
    }
    if (err == ZA_OK) {
        err =
            za_links_create(ZA_PEERS_MAX + ZA_GREETINGS_MAX, za_node_uid(node), &node->link_rules);
    }
    if (err == ZA_OK) {
        err = za_node_datagrams_start(node);
    }
    if (err == ZA_OK) {
        err = za_node_create_admin(node);
    }
    if (err == ZA_OK) {
        err = za_greeters_create(node);
    }
    if (err != ZA_OK) {
        za_node_deinit(node);
        return err;
    }
    *out = node;
    return ZA_OK;
}

void za_node_deinit(za_node_t *node)
{
    if (node == NULL) {
        return;
    }
    if (node->links != NULL && node->runtime != NULL) {
        node->worker = za_runtime_worker(node->runtime, 0);
        za_links_deinit(node);
    }
    za_datagrams_destroy(node->datagrams);
    za_admin_destroy(node->admin);
    za_links_destroy(node->link_rules);
    za_cluster_destroy(node->cluster);
    za_peers_destroy(node);
    if (node->runtime != NULL) {
        for (za_queue_node_t *item = za_queue_pop(&node->inbox); item != NULL;
             item = za_queue_pop(&node->inbox)) {
            za_request_destroy(za_runtime_worker(node->runtime, 0),
                               ZA_CONTAINER(item, za_request_t, link));
        }
        za_runtime_destroy(node->runtime);
    }
    za_names_destroy(node->names);
    za_roles_destroy(node->roles);
    za_pages_free(node->effects, sizeof *node->effects);
    za_pages_free(node->listeners, ZA_LISTENERS_MAX * sizeof *node->listeners);
    za_pages_free(node->subscribers, ZA_SUBSCRIBERS_MAX * sizeof *node->subscribers);
    za_pages_free(node->reply, ZA_ADMIN_REPLY_BYTES_MAX);
    za_pages_free(node->in, ZA_LINK_IN_BYTES);
    za_pages_free(node->links, ZA_LINKS_MAX * sizeof *node->links);
    za_pages_free(node, sizeof *node);
}

/** Before the effects: who hears in them that this node is up may claim names at once. */
static void note_claims(za_node_t *node)
{
    bool may = za_cluster_may_claim(node->cluster);
    // relaxed: a message that says why is sent after it; who has not heard of it may see the old one
    if (atomic_load_explicit(&node->may_claim, memory_order_relaxed) != may) {
        atomic_store_explicit(&node->may_claim, may, memory_order_relaxed);
    }
}

/** One event to its end. Carrying out an effect posts requests; it never steps from inside. */
static void step_event(za_node_t *node, za_cluster_event_t event)
{
    ZA_ASSERT(!node->stepping);
    node->stepping = true;
    za_step_t step = ZA_STEP_MORE;
    while (step == ZA_STEP_MORE) {
        event.now_ms = node->now_ms;
        event.now_us = node->now_us;
        za_effects_reset(node->effects);
        step = za_cluster_step(node->cluster, &event, node->effects);
        note_claims(node);
        za_node_carry_out(node);
        event = (za_cluster_event_t){ .type = ZA_CLUSTER_CONTINUE };
    }
    node->stepping = false;
}

void za_node_step(za_node_t *node, const za_cluster_event_t *event)
{
    if (event->type == ZA_CLUSTER_DATAGRAM || event->type == ZA_CLUSTER_FRAME) {
        za_peer_heard(node, event->uid);
    }
    step_event(node, *event);
    // A child's start may lead to others: the list grows behind us.
    for (uint32_t i = 0; i < node->started_count; i++) {
        step_event(node, node->started[i]);
    }
    node->started_count = 0;
}

void za_node_touch(za_node_t *node)
{
    uint64_t now_ns = node->params.now_ns(node->params.now_context);
    node->now_ms = now_ns / 1000000;
    node->now_us = now_ns / 1000;
    za_worker_touch(node->worker, now_ns);
}

void za_node_own(za_node_t *node, za_worker_t *worker)
{
    node->worker = worker;
    za_node_touch(node);
}

bool za_node_has_requests(const za_node_t *node)
{
    // seq_cst: the owner has said that it will wait before it asks here; see za_request_post.
    return atomic_load_explicit(&node->inbox_kicked, memory_order_seq_cst);
}

void za_node_service(za_node_t *node)
{
    za_node_touch(node);
    za_inbox_drain(node);
    za_links_close_pending(node);
    za_node_datagrams_service(node);
    if (node->now_ms >= za_cluster_deadline_ms(node->cluster)) {
        za_node_step(node, &(za_cluster_event_t){ .type = ZA_CLUSTER_TICK });
    }
    if (node->now_ms >= node->sweep_ms) {
        node->sweep_ms = node->now_ms + SWEEP_MS;
        za_links_sweep(node);
        za_peers_sweep(node);
        za_greeters_sweep(node);
        za_node_datagrams_sweep(node);
    }
    za_links_close_pending(node);
    za_links_connect_waiting(node);
    za_peers_flush(node, node->worker);
}

uint64_t za_node_deadline_ns(const za_node_t *node)
{
    uint64_t due = za_cluster_deadline_ms(node->cluster);
    uint64_t mesh = za_links_deadline_ms(node);
    due = mesh < due ? mesh : due;
    // The sweep alone need not wake an idle node: greetings and unlinked frames are bounded anyway.
    return due == UINT64_MAX ? UINT64_MAX : due * 1000000;
}

void za_node_leave(za_node_t *node, za_worker_t *worker)
{
    if (atomic_exchange_explicit(&node->leaving, true, memory_order_relaxed)) { // only once
        return;
    }
    ZA_IGNORE(
        za_request_event(node, worker, &(za_cluster_event_t){ .type = ZA_CLUSTER_LEAVE }, true));
}

bool za_node_has_left(const za_node_t *node)
{
    return atomic_load_explicit(&node->left, memory_order_acquire); // pairs: node-left
}

uint64_t za_node_uid(const za_node_t *node)
{
    return atomic_load_explicit(&node->uid, memory_order_acquire); // pairs: node-uid
}

const char *za_node_address(const za_node_t *node)
{
    return node == NULL ? NULL : node->address;
}

za_err_t za_node_whereis(za_node_t *node, const char *name, za_ref_t *out)
{
    if (node == NULL || name == NULL || out == NULL) {
        return ZA_EINVAL;
    }
    return za_names_find(node->names, name, out);
}

za_runtime_t *za_node_runtime(za_node_t *node)
{
    return node->runtime;
}

const za_cluster_t *za_node_cluster(const za_node_t *node)
{
    return node->cluster;
}

const char *za_node_name(const za_node_t *node)
{
    return node->name;
}

void za_node_counters(const za_node_t *node, za_node_counters_t *out)
{
#define ZA_READ(counter)                                                                           \
    .counter = atomic_load_explicit(&node->counters.counter, memory_order_relaxed) // a statistic
    *out = (za_node_counters_t){
        ZA_READ(bytes_out),
        ZA_READ(bytes_in),
        ZA_READ(writes),
        ZA_READ(messages_out),
        ZA_READ(messages_in),
        ZA_READ(lost_link),
        ZA_READ(queue_full),
        ZA_READ(links_opened),
        ZA_READ(links_refused),
        ZA_READ(links_closed),
        ZA_READ(admin_requests),
        ZA_READ(datagrams_out),
        ZA_READ(datagrams_unsent),
        ZA_READ(datagrams_linked),
        ZA_READ(udp_degraded),
        ZA_READ(apart_refused),
        ZA_READ(discovery_lookups),
        ZA_READ(discovery_failures),
        ZA_READ(discovery_lines_bad),
        ZA_READ(discovery_addresses),
    };
#undef ZA_READ
}
