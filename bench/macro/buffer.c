// A bounded buffer: producers and consumers, and a manager that lets nobody overfill it or wait in
// vain (Savina's bndbuffer).

#include "macro/tables.h"

enum { PRODUCERS = 40, CONSUMERS = 40, PLACES = 50 };

typedef struct b_Item {
    uint64_t n; // 0: the consumer is free
} b_Item;

typedef struct b_Ready {
    uint64_t unused; // to a producer: produce one; from a consumer: I am free
} b_Ready;

BENCH_TYPE(b_Item, 363);
BENCH_TYPE(b_Ready, 364);

typedef struct manager {
    za_ref_t free[CONSUMERS];
    za_ref_t waiting[PRODUCERS]; // for a place
    uint64_t items[PLACES + PRODUCERS];
    uint32_t free_count;
    uint32_t waiting_count;
    uint32_t first; // of the items
    uint32_t item_count;
    uint64_t to_order;
    uint64_t to_consume;
    uint64_t sum;
} manager_t;

static uint64_t sum_consumed; // before bench_end

/** Lets the producer make another, or wait for a place. */
static void order(za_ctx_t *ctx, manager_t *self, za_ref_t producer)
{
    if (self->to_order == 0) {
        return;
    }
    if (self->item_count >= PLACES) {
        self->waiting[self->waiting_count++] = producer;
        return;
    }
    self->to_order--;
    bench_must(za_tell(ctx, producer, ZA_MSG(b_Ready, .unused = 0)), "order");
}

static za_verdict_t manager_go(za_ctx_t *ctx, manager_t *self, const b_Go *m)
{
    if (za_ref_is_none(m->ref)) { // how many
        self->to_order = self->to_consume = m->n;
    } else if (m->n == 1) {
        order(ctx, self, m->ref);
    } else {
        self->free[self->free_count++] = m->ref;
    }
    return ZA_DONE;
}

static za_verdict_t manager_item(za_ctx_t *ctx, manager_t *self, const b_Item *m)
{
    if (self->free_count > 0) {
        bench_must(za_tell(ctx, self->free[--self->free_count], ZA_MSG(b_Item, .n = m->n)), "item");
    } else {
        uint32_t size = PLACES + PRODUCERS; // those under way when it became full come too
        bench_check(self->item_count < size, "the bound holds");
        self->items[(self->first + self->item_count++) % size] = m->n;
    }
    order(ctx, self, za_sender(ctx));
    return ZA_DONE;
}

static za_verdict_t manager_consumed(za_ctx_t *ctx, manager_t *self, const b_Msg *m)
{
    self->sum += m->n;
    if (--self->to_consume == 0) {
        sum_consumed = self->sum;
        bench_end();
        return ZA_DONE;
    }
    if (self->item_count == 0) {
        self->free[self->free_count++] = za_sender(ctx);
        return ZA_DONE;
    }
    uint64_t n = self->items[self->first];
    self->first = (self->first + 1) % (PLACES + PRODUCERS);
    self->item_count--;
    bench_must(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Item, .n = n)), "item");
    if (self->waiting_count > 0) {
        order(ctx, self, self->waiting[--self->waiting_count]);
    }
    return ZA_DONE;
}

ZA_ACTOR(manager, manager_t, (b_Go, manager_go), (b_Item, manager_item), (b_Msg, manager_consumed));

typedef struct party {
    uint64_t made;
} party_t;

static za_verdict_t producer_ready(za_ctx_t *ctx, party_t *self, const b_Ready *m)
{
    (void)m;
    self->made++;
    bench_must(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Item, .n = 1 + self->made % 2)), "item");
    return ZA_DONE;
}

ZA_ACTOR(producer, party_t, (b_Ready, producer_ready));

static za_verdict_t consumer_item(za_ctx_t *ctx, party_t *self, const b_Item *m)
{
    self->made += m->n;
    bench_must(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Msg, .n = m->n)), "consumed");
    return ZA_DONE;
}

ZA_ACTOR(consumer, party_t, (b_Item, consumer_item));

static double buffer(const bench_workload_t *workload, uint64_t items)
{
    (void)workload;
    za_ref_t manager = bench_spawn(&manager_class, 0);
    bench_tell(manager, ZA_MSG(b_Go, .n = items));
    for (int i = 0; i < CONSUMERS; i++) {
        bench_tell(manager, ZA_MSG(b_Go, .n = 0, .ref = bench_spawn(&consumer_class, 0)));
    }
    bench_begin();
    for (int i = 0; i < PRODUCERS; i++) {
        bench_tell(manager, ZA_MSG(b_Go, .n = 1, .ref = bench_spawn(&producer_class, 0)));
    }
    double elapsed_ns = bench_wait();
    bench_check(sum_consumed >= items && sum_consumed <= 2 * items, "all items are consumed");
    return (double)items / elapsed_ns * 1e3;
}

const bench_workload_t bench_macro_buffer[] = {
    { .id = "bounded-buffer",
      .unit = "M/s",
      .measure = buffer,
      .amount = 1000000,
      .how_many = PRODUCERS },
    { 0 },
};
