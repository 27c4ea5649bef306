/**
 * A certificate authority for one cluster, made with mbedTLS alone: P-256 keys, certificates that
 * carry a node's name and roles (net/identity.h). Memory in and out; net/pki_file.h does files.
 *
 * Memory   Nothing is kept. Private keys are zeroed where they were worked on; the PEM handed out is
 *          the caller's to zero.
 * Errors   ZA_EINVAL for a request that cannot be met and ZA_ECRYPTO otherwise, each with one line
 *          in `problem`.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

#include "net/security.h"

enum {
    ZA_PKI_PEM_BYTES_MAX = 4096, // a P-256 certificate with all its names is below 2.5 KiB
    ZA_PKI_NAMES_MAX = 16,       // DNS names and addresses of one certificate
    ZA_PKI_DNS_BYTES_MAX = 128,
};

/** A certificate and its private key, as PEM text. */
typedef struct za_pki_pair {
    char certificate[ZA_PKI_PEM_BYTES_MAX];
    char key[ZA_PKI_PEM_BYTES_MAX];
} za_pki_pair_t;

typedef struct za_pki_request {
    const char *cluster;
    const char *node;     // not used for an authority
    uint32_t roles;       // ZA_ROLE_*, at least one; not used for an authority
    int64_t not_before_s; // Unix time
    int64_t not_after_s;
    const char *const *dns_names; // optional: for tools that check host names
    uint32_t dns_name_count;
    const char *const *addresses; // optional: "10.0.0.1", "fd00::1"
    uint32_t address_count;
} za_pki_request_t;

/** What a certificate says. */
typedef struct za_pki_info {
    char subject[256];
    char issuer[256];
    char serial[64];        // hexadecimal
    za_identity_t identity; // never `verified`; empty names if it has none of ours
    bool authority;
    int64_t not_before_s;
    int64_t not_after_s;
} za_pki_info_t;

/** A new key and self-signed certificate that may sign nodes' and nothing below them. */
za_err_t za_pki_make_authority(const za_pki_request_t *request, za_pki_pair_t *out, char *problem,
                               size_t problem_bytes);

/** A new key and certificate of a node, signed by `authority`. */
za_err_t za_pki_make_node(const za_pki_pair_t *authority, const za_pki_request_t *request,
                          za_pki_pair_t *out, char *problem, size_t problem_bytes);

/** Reads the first certificate of `pem`. ZA_EINVAL if there is none. */
za_err_t za_pki_describe(const char *pem, za_pki_info_t *out, char *problem, size_t problem_bytes);

/** Overwrites memory that held secrets, in a way that the compiler does not leave out. */
void za_pki_zero(void *secret, size_t size);
