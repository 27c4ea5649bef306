#include <stdlib.h>

#include "base/limits.h"
#include "world.h"

enum { FLOOD = 10000, STEP_NS = 1000 * 1000 };

/** A host whose time goes on while handlers run. */
typedef struct slow_host {
    za_runtime_t *runtime;
    za_worker_t *guest;
    uint64_t now_ns;
} slow_host_t;

static slow_host_t host;
static uint64_t cost_ns; // of a message

static void host_wake(void *context, za_worker_t *worker)
{
    (void)context;
    (void)worker;
}

static uint64_t host_recent_ns(void *context)
{
    return ((slow_host_t *)context)->now_ns;
}

static const za_host_t slow_host = { .wake = host_wake, .recent_ns = host_recent_ns };

static void start(uint64_t message_ns)
{
    const za_runtime_config_t config = { .workers = 1,
                                         .actors_max = 1000,
                                         .pool_bytes_max = 64u << 20,
                                         .mailbox_default = 2 * FLOOD,
                                         .seed = 1,
                                         .host = &slow_host,
                                         .host_context = &host };
    host.now_ns = 1000000000;
    cost_ns = message_ns;
    world_log_count = 0;
    cr_assert(za_runtime_create(&config, &host.runtime) == ZA_OK, "runtime");
    host.guest = za_runtime_guest(host.runtime);
}

static void turn(void)
{
    if (za_worker_turn(za_runtime_worker(host.runtime, 0), host.now_ns) == ZA_TURN_IDLE) {
        host.now_ns += STEP_NS / 10;
    }
}

static za_ref_t spawn(void)
{
    const za_spawn_opts_t opts = { .size = sizeof opts };
    za_ref_t ref;
    za_err_t err = za_runtime_spawn(host.guest, &probe_class, &opts, ZA_REF_NONE, &ref);
    cr_assert(err == ZA_OK, "spawn");
    return ref;
}

static void tell(za_ref_t to, uint64_t n)
{
    za_outgoing_t out = { .to = to, .type = &t_Go_type, .body = &(const t_Go){ .n = n } };
    cr_assert(za_runtime_tell(host.guest, &out) == ZA_OK, "tell");
}

static uint64_t timer_set_ns, timer_late_ns;

static za_verdict_t take_time(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    if (event->n == 0) {
        host.now_ns += cost_ns;
    } else if (event->n == 1) { // sets a timer, due in 5 ms
        cr_assert(za_after(ctx, 5, ZA_MSG(t_Go, .n = 2), NULL) == ZA_OK, "timer");
        timer_set_ns = host.now_ns;
    } else {
        timer_late_ns = host.now_ns - timer_set_ns + 1; // 0: it did not come yet
    }
    return ZA_DONE;
}

/** How late a timer of 5 ms is while ten others have much to do, each message taking `message_ns`. */
static uint64_t timer_beside_a_flood(uint64_t message_ns)
{
    start(message_ns);
    world_behave = take_time;
    timer_late_ns = 0;
    za_ref_t waiting = spawn();
    turn();
    for (int i = 0; i < 10; i++) {
        za_ref_t flooded = spawn();
        for (int n = 0; n < FLOOD / 10; n++) {
            tell(flooded, 0);
        }
    }
    tell(waiting, 1);
    for (int turns = 0; timer_late_ns == 0; turns++) {
        cr_assert(turns < 100000, "the timer never came");
        turn();
    }
    za_runtime_destroy(host.runtime);
    return timer_late_ns;
}

// 64 runs of 100 messages would be 6.4 s.
Test(turn, slow_handlers_do_not_delay_timers_for_a_whole_turn)
{
    uint64_t late_ns = timer_beside_a_flood(STEP_NS);
    cr_expect(late_ns < 150 * STEP_NS, "%u ms", (unsigned)(late_ns / 1000000));
}

Test(turn, quick_handlers_have_a_turn_of_many_messages)
{
    uint64_t late_ns = timer_beside_a_flood(200);
    cr_expect(late_ns < 10 * STEP_NS, "%u us", (unsigned)(late_ns / 1000));
}

