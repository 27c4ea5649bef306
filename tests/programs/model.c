#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/worker.h"
#include "explore.h"

/* ---- saying so ---------------------------------------------------------------------------- */

static void say(const p_model_t *model, char *out, size_t bytes, const char *format, va_list args)
    ZA_PRINTF(4, 0);

static void say(const p_model_t *model, char *out, size_t bytes, const char *format, va_list args)
{
    int used = snprintf(out, bytes, "%9.3f ms  ", (double)model->now_ns / 1e6);
    vsnprintf(out + used, bytes - (size_t)used, format, args);
}

void p_fail(const p_model_t *model, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    say(model, text, sizeof text, format, args);
    va_end(args);
    explore_report(text);
}

void p_trace(const p_model_t *model, const char *format, ...)
{
    if (!model->traces) {
        return;
    }
    char text[512];
    va_list args;
    va_start(args, format);
    say(model, text, sizeof text, format, args);
    va_end(args);
    puts(text);
}

const char *p_event_name(p_event_kind_t kind)
{
    static const char *const names[] = { "started", "stopping", "message", "answer",
                                         "tick",    "timeout",  "down",    "receive timeout" };
    return names[kind];
}

/* ---- lists and parts ---------------------------------------------------------------------- */

void p_model_init(p_model_t *model, za_runtime_t *runtime, uint64_t now_ns, bool traces)
{
    model->runtime = runtime;
    model->now_ns = now_ns;
    model->traces = traces;
    model->hash = UINT64_C(0xcbf29ce484222325);
    model->actor_count = model->entry_count = model->ask_count = 0;
    model->timer_count = model->watch_count = model->serials = model->members_peak = 0;
    model->late_or_lost = 0;
    memset(&model->expected, 0, sizeof model->expected);
}

void p_list_push(p_model_t *model, p_list_t *list, int entry)
{
    if (list->count == P_LIST_MAX) {
        p_fail(model, "a list of the model is full");
    }
    list->items[list->count++] = (uint16_t)entry;
}

int p_list_take(p_list_t *list, uint32_t at)
{
    int entry = list->items[at];
    list->count--;
    memmove(&list->items[at], &list->items[at + 1], (list->count - at) * sizeof list->items[0]);
    return entry;
}

p_actor_t *p_actor_add(p_model_t *model)
{
    if (model->actor_count == P_ACTORS_MAX) {
        return NULL;
    }
    p_actor_t *actor = &model->actors[model->actor_count++];
    actor->phase = P_STARTING;
    actor->starts = actor->events = actor->idle_ms = 0;
    actor->idle_since_ms = actor->idle_seen_ms = 0;
    actor->class_ = 0;
    actor->ending = false;
    actor->queue.count = actor->stash.count = actor->replay.count = actor->kept.count = 0;
    return actor;
}

int p_actor_find(const p_model_t *model, uint64_t id)
{
    for (uint32_t i = 0; i < model->actor_count; i++) {
        if (model->actors[i].ref.actor == id) {
            return (int)i;
        }
    }
    return P_NOBODY;
}

static za_cell_t *cell_of(const p_model_t *model, int actor)
{
    return za_cell_find(model->runtime, model->actors[actor].ref.actor);
}

bool p_actor_lives(const p_model_t *model, int actor)
{
    return za_cell_id(cell_of(model, actor)) == model->actors[actor].ref.actor;
}

static void dead(p_model_t *model, za_Reason reason)
{
    model->expected.dead_letters++;
    model->expected.dead_by_reason[reason]++;
}

/* ---- asks --------------------------------------------------------------------------------- */

void p_ask_fail(p_model_t *model, int ask, za_Reason reason)
{
    if (ask != P_NOBODY && model->asks[ask].open) {
        model->asks[ask].where = P_ASK_FAILED;
        model->asks[ask].reason = reason;
    }
}

