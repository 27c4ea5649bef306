/**
 * Runtime: the actors, workers and memory of one node. It does not know that other nodes exist: what
 * leaves the node goes to the hooks of za_remote_t, and a host drives the workers.
 *
 * The seam  A host calls za_worker_turn with the time and implements za_host_t. Host 1 is
 *           core/threads.h (worker threads, futex); host 2 is src/sim (one thread, virtual time).
 * Order     Messages and notifications of one sender to one receiver stay in order.
 * Memory    Everything comes from pools of the runtime; see core/pool.h.
 * Threads   A za_worker_t belongs to the thread that runs its turn. A *guest* worker runs no actor:
 *           it is the sending identity of a thread that is none of the workers (keeper, foreign).
 *           A *dedicated* worker is a guest that runs one actor; see core/dedicated.h.
 */
#pragma once

#include <zactor/actor.h>

#include "base/histogram.h"

#include "base/numa.h"

typedef struct za_runtime za_runtime_t;
typedef struct za_worker za_worker_t;

/** What every sender, local or not, hands over: one message and where it goes. */
typedef struct za_outgoing {
    za_ref_t to;
    za_ref_t sender; // none, or a reference as the sending node sees it
    const za_type_t *type;
    const void *body; // a block of za_type_extent(type, body) bytes; the callee copies or encodes
    uint64_t ask;     // correlation id; 0: no answer is expected
    uint64_t deadline_ms; // on this node's clock; 0: none
    bool reply;           // it answers `ask` instead of asking
} za_outgoing_t;

/**
 * What leaves the node. All calls come from a worker's turn or from a guest's call; they must not
 * block. `context` is za_runtime_config_t's remote_context.
 */
typedef struct za_remote {
    za_err_t (*send)(void *context, za_worker_t *worker, const za_outgoing_t *message);
    /** `watcher` (local) watches `target` (remote). Its end comes back by za_runtime_down. */
    za_err_t (*watch)(void *context, za_worker_t *worker, za_ref_t watcher, uint64_t watch_id,
                      za_ref_t target);
    void (*unwatch)(void *context, za_worker_t *worker, za_ref_t watcher, uint64_t watch_id,
                    za_ref_t target);
    /**
     * A local actor ended that za_runtime_watch watches, or za_runtime_link links, for `watcher` on
     * another node; with REASON_NONE: it unlinked.
     */
    void (*down)(void *context, za_worker_t *worker, za_ref_t watcher, uint64_t watch_id,
                 za_ref_t target, za_Reason reason);
    /** As watch, and the other way round: `maker` (local) is linked to `target` (remote). */
    za_err_t (*link)(void *context, za_worker_t *worker, za_ref_t maker, uint64_t link_id,
                     za_ref_t target);
    /** A life of `maker` ended for `reason`, or with REASON_NONE: it unlinked. */
    void (*unlink)(void *context, za_worker_t *worker, za_ref_t maker, uint64_t link_id,
                   za_ref_t target, za_Reason reason);
    /** A message of another node's ask was lost here: tell the asker. */
    void (*ask_failed)(void *context, za_worker_t *worker, za_ref_t asker, uint64_t ask,
                       za_Reason reason);
    /** An actor that uses node services (names, remote children, membership) is ending. */
    void (*stopped)(void *context, za_worker_t *worker, za_ref_t actor, za_Reason reason);
    /** An actor started whose class handles one of the membership messages. */
    void (*started)(void *context, za_worker_t *worker, za_ref_t actor, const za_class_t *class_);
    /** za_stop of an actor that is no local child of `parent`. NULL: ZA_EDENIED. */
    za_err_t (*stop)(void *context, za_worker_t *worker, za_ref_t parent, za_ref_t actor);
    /** A local actor is being spawned under a name; an error undoes the spawn. */
    za_err_t (*named)(void *context, za_worker_t *worker, za_ref_t actor, const char *name);
    /** A local actor joined a group, or wants other meta beside its membership. An error undoes that. */
    za_err_t (*joined)(void *context, za_worker_t *worker, za_ref_t actor, const char *group,
                       const za_join_opts_t *opts);
    /** It left one by itself. */
    void (*left)(void *context, za_worker_t *worker, za_ref_t actor, const char *group);
    /**
     * One message to `count` members of a group that live on one other node; `message` says all but
     * to whom. Answers how many it was sent to, and in *refused why not to others.
     */
    uint32_t (*fan_out)(void *context, za_worker_t *worker, const za_outgoing_t *message,
                        const char *group, const za_ref_t *members, uint32_t count,
                        za_err_t *refused);
    /** The bit of a role that nodes have; 0: none has it. */
    uint64_t (*role)(void *context, const char *role);
    /** The bits of that node's roles; of this one's, if it is 0. */
    uint64_t (*roles_of)(void *context, uint64_t node);
    /** True if that node is unreachable; if any is, with 0. Any thread. */
    bool (*unreachable)(void *context, uint64_t node);
    /** Who holds the name that a logical reference means (`name` is its `actor`). ZA_ENOENT. */
    za_err_t (*resolve)(void *context, uint64_t name, za_ref_t *out);
    /** Called at the end of a turn in which `send` was called. */
    void (*flush)(void *context, za_worker_t *worker);
    /** One line of log; `actor` may be none. */
    void (*log)(void *context, int level, const char *class_name, za_ref_t actor, const char *text);
} za_remote_t;

