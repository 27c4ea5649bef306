/** Sending: from a handler to an actor, here or elsewhere. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/words.h"
#include "core/mailbox_drop.h"

/* ---- logging ------------------------------------------------------------------------------ */

enum { LOG_TEXT_BYTES = 512 };

static void log_text(za_worker_t *worker, const za_cell_t *cell, uint64_t id, int level,
                     const char *format, va_list args) ZA_PRINTF(5, 0);

static void log_text(za_worker_t *worker, const za_cell_t *cell, uint64_t id, int level,
                     const char *format, va_list args)
{
    za_runtime_t *runtime = worker->runtime;
    if (runtime->remote.log == NULL) {
        return;
    }
    char text[LOG_TEXT_BYTES];
    vsnprintf(text, sizeof text, format, args);
    // relaxed: the owner's
    const za_class_t *class_ =
        cell == NULL ? NULL : atomic_load_explicit(&cell->class_, memory_order_relaxed);
    runtime->remote.log(runtime->config.remote_context, level, class_ != NULL ? class_->name : NULL,
                        (za_ref_t){ 0, id }, text);
}

void za_log_line(za_worker_t *worker, const za_cell_t *cell, uint64_t id, int level,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_text(worker, cell, id, level, format, args);
    va_end(args);
}

void za_log(za_ctx_t *ctx, int level, const char *format, ...)
{
    if (ctx == NULL || format == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    log_text(ctx->worker, ctx->cell, ctx->id, level, format, args);
    va_end(args);
}

/* ---- one message -------------------------------------------------------------------------- */

/** The mailbox was full, and its policy is to drop the message: accepted and lost. */
static void drop_newest(za_worker_t *worker, const za_outgoing_t *out)
{
    za_dead_letter(worker, za_Reason_REASON_MAILBOX_FULL);
    if (out->ask == 0) {
        return;
    }
    za_message_t *notice =
        za_message_make(worker, ZA_KIND_USER, 0, ZA_POOL_BEYOND); // turns into the failure
    if (notice != NULL) {
        notice->sender = out->sender;
        notice->ask = out->ask;
        za_message_fail(worker, notice, za_Reason_REASON_MAILBOX_FULL);
    }
}

typedef enum admit {
    ADMIT,
    ADMIT_REJECT,
    ADMIT_OVER, // beyond the bound: the oldest is dropped after the push
    ADMIT_DROP, // accepted and lost
} admit_t;

/** Counts the message in, or answers why not. */
static inline admit_t admit(za_cell_t *cell, za_kind_t kind)
{
    if (kind != ZA_KIND_USER || __builtin_expect(za_mailbox_admit(&cell->mailbox), 1)) {
        return ADMIT;
    }
    // relaxed: constant while the actor lives
    uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed);
    if (za_drop_admit(cell)) {
        return ADMIT_OVER;
    }
    if (bound & (ZA_BOUND_DROPS_NEWEST | ZA_BOUND_DROPS_OLDEST)) {
        return ADMIT_DROP;
    }
    return ADMIT_REJECT;
}

static __attribute__((noinline)) za_err_t reject(za_worker_t *worker, uint64_t id)
{
    if (za_cell_living(worker->runtime, id) == NULL) {
        return ZA_EGONE; // it ended meanwhile, and its policy with it
    }
    ZA_TALLY(worker, rejected);
    return ZA_EFULL;
}

static inline void push_admitted(za_worker_t *worker, za_cell_t *cell, za_message_t *message,
                                 admit_t admitted)
{
    ZA_TALLY(worker, sent);
    za_cell_push(worker, cell, message);
    if (__builtin_expect(admitted == ADMIT_OVER, 0)) {
        za_drop_settle(worker, cell);
    }
}

enum { WORD = 8, WORDS_MAX = 4 };

/** True if copy_words can copy it. */
static inline bool is_words(uint32_t bytes)
{
    return bytes >= WORD && bytes <= WORDS_MAX * WORD && bytes % WORD == 0;
}

/**
 * Most messages are a few words, and were written a moment ago. Word by word, each load finds the
 * store it waits for; a wider one, as of memcpy, would wait until several have left the core.
 */
static inline void copy_words(void *to, const void *from, uint32_t bytes)
{
    char *out = to;
    const char *in = from;
    memcpy(out, in, WORD);
    if (bytes > WORD) {
        memcpy(out + WORD, in + WORD, WORD);
    }
    if (bytes > 2 * WORD) {
        memcpy(out + 2 * WORD, in + 2 * WORD, WORD);
    }
    if (bytes > 3 * WORD) {
        memcpy(out + 3 * WORD, in + 3 * WORD, WORD);
    }
}

