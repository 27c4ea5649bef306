#include "core/worker.h"
#include "world.h"

static world_t world;

static za_ref_t a, b;

Test(send, keeps_the_order_of_one_sender)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = world_spawn(&world);
    for (uint64_t i = 0; i < 500; i++) {
        cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = i)) == ZA_OK, "tell");
    }
    world_run(&world);
    cr_assert(world_count('N', 0) == 500, "%zu", world_count('N', 0));
    for (uint64_t i = 0; i < 500; i++) {
        cr_assert(world_nth('N', 0, i)->n == i, "order at %zu", (size_t)i);
    }
    za_runtime_destroy(world.runtime);
}

static za_verdict_t tell_in_turn(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    for (uint64_t i = 0; event->kind == 'G' && i < 60; i++) {
        // Runs of all lengths, interrupted by one message to somebody else.
        za_ref_t to = i % 5 == 4 || i % 7 == 6 ? b : a;
        cr_assert(za_tell(ctx, to, ZA_MSG(t_Num, .n = i)) == ZA_OK, "tell");
    }
    return ZA_DONE;
}

// Several messages in a row are pushed together: what comes after one to another must not overtake.
Test(send, keeps_the_order_around_messages_to_others)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = tell_in_turn;
    a = world_spawn(&world);
    b = world_spawn(&world);
    za_ref_t c = world_spawn(&world);
    for (int round = 0; round < 3; round++) { // the first one takes its memory the long way
        world_go(&world, c, 0, ZA_REF_NONE);
        world_run(&world);
        uint64_t before = 0;
        for (size_t i = 0; world_nth('N', a.actor, i) != NULL; i++) {
            uint64_t n = world_nth('N', a.actor, i)->n;
            cr_assert(i == 0 || n > before, "%d after %d", (int)n, (int)before);
            before = n;
        }
        world_log_count = 0;
    }
    za_runtime_destroy(world.runtime);
}

Test(send, a_full_mailbox_rejects_exactly_at_its_bound)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = world_spawn_opts(&world, (za_spawn_opts_t){ .mailbox = 3 });
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 3; i++) {
            cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = i)) == ZA_OK, "place %d", (int)i);
        }
        cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 3)) == ZA_EFULL, "full");
        world_run(&world);
    }
    cr_assert(world_count('N', 0) == 9, "%zu", world_count('N', 0));
    cr_assert(world_counters(&world).rejected == 3, "counted");
    za_runtime_destroy(world.runtime);
}

Test(send, drop_newest_accepts_and_counts)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = world_spawn_opts(&world, (za_spawn_opts_t){ .mailbox = 1, .overflow = ZA_DROP_NEWEST });
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "first");
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 2)) == ZA_OK, "second is lost");
    world_run(&world);
    cr_assert(world_count('N', 0) == 1, "one came");
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_MAILBOX_FULL] == 1, "counted");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t tell_self(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && event->n > 0) {
        za_err_t err = za_tell(ctx, za_self(ctx), ZA_MSG(t_Num, .n = event->n - 1));
        cr_assert(err == ZA_OK, "the message being handled takes no place: %s", za_err_name(err));
    }
    return ZA_DONE;
}

Test(send, the_message_being_handled_takes_no_place)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = tell_self;
    a = world_spawn_opts(&world, (za_spawn_opts_t){ .mailbox = 1 });
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 300)) == ZA_OK, "tell");
    world_run(&world);
    cr_assert(world_count('N', 0) == 301, "%zu", world_count('N', 0));
    za_runtime_destroy(world.runtime);
}

