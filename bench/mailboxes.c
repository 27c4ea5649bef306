/**
 * Mailboxes: the one of core/mailbox.h and those it was chosen over (bench/mailboxes), by
 * themselves: no scheduler, no pool, no handler.
 *
 *     bench_mailboxes [--quick] [--workers 1|2] [--runs N] [ID ...]
 *
 *     mailbox-pingpong     one thread, two boxes, one message that goes from one to the other
 *     mailbox-fanin-P      P producers push into one box, each a burst in its turn. `workers`
 *                          threads have a share of the producers each; the one that wakes the box
 *                          runs it, a hundred messages at a time, as a worker runs an actor
 *     mailbox-bytes        memory of an idle box
 *
 * The case says how many messages go in at once.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "mailboxes/kinds.h"
#include "report.h"

enum {
    BOUND = 1024,
    BURST = 64,   // messages of a producer's turn
    RUN = 100,    // messages of a run of the box, as of an actor
    ROOM = 16,    // handled messages that make room together
    LINES = 2048, // messages of a producer: more than can wait, so the one to be pushed is free
    PRODUCERS_MAX = 32,
    THREADS_MAX = 2,
    PINGPONG_MESSAGES = 20000000,
    FANIN_MESSAGES = 8000000,
    SLICES = 200,   // of a run of fan-in: shorter than a turn of the system's scheduler
    PAUSES = 20000, // of a thread that waits for the other, before it gives its core away
};

typedef struct producer {
    za_message_t *messages; // round and round
    uint64_t made;
} producer_t;

/** What a thread has of a run. */
typedef struct share {
    producer_t *producers;
    uint32_t count;
    uint32_t chain; // messages that go in at once
    uint64_t each;  // messages of a producer
    bool owns;      // the box
    uint64_t handled;
    uint32_t pauses;
    double start_ns, end_ns, cpu_ns; // of its work
    box_thread_t thread;
    pthread_t id;
} share_t;

/** How long something took. */
typedef struct took {
    double wall_ns;
    double cpu_ns; // of all threads
    uint64_t messages;
} took_t;

static box_t boxes[2];
static uint32_t room; // of the owner of boxes[0]: handled messages that made no room yet
static box_depot_t depot;
static producer_t producers[PRODUCERS_MAX];
static _Atomic uint32_t ready; // threads that wait for the others

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_mailboxes: %s\n", what);
    exit(1);
}

static double cpu_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* ---- fan-in ------------------------------------------------------------------------------- */

/** Waits a moment for the other thread: keeps the core, so that both have one, but not for ever. */
static inline void rest(share_t *share)
{
    box_pause();
    if (++share->pauses % PAUSES == 0) {
        sched_yield();
    }
}

/** Runs the box for a while; it may be idle then. */
static inline __attribute__((always_inline)) void run_box(share_t *share, const box_kind_t *kind)
{
    for (uint32_t i = 0; i < RUN && share->owns; i++) {
        za_message_t *head = kind->head(&boxes[0], &share->thread);
        if (head == NULL) {
            rest(share); // somebody is in the middle of a push
            return;
        }
        if (++room == ROOM) {
            box_make_room(kind, &boxes[0], room);
            room = 0;
        }
        share->handled += head->ask; // each is one
        box_next_t next;
        while ((next = kind->next(&boxes[0], &share->thread, head)) == BOX_LATER) {
            rest(share);
        }
        share->owns = next == BOX_MORE;
    }
}

static inline box_chain_t make_chain(producer_t *producer, uint32_t count)
{
    za_message_t *first = &producer->messages[producer->made % LINES];
    box_chain_t chain = { first, first, count };
    for (uint32_t i = 1; i < count; i++) {
        za_message_t *next = &producer->messages[(producer->made + i) % LINES];
        // relaxed, both: published by the push
        atomic_store_explicit(&chain.last->block.next, &next->block, memory_order_relaxed);
        chain.last = next;
    }
    atomic_store_explicit(&chain.last->block.next, NULL, memory_order_relaxed);
    return chain;
}

