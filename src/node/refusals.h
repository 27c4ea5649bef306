/**
 * Lines of the log about connections that were refused: anybody can bring them about, as many as he likes.
 * All are counted; of a few in a while each has its line, and of the others the next line tells how many
 * they were. The same once more, from the same host for the same reason, has a line once in a minute, with
 * how often it was.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { ZA_REFUSALS_RECENT_MAX = 32 };

/** Zeroed at first; the fields are refusals.c's alone. */
typedef struct za_refusals {
    uint64_t until_ms; // of the present while
    uint32_t lines;    // in it
    uint64_t untold;   // since the last line
    struct {
        uint64_t key; // 0: free
        uint64_t told_ms;
        uint64_t untold; // of this one, since then
    } recent[ZA_REFUSALS_RECENT_MAX];
} za_refusals_t;

/** Whether one that comes now has a line; then *untold gets how many before it had none. */
bool za_refusals_step(za_refusals_t *refusals, uint64_t now_ms, uint64_t *untold);

/**
 * As za_refusals_step, for what `key` stands for: whether it is new, or was not told of for a minute.
 * Then *times gets how often it was since its last line, this time included. Where more than
 * ZA_REFUSALS_RECENT_MAX come by turns, the one told of longest ago is forgotten: it is new again.
 */
bool za_refusals_again(za_refusals_t *refusals, uint64_t key, uint64_t now_ms, uint64_t *times);