/* ---- commands ----------------------------------------------------------------------------- */

Test(turn, a_stop_overtakes_ten_thousand_messages)
{
    start(0);
    world_behave = NULL;
    za_ref_t flooded = spawn();
    turn();
    for (int n = 0; n < FLOOD; n++) {
        tell(flooded, 0);
    }
    za_runtime_stop_actor(host.guest, flooded.actor, za_Reason_REASON_STOPPED);
    for (int i = 0; i < 4; i++) {
        turn();
    }
    cr_expect(world_count('X', flooded.actor) == 1, "it stopped");
    cr_expect(world_count('G', flooded.actor) == 0, "%zu messages were ahead",
              world_count('G', flooded.actor));
    za_counters_t counters;
    za_runtime_counters(host.runtime, &counters);
    cr_expect(counters.dead_letters == FLOOD, "and each is counted: %u",
              (unsigned)counters.dead_letters);
    za_runtime_destroy(host.runtime);
}

// The stop comes while it works its messages off: the handler that runs ends, no other begins.
static za_verdict_t stop_at_50(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind == 'G' && ++self->mark == 50) {
        za_runtime_stop_actor(host.guest, za_self(ctx).actor, za_Reason_REASON_STOPPED);
    }
    return ZA_DONE;
}

Test(turn, a_stop_in_the_middle_of_a_flood_waits_for_few_messages)
{
    start(0);
    world_behave = stop_at_50;
    za_ref_t flooded = spawn();
    turn();
    for (int n = 0; n < FLOOD; n++) {
        tell(flooded, 0);
    }
    for (int i = 0; i < 100; i++) {
        turn();
    }
    size_t handled = world_count('G', flooded.actor);
    cr_expect(world_count('X', flooded.actor) == 1, "it stopped");
    cr_expect(handled >= 50 && handled < 50 + 100, "%zu were handled", handled);
    za_runtime_destroy(host.runtime);
}

/* ---- fairness ----------------------------------------------------------------------------- */

typedef struct stats {
    uint32_t waits[1000]; // messages of others between asking and being served
    uint32_t count;
    uint32_t handled;
} stats_t;

static stats_t stats;
static za_ref_t flooded_ref;

/** n: 0 a message of the flood, 1 a producer goes on, 2 the other is served. */
static za_verdict_t be_fair(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    stats.handled++;
    if (event->n == 1) {
        for (int i = 0; i < 100; i++) {
            ZA_IGNORE(za_tell(ctx, flooded_ref, ZA_MSG(t_Go, .n = 0)));
        }
        cr_assert(za_tell(ctx, za_self(ctx), ZA_MSG(t_Go, .n = 1)) == ZA_OK, "tell");
    } else if (event->n == 2 && stats.count < 1000) {
        if (self->mark != 0) {
            stats.waits[stats.count++] = stats.handled - (uint32_t)self->mark;
        }
        self->mark = stats.handled;
        cr_assert(za_tell(ctx, za_self(ctx), ZA_MSG(t_Go, .n = 2)) == ZA_OK, "tell");
    }
    return ZA_DONE;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

// Counted in messages of others, which needs no clock: a run of each of the three is 100 at most.
Test(turn, two_producers_that_flood_an_actor_do_not_starve_another)
{
    start(0);
    world_behave = be_fair;
    stats = (stats_t){ 0 };
    flooded_ref = spawn();
    za_ref_t other = spawn();
    tell(spawn(), 1);
    tell(spawn(), 1);
    tell(other, 2);
    for (int turns = 0; stats.count < 1000; turns++) {
        cr_assert(turns < 100000, "it starves");
        world_log_count = 0;
        turn();
    }
    qsort(stats.waits, 1000, sizeof stats.waits[0], by_number);
    cr_expect(stats.waits[990] <= 3 * ZA_RUN_MESSAGES_MAX, "p99 is %u messages", stats.waits[990]);
    cr_expect(stats.waits[999] <= 10 * ZA_RUN_MESSAGES_MAX, "max is %u messages", stats.waits[999]);
    za_runtime_destroy(host.runtime);
}
