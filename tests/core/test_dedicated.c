#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "core/ctx.h"
#include "on_threads.h"

static za_worker_t *guest;
static _Atomic uint32_t got, blocked, let_go, returned;

static void create(uint32_t workers)
{
    make_threads(NULL, workers, &(za_threads_opts_t){ 0 });
    guest = za_runtime_guest(runtime);
}

static void start(uint32_t workers)
{
    create(workers);
    start_threads();
}

static void add(_Atomic uint32_t *count)
{
    atomic_fetch_add_explicit(count, 1, memory_order_release);
}

static uint64_t actors(void)
{
    za_counters_t counters;
    za_runtime_counters(runtime, &counters);
    return counters.actors;
}

static void wait_for_actors(uint64_t wanted)
{
    while (actors() != wanted) {
        sched_yield();
    }
}

static za_err_t spawn(const za_class_t *class_, za_spawn_opts_t opts, za_ref_t *out)
{
    opts.size = sizeof opts;
    return za_runtime_spawn(guest, class_, &opts, ZA_REF_NONE, out);
}

static za_ref_t must_spawn(const za_class_t *class_, za_spawn_opts_t opts)
{
    za_ref_t ref;
    za_err_t err = spawn(class_, opts, &ref);
    cr_assert(err == ZA_OK, "spawn: %s", za_err_name(err));
    return ref;
}

static void tell(za_ref_t to, const za_type_t *type, const void *body)
{
    za_outgoing_t out = { .to = to, .type = type, .body = body };
    cr_assert(za_runtime_tell(guest, &out) == ZA_OK, "tell");
}

static void tell_go(za_ref_t to, uint64_t n, za_ref_t ref)
{
    tell(to, ZA_MSG(t_Go, .n = n, .ref = ref));
}

/* ---- blocking ----------------------------------------------------------------------------- */

static za_verdict_t block(za_ctx_t *ctx, probe_t *self, const t_Go *m)
{
    for (uint64_t i = 0; i < m->n; i++) {
        cr_assert(za_tell(ctx, m->ref, ZA_MSG(t_Num, .n = self->mark++)) == ZA_OK, "tell");
    }
    add(&blocked);
    wait_for(&let_go, 1);
    add(&returned);
    return ZA_DONE;
}

static za_verdict_t count_num(za_ctx_t *ctx, probe_t *self, const t_Num *m)
{
    (void)ctx;
    cr_expect(m->n == self->mark, "message %u after %u", (unsigned)m->n, (unsigned)self->mark);
    self->mark++;
    add(&got);
    return ZA_DONE;
}

ZA_ACTOR(blocker, probe_t, (t_Go, block));
ZA_ACTOR(counter, probe_t, (t_Num, count_num));

Test(dedicated, an_actor_that_blocks_delays_nobody)
{
    start(1);
    za_ref_t blockers[3];
    for (int i = 0; i < 3; i++) {
        blockers[i] = must_spawn(&blocker_class, (za_spawn_opts_t){ .dedicated = true });
        tell_go(blockers[i], 0, ZA_REF_NONE);
    }
    wait_for(&blocked, 3); // each on a thread of its own
    za_ref_t other = must_spawn(&counter_class, (za_spawn_opts_t){ 0 });
    for (uint32_t i = 0; i < 1000; i++) {
        tell(other, ZA_MSG(t_Num, .n = i));
    }
    wait_for(&got, 1000);
    add(&let_go);
    stop();
}

// Elsewhere messages to one actor are gathered until the handler returns: this one does not.
Test(dedicated, what_a_handler_sent_before_it_blocks_arrives)
{
    start(1);
    za_ref_t other = must_spawn(&counter_class, (za_spawn_opts_t){ 0 });
    za_ref_t blocker = must_spawn(&blocker_class, (za_spawn_opts_t){ .dedicated = true });
    for (uint32_t round = 1; round <= 3; round++) { // later ones find blocks in the pool
        tell_go(blocker, 21, other);
        wait_for(&got, round * 21);
        add(&let_go);
        wait_for(&returned, round);
        atomic_store_explicit(&let_go, 0, memory_order_relaxed);
    }
    stop();
}

/* ---- the promises of any actor ------------------------------------------------------------ */

static za_verdict_t echo_num(za_ctx_t *ctx, probe_t *self, const t_Num *m)
{
    cr_expect(m->n == self->mark, "question %u after %u", (unsigned)m->n, (unsigned)self->mark);
    self->mark++;
    za_reply(ctx, ZA_MSG(t_Num, .n = m->n));
    return ZA_DONE;
}

