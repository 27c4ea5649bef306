#include "base/rng.h"
#include "world.h"

static world_t world;
static za_ref_t a, b, c;

enum {
    LINK = 1,
    UNLINK,
    STOP,
    FAIL,
    TRAP,
    UNTRAP,
    TELL_AND_FAIL,
    LINK_ODD,
    EXIT_STOPPED,
    EXIT_FAILED,
    EXIT_KILLED,
    EXIT_ODD,
    LINK_AND_UNLINK,
    RELINK,
};

static za_verdict_t on_exit_message(za_ctx_t *ctx, probe_t *self, const za_Exit *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'E', .ref = m->ref, .reason = m->reason });
}

ZA_ACTOR(linker, probe_t, (t_Num, on_num), (t_Go, on_go), (za_Started, on_started),
         (za_Stopping, on_stopping), (za_Down, on_down), (za_Exit, on_exit_message));

static void link_odd(za_ctx_t *ctx)
{
    cr_assert(za_link(ctx, za_self(ctx)) == ZA_EINVAL, "oneself");
    cr_assert(za_link(ctx, ZA_REF_NONE) == ZA_EINVAL, "nobody");
    cr_assert(za_link(NULL, a) == ZA_EINVAL, "by nobody");
    cr_assert(za_link(ctx, (za_ref_t){ 4, 4 }) == ZA_ENOROUTE, "no other node");
    za_unlink(ctx, (za_ref_t){ 4, 4 });
    za_unlink(NULL, a);
}

static void exit_odd(za_ctx_t *ctx, za_ref_t ref)
{
    cr_assert(za_exit(ctx, ref, za_Reason_REASON_NONE) == ZA_EINVAL, "no reason");
    cr_assert(za_exit(ctx, ref, (za_Reason)99) == ZA_EINVAL, "an unknown one");
    cr_assert(za_exit(ctx, ZA_REF_NONE, za_Reason_REASON_FAILED) == ZA_EINVAL, "nobody");
    cr_assert(za_exit(ctx, (za_ref_t){ 4, 4 }, za_Reason_REASON_FAILED) == ZA_ENOROUTE, "where");
    cr_assert(za_exit(ctx, (za_ref_t){ 0, ref.actor + (UINT64_C(1) << 40) },
                      za_Reason_REASON_FAILED) == ZA_EGONE,
              "of another life");
    cr_assert(za_trap_exit(NULL, true) == ZA_EINVAL, "nobody's");
}

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'X' && !za_ref_is_none(a)) {
        cr_assert(za_link(ctx, a) == ZA_ESTOPPING, "no link of one that ends");
    }
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    za_ref_t ref = event->ref;
    switch (event->n) {
    case LINK:
        cr_assert(za_link(ctx, ref) == ZA_OK, "link");
        cr_assert(za_link(ctx, ref) == ZA_OK, "twice is one link");
        break;
    case UNLINK:
        za_unlink(ctx, ref);
        break;
    case LINK_AND_UNLINK:
        cr_assert(za_link(ctx, ref) == ZA_OK, "link");
        za_unlink(ctx, ref);
        break;
    case RELINK:
        za_unlink(ctx, ref);
        cr_assert(za_link(ctx, ref) == ZA_OK, "link anew");
        break;
    case STOP:
        return ZA_STOP;
    case FAIL:
        return ZA_FAIL;
    case TRAP:
        cr_assert(za_trap_exit(ctx, true) == ZA_OK, "trap");
        break;
    case UNTRAP:
        cr_assert(za_trap_exit(ctx, false) == ZA_OK, "trap no more");
        break;
    case TELL_AND_FAIL:
        for (uint64_t i = 0; i < 5; i++) {
            cr_assert(za_tell(ctx, ref, ZA_MSG(t_Num, .n = i)) == ZA_OK, "tell");
        }
        return ZA_FAIL;
    case LINK_ODD:
        link_odd(ctx);
        break;
    case EXIT_ODD:
        exit_odd(ctx, ref);
        break;
    case EXIT_STOPPED:
        cr_assert(za_exit(ctx, ref, za_Reason_REASON_STOPPED) == ZA_OK, "exit");
        break;
    case EXIT_FAILED:
        cr_assert(za_exit(ctx, ref, za_Reason_REASON_FAILED) == ZA_OK, "exit");
        break;
    case EXIT_KILLED:
        cr_assert(za_exit(ctx, ref, za_Reason_REASON_KILLED) == ZA_OK, "exit");
        break;
    default:
        break;
    }
    return ZA_DONE;
}