za_err_t za_send_local(za_worker_t *worker, const za_outgoing_t *out, za_kind_t kind)
{
    za_cell_t *cell = za_cell_living(worker->runtime, out->to.actor);
    if (__builtin_expect(cell == NULL, 0)) {
        return ZA_EGONE;
    }
    uint32_t bytes = za_type_extent(out->type, out->body);
    if (__builtin_expect(bytes > ZA_MESSAGE_BYTES_MAX, 0)) {
        return ZA_ETOOBIG;
    }
    admit_t admitted = admit(cell, kind);
    if (__builtin_expect(admitted == ADMIT_REJECT, 0)) {
        return reject(worker, out->to.actor);
    }
    if (__builtin_expect(admitted == ADMIT_DROP, 0)) {
        drop_newest(worker, out);
        return ZA_OK;
    }
    za_message_t *message = za_message_make(worker, kind, bytes, ZA_POOL_BOUNDED);
    if (__builtin_expect(message == NULL, 0)) {
        if (kind == ZA_KIND_USER) {
            za_mailbox_unadmit(&cell->mailbox, 1);
        }
        return ZA_ENOBUFS;
    }
    message->actor = out->to.actor;
    message->sender = out->sender;
    message->ask = out->ask;
    message->deadline_ms = out->deadline_ms;
    za_message_fill(message, out->type, out->body, bytes);
    if (__builtin_expect(worker->stamps, 0)) {
        za_metrics_stamp(worker, message);
    }
    push_admitted(worker, cell, message, admitted);
    return ZA_OK;
}

void za_sent_remote(za_worker_t *worker, uint32_t count)
{
    if (count == 0) {
        return;
    }
    ZA_TALLY_ADD(worker, sent, count);
    worker->sent_remote = true;
    if (worker->guest) {
        za_flush_remote(worker); // no turn ends, or only after a handler that may block
    }
}

static za_err_t send_remote(za_worker_t *worker, const za_outgoing_t *out)
{
    za_runtime_t *runtime = worker->runtime;
    if (runtime->remote.send == NULL) {
        return ZA_ENOROUTE;
    }
    za_err_t err = runtime->remote.send(runtime->config.remote_context, worker, out);
    if (err == ZA_OK) {
        za_sent_remote(worker, 1);
    }
    return err;
}

za_err_t za_resolve_named(za_worker_t *worker, za_ref_t *ref)
{
    za_runtime_t *runtime = worker->runtime;
    if (runtime->remote.resolve == NULL) {
        return ZA_ENOENT; // a runtime by itself has no names
    }
    return runtime->remote.resolve(runtime->config.remote_context, ref->actor, ref);
}

/** To another node, or to whoever holds a name now. */
static za_err_t send_elsewhere(za_worker_t *worker, const za_outgoing_t *out)
{
    if (!za_ref_is_named(out->to)) {
        return send_remote(worker, out);
    }
    za_outgoing_t placed = *out;
    za_err_t err = za_resolve_named(worker, &placed.to);
    if (err != ZA_OK) {
        return err;
    }
    return za_node_is_here(worker->runtime, placed.to.node)
               ? za_send_local(worker, &placed, ZA_KIND_USER) // nobody replies to a name
               : send_remote(worker, &placed);
}

za_err_t za_send_any(za_worker_t *worker, const za_outgoing_t *out)
{
    if (__builtin_expect(za_node_is_here(worker->runtime, out->to.node), 1)) {
        return za_send_local(worker, out, out->reply ? ZA_KIND_REPLY : ZA_KIND_USER);
    }
    return send_elsewhere(worker, out);
}

static __attribute__((noinline)) za_err_t tell_slowly(za_ctx_t *ctx, za_ref_t to,
                                                      const za_type_t *type, const void *message)
{
    if (za_ref_is_none(to)) {
        return ZA_EINVAL;
    }
    za_outgoing_t out = { .to = to, .sender = { 0, ctx->id }, .type = type, .body = message };
    return za_send_any(ctx->worker, &out);
}

/* ---- batches ------------------------------------------------------------------------------ */

