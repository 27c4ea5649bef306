#include "core/park.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct timespec timeout = { .tv_sec = (time_t)(timeout_ns / 1000000000),
                                .tv_nsec = (long)(timeout_ns % 1000000000) };
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns == UINT64_MAX ? NULL : &timeout,
            NULL, 0);
}

void za_park_wait(za_park_t *park, uint64_t timeout_ns)
{
    if (atomic_exchange_explicit(&park->token, 0, memory_order_acquire) == 0) { // pairs: park-token
        futex_wait(&park->token, 0, timeout_ns);
        atomic_store_explicit(&park->token, 0,
                              memory_order_relaxed); // relaxed: the caller looks again
    }
}

void za_park_wake(za_park_t *park)
{
    if (atomic_exchange_explicit(&park->token, 1, memory_order_release) == 0) { // pairs: park-token
        syscall(SYS_futex, &park->token, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

void za_park_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); // longer than yield, which most cores do not act on
#endif
}
