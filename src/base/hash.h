/** FNV-1a: part of the protocol (type ids, fingerprints), so fixed and simple in any language. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ZA_FNV32_INIT UINT32_C(0x811c9dc5)
#define ZA_FNV64_INIT UINT64_C(0xcbf29ce484222325)

static inline uint32_t za_fnv32(uint32_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT32_C(0x01000193);
    }
    return hash;
}

static inline uint64_t za_fnv64(uint64_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/** A bijective mixer (splitmix64's finaliser) for integer keys and event hashes. */
static inline uint64_t za_mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
