#include "core/freeze.h"

#include "base/hash.h"
#include "core/worker.h"

const za_type_t za_frozen_type = { .name = "za.Frozen", .size = sizeof(za_message_t *) };

#ifdef ZA_SLOW_CHECKS
static void note_sum(za_message_t *frozen)
{
    frozen->ask = za_fnv64(ZA_FNV64_INIT, za_body(frozen), frozen->block.bytes);
}

/** At each release: so the culprit is among those who had it since the one before. */
static void check_sum(za_message_t *frozen)
{
    if (frozen->ask != za_fnv64(ZA_FNV64_INIT, za_body(frozen), frozen->block.bytes)) {
        za_misuse(frozen->type->name, "was written to after it was frozen");
    }
}
#else
static void note_sum(za_message_t *frozen)
{
    (void)frozen;
}

static void check_sum(za_message_t *frozen)
{
    (void)frozen;
}
#endif

za_err_t za_freeze(za_ctx_t *ctx, void **message, za_frozen_t **out)
{
    if (ctx == NULL || message == NULL || *message == NULL || out == NULL) {
        return ZA_EINVAL;
    }
    za_message_t *frozen = za_new_take(ctx, *message);
    if (frozen == NULL) {
        return ZA_EINVAL;
    }
    frozen->block.kind = ZA_KIND_FROZEN;
    atomic_init(&frozen->refs, 1);
    note_sum(frozen);
    *message = NULL;
    *out = (za_frozen_t *)frozen;
    return ZA_OK;
}

const void *za_frozen_body(const za_frozen_t *frozen)
{
    return frozen == NULL ? NULL : (const za_message_t *)(const void *)frozen + 1;
}

static void retain(za_message_t *frozen)
{
    // relaxed: the caller has a reference, so it cannot go meanwhile
    atomic_fetch_add_explicit(&frozen->refs, 1, memory_order_relaxed);
}

za_frozen_t *za_frozen_retain(za_frozen_t *frozen)
{
    if (frozen != NULL) {
        retain((za_message_t *)frozen);
    }
    return frozen;
}

void za_frozen_drop(za_worker_t *worker, za_message_t *frozen)
{
    check_sum(frozen);
    // Whoever frees has seen what all others did with it. pairs: frozen-refs
    if (atomic_fetch_sub_explicit(&frozen->refs, 1, memory_order_acq_rel) == 1) {
        za_message_drop(worker, frozen);
    }
}

void za_frozen_release(za_ctx_t *ctx, za_frozen_t **frozen)
{
    if (ctx != NULL && frozen != NULL && *frozen != NULL) {
        za_frozen_drop(ctx->worker, (za_message_t *)*frozen);
        *frozen = NULL;
    }
}

za_err_t za_frozen_send(za_worker_t *worker, za_outgoing_t *out, za_message_t *frozen)
{
    out->type = frozen->type;
    out->body = za_body(frozen);
    za_err_t err = za_resolve_any(worker, &out->to);
    if (err != ZA_OK) {
        return err;
    }
    if (!za_node_is_here(worker->runtime, out->to.node)) {
        return za_send_any(worker, out);
    }
    za_message_t *message = za_message_make(worker, ZA_KIND_NEW, sizeof frozen, ZA_POOL_BOUNDED);
    if (message == NULL) {
        return ZA_ENOBUFS;
    }
    retain(frozen);
    message->type = &za_frozen_type;
    message->block.flags = ZA_FLAG_SHARES;
    *(za_message_t **)za_body(message) = frozen;
    err = za_send_moved(worker, out, message);
    if (err != ZA_OK) {
        za_message_drop(worker, message);
    }
    return err;
}

za_err_t za_share(za_ctx_t *ctx, za_ref_t to, za_frozen_t *frozen)
{
    if (ctx == NULL || frozen == NULL || za_ref_is_none(to)) {
        return ZA_EINVAL;
    }
    za_outgoing_t out = { .to = to, .sender = { 0, ctx->id } };
    return za_frozen_send(ctx->worker, &out, (za_message_t *)frozen);
}
