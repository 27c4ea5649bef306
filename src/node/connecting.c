// Whom to connect to, and when. Runs in the owner.

#include <stdio.h>
#include <string.h>

#include "base/pages.h"
#include "node/link.h"

enum {
    CONNECT_QUICK_MS = 200, // who does not answer by then keeps nobody else waiting
    WAITING_MS_MAX = 5000,  // the cluster asks again for what it still wants
    NEWCOMERS_MANY = 8,     // after so many the mesh waits for a probe interval ...
    MESH_INTERVALS_MAX = 4, // ... and never for more than so many
};

za_link_t *za_link_take(za_node_t *node)
{
    for (uint32_t i = 0; i < ZA_LINKS_MAX; i++) {
        za_link_t *link = &node->links[i];
        if (link->state == ZA_LINK_FREE) {
            if (link->out == NULL) {
                link->out = za_pages_alloc(ZA_LINK_OUT_BYTES);
            }
            if (link->out == NULL) {
                return NULL;
            }
            node->links_top = i < node->links_top ? node->links_top : i + 1;
            link->node = node;
            link->generation++;
            link->opened_ms = node->now_ms;
            link->out_used = link->out_sent = 0;
            link->blocked = link->closing = link->we_connected = link->rested = false;
            link->close_err = ZA_OK;
            link->peer_uid = 0;
            link->has_event = link->wants_greeter = link->duplicate = false;
            return link;
        }
    }
    return NULL;
}

/** True if there is a connection to that address already, or one is being made. */
static bool is_connected(const za_node_t *node, const char *address)
{
    for (uint32_t i = 0; i < node->links_top; i++) {
        const za_link_t *link = &node->links[i];
        bool making = link->we_connected &&
                      (link->state == ZA_LINK_CONNECTING || link->state == ZA_LINK_GREETING);
        if (!link->closing && (making || link->state == ZA_LINK_MEMBER) &&
            strcmp(link->address, address) == 0) {
            return true;
        }
    }
    return false;
}

static void connect_now(za_node_t *node, const char *address)
{
    za_link_t *link = za_link_take(node);
    if (link == NULL) {
        za_node_log(node, ZA_WARN, "no room for another connection: %s must wait", address);
        return;
    }
    snprintf(link->address, sizeof link->address, "%s", address);
    link->state = ZA_LINK_CONNECTING;
    link->we_connected = true;
    za_err_t err = node->params.transport.ops->connect(node->params.transport.context, address,
                                                       link, &link->conn);
    if (err != ZA_OK) {
        link->conn = NULL;
        za_link_close(link, err);
    }
}

/**
 * Handshakes are the dear part of a cluster that starts: 31 at a time in each of 32 nodes on a busy
 * machine took longer than the ten seconds that each of them has, all were given up, and all began
 * anew. Few at a time end, whatever the machine is busy with.
 */
static bool may_connect(const za_node_t *node)
{
    uint32_t most = node->greeter_count > 0 ? 2 * node->greeter_count : ZA_OUTGOING_MAX;
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->links_top; i++) {
        const za_link_t *link = &node->links[i];
        bool quick =
            link->state == ZA_LINK_CONNECTING && node->now_ms - link->opened_ms < CONNECT_QUICK_MS;
        count += link->we_connected && !link->closing && (quick || link->state == ZA_LINK_GREETING);
    }
    return count < most;
}

/* ---- the mesh while many join ------------------------------------------------------------------ */

/**
 * A node that starts is a member after one handshake, and all know each other by gossip; the other 30 of a
 * mesh of 32 are for later. Made at once by all who are members already, they take the cores from those that
 * still join. So first links wait for as long as members come one soon after the other.
 */
void za_links_newcomer(za_node_t *node)
{
    uint64_t interval_ms = node->params.timing.probe_interval_ms;
    if (node->now_ms >= node->mesh_after_ms) {
        node->newcomers = 0;
        node->newcomers_ms = node->now_ms;
    }
    if (node->newcomers < NEWCOMERS_MANY) {
        node->newcomers++;
    }
    // Of three nodes the mesh is made almost at once; where many came, more are to be expected.
    uint64_t after_ms = node->now_ms + interval_ms * node->newcomers / NEWCOMERS_MANY;
    uint64_t last_ms = node->newcomers_ms + interval_ms * MESH_INTERVALS_MAX;
    node->mesh_after_ms = after_ms < last_ms ? after_ms : last_ms;
}

/** Whether it is a link that nobody misses yet: neither broken nor one that messages wait for. */
static bool may_wait(const za_node_t *node, uint64_t uid)
{
    if (uid == 0 || node->now_ms >= node->mesh_after_ms) {
        return false;
    }
    const za_peer_t *peer = za_peer_find(node, uid);
    return peer == NULL || (!peer->met && za_peer_queued_bytes(peer) == 0);
}

uint64_t za_links_deadline_ms(const za_node_t *node)
{
    bool waits = node->waiting_count > 0 && node->now_ms < node->mesh_after_ms;
    return waits ? node->mesh_after_ms : UINT64_MAX;
}

/* ---- those that wait --------------------------------------------------------------------------- */

static uint32_t find_waiting(const za_node_t *node, const char *address)
{
    uint32_t at = 0;
    while (at < node->waiting_count && strcmp(node->waiting[at].address, address) != 0) {
        at++;
    }
    return at;
}

void za_link_connect(za_node_t *node, const char *address, uint64_t uid)
{
    if (is_connected(node, address)) {
        return;
    }
    uint32_t at = find_waiting(node, address);
    if (at < node->waiting_count) {
        node->waiting[at].uid = uid == 0 ? 0 : node->waiting[at].uid; // now it is needed
    } else if (node->waiting_count == 0 && may_connect(node) && !may_wait(node, uid)) {
        connect_now(node, address);
    } else if (node->waiting_count < ZA_WAITING_MAX) { // else the cluster asks again
        node->waiting_count++;
        snprintf(node->waiting[at].address, sizeof node->waiting[at].address, "%s", address);
        node->waiting[at].uid = uid;
        node->waiting[at].since_ms = node->now_ms;
    }
}

void za_links_connect_waiting(za_node_t *node)
{
    uint32_t kept = 0;
    for (uint32_t at = 0; at < node->waiting_count; at++) {
        const char *address = node->waiting[at].address;
        if (node->now_ms - node->waiting[at].since_ms >= WAITING_MS_MAX ||
            is_connected(node, address)) {
            continue;
        }
        if (may_wait(node, node->waiting[at].uid) || !may_connect(node)) {
            node->waiting[kept++] = node->waiting[at];
        } else {
            connect_now(node, address);
        }
    }
    node->waiting_count = kept;
}
