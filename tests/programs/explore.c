/**
 * Explorer: runs random programs of actors on the real runtime, in one thread, with a scheduler that is
 * drawn from a seed, against a model of what may happen.
 *
 *   explore --seeds A..B [--seconds S]   each of them; without B on and on
 *   explore --seed S [--trace]           one of them, with all its events
 *
 * Workers are turned one handler at a time: the scheduler draws which worker goes on, which of its
 * runnable actors, on which worker that runs, whether for one message or for a whole run, and when time
 * passes and timers are looked at. So two handlers come in any order in which threads could run them.
 *
 * A seed that fails is replayed with parts left out, as long as it still fails. (Swarm testing: Groce
 * et al., ISSTA 2012. Shrinking: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
 * Input", 2002.)
 */
#include "explore.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/worker.h"
#include "program.h"

enum {
    STEPS_MAX = 1500,
    SETTLE_EVERY = 60, // steps, in the mean
    TURNS_MAX = 20000, // until a program must have come to rest
    BATCH = 256,       // seeds of one child
    CHILD_SECONDS = 20,
    AFTERMATH = 12, // looks at what is left when the operations are used up
    TWICE_EVERY = 16,
};

/** What is left out of a program. */
typedef struct cut {
    uint32_t allowed;
    uint32_t budget;
    uint64_t skipped[P_OPS_MAX / 64 + 1];
} cut_t;

/** Shared with the child. */
typedef struct shared {
    uint64_t seed;
    uint64_t seeds_done;
    uint64_t events;
    uint32_t operations;
    char report[512];
} shared_t;

static shared_t *shared;

void explore_report(const char *text)
{
    snprintf(shared->report, sizeof shared->report, "%s", text);
    fflush(stdout);
    _exit(3);
}

/* ---- one program -------------------------------------------------------------------------- */

static void wake(void *context, za_worker_t *worker)
{
    (void)context; // every worker is looked at anyway
    (void)worker;
}

static const za_host_t host = { .wake = wake };

typedef struct explorer {
    za_rng_t rng;
    za_runtime_t *runtime;
    uint32_t workers;
    p_program_t *program;
} explorer_t;

static za_worker_t *draw_worker(explorer_t *explorer)
{
    uint32_t index = (uint32_t)za_rng_below(&explorer->rng, explorer->workers);
    za_worker_t *worker = za_runtime_worker(explorer->runtime, index);
    za_worker_touch(worker, explorer->program->model.now_ns);
    return worker;
}

/** One of the runnable actors of a worker, for one message or a run, there or as if stolen. */
static void run_one(explorer_t *explorer)
{
    za_worker_t *worker = draw_worker(explorer);
    za_cell_t *cell = za_pick(worker);
    for (uint64_t later = za_rng_below(&explorer->rng, 4); cell != NULL && later > 0; later--) {
        za_schedule_last(worker, cell);
        cell = za_pick(worker);
    }
    if (cell == NULL) {
        return;
    }
    za_worker_t *other = draw_worker(explorer);
    if (!za_cell_is_placed(cell) && za_rng_below(&explorer->rng, 4) == 0) {
        worker = other;
    }
    if (za_rng_below(&explorer->rng, 4) == 0) {
        za_cell_run(worker, cell);
    } else {
        za_cell_run_one(worker, cell);
    }
}

static void turn(explorer_t *explorer)
{
    za_worker_turn(draw_worker(explorer), explorer->program->model.now_ns);
}

/** True if there is something to do for it before its turn. */
static bool has_work(za_worker_t *worker, uint64_t now_ns)
{
    // relaxed, all of them: there is one thread
    return za_has_runs(worker) || za_inbox_some(&worker->inbox) ||
           za_worker_deadline_ns(worker) <= now_ns ||
           atomic_load_explicit(&worker->timers.cancelled, memory_order_relaxed) != NULL ||
           atomic_load_explicit(&worker->runtime->injected, memory_order_relaxed) != NULL;
}

/** Until nothing is left to do at this time. */
static void settle(explorer_t *explorer)
{
    p_model_t *model = &explorer->program->model;
    uint32_t idle = 0;
    for (uint32_t turns = 0; idle < 2 * explorer->workers; turns++) {
        if (turns == TURNS_MAX) {
            p_fail(model, "the program does not come to rest");
        }
        za_worker_t *worker = za_runtime_worker(explorer->runtime, turns % explorer->workers);
        // A turn that did something says ZA_TURN_IDLE as well, when that was all.
        bool works = has_work(worker, model->now_ns);
        za_turn_t more = za_worker_turn(worker, model->now_ns);
        idle = more == ZA_TURN_IDLE && !works ? idle + 1 : 0;
    }
    p_check_rest(model);
}

