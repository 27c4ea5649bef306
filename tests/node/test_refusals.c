#include "node/refusals.h"

#include "support/za_test.h"

enum { MANY = 1000, WHILE_MS = 10000, AGAIN_MS = 60000 };

/** Lines of `count` that are all new. */
static uint32_t lines_of(za_refusals_t *refusals, uint64_t now_ms, uint32_t count)
{
    static uint64_t key = 1000;
    uint32_t lines = 0;
    za_refusal_line_t line;
    for (uint32_t i = 0; i < count; i++) {
        lines += za_refusals_step(refusals, ++key, now_ms, &line);
    }
    return lines;
}

static bool has_line(za_refusals_t *refusals, uint64_t key, uint64_t now_ms)
{
    za_refusal_line_t line;
    return za_refusals_step(refusals, key, now_ms, &line);
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
    za_refusal_line_t line;
    cr_assert(za_refusals_step(&refusals, 1, 0, &line) && line.untold == 0);
    uint32_t lines = 1 + lines_of(&refusals, 0, MANY);
    cr_assert(za_refusals_step(&refusals, 2, WHILE_MS, &line));
    cr_expect(line.untold == MANY + 1 - lines, "%u", (unsigned)line.untold);
    cr_assert(za_refusals_step(&refusals, 3, WHILE_MS, &line));
    cr_expect(line.untold == 0, "told once");
}

// A node of another cluster comes again and again.
Test(refusals, the_same_again_has_a_line_a_minute_with_how_often_it_was)
{
    za_refusals_t refusals = { 0 };
    za_refusal_line_t line;
    uint64_t start_ms = 5; // a node that has just started
    cr_assert(za_refusals_step(&refusals, 7, start_ms, &line) && line.times == 1);
    for (uint32_t i = 1; i <= 59; i++) {
        cr_expect(!has_line(&refusals, 7, start_ms + i * 1000), "after %u s", i);
    }
    cr_assert(za_refusals_step(&refusals, 7, start_ms + AGAIN_MS, &line), "a minute is over");
    cr_expect(line.times == 60 && line.untold == 0, "%u", (unsigned)line.times);
}

Test(refusals, another_has_its_line_at_once)
{
    za_refusals_t refusals = { 0 };
    for (uint64_t key = 1; key <= ZA_REFUSALS_RECENT_MAX; key++) {
        cr_expect(has_line(&refusals, key, key * 1000));
    }
    cr_expect(!has_line(&refusals, 1, 40000), "none is forgotten while there is room");
    cr_expect(has_line(&refusals, 99, 41000), "one more");
    cr_expect(has_line(&refusals, 1, 42000), "the one told of longest ago is forgotten");
    cr_expect(!has_line(&refusals, 3, 43000), "the others are not");
}

// In a flood; else whoever comes again would have no line for a minute more.
Test(refusals, who_had_no_line_has_the_next_one)
{
    za_refusals_t refusals = { 0 };
    (void)lines_of(&refusals, 0, MANY);
    cr_assert(!has_line(&refusals, 7, 0), "there was no room");
    cr_expect(has_line(&refusals, 7, WHILE_MS), "now there is");
}

Test(refusals, who_had_no_line_when_its_minute_was_over_loses_no_count)
{
    za_refusals_t refusals = { 0 };
    za_refusal_line_t line;
    for (uint64_t key = 1; key <= 12; key++) {
        cr_assert(has_line(&refusals, key, 0));
    }
    cr_assert(!has_line(&refusals, 7, 1000));
    for (uint64_t key = 101; key <= 120; key++) { // all that there is room for; 7 is remembered
        cr_assert(has_line(&refusals, key, AGAIN_MS));
    }
    cr_assert(!has_line(&refusals, 7, AGAIN_MS), "no room");
    cr_assert(za_refusals_step(&refusals, 7, AGAIN_MS + WHILE_MS, &line), "room");
    cr_expect(line.times == 3, "%u", (unsigned)line.times);
}
