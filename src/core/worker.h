/**
 * Worker: what one thread of a runtime has, and the functions that the modules of the core share.
 *
 * Threads  A function that takes a za_worker_t is called on the thread of that worker; one that
 *          takes a cell besides is called by the owner of the cell, unless it says otherwise.
 */
#pragma once

#include <string.h>

#include "base/assert.h"
#include "base/rng.h"
#include "core/blob.h"
#include "core/cell.h"
#include "core/ctx.h"
#include "core/dedicated.h"
#include "core/fiber_pool.h"
#include "core/freeze.h"
#include "core/metrics.h"
#include "core/group.h"
#include "core/known.h"
#include "core/moved.h"
#include "core/placed.h"
#include "core/rescue.h"
#include "core/spread.h"
#include "core/timers.h"

enum {
    ZA_RING_RUNS = 1024,       // runnable actors others may steal; more go to a private list
    ZA_RUN_NEXT_BUSY_MAX = 16, // run-next in a row, while somebody waits
    ZA_BACKLOG_PICKS = 8,      // somebody waited through so many picks: worth 40 us of waking
    ZA_INJECT_EVERY = 61, // runs between looks at the injected: prime, so that no pattern locks in
    ZA_SLOT_BLOCK = 64,   // cells a worker takes at once: two pages
    ZA_SLOT_SPARE_MAX = 1024, // free cells a worker keeps; more are shared
    ZA_BATCH_MAX = 64,        // messages pushed at once
    ZA_BATCH_SHARE = 32,      // a batch reserves at most one such part of a mailbox
};

/**
 * Messages of the running handler to one actor, not pushed yet. A handler that tells the same actor
 * again and again pays for the mailbox once for many; they are pushed when the handler returns, when
 * the batch is full, and before anything else that is sent, to whomever.
 */
typedef struct za_batch {
    uint64_t actor;  // 0: none is open
    uint32_t credit; // admitted to the mailbox and not used yet
    uint32_t admitted;
    _Atomic(za_block_t *) *end; // where the next is linked: `first`, or the last one's `next`
    const za_type_t *type;      // of a message that was told: one that can be told so again
    za_cell_t *cell;
    _Atomic(za_block_t *) first;
} za_batch_t;

/** za_ctx_t.after */
enum {
    ZA_AFTER_STOP = 1,   // za_stop of itself
    ZA_AFTER_CHANGE = 2, // other handlers, or messages ahead of the mailbox
};

/** What a handler call knows of itself. */
struct za_ctx {
    za_worker_t *worker;
    za_cell_t *cell;
    za_message_t *message;           // the block being handled; NULL: a notification without one
    _Atomic(const za_type_t *) type; // atomic for the watchdog alone, as body
    _Atomic(const void *) body;
    za_message_t *news; // made by za_new and not sent yet
    uint64_t id;        // of the actor
    uint64_t tag;
    uint64_t told;       // whom the last za_tell was for
    uint64_t told_twice; // whom two in a row were for
    za_message_t *copy;  // of a notification that has no block, if `kept_copy`
    bool kept_copy;      // the handler has kept it
    uint8_t after;       // ZA_AFTER_ bits: what the handler asked for beside its verdict
    bool stopping;       // za_Stopping is handled
    bool signal;         // what is handled comes from the runtime
};

/** A ring of runnable actors: the owner pushes, everybody pops. */
typedef struct za_ring {
    _Alignas(64) _Atomic uint32_t head; // all
    _Alignas(64) _Atomic uint32_t tail; // the owner
    _Atomic(za_cell_t *) cells[ZA_RING_RUNS];
} za_ring_t;

/** Counters of one worker: written by its thread, read by any. Same names as in za_counters_t. */
typedef struct za_tally {
    _Atomic uint64_t sent, spawned, stopped, failed, restarted;
    _Atomic uint64_t rejected, late_replies, timeouts, steals, rescues, parks, wakes;
    _Atomic uint64_t slow_handlers;
    _Atomic uint64_t blobs_refused;
    _Atomic uint64_t dead_by_reason[16];
} za_tally_t;

