// Memory that is at its bound, wherever it may be noticed: each allocation of each call fails once,
// and whatever was begun is undone. Afterwards not one block may be left in use.
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/worker.h"
#include "world.h"

typedef struct budget {
    uint32_t asked; // allocations that may fail
    uint32_t fails; // so manieth fails; 0: none
    bool all;       // and all after it, notices too: the system itself has nothing left
} budget_t;

static bool guard(void *context, size_t bytes, za_pool_bound_t bound)
{
    (void)bytes;
    budget_t *budget = context;
    if (budget->all && budget->fails != 0 && budget->asked >= budget->fails) {
        return false;
    }
    return bound == ZA_POOL_BEYOND || ++budget->asked != budget->fails;
}

typedef za_err_t op_fn(za_ctx_t *ctx, za_ref_t peer);

static op_fn *op;
static za_err_t op_err;
static za_ref_t op_peer;
static bool op_done;
static uint64_t op_spare; // blocks that the runtime itself may keep for the next one

static za_verdict_t run_op(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G' && event->n == 1 && !op_done) {
        op_err = op(ctx, op_peer);
        op_done = true;
    }
    return ZA_DONE;
}

static world_t world;
static budget_t budget;

static void begin(void)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    budget = (budget_t){ 0 };
    za_pools_guard(&world.runtime->pools, guard, &budget);
    world_behave = run_op;
    op_done = false;
}

static void end(const char *name)
{
    budget = (budget_t){ 0 };
    za_runtime_stop_all(world.guest);
    world_run(&world);
    world_advance(&world, 2000);
    cr_assert(world_counters(&world).actors == 0, "%s: all have ended", name);
    uint64_t left = za_pools_blocks_in_use(&world.runtime->pools);
    cr_assert(left <= op_spare, "%s: %d blocks leaked", name, (int)left);
    za_runtime_destroy(world.runtime);
}

/** Runs `what` with its nth allocation failing. False: it does not make so many. */
static bool fails_at(const char *name, op_fn *what, uint32_t n, bool all)
{
    begin();
    za_ref_t actor = world_spawn(&world);
    op_peer = world_spawn(&world);
    world_go(&world, actor, 0, ZA_REF_NONE); // both have started
    world_run(&world);
    op = what;
    world_go(&world, actor, 1, ZA_REF_NONE);
    uint64_t handled = world_counters(&world).handled;
    budget = (budget_t){ .fails = n, .all = all };
    world_run(&world);
    bool hit = budget.asked >= n;
    cr_assert(op_done, "%s %d: it was called", name, (int)n);
    if (hit) {
        cr_assert(op_err == ZA_ENOBUFS, "%s %d: %s", name, (int)n, za_err_name(op_err));
        cr_assert(world_counters(&world).handled == handled + 1, "%s %d: nothing came of it", name,
                  (int)n);
        cr_assert(world_counters(&world).pool_refused > 0, "%s %d: counted", name, (int)n);
    } else {
        cr_assert(op_err == ZA_OK, "%s without a failure: %s", name, za_err_name(op_err));
    }
    end(name);
    return hit;
}

static void walk(const char *name, op_fn *what, uint32_t least)
{
    for (int all = 0; all < 2; all++) {
        uint32_t n = 1;
        while (fails_at(name, what, n, all != 0)) {
            n++;
            cr_assert(n < 100, "%s never ends", name);
        }
        cr_assert(n - 1 >= least, "%s: only %d allocations", name, (int)n - 1);
    }
}

/* ---- what may fail ------------------------------------------------------------------------- */

static za_err_t op_tell(za_ctx_t *ctx, za_ref_t peer)
{
    return za_tell(ctx, peer, ZA_MSG(t_Num, .n = 1));
}

Test(limits, tell)
{
    walk("tell", op_tell, 1);
}

static za_err_t op_send(za_ctx_t *ctx, za_ref_t peer)
{
    void *message = za_new(ctx, &t_Text_type, 100);
    if (message == NULL) {
        return ZA_ENOBUFS;
    }
    cr_assert(za_bytes_put(message, &((t_Text *)message)->text, "text", 4) == ZA_OK, "room");
    return za_send(ctx, peer, &message);
}

Test(limits, new_and_send)
{
    walk("send", op_send, 1);
}

static za_err_t op_ask(za_ctx_t *ctx, za_ref_t peer)
{
    return za_ask(ctx, peer, ZA_MSG(t_Num, .n = 1), .timeout_ms = 50);
}

