#include "world.h"

static world_t world;
static za_ref_t a, b;

enum { SET = 1, OFF = 2, FAIL = 3, TIMER = 4, STOP = 5 };

static uint32_t timeout_ms;

static za_verdict_t on_quiet(za_ctx_t *ctx, probe_t *self, const za_ReceiveTimeout *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'Q', .n = m->timeout_ms });
}

ZA_ACTOR(waiter, probe_t, (t_Num, on_num), (t_Go, on_go), (t_Text, on_text),
         (za_Started, on_started), (za_Down, on_down), (za_ReceiveTimeout, on_quiet));

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->self == b.actor && event->kind == 'N') {
        za_reply(ctx, ZA_MSG(t_Num, .n = 1));
    }
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    switch (event->n) {
    case SET:
        cr_assert(za_receive_timeout(ctx, timeout_ms) == ZA_OK, "set");
        break;
    case OFF:
        cr_assert(za_receive_timeout(ctx, 0) == ZA_OK, "off");
        break;
    case FAIL:
        return ZA_FAIL;
    case TIMER:
        cr_assert(za_every(ctx, 10, ZA_MSG(t_Text, .n = 1), NULL) == ZA_OK, "timer");
        break;
    default:
        return ZA_STOP;
    }
    return ZA_DONE;
}

static void setup(uint32_t ms)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = behave;
    timeout_ms = ms;
    za_spawn_opts_t opts = { .size = sizeof opts, .max_restarts = 3 };
    cr_assert(za_runtime_spawn(world.guest, &waiter_class, &opts, ZA_REF_NONE, &a) == ZA_OK, "a");
    b = world_spawn(&world);
    world_run(&world);
    world_go(&world, a, SET, ZA_REF_NONE);
    world_run(&world);
}

static size_t quiet(void)
{
    return world_count('Q', a.actor);
}

static void num(void)
{
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "tell");
    world_run(&world);
}

Test(receive_timeout, comes_when_nothing_came_for_so_long)
{
    setup(80);
    world_advance(&world, 79);
    cr_assert(quiet() == 0, "not early");
    world_advance(&world, 1);
    cr_assert(quiet() == 1 && world_nth('Q', 0, 0)->n == 80, "on time");
    za_runtime_destroy(world.runtime);
}

Test(receive_timeout, comes_again_while_it_stays_quiet)
{
    setup(80);
    world_advance(&world, 239);
    cr_assert(quiet() == 2, "%zu", quiet());
    world_advance(&world, 1);
    cr_assert(quiet() == 3, "%zu", quiet());
    za_runtime_destroy(world.runtime);
}

Test(receive_timeout, a_message_puts_it_off)
{
    setup(80);
    for (int i = 0; i < 20; i++) {
        world_advance(&world, 60);
        num();
    }
    cr_assert(quiet() == 0, "never quiet for so long");
    za_runtime_destroy(world.runtime);
}

// Whenever the last message comes: never early, late by an eighth at most.
Test(receive_timeout, is_never_early_and_late_by_an_eighth_at_most)
{
    const uint32_t periods[] = { 1, 3, 7, 8, 80, 83, 1000 };
    for (size_t p = 0; p < sizeof periods / sizeof periods[0]; p++) {
        uint32_t ms = periods[p];
        for (uint32_t at = 1; at < ms; at += 1 + ms / 16) {
            setup(ms);
            world_advance(&world, at);
            num();
            world_advance(&world, ms - 1);
            cr_assert(quiet() == 0, "%u ms, message at %u: early", ms, at);
            world_advance(&world, 1 + (ms + 7) / 8);
            cr_assert(quiet() == 1, "%u ms, message at %u: late", ms, at);
            za_runtime_destroy(world.runtime);
        }
    }
}

Test(receive_timeout, timers_do_not_put_it_off)
{
    setup(80);
    world_go(&world, a, TIMER, ZA_REF_NONE);
    world_run(&world);
    world_advance(&world, 400);
    cr_assert(world_count('B', a.actor) == 40, "it ticks");
    cr_assert(quiet() >= 4, "and still: %zu", quiet());
    za_runtime_destroy(world.runtime);
}

static za_verdict_t ask_often(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->self == a.actor && event->kind == 'B') {
        cr_assert(za_ask(ctx, b, ZA_MSG(t_Num, .n = 1), .timeout_ms = 5) == ZA_OK, "ask");
    }
    return behave(ctx, self, event);
}

Test(receive_timeout, answers_put_it_off)
{
    setup(80);
    world_behave = ask_often;
    world_go(&world, a, TIMER, ZA_REF_NONE);
    world_advance(&world, 400);
    cr_assert(world_count('N', a.actor) > 30, "answers");
    cr_assert(quiet() == 0, "somebody speaks to it");
    za_runtime_destroy(world.runtime);
}

Test(receive_timeout, can_be_turned_off_and_set_anew)
{
    setup(80);
    world_advance(&world, 40);
    world_go(&world, a, OFF, ZA_REF_NONE);
    world_advance(&world, 300);
    cr_assert(quiet() == 0, "off");
    timeout_ms = 40;
    world_go(&world, a, SET, ZA_REF_NONE);
    world_run(&world);
    timeout_ms = 200;
    world_go(&world, a, SET, ZA_REF_NONE);
    world_run(&world);
    world_advance(&world, 199);
    cr_assert(quiet() == 0, "the later one holds");
    world_advance(&world, 1);
    cr_assert(quiet() == 1 && world_nth('Q', 0, 0)->n == 200, "alone");
    za_runtime_destroy(world.runtime);
}

Test(receive_timeout, a_restart_turns_it_off)
{
    setup(80);
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_advance(&world, 300);
    cr_assert(world_count('S', a.actor) == 2 && quiet() == 0, "off");
    za_runtime_destroy(world.runtime);
}

Test(receive_timeout, an_end_leaves_nothing_behind)
{
    setup(80);
    world_go(&world, a, STOP, ZA_REF_NONE);
    world_advance(&world, 300);
    cr_assert(quiet() == 0, "gone");
    cr_assert(za_worker_deadline_ns(za_runtime_worker(world.runtime, 0)) == UINT64_MAX, "no timer");
    cr_assert(za_receive_timeout(NULL, 5) == ZA_EINVAL, "nobody");
    za_runtime_destroy(world.runtime);
}
