#include "cluster/member_codec.h"

#include <string.h>

#include "base/assert.h"
#include "wire/varint.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

#define KEY(field, wire) ((uint32_t)(field) << 3 | (uint32_t)(wire))

enum record_key {
    RECORD_UID = 1 << 3 | FIXED64,
    RECORD_INC = 2 << 3 | VARINT,
    RECORD_TERMINAL = 3 << 3 | VARINT,
    RECORD_RANK = 4 << 3 | VARINT,
    RECORD_REASON = 5 << 3 | VARINT,
    RECORD_LEAVING = 6 << 3 | VARINT,
    RECORD_JOINED = 7 << 3 | VARINT,
    RECORD_NAME = 8 << 3 | BYTES,
    RECORD_ADDRESS = 9 << 3 | BYTES,
    RECORD_SUSPECTERS = 10 << 3 | BYTES,
    RECORD_SUSPECTER = 10 << 3 | FIXED64, // protobuf readers take both
    RECORD_REFUSED = 11 << 3 | BYTES,
    RECORD_REFUSED_ONE = 11 << 3 | FIXED64,
    RECORD_ATTRIBUTES = 12 << 3 | VARINT,
    RECORD_ROLES = 13 << 3 | BYTES,
    RECORD_META = 14 << 3 | BYTES,
    RECORD_LAST = 14,
};

enum datagram_key {
    DATAGRAM_KIND = 1 << 3 | VARINT,
    DATAGRAM_SEQ = 2 << 3 | VARINT,
    DATAGRAM_TARGET = 3 << 3 | FIXED64,
    DATAGRAM_VIEW_HASH = 4 << 3 | FIXED64,
    DATAGRAM_RECORD = ZA_MEMBER_DATAGRAM_RECORDS << 3 | BYTES,
    DATAGRAM_LAST = 5,
};

enum brief_key {
    BRIEF_UID = 1 << 3 | FIXED64,
    BRIEF_INC = 2 << 3 | VARINT,
    BRIEF_TERMINAL = 3 << 3 | VARINT,
    BRIEF_RANK = 4 << 3 | VARINT,
    BRIEF_LAST = 4,
};

/* ---- fields -------------------------------------------------------------------------------- */