void za_batch_push(za_worker_t *worker)
{
    za_batch_t *batch = &worker->batch;
    za_cell_t *cell = batch->cell;
    batch->actor = 0;
    worker->near_slots = worker->stamps ? 0 : worker->runtime->slot_max;
    if (batch->end != &batch->first) {
        // relaxed, both: published by the push
        atomic_store_explicit(batch->end, NULL, memory_order_relaxed);
        za_block_t *first = atomic_load_explicit(&batch->first, memory_order_relaxed);
        za_message_t *last = ZA_CONTAINER(batch->end, za_message_t, block.next);
        ZA_TALLY_ADD(worker, sent, batch->admitted - batch->credit);
        if (za_mailbox_push_chain(&cell->mailbox, (za_message_t *)(void *)first, last) ==
            ZA_PUSH_WOKE) {
            za_schedule(worker, cell);
        }
    }
    if (batch->credit > 0) {
        za_mailbox_unadmit(&cell->mailbox, batch->credit);
        batch->credit = 0;
    }
}

/** Opens a batch to a living actor with room for many. False: it has none. */
static bool batch_open(za_worker_t *worker, uint64_t actor)
{
    za_batch_close(worker);
    if (worker->guest) {
        return false; // dedicated: its handler may block before it returns
    }
    za_cell_t *cell = za_cell_living(worker->runtime, actor);
    if (cell == NULL) {
        return false;
    }
    // relaxed: constant while the actor lives. One that drops is told one by one.
    uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed);
    bool drops = (bound & (ZA_BOUND_DROPS_NEWEST | ZA_BOUND_DROPS_OLDEST)) != 0;
    uint32_t want = drops ? 0 : (bound & ZA_BOUND_COUNT) / ZA_BATCH_SHARE;
    want = want < ZA_BATCH_MAX ? want : ZA_BATCH_MAX;
    uint32_t credit = want < 2 ? 0 : za_mailbox_admit_block(&cell->mailbox, want);
    if (credit == 0) {
        return false;
    }
    worker->batch = (za_batch_t){ .actor = actor,
                                  .cell = cell,
                                  .credit = credit,
                                  .admitted = credit,
                                  .end = &worker->batch.first };
    // A single message goes the long way now, which closes the batch: it could be for its actor.
    worker->near_slots = 0;
    return true;
}

/** A plain message in a block of this worker's pool, which has one; all but its link. */
static inline za_message_t *make_told(za_worker_t *worker, uint64_t from, uint64_t to,
                                      const za_type_t *type, const void *message, uint32_t size)
{
    if (!is_words(size)) {
        __builtin_unreachable(); // so that the size class is a constant
    }
    za_block_t *block = za_pool_take(&worker->pool, sizeof(za_message_t) + size);
    za_message_t *told = za_message_begin(block, ZA_KIND_USER, size);
    told->type = type;
    told->actor = to;
    told->sender.node = 0;
    told->sender.actor = from;
    told->ask = 0;
    told->deadline_ms = 0;
    copy_words(za_body(told), message, size);
    return told;
}

/** Adds to the open batch, which has credit. */
static inline za_err_t batch_add(za_batch_t *batch, za_message_t *told)
{
    // relaxed: see za_batch_push
    atomic_store_explicit(batch->end, &told->block, memory_order_relaxed);
    batch->end = &told->block.next;
    batch->credit--;
    return ZA_OK;
}

/** True if there is a block for a message of a few words. */
static inline bool has_block(const za_worker_t *worker, uint32_t size)
{
    if (!is_words(size)) {
        __builtin_unreachable(); // so that the size class is a constant
    }
    return za_pool_has(&worker->pool, sizeof(za_message_t) + size);
}

/** True for a message that can be copied word by word, into a block that is there. */
static inline bool is_usual(const za_worker_t *worker, za_ref_t to, const za_type_t *type,
                            uint32_t size)
{
    return to.node == 0 && type->extent == NULL && is_words(size) && has_block(worker, size);
}

/**
 * As find_live. NULL also while a run is watched, whose messages go the long way to be stamped, and
 * while a batch is open, which such a message must not overtake.
 */
static inline za_cell_t *find_near(const za_worker_t *worker, uint64_t id)
{
    uint32_t slot = za_id_slot(id);
    if (slot == 0 || slot >= worker->near_slots) {
        return NULL;
    }
    za_cell_t *cell = &worker->near_cells[slot];
    return za_cell_id(cell) == id ? cell : NULL;
}

/** As tell_slowly, for a message that was counted in, and had no room. */
static __attribute__((noinline)) za_err_t tell_refused(za_ctx_t *ctx, za_ref_t to,
                                                       const za_type_t *type, const void *message)
{
    za_mailbox_unadmit(&za_cell_find(ctx->worker->runtime, to.actor)->mailbox, 1);
    return tell_slowly(ctx, to, type, message);
}

