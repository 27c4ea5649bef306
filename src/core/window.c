#include "core/window.h"

#include "base/assert.h"

/** Events for which one time stands. */
static uint32_t group_of(uint32_t max)
{
    return max / ZA_WINDOW_TIMES_MAX + (max % ZA_WINDOW_TIMES_MAX != 0);
}

bool za_window_admit(za_window_t *window, za_pool_t *pool, uint32_t max, uint32_t within_ms,
                     uint64_t now_ms)
{
    ZA_ASSERT(max > 0);
    uint32_t group = group_of(max);
    // The first of each group that overlaps with the last `max` events: one more than would fill it.
    uint32_t size = max / group + 2;
    if (window->times == NULL) {
        // Beyond the bound: what failed for want of memory shall not end for want of memory.
        window->times =
            za_pool_alloc(pool, sizeof(za_block_t) + size * sizeof(uint64_t), ZA_POOL_BEYOND);
        if (window->times == NULL) {
            return false;
        }
    }
    uint64_t *times = (uint64_t *)(void *)(window->times + 1);
    if (window->count >= max) {
        uint64_t since_ms = times[(window->count - max) / group % size];
        if (now_ms - since_ms <= within_ms) {
            return false;
        }
    }
    if (window->count % group == 0) {
        times[window->count / group % size] = now_ms;
    }
    window->count++;
    return true;
}

void za_window_deinit(za_window_t *window, za_pool_t *pool)
{
    if (window->times != NULL) {
        za_pool_free(pool, window->times);
    }
    *window = (za_window_t){ 0 };
}
