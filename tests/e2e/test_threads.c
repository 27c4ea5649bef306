// Threads that are no workers send into running nodes, here and over the wire; nodes of one process
// talk to each other; and stopping loses nothing that was accepted.
#include "support/za_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <zactor/zactor.h>

#include "threads.za.h"

enum {
    THREADS = 4,
    ITEMS = 10000, // of one thread
    MAILBOX = 1024,
    STEP_NS = 2 * 1000 * 1000,
    WAIT_STEPS = 15000, // a bound for a busy machine
};

// What sinks have seen, for the test's own thread: each sink counts for its node.
static _Atomic uint64_t seen[2];
static _Atomic uint64_t disordered;
static _Atomic uint64_t called;
static _Atomic uint64_t echoed;
static _Atomic uint32_t slowness_us;

/* ---- actors -------------------------------------------------------------------------------- */

typedef struct sink {
    uint32_t next[THREADS];
} sink_t;

static void be_slow(void)
{
    uint32_t wait_us = atomic_load(&slowness_us);
    if (wait_us > 0) {
        nanosleep(&(struct timespec){ .tv_nsec = wait_us * 1000L }, NULL);
    }
}

static void count_item(sink_t *self, const crowd_Item *item, uint32_t at)
{
    if (item->thread >= THREADS || item->nth != self->next[item->thread]) {
        atomic_fetch_add(&disordered, 1);
        return;
    }
    self->next[item->thread]++;
    atomic_fetch_add(&seen[at], 1);
}

static za_verdict_t on_near(za_ctx_t *ctx, sink_t *self, const crowd_Item *item)
{
    (void)ctx;
    be_slow();
    count_item(self, item, 0);
    return ZA_DONE;
}
ZA_ACTOR(near_sink, sink_t, (crowd_Item, on_near));

static za_verdict_t on_far(za_ctx_t *ctx, sink_t *self, const crowd_Item *item)
{
    (void)ctx;
    count_item(self, item, 1);
    return ZA_DONE;
}
static za_verdict_t on_parcel(za_ctx_t *ctx, sink_t *self, const crowd_Parcel *parcel)
{
    (void)ctx;
    count_item(self, &(crowd_Item){ .thread = parcel->thread, .nth = parcel->nth }, 1);
    return ZA_DONE;
}
ZA_ACTOR(far_sink, sink_t, (crowd_Item, on_far), (crowd_Parcel, on_parcel));

typedef struct echo {
    uint32_t count;
} echo_t;

static za_verdict_t on_call(za_ctx_t *ctx, echo_t *self, const crowd_Item *item)
{
    self->count++;
    atomic_store(&called, self->count);
    be_slow();
    za_reply(ctx, ZA_MSG(crowd_Item, .nth = item->nth + 1));
    return ZA_DONE;
}
ZA_ACTOR(echo, echo_t, (crowd_Item, on_call));

typedef struct caller {
    za_ref_t echo;
} caller_t;

static za_verdict_t call_again(za_ctx_t *ctx, caller_t *self, uint32_t nth)
{
    za_err_t err = za_whereis(ctx, "echo", &self->echo);
    if (err == ZA_OK) {
        err = za_ask(ctx, self->echo, ZA_MSG(crowd_Item, .nth = nth), .timeout_ms = 5000);
    }
    // Not there yet: begin again a little later.
    return err == ZA_OK || za_after(ctx, 10, ZA_MSG(crowd_Item, .nth = 0), NULL) == ZA_OK ? ZA_DONE
                                                                                          : ZA_FAIL;
}

/** The answer of an echo, whose `nth` says how many there were in a row; 0: begin. */
static za_verdict_t on_answer(za_ctx_t *ctx, caller_t *self, const crowd_Item *item)
{
    atomic_store(&echoed, item->nth);
    return call_again(ctx, self, item->nth);
}

static za_verdict_t on_timeout(za_ctx_t *ctx, caller_t *self, const za_Timeout *timeout)
{
    (void)timeout;
    return call_again(ctx, self, 0);
}

static za_verdict_t on_down(za_ctx_t *ctx, caller_t *self, const za_Down *down)
{
    (void)down;
    return call_again(ctx, self, 0);
}
ZA_ACTOR(caller, caller_t, (crowd_Item, on_answer), (za_Timeout, on_timeout), (za_Down, on_down));

