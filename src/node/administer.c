// The node as zactorctl sees it. Runs in the owner.

#include <string.h>

#include "node/state.h"

static uint64_t view_now_ms(void *context)
{
    const za_node_t *node = context;
    return node->now_ms;
}

static void view_status(void *context, za_admin_status_t *out)
{
    za_node_t *node = context;
    za_counters_t counters;
    za_runtime_counters(node->runtime, &counters);
    *out = (za_admin_status_t){
        .node = node->name,
        .cluster = node->cluster_name,
        .uid = za_node_uid(node),
        .uptime_ms = node->now_ms - node->started_ms,
        .actors = counters.actors,
        .view_hash = za_cluster_view_hash(node->cluster),
        .workers = node->params.workers,
        .leaving = atomic_load_explicit(&node->leaving, memory_order_relaxed), // a hint
        .secure = node->params.secure,
    };
    za_cluster_downing(node->cluster, &out->downing);
}

typedef struct visit {
    za_node_t *node;
    bool (*visit)(const za_member_info_t *info, void *visitor);
    void *visitor;
} visit_t;

static bool visit_member(const za_member_info_t *info, void *context)
{
    const visit_t *visit = context;
    za_member_info_t whole = *info;
    whole.udp_degraded = za_node_datagrams_degraded(visit->node, info);
    return visit->visit(&whole, visit->visitor);
}

static void view_each_member(void *context,
                             bool (*visit)(const za_member_info_t *info, void *visitor),
                             void *visitor)
{
    za_node_t *node = context;
    za_cluster_each_member(node->cluster, visit_member, &(visit_t){ node, visit, visitor });
}

static void view_each_name(void *context,
                           bool (*visit)(const char *name, za_ref_t ref, void *visitor),
                           void *visitor)
{
    za_node_t *node = context;
    za_cluster_each_name(node->cluster, visit, visitor);
}

static za_err_t view_lookup(void *context, const char *name, za_name_answer_t *out)
{
    const za_node_t *node = context;
    return za_cluster_lookup(node->cluster, name, out);
}

static void view_each_group_member(void *context, za_group_visit_t visit, void *visitor)
{
    za_node_t *node = context;
    za_cluster_each_group_member(node->cluster, NULL, visit, visitor);
}

static void view_each_actor(void *context, uint64_t *cursor,
                            bool (*visit)(const za_actor_info_t *info, void *visitor),
                            void *visitor)
{
    za_node_t *node = context;
    za_runtime_each_actor(node->runtime, cursor, visit, visitor);
}

typedef struct named_counter {
    const char *name;
    uint64_t value;
} named_counter_t;

static void each_datagram_counter(const za_node_t *node,
                                  bool (*visit)(const char *name, uint64_t value, void *visitor),
                                  void *visitor)
{
    za_datagram_counters_t counters;
    za_node_datagram_counters(node, &counters);
    bool more = visit("datagram_epoch", node->epoch, visitor);
    for (int i = 0; i < ZA_DATAGRAM_VERDICTS && more; i++) {
        more = visit(za_datagram_verdict_name((za_datagram_verdict_t)i), counters.verdicts[i],
                     visitor);
    }
}

