#include "driver.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counter.h"
#include "texts.h"
#include "wordcount.za.h"
#include "words.h"

enum {
    NODES_MAX = 16,
    COUNTERS_MAX = 32,
    IN_FLIGHT_MAX = 8,
    BATCHES_MAX = COUNTERS_MAX * IN_FLIGHT_MAX,
    BATCH_BYTES_MIN = 256,
    BATCH_BYTES_MAX = 256 * 1024, // its counts are at most half as large again: below a message
    BATCH_MS_MAX = 1000,
    ATTEMPTS_MAX = 32,  // a batch that fails so often would fail for ever
    TIMEOUT_MS = 5000,  // of one ask: far above BATCH_MS_MAX
    PAUSE_MS = 250,     // of a counter that did not answer or could not be reached
    TICK_MS = 100,      // how often paused and lost counters are looked at
    REPORT_PERCENT = 5, // a progress line for each
    BAR_CELLS = 40,
    TEXT_BYTES = 512,
    COUNTER_NAME_BYTES = 24,
};

typedef struct node {
    uint64_t uid;
    char name[65];
} node_t;

typedef struct counter {
    za_ref_t ref;  // none: not there (yet, or any more)
    za_ref_t lost; // its last incarnation; a name may still point there
    uint64_t paused_until_ms;
    uint32_t epoch;
    uint32_t in_flight;
    bool gone; // for good
} counter_t;

typedef enum batch_state {
    BATCH_FREE = 0,
    BATCH_WAITING, // to be sent, for the first time or again
    BATCH_SENT,
} batch_state_t;

typedef struct batch {
    uint64_t id; // from 1; also the tag of its ask
    texts_cursor_t from;
    uint64_t bytes;
    batch_state_t state;
    uint32_t counter; // whom it was sent to
    uint32_t attempts;
} batch_t;

typedef struct driver {
    wc_Start task;
    bool counting; // the nodes are there
    bool bar;      // stderr is a terminal
    node_t nodes[NODES_MAX];
    uint32_t node_count;
    counter_t counters[COUNTERS_MAX];
    uint32_t counter_count;
    batch_t batches[BATCHES_MAX];
    texts_cursor_t next; // where the next new batch begins
    bool read_all;
    uint64_t last_id;
    uint64_t bytes_total;
    uint64_t bytes_done;
    uint64_t batches_done;
    uint64_t resent;
    uint64_t respawned;
    uint64_t late; // answers to no open batch
    uint32_t percent_reported;
    words_t *totals; // owned, freed when the actor stops
    char *text;      // task.batch_bytes bytes, owned: the batch being sent
} driver_t;

/* ---- reporting ---------------------------------------------------------------------------- */

/** Says one thing in the node's log and in the progress file. */
static void report(za_ctx_t *ctx, const driver_t *self, int level, const char *format, ...)
    ZA_PRINTF(4, 5);

static void report(za_ctx_t *ctx, const driver_t *self, int level, const char *format, ...)
{
    char line[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);

    za_log(ctx, level, "%s", line);
    if (self->task.progress_path[0] == '\0') {
        return;
    }
    FILE *progress = fopen(self->task.progress_path, "ae");
    if (progress != NULL) { // who looks on may have gone; the count goes on
        fprintf(progress, "%s\n", line);
        fclose(progress);
    }
}

static const char *reason_text(za_Reason reason)
{
    switch (reason) {
    case za_Reason_REASON_STOPPED:
        return "it stopped";
    case za_Reason_REASON_FAILED:
        return "it failed";
    case za_Reason_REASON_NO_ACTOR:
        return "it had ended before";
    case za_Reason_REASON_NODE_DOWN:
        return "its node is down";
    case za_Reason_REASON_NODE_LEFT:
        return "its node left";
    case za_Reason_REASON_LINK_LOST:
        return "the connection broke";
    case za_Reason_REASON_MAILBOX_FULL:
        return "its mailbox is full";
    case za_Reason_REASON_REFUSED:
        return "the node does not allow it";
    case za_Reason_REASON_NO_ANSWER:
        return "it did not answer";
    case za_Reason_REASON_LIMIT:
        return "a limit was reached";
    case za_Reason_REASON_NO_NODE:
        return "there is no node to run on";
    case za_Reason_REASON_BAD_MESSAGE:
        return "the message was refused";
    case za_Reason_REASON_TOO_LATE:
        return "its time was used up";
    default:
        return "no reason was given";
    }
}

