/**
 * Calendar: what happens when, in virtual time. A hierarchical wheel (Varghese, Lauck 1987) that
 * skips empty slots by bitmaps, so a quiet hour costs as little as a quiet microsecond.
 *
 * Order    By time, then in the order of adding: a run is a function of what was added.
 * Unit     The user's, up to 2^52; a slot of the lowest level is 16 of them wide, and sorted. So a
 *          microsecond's calendar touches few cache lines: its two lower levels are 4 KiB and a second.
 * Memory   Intrusive: an entry lies in its owner's struct and is the calendar's until it is taken.
 * Threads  One owner.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ZA_CALENDAR_LEVELS = 6,
    ZA_CALENDAR_GRAIN_BITS = 4, // width of the lowest slots: few entries share one
    ZA_CALENDAR_BITS = 8,       // slots of a level
    ZA_CALENDAR_SLOTS = 1 << ZA_CALENDAR_BITS,
    ZA_CALENDAR_WORDS = ZA_CALENDAR_SLOTS / 64,
};
#define ZA_CALENDAR_END                                                                            \
    (UINT64_C(1) << (ZA_CALENDAR_GRAIN_BITS + ZA_CALENDAR_LEVELS * ZA_CALENDAR_BITS))

typedef struct za_entry {
    uint64_t at;
    struct za_entry *next, *previous;
} za_entry_t;

typedef struct za_calendar_level {
    uint32_t words; // bit i: occupied[i] is not 0
    uint64_t occupied[ZA_CALENDAR_WORDS];
    za_entry_t *last[ZA_CALENDAR_SLOTS]; // a ring: the last one's next is the first
} za_calendar_level_t;

/** Zero is empty, at time 0. */
typedef struct za_calendar {
    uint64_t floor;       // nothing is due before it
    uint32_t levels_used; // bit i: something is in levels[i]
    za_calendar_level_t levels[ZA_CALENDAR_LEVELS];
} za_calendar_t;

/** `entry->at` is set: not before the time of the last entry taken, and below ZA_CALENDAR_END. */
void za_calendar_add(za_calendar_t *calendar, za_entry_t *entry);
/** Takes `entry` out, which is in it and whose `at` is as it was added. */
void za_calendar_remove(za_calendar_t *calendar, za_entry_t *entry);
/** Takes the first entry that is due at `until` or before; NULL if there is none. */
za_entry_t *za_calendar_take(za_calendar_t *calendar, uint64_t until);
