#include "sim/calendar.h"

#include "base/assert.h"

enum {
    GRAIN_BITS = 4, // of a time: a level of slots of one unit, ...
    NEAR_BITS = 10, // ... one of slots of a grain, ...
    FAR_BITS = 10,  // ... and then a digit each
    NEAR = 64,      // where the slots of grains begin: each level has words of its own
    FAR = NEAR + (1 << (NEAR_BITS - GRAIN_BITS)),
};

static_assert(1 << GRAIN_BITS <= NEAR && FAR - NEAR == 64, "a word each");
static_assert((int)NEAR_BITS == (int)FAR_BITS, "of times above it, all digits are as long");

/** Of the level of the highest digit in which `at` differs from the floor. */
static uint32_t slot_of(const za_calendar_t *calendar, uint64_t at)
{
    uint64_t differs = at ^ calendar->floor;
    if (differs < 1 << GRAIN_BITS) {
        return (uint32_t)at % (1 << GRAIN_BITS);
    }
    if (differs < 1 << NEAR_BITS) {
        return NEAR + (uint32_t)(at >> GRAIN_BITS) % (FAR - NEAR);
    }
    uint32_t level = (63u - (uint32_t)__builtin_clzll(differs)) / FAR_BITS;
    return FAR + ((level - 1) << FAR_BITS) + (uint32_t)(at >> (level * FAR_BITS)) % (1 << FAR_BITS);
}

void za_calendar_add(za_calendar_t *calendar, za_entry_t *entry)
{
    ZA_ASSERT(entry->at >= calendar->floor && entry->at < ZA_CALENDAR_END);
    uint32_t slot = slot_of(calendar, entry->at);
    za_entry_t *last = calendar->last[slot];
    if (last == NULL) {
        entry->next = entry->previous = entry;
        calendar->last[slot] = entry;
        calendar->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
        calendar->words |= UINT64_C(1) << (slot / 64);
        return;
    }
    entry->next = last->next;
    entry->previous = last;
    last->next->previous = entry;
    last->next = entry;
    calendar->last[slot] = entry;
}

static void vacate(za_calendar_t *calendar, uint32_t slot)
{
    uint64_t left = calendar->occupied[slot / 64] & ~(UINT64_C(1) << (slot % 64));
    calendar->last[slot] = NULL;
    calendar->occupied[slot / 64] = left;
    calendar->words &= ~((uint64_t)(left == 0) << (slot / 64));
}

static void take_out(za_calendar_t *calendar, uint32_t slot, za_entry_t *entry)
{
    if (entry->next == entry) {
        vacate(calendar, slot);
        return;
    }
    entry->previous->next = entry->next;
    entry->next->previous = entry->previous;
    if (calendar->last[slot] == entry) {
        calendar->last[slot] = entry->previous;
    }
}

void za_calendar_remove(za_calendar_t *calendar, za_entry_t *entry)
{
    // Where the floor stands now, it would be added to the slot that it is in: whenever the floor
    // enters a slot, what is in there moves down.
    take_out(calendar, slot_of(calendar, entry->at), entry);
}

/** When a slot of a level above that of units begins, in which `at` is. */
static uint64_t start_of(uint32_t slot, uint64_t at)
{
    uint32_t shift = slot < FAR ? GRAIN_BITS : (((slot - FAR) >> FAR_BITS) + 1) * FAR_BITS;
    return at >> shift << shift;
}

/**
 * Deals a slot of a higher level out to those below, where nothing is. Its entries were added before
 * any that is put below directly, and keep their order: so ties go by the order of adding.
 */
static void deal_out(za_calendar_t *calendar, uint32_t slot)
{
    za_entry_t *last = calendar->last[slot];
    za_entry_t *entry = last->next;
    vacate(calendar, slot);
    last->next = NULL;
    while (entry != NULL) {
        za_entry_t *next = entry->next;
        za_calendar_add(calendar, entry);
        entry = next;
    }
}

za_entry_t *za_calendar_take(za_calendar_t *calendar, uint64_t until)
{
    while (calendar->words != 0) {
        // A level holds what lies behind the present slot of the one above, and nothing lies before
        // the floor: the first slot in use is the first in time.
        uint32_t word = (uint32_t)__builtin_ctzll(calendar->words);
        uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(calendar->occupied[word]);
        za_entry_t *first = calendar->last[slot]->next;
        if (slot < NEAR || first->next == first) { // the very first of all
            if (first->at > until) {
                return NULL;
            }
            calendar->floor = first->at;
            take_out(calendar, slot, first);
            return first;
        }
        uint64_t start = start_of(slot, first->at);
        if (start > until) {
            return NULL; // more may be added before it
        }
        calendar->floor = start;
        deal_out(calendar, slot);
    }
    return NULL;
}
