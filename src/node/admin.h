/**
 * Administration: requests of zactorctl, answered from a view of the node. Reading needs any
 * authenticated role; what changes something needs ZA_ROLE_ADMIN (the unix socket has it: whoever
 * may open it owns the node).
 *
 * Memory   Takes one block in create and nothing while serving. Replies are pages that fit a frame.
 * Threads  The owner of the loop.
 * Errors   A request that cannot be met is answered with an error and a text; only one that cannot
 *          be answered at all is an error of za_admin_serve.
 */
#pragma once

#include "cluster/cluster.h"
#include "core/runtime.h"
#include "net/security.h"

enum {
    ZA_ADMIN_REQUEST_BYTES_MAX = 1024,    // names and cursors
    ZA_ADMIN_REPLY_BYTES_MAX = 60 * 1024, // fits an ADMIN frame
    ZA_ADMIN_HEADER_BYTES = 4,            // unix socket: little-endian length before each message
};

/** What a status says beside counts that administration makes itself. Strings are borrowed. */
typedef struct za_admin_status {
    const char *node;
    const char *cluster;
    uint64_t uid;
    uint64_t uptime_ms;
    uint64_t actors;
    uint64_t view_hash;
    uint32_t workers;
    bool leaving;
    bool secure;
    za_downing_info_t downing;
} za_admin_status_t;

/** The node as administration sees it. Every function is called with `context` first. */
typedef struct za_admin_view {
    void *context;
    uint64_t (*now_ms)(void *context);
    void (*status)(void *context, za_admin_status_t *out);
    /** As za_cluster_each_member: sorted by (name, uid). */
    void (*each_member)(void *context, bool (*visit)(const za_member_info_t *info, void *visitor),
                        void *visitor);
    /** As za_cluster_each_name: sorted; the own uid as 0. */
    void (*each_name)(void *context, bool (*visit)(const char *name, za_ref_t ref, void *visitor),
                      void *visitor);
    /** As za_cluster_lookup: what is beside a name that is visited. */
    za_err_t (*lookup)(void *context, const char *name, za_name_answer_t *out);
    /** As za_cluster_each_group_member, of all groups: sorted by group; the own uid as 0. */
    void (*each_group_member)(void *context, za_group_visit_t visit, void *visitor);
    /** As za_runtime_each_actor. */
    void (*each_actor)(void *context, uint64_t *cursor,
                       bool (*visit)(const za_actor_info_t *info, void *visitor), void *visitor);
    /** Names outlive the visit. */
    void (*each_counter)(void *context,
                         bool (*visit)(const char *name, uint64_t value, void *visitor),
                         void *visitor);
    /** As za_runtime_worker_metrics, za_runtime_class_name and za_runtime_class_metrics. */
    bool (*worker)(void *context, uint32_t index, za_worker_metrics_t *out);
    const char *(*class_name)(void *context, uint32_t index);
    bool (*class_metrics)(void *context, uint32_t index, za_class_metrics_t *out);
    /** Begins to leave; the answer does not wait for it. */
    za_err_t (*leave)(void *context);
    /** Has another key made for the cluster's datagrams; ZA_ENOENT: this node has none. */
    za_err_t (*rotate_keys)(void *context);
    /** Declares the member down. */
    za_err_t (*down)(void *context, const char *node);
} za_admin_view_t;

typedef struct za_admin za_admin_t;

/** `view` is copied; its context must outlive the service. ZA_ENOMEM. */
za_err_t za_admin_create(const za_admin_view_t *view, za_admin_t **out);
void za_admin_destroy(za_admin_t *admin);

/**
 * Answers one request (za.AdminRequest) with one reply (za.AdminReply). `roles` are the peer's.
 * ZA_ETOOBIG if `capacity` is less than the reply, which ZA_ADMIN_REPLY_BYTES_MAX never is.
 */
za_err_t za_admin_serve(za_admin_t *admin, uint32_t roles, const uint8_t *request, size_t size,
                        uint8_t *reply, size_t capacity, size_t *reply_size);
