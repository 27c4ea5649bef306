/** Fibers, choices and schedules. */
#include "engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    STACK_BYTES = 256 * 1024,
    CHOICES_MAX = 16384,
    MESSAGE_BYTES = 512,
    SCHEDULE_BYTES = 4096,
    TRACE_MAX = 4096,
    TRACE_BYTES = 160,
    LOOKS_MAX = 4, // places that a spinning thread looks at in turn
};

typedef enum state {
    READY,
    AWAITS,  // until another thread writes
    BLOCKED, // until zc_unblock
    ENDED,
} state_t;

typedef struct fiber {
    jmp_buf jump;
    ucontext_t start;
    char *stack;
    bool started;
    state_t state;
    const void *reason;
    uint64_t writes;               // its own
    uint64_t seen;                 // writes of others, when it last began to look
    bool relaxed;                  // zc_relax, and only loads since
    const void *looked[LOOKS_MAX]; // where it loaded, with nobody else running since
    unsigned looks;
} fiber_t;

/** A place in a schedule where there was more than one way to go on. */
typedef struct choice {
    uint32_t op;
    uint8_t chosen;
    uint8_t count;
    bool stale; // else: who goes on
} choice_t;

typedef struct trace_line {
    const void *pc;
    char text[TRACE_BYTES];
} trace_line_t;

static struct {
    const zc_scenario_t *scenario;
    zc_bounds_t bounds;
    unsigned thread_count;
    fiber_t fibers[ZC_THREADS_MAX];
    jmp_buf main;
    bool running;
    unsigned current;
    uint64_t writes;
    uint32_t op;
    unsigned preemptions; // left in this schedule
    unsigned stale;
    choice_t path[CHOICES_MAX];
    unsigned depth;  // in this schedule
    unsigned length; // of the path
    bool learned;
    bool replaying;
    bool tracing;
    bool failed;
    char message[MESSAGE_BYTES];
    trace_line_t trace[TRACE_MAX];
    unsigned trace_count;
} engine;

/* ---- choices ------------------------------------------------------------------------------ */

static unsigned follow(bool stale, unsigned count)
{
    for (unsigned i = 0; i < engine.length; i++) {
        const choice_t *choice = &engine.path[i];
        if (choice->op == engine.op && choice->stale == stale) {
            if (choice->chosen >= count) {
                fprintf(stderr, "the schedule does not fit: operation %u has %u ways to go on\n",
                        choice->op, count);
                exit(2);
            }
            return choice->chosen;
        }
    }
    return 0;
}

static unsigned choose(bool stale, unsigned count)
{
    if (count <= 1) {
        return 0;
    }
    if (engine.replaying) {
        return follow(stale, count);
    }
    if (engine.depth < engine.length) {
        const choice_t *choice = &engine.path[engine.depth++];
        if (choice->count != count || choice->op != engine.op || choice->stale != stale) {
            fprintf(stderr, "%s: the same choices do not lead to the same place\n",
                    engine.scenario->name);
            exit(2);
        }
        return choice->chosen;
    }
    if (engine.length == CHOICES_MAX) {
        fprintf(stderr, "%s: more than %d choices in one schedule\n", engine.scenario->name,
                CHOICES_MAX);
        exit(2);
    }
    engine.path[engine.length++] =
        (choice_t){ .op = engine.op, .count = (uint8_t)count, .stale = stale };
    engine.depth++;
    return 0;
}

/** The next path in depth-first order. False: there is none. */
static bool next_path(void)
{
    while (engine.length > 0) {
        choice_t *last = &engine.path[engine.length - 1];
        if (last->chosen + 1u < last->count) {
            last->chosen++;
            return true;
        }
        engine.length--;
    }
    return false;
}

unsigned zc_choose_stale(unsigned count)
{
    if (!engine.replaying && engine.stale == 0) {
        return 0;
    }
    unsigned chosen = choose(true, count);
    if (chosen > 0) {
        engine.stale -= engine.replaying ? 0 : 1;
    }
    return chosen;
}

/* ---- fibers ------------------------------------------------------------------------------- */

bool zc_is_running(void)
{
    return engine.running;
}

unsigned zc_self(void)
{
    return engine.current;
}

