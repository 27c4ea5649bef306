// The promises of docs/semantics.md. An observer on node 0 does what the test says to a subject, which
// lives on node 0 (HERE) or on node 1 (THERE): what is promised is the same in both places.
#include "support/za_test.h"

#include <string.h>

#include <zactor/sim.h>
#include <zactor/zactor.h>

#include "probe.za.h"

enum {
    HERE = 0,
    THERE = 1,
    NODES = 3,
    EVENTS_MAX = 4096,
    TAGS_MAX = 128,
    BOUND_MS = 60 * 1000,
    SETTLE_MS = 2000,
    TIMEOUT_MS = 1000,
    FLOOD_MAILBOX = 4,
    LARGE_BYTES = 100 * 1000,  // more than a frame
    MAPPED_BYTES = 300 * 1000, // a blob with pages of its own
    HUGE_BYTES = 3000 * 1000,  // more than a message
    PAD_BYTE = 3,
};

// What the observer does.
enum {
    DO_SPAWN, // on node, with tag n; work: named; size: mailbox
    DO_TELL,  // work n to ref, with size bytes
    DO_ASK,   // work to ref, with tag n and a timeout of size ms
    DO_FLOOD, // n asks at once
    DO_WATCH,
    DO_UNWATCH,
    DO_STOP,
    DO_WHEREIS,
    DO_REGISTER,
    DO_FAIL,
    DO_END,
    DO_LINK,
    DO_UNLINK,
    DO_TRAP,
    DO_EXIT,  // to ref, with reason n
    DO_BLOB,  // as DO_TELL, the bytes in a blob
    DO_SHARE, // as DO_TELL, twice, by reference
};

// What the subject does.
enum {
    WORK_COUNT,
    WORK_FAIL,
    WORK_STOP,
    WORK_ANSWER,
    WORK_KEEP,    // answers nothing yet
    WORK_RELEASE, // answers what was kept
    WORK_TIMER,   // in n ms
    WORK_CHILDREN,
};

// What happened.
typedef enum kind {
    SUBJECT_STARTED, // a: n of its arguments
    SUBJECT_WORKED,  // a: n, b: how often it has worked since its start
    SUBJECT_TICKED,
    SUBJECT_STOPPING,   // a: reason
    SUBJECT_RESTARTING, // a: reason
    CHILD_STARTED,      // a: n
    CHILD_STOPPING,     // a: n
    SENT,               // a: -err
    WATCHED,            // a: -err
    FOUND,              // a: -err
    REGISTERED,         // a: -err
    ANSWERED,           // a: tag, b: n
    TIMED_OUT,          // a: tag
    ASK_FAILED,         // a: tag, b: reason
    DOWN,               // a: reason
    FAREWELL,
    SPAWNED, // a: tag, b: epoch
    SPAWN_FAILED,
    OBSERVER_STARTED, // a: restarts
    EXITED,           // a: reason
    PAD_READ,         // a: bytes, b: their sum
} kind_t;

typedef struct event {
    kind_t kind;
    uint64_t a;
    uint64_t b;
} event_t;

// The test's process is one thread, and each test is a process: the actors write here.
static event_t events[EVENTS_MAX];
static uint32_t event_count;
static za_ref_t refs[TAGS_MAX]; // of the children with that tag, as node 0 knows them
static za_ref_t found;          // by the last DO_WHEREIS
static za_sim_t *sim;
static za_ref_t observer_ref;
static kind_t awaited;
static uint32_t awaited_count;

static void note(kind_t kind, uint64_t a, uint64_t b)
{
    cr_assert(event_count < EVENTS_MAX);
    events[event_count++] = (event_t){ kind, a, b };
}

static uint32_t count(kind_t kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < event_count; i++) {
        n += events[i].kind == kind;
    }
    return n;
}

/** The last event of that kind. */
static event_t last(kind_t kind)
{
    for (uint32_t i = event_count; i > 0; i--) {
        if (events[i - 1].kind == kind) {
            return events[i - 1];
        }
    }
    cr_assert(false, "no event of kind %d", (int)kind);
    return (event_t){ 0 };
}

static uint32_t index_of(kind_t kind)
{
    for (uint32_t i = 0; i < event_count; i++) {
        if (events[i].kind == kind) {
            return i;
        }
    }
    return EVENTS_MAX;
}

/* ---- the subject -------------------------------------------------------------------------- */

typedef struct child {
    uint32_t n;
} child_t;

static za_verdict_t on_child_start(za_ctx_t *ctx, child_t *self, const probe_Start *start)
{
    (void)ctx;
    self->n = start->n;
    note(CHILD_STARTED, start->n, 0);
    return ZA_DONE;
}

static za_verdict_t on_child_stopping(za_ctx_t *ctx, child_t *self, const za_Stopping *stopping)
{
    (void)ctx;
    (void)stopping;
    note(CHILD_STOPPING, self->n, 0);
    return ZA_DONE;
}
ZA_ACTOR(child, child_t, (probe_Start, on_child_start), (za_Stopping, on_child_stopping));

typedef struct subject {
    uint32_t worked;
    za_ref_t boss;
    za_message_t *kept;
} subject_t;

static za_verdict_t on_start(za_ctx_t *ctx, subject_t *self, const probe_Start *start)
{
    (void)ctx;
    (void)self;
    note(SUBJECT_STARTED, start->n, 0);
    return ZA_DONE;
}

static za_verdict_t spawn_children(za_ctx_t *ctx)
{
    for (uint32_t n = 1; n <= 2; n++) {
        za_ref_t ref;
        if (za_spawn(ctx, child, &ref, ZA_ARGS(probe_Start, .n = n)) != ZA_OK) {
            return ZA_FAIL;
        }
    }
    return ZA_DONE;
}

static void note_pad(const za_bytes_t *pad)
{
    const unsigned char *bytes = za_bytes_data(pad);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < pad->size; i++) {
        sum += bytes[i];
    }
    if (pad->size > 0) {
        note(PAD_READ, pad->size, sum);
    }
}

