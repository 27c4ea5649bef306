// Trials without end, in several processes: what was run, what failed, and which marks were hit. The
// running total lies in a file, so that a soak goes on where the last one ended.

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <zactor/sim.h>

#include "zasim.h"

enum {
    JOBS_MAX = 256,
    CHUNK_SEEDS = 20,  // of one process
    FAILURES_MAX = 32, // kept of a soak
    REPORT_SECONDS = 10,
    TRIALS_OF_ALL = 200, // in which everything that is expected must be met
};

typedef struct failed_seed {
    uint64_t seed;
    char oracle[24];
    char text[160];
} failed_seed_t;

/** What trials add up to. */
typedef struct total {
    uint64_t first_seed, next_seed;
    uint64_t trials, violations, events;
    double node_hours, cpu_s;
    uint32_t failure_count;
    failed_seed_t failures[FAILURES_MAX];
    uint64_t marks[ZA_MARK_COUNT];
    uint64_t faults[ZA_FAULT_KINDS]; // how many of a kind were in the plans
} total_t;

typedef struct job {
    pid_t pid; // 0: none
    int pipe;
    uint64_t seed;
    bool done; // its total is here and waits for those before it
    total_t total;
} job_t;

static volatile sig_atomic_t stop_soak;

static void on_signal(int number)
{
    (void)number;
    stop_soak = 1;
}

/* ---- totals ------------------------------------------------------------------------------------ */

static void add_total(total_t *total, const total_t *more)
{
    total->next_seed = more->next_seed;
    total->trials += more->trials;
    total->violations += more->violations;
    total->events += more->events;
    total->node_hours += more->node_hours;
    total->cpu_s += more->cpu_s;
    for (uint32_t i = 0; i < more->failure_count && total->failure_count < FAILURES_MAX; i++) {
        total->failures[total->failure_count++] = more->failures[i];
    }
    for (int i = 0; i < ZA_MARK_COUNT; i++) {
        total->marks[i] += more->marks[i];
    }
    for (int i = 0; i < ZA_FAULT_KINDS; i++) {
        total->faults[i] += more->faults[i];
    }
}

static bool write_state(const options_t *options, const total_t *total)
{
    char name[4096];
    if (options->state_file == NULL) {
        return true;
    }
    snprintf(name, sizeof name, "%s.new", options->state_file);
    FILE *out = fopen(name, "w");
    if (out == NULL) {
        perror(name);
        return false;
    }
    fprintf(out, "zasim soak 1\nfirst_seed %" PRIu64 "\nnext_seed %" PRIu64 "\n", total->first_seed,
            total->next_seed);
    fprintf(out, "trials %" PRIu64 "\nviolations %" PRIu64 "\nevents %" PRIu64 "\n", total->trials,
            total->violations, total->events);
    fprintf(out, "node_hours %.6f\ncpu_s %.3f\n", total->node_hours, total->cpu_s);
    for (int i = 0; i < ZA_MARK_COUNT; i++) {
        fprintf(out, "mark %d %" PRIu64 "\n", i, total->marks[i]);
    }
    for (int i = 0; i < ZA_FAULT_KINDS; i++) {
        fprintf(out, "fault %s %" PRIu64 "\n", za_fault_kind_name((za_fault_kind_t)i),
                total->faults[i]);
    }
    for (uint32_t i = 0; i < total->failure_count; i++) {
        fprintf(out, "failure %" PRIu64 " %s %s\n", total->failures[i].seed,
                total->failures[i].oracle, total->failures[i].text);
    }
    if (fclose(out) != 0 || rename(name, options->state_file) != 0) {
        perror(options->state_file);
        return false;
    }
    return true;
}

static void read_failure(total_t *total, const char *text)
{
    if (total->failure_count == FAILURES_MAX) {
        return;
    }
    failed_seed_t *failure = &total->failures[total->failure_count];
    if (sscanf(text, "%" SCNu64 " %23s %159[^\n]", &failure->seed, failure->oracle,
               failure->text) >= 2) {
        total->failure_count++;
    }
}

/** By name: kinds may be added between two runs of a soak. */
static void read_faults(total_t *total, const char *name, uint64_t count)
{
    for (int i = 0; i < ZA_FAULT_KINDS; i++) {
        if (strcmp(name, za_fault_kind_name((za_fault_kind_t)i)) == 0) {
            total->faults[i] = count;
        }
    }
}

