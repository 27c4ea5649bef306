/**
 * Certificates: what sessions and the certificate authority both ask of one, and the random
 * generator both draw from.
 */
#pragma once

#include "net/compat_mbedtls.h"
#include "net/security.h"

typedef enum za_certificate_names {
    ZA_CERTIFICATE_NAMES_OK,
    ZA_CERTIFICATE_NO_NODE, // no zactor://<cluster>/<node>
    ZA_CERTIFICATE_NO_ROLE,
    ZA_CERTIFICATE_NAMES_BAD, // malformed, or more than one node
} za_certificate_names_t;

/** Reads the identity that the certificate's names state; whether to believe it is not asked. */
za_certificate_names_t za_certificate_identity(const mbedtls_x509_crt *certificate,
                                               za_identity_t *out);

/** Seconds since 1970, UTC. */
int64_t za_certificate_time_s(const mbedtls_x509_time *time);

/** "YYYYMMDDhhmmss" of seconds since 1970; ZA_EINVAL outside of 1970 to 9999. */
za_err_t za_certificate_time_text(int64_t time_s, char out[15]);

/** A generator seeded from the kernel's. */
typedef struct za_certificate_rng {
    mbedtls_ctr_drbg_context drbg;
} za_certificate_rng_t;

/** deinit also after a failure. Initialises PSA too, which TLS 1.3 needs. ZA_ECRYPTO. */
za_err_t za_certificate_rng_init(za_certificate_rng_t *rng);
void za_certificate_rng_deinit(za_certificate_rng_t *rng);

/** mbedTLS's own text of its error, for the tail of a problem. */
const char *za_certificate_error_text(int error, char *out, size_t out_bytes);
