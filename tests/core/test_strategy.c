#include "base/rng.h"
#include "world.h"

static world_t world;
static za_ref_t a; // the parent
static za_ref_t kids[8];
static uint32_t kid_count;
static za_strategy_t strategy;
static za_supervised_t counters;

enum { SPAWN = 1, FAIL, STOP, SPAWN_MORE, COUNT, STOP_KID, FAIL_AT_START };

static za_spawn_opts_t kid_opts[8];
static uint64_t fails_at_start; // the actor whose next start fails

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind == 'S' && event->self == fails_at_start) {
        fails_at_start = 0;
        return ZA_FAIL;
    }
    if (event->kind == 'S' && event->self != a.actor) {
        cr_assert(self->mark == 0, "a new life has a new state");
        self->mark = 1;
    }
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    switch (event->n) {
    case SPAWN:
        cr_assert(za_supervise(ctx, strategy) == ZA_OK, "supervise");
        for (uint32_t i = 0; i < kid_count; i++) {
            kid_opts[i].size = sizeof kid_opts[i];
            cr_assert(za_spawn_with(ctx, &probe_class, &kids[i], &kid_opts[i]) == ZA_OK, "spawn");
        }
        break;
    case SPAWN_MORE:
        if (kid_count == 8) {
            break;
        }
        kid_opts[kid_count].size = sizeof kid_opts[0];
        cr_assert(za_spawn_with(ctx, &probe_class, &kids[kid_count], &kid_opts[kid_count]) == ZA_OK,
                  "spawn");
        kid_count++;
        break;
    case STOP_KID:
        cr_assert(za_stop(ctx, event->ref) == ZA_OK, "stop");
        break;
    case COUNT:
        za_supervised(ctx, &counters);
        break;
    case FAIL_AT_START:
        fails_at_start = event->ref.actor;
        return ZA_FAIL;
    case FAIL:
        return ZA_FAIL;
    case STOP:
        return ZA_STOP;
    default:
        break;
    }
    return ZA_DONE;
}

/** A parent with `count` children, spawned in order. */
static void setup(za_strategy_t how, uint32_t count, za_spawn_opts_t opts)
{
    world_init(&world, (za_runtime_config_t){ .workers = 2 });
    world_behave = behave;
    strategy = how;
    kid_count = count;
    fails_at_start = 0;
    for (uint32_t i = 0; i < 8; i++) {
        kid_opts[i] = opts;
    }
    a = world_spawn_opts(&world, (za_spawn_opts_t){ .max_restarts = 3 });
    world_run(&world);
    world_go(&world, a, SPAWN, ZA_REF_NONE);
    world_run(&world);
    world_log_count = 0;
}

static void go(za_ref_t who, uint64_t op)
{
    world_go(&world, who, op, ZA_REF_NONE);
    world_run(&world);
}

static bool alive(za_ref_t ref)
{
    return world_tell(&world, ref, ZA_MSG(t_Num, .n = 1000)) == ZA_OK;
}

/** The ends and starts of children since the setup, as "X2 X1 S1 S2" with their numbers. */
static const char *story(void)
{
    static char text[512];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < world_log_count; i++) {
        const event_t *event = &world_log[i];
        for (uint32_t k = 0; k < kid_count && (event->kind == 'X' || event->kind == 'S'); k++) {
            if (event->self == kids[k].actor) {
                used += (size_t)snprintf(text + used, sizeof text - used, "%s%c%u",
                                         used == 0 ? "" : " ", event->kind, k);
            }
        }
    }
    return text;
}

static void expect_story(const char *expected)
{
    cr_assert(strcmp(story(), expected) == 0, "%s", story());
}

static const za_spawn_opts_t restarted = { .max_restarts = 3 };

/* ---- who, and in which order -------------------------------------------------------------- */

Test(strategy, one_for_one_restarts_the_one)
{
    setup(ZA_ONE_FOR_ONE, 3, restarted);
    go(kids[1], FAIL);
    expect_story("X1 S1");
    za_runtime_destroy(world.runtime);
}

Test(strategy, one_for_all_stops_all_the_youngest_first_and_starts_all_the_oldest_first)
{
    for (uint32_t failed = 0; failed < 4; failed++) {
        setup(ZA_ONE_FOR_ALL, 4, restarted);
        go(kids[failed], FAIL);
        const char *const stories[] = { "X0 X3 X2 X1 S0 S1 S2 S3", "X1 X3 X2 X0 S0 S1 S2 S3",
                                        "X2 X3 X1 X0 S0 S1 S2 S3", "X3 X2 X1 X0 S0 S1 S2 S3" };
        expect_story(stories[failed]);
        for (size_t i = 0; i < world_log_count; i++) {
            cr_assert(world_log[i].kind != 'X' || world_log[i].n == 1, "restarts, all of them");
        }
        za_runtime_destroy(world.runtime);
    }
}

