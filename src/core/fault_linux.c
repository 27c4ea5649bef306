#include "core/fault.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <zactor/fiber.h>
#include <zactor/stack.h>

#include "base/limits.h"

void za_fault_stack_begin(za_fault_stack_t *stack)
{
    stack_t before;
    stack->used = sigaltstack(NULL, &before) == 0 && (before.ss_flags & SS_DISABLE) != 0;
    const stack_t own = { .ss_sp = stack->bytes, .ss_size = sizeof stack->bytes };
    stack->used = stack->used && sigaltstack(&own, NULL) == 0;
}

void za_fault_stack_end(za_fault_stack_t *stack)
{
    if (stack->used) {
        const stack_t none = { .ss_flags = SS_DISABLE };
        sigaltstack(&none, NULL);
    }
}

/* ---- in a signal handler: nothing but what is async-signal-safe --------------------------- */

typedef struct line {
    size_t size;
    char text[256];
} line_t;

static void put(line_t *line, const char *text)
{
    while (*text != '\0' && line->size < sizeof line->text) {
        line->text[line->size++] = *text++;
    }
}

static void put_number(line_t *line, uint64_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    put(line, digits + at);
}

void za_fiber_signal(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    int before = errno;
    za_fiber_fault_t fault;
    if (info != NULL && za_fiber_find_fault(info->si_addr, &fault)) {
        line_t line = { 0 };
        put(&line, "stack overflow in fiber of actor ");
        put(&line, fault.class_name);
        put(&line, " local/"); // as za_ref_format
        put_number(&line, fault.actor.actor & ((UINT64_C(1) << ZA_ACTOR_SLOT_BITS) - 1), 16);
        put(&line, ":");
        put_number(&line, fault.actor.actor >> ZA_ACTOR_SLOT_BITS, 10);
        put(&line, "\n");
        ssize_t written = write(STDERR_FILENO, line.text, line.size);
        (void)written; // there is nobody to tell
    }
    // What faulted is done again when this returns, with what the system does of itself.
    struct sigaction usual = { .sa_handler = SIG_DFL };
    sigaction(signal_number, &usual, NULL);
    errno = before;
}