static za_verdict_t echo_go(za_ctx_t *ctx, probe_t *self, const t_Go *m)
{
    if (m->n == 0) {
        return ZA_STOP;
    }
    if (m->n == 1 && self->mark == 0) {
        self->mark = za_now_ms(ctx);
        cr_assert(za_after(ctx, 20, ZA_MSG(t_Go, .n = 1), NULL) == ZA_OK, "timer");
        return ZA_DONE;
    }
    if (m->n == 1) {
        cr_expect(za_now_ms(ctx) - self->mark >= 20, "the time goes on");
        add(&got);
        return ZA_DONE;
    }
    return ZA_FAIL;
}

ZA_ACTOR(echo, probe_t, (t_Num, echo_num), (t_Go, echo_go));

enum { QUESTIONS = 1000 };

static za_verdict_t ask_all(za_ctx_t *ctx, probe_t *self, const t_Go *m)
{
    (void)self;
    cr_assert(za_watch(ctx, m->ref) == ZA_OK, "watch");
    for (uint64_t i = 0; i < QUESTIONS; i++) {
        za_err_t err = za_ask(ctx, m->ref, ZA_MSG(t_Num, .n = i), .timeout_ms = 60000, .tag = i);
        cr_assert(err == ZA_OK, "ask");
    }
    return ZA_DONE;
}

static za_verdict_t take_answer(za_ctx_t *ctx, probe_t *self, const t_Num *m)
{
    cr_expect(m->n == self->mark && za_tag(ctx) == m->n, "answer %u", (unsigned)m->n);
    if (++self->mark == QUESTIONS) {
        cr_assert(za_tell(ctx, za_sender(ctx), ZA_MSG(t_Go, .n = 0)) == ZA_OK, "tell");
    }
    return ZA_DONE;
}

static za_verdict_t take_down(za_ctx_t *ctx, probe_t *self, const za_Down *m)
{
    (void)ctx;
    cr_expect(self->mark == QUESTIONS && m->reason == za_Reason_REASON_STOPPED,
              "after the answers");
    add(&got);
    return ZA_DONE;
}

ZA_ACTOR(asker, probe_t, (t_Go, ask_all), (t_Num, take_answer), (za_Down, take_down));

Test(dedicated, messages_asks_and_watches_keep_their_promises_both_ways)
{
    start(2);
    za_ref_t echo = must_spawn(&echo_class, (za_spawn_opts_t){ .dedicated = true });
    za_ref_t asker = must_spawn(&asker_class, (za_spawn_opts_t){ .dedicated = true });
    za_ref_t usual = must_spawn(&echo_class, (za_spawn_opts_t){ 0 });
    za_ref_t usual_asker = must_spawn(&asker_class, (za_spawn_opts_t){ 0 });
    tell_go(usual_asker, 0, echo); // worker to thread
    tell_go(asker, 0, usual);      // thread to worker
    wait_for(&got, 2);
    wait_for_actors(2);
    stop();
}

Test(dedicated, an_actor_that_rests_wakes_for_its_timers)
{
    start(1);
    za_ref_t echo = must_spawn(&echo_class, (za_spawn_opts_t){ .dedicated = true });
    tell_go(echo, 1, ZA_REF_NONE);
    wait_for(&got, 1);
    stop();
}

static pthread_t lives[3]; // the thread of each life

static za_verdict_t note_life(za_ctx_t *ctx, probe_t *self, const za_Started *m)
{
    (void)ctx;
    cr_expect(self->mark == 0, "a fresh state");
    self->mark = 1;
    lives[m->restarts] = pthread_self();
    add(&got);
    return ZA_DONE;
}

static za_verdict_t fail(za_ctx_t *ctx, probe_t *self, const t_Go *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    return ZA_FAIL;
}

ZA_ACTOR(mortal, probe_t, (za_Started, note_life), (t_Go, fail));

Test(dedicated, a_restarted_actor_stays_on_its_thread)
{
    start(1);
    za_ref_t ref =
        must_spawn(&mortal_class,
                   (za_spawn_opts_t){ .dedicated = true, .max_restarts = 2, .backoff_min_ms = 1 });
    tell_go(ref, 0, ZA_REF_NONE);
    tell_go(ref, 0, ZA_REF_NONE);
    wait_for(&got, 3);
    cr_expect(pthread_equal(lives[0], lives[1]) && pthread_equal(lives[0], lives[2]), "one thread");
    cr_expect(!pthread_equal(lives[0], pthread_self()), "not this one");
    stop();
}

/* ---- parents and children ----------------------------------------------------------------- */

static za_verdict_t spawn_children(za_ctx_t *ctx, probe_t *self, const t_Go *m)
{
    (void)self;
    if (m->n == 0) {
        return ZA_STOP;
    }
    za_ref_t child;
    for (uint64_t i = 0; i < m->n; i++) {
        cr_assert(za_spawn(ctx, echo, &child, .dedicated = i % 2 == 0) == ZA_OK, "spawn");
    }
    add(&got);
    return ZA_DONE;
}

