/**
 * Buffer: a bounded byte queue over memory of its owner. Linear, so that what it holds is one span
 * that parsers and ciphers take as it is; it moves its rest to the front only when the end is
 * reached, which costs at most one copy of each byte.
 *
 * Memory   `bytes` belongs to the owner of the buffer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/pages.h"

typedef struct za_buffer {
    uint8_t *bytes;
    size_t start;
    size_t end;
    size_t capacity;
} za_buffer_t;

static inline void za_buffer_init(za_buffer_t *buffer, uint8_t *bytes, size_t capacity)
{
    *buffer = (za_buffer_t){ .bytes = bytes, .capacity = capacity };
}

static inline const uint8_t *za_buffer_front(const za_buffer_t *buffer)
{
    return buffer->bytes + buffer->start;
}

static inline size_t za_buffer_size(const za_buffer_t *buffer)
{
    return buffer->end - buffer->start;
}

static inline size_t za_buffer_room(const za_buffer_t *buffer)
{
    return buffer->capacity - za_buffer_size(buffer);
}

/** An empty buffer gives the pages of its memory back. */
static inline void za_buffer_rest(za_buffer_t *buffer)
{
    if (buffer->start == buffer->end) {
        za_pages_drop(buffer->bytes, buffer->capacity);
    }
}

/** Drops `size` bytes at the front. */
static inline void za_buffer_drop(za_buffer_t *buffer, size_t size)
{
    ZA_ASSERT(size <= za_buffer_size(buffer));
    buffer->start += size;
    if (buffer->start == buffer->end) {
        buffer->start = 0;
        buffer->end = 0;
    }
}

/** Makes all the room contiguous at the back, and says where it is; za_buffer_grow then takes it. */
static inline uint8_t *za_buffer_back(za_buffer_t *buffer)
{
    if (buffer->start > 0) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, za_buffer_size(buffer));
        buffer->end -= buffer->start;
        buffer->start = 0;
    }
    return buffer->bytes + buffer->end;
}

static inline void za_buffer_grow(za_buffer_t *buffer, size_t size)
{
    ZA_ASSERT(size <= buffer->capacity - buffer->end);
    buffer->end += size;
}

/** Appends as much as there is room for and says how much that was. */
static inline size_t za_buffer_push(za_buffer_t *buffer, const uint8_t *bytes, size_t size)
{
    size_t taken = size < za_buffer_room(buffer) ? size : za_buffer_room(buffer);
    if (taken == 0) {
        return 0;
    }
    uint8_t *back = buffer->bytes + buffer->end;
    if (taken > buffer->capacity - buffer->end) {
        back = za_buffer_back(buffer);
    }
    memcpy(back, bytes, taken);
    buffer->end += taken;
    return taken;
}

/** Takes up to `capacity` bytes out and says how many. */
static inline size_t za_buffer_pull(za_buffer_t *buffer, uint8_t *out, size_t capacity)
{
    size_t size = za_buffer_size(buffer);
    size = size < capacity ? size : capacity;
    if (size == 0) {
        return 0;
    }
    memcpy(out, za_buffer_front(buffer), size);
    za_buffer_drop(buffer, size);
    return size;
}
