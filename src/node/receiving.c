// What arrives on a link: frames for the cluster, messages for actors, requests of a client. Runs in the
// owner.

#include <string.h>

#include "node/admin.h"
#include "node/link.h"

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
    za_peer_use(link->peer);
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
        za_link_refused(node, link->we_connected ? "to" : "from", link->address,
                        event->closed.problem);
    } else {
        za_node_log(node, ZA_DEBUG, "connection with %s ended: %s", link->address,
                    event->closed.problem);
    }
    za_link_close(link, event->closed.err);
}

void za_link_on_event(za_node_t *node, za_link_t *link, const za_session_event_t *event)
{
    switch (event->type) {
    case ZA_SESSION_GREETED:
        za_link_on_greeted(node, link, &event->peer);
        break;
    case ZA_SESSION_ESTABLISHED:
        za_link_on_established(node, link, &event->peer);
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
