// Bad input: every call says what was wrong, nothing is sent, taken or lost, and the actor goes on.
#include "base/limits.h"
#include "core/worker.h"
#include "world.h"

static world_t world;
static za_ref_t a, b;

static void begin(behave_fn *behave, za_runtime_config_t config)
{
    world_init(&world, config);
    world_behave = behave;
    a = world_spawn(&world);
    b = world_spawn(&world);
    world_run(&world);
}

/** Everything stops; what was refused left no block behind. */
static void end(void)
{
    za_runtime_stop_all(world.guest);
    world_run(&world);
    world_advance(&world, 100);
    cr_assert(world_counters(&world).actors == 0, "all have ended");
    cr_assert(za_pools_blocks_in_use(&world.runtime->pools) == 0, "nothing leaked");
    za_runtime_destroy(world.runtime);
}

/* ---- limits ------------------------------------------------------------------------------- */

static uint32_t spawned;
static za_err_t spawn_err;

static za_verdict_t spawn_without_end(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        za_ref_t child;
        do {
            spawn_err = za_spawn(ctx, probe, &child);
            spawned += spawn_err == ZA_OK;
        } while (spawn_err == ZA_OK && spawned < 1000);
    }
    return ZA_DONE;
}

Test(misuse, a_handler_that_spawns_without_end_hears_the_limit_and_goes_on)
{
    begin(spawn_without_end, (za_runtime_config_t){ .actors_max = 40 });
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    cr_assert(spawn_err == ZA_ENOBUFS, "%s", za_err_name(spawn_err));
    cr_assert(world_counters(&world).actors <= 40 && spawned > 0, "%d children", (int)spawned);
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "it lives");
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 1, "and goes on");
    end();
}

static za_verdict_t send_too_much(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    t_Text text = { .n = 1 }; // claims bytes that nobody will look at
    text.text.offset = sizeof text.text;
    text.text.size = ZA_MESSAGE_BYTES_MAX - (uint32_t)sizeof text + 1;
    const za_ask_opts_t ask = { .size = sizeof ask, .timeout_ms = 10 };
    cr_assert(za_tell(ctx, b, &t_Text_type, &text) == ZA_ETOOBIG, "tell");
    cr_assert(za_ask_with(ctx, b, &t_Text_type, &text, &ask) == ZA_ETOOBIG, "ask");
    cr_assert(za_after(ctx, 1, &t_Text_type, &text, NULL) == ZA_ETOOBIG, "after");
    cr_assert(za_every(ctx, 1, &t_Text_type, &text, NULL) == ZA_ETOOBIG, "every");
    cr_assert(za_new(ctx, &t_Text_type, ZA_MESSAGE_BYTES_MAX) == NULL, "new");
    cr_assert(za_new(ctx, &t_Text_type, SIZE_MAX) == NULL, "new, and the sum goes round");
    za_ref_t child;
    cr_assert(za_spawn(ctx, probe, &child, .args_type = &t_Text_type, .args = &text) == ZA_ETOOBIG,
              "spawn arguments");
    void *most = za_new(ctx, &t_Text_type, ZA_MESSAGE_BYTES_MAX - sizeof text);
    cr_assert(most != NULL && za_send(ctx, b, &most) == ZA_OK, "exactly the limit");
    return ZA_DONE;
}

Test(misuse, a_message_that_is_too_large_is_refused_by_each_call)
{
    begin(send_too_much, (za_runtime_config_t){ 0 });
    uint64_t sent = world_counters(&world).handled;
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    world_advance(&world, 20);
    cr_assert(world_counters(&world).handled == sent + 2, "the order, and the one that fits");
    cr_assert(world_count('B', b.actor) == 1 && world_count('T', 0) == 0, "nothing else came");
    t_Text text = { .n = 1,
                    .text = { .offset = sizeof(za_bytes_t), .size = ZA_MESSAGE_BYTES_MAX } };
    cr_assert(world_tell(&world, a, &t_Text_type, &text) == ZA_ETOOBIG, "from outside");
    end();
}