/** The member on which `ref` lives. */
static const char *node_name(const za_ctx_t *ctx, const driver_t *self, za_ref_t ref)
{
    uint64_t uid = ref.node != 0 ? ref.node : za_node_uid(za_ctx_node(ctx));
    for (uint32_t i = 0; i < self->node_count; i++) {
        if (self->nodes[i].uid == uid) {
            return self->nodes[i].name;
        }
    }
    return "?";
}

static const char *counter_name(uint32_t index, char name[COUNTER_NAME_BYTES])
{
    snprintf(name, COUNTER_NAME_BYTES, "counter/%u", index + 1);
    return name;
}

static void draw_bar(uint32_t percent)
{
    char bar[BAR_CELLS + 1];
    uint32_t filled = percent * BAR_CELLS / 100;
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', filled);
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\r[%s] %3u %% %s", bar, percent, percent == 100 ? "\n" : "");
}

static void report_progress(za_ctx_t *ctx, driver_t *self)
{
    uint64_t done = self->bytes_done < self->bytes_total ? self->bytes_done : self->bytes_total;
    uint32_t percent = self->bytes_total == 0 ? 100 : (uint32_t)(done * 100 / self->bytes_total);
    if (percent / REPORT_PERCENT == self->percent_reported / REPORT_PERCENT) {
        return;
    }
    self->percent_reported = percent;
    report(ctx, self, ZA_INFO,
           "progress %u %% %" PRIu64 " of %" PRIu64 " bytes in %" PRIu64 " batches, resent=%" PRIu64
           " respawned=%" PRIu64,
           percent, done, self->bytes_total, self->batches_done, self->resent, self->respawned);
    if (self->bar) {
        draw_bar(percent);
    }
}

/** The actor fails, and says why. */
static za_verdict_t give_up(za_ctx_t *ctx, const driver_t *self, const char *what, const char *why)
{
    report(ctx, self, ZA_ERROR, "failed: %s: %s", what, why);
    return ZA_FAIL;
}

/* ---- the task ----------------------------------------------------------------------------- */

static uint32_t bounded(uint32_t value, uint32_t standard, uint32_t least, uint32_t most)
{
    if (value == 0) {
        return standard;
    }
    return value < least ? least : value > most ? most : value;
}