/** Asks all at once, and counts the answers. */
static za_verdict_t on_burst(za_ctx_t *ctx, caller_t *self, const crowd_Burst *burst)
{
    za_err_t err = za_whereis(ctx, "echo", &self->echo);
    for (uint32_t i = 0; i < burst->count && err == ZA_OK; i++) {
        err = za_ask(ctx, self->echo, ZA_MSG(crowd_Item, .nth = i), .timeout_ms = 30000);
    }
    return err == ZA_OK ? ZA_DONE : ZA_FAIL;
}

static za_verdict_t on_one(za_ctx_t *ctx, caller_t *self, const crowd_Item *item)
{
    (void)ctx;
    (void)self;
    (void)item;
    atomic_fetch_add(&echoed, 1);
    return ZA_DONE;
}
ZA_ACTOR(burst, caller_t, (crowd_Burst, on_burst), (crowd_Item, on_one));

/* ---- nodes --------------------------------------------------------------------------------- */

static za_node_t *create_node(const char *name, const char *seeds)
{
    char problem[256] = "";
    za_config_t *config = NULL;
    za_node_t *node = NULL;
    cr_assert(za_config_create(&config) == ZA_OK);
    const char *const values[][2] = {
        { "node.name", name },        { "node.listen", "127.0.0.1:0" }, { "node.workers", "2" },
        { "tls.insecure", "true" },   { "cluster.seeds", seeds },       { "limits.pool_mb", "64" },
        { "cluster.timing", "local" }
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        za_err_t err =
            za_config_set(config, values[i][0], values[i][1], "test", problem, sizeof problem);
        cr_assert(err == ZA_OK, "%s", problem);
    }
    cr_assert(za_node_create(config, NULL, &node) == ZA_OK);
    za_config_destroy(config);
    return node;
}

static za_node_t *start_node(const char *name, const char *seeds)
{
    za_node_t *node = create_node(name, seeds);
    cr_assert(za_node_start(node) == ZA_OK);
    return node;
}

static bool wait_for(const _Atomic uint64_t *value, uint64_t wanted)
{
    for (int i = 0; i < WAIT_STEPS && atomic_load(value) < wanted; i++) {
        nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
    }
    return atomic_load(value) >= wanted;
}

/* ---- threads ------------------------------------------------------------------------------- */

typedef struct job {
    pthread_t thread;
    za_node_t *node;
    za_ref_t to;
    uint32_t number;
    uint32_t items;
    bool parcels;
    uint32_t accepted;
    za_err_t err; // the first that is no backpressure
} job_t;

static bool is_backpressure(za_err_t err)
{
    return err == ZA_EFULL || err == ZA_ENOBUFS;
}

static za_err_t send_one(const job_t *job)
{
    if (!job->parcels) {
        return za_node_tell(job->node, job->to,
                            ZA_MSG(crowd_Item, .thread = job->number, .nth = job->accepted));
    }
    crowd_Parcel parcel = { .thread = job->number, .nth = job->accepted };
    parcel.pad.size = sizeof parcel.pad.bytes;
    memset(parcel.pad.bytes, 7, sizeof parcel.pad.bytes);
    return za_node_tell(job->node, job->to, &crowd_Parcel_type, &parcel);
}

static void *send_items(void *context)
{
    job_t *job = context;
    while (job->accepted < job->items && job->err == ZA_OK) {
        za_err_t err = send_one(job);
        if (err == ZA_OK) {
            job->accepted++;
        } else if (is_backpressure(err)) {
            sched_yield();
        } else {
            job->err = err;
        }
    }
    return NULL;
}

typedef enum load { LOAD_ITEMS, LOAD_PARCELS } load_t;

static void begin_jobs(job_t jobs[THREADS], za_node_t *node, za_ref_t to, load_t load,
                       uint32_t items)
{
    for (uint32_t i = 0; i < THREADS; i++) {
        jobs[i] = (job_t){
            .node = node, .to = to, .number = i, .items = items, .parcels = load == LOAD_PARCELS
        };
        cr_assert(pthread_create(&jobs[i].thread, NULL, send_items, &jobs[i]) == 0);
    }
}

