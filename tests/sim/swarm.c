/**
 * Swarm: whole clusters under faults, many seeds. For each seed a schedule of faults is drawn and
 * carried out on a simulated cluster whose nodes run the workload of work.h; afterwards all heals,
 * and the oracles of world.h are asked.
 *
 *     swarm --nodes 3,5,16 --seeds 1-1000
 *     swarm --nodes 5 --replay 17 --verbose
 *
 * Exit status 0: all seeds passed; 1: an oracle was violated, or the range missed a fault or a mark;
 * 2: usage.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

enum {
    NODE_COUNTS_MAX = 8,
    JOBS_MAX = 64,
    SECONDS = 120,
    TWICE_EACH = 10,                   // every so many seeds run twice, and must do the same
    COVERAGE_SEEDS = 20,               // shorter ranges need not reach everything
    COVERAGE_PART = 5,                 // each fault in at least a fifth of the seeds
    SHIFT_BYTES = 1 << 20 | 4096 | 32, // maps one area and a bit
    LOOK_MS = 50,
    PROGRESS_MS = 5000,
};

/** Marks that any range of COVERAGE_SEEDS must reach. */
static const char *const wanted_marks[] = { "refute",  "rebirth",      "resend",
                                            "respawn", "mailbox-full", "bulk" };

typedef struct options {
    uint32_t nodes[NODE_COUNTS_MAX];
    uint32_t node_counts;
    uint64_t first, last;
    uint64_t seconds;
    uint32_t jobs;
    bool verbose, check_hash, print_hash, stats;
    const char *folder;
} options_t;

typedef enum item_state { ITEM_WAITS, ITEM_RUNS, ITEM_PASSED, ITEM_FAILED } item_state_t;

/** One run and its outcome; in memory that all jobs share. */
typedef struct item {
    uint64_t seed;
    uint32_t nodes;
    _Atomic int state;
    uint32_t faults; // bit per kind
    double seconds;
    run_result_t result;
} item_t;

typedef struct board {
    _Atomic uint32_t next;
    _Atomic bool stop;
    uint32_t count;
    item_t items[];
} board_t;

/* ---- one item --------------------------------------------------------------------------------------- */

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run_item(const options_t *options, item_t *item, const char *folder)
{
    schedule_t schedule;
    schedule_draw(&schedule, item->seed, item->nodes, options->seconds);
    for (uint32_t i = 0; i < schedule.fault_count; i++) {
        item->faults |= 1u << schedule.faults[i].kind;
    }
    run_opts_t opts = { .verbose = options->verbose, .folder = folder };
    double begin = seconds_now();
    run(&schedule, &opts, &item->result);
    item->seconds = seconds_now() - begin;
    bool twice = options->check_hash || item->seed % TWICE_EACH == 0;
    if (twice && !item->result.failed && !options->verbose) {
        run_result_t again;
        void *shift = malloc(SHIFT_BYTES); // other addresses: nothing may depend on them
        run(&schedule, &opts, &again);
        free(shift);
        if (again.failed || again.hash != item->result.hash) {
            item->result.failed = true;
            snprintf(item->result.failure, sizeof item->result.failure,
                     "a second run did something else: hash %016" PRIx64 " after %016" PRIx64,
                     again.hash, item->result.hash);
        }
    }
}

/* ---- jobs -------------------------------------------------------------------------------------------- */

/** The work of one process: items until there are none, or one has failed. */
static int work_off(const options_t *options, board_t *board)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%s/zactor-swarm-XXXXXX", options->folder);
    if (mkdtemp(folder) == NULL) {
        fprintf(stderr, "swarm: %s: %s\n", folder, strerror(errno));
        return 2;
    }
    while (!atomic_load(&board->stop)) {
        uint32_t index = atomic_fetch_add(&board->next, 1);
        if (index >= board->count) {
            break;
        }
        item_t *item = &board->items[index];
        atomic_store(&item->state, ITEM_RUNS);
        run_item(options, item, folder);
        atomic_store(&item->state, item->result.failed ? ITEM_FAILED : ITEM_PASSED);
        if (item->result.failed) {
            atomic_store(&board->stop, true);
        }
    }
    rmdir(folder);
    return 0;
}

static uint32_t count_in(const board_t *board, item_state_t state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < board->count; i++) {
        count += atomic_load(&board->items[i].state) == (int)state;
    }
    return count;
}

