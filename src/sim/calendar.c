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
    uint64_t differs = at ^ calendar->floor;
    if (differs <= DIGIT) {
        return 0;
    }
    return (63u - (uint32_t)__builtin_clzll(differs)) / ZA_CALENDAR_BITS;
}

void za_calendar_add(za_calendar_t *calendar, za_entry_t *entry)
{
    ZA_ASSERT(entry->at >= calendar->floor && entry->at < ZA_CALENDAR_END);
    uint32_t level_at = level_of(calendar, entry->at);
    uint32_t slot = digit_of(entry->at, level_at);
    za_calendar_level_t *level = &calendar->levels[level_at];
    za_entry_t *last = level->last[slot];
    if (last == NULL) {
        entry->next = entry;
        level->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
        level->words |= UINT32_C(1) << (slot / 64);
    } else {
        entry->next = last->next;
        last->next = entry;
    }
    level->last[slot] = entry;
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
    level->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    if (level->occupied[slot / 64] == 0) {
        level->words &= ~(UINT32_C(1) << (slot / 64));
    }
}

static za_entry_t *take_first(za_calendar_t *calendar, uint32_t slot)
{
    za_calendar_level_t *level = &calendar->levels[0];
    za_entry_t *last = level->last[slot];
    za_entry_t *first = last->next;
    if (first == last) {
        vacate(level, slot);
    } else {
        last->next = first->next;
    }
    return first;
}

/**
 * Deals the first occupied slot of a higher level out to those below. Its entries were added before
 * any that is put below directly, and keep their order: so ties go by the order of adding. False if
 * nothing is left, or begins only after `until`, before which more may be added.
 */
static bool descend(za_calendar_t *calendar, uint64_t until)
{
    for (uint32_t at = 1; at < ZA_CALENDAR_LEVELS; at++) {
        za_calendar_level_t *level = &calendar->levels[at];
        uint32_t slot =
            level->words == 0 ? ZA_CALENDAR_SLOTS : next_slot(level, digit_of(calendar->floor, at));
        if (slot == ZA_CALENDAR_SLOTS) {
            continue;
        }
        uint32_t shift = at * ZA_CALENDAR_BITS;
        uint64_t above = calendar->floor >> shift >> ZA_CALENDAR_BITS << ZA_CALENDAR_BITS;
        uint64_t start = (above | slot) << shift;
        if (start > until) {
            return false;
        }
        calendar->floor = start;
        za_entry_t *last = level->last[slot];
        za_entry_t *entry = last->next;
        vacate(level, slot);
        last->next = NULL;
        while (entry != NULL) {
            za_entry_t *next = entry->next;
            za_calendar_add(calendar, entry);
            entry = next;
        }
        return true;
    }
    return false;
}

za_entry_t *za_calendar_take(za_calendar_t *calendar, uint64_t until)
{
    for (;;) {
        uint32_t slot = next_slot(&calendar->levels[0], digit_of(calendar->floor, 0));
        if (slot < ZA_CALENDAR_SLOTS) {
            uint64_t at = (calendar->floor & ~(uint64_t)DIGIT) | slot;
            if (at > until) {
                return NULL;
            }
            calendar->floor = at;
            return take_first(calendar, slot);
        }
        if (!descend(calendar, until)) {
            return NULL;
        }
    }
}
