// Requests of workers and foreign threads to the owner of the loop: whatever touches the cluster.

#include <stdlib.h>
#include <string.h>

#include "node/state.h"

za_request_t *za_request_create(za_node_t *node, za_worker_t *worker, size_t bytes, bool must)
{
    size_t size = sizeof(za_request_t) + bytes;
    za_message_t *block = za_message_alloc(worker, size);
    za_request_t *request = NULL;
    if (block != NULL) {
        request = za_message_body(block);
    } else if (must) {
        // The end of an actor is news that must arrive: not a message path, so the heap may serve.
        request = malloc(size);
        if (request == NULL) {
            za_node_log(node, ZA_ERROR, "out of memory: a request to the cluster is lost");
            return NULL;
        }
    } else {
        return NULL;
    }
    memset(request, 0, size);
    request->block = block;
    return request;
}

void za_request_destroy(za_worker_t *worker, za_request_t *request)
{
    if (request->block != NULL) {
        za_message_free(worker, request->block);
    } else {
        free(request);
    }
}

void za_request_post(za_node_t *node, za_request_t *request)
{
    za_queue_push(&node->inbox, &request->link);
    // One kick until the owner has looked. seq_cst against the owner's clear-then-pop: either it
    // sees the request or we see its clear.
    if (!atomic_exchange_explicit(&node->inbox_kicked, true, memory_order_seq_cst)) {
        node->params.kick(node->params.kick_context);
    }
}

za_err_t za_request_event(za_node_t *node, za_worker_t *worker, const za_cluster_event_t *event,
                          bool must)
{
    size_t name_bytes = event->name == NULL ? 0 : strlen(event->name) + 1;
    za_request_t *request = za_request_create(node, worker, name_bytes, must);
    if (request == NULL) {
        return must ? ZA_ENOMEM : ZA_ENOBUFS;
    }
    request->kind = ZA_REQUEST_EVENT;
    request->event = *event;
    if (name_bytes > 0) {
        memcpy(request->bytes, event->name, name_bytes);
        request->event.name = (const char *)request->bytes;
    }
    za_request_post(node, request);
    return ZA_OK;
}

static void subscribe(za_node_t *node, uint64_t actor, const za_class_t *class_)
{
    for (uint32_t i = 0; i < node->subscriber_count; i++) {
        if (node->subscribers[i].actor == actor) {
            za_node_replay_members(node, actor, class_); // it was restarted and knows nothing
            return;
        }
    }
    if (node->subscriber_count == ZA_SUBSCRIBERS_MAX) {
        za_node_log(node, ZA_WARN, "more than %d actors listen to membership: one hears nothing",
                    ZA_SUBSCRIBERS_MAX);
        return;
    }
    node->subscribers[node->subscriber_count++] = (za_subscriber_t){ actor, class_ };
    za_node_replay_members(node, actor, class_);
}

static void unsubscribe(za_node_t *node, uint64_t actor)
{
    for (uint32_t i = 0; i < node->subscriber_count; i++) {
        if (node->subscribers[i].actor == actor) {
            // In order: subscribers are told in the order in which they came.
            memmove(&node->subscribers[i], &node->subscribers[i + 1],
                    (node->subscriber_count - i - 1) * sizeof *node->subscribers);
            node->subscriber_count--;
            return;
        }
    }
}

static void handle(za_node_t *node, za_request_t *request)
{
    switch (request->kind) {
    case ZA_REQUEST_EVENT:
        if (request->event.type == ZA_CLUSTER_ACTOR_STOPPED) {
            unsubscribe(node, request->event.actor);
            za_listeners_forget(node, request->event.actor);
        }
        if (request->event.type == ZA_CLUSTER_REGISTER && node->params.wall_ms != NULL) {
            request->event.wall_ms = node->params.wall_ms(node->params.now_context);
        }
        za_node_step(node, &request->event);
        break;
    case ZA_REQUEST_SUBSCRIBE:
        subscribe(node, request->event.actor, request->class_);
        break;
    case ZA_REQUEST_LISTEN:
        za_listeners_add(node, request->event.actor, request->event.kind,
                         (const char *)request->bytes);
        break;
    case ZA_REQUEST_UNLISTEN:
        za_listeners_remove(node, request->event.actor, request->event.kind,
                            (const char *)request->bytes);
        break;
    case ZA_REQUEST_QUERY_MEMBER:
        za_node_tell_member(node, request->event.actor, request->event.uid);
        break;
    case ZA_REQUEST_QUERY_NAME:
        za_node_tell_name(node, request->event.actor, (const char *)request->bytes);
        break;
    case ZA_REQUEST_ARM_WRITE:
        if (request->target->generation == request->event.id) {
            za_link_arm_write(request->target);
        }
        break;
    case ZA_REQUEST_GREETED:
        za_link_greeted(request->target);
        break;
    case ZA_REQUEST_CLOSE_LINK:
        if (request->target->generation == request->event.id) {
            za_link_close(request->target, request->event.err);
        }
        break;
    }
}

void za_inbox_drain(za_node_t *node)
{
    atomic_store_explicit(&node->inbox_kicked, false, memory_order_seq_cst); // see za_request_post
    for (int i = 0; i < ZA_INBOX_BATCH_MAX; i++) {
        za_queue_node_t *item = za_queue_pop(&node->inbox);
        if (item == NULL) {
            return;
        }
        za_request_t *request = ZA_CONTAINER(item, za_request_t, link);
        handle(node, request);
        za_request_destroy(node->worker, request);
    }
    // More is waiting: come again, after the input that has arrived meanwhile.
    if (!atomic_exchange_explicit(&node->inbox_kicked, true, memory_order_seq_cst)) {
        node->params.kick(node->params.kick_context);
    }
}
