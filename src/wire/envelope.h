/**
 * Envelope: what goes in front of a message's body, and how frames carry both.
 *
 * An envelope is the bytes of a za.Envelope (proto/zactor/wire.proto), written and read by
 * straight-line code. Two things keep it short:
 *
 * Tables   Each direction of a connection has tables of targets, senders and types. What is sent in
 *          full is stored by both sides at the same place, which follows from the value alone; an
 *          index stands for it as long as it stays there.
 * Runs     A message that has target, sender and type of the one before it, and nothing else, is
 *          sent as its body alone (ZA_FRAME_MESSAGE_RUN).
 *
 * Order    The frames of one encoder must reach one decoder, all of them and in their order: encode
 *          when the frame goes into the stream, not before.
 * Memory   Allocates nothing. A decoded message points into its frame.
 * Errors   Wrong bytes are ZA_EPROTO, and the decoder is as before.
 */
#pragma once

#include <zactor/ref.h>

#include "wire/frame.h"

enum {
    // Per table. Small enough for the first cache level: a value that lost its place costs four
    // to eight bytes more, not a message.
    ZA_ENVELOPE_TABLE = 256,
    ZA_TRACE_BYTES = 26, // W3C trace context: version, trace id, parent id, flags
    // Frame header, length of the envelope and the longest envelope: every field at its longest.
    ZA_MESSAGE_HEADER_BYTES_MAX = 128,
    // A longer body goes in chunks.
    ZA_MESSAGE_INLINE_BYTES_MAX = ZA_FRAME_BYTES_MAX - ZA_MESSAGE_HEADER_BYTES_MAX,
    // Header of a chunk: frame header and bulk id.
    ZA_CHUNK_HEADER_BYTES_MAX = ZA_FRAME_HEADER_BYTES_MAX + 5,
};

typedef struct za_wire_message {
    za_lane_t lane;
    uint64_t target;      // actor id on the receiving node
    za_ref_t sender;      // node 0: the sending node; ZA_REF_NONE: nobody
    uint32_t type_id;     // 0 only if failed
    uint64_t ask;         // correlation id; 0: none
    bool reply;           // it answers `ask`
    bool failed;          // `ask` failed: no type, no body
    uint32_t reason;      // za_Reason, if failed
    uint32_t budget_ms;   // what is left of the ask's time; 0: no limit
    uint32_t bulk;        // of a bulk: which chunks are its body; else 0
    const uint8_t *trace; // ZA_TRACE_BYTES, or NULL: not traced
    const uint8_t *body;  // NULL while a bulk's chunks are still to come
    uint32_t size;        // of the whole body, bytes
} za_wire_message_t;

/** Complete only because a session embeds it: the fields are envelope.c's alone. */
typedef struct za_envelope_table {
    uint64_t targets[ZA_ENVELOPE_TABLE];
    za_ref_t senders[ZA_ENVELOPE_TABLE];
    uint32_t types[ZA_ENVELOPE_TABLE];
    uint64_t run_target; // of the message before, for runs; 0: none
    za_ref_t run_sender;
    uint32_t run_type;
} za_envelope_table_t;

typedef struct za_envelope_encoder {
    za_envelope_table_t table;
} za_envelope_encoder_t;

typedef struct za_envelope_decoder {
    za_envelope_table_t table;
} za_envelope_decoder_t;

/** All zero, which is also what a zeroed one need not be told. */
void za_envelope_encoder_init(za_envelope_encoder_t *encoder);
void za_envelope_decoder_init(za_envelope_decoder_t *decoder);

/**
 * Writes all of a message's frame but its body (message->size bytes), which the caller puts behind
 * it. Returns the bytes written; ZA_MESSAGE_HEADER_BYTES_MAX are always enough. 0 if `capacity` is
 * not, or the message is none that can be sent so (over ZA_MESSAGE_INLINE_BYTES_MAX): nothing changed.
 */
size_t za_message_frame_encode(za_envelope_encoder_t *encoder, const za_wire_message_t *message,
                               uint8_t *out, size_t capacity);

/** The frame before the chunks of message->bulk (> 0), which together have message->size bytes. */
size_t za_bulk_begin_encode(za_envelope_encoder_t *encoder, const za_wire_message_t *message,
                            uint8_t *out, size_t capacity);

/** Writes all of a chunk's frame but its bytes (1..ZA_CHUNK_BYTES_MAX). 0 as above. */
size_t za_bulk_chunk_encode(za_lane_t lane, uint32_t bulk, size_t chunk_bytes, uint8_t *out,
                            size_t capacity);

/** Reads a MESSAGE, MESSAGE_RUN or BULK_BEGIN frame. ZA_EPROTO for any other and for wrong bytes. */
ZA_MUST_USE za_err_t za_message_frame_decode(za_envelope_decoder_t *decoder,
                                             const za_frame_t *frame, za_wire_message_t *out);

/** Reads a BULK_CHUNK frame. ZA_EPROTO for wrong bytes. */
ZA_MUST_USE za_err_t za_bulk_chunk_decode(const za_frame_t *frame, uint32_t *bulk,
                                          const uint8_t **bytes, size_t *size);
