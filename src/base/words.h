/**
 * Words: zeroes for the few words that most messages and states are, without a call. Blocks of a pool
 * have room for whole steps of 16 bytes behind their head.
 */
#pragma once

#include <stddef.h>
#include <string.h>

enum {
    ZA_WORDS_STEP = 16,
    ZA_WORDS_BYTES_MAX = 64, // from there on a call is as quick
};

/** As memset with 0, for at most ZA_WORDS_BYTES_MAX. Rounds up to a step. */
static inline void za_words_zero_few(void *to, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += ZA_WORDS_STEP) {
        memset((char *)to + at, 0, ZA_WORDS_STEP);
    }
}

/** As memset with 0. Rounds up to a step. */
static inline void za_words_zero(void *to, size_t bytes)
{
    if (bytes <= ZA_WORDS_BYTES_MAX) {
        za_words_zero_few(to, bytes);
    } else {
        memset(to, 0, bytes);
    }
}
