/**
 * Model: what the promises of docs/semantics.md make of a program of actors, in plain lists.
 *
 * All of it runs in one thread, so the model knows the exact order in which messages were pushed, and
 * says of each event whether it may come now. What the runtime loses without a handler it finds out
 * from what comes next; at rest and at the end nothing may be left unexplained, and the counters of
 * the runtime must be the model's.
 *
 * Errors  p_fail ends the process: a seed is run in a child, which the explorer replays and shrinks.
 */
#pragma once

#include "core/runtime.h"

enum {
    P_ACTORS_MAX = 24,
    P_LIST_MAX = 512,
    P_ENTRIES_MAX = 4096,
    P_ASKS_MAX = 1024,
    P_TIMERS_MAX = 512,
    P_WATCHES_MAX = 512,
    P_NOBODY = -1,
};

#define P_NS_PER_MS UINT64_C(1000000)

typedef enum p_kind {
    P_USER,
    P_REPLY,
    P_NOTICE, // an answer or a timer that was stashed: only its handler is called again
} p_kind_t;

/** A message on its way, put aside, or kept. */
typedef struct p_entry {
    uint32_t serial;
    p_kind_t kind;
    int ask;              // that it asks, or answers; P_NOBODY: none
    uint64_t deadline_ms; // 0: none
    int sender;           // as the receiver sees it
    int pusher;           // who put it into the mailbox
    bool failed;          // its handler answered ZA_FAIL, and had kept it
    za_message_t *held;
} p_entry_t;

typedef struct p_list {
    uint32_t count;
    uint16_t items[P_LIST_MAX]; // indices of entries, the oldest first
} p_list_t;

typedef enum p_phase { P_STARTING, P_RUNNING, P_BETWEEN, P_DEAD } p_phase_t;

typedef struct p_actor {
    za_ref_t ref;
    int parent;
    p_phase_t phase;
    uint32_t bound; // of the mailbox; 0: so large that it never fills
    za_overflow_t overflow;
    uint32_t stash_max;
    uint32_t restarts_max;
    uint32_t starts; // lives so far
    int class_;
    bool ending; // its handler said so: nothing but za_Stopping may come
    uint32_t events;
    uint32_t idle_ms;       // receive timeout; 0: off
    uint64_t idle_since_ms; // it heard of a user, or of its timeout
    uint64_t idle_seen_ms;  // the first rest at which a tick must have seen that; 0: none yet
    p_list_t queue, stash, replay, kept;
} p_actor_t;

/** Where an open ask is. */
typedef enum p_where {
    P_ASK_UNDERWAY, // in a mailbox, aside, or kept
    P_ASK_ANSWERED, // the answer is in the mailbox of the asker
    P_ASK_FAILED,   // za_Down is due, at once
    P_ASK_LATE,     // lost when its time was up: za_Timeout is due
    P_ASK_LATE_OR_FAILED,
} p_where_t;

typedef struct p_ask {
    int asker;
    uint32_t life; // of the asker
    za_ref_t target;
    uint64_t due_ns;
    bool open;
    p_where_t where;
    za_Reason reason; // P_ASK_FAILED, P_ASK_LATE_OR_FAILED
} p_ask_t;

typedef struct p_timer {
    uint32_t serial;
    int actor;
    uint64_t due_ns;
    uint64_t period_ns; // 0: once
    bool armed;
    za_timer_t handle;
} p_timer_t;

typedef struct p_watch {
    int watcher;
    int target;
    bool open;
} p_watch_t;

/** What came to a handler. */
typedef enum p_event_kind {
    P_EV_STARTED,
    P_EV_STOPPING,
    P_EV_MESSAGE,
    P_EV_ANSWER,
    P_EV_TICK,
    P_EV_TIMEOUT,
    P_EV_DOWN,
    P_EV_QUIET, // za_ReceiveTimeout
} p_event_kind_t;

typedef struct p_event {
    p_event_kind_t kind;
    uint32_t serial; // of messages, answers and ticks
    uint64_t tag;
    za_ref_t ref;
    za_ref_t sender;
    za_Reason reason;
    uint32_t restarts;
    int class_;
} p_event_t;

typedef struct p_model {
    za_runtime_t *runtime;
    uint64_t now_ns;
    uint64_t hash; // of all events
    bool traces;
    uint32_t actor_count, entry_count, ask_count, timer_count, watch_count, serials;
    p_actor_t actors[P_ACTORS_MAX];
    p_entry_t entries[P_ENTRIES_MAX];
    p_ask_t asks[P_ASKS_MAX];
    p_timer_t timers[P_TIMERS_MAX];
    p_watch_t watches[P_WATCHES_MAX];
    uint32_t members_peak; // of the group
    uint64_t late_or_lost; // messages
    za_counters_t expected;
} p_model_t;

/** Says what is wrong and when, and ends the process. */
void p_fail(const p_model_t *model, const char *format, ...) ZA_PRINTF(2, 3)
    __attribute__((noreturn));
/** A line of the trace. */
void p_trace(const p_model_t *model, const char *format, ...) ZA_PRINTF(2, 3);
const char *p_event_name(p_event_kind_t kind);

void p_model_init(p_model_t *model, za_runtime_t *runtime, uint64_t now_ns, bool traces);
int p_actor_find(const p_model_t *model, uint64_t id);
/** True while messages for it are accepted. */
bool p_actor_lives(const p_model_t *model, int actor);
/** NULL: there is room for no more. */
p_actor_t *p_actor_add(p_model_t *model);

/** What came: checks that it may come now. The entry it is; P_NOBODY: a notification. */
int p_deliver(p_model_t *model, int actor, const p_event_t *event);
/** Its handler returned. `stops`: it called za_stop for itself. */
void p_settle(p_model_t *model, int actor, const p_event_t *event, int entry, za_verdict_t verdict,
              bool stops);

/** Before a message is sent: learns what the mailbox let go unheard. */
void p_before_send(p_model_t *model, int to);
/** Messages of users in its mailbox, as far as the model knows. */
uint32_t p_queued(const p_model_t *model, int actor);
/** A new message; then what sending it answered: whether that is right, and what follows from it. */
int p_entry_add(p_model_t *model, p_kind_t kind, int sender, int pusher);
void p_send(p_model_t *model, int entry, int to, za_err_t result);
/** `entry` is answered by `actor` with a new message of that serial. */
void p_answer(p_model_t *model, int entry, int actor, uint32_t serial);
void p_ask_fail(p_model_t *model, int ask, za_Reason reason);
/** P_NOBODY: there is room for no more. */
int p_ask_add(p_model_t *model, int asker, za_ref_t target, uint64_t due_ns);
p_timer_t *p_timer_add(p_model_t *model, int actor, uint64_t due_ns, uint64_t period_ns);
/** Its receive timeout begins anew. */
void p_quiet_from(p_model_t *model, int actor);
void p_watch_add(p_model_t *model, int watcher, int target);
void p_watch_remove(p_model_t *model, int watcher, int target);
void p_unstash(p_model_t *model, int actor);

void p_list_push(p_model_t *model, p_list_t *list, int entry);
/** Takes what stands at `at`. */
int p_list_take(p_list_t *list, uint32_t at);

/** Nothing is left to do at this time. */
void p_check_rest(p_model_t *model);
/** All actors were stopped, and nothing is left to do. */
void p_check_end(p_model_t *model);
