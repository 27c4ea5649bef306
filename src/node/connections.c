// Connections: from a socket to a session to the link of a peer, and back. The owner makes and ends
// them and reads; whoever holds a link's flag writes.

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/pages.h"
#include "node/admin.h"
#include "node/state.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    CONNECT_QUICK_MS = 200,     // who does not answer by then keeps nobody else waiting
    WAITING_MS_MAX = 5000,      // the cluster asks again for what it still wants
    GREETINGS_MAX = 64,         // accepted and not yet known: what a stranger can cost is bounded
    OUT_FILL_BYTES = 48 * 1024, // stop filling here: one more record still fits
};

/* ---- the flag ---------------------------------------------------------------------------------- */

bool za_link_try_hold(za_link_t *link)
{
    uint32_t free = 0;
    return atomic_compare_exchange_strong_explicit(&link->flag, &free, ZA_FLAG_HELD,
                                                   memory_order_acquire, // pairs: link-flag
                                                   memory_order_relaxed);
}

/** The owner's way: a holder is in a flush, which never waits. */
static void hold(za_link_t *link)
{
    while (!za_link_try_hold(link)) {
        sched_yield();
    }
}

static void flush_held(za_link_t *link, za_worker_t *worker);

void za_link_release(za_link_t *link, za_worker_t *worker)
{
    for (;;) {
        uint32_t held = ZA_FLAG_HELD;
        if (atomic_compare_exchange_strong_explicit(&link->flag, &held, 0,
                                                    memory_order_release, // pairs: link-flag
                                                    memory_order_relaxed)) {
            return;
        }
        // Somebody queued frames meanwhile and left them to us. acquire: see their queue.
        atomic_exchange_explicit(&link->flag, ZA_FLAG_HELD, memory_order_acq_rel);
        flush_held(link, worker);
    }
}

void za_link_flush(za_link_t *link, za_worker_t *worker)
{
    for (;;) {
        if (za_link_try_hold(link)) {
            flush_held(link, worker);
            za_link_release(link, worker);
            return;
        }
        uint32_t held = ZA_FLAG_HELD;
        if (atomic_compare_exchange_strong_explicit(&link->flag, &held,
                                                    ZA_FLAG_HELD | ZA_FLAG_AGAIN,
                                                    memory_order_release, // pairs: link-flag
                                                    memory_order_relaxed)) {
            return; // the holder flushes again before it lets go
        }
        // The note is there already. It is written again: to have read it would not show the holder
        // what we queued.
        if (held == (ZA_FLAG_HELD | ZA_FLAG_AGAIN) &&
            atomic_compare_exchange_strong_explicit(&link->flag, &held, held,
                                                    memory_order_release, // pairs: link-flag
                                                    memory_order_relaxed)) {
            return;
        }
    }
}

/* ---- writing: the holder ----------------------------------------------------------------------- */

static void ask_owner(za_link_t *link, za_worker_t *worker, int kind, za_err_t err)
{
    za_request_t *request = za_request_create(link->node, worker, 0, true);
    if (request == NULL) {
        return;
    }
    request->kind = kind;
    request->target = link;
    request->event.err = err;
    request->event.id = link->generation;
    za_request_post(link->node, request);
}

/** False: the socket is full, or broken; the owner knows. */
static bool write_out(za_link_t *link, za_worker_t *worker)
{
    za_node_t *node = link->node;
    link->moved |= link->out_used > 0;
    while (link->out_sent < link->out_used) {
        size_t taken = 0;
        za_err_t err = node->params.transport.ops->write(link->conn, link->out + link->out_sent,
                                                         link->out_used - link->out_sent, &taken);
        ZA_COUNT(node, writes, 1);
        ZA_COUNT(node, bytes_out, taken);
        link->out_sent += (uint32_t)taken;
        if (err != ZA_OK || taken == 0) {
            link->blocked = true;
            ask_owner(link, worker, err == ZA_OK ? ZA_REQUEST_ARM_WRITE : ZA_REQUEST_CLOSE_LINK,
                      err);
            return false;
        }
    }
    link->out_used = link->out_sent = 0;
    return true;
}