int p_ask_add(p_model_t *model, int asker, za_ref_t target, uint64_t due_ns)
{
    if (model->ask_count == P_ASKS_MAX) {
        return P_NOBODY;
    }
    model->asks[model->ask_count] = (p_ask_t){ .asker = asker,
                                               .life = model->actors[asker].starts,
                                               .target = target,
                                               .due_ns = due_ns,
                                               .open = true };
    return (int)model->ask_count++;
}

/** An outcome came to its asker. */
static p_ask_t *ask_of(p_model_t *model, int actor, const p_event_t *event)
{
    if (event->tag == 0 || event->tag > model->ask_count) {
        p_fail(model, "a%d: %s for an ask that nobody made", actor, p_event_name(event->kind));
    }
    p_ask_t *ask = &model->asks[event->tag - 1];
    if (ask->asker != actor || !ask->open || ask->life != model->actors[actor].starts) {
        p_fail(model, "a%d: %s for ask %d, which is over", actor, p_event_name(event->kind),
               (int)event->tag);
    }
    return ask;
}

/* ---- what is lost without a handler ------------------------------------------------------- */

static bool is_late(const p_model_t *model, const p_entry_t *entry)
{
    return entry->kind == P_USER && entry->deadline_ms != 0 &&
           entry->deadline_ms <= model->now_ns / P_NS_PER_MS;
}

/** True if the runtime let it go unheard: counts it. */
static bool passes_unheard(p_model_t *model, const p_entry_t *entry)
{
    if (is_late(model, entry)) {
        dead(model, za_Reason_REASON_TOO_LATE);
        if (entry->ask != P_NOBODY && model->asks[entry->ask].open) {
            model->asks[entry->ask].where = P_ASK_LATE;
        }
        return true;
    }
    if (entry->kind == P_REPLY && !model->asks[entry->ask].open) {
        model->expected.late_replies++;
        return true;
    }
    return false;
}

static bool pass_front(p_model_t *model, p_list_t *list)
{
    if (list->count == 0 || !passes_unheard(model, &model->entries[list->items[0]])) {
        return false;
    }
    p_list_take(list, 0);
    return true;
}

static void lose_all(p_model_t *model, p_list_t *list, za_Reason reason)
{
    while (list->count > 0) {
        const p_entry_t *entry = &model->entries[p_list_take(list, 0)];
        if (reason == za_Reason_REASON_NO_ACTOR && is_late(model, entry)) {
            // Nobody heard whether its turn came before the end.
            model->late_or_lost++;
            if (entry->ask != P_NOBODY && model->asks[entry->ask].open) {
                model->asks[entry->ask].where = P_ASK_LATE_OR_FAILED;
                model->asks[entry->ask].reason = reason;
            }
        } else if (entry->kind == P_USER) {
            dead(model, reason);
            p_ask_fail(model, entry->ask, reason);
        } else if (entry->kind == P_REPLY) {
            model->expected.late_replies++;
        }
    }
}

/** A life ended: what it waited for, and what it held. */
static void end_life(p_model_t *model, int actor)
{
    p_actor_t *self = &model->actors[actor];
    while (self->kept.count > 0) {
        const p_entry_t *entry = &model->entries[p_list_take(&self->kept, 0)];
        if (!entry->failed) {
            dead(model, za_Reason_REASON_NO_ANSWER);
        }
        if (entry->kind == P_USER) {
            p_ask_fail(model, entry->ask,
                       entry->failed ? za_Reason_REASON_FAILED : za_Reason_REASON_NO_ANSWER);
        }
    }
    for (uint32_t i = 0; i < model->timer_count; i++) {
        model->timers[i].armed = model->timers[i].armed && model->timers[i].actor != actor;
    }
    for (uint32_t i = 0; i < model->ask_count; i++) {
        model->asks[i].open = model->asks[i].open && model->asks[i].asker != actor;
    }
    for (uint32_t i = 0; i < model->watch_count; i++) {
        model->watches[i].open = model->watches[i].open && model->watches[i].watcher != actor;
    }
    self->idle_ms = 0;
    self->class_ = 0;
    self->ending = false;
}

