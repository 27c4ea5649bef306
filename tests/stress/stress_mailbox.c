/** Foreign threads push to one bounded mailbox: all that was accepted comes, in order, once. */
#include "stress_world.h"

enum { SENDERS = 4, BOUND = 256 };

static uint64_t rounds;
static uint64_t expected[SENDERS];
static _Atomic uint64_t handled;
static stress_t stress;
static za_ref_t target;

typedef struct sink {
    uint64_t unused;
} sink_t;

static za_verdict_t on_num(za_ctx_t *ctx, sink_t *self, const s_Num *m)
{
    (void)ctx;
    (void)self;
    MUST(m->n == expected[m->from]);
    expected[m->from]++;
    atomic_fetch_add_explicit(&handled, 1, memory_order_relaxed);
    return ZA_DONE;
}

ZA_ACTOR(sink, sink_t, (s_Num, on_num));

static void *send_all(void *argument)
{
    uint64_t from = (uint64_t)(uintptr_t)argument;
    za_worker_t *guest = za_runtime_guest(stress.runtime);
    MUST(guest != NULL);
    for (uint64_t i = 0; i < rounds; i++) {
        za_err_t err;
        while ((err = stress_tell(guest, target, (s_Num){ .n = i, .from = from })) == ZA_EFULL) {
            sched_yield();
        }
        MUST(err == ZA_OK);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    rounds = stress_rounds(argc, argv, 100000);
    stress_start(&stress, 2, BOUND);
    target = stress_spawn(za_runtime_guest(stress.runtime), &sink_class);
    pthread_t threads[SENDERS];
    for (uintptr_t i = 0; i < SENDERS; i++) {
        MUST(pthread_create(&threads[i], NULL, send_all, (void *)i) == 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    while (atomic_load_explicit(&handled, memory_order_relaxed) < SENDERS * rounds) {
        sched_yield();
    }
    stress_stop(&stress);
    return 0;
}
