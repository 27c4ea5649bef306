/**
 * Message types. A message type is a protobuf message; protoc-gen-zactor makes one za_type_t and one
 * C struct for each (chat.proto -> chat.za.h, chat.za.c). Nobody writes one by hand.
 *
 * Memory   A message is one block: the struct, and behind it the bytes of its za_bytes_t fields, or a
 *          reference to the blob (blob.h) that holds them.
 *          A za_bytes_t says where its bytes are relative to itself, so a block may be copied whole
 *          (za_type_extent bytes), and a struct must not be copied out of its block.
 * Threads  A za_type_t is constant.
 */
#pragma once

#include <string.h>

#include <zactor/ref.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A `string` or `bytes` field without max_size. Written by za_bytes_put or za_bytes_put_blob, read by
 * za_bytes_data and `size`.
 */
typedef struct za_bytes {
    uint32_t offset; // from this field to its first byte, or its slot; 0 if empty
    uint32_t size;   // bytes, wherever they are
} za_bytes_t;

/** Mark in `offset`: there is a za_blob_slot_t instead of the bytes. */
#define ZA_BYTES_BLOB UINT32_C(0x80000000)

/** What stands in the block for bytes of a blob. */
typedef struct za_blob_slot {
    struct za_blob *blob; // the message has a reference of its own
    const void *data;
} za_blob_slot_t;

/** The bytes of `field`, valid as long as the message it lies in. Not NUL-terminated. */
static inline const void *za_bytes_data(const za_bytes_t *field)
{
    const char *at = (const char *)field + (field->offset & ~ZA_BYTES_BLOB);
    if (field->offset & ZA_BYTES_BLOB) {
        za_blob_slot_t slot;
        memcpy(&slot, at, sizeof slot); // it lies anywhere in the block
        return slot.data;
    }
    return at;
}

typedef struct za_type za_type_t;

/** One field as the peer is told of it: what must agree for two builds to talk. */
typedef struct za_field {
    const char *name;
    uint32_t number;     // protobuf field number
    uint8_t kind;        // protobuf FieldDescriptorProto.Type
    uint8_t repeated;    // 1 if repeated
    const char *message; // full name of the field's message type, or NULL
} za_field_t;

struct za_type {
    const char *name;     // protobuf full name, "chat.Hello"
    uint32_t id;          // FNV-1a 32 of `name`: the type's name on the wire
    uint32_t size;        // sizeof the struct, bytes
    uint64_t fingerprint; // FNV-1a 64 over the field table
    const za_field_t *fields;
    uint32_t field_count;
    uint32_t encoded_max; // protobuf bytes of a message at most; 0: no bound but its size
    /** Bytes of the whole block of `message`, >= size. NULL: always `size`. */
    uint32_t (*extent)(const void *message);
    /** Calls `visit` for each za_ref_t in `message`. NULL: the type has none. */
    void (*refs)(void *message, void (*visit)(za_ref_t *ref, void *context), void *context);
    /** Calls `visit` for each za_bytes_t in `message`. NULL: the type has none. */
    void (*bytes)(void *message, void (*visit)(za_bytes_t *field, void *context), void *context);
    /** Bytes that encode would write; ZA_EINVAL for a message out of its own bounds. */
    za_err_t (*encoded_size)(const void *message, size_t *out);
    /** Writes protobuf bytes. ZA_ETOOBIG if `capacity` is too small. */
    za_err_t (*encode)(const void *message, uint8_t *out, size_t capacity, size_t *size);
    /**
     * Reads protobuf bytes into a block of `block_bytes` (size + encoded bytes always suffices).
     * ZA_EPROTO for bytes that are no such message; the block is undefined then.
     */
    za_err_t (*decode)(void *block, size_t block_bytes, const uint8_t *bytes, size_t size);
};

static inline uint32_t za_type_extent(const za_type_t *type, const void *message)
{
    return type->extent != NULL ? type->extent(message) : type->size;
}

/** A type and a message of it, in the form that tell, ask, reply and spawn take. */
// clang-format off
#define ZA_MSG(T, ...) &T##_type, &(const T){ __VA_ARGS__ }
// clang-format on

#ifdef __cplusplus
}
#endif