static void die(p_model_t *model, int actor)
{
    p_actor_t *self = &model->actors[actor];
    end_life(model, actor);
    lose_all(model, &self->stash, za_Reason_REASON_NO_ACTOR);
    lose_all(model, &self->replay, za_Reason_REASON_NO_ACTOR);
    lose_all(model, &self->queue, za_Reason_REASON_NO_ACTOR);
    self->phase = P_DEAD;
}

/** One that ended before its start was handled says nothing of its end. */
static void find_silent_ends(p_model_t *model)
{
    for (uint32_t i = 0; i < model->actor_count; i++) {
        if (model->actors[i].phase == P_DEAD || p_actor_lives(model, (int)i)) {
            continue;
        }
        if (model->actors[i].phase == P_RUNNING) {
            p_fail(model, "a%u ended and did not hear of it", i);
        }
        die(model, (int)i);
    }
}

/* ---- sending ------------------------------------------------------------------------------ */

int p_entry_add(p_model_t *model, p_kind_t kind, int sender, int pusher)
{
    if (model->entry_count == P_ENTRIES_MAX) {
        p_fail(model, "the model is full");
    }
    model->entries[model->entry_count] = (p_entry_t){ .serial = ++model->serials,
                                                      .kind = kind,
                                                      .ask = P_NOBODY,
                                                      .sender = sender,
                                                      .pusher = pusher };
    return (int)model->entry_count++;
}

static uint32_t count_users(const p_model_t *model, const p_list_t *list)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        count += model->entries[list->items[i]].kind == P_USER;
    }
    return count;
}

void p_before_send(p_model_t *model, int to)
{
    p_actor_t *self = &model->actors[to];
    if (self->bound == 0 || !p_actor_lives(model, to)) {
        return;
    }
    uint32_t truth = za_mailbox_count(&cell_of(model, to)->mailbox, self->bound);
    uint32_t known = count_users(model, &self->queue);
    while (known > truth && pass_front(model, &self->queue)) {
        known = count_users(model, &self->queue);
    }
    if (known != truth) {
        p_fail(model, "a%d: %u messages in the mailbox, not %u", to, truth, known);
    }
}

uint32_t p_queued(const p_model_t *model, int actor)
{
    return count_users(model, &model->actors[actor].queue);
}

static void drop_oldest(p_model_t *model, p_actor_t *self)
{
    uint32_t at = 0;
    while (model->entries[self->queue.items[at]].kind != P_USER) {
        at++;
    }
    const p_entry_t *lost = &model->entries[p_list_take(&self->queue, at)];
    dead(model, za_Reason_REASON_MAILBOX_FULL);
    p_ask_fail(model, lost->ask, za_Reason_REASON_MAILBOX_FULL);
}

/** What the bound made of it. False: it is not in the mailbox. */
static bool admit(p_model_t *model, int entry, int to, za_err_t result)
{
    p_actor_t *target = &model->actors[to];
    uint32_t count = count_users(model, &target->queue);
    bool fits = target->bound == 0 || count < target->bound;
    bool accepts = fits || target->overflow != ZA_REJECT;
    if ((result == ZA_OK) != accepts) {
        p_fail(model, "a%d has %u messages, takes %u, and answers %s", to, count, target->bound,
               za_err_name(result));
    }
    if (fits) {
        return true;
    }
    if (target->overflow == ZA_REJECT) {
        model->expected.rejected++;
        return false;
    }
    if (target->overflow == ZA_DROP_OLDEST) {
        p_list_push(model, &target->queue, entry); // the oldest may be this one
        drop_oldest(model, target);
        model->expected.sent++;
        return false;
    }
    dead(model, za_Reason_REASON_MAILBOX_FULL);
    p_ask_fail(model, model->entries[entry].ask, za_Reason_REASON_MAILBOX_FULL);
    return false;
}

