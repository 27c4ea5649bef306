/**
 * The differences between mbedTLS 2.28 and 3.6, and nothing else: every other file of ours reads as
 * if there were one mbedTLS.
 */
#pragma once

#include <stdbool.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#if !defined(MBEDTLS_THREADING_C)
#error                                                                                             \
    "the connections of a node share one random generator: build mbedTLS with MBEDTLS_THREADING_C"
#endif

#if MBEDTLS_VERSION_MAJOR >= 3

#define ZA_MBED_PRIVATE(field) MBEDTLS_PRIVATE(field)

/** TLS 1.3 is built on PSA. */
static inline bool za_mbed_psa_init(void)
{
    return psa_crypto_init() == PSA_SUCCESS;
}

static const int za_mbed_suites[] = { MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
                                      MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
                                      MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
                                      MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                                      MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                      MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                                      0 };

static inline int za_mbed_parse_key(mbedtls_pk_context *key, const unsigned char *pem, size_t size,
                                    mbedtls_ctr_drbg_context *drbg)
{
    return mbedtls_pk_parse_key(key, pem, size, NULL, 0, mbedtls_ctr_drbg_random, drbg);
}

static inline int za_mbed_check_pair(const mbedtls_pk_context *public_key,
                                     const mbedtls_pk_context *private_key,
                                     mbedtls_ctr_drbg_context *drbg)
{
    return mbedtls_pk_check_pair(public_key, private_key, mbedtls_ctr_drbg_random, drbg);
}

static inline void za_mbed_restrict(mbedtls_ssl_config *config)
{
    static const uint16_t groups[] = { MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
                                       MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
                                       MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
                                       MBEDTLS_SSL_IANA_TLS_GROUP_NONE };
    static const uint16_t signatures[] = { MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256,
                                           MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
                                           MBEDTLS_TLS1_3_SIG_NONE };
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_groups(config, groups);
    mbedtls_ssl_conf_sig_algs(config, signatures);
}

static inline int za_mbed_set_serial(mbedtls_x509write_cert *certificate, unsigned char *serial,
                                     size_t size)
{
    return mbedtls_x509write_crt_set_serial_raw(certificate, serial, size);
}

static inline int za_mbed_sign_sha256(mbedtls_pk_context *key, const unsigned char hash[32],
                                      unsigned char *out, size_t out_bytes, size_t *size,
                                      mbedtls_ctr_drbg_context *drbg)
{
    return mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, 32, out, out_bytes, size,
                           mbedtls_ctr_drbg_random, drbg);
}

static inline int za_mbed_sha256(const unsigned char *bytes, size_t size, unsigned char hash[32])
{
    return mbedtls_sha256(bytes, size, hash, 0);
}

#else

#define ZA_MBED_PRIVATE(field) field

/** TLS 1.2 does without PSA, whose collector of entropy alone takes 40 KiB. */
static inline bool za_mbed_psa_init(void)
{
    return true;
}

// 2.28 knows TLS 1.2 only: no tickets arrive after the handshake.
#define MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET (-0x7B00 - 0x10000)

// None of TLS 1.3: a server of 2.28 that has one in its list, and meets a client which offers it,
// ends the handshake with an internal error.
static const int za_mbed_suites[] = { MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                                      MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                                      MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, 0 };

static inline int za_mbed_parse_key(mbedtls_pk_context *key, const unsigned char *pem, size_t size,
                                    mbedtls_ctr_drbg_context *drbg)
{
    (void)drbg;
    return mbedtls_pk_parse_key(key, pem, size, NULL, 0);
}

static inline int za_mbed_check_pair(const mbedtls_pk_context *public_key,
                                     const mbedtls_pk_context *private_key,
                                     mbedtls_ctr_drbg_context *drbg)
{
    (void)drbg;
    return mbedtls_pk_check_pair(public_key, private_key);
}

static inline void za_mbed_restrict(mbedtls_ssl_config *config)
{
    static const mbedtls_ecp_group_id curves[] = { MBEDTLS_ECP_DP_CURVE25519,
                                                   MBEDTLS_ECP_DP_SECP256R1,
                                                   MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_NONE };
    static const int hashes[] = { MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_NONE };
    // Without this 2.28 still accepts TLS 1.0.
    mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_curves(config, curves);
    mbedtls_ssl_conf_sig_hashes(config, hashes);
}

static inline int za_mbed_set_serial(mbedtls_x509write_cert *certificate, unsigned char *serial,
                                     size_t size)
{
    mbedtls_mpi number;
    mbedtls_mpi_init(&number);
    int result = mbedtls_mpi_read_binary(&number, serial, size);
    if (result == 0) {
        result = mbedtls_x509write_crt_set_serial(certificate, &number);
    }
    mbedtls_mpi_free(&number);
    return result;
}

static inline int za_mbed_sign_sha256(mbedtls_pk_context *key, const unsigned char hash[32],
                                      unsigned char *out, size_t out_bytes, size_t *size,
                                      mbedtls_ctr_drbg_context *drbg)
{
    // 2.28 takes the greatest signature's room for granted.
    return out_bytes < MBEDTLS_PK_SIGNATURE_MAX_SIZE
               ? MBEDTLS_ERR_PK_BAD_INPUT_DATA
               : mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, 32, out, size,
                                 mbedtls_ctr_drbg_random, drbg);
}

static inline int za_mbed_sha256(const unsigned char *bytes, size_t size, unsigned char hash[32])
{
    return mbedtls_sha256_ret(bytes, size, hash, 0);
}

#endif
