/**
 * Callers: threads that are no workers ask actors and wait for the answer.
 *
 * Each waiting thread has a caller: an actor that asks for it, and is used again by the next one. The
 * thread has its own clock, so it returns in time even if every worker stands still; the actor then
 * ends the ask by itself before the caller is free. Whoever is first decides, under the caller's
 * lock: so a call ends in exactly one way, and the thread's memory is not touched afterwards.
 *
 * Memory   A caller stays until destroy; there are as many as there were threads at once.
 * Threads  Any, but for create, close and destroy.
 */
#pragma once

#include <zactor/node.h>

#include "core/runtime.h"

typedef struct za_callers za_callers_t;

/** The guest that all threads which are no workers share. */
typedef struct za_foreign {
    void *context;
    /** Locks it; what is done through it is quick. */
    za_worker_t *(*enter)(void *context);
    void (*leave)(void *context);
} za_foreign_t;

/** ZA_ENOMEM. */
za_err_t za_callers_create(const za_foreign_t *foreign, za_callers_t **out);

/** As za_ask_sync_with, with arguments that were looked at. */
za_err_t za_callers_ask(za_callers_t *callers, za_ref_t to, const za_type_t *type,
                        const void *message, const za_ask_sync_opts_t *opts);

/** Ends all calls with ZA_ESTOPPING, also later ones, and returns when no thread is inside. */
void za_callers_close(za_callers_t *callers);
/** After close, when no worker runs any more. */
void za_callers_destroy(za_callers_t *callers);