static void pass_time(explorer_t *explorer, uint64_t quarters)
{
    explorer->program->model.now_ns += quarters * (P_NS_PER_MS / 4);
}

static void step(explorer_t *explorer)
{
    uint64_t draw = za_rng_below(&explorer->rng, 100);
    if (draw < 70) {
        run_one(explorer);
    } else if (draw < 80) {
        za_timers_fire(draw_worker(explorer));
    } else if (draw < 90) {
        pass_time(explorer, 1 + za_rng_below(&explorer->rng, 4));
    } else if (draw < 93) {
        turn(explorer);
    } else if (draw < 98) {
        p_program_tell(explorer->program, &explorer->rng);
    } else {
        settle(explorer);
        pass_time(explorer, za_rng_below(&explorer->rng, 12));
    }
}

static void run_program(explorer_t *explorer)
{
    p_program_t *program = explorer->program;
    for (uint32_t i = 0; i < STEPS_MAX && program->done < program->budget; i++) {
        step(explorer);
    }
    for (uint32_t i = 0; i < AFTERMATH; i++) {
        settle(explorer);
        pass_time(explorer, 1 + za_rng_below(&explorer->rng, 8));
    }
    settle(explorer);
    p_trace(&program->model, "all are stopped");
    za_runtime_stop_all(program->guest);
    settle(explorer);
    p_check_end(&program->model);
}

/** The hash of its events. */
static uint64_t run_seed(uint64_t seed, const cut_t *cut, bool traces)
{
    explorer_t explorer = { .program = p_program() };
    za_rng_init(&explorer.rng, seed);
    explorer.workers = 1 + (uint32_t)za_rng_below(&explorer.rng, 3);
    uint32_t actors = 2 + (uint32_t)za_rng_below(&explorer.rng, 5);
    uint32_t kinds = (uint32_t)za_rng_next(&explorer.rng) | (uint32_t)za_rng_next(&explorer.rng);
    const za_runtime_config_t config = {
        .workers = explorer.workers,
        .actors_max = 200,
        .pool_bytes_max = 64u << 20,
        .mailbox_default = 100000,
        .seed = seed,
        .host = &host,
    };
    p_program_t *program = explorer.program;
    if (za_runtime_create(&config, &explorer.runtime) != ZA_OK) {
        explore_report("no runtime");
    }
    p_model_init(&program->model, explorer.runtime, 1000 * P_NS_PER_MS, traces);
    program->seed = seed;
    program->guest = za_runtime_guest(explorer.runtime);
    program->allowed = kinds & cut->allowed;
    program->budget = cut->budget;
    memcpy(program->skipped, cut->skipped, sizeof program->skipped);
    p_program_begin(program, actors);
    run_program(&explorer);
    shared->operations = program->done;
    shared->events += program->model.expected.handled;
    za_runtime_destroy(explorer.runtime);
    return program->model.hash;
}

/* ---- children ----------------------------------------------------------------------------- */

