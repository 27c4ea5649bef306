/**
 * The functions that code compiled with -fsanitize=thread calls. Names and types are the compilers';
 * gcc and clang agree on them (compiler-rt, tsan_interface.h and tsan_interface_atomic.h).
 */
#include "engine.h"

#define PC __builtin_return_address(0)

void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);
void __tsan_read_range(void *address, unsigned long bytes);
void __tsan_write_range(void *address, unsigned long bytes);
void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void *__tsan_get_current_fiber(void);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc)
{
    (void)pc;
}

void __tsan_func_exit(void)
{
}

// No scenario has actors with fibers: these are linked, and not called.
void *__tsan_create_fiber(unsigned flags)
{
    (void)flags;
    return NULL;
}

void __tsan_destroy_fiber(void *fiber)
{
    (void)fiber;
}

void *__tsan_get_current_fiber(void)
{
    return NULL;
}

void __tsan_switch_to_fiber(void *fiber, unsigned flags)
{
    (void)fiber;
    (void)flags;
}

void __tsan_read_range(void *address, unsigned long bytes)
{
    zc_plain_read(address, bytes, PC);
}

void __tsan_write_range(void *address, unsigned long bytes)
{
    zc_plain_write(address, bytes, PC);
}

void __tsan_atomic_thread_fence(int order)
{
    zc_fence((zc_order_t)order, PC);
}

void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

#define PLAIN(name, bytes)                                                                         \
    void __tsan_read##name(void *address);                                                         \
    void __tsan_write##name(void *address);                                                        \
    void __tsan_read##name(void *address)                                                          \
    {                                                                                              \
        zc_plain_read(address, bytes, PC);                                                         \
    }                                                                                              \
    void __tsan_write##name(void *address)                                                         \
    {                                                                                              \
        zc_plain_write(address, bytes, PC);                                                        \
    }                                                                                              \
    struct plain_##name // takes the semicolon

PLAIN(1, 1);
PLAIN(2, 2);
PLAIN(4, 4);
PLAIN(8, 8);
PLAIN(16, 16);

#define UNALIGNED(bytes)                                                                           \
    void __tsan_unaligned_read##bytes(void *address);                                              \
    void __tsan_unaligned_write##bytes(void *address);                                             \
    void __tsan_unaligned_read##bytes(void *address)                                               \
    {                                                                                              \
        zc_plain_read(address, bytes, PC);                                                         \
    }                                                                                              \
    void __tsan_unaligned_write##bytes(void *address)                                              \
    {                                                                                              \
        zc_plain_write(address, bytes, PC);                                                        \
    }                                                                                              \
    struct unaligned_##bytes // takes the semicolon

UNALIGNED(2);
UNALIGNED(4);
UNALIGNED(8);
UNALIGNED(16);

#define MODIFY(bits, name, what)                                                                   \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *address,                  \
                                                uint##bits##_t operand, int order);                \
    uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *address,                  \
                                                uint##bits##_t operand, int order)                 \
    {                                                                                              \
        return (uint##bits##_t)zc_modify((void *)(uintptr_t)address, bits / 8, what, operand,      \
                                         (zc_order_t)order, PC);                                   \
    }                                                                                              \
    struct modify_##bits##_##name // takes the semicolon

#define EXCHANGE_IF(bits, name, weak)                                                              \
    int __tsan_atomic##bits##_compare_exchange_##name(                                             \
        volatile uint##bits##_t *address, uint##bits##_t *expected, uint##bits##_t desired,        \
        int order, int failure);                                                                   \
    int __tsan_atomic##bits##_compare_exchange_##name(                                             \
        volatile uint##bits##_t *address, uint##bits##_t *expected, uint##bits##_t desired,        \
        int order, int failure)                                                                    \
    {                                                                                              \
        const zc_cas_t cas = { bits / 8,          *expected,           desired,                    \
                               (zc_order_t)order, (zc_order_t)failure, weak };                     \
        uint64_t seen;                                                                             \
        if (zc_compare_exchange((void *)(uintptr_t)address, &cas, &seen, PC)) {                    \
            return 1;                                                                              \
        }                                                                                          \
        *expected = (uint##bits##_t)seen;                                                          \
        return 0;                                                                                  \
    }                                                                                              \
    struct exchange_if_##bits##_##name // takes the semicolon

#define ATOMIC(bits)                                                                               \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *address, int order);  \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *address, int order)   \
    {                                                                                              \
        return (uint##bits##_t)zc_load((const void *)(uintptr_t)address, bits / 8,                 \
                                       (zc_order_t)order, PC);                                     \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *address, uint##bits##_t value,       \
                                     int order);                                                   \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *address, uint##bits##_t value,       \
                                     int order)                                                    \
    {                                                                                              \
        zc_store((void *)(uintptr_t)address, bits / 8, value, (zc_order_t)order, PC);              \
    }                                                                                              \
    MODIFY(bits, exchange, ZC_EXCHANGE);                                                           \
    MODIFY(bits, fetch_add, ZC_ADD);                                                               \
    MODIFY(bits, fetch_sub, ZC_SUB);                                                               \
    MODIFY(bits, fetch_and, ZC_AND);                                                               \
    MODIFY(bits, fetch_or, ZC_OR);                                                                 \
    MODIFY(bits, fetch_xor, ZC_XOR);                                                               \
    MODIFY(bits, fetch_nand, ZC_NAND);                                                             \
    EXCHANGE_IF(bits, strong, false);                                                              \
    EXCHANGE_IF(bits, weak, true);                                                                 \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                     \
        volatile uint##bits##_t *address, uint##bits##_t expected, uint##bits##_t desired,         \
        int order, int failure);                                                                   \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                     \
        volatile uint##bits##_t *address, uint##bits##_t expected, uint##bits##_t desired,         \
        int order, int failure)                                                                    \
    {                                                                                              \
        /* The caller takes an exchange that found what it expected for a success. */              \
        const zc_cas_t cas = {                                                                     \
            bits / 8, expected, desired, (zc_order_t)order, (zc_order_t)failure, false             \
        };                                                                                         \
        uint64_t seen;                                                                             \
        zc_compare_exchange((void *)(uintptr_t)address, &cas, &seen, PC);                          \
        return (uint##bits##_t)seen;                                                               \
    }                                                                                              \
    struct atomic_##bits // takes the semicolon

ATOMIC(8);
ATOMIC(16);
ATOMIC(32);
ATOMIC(64);
