/**
 * Simulated network: byte streams with latency, loss (as retransmission), partitions, resets and
 * bounded buffers, under the transport interface of net/transport.h.
 *
 * It owns the calendar: every thing that happens is an event with a virtual time and a number; ties
 * go by number, so a run is a function of the seed and the calls.
 */
#pragma once

#include "base/rng.h"
#include "net/transport.h"

typedef struct za_network za_network_t;

enum { ZA_NETWORK_HOSTS_MAX = 320 };

typedef struct za_network_events {
    /** Something arrived for the host, or the time it asked for has come: run it. */
    void (*run)(void *context, uint32_t host);
} za_network_events_t;

za_err_t za_network_create(uint64_t seed, const za_network_events_t *events, void *context,
                           za_network_t **out);
void za_network_destroy(za_network_t *network);

/** The transport of one host; `link_events` and `node` serve its connections. */
za_transport_t za_network_attach(za_network_t *network, uint32_t host,
                                 const za_transport_events_t *link_events);
void za_network_set_node(za_network_t *network, uint32_t host, void *node);
/** The process of the host is gone: its connections are reset. */
void za_network_detach(za_network_t *network, uint32_t host);
/** "sim:<host>": the address of a host. */
void za_network_address(uint32_t host, char *text, size_t bytes);

void za_network_set_path(za_network_t *network, uint32_t from, uint32_t to, uint32_t latency_us_min,
                         uint32_t latency_us_max, uint32_t loss_permille);
void za_network_block(za_network_t *network, uint32_t from, uint32_t to, bool blocked);
void za_network_reset(za_network_t *network, uint32_t a, uint32_t b);

/** Calls the transport callbacks of everything that is ready at the host. */
void za_network_deliver(za_network_t *network, uint32_t host);

uint64_t za_network_now_ns(const za_network_t *network);
/** Asks for `run` at `at_ns` (earlier requests stay). */
void za_network_wake_at(za_network_t *network, uint32_t host, uint64_t at_ns);
/** Handles the next event not after `until_ns`; false, with the time at `until_ns`, if none. */
bool za_network_step(za_network_t *network, uint64_t until_ns);

uint64_t za_network_hash(const za_network_t *network);
uint64_t za_network_event_count(const za_network_t *network);
