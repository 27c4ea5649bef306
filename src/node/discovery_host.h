/**
 * Discovery in a process: node/discovery.h with DNS, files and the loop's clock. A node whose seeds are
 * all addresses has none of it.
 *
 * Threads  The owner of the loop.
 */
#pragma once

#include "net/loop_uv.h"
#include "node/config.h"
#include "node/discovery.h"
#include "node/node.h"

typedef struct za_discovery_host za_discovery_host_t;

/**
 * *out is NULL if there is nothing to discover. ZA_EINVAL: the name servers of the configuration;
 * ZA_ENOMEM. `settings` must outlive it.
 */
za_err_t za_discovery_host_create(za_loop_t *loop, const za_settings_t *settings,
                                  uint32_t joined_ms, za_discovery_host_t **out);
/** Before the loop and the node. NULL is allowed. */
void za_discovery_host_destroy(za_discovery_host_t *host);

/** Whom it tells what it finds. Before its first turn. ZA_EINVAL, ZA_ENOMEM. */
za_err_t za_discovery_host_attach(za_discovery_host_t *host, za_node_t *node);
/** Asks what is due. After za_node_service. */
void za_discovery_host_turn(za_discovery_host_t *host);
/** When the next turn is due, on the node's clock; UINT64_MAX: not before an answer. */
uint64_t za_discovery_host_deadline_ms(const za_discovery_host_t *host);
