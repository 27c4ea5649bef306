/**
 * Actors: what a handler can do.
 *
 * An actor is a struct of state and handlers, one per message type; the runtime runs one handler of
 * an actor at a time, so state needs no lock. Everything that happens to an actor is a message: its
 * start (za_Started), its end (za_Stopping), another actor's end (za_Down), a member that came up.
 *
 * Sending  Never blocks and always answers. ZA_OK: accepted for delivery. Anything else: nothing was
 *          sent and nothing was taken. What is lost later is a dead letter, counted where it is lost,
 *          and fails a pending ask at once.
 * Order    Messages of one sender to one receiver arrive in the order they were sent, here and
 *          across nodes, at most once. za_Down of an actor comes after its last message.
 * Memory   A handler's message is valid until the handler returns; za_keep holds it longer.
 * Threads  A za_ctx_t belongs to the handler call it was given to. No other thread may use it;
 *          foreign threads send through za_node_tell (node.h).
 */
#pragma once

#include <zactor/system.za.h>
#include <zactor/type.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct za_ctx za_ctx_t;
typedef struct za_node za_node_t;

/** What a handler says of itself when it returns. */
typedef enum za_verdict {
    ZA_DONE = 1000,  // handled
    ZA_STOP = 1001,  // handled, and the actor stops
    ZA_FAIL = 1002,  // the actor failed: its message becomes a dead letter, its supervisor decides
    ZA_STASH = 1003, // not now: the message is put aside until za_unstash_all
} za_verdict_t;

typedef za_verdict_t za_handler_fn(za_ctx_t *ctx, void *self, const void *message);

typedef struct za_handler {
    const za_type_t *type;
    za_handler_fn *call;
} za_handler_t;

/** Made by ZA_ACTOR. `name` is how other nodes spawn it. */
typedef struct za_class {
    const char *name;
    size_t state_bytes;
    const za_handler_t *handlers;
    size_t handler_count;
    const char *state_type; // its name, which must agree for za_become; NULL: none is known
} za_class_t;

/** What happens to a message that finds the mailbox full. */
typedef enum za_overflow {
    ZA_REJECT = 0,      // the sender gets ZA_EFULL; from another node: a dead letter
    ZA_DROP_NEWEST = 1, // ZA_OK, and the message is a dead letter
    ZA_DROP_OLDEST = 2, // ZA_OK, and the oldest user message that waits is a dead letter
} za_overflow_t;

typedef enum za_restart {
    ZA_RESTART_ON_FAILURE = 0, // transient: restarted when it fails
    ZA_RESTART_ALWAYS = 1,     // permanent: restarted when it fails or stops by itself
    ZA_RESTART_NEVER = 2,      // temporary
} za_restart_t;

/** What follows when max_restarts within within_ms are used up. */
typedef enum za_on_limit {
    ZA_LIMIT_STOP = 0,     // the child stops
    ZA_LIMIT_ESCALATE = 1, // the child stops and its parent fails
    ZA_LIMIT_STOP_ALL = 2, // the child stops, and all its siblings on this node, the youngest first
} za_on_limit_t;

/** What follows for an actor of za_spawn_on when its node goes down. */
typedef enum za_on_node_down {
    ZA_NODE_DOWN_RESPAWN = 0, // again on another node, with epoch + 1
    ZA_NODE_DOWN_STOP = 1,    // not again: the parent gets za_SpawnFailed
} za_on_node_down_t;

/** Zero is the default of every field. */
typedef struct za_spawn_opts {
    size_t size;      // sizeof(za_spawn_opts_t), set by the macros
    const char *name; // registered for it, cluster-wide, before it handles its first message
    uint32_t mailbox; // user messages at most; 0: the node's default
    za_overflow_t overflow;
    za_restart_t restart;
    uint32_t max_restarts;   // within any within_ms; 0: never restarted
    uint32_t within_ms;      // 0: 5000
    uint32_t backoff_min_ms; // delay before the first restart, doubles; 0: at once
    uint32_t backoff_max_ms; // 0: 30000
    za_on_limit_t on_limit;
    za_on_node_down_t on_node_down; // za_spawn_on only
    uint64_t tag;                   // returned in za_Spawned and za_SpawnFailed
    const za_type_t *args_type;     // ZA_ARGS: the actor's first message, again at each restart
    const void *args;
    uint32_t stash;    // messages put aside at most; 0: 1000
    uint32_t worker;   // 1 + index of the worker that alone runs it; 0: any. Not for za_spawn_on
    const char *group; // joined for it, before it handles its first message. Not for za_spawn_on
    bool dedicated; // it has a thread of its own, and may block; see docs/semantics.md. As `worker`
    size_t stack_bytes; // of that thread, 64 KiB to 64 MiB; 0: 256 KiB; at least the system's
    // Its handlers may wait: za_await of fiber.h. stack_bytes: 16 KiB to 1 MiB; 0: 64 KiB. Not with
    // dedicated or ZA_DROP_OLDEST, and not for za_spawn_on.
    bool fiber;
} za_spawn_opts_t;