static _Noreturn void resume(unsigned index)
{
    fiber_t *fiber = &engine.fibers[index];
    engine.current = index;
    if (!fiber->started) {
        fiber->started = true;
        setcontext(&fiber->start);
    }
    _longjmp(fiber->jump, 1);
}

/** Lets another thread run until somebody chooses this one again. */
static void switch_to(unsigned index)
{
    fiber_t *self = &engine.fibers[engine.current];
    if (index == engine.current) {
        return;
    }
    for (unsigned i = 0; i < engine.thread_count; i++) {
        engine.fibers[i].looks = 0;
    }
    if (_setjmp(self->jump) == 0) {
        resume(index);
    }
    engine.op++; // what we choose now is told from what others chose at theirs
}

static bool is_enabled(unsigned index)
{
    const fiber_t *fiber = &engine.fibers[index];
    return fiber->state == READY ||
           (fiber->state == AWAITS && engine.writes - fiber->writes != fiber->seen);
}

/** Those who can go on, the next in turn first, without the running thread; their number. */
static unsigned list_others(unsigned out[ZC_THREADS_MAX])
{
    unsigned count = 0;
    for (unsigned i = 1; i < engine.thread_count; i++) {
        unsigned index = (engine.current + i) % engine.thread_count;
        if (is_enabled(index)) {
            out[count++] = index;
        }
    }
    return count;
}

static void check_ops(void)
{
    if (++engine.op >= ZC_OPS_MAX) {
        zc_fail("no end after %d atomic operations: threads wait for each other by looking",
                ZC_OPS_MAX);
    }
}

/** True for a place that the spinning thread looked at, with nobody else running since. */
static bool looks_again(fiber_t *self, bool load, const void *address)
{
    if (!load) {
        self->relaxed = false;
        self->looks = 0;
        return false;
    }
    for (unsigned i = 0; i < self->looks; i++) {
        if (self->looked[i] == address) {
            return self->relaxed;
        }
    }
    if (self->looks < LOOKS_MAX) {
        self->looked[self->looks++] = address;
    }
    return false;
}

bool zc_point(bool shared, bool load, const void *address)
{
    check_ops();
    if (!shared) {
        return false;
    }
    if (looks_again(&engine.fibers[engine.current], load, address)) {
        return true;
    }
    if (engine.preemptions == 0 && !engine.replaying) {
        return false;
    }
    unsigned others[ZC_THREADS_MAX];
    unsigned count = list_others(others);
    unsigned chosen = choose(false, count + 1);
    if (chosen > 0) {
        engine.preemptions -= engine.replaying ? 0 : 1;
        switch_to(others[chosen - 1]);
    }
    return false;
}

static const char *describe(const fiber_t *fiber)
{
    return fiber->state == AWAITS ? "waits for a change" : "is parked";
}

static _Noreturn void fail_deadlock(void)
{
    char text[MESSAGE_BYTES / 2] = "";
    size_t used = 0;
    for (unsigned i = 0; i < engine.thread_count; i++) {
        if (engine.fibers[i].state != ENDED) {
            int n = snprintf(text + used, sizeof text - used, "; %s %s",
                             engine.scenario->threads[i].name, describe(&engine.fibers[i]));
            used += n > 0 && (size_t)n < sizeof text - used ? (size_t)n : 0;
        }
    }
    zc_fail("nobody can go on%s", text);
}

/** The running thread cannot go on: somebody else does. `free_choice`: whoever it is. */
static void leave(bool free_choice)
{
    unsigned others[ZC_THREADS_MAX];
    unsigned count = list_others(others);
    check_ops();
    if (count == 0 && is_enabled(engine.current)) {
        return;
    }
    if (count == 0) {
        for (unsigned i = 0; i < engine.thread_count; i++) {
            if (engine.fibers[i].state != ENDED) {
                fail_deadlock();
            }
        }
        _longjmp(engine.main, 1);
    }
    // A thread that waits by looking goes to the back of the line; another order costs a
    // preemption (Emmi, Qadeer and Rakamaric, "Delay-bounded scheduling", POPL 2011), because two
    // threads that look and write in turn could otherwise go on forever.
    if (!free_choice && engine.preemptions == 0 && !engine.replaying) {
        count = 1;
    }
    unsigned chosen = choose(false, count);
    engine.preemptions -= chosen > 0 && !free_choice && !engine.replaying ? 1 : 0;
    switch_to(others[chosen]);
}