static za_ref_t spawn(za_spawn_opts_t opts)
{
    za_ref_t ref;
    opts.size = sizeof opts;
    cr_assert(za_runtime_spawn(world.guest, &linker_class, &opts, ZA_REF_NONE, &ref) == ZA_OK, "");
    return ref;
}

static void setup(za_spawn_opts_t opts)
{
    world_init(&world, (za_runtime_config_t){ 0 }); // one worker: who runs when is known
    world_behave = behave;
    a = spawn(opts);
    b = spawn(opts);
    c = spawn(opts);
    world_run(&world);
}

static void go(za_ref_t who, uint64_t op, za_ref_t ref)
{
    world_go(&world, who, op, ref);
    world_run(&world);
}

static bool alive(za_ref_t ref)
{
    return world_tell(&world, ref, ZA_MSG(t_Num, .n = 1000)) == ZA_OK;
}

static void expect_exit(za_ref_t who, za_ref_t of, za_Reason reason)
{
    cr_assert(world_count('E', who.actor) == 1, "%zu exits", world_count('E', who.actor));
    const event_t *event = world_nth('E', who.actor, 0);
    cr_assert(za_ref_equal(event->ref, of) && event->reason == reason, "reason %d",
              (int)event->reason);
}

/* ---- both ways ---------------------------------------------------------------------------- */

Test(link, a_failure_ends_the_other_both_ways)
{
    for (int way = 0; way < 2; way++) {
        setup((za_spawn_opts_t){ 0 });
        go(a, LINK, b);
        go(way == 0 ? a : b, FAIL, ZA_REF_NONE);
        cr_assert(!alive(a) && !alive(b) && alive(c), "way %d", way);
        const event_t *last = world_nth('X', way == 0 ? b.actor : a.actor, 0);
        cr_assert(last != NULL && last->reason == za_Reason_REASON_FAILED, "with its reason");
        cr_assert(world_counters(&world).failed == 2, "a failure to its supervisor as well");
        za_runtime_destroy(world.runtime);
    }
}

Test(link, a_chain_of_links_ends_as_a_whole)
{
    setup((za_spawn_opts_t){ 0 });
    go(a, LINK, b);
    go(c, LINK, b);
    go(a, FAIL, ZA_REF_NONE);
    cr_assert(world_counters(&world).actors == 0, "all of them");
    za_runtime_destroy(world.runtime);
}

Test(link, an_ordinary_stop_leaves_the_other_alone)
{
    setup((za_spawn_opts_t){ 0 });
    go(a, LINK, b);
    go(a, STOP, ZA_REF_NONE);
    cr_assert(alive(b), "it lives");
    go(b, FAIL, ZA_REF_NONE); // nobody is left to hear of it
    cr_assert(world_count('E', 0) == 0 && alive(c), "no link is left");
    za_runtime_destroy(world.runtime);
}

Test(link, the_other_is_restarted_by_its_own_policy)
{
    setup((za_spawn_opts_t){ .max_restarts = 1 });
    go(a, LINK, b);
    go(a, FAIL, ZA_REF_NONE);
    cr_assert(world_count('S', a.actor) == 2 && world_count('S', b.actor) == 2, "both anew");
    go(a, FAIL, ZA_REF_NONE);
    cr_assert(!alive(a) && alive(b), "the link ended with the old lives");
    za_runtime_destroy(world.runtime);
}

/* ---- trapping ----------------------------------------------------------------------------- */

Test(link, one_that_traps_gets_a_message)
{
    const za_Reason reasons[] = { za_Reason_REASON_FAILED, za_Reason_REASON_STOPPED };
    for (int i = 0; i < 2; i++) {
        setup((za_spawn_opts_t){ 0 });
        go(b, TRAP, ZA_REF_NONE);
        go(i == 0 ? a : b, LINK, i == 0 ? b : a);
        go(a, i == 0 ? FAIL : STOP, ZA_REF_NONE);
        cr_assert(alive(b), "it lives");
        expect_exit(b, a, reasons[i]);
        za_runtime_destroy(world.runtime);
    }
}

Test(link, trapping_ends_on_request_and_with_a_restart)
{
    for (int i = 0; i < 2; i++) {
        setup((za_spawn_opts_t){ .max_restarts = 1 });
        go(b, TRAP, ZA_REF_NONE);
        go(b, i == 0 ? UNTRAP : FAIL, ZA_REF_NONE);
        go(a, LINK, b);
        go(a, FAIL, ZA_REF_NONE);
        cr_assert(world_count('E', b.actor) == 0, "no message");
        cr_assert(i == 0 ? world_count('S', b.actor) == 2 : !alive(b), "but a failure");
        za_runtime_destroy(world.runtime);
    }
}