void p_send(p_model_t *model, int entry, int to, za_err_t result)
{
    bool lives = p_actor_lives(model, to);
    if (!lives && result != ZA_EGONE) {
        p_fail(model, "a%d is gone and answers %s", to, za_err_name(result));
    }
    if (lives && result != ZA_OK && result != ZA_EFULL) {
        p_fail(model, "a%d lives and answers %s", to, za_err_name(result));
    }
    if (lives && admit(model, entry, to, result)) {
        model->expected.sent++;
        p_list_push(model, &model->actors[to].queue, entry);
    }
}

void p_answer(p_model_t *model, int entry, int actor, uint32_t serial)
{
    int index = model->entries[entry].ask;
    if (model->entries[entry].kind != P_USER || index == P_NOBODY) {
        model->expected.late_replies++;
        return;
    }
    p_ask_t *ask = &model->asks[index];
    model->entries[entry].ask = P_NOBODY;
    if (!p_actor_lives(model, ask->asker)) {
        dead(model, za_Reason_REASON_NO_ACTOR);
        return;
    }
    if (ask->open) {
        ask->where = P_ASK_ANSWERED;
    }
    int answer = p_entry_add(model, P_REPLY, actor, actor);
    model->entries[answer].serial = serial;
    model->entries[answer].ask = index;
    model->expected.sent++;
    p_list_push(model, &model->actors[ask->asker].queue, answer);
}

/* ---- timers and watches ------------------------------------------------------------------- */

p_timer_t *p_timer_add(p_model_t *model, int actor, uint64_t due_ns, uint64_t period_ns)
{
    if (model->timer_count == P_TIMERS_MAX) {
        return NULL;
    }
    p_timer_t *timer = &model->timers[model->timer_count++];
    *timer = (p_timer_t){ .serial = ++model->serials,
                          .actor = actor,
                          .due_ns = due_ns,
                          .period_ns = period_ns,
                          .armed = true };
    return timer;
}

static void fire(p_model_t *model, int actor, uint32_t serial)
{
    for (uint32_t i = 0; i < model->timer_count; i++) {
        p_timer_t *timer = &model->timers[i];
        if (timer->serial != serial) {
            continue;
        }
        if (timer->actor != actor || !timer->armed) {
            p_fail(model, "a%d: timer %u fires, which is over or cancelled", actor, serial);
        }
        if (timer->due_ns > model->now_ns) {
            p_fail(model, "a%d: timer %u fires %.3f ms early", actor, serial,
                   (double)(timer->due_ns - model->now_ns) / 1e6);
        }
        timer->armed = timer->period_ns != 0;
        if (timer->armed) {
            // The next that is yet to come, in step with the first.
            uint64_t missed = (model->now_ns - timer->due_ns) / timer->period_ns;
            timer->due_ns += (missed + 1) * timer->period_ns;
        }
        return;
    }
    p_fail(model, "a%d: a timer fires that nobody set", actor);
}

void p_quiet_from(p_model_t *model, int actor)
{
    model->actors[actor].idle_since_ms = model->now_ns / P_NS_PER_MS;
    model->actors[actor].idle_seen_ms = 0;
}

static p_watch_t *watch_find(p_model_t *model, int watcher, int target)
{
    for (uint32_t i = 0; i < model->watch_count; i++) {
        p_watch_t *watch = &model->watches[i];
        if (watch->open && watch->watcher == watcher && watch->target == target) {
            return watch;
        }
    }
    return NULL;
}

void p_watch_add(p_model_t *model, int watcher, int target)
{
    if (watch_find(model, watcher, target) != NULL) {
        return;
    }
    if (model->watch_count == P_WATCHES_MAX) {
        p_fail(model, "the model is full");
    }
    model->watches[model->watch_count++] =
        (p_watch_t){ .watcher = watcher, .target = target, .open = true };
}