ZA_ACTOR(parent, probe_t, (t_Go, spawn_children));

Test(dedicated, children_on_threads_end_with_their_parent_and_the_reverse)
{
    start(2);
    za_ref_t usual = must_spawn(&parent_class, (za_spawn_opts_t){ 0 });
    za_ref_t dedicated = must_spawn(&parent_class, (za_spawn_opts_t){ .dedicated = true });
    tell_go(usual, 6, ZA_REF_NONE);
    tell_go(dedicated, 6, ZA_REF_NONE);
    wait_for(&got, 2);
    wait_for_actors(14);
    tell_go(usual, 0, ZA_REF_NONE);
    tell_go(dedicated, 0, ZA_REF_NONE);
    wait_for_actors(0);
    stop();
}

/* ---- the limit ---------------------------------------------------------------------------- */

/** All that there may be. A thread gives its number back a moment after its actor has ended. */
static void fill(za_ref_t *refs)
{
    for (int i = 0; i < ZA_DEDICATED_MAX;) {
        i += spawn(&echo_class, (za_spawn_opts_t){ .dedicated = true }, &refs[i]) == ZA_OK;
        sched_yield();
    }
}

Test(dedicated, there_are_only_so_many_and_each_end_makes_room)
{
    start(1);
    za_ref_t refs[ZA_DEDICATED_MAX];
    for (int round = 0; round < 3; round++) {
        za_ref_t more;
        fill(refs);
        cr_expect(spawn(&echo_class, (za_spawn_opts_t){ .dedicated = true }, &more) == ZA_ENOBUFS,
                  "one too many");
        cr_expect(actors() == ZA_DEDICATED_MAX, "which left nothing behind");
        for (int i = 0; i < ZA_DEDICATED_MAX; i++) {
            tell_go(refs[i], 0, ZA_REF_NONE);
        }
        wait_for_actors(0);
    }
    stop();
}

// Without a node there are no names: the spawn fails after the thread was made.
Test(dedicated, a_spawn_that_fails_gives_its_thread_back)
{
    start(1);
    za_ref_t ref;
    const za_spawn_opts_t named = { .dedicated = true, .name = "name" };
    for (int i = 0; i < 4 * ZA_DEDICATED_MAX; i++) {
        za_err_t err = spawn(&echo_class, named, &ref);
        cr_assert(err == ZA_ENOROUTE || err == ZA_ENOBUFS, "%s", za_err_name(err));
    }
    za_ref_t refs[ZA_DEDICATED_MAX];
    fill(refs);
    cr_expect(actors() == ZA_DEDICATED_MAX, "all of them");
    stop();
}

Test(dedicated, options_that_contradict_each_other_are_refused)
{
    start(1);
    za_ref_t ref;
    static const za_spawn_opts_t bad[] = {
        { .dedicated = true, .worker = 1 },
        { .dedicated = true, .stack_bytes = ZA_STACK_BYTES_MIN - 1 },
        { .dedicated = true, .stack_bytes = (size_t)ZA_STACK_BYTES_MAX + 1 },
        { .stack_bytes = ZA_STACK_BYTES_MIN },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect(spawn(&echo_class, bad[i], &ref) == ZA_EINVAL, "options %zu", i);
    }
    must_spawn(&echo_class,
               (za_spawn_opts_t){ .dedicated = true, .stack_bytes = ZA_STACK_BYTES_MIN });
    stop();
}

/* ---- before and without threads ------------------------------------------------------------ */

Test(dedicated, an_actor_spawned_before_the_start_runs_after_it)
{
    create(1);
    za_ref_t ref = must_spawn(&mortal_class, (za_spawn_opts_t){ .dedicated = true });
    (void)ref;
    cr_expect(atomic_load_explicit(&got, memory_order_acquire) == 0, "not yet");
    cr_assert(za_threads_start(threads, runtime) == ZA_OK, "start");
    wait_for(&got, 1);
    stop();
}

Test(dedicated, a_host_that_never_starts_leaves_no_thread)
{
    create(1);
    must_spawn(&mortal_class, (za_spawn_opts_t){ .dedicated = true });
    za_runtime_destroy(runtime);
    za_threads_destroy(threads);
    cr_expect(atomic_load_explicit(&got, memory_order_acquire) == 0, "it never ran");
}

Test(dedicated, in_virtual_time_it_is_an_actor_like_any_other)
{
    world_t world;
    world_init(&world, (za_runtime_config_t){ .workers = 2 });
    world_behave = NULL;
    za_ref_t ref = world_spawn_opts(&world, (za_spawn_opts_t){ .dedicated = true });
    world_go(&world, ref, 0, ZA_REF_NONE);
    world_run(&world);
    cr_expect(world_count('G', ref.actor) == 1, "it ran");
    za_runtime_destroy(world.runtime);
}
