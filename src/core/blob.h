/**
 * Blobs inside: where they live, and how messages refer to them.
 *
 * Memory   A small blob is one block of the pool. A large one is a block with the head and pages of
 *          its own, which a table of the runtime knows: the end of the runtime unmaps what is left.
 *          All count against `bytes_max`.
 * Threads  Any worker; the last release may be on another than the creation.
 */
#pragma once

#include <zactor/blob.h>

#include "base/memfd.h"
#include "base/pool.h"
#include "core/runtime.h"

enum {
    // Below, a copy is about as cheap as the system calls of a mapping, and pages are wasted.
    ZA_BLOB_MAP_BYTES_DEFAULT = 256 * 1024,
    ZA_BLOB_MAP_BYTES_MIN = 4096,
    ZA_BLOB_MAP_BYTES_MAX = 1024 * 1024, // larger ones would not fit a block of the pool
};

/** Complete for tests; the fields are blob.c's alone. */
struct za_blob {
    za_block_t block; // `flags` 1: sealed
    _Atomic uint32_t refs;
    uint32_t place; // in the table of mapped ones; ZA_BLOB_POOLED: the bytes follow
    size_t size;
    union {
        void *pooled;
        za_memfd_t mapped;
    };
};

#define ZA_BLOB_POOLED UINT32_MAX

/** Complete because the runtime embeds it. */
typedef struct za_blobs {
    uint64_t bytes_max;
    uint64_t map_bytes; // from so many on: mapped
    uint32_t place_count;
    _Atomic(za_blob_t *) *places; // of mapped ones; NULL: free
    _Atomic uint32_t place_hint;
    _Atomic uint64_t bytes; // of all blobs
} za_blobs_t;

za_err_t za_blobs_init(za_blobs_t *blobs, uint64_t bytes_max, uint64_t map_bytes);
/** Unmaps all that is left, whoever refers to it. */
void za_blobs_deinit(za_blobs_t *blobs);

/** As za_blob_create and za_blob_release. */
za_err_t za_blob_make(za_worker_t *worker, size_t size, za_blob_t **out);
void za_blob_drop(za_worker_t *worker, za_blob_t *blob);

/** The body was copied from another message: now both refer to its blobs. */
void za_blobs_retain(za_message_t *message);
/** Gives up what the message refers to. */
void za_blobs_release(za_worker_t *worker, za_message_t *message);
