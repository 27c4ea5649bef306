/**
 * Words: how often each word occurred.
 *
 * A word is [A-Za-z]+, lower-cased. An open-addressing table over one array of text; entries stay
 * in the order in which words came first, so nothing depends on a pointer.
 *
 * Packed  A table as bytes: for each word its size, its letters and its count; size and count are
 *         base-128 numbers, low bits first, as in protobuf.
 * Memory  Grows by realloc up to WORDS_MAX words. On ZA_ENOMEM and ZA_ENOBUFS the table is as
 *         before the word that did not fit.
 * Threads One at a time.
 */
#pragma once

#include <stdio.h>

#include <zactor/zactor.h>

enum {
    WORDS_MAX = 1 << 22,        // different words; a natural text of any size has fewer
    WORD_BYTES_MAX = 64 * 1024, // letters of one word
};

typedef struct words words_t;

/** An empty table. ZA_ENOMEM. */
ZA_MUST_USE za_err_t words_create(words_t **out);
/** `words` may be NULL. */
void words_destroy(words_t *words);

/** Counts every word of `text`. ZA_ENOMEM ZA_ENOBUFS, ZA_ETOOBIG for a word over its limit. */
ZA_MUST_USE za_err_t words_count(words_t *words, const char *text, size_t size);

/** Different words. */
size_t words_size(const words_t *words);
/** All words, each as often as it occurred. */
uint64_t words_total(const words_t *words);

/** Bytes that words_pack writes. */
size_t words_packed_bytes(const words_t *words);
/** Writes exactly words_packed_bytes(words) bytes. */
void words_pack(const words_t *words, uint8_t *out);
/** Adds what words_pack wrote: all of it, or nothing if `bytes` are not packed words (ZA_EPROTO). */
ZA_MUST_USE za_err_t words_merge(words_t *words, const uint8_t *bytes, size_t size);

/** Writes "count word" lines, sorted by word as in LC_ALL=C. ZA_ENOMEM ZA_EIO. */
ZA_MUST_USE za_err_t words_write(const words_t *words, FILE *out);