struct za_worker {
    za_runtime_t *runtime;
    uint32_t index;
    bool guest;
    _Atomic bool idle; // its last turn said ZA_TURN_IDLE
    bool watches;      // one of za_runtime_t.rescuers
    bool sent_remote;  // since the last flush
    bool brisk; // its messages took less than a microsecond each, the last time it was looked
    bool look;  // at the clock, after this run: many messages went by, or each takes long
    uint32_t unlooked; // messages since it last looked
    uint64_t now_ns;
    uint64_t turn_handled;   // before the last turn
    _Atomic uint64_t now_ms; // of the turn; guests read the newest of the workers
    uint64_t next_id;        // of asks, timers, watches
    uint64_t looks;          // at entries on the way to the one wanted: tests hold it to a bound
    uint64_t look_ns;        // idle: when to look around again
    uint64_t watch_ns;       // when to look after the others again
    uint32_t looks_left;     // such looks
    bool saw_busy;           // somebody else was, at the last look
    _Atomic uint32_t runs;   // so far: for ZA_INJECT_EVERY, and for those that watch
    uint32_t hops;           // run-next in a row, while somebody waited
    uint32_t backlog;        // picks in a row that left somebody waiting
    uint32_t inject_at;      // the run before which it looks at the injected again
    za_guard_t guard;        // of the next three
    za_cell_t *run_next;
    za_runs_t fresh;                    // spawned, last in first out
    za_runs_t overflow;                 // what the ring had no room for
    za_runs_t placed;                   // no thief sees them
    _Atomic(const za_cell_t *) running; // for the watchdog; NULL between turns
    za_ctx_t ctx;
    za_batch_t batch;
    za_rng_t rng;
    za_cell_t *slots; // free cells, linked by `next`
    uint32_t slot_count;
    uint32_t slot_fresh; // never used ones of the worker's block
    uint32_t slot_end;
    za_timers_t timers;
    za_pool_t pool;
    _Alignas(64) za_tally_t tally;
    za_ring_t ring;
    za_inbox_t inbox;
    _Atomic uint32_t ended;         // 1: the actor of this dedicated worker did
    za_seen_t seen[ZA_WORKERS_MAX]; // of the others
    bool stamps;                    // the next message sent may be a sample; see za_metrics_stamp
    uint32_t near_slots;            // of near_cells; 0: the long way for all; see find_near
    za_cell_t *near_cells;          // the runtime's
    za_known_t known[ZA_KNOWN_CLASSES];
    za_metrics_t metrics;
};

/** What actors of one class are after they became another; see become.c. */
typedef struct za_behaviour {
    _Atomic uint32_t state; // za_behaviour_state_t
    const za_class_t *spawned;
    const za_class_t *now;
    za_class_t made; // name of the one, handlers of the other
} za_behaviour_t;

typedef enum za_behaviour_state {
    ZA_BEHAVIOUR_FREE,
    ZA_BEHAVIOUR_CLAIMED, // being made by some worker
    ZA_BEHAVIOUR_READY,   // constant from now on
} za_behaviour_state_t;

struct za_runtime {
    za_runtime_config_t config;
    za_remote_t remote; // all NULL without a node
    za_host_t host;
    za_cell_t *cells;
    size_t cells_bytes;
    uint32_t slot_max;
    size_t workers_bytes;
    za_worker_t *workers; // config.workers of them, then the guests, then the dedicated
    za_pools_t pools;
    za_blobs_t blobs;
    za_groups_t *groups;
    za_fiber_pool_t fibers;

