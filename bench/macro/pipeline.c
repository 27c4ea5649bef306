// A pipeline: messages with 256 bytes go through eight actors, each of which reads them all. The sink
// tells the source how far it is: 1,024 are on their way at most.

#include <string.h>

#include "macro/tables.h"

enum { STAGES = 8, PAYLOAD_BYTES = 256, WINDOW = 1024, PROGRESS_EVERY = 128 };

typedef struct b_Part {
    uint64_t sum; // of the words
    uint64_t words[PAYLOAD_BYTES / 8];
} b_Part;

BENCH_TYPE(b_Part, 344);

typedef struct stage {
    za_ref_t next;
} stage_t;

static void check_part(const b_Part *m)
{
    uint64_t sum = 0;
    for (int i = 0; i < PAYLOAD_BYTES / 8; i++) {
        sum += m->words[i];
    }
    bench_check(sum == m->sum, "the payload goes through whole");
}

static za_verdict_t stage_go(za_ctx_t *ctx, stage_t *self, const b_Go *m)
{
    (void)ctx;
    self->next = m->ref;
    return ZA_DONE;
}

static za_verdict_t stage_part(za_ctx_t *ctx, stage_t *self, const b_Part *m)
{
    check_part(m);
    bench_must(za_forward(ctx, self->next), "forward");
    return ZA_DONE;
}

ZA_ACTOR(stage, stage_t, (b_Go, stage_go), (b_Part, stage_part));

typedef struct drain {
    uint64_t left;
} drain_t;

static za_verdict_t drain_go(za_ctx_t *ctx, drain_t *self, const b_Go *m)
{
    (void)ctx;
    self->left = m->n;
    return ZA_DONE;
}

static za_verdict_t drain_part(za_ctx_t *ctx, drain_t *self, const b_Part *m)
{
    check_part(m);
    if (--self->left == 0) {
        bench_end();
    } else if (self->left % PROGRESS_EVERY == 0) {
        bench_must(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Msg, .n = self->left)), "progress");
    }
    return ZA_DONE;
}

ZA_ACTOR(drain, drain_t, (b_Go, drain_go), (b_Part, drain_part));

typedef struct source {
    za_ref_t next;
    uint64_t left; // to be sent
} source_t;

/** `arrived_left`: so many have not arrived yet. */
static za_verdict_t pour(za_ctx_t *ctx, source_t *self, uint64_t arrived_left)
{
    while (self->left > 0 && arrived_left - self->left < WINDOW) {
        b_Part *part = za_new(ctx, &b_Part_type, 0);
        bench_check(part != NULL, "memory for a message");
        for (uint64_t i = 0; i < PAYLOAD_BYTES / 8; i++) {
            part->words[i] = self->left + i;
            part->sum += part->words[i];
        }
        void *message = part;
        bench_must(za_send(ctx, self->next, &message), "send");
        self->left--;
    }
    return ZA_DONE;
}

static za_verdict_t source_go(za_ctx_t *ctx, source_t *self, const b_Go *m)
{
    *self = (source_t){ .next = m->ref, .left = m->n };
    return pour(ctx, self, m->n);
}

static za_verdict_t source_progress(za_ctx_t *ctx, source_t *self, const b_Msg *m)
{
    return pour(ctx, self, m->n);
}

ZA_ACTOR(source, source_t, (b_Go, source_go), (b_Msg, source_progress));

static double pipeline(const bench_workload_t *workload, uint64_t messages)
{
    za_ref_t next = bench_spawn(&drain_class, 0);
    bench_tell(next, ZA_MSG(b_Go, .n = messages));
    for (uint32_t i = 0; i < workload->how_many; i++) {
        za_ref_t stage = bench_spawn(&stage_class, 0);
        bench_tell(stage, ZA_MSG(b_Go, .ref = next));
        next = stage;
    }
    za_ref_t source = bench_spawn(&source_class, 0);
    bench_begin();
    bench_tell(source, ZA_MSG(b_Go, .n = messages, .ref = next));
    return (double)messages / bench_wait() * 1e3;
}

const bench_workload_t bench_macro_pipeline[] = {
    { .id = "pipeline", .unit = "M/s", .measure = pipeline, .amount = 1000000, .how_many = STAGES },
    { 0 },
};
