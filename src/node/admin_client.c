#include "node/admin_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/session.h"
#include "net/tls_mbedtls.h"
#include "net/pki_file.h"
#include "node/admin.h"
#include "node/config.h"
#include "zactor/admin.pb.h"

enum {
    SOCKET_BYTES = 16 * 1024, // one TLS record at a time is plenty for a tool
    TIMEOUT_DEFAULT_MS = 5000,
};

struct za_admin_client {
    int fd;
    uint32_t timeout_ms;
    uint64_t deadline_ms; // of the present connect or call
    char *problem;
    size_t problem_bytes;
    za_tls_t *tls;         // NULL: unix socket
    za_session_t *session; // NULL: unix socket
    bool established;
    bool replied;
    size_t reply_size;
    uint8_t reply[ZA_ADMIN_REPLY_BYTES_MAX];
    uint8_t socket[SOCKET_BYTES];
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static za_err_t fail(za_admin_client_t *client, za_err_t err, const char *what, const char *detail)
{
    snprintf(client->problem, client->problem_bytes, "%s%s%s", what, detail[0] != '\0' ? ": " : "",
             detail);
    return err;
}

/** The error of a socket call. Nothing that listens and nothing that is there are one to us. */
static za_err_t fail_errno(za_admin_client_t *client, const char *what)
{
    int error = errno;
    switch (error) {
    case EACCES:
    case EPERM:
        return fail(client, ZA_EDENIED, what, strerror(error));
    case ETIMEDOUT:
        return fail(client, ZA_ETIMEOUT, what, strerror(error));
    default:
        return fail(client, ZA_EREFUSED, what, strerror(error));
    }
}

/* ---- socket -------------------------------------------------------------------------------- */

/** Waits for `events`, until the deadline. */
static za_err_t wait_for(za_admin_client_t *client, short events)
{
    for (;;) {
        uint64_t now = now_ms();
        if (now >= client->deadline_ms) {
            return fail(client, ZA_ETIMEOUT, "no answer in time", "");
        }
        struct pollfd entry = { .fd = client->fd, .events = events };
        int ready = poll(&entry, 1, (int)(client->deadline_ms - now));
        if (ready > 0) {
            return ZA_OK;
        }
        if (ready < 0 && errno != EINTR) {
            return fail_errno(client, "poll");
        }
    }
}

static za_err_t send_all(za_admin_client_t *client, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(client->fd, bytes, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            size -= (size_t)sent;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return fail_errno(client, "the node closed the connection");
        }
        za_err_t err = wait_for(client, POLLOUT);
        if (err != ZA_OK) {
            return err;
        }
    }
    return ZA_OK;
}

/** Reads 1..size bytes, waiting for them. */
static za_err_t receive_some(za_admin_client_t *client, uint8_t *out, size_t size, size_t *received)
{
    for (;;) {
        ssize_t count = recv(client->fd, out, size, 0);
        if (count > 0) {
            *received = (size_t)count;
            return ZA_OK;
        }
        if (count == 0) {
            return fail(client, ZA_ECLOSED, "the node closed the connection", "");
        }
        if (errno != EAGAIN && errno != EINTR) {
            return fail_errno(client, "the connection broke");
        }
        za_err_t err = wait_for(client, POLLIN);
        if (err != ZA_OK) {
            return err;
        }
    }
}

static za_err_t receive_all(za_admin_client_t *client, uint8_t *out, size_t size)
{
    while (size > 0) {
        size_t received = 0;
        za_err_t err = receive_some(client, out, size, &received);
        if (err != ZA_OK) {
            return err;
        }
        out += received;
        size -= received;
    }
    return ZA_OK;
}

static za_err_t open_socket(za_admin_client_t *client, const struct sockaddr *address,
                            socklen_t size, const char *name)
{
    client->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (client->fd < 0) {
        return fail_errno(client, "socket");
    }
    if (connect(client->fd, address, size) == 0) {
        return ZA_OK;
    }
    if (errno != EINPROGRESS) {
        return fail_errno(client, name);
    }
    za_err_t err = wait_for(client, POLLOUT);
    if (err != ZA_OK) {
        return err;
    }
    int error = 0;
    socklen_t error_size = sizeof(error);
    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0 || error != 0) {
        errno = error;
        return fail_errno(client, name);
    }
    return ZA_OK;
}

static za_err_t connect_unix(za_admin_client_t *client, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) > ZA_SOCKET_PATH_BYTES_MAX) {
        return fail(client, ZA_EINVAL, "the path of the socket is too long", path);
    }
    memcpy(address.sun_path, path, strlen(path));
    return open_socket(client, (const struct sockaddr *)&address, sizeof(address), path);
}

