// Metrics, in virtual time: a host without a clock, so that time stands still within a turn.
#include <stdio.h>

#include "base/limits.h"

#include "world.h"

static world_t world;
static za_class_metrics_t metrics;
static za_ref_t partner;
static uint64_t left;

typedef struct other {
    uint64_t unused;
} other_t;

static za_verdict_t other_num(za_ctx_t *ctx, other_t *self, const t_Num *m)
{
    (void)self;
    (void)m;
    if (left > 0) {
        left--;
        cr_assert(za_tell(ctx, partner, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "told");
    }
    return ZA_DONE;
}

ZA_ACTOR(other, other_t, (t_Num, other_num));

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && left > 0) {
        left--;
        cr_assert(za_tell(ctx, za_sender(ctx), ZA_MSG(t_Num, .n = 1)) == ZA_OK, "told");
    }
    return ZA_DONE;
}

static za_ref_t spawn(const za_class_t *class_)
{
    za_ref_t ref;
    za_spawn_opts_t opts = { .size = sizeof opts };
    cr_assert(za_runtime_spawn(world.guest, class_, &opts, ZA_REF_NONE, &ref) == ZA_OK, "spawned");
    return ref;
}

static void setup(void)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = behave;
    left = 0;
}

static void teardown(void)
{
    za_runtime_destroy(world.runtime);
}

TestSuite(metrics, .init = setup, .fini = teardown);

/** A conversation of `count` messages between the classes `probe` and `other`, at one instant. */
static void converse(uint64_t count)
{
    partner = spawn(&probe_class);
    za_ref_t ref = spawn(&other_class);
    world_run(&world);
    left = count;
    cr_assert(world_tell(&world, ref, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "told");
    world_run(&world);
}

Test(metrics, count_by_class)
{
    converse(9999);
    cr_assert(za_runtime_class_metrics(world.runtime, 0, &metrics), "the first class");
    cr_assert(strcmp(metrics.name, "probe") == 0, "in the order of their first spawn");
    cr_assert(metrics.handled == 1 + 5000, "its start, and each second message: %llu",
              (unsigned long long)metrics.handled);
    cr_assert(za_runtime_class_metrics(world.runtime, 1, &metrics), "the second class");
    cr_assert(strcmp(metrics.name, "other") == 0, "its name");
    cr_assert(metrics.handled == 5000, "%llu", (unsigned long long)metrics.handled);
    cr_assert(!za_runtime_class_metrics(world.runtime, 2, &metrics), "there are two");
    cr_assert(world_counters(&world).handled == 10001, "the sum is the counter of all");
}

Test(metrics, of_a_class_outlive_its_actors)
{
    converse(10);
    za_runtime_stop_all(world.guest);
    world_run(&world);
    cr_assert(za_runtime_class_metrics(world.runtime, 1, &metrics), "the class");
    cr_assert(metrics.handled == 6, "of eleven: %llu", (unsigned long long)metrics.handled);
}

static bool is_partner(const za_actor_info_t *info, void *context)
{
    if (info->ref.actor != partner.actor) {
        return true;
    }
    *(uint64_t *)context = info->handled;
    return false;
}

Test(metrics, an_actor_has_a_count_of_its_own)
{
    converse(1000);
    uint64_t cursor = 0;
    uint64_t handled = 0;
    za_runtime_each_actor(world.runtime, &cursor, is_partner, &handled);
    cr_assert(handled == 1 + 500, "its start and each second message: %u", (unsigned)handled);
}

// One conversation in virtual time: a run in about two thousand is watched, whoever's it is.
Test(metrics, short_runs_are_watched_now_and_then)
{
    enum { MESSAGES = 1000000 };
    converse(MESSAGES);
    uint64_t watched[2];
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert(za_runtime_class_metrics(world.runtime, i, &metrics), "class %u", i);
        watched[i] = za_histogram_count(&metrics.run_ns);
        cr_assert(za_histogram_count(&metrics.queued) == watched[i], "each with its mailbox");
        cr_assert(za_histogram_max(&metrics.queued) == 1, "one message each");
        cr_assert(za_histogram_max(&metrics.run_ns) == 0, "time stands still");
    }
    uint64_t all = watched[0] + watched[1];
    cr_assert(all >= MESSAGES / 2200 && all <= MESSAGES / 1900, "%u", (unsigned)all);
    cr_assert(watched[0] >= all / 3 && watched[1] >= all / 3, "%u and %u", (unsigned)watched[0],
              (unsigned)watched[1]);
}

