/**
 * Queue: intrusive, many producers, one consumer at a time (Vyukov 2010).
 *
 * Order    Items of one producer come out in the order they went in.
 * Memory   Allocates nothing; an item belongs to the queue from push to pop.
 * Threads  Push from any thread, wait-free. Pop by one thread at a time; whoever hands the right to
 *          pop over must synchronise (the flag of a link, the owner flag of the loop).
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

#include "base/container.h"

typedef struct za_queue_node {
    struct za_queue_node *_Atomic next;
} za_queue_node_t;

typedef struct za_queue {
    _Alignas(64) za_queue_node_t *_Atomic newest; // producers
    _Alignas(64) za_queue_node_t *oldest;         // consumer
    za_queue_node_t stub;                         // keeps the list non-empty
} za_queue_t;

static inline void za_queue_init(za_queue_t *queue)
{
    atomic_init(&queue->stub.next, NULL);
    atomic_init(&queue->newest, &queue->stub);
    queue->oldest = &queue->stub;
}

static inline void za_queue_push(za_queue_t *queue, za_queue_node_t *node)
{
    // relaxed: the node is still ours alone.
    atomic_store_explicit(&node->next, NULL, memory_order_relaxed);
    za_queue_node_t *previous =
        atomic_exchange_explicit(&queue->newest, node, memory_order_acq_rel);
    atomic_store_explicit(&previous->next, node, memory_order_release); // pairs: queue-link
}

/** The oldest item; NULL if there is none, or if its push is not complete yet. */
static inline za_queue_node_t *za_queue_pop(za_queue_t *queue)
{
    za_queue_node_t *oldest = queue->oldest;
    za_queue_node_t *next =
        atomic_load_explicit(&oldest->next, memory_order_acquire); // pairs: queue-link
    if (oldest == &queue->stub) {
        if (next == NULL) {
            return NULL;
        }
        queue->oldest = oldest = next;
        next = atomic_load_explicit(&oldest->next, memory_order_acquire); // pairs: queue-link
    }
    if (next == NULL) {
        if (atomic_load_explicit(&queue->newest, memory_order_acquire) != oldest) {
            return NULL; // a producer is between its exchange and its link
        }
        za_queue_push(queue, &queue->stub);
        next = atomic_load_explicit(&oldest->next, memory_order_acquire); // pairs: queue-link
        if (next == NULL) {
            return NULL;
        }
    }
    queue->oldest = next;
    return oldest;
}

/** The oldest item without taking it, as za_queue_pop. */
static inline za_queue_node_t *za_queue_peek(za_queue_t *queue)
{
    za_queue_node_t *oldest = queue->oldest;
    if (oldest == &queue->stub) {
        oldest = atomic_load_explicit(&oldest->next, memory_order_acquire); // pairs: queue-link
        if (oldest != NULL) {
            queue->oldest = oldest;
        }
    }
    return oldest;
}
