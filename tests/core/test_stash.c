#include "core/worker.h"
#include "world.h"

static world_t world;
static za_ref_t a, b;
static uint64_t stashes; // handlers stash a Num while it is below this

enum { UNSTASH = 1, FAIL = 2, STOP = 3, ASK_A = 4, UNSTASH_AND_FAIL = 5, AGAIN = 6, KEEP = 7 };

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && event->self == a.actor) {
        return event->n < stashes ? ZA_STASH : ZA_DONE;
    }
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    switch (event->n) {
    case UNSTASH:
        stashes = 0;
        za_unstash_all(ctx);
        break;
    case UNSTASH_AND_FAIL:
        stashes = 0;
        za_unstash_all(ctx);
        return ZA_FAIL;
    case FAIL:
        return ZA_FAIL;
    case STOP:
        return ZA_STOP;
    case ASK_A:
        cr_assert(za_ask(ctx, a, ZA_MSG(t_Num, .n = 5), .timeout_ms = 100, .tag = 77) == ZA_OK, "");
        break;
    case AGAIN: // and stash it all once more
        za_unstash_all(ctx);
        break;
    case KEEP:
        cr_assert(za_keep(ctx) != NULL, "keep");
        return ZA_STASH;
    default:
        break;
    }
    return ZA_DONE;
}

static void setup(za_spawn_opts_t opts)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = behave;
    stashes = 100;
    a = world_spawn_opts(&world, opts);
    b = world_spawn(&world);
    world_run(&world);
}

static void num(uint64_t n)
{
    za_err_t err = world_tell(&world, a, ZA_MSG(t_Num, .n = n));
    cr_assert(err == ZA_OK, "tell: %s", za_err_name(err));
}

static uint64_t dead(za_Reason reason)
{
    return world_counters(&world).dead_by_reason[reason];
}

/** The n of the messages that `a` was handed, from the nth on. */
static void expect_nums(size_t from, const uint64_t *nums, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const event_t *event = world_nth('N', a.actor, from + i);
        cr_assert(event != NULL && event->n == nums[i], "at %zu: %d", from + i,
                  event == NULL ? -1 : (int)event->n);
    }
    cr_assert(world_count('N', a.actor) == from + count, "%zu", world_count('N', a.actor));
}

/* ---- order -------------------------------------------------------------------------------- */

Test(stash, what_is_unstashed_comes_before_the_mailbox_in_its_order)
{
    setup((za_spawn_opts_t){ 0 });
    num(1);
    num(2);
    num(3);
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    num(200);
    num(201);
    world_run(&world);
    expect_nums(3, (const uint64_t[]){ 1, 2, 3, 200, 201 }, 5);
    za_runtime_destroy(world.runtime);
}

Test(stash, what_is_stashed_again_stays_in_its_order)
{
    setup((za_spawn_opts_t){ 0 });
    num(1);
    num(2);
    num(3);
    world_go(&world, a, AGAIN, ZA_REF_NONE);
    world_go(&world, a, AGAIN, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    world_run(&world);
    expect_nums(0, (const uint64_t[]){ 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3 }, 12);
    za_runtime_destroy(world.runtime);
}

/** Nums below `stashes` are put aside; 10 lets them in. */
static za_verdict_t open_with_ten(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && event->n == 10) {
        stashes = 0;
        za_unstash_all(ctx);
    }
    return event->kind == 'N' && event->n < stashes ? ZA_STASH : ZA_DONE;
}

// Short messages of one type are handled in a row, without a look at the actor between them.
Test(stash, what_is_unstashed_comes_before_the_rest_of_a_row)
{
    setup((za_spawn_opts_t){ 0 });
    world_behave = open_with_ten;
    stashes = 5;
    za_runtime_worker(world.runtime, 0)->brisk = true;
    num(1);
    num(2);
    num(10);
    num(20);
    num(21);
    num(22);
    world_run(&world);
    expect_nums(2, (const uint64_t[]){ 10, 1, 2, 20, 21, 22 }, 6);
    za_runtime_destroy(world.runtime);
}