static za_verdict_t on_work(za_ctx_t *ctx, subject_t *self, const probe_Work *work)
{
    self->boss = za_sender(ctx);
    note(SUBJECT_WORKED, work->n, ++self->worked);
    note_pad(&work->pad);
    switch (work->op) {
    case WORK_FAIL:
        return ZA_FAIL;
    case WORK_STOP:
        return ZA_STOP;
    case WORK_ANSWER:
        za_reply(ctx, ZA_MSG(probe_Answer, .n = work->n));
        return ZA_DONE;
    case WORK_KEEP:
        self->kept = za_keep(ctx);
        return self->kept != NULL ? ZA_DONE : ZA_FAIL;
    case WORK_RELEASE:
        za_reply_kept(ctx, &self->kept, ZA_MSG(probe_Answer, .n = work->n));
        return ZA_DONE;
    case WORK_TIMER:
        return za_after(ctx, work->n, ZA_MSG(probe_Tick, .n = work->n), NULL) == ZA_OK ? ZA_DONE
                                                                                       : ZA_FAIL;
    case WORK_CHILDREN:
        return spawn_children(ctx);
    default:
        return ZA_DONE;
    }
}

static za_verdict_t on_tick(za_ctx_t *ctx, subject_t *self, const probe_Tick *tick)
{
    (void)ctx;
    (void)self;
    note(SUBJECT_TICKED, tick->n, 0);
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, subject_t *self, const za_Stopping *stopping)
{
    if (stopping->restarts) {
        note(SUBJECT_RESTARTING, stopping->reason, 0);
        return ZA_DONE;
    }
    note(SUBJECT_STOPPING, stopping->reason, 0);
    if (!za_ref_is_none(self->boss)) {
        ZA_IGNORE(za_tell(ctx, self->boss, ZA_MSG(probe_Farewell, .n = self->worked)));
    }
    return ZA_DONE;
}
ZA_ACTOR(subject, subject_t, (probe_Start, on_start), (probe_Work, on_work), (probe_Tick, on_tick),
         (za_Stopping, on_stopping));

/* ---- the observer ------------------------------------------------------------------------- */

typedef struct observer {
    uint32_t unused;
} observer_t;

static za_err_t send_work(za_ctx_t *ctx, const probe_Do *order, uint32_t n)
{
    void *message = za_new(ctx, &probe_Work_type, order->op == DO_TELL ? order->size : 0);
    if (message == NULL) {
        return ZA_ENOBUFS;
    }
    probe_Work *work = message;
    work->op = order->work;
    work->n = n;
    za_err_t err = ZA_OK;
    if (order->op == DO_TELL) {
        static const char pad[LARGE_BYTES];
        err = za_bytes_put(work, &work->pad, pad, order->size);
        cr_assert(err == ZA_OK);
        err = za_send(ctx, order->ref, &message);
    } else {
        za_ask_opts_t opts = { .size = sizeof opts, .timeout_ms = order->size, .tag = n };
        err = za_ask_send(ctx, order->ref, &message, &opts);
    }
    if (err != ZA_OK) {
        za_discard(ctx, &message);
    }
    return err;
}

/** A message whose `size` bytes are a blob's: each is PAD_BYTE. */
static void *make_blob_work(za_ctx_t *ctx, const probe_Do *order)
{
    za_blob_t *blob = NULL;
    cr_assert(za_blob_create(ctx, order->size, &blob) == ZA_OK);
    memset(za_blob_edit(blob), PAD_BYTE, order->size);
    cr_assert(za_blob_seal(blob) == ZA_OK);
    probe_Work *work = za_new(ctx, &probe_Work_type, ZA_BLOB_EXTRA_BYTES);
    cr_assert(work != NULL && za_bytes_put_blob(work, &work->pad, blob) == ZA_OK);
    work->n = order->n;
    za_blob_release(ctx, &blob);
    return work;
}

static void send_blob(za_ctx_t *ctx, const probe_Do *order)
{
    void *message = make_blob_work(ctx, order);
    note(SENT, (uint64_t)-za_send(ctx, order->ref, &message), 0);
}

static void share(za_ctx_t *ctx, const probe_Do *order)
{
    void *message = make_blob_work(ctx, order);
    za_frozen_t *frozen = NULL;
    cr_assert(za_freeze(ctx, &message, &frozen) == ZA_OK);
    note(SENT, (uint64_t)-za_share(ctx, order->ref, frozen), 0);
    note(SENT, (uint64_t)-za_share(ctx, order->ref, frozen), 0);
    za_frozen_release(ctx, &frozen);
}

static za_verdict_t on_do(za_ctx_t *ctx, observer_t *self, const probe_Do *order)
{
    (void)self;
    switch (order->op) {
    case DO_SPAWN: {
        za_err_t err = za_spawn_on(ctx, order->node, subject, .tag = order->n, .max_restarts = 3,
                                   .name = order->work != 0 ? "subject" : NULL,
                                   .mailbox = order->size, ZA_ARGS(probe_Start, .n = order->n));
        return err == ZA_OK ? ZA_DONE : ZA_FAIL;
    }
    case DO_TELL:
    case DO_ASK:
        note(SENT, (uint64_t)-send_work(ctx, order, order->n), 0);
        return ZA_DONE;
    case DO_FLOOD:
        for (uint32_t n = 1; n <= order->n; n++) {
            note(SENT, (uint64_t)-send_work(ctx, order, n), 0);
        }
        return ZA_DONE;
    case DO_WATCH:
        note(WATCHED, (uint64_t)-za_watch(ctx, order->ref), 0);
        return ZA_DONE;
    case DO_UNWATCH:
        za_unwatch(ctx, order->ref);
        return ZA_DONE;
    case DO_STOP:
        return za_stop(ctx, order->ref) == ZA_OK ? ZA_DONE : ZA_FAIL;
    case DO_WHEREIS:
        note(FOUND, (uint64_t)-za_whereis(ctx, "subject", &found), 0);
        return ZA_DONE;
    case DO_REGISTER:
        note(REGISTERED, (uint64_t)-za_register(ctx, "subject"), 0);
        return ZA_DONE;
    case DO_FAIL:
        return ZA_FAIL;
    case DO_END:
        return ZA_STOP;
    case DO_LINK:
        return za_link(ctx, order->ref) == ZA_OK ? ZA_DONE : ZA_FAIL;
    case DO_UNLINK:
        za_unlink(ctx, order->ref);
        return ZA_DONE;
    case DO_TRAP:
        return za_trap_exit(ctx, true) == ZA_OK ? ZA_DONE : ZA_FAIL;
    case DO_BLOB:
        send_blob(ctx, order);
        return ZA_DONE;
    case DO_SHARE:
        share(ctx, order);
        return ZA_DONE;
    case DO_EXIT:
        return za_exit(ctx, order->ref, (za_Reason)order->n) == ZA_OK ? ZA_DONE : ZA_FAIL;
    default:
        return ZA_FAIL;
    }
}

