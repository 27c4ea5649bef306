/** Protobuf varints: little endian, seven bits a byte, bit 7 says that more follows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t za_varint_bytes(uint64_t value)
{
    size_t bytes = 1;
    for (; value >= 0x80; value >>= 7) {
        bytes++;
    }
    return bytes;
}

/** Writes `value`; the caller knows that there is room for za_varint_bytes. Returns the end. */
static inline uint8_t *za_varint_put(uint8_t *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        *out++ = (uint8_t)(value | 0x80);
    }
    *out++ = (uint8_t)value;
    return out;
}

/** Reads one from *next; false if it does not end before `end` or within ten bytes. */
static inline bool za_varint_get(const uint8_t **next, const uint8_t *end, uint64_t *out)
{
    const uint8_t *at = *next;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && at < end; shift += 7) {
        uint8_t byte = *at++;
        // Bits above the 64th are lost, as in every protobuf reader.
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if (byte < 0x80) {
            *next = at;
            *out = value;
            return true;
        }
    }
    return false;
}
