// One mailbox under contention: threads that are no workers push into it as fast as it takes.

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "micro/tables.h"

typedef struct pusher {
    za_worker_t *guest;
    za_ref_t to;
    uint64_t left;
    pthread_t thread;
} pusher_t;

typedef struct sink {
    uint64_t left;
} sink_t;

static za_verdict_t sink_go(za_ctx_t *ctx, sink_t *self, const b_Go *m)
{
    (void)ctx;
    self->left = m->n;
    return ZA_DONE;
}

static za_verdict_t sink_msg(za_ctx_t *ctx, sink_t *self, const b_Msg *m)
{
    (void)ctx;
    (void)m;
    if (--self->left == 0) {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(sink, sink_t, (b_Msg, sink_msg), (b_Go, sink_go));

static void *push(void *argument)
{
    pusher_t *self = argument;
    const b_Msg message = { .n = 1 };
    const za_outgoing_t out = { .to = self->to, .type = &b_Msg_type, .body = &message };
    while (self->left > 0) {
        za_err_t err = za_runtime_tell(self->guest, &out);
        if (err == ZA_OK) {
            self->left--;
        } else if (err == ZA_EFULL) {
            sched_yield(); // the bound holds: others, or the actor, are to run
        } else {
            bench_must(err, "push");
        }
    }
    return NULL;
}

static double contend(const bench_workload_t *workload, uint64_t messages)
{
    uint32_t count = workload->how_many;
    uint64_t each = messages / count;
    pusher_t *pushers = calloc(count, sizeof *pushers);
    za_ref_t to = bench_spawn(&sink_class, 0);
    if (pushers == NULL) {
        bench_fail("out of memory");
    }
    bench_tell(to, ZA_MSG(b_Go, .n = each * count));
    for (uint32_t i = 0; i < count; i++) {
        // The measuring thread only waits from here on: its guest is free for the first of them.
        za_worker_t *guest = i == 0 ? bench_guest() : za_runtime_guest(bench_runtime());
        bench_check(guest != NULL, "a guest for each thread");
        pushers[i] = (pusher_t){ .guest = guest, .to = to, .left = each };
    }
    bench_begin();
    for (uint32_t i = 0; i < count; i++) {
        bench_check(pthread_create(&pushers[i].thread, NULL, push, &pushers[i]) == 0, "a thread");
    }
    double elapsed_ns = bench_wait();
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(pushers[i].thread, NULL);
    }
    free(pushers);
    return (double)(each * count) / elapsed_ns * 1e3;
}

#define CONTEND(name, threads)                                                                     \
    {                                                                                              \
        .id = name, .unit = "M/s", .measure = contend, .amount = 3000000, .how_many = threads,     \
        .workers = 1                                                                               \
    }

const bench_workload_t bench_micro_contention[] = {
    CONTEND("contend-1", 1),
    CONTEND("contend-2", 2),
    CONTEND("contend-4", 4),
    CONTEND("contend-8", 8),
    CONTEND("contend-16", 16),
    CONTEND("contend-32", 32),
    { 0 },
};
