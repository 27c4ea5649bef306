#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zactor/fiber.h>
#include <zactor/stack.h>

#include "core/fault.h"
#include "core/fiber_sanitize.h"
#include "world.h"

static world_t world;
static za_ref_t a, b; // a has a fiber and asks b
static za_err_t results[8];
static size_t result_count;
static uint64_t answers[8];
static za_Reason why;
static za_message_t *kept;
static za_err_t in_stopping;

enum { // what a Go tells
    AWAIT = 1,
    AWAIT_TWICE,
    AWAIT_SELF,
    AWAIT_AND_REPLY,
    AWAIT_AND_FAIL,
    AWAIT_WITH_NEWS,
    SLEEP,
    KEEP,
    RELEASE,
    RELEASE_OPEN,
    STOP_CHILD,
    SPAWN,
    ANSWER_KEPT,
    UNSTASH_AND_AWAIT,
    ASK_A,
    ASK_AND_AWAIT,
    TIMEOUT_MS = 100,
};

static void note(za_err_t err)
{
    if (result_count < sizeof results / sizeof results[0]) {
        results[result_count++] = err;
    }
}

static za_err_t await_b(za_ctx_t *ctx)
{
    const t_Num *answer = NULL;
    za_err_t err = za_await(ctx, b, ZA_MSG(t_Num, .n = 7), ZA_ANSWER(t_Num, &answer),
                            .timeout_ms = TIMEOUT_MS, .reason = &why);
    if (err == ZA_OK) {
        answers[result_count % 8] = answer->n;
    }
    cr_assert((err == ZA_OK) == (answer != NULL), "a reply on ZA_OK alone");
    note(err);
    return err;
}

static za_verdict_t behave_a(za_ctx_t *ctx, const event_t *event)
{
    switch (event->n) {
    case AWAIT:
        await_b(ctx);
        break;
    case AWAIT_TWICE:
        await_b(ctx);
        await_b(ctx);
        break;
    case AWAIT_SELF: {
        const t_Num *answer = NULL;
        note(za_await(ctx, za_self(ctx), ZA_MSG(t_Num, .n = 7), ZA_ANSWER(t_Num, &answer),
                      .timeout_ms = TIMEOUT_MS));
        break;
    }
    case AWAIT_AND_REPLY:
        await_b(ctx);
        cr_assert(za_sender(ctx).actor == event->sender.actor, "the message stays");
        za_reply(ctx, ZA_MSG(t_Text, .n = event->n));
        break;
    case AWAIT_AND_FAIL:
        await_b(ctx);
        return ZA_FAIL;
    case AWAIT_WITH_NEWS: {
        t_Num *num = za_new(ctx, &t_Num_type, 0);
        num->n = 77;
        await_b(ctx);
        void *news = num;
        cr_assert(num->n == 77 && za_send(ctx, b, &news) == ZA_OK, "it is ours still");
        cr_assert(za_new(ctx, &t_Num_type, 0) != NULL, "one that is left behind");
        break;
    }
    case ASK_AND_AWAIT:
        cr_assert(za_ask(ctx, b, ZA_MSG(t_Num, .n = 1), .timeout_ms = 90, .tag = 3) == ZA_OK, "");
        await_b(ctx);
        break;
    case SLEEP:
        note(za_sleep(ctx, 50));
        break;
    case UNSTASH_AND_AWAIT:
        za_unstash_all(ctx);
        await_b(ctx);
        break;
    default:
        break;
    }
    return ZA_DONE;
}

