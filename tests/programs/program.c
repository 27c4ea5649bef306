#include "program.h"

#include <string.h>

#include "base/hash.h"
#include "core/worker.h"

static p_program_t program;

p_program_t *p_program(void)
{
    return &program;
}

const char *p_op_name(p_op_t op)
{
    static const char *const names[] = {
        "tell",       "burst",   "move",  "ask",        "reply",     "forward", "keep",
        "reply-kept", "release", "after", "every",      "cancel",    "unstash", "become",
        "watch",      "unwatch", "spawn", "stop-child", "stop-self", "quiet",   "group",
        "publish",    "stash",   "fail",  "stop",
    };
    return names[op];
}

/* ---- messages ----------------------------------------------------------------------------- */

typedef struct p_Word {
    uint64_t serial;
} p_Word;

typedef struct p_Fat {
    uint64_t serial;
    char text[92];
} p_Fat;

typedef struct p_Answer {
    uint64_t serial;
} p_Answer;

typedef struct p_Tick {
    uint64_t serial;
} p_Tick;

static const za_type_t p_Word_type = { .name = "p.Word", .id = 301, .size = sizeof(p_Word) };
static const za_type_t p_Fat_type = { .name = "p.Fat", .id = 302, .size = sizeof(p_Fat) };
static const za_type_t p_Answer_type = { .name = "p.Answer", .id = 303, .size = sizeof(p_Answer) };
static const za_type_t p_Tick_type = { .name = "p.Tick", .id = 304, .size = sizeof(p_Tick) };

typedef struct peer {
    uint64_t mark; // zero when a life begins
} peer_t;

static za_verdict_t handle(za_ctx_t *ctx, peer_t *self, p_event_t event);

