#include "core/worker.h"
#include "world.h"

static world_t world;
static za_ref_t a, b;

enum { ASK = 1, KEEP = 2, RELEASE = 3, ASK_LONG = 4, FAIL = 5, CHAIN = 6 };

static za_message_t *kept;
static uint64_t mode; // of b

static za_verdict_t ask_around(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    bool is_a = za_self(ctx).actor == a.actor;
    if (event->kind == 'G' && event->n == ASK) {
        za_err_t err = za_ask(ctx, event->ref, ZA_MSG(t_Num, .n = 1), .timeout_ms = 50, .tag = 7);
        cr_assert(err == ZA_OK, "ask: %s", za_err_name(err));
    } else if (event->kind == 'G' && event->n == RELEASE) {
        za_release(ctx, &kept);
    } else if (event->kind == 'N' && !is_a && mode == KEEP) {
        kept = za_keep(ctx);
    } else if (event->kind == 'N' && !is_a && mode == FAIL) {
        return ZA_FAIL;
    } else if (event->kind == 'N' && !is_a && mode == ASK_LONG) {
        za_reply(ctx, ZA_MSG(t_Num, .n = 8));
    } else if (event->kind == 'G' && event->n == ASK_LONG) {
        za_reply_kept(ctx, &kept, ZA_MSG(t_Num, .n = 9));
    }
    return ZA_DONE;
}

static void setup(uint64_t how)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = ask_around;
    mode = how;
    a = world_spawn(&world);
    b = world_spawn(&world);
    world_run(&world);
}

/** Exactly one outcome, however long one waits. */
static const event_t *only_outcome(void)
{
    world_advance(&world, 200);
    size_t count =
        world_count('N', a.actor) + world_count('D', a.actor) + world_count('T', a.actor);
    cr_assert(count == 1, "%zu outcomes", count);
    const event_t *event = world_nth('N', a.actor, 0);
    event = event != NULL ? event : world_nth('D', a.actor, 0);
    return event != NULL ? event : world_nth('T', a.actor, 0);
}

Test(ask, is_answered_once)
{
    setup(ASK_LONG);
    world_go(&world, a, ASK, b);
    const event_t *event = only_outcome();
    cr_assert(event->kind == 'N' && event->n == 8 && event->tag == 7, "the reply with its tag");
    za_runtime_destroy(world.runtime);
}

Test(ask, times_out_once)
{
    setup(KEEP);
    world_go(&world, a, ASK, b);
    world_advance(&world, 49);
    cr_assert(world_count('T', 0) == 0, "not before its time");
    const event_t *event = only_outcome();
    cr_assert(event->kind == 'T' && event->tag == 7, "timeout");
    world_go(&world, b, ASK_LONG, ZA_REF_NONE); // a late answer
    only_outcome();
    cr_assert(world_counters(&world).late_replies == 1, "the late answer is counted");
    cr_assert(world_counters(&world).timeouts == 1, "and the timeout");
    za_runtime_destroy(world.runtime);
}

Test(ask, that_is_dropped_fails_at_once)
{
    setup(0);
    world_go(&world, a, ASK, b);
    world_run(&world);
    const event_t *event = world_nth('D', a.actor, 0);
    cr_assert(event != NULL && event->reason == za_Reason_REASON_NO_ANSWER, "at once");
    cr_assert(event->tag == 7 && za_ref_equal(event->ref, b), "tag and target");
    only_outcome();
    za_runtime_destroy(world.runtime);
}

Test(ask, that_is_released_fails_at_once)
{
    setup(KEEP);
    world_go(&world, a, ASK, b);
    world_run(&world);
    world_go(&world, b, RELEASE, ZA_REF_NONE);
    world_run(&world);
    const event_t *event = only_outcome();
    cr_assert(event->kind == 'D' && event->reason == za_Reason_REASON_NO_ANSWER, "no answer");
    za_runtime_destroy(world.runtime);
}

Test(ask, of_a_failing_handler_fails)
{
    setup(FAIL);
    world_go(&world, a, ASK, b);
    const event_t *event = only_outcome();
    cr_assert(event->kind == 'D' && event->reason == za_Reason_REASON_FAILED, "failed");
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_FAILED] == 1, "dead letter");
    za_runtime_destroy(world.runtime);
}

Test(ask, queued_at_an_actor_that_stops_fails)
{
    setup(KEEP);
    world_go(&world, a, ASK, b);
    // The command overtakes the ask, which then finds nobody.
    za_worker_turn(za_runtime_worker(world.runtime, 0), world.now_ns);
    za_runtime_stop_actor(world.guest, b.actor, za_Reason_REASON_STOPPED);
    const event_t *event = only_outcome();
    cr_assert(event->kind == 'D', "fails");
    za_runtime_destroy(world.runtime);
}

