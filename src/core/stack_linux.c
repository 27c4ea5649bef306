#include "core/stack.h"

#include <errno.h>
#include <execinfo.h>
#include <stdlib.h>
#include <unistd.h>

#include <zactor/stack.h>

enum { OWN_FRAMES = 2 }; // the handler, and the system's way back from it

void za_stack_signal(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    if (info == NULL || info->si_code != SI_QUEUE || info->si_pid != getpid() ||
        info->si_value.sival_ptr == NULL) {
        return; // somebody else's
    }
    int before = errno;
    za_stack_t *stack = info->si_value.sival_ptr;
    stack->count = backtrace(stack->frames, ZA_STACK_FRAMES_MAX);
    atomic_store_explicit(&stack->asked, 0, memory_order_release); // pairs: stack
    za_park_wake(&stack->answered);
    errno = before;
}

void za_stack_prepare(void)
{
    void *frames[1];
    (void)backtrace(frames, 1); // loads libgcc_s the first time
}

static bool is_asked(const za_stack_t *stack)
{
    return atomic_load_explicit(&stack->asked, memory_order_acquire) != 0; // pairs: stack
}

za_err_t za_stack_walk(za_stack_t *stack, pthread_t thread, int signal_number,
                       void (*frame)(void *context, const char *text), void *context)
{
    if (is_asked(stack)) {
        return ZA_EIO;
    }
    atomic_store_explicit(&stack->asked, 1, memory_order_relaxed); // relaxed: the signal follows
    if (pthread_sigqueue(thread, signal_number, (union sigval){ .sival_ptr = stack }) != 0) {
        atomic_store_explicit(&stack->asked, 0, memory_order_relaxed); // relaxed: nobody else knows
        return ZA_EIO;
    }
    for (int i = 0; i < ZA_STACK_WAIT_MS && is_asked(stack); i++) {
        za_park_wait(&stack->answered, 1000000);
    }
    if (is_asked(stack)) {
        return ZA_EIO;
    }
    char **names = backtrace_symbols(stack->frames, stack->count);
    for (int i = OWN_FRAMES; names != NULL && i < stack->count; i++) {
        frame(context, names[i]);
    }
    free(names);
    return names != NULL ? ZA_OK : ZA_ENOMEM;
}
