/**
 * Which seeds a random test runs: from 1 as many as it says, an eighth of them under a sanitizer, which
 * makes each so much slower. ZACTOR_SEED=N begins at N, ZACTOR_SEEDS=N runs N.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ZA_SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { ZA_SANITIZED = 1 };
#else
enum { ZA_SANITIZED = 0 };
#endif
#else
enum { ZA_SANITIZED = 0 };
#endif

typedef struct za_seeds {
    uint64_t first, end; // not part of them
    bool enough;         // to ask whether they met what the test is for
} za_seeds_t;

static inline uint64_t za_seeds_number(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static inline za_seeds_t za_seeds(uint64_t usual)
{
    uint64_t first = za_seeds_number("ZACTOR_SEED", 1);
    uint64_t count = za_seeds_number("ZACTOR_SEEDS", ZA_SANITIZED ? (usual + 7) / 8 : usual);
    return (za_seeds_t){ first, first + count, count >= usual };
}
