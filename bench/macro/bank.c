// Bank transactions: a teller orders transfers between a thousand accounts; the debtor gives to the
// creditor, waits for its word and confirms. An account with a transfer open puts others aside.

#include <sched.h>
#include <stdatomic.h>

#include "macro/tables.h"

enum { ACCOUNTS = 1000, WINDOW = 100, BALANCE = 1000 };

static za_ref_t accounts[ACCOUNTS];

typedef struct b_Transfer {
    za_ref_t to;
    uint64_t amount;
} b_Transfer;

typedef struct b_Credit {
    za_ref_t from;
    uint64_t amount;
} b_Credit;

typedef struct b_Credited {
    uint64_t unused;
} b_Credited;

typedef struct b_Balance {
    int64_t balance;
} b_Balance;

BENCH_TYPE(b_Transfer, 351);
BENCH_TYPE(b_Credit, 352);
BENCH_TYPE(b_Credited, 353);
BENCH_TYPE(b_Balance, 354);

typedef struct account {
    int64_t moved;   // in, less out
    za_ref_t teller; // of the open transfer
} account_t;

static za_verdict_t account_transfer(za_ctx_t *ctx, account_t *self, const b_Transfer *m)
{
    if (!za_ref_is_none(self->teller)) {
        return ZA_STASH;
    }
    self->teller = za_sender(ctx);
    self->moved -= (int64_t)m->amount;
    const b_Credit credit = { .from = za_self(ctx), .amount = m->amount };
    bench_must(za_tell(ctx, m->to, &b_Credit_type, &credit), "credit");
    return ZA_DONE;
}

static za_verdict_t account_credit(za_ctx_t *ctx, account_t *self, const b_Credit *m)
{
    self->moved += (int64_t)m->amount;
    bench_must(za_tell(ctx, m->from, ZA_MSG(b_Credited, .unused = 0)), "credited");
    return ZA_DONE;
}

static za_verdict_t account_credited(za_ctx_t *ctx, account_t *self, const b_Credited *m)
{
    (void)m;
    bench_must(za_tell(ctx, self->teller, ZA_MSG(b_Msg, .n = 1)), "confirm");
    self->teller = ZA_REF_NONE;
    za_unstash_all(ctx);
    return ZA_DONE;
}

static za_verdict_t account_balance(za_ctx_t *ctx, account_t *self, const b_Balance *m)
{
    (void)m;
    const b_Balance answer = { .balance = BALANCE + self->moved };
    bench_must(za_tell(ctx, za_sender(ctx), &b_Balance_type, &answer), "balance");
    return ZA_DONE;
}

ZA_ACTOR(account, account_t, (b_Transfer, account_transfer), (b_Credit, account_credit),
         (b_Credited, account_credited), (b_Balance, account_balance));

typedef struct teller {
    uint64_t to_send;
    uint64_t open;
    uint64_t seed;
    uint64_t answers;
    int64_t total;
} teller_t;

static void order(za_ctx_t *ctx, teller_t *self)
{
    uint32_t from = bench_random(&self->seed, ACCOUNTS);
    uint32_t to = (from + 1 + bench_random(&self->seed, ACCOUNTS - 1)) % ACCOUNTS;
    const b_Transfer transfer = { .to = accounts[to], .amount = bench_random(&self->seed, 100) };
    bench_must(za_tell(ctx, accounts[from], &b_Transfer_type, &transfer), "transfer");
    self->to_send--;
}

static za_verdict_t teller_go(za_ctx_t *ctx, teller_t *self, const b_Go *m)
{
    *self = (teller_t){ .to_send = m->n, .open = m->n, .seed = 4711 };
    for (int i = 0; i < WINDOW && self->to_send > 0; i++) {
        order(ctx, self);
    }
    return ZA_DONE;
}

static za_verdict_t teller_confirmed(za_ctx_t *ctx, teller_t *self, const b_Msg *m)
{
    (void)m;
    if (self->to_send > 0) {
        order(ctx, self);
    }
    if (--self->open == 0) {
        bench_end(); // the audit is not measured
    }
    return ZA_DONE;
}

static _Atomic bool audited;
static int64_t audit_total; // before `audited`

/** Asked by a b_Balance from outside, answered by all accounts. */
static za_verdict_t teller_balance(za_ctx_t *ctx, teller_t *self, const b_Balance *m)
{
    if (za_ref_is_none(za_sender(ctx))) {
        for (int i = 0; i < ACCOUNTS; i++) {
            bench_must(za_tell(ctx, accounts[i], ZA_MSG(b_Balance, .balance = 0)), "audit");
        }
        return ZA_DONE;
    }
    self->total += m->balance;
    if (++self->answers == ACCOUNTS) {
        audit_total = self->total;
        atomic_store_explicit(&audited, true, memory_order_release); // pairs: bench-audit
    }
    return ZA_DONE;
}

ZA_ACTOR(teller, teller_t, (b_Go, teller_go), (b_Msg, teller_confirmed),
         (b_Balance, teller_balance));

static double bank(const bench_workload_t *workload, uint64_t transfers)
{
    for (uint32_t i = 0; i < workload->how_many; i++) {
        accounts[i] = bench_spawn(&account_class, 0);
    }
    za_ref_t teller = bench_spawn(&teller_class, 0);
    atomic_store_explicit(&audited, false, memory_order_relaxed); // sent after it
    bench_begin();
    bench_tell(teller, ZA_MSG(b_Go, .n = transfers));
    double elapsed_ns = bench_wait();
    bench_tell(teller, ZA_MSG(b_Balance, .balance = 0));
    while (!atomic_load_explicit(&audited, memory_order_acquire)) { // pairs: bench-audit
        sched_yield();
    }
    bench_check(audit_total == (int64_t)ACCOUNTS * BALANCE, "no money is made or lost");
    return (double)transfers / elapsed_ns * 1e3;
}

const bench_workload_t bench_macro_bank[] = {
    { .id = "bank", .unit = "M/s", .measure = bank, .amount = 1000000, .how_many = ACCOUNTS },
    { 0 },
};
