// What a node costs that has nothing to do: CPU time of the process over some time, with no actor and
// with a million of them.
//
//     bench_idle [--quick]

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zactor/zactor.h>

#include "report.h"
#include "resident.h"

enum {
    IDLE_S = 60,
    IDLE_QUICK_S = 10,
    SETTLE_S = 2, // what start and spawns leave to be done
    MILLION = 1000000,
    BATCH = 100,
};

static const double cpu_percent_max = 0.1;

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "bench_idle: %s\n", what);
    exit(1);
}

static double now_s(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void sleep_s(int seconds)
{
    struct timespec left = { .tv_sec = seconds };
    while (nanosleep(&left, &left) != 0) {
    }
}

/* ---- a million of them -------------------------------------------------------------------- */

static _Atomic bool all_there;

typedef struct idler {
    uint64_t data[4];
} idler_t;

static za_verdict_t idler_started(za_ctx_t *ctx, idler_t *self, const za_Started *m)
{
    (void)ctx;
    self->data[0] = m->restarts;
    return ZA_DONE;
}

ZA_ACTOR(idler, idler_t, (za_Started, idler_started));

typedef struct parent {
    uint32_t left;
} parent_t;

/** Some at a time; za_Timeout serves as the message to go on with. */
static za_verdict_t breed(za_ctx_t *ctx, parent_t *self)
{
    for (int i = 0; i < BATCH && self->left > 0; i++, self->left--) {
        za_ref_t ref;
        if (za_spawn(ctx, idler, &ref, .mailbox = 16) != ZA_OK) {
            fail("cannot spawn a million actors");
        }
    }
    if (self->left == 0) {
        atomic_store_explicit(&all_there, true, memory_order_release); // pairs: bench-idle
        return ZA_DONE;
    }
    return za_tell(ctx, za_self(ctx), ZA_MSG(za_Timeout, .tag = 0)) == ZA_OK ? ZA_DONE : ZA_FAIL;
}

static za_verdict_t parent_started(za_ctx_t *ctx, parent_t *self, const za_Started *m)
{
    (void)m;
    self->left = MILLION;
    return breed(ctx, self);
}

static za_verdict_t parent_more(za_ctx_t *ctx, parent_t *self, const za_Timeout *m)
{
    (void)m;
    return breed(ctx, self);
}

ZA_ACTOR(parent, parent_t, (za_Started, parent_started), (za_Timeout, parent_more));

static void spawn_a_million(za_node_t *node)
{
    za_ref_t ref;
    if (za_node_spawn(node, parent, &ref) != ZA_OK) {
        fail("cannot spawn");
    }
    while (!atomic_load_explicit(&all_there, memory_order_acquire)) { // pairs: bench-idle
        nanosleep(&(const struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
    }
}

/* ---- the node ----------------------------------------------------------------------------- */

static za_node_t *start_node(void)
{
    static const char *const settings[][2] = {
        { "node.name", "idle" },     { "node.listen", "127.0.0.1:0" }, { "node.workers", "2" },
        { "tls.insecure", "true" },  { "log.level", "error" },         { "drain_ms", "0" },
        { "cluster.timing", "lan" },
    };
    za_config_t *config = NULL;
    za_node_t *node = NULL;
    if (za_config_create(&config) != ZA_OK) {
        fail("out of memory");
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char problem[256];
        if (za_config_set(config, settings[i][0], settings[i][1], "bench", problem,
                          sizeof problem) != ZA_OK) {
            fail(problem);
        }
    }
    if (za_node_create(config, NULL, &node) != ZA_OK || za_node_start(node) != ZA_OK) {
        fail("cannot start a node");
    }
    za_config_destroy(config);
    return node;
}

static void measure(const char *variant, int seconds, uint32_t actors)
{
    bench_report_t report = { .id = "idle",
                              .variant = variant,
                              .impl = "zactor",
                              .unit = "% of a core",
                              .workers = 2,
                              .goal = "< 0.1 %" };
    sleep_s(SETTLE_S);
    double cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID);
    double wall_s = now_s(CLOCK_MONOTONIC);
    sleep_s(seconds);
    cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s;
    wall_s = now_s(CLOCK_MONOTONIC) - wall_s;
    double percent = cpu_s / wall_s * 100;
    bench_report_run(&report, percent);
    bench_report_param(&report, "seconds", seconds);
    bench_report_param(&report, "actors", actors);
    bench_report_param(&report, "resident_mib", (double)bench_resident_bytes() / (1 << 20));
    report.holds = percent < cpu_percent_max;
    bench_report_print(&report);
}

int main(int argc, char **argv)
{
    bool quick = argc == 2 && strcmp(argv[1], "--quick") == 0;
    if (argc > 1 && !quick) {
        fprintf(stderr, "usage: bench_idle [--quick]\n");
        return 2;
    }
    int seconds = quick ? IDLE_QUICK_S : IDLE_S;
    za_node_t *node = start_node();
    measure("no actor", seconds, 0);
    spawn_a_million(node);
    measure("a million", seconds, MILLION);
    za_node_stop(node);
    za_node_destroy(node);
    return 0;
}
