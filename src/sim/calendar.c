#include "sim/calendar.h"

#include "base/assert.h"

enum { DIGIT = ZA_CALENDAR_SLOTS - 1 };

static uint32_t digit_of(uint64_t at, uint32_t level)
{
    return (uint32_t)(at >> (level * ZA_CALENDAR_BITS)) & DIGIT;
}

/** The level of the highest digit in which `at` differs from the floor. */
static uint32_t level_of(const za_calendar_t *calendar, uint64_t at)
{
    uint64_t differs = (at ^ calendar->floor) | 1; // level 0 as well: there is a highest bit
    return (63u - (uint32_t)__builtin_clzll(differs)) / ZA_CALENDAR_BITS;
}

static void put(za_calendar_level_t *level, uint32_t slot, za_entry_t *entry)
{
    za_entry_t *last = level->last[slot];
    if (last == NULL) {
        entry->next = entry->previous = entry;
        level->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
        level->words |= UINT32_C(1) << (slot / 64);
    } else {
        entry->next = last->next;
        entry->previous = last;
        last->next->previous = entry;
        last->next = entry;
    }
    level->last[slot] = entry;
}

void za_calendar_add(za_calendar_t *calendar, za_entry_t *entry)
{
    ZA_ASSERT(entry->at >= calendar->floor && entry->at < ZA_CALENDAR_END);
    uint32_t level = level_of(calendar, entry->at);
    put(&calendar->levels[level], digit_of(entry->at, level), entry);
}

/** The first occupied slot at or after `from`; ZA_CALENDAR_SLOTS if there is none. */
static uint32_t next_slot(const za_calendar_level_t *level, uint32_t from)
{
    uint32_t word = from / 64;
    uint64_t bits = level->occupied[word] & (~UINT64_C(0) << (from % 64));
    if (bits == 0) {
        uint32_t words = word + 1 < 32 ? level->words & (~UINT32_C(0) << (word + 1)) : 0;
        if (words == 0) {
            return ZA_CALENDAR_SLOTS;
        }
        word = (uint32_t)__builtin_ctz(words);
        bits = level->occupied[word];
    }
    return word * 64 + (uint32_t)__builtin_ctzll(bits);
}

static void vacate(za_calendar_level_t *level, uint32_t slot)
{
    level->last[slot] = NULL;
    uint64_t left = level->occupied[slot / 64] & ~(UINT64_C(1) << (slot % 64));
    level->occupied[slot / 64] = left;
    if (left == 0) {
        level->words &= ~(UINT32_C(1) << (slot / 64));
    }
}

static void take_out(za_calendar_level_t *level, uint32_t slot, za_entry_t *entry)
{
    if (entry->next == entry) {
        vacate(level, slot);
        return;
    }
    entry->previous->next = entry->next;
    entry->next->previous = entry->previous;
    if (level->last[slot] == entry) {
        level->last[slot] = entry->previous;
    }
}

void za_calendar_remove(za_calendar_t *calendar, za_entry_t *entry)
{
    // Where the floor stands now, it would be added to the slot that it is in: whenever the floor
    // enters a slot, what is in there moves down.
    uint32_t level = level_of(calendar, entry->at);
    take_out(&calendar->levels[level], digit_of(entry->at, level), entry);
}

/** The level and slot of what is due first; false if the calendar is empty. */
static bool find_first(const za_calendar_t *calendar, uint32_t *level, uint32_t *slot)
{
    for (uint32_t at = 0; at < ZA_CALENDAR_LEVELS; at++) {
        if (calendar->levels[at].words != 0) {
            *level = at;
            *slot = next_slot(&calendar->levels[at], digit_of(calendar->floor, at));
            ZA_ASSERT(*slot < ZA_CALENDAR_SLOTS); // nothing lies before the floor
            return true;
        }
    }
    return false;
}

/**
 * Deals a slot of a higher level out to those below, where nothing is. Its entries were added before
 * any that is put below directly, and keep their order: so ties go by the order of adding.
 */
static void deal_out(za_calendar_t *calendar, za_calendar_level_t *level, uint32_t slot)
{
    za_entry_t *last = level->last[slot];
    za_entry_t *entry = last->next;
    vacate(level, slot);
    last->next = NULL;
    while (entry != NULL) {
        za_entry_t *next = entry->next;
        za_calendar_add(calendar, entry);
        entry = next;
    }
}

za_entry_t *za_calendar_take(za_calendar_t *calendar, uint64_t until)
{
    uint32_t at;
    uint32_t slot;
    while (find_first(calendar, &at, &slot)) {
        za_calendar_level_t *level = &calendar->levels[at];
        za_entry_t *first = level->last[slot]->next;
        if (at == 0 || first->next == first) { // the very first of all
            if (first->at > until) {
                return NULL;
            }
            calendar->floor = first->at;
            take_out(level, slot, first);
            return first;
        }
        uint32_t shift = at * ZA_CALENDAR_BITS;
        uint64_t start = first->at >> shift << shift;
        if (start > until) {
            return NULL; // more may be added before it
        }
        calendar->floor = start;
        deal_out(calendar, level, slot);
    }
    return NULL;
}
