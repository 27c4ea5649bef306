#include "core/spread.h"
#include "support/za_test.h"

enum { MS = 1000 * 1000, WORKERS = 4 };

static za_spread_t spread;
static uint64_t now_ns = MS;
static uint64_t handled;

/** So many messages get done in a millisecond by 1, 2, 3, 4 workers. */
typedef struct speed {
    uint64_t rate[WORKERS];
} speed_t;

/** Lets time pass; answers in how many of 1,000 periods `allowed` workers were. */
static int pass(const speed_t *speed, uint32_t allowed)
{
    int count = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t now = za_spread_allowed(&spread);
        count += now == allowed;
        now_ns += 2 * MS;
        handled += 2 * speed->rate[now - 1];
        if (now < WORKERS) {
            za_spread_want(&spread);
        }
        cr_assert(za_spread_is_due(&spread, now_ns), "a period is over");
        za_spread_decide(&spread, handled, now_ns);
    }
    return count;
}

Test(spread, allows_all_workers_at_first)
{
    za_spread_init(&spread, WORKERS);
    cr_assert(za_spread_allowed(&spread) == WORKERS, "nothing is known yet");
}

Test(spread, keeps_the_work_on_one_worker_where_more_are_slower)
{
    za_spread_init(&spread, WORKERS);
    const speed_t worse = { { 60000, 30000, 25000, 20000 } };
    cr_assert(pass(&worse, 1) > 950, "trials are rare");
}

Test(spread, allows_all_where_each_makes_it_faster)
{
    za_spread_init(&spread, WORKERS);
    const speed_t better = { { 60000, 110000, 160000, 200000 } };
    cr_assert(pass(&better, WORKERS) > 950, "trials are rare");
}

Test(spread, finds_the_best_number_between)
{
    za_spread_init(&spread, WORKERS);
    const speed_t two = { { 60000, 110000, 70000, 50000 } };
    cr_assert(pass(&two, 2) > 900, "two workers are best");
}

Test(spread, follows_a_change)
{
    za_spread_init(&spread, WORKERS);
    const speed_t worse = { { 60000, 30000, 25000, 20000 } };
    const speed_t better = { { 60000, 110000, 160000, 200000 } };
    pass(&worse, 1);
    pass(&better, WORKERS);
    cr_assert(pass(&better, WORKERS) > 950, "it found out");
    pass(&worse, 1);
    cr_assert(pass(&worse, 1) > 950, "and back");
}

Test(spread, restricts_nobody_where_messages_are_few)
{
    za_spread_init(&spread, WORKERS);
    const speed_t worse = { { 60000, 30000, 25000, 20000 } };
    const speed_t few = { { 400, 300, 200, 100 } };
    pass(&worse, 1);
    cr_assert(pass(&few, WORKERS) > 990, "a slow handler has company at once");
}

Test(spread, lets_one_worker_step_back_in_a_period)
{
    za_spread_init(&spread, WORKERS);
    za_spread_decide(&spread, handled, now_ns);
    cr_assert(za_spread_retires(&spread), "one");
    cr_assert(!za_spread_retires(&spread), "only one");
    za_spread_decide(&spread, handled, now_ns + 2 * MS);
    cr_assert(za_spread_retires(&spread), "one in the next");
}
