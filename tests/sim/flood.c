// Small mailboxes, and somebody who sends more than they hold.

#include "work.h"

enum { TICK_MS = 700, FLOOD = 12 };

/* ---- the small mailbox ---------------------------------------------------------------------------- */

typedef struct small {
    uint32_t instance, node;
    bool drops;
} small_t;

static const char *small_name(char name[WORLD_NAME_BYTES], const small_t *self)
{
    return work_name(name, self->drops ? "drop" : "small", self->node);
}

static za_verdict_t on_root(za_ctx_t *ctx, small_t *self, const work_Root *root)
{
    char name[WORLD_NAME_BYTES];
    self->node = root->node;
    self->drops = root->drops;
    self->instance = world_born(ctx, KIND_SMALL, small_name(name, self));
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t on_tick(za_ctx_t *ctx, small_t *self, const work_Tick *tick)
{
    (void)tick;
    char name[WORLD_NAME_BYTES];
    work_keep_name(ctx, self->instance, small_name(name, self));
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t on_item(za_ctx_t *ctx, small_t *self, const work_Item *item)
{
    (void)ctx;
    work_take_item(self->instance, item);
    return ZA_DONE;
}

static za_verdict_t on_name_lost(za_ctx_t *ctx, small_t *self, const za_NameLost *lost)
{
    (void)ctx;
    world_name_given_up(self->instance, lost->name);
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, small_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_small, small_t, (work_Root, on_root), (work_Tick, on_tick), (work_Item, on_item),
         (za_NameLost, on_name_lost), (za_Stopping, on_stopping));

/* ---- the flooder ------------------------------------------------------------------------------------ */

typedef struct flooder {
    uint32_t instance;
    work_line_t lines[2][WORK_NODES_MAX];
} flooder_t;

static za_verdict_t flooder_root(za_ctx_t *ctx, flooder_t *self, const work_Root *root)
{
    (void)root;
    self->instance = world_born(ctx, KIND_FLOODER, NULL);
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static void flood(za_ctx_t *ctx, flooder_t *self)
{
    uint32_t node = work_draw(ctx, world_node_count());
    uint32_t which = work_draw(ctx, 2);
    za_ref_t to;
    if (!work_find(ctx, which == 0 ? "small" : "drop", node, &to)) {
        return;
    }
    for (uint32_t i = 0; i < FLOOD; i++) {
        work_send_item(ctx, &self->lines[which][node], self->instance, to, i, false);
    }
}

static za_verdict_t flooder_tick(za_ctx_t *ctx, flooder_t *self, const work_Tick *tick)
{
    (void)tick;
    if (world_phase() == PHASE_WORK) {
        flood(ctx, self);
    }
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t flooder_stopping(za_ctx_t *ctx, flooder_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_flooder, flooder_t, (work_Root, flooder_root), (work_Tick, flooder_tick),
         (za_Stopping, flooder_stopping));