static za_verdict_t on_answer(za_ctx_t *ctx, observer_t *self, const probe_Answer *answer)
{
    (void)self;
    note(ANSWERED, za_tag(ctx), answer->n);
    return ZA_DONE;
}

static za_verdict_t on_timeout(za_ctx_t *ctx, observer_t *self, const za_Timeout *timeout)
{
    (void)ctx;
    (void)self;
    note(TIMED_OUT, timeout->tag, 0);
    return ZA_DONE;
}

static za_verdict_t on_down(za_ctx_t *ctx, observer_t *self, const za_Down *down)
{
    (void)ctx;
    (void)self;
    if (down->tag != 0) {
        note(ASK_FAILED, down->tag, down->reason);
    } else {
        note(DOWN, down->reason, 0);
    }
    return ZA_DONE;
}

static za_verdict_t on_farewell(za_ctx_t *ctx, observer_t *self, const probe_Farewell *farewell)
{
    (void)ctx;
    (void)self;
    note(FAREWELL, farewell->n, 0);
    return ZA_DONE;
}

static za_verdict_t on_spawned(za_ctx_t *ctx, observer_t *self, const za_Spawned *spawned)
{
    (void)ctx;
    (void)self;
    cr_assert(spawned->tag < TAGS_MAX);
    refs[spawned->tag] = spawned->ref;
    note(SPAWNED, spawned->tag, spawned->epoch);
    return ZA_DONE;
}

static za_verdict_t on_spawn_failed(za_ctx_t *ctx, observer_t *self, const za_SpawnFailed *failed)
{
    (void)ctx;
    (void)self;
    note(SPAWN_FAILED, failed->tag, failed->reason);
    return ZA_DONE;
}

static za_verdict_t on_observer_started(za_ctx_t *ctx, observer_t *self, const za_Started *started)
{
    (void)ctx;
    (void)self;
    note(OBSERVER_STARTED, started->restarts, 0);
    return ZA_DONE;
}

static za_verdict_t on_exited(za_ctx_t *ctx, observer_t *self, const za_Exit *exited)
{
    (void)ctx;
    (void)self;
    note(EXITED, exited->reason, 0);
    return ZA_DONE;
}
ZA_ACTOR(observer, observer_t, (probe_Do, on_do), (probe_Answer, on_answer),
         (za_Timeout, on_timeout), (za_Down, on_down), (probe_Farewell, on_farewell),
         (za_Spawned, on_spawned), (za_SpawnFailed, on_spawn_failed),
         (za_Started, on_observer_started), (za_Exit, on_exited));

/* ---- the test's hand ---------------------------------------------------------------------- */

static bool is_converged(za_sim_t *of, void *context)
{
    (void)context;
    return za_sim_converged(of);
}

static bool has_happened(za_sim_t *of, void *context)
{
    (void)of;
    (void)context;
    return count(awaited) >= awaited_count;
}

/** Runs until there are `n` events of that kind. */
static void await(kind_t kind, uint32_t n)
{
    awaited = kind;
    awaited_count = n;
    cr_assert(za_sim_run_until(sim, has_happened, NULL, BOUND_MS), "kind %d: %u of %u", (int)kind,
              count(kind), n);
}

static void settle(void)
{
    za_sim_run_for(sim, SETTLE_MS);
}

static void order(const probe_Do *what)
{
    cr_assert(za_sim_tell(sim, 0, observer_ref, &probe_Do_type, what) == ZA_OK);
}
#define ORDER(...) order(&(const probe_Do){ __VA_ARGS__ })

static uint64_t uid_of(uint32_t node)
{
    return za_node_uid(za_sim_node(sim, node));
}

/** Three nodes and the observer. */
static void begin_cluster(void)
{
    static const za_class_t *const classes[] = { &subject_class, NULL };
    event_count = 0;
    za_sim_opts_t opts = { .size = sizeof opts, .seed = 11, .nodes = NODES, .classes = classes };
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK);
    cr_assert(za_sim_run_until(sim, is_converged, NULL, BOUND_MS));
    cr_assert(za_sim_spawn(sim, 0, observer, &observer_ref, .max_restarts = 3) == ZA_OK);
}

static za_ref_t spawn_subject(uint32_t place, uint32_t tag)
{
    ORDER(.op = DO_SPAWN, .node = uid_of(place), .n = tag, .work = tag == 1);
    await(SPAWNED, tag);
    return refs[tag];
}

/** And a subject with the name "subject" and tag 1. */
static za_ref_t begin(uint32_t place)
{
    begin_cluster();
    return spawn_subject(place, 1);
}

/** Three nodes, the observer, and a subject that is no child of it and is never restarted. */
static za_ref_t begin_apart(uint32_t place)
{
    begin_cluster();
    za_ref_t ref;
    cr_assert(za_sim_spawn(sim, place, subject, &ref, ZA_ARGS(probe_Start, .n = 1)) == ZA_OK);
    ref.node = place == HERE ? 0 : uid_of(place);
    settle();
    return ref;
}

