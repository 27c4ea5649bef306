#include "core/watchdog.h"
#include "world.h"

enum { LIMIT_MS = 100 };

static world_t world;
static za_watchdog_t watchdog;
static za_slow_t slow[8];
static uint32_t slow_count;

static void note(void *context, const za_slow_t *found)
{
    (void)context;
    cr_assert(slow_count < sizeof slow / sizeof slow[0], "too many");
    slow[slow_count++] = *found;
}

static bool look_after(uint64_t ms)
{
    world.now_ns += ms * 1000000;
    return za_watchdog_look(&watchdog, world.runtime, world.now_ns, note, NULL);
}

static void setup(void)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    watchdog = (za_watchdog_t){ .limit_ns = LIMIT_MS * UINT64_C(1000000) };
    slow_count = 0;
}

/** A handler that takes as long as its message says, with the watchdog looking on. */
static za_verdict_t take_long(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)ctx;
    (void)self;
    for (uint64_t ms = 0; event->kind == 'G' && ms < event->n; ms += LIMIT_MS / 4) {
        cr_expect(look_after(LIMIT_MS / 4), "a handler runs");
    }
    return ZA_DONE;
}

Test(watchdog, names_a_slow_handler_while_it_runs_and_when_it_returned)
{
    setup();
    world_behave = take_long;
    za_ref_t ref = world_spawn(&world);
    world_go(&world, ref, 3 * LIMIT_MS, ZA_REF_NONE);
    world_run(&world);
    cr_assert(slow_count == 1, "told once, not %u times", slow_count);
    cr_expect(!slow[0].over && slow[0].actor.actor == ref.actor && slow[0].worker == 0, "who");
    cr_expect(strcmp(slow[0].class_name, "probe") == 0, "its class, not %s", slow[0].class_name);
    cr_expect(strcmp(slow[0].type_name, "t.Go") == 0, "its message, not %s", slow[0].type_name);
    cr_expect(slow[0].ms >= LIMIT_MS && slow[0].ms <= LIMIT_MS * 5 / 4, "%u ms",
              (unsigned)slow[0].ms);
    cr_expect(!look_after(1), "nobody runs");
    cr_assert(slow_count == 2 && slow[1].over, "and once more");
    cr_expect(slow[1].ms >= LIMIT_MS * 5 / 2, "%u ms", (unsigned)slow[1].ms);
    look_after(10 * LIMIT_MS);
    cr_expect(slow_count == 2, "no more");
    za_runtime_destroy(world.runtime);
}

// Each takes less than the limit; the actor runs on for longer.
Test(watchdog, many_short_handlers_are_not_one_long)
{
    setup();
    world_behave = take_long;
    za_ref_t ref = world_spawn(&world);
    for (int i = 0; i < 50; i++) {
        world_go(&world, ref, LIMIT_MS * 3 / 4, ZA_REF_NONE);
    }
    world_run(&world);
    cr_expect(slow_count == 0, "%u were called slow", slow_count);
    za_runtime_destroy(world.runtime);
}

Test(watchdog, a_worker_that_rests_is_never_slow)
{
    setup();
    world_behave = NULL;
    world_go(&world, world_spawn(&world), 0, ZA_REF_NONE);
    world_run(&world);
    for (int i = 0; i < 10; i++) {
        cr_expect(!look_after(LIMIT_MS), "nobody runs");
    }
    cr_expect(slow_count == 0, "%u were called slow", slow_count);
    za_runtime_destroy(world.runtime);
}