    _Alignas(64) _Atomic uint32_t slot_next; // high-water mark
    _Atomic(za_cell_t *) slots_spare;        // chains of free cells
    _Atomic uint32_t guests;                 // ready; each of them below guests_taken
    _Atomic uint32_t guests_taken;
    za_dedicated_t dedicated;
    _Atomic uint32_t stopping;
    _Atomic uint32_t uid_count;
    _Atomic uint64_t uids[ZA_UIDS_MAX];
    _Alignas(64) _Atomic(za_cell_t *) injected; // stack of runnable actors from guests
    _Alignas(64) _Atomic uint32_t idle;         // workers whose last turn said so
    _Atomic uint32_t wake_pending;              // 1: somebody was woken and did not look yet
    _Alignas(64) za_behaviour_t behaviours[ZA_BEHAVIOURS_MAX];
    _Atomic uint32_t rescuers; // idle workers that watch the others
    _Atomic uint32_t rescuing; // 1: one of them is at it
    bool can_rescue;           // there are the fences for it
    za_spread_t spread;
    za_classes_t classes;
    za_samples_t *samples; // ZA_CLASS_NUMBERS of each worker
    size_t samples_bytes;
};

/** Adds to a counter of the own worker. */
#define ZA_TALLY_ADD(worker, name, n)                                                              \
    atomic_store_explicit(                                                                         \
        &(worker)->tally.name, /* relaxed: one writer; readers want a number, not an order */      \
        atomic_load_explicit(&(worker)->tally.name, memory_order_relaxed) + (n),                   \
        memory_order_relaxed)
#define ZA_TALLY(worker, name) ZA_TALLY_ADD(worker, name, 1)

/**
 * What was computed from `pointer` is forgotten. Else the compiler keeps addresses of fields over a
 * call, for which it has no registers left: two stores and two loads for what costs nothing.
 */
#define ZA_FORGET(pointer) __asm__("" : "+r"(pointer))

/* ---- small things ------------------------------------------------------------------------- */

static inline za_cell_t *za_cell_at(za_runtime_t *runtime, uint32_t slot)
{
    return &runtime->cells[slot];
}

static inline uint32_t za_cell_slot(const za_runtime_t *runtime, const za_cell_t *cell)
{
    return (uint32_t)(cell - runtime->cells);
}

/** The cell that `id` names, whoever lives there now; NULL: no cell was ever there. */
static inline za_cell_t *za_cell_find(za_runtime_t *runtime, uint64_t id)
{
    uint32_t slot = za_id_slot(id);
    return slot == 0 || slot >= runtime->slot_max ? NULL : &runtime->cells[slot];
}

/** The living local actor of `id`; NULL: it is gone. The id of a dead cell has slot 0. */
static inline za_cell_t *za_cell_living(za_runtime_t *runtime, uint64_t id)
{
    za_cell_t *cell = za_cell_find(runtime, id);
    return cell != NULL && za_cell_id(cell) == id ? cell : NULL;
}

static inline uint64_t za_worker_next_id(za_worker_t *worker)
{
    return (uint64_t)worker->index << 56 | ++worker->next_id;
}

static inline uint64_t za_ms(const za_worker_t *worker)
{
    // relaxed: the own clock
    return atomic_load_explicit(&worker->now_ms, memory_order_relaxed);
}

/** Of a dedicated worker, by its number. */
static inline uint32_t za_dedicated_index(const za_runtime_t *runtime, uint32_t number)
{
    return runtime->config.workers + ZA_GUESTS_MAX + number;
}

/** What is handled, as the handler's own thread sees it. */
static inline const za_type_t *za_ctx_type(const za_ctx_t *ctx)
{
    return atomic_load_explicit(&ctx->type, memory_order_relaxed); // relaxed: the own
}

static inline const void *za_ctx_body(const za_ctx_t *ctx)
{
    return atomic_load_explicit(&ctx->body, memory_order_relaxed); // relaxed: the own
}

/** relaxed, both: the watchdog wants to know, and needs no order. */
static inline void za_ctx_set(za_ctx_t *ctx, const za_type_t *type, const void *body)
{
    atomic_store_explicit(&ctx->type, type, memory_order_relaxed);
    atomic_store_explicit(&ctx->body, body, memory_order_relaxed);
}

/* ---- runtime.c ---------------------------------------------------------------------------- */

void za_worker_init(za_runtime_t *runtime, uint32_t index);
/** The next of all workers, guests and dedicated workers that were set up; NULL: that was the last. */
za_worker_t *za_worker_each(const za_runtime_t *runtime, uint32_t *cursor);
/** Sends on what was sent to other nodes. */
void za_flush_remote(za_worker_t *worker);