static void end(void)
{
    za_sim_destroy(sim);
}

/* ---- messages ----------------------------------------------------------------------------- */

Test(semantics, messages_of_one_sender_arrive_in_order_and_once)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        for (uint32_t n = 1; n <= 100; n++) {
            // Every tenth is larger than a frame and goes in chunks: it must not be overtaken.
            ORDER(.op = DO_TELL, .ref = ref, .n = n, .size = n % 10 == 0 ? LARGE_BYTES : 10);
        }
        await(SUBJECT_WORKED, 100);
        settle();
        cr_expect(count(SUBJECT_WORKED) == 100);
        uint32_t n = 0;
        for (uint32_t i = 0; i < event_count; i++) {
            if (events[i].kind == SUBJECT_WORKED) {
                n++;
                cr_expect(events[i].a == n, "place %u: %d instead of %u", place, (int)events[i].a,
                          n);
            }
        }
        end();
    }
}

static void check_blob(uint32_t place)
{
    za_ref_t subject_ref = begin(place);
    const uint32_t sizes[] = { 1, LARGE_BYTES, MAPPED_BYTES };
    for (uint32_t i = 0; i < 3; i++) {
        ORDER(.op = DO_BLOB, .ref = subject_ref, .n = i, .size = sizes[i]);
        await(PAD_READ, i + 1);
        cr_assert(last(PAD_READ).a == sizes[i] && last(PAD_READ).b == sizes[i] * PAD_BYTE);
    }
    end();
}

Test(semantics, a_blob_is_read_as_bytes_are)
{
    check_blob(HERE);
    check_blob(THERE);
}

// On one node its size does not matter: only the reference travels.
Test(semantics, a_blob_larger_than_a_message_goes_to_no_other_node)
{
    za_ref_t subject_ref = begin(HERE);
    ORDER(.op = DO_BLOB, .ref = subject_ref, .size = HUGE_BYTES);
    await(PAD_READ, 1);
    cr_assert(last(SENT).a == 0 && last(PAD_READ).a == HUGE_BYTES);
    end();

    subject_ref = begin(THERE);
    ORDER(.op = DO_BLOB, .ref = subject_ref, .size = HUGE_BYTES);
    await(SENT, 1);
    settle();
    cr_assert(last(SENT).a == (uint64_t)-ZA_ETOOBIG && count(SUBJECT_WORKED) == 0);
    end();
}

static void check_share(uint32_t place)
{
    za_ref_t subject_ref = begin(place);
    ORDER(.op = DO_SHARE, .ref = subject_ref, .n = 9, .size = LARGE_BYTES);
    await(PAD_READ, 2);
    settle();
    cr_assert(count(SUBJECT_WORKED) == 2 && last(SUBJECT_WORKED).a == 9);
    cr_assert(last(PAD_READ).a == LARGE_BYTES && last(PAD_READ).b == LARGE_BYTES * PAD_BYTE);
    end();
}

Test(semantics, a_frozen_message_is_handled_as_any_other)
{
    check_share(HERE);
    check_share(THERE);
}

Test(semantics, a_full_mailbox_loses_no_ask_without_a_word)
{
    enum { ASKS = 100 };
    for (uint32_t place = HERE; place <= THERE; place++) {
        begin_cluster();
        ORDER(.op = DO_SPAWN, .node = uid_of(place), .n = 1, .size = FLOOD_MAILBOX);
        await(SPAWNED, 1);
        ORDER(.op = DO_FLOOD, .ref = refs[1], .n = ASKS, .work = WORK_ANSWER, .size = TIMEOUT_MS);
        settle();
        uint32_t refused = 0;
        uint32_t full = 0;
        for (uint32_t i = 0; i < event_count; i++) {
            refused += events[i].kind == SENT && events[i].a == (uint64_t)-ZA_EFULL;
            full += events[i].kind == ASK_FAILED && events[i].b == za_Reason_REASON_MAILBOX_FULL;
        }
        cr_expect(count(SENT) == ASKS);
        cr_expect(count(ANSWERED) + count(ASK_FAILED) + refused == ASKS, "place %u: %u %u %u",
                  place, count(ANSWERED), count(ASK_FAILED), refused);
        cr_expect(count(TIMED_OUT) == 0);
        cr_expect(place == HERE ? refused == ASKS - FLOOD_MAILBOX : refused + full > 0,
                  "place %u: %u refused, %u full", place, refused, full);
        end();
    }
}

/* ---- asking ------------------------------------------------------------------------------- */

Test(semantics, an_ask_ends_in_exactly_one_way)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_ANSWER, .n = 1, .size = TIMEOUT_MS);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_COUNT, .n = 2, .size = TIMEOUT_MS);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_KEEP, .n = 3, .size = TIMEOUT_MS);
        settle();
        cr_expect(count(ANSWERED) == 1 && last(ANSWERED).a == 1, "place %u", place);
        cr_expect(count(ASK_FAILED) == 1 && last(ASK_FAILED).a == 2, "place %u", place);
        cr_expect(last(ASK_FAILED).b == za_Reason_REASON_NO_ANSWER);
        cr_expect(count(TIMED_OUT) == 1 && last(TIMED_OUT).a == 3, "place %u", place);
        // Its answer comes now, and is nobody's.
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_RELEASE);
        settle();
        cr_expect(count(ANSWERED) == 1, "place %u", place);
        end();
    }
}

Test(semantics, a_kept_ask_is_answered_later)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_KEEP, .n = 5, .size = 10 * TIMEOUT_MS);
        settle();
        cr_expect(count(ANSWERED) == 0);
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_RELEASE, .n = 77);
        await(ANSWERED, 1);
        cr_expect(last(ANSWERED).a == 5 && last(ANSWERED).b == 77, "place %u", place);
        end();
    }
}

