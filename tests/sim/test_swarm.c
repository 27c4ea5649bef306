// The swarm's own parts: what an oracle cannot see, no number of seeds will find.
#include "support/za_test.h"

#include <string.h>
#include <unistd.h>

#include "run.h"
#include "schedule.h"
#include "work.h"
#include "world.h"

static uint32_t seen_instance;

static za_verdict_t on_root(za_ctx_t *ctx, uint32_t *state, const work_Root *root)
{
    (void)root;
    *state = world_born(ctx, KIND_WATCHER, "somebody");
    seen_instance = *state;
    return ZA_DONE;
}
ZA_ACTOR(somebody, uint32_t, (work_Root, on_root));

/** A world with one actor on n0; the caller destroys the simulation. */
static za_sim_t *world_with_somebody(uint32_t *instance)
{
    za_sim_t *sim;
    za_err_t err = za_sim_create(
        &(za_sim_opts_t){ .size = sizeof(za_sim_opts_t), .seed = 1, .nodes = 1 }, &sim);
    cr_assert(err == ZA_OK);
    world_init(sim);
    world_process_began(0);
    cr_assert(za_sim_spawn(sim, 0, somebody, NULL, .name = "somebody",
                           ZA_ARGS(work_Root, .node = 0)) == ZA_OK);
    za_sim_run_for(sim, 100);
    world_watch_uids();
    cr_assert(seen_instance != 0);
    *instance = seen_instance;
    return sim;
}

static void expect_failure(const char *part)
{
    const char *failure = world_failure();
    cr_expect(failure != NULL && strstr(failure, part) != NULL, "wanted \"%s\", got \"%s\"", part,
              failure == NULL ? "nothing" : failure);
}

Test(world, is_content_with_a_quiet_node)
{
    uint32_t me;
    za_sim_t *sim = world_with_somebody(&me);
    world_check_end();
    cr_expect(world_failure() == NULL, "%s", world_failure());
    za_sim_destroy(sim);
    world_deinit();
}

Test(world, sees_a_message_that_comes_twice_or_late)
{
    uint32_t me;
    za_sim_t *sim = world_with_somebody(&me);
    uint64_t stream = world_stream(me);
    world_stream_arrived(stream, 1, me);
    world_stream_arrived(stream, 3, me);
    cr_expect(world_failure() == NULL);
    world_stream_arrived(stream, 3, me);
    expect_failure("message 3 of");
    za_sim_destroy(sim);
    world_deinit();
}

Test(world, sees_an_ask_that_ends_twice_early_or_never)
{
    uint32_t me;
    za_sim_t *sim = world_with_somebody(&me);
    world_ask_ended(world_asked(me, 0), me, OUTCOME_TIMEOUT);
    cr_expect(world_failure() == NULL);
    uint64_t ask = world_asked(me, 0);
    world_ask_ended(ask, me, OUTCOME_ANSWER);
    world_ask_ended(ask, me, OUTCOME_DOWN);
    expect_failure("twice");
    world_init(sim);
    za_sim_destroy(sim);

    sim = world_with_somebody(&me);
    world_ask_ended(world_asked(me, UINT64_MAX), me, OUTCOME_TIMEOUT);
    expect_failure("too early");
    za_sim_destroy(sim);

    sim = world_with_somebody(&me);
    world_asked(me, 0);
    world_check_end();
    expect_failure("never ended");
    za_sim_destroy(sim);
    world_deinit();
}

Test(world, sees_a_watch_that_fires_twice_wrongly_or_never)
{
    uint32_t me;
    const za_ref_t nobody = { UINT64_C(12345), 17 };
    za_sim_t *sim = world_with_somebody(&me);
    world_watched(me, nobody);
    world_watch_fired(me, nobody, za_Reason_REASON_NODE_DOWN);
    cr_expect(world_failure() == NULL);
    world_watch_fired(me, nobody, za_Reason_REASON_NODE_DOWN);
    expect_failure("a second time");
    za_sim_destroy(sim);

    sim = world_with_somebody(&me);
    world_watched(me, nobody);
    world_unwatched(me, nobody);
    world_watch_fired(me, nobody, za_Reason_REASON_NODE_DOWN);
    expect_failure("after unwatch");
    za_sim_destroy(sim);

    sim = world_with_somebody(&me);
    world_watched(me, nobody);
    world_check_end();
    expect_failure("no za_Down");
    za_sim_destroy(sim);

    sim = world_with_somebody(&me);
    world_watched(me, nobody);
    world_watch_fired(me, nobody, za_Reason_REASON_STOPPED);
    world_heard(me, nobody);
    expect_failure("after its za_Down");
    za_sim_destroy(sim);
    world_deinit();
}