/** How many messages were accepted. */
static uint64_t end_jobs(job_t jobs[THREADS])
{
    uint64_t accepted = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        cr_assert(pthread_join(jobs[i].thread, NULL) == 0);
        accepted += jobs[i].accepted;
    }
    return accepted;
}

/* ---- tests --------------------------------------------------------------------------------- */

// Not even while actors of the same node keep its workers busy.
Test(threads, keep_their_order, .timeout = 120)
{
    job_t jobs[THREADS];
    za_ref_t sink, ref;
    za_node_t *node = start_node("alpha", "");
    cr_assert(za_node_spawn(node, near_sink, &sink, .mailbox = MAILBOX) == ZA_OK);
    cr_assert(za_node_spawn(node, echo, &ref, .name = "echo") == ZA_OK);
    cr_assert(za_node_spawn(node, caller, &ref, .mailbox = MAILBOX) == ZA_OK);
    cr_assert(za_node_tell(node, ref, ZA_MSG(crowd_Item, .nth = 0)) == ZA_OK);
    begin_jobs(jobs, node, sink, LOAD_ITEMS, ITEMS);
    cr_assert(end_jobs(jobs) == (uint64_t)THREADS * ITEMS);
    cr_assert(wait_for(&seen[0], (uint64_t)THREADS * ITEMS));
    cr_assert(wait_for(&echoed, 100));
    cr_assert(atomic_load(&disordered) == 0);
    za_node_destroy(node);
}

// Whoever sends is told so, before, during and after the end, and what was accepted is handled.
Test(threads, hear_that_the_node_stops, .timeout = 120)
{
    job_t jobs[THREADS];
    za_ref_t sink;
    za_node_t *node = start_node("alpha", "");
    cr_assert(za_node_spawn(node, near_sink, &sink, .mailbox = MAILBOX) == ZA_OK);
    begin_jobs(jobs, node, sink, LOAD_ITEMS, UINT32_MAX);
    cr_assert(wait_for(&seen[0], ITEMS));
    za_node_stop(node);
    uint64_t accepted = end_jobs(jobs);
    for (uint32_t i = 0; i < THREADS; i++) {
        cr_expect(jobs[i].err == ZA_ESTOPPING || jobs[i].err == ZA_EGONE, "%s",
                  za_err_name(jobs[i].err));
    }
    cr_expect(accepted >= ITEMS);
    cr_expect(atomic_load(&disordered) == 0);
    cr_expect(za_node_tell(node, sink, ZA_MSG(crowd_Item, .nth = 0)) == ZA_ESTOPPING);
    cr_expect(za_node_spawn(node, echo, &sink, .mailbox = MAILBOX) == ZA_ESTOPPING);
    za_node_stop(node); // again: harmless
    za_node_destroy(node);
}

Test(threads, may_send_before_the_start, .timeout = 120)
{
    za_ref_t sink;
    za_node_t *node = create_node("alpha", "");
    cr_assert(za_node_spawn(node, near_sink, &sink, .mailbox = MAILBOX) == ZA_OK);
    cr_assert(za_node_tell(node, sink, ZA_MSG(crowd_Item, .nth = 0)) == ZA_OK);
    cr_assert(za_node_start(node) == ZA_OK);
    cr_assert(wait_for(&seen[0], 1));
    za_node_destroy(node);
    node = create_node("alpha", "");
    za_node_destroy(node); // never started
}

Test(threads, must_name_a_receiver, .timeout = 120)
{
    za_ref_t sink;
    za_node_t *node = start_node("alpha", "");
    cr_assert(za_node_spawn(node, near_sink, &sink, .mailbox = MAILBOX) == ZA_OK);
    cr_expect(za_node_tell(NULL, sink, ZA_MSG(crowd_Item, .nth = 0)) == ZA_EINVAL);
    cr_expect(za_node_tell(node, ZA_REF_NONE, ZA_MSG(crowd_Item, .nth = 0)) == ZA_EINVAL);
    cr_expect(za_node_tell(node, sink, NULL, NULL) == ZA_EINVAL);
    cr_expect(za_node_tell(node, (za_ref_t){ 77, 77 }, ZA_MSG(crowd_Item, .nth = 0)) ==
              ZA_ENOROUTE);
    cr_expect(za_node_start(node) == ZA_EEXIST);
    za_node_destroy(node);
}