/** Moves frames into the session and sealed bytes out of it; false: nothing is left to write. */
static bool fill_out(za_link_t *link, za_worker_t *worker)
{
    bool moved = true;
    while (moved && link->out_used < OUT_FILL_BYTES) {
        moved = link->peer != NULL && za_lanes_fill(link, worker);
        za_session_flush(link->session);
        size_t size = 0;
        do {
            za_session_pull(link->session, link->out + link->out_used,
                            ZA_LINK_OUT_BYTES - link->out_used, &size);
            link->out_used += (uint32_t)size;
            moved |= size > 0;
        } while (size > 0 && link->out_used < ZA_LINK_OUT_BYTES);
    }
    return link->out_used > 0;
}

static void flush_held(za_link_t *link, za_worker_t *worker)
{
    if (link->session == NULL || link->conn == NULL || link->blocked) {
        return;
    }
    while (write_out(link, worker) && fill_out(link, worker)) {
        // until the lanes are empty or the socket is full
    }
    if (link->sent_messages > 0) {
        ZA_COUNT(link->node, messages_out, link->sent_messages);
        link->sent_messages = 0;
    }
}

/* ---- opening and closing: the owner ------------------------------------------------------------- */

static za_link_t *free_link(za_node_t *node)
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

static za_err_t create_session(za_node_t *node, za_link_t *link, za_side_t side)
{
    za_session_config_t config = {
        .cluster = node->cluster_name,
        .cluster_id = node->params.cluster_id,
        .name = node->name,
        .address = node->address,
        .uid = za_node_uid(node),
        .role = ZA_ROLE_MEMBER,
        .draining = atomic_load_explicit(&node->leaving, memory_order_relaxed), // a hint
    };
    return za_session_create(&config, &node->params.security, side, node->now_ms, &link->session);
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
    za_link_t *link = free_link(node);
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

/** Takes the link away from its peer. Nothing of that peer is delivered from now on. */
static void detach(za_link_t *link)
{
    za_peer_t *peer = link->peer;
    if (peer == NULL) {
        return;
    }
    atomic_store_explicit(&peer->link, NULL, memory_order_relaxed); // flushers look under the flag
    if (!link->owner_holds) {
        hold(link);
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
static bool hold_anew(za_link_t *link)
{
    if (link->owner_holds) {
        return false;
    }
    hold(link);
    link->owner_holds = true;
    return true;
}

static void let_go(za_link_t *link)
{
    link->owner_holds = false;
    za_link_release(link, link->node->worker);
}

/**
 * Says goodbye and takes the link away from its peer in one go: a worker that writes at this moment
 * must neither meet the session half-way nor lose messages to one that is over.
 */
static void say_goodbye(za_link_t *link, za_goodbye_t reason, const char *text, za_err_t err)
{
    bool anew = hold_anew(link);
    za_session_close(link->session, reason, text);
    za_link_close(link, err);
    if (anew) {
        let_go(link);
    }
}

void za_link_close_peer(za_node_t *node, uint64_t uid)
{
    za_peer_t *peer = za_peer_find(node, uid);
    za_link_t *link =
        peer == NULL ? NULL : atomic_load_explicit(&peer->link, memory_order_relaxed); // ours
    if (link != NULL) {
        bool anew = hold_anew(link);
        flush_held(link, node->worker); // what the cluster has said before it asked for the end
        link->told_down = true;         // the cluster asked for it
        say_goodbye(link, ZA_GOODBYE_NORMAL, "", ZA_ECLOSED);
        if (anew) {
            let_go(link);
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
            say_goodbye(link, ZA_GOODBYE_NORMAL, "", err);
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
    hold(link);
    if (link->conn != NULL) {
        if (link->session != NULL && link->state != ZA_LINK_CONNECTING) {
            link->blocked = false;
            if (write_out(link, node->worker)) {
                fill_out(link, node->worker);
                write_out(link, node->worker);
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
    for (int i = 0; i < ZA_PEERS_MAX; i++) {
        za_lanes_discard(node, &node->peers[i]);
    }
}

/* ---- what a session says ------------------------------------------------------------------------ */

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
    say_goodbye(old, ZA_GOODBYE_REPLACED, "a newer connection takes its place", ZA_ECLOSED);
}

static void on_greeted(za_node_t *node, za_link_t *link, const za_session_peer_t *peer)
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

typedef struct uid_check {
    uint64_t uid;
    bool ended;
} uid_check_t;

static bool check_uid(const za_member_info_t *info, void *context)
{
    uid_check_t *check = context;
    if (info->uid == check->uid) {
        check->ended = info->state >= ZA_MEMBER_LEFT;
        return false;
    }
    return true;
}

/** A uid whose end was told may come back to hear of it, but nothing of it is delivered any more. */
static void mark_terminal(za_node_t *node, za_peer_t *peer, uint64_t uid)
{
    uid_check_t check = { .uid = uid };
    za_cluster_each_member(node->cluster, check_uid, &check);
    if (check.ended) {
        atomic_store_explicit(&peer->terminal, true,
                              memory_order_relaxed); // a late look is as good
    }
}

static void on_established(za_node_t *node, za_link_t *link, const za_session_peer_t *info)
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
    if (peer == NULL) {
        refuse(node, link, ZA_LINKS_FULL);
        return;
    }
    mark_terminal(node, peer, info->uid);
    link->state = ZA_LINK_MEMBER;
    link->peer_uid = info->uid;
    link->peer = peer;
    snprintf(link->address, sizeof link->address, "%s", info->address);
    za_peer_link(peer, link);
    ZA_COUNT(node, links_opened, 1);
    za_node_step(node, &(za_cluster_event_t){ .type = ZA_CLUSTER_LINK_UP,
                                              .uid = info->uid,
                                              .name = info->name,
                                              .address = info->address });
}

/* ---- what a peer sends --------------------------------------------------------------------------- */

static za_incoming_t incoming_of(const za_link_t *link, const za_wire_message_t *message)
{
    za_ref_t sender = message->sender;
    if (sender.actor != 0 && sender.node == 0) {
        sender.node = link->peer_uid;
    }
    return (za_incoming_t){
        .actor = message->target,
        .sender = sender,
        .type_id = message->type_id,
        .ask = message->ask,
        .reply = message->reply,
        .budget_ms = message->budget_ms,
        .from_uid = link->peer_uid,
    };
}

static void no_room(za_node_t *node, const za_link_t *link, const za_wire_message_t *message)
{
    ZA_COUNT(node, lost_link, 1);
    if (message->ask != 0 && !message->reply) {
        za_node_remote.ask_failed(node, node->worker, incoming_of(link, message).sender,
                                  message->ask, za_Reason_REASON_LIMIT);
    }
}

static bool is_terminal(const za_link_t *link)
{
    return link->peer == NULL ||
           atomic_load_explicit(&link->peer->terminal, memory_order_relaxed); // the owner writes it
}

static void on_message(za_node_t *node, za_link_t *link, const za_wire_message_t *message)
{
    if (is_terminal(link)) {
        ZA_COUNT(node, lost_link, 1);
        return;
    }
    node->received_messages++;
    if (message->failed) {
        za_runtime_ask_failed(node->worker, message->target, message->ask,
                              (za_Reason)message->reason);
        return;
    }
    za_message_t *block = za_message_alloc(node->worker, message->size);
    if (block == NULL) {
        no_room(node, link, message);
        return;
    }
    memcpy(za_message_body(block), message->body, message->size);
    za_incoming_t incoming = incoming_of(link, message);
    za_runtime_deliver(node->worker, &incoming, block, message->size);
}

static void on_bulk_begin(za_node_t *node, za_link_t *link, const za_wire_message_t *message)
{
    if (is_terminal(link)) {
        ZA_COUNT(node, lost_link, 1);
        return; // its chunks will find no slot
    }
    for (int i = 0; i < ZA_BULK_SLOTS; i++) {
        if (link->bulk[i].block == NULL) {
            za_message_t *block = za_message_alloc(node->worker, message->size);
            if (block == NULL) {
                break;
            }
            link->bulk[i].id = message->bulk;
            link->bulk[i].block = block;
            link->bulk[i].envelope = *message;
            return;
        }
    }
    no_room(node, link, message); // its chunks will find no slot
}

static void on_bulk_chunk(za_node_t *node, za_link_t *link, const za_session_event_t *event)
{
    for (int i = 0; i < ZA_BULK_SLOTS; i++) {
        if (link->bulk[i].block == NULL || link->bulk[i].id != event->chunk.bulk) {
            continue;
        }
        uint8_t *body = za_message_body(link->bulk[i].block);
        memcpy(body + event->chunk.offset, event->chunk.bytes, event->chunk.size);
        if (event->chunk.last) {
            za_message_t *block = link->bulk[i].block;
            link->bulk[i].block = NULL;
            node->received_messages++;
            if (node->params.mark != NULL) {
                node->params.mark(node->params.mark_context, ZA_MARK_BULK);
            }
            za_incoming_t incoming = incoming_of(link, &link->bulk[i].envelope);
            za_runtime_deliver(node->worker, &incoming, block, link->bulk[i].envelope.size);
        }
        return;
    }
}

static void serve_client(za_node_t *node, za_link_t *link, const za_frame_t *frame)
{
    size_t size = 0;
    ZA_COUNT(node, admin_requests, 1);
    za_err_t err = za_admin_serve(node->admin, link->roles, frame->payload, frame->size,
                                  node->reply, ZA_ADMIN_REPLY_BYTES_MAX, &size);
    if (err == ZA_OK) {
        err =
            za_session_put_frame(link->session, ZA_FRAME_ADMIN, ZA_LANE_CONTROL, node->reply, size);
    }
    if (err != ZA_OK) {
        za_session_close(link->session, ZA_GOODBYE_PROTOCOL, za_err_text(err));
    }
}

static void on_frame(za_node_t *node, za_link_t *link, const za_frame_t *frame)
{
    if (link->state == ZA_LINK_CLIENT) {
        if (frame->kind == ZA_FRAME_ADMIN) {
            serve_client(node, link, frame);
        }
        return;
    }
    za_cluster_event_t event = { .uid = link->peer_uid,
                                 .bytes = frame->payload,
                                 .size = (uint32_t)frame->size };
    if (frame->kind == ZA_FRAME_DATAGRAM) {
        event.type = ZA_CLUSTER_DATAGRAM;
        event.over_link = true;
        za_node_datagrams_on_linked(node, &event);
        return;
    }
    if (frame->kind == ZA_FRAME_CONTROL || frame->kind == ZA_FRAME_SYSTEM) {
        event.type = ZA_CLUSTER_FRAME;
        event.lane = frame->kind == ZA_FRAME_SYSTEM ? ZA_LANE_SYSTEM : ZA_LANE_CONTROL;
    } else {
        return; // what later versions add
    }
    za_node_step(node, &event);
}

static void on_closed(za_node_t *node, za_link_t *link, const za_session_event_t *event)
{
    link->goodbye |= event->closed.goodbye;
    if (link->state == ZA_LINK_GREETING && !link->duplicate &&
        event->closed.reason != ZA_GOODBYE_REPLACED) {
        ZA_COUNT(node, links_refused, 1);
        za_node_log(node, ZA_WARN, "connection %s %s refused: %s",
                    link->we_connected ? "to" : "from", link->address, event->closed.problem);
    } else {
        za_node_log(node, ZA_DEBUG, "connection with %s ended: %s", link->address,
                    event->closed.problem);
    }
    za_link_close(link, event->closed.err);
}

static void handle_event(za_node_t *node, za_link_t *link, const za_session_event_t *event)
{
    switch (event->type) {
    case ZA_SESSION_GREETED:
        on_greeted(node, link, &event->peer);
        break;
    case ZA_SESSION_ESTABLISHED:
        on_established(node, link, &event->peer);
        break;
    case ZA_SESSION_FRAME:
        on_frame(node, link, &event->frame);
        break;
    case ZA_SESSION_MESSAGE:
        on_message(node, link, &event->message);
        break;
    case ZA_SESSION_BULK_BEGIN:
        on_bulk_begin(node, link, &event->message);
        break;
    case ZA_SESSION_BULK_CHUNK:
        on_bulk_chunk(node, link, event);
        break;
    case ZA_SESSION_CLOSED:
        on_closed(node, link, event);
        break;
    }
}

/** Takes all events out of the session. The owner, holding the flag. */
static void pump_all(za_node_t *node, za_link_t *link)
{
    za_session_event_t event;
    while (!link->closing && za_session_next(link->session, node->now_ms, &event)) {
        handle_event(node, link, &event);
    }
    if (node->received_messages > 0) {
        ZA_COUNT(node, messages_in, node->received_messages);
        node->received_messages = 0;
    }
}

/** As pump_all, but leaves what is expensive to a greeter, when the flag is let go. */
static void pump(za_node_t *node, za_link_t *link)
{
    if (node->greeter_count > 0 && za_session_greeting(link->session)) {
        link->wants_greeter = true;
    } else {
        pump_all(node, link);
    }
}

/** False: a worker flushes, come again. */
static bool owner_try_hold(za_link_t *link)
{
    if (!za_link_try_hold(link)) {
        return false;
    }
    link->owner_holds = true;
    return true;
}

/** Lets go of the flag, or leaves it to a greeter. */
static void owner_release(za_link_t *link)
{
    bool wanted = link->wants_greeter && !link->closing;
    link->wants_greeter = false;
    if (wanted) {
        link->owner_holds = false;
        link->with_greeter = za_greeter_take(link->node, link);
        if (link->with_greeter) {
            return;
        }
        link->owner_holds = true;
        pump_all(link->node, link);
    }
    flush_held(link, link->node->worker);
    link->owner_holds = false;
    za_link_release(link, link->node->worker);
}

void za_link_hand_back(za_link_t *link, za_worker_t *worker)
{
    flush_held(link, worker);
    ask_owner(link, worker, ZA_REQUEST_GREETED, ZA_OK);
}

void za_link_greeted(za_link_t *link)
{
    za_node_t *node = link->node;
    link->with_greeter = false;
    link->owner_holds = true;
    link->blocked = false; // on_writable may have come meanwhile
    if (link->has_event && !link->closing) {
        link->has_event = false;
        handle_event(node, link, &link->event);
    }
    // What follows the handshake in the same bytes: Hello, and events it leads to.
    if (!link->closing && !za_session_greeting(link->session)) {
        pump_all(node, link);
    }
    owner_release(link);
}

/* ---- what the transport says ---------------------------------------------------------------------- */

static uint32_t count_greetings(const za_node_t *node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->links_top; i++) {
        count += node->links[i].state == ZA_LINK_GREETING && !node->links[i].we_connected;
    }
    return count;
}

static void *on_accepted(void *context, za_conn_t *conn, za_listener_t listener, const char *from)
{
    za_node_t *node = context;
    za_node_touch(node);
    // Strangers must not keep the operator out.
    bool room = listener == ZA_LISTENER_ADMIN || count_greetings(node) < GREETINGS_MAX;
    za_link_t *link = room ? free_link(node) : NULL;
    if (link == NULL) {
        ZA_COUNT(node, links_refused, 1);
        return NULL;
    }
    snprintf(link->address, sizeof link->address, "%s", from);
    if (listener == ZA_LISTENER_ADMIN) {
        if (link->admin_in == NULL) {
            link->admin_in = malloc(ZA_ADMIN_REQUEST_BYTES_MAX + ZA_ADMIN_HEADER_BYTES);
        }
        if (link->admin_in == NULL) {
            return NULL;
        }
        link->admin_have = 0;
        link->state = ZA_LINK_LOCAL_ADMIN;
        link->conn = conn;
        return link;
    }
    // Held: a worker may still come to flush the former link of this slot.
    hold_anew(link);
    za_err_t err = create_session(node, link, ZA_SIDE_SERVER);
    if (err == ZA_OK) {
        link->state = ZA_LINK_GREETING;
        link->conn = conn;
        pump(node, link); // without TLS the accepting side speaks first
    }
    owner_release(link);
    return err == ZA_OK ? link : NULL;
}

static void on_connected(void *context, za_err_t err)
{
    za_link_t *link = context;
    za_node_t *node = link->node;
    if (link->closing) {
        return;
    }
    za_node_touch(node);
    if (err != ZA_OK) {
        za_link_close(link, err); // a greeter may have the flag of one that was accepted
        return;
    }
    hold_anew(link); // as in on_accepted
    err = create_session(node, link, ZA_SIDE_CLIENT);
    if (err == ZA_OK) {
        link->state = ZA_LINK_GREETING;
        pump(node, link);
    } else {
        za_link_close(link, err);
    }
    owner_release(link);
}

static void push_bytes(za_node_t *node, za_link_t *link, size_t size)
{
    size_t pushed = 0;
    while (pushed < size && !link->closing) {
        size_t taken = 0;
        za_err_t err = za_session_push(link->session, node->in + pushed, size - pushed, &taken);
        if (err != ZA_OK) {
            za_link_close(link, err);
            return;
        }
        pushed += taken;
        pump(node, link);
        if (taken == 0 && link->wants_greeter) {
            pump_all(node, link); // its input is full: a greeter would come too late
        }
    }
}

static void read_session(za_node_t *node, za_link_t *link)
{
    for (size_t total = 0; total < ZA_LINK_READ_BYTES_MAX && !link->closing;) {
        size_t size = 0;
        za_err_t err =
            node->params.transport.ops->read(link->conn, node->in, ZA_LINK_IN_BYTES, &size);
        if (err != ZA_OK) {
            za_session_eof(link->session, err);
            pump_all(node, link);
            za_link_close(link, err);
            return;
        }
        if (size == 0) {
            return;
        }
        total += size;
        link->moved = true;
        ZA_COUNT(node, bytes_in, size);
        push_bytes(node, link, size);
        if (size < ZA_LINK_IN_BYTES) {
            return; // most likely that was all; readiness tells otherwise
        }
    }
}

/** One request at a time: 4 bytes of length, little-endian, and an AdminRequest; the answer alike. */
static void serve_local(za_node_t *node, za_link_t *link)
{
    uint8_t *in = link->admin_in;
    if (link->out_used > 0 || link->admin_have < ZA_ADMIN_HEADER_BYTES) {
        return;
    }
    uint32_t size = in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
    if (size > ZA_ADMIN_REQUEST_BYTES_MAX) {
        za_link_close(link, ZA_EPROTO);
        return;
    }
    if (link->admin_have < ZA_ADMIN_HEADER_BYTES + size) {
        return;
    }
    size_t reply = 0;
    ZA_COUNT(node, admin_requests, 1);
    za_err_t err =
        za_admin_serve(node->admin, ZA_ROLE_ADMIN, in + ZA_ADMIN_HEADER_BYTES, size,
                       link->out + ZA_ADMIN_HEADER_BYTES, ZA_ADMIN_REPLY_BYTES_MAX, &reply);
    if (err != ZA_OK) {
        za_link_close(link, err);
        return;
    }
    for (int i = 0; i < ZA_ADMIN_HEADER_BYTES; i++) {
        link->out[i] = (uint8_t)(reply >> (8 * i));
    }
    link->out_used = (uint32_t)(ZA_ADMIN_HEADER_BYTES + reply);
    link->admin_have -= ZA_ADMIN_HEADER_BYTES + size;
    memmove(in, in + ZA_ADMIN_HEADER_BYTES + size, link->admin_have);
    write_out(link, node->worker);
}

static void read_local(za_node_t *node, za_link_t *link)
{
    size_t room = ZA_ADMIN_REQUEST_BYTES_MAX + ZA_ADMIN_HEADER_BYTES - link->admin_have;
    size_t size = 0;
    za_err_t err = node->params.transport.ops->read(link->conn, link->admin_in + link->admin_have,
                                                    room, &size);
    if (err != ZA_OK || room == 0) {
        za_link_close(link, err != ZA_OK ? err : ZA_EPROTO);
        return;
    }
    link->admin_have += (uint32_t)size;
    serve_local(node, link);
}

static void on_readable(void *context)
{
    za_link_t *link = context;
    za_node_t *node = link->node;
    if (link->closing || !owner_try_hold(link)) {
        return; // a worker writes: readiness comes again
    }
    za_node_touch(node);
    if (link->state == ZA_LINK_LOCAL_ADMIN) {
        read_local(node, link);
    } else {
        read_session(node, link);
    }
    owner_release(link);
}

static void on_writable(void *context)
{
    za_link_t *link = context;
    if (link->with_greeter) {
        return; // it writes when it is back: to wait for it here may be to wait for this thread
    }
    hold(link);
    link->owner_holds = true;
    link->blocked = false;
    if (link->state == ZA_LINK_LOCAL_ADMIN && write_out(link, link->node->worker)) {
        serve_local(link->node, link);
    }
    owner_release(link);
}

void za_link_arm_write(za_link_t *link)
{
    if (link->conn != NULL && link->blocked && !link->closing) {
        link->node->params.transport.ops->want_write(link->conn);
    }
}

/** A link on which nothing has passed since the last sweep needs no buffers until something does. */
static void rest_quiet(za_link_t *link)
{
    if (!za_link_try_hold(link)) {
        return; // it is in use
    }
    if (link->moved) {
        link->rested = false;
    } else if (!link->rested && link->session != NULL) {
        link->rested = true;
        za_session_rest(link->session);
        if (link->out_used == 0) {
            za_pages_drop(link->out, ZA_LINK_OUT_BYTES);
        }
    }
    link->moved = false;
    za_link_release(link, link->node->worker);
}

void za_links_sweep(za_node_t *node)
{
    for (uint32_t i = 0; i < node->links_top; i++) {
        za_link_t *link = &node->links[i];
        if (link->closing) {
            continue;
        }
        if (link->state == ZA_LINK_CONNECTING &&
            node->now_ms - link->opened_ms >= CONNECT_TIMEOUT_MS) {
            za_link_close(link, ZA_ETIMEOUT);
        } else if (link->state == ZA_LINK_GREETING && owner_try_hold(link)) {
            pump(node, link); // its deadlines
            owner_release(link);
        } else if (link->state == ZA_LINK_MEMBER || link->state == ZA_LINK_CLIENT) {
            rest_quiet(link);
        }
    }
}

const za_transport_events_t za_node_transport_events = {
    .accepted = on_accepted,
    .connected = on_connected,
    .readable = on_readable,
    .writable = on_writable,
    .datagram = za_node_datagrams_on_arrived,
};
