#include "wire/envelope.h"

#include <string.h>

#include "base/assert.h"
#include "wire/varint.h"

/** za.Envelope's fields with their wire types: the key bytes as they stand on the wire. */
enum key {
    KEY_TARGET_INDEX = 1 << 3 | 0,
    KEY_TARGET = 2 << 3 | 0,
    KEY_SENDER_INDEX = 3 << 3 | 0,
    KEY_SENDER = 4 << 3 | 0,
    KEY_SENDER_NODE = 5 << 3 | 1,
    KEY_TYPE_INDEX = 6 << 3 | 0,
    KEY_TYPE = 7 << 3 | 5,
    KEY_ASK = 8 << 3 | 0,
    KEY_REPLY = 9 << 3 | 0,
    KEY_FAILED = 10 << 3 | 0,
    KEY_REASON = 11 << 3 | 0,
    KEY_BUDGET = 12 << 3 | 0,
    KEY_TRACE = 13 << 3 | 2,
    KEY_BODY_BYTES = 14 << 3 | 0,
    KEY_BULK = 15 << 3 | 0,
};

enum {
    VARINT64 = 1 + 10, // key and longest value
    VARINT32 = 1 + 5,
    ENVELOPE_BYTES_MAX = VARINT64 /* target */ + VARINT64 /* sender */ + 9 /* its node */ +
                         5 /* type */ + VARINT64 /* ask */ + 2 /* reply */ + 2 /* failed */ +
                         VARINT32 /* reason */ + VARINT32 /* budget */ + 2 + ZA_TRACE_BYTES +
                         VARINT32 /* body_bytes */ + VARINT32 /* bulk */,
};

static_assert(ENVELOPE_BYTES_MAX < 0x80, "the envelope's length has one byte");
static_assert(ZA_FRAME_HEADER_BYTES_MAX + 1 + ENVELOPE_BYTES_MAX <= ZA_MESSAGE_HEADER_BYTES_MAX,
              "the longest header fits");
static_assert(ZA_CHUNK_BYTES_MAX + 5 <= ZA_FRAME_PAYLOAD_BYTES_MAX, "a chunk fits a frame");

/* ---- tables: where a value stands follows from the value, so that both sides agree ----------- */

static uint32_t target_place(uint64_t target)
{
    return (uint32_t)target % ZA_ENVELOPE_TABLE; // low bits of the slot: neighbours do not collide
}

static uint32_t sender_place(za_ref_t sender)
{
    return (uint32_t)(sender.actor ^ sender.node) % ZA_ENVELOPE_TABLE;
}

static uint32_t type_place(uint32_t type_id)
{
    return type_id % ZA_ENVELOPE_TABLE; // a hash already
}

static void table_learn(za_envelope_table_t *table, const za_wire_message_t *message)
{
    table->targets[target_place(message->target)] = message->target;
    if (!za_ref_is_none(message->sender)) {
        table->senders[sender_place(message->sender)] = message->sender;
    }
    if (message->type_id != 0) {
        table->types[type_place(message->type_id)] = message->type_id;
    }
    table->run_target = message->target; // after a failure no run: its type is 0
    table->run_sender = message->sender;
    table->run_type = message->type_id;
}

static bool is_run(const za_envelope_table_t *table, const za_wire_message_t *message)
{
    return table->run_target == message->target &&
           za_ref_equal(table->run_sender, message->sender) &&
           table->run_type == message->type_id && message->ask == 0 && message->budget_ms == 0 &&
           message->trace == NULL && !message->failed;
}

/** What a message must be on either side of the wire. */
static bool is_sound(const za_wire_message_t *message)
{
    if (message->target == 0 || (message->type_id == 0) != message->failed) {
        return false;
    }
    if (message->ask == 0 && (message->reply || message->failed)) {
        return false;
    }
    if (message->failed && message->size != 0) {
        return false;
    }
    return message->size <= ZA_MESSAGE_BYTES_MAX && (message->bulk == 0 || message->size != 0);
}

void za_envelope_encoder_init(za_envelope_encoder_t *encoder)
{
    memset(encoder, 0, sizeof *encoder);
}

void za_envelope_decoder_init(za_envelope_decoder_t *decoder)
{
    memset(decoder, 0, sizeof *decoder);
}

/* ---- writing --------------------------------------------------------------------------------- */

static uint8_t *put_number(uint8_t *out, enum key key, uint64_t value)
{
    if (value != 0) { // absent is 0
        *out++ = (uint8_t)key;
        out = za_varint_put(out, value);
    }
    return out;
}

