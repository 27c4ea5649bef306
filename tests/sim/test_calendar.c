#include "sim/calendar.h"

#include <stdlib.h>

#include "base/rng.h"
#include "support/za_test.h"

enum { ENTRIES = 4000 };

typedef struct item {
    za_entry_t entry;
    uint32_t number;
} item_t;

// A heap of the same entries would give the same order: earliest first, and of equals the first added.
Test(calendar, takes_entries_by_time_and_then_in_the_order_of_adding)
{
    za_calendar_t *calendar = calloc(1, sizeof *calendar);
    item_t *items = calloc(ENTRIES, sizeof *items);
    za_rng_t rng;
    za_rng_init(&rng, 7);
    uint32_t added = 0;
    uint32_t taken = 0;
    uint64_t now = 0;
    uint32_t last = 0;
    while (taken < ENTRIES) {
        uint64_t choice = za_rng_below(&rng, 2);
        if (added < ENTRIES && choice == 0) {
            // All scales, and many ties.
            uint64_t bits = za_rng_below(&rng, 40);
            uint64_t ahead = za_rng_below(&rng, UINT64_C(1) << bits) & ~UINT64_C(3);
            items[added].entry.at = now + ahead;
            items[added].number = added;
            za_calendar_add(calendar, &items[added++].entry);
            continue;
        }
        item_t *item = (item_t *)za_calendar_take(calendar, UINT64_MAX);
        if (item == NULL) {
            cr_assert(added == taken, "%u of %u entries are lost", added - taken, added);
            continue;
        }
        cr_assert(item->entry.at >= now, "time goes back");
        bool tie = taken > 0 && item->entry.at == now && items[last].entry.at == now;
        cr_assert(!tie || item->number > last, "%u before %u", last, item->number);
        now = item->entry.at;
        last = item->number;
        taken++;
    }
    free(items);
    free(calendar);
}

// Whoever looks ahead without taking must still be able to add what comes before.
Test(calendar, does_not_pass_the_time_it_was_asked_for)
{
    za_calendar_t *calendar = calloc(1, sizeof *calendar);
    item_t far = { { 5000000, NULL }, 1 };
    item_t near = { { 4600, NULL }, 2 };
    za_calendar_add(calendar, &far.entry);
    cr_assert(za_calendar_take(calendar, 4500) == NULL, "nothing is due yet");
    za_calendar_add(calendar, &near.entry);
    cr_assert(za_calendar_take(calendar, 4999999) == &near.entry, "the nearer one first");
    cr_assert(za_calendar_take(calendar, 4999999) == NULL, "the other is not due");
    cr_assert(za_calendar_take(calendar, 5000000) == &far.entry, "it is due at its time");
    cr_assert(za_calendar_take(calendar, UINT64_MAX) == NULL, "that was all");
    free(calendar);
}
