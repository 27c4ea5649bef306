// Peers: the other nodes that this one knows, and how a worker finds one without a lock.

#include "node/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static_assert(ZA_PEER_SLOTS_MAX % ZA_PEER_CHUNK == 0, "chunks for all slots");

/* ---- life ------------------------------------------------------------------------------------- */

za_err_t za_peers_create(za_node_t *node)
{
    za_err_t err = za_peer_index_init(&node->index, ZA_PEER_INDEX_SLOTS);
    return err == ZA_OK ? za_lanes_create(node) : err;
}

void za_peers_destroy(za_node_t *node)
{
    za_lanes_destroy(node);
    za_peer_index_deinit(&node->index);
    for (uint32_t i = 0; i < ZA_PEER_SLOTS_MAX / ZA_PEER_CHUNK; i++) {
        free(node->peer_chunks[i]);
    }
}

/* ---- slots ------------------------------------------------------------------------------------ */

za_peer_t *za_peer_find(const za_node_t *node, uint64_t uid)
{
    return za_peer_index_find(&node->index, uid);
}

za_peer_t *za_peer_at(const za_node_t *node, uint32_t index)
{
    return &node->peer_chunks[index / ZA_PEER_CHUNK][index % ZA_PEER_CHUNK];
}

/** Whether nobody misses it: its end was told, or it had a link and never was a member. */
static bool is_over(const za_peer_t *peer)
{
    // relaxed, both: ours to change. One whose end was told may have a link over which it hears of it.
    return (peer->announced == 0 || atomic_load_explicit(&peer->terminal, memory_order_relaxed)) &&
           atomic_load_explicit(&peer->link, memory_order_relaxed) == NULL;
}

static void set_unreachable(za_node_t *node, za_peer_t *peer, bool is)
{
    // relaxed, all: ours to change, and news without an order
    if (atomic_exchange_explicit(&peer->unreachable, is, memory_order_relaxed) != is) {
        uint32_t count = atomic_load_explicit(&node->unreachable_count, memory_order_relaxed);
        atomic_store_explicit(&node->unreachable_count, is ? count + 1 : count - 1,
                              memory_order_relaxed);
    }
}

/**
 * The slot serves another uid from now on. Who found the peer a moment ago may still push a frame for
 * the former one, which says so: it is counted as lost when it is taken out.
 */
static void release(za_node_t *node, za_peer_t *peer)
{
    za_peer_index_remove(&node->index, atomic_load_explicit(&peer->uid, memory_order_relaxed));
    za_lanes_release(node, peer);
    set_unreachable(node, peer, false);
    atomic_store_explicit(&peer->uid, 0, memory_order_relaxed); // nobody finds it
    node->peers_free++;
}

/** Releases those in the next `count` slots that have been over for `age_ms`. */
static void release_over(za_node_t *node, uint32_t count, uint64_t age_ms)
{
    for (uint32_t i = 0; i < count && i < node->peers_top; i++) {
        node->peers_swept = node->peers_swept < node->peers_top ? node->peers_swept : 0;
        za_peer_t *peer = za_peer_at(node, node->peers_swept++);
        bool used = atomic_load_explicit(&peer->uid, memory_order_relaxed) != 0; // ours
        if (used && is_over(peer) && node->now_ms - peer->since_ms >= age_ms) {
            release(node, peer);
        }
    }
}

/** A slot that was never used; NULL: there is none, or no memory. */
static za_peer_t *fresh_slot(za_node_t *node)
{
    uint32_t index = node->peers_top;
    if (index == ZA_PEER_SLOTS_MAX) {
        return NULL;
    }
    za_peer_t **chunk = &node->peer_chunks[index / ZA_PEER_CHUNK];
    if (*chunk == NULL) {
        *chunk = calloc(ZA_PEER_CHUNK, sizeof **chunk);
        if (*chunk == NULL) {
            return NULL;
        }
    }
    node->peers_top++;
    za_peer_t *peer = za_peer_at(node, index);
    peer->index = index;
    return peer;
}

