/**
 * Transport: byte streams and datagrams between addresses, and the seam under every link. Host 1 is
 * net/loop_uv.h (sockets on libuv), host 2 src/sim/network.h (simulated).
 *
 * Threads  `write` may be called by any thread that holds the link's flag; everything else, and
 *          every callback, by the owner of the loop.
 * Memory   A connection is the transport's from connect/accepted until `close` returns; after `close`
 *          no callback comes for it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

typedef struct za_conn za_conn_t;

typedef enum za_listener {
    ZA_LISTENER_CLUSTER, // the node's port
    ZA_LISTENER_ADMIN,   // the local unix socket
} za_listener_t;

/** The host and port that a datagram claims to be from. */
typedef struct za_origin {
    uint8_t address[16]; // IPv6; IPv4 as ::ffff:a.b.c.d
    uint16_t port;
} za_origin_t;

/** Why a connection was refused before anybody was asked. */
typedef enum za_refusal {
    ZA_REFUSAL_DESCRIPTORS, // the process has none left
    ZA_REFUSAL_USER,        // another user, at the local unix socket
} za_refusal_t;

/** What the transport tells the node. `link` is what accepted returned or connect was given. */
typedef struct za_transport_events {
    /** A connection came in. NULL: refuse it. */
    void *(*accepted)(void *context, za_conn_t *conn, za_listener_t listener, const char *from);
    /** Optional. A connection came in and was refused. */
    void (*refused)(void *context, za_listener_t listener, za_refusal_t why);
    /** A connect ended: ZA_OK, or the connection is gone (ZA_EREFUSED, ZA_ETIMEOUT, ZA_EIO). */
    void (*connected)(void *link, za_err_t err);
    /** Bytes can be read; level-triggered: it comes again while there are some. */
    void (*readable)(void *link);
    /** Came after want_write: there is room again. */
    void (*writable)(void *link);
    /** A datagram came in. */
    void (*datagram)(void *context, const uint8_t *bytes, size_t size, const za_origin_t *from);
} za_transport_events_t;

typedef struct za_transport_ops {
    /** Begins to connect to "host:port". The answer is `connected`, never from inside this call. */
    za_err_t (*connect)(void *context, const char *address, void *link, za_conn_t **out);
    /** ZA_OK with *size 0: none now. ZA_ECLOSED: end of stream. ZA_EREFUSED: reset. */
    za_err_t (*read)(za_conn_t *conn, uint8_t *out, size_t capacity, size_t *size);
    /** Takes what fits; *taken < size: call want_write and wait. */
    za_err_t (*write)(za_conn_t *conn, const uint8_t *bytes, size_t size, size_t *taken);
    /** Optional. Whether `readable` is to come; at first it is. */
    void (*want_read)(za_conn_t *conn, bool wanted);
    /** Asks for one `writable`. */
    void (*want_write)(za_conn_t *conn);
    void (*close)(za_conn_t *conn);
    /**
     * Optional. Sends a datagram to "host:port"; ZA_OK says nothing of its arrival. ZA_ENOENT: the
     * host's address is not known yet, or there is no such host; ZA_EFULL: no buffer is free;
     * ZA_ETOOBIG; ZA_EREFUSED; ZA_EIO. Never waits.
     */
    za_err_t (*send_datagram)(void *context, const char *address, const uint8_t *bytes,
                              size_t size);
} za_transport_ops_t;

typedef struct za_transport {
    const za_transport_ops_t *ops;
    void *context;
} za_transport_t;
