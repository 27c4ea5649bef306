// Peers that our own code would never be: made of mbedTLS as it is, with other certificates, other
// protocols, or none.
#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>

#include "net/certificate_mbedtls.h"
#include "tls_support.h"

enum { NAMES_BYTES = 512, TAG_URI = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 6 };

/** What is odd about the peer. */
typedef struct odd {
    const char *uris[4]; // names of its certificate; none at all: no certificate
    bool no_certificate;
    const char *alpn; // NULL: none
} odd_t;

typedef struct foreign {
    za_certificate_rng_t rng;
    mbedtls_x509_crt authority;
    mbedtls_x509_crt certificate;
    mbedtls_pk_context key;
    mbedtls_pk_context authority_key;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    const char *alpn[2];
    za_security_t *server;
} foreign_t;

static void good(int result, const char *what)
{
    cr_assert(result >= 0, "%s: -0x%x", what, (unsigned)-result);
}

static void write_names(mbedtls_x509write_cert *writer, const odd_t *odd)
{
    unsigned char bytes[NAMES_BYTES];
    unsigned char *at = bytes + sizeof bytes;
    for (int i = 3; i >= 0; i--) {
        if (odd->uris[i] != NULL) {
            size_t size = strlen(odd->uris[i]);
            good(mbedtls_asn1_write_raw_buffer(&at, bytes, (const unsigned char *)odd->uris[i],
                                               size),
                 "raw");
            good(mbedtls_asn1_write_len(&at, bytes, size), "length");
            good(mbedtls_asn1_write_tag(&at, bytes, TAG_URI), "tag");
        }
    }
    size_t size = (size_t)(bytes + sizeof bytes - at);
    if (size == 0) {
        return;
    }
    good(mbedtls_asn1_write_len(&at, bytes, size), "length");
    good(mbedtls_asn1_write_tag(&at, bytes, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE),
         "tag");
    size = (size_t)(bytes + sizeof bytes - at);
    good(mbedtls_x509write_crt_set_extension(writer, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                             MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0, at,
                                             size),
         "names");
}

static void make_certificate(foreign_t *foreign, const odd_t *odd)
{
    unsigned char pem[ZA_PKI_PEM_BYTES_MAX];
    unsigned char serial[] = { 1, 2, 3 };
    mbedtls_x509write_cert writer;
    mbedtls_x509write_crt_init(&writer);
    good(mbedtls_pk_setup(&foreign->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), "key");
    good(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(foreign->key),
                             mbedtls_ctr_drbg_random, &foreign->rng.drbg),
         "key");
    mbedtls_x509write_crt_set_version(&writer, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&writer, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&writer, &foreign->key);
    mbedtls_x509write_crt_set_issuer_key(&writer, &foreign->authority_key);
    good(za_mbed_set_serial(&writer, serial, sizeof serial), "serial");
    good(mbedtls_x509write_crt_set_validity(&writer, "20200101000000", "20700101000000"), "dates");
    good(mbedtls_x509write_crt_set_subject_name(&writer, "CN=odd"), "subject");
    good(mbedtls_x509write_crt_set_issuer_name(&writer, "O=prod,CN=zactor authority"), "issuer");
    write_names(&writer, odd);
    good(mbedtls_x509write_crt_pem(&writer, pem, sizeof pem, mbedtls_ctr_drbg_random,
                                   &foreign->rng.drbg),
         "sign");
    good(mbedtls_x509_crt_parse(&foreign->certificate, pem, strlen((char *)pem) + 1), "parse");
    mbedtls_x509write_crt_free(&writer);
}

