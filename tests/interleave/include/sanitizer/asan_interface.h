/** In place of AddressSanitizer's: freed blocks of the pools are poisoned for the checker. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

void zc_poison(const volatile void *address, size_t bytes, bool poisoned);

#define ASAN_POISON_MEMORY_REGION(address, bytes) zc_poison((address), (bytes), true)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) zc_poison((address), (bytes), false)
