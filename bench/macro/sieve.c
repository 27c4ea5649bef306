// The sieve of Eratosthenes as a chain of filters, each of them with up to a thousand primes.

#include "macro/tables.h"

enum { PRIMES_EACH = 1000, BATCH = 100 };

typedef struct b_Number {
    uint64_t n;      // 0: that was all
    uint64_t primes; // of the filters before, then
} b_Number;

BENCH_TYPE(b_Number, 361);

static uint64_t primes_found; // before bench_end

typedef struct filter {
    za_ref_t next;
    uint32_t count;
    uint32_t primes[PRIMES_EACH];
} filter_t;

static za_verdict_t filter_number(za_ctx_t *ctx, filter_t *self, const b_Number *m);

ZA_ACTOR(filter, filter_t, (b_Number, filter_number));

static bool is_multiple(const filter_t *self, uint64_t n)
{
    for (uint32_t i = 0; i < self->count; i++) {
        if (n % self->primes[i] == 0) {
            return true;
        }
    }
    return false;
}

static za_verdict_t filter_end(za_ctx_t *ctx, const filter_t *self, uint64_t before)
{
    if (za_ref_is_none(self->next)) {
        primes_found = before + self->count;
        bench_end();
        return ZA_DONE;
    }
    bench_must(za_tell(ctx, self->next, ZA_MSG(b_Number, .primes = before + self->count)), "end");
    return ZA_DONE;
}

static za_verdict_t filter_number(za_ctx_t *ctx, filter_t *self, const b_Number *m)
{
    if (m->n == 0) {
        return filter_end(ctx, self, m->primes);
    }
    if (is_multiple(self, m->n)) {
        return ZA_DONE;
    }
    if (self->count < PRIMES_EACH) {
        self->primes[self->count++] = (uint32_t)m->n;
        return ZA_DONE;
    }
    if (za_ref_is_none(self->next)) {
        bench_must(za_spawn(ctx, filter, &self->next, .mailbox = UINT32_MAX), "spawn");
    }
    bench_must(za_tell(ctx, self->next, ZA_MSG(b_Number, .n = m->n)), "pass on");
    return ZA_DONE;
}

typedef struct numbers {
    za_ref_t filter;
    uint64_t next;
    uint64_t end;
} numbers_t;

static za_verdict_t numbers_more(za_ctx_t *ctx, numbers_t *self, const b_Msg *m)
{
    (void)m;
    for (int i = 0; i < BATCH && self->next < self->end; i++, self->next += 2) {
        if (za_tell(ctx, self->filter, ZA_MSG(b_Number, .n = self->next)) != ZA_OK) {
            break; // full: later
        }
    }
    bool all = self->next >= self->end;
    if (all && za_tell(ctx, self->filter, ZA_MSG(b_Number, .n = 0)) == ZA_OK) {
        return ZA_DONE;
    }
    bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Msg, .n = 0)), "go on");
    return ZA_DONE;
}

static za_verdict_t numbers_go(za_ctx_t *ctx, numbers_t *self, const b_Go *m)
{
    *self = (numbers_t){ .filter = m->ref, .next = 3, .end = m->n };
    return numbers_more(ctx, self, NULL);
}

ZA_ACTOR(numbers, numbers_t, (b_Go, numbers_go), (b_Msg, numbers_more));

/** Odd primes below `limit`, by trial: what the chain must find. */
static uint64_t count_primes(uint64_t limit)
{
    uint64_t count = 0;
    for (uint64_t n = 3; n < limit; n += 2) {
        uint64_t divisor = 3;
        while (divisor * divisor <= n && n % divisor != 0) {
            divisor += 2;
        }
        count += divisor * divisor > n;
    }
    return count;
}

static double sieve(const bench_workload_t *workload, uint64_t limit)
{
    (void)workload;
    za_ref_t filter = bench_spawn(&filter_class, 0);
    za_ref_t numbers = bench_spawn(&numbers_class, 0);
    bench_begin();
    bench_tell(numbers, ZA_MSG(b_Go, .n = limit, .ref = filter));
    double elapsed_ns = bench_wait();
    bench_check(primes_found == count_primes(limit), "the number of primes");
    return elapsed_ns / 1e6;
}

const bench_workload_t bench_macro_sieve[] = {
    { .id = "sieve",
      .unit = "ms",
      .measure = sieve,
      .amount = 100000,
      .how_many = PRIMES_EACH,
      .fixed = true },
    { 0 },
};