Test(strategy, rest_for_one_leaves_the_older_ones_alone)
{
    for (uint32_t failed = 0; failed < 4; failed++) {
        setup(ZA_REST_FOR_ONE, 4, restarted);
        go(kids[failed], FAIL);
        const char *const stories[] = { "X0 X3 X2 X1 S0 S1 S2 S3", "X1 X3 X2 S1 S2 S3",
                                        "X2 X3 S2 S3", "X3 S3" };
        expect_story(stories[failed]);
        za_runtime_destroy(world.runtime);
    }
}

Test(strategy, references_and_mailboxes_stay)
{
    setup(ZA_ONE_FOR_ALL, 3, restarted);
    world_go(&world, kids[2], FAIL, ZA_REF_NONE);
    for (uint64_t n = 0; n < 5; n++) {
        cr_assert(world_tell(&world, kids[0], ZA_MSG(t_Num, .n = n)) == ZA_OK, "to a halted one");
        cr_assert(world_tell(&world, kids[2], ZA_MSG(t_Num, .n = n)) == ZA_OK, "to the failed one");
    }
    world_run(&world);
    cr_assert(world_count('N', kids[0].actor) == 5 && world_count('N', kids[2].actor) == 5, "all");
    za_runtime_destroy(world.runtime);
}

Test(strategy, siblings_get_their_arguments_again)
{
    setup(ZA_ONE_FOR_ALL, 0, restarted);
    kid_opts[0] = (za_spawn_opts_t){ ZA_ARGS(t_Num, .n = 55) };
    kid_opts[1] = restarted;
    go(a, SPAWN_MORE);
    go(a, SPAWN_MORE);
    go(kids[1], FAIL);
    cr_assert(world_count('N', kids[0].actor) == 2, "%zu", world_count('N', kids[0].actor));
    za_runtime_destroy(world.runtime);
}

Test(strategy, a_sibling_needs_no_restart_limit_of_its_own)
{
    setup(ZA_ONE_FOR_ALL, 0, (za_spawn_opts_t){ 0 });
    kid_opts[1] = (za_spawn_opts_t){ .max_restarts = 10 };
    go(a, SPAWN_MORE);
    go(a, SPAWN_MORE);
    for (int i = 0; i < 5; i++) {
        go(kids[1], FAIL);
    }
    cr_assert(world_count('S', kids[0].actor) == 6, "with each of the failures");
    go(kids[0], FAIL);
    cr_assert(!alive(kids[0]) && alive(kids[1]), "its own failure ends it, as its options say");
    za_runtime_destroy(world.runtime);
}

Test(strategy, a_temporary_sibling_stops_for_good)
{
    setup(ZA_ONE_FOR_ALL, 3, restarted);
    kid_opts[3] = (za_spawn_opts_t){ .restart = ZA_RESTART_NEVER };
    go(a, SPAWN_MORE);
    world_log_count = 0;
    go(kids[1], FAIL);
    expect_story("X1 X3 X2 X0 S0 S1 S2");
    cr_assert(!alive(kids[3]), "it is gone");
    za_runtime_destroy(world.runtime);
}

Test(strategy, children_from_before_are_left_alone)
{
    setup(ZA_ONE_FOR_ONE, 2, restarted);
    strategy = ZA_ONE_FOR_ALL;
    za_ref_t old[2] = { kids[0], kids[1] };
    go(a, SPAWN); // two more, in the places of the first in `kids`
    world_log_count = 0;
    go(kids[1], FAIL);
    expect_story("X1 X0 S0 S1");
    cr_assert(world_count('X', old[0].actor) == 0 && world_count('X', old[1].actor) == 0, "");
    za_runtime_destroy(world.runtime);
}

/* ---- limits and backoff ------------------------------------------------------------------- */

Test(strategy, the_failing_ones_backoff_delays_the_younger)
{
    setup(ZA_ONE_FOR_ALL, 3, (za_spawn_opts_t){ .max_restarts = 3, .backoff_min_ms = 100 });
    go(kids[1], FAIL);
    expect_story("X1 X2 X0 S0");
    world_advance(&world, 101);
    expect_story("X1 X2 X0 S0 S1 S2");
    za_runtime_destroy(world.runtime);
}

