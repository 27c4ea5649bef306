/**
 * Node, from the inside: what a host needs to drive one. Host 1 is node/process.c (threads, libuv),
 * host 2 is src/sim. Both run this same code.
 *
 * Threads  *The owner* is whoever holds the loop: it calls za_node_service and the transport's
 *          callbacks. Workers only queue: frames to a peer's lanes, requests to the inbox.
 */
#pragma once

#include <zactor/lease.h>
#include <zactor/node.h>

#include "cluster/cluster.h"
#include "core/runtime.h"
#include "net/datagram.h"
#include "net/security.h"
#include "net/transport.h"

/** All that differs between hosts and configurations. Strings are copied. */
typedef struct za_node_params {
    const char *name;
    const char *cluster;
    uint64_t cluster_id;
    const char *address; // where others reach us
    const char *roles;   // with commas between them; may be NULL
    const uint8_t *meta; // what others are to know of this node
    uint32_t meta_bytes;
    const char *const *seeds;
    uint32_t seed_count;
    bool discovers; // other seeds come later, by ZA_CLUSTER_SEEDS
    za_cluster_timing_t timing;
    za_downing_config_t downing;
    za_lease_provider_t lease; // ask: NULL if nobody provides leases
    uint32_t workers;
    const za_numa_t *numa; // as in za_runtime_config_t; may be NULL
    uint32_t actors_max;
    uint64_t pool_bytes_max;
    uint64_t blob_bytes_max; // 0: ZA_BLOBS_BYTES_DEFAULT
    uint32_t mailbox_default;
    uint64_t random_seed;
    const za_class_t *const *classes; // NULL-terminated, may be NULL; must outlive the node

    za_security_factory_t security;
    za_transport_t transport;
    /** Datagrams go by UDP, if the transport can, and over links only where that does not work. */
    bool datagrams;
    /** Optional: secure random bytes, for keys; false: there are none. */
    bool (*random)(void *context, void *out, size_t size);
    void *random_context;
    const za_host_t *host;
    void *host_context;
    /** The time, monotonic. */
    uint64_t (*now_ns)(void *context);
    void *now_context;
    /** Optional: since 1970, any clock. Of two claims of a name on different nodes the earlier wins. */
    uint64_t (*wall_ms)(void *context);
    /** Makes the owner call za_node_service soon. Any thread. */
    void (*kick)(void *context);
    void *kick_context;
    void (*log)(void *context, int level, const char *class_name, za_ref_t actor, const char *text);
    void *log_context;
    bool secure; // said in status
    /** Optional: an operator asks the whole program to leave and end; else the node only leaves. */
    void (*leave_asked)(void *context);
    void *leave_context;
    /** Optional, for simulation: a coverage mark was hit. */
    void (*mark)(void *context, za_mark_t mark);
    void *mark_context;
} za_node_params_t;

za_err_t za_node_init(const za_node_params_t *params, za_node_t **out);
/** No worker may be in a turn and no callback may come any more. */
void za_node_deinit(za_node_t *node);

/** For the transport that serves this node. */
extern const za_transport_events_t za_node_transport_events;

/** Whose worker runs the transport's callbacks and the service from now on. The owner. */
void za_node_own(za_node_t *node, za_worker_t *worker);
/** Handles the inbox, due times and consequences. The owner; after I/O, so that input goes first. */
void za_node_service(za_node_t *node);
/** True if requests wait for the service: do not sleep. The owner. */
bool za_node_has_requests(const za_node_t *node);
/** When service is due without input. */
uint64_t za_node_deadline_ns(const za_node_t *node);

/** Begins the graceful leave; za_node_has_left says when it is done. Any thread. */
void za_node_leave(za_node_t *node, za_worker_t *worker);
bool za_node_has_left(const za_node_t *node);

za_runtime_t *za_node_runtime(za_node_t *node);
/** Of datagrams by UDP: what was sealed, and what came of those that arrived. */
void za_node_datagram_counters(const za_node_t *node, za_datagram_counters_t *out);
const za_cluster_t *za_node_cluster(const za_node_t *node);
const char *za_node_name(const za_node_t *node);

typedef struct za_node_counters {
    uint64_t bytes_out, bytes_in, writes;
    uint64_t messages_out, messages_in;
    uint64_t lost_link;  // messages given up: no link or peer any more, too late, or no room here
    uint64_t queue_full; // sends answered ZA_EFULL by a peer's lane
    uint64_t links_opened, links_refused, links_closed;
    uint64_t admin_requests;
    uint64_t datagrams_out;    // by UDP
    uint64_t datagrams_unsent; // that the socket did not take
    uint64_t datagrams_linked; // over links, also beside UDP
    uint64_t udp_degraded;     // peers at this moment whose datagrams come over the link only
    uint64_t apart_refused;    // sends answered ZA_ENOROUTE because no link can be made
    uint64_t discovery_lookups, discovery_failures; // of names and files
    uint64_t discovery_lines_bad;                   // of files
    uint64_t discovery_addresses;                   // known at this moment
} za_node_counters_t;

void za_node_counters(const za_node_t *node, za_node_counters_t *out);
