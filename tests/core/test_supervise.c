#include "core/worker.h"
#include "world.h"

static world_t world;
static za_ref_t a, b;
static za_ref_t children[3];

enum { FAIL = 1, SPAWN = 2, STOP = 3, MARK = 4, STOP_CHILD = 5, WORK = 6, TIMER = 7 };

static za_spawn_opts_t child_opts;

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind == 'S' && event->n > 0) {
        cr_assert(self->mark == 0, "state is zeroed at a restart");
    }
    if (event->kind == 'X') {
        za_ref_t ref;
        cr_assert(za_spawn(ctx, probe, &ref) == ZA_ESTOPPING, "no spawn while stopping");
        cr_assert(za_after(ctx, 1, ZA_MSG(t_Num, .n = 0), NULL) == ZA_ESTOPPING, "no timer");
        cr_assert(za_ask(ctx, a, ZA_MSG(t_Num, .n = 0), .timeout_ms = 1) == ZA_ESTOPPING, "no ask");
    }
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    switch (event->n) {
    case FAIL:
        return ZA_FAIL;
    case STOP:
        return ZA_STOP;
    case MARK:
        self->mark = 77;
        break;
    case SPAWN:
        for (int i = 0; i < 3; i++) {
            child_opts.size = sizeof child_opts;
            cr_assert(za_spawn_with(ctx, &probe_class, &children[i], &child_opts) == ZA_OK,
                      "spawn");
        }
        break;
    case STOP_CHILD:
        cr_assert(za_stop(ctx, event->ref) == ZA_OK, "stop");
        break;
    case TIMER:
        cr_assert(za_after(ctx, 20, ZA_MSG(t_Num, .n = 20), NULL) == ZA_OK, "timer");
        cr_assert(za_watch(ctx, event->ref) == ZA_OK, "watch");
        break;
    default:
        break;
    }
    return ZA_DONE;
}

static void setup(za_spawn_opts_t opts)
{
    world_init(&world, (za_runtime_config_t){ .workers = 2 });
    world_behave = behave;
    a = world_spawn_opts(&world, opts);
    b = world_spawn(&world);
    world_run(&world);
}

static bool alive(za_ref_t ref)
{
    return world_tell(&world, ref, ZA_MSG(t_Num, .n = 1000)) == ZA_OK;
}

/* ---- starting ----------------------------------------------------------------------------- */

Test(supervise, an_actor_starts_with_started)
{
    setup((za_spawn_opts_t){ 0 });
    cr_assert(world_count('S', a.actor) == 1 && world_nth('S', a.actor, 0)->n == 0, "started");
    za_runtime_destroy(world.runtime);
}

Test(supervise, an_actor_with_arguments_starts_with_them_again_at_each_restart)
{
    setup((za_spawn_opts_t){ ZA_ARGS(t_Num, .n = 55), .max_restarts = 2 });
    cr_assert(world_count('S', a.actor) == 0, "instead of started");
    cr_assert(world_count('N', a.actor) == 1 && world_nth('N', a.actor, 0)->n == 55, "arguments");
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 2 && world_nth('N', a.actor, 1)->n == 55, "again");
    za_runtime_destroy(world.runtime);
}

Test(supervise, wrong_options_are_answered)
{
    setup((za_spawn_opts_t){ 0 });
    za_ref_t ref;
    za_spawn_opts_t opts = { .size = sizeof opts, ZA_ARGS(t_Unheard, .n = 1) };
    cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_ETYPE,
              "arguments without handler");
    opts = (za_spawn_opts_t){ .size = 0 };
    cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_EINVAL,
              "size");
    opts = (za_spawn_opts_t){ .size = sizeof opts, .name = "" };
    cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_EINVAL,
              "name");
    cr_assert(za_runtime_spawn(world.guest, NULL, &opts, ZA_REF_NONE, &ref) == ZA_EINVAL, "class");
    za_runtime_destroy(world.runtime);
}

