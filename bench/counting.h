/** A counting allocator: malloc and its kin of the whole program, so that a benchmark can say how
 * often a message allocates. */
#pragma once

#include <stdint.h>

/** Calls of malloc, calloc, realloc and aligned_alloc since the program began. */
uint64_t bench_allocations(void);
