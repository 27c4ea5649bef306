/** The memory of this process that is in use, as the system counts it. */
#pragma once

#include <stdint.h>

uint64_t bench_resident_bytes(void);