void p_watch_remove(p_model_t *model, int watcher, int target)
{
    p_watch_t *watch = watch_find(model, watcher, target);
    if (watch != NULL) {
        watch->open = false;
    }
}

static void hear_of_end(p_model_t *model, int actor, const p_event_t *event)
{
    int target = p_actor_find(model, event->ref.actor);
    p_watch_t *watch = target == P_NOBODY ? NULL : watch_find(model, actor, target);
    if (watch == NULL) {
        p_fail(model, "a%d: za_Down of a%d, which it does not watch", actor, target);
    }
    if (p_actor_lives(model, target)) {
        p_fail(model, "a%d: za_Down of a%d, which lives", actor, target);
    }
    watch->open = false;
    const p_list_t *queue = &model->actors[actor].queue;
    for (uint32_t i = 0; i < queue->count; i++) {
        const p_entry_t *entry = &model->entries[queue->items[i]];
        bool open = entry->kind == P_USER ? entry->deadline_ms == 0 : model->asks[entry->ask].open;
        if (entry->pusher == target && open) {
            p_fail(model, "a%d: za_Down of a%d comes before its message %u", actor, target,
                   entry->serial);
        }
    }
}

/* ---- what comes --------------------------------------------------------------------------- */

/** Takes from the list the entry that an event is. */
static int take(p_model_t *model, int actor, p_list_t *list, const p_event_t *event)
{
    while (list->count > 0) {
        const p_entry_t *front = &model->entries[list->items[0]];
        if (front->serial == event->serial && !is_late(model, front)) {
            return p_list_take(list, 0);
        }
        if (!pass_front(model, list)) {
            p_fail(model, "a%d: %s %u comes, message %u is before it", actor,
                   p_event_name(event->kind), event->serial, front->serial);
        }
    }
    p_fail(model, "a%d: %s %u comes twice, late, or from nowhere", actor, p_event_name(event->kind),
           event->serial);
}

static int take_message(p_model_t *model, int actor, const p_event_t *event)
{
    p_actor_t *self = &model->actors[actor];
    int index = take(model, actor, &self->queue, event);
    const p_entry_t *entry = &model->entries[index];
    za_ref_t sender = entry->sender == P_NOBODY ? ZA_REF_NONE : model->actors[entry->sender].ref;
    if (!za_ref_equal(sender, event->sender)) {
        p_fail(model, "a%d: message %u has another sender", actor, event->serial);
    }
    if ((entry->kind == P_REPLY) != (event->kind == P_EV_ANSWER)) {
        p_fail(model, "a%d: message %u is of another kind", actor, event->serial);
    }
    if (entry->kind == P_REPLY) {
        p_ask_t *ask = ask_of(model, actor, event);
        if (ask != &model->asks[entry->ask]) {
            p_fail(model, "a%d: an answer has the tag of another", actor);
        }
        ask->open = false;
        model->entries[index].kind = P_NOTICE;
        model->entries[index].ask = P_NOBODY;
    }
    return index;
}

static void hear_of_failure(p_model_t *model, int actor, const p_event_t *event)
{
    p_ask_t *ask = ask_of(model, actor, event);
    if (ask->where == P_ASK_UNDERWAY) {
        find_silent_ends(model);
    }
    bool may = ask->where == P_ASK_FAILED || ask->where == P_ASK_LATE_OR_FAILED;
    if (!may || ask->reason != event->reason || !za_ref_equal(ask->target, event->ref)) {
        p_fail(model, "a%d: ask %d fails with reason %d; expected %d (state %d)", actor,
               (int)event->tag, (int)event->reason, (int)ask->reason, (int)ask->where);
    }
    ask->open = false;
}

static void start(p_model_t *model, int actor, const p_event_t *event)
{
    p_actor_t *self = &model->actors[actor];
    if ((self->phase != P_STARTING && self->phase != P_BETWEEN) ||
        event->restarts != self->starts || self->starts > self->restarts_max) {
        p_fail(model, "a%d: starts for the %u. time with %u restarts", actor, self->starts + 1,
               event->restarts);
    }
    self->phase = P_RUNNING;
    self->starts++;
}

