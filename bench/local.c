/**
 * Local messages: how fast actors of one node talk, start, and how small they are.
 *
 *     bench_local [--quick] [--workers N] [--runs N] [ID ...]
 *
 * Each line is one JSON object: id, impl, workers, unit, median, min, max, runs, params.
 * allocs_per_msg counts calls of malloc and its kin between the first message and the last;
 * cpu_ns_per_msg is the CPU time of the process in it, which others on the machine hardly change.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <zactor/actor.h>

#include "core/clock.h"
#include "core/park.h"
#include "core/threads.h"
#include "counting.h"

/* ---- a run -------------------------------------------------------------------------------- */

typedef struct b_Msg {
    uint64_t n;
    za_ref_t ref;
} b_Msg;

typedef struct b_Go {
    uint64_t n; // messages
    za_ref_t ref;
} b_Go;

static const za_type_t b_Msg_type = { .name = "b.Msg", .id = 301, .size = sizeof(b_Msg) };
static const za_type_t b_Go_type = { .name = "b.Go", .id = 302, .size = sizeof(b_Go) };

/** What one run measures; actors of the run share it. */
typedef struct run {
    za_threads_t *threads;
    za_runtime_t *runtime;
    za_worker_t *guest;
    za_park_t done;
    _Atomic uint64_t end_ns; // 0: not yet
    uint64_t start_ns;
    uint64_t cpu_ns;
    uint64_t allocs;
    uint64_t messages;
} run_t;

static run_t run;

static void must(za_err_t err, const char *what)
{
    if (err != ZA_OK) {
        fprintf(stderr, "bench_local: %s: %s\n", what, za_err_text(err));
        exit(1);
    }
}

static void run_open(uint32_t workers)
{
    memset(&run, 0, sizeof run);
    must(za_threads_create(NULL, &run.threads), "threads");
    const za_runtime_config_t config = { .workers = workers,
                                         .actors_max = 4u << 20,
                                         .pool_bytes_max = UINT64_C(4) << 30,
                                         .mailbox_default = 4096,
                                         .seed = 1,
                                         .host = za_threads_host(),
                                         .host_context = run.threads };
    must(za_runtime_create(&config, &run.runtime), "runtime");
    run.guest = za_runtime_guest(run.runtime);
    must(za_threads_start(run.threads, run.runtime), "start");
}

static void run_close(void)
{
    za_threads_stop(run.threads);
    za_runtime_destroy(run.runtime);
    za_threads_destroy(run.threads);
}

static za_ref_t spawn(const za_class_t *class_, uint32_t mailbox)
{
    za_ref_t ref;
    const za_spawn_opts_t opts = { .size = sizeof opts, .mailbox = mailbox };
    must(za_runtime_spawn(run.guest, class_, &opts, ZA_REF_NONE, &ref), "spawn");
    return ref;
}

static void tell(za_ref_t to, const za_type_t *type, const void *body)
{
    const za_outgoing_t out = { .to = to, .type = type, .body = body };
    must(za_runtime_tell(run.guest, &out), "tell");
}