Test(supervise, the_actor_limit_is_answered_and_ends)
{
    world_init(&world, (za_runtime_config_t){ .actors_max = 5 });
    za_worker_t *worker = za_runtime_worker(world.runtime, 0);
    za_spawn_opts_t opts = { .size = sizeof opts };
    za_ref_t refs[6];
    for (int i = 0; i < 5; i++) {
        cr_assert(za_runtime_spawn(worker, &probe_class, &opts, ZA_REF_NONE, &refs[i]) == ZA_OK,
                  "actor %d", i);
    }
    cr_assert(za_runtime_spawn(worker, &probe_class, &opts, ZA_REF_NONE, &refs[5]) == ZA_ENOBUFS,
              "the limit");
    world_run(&world);
    za_runtime_stop_actor(world.guest, refs[2].actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(za_runtime_spawn(worker, &probe_class, &opts, ZA_REF_NONE, &refs[5]) == ZA_OK,
              "room again");
    za_runtime_destroy(world.runtime);
}

/* ---- restarts ----------------------------------------------------------------------------- */

Test(supervise, a_failure_restarts_in_place)
{
    setup((za_spawn_opts_t){ .max_restarts = 3 });
    world_go(&world, b, TIMER, a); // b watches a
    world_go(&world, a, TIMER, b); // a has a timer and watches b
    world_go(&world, a, MARK, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_go(&world, a, WORK, ZA_REF_NONE); // queued behind the failing one
    world_run(&world);
    cr_assert(world_count('S', a.actor) == 2 && world_nth('S', a.actor, 1)->n == 1, "restarted");
    cr_assert(world_count('G', a.actor) == 4, "the queued message lived on");
    const event_t *last = world_nth('X', a.actor, 0);
    cr_assert(last != NULL && last->n == 1, "the last message of the old life");
    cr_assert(last->reason == za_Reason_REASON_FAILED, "says why it ends");
    cr_assert(world_index(last) < world_index(world_nth('S', a.actor, 1)), "in its order");
    cr_assert(world_count('X', a.actor) == 1, "once");
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_advance(&world, 50);
    cr_assert(world_count('N', a.actor) == 0, "its timer was cancelled");
    cr_assert(world_count('D', a.actor) == 0, "its watch ended");
    cr_assert(world_count('D', b.actor) == 0, "its watcher heard nothing");
    za_counters_t counters = world_counters(&world);
    cr_assert(counters.failed == 1 && counters.restarted == 1, "counted");
    cr_assert(counters.dead_by_reason[za_Reason_REASON_FAILED] == 1, "the failing one is dead");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t keep_and_fail(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'N') {
        return ZA_DONE;
    }
    cr_assert(za_keep(ctx) != NULL, "kept");
    return ZA_FAIL;
}

Test(supervise, a_kept_message_whose_handler_fails_is_one_dead_letter)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = keep_and_fail;
    za_ref_t ref = world_spawn_opts(&world, (za_spawn_opts_t){ .max_restarts = 1 });
    cr_assert(world_tell(&world, ref, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "told");
    world_run(&world);
    za_counters_t counters = world_counters(&world);
    cr_expect(counters.dead_by_reason[za_Reason_REASON_FAILED] == 1, "by the failure");
    cr_expect(counters.dead_letters == 1, "%d", (int)counters.dead_letters);
    za_runtime_destroy(world.runtime);
}

static za_verdict_t keep_the_start_and_fail(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'S' || event->n > 0) {
        return ZA_DONE;
    }
    cr_assert(za_keep(ctx) != NULL, "a copy is kept");
    return ZA_FAIL;
}

Test(supervise, a_kept_copy_of_a_notification_whose_handler_fails_is_one_dead_letter)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = keep_the_start_and_fail;
    (void)world_spawn_opts(&world, (za_spawn_opts_t){ .max_restarts = 1 });
    world_run(&world);
    za_counters_t counters = world_counters(&world);
    cr_expect(counters.dead_by_reason[za_Reason_REASON_FAILED] == 1, "by the failure");
    cr_expect(counters.dead_letters == 1, "%d", (int)counters.dead_letters);
    za_runtime_destroy(world.runtime);
}

