/**
 * Resolver: the addresses behind a name, by DNS, without ever holding up the loop.
 *
 * A host has A and AAAA records, a service SRV records (RFC 2782) whose targets have those. All
 * addresses are told, whatever the priorities and weights: who looks for members tries all of them.
 * The system's configuration is read anew for each question that finds no other under way, so a name
 * server that moved is found, and nothing is kept between questions.
 *
 * Memory   One allocation for each question and socket.
 * Threads  All of it, the answers too, the owner of the loop.
 */
#pragma once

#include <stdint.h>

#include "base/limits.h"
#include "net/loop_uv.h"

enum {
    ZA_RESOLVER_QUESTIONS_MAX = 64,  // at a time; one more than that is ZA_EFULL
    ZA_RESOLVER_ADDRESSES_MAX = 256, // of one answer: what is more than that is left out
    ZA_RESOLVER_TARGETS_MAX = 64,    // of one service, in the same way
    ZA_RESOLVER_NAME_BYTES_MAX = 253,
};

typedef struct za_resolver za_resolver_t;

typedef enum za_resolver_kind {
    ZA_RESOLVER_HOST,    // A and AAAA; the port is the asker's
    ZA_RESOLVER_SERVICE, // SRV; the port is the record's
} za_resolver_kind_t;

typedef struct za_resolver_answer {
    za_err_t err; // ZA_OK; ZA_ENOENT: no such name, or nothing behind it; ZA_ETIMEOUT; ZA_EIO
    const char *problem; // one line for the log; "" if there is none
    uint32_t count;
    char (*addresses)[ZA_ADDRESS_BYTES_MAX + 1]; // "10.0.0.1:7464", "[fd00::1]:7464"
} za_resolver_answer_t;

/** Not from inside za_resolver_ask; what it points to is the resolver's and ends with the call. */
typedef void (*za_resolver_fn)(void *context, const za_resolver_answer_t *answer);

typedef struct za_resolver_config {
    const char *servers; // "10.0.0.2:53,10.0.0.3"; NULL or "": the system's
    uint32_t timeout_ms; // of the first attempt of each server; the second one has twice as long
} za_resolver_config_t;

/** ZA_ENOMEM, ZA_EINVAL (servers). `config` is copied. */
za_err_t za_resolver_create(za_loop_t *loop, const za_resolver_config_t *config,
                            za_resolver_t **out);
/** Before the loop, and not from inside an answer. Questions without an answer get none any more. */
void za_resolver_destroy(za_resolver_t *resolver);

/** One answer for each ZA_OK. ZA_EINVAL (the name), ZA_EFULL, ZA_ENOMEM, ZA_EIO: none will come. */
za_err_t za_resolver_ask(za_resolver_t *resolver, za_resolver_kind_t kind, const char *name,
                         uint16_t port, za_resolver_fn done, void *context);
