/**
 * Switch: from one stack to another, on the same thread.
 *
 * Saves what a called function must preserve: registers and the control words of floating point. No
 * signal mask, so no system call. Own assembly for x86-64 and AArch64, one file each; ucontext(3)
 * elsewhere. What is compared: boost.context saves the same, swapcontext makes two system calls.
 *
 * Threads  A stack that was left may be entered on another thread, by whoever knows that it was left.
 */
#pragma once

#include <stddef.h>

// As each of the files says of itself; ZA_SWITCH_UCONTEXT by hand to test that one.
#if defined(__x86_64__) && !defined(__ILP32__) && !defined(ZA_SWITCH_UCONTEXT)
#define ZA_SWITCH_X86_64 1
#elif defined(__aarch64__) && !defined(__ILP32__) && !defined(ZA_SWITCH_UCONTEXT)
#define ZA_SWITCH_AARCH64 1
#else
#undef ZA_SWITCH_UCONTEXT
#define ZA_SWITCH_UCONTEXT 1
#endif

/**
 * A stack from `low` to `top` on which `entry` is called with `argument` when it is first switched
 * to; `entry` must not return. Answers where it goes on.
 */
void *za_switch_make(void *low, void *top, void (*entry)(void *argument), void *argument);
/** Leaves the own stack, which goes on from `*from`, for the one that goes on from `to`. */
void za_switch(void **from, void *to);
