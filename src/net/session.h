/**
 * Session: the protocol of one connection above its security. Sans-IO: bytes of the socket in and
 * out on one side, events and frames on the other.
 *
 * Course   Security handshake; the accepting side says Hello, then the connecting side; both get
 *          ZA_SESSION_GREETED and answer with za_session_accept or za_session_close; the accepting
 *          side's acceptance goes out as HelloAck; both get ZA_SESSION_ESTABLISHED. Then frames,
 *          until ZA_SESSION_CLOSED, which is the last event and comes exactly once.
 * Order    Frames arrive in the order in which they were put.
 * Memory   Taken in create; 180 KiB of address space and the security's. A peer that has not said
 *          Hello makes us touch at most 16 KiB of TLS's input, 2 KiB of plaintext, and mbedTLS's own.
 *          Events point into the session and are valid until the next call of za_session_next.
 * Threads  One at a time.
 * Errors   What the peer does wrong ends the session with ZA_SESSION_CLOSED, which says why in one
 *          line, and tells the peer in a GOODBYE where it still can.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "net/security.h"
#include "wire/envelope.h"

enum {
    ZA_PROTOCOL_VERSION_MIN = 1,
    ZA_PROTOCOL_VERSION_MAX = 1,
    ZA_HANDSHAKE_TIMEOUT_MS = 10000, // of the security, from create
    ZA_HELLO_TIMEOUT_MS = 5000,      // from the security's handshake to established
    ZA_SESSION_PROBLEM_BYTES = 256,
};

typedef struct za_session za_session_t;

/** Why a side closes; as on the wire (proto/zactor/session.proto). */
typedef enum za_goodbye {
    ZA_GOODBYE_NORMAL = 0,
    ZA_GOODBYE_VERSION = 1,
    ZA_GOODBYE_CLUSTER = 2,
    ZA_GOODBYE_IDENTITY = 3,
    ZA_GOODBYE_REPLACED = 4,
    ZA_GOODBYE_WRONG_PEER = 5,
    ZA_GOODBYE_REFUSED = 6,
    ZA_GOODBYE_PROTOCOL = 7,
    ZA_GOODBYE_IDLE = 8,
    ZA_GOODBYE_DEAD = 9,
} za_goodbye_t;

/** What this side says of itself. Strings are copied. */
typedef struct za_session_config {
    const char *cluster;
    uint64_t cluster_id; // 0: not known yet
    const char *name;
    const char *address; // may be empty for a client
    uint64_t uid;        // of this process start; may be 0 for a client
    uint64_t wanted_uid; // connecting side: whom to find there; 0: anybody
    uint32_t role;       // one ZA_ROLE_ bit; the accepting side's must be ZA_ROLE_MEMBER
    bool draining;
} za_session_config_t;

/** What the peer said of itself, checked against its certificate. Strings lie in the session. */
typedef struct za_session_peer {
    za_identity_t identity; // plain: not verified, with the Hello's names
    const char *name;
    const char *address;
    uint64_t uid;
    uint64_t cluster_id;
    uint32_t role;       // what it is on this connection: one ZA_ROLE_ bit
    uint32_t link_epoch; // connecting side's proposal, or the accepted one once established
    uint32_t version;    // both sides' newest common one
    bool draining;
} za_session_peer_t;

typedef enum za_session_event_type {
    ZA_SESSION_GREETED,     // peer: answer with za_session_accept or za_session_close
    ZA_SESSION_ESTABLISHED, // peer
    ZA_SESSION_FRAME,       // frame: control, system, datagram, admin
    ZA_SESSION_MESSAGE,     // message with its body
    ZA_SESSION_BULK_BEGIN,  // message without its body, which comes in chunks of message.bulk
    ZA_SESSION_BULK_CHUNK,  // chunk; checked to lie within the body that was announced
    ZA_SESSION_CLOSED,      // closed
} za_session_event_type_t;

