/**
 * Fibers: handlers that wait for an answer in the middle.
 *
 * An actor spawned with `fiber = true` runs its handlers on a stack of its own. There za_await asks
 * and waits, while the worker runs other actors. Messages that come meanwhile wait in their order,
 * as behind any handler that takes long, and count in the mailbox; a stop does not wait.
 *
 * A handler may go on on another thread than it began on: nothing that belongs to a thread (errno, a
 * lock that is held, the address of a thread-local variable) may be carried over a call of this
 * header. The context, the message that is handled and the state stay where they are.
 *
 * ZA_EDENIED, from each of these functions: the actor was spawned without `fiber`, or za_Stopping is
 * handled. ZA_ESTOPPING: the actor stops, or restarts because a sibling or a child failed; the
 * handler is to return, and what it calls of this header from then on says so at once.
 *
 * From: await of Kotlin's and C#'s coroutines; boost.fiber; the stacks as in libtask and Seastar.
 */
#pragma once

#include <zactor/actor.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What za_await waits for, and where it goes. */
typedef struct za_await_opts {
    size_t size;         // sizeof(za_await_opts_t), set by the macro
    uint32_t timeout_ms; // required, > 0; shortened to what is left of the ask being handled
    const za_type_t *reply_type; // required; ZA_ANSWER sets it with the next
    void *reply;                 // the address of a `const T *`, which is set on ZA_OK alone
    za_Reason *reason;           // gets why nobody answered; may be NULL
} za_await_opts_t;

/** ZA_ANSWER(chat_World, &world) among the options, for a `const chat_World *world`. */
#define ZA_ANSWER(T, pointer)                                                                      \
    .reply_type = &T##_type, .reply = (const T **)                                                 \
    {                                                                                              \
        pointer                                                                                    \
    }

/**
 * Asks and waits: for the answer, the end of the time, or the news that nobody will answer; exactly
 * one of them. ZA_OK: the reply is set; it is the runtime's, and valid until the next call of this
 * header or the end of the handler. ZA_ETIMEOUT; ZA_ENOANSWER (taken and not answered, or its
 * handler failed); ZA_EGONE; ZA_ENOROUTE (its node is lost); ZA_EFULL; ZA_ETYPE (it does not know
 * the message, or its answer is of another type); ZA_EPROTO (its answer could not be decoded);
 * ZA_ETOOBIG; ZA_ENOBUFS; ZA_EDENIED and ZA_ESTOPPING as above. ZA_EINVAL: without a timeout or a
 * reply, or for the actor itself, which could not answer while it waits.
 */
ZA_MUST_USE ZA_API za_err_t za_await_with(za_ctx_t *ctx, za_ref_t to, const za_type_t *type,
                                          const void *message, const za_await_opts_t *opts);
/** za_await(ctx, to, ZA_MSG(chat_Hello, .name = "x"), ZA_ANSWER(chat_World, &w), .timeout_ms = 9) */
#define za_await(ctx, to, message, ...)                                                            \
    za_await_with(ctx, to, message,                                                                \
                  &(const za_await_opts_t){ .size = sizeof(za_await_opts_t), __VA_ARGS__ })

/** Waits for `delay_ms`, 0 for none. ZA_ENOBUFS ZA_EDENIED ZA_ESTOPPING ZA_EINVAL. */
ZA_MUST_USE ZA_API za_err_t za_sleep(za_ctx_t *ctx, uint32_t delay_ms);

/* ---- overflows ---------------------------------------------------------------------------- */

/** The actor whose stack overflowed. */
typedef struct za_fiber_fault {
    za_ref_t actor;
    const char *class_name;
} za_fiber_fault_t;

/**
 * True if a fault at `address`, on the calling thread, is the overflow of the fiber that runs there:
 * for a handler of SIGSEGV, which has to run on an alternate stack (SA_ONSTACK; the threads of a
 * node have one). Async-signal-safe. za_main installs za_fiber_signal (<zactor/stack.h>), which
 * calls it.
 */
ZA_API bool za_fiber_find_fault(const void *address, za_fiber_fault_t *out);

#ifdef __cplusplus
}
#endif
