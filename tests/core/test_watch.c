#include "core/worker.h"
#include "world.h"

static world_t world;
static za_ref_t a, b;

enum { WATCH = 1, UNWATCH = 2, WATCH_TWICE = 3, STOP = 4, TELL = 5, WATCH_SELF = 6 };

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    switch (event->n) {
    case WATCH_TWICE:
        cr_assert(za_watch(ctx, event->ref) == ZA_OK, "watch");
        cr_assert(za_watch(ctx, event->ref) == ZA_OK, "twice is one watch");
        break;
    case WATCH:
        cr_assert(za_watch(ctx, event->ref) == ZA_OK, "watch");
        break;
    case UNWATCH:
        za_unwatch(ctx, event->ref);
        break;
    case WATCH_SELF:
        cr_assert(za_watch(ctx, za_self(ctx)) == ZA_EINVAL, "nobody hears of its own end");
        cr_assert(za_watch(ctx, ZA_REF_NONE) == ZA_EINVAL, "nobody");
        cr_assert(za_watch(ctx, (za_ref_t){ 4, 4 }) == ZA_ENOROUTE, "no other node");
        break;
    case TELL: // the last messages, then the end
        for (uint64_t i = 0; i < 5; i++) {
            cr_assert(za_tell(ctx, event->ref, ZA_MSG(t_Num, .n = i)) == ZA_OK, "tell");
        }
        return ZA_STOP;
    case STOP:
        return ZA_STOP;
    default:
        break;
    }
    return ZA_DONE;
}

static void setup(void)
{
    world_init(&world, (za_runtime_config_t){ .workers = 2 });
    world_behave = behave;
    a = world_spawn(&world);
    b = world_spawn(&world);
    world_run(&world);
}

static void expect_one_down(za_Reason reason)
{
    world_advance(&world, 10);
    cr_assert(world_count('D', a.actor) == 1, "%zu downs", world_count('D', a.actor));
    const event_t *down = world_nth('D', a.actor, 0);
    cr_assert(za_ref_equal(down->ref, b), "of whom");
    cr_assert(down->reason == reason, "reason %d", (int)down->reason);
    cr_assert(down->tag == 0, "a watch has no tag");
}

Test(watch, gives_one_down_when_the_target_ends)
{
    setup();
    world_go(&world, a, WATCH_TWICE, b);
    world_run(&world);
    cr_assert(world_count('D', 0) == 0, "it lives");
    world_go(&world, b, STOP, ZA_REF_NONE);
    expect_one_down(za_Reason_REASON_STOPPED);
    za_runtime_destroy(world.runtime);
}

Test(watch, of_a_dead_actor_gives_one_down_at_once)
{
    setup();
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, a, WATCH, b);
    world_run(&world);
    expect_one_down(za_Reason_REASON_NO_ACTOR);
    za_runtime_destroy(world.runtime);
}

Test(watch, of_a_reused_slot_gives_one_down)
{
    setup();
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_run(&world);
    za_spawn_opts_t opts = { .size = sizeof opts };
    for (uint32_t i = 0; i < 2; i++) { // whichever worker has the slot
        za_ref_t fresh;
        cr_assert(za_runtime_spawn(za_runtime_worker(world.runtime, i), &probe_class, &opts,
                                   ZA_REF_NONE, &fresh) == ZA_OK,
                  "spawn");
    }
    world_go(&world, a, WATCH, b);
    expect_one_down(za_Reason_REASON_NO_ACTOR);
    za_runtime_destroy(world.runtime);
}

Test(watch, comes_after_the_last_message)
{
    setup();
    world_go(&world, a, WATCH, b);
    world_run(&world);
    world_go(&world, b, TELL, a);
    expect_one_down(za_Reason_REASON_STOPPED);
    cr_assert(world_count('N', a.actor) == 5, "all messages");
    size_t last = world_index(world_nth('N', a.actor, 4));
    cr_assert(last < world_index(world_nth('D', a.actor, 0)), "then the down");
    za_runtime_destroy(world.runtime);
}

Test(watch, can_be_taken_back)
{
    setup();
    world_go(&world, a, WATCH, b);
    world_go(&world, a, UNWATCH, b);
    world_run(&world);
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_advance(&world, 10);
    cr_assert(world_count('D', 0) == 0, "no down");
    za_runtime_destroy(world.runtime);
}