Test(ask, held_by_an_actor_that_stops_fails)
{
    setup(KEEP);
    world_go(&world, a, ASK, b);
    world_run(&world);
    za_runtime_stop_actor(world.guest, b.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    const event_t *event = world_nth('D', a.actor, 0);
    cr_assert(event != NULL && event->reason == za_Reason_REASON_NO_ANSWER, "at once");
    only_outcome();
    za_runtime_destroy(world.runtime);
}

static za_verdict_t ask_badly(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        cr_assert(za_ask(ctx, b, ZA_MSG(t_Num, .n = 1), .tag = 1) == ZA_EINVAL, "no timeout");
        za_ref_t gone = { 0, b.actor + (UINT64_C(1) << 28) };
        cr_assert(za_ask(ctx, gone, ZA_MSG(t_Num, .n = 1), .timeout_ms = 9) == ZA_EGONE, "gone");
        za_ref_t away = { 3, 4 };
        cr_assert(za_ask(ctx, away, ZA_MSG(t_Num, .n = 1), .timeout_ms = 9) == ZA_ENOROUTE,
                  "no route");
        void *message = za_new(ctx, &t_Num_type, 0);
        const za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = 10, .tag = 2 };
        cr_assert(za_ask_send(ctx, gone, &message, &opts) == ZA_EGONE && message != NULL, "ours");
        cr_assert(za_ask_send(ctx, b, &message, &opts) == ZA_OK && message == NULL, "moved");
    }
    return ZA_DONE;
}

Test(ask, that_was_refused_has_no_outcome)
{
    setup(0);
    world_behave = ask_badly;
    world_go(&world, a, 0, ZA_REF_NONE);
    world_advance(&world, 100);
    cr_assert(world_count('D', a.actor) == 1, "the one that was accepted");
    cr_assert(world_nth('D', a.actor, 0)->tag == 2, "tag");
    cr_assert(world_count('T', a.actor) == 0, "no other");
    za_runtime_destroy(world.runtime);
}

/* ---- deadlines ---------------------------------------------------------------------------- */

static za_ref_t third;

static za_verdict_t chain(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    uint64_t id = za_self(ctx).actor;
    if (event->kind == 'G' && id == a.actor) {
        cr_assert(za_ask(ctx, b, ZA_MSG(t_Num, .n = 1), .timeout_ms = 20, .tag = 1) == ZA_OK,
                  "ask");
    } else if (event->kind == 'N' && id == b.actor) {
        kept = za_keep(ctx);
        cr_assert(za_ask(ctx, third, ZA_MSG(t_Num, .n = 1), .timeout_ms = 1000, .tag = 2) == ZA_OK,
                  "ask on");
    } else if (event->kind == 'N' && id == third.actor) {
        (void)!za_keep(ctx);
    }
    return ZA_DONE;
}

Test(ask, inherits_the_deadline_of_the_ask_being_handled)
{
    setup(0);
    world_behave = chain;
    third = world_spawn(&world);
    world_go(&world, a, 0, ZA_REF_NONE);
    world_advance(&world, 25);
    cr_assert(world_count('T', b.actor) == 1, "20 ms, not 1000");
    cr_assert(world_count('T', a.actor) == 1, "and the first");
    za_runtime_destroy(world.runtime);
}

Test(ask, that_comes_too_late_is_not_handled)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    // b is suspended by its backoff while the ask waits in its mailbox.
    a = world_spawn(&world);
    b = world_spawn_opts(
        &world, (za_spawn_opts_t){ .max_restarts = 5, .backoff_min_ms = 50, .within_ms = 1000 });
    world_run(&world);
    mode = FAIL;
    world_behave = ask_around;
    cr_assert(world_tell(&world, b, ZA_MSG(t_Num, .n = 0)) == ZA_OK, "fails");
    world_run(&world);
    mode = 0;
    world_go(&world, a, ASK, b); // 50 ms
    size_t before = world_count('N', b.actor);
    world_advance(&world, 24);
    world.now_ns += 100000000;
    world_run(&world);
    cr_assert(world_count('T', a.actor) == 1, "the asker has its timeout");
    size_t handled = world_count('N', b.actor) - before;
    uint64_t late_count = world_counters(&world).dead_by_reason[za_Reason_REASON_TOO_LATE];
    cr_assert(handled + late_count == 1, "%zu handled, %d late", handled, (int)late_count);
    cr_assert(late_count == 1, "not handled but counted");
    only_outcome();
    za_runtime_destroy(world.runtime);
}