bool za_uid_is_own(const za_runtime_t *runtime, uint64_t node);
/** The uid that this node has now; 0: it has had none yet. */
uint64_t za_uid_now(const za_runtime_t *runtime);

static inline bool za_node_is_here(const za_runtime_t *runtime, uint64_t node)
{
    return node == 0 || za_uid_is_own(runtime, node);
}

/* ---- message.c ---------------------------------------------------------------------------- */

/** The head of a message in a fresh block: `kind` and `bytes`, nothing else. */
static inline za_message_t *za_message_begin(za_block_t *block, za_kind_t kind, size_t bytes)
{
    block->kind = (uint8_t)kind;
    block->flags = 0;
    block->bytes = (uint32_t)bytes;
    return (za_message_t *)(void *)block;
}

/** A block for `bytes` of body, begun. */
static inline za_message_t *za_message_make(za_worker_t *worker, za_kind_t kind, size_t bytes,
                                            za_pool_bound_t bound)
{
    za_block_t *block = za_pool_alloc(&worker->pool, sizeof(za_message_t) + bytes, bound);
    return __builtin_expect(block == NULL, 0) ? NULL : za_message_begin(block, kind, bytes);
}

/** `body`, of that type and so many bytes: both refer to its blobs then. */
static inline void za_message_fill(za_message_t *message, const za_type_t *type, const void *body,
                                   size_t bytes)
{
    message->type = type;
    memcpy(za_body(message), body, bytes);
    if (__builtin_expect(type->bytes != NULL, 0)) {
        za_blobs_retain(message);
    }
}

/** As za_message_unshare, for one that has the flag. */
void za_message_release(za_worker_t *worker, za_message_t *message);

/** Gives up what it refers to; for a message that stays, and becomes another. */
static inline void za_message_unshare(za_worker_t *worker, za_message_t *message)
{
    if (__builtin_expect(message->block.flags & ZA_FLAG_SHARES, 0)) {
        za_message_release(worker, message);
    }
}

static inline void za_message_drop(za_worker_t *worker, za_message_t *message)
{
    za_message_unshare(worker, message);
    za_pool_free(&worker->pool, &message->block);
}

/** A signal without type: its notice must not be lost, so it may go beyond the pool's bound. */
za_message_t *za_signal_make(za_worker_t *worker, za_kind_t kind, uint64_t actor, uint64_t ask,
                             uint64_t reason);
/** Takes a message that nobody will handle: counts it, fails its ask. Not for a queued one. */
void za_message_die(za_worker_t *worker, za_message_t *message, za_Reason reason);
/** Takes a message whose ask, if it has one, gets no answer any more. Not for a queued one. */
void za_message_fail(za_worker_t *worker, za_message_t *message, za_Reason reason);
/** Takes what a dead actor left in its mailbox, or what was sent to one. Not for a queued one. */
void za_message_refuse(za_worker_t *worker, za_message_t *message);
/** As za_message_settle, for one that has a flag or an ask. */
void za_message_settle_rare(za_worker_t *worker, za_cell_t *cell, za_message_t *message);

/** Takes a message that left the mailbox: frees, keeps, fails or arms it again. */
static inline void za_message_settle(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    if (__builtin_expect(message->block.flags == 0 && message->ask == 0, 1)) {
        za_message_drop(worker, message);
    } else {
        za_message_settle_rare(worker, cell, message);
    }
}

/** The decoded form of a ZA_FLAG_RAW message, or why there is none. Leaves `raw` as it is. */
za_err_t za_message_decode(za_worker_t *worker, const za_class_t *class_, za_message_t *raw,
                           za_message_t **out);
void za_dead_letter(za_worker_t *worker, za_Reason reason);

/* ---- sched.c ------------------------------------------------------------------------------ */

/** Makes an actor that was claimed runnable. */
void za_schedule(za_worker_t *worker, za_cell_t *cell);
/**
 * As za_schedule, if the actor runs next: so go conversations. It calls nothing. False: nothing was
 * done, za_schedule finds its place.
 */