/** Pushes one usual message. */
static inline za_err_t tell_single(za_ctx_t *ctx, za_ref_t to, const za_type_t *type,
                                   const void *message, uint32_t size)
{
    za_worker_t *worker = ctx->worker;
    za_cell_t *cell = find_near(worker, to.actor);
    if (__builtin_expect(cell == NULL, 0)) {
        return tell_slowly(ctx, to, type, message);
    }
    if (__builtin_expect(!za_mailbox_count_in(&cell->mailbox), 0)) {
        return tell_refused(ctx, to, type, message);
    }
    za_message_t *told = make_told(worker, ctx->id, to.actor, type, message, size);
    ZA_TALLY(worker, sent);
    if (za_mailbox_push(&cell->mailbox, told) == ZA_PUSH_WOKE && !za_schedule_next(worker, cell)) {
        return za_schedule_told(worker, cell);
    }
    return ZA_OK;
}

/** A usual message to the actor that the last one was for; no batch to it has credit. */
static __attribute__((noinline)) za_err_t tell_again(za_ctx_t *ctx, za_ref_t to,
                                                     const za_type_t *type, const void *message)
{
    za_batch_t *batch = &ctx->worker->batch;
    uint32_t size = type->size;
    if (!is_usual(ctx->worker, to, type, size)) {
        return tell_slowly(ctx, to, type, message);
    }
    if (ctx->told_twice != to.actor) { // a batch begins to pay with the third
        ctx->told_twice = to.actor;
        return tell_single(ctx, to, type, message, size);
    }
    bool open = batch->actor == to.actor && batch->credit > 0;
    if (!open && !batch_open(ctx->worker, to.actor)) {
        return tell_slowly(ctx, to, type, message);
    }
    batch->type = type;
    return batch_add(batch, make_told(ctx->worker, ctx->id, to.actor, type, message, size));
}

/** As za_tell, after a look at the arguments, for the actor that the last message was for. */
static __attribute__((noinline)) za_err_t tell_more(za_ctx_t *ctx, za_ref_t to,
                                                    const za_type_t *type, const void *message)
{
    za_batch_t *batch = &ctx->worker->batch;
    uint32_t size = type->size;
    if (__builtin_expect(batch->actor != to.actor, 0) || __builtin_expect(batch->type != type, 0) ||
        __builtin_expect(batch->credit == 0, 0) || __builtin_expect(to.node != 0, 0) ||
        __builtin_expect(!has_block(ctx->worker, size), 0)) {
        return tell_again(ctx, to, type, message);
    }
    return batch_add(batch, make_told(ctx->worker, ctx->id, to.actor, type, message, size));
}

/**
 * The usual case stands here whole: a small message to a local actor with room, from a pool with
 * blocks. It calls nothing, so it saves no registers. All else starts anew in tell_slowly.
 */
za_err_t za_tell(za_ctx_t *ctx, za_ref_t to, const za_type_t *type, const void *message)
{
    // One by one: a branch each is less than their answers put together.
    if (__builtin_expect(ctx == NULL, 0) || __builtin_expect(type == NULL, 0) ||
        __builtin_expect(message == NULL, 0)) {
        return ZA_EINVAL;
    }
    if (to.actor == ctx->told) {
        return tell_more(ctx, to, type, message);
    }
    uint32_t size = type->size;
    if (__builtin_expect(!is_usual(ctx->worker, to, type, size), 0)) {
        return tell_slowly(ctx, to, type, message);
    }
    ctx->told = to.actor;
    return tell_single(ctx, to, type, message, size);
}

/* ---- messages made by za_new -------------------------------------------------------------- */

/** The handler's message of `type` in a block with `bytes` of body, of which `size` are zeroed. */
static inline void *begin_new(za_ctx_t *ctx, za_block_t *block, const za_type_t *type, size_t size,
                              size_t bytes)
{
    za_message_t *message = za_message_begin(block, ZA_KIND_NEW, bytes);
    message->type = type;
    message->used = size;
    // relaxed: the list is the handler's
    atomic_store_explicit(&message->block.next, (za_block_t *)ctx->news, memory_order_relaxed);
    ctx->news = message;
    return za_body(message);
}