static uint32_t env_number(const char *name)
{
    const char *text = getenv(name);
    unsigned long value = text == NULL ? 0 : strtoul(text, NULL, 10);
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

/** False if the value does not fit: a path must not be used with its end cut off. */
static bool env_path(const char *name, char *out, size_t out_bytes)
{
    const char *text = getenv(name);
    int size = snprintf(out, out_bytes, "%s", text == NULL ? "" : text);
    return size >= 0 && (size_t)size < out_bytes;
}

static bool read_environment(wc_Start *task)
{
    task->nodes = env_number("WORDCOUNT_EXPECT_NODES");
    task->counters = env_number("WORDCOUNT_COUNTERS");
    task->in_flight = env_number("WORDCOUNT_IN_FLIGHT");
    task->batch_bytes = env_number("WORDCOUNT_BATCH_BYTES");
    task->batch_ms = env_number("WORDCOUNT_BATCH_MS");
    return env_path("WORDCOUNT_FILES", task->list_path, sizeof task->list_path) &&
           env_path("WORDCOUNT_OUTPUT", task->output_path, sizeof task->output_path) &&
           env_path("WORDCOUNT_PROGRESS", task->progress_path, sizeof task->progress_path);
}

static za_verdict_t prepare(za_ctx_t *ctx, driver_t *self)
{
    wc_Start *task = &self->task;
    if (task->list_path[0] == '\0' || task->output_path[0] == '\0') {
        return give_up(ctx, self, "nothing to do", "no list of texts or no output is given");
    }
    task->nodes = bounded(task->nodes, 1, 1, NODES_MAX);
    task->counters = bounded(task->counters, 2, 1, COUNTERS_MAX / task->nodes);
    task->in_flight = bounded(task->in_flight, 2, 1, IN_FLIGHT_MAX);
    task->batch_bytes = bounded(task->batch_bytes, 64 * 1024, BATCH_BYTES_MIN, BATCH_BYTES_MAX);
    task->batch_ms = bounded(task->batch_ms, 0, 0, BATCH_MS_MAX);

    char problem[TEXT_BYTES];
    za_err_t err = texts_total(task->list_path, &self->bytes_total, problem, sizeof problem);
    if (err != ZA_OK) {
        return give_up(ctx, self, "the texts", problem);
    }
    err = words_create(&self->totals);
    self->text = malloc(task->batch_bytes);
    if (err != ZA_OK || self->text == NULL) {
        return give_up(ctx, self, "no memory", za_err_text(ZA_ENOMEM));
    }
    err = za_every(ctx, TICK_MS, ZA_MSG(wc_Tick, .period_ms = TICK_MS), NULL);
    if (err != ZA_OK) {
        return give_up(ctx, self, "no timer", za_err_text(err));
    }
    report(ctx, self, ZA_INFO, "waiting for %u nodes", task->nodes);
    return ZA_DONE;
}

static bool has_counters(const driver_t *self)
{
    for (uint32_t i = 0; i < self->counter_count; i++) {
        if (!self->counters[i].gone) {
            return true;
        }
    }
    return false;
}

static za_verdict_t spawn_counters(za_ctx_t *ctx, driver_t *self)
{
    self->counting = true;
    for (uint32_t n = 0; n < self->node_count; n++) {
        for (uint32_t i = 0; i < self->task.counters; i++) {
            char name[COUNTER_NAME_BYTES];
            uint32_t index = self->counter_count++;
            za_err_t err = za_spawn_on(ctx, self->nodes[n].uid, wordcount_counter,
                                       .name = counter_name(index, name), .tag = index,
                                       .mailbox = 2 * IN_FLIGHT_MAX, .max_restarts = 3,
                                       .on_node_down = ZA_NODE_DOWN_RESPAWN);
            if (err == ZA_ENOROUTE) { // the node went, and the news of it is on its way
                self->counters[index].gone = true;
            } else if (err != ZA_OK) {
                return give_up(ctx, self, name, za_err_text(err));
            }
        }
    }
    report(ctx, self, ZA_INFO, "counting %" PRIu64 " bytes with %u counters on %u nodes",
           self->bytes_total, self->counter_count, self->node_count);
    return has_counters(self) ? ZA_DONE : give_up(ctx, self, "no counter", "no node is in reach");
}

/* ---- batches ------------------------------------------------------------------------------ */

static batch_t *find_batch(driver_t *self, batch_state_t state)
{
    for (uint32_t i = 0; i < BATCHES_MAX; i++) {
        if (self->batches[i].state == state) {
            return &self->batches[i];
        }
    }
    return NULL;
}

/** The batch whose ask just ended; NULL if its answer came before. */
static batch_t *sent_batch(driver_t *self, uint64_t id)
{
    for (uint32_t i = 0; i < BATCHES_MAX; i++) {
        if (self->batches[i].state == BATCH_SENT && self->batches[i].id == id) {
            return &self->batches[i];
        }
    }
    self->late++;
    return NULL;
}

/** The counter with the most room; NULL if none has any. */
static counter_t *counter_with_room(za_ctx_t *ctx, driver_t *self)
{
    counter_t *best = NULL;
    uint64_t now_ms = za_now_ms(ctx);
    for (uint32_t i = 0; i < self->counter_count; i++) {
        counter_t *counter = &self->counters[i];
        bool ready = !za_ref_is_none(counter->ref) && counter->paused_until_ms <= now_ms &&
                     counter->in_flight < self->task.in_flight;
        if (ready && (best == NULL || counter->in_flight < best->in_flight)) {
            best = counter;
        }
    }
    return best;
}

static void pause_counter(za_ctx_t *ctx, counter_t *counter)
{
    counter->paused_until_ms = za_now_ms(ctx) + PAUSE_MS;
}

/** Reads a batch into self->text, and asks `counter` for its words. */
static za_err_t ask_counter(za_ctx_t *ctx, driver_t *self, const counter_t *counter,
                            const batch_t *batch)
{
    void *message = za_new(ctx, &wc_Batch_type, batch->bytes);
    if (message == NULL) {
        return ZA_ENOBUFS;
    }
    wc_Batch *body = message;
    body->work_ms = self->task.batch_ms;
    za_err_t err = za_bytes_put(body, &body->text, self->text, batch->bytes);
    if (err == ZA_OK) {
        za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = TIMEOUT_MS, .tag = batch->id };
        err = za_ask_send(ctx, counter->ref, &message, &opts);
    }
    if (err != ZA_OK) {
        za_discard(ctx, &message);
    }
    return err;
}