static inline bool za_schedule_next(za_worker_t *worker, za_cell_t *cell)
{
    if (__builtin_expect(worker->guest || za_cell_is_placed(cell), 0)) {
        return false;
    }
    bool is_free = za_guard_try_enter(&worker->guard) && worker->run_next == NULL;
    if (is_free) {
        worker->run_next = cell; // a conversation stays here, and wakes nobody
    }
    za_guard_leave(&worker->guard);
    return is_free;
}

/** As za_schedule; ZA_OK, so that it can be the last call of a send, which saves no registers then. */
za_err_t za_schedule_told(za_worker_t *worker, za_cell_t *cell);
/** As za_schedule, behind all that wait: it had its run. */
void za_schedule_last(za_worker_t *worker, za_cell_t *cell);
/** As za_schedule, for one that was just spawned: it runs before older ones. */
void za_schedule_fresh(za_worker_t *worker, za_cell_t *cell);
za_cell_t *za_pick_any(za_worker_t *worker);
/** Somebody waits in the ring for long: another worker is to have it. */
void za_wake_for_backlog(za_worker_t *worker);

static inline uint32_t za_ring_count(const za_ring_t *ring)
{
    // relaxed: a guess; whoever takes something checks
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    return atomic_load_explicit(&ring->tail, memory_order_relaxed) - head;
}

/** 0: nobody waits in the private lists. */
static inline uint32_t za_private_count(const za_worker_t *worker)
{
    return worker->fresh.count | worker->overflow.count | worker->placed.count;
}

/** True if a conversation may go on, though others may wait in the ring. */
static inline bool za_may_hop(za_worker_t *worker)
{
    if (za_ring_count(&worker->ring) == 0) {
        return true;
    }
    if (worker->hops >= ZA_RUN_NEXT_BUSY_MAX) {
        return false;
    }
    if (++worker->hops == ZA_BACKLOG_PICKS) {
        za_wake_for_backlog(worker);
    }
    return true;
}

/** The next actor to run; NULL: none, not even stolen. */
static inline za_cell_t *za_pick(za_worker_t *worker)
{
    uint32_t runs = atomic_load_explicit(&worker->runs, memory_order_relaxed) + 1; // relaxed: ours
    // relaxed: those that watch look whether it changes
    atomic_store_explicit(&worker->runs, runs, memory_order_relaxed);
    za_guard_enter(&worker->guard);
    // A conversation goes on in the short way, for a while if others wait in the ring.
    za_cell_t *next = worker->run_next;
    if (next != NULL && za_private_count(worker) == 0 && runs != worker->inject_at &&
        za_may_hop(worker)) {
        worker->run_next = NULL;
    } else {
        next = za_pick_any(worker);
    }
    za_guard_leave(&worker->guard);
    return next;
}

bool za_has_runs(za_worker_t *worker);
/** Wakes one idle worker, unless one is on its way. */
void za_wake_one(za_worker_t *worker);
/** One from the private lists, oldest first; NULL: they are empty. Inside their guard. */
za_cell_t *za_private_pop(za_worker_t *worker);
/** Takes half of another worker's ring; true if something came. */
bool za_steal_from(za_worker_t *worker, za_worker_t *victim);
/** Workers in a turn, the caller's included. A guess. */
uint32_t za_busy_count(const za_runtime_t *runtime);
/** Leaves all that waits here to the other workers. */
void za_hand_over(za_worker_t *worker);

/** Pushes what the batch holds, and closes it. */
void za_batch_push(za_worker_t *worker);

/** To be called when a handler returned, and before what must not overtake its messages. */
static inline void za_batch_close(za_worker_t *worker)
{
    if (__builtin_expect(worker->batch.actor != 0, 0)) {
        za_batch_push(worker);
    }
}

/** Pushes a message of any kind and schedules. Any thread of a worker. */
static inline void za_cell_push(za_worker_t *worker, za_cell_t *cell, za_message_t *message)
{
    za_batch_close(worker);
    if (za_mailbox_push(&cell->mailbox, message) == ZA_PUSH_WOKE) {
        za_schedule(worker, cell);
    }
}