Test(semantics, a_restart_fails_kept_and_handled_asks_but_not_queued_ones)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_KEEP, .n = 1, .size = TIMEOUT_MS);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_FAIL, .n = 2, .size = TIMEOUT_MS);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_ANSWER, .n = 3, .size = TIMEOUT_MS);
        settle();
        cr_expect(count(ASK_FAILED) == 2, "place %u: %u", place, count(ASK_FAILED));
        cr_expect(count(TIMED_OUT) == 0, "place %u", place);
        cr_expect(count(ANSWERED) == 1 && last(ANSWERED).a == 3, "place %u", place);
        end();
    }
}

Test(semantics, a_stop_fails_all_asks_at_once)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_KEEP, .n = 1, .size = 10 * TIMEOUT_MS);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_STOP, .n = 2, .size = 10 * TIMEOUT_MS);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_ANSWER, .n = 3, .size = 10 * TIMEOUT_MS);
        settle();
        uint32_t refused = 0;
        for (uint32_t i = 0; i < event_count; i++) {
            refused += events[i].kind == SENT && events[i].a != 0;
        }
        cr_expect(count(ASK_FAILED) + refused == 3, "place %u: %u, %u", place, count(ASK_FAILED),
                  refused);
        cr_expect(count(ANSWERED) == 0 && count(TIMED_OUT) == 0, "place %u", place);
        end();
    }
}

/* ---- restarting and stopping --------------------------------------------------------------- */

Test(semantics, a_restart_keeps_reference_and_mailbox_and_zeroes_the_state)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_WATCH, .ref = ref);
        ORDER(.op = DO_TELL, .ref = ref, .n = 1);
        ORDER(.op = DO_TELL, .ref = ref, .n = 2, .work = WORK_FAIL);
        ORDER(.op = DO_TELL, .ref = ref, .n = 3);
        await(SUBJECT_WORKED, 3);
        settle();
        cr_expect(count(SUBJECT_STARTED) == 2, "place %u: its start message comes again", place);
        cr_expect(last(SUBJECT_STARTED).a == 1);
        cr_expect(count(SUBJECT_WORKED) == 3, "place %u: what failed it never comes again", place);
        cr_expect(last(SUBJECT_WORKED).a == 3 && last(SUBJECT_WORKED).b == 1, "place %u", place);
        cr_expect(count(DOWN) == 0, "place %u: watchers hear nothing", place);
        cr_expect(count(SUBJECT_STOPPING) == 0, "place %u", place);
        cr_expect(count(SUBJECT_RESTARTING) == 1, "place %u: told before its state goes", place);
        cr_expect(last(SUBJECT_RESTARTING).a == za_Reason_REASON_FAILED, "place %u", place);
        end();
    }
}

Test(semantics, a_restart_cancels_timers)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_TELL, .ref = ref, .n = 50, .work = WORK_TIMER);
        await(SUBJECT_TICKED, 1);
        ORDER(.op = DO_TELL, .ref = ref, .n = 100, .work = WORK_TIMER);
        ORDER(.op = DO_TELL, .ref = ref, .n = 2, .work = WORK_FAIL);
        settle();
        cr_expect(count(SUBJECT_STARTED) == 2);
        cr_expect(count(SUBJECT_TICKED) == 1, "place %u", place);
        end();
    }
}

Test(semantics, a_stop_cancels_timers)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_TELL, .ref = ref, .n = 100, .work = WORK_TIMER);
        ORDER(.op = DO_STOP, .ref = ref);
        settle();
        cr_expect(count(SUBJECT_STOPPING) == 1);
        cr_expect(count(SUBJECT_TICKED) == 0, "place %u", place);
        end();
    }
}

Test(semantics, a_watch_fires_once_and_after_the_last_message)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_WATCH, .ref = ref);
        ORDER(.op = DO_WATCH, .ref = ref);
        settle(); // a watch is no message: one that is told to stop at once may end before
        ORDER(.op = DO_TELL, .ref = ref, .n = 1, .work = WORK_STOP);
        await(DOWN, 1);
        settle();
        cr_expect(count(DOWN) == 1, "place %u: %u", place, count(DOWN));
        cr_expect(last(DOWN).a == za_Reason_REASON_STOPPED, "place %u: %d", place,
                  (int)last(DOWN).a);
        cr_expect(index_of(FAREWELL) < index_of(DOWN), "place %u", place);
        end();
    }
}

Test(semantics, a_watch_of_what_has_ended_fires_at_once)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_STOP, .ref = ref);
        settle();
        ORDER(.op = DO_WATCH, .ref = ref);
        await(DOWN, 1);
        cr_expect(last(DOWN).a == za_Reason_REASON_NO_ACTOR, "place %u: %d", place,
                  (int)last(DOWN).a);
        end();
    }
}

// The observer fails; the subject is another node's root, so that it outlives that.
Test(semantics, a_restart_ends_the_actors_own_watches_and_asks)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        begin_cluster();
        za_ref_t ref;
        cr_assert(za_sim_spawn(sim, place, subject, &ref, ZA_ARGS(probe_Start, .n = 1)) == ZA_OK);
        ref.node = place == HERE ? 0 : uid_of(place);
        ORDER(.op = DO_WATCH, .ref = ref);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_KEEP, .n = 1, .size = 10 * TIMEOUT_MS);
        await(SUBJECT_WORKED, 1);
        ORDER(.op = DO_FAIL);
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_RELEASE);
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_STOP);
        await(SUBJECT_STOPPING, 1);
        settle();
        cr_expect(count(ANSWERED) == 0 && count(ASK_FAILED) == 0, "place %u", place);
        cr_expect(count(DOWN) == 0, "place %u", place);
        cr_expect(count(FAREWELL) == 1, "place %u: it is reached by the same reference", place);
        end();
    }
}

Test(semantics, an_unwatched_end_is_not_told)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_WATCH, .ref = ref);
        ORDER(.op = DO_UNWATCH, .ref = ref);
        ORDER(.op = DO_STOP, .ref = ref);
        settle();
        cr_expect(count(SUBJECT_STOPPING) == 1);
        cr_expect(count(DOWN) == 0, "place %u", place);
        end();
    }
}