/** Reads the text of `batch`; a new one gets its size, of an old one the size must not change. */
static za_verdict_t read_batch(za_ctx_t *ctx, driver_t *self, batch_t *batch,
                               texts_cursor_t *behind)
{
    char problem[TEXT_BYTES];
    size_t size = 0;
    *behind = batch->from;
    za_err_t err = texts_read(self->task.list_path, behind, self->text, self->task.batch_bytes,
                              &size, problem, sizeof problem);
    if (err != ZA_OK) {
        return give_up(ctx, self, "the texts", problem);
    }
    if (batch->bytes != 0 && batch->bytes != size) {
        return give_up(ctx, self, "the texts", "one has changed since the count began");
    }
    batch->bytes = size;
    return ZA_DONE;
}

static za_verdict_t send_batch(za_ctx_t *ctx, driver_t *self, batch_t *batch, counter_t *counter)
{
    if (batch->attempts == ATTEMPTS_MAX) {
        return give_up(ctx, self, "a batch", "it was sent too often");
    }
    za_err_t err = ask_counter(ctx, self, counter, batch);
    if (err != ZA_OK) { // nothing was sent: the batch goes on waiting, the counter gets a rest
        pause_counter(ctx, counter);
        return ZA_DONE;
    }
    self->resent += batch->attempts > 0;
    batch->attempts++;
    batch->state = BATCH_SENT;
    batch->counter = (uint32_t)(counter - self->counters);
    counter->in_flight++;
    return ZA_DONE;
}

/** A waiting batch, or the next new one, its text in self->text; *out is NULL if there is none. */
static za_verdict_t next_batch(za_ctx_t *ctx, driver_t *self, batch_t **out)
{
    *out = NULL;
    texts_cursor_t behind;
    batch_t *waiting = find_batch(self, BATCH_WAITING);
    if (waiting != NULL) {
        *out = waiting;
        return read_batch(ctx, self, waiting, &behind);
    }
    batch_t *batch = self->read_all ? NULL : find_batch(self, BATCH_FREE);
    if (batch == NULL) {
        return ZA_DONE;
    }
    *batch = (batch_t){ .from = self->next };
    za_verdict_t verdict = read_batch(ctx, self, batch, &behind);
    if (verdict != ZA_DONE) {
        return verdict;
    }
    if (batch->bytes == 0) {
        self->read_all = true;
        return ZA_DONE;
    }
    self->next = behind;
    batch->id = ++self->last_id;
    batch->state = BATCH_WAITING;
    *out = batch;
    return ZA_DONE;
}

static za_err_t write_totals(const driver_t *self)
{
    char draft[sizeof self->task.output_path + 8];
    snprintf(draft, sizeof draft, "%s.part", self->task.output_path);
    FILE *out = fopen(draft, "we");
    if (out == NULL) {
        return ZA_EIO;
    }
    za_err_t err = words_write(self->totals, out);
    if (fclose(out) != 0 && err == ZA_OK) {
        err = ZA_EIO;
    }
    // Under its name the output is always complete.
    return err == ZA_OK && rename(draft, self->task.output_path) != 0 ? ZA_EIO : err;
}

static za_verdict_t finish(za_ctx_t *ctx, driver_t *self)
{
    za_err_t err = write_totals(self);
    if (err != ZA_OK) {
        return give_up(ctx, self, self->task.output_path, za_err_text(err));
    }
    report(ctx, self, ZA_INFO,
           "done words=%" PRIu64 " different=%zu batches=%" PRIu64 " resent=%" PRIu64
           " respawned=%" PRIu64 " late=%" PRIu64,
           words_total(self->totals), words_size(self->totals), self->batches_done, self->resent,
           self->respawned, self->late);
    return ZA_STOP;
}