static uint8_t *put_fixed(uint8_t *out, enum key key, uint64_t value, unsigned bytes)
{
    *out++ = (uint8_t)key;
    for (unsigned i = 0; i < bytes; i++) {
        *out++ = (uint8_t)(value >> (8 * i));
    }
    return out;
}

static uint8_t *put_addresses(const za_envelope_table_t *table, const za_wire_message_t *message,
                              uint8_t *out)
{
    uint32_t place = target_place(message->target);
    bool known = table->targets[place] == message->target;
    out = known ? put_number(out, KEY_TARGET_INDEX, place + 1)
                : put_number(out, KEY_TARGET, message->target);

    if (!za_ref_is_none(message->sender)) {
        place = sender_place(message->sender);
        if (za_ref_equal(table->senders[place], message->sender)) {
            out = put_number(out, KEY_SENDER_INDEX, place + 1);
        } else {
            out = put_number(out, KEY_SENDER, message->sender.actor);
            if (message->sender.node != 0) {
                out = put_fixed(out, KEY_SENDER_NODE, message->sender.node, 8);
            }
        }
    }
    if (message->type_id != 0) {
        place = type_place(message->type_id);
        known = table->types[place] == message->type_id;
        out = known ? put_number(out, KEY_TYPE_INDEX, place + 1)
                    : put_fixed(out, KEY_TYPE, message->type_id, 4);
    }
    return out;
}

/** Writes an envelope of at most ENVELOPE_BYTES_MAX; returns its end. */
static uint8_t *put_envelope(const za_envelope_table_t *table, const za_wire_message_t *message,
                             bool bulk, uint8_t *out)
{
    out = put_addresses(table, message, out);
    out = put_number(out, KEY_ASK, message->ask);
    out = put_number(out, KEY_REPLY, message->reply);
    out = put_number(out, KEY_FAILED, message->failed);
    out = put_number(out, KEY_REASON, message->failed ? message->reason : 0);
    out = put_number(out, KEY_BUDGET, message->budget_ms);
    if (message->trace != NULL) {
        *out++ = KEY_TRACE;
        *out++ = ZA_TRACE_BYTES;
        memcpy(out, message->trace, ZA_TRACE_BYTES);
        out += ZA_TRACE_BYTES;
    }
    if (bulk) {
        out = put_number(out, KEY_BODY_BYTES, message->size);
        out = put_number(out, KEY_BULK, message->bulk);
    }
    return out;
}

/** The frame of an envelope; `body_bytes` follow in the same frame. */
static size_t put_frame(za_envelope_encoder_t *encoder, za_frame_kind_t kind,
                        const za_wire_message_t *message, size_t body_bytes, uint8_t *out,
                        size_t capacity)
{
    uint8_t envelope[ENVELOPE_BYTES_MAX];
    bool bulk = kind == ZA_FRAME_BULK_BEGIN;
    size_t size = (size_t)(put_envelope(&encoder->table, message, bulk, envelope) - envelope);
    ZA_ASSERT(size <= sizeof envelope);
    size_t prefix = bulk ? 0 : 1; // a bulk's envelope is the whole payload
    size_t head =
        za_frame_header_encode(kind, message->lane, prefix + size + body_bytes, out, capacity);
    if (head == 0 || capacity - head < prefix + size) {
        return 0;
    }
    if (!bulk) {
        out[head++] = (uint8_t)size;
    }
    memcpy(out + head, envelope, size);
    table_learn(&encoder->table, message);
    return head + size;
}

size_t za_message_frame_encode(za_envelope_encoder_t *encoder, const za_wire_message_t *message,
                               uint8_t *out, size_t capacity)
{
    if (!is_sound(message) || message->size > ZA_MESSAGE_INLINE_BYTES_MAX) {
        return 0;
    }
    if (is_run(&encoder->table, message)) {
        return za_frame_header_encode(ZA_FRAME_MESSAGE_RUN, message->lane, message->size, out,
                                      capacity);
    }
    return put_frame(encoder, ZA_FRAME_MESSAGE, message, message->size, out, capacity);
}

size_t za_bulk_begin_encode(za_envelope_encoder_t *encoder, const za_wire_message_t *message,
                            uint8_t *out, size_t capacity)
{
    if (!is_sound(message) || message->bulk == 0) {
        return 0;
    }
    return put_frame(encoder, ZA_FRAME_BULK_BEGIN, message, 0, out, capacity);
}