static za_verdict_t open_in_the_middle(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && world_count('N', a.actor) <= 3) {
        return ZA_STASH; // 1 2 3 at first
    }
    if (event->kind == 'N' && world_count('N', a.actor) == 4) {
        return ZA_STASH; // 1 again
    }
    if (event->kind == 'N' && world_count('N', a.actor) == 5) {
        za_unstash_all(ctx); // by 2: 1 goes ahead of 3
    }
    if (event->kind == 'G') {
        za_unstash_all(ctx);
    }
    return ZA_DONE;
}

Test(stash, unstashing_while_replaying_keeps_the_older_first)
{
    setup((za_spawn_opts_t){ 0 });
    world_behave = open_in_the_middle;
    num(1);
    num(2);
    num(3);
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    expect_nums(3, (const uint64_t[]){ 1, 2, 1, 3 }, 4);
    za_runtime_destroy(world.runtime);
}

static za_verdict_t spin(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && event->self == a.actor && world_count('N', b.actor) == 0) {
        za_unstash_all(ctx);
        return ZA_STASH;
    }
    return ZA_DONE;
}

// An actor that does nothing but stash and unstash is a user's mistake, not a reason to starve.
Test(stash, replaying_is_fair_to_other_actors)
{
    setup((za_spawn_opts_t){ 0 });
    world_behave = spin;
    num(1);
    num(2);
    cr_assert(world_tell(&world, b, ZA_MSG(t_Num, .n = 9)) == ZA_OK, "tell");
    world_run(&world);
    cr_assert(world_count('N', b.actor) == 1, "the other had its turn");
    za_runtime_destroy(world.runtime);
}

/* ---- what a stashed message keeps --------------------------------------------------------- */

static za_verdict_t answer(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind == 'N' && event->self == a.actor && event->n >= stashes) {
        za_reply(ctx, ZA_MSG(t_Num, .n = 500 + event->n));
        return ZA_DONE;
    }
    return behave(ctx, self, event);
}

Test(stash, a_stashed_message_keeps_its_sender_and_ask)
{
    setup((za_spawn_opts_t){ 0 });
    world_behave = answer;
    world_go(&world, b, ASK_A, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 1 && world_count('N', b.actor) == 0, "put aside");
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_nth('N', a.actor, 1)->sender.actor == b.actor, "its sender");
    const event_t *reply = world_nth('N', b.actor, 0);
    cr_assert(reply != NULL && reply->n == 505 && reply->tag == 77, "its ask");
    world_advance(&world, 200);
    cr_assert(world_count('T', b.actor) == 0 && world_count('D', b.actor) == 0, "and nothing else");
    za_runtime_destroy(world.runtime);
}

static const void *body_before;

static za_verdict_t compare_bodies(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && body_before == NULL) {
        body_before = event->body;
        return ZA_STASH;
    }
    if (event->kind == 'N') {
        cr_assert(event->body == body_before, "the same block");
    }
    za_unstash_all(ctx);
    return ZA_DONE;
}

Test(stash, a_stashed_message_keeps_its_block)
{
    setup((za_spawn_opts_t){ 0 });
    world_behave = compare_bodies;
    num(1);
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 2, "twice");
    za_runtime_destroy(world.runtime);
}

Test(stash, a_stashed_ask_past_its_deadline_is_too_late)
{
    setup((za_spawn_opts_t){ 0 });
    world_go(&world, b, ASK_A, ZA_REF_NONE);
    world_advance(&world, 150);
    cr_assert(world_count('T', b.actor) == 1, "the asker gave up");
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 1, "not handled");
    cr_assert(dead(za_Reason_REASON_TOO_LATE) == 1, "counted");
    cr_assert(world_count('D', b.actor) == 0, "told once");
    za_runtime_destroy(world.runtime);
}

static uint64_t kinds_left; // how many of a's notifications are stashed yet

