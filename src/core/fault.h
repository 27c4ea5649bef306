/**
 * Fault stack: where a signal handler runs on a thread whose own stack overflowed.
 *
 * The threads that run actors have one each, so that a program may install a handler of SIGSEGV with
 * SA_ONSTACK and learn by za_fiber_find_fault whose stack it was. No handler is installed here.
 *
 * Memory   The thread's: a variable of its first function, as it is used while that runs.
 * Threads  The calling one.
 */
#pragma once

#include <stdbool.h>

enum { ZA_FAULT_STACK_BYTES = 32 * 1024 }; // registers of AVX-512 and AMX take 11 KiB of it

typedef struct za_fault_stack {
    bool used; // the thread had none before
    _Alignas(16) char bytes[ZA_FAULT_STACK_BYTES];
} za_fault_stack_t;

/** Leaves a thread alone that has one of somebody else's: of a sanitizer, of the program. */
void za_fault_stack_begin(za_fault_stack_t *stack);
void za_fault_stack_end(za_fault_stack_t *stack);