static void view_each_counter(void *context,
                              bool (*visit)(const char *name, uint64_t value, void *visitor),
                              void *visitor)
{
    za_node_t *node = context;
    za_counters_t runtime;
    za_node_counters_t links;
    za_cluster_counters_t cluster;
    za_runtime_counters(node->runtime, &runtime);
    za_node_counters(node, &links);
    za_cluster_counters(node->cluster, &cluster);
    const named_counter_t counters[] = {
        { "messages_handled", runtime.handled },
        { "messages_sent", runtime.sent },
        { "sends_rejected", runtime.rejected },
        { "dead_letters", runtime.dead_letters },
        { "late_replies", runtime.late_replies },
        { "ask_timeouts", runtime.timeouts },
        { "actors_spawned", runtime.spawned },
        { "actors_stopped", runtime.stopped },
        { "actors_failed", runtime.failed },
        { "actors_restarted", runtime.restarted },
        { "pool_bytes", runtime.pool_bytes },
        { "pool_refused", runtime.pool_refused },
        { "blob_bytes", runtime.blob_bytes },
        { "blobs_refused", runtime.blobs_refused },
        { "steals", runtime.steals },
        { "rescues", runtime.rescues },
        { "parks", runtime.parks },
        { "wakes", runtime.wakes },
        { "slow_handlers", runtime.slow_handlers },
        { "link_messages_out", links.messages_out },
        { "link_messages_in", links.messages_in },
        { "link_messages_lost", links.lost_link },
        { "link_queue_full", links.queue_full },
        { "link_bytes_out", links.bytes_out },
        { "link_bytes_in", links.bytes_in },
        { "link_writes", links.writes },
        { "links_opened", links.links_opened },
        { "links_refused", links.links_refused },
        { "links_closed", links.links_closed },
        { "admin_requests", links.admin_requests },
        { "probes", cluster.probes },
        { "probe_failures", cluster.probe_failures },
        { "suspects", cluster.suspects },
        { "refutes", cluster.refutes },
        { "downs", cluster.downs },
        { "downs_of_live", cluster.down_of_live },
        { "rebirths", cluster.rebirths },
        { "datagrams_out", links.datagrams_out },
        { "datagrams_unsent", links.datagrams_unsent },
        { "datagrams_over_links", links.datagrams_linked },
        { "udp_degraded", links.udp_degraded },
        { "members_apart", cluster.aparts },
        { "sends_apart", links.apart_refused },
        { "system_relayed", cluster.relayed },
        { "system_relayed_for_others", cluster.relayed_for_others },
        { "relay_refusals", cluster.relay_refusals },
        { "discovery_lookups", links.discovery_lookups },
        { "discovery_failures", links.discovery_failures },
        { "discovery_lines_bad", links.discovery_lines_bad },
        { "discovery_addresses", links.discovery_addresses },
        { "splits_won", cluster.downing_kept },
        { "splits_lost", cluster.downing_self },
        { "joins_refused", cluster.joins_refused },
        { "datagrams_in", cluster.datagrams_in },
        { "datagrams_bad", cluster.datagrams_bad },
        { "frames_bad", cluster.frames_bad },
        { "registry_divergence", cluster.registry_divergence },
        { "name_conflicts", cluster.name_conflicts },
        { "registry_bytes", cluster.registry_bytes },
        { "registry_refused", cluster.registry_refused },
        { "clocks_skewed", cluster.clocks_skewed },
        { "names_bytes", za_names_bytes(node->names) },
        { "watches", cluster.watches },
        { "watches_fired", cluster.watches_fired },
        { "system_resends", cluster.system_resends },
        { "respawns", cluster.respawns },
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        if (!visit(counters[i].name, counters[i].value, visitor)) {
            return;
        }
    }
    each_datagram_counter(node, visit, visitor);
}

static bool view_worker(void *context, uint32_t index, za_worker_metrics_t *out)
{
    const za_node_t *node = context;
    return za_runtime_worker_metrics(node->runtime, index, out);
}

static const char *view_class_name(void *context, uint32_t index)
{
    const za_node_t *node = context;
    return za_runtime_class_name(node->runtime, index);
}

static bool view_class_metrics(void *context, uint32_t index, za_class_metrics_t *out)
{
    const za_node_t *node = context;
    return za_runtime_class_metrics(node->runtime, index, out);
}

static za_err_t view_leave(void *context)
{
    za_node_t *node = context;
    if (node->params.leave_asked != NULL) {
        node->params.leave_asked(node->params.leave_context);
        return ZA_OK;
    }
    za_node_leave(node, node->worker);
    return ZA_OK;
}

static za_err_t view_rotate_keys(void *context)
{
    za_node_t *node = context;
    if (node->epoch == 0) {
        return ZA_ENOENT;
    }
    return za_request_event(node, node->worker,
                            &(za_cluster_event_t){ .type = ZA_CLUSTER_ROTATE_KEYS }, true);
}

typedef struct search {
    const char *name;
    bool found;
} search_t;

static bool match_member(const za_member_info_t *info, void *context)
{
    search_t *search = context;
    search->found |= info->state < ZA_MEMBER_LEFT && strcmp(info->name, search->name) == 0;
    return !search->found;
}

static za_err_t view_down(void *context, const char *name)
{
    za_node_t *node = context;
    search_t search = { name, false };
    za_cluster_each_member(node->cluster, match_member, &search);
    if (!search.found) {
        return ZA_ENOENT;
    }
    return za_request_event(node, node->worker,
                            &(za_cluster_event_t){ .type = ZA_CLUSTER_DOWN_NODE, .name = name },
                            true);
}

za_err_t za_node_create_admin(za_node_t *node)
{
    za_admin_view_t view = {
        .context = node,
        .now_ms = view_now_ms,
        .status = view_status,
        .each_member = view_each_member,
        .each_name = view_each_name,
        .lookup = view_lookup,
        .each_group_member = view_each_group_member,
        .each_actor = view_each_actor,
        .each_counter = view_each_counter,
        .worker = view_worker,
        .class_name = view_class_name,
        .class_metrics = view_class_metrics,
        .leave = view_leave,
        .down = view_down,
        .rotate_keys = view_rotate_keys,
    };
    return za_admin_create(&view, &node->admin);
}