Test(link, an_exit_comes_after_the_last_message)
{
    setup((za_spawn_opts_t){ 0 });
    go(b, TRAP, ZA_REF_NONE);
    go(b, LINK, a);
    go(a, TELL_AND_FAIL, b);
    expect_exit(b, a, za_Reason_REASON_FAILED);
    cr_assert(world_count('N', b.actor) == 5, "all of them");
    cr_assert(world_index(world_nth('N', b.actor, 4)) < world_index(world_nth('E', b.actor, 0)),
              "");
    za_runtime_destroy(world.runtime);
}

/* ---- exactly once ------------------------------------------------------------------------- */

Test(link, a_link_to_what_has_ended_fires_at_once)
{
    setup((za_spawn_opts_t){ 0 });
    go(a, STOP, ZA_REF_NONE);
    go(b, TRAP, ZA_REF_NONE);
    go(b, LINK, a);
    expect_exit(b, a, za_Reason_REASON_NO_ACTOR);
    go(c, LINK, a);
    cr_assert(!alive(c), "one that does not trap fails");
    za_runtime_destroy(world.runtime);
}

// The link stands behind the failure in the mailbox of a.
Test(link, a_link_that_waits_where_one_ends_is_told_the_reason)
{
    setup((za_spawn_opts_t){ 0 });
    go(b, TRAP, ZA_REF_NONE);
    world_go(&world, b, LINK, a);
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_run(&world);
    expect_exit(b, a, za_Reason_REASON_FAILED);
    za_runtime_destroy(world.runtime);
}

Test(link, two_that_link_to_each_other_hear_once)
{
    setup((za_spawn_opts_t){ 0 });
    go(b, TRAP, ZA_REF_NONE);
    world_go(&world, a, LINK, b); // both before either has heard of the other
    world_go(&world, b, LINK, a);
    world_run(&world);
    go(a, FAIL, ZA_REF_NONE);
    expect_exit(b, a, za_Reason_REASON_FAILED);
    za_runtime_destroy(world.runtime);
}

Test(link, unlinking_by_either_side_ends_it_for_both)
{
    for (int i = 0; i < 8; i++) {
        setup((za_spawn_opts_t){ 0 });
        go(i & 1 ? a : b, LINK, i & 1 ? b : a);
        go(i & 2 ? a : b, UNLINK, i & 2 ? b : a);
        go(i & 4 ? a : b, FAIL, ZA_REF_NONE);
        cr_assert(alive(i & 4 ? b : a), "case %d", i);
        za_runtime_destroy(world.runtime);
    }
}

// The end of b stands behind the unlink in the mailbox of a.
Test(link, an_exit_that_was_queued_is_not_delivered_after_unlink)
{
    setup((za_spawn_opts_t){ 0 });
    go(a, LINK, b);
    world_go(&world, b, FAIL, ZA_REF_NONE);
    world_go(&world, a, UNLINK, b);
    world_run(&world);
    cr_assert(!alive(b) && alive(a), "it was not linked any more");
    za_runtime_destroy(world.runtime);
}

Test(link, a_link_made_anew_is_told_of_the_new_end_only)
{
    setup((za_spawn_opts_t){ .max_restarts = 5 });
    go(b, TRAP, ZA_REF_NONE);
    go(b, LINK, a);
    for (int i = 0; i < 3; i++) {
        go(b, RELINK, a);
    }
    go(a, FAIL, ZA_REF_NONE);
    expect_exit(b, a, za_Reason_REASON_FAILED);
    go(a, FAIL, ZA_REF_NONE);
    expect_exit(b, a, za_Reason_REASON_FAILED); // still one: it is not linked any more
    za_runtime_destroy(world.runtime);
}

Test(link, odd_arguments_are_answered)
{
    setup((za_spawn_opts_t){ 0 });
    go(a, LINK_ODD, ZA_REF_NONE);
    go(a, EXIT_ODD, b);
    cr_assert(alive(a) && alive(b), "nothing happened");
    za_runtime_destroy(world.runtime);
}

/* ---- za_exit ------------------------------------------------------------------------------ */

Test(link, an_exit_without_link_does_what_a_link_does)
{
    setup((za_spawn_opts_t){ 0 });
    go(a, EXIT_STOPPED, b);
    cr_assert(alive(b), "an ordinary end is nothing");
    go(a, EXIT_FAILED, b);
    cr_assert(!alive(b), "a failure is");
    go(c, TRAP, ZA_REF_NONE);
    go(a, EXIT_FAILED, c);
    expect_exit(c, a, za_Reason_REASON_FAILED);
    za_runtime_destroy(world.runtime);
}