/** Keeps what it is asked until it is told what to do with it. */
static za_verdict_t behave_b(za_ctx_t *ctx, const event_t *event)
{
    if (event->kind == 'N' && event->n == 7) {
        kept = za_keep(ctx);
    } else if (event->kind == 'G' && event->n == ANSWER_KEPT) {
        za_reply_kept(ctx, &kept, ZA_MSG(t_Num, .n = 70));
    } else if (event->kind == 'G' && event->n == RELEASE) {
        za_release(ctx, &kept);
    } else if (event->kind == 'G' && event->n == STOP_CHILD) {
        cr_assert(za_stop(ctx, event->ref) == ZA_OK, "stop");
    } else if (event->kind == 'G' && event->n == ASK_A) {
        cr_assert(za_ask(ctx, a, ZA_MSG(t_Go, .n = AWAIT_AND_REPLY), .timeout_ms = 90, .tag = 5) ==
                      ZA_OK,
                  "ask");
    } else if (event->kind == 'G' && event->n == SPAWN) {
        za_err_t err = za_spawn(ctx, probe, &a, .fiber = true, .max_restarts = 3);
        cr_assert(err == ZA_OK, "%s", za_err_name(err));
    }
    return ZA_DONE;
}

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->self == b.actor) {
        return behave_b(ctx, event);
    }
    if (event->kind == 'X') {
        const t_Num *answer = NULL;
        in_stopping = za_await(ctx, b, ZA_MSG(t_Num, .n = 7), ZA_ANSWER(t_Num, &answer),
                               .timeout_ms = TIMEOUT_MS);
    }
    if (event->kind == 'N' && event->n == 13) {
        return ZA_STASH;
    }
    return event->kind == 'G' ? behave_a(ctx, event) : ZA_DONE;
}

static void setup_opts(za_runtime_config_t config, za_spawn_opts_t opts)
{
    world_init(&world, config);
    world_behave = behave;
    result_count = 0;
    why = 0;
    kept = NULL;
    in_stopping = ZA_OK;
    b = world_spawn(&world);
    a = world_spawn_opts(&world, opts);
    world_run(&world);
}

static void setup(void)
{
    setup_opts((za_runtime_config_t){ 0 }, (za_spawn_opts_t){ .fiber = true });
}

static void teardown(void)
{
    za_runtime_destroy(world.runtime);
}

static void go(za_ref_t to, uint64_t n)
{
    world_go(&world, to, n, ZA_REF_NONE);
    world_run(&world);
}

static void num(uint64_t n)
{
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = n)) == ZA_OK, "tell");
}

static void expect_result(size_t at, za_err_t err)
{
    cr_assert(result_count > at && results[at] == err, "%zu results, %s", result_count,
              result_count > at ? za_err_name(results[at]) : "none");
}

/* ---- outcomes ----------------------------------------------------------------------------- */

Test(fiber, goes_on_with_the_reply)
{
    setup();
    go(a, AWAIT);
    cr_assert(result_count == 0 && kept != NULL, "it waits");
    go(b, ANSWER_KEPT);
    expect_result(0, ZA_OK);
    cr_assert(answers[0] == 70, "the reply");
    cr_assert(world_count('N', a.actor) == 0, "no handler gets it");
    teardown();
}

Test(fiber, may_wait_again_and_again)
{
    setup();
    go(a, AWAIT_TWICE);
    go(b, ANSWER_KEPT);
    cr_assert(result_count == 1, "the second");
    go(b, ANSWER_KEPT);
    expect_result(1, ZA_OK);
    for (int i = 0; i < 3; i++) {
        result_count = 0;
        go(a, AWAIT);
        go(b, ANSWER_KEPT);
        expect_result(0, ZA_OK);
    }
    teardown();
}

Test(fiber, goes_on_when_time_is_up_and_a_late_reply_is_dropped)
{
    setup();
    go(a, AWAIT);
    world_advance(&world, TIMEOUT_MS + 2);
    expect_result(0, ZA_ETIMEOUT);
    go(b, ANSWER_KEPT);
    cr_assert(result_count == 1 && world_counters(&world).late_replies == 1, "dropped");
    cr_assert(world_count('T', 0) == 0 && world_count('N', a.actor) == 0, "by no handler");
    teardown();
}