/** Pushes up to a burst. False: the box is full. */
static inline __attribute__((always_inline)) bool push_burst(share_t *share, producer_t *producer,
                                                             const box_kind_t *kind)
{
    uint64_t all = share->each - producer->made;
    uint32_t left = all < BURST ? (uint32_t)all : BURST;
    while (left > 0) {
        uint32_t want = share->chain < left ? share->chain : left;
        box_push_t push;
        if (share->chain == 1) {
            za_message_t *message = &producer->messages[producer->made % LINES];
            push = kind->push(&boxes[0], &share->thread, message);
            producer->made += push != BOX_FULL;
        } else {
            box_chain_t chain = make_chain(producer, want);
            push = kind->push_chain(&boxes[0], &share->thread, &chain);
            producer->made += want - chain.count;
        }
        if (push == BOX_FULL) {
            return false;
        }
        share->owns |= push == BOX_WOKE;
        left -= want;
    }
    return true;
}

static inline __attribute__((always_inline)) void *work(void *argument, const box_kind_t *kind)
{
    share_t *share = argument;
    // relaxed: they begin at about the same time, and that is all
    atomic_fetch_sub_explicit(&ready, 1, memory_order_relaxed);
    while (atomic_load_explicit(&ready, memory_order_relaxed) > 0) {
        rest(share);
    }
    share->start_ns = (double)za_clock_ns();
    share->cpu_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    bool left = true;
    while (left || share->owns) {
        left = false;
        for (uint32_t i = 0; i < share->count; i++) {
            producer_t *producer = &share->producers[i];
            if (producer->made < share->each && !push_burst(share, producer, kind) &&
                !share->owns) {
                rest(share); // full, and another runs it
            }
            left |= producer->made < share->each;
            run_box(share, kind);
        }
        run_box(share, kind);
    }
    share->cpu_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - share->cpu_ns;
    share->end_ns = (double)za_clock_ns();
    return NULL;
}

/* ---- ping-pong ---------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void bounce(share_t *share, uint64_t messages,
                                                         const box_kind_t *kind)
{
    za_message_t *ball = &producers[0].messages[0];
    for (uint64_t i = 0; i < messages; i++) {
        box_t *to = &boxes[i % 2];
        if (kind->push(to, &share->thread, ball) != BOX_WOKE ||
            kind->head(to, &share->thread) != ball) {
            fail("an idle box does not wake");
        }
        box_make_room(kind, to, 1);
        if (kind->next(to, &share->thread, ball) != BOX_IDLE) {
            fail("an empty box is not idle");
        }
        share->handled++;
    }
}

/* ---- each kind compiled by itself --------------------------------------------------------- */

typedef struct contender {
    const box_kind_t *kind;
    void *(*work)(void *share);
    void (*bounce)(share_t *share, uint64_t messages);
} contender_t;

#define CONTENDER(box)                                                                             \
    static void *box##_work(void *share)                                                           \
    {                                                                                              \
        return work(share, &box);                                                                  \
    }                                                                                              \
    static void box##_bounce(share_t *share, uint64_t messages)                                    \
    {                                                                                              \
        bounce(share, messages, &box);                                                             \
    }
CONTENDER(box_exchange)
CONTENDER(box_exchange_backoff)
CONTENDER(box_stack)
CONTENDER(box_stack_backoff)
CONTENDER(box_add)
CONTENDER(box_swap)
CONTENDER(box_backoff)

static const contender_t contenders[BOX_KINDS] = {
    { &box_exchange, box_exchange_work, box_exchange_bounce },
    { &box_exchange_backoff, box_exchange_backoff_work, box_exchange_backoff_bounce },
    { &box_stack, box_stack_work, box_stack_bounce },
    { &box_stack_backoff, box_stack_backoff_work, box_stack_backoff_bounce },
    { &box_add, box_add_work, box_add_bounce },
    { &box_swap, box_swap_work, box_swap_bounce },
    { &box_backoff, box_backoff_work, box_backoff_bounce },
};

/* ---- runs --------------------------------------------------------------------------------- */

static void begin(const box_kind_t *kind)
{
    memset(boxes, 0, sizeof boxes);
    room = 0;
    for (int i = 0; i < 2; i++) {
        box_make_room(kind, &boxes[i], BOUND);
    }
    for (int i = 0; i < PRODUCERS_MAX; i++) {
        producers[i].made = 0;
    }
}

static void report_run(bench_report_t *report, took_t took)
{
    bench_report_run(report, took.wall_ns / (double)took.messages);
    bench_report_param(report, "cpu_ns_per_msg", took.cpu_ns / (double)took.messages);
}

