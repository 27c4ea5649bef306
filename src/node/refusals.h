/**
 * Lines of the log about connections that were refused: anybody can bring them about, as many as he likes.
 * All are counted; of a few in a while each has its line, and of the others the next line tells how many
 * they were.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** Zeroed at first; the fields are refusals.c's alone. */
typedef struct za_refusals {
    uint64_t until_ms; // of the present while
    uint32_t lines;    // in it
    uint64_t untold;   // since the last line
} za_refusals_t;

/** Whether one that comes now has a line; then *untold gets how many before it had none. */
bool za_refusals_step(za_refusals_t *refusals, uint64_t now_ms, uint64_t *untold);