/** Schedules an idle or suspended actor, after something was left for it beside the mailbox. */
void za_cell_wake(za_worker_t *worker, za_cell_t *cell);
/** Pushes a command, ahead of messages. Any thread of a worker. */
void za_cell_command(za_worker_t *worker, za_cell_t *cell, za_message_t *command);

/* ---- run.c -------------------------------------------------------------------------------- */

/** Runs an actor for a while; afterwards it is idle, suspended or scheduled again. */
void za_cell_run(za_worker_t *worker, za_cell_t *cell);
/**
 * Runs actors up to run number `max` of the turn; answers how many there were then, or
 * ZA_TURN_RUNS_MAX if the turn took long.
 */
uint32_t za_run_actors(za_worker_t *worker, uint32_t runs, uint32_t max);
/** As za_cell_run, for one message at most. */
void za_cell_run_one(za_worker_t *worker, za_cell_t *cell);
const za_handler_t *za_handler_find(const za_class_t *class_, const za_type_t *type);
/** Calls a handler; `message` may be NULL. Sets what follows from the verdict. */
void za_handle(za_worker_t *worker, za_cell_t *cell, za_message_t *message, const za_type_t *type,
               const void *body, uint64_t tag);

/** As za_handle, whatever the actor is. */
void za_handle_plainly(za_worker_t *worker, za_cell_t *cell, za_message_t *message,
                       const za_type_t *type, const void *body, uint64_t tag);
/** What follows when a handler was called: frees what it left, does what its verdict says. */
void za_handled(za_worker_t *worker, za_cell_t *cell, za_message_t *message, za_verdict_t verdict);

/* ---- known.c ------------------------------------------------------------------------------ */

/** What there is to know of a class. Valid until the next call. */
static inline const za_known_t *za_known(za_worker_t *worker, const za_class_t *class_)
{
    uintptr_t at = (uintptr_t)class_;
    za_known_t *entry = &worker->known[(at >> 3 ^ at >> 7) % ZA_KNOWN_CLASSES];
    return entry->class_ == class_ ? entry : za_known_learn(worker, entry, class_);
}

/* ---- spawn.c ------------------------------------------------------------------------------ */

/** `parent` NULL: a root actor of `owner`. */
za_err_t za_cell_spawn(za_worker_t *worker, za_cell_t *parent, za_ref_t owner,
                       const za_class_t *class_, const za_spawn_opts_t *opts, za_ref_t *out);
/** The extra record, made if there is none; NULL: the pool is empty. */
za_extra_t *za_cell_extra(za_worker_t *worker, za_cell_t *cell);
/** Frees state and extra record. */
void za_cell_free_parts(za_worker_t *worker, za_cell_t *cell);
/** Returns a dead cell's slot. */
void za_slot_free(za_worker_t *worker, za_cell_t *cell);
/** Shares all free slots of a worker that may do nothing for a long time. */
void za_slots_give_back(za_worker_t *worker);

/* ---- supervise.c -------------------------------------------------------------------------- */

/** Handles za_Started or the arguments. */
void za_cell_start(za_worker_t *worker, za_cell_t *cell);
/** The actor failed: restarts or ends. Takes effect in za_cell_step. */
void za_cell_fail(za_worker_t *worker, za_cell_t *cell);
/** As za_cell_fail, for what another actor's end did to it. */
void za_cell_exit(za_worker_t *worker, za_cell_t *cell, za_Reason reason);
/** The actor ends, unless it does already. Takes effect in za_cell_step. */
void za_cell_end(za_worker_t *worker, za_cell_t *cell, za_Reason reason);
/** The actor stopped by itself: ends, or restarts if it is permanent. */
void za_cell_quit(za_worker_t *worker, za_cell_t *cell);
/** The next life of an actor begins, after its backoff if there is one. */
void za_cell_resume(za_worker_t *worker, za_cell_t *cell, bool backs_off);
/** Takes commands and reaps children. */
void za_cell_obey(za_worker_t *worker, za_cell_t *cell);
/**
 * Ends an actor that stops, if `head`, which it has handled, is all that it leaves behind: nobody is to
 * be told. The head stays for the caller to let go. False: nothing was done, za_cell_step does it.
 */
