#include "cluster/cluster_internal.h"

#include "base/assert.h"

/* ---- frames ------------------------------------------------------------------------------------ */

static void system_frame(za_cluster_t *cluster, uint64_t uid, const uint8_t *bytes, uint32_t size,
                         za_effects_t *out)
{
    const za_SysFrame *frame;
    switch (za_syslane_receive(cluster->lane, uid, bytes, size, cluster->now_ms, &frame)) {
    case ZA_SYS_NONE:
        break;
    case ZA_SYS_FRAME:
        za_watch_frame(cluster->watch, uid, frame, out);
        za_children_frame(cluster->children, uid, frame, cluster->now_ms, out);
        break;
    case ZA_SYS_BAD:
        cluster->frames_bad++;
        break;
    }
}

/** False: malformed. */
static bool relay_frame(za_cluster_t *cluster, uint64_t uid, const uint8_t *bytes, uint32_t size,
                        za_effects_t *out)
{
    za_relayed_t frame;
    switch (za_relay_frame(cluster->relay, uid, bytes, size, cluster->now_ms, &frame, out)) {
    case ZA_RELAY_DONE:
        return true;
    case ZA_RELAY_FRAME:
        system_frame(cluster, frame.from, frame.bytes, frame.size, out);
        return true;
    case ZA_RELAY_BAD:
        break;
    }
    return false;
}

/** False: nobody's, or malformed. */
static bool control_frame(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    if (event->lane != ZA_LANE_CONTROL || event->size == 0) {
        return false;
    }
    const uint8_t *bytes = event->bytes + 1;
    uint32_t size = event->size - 1;
    switch (event->bytes[0]) {
    case ZA_REGISTRY_TAG:
        return za_registry_frame(cluster->registry, event->uid, bytes, size, cluster->now_ms, out);
    case ZA_KEYS_TAG:
        return za_keys_frame(cluster->keys, bytes, size, cluster->now_ms);
    case ZA_RELAY_TAG:
        return relay_frame(cluster, event->uid, bytes, size, out);
    default:
        return false;
    }
}

static void take_frame(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    if (event->lane == ZA_LANE_CONTROL && event->size > 0 && event->bytes[0] == ZA_MEMBERSHIP_TAG) {
        za_cluster_step_membership(cluster, event);
        return;
    }
    if (!za_cluster_serve(cluster, event->uid)) {
        return; // of a link that was closed, or of a terminal uid
    }
    if (event->lane == ZA_LANE_SYSTEM) {
        system_frame(cluster, event->uid, event->bytes, event->size, out);
        return;
    }
    if (!control_frame(cluster, event, out)) {
        cluster->frames_bad++;
    }
}

/* ---- what actors here ask for ------------------------------------------------------------------ */

static void take_watch(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    bool links = event->type == ZA_CLUSTER_LINK;
    if (event->ref.node == 0 || event->ref.node == za_cluster_uid(cluster)) {
        za_effect_t *effect = za_effects_add(out, links ? ZA_EFFECT_EXIT_LOCAL : ZA_EFFECT_FIRE);
        effect->actor = links ? event->watcher.actor : 0;
        effect->watcher = event->watcher;
        effect->id = event->id;
        effect->ref = event->ref;
        effect->reason = za_Reason_REASON_NO_NODE; // local watches are not for the cluster
        return;
    }
    if (links) {
        za_watch_link(cluster->watch, event->watcher, event->id, event->ref, cluster->now_ms, out);
    } else {
        za_watch_add(cluster->watch, event->watcher, event->id, event->ref, cluster->now_ms, out);
    }
}

static void take_register(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    za_claim_t claim = { event->name,  event->kind,  event->prio,
                         event->actor, event->bytes, event->size };
    if (event->wall_ms != 0) {
        za_registry_wall(cluster->registry, event->now_ms, event->wall_ms);
    }
    za_registry_register(cluster->registry, &claim, event->now_ms, out);
}

