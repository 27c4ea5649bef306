// Who is let in: what a session says of its peer, until it is the link of a member or a client's. Runs
// in the owner.

#include <stdio.h>

#include "node/link.h"

static void refuse(za_node_t *node, za_link_t *link, za_links_verdict_t verdict)
{
    link->duplicate = verdict == ZA_LINKS_REFUSE || verdict == ZA_LINKS_REPLACE;
    if (link->duplicate) {
        ZA_COUNT(node, links_refused, 1); // the others are counted where they are logged
    }
    za_session_close(link->session, link->duplicate ? ZA_GOODBYE_REPLACED : ZA_GOODBYE_REFUSED,
                     link->duplicate            ? "another connection of this pair stays"
                     : verdict == ZA_LINKS_SELF ? "this is the node itself"
                                                : "no room for another peer");
    link->goodbye = true;
}

static void replace(za_link_t *old)
{
    old->goodbye = true;
    old->told_down = true; // the new link's LINK_UP says it
    za_link_say_goodbye(old, ZA_GOODBYE_REPLACED, "a newer connection takes its place", ZA_ECLOSED);
}

void za_link_on_greeted(za_node_t *node, za_link_t *link, const za_session_peer_t *peer)
{
    if (peer->role != ZA_ROLE_MEMBER) {
        za_session_accept(link->session, 0, node->now_ms);
        return;
    }
    za_links_verdict_t verdict = ZA_LINKS_ACCEPT;
    uint32_t epoch = peer->link_epoch;
    void *old = NULL;
    if (link->we_connected) {
        verdict = za_links_propose(node->link_rules, peer->uid, &epoch);
    } else {
        verdict =
            za_links_establish(node->link_rules, peer->uid, epoch, ZA_SIDE_SERVER, link, &old);
    }
    if (verdict == ZA_LINKS_REPLACE) {
        replace(old);
        verdict = ZA_LINKS_ACCEPT;
    }
    if (verdict != ZA_LINKS_ACCEPT) {
        refuse(node, link, verdict);
        return;
    }
    link->peer_uid = peer->uid;
    za_session_accept(link->session, epoch, node->now_ms);
}

static bool settle_rules(za_node_t *node, za_link_t *link, const za_session_peer_t *info)
{
    if (!link->we_connected) {
        return true; // settled when it greeted
    }
    void *old = NULL;
    za_links_verdict_t verdict = za_links_establish(node->link_rules, info->uid, info->link_epoch,
                                                    ZA_SIDE_CLIENT, link, &old);
    if (verdict == ZA_LINKS_REPLACE) {
        replace(old);
        verdict = ZA_LINKS_ACCEPT;
    }
    if (verdict != ZA_LINKS_ACCEPT) {
        refuse(node, link, verdict);
        return false;
    }
    return true;
}

/** A uid whose end was told may come back to hear of it, but nothing of it is delivered any more. */
static void mark_terminal(za_node_t *node, za_peer_t *peer, uint64_t uid)
{
    za_member_info_t info;
    if (za_cluster_find_member(node->cluster, uid, &info) && info.state >= ZA_MEMBER_LEFT) {
        atomic_store_explicit(&peer->terminal, true,
                              memory_order_relaxed); // a late look is as good
    }
}

void za_link_on_established(za_node_t *node, za_link_t *link, const za_session_peer_t *info)
{
    link->roles = info->role;
    if (info->role != ZA_ROLE_MEMBER) {
        link->state = ZA_LINK_CLIENT;
        return;
    }
    if (!settle_rules(node, link, info)) {
        return;
    }
    za_peer_t *peer = za_peer_claim(node, info->uid, info->name);
    if (peer == NULL || za_peer_lanes(node, peer) == NULL) {
        refuse(node, link, ZA_LINKS_FULL);
        return;
    }
    mark_terminal(node, peer, info->uid);
    link->state = ZA_LINK_MEMBER;
    link->peer_uid = info->uid;
    link->peer = peer;
    snprintf(link->address, sizeof link->address, "%s", info->address);
    za_peer_begin_link(node, peer);
    za_peer_link(peer, link);
    ZA_COUNT(node, links_opened, 1);
    za_node_step(node, &(za_cluster_event_t){ .type = ZA_CLUSTER_LINK_UP,
                                              .uid = info->uid,
                                              .name = info->name,
                                              .address = info->address });
}