/** As za_new, for a message that is large, or from a pool that is to grow. */
static __attribute__((noinline)) void *new_slowly(za_ctx_t *ctx, const za_type_t *type,
                                                  size_t extra_bytes)
{
    size_t size = type->size;
    if (size > ZA_MESSAGE_BYTES_MAX || extra_bytes > ZA_MESSAGE_BYTES_MAX - size) {
        return NULL;
    }
    size_t bytes = size + extra_bytes;
    za_block_t *block = za_pool_alloc(
        &ctx->worker->pool, sizeof(za_message_t) + bytes + ZA_MOVED_EXTRA_BYTES, ZA_POOL_BOUNDED);
    if (block == NULL) {
        return NULL;
    }
    memset((char *)block + sizeof(za_message_t), 0, size); // the rest is written before it is read
    return begin_new(ctx, block, type, size, bytes);
}

/** The usual case calls nothing, as in za_tell. */
void *za_new(za_ctx_t *ctx, const za_type_t *type, size_t extra_bytes)
{
    if (ctx == NULL || type == NULL) {
        return NULL;
    }
    enum { HEAD_BYTES = sizeof(za_message_t) + ZA_MOVED_EXTRA_BYTES };
    za_pool_t *pool = &ctx->worker->pool;
    size_t size = type->size;
    size_t bytes = size + extra_bytes;
    if (__builtin_expect(size > ZA_WORDS_BYTES_MAX, 0) ||
        __builtin_expect(extra_bytes > ZA_POOL_FINE_BYTES_MAX - HEAD_BYTES - ZA_WORDS_BYTES_MAX,
                         0) ||
        __builtin_expect(!za_pool_has(pool, HEAD_BYTES + bytes), 0)) {
        return new_slowly(ctx, type, extra_bytes);
    }
    za_block_t *block = za_pool_take(pool, HEAD_BYTES + bytes);
    za_words_zero_few((char *)block + sizeof(za_message_t), size);
    return begin_new(ctx, block, type, size, bytes);
}

za_message_t *za_new_take(za_ctx_t *ctx, void *body)
{
    za_message_t *before = NULL;
    za_message_t *message = ctx->news;
    while (message != NULL && za_body(message) != body) {
        before = message;
        // relaxed, all here: the list is the handler's
        message = (za_message_t *)atomic_load_explicit(&message->block.next, memory_order_relaxed);
    }
    if (message != NULL) {
        za_block_t *next = atomic_load_explicit(&message->block.next, memory_order_relaxed);
        if (before == NULL) {
            ctx->news = (za_message_t *)next;
        } else {
            atomic_store_explicit(&before->block.next, next, memory_order_relaxed);
        }
    }
    return message;
}

static void put_new_back(za_ctx_t *ctx, za_message_t *message)
{
    // relaxed: the list is the handler's
    atomic_store_explicit(&message->block.next, (za_block_t *)ctx->news, memory_order_relaxed);
    ctx->news = message;
}

void za_discard(za_ctx_t *ctx, void **message)
{
    if (ctx == NULL || message == NULL || *message == NULL) {
        return;
    }
    za_message_t *mine = za_new_take(ctx, *message);
    if (mine != NULL) {
        za_message_drop(ctx->worker, mine);
        *message = NULL;
    }
}

za_err_t za_bytes_put(void *message, za_bytes_t *field, const void *data, size_t size)
{
    if (message == NULL || field == NULL || (data == NULL && size > 0)) {
        return ZA_EINVAL;
    }
    za_message_t *mine = za_message_of(message);
    uintptr_t at = (uintptr_t)field - (uintptr_t)message;
    if (mine->block.kind != ZA_KIND_NEW || at > mine->type->size - sizeof *field ||
        field->offset & ZA_BYTES_BLOB) {
        return ZA_EINVAL;
    }
    size_t used = mine->used;
    if (size > mine->block.bytes - used) {
        return ZA_ETOOBIG;
    }
    field->size = (uint32_t)size;
    field->offset = size == 0 ? 0 : (uint32_t)(used - at);
    mine->used = used + size;
    if (size > 0) {
        memcpy((char *)message + used, data, size); // the last: nothing is to be kept over the call
    }
    return ZA_OK;
}

