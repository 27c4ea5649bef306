#include "base/limits.h"
#include "core/known.h"
#include "world.h"

static world_t world;
static za_ref_t watcher;

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        cr_assert(za_watch(ctx, event->ref) == ZA_OK, "watched");
    }
    return ZA_DONE;
}

static za_verdict_t log_end(za_ctx_t *ctx, probe_t *self, const za_Stopping *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'e', .reason = m->reason });
}

static za_verdict_t log_up(za_ctx_t *ctx, probe_t *self, const za_MemberUp *m)
{
    (void)m;
    return world_event(ctx, self, (event_t){ .kind = 'u' });
}

enum { STOP, FAIL, GO_ON, STOP_WATCHED };

static za_verdict_t do_as_told(za_ctx_t *ctx, probe_t *self, const t_Num *m)
{
    world_event(ctx, self, (event_t){ .kind = 'N', .n = m->n });
    if (m->n == STOP_WATCHED) { // by another thread, just now
        const za_ref_t far = { 7, 1 };
        cr_assert(za_runtime_watch(world.guest, far, 5, za_self(ctx).actor) == ZA_OK, "watch");
    }
    return m->n == FAIL ? ZA_FAIL : m->n == GO_ON ? ZA_DONE : ZA_STOP;
}

/** Becomes it, and stops with its next message. */
static za_verdict_t become_ending(za_ctx_t *ctx, probe_t *self, const t_Go *m);

ZA_ACTOR(quiet, probe_t, (t_Num, do_as_told), (t_Go, become_ending));
ZA_ACTOR(ending, probe_t, (t_Num, do_as_told), (za_Stopping, log_end));
ZA_ACTOR(beginning, probe_t, (t_Num, do_as_told), (za_Started, on_started));
ZA_ACTOR(joiner, probe_t, (t_Num, do_as_told), (za_MemberUp, log_up));

static za_verdict_t become_ending(za_ctx_t *ctx, probe_t *self, const t_Go *m)
{
    (void)self;
    (void)m;
    cr_assert(za_become(ctx, ending) == ZA_OK, "become");
    return ZA_DONE;
}

static za_ref_t spawn(const za_class_t *class_)
{
    za_ref_t ref;
    const za_spawn_opts_t opts = { .size = sizeof opts };
    cr_assert(za_runtime_spawn(world.guest, class_, &opts, ZA_REF_NONE, &ref) == ZA_OK, "spawn");
    return ref;
}

static void tell(za_ref_t to, uint64_t n)
{
    cr_assert(world_tell(&world, to, ZA_MSG(t_Num, .n = n)) == ZA_OK, "tell");
}

static void setup(void)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = behave;
    watcher = world_spawn(&world);
    world_run(&world);
}

static void teardown(void)
{
    za_runtime_destroy(world.runtime);
}

TestSuite(known, .init = setup, .fini = teardown);

Test(known, an_actor_that_is_told_nothing_ends_with_its_only_message)
{
    za_ref_t ref = spawn(&quiet_class);
    tell(ref, STOP);
    world_run(&world);
    cr_assert(world_count('N', ref.actor) == 1, "handled");
    cr_assert(world_tell(&world, ref, ZA_MSG(t_Num, .n = GO_ON)) == ZA_EGONE, "it is gone");
    za_counters_t counters = world_counters(&world);
    cr_assert(counters.actors == 1 && counters.stopped == 1, "the watcher alone lives");
    cr_assert(counters.dead_letters == 0, "nothing is lost");
}

Test(known, what_waits_behind_its_last_message_is_lost)
{
    za_ref_t ref = spawn(&quiet_class);
    tell(ref, STOP);
    tell(ref, GO_ON);
    world_run(&world);
    cr_assert(world_count('N', ref.actor) == 1, "one is handled");
    cr_assert(world_counters(&world).dead_letters == 1, "the other is a dead letter");
}

