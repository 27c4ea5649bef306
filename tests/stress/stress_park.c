/** Single messages to workers that rest: a lost wake hangs here. */
#include "stress_world.h"

static _Atomic uint64_t handled;

typedef struct echo {
    uint64_t unused;
} echo_t;

static za_verdict_t on_num(za_ctx_t *ctx, echo_t *self, const s_Num *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    atomic_fetch_add_explicit(&handled, 1, memory_order_release);
    return ZA_DONE;
}

ZA_ACTOR(echo, echo_t, (s_Num, on_num));

int main(int argc, char **argv)
{
    uint64_t rounds = stress_rounds(argc, argv, 20000);
    stress_t stress;
    stress_start(&stress, 2, 100);
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    za_ref_t target = stress_spawn(guest, &echo_class);
    for (uint64_t i = 0; i < rounds; i++) {
        MUST(stress_tell(guest, target, (s_Num){ .n = i }) == ZA_OK);
        while (atomic_load_explicit(&handled, memory_order_acquire) <= i) {
            sched_yield();
        }
    }
    stress_stop(&stress);
    return 0;
}