za_err_t za_send_moved(za_worker_t *worker, const za_outgoing_t *out, za_message_t *message)
{
    za_cell_t *cell = za_cell_living(worker->runtime, out->to.actor);
    if (cell == NULL) {
        return ZA_EGONE;
    }
    za_kind_t kind = out->reply ? ZA_KIND_REPLY : ZA_KIND_USER;
    admit_t admitted = admit(cell, kind);
    if (admitted == ADMIT_REJECT) {
        return reject(worker, out->to.actor);
    }
    if (admitted == ADMIT_DROP) {
        drop_newest(worker, out);
        za_message_drop(worker, message);
        return ZA_OK;
    }
    message->block.kind = (uint8_t)kind;
    message->actor = out->to.actor;
    message->sender = out->sender;
    message->ask = out->ask;
    message->deadline_ms = out->deadline_ms;
    push_admitted(worker, cell, message, admitted);
    return ZA_OK;
}

/** Moves a message of za_new; out->type and out->body are filled in here. */
static za_err_t move_any(za_ctx_t *ctx, za_outgoing_t *out, void **body)
{
    za_message_t *message = za_new_take(ctx, *body);
    if (message == NULL) {
        return ZA_EINVAL;
    }
    out->type = message->type;
    out->body = *body;
    za_err_t err = za_resolve_any(ctx->worker, &out->to);
    if (err != ZA_OK) {
        put_new_back(ctx, message);
        return err;
    }
    if (za_node_is_here(ctx->worker->runtime, out->to.node)) {
        za_moved_begin(message);
        err = za_send_moved(ctx->worker, out, message);
    } else {
        err = send_remote(ctx->worker, out);
        if (err == ZA_OK) {
            za_message_drop(ctx->worker, message);
        }
    }
    if (err != ZA_OK) {
        za_moved_end(message); // not sent
        put_new_back(ctx, message);
        return err;
    }
    *body = NULL;
    return ZA_OK;
}

/** Adds the message made last to the batch, which is open for its actor and has credit. */
static inline void add_new(za_ctx_t *ctx, za_ref_t to, za_batch_t *batch, za_message_t *message)
{
    // relaxed: the list is the handler's
    ctx->news = (za_message_t *)atomic_load_explicit(&message->block.next, memory_order_relaxed);
    za_moved_begin(message);
    message->block.kind = ZA_KIND_USER;
    message->actor = to.actor;
    message->sender = (za_ref_t){ 0, ctx->id };
    message->ask = 0;
    message->deadline_ms = 0;
    batch_add(batch, message);
}

/** Opens a batch for the message made last, if it goes to the same actor as the two before it. */
static bool open_for_new(za_ctx_t *ctx, za_ref_t to, const void *body)
{
    const za_message_t *message = ctx->news;
    if (to.node != 0 || message == NULL || message + 1 != body) {
        return false;
    }
    if (to.actor != ctx->told || to.actor != ctx->told_twice) {
        ctx->told_twice = to.actor == ctx->told ? to.actor : 0;
        ctx->told = to.actor;
        return false;
    }
    return batch_open(ctx->worker, to.actor);
}

/** As za_send, if no batch is open for it. */
static __attribute__((noinline)) za_err_t send_slowly(za_ctx_t *ctx, za_ref_t to, void **message)
{
    if (za_ref_is_none(to)) {
        return ZA_EINVAL;
    }
    if (open_for_new(ctx, to, *message)) {
        add_new(ctx, to, &ctx->worker->batch, ctx->news);
        *message = NULL;
        return ZA_OK;
    }
    za_outgoing_t out = { .to = to, .sender = { 0, ctx->id } };
    return move_any(ctx, &out, message);
}

za_err_t za_send(za_ctx_t *ctx, za_ref_t to, void **message)
{
    if (ctx == NULL || message == NULL || *message == NULL) {
        return ZA_EINVAL;
    }
    za_batch_t *batch = &ctx->worker->batch;
    za_message_t *last = za_message_of(*message);
    if (__builtin_expect(batch->actor != to.actor, 0) || __builtin_expect(batch->credit == 0, 0) ||
        __builtin_expect(to.node != 0, 0) || __builtin_expect(ctx->news != last, 0)) {
        return send_slowly(ctx, to, message);
    }
    add_new(ctx, to, batch, last);
    *message = NULL;
    return ZA_OK;
}

/* ---- answering ---------------------------------------------------------------------------- */

/** The message being handled, if it can be answered; else counts the answer as too late. */
static za_message_t *answerable(za_ctx_t *ctx)
{
    za_message_t *message = ctx->message;
    if (message == NULL || message->block.kind != ZA_KIND_USER || message->ask == 0) {
        ZA_TALLY(ctx->worker, late_replies);
        return NULL;
    }
    return message;
}

static za_outgoing_t answer_to(const za_ctx_t *ctx, const za_message_t *asked)
{
    return (za_outgoing_t){
        .to = asked->sender,
        .sender = { 0, ctx->id },
        .ask = asked->ask,
        .reply = true,
    };
}

