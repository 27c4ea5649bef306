/**
 * Simulation: a whole cluster in one thread, in virtual time, from one seed. The code of every layer
 * is the code that production runs; only sockets, threads and the clock are simulated, and links are
 * not encrypted. For testing one's own actors against crashes, partitions, pauses and slow networks.
 *
 *     za_sim_t *sim;
 *     za_sim_create(&(za_sim_opts_t){ .size = sizeof(za_sim_opts_t), .seed = 42, .nodes = 3,
 *                                     .classes = classes }, &sim);
 *     za_sim_run_until(sim, everybody_up, NULL, 5000);
 *     za_sim_crash(sim, 1);
 *
 * Same seed and same calls: same run, and the same za_sim_hash, with any compiler.
 * Handlers under simulation must take time and chance from their context only.
 *
 * Threads  One.
 */
#pragma once

#include <zactor/lease.h>
#include <zactor/node.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct za_sim za_sim_t;

enum { ZA_SIM_NODES_MAX = 320 };

/** Zero is the default of every field. */
typedef struct za_sim_opts {
    size_t size; // sizeof(za_sim_opts_t)
    uint64_t seed;
    uint32_t nodes; // named "n0", "n1" ..., all started at time 0; n0 is everybody's seed
    const za_class_t *const *classes; // that nodes may spawn for each other
    uint32_t latency_us_min;          // one way; 0: 100
    uint32_t latency_us_max;          // 0: 500
    uint32_t loss_permille;           // segments that need a retransmission
    uint32_t actors_max;              // per node; 0: 10,000
    uint32_t mailbox;                 // default bound; 0: the node's default
    uint64_t pool_bytes_max;          // per node; 0: 64 MiB
    /** Log lines; NULL: dropped. */
    void (*log)(void *context, uint64_t now_ms, const char *node, int level, const char *text);
    void *log_context;
    /**
     * Decides splits, as with cluster.downing.strategy = lease; must outlive the simulation. NULL: both
     * sides go on. It answers inside `ask`, or later while za_sim_node is the node that asked.
     */
    const za_lease_provider_t *lease;
    const char *const *roles; // node.roles of each node; must outlive the simulation. NULL: none
    const char *const *meta;  // node.meta, alike
    /**
     * cluster.timing and cluster.downing of every node, with the words of docs/configuration.md; they must
     * outlive the simulation. What a node's configuration would refuse is ZA_EINVAL.
     */
    const char *timing;  // "lan", "wan" or "local"; NULL: "lan"
    const char *downing; // a strategy, as "keep_majority"; NULL: "none", or "lease" with a provider
    uint32_t downing_quorum;          // of "static_quorum"
    uint32_t downing_stable_after_ms; // 0: by the number of members
    const char *downing_role;         // only members that have it count; NULL: all do
    bool downing_keep_lone_oldest;    // of "keep_oldest"
} za_sim_opts_t;

ZA_MUST_USE ZA_API za_err_t za_sim_create(const za_sim_opts_t *opts, za_sim_t **out);
ZA_API void za_sim_destroy(za_sim_t *sim);

/* ---- time --------------------------------------------------------------------------------- */

ZA_API uint64_t za_sim_now_ms(const za_sim_t *sim);
ZA_API void za_sim_run_for(za_sim_t *sim, uint64_t ms);
/** Runs until `done` answers true (asked after each event) or `bound_ms` are over: then false. */
ZA_MUST_USE ZA_API bool za_sim_run_until(za_sim_t *sim, bool (*done)(za_sim_t *sim, void *context),
                                         void *context, uint64_t bound_ms);
/** Called after each event: where oracles look. */
ZA_API void za_sim_on_step(za_sim_t *sim, void (*step)(za_sim_t *sim, void *context),
                           void *context);

/* ---- nodes -------------------------------------------------------------------------------- */

/** NULL while the node is crashed or has left. Its getters may be used; do not start or stop it. */
ZA_API za_node_t *za_sim_node(za_sim_t *sim, uint32_t node);
ZA_API uint32_t za_sim_node_count(const za_sim_t *sim);
/** The process is gone: its memory, its actors; its peers see their connections reset. */
ZA_API void za_sim_crash(za_sim_t *sim, uint32_t node);
/** Starts a crashed or left node again under its name and address. */
ZA_API void za_sim_restart(za_sim_t *sim, uint32_t node);
/** The process stands still (SIGSTOP); its connections stay. */
ZA_API void za_sim_pause(za_sim_t *sim, uint32_t node);
ZA_API void za_sim_resume(za_sim_t *sim, uint32_t node);
/** Begins a graceful leave; the node ends when it is complete. */
ZA_API void za_sim_leave(za_sim_t *sim, uint32_t node);

/* ---- network ------------------------------------------------------------------------------ */

/** Nothing passes from `from` to `to` any more, or it does again. */
ZA_API void za_sim_block(za_sim_t *sim, uint32_t from, uint32_t to, bool blocked);
/** Nothing passes between the nodes of `side` (bit i: node i, for the first 64) and the others. */
ZA_API void za_sim_partition(za_sim_t *sim, uint64_t side);
/** Everything passes again. */
ZA_API void za_sim_heal(za_sim_t *sim);
/** Latency and loss of one direction. */
ZA_API void za_sim_set_path(za_sim_t *sim, uint32_t from, uint32_t to, uint32_t latency_us_min,
                            uint32_t latency_us_max, uint32_t loss_permille);
/** Resets all connections between two nodes that live on. */
ZA_API void za_sim_reset(za_sim_t *sim, uint32_t a, uint32_t b);

/* ---- work --------------------------------------------------------------------------------- */

ZA_MUST_USE ZA_API za_err_t za_sim_spawn_with(za_sim_t *sim, uint32_t node,
                                              const za_class_t *class_, za_ref_t *out,
                                              const za_spawn_opts_t *opts);
#define za_sim_spawn(sim, node, cls, ...)                                                          \
    za_sim_spawn_with(sim, node, &cls##_class,                                                     \
                      ZA__SPAWN(__VA_ARGS__, .size = sizeof(za_spawn_opts_t)))
ZA_MUST_USE ZA_API za_err_t za_sim_tell(za_sim_t *sim, uint32_t node, za_ref_t to,
                                        const za_type_t *type, const void *message);

/* ---- looking ------------------------------------------------------------------------------ */

/** Over every event so far: time, place and bytes. */
ZA_API uint64_t za_sim_hash(const za_sim_t *sim);
ZA_API uint64_t za_sim_events(const za_sim_t *sim);
/** A number from the simulation's own seeded generator: for the test's choices. */
ZA_API uint64_t za_sim_random(za_sim_t *sim, uint64_t bound);
/** True if all running nodes see the same members, all of them up. */
ZA_API bool za_sim_converged(za_sim_t *sim);
/** How often coverage mark `mark` (docs/architecture.md) was hit; 0 for an unknown one. */
ZA_API uint64_t za_sim_marks(const za_sim_t *sim, uint32_t mark);
/** Its name; NULL after the last. */
ZA_API const char *za_sim_mark_name(uint32_t mark);

#ifdef __cplusplus
}
#endif