#define HANDLERS(cls, number)                                                                      \
    static za_verdict_t cls##_started(za_ctx_t *ctx, peer_t *self, const za_Started *m)            \
    {                                                                                              \
        return handle(                                                                             \
            ctx, self,                                                                             \
            (p_event_t){ .kind = P_EV_STARTED, .restarts = m->restarts, .class_ = number });       \
    }                                                                                              \
    static za_verdict_t cls##_stopping(za_ctx_t *ctx, peer_t *self, const za_Stopping *m)          \
    {                                                                                              \
        return handle(ctx, self,                                                                   \
                      (p_event_t){ .kind = P_EV_STOPPING,                                          \
                                   .reason = m->reason,                                            \
                                   .restarts = m->restarts,                                        \
                                   .class_ = number });                                            \
    }                                                                                              \
    static za_verdict_t cls##_word(za_ctx_t *ctx, peer_t *self, const p_Word *m)                   \
    {                                                                                              \
        return handle(                                                                             \
            ctx, self,                                                                             \
            (p_event_t){ .kind = P_EV_MESSAGE, .serial = (uint32_t)m->serial, .class_ = number }); \
    }                                                                                              \
    static za_verdict_t cls##_fat(za_ctx_t *ctx, peer_t *self, const p_Fat *m)                     \
    {                                                                                              \
        return handle(                                                                             \
            ctx, self,                                                                             \
            (p_event_t){ .kind = P_EV_MESSAGE, .serial = (uint32_t)m->serial, .class_ = number }); \
    }                                                                                              \
    static za_verdict_t cls##_answer(za_ctx_t *ctx, peer_t *self, const p_Answer *m)               \
    {                                                                                              \
        return handle(                                                                             \
            ctx, self,                                                                             \
            (p_event_t){ .kind = P_EV_ANSWER, .serial = (uint32_t)m->serial, .class_ = number });  \
    }                                                                                              \
    static za_verdict_t cls##_tick(za_ctx_t *ctx, peer_t *self, const p_Tick *m)                   \
    {                                                                                              \
        return handle(                                                                             \
            ctx, self,                                                                             \
            (p_event_t){ .kind = P_EV_TICK, .serial = (uint32_t)m->serial, .class_ = number });    \
    }                                                                                              \
    static za_verdict_t cls##_timeout(za_ctx_t *ctx, peer_t *self, const za_Timeout *m)            \
    {                                                                                              \
        return handle(ctx, self,                                                                   \
                      (p_event_t){ .kind = P_EV_TIMEOUT, .tag = m->tag, .class_ = number });       \
    }                                                                                              \
    static za_verdict_t cls##_down(za_ctx_t *ctx, peer_t *self, const za_Down *m)                  \
    {                                                                                              \
        return handle(ctx, self,                                                                   \
                      (p_event_t){ .kind = P_EV_DOWN,                                              \
                                   .tag = m->tag,                                                  \
                                   .ref = m->ref,                                                  \
                                   .reason = m->reason,                                            \
                                   .class_ = number });                                            \
    }                                                                                              \
    static za_verdict_t cls##_quiet(za_ctx_t *ctx, peer_t *self, const za_ReceiveTimeout *m)       \
    {                                                                                              \
        return handle(                                                                             \
            ctx, self,                                                                             \
            (p_event_t){ .kind = P_EV_QUIET, .serial = 0 * m->timeout_ms, .class_ = number });     \
    }                                                                                              \
    ZA_ACTOR(cls, peer_t, (za_Started, cls##_started), (za_Stopping, cls##_stopping),              \
             (p_Word, cls##_word), (p_Fat, cls##_fat), (p_Answer, cls##_answer),                   \
             (p_Tick, cls##_tick), (za_Timeout, cls##_timeout), (za_Down, cls##_down),             \
             (za_ReceiveTimeout, cls##_quiet))

HANDLERS(first, 0);
HANDLERS(second, 1);

/* ---- spawning ----------------------------------------------------------------------------- */

static za_spawn_opts_t draw_opts(za_rng_t *rng, p_actor_t *actor, int parent)
{
    uint32_t workers = program.model.runtime->config.workers;
    bool bounded = za_rng_below(rng, 2) == 0;
    uint64_t overflow = za_rng_below(rng, 3);
    uint64_t placed = za_rng_below(rng, 6);
    uint64_t backoff_ms = za_rng_below(rng, 3);
    uint64_t restart = za_rng_below(rng, 6);
    uint64_t escalates = za_rng_below(rng, 8);
    actor->bound = bounded ? 1 + (uint32_t)za_rng_below(rng, 6) : 0;
    actor->overflow = bounded ? (za_overflow_t)overflow : ZA_REJECT;
    actor->stash_max = 1 + (uint32_t)za_rng_below(rng, 4);
    actor->restarts_max = (uint32_t)za_rng_below(rng, 4);
    actor->parent = parent;
    za_spawn_opts_t opts = {
        .size = sizeof opts,
        .mailbox = actor->bound,
        .overflow = actor->overflow,
        .stash = actor->stash_max,
        .max_restarts = actor->restarts_max,
        .restart = restart == 0   ? ZA_RESTART_ALWAYS
                   : restart == 1 ? ZA_RESTART_NEVER
                                  : ZA_RESTART_ON_FAILURE,
        .backoff_min_ms = (uint32_t)backoff_ms * 2,
        .on_limit = escalates == 0 ? ZA_LIMIT_ESCALATE : ZA_LIMIT_STOP,
        .within_ms = 60000,
        .worker = placed == 0 ? 1 + (uint32_t)za_rng_below(rng, workers) : 0,
    };
    return opts;
}

static void spawn(za_ctx_t *ctx, za_rng_t *rng, int parent)
{
    p_model_t *model = &program.model;
    p_actor_t *actor = p_actor_add(model);
    if (actor == NULL) {
        return;
    }
    za_spawn_opts_t opts = draw_opts(rng, actor, parent);
    za_err_t err =
        ctx == NULL ? za_runtime_spawn(program.guest, &first_class, &opts, ZA_REF_NONE, &actor->ref)
                    : za_spawn_with(ctx, &first_class, &actor->ref, &opts);
    if (err != ZA_OK) {
        p_fail(model, "a spawn answers %s", za_err_name(err));
    }
    p_trace(model, "    spawns a%u: mailbox %u %s, stash %u, restarts %u%s", model->actor_count - 1,
            actor->bound,
            actor->overflow == ZA_REJECT        ? "rejects"
            : actor->overflow == ZA_DROP_NEWEST ? "drops the newest"
                                                : "drops the oldest",
            actor->stash_max, actor->restarts_max, opts.worker != 0 ? ", placed" : "");
}

void p_program_begin(p_program_t *begun, uint32_t actors)
{
    za_rng_t rng;
    za_rng_init(&rng, begun->seed ^ 0x5eed);
    memset(begun->joined, 0, sizeof begun->joined);
    begun->done = 0;
    for (uint32_t i = 0; i < actors; i++) {
        spawn(NULL, &rng, P_NOBODY);
    }
}

void p_program_tell(p_program_t *told, za_rng_t *rng)
{
    p_model_t *model = &told->model;
    int to = (int)za_rng_below(rng, model->actor_count);
    int entry = p_entry_add(model, P_USER, P_NOBODY, P_NOBODY);
    p_Word word = { .serial = model->entries[entry].serial };
    za_outgoing_t out = { .to = model->actors[to].ref, .type = &p_Word_type, .body = &word };
    p_before_send(model, to);
    za_err_t err = za_runtime_tell(told->guest, &out);
    p_trace(model, "    outside: tells a%d %u: %s", to, model->entries[entry].serial,
            za_err_name(err));
    p_send(model, entry, to, err);
}

/* ---- operations --------------------------------------------------------------------------- */

/** One call of a handler. */
typedef struct call {
    za_ctx_t *ctx;
    za_rng_t rng;
    int self;
    const p_event_t *event;
    int entry;
    bool kept;
    bool stops;
} call_t;

static int draw_actor(call_t *call)
{
    return (int)za_rng_below(&call->rng, program.model.actor_count);
}

static void tell_to(call_t *call, int to)
{
    p_model_t *model = &program.model;
    int entry = p_entry_add(model, P_USER, call->self, call->self);
    uint32_t serial = model->entries[entry].serial;
    bool is_fat = za_rng_below(&call->rng, 6) == 0;
    za_ref_t ref = model->actors[to].ref;
    p_before_send(model, to);
    za_err_t err = is_fat ? za_tell(call->ctx, ref, ZA_MSG(p_Fat, .serial = serial))
                          : za_tell(call->ctx, ref, ZA_MSG(p_Word, .serial = serial));
    p_trace(model, "    tells a%d %u: %s", to, serial, za_err_name(err));
    p_send(model, entry, to, err);
}

static void move_to(call_t *call, int to)
{
    p_model_t *model = &program.model;
    int entry = p_entry_add(model, P_USER, call->self, call->self);
    uint32_t serial = model->entries[entry].serial;
    p_Word *word = za_new(call->ctx, &p_Word_type, 0);
    if (word == NULL) {
        p_fail(model, "za_new has no memory");
    }
    word->serial = serial;
    void *message = word;
    p_before_send(model, to);
    za_err_t err = za_send(call->ctx, model->actors[to].ref, &message);
    if ((message == NULL) != (err == ZA_OK)) {
        p_fail(model, "za_send answers %s and %s the message", za_err_name(err),
               message == NULL ? "took" : "left");
    }
    p_trace(model, "    moves %u to a%d: %s", serial, to, za_err_name(err));
    p_send(model, entry, to, err);
}

static void ask(call_t *call)
{
    p_model_t *model = &program.model;
    int to = draw_actor(call);
    uint32_t timeout_ms = 1 + (uint32_t)za_rng_below(&call->rng, 6);
    uint64_t now_ms = model->now_ns / P_NS_PER_MS;
    uint64_t left_ms = timeout_ms;
    const p_entry_t *handled = call->entry == P_NOBODY ? NULL : &model->entries[call->entry];
    if (handled != NULL && handled->kind == P_USER && handled->ask != P_NOBODY &&
        handled->deadline_ms - now_ms < left_ms) {
        left_ms = handled->deadline_ms - now_ms;
    }
    uint64_t due_ns = model->now_ns + left_ms * P_NS_PER_MS;
    int index = p_ask_add(model, call->self, model->actors[to].ref, due_ns);
    if (index == P_NOBODY) {
        return;
    }
    int entry = p_entry_add(model, P_USER, call->self, call->self);
    model->entries[entry].ask = index;
    model->entries[entry].deadline_ms = due_ns / P_NS_PER_MS;
    p_before_send(model, to);
    za_err_t err = za_ask(call->ctx, model->actors[to].ref,
                          ZA_MSG(p_Word, .serial = model->entries[entry].serial),
                          .timeout_ms = timeout_ms, .tag = (uint64_t)index + 1);
    p_trace(model, "    asks a%d %u (ask %d, %llu ms): %s", to, model->entries[entry].serial,
            index + 1, (unsigned long long)left_ms, za_err_name(err));
    model->asks[index].open = err == ZA_OK;
    p_send(model, entry, to, err);
}

static void reply(call_t *call)
{
    p_model_t *model = &program.model;
    uint32_t serial = ++model->serials;
    p_trace(model, "    replies %u", serial);
    za_reply(call->ctx, ZA_MSG(p_Answer, .serial = serial));
    if (call->entry == P_NOBODY) {
        model->expected.late_replies++;
    } else {
        p_answer(model, call->entry, call->self, serial);
    }
}

static void forward(call_t *call)
{
    p_model_t *model = &program.model;
    if (call->event->kind != P_EV_MESSAGE) {
        return;
    }
    int to = draw_actor(call);
    int entry = p_entry_add(model, P_USER, P_NOBODY, call->self);
    p_entry_t *handled = &model->entries[call->entry];
    model->entries[entry].serial = handled->serial;
    model->entries[entry].sender = handled->sender;
    model->entries[entry].ask = handled->ask;
    model->entries[entry].deadline_ms = handled->ask != P_NOBODY ? handled->deadline_ms : 0;
    p_before_send(model, to);
    za_err_t err = za_forward(call->ctx, model->actors[to].ref);
    p_trace(model, "    forwards to a%d: %s", to, za_err_name(err));
    if (err == ZA_OK) {
        handled->ask = P_NOBODY;
    }
    p_send(model, entry, to, err);
}

static void keep(call_t *call)
{
    p_model_t *model = &program.model;
    bool may = !call->kept && call->entry != P_NOBODY;
    if (!may) {
        return;
    }
    za_message_t *held = za_keep(call->ctx);
    if (held == NULL) {
        p_fail(model, "a message cannot be kept");
    }
    p_trace(model, "    keeps it");
    call->kept = true;
    model->entries[call->entry].held = held;
    p_list_push(model, &model->actors[call->self].kept, call->entry);
}

static void let_go(call_t *call, bool replies)
{
    p_model_t *model = &program.model;
    p_list_t *kept = &model->actors[call->self].kept;
    if (kept->count == 0) {
        return;
    }
    int index = p_list_take(kept, (uint32_t)za_rng_below(&call->rng, kept->count));
    p_entry_t *entry = &model->entries[index];
    uint32_t serial = ++model->serials;
    p_trace(model, "    %s %u", replies ? "replies to the kept" : "releases the kept",
            entry->serial);
    if (replies) {
        za_reply_kept(call->ctx, &entry->held, ZA_MSG(p_Answer, .serial = serial));
        p_answer(model, index, call->self, serial);
    } else {
        za_release(call->ctx, &entry->held);
        if (index != call->entry && entry->kind == P_USER) { // else when its handler returns
            p_ask_fail(model, entry->ask, za_Reason_REASON_NO_ANSWER);
        }
    }
    entry->held = NULL;
}

static void set_timer(call_t *call, bool repeats)
{
    p_model_t *model = &program.model;
    uint32_t delay_ms = (uint32_t)za_rng_below(&call->rng, 6) + repeats;
    uint64_t span_ns = delay_ms * P_NS_PER_MS;
    p_timer_t *timer =
        p_timer_add(model, call->self, model->now_ns + span_ns, repeats ? span_ns : 0);
    if (timer == NULL) {
        return;
    }
    const p_Tick tick = { .serial = timer->serial };
    za_err_t err = repeats ? za_every(call->ctx, delay_ms, &p_Tick_type, &tick, &timer->handle)
                           : za_after(call->ctx, delay_ms, &p_Tick_type, &tick, &timer->handle);
    p_trace(model, "    timer %u %s %u ms", timer->serial, repeats ? "every" : "after", delay_ms);
    if (err != ZA_OK) {
        p_fail(model, "a timer answers %s", za_err_name(err));
    }
}

static void cancel(call_t *call)
{
    p_model_t *model = &program.model;
    uint32_t start = (uint32_t)za_rng_next(&call->rng) % (model->timer_count + 1);
    for (uint32_t i = 0; i < model->timer_count; i++) {
        p_timer_t *timer = &model->timers[(start + i) % model->timer_count];
        if (timer->actor == call->self && timer->armed) {
            p_trace(model, "    cancels timer %u", timer->serial);
            za_cancel(call->ctx, &timer->handle);
            timer->armed = false;
            return;
        }
    }
}

static void become(call_t *call)
{
    p_actor_t *self = &program.model.actors[call->self];
    self->class_ = 1 - self->class_;
    za_err_t err = self->class_ == 0 ? za_become(call->ctx, first) : za_become(call->ctx, second);
    p_trace(&program.model, "    becomes class %d", self->class_);
    if (err != ZA_OK) {
        p_fail(&program.model, "become answers %s", za_err_name(err));
    }
}

static void watch(call_t *call, bool begins)
{
    p_model_t *model = &program.model;
    int target = draw_actor(call);
    if (target == call->self) {
        return;
    }
    p_trace(model, "    %s a%d", begins ? "watches" : "unwatches", target);
    if (!begins) {
        za_unwatch(call->ctx, model->actors[target].ref);
        p_watch_remove(model, call->self, target);
        return;
    }
    za_err_t err = za_watch(call->ctx, model->actors[target].ref);
    if (err != ZA_OK) {
        p_fail(model, "a watch answers %s", za_err_name(err));
    }
    p_watch_add(model, call->self, target);
}

static void stop_child(call_t *call)
{
    p_model_t *model = &program.model;
    int child = draw_actor(call);
    if (child == call->self) {
        return;
    }
    za_err_t err = za_stop(call->ctx, model->actors[child].ref);
    za_err_t expected = !p_actor_lives(model, child)                ? ZA_EGONE
                        : model->actors[child].parent == call->self ? ZA_OK
                                                                    : ZA_EDENIED;
    p_trace(model, "    stops a%d: %s", child, za_err_name(err));
    if (err != expected) {
        p_fail(model, "a stop answers %s, not %s", za_err_name(err), za_err_name(expected));
    }
}

static void set_quiet(call_t *call)
{
    p_model_t *model = &program.model;
    p_actor_t *self = &model->actors[call->self];
    uint32_t timeout_ms = (uint32_t)za_rng_below(&call->rng, 3) * 4;
    p_trace(model, "    receive timeout %u ms", timeout_ms);
    if (za_receive_timeout(call->ctx, timeout_ms) != ZA_OK) {
        p_fail(model, "a receive timeout is refused");
    }
    self->idle_ms = timeout_ms;
    p_quiet_from(model, call->self);
}

static void join_or_leave(call_t *call)
{
    bool *joined = &program.joined[call->self];
    p_trace(&program.model, "    %s the group", *joined ? "leaves" : "joins");
    if (*joined) {
        za_leave(call->ctx, "g");
    } else if (za_join(call->ctx, "g") != ZA_OK) {
        p_fail(&program.model, "a join is refused");
    }
    *joined = !*joined;
    uint32_t count = 0;
    if (za_members(call->ctx, "g", NULL, 0, &count) != ZA_OK) {
        p_fail(&program.model, "the members of a group are refused");
    }
    if (count > program.model.members_peak) {
        program.model.members_peak = count;
    }
}

/** To each member a message of its own; what one refuses is a dead letter, if another took it. */
static void publish(call_t *call)
{
    p_model_t *model = &program.model;
    za_ref_t refs[P_ACTORS_MAX];
    uint32_t count = 0;
    if (za_members(call->ctx, "g", refs, P_ACTORS_MAX, &count) != ZA_OK) {
        p_fail(model, "the members of a group are refused");
    }
    uint32_t serial = ++model->serials;
    int members[P_ACTORS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        members[i] = p_actor_find(model, refs[i].actor);
        if (members[i] == P_NOBODY || !program.joined[members[i]]) {
            p_fail(model, "a%d is a member of the group and did not join", members[i]);
        }
        p_before_send(model, members[i]);
    }
    za_err_t err = za_publish(call->ctx, "g", ZA_MSG(p_Word, .serial = serial));
    p_trace(model, "    publishes %u to %u: %s", serial, count, za_err_name(err));
    uint32_t refused = 0;
    for (uint32_t i = 0; i < count; i++) {
        p_actor_t *member = &model->actors[members[i]];
        bool refuses = member->overflow == ZA_REJECT && member->bound != 0 &&
                       p_queued(model, members[i]) == member->bound;
        int entry = p_entry_add(model, P_USER, call->self, call->self);
        model->entries[entry].serial = serial;
        refused += refuses;
        p_send(model, entry, members[i], refuses ? ZA_EFULL : ZA_OK);
    }
    if ((err == ZA_OK) != (count == 0 || refused < count)) {
        p_fail(model, "publishing to %u, of whom %u refuse, answers %s", count, refused,
               za_err_name(err));
    }
    if (err == ZA_OK) {
        model->expected.dead_letters += refused;
        model->expected.dead_by_reason[za_Reason_REASON_MAILBOX_FULL] += refused;
    }
}

static void operate(call_t *call, p_op_t op)
{
    switch (op) {
    case P_OP_TELL:
        tell_to(call, draw_actor(call));
        break;
    case P_OP_BURST: {
        int to = draw_actor(call);
        for (uint64_t i = 3 + za_rng_below(&call->rng, 4); i > 0; i--) {
            tell_to(call, to);
        }
        break;
    }
    case P_OP_MOVE: {
        int to = draw_actor(call);
        for (uint64_t i = 1 + za_rng_below(&call->rng, 4); i > 0; i--) {
            move_to(call, to);
        }
        break;
    }
    case P_OP_ASK:
        ask(call);
        break;
    case P_OP_REPLY:
        reply(call);
        break;
    case P_OP_FORWARD:
        forward(call);
        break;
    case P_OP_KEEP:
        keep(call);
        break;
    case P_OP_REPLY_KEPT:
        let_go(call, true);
        break;
    case P_OP_RELEASE:
        let_go(call, false);
        break;
    case P_OP_AFTER:
        set_timer(call, false);
        break;
    case P_OP_EVERY:
        set_timer(call, true);
        break;
    case P_OP_CANCEL:
        cancel(call);
        break;
    case P_OP_UNSTASH:
        p_trace(&program.model, "    unstashes all");
        za_unstash_all(call->ctx);
        p_unstash(&program.model, call->self);
        break;
    case P_OP_BECOME:
        become(call);
        break;
    case P_OP_WATCH:
        watch(call, true);
        break;
    case P_OP_UNWATCH:
        watch(call, false);
        break;
    case P_OP_SPAWN:
        spawn(call->ctx, &call->rng, call->self);
        break;
    case P_OP_STOP_CHILD:
        stop_child(call);
        break;
    case P_OP_STOP_SELF:
        p_trace(&program.model, "    stops itself");
        call->stops = true;
        if (za_stop(call->ctx, za_self(call->ctx)) != ZA_OK) {
            p_fail(&program.model, "za_stop of oneself is refused");
        }
        break;
    case P_OP_QUIET:
        set_quiet(call);
        break;
    case P_OP_GROUP:
        join_or_leave(call);
        break;
    case P_OP_PUBLISH:
        publish(call);
        break;
    default:
        break; // a verdict
    }
}

/** True if the operation is not left out: by its kind, its number, or because there were enough. */
static bool may_do(p_op_t op)
{
    uint32_t number = program.done;
    if (number >= program.budget) {
        return false;
    }
    program.done++;
    return (program.allowed >> op & 1) != 0 &&
           (program.skipped[number / 64] >> number % 64 & 1) == 0;
}

static za_verdict_t draw_verdict(call_t *call)
{
    bool may_stash =
        !call->kept && (call->event->kind == P_EV_MESSAGE || call->event->kind == P_EV_ANSWER ||
                        call->event->kind == P_EV_TICK);
    uint64_t draw = za_rng_below(&call->rng, 40);
    if (draw < 8 && may_stash && may_do(P_OP_STASH)) {
        return ZA_STASH;
    }
    if (draw == 8 && may_do(P_OP_FAIL)) {
        return ZA_FAIL;
    }
    return draw == 9 && may_do(P_OP_STOP) ? ZA_STOP : ZA_DONE;
}

static void note(const p_event_t *event, int actor)
{
    p_model_t *model = &program.model;
    uint64_t parts[] = { (uint64_t)event->kind,   event->serial,   event->tag,
                         (uint64_t)event->reason, (uint64_t)actor, model->now_ns };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        model->hash = za_mix64(model->hash ^ parts[i]);
    }
}

static za_verdict_t handle(za_ctx_t *ctx, peer_t *self, p_event_t event)
{
    p_model_t *model = &program.model;
    int actor = p_actor_find(model, za_self(ctx).actor);
    if (actor == P_NOBODY) {
        p_fail(model, "an actor runs that nobody spawned");
    }
    event.sender = za_sender(ctx);
    event.tag = event.kind == P_EV_ANSWER ? za_tag(ctx) : event.tag;
    note(&event, actor);
    p_trace(model, "a%d on worker %u: %s %u (tag %llu, reason %d)", actor,
            za_worker_index(ctx->worker), p_event_name(event.kind), event.serial,
            (unsigned long long)event.tag, (int)event.reason);
    if ((event.kind == P_EV_STARTED) != (self->mark == 0)) {
        p_fail(model, "a%d: the state is not that of its life", actor);
    }
    self->mark = 1;
    call_t call = { .ctx = ctx, .self = actor, .event = &event };
    call.entry = p_deliver(model, actor, &event);
    za_rng_init(&call.rng,
                za_mix64(program.seed + (uint64_t)actor * 1000003) + model->actors[actor].events);
    bool stopping = event.kind == P_EV_STOPPING;
    za_verdict_t verdict = ZA_DONE;
    for (uint64_t i = za_rng_below(&call.rng, 4); i > 0; i--) {
        p_op_t op = stopping ? P_OP_TELL : (p_op_t)za_rng_below(&call.rng, P_OP_STASH);
        if (may_do(op)) {
            operate(&call, op);
        }
    }
    if (!stopping) {
        verdict = draw_verdict(&call);
    }
    if (verdict != ZA_DONE) {
        p_trace(model, "    answers %s",
                verdict == ZA_STASH  ? "ZA_STASH"
                : verdict == ZA_FAIL ? "ZA_FAIL"
                                     : "ZA_STOP");
    }
    p_settle(model, actor, &event, call.entry, verdict, call.stops);
    return verdict;
}