static void expect_segments(uint64_t made)
{
    if (box_depot_clear(&depot) != made) {
        fail("a segment was lost");
    }
}

static void measure_pingpong(bench_report_t *report, const contender_t *contender,
                             uint64_t messages)
{
    share_t share = { .thread = { .depot = &depot } };
    begin(contender->kind);
    took_t took = { .messages = messages };
    uint64_t start_ns = za_clock_ns();
    took.cpu_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    contender->bounce(&share, messages);
    took.cpu_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - took.cpu_ns;
    took.wall_ns = (double)(za_clock_ns() - start_ns);
    box_thread_flush(&share.thread);
    expect_segments(share.thread.segments_made);
    report_run(report, took);
}

static took_t time_shares(share_t *shares, uint32_t threads)
{
    double start_ns = shares[0].start_ns;
    double end_ns = shares[0].end_ns;
    took_t took = { 0 };
    for (uint32_t i = 0; i < threads; i++) {
        start_ns = shares[i].start_ns < start_ns ? shares[i].start_ns : start_ns;
        end_ns = shares[i].end_ns > end_ns ? shares[i].end_ns : end_ns;
        took.cpu_ns += shares[i].cpu_ns;
        took.messages += shares[i].handled;
    }
    took.wall_ns = end_ns - start_ns;
    return took;
}

static took_t measure_slice(const contender_t *contender, uint32_t threads, uint32_t count,
                            uint32_t chain, uint64_t messages)
{
    static share_t shares[THREADS_MAX];
    begin(contender->kind);
    atomic_store_explicit(&ready, threads, memory_order_relaxed); // relaxed: no thread yet
    for (uint32_t i = 0; i < threads; i++) {
        shares[i] = (share_t){ .producers = &producers[i * count / threads],
                               .count = (i + 1) * count / threads - i * count / threads,
                               .chain = chain,
                               .each = messages / count,
                               .thread = { .depot = &depot } };
        if (pthread_create(&shares[i].id, NULL, contender->work, &shares[i]) != 0) {
            fail("no thread");
        }
    }
    uint64_t made = 0;
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(shares[i].id, NULL);
        box_thread_flush(&shares[i].thread);
        made += shares[i].thread.segments_made;
    }
    expect_segments(made);
    took_t took = time_shares(shares, threads);
    if (took.messages != messages / count * count) {
        fail("a message was lost");
    }
    return took;
}

/**
 * A run is many slices. Of those with two threads only the ones count in which both had a core:
 * otherwise there is no contention, and the figure would be better the busier the machine is.
 */
static void measure_fanin(bench_report_t *report, const contender_t *contender, uint32_t count,
                          uint32_t chain, uint64_t messages)
{
    took_t sum = { 0 };
    took_t all = { 0 };
    uint32_t counted = 0;
    for (uint32_t i = 0; i < SLICES; i++) {
        took_t took = measure_slice(contender, report->workers, count, chain, messages / SLICES);
        bool had_cores = took.cpu_ns > 0.85 * took.wall_ns * report->workers;
        all = (took_t){ all.wall_ns + took.wall_ns, all.cpu_ns + took.cpu_ns,
                        all.messages + took.messages };
        if (had_cores) {
            sum = (took_t){ sum.wall_ns + took.wall_ns, sum.cpu_ns + took.cpu_ns,
                            sum.messages + took.messages };
            counted++;
        }
    }
    report_run(report, counted > 0 ? sum : all);
    bench_report_param(report, "slices", counted);
}

/* ---- the program -------------------------------------------------------------------------- */

typedef struct options {
    bool quick;
    uint32_t runs;
    uint32_t workers; // 0: one, and two
    char **ids;
    int id_count;
} options_t;

static bool is_wanted(const options_t *options, const char *id, uint32_t threads)
{
    if (options->workers != 0 && options->workers != threads) {
        return false;
    }
    for (int i = 0; i < options->id_count; i++) {
        if (strcmp(options->ids[i], id) == 0) {
            return true;
        }
    }
    return options->id_count == 0;
}

static bench_report_t report_of(const contender_t *contender, const char *id, uint32_t threads,
                                const char *unit)
{
    bool ours = contender->kind == &box_exchange;
    return (bench_report_t){
        .id = id, .impl = ours ? "zactor" : contender->kind->name, .workers = threads, .unit = unit
    };
}

