#include "net/tls_mbedtls.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/pages.h"
#include "net/buffer.h"
#include "net/certificate_mbedtls.h"
#include "net/pki_file.h"

enum {
    TLS_BUFFER_BYTES = 64 * 1024,           // three full records and a part
    TLS_PAGES_BYTES = 2 * TLS_BUFFER_BYTES, // in and out
    TLS_HANDSHAKE_INPUT_BYTES = 16 * 1024,  // what an unknown peer may make us hold
    TLS_RECORD_BYTES_MAX = 16 * 1024,
    TLS_RECORD_KEPT_BYTES = 256, // of mbedTLS's buffers: counters, header and explicit IV
    TLS_PROBLEM_BYTES = 256,
    TLS_ALERT_RECORD_BYTES = 7,
};

static_assert(MBEDTLS_SSL_IN_CONTENT_LEN >= TLS_RECORD_BYTES_MAX &&
                  MBEDTLS_SSL_OUT_CONTENT_LEN >= TLS_RECORD_BYTES_MAX,
              "mbedTLS's buffers have a whole record");
static_assert(TLS_BUFFER_BYTES % ZA_PAGE_BYTES == 0, "the second buffer begins a page, too");
static_assert(TLS_BUFFER_BYTES >= 2 * TLS_RECORD_BYTES_MAX, "a record can wait while one is sent");

struct za_tls {
    atomic_uint references;      // the creator's and one of each connection
    mbedtls_ssl_config sides[2]; // by za_side_t
    mbedtls_x509_crt authorities;
    mbedtls_x509_crt certificate;
    mbedtls_x509_crl revoked;
    mbedtls_pk_context key;
    za_certificate_rng_t rng;
    const char *alpn[2]; // mbedTLS keeps the pointer
    char cluster[65];
    za_identity_t identity;
    int64_t (*now_s)(void *context);
    void *now_context;
};

typedef struct tls_link {
    za_security_t security;
    za_tls_t *tls;
    za_side_t side;
    mbedtls_ssl_context ssl;
    bool done;
    bool opened;  // something came from the peer since
    bool closed;  // by us
    za_err_t end; // ZA_OK while it works; then every call answers this
    char problem[TLS_PROBLEM_BYTES];
    // Found by the verification of the peer's chain.
    za_identity_t peer;
    za_certificate_names_t names;
    uint32_t refusals;  // MBEDTLS_X509_BADCERT_ of all certificates of the chain
    uint8_t first_byte; // of the stream: tells other protocols from broken TLS
    bool first_seen;
    uint8_t tail[TLS_ALERT_RECORD_BYTES]; // the last bytes that came during the handshake
    za_buffer_t in;
    za_buffer_t out;
    uint8_t *pages; // of both, so that they can rest
} tls_link_t;

/* ---- why it ended ---------------------------------------------------------------------------- */

typedef struct reason {
    uint32_t code;
    const char *text;
} reason_t;

// In the order in which an operator should hear of them: a foreign certificate's dates do not matter.
static const reason_t certificate_reasons[] = {
    { MBEDTLS_X509_BADCERT_NOT_TRUSTED, "the peer's certificate is not of our authority" },
    { MBEDTLS_X509_BADCERT_REVOKED, "the peer's certificate is revoked" },
    { MBEDTLS_X509_BADCERT_EXPIRED, "the peer's certificate has expired" },
    { MBEDTLS_X509_BADCERT_FUTURE, "the peer's certificate is not yet valid" },
    { MBEDTLS_X509_BADCRL_EXPIRED, "our revocation list has expired" },
    { MBEDTLS_X509_BADCRL_FUTURE, "our revocation list is not yet valid" },
    { MBEDTLS_X509_BADCRL_NOT_TRUSTED, "our revocation list is not of our authority" },
    { MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE,
      "the peer's certificate is not for this use" },
    { MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY,
      "the peer's certificate uses a weak or unknown algorithm" },
};

