// Whom to connect to, and when. Runs in the owner.

#include <stdio.h>
#include <string.h>

#include "base/pages.h"
#include "node/link.h"

enum {
    CONNECT_QUICK_MS = 200, // who does not answer by then keeps nobody else waiting
    WAITING_MS_MAX = 5000,  // the cluster asks again for what it still wants
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

static bool waits(const za_node_t *node, const char *address)
{
    for (uint32_t i = 0; i < node->waiting_count; i++) {
        if (strcmp(node->waiting[i].address, address) == 0) {
            return true;
        }
    }
    return false;
}

void za_link_connect(za_node_t *node, const char *address)
{
    if (is_connected(node, address) || waits(node, address)) {
        return;
    }
    if (node->waiting_count == 0 && may_connect(node)) {
        connect_now(node, address);
    } else if (node->waiting_count < ZA_WAITING_MAX) { // else the cluster asks again
        uint32_t at = node->waiting_count++;
        snprintf(node->waiting[at].address, sizeof node->waiting[at].address, "%s", address);
        node->waiting[at].since_ms = node->now_ms;
    }
}

void za_links_connect_waiting(za_node_t *node)
{
    uint32_t done = 0;
    while (done < node->waiting_count) {
        const char *address = node->waiting[done].address;
        bool wanted = node->now_ms - node->waiting[done].since_ms < WAITING_MS_MAX &&
                      !is_connected(node, address);
        if (wanted && !may_connect(node)) {
            break;
        }
        if (wanted) {
            connect_now(node, address);
        }
        done++;
    }
    node->waiting_count -= done;
    memmove(node->waiting, node->waiting + done, node->waiting_count * sizeof *node->waiting);
}