static int send_bytes(void *context, const unsigned char *bytes, size_t size)
{
    za_security_t *server = ((foreign_t *)context)->server;
    size_t taken = 0;
    cr_assert(server->ops->push_wire(server, bytes, size, &taken) == ZA_OK, "push");
    return taken > 0 ? (int)taken : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int receive_bytes(void *context, unsigned char *out, size_t capacity)
{
    za_security_t *server = ((foreign_t *)context)->server;
    size_t size = 0;
    cr_assert(server->ops->pull_wire(server, out, capacity, &size) == ZA_OK, "pull");
    return size > 0 ? (int)size : MBEDTLS_ERR_SSL_WANT_READ;
}

static void make_foreign(foreign_t *foreign, const za_pki_pair_t *authority, const odd_t *odd)
{
    memset(foreign, 0, sizeof *foreign);
    mbedtls_x509_crt_init(&foreign->authority);
    mbedtls_x509_crt_init(&foreign->certificate);
    mbedtls_pk_init(&foreign->key);
    mbedtls_pk_init(&foreign->authority_key);
    mbedtls_ssl_config_init(&foreign->config);
    mbedtls_ssl_init(&foreign->ssl);
    cr_assert(za_certificate_rng_init(&foreign->rng) == ZA_OK, "random numbers");
    good(mbedtls_x509_crt_parse(&foreign->authority, (const unsigned char *)authority->certificate,
                                strlen(authority->certificate) + 1),
         "authority");
    good(za_mbed_parse_key(&foreign->authority_key, (const unsigned char *)authority->key,
                           strlen(authority->key) + 1, &foreign->rng.drbg),
         "authority's key");
    good(mbedtls_ssl_config_defaults(&foreign->config, MBEDTLS_SSL_IS_CLIENT,
                                     MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
         "defaults");
    mbedtls_ssl_conf_rng(&foreign->config, mbedtls_ctr_drbg_random, &foreign->rng.drbg);
    mbedtls_ssl_conf_authmode(&foreign->config, MBEDTLS_SSL_VERIFY_NONE);
    if (!odd->no_certificate) {
        make_certificate(foreign, odd);
        good(mbedtls_ssl_conf_own_cert(&foreign->config, &foreign->certificate, &foreign->key),
             "own");
    }
    if (odd->alpn != NULL) {
        foreign->alpn[0] = odd->alpn;
        good(mbedtls_ssl_conf_alpn_protocols(&foreign->config, foreign->alpn), "alpn");
    }
    good(mbedtls_ssl_setup(&foreign->ssl, &foreign->config), "setup");
    good(mbedtls_ssl_set_hostname(&foreign->ssl, NULL), "host");
    mbedtls_ssl_set_bio(&foreign->ssl, foreign, send_bytes, receive_bytes, NULL);
}

static void free_foreign(foreign_t *foreign)
{
    mbedtls_ssl_free(&foreign->ssl);
    mbedtls_ssl_config_free(&foreign->config);
    mbedtls_pk_free(&foreign->authority_key);
    mbedtls_pk_free(&foreign->key);
    mbedtls_x509_crt_free(&foreign->certificate);
    mbedtls_x509_crt_free(&foreign->authority);
    za_certificate_rng_deinit(&foreign->rng);
}

/** Our server meets the odd client; what it makes of it. */
static end_t meet(const odd_t *odd)
{
    za_pki_pair_t authority = make_authority("prod");
    za_pki_request_t request = node_request("prod", "server");
    za_pki_pair_t pair = make_node(&authority, &request);
    za_tls_t *tls = make_tls("prod", authority.certificate, &pair);
    foreign_t foreign;
    make_foreign(&foreign, &authority, odd);
    end_t end;
    make_end(&end, za_tls_factory(tls), ZA_SIDE_SERVER);
    foreign.server = end.security;
    for (int round = 0; round < 100 && end.err == ZA_OK && !end.done; round++) {
        (void)mbedtls_ssl_handshake(&foreign.ssl); // how it fails is the client's affair
        advance(&end);
    }
    free_foreign(&foreign);
    end.security->ops->destroy(end.security);
    za_tls_destroy(tls);
    return end;
}

static void expect_refused(const odd_t *odd, za_err_t err, const char *problem)
{
    end_t end = meet(odd);
    cr_assert(!end.done && end.err == err, "%s: %s", za_err_name(end.err), end.problem);
    cr_expect(strstr(end.problem, problem), "%s", end.problem);
}

// The others differ from this one in one thing each.
Test(foreign, takes_a_peer_that_only_uses_other_code)
{
    odd_t odd = { .uris = { "zactor://prod/n1", "zactor:role:member", "https://example/" },
                  .alpn = "zactor/1" };
    end_t end = meet(&odd);
    cr_assert(end.done, "%s", end.problem);
    cr_expect(strcmp(end.peer.node, "n1") == 0 && end.peer.roles == ZA_ROLE_MEMBER, "identity");
}

Test(foreign, refuses_a_peer_without_a_certificate)
{
    odd_t odd = { .no_certificate = true, .alpn = "zactor/1" };
    expect_refused(&odd, ZA_EAUTH, "the peer showed no certificate");
}

Test(foreign, refuses_a_certificate_that_names_no_node)
{
    odd_t odd = { .uris = { "zactor:role:member" }, .alpn = "zactor/1" };
    expect_refused(&odd, ZA_EAUTH, "names no node");
    odd = (odd_t){ .alpn = "zactor/1" };
    expect_refused(&odd, ZA_EAUTH, "names no node");
}

Test(foreign, refuses_a_certificate_that_grants_no_role)
{
    odd_t odd = { .uris = { "zactor://prod/n1", "zactor:role:king" }, .alpn = "zactor/1" };
    expect_refused(&odd, ZA_EAUTH, "grants no role: zactor://prod/n1");
}

Test(foreign, refuses_a_certificate_of_two_nodes)
{
    odd_t odd = { .uris = { "zactor://prod/n1", "zactor://prod/n2", "zactor:role:member" },
                  .alpn = "zactor/1" };
    expect_refused(&odd, ZA_EAUTH, "malformed names");
}

Test(foreign, refuses_a_peer_of_another_protocol)
{
    odd_t odd = { .uris = { "zactor://prod/n1", "zactor:role:member" } };
    expect_refused(&odd, ZA_EPROTO, "does not speak zactor/1");
    odd.alpn = "h2";
    expect_refused(&odd, ZA_EPROTO, "");
}
