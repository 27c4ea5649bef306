#include "net/revocation_mbedtls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>

#include "base/assert.h"
#include "net/certificate_mbedtls.h"

enum {
    SERIAL_BYTES_MAX = 20, // RFC 5280
    LIST_BYTES_MAX = ZA_PKI_REVOKED_MAX * 54 + 2048,
    SEQUENCE = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE,
};

static_assert(LIST_BYTES_MAX / 48 * 65 + 256 <= ZA_PKI_REVOKED_PEM_BYTES_MAX, "a list fits as PEM");

/** DER is written backwards: `at` moves down to `start`. */
typedef struct writer {
    za_certificate_rng_t rng;
    mbedtls_x509_crt issuer;
    mbedtls_pk_context key;
    int error; // the first one; nothing is written after it
    unsigned char *at;
    unsigned char bytes[LIST_BYTES_MAX];
} writer_t;

/** Takes what an mbedTLS writer answered: bytes written, or its error. */
static void note(writer_t *writer, int result)
{
    if (result < 0 && writer->error == 0) {
        writer->error = result;
    }
}

static void put_raw(writer_t *writer, const void *bytes, size_t size)
{
    if (writer->error == 0) {
        note(writer, mbedtls_asn1_write_raw_buffer(&writer->at, writer->bytes, bytes, size));
    }
}

/** The header of what was written since the end was `end`. */
static void put_header(writer_t *writer, const unsigned char *end_of, int tag)
{
    if (writer->error == 0) {
        size_t size = (size_t)(end_of - writer->at);
        note(writer, mbedtls_asn1_write_len(&writer->at, writer->bytes, size));
    }
    if (writer->error == 0) {
        note(writer, mbedtls_asn1_write_tag(&writer->at, writer->bytes, (unsigned char)tag));
    }
}

static void put_algorithm(writer_t *writer)
{
    const unsigned char *end_of = writer->at;
    put_raw(writer, MBEDTLS_OID_ECDSA_SHA256, MBEDTLS_OID_SIZE(MBEDTLS_OID_ECDSA_SHA256));
    put_header(writer, end_of, MBEDTLS_ASN1_OID);
    put_header(writer, end_of, SEQUENCE);
}

/** RFC 5280: two digits of the year until 2049, four from then on. */
static void put_time(writer_t *writer, int64_t time_s)
{
    char text[16];
    const unsigned char *end_of = writer->at;
    if (za_certificate_time_text(time_s, text) != ZA_OK) {
        note(writer, MBEDTLS_ERR_X509_INVALID_DATE);
        return;
    }
    bool two_digits = memcmp(text, "2050", 4) < 0;
    put_raw(writer, "Z", 1);
    put_raw(writer, text + (two_digits ? 2 : 0), two_digits ? 12 : 14);
    put_header(writer, end_of, two_digits ? MBEDTLS_ASN1_UTC_TIME : MBEDTLS_ASN1_GENERALIZED_TIME);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/** Bytes of a hexadecimal serial number; 0 if it is none. */
static size_t parse_serial(const char *text, unsigned char out[SERIAL_BYTES_MAX])
{
    size_t size = 0;
    for (; text[0] != '\0'; text += 2) {
        int high = hex_digit(text[0]);
        int low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0 || size == SERIAL_BYTES_MAX) {
            return 0;
        }
        out[size++] = (unsigned char)(high << 4 | low);
    }
    return size;
}

static bool put_serial(writer_t *writer, const char *text, int64_t time_s)
{
    unsigned char serial[SERIAL_BYTES_MAX];
    size_t size = parse_serial(text, serial);
    if (size == 0) {
        return false;
    }
    const unsigned char *end_of = writer->at;
    put_time(writer, time_s);
    const unsigned char *end_of_serial = writer->at;
    // As the certificate has it: mbedTLS compares the bytes.
    put_raw(writer, serial, size);
    put_header(writer, end_of_serial, MBEDTLS_ASN1_INTEGER);
    put_header(writer, end_of, SEQUENCE);
    return true;
}

/** The part that is signed. */
static za_err_t put_list(writer_t *writer, const za_pki_revocations_t *request, char *problem,
                         size_t problem_bytes)
{
    const unsigned char *end_of = writer->at;
    for (uint32_t i = request->serial_count; i-- > 0;) {
        if (!put_serial(writer, request->serials[i], request->this_update_s)) {
            snprintf(problem, problem_bytes, "not a serial number: %.60s", request->serials[i]);
            return ZA_EINVAL;
        }
    }
    if (request->serial_count > 0) { // an empty sequence is not allowed there
        put_header(writer, end_of, SEQUENCE);
    }
    put_time(writer, request->next_update_s);
    put_time(writer, request->this_update_s);
    put_raw(writer, writer->issuer.subject_raw.p, writer->issuer.subject_raw.len);
    put_algorithm(writer);
    if (writer->error == 0) {
        note(writer, mbedtls_asn1_write_int(&writer->at, writer->bytes, 1)); // version 2
    }
    put_header(writer, end_of, SEQUENCE);
    return ZA_OK;
}