Test(semantics, a_reference_never_means_another_actor)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_STOP, .ref = ref);
        settle();
        za_ref_t second = spawn_subject(place, 2);
        cr_expect(!za_ref_equal(ref, second), "place %u", place);
        ORDER(.op = DO_ASK, .ref = ref, .work = WORK_ANSWER, .n = 9, .size = TIMEOUT_MS);
        settle();
        bool refused = last(SENT).a == (uint64_t)-ZA_EGONE;
        cr_expect(refused || (count(ASK_FAILED) == 1 && count(TIMED_OUT) == 0), "place %u", place);
        cr_expect(count(SUBJECT_WORKED) == 0, "place %u", place);
        end();
    }
}

Test(semantics, children_stop_before_their_parent_and_the_last_one_first)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_CHILDREN);
        await(CHILD_STARTED, 2);
        ORDER(.op = DO_STOP, .ref = ref);
        await(SUBJECT_STOPPING, 1);
        cr_expect(count(CHILD_STOPPING) == 2, "place %u", place);
        uint32_t first = index_of(CHILD_STOPPING);
        cr_expect(events[first].a == 2 && events[first + 1].a == 1, "place %u", place);
        end();
    }
}

Test(semantics, a_restart_stops_children)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_CHILDREN);
        await(CHILD_STARTED, 2);
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_FAIL);
        settle();
        cr_expect(count(CHILD_STOPPING) == 2, "place %u", place);
        cr_expect(count(SUBJECT_STARTED) == 2, "place %u", place);
        end();
    }
}

Test(semantics, a_name_stays_over_a_restart_and_goes_with_its_actor)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place);
        settle();
        ORDER(.op = DO_WHEREIS);
        await(FOUND, 1);
        cr_expect(last(FOUND).a == 0 && za_ref_equal(found, ref), "place %u", place);
        ORDER(.op = DO_REGISTER);
        await(REGISTERED, 1);
        cr_expect(last(REGISTERED).a == (uint64_t)-ZA_EEXIST, "place %u: %d", place,
                  (int)last(REGISTERED).a);

        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_FAIL);
        settle();
        ORDER(.op = DO_WHEREIS);
        await(FOUND, 2);
        cr_expect(last(FOUND).a == 0 && za_ref_equal(found, ref), "place %u", place);

        ORDER(.op = DO_STOP, .ref = ref);
        settle();
        ORDER(.op = DO_WHEREIS);
        await(FOUND, 3);
        cr_expect(last(FOUND).a == (uint64_t)-ZA_ENOENT, "place %u", place);
        end();
    }
}

Test(semantics, the_end_of_a_parent_stops_its_children_on_other_nodes)
{
    begin(THERE);
    ORDER(.op = DO_STOP, .ref = observer_ref);
    await(SUBJECT_STOPPING, 1);
    cr_expect(count(SUBJECT_STARTED) == 1);
    end();
}

// Unlike those on its own node: their work may be worth more than their parent's memory of them.
Test(semantics, a_restarted_parent_finds_its_children_on_other_nodes_by_name)
{
    za_ref_t ref = begin(THERE);
    ORDER(.op = DO_FAIL);
    settle();
    cr_expect(count(SUBJECT_STOPPING) == 0);
    ORDER(.op = DO_WHEREIS);
    await(FOUND, 1);
    cr_expect(last(FOUND).a == 0 && za_ref_equal(found, ref));
    ORDER(.op = DO_STOP, .ref = found);
    await(SPAWN_FAILED, 1);
    cr_expect(last(SPAWN_FAILED).a == 1 && count(SUBJECT_STOPPING) == 1, "it is still its child");
    end();
}

/* ---- linked actors ------------------------------------------------------------------------ */

Test(semantics, the_failure_of_one_is_the_failure_of_the_linked_other)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        for (uint32_t way = 0; way < 2; way++) {
            za_ref_t ref = begin_apart(place);
            ORDER(.op = DO_LINK, .ref = ref);
            settle();
            if (way == 0) {
                ORDER(.op = DO_FAIL);
            } else {
                ORDER(.op = DO_TELL, .ref = ref, .work = WORK_FAIL);
            }
            await(SUBJECT_STOPPING, 1);
            await(OBSERVER_STARTED, 2);
            settle();
            cr_expect(last(SUBJECT_STOPPING).a == za_Reason_REASON_FAILED, "place %u", place);
            cr_expect(count(OBSERVER_STARTED) == 2, "place %u: its supervisor restarts it", place);
            cr_expect(count(EXITED) == 0, "place %u: it does not trap", place);
            end();
        }
    }
}

Test(semantics, an_exit_is_trapped_once_and_after_the_last_message)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin_apart(place);
        ORDER(.op = DO_TRAP);
        ORDER(.op = DO_LINK, .ref = ref);
        ORDER(.op = DO_LINK, .ref = ref);
        settle();
        ORDER(.op = DO_TELL, .ref = ref, .n = 1, .work = WORK_STOP);
        await(EXITED, 1);
        settle();
        cr_expect(count(EXITED) == 1 && last(EXITED).a == za_Reason_REASON_STOPPED, "place %u: %d",
                  place, (int)last(EXITED).a);
        cr_expect(index_of(FAREWELL) < index_of(EXITED), "place %u", place);
        cr_expect(count(OBSERVER_STARTED) == 1, "place %u", place);
        end();
    }
}

Test(semantics, an_ordinary_stop_does_nothing_to_the_linked_other)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin_apart(place);
        ORDER(.op = DO_LINK, .ref = ref);
        settle();
        ORDER(.op = DO_END);
        settle();
        cr_expect(count(SUBJECT_STOPPING) == 0, "place %u", place);
        end();
    }
}

