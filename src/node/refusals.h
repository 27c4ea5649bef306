/**
 * Which of the refusals that anybody can bring about, as many as he likes, have a line in the log. Of a few
 * in a while each has one, and of the others the next line tells how many they were. The same once more,
 * from the same host for the same reason, has a line once in a minute, with how often it was.
 *
 * Where more than ZA_REFUSALS_RECENT_MAX come by turns, the one told of longest ago is forgotten: it is new
 * again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { ZA_REFUSALS_RECENT_MAX = 32 };

/** Zeroed at first; the fields are refusals.c's alone. */
typedef struct za_refusals {
    uint64_t until_ms; // of the present while
    uint32_t lines;    // in it
    uint64_t untold;   // new ones, since the last line
    struct za_refused {
        uint64_t key; // 0: free
        uint64_t told_ms;
        uint64_t untold; // of this one, since then
    } recent[ZA_REFUSALS_RECENT_MAX];
} za_refusals_t;

typedef struct za_refusal_line {
    uint64_t times;  // since the last line of the same, this time included
    uint64_t untold; // others that were new, and had no line
} za_refusal_line_t;

/** One more, of those that `key` (not 0) stands for. True if it has a line, which tells what `line` gets. */
bool za_refusals_step(za_refusals_t *refusals, uint64_t key, uint64_t now_ms,
                      za_refusal_line_t *line);
