// Dining philosophers: an arbiter owns the forks; who is refused asks again.

#include "macro/tables.h"

enum { SEATS = 20 };

typedef struct b_Hungry {
    uint64_t seat;
} b_Hungry;

typedef struct b_Answer {
    uint64_t eat; // 0: not now
} b_Answer;

typedef struct b_Full {
    uint64_t seat;
    uint64_t last; // 1: this was the last meal
} b_Full;

BENCH_TYPE(b_Hungry, 358);
BENCH_TYPE(b_Answer, 359);
BENCH_TYPE(b_Full, 360);

typedef struct arbiter {
    uint64_t taken; // bit i: fork i
    uint64_t meals;
    uint64_t wanted;
    uint32_t seats; // that still eat
} arbiter_t;

static uint64_t forks_of(uint64_t seat)
{
    return UINT64_C(1) << seat | UINT64_C(1) << (seat + 1) % SEATS;
}

static za_verdict_t arbiter_go(za_ctx_t *ctx, arbiter_t *self, const b_Go *m)
{
    (void)ctx;
    *self = (arbiter_t){ .wanted = m->n, .seats = SEATS };
    return ZA_DONE;
}

static za_verdict_t arbiter_hungry(za_ctx_t *ctx, arbiter_t *self, const b_Hungry *m)
{
    uint64_t forks = forks_of(m->seat);
    bool free = (self->taken & forks) == 0;
    self->taken |= free ? forks : 0;
    bench_must(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Answer, .eat = free)), "answer");
    return ZA_DONE;
}

static za_verdict_t arbiter_full(za_ctx_t *ctx, arbiter_t *self, const b_Full *m)
{
    (void)ctx;
    uint64_t forks = forks_of(m->seat);
    bench_check((self->taken & forks) == forks, "who eats has both forks");
    self->taken &= ~forks;
    self->meals++;
    self->seats -= m->last == 1;
    if (self->seats == 0) {
        bench_check(self->meals == self->wanted, "each has had all meals");
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(arbiter, arbiter_t, (b_Go, arbiter_go), (b_Hungry, arbiter_hungry),
         (b_Full, arbiter_full));

typedef struct philosopher {
    za_ref_t arbiter;
    uint64_t seat;
    uint64_t left;
} philosopher_t;

static za_verdict_t be_hungry(za_ctx_t *ctx, const philosopher_t *self)
{
    bench_must(za_tell(ctx, self->arbiter, ZA_MSG(b_Hungry, .seat = self->seat)), "hungry");
    return ZA_DONE;
}

static za_verdict_t philosopher_go(za_ctx_t *ctx, philosopher_t *self, const b_Go *m)
{
    self->arbiter = m->ref;
    self->seat = m->n >> 32;
    self->left = m->n & UINT32_MAX;
    return be_hungry(ctx, self);
}

static za_verdict_t philosopher_answer(za_ctx_t *ctx, philosopher_t *self, const b_Answer *m)
{
    if (m->eat == 0) {
        return be_hungry(ctx, self);
    }
    self->left--;
    const b_Full full = { .seat = self->seat, .last = self->left == 0 };
    bench_must(za_tell(ctx, self->arbiter, &b_Full_type, &full), "full");
    return self->left > 0 ? be_hungry(ctx, self) : ZA_DONE;
}

ZA_ACTOR(philosopher, philosopher_t, (b_Go, philosopher_go), (b_Answer, philosopher_answer));

static double philosophers(const bench_workload_t *workload, uint64_t meals)
{
    uint64_t each = meals / workload->how_many;
    za_ref_t arbiter = bench_spawn(&arbiter_class, 0);
    bench_tell(arbiter, ZA_MSG(b_Go, .n = each * SEATS));
    bench_begin();
    for (uint64_t i = 0; i < SEATS; i++) {
        bench_tell(bench_spawn(&philosopher_class, 0),
                   ZA_MSG(b_Go, .n = i << 32 | each, .ref = arbiter));
    }
    return (double)(each * SEATS) / bench_wait() * 1e3;
}

const bench_workload_t bench_macro_philosophers[] = {
    { .id = "philosophers",
      .unit = "M/s",
      .measure = philosophers,
      .amount = 1000000,
      .how_many = SEATS },
    { 0 },
};
