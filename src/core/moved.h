/**
 * Moved messages: what a handler gave away with za_send is the receiver's. Debug builds look whether it
 * keeps to that (the "poison" of Rust's moves, at run time): between the send and the receiver's handler
 * nobody touches the body.
 *
 * With AddressSanitizer every touch is its error, at the line. Without, the body is summed up, and a
 * write is told when the receiver's handler is due; a read cannot be noticed. Other builds do nothing.
 */
#pragma once

#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "core/message.h"

#if defined(ZA_SLOW_CHECKS) && !defined(ZA_POOL_POISONS)

enum {
    ZA_MOVED_EXTRA_BYTES = 8, // behind the body of za_new: the sum
    ZA_FLAG_SUMMED = 128,     // as ZA_FLAG_STAMPED, which is on copies without an ask alone
};

static inline void *za_moved_sum(za_message_t *message)
{
    return (char *)(message + 1) + message->block.bytes;
}

static inline uint64_t za_moved_compute(const za_message_t *message)
{
    return za_fnv64(ZA_FNV64_INIT, message + 1, message->block.bytes);
}

/** It is given away. */
static inline void za_moved_begin(za_message_t *message)
{
    uint64_t sum = za_moved_compute(message);
    memcpy(za_moved_sum(message), &sum, sizeof sum);
    message->block.flags |= ZA_FLAG_SUMMED;
}

/** Its new owner gets it, or its old one has it still. */
static inline void za_moved_end(za_message_t *message)
{
    if (message->block.flags & ZA_FLAG_SUMMED) {
        uint64_t sum;
        memcpy(&sum, za_moved_sum(message), sizeof sum);
        if (sum != za_moved_compute(message)) {
            za_misuse(message->type->name, "was written to after it was sent");
        }
        message->block.flags &= (uint8_t)~ZA_FLAG_SUMMED;
    }
}

#else

enum { ZA_MOVED_EXTRA_BYTES = 0 };

static inline void za_moved_begin(za_message_t *message)
{
    ZA_POISON(message + 1, message->block.bytes);
}

static inline void za_moved_end(za_message_t *message)
{
    ZA_UNPOISON(message + 1, message->block.bytes);
}

#endif