/**
 * Signs the list, and puts it, the algorithm and the signature into one sequence. The signature is
 * behind the list and known last: the list is written at some distance from the end and moved.
 */
static void put_signed(writer_t *writer, const unsigned char *end_of_list)
{
    unsigned char list[LIST_BYTES_MAX];
    unsigned char hash[32];
    unsigned char signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t signature_size = 0;
    size_t list_size = (size_t)(end_of_list - writer->at);
    memcpy(list, writer->at, list_size);
    note(writer, za_mbed_sha256(list, list_size, hash));
    if (writer->error == 0) {
        note(writer, za_mbed_sign_sha256(&writer->key, hash, signature, sizeof signature,
                                         &signature_size, &writer->rng.drbg));
    }
    writer->at = writer->bytes + sizeof writer->bytes;
    put_raw(writer, signature, signature_size);
    put_raw(writer, "", 1); // no unused bits
    put_header(writer, end_of_list, MBEDTLS_ASN1_BIT_STRING);
    put_algorithm(writer);
    put_raw(writer, list, list_size);
    put_header(writer, end_of_list, SEQUENCE);
}

static za_err_t make(writer_t *writer, const za_pki_pair_t *authority,
                     const za_pki_revocations_t *request, char *problem, size_t problem_bytes)
{
    if (request->serial_count > ZA_PKI_REVOKED_MAX ||
        request->this_update_s >= request->next_update_s) {
        snprintf(problem, problem_bytes,
                 "a list has at most %d certificates, and ends after it begins",
                 ZA_PKI_REVOKED_MAX);
        return ZA_EINVAL;
    }
    note(writer,
         mbedtls_x509_crt_parse(&writer->issuer, (const unsigned char *)authority->certificate,
                                strlen(authority->certificate) + 1));
    if (writer->error == 0) {
        note(writer, za_mbed_parse_key(&writer->key, (const unsigned char *)authority->key,
                                       strlen(authority->key) + 1, &writer->rng.drbg));
    }
    if (writer->error != 0) {
        snprintf(problem, problem_bytes, "cannot read the authority's certificate and key");
        return ZA_EINVAL;
    }
    const unsigned char *end_of = writer->at;
    za_err_t err = put_list(writer, request, problem, problem_bytes);
    if (err != ZA_OK) {
        return err;
    }
    put_signed(writer, end_of);
    return ZA_OK;
}

static void write_pem(writer_t *writer, char *out, size_t out_bytes)
{
    size_t size = (size_t)(writer->bytes + sizeof writer->bytes - writer->at);
    size_t written;
    if (writer->error == 0) {
        note(writer,
             mbedtls_pem_write_buffer("-----BEGIN X509 CRL-----\n", "-----END X509 CRL-----\n",
                                      writer->at, size, (unsigned char *)out, out_bytes, &written));
    }
}

za_err_t za_pki_make_revocations(const za_pki_pair_t *authority,
                                 const za_pki_revocations_t *request, char *out, size_t out_bytes,
                                 char *problem, size_t problem_bytes)
{
    ZA_ASSERT(authority != NULL && request != NULL && out != NULL && problem != NULL);
    writer_t *writer = calloc(1, sizeof *writer);
    if (writer == NULL) {
        snprintf(problem, problem_bytes, "no memory for a revocation list");
        return ZA_ENOMEM;
    }
    writer->at = writer->bytes + sizeof writer->bytes;
    mbedtls_x509_crt_init(&writer->issuer);
    mbedtls_pk_init(&writer->key);
    za_err_t err = za_certificate_rng_init(&writer->rng);
    if (err != ZA_OK) {
        snprintf(problem, problem_bytes, "the system gives no random numbers");
    } else {
        err = make(writer, authority, request, problem, problem_bytes);
    }
    if (err == ZA_OK) {
        write_pem(writer, out, out_bytes);
    }
    if (err == ZA_OK && writer->error != 0) {
        char text[128];
        snprintf(problem, problem_bytes, "cannot write a revocation list: %s",
                 za_certificate_error_text(writer->error, text, sizeof text));
        err = ZA_ECRYPTO;
    }
    mbedtls_pk_free(&writer->key);
    mbedtls_x509_crt_free(&writer->issuer);
    za_certificate_rng_deinit(&writer->rng);
    free(writer);
    return err;
}
