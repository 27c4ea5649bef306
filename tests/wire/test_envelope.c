#include "support/za_test.h"

#include <string.h>

#include <pb_decode.h>
#include <pb_encode.h>
#include <zactor/wire.pb.h>

#include "base/rng.h"
#include "wire/envelope.h"

static za_envelope_encoder_t encoder;
static za_envelope_decoder_t decoder;
static uint8_t out[ZA_FRAME_BYTES_MAX];
static const uint8_t body[64] = "a body";
static const uint8_t trace[ZA_TRACE_BYTES] = "\0trace identifier parent!\1";

static void fresh(void)
{
    za_envelope_encoder_init(&encoder);
    za_envelope_decoder_init(&decoder);
}

static za_wire_message_t plain(void)
{
    return (za_wire_message_t){
        .lane = ZA_LANE_USER,
        .target = UINT64_C(1) << 28 | 5,
        .sender = { 0, UINT64_C(2) << 28 | 900 },
        .type_id = 0x12345678,
        .body = body,
        .size = 7,
    };
}

/** Header bytes of `message` in the stream; the whole frame is then in `out`. */
static size_t encode(const za_wire_message_t *message)
{
    size_t head = za_message_frame_encode(&encoder, message, out, sizeof out);
    cr_assert(head > 0 && head <= ZA_MESSAGE_HEADER_BYTES_MAX);
    memcpy(out + head, message->body != NULL ? message->body : body, message->size);
    return head;
}

static za_frame_t split(size_t size)
{
    za_frame_t frame = { .kind = ZA_FRAME_UNKNOWN };
    size_t used = 0;
    cr_assert(za_frame_split(out, size, &frame, &used) == ZA_SPLIT_FRAME && used == size);
    return frame;
}

static bool same(const za_wire_message_t *a, const za_wire_message_t *b)
{
    bool traced = (a->trace != NULL) == (b->trace != NULL) &&
                  (a->trace == NULL || memcmp(a->trace, b->trace, ZA_TRACE_BYTES) == 0);
    return a->lane == b->lane && a->target == b->target && za_ref_equal(a->sender, b->sender) &&
           a->type_id == b->type_id && a->ask == b->ask && a->reply == b->reply &&
           a->failed == b->failed && a->reason == b->reason && a->budget_ms == b->budget_ms &&
           a->bulk == b->bulk && a->size == b->size && traced;
}

static void round_trip(const za_wire_message_t *in)
{
    size_t head = encode(in);
    za_frame_t frame = split(head + in->size);
    za_wire_message_t got;
    cr_assert(za_message_frame_decode(&decoder, &frame, &got) == ZA_OK);
    cr_assert(same(in, &got));
    cr_assert(got.body == out + head);
}

Test(envelope, carries_every_field)
{
    fresh();
    za_wire_message_t message = plain();
    message.sender.node = UINT64_MAX;
    message.ask = UINT64_MAX;
    message.reply = true;
    message.budget_ms = UINT32_MAX;
    message.trace = trace;
    round_trip(&message);
    za_wire_message_t failure = {
        .lane = ZA_LANE_BULK, .target = 9, .ask = 3, .reply = true, .failed = true, .reason = 13
    };
    round_trip(&failure);
}

Test(envelope, longest_fits_its_bound)
{
    fresh();
    za_wire_message_t message = {
        .target = UINT64_MAX,
        .sender = { UINT64_MAX, UINT64_MAX - 1 },
        .type_id = UINT32_MAX,
        .ask = UINT64_MAX,
        .reply = true,
        .budget_ms = UINT32_MAX,
        .trace = trace,
        .bulk = UINT32_MAX,
        .size = ZA_MESSAGE_BYTES_MAX,
    };
    size_t head = za_bulk_begin_encode(&encoder, &message, out, ZA_MESSAGE_HEADER_BYTES_MAX);
    cr_assert(head > 0);
    za_frame_t frame = split(head);
    za_wire_message_t got;
    cr_assert(za_message_frame_decode(&decoder, &frame, &got) == ZA_OK);
    cr_assert(same(&message, &got) && got.body == NULL);
}

