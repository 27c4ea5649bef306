/**
 * Words: copies and zeroes of a few words, without a call. Most messages and states are that small.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ZA_WORD = 8, ZA_WORDS_MAX = 8 };

/** As memset with 0. Rounds up to a word: there must be room for whole words. */
static inline void za_words_zero(void *to, size_t bytes)
{
    if (bytes > ZA_WORDS_MAX * ZA_WORD) {
        memset(to, 0, bytes);
        return;
    }
    for (size_t at = 0; at < bytes; at += ZA_WORD) {
        memset((char *)to + at, 0, ZA_WORD);
    }
}