Test(known, who_watches_it_hears_of_its_end)
{
    za_ref_t ref = spawn(&quiet_class);
    tell(ref, GO_ON);
    world_go(&world, watcher, 0, ref);
    world_run(&world);
    cr_assert(world_count('D', 0) == 0, "it lives");
    tell(ref, FAIL);
    world_run(&world);
    const event_t *down = world_nth('D', watcher.actor, 0);
    cr_assert(down != NULL && down->ref.actor == ref.actor, "told");
    cr_assert(down->reason == za_Reason_REASON_FAILED, "and why");
}

static za_Reason heard;

static void on_far_down(void *context, za_worker_t *worker, za_ref_t far, uint64_t watch_id,
                        za_ref_t target, za_Reason reason)
{
    (void)context;
    (void)worker;
    (void)far;
    (void)watch_id;
    (void)target;
    heard = reason;
}

// The watch came while it lived: its end has a reason, and is not that of one that never was.
Test(known, a_watch_behind_its_last_message_is_answered_with_the_reason)
{
    static const za_remote_t remote = { .down = on_far_down };
    za_runtime_destroy(world.runtime);
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    za_ref_t ref = spawn(&quiet_class);
    tell(ref, STOP_WATCHED);
    world_run(&world);
    cr_assert(heard == za_Reason_REASON_STOPPED, "%d", (int)heard);
}

Test(known, a_stop_before_its_first_message_comes_first)
{
    za_ref_t ref = spawn(&quiet_class);
    tell(ref, GO_ON);
    za_runtime_stop_actor(world.guest, ref.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(world_count('N', ref.actor) == 0, "nothing is handled");
    cr_assert(world_counters(&world).dead_letters == 1, "a dead letter");
}

Test(known, an_end_without_a_start_is_not_told)
{
    za_ref_t ref = spawn(&ending_class);
    za_runtime_stop_actor(world.guest, ref.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(world_counters(&world).stopped == 1, "it ended");
    cr_assert(world_count('e', ref.actor) == 0, "its handlers never ran");
}

Test(known, one_that_has_a_handler_for_its_end_alone_is_told)
{
    za_ref_t ref = spawn(&ending_class);
    tell(ref, STOP);
    world_run(&world);
    cr_assert(world_count('e', ref.actor) == 1, "told");
}

Test(known, what_an_actor_became_is_told_of_its_end)
{
    za_ref_t ref = spawn(&quiet_class);
    world_go(&world, ref, 0, ZA_REF_NONE);
    tell(ref, STOP);
    world_run(&world);
    cr_assert(world_count('e', ref.actor) == 1, "its class of the start had no handler for it");
}

static uint32_t joined;

static void on_joiner(void *context, za_worker_t *worker, za_ref_t actor, const za_class_t *class_)
{
    (void)context;
    (void)worker;
    (void)actor;
    cr_assert(class_ == &joiner_class, "%s does not want to hear of members", class_->name);
    joined++;
}

Test(known, those_alone_that_hear_of_members_are_announced)
{
    static const za_remote_t remote = { .started = on_joiner };
    za_runtime_destroy(world.runtime);
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    joined = 0;
    spawn(&quiet_class);
    spawn(&joiner_class);
    spawn(&beginning_class);
    spawn(&joiner_class);
    world_run(&world);
    cr_assert(joined == 2, "%u", joined);
}

Test(known, more_classes_than_a_worker_keeps_in_mind_are_told_apart)
{
    enum { CLASSES = 4 * ZA_KNOWN_CLASSES };
    static za_class_t classes[CLASSES];
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < CLASSES; i++) {
            classes[i] = i % 3 == 0 ? beginning_class : quiet_class;
            uint64_t started = world_count('S', 0);
            spawn(&classes[i]);
            world_run(&world);
            cr_assert(world_count('S', 0) - started == (i % 3 == 0), "%u", i);
        }
    }
}