Test(send, a_stale_reference_never_means_another_actor)
{
    world_init(&world, (za_runtime_config_t){ .actors_max = 1 });
    za_ref_t old = world_spawn(&world);
    world_run(&world);
    za_runtime_stop_actor(world.guest, old.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    za_spawn_opts_t opts = { .size = sizeof opts };
    // The slot went to the worker's list: a spawn by the worker takes it.
    za_ref_t fresh;
    za_worker_t *worker = za_runtime_worker(world.runtime, 0);
    cr_assert(za_runtime_spawn(worker, &probe_class, &opts, ZA_REF_NONE, &fresh) == ZA_OK, "again");
    cr_assert((fresh.actor & 0xfffffff) == (old.actor & 0xfffffff), "the same slot");
    cr_assert(fresh.actor != old.actor, "another generation");
    cr_assert(world_tell(&world, old, ZA_MSG(t_Num, .n = 1)) == ZA_EGONE, "the old one is gone");
    cr_assert(world_tell(&world, fresh, ZA_MSG(t_Num, .n = 2)) == ZA_OK, "the new one lives");
    world_run(&world);
    cr_assert(world_count('N', fresh.actor) == 1, "one message");
    za_runtime_destroy(world.runtime);
}

Test(send, made_up_references_are_answered)
{
    world_init(&world, (za_runtime_config_t){ .actors_max = 100 });
    za_ref_t invented[] = { { 0, 5 }, { 0, UINT64_MAX }, { 0, 1u << 28 }, { 0, (1u << 28) + 99 } };
    for (size_t i = 0; i < 4; i++) {
        za_err_t err = world_tell(&world, invented[i], ZA_MSG(t_Num, .n = 1));
        cr_assert(err == ZA_EGONE, "%zu: %s", i, za_err_name(err));
    }
    cr_assert(world_tell(&world, ZA_REF_NONE, ZA_MSG(t_Num, .n = 1)) == ZA_EINVAL, "none");
    cr_assert(world_tell(&world, (za_ref_t){ 7, 5 }, ZA_MSG(t_Num, .n = 1)) == ZA_ENOROUTE, "node");
    za_runtime_destroy(world.runtime);
}

Test(send, own_uids_are_local)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    za_runtime_add_uid(world.runtime, 77);
    za_runtime_add_uid(world.runtime, 78);
    a = world_spawn(&world);
    cr_assert(world_tell(&world, (za_ref_t){ 77, a.actor }, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "77");
    cr_assert(world_tell(&world, (za_ref_t){ 78, a.actor }, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "78");
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 2, "both came");
    za_runtime_destroy(world.runtime);
}

Test(send, a_message_without_handler_is_a_dead_letter)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = world_spawn(&world);
    cr_assert(world_tell(&world, a, ZA_MSG(t_Unheard, .n = 1)) == ZA_OK, "accepted");
    world_run(&world);
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_BAD_MESSAGE] == 1, "counted");
    za_runtime_destroy(world.runtime);
}

/* ---- za_new ------------------------------------------------------------------------------- */

static za_verdict_t send_text(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        t_Text *text = za_new(ctx, &t_Text_type, 5);
        cr_assert(text != NULL, "za_new");
        text->n = 9;
        cr_assert(za_bytes_put(text, &text->text, "hello!", 6) == ZA_ETOOBIG, "no room");
        cr_assert(za_bytes_put(text, &text->text, "hello", 5) == ZA_OK, "room");
        void *message = text;
        za_ref_t gone = { 0, event->ref.actor + (UINT64_C(1) << 28) };
        cr_assert(za_send(ctx, gone, &message) == ZA_EGONE, "gone");
        cr_assert(message == text, "still ours after an error");
        cr_assert(za_send(ctx, event->ref, &message) == ZA_OK, "sent");
        cr_assert(message == NULL, "moved");
        void *again = text;
        cr_assert(za_send(ctx, event->ref, &again) == ZA_EINVAL, "not twice");
        (void)!za_new(ctx, &t_Text_type, 100); // left behind: freed when the handler returns
    }
    if (event->kind == 'B') {
        const t_Text *text = event->body;
        cr_assert(text->text.size == 5, "size");
        cr_assert(memcmp(za_bytes_data(&text->text), "hello", 5) == 0, "bytes");
    }
    return ZA_DONE;
}

Test(send, a_moved_message_arrives_whole)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = send_text;
    a = world_spawn(&world);
    b = world_spawn(&world);
    world_go(&world, a, 0, b);
    world_run(&world);
    cr_assert(world_count('B', b.actor) == 1, "it came");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t send_many(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        void *messages[4];
        for (uint64_t i = 0; i < 4; i++) {
            messages[i] = za_new(ctx, &t_Num_type, 0);
            cr_assert(messages[i] != NULL, "za_new");
            ((t_Num *)messages[i])->n = i;
        }
        za_discard(ctx, &messages[1]);
        cr_assert(messages[1] == NULL, "nulled");
        cr_assert(za_send(ctx, event->ref, &messages[0]) == ZA_OK, "the first of them");
        cr_assert(za_send(ctx, event->ref, &messages[2]) == ZA_OK, "one between");
    }
    return ZA_DONE;
}

Test(send, moved_messages_go_in_any_order_and_the_rest_is_freed)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = send_many;
    a = world_spawn(&world);
    b = world_spawn(&world);
    world_run(&world);
    uint64_t before = za_pools_blocks_in_use(&world.runtime->pools);
    world_go(&world, a, 0, b);
    world_run(&world);
    cr_assert(world_count('N', b.actor) == 2, "two came");
    cr_assert(world_nth('N', b.actor, 0)->n == 0 && world_nth('N', b.actor, 1)->n == 2, "these");
    cr_assert(za_pools_blocks_in_use(&world.runtime->pools) == before, "none is left");
    za_runtime_destroy(world.runtime);
}

/* ---- keep and forward --------------------------------------------------------------------- */

static za_message_t *kept;
static za_ref_t third;

