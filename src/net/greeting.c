#include "net/greeting.h"

#include <stdio.h>
#include <string.h>

#include <pb_decode.h>
#include <pb_encode.h>

#include <zactor/ref.h>

#include "base/assert.h"
#include "net/identity.h"
#include "zactor/session.pb.h"

static_assert(za_Hello_size <= ZA_GREETING_BYTES_MAX, "a Hello fits");
static_assert(za_HelloAck_size <= ZA_GREETING_BYTES_MAX, "a HelloAck fits");
static_assert(za_Goodbye_size <= ZA_GREETING_BYTES_MAX, "a Goodbye fits");
static_assert((int)ZA_GOODBYE_NORMAL == (int)za_GoodbyeReason_GOODBYE_NORMAL &&
                  (int)ZA_GOODBYE_DEAD == (int)za_GoodbyeReason_GOODBYE_DEAD,
              "reasons are those of the protocol");

static size_t encode(const pb_msgdesc_t *type, const void *message,
                     uint8_t out[ZA_GREETING_BYTES_MAX])
{
    pb_ostream_t stream = pb_ostream_from_buffer(out, ZA_GREETING_BYTES_MAX);
    bool encoded = pb_encode(&stream, type, message);
    ZA_ASSERT(encoded); // the greatest size was checked above, and the strings by our own caller
    return stream.bytes_written;
}

static bool decode(const pb_msgdesc_t *type, const uint8_t *bytes, size_t size, void *message)
{
    pb_istream_t stream = pb_istream_from_buffer(bytes, size);
    return pb_decode(&stream, type, message);
}

static za_Role role_to_wire(uint32_t role)
{
    return role == ZA_ROLE_ADMIN    ? za_Role_ROLE_ADMIN
           : role == ZA_ROLE_CLIENT ? za_Role_ROLE_CLIENT
                                    : za_Role_ROLE_MEMBER;
}

static uint32_t role_from_wire(za_Role role)
{
    switch (role) {
    case za_Role_ROLE_MEMBER:
        return ZA_ROLE_MEMBER;
    case za_Role_ROLE_CLIENT:
        return ZA_ROLE_CLIENT;
    case za_Role_ROLE_ADMIN:
        return ZA_ROLE_ADMIN;
    }
    return 0; // a number that this version has no name for
}

bool za_hello_address_valid(const char *address)
{
    size_t size = strlen(address);
    for (size_t i = 0; i < size; i++) {
        if (address[i] <= ' ' || address[i] > '~') {
            return false;
        }
    }
    return size <= ZA_ADDRESS_BYTES_MAX;
}

size_t za_hello_encode(const za_hello_t *hello, uint8_t out[ZA_GREETING_BYTES_MAX])
{
    za_Hello message = {
        .proto_min = hello->version_min,
        .proto_max = hello->version_max,
        .features = hello->features,
        .cluster_id = hello->cluster_id,
        .from = hello->from,
        .to = hello->to,
        .role = role_to_wire(hello->role),
        .link_epoch = hello->link_epoch,
        .draining = hello->draining,
    };
    snprintf(message.cluster, sizeof message.cluster, "%s", hello->cluster);
    snprintf(message.name, sizeof message.name, "%s", hello->name);
    snprintf(message.address, sizeof message.address, "%s", hello->address);
    return encode(za_Hello_fields, &message, out);
}

za_err_t za_hello_decode(const uint8_t *bytes, size_t size, za_hello_t *out)
{
    za_Hello message = za_Hello_init_zero;
    if (!decode(za_Hello_fields, bytes, size, &message)) {
        return ZA_EPROTO;
    }
    uint32_t role = role_from_wire(message.role);
    if (message.proto_min == 0 || message.proto_min > message.proto_max || role == 0 ||
        !za_identity_name_valid(message.cluster, strlen(message.cluster)) ||
        !za_identity_name_valid(message.name, strlen(message.name)) ||
        !za_hello_address_valid(message.address)) {
        return ZA_EPROTO;
    }
    // A member is somebody, and can be reached.
    bool has_uid = message.from != 0 && message.from != ZA_NODE_NAMED;
    if (role == ZA_ROLE_MEMBER && (!has_uid || message.address[0] == '\0')) {
        return ZA_EPROTO;
    }
    *out = (za_hello_t){
        .version_min = message.proto_min,
        .version_max = message.proto_max,
        .features = message.features,
        .cluster_id = message.cluster_id,
        .from = message.from,
        .to = message.to,
        .role = role,
        .link_epoch = message.link_epoch,
        .draining = message.draining,
    };
    strcpy(out->cluster, message.cluster); // nanopb has bounded them as the struct does
    strcpy(out->name, message.name);
    strcpy(out->address, message.address);
    return ZA_OK;
}

size_t za_hello_ack_encode(const za_hello_ack_t *ack, uint8_t out[ZA_GREETING_BYTES_MAX])
{
    za_HelloAck message = { .proto = ack->version,
                            .features = ack->features,
                            .link_epoch = ack->link_epoch };
    return encode(za_HelloAck_fields, &message, out);
}

za_err_t za_hello_ack_decode(const uint8_t *bytes, size_t size, za_hello_ack_t *out)
{
    za_HelloAck message = za_HelloAck_init_zero;
    if (!decode(za_HelloAck_fields, bytes, size, &message)) {
        return ZA_EPROTO;
    }
    *out = (za_hello_ack_t){ .version = message.proto,
                             .features = message.features,
                             .link_epoch = message.link_epoch };
    return ZA_OK;
}

/** Peers' words go into our log: one line, plain characters. */
static void copy_text(const char *from, char *to, size_t to_bytes)
{
    size_t i = 0;
    for (; from[i] != '\0' && i + 1 < to_bytes; i++) {
        to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    }
    to[i] = '\0';
}

size_t za_goodbye_encode(za_goodbye_t reason, const char *text, uint8_t out[ZA_GREETING_BYTES_MAX])
{
    za_Goodbye message = { .reason = (za_GoodbyeReason)reason };
    copy_text(text, message.text, sizeof message.text);
    return encode(za_Goodbye_fields, &message, out);
}

za_err_t za_goodbye_decode(const uint8_t *bytes, size_t size, za_goodbye_t *reason,
                           char text[ZA_GOODBYE_TEXT_BYTES_MAX + 1])
{
    za_Goodbye message = za_Goodbye_init_zero;
    if (!decode(za_Goodbye_fields, bytes, size, &message)) {
        return ZA_EPROTO;
    }
    unsigned number = (unsigned)message.reason;
    *reason = number <= ZA_GOODBYE_DEAD ? (za_goodbye_t)number : ZA_GOODBYE_REFUSED;
    copy_text(message.text, text, ZA_GOODBYE_TEXT_BYTES_MAX + 1);
    return ZA_OK;
}
