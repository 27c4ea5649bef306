// A few names that actors of all nodes want, and hear of.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

enum { TICK_MS = 500, NAMES = 8 };

typedef struct namer {
    uint32_t instance;
    bool follows;
    za_ref_t holders[NAMES]; // what it was told of them
} namer_t;

static const char *name_text(char text[WORLD_NAME_BYTES], uint32_t which)
{
    snprintf(text, WORLD_NAME_BYTES, "name/%u", which);
    return text;
}

static za_verdict_t on_root(za_ctx_t *ctx, namer_t *self, const work_Root *root)
{
    (void)root;
    self->instance = world_born(ctx, KIND_NAMER, NULL);
    self->follows = work_sent(za_subscribe_names(ctx, "name/"));
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

/** All faults are long over: what it was told is what a lookup answers. */
static void check_holders(za_ctx_t *ctx, const namer_t *self)
{
    char name[WORLD_NAME_BYTES];
    for (uint32_t which = 0; which < NAMES; which++) {
        za_ref_t holder = ZA_REF_NONE;
        ZA_IGNORE(za_whereis(ctx, name_text(name, which), &holder));
        if (!za_ref_equal(holder, self->holders[which])) {
            world_fail("process %u was told of another holder of %s", world_here(ctx), name);
        }
    }
}

static za_verdict_t on_tick(za_ctx_t *ctx, namer_t *self, const work_Tick *tick)
{
    (void)tick;
    if (world_phase() == PHASE_WORK) {
        char name[WORLD_NAME_BYTES];
        name_text(name, work_draw(ctx, NAMES));
        if (work_once_in(ctx, 2)) {
            take(ctx, self, name);
        } else {
            give_up(ctx, self, name);
        }
    }
    if (world_phase() == PHASE_PROBE && self->follows) {
        check_holders(ctx, self);
    }
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t on_changed(za_ctx_t *ctx, namer_t *self, const za_NameChanged *changed)
{
    (void)ctx;
    unsigned long which = strtoul(changed->name + strlen("name/"), NULL, 10);
    if (strncmp(changed->name, "name/", strlen("name/")) != 0 || which >= NAMES) {
        world_fail("nobody asked for %s", changed->name);
    } else {
        self->holders[which] = changed->ref;
    }
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
         (za_NameLost, on_name_lost), (za_NameChanged, on_changed), (za_Stopping, on_stopping));
