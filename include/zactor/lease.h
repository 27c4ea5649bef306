/**
 * Leases: who decides a split when the members cannot (cluster.downing.strategy = lease).
 *
 * Both sides of a split ask a store that neither of them is part of; the side that takes the lease goes
 * on, the other one gives up what may exist only once, and joins again. So any one member may survive
 * a split, and an even split has a winner, which no count of members can promise (Akka's lease-majority,
 * Orleans' table of members).
 *
 * A provider brings the questions to the store and the answers back. The store is one key for each
 * cluster, with compare and set and a time to live: a lease of etcd with a transaction on the key's
 * revision, a Lease object of Kubernetes with its resourceVersion, a row of a database with a counter.
 *
 *     static void ask(void *context, za_node_t *node, const za_lease_question_t *question)
 *     {
 *         // Must not wait: an actor of its own thread (dedicated = true) talks to the store.
 *         store_t *store = context;
 *         za_err_t err = za_node_tell(node, store->actor, ZA_MSG(store_Question,
 *             .holder = question->holder, .revision = question->revision,
 *             .ttl_ms = question->ttl_ms));
 *         if (err != ZA_OK) {
 *             za_lease_answer_t answer = { .size = sizeof answer, .err = err };
 *             ZA_IGNORE(za_node_answer_lease(node, &answer));
 *         }
 *     }
 *
 *     const za_lease_provider_t provider = { .size = sizeof provider, .context = store, .ask = ask };
 *     err = za_node_set_lease_provider(node, &provider); // before za_node_start
 *
 * What the store does with a question, in one step:
 *
 *     if (ttl_ms > 0 && (nobody holds it, or its time is over || its revision == question.revision)) {
 *         holder = question.holder; revision = the next one, never 0; its time is ttl_ms from now;
 *     }
 *     answer { holder or 0, revision }
 *
 * The lease says who won a split. It is not kept while the winner lives, and nothing gives it back: its
 * time is longer than the decisions of two sides lie apart.
 */
#pragma once

#include <zactor/node.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Valid until `ask` returns. */
typedef struct za_lease_question {
    const char *cluster; // with its id: of which cluster; each has a lease of its own
    uint64_t cluster_id;
    uint64_t holder;   // who would hold it: the uid of this node
    uint64_t revision; // at which it may be taken though somebody holds it; 0: it may not
    uint32_t ttl_ms;   // for how long; 0: it is only asked who holds it
} za_lease_question_t;

typedef struct za_lease_provider {
    size_t size; // sizeof(za_lease_provider_t)
    void *context;
    /**
     * Called by a thread of the node that has the network, so it must not wait. Each question wants one
     * answer, also that the store cannot be reached (a second is a good time for that): who gets none
     * asks no more, and gives up in the end. Asked each probe interval (500 ms) while members are out of
     * reach, and never otherwise.
     */
    void (*ask)(void *context, za_node_t *node, const za_lease_question_t *question);
} za_lease_provider_t;

/**
 * Copied; its context must outlive the node. Before za_node_start, which answers ZA_ECONFIG if the
 * strategy is `lease` and there is no provider. ZA_EINVAL; ZA_EEXIST: the node was started.
 */
ZA_MUST_USE ZA_API za_err_t za_node_set_lease_provider(za_node_t *node,
                                                       const za_lease_provider_t *provider);

typedef struct za_lease_answer {
    size_t size;       // sizeof(za_lease_answer_t)
    za_err_t err;      // ZA_OK, or why the store has not answered; the rest is 0 then
    uint64_t holder;   // who holds it now; 0: nobody
    uint64_t revision; // of the key, never 0
} za_lease_answer_t;

/**
 * Any thread, also inside `ask`; as long as the node is not destroyed. One that comes too late changes
 * nothing. ZA_EINVAL: a holder without a revision, or the like. ZA_ENOMEM: answer again.
 */
ZA_MUST_USE ZA_API za_err_t za_node_answer_lease(za_node_t *node, const za_lease_answer_t *answer);

#ifdef __cplusplus
}
#endif
