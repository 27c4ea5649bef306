/** Memory of this process, for tests of how much something takes. */
#pragma once

#include "support/za_test.h"

#include <unistd.h>

/** Bytes of its pages that lie in memory. */
static inline uint64_t resident_bytes(void)
{
    unsigned long pages = 0;
    unsigned long resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    cr_assert(statm != NULL && fscanf(statm, "%lu %lu", &pages, &resident) == 2, "statm");
    fclose(statm);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