Test(limits, ask)
{
    walk("ask", op_ask, 3); // extra record, table, record; the message
}

static za_err_t op_ask_send(za_ctx_t *ctx, za_ref_t peer)
{
    void *message = za_new(ctx, &t_Num_type, 0);
    const za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = 50 };
    return message == NULL ? ZA_ENOBUFS : za_ask_send(ctx, peer, &message, &opts);
}

Test(limits, new_and_ask)
{
    walk("ask_send", op_ask_send, 3);
}

static za_err_t op_watch(za_ctx_t *ctx, za_ref_t peer)
{
    return za_watch(ctx, peer);
}

Test(limits, watch)
{
    walk("watch", op_watch, 3);
}

static za_err_t op_spawn(za_ctx_t *ctx, za_ref_t peer)
{
    za_ref_t child;
    return za_spawn(ctx, probe, &child, ZA_ARGS(t_Num, .ref = peer), .max_restarts = 1);
}

Test(limits, spawn)
{
    walk("spawn", op_spawn, 4); // the parent's record; state, record and arguments of the child
}

static za_err_t op_after(za_ctx_t *ctx, za_ref_t peer)
{
    return za_after(ctx, 10, ZA_MSG(t_Num, .ref = peer), NULL);
}

Test(limits, timer)
{
    walk("after", op_after, 3);
}

static za_err_t op_every(za_ctx_t *ctx, za_ref_t peer)
{
    return za_every(ctx, 10, ZA_MSG(t_Num, .ref = peer), NULL);
}

Test(limits, periodic_timer)
{
    walk("every", op_every, 3);
}

static za_err_t op_keep(za_ctx_t *ctx, za_ref_t peer)
{
    (void)peer;
    return za_keep(ctx) != NULL ? ZA_OK : ZA_ENOBUFS;
}

Test(limits, keep)
{
    walk("keep", op_keep, 2);
}

static za_err_t op_forward(za_ctx_t *ctx, za_ref_t peer)
{
    return za_forward(ctx, peer);
}

Test(limits, forward)
{
    walk("forward", op_forward, 1);
}

static za_err_t op_receive_timeout(za_ctx_t *ctx, za_ref_t peer)
{
    (void)peer;
    return za_receive_timeout(ctx, 1000000);
}

Test(limits, receive_timeout)
{
    walk("receive_timeout", op_receive_timeout, 2);
}

static za_err_t op_supervise(za_ctx_t *ctx, za_ref_t peer)
{
    (void)peer;
    return za_supervise(ctx, ZA_ONE_FOR_ALL);
}

Test(limits, supervise)
{
    walk("supervise", op_supervise, 1);
}

static za_err_t op_trap_exit(za_ctx_t *ctx, za_ref_t peer)
{
    (void)peer;
    return za_trap_exit(ctx, true);
}

Test(limits, trap_exit)
{
    walk("trap_exit", op_trap_exit, 1);
}

static za_err_t op_join(za_ctx_t *ctx, za_ref_t peer)
{
    (void)peer;
    return za_join(ctx, "clerks");
}

Test(limits, join)
{
    op_spare = 1; // the seats of a group that is gone serve the next one
    walk("join", op_join, 3);
}

static za_err_t op_link(za_ctx_t *ctx, za_ref_t peer)
{
    return za_link(ctx, peer);
}

// What the other one has no memory for ends the link, and the one who made it hears of it.
Test(limits, link)
{
    bool hit = true;
    bool refused = false;
    bool told = false;
    for (uint32_t n = 1; hit; n++) {
        begin();
        za_ref_t actor = world_spawn(&world);
        op_peer = world_spawn(&world);
        world_run(&world);
        op = op_link;
        world_go(&world, actor, 1, ZA_REF_NONE);
        budget = (budget_t){ .fails = n };
        world_run(&world);
        hit = budget.asked >= n;
        const event_t *last = world_nth('X', actor.actor, 0);
        if (op_err == ZA_OK && hit) {
            cr_assert(last != NULL && last->reason == za_Reason_REASON_LIMIT, "%d: told", (int)n);
            told = true;
        } else {
            cr_assert(op_err == (hit ? ZA_ENOBUFS : ZA_OK), "%d: %s", (int)n, za_err_name(op_err));
            cr_assert(last == NULL, "%d: and nothing came of it", (int)n);
            refused = refused || hit;
        }
        end("link");
    }
    cr_assert(refused && told, "both happened");
}