static int deliver_running(p_model_t *model, int actor, const p_event_t *event)
{
    p_actor_t *self = &model->actors[actor];
    bool is_message = event->kind == P_EV_MESSAGE || event->kind == P_EV_ANSWER;
    if (self->replay.count > 0) {
        while (pass_front(model, &self->replay)) {
        }
    }
    if (self->replay.count > 0) {
        return take(model, actor, &self->replay, event);
    }
    if (is_message) {
        return take_message(model, actor, event);
    }
    switch (event->kind) {
    case P_EV_TICK:
        fire(model, actor, event->serial);
        break;
    case P_EV_TIMEOUT: {
        p_ask_t *ask = ask_of(model, actor, event);
        if (model->now_ns < ask->due_ns) {
            p_fail(model, "a%d: ask %d times out early", actor, (int)event->tag);
        }
        ask->open = false;
        model->expected.timeouts++;
        break;
    }
    case P_EV_DOWN:
        if (event->tag != 0) {
            hear_of_failure(model, actor, event);
        } else {
            hear_of_end(model, actor, event);
        }
        break;
    case P_EV_QUIET: {
        uint64_t now_ms = model->now_ns / P_NS_PER_MS;
        if (self->idle_ms == 0 || now_ms < self->idle_since_ms + self->idle_ms) {
            p_fail(model, "a%d: a receive timeout comes early", actor);
        }
        p_quiet_from(model, actor);
        break;
    }
    default:
        p_fail(model, "a%d: an event of no kind", actor);
    }
    return P_NOBODY;
}

int p_deliver(p_model_t *model, int actor, const p_event_t *event)
{
    p_actor_t *self = &model->actors[actor];
    self->events++;
    model->expected.handled++;
    if (event->kind == P_EV_STARTED) {
        start(model, actor, event);
        return P_NOBODY;
    }
    if (self->phase != P_RUNNING || (self->ending && event->kind != P_EV_STOPPING)) {
        p_fail(model, "a%d: %s comes, but it does not run", actor, p_event_name(event->kind));
    }
    if (event->class_ != self->class_) {
        p_fail(model, "a%d: %s is handled by class %d, not %d", actor, p_event_name(event->kind),
               event->class_, self->class_);
    }
    if (event->kind == P_EV_STOPPING) {
        return P_NOBODY;
    }
    bool stashed = self->replay.count > 0;
    int entry = deliver_running(model, actor, event);
    bool is_answer = event->kind == P_EV_ANSWER && !stashed;
    if (is_answer || (entry != P_NOBODY && model->entries[entry].kind == P_USER)) {
        p_quiet_from(model, actor);
    }
    return entry;
}

/* ---- what follows ------------------------------------------------------------------------- */

void p_unstash(p_model_t *model, int actor)
{
    p_actor_t *self = &model->actors[actor];
    for (uint32_t i = 0; i < self->replay.count; i++) {
        p_list_push(model, &self->stash, self->replay.items[i]);
    }
    self->replay = self->stash;
    self->stash.count = 0;
}

/** Puts it aside; one that is no user's gets an entry, if it had none. */
static void stash(p_model_t *model, int actor, const p_event_t *event, int entry)
{
    p_actor_t *self = &model->actors[actor];
    if (self->stash.count >= self->stash_max) {
        dead(model, za_Reason_REASON_STASH_FULL);
        if (entry != P_NOBODY && model->entries[entry].kind == P_USER) {
            p_ask_fail(model, model->entries[entry].ask, za_Reason_REASON_STASH_FULL);
        }
        return;
    }
    if (entry == P_NOBODY) {
        entry = p_entry_add(model, P_NOTICE, P_NOBODY, P_NOBODY);
        model->entries[entry].serial = event->serial;
    }
    p_list_push(model, &self->stash, entry);
}