Test(link, a_kill_cannot_be_trapped_but_what_it_does_to_others_can)
{
    setup((za_spawn_opts_t){ 0 });
    go(b, TRAP, ZA_REF_NONE);
    go(c, TRAP, ZA_REF_NONE);
    go(b, LINK, c);
    go(a, EXIT_KILLED, b);
    cr_assert(!alive(b) && world_count('E', b.actor) == 0, "killed");
    cr_assert(alive(c), "and its fellow knows");
    expect_exit(c, b, za_Reason_REASON_KILLED);
    za_runtime_destroy(world.runtime);
}

Test(link, an_exit_needs_no_room_in_the_mailbox)
{
    setup((za_spawn_opts_t){ .mailbox = 1 });
    cr_assert(world_tell(&world, b, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "full");
    world_go(&world, a, EXIT_FAILED, b);
    world_run(&world);
    cr_assert(!alive(b), "it came");
    za_runtime_destroy(world.runtime);
}

/* ---- at random ---------------------------------------------------------------------------- */

enum { ACTORS = 12, STEPS = 4000 };

// All trap, so that nobody ends unasked. After each end every linked one has heard of it once.
Test(link, each_link_tells_each_side_once)
{
    world_init(&world, (za_runtime_config_t){ .workers = 2 });
    world_behave = behave;
    za_rng_t rng;
    za_rng_init(&rng, 11);
    za_ref_t refs[ACTORS];
    bool linked[ACTORS][ACTORS] = { { false } };
    for (int i = 0; i < ACTORS; i++) {
        refs[i] = spawn((za_spawn_opts_t){ 0 });
        go(refs[i], TRAP, ZA_REF_NONE);
    }
    for (int step = 0; step < STEPS; step++) {
        world_log_count = 0;
        uint32_t i = (uint32_t)za_rng_below(&rng, ACTORS);
        uint32_t k = (i + 1 + (uint32_t)za_rng_below(&rng, ACTORS - 1)) % ACTORS;
        uint64_t op = za_rng_below(&rng, 8);
        if (op < 4) {
            go(refs[i], LINK, refs[k]);
            linked[i][k] = linked[k][i] = true;
        } else if (op < 6) {
            go(refs[i], UNLINK, refs[k]);
            linked[i][k] = linked[k][i] = false;
        } else {
            go(refs[i], op == 6 ? FAIL : STOP, ZA_REF_NONE);
            for (uint32_t other = 0; other < ACTORS; other++) {
                cr_assert(world_count('E', refs[other].actor) == linked[i][other], "step %d", step);
                linked[i][other] = linked[other][i] = false;
            }
            refs[i] = spawn((za_spawn_opts_t){ 0 });
            go(refs[i], TRAP, ZA_REF_NONE);
            continue;
        }
        cr_assert(world_count('E', 0) == 0, "step %d: nobody ended", step);
    }
    za_runtime_destroy(world.runtime);
}

/* ---- other nodes -------------------------------------------------------------------------- */

static struct {
    uint32_t links, unlinks, downs;
    uint64_t id;
    za_ref_t whom;
    za_Reason reason;
} hook;

static za_err_t link_answer;

static za_err_t on_link(void *context, za_worker_t *worker, za_ref_t maker, uint64_t link_id,
                        za_ref_t target)
{
    (void)context;
    (void)worker;
    (void)maker;
    hook.links++;
    hook.id = link_id;
    hook.whom = target;
    return link_answer;
}

static void on_unlink(void *context, za_worker_t *worker, za_ref_t maker, uint64_t link_id,
                      za_ref_t target, za_Reason reason)
{
    (void)context;
    (void)worker;
    (void)maker;
    cr_assert(link_id == hook.id && za_ref_equal(target, hook.whom), "of that link");
    hook.unlinks++;
    hook.reason = reason;
}

static void on_link_down(void *context, za_worker_t *worker, za_ref_t watcher, uint64_t watch_id,
                         za_ref_t target, za_Reason reason)
{
    (void)context;
    (void)worker;
    (void)target;
    cr_assert(watch_id == 7 && watcher.node == 0xbeef, "whom");
    hook.downs++;
    hook.reason = reason;
}

static const za_ref_t FAR = { 0xbeef, 77 };

static void setup_far(void)
{
    static const za_remote_t remote = { .link = on_link,
                                        .unlink = on_unlink,
                                        .down = on_link_down };
    memset(&hook, 0, sizeof hook);
    link_answer = ZA_OK;
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    world_behave = behave;
    a = spawn((za_spawn_opts_t){ 0 });
    world_run(&world);
}

Test(link, a_link_to_another_node_is_asked_for_and_ended_there)
{
    setup_far();
    go(a, LINK, FAR);
    cr_assert(hook.links == 1 && za_ref_equal(hook.whom, FAR), "asked for once");
    go(a, FAIL, ZA_REF_NONE);
    cr_assert(hook.unlinks == 1 && hook.reason == za_Reason_REASON_FAILED, "and told why");
    za_runtime_destroy(world.runtime);
}

Test(link, a_link_that_the_node_refuses_is_none)
{
    setup_far();
    world_behave = NULL;
    link_answer = ZA_ENOBUFS;
    go(a, LINK, FAR);
    world_behave = behave;
    link_answer = ZA_OK;
    go(a, LINK, FAR);
    cr_assert(hook.links == 1, "not linked by the first");
    za_runtime_destroy(world.runtime);
}

Test(link, the_end_of_a_far_actor_is_an_exit)
{
    setup_far();
    go(a, TRAP, ZA_REF_NONE);
    go(a, LINK, FAR);
    za_runtime_exit(world.guest, a.actor, FAR, hook.id + 1, za_Reason_REASON_FAILED);
    world_run(&world);
    cr_assert(world_count('E', a.actor) == 0, "not of this link");
    for (int i = 0; i < 2; i++) {
        za_runtime_exit(world.guest, a.actor, FAR, hook.id, za_Reason_REASON_NODE_DOWN);
        world_run(&world);
        expect_exit(a, FAR, za_Reason_REASON_NODE_DOWN);
    }
    go(a, STOP, ZA_REF_NONE);
    cr_assert(hook.unlinks == 0, "there is nobody to be told");
    za_runtime_destroy(world.runtime);
}

Test(link, a_link_from_another_node_is_ended_there_too)
{
    setup_far();
    cr_assert(za_runtime_link(world.guest, FAR, 7, a.actor) == ZA_OK, "linked");
    world_run(&world);
    go(a, LINK, FAR);
    cr_assert(hook.links == 0, "it is linked already");
    go(a, FAIL, ZA_REF_NONE);
    cr_assert(hook.downs == 1 && hook.reason == za_Reason_REASON_FAILED, "told");
    cr_assert(za_runtime_link(world.guest, FAR, 7, a.actor) == ZA_OK, "to what has ended");
    world_run(&world);
    cr_assert(hook.downs == 2 && hook.reason == za_Reason_REASON_NO_ACTOR, "told at once");
    za_runtime_destroy(world.runtime);
}

Test(link, unlinking_tells_the_other_node_without_a_reason)
{
    setup_far();
    cr_assert(za_runtime_link(world.guest, FAR, 7, a.actor) == ZA_OK, "linked");
    world_run(&world);
    go(a, UNLINK, FAR);
    cr_assert(hook.downs == 1 && hook.reason == za_Reason_REASON_NONE, "theirs");
    go(a, LINK_AND_UNLINK, FAR);
    cr_assert(hook.unlinks == 1 && hook.reason == za_Reason_REASON_NONE, "ours");
    go(a, LINK, FAR);
    za_runtime_exit(world.guest, a.actor, FAR, hook.id, za_Reason_REASON_NONE);
    world_run(&world);
    go(a, FAIL, ZA_REF_NONE);
    cr_assert(hook.unlinks == 1, "the far side unlinked: it is told nothing");
    za_runtime_destroy(world.runtime);
}

static void deliver_signal(uint32_t reason)
{
    za_ExitSignal signal = { .reason = reason };
    za_message_t *message = za_message_alloc(world.guest, 16);
    size_t size = 0;
    cr_assert(message != NULL, "a block");
    cr_assert(za_ExitSignal_type.encode(&signal, za_message_body(message), 16, &size) == ZA_OK, "");
    za_incoming_t in = {
        .actor = a.actor, .sender = FAR, .type_id = za_ExitSignal_type.id, .from_uid = FAR.node
    };
    za_runtime_deliver(world.guest, &in, message, size);
    world_run(&world);
}

Test(link, an_exit_from_another_node_is_checked_and_obeyed)
{
    setup_far();
    deliver_signal(99);
    deliver_signal(0);
    cr_assert(alive(a), "no such reason");
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_BAD_MESSAGE] == 2, "counted");
    go(a, TRAP, ZA_REF_NONE);
    deliver_signal(za_Reason_REASON_FAILED);
    expect_exit(a, FAR, za_Reason_REASON_FAILED);
    deliver_signal(za_Reason_REASON_KILLED);
    cr_assert(!alive(a), "killed");
    deliver_signal(za_Reason_REASON_FAILED);
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_NO_ACTOR] == 1, "too late");
    za_runtime_destroy(world.runtime);
}