/** What became of the answer: its ask is closed, or fails when the message is let go. */
static void answered(za_ctx_t *ctx, za_message_t *asked, za_err_t err)
{
    if (err == ZA_OK || err == ZA_EGONE) {
        asked->ask = 0;
        if (err == ZA_EGONE) {
            za_dead_letter(ctx->worker, za_Reason_REASON_NO_ACTOR);
        }
        return;
    }
    asked->block.flags |= ZA_FLAG_FAILED;
    asked->deadline_ms = err == ZA_ENOBUFS ? za_Reason_REASON_LIMIT : za_Reason_REASON_NO_ANSWER;
    za_dead_letter(ctx->worker, (za_Reason)asked->deadline_ms);
}

static void answer(za_ctx_t *ctx, za_message_t *asked, const za_type_t *type, const void *message)
{
    za_outgoing_t out = answer_to(ctx, asked);
    out.type = type;
    out.body = message;
    answered(ctx, asked, za_send_any(ctx->worker, &out));
}

void za_reply(za_ctx_t *ctx, const za_type_t *type, const void *message)
{
    if (ctx == NULL || type == NULL || message == NULL) {
        return;
    }
    za_message_t *asked = answerable(ctx);
    if (asked != NULL) {
        answer(ctx, asked, type, message);
    }
}

void za_reply_send(za_ctx_t *ctx, void **message)
{
    if (ctx == NULL || message == NULL || *message == NULL) {
        return;
    }
    za_message_t *asked = answerable(ctx);
    if (asked != NULL) {
        za_outgoing_t out = answer_to(ctx, asked);
        answered(ctx, asked, move_any(ctx, &out, message));
    }
    za_discard(ctx, message); // always taken
}

za_err_t za_forward(za_ctx_t *ctx, za_ref_t to)
{
    if (ctx == NULL || za_ref_is_none(to) || za_ctx_type(ctx) == NULL) {
        return ZA_EINVAL;
    }
    za_message_t *message = ctx->message;
    za_outgoing_t out = { .to = to, .type = za_ctx_type(ctx), .body = za_ctx_body(ctx) };
    out.sender = za_sender(ctx);
    if (message != NULL && message->block.kind == ZA_KIND_USER) {
        out.ask = message->ask;
        out.deadline_ms = message->ask != 0 ? message->deadline_ms : 0;
    }
    za_message_t *frozen = message == NULL ? NULL : za_frozen_in(message);
    za_err_t err =
        frozen == NULL ? za_send_any(ctx->worker, &out) : za_frozen_send(ctx->worker, &out, frozen);
    if (err == ZA_OK && message != NULL && message->block.kind == ZA_KIND_USER) {
        message->ask = 0; // whoever has it now answers it
    }
    return err;
}

/* ---- keeping ------------------------------------------------------------------------------ */

/** A notification has no block of its own: a copy is kept. */
static za_message_t *copy_for_keeping(za_ctx_t *ctx)
{
    uint32_t bytes = za_type_extent(za_ctx_type(ctx), za_ctx_body(ctx));
    za_message_t *copy = za_message_make(ctx->worker, ZA_KIND_NOTIFY, bytes, ZA_POOL_BOUNDED);
    if (copy != NULL) {
        copy->actor = ctx->id;
        copy->sender = ZA_REF_NONE;
        copy->ask = 0;
        copy->deadline_ms = 0;
        za_message_fill(copy, za_ctx_type(ctx), za_ctx_body(ctx), bytes);
    }
    return copy;
}

za_message_t *za_keep(za_ctx_t *ctx)
{
    if (ctx == NULL || za_ctx_type(ctx) == NULL || ctx->kept_copy || ctx->stopping ||
        (ctx->message != NULL && ctx->message->block.flags & ZA_FLAG_HELD)) {
        return NULL;
    }
    za_extra_t *extra = za_cell_extra(ctx->worker, ctx->cell);
    za_message_t *kept = ctx->message;
    if (extra != NULL && kept == NULL) {
        kept = copy_for_keeping(ctx);
    }
    if (extra == NULL || kept == NULL) {
        return NULL;
    }
    if (!za_table_put(&extra->records, &ctx->worker->pool, (uintptr_t)kept, 1, kept)) {
        if (kept != ctx->message) {
            za_message_drop(ctx->worker, kept);
        }
        return NULL;
    }
    kept->block.flags |= ZA_FLAG_HELD;
    kept->actor = za_worker_next_id(ctx->worker); // the order in which an end lets go of them
    ctx->kept_copy = kept != ctx->message;
    ctx->copy = kept;
    return kept;
}