/** Spawn arguments: ZA_ARGS(chat_Config, .limit = 3) among the options. */
// clang-format off
#define ZA_ARGS(T, ...) .args_type = &T##_type, .args = &(const T){ __VA_ARGS__ }
// clang-format on

typedef struct za_ask_opts {
    size_t size;         // sizeof(za_ask_opts_t), set by the macro
    uint32_t timeout_ms; // required, > 0; shortened to what is left of the ask being handled
    uint64_t tag;        // za_tag() while its answer is handled
} za_ask_opts_t;

/** A timer; {0} is none. */
typedef struct za_timer {
    uint64_t id;
} za_timer_t;

/** A message held with za_keep. */
typedef struct za_message za_message_t;

/* ---- who and when ------------------------------------------------------------------------- */

/** This actor; its `node` is 0. */
ZA_API za_ref_t za_self(const za_ctx_t *ctx);
/** Who sent the message being handled; none if it was a thread or the runtime. */
ZA_API za_ref_t za_sender(const za_ctx_t *ctx);
/** The tag of the ask that the message being handled answers; 0 if it answers none. */
ZA_API uint64_t za_tag(const za_ctx_t *ctx);
/** Monotonic milliseconds of this node; virtual under simulation. */
ZA_API uint64_t za_now_ms(const za_ctx_t *ctx);
/** A random number; seeded under simulation. */
ZA_API uint64_t za_random(za_ctx_t *ctx);
ZA_API za_node_t *za_ctx_node(const za_ctx_t *ctx);
/** Workers of this node: what za_spawn_opts_t.worker counts to. */
ZA_API uint32_t za_worker_count(const za_ctx_t *ctx);

/* ---- sending ------------------------------------------------------------------------------ */

/**
 * Sends a copy of `message`. ZA_ENOENT: `to` is of za_named, and nobody holds the name.
 * ZA_EFULL ZA_EGONE ZA_ENOROUTE ZA_ETOOBIG ZA_ENOBUFS ZA_ESTOPPING ZA_EINVAL: nothing was sent.
 */
ZA_MUST_USE ZA_API za_err_t za_tell(za_ctx_t *ctx, za_ref_t to, const za_type_t *type,
                                    const void *message);

/**
 * A message to be filled and moved with za_send. Its struct is zeroed; the `extra_bytes` behind it
 * are room for its za_bytes_t fields, and hold anything until za_bytes_put fills them. The caller's
 * until za_send takes it or za_discard frees it, at the latest when the handler returns; NULL if the
 * pool is empty or the size is over the limit.
 */
ZA_MUST_USE ZA_API void *za_new(za_ctx_t *ctx, const za_type_t *type, size_t extra_bytes);
ZA_API void za_discard(za_ctx_t *ctx, void **message);

/** Copies `size` bytes behind `message` and points `field` at them. ZA_ETOOBIG: no room is left. */
ZA_MUST_USE ZA_API za_err_t za_bytes_put(void *message, za_bytes_t *field, const void *data,
                                         size_t size);

/**
 * Moves a message made by za_new: on ZA_OK it is gone and *message is NULL; else still yours. Debug
 * builds end the process when the sender touches it afterwards through another pointer (a read is found
 * with AddressSanitizer only), and when a handler's message is touched after the handler returned.
 */
ZA_MUST_USE ZA_API za_err_t za_send(za_ctx_t *ctx, za_ref_t to, void **message);

/** Answers the message being handled; dropped and counted if there is nobody to answer. */
ZA_API void za_reply(za_ctx_t *ctx, const za_type_t *type, const void *message);

/** As za_reply, for a message made by za_new; always taken. */
ZA_API void za_reply_send(za_ctx_t *ctx, void **message);

/** Hands the message being handled to another actor, with its sender and ask. */
ZA_MUST_USE ZA_API za_err_t za_forward(za_ctx_t *ctx, za_ref_t to);

/**
 * Sends and expects one answer: the reply (a message of its own type), za_Timeout or za_Down, each
 * exactly once and with `tag`. Errors as za_tell, and ZA_EINVAL without a timeout.
 */
ZA_MUST_USE ZA_API za_err_t za_ask_with(za_ctx_t *ctx, za_ref_t to, const za_type_t *type,
                                        const void *message, const za_ask_opts_t *opts);
