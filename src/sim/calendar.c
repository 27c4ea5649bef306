#include "sim/calendar.h"

#include "base/assert.h"

enum { DIGIT = ZA_CALENDAR_SLOTS - 1 };

static uint32_t shift_of(uint32_t level)
{
    return ZA_CALENDAR_GRAIN_BITS + level * ZA_CALENDAR_BITS;
}

static uint32_t digit_of(uint64_t at, uint32_t level)
{
    return (uint32_t)(at >> shift_of(level)) & DIGIT;
}

/** The level of the highest digit in which `at` differs from the floor. */
static uint32_t level_of(const za_calendar_t *calendar, uint64_t at)
{
    uint64_t differs =
        (at ^ calendar->floor) >> ZA_CALENDAR_GRAIN_BITS | 1; // there is a highest bit
    return (63u - (uint32_t)__builtin_clzll(differs)) / ZA_CALENDAR_BITS;
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

static void put(za_calendar_t *calendar, uint32_t level_at, uint32_t slot, za_entry_t *entry)
{
    za_calendar_level_t *level = &calendar->levels[level_at];
    za_entry_t *last = level->last[slot];
    if (last == NULL) {
        entry->next = entry->previous = entry;
        level->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
        level->words |= UINT32_C(1) << (slot / 64);
        calendar->levels_used |= UINT32_C(1) << level_at;
        level->last[slot] = entry;
        return;
    }
    za_entry_t *before = level_at == 0 ? before_of(last, entry->at) : last;
    entry->next = before->next;
    entry->previous = before;
    before->next->previous = entry;
    before->next = entry;
    if (before == last && (level_at != 0 || entry->at >= last->at)) {
        level->last[slot] = entry;
    }
}

void za_calendar_add(za_calendar_t *calendar, za_entry_t *entry)
{
    ZA_ASSERT(entry->at >= calendar->floor && entry->at < ZA_CALENDAR_END);
    uint32_t level = level_of(calendar, entry->at);
    put(calendar, level, digit_of(entry->at, level), entry);
}

/** The first occupied slot of a level that is not empty; none lies before the floor. */
static uint32_t first_slot(const za_calendar_level_t *level)
{
    uint32_t word = (uint32_t)__builtin_ctz(level->words);
    return word * 64 + (uint32_t)__builtin_ctzll(level->occupied[word]);
}

static void vacate(za_calendar_t *calendar, uint32_t level_at, uint32_t slot)
{
    za_calendar_level_t *level = &calendar->levels[level_at];
    level->last[slot] = NULL;
    level->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    if (level->occupied[slot / 64] == 0) {
        level->words &= ~(UINT32_C(1) << (slot / 64));
        calendar->levels_used &= ~((uint32_t)(level->words == 0) << level_at);
    }
}

static void take_out(za_calendar_t *calendar, uint32_t level_at, uint32_t slot, za_entry_t *entry)
{
    if (entry->next == entry) {
        vacate(calendar, level_at, slot);
        return;
    }
    entry->previous->next = entry->next;
    entry->next->previous = entry->previous;
    za_calendar_level_t *level = &calendar->levels[level_at];
    if (level->last[slot] == entry) {
        level->last[slot] = entry->previous;
    }
}

void za_calendar_remove(za_calendar_t *calendar, za_entry_t *entry)
{
    // Where the floor stands now, it would be added to the slot that it is in: whenever the floor
    // enters a slot, what is in there moves down.
    uint32_t level = level_of(calendar, entry->at);
    take_out(calendar, level, digit_of(entry->at, level), entry);
}

/**
 * Deals a slot of a higher level out to those below, where nothing is. Its entries were added before
 * any that is put below directly, and keep their order: so ties go by the order of adding.
 */
static void deal_out(za_calendar_t *calendar, uint32_t level_at, uint32_t slot)
{
    za_entry_t *last = calendar->levels[level_at].last[slot];
    za_entry_t *entry = last->next;
    vacate(calendar, level_at, slot);
    last->next = NULL;
    while (entry != NULL) {
        za_entry_t *next = entry->next;
        za_calendar_add(calendar, entry);
        entry = next;
    }
}

za_entry_t *za_calendar_take(za_calendar_t *calendar, uint64_t until)
{
    while (calendar->levels_used != 0) {
        // Levels hold what lies behind the present slot of the level above: the lowest is first.
        uint32_t at = (uint32_t)__builtin_ctz(calendar->levels_used);
        uint32_t slot = first_slot(&calendar->levels[at]);
        za_entry_t *first = calendar->levels[at].last[slot]->next;
        if (at == 0 || first->next == first) { // the very first of all
            if (first->at > until) {
                return NULL;
            }
            calendar->floor = first->at;
            take_out(calendar, at, slot, first);
            return first;
        }
        uint64_t start = first->at >> shift_of(at) << shift_of(at);
        if (start > until) {
            return NULL; // more may be added before it
        }
        calendar->floor = start;
        deal_out(calendar, at, slot);
    }
    return NULL;
}