typedef struct za_session_event {
    za_session_event_type_t type;
    union {
        za_session_peer_t peer;
        za_frame_t frame;
        za_wire_message_t message;
        struct {
            uint32_t bulk;
            uint32_t offset; // of these bytes in the body
            const uint8_t *bytes;
            uint32_t size;
            bool last; // the body is complete
        } chunk;
        struct {
            za_err_t err; // never ZA_OK; see za_session_goodbye_err
            bool goodbye; // the peer said why: `reason`
            za_goodbye_t reason;
            const char *problem; // one line for the log
        } closed;
    };
} za_session_event_t;

/** ZA_EINVAL for names that are not valid, ZA_ENOMEM, or the factory's error. */
za_err_t za_session_create(const za_session_config_t *config, const za_security_factory_t *factory,
                           za_side_t side, uint64_t now_ms, za_session_t **out);
void za_session_destroy(za_session_t *session);
/** Nothing has passed for a while: gives back the memory of buffers that are empty. */
void za_session_rest(za_session_t *session);

/* ---- what comes in --------------------------------------------------------------------------- */

/** Takes bytes of the socket; *taken < size: take events out first. */
za_err_t za_session_push(za_session_t *session, const uint8_t *bytes, size_t size, size_t *taken);

/** The socket ended: ZA_ECLOSED (end of stream), ZA_EREFUSED (reset), or what failed. */
void za_session_eof(za_session_t *session, za_err_t err);

/**
 * The next event; false: none now. Advances the handshakes, which with TLS costs up to 10 ms of CPU
 * a call. May leave bytes for za_session_pull.
 */
bool za_session_next(za_session_t *session, uint64_t now_ms, za_session_event_t *out);

/** When za_session_next must be called at the latest; UINT64_MAX once established. */
uint64_t za_session_deadline_ms(const za_session_t *session);

/* ---- answers --------------------------------------------------------------------------------- */

/**
 * After ZA_SESSION_GREETED: goes on. The connecting side proposes `link_epoch` (za_links_propose; 0
 * for clients); the accepting side passes peer.link_epoch on.
 */
void za_session_accept(za_session_t *session, uint32_t link_epoch, uint64_t now_ms);

/**
 * Says GOODBYE if the peer can hear it and ends the session: no more events but ZA_SESSION_CLOSED
 * with za_session_goodbye_err(reason). Pull what is left, then close the socket. Idempotent.
 */
void za_session_close(za_session_t *session, za_goodbye_t reason, const char *text);

/** The error that stands for a reason, at either end. */
za_err_t za_session_goodbye_err(za_goodbye_t reason);

bool za_session_established(const za_session_t *session);
/** The security's handshake goes on: za_session_next is expensive. */
bool za_session_greeting(const za_session_t *session);

/* ---- what goes out --------------------------------------------------------------------------- */

/**
 * Each puts one frame, whole or not at all: ZA_ENOBUFS: no room now, pull first; ZA_ECLOSED: not
 * established, or over; ZA_ETOOBIG: never. Bytes are copied. Room is there while less than one
 * record (16 KiB) waits to be sealed: what is behind it can still be overtaken by what is urgent.
 */
size_t za_session_room(const za_session_t *session); // payload that is sure to be taken, or 0
za_err_t za_session_put_frame(za_session_t *session, za_frame_kind_t kind, za_lane_t lane,
                              const uint8_t *bytes, size_t size);
za_err_t za_session_put_message(za_session_t *session, const za_wire_message_t *message);
/** One bulk at a time: its chunks, in order, until message->size bytes are put. Its id is ours. */
za_err_t za_session_put_bulk_begin(za_session_t *session, const za_wire_message_t *message);
za_err_t za_session_put_bulk_chunk(za_session_t *session, const uint8_t *bytes, size_t size);

/** Seals what was put: one record for each 16 KiB and one for the rest. */
void za_session_flush(za_session_t *session);

/** Takes bytes for the socket; *size 0: none. Goes on with a flush that had found no room. */
void za_session_pull(za_session_t *session, uint8_t *out, size_t capacity, size_t *size);

/** Frames of kinds we do not know and may skip. */
uint64_t za_session_skipped(const za_session_t *session);