// The numbers that docs/protocol.md states.
Test(envelope, costs_what_the_protocol_promises)
{
    fresh();
    za_wire_message_t first = plain();
    cr_expect(encode(&first) <= 24, "the first message: %zu", encode(&first));

    fresh();
    ZA_IGNORE(encode(&first) == 0);
    cr_expect(encode(&first) <= 4, "within a run");
    first.size = 16000;
    size_t head = za_message_frame_encode(&encoder, &first, out, sizeof out);
    cr_expect(head <= 4, "within a run, large: %zu", head);

    za_wire_message_t ask = plain(); // everything known, but an ask
    ask.ask = 1000000;
    ask.budget_ms = 30000;
    cr_expect(encode(&ask) <= 24, "an ask");
    ask.ask = 1000001;
    ask.target += 1 << 8; // takes the other's place in the table
    cr_expect(encode(&ask) <= 24, "an ask of a new actor");
}

Test(envelope, known_values_become_indexes)
{
    fresh();
    za_wire_message_t message = plain();
    size_t first = encode(&message);
    message.budget_ms = 1; // else it would be a run
    size_t second = encode(&message) - 2;
    cr_assert(second < first - 6, "%zu then %zu", first, second);
}

Test(envelope, what_differs_is_no_run)
{
    fresh();
    za_wire_message_t base = plain();
    round_trip(&base);
    round_trip(&base);
    cr_assert(out[1] == (ZA_FRAME_MESSAGE_RUN | ZA_LANE_USER << 5));
    za_wire_message_t other = base;
    other.target++;
    round_trip(&other);
    cr_assert(out[1] == (ZA_FRAME_MESSAGE | ZA_LANE_USER << 5));
    other.sender = ZA_REF_NONE;
    round_trip(&other);
    cr_assert(out[1] == (ZA_FRAME_MESSAGE | ZA_LANE_USER << 5));
    other.type_id++;
    round_trip(&other);
    cr_assert(out[1] == (ZA_FRAME_MESSAGE | ZA_LANE_USER << 5));
    other.trace = trace;
    round_trip(&other);
    cr_assert(out[1] == (ZA_FRAME_MESSAGE | ZA_LANE_USER << 5));
    other.trace = NULL;
    other.budget_ms = 1;
    round_trip(&other);
    cr_assert(out[1] == (ZA_FRAME_MESSAGE | ZA_LANE_USER << 5));
    other.ask = 1;
    round_trip(&other);
    cr_assert(out[1] == (ZA_FRAME_MESSAGE | ZA_LANE_USER << 5));
    other.failed = true;
    other.type_id = 0;
    other.size = 0;
    round_trip(&other);
    cr_assert(out[1] == (ZA_FRAME_MESSAGE | ZA_LANE_USER << 5));
}

static za_wire_message_t random_message(za_rng_t *rng)
{
    uint64_t draw = za_rng_next(rng);
    uint64_t generation = za_rng_next(rng) >> (28 + draw % 36);
    za_wire_message_t message = {
        .lane = (za_lane_t)(draw >> 6 & 3),
        .target = (generation + 1) << 28 | (draw >> 8 & 0x3ff),
        .type_id = (uint32_t)(draw >> 20 & 7) * 0x01000193 + 1,
        .body = body,
        .size = (uint32_t)(draw >> 24 & 31),
    };
    if ((draw >> 30 & 3) != 0) {
        uint64_t node = (draw >> 32 & 7) == 0 ? za_rng_next(rng) : 0;
        message.sender = (za_ref_t){ node, 1 << 28 | (draw >> 36 & 0x1ff) };
    }
    if ((draw >> 48 & 1) != 0) {
        message.ask = za_rng_next(rng) >> (draw >> 50 & 63);
        message.ask += message.ask == 0;
        message.reply = (draw >> 56 & 1) != 0;
        message.budget_ms = (uint32_t)(draw >> 57 & 1) * 4711;
        message.trace = (draw >> 58 & 3) == 0 ? trace : NULL;
    }
    if (message.ask != 0 && (draw >> 60 & 7) == 0) {
        message.failed = true;
        message.reason = (uint32_t)(draw >> 20 & 15);
        message.type_id = 0;
        message.size = 0;
    }
    return message;
}

