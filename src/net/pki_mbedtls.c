#include "net/pki_mbedtls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform_util.h>

#include "base/assert.h"
#include "net/certificate_mbedtls.h"
#include "net/identity.h"

enum {
    EXTENSION_BYTES = 4096, // 16 names of 128 bytes, the node's URI and three roles, with room
    SERIAL_BYTES = 16,
    TAG_DNS = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2,
    TAG_URI = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 6,
    TAG_ADDRESS = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7,
};

static_assert(ZA_PKI_NAMES_MAX * (ZA_PKI_DNS_BYTES_MAX + 4) + 512 < EXTENSION_BYTES, "names fit");

/** Everything that one signature needs; all of it is freed on every way out. */
typedef struct maker {
    za_certificate_rng_t rng;
    mbedtls_pk_context subject_key;
    mbedtls_pk_context issuer_key;
    mbedtls_x509_crt issuer;
    mbedtls_x509write_cert writer;
    char *problem;
    size_t problem_bytes;
} maker_t;

void za_pki_zero(void *secret, size_t size)
{
    mbedtls_platform_zeroize(secret, size);
}

static za_err_t refuse(maker_t *maker, za_err_t err, const char *what, const char *detail)
{
    snprintf(maker->problem, maker->problem_bytes, "%s%s%s", what, detail[0] ? ": " : "", detail);
    return err;
}

static za_err_t failed(maker_t *maker, const char *what, int error)
{
    char text[128];
    return refuse(maker, ZA_ECRYPTO, what, za_certificate_error_text(error, text, sizeof text));
}

static void maker_init(maker_t *maker, char *problem, size_t problem_bytes)
{
    memset(maker, 0, sizeof *maker);
    mbedtls_pk_init(&maker->subject_key);
    mbedtls_pk_init(&maker->issuer_key);
    mbedtls_x509_crt_init(&maker->issuer);
    mbedtls_x509write_crt_init(&maker->writer);
    maker->problem = problem;
    maker->problem_bytes = problem_bytes;
}

static void maker_deinit(maker_t *maker)
{
    mbedtls_x509write_crt_free(&maker->writer);
    mbedtls_x509_crt_free(&maker->issuer);
    mbedtls_pk_free(&maker->issuer_key);
    mbedtls_pk_free(&maker->subject_key);
    za_certificate_rng_deinit(&maker->rng);
}

static za_err_t check_request(maker_t *maker, const za_pki_request_t *request)
{
    if (request->cluster == NULL ||
        !za_identity_name_valid(request->cluster, strlen(request->cluster))) {
        return refuse(maker, ZA_EINVAL, "a cluster name is 1 to 64 of A-Z a-z 0-9 . _ -", "");
    }
    if (request->not_before_s >= request->not_after_s) {
        return refuse(maker, ZA_EINVAL, "the certificate would end before it begins", "");
    }
    if (request->dns_name_count + request->address_count > ZA_PKI_NAMES_MAX) {
        return refuse(maker, ZA_EINVAL, "too many host names and addresses", "");
    }
    return ZA_OK;
}

static za_err_t check_node_request(maker_t *maker, const za_pki_request_t *request)
{
    const uint32_t roles_all = ZA_ROLE_MEMBER | ZA_ROLE_CLIENT | ZA_ROLE_ADMIN;
    if (request->node == NULL || !za_identity_name_valid(request->node, strlen(request->node))) {
        return refuse(maker, ZA_EINVAL, "a node name is 1 to 64 of A-Z a-z 0-9 . _ -", "");
    }
    if (request->roles == 0 || (request->roles & ~roles_all) != 0) {
        return refuse(maker, ZA_EINVAL, "a certificate needs a role: member, client or admin", "");
    }
    return check_request(maker, request);
}

static za_err_t make_key(maker_t *maker)
{
    int result = mbedtls_pk_setup(&maker->subject_key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (result == 0) {
        result = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(maker->subject_key),
                                     mbedtls_ctr_drbg_random, &maker->rng.drbg);
    }
    return result == 0 ? ZA_OK : failed(maker, "cannot make a key", result);
}