static za_verdict_t stash_notices(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->self != a.actor) {
        if (event->kind == 'N') {
            za_reply(ctx, ZA_MSG(t_Num, .n = 1));
        }
        return event->kind == 'G' ? ZA_STOP : ZA_DONE;
    }
    if (event->kind == 'G' && event->n == UNSTASH) {
        za_unstash_all(ctx);
        return ZA_DONE;
    }
    if (event->kind == 'G') {
        cr_assert(za_after(ctx, 10, ZA_MSG(t_Text, .n = 10), NULL) == ZA_OK, "timer");
        cr_assert(za_watch(ctx, b) == ZA_OK, "watch");
        cr_assert(za_ask(ctx, b, ZA_MSG(t_Num, .n = 1), .timeout_ms = 50, .tag = 8) == ZA_OK, "");
        return ZA_DONE;
    }
    if (kinds_left > 0 && event->kind != 'S') {
        kinds_left--;
        return ZA_STASH;
    }
    return ZA_DONE;
}

Test(stash, notifications_timers_and_answers_can_be_stashed_too)
{
    setup((za_spawn_opts_t){ 0 });
    world_behave = stash_notices;
    kinds_left = 3;
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);         // the answer
    world_advance(&world, 20); // the timer
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_run(&world); // the end of b
    cr_assert(kinds_left == 0, "all three were put aside");
    world_log_count = 0;
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_log_count == 4, "%zu", world_log_count);
    cr_assert(world_log[1].kind == 'N' && world_log[1].tag == 8, "the answer, with its tag");
    cr_assert(world_log[1].sender.actor == b.actor, "and its sender");
    cr_assert(world_log[2].kind == 'B' && world_log[2].n == 10, "the timer");
    cr_assert(world_log[3].kind == 'D' && world_log[3].ref.actor == b.actor, "the end");
    za_runtime_destroy(world.runtime);
}

/* ---- the bound ---------------------------------------------------------------------------- */

Test(stash, beyond_its_bound_messages_are_dead_letters)
{
    setup((za_spawn_opts_t){ .stash = 2 });
    for (uint64_t n = 1; n <= 5; n++) {
        num(n);
    }
    world_run(&world);
    cr_assert(dead(za_Reason_REASON_STASH_FULL) == 3, "three too many");
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    world_run(&world);
    expect_nums(5, (const uint64_t[]){ 1, 2 }, 2);
    za_runtime_destroy(world.runtime);
}

Test(stash, an_ask_beyond_the_bound_fails_at_once)
{
    setup((za_spawn_opts_t){ .stash = 1 });
    num(1);
    world_go(&world, b, ASK_A, ZA_REF_NONE);
    world_run(&world);
    const event_t *down = world_nth('D', b.actor, 0);
    cr_assert(down != NULL && down->reason == za_Reason_REASON_STASH_FULL && down->tag == 77, "");
    world_advance(&world, 200);
    cr_assert(world_count('T', b.actor) == 0, "once");
    za_runtime_destroy(world.runtime);
}

Test(stash, room_is_made_by_unstashing)
{
    setup((za_spawn_opts_t){ .stash = 2 });
    for (uint64_t round = 0; round < 3; round++) {
        stashes = 100;
        num(1);
        num(2);
        world_go(&world, a, UNSTASH, ZA_REF_NONE);
        world_run(&world);
    }
    cr_assert(dead(za_Reason_REASON_STASH_FULL) == 0, "never full");
    za_runtime_destroy(world.runtime);
}

// What is stashed does not fill the mailbox: it has a bound of its own.
Test(stash, stashed_messages_leave_the_mailbox)
{
    setup((za_spawn_opts_t){ .mailbox = 2 });
    for (uint64_t n = 1; n <= 6; n++) {
        num(n);
        world_run(&world);
    }
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    world_run(&world);
    expect_nums(6, (const uint64_t[]){ 1, 2, 3, 4, 5, 6 }, 6);
    za_runtime_destroy(world.runtime);
}

/* ---- ends --------------------------------------------------------------------------------- */

Test(stash, a_stop_makes_dead_letters_of_it_and_fails_its_asks)
{
    setup((za_spawn_opts_t){ 0 });
    num(1);
    world_go(&world, b, ASK_A, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, a, STOP, ZA_REF_NONE);
    world_run(&world);
    cr_assert(dead(za_Reason_REASON_NO_ACTOR) == 2, "both");
    const event_t *down = world_nth('D', b.actor, 0);
    cr_assert(down != NULL && down->reason == za_Reason_REASON_NO_ACTOR && down->tag == 77, "");
    za_runtime_destroy(world.runtime);
}