// Of what comes from outside, one message in 64 says when.
Test(metrics, latency_is_from_the_send_to_the_handler)
{
    enum { SAMPLES = 10, MESSAGES = 64 * SAMPLES, WAIT_NS = 4096 };
    za_worker_t *worker = za_runtime_worker(world.runtime, 0);
    za_ref_t ref = spawn(&other_class);
    world_run(&world);
    za_outgoing_t out = { .to = ref, .type = &t_Num_type, .body = &(t_Num){ .n = 1 } };
    for (int i = 0; i < MESSAGES; i++) {
        cr_assert(za_runtime_tell(worker, &out) == ZA_OK, "told");
    }
    world.now_ns += WAIT_NS;
    world_run(&world);
    cr_assert(za_runtime_class_metrics(world.runtime, 0, &metrics), "the class");
    cr_assert(metrics.handled == MESSAGES, "the others are handled as ever");
    cr_assert(za_histogram_count(&metrics.latency_ns) == SAMPLES, "%u",
              (unsigned)za_histogram_count(&metrics.latency_ns));
    cr_assert(za_histogram_sum(&metrics.latency_ns) == SAMPLES * WAIT_NS, "%u",
              (unsigned)za_histogram_sum(&metrics.latency_ns));
}

// Runs far apart are all watched: a sample costs nothing there.
Test(metrics, seldom_runs_are_all_watched)
{
    enum { ROUNDS = 100 };
    za_ref_t ref = spawn(&other_class);
    world_run(&world);
    for (int i = 0; i < ROUNDS; i++) {
        world.now_ns += UINT64_C(100000000);
        cr_assert(world_tell(&world, ref, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "told");
        world_run(&world);
    }
    cr_assert(za_runtime_class_metrics(world.runtime, 0, &metrics), "the class");
    cr_assert(za_histogram_count(&metrics.run_ns) >= ROUNDS, "%u",
              (unsigned)za_histogram_count(&metrics.run_ns));
}

Test(metrics, of_workers_are_of_their_turns)
{
    za_worker_metrics_t worker;
    converse(100);
    cr_assert(za_runtime_worker_metrics(world.runtime, 0, &worker), "there is one");
    cr_assert(!za_runtime_worker_metrics(world.runtime, 1, &worker), "there is no other");
    cr_assert(worker.handled == world_counters(&world).handled, "all messages");
    cr_assert(worker.turns > 0 && worker.runnable == 0 && worker.timers == 0, "it rests");
}

Test(metrics, a_worker_is_busy_from_turn_to_turn_but_not_while_it_rests)
{
    za_worker_metrics_t metrics_of;
    za_worker_t *worker = za_runtime_worker(world.runtime, 0);
    partner = spawn(&other_class);
    world_run(&world);
    left = 10 * ZA_TURN_RUNS_MAX;
    cr_assert(world_tell(&world, partner, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "told");
    world.now_ns += 1000000; // nobody said what it did: it was idle
    uint32_t turns = 0;
    for (; za_worker_turn(worker, world.now_ns) == ZA_TURN_MORE; turns++) {
        world.now_ns += 100;
    }
    za_worker_rest(worker, world.now_ns + 30);
    za_worker_rest(worker, world.now_ns + 50); // it rests already
    world.now_ns += 1000000;
    za_worker_turn(worker, world.now_ns);
    cr_assert(za_runtime_worker_metrics(world.runtime, 0, &metrics_of), "there is one");
    cr_assert(turns >= 10, "%u", turns);
    cr_assert(metrics_of.busy_ns == turns * 100 + 30, "%u", (unsigned)metrics_of.busy_ns);
}

Test(metrics, more_classes_than_there_are_numbers_are_counted_together)
{
    enum { CLASSES = ZA_CLASSES_MAX + 20 };
    static za_class_t classes[CLASSES];
    static char names[CLASSES][8];
    for (uint32_t i = 0; i < CLASSES; i++) {
        classes[i] = other_class;
        snprintf(names[i], sizeof names[i], "c%u", i);
        classes[i].name = names[i];
        za_ref_t ref = spawn(&classes[i]);
        world_run(&world);
        cr_assert(world_tell(&world, ref, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "told");
        world_run(&world);
    }
    uint64_t sum = 0;
    uint32_t index = 0;
    for (; za_runtime_class_metrics(world.runtime, index, &metrics); index++) {
        uint64_t expected = index < ZA_CLASSES_MAX ? 1 : CLASSES - ZA_CLASSES_MAX;
        cr_assert(metrics.handled == expected, "%u: %u", index, (unsigned)metrics.handled);
        cr_assert((strcmp(metrics.name, "(other)") == 0) == (index == ZA_CLASSES_MAX), "%u", index);
        sum += metrics.handled;
    }
    cr_assert(index == ZA_CLASSES_MAX + 1, "%u", index);
    cr_assert(sum == world_counters(&world).handled, "nothing is lost");
}