/** Many at once: tables that grow fail in the middle. */
static za_err_t op_many(za_ctx_t *ctx, za_ref_t peer)
{
    for (uint32_t i = 0; i < 40; i++) {
        za_err_t err = za_ask(ctx, peer, ZA_MSG(t_Unheard, .n = i), .timeout_ms = 50);
        if (err != ZA_OK) {
            return err;
        }
    }
    return ZA_OK;
}

// Those that succeeded before the failure go on: only that nothing leaks is the same for all.
Test(limits, tables_that_grow)
{
    for (uint32_t n = 1, hit = 1; hit != 0; n++) {
        begin();
        za_ref_t actor = world_spawn(&world);
        op_peer = world_spawn(&world);
        world_run(&world);
        op = op_many;
        world_go(&world, actor, 1, ZA_REF_NONE);
        budget = (budget_t){ .fails = n };
        world_run(&world);
        hit = budget.asked >= n;
        cr_assert(op_err == (hit ? ZA_ENOBUFS : ZA_OK), "%d: %s", (int)n, za_err_name(op_err));
        end("many asks");
        cr_assert(n < 1000, "it ends");
    }
}

/* ---- what comes from outside --------------------------------------------------------------- */

// An answer that finds no memory fails the ask at once, with the memory the ask itself has.
static za_verdict_t answer_num(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        cr_assert(za_ask(ctx, event->ref, ZA_MSG(t_Num, .n = 1), .timeout_ms = 50, .tag = 7) ==
                      ZA_OK,
                  "asked");
        budget = (budget_t){ .fails = 1, .all = true };
    } else if (event->kind == 'N' && event->n == 1) {
        za_reply(ctx, ZA_MSG(t_Num, .n = 2));
    }
    return ZA_DONE;
}

Test(limits, reply_fails_the_ask)
{
    begin();
    world_behave = answer_num;
    za_ref_t asker = world_spawn(&world);
    za_ref_t asked = world_spawn(&world);
    world_run(&world);
    world_go(&world, asker, 0, asked);
    world_run(&world);
    const event_t *down = world_nth('D', asker.actor, 0);
    cr_assert(down != NULL && down->tag == 7 && down->reason == za_Reason_REASON_LIMIT, "failed");
    cr_assert(world_count('T', 0) == 0, "and not by its timeout");
    end("reply");
}

Test(limits, spawn_from_outside)
{
    bool hit = true;
    for (uint32_t n = 1; hit; n++) {
        begin();
        za_spawn_opts_t opts = { .size = sizeof opts, .max_restarts = 3 };
        za_ref_t out = ZA_REF_NONE;
        budget = (budget_t){ .fails = n };
        za_err_t err = za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &out);
        hit = budget.asked >= n;
        cr_assert(err == (hit ? ZA_ENOBUFS : ZA_OK), "%d: %s", (int)n, za_err_name(err));
        cr_assert(za_ref_is_none(out) == hit, "no reference without an actor");
        end("spawn from outside");
    }
}

