/**
 * A world of two actors: a maker, which takes the steps that a test says, and a reader of
 * probe_Open. What a reader does with its message is the including test's `on_open`.
 */
#pragma once

#include "core/worker.h"
#include "probe.za.h"
#include "world.h"

typedef struct reader {
    za_message_t *kept;
    uint32_t count;
} reader_t;

static za_verdict_t on_open(za_ctx_t *ctx, reader_t *self, const probe_Open *m);

static za_verdict_t on_nothing(za_ctx_t *ctx, reader_t *self, const t_Num *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    return ZA_DONE;
}

ZA_ACTOR(reader, reader_t, (probe_Open, on_open), (t_Num, on_nothing));

typedef void step_fn(za_ctx_t *ctx);

static world_t world;
static za_ref_t maker, peer; // peer: a reader
static step_fn *step;

static za_verdict_t run_step(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        step(ctx);
    }
    return ZA_DONE;
}

static za_ref_t spawn_reader(za_spawn_opts_t opts)
{
    za_ref_t ref;
    opts.size = sizeof opts;
    za_err_t err = za_runtime_spawn(world.guest, &reader_class, &opts, ZA_REF_NONE, &ref);
    cr_assert(err == ZA_OK, "spawn: %s", za_err_name(err));
    return ref;
}

static void begin_readers(za_runtime_config_t config)
{
    world_init(&world, config);
    world_behave = run_step;
    maker = world_spawn(&world);
    peer = spawn_reader((za_spawn_opts_t){ .max_restarts = 3 });
    world_run(&world);
}

/** Lets the maker take `what` as a step of its own. */
static void let(step_fn *what)
{
    step = what;
    world_go(&world, maker, 0, ZA_REF_NONE);
    world_run(&world);
}