// RFC 5246 section 7.2 and RFC 8446 section 6.
static const reason_t alert_reasons[] = {
    { 42, "it finds our certificate bad" },
    { 43, "it does not support our certificate" },
    { 44, "our certificate is revoked" },
    { 45, "our certificate has expired or is not yet valid" },
    { 46, "it does not accept our certificate" },
    { 48, "our certificate is not of its authority" },
    { 49, "our certificate's names are not what it accepts" },
    { 116, "it wants a certificate" },
};

static const reason_t protocol_alert_reasons[] = {
    { 40, "no common parameters" },
    { 70, "no common version of TLS" },
    { 71, "our algorithms are too weak" },
    { 10, "unexpected message" },
    { 20, "bad record" },
    { 50, "cannot decode a message" },
    { 120, "it does not speak " ZA_TLS_ALPN },
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static const char *find_reason(const reason_t *reasons, size_t count, uint32_t code)
{
    for (size_t i = 0; i < count; i++) {
        if (reasons[i].code == code) {
            return reasons[i].text;
        }
    }
    return NULL;
}

static za_err_t end_with(tls_link_t *link, za_err_t err, const char *what, const char *detail)
{
    snprintf(link->problem, sizeof link->problem, "%s%s%s", what, detail[0] ? ": " : "", detail);
    link->end = err;
    return err;
}

static za_err_t end_by_certificate(tls_link_t *link)
{
    char who[160] = "";
    if (link->peer.node[0] != '\0') {
        snprintf(who, sizeof who, "zactor://%s/%s", link->peer.cluster, link->peer.node);
    }
    for (size_t i = 0; i < COUNT(certificate_reasons); i++) {
        if (link->refusals & certificate_reasons[i].code) {
            return end_with(link, ZA_EAUTH, certificate_reasons[i].text, who);
        }
    }
    switch (link->names) {
    case ZA_CERTIFICATE_NO_NODE:
        return end_with(link, ZA_EAUTH,
                        "the peer's certificate names no node: it has no "
                        "zactor://<cluster>/<node>",
                        "");
    case ZA_CERTIFICATE_NO_ROLE:
        return end_with(link, ZA_EAUTH, "the peer's certificate grants no role", who);
    case ZA_CERTIFICATE_NAMES_BAD:
        return end_with(link, ZA_EAUTH, "the peer's certificate has malformed names", "");
    case ZA_CERTIFICATE_NAMES_OK:
        break;
    }
    if (strcmp(link->peer.cluster, link->tls->cluster) != 0) {
        return end_with(link, ZA_EAUTH, "the peer's certificate is of another cluster", who);
    }
    return end_with(link, ZA_EAUTH, "the peer's certificate was refused", who);
}

static za_err_t end_by_alert(tls_link_t *link, uint8_t alert)
{
    const char *text = find_reason(alert_reasons, COUNT(alert_reasons), alert);
    if (text != NULL) {
        return end_with(link, ZA_EAUTH, "the peer refused us", text);
    }
    text = find_reason(protocol_alert_reasons, COUNT(protocol_alert_reasons), alert);
    char number[32];
    snprintf(number, sizeof number, "TLS alert %u", alert);
    return end_with(link, ZA_EPROTO, "the peer gave up", text != NULL ? text : number);
}

/**
 * A record that is not what its peer sealed. In TLS 1.3 it can also be how mbedTLS 3.6 refuses a
 * certificate: its client says so in plain text where ciphertext is due, and its server seals the
 * alert with a key that the client has left behind. Neither is proven, and for the log both are
 * better than a word on forgery.
 */
static za_err_t end_by_forgery(tls_link_t *link, const char *text)
{
    static const uint8_t plain_alert[5] = { 21, 3, 3, 0, 2 };
    if (!link->done && memcmp(link->tail, plain_alert, sizeof plain_alert) == 0) {
        return end_by_alert(link, link->tail[TLS_ALERT_RECORD_BYTES - 1]);
    }
    bool late = strcmp(mbedtls_ssl_get_version(&link->ssl), "TLSv1.3") == 0;
    if (late && link->done && !link->opened && link->side == ZA_SIDE_CLIENT) {
        return end_with(link, ZA_EAUTH, "the peer refused us",
                        "it did not say why, in a record that cannot be read");
    }
    return end_with(link, ZA_EPROTO, "the peer broke TLS", text);
}

/** Ends the connection by what mbedTLS answered. The contract knows three errors. */
static za_err_t end_by(tls_link_t *link, int result)
{
    enum { RECORD_FIRST = 20, RECORD_LAST = 23 };
    char text[128];
    if (link->refusals != 0) {
        return end_by_certificate(link);
    }
    if (link->first_seen && (link->first_byte < RECORD_FIRST || link->first_byte > RECORD_LAST)) {
        snprintf(text, sizeof text, "its first byte is 0x%02x", link->first_byte);
        return end_with(link, ZA_EPROTO, "the peer does not speak TLS", text);
    }
    za_certificate_error_text(result, text, sizeof text);
    switch (result) {
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        return end_by_alert(link, link->ssl.ZA_MBED_PRIVATE(in_msg)[1]);
    case MBEDTLS_ERR_SSL_INVALID_MAC:
        return end_by_forgery(link, text);
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
        return end_with(link, ZA_EAUTH, "the peer showed no certificate", "");
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
    case MBEDTLS_ERR_SSL_CONN_EOF:
        return end_with(link, ZA_EPROTO, "the peer closed during the handshake", "");
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
        return end_with(link, ZA_ECRYPTO, "no memory for TLS", "");
    case MBEDTLS_ERR_SSL_INTERNAL_ERROR:
    case MBEDTLS_ERR_SSL_BAD_INPUT_DATA:
    case MBEDTLS_ERR_SSL_NO_RNG:
        return end_with(link, ZA_ECRYPTO, "TLS failed", text);
    default:
        return end_with(link, ZA_EPROTO, "the peer broke TLS", text);
    }
}

/* ---- verification ---------------------------------------------------------------------------- */

static uint32_t outside(const za_tls_t *tls, const mbedtls_x509_time *from,
                        const mbedtls_x509_time *until, uint32_t future, uint32_t expired)
{
    int64_t now_s = tls->now_s(tls->now_context);
    return now_s > za_certificate_time_s(until)  ? expired
           : now_s < za_certificate_time_s(from) ? future
                                                 : 0;
}

/** Validity by the configured clock: mbedTLS itself asks the system's. */
static void check_dates(const za_tls_t *tls, const mbedtls_x509_crt *certificate, uint32_t *flags)
{
    if (tls->now_s == NULL) {
        return;
    }
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE |
                          MBEDTLS_X509_BADCRL_EXPIRED | MBEDTLS_X509_BADCRL_FUTURE);
    *flags |= outside(tls, &certificate->valid_from, &certificate->valid_to,
                      MBEDTLS_X509_BADCERT_FUTURE, MBEDTLS_X509_BADCERT_EXPIRED);
    for (const mbedtls_x509_crl *list = &tls->revoked; list != NULL && list->version != 0;
         list = list->next) {
        *flags |= outside(tls, &list->this_update, &list->next_update, MBEDTLS_X509_BADCRL_FUTURE,
                          MBEDTLS_X509_BADCRL_EXPIRED);
    }
}

