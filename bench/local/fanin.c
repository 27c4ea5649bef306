// Many to one: how fast one mailbox takes what producers send, plain or with a payload.

#include <string.h>

#include "harness.h"
#include "local/tables.h"

enum {
    BATCH = 100,
    PAYLOAD_BYTES = 64
}; // messages of one handler call: a producer lets others run

typedef struct b_Payload {
    uint64_t n;
    za_bytes_t data;
} b_Payload;

static uint32_t payload_extent(const void *message)
{
    const b_Payload *payload = message;
    return payload->data.size == 0
               ? (uint32_t)sizeof *payload
               : (uint32_t)offsetof(b_Payload, data) + payload->data.offset + payload->data.size;
}

static const za_type_t b_Payload_type = {
    .name = "b.Payload", .id = 303, .size = sizeof(b_Payload), .extent = payload_extent
};

typedef struct producer {
    za_ref_t sink;
    uint64_t left;
} producer_t;

/** Sends a batch, or less when the sink is full, and goes on in its next message. */
static za_verdict_t produce(za_ctx_t *ctx, producer_t *self)
{
    for (int i = 0; i < BATCH && self->left > 0; i++) {
        if (za_tell(ctx, self->sink, ZA_MSG(b_Msg, .n = self->left)) != ZA_OK) {
            break;
        }
        self->left--;
    }
    if (self->left > 0) {
        ZA_IGNORE(za_tell(ctx, za_self(ctx), ZA_MSG(b_Msg, .n = 0)));
    }
    return ZA_DONE;
}

static za_verdict_t producer_go(za_ctx_t *ctx, producer_t *self, const b_Go *m)
{
    self->sink = m->ref;
    self->left = m->n;
    return produce(ctx, self);
}

static za_verdict_t producer_msg(za_ctx_t *ctx, producer_t *self, const b_Msg *m)
{
    (void)m;
    return produce(ctx, self);
}

ZA_ACTOR(producer, producer_t, (b_Msg, producer_msg), (b_Go, producer_go));

/** As produce, each message with a payload allocated for it. */
static za_verdict_t produce_payloads(za_ctx_t *ctx, producer_t *self)
{
    static const char bytes[PAYLOAD_BYTES] = "what a user would want to send";
    for (int i = 0; i < BATCH && self->left > 0; i++) {
        b_Payload *payload = za_new(ctx, &b_Payload_type, PAYLOAD_BYTES);
        if (payload == NULL) {
            break;
        }
        payload->n = self->left;
        bench_must(za_bytes_put(payload, &payload->data, bytes, sizeof bytes), "payload");
        void *message = payload;
        if (za_send(ctx, self->sink, &message) != ZA_OK) {
            za_discard(ctx, &message);
            break;
        }
        self->left--;
    }
    if (self->left > 0) {
        ZA_IGNORE(za_tell(ctx, za_self(ctx), ZA_MSG(b_Msg, .n = 0)));
    }
    return ZA_DONE;
}

static za_verdict_t packer_go(za_ctx_t *ctx, producer_t *self, const b_Go *m)
{
    self->sink = m->ref;
    self->left = m->n;
    return produce_payloads(ctx, self);
}

static za_verdict_t packer_msg(za_ctx_t *ctx, producer_t *self, const b_Msg *m)
{
    (void)m;
    return produce_payloads(ctx, self);
}

ZA_ACTOR(packer, producer_t, (b_Msg, packer_msg), (b_Go, packer_go));

typedef struct sink {
    uint64_t left;
} sink_t;

static za_verdict_t sink_go(za_ctx_t *ctx, sink_t *self, const b_Go *m)
{
    (void)ctx;
    self->left = m->n;
    return ZA_DONE;
}

static za_verdict_t sink_count(sink_t *self)
{
    if (--self->left == 0) {
        bench_end();
    }
    return ZA_DONE;
}

static za_verdict_t sink_msg(za_ctx_t *ctx, sink_t *self, const b_Msg *m)
{
    (void)ctx;
    (void)m;
    return sink_count(self);
}

static za_verdict_t sink_payload(za_ctx_t *ctx, sink_t *self, const b_Payload *m)
{
    (void)ctx;
    const char *bytes = za_bytes_data(&m->data);
    bench_check(m->data.size == PAYLOAD_BYTES && bytes[0] == 'w', "the payload arrives");
    return sink_count(self);
}

ZA_ACTOR(sink, sink_t, (b_Msg, sink_msg), (b_Payload, sink_payload), (b_Go, sink_go));

static double feed(const za_class_t *producer, uint64_t messages, uint32_t producers)
{
    za_ref_t sink = bench_spawn(&sink_class, 0);
    bench_tell(sink, ZA_MSG(b_Go, .n = messages / producers * producers));
    bench_begin();
    for (uint32_t i = 0; i < producers; i++) {
        bench_tell(bench_spawn(producer, 0), ZA_MSG(b_Go, .n = messages / producers, .ref = sink));
    }
    return (double)messages / bench_wait() * 1e3;
}

static double fanin(const bench_workload_t *workload, uint64_t messages)
{
    return feed(&producer_class, messages, workload->how_many);
}

static double payload(const bench_workload_t *workload, uint64_t messages)
{
    return feed(&packer_class, messages, workload->how_many);
}

const bench_workload_t bench_local_fanin[] = {
    { .id = "fanin-1", .unit = "M/s", .measure = fanin, .amount = 10000000, .how_many = 1 },
    { .id = "fanin-2", .unit = "M/s", .measure = fanin, .amount = 10000000, .how_many = 2 },
    { .id = "fanin-8", .unit = "M/s", .measure = fanin, .amount = 10000000, .how_many = 8 },
    { .id = "fanin-32", .unit = "M/s", .measure = fanin, .amount = 10000000, .how_many = 32 },
    { .id = "payload", .unit = "M/s", .measure = payload, .amount = 10000000, .how_many = 1 },
    { 0 },
};