void zc_wrote(void)
{
    engine.writes++;
    engine.fibers[engine.current].writes++;
}

void zc_await(void)
{
    fiber_t *self = &engine.fibers[engine.current];
    if (engine.writes - self->writes == self->seen) {
        self->state = AWAITS;
        leave(false);
        self->state = READY;
    }
    self->seen = engine.writes - self->writes;
    zc_memory_catch_up(engine.current);
}

void zc_block(const void *reason)
{
    fiber_t *self = &engine.fibers[engine.current];
    self->state = BLOCKED;
    self->reason = reason;
    leave(true);
}

unsigned zc_unblock(const void *reason, unsigned max)
{
    unsigned count = 0;
    for (unsigned i = 0; i < engine.thread_count && count < max; i++) {
        fiber_t *fiber = &engine.fibers[i];
        if (fiber->state == BLOCKED && fiber->reason == reason) {
            fiber->state = READY;
            count++;
        }
    }
    return count;
}

void zc_join(unsigned thread)
{
    while (engine.fibers[thread].state != ENDED) {
        zc_block(&engine.fibers[thread]);
    }
    zc_memory_join(thread);
}

void zc_relax(void)
{
    engine.fibers[engine.current].relaxed = true;
}

static void run_fiber(void)
{
    engine.scenario->threads[engine.current].run();
    engine.fibers[engine.current].state = ENDED;
    zc_unblock(&engine.fibers[engine.current], ZC_THREADS_MAX);
    leave(true);
    abort(); // nobody resumes what has ended
}

static void start_fiber(fiber_t *fiber)
{
    char *stack = fiber->stack;
    ucontext_t start = fiber->start;
    *fiber = (fiber_t){ .stack = stack, .start = start };
    if (stack == NULL) {
        fiber->stack = malloc(STACK_BYTES);
        if (fiber->stack == NULL || getcontext(&fiber->start) != 0) {
            perror("fiber");
            exit(2);
        }
    }
    fiber->start.uc_stack.ss_sp = fiber->stack;
    fiber->start.uc_stack.ss_size = STACK_BYTES;
    fiber->start.uc_link = NULL;
    makecontext(&fiber->start, run_fiber, 0);
}

/* ---- one schedule ------------------------------------------------------------------------- */

void zc_learned(void)
{
    engine.learned = true;
}

bool zc_is_learning(void)
{
    return engine.learned;
}

_Noreturn void zc_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(engine.message, sizeof engine.message, format, args);
    va_end(args);
    engine.failed = true;
    _longjmp(engine.main, 1);
}

static void begin_schedule(void)
{
    zc_arena_restore();
    zc_plain_reset();
    zc_memory_reset(engine.thread_count);
    engine.writes = 0;
    engine.op = 0;
    engine.depth = 0;
    engine.preemptions = engine.bounds.preemptions;
    engine.stale = engine.bounds.stale;
    engine.learned = false;
    engine.failed = false;
    engine.trace_count = 0;
    for (unsigned i = 0; i < engine.thread_count; i++) {
        start_fiber(&engine.fibers[i]);
    }
}

/** Runs one schedule from its beginning. */
static void run_schedule(void)
{
    begin_schedule();
    if (_setjmp(engine.main) == 0) {
        engine.running = true;
        resume(choose(false, engine.thread_count));
    }
    engine.running = false;
    if (!engine.failed && !engine.learned && _setjmp(engine.main) == 0) {
        engine.scenario->finish();
    }
}

/* ---- failures ----------------------------------------------------------------------------- */

bool zc_is_tracing(void)
{
    return engine.tracing;
}

void zc_trace(const void *pc, const char *format, ...)
{
    if (!engine.tracing || engine.trace_count == TRACE_MAX) {
        return;
    }
    trace_line_t *line = &engine.trace[engine.trace_count++];
    line->pc = pc;
    int used = snprintf(line->text, sizeof line->text, "%4u %-9s ", engine.op,
                        engine.scenario->threads[engine.current].name);
    va_list args;
    va_start(args, format);
    vsnprintf(line->text + used, sizeof line->text - (size_t)used, format, args);
    va_end(args);
}

