#include "net/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/pages.h"
#include "net/buffer.h"
#include "net/greeting.h"
#include "net/identity.h"

enum {
    // A little below TLS's greatest record, of which version 1.3 uses a byte for itself.
    RECORD_BYTES = 16 * 1024 - 64,
    GOODBYE_RESERVE_BYTES = ZA_GREETING_BYTES_MAX + ZA_FRAME_HEADER_BYTES_MAX,
    // A frame is taken while less than one record waits; a GOODBYE always.
    STAGING_BYTES = RECORD_BYTES + ZA_FRAME_BYTES_MAX + GOODBYE_RESERVE_BYTES,
    // The greatest frame, and room to open a record behind all but its last byte.
    PLAIN_BYTES = ZA_FRAME_BYTES_MAX + 16 * 1024,
    // Until a peer is established it has nothing longer than a greeting to say.
    GREETING_FRAME_BYTES_MAX = ZA_GREETING_BYTES_MAX + ZA_FRAME_HEADER_BYTES_MAX,
    GREETING_PLAIN_BYTES = 2 * 1024,
    BULKS_MAX = 16, // large messages of one peer whose chunks may interleave
};

static_assert(GREETING_PLAIN_BYTES >= GREETING_FRAME_BYTES_MAX, "a greeting can come in whole");

typedef enum state {
    STATE_HANDSHAKE, // of the security
    STATE_HELLO,     // waiting for the peer's Hello
    STATE_GREETED,   // waiting for our own side's answer
    STATE_ACK,       // connecting side: waiting for HelloAck
    STATE_READY,     // ZA_SESSION_ESTABLISHED is to be told
    STATE_ESTABLISHED,
    STATE_ENDED, // ZA_SESSION_CLOSED is to be told
    STATE_OVER,
} state_t;

typedef struct bulk {
    uint32_t id; // 0: free
    uint32_t size;
    uint32_t have;
} bulk_t;

/** Each begins a page: a link without messages needs none of the tables, and buffers rest. */
typedef struct pages {
    _Alignas(ZA_PAGE_BYTES) za_envelope_encoder_t encoder;
    _Alignas(ZA_PAGE_BYTES) za_envelope_decoder_t decoder;
    _Alignas(ZA_PAGE_BYTES) uint8_t staging[STAGING_BYTES];
    _Alignas(ZA_PAGE_BYTES) uint8_t plain[PLAIN_BYTES];
} pages_t;

struct za_session {
    za_security_t *security;
    za_side_t side;
    state_t state;
    uint64_t deadline_ms;
    // Ourselves.
    char cluster[ZA_CLUSTER_NAME_BYTES_MAX + 1];
    char name[ZA_NODE_NAME_BYTES_MAX + 1];
    char address[ZA_ADDRESS_BYTES_MAX + 1];
    uint64_t cluster_id;
    uint64_t uid;
    uint64_t wanted_uid;
    uint32_t role;
    bool draining;
    // The peer.
    za_identity_t identity;
    za_hello_t hello;
    uint32_t version;
    uint32_t link_epoch;
    bool limited; // one side is no member: administration only
    uint64_t skipped;
    // How it ended.
    za_err_t end_err;
    bool end_goodbye;
    za_goodbye_t end_reason;
    char problem[ZA_SESSION_PROBLEM_BYTES];
    // The socket has no more.
    bool eof;
    za_err_t eof_err;
    // Out.
    bool secure;         // the security's handshake is done: what is put can be sealed
    bool flushing;       // all of staging is to be sealed, as room appears
    bool closing;        // then a close_notify
    za_lane_t bulk_lane; // of the large message being put
    uint32_t bulk_id;
    uint32_t bulk_left;
    za_buffer_t staging;
    // In.
    size_t used; // bytes of the frame told last
    bulk_t bulks[BULKS_MAX];
    za_buffer_t plain;
    pages_t *pages;
};

/* ---- creation -------------------------------------------------------------------------------- */

static bool config_valid(const za_session_config_t *config)
{
    bool member = config->role == ZA_ROLE_MEMBER;
    bool other = config->role == ZA_ROLE_CLIENT || config->role == ZA_ROLE_ADMIN;
    return (member || other) && za_identity_name_valid(config->cluster, strlen(config->cluster)) &&
           za_identity_name_valid(config->name, strlen(config->name)) &&
           za_hello_address_valid(config->address) &&
           (!member || (config->uid != 0 && config->address[0] != '\0'));
}

