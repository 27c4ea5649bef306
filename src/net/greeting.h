/**
 * Greeting: the bytes of Hello, HelloAck and Goodbye (proto/zactor/session.proto), checked field by
 * field. Whether what they say is acceptable is the session's question.
 *
 * Errors   ZA_EPROTO for wrong bytes and for values that cannot be.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

#include "base/limits.h"
#include "net/session.h"

enum {
    ZA_GREETING_BYTES_MAX = 512, // of any of the three, encoded
    ZA_GOODBYE_TEXT_BYTES_MAX = 120,
};

typedef struct za_hello {
    uint32_t version_min;
    uint32_t version_max;
    uint64_t features;
    char cluster[ZA_CLUSTER_NAME_BYTES_MAX + 1];
    uint64_t cluster_id;
    uint64_t from;
    uint64_t to;
    char name[ZA_NODE_NAME_BYTES_MAX + 1];
    char address[ZA_ADDRESS_BYTES_MAX + 1];
    uint32_t role; // one ZA_ROLE_ bit
    uint32_t link_epoch;
    bool draining;
} za_hello_t;

typedef struct za_hello_ack {
    uint32_t version;
    uint64_t features;
    uint32_t link_epoch;
} za_hello_ack_t;

/** Whether it may be written into a Hello: printable, no blanks, at most 64 bytes. */
bool za_hello_address_valid(const char *address);

// Each encode returns the bytes written into `out`.
size_t za_hello_encode(const za_hello_t *hello, uint8_t out[ZA_GREETING_BYTES_MAX]);
size_t za_hello_ack_encode(const za_hello_ack_t *ack, uint8_t out[ZA_GREETING_BYTES_MAX]);
/** A text that is too long is cut. */
size_t za_goodbye_encode(za_goodbye_t reason, const char *text, uint8_t out[ZA_GREETING_BYTES_MAX]);

ZA_MUST_USE za_err_t za_hello_decode(const uint8_t *bytes, size_t size, za_hello_t *out);
ZA_MUST_USE za_err_t za_hello_ack_decode(const uint8_t *bytes, size_t size, za_hello_ack_t *out);
/** The text is made fit for a line of a log. A reason we do not know is ZA_GOODBYE_REFUSED. */
ZA_MUST_USE za_err_t za_goodbye_decode(const uint8_t *bytes, size_t size, za_goodbye_t *reason,
                                       char text[ZA_GOODBYE_TEXT_BYTES_MAX + 1]);