Test(fiber, goes_on_when_nobody_will_answer)
{
    setup();
    go(a, AWAIT);
    go(b, RELEASE);
    expect_result(0, ZA_ENOANSWER);
    cr_assert(why == za_Reason_REASON_NO_ANSWER, "%d", (int)why);
    za_runtime_stop_actor(world.guest, b.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    go(a, AWAIT);
    expect_result(1, ZA_EGONE);
    cr_assert(world_count('D', 0) == 0, "by no handler");
    teardown();
}

Test(fiber, hears_that_the_asked_one_ended)
{
    setup();
    go(a, AWAIT);
    za_runtime_stop_actor(world.guest, b.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(result_count == 1 && results[0] != ZA_OK && results[0] != ZA_ETIMEOUT, "at once");
    teardown();
}

Test(fiber, sleeps)
{
    setup();
    go(a, SLEEP);
    world_advance(&world, 40);
    cr_assert(result_count == 0, "it sleeps");
    world_advance(&world, 20);
    expect_result(0, ZA_OK);
    cr_assert(world_count('T', 0) == 0 && world_counters(&world).timeouts == 0, "no timeout");
    teardown();
}

static uint64_t asked; // the last that left the node

static za_err_t send_out(void *context, za_worker_t *worker, const za_outgoing_t *out)
{
    (void)context;
    (void)worker;
    asked = out->ask;
    return ZA_OK;
}

static void setup_remote(void)
{
    static const za_remote_t remote = { .send = send_out };
    setup_opts((za_runtime_config_t){ .remote = &remote }, (za_spawn_opts_t){ .fiber = true });
    b = (za_ref_t){ 9, 1000 };
}

static void deliver_reply(uint32_t type_id, uint64_t n)
{
    t_Num body = { .n = n };
    za_message_t *message = za_message_alloc(world.guest, sizeof body);
    memcpy(za_message_body(message), &body, sizeof body);
    za_incoming_t incoming = { .actor = a.actor,
                               .sender = { 9, 1000 },
                               .type_id = type_id,
                               .ask = asked,
                               .reply = true,
                               .from_uid = 9 };
    za_runtime_deliver(world.guest, &incoming, message, sizeof body);
    world_run(&world);
}

Test(fiber, goes_on_with_a_reply_of_another_node)
{
    setup_remote();
    go(a, AWAIT);
    deliver_reply(101, 33);
    expect_result(0, ZA_OK);
    cr_assert(answers[0] == 33, "decoded");
    teardown();
}

Test(fiber, is_told_of_an_answer_of_another_type)
{
    setup_remote();
    go(a, AWAIT);
    deliver_reply(102, 33);
    expect_result(0, ZA_ETYPE);
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_BAD_MESSAGE] == 1, "lost");
    teardown();
}

Test(fiber, a_lost_node_ends_the_wait_and_other_asks_in_their_turn)
{
    setup_remote();
    go(a, ASK_AND_AWAIT);
    za_runtime_fail_asks(world.guest, 9, za_Reason_REASON_LINK_LOST);
    world_run(&world);
    expect_result(0, ZA_ENOROUTE);
    cr_assert(why == za_Reason_REASON_LINK_LOST, "%d", (int)why);
    cr_assert(world_count('D', a.actor) == 1 && world_nth('D', a.actor, 0)->tag == 3, "the other");
    teardown();
}

/* ---- meanwhile ---------------------------------------------------------------------------- */

Test(fiber, messages_wait_in_their_order)
{
    setup();
    go(a, AWAIT);
    for (uint64_t i = 100; i < 120; i++) {
        num(i);
        world_run(&world);
    }
    cr_assert(world_count('N', a.actor) == 0, "they wait");
    world_go(&world, b, ANSWER_KEPT, ZA_REF_NONE);
    num(120);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 21, "all of them");
    for (uint64_t i = 0; i < 21; i++) {
        cr_assert(world_nth('N', a.actor, i)->n == 100 + i, "in order");
    }
    teardown();
}

Test(fiber, messages_that_wait_count_in_the_mailbox)
{
    setup_opts((za_runtime_config_t){ 0 }, (za_spawn_opts_t){ .fiber = true, .mailbox = 10 });
    go(a, AWAIT);
    for (uint64_t i = 0; i < 10; i++) {
        num(i + 100);
        world_run(&world);
    }
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_EFULL, "full");
    go(b, ANSWER_KEPT);
    cr_assert(world_count('N', a.actor) == 10, "handled");
    for (uint64_t i = 0; i < 10; i++) {
        num(i + 100);
    }
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_EFULL, "no more, no less");
    world_run(&world);
    teardown();
}

Test(fiber, what_was_unstashed_waits_too)
{
    setup();
    num(13);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 1, "stashed");
    go(a, UNSTASH_AND_AWAIT);
    cr_assert(world_count('N', a.actor) == 1, "not while it waits");
    num(14);
    go(b, ANSWER_KEPT);
    cr_assert(world_count('N', a.actor) == 3, "%zu", world_count('N', a.actor));
    cr_assert(world_nth('N', a.actor, 1)->n == 13 && world_nth('N', a.actor, 2)->n == 14, "order");
    teardown();
}