/** What a host does for the runtime. */
typedef struct za_host {
    /** There is work for `worker`, which may be parked; or for any, if `worker` is NULL. */
    void (*wake)(void *context, za_worker_t *worker);
    /**
     * Starts a thread that calls za_dedicated_turn until that says ZA_TURN_OVER; `worker` may be
     * dedicated again from then on. NULL: there are no threads. On any error nothing was started.
     */
    za_err_t (*dedicate)(void *context, za_worker_t *worker, size_t stack_bytes);
    /** The clock that za_worker_turn is told, for samples. NULL: time stands still in a turn. */
    uint64_t (*clock_ns)(void);
    /** The time now, cheaply: a few ms old at most. NULL: none passes during a turn. */
    uint64_t (*recent_ns)(void *context);
} za_host_t;

typedef struct za_runtime_config {
    uint32_t workers;              // 1..ZA_WORKERS_MAX
    uint32_t actors_max;           // cells reserved; address space only until used
    uint64_t pool_bytes_max;       // messages, states and records together
    uint64_t pool_class_bytes_max; // of them in blocks of one size; 0: seven eighths
    uint64_t blob_bytes_max;       // of all blobs; 0: ZA_BLOBS_BYTES_DEFAULT
    uint64_t blob_map_bytes;       // blobs from so many on have pages of their own; 0: 256 KiB
    uint32_t mailbox_default;      // user messages
    uint32_t fibers_max;           // actors with a stack of their own; 0: ZA_FIBERS_DEFAULT
    uint32_t fibers_guarded_max;   // of them with a guard page; 0: ZA_FIBERS_GUARDED_DEFAULT
    uint64_t seed;
    const za_remote_t *remote; // NULL: references to other nodes answer ZA_ENOROUTE
    void *remote_context;
    const za_host_t *host;
    void *host_context;
    za_node_t *node;       // for za_ctx_node
    const za_numa_t *numa; // outlives the runtime; NULL: memory lies where it is touched first
} za_runtime_config_t;

za_err_t za_runtime_create(const za_runtime_config_t *config, za_runtime_t **out);
/** No worker may be in a turn. Frees every actor without running handlers. */
void za_runtime_destroy(za_runtime_t *runtime);

/** A uid that this node has or had: references to it are local. From one thread at a time. */
void za_runtime_add_uid(za_runtime_t *runtime, uint64_t uid);
/** The message type of that wire id among those the class handles; NULL: none. */
const za_type_t *za_class_type(const za_class_t *class_, uint32_t id);
/** In a decoded body: node 0 becomes `from_uid`, an own uid becomes 0. */
void za_runtime_resolve_refs(const za_runtime_t *runtime, const za_type_t *type, void *body,
                             uint64_t from_uid);

za_worker_t *za_runtime_worker(za_runtime_t *runtime, uint32_t index);
/** A guest for one more thread; ZA_GUESTS_MAX at most. NULL if none is left. */
za_worker_t *za_runtime_guest(za_runtime_t *runtime);

typedef enum za_turn {
    ZA_TURN_IDLE, // nothing to do until a wake or the deadline
    ZA_TURN_MORE, // more to do now
    ZA_TURN_OVER, // of a dedicated worker: it was the last
} za_turn_t;

/** Fires due timers, runs a bounded number of actors, flushes. `now_ns` never goes back. */
za_turn_t za_worker_turn(za_worker_t *worker, uint64_t now_ns);
/** As za_worker_turn, for a dedicated worker: one message of its actor. */
za_turn_t za_dedicated_turn(za_worker_t *worker, uint64_t now_ns);
/**
 * The thread of this worker stays on `core` from now on: what the worker takes from the system comes
 * from the memory near it. On that thread, before its first turn.
 */
