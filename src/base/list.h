/**
 * List: intrusive, in both directions, a ring through its head. An item leaves without a search.
 *
 * Memory   Allocates nothing. An item is in one list at a time.
 * Threads  One owner.
 */
#pragma once

#include <stdbool.h>

#include "base/container.h"

/** A head, or the link in an item. */
typedef struct za_list {
    struct za_list *next;
    struct za_list *previous;
} za_list_t;

/** Makes an empty list, or an item that is in none. */
static inline void za_list_init(za_list_t *list)
{
    list->next = list;
    list->previous = list;
}

static inline bool za_list_is_empty(const za_list_t *list)
{
    return list->next == list;
}

/** Puts `item`, which is in no list, behind all others. */
static inline void za_list_append(za_list_t *list, za_list_t *item)
{
    item->next = list;
    item->previous = list->previous;
    list->previous->next = item;
    list->previous = item;
}

/** Takes `item` out of the list it is in, if it is in one. */
static inline void za_list_remove(za_list_t *item)
{
    item->previous->next = item->next;
    item->next->previous = item->previous;
    za_list_init(item);
}
