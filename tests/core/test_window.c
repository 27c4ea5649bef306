#include "core/window.h"

#include <string.h>

#include "base/rng.h"
#include "support/za_test.h"

static za_pools_t pools;
static za_pool_t pool;

static void setup(void)
{
    memset(&pools, 0, sizeof pools);
    memset(&pool, 0, sizeof pool);
    za_pools_init(&pools, 1 << 20, 0);
    za_pool_init(&pool, &pools, 0);
}

static void teardown(void)
{
    za_pool_deinit(&pool);
}

Test(window, slides)
{
    setup();
    za_window_t window = { 0 };
    // A tumbling window that began at 0 would allow 100 again at 1001.
    const struct {
        uint64_t now_ms;
        bool admitted;
    } steps[] = { { 0, true },    { 900, true },   { 950, false }, { 1000, false },
                  { 1001, true }, { 1850, false }, { 1901, true }, { 2001, false },
                  { 2002, true }, { 9000, true },  { 9000, true }, { 9000, false } };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        bool admitted = za_window_admit(&window, &pool, 2, 1000, steps[i].now_ms);
        cr_assert(admitted == steps[i].admitted, "step %zu", i);
    }
    za_window_deinit(&window, &pool);
    teardown();
}

enum { EVENTS = 4000 };

static uint64_t model[EVENTS]; // times of all that were admitted
static uint32_t model_count;

static uint32_t model_within(uint64_t now_ms, uint32_t within_ms)
{
    uint32_t count = 0;
    while (count < model_count && now_ms - model[model_count - 1 - count] <= within_ms) {
        count++;
    }
    return count;
}

static void compare(za_rng_t *rng, uint32_t max, uint32_t slack)
{
    za_window_t window = { 0 };
    uint32_t within_ms = 1 + (uint32_t)za_rng_below(rng, 500);
    uint64_t now_ms = 0;
    model_count = 0;
    for (uint32_t i = 0; i < EVENTS; i++) {
        uint64_t step_ms =
            za_rng_below(rng, 4) == 0 ? za_rng_below(rng, 2 * within_ms / max + 3) : 0;
        now_ms += step_ms;
        uint32_t within = model_within(now_ms, within_ms);
        bool admitted = za_window_admit(&window, &pool, max, within_ms, now_ms);
        if (admitted) {
            cr_assert(within < max + slack, "max %u: %u within", max, within);
            model[model_count++] = now_ms;
        } else {
            cr_assert(within >= max, "max %u: refused with %u within", max, within);
        }
    }
    za_window_deinit(&window, &pool);
}

Test(window, is_exact_up_to_its_times)
{
    setup();
    za_rng_t rng;
    za_rng_init(&rng, 7);
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t max =
            round < 20 ? round + 1 : 1 + (uint32_t)za_rng_below(&rng, ZA_WINDOW_TIMES_MAX);
        compare(&rng, max, 0);
    }
    compare(&rng, ZA_WINDOW_TIMES_MAX, 0);
    teardown();
}

Test(window, is_off_by_less_than_a_group_beyond)
{
    setup();
    za_rng_t rng;
    za_rng_init(&rng, 8);
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t max = ZA_WINDOW_TIMES_MAX + 1 + (uint32_t)za_rng_below(&rng, 2000);
        uint32_t group = (max + ZA_WINDOW_TIMES_MAX - 1) / ZA_WINDOW_TIMES_MAX;
        compare(&rng, max, group - 1);
    }
    teardown();
}

Test(window, has_bounded_memory_for_any_limit)
{
    setup();
    za_window_t window = { 0 };
    cr_assert(za_window_admit(&window, &pool, UINT32_MAX, 1000, 0), "the first");
    cr_assert(za_pool_class_bytes(window.times->size_class) <= 4096, "small");
    for (uint64_t i = 1; i < 100000; i++) {
        cr_assert(za_window_admit(&window, &pool, UINT32_MAX, 1000, i), "more");
    }
    za_window_deinit(&window, &pool);
    teardown();
}