/** As za_ask_with, for a message made by za_new. On ZA_OK it is gone; else still yours. */
ZA_MUST_USE ZA_API za_err_t za_ask_send(za_ctx_t *ctx, za_ref_t to, void **message,
                                        const za_ask_opts_t *opts);

/** za_ask(ctx, to, ZA_MSG(chat_Hello, .name = "x"), .timeout_ms = 500, .tag = 7) */
#define za_ask(ctx, to, message, ...)                                                              \
    za_ask_with(ctx, to, message,                                                                  \
                &(const za_ask_opts_t){ .size = sizeof(za_ask_opts_t), __VA_ARGS__ })

/** Holds the message being handled beyond the handler. NULL if it is held already. */
ZA_MUST_USE ZA_API za_message_t *za_keep(za_ctx_t *ctx);
ZA_API const void *za_kept_body(const za_message_t *kept);
/** Answers a held message and frees it; *kept becomes NULL. */
ZA_API void za_reply_kept(za_ctx_t *ctx, za_message_t **kept, const za_type_t *type,
                          const void *message);
/** Frees a held message; an ask in it fails at its sender. An actor that ends releases all. */
ZA_API void za_release(za_ctx_t *ctx, za_message_t **kept);

/* ---- becoming ----------------------------------------------------------------------------- */

/**
 * The actor's next message is handled by the handlers of `class_`; the one being handled is not
 * affected. State, mailbox, timers and all else stay. A restart goes back to the class it was spawned
 * with. To inspection it keeps that one's name, and that one decides whether it hears of members.
 *
 * ZA_ETYPE if the state of `class_` is of another type than this actor's. ZA_ENOBUFS if the pool is
 * empty, or if the node knows too many pairs of classes that become each other (512). Nothing
 * changed then. (Hewitt's become, Akka's, the states of gen_statem.)
 */
ZA_MUST_USE ZA_API za_err_t za_become_with(za_ctx_t *ctx, const za_class_t *class_);
/**
 * za_become(ctx, open). A class that is defined further down is declared by
 * `extern const za_class_t open_class;`.
 */
#define za_become(ctx, cls) za_become_with(ctx, &cls##_class)

/* ---- stashing ----------------------------------------------------------------------------- */

/**
 * Puts all messages that handlers answered with ZA_STASH in front of the mailbox, in the order in
 * which they first came; they are handled next. One that is stashed by the handler that calls this
 * is not among them. Nothing happens in za_Stopping.
 *
 * A stashed message keeps its block, sender, ask and deadline; past its deadline it is lost like any
 * other (REASON_TOO_LATE). At most `stash` of za_spawn_opts_t are put aside: what comes beyond is a
 * dead letter (REASON_STASH_FULL), and its ask fails at once. A kept message cannot be stashed: the
 * actor fails. When the actor ends or restarts, what is stashed becomes dead letters; what was
 * unstashed before a restart and not handled yet is handled after it. (Akka's Stash.)
 */
ZA_API void za_unstash_all(za_ctx_t *ctx);

/* ---- time --------------------------------------------------------------------------------- */

/** Sends `message` to this actor once, after `delay_ms`. `out` may be NULL. ZA_ENOBUFS ZA_EINVAL. */
ZA_MUST_USE ZA_API za_err_t za_after(za_ctx_t *ctx, uint32_t delay_ms, const za_type_t *type,
                                     const void *message, za_timer_t *out);
/** As za_after, and again every `period_ms` (> 0); a late actor gets one message, not a burst. */
ZA_MUST_USE ZA_API za_err_t za_every(za_ctx_t *ctx, uint32_t period_ms, const za_type_t *type,
                                     const void *message, za_timer_t *out);
/** A cancelled timer's message is never delivered, even if it was queued. Sets *timer to {0}. */
ZA_API void za_cancel(za_ctx_t *ctx, za_timer_t *timer);

/**
 * The actor gets za_ReceiveTimeout when it handled no message of a user (an answer is one, a timer
 * or another notification is not) for `timeout_ms`, and again after each further such time. Never
 * early, late by at most an eighth. 0 turns it off; a new call begins anew; a restart turns it off.
 * Costs nothing per message. ZA_ENOBUFS ZA_ESTOPPING: what was set before stays. (Akka's.)
 */
ZA_MUST_USE ZA_API za_err_t za_receive_timeout(za_ctx_t *ctx, uint32_t timeout_ms);

/* ---- spawning and supervision ------------------------------------------------------------- */

/**
 * A child of this actor, on this node. ZA_ENOBUFS at the limit of actors or of dedicated threads,
 * ZA_ETYPE for wrong args, ZA_EINVAL for a worker that is not there.
 */