void za_worker_place(za_worker_t *worker, uint32_t core);
/**
 * Between turns: the host looks at za_worker_has_mail until za_worker_await, and needs no wake for
 * what is handed to this worker alone.
 */
void za_worker_attend(za_worker_t *worker);
bool za_worker_has_mail(const za_worker_t *worker);
/**
 * Runs what was handed in, at the time of the last turn or touch: what a host that looks all the
 * time does instead of a turn. True: there is more to do, in a turn.
 */
bool za_worker_run_mail(za_worker_t *worker);
/** True if what it sent to other nodes is still to be flushed, by a turn. */
bool za_worker_has_sent(const za_worker_t *worker);
/** Ends za_worker_attend. False: something came; it needs a turn. */
bool za_worker_await(za_worker_t *worker);
/** Tells a worker the time between its turns: after a wait, before it delivers what came. */
void za_worker_touch(za_worker_t *worker, uint64_t now_ns);
/** When the next timer of this worker is due; UINT64_MAX if none. */
uint64_t za_worker_deadline_ns(const za_worker_t *worker);
/** Tells a worker between its turns that it rests from now on: the time until then was busy. */
void za_worker_rest(za_worker_t *worker, uint64_t now_ns);
uint64_t za_worker_now_ms(const za_worker_t *worker);
uint32_t za_worker_index(const za_worker_t *worker);

/* ---- for the node: sending into the runtime ------------------------------------------------ */

/** A free block with room for `bytes` of body; NULL: the pool is empty or `bytes` over the limit. */
za_message_t *za_message_alloc(za_worker_t *worker, size_t bytes);
void za_message_free(za_worker_t *worker, za_message_t *message);
void *za_message_body(za_message_t *message);

/** What arrived from another node for a local actor: encoded, decoded by the worker that runs it. */
typedef struct za_incoming {
    uint64_t actor;  // of this node
    za_ref_t sender; // node: the peer's uid
    uint32_t type_id;
    uint64_t ask;
    bool reply;
    uint32_t budget_ms; // remaining time; 0: none
    uint64_t from_uid;  // whom node 0 in za.Ref fields of the body means
} za_incoming_t;

/**
 * Delivers `message` (a block whose body holds `size` encoded bytes); always takes it. What cannot
 * be delivered is a dead letter, counted, and fails its ask.
 */
void za_runtime_deliver(za_worker_t *worker, const za_incoming_t *incoming, za_message_t *message,
                        size_t size);
/** Local delivery with any sender, or none: what za_node_tell does. */
za_err_t za_runtime_tell(za_worker_t *worker, const za_outgoing_t *message);
/** A runtime notification to a local actor (za_MemberUp, za_Spawned ...): outside the bound. */
za_err_t za_runtime_notify(za_worker_t *worker, uint64_t actor, const za_type_t *type,
                           const void *body);
/** The far end of a local actor's watch: fires it if it is still there. */
void za_runtime_down(za_worker_t *worker, za_ref_t watcher, uint64_t watch_id, za_ref_t target,
                     za_Reason reason);
/** A message of a local actor's ask was lost on another node. */
void za_runtime_ask_failed(za_worker_t *worker, uint64_t actor, uint64_t ask, za_Reason reason);
/** Fails all asks of local actors that are open towards node `uid`. */
void za_runtime_fail_asks(za_worker_t *worker, uint64_t uid, za_Reason reason);
/** Why an ask has no answer, as the error that a caller who waits for it gets. */
za_err_t za_reason_err(za_Reason reason);
/** Watches local `target` for `watcher` on another node: za_remote_t.down answers, at once if gone. */
za_err_t za_runtime_watch(za_worker_t *worker, za_ref_t watcher, uint64_t watch_id,
                          uint64_t target);
void za_runtime_unwatch(za_worker_t *worker, za_ref_t watcher, uint64_t watch_id, uint64_t target);

/** Links local `target` with `maker` on another node: za_remote_t.down answers, at once if gone. */
za_err_t za_runtime_link(za_worker_t *worker, za_ref_t maker, uint64_t link_id, uint64_t target);
/** The far end of a local actor's link, whoever made it; REASON_NONE: it is unlinked. */
void za_runtime_exit(za_worker_t *worker, uint64_t actor, za_ref_t from, uint64_t link_id,
                     za_Reason reason);

