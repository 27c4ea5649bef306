/**
 * Node: one member of a cluster; several may live in one process.
 *
 * Threads  za_node_tell and the getters may be called from any thread; the rest from the thread
 *          that owns the node.
 */
#pragma once

#include <zactor/actor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct za_config za_config_t;

/** An empty configuration: every key at its default. ZA_ENOMEM. */
ZA_MUST_USE ZA_API za_err_t za_config_create(za_config_t **out);
ZA_API void za_config_destroy(za_config_t *config);

/**
 * Reads `key = value` lines over what is set. On an error `problem` (may be NULL) says in one line
 * which file, line and key, and what to do. ZA_ECONFIG, ZA_EIO.
 */
ZA_MUST_USE ZA_API za_err_t za_config_read_file(za_config_t *config, const char *path,
                                                char *problem, size_t problem_bytes);
/** Reads ZACTOR_<KEY> for each key ("node.name" is ZACTOR_NODE_NAME). Unknown ones are errors. */
ZA_MUST_USE ZA_API za_err_t za_config_read_env(za_config_t *config, char *problem,
                                               size_t problem_bytes);
/** Sets one key; `origin` is named in the dump ("flag", "file.conf:3"). ZA_ECONFIG. */
ZA_MUST_USE ZA_API za_err_t za_config_set(za_config_t *config, const char *key, const char *value,
                                          const char *origin, char *problem, size_t problem_bytes);
/** The value of `key` as text; NULL for an unknown key. Valid until the next set. */
ZA_API const char *za_config_get(const za_config_t *config, const char *key);

/**
 * A node that may be asked to spawn `classes` (NULL-terminated, may be NULL) by other nodes. Takes
 * all memory it needs and its sockets; serves nobody yet. `config` stays the caller's.
 */
ZA_MUST_USE ZA_API za_err_t za_node_create(const za_config_t *config,
                                           const za_class_t *const *classes, za_node_t **out);
/** Starts threads, serves, joins through the seeds. Once: ZA_EEXIST, ZA_ESTOPPING after a stop. */
ZA_MUST_USE ZA_API za_err_t za_node_start(za_node_t *node);
/** Drains, leaves the cluster and stops all actors and threads; returns when that is done. */
ZA_API void za_node_stop(za_node_t *node);
ZA_API void za_node_destroy(za_node_t *node);

/** A root actor: a child of the node itself, supervised by `opts`. Any thread. */
ZA_MUST_USE ZA_API za_err_t za_node_spawn_with(za_node_t *node, const za_class_t *class_,
                                               za_ref_t *out, const za_spawn_opts_t *opts);
#define za_node_spawn(node, cls, ...)                                                              \
    za_node_spawn_with(node, &cls##_class, ZA__SPAWN(__VA_ARGS__, .size = sizeof(za_spawn_opts_t)))

/** Sends from a thread that is no actor; as za_tell, with no sender. Any thread. */
ZA_MUST_USE ZA_API za_err_t za_node_tell(za_node_t *node, za_ref_t to, const za_type_t *type,
                                         const void *message);

/** As za_route, with no sender: one member of a group, or all. Any thread. */
ZA_MUST_USE ZA_API za_err_t za_node_route(za_node_t *node, const char *group, za_policy_t policy,
                                          uint64_t key, const za_type_t *type, const void *message);

/** As za_route_with, with no sender; ZA_EINVAL with an ask (za_ask_sync waits for one). Any thread. */
ZA_MUST_USE ZA_API za_err_t za_node_route_with(za_node_t *node, const char *group,
                                               const za_type_t *type, const void *message,
                                               const za_route_opts_t *opts);

/** What za_ask_sync waits for, and where it goes. */
typedef struct za_ask_sync_opts {
    size_t size;                 // sizeof(za_ask_sync_opts_t), set by the macro
    uint32_t timeout_ms;         // required, > 0
    const za_type_t *reply_type; // required; ZA_REPLY sets it with the next two
    void *reply;                 // gets the answer: its whole block, za_bytes_t fields among it
    size_t reply_bytes;          // room in `reply`
    za_Reason *reason;           // gets why nobody answered; may be NULL
} za_ask_sync_opts_t;

/** ZA_REPLY(chat_World, &world) among the options: the answer is a chat_World. */
#define ZA_REPLY(T, pointer)                                                                       \
    .reply_type = &T##_type, .reply = (T *){ pointer }, .reply_bytes = sizeof(T)

/**
 * Asks an actor from a thread that is no worker, and waits: for the answer, the end of the time, or
 * the news that nobody will answer; exactly one of them. ZA_OK: `reply` is filled. Otherwise it is
 * untouched: ZA_ETIMEOUT; ZA_ENOANSWER (taken and not answered, or its handler failed); ZA_EGONE;
 * ZA_ENOROUTE (its node is lost); ZA_EFULL; ZA_ETYPE (it does not know the message, or its answer is
 * of another type); ZA_ETOOBIG (no room for the answer); ZA_ESTOPPING; ZA_ENOBUFS; ZA_EINVAL.
 * ZA_EDENIED on a worker's thread: a handler must not wait, it uses za_ask; and under simulation,
 * where there are no threads. At most 1024 threads at once. Blocking calls: Akka's Await, Erlang's
 * gen_server:call from outside.
 */
ZA_MUST_USE ZA_API za_err_t za_ask_sync_with(za_node_t *node, za_ref_t to, const za_type_t *type,
                                             const void *message, const za_ask_sync_opts_t *opts);
/** za_ask_sync(node, to, ZA_MSG(chat_Hello, .name = "x"), ZA_REPLY(chat_World, &w), .timeout_ms = 9) */
#define za_ask_sync(node, to, message, ...)                                                        \
    za_ask_sync_with(                                                                              \
        node, to, message,                                                                         \
        &(const za_ask_sync_opts_t){ .size = sizeof(za_ask_sync_opts_t), __VA_ARGS__ })

/**
 * The actor of that cluster-wide name as far as this node knows; as za_whereis, costs no message.
 * ZA_ENOENT. Any thread.
 */
ZA_MUST_USE ZA_API za_err_t za_node_whereis(za_node_t *node, const char *name, za_ref_t *out);

/** As za_whereis_with. Any thread. */
ZA_MUST_USE ZA_API za_err_t za_node_whereis_with(za_node_t *node, const char *name,
                                                 za_whereis_info_t *out);

/** The uid of this process start; changes at a rebirth. Any thread. */
ZA_API uint64_t za_node_uid(const za_node_t *node);
/**
 * Where others reach this node, "host:port": node.advertise, or what node.listen was bound to; with
 * port 0 the port it was given. Valid as long as the node. Any thread.
 */
ZA_API const char *za_node_address(const za_node_t *node);

/**
 * A whole program: options, configuration, node, `root` as root actor, until SIGTERM or SIGINT;
 * then drains and leaves. Returns the exit status. `classes` as in za_node_create.
 */
ZA_API int za_main(int argc, char **argv, const za_class_t *root, const za_class_t *const *classes);

#ifdef __cplusplus
}
#endif
