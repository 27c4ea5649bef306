#include "harness.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bounce.h"
#include "core/clock.h"
#include "core/park.h"
#include "core/threads.h"
#include "counting.h"
#include "report.h"

enum { RUNS = 5, RUNS_QUICK = 3, QUICK = 10, SMOKE = 100, WARM = 10 };

const za_type_t b_Msg_type = { .name = "b.Msg", .id = 301, .size = sizeof(b_Msg) };
const za_type_t b_Go_type = { .name = "b.Go", .id = 302, .size = sizeof(b_Go) };

/** The run that is being measured. */
static struct {
    za_threads_t *threads;
    za_runtime_t *runtime;
    za_worker_t *guest;
    uint32_t workers;
    za_park_t done;
    _Atomic uint64_t end_ns; // 0: not yet
    uint64_t start_ns;
    uint64_t cpu_ns;
    uint64_t allocs;
    bench_latency_t latencies;
} run;

/* ---- messages to the user ----------------------------------------------------------------- */

_Noreturn void bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "bench: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

void bench_must(za_err_t err, const char *what)
{
    if (err != ZA_OK) {
        bench_fail("%s: %s", what, za_err_text(err));
    }
}

void bench_check(bool right, const char *what)
{
    if (!right) {
        bench_fail("wrong outcome: %s", what);
    }
}

/* ---- a run -------------------------------------------------------------------------------- */

void bench_open(uint32_t workers, bench_idle_t idle)
{
    memset(&run, 0, sizeof run);
    run.workers = workers;
    bench_must(za_threads_create(NULL, &run.threads), "threads");
    const za_runtime_config_t config = { .workers = workers,
                                         .actors_max = 4u << 20,
                                         .pool_bytes_max = UINT64_C(4) << 30,
                                         .mailbox_default = 4096,
                                         .seed = 1,
                                         .host = za_threads_host(),
                                         .host_context = run.threads };
    bench_must(za_runtime_create(&config, &run.runtime), "runtime");
    run.guest = za_runtime_guest(run.runtime);
    const za_threads_opts_t opts = { .busy_wait = idle == BENCH_SPINS };
    za_threads_configure(run.threads, &opts);
    bench_must(za_threads_start(run.threads, run.runtime), "start");
}

void bench_close(void)
{
    za_threads_stop(run.threads);
    za_runtime_destroy(run.runtime);
    za_threads_destroy(run.threads);
}

za_runtime_t *bench_runtime(void)
{
    return run.runtime;
}

za_worker_t *bench_guest(void)
{
    return run.guest;
}

uint32_t bench_workers(void)
{
    return run.workers;
}

bench_latency_t *bench_latencies(void)
{
    return &run.latencies;
}

za_ref_t bench_spawn_with(const za_class_t *class_, const za_spawn_opts_t *opts)
{
    za_ref_t ref;
    bench_must(za_runtime_spawn(run.guest, class_, opts, ZA_REF_NONE, &ref), "spawn");
    return ref;
}

za_ref_t bench_spawn(const za_class_t *class_, uint32_t mailbox)
{
    return bench_spawn_with(
        class_, &(const za_spawn_opts_t){ .size = sizeof(za_spawn_opts_t), .mailbox = mailbox });
}

za_ref_t bench_spawn_at(const za_class_t *class_, uint32_t worker)
{
    return bench_spawn_with(
        class_, &(const za_spawn_opts_t){ .size = sizeof(za_spawn_opts_t), .worker = worker });
}

void bench_tell(za_ref_t to, const za_type_t *type, const void *body)
{
    const za_outgoing_t out = { .to = to, .type = type, .body = body };
    bench_must(za_runtime_tell(run.guest, &out), "tell");
}

/* ---- measuring ---------------------------------------------------------------------------- */

uint64_t bench_now_ns(void)
{
    return za_clock_ns();
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void bench_begin(void)
{
    atomic_store_explicit(&run.end_ns, 0, memory_order_relaxed); // a message follows that publishes
    run.allocs = bench_allocations();
    run.cpu_ns = cpu_ns();
    run.start_ns = za_clock_ns();
}

void bench_end(void)
{
    atomic_store_explicit(&run.end_ns, za_clock_ns(), memory_order_release); // pairs: bench-end
    za_park_wake(&run.done);
}

double bench_wait(void)
{
    while (atomic_load_explicit(&run.end_ns, memory_order_acquire) == 0) { // pairs: bench-end
        za_park_wait(&run.done, UINT64_MAX);
    }
    run.allocs = bench_allocations() - run.allocs;
    run.cpu_ns = cpu_ns() - run.cpu_ns;
    // relaxed: read above
    return (double)(atomic_load_explicit(&run.end_ns, memory_order_relaxed) - run.start_ns);
}

uint32_t bench_random(uint64_t *state, uint32_t bound)
{
    *state ^= *state << 13; // xorshift64 (Marsaglia): cheap beside what it is to choose for
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 32) * bound >> 32);
}

/** Parameters that a workload sets before its value is known wait here. */
static struct {
    uint32_t count;
    struct {
        const char *name;
        double value;
    } items[BENCH_PARAMS_MAX];
} params;

void bench_param(const char *name, double value)
{
    if (params.count == BENCH_PARAMS_MAX) {
        bench_fail("more than %d parameters", BENCH_PARAMS_MAX);
    }
    params.items[params.count].name = name;
    params.items[params.count++].value = value;
}

