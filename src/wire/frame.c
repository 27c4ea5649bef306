#include "wire/frame.h"

#include "base/assert.h"
#include "wire/varint.h"

enum {
    LENGTH_BYTES_MAX = 3,
    CRITICAL = 0x80,
    LANE_SHIFT = 5,
    LANE_MASK = 0x03,
    KIND_MASK = 0x9f,
};

static_assert(ZA_FRAME_BYTES_MAX < 1 << 21, "the length fits three varint bytes");
static_assert((int)ZA_LANE_COUNT <= LANE_MASK + 1, "a lane has two bits");

/** The length at the head of `bytes` and its own bytes, or why there is none. */
static za_split_t split_length(const uint8_t *bytes, size_t size, size_t *length, size_t *used)
{
    size_t value = 0;
    for (size_t i = 0; i < LENGTH_BYTES_MAX; i++) {
        if (i == size) {
            return ZA_SPLIT_MORE;
        }
        value |= (size_t)(bytes[i] & 0x7f) << (7 * i);
        if (bytes[i] < 0x80) {
            *length = value;
            *used = i + 1;
            return ZA_SPLIT_FRAME;
        }
    }
    return ZA_SPLIT_BROKEN;
}

static bool kind_is_known(unsigned kind)
{
    return kind == ZA_FRAME_DATAGRAM || (kind >= ZA_FRAME_HELLO && kind <= ZA_FRAME_ADMIN);
}

za_split_t za_frame_split(const uint8_t *bytes, size_t size, za_frame_t *out, size_t *used)
{
    size_t length;
    size_t head;
    za_split_t split = split_length(bytes, size, &length, &head);
    if (split != ZA_SPLIT_FRAME) {
        return split;
    }
    if (length == 0 || length > ZA_FRAME_PAYLOAD_BYTES_MAX + 1) {
        return ZA_SPLIT_BROKEN;
    }
    if (size == head) {
        return ZA_SPLIT_MORE;
    }
    unsigned tag = bytes[head];
    unsigned kind = tag & KIND_MASK;
    if (!kind_is_known(kind)) {
        if ((kind & CRITICAL) != 0) {
            return ZA_SPLIT_BROKEN; // before its payload came: it would be of no use
        }
        kind = ZA_FRAME_UNKNOWN;
    }
    if (size - head < length) {
        return ZA_SPLIT_MORE;
    }
    *out = (za_frame_t){
        .kind = (za_frame_kind_t)kind,
        .lane = (za_lane_t)(tag >> LANE_SHIFT & LANE_MASK),
        .payload = bytes + head + 1,
        .size = length - 1,
    };
    *used = head + length;
    return ZA_SPLIT_FRAME;
}

size_t za_frame_header_encode(za_frame_kind_t kind, za_lane_t lane, size_t payload_bytes,
                              uint8_t *out, size_t capacity)
{
    ZA_ASSERT(kind_is_known(kind) && (unsigned)lane < ZA_LANE_COUNT);
    if (payload_bytes > ZA_FRAME_PAYLOAD_BYTES_MAX ||
        capacity < za_varint_bytes(payload_bytes + 1) + 1) {
        return 0;
    }
    uint8_t *next = za_varint_put(out, payload_bytes + 1);
    *next++ = (uint8_t)((unsigned)kind | (unsigned)lane << LANE_SHIFT);
    return (size_t)(next - out);
}