/** t_Go: asks `ref` with a moved message, for 50 ms. t_Num 0: fails. */
static za_verdict_t ask_by_move(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        void *message = za_new(ctx, &t_Num_type, 0);
        ((t_Num *)message)->n = 1;
        const za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = 50 };
        cr_assert(za_ask_send(ctx, event->ref, &message, &opts) == ZA_OK, "moved");
    }
    return event->kind == 'N' && event->n == 0 ? ZA_FAIL : ZA_DONE;
}

// In debug builds a moved message has a sum, whose mark must not be taken for that of a sample.
Test(ask, that_was_moved_and_comes_too_late_is_not_handled_either)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = world_spawn(&world);
    b = world_spawn_opts(
        &world, (za_spawn_opts_t){ .max_restarts = 5, .backoff_min_ms = 50, .within_ms = 1000 });
    world_behave = ask_by_move;
    cr_assert(world_tell(&world, b, ZA_MSG(t_Num, .n = 0)) == ZA_OK, "fails");
    world_run(&world);
    world_go(&world, a, 0, b);
    world_run(&world);
    world.now_ns += 100000000;
    world_run(&world);
    cr_assert(world_count('T', a.actor) == 1, "the asker has its timeout");
    cr_expect(world_count('N', b.actor) == 1, "nothing but what failed was handled");
    cr_expect(world_counters(&world).dead_by_reason[za_Reason_REASON_TOO_LATE] == 1, "counted");
    za_runtime_destroy(world.runtime);
}

/* ---- to other nodes ----------------------------------------------------------------------- */

static za_outgoing_t last_out;
static uint32_t flushes;

static za_err_t send_out(void *context, za_worker_t *worker, const za_outgoing_t *message)
{
    (void)context;
    (void)worker;
    last_out = *message;
    return ZA_OK;
}

static void flush_out(void *context, za_worker_t *worker)
{
    (void)context;
    (void)worker;
    flushes++;
}

Test(ask, towards_a_lost_node_fails)
{
    const za_remote_t remote = { .send = send_out, .flush = flush_out };
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    world_behave = ask_around;
    a = world_spawn(&world);
    world_go(&world, a, ASK, (za_ref_t){ 9, 1000 });
    world_run(&world);
    cr_assert(last_out.ask != 0 && last_out.deadline_ms != 0 && !last_out.reply, "it went out");
    cr_assert(flushes == 1, "with a flush at the end of the turn");
    za_runtime_fail_asks(world.guest, 8, za_Reason_REASON_LINK_LOST);
    world_run(&world);
    cr_assert(world_count('D', 0) == 0, "another node");
    za_runtime_fail_asks(world.guest, 9, za_Reason_REASON_LINK_LOST);
    world_run(&world);
    const event_t *event = only_outcome();
    cr_assert(event->kind == 'D' && event->reason == za_Reason_REASON_LINK_LOST, "lost");
    cr_assert(event->ref.node == 9, "names whom it asked");
    za_runtime_destroy(world.runtime);
}

Test(ask, is_answered_from_another_node)
{
    const za_remote_t remote = { .send = send_out };
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    world_behave = ask_around;
    a = world_spawn(&world);
    world_go(&world, a, ASK, (za_ref_t){ 9, 1000 });
    world_run(&world);
    for (int i = 0; i < 2; i++) { // the second one is a peer's mistake
        t_Num body = { .n = 33 };
        za_message_t *message = za_message_alloc(world.guest, sizeof body);
        memcpy(za_message_body(message), &body, sizeof body);
        za_incoming_t incoming = { .actor = a.actor,
                                   .sender = { 9, 1000 },
                                   .type_id = 101,
                                   .ask = last_out.ask,
                                   .reply = true,
                                   .from_uid = 9 };
        za_runtime_deliver(world.guest, &incoming, message, sizeof body);
    }
    const event_t *event = only_outcome();
    cr_assert(event->kind == 'N' && event->n == 33 && event->tag == 7, "the reply");
    cr_assert(world_counters(&world).late_replies == 1, "the mistake is counted");
    za_runtime_destroy(world.runtime);
}

/* ---- many asks to a node that is lost ------------------------------------------------------ */

enum { MANY = 500 };

static uint64_t asked_again;
static uint64_t fail_at; // the tag whose za_Down fails the actor; 0: none

static za_verdict_t ask_many(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') { // in turns to nodes 8 and 9
        for (uint64_t i = 1; i <= 2 * MANY; i++) {
            za_ref_t far = { 8 + i % 2, 1000 };
            za_err_t err = za_ask(ctx, far, ZA_MSG(t_Num, .n = 1), .timeout_ms = 50, .tag = i);
            cr_assert(err == ZA_OK, "ask: %s", za_err_name(err));
        }
    } else if (event->kind == 'D' && event->n == 0 && asked_again == 0) {
        za_err_t err = za_ask(ctx, event->ref, ZA_MSG(t_Num, .n = 1), .timeout_ms = 50, .tag = 1);
        cr_assert(err == ZA_OK, "again: %s", za_err_name(err));
        asked_again++;
    }
    return event->kind == 'D' && event->tag == fail_at ? ZA_FAIL : ZA_DONE;
}

