/**
 * Chance by position: a draw is a hash of what it is for (seed, link, time, purpose) and not the next
 * number of a stream. So a schedule of which one fault is taken away gives all that the fault does
 * not touch the same luck as before, and a failing run can be made smaller step by step.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"

/** What a draw is for: equal places, different luck. */
typedef enum za_chance {
    ZA_CHANCE_DATAGRAM, // loss, latency and duplication of one
    ZA_CHANCE_FAULT,    // what an active fault does to it
    ZA_CHANCE_STREAM,
    ZA_CHANCE_PATH, // constant of a directed link
    ZA_CHANCE_CLOCK,
    ZA_CHANCE_LATE,
    ZA_CHANCE_PROCESS,
    ZA_CHANCE_WORK,
    ZA_CHANCE_LEASE,
    ZA_CHANCE_DIALECT,
} za_chance_t;

static inline uint64_t za_chance(uint64_t seed, za_chance_t purpose, uint64_t place, uint64_t time)
{
    uint64_t z = seed ^ (place + (uint64_t)purpose) * UINT64_C(0x9e3779b97f4a7c15);
    return za_mix64(za_mix64(z) + time * UINT64_C(0xd1342543de82ef95));
}

static inline uint64_t za_chance_link(uint32_t from, uint32_t to)
{
    return (uint64_t)from << 40 ^ (uint64_t)to << 8;
}

/** `draw`, uniform over 64 bits, as a number below `bound`. */
static inline uint64_t za_chance_below(uint64_t draw, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide_t; // no other way to the high half
    return (uint64_t)(((wide_t)draw * bound) >> 64);
}