/** Called by mbedTLS for each certificate of the peer's chain, its own (depth 0) last. */
static int verify(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    tls_link_t *link = context;
    check_dates(link->tls, certificate, flags);
    if (depth == 0) {
        link->names = za_certificate_identity(certificate, &link->peer);
        if (link->names != ZA_CERTIFICATE_NAMES_OK ||
            strcmp(link->peer.cluster, link->tls->cluster) != 0) {
            *flags |= MBEDTLS_X509_BADCERT_OTHER;
        }
    }
    link->refusals |= *flags;
    return 0; // mbedTLS refuses by the flags, and tells the peer why
}

/* ---- operations ------------------------------------------------------------------------------ */

static int bio_send(void *context, const unsigned char *bytes, size_t size)
{
    size_t taken = za_buffer_push(&((tls_link_t *)context)->out, bytes, size);
    return taken > 0 ? (int)taken : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int bio_receive(void *context, unsigned char *out, size_t capacity)
{
    size_t size = za_buffer_pull(&((tls_link_t *)context)->in, out, capacity);
    return size > 0 ? (int)size : MBEDTLS_ERR_SSL_WANT_READ;
}

static void remember_tail(tls_link_t *link, const uint8_t *bytes, size_t size)
{
    size_t bytes_max = sizeof link->tail;
    if (size >= bytes_max) {
        memcpy(link->tail, bytes + size - bytes_max, bytes_max);
    } else if (size > 0) {
        memmove(link->tail, link->tail + size, bytes_max - size);
        memcpy(link->tail + bytes_max - size, bytes, size);
    }
}

static za_err_t tls_push_wire(za_security_t *security, const uint8_t *bytes, size_t size,
                              size_t *taken)
{
    tls_link_t *link = (tls_link_t *)security;
    if (link->end != ZA_OK) {
        *taken = size; // nobody will read them
        return ZA_OK;
    }
    if (size > 0 && !link->first_seen) {
        link->first_seen = true;
        link->first_byte = bytes[0];
    }
    size_t room = za_buffer_room(&link->in);
    if (!link->done) {
        size_t held = za_buffer_size(&link->in);
        room = held < TLS_HANDSHAKE_INPUT_BYTES ? TLS_HANDSHAKE_INPUT_BYTES - held : 0;
    }
    *taken = za_buffer_push(&link->in, bytes, size < room ? size : room);
    if (!link->done) {
        remember_tail(link, bytes, *taken);
    }
    return ZA_OK;
}

static za_err_t tls_pull_wire(za_security_t *security, uint8_t *out, size_t capacity, size_t *size)
{
    // Also after the end: the alert that tells the peer why is in there.
    *size = za_buffer_pull(&((tls_link_t *)security)->out, out, capacity);
    return ZA_OK;
}

static bool try_again(int result)
{
    return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

/**
 * The peer's certificate has been looked at: 1.2 KiB of the heap for as long as the connection lives, and
 * there is no renegotiation that would ask for it again.
 */
static void forget_certificate(mbedtls_ssl_context *ssl)
{
#if defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE)
    mbedtls_ssl_session *session = ssl->ZA_MBED_PRIVATE(session);
    if (session != NULL && session->ZA_MBED_PRIVATE(peer_cert) != NULL) {
        mbedtls_x509_crt_free(session->ZA_MBED_PRIVATE(peer_cert)); // it can be freed again
    }
#else
    (void)ssl;
#endif
}

static za_err_t finish_handshake(tls_link_t *link)
{
    const char *alpn = mbedtls_ssl_get_alpn_protocol(&link->ssl);
    if (alpn == NULL || strcmp(alpn, ZA_TLS_ALPN) != 0) {
        return end_with(link, ZA_EPROTO, "the peer does not speak " ZA_TLS_ALPN, "");
    }
    // The verify callback has run: mbedTLS was told to require a certificate.
    ZA_ASSERT(link->peer.node[0] != '\0' && link->refusals == 0);
    forget_certificate(&link->ssl);
    link->peer.verified = true;
    link->done = true;
    return ZA_OK;
}

static za_err_t tls_handshake(za_security_t *security, bool *done, za_identity_t *peer,
                              char *problem, size_t problem_bytes)
{
    tls_link_t *link = (tls_link_t *)security;
    za_err_t err = link->end;
    if (err == ZA_OK && !link->done) {
        int result = mbedtls_ssl_handshake(&link->ssl);
        if (try_again(result)) {
            *done = false;
            return ZA_OK;
        }
        err = result == 0 ? finish_handshake(link) : end_by(link, result);
    }
    if (err != ZA_OK) {
        snprintf(problem, problem_bytes, "%s", link->problem);
        return err;
    }
    *peer = link->peer;
    *done = true;
    return ZA_OK;
}

static za_err_t tls_seal(za_security_t *security, const uint8_t *plain, size_t size, size_t *taken)
{
    tls_link_t *link = (tls_link_t *)security;
    if (link->end != ZA_OK || link->closed) {
        return link->closed ? ZA_ECLOSED : link->end;
    }
    ZA_ASSERT(link->done);
    int record_bytes = mbedtls_ssl_get_max_out_record_payload(&link->ssl);
    int expansion_bytes = mbedtls_ssl_get_record_expansion(&link->ssl);
    if (record_bytes <= 0 || expansion_bytes < 0) {
        return end_with(link, ZA_ECRYPTO, "TLS failed", "no record size");
    }
    size_t sealed = 0;
    while (sealed < size) {
        size_t part = size - sealed;
        part = part < (size_t)record_bytes ? part : (size_t)record_bytes;
        // Only with room for the whole record: a write that wants to be repeated would have to be
        // repeated with the same bytes, which are the caller's.
        if (za_buffer_room(&link->out) < part + (size_t)expansion_bytes) {
            break;
        }
        int result = mbedtls_ssl_write(&link->ssl, plain + sealed, part);
        if (result <= 0) {
            return end_by(link, result);
        }
        sealed += (size_t)result;
    }
    *taken = sealed;
    return ZA_OK;
}

static za_err_t tls_open(za_security_t *security, uint8_t *out, size_t capacity, size_t *size)
{
    tls_link_t *link = (tls_link_t *)security;
    if (link->end != ZA_OK) {
        return link->end;
    }
    ZA_ASSERT(link->done);
    size_t opened = 0;
    while (opened < capacity) {
        int result = mbedtls_ssl_read(&link->ssl, out + opened, capacity - opened);
        if (result > 0) {
            opened += (size_t)result;
            link->opened = true;
            continue;
        }
        if (result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            continue; // each is at least a record of the input: this ends
        }
        if (!try_again(result)) {
            if (result == 0 || result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
                end_with(link, ZA_ECLOSED, "the peer closed the connection", "");
            } else {
                end_by(link, result);
            }
            if (opened == 0) {
                return link->end;
            }
        }
        break; // what was opened before the end is still good; the next call answers the end
    }
    *size = opened;
    return ZA_OK;
}

static void tls_close(za_security_t *security)
{
    tls_link_t *link = (tls_link_t *)security;
    if (link->done && link->end == ZA_OK && !link->closed) {
        // Without room for it the peer sees the stream end without a word: it treats both alike.
        (void)mbedtls_ssl_close_notify(&link->ssl);
    }
    link->closed = true;
}

/**
 * mbedTLS holds a whole record in each direction for as long as a connection lives, and has cleared all
 * of it: 33 KiB. Between two records nothing of them means anything but the first bytes, where it
 * counts. What it writes to again comes back as zeros.
 */
static void rest_records(mbedtls_ssl_context *ssl)
{
    bool idle = mbedtls_ssl_check_pending(ssl) == 0 && ssl->ZA_MBED_PRIVATE(in_left) == 0 &&
                ssl->ZA_MBED_PRIVATE(out_left) == 0;
    if (idle) {
        size_t rest = TLS_RECORD_BYTES_MAX - TLS_RECORD_KEPT_BYTES;
        za_pages_drop(ssl->ZA_MBED_PRIVATE(in_buf) + TLS_RECORD_KEPT_BYTES, rest);
        za_pages_drop(ssl->ZA_MBED_PRIVATE(out_buf) + TLS_RECORD_KEPT_BYTES, rest);
    }
}

static void tls_rest(za_security_t *security)
{
    tls_link_t *link = (tls_link_t *)security;
    za_buffer_rest(&link->in);
    za_buffer_rest(&link->out);
    if (link->done && link->end == ZA_OK && !link->closed) {
        rest_records(&link->ssl);
    }
}

static void tls_release(za_tls_t *tls);

/** Zeroed; NULL: no memory. */
static tls_link_t *alloc_link(void)
{
    tls_link_t *link = calloc(1, sizeof *link);
    uint8_t *pages = link == NULL ? NULL : za_pages_alloc(TLS_PAGES_BYTES);
    if (pages == NULL) {
        free(link);
        return NULL;
    }
    link->pages = pages;
    za_buffer_init(&link->in, pages, TLS_BUFFER_BYTES);
    za_buffer_init(&link->out, pages + TLS_BUFFER_BYTES, TLS_BUFFER_BYTES);
    return link;
}

static void free_link(tls_link_t *link)
{
    za_pages_free(link->pages, TLS_PAGES_BYTES);
    free(link);
}

static void tls_destroy_link(za_security_t *security)
{
    tls_link_t *link = (tls_link_t *)security;
    za_tls_t *tls = link->tls;
    mbedtls_ssl_free(&link->ssl); // zeroes its keys
    free_link(link);
    tls_release(tls);
}

static const za_security_ops_t tls_ops = {
    .push_wire = tls_push_wire,
    .pull_wire = tls_pull_wire,
    .handshake = tls_handshake,
    .seal = tls_seal,
    .open = tls_open,
    .close = tls_close,
    .rest = tls_rest,
    .destroy = tls_destroy_link,
};

static za_err_t tls_create_link(void *context, za_side_t side, za_security_t **out)
{
    za_tls_t *tls = context;
    tls_link_t *link = alloc_link();
    if (link == NULL) {
        return ZA_ENOMEM;
    }
    mbedtls_ssl_init(&link->ssl);
    int result = mbedtls_ssl_setup(&link->ssl, &tls->sides[side]);
    if (result == 0) {
        // The name is checked in verify. Not to say so makes 2.28 accept any and 3.6 refuse all.
        result = mbedtls_ssl_set_hostname(&link->ssl, NULL);
    }
    if (result != 0) {
        mbedtls_ssl_free(&link->ssl);
        free_link(link);
        return result == MBEDTLS_ERR_SSL_ALLOC_FAILED ? ZA_ENOMEM : ZA_ECRYPTO;
    }
    link->security.ops = &tls_ops;
    link->tls = tls;
    link->side = side;
    // Relaxed: whoever creates a connection holds a reference already.
    atomic_fetch_add_explicit(&tls->references, 1, memory_order_relaxed);
    mbedtls_ssl_set_verify(&link->ssl, verify, link);
    mbedtls_ssl_set_bio(&link->ssl, link, bio_send, bio_receive, NULL);
    *out = &link->security;
    return ZA_OK;
}

za_security_factory_t za_tls_factory(za_tls_t *tls)
{
    ZA_ASSERT(tls != NULL);
    return (za_security_factory_t){ .context = tls, .create = tls_create_link };
}

/* ---- configuration --------------------------------------------------------------------------- */

typedef enum pem_kind { PEM_AUTHORITIES, PEM_CERTIFICATE, PEM_KEY, PEM_REVOKED } pem_kind_t;

static int parse_pem(za_tls_t *tls, pem_kind_t kind, const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text; // with the NUL, as mbedTLS wants PEM
    switch (kind) {
    case PEM_AUTHORITIES:
        return mbedtls_x509_crt_parse(&tls->authorities, bytes, size + 1);
    case PEM_CERTIFICATE:
        return mbedtls_x509_crt_parse(&tls->certificate, bytes, size + 1);
    case PEM_KEY:
        return za_mbed_parse_key(&tls->key, bytes, size + 1, &tls->rng.drbg);
    case PEM_REVOKED:
        return mbedtls_x509_crl_parse(&tls->revoked, bytes, size + 1);
    }
    return MBEDTLS_ERR_X509_BAD_INPUT_DATA;
}

static za_err_t load_pem(za_tls_t *tls, pem_kind_t kind, const za_tls_pem_t *pem, char *problem,
                         size_t problem_bytes)
{
    static const char *const names[] = { "authority", "certificate", "key", "revocation list" };
    int result;
    if (pem->text != NULL) {
        result = parse_pem(tls, kind, pem->text, strlen(pem->text));
    } else if (pem->path != NULL) {
        char *text;
        size_t size;
        za_err_t err = za_pki_read_file(pem->path, &text, &size, problem, problem_bytes);
        if (err != ZA_OK) {
            return err;
        }
        result = parse_pem(tls, kind, text, size);
        za_pki_free_file(text, size);
    } else {
        snprintf(problem, problem_bytes, "TLS needs a %s", names[kind]);
        return ZA_ECONFIG;
    }
    if (result != 0) { // positive: some certificates of the bundle are bad, which nobody meant
        char text[128] = "a part of it is bad";
        snprintf(problem, problem_bytes, "bad %s%s%s: %s", names[kind], pem->path ? " " : "",
                 pem->path ? pem->path : "",
                 result > 0 ? text : za_certificate_error_text(result, text, sizeof text));
        return ZA_ECONFIG;
    }
    return ZA_OK;
}

static za_err_t load(za_tls_t *tls, const za_tls_config_t *config, char *problem,
                     size_t problem_bytes)
{
    za_err_t err = load_pem(tls, PEM_AUTHORITIES, &config->authorities, problem, problem_bytes);
    if (err == ZA_OK) {
        err = load_pem(tls, PEM_CERTIFICATE, &config->certificate, problem, problem_bytes);
    }
    if (err == ZA_OK) {
        err = load_pem(tls, PEM_KEY, &config->key, problem, problem_bytes);
    }
    if (err == ZA_OK && (config->revoked.path != NULL || config->revoked.text != NULL)) {
        err = load_pem(tls, PEM_REVOKED, &config->revoked, problem, problem_bytes);
    }
    return err;
}

/** Finds what every peer would refuse us for, now rather than at the first connection. */
static za_err_t check_own(za_tls_t *tls, const za_tls_config_t *config, char *problem,
                          size_t problem_bytes)
{
    const char *what = NULL;
    const char *path = config->certificate.path != NULL ? config->certificate.path : "";
    const char *colon = path[0] != '\0' ? ": " : "";
    za_certificate_names_t names = za_certificate_identity(&tls->certificate, &tls->identity);
    if (!mbedtls_pk_can_do(&tls->key, MBEDTLS_PK_ECDSA)) {
        what = "the key must be an elliptic curve's (P-256 or P-384)";
    } else if (za_mbed_check_pair(&tls->certificate.pk, &tls->key, &tls->rng.drbg) != 0) {
        what = "the key is not that of the certificate";
    } else if (names == ZA_CERTIFICATE_NO_NODE) {
        what = "the certificate names no node: it has no zactor://<cluster>/<node>";
    } else if (names == ZA_CERTIFICATE_NO_ROLE) {
        what = "the certificate grants no role";
    } else if (names == ZA_CERTIFICATE_NAMES_BAD) {
        what = "the certificate has malformed names";
    } else if (strcmp(tls->identity.cluster, tls->cluster) != 0) {
        snprintf(problem, problem_bytes,
                 "%s%sthe certificate is of another cluster, %s, and not of %s", path, colon,
                 tls->identity.cluster, tls->cluster);
        return ZA_ECONFIG;
    }
    if (what != NULL) {
        snprintf(problem, problem_bytes, "%s%s%s", path, colon, what);
        return ZA_ECONFIG;
    }
    return ZA_OK;
}

static int configure_side(za_tls_t *tls, za_side_t side)
{
    mbedtls_ssl_config *config = &tls->sides[side];
    int endpoint = side == ZA_SIDE_CLIENT ? MBEDTLS_SSL_IS_CLIENT : MBEDTLS_SSL_IS_SERVER;
    int result = mbedtls_ssl_config_defaults(config, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                             MBEDTLS_SSL_PRESET_DEFAULT);
    if (result != 0) {
        return result;
    }
    za_mbed_restrict(config);
    mbedtls_ssl_conf_ciphersuites(config, za_mbed_suites);
    mbedtls_ssl_conf_cert_profile(config, &mbedtls_x509_crt_profile_suiteb);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED); // a server's default is none
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &tls->rng.drbg);
    mbedtls_ssl_conf_ca_chain(config, &tls->authorities,
                              tls->revoked.version != 0 ? &tls->revoked : NULL);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
    mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
#if defined(MBEDTLS_SSL_SESSION_TICKETS) && defined(MBEDTLS_SSL_CLI_C)
    mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
#endif
    result = mbedtls_ssl_conf_alpn_protocols(config, tls->alpn);
    if (result == 0) {
        result = mbedtls_ssl_conf_own_cert(config, &tls->certificate, &tls->key);
    }
    return result;
}

