/** core/supervise.c and run.c: a child ends on one worker while its parent ends on another. */
#include "check.h"

#include <string.h>

#include "core/worker.h"
#include "scenarios.h"

typedef struct f_Quit {
    uint64_t unused;
} f_Quit;

static const za_type_t f_Quit_type = { .name = "f.Quit", .id = 303, .size = sizeof(f_Quit) };

enum { WORKERS = 2, RUNS_IN_ROW = 4 };

typedef struct family {
    za_runtime_t *runtime;
    za_worker_t *workers[WORKERS];
    za_ref_t parent;
    za_ref_t child;
    _Atomic uint32_t ended;
    _Atomic uint32_t parents_ended;
} family_t;

static family_t *family;

typedef struct member {
    uint64_t unused;
} member_t;

static za_verdict_t on_quit(za_ctx_t *ctx, member_t *self, const f_Quit *m)
{
    (void)ctx, (void)self, (void)m;
    return ZA_STOP;
}

static za_verdict_t on_child_stopping(za_ctx_t *ctx, member_t *self, const za_Stopping *m)
{
    (void)ctx, (void)self, (void)m;
    atomic_fetch_add_explicit(&family->ended, 1, memory_order_release);
    return ZA_DONE;
}

ZA_ACTOR(child, member_t, (f_Quit, on_quit), (za_Stopping, on_child_stopping));

static za_verdict_t on_parent_started(za_ctx_t *ctx, member_t *self, const za_Started *m)
{
    (void)self, (void)m;
    za_err_t err = za_spawn(ctx, child, &family->child);
    ZC_MUST(err == ZA_OK, "spawn: %s", za_err_name(err));
    return ZA_DONE;
}

static za_verdict_t on_parent_stopping(za_ctx_t *ctx, member_t *self, const za_Stopping *m)
{
    (void)ctx, (void)self, (void)m;
    ZC_MUST(atomic_load_explicit(&family->ended, memory_order_acquire) == 1,
            "a parent ends before its child");
    atomic_fetch_add_explicit(&family->parents_ended, 1, memory_order_release);
    return ZA_DONE;
}

ZA_ACTOR(parent, member_t, (za_Started, on_parent_started), (za_Stopping, on_parent_stopping));

static void wake_nobody(void *context, za_worker_t *worker)
{
    (void)context, (void)worker;
}

static bool run_one(uint32_t index)
{
    za_cell_t *cell = za_pick(family->workers[index]);
    if (cell != NULL) {
        za_cell_run(family->workers[index], cell);
    }
    return cell != NULL;
}

static void setup_family(void)
{
    static const za_host_t host = { .wake = wake_nobody };
    family = zc_alloc(sizeof *family);
    const za_runtime_config_t config = { .workers = WORKERS,
                                         .actors_max = 4,
                                         .pool_bytes_max = 1 << 20,
                                         .mailbox_default = 2,
                                         .seed = 1,
                                         .host = &host };
    ZC_MUST(za_runtime_create(&config, &family->runtime) == ZA_OK, "runtime");
    for (uint32_t i = 0; i < WORKERS; i++) {
        family->workers[i] = za_runtime_worker(family->runtime, i);
    }
    const za_spawn_opts_t opts = { .size = sizeof opts };
    za_err_t err =
        za_runtime_spawn(family->workers[0], &parent_class, &opts, ZA_REF_NONE, &family->parent);
    ZC_MUST(err == ZA_OK, "spawn: %s", za_err_name(err));
    while (run_one(0)) {
    }
}

/**
 * Runs what there is until the parent has ended. An actor whose sender is about to link its message
 * is scheduled again and again: after some runs the worker waits for the sender.
 */
static void work(uint32_t index)
{
    uint32_t runs = 0;
    while (atomic_load_explicit(&family->parents_ended, memory_order_acquire) == 0) {
        if (!run_one(index) || ++runs == RUNS_IN_ROW) {
            zc_await();
            runs = 0;
        }
    }
}

static void stop_parent(void)
{
    za_runtime_stop_actor(family->workers[0], family->parent.actor, za_Reason_REASON_STOPPED);
    work(0);
}

static void child_quits(void)
{
    const f_Quit quit = { 0 };
    const za_outgoing_t out = { .to = family->child, .type = &f_Quit_type, .body = &quit };
    (void)za_send_local(family->workers[1], &out, ZA_KIND_USER); // or it has ended already
    work(1);
}

static void finish_family(void)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        while (run_one(i)) {
        }
    }
    za_counters_t counters;
    za_runtime_counters(family->runtime, &counters);
    ZC_MUST(counters.actors == 0, "an actor is left");
    ZC_MUST(atomic_load_explicit(&family->ended, memory_order_relaxed) == 1, "a child ends twice");
    for (uint32_t slot = 1; slot < 3; slot++) {
        const za_cell_t *cell = za_cell_at(family->runtime, slot);
        ZC_MUST(atomic_load_explicit(&cell->mailbox.newest, memory_order_relaxed) == NULL,
                "a cell is owned by nobody");
    }
    uint32_t free = family->workers[0]->slot_count + family->workers[1]->slot_count;
    ZC_MUST(free == 2, "%u cells are free again, not 2", free);
}

const zc_scenario_t zc_family = {
    .name = "family",
    .promise = "a child that ends beside its parent is reaped once, and the parent ends after it",
    .setup = setup_family,
    .threads = { { "parent", stop_parent }, { "child", child_quits } },
    .finish = finish_family,
    .preemptions = 2,
    .stale = 1,
};
