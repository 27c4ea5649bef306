// What it costs to find a member of a group: messages to many actors, by way of a router and, for
// comparison, to references that the sender keeps itself. Sent and handled, on one worker.

#include "micro/tables.h"

enum { MEMBERS_MAX = 1000, BURST = 64, MAILBOX = 1 << 20 };

typedef struct b_Piece {
    uint64_t n;
} b_Piece;

BENCH_TYPE(b_Piece, 316);

/* This run: one worker, so plain. */
static za_ref_t members[MEMBERS_MAX];
static uint32_t member_count;
static uint64_t handled_left;
static za_policy_t policy;
static bool directly;

typedef struct member {
    uint64_t count;
} member_t;

static za_verdict_t member_piece(za_ctx_t *ctx, member_t *self, const b_Piece *m)
{
    (void)ctx;
    (void)m;
    self->count++;
    if (--handled_left == 0) {
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(piece_worker, member_t, (b_Piece, member_piece));

typedef struct divider {
    uint64_t next;
    uint64_t sent;
} divider_t;

static za_verdict_t divider_go(za_ctx_t *ctx, divider_t *self, const b_Go *m)
{
    // One broadcast at a time: what waits stays in the cache, as with the others.
    int burst = policy == ZA_BROADCAST && !directly ? 1 : BURST;
    for (int i = 0; i < burst && self->sent < m->n; i++) {
        uint64_t n = self->next++;
        za_err_t err = directly ? za_tell(ctx, members[n % member_count], ZA_MSG(b_Piece, .n = n))
                                : za_route(ctx, "workers", policy, n, ZA_MSG(b_Piece, .n = n));
        bench_must(err, "send");
        self->sent += policy == ZA_BROADCAST && !directly ? member_count : 1;
    }
    if (self->sent < m->n) {
        bench_must(za_tell(ctx, za_self(ctx), ZA_MSG(b_Go, .n = m->n)), "go on");
    }
    return ZA_DONE;
}

ZA_ACTOR(divider, divider_t, (b_Go, divider_go));

static double measure(uint32_t count, uint64_t messages)
{
    const za_spawn_opts_t opts = { .size = sizeof opts, .mailbox = MAILBOX, .group = "workers" };
    member_count = count;
    for (uint32_t i = 0; i < count; i++) {
        members[i] = bench_spawn_with(&piece_worker_class, &opts);
    }
    messages = (messages + count - 1) / count * count; // whole broadcasts
    handled_left = messages;
    za_ref_t divider = bench_spawn(&divider_class, 0);
    bench_begin();
    bench_tell(divider, ZA_MSG(b_Go, .n = messages));
    return bench_wait() / (double)messages;
}

static double tell_directly(const bench_workload_t *workload, uint64_t messages)
{
    directly = true;
    double ns = measure(workload->how_many, messages);
    directly = false;
    return ns;
}

static double in_turn(const bench_workload_t *workload, uint64_t messages)
{
    policy = ZA_ROUND_ROBIN;
    return measure(workload->how_many, messages);
}

static double at_random(const bench_workload_t *workload, uint64_t messages)
{
    policy = ZA_RANDOM;
    return measure(workload->how_many, messages);
}

static double by_hash(const bench_workload_t *workload, uint64_t messages)
{
    policy = ZA_HASH;
    return measure(workload->how_many, messages);
}

static double by_load(const bench_workload_t *workload, uint64_t messages)
{
    policy = ZA_LEAST_LOADED;
    return measure(workload->how_many, messages);
}

static double to_all(const bench_workload_t *workload, uint64_t messages)
{
    policy = ZA_BROADCAST;
    return measure(workload->how_many, messages);
}

// clang-format off
const bench_workload_t bench_micro_routing[] = {
    { .id = "route-none", .impl = "limit", .unit = "ns", .measure = tell_directly, .amount = 2000000, .how_many = 16, .workers = 1 },
    { .id = "route-turn", .unit = "ns", .measure = in_turn, .amount = 2000000, .how_many = 16, .workers = 1 },
    { .id = "route-random", .unit = "ns", .measure = at_random, .amount = 2000000, .how_many = 16, .workers = 1 },
    { .id = "route-load", .unit = "ns", .measure = by_load, .amount = 2000000, .how_many = 16, .workers = 1 },
    { .id = "route-hash", .unit = "ns", .measure = by_hash, .amount = 2000000, .how_many = 16, .workers = 1 },
    { .id = "route-hash-1000", .unit = "ns", .measure = by_hash, .amount = 200000, .how_many = 1000, .workers = 1 },
    { .id = "publish", .unit = "ns", .measure = to_all, .amount = 2000000, .how_many = 1000, .workers = 1 },
    { 0 },
};
// clang-format on
