/**
 * Frozen messages: one message for many receivers, which all read the same memory.
 *
 * za_tell copies, za_send moves; what is frozen is shared: read-only from then on, counted, and freed
 * after its last reader. For a receiver it is a message like any other. Good for a fan-out of
 * messages that are larger than a few cache lines; for large bytes alone see blob.h. As frozen objects
 * of Pony and Verona (a moved region becomes immutable, and may then be shared).
 *
 * Memory   A send takes one small block of the pool, whatever the size of the message. Whoever holds a
 *          za_frozen_t releases it; an actor that has one in its state does so in za_Stopping.
 * Threads  Any, each with a reference. Debug builds end the process when they find that somebody
 *          wrote to one.
 */
#pragma once

#include <zactor/actor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct za_frozen za_frozen_t;

/**
 * Freezes a message made by za_new: on ZA_OK it is gone, *message is NULL, and *out is the caller's
 * reference. ZA_EINVAL: it is no message of this handler; it stays as it is.
 */
ZA_MUST_USE ZA_API za_err_t za_freeze(za_ctx_t *ctx, void **message, za_frozen_t **out);

/** What it says; NULL of NULL. */
ZA_API const void *za_frozen_body(const za_frozen_t *frozen);

/** One more reference; returns `frozen`. */
ZA_API za_frozen_t *za_frozen_retain(za_frozen_t *frozen);
/** Gives up one reference; *frozen becomes NULL. */
ZA_API void za_frozen_release(za_ctx_t *ctx, za_frozen_t **frozen);

/** Sends it by reference, which the caller keeps; to another node its bytes. Errors as za_tell. */
ZA_MUST_USE ZA_API za_err_t za_share(za_ctx_t *ctx, za_ref_t to, za_frozen_t *frozen);
/** As za_ask_with, by reference. */
ZA_MUST_USE ZA_API za_err_t za_ask_share(za_ctx_t *ctx, za_ref_t to, za_frozen_t *frozen,
                                         const za_ask_opts_t *opts);

#ifdef __cplusplus
}
#endif
