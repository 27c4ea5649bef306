/**
 * Pages: zeroed memory for what is large and mostly unused: tables of a fixed bound, buffers of a
 * connection. A page is there once it is written, and all of them go back to the system when they are
 * freed. The heap promises neither: what it hands out twice it clears byte by byte, and what it got
 * back it keeps.
 *
 * Memory   Less than ZA_PAGES_BYTES_MIN comes from the heap, where it wastes no page; so does
 *          everything under AddressSanitizer, which then finds leaks and overruns.
 * Threads  Any.
 */
#pragma once

#include <stddef.h>

enum {
    ZA_PAGE_BYTES = 4096,
    ZA_PAGES_BYTES_MIN = 8 * ZA_PAGE_BYTES, // the rounding costs at most an eighth
    ZA_PAGES_LARGE_BYTES = 2 * 1024 * 1024, // what one entry of the processor can name at once
};

/**
 * Zeroed; NULL: none left. The caller's until za_pages_free. Aligned for any type, and to a page from
 * ZA_PAGES_BYTES_MIN on.
 */
void *za_pages_alloc(size_t bytes);
/**
 * As za_pages_alloc, aligned to ZA_PAGES_LARGE_BYTES, of which `bytes` are a multiple. Small pages, used
 * one by one, until za_pages_gather.
 */
void *za_pages_alloc_large(size_t bytes);
/**
 * All of `memory`, of za_pages_alloc_large, is in use: puts it into large pages, where the system has
 * them. Advice only. Takes some tenths of a millisecond for each; others may read and write meanwhile.
 */
void za_pages_gather(void *memory, size_t bytes);
/** `bytes` as they were asked for. NULL is allowed. */
void za_pages_free(void *pages, size_t bytes);

/**
 * Gives whole pages among `bytes` back, of memory that stays the caller's: za_pages_alloc's or the
 * heap's. What was in the bytes is lost, and what is in them afterwards is not said.
 */
void za_pages_drop(void *memory, size_t bytes);

/**
 * Gives the system back what is free in the heap of this process, wherever it lies. Looks at each free
 * piece, so it takes from microseconds to, in a large heap full of holes, tens of milliseconds.
 */
void za_pages_trim_heap(void);