bool za_cell_end_bare(za_worker_t *worker, za_cell_t *cell, const za_message_t *head);
/** Goes on with an actor that is not running. False: it waits for a command. */
bool za_cell_step(za_worker_t *worker, za_cell_t *cell);

/* ---- strategy.c --------------------------------------------------------------------------- */

/** A child's old life is gone: if it is restarted together with others it is halted now. */
bool za_strategy_halt(za_worker_t *worker, za_cell_t *cell);
/** A child has started, or ends: gives back the token it holds, if any. */
void za_strategy_answer(za_worker_t *worker, za_cell_t *cell);
/** A command of the parent came to a child. Takes it. */
void za_strategy_told(za_worker_t *worker, za_cell_t *cell, za_message_t *token);
/** A command of a child came to its parent. Takes it. */
void za_strategy_heard(za_worker_t *worker, za_cell_t *cell, za_message_t *token);
/** A child is about to leave the list of children. */
void za_strategy_reaped(za_worker_t *worker, za_extra_t *extra, const za_cell_t *child);
/** All children there are now stop, the youngest first. */
void za_strategy_stop_all(za_extra_t *extra);
/** After commands were taken. */
void za_strategy_step(za_worker_t *worker, za_extra_t *extra);
/** A life of the parent ended, and its children are gone. */
void za_strategy_reset(za_extra_t *extra);

/* ---- link.c ------------------------------------------------------------------------------- */

/** A link came to an actor that lives: takes it. Not for a queued one. */
void za_link_join(za_worker_t *worker, za_cell_t *cell, za_message_t *link);
/** A link came to an actor that is gone: its block becomes the za_Exit. Takes it. */
void za_link_answer(za_worker_t *worker, za_message_t *link, za_Reason reason);
/** A life of the actor ends: tells all it is linked to. */
void za_links_end(za_worker_t *worker, za_cell_t *cell, za_Reason reason);
/** A ZA_KIND_EXIT came out of the mailbox. */
void za_exit_received(za_worker_t *worker, za_cell_t *cell, const za_message_t *message);
/** As za_runtime_deliver, for a za_ExitSignal. */
void za_exit_deliver(za_worker_t *worker, const za_incoming_t *incoming, za_message_t *message,
                     size_t size);

/* ---- idle.c ------------------------------------------------------------------------------- */

/** A tick of the receive timeout came out of the mailbox. */
void za_idle_tick(za_worker_t *worker, za_cell_t *cell, za_message_t *tick);

/* ---- become.c ----------------------------------------------------------------------------- */

/** A restart: the handlers are those it was spawned with. */
void za_become_reset(za_cell_t *cell);

/* ---- stash.c ------------------------------------------------------------------------------ */

/**
 * Stashes what is handled; `message` NULL: a copy of the notification. REASON_NONE, or why it is
 * lost: then nothing was done.
 */
za_Reason za_stash_put(za_worker_t *worker, za_cell_t *cell, za_message_t *message);
/** What is stashed becomes dead letters. */
void za_stash_reset(za_worker_t *worker, za_cell_t *cell);
/**
 * Puts all of `older` ahead of what is replayed already, and that ahead of the mailbox: handled as if
 * they just left it. The actor has an extra record.
 */
void za_cell_replay(za_cell_t *cell, za_aside_t *older);

/* ---- ask.c, watch.c, time.c --------------------------------------------------------------- */

/** A timer or ask record of the actor, under its id; NULL if it was given up. */
za_message_t *za_record_get(const za_cell_t *cell, uint64_t id);
void za_record_forget(za_cell_t *cell, uint64_t id);
/** Puts the record into the table under its `ask` and arms it; on an error it is freed. */
za_err_t za_record_begin(za_worker_t *worker, za_cell_t *cell, za_message_t *record);
/** Ends all timers, asks, kept messages and watches of an actor. */
void za_records_clear(za_worker_t *worker, za_cell_t *cell);
/** Cancels and frees a record that is no longer in the table. */
void za_record_cancel(za_worker_t *worker, za_message_t *record);
/** Opens an ask of the running actor; on ZA_OK `*out` is its record, armed and in the table. */
za_err_t za_ask_open(za_ctx_t *ctx, za_ref_t to, uint32_t timeout_ms, uint64_t tag,
                     za_message_t **out);