Test(supervise, a_kept_notification_whose_handler_fails_is_one_dead_letter)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = keep_and_fail;
    za_ref_t ref = world_spawn_opts(&world, (za_spawn_opts_t){ .max_restarts = 1 });
    cr_assert(za_runtime_notify(world.guest, ref.actor, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "told");
    world_run(&world);
    za_counters_t counters = world_counters(&world);
    cr_expect(counters.dead_by_reason[za_Reason_REASON_FAILED] == 1, "by the failure");
    cr_expect(counters.dead_letters == 1, "%d", (int)counters.dead_letters);
    za_runtime_destroy(world.runtime);
}

Test(supervise, the_restart_limit_holds_within_its_window)
{
    setup((za_spawn_opts_t){ .max_restarts = 2, .within_ms = 100 });
    for (int i = 0; i < 4; i++) { // 60 ms apart: never three in 100 ms
        world_go(&world, a, FAIL, ZA_REF_NONE);
        world_advance(&world, 60);
        cr_assert(alive(a), "alive after failure %d", i);
    }
    world_advance(&world, 200);
    world_go(&world, b, TIMER, a);
    world_run(&world);
    for (int i = 0; i < 3; i++) {
        world_go(&world, a, FAIL, ZA_REF_NONE);
        world_run(&world);
    }
    cr_assert(!alive(a), "three at once are too many");
    const event_t *down = world_nth('D', b.actor, 0);
    cr_assert(down != NULL && down->reason == za_Reason_REASON_LIMIT, "the watcher knows why");
    const event_t *last = world_nth('X', a.actor, world_count('X', a.actor) - 1);
    cr_assert(last->n == 0 && last->reason == za_Reason_REASON_LIMIT, "it was told");
    za_runtime_destroy(world.runtime);
}

// Two at the end of one window and one at the start of the next are three within a window.
Test(supervise, the_restart_window_slides)
{
    setup((za_spawn_opts_t){ .max_restarts = 2, .within_ms = 100 });
    const uint64_t wait_ms[] = { 90, 15, 10 }; // failures at 0, 90 and 105
    for (size_t i = 0; i < 3; i++) {
        world_go(&world, a, FAIL, ZA_REF_NONE);
        world_advance(&world, wait_ms[i]);
        cr_assert(alive(a), "alive after failure %zu", i);
    }
    world_go(&world, a, FAIL, ZA_REF_NONE); // at 115: 90, 105 and this
    world_run(&world);
    cr_assert(!alive(a), "three within 100 ms");
    za_runtime_destroy(world.runtime);
}

static void *owned;
static uint64_t freed_mark;

static za_verdict_t own_memory(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->self != a.actor) {
        return ZA_DONE;
    }
    if (event->kind == 'S') {
        cr_assert(owned == NULL, "freed before the next life");
        owned = malloc(8);
        self->mark = 99;
    } else if (event->kind == 'X') {
        freed_mark = self->mark; // the state is still there
        free(owned);
        owned = NULL;
        ZA_IGNORE(za_tell(ctx, b, ZA_MSG(t_Num, .n = event->n)));
    }
    return event->kind == 'G' ? (event->n == FAIL ? ZA_FAIL : ZA_STOP) : ZA_DONE;
}

Test(supervise, what_an_actor_owns_is_freed_before_a_restart_and_at_the_end)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = own_memory;
    a = world_spawn_opts(&world,
                         (za_spawn_opts_t){ .restart = ZA_RESTART_ALWAYS, .max_restarts = 2 });
    b = world_spawn(&world);
    world_run(&world);
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_run(&world);
    cr_assert(freed_mark == 99 && owned != NULL, "freed, and taken anew");
    world_go(&world, a, STOP, ZA_REF_NONE);
    world_run(&world);
    const event_t *second = world_nth('X', a.actor, 1);
    cr_assert(second->n == 1 && second->reason == za_Reason_REASON_STOPPED, "why it began anew");
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(owned == NULL && world_nth('X', a.actor, 2)->n == 0, "at the end");
    cr_assert(world_count('N', b.actor) == 3, "and it could send");
    za_runtime_destroy(world.runtime);
}

