/**
 * Identity: the URIs in a certificate's subject alternative name, to names and roles and back.
 *
 * A node's certificate has exactly one `zactor://<cluster>/<node>` and one `zactor:role:<role>` for
 * each of its roles. Names are 1 to 64 of [A-Za-z0-9._-] and are compared byte by byte. Other URIs
 * say nothing to us and are passed over: a certificate may serve other programs as well.
 *
 * Errors   Certificates are peers' input: anything doubtful makes the whole identity bad.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

#include "net/security.h"

enum { ZA_IDENTITY_URI_BYTES_MAX = 9 + 64 + 1 + 64 + 1 }; // with the NUL

typedef enum za_identity_uri {
    ZA_IDENTITY_URI_FOREIGN, // not ours: passed over
    ZA_IDENTITY_URI_NODE,
    ZA_IDENTITY_URI_ROLE,
    ZA_IDENTITY_URI_BAD, // ours, but malformed, or the second node in one certificate
} za_identity_uri_t;

/** Adds what one URI says to `identity`, which began as zeros. */
za_identity_uri_t za_identity_add_uri(za_identity_t *identity, const uint8_t *uri, size_t size);

/** Whether `name` may be a cluster's or a node's. */
bool za_identity_name_valid(const char *name, size_t size);

/** Writes "zactor://<cluster>/<node>". ZA_EINVAL if a name is not valid. */
za_err_t za_identity_node_uri(const char *cluster, const char *node,
                              char out[ZA_IDENTITY_URI_BYTES_MAX]);

/** "zactor:role:member" of one ZA_ROLE_ bit; NULL if it is none. */
const char *za_identity_role_uri(uint32_t role);

/** One ZA_ROLE_ bit of "member", "client", "admin". ZA_EINVAL. */
za_err_t za_identity_role_parse(const char *text, uint32_t *role);
