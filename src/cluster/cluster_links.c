#include "cluster/cluster_internal.h"

#include "base/hash.h"
#include "base/limits.h"

typedef struct link {
    uint64_t uid;
    bool served; // the services use it: not while its uid is terminal in our view
} link_t;

za_err_t za_cluster_links_create(za_cluster_t *cluster)
{
    za_err_t err = za_slots_init(&cluster->links, ZA_PEERS_MAX, sizeof(link_t));
    return err == ZA_OK ? za_asked_create(&cluster->asked) : err;
}

void za_cluster_links_destroy(za_cluster_t *cluster)
{
    za_asked_destroy(cluster->asked);
    za_slots_deinit(&cluster->links);
}

static link_t *link_at(const za_cluster_t *cluster, uint32_t id)
{
    return za_slots_at(&cluster->links, id);
}

static uint32_t find_link(const za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = za_slots_first(&cluster->links, za_mix64(uid));
    while (id != 0 && link_at(cluster, id)->uid != uid) {
        id = za_slots_next(&cluster->links, id);
    }
    return id;
}

bool za_cluster_is_linked(const za_cluster_t *cluster, uint64_t uid)
{
    return find_link(cluster, uid) != 0;
}

bool za_cluster_serves(const za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = find_link(cluster, uid);
    return id != 0 && link_at(cluster, id)->served;
}

bool za_cluster_serve(za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = find_link(cluster, uid);
    if (id == 0 || link_at(cluster, id)->served) {
        return id != 0;
    }
    if (za_cluster_is_terminal(cluster, uid)) {
        return false;
    }
    link_at(cluster, id)->served = true;
    if (za_view_known(&cluster->view, uid) != ZA_KNOWN_NOT) {
        za_registry_member(cluster->registry, uid, cluster->now_ms);
    }
    za_syslane_link_up(cluster->lane, uid, cluster->now_ms);
    za_registry_link_up(cluster->registry, uid);
    za_keys_link_up(cluster->keys, uid);
    return true;
}

void za_cluster_link_up(za_cluster_t *cluster, uint64_t uid)
{
    za_cluster_link_down(cluster, uid); // the newest link counts
    za_asked_forget(cluster->asked, uid);
    if (uid == za_cluster_uid(cluster)) {
        return;
    }
    uint32_t id = za_slots_add(&cluster->links, za_mix64(uid));
    if (id != 0) { // beyond ZA_PEERS_MAX the transport refuses links itself
        link_at(cluster, id)->uid = uid;
        za_cluster_serve(cluster, uid);
    }
}

void za_cluster_link_down(za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = find_link(cluster, uid);
    if (id != 0) {
        za_slots_remove(&cluster->links, id);
        za_syslane_link_down(cluster->lane, uid);
        za_relay_link_down(cluster->relay, uid, cluster->now_ms);
        za_registry_link_down(cluster->registry, uid);
        za_keys_link_down(cluster->keys, uid);
        if (za_view_known(&cluster->view, uid) == ZA_KNOWN_NOT) {
            za_cluster_note_stranger(cluster, uid);
        }
    }
}

void za_cluster_all_links_down(za_cluster_t *cluster)
{
    for (uint32_t id = 1; id <= cluster->links.fresh; id++) {
        za_cluster_link_down(cluster, link_at(cluster, id)->uid); // nothing, where there is none
    }
}

/* ---- links that the services wait for --------------------------------------------------------- */

static void want_link(uint64_t uid, void *context)
{
    za_cluster_t *cluster = context;
    if (find_link(cluster, uid) == 0 && za_asked_try(cluster->asked, uid, cluster->now_ms)) {
        za_membership_want_link(cluster->membership, uid);
    }
}

void za_cluster_want_links(za_cluster_t *cluster)
{
    za_asked_expire(cluster->asked, cluster->now_ms);
    za_syslane_each_waiting(cluster->lane, want_link, cluster);
    za_watch_each_waiting(cluster->watch, want_link, cluster);
    za_children_each_waiting(cluster->children, want_link, cluster);
}