/** What certificates of authority and node have in common. */
static za_err_t write_common(maker_t *maker, const za_pki_request_t *request)
{
    mbedtls_x509write_cert *writer = &maker->writer;
    unsigned char serial[SERIAL_BYTES];
    char from[15];
    char until[15];
    if (za_certificate_time_text(request->not_before_s, from) != ZA_OK ||
        za_certificate_time_text(request->not_after_s, until) != ZA_OK) {
        return refuse(maker, ZA_EINVAL, "validity is outside of the years 1970 to 9999", "");
    }
    int result = mbedtls_ctr_drbg_random(&maker->rng.drbg, serial, sizeof serial);
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); // positive, and of full length
    if (result == 0) {
        result = za_mbed_set_serial(writer, serial, sizeof serial);
    }
    if (result == 0) {
        result = mbedtls_x509write_crt_set_validity(writer, from, until);
    }
    mbedtls_x509write_crt_set_version(writer, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(writer, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(writer, &maker->subject_key);
    return result == 0 ? ZA_OK : failed(maker, "cannot make a certificate", result);
}

/** The names of a certificate, written backwards as DER is: `at` moves down to `start`. */
typedef struct names {
    unsigned char *at;
    unsigned char *start;
    unsigned char bytes[EXTENSION_BYTES];
} names_t;

static int prepend(names_t *names, int tag, const void *bytes, size_t size)
{
    int result = mbedtls_asn1_write_raw_buffer(&names->at, names->start, bytes, size);
    if (result >= 0) {
        result = mbedtls_asn1_write_len(&names->at, names->start, size);
    }
    if (result >= 0) {
        result = mbedtls_asn1_write_tag(&names->at, names->start, (unsigned char)tag);
    }
    return result < 0 ? result : 0;
}

static int prepend_sequence_header(names_t *names)
{
    size_t size = (size_t)(names->bytes + sizeof names->bytes - names->at);
    int result = mbedtls_asn1_write_len(&names->at, names->start, size);
    if (result >= 0) {
        result = mbedtls_asn1_write_tag(&names->at, names->start,
                                        MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
    }
    return result < 0 ? result : 0;
}

static void names_init(names_t *names)
{
    names->start = names->bytes;
    names->at = names->bytes + sizeof names->bytes;
}

static za_err_t write_extension(maker_t *maker, names_t *names, const char *oid, size_t oid_size)
{
    int result = prepend_sequence_header(names);
    if (result == 0) {
        size_t size = (size_t)(names->bytes + sizeof names->bytes - names->at);
        result =
            mbedtls_x509write_crt_set_extension(&maker->writer, oid, oid_size, 0, names->at, size);
    }
    return result == 0 ? ZA_OK : failed(maker, "cannot write an extension", result);
}

static za_err_t prepend_hosts(maker_t *maker, names_t *names, const za_pki_request_t *request)
{
    for (uint32_t i = request->address_count; i-- > 0;) {
        unsigned char address[16];
        size_t size = inet_pton(AF_INET, request->addresses[i], address) == 1    ? 4
                      : inet_pton(AF_INET6, request->addresses[i], address) == 1 ? 16
                                                                                 : 0;
        if (size == 0) {
            return refuse(maker, ZA_EINVAL, "not an IP address", request->addresses[i]);
        }
        int result = prepend(names, TAG_ADDRESS, address, size);
        if (result != 0) {
            return failed(maker, "cannot write a name", result);
        }
    }
    for (uint32_t i = request->dns_name_count; i-- > 0;) {
        size_t size = strlen(request->dns_names[i]);
        if (size == 0 || size > ZA_PKI_DNS_BYTES_MAX) {
            return refuse(maker, ZA_EINVAL, "not a host name", request->dns_names[i]);
        }
        int result = prepend(names, TAG_DNS, request->dns_names[i], size);
        if (result != 0) {
            return failed(maker, "cannot write a name", result);
        }
    }
    return ZA_OK;
}

/** Written by hand: mbedTLS 2.28 has no writer of subject alternative names. */
static za_err_t write_names(maker_t *maker, const za_pki_request_t *request)
{
    names_t names;
    names_init(&names);
    za_err_t err = prepend_hosts(maker, &names, request);
    if (err != ZA_OK) {
        return err;
    }
    char uri[ZA_IDENTITY_URI_BYTES_MAX];
    err = za_identity_node_uri(request->cluster, request->node, uri);
    ZA_ASSERT(err == ZA_OK); // check_node_request has seen both names
    int result = 0;
    for (uint32_t role = ZA_ROLE_ADMIN; role != 0 && result == 0; role >>= 1) {
        if (request->roles & role) {
            const char *role_uri = za_identity_role_uri(role);
            result = prepend(&names, TAG_URI, role_uri, strlen(role_uri));
        }
    }
    if (result == 0) {
        result = prepend(&names, TAG_URI, uri, strlen(uri));
    }
    if (result != 0) {
        return failed(maker, "cannot write a name", result);
    }
    return write_extension(maker, &names, MBEDTLS_OID_SUBJECT_ALT_NAME,
                           MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME));
}

/** A node both accepts and connects: client and server. */
static za_err_t write_extended_usage(maker_t *maker)
{
    names_t usages;
    names_init(&usages);
    int result = prepend(&usages, MBEDTLS_ASN1_OID, MBEDTLS_OID_CLIENT_AUTH,
                         MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH));
    if (result == 0) {
        result = prepend(&usages, MBEDTLS_ASN1_OID, MBEDTLS_OID_SERVER_AUTH,
                         MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH));
    }
    if (result != 0) {
        return failed(maker, "cannot write the usage", result);
    }
    return write_extension(maker, &usages, MBEDTLS_OID_EXTENDED_KEY_USAGE,
                           MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE));
}