Test(supervise, without_restarts_a_failure_ends)
{
    setup((za_spawn_opts_t){ 0 });
    world_go(&world, b, TIMER, a);
    world_run(&world);
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_run(&world);
    const event_t *down = world_nth('D', b.actor, 0);
    cr_assert(down != NULL && down->reason == za_Reason_REASON_FAILED, "failed");
    cr_assert(world_counters(&world).actors == 1, "one is left");
    za_runtime_destroy(world.runtime);
}

Test(supervise, a_permanent_actor_restarts_when_it_stops_by_itself)
{
    setup((za_spawn_opts_t){ .restart = ZA_RESTART_ALWAYS, .max_restarts = 1 });
    world_go(&world, a, STOP, ZA_REF_NONE);
    world_run(&world);
    cr_assert(alive(a), "again");
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(!alive(a), "but not against a command");
    za_runtime_destroy(world.runtime);
}

Test(supervise, a_temporary_actor_never_restarts)
{
    setup((za_spawn_opts_t){ .restart = ZA_RESTART_NEVER, .max_restarts = 10 });
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_run(&world);
    cr_assert(!alive(a), "gone");
    za_runtime_destroy(world.runtime);
}

Test(supervise, backoff_suspends_and_doubles)
{
    setup((za_spawn_opts_t){
        .max_restarts = 10, .within_ms = 100000, .backoff_min_ms = 100, .backoff_max_ms = 300 });
    const uint64_t most[] = { 100, 200, 300, 300 };
    for (size_t i = 0; i < 4; i++) {
        world_go(&world, a, FAIL, ZA_REF_NONE);
        world_go(&world, a, WORK, ZA_REF_NONE);
        size_t handled = world_count('G', a.actor);
        world_advance(&world, most[i] / 2 - 1);
        cr_assert(world_count('S', a.actor) == 1 + i, "not before half of it, round %zu", i);
        cr_assert(world_count('G', a.actor) == handled + 1, "messages wait");
        world_advance(&world, most[i] / 2 + 2);
        cr_assert(world_count('S', a.actor) == 2 + i, "after all of it, round %zu", i);
        cr_assert(world_count('G', a.actor) == handled + 2, "and are handled then");
    }
    za_runtime_destroy(world.runtime);
}

Test(supervise, a_stop_ends_a_backoff)
{
    setup((za_spawn_opts_t){ .max_restarts = 10, .backoff_min_ms = 1000 });
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_run(&world);
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(!alive(a), "gone at once");
    cr_assert(world_count('X', a.actor) == 1, "there was no second life to end");
    world_advance(&world, 2000);
    cr_assert(world_count('S', a.actor) == 1, "nothing starts later");
    za_runtime_destroy(world.runtime);
}

/* ---- children ----------------------------------------------------------------------------- */

Test(supervise, children_stop_in_reverse_order_before_their_parent)
{
    setup((za_spawn_opts_t){ 0 });
    world_go(&world, a, SPAWN, ZA_REF_NONE);
    world_run(&world);
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(world_count('X', 0) == 4, "%zu", world_count('X', 0));
    for (size_t i = 0; i < 3; i++) {
        cr_assert(world_nth('X', 0, i)->self == children[2 - i].actor, "order at %zu", i);
    }
    cr_assert(world_nth('X', 0, 3)->self == a.actor, "the parent last");
    cr_assert(world_counters(&world).actors == 1, "b is left");
    za_runtime_destroy(world.runtime);
}

Test(supervise, a_restart_stops_the_children_first)
{
    setup((za_spawn_opts_t){ .max_restarts = 1 });
    world_go(&world, a, SPAWN, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('X', 0) == 4, "the children ended");
    cr_assert(world_nth('X', 0, 3)->self == a.actor, "then the parent's old life");
    cr_assert(alive(a) && !alive(children[0]), "the parent lives");
    cr_assert(world_index(world_nth('X', 0, 2)) < world_index(world_nth('S', a.actor, 1)), "first");
    za_runtime_destroy(world.runtime);
}