Test(strategy, only_the_failing_ones_limit_is_used_up)
{
    setup(ZA_ONE_FOR_ALL, 2, (za_spawn_opts_t){ .max_restarts = 2 });
    for (int i = 0; i < 2; i++) {
        go(kids[0], FAIL);
        go(kids[1], FAIL);
    }
    cr_assert(alive(kids[0]) && alive(kids[1]), "two each");
    go(kids[0], FAIL);
    cr_assert(!alive(kids[0]) && alive(kids[1]), "the third is too many");
    za_runtime_destroy(world.runtime);
}

Test(strategy, at_its_limit_a_child_can_take_its_siblings_along)
{
    for (int with = 0; with < 2; with++) {
        setup(with ? ZA_ONE_FOR_ALL : ZA_ONE_FOR_ONE, 4,
              (za_spawn_opts_t){ .on_limit = ZA_LIMIT_STOP_ALL });
        go(kids[1], FAIL);
        expect_story("X1 X3 X2 X0");
        cr_assert(alive(a), "their parent lives");
        go(a, COUNT);
        cr_assert(counters.children == 0, "without them");
        za_runtime_destroy(world.runtime);
    }
}

Test(strategy, at_its_limit_a_child_can_fail_its_parent)
{
    setup(ZA_ONE_FOR_ALL, 3, (za_spawn_opts_t){ .on_limit = ZA_LIMIT_ESCALATE });
    go(kids[1], FAIL);
    cr_assert(world_count('S', a.actor) == 1, "it restarts");
    cr_assert(!alive(kids[0]) && !alive(kids[2]), "without them");
    za_runtime_destroy(world.runtime);
}

/* ---- things that happen meanwhile --------------------------------------------------------- */

Test(strategy, a_failure_at_the_start_begins_the_round_anew)
{
    setup(ZA_ONE_FOR_ALL, 3, restarted);
    world_go(&world, kids[1], FAIL_AT_START, kids[1]);
    world_run(&world);
    expect_story("X1 X2 X0 S0 S1 X1 X0 S0 S1 S2");
    za_runtime_destroy(world.runtime);
}

Test(strategy, two_failures_at_once_are_one_round_of_all)
{
    setup(ZA_REST_FOR_ONE, 4, restarted);
    world_go(&world, kids[2], FAIL, ZA_REF_NONE);
    world_go(&world, kids[0], FAIL, ZA_REF_NONE);
    world_run(&world);
    for (uint32_t i = 0; i < 4; i++) {
        const event_t *last = world_nth('S', kids[i].actor, world_count('S', kids[i].actor) - 1);
        cr_assert(last != NULL, "kid %u is up", i);
        cr_assert(world_index(last) > world_index(world_nth('X', kids[i].actor, 0)), "kid %u", i);
    }
    cr_assert(alive(kids[0]) && alive(kids[1]) && alive(kids[2]) && alive(kids[3]), "all");
    za_runtime_destroy(world.runtime);
}

Test(strategy, a_parent_that_stops_meanwhile_stops_all)
{
    setup(ZA_ONE_FOR_ALL, 3, (za_spawn_opts_t){ .max_restarts = 3, .backoff_min_ms = 100 });
    go(kids[1], FAIL); // 1 waits, and 2 waits for it
    go(a, STOP);
    cr_assert(world_counters(&world).actors == 0, "all");
    world_advance(&world, 500);
    expect_story("X1 X2 X0 S0 X0");
    za_runtime_destroy(world.runtime);
}

Test(strategy, a_parent_that_restarts_meanwhile_begins_with_one_for_one)
{
    setup(ZA_ONE_FOR_ALL, 3, (za_spawn_opts_t){ .max_restarts = 3, .backoff_min_ms = 100 });
    go(kids[1], FAIL);
    go(a, FAIL);
    cr_assert(world_counters(&world).actors == 1, "the parent alone");
    for (int i = 0; i < 2; i++) {
        kid_opts[i] = restarted;
    }
    kid_count = 0;
    go(a, SPAWN_MORE);
    go(a, SPAWN_MORE);
    world_log_count = 0;
    go(kids[0], FAIL);
    expect_story("X0 S0");
    za_runtime_destroy(world.runtime);
}

Test(strategy, a_child_that_is_stopped_meanwhile_does_not_stop_the_round)
{
    setup(ZA_ONE_FOR_ALL, 3, (za_spawn_opts_t){ .max_restarts = 3, .backoff_min_ms = 100 });
    go(kids[1], FAIL);
    world_go(&world, a, STOP_KID, kids[1]);
    world_run(&world);
    expect_story("X1 X2 X0 S0 S2");
    cr_assert(!alive(kids[1]), "gone");
    za_runtime_destroy(world.runtime);
}