Test(semantics, a_restart_ends_links_with_its_reason)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin(place); // it is restarted
        ORDER(.op = DO_TRAP);
        ORDER(.op = DO_LINK, .ref = ref);
        settle();
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_FAIL);
        await(EXITED, 1);
        cr_expect(last(EXITED).a == za_Reason_REASON_FAILED, "place %u", place);
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_FAIL);
        settle();
        cr_expect(count(SUBJECT_STARTED) == 3 && count(EXITED) == 1, "place %u: one life", place);
        end();
    }
}

Test(semantics, an_unlinked_end_is_not_told)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        for (uint32_t wait = 0; wait < 2; wait++) {
            za_ref_t ref = begin_apart(place);
            ORDER(.op = DO_LINK, .ref = ref);
            if (wait) {
                settle();
            }
            ORDER(.op = DO_UNLINK, .ref = ref);
            settle();
            ORDER(.op = DO_FAIL);
            settle();
            cr_expect(count(SUBJECT_STOPPING) == 0, "place %u: the subject", place);
            ORDER(.op = DO_TELL, .ref = ref, .work = WORK_FAIL);
            settle();
            cr_expect(count(SUBJECT_STOPPING) == 1, "place %u", place);
            cr_expect(count(OBSERVER_STARTED) == 2, "place %u: the observer", place);
            end();
        }
    }
}

Test(semantics, a_link_to_what_has_ended_fires_at_once)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin_apart(place);
        ORDER(.op = DO_TELL, .ref = ref, .work = WORK_STOP);
        settle();
        ORDER(.op = DO_TRAP);
        ORDER(.op = DO_LINK, .ref = ref);
        await(EXITED, 1);
        cr_expect(last(EXITED).a == za_Reason_REASON_NO_ACTOR, "place %u: %d", place,
                  (int)last(EXITED).a);
        end();
    }
}

Test(semantics, an_exit_signal_ends_its_target)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        za_ref_t ref = begin_apart(place);
        ORDER(.op = DO_TELL, .ref = ref, .n = 1);
        ORDER(.op = DO_EXIT, .ref = ref, .n = za_Reason_REASON_STOPPED);
        settle();
        cr_expect(count(SUBJECT_STOPPING) == 0, "place %u: an ordinary end is nothing", place);
        ORDER(.op = DO_TELL, .ref = ref, .n = 2);
        ORDER(.op = DO_EXIT, .ref = ref, .n = za_Reason_REASON_KILLED);
        settle();
        cr_expect(count(SUBJECT_WORKED) == 2, "place %u: in its order", place);
        cr_expect(count(SUBJECT_STOPPING) == 1, "place %u", place);
        cr_expect(last(SUBJECT_STOPPING).a == za_Reason_REASON_KILLED, "place %u", place);
        end();
    }
}

Test(semantics, a_crash_ends_links_of_both_sides)
{
    za_ref_t ref = begin_apart(THERE);
    ORDER(.op = DO_TRAP);
    ORDER(.op = DO_LINK, .ref = ref);
    settle();
    za_sim_crash(sim, 1);
    await(EXITED, 1);
    settle();
    cr_expect(count(EXITED) == 1 && last(EXITED).a == za_Reason_REASON_NODE_DOWN);
    end();

    ref = begin_apart(THERE);
    ORDER(.op = DO_LINK, .ref = ref);
    settle();
    za_sim_crash(sim, 0);
    await(SUBJECT_STOPPING, 1);
    cr_expect(last(SUBJECT_STOPPING).a == za_Reason_REASON_NODE_DOWN, "it did not make the link");
    end();
}

Test(semantics, links_outlive_connections_and_short_partitions)
{
    za_ref_t ref = begin_apart(THERE);
    ORDER(.op = DO_TRAP);
    ORDER(.op = DO_LINK, .ref = ref);
    settle();
    za_sim_reset(sim, 0, 1);
    settle();
    za_sim_partition(sim, 1u << 1);
    za_sim_run_for(sim, 3000);
    za_sim_heal(sim);
    za_sim_run_for(sim, 5000);
    cr_expect(count(EXITED) == 0 && count(SUBJECT_STOPPING) == 0);
    ORDER(.op = DO_TELL, .ref = ref, .work = WORK_FAIL);
    await(EXITED, 1);
    cr_expect(last(EXITED).a == za_Reason_REASON_FAILED, "it is still there");
    end();
}

// The others declare node 0 down while it lives: to each side the other is down.
Test(semantics, a_rebirth_ends_links_of_both_sides)
{
    za_ref_t ref = begin_apart(THERE);
    ORDER(.op = DO_TRAP);
    ORDER(.op = DO_LINK, .ref = ref);
    settle();
    za_sim_partition(sim, 1u << 0);
    za_sim_run_for(sim, 40 * 1000);
    za_sim_heal(sim);
    za_sim_run_for(sim, 40 * 1000);
    cr_assert(za_sim_run_until(sim, is_converged, NULL, BOUND_MS));
    cr_expect(count(EXITED) == 1 && last(EXITED).a == za_Reason_REASON_NODE_DOWN);
    cr_expect(count(SUBJECT_STOPPING) == 1);
    cr_expect(last(SUBJECT_STOPPING).a == za_Reason_REASON_NODE_DOWN);
    end();
}

/* ---- links and nodes ---------------------------------------------------------------------- */

Test(semantics, a_broken_link_fails_asks_at_once_and_nothing_else)
{
    za_ref_t ref = begin(THERE);
    ORDER(.op = DO_WATCH, .ref = ref);
    ORDER(.op = DO_TELL, .ref = ref, .n = 1);
    ORDER(.op = DO_ASK, .ref = ref, .work = WORK_KEEP, .n = 2, .size = 20 * TIMEOUT_MS);
    await(SUBJECT_WORKED, 2);
    za_sim_reset(sim, 0, 1);
    await(ASK_FAILED, 1);
    cr_expect(last(ASK_FAILED).b == za_Reason_REASON_LINK_LOST, "%d", (int)last(ASK_FAILED).b);
    settle();
    cr_expect(count(DOWN) == 0 && count(SPAWNED) == 1);
    ORDER(.op = DO_WHEREIS);
    await(FOUND, 1);
    cr_expect(last(FOUND).a == 0 && za_ref_equal(found, ref));

    ORDER(.op = DO_ASK, .ref = ref, .work = WORK_ANSWER, .n = 3, .size = TIMEOUT_MS);
    await(ANSWERED, 1);
    cr_expect(last(SUBJECT_WORKED).b == 3, "its state is as it was");
    ORDER(.op = DO_STOP, .ref = ref);
    await(DOWN, 1);
    cr_expect(last(DOWN).a == za_Reason_REASON_STOPPED);
    end();
}