static void settle_stopping(p_model_t *model, int actor, bool restarts)
{
    p_actor_t *self = &model->actors[actor];
    if (!restarts) {
        die(model, actor);
        return;
    }
    end_life(model, actor);
    lose_all(model, &self->stash, za_Reason_REASON_NO_ANSWER);
    self->phase = P_BETWEEN;
    model->expected.restarted++;
}

void p_settle(p_model_t *model, int actor, const p_event_t *event, int entry, za_verdict_t verdict,
              bool stops)
{
    p_actor_t *self = &model->actors[actor];
    if (event->kind == P_EV_STOPPING) {
        settle_stopping(model, actor, event->restarts != 0);
        return;
    }
    p_entry_t *message = entry == P_NOBODY ? NULL : &model->entries[entry];
    bool is_kept = message != NULL && message->held != NULL;
    if (verdict == ZA_STASH) {
        stash(model, actor, event, entry);
    } else if (verdict == ZA_FAIL) {
        dead(model, za_Reason_REASON_FAILED);
    }
    if (is_kept) {
        message->failed = verdict == ZA_FAIL;
    } else if (message != NULL && message->kind == P_USER && verdict != ZA_STASH) {
        p_ask_fail(model, message->ask,
                   verdict == ZA_FAIL ? za_Reason_REASON_FAILED : za_Reason_REASON_NO_ANSWER);
    }
    self->ending = verdict == ZA_FAIL || verdict == ZA_STOP || stops;
}

/* ---- checks ------------------------------------------------------------------------------- */

static void check_asks(p_model_t *model)
{
    for (uint32_t i = 0; i < model->ask_count; i++) {
        const p_ask_t *ask = &model->asks[i];
        if (!ask->open || model->actors[ask->asker].phase != P_RUNNING) {
            continue;
        }
        if (ask->due_ns <= model->now_ns) {
            p_fail(model, "a%d: ask %u has no outcome, its time is up", ask->asker, i + 1);
        }
        if (ask->where == P_ASK_FAILED || ask->where == P_ASK_ANSWERED) {
            p_fail(model, "a%d: ask %u is over, and it did not hear of it", ask->asker, i + 1);
        }
    }
}

static void check_timers(p_model_t *model)
{
    for (uint32_t i = 0; i < model->timer_count; i++) {
        const p_timer_t *timer = &model->timers[i];
        if (timer->armed && timer->due_ns <= model->now_ns &&
            model->actors[timer->actor].phase == P_RUNNING) {
            p_fail(model, "a%d: timer %u did not fire", timer->actor, timer->serial);
        }
    }
}

/** A tick of the receive timeout that comes late sees late that nothing came: from the next rest on. */
static void check_quiet(p_model_t *model)
{
    uint64_t now_ms = model->now_ns / P_NS_PER_MS;
    for (uint32_t i = 0; i < model->actor_count; i++) {
        p_actor_t *actor = &model->actors[i];
        if (actor->phase != P_RUNNING || actor->idle_ms == 0) {
            continue;
        }
        uint64_t eighth_ms = actor->idle_ms / 8 + 2; // times are whole milliseconds
        if (actor->idle_seen_ms == 0) {
            actor->idle_seen_ms = now_ms >= actor->idle_since_ms + eighth_ms ? now_ms : 0;
        } else if (now_ms > actor->idle_seen_ms + actor->idle_ms + eighth_ms) {
            p_fail(model, "a%u: no receive timeout came", i);
        }
    }
}

static void check_watches(p_model_t *model)
{
    for (uint32_t i = 0; i < model->watch_count; i++) {
        const p_watch_t *watch = &model->watches[i];
        if (watch->open && model->actors[watch->watcher].phase == P_RUNNING &&
            !p_actor_lives(model, watch->target)) {
            p_fail(model, "a%d: no za_Down of a%d came", watch->watcher, watch->target);
        }
    }
}

