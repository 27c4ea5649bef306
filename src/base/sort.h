/**
 * Sort: heap sort in place (J. W. J. Williams, Algorithm 232, 1964) of items that only their owner
 * knows: O(n log n) at worst, without memory or recursion, so that a handler may sort in passing.
 * Equal items end in any order.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct za_sort {
    bool (*before)(const void *items, uint32_t a, uint32_t b);
    void (*swap)(void *items, uint32_t a, uint32_t b);
} za_sort_t;

/** Of the heap of `count` items whose largest is first: makes it one again, where `at` may be too small. */
static inline void za_sort_sift(const za_sort_t *sort, void *items, uint32_t count, uint32_t at)
{
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && sort->before(items, child, child + 1)) {
            child++;
        }
        if (!sort->before(items, at, child)) {
            return;
        }
        sort->swap(items, at, child);
        at = child;
    }
}

static inline void za_sort(const za_sort_t *sort, void *items, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) {
        za_sort_sift(sort, items, count, i - 1);
    }
    for (uint32_t last = count; last > 1; last--) {
        sort->swap(items, 0, last - 1);
        za_sort_sift(sort, items, last - 1, 0);
    }
}
