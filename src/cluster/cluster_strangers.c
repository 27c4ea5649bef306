#include "cluster/cluster_internal.h"

#include <stddef.h>

#include "base/limits.h"

enum {
    STRANGERS_MAX = ZA_PEERS_MAX,
    STRANGER_MS = 60000, // longer than any join takes
};

/** A uid whose link ended before membership knew it: what it left here goes if it never will. */
typedef struct stranger {
    uint64_t uid;
    uint64_t until_ms;
    za_link_t place;
} stranger_t;

#define PLACE offsetof(stranger_t, place)

za_err_t za_cluster_strangers_create(za_cluster_t *cluster)
{
    return za_slots_init(&cluster->strangers, STRANGERS_MAX, sizeof(stranger_t));
}

void za_cluster_strangers_destroy(za_cluster_t *cluster)
{
    za_slots_deinit(&cluster->strangers);
}

static stranger_t *first_stranger(const za_cluster_t *cluster)
{
    uint32_t id = cluster->stranger_list.first;
    return id != 0 ? za_slots_at(&cluster->strangers, id) : NULL;
}

uint64_t za_cluster_strangers_deadline_ms(const za_cluster_t *cluster)
{
    const stranger_t *stranger = first_stranger(cluster);
    return stranger != NULL ? stranger->until_ms : UINT64_MAX;
}

void za_cluster_note_stranger(za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = za_slots_add(&cluster->strangers, 0);
    if (id == 0) {
        first_stranger(cluster)->until_ms = cluster->now_ms;
        return;
    }
    stranger_t *stranger = za_slots_at(&cluster->strangers, id);
    stranger->uid = uid;
    stranger->until_ms = cluster->now_ms + STRANGER_MS;
    za_chain_append(&cluster->stranger_list, &cluster->strangers, PLACE, id);
}

/** What `uid` left here ends. False: `out` is full. */
static bool end_stranger(za_cluster_t *cluster, uint64_t uid, za_effects_t *out)
{
    if (za_watch_gone(cluster->watch, uid, za_Reason_REASON_NO_NODE, out) == ZA_STEP_MORE ||
        za_children_gone(cluster->children, uid, za_Reason_REASON_NO_NODE, cluster->now_ms, out) ==
            ZA_STEP_MORE) {
        return false;
    }
    za_syslane_forget(cluster->lane, uid);
    return true;
}

bool za_cluster_forget_strangers(za_cluster_t *cluster, za_effects_t *out)
{
    for (const stranger_t *stranger = first_stranger(cluster);
         stranger != NULL && stranger->until_ms <= cluster->now_ms;
         stranger = first_stranger(cluster)) {
        uint64_t uid = stranger->uid;
        bool gone = za_view_known(&cluster->view, uid) == ZA_KNOWN_NOT &&
                    !za_cluster_is_linked(cluster, uid);
        if (gone && !end_stranger(cluster, uid, out)) {
            return false;
        }
        uint32_t id = cluster->stranger_list.first;
        za_chain_remove(&cluster->stranger_list, &cluster->strangers, PLACE, id);
        za_slots_remove(&cluster->strangers, id);
    }
    return true;
}

bool za_cluster_restart_lost(za_cluster_t *cluster, za_effects_t *out)
{
    for (uint64_t uid = za_syslane_lost(cluster->lane); uid != 0;
         uid = za_syslane_lost(cluster->lane)) {
        if (za_watch_forgotten(cluster->watch, uid, out) == ZA_STEP_MORE ||
            za_children_forgotten(cluster->children, uid, cluster->now_ms, out) == ZA_STEP_MORE) {
            return false;
        }
        za_syslane_restart(cluster->lane, uid, cluster->now_ms);
    }
    return true;
}