static void free_session(za_session_t *session)
{
    za_pages_free(session->pages, sizeof *session->pages);
    free(session);
}

za_err_t za_session_create(const za_session_config_t *config, const za_security_factory_t *factory,
                           za_side_t side, uint64_t now_ms, za_session_t **out)
{
    ZA_ASSERT(config != NULL && factory != NULL && out != NULL);
    if (!config_valid(config) || (side == ZA_SIDE_SERVER && config->role != ZA_ROLE_MEMBER)) {
        return ZA_EINVAL;
    }
    za_session_t *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return ZA_ENOMEM;
    }
    session->pages = za_pages_alloc(sizeof *session->pages);
    za_err_t err = session->pages == NULL
                       ? ZA_ENOMEM
                       : factory->create(factory->context, side, &session->security);
    if (err != ZA_OK) {
        free_session(session);
        return err;
    }
    session->side = side;
    session->state = STATE_HANDSHAKE;
    session->deadline_ms = now_ms + ZA_HANDSHAKE_TIMEOUT_MS;
    strcpy(session->cluster, config->cluster); // config_valid has measured them
    strcpy(session->name, config->name);
    strcpy(session->address, config->address);
    session->cluster_id = config->cluster_id;
    session->uid = config->uid;
    session->wanted_uid = config->wanted_uid;
    session->role = config->role;
    session->draining = config->draining;
    // Zeros are what encoder and decoder begin with: to write them would bring their pages in.
    za_buffer_init(&session->staging, session->pages->staging, STAGING_BYTES);
    za_buffer_init(&session->plain, session->pages->plain, PLAIN_BYTES);
    *out = session;
    return ZA_OK;
}

void za_session_destroy(za_session_t *session)
{
    if (session != NULL) {
        session->security->ops->destroy(session->security);
        free_session(session);
    }
}