/** By the actor that sees the last message. */
static void run_end(void)
{
    atomic_store_explicit(&run.end_ns, za_clock_ns(), memory_order_release); // pairs: bench-end
    za_park_wake(&run.done);
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void run_begin(void)
{
    run.allocs = bench_allocations();
    run.cpu_ns = cpu_ns();
    run.start_ns = za_clock_ns();
}

static double run_wait(void)
{
    while (atomic_load_explicit(&run.end_ns, memory_order_acquire) == 0) { // pairs: bench-end
        za_park_wait(&run.done, UINT64_MAX);
    }
    run.allocs = bench_allocations() - run.allocs;
    run.cpu_ns = cpu_ns() - run.cpu_ns;
    return (double)(atomic_load_explicit(&run.end_ns, memory_order_relaxed) - run.start_ns);
}

/* ---- pingpong ----------------------------------------------------------------------------- */

typedef struct player {
    za_ref_t peer;
} player_t;

static za_verdict_t player_go(za_ctx_t *ctx, player_t *self, const b_Go *m)
{
    self->peer = m->ref;
    if (m->n > 0) {
        ZA_IGNORE(za_tell(ctx, self->peer, ZA_MSG(b_Msg, .n = m->n)));
    }
    return ZA_DONE;
}

static za_verdict_t player_msg(za_ctx_t *ctx, player_t *self, const b_Msg *m)
{
    if (m->n == 0) {
        run_end();
        return ZA_DONE;
    }
    ZA_IGNORE(za_tell(ctx, self->peer, ZA_MSG(b_Msg, .n = m->n - 1)));
    return ZA_DONE;
}

ZA_ACTOR(player, player_t, (b_Msg, player_msg), (b_Go, player_go));

static double pingpong(uint64_t messages, uint32_t unused)
{
    (void)unused;
    za_ref_t a = spawn(&player_class, 0);
    za_ref_t b = spawn(&player_class, 0);
    tell(b, ZA_MSG(b_Go, .ref = a));
    run_begin();
    tell(a, ZA_MSG(b_Go, .n = messages, .ref = b));
    return run_wait() / (double)messages;
}

/* ---- fan-in ------------------------------------------------------------------------------- */

enum { BATCH = 100 }; // messages of one handler call: a producer lets others run

typedef struct producer {
    za_ref_t sink;
    uint64_t left;
} producer_t;

/** Sends a batch, or less when the sink is full, and goes on in its next message. */
static za_verdict_t produce(za_ctx_t *ctx, producer_t *self)
{
    for (int i = 0; i < BATCH && self->left > 0; i++) {
        if (za_tell(ctx, self->sink, ZA_MSG(b_Msg, .n = self->left)) != ZA_OK) {
            break;
        }
        self->left--;
    }
    if (self->left > 0) {
        ZA_IGNORE(za_tell(ctx, za_self(ctx), ZA_MSG(b_Msg, .n = 0)));
    }
    return ZA_DONE;
}

static za_verdict_t producer_go(za_ctx_t *ctx, producer_t *self, const b_Go *m)
{
    self->sink = m->ref;
    self->left = m->n;
    return produce(ctx, self);
}

static za_verdict_t producer_msg(za_ctx_t *ctx, producer_t *self, const b_Msg *m)
{
    (void)m;
    return produce(ctx, self);
}

ZA_ACTOR(producer, producer_t, (b_Msg, producer_msg), (b_Go, producer_go));

typedef struct sink {
    uint64_t left;
} sink_t;

static za_verdict_t sink_go(za_ctx_t *ctx, sink_t *self, const b_Go *m)
{
    (void)ctx;
    self->left = m->n;
    return ZA_DONE;
}

static za_verdict_t sink_msg(za_ctx_t *ctx, sink_t *self, const b_Msg *m)
{
    (void)ctx;
    (void)m;
    if (--self->left == 0) {
        run_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(sink, sink_t, (b_Msg, sink_msg), (b_Go, sink_go));

static double fanin(uint64_t messages, uint32_t producers)
{
    za_ref_t sink = spawn(&sink_class, 0);
    tell(sink, ZA_MSG(b_Go, .n = messages / producers * producers));
    run_begin();
    for (uint32_t i = 0; i < producers; i++) {
        tell(spawn(&producer_class, 0), ZA_MSG(b_Go, .n = messages / producers, .ref = sink));
    }
    return (double)messages / run_wait() * 1e3;
}

/* ---- ring --------------------------------------------------------------------------------- */

enum { RING = 1000, THREAD_RING = 503 }; // actors, of many tokens and of one

static _Atomic uint64_t tokens_left;

static za_verdict_t link_go(za_ctx_t *ctx, player_t *self, const b_Go *m)
{
    (void)ctx;
    self->peer = m->ref;
    return ZA_DONE;
}

static za_verdict_t link_msg(za_ctx_t *ctx, player_t *self, const b_Msg *m)
{
    if (m->n > 0) {
        ZA_IGNORE(za_tell(ctx, self->peer, ZA_MSG(b_Msg, .n = m->n - 1)));
    } else if (atomic_fetch_sub_explicit(&tokens_left, 1, memory_order_acq_rel) == 1) {
        run_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(link, player_t, (b_Msg, link_msg), (b_Go, link_go));

static double ring(uint64_t messages, uint32_t tokens)
{
    static za_ref_t links[RING];
    uint32_t size = tokens == 1 ? THREAD_RING : RING;
    for (uint32_t i = 0; i < size; i++) {
        links[i] = spawn(&link_class, 0);
    }
    for (uint32_t i = 0; i < size; i++) {
        tell(links[i], ZA_MSG(b_Go, .ref = links[(i + 1) % size]));
    }
    atomic_store_explicit(&tokens_left, tokens, memory_order_relaxed); // relaxed: sent after it
    run_begin();
    for (uint32_t i = 0; i < tokens; i++) {
        tell(links[i * (size / tokens) % size], ZA_MSG(b_Msg, .n = messages / tokens));
    }
    double elapsed_ns = run_wait();
    return tokens == 1 ? elapsed_ns / (double)messages : (double)messages / elapsed_ns * 1e3;
}

/* ---- spawn -------------------------------------------------------------------------------- */

typedef struct parent {
    uint64_t left;
    uint64_t replies;
} parent_t;

typedef struct child {
    uint64_t data[4];
} child_t;

static za_verdict_t child_msg(za_ctx_t *ctx, child_t *self, const b_Msg *m)
{
    self->data[0] = m->n;
    ZA_IGNORE(za_tell(ctx, za_sender(ctx), ZA_MSG(b_Msg, .n = 1)));
    return ZA_STOP;
}

ZA_ACTOR(child, child_t, (b_Msg, child_msg));

static za_verdict_t breed(za_ctx_t *ctx, parent_t *self)
{
    for (int i = 0; i < BATCH && self->left > 0; i++, self->left--) {
        za_ref_t ref;
        if (za_spawn(ctx, child, &ref) != ZA_OK) {
            break;
        }
        ZA_IGNORE(za_tell(ctx, ref, ZA_MSG(b_Msg, .n = self->left)));
    }
    if (self->left > 0) {
        ZA_IGNORE(za_tell(ctx, za_self(ctx), ZA_MSG(b_Go, .n = 0)));
    }
    return ZA_DONE;
}

static za_verdict_t parent_go(za_ctx_t *ctx, parent_t *self, const b_Go *m)
{
    if (m->n > 0) {
        self->left = self->replies = m->n;
    }
    return breed(ctx, self);
}

static za_verdict_t parent_msg(za_ctx_t *ctx, parent_t *self, const b_Msg *m)
{
    (void)ctx;
    (void)m;
    if (--self->replies == 0) {
        run_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(parent, parent_t, (b_Msg, parent_msg), (b_Go, parent_go));

static double spawning(uint64_t actors, uint32_t unused)
{
    (void)unused;
    za_ref_t root = spawn(&parent_class, UINT32_MAX);
    run_begin();
    tell(root, ZA_MSG(b_Go, .n = actors));
    return (double)actors / run_wait() * 1e3;
}

/* ---- actor-bytes -------------------------------------------------------------------------- */

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1) {
        fprintf(stderr, "bench_local: no /proc/self/statm\n");
        exit(1);
    }
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static za_verdict_t breed_idle(za_ctx_t *ctx, parent_t *self, const b_Go *m)
{
    self->left = m->n > 0 ? m->n : self->left;
    for (int i = 0; i < BATCH && self->left > 0; i++, self->left--) {
        za_ref_t ref;
        if (za_spawn(ctx, child, &ref) != ZA_OK) {
            exit(1);
        }
    }
    if (self->left > 0) {
        ZA_IGNORE(za_tell(ctx, za_self(ctx), ZA_MSG(b_Go, .n = 0)));
    } else {
        run_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(idler, parent_t, (b_Go, breed_idle));

static double actor_bytes(uint64_t actors, uint32_t unused)
{
    (void)unused;
    za_ref_t root = spawn(&idler_class, 0);
    uint64_t before = resident_bytes();
    run_begin();
    tell(root, ZA_MSG(b_Go, .n = actors));
    run_wait();
    return (double)(resident_bytes() - before) / (double)actors;
}

/* ---- the table ---------------------------------------------------------------------------- */

typedef struct workload {
    const char *id;
    const char *unit;
    double (*measure)(uint64_t messages, uint32_t how_many);
    uint64_t messages;
    uint32_t how_many;
} workload_t;

static const workload_t workloads[] = {
    { "pingpong", "ns/msg", pingpong, 10000000, 2 },
    { "fanin-1", "M/s", fanin, 10000000, 1 },
    { "fanin-2", "M/s", fanin, 10000000, 2 },
    { "fanin-8", "M/s", fanin, 10000000, 8 },
    { "fanin-32", "M/s", fanin, 10000000, 32 },
    { "ring", "M/s", ring, 20000000, 1000 },
    { "threadring", "ns/hop", ring, 5000000, 1 },
    { "spawn", "M actors/s", spawning, 1000000, 1 },
    { "actor-bytes", "B", actor_bytes, 1000000, 1 },
};

enum { WORKLOADS = sizeof workloads / sizeof workloads[0], RUNS_MAX = 5, QUICK = 10 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const workload_t *workload, uint32_t workers, bool quick, int runs)
{
    double values[RUNS_MAX];
    uint64_t messages = quick ? workload->messages / QUICK : workload->messages;
    uint64_t allocs = 0;
    double cpu[RUNS_MAX];
    for (int i = 0; i < runs; i++) {
        run_open(workers);
        values[i] = workload->measure(messages, workload->how_many);
        allocs += run.allocs;
        cpu[i] = (double)run.cpu_ns / (double)messages;
        run_close();
    }
    qsort(values, (size_t)runs, sizeof values[0], by_value);
    qsort(cpu, (size_t)runs, sizeof cpu[0], by_value);
    printf("{\"id\": \"%s\", \"impl\": \"zactor\", \"workers\": %" PRIu32 ", \"unit\": \"%s\", "
           "\"median\": %.3f, \"min\": %.3f, \"max\": %.3f, \"runs\": %d, "
           "\"params\": {\"messages\": %" PRIu64 ", \"count\": %" PRIu32
           ", \"allocs_per_msg\": %.6f, \"cpu_ns_per_msg\": %.1f}}\n",
           workload->id, workers, workload->unit, values[runs / 2], values[0], values[runs - 1],
           runs, messages, workload->how_many, (double)allocs / (double)messages / runs,
           cpu[runs / 2]);
    fflush(stdout);
}

typedef struct choice {
    bool quick;
    uint32_t workers; // 0: one, then two
    int runs;         // 0: 5, quick 3
    bool ids[WORKLOADS];
    bool any;
} choice_t;

static bool choose_id(choice_t *choice, const char *id)
{
    for (int i = 0; i < WORKLOADS; i++) {
        if (strcmp(workloads[i].id, id) == 0) {
            choice->ids[i] = choice->any = true;
            return true;
        }
    }
    return false;
}

static bool read_arguments(int argc, char **argv, choice_t *choice)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            choice->quick = true;
        } else if (strcmp(argv[i], "--workers") == 0 && i + 1 < argc) {
            choice->workers = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) {
            choice->runs = (int)strtol(argv[++i], NULL, 10);
            if (choice->runs < 1 || choice->runs > RUNS_MAX) {
                fprintf(stderr, "bench_local: 1 to %d runs\n", RUNS_MAX);
                return false;
            }
        } else if (strcmp(argv[i], "--json") != 0 && !choose_id(choice, argv[i])) {
            fprintf(stderr,
                    "bench_local: what is %s? [--quick] [--workers N] [--runs N] [ID ...]\n",
                    argv[i]);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    choice_t choice = { 0 };
    if (!read_arguments(argc, argv, &choice)) {
        return 2;
    }
    int runs = choice.runs > 0 ? choice.runs : choice.quick ? 3 : RUNS_MAX;
    for (int i = 0; i < WORKLOADS; i++) {
        for (uint32_t workers = 1; workers <= 2 && (choice.ids[i] || !choice.any); workers++) {
            if (choice.workers == 0 || choice.workers == workers) {
                measure(&workloads[i], workers, choice.quick, runs);
            }
        }
    }
    return 0;
}