Test(fiber, the_message_that_is_handled_stays)
{
    setup();
    go(b, ASK_A);
    cr_assert(kept != NULL, "a asks back");
    go(b, ANSWER_KEPT);
    expect_result(0, ZA_OK);
    const event_t *reply = world_nth('B', b.actor, 0);
    cr_assert(reply != NULL && reply->tag == 5, "answered after the wait");
    teardown();
}

Test(fiber, what_its_handler_made_stays_until_it_returns)
{
    setup();
    go(a, AWAIT_WITH_NEWS);
    go(b, ANSWER_KEPT);
    cr_assert(world_nth('N', b.actor, 1)->n == 77, "sent after the wait");
    teardown();
}

/* ---- ends --------------------------------------------------------------------------------- */

Test(fiber, a_stop_ends_the_wait)
{
    setup();
    go(a, AWAIT_TWICE);
    num(1);
    world_run(&world);
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    expect_result(0, ZA_ESTOPPING);
    expect_result(1, ZA_ESTOPPING);
    cr_assert(world_count('X', a.actor) == 1, "then it stops");
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_NO_ACTOR] == 1, "what waited");
    cr_assert(world_counters(&world).actors == 1, "gone");
    go(b, ANSWER_KEPT);
    cr_assert(result_count == 2, "once");
    teardown();
}

Test(fiber, a_stop_ends_a_sleep)
{
    setup();
    go(a, SLEEP);
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    expect_result(0, ZA_ESTOPPING);
    world_advance(&world, 100);
    cr_assert(result_count == 1, "once");
    teardown();
}

Test(fiber, za_Stopping_may_not_wait)
{
    setup();
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(in_stopping == ZA_EDENIED, "%s", za_err_name(in_stopping));
    teardown();
}

Test(fiber, a_failure_after_a_wait_restarts)
{
    setup_opts((za_runtime_config_t){ 0 }, (za_spawn_opts_t){ .fiber = true, .max_restarts = 3 });
    go(a, AWAIT_AND_FAIL);
    num(1);
    go(b, ANSWER_KEPT);
    cr_assert(world_count('S', a.actor) == 2, "again");
    cr_assert(world_count('N', a.actor) == 1, "what waited is handled by the new life");
    go(a, AWAIT);
    go(b, ANSWER_KEPT);
    expect_result(1, ZA_OK);
    teardown();
}

static za_verdict_t sibling_fails(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->self == b.actor && event->kind == 'S') {
        cr_assert(za_supervise(ctx, ZA_ONE_FOR_ALL) == ZA_OK, "supervise");
    }
    if (event->self == b.actor && event->kind == 'G' && event->n == SPAWN) {
        cr_assert(za_spawn(ctx, probe, &a, .fiber = true, .max_restarts = 3) == ZA_OK, "spawn");
        cr_assert(za_spawn(ctx, probe, &(za_ref_t){ 0 }, .max_restarts = 3, .tag = 1) == ZA_OK, "");
    }
    if (event->kind == 'B') {
        return ZA_FAIL;
    }
    return behave(ctx, self, event);
}

Test(fiber, a_restart_with_a_sibling_ends_the_wait)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = sibling_fails;
    result_count = 0;
    b = world_spawn(&world);
    b = (za_ref_t){ 0, b.actor };
    world_run(&world);
    go(b, SPAWN);
    za_ref_t sibling = { 0, world_log[world_log_count - 1].self };
    for (size_t i = 0; i < world_log_count; i++) {
        uint64_t self = world_log[i].self;
        sibling.actor = self != a.actor && self != b.actor ? self : sibling.actor;
    }
    go(a, AWAIT);
    num(1);
    world_run(&world);
    cr_assert(world_tell(&world, sibling, ZA_MSG(t_Text, .n = 1)) == ZA_OK, "tell");
    world_run(&world);
    expect_result(0, ZA_ESTOPPING);
    cr_assert(world_count('S', a.actor) == 2, "restarted");
    cr_assert(world_count('N', a.actor) == 1, "what waited is handled by the new life");
    teardown();
}

Test(fiber, may_be_left_waiting_when_all_is_over)
{
    setup();
    go(a, AWAIT);
    num(1);
    world_run(&world);
    teardown();
}

/* ---- refusals ----------------------------------------------------------------------------- */

Test(fiber, is_needed_to_wait)
{
    setup_opts((za_runtime_config_t){ 0 }, (za_spawn_opts_t){ 0 });
    go(a, AWAIT);
    go(a, SLEEP);
    expect_result(0, ZA_EDENIED);
    expect_result(1, ZA_EDENIED);
    cr_assert(kept == NULL, "nothing was sent");
    teardown();
}

