/**
 * What a later minor version of the protocol may say to this one: each message has fields of numbers that
 * nobody uses yet, of all wire types, behind those that are known. Who does not know them passes them over
 * (docs/protocol.md) and must do exactly what it would have done without them.
 */
#include <string.h>

#include "base/assert.h"
#include "cluster/member_codec.h"
#include "cluster/membership.h"
#include "sim/realm_internal.h"
#include "wire/varint.h"

enum {
    LATER_FIELD = 1000,
    LATER_BYTES = 28,
    MESSAGE_BYTES_MAX =
        8 * 1024, // longer ones stay as they are: limits hold for later versions, too
    WIRE_BYTES = 2,
};

static uint8_t *put_key(uint8_t *at, uint32_t field, uint32_t wire)
{
    return za_varint_put(at, (uint64_t)field << 3 | wire);
}

static uint8_t *put_later(uint8_t *at)
{
    static const uint8_t zeros[8] = { 0 };
    const uint8_t *start = at;
    at = put_key(at, LATER_FIELD, 0);
    at = za_varint_put(at, 300);
    at = put_key(at, LATER_FIELD + 1, 1);
    memcpy(at, zeros, 8);
    at = put_key(at + 8, LATER_FIELD + 2, WIRE_BYTES);
    *at++ = 5;
    memcpy(at, "later", 5);
    at = put_key(at + 5, LATER_FIELD + 3, 5);
    memcpy(at, zeros, 4);
    at += 4;
    ZA_ASSERT(at == start + LATER_BYTES);
    return at;
}

/** The field that is a message in messages without messages of their own; 0: none is. */
static uint32_t leaf_of_body(uint32_t body)
{
    switch (body) {
    case za_MembershipFrame_join_tag:
        return za_MembershipJoin_me_tag;
    case za_MembershipFrame_digest_tag:
        return za_MembershipDigest_briefs_tag;
    case za_MembershipFrame_records_tag:
        return za_MembershipRecords_records_tag;
    case za_MembershipFrame_leave_tag:
        return za_MembershipLeave_me_tag;
    default:
        return 0;
    }
}

/** A message, with more behind it and behind each of its fields `leaf`. NULL: it is malformed. */
static uint8_t *put_message(uint8_t *at, const uint8_t *bytes, uint32_t size, uint32_t leaf)
{
    const uint8_t *next = bytes;
    const uint8_t *end = bytes + size;
    const uint8_t *start = next;
    za_member_field_t field = { 0 };
    while (za_member_field_get(&next, end, &field)) {
        if (leaf != 0 && field.key == (leaf << 3 | WIRE_BYTES)) {
            at = put_key(at, leaf, WIRE_BYTES);
            at = za_varint_put(at, field.size + LATER_BYTES);
            memcpy(at, field.bytes, field.size);
            at = put_later(at + field.size);
        } else {
            memcpy(at, start, (size_t)(next - start));
            at += next - start;
        }
        start = next;
    }
    return next == end ? put_later(at) : NULL;
}

/** A frame of membership: its body is a message with messages in it. */
static uint8_t *put_membership(uint8_t *at, const uint8_t *bytes, uint32_t size)
{
    const uint8_t *next = bytes;
    za_member_field_t field = { 0 };
    if (!za_member_field_get(&next, bytes + size, &field) || next != bytes + size ||
        (field.key & 7) != WIRE_BYTES) {
        return NULL;
    }
    // Room for a length of three bytes, as the body is not written yet.
    uint8_t *body = at + 4;
    uint8_t *end = put_message(body, field.bytes, field.size, leaf_of_body(field.key >> 3));
    if (end == NULL) {
        return NULL;
    }
    uint32_t body_bytes = (uint32_t)(end - body);
    at = put_key(at, field.key >> 3, WIRE_BYTES);
    at = za_varint_put(at, body_bytes);
    memmove(at, body, body_bytes);
    return put_later(at + body_bytes);
}

static uint8_t *put_frame(uint8_t *at, const za_effect_t *effect)
{
    if (effect->lane != ZA_LANE_CONTROL) {
        return put_message(at, effect->bytes, effect->size, 0);
    }
    if (effect->size == 0) {
        return NULL;
    }
    *at++ = effect->bytes[0];
    return effect->bytes[0] == ZA_MEMBERSHIP_TAG
               ? put_membership(at, effect->bytes + 1, effect->size - 1)
               : put_message(at, effect->bytes + 1, effect->size - 1, 0);
}

const za_effect_t *za_dialect_speak(const za_effect_t *effect, uint8_t *bytes, za_effect_t *later)
{
    bool datagram = effect->type == ZA_EFFECT_SEND_DATAGRAM;
    if (effect->size > MESSAGE_BYTES_MAX) {
        return effect;
    }
    const uint8_t *end =
        datagram ? put_message(bytes, effect->bytes, effect->size, ZA_MEMBER_DATAGRAM_RECORDS)
                 : put_frame(bytes, effect);
    if (end == NULL || (datagram && end - bytes > ZA_DATAGRAM_BYTES_MAX)) {
        return effect;
    }
    ZA_ASSERT(end - bytes <= ZA_DIALECT_BYTES_MAX);
    *later = *effect;
    later->bytes = bytes;
    later->size = (uint32_t)(end - bytes);
    return later;
}
