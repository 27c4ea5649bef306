/**
 * Member codec: records, datagrams and frames of membership as bytes of proto/zactor/membership.proto,
 * written and read by straight-line code. nanopb reads what this writes and the other way round.
 *
 * Memory  Allocates nothing. What is read points into the bytes.
 * Errors  Wrong bytes are false. Fields of later protocol versions are skipped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/member.h"

enum {
    ZA_MEMBER_DATAGRAM_HEAD_MAX = 2 + 11 + 9 + 9, // kind, seq, target, view_hash
    ZA_MEMBER_DATAGRAM_RECORDS_MAX = 48,          // as in membership.options
    // Everything at its longest, with its key and length in a datagram.
    ZA_MEMBER_RECORD_BYTES_MAX = 3 + 9 + 11 + 2 + 2 + 2 + 2 + 11 + 2 + ZA_NODE_NAME_BYTES_MAX + 2 +
                                 ZA_ADDRESS_BYTES_MAX + 2 * (2 + 8 * ZA_MEMBER_EVIDENCE_MAX) + 11 +
                                 3 + ZA_MEMBER_ROLES_BYTES_MAX + 3 + ZA_MEMBER_META_BYTES_MAX,
    ZA_MEMBER_BRIEF_BYTES_MAX = 2 + 9 + 11 + 2 + 2,
};

static_assert(ZA_MEMBER_DATAGRAM_HEAD_MAX + ZA_MEMBER_RECORD_BYTES_MAX <= ZA_DATAGRAM_BYTES_MAX,
              "any record fits a datagram");

/** A record's fields as they are to be written. */
typedef struct za_member_line {
    uint64_t uid;
    const za_member_opinion_t *opinion;
    const za_member_profile_t *profile; // with texts unless brief
    bool brief;
} za_member_line_t;

/** Bytes of the record itself, without key and length. */
uint32_t za_member_record_bytes(const za_member_line_t *line);
/** Writes field `field` with the record of `bytes` in it; returns the end. */
uint8_t *za_member_record_put(uint8_t *out, uint32_t field, const za_member_line_t *line,
                              uint32_t bytes);
/** Reads a record and checks that it is one. */
bool za_member_record_get(const uint8_t *bytes, size_t size, za_member_news_t *out);

typedef struct za_member_datagram {
    za_DatagramKind kind;
    uint32_t record_count;
    uint64_t seq, target, view_hash;
    const uint8_t *next, *end; // where the records are read from
} za_member_datagram_t;

/** The fields before the records, which the caller puts behind them. */
uint8_t *za_member_head_put(uint8_t *out, za_DatagramKind kind, uint64_t seq, uint64_t target,
                            uint64_t view_hash);
/** All but the records, which the caller puts behind it as field ZA_MEMBER_DATAGRAM_RECORDS. */
uint8_t *za_member_datagram_put(uint8_t *out, const za_member_datagram_t *datagram);
/** Checks all of it, records too. */
bool za_member_datagram_get(const uint8_t *bytes, size_t size, za_member_datagram_t *out);
/** The next of the records; false after the last. */
bool za_member_datagram_record(za_member_datagram_t *datagram, za_member_news_t *out);

enum {
    ZA_MEMBER_DATAGRAM_RECORDS = 5,
    ZA_MEMBER_RECORDS_RECORDS = 1,
    ZA_MEMBER_RECORDS_WANT = 2,
    ZA_MEMBER_DIGEST_BRIEFS = 3,
    ZA_MEMBER_ME = 1, // of Join and of Leave
};

/* ---- fields: for the frames, which are read and written where they are used --------------------- */

typedef struct za_member_field {
    uint32_t key;    // number << 3 | wire type
    uint32_t size;   // of `bytes`
    uint64_t number; // a varint, or 8 or 4 bytes
    const uint8_t *bytes;
} za_member_field_t;

/** Reads the next field. False at the end, and for wrong bytes: then *next is not `end`. */
bool za_member_field_get(const uint8_t **next, const uint8_t *end, za_member_field_t *out);
/** Whether a field that is no known one may be passed over: it is of a later version. */
bool za_member_field_later(const za_member_field_t *field, uint32_t last);

uint8_t *za_member_number_put(uint8_t *out, uint32_t field, uint64_t value); // 0: absent
uint8_t *za_member_fixed_put(uint8_t *out, uint32_t field, uint64_t value);  // 0: absent
uint8_t *za_member_length_put(uint8_t *out, uint32_t field, uint32_t bytes);
uint8_t *za_member_word_put(uint8_t *out, uint64_t value); // 8 bytes, the lowest first
uint64_t za_member_word_get(const uint8_t *bytes);

typedef struct za_member_brief {
    uint64_t uid, inc;
    uint8_t terminal, rank;
} za_member_brief_t;

uint8_t *za_member_brief_put(uint8_t *out, const za_member_brief_t *brief);
bool za_member_brief_get(const uint8_t *bytes, size_t size, za_member_brief_t *out);