/** Tries each address of the host in turn. */
static za_err_t connect_tcp(za_admin_client_t *client, const char *address)
{
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    char service[8];
    uint16_t port = 0;
    if (!za_address_split(address, host, sizeof(host), &port)) {
        return fail(client, ZA_EINVAL, "the address is not host:port", address);
    }
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, service, &hints, &found);
    if (error != 0) {
        return fail(client, ZA_EREFUSED, address, gai_strerror(error));
    }
    za_err_t err = ZA_EREFUSED;
    for (struct addrinfo *next = found; next != NULL && err != ZA_OK; next = next->ai_next) {
        if (client->fd >= 0) {
            close(client->fd);
        }
        err = open_socket(client, next->ai_addr, next->ai_addrlen, address);
    }
    freeaddrinfo(found);
    if (err == ZA_OK) {
        int on = 1;
        (void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); // only slower
    }
    return err;
}

/* ---- session ------------------------------------------------------------------------------- */

/** Takes out what the session says. ZA_OK: it goes on. */
static za_err_t take_events(za_admin_client_t *client)
{
    za_session_event_t event;
    while (za_session_next(client->session, now_ms(), &event)) {
        switch (event.type) {
        case ZA_SESSION_GREETED:
            za_session_accept(client->session, 0, now_ms());
            break;
        case ZA_SESSION_ESTABLISHED:
            client->established = true;
            break;
        case ZA_SESSION_FRAME:
            if (event.frame.kind == ZA_FRAME_ADMIN && !client->replied &&
                event.frame.size <= sizeof(client->reply)) {
                memcpy(client->reply, event.frame.payload, event.frame.size);
                client->reply_size = event.frame.size;
                client->replied = true;
            }
            break;
        case ZA_SESSION_CLOSED:
            return fail(client, event.closed.err, event.closed.problem, "");
        case ZA_SESSION_MESSAGE:
        case ZA_SESSION_BULK_BEGIN:
        case ZA_SESSION_BULK_CHUNK:
            return fail(client, ZA_EPROTO, "the node sent a message to a tool", "");
        }
    }
    return ZA_OK;
}

static za_err_t send_pending(za_admin_client_t *client)
{
    for (;;) {
        size_t size = 0;
        za_session_pull(client->session, client->socket, sizeof(client->socket), &size);
        if (size == 0) {
            return ZA_OK;
        }
        za_err_t err = send_all(client, client->socket, size);
        if (err != ZA_OK) {
            return err;
        }
    }
}

static za_err_t receive_pending(za_admin_client_t *client)
{
    size_t size = 0;
    za_err_t err = receive_some(client, client->socket, sizeof(client->socket), &size);
    if (err == ZA_ECLOSED || err == ZA_EREFUSED) {
        // The session knows better why: a refusal before the end is in its buffers.
        za_session_eof(client->session, err);
        return take_events(client);
    }
    for (size_t used = 0; err == ZA_OK && used < size;) {
        size_t taken = 0;
        err = za_session_push(client->session, client->socket + used, size - used, &taken);
        used += taken;
        if (err == ZA_OK) {
            err = take_events(client);
        }
    }
    return err;
}

/** Moves bytes and events until `*done`. */
static za_err_t pump_until(za_admin_client_t *client, const bool *done)
{
    za_err_t err = take_events(client);
    while (err == ZA_OK && !*done) {
        err = send_pending(client);
        if (err == ZA_OK) {
            err = receive_pending(client);
        }
    }
    // What the last event left, the client's half of the acceptance among it, goes out as well.
    return err == ZA_OK ? send_pending(client) : err;
}

static za_err_t start_session(za_admin_client_t *client, const za_admin_client_config_t *config)
{
    za_pki_info_t info;
    za_err_t err =
        za_pki_describe_file(config->certificate, &info, client->problem, client->problem_bytes);
    if (err != ZA_OK) {
        return err;
    }
    uint32_t role =
        info.identity.roles & ZA_ROLE_ADMIN ? ZA_ROLE_ADMIN : info.identity.roles & ZA_ROLE_CLIENT;
    if (role == 0) {
        return fail(client, ZA_EAUTH, "the certificate has neither role client nor admin",
                    config->certificate);
    }
    za_tls_config_t tls = { .authorities = { .path = config->ca },
                            .certificate = { .path = config->certificate },
                            .key = { .path = config->key },
                            .cluster = info.identity.cluster };
    err = za_tls_create(&tls, &client->tls, client->problem, client->problem_bytes);
    if (err != ZA_OK) {
        return err;
    }
    za_session_config_t session = {
        .cluster = info.identity.cluster, .name = info.identity.node, .address = "", .role = role
    };
    za_security_factory_t factory = za_tls_factory(client->tls);
    err = za_session_create(&session, &factory, ZA_SIDE_CLIENT, now_ms(), &client->session);
    if (err != ZA_OK) {
        return fail(client, err, "cannot begin a session", za_err_text(err));
    }
    return pump_until(client, &client->established);
}