size_t za_bulk_chunk_encode(za_lane_t lane, uint32_t bulk, size_t chunk_bytes, uint8_t *out,
                            size_t capacity)
{
    if (bulk == 0 || chunk_bytes == 0 || chunk_bytes > ZA_CHUNK_BYTES_MAX) {
        return 0;
    }
    size_t id = za_varint_bytes(bulk);
    size_t head =
        za_frame_header_encode(ZA_FRAME_BULK_CHUNK, lane, id + chunk_bytes, out, capacity);
    if (head == 0 || capacity - head < id) {
        return 0;
    }
    za_varint_put(out + head, bulk);
    return head + id;
}

/* ---- reading --------------------------------------------------------------------------------- */

/** An envelope as it came. */
typedef struct raw {
    uint64_t target, sender, sender_node, ask;
    uint32_t target_index, sender_index, type_index, type, reason, budget_ms, body_bytes, bulk;
    bool reply, failed;
    const uint8_t *trace;
} raw_t;

static bool get_u32(const uint8_t **next, const uint8_t *end, uint32_t *out)
{
    uint64_t value;
    if (!za_varint_get(next, end, &value) || value > UINT32_MAX) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool get_bool(const uint8_t **next, const uint8_t *end, bool *out)
{
    uint64_t value;
    if (!za_varint_get(next, end, &value)) {
        return false;
    }
    *out = value != 0;
    return true;
}

static bool get_fixed(const uint8_t **next, const uint8_t *end, unsigned bytes, uint64_t *out)
{
    if ((size_t)(end - *next) < bytes) {
        return false;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)(*next)[i] << (8 * i);
    }
    *next += bytes;
    *out = value;
    return true;
}

static bool get_delimited(const uint8_t **next, const uint8_t *end, const uint8_t **out,
                          uint64_t *size)
{
    if (!za_varint_get(next, end, size) || *size > (size_t)(end - *next)) {
        return false;
    }
    *out = *next;
    *next += *size;
    return true;
}

/** Moves over a field of a later protocol version. */
static bool skip_field(uint64_t key, const uint8_t **next, const uint8_t *end)
{
    uint64_t number;
    const uint8_t *bytes;
    // A field known here with another wire type is no field of a later version.
    if (key >> 3 <= KEY_BULK >> 3 || key >> 32 != 0) {
        return false;
    }
    switch (key & 7) {
    case 0:
        return za_varint_get(next, end, &number);
    case 1:
        return get_fixed(next, end, 8, &number);
    case 2:
        return get_delimited(next, end, &bytes, &number);
    case 5:
        return get_fixed(next, end, 4, &number);
    default:
        return false;
    }
}

static bool get_field(const uint8_t **next, const uint8_t *end, raw_t *raw)
{
    uint64_t key;
    uint64_t number = 0;
    bool good;
    if (!za_varint_get(next, end, &key)) {
        return false;
    }
    switch (key) {
    case KEY_TARGET_INDEX:
        return get_u32(next, end, &raw->target_index);
    case KEY_TARGET:
        return za_varint_get(next, end, &raw->target);
    case KEY_SENDER_INDEX:
        return get_u32(next, end, &raw->sender_index);
    case KEY_SENDER:
        return za_varint_get(next, end, &raw->sender);
    case KEY_SENDER_NODE:
        return get_fixed(next, end, 8, &raw->sender_node);
    case KEY_TYPE_INDEX:
        return get_u32(next, end, &raw->type_index);
    case KEY_TYPE:
        good = get_fixed(next, end, 4, &number);
        raw->type = (uint32_t)number;
        return good;
    case KEY_ASK:
        return za_varint_get(next, end, &raw->ask);
    case KEY_REPLY:
        return get_bool(next, end, &raw->reply);
    case KEY_FAILED:
        return get_bool(next, end, &raw->failed);
    case KEY_REASON:
        return get_u32(next, end, &raw->reason);
    case KEY_BUDGET:
        return get_u32(next, end, &raw->budget_ms);
    case KEY_TRACE:
        return get_delimited(next, end, &raw->trace, &number) && number == ZA_TRACE_BYTES;
    case KEY_BODY_BYTES:
        return get_u32(next, end, &raw->body_bytes);
    case KEY_BULK:
        return get_u32(next, end, &raw->bulk);
    default:
        return skip_field(key, next, end);
    }
}

