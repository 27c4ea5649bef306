/**
 * Sort: heap sort in place (J. W. J. Williams, Algorithm 232, 1964), for what qsort is for: O(n log n)
 * at worst, and without memory or recursion, so that a handler may sort in passing. Equal items end in
 * any order.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { ZA_SORT_ITEM_MAX = 64 };

/** Items of `bytes` each, at most ZA_SORT_ITEM_MAX; `before` says whether `a` belongs before `b`. */
typedef struct za_sort {
    uint32_t bytes;
    bool (*before)(const void *a, const void *b);
} za_sort_t;

static inline void za_sort_swap(const za_sort_t *sort, char *a, char *b)
{
    char kept[ZA_SORT_ITEM_MAX];
    memcpy(kept, a, sort->bytes);
    memcpy(a, b, sort->bytes);
    memcpy(b, kept, sort->bytes);
}

/** Of the heap of `count` items whose largest is first: makes it one again, where `at` may be too small. */
static inline void za_sort_sift(const za_sort_t *sort, char *items, uint32_t count, uint32_t at)
{
    size_t bytes = sort->bytes;
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && sort->before(items + child * bytes, items + (child + 1) * bytes)) {
            child++;
        }
        if (!sort->before(items + at * bytes, items + child * bytes)) {
            return;
        }
        za_sort_swap(sort, items + at * bytes, items + child * bytes);
        at = child;
    }
}

static inline void za_sort(const za_sort_t *sort, void *items, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) {
        za_sort_sift(sort, items, count, i - 1);
    }
    for (uint32_t last = count; last > 1; last--) {
        za_sort_swap(sort, items, (char *)items + (last - 1) * (size_t)sort->bytes);
        za_sort_sift(sort, items, last - 1, 0);
    }
}