/* ---- calls --------------------------------------------------------------------------------- */

static za_err_t call_unix(za_admin_client_t *client, const uint8_t *request, size_t size)
{
    uint8_t header[ZA_ADMIN_HEADER_BYTES] = { (uint8_t)size, (uint8_t)(size >> 8),
                                              (uint8_t)(size >> 16), (uint8_t)(size >> 24) };
    za_err_t err = send_all(client, header, sizeof(header));
    if (err == ZA_OK) {
        err = send_all(client, request, size);
    }
    if (err == ZA_OK) {
        err = receive_all(client, header, sizeof(header));
    }
    if (err != ZA_OK) {
        return err;
    }
    size_t reply_size = (size_t)header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16 |
                        (size_t)header[3] << 24;
    if (reply_size > sizeof(client->reply)) {
        return fail(client, ZA_EPROTO, "the reply is larger than any", "");
    }
    client->reply_size = reply_size;
    return receive_all(client, client->reply, reply_size);
}

static za_err_t call_session(za_admin_client_t *client, const uint8_t *request, size_t size)
{
    client->replied = false;
    za_err_t err =
        za_session_put_frame(client->session, ZA_FRAME_ADMIN, ZA_LANE_CONTROL, request, size);
    if (err != ZA_OK) {
        return fail(client, err, "cannot send the request", za_err_text(err));
    }
    za_session_flush(client->session);
    return pump_until(client, &client->replied);
}

za_err_t za_admin_client_call(za_admin_client_t *client, const za_AdminRequest *request,
                              za_AdminReply *reply, char *problem, size_t problem_bytes)
{
    uint8_t bytes[ZA_ADMIN_REQUEST_BYTES_MAX];
    client->problem = problem;
    client->problem_bytes = problem_bytes;
    client->deadline_ms = now_ms() + client->timeout_ms;
    pb_ostream_t out = pb_ostream_from_buffer(bytes, sizeof(bytes));
    if (!pb_encode(&out, za_AdminRequest_fields, request)) {
        return fail(client, ZA_EINVAL, "the request cannot be encoded", PB_GET_ERROR(&out));
    }
    za_err_t err = client->session != NULL ? call_session(client, bytes, out.bytes_written)
                                           : call_unix(client, bytes, out.bytes_written);
    if (err != ZA_OK) {
        return err;
    }
    memset(reply, 0, sizeof(*reply));
    pb_istream_t in = pb_istream_from_buffer(client->reply, client->reply_size);
    if (!pb_decode(&in, za_AdminReply_fields, reply)) {
        return fail(client, ZA_EPROTO, "the reply cannot be read", PB_GET_ERROR(&in));
    }
    return ZA_OK;
}

za_err_t za_admin_client_connect(const za_admin_client_config_t *config, za_admin_client_t **out,
                                 char *problem, size_t problem_bytes)
{
    za_admin_client_t *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        snprintf(problem, problem_bytes, "out of memory");
        return ZA_ENOMEM;
    }
    client->fd = -1;
    client->problem = problem;
    client->problem_bytes = problem_bytes;
    client->timeout_ms = config->timeout_ms != 0 ? config->timeout_ms : TIMEOUT_DEFAULT_MS;
    client->deadline_ms = now_ms() + client->timeout_ms;

    za_err_t err = ZA_OK;
    if (config->socket != NULL) {
        err = connect_unix(client, config->socket);
    } else {
        err = connect_tcp(client, config->address);
        if (err == ZA_OK) {
            err = start_session(client, config);
        }
    }
    if (err != ZA_OK) {
        za_admin_client_destroy(client);
        return err;
    }
    *out = client;
    return ZA_OK;
}

void za_admin_client_destroy(za_admin_client_t *client)
{
    if (client == NULL) {
        return;
    }
    if (client->session != NULL) {
        za_session_destroy(client->session);
    }
    if (client->tls != NULL) {
        za_tls_destroy(client->tls);
    }
    if (client->fd >= 0) {
        close(client->fd);
    }
    free(client);
}
