/**
 * UDP: the port of one node for datagrams, on libuv's readiness. Bytes are read and written here, in
 * batches, until the socket is empty: what has arrived is handled before any timer.
 *
 * Names    Addresses of members may be host names. They are looked up beside, and again after a
 *          minute; until the first answer a datagram is not sent.
 * Memory   Taken in create, but for a look-up's request.
 * Threads  The owner of the loop.
 */
#pragma once

#include "net/transport.h"

struct sockaddr;
struct uv_loop_s;

typedef struct za_udp za_udp_t;

typedef struct za_udp_receiver {
    void *context;
    void (*receive)(void *context, const uint8_t *bytes, size_t size, const za_origin_t *from);
} za_udp_receiver_t;

/**
 * Binds `address`, an IPv4 or IPv6 socket address with a port. ZA_EEXIST (in use), ZA_ENOMEM, ZA_EIO,
 * with the reason in errno.
 */
za_err_t za_udp_create(struct uv_loop_s *loop, const struct sockaddr *address,
                       const za_udp_receiver_t *receiver, za_udp_t **out);
/** The rest goes when the loop runs again. */
void za_udp_destroy(za_udp_t *udp);

/** As za_transport_ops_t.send_datagram. */
za_err_t za_udp_send(za_udp_t *udp, const char *address, const uint8_t *bytes, size_t size);
