// A concurrent dictionary: one actor owns a hash table; others read (90 %) and write it, each waiting
// for its answer.

#include <stdatomic.h>

#include "macro/tables.h"

enum { CLIENTS = 20, KEYS = 512, SLOTS = 1024, WRITES_PERCENT = 10 };

typedef struct b_Write {
    uint64_t key;
    uint64_t value;
} b_Write;

typedef struct b_Read {
    uint64_t key;
} b_Read;

typedef struct b_Value {
    uint64_t value;
} b_Value;

BENCH_TYPE(b_Write, 355);
BENCH_TYPE(b_Read, 356);
BENCH_TYPE(b_Value, 357);

static _Atomic uint32_t busy; // clients that have requests to make

typedef struct dictionary {
    uint64_t keys[SLOTS]; // 0: free
    uint64_t values[SLOTS];
} dictionary_t;

/** The slot of `key`, or a free one: twice as many slots as keys. */
static uint32_t slot_of(const dictionary_t *self, uint64_t key)
{
    uint32_t slot = (uint32_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 54);
    while (self->keys[slot] != key && self->keys[slot] != 0) {
        slot = (slot + 1) % SLOTS;
    }
    return slot;
}

static za_verdict_t dictionary_write(za_ctx_t *ctx, dictionary_t *self, const b_Write *m)
{
    uint32_t slot = slot_of(self, m->key);
    self->keys[slot] = m->key;
    self->values[slot] = m->value;
    bench_must(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Value, .value = m->value)), "written");
    return ZA_DONE;
}

static za_verdict_t dictionary_read(za_ctx_t *ctx, dictionary_t *self, const b_Read *m)
{
    uint64_t value = self->values[slot_of(self, m->key)];
    bench_must(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Value, .value = value)), "read");
    return ZA_DONE;
}

ZA_ACTOR(dictionary, dictionary_t, (b_Write, dictionary_write), (b_Read, dictionary_read));

typedef struct client {
    za_ref_t dictionary;
    uint64_t left;
    uint64_t seed;
    uint64_t key; // of the open request
} client_t;

static za_verdict_t request(za_ctx_t *ctx, client_t *self)
{
    self->key = bench_random(&self->seed, KEYS) + 1;
    if (bench_random(&self->seed, 100) < WRITES_PERCENT) {
        const b_Write write = { .key = self->key, .value = self->key * 1000 + self->left % 1000 };
        bench_must(za_tell(ctx, self->dictionary, &b_Write_type, &write), "write");
    } else {
        bench_must(za_tell(ctx, self->dictionary, ZA_MSG(b_Read, .key = self->key)), "read");
    }
    return ZA_DONE;
}

static za_verdict_t client_go(za_ctx_t *ctx, client_t *self, const b_Go *m)
{
    *self = (client_t){ .dictionary = m->ref, .left = m->n, .seed = za_self(ctx).actor };
    return request(ctx, self);
}

static za_verdict_t client_value(za_ctx_t *ctx, client_t *self, const b_Value *m)
{
    bench_check(m->value == 0 || m->value / 1000 == self->key, "a value of the key");
    if (--self->left > 0) {
        return request(ctx, self);
    }
    if (atomic_fetch_sub_explicit(&busy, 1, memory_order_acq_rel) == 1) {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(client, client_t, (b_Go, client_go), (b_Value, client_value));

static double dictionary(const bench_workload_t *workload, uint64_t requests)
{
    uint64_t each = requests / workload->how_many;
    za_ref_t root = bench_spawn(&dictionary_class, 0);
    atomic_store_explicit(&busy, workload->how_many, memory_order_relaxed); // sent after it
    bench_begin();
    for (uint32_t i = 0; i < workload->how_many; i++) {
        bench_tell(bench_spawn(&client_class, 0), ZA_MSG(b_Go, .n = each, .ref = root));
    }
    return (double)(each * workload->how_many) / bench_wait() * 1e3;
}

const bench_workload_t bench_macro_dictionary[] = {
    { .id = "dictionary",
      .unit = "M/s",
      .measure = dictionary,
      .amount = 3000000,
      .how_many = CLIENTS },
    { 0 },
};
