// A handler that takes long, and another worker that goes on meanwhile: one thread plays both.
#include "core/worker.h"
#include "world.h"

static world_t world;
static za_ref_t slow, b;
static za_ref_t crowd[16]; // whom `slow` tells
static uint64_t slow_us;   // how long the other worker looks on
static size_t meanwhile;   // t_Nums that were handled before the slow handler returned

enum { US = 1000, STEP_US = 50 };

/** Turns of one worker only; what guests sent goes to it. */
static void turn(uint32_t worker)
{
    while (za_worker_turn(za_runtime_worker(world.runtime, worker), world.now_ns) != ZA_TURN_IDLE) {
    }
}

/** `slow` tells some, then takes its time; the others arm a timer when they are told to. */
static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    if (event->self != slow.actor) {
        cr_assert(za_after(ctx, (uint32_t)event->n, ZA_MSG(t_Num, .n = 9), NULL) == ZA_OK, "timer");
        return ZA_DONE;
    }
    for (uint64_t i = 0; i < event->n; i++) { // the first goes to run-next, others to the ring
        cr_assert(za_tell(ctx, crowd[i], ZA_MSG(t_Num, .n = i)) == ZA_OK, "told");
    }
    for (uint64_t us = 0; us <= slow_us; us += STEP_US) {
        ZA_IGNORE(za_worker_turn(za_runtime_worker(world.runtime, 1), world.now_ns));
        world.now_ns += STEP_US * US;
    }
    meanwhile = world_count('N', 0);
    return ZA_DONE;
}

static void setup(uint64_t us)
{
    world_init(&world, (za_runtime_config_t){ .workers = 2 });
    world_behave = behave;
    slow = world_spawn(&world);
    b = world_spawn(&world);
    for (int i = 0; i < 16; i++) {
        crowd[i] = world_spawn(&world);
    }
    turn(0);
    cr_assert(world.runtime->can_rescue, "the kernel has membarrier");
    slow_us = us;
}

static void finish(size_t count)
{
    world_run(&world);
    cr_assert(world_count('N', 0) == count, "all came, and none twice");
    za_runtime_destroy(world.runtime);
}

Test(rescue, takes_over_what_waits_behind_a_slow_handler)
{
    setup(200);
    world_go(&world, slow, 1, ZA_REF_NONE);
    turn(0);
    cr_assert(meanwhile == 1, "from the run-next slot");
    cr_assert(world_counters(&world).rescues == 1, "counted");
    finish(1);
}

Test(rescue, leaves_alone_what_waits_a_moment)
{
    setup(50);
    world_go(&world, slow, 1, ZA_REF_NONE);
    turn(0);
    cr_assert(meanwhile == 0, "a handler of 50 us is none that takes long");
    cr_assert(world_counters(&world).rescues == 0, "none");
    finish(1);
}

Test(rescue, delivers_timers_of_a_worker_that_does_not_come_back)
{
    setup(1500);
    world_go(&world, b, 1, ZA_REF_NONE);
    turn(0);
    world_go(&world, slow, 0, ZA_REF_NONE);
    turn(0);
    cr_assert(meanwhile == 1, "after a millisecond");
    finish(1);
}

Test(rescue, leaves_timers_that_are_not_due_to_their_worker)
{
    setup(1500);
    world_go(&world, b, 1, ZA_REF_NONE);
    world_go(&world, b, 5, ZA_REF_NONE);
    turn(0);
    world_go(&world, slow, 0, ZA_REF_NONE);
    turn(0);
    cr_assert(meanwhile == 1, "the first");
    world_advance(&world, 5);
    finish(2);
}

Test(rescue, an_idle_worker_watches_while_another_is_busy_and_rests_then)
{
    setup(0);
    za_worker_t *other = za_runtime_worker(world.runtime, 1);
    turn(1);
    cr_assert(za_worker_deadline_ns(other) == UINT64_MAX, "nobody is busy");
    slow_us = 200;
    world_go(&world, slow, 0, ZA_REF_NONE);
    turn(0);
    cr_assert(za_worker_deadline_ns(other) <= world.now_ns + ZA_RESCUE_LOOK_NS, "it looked on");
    for (int i = 0; i <= ZA_RESCUE_LINGER; i++) {
        world.now_ns += ZA_RESCUE_LOOK_NS;
        turn(1);
    }
    cr_assert(za_worker_deadline_ns(other) == UINT64_MAX, "and rests, as nobody is busy any more");
    finish(0);
}

Test(rescue, finds_room_beside_what_the_rescuer_has_itself)
{
    enum { MANY = ZA_RING_RUNS + 500 };
    setup(400);
    for (uint64_t i = 0; i < MANY; i++) { // each told once, by nobody: they wait for worker 1
        za_ref_t other = world_spawn(&world);
        cr_assert(world_tell(&world, other, ZA_MSG(t_Num, .n = i)) == ZA_OK, "told");
    }
    za_worker_t *rescuer = za_runtime_worker(world.runtime, 1);
    ZA_IGNORE(za_worker_turn(rescuer, world.now_ns)); // takes them all, runs a few
    world_go(&world, slow, 16, ZA_REF_NONE);
    ZA_IGNORE(za_worker_turn(za_runtime_worker(world.runtime, 0), world.now_ns));
    finish(MANY + 16);
}