Test(fiber, cannot_ask_itself)
{
    setup();
    go(a, AWAIT_SELF);
    expect_result(0, ZA_EINVAL);
    teardown();
}

static za_err_t spawn_with(za_spawn_opts_t opts)
{
    za_ref_t ref;
    opts.size = sizeof opts;
    return za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref);
}

Test(fiber, options_that_do_not_go_together_are_refused)
{
    setup();
    cr_expect(spawn_with((za_spawn_opts_t){ .fiber = true, .stack_bytes = 1000 }) == ZA_EINVAL);
    cr_expect(spawn_with((za_spawn_opts_t){ .fiber = true, .stack_bytes = 2 << 20 }) == ZA_EINVAL);
    cr_expect(spawn_with((za_spawn_opts_t){ .fiber = true, .dedicated = true }) == ZA_EINVAL);
    cr_expect(spawn_with((za_spawn_opts_t){ .fiber = true, .overflow = ZA_DROP_OLDEST }) ==
              ZA_EINVAL);
    cr_expect(spawn_with((za_spawn_opts_t){ .fiber = true, .stack_bytes = 1 << 20 }) == ZA_OK);
    teardown();
}

Test(fiber, as_many_as_there_may_be)
{
    setup_opts((za_runtime_config_t){ .fibers_max = 2 }, (za_spawn_opts_t){ .fiber = true });
    za_ref_t second = world_spawn_opts(&world, (za_spawn_opts_t){ .fiber = true });
    cr_assert(spawn_with((za_spawn_opts_t){ .fiber = true }) == ZA_ENOBUFS, "no more");
    za_runtime_stop_actor(world.guest, second.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(spawn_with((za_spawn_opts_t){ .fiber = true }) == ZA_OK, "one more");
    teardown();
}

static uint32_t warnings;

static void count_warnings(void *context, int level, const char *class_name, za_ref_t actor,
                           const char *text)
{
    (void)context;
    (void)class_name;
    (void)actor;
    warnings += level == ZA_WARN && strstr(text, "beyond 1 have no guard page") != NULL;
}

Test(fiber, the_log_says_once_that_some_have_no_guard)
{
    static const za_remote_t remote = { .log = count_warnings };
    warnings = 0;
    setup_opts((za_runtime_config_t){ .fibers_guarded_max = 1, .remote = &remote },
               (za_spawn_opts_t){ .fiber = true });
    cr_assert(warnings == 0, "the first has one");
    world_spawn_opts(&world, (za_spawn_opts_t){ .fiber = true });
    world_spawn_opts(&world, (za_spawn_opts_t){ .fiber = true });
    cr_assert(warnings == 1, "%u", warnings);
    teardown();
}

/* ---- many --------------------------------------------------------------------------------- */

static uint64_t awaiting, resumed;

static za_verdict_t many(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->self != b.actor && event->kind == 'G') {
        awaiting++;
        za_err_t err = za_sleep(ctx, 50);
        cr_assert(err == ZA_OK, "%s", za_err_name(err));
        resumed++;
    }
    return ZA_DONE;
}

static void await_many(uint32_t count, uint32_t guarded_max)
{
    world_init(&world, (za_runtime_config_t){ .actors_max = count + 10,
                                              .pool_bytes_max = UINT64_C(1) << 30,
                                              .fibers_max = count,
                                              .fibers_guarded_max = guarded_max });
    world_behave = many;
    awaiting = 0;
    resumed = 0;
    b = world_spawn(&world);
    for (uint32_t i = 0; i < count; i++) {
        za_ref_t ref = world_spawn_opts(&world, (za_spawn_opts_t){ .fiber = true });
        world_go(&world, ref, 1, ZA_REF_NONE);
    }
    world_run(&world);
    cr_assert(awaiting == count && resumed == 0, "%u at once", (unsigned)awaiting);
    world_advance(&world, 60);
    cr_assert(resumed == count, "all of them go on: %u", (unsigned)resumed);
    za_runtime_destroy(world.runtime);
}

#ifdef ZA_FIBER_TSAN
enum { GUARDED = 2000, ALL = 4000 }; // it has no room for more than 8,128
#else
enum { GUARDED = 20000, ALL = 100000 };
#endif