/* ---- references --------------------------------------------------------------------------- */

static za_err_t expected;

static za_verdict_t use_bad_reference(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    za_ref_t bad = event->ref;
    cr_assert(za_tell(ctx, bad, ZA_MSG(t_Num, .n = 1)) == expected, "tell");
    cr_assert(za_ask(ctx, bad, ZA_MSG(t_Num, .n = 1), .timeout_ms = 5) == expected, "ask");
    cr_assert(za_forward(ctx, bad) == expected, "forward");
    void *message = za_new(ctx, &t_Num_type, 0);
    void *ours = message;
    cr_assert(message != NULL, "room");
    cr_assert(za_send(ctx, bad, &message) == expected && message == ours, "send takes nothing");
    const za_ask_opts_t ask = { .size = sizeof ask, .timeout_ms = 5 };
    cr_assert(za_ask_send(ctx, bad, &message, &ask) == expected && message == ours, "nor does ask");
    za_discard(ctx, &message);
    cr_assert(message == NULL, "it was still ours");
    za_err_t stop = za_stop(ctx, bad);
    cr_assert(stop == expected || stop == ZA_EDENIED, "stop: %s", za_err_name(stop));
    return ZA_DONE;
}

static void give_bad_reference(za_ref_t bad, za_err_t err)
{
    expected = err;
    world_log_count = 0;
    world_go(&world, a, 0, bad);
    world_run(&world);
    world_advance(&world, 20);
    cr_assert(world_log_count == 1, "%zu events: the order alone", world_log_count);
}

Test(misuse, a_reference_that_is_no_use_is_answered_by_each_call_and_has_no_outcome)
{
    begin(use_bad_reference, (za_runtime_config_t){ 0 });
    za_runtime_stop_actor(world.guest, b.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    give_bad_reference(b, ZA_EGONE);                           // dead
    give_bad_reference((za_ref_t){ 0, UINT64_MAX }, ZA_EGONE); // never was
    give_bad_reference((za_ref_t){ 7, a.actor }, ZA_ENOROUTE); // of a node that nobody knows
    give_bad_reference(ZA_REF_NONE, ZA_EINVAL);                // none
    end();
}

/* ---- answers ------------------------------------------------------------------------------ */

static za_verdict_t answer_nobody(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'S' || event->kind == 'X' || event->kind == 'N') {
        za_reply(ctx, ZA_MSG(t_Num, .n = 1));
        void *message = za_new(ctx, &t_Num_type, 0);
        za_reply_send(ctx, &message);
        cr_assert(message == NULL, "taken all the same");
    }
    if (event->kind == 'N') {
        za_message_t *kept = za_keep(ctx);
        cr_assert(kept != NULL, "kept");
        za_reply_kept(ctx, &kept, ZA_MSG(t_Num, .n = 1));
        cr_assert(kept == NULL, "let go");
        za_reply_kept(ctx, &kept, ZA_MSG(t_Num, .n = 1)); // none: nothing happens
    }
    if (event->kind == 'G') {
        cr_assert(za_tell(ctx, event->ref, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "told, not asked");
    }
    return ZA_DONE;
}

Test(misuse, a_reply_to_nobody_is_counted_and_goes_nowhere)
{
    begin(answer_nobody, (za_runtime_config_t){ 0 });
    cr_assert(world_counters(&world).late_replies == 4, "two starts, two replies each");
    world_go(&world, a, 0, b); // a tells b, which answers three times
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 0, "nothing came back");
    cr_assert(world_counters(&world).late_replies == 7, "%d",
              (int)world_counters(&world).late_replies);
    cr_assert(world_tell(&world, b, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "a thread has no answer");
    world_run(&world);
    cr_assert(world_counters(&world).late_replies == 10, "counted");
    end();
}

/* ---- stopping twice ----------------------------------------------------------------------- */

static za_ref_t child;

static za_verdict_t stop_twice(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'S' && za_self(ctx).actor == a.actor) {
        cr_assert(za_spawn(ctx, probe, &child) == ZA_OK, "spawn");
        cr_assert(za_watch(ctx, child) == ZA_OK, "watch");
    } else if (event->kind == 'G' && event->n == 1) {
        cr_assert(za_stop(ctx, child) == ZA_OK, "once");
        cr_assert(za_stop(ctx, child) == ZA_OK, "twice, before it has ended");
    } else if (event->kind == 'G' && event->n == 2) {
        cr_assert(za_stop(ctx, child) == ZA_EGONE, "it has ended");
    } else if (event->kind == 'G' && event->n == 3) {
        cr_assert(za_stop(ctx, za_self(ctx)) == ZA_OK, "oneself");
        cr_assert(za_stop(ctx, za_self(ctx)) == ZA_OK, "oneself again");
        return ZA_STOP; // and once more
    } else if (event->kind == 'X') {
        ZA_IGNORE(za_stop(ctx, za_self(ctx))); // while stopping
    }
    return ZA_DONE;
}

