#include "core/blob.h"

#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"
#include "core/worker.h"

enum { FLAG_SEALED = 1 };

static_assert(sizeof(za_blob_t) <= 64, "a cache line before the bytes");

/* ---- the table of mapped ones -------------------------------------------------------------- */

za_err_t za_blobs_init(za_blobs_t *blobs, uint64_t bytes_max, uint64_t map_bytes)
{
    memset(blobs, 0, sizeof *blobs);
    map_bytes = map_bytes != 0 ? map_bytes : ZA_BLOB_MAP_BYTES_DEFAULT;
    map_bytes = map_bytes < ZA_BLOB_MAP_BYTES_MIN ? ZA_BLOB_MAP_BYTES_MIN : map_bytes;
    blobs->map_bytes = map_bytes < ZA_BLOB_MAP_BYTES_MAX ? map_bytes : ZA_BLOB_MAP_BYTES_MAX;
    blobs->bytes_max = bytes_max != 0 ? bytes_max : ZA_BLOBS_BYTES_DEFAULT;
    // Each mapped one has at least map_bytes: so one that is within the bound finds a place.
    uint64_t count = blobs->bytes_max / blobs->map_bytes + 1;
    if (count >= ZA_BLOB_POOLED) {
        return ZA_EINVAL;
    }
    void *pages = mmap(NULL, count * sizeof *blobs->places, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
        return ZA_ENOMEM;
    }
    blobs->place_count = (uint32_t)count;
    blobs->places = pages;
    return ZA_OK;
}

void za_blobs_deinit(za_blobs_t *blobs)
{
    for (uint32_t i = 0; i < blobs->place_count; i++) {
        // relaxed: no other thread is left
        za_blob_t *blob = atomic_load_explicit(&blobs->places[i], memory_order_relaxed);
        if (blob != NULL) {
            za_memfd_destroy(&blob->mapped);
        }
    }
    munmap(blobs->places, blobs->place_count * sizeof *blobs->places);
}