static za_err_t configure(za_tls_t *tls, char *problem, size_t problem_bytes)
{
    int result = configure_side(tls, ZA_SIDE_CLIENT);
    if (result == 0) {
        result = configure_side(tls, ZA_SIDE_SERVER);
    }
    if (result != 0) {
        char text[128];
        snprintf(problem, problem_bytes, "cannot configure TLS: %s",
                 za_certificate_error_text(result, text, sizeof text));
        return ZA_ECRYPTO;
    }
    return ZA_OK;
}

static void tls_init(za_tls_t *tls)
{
    atomic_init(&tls->references, 1);
    mbedtls_ssl_config_init(&tls->sides[ZA_SIDE_CLIENT]);
    mbedtls_ssl_config_init(&tls->sides[ZA_SIDE_SERVER]);
    mbedtls_x509_crt_init(&tls->authorities);
    mbedtls_x509_crt_init(&tls->certificate);
    mbedtls_x509_crl_init(&tls->revoked);
    mbedtls_pk_init(&tls->key);
    tls->alpn[0] = ZA_TLS_ALPN;
}

static void tls_release(za_tls_t *tls)
{
    // Acquire and release: the last one sees everything that the others did. pairs: tls-references
    if (atomic_fetch_sub_explicit(&tls->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    mbedtls_ssl_config_free(&tls->sides[ZA_SIDE_CLIENT]);
    mbedtls_ssl_config_free(&tls->sides[ZA_SIDE_SERVER]);
    mbedtls_x509_crl_free(&tls->revoked);
    mbedtls_x509_crt_free(&tls->certificate);
    mbedtls_x509_crt_free(&tls->authorities);
    mbedtls_pk_free(&tls->key);
    za_certificate_rng_deinit(&tls->rng);
    free(tls);
}

za_err_t za_tls_create(const za_tls_config_t *config, za_tls_t **out, char *problem,
                       size_t problem_bytes)
{
    ZA_ASSERT(config != NULL && out != NULL && problem != NULL);
    if (config->cluster == NULL || strlen(config->cluster) >= sizeof((za_tls_t *)0)->cluster) {
        snprintf(problem, problem_bytes, "TLS needs the cluster's name, of at most 64 bytes");
        return ZA_ECONFIG;
    }
    za_tls_t *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        snprintf(problem, problem_bytes, "no memory for TLS");
        return ZA_ENOMEM;
    }
    tls_init(tls);
    snprintf(tls->cluster, sizeof tls->cluster, "%s", config->cluster);
    tls->now_s = config->now_s;
    tls->now_context = config->now_context;
    za_err_t err = za_certificate_rng_init(&tls->rng);
    if (err != ZA_OK) {
        snprintf(problem, problem_bytes, "the system gives no random numbers");
        goto fail;
    }
    err = load(tls, config, problem, problem_bytes);
    if (err != ZA_OK) {
        goto fail;
    }
    err = check_own(tls, config, problem, problem_bytes);
    if (err != ZA_OK) {
        goto fail;
    }
    err = configure(tls, problem, problem_bytes);
    if (err != ZA_OK) {
        goto fail;
    }
    *out = tls;
    return ZA_OK;

fail:
    tls_release(tls);
    return err;
}

void za_tls_destroy(za_tls_t *tls)
{
    if (tls != NULL) {
        tls_release(tls);
    }
}

const za_identity_t *za_tls_identity(const za_tls_t *tls)
{
    return &tls->identity;
}

int64_t za_tls_not_after_s(const za_tls_t *tls)
{
    return za_certificate_time_s(&tls->certificate.valid_to);
}