// Slow actors have drain_ms to finish what the node has accepted.
Test(threads, lose_nothing_when_the_node_drains, .timeout = 120)
{
    job_t jobs[THREADS];
    za_ref_t sink;
    za_node_t *node = start_node("alpha", "");
    cr_assert(za_node_spawn(node, near_sink, &sink, .mailbox = MAILBOX) == ZA_OK);
    atomic_store(&slowness_us, 500);
    begin_jobs(jobs, node, sink, LOAD_ITEMS, MAILBOX / THREADS);
    uint64_t accepted = end_jobs(jobs);
    za_node_stop(node);
    cr_expect(atomic_load(&seen[0]) == accepted);
    cr_expect(atomic_load(&disordered) == 0);
    za_node_destroy(node);
}

static za_ref_t find_name(za_node_t *node, const char *name)
{
    za_ref_t found = ZA_REF_NONE;
    for (int i = 0; i < WAIT_STEPS && za_node_whereis(node, name, &found) != ZA_OK; i++) {
        nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
    }
    cr_assert(!za_ref_is_none(found), "%s is not known", name);
    return found;
}

// What a program needs to hand on: a node on any free port says which one it got.
Test(nodes, say_where_they_are_reached, .timeout = 120)
{
    za_node_t *alpha = create_node("alpha", "");
    const char *address = za_node_address(alpha);
    unsigned port = 0;
    cr_assert(sscanf(address, "127.0.0.1:%u", &port) == 1 && port > 0, "%s", address);
    za_node_t *beta = create_node("beta", "");
    cr_assert(strcmp(address, za_node_address(beta)) != 0, "each has its own");
    cr_expect(za_node_address(NULL) == NULL);
    za_node_destroy(beta);
    za_node_destroy(alpha);
}

Test(nodes, look_names_up_for_any_thread, .timeout = 120)
{
    za_ref_t ref, found = ZA_REF_NONE;
    za_node_t *alpha = start_node("alpha", "");
    za_node_t *beta = start_node("beta", za_node_address(alpha));
    cr_expect(za_node_whereis(alpha, "echo", &found) == ZA_ENOENT);
    cr_assert(za_node_spawn(alpha, echo, &ref, .name = "echo") == ZA_OK);
    cr_assert(za_node_whereis(alpha, "echo", &found) == ZA_OK && za_ref_equal(found, ref));
    ref.node = za_node_uid(alpha);
    cr_assert(za_ref_equal(find_name(beta, "echo"), ref), "and on other nodes soon");
    za_whereis_info_t info;
    cr_assert(za_node_whereis_with(beta, "echo", &info) == ZA_OK && za_ref_equal(info.ref, ref));
    cr_expect(info.age_ms < 60000 && !info.unreachable, "%llu ms", (unsigned long long)info.age_ms);
    cr_expect(za_node_whereis_with(alpha, "nobody", &info) == ZA_ENOENT);
    cr_expect(za_node_whereis_with(alpha, "echo", NULL) == ZA_EINVAL);
    cr_expect(za_node_whereis(NULL, "echo", &found) == ZA_EINVAL);
    cr_expect(za_node_whereis(alpha, NULL, &found) == ZA_EINVAL);
    cr_expect(za_node_whereis(alpha, "echo", NULL) == ZA_EINVAL);
    za_node_destroy(beta);
    za_node_destroy(alpha);
}