Test(watch, taken_back_drops_even_a_queued_down)
{
    setup();
    world_go(&world, a, WATCH, b);
    world_run(&world);
    // The unwatch lies in a's mailbox before the down does, and runs with it in one run.
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_go(&world, a, UNWATCH, b);
    world_advance(&world, 10);
    cr_assert(world_count('D', 0) <= 1, "at most one, if it came first");
    size_t down = world_count('D', 0) == 0 ? 0 : world_index(world_nth('D', 0, 0));
    size_t unwatch = world_index(world_nth('G', a.actor, 1));
    cr_assert(world_count('D', 0) == 0 || down < unwatch, "never after the unwatch");
    za_runtime_destroy(world.runtime);
}

Test(watch, anew_after_taking_back_gives_one_down)
{
    setup();
    world_go(&world, a, WATCH, b);
    world_go(&world, a, UNWATCH, b);
    world_go(&world, a, WATCH, b);
    world_run(&world);
    world_go(&world, b, STOP, ZA_REF_NONE);
    expect_one_down(za_Reason_REASON_STOPPED);
    za_runtime_destroy(world.runtime);
}

Test(watch, refuses_what_cannot_be_watched)
{
    setup();
    world_go(&world, a, WATCH_SELF, ZA_REF_NONE);
    world_run(&world);
    za_runtime_destroy(world.runtime);
}

/* ---- other nodes -------------------------------------------------------------------------- */

static uint32_t downs, watches, unwatches;
static za_ref_t down_watcher;
static uint64_t watch_id;

static za_err_t watch_out(void *context, za_worker_t *worker, za_ref_t watcher, uint64_t id,
                          za_ref_t target)
{
    (void)context;
    (void)worker;
    (void)watcher;
    (void)target;
    watches++;
    watch_id = id;
    return ZA_OK;
}

static void unwatch_out(void *context, za_worker_t *worker, za_ref_t watcher, uint64_t id,
                        za_ref_t target)
{
    (void)context;
    (void)worker;
    (void)watcher;
    (void)id;
    (void)target;
    unwatches++;
}

static void down_out(void *context, za_worker_t *worker, za_ref_t watcher, uint64_t id,
                     za_ref_t target, za_Reason reason)
{
    (void)context;
    (void)worker;
    (void)id;
    (void)target;
    (void)reason;
    downs++;
    down_watcher = watcher;
}

static const za_remote_t remote = { .watch = watch_out, .unwatch = unwatch_out, .down = down_out };

Test(watch, from_another_node_is_answered_once)
{
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    world_behave = behave;
    b = world_spawn(&world);
    za_ref_t watcher = { 9, 99 };
    cr_assert(za_runtime_watch(world.guest, watcher, 1, b.actor) == ZA_OK, "watch");
    cr_assert(za_runtime_watch(world.guest, watcher, 2, b.actor) == ZA_OK, "watch");
    za_runtime_unwatch(world.guest, watcher, 2, b.actor);
    world_run(&world);
    cr_assert(downs == 0, "it lives");
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_run(&world);
    cr_assert(downs == 1 && za_ref_equal(down_watcher, watcher), "one down: %d", (int)downs);
    cr_assert(za_runtime_watch(world.guest, watcher, 3, b.actor) == ZA_OK, "of the dead");
    world_run(&world);
    cr_assert(downs == 2, "answered too");
    za_runtime_destroy(world.runtime);
}

Test(watch, of_another_node_fires_once)
{
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    world_behave = behave;
    a = world_spawn(&world);
    b = (za_ref_t){ 9, 99 };
    world_go(&world, a, WATCH_TWICE, b);
    world_run(&world);
    cr_assert(watches == 1, "one watch goes out");
    za_runtime_down(world.guest, a, watch_id + 1, b, za_Reason_REASON_NODE_DOWN);
    world_run(&world);
    cr_assert(world_count('D', 0) == 0, "another watch's");
    za_runtime_down(world.guest, a, watch_id, b, za_Reason_REASON_NODE_DOWN);
    za_runtime_down(world.guest, a, watch_id, b, za_Reason_REASON_NODE_DOWN);
    expect_one_down(za_Reason_REASON_NODE_DOWN);
    world_go(&world, a, WATCH, b);
    world_run(&world);
    world_go(&world, a, STOP, ZA_REF_NONE);
    world_run(&world);
    cr_assert(watches == 2 && unwatches == 1, "an ending watcher takes its watch back");
    za_runtime_destroy(world.runtime);
}

/* ---- many watchers ------------------------------------------------------------------------ */

enum { CROWD = 2000 };

static za_ref_t crowd[CROWD];

static void setup_crowd(uint64_t pool_bytes_max)
{
    world_init(&world, (za_runtime_config_t){ .pool_bytes_max = pool_bytes_max });
    world_behave = behave;
    b = world_spawn(&world);
    for (size_t i = 0; i < CROWD; i++) {
        crowd[i] = world_spawn(&world);
        world_go(&world, crowd[i], WATCH, b);
        world_run(&world);
    }
}