/** A root actor, or the local incarnation of another node's child (`owner` is then its parent). */
za_err_t za_runtime_spawn(za_worker_t *worker, const za_class_t *class_,
                          const za_spawn_opts_t *opts, za_ref_t owner, za_ref_t *out);
/** Stops any local actor, in the order of commands (ahead of its messages). */
void za_runtime_stop_actor(za_worker_t *worker, uint64_t actor, za_Reason reason);
/** Stops all root actors and refuses sends and spawns from outside with ZA_ESTOPPING. */
void za_runtime_stop_all(za_worker_t *worker);
/**
 * A member of a group that lives on another node; twice is once. ZA_ENOBUFS at a limit of groups, or
 * if the pool is empty. One thread at a time.
 */
za_err_t za_runtime_group_add(za_worker_t *worker, const char *name, za_ref_t member);
void za_runtime_group_remove(za_worker_t *worker, const char *name, za_ref_t member);
/** True if that actor of this node has not ended. */
bool za_runtime_has(za_runtime_t *runtime, uint64_t actor);
/** Marks an actor as user of node services: za_remote_t.stopped is called when it ends. */
void za_runtime_attach(za_worker_t *worker, uint64_t actor);

/* ---- looking in ---------------------------------------------------------------------------- */

typedef struct za_actor_info {
    za_ref_t ref;
    za_ref_t parent;
    const char *class_name;
    uint32_t queued;
    uint32_t mailbox_max;
    uint32_t restarts;
    uint64_t handled;
} za_actor_info_t;

/** Calls `visit` for live actors in slot order from slot `*cursor`; false from `visit` ends it. */
void za_runtime_each_actor(za_runtime_t *runtime, uint64_t *cursor,
                           bool (*visit)(const za_actor_info_t *info, void *context),
                           void *context);

/** Counters, summed over workers; each is exact. */
typedef struct za_counters {
    uint64_t handled, sent, spawned, stopped, failed, restarted;
    uint64_t rejected;           // ZA_EFULL answers
    uint64_t dead_letters;       // all of them; by reason below
    uint64_t dead_by_reason[16]; // indexed by za_Reason
    uint64_t late_replies, timeouts;
    uint64_t actors;              // alive now
    uint64_t pool_bytes;          // taken from the system
    uint64_t blob_bytes;          // of all blobs now
    uint64_t blobs_refused;       // at the bound of all blobs
    uint64_t pool_refused;        // allocations that found the pool at a bound
    uint64_t pool_bytes_unplaced; // of them: not on the memory node where they belong
    uint64_t steals, rescues, parks, wakes;
    uint64_t slow_handlers; // over the watchdog's limit
} za_counters_t;

void za_runtime_counters(const za_runtime_t *runtime, za_counters_t *out);

/** What one worker did. Counts are exact; gauges are of the end of its last turn. */
typedef struct za_worker_metrics {
    uint64_t handled; // messages
    uint64_t turns;
    uint64_t busy_ns; // in turns and between those that follow at once
    uint64_t steals, parks, wakes;
    uint64_t runnable; // actors that wait for their run
    uint64_t timers;   // armed
} za_worker_metrics_t;

/** False: there is no worker `index`; they are numbered from 0. Any thread. */
bool za_runtime_worker_metrics(const za_runtime_t *runtime, uint32_t index,
                               za_worker_metrics_t *out);

/**
 * What actors of one class did, on all workers. `handled` is exact; the histograms are of samples,
 * one run in about 2,000 and more of long ones (core/metrics.h), and mergeable (base/histogram.h).
 * An actor with a thread of its own is counted, and not sampled.
 */
typedef struct za_class_metrics {
    const char *name;          // as za_runtime_class_name
    uint64_t handled;          // messages
    za_histogram_t latency_ns; // from send, or arrival at this node, to the start of the handler;
                               // of messages without a deadline
    za_histogram_t run_ns;     // of one run: up to ZA_RUN_MESSAGES_MAX messages
    za_histogram_t queued; // messages in the mailbox when a run begins, that of the run included
} za_class_metrics_t;

/**
 * Classes are numbered from 0 in the order of their first spawn. False: there are not so many, and
 * so none above. `out` is 12 KiB. Any thread.
 */
bool za_runtime_class_metrics(const za_runtime_t *runtime, uint32_t index, za_class_metrics_t *out);
/** The name alone; "(other)" of all classes that came after ZA_CLASSES_MAX others; NULL: none. */
const char *za_runtime_class_name(const za_runtime_t *runtime, uint32_t index);
