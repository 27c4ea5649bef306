/** The monotonic clock of host 1. */
#pragma once

#include <stdint.h>

uint64_t za_clock_ns(void);