static uint64_t looks(void)
{
    return za_runtime_worker(world.runtime, 0)->looks;
}

static void unwatch_first(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        world_go(&world, crowd[i], UNWATCH, b);
        world_run(&world);
    }
}

/** The target ends: who hears of it, once each. */
static void expect_downs_from(size_t first)
{
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_run(&world);
    for (size_t i = 0; i < CROWD; i++) {
        cr_assert(world_count('D', crowd[i].actor) == (i >= first), "watcher %zu", i);
    }
}

// The oldest first: in one chain, each would pass all the others.
Test(watch, taken_back_among_thousands_is_found_in_a_few_looks)
{
    setup_crowd(0);
    world_log_count = 0;
    uint64_t before = looks();
    unwatch_first(CROWD / 2);
    uint64_t per_watch = (looks() - before) / (CROWD / 2);
    cr_assert(per_watch <= 4, "%llu looks for each", (unsigned long long)per_watch);
    world_log_count = 0;
    expect_downs_from(CROWD / 2);
    za_runtime_destroy(world.runtime);
}

Test(watch, of_one_that_all_left_gives_no_down)
{
    setup_crowd(0);
    world_log_count = 0;
    unwatch_first(CROWD);
    world_go(&world, crowd[7], WATCH, b); // and one comes back
    world_run(&world);
    world_log_count = 0;
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('D', 0) == 1 && world_count('D', crowd[7].actor) == 1, "one down");
    za_runtime_destroy(world.runtime);
}

// A watch that was accepted is kept, whatever memory is left for finding it soon.
Test(watch, of_many_needs_no_memory_to_be_kept)
{
    setup_crowd(0);
    za_watchers_t *table = &za_cell_find(world.runtime, b.actor)->extra->watchers;
    uint32_t chains = table->mask + 1;
    cr_assert(table->count == CROWD && chains >= CROWD / 2, "%u chains", (unsigned)chains);
    za_pool_t *pool = &za_runtime_worker(world.runtime, 0)->pool;
    while (za_pool_alloc(pool, sizeof(za_block_t) + 2 * sizeof(void *) * chains, ZA_POOL_BOUNDED)) {
    }
    while (za_pool_alloc(&world.guest->pool, 4096, ZA_POOL_BOUNDED)) {
    }
    uint32_t kept = table->count;
    for (uint64_t id = 1; kept + id <= 3 * chains; id++) {
        za_message_t *watch = za_message_make(za_runtime_worker(world.runtime, 0), ZA_KIND_WATCH,
                                              sizeof(za_Down), ZA_POOL_BEYOND);
        watch->type = NULL;
        watch->actor = b.actor;
        watch->sender = (za_ref_t){ 0, crowd[id % CROWD].actor };
        watch->ask = id;
        za_watcher_add(za_runtime_worker(world.runtime, 0), za_cell_find(world.runtime, b.actor),
                       watch);
    }
    cr_assert(table->mask + 1 == chains && table->count == 3 * chains,
              "all are in the same chains");
    world_log_count = 0;
    expect_downs_from(0);
    za_runtime_destroy(world.runtime);
}

static za_ref_t late; // lives in the cell of `b`

static za_verdict_t behave_late(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind == 'S' && event->self == late.actor) {
        return ZA_FAIL;
    }
    for (int i = 0; event->kind == 'G' && event->n == 99 && i < 64; i++) {
        if (za_id_slot(late.actor) == za_id_slot(b.actor)) {
            break;
        }
        cr_assert(za_spawn(ctx, probe, &late, .max_restarts = 1, .backoff_min_ms = 20000,
                           .within_ms = 60000) == ZA_OK,
                  "spawn");
    }
    return behave(ctx, self, event);
}

// The actor that has the cell now takes no messages while it waits for its restart.
Test(watch, of_the_dead_is_answered_whoever_has_the_cell_now)
{
    world_init(&world, (za_runtime_config_t){ .workers = 1 });
    world_behave = behave_late;
    a = world_spawn(&world);
    b = world_spawn(&world);
    za_ref_t parent = world_spawn(&world);
    world_go(&world, b, STOP, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, parent, 99, ZA_REF_NONE);
    world_run(&world);
    cr_assert(za_id_slot(late.actor) == za_id_slot(b.actor), "the same cell");
    world_go(&world, a, WATCH, b);
    expect_one_down(za_Reason_REASON_NO_ACTOR);
    za_runtime_destroy(world.runtime);
}