/** Starts the jobs and waits for them; false if one of them died. */
static bool run_jobs(const options_t *options, board_t *board)
{
    uint32_t running = 0;
    bool sound = true;
    fflush(NULL);
    for (uint32_t i = 0; i < options->jobs; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            int status = work_off(options, board);
            fflush(NULL);
            _exit(status);
        }
        running += pid > 0;
    }
    double told = seconds_now();
    while (running > 0) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended > 0) {
            running--;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                sound = false;
                atomic_store(&board->stop, true);
            }
            continue;
        }
        nanosleep(&(struct timespec){ .tv_nsec = LOOK_MS * 1000000 }, NULL);
        if (seconds_now() - told > PROGRESS_MS / 1000.0) {
            told = seconds_now();
            fprintf(stderr, "swarm: %u of %u\n", count_in(board, ITEM_PASSED), board->count);
        }
    }
    return sound;
}

/* ---- the report ------------------------------------------------------------------------------------------ */

static void report_failure(const options_t *options, const item_t *item, const char *what)
{
    schedule_t schedule;
    schedule_draw(&schedule, item->seed, item->nodes, options->seconds);
    printf("FAILED seed %" PRIu64 " with %u nodes\n%s\n", item->seed, item->nodes, what);
    schedule_print(&schedule, stdout);
    printf("replay: swarm --nodes %u --seconds %" PRIu64 " --replay %" PRIu64 " --verbose\n",
           item->nodes, options->seconds, item->seed);
}

/** Prints what failed; true if nothing did. */
static bool report_failures(const options_t *options, const board_t *board, bool sound)
{
    bool good = true;
    for (uint32_t i = 0; i < board->count; i++) {
        const item_t *item = &board->items[i];
        int state = atomic_load(&item->state);
        if (state == ITEM_FAILED) {
            report_failure(options, item, item->result.failure);
            good = false;
        } else if (state == ITEM_RUNS && !sound) {
            report_failure(options, item, "the program died in this run, or in one beside it");
            good = false;
        }
    }
    return good && sound;
}

static bool report_fault_coverage(const board_t *board)
{
    bool good = true;
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        uint32_t seeds = 0;
        for (uint32_t i = 0; i < board->count; i++) {
            seeds += board->items[i].faults >> kind & 1;
        }
        if (seeds * COVERAGE_PART < board->count) {
            printf("MISSED fault %s: in %u of %u seeds\n", fault_name((fault_kind_t)kind), seeds,
                   board->count);
            good = false;
        }
    }
    return good;
}

static bool is_wanted(const char *mark)
{
    for (size_t i = 0; i < sizeof wanted_marks / sizeof wanted_marks[0]; i++) {
        if (strcmp(wanted_marks[i], mark) == 0) {
            return true;
        }
    }
    return false;
}

static bool report_marks(const board_t *board)
{
    bool good = true;
    printf("marks:");
    for (uint32_t mark = 0; mark < RUN_MARKS_MAX && za_sim_mark_name(mark) != NULL; mark++) {
        uint64_t hits = 0;
        for (uint32_t i = 0; i < board->count; i++) {
            hits += board->items[i].result.marks[mark];
        }
        printf(" %s=%" PRIu64, za_sim_mark_name(mark), hits);
        if (hits == 0 && is_wanted(za_sim_mark_name(mark))) {
            printf("\nMISSED mark %s\n", za_sim_mark_name(mark));
            good = false;
        }
    }
    printf("\n");
    return good;
}

static void report_counts(const board_t *board)
{
    world_counts_t sum = { 0 };
    uint64_t heal_ms = 0;
    uint64_t events = 0;
    for (uint32_t i = 0; i < board->count; i++) {
        const run_result_t *result = &board->items[i].result;
        const uint64_t *from = (const uint64_t *)&result->counts;
        uint64_t *to = (uint64_t *)&sum;
        for (size_t k = 0; k < sizeof sum / sizeof *to; k++) {
            to[k] += from[k];
        }
        heal_ms = result->heal_ms > heal_ms ? result->heal_ms : heal_ms;
        events += result->events;
    }
    printf("did: events=%" PRIu64 " messages=%" PRIu64 " bytes=%" PRIu64 " full=%" PRIu64
           " refused=%" PRIu64 " answers=%" PRIu64 " timeouts=%" PRIu64 " downs=%" PRIu64
           " watches=%" PRIu64 " fired=%" PRIu64 " fired-by-node=%" PRIu64 " names=%" PRIu64
           " names-lost=%" PRIu64 " spawned=%" PRIu64 " respawned=%" PRIu64
           " child-restarts=%" PRIu64 " children-ended=%" PRIu64 " carried-home=%" PRIu64
           " flyers=%" PRIu64 " rings=%" PRIu64 " cancels=%" PRIu64 " rebirths=%" PRIu64
           " slowest-healing=%" PRIu64 "ms\n",
           events, sum.items, sum.item_bytes, sum.refused_full, sum.refused_other, sum.answers,
           sum.timeouts, sum.downs, sum.watches, sum.fired, sum.fired_node, sum.names,
           sum.names_lost, sum.spawned, sum.respawned, sum.child_restarts, sum.children_ended,
           sum.carried_home, sum.flyers, sum.rings, sum.cancels, sum.rebirths, heal_ms);
}

