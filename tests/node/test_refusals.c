#include "node/refusals.h"

#include "support/za_test.h"

enum { MANY = 1000, WHILE_MS = 10000 };

static uint32_t lines_of(za_refusals_t *refusals, uint64_t now_ms, uint32_t count)
{
    uint32_t lines = 0;
    uint64_t untold;
    for (uint32_t i = 0; i < count; i++) {
        lines += za_refusals_step(refusals, now_ms, &untold);
    }
    return lines;
}

Test(refusals, few_are_all_told)
{
    za_refusals_t refusals = { 0 };
    cr_expect(lines_of(&refusals, 500, 5) == 5);
    cr_expect(lines_of(&refusals, 900, 5) == 5);
}

Test(refusals, a_flood_does_not_fill_the_log)
{
    za_refusals_t refusals = { 0 };
    uint32_t lines = lines_of(&refusals, 0, MANY);
    cr_expect(lines >= 10 && lines < 100, "%u", lines);
    cr_expect(lines_of(&refusals, WHILE_MS - 1, MANY) == 0, "the same while");
    cr_expect(lines_of(&refusals, WHILE_MS, MANY) == lines, "the next");
}

Test(refusals, the_next_line_says_how_many_had_none)
{
    za_refusals_t refusals = { 0 };
    uint64_t untold = 99;
    cr_assert(za_refusals_step(&refusals, 0, &untold) && untold == 0);
    uint32_t lines = 1 + lines_of(&refusals, 0, MANY);
    cr_assert(za_refusals_step(&refusals, WHILE_MS, &untold));
    cr_expect(untold == MANY + 1 - lines, "%u", (unsigned)untold);
    cr_assert(za_refusals_step(&refusals, WHILE_MS, &untold));
    cr_expect(untold == 0, "told once");
}

// A node of another cluster comes again and again.
Test(refusals, the_same_again_has_a_line_a_minute_with_how_often_it_was)
{
    za_refusals_t refusals = { 0 };
    uint64_t times = 0;
    uint64_t start_ms = 5; // a node that has just started
    cr_assert(za_refusals_again(&refusals, 7, start_ms, &times) && times == 1);
    for (uint32_t i = 1; i <= 59; i++) {
        cr_expect(!za_refusals_again(&refusals, 7, start_ms + i * 1000, &times), "after %u s", i);
    }
    cr_assert(za_refusals_again(&refusals, 7, start_ms + 60000, &times), "a minute is over");
    cr_expect(times == 60, "%u", (unsigned)times);
}

Test(refusals, another_has_its_line_at_once)
{
    za_refusals_t refusals = { 0 };
    uint64_t times = 0;
    for (uint64_t key = 1; key <= ZA_REFUSALS_RECENT_MAX; key++) {
        cr_expect(za_refusals_again(&refusals, key, key, &times) && times == 1);
    }
    cr_expect(!za_refusals_again(&refusals, 1, 100, &times),
              "none is forgotten while there is room");
    cr_expect(za_refusals_again(&refusals, 99, 200, &times) && times == 1, "one more");
    cr_expect(za_refusals_again(&refusals, 1, 300, &times) && times == 1,
              "the one told of longest ago is forgotten");
    cr_expect(!za_refusals_again(&refusals, 3, 400, &times), "the others are not");
}
