/**
 * Security of one connection: bytes of the socket on one side, plaintext on the other. Sans-IO: it
 * neither reads nor writes sockets. Two kinds: `tls` (net/tls_mbedtls.h) and `plain` (net/plain.h,
 * for simulation and for the explicit insecure mode on loopback).
 *
 * Memory   Created and destroyed per connection, outside the path of a message. In between it does
 *          not allocate; out-buffers are the caller's.
 * Threads  One at a time per connection.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

/** What the peer's certificate says of it. Plain connections have role member and empty names. */
typedef struct za_identity {
    bool verified;    // from a certificate that was checked
    char cluster[65]; // of SAN URI zactor://<cluster>/<node>
    char node[65];
    uint32_t roles; // ZA_ROLE_*
} za_identity_t;

enum { ZA_ROLE_MEMBER = 1, ZA_ROLE_CLIENT = 2, ZA_ROLE_ADMIN = 4 };

typedef struct za_security za_security_t;

typedef struct za_security_ops {
    /** Puts bytes of the socket in; *taken may be less than `size` (its buffer is full). */
    za_err_t (*push_wire)(za_security_t *security, const uint8_t *bytes, size_t size,
                          size_t *taken);
    /** Takes bytes for the socket out; *size 0: none now. */
    za_err_t (*pull_wire)(za_security_t *security, uint8_t *out, size_t capacity, size_t *size);
    /**
     * Advances the handshake as far as the bytes allow. *done once it is over; then `peer` is known.
     * ZA_EAUTH ZA_EPROTO ZA_ECRYPTO: over, and `problem` says why in one line for the log.
     * Costs up to 10 ms of CPU a call with TLS.
     */
    za_err_t (*handshake)(za_security_t *security, bool *done, za_identity_t *peer, char *problem,
                          size_t problem_bytes);
    /** Seals plaintext; *taken may be less than `size` when pull_wire must make room first. */
    za_err_t (*seal)(za_security_t *security, const uint8_t *plain, size_t size, size_t *taken);
    /** Opens received bytes; *size 0: none now. ZA_ECLOSED after the peer's close_notify. */
    za_err_t (*open)(za_security_t *security, uint8_t *out, size_t capacity, size_t *size);
    /** Queues a close_notify for pull_wire. */
    void (*close)(za_security_t *security);
    /** Nothing has passed for a while: gives back the memory of buffers that are empty. */
    void (*rest)(za_security_t *security);
    void (*destroy)(za_security_t *security);
} za_security_ops_t;

/** Every kind of security begins with this. */
struct za_security {
    const za_security_ops_t *ops;
};

typedef enum za_side { ZA_SIDE_CLIENT, ZA_SIDE_SERVER } za_side_t;

/** Makes the security of new connections: one per node. */
typedef struct za_security_factory {
    void *context;
    za_err_t (*create)(void *context, za_side_t side, za_security_t **out);
} za_security_factory_t;
