// Threads that are no workers ask actors of a running node, and wait.
#include "support/za_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <zactor/sim.h>
#include <zactor/zactor.h>

#include "base/limits.h"

enum { THREADS = 8, ASKS = 200, LONG_MS = 60000, SHORT_MS = 40 };

typedef struct t_Ask {
    uint64_t n;
    za_node_t *node;
    za_ref_t ref;
} t_Ask;

typedef struct t_Answer {
    uint64_t n;
} t_Answer;

typedef struct t_Text {
    uint64_t n;
    za_bytes_t text;
} t_Text;

static uint32_t text_extent(const void *message)
{
    const t_Text *text = message;
    return text->text.size == 0
               ? (uint32_t)sizeof *text
               : (uint32_t)offsetof(t_Text, text) + text->text.offset + text->text.size;
}

static const za_type_t t_Ask_type = { .name = "t.Ask", .id = 301, .size = sizeof(t_Ask) };
static const za_type_t t_Answer_type = { .name = "t.Answer", .id = 302, .size = sizeof(t_Answer) };
static const za_type_t t_Text_type = {
    .name = "t.Text", .id = 303, .size = sizeof(t_Text), .extent = text_extent
};

/* ---- the actor asked ---------------------------------------------------------------------- */

enum { ADD, SILENT, FAIL, STOP, KEEP, LET_GO, OTHER_TYPE, TEXT, BLOCK, FROM_HANDLER, STRAY, COUNT };

typedef struct oracle {
    za_message_t *kept;
    uint64_t count;
} oracle_t;

static _Atomic bool is_blocked;
static _Atomic bool may_go_on;
static _Atomic int handler_answer;