void p_check_rest(p_model_t *model)
{
    find_silent_ends(model);
    for (uint32_t i = 0; i < model->actor_count; i++) {
        p_actor_t *actor = &model->actors[i];
        if (actor->phase == P_STARTING && actor->starts == 0 && p_actor_lives(model, (int)i)) {
            p_fail(model, "a%u was spawned and does not start", i);
        }
        if (actor->phase != P_RUNNING) {
            continue;
        }
        if (actor->ending) {
            p_fail(model, "a%u does not end", i);
        }
        while (pass_front(model, &actor->replay) || pass_front(model, &actor->queue)) {
        }
        if (actor->queue.count + actor->replay.count > 0) {
            const p_list_t *list = actor->replay.count > 0 ? &actor->replay : &actor->queue;
            p_fail(model, "a%u: message %u did not come", i, model->entries[list->items[0]].serial);
        }
        p_before_send(model, (int)i);
    }
    check_asks(model);
    check_timers(model);
    check_quiet(model);
    check_watches(model);
}

static void check_count(p_model_t *model, const char *name, uint64_t is, uint64_t expected)
{
    if (is != expected) {
        p_fail(model, "counter %s is %llu, not %llu", name, (unsigned long long)is,
               (unsigned long long)expected);
    }
}

/** Those that were either late or lost with their actor are what the counters say they are. */
static void settle_late(p_model_t *model, const za_counters_t *counters)
{
    za_counters_t *expected = &model->expected;
    uint64_t late = counters->dead_by_reason[za_Reason_REASON_TOO_LATE] -
                    expected->dead_by_reason[za_Reason_REASON_TOO_LATE];
    late = late < model->late_or_lost ? late : model->late_or_lost;
    expected->dead_by_reason[za_Reason_REASON_TOO_LATE] += late;
    expected->dead_by_reason[za_Reason_REASON_NO_ACTOR] += model->late_or_lost - late;
    expected->dead_letters += model->late_or_lost;
}

/** What groups keep: seats for 8, 16 and so on, of each size that was needed. */
static uint64_t seat_blocks(uint32_t members_peak)
{
    uint64_t blocks = members_peak > 0;
    for (uint32_t seats = 8; seats < members_peak; seats *= 2) {
        blocks++;
    }
    return blocks;
}

void p_check_end(p_model_t *model)
{
    p_check_rest(model);
    for (uint32_t i = 0; i < model->actor_count; i++) {
        if (model->actors[i].phase != P_DEAD) {
            p_fail(model, "a%u lives on", i);
        }
    }
    const za_counters_t *expected = &model->expected;
    za_counters_t counters;
    za_runtime_counters(model->runtime, &counters);
    check_count(model, "actors", counters.actors, 0);
    check_count(model, "handled", counters.handled, expected->handled);
    check_count(model, "sent", counters.sent, expected->sent);
    check_count(model, "spawned", counters.spawned, model->actor_count);
    check_count(model, "stopped", counters.stopped, model->actor_count);
    check_count(model, "restarted", counters.restarted, expected->restarted);
    check_count(model, "rejected", counters.rejected, expected->rejected);
    check_count(model, "timeouts", counters.timeouts, expected->timeouts);
    check_count(model, "late_replies", counters.late_replies, expected->late_replies);
    settle_late(model, &counters);
    for (uint32_t i = 0; i < 16; i++) {
        char name[32];
        snprintf(name, sizeof name, "dead_by_reason[%u]", i);
        check_count(model, name, counters.dead_by_reason[i], expected->dead_by_reason[i]);
    }
    check_count(model, "dead_letters", counters.dead_letters, expected->dead_letters);
    uint64_t left = za_pools_blocks_in_use(&model->runtime->pools);
    uint64_t seats = seat_blocks(model->members_peak);
    if (left != seats) {
        p_fail(model, "%lld blocks are left in the pools", (long long)(left - seats));
    }
}