// Both sides' tables stay equal over any sequence: every message comes out as it went in.
Test(envelope, tables_follow_over_any_sequence)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        fresh();
        za_rng_t rng;
        za_rng_init(&rng, seed);
        za_wire_message_t message = random_message(&rng);
        for (uint32_t i = 0; i < 5000; i++) {
            if (za_rng_next(&rng) % 3 != 0) {
                message = random_message(&rng);
            }
            round_trip(&message);
        }
    }
}

// Our bytes are a za.Envelope to nanopb, field by field.
Test(envelope, nanopb_reads_ours)
{
    za_rng_t rng;
    za_rng_init(&rng, 11);
    for (uint32_t i = 0; i < 20000; i++) {
        fresh(); // no indexes: everything in full
        za_wire_message_t message = random_message(&rng);
        za_frame_t frame = split(encode(&message) + message.size);
        za_Envelope got = za_Envelope_init_zero;
        pb_istream_t stream = pb_istream_from_buffer(frame.payload + 1, frame.payload[0]);
        cr_assert(pb_decode(&stream, za_Envelope_fields, &got), "%s", PB_GET_ERROR(&stream));
        cr_assert(got.target == message.target && got.type == message.type_id);
        cr_assert(got.sender == message.sender.actor && got.sender_node == message.sender.node);
        cr_assert(got.ask == message.ask && got.reply == message.reply);
        cr_assert(got.failed == message.failed && got.reason == message.reason);
        cr_assert(got.budget_ms == message.budget_ms);
        cr_assert(message.trace == NULL || memcmp(got.trace, trace, ZA_TRACE_BYTES) == 0);
        cr_assert(frame.size - 1 - frame.payload[0] == message.size);
    }
}

// nanopb's bytes are a message to us.
Test(envelope, reads_what_nanopb_writes)
{
    za_rng_t rng;
    za_rng_init(&rng, 12);
    for (uint32_t i = 0; i < 20000; i++) {
        fresh();
        za_wire_message_t message = random_message(&rng);
        message.trace = trace; // nanopb always writes a field of fixed length
        za_Envelope envelope = {
            .target = message.target,
            .sender = message.sender.actor,
            .sender_node = message.sender.node,
            .type = message.type_id,
            .ask = message.ask,
            .reply = message.reply,
            .failed = message.failed,
            .reason = message.reason,
            .budget_ms = message.budget_ms,
        };
        memcpy(envelope.trace, trace, ZA_TRACE_BYTES);
        uint8_t bytes[za_Envelope_size];
        pb_ostream_t stream = pb_ostream_from_buffer(bytes, sizeof bytes);
        cr_assert(pb_encode(&stream, za_Envelope_fields, &envelope));
        size_t size = stream.bytes_written;
        size_t head = za_frame_header_encode(ZA_FRAME_MESSAGE, message.lane,
                                             1 + size + message.size, out, sizeof out);
        out[head] = (uint8_t)size;
        memcpy(out + head + 1, bytes, size);
        za_frame_t frame = split(head + 1 + size + message.size);
        za_wire_message_t got;
        cr_assert(za_message_frame_decode(&decoder, &frame, &got) == ZA_OK);
        cr_assert(same(&message, &got));
    }
}

/** Decodes `envelope` as a message of no body. */
static za_err_t decode_raw(const char *envelope, size_t size)
{
    uint8_t payload[64];
    payload[0] = (uint8_t)size;
    memcpy(payload + 1, envelope, size);
    za_frame_t frame = { ZA_FRAME_MESSAGE, ZA_LANE_USER, payload, size + 1 };
    za_wire_message_t got;
    return za_message_frame_decode(&decoder, &frame, &got);
}
#define RAW(text) decode_raw(text, sizeof text - 1)
#define TYPE "\x3d\1\0\0\0"

Test(envelope, skips_fields_of_later_versions)
{
    fresh();
    cr_assert(RAW("\x10\x05" TYPE "\x80\x01\x07\x8a\x01\x02hi") == ZA_OK);
    cr_assert(RAW(TYPE "\x10\x05") == ZA_OK); // and takes any order
}

