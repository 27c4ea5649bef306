#include <string.h>

#include <pb_decode.h>
#include <pb_encode.h>

#include <zactor/generated.h>

#include "base/assert.h"
#include "wire/utf8.h"
#include "wire/varint.h"

#define za_pb_ref_FIELDLIST(X, a)                                                                  \
    X(a, STATIC, SINGULAR, FIXED64, node, 1)                                                       \
    X(a, STATIC, SINGULAR, FIXED64, actor, 2)
#define za_pb_ref_DEFAULT NULL
#define za_pb_ref_CALLBACK NULL
// PB_BIND names what it defines after the struct.
#define za_ref_t_msg za_pb_ref_msg
PB_BIND(za_pb_ref, za_ref_t, 4)
#undef za_ref_t_msg

/**
 * The input of a message with za_bytes_t fields. nanopb's substreams copy the pointer to it, so all
 * of them share it; that is how a field deep inside finds the room behind the message.
 */
typedef struct input {
    const uint8_t *next;
    uint8_t *room; // first free byte of the block
    size_t room_bytes;
} input_t;

static bool read_input(pb_istream_t *stream, pb_byte_t *out, size_t count)
{
    input_t *input = stream->state;
    memcpy(out, input->next, count); // nanopb has checked `count` against bytes_left
    input->next += count;
    return true;
}

static bool decode_bytes(pb_istream_t *in, za_bytes_t *field)
{
    input_t *input = in->state;
    size_t size = in->bytes_left;
    if (size > input->room_bytes) {
        return false;
    }
    if (size == 0) {
        *field = (za_bytes_t){ 0, 0 };
        return true;
    }
    memcpy(input->room, input->next, size);
    field->offset = (uint32_t)(input->room - (uint8_t *)field);
    field->size = (uint32_t)size;
    input->room += size;
    input->room_bytes -= size;
    input->next += size;
    in->bytes_left = 0;
    return true;
}

bool za_pb_field(pb_istream_t *in, pb_ostream_t *out, const pb_field_iter_t *field)
{
    if (in != NULL) {
        // A scalar sent for this field comes in a buffer of nanopb's own, without our input.
        return in->callback == read_input && decode_bytes(in, field->pData);
    }
    const za_bytes_t *bytes = field->pData;
    return bytes->size == 0 || (pb_encode_tag_for_field(out, field) &&
                                pb_encode_string(out, za_bytes_data(bytes), bytes->size));
}

/* ---- checks --------------------------------------------------------------------------------- */

typedef struct scope {
    const za_pb_type_t *type;
    const uint8_t *end;
} scope_t;

static const za_pb_check_t *find_check(const za_pb_type_t *type, uint32_t number)
{
    for (uint32_t i = 0; i < type->check_count && type->checks[i].number <= number; i++) {
        if (type->checks[i].number == number) {
            return &type->checks[i];
        }
    }
    return NULL;
}

static bool check_text(const uint8_t *text, size_t size)
{
    return memchr(text, 0, size) == NULL && za_utf8_valid(text, size);
}

/** Checks one length-delimited field; opens a scope where a message with checks begins. */
static bool check_delimited(const za_pb_check_t *check, const uint8_t *bytes, size_t size,
                            scope_t scopes[], uint32_t *depth)
{
    switch (check->kind) {
    case ZA_PB_CHECK_TEXT:
        return check_text(bytes, size); // nanopb knows its bound
    case ZA_PB_CHECK_SIZE:
        return size <= check->bytes_max;
    case ZA_PB_CHECK_MESSAGE:
        if (*depth == ZA_PB_DEPTH_MAX) {
            return false;
        }
        scopes[(*depth)++] = (scope_t){ check->message, bytes + size };
        return true;
    }
    return false;
}

/** Moves over one field. */
static bool check_field(const uint8_t **next, scope_t scopes[], uint32_t *depth)
{
    const scope_t *scope = &scopes[*depth - 1];
    const uint8_t *end = scope->end;
    uint64_t key;
    uint64_t value;
    if (!za_varint_get(next, end, &key) || key >> 3 == 0 || key >> 32 != 0) {
        return false;
    }
    size_t left = (size_t)(end - *next);
    switch (key & 7) {
    case PB_WT_VARINT:
        return za_varint_get(next, end, &value);
    case PB_WT_64BIT:
        *next += left < 8 ? 0 : 8;
        return left >= 8;
    case PB_WT_32BIT:
        *next += left < 4 ? 0 : 4;
        return left >= 4;
    case PB_WT_STRING:
        break;
    default:
        return false; // groups
    }
    if (!za_varint_get(next, end, &value) || value > (size_t)(end - *next)) {
        return false;
    }
    const za_pb_check_t *check = find_check(scope->type, (uint32_t)(key >> 3));
    const uint8_t *bytes = *next;
    if (check == NULL || check->kind != ZA_PB_CHECK_MESSAGE) {
        *next += value;
    }
    return check == NULL || check_delimited(check, bytes, (size_t)value, scopes, depth);
}

/** What nanopb would let through: text that is none, bytes over their bound. */
static bool check_message(const za_pb_type_t *type, const uint8_t *bytes, size_t size)
{
    scope_t scopes[ZA_PB_DEPTH_MAX];
    uint32_t depth = 1;
    const uint8_t *next = bytes;
    scopes[0] = (scope_t){ type, bytes + size };
    while (depth > 0) {
        if (next == scopes[depth - 1].end) {
            depth--;
        } else if (!check_field(&next, scopes, &depth)) {
            return false;
        }
    }
    return true;
}

/* ---- the functions of za_type_t ------------------------------------------------------------- */

za_err_t za_pb_encoded_size(const za_pb_type_t *type, const void *message, size_t *out)
{
    return pb_get_encoded_size(out, type->fields, message) ? ZA_OK : ZA_EINVAL;
}

za_err_t za_pb_encode(const za_pb_type_t *type, const void *message, uint8_t *out, size_t capacity,
                      size_t *size)
{
    pb_ostream_t stream = pb_ostream_from_buffer(out, capacity);
    if (!pb_encode(&stream, type->fields, message)) {
        size_t wanted;
        bool too_big = pb_get_encoded_size(&wanted, type->fields, message) && wanted > capacity;
        return too_big ? ZA_ETOOBIG : ZA_EINVAL;
    }
    // The far side would refuse it: here its author can still be told.
    if (type->check_count > 0 && !check_message(type, out, stream.bytes_written)) {
        return ZA_EINVAL;
    }
    *size = stream.bytes_written;
    return ZA_OK;
}

za_err_t za_pb_decode(const za_pb_type_t *type, void *block, size_t block_bytes,
                      const uint8_t *bytes, size_t size)
{
    ZA_ASSERT(block != NULL && (bytes != NULL || size == 0));
    if (block_bytes < type->size) {
        return ZA_ETOOBIG;
    }
    if (type->check_count > 0 && !check_message(type, bytes, size)) {
        return ZA_EPROTO;
    }
    memset(block, 0, type->size); // nanopb does not touch callback fields that do not come
    pb_istream_t stream;
    input_t input = { bytes, (uint8_t *)block + type->size, block_bytes - type->size };
    if (type->has_bytes) {
        stream = (pb_istream_t){ .callback = read_input, .state = &input, .bytes_left = size };
    } else {
        stream = pb_istream_from_buffer(bytes, size);
    }
    return pb_decode_ex(&stream, type->fields, block, PB_DECODE_NOINIT) ? ZA_OK : ZA_EPROTO;
}