/** Runs the seeds in a child; true if all went well. */
static bool run_child(uint64_t first, uint64_t count, const cut_t *cut, bool traces)
{
    fflush(stdout);
    shared->report[0] = '\0';
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        for (uint64_t seed = first; seed < first + count; seed++) {
            shared->seed = seed;
            uint64_t hash = run_seed(seed, cut, traces);
            if (seed % TWICE_EVERY == 0 && !traces && run_seed(seed, cut, false) != hash) {
                explore_report("the same seed does not do the same twice");
            }
            shared->seeds_done++;
        }
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("explore");
        exit(2);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    if (shared->report[0] == '\0') {
        snprintf(shared->report, sizeof shared->report, "ended by signal %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    }
    return false;
}

/** The report without its numbers: what kind of failure it is. */
static void get_kind(char *out, size_t bytes)
{
    size_t used = 0;
    for (const char *at = shared->report; *at != '\0' && used + 1 < bytes; at++) {
        if (strchr("0123456789.", *at) == NULL) {
            out[used++] = *at;
        }
    }
    out[used] = '\0';
}

/** True if it fails in the same way. */
static bool still_fails(uint64_t seed, const cut_t *cut, const char *kind)
{
    char now[sizeof shared->report];
    if (run_child(seed, 1, cut, false)) {
        return false;
    }
    get_kind(now, sizeof now);
    return strcmp(now, kind) == 0;
}

/** Leaves out what the failure does not need: kinds, then the end, then one by one. */
static void shrink(uint64_t seed, cut_t *cut)
{
    char kind[sizeof shared->report];
    get_kind(kind, sizeof kind);
    for (uint32_t op = 0; op < P_OPS; op++) {
        cut_t less = *cut;
        less.allowed &= ~(1u << op);
        *cut = still_fails(seed, &less, kind) ? less : *cut;
    }
    for (uint32_t part = P_OPS_MAX / 2; part > 0; part /= 2) {
        cut_t less = *cut;
        less.budget = cut->budget > part ? cut->budget - part : 1;
        *cut = still_fails(seed, &less, kind) ? less : *cut;
    }
    for (uint32_t i = 0; i < cut->budget; i++) {
        cut_t less = *cut;
        less.skipped[i / 64] |= UINT64_C(1) << i % 64;
        *cut = still_fails(seed, &less, kind) ? less : *cut;
    }
}

static void print_cut(const cut_t *cut)
{
    printf("what it needs:");
    for (uint32_t op = 0; op < P_OPS; op++) {
        if (cut->allowed >> op & 1) {
            printf(" %s", p_op_name((p_op_t)op));
        }
    }
    putchar('\n');
}

static int explain(uint64_t seed, const cut_t *whole, bool shrinks)
{
    printf("FAILED programs: seed %llu: %s\n", (unsigned long long)seed, shared->report);
    if (shrinks) {
        cut_t cut = *whole;
        shrink(seed, &cut);
        print_cut(&cut);
        run_child(seed, 1, &cut, true);
        printf("%s\n", shared->report);
        printf("replay in full: explore --seed %llu --trace\n", (unsigned long long)seed);
    }
    return 1;
}

/* ---- main --------------------------------------------------------------------------------- */

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

typedef struct options {
    uint64_t first, end; // seeds
    double seconds;      // 0: until all are done
    bool traces;
    bool shrinks;
} options_t;

static bool parse(int argc, char **argv, options_t *out)
{
    *out = (options_t){ .first = 1, .end = 1001, .shrinks = true };
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        char *rest = NULL;
        if (strcmp(argv[i], "--trace") == 0) {
            out->traces = true;
        } else if (strcmp(argv[i], "--no-shrink") == 0) {
            out->shrinks = false;
        } else if (strcmp(argv[i], "--seconds") == 0 && (out->seconds = strtod(value, &rest)) > 0) {
            i++;
        } else if (strcmp(argv[i], "--seed") == 0 && *value != '\0') {
            out->first = strtoull(value, &rest, 10);
            out->end = out->first + 1;
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0 && *value != '\0') {
            out->first = strtoull(value, &rest, 10);
            bool ends = strncmp(rest, "..", 2) == 0 && rest[2] != '\0';
            out->end = ends ? strtoull(rest + 2, &rest, 10) + 1 : UINT64_MAX;
            rest = ends ? rest : "";
            i++;
        } else {
            return false;
        }
        if (rest != NULL && *rest != '\0') {
            return false;
        }
    }
    return out->first < out->end;
}

int main(int argc, char **argv)
{
    options_t options;
    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "explore --seeds A..B [--seconds S] [--no-shrink] | --seed S [--trace]\n");
        return 2;
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("explore");
        return 2;
    }
    const cut_t whole = { .allowed = UINT32_MAX, .budget = P_OPS_MAX };
    double began = seconds_now();
    uint64_t seed = options.first;
    while (seed < options.end &&
           (options.seconds <= 0 || seconds_now() - began < options.seconds)) {
        uint64_t count = options.end - seed < BATCH ? options.end - seed : BATCH;
        if (!run_child(seed, count, &whole, options.traces)) {
            return explain(shared->seed, &whole, options.shrinks && !options.traces);
        }
        seed += count;
    }
    double took = seconds_now() - began;
    printf("%llu seeds from %llu, %llu handlers, %.1f s, %.0f seeds/s: no promise was broken\n",
           (unsigned long long)shared->seeds_done, (unsigned long long)options.first,
           (unsigned long long)shared->events, took, (double)shared->seeds_done / took);
    return 0;
}