// Cells of children that were stopped are used again by those of the next life.
Test(supervise, a_restarted_parent_stops_its_new_children_too)
{
    setup((za_spawn_opts_t){ .max_restarts = 1 });
    uint64_t oldest = 0;
    for (int life = 0; life < 2; life++) {
        world_go(&world, a, SPAWN, ZA_REF_NONE);
        world_run(&world);
        oldest = life == 0 ? children[0].actor : oldest;
        world_go(&world, a, life == 0 ? FAIL : STOP, ZA_REF_NONE);
        world_run(&world);
    }
    bool again = false;
    for (int i = 0; i < 3; i++) {
        again = again || za_id_slot(children[i].actor) == za_id_slot(oldest);
    }
    cr_assert(again, "the cell of the child that was stopped last is used again");
    cr_assert(!alive(a) && !alive(children[2]), "all have ended");
    za_runtime_destroy(world.runtime);
}

Test(supervise, a_parent_stops_a_child)
{
    setup((za_spawn_opts_t){ 0 });
    world_go(&world, a, SPAWN, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, a, STOP_CHILD, children[1]);
    world_run(&world);
    cr_assert(!alive(children[1]) && alive(children[0]) && alive(children[2]), "the one");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t stop_badly(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G' && za_self(ctx).actor == b.actor) {
        cr_assert(za_stop(ctx, a) == ZA_EDENIED, "not our child");
        cr_assert(za_stop(ctx, ZA_REF_NONE) == ZA_EINVAL, "nobody");
        cr_assert(za_stop(ctx, za_self(ctx)) == ZA_OK, "oneself");
    }
    return ZA_DONE;
}

Test(supervise, nobody_else_may_stop_an_actor)
{
    setup((za_spawn_opts_t){ 0 });
    world_behave = stop_badly;
    world_go(&world, b, 0, ZA_REF_NONE);
    world_run(&world);
    cr_assert(alive(a) && !alive(b), "only oneself");
    za_runtime_destroy(world.runtime);
}

Test(supervise, escalation_fails_the_parent)
{
    child_opts = (za_spawn_opts_t){ .on_limit = ZA_LIMIT_ESCALATE };
    setup((za_spawn_opts_t){ .max_restarts = 1 });
    world_go(&world, a, SPAWN, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, children[0], FAIL, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('S', a.actor) == 2, "the parent restarted");
    cr_assert(!alive(children[0]) && !alive(children[1]) && !alive(children[2]), "without them");
    za_runtime_destroy(world.runtime);
}

/* ---- ending ------------------------------------------------------------------------------- */

Test(supervise, queued_messages_of_an_ending_actor_are_dead_letters)
{
    setup((za_spawn_opts_t){ 0 });
    world_go(&world, a, STOP, ZA_REF_NONE);
    for (int i = 0; i < 5; i++) {
        cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "queued");
    }
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 0, "not handled");
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_NO_ACTOR] == 5, "counted");
    za_runtime_destroy(world.runtime);
}

Test(supervise, stop_all_stops_all_and_refuses_what_comes)
{
    setup((za_spawn_opts_t){ .restart = ZA_RESTART_ALWAYS, .max_restarts = 10 });
    world_go(&world, a, SPAWN, ZA_REF_NONE);
    world_run(&world);
    za_runtime_stop_all(world.guest);
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_ESTOPPING, "from outside");
    za_spawn_opts_t opts = { .size = sizeof opts };
    za_ref_t ref;
    cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_ESTOPPING,
              "no spawn");
    world_run(&world);
    cr_assert(world_counters(&world).actors == 0, "nobody is left");
    za_runtime_destroy(world.runtime);
}

/* ---- hooks -------------------------------------------------------------------------------- */

static uint32_t named, stopped;
static za_err_t name_err;

static za_err_t on_named(void *context, za_worker_t *worker, za_ref_t actor, const char *name)
{
    (void)context;
    (void)worker;
    (void)actor;
    named += strcmp(name, "clerk") == 0;
    return name_err;
}

static void on_stopped(void *context, za_worker_t *worker, za_ref_t actor, za_Reason reason)
{
    (void)context;
    (void)worker;
    (void)actor;
    (void)reason;
    stopped++;
}

