#include "world.h"

static world_t world;
static za_ref_t a;
static za_timer_t timer;

enum { AFTER = 1, EVERY = 2, CANCEL = 3, MANY = 4, AFTER_THEN_BUSY = 5, CANCEL_IN_HANDLER = 6 };

static uint64_t mode;

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && mode == CANCEL_IN_HANDLER) {
        za_cancel(ctx, &timer);
    }
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    switch (event->n) {
    case AFTER:
        cr_assert(za_after(ctx, 10, ZA_MSG(t_Num, .n = 1), &timer) == ZA_OK, "after");
        cr_assert(timer.id != 0, "an id");
        break;
    case EVERY:
        cr_assert(za_every(ctx, 10, ZA_MSG(t_Num, .n = 2), &timer) == ZA_OK, "every");
        cr_assert(za_every(ctx, 0, ZA_MSG(t_Num, .n = 2), NULL) == ZA_EINVAL, "period 0");
        break;
    case CANCEL:
        za_cancel(ctx, &timer);
        cr_assert(timer.id == 0, "nulled");
        za_cancel(ctx, &timer); // nothing
        break;
    case MANY:
        for (uint64_t i = 0; i < 1000; i++) {
            uint32_t delay = (uint32_t)(i * 7919 % 1000);
            cr_assert(za_after(ctx, delay, ZA_MSG(t_Num, .n = delay), NULL) == ZA_OK, "after");
        }
        break;
    default:
        break;
    }
    return ZA_DONE;
}

static void setup(void)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = behave;
    a = world_spawn(&world);
    world_run(&world);
}

Test(timers, fire_when_due_and_once)
{
    setup();
    world_go(&world, a, AFTER, ZA_REF_NONE);
    world_run(&world);
    za_worker_t *worker = za_runtime_worker(world.runtime, 0);
    cr_assert(za_worker_deadline_ns(worker) == world.now_ns + 10000000, "the deadline is known");
    world_advance(&world, 9);
    cr_assert(world_count('N', 0) == 0, "not yet");
    world_advance(&world, 1);
    cr_assert(world_count('N', 0) == 1, "now");
    cr_assert(za_ref_is_none(world_nth('N', 0, 0)->sender), "from nobody");
    world_advance(&world, 100);
    cr_assert(world_count('N', 0) == 1, "once");
    cr_assert(za_worker_deadline_ns(worker) == UINT64_MAX, "none left");
    za_runtime_destroy(world.runtime);
}

Test(timers, fire_in_order)
{
    setup();
    world_go(&world, a, MANY, ZA_REF_NONE);
    world_run(&world);
    world.now_ns += 2000000000;
    world_run(&world);
    cr_assert(world_count('N', 0) == 1000, "%zu", world_count('N', 0));
    for (size_t i = 1; i < 1000; i++) {
        cr_assert(world_nth('N', 0, i - 1)->n <= world_nth('N', 0, i)->n, "order at %zu", i);
    }
    za_runtime_destroy(world.runtime);
}

Test(timers, a_cancelled_one_is_never_delivered)
{
    setup();
    world_go(&world, a, AFTER, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, a, CANCEL, ZA_REF_NONE);
    world_advance(&world, 50);
    cr_assert(world_count('N', 0) == 0, "cancelled in time");
    za_runtime_destroy(world.runtime);
}

Test(timers, a_cancelled_one_is_not_delivered_even_if_queued)
{
    setup();
    world_go(&world, a, AFTER, ZA_REF_NONE);
    world_run(&world);
    // The cancelling message lies in the mailbox before the timer's, which fires first.
    world_go(&world, a, CANCEL, ZA_REF_NONE);
    world.now_ns += 10000000;
    world_run(&world);
    cr_assert(world_count('G', a.actor) == 2, "the cancel was handled");
    cr_assert(world_count('N', 0) == 0, "the timer was not");
    world_advance(&world, 50);
    cr_assert(world_count('N', 0) == 0, "nor later");
    za_runtime_destroy(world.runtime);
}

Test(timers, a_periodic_one_skips_what_it_missed)
{
    setup();
    world_go(&world, a, EVERY, ZA_REF_NONE);
    world_run(&world);
    world_advance(&world, 35);
    cr_assert(world_count('N', 0) == 3, "at 10, 20, 30: %zu", world_count('N', 0));
    world.now_ns += 100000000; // a stall: 135
    world_run(&world);
    cr_assert(world_count('N', 0) == 4, "one, not ten: %zu", world_count('N', 0));
    world_advance(&world, 5);
    cr_assert(world_count('N', 0) == 5, "in phase again at 140: %zu", world_count('N', 0));
    world_go(&world, a, CANCEL, ZA_REF_NONE);
    world_advance(&world, 50);
    cr_assert(world_count('N', 0) == 5, "cancelled");
    za_runtime_destroy(world.runtime);
}

Test(timers, a_periodic_one_can_cancel_itself)
{
    setup();
    mode = CANCEL_IN_HANDLER;
    world_go(&world, a, EVERY, ZA_REF_NONE);
    world_advance(&world, 100);
    cr_assert(world_count('N', 0) == 1, "%zu", world_count('N', 0));
    za_runtime_destroy(world.runtime);
}

Test(timers, end_with_their_actor)
{
    setup();
    world_go(&world, a, EVERY, ZA_REF_NONE);
    world_go(&world, a, AFTER, ZA_REF_NONE);
    world_run(&world);
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(za_worker_deadline_ns(za_runtime_worker(world.runtime, 0)) == UINT64_MAX, "none");
    za_runtime_destroy(world.runtime);
}
