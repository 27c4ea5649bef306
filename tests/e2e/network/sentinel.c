/**
 * Sentinel: on each node of a network test one actor that uses what a cluster is for, and writes down
 * what it gets. It registers a name, watches whoever holds the names of the others, and logs
 *
 *     watch NAME REF     a watch on the present holder of NAME began
 *     down NAME REF      it ended
 *
 * so that a test can tell whether each watch ended at most once, and whether at last each sentinel
 * watches the one that the registry names. From the environment: SENTINEL_NAME, its own name, and
 * SENTINEL_PEERS, those of the others, separated by commas.
 */
#include <stdlib.h>
#include <string.h>

#include <zactor/zactor.h>

#include "sentinel.za.h"

enum {
    PEERS_MAX = 64,
    NAME_BYTES_MAX = 64,
    LOOK_MS = 100,
};

typedef struct peer {
    char name[NAME_BYTES_MAX];
    za_ref_t watched; // none: nobody
} peer_t;

typedef struct sentinel {
    char name[NAME_BYTES_MAX];
    peer_t peers[PEERS_MAX];
    uint32_t peer_count;
    bool registered;
} sentinel_t;

static void say(za_ctx_t *ctx, const char *what, const peer_t *peer, za_ref_t ref)
{
    char text[ZA_REF_TEXT_BYTES];
    za_log(ctx, ZA_INFO, "%s %s %s", what, peer->name, za_ref_format(ref, text));
}

static bool copy_names(sentinel_t *self, const char *name, const char *peers)
{
    if (name == NULL || peers == NULL || strlen(name) >= NAME_BYTES_MAX) {
        return false;
    }
    strcpy(self->name, name);
    for (size_t size = 0; *peers != '\0'; peers += size + (peers[size] == ',')) {
        size = strcspn(peers, ",");
        if (size == 0 || size >= NAME_BYTES_MAX || self->peer_count == PEERS_MAX) {
            return false;
        }
        memcpy(self->peers[self->peer_count++].name, peers, size);
    }
    return true;
}

static za_verdict_t on_started(za_ctx_t *ctx, sentinel_t *self, const za_Started *started)
{
    (void)started;
    if (!copy_names(self, getenv("SENTINEL_NAME"), getenv("SENTINEL_PEERS"))) {
        za_log(ctx, ZA_ERROR, "SENTINEL_NAME or SENTINEL_PEERS is missing or too long");
        return ZA_FAIL;
    }
    za_err_t err = za_every(ctx, LOOK_MS, &sentinel_Look_type, &(sentinel_Look){ LOOK_MS }, NULL);
    return err == ZA_OK ? ZA_DONE : ZA_FAIL;
}

static void look_at(za_ctx_t *ctx, peer_t *peer)
{
    za_ref_t ref;
    if (za_ref_is_none(peer->watched) && za_whereis(ctx, peer->name, &ref) == ZA_OK &&
        za_watch(ctx, ref) == ZA_OK) { // else it is tried again
        peer->watched = ref;
        say(ctx, "watch", peer, ref);
    }
}

static za_verdict_t on_look(za_ctx_t *ctx, sentinel_t *self, const sentinel_Look *look)
{
    (void)look;
    self->registered = self->registered || za_register(ctx, self->name) == ZA_OK;
    for (uint32_t i = 0; i < self->peer_count; i++) {
        look_at(ctx, &self->peers[i]);
    }
    return ZA_DONE;
}

static za_verdict_t on_down(za_ctx_t *ctx, sentinel_t *self, const za_Down *down)
{
    for (uint32_t i = 0; i < self->peer_count; i++) {
        peer_t *peer = &self->peers[i];
        if (za_ref_equal(peer->watched, down->ref)) {
            say(ctx, "down", peer, down->ref);
            peer->watched = ZA_REF_NONE;
            return ZA_DONE;
        }
    }
    za_log(ctx, ZA_ERROR, "down of an actor that was not watched");
    return ZA_DONE;
}

// A name that was registered on both sides of a partition: the winner keeps it. Here it is a fault.
static za_verdict_t on_name_lost(za_ctx_t *ctx, sentinel_t *self, const za_NameLost *lost)
{
    (void)lost;
    za_log(ctx, ZA_ERROR, "lost the name %s", self->name);
    self->registered = false;
    return ZA_DONE;
}
ZA_ACTOR(sentinel, sentinel_t, (za_Started, on_started), (sentinel_Look, on_look),
         (za_Down, on_down), (za_NameLost, on_name_lost));

ZA_API const za_class_t *const *zactor_classes(void);

const za_class_t *const *zactor_classes(void)
{
    static const za_class_t *const classes[] = { &sentinel_class, NULL };
    return classes;
}
