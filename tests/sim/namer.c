// A few names that actors of all nodes want.

#include <stdio.h>

#include "work.h"

enum { TICK_MS = 500, NAMES = 8 };

typedef struct namer {
    uint32_t instance;
} namer_t;

static za_verdict_t on_root(za_ctx_t *ctx, namer_t *self, const work_Root *root)
{
    (void)root;
    self->instance = world_born(ctx, KIND_NAMER, NULL);
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static void take(za_ctx_t *ctx, const namer_t *self, const char *name)
{
    za_ref_t holder;
    bool known = za_whereis(ctx, name, &holder) == ZA_OK;
    bool held = world_holds(self->instance, name);
    za_err_t err = za_register(ctx, name);
    if (known) {
        world_looked_up(ctx, name, holder);
    }
    if (held && (err != ZA_OK || !known || !za_ref_equal(holder, za_self(ctx)))) {
        // The loser's za_NameLost may be in its mailbox: then another one is looked up.
        if (err != ZA_EEXIST || (known && za_ref_equal(holder, za_self(ctx)))) {
            world_fail("the holder of %s may not register it again: %s", name, za_err_text(err));
        }
    } else if (err == ZA_OK) {
        if (known && !za_ref_equal(holder, za_self(ctx))) {
            world_fail("%s was held by another, and registered all the same", name);
        }
        world_name_held(self->instance, name);
    } else if (err != ZA_EEXIST || !known) {
        world_fail("the free name %s was refused: %s", name, za_err_text(err));
    }
}

static void give_up(za_ctx_t *ctx, const namer_t *self, const char *name)
{
    za_ref_t holder;
    za_unregister(ctx, name); // also of one that is another's: it must stay
    world_name_given_up(self->instance, name);
    if (za_whereis(ctx, name, &holder) == ZA_OK && za_ref_equal(holder, za_self(ctx))) {
        world_fail("%s is still there after za_unregister", name);
    }
}

static za_verdict_t on_tick(za_ctx_t *ctx, namer_t *self, const work_Tick *tick)
{
    (void)tick;
    if (world_phase() == PHASE_WORK) {
        char name[WORLD_NAME_BYTES];
        uint32_t which = work_draw(ctx, NAMES);
        snprintf(name, sizeof name, "name/%u", which);
        if (work_once_in(ctx, 2)) {
            take(ctx, self, name);
        } else {
            give_up(ctx, self, name);
        }
    }
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t on_name_lost(za_ctx_t *ctx, namer_t *self, const za_NameLost *lost)
{
    (void)ctx;
    world_counts.names_lost++;
    world_name_given_up(self->instance, lost->name);
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, namer_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_namer, namer_t, (work_Root, on_root), (work_Tick, on_tick),
         (za_NameLost, on_name_lost), (za_Stopping, on_stopping));
