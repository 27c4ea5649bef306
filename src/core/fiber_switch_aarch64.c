/** The procedure call standard of AArch64: x19 to x30, d8 to d15, sp and FPCR are preserved. */
#include "core/fiber_switch.h"

#include <stdint.h>

#ifdef ZA_SWITCH_AARCH64

// What za_switch loads, from the lowest address.
typedef struct frame {
    uint64_t x[12]; // x19 .. x30
    uint64_t d[8];  // d8 .. d15
    uint64_t fpcr;
    uint64_t end;
} frame_t;

_Static_assert(sizeof(frame_t) == 176, "as below");

void za_switch_begin(void);

// The end of the call chain for those who walk the stack: x29 is 0, and x30 undefined.
__asm__(".text\n"
        ".globl za_switch\n"
        ".hidden za_switch\n"
        ".type za_switch, %function\n"
        ".p2align 4\n"
        "za_switch:\n"
        "    .cfi_startproc\n"
        "    hint #34\n" // bti c
        "    sub sp, sp, #176\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mrs x9, fpcr\n"
        "    str x9, [sp, #160]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldr x9, [sp, #160]\n"
        "    msr fpcr, x9\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #176\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size za_switch, . - za_switch\n"
        ".globl za_switch_begin\n"
        ".hidden za_switch_begin\n"
        ".type za_switch_begin, %function\n"
        ".p2align 4\n"
        "za_switch_begin:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined x30\n"
        "    hint #36\n" // bti j
        "    mov x0, x20\n"
        "    blr x19\n"
        "    brk #1\n"
        "    .cfi_endproc\n"
        ".size za_switch_begin, . - za_switch_begin\n");

void *za_switch_make(void *low, void *top, void (*entry)(void *argument), void *argument)
{
    (void)low;
    uintptr_t end = (uintptr_t)top & ~(uintptr_t)15;
    frame_t *frame = (frame_t *)(end - sizeof(frame_t));
    *frame = (frame_t){ 0 }; // FPCR 0: nearest, no traps
    frame->x[0] = (uintptr_t)entry;
    frame->x[1] = (uintptr_t)argument;
    frame->x[11] = (uintptr_t)za_switch_begin;
    return frame;
}

#else
typedef int za_switch_of_another_file_t;
#endif
