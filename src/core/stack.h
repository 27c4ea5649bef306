/**
 * Stack: where another thread of this process is, by name. That thread is asked by a signal, whose
 * handler writes down its own stack; <zactor/stack.h> says who installs it.
 *
 * Memory   The asker's, for as long as a thread lives that was asked: an answer may come late.
 * Threads  One asks at a time.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include <stdbool.h>

#include <zactor/err.h>

#include "core/park.h"

enum {
    ZA_STACK_FRAMES_MAX = 32,
    ZA_STACK_WAIT_MS = 200, // for a thread that the system does not run
};

typedef struct za_stack {
    _Atomic uint32_t asked; // 1: a signal is on its way, and what follows is the handler's
    za_park_t answered;
    int count;
    void *frames[ZA_STACK_FRAMES_MAX];
} za_stack_t;

/** Once before the first: loads what a trace needs, which the signal handler must not. */
void za_stack_prepare(void);
/**
 * Calls `frame` for each frame of `thread`, the innermost first. ZA_EIO: it does not answer, or one
 * asked before has not answered yet.
 */
za_err_t za_stack_walk(za_stack_t *stack, pthread_t thread, int signal_number,
                       void (*frame)(void *context, const char *text), void *context);