static void read_state_line(total_t *total, const char *line)
{
    char name[24];
    int index = 0;
    uint64_t value = 0;
    if (sscanf(line, "mark %d %" SCNu64, &index, &value) == 2) {
        if (index >= 0 && index < ZA_MARK_COUNT) {
            total->marks[index] = value;
        }
    } else if (sscanf(line, "fault %23s %" SCNu64, name, &value) == 2) {
        read_faults(total, name, value);
    } else if (strncmp(line, "failure ", 8) == 0) {
        read_failure(total, line + 8);
    } else if (sscanf(line, "first_seed %" SCNu64, &total->first_seed) == 1 ||
               sscanf(line, "next_seed %" SCNu64, &total->next_seed) == 1 ||
               sscanf(line, "trials %" SCNu64, &total->trials) == 1 ||
               sscanf(line, "violations %" SCNu64, &total->violations) == 1 ||
               sscanf(line, "events %" SCNu64, &total->events) == 1 ||
               sscanf(line, "node_hours %lf", &total->node_hours) == 1 ||
               sscanf(line, "cpu_s %lf", &total->cpu_s) == 1) {
        return; // one of them matched
    }
}

/** A state that is there is gone on with; a new soak begins at --seed. */
static bool read_state(const options_t *options, total_t *total)
{
    *total = (total_t){ .first_seed = options->seed, .next_seed = options->seed };
    FILE *in = options->state_file != NULL ? fopen(options->state_file, "r") : NULL;
    if (in == NULL) {
        return options->state_file == NULL || errno == ENOENT;
    }
    char line[512];
    bool good = fgets(line, sizeof line, in) != NULL && strcmp(line, "zasim soak 1\n") == 0;
    while (good && fgets(line, sizeof line, in) != NULL) {
        read_state_line(total, line);
    }
    fclose(in);
    if (!good) {
        say(STATUS_USAGE, "%s is no state of a soak", options->state_file);
    }
    return good;
}

/* ---- a worker process -------------------------------------------------------------------------- */

static void run_seed(const options_t *options, uint64_t seed, za_plan_t *plan, total_t *total)
{
    za_trial_result_t result;
    draw_plan(options, seed, plan);
    if (za_trial_run(plan, NULL, &result) != ZA_OK) {
        result.failure.failed = true;
        snprintf(result.failure.oracle, sizeof result.failure.oracle, "memory");
    }
    total->trials++;
    total->events += result.stats.events;
    total->node_hours += (double)result.stats.host_us / 3.6e9;
    for (int i = 0; i < ZA_MARK_COUNT; i++) {
        total->marks[i] += result.stats.marks[i];
    }
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        total->faults[plan->faults[i].kind]++;
    }
    if (!result.failure.failed) {
        return;
    }
    total->violations++;
    if (total->failure_count < FAILURES_MAX) {
        failed_seed_t *failure = &total->failures[total->failure_count++];
        failure->seed = seed;
        snprintf(failure->oracle, sizeof failure->oracle, "%s", result.failure.oracle);
        snprintf(failure->text, sizeof failure->text, "%.150s", result.failure.text);
    }
}

static void run_chunk(const options_t *options, uint64_t seed, int out)
{
    static za_plan_t plan;
    static total_t total;
    double before = cpu_seconds();
    for (uint64_t i = 0; i < CHUNK_SEEDS; i++) {
        run_seed(options, seed + i, &plan, &total);
    }
    total.next_seed = seed + CHUNK_SEEDS;
    total.cpu_s = cpu_seconds() - before;
    const char *at = (const char *)&total;
    for (size_t left = sizeof total; left > 0;) {
        ssize_t written = write(out, at, left);
        if (written <= 0) {
            _exit(STATUS_USAGE);
        }
        at += written;
        left -= (size_t)written;
    }
    _exit(STATUS_OK);
}