Test(envelope, refuses_what_makes_no_message)
{
    fresh();
    cr_expect(RAW("") == ZA_EPROTO, "no target");
    cr_expect(RAW("\x10\x05") == ZA_EPROTO, "no type");
    cr_expect(RAW("\x08\x06" TYPE) == ZA_EPROTO, "an entry that was never written");
    cr_expect(RAW("\x08\x81\x02" TYPE) == ZA_EPROTO, "an entry behind the table");
    cr_expect(RAW("\x08\xff\xff\xff\xff\x0f" TYPE) == ZA_EPROTO, "far behind the table");
    cr_expect(RAW("\x10\x05" TYPE) == ZA_OK);
    cr_expect(RAW("\x08\x06" TYPE) == ZA_OK, "the entry just written");
    cr_expect(RAW("\x08\x06\x10\x05" TYPE) == ZA_EPROTO, "index and value");
    cr_expect(RAW("\x10\x05\x18\x07" TYPE) == ZA_EPROTO, "an unknown sender");
    cr_expect(RAW("\x10\x05\x30\x09") == ZA_EPROTO, "an unknown type");
    cr_expect(RAW("\x10\x05\x30\x02") == ZA_OK, "a known type");
    cr_expect(RAW("\x10\x05\x29\1\2\3\4\5\6\7\x08" TYPE) == ZA_EPROTO, "a node without actor");
    cr_expect(RAW("\x10\x05\x48\x01" TYPE) == ZA_EPROTO, "a reply to nothing");
    cr_expect(RAW("\x10\x05\x50\x01") == ZA_EPROTO, "a failure of nothing");
    cr_expect(RAW("\x10\x05\x50\x01\x40\x07") == ZA_OK, "a failure");
    cr_expect(RAW("\x10\x05\x50\x01\x40\x07" TYPE) == ZA_EPROTO, "a failure with a type");
    cr_expect(RAW("\x10\x05\x6a\x01x" TYPE) == ZA_EPROTO, "a trace of another size");
    cr_expect(RAW("\x10\x05\x70\x01" TYPE) == ZA_EPROTO, "bulk fields");
    cr_expect(RAW("\x10\x05\x78\x01" TYPE) == ZA_EPROTO, "bulk fields");
    cr_expect(RAW("\x15\1\2\3\4" TYPE) == ZA_EPROTO, "a known field of another wire type");
    cr_expect(RAW("\x10\x05\x15\1\2\3\4" TYPE) == ZA_EPROTO, "even when it comes rightly as well");
    cr_expect(RAW("\x10\x05\x20\x07" TYPE) == ZA_OK);
    cr_expect(RAW("\x10\x05\x18\x08" TYPE) == ZA_OK, "the sender just written");
    cr_expect(RAW("\x10\x05\x18\x08\x29\1\2\3\4\5\6\7\x08" TYPE) == ZA_EPROTO, "and a node");
    cr_expect(RAW("\x10\x05\x60\xff\xff\xff\xff\x1f" TYPE) == ZA_EPROTO, "over 32 bits");
    cr_expect(RAW("\x10\x05\x83\x01" TYPE) == ZA_EPROTO, "a group");
}

Test(envelope, failure_has_no_body)
{
    fresh();
    static const uint8_t payload[] = { 6, 0x10, 5, 0x50, 1, 0x40, 7, 'x' };
    za_frame_t frame = { ZA_FRAME_MESSAGE, ZA_LANE_USER, payload, sizeof payload };
    za_wire_message_t got;
    cr_assert(za_message_frame_decode(&decoder, &frame, &got) == ZA_EPROTO);
    frame.size--;
    cr_assert(za_message_frame_decode(&decoder, &frame, &got) == ZA_OK);
}

Test(envelope, run_needs_a_message_before)
{
    fresh();
    za_frame_t frame = { ZA_FRAME_MESSAGE_RUN, ZA_LANE_USER, body, 4 };
    za_wire_message_t got;
    cr_assert(za_message_frame_decode(&decoder, &frame, &got) == ZA_EPROTO);
    cr_assert(RAW("\x10\x05\x50\x01\x40\x07") == ZA_OK); // a failure is none
    cr_assert(za_message_frame_decode(&decoder, &frame, &got) == ZA_EPROTO);
    cr_assert(RAW("\x10\x05" TYPE) == ZA_OK);
    cr_assert(za_message_frame_decode(&decoder, &frame, &got) == ZA_OK);
    cr_assert(got.target == 5 && got.type_id == 1 && got.size == 4 && got.body == body);
}