/** Sends as much as there is room for; finishes the count when nothing is left. */
static za_verdict_t pump(za_ctx_t *ctx, driver_t *self)
{
    if (!self->counting) {
        return ZA_DONE;
    }
    counter_t *counter;
    while ((counter = counter_with_room(ctx, self)) != NULL) { // each turn fills or pauses one
        batch_t *batch;
        za_verdict_t verdict = next_batch(ctx, self, &batch);
        if (verdict == ZA_DONE && batch != NULL) {
            verdict = send_batch(ctx, self, batch, counter);
        }
        if (verdict != ZA_DONE) {
            return verdict;
        }
        if (batch == NULL) {
            break;
        }
    }
    bool open = find_batch(self, BATCH_SENT) != NULL || find_batch(self, BATCH_WAITING) != NULL;
    return self->read_all && !open ? finish(ctx, self) : ZA_DONE;
}

/** The ask of `batch` ended without its counts. */
static void lose_batch(za_ctx_t *ctx, driver_t *self, batch_t *batch)
{
    counter_t *counter = &self->counters[batch->counter];
    counter->in_flight--;
    pause_counter(ctx, counter);
    batch->state = BATCH_WAITING;
}

/* ---- counters ----------------------------------------------------------------------------- */

static void use_counter(za_ctx_t *ctx, counter_t *counter, za_ref_t ref)
{
    counter->ref = ref;
    counter->paused_until_ms = 0;
    if (za_watch(ctx, ref) != ZA_OK) {
        za_log(ctx, ZA_WARN, "a counter is not watched: its loss shows only by its asks");
    }
}

static void lose_counter(counter_t *counter)
{
    counter->lost = counter->ref;
    counter->ref = ZA_REF_NONE;
}

/** A counter under its old name on another node may be known before its za_Spawned arrives. */
static void find_lost_counters(za_ctx_t *ctx, driver_t *self)
{
    for (uint32_t i = 0; i < self->counter_count; i++) {
        counter_t *counter = &self->counters[i];
        if (!za_ref_is_none(counter->ref) || counter->epoch == 0 || counter->gone) {
            continue;
        }
        char name[COUNTER_NAME_BYTES];
        za_ref_t ref;
        if (za_whereis(ctx, counter_name(i, name), &ref) == ZA_OK &&
            !za_ref_equal(ref, counter->lost)) {
            use_counter(ctx, counter, ref);
        }
    }
}

/* ---- handlers ----------------------------------------------------------------------------- */

static za_verdict_t on_started(za_ctx_t *ctx, driver_t *self, const za_Started *started)
{
    (void)started;
    if (!read_environment(&self->task)) {
        return give_up(ctx, self, "the environment", "a path is too long");
    }
    self->bar = isatty(STDERR_FILENO);
    return prepare(ctx, self);
}

static za_verdict_t on_start(za_ctx_t *ctx, driver_t *self, const wc_Start *start)
{
    self->task = *start;
    return prepare(ctx, self);
}

static za_verdict_t on_member_up(za_ctx_t *ctx, driver_t *self, const za_MemberUp *up)
{
    if (self->node_count == NODES_MAX) {
        return ZA_DONE;
    }
    node_t *node = &self->nodes[self->node_count++];
    node->uid = up->node;
    snprintf(node->name, sizeof node->name, "%s", up->name);
    if (self->counting || self->node_count < self->task.nodes) {
        return ZA_DONE;
    }
    return spawn_counters(ctx, self);
}

static void forget_node(driver_t *self, uint64_t uid)
{
    for (uint32_t i = 0; i < self->node_count; i++) {
        if (self->nodes[i].uid == uid) {
            self->nodes[i] = self->nodes[--self->node_count];
            return;
        }
    }
}

static za_verdict_t on_member_down(za_ctx_t *ctx, driver_t *self, const za_MemberDown *down)
{
    report(ctx, self, ZA_WARN, "node %s is down", down->name);
    forget_node(self, down->node);
    return ZA_DONE;
}

static za_verdict_t on_member_left(za_ctx_t *ctx, driver_t *self, const za_MemberLeft *left)
{
    report(ctx, self, ZA_INFO, "node %s left", left->name);
    forget_node(self, left->node);
    return ZA_DONE;
}

static za_verdict_t on_reborn(za_ctx_t *ctx, driver_t *self, const za_Reborn *reborn)
{
    report(ctx, self, ZA_WARN, "this node was declared down and joins again");
    forget_node(self, reborn->was);
    return ZA_DONE;
}

