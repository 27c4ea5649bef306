/** For all other architectures: ucontext(3). What goes on is described on the stack that was left. */
#include "core/fiber_switch.h"

#include <stdint.h>

#ifdef ZA_SWITCH_UCONTEXT

#include <stdbool.h>
#include <ucontext.h>

#include "base/assert.h"

typedef struct first {
    ucontext_t context;
    void (*entry)(void *argument);
    void *argument;
} first_t;

/** makecontext passes integers: a pointer in two halves. */
static void begin(unsigned high, unsigned low)
{
    first_t *first = (first_t *)(uintptr_t)((uint64_t)high << 32 | low);
    first->entry(first->argument);
}

void *za_switch_make(void *low, void *top, void (*entry)(void *argument), void *argument)
{
    uintptr_t at = ((uintptr_t)top - sizeof(first_t)) & ~(uintptr_t)63;
    first_t *first = (first_t *)at;
    int got = getcontext(&first->context);
    ZA_ASSERT(got == 0);
    first->entry = entry;
    first->argument = argument;
    first->context.uc_stack.ss_sp = low;
    first->context.uc_stack.ss_size = (size_t)(at - (uintptr_t)low);
    first->context.uc_link = NULL;
    uint64_t address = (uintptr_t)first;
    makecontext(&first->context, (void (*)(void))begin, 2, (unsigned)(address >> 32),
                (unsigned)address);
    return &first->context;
}

void za_switch(void **from, void *to)
{
    ucontext_t here;
    *from = &here;
    int switched = swapcontext(&here, to);
    ZA_ASSERT(switched == 0);
}

#else
typedef int za_switch_of_another_file_t;
#endif