Test(misuse, stopping_twice_is_one_end)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = stop_twice;
    a = world_spawn(&world);
    world_run(&world);
    world_go(&world, a, 1, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('X', child.actor) == 1 && world_count('D', a.actor) == 1, "one end");
    world_go(&world, a, 2, ZA_REF_NONE);
    world_go(&world, a, 3, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('X', a.actor) == 1, "one end of its own");
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED); // gone: nothing happens
    world_run(&world);
    cr_assert(world_counters(&world).actors == 0, "each counted once");
    za_runtime_stop_all(world.guest);
    end(); // stops all, again
}

/* ---- after the end ------------------------------------------------------------------------ */

static bool sent_while_stopping;

static za_verdict_t send_while_stopping(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'X') {
        za_ref_t ref;
        za_timer_t timer = { 0 };
        cr_assert(za_spawn(ctx, probe, &ref) == ZA_ESTOPPING, "spawn");
        cr_assert(za_ask(ctx, b, ZA_MSG(t_Num, .n = 1), .timeout_ms = 5) == ZA_ESTOPPING, "ask");
        cr_assert(za_after(ctx, 1, ZA_MSG(t_Num, .n = 1), &timer) == ZA_ESTOPPING, "timer");
        cr_assert(timer.id == 0, "untouched");
        cr_assert(za_receive_timeout(ctx, 5) == ZA_ESTOPPING, "receive timeout");
        cr_assert(za_watch(ctx, b) == ZA_ESTOPPING, "watch");
        cr_assert(za_link(ctx, b) == ZA_ESTOPPING, "link");
        cr_assert(za_keep(ctx) == NULL, "keep");
        sent_while_stopping = true;
    }
    return ZA_DONE;
}

Test(misuse, an_actor_that_stops_begins_nothing_new)
{
    begin(send_while_stopping, (za_runtime_config_t){ 0 });
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(sent_while_stopping, "it was asked to stop");
    world_behave = NULL;
    end();
}

Test(misuse, sending_after_the_end_of_the_node_is_refused)
{
    begin(NULL, (za_runtime_config_t){ 0 });
    za_runtime_stop_all(world.guest);
    for (int ended = 0; ended < 2; ended++) { // while they end, and afterwards
        za_ref_t ref;
        za_spawn_opts_t opts = { .size = sizeof opts };
        cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_ESTOPPING, "tell");
        cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) ==
                      ZA_ESTOPPING,
                  "spawn");
        world_run(&world);
    }
    cr_assert(world_count('N', 0) == 0, "nothing came");
    end();
}

/* ---- arguments ---------------------------------------------------------------------------- */