static void setup_many(za_spawn_opts_t opts)
{
    const za_remote_t remote = { .send = send_out };
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    world_behave = ask_many;
    a = world_spawn_opts(&world, opts);
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
}

// Thousands of asks may be open to a node that is lost: each is looked at once, and fails in its turn.
Test(ask, many_to_a_lost_node_fail_in_one_pass)
{
    setup_many((za_spawn_opts_t){ 0 });
    uint64_t before = za_runtime_worker(world.runtime, 0)->looks;
    za_runtime_fail_asks(world.guest, 9, za_Reason_REASON_NODE_DOWN);
    world_run(&world);
    uint64_t looks = za_runtime_worker(world.runtime, 0)->looks - before;
    cr_assert(looks == 2 * MANY, "%llu looks", (unsigned long long)looks);
    cr_assert(world_count('D', 0) == MANY, "%zu failed", world_count('D', 0));
    for (size_t i = 0; i < MANY; i++) {
        cr_assert(world_nth('D', 0, i)->tag == 2 * i + 1, "in the order they were made");
    }
    za_runtime_destroy(world.runtime);
}

// A new ask may go to the node's next life, or wait for the next link: it is not lost with the old.
Test(ask, made_while_others_fail_stays_open)
{
    setup_many((za_spawn_opts_t){ 0 });
    za_runtime_fail_asks(world.guest, 9, za_Reason_REASON_LINK_LOST);
    world_run(&world);
    cr_assert(asked_again == 1 && world_count('D', 0) == MANY, "only the old ones fail");
    world_advance(&world, 60);
    cr_assert(world_count('D', 0) == MANY, "each once");
    cr_assert(world_count('T', 0) == MANY + 1, "the other node's and the new one time out");
    za_runtime_destroy(world.runtime);
}

Test(ask, lost_with_others_is_forgotten_by_an_actor_that_fails)
{
    fail_at = 5;
    setup_many((za_spawn_opts_t){ .max_restarts = 1 });
    za_runtime_fail_asks(world.guest, 9, za_Reason_REASON_NODE_DOWN);
    world_run(&world);
    cr_assert(world_count('D', 0) == 3, "tags 1, 3 and 5");
    cr_assert(world_count('S', 0) == 2, "and a new life");
    za_runtime_fail_asks(world.guest, 9, za_Reason_REASON_NODE_DOWN);
    za_runtime_fail_asks(world.guest, 8, za_Reason_REASON_NODE_DOWN);
    world_advance(&world, 60);
    cr_assert(world_count('D', 0) == 3 && world_count('T', 0) == 0, "without the old asks");
    za_runtime_destroy(world.runtime);
}

/* ---- an answer that cannot be handled ------------------------------------------------------ */

static za_verdict_t answer_strangely(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (za_self(ctx).actor == a.actor) {
        return ask_around(ctx, self, event);
    }
    if (event->kind == 'N') {
        za_reply(ctx, ZA_MSG(t_Unheard, .n = 1));
    }
    return ZA_DONE;
}

// The answer came, and its asker has no handler for it: an outcome all the same.
Test(ask, whose_answer_is_of_an_unknown_type_fails)
{
    setup(0);
    world_behave = answer_strangely;
    world_go(&world, a, ASK, b);
    const event_t *event = only_outcome();
    cr_assert(event->kind == 'D' && event->reason == za_Reason_REASON_BAD_MESSAGE, "failed");
    cr_assert(event->tag == 7 && za_ref_equal(event->ref, b), "tag and target");
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_BAD_MESSAGE] == 1, "counted");
    za_runtime_destroy(world.runtime);
}

Test(ask, whose_answer_cannot_be_decoded_fails)
{
    const za_remote_t remote = { .send = send_out };
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    world_behave = ask_around;
    a = world_spawn(&world);
    world_go(&world, a, ASK, (za_ref_t){ 9, 1000 });
    world_run(&world);
    za_message_t *message = za_message_alloc(world.guest, 3);
    memcpy(za_message_body(message), "bad", 3);
    const za_incoming_t incoming = { .actor = a.actor,
                                     .sender = { 9, 1000 },
                                     .type_id = 101,
                                     .ask = last_out.ask,
                                     .reply = true,
                                     .from_uid = 9 };
    za_runtime_deliver(world.guest, &incoming, message, 3);
    const event_t *event = only_outcome();
    cr_assert(event->kind == 'D' && event->reason == za_Reason_REASON_BAD_MESSAGE, "failed");
    za_runtime_destroy(world.runtime);
}