static za_peer_t *free_slot(za_node_t *node)
{
    if (node->peers_free == 0 && node->peers_top == ZA_PEER_SLOTS_MAX) {
        release_over(node, ZA_PEER_SLOTS_MAX, 0); // all at once, so that it is seldom
    }
    if (node->peers_free == 0) {
        return fresh_slot(node);
    }
    // From where the last was found on: a pass over all of them serves all that are free.
    for (uint32_t i = 0; i < node->peers_top; i++) {
        node->peers_taken = node->peers_taken < node->peers_top ? node->peers_taken : 0;
        za_peer_t *peer = za_peer_at(node, node->peers_taken++);
        if (atomic_load_explicit(&peer->uid, memory_order_relaxed) == 0) { // ours
            node->peers_free--;
            return peer;
        }
    }
    ZA_ASSERT(false); // one was counted
    return NULL;
}

za_peer_t *za_peer_claim(za_node_t *node, uint64_t uid, const char *name)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer != NULL) {
        return peer;
    }
    peer = free_slot(node);
    if (peer == NULL) {
        za_node_log(node, ZA_ERROR, "%u peers, or no memory: no room for node %s", node->peers_top,
                    name);
        return NULL;
    }
    // relaxed, all: published by the index
    atomic_store_explicit(&peer->terminal, false, memory_order_relaxed);
    atomic_store_explicit(&peer->apart, false, memory_order_relaxed);
    atomic_store_explicit(&peer->wanted, false, memory_order_relaxed);
    atomic_store_explicit(&peer->used, false, memory_order_relaxed);
    atomic_store_explicit(&peer->heard_ms, node->now_ms, memory_order_relaxed);
    atomic_store_explicit(&peer->uid, uid, memory_order_relaxed);
    peer->announced = 0;
    peer->since_ms = node->now_ms;
    peer->udp_heard_ms = peer->udp_since_ms = 0;
    peer->udp_unanswered = 0;
    peer->udp_degraded = peer->met = false;
    strncpy(peer->name, name, sizeof peer->name - 1);
    if (za_peer_index_put(&node->index, uid, peer) != ZA_OK) {
        atomic_store_explicit(&peer->uid, 0, memory_order_relaxed); // nobody found it
        node->peers_free++;
        za_node_log(node, ZA_ERROR,
                    "no memory for the index of peers, or no place in it: no room for node %s",
                    name);
        return NULL;
    }
    return peer;
}

/* ---- what is known of them -------------------------------------------------------------------- */

void za_peer_heard(za_node_t *node, uint64_t uid)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer != NULL) {
        atomic_store_explicit(&peer->heard_ms, node->now_ms, memory_order_relaxed); // only a number
    }
}

void za_peer_unreachable(za_node_t *node, uint64_t uid, bool is)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer != NULL) {
        set_unreachable(node, peer, is);
    }
}

void za_peer_down(za_node_t *node, uint64_t uid)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer != NULL) {
        za_link_close_peer(node, uid);
        atomic_store_explicit(&peer->terminal, true, memory_order_relaxed);
        peer->announced = 0;
        peer->since_ms = node->now_ms;
        za_lanes_discard(node, peer);
    }
    za_runtime_fail_asks(node->worker, uid, za_Reason_REASON_NODE_DOWN);
}

void za_peer_apart(za_node_t *node, uint64_t uid, bool is)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer == NULL) {
        return;
    }
    atomic_store_explicit(&peer->apart, is, memory_order_relaxed); // a late look is as good
    if (is && atomic_load_explicit(&peer->link, memory_order_relaxed) == NULL) {
        // From now on news of the ends of actors goes another way: no message may come after it.
        za_lanes_discard(node, peer);
        za_runtime_fail_asks(node->worker, uid, za_Reason_REASON_LINK_LOST);
    }
}

void za_peer_begin_link(za_node_t *node, za_peer_t *peer)
{
    if (atomic_load_explicit(&peer->apart, memory_order_relaxed)) { // ours
        za_lanes_discard(node, peer); // of workers that looked just before it was apart
        atomic_store_explicit(&peer->apart, false, memory_order_relaxed); // a late look is as good
    }
}

void za_peer_link(za_peer_t *peer, za_link_t *link)
{
    peer->met = true;
    // An exchange: see link_of.
    atomic_exchange_explicit(&peer->link, link, memory_order_acq_rel); // pairs: peer-link
}

void za_peers_sweep(za_node_t *node)
{
    za_lanes_sweep(node);
    release_over(node, ZA_PEERS_SWEPT, ZA_PEER_QUARANTINE_MS);
}
