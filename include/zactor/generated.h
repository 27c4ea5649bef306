/**
 * What generated code (chat.za.c) calls. Nobody else needs this.
 *
 * A message's descriptor is nanopb's, bound to our struct. Beside it stands a table of checks for
 * what nanopb lets through: text that is no UTF-8 or holds a NUL, and bytes over their bound.
 *
 * Memory   Allocates nothing. Decoding writes into the caller's block and never outside it.
 * Threads  Everything here is constant or works on its arguments alone.
 */
#pragma once

#include <zactor/type.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Messages nest at most so deep; protoc-gen-zactor refuses more. */
#define ZA_PB_DEPTH_MAX 16

typedef enum za_pb_check_kind {
    ZA_PB_CHECK_TEXT,    // UTF-8 without NUL
    ZA_PB_CHECK_SIZE,    // bytes of bytes_max at most
    ZA_PB_CHECK_MESSAGE, // a message with checks of its own
} za_pb_check_kind_t;

// nanopb's, by their tags, so that its header is included only where it is used.
struct pb_msgdesc_s;
struct pb_istream_s;
struct pb_ostream_s;
struct pb_field_iter_s;

typedef struct za_pb_type za_pb_type_t;

typedef struct za_pb_check {
    uint32_t number;    // protobuf field number, ascending in the table
    uint32_t bytes_max; // ZA_PB_CHECK_SIZE
    za_pb_check_kind_t kind;
    const za_pb_type_t *message;
} za_pb_check_t;

struct za_pb_type {
    const struct pb_msgdesc_s *fields;
    const za_pb_check_t *checks;
    uint32_t check_count;
    uint32_t size;  // of the struct
    bool has_bytes; // it or a part of it has a za_bytes_t
};

/** Descriptor of za.Ref for the struct za_ref_t. */
extern ZA_API const struct pb_msgdesc_s za_pb_ref_msg;

/** nanopb's callback of every generated message: reads and writes za_bytes_t fields. */
ZA_API bool za_pb_field(struct pb_istream_s *in, struct pb_ostream_s *out,
                        const struct pb_field_iter_s *field);

/** The functions of za_type_t, for any type. */
ZA_API za_err_t za_pb_encoded_size(const za_pb_type_t *type, const void *message, size_t *out);
ZA_API za_err_t za_pb_encode(const za_pb_type_t *type, const void *message, uint8_t *out,
                             size_t capacity, size_t *size);
ZA_API za_err_t za_pb_decode(const za_pb_type_t *type, void *block, size_t block_bytes,
                             const uint8_t *bytes, size_t size);

/** `extent`, grown to hold the bytes of `field` or a part that extends `part_bytes` from `part`. */
static inline uint32_t za_pb_extent_part(uint32_t extent, const void *message, const void *part,
                                         uint64_t part_bytes)
{
    uint64_t end = (uint64_t)((const char *)part - (const char *)message) + part_bytes;
    // A message with such an extent is over every limit: it is refused, not wrapped round.
    end = end < UINT32_MAX ? end : UINT32_MAX;
    return end > extent ? (uint32_t)end : extent;
}

static inline uint32_t za_pb_extent_bytes(uint32_t extent, const void *message,
                                          const za_bytes_t *field)
{
    uint64_t bytes = (uint64_t)(field->offset & ~ZA_BYTES_BLOB) +
                     (field->offset & ZA_BYTES_BLOB ? sizeof(za_blob_slot_t) : field->size);
    bytes = field->size == 0 ? 0 : bytes;
    return za_pb_extent_part(extent, message, field, bytes);
}

#ifdef __cplusplus
}
#endif