void za_session_rest(za_session_t *session)
{
    za_buffer_rest(&session->staging);
    za_buffer_rest(&session->plain);
    session->security->ops->rest(session->security);
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool ended(const za_session_t *session)
{
    return session->state >= STATE_ENDED;
}

ZA_PRINTF(3, 4)
static void end(za_session_t *session, za_err_t err, const char *format, ...)
{
    if (ended(session)) {
        return; // the first reason is the one that counts
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(session->problem, sizeof session->problem, format, arguments);
    va_end(arguments);
    session->state = STATE_ENDED;
    session->end_err = err;
}

/** The security failed: it has said why, and has put into its output what the peer is to hear. */
static void end_by_security(za_session_t *session, za_err_t err)
{
    char problem[ZA_SESSION_PROBLEM_BYTES] = "";
    bool done;
    za_identity_t peer;
    za_security_t *security = session->security;
    za_err_t again = security->ops->handshake(security, &done, &peer, problem, sizeof problem);
    end(session, err, "%s", again != ZA_OK && problem[0] != '\0' ? problem : za_err_text(err));
}

static void seal(za_session_t *session);

/** Tells the peer, if it can hear us, and ends. What was put before still goes out. */
static void part(za_session_t *session, za_goodbye_t reason, const char *text)
{
    if (ended(session)) {
        return;
    }
    if (session->secure) {
        uint8_t goodbye[ZA_GREETING_BYTES_MAX];
        uint8_t header[ZA_FRAME_HEADER_BYTES_MAX];
        size_t size = za_goodbye_encode(reason, text, goodbye);
        size_t head =
            za_frame_header_encode(ZA_FRAME_GOODBYE, ZA_LANE_CONTROL, size, header, sizeof header);
        size_t room = za_buffer_room(&session->staging);
        ZA_ASSERT(head > 0 && room >= head + size); // reserved
        za_buffer_push(&session->staging, header, head);
        za_buffer_push(&session->staging, goodbye, size);
        session->flushing = true;
    }
    end(session, za_session_goodbye_err(reason), "%s",
        text[0] != '\0' ? text : "this side ended the connection");
    session->closing = true;
    seal(session);
}

za_err_t za_session_goodbye_err(za_goodbye_t reason)
{
    switch (reason) {
    case ZA_GOODBYE_NORMAL:
        return ZA_ECLOSED;
    case ZA_GOODBYE_VERSION:
        return ZA_EVERSION;
    case ZA_GOODBYE_CLUSTER:
        return ZA_ECLUSTER;
    case ZA_GOODBYE_IDENTITY:
        return ZA_EAUTH;
    case ZA_GOODBYE_REPLACED:
        return ZA_EEXIST;
    case ZA_GOODBYE_WRONG_PEER:
        return ZA_ENOENT;
    case ZA_GOODBYE_REFUSED:
        return ZA_EDENIED;
    case ZA_GOODBYE_PROTOCOL:
        return ZA_EPROTO;
    case ZA_GOODBYE_IDLE:
        return ZA_ETIMEOUT;
    case ZA_GOODBYE_DEAD:
        return ZA_EGONE;
    }
    return ZA_EDENIED;
}

void za_session_close(za_session_t *session, za_goodbye_t reason, const char *text)
{
    part(session, reason, text);
}

/* ---- out ------------------------------------------------------------------------------------- */

/** Seals whole records, and when flushing the rest as well, while the security has room. */
static void seal(za_session_t *session)
{
    za_security_t *security = session->security;
    za_buffer_t *staging = &session->staging;
    size_t least = session->flushing ? 1 : RECORD_BYTES;
    while (za_buffer_size(staging) >= least) {
        size_t size = za_buffer_size(staging);
        size = size < RECORD_BYTES ? size : RECORD_BYTES;
        size_t taken = 0;
        za_err_t err = security->ops->seal(security, za_buffer_front(staging), size, &taken);
        if (err != ZA_OK) {
            za_buffer_drop(staging, za_buffer_size(staging)); // there is nobody to send it to
            end_by_security(session, err);
            break;
        }
        if (taken == 0) {
            return; // pull makes room and comes back
        }
        za_buffer_drop(staging, taken);
    }
    if (za_buffer_size(staging) > 0) {
        return;
    }
    session->flushing = false;
    if (session->closing) {
        session->closing = false;
        security->ops->close(security);
    }
}

static void stage_greeting(za_session_t *session, za_frame_kind_t kind, const uint8_t *bytes,
                           size_t size)
{
    uint8_t header[ZA_FRAME_HEADER_BYTES_MAX];
    size_t head = za_frame_header_encode(kind, ZA_LANE_CONTROL, size, header, sizeof header);
    ZA_ASSERT(head > 0 && za_buffer_room(&session->staging) >= head + size);
    za_buffer_push(&session->staging, header, head);
    za_buffer_push(&session->staging, bytes, size);
    za_session_flush(session);
}

static void say_hello(za_session_t *session, uint32_t link_epoch)
{
    za_hello_t hello = {
        .version_min = ZA_PROTOCOL_VERSION_MIN,
        .version_max = ZA_PROTOCOL_VERSION_MAX,
        .cluster_id = session->cluster_id,
        .from = session->uid,
        .to = session->wanted_uid,
        .role = session->role,
        .link_epoch = link_epoch,
        .draining = session->draining,
    };
    strcpy(hello.cluster, session->cluster);
    strcpy(hello.name, session->name);
    strcpy(hello.address, session->address);
    uint8_t bytes[ZA_GREETING_BYTES_MAX];
    size_t size = za_hello_encode(&hello, bytes);
    stage_greeting(session, ZA_FRAME_HELLO, bytes, size);
}

/** Once established the hour of the last greeting no longer matters. */
static void become_ready(za_session_t *session, uint32_t link_epoch)
{
    session->link_epoch = link_epoch;
    session->deadline_ms = UINT64_MAX;
    session->state = STATE_READY;
}

void za_session_accept(za_session_t *session, uint32_t link_epoch, uint64_t now_ms)
{
    ZA_ASSERT(session->state == STATE_GREETED || ended(session));
    if (ended(session)) {
        return; // it broke between the event and the answer
    }
    if (session->side == ZA_SIDE_CLIENT) {
        session->deadline_ms = now_ms + ZA_HELLO_TIMEOUT_MS;
        session->state = STATE_ACK;
        say_hello(session, link_epoch);
        return;
    }
    za_hello_ack_t ack = { .version = session->version, .link_epoch = link_epoch };
    uint8_t bytes[ZA_GREETING_BYTES_MAX];
    size_t size = za_hello_ack_encode(&ack, bytes);
    become_ready(session, link_epoch);
    stage_greeting(session, ZA_FRAME_HELLO_ACK, bytes, size);
}

bool za_session_established(const za_session_t *session)
{
    return session->state == STATE_READY || session->state == STATE_ESTABLISHED;
}

bool za_session_greeting(const za_session_t *session)
{
    return session->state == STATE_HANDSHAKE;
}

size_t za_session_room(const za_session_t *session)
{
    bool open = za_session_established(session);
    return open && za_buffer_size(&session->staging) < RECORD_BYTES ? ZA_FRAME_PAYLOAD_BYTES_MAX
                                                                    : 0;
}

/** ZA_OK if a frame may be put now. */
static za_err_t check_put(const za_session_t *session)
{
    if (!za_session_established(session)) {
        return ZA_ECLOSED;
    }
    return za_session_room(session) > 0 ? ZA_OK : ZA_ENOBUFS;
}

static bool kind_allowed(const za_session_t *session, za_frame_kind_t kind)
{
    switch (kind) {
    case ZA_FRAME_ADMIN:
        return session->limited;
    case ZA_FRAME_DATAGRAM:
    case ZA_FRAME_CONTROL:
    case ZA_FRAME_SYSTEM:
    case ZA_FRAME_MESSAGE:
    case ZA_FRAME_MESSAGE_RUN:
    case ZA_FRAME_BULK_BEGIN:
    case ZA_FRAME_BULK_CHUNK:
        return !session->limited;
    case ZA_FRAME_UNKNOWN:
    case ZA_FRAME_HELLO:
    case ZA_FRAME_HELLO_ACK:
    case ZA_FRAME_GOODBYE:
        break;
    }
    return false;
}

/** Puts a header that was encoded at the back of staging, and the bytes behind it. */
static za_err_t stage(za_session_t *session, size_t head, const uint8_t *bytes, size_t size)
{
    if (head == 0) {
        return ZA_ETOOBIG;
    }
    za_buffer_grow(&session->staging, head);
    size_t taken = za_buffer_push(&session->staging, bytes, size);
    ZA_ASSERT(taken == size); // staging has room for one greatest frame behind a record
    seal(session);
    return ZA_OK;
}

za_err_t za_session_put_frame(za_session_t *session, za_frame_kind_t kind, za_lane_t lane,
                              const uint8_t *bytes, size_t size)
{
    bool message = kind >= ZA_FRAME_MESSAGE && kind <= ZA_FRAME_BULK_CHUNK;
    za_err_t err = check_put(session);
    if (err != ZA_OK) {
        return err;
    }
    if (message || !kind_allowed(session, kind)) {
        return ZA_EINVAL;
    }
    uint8_t *back = za_buffer_back(&session->staging);
    return stage(session, za_frame_header_encode(kind, lane, size, back, ZA_FRAME_HEADER_BYTES_MAX),
                 bytes, size);
}

za_err_t za_session_put_message(za_session_t *session, const za_wire_message_t *message)
{
    za_err_t err = check_put(session);
    if (err != ZA_OK) {
        return err;
    }
    if (session->limited) {
        return ZA_EINVAL;
    }
    uint8_t *back = za_buffer_back(&session->staging);
    size_t head = za_message_frame_encode(&session->pages->encoder, message, back,
                                          ZA_MESSAGE_HEADER_BYTES_MAX);
    return stage(session, head, message->body, message->size);
}

za_err_t za_session_put_bulk_begin(za_session_t *session, const za_wire_message_t *message)
{
    za_err_t err = check_put(session);
    if (err != ZA_OK) {
        return err;
    }
    if (session->limited || session->bulk_left > 0) {
        return ZA_EINVAL;
    }
    za_wire_message_t begin = *message;
    begin.bulk = session->bulk_id == UINT32_MAX ? 1 : session->bulk_id + 1;
    begin.body = NULL;
    uint8_t *back = za_buffer_back(&session->staging);
    size_t head =
        za_bulk_begin_encode(&session->pages->encoder, &begin, back, ZA_MESSAGE_HEADER_BYTES_MAX);
    err = stage(session, head, NULL, 0);
    if (err == ZA_OK) {
        session->bulk_id = begin.bulk;
        session->bulk_lane = begin.lane;
        session->bulk_left = begin.size;
    }
    return err;
}

za_err_t za_session_put_bulk_chunk(za_session_t *session, const uint8_t *bytes, size_t size)
{
    za_err_t err = check_put(session);
    if (err != ZA_OK) {
        return err;
    }
    if (size > session->bulk_left) {
        return ZA_EINVAL;
    }
    uint8_t *back = za_buffer_back(&session->staging);
    size_t head = za_bulk_chunk_encode(session->bulk_lane, session->bulk_id, size, back,
                                       ZA_CHUNK_HEADER_BYTES_MAX);
    err = stage(session, head, bytes, size);
    if (err == ZA_OK) {
        session->bulk_left -= (uint32_t)size;
    }
    return err;
}

void za_session_flush(za_session_t *session)
{
    if (session->secure && za_buffer_size(&session->staging) > 0) {
        session->flushing = true;
        seal(session);
    }
}

void za_session_pull(za_session_t *session, uint8_t *out, size_t capacity, size_t *size)
{
    za_security_t *security = session->security;
    size_t filled = 0;
    while (filled < capacity) {
        size_t got = 0;
        za_err_t err = security->ops->pull_wire(security, out + filled, capacity - filled, &got);
        if (err != ZA_OK) {
            end_by_security(session, err);
            break;
        }
        filled += got;
        if (got == 0) {
            break;
        }
        if (session->secure) {
            seal(session); // there is room now
        }
    }
    *size = filled;
}

/* ---- in -------------------------------------------------------------------------------------- */

za_err_t za_session_push(za_session_t *session, const uint8_t *bytes, size_t size, size_t *taken)
{
    if (ended(session)) {
        *taken = size; // nobody will read them
        return ZA_OK;
    }
    za_security_t *security = session->security;
    return security->ops->push_wire(security, bytes, size, taken);
}

void za_session_eof(za_session_t *session, za_err_t err)
{
    ZA_ASSERT(err != ZA_OK);
    if (!session->eof) {
        session->eof = true;
        session->eof_err = err;
    }
}

uint64_t za_session_deadline_ms(const za_session_t *session)
{
    return ended(session) ? UINT64_MAX : session->deadline_ms;
}

uint64_t za_session_skipped(const za_session_t *session)
{
    return session->skipped;
}

/** Everything that came is used up and no more will. */
static void end_by_eof(za_session_t *session)
{
    const char *how = session->eof_err == ZA_ECLOSED    ? "the peer closed the connection"
                      : session->eof_err == ZA_EREFUSED ? "the peer reset the connection"
                                                        : za_err_text(session->eof_err);
    const char *when = session->state == STATE_HANDSHAKE ? " during the handshake"
                       : session->state < STATE_READY    ? " before it was established"
                       : za_buffer_size(&session->plain) ? " in the middle of a frame"
                                                         : "";
    end(session, session->eof_err, "%s%s", how, when);
}

/** Opens what came into plain; false if nothing did, or the session ended over it. */
static bool open_more(za_session_t *session)
{
    za_buffer_t *plain = &session->plain;
    size_t capacity = za_session_established(session) ? PLAIN_BYTES : GREETING_PLAIN_BYTES;
    size_t held = za_buffer_size(plain);
    ZA_ASSERT(held < capacity); // a whole frame would have been found, or refused
    uint8_t *back = za_buffer_back(plain);
    size_t size = 0;
    za_security_t *security = session->security;
    za_err_t err = security->ops->open(security, back, capacity - held, &size);
    if (err == ZA_ECLOSED) {
        za_session_eof(session, ZA_ECLOSED);
    } else if (err != ZA_OK) {
        end_by_security(session, err);
        return false;
    }
    if (size == 0 && session->eof) {
        end_by_eof(session);
        return false;
    }
    za_buffer_grow(plain, size);
    return size > 0;
}

/** The next frame of a kind we know; false if none is whole yet, or the session ended over it. */
static bool next_frame(za_session_t *session, za_frame_t *out)
{
    while (!ended(session)) {
        za_buffer_t *plain = &session->plain;
        size_t size = za_buffer_size(plain);
        size_t used = 0;
        switch (za_frame_split(za_buffer_front(plain), size, out, &used)) {
        case ZA_SPLIT_FRAME:
            if (out->kind != ZA_FRAME_UNKNOWN) {
                session->used = used;
                return true;
            }
            session->skipped++;
            za_buffer_drop(plain, used);
            break;
        case ZA_SPLIT_BROKEN:
            part(session, ZA_GOODBYE_PROTOCOL, "the peer sent what is no frame");
            return false;
        case ZA_SPLIT_MORE:
            if (!za_session_established(session) && size >= GREETING_FRAME_BYTES_MAX) {
                part(session, ZA_GOODBYE_PROTOCOL, "the peer's first frame is too long");
                return false;
            }
            if (!open_more(session)) {
                return false;
            }
            break;
        }
    }
    return false;
}

static const char *goodbye_text(za_goodbye_t reason)
{
    static const char *const texts[] = {
        "it ends the connection",
        "no common protocol version",
        "another cluster",
        "our certificate and Hello differ",
        "another connection stays",
        "we are not whom it expected, or it is not whom we did",
        "it does not let us in",
        "we broke the protocol",
        "the connection was not needed",
        "we were declared down",
    };
    return texts[reason];
}

static void on_goodbye(za_session_t *session, const za_frame_t *frame)
{
    za_goodbye_t reason;
    char text[ZA_GOODBYE_TEXT_BYTES_MAX + 1];
    if (za_goodbye_decode(frame->payload, frame->size, &reason, text) != ZA_OK) {
        part(session, ZA_GOODBYE_PROTOCOL, "the peer's GOODBYE cannot be read");
        return;
    }
    session->end_goodbye = true;
    session->end_reason = reason;
    bool more = text[0] != '\0' && strcmp(text, goodbye_text(reason)) != 0;
    end(session, za_session_goodbye_err(reason), "the peer said goodbye: %s%s%s",
        goodbye_text(reason), more ? ": " : "", more ? text : "");
    session->closing = true;
    session->flushing = true;
    seal(session);
}

/** Why the peer is not accepted; NULL if it is. */
static const char *refuse_hello(const za_session_t *session, const za_hello_t *hello,
                                za_goodbye_t *reason)
{
    const za_identity_t *identity = &session->identity;
    if (hello->version_min > ZA_PROTOCOL_VERSION_MAX ||
        hello->version_max < ZA_PROTOCOL_VERSION_MIN) {
        *reason = ZA_GOODBYE_VERSION;
        return "no common protocol version";
    }
    bool ids_differ = hello->cluster_id != 0 && session->cluster_id != 0 &&
                      hello->cluster_id != session->cluster_id;
    if (strcmp(hello->cluster, session->cluster) != 0 || ids_differ) {
        *reason = ZA_GOODBYE_CLUSTER;
        return "another cluster";
    }
    if (identity->verified && (strcmp(hello->name, identity->node) != 0 ||
                               strcmp(hello->cluster, identity->cluster) != 0)) {
        *reason = ZA_GOODBYE_IDENTITY;
        return "the announced name is not that of the certificate";
    }
    if (identity->verified && (identity->roles & hello->role) == 0) {
        *reason = ZA_GOODBYE_REFUSED;
        return "the certificate does not grant the announced role";
    }
    if (session->side == ZA_SIDE_CLIENT && hello->role != ZA_ROLE_MEMBER) {
        *reason = ZA_GOODBYE_REFUSED;
        return "only members take connections";
    }
    if ((hello->to != 0 && hello->to != session->uid) ||
        (session->wanted_uid != 0 && session->wanted_uid != hello->from)) {
        *reason = ZA_GOODBYE_WRONG_PEER;
        return "another process than the wanted one";
    }
    return NULL;
}

static void fill_peer(const za_session_t *session, za_session_peer_t *out)
{
    *out = (za_session_peer_t){
        .identity = session->identity,
        .name = session->hello.name,
        .address = session->hello.address,
        .uid = session->hello.from,
        .cluster_id = session->hello.cluster_id,
        .role = session->hello.role,
        .link_epoch = session->link_epoch,
        .version = session->version,
        .draining = session->hello.draining,
    };
}

static bool on_hello(za_session_t *session, const za_frame_t *frame, za_session_event_t *out)
{
    za_hello_t hello;
    if (frame->kind != ZA_FRAME_HELLO ||
        za_hello_decode(frame->payload, frame->size, &hello) != ZA_OK) {
        part(session, ZA_GOODBYE_PROTOCOL, "the peer's first frame is no Hello");
        return false;
    }
    za_goodbye_t reason = ZA_GOODBYE_NORMAL;
    const char *refusal = refuse_hello(session, &hello, &reason);
    if (refusal != NULL) {
        part(session, reason, refusal);
        // The peer hears the reason alone; our own log also hears who it was.
        snprintf(session->problem, sizeof session->problem, "%s: it is %s of %s", refusal,
                 hello.name, hello.cluster);
        return false;
    }
    session->hello = hello;
    if (!session->identity.verified) {
        strcpy(session->identity.cluster, hello.cluster);
        strcpy(session->identity.node, hello.name);
        session->identity.roles = hello.role;
    }
    session->version =
        hello.version_max < ZA_PROTOCOL_VERSION_MAX ? hello.version_max : ZA_PROTOCOL_VERSION_MAX;
    session->link_epoch = hello.link_epoch;
    session->limited = hello.role != ZA_ROLE_MEMBER || session->role != ZA_ROLE_MEMBER;
    session->state = STATE_GREETED;
    out->type = ZA_SESSION_GREETED;
    fill_peer(session, &out->peer);
    return true;
}

static void on_ack(za_session_t *session, const za_frame_t *frame)
{
    za_hello_ack_t ack;
    if (frame->kind != ZA_FRAME_HELLO_ACK ||
        za_hello_ack_decode(frame->payload, frame->size, &ack) != ZA_OK ||
        ack.version != session->version) {
        part(session, ZA_GOODBYE_PROTOCOL, "the peer's answer is no HelloAck");
        return;
    }
    become_ready(session, ack.link_epoch);
}

static bulk_t *find_bulk(za_session_t *session, uint32_t id)
{
    for (int i = 0; i < BULKS_MAX; i++) {
        if (session->bulks[i].id == id) {
            return &session->bulks[i];
        }
    }
    return NULL;
}

static bool on_message(za_session_t *session, const za_frame_t *frame, za_session_event_t *out)
{
    za_wire_message_t message;
    if (za_message_frame_decode(&session->pages->decoder, frame, &message) != ZA_OK) {
        part(session, ZA_GOODBYE_PROTOCOL, "the peer's message cannot be read");
        return false;
    }
    if (frame->kind == ZA_FRAME_BULK_BEGIN) {
        bulk_t *bulk = find_bulk(session, 0);
        if (bulk == NULL || find_bulk(session, message.bulk) != NULL) {
            part(session, ZA_GOODBYE_PROTOCOL, "the peer began too many large messages");
            return false;
        }
        *bulk = (bulk_t){ .id = message.bulk, .size = message.size };
        out->type = ZA_SESSION_BULK_BEGIN;
    } else {
        out->type = ZA_SESSION_MESSAGE;
    }
    out->message = message;
    return true;
}

static bool on_chunk(za_session_t *session, const za_frame_t *frame, za_session_event_t *out)
{
    uint32_t id;
    const uint8_t *bytes;
    size_t size;
    za_err_t err = za_bulk_chunk_decode(frame, &id, &bytes, &size);
    bulk_t *bulk = err == ZA_OK ? find_bulk(session, id) : NULL;
    if (bulk == NULL || size > bulk->size - bulk->have) {
        part(session, ZA_GOODBYE_PROTOCOL, "the peer sent a chunk of no large message");
        return false;
    }
    out->type = ZA_SESSION_BULK_CHUNK;
    out->chunk.bulk = id;
    out->chunk.offset = bulk->have;
    out->chunk.bytes = bytes;
    out->chunk.size = (uint32_t)size;
    bulk->have += (uint32_t)size;
    out->chunk.last = bulk->have == bulk->size;
    if (out->chunk.last) {
        *bulk = (bulk_t){ 0 };
    }
    return true;
}

static bool on_frame(za_session_t *session, const za_frame_t *frame, za_session_event_t *out)
{
    if (!kind_allowed(session, frame->kind)) {
        part(session, ZA_GOODBYE_PROTOCOL, "the peer sent a frame that its role does not allow");
        return false;
    }
    switch (frame->kind) {
    case ZA_FRAME_MESSAGE:
    case ZA_FRAME_MESSAGE_RUN:
    case ZA_FRAME_BULK_BEGIN:
        return on_message(session, frame, out);
    case ZA_FRAME_BULK_CHUNK:
        return on_chunk(session, frame, out);
    default:
        out->type = ZA_SESSION_FRAME;
        out->frame = *frame;
        return true;
    }
}

/** Handles one frame in any state that reads frames; false if it makes no event. */
static bool dispatch(za_session_t *session, const za_frame_t *frame, za_session_event_t *out)
{
    if (frame->kind == ZA_FRAME_GOODBYE) {
        on_goodbye(session, frame);
        return false;
    }
    switch (session->state) {
    case STATE_HELLO:
        return on_hello(session, frame, out);
    case STATE_ACK:
        on_ack(session, frame);
        return false;
    case STATE_ESTABLISHED:
        return on_frame(session, frame, out);
    default:
        ZA_ASSERT(!"a state that reads no frames");
        return false;
    }
}

/** Advances the security's handshake; false if it needs more from the peer. */
static bool shake_hands(za_session_t *session, uint64_t now_ms)
{
    bool done = false;
    char problem[ZA_SESSION_PROBLEM_BYTES] = "";
    za_security_t *security = session->security;
    za_err_t err =
        security->ops->handshake(security, &done, &session->identity, problem, sizeof problem);
    if (err != ZA_OK) {
        end(session, err, "%s", problem);
        return true;
    }
    if (!done) {
        if (session->eof) {
            end_by_eof(session);
        }
        return session->eof;
    }
    session->secure = true;
    session->deadline_ms = now_ms + ZA_HELLO_TIMEOUT_MS;
    session->state = STATE_HELLO;
    // The accepting side speaks first: the other learns whom it reached, and can propose an epoch.
    if (session->side == ZA_SIDE_SERVER) {
        say_hello(session, 0);
    }
    return true;
}

static void check_deadline(za_session_t *session, uint64_t now_ms)
{
    if (ended(session) || now_ms < session->deadline_ms) {
        return;
    }
    if (session->state == STATE_HANDSHAKE) {
        end(session, ZA_ETIMEOUT, "the peer did not finish the handshake in %d s",
            ZA_HANDSHAKE_TIMEOUT_MS / 1000);
    } else {
        end(session, ZA_ETIMEOUT, "the peer did not finish its greeting in %d s",
            ZA_HELLO_TIMEOUT_MS / 1000);
    }
}

/** Tells the end, once. */
static bool tell_end(za_session_t *session, za_session_event_t *out)
{
    session->state = STATE_OVER;
    out->type = ZA_SESSION_CLOSED;
    out->closed.err = session->end_err;
    out->closed.goodbye = session->end_goodbye;
    out->closed.reason = session->end_reason;
    out->closed.problem = session->problem;
    return true;
}

bool za_session_next(za_session_t *session, uint64_t now_ms, za_session_event_t *out)
{
    za_buffer_drop(&session->plain, session->used);
    session->used = 0;
    check_deadline(session, now_ms);
    for (;;) {
        za_frame_t frame;
        switch (session->state) {
        case STATE_HANDSHAKE:
            if (!shake_hands(session, now_ms)) {
                return false;
            }
            break;
        case STATE_GREETED:
        case STATE_OVER:
            return false;
        case STATE_READY:
            session->state = STATE_ESTABLISHED;
            out->type = ZA_SESSION_ESTABLISHED;
            fill_peer(session, &out->peer);
            return true;
        case STATE_ENDED:
            return tell_end(session, out);
        case STATE_HELLO:
        case STATE_ACK:
        case STATE_ESTABLISHED:
            if (next_frame(session, &frame)) {
                if (dispatch(session, &frame, out)) {
                    return true;
                }
                za_buffer_drop(&session->plain, session->used);
                session->used = 0;
            } else if (!ended(session)) {
                return false;
            }
            break;
        }
    }
}
