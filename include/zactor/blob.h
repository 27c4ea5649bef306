/**
 * Blobs: large payloads that are written once and then only read, by everybody, from one memory.
 *
 * A blob is filled by its maker, sealed, and put into messages (za_bytes_put_blob). On one node a
 * message then carries the reference: sent to ten thousand actors, 64 MiB stay 64 MiB. To another node
 * go its bytes, within the size of a message; the receiver finds them in the message itself and
 * reads them in the same way (za_bytes_data).
 *
 * From 256 KiB on (the node's blob_map_bytes) a blob has pages of its own, which the kernel seals
 * (memfd): whoever writes to them faults. Smaller ones are in the pool; debug builds check that
 * nobody wrote. As Erlang's reference-counted binaries, with the kernel as the judge of immutability.
 *
 * Memory   Counted: whoever holds a za_blob_t releases it; a message holds one of its own from
 *          za_bytes_put_blob until it is gone. An actor that has one in its state releases it in
 *          za_Stopping. All blobs of a node together are bounded (ZA_ENOBUFS). A blob is its node's:
 *          another node in the same process gets the bytes, too.
 * Threads  Until it is sealed, the maker's handler alone; then any, each with a reference.
 */
#pragma once

#include <zactor/actor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct za_blob za_blob_t;

/** Room in a message (the extra_bytes of za_new) for one field that refers to a blob. */
#define ZA_BLOB_EXTRA_BYTES sizeof(za_blob_slot_t)

/**
 * A zeroed blob of `size` (> 0) bytes to be written through za_blob_edit and sealed; the reference is
 * the caller's. ZA_ETOOBIG over 1 GiB; ZA_ENOBUFS at the node's bound; ZA_ENOMEM; ZA_EINVAL.
 */
ZA_MUST_USE ZA_API za_err_t za_blob_create(za_ctx_t *ctx, size_t size, za_blob_t **out);
/** As za_blob_create: a copy of `size` bytes, sealed. */
ZA_MUST_USE ZA_API za_err_t za_blob_copy(za_ctx_t *ctx, const void *bytes, size_t size,
                                         za_blob_t **out);

/** The bytes, to be written; NULL once it is sealed. */
ZA_API void *za_blob_edit(za_blob_t *blob);
/** From now on nobody writes. Twice is once. ZA_ENOMEM: not sealed. */
ZA_MUST_USE ZA_API za_err_t za_blob_seal(za_blob_t *blob);

ZA_API const void *za_blob_data(const za_blob_t *blob);
ZA_API size_t za_blob_size(const za_blob_t *blob);

/** One more reference; returns `blob`. */
ZA_API za_blob_t *za_blob_retain(za_blob_t *blob);
/** Gives up one reference; *blob becomes NULL. The last one frees it (a large one: munmap). */
ZA_API void za_blob_release(za_ctx_t *ctx, za_blob_t **blob);

/**
 * Lets `field` of a message made by za_new refer to a sealed blob; the message takes a reference of its
 * own. ZA_ETOOBIG: no room is left. ZA_EINVAL: not sealed, or the field refers to a blob
 * already. A field that refers to one must not be overwritten by hand: that reference is lost.
 */
ZA_MUST_USE ZA_API za_err_t za_bytes_put_blob(void *message, za_bytes_t *field, za_blob_t *blob);

/** The blob that `field` refers to, the message's: retain it to keep it. NULL: it holds bytes. */
ZA_API za_blob_t *za_bytes_blob(const za_bytes_t *field);

#ifdef __cplusplus
}
#endif
