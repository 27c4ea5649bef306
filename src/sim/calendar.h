/**
 * Calendar: what happens when, in virtual time. A hierarchical wheel (Varghese, Lauck 1987) that
 * skips empty slots by bitmaps, so a quiet hour costs as little as a quiet microsecond.
 *
 * Order    By time, then in the order of adding: a run is a function of what was added.
 * Levels   What is due within the present 16 units lies in slots of one each, within 1,024 in 64 slots
 *          of 16, and what is due later by the highest digit of 10 bits that differs. So nothing is ever
 *          sorted, however much is due at the same moment; an entry alone in its slot is taken from there.
 * Unit     The user's, up to 2^49.
 * Memory   Intrusive: an entry lies in its owner's struct and is the calendar's until it is taken.
 * Threads  One owner.
 */
#pragma once

#include <assert.h> // static_assert
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ZA_CALENDAR_SLOTS = 64 + 64 + 3 * 1024 + 512, // of all levels, the lowest first
    ZA_CALENDAR_WORDS = ZA_CALENDAR_SLOTS / 64,
};
#define ZA_CALENDAR_END (UINT64_C(1) << 49)

typedef struct za_entry {
    uint64_t at;
    struct za_entry *next, *previous;
} za_entry_t;

/** Zero is empty, at time 0. */
typedef struct za_calendar {
    uint64_t floor; // nothing is due before it
    uint64_t words; // bit i: occupied[i] is not 0
    uint64_t occupied[ZA_CALENDAR_WORDS];
    za_entry_t *last[ZA_CALENDAR_SLOTS]; // a ring: the last one's next is the first
} za_calendar_t;

static_assert(ZA_CALENDAR_WORDS <= 64, "one word says which words are in use");

/** `entry->at` is set: not before the time of the last entry taken, and below ZA_CALENDAR_END. */
void za_calendar_add(za_calendar_t *calendar, za_entry_t *entry);
/** Takes `entry` out, which is in it and whose `at` is as it was added. */
void za_calendar_remove(za_calendar_t *calendar, za_entry_t *entry);
/** Takes the first entry that is due at `until` or before; NULL if there is none. */
za_entry_t *za_calendar_take(za_calendar_t *calendar, uint64_t until);
