/**
 * Client of a node's administration: one request, one reply, over the unix socket or a TLS session.
 * Blocks; for tools, not for nodes.
 *
 * Memory   One block and the session's, taken in connect.
 * Threads  One at a time.
 * Errors   ZA_EREFUSED ZA_EIO: nothing answers there. ZA_ETIMEOUT. ZA_EAUTH ZA_ECLUSTER ZA_EDENIED: not
 *          let in. Each with one line of `problem`. After an error of a call the connection is over.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

typedef struct za_admin_client za_admin_client_t;
typedef struct _za_AdminRequest za_AdminRequest; // zactor/admin.pb.h
typedef struct _za_AdminReply za_AdminReply;

typedef struct za_admin_client_config {
    const char *socket;  // unix socket; or, if NULL:
    const char *address; // host:port, with the three files
    const char *ca;
    const char *certificate; // names cluster and client; with role client or admin
    const char *key;
    uint32_t timeout_ms; // of connect and of each call
} za_admin_client_config_t;

za_err_t za_admin_client_connect(const za_admin_client_config_t *config, za_admin_client_t **out,
                                 char *problem, size_t problem_bytes);

/** ZA_OK if a reply came, whatever it says. */
za_err_t za_admin_client_call(za_admin_client_t *client, const za_AdminRequest *request,
                              za_AdminReply *reply, char *problem, size_t problem_bytes);

void za_admin_client_destroy(za_admin_client_t *client);