static za_err_t finish(maker_t *maker, za_pki_pair_t *out)
{
    za_pki_pair_t pair;
    memset(&pair, 0, sizeof pair);
    int result = mbedtls_x509write_crt_pem(&maker->writer, (unsigned char *)pair.certificate,
                                           sizeof pair.certificate, mbedtls_ctr_drbg_random,
                                           &maker->rng.drbg);
    if (result == 0) {
        result = mbedtls_pk_write_key_pem(&maker->subject_key, (unsigned char *)pair.key,
                                          sizeof pair.key);
    }
    if (result == 0) {
        *out = pair;
    }
    za_pki_zero(&pair, sizeof pair);
    return result == 0 ? ZA_OK : failed(maker, "cannot write the certificate", result);
}

static za_err_t make_authority(maker_t *maker, const za_pki_request_t *request, za_pki_pair_t *out)
{
    za_err_t err = check_request(maker, request);
    if (err != ZA_OK) {
        return err;
    }
    if (za_certificate_rng_init(&maker->rng) != ZA_OK) {
        return refuse(maker, ZA_ECRYPTO, "the system gives no random numbers", "");
    }
    err = make_key(maker);
    if (err == ZA_OK) {
        err = write_common(maker, request);
    }
    if (err != ZA_OK) {
        return err;
    }
    mbedtls_x509write_cert *writer = &maker->writer;
    mbedtls_x509write_crt_set_issuer_key(writer, &maker->subject_key);
    char name[128];
    snprintf(name, sizeof name, "O=%s,CN=zactor authority", request->cluster);
    int result = mbedtls_x509write_crt_set_subject_name(writer, name);
    if (result == 0) {
        result = mbedtls_x509write_crt_set_issuer_name(writer, name);
    }
    if (result == 0) {
        result = mbedtls_x509write_crt_set_basic_constraints(writer, 1, 0);
    }
    if (result == 0) {
        result = mbedtls_x509write_crt_set_key_usage(writer, MBEDTLS_X509_KU_KEY_CERT_SIGN |
                                                                 MBEDTLS_X509_KU_CRL_SIGN);
    }
    if (result == 0) {
        result = mbedtls_x509write_crt_set_subject_key_identifier(writer);
    }
    return result == 0 ? finish(maker, out) : failed(maker, "cannot make a certificate", result);
}

za_err_t za_pki_make_authority(const za_pki_request_t *request, za_pki_pair_t *out, char *problem,
                               size_t problem_bytes)
{
    ZA_ASSERT(request != NULL && out != NULL && problem != NULL);
    maker_t maker;
    maker_init(&maker, problem, problem_bytes);
    za_err_t err = make_authority(&maker, request, out);
    maker_deinit(&maker);
    return err;
}

static za_err_t read_authority(maker_t *maker, const za_pki_pair_t *authority)
{
    int result =
        mbedtls_x509_crt_parse(&maker->issuer, (const unsigned char *)authority->certificate,
                               strlen(authority->certificate) + 1);
    if (result != 0) {
        return failed(maker, "cannot read the authority's certificate", result);
    }
    result = za_mbed_parse_key(&maker->issuer_key, (const unsigned char *)authority->key,
                               strlen(authority->key) + 1, &maker->rng.drbg);
    if (result != 0) {
        return failed(maker, "cannot read the authority's key", result);
    }
    if (za_mbed_check_pair(&maker->issuer.pk, &maker->issuer_key, &maker->rng.drbg) != 0) {
        return refuse(maker, ZA_EINVAL, "the authority's key is not that of its certificate", "");
    }
    return ZA_OK;
}