/** What is to be sent for it, without type and body. */
za_outgoing_t za_ask_outgoing(const za_ctx_t *ctx, const za_message_t *record);
/** It could not be sent. */
void za_ask_undo(za_ctx_t *ctx, za_message_t *record);
/** A reply came for `id`: ends the ask. False: nobody waits for it. */
bool za_ask_end(za_worker_t *worker, za_cell_t *cell, uint64_t id, za_ask_record_t *out);
/** A signal in the mailbox that is about asks. */
void za_ask_failed(za_worker_t *worker, za_cell_t *cell, const za_message_t *signal);
/** Its answer came, and no handler could be called with it. */
void za_ask_unheard(za_worker_t *worker, za_cell_t *cell, const za_ask_record_t *ask,
                    za_Reason reason);
void za_ask_timed_out(za_worker_t *worker, za_cell_t *cell, za_message_t *record);
/** Arms a timer on this worker, as za_timers_arm. */
za_err_t za_worker_arm(za_worker_t *worker, za_message_t *timer);
/** Delivers what is due. */
void za_timers_fire(za_worker_t *worker);
/** Delivers what is due on another worker, which keeps away meanwhile. */
void za_timers_fire_for(za_worker_t *worker, za_worker_t *other);

/**
 * Of a watch or a link that `ctx` makes: `*actor` resolved, with node 0 if it is here, and where `ctx` keeps
 * such things.
 */
ZA_MUST_USE za_err_t za_watch_target(za_ctx_t *ctx, za_ref_t *actor, za_extra_t **extra);
/** Hands a watch to its local target, or answers it, if that is gone. Takes it. */
void za_watch_hand(za_worker_t *worker, za_message_t *watch);
/** Answers a watch: its block becomes the za_Down. Takes it. */
void za_watch_answer(za_worker_t *worker, za_message_t *watch, za_Reason reason);
/** A za_Down came to the watcher. */
void za_watch_fired(za_worker_t *worker, za_cell_t *cell, const za_message_t *down);
void za_watches_clear(za_worker_t *worker, za_cell_t *cell);

/* ---- publication.c ------------------------------------------------------------------------ */

/** As za_runtime_deliver, for a za_Publication. */
void za_publication_deliver(za_worker_t *worker, const za_incoming_t *incoming,
                            za_message_t *message, size_t size);

/* ---- send.c ------------------------------------------------------------------------------- */

/** Copies and pushes to a local actor, as za_outgoing_t says. */
za_err_t za_send_local(za_worker_t *worker, const za_outgoing_t *out, za_kind_t kind);
/** Pushes the block itself to a local actor; on an error it is as before, and still the caller's. */
za_err_t za_send_moved(za_worker_t *worker, const za_outgoing_t *out, za_message_t *message);
/** Takes a message out of the handler's list; NULL if it is not there: not from za_new. */
za_message_t *za_new_take(za_ctx_t *ctx, void *body);
/** As za_resolve_any, for a logical reference. */
za_err_t za_resolve_named(za_worker_t *worker, za_ref_t *ref);

/** A logical reference becomes that of its holder; any other stays. On an error it is as before. */
static inline za_err_t za_resolve_any(za_worker_t *worker, za_ref_t *ref)
{
    return __builtin_expect(za_ref_is_named(*ref), 0) ? za_resolve_named(worker, ref) : ZA_OK;
}

/** So many messages were handed to other nodes: they leave at the end of the turn. */
void za_sent_remote(za_worker_t *worker, uint32_t count);
/** Local or remote; `to` may be a logical reference. */
za_err_t za_send_any(za_worker_t *worker, const za_outgoing_t *out);
void za_log_line(za_worker_t *worker, const za_cell_t *cell, uint64_t id, int level,
                 const char *format, ...) ZA_PRINTF(5, 6);
