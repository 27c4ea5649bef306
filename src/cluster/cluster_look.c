#include "cluster/cluster_internal.h"

uint64_t za_cluster_uid(const za_cluster_t *cluster)
{
    return za_membership_uid(cluster->membership);
}

bool za_cluster_may_claim(const za_cluster_t *cluster)
{
    return za_membership_may_claim(cluster->membership);
}

bool za_cluster_find_member(const za_cluster_t *cluster, uint64_t uid, za_member_info_t *out)
{
    return za_membership_find(cluster->membership, uid, out);
}

void za_cluster_each_member(const za_cluster_t *cluster,
                            bool (*visit)(const za_member_info_t *info, void *context),
                            void *context)
{
    za_membership_each_member(cluster->membership, visit, context);
}

void za_cluster_each_name(const za_cluster_t *cluster,
                          bool (*visit)(const char *name, za_ref_t ref, void *context),
                          void *context)
{
    za_registry_each_name(cluster->registry, visit, context);
}

uint32_t za_cluster_keys(const za_cluster_t *cluster, za_epoch_key_t out[static ZA_EPOCH_KEYS_MAX],
                         uint32_t *sending)
{
    return za_keys_ring(cluster->keys, out, sending);
}

za_err_t za_cluster_whereis(const za_cluster_t *cluster, const char *name, za_ref_t *out)
{
    za_name_answer_t answer;
    za_err_t err = za_registry_whereis(cluster->registry, name, cluster->now_ms, &answer);
    if (err == ZA_OK) {
        *out = answer.ref;
    }
    return err;
}

za_err_t za_cluster_lookup(const za_cluster_t *cluster, const char *name, za_name_answer_t *out)
{
    return za_registry_whereis(cluster->registry, name, cluster->now_ms, out);
}

void za_cluster_each_group_member(const za_cluster_t *cluster, const char *group,
                                  za_group_visit_t visit, void *context)
{
    za_registry_each_member(cluster->registry, group, visit, context);
}

void za_cluster_each_owner(const za_cluster_t *cluster,
                           bool (*visit)(const za_owner_info_t *info, void *context), void *context)
{
    za_registry_each_owner(cluster->registry, visit, context);
}

void za_cluster_each_changed_owner(const za_cluster_t *cluster,
                                   uint64_t seen[static ZA_REGISTRY_PARTS],
                                   bool (*visit)(const za_owner_info_t *info, void *context),
                                   void *context)
{
    za_registry_each_changed(cluster->registry, seen, visit, context);
}

bool za_cluster_owner_version(const za_cluster_t *cluster, uint64_t uid, uint64_t *applied,
                              uint64_t *hash)
{
    return za_registry_version(cluster->registry, uid, applied, hash);
}

void za_cluster_downing(const za_cluster_t *cluster, za_downing_info_t *out)
{
    za_membership_downing(cluster->membership, out);
}

uint64_t za_cluster_view_hash(const za_cluster_t *cluster)
{
    return za_membership_view_hash(cluster->membership);
}

uint64_t za_cluster_registry_hash(const za_cluster_t *cluster)
{
    return za_registry_hash(cluster->registry);
}

void za_cluster_counters(const za_cluster_t *cluster, za_cluster_counters_t *out)
{
    *out = (za_cluster_counters_t){ 0 };
    za_membership_counters(cluster->membership, out);
    za_registry_stats_t registry;
    za_watch_stats_t watch;
    za_children_stats_t children;
    za_registry_stats(cluster->registry, &registry);
    za_watch_stats(cluster->watch, &watch);
    za_children_stats(cluster->children, &children);
    za_relay_stats_t relay;
    za_relay_stats(cluster->relay, &relay);
    out->frames_bad += cluster->frames_bad;
    out->registry_divergence = registry.divergence;
    out->name_conflicts = registry.conflicts;
    out->registry_bytes = registry.bytes;
    out->registry_refused = registry.refused;
    out->clocks_skewed = registry.skewed;
    out->watches = watch.active;
    out->watches_fired = watch.fired;
    out->system_resends = za_syslane_resends(cluster->lane);
    out->relayed = za_syslane_relayed(cluster->lane);
    out->relayed_for_others = relay.handed_on;
    out->relay_refusals = relay.refused;
    out->respawns = children.respawns;
    out->refused = registry.refused + watch.refused + children.refused;
}