static void take_place(za_blobs_t *blobs, za_blob_t *blob)
{
    // relaxed: where to begin; the exchange decides
    uint32_t at = atomic_load_explicit(&blobs->place_hint, memory_order_relaxed);
    for (;; at++) {
        at = at < blobs->place_count ? at : 0;
        za_blob_t *none = NULL;
        // relaxed: read again by whoever frees it, which our user told of the blob; or at the end
        if (atomic_load_explicit(&blobs->places[at], memory_order_relaxed) == NULL &&
            atomic_compare_exchange_strong_explicit(&blobs->places[at], &none, blob,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            break;
        }
    }
    blob->place = at;
    atomic_store_explicit(&blobs->place_hint, at + 1, memory_order_relaxed); // relaxed: a hint
}

/* ---- life ---------------------------------------------------------------------------------- */

static bool take_bytes(za_blobs_t *blobs, size_t size)
{
    // relaxed: a counter, nothing is published by it
    uint64_t before = atomic_fetch_add_explicit(&blobs->bytes, size, memory_order_relaxed);
    if (before + size <= blobs->bytes_max) {
        return true;
    }
    atomic_fetch_sub_explicit(&blobs->bytes, size, memory_order_relaxed); // relaxed: as above
    return false;
}

static void give_bytes_back(za_blobs_t *blobs, size_t size)
{
    atomic_fetch_sub_explicit(&blobs->bytes, size, memory_order_relaxed); // relaxed: a counter
}

static za_err_t fill_mapped(za_blobs_t *blobs, za_blob_t *blob)
{
    za_err_t err = za_memfd_create(blob->size, &blob->mapped);
    if (err == ZA_OK) {
        take_place(blobs, blob);
    }
    return err;
}

static void fill_pooled(za_blob_t *blob)
{
    blob->place = ZA_BLOB_POOLED;
    blob->pooled = (char *)blob + 64; // keeps the bytes on cache lines
    memset(blob->pooled, 0, blob->size);
}

za_err_t za_blob_make(za_worker_t *worker, size_t size, za_blob_t **out)
{
    za_blobs_t *blobs = &worker->runtime->blobs;
    if (size == 0) {
        return ZA_EINVAL;
    }
    if (size > ZA_BLOB_BYTES_MAX) {
        return ZA_ETOOBIG;
    }
    if (!take_bytes(blobs, size)) {
        ZA_TALLY(worker, blobs_refused);
        return ZA_ENOBUFS;
    }
    bool mapped = size >= blobs->map_bytes;
    za_err_t err = ZA_ENOBUFS;
    za_block_t *block =
        za_pool_alloc(&worker->pool, mapped ? sizeof(za_blob_t) : 64 + size, ZA_POOL_BOUNDED);
    if (block == NULL) {
        goto fail_block;
    }
    za_blob_t *blob = (za_blob_t *)(void *)block;
    blob->block.flags = 0;
    blob->size = size;
    atomic_init(&blob->refs, 1);
    if (mapped) {
        err = fill_mapped(blobs, blob);
        if (err != ZA_OK) {
            goto fail_pages;
        }
    } else {
        fill_pooled(blob);
    }
    *out = blob;
    return ZA_OK;

fail_pages:
    za_pool_free(&worker->pool, block);
fail_block:
    give_bytes_back(blobs, size);
    return err;
}

static void *bytes_of(const za_blob_t *blob)
{
    return blob->place == ZA_BLOB_POOLED ? blob->pooled : blob->mapped.pages;
}

#ifdef ZA_SLOW_CHECKS
static uint32_t sum(const void *bytes, size_t size)
{
    return za_fnv32(ZA_FNV32_INIT, bytes, size);
}

static void note_sum(za_blob_t *blob)
{
    if (blob->place == ZA_BLOB_POOLED) {
        blob->block.bytes = sum(blob->pooled, blob->size);
    }
}

/** Nothing but this finds a write to a small one: it shares its pages with what may be written. */
static void check_sum(const za_blob_t *blob)
{
    if (blob->place == ZA_BLOB_POOLED && blob->block.flags & FLAG_SEALED &&
        blob->block.bytes != sum(blob->pooled, blob->size)) {
        za_misuse("a blob", "was written to after it was sealed");
    }
}
#else
static void note_sum(za_blob_t *blob)
{
    (void)blob;
}

static void check_sum(const za_blob_t *blob)
{
    (void)blob;
}
#endif

void za_blob_drop(za_worker_t *worker, za_blob_t *blob)
{
    za_blobs_t *blobs = &worker->runtime->blobs;
    // Whoever frees has seen what all others did with it. pairs: blob-refs
    if (atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    check_sum(blob);
    give_bytes_back(blobs, blob->size);
    if (blob->place != ZA_BLOB_POOLED) {
        za_memfd_destroy(&blob->mapped);
        // relaxed: nobody but a new blob looks
        atomic_store_explicit(&blobs->places[blob->place], NULL, memory_order_relaxed);
    }
    za_pool_free(&worker->pool, &blob->block);
}

/* ---- for users ----------------------------------------------------------------------------- */

za_err_t za_blob_create(za_ctx_t *ctx, size_t size, za_blob_t **out)
{
    return ctx == NULL || out == NULL ? ZA_EINVAL : za_blob_make(ctx->worker, size, out);
}

za_err_t za_blob_copy(za_ctx_t *ctx, const void *bytes, size_t size, za_blob_t **out)
{
    if (ctx == NULL || bytes == NULL || out == NULL) {
        return ZA_EINVAL;
    }
    za_blob_t *blob = NULL;
    za_err_t err = za_blob_make(ctx->worker, size, &blob);
    if (err != ZA_OK) {
        return err;
    }
    memcpy(bytes_of(blob), bytes, size);
    err = za_blob_seal(blob);
    if (err != ZA_OK) {
        za_blob_drop(ctx->worker, blob);
        return err;
    }
    *out = blob;
    return ZA_OK;
}

void *za_blob_edit(za_blob_t *blob)
{
    return blob == NULL || blob->block.flags & FLAG_SEALED ? NULL : bytes_of(blob);
}

za_err_t za_blob_seal(za_blob_t *blob)
{
    if (blob == NULL) {
        return ZA_EINVAL;
    }
    if (blob->block.flags & FLAG_SEALED) {
        return ZA_OK;
    }
    if (blob->place != ZA_BLOB_POOLED) {
        za_err_t err = za_memfd_seal(&blob->mapped);
        if (err != ZA_OK) {
            return err;
        }
    }
    note_sum(blob);
    blob->block.flags |= FLAG_SEALED;
    return ZA_OK;
}

const void *za_blob_data(const za_blob_t *blob)
{
    return blob == NULL ? NULL : bytes_of(blob);
}

size_t za_blob_size(const za_blob_t *blob)
{
    return blob == NULL ? 0 : blob->size;
}

za_blob_t *za_blob_retain(za_blob_t *blob)
{
    if (blob != NULL) {
        // relaxed: the caller has a reference, so it cannot go meanwhile
        atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
    }
    return blob;
}

void za_blob_release(za_ctx_t *ctx, za_blob_t **blob)
{
    if (ctx != NULL && blob != NULL && *blob != NULL) {
        za_blob_drop(ctx->worker, *blob);
        *blob = NULL;
    }
}

/* ---- in messages --------------------------------------------------------------------------- */

za_blob_t *za_bytes_blob(const za_bytes_t *field)
{
    if (field == NULL || !(field->offset & ZA_BYTES_BLOB)) {
        return NULL;
    }
    za_blob_slot_t slot;
    memcpy(&slot, (const char *)field + (field->offset & ~ZA_BYTES_BLOB), sizeof slot);
    return slot.blob;
}

za_err_t za_bytes_put_blob(void *message, za_bytes_t *field, za_blob_t *blob)
{
    if (message == NULL || field == NULL || blob == NULL || !(blob->block.flags & FLAG_SEALED)) {
        return ZA_EINVAL;
    }
    za_message_t *mine = za_message_of(message);
    uintptr_t at = (uintptr_t)field - (uintptr_t)message;
    if (mine->block.kind != ZA_KIND_NEW || at > mine->type->size - sizeof *field ||
        mine->type->bytes == NULL || field->offset & ZA_BYTES_BLOB) {
        return ZA_EINVAL;
    }
    if (sizeof(za_blob_slot_t) > mine->block.bytes - mine->used) {
        return ZA_ETOOBIG;
    }
    za_blob_slot_t slot = { .blob = za_blob_retain(blob), .data = bytes_of(blob) };
    memcpy((char *)message + mine->used, &slot, sizeof slot);
    field->offset = (uint32_t)(mine->used - at) | ZA_BYTES_BLOB;
    field->size = (uint32_t)blob->size;
    mine->used += sizeof slot;
    mine->block.flags |= ZA_FLAG_SHARES;
    return ZA_OK;
}

static void retain_field(za_bytes_t *field, void *context)
{
    za_blob_t *blob = za_bytes_blob(field);
    if (blob != NULL) {
        za_blob_retain(blob);
        ((za_message_t *)context)->block.flags |= ZA_FLAG_SHARES;
    }
}

void za_blobs_retain(za_message_t *message)
{
    message->type->bytes(za_body(message), retain_field, message);
}

static void release_field(za_bytes_t *field, void *context)
{
    za_blob_t *blob = za_bytes_blob(field);
    if (blob != NULL) {
        za_blob_drop(context, blob);
        *field = (za_bytes_t){ 0, 0 };
    }
}

void za_blobs_release(za_worker_t *worker, za_message_t *message)
{
    message->type->bytes(za_body(message), release_field, worker);
}