static void block(void)
{
    atomic_store(&is_blocked, true);
    while (!atomic_load(&may_go_on)) {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
}

static void ask_from_handler(const t_Ask *m)
{
    t_Answer answer;
    atomic_store(&handler_answer, za_ask_sync(m->node, m->ref, ZA_MSG(t_Ask, .n = ADD),
                                              ZA_REPLY(t_Answer, &answer), .timeout_ms = LONG_MS));
}

static void reply_text(za_ctx_t *ctx)
{
    void *text = za_new(ctx, &t_Text_type, 16);
    cr_assert(za_bytes_put(text, &((t_Text *)text)->text, "long enough", 11) == ZA_OK);
    za_reply_send(ctx, &text);
}

static za_verdict_t on_ask(za_ctx_t *ctx, oracle_t *self, const t_Ask *m)
{
    self->count++;
    switch (m->n) {
    case SILENT:
        break;
    case FAIL:
        return ZA_FAIL;
    case STOP:
        return ZA_STOP;
    case KEEP:
        self->kept = za_keep(ctx);
        break;
    case LET_GO:
        za_reply_kept(ctx, &self->kept, ZA_MSG(t_Answer, .n = 77));
        za_reply(ctx, ZA_MSG(t_Answer, .n = 1));
        break;
    case OTHER_TYPE:
        za_reply(ctx, ZA_MSG(t_Text, .n = 1));
        break;
    case TEXT:
        reply_text(ctx);
        break;
    case BLOCK:
        block();
        break;
    case FROM_HANDLER:
        ask_from_handler(m);
        break;
    case STRAY:
        cr_assert(za_tell(ctx, za_sender(ctx), ZA_MSG(t_Answer, .n = 13)) == ZA_OK);
        za_reply(ctx, ZA_MSG(t_Answer, .n = 14));
        break;
    case COUNT:
        za_reply(ctx, ZA_MSG(t_Answer, .n = self->count));
        break;
    default:
        za_reply(ctx, ZA_MSG(t_Answer, .n = m->n + 1));
        break;
    }
    return ZA_DONE;
}

ZA_ACTOR(oracle, oracle_t, (t_Ask, on_ask));

/* ---- nodes -------------------------------------------------------------------------------- */

static za_node_t *node;
static za_ref_t asked;
static t_Answer answer;
static za_Reason reason;

static void set(za_config_t *config, const char *key, const char *value)
{
    char problem[256] = "";
    za_err_t err = za_config_set(config, key, value, "test", problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
}

static void start(const char *workers)
{
    za_config_t *config = NULL;
    cr_assert(za_config_create(&config) == ZA_OK);
    set(config, "node.name", "alpha");
    set(config, "node.listen", "127.0.0.1:0");
    set(config, "node.workers", workers);
    set(config, "tls.insecure", "true");
    set(config, "limits.pool_mb", "64");
    set(config, "log.level", "error");
    cr_assert(za_node_create(config, NULL, &node) == ZA_OK);
    za_config_destroy(config);
    cr_assert(za_node_start(node) == ZA_OK);
    cr_assert(za_node_spawn(node, oracle, &asked, .group = "oracles") == ZA_OK);
    answer.n = 0;
    reason = za_Reason_REASON_NONE;
}

static za_err_t ask(uint64_t n, uint32_t timeout_ms)
{
    return za_ask_sync(node, asked, ZA_MSG(t_Ask, .n = n, .node = node, .ref = asked),
                       ZA_REPLY(t_Answer, &answer), .timeout_ms = timeout_ms, .reason = &reason);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

Test(callers, get_the_answer, .timeout = 60)
{
    start("2");
    cr_assert(ask(1000, LONG_MS) == ZA_OK && answer.n == 1001);
    cr_assert(ask(2000, LONG_MS) == ZA_OK && answer.n == 2001, "and again");
    za_node_destroy(node);
}

// A message of the right type that answers nothing is no answer.
Test(callers, take_nothing_else_for_the_answer, .timeout = 60)
{
    start("2");
    cr_assert(ask(STRAY, LONG_MS) == ZA_OK && answer.n == 14, "%u", (unsigned)answer.n);
    za_node_destroy(node);
}

Test(callers, hear_at_once_that_nobody_will_answer, .timeout = 60)
{
    start("2");
    cr_expect(ask(SILENT, LONG_MS) == ZA_ENOANSWER && reason == za_Reason_REASON_NO_ANSWER);
    cr_expect(za_ask_sync(node, asked, ZA_MSG(t_Text, .n = 1), ZA_REPLY(t_Answer, &answer),
                          .timeout_ms = LONG_MS) == ZA_ETYPE,
              "it does not know the message");
    cr_expect(ask(OTHER_TYPE, LONG_MS) == ZA_ETYPE && reason == za_Reason_REASON_BAD_MESSAGE,
              "nor we its answer");
    cr_expect(ask(FAIL, LONG_MS) == ZA_ENOANSWER && reason == za_Reason_REASON_FAILED);
    cr_expect(ask(1, LONG_MS) == ZA_EGONE, "it ended");
    cr_expect(answer.n == 0, "no answer was written");
    za_node_destroy(node);
}

// A late answer is dropped: by then the thread's memory may be anything.
Test(callers, return_when_their_time_is_up, .timeout = 60)
{
    start("2");
    uint64_t before = now_ms();
    cr_assert(ask(KEEP, SHORT_MS) == ZA_ETIMEOUT);
    cr_expect(now_ms() - before >= SHORT_MS, "not before");
    cr_assert(ask(LET_GO, LONG_MS) == ZA_OK && answer.n == 1, "%u", (unsigned)answer.n);
    cr_assert(ask(1000, LONG_MS) == ZA_OK && answer.n == 1001, "the old answer is none of this");
    za_node_destroy(node);
}

// Even if no worker moves: the thread has a clock of its own.
Test(callers, return_in_time_while_all_workers_stand_still, .timeout = 60)
{
    start("1");
    atomic_store(&is_blocked, false);
    atomic_store(&may_go_on, false);
    cr_assert(za_node_tell(node, asked, ZA_MSG(t_Ask, .n = BLOCK)) == ZA_OK);
    while (!atomic_load(&is_blocked)) {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    for (int i = 0; i < 3; i++) { // each with a caller of its own, that has not begun
        cr_assert(ask(COUNT, SHORT_MS) == ZA_ETIMEOUT);
    }
    atomic_store(&may_go_on, true);
    cr_assert(ask(COUNT, LONG_MS) == ZA_OK);
    cr_expect(answer.n == 2, "what nobody waits for any more was not sent: %u", (unsigned)answer.n);
    za_node_destroy(node);
}

Test(callers, need_room_for_the_answer, .timeout = 60)
{
    _Alignas(8) char room[64] = { 0 };
    start("2");
    const za_ask_sync_opts_t small = { .size = sizeof small,
                                       .timeout_ms = LONG_MS,
                                       .reply_type = &t_Text_type,
                                       .reply = room,
                                       .reply_bytes = sizeof(t_Text) };
    za_ask_sync_opts_t large = small;
    large.reply_bytes = sizeof room;
    cr_expect(za_ask_sync_with(node, asked, ZA_MSG(t_Ask, .n = TEXT), &small) == ZA_ETOOBIG);
    cr_expect(room[0] == 0 && room[sizeof(t_Text)] == 0, "untouched");
    cr_assert(za_ask_sync_with(node, asked, ZA_MSG(t_Ask, .n = TEXT), &large) == ZA_OK);
    const t_Text *text = (const t_Text *)(const void *)room;
    cr_expect(text->text.size == 11);
    cr_expect(memcmp(za_bytes_data(&text->text), "long enough", 11) == 0);
    za_node_destroy(node);
}

Test(callers, are_no_handlers, .timeout = 60)
{
    start("2");
    atomic_store(&handler_answer, ZA_OK);
    cr_assert(ask(FROM_HANDLER, LONG_MS) == ZA_ENOANSWER);
    cr_expect(atomic_load(&handler_answer) == ZA_EDENIED, "%s",
              za_err_name((za_err_t)atomic_load(&handler_answer)));
    za_node_destroy(node);
}

Test(callers, are_refused_without_what_they_need, .timeout = 60)
{
    start("2");
    const t_Ask message = { .n = ADD };
    const za_ask_sync_opts_t good = { .size = sizeof good,
                                      .timeout_ms = LONG_MS,
                                      .reply_type = &t_Answer_type,
                                      .reply = &answer,
                                      .reply_bytes = sizeof answer };
    za_ask_sync_opts_t bad[4] = { good, good, good, good };
    bad[0].size = 4;
    bad[1].timeout_ms = 0;
    bad[2].reply_type = NULL;
    bad[3].reply = NULL;
    for (int i = 0; i < 4; i++) {
        cr_expect(za_ask_sync_with(node, asked, &t_Ask_type, &message, &bad[i]) == ZA_EINVAL, "%d",
                  i);
    }
    cr_expect(za_ask_sync_with(NULL, asked, &t_Ask_type, &message, &good) == ZA_EINVAL);
    cr_expect(za_ask_sync_with(node, ZA_REF_NONE, &t_Ask_type, &message, &good) == ZA_EINVAL);
    cr_expect(za_ask_sync_with(node, asked, NULL, &message, &good) == ZA_EINVAL);
    cr_expect(za_ask_sync_with(node, asked, &t_Ask_type, NULL, &good) == ZA_EINVAL);
    cr_expect(za_ask_sync_with(node, asked, &t_Ask_type, &message, NULL) == ZA_EINVAL);
    cr_expect(za_ask_sync_with(node, (za_ref_t){ 7, 7 }, &t_Ask_type, &message, &good) ==
              ZA_ENOROUTE);
    cr_assert(za_ask_sync_with(node, asked, &t_Ask_type, &message, &good) == ZA_OK);
    za_node_destroy(node);
}

// A simulation has one thread: it would wait for itself.
Test(callers, are_refused_under_simulation, .timeout = 60)
{
    za_sim_t *sim = NULL;
    za_ref_t ref;
    cr_assert(za_sim_create(&(za_sim_opts_t){ .size = sizeof(za_sim_opts_t), .nodes = 1 }, &sim) ==
              ZA_OK);
    cr_assert(za_sim_spawn(sim, 0, oracle, &ref, .mailbox = 8) == ZA_OK);
    cr_expect(za_ask_sync(za_sim_node(sim, 0), ref, ZA_MSG(t_Ask, .n = ADD),
                          ZA_REPLY(t_Answer, &answer), .timeout_ms = 10) == ZA_EDENIED);
    za_sim_destroy(sim);
}

/* ---- many threads ------------------------------------------------------------------------- */

typedef struct job {
    pthread_t thread;
    uint64_t number;
    uint64_t wrong;
    za_err_t err;
} job_t;

static void *ask_often(void *context)
{
    job_t *job = context;
    for (uint64_t i = 0; i < ASKS; i++) {
        t_Answer mine = { 0 };
        uint64_t n = 1000 + job->number * ASKS + i;
        za_err_t err = za_ask_sync(node, asked, ZA_MSG(t_Ask, .n = n), ZA_REPLY(t_Answer, &mine),
                                   .timeout_ms = LONG_MS);
        job->wrong += err != ZA_OK || mine.n != n + 1;
    }
    return NULL;
}

static void begin(job_t *jobs, void *(*run)(void *context))
{
    for (uint64_t i = 0; i < THREADS; i++) {
        jobs[i] = (job_t){ .number = i };
        cr_assert(pthread_create(&jobs[i].thread, NULL, run, &jobs[i]) == 0);
    }
}

static void end(job_t *jobs)
{
    for (uint64_t i = 0; i < THREADS; i++) {
        cr_assert(pthread_join(jobs[i].thread, NULL) == 0);
    }
}

Test(callers, get_their_own_answers, .timeout = 60)
{
    job_t jobs[THREADS];
    start("2");
    begin(jobs, ask_often);
    end(jobs);
    for (uint64_t i = 0; i < THREADS; i++) {
        cr_expect(jobs[i].wrong == 0, "thread %u: %u wrong", (unsigned)i, (unsigned)jobs[i].wrong);
    }
    za_node_destroy(node);
}

static _Atomic uint32_t begun;

static void *ask_for_ever(void *context)
{
    job_t *job = context;
    t_Answer mine;
    do {
        atomic_fetch_add(&begun, 1);
        job->err = za_ask_sync(node, asked, ZA_MSG(t_Ask, .n = job->number % 2 == 0 ? KEEP : 500),
                               ZA_REPLY(t_Answer, &mine), .timeout_ms = LONG_MS);
    } while (job->err == ZA_OK || job->err == ZA_ENOANSWER);
    return NULL;
}

// Also those that have just begun, and those whose actor never ran.
Test(callers, are_told_when_the_node_stops, .timeout = 60)
{
    job_t jobs[THREADS];
    start("2");
    atomic_store(&begun, 0);
    begin(jobs, ask_for_ever);
    while (atomic_load(&begun) < 200) {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    uint64_t before = now_ms();
    za_node_stop(node);
    end(jobs);
    cr_expect(now_ms() - before < LONG_MS / 2, "at once");
    for (uint64_t i = 0; i < THREADS; i++) {
        // An actor that ends fails the asks it held, or is gone for those that come after.
        cr_expect(jobs[i].err == ZA_ESTOPPING || jobs[i].err == ZA_EGONE, "%s",
                  za_err_name(jobs[i].err));
    }
    cr_expect(ask(1, LONG_MS) == ZA_ESTOPPING, "and later ones");
    za_node_destroy(node);
}

/* ---- routing ------------------------------------------------------------------------------ */

Test(callers, route_to_groups_too, .timeout = 60)
{
    start("2");
    cr_expect(za_node_route(node, "nobody", ZA_RANDOM, 0, ZA_MSG(t_Ask, .n = ADD)) == ZA_ENOENT);
    cr_expect(za_node_route(NULL, "oracles", ZA_RANDOM, 0, ZA_MSG(t_Ask, .n = ADD)) == ZA_EINVAL);
    za_route_opts_t opts = { .size = sizeof opts, .role = "seer" };
    cr_expect(za_node_route_with(node, "oracles", ZA_MSG(t_Ask, .n = ADD), &opts) == ZA_ENOENT);
    opts.ask = &(za_ask_opts_t){ .size = sizeof(za_ask_opts_t), .timeout_ms = 9 };
    cr_expect(za_node_route_with(node, "oracles", ZA_MSG(t_Ask, .n = ADD), &opts) == ZA_EINVAL);
    cr_expect(za_node_route_with(node, "oracles", ZA_MSG(t_Ask, .n = ADD), NULL) == ZA_EINVAL);
    for (int how = ZA_ROUND_ROBIN; how <= ZA_BROADCAST; how++) {
        cr_expect(za_node_route(node, "oracles", (za_policy_t)how, 5, ZA_MSG(t_Ask, .n = ADD)) ==
                  ZA_OK);
    }
    cr_assert(ask(COUNT, LONG_MS) == ZA_OK && answer.n == 6, "one by each policy, and this ask");
    za_node_destroy(node);
}
