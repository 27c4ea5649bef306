// A peer's bytes against a session: raw from the first byte and behind a good greeting; and bytes
// as the names of a certificate. Sizes of the pieces come from the input as well.
#include <string.h>

#include "base/assert.h"
#include "net/greeting.h"
#include "net/identity.h"
#include "net/plain.h"
#include "net/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct counts {
    uint32_t events;
    bool closed;
    uint32_t bulk_left[64]; // by id, of those that a fuzzer is likely to choose
} counts_t;

static void check_message(const za_wire_message_t *message)
{
    volatile uint8_t sum = 0;
    ZA_ASSERT(message->target != 0 && message->size <= ZA_MESSAGE_BYTES_MAX);
    for (uint32_t i = 0; message->body != NULL && i < message->size; i++) {
        sum = (uint8_t)(sum + message->body[i]); // the sanitizer looks at every byte
    }
}

static void check_event(za_session_t *session, const za_session_event_t *event, counts_t *counts)
{
    ZA_ASSERT(!counts->closed); // nothing comes behind the end
    counts->events++;
    switch (event->type) {
    case ZA_SESSION_GREETED:
        ZA_ASSERT(za_identity_name_valid(event->peer.name, strlen(event->peer.name)));
        ZA_ASSERT(!event->peer.identity.verified);
        za_session_accept(session, event->peer.link_epoch, 1);
        break;
    case ZA_SESSION_ESTABLISHED:
        ZA_ASSERT(za_session_established(session));
        break;
    case ZA_SESSION_FRAME:
        ZA_ASSERT(event->frame.size <= ZA_FRAME_PAYLOAD_BYTES_MAX);
        break;
    case ZA_SESSION_MESSAGE:
        check_message(&event->message);
        break;
    case ZA_SESSION_BULK_BEGIN:
        ZA_ASSERT(event->message.body == NULL);
        check_message(&event->message);
        if (event->message.bulk < 64) {
            counts->bulk_left[event->message.bulk] = event->message.size;
        }
        break;
    case ZA_SESSION_BULK_CHUNK:
        if (event->chunk.bulk < 64) {
            uint32_t *left = &counts->bulk_left[event->chunk.bulk];
            ZA_ASSERT(event->chunk.size <= *left);
            *left -= event->chunk.size;
            ZA_ASSERT(event->chunk.last == (*left == 0));
        }
        break;
    case ZA_SESSION_CLOSED:
        ZA_ASSERT(event->closed.err != ZA_OK && event->closed.problem[0] != '\0');
        ZA_ASSERT(strchr(event->closed.problem, '\n') == NULL); // one line of a log
        counts->closed = true;
        break;
    }
}

static void take_events(za_session_t *session, uint64_t now_ms, counts_t *counts)
{
    za_session_event_t event;
    uint8_t out[4096];
    size_t size;
    while (za_session_next(session, now_ms, &event)) {
        check_event(session, &event, counts);
    }
    do {
        za_session_pull(session, out, sizeof out, &size);
    } while (size > 0);
}

static void push_all(za_session_t *session, const uint8_t *data, size_t size, size_t piece,
                     uint64_t now_ms, counts_t *counts)
{
    for (size_t at = 0; at < size;) {
        size_t part = size - at < piece ? size - at : piece;
        size_t taken = 0;
        ZA_ASSERT(za_session_push(session, data + at, part, &taken) == ZA_OK);
        at += taken;
        uint32_t before = counts->events;
        take_events(session, now_ms, counts);
        ZA_ASSERT(taken > 0 || counts->events > before); // it never stands still
    }
}

static void greet(za_session_t *session, uint32_t role, counts_t *counts)
{
    za_hello_t hello = { .version_min = 1,
                         .version_max = 1,
                         .cluster = "prod",
                         .name = "peer",
                         .address = "peer:1",
                         .from = 2,
                         .role = role };
    uint8_t bytes[ZA_GREETING_BYTES_MAX + ZA_FRAME_HEADER_BYTES_MAX];
    uint8_t payload[ZA_GREETING_BYTES_MAX];
    size_t size = za_hello_encode(&hello, payload);
    size_t head = za_frame_header_encode(ZA_FRAME_HELLO, ZA_LANE_CONTROL, size, bytes, 4);
    memcpy(bytes + head, payload, size);
    push_all(session, bytes, head + size, sizeof bytes, 1, counts);
    ZA_ASSERT(za_session_established(session));
}

static void fuzz_names(const uint8_t *data, size_t size)
{
    za_identity_t identity = { 0 };
    while (size > 0) {
        size_t part = data[0] < size ? data[0] : size - 1;
        za_identity_add_uri(&identity, data + 1, part);
        data += part + 1;
        size -= part + 1;
    }
    ZA_ASSERT(identity.node[0] == '\0' ||
              za_identity_name_valid(identity.node, strlen(identity.node)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    uint8_t mode = data[0];
    size_t piece = 1 + (size_t)data[1] * (mode & 0x40 ? 64 : 1);
    data += 2;
    size -= 2;
    if (mode % 8 == 7) {
        fuzz_names(data, size);
        return 0;
    }
    za_session_config_t config = {
        .cluster = "prod", .name = "n1", .address = "n1:1", .uid = 1, .role = ZA_ROLE_MEMBER
    };
    za_security_factory_t factory = za_plain_factory();
    za_session_t *session;
    za_side_t side = mode % 8 == 6 ? ZA_SIDE_CLIENT : ZA_SIDE_SERVER;
    counts_t counts = { 0 };
    if (za_session_create(&config, &factory, side, 0, &session) != ZA_OK) {
        return 0;
    }
    take_events(session, 1, &counts);
    if (mode % 8 < 4) {
        greet(session, mode % 8 < 3 ? ZA_ROLE_MEMBER : ZA_ROLE_ADMIN, &counts);
    }
    push_all(session, data, size, piece, 1, &counts);
    if (mode & 0x80) {
        za_session_close(session, ZA_GOODBYE_NORMAL, "");
    } else {
        za_session_eof(session, ZA_ECLOSED);
    }
    take_events(session, 2, &counts);
    ZA_ASSERT(counts.closed);
    za_session_destroy(session);
    return 0;
}