/** How many nanoseconds a latency's unit has. */
static double unit_ns(const char *unit)
{
    return strncmp(unit, "ms", 2) == 0 ? 1e6 : strncmp(unit, "us", 2) == 0 ? 1e3 : 1;
}

/** Without `report` it is a warm-up. */
static void measure_once(const bench_workload_t *workload, uint32_t workers, uint64_t amount,
                         bench_report_t *report)
{
    params.count = 0;
    bench_open(workers, workload->idle);
    double value = workload->measure(workload, amount);
    if (report != NULL) {
        bench_report_run(report, value);
        if (run.latencies.count > 0) {
            bench_report_latency(report, &run.latencies, unit_ns(workload->unit));
        }
        bench_report_param(report, "messages", (double)amount);
        bench_report_param(report, "count", workload->how_many);
        bench_report_param(report, "allocs_per_msg", (double)run.allocs / (double)amount);
        bench_report_param(report, "cpu_ns_per_msg", (double)run.cpu_ns / (double)amount);
        for (uint32_t i = 0; i < params.count; i++) {
            bench_report_param(report, params.items[i].name, params.items[i].value);
        }
    }
    bench_close();
}

static void measure(const bench_workload_t *workload, uint32_t workers, uint32_t divisor,
                    uint32_t runs)
{
    bench_report_t report = { .id = workload->id,
                              .impl = workload->impl != NULL ? workload->impl : "zactor",
                              .unit = workload->unit,
                              .workers = workers };
    uint64_t amount = workload->fixed ? workload->amount : workload->amount / divisor;
    if (!workload->cold && divisor != SMOKE) {
        measure_once(workload, workers, amount > WARM ? amount / WARM : 1, NULL);
    }
    for (uint32_t i = 0; i < runs; i++) {
        measure_once(workload, workers, amount, &report);
    }
    bench_report_print(&report);
}

/* ---- the program -------------------------------------------------------------------------- */

typedef struct choice {
    const bench_workload_t *const *tables;
    int argc;
    char **argv;
    uint32_t divisor; // of amounts
    bool any;         // ids were named
    uint32_t workers; // 0: one, then two
    uint32_t runs;
} choice_t;

static const bench_workload_t *find(const choice_t *choice, const char *id)
{
    for (size_t table = 0; choice->tables[table] != NULL; table++) {
        for (const bench_workload_t *row = choice->tables[table]; row->id != NULL; row++) {
            if (strcmp(row->id, id) == 0) {
                return row;
            }
        }
    }
    return NULL;
}

static int usage(const char *problem)
{
    fprintf(stderr,
            "bench: what is %s? [--quick | --smoke] [--workers N] [--runs N] [ID ...] | --list | "
            "--bounce\n",
            problem);
    return 2;
}

/** 0: measure; else the exit status. */
static int read_arguments(choice_t *choice)
{
    for (int i = 1; i < choice->argc; i++) {
        char **at = &choice->argv[i];
        bool number = i + 1 < choice->argc;
        if (strcmp(*at, "--quick") == 0) {
            choice->divisor = QUICK;
            choice->runs = choice->runs > 0 ? choice->runs : RUNS_QUICK;
        } else if (strcmp(*at, "--smoke") == 0) {
            choice->divisor = SMOKE;
            choice->runs = 1;
        } else if (strcmp(*at, "--workers") == 0 && number) {
            choice->workers = (uint32_t)strtoul(choice->argv[++i], NULL, 10);
        } else if (strcmp(*at, "--runs") == 0 && number) {
            choice->runs = (uint32_t)strtoul(choice->argv[++i], NULL, 10);
            if (choice->runs < 1 || choice->runs > BENCH_RUNS_MAX) {
                fprintf(stderr, "bench: 1 to %d runs\n", BENCH_RUNS_MAX);
                return 2;
            }
        } else if (find(choice, *at) != NULL) {
            choice->any = true;
        } else {
            return usage(*at);
        }
    }
    return 0;
}

static bool is_chosen(const choice_t *choice, const char *id)
{
    for (int i = 1; i < choice->argc; i++) {
        if (strcmp(choice->argv[i], id) == 0) {
            return true;
        }
    }
    return !choice->any;
}

static void list(const bench_workload_t *const *tables)
{
    for (size_t table = 0; tables[table] != NULL; table++) {
        for (const bench_workload_t *row = tables[table]; row->id != NULL; row++) {
            printf("{\"id\": \"%s\", \"unit\": \"%s\", \"workers\": %u}\n", row->id, row->unit,
                   row->workers);
        }
    }
}

static void measure_chosen(const choice_t *choice, const bench_workload_t *row)
{
    if (!is_chosen(choice, row->id)) {
        return;
    }
    for (uint32_t workers = 1; workers <= 2; workers++) {
        if ((row->workers == 0 || row->workers == workers) &&
            (choice->workers == 0 || choice->workers == workers)) {
            measure(row, workers, choice->divisor, choice->runs > 0 ? choice->runs : RUNS);
        }
    }
}

int bench_main(int argc, char **argv, const bench_workload_t *const *tables)
{
    choice_t choice = { .tables = tables, .argc = argc, .argv = argv, .divisor = 1 };
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list(tables);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--bounce") == 0) {
        printf("{\"bounce_ns\": %.1f}\n", bench_bounce_ns());
        return 0;
    }
    int status = read_arguments(&choice);
    if (status != 0) {
        return status;
    }
    for (size_t table = 0; tables[table] != NULL; table++) {
        for (const bench_workload_t *row = tables[table]; row->id != NULL; row++) {
            measure_chosen(&choice, row);
        }
    }
    return 0;
}