static bool start_job(const options_t *options, job_t *job, uint64_t seed)
{
    int ends[2];
    if (pipe(ends) != 0) {
        perror("pipe");
        return false;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    if (pid == 0) {
        close(ends[0]);
        signal(SIGINT, SIG_IGN); // the parent ends the soak, chunk by chunk
        run_chunk(options, seed, ends[1]);
    }
    close(ends[1]);
    *job = (job_t){ .pid = pid, .pipe = ends[0], .seed = seed };
    return true;
}

/** Waits for the job's total; a process that died is a violation of its own. */
static void finish_job(job_t *job)
{
    char *at = (char *)&job->total;
    size_t left = sizeof job->total;
    while (left > 0) {
        ssize_t got = read(job->pipe, at, left);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        at += got;
        left -= (size_t)got;
    }
    close(job->pipe);
    int status = 0;
    while (waitpid(job->pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (left > 0) {
        memset(&job->total, 0, sizeof job->total);
        job->total.next_seed = job->seed + CHUNK_SEEDS;
        job->total.violations = 1;
        job->total.failure_count = 1;
        job->total.failures[0].seed = job->seed;
        snprintf(job->total.failures[0].oracle, sizeof job->total.failures[0].oracle, "crash");
        snprintf(job->total.failures[0].text, sizeof job->total.failures[0].text,
                 "a trial of the %d seeds from here ended the process (status %d)", CHUNK_SEEDS,
                 status);
    }
    job->done = true;
}

/* ---- soak --------------------------------------------------------------------------------------- */

static double wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report(const total_t *total)
{
    fprintf(stderr,
            "seed %" PRIu64 ": %" PRIu64 " trials, %.0f node-hours, %.1f for each CPU-second, "
            "%" PRIu64 " violations\n",
            total->next_seed, total->trials, total->node_hours,
            total->cpu_s > 0 ? total->node_hours / total->cpu_s : 0, total->violations);
}

static bool enough(const options_t *options, const total_t *total, uint64_t started_seed,
                   double started)
{
    uint64_t seeds = total->next_seed - started_seed;
    return stop_soak || (options->runs != 0 && seeds >= options->runs) ||
           (options->minutes != 0 && wall_seconds() - started >= 60.0 * options->minutes) ||
           (options->check && total->violations > 0);
}

static uint32_t job_count(const options_t *options)
{
    long cores = options->jobs != 0 ? (long)options->jobs : sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > JOBS_MAX ? JOBS_MAX : (uint32_t)cores;
}

/** Chunks are handed out and added up in the order of their seeds, by turns. */
static bool run_jobs(const options_t *options, total_t *total)
{
    static job_t jobs[JOBS_MAX];
    uint32_t count = job_count(options);
    uint64_t started_seed = total->next_seed;
    uint64_t next = started_seed;
    double started = wall_seconds();
    double reported = started;
    for (uint32_t at = 0;; at = (at + 1) % count) {
        job_t *job = &jobs[at];
        if (job->pid != 0) {
            finish_job(job);
            add_total(total, &job->total);
            *job = (job_t){ 0 };
            if (!write_state(options, total)) {
                return false;
            }
        }
        if (wall_seconds() - reported >= REPORT_SECONDS) {
            report(total);
            reported = wall_seconds();
        }
        if (enough(options, total, started_seed, started)) {
            break;
        }
        if (options->runs == 0 || next - started_seed < options->runs) {
            if (!start_job(options, job, next)) {
                return false;
            }
            next += CHUNK_SEEDS;
        }
    }
    for (uint32_t at = 0; at < count; at++) {
        if (jobs[at].pid != 0) {
            finish_job(&jobs[at]);
        }
    }
    // In the order of seeds: what was started last ends the list.
    for (uint32_t added = 0; added < count; added++) {
        job_t *first = NULL;
        for (uint32_t at = 0; at < count; at++) {
            if (jobs[at].done && (first == NULL || jobs[at].seed < first->seed)) {
                first = &jobs[at];
            }
        }
        if (first != NULL) {
            add_total(total, &first->total);
            *first = (job_t){ 0 };
        }
    }
    return write_state(options, total);
}

/** What a soak of that kind cannot help to meet, if its faults do what they should. */
static uint64_t expected_marks(const options_t *options)
{
    static const za_mark_t of_members[] = {
        ZA_MARK_SUSPECT,        ZA_MARK_REFUTE,
        ZA_MARK_INDIRECT_PROBE, ZA_MARK_REFUSED_EVIDENCE,
        ZA_MARK_DOWN,           ZA_MARK_REPLACED,
        ZA_MARK_REBIRTH,        ZA_MARK_RECONNECT_DOWNED,
        ZA_MARK_DOWNING_KEPT,   ZA_MARK_DOWNING_SELF,
        ZA_MARK_DOWNING_FENCED, ZA_MARK_DOWNING_ANEW,
        ZA_MARK_APART,
    };
    static const za_mark_t of_services[] = {
        ZA_MARK_SYSTEM_RESEND,     ZA_MARK_RESPAWN, ZA_MARK_NAME_CONFLICT,
        ZA_MARK_REGISTRY_SNAPSHOT, ZA_MARK_RELAY,
    };
    static const za_mark_t of_splits[] = { ZA_MARK_SUSPECT, ZA_MARK_DOWN, ZA_MARK_REBIRTH,
                                           ZA_MARK_DOWNING_KEPT, ZA_MARK_DOWNING_SELF };
    const za_mark_t *marks = options->splits ? of_splits : of_members;
    size_t count = options->splits ? sizeof of_splits / sizeof *of_splits
                                   : sizeof of_members / sizeof *of_members;
    uint64_t expected = 0;
    for (size_t i = 0; i < count; i++) {
        expected |= UINT64_C(1) << marks[i];
    }
    for (size_t i = 0; options->services && i < sizeof of_services / sizeof *of_services; i++) {
        expected |= UINT64_C(1) << of_services[i];
    }
    return expected;
}

/** How many marks and kinds of faults were never met in so many trials that they must have been. */
static uint32_t count_missed(const options_t *options, const total_t *total)
{
    uint32_t missed = 0;
    if (total->trials < TRIALS_OF_ALL) {
        return 0;
    }
    uint64_t expected = expected_marks(options);
    for (int i = 0; i < ZA_MARK_COUNT; i++) {
        if ((expected >> i & 1) != 0 && total->marks[i] == 0) {
            printf("FAILED coverage: %s was never met\n", za_sim_mark_name((uint32_t)i));
            missed++;
        }
    }
    for (int i = 0; i < ZA_FAULT_KINDS && !options->splits; i++) {
        if (total->faults[i] == 0) {
            printf("FAILED coverage: fault %s was never drawn\n",
                   za_fault_kind_name((za_fault_kind_t)i));
            missed++;
        }
    }
    return missed;
}

static status_t summarize(const options_t *options, const total_t *total)
{
    sheet_t *sheet = sheet_create(options->json);
    sheet_text(sheet, "seeds", "%" PRIu64 "-%" PRIu64, total->first_seed, total->next_seed - 1);
    sheet_number(sheet, "trials", (double)total->trials, 0);
    sheet_number(sheet, "node_hours", total->node_hours, 1);
    sheet_number(sheet, "cpu_s", total->cpu_s, 0);
    sheet_number(sheet, "node_hours_per_cpu_s", total->node_hours / (total->cpu_s + 1e-9), 1);
    sheet_number(sheet, "events", (double)total->events, 0);
    sheet_number(sheet, "violations", (double)total->violations, 0);
    sheet_end_row(sheet);
    sheet_print(sheet);
    sheet = sheet_create(options->json);
    for (int i = 0; i < ZA_MARK_COUNT; i++) {
        const char *name = za_sim_mark_name((uint32_t)i);
        sheet_text(sheet, "mark", "%s", name != NULL ? name : "?");
        sheet_number(sheet, "hits", (double)total->marks[i], 0);
        sheet_end_row(sheet);
    }
    for (int i = 0; i < ZA_FAULT_KINDS; i++) {
        sheet_text(sheet, "mark", "fault %s", za_fault_kind_name((za_fault_kind_t)i));
        sheet_number(sheet, "hits", (double)total->faults[i], 0);
        sheet_end_row(sheet);
    }
    sheet_print(sheet);
    for (uint32_t i = 0; i < total->failure_count; i++) {
        printf("FAILED seed %" PRIu64 ": %s: %s\n", total->failures[i].seed,
               total->failures[i].oracle, total->failures[i].text);
    }
    uint32_t missed = count_missed(options, total);
    return total->violations + missed == 0 ? STATUS_OK : STATUS_VIOLATION;
}

status_t verb_soak(const options_t *options)
{
    static total_t total;
    if (!read_state(options, &total)) {
        return STATUS_USAGE;
    }
    if (options->runs == 0 && options->minutes == 0) {
        say(STATUS_OK, "until it is interrupted");
    }
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (!run_jobs(options, &total)) {
        return STATUS_USAGE;
    }
    return summarize(options, &total);
}