Test(limits, tell_from_outside_and_its_watch)
{
    begin();
    za_ref_t actor = world_spawn(&world);
    world_run(&world);
    budget = (budget_t){ .fails = 1, .all = true };
    cr_assert(world_tell(&world, actor, ZA_MSG(t_Num, .n = 1)) == ZA_ENOBUFS, "tell");
    cr_assert(za_runtime_watch(world.guest, (za_ref_t){ 9, 9 }, 1, actor.actor) == ZA_ENOBUFS,
              "watch");
    cr_assert(za_message_alloc(world.guest, 100) == NULL, "for what arrives");
    za_runtime_stop_actor(world.guest, actor.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(world_counters(&world).actors == 1, "not even the memory to stop it");
    end("from outside");
}

/* ---- bounds -------------------------------------------------------------------------------- */

static uint32_t tell_until_full(za_ref_t to, const za_type_t *type, const void *message)
{
    uint32_t count = 0;
    za_err_t err;
    while ((err = world_tell(&world, to, type, message)) == ZA_OK) {
        count++;
    }
    cr_assert(err == ZA_ENOBUFS, "%s", za_err_name(err));
    return count;
}

// A flood of one size: whoever sends something else still can.
Test(limits, one_size_of_messages_leaves_room_for_others)
{
    world_init(&world, (za_runtime_config_t){ .pool_bytes_max = 4 << 20,
                                              .pool_class_bytes_max = 1 << 20,
                                              .mailbox_default = 1000000 });
    world_behave = NULL;
    za_ref_t actor = world_spawn(&world);
    world_run(&world);
    uint32_t count = tell_until_full(actor, ZA_MSG(t_Num, .n = 1));
    cr_assert(count > 4000, "%d messages", (int)count);
    za_counters_t counters = world_counters(&world);
    cr_assert(counters.pool_bytes < 2 << 20, "%d bytes", (int)counters.pool_bytes);
    cr_assert(counters.pool_refused == 1, "counted");
    struct {
        t_Text text;
        char bytes[200];
    } other = { .text.text = { sizeof other.text - offsetof(t_Text, text), 200 } };
    cr_assert(world_tell(&world, actor, &t_Text_type, &other) == ZA_OK, "another size");
    world_run(&world);
    cr_assert(world_tell(&world, actor, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "and again, afterwards");
    za_runtime_destroy(world.runtime);
}

typedef struct near {
    uint64_t bytes[2];
} near_t;

static za_err_t note_bind(void *context, void *pages, size_t bytes, uint32_t node)
{
    (void)pages;
    ((near_t *)context)->bytes[node] += bytes;
    return ZA_OK;
}

// Two workers on two memory nodes, and a guest that is on none.
Test(limits, slabs_are_near_the_core_of_their_worker)
{
    near_t near = { 0 };
    za_numa_t numa = { .node_count = 2, .core_count = 2, .nodes = { 1, 0 }, .bind = note_bind };
    numa.context = &near;
    world_init(&world, (za_runtime_config_t){ .workers = 2, .numa = &numa });
    world_behave = run_op;
    op = op_tell;
    za_worker_place(za_runtime_worker(world.runtime, 0), 0);
    za_ref_t actor = world_spawn(&world);
    op_peer = actor;
    world_go(&world, actor, 1, ZA_REF_NONE);
    cr_assert(near.bytes[0] == 0 && near.bytes[1] == 0, "the guest is anywhere");
    world_run(&world);
    cr_assert(near.bytes[1] > 0 && near.bytes[0] == 0, "core 0 is on node 1");
    za_runtime_destroy(world.runtime);
}

/* ---- the system's memory -------------------------------------------------------------------- */

/** Pages of address space that this process has. */
static unsigned long mapped_pages(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert(file != NULL && fscanf(file, "%lu", &pages) == 1, "statm");
    fclose(file);
    return pages;
}

// Less and less is missing, until it is enough: each time before, what was mapped is unmapped.
Test(limits, a_runtime_that_finds_no_memory_leaves_none_behind)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    cr_skip_test("a sanitizer's own memory needs more than any limit");
#endif
    enum { STEP = 128 * 1024, STEPS_MAX = 4000 };
    const za_runtime_config_t config = { .workers = 2,
                                         .actors_max = 10000,
                                         .pool_bytes_max = 1 << 20,
                                         .mailbox_default = 10,
                                         .host = &world_host };
    struct rlimit before;
    cr_assert(getrlimit(RLIMIT_AS, &before) == 0, "the limit");
    unsigned long page_bytes = (unsigned long)sysconf(_SC_PAGESIZE);
    unsigned long pages = mapped_pages();
    za_runtime_t *runtime = NULL;
    za_err_t err = ZA_ENOMEM;
    uint32_t step = 0;
    while (err == ZA_ENOMEM && step < STEPS_MAX) {
        struct rlimit limit = before;
        limit.rlim_cur = (rlim_t)pages * page_bytes + (rlim_t)step * STEP;
        setrlimit(RLIMIT_AS, &limit);
        err = za_runtime_create(&config, &runtime);
        setrlimit(RLIMIT_AS, &before);
        step++;
        unsigned long now = mapped_pages();
        cr_assert(err == ZA_OK || now <= pages + 256, "step %d: %lu pages more", (int)step,
                  now - pages); // what the allocator keeps
    }
    cr_assert(err == ZA_OK, "%s", za_err_name(err));
    za_runtime_destroy(runtime);
    if (step == 1) {
        cr_skip_test("no limit of address space here");
    }
    cr_assert(step > 10, "only %d steps", (int)step);
}