// The token is with 1, which waits; 2 would be told next.
Test(strategy, the_next_one_may_be_stopped_meanwhile)
{
    setup(ZA_ONE_FOR_ALL, 4, (za_spawn_opts_t){ .max_restarts = 3, .backoff_min_ms = 100 });
    go(kids[1], FAIL);
    world_go(&world, a, STOP_KID, kids[2]);
    world_run(&world);
    expect_story("X1 X3 X2 X0 S0");
    world_advance(&world, 101);
    expect_story("X1 X3 X2 X0 S0 S1 S3");
    za_runtime_destroy(world.runtime);
}

Test(strategy, a_parent_may_go_back_to_one_for_one)
{
    setup(ZA_ONE_FOR_ALL, 2, restarted);
    strategy = ZA_ONE_FOR_ONE;
    kid_count = 0;
    go(a, SPAWN); // none, and the strategy
    kid_count = 2;
    go(kids[1], FAIL);
    expect_story("X1 S1");
    za_runtime_destroy(world.runtime);
}

Test(strategy, counters_tell_what_happened)
{
    setup(ZA_ONE_FOR_ALL, 3, (za_spawn_opts_t){ .max_restarts = 1 });
    go(kids[0], FAIL);
    go(kids[0], FAIL);
    go(a, COUNT);
    cr_assert(counters.children == 2, "children %d", (int)counters.children);
    cr_assert(counters.failures == 2, "failures %d", (int)counters.failures);
    cr_assert(counters.restarts == 3, "restarts %d", (int)counters.restarts);
    cr_assert(counters.limits == 1, "limits %d", (int)counters.limits);
    cr_assert(counters.rounds == 1, "rounds %d", (int)counters.rounds);
    za_runtime_destroy(world.runtime);
}

static za_verdict_t supervise_badly(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        cr_assert(za_supervise(ctx, (za_strategy_t)7) == ZA_EINVAL, "no such strategy");
        cr_assert(za_supervise(NULL, ZA_ONE_FOR_ALL) == ZA_EINVAL, "nobody");
        za_supervised(ctx, NULL);
        za_supervised(NULL, &counters);
        cr_assert(counters.failures == 0, "nobody's");
    }
    return ZA_DONE;
}

Test(strategy, odd_arguments_are_answered)
{
    setup(ZA_ONE_FOR_ONE, 1, restarted);
    world_behave = supervise_badly;
    go(a, 0);
    cr_assert(world_count('G', a.actor) == 1, "asked");
    za_runtime_destroy(world.runtime);
}

// Failures, ends, stops and spawns at random: in the end every child that lives runs.
Test(strategy, no_child_is_left_halted)
{
    za_rng_t rng;
    za_rng_init(&rng, 23);
    for (uint32_t round = 0; round < 300; round++) {
        za_spawn_opts_t opts = { .max_restarts = 1000,
                                 .backoff_min_ms = round % 3 == 0 ? 5 : 0,
                                 .backoff_max_ms = 20 };
        setup(round % 2 == 0 ? ZA_ONE_FOR_ALL : ZA_REST_FOR_ONE, 5, opts);
        for (uint32_t step = 0; step < 40; step++) {
            za_ref_t kid = kids[za_rng_below(&rng, kid_count)];
            uint64_t op = za_rng_below(&rng, 12);
            if (op < 7 && alive(kid)) {
                world_go(&world, kid, op < 6 ? FAIL : FAIL_AT_START, kid);
            } else if (op == 7 && alive(kid)) {
                world_go(&world, a, STOP_KID, kid);
            } else if (op == 8 && kid_count < 8) {
                world_go(&world, a, SPAWN_MORE, ZA_REF_NONE);
            }
            uint64_t turns = za_rng_below(&rng, 4);
            for (uint64_t i = 0; i < turns; i++) {
                uint32_t index = (uint32_t)za_rng_below(&rng, 2);
                za_worker_turn(za_runtime_worker(world.runtime, index), world.now_ns);
            }
        }
        world_advance(&world, 500);
        for (uint32_t i = 0; i < kid_count; i++) {
            world_log_count = 0;
            bool lives = alive(kids[i]);
            world_run(&world);
            cr_assert(!lives || world_count('N', kids[i].actor) == 1, "round %u, kid %u", round, i);
        }
        za_runtime_destroy(world.runtime);
    }
}