static za_verdict_t on_spawned(za_ctx_t *ctx, driver_t *self, const za_Spawned *child)
{
    if (child->tag >= self->counter_count) {
        return ZA_DONE;
    }
    counter_t *counter = &self->counters[child->tag];
    counter->epoch = child->epoch;
    if (child->epoch > 1) {
        char name[COUNTER_NAME_BYTES];
        self->respawned++;
        report(ctx, self, ZA_INFO, "%s respawned on %s, epoch %u",
               counter_name((uint32_t)child->tag, name), node_name(ctx, self, child->ref),
               child->epoch);
    }
    if (!za_ref_equal(counter->ref, child->ref)) {
        use_counter(ctx, counter, child->ref);
    }
    return pump(ctx, self);
}

static za_verdict_t on_spawn_failed(za_ctx_t *ctx, driver_t *self, const za_SpawnFailed *failed)
{
    if (failed->tag >= self->counter_count) {
        return ZA_DONE;
    }
    char name[COUNTER_NAME_BYTES];
    counter_name((uint32_t)failed->tag, name);
    report(ctx, self, ZA_WARN, "%s ended: %s", name, reason_text(failed->reason));
    self->counters[failed->tag].gone = true;
    lose_counter(&self->counters[failed->tag]);
    if (!has_counters(self)) {
        return give_up(ctx, self, "no counter is left", reason_text(failed->reason));
    }
    return pump(ctx, self);
}

static za_verdict_t on_counts(za_ctx_t *ctx, driver_t *self, const wc_Counts *counts)
{
    batch_t *batch = sent_batch(self, za_tag(ctx));
    if (batch == NULL) {
        return ZA_DONE; // counted already
    }
    za_err_t err = words_merge(self->totals, za_bytes_data(&counts->packed), counts->packed.size);
    if (err == ZA_EPROTO) {
        report(ctx, self, ZA_WARN, "batch %" PRIu64 ": its counts are damaged", batch->id);
        lose_batch(ctx, self, batch);
        return pump(ctx, self);
    }
    if (err != ZA_OK) {
        return give_up(ctx, self, "the totals", za_err_text(err));
    }
    self->counters[batch->counter].in_flight--;
    self->bytes_done += batch->bytes;
    self->batches_done++;
    *batch = (batch_t){ .state = BATCH_FREE };
    report_progress(ctx, self);
    return pump(ctx, self);
}

static za_verdict_t on_timeout(za_ctx_t *ctx, driver_t *self, const za_Timeout *timeout)
{
    batch_t *batch = sent_batch(self, timeout->tag);
    if (batch != NULL) {
        lose_batch(ctx, self, batch);
    }
    return pump(ctx, self);
}

static za_verdict_t on_down(za_ctx_t *ctx, driver_t *self, const za_Down *down)
{
    if (down->tag != 0) { // an ask failed: this batch was not counted
        batch_t *batch = sent_batch(self, down->tag);
        if (batch != NULL) {
            lose_batch(ctx, self, batch);
        }
        return pump(ctx, self);
    }
    for (uint32_t i = 0; i < self->counter_count; i++) {
        counter_t *counter = &self->counters[i];
        if (za_ref_equal(counter->ref, down->ref)) {
            char name[COUNTER_NAME_BYTES];
            report(ctx, self, ZA_WARN, "%s lost on %s: %s", counter_name(i, name),
                   node_name(ctx, self, down->ref), reason_text(down->reason));
            lose_counter(counter);
        }
    }
    return pump(ctx, self);
}

static za_verdict_t on_tick(za_ctx_t *ctx, driver_t *self, const wc_Tick *tick)
{
    (void)tick;
    find_lost_counters(ctx, self);
    return pump(ctx, self);
}

static za_verdict_t on_stopping(za_ctx_t *ctx, driver_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    (void)stopping;
    words_destroy(self->totals);
    free(self->text);
    self->totals = NULL;
    self->text = NULL;
    return ZA_DONE;
}

ZA_ACTOR(wordcount_driver, driver_t, (za_Started, on_started), (wc_Start, on_start),
         (za_MemberUp, on_member_up), (za_MemberDown, on_member_down),
         (za_MemberLeft, on_member_left), (za_Reborn, on_reborn), (za_Spawned, on_spawned),
         (za_SpawnFailed, on_spawn_failed), (wc_Counts, on_counts), (za_Timeout, on_timeout),
         (za_Down, on_down), (wc_Tick, on_tick), (za_Stopping, on_stopping));
