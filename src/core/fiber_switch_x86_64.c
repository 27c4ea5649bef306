/** The System V ABI of x86-64: rbx, rbp, r12 to r15, MXCSR and the x87 control word are preserved. */
#include "core/fiber_switch.h"

#include <stdint.h>

#ifdef ZA_SWITCH_X86_64

// What za_switch pops, from the lowest address.
typedef struct frame {
    uint32_t mxcsr;
    uint32_t x87;
    uint64_t r15, r14, r13, r12, rbx, rbp;
    void (*return_to)(void);
    uint64_t end[2]; // keeps the alignment of a call
} frame_t;

void za_switch_begin(void);

// The end of the call chain for those who walk the stack: rbp is 0, and rip undefined.
__asm__(".text\n"
        ".globl za_switch\n"
        ".hidden za_switch\n"
        ".type za_switch, @function\n"
        ".p2align 4\n"
        "za_switch:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    subq $8, %rsp\n"
        "    stmxcsr (%rsp)\n"
        "    fnstcw 4(%rsp)\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    ldmxcsr (%rsp)\n"
        "    fldcw 4(%rsp)\n"
        "    addq $8, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size za_switch, . - za_switch\n"
        ".globl za_switch_begin\n"
        ".hidden za_switch_begin\n"
        ".type za_switch_begin, @function\n"
        ".p2align 4\n"
        "za_switch_begin:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined rip\n"
        "    movq %r12, %rdi\n"
        "    call *%rbx\n"
        "    ud2\n"
        "    .cfi_endproc\n"
        ".size za_switch_begin, . - za_switch_begin\n");

void *za_switch_make(void *low, void *top, void (*entry)(void *argument), void *argument)
{
    (void)low;
    uintptr_t end = (uintptr_t)top & ~(uintptr_t)15;
    frame_t *frame = (frame_t *)(end - sizeof(frame_t));
    *frame = (frame_t){
        .mxcsr = 0x1f80, // all exceptions masked, nearest: what a thread begins with
        .x87 = 0x037f,
        .r12 = (uintptr_t)argument,
        .rbx = (uintptr_t)entry,
        .return_to = za_switch_begin,
    };
    return frame;
}

_Static_assert((offsetof(frame_t, return_to) + 8 - sizeof(frame_t)) % 16 == 0,
               "the stack is aligned where za_switch_begin begins");

#else
typedef int za_switch_of_another_file_t;
#endif
