/**
 * What the sources ask of the system. The linker sends these calls here (--wrap): memory comes from
 * the arena, a futex blocks a fiber, time stands still.
 */
#include "engine.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PC __builtin_return_address(0)

void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, long offset);
int __wrap_munmap(void *address, size_t bytes);
void *__wrap_memcpy(void *to, const void *from, size_t bytes);
void *__wrap_memset(void *to, int value, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *block);
int __wrap_pthread_join(pthread_t thread, void **result);
void __wrap_za_park_relax(void);
uint64_t __wrap_za_clock_ns(void);
long __wrap_syscall(long number, ...);
_Noreturn void __wrap_za_assert_failed(const char *expression, const char *file, int line);
void *__real_memcpy(void *to, const void *from, size_t bytes);
void *__real_memset(void *to, int value, size_t bytes);
void __real_free(void *block);

void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int fd, long offset)
{
    (void)address, (void)protection, (void)flags, (void)fd, (void)offset;
    return zc_alloc(bytes);
}

int __wrap_munmap(void *address, size_t bytes)
{
    zc_poison(address, bytes, true);
    return 0;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    (void)alignment; // the arena's is a cache line
    return zc_alloc(bytes);
}

void __wrap_free(void *block)
{
    if (!zc_arena_has(block)) { // the arena is emptied whole
        __real_free(block);
    }
}

/** `thread` is a number of the scenario. */
int __wrap_pthread_join(pthread_t thread, void **result)
{
    (void)result;
    zc_join((unsigned)thread);
    return 0;
}

void __wrap_za_park_relax(void)
{
    if (zc_is_running()) {
        zc_relax();
    }
}

uint64_t __wrap_za_clock_ns(void)
{
    return 1000000000; // time stands still
}

void *__wrap_memcpy(void *to, const void *from, size_t bytes)
{
    zc_plain_read(from, bytes, PC);
    zc_plain_write(to, bytes, PC);
    return __real_memcpy(to, from, bytes);
}

void *__wrap_memset(void *to, int value, size_t bytes)
{
    zc_plain_write(to, bytes, PC);
    return __real_memset(to, value, bytes);
}

_Noreturn void __wrap_za_assert_failed(const char *expression, const char *file, int line)
{
    zc_fail("assertion failed: %s (%s:%d)", expression, file, line);
}

/**
 * The futex of core/park_linux.c. A wait without timeout: one that ends by time hides a lost wake.
 * The barrier of core/fence_linux.c: on all threads at once, wherever they are.
 */
long __wrap_syscall(long number, ...)
{
    va_list args;
    va_start(args, number);
    if (number == SYS_membarrier) {
        va_end(args);
        zc_fence_all(PC);
        return 0;
    }
    if (number != SYS_futex) {
        zc_fail("system call %ld", number);
    }
    uint32_t *word = va_arg(args, uint32_t *);
    int operation = va_arg(args, int);
    uint32_t value = va_arg(args, uint32_t);
    va_end(args);
    zc_point(true, false, word);
    if (operation == FUTEX_WAKE_PRIVATE) {
        unsigned count = zc_unblock(word, value);
        zc_trace(PC, "%p futex wake: %u", (void *)word, count);
        return (long)count;
    }
    // The kernel compares under its own lock: with what is there, not with what the thread may see.
    uint32_t now;
    __real_memcpy(&now, word, sizeof now);
    zc_trace(PC, "%p futex wait: %s", (void *)word, now == value ? "rests" : "has changed");
    if (now == value) {
        zc_block(word);
        return 0;
    }
    errno = EAGAIN;
    return -1;
}