ZA_MUST_USE ZA_API za_err_t za_spawn_with(za_ctx_t *ctx, const za_class_t *class_, za_ref_t *out,
                                          const za_spawn_opts_t *opts);
/** za_spawn(ctx, greeter, &ref, .mailbox = 64) */
#define za_spawn(ctx, cls, ...)                                                                    \
    za_spawn_with(ctx, &cls##_class, ZA__SPAWN(__VA_ARGS__, .size = sizeof(za_spawn_opts_t)))
// clang-format off
#define ZA__SPAWN(out, ...) out, &(const za_spawn_opts_t){ __VA_ARGS__ }
// clang-format on

/**
 * A child of this actor on `node` (0 or the own uid: here), which must allow its class. Answers
 * acceptance only; za_Spawned{tag, ref, epoch} or za_SpawnFailed{tag, reason} follows, and
 * za_Spawned again with epoch + 1 each time it was respawned on another node.
 */
ZA_MUST_USE ZA_API za_err_t za_spawn_on_with(za_ctx_t *ctx, uint64_t node, const za_class_t *class_,
                                             const za_spawn_opts_t *opts);
/** za_spawn_on(ctx, up->node, greeter, .max_restarts = 3) */
#define za_spawn_on(ctx, node, ...)                                                                \
    za_spawn_on_with(ctx, node, ZA__SPAWN_ON(__VA_ARGS__, .size = sizeof(za_spawn_opts_t)))
// clang-format off
#define ZA__SPAWN_ON(cls, ...) &cls##_class, &(const za_spawn_opts_t){ __VA_ARGS__ }
// clang-format on

/** Who is restarted when a child fails. */
typedef enum za_strategy {
    ZA_ONE_FOR_ONE = 0,  // that child
    ZA_ONE_FOR_ALL = 1,  // all children
    ZA_REST_FOR_ONE = 2, // that child and those spawned after it
} za_strategy_t;

/**
 * How this actor supervises the children that it spawns on this node from now on; call it in the
 * start message, for a restart goes back to one for one. All are stopped, the youngest first, and
 * then started, the oldest first, each when the one before is done; references and mailboxes stay.
 * Only the one that failed uses up its max_restarts and its backoff; a sibling restarts whatever its
 * own limit is, but one of ZA_RESTART_NEVER stops for good. What follows when the limit is reached,
 * on_limit says. ZA_EINVAL ZA_ENOBUFS ZA_ESTOPPING. (OTP's one_for_all, rest_for_one.)
 */
ZA_MUST_USE ZA_API za_err_t za_supervise(za_ctx_t *ctx, za_strategy_t strategy);

/** What became of the children of one actor on its node, since it was spawned. */
typedef struct za_supervised {
    uint64_t children; // now
    uint64_t failures;
    uint64_t restarts; // those of siblings too
    uint64_t limits;   // ends because of max_restarts
    uint64_t rounds;   // restarts of several together
} za_supervised_t;

/** The counters of this actor's supervision. */
ZA_API void za_supervised(const za_ctx_t *ctx, za_supervised_t *out);

/** Stops a child (also one of za_spawn_on) or this actor itself. ZA_EDENIED for any other. */
ZA_MUST_USE ZA_API za_err_t za_stop(za_ctx_t *ctx, za_ref_t actor);

/**
 * Exactly one za_Down follows when `actor` ends, or at once if it has. Twice is one watch. A logical
 * reference (za_named) is looked up once: the actor that holds the name now is watched, and za_Down
 * names that one; ZA_ENOENT if there is none.
 */
ZA_MUST_USE ZA_API za_err_t za_watch(za_ctx_t *ctx, za_ref_t actor);
/** After it no za_Down of that watch is delivered, even if it was queued. */
ZA_API void za_unwatch(za_ctx_t *ctx, za_ref_t actor);

/**
 * Links this actor and `actor` both ways, until one of them ends a life: it stops, fails, restarts,
 * or its node goes down. Then the other one gets an exit with that reason: it fails with it, so that
 * its own supervision decides and those linked to it hear of it in turn; REASON_STOPPED alone leaves
 * it alone. One that traps exits gets za_Exit instead, whatever the reason.
 *
 * An exit comes exactly once, after the last message of the one that ended; at once with
 * REASON_NO_ACTOR if it had ended before. Twice is one link. Links end with a restart: link again in
 * the start message. ZA_EINVAL for oneself. ZA_ENOBUFS ZA_ENOROUTE ZA_ESTOPPING: nothing was done.
 * (Erlang's link/1.)
 */
ZA_MUST_USE ZA_API za_err_t za_link(za_ctx_t *ctx, za_ref_t actor);
/** After it no exit of that link comes, even if it was queued; nor to the other one from now on. */
ZA_API void za_unlink(za_ctx_t *ctx, za_ref_t actor);
/** From now on exits come as za_Exit, or no longer. A restart turns it off. ZA_ENOBUFS. */
ZA_MUST_USE ZA_API za_err_t za_trap_exit(za_ctx_t *ctx, bool traps);
/**
 * Sends an exit as if a link to this actor ended, in order with its messages, outside the bound of
 * the mailbox; no link is needed. REASON_KILLED cannot be trapped. To another node it is a message
 * like others, delivered at most once. Errors as za_tell, and ZA_EINVAL for no reason. (exit/2.)
 */
ZA_MUST_USE ZA_API za_err_t za_exit(za_ctx_t *ctx, za_ref_t actor, za_Reason reason);

/* ---- names -------------------------------------------------------------------------------- */

/**
 * Registers this actor under a cluster-wide name (1..255 bytes). ZA_EEXIST: another is known to hold
 * it. ZA_EUNAVAILABLE, only with a cluster.downing.strategy: this node is no member yet, as in the
 * za_Started of an actor that starts with it, or its side of a split may lose: again at za_MemberUp.
 * ZA_EINVAL ZA_ETOOBIG ZA_ENOBUFS. Nothing was done then.
 * Two nodes, or two sides of a partition, may both succeed: then the higher `prio` wins, and of equal
 * ones the earlier registration. All agree on the winner; the loser gets za_NameLost, a second after
 * its node heard of the other, and stops if its class has no handler for that. A handler's verdict
 * decides otherwise: ZA_DONE lives on without the name. (Erlang's global kills one of the two.)
 * za_NameLost.reason says if the name was taken, given up in a split (register again at za_MemberUp), or
 * if there was no room for it.
 */
ZA_MUST_USE ZA_API za_err_t za_register(za_ctx_t *ctx, const char *name);

/** Zero is the default of every field. */
typedef struct za_register_opts {
    size_t size;   // sizeof(za_register_opts_t)
    uint32_t prio; // of two holders the one with the higher wins
    // Bytes that mean something to the program alone (a version, a shard, a port), known on all nodes: at
    // most 64, ZA_ETOOBIG. Copied. Read by za_query_name. (Consul's and serf's tags, etcd's values.)
    const void *meta;
    uint32_t meta_size;
} za_register_opts_t;

/**
 * As za_register; again, by its holder: changes what `opts` say, all of it. Others see that as soon as
 * a new name, and are not told: za_NameChanged says who holds a name, and that stays.
 */
ZA_MUST_USE ZA_API za_err_t za_register_with(za_ctx_t *ctx, const char *name,
                                             const za_register_opts_t *opts);
ZA_API void za_unregister(za_ctx_t *ctx, const char *name);

/**
 * From now on this actor gets za_NameChanged whenever the holder of a name that begins with `prefix`
 * ("" for all; 0..255 bytes) changes, as far as this node knows; first, one for each such name that is
 * held, in the order of names, then each change once and in order. Again for the same prefix: all of
 * that from the beginning, for an actor that was restarted. Ends with the actor or
 * za_unsubscribe_names. At most 1024 on a node, with those to groups: ZA_ENOBUFS. ZA_ETYPE: it has no
 * handler for za_NameChanged.
 */
ZA_MUST_USE ZA_API za_err_t za_subscribe_names(za_ctx_t *ctx, const char *prefix);
ZA_API void za_unsubscribe_names(za_ctx_t *ctx, const char *prefix);
/**
 * The actor of that name as far as this node knows; costs no message and waits for nobody. ZA_ENOENT.
 * Who wants to follow the name rather than the actor uses za_named.
 */
ZA_MUST_USE ZA_API za_err_t za_whereis(za_ctx_t *ctx, const char *name, za_ref_t *out);

/** What this node knows of a name, and how well. */
typedef struct za_whereis_info {
    za_ref_t ref;
    uint64_t age_ms;  // since the holder's node was last heard from; 0 if it is this node
    bool unreachable; // that node is: it may have lost the name, or may hold it still
} za_whereis_info_t;

/** As za_whereis. `out` is untouched on failure. */
ZA_MUST_USE ZA_API za_err_t za_whereis_with(za_ctx_t *ctx, const char *name,
                                            za_whereis_info_t *out);

/**
 * Asks what this node knows of a name: za_NameInfo follows, once, in order with news of names. It has
 * the holder (none: nobody is known to hold it), how long ago some node confirmed what is known of the
 * holder's node (ms; 0 if it is this one), whether that one is unreachable, how many hold the name
 * (more than one: a conflict that is being settled), and the holder's prio and meta. Costs no message to
 * another node. ZA_ETYPE: the actor has no handler for za_NameInfo. ZA_EINVAL ZA_ETOOBIG ZA_ENOBUFS.
 */
ZA_MUST_USE ZA_API za_err_t za_query_name(za_ctx_t *ctx, const char *name);

/**
 * The actor that a logical reference (za_named) means now; any other reference is itself. Costs no
 * message. ZA_ENOENT: nobody holds the name, as far as this node knows.
 */
ZA_MUST_USE ZA_API za_err_t za_resolve(za_ctx_t *ctx, za_ref_t ref, za_ref_t *out);

/**
 * Asks what this node knows of the member with that uid (0: of this node): za_MemberInfo follows, once,
 * in order with other news of members. Costs no message to another node. ZA_ETYPE: it has no handler for
 * za_MemberInfo. ZA_ENOBUFS ZA_EINVAL. What changes is said without being asked for: za_MemberUp and its
 * kin; the rest (round trips, node.meta) is asked for when it is needed.
 */
ZA_MUST_USE ZA_API za_err_t za_query_member(za_ctx_t *ctx, uint64_t node);

/* ---- groups and routers ------------------------------------------------------------------- */

/**
 * A group is a named set of actors of the cluster (1..255 bytes; 4096 groups, 16384 members each). It
 * is there while it has a member; a member leaves by itself when it ends, and stays over a restart.
 * What is routed or published goes straight to the members: no actor lies between, no lock and no
 * message is spent on finding them, and the order of each pair of actors is kept.
 *
 * A node sees its own members as soon as za_join or za_leave has returned, and those of other nodes as
 * soon as the registry has told it: milliseconds later, and not across a partition. Members of a node
 * that is down are gone. How many a node may have in all groups is in docs/semantics.md: those beyond
 * are known on their own node alone, which the log says.
 * Groups: Erlang's pg. Routers: Akka's. A topic is a group.
 */

/**
 * This actor joins; twice is once. ZA_ENOBUFS at a limit, ZA_EINVAL, ZA_ETOOBIG for the name. Nothing was
 * done then.
 */
ZA_MUST_USE ZA_API za_err_t za_join(za_ctx_t *ctx, const char *group);

/** Zero is the default of every field. */
typedef struct za_join_opts {
    size_t size; // sizeof(za_join_opts_t)
    // Bytes that mean something to the program alone (a weight, a version, a port), which those who listen
    // to the group hear on all nodes: at most 64, ZA_ETOOBIG. Copied. (Consul's and serf's tags.)
    const void *meta;
    uint32_t meta_size;
} za_join_opts_t;

/**
 * As za_join; by a member: changes its meta to this, which those who listen hear as if it joined again. It
 * stays over a restart, and when the member calls za_join.
 */
ZA_MUST_USE ZA_API za_err_t za_join_with(za_ctx_t *ctx, const char *group,
                                         const za_join_opts_t *opts);
/** This actor leaves; nothing if it is no member. What was sent to it before still arrives. */
ZA_API void za_leave(za_ctx_t *ctx, const char *group);
/**
 * Copies up to `max` members, those of this node first, and in no other order; `*count` is the number
 * of all, 0 if none.
 */
ZA_MUST_USE ZA_API za_err_t za_members(za_ctx_t *ctx, const char *group, za_ref_t *refs,
                                       uint32_t max, uint32_t *count);

/**
 * From now on this actor gets za_GroupChanged for each who joins `group` (exactly this one; "" for all
 * groups) or is a member no longer, as far as this node knows; first, one for each present member, then
 * each change once and in order: what it is told adds up to the members there are. A member that is there
 * and is said to have joined has another `meta` now (za_join_with). za_members, asked in
 * the handler, is that far already, or farther for those of this node. Again for the same group: all of
 * that from the beginning, for an actor that was restarted. Ends with the actor or
 * za_unsubscribe_members. At most 1024 on a node, with those to names: ZA_ENOBUFS. ZA_ETYPE: it has no
 * handler for za_GroupChanged. ZA_EINVAL, ZA_ETOOBIG for the name.
 *
 * A membership beyond what a node may announce (docs/semantics.md) is not told, as others do not know it.
 * A member of another node that is down or has left goes once; one that is only unreachable stays.
 * (Erlang's pg:monitor; Akka's Receptionist.Subscribe, which sends the whole set each time.)
 */
ZA_MUST_USE ZA_API za_err_t za_subscribe_members(za_ctx_t *ctx, const char *group);
/** After its handler nothing new comes; what is queued may. */
ZA_API void za_unsubscribe_members(za_ctx_t *ctx, const char *group);

/** Which member of a group gets a message. */
typedef enum za_policy {
    ZA_ROUND_ROBIN = 0,  // one after the other, over all senders
    ZA_RANDOM = 1,       // any
    ZA_HASH = 2,         // always the same for a key, as long as it is there and can be reached
    ZA_LEAST_LOADED = 3, // with the shortest mailbox; of more than four, of two drawn at random
    ZA_BROADCAST = 4,    // each
    // Added to one of the first two or to ZA_LEAST_LOADED: the members of this node are not preferred.
    ZA_ANYWHERE = 0x100,
} za_policy_t;

/**
 * Sends a copy of `message` to a member of `group`, as za_tell. ZA_ENOENT: it has no member.
 *
 * ZA_ROUND_ROBIN, ZA_RANDOM, ZA_LEAST_LOADED: one of this node, if there is one; with ZA_ANYWHERE added
 * all are alike, and what is known of the load of others is nothing. One whose mailbox is full is
 * passed over, so that those of other nodes come next; ZA_EFULL only if all are.
 * Members of a node that is unreachable are passed over, also by ZA_HASH, unless there are no others.
 * ZA_HASH: by `key` (0 with other policies), the same member on all nodes that see the same group;
 * ZA_EFULL if that member is full. When one of n members joins or leaves, 1/n of the keys get another
 * member. Costs a few ns per member.
 * ZA_BROADCAST: to all, also to the sender if it is a member. It crosses the network once for each
 * node, unless it is large. ZA_OK if one took it: what others refused is a dead letter each; else the
 * first refusal, and nothing was sent. On another node it reaches those who are members there when it
 * arrives.
 */
ZA_MUST_USE ZA_API za_err_t za_route(za_ctx_t *ctx, const char *group, za_policy_t policy,
                                     uint64_t key, const za_type_t *type, const void *message);
/** As za_ask_with, to the member that za_route would choose. ZA_EINVAL for ZA_BROADCAST. */
ZA_MUST_USE ZA_API za_err_t za_route_ask_with(za_ctx_t *ctx, const char *group, za_policy_t policy,
                                              uint64_t key, const za_type_t *type,
                                              const void *message, const za_ask_opts_t *opts);
/** Zero is the default of every field. */
typedef struct za_route_opts {
    size_t size; // sizeof(za_route_opts_t), set by the macro
    za_policy_t policy;
    uint64_t key; // ZA_HASH
    // Only members whose node has this one among its node.roles; NULL: all. (Akka's use-role.)
    const char *role;
    const za_ask_opts_t *ask; // an answer is expected, as by za_route_ask_with; NULL: none is
} za_route_opts_t;

/**
 * As za_route or za_route_ask_with, among the members that `opts` allow: the rest is as if no others
 * were there. With a role a few ns per member more; ZA_ENOENT also if nobody has it, ZA_EINVAL if it is
 * none (1 to 32 letters, digits and . _ -). Which node has which roles is what this node was last told
 * of it: they do not change while a node lives.
 */
ZA_MUST_USE ZA_API za_err_t za_route_with(za_ctx_t *ctx, const char *group, const za_type_t *type,
                                          const void *message, const za_route_opts_t *opts);
/** za_route_to(ctx, "encoders", ZA_MSG(job_Encode, .id = 7), .role = "gpu", .policy = ZA_RANDOM) */
#define za_route_to(ctx, group, message, ...)                                                      \
    za_route_with(ctx, group, message,                                                             \
                  &(const za_route_opts_t){ .size = sizeof(za_route_opts_t), __VA_ARGS__ })

/** za_route_ask(ctx, "users", ZA_HASH, id, ZA_MSG(chat_Hello, .name = "x"), .timeout_ms = 500) */
#define za_route_ask(ctx, group, policy, key, message, ...)                                        \
    za_route_ask_with(ctx, group, policy, key, message,                                            \
                      &(const za_ask_opts_t){ .size = sizeof(za_ask_opts_t), __VA_ARGS__ })
/** A key of any bytes: FNV-1a. An integer may be a key as it is. */
ZA_API uint64_t za_key(const void *bytes, size_t size);

/** za_join and za_leave, for a group that is a topic. */
ZA_MUST_USE ZA_API za_err_t za_subscribe(za_ctx_t *ctx, const char *topic);
ZA_API void za_unsubscribe(za_ctx_t *ctx, const char *topic);
/** za_route with ZA_BROADCAST; ZA_OK if nobody has subscribed. */
ZA_API za_err_t za_publish(za_ctx_t *ctx, const char *topic, const za_type_t *type,
                           const void *message);

/* ---- logging ------------------------------------------------------------------------------ */

typedef enum za_level { ZA_DEBUG = 1, ZA_INFO = 2, ZA_WARN = 3, ZA_ERROR = 4 } za_level_t;

/** One structured line on the node's log, with this actor's class and reference. */
ZA_API void za_log(za_ctx_t *ctx, int level, const char *format, ...) ZA_PRINTF(3, 4);

/* ---- ZA_ACTOR ----------------------------------------------------------------------------- */

/**
 * ZA_ACTOR(name, state_t, (message_type, handler), ...): defines `name_class`. Each handler is a
 * plain function `za_verdict_t handler(za_ctx_t *, state_t *, const message_type *)`; a wrong
 * signature is a compile error that says which one was wanted. Up to 24 handlers.
 */
#define ZA_ACTOR(cls, state, ...)                                                                  \
    ZA__EACH(ZA__CALL, cls, state, __VA_ARGS__)                                                    \
    static const za_handler_t cls##__handlers[] = { ZA__EACH(ZA__ROW, cls, state, __VA_ARGS__) };  \
    const za_class_t cls##_class = { #cls, sizeof(state), cls##__handlers,                         \
                                     sizeof cls##__handlers / sizeof *cls##__handlers, #state }

// clang-format off
#define ZA__CALL(...) ZA__CALL_(__VA_ARGS__)
#define ZA__CALL_(c, s, T, fn)                                                                     \
    _Static_assert(_Generic(&fn, za_verdict_t(*)(za_ctx_t *, s *, const T *) : 1, default : 0),    \
                   #fn " must be: za_verdict_t " #fn "(za_ctx_t *, " #s " *, const " #T " *)");    \
    static za_verdict_t c##__##fn(za_ctx_t *ctx, void *self, const void *message)                  \
    {                                                                                              \
        return fn(ctx, self, message);                                                             \
    }
#define ZA__ROW(...) ZA__ROW_(__VA_ARGS__)
#define ZA__ROW_(c, s, T, fn) { &T##_type, c##__##fn },
#define ZA__STRIP(...) __VA_ARGS__
#define ZA__CAT(a, b) ZA__CAT_(a, b)
#define ZA__CAT_(a, b) a##b
#define ZA__EACH(f, c, s, ...) ZA__CAT(ZA__E, ZA__N(__VA_ARGS__))(f, c, s, __VA_ARGS__)
#define ZA__N(...)                                                                                 \
    ZA__N_(__VA_ARGS__, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, \
           4, 3, 2, 1, 0)
#define ZA__N_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18,    \
               a19, a20, a21, a22, a23, a24, n, ...)                                               \
    n
#define ZA__E1(f, c, s, x) f(c, s, ZA__STRIP x)
#define ZA__E2(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E1(f, c, s, __VA_ARGS__)
#define ZA__E3(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E2(f, c, s, __VA_ARGS__)
#define ZA__E4(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E3(f, c, s, __VA_ARGS__)
#define ZA__E5(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E4(f, c, s, __VA_ARGS__)
#define ZA__E6(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E5(f, c, s, __VA_ARGS__)
#define ZA__E7(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E6(f, c, s, __VA_ARGS__)
#define ZA__E8(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E7(f, c, s, __VA_ARGS__)
#define ZA__E9(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E8(f, c, s, __VA_ARGS__)
#define ZA__E10(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E9(f, c, s, __VA_ARGS__)
#define ZA__E11(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E10(f, c, s, __VA_ARGS__)
#define ZA__E12(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E11(f, c, s, __VA_ARGS__)
#define ZA__E13(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E12(f, c, s, __VA_ARGS__)
#define ZA__E14(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E13(f, c, s, __VA_ARGS__)
#define ZA__E15(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E14(f, c, s, __VA_ARGS__)
#define ZA__E16(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E15(f, c, s, __VA_ARGS__)
#define ZA__E17(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E16(f, c, s, __VA_ARGS__)
#define ZA__E18(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E17(f, c, s, __VA_ARGS__)
#define ZA__E19(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E18(f, c, s, __VA_ARGS__)
#define ZA__E20(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E19(f, c, s, __VA_ARGS__)
#define ZA__E21(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E20(f, c, s, __VA_ARGS__)
#define ZA__E22(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E21(f, c, s, __VA_ARGS__)
#define ZA__E23(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E22(f, c, s, __VA_ARGS__)
#define ZA__E24(f, c, s, x, ...) f(c, s, ZA__STRIP x) ZA__E23(f, c, s, __VA_ARGS__)
// clang-format on

#ifdef __cplusplus
}
#endif
