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
    item_t far = { .entry = { .at = 5000000 }, .number = 1 };
    item_t near = { .entry = { .at = 4600 }, .number = 2 };
    za_calendar_add(calendar, &far.entry);
    cr_assert(za_calendar_take(calendar, 4500) == NULL, "nothing is due yet");
    za_calendar_add(calendar, &near.entry);
    cr_assert(za_calendar_take(calendar, 4999999) == &near.entry, "the nearer one first");
    cr_assert(za_calendar_take(calendar, 4999999) == NULL, "the other is not due");
    cr_assert(za_calendar_take(calendar, 5000000) == &far.entry, "it is due at its time");
    cr_assert(za_calendar_take(calendar, UINT64_MAX) == NULL, "that was all");
    free(calendar);
}

// Whatever is planned anew again and again must leave nothing behind, at any distance from its time.
Test(calendar, gives_back_only_what_was_not_removed)
{
    za_calendar_t *calendar = calloc(1, sizeof *calendar);
    item_t *items = calloc(ENTRIES, sizeof *items);
    bool *there = calloc(ENTRIES, sizeof *there);
    za_rng_t rng;
    za_rng_init(&rng, 9);
    uint64_t now = 0;
    uint32_t count = 0;
    for (uint32_t turn = 0; turn < 40 * ENTRIES; turn++) {
        uint32_t which = (uint32_t)za_rng_below(&rng, ENTRIES);
        uint64_t choice = za_rng_below(&rng, 3);
        if (choice == 0) {
            item_t *item = (item_t *)za_calendar_take(calendar, now + 500);
            now = item != NULL ? item->entry.at : now + 500;
            cr_assert(item == NULL || there[item - items], "it was removed");
            if (item != NULL) {
                there[item - items] = false;
                count--;
            }
        } else if (there[which]) {
            za_calendar_remove(calendar, &items[which].entry);
            there[which] = false;
            count--;
        } else {
            items[which].entry.at = now + za_rng_below(&rng, UINT64_C(1) << za_rng_below(&rng, 24));
            za_calendar_add(calendar, &items[which].entry);
            there[which] = true;
            count++;
        }
    }
    while (count > 0) {
        const item_t *item = (const item_t *)za_calendar_take(calendar, UINT64_MAX);
        cr_assert(item != NULL && item->entry.at >= now && there[item - items], "in its order");
        now = item->entry.at;
        there[item - items] = false;
        count--;
    }
    cr_assert(za_calendar_take(calendar, UINT64_MAX) == NULL, "that was all");
    free(there);
    free(items);
    free(calendar);
}
