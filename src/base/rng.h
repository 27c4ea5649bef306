/**
 * Seeded random numbers: xoshiro256** seeded by splitmix64 (Blackman, Vigna 2018). Not for secrets.
 *
 * Threads  One owner each. Draw into a variable of its own, never inside an argument list: the order
 *          of evaluation there is the compiler's, and one seed must give one run.
 */
#pragma once

#include <stdint.h>

typedef struct za_rng {
    uint64_t s[4];
} za_rng_t;

static inline uint64_t za_splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline void za_rng_init(za_rng_t *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        rng->s[i] = za_splitmix(&seed);
    }
}

static inline uint64_t za_rng_next(za_rng_t *rng)
{
    uint64_t *s = rng->s;
    uint64_t x = s[1] * 5;
    uint64_t result = ((x << 7) | (x >> 57)) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

/** Uniform in [0, bound) up to a bias of bound / 2^64; bound > 0. */
static inline uint64_t za_rng_below(za_rng_t *rng, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide_t; // no other way to the high half
    return (uint64_t)(((wide_t)za_rng_next(rng) * bound) >> 64);
}