Test(fiber, twenty_thousand_wait_behind_guard_pages)
{
    await_many(GUARDED, GUARDED);
}

Test(fiber, a_hundred_thousand_wait_with_canaries)
{
    await_many(ALL, GUARDED);
}

/* ---- overflows ---------------------------------------------------------------------------- */

/** Uses at least so much of its stack, from the high end to the low one. */
static __attribute__((noinline)) void use_stack(volatile char *below, size_t bytes)
{
    volatile char frame[512];
    for (size_t i = 0; i < sizeof frame; i++) {
        frame[i] = (char)i;
    }
    if (bytes > sizeof frame) {
        use_stack(frame, bytes - sizeof frame);
    }
    below[0] = frame[1]; // no tail call
}

static za_verdict_t overflow(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        volatile char first[1];
        use_stack(first, event->n);
        note(za_sleep(ctx, 1));
    }
    return ZA_DONE;
}

typedef struct death {
    int status;
    char text[1024];
} death_t;

/** Lets a process of its own use `bytes` of a stack of 64 KiB. */
static death_t overflow_apart(za_runtime_config_t config, uint64_t bytes)
{
    death_t death = { 0 };
    int ends[2];
    cr_assert(pipe(ends) == 0, "a pipe");
    pid_t pid = fork();
    cr_assert(pid >= 0, "a process");
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        static za_fault_stack_t stack;
        za_fault_stack_begin(&stack);
        struct sigaction action = { .sa_sigaction = za_fiber_signal,
                                    .sa_flags = SA_SIGINFO | SA_ONSTACK };
        sigaction(SIGSEGV, &action, NULL);
        signal(SIGABRT, SIG_DFL);
        world_init(&world, config);
        world_behave = overflow;
        za_ref_t guarded = world_spawn_opts(&world, (za_spawn_opts_t){ .fiber = true });
        a = world_spawn_opts(&world, (za_spawn_opts_t){ .fiber = true });
        (void)guarded;
        world_go(&world, a, bytes, ZA_REF_NONE);
        world_run(&world);
        _exit(0);
    }
    close(ends[1]);
    size_t size = 0;
    ssize_t got;
    while ((got = read(ends[0], death.text + size, sizeof death.text - 1 - size)) > 0) {
        size += (size_t)got;
    }
    close(ends[0]);
    cr_assert(waitpid(pid, &death.status, 0) == pid, "waited for");
    return death;
}

#if defined(ZA_FIBER_ASAN) || defined(ZA_FIBER_TSAN)
#define OVERFLOWS_ARE_OURS false // the sanitizer has a word of its own
#else
#define OVERFLOWS_ARE_OURS true
#endif

Test(fiber, an_overflow_hits_the_guard_and_is_named)
{
    death_t death = overflow_apart((za_runtime_config_t){ 0 }, 70 * 1024);
    cr_assert(WIFSIGNALED(death.status), "%d", death.status);
    if (OVERFLOWS_ARE_OURS) {
        cr_assert(WTERMSIG(death.status) == SIGSEGV, "%d", WTERMSIG(death.status));
        cr_assert(strstr(death.text, "stack overflow in fiber of actor probe local/") != NULL, "%s",
                  death.text);
    }
}

// The first fiber has the guard; the second one's neighbour below is nobody's yet.
Test(fiber, an_overflow_over_a_canary_ends_the_process)
{
    if (!OVERFLOWS_ARE_OURS) {
        cr_skip_test("the sanitizer has a word of its own");
    }
    death_t death = overflow_apart((za_runtime_config_t){ .fibers_guarded_max = 1 }, 66 * 1024);
    cr_assert(WIFSIGNALED(death.status) && WTERMSIG(death.status) == SIGABRT, "%d", death.status);
    cr_assert(strstr(death.text, "probe overflowed the stack of its fiber") != NULL, "%s",
              death.text);
}

Test(fiber, a_stack_is_as_large_as_it_is_said)
{
    death_t death = overflow_apart((za_runtime_config_t){ 0 }, 40 * 1024);
    cr_assert(WIFEXITED(death.status) && WEXITSTATUS(death.status) == 0, "guarded: %s", death.text);
    death = overflow_apart((za_runtime_config_t){ .fibers_guarded_max = 1 }, 40 * 1024);
    cr_assert(WIFEXITED(death.status) && WEXITSTATUS(death.status) == 0, "canary: %s", death.text);
}
