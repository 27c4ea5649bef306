/**
 * Aside: messages that left the mailbox and wait beside it, oldest first.
 *
 * An actor has two such lists in za_extra_t. `stash` holds what its handlers put aside with
 * ZA_STASH. `replay` holds what goes ahead of the mailbox; while it is not empty the actor is
 * ZA_STATUS_REPLAYING, so that the usual path pays for neither.
 *
 * Order    First in, first out. What is replayed was in the mailbox before all that is there now.
 * Memory   Allocates nothing: linked by block.next, which is free once a message left the mailbox.
 * Threads  The owner of the actor.
 */
#pragma once

#include "core/message.h"

/** Zero is an empty list. */
typedef struct za_aside {
    za_message_t *first;
    za_message_t *last;
    uint32_t count;
} za_aside_t;

static inline void za_aside_push(za_aside_t *list, za_message_t *message)
{
    // relaxed, all here: the lists are the owner's
    atomic_store_explicit(&message->block.next, NULL, memory_order_relaxed);
    if (list->last == NULL) {
        list->first = message;
    } else {
        atomic_store_explicit(&list->last->block.next, &message->block, memory_order_relaxed);
    }
    list->last = message;
    list->count++;
}

/** The oldest, now the caller's; NULL: the list is empty. */
static inline za_message_t *za_aside_pop(za_aside_t *list)
{
    za_message_t *message = list->first;
    if (message != NULL) {
        list->first =
            (za_message_t *)atomic_load_explicit(&message->block.next, memory_order_relaxed);
        list->last = list->first == NULL ? NULL : list->last;
        list->count--;
    }
    return message;
}

/** Moves all of `older` ahead of `list`. */
static inline void za_aside_prepend(za_aside_t *list, za_aside_t *older)
{
    if (older->last == NULL) {
        return;
    }
    atomic_store_explicit(&older->last->block.next, (za_block_t *)list->first,
                          memory_order_relaxed);
    list->first = older->first;
    list->last = list->last == NULL ? older->last : list->last;
    list->count += older->count;
    *older = (za_aside_t){ 0 };
}