const void *za_kept_body(const za_message_t *kept)
{
    return kept == NULL ? NULL : za_shown(kept) + 1;
}

/** Takes a held message from the actor's records; NULL: the actor holds no such. */
static za_message_t *take_kept(za_ctx_t *ctx, za_message_t **kept)
{
    if (ctx == NULL || kept == NULL || *kept == NULL || ctx->cell->extra == NULL) {
        return NULL;
    }
    za_message_t *message = za_table_remove(&ctx->cell->extra->records, (uintptr_t)*kept, 1);
    if (message != NULL) {
        message->block.flags &= (uint8_t)~ZA_FLAG_HELD;
        *kept = NULL;
    }
    return message;
}

/** Lets go of what was held; the message being handled is let go when its handler returns. */
static void let_go(za_ctx_t *ctx, za_message_t *message)
{
    if (message != ctx->message) {
        za_message_settle(ctx->worker, ctx->cell, message);
    }
}

void za_reply_kept(za_ctx_t *ctx, za_message_t **kept, const za_type_t *type, const void *message)
{
    za_message_t *asked = take_kept(ctx, kept);
    if (asked == NULL) {
        return;
    }
    if (asked->block.kind != ZA_KIND_USER || asked->ask == 0) {
        ZA_TALLY(ctx->worker, late_replies);
    } else if (type != NULL && message != NULL) {
        answer(ctx, asked, type, message);
    }
    let_go(ctx, asked);
}

void za_release(za_ctx_t *ctx, za_message_t **kept)
{
    za_message_t *message = take_kept(ctx, kept);
    if (message != NULL) {
        let_go(ctx, message);
    }
}

/* ---- asking ------------------------------------------------------------------------------- */

static za_err_t ask_begin(za_ctx_t *ctx, za_ref_t to, const za_ask_opts_t *opts, za_message_t **out)
{
    if (ctx == NULL || za_ref_is_none(to) || opts == NULL || opts->size < sizeof *opts ||
        opts->timeout_ms == 0) {
        return ZA_EINVAL;
    }
    if (ctx->stopping) {
        return ZA_ESTOPPING;
    }
    // An ask is bound to one actor: the loss of its node ends it.
    za_err_t err = za_resolve_any(ctx->worker, &to);
    return err != ZA_OK ? err : za_ask_open(ctx, to, opts->timeout_ms, opts->tag, out);
}

za_err_t za_ask_with(za_ctx_t *ctx, za_ref_t to, const za_type_t *type, const void *message,
                     const za_ask_opts_t *opts)
{
    if (type == NULL || message == NULL) {
        return ZA_EINVAL;
    }
    za_message_t *record = NULL;
    za_err_t err = ask_begin(ctx, to, opts, &record);
    if (err != ZA_OK) {
        return err;
    }
    za_outgoing_t out = za_ask_outgoing(ctx, record);
    out.type = type;
    out.body = message;
    err = za_send_any(ctx->worker, &out);
    if (err != ZA_OK) {
        za_ask_undo(ctx, record);
    }
    return err;
}

za_err_t za_ask_send(za_ctx_t *ctx, za_ref_t to, void **message, const za_ask_opts_t *opts)
{
    if (message == NULL || *message == NULL) {
        return ZA_EINVAL;
    }
    za_message_t *record = NULL;
    za_err_t err = ask_begin(ctx, to, opts, &record);
    if (err != ZA_OK) {
        return err;
    }
    za_outgoing_t out = za_ask_outgoing(ctx, record);
    err = move_any(ctx, &out, message);
    if (err != ZA_OK) {
        za_ask_undo(ctx, record);
    }
    return err;
}

za_err_t za_ask_share(za_ctx_t *ctx, za_ref_t to, za_frozen_t *frozen, const za_ask_opts_t *opts)
{
    if (frozen == NULL) {
        return ZA_EINVAL;
    }
    za_message_t *record = NULL;
    za_err_t err = ask_begin(ctx, to, opts, &record);
    if (err != ZA_OK) {
        return err;
    }
    za_outgoing_t out = za_ask_outgoing(ctx, record);
    err = za_frozen_send(ctx->worker, &out, (za_message_t *)frozen);
    if (err != ZA_OK) {
        za_ask_undo(ctx, record);
    }
    return err;
}
