#include <sched.h>
#include <stdatomic.h>

#include "core/ctx.h"
#include "core/threads.h"
#include "world.h"

enum { WORKERS = 3, ACTORS = 30 };

static world_t world;
static uint32_t home_of[ACTORS];  // of the actor with that number
static uint32_t runs_of[WORKERS]; // messages handled on each worker
static uint32_t strays;           // messages handled on another worker than the home

static void start(uint32_t workers)
{
    world_init(&world, (za_runtime_config_t){ .workers = workers });
    world_behave = NULL;
    memset(runs_of, 0, sizeof runs_of);
    strays = 0;
}

static za_verdict_t note_worker(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        uint32_t index = za_worker_index(za_ctx_worker(ctx));
        runs_of[index]++;
        strays += index != home_of[event->n];
    }
    return ZA_DONE;
}

// All the work is handed out by one thread, so that thieves would have much to take.
Test(placed, actors_run_on_their_own_worker_and_nowhere_else)
{
    start(WORKERS);
    world_behave = note_worker;
    za_ref_t refs[ACTORS];
    for (uint32_t i = 0; i < ACTORS; i++) {
        home_of[i] = i % 2; // never on the last worker
        refs[i] = world_spawn_opts(&world, (za_spawn_opts_t){ .worker = 1 + home_of[i] });
    }
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < ACTORS; i++) {
            world_go(&world, refs[i], i, ZA_REF_NONE);
        }
        world_run(&world);
    }
    cr_expect(strays == 0, "%u messages on another worker", strays);
    cr_expect(runs_of[0] == 50 * ACTORS / 2 && runs_of[1] == 50 * ACTORS / 2 && runs_of[2] == 0,
              "%u %u %u", runs_of[0], runs_of[1], runs_of[2]);
    za_runtime_destroy(world.runtime);
}

Test(placed, a_message_wakes_the_home_and_nobody_else)
{
    start(WORKERS);
    za_ref_t ref = world_spawn_opts(&world, (za_spawn_opts_t){ .worker = 3 });
    world_run(&world);
    uint32_t before = world.wakes;
    world_go(&world, ref, 0, ZA_REF_NONE);
    world_go(&world, ref, 0, ZA_REF_NONE);
    cr_expect(world.wakes == before + 1, "one wake for one rest, not %u", world.wakes - before);
    cr_expect(world.woken == za_runtime_worker(world.runtime, 2), "the home");
    cr_expect(za_worker_turn(za_runtime_worker(world.runtime, 0), world.now_ns) == ZA_TURN_IDLE,
              "there is nothing for another worker");
    cr_expect(world_count('G', 0) == 0, "nobody else ran it");
    world_run(&world);
    cr_expect(world_count('G', 0) == 2, "the home ran it");
    za_runtime_destroy(world.runtime);
}

Test(placed, a_worker_that_is_not_there_is_refused)
{
    start(2);
    const za_spawn_opts_t opts = { .size = sizeof opts, .worker = 3 };
    za_ref_t ref;
    cr_expect(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_EINVAL,
              "worker 3 of 2");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t fail_on_go(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)note_worker(ctx, self, event);
    return event->kind == 'G' && event->n == 1 ? ZA_FAIL : ZA_DONE;
}

Test(placed, a_restarted_actor_stays_on_its_worker)
{
    start(2);
    world_behave = fail_on_go;
    home_of[0] = home_of[1] = 1;
    za_ref_t ref = world_spawn_opts(
        &world, (za_spawn_opts_t){ .worker = 2, .max_restarts = 3, .backoff_min_ms = 10 });
    world_go(&world, ref, 1, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, ref, 0, ZA_REF_NONE);
    world_advance(&world, 20);
    cr_expect(world_counters(&world).restarted == 1, "it restarted");
    cr_expect(runs_of[1] == 2 && strays == 0, "%u there, %u elsewhere", runs_of[1], strays);
    za_runtime_destroy(world.runtime);
}

static za_verdict_t watch_on_go(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        cr_assert(za_watch(ctx, event->ref) == ZA_OK, "watch");
    }
    return event->kind == 'N' ? ZA_STOP : ZA_DONE;
}

