/**
 * Fiber: what an actor has whose handlers may wait; <zactor/fiber.h> says what it promises.
 *
 * Such an actor is ZA_HEAD_FIBER: each message is taken out of its mailbox before it is handled, by
 * a loop of its own, so that no other actor pays for it. A handler is called on the stack of the
 * fiber with a context of the fiber; all that is done around it is done on the stack of the worker.
 * While it waits its actor is idle like any other, but what leaves the mailbox and is not what it
 * waits for is put into `later`, which comes before the mailbox.
 *
 * Order    replay, later, mailbox. A user message in `later` counts in the mailbox still.
 * Memory   The fiber and its stack belong to the actor from its spawn to its end, so that a handler
 *          cannot fail for want of one. The message that is handled is marked ZA_FLAG_HELD while its
 *          handler waits: whoever took it out of the mailbox leaves it to the fiber.
 * Threads  The owner of the actor. The fiber goes on on whatever thread that is.
 */
#pragma once

#include <zactor/fiber.h>

#include "core/mailbox_drop.h"

typedef enum za_fiber_state {
    ZA_FIBER_RESTS, // no handler was called
    ZA_FIBER_RUNS,
    ZA_FIBER_WAITS, // for `wait_id`
} za_fiber_state_t;

struct za_fiber {
    // Whose turn it is: this stack's or the worker's.
    void *point; // where the fiber goes on
    void *home;  // where its worker goes on
    // The call.
    za_ctx_t ctx;
    za_handler_fn *call;
    void *self;
    const void *body;
    za_verdict_t verdict;
    uint8_t state;  // za_fiber_state_t
    bool waited;    // so the message is ours
    bool holds;     // ... and marked so by us
    bool cancelled; // it is to return
    za_message_t *message;
    za_message_t *copy; // of a notification that has no block
    // The wait.
    uint64_t wait_id; // of the ask or timer
    uint64_t wait_node;
    const za_type_t *reply_type; // NULL: it sleeps
    za_message_t *reply;         // until the next wait
    const void *answer;
    za_err_t result;
    za_Reason reason;
    za_aside_t later;
    // Its place.
    struct za_fiber *next; // of the free ones
    char *low;
    uint8_t size;
    bool guarded;
    // What the sanitizers know of it.
    void *asan_stack;
    const void *asan_home;
    size_t asan_home_bytes;
    void *tsan;
    void *tsan_home;
};

/* ---- its stack ---------------------------------------------------------------------------- */

/** Makes a stack ready for its first call. */
void za_fiber_make(za_fiber_t *fiber);
void za_fiber_unmake(za_fiber_t *fiber);

/* ---- the actor's life --------------------------------------------------------------------- */

/** A fiber for an actor that is being spawned, in `extra`. As za_fiber_pool_take. */
za_err_t za_fiber_open(za_worker_t *worker, za_extra_t *extra, size_t stack_bytes);
/** Its actor ended, or could not be spawned after all. */
void za_fiber_close(za_worker_t *worker, za_extra_t *extra);
/** The actor is to end or to restart: a handler that waits returns now. */
void za_fiber_cancel(za_worker_t *worker, za_cell_t *cell);

/* ---- messages ----------------------------------------------------------------------------- */

/** Takes the oldest of what was put aside while a handler waited, and makes room for it. */
za_message_t *za_fiber_later(za_cell_t *cell);
/** Takes the next message. NULL with ZA_TAKEN: it has done with it what was to do. */
za_take_t za_fiber_take(za_worker_t *worker, za_cell_t *cell, za_message_t **out);
/** As za_handle, for such an actor: calls a handler, or tells the one that waits. */
void za_fiber_handle(za_worker_t *worker, za_cell_t *cell, za_message_t *message,
                     const za_type_t *type, const void *body, uint64_t tag);
