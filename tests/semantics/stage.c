#include "stage.h"

#include <string.h>

za_sim_t *stage_sim;
stage_event_t stage_events[STAGE_EVENTS_MAX];
uint32_t stage_event_count;
za_ref_t stage_doers[STAGE_NODES];

static void (*doing)(za_ctx_t *ctx);
static bool done;

void stage_note(stage_kind_t kind, uint64_t a, uint64_t b, za_ref_t ref)
{
    cr_assert(stage_event_count < STAGE_EVENTS_MAX, "too much happens");
    stage_events[stage_event_count++] = (stage_event_t){ kind, a, b, ref };
}

uint32_t stage_count(stage_kind_t kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < stage_event_count; i++) {
        n += stage_events[i].kind == kind;
    }
    return n;
}

uint32_t stage_count_at(stage_kind_t kind, uint64_t node)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < stage_event_count; i++) {
        n += stage_events[i].kind == kind && stage_events[i].a == node;
    }
    return n;
}

stage_event_t stage_last(stage_kind_t kind)
{
    for (uint32_t i = stage_event_count; i > 0; i--) {
        if (stage_events[i - 1].kind == kind) {
            return stage_events[i - 1];
        }
    }
    cr_assert(false, "no event of kind %d", (int)kind);
    return (stage_event_t){ 0 };
}

void stage_forget(void)
{
    stage_event_count = 0;
}

/* ---- actors ------------------------------------------------------------------------------- */

typedef struct doer {
    uint32_t done;
} doer_t;

static za_verdict_t on_do(za_ctx_t *ctx, doer_t *self, const probe_Do *what)
{
    (void)what;
    self->done++;
    doing(ctx);
    done = true;
    return ZA_DONE;
}

static za_verdict_t on_answer(za_ctx_t *ctx, doer_t *self, const probe_Answer *answer)
{
    (void)self;
    stage_note(ANSWERED, stage_node(ctx), answer->n, za_sender(ctx));
    return ZA_DONE;
}

static za_verdict_t on_down(za_ctx_t *ctx, doer_t *self, const za_Down *down)
{
    (void)self;
    stage_note(za_tag(ctx) != 0 ? ASK_ENDED : DOWN, down->reason, down->tag, down->ref);
    return ZA_DONE;
}

static za_verdict_t on_timeout(za_ctx_t *ctx, doer_t *self, const za_Timeout *timeout)
{
    (void)ctx;
    (void)self;
    stage_note(ASK_ENDED, 0, timeout->tag, ZA_REF_NONE);
    return ZA_DONE;
}

static za_verdict_t on_spawned(za_ctx_t *ctx, doer_t *self, const za_Spawned *spawned)
{
    (void)ctx;
    (void)self;
    stage_note(SPAWNED, spawned->epoch, spawned->tag, spawned->ref);
    return ZA_DONE;
}

static za_verdict_t on_exited(za_ctx_t *ctx, doer_t *self, const za_Exit *exited)
{
    (void)ctx;
    (void)self;
    stage_note(EXITED, exited->reason, 0, exited->ref);
    return ZA_DONE;
}

ZA_ACTOR(doer, doer_t, (probe_Do, on_do), (probe_Answer, on_answer), (za_Down, on_down),
         (za_Timeout, on_timeout), (za_Spawned, on_spawned), (za_Exit, on_exited));

typedef struct target {
    uint32_t worked;
} target_t;

static za_verdict_t on_work(za_ctx_t *ctx, target_t *self, const probe_Work *work)
{
    self->worked++;
    stage_note(WORKED, stage_node(ctx), work->n, za_sender(ctx));
    za_reply(ctx, ZA_MSG(probe_Answer, .n = work->n));
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, target_t *self, const za_Stopping *stopping)
{
    (void)self;
    stage_note(STOPPED, stage_node(ctx), stopping->reason, ZA_REF_NONE);
    return ZA_DONE;
}

ZA_ACTOR(target, target_t, (probe_Work, on_work), (za_Stopping, on_stopping));

typedef struct member {
    uint32_t got;
} member_t;

static za_verdict_t on_member_work(za_ctx_t *ctx, member_t *self, const probe_Work *work)
{
    self->got++;
    stage_note(WORKED, stage_node(ctx), work->n, za_self(ctx));
    za_reply(ctx, ZA_MSG(probe_Answer, .n = work->n));
    return ZA_DONE;
}

static za_verdict_t on_member_order(za_ctx_t *ctx, member_t *self, const probe_Do *order)
{
    (void)self;
    if (order->op == 2) {
        za_leave(ctx, "workers");
        return ZA_DONE;
    }
    return ZA_STOP;
}

ZA_ACTOR(stage_member, member_t, (probe_Work, on_member_work), (probe_Do, on_member_order));

/* ---- the stage ---------------------------------------------------------------------------- */

uint32_t stage_node(const za_ctx_t *ctx)
{
    for (uint32_t i = 0; i < STAGE_NODES; i++) {
        if (za_sim_node(stage_sim, i) == za_ctx_node(ctx)) {
            return i;
        }
    }
    return STAGE_NODES;
}

uint64_t stage_uid(uint32_t node)
{
    return za_node_uid(za_sim_node(stage_sim, node));
}

bool stage_converged(za_sim_t *sim, void *context)
{
    (void)context;
    return za_sim_converged(sim);
}

void stage_open_with(za_sim_opts_t opts)
{
    opts.size = sizeof opts;
    opts.nodes = STAGE_NODES;
    stage_forget();
    cr_assert(za_sim_create(&opts, &stage_sim) == ZA_OK, "no simulation");
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "no cluster");
    for (uint32_t i = 0; i < STAGE_NODES; i++) {
        cr_assert(za_sim_spawn(stage_sim, i, doer, &stage_doers[i]) == ZA_OK, "no doer");
    }
    stage_settle();
}

void stage_open(uint64_t seed, const za_class_t *const *classes)
{
    stage_open_with((za_sim_opts_t){ .seed = seed, .classes = classes });
}

void stage_close(void)
{
    za_sim_destroy(stage_sim);
    stage_sim = NULL;
}

void stage_restart(uint32_t node)
{
    za_sim_restart(stage_sim, node);
    cr_assert(za_sim_spawn(stage_sim, node, doer, &stage_doers[node]) == ZA_OK, "no doer");
}

void stage_settle(void)
{
    za_sim_run_for(stage_sim, STAGE_SETTLE_MS);
}

void stage_do(uint32_t node, void (*job)(za_ctx_t *ctx))
{
    doing = job;
    done = false;
    cr_assert(za_sim_tell(stage_sim, node, stage_doers[node], ZA_MSG(probe_Do, .op = 1)) == ZA_OK,
              "the doer of node %u is gone", node);
    stage_settle();
    cr_assert(done, "nothing was done on node %u", node);
}

static stage_kind_t awaited;
static uint32_t awaited_count;

static bool has_happened(za_sim_t *sim, void *context)
{
    (void)sim;
    (void)context;
    return stage_count(awaited) >= awaited_count;
}

void stage_await(stage_kind_t kind, uint32_t count)
{
    awaited = kind;
    awaited_count = count;
    cr_assert(za_sim_run_until(stage_sim, has_happened, NULL, STAGE_BOUND_MS),
              "%u events of kind %d, not %u", stage_count(kind), (int)kind, count);
}

za_ref_t stage_join(uint32_t node, uint32_t mailbox)
{
    za_ref_t ref;
    cr_assert(za_sim_spawn(stage_sim, node, stage_member, &ref, .group = "workers",
                           .mailbox = mailbox) == ZA_OK,
              "spawned");
    return ref;
}