static za_verdict_t keep_and_answer(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G' && event->n == 1) { // the asker
        cr_assert(za_ask(ctx, event->ref, ZA_MSG(t_Num, .n = 5), .timeout_ms = 100, .tag = 3) ==
                      ZA_OK,
                  "ask");
    } else if (event->kind == 'N' && za_self(ctx).actor == b.actor) {
        kept = za_keep(ctx);
        cr_assert(kept != NULL, "kept");
        cr_assert(za_keep(ctx) == NULL, "not twice");
    } else if (event->kind == 'G' && event->n == 2) {
        cr_assert(((const t_Num *)za_kept_body(kept))->n == 5, "the body lives");
        za_reply_kept(ctx, &kept, ZA_MSG(t_Num, .n = 6));
        cr_assert(kept == NULL, "nulled");
        za_release(ctx, &kept); // nothing to release
    }
    return ZA_DONE;
}

Test(send, a_kept_message_is_answered_later)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = keep_and_answer;
    a = world_spawn(&world);
    b = world_spawn(&world);
    world_go(&world, a, 1, b);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 0, "not yet");
    world_go(&world, b, 2, ZA_REF_NONE);
    world_run(&world);
    const event_t *reply = world_nth('N', a.actor, 0);
    cr_assert(reply != NULL && reply->n == 6 && reply->tag == 3, "the reply, with its tag");
    world_advance(&world, 200);
    cr_assert(world_count('T', 0) == 0 && world_count('D', 0) == 0, "and nothing else");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t keep_notification(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'D') {
        kept = za_keep(ctx);
        cr_assert(kept != NULL, "kept");
        cr_assert(za_keep(ctx) == NULL, "not twice");
    } else if (event->kind == 'G' && event->n == 1) {
        cr_assert(za_watch(ctx, event->ref) == ZA_OK, "watch");
    } else if (event->kind == 'G' && event->n == 2) {
        const za_Down *down = za_kept_body(kept);
        cr_assert(down->ref.actor == b.actor, "the body lives");
        za_reply_kept(ctx, &kept, ZA_MSG(t_Num, .n = 6)); // nobody asked
        cr_assert(kept == NULL, "let go");
    }
    return ZA_DONE;
}

Test(send, a_notification_can_be_kept_too)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = keep_notification;
    a = world_spawn(&world);
    b = world_spawn(&world);
    world_go(&world, a, 1, b);
    world_run(&world);
    za_runtime_stop_actor(world.guest, b.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(world_count('D', a.actor) == 1 && kept != NULL, "kept");
    world_go(&world, a, 2, ZA_REF_NONE);
    world_run(&world);
    cr_assert(kept == NULL && world_counters(&world).late_replies == 1, "answered to nobody");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t forward_on(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        cr_assert(za_ask(ctx, b, ZA_MSG(t_Num, .n = 1), .timeout_ms = 100, .tag = 4) == ZA_OK,
                  "ask");
    } else if (event->kind == 'N' && za_self(ctx).actor == b.actor) {
        cr_assert(za_forward(ctx, third) == ZA_OK, "forward");
    } else if (event->kind == 'N' && za_self(ctx).actor == third.actor) {
        cr_assert(za_ref_equal(za_sender(ctx), a), "the first sender");
        za_reply(ctx, ZA_MSG(t_Num, .n = 2));
        za_reply(ctx, ZA_MSG(t_Num, .n = 3)); // nobody left to answer
    }
    return ZA_DONE;
}

Test(send, a_forwarded_ask_is_answered_by_the_last)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = forward_on;
    a = world_spawn(&world);
    b = world_spawn(&world);
    third = world_spawn(&world);
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    const event_t *reply = world_nth('N', a.actor, 0);
    cr_assert(reply != NULL && reply->n == 2 && reply->tag == 4, "the reply");
    cr_assert(za_ref_equal(reply->sender, third), "from the last");
    cr_assert(world_count('N', a.actor) == 1, "once");
    cr_assert(world_counters(&world).late_replies == 1, "the second is counted");
    world_advance(&world, 200);
    cr_assert(world_count('D', 0) + world_count('T', 0) == 0, "no other outcome");
    za_runtime_destroy(world.runtime);
}

/* ---- memory ------------------------------------------------------------------------------- */

static za_verdict_t bounce(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    world_log_count = 0;
    if (event->kind == 'N' && event->n > 0) {
        za_ref_t to = za_self(ctx).actor == a.actor ? b : a;
        cr_assert(za_tell(ctx, to, ZA_MSG(t_Num, .n = event->n - 1)) == ZA_OK, "tell");
    }
    return ZA_DONE;
}

