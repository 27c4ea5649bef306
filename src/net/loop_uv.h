/**
 * Loop: host 1's transport, sockets on libuv. Readiness comes from uv_poll_t, bytes are read and
 * written here, so that a worker may write to a socket without owning the loop.
 *
 * Threads  za_loop_interrupt and the transport's write: any thread. Everything else: the owner.
 */
#pragma once

#include "net/transport.h"

typedef struct za_loop za_loop_t;

/** `context` is handed to accepted. ZA_ENOMEM, ZA_EIO. */
za_err_t za_loop_create(const za_transport_events_t *events, za_loop_t **out);
void za_loop_set_context(za_loop_t *loop, void *context);
za_transport_t za_loop_transport(za_loop_t *loop);

typedef enum za_loop_port {
    ZA_LOOP_STREAMS,   // TCP
    ZA_LOOP_DATAGRAMS, // TCP, and UDP under the same number
} za_loop_port_t;

/**
 * Listens on "host:port" (numeric host; port 0: any), once. `bound` gets the address really bound.
 * ZA_EINVAL, ZA_EEXIST (in use), ZA_EIO; `problem` says what to do.
 */
za_err_t za_loop_listen(za_loop_t *loop, const char *address, za_loop_port_t port, char *bound,
                        size_t bound_bytes, char *problem, size_t problem_bytes);
/** Listens on a unix socket of mode 0600; only the same user and root are served. */
za_err_t za_loop_listen_unix(za_loop_t *loop, const char *path, char *problem,
                             size_t problem_bytes);

/** Handles what is ready, waiting up to `timeout_ns` for something. */
void za_loop_poll(za_loop_t *loop, uint64_t timeout_ns);
struct uv_loop_s;
/** For the other parts of this folder that are built on libuv. */
struct uv_loop_s *za_loop_uv(za_loop_t *loop);
/** Makes a waiting poll return. */
void za_loop_interrupt(za_loop_t *loop);

/** All connections must be closed. */
void za_loop_destroy(za_loop_t *loop);