static int report(const options_t *options, const board_t *board, bool sound, double seconds)
{
    if (options->print_hash) {
        for (uint32_t i = 0; i < board->count; i++) {
            printf("hash %u %" PRIu64 " %016" PRIx64 "\n", board->items[i].nodes,
                   board->items[i].seed, board->items[i].result.hash);
        }
    }
    if (!report_failures(options, board, sound)) {
        return 1;
    }
    bool good = true;
    if (board->count >= COVERAGE_SEEDS) {
        good = report_fault_coverage(board) && good;
    }
    if (board->count >= COVERAGE_SEEDS || options->stats) {
        good = report_marks(board) && good;
        report_counts(board);
    }
    printf("%u seeds in %.1f s (%.2f seeds/s)\n", board->count, seconds, board->count / seconds);
    return good || board->count < COVERAGE_SEEDS ? 0 : 1;
}

/* ---- the command line ---------------------------------------------------------------------------------------- */

static bool read_numbers(const char *text, options_t *options)
{
    options->node_counts = 0;
    while (*text != '\0') {
        char *end;
        unsigned long number = strtoul(text, &end, 10);
        if (end == text || number < 2 || number > ZA_SIM_NODES_MAX ||
            (*end != '\0' && *end != ',') || options->node_counts == NODE_COUNTS_MAX) {
            return false;
        }
        options->nodes[options->node_counts++] = (uint32_t)number;
        text = *end == ',' ? end + 1 : end;
    }
    return options->node_counts > 0;
}

static bool read_range(const char *text, options_t *options)
{
    char *end;
    options->first = strtoull(text, &end, 10);
    options->last = options->first;
    if (end != text && *end == '-') {
        const char *second = end + 1;
        options->last = strtoull(second, &end, 10);
    }
    return *text != '\0' && *end == '\0' && options->last >= options->first;
}

static int usage(void)
{
    fputs("usage: swarm [--nodes 3,5,16] [--seeds FROM-TO | --replay SEED] [--seconds 120]\n"
          "             [--jobs N] [--check-hash] [--print-hash] [--stats] [--verbose]\n",
          stderr);
    return 2;
}

static bool read_option(int option, const char *value, options_t *options)
{
    switch (option) {
    case 'n':
        return read_numbers(value, options);
    case 's':
    case 'r':
        return read_range(value, options);
    case 't':
        options->seconds = strtoull(value, NULL, 10);
        return options->seconds >= 10;
    case 'j':
        options->jobs = (uint32_t)strtoul(value, NULL, 10);
        return options->jobs > 0 && options->jobs <= JOBS_MAX;
    case 'v':
        options->verbose = true;
        options->jobs = 1;
        return true;
    case 'c':
        options->check_hash = true;
        return true;
    case 'p':
        options->print_hash = true;
        return true;
    case 'a':
        options->stats = true;
        return true;
    default:
        return false;
    }
}

static const struct option long_options[] = {
    { "nodes", required_argument, NULL, 'n' },  { "seeds", required_argument, NULL, 's' },
    { "replay", required_argument, NULL, 'r' }, { "seconds", required_argument, NULL, 't' },
    { "jobs", required_argument, NULL, 'j' },   { "verbose", no_argument, NULL, 'v' },
    { "check-hash", no_argument, NULL, 'c' },   { "print-hash", no_argument, NULL, 'p' },
    { "stats", no_argument, NULL, 'a' },        { NULL, 0, NULL, 0 },
};

static board_t *make_board(const options_t *options)
{
    uint64_t count = (options->last - options->first + 1) * options->node_counts;
    size_t bytes = sizeof(board_t) + count * sizeof(item_t);
    board_t *board = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED) {
        return NULL;
    }
    for (uint32_t n = 0; n < options->node_counts; n++) {
        for (uint64_t seed = options->first; seed <= options->last; seed++) {
            item_t *item = &board->items[board->count++];
            item->seed = seed;
            item->nodes = options->nodes[n];
        }
    }
    return board;
}

int main(int argc, char **argv)
{
    const char *folder = getenv("TMPDIR");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    options_t options = {
        .nodes = { 3 },
        .node_counts = 1,
        .first = 1,
        .last = 20,
        .seconds = SECONDS,
        .jobs = cores < 1          ? 1
                : cores > JOBS_MAX ? JOBS_MAX
                                   : (uint32_t)cores,
        .folder = folder != NULL ? folder : "/tmp",
    };
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (!read_option(option, optarg, &options)) {
            return usage();
        }
    }
    board_t *board = optind == argc ? make_board(&options) : NULL;
    if (board == NULL) {
        return usage();
    }
    double begin = seconds_now();
    bool sound = run_jobs(&options, board);
    return report(&options, board, sound, seconds_now() - begin);
}
