// Timers: not early, once each, and never after they were cancelled.

#include <inttypes.h>

#include "work.h"

enum { TICK_MS = 300, TIMERS = 6, DELAY_MS_MAX = 2000, FAILS_ONE_IN = 300 };

typedef struct armed {
    za_timer_t timer;
    uint64_t number; // 0: none
    bool periodic;
} armed_t;

typedef struct clockwork {
    uint32_t instance;
    uint64_t last;
    armed_t armed[TIMERS];
} clockwork_t;

static za_verdict_t on_root(za_ctx_t *ctx, clockwork_t *self, const work_Root *root)
{
    (void)root;
    self->instance = world_born(ctx, KIND_CLOCKWORK, NULL);
    // A timer of a former life must not ring: its number says which life it is of.
    self->last = (uint64_t)world_life(self->instance) << 32;
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static void arm(za_ctx_t *ctx, clockwork_t *self, armed_t *armed)
{
    uint32_t delay_ms = 1 + work_draw(ctx, DELAY_MS_MAX);
    bool periodic = work_once_in(ctx, 3);
    uint64_t number = ++self->last;
    work_Ring ring = { .timer = number, .not_before_ms = za_now_ms(ctx) + delay_ms };
    za_timer_t timer;
    za_err_t err = periodic ? za_every(ctx, delay_ms, &work_Ring_type, &ring, &timer)
                            : za_after(ctx, delay_ms, &work_Ring_type, &ring, &timer);
    if (err != ZA_OK) {
        world_fail("a timer was refused: %s", za_err_text(err));
        return;
    }
    *armed = (armed_t){ timer, number, periodic };
}

static void cancel(za_ctx_t *ctx, armed_t *armed)
{
    za_cancel(ctx, &armed->timer);
    if (armed->timer.id != 0) {
        world_fail("a cancelled timer is still set");
    }
    *armed = (armed_t){ .number = 0 };
    world_counts.cancels++;
}

static za_verdict_t on_tick(za_ctx_t *ctx, clockwork_t *self, const work_Tick *tick)
{
    (void)tick;
    uint32_t which = work_draw(ctx, TIMERS);
    armed_t *armed = &self->armed[which];
    if (armed->number != 0) {
        cancel(ctx, armed);
    } else if (world_phase() == PHASE_WORK) {
        arm(ctx, self, armed);
    }
    if (world_phase() == PHASE_WORK && work_once_in(ctx, FAILS_ONE_IN)) {
        return ZA_FAIL;
    }
    work_tick(ctx, TICK_MS);
    return ZA_DONE;
}

static za_verdict_t on_ring(za_ctx_t *ctx, clockwork_t *self, const work_Ring *ring)
{
    world_counts.rings++;
    world_mix(ring->timer);
    for (uint32_t i = 0; i < TIMERS; i++) {
        armed_t *armed = &self->armed[i];
        if (armed->number != ring->timer) {
            continue;
        }
        if (za_now_ms(ctx) < ring->not_before_ms) {
            world_fail("a timer rang %" PRIu64 " ms early", ring->not_before_ms - za_now_ms(ctx));
        }
        if (!armed->periodic) {
            *armed = (armed_t){ .number = 0 };
        }
        return ZA_DONE;
    }
    world_fail("timer %" PRIu64 " rang after its end, or twice", ring->timer);
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, clockwork_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    if (!stopping->restarts) {
        world_gone(self->instance);
    }
    return ZA_DONE;
}

ZA_ACTOR(work_clockwork, clockwork_t, (work_Root, on_root), (work_Tick, on_tick),
         (work_Ring, on_ring), (za_Stopping, on_stopping));
