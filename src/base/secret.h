/**
 * Secret: memory for keys. It is not written into core dumps, and is zeroed before it goes.
 *
 * Memory   Whole pages from the system, zeroed; pages that are never touched cost nothing.
 * Threads  Any.
 */
#pragma once

#include <stddef.h>

/** `size` bytes of zeroes, for za_secret_free; NULL: no memory. */
void *za_secret_alloc(size_t size);
/** Zeroes the first `used` bytes, which hold all that was ever written, and gives all back. */
void za_secret_free(void *secret, size_t size, size_t used);
/** Overwrites a secret in a way that the compiler does not leave out. */
void za_secret_zero(void *secret, size_t size);