Test(semantics, a_short_partition_is_only_a_delay)
{
    za_ref_t ref = begin(THERE);
    ORDER(.op = DO_WATCH, .ref = ref);
    settle();
    za_sim_partition(sim, 1u << 1);
    ORDER(.op = DO_ASK, .ref = ref, .work = WORK_ANSWER, .n = 1, .size = TIMEOUT_MS);
    za_sim_run_for(sim, 3000);
    cr_expect(count(TIMED_OUT) + count(ASK_FAILED) == 1);
    cr_expect(count(DOWN) == 0 && count(SPAWNED) == 1);
    za_sim_heal(sim);
    za_sim_run_for(sim, 5000);
    cr_expect(count(DOWN) == 0 && count(SPAWNED) == 1);
    ORDER(.op = DO_ASK, .ref = ref, .work = WORK_ANSWER, .n = 2, .size = TIMEOUT_MS);
    await(ANSWERED, 1);
    cr_expect(last(ANSWERED).a == 2);
    end();
}

Test(semantics, a_crash_fires_watches_fails_asks_and_respawns_elsewhere)
{
    za_ref_t ref = begin(THERE);
    ORDER(.op = DO_WATCH, .ref = ref);
    ORDER(.op = DO_ASK, .ref = ref, .work = WORK_KEEP, .n = 1, .size = 60 * TIMEOUT_MS);
    await(SUBJECT_WORKED, 1);
    za_sim_crash(sim, 1);
    await(ASK_FAILED, 1);
    await(DOWN, 1);
    await(SPAWNED, 2);
    settle();
    cr_expect(count(DOWN) == 1 && last(DOWN).a == za_Reason_REASON_NODE_DOWN);
    cr_expect(count(ASK_FAILED) == 1 && count(TIMED_OUT) == 0);
    cr_expect(count(SPAWNED) == 2 && last(SPAWNED).a == 1 && last(SPAWNED).b == 2);
    cr_expect(!za_ref_equal(refs[1], ref));
    cr_expect(events[index_of(DOWN) + 1].kind == SUBJECT_STARTED, "never before the node is down");

    ORDER(.op = DO_WHEREIS);
    await(FOUND, 1);
    cr_expect(last(FOUND).a == 0 && za_ref_equal(found, refs[1]), "the name moved along");
    ORDER(.op = DO_ASK, .ref = refs[1], .work = WORK_ANSWER, .n = 2, .size = TIMEOUT_MS);
    await(ANSWERED, 1);
    end();
}

Test(semantics, a_node_that_is_back_is_another_one_to_old_references)
{
    za_ref_t ref = begin(THERE);
    za_sim_crash(sim, 1);
    za_sim_run_for(sim, 500);
    za_sim_restart(sim, 1);
    cr_assert(za_sim_run_until(sim, is_converged, NULL, BOUND_MS));
    await(SPAWNED, 2);
    ORDER(.op = DO_ASK, .ref = ref, .work = WORK_ANSWER, .n = 1, .size = TIMEOUT_MS);
    settle();
    cr_expect(count(ANSWERED) == 0);
    cr_expect(last(SENT).a == (uint64_t)-ZA_ENOROUTE || count(ASK_FAILED) == 1);
    end();
}

Test(semantics, a_crash_of_the_parents_node_stops_its_children)
{
    begin(THERE);
    za_sim_crash(sim, 0);
    await(SUBJECT_STOPPING, 1);
    cr_expect(last(SUBJECT_STOPPING).a == za_Reason_REASON_STOPPED);
    settle();
    cr_expect(count(SUBJECT_STARTED) == 1, "there is nobody to respawn it for");
    end();
}

// The others declare node 0 down while it lives. It comes back under a new uid; its actors live on.
Test(semantics, a_rebirth_keeps_actors_and_respawns_their_children)
{
    begin_cluster();
    za_ref_t near = spawn_subject(HERE, 1);
    za_ref_t far = spawn_subject(THERE, 2);
    ORDER(.op = DO_TELL, .ref = near, .n = 1);
    ORDER(.op = DO_TELL, .ref = near, .n = 10, .work = WORK_TIMER);
    settle();
    uint64_t was = uid_of(0);
    za_sim_partition(sim, 1u << 0);
    za_sim_run_for(sim, 40 * 1000);
    za_sim_heal(sim);
    za_sim_run_for(sim, 40 * 1000);
    cr_assert(za_sim_run_until(sim, is_converged, NULL, BOUND_MS));
    cr_expect(uid_of(0) != was, "it was reborn");

    ORDER(.op = DO_ASK, .ref = near, .work = WORK_ANSWER, .n = 3, .size = TIMEOUT_MS);
    await(ANSWERED, 1);
    cr_expect(last(SUBJECT_WORKED).b == 3, "its state is as it was, under the same reference");
    cr_expect(last(SPAWNED).a == 2 && last(SPAWNED).b >= 2, "the far child was respawned");
    cr_expect(!za_ref_equal(refs[2], far));
    ORDER(.op = DO_WHEREIS);
    await(FOUND, 1);
    cr_expect(last(FOUND).a == 0 && za_ref_equal(found, near), "its name is still its name");
    ORDER(.op = DO_ASK, .ref = refs[2], .work = WORK_ANSWER, .n = 4, .size = TIMEOUT_MS);
    await(ANSWERED, 2);
    end();
}