Test(world, sees_names_that_nobody_or_somebody_else_holds)
{
    uint32_t me;
    za_sim_t *sim = world_with_somebody(&me);
    world_name_given_up(me, "somebody"); // the registry still has it
    world_check_end();
    expect_failure("nobody holds it");
    za_sim_destroy(sim);

    sim = world_with_somebody(&me);
    world_name_held(me, "else");
    world_check_end();
    expect_failure("does not know the name else");
    za_sim_destroy(sim);
    world_deinit();
}

Test(world, sees_actors_that_are_too_many_or_too_few)
{
    uint32_t me;
    za_sim_t *sim = world_with_somebody(&me);
    world_gone(me);
    world_check_end();
    expect_failure("lives that should not");
    za_sim_destroy(sim);
    world_deinit();
}

Test(world, sees_epochs_that_do_not_grow_and_children_that_are_lost)
{
    uint32_t me;
    za_sim_t *sim = world_with_somebody(&me);
    uint64_t record = world_record(me);
    world_child_spawned(record, me, (za_ref_t){ 0, 99 }, 2);
    cr_expect(world_failure() == NULL);
    world_child_spawned(record, me, (za_ref_t){ 0, 98 }, 2);
    expect_failure("epoch 2 after epoch 2");
    za_sim_destroy(sim);

    sim = world_with_somebody(&me);
    record = world_record(me);
    world_child_spawned(record, me, (za_ref_t){ 0, 99 }, 1);
    world_check_end();
    expect_failure("has lost the child");
    za_sim_destroy(sim);
    world_deinit();
}

Test(world, sees_messages_lost_between_healthy_nodes)
{
    uint32_t me;
    za_sim_t *sim = world_with_somebody(&me);
    world_probe_sent();
    world_check_end();
    expect_failure("were lost");
    za_sim_destroy(sim);
    world_deinit();
}

Test(schedule, is_the_same_for_a_seed_and_spares_the_driver)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        schedule_t one, two;
        schedule_draw(&one, seed, 5, 120);
        schedule_draw(&two, seed, 5, 120);
        cr_assert(one.fault_count == two.fault_count && one.spared == two.spared);
        for (uint32_t i = 0; i < one.fault_count; i++) {
            const fault_t *fault = &one.faults[i];
            bool ends_node = fault->kind == FAULT_CRASH || fault->kind == FAULT_CRASH_RESTART ||
                             fault->kind == FAULT_LEAVE;
            cr_assert(fault->at_ms == two.faults[i].at_ms && fault->a == two.faults[i].a);
            cr_assert(fault->at_ms < 120000 && fault->a < 5 && fault->b < 5);
            cr_assert(fault->a != fault->b || ends_node);
            cr_assert(!ends_node || fault->a != one.spared);
        }
    }
}

// The whole of it, small: a short range is run at every build, long ones by tools/sim.
Test(swarm, short_runs_hold_and_repeat, .timeout = 120)
{
    const char *folder = getenv("TMPDIR");
    char path[256];
    snprintf(path, sizeof path, "%s/zactor-test-swarm-XXXXXX", folder != NULL ? folder : "/tmp");
    cr_assert(mkdtemp(path) != NULL);
    const run_opts_t opts = { .folder = path };
    for (uint64_t seed = 1; seed <= 3; seed++) {
        schedule_t schedule;
        run_result_t results[2];
        schedule_draw(&schedule, seed, 3, 30);
        run(&schedule, &opts, &results[0]);
        cr_assert(!results[0].failed, "seed %d: %s", (int)seed, results[0].failure);
        cr_expect(results[0].counts.items > 0 && results[0].counts.fired > 0);
        cr_expect(results[0].counts.flyers > 0);
        run(&schedule, &opts, &results[1]);
        cr_expect(results[0].hash == results[1].hash, "seed %d", (int)seed);
    }
    rmdir(path);
}