static bool resolve_target(const za_envelope_table_t *table, const raw_t *raw, uint64_t *out)
{
    if (raw->target_index != 0) {
        if (raw->target != 0 || raw->target_index > ZA_ENVELOPE_TABLE) {
            return false;
        }
        *out = table->targets[raw->target_index - 1];
    } else {
        *out = raw->target;
    }
    return *out != 0;
}

static bool resolve_sender(const za_envelope_table_t *table, const raw_t *raw, za_ref_t *out)
{
    if (raw->sender_index == 0) {
        *out = (za_ref_t){ raw->sender_node, raw->sender };
        return raw->sender != 0 || raw->sender_node == 0;
    }
    if (raw->sender != 0 || raw->sender_node != 0 || raw->sender_index > ZA_ENVELOPE_TABLE) {
        return false;
    }
    *out = table->senders[raw->sender_index - 1];
    return out->actor != 0;
}

static bool resolve_type(const za_envelope_table_t *table, const raw_t *raw, uint32_t *out)
{
    if (raw->type_index == 0) {
        *out = raw->type;
        return true;
    }
    if (raw->type != 0 || raw->type_index > ZA_ENVELOPE_TABLE) {
        return false;
    }
    *out = table->types[raw->type_index - 1];
    return *out != 0;
}

static bool get_envelope(const za_envelope_table_t *table, const uint8_t *bytes, size_t size,
                         za_wire_message_t *out)
{
    raw_t raw = { 0 };
    const uint8_t *next = bytes;
    const uint8_t *end = bytes + size;
    while (next < end) {
        if (!get_field(&next, end, &raw)) {
            return false;
        }
    }
    out->ask = raw.ask;
    out->reply = raw.reply;
    out->failed = raw.failed;
    out->reason = raw.reason;
    out->budget_ms = raw.budget_ms;
    out->trace = raw.trace;
    out->bulk = raw.bulk;
    out->size = raw.body_bytes;
    return resolve_target(table, &raw, &out->target) && resolve_sender(table, &raw, &out->sender) &&
           resolve_type(table, &raw, &out->type_id);
}

static bool get_message(const za_envelope_table_t *table, const za_frame_t *frame,
                        za_wire_message_t *out)
{
    const uint8_t *next = frame->payload;
    const uint8_t *end = frame->payload + frame->size;
    const uint8_t *envelope;
    uint64_t size;
    if (!get_delimited(&next, end, &envelope, &size) ||
        !get_envelope(table, envelope, (size_t)size, out) || out->bulk != 0 || out->size != 0) {
        return false;
    }
    out->body = next;
    out->size = (uint32_t)(end - next);
    return true;
}

static bool get_run(const za_envelope_table_t *table, const za_frame_t *frame,
                    za_wire_message_t *out)
{
    out->target = table->run_target; // 0, which is refused, if there is no message before
    out->sender = table->run_sender;
    out->type_id = table->run_type;
    out->body = frame->payload;
    out->size = (uint32_t)frame->size;
    return true;
}

za_err_t za_message_frame_decode(za_envelope_decoder_t *decoder, const za_frame_t *frame,
                                 za_wire_message_t *out)
{
    za_wire_message_t message = { .lane = frame->lane };
    bool good = false;
    if (frame->kind == ZA_FRAME_MESSAGE) {
        good = get_message(&decoder->table, frame, &message);
    } else if (frame->kind == ZA_FRAME_MESSAGE_RUN) {
        good = get_run(&decoder->table, frame, &message);
    } else if (frame->kind == ZA_FRAME_BULK_BEGIN) {
        good = get_envelope(&decoder->table, frame->payload, frame->size, &message) &&
               message.bulk != 0;
    }
    if (!good || !is_sound(&message)) {
        return ZA_EPROTO;
    }
    table_learn(&decoder->table, &message);
    *out = message;
    return ZA_OK;
}

za_err_t za_bulk_chunk_decode(const za_frame_t *frame, uint32_t *bulk, const uint8_t **bytes,
                              size_t *size)
{
    const uint8_t *next = frame->payload;
    const uint8_t *end = frame->payload + frame->size;
    uint32_t id;
    if (frame->kind != ZA_FRAME_BULK_CHUNK || !get_u32(&next, end, &id) || id == 0 || next == end ||
        end - next > ZA_CHUNK_BYTES_MAX) {
        return ZA_EPROTO;
    }
    *bulk = id;
    *bytes = next;
    *size = (size_t)(end - next);
    return ZA_OK;
}