/** Where `pc` is in the sources, as far as the machine has addr2line. */
static void print_places(void)
{
    char program[512];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    for (unsigned i = 0; i < engine.trace_count; i++) {
        char command[768];
        char where[256] = "";
        snprintf(command, sizeof command, "addr2line -s -e '%s' %p 2>/dev/null", program,
                 (const void *)((const char *)engine.trace[i].pc - 1));
        FILE *pipe = popen(command, "r");
        if (pipe != NULL) {
            if (fgets(where, sizeof where, pipe) != NULL) {
                where[strcspn(where, " \n")] = '\0';
            }
            pclose(pipe);
        }
        printf("  %-84s %s\n", engine.trace[i].text, where);
    }
}

static void print_schedule(void)
{
    const char *between = "";
    printf("  replay: --replay '%s:", engine.scenario->name);
    for (unsigned i = 0; i < engine.length; i++) {
        const choice_t *choice = &engine.path[i];
        if (choice->chosen > 0) {
            printf("%s%u%c%u", between, choice->op, choice->stale ? '~' : '>', choice->chosen);
            between = ",";
        }
    }
    printf("'\n");
}

/** Runs the failed schedule once more to say what happened in it. */
static _Noreturn void report(void)
{
    char message[MESSAGE_BYTES];
    memcpy(message, engine.message, sizeof message);
    printf("FAILED %s: %s\n  promise: %s\n  bounds: %u preemptions, %u stale reads\n",
           engine.scenario->name, message, engine.scenario->promise, engine.bounds.preemptions,
           engine.bounds.stale);
    print_schedule();
    engine.tracing = true;
    run_schedule();
    print_places();
    printf("  %s\n", engine.failed ? engine.message : "did not fail again: not deterministic");
    exit(1);
}

/* ---- all schedules ------------------------------------------------------------------------ */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void zc_prepare(const zc_scenario_t *scenario)
{
    engine.scenario = scenario;
    engine.thread_count = 0;
    while (engine.thread_count < ZC_THREADS_MAX &&
           scenario->threads[engine.thread_count].run != NULL) {
        engine.thread_count++;
    }
    zc_memory_forget();
    zc_arena_clear();
    if (_setjmp(engine.main) != 0) {
        printf("FAILED %s: %s, in its setup\n", scenario->name, engine.message);
        exit(1);
    }
    scenario->setup();
    zc_arena_save();
}

zc_result_t zc_explore(const zc_bounds_t *bounds, double seconds_max)
{
    engine.bounds = *bounds;
    engine.length = 0;
    zc_result_t result = { 0 };
    double begin = seconds();
    do {
        run_schedule();
        result.schedules++;
        if (engine.learned) {
            engine.length = 0; // what was seen so far had fewer choices than there are
            result.ops_max = 0;
            continue;
        }
        if (engine.failed) {
            report();
        }
        result.ops_max = engine.op > result.ops_max ? engine.op : result.ops_max;
        if (result.schedules % 1024 == 0 && seconds() - begin > seconds_max) {
            result.out_of_time = true;
            break;
        }
    } while (engine.learned || next_path());
    result.places = zc_memory_places();
    return result;
}

static bool parse_schedule(const char *text)
{
    engine.length = 0;
    while (*text != '\0') {
        char *end;
        choice_t choice = { .op = (uint32_t)strtoul(text, &end, 10) };
        if (end == text || (*end != '~' && *end != '>') || engine.length == CHOICES_MAX) {
            return false;
        }
        choice.stale = *end == '~';
        text = end + 1;
        choice.chosen = (uint8_t)strtoul(text, &end, 10);
        if (end == text || (*end != ',' && *end != '\0')) {
            return false;
        }
        engine.path[engine.length++] = choice;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

void zc_replay(const char *schedule)
{
    if (!parse_schedule(schedule)) {
        fprintf(stderr, "not a schedule: %s\n", schedule);
        exit(2);
    }
    engine.replaying = true;
    engine.tracing = true;
    do {
        run_schedule();
    } while (engine.learned);
    print_places();
    printf("%s %s: %s\n", engine.failed ? "FAILED" : "passed", engine.scenario->name,
           engine.failed ? engine.message : engine.scenario->promise);
    exit(engine.failed ? 1 : 0);
}
