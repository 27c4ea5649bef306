#include "node/callers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/container.h"
#include "base/limits.h"
#include "core/ctx.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

typedef enum state {
    FREE,
    WAITING, // the thread waits, and `call` is valid
    EXPIRED, // as WAITING, but the actor has ended the ask: its clock is a little ahead
    ENDED,   // there is an outcome, which the thread has not seen yet
    LATE,    // the thread has returned; the actor has not ended the ask yet
} state_t;

/** What a thread wants; it lies on the thread's stack. */
typedef struct call {
    za_ref_t to;
    const za_type_t *type;
    const void *message;
    const za_ask_sync_opts_t *opts;
    uint64_t deadline_ns;
} call_t;

enum { HEARS_COMMAND, HEARS_TIMEOUT, HEARS_DOWN, HEARS_STOPPING, HEARS_REPLY, HEARS_COUNT };

typedef struct caller {
    za_callers_t *callers;
    struct caller *next_free; // callers.lock
    struct caller *next;      // all of them
    pthread_mutex_t lock;
    pthread_cond_t ended;
    state_t state;
    const call_t *call;
    uint64_t number; // of the call; what concerns an older one is ignored
    za_err_t err;
    za_ref_t actor; // none until its first call
    // A class of its own, because the type of the answer is another each time.
    za_class_t class_;
    za_handler_t handlers[HEARS_COUNT];
} caller_t;

struct za_callers {
    za_foreign_t foreign;
    pthread_mutex_t lock;
    pthread_cond_t left;
    caller_t *free;
    caller_t *all;
    uint32_t count;
    uint32_t inside; // threads
    bool closed;
};

/* ---- the actor ---------------------------------------------------------------------------- */

/** What starts a call. */
typedef struct errand {
    uint64_t number;
} errand_t;

/** Nobody else sends one: other nodes are refused, and no header names the type. */
static za_err_t refuse_decode(void *block, size_t block_bytes, const uint8_t *bytes, size_t size)
{
    (void)block;
    (void)block_bytes;
    (void)bytes;
    (void)size;
    return ZA_EPROTO;
}

static const za_type_t errand_type = {
    .name = "za.AskSync", .id = 0x2f6b9d31, .size = sizeof(errand_t), .decode = refuse_decode
};

static caller_t *caller_of(const za_ctx_t *ctx)
{
    return ZA_CONTAINER(za_ctx_class(ctx), caller_t, class_);
}

static void free_caller(caller_t *caller)
{
    za_callers_t *callers = caller->callers;
    pthread_mutex_lock(&callers->lock);
    caller->next_free = callers->free;
    callers->free = caller;
    pthread_mutex_unlock(&callers->lock);
}

/** The outcome of a call. The caller's lock is held; true: the caller is free now. */
static bool end_call(caller_t *caller, uint64_t number, za_err_t err)
{
    if (caller->number != number || caller->state == FREE || caller->state == ENDED) {
        return false;
    }
    if (caller->state == LATE) {
        caller->state = FREE;
        return true;
    }
    caller->state = err == ZA_ETIMEOUT ? EXPIRED : ENDED;
    caller->err = err;
    pthread_cond_signal(&caller->ended);
    return false;
}

static void end_without_answer(caller_t *caller, uint64_t number, za_err_t err, za_Reason reason)
{
    pthread_mutex_lock(&caller->lock);
    if (caller->state == WAITING && caller->number == number &&
        caller->call->opts->reason != NULL) {
        *caller->call->opts->reason = reason;
    }
    bool is_free = end_call(caller, number, err);
    pthread_mutex_unlock(&caller->lock);
    if (is_free) {
        free_caller(caller);
    }
}

