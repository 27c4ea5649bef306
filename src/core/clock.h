/** The monotonic clock of host 1. */
#pragma once

#include <stdint.h>

uint64_t za_clock_ns(void);
/** As of the last tick of the system, 1 to 10 ms ago; a fifth of the cost. */
uint64_t za_clock_recent_ns(void);