Test(nodes, of_one_process_talk_to_each_other, .timeout = 120)
{
    job_t jobs[THREADS];
    za_ref_t ref;
    za_node_t *alpha = start_node("alpha", "");
    za_node_t *beta = start_node("beta", za_node_address(alpha));
    cr_assert(za_node_spawn(beta, echo, &ref, .name = "echo") == ZA_OK);
    cr_assert(za_node_spawn(beta, far_sink, &ref, .name = "sink", .mailbox = MAILBOX * 64) ==
              ZA_OK);
    cr_assert(za_node_spawn(alpha, caller, &ref, .mailbox = MAILBOX) == ZA_OK);
    cr_assert(za_node_tell(alpha, ref, ZA_MSG(crowd_Item, .nth = 0)) == ZA_OK);
    za_ref_t sink = find_name(alpha, "sink");
    cr_assert(sink.node == za_node_uid(beta), "the name is of the other node");
    begin_jobs(jobs, alpha, sink, LOAD_ITEMS, ITEMS);
    cr_assert(end_jobs(jobs) == (uint64_t)THREADS * ITEMS);
    cr_assert(wait_for(&seen[1], (uint64_t)THREADS * ITEMS));
    cr_assert(wait_for(&echoed, 100));
    cr_expect(atomic_load(&disordered) == 0);
    za_node_destroy(alpha);
    za_node_destroy(beta);
}

// A thread that waits is answered from afar, or hears that its question was lost.
Test(nodes, answer_threads_of_other_nodes, .timeout = 120)
{
    za_ref_t ref;
    crowd_Item answer = { 0 };
    za_Reason reason = za_Reason_REASON_NONE;
    za_node_t *alpha = start_node("alpha", "");
    za_node_t *beta = start_node("beta", za_node_address(alpha));
    cr_assert(za_node_spawn(beta, echo, &ref, .name = "echo") == ZA_OK);
    za_ref_t far = find_name(alpha, "echo");
    for (uint32_t i = 0; i < 100; i++) {
        za_err_t err = za_ask_sync(alpha, far, ZA_MSG(crowd_Item, .nth = i),
                                   ZA_REPLY(crowd_Item, &answer), .timeout_ms = 30000);
        cr_assert(err == ZA_OK && answer.nth == i + 1, "%s", za_err_name(err));
    }
    za_node_destroy(beta);
    za_err_t err =
        za_ask_sync(alpha, far, ZA_MSG(crowd_Item, .nth = 1), ZA_REPLY(crowd_Item, &answer),
                    .timeout_ms = 30000, .reason = &reason);
    cr_expect(err == ZA_ENOROUTE, "%s, reason %d", za_err_name(err), (int)reason);
    za_node_destroy(alpha);
}

// What a node has accepted for another node is on its way before it says farewell.
Test(nodes, deliver_what_they_accepted_before_they_leave, .timeout = 120)
{
    job_t jobs[THREADS];
    za_ref_t ref;
    za_node_t *alpha = start_node("alpha", "");
    za_node_t *beta = start_node("beta", za_node_address(alpha));
    cr_assert(za_node_spawn(beta, far_sink, &ref, .name = "sink", .mailbox = MAILBOX * 64) ==
              ZA_OK);
    begin_jobs(jobs, alpha, find_name(alpha, "sink"), LOAD_PARCELS, ITEMS / 10);
    uint64_t accepted = end_jobs(jobs);
    za_node_stop(alpha);
    cr_expect(wait_for(&seen[1], accepted), "%llu of %llu arrived",
              (unsigned long long)atomic_load(&seen[1]), (unsigned long long)accepted);
    za_node_destroy(alpha);
    za_node_destroy(beta);
}

// Nor does it leave before its actors have answered what it had accepted.
Test(nodes, answer_before_they_leave, .timeout = 120)
{
    za_ref_t ref;
    za_node_t *alpha = start_node("alpha", "");
    za_node_t *beta = start_node("beta", za_node_address(alpha));
    cr_assert(za_node_spawn(beta, echo, &ref, .name = "echo") == ZA_OK);
    find_name(alpha, "echo");
    cr_assert(za_node_spawn(alpha, burst, &ref, .mailbox = MAILBOX) == ZA_OK);
    atomic_store(&slowness_us, 2000);
    cr_assert(za_node_tell(alpha, ref, ZA_MSG(crowd_Burst, .count = 100)) == ZA_OK);
    cr_assert(wait_for(&called, 1));
    za_node_stop(beta);
    cr_expect(atomic_load(&called) == 100);
    cr_expect(wait_for(&echoed, 100), "%llu answers", (unsigned long long)atomic_load(&echoed));
    za_node_destroy(beta);
    za_node_destroy(alpha);
}