Test(envelope, refused_frame_changes_nothing)
{
    fresh();
    cr_assert(RAW("\x10\x05\x48\x01" TYPE) == ZA_EPROTO);
    cr_assert(RAW("\x08\x06" TYPE) == ZA_EPROTO, "nothing was learned from it");
}

Test(envelope, encoder_refuses_what_cannot_be_sent)
{
    fresh();
    za_wire_message_t message = plain();
    cr_expect(za_message_frame_encode(&encoder, &message, out, 10) == 0, "no room");
    message.size = ZA_MESSAGE_INLINE_BYTES_MAX + 1;
    cr_expect(za_message_frame_encode(&encoder, &message, out, sizeof out) == 0, "too long");
    message.size = ZA_MESSAGE_INLINE_BYTES_MAX;
    cr_expect(za_message_frame_encode(&encoder, &message, out, sizeof out) > 0);
    message.target = 0;
    cr_expect(za_message_frame_encode(&encoder, &message, out, sizeof out) == 0, "to nobody");
    message = plain();
    message.size = ZA_MESSAGE_BYTES_MAX + 1;
    message.bulk = 1;
    cr_expect(za_bulk_begin_encode(&encoder, &message, out, sizeof out) == 0, "over the limit");
}

Test(envelope, chunks_come_out_as_they_went_in)
{
    static const uint32_t ids[] = { 1, 127, 128, UINT32_MAX };
    for (size_t i = 0; i < 4; i++) {
        size_t head = za_bulk_chunk_encode(ZA_LANE_BULK, ids[i], ZA_CHUNK_BYTES_MAX, out,
                                           ZA_CHUNK_HEADER_BYTES_MAX);
        cr_assert(head > 0);
        za_frame_t frame = split(head + ZA_CHUNK_BYTES_MAX);
        uint32_t bulk = 0;
        const uint8_t *bytes = NULL;
        size_t size = 0;
        cr_assert(za_bulk_chunk_decode(&frame, &bulk, &bytes, &size) == ZA_OK);
        cr_assert(bulk == ids[i] && bytes == out + head && size == ZA_CHUNK_BYTES_MAX);
        frame.size++;
        cr_assert(za_bulk_chunk_decode(&frame, &bulk, &bytes, &size) == ZA_EPROTO, "too long");
        frame.size = 1;
        cr_assert(za_bulk_chunk_decode(&frame, &bulk, &bytes, &size) == ZA_EPROTO, "empty");
        frame.size = 0;
        cr_assert(za_bulk_chunk_decode(&frame, &bulk, &bytes, &size) == ZA_EPROTO, "no id");
    }
    cr_assert(za_bulk_chunk_encode(ZA_LANE_BULK, 1, ZA_CHUNK_BYTES_MAX + 1, out, sizeof out) == 0);
    cr_assert(za_bulk_chunk_encode(ZA_LANE_BULK, 0, 1, out, sizeof out) == 0);
}

// Every cut and every changed byte is a message or ZA_EPROTO, and points into its frame.
Test(envelope, damage_stays_in_bounds)
{
    za_rng_t rng;
    za_rng_init(&rng, 99);
    for (uint32_t i = 0; i < 30000; i++) {
        fresh();
        za_wire_message_t message = random_message(&rng);
        za_frame_t frame = split(encode(&message) + message.size);
        uint8_t copy[256];
        memcpy(copy, frame.payload, frame.size);
        uint64_t draw = za_rng_next(&rng);
        copy[draw % frame.size] ^= (uint8_t)(draw >> 32);
        za_frame_t damaged = { frame.kind, frame.lane, copy,
                               draw >> 40 & 1 ? frame.size : (draw >> 41) % frame.size };
        za_wire_message_t got;
        if (za_message_frame_decode(&decoder, &damaged, &got) == ZA_OK) {
            cr_assert(got.body >= copy && got.body + got.size == copy + damaged.size);
        }
    }
}