// The cell of a dead actor has no home any more; what still comes must be answered all the same.
Test(placed, what_comes_after_its_end_is_answered)
{
    start(2);
    world_behave = watch_on_go;
    za_ref_t placed = world_spawn_opts(&world, (za_spawn_opts_t){ .worker = 2 });
    za_ref_t watcher = world_spawn(&world);
    cr_assert(world_tell(&world, placed, ZA_MSG(t_Num, .n = 0)) == ZA_OK, "tell");
    world_run(&world);
    world_go(&world, watcher, 0, placed);
    world_run(&world);
    cr_expect(world_count('D', watcher.actor) == 1, "the watch was answered");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t tell_itself(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind == 'G') {
        self->mark++;
        if (self->mark == 2000) {
            return ZA_STOP;
        }
        cr_assert(za_tell(ctx, za_self(ctx), ZA_MSG(t_Go, .n = 1)) == ZA_OK, "tell");
    }
    return ZA_DONE;
}

// One that never rests, placed, and one that never rests and may run anywhere: neither waits for
// the end of the other.
Test(placed, actors_share_their_worker_with_the_others)
{
    start(1);
    world_behave = tell_itself;
    za_ref_t placed = world_spawn_opts(&world, (za_spawn_opts_t){ .worker = 1 });
    za_ref_t other = world_spawn(&world);
    world_go(&world, placed, 1, ZA_REF_NONE);
    world_go(&world, other, 1, ZA_REF_NONE);
    world_run(&world);
    for (size_t nth = 100; nth < 1900; nth += 100) {
        size_t mine = world_index(world_nth('G', placed.actor, nth));
        size_t theirs = world_index(world_nth('G', other.actor, nth));
        size_t apart = mine > theirs ? mine - theirs : theirs - mine;
        cr_assert(apart < 200, "message %zu: %zu apart", nth, apart);
    }
    za_runtime_destroy(world.runtime);
}

/* ---- on threads --------------------------------------------------------------------------- */

enum { ROUNDS = 3000 };

static _Atomic uint32_t done;

static za_verdict_t return_ball(za_ctx_t *ctx, probe_t *self, const t_Go *m)
{
    (void)self;
    uint32_t home = (uint32_t)(m->n % 2);
    cr_assert(za_worker_index(za_ctx_worker(ctx)) == home, "message %u", (unsigned)m->n);
    if (m->n == ROUNDS) {
        atomic_store_explicit(&done, 1, memory_order_release);
        return ZA_DONE;
    }
    za_ref_t from = za_sender(ctx);
    za_ref_t to = m->n == 0 ? m->ref : from;
    cr_assert(za_tell(ctx, to, ZA_MSG(t_Go, .n = m->n + 1)) == ZA_OK, "tell");
    return ZA_DONE;
}

ZA_ACTOR(player, probe_t, (t_Go, return_ball));

// Each message crosses over, and finds the other worker busy, spinning or parked.
Test(placed, no_wake_of_a_home_is_lost)
{
    za_threads_t *threads;
    za_runtime_t *runtime;
    cr_assert(za_threads_create(NULL, &threads) == ZA_OK, "threads");
    const za_runtime_config_t config = { .workers = 2,
                                         .actors_max = 100,
                                         .pool_bytes_max = 16u << 20,
                                         .mailbox_default = 100,
                                         .seed = 1,
                                         .host = za_threads_host(),
                                         .host_context = threads };
    cr_assert(za_runtime_create(&config, &runtime) == ZA_OK, "runtime");
    cr_assert(za_threads_start(threads, runtime) == ZA_OK, "start");
    za_worker_t *guest = za_runtime_guest(runtime);
    za_ref_t refs[2];
    for (uint32_t i = 0; i < 2; i++) {
        const za_spawn_opts_t opts = { .size = sizeof opts, .worker = 1 + i };
        za_err_t err = za_runtime_spawn(guest, &player_class, &opts, ZA_REF_NONE, &refs[i]);
        cr_assert(err == ZA_OK, "spawn");
    }
    za_outgoing_t out = { .to = refs[0],
                          .type = &t_Go_type,
                          .body = &(const t_Go){ .n = 0, .ref = refs[1] } };
    cr_assert(za_runtime_tell(guest, &out) == ZA_OK, "tell");
    while (atomic_load_explicit(&done, memory_order_acquire) == 0) {
        sched_yield();
    }
    za_threads_stop(threads);
    za_runtime_destroy(runtime);
    za_threads_destroy(threads);
}