Test(stash, a_restart_makes_dead_letters_of_it_and_fails_its_asks)
{
    setup((za_spawn_opts_t){ .max_restarts = 3 });
    num(1);
    world_go(&world, b, ASK_A, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, a, FAIL, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('S', a.actor) == 2, "restarted");
    cr_assert(dead(za_Reason_REASON_NO_ANSWER) == 2, "both");
    const event_t *down = world_nth('D', b.actor, 0);
    cr_assert(down != NULL && down->reason == za_Reason_REASON_NO_ANSWER && down->tag == 77, "");
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    world_run(&world);
    expect_nums(2, NULL, 0);
    za_runtime_destroy(world.runtime);
}

Test(stash, what_was_unstashed_survives_a_restart_like_the_mailbox)
{
    setup((za_spawn_opts_t){ .max_restarts = 3, .backoff_min_ms = 10 });
    num(1);
    num(2);
    world_go(&world, a, UNSTASH_AND_FAIL, ZA_REF_NONE);
    num(200);
    world_advance(&world, 20);
    cr_assert(world_count('S', a.actor) == 2, "restarted");
    expect_nums(2, (const uint64_t[]){ 1, 2, 200 }, 3);
    za_runtime_destroy(world.runtime);
}

Test(stash, a_stop_overtakes_what_is_replayed)
{
    setup((za_spawn_opts_t){ 0 });
    for (uint64_t n = 0; n < 50; n++) {
        num(n);
    }
    world_run(&world);
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 50, "none again");
    cr_assert(world_counters(&world).actors == 1, "it ended");
    za_runtime_destroy(world.runtime);
}

Test(stash, a_kept_message_cannot_be_stashed)
{
    setup((za_spawn_opts_t){ 0 });
    world_go(&world, a, KEEP, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_counters(&world).failed == 1, "the actor failed");
    cr_assert(world_counters(&world).actors == 1, "and ended");
    za_runtime_destroy(world.runtime);
}

Test(stash, unstashing_nothing_does_nothing)
{
    setup((za_spawn_opts_t){ 0 });
    za_unstash_all(NULL);
    world_go(&world, a, UNSTASH, ZA_REF_NONE); // nothing there
    world_run(&world);
    cr_assert(world_count('G', a.actor) == 1 && world_counters(&world).actors == 2, "nothing");
    za_runtime_destroy(world.runtime);
}

/* ---- from another node -------------------------------------------------------------------- */

static uint32_t remote_failed;
static za_Reason remote_reason;

static void on_ask_failed(void *context, za_worker_t *worker, za_ref_t asker, uint64_t ask,
                          za_Reason reason)
{
    (void)context;
    (void)worker;
    cr_assert(asker.node == 0xbeef && ask == 9, "whom");
    remote_failed++;
    remote_reason = reason;
}

Test(stash, messages_of_other_nodes_can_be_stashed)
{
    const za_remote_t remote = { .ask_failed = on_ask_failed };
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    world_behave = behave;
    stashes = 100;
    a = world_spawn(&world);
    za_incoming_t in = { .actor = a.actor,
                         .sender = { 0xbeef, 77 },
                         .type_id = t_Num_type.id,
                         .ask = 9,
                         .from_uid = 0xbeef };
    za_message_t *message = za_message_alloc(world.guest, sizeof(t_Num));
    cr_assert(message != NULL, "a block");
    *(t_Num *)za_message_body(message) = (t_Num){ .n = 3 };
    za_runtime_deliver(world.guest, &in, message, sizeof(t_Num));
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 1 && remote_failed == 0, "put aside");
    world_go(&world, a, UNSTASH, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_nth('N', a.actor, 1)->sender.node == 0xbeef, "its sender");
    cr_assert(remote_failed == 1 && remote_reason == za_Reason_REASON_NO_ANSWER, "its ask");
    za_runtime_destroy(world.runtime);
}