Test(supervise, a_name_that_is_refused_undoes_the_spawn)
{
    const za_remote_t remote = { .named = on_named, .stopped = on_stopped };
    world_init(&world, (za_runtime_config_t){ .remote = &remote, .actors_max = 1 });
    world_behave = behave;
    za_worker_t *worker = za_runtime_worker(world.runtime, 0);
    za_spawn_opts_t opts = { .size = sizeof opts, .name = "clerk", ZA_ARGS(t_Num, .n = 1) };
    name_err = ZA_EEXIST;
    za_ref_t ref = ZA_REF_NONE;
    cr_assert(za_runtime_spawn(worker, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_EEXIST, "err");
    cr_assert(za_ref_is_none(ref), "untouched");
    name_err = ZA_OK;
    cr_assert(za_runtime_spawn(worker, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_OK, "again");
    cr_assert(named == 2, "asked twice");
    a = ref;
    world_run(&world);
    za_runtime_attach(world.guest, ref.actor);
    za_runtime_stop_actor(world.guest, ref.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(stopped == 1, "an attached actor's end is told");
    cr_assert(world_counters(&world).actors == 0, "counted");
    za_runtime_destroy(world.runtime);
}

static bool count_actor(const za_actor_info_t *info, void *context)
{
    uint32_t *count = context;
    cr_assert(strcmp(info->class_name, "probe") == 0, "class");
    ++*count;
    return *count != 2;
}

Test(supervise, actors_can_be_looked_at)
{
    setup((za_spawn_opts_t){ .mailbox = 9 });
    world_go(&world, a, SPAWN, ZA_REF_NONE);
    world_run(&world);
    uint64_t cursor = 0;
    uint32_t count = 0;
    za_runtime_each_actor(world.runtime, &cursor, count_actor, &count);
    cr_assert(count == 2, "stopped by the visitor");
    za_runtime_each_actor(world.runtime, &cursor, count_actor, &count);
    cr_assert(count == 5, "and went on: %d", (int)count);
    za_runtime_destroy(world.runtime);
}

/* ---- a run of messages -------------------------------------------------------------------- */

static za_verdict_t behave_in_a_row(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    for (uint64_t i = 1; event->kind == 'G' && i <= 3; i++) {
        cr_assert(za_tell(ctx, za_self(ctx), ZA_MSG(t_Num, .n = i)) == ZA_OK, "tell");
    }
    if (event->kind == 'N' && event->n == 2) { // in the block that the first one left
        cr_assert(za_tell(ctx, za_self(ctx), ZA_MSG(t_Num, .n = 4)) == ZA_OK, "tell");
    }
    return event->kind == 'N' && event->n == 3 ? ZA_STOP : ZA_DONE;
}

Test(supervise, nothing_is_handled_behind_the_message_that_stops_the_actor)
{
    setup((za_spawn_opts_t){ 0 });
    world_behave = behave_in_a_row;
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 3, "%zu handled", world_count('N', a.actor));
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_NO_ACTOR] == 1, "the fourth");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t behave_with_child(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'S' && event->self == a.actor && event->n == 0) {
        cr_assert(za_spawn(ctx, probe, &children[0]) == ZA_OK, "spawn");
    }
    for (uint64_t i = 0; event->kind == 'G' && i < 40; i++) {
        cr_assert(za_tell(ctx, a, ZA_MSG(t_Num, .n = i)) == ZA_OK, "tell");
    }
    return event->kind == 'N' && event->n == 5 ? ZA_FAIL : ZA_DONE;
}

// While it waits for its child, others own the actor: what it handled must be counted before.
Test(supervise, a_failure_among_others_leaves_the_mailbox_its_room)
{
    setup((za_spawn_opts_t){ .max_restarts = 1, .mailbox = 640 });
    world_behave = behave_with_child;
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    a = world_spawn_opts(&world, (za_spawn_opts_t){ .max_restarts = 1, .mailbox = 640 });
    world_run(&world);
    world_go(&world, b, 0, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 40 && world_count('S', a.actor) == 2, "all, restarted");
    const za_cell_t *cell = &world.runtime->cells[za_id_slot(a.actor)];
    uint32_t count = za_mailbox_count(&cell->mailbox, 640);
    cr_assert(count == 0, "%d places are lost", (int)count);
    za_runtime_destroy(world.runtime);
}