uint64_t za_member_word_get(const uint8_t *bytes)
{
    // Written out, so that compilers make one load of it.
    return (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 |
           (uint64_t)bytes[3] << 24 | (uint64_t)bytes[4] << 32 | (uint64_t)bytes[5] << 40 |
           (uint64_t)bytes[6] << 48 | (uint64_t)bytes[7] << 56;
}

uint8_t *za_member_word_put(uint8_t *out, uint64_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
    out[2] = (uint8_t)(value >> 16);
    out[3] = (uint8_t)(value >> 24);
    out[4] = (uint8_t)(value >> 32);
    out[5] = (uint8_t)(value >> 40);
    out[6] = (uint8_t)(value >> 48);
    out[7] = (uint8_t)(value >> 56);
    return out + 8;
}

/** Most varints are of one byte: those are read here, without a loop. */
static inline bool get_varint(const uint8_t **next, const uint8_t *end, uint64_t *out)
{
    if (*next < end && **next < 0x80) {
        *out = *(*next)++;
        return true;
    }
    return za_varint_get(next, end, out);
}

static inline bool get_field(const uint8_t **next, const uint8_t *end, za_member_field_t *out)
{
    const uint8_t *at = *next;
    uint64_t number;
    if (!get_varint(&at, end, &number) || number >> 32 != 0 || number < 8) {
        return false;
    }
    out->key = (uint32_t)number;
    switch (number & 7) {
    case VARINT:
        if (!get_varint(&at, end, &out->number)) {
            return false;
        }
        break;
    case FIXED64:
        if (end - at < 8) {
            return false;
        }
        out->number = za_member_word_get(at);
        at += 8;
        break;
    case BYTES:
        if (!get_varint(&at, end, &number) || number > (size_t)(end - at)) {
            return false;
        }
        out->bytes = at;
        out->size = (uint32_t)number;
        at += number;
        break;
    case FIXED32:
        if (end - at < 4) {
            return false;
        }
        at += 4;
        break;
    default:
        return false;
    }
    *next = at;
    return true;
}

bool za_member_field_get(const uint8_t **next, const uint8_t *end, za_member_field_t *out)
{
    return get_field(next, end, out);
}

bool za_member_field_later(const za_member_field_t *field, uint32_t last)
{
    return field->key >> 3 > last;
}

uint8_t *za_member_number_put(uint8_t *out, uint32_t field, uint64_t value)
{
    if (value == 0) {
        return out;
    }
    *out++ = (uint8_t)KEY(field, VARINT);
    return za_varint_put(out, value);
}

uint8_t *za_member_fixed_put(uint8_t *out, uint32_t field, uint64_t value)
{
    if (value == 0) {
        return out;
    }
    *out++ = (uint8_t)KEY(field, FIXED64);
    return za_member_word_put(out, value);
}

uint8_t *za_member_length_put(uint8_t *out, uint32_t field, uint32_t bytes)
{
    *out++ = (uint8_t)KEY(field, BYTES);
    return za_varint_put(out, bytes);
}

static uint8_t *put_bytes(uint8_t *out, uint32_t field, const void *bytes, uint32_t size)
{
    if (size == 0) {
        return out;
    }
    out = za_member_length_put(out, field, size);
    memcpy(out, bytes, size);
    return out + size;
}

static uint32_t bytes_size(uint32_t size)
{
    return size == 0 ? 0 : 1 + (uint32_t)za_varint_bytes(size) + size;
}

static uint32_t number_size(uint64_t value)
{
    return value == 0 ? 0 : 1 + (uint32_t)za_varint_bytes(value);
}

/* ---- records ------------------------------------------------------------------------------- */

uint32_t za_member_record_bytes(const za_member_line_t *line)
{
    const za_member_opinion_t *opinion = line->opinion;
    uint32_t bytes = 9 + number_size(opinion->inc) + number_size(opinion->terminal) +
                     number_size(opinion->rank) + number_size(opinion->reason) +
                     number_size(opinion->leaving) + bytes_size(8 * opinion->suspecters.count) +
                     bytes_size(8 * opinion->refused.count) +
                     number_size(line->profile->attributes);
    if (!line->brief) {
        const za_member_profile_t *profile = line->profile;
        bytes += number_size(profile->joined) + bytes_size(profile->name_bytes) +
                 bytes_size(profile->address_bytes) + bytes_size(profile->roles_bytes) +
                 bytes_size(profile->meta_bytes);
    }
    return bytes;
}

static uint8_t *put_evidence(uint8_t *out, uint32_t field, const za_member_evidence_t *evidence)
{
    if (evidence->count > 0) {
        out = za_member_length_put(out, field, 8 * evidence->count);
        for (uint32_t i = 0; i < evidence->count; i++) {
            out = za_member_word_put(out, evidence->uids[i]);
        }
    }
    return out;
}

uint8_t *za_member_record_put(uint8_t *out, uint32_t field, const za_member_line_t *line,
                              uint32_t bytes)
{
    const za_member_opinion_t *opinion = line->opinion;
    const za_member_profile_t *profile = line->profile;
    bool full = !line->brief;
    out = za_member_length_put(out, field, bytes);
    const uint8_t *start = out;
    out = za_member_fixed_put(out, 1, line->uid);
    out = za_member_number_put(out, 2, opinion->inc);
    out = za_member_number_put(out, 3, opinion->terminal);
    out = za_member_number_put(out, 4, opinion->rank);
    out = za_member_number_put(out, 5, opinion->reason);
    out = za_member_number_put(out, 6, opinion->leaving);
    if (full) {
        out = za_member_number_put(out, 7, profile->joined);
        out = put_bytes(out, 8, profile->name, profile->name_bytes);
        out = put_bytes(out, 9, profile->address, profile->address_bytes);
    }
    out = put_evidence(out, 10, &opinion->suspecters);
    out = put_evidence(out, 11, &opinion->refused);
    out = za_member_number_put(out, 12, profile->attributes);
    if (full) {
        out = put_bytes(out, 13, profile->roles, profile->roles_bytes);
        out = put_bytes(out, 14, profile->meta, profile->meta_bytes);
    }
    ZA_ASSERT(out == start + bytes);
    return out;
}

/** Enums are varints of which only small values mean anything: others must not wrap into those. */
static uint8_t small(uint64_t number)
{
    return number > 0xff ? 0xff : (uint8_t)number;
}

static bool get_words(const za_member_field_t *field, za_member_evidence_t *into)
{
    if (field->size % 8 != 0 || field->size / 8 > ZA_MEMBER_EVIDENCE_MAX - into->count) {
        return false;
    }
    for (uint32_t i = 0; i < field->size; i += 8) {
        into->uids[into->count++] = za_member_word_get(field->bytes + i);
    }
    return true;
}

static bool get_word(const za_member_field_t *field, za_member_evidence_t *into)
{
    if (into->count == ZA_MEMBER_EVIDENCE_MAX) {
        return false;
    }
    into->uids[into->count++] = field->number;
    return true;
}

static bool get_record_field(const za_member_field_t *field, za_member_news_t *out)
{
    za_member_profile_t *profile = &out->profile;
    switch (field->key) {
    case RECORD_UID:
        out->uid = field->number;
        return true;
    case RECORD_INC:
        out->opinion.inc = field->number;
        return true;
    case RECORD_TERMINAL:
        out->opinion.terminal = small(field->number);
        return true;
    case RECORD_RANK:
        out->opinion.rank = small(field->number);
        return true;
    case RECORD_REASON:
        out->opinion.reason = small(field->number);
        return true;
    case RECORD_LEAVING:
        out->opinion.leaving = field->number != 0;
        return true;
    case RECORD_JOINED:
        profile->joined = field->number;
        return true;
    case RECORD_NAME:
        profile->name = (const char *)field->bytes;
        profile->name_bytes = field->size;
        return true;
    case RECORD_ADDRESS:
        profile->address = (const char *)field->bytes;
        profile->address_bytes = field->size;
        return true;
    case RECORD_SUSPECTERS:
        return get_words(field, &out->opinion.suspecters);
    case RECORD_SUSPECTER:
        return get_word(field, &out->opinion.suspecters);
    case RECORD_REFUSED:
        return get_words(field, &out->opinion.refused);
    case RECORD_REFUSED_ONE:
        return get_word(field, &out->opinion.refused);
    case RECORD_ATTRIBUTES:
        profile->attributes = field->number;
        return true;
    case RECORD_ROLES:
        profile->roles = (const char *)field->bytes;
        profile->roles_bytes = field->size;
        return true;
    case RECORD_META:
        profile->meta = field->bytes;
        profile->meta_bytes = field->size;
        return true;
    default:
        return za_member_field_later(field, RECORD_LAST);
    }
}

static bool news_valid(const za_member_news_t *news)
{
    const za_member_profile_t *profile = &news->profile;
    if (news->uid == 0 || news->uid == ZA_NODE_NAMED || !za_member_opinion_valid(&news->opinion) ||
        profile->attributes == 0 || profile->attributes > news->opinion.inc) {
        return false;
    }
    if (news->brief) {
        return profile->joined == 0 && profile->address_bytes == 0 && profile->roles_bytes == 0 &&
               profile->meta_bytes == 0;
    }
    return profile->joined <= ZA_MEMBER_LOGICAL_MAX && za_member_profile_valid(profile);
}

bool za_member_record_get(const uint8_t *bytes, size_t size, za_member_news_t *out)
{
    const uint8_t *next = bytes;
    const uint8_t *end = bytes + size;
    out->uid = 0;
    out->opinion.inc = 0;
    out->opinion.terminal = out->opinion.rank = out->opinion.reason = 0;
    out->opinion.leaving = false;
    out->opinion.suspecters.count = out->opinion.refused.count = 0;
    out->profile = (za_member_profile_t){ 0 };
    za_member_field_t field = { 0 };
    while (get_field(&next, end, &field)) {
        if (!get_record_field(&field, out)) {
            return false;
        }
    }
    out->brief = out->profile.name_bytes == 0;
    return next == end && news_valid(out);
}

/* ---- datagrams ----------------------------------------------------------------------------- */

uint8_t *za_member_head_put(uint8_t *out, za_DatagramKind kind, uint64_t seq, uint64_t target,
                            uint64_t view_hash)
{
    if (kind != 0) {
        out[0] = DATAGRAM_KIND;
        out[1] = (uint8_t)kind;
        out += 2;
    }
    out = za_member_number_put(out, 2, seq);
    out = za_member_fixed_put(out, 3, target);
    return za_member_fixed_put(out, 4, view_hash);
}

uint8_t *za_member_datagram_put(uint8_t *out, const za_member_datagram_t *datagram)
{
    return za_member_head_put(out, datagram->kind, datagram->seq, datagram->target,
                              datagram->view_hash);
}

static bool get_datagram_field(const za_member_field_t *field, za_member_datagram_t *out)
{
    za_member_news_t news;
    switch (field->key) {
    case DATAGRAM_KIND:
        if (field->number > _za_DatagramKind_MAX) {
            return false;
        }
        out->kind = (za_DatagramKind)field->number;
        return true;
    case DATAGRAM_SEQ:
        out->seq = field->number;
        return true;
    case DATAGRAM_TARGET:
        out->target = field->number;
        return true;
    case DATAGRAM_VIEW_HASH:
        out->view_hash = field->number;
        return true;
    case DATAGRAM_RECORD:
        out->record_count++;
        return out->record_count <= ZA_MEMBER_DATAGRAM_RECORDS_MAX &&
               za_member_record_get(field->bytes, field->size, &news);
    default:
        return za_member_field_later(field, DATAGRAM_LAST);
    }
}

/** Reads the head as we write it; from the first byte that is another on, the loop below decides. */
static const uint8_t *get_head(const uint8_t *at, const uint8_t *end, za_member_datagram_t *out)
{
    if (end - at >= 2 && at[0] == DATAGRAM_KIND && at[1] <= (uint8_t)_za_DatagramKind_MAX) {
        out->kind = (za_DatagramKind)at[1];
        at += 2;
    }
    if (end - at >= 3 && at[0] == DATAGRAM_SEQ && at[1] >= 0x80 && at[2] < 0x80) {
        out->seq = (at[1] & 0x7fu) | (uint32_t)at[2] << 7; // the first two hours
        at += 3;
    } else if (end - at >= 2 && at[0] == DATAGRAM_SEQ) {
        const uint8_t *value = at + 1;
        at = za_varint_get(&value, end, &out->seq) ? value : at;
    }
    if (end - at >= 9 && at[0] == DATAGRAM_TARGET) {
        out->target = za_member_word_get(at + 1);
        at += 9;
    }
    if (end - at >= 9 && at[0] == DATAGRAM_VIEW_HASH) {
        out->view_hash = za_member_word_get(at + 1);
        at += 9;
    }
    return at;
}

/** Apart, so that what is read without it saves no registers for it. */
__attribute__((noinline)) static bool get_tail(const uint8_t *next, za_member_datagram_t *out)
{
    za_member_field_t field = { 0 };
    while (get_field(&next, out->end, &field)) {
        if (!get_datagram_field(&field, out)) {
            return false;
        }
    }
    return next == out->end;
}

bool za_member_datagram_get(const uint8_t *bytes, size_t size, za_member_datagram_t *out)
{
    *out = (za_member_datagram_t){ .end = bytes + size };
    const uint8_t *next = get_head(bytes, out->end, out);
    out->next = next;
    return next == out->end || get_tail(next, out);
}

bool za_member_datagram_record(za_member_datagram_t *datagram, za_member_news_t *out)
{
    za_member_field_t field = { 0 };
    while (get_field(&datagram->next, datagram->end, &field)) {
        if (field.key == DATAGRAM_RECORD) {
            bool good = za_member_record_get(field.bytes, field.size, out);
            ZA_ASSERT(good); // it was checked
            return true;
        }
    }
    return false;
}

/* ---- briefs of a digest -------------------------------------------------------------------- */

uint8_t *za_member_brief_put(uint8_t *out, const za_member_brief_t *brief)
{
    uint8_t *length = out + 1; // all of it is below 128 bytes
    uint8_t *at = za_member_length_put(out, ZA_MEMBER_DIGEST_BRIEFS, 0);
    at = za_member_fixed_put(at, 1, brief->uid);
    at = za_member_number_put(at, 2, brief->inc);
    at = za_member_number_put(at, 3, brief->terminal);
    at = za_member_number_put(at, 4, brief->rank);
    *length = (uint8_t)(at - length - 1);
    return at;
}

bool za_member_brief_get(const uint8_t *bytes, size_t size, za_member_brief_t *out)
{
    const uint8_t *next = bytes;
    const uint8_t *end = bytes + size;
    za_member_field_t field = { 0 };
    *out = (za_member_brief_t){ 0 };
    while (get_field(&next, end, &field)) {
        switch (field.key) {
        case BRIEF_UID:
            out->uid = field.number;
            break;
        case BRIEF_INC:
            out->inc = field.number;
            break;
        case BRIEF_TERMINAL:
            out->terminal = small(field.number);
            break;
        case BRIEF_RANK:
            out->rank = small(field.number);
            break;
        default:
            if (!za_member_field_later(&field, BRIEF_LAST)) {
                return false;
            }
        }
    }
    return next == end;
}