Test(send, takes_no_memory_after_the_first_messages)
{
    world_init(&world, (za_runtime_config_t){ .workers = 2 });
    world_behave = bounce;
    a = world_spawn(&world);
    b = world_spawn(&world);
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 100)) == ZA_OK, "warm up");
    world_run(&world);
    uint64_t before = world_counters(&world).pool_bytes;
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 100000)) == ZA_OK, "tell");
    world_run(&world);
    cr_assert(world_counters(&world).pool_bytes == before, "the pool did not grow");
    za_runtime_destroy(world.runtime);
}

Test(send, an_empty_pool_answers_and_recovers)
{
    world_init(&world,
               (za_runtime_config_t){ .pool_bytes_max = 128 * 1024, .mailbox_default = 100000 });
    a = world_spawn(&world);
    uint64_t sent = 0;
    za_err_t err = ZA_OK;
    while (err == ZA_OK && sent < 100000) {
        err = world_tell(&world, a, ZA_MSG(t_Num, .n = sent));
        sent += err == ZA_OK;
    }
    cr_assert(err == ZA_ENOBUFS, "%s", za_err_name(err));
    cr_assert(world_counters(&world).pool_bytes <= 128 * 1024, "within the bound");
    world_run(&world);
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 0)) == ZA_OK, "there is room again");
    world_run(&world);
    cr_assert(world_counters(&world).handled >= sent + 1, "all came");
    za_runtime_destroy(world.runtime);
}

/* ---- from other nodes --------------------------------------------------------------------- */

static uint64_t failed_ask;
static za_Reason failed_reason;

static void note_ask_failed(void *context, za_worker_t *worker, za_ref_t asker, uint64_t ask,
                            za_Reason reason)
{
    (void)context;
    (void)worker;
    cr_assert(asker.node == 9, "the asker's node");
    failed_ask = ask;
    failed_reason = reason;
}

static void deliver(uint64_t actor, uint64_t ask, uint32_t type_id, const void *bytes, size_t size)
{
    za_message_t *message = za_message_alloc(world.guest, size);
    cr_assert(message != NULL, "alloc");
    memcpy(za_message_body(message), bytes, size);
    za_incoming_t incoming = {
        .actor = actor, .sender = { 9, 1234 }, .type_id = type_id, .ask = ask, .from_uid = 9
    };
    za_runtime_deliver(world.guest, &incoming, message, size);
}

Test(send, what_comes_from_another_node_is_decoded_where_it_runs)
{
    const za_remote_t remote = { .ask_failed = note_ask_failed };
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    za_runtime_add_uid(world.runtime, 5);
    a = world_spawn(&world);
    t_Num theirs = { .n = 1, .ref = { 0, 70 } };
    t_Num ours = { .n = 2, .ref = { 5, 71 } };
    deliver(a.actor, 0, 101, &theirs, sizeof theirs);
    deliver(a.actor, 0, 101, &ours, sizeof ours);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 2, "both");
    cr_assert(za_ref_equal(world_nth('N', 0, 0)->ref, (za_ref_t){ 9, 70 }), "node 0 is the sender");
    cr_assert(za_ref_equal(world_nth('N', 0, 1)->ref, (za_ref_t){ 0, 71 }), "our uid is 0");
    cr_assert(za_ref_equal(world_nth('N', 0, 0)->sender, (za_ref_t){ 9, 1234 }), "sender");
    za_runtime_destroy(world.runtime);
}

Test(send, what_cannot_be_delivered_fails_its_ask_at_the_other_node)
{
    const za_remote_t remote = { .ask_failed = note_ask_failed };
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    a = world_spawn_opts(&world, (za_spawn_opts_t){ .mailbox = 1 });
    t_Num num = { .n = 1 };
    deliver(a.actor + (UINT64_C(1) << 28), 11, 101, &num, sizeof num);
    cr_assert(failed_ask == 11 && failed_reason == za_Reason_REASON_NO_ACTOR, "no actor");
    deliver(a.actor, 12, 101, &num, 3);
    deliver(a.actor, 13, 101, &num, sizeof num);
    cr_assert(failed_ask == 13 && failed_reason == za_Reason_REASON_MAILBOX_FULL, "full");
    world_run(&world);
    cr_assert(failed_ask == 12 && failed_reason == za_Reason_REASON_BAD_MESSAGE, "bad bytes");
    deliver(a.actor, 14, 999, &num, sizeof num);
    world_run(&world);
    cr_assert(failed_ask == 14 && failed_reason == za_Reason_REASON_BAD_MESSAGE, "unknown type");
    deliver(a.actor, 15, 101, &num, sizeof num);
    world_run(&world);
    cr_assert(failed_ask == 15 && failed_reason == za_Reason_REASON_NO_ANSWER, "not answered");
    cr_assert(world_counters(&world).dead_letters == 4, "counted");
    za_runtime_destroy(world.runtime);
}
