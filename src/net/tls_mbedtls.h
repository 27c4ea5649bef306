/**
 * TLS for the connections of one node: both sides show a certificate of the cluster's authority and
 * check the other's; TLS 1.2 or 1.3, ECDHE with ECDSA, ChaCha20-Poly1305 before AES-GCM (twice as
 * fast in Debian's mbedTLS), no renegotiation, no resumption, ALPN "zactor/1".
 *
 * Identity  The peer's certificate names exactly one zactor://<cluster>/<node>, with our cluster, and
 *           at least one role: see net/identity.h. Host names are not looked at.
 * Memory    A connection takes 132 KiB of address space, of which it touches what it uses, and
 *           mbedTLS's own 40 KiB. Before the handshake is over it takes in at most 16 KiB.
 * Threads   One connection belongs to one thread at a time; those of one za_tls_t share nothing but
 *           the random generator, which mbedTLS locks.
 * Rotation  New files are a new za_tls_t. Connections keep theirs until they end.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

#include "net/security.h"

#define ZA_TLS_ALPN "zactor/1"

/** PEM, from a file or, where `text` is set, from memory. Both NULL: none. */
typedef struct za_tls_pem {
    const char *path;
    const char *text;
} za_tls_pem_t;

typedef struct za_tls_config {
    za_tls_pem_t authorities; // one or more: two while they are being exchanged
    za_tls_pem_t certificate; // this node's, with intermediates after it
    za_tls_pem_t key;
    za_tls_pem_t revoked; // optional revocation list; one past its end refuses everybody
    const char *cluster;
    /** Unix time to check validity against; NULL: the system's clock. */
    int64_t (*now_s)(void *context);
    void *now_context;
} za_tls_config_t;

typedef struct za_tls za_tls_t;

/** Loads and checks everything. ZA_ECONFIG, ZA_ENOENT, ZA_EIO, ZA_ECRYPTO with one line of `problem`. */
za_err_t za_tls_create(const za_tls_config_t *config, za_tls_t **out, char *problem,
                       size_t problem_bytes);

/** Lets go of it; what connections still use lives until the last of them is destroyed. */
void za_tls_destroy(za_tls_t *tls);

za_security_factory_t za_tls_factory(za_tls_t *tls);

/** What our own certificate says, and until when. */
const za_identity_t *za_tls_identity(const za_tls_t *tls);
int64_t za_tls_not_after_s(const za_tls_t *tls);