/** Whom what an actor here asks of the cluster is about; 0: nobody, or this node. */
static uint64_t partner(const za_cluster_event_t *event)
{
    switch (event->type) {
    case ZA_CLUSTER_WATCH:
    case ZA_CLUSTER_LINK:
    case ZA_CLUSTER_UNLINK:
    case ZA_CLUSTER_STOP_CHILD:
        return event->ref.node;
    case ZA_CLUSTER_LOCAL_DOWN:
        return event->watcher.node;
    case ZA_CLUSTER_SPAWN:
    case ZA_CLUSTER_CHILD_STARTED:
        return event->uid;
    default:
        return 0;
    }
}

static void take_local(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    uint64_t now_ms = cluster->now_ms;
    if (partner(event) != 0) {
        za_membership_want_link(cluster->membership, partner(event));
    }
    switch (event->type) {
    case ZA_CLUSTER_KEYS:
        za_keys_material(cluster->keys, event->bytes, event->size);
        break;
    case ZA_CLUSTER_ROTATE_KEYS:
        za_keys_rotate(cluster->keys);
        break;
    case ZA_CLUSTER_REGISTER:
        take_register(cluster, event, out);
        break;
    case ZA_CLUSTER_UNREGISTER:
        za_registry_unregister(cluster->registry, event->kind, event->name, event->actor, now_ms);
        break;
    case ZA_CLUSTER_WATCH:
    case ZA_CLUSTER_LINK:
        take_watch(cluster, event, out);
        break;
    case ZA_CLUSTER_UNWATCH:
        za_watch_remove(cluster->watch, event->watcher, event->id, event->ref);
        break;
    case ZA_CLUSTER_UNLINK:
        za_watch_unlink(cluster->watch, event->watcher, event->id, event->ref, event->reason,
                        event->after_user);
        break;
    case ZA_CLUSTER_LOCAL_DOWN:
        za_watch_local_down(cluster->watch, event->watcher, event->id, event->reason,
                            event->after_user);
        break;
    case ZA_CLUSTER_ACTOR_STOPPED:
        za_registry_actor_stopped(cluster->registry, event->actor, now_ms);
        za_children_actor_stopped(cluster->children, event->actor, event->reason);
        break;
    case ZA_CLUSTER_SPAWN:
        za_children_spawn(cluster->children, event->id, event->actor, event->uid, event->tag,
                          event->spawn, out);
        break;
    case ZA_CLUSTER_STOP_CHILD:
        za_children_stop(cluster->children, event->actor, event->ref);
        break;
    case ZA_CLUSTER_CHILD_STARTED:
        za_children_started(cluster->children, event->id, event->uid, event->ref.actor, event->err,
                            out);
        break;
    default:
        ZA_ASSERT(!"an event of no known type");
    }
}

/* ---- all events -------------------------------------------------------------------------------- */

void za_cluster_take(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    switch (event->type) {
    case ZA_CLUSTER_CONTINUE:
        break;
    case ZA_CLUSTER_CONNECT_FAILED:
    case ZA_CLUSTER_SEEDS:
    case ZA_CLUSTER_WANT_LINK:
    case ZA_CLUSTER_LEAVE:
    case ZA_CLUSTER_DOWN_NODE:
    case ZA_CLUSTER_LEASE:
        za_cluster_step_membership(cluster, event);
        break;
    case ZA_CLUSTER_LINK_UP:
        za_cluster_link_up(cluster, event->uid);
        za_cluster_step_membership(cluster, event);
        break;
    case ZA_CLUSTER_LINK_DOWN:
        za_cluster_link_down(cluster, event->uid);
        za_cluster_step_membership(cluster, event);
        break;
    case ZA_CLUSTER_FRAME:
        take_frame(cluster, event, out);
        break;
    default:
        take_local(cluster, event, out);
        break;
    }
}