static za_err_t make_node(maker_t *maker, const za_pki_pair_t *authority,
                          const za_pki_request_t *request, za_pki_pair_t *out)
{
    za_err_t err = check_node_request(maker, request);
    if (err != ZA_OK) {
        return err;
    }
    if (za_certificate_rng_init(&maker->rng) != ZA_OK) {
        return refuse(maker, ZA_ECRYPTO, "the system gives no random numbers", "");
    }
    err = read_authority(maker, authority);
    if (err == ZA_OK) {
        err = make_key(maker);
    }
    if (err == ZA_OK) {
        err = write_common(maker, request);
    }
    if (err == ZA_OK) {
        err = write_names(maker, request);
    }
    if (err == ZA_OK) {
        err = write_extended_usage(maker);
    }
    if (err != ZA_OK) {
        return err;
    }
    mbedtls_x509write_cert *writer = &maker->writer;
    mbedtls_x509write_crt_set_issuer_key(writer, &maker->issuer_key);
    char name[160];
    char issuer[256];
    snprintf(name, sizeof name, "O=%s,CN=%s", request->cluster, request->node);
    int result = mbedtls_x509_dn_gets(issuer, sizeof issuer, &maker->issuer.subject);
    if (result > 0) {
        result = mbedtls_x509write_crt_set_issuer_name(writer, issuer);
    }
    if (result == 0) {
        result = mbedtls_x509write_crt_set_subject_name(writer, name);
    }
    if (result == 0) {
        result = mbedtls_x509write_crt_set_basic_constraints(writer, 0, -1);
    }
    if (result == 0) {
        result = mbedtls_x509write_crt_set_key_usage(writer, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    }
    if (result == 0) {
        result = mbedtls_x509write_crt_set_subject_key_identifier(writer);
    }
    if (result == 0) {
        result = mbedtls_x509write_crt_set_authority_key_identifier(writer);
    }
    return result == 0 ? finish(maker, out) : failed(maker, "cannot make a certificate", result);
}

za_err_t za_pki_make_node(const za_pki_pair_t *authority, const za_pki_request_t *request,
                          za_pki_pair_t *out, char *problem, size_t problem_bytes)
{
    ZA_ASSERT(authority != NULL && request != NULL && out != NULL && problem != NULL);
    maker_t maker;
    maker_init(&maker, problem, problem_bytes);
    za_err_t err = make_node(&maker, authority, request, out);
    maker_deinit(&maker);
    return err;
}

static void describe(const mbedtls_x509_crt *certificate, za_pki_info_t *out)
{
    memset(out, 0, sizeof *out);
    mbedtls_x509_dn_gets(out->subject, sizeof out->subject, &certificate->subject);
    mbedtls_x509_dn_gets(out->issuer, sizeof out->issuer, &certificate->issuer);
    for (size_t i = 0; i < certificate->serial.len && 2 * i + 3 <= sizeof out->serial; i++) {
        snprintf(out->serial + 2 * i, 3, "%02x", certificate->serial.p[i]);
    }
    za_identity_t identity;
    za_certificate_names_t names = za_certificate_identity(certificate, &identity);
    if (names == ZA_CERTIFICATE_NAMES_OK || names == ZA_CERTIFICATE_NO_ROLE) {
        out->identity = identity;
    }
    out->authority = certificate->ZA_MBED_PRIVATE(ca_istrue) != 0;
    out->not_before_s = za_certificate_time_s(&certificate->valid_from);
    out->not_after_s = za_certificate_time_s(&certificate->valid_to);
}

za_err_t za_pki_describe(const char *pem, za_pki_info_t *out, char *problem, size_t problem_bytes)
{
    ZA_ASSERT(pem != NULL && out != NULL && problem != NULL);
    mbedtls_x509_crt certificate;
    mbedtls_x509_crt_init(&certificate);
    int result = mbedtls_x509_crt_parse(&certificate, (const unsigned char *)pem, strlen(pem) + 1);
    if (result < 0 || certificate.version == 0) { // a positive result: some of a bundle are bad
        char text[128];
        snprintf(problem, problem_bytes, "not a certificate: %s",
                 za_certificate_error_text(result, text, sizeof text));
        mbedtls_x509_crt_free(&certificate);
        return ZA_EINVAL;
    }
    describe(&certificate, out);
    mbedtls_x509_crt_free(&certificate);
    return ZA_OK;
}
