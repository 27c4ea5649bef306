#include "sim/calendar.h"

#include "base/assert.h"

enum {
    NEAR_BITS = 10,                       // what is left of a time at level 0, ...
    GRAIN_BITS = 4,                       // ... and how wide its slots are
    NEAR = 1 << (NEAR_BITS - GRAIN_BITS), // slots of level 0
    FAR_BITS = 10,
    FAR = 1 << FAR_BITS, // of each other one
};

static_assert(NEAR == 64, "one word says which slots of level 0 are in use");
static_assert(NEAR_BITS == FAR_BITS, "a level is a digit");

/** Of the level of the highest digit in which `at` differs from the floor. */
static uint32_t slot_of(const za_calendar_t *calendar, uint64_t at)
{
    uint64_t differs = at ^ calendar->floor;
    if (differs < 1 << NEAR_BITS) {
        return (uint32_t)(at >> GRAIN_BITS) % NEAR;
    }
    uint32_t level = (63u - (uint32_t)__builtin_clzll(differs)) / FAR_BITS;
    return NEAR + (level - 1) * FAR + (uint32_t)(at >> (level * FAR_BITS)) % FAR;
}

/** Behind which one of a sorted ring `at` comes: of equals the one that was added first is first. */
static za_entry_t *before_of(za_entry_t *last, uint64_t at)
{
    za_entry_t *before = last;
    while (before->at > at && before->previous != last) {
        before = before->previous;
    }
    return before->at > at ? last : before;
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
    za_entry_t *before = slot < NEAR ? before_of(last, entry->at) : last;
    entry->next = before->next;
    entry->previous = before;
    before->next->previous = entry;
    before->next = entry;
    if (before == last && (slot >= NEAR || entry->at >= last->at)) {
        calendar->last[slot] = entry;
    }
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

/** When a slot of a higher level begins in which `at` is. */
static uint64_t start_of(uint32_t slot, uint64_t at)
{
    uint32_t shift = ((slot - NEAR) / FAR + 1) * FAR_BITS;
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
