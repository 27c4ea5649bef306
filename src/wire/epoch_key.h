/** Epoch keys: the secrets that the members of a cluster share for their datagrams. */
#pragma once

#include <stdint.h>

enum {
    ZA_EPOCH_SECRET_BYTES = 32,
    // The one before, the one in use, the one to come, and one that the other side of a partition
    // made under the same number.
    ZA_EPOCH_KEYS_MAX = 4,
};

/** One of them. Ordered by (epoch, secret): the greatest is what all come to use. */
typedef struct za_epoch_key {
    uint64_t epoch;
    uint8_t secret[ZA_EPOCH_SECRET_BYTES];
} za_epoch_key_t;
