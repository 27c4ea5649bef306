/**
 * Frame: the unit of a connection's byte stream. A varint with the bytes that follow, a byte of kind
 * and lane, and the payload:
 *
 *     length (1..3 bytes) | kind and lane (1 byte) | payload (length - 1 bytes)
 *
 * The second byte: bit 7 says that a receiver which does not know the kind must close the
 * connection, bits 5 and 6 are the lane, the rest is the kind.
 *
 * Order    As the stream.
 * Memory   Allocates nothing; a split frame points into the bytes it was found in.
 * Errors   Bytes come from a peer: whatever they are, they are answered, never asserted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "wire/lane.h"

/** As on the wire, without the lane: so the values of critical kinds have bit 7. */
typedef enum za_frame_kind {
    ZA_FRAME_UNKNOWN = 0x00,     // of a kind this build does not know and may skip
    ZA_FRAME_DATAGRAM = 0x01,    // a sealed datagram of the failure detector, over the stream
    ZA_FRAME_HELLO = 0x80,       // za.Hello
    ZA_FRAME_HELLO_ACK = 0x81,   // za.HelloAck
    ZA_FRAME_GOODBYE = 0x82,     // za.Goodbye
    ZA_FRAME_CONTROL = 0x83,     // membership, registry
    ZA_FRAME_SYSTEM = 0x84,      // za.SysFrame
    ZA_FRAME_MESSAGE = 0x85,     // envelope and body
    ZA_FRAME_MESSAGE_RUN = 0x86, // a body for the envelope before it
    ZA_FRAME_BULK_BEGIN = 0x87,  // the envelope of a body that comes in chunks
    ZA_FRAME_BULK_CHUNK = 0x88,  // bulk id and a part of the body
    ZA_FRAME_ADMIN = 0x89,       // requests and answers of operators
} za_frame_kind_t;

typedef struct za_frame {
    za_frame_kind_t kind;
    za_lane_t lane;
    const uint8_t *payload;
    size_t size; // of the payload, bytes
} za_frame_t;

typedef enum za_split {
    ZA_SPLIT_FRAME,  // *out is a frame of *used bytes
    ZA_SPLIT_MORE,   // the frame goes on behind these bytes
    ZA_SPLIT_BROKEN, // no frame can begin so: ZA_EPROTO, close the connection
} za_split_t;

enum {
    ZA_FRAME_HEADER_BYTES_MAX = 4, // three of length, one of kind and lane
    ZA_FRAME_PAYLOAD_BYTES_MAX = ZA_FRAME_BYTES_MAX - ZA_FRAME_HEADER_BYTES_MAX,
};

/** The first frame in `bytes`. Of an unknown kind: ZA_FRAME_UNKNOWN if it may be skipped. */
za_split_t za_frame_split(const uint8_t *bytes, size_t size, za_frame_t *out, size_t *used);

/**
 * Writes the header of a frame whose payload the caller puts behind it. Returns its bytes, 0 if
 * `capacity` is too small for it or `payload_bytes` over ZA_FRAME_PAYLOAD_BYTES_MAX.
 */
size_t za_frame_header_encode(za_frame_kind_t kind, za_lane_t lane, size_t payload_bytes,
                              uint8_t *out, size_t capacity);
