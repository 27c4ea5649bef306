/** A message that any layer can send: a number, on the wire as it lies in memory. */
#pragma once

#include <string.h>

#include <zactor/zactor.h>

typedef struct t_Note {
    uint64_t n;
} t_Note;

static inline za_err_t note_size(const void *message, size_t *out)
{
    (void)message;
    *out = sizeof(t_Note);
    return ZA_OK;
}

static inline za_err_t note_encode(const void *message, uint8_t *out, size_t capacity, size_t *size)
{
    if (capacity < sizeof(t_Note)) {
        return ZA_ENOBUFS;
    }
    memcpy(out, message, sizeof(t_Note));
    *size = sizeof(t_Note);
    return ZA_OK;
}

static inline za_err_t note_decode(void *block, size_t block_bytes, const uint8_t *bytes,
                                   size_t size)
{
    if (block_bytes < sizeof(t_Note) || size != sizeof(t_Note)) {
        return ZA_EPROTO;
    }
    memcpy(block, bytes, size);
    return ZA_OK;
}

static const za_type_t t_Note_type = { .name = "t.Note",
                                       .id = 501,
                                       .size = sizeof(t_Note),
                                       .encoded_max = sizeof(t_Note),
                                       .encoded_size = note_size,
                                       .encode = note_encode,
                                       .decode = note_decode };