static za_verdict_t give_nothing(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    const t_Num num = { .n = 1 };
    const za_ask_opts_t no_time = { .size = sizeof no_time };
    const za_ask_opts_t no_size = { .timeout_ms = 5 };
    za_ref_t ref = ZA_REF_NONE;
    void *none = NULL;
    cr_assert(za_tell(NULL, b, &t_Num_type, &num) == ZA_EINVAL, "no context");
    cr_assert(za_tell(ctx, b, NULL, &num) == ZA_EINVAL, "no type");
    cr_assert(za_tell(ctx, b, &t_Num_type, NULL) == ZA_EINVAL, "no message");
    cr_assert(za_send(ctx, b, &none) == ZA_EINVAL && za_send(ctx, b, NULL) == ZA_EINVAL, "send");
    cr_assert(za_ask_with(ctx, b, &t_Num_type, &num, &no_time) == ZA_EINVAL, "no timeout");
    cr_assert(za_ask_with(ctx, b, &t_Num_type, &num, &no_size) == ZA_EINVAL, "no size");
    cr_assert(za_ask_with(ctx, b, &t_Num_type, &num, NULL) == ZA_EINVAL, "no options");
    cr_assert(za_ask_send(ctx, b, &none, &no_time) == ZA_EINVAL, "nothing to ask");
    cr_assert(za_forward(NULL, b) == ZA_EINVAL, "forward");
    cr_assert(za_after(ctx, 1, NULL, &num, NULL) == ZA_EINVAL, "after");
    cr_assert(za_every(ctx, 0, &t_Num_type, &num, NULL) == ZA_EINVAL, "no period");
    cr_assert(za_spawn_with(ctx, NULL, &ref, NULL) == ZA_EINVAL, "no class");
    cr_assert(za_watch(ctx, ZA_REF_NONE) == ZA_EINVAL, "watch");
    cr_assert(za_link(ctx, ZA_REF_NONE) == ZA_EINVAL, "link");
    cr_assert(za_become_with(ctx, NULL) == ZA_EINVAL, "become");
    cr_assert(za_join(ctx, NULL) == ZA_EINVAL, "join");
    cr_assert(za_new(ctx, NULL, 0) == NULL && za_new(NULL, &t_Num_type, 0) == NULL, "new");
    cr_assert(za_kept_body(NULL) == NULL, "kept");
    za_reply(ctx, NULL, NULL); // each of these does nothing
    za_reply_send(ctx, &none);
    za_release(ctx, NULL);
    za_cancel(ctx, NULL);
    za_discard(ctx, NULL);
    za_unwatch(ctx, ZA_REF_NONE);
    za_unlink(ctx, ZA_REF_NONE);
    za_leave(ctx, NULL);
    za_unstash_all(NULL);
    za_log(NULL, ZA_INFO, "nobody");
    return ZA_DONE;
}

Test(misuse, a_missing_argument_is_answered_and_nothing_happens)
{
    begin(give_nothing, (za_runtime_config_t){ 0 });
    world_log_count = 0;
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    world_advance(&world, 20);
    cr_assert(world_log_count == 1, "the order alone");
    cr_assert(world_tell(&world, b, NULL, &(t_Num){ 0 }) == ZA_EINVAL, "from outside");
    end();
}

/* ---- verdicts ----------------------------------------------------------------------------- */

static za_verdict_t answer_no_verdict(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)ctx;
    (void)self;
    return event->kind == 'G' ? (za_verdict_t)99 : ZA_DONE;
}

static uint32_t complaints;

static void note_log(void *context, int level, const char *class_name, za_ref_t actor,
                     const char *text)
{
    (void)context;
    (void)class_name;
    (void)actor;
    complaints += level == ZA_ERROR && strstr(text, "99: no verdict") != NULL;
}

Test(misuse, a_handler_that_answers_no_verdict_fails_and_the_log_says_so)
{
    const za_remote_t remote = { .log = note_log };
    begin(answer_no_verdict, (za_runtime_config_t){ .remote = &remote });
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    cr_assert(complaints == 1, "%d", (int)complaints);
    const event_t *last = world_nth('X', a.actor, 0);
    cr_assert(last != NULL && last->reason == za_Reason_REASON_FAILED, "it failed");
    end();
}