static void report_pingpong(const options_t *options)
{
    if (!is_wanted(options, "mailbox-pingpong", 1)) {
        return;
    }
    for (int c = 0; c < BOX_KINDS; c++) {
        bench_report_t report = report_of(&contenders[c], "mailbox-pingpong", 1, "ns/msg");
        for (uint32_t run = 0; run < options->runs; run++) {
            measure_pingpong(&report, &contenders[c],
                             options->quick ? PINGPONG_MESSAGES / 10 : PINGPONG_MESSAGES);
        }
        bench_report_print(&report);
    }
}

/** The runs of the contenders take turns: what disturbs the machine disturbs all of them. */
static void report_fanin(const options_t *options, uint32_t threads, uint32_t count, uint32_t chain)
{
    char id[32];
    char variant[16];
    snprintf(id, sizeof id, "mailbox-fanin-%u", count);
    snprintf(variant, sizeof variant, "x%u", chain);
    if (!is_wanted(options, id, threads)) {
        return;
    }
    bench_report_t reports[BOX_KINDS];
    for (int c = 0; c < BOX_KINDS; c++) {
        reports[c] = report_of(&contenders[c], id, threads, "ns/msg");
        reports[c].variant = variant;
    }
    for (uint32_t run = 0; run < options->runs; run++) {
        for (int c = 0; c < BOX_KINDS; c++) {
            measure_fanin(&reports[c], &contenders[c], count, chain,
                          options->quick ? FANIN_MESSAGES / 10 : FANIN_MESSAGES);
        }
    }
    for (int c = 0; c < BOX_KINDS; c++) {
        bench_report_print(&reports[c]);
    }
}

static void report_fanins(const options_t *options, uint32_t threads)
{
    static const uint32_t counts[] = { 1, 2, 8, 32 };
    static const uint32_t chains[] = { 1, 16, 64 };
    for (int p = 0; p < 4; p++) {
        for (int c = 0; c < 3 && counts[p] >= threads; c++) {
            report_fanin(options, threads, counts[p], chains[c]);
        }
    }
}

static void report_bytes(const options_t *options)
{
    if (!is_wanted(options, "mailbox-bytes", 1)) {
        return;
    }
    for (int c = 0; c < BOX_KINDS; c++) {
        const box_kind_t *kind = contenders[c].kind;
        bench_report_t report = report_of(&contenders[c], "mailbox-bytes", 1, "B");
        bench_report_run(&report, (double)kind->idle_bytes);
        bench_report_param(&report, "busy_bytes", (double)(kind->idle_bytes + kind->segment_bytes));
        bench_report_param(&report, "bytes_per_waiting",
                           (double)kind->segment_bytes / BOX_SEGMENT_SLOTS);
        bench_report_print(&report);
    }
}

static options_t read_options(int argc, char **argv)
{
    options_t options = { .runs = 5 };
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            options.quick = true;
        } else if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) {
            options.runs = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--workers") == 0 && i + 1 < argc) {
            options.workers = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else {
            fail("usage: bench_mailboxes [--quick] [--workers N] [--runs N] [ID ...]");
        }
    }
    if (options.runs < 1 || options.runs > BENCH_RUNS_MAX || options.workers > THREADS_MAX) {
        fail("--runs is 1 to 15, --workers 1 or 2");
    }
    options.ids = argv + i;
    options.id_count = argc - i;
    return options;
}

int main(int argc, char **argv)
{
    options_t options = read_options(argc, argv);
    for (int i = 0; i < PRODUCERS_MAX; i++) {
        producers[i].messages = aligned_alloc(64, LINES * sizeof(za_message_t));
        if (producers[i].messages == NULL) {
            fail("out of memory");
        }
        memset(producers[i].messages, 0, LINES * sizeof(za_message_t));
        for (int k = 0; k < LINES; k++) {
            producers[i].messages[k].ask = 1;
        }
    }
    report_bytes(&options);
    report_pingpong(&options);
    for (uint32_t threads = 1; threads <= THREADS_MAX; threads++) {
        report_fanins(&options, threads);
    }
    for (int i = 0; i < PRODUCERS_MAX; i++) {
        free(producers[i].messages);
    }
    return 0;
}