/** What is left of the call's time, as the actor's ask has it. */
static uint32_t time_left_ms(uint64_t deadline_ns, uint64_t now_ns)
{
    uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / NS_PER_MS : 0;
    return left_ms == 0 ? 1 : (uint32_t)left_ms;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static za_verdict_t on_errand(za_ctx_t *ctx, void *self, const void *message)
{
    const errand_t *errand = message;
    caller_t *caller = caller_of(ctx);
    za_err_t err = ZA_ETIMEOUT;
    (void)self;
    pthread_mutex_lock(&caller->lock);
    if (caller->state == WAITING) { // else the thread has given up, and its memory is gone
        const call_t *call = caller->call;
        caller->handlers[HEARS_REPLY].type = call->opts->reply_type;
        za_ask_opts_t opts = { .size = sizeof opts,
                               .timeout_ms = time_left_ms(call->deadline_ns, now_ns()),
                               .tag = errand->number };
        err = za_ask_with(ctx, call->to, call->type, call->message, &opts);
    }
    bool is_free = err != ZA_OK && end_call(caller, errand->number, err);
    pthread_mutex_unlock(&caller->lock);
    if (is_free) {
        free_caller(caller);
    }
    return ZA_DONE;
}

static za_verdict_t on_reply(za_ctx_t *ctx, void *self, const void *message)
{
    caller_t *caller = caller_of(ctx);
    uint64_t number = za_tag(ctx); // 0: no answer, but a message to this actor
    za_err_t err = ZA_OK;
    (void)self;
    pthread_mutex_lock(&caller->lock);
    if (caller->state == WAITING && caller->number == number) {
        const za_ask_sync_opts_t *opts = caller->call->opts;
        uint32_t bytes = za_type_extent(opts->reply_type, message);
        if (bytes <= opts->reply_bytes) {
            memcpy(opts->reply, message, bytes);
        } else {
            err = ZA_ETOOBIG;
        }
    }
    bool is_free = end_call(caller, number, err);
    pthread_mutex_unlock(&caller->lock);
    if (is_free) {
        free_caller(caller);
    }
    return ZA_DONE;
}

static za_verdict_t on_timeout(za_ctx_t *ctx, void *self, const void *message)
{
    const za_Timeout *timeout = message;
    (void)self;
    end_without_answer(caller_of(ctx), timeout->tag, ZA_ETIMEOUT, za_Reason_REASON_NONE);
    return ZA_DONE;
}

static za_verdict_t on_down(za_ctx_t *ctx, void *self, const void *message)
{
    const za_Down *down = message;
    (void)self;
    end_without_answer(caller_of(ctx), down->tag, za_reason_err(down->reason), down->reason);
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, void *self, const void *message)
{
    const za_Stopping *stopping = message;
    caller_t *caller = caller_of(ctx);
    (void)self;
    pthread_mutex_lock(&caller->lock);
    uint64_t number = caller->number; // of whatever is asked now, or was to be asked next
    pthread_mutex_unlock(&caller->lock);
    end_without_answer(caller, number, ZA_ESTOPPING, stopping->reason);
    return ZA_DONE;
}

/* ---- callers ------------------------------------------------------------------------------ */

za_err_t za_callers_create(const za_foreign_t *foreign, za_callers_t **out)
{
    za_callers_t *callers = calloc(1, sizeof *callers);
    if (callers == NULL) {
        return ZA_ENOMEM;
    }
    callers->foreign = *foreign;
    pthread_mutex_init(&callers->lock, NULL);
    pthread_cond_init(&callers->left, NULL);
    *out = callers;
    return ZA_OK;
}

static caller_t *create_caller(za_callers_t *callers)
{
    caller_t *caller = calloc(1, sizeof *caller);
    if (caller == NULL) {
        return NULL;
    }
    caller->callers = callers;
    caller->handlers[HEARS_COMMAND] = (za_handler_t){ &errand_type, on_errand };
    caller->handlers[HEARS_TIMEOUT] = (za_handler_t){ &za_Timeout_type, on_timeout };
    caller->handlers[HEARS_DOWN] = (za_handler_t){ &za_Down_type, on_down };
    caller->handlers[HEARS_STOPPING] = (za_handler_t){ &za_Stopping_type, on_stopping };
    caller->handlers[HEARS_REPLY] =
        (za_handler_t){ &errand_type, on_reply }; // until its first call
    caller->class_ = (za_class_t){ .name = "za.caller",
                                   .handlers = caller->handlers,
                                   .handler_count = HEARS_COUNT };
    pthread_mutex_init(&caller->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&caller->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    caller->next = callers->all;
    callers->all = caller;
    callers->count++;
    return caller;
}

/** A caller for this thread, which is inside from now on. */
static za_err_t enter(za_callers_t *callers, caller_t **out)
{
    za_err_t err = ZA_OK;
    pthread_mutex_lock(&callers->lock);
    caller_t *caller = callers->free;
    if (callers->closed) {
        err = ZA_ESTOPPING;
    } else if (caller != NULL) {
        callers->free = caller->next_free;
    } else if (callers->count >= ZA_CALLERS_MAX) {
        err = ZA_ENOBUFS;
    } else {
        caller = create_caller(callers);
        err = caller == NULL ? ZA_ENOMEM : ZA_OK;
    }
    if (err == ZA_OK) {
        callers->inside++;
        *out = caller;
    }
    pthread_mutex_unlock(&callers->lock);
    return err;
}

static void leave(za_callers_t *callers)
{
    pthread_mutex_lock(&callers->lock);
    if (--callers->inside == 0) {
        pthread_cond_signal(&callers->left);
    }
    pthread_mutex_unlock(&callers->lock);
}

/** Sends the caller's actor on its errand; spawns it first, if it is not there. */
static za_err_t send_errand(caller_t *caller, uint64_t number)
{
    const za_foreign_t *foreign = &caller->callers->foreign;
    const errand_t errand = { number };
    const za_spawn_opts_t opts = { .size = sizeof opts, .mailbox = 1 };
    za_worker_t *worker = foreign->enter(foreign->context);
    za_err_t err = ZA_EGONE;
    if (!za_ref_is_none(caller->actor)) {
        // A notification: strangers cannot fill the mailbox against it.
        err = za_runtime_notify(worker, caller->actor.actor, &errand_type, &errand);
    }
    if (err == ZA_EGONE) { // the first time, or the node stops
        err = za_runtime_spawn(worker, &caller->class_, &opts, ZA_REF_NONE, &caller->actor);
        if (err == ZA_OK) {
            err = za_runtime_notify(worker, caller->actor.actor, &errand_type, &errand);
        }
    }
    foreign->leave(foreign->context);
    return err;
}

/** Waits for the outcome, or until the call's time is up. */
static za_err_t wait_for_end(caller_t *caller, uint64_t deadline_ns)
{
    const struct timespec until = { .tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                    .tv_nsec = (long)(deadline_ns % NS_PER_S) };
    int result = 0;
    pthread_mutex_lock(&caller->lock);
    while ((caller->state == WAITING || caller->state == EXPIRED) && result == 0) {
        result = pthread_cond_timedwait(&caller->ended, &caller->lock, &until);
    }
    bool ended = caller->state != WAITING;
    caller->state = ended ? FREE : LATE;
    caller->call = NULL;
    za_err_t err = ended ? caller->err : ZA_ETIMEOUT;
    pthread_mutex_unlock(&caller->lock);
    if (ended) {
        free_caller(caller);
    }
    return err;
}

za_err_t za_callers_ask(za_callers_t *callers, za_ref_t to, const za_type_t *type,
                        const void *message, const za_ask_sync_opts_t *opts)
{
    caller_t *caller;
    za_err_t err = enter(callers, &caller);
    if (err != ZA_OK) {
        return err;
    }
    const call_t call = { .to = to,
                          .type = type,
                          .message = message,
                          .opts = opts,
                          .deadline_ns = now_ns() + opts->timeout_ms * NS_PER_MS };
    pthread_mutex_lock(&caller->lock);
    caller->state = WAITING;
    caller->call = &call;
    uint64_t number = ++caller->number;
    pthread_mutex_unlock(&caller->lock);
    err = send_errand(caller, number);
    if (err != ZA_OK) { // nothing runs for it: ended by ourselves
        pthread_mutex_lock(&caller->lock);
        end_call(caller, number, err);
        pthread_mutex_unlock(&caller->lock);
    }
    err = wait_for_end(caller, call.deadline_ns);
    leave(callers);
    return err;
}

void za_callers_close(za_callers_t *callers)
{
    if (callers == NULL) {
        return;
    }
    pthread_mutex_lock(&callers->lock);
    callers->closed = true;
    for (caller_t *caller = callers->all; caller != NULL; caller = caller->next) {
        pthread_mutex_lock(&caller->lock);
        if (caller->state != LATE) {
            end_call(caller, caller->number, ZA_ESTOPPING);
        }
        pthread_mutex_unlock(&caller->lock);
    }
    while (callers->inside > 0) {
        pthread_cond_wait(&callers->left, &callers->lock);
    }
    pthread_mutex_unlock(&callers->lock);
}

void za_callers_destroy(za_callers_t *callers)
{
    if (callers == NULL) {
        return;
    }
    for (caller_t *caller = callers->all; caller != NULL;) {
        caller_t *next = caller->next;
        pthread_cond_destroy(&caller->ended);
        pthread_mutex_destroy(&caller->lock);
        free(caller);
        caller = next;
    }
    pthread_cond_destroy(&callers->left);
    pthread_mutex_destroy(&callers->lock);
    free(callers);
}
