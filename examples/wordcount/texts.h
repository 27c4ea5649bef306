/**
 * Texts: the files named in a list, read as batches of whole lines.
 *
 * A batch is known by where it begins, so one that was lost is simply read again: nothing is kept
 * in memory while it is on its way. Batches may span files; the end of a file ends its last line.
 *
 * Memory  No file stays open between calls.
 * Errors  ZA_EIO, and `problem` says which file and why. ZA_ETOOBIG: a word longer than a batch.
 */
#pragma once

#include <zactor/zactor.h>

/** Where a batch begins. {0, 0} is the beginning of the first text. */
typedef struct texts_cursor {
    uint64_t line;   // offset into the list, bytes
    uint64_t offset; // into the text named there, bytes
} texts_cursor_t;

/** Bytes of all texts together. */
ZA_MUST_USE za_err_t texts_total(const char *list_path, uint64_t *bytes, char *problem,
                                 size_t problem_bytes);

/**
 * Reads the batch at `cursor`, at most `capacity` bytes (> 1), and moves `cursor` behind it. *size is
 * 0 behind the last text. `cursor` and *size are untouched on an error.
 */
ZA_MUST_USE za_err_t texts_read(const char *list_path, texts_cursor_t *cursor, char *out,
                                size_t capacity, size_t *size, char *problem, size_t problem_bytes);
