// The end of a link: at once for its peer, and later, outside of callbacks and steps, for the socket. Runs
// in the owner.

#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "node/link.h"

/** Takes the link away from its peer. Nothing of that peer is delivered from now on. */
static void detach(za_link_t *link)
{
    za_peer_t *peer = link->peer;
    if (peer == NULL) {
        return;
    }
    atomic_store_explicit(&peer->link, NULL, memory_order_relaxed); // flushers look under the flag
    if (!link->owner_holds) {
        za_link_hold(link);
    }
    link->peer = NULL;
    link->chunked = NULL; // goes again as a whole over the next link: it was never delivered
    za_lanes_discard_service(link->node, peer);
    if (!link->owner_holds) {
        za_link_release(link, link->node->worker);
    }
    peer->since_ms = link->node->now_ms;
    za_runtime_fail_asks(link->node->worker, link->peer_uid, za_Reason_REASON_LINK_LOST);
}

void za_link_close(za_link_t *link, za_err_t err)
{
    if (link->state == ZA_LINK_FREE || link->closing) {
        return;
    }
    link->closing = true;
    link->close_err = err;
    link->node->closing_count++;
    za_links_remove(link->node->link_rules, link->peer_uid, link);
    detach(link);
}

/** Holds the flag, unless a callback of this link does already: then it answers false. */
bool za_link_hold_anew(za_link_t *link)
{
    if (link->owner_holds) {
        return false;
    }
    za_link_hold(link);
    link->owner_holds = true;
    return true;
}

void za_link_let_go(za_link_t *link)
{
    link->owner_holds = false;
    za_link_release(link, link->node->worker);
}

/**
 * Says goodbye and takes the link away from its peer in one go: a worker that writes at this moment
 * must neither meet the session half-way nor lose messages to one that is over.
 */
void za_link_say_goodbye(za_link_t *link, za_goodbye_t reason, const char *text, za_err_t err)
{
    bool anew = za_link_hold_anew(link);
    za_session_close(link->session, reason, text);
    za_link_close(link, err);
    if (anew) {
        za_link_let_go(link);
    }
}

void za_link_close_peer(za_node_t *node, uint64_t uid)
{
    za_peer_t *peer = za_peer_find(node, uid);
    za_link_t *link =
        peer == NULL ? NULL : atomic_load_explicit(&peer->link, memory_order_relaxed); // ours
    if (link != NULL) {
        bool anew = za_link_hold_anew(link);
        za_link_flush_held(link,
                           node->worker); // what the cluster has said before it asked for the end
        link->told_down = true;           // the cluster asked for it
        za_link_say_goodbye(link, ZA_GOODBYE_NORMAL, "", ZA_ECLOSED);
        if (anew) {
            za_link_let_go(link);
        }
    }
}

void za_link_close_all(za_node_t *node, za_err_t err)
{
    for (uint32_t i = 0; i < node->links_top; i++) {
        za_link_t *link = &node->links[i];
        if (link->with_greeter) {
            za_link_close(link, err); // its session is not ours now
        } else if (link->state == ZA_LINK_GREETING || link->state == ZA_LINK_MEMBER) {
            link->goodbye = true;
            za_link_say_goodbye(link, ZA_GOODBYE_NORMAL, "", err);
        } else if (link->state == ZA_LINK_CONNECTING) {
            za_link_close(link, err);
        }
    }
    za_links_reset(node->link_rules, za_node_uid(node));
}

static void drop_bulks(za_node_t *node, za_link_t *link)
{
    for (int i = 0; i < ZA_BULK_SLOTS; i++) {
        if (link->bulk[i].block != NULL) {
            za_message_free(node->worker, link->bulk[i].block);
            link->bulk[i].block = NULL;
        }
    }
}

/** The physical end. What the session still has to say goes out if the socket takes it at once. */
static void end_link(za_node_t *node, za_link_t *link)
{
    za_link_hold(link);
    if (link->conn != NULL) {
        if (link->session != NULL && link->state != ZA_LINK_CONNECTING) {
            link->blocked = false;
            if (za_link_write_out(link, node->worker)) {
                za_link_fill_out(link, node->worker);
                za_link_write_out(link, node->worker);
            }
        }
        node->params.transport.ops->close(link->conn);
        link->conn = NULL;
    }
    za_session_destroy(link->session);
    link->session = NULL;
    drop_bulks(node, link);
    za_pages_free(link->out, ZA_LINK_OUT_BYTES);
    link->out = NULL;
    za_link_release(link, node->worker);
    link->state = ZA_LINK_FREE;
    link->closing = false;
    node->closing_count--;
    ZA_COUNT(node, links_closed, 1);
}

static void report_end(za_node_t *node, const za_link_t *before)
{
    if (before->state == ZA_LINK_MEMBER && !before->told_down) {
        za_node_step(node,
                     &(za_cluster_event_t){
                         .type = ZA_CLUSTER_LINK_DOWN,
                         .uid = before->peer_uid,
                         .err = before->goodbye ? ZA_OK : before->close_err }); // OK: no evidence
    } else if (before->we_connected &&
               (before->state == ZA_LINK_CONNECTING || before->state == ZA_LINK_GREETING)) {
        za_node_step(node, &(za_cluster_event_t){ .type = ZA_CLUSTER_CONNECT_FAILED,
                                                  .address = before->address,
                                                  .err = before->close_err });
    }
}

void za_links_close_pending(za_node_t *node)
{
    for (uint32_t i = 0; i < node->links_top && node->closing_count > 0; i++) {
        za_link_t *link = &node->links[i];
        if (!link->closing || link->with_greeter) {
            continue; // a greeter gives it back first
        }
        za_link_state_t state = link->state;
        bool goodbye = link->goodbye;
        bool told_down = link->told_down;
        link->goodbye = link->told_down = false;
        end_link(node, link);
        // The slot may be taken again by what the report leads to: look at a copy.
        za_link_t before = { .state = state,
                             .goodbye = goodbye,
                             .told_down = told_down,
                             .peer_uid = link->peer_uid,
                             .we_connected = link->we_connected,
                             .close_err = link->close_err };
        memcpy(before.address, link->address, sizeof before.address);
        report_end(node, &before);
    }
}

void za_links_deinit(za_node_t *node)
{
    for (uint32_t i = 0; i < node->links_top; i++) {
        za_link_t *link = &node->links[i];
        if (link->state != ZA_LINK_FREE) {
            if (link->with_greeter) { // which will not run any more
                link->with_greeter = false;
                atomic_store_explicit(&link->flag, 0, memory_order_relaxed); // the last thread
            }
            za_link_close(link, ZA_ECLOSED);
            end_link(node, link);
        }
        free(link->admin_in);
    }
}
