#include "net/loop_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <uv.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/limits.h"
#include "net/datagram_uv.h"

enum {
    BACKLOG = 128,
    ACCEPTS_PER_CALLBACK = 16,
    USER_TIMEOUT_MS = 15000,         // unacknowledged bytes: the peer's host is gone
    NOT_SENT_BYTES_MAX = 256 * 1024, // what the kernel holds back from the wire: lanes decide order
    LISTENERS_MAX = 2,
    PORT_ATTEMPTS_MAX = 32, // to get any port for TCP that UDP has free as well
};

typedef struct listener {
    za_loop_t *loop;
    za_listener_t kind;
    int fd;
    bool active;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    uv_poll_t poll;
} listener_t;

struct za_conn {
    za_loop_t *loop;
    void *link;
    int fd; // -1: none yet, or failed
    bool connecting, closed, polling, wants_write, deaf, resolving;
    za_err_t failed; // to be told at the next poll
    za_conn_t *next_failed;
    uint16_t port;
    uv_poll_t poll;
    uv_getaddrinfo_t resolve;
};

struct za_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t limit;
    const za_transport_events_t *events;
    void *context;
    listener_t listeners[LISTENERS_MAX];
    uint32_t listener_count;
    za_udp_t *udp; // NULL: none
    za_conn_t *failed;
    uint32_t attempts; // to connect to names
    int spare_fd;      // given up for a moment to refuse a connection when no descriptor is left
};

/* ---- connections ------------------------------------------------------------------------------ */

static void on_ready(uv_poll_t *poll, int status, int events);

static void watch(za_conn_t *conn)
{
    int wanted = conn->connecting || conn->wants_write ? UV_WRITABLE : 0;
    wanted |= conn->connecting || conn->deaf ? 0 : UV_READABLE;
    uv_poll_start(&conn->poll, wanted, on_ready); // of nothing: stops
}

static void on_connect_ready(za_conn_t *conn)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    conn->connecting = false;
    watch(conn);
    za_err_t err = error == 0              ? ZA_OK
                   : error == ECONNREFUSED ? ZA_EREFUSED
                   : error == ETIMEDOUT    ? ZA_ETIMEOUT
                                           : ZA_EIO;
    conn->loop->events->connected(conn->link, err);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    za_conn_t *conn = poll->data;
    if (conn->connecting) {
        on_connect_ready(conn);
        return;
    }
    if ((status < 0 || (events & UV_READABLE)) && !conn->deaf) {
        conn->loop->events->readable(conn->link); // an error shows when it reads
        if (status < 0 && !conn->closed) {
            watch(
                conn); // libuv stops a handle with an error; the link was busy and must be told again
        }
    }
    if (!conn->closed && conn->wants_write && (events & UV_WRITABLE)) {
        conn->wants_write = false;
        watch(conn);
        conn->loop->events->writable(conn->link);
    }
}

static void set_options(int fd)
{
    int one = 1;
    unsigned timeout = USER_TIMEOUT_MS;
    int not_sent = NOT_SENT_BYTES_MAX;
    // Best effort: a connection without them works, only less well.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent, sizeof not_sent);
}

static bool open_poll(za_conn_t *conn)
{
    if (uv_poll_init(&conn->loop->uv, &conn->poll, conn->fd) != 0) {
        return false;
    }
    conn->poll.data = conn;
    conn->polling = true;
    watch(conn);
    return true;
}

/** The answer of a connect never comes from inside the call: it waits for the next poll. */
static void fail_later(za_conn_t *conn, za_err_t err)
{
    conn->failed = err;
    conn->next_failed = conn->loop->failed;
    conn->loop->failed = conn;
}

static void begin_connect(za_conn_t *conn, const struct sockaddr *address)
{
    conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        fail_later(conn, ZA_EIO);
        return;
    }
    set_options(conn->fd);
    socklen_t size =
        address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (connect(conn->fd, address, size) != 0 && errno != EINPROGRESS) {
        fail_later(conn, errno == ECONNREFUSED ? ZA_EREFUSED : ZA_EIO);
        return;
    }
    conn->connecting = true;
    if (!open_poll(conn)) {
        fail_later(conn, ZA_EIO);
    }
}

static void free_conn(uv_handle_t *handle)
{
    free(handle->data);
}

static void release_conn(za_conn_t *conn)
{
    if (conn->polling) {
        uv_poll_stop(&conn->poll);
    }
    if (conn->fd >= 0) {
        close(conn->fd);
        conn->fd = -1;
    }
    if (conn->resolving) {
        return; // on_resolved frees it
    }
    if (conn->polling) {
        uv_close((uv_handle_t *)&conn->poll, free_conn);
    } else {
        free(conn);
    }
}

/** Of a name with several addresses each attempt takes another one: the next, if this one is dead. */
static const struct addrinfo *choose(za_loop_t *loop, const struct addrinfo *found)
{
    uint32_t count = 0;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        count++;
    }
    for (uint32_t skip = loop->attempts++ % count; skip > 0; skip--) {
        found = found->ai_next;
    }
    return found;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    za_conn_t *conn = request->data;
    conn->resolving = false;
    if (conn->closed) {
        release_conn(conn);
    } else if (status != 0 || found == NULL) {
        fail_later(conn, ZA_EIO);
    } else {
        struct sockaddr_storage address = { 0 };
        const struct addrinfo *chosen = choose(conn->loop, found);
        memcpy(&address, chosen->ai_addr, chosen->ai_addrlen);
        if (address.ss_family == AF_INET6) {
            ((struct sockaddr_in6 *)&address)->sin6_port = htons(conn->port);
        } else {
            ((struct sockaddr_in *)&address)->sin_port = htons(conn->port);
        }
        begin_connect(conn, (struct sockaddr *)&address);
    }
    uv_freeaddrinfo(found);
}

static bool numeric_address(const char *host, uint16_t port, struct sockaddr_storage *out)
{
    return uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)out) == 0;
}

static za_err_t loop_connect(void *context, const char *address, void *link, za_conn_t **out)
{
    za_loop_t *loop = context;
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    uint16_t port;
    if (!za_address_split(address, host, sizeof host, &port)) {
        return ZA_EINVAL;
    }
    za_conn_t *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return ZA_ENOMEM;
    }
    conn->loop = loop;
    conn->link = link;
    conn->fd = -1;
    conn->port = port;
    struct sockaddr_storage numeric = { 0 };
    if (numeric_address(host, port, &numeric)) {
        begin_connect(conn, (struct sockaddr *)&numeric);
    } else {
        conn->resolve.data = conn;
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
        if (uv_getaddrinfo(&loop->uv, &conn->resolve, on_resolved, host, NULL, &hints) == 0) {
            conn->resolving = true;
        } else {
            fail_later(conn, ZA_EIO);
        }
    }
    *out = conn;
    return ZA_OK;
}

static za_err_t loop_read(za_conn_t *conn, uint8_t *out, size_t capacity, size_t *size)
{
    ssize_t got = recv(conn->fd, out, capacity, 0);
    if (got > 0) {
        *size = (size_t)got;
        return ZA_OK;
    }
    *size = 0;
    if (got == 0) {
        return ZA_ECLOSED;
    }
    if (errno == EAGAIN || errno == EINTR) {
        return ZA_OK;
    }
    return errno == ECONNRESET ? ZA_EREFUSED : errno == ETIMEDOUT ? ZA_ETIMEOUT : ZA_EIO;
}

static za_err_t loop_write(za_conn_t *conn, const uint8_t *bytes, size_t size, size_t *taken)
{
    ssize_t sent = send(conn->fd, bytes, size, MSG_NOSIGNAL);
    if (sent >= 0) {
        *taken = (size_t)sent;
        return ZA_OK;
    }
    *taken = 0;
    if (errno == EAGAIN || errno == EINTR) {
        return ZA_OK;
    }
    return errno == ECONNRESET || errno == EPIPE ? ZA_EREFUSED : ZA_EIO;
}

static void loop_want_read(za_conn_t *conn, bool wanted)
{
    if (conn->deaf == wanted) {
        conn->deaf = !wanted;
        watch(conn);
    }
}

static void loop_want_write(za_conn_t *conn)
{
    conn->wants_write = true;
    watch(conn);
}

static void loop_close(za_conn_t *conn)
{
    za_conn_t **at = &conn->loop->failed;
    while (*at != NULL && *at != conn) {
        at = &(*at)->next_failed;
    }
    if (*at == conn) {
        *at = conn->next_failed;
    }
    conn->closed = true;
    release_conn(conn);
}

static za_err_t loop_send_datagram(void *context, const char *address, const uint8_t *bytes,
                                   size_t size)
{
    za_loop_t *loop = context;
    return loop->udp == NULL ? ZA_EIO : za_udp_send(loop->udp, address, bytes, size);
}

static const za_transport_ops_t loop_ops = {
    .connect = loop_connect,
    .read = loop_read,
    .write = loop_write,
    .want_read = loop_want_read,
    .want_write = loop_want_write,
    .close = loop_close,
    .send_datagram = loop_send_datagram,
};

/* ---- listeners -------------------------------------------------------------------------------- */

static bool may_administer(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void describe_peer(const struct sockaddr_storage *address, char *text, size_t bytes)
{
    char host[64] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
        uv_ip4_name(in4, host, sizeof host);
        snprintf(text, bytes, "%s:%u", host, ntohs(in4->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        uv_ip6_name(in6, host, sizeof host);
        snprintf(text, bytes, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        snprintf(text, bytes, "unix");
    }
}

static void tell_refused(const listener_t *listener, za_refusal_t why)
{
    const za_loop_t *loop = listener->loop;
    if (loop->events->refused != NULL) {
        loop->events->refused(loop->context, listener->kind, why);
    }
}

static void accept_one(listener_t *listener, int fd, const struct sockaddr_storage *from)
{
    za_loop_t *loop = listener->loop;
    if (listener->kind == ZA_LISTENER_ADMIN && !may_administer(fd)) {
        close(fd);
        tell_refused(listener, ZA_REFUSAL_USER);
        return;
    }
    za_conn_t *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        close(fd);
        return;
    }
    conn->loop = loop;
    conn->fd = fd;
    char text[ZA_ADDRESS_BYTES_MAX + 16];
    describe_peer(from, text, sizeof text);
    if (listener->kind == ZA_LISTENER_CLUSTER) {
        set_options(fd);
    }
    conn->link = loop->events->accepted(loop->context, conn, listener->kind, text);
    if (conn->link == NULL || !open_poll(conn)) {
        if (conn->link != NULL) {
            fail_later(conn, ZA_EIO);
            return;
        }
        release_conn(conn);
    }
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/** No descriptor is left: what waits is refused, or the loop would be told of it without end. */
static void refuse_one(listener_t *listener)
{
    za_loop_t *loop = listener->loop;
    if (loop->spare_fd >= 0) {
        close(loop->spare_fd);
    }
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        tell_refused(listener, ZA_REFUSAL_DESCRIPTORS);
    }
    loop->spare_fd = open_spare();
}

static void on_incoming(uv_poll_t *poll, int status, int events)
{
    (void)events;
    listener_t *listener = poll->data;
    if (status < 0) {
        return;
    }
    for (int i = 0; i < ACCEPTS_PER_CALLBACK; i++) {
        struct sockaddr_storage from = { 0 };
        socklen_t size = sizeof from;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
            refuse_one(listener);
        } else if (fd < 0) {
            return; // none left, or none to be had: the next readiness tries again
        } else {
            accept_one(listener, fd, &from);
        }
    }
}

/** Takes `fd`, also on failure. */
static za_err_t add_listener(za_loop_t *loop, int fd, za_listener_t kind, const char *path,
                             char *problem, size_t problem_bytes)
{
    listener_t *listener = &loop->listeners[loop->listener_count];
    *listener = (listener_t){ .loop = loop, .kind = kind, .fd = fd, .active = true };
    if (path != NULL) {
        snprintf(listener->path, sizeof listener->path, "%s", path);
    }
    int failed = uv_poll_init(&loop->uv, &listener->poll, fd);
    if (failed != 0) {
        snprintf(problem, problem_bytes, "cannot watch a listening socket: %s",
                 uv_strerror(failed));
        close(fd);
        return ZA_EIO;
    }
    listener->poll.data = listener;
    uv_poll_start(&listener->poll, UV_READABLE, on_incoming);
    loop->listener_count++;
    return ZA_OK;
}

static void on_datagram(void *context, const uint8_t *bytes, size_t size, const za_origin_t *from)
{
    za_loop_t *loop = context;
    loop->events->datagram(loop->context, bytes, size, from);
}

/** A listening socket; `at` gets the port that it got. -1 with errno. */
static int open_listener(struct sockaddr_storage *at)
{
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    socklen_t size = sizeof *at;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)at,
             at->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                       : sizeof(struct sockaddr_in)) != 0 ||
        listen(fd, BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)at, &size) != 0) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        errno = error;
        return -1;
    }
    return fd;
}

/** Both sockets under one number; of any number another is tried if UDP has it in use. */
static za_err_t open_both(za_loop_t *loop, struct sockaddr_storage *at, bool any_port, int *out)
{
    const za_udp_receiver_t receiver = { loop, on_datagram };
    const struct sockaddr_storage wanted = *at;
    za_err_t err = ZA_EEXIST;
    for (int i = 0; i < PORT_ATTEMPTS_MAX && err == ZA_EEXIST && (i == 0 || any_port); i++) {
        *at = wanted;
        *out = open_listener(at);
        if (*out < 0) {
            return errno == EADDRINUSE ? ZA_EEXIST : ZA_EIO;
        }
        err = za_udp_create(&loop->uv, (struct sockaddr *)at, &receiver, &loop->udp);
        if (err != ZA_OK) {
            int error = errno;
            close(*out);
            errno = error;
        }
    }
    return err;
}

za_err_t za_loop_listen(za_loop_t *loop, const char *address, za_loop_port_t port, char *bound,
                        size_t bound_bytes, char *problem, size_t problem_bytes)
{
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    uint16_t number;
    struct sockaddr_storage at = { 0 };
    ZA_ASSERT(loop->udp == NULL);
    if (!za_address_split(address, host, sizeof host, &number) ||
        !numeric_address(host, number, &at)) {
        snprintf(problem, problem_bytes,
                 "cannot listen on %s: give a numeric address and a port, as in 127.0.0.1:7464",
                 address);
        return ZA_EINVAL;
    }
    int fd = -1;
    za_err_t err = ZA_OK;
    if (port == ZA_LOOP_DATAGRAMS) {
        err = open_both(loop, &at, number == 0, &fd);
    } else {
        fd = open_listener(&at);
        err = fd >= 0 ? ZA_OK : errno == EADDRINUSE ? ZA_EEXIST : ZA_EIO;
    }
    if (err != ZA_OK) {
        snprintf(problem, problem_bytes, "cannot listen on %s: %s", address, strerror(errno));
        return err;
    }
    describe_peer(&at, bound, bound_bytes);
    return add_listener(loop, fd, ZA_LISTENER_CLUSTER, NULL, problem, problem_bytes);
}

/** True if somebody serves the socket; a file that nobody serves is left from a crash. */
static bool is_served(const struct sockaddr_un *at)
{
    // Not waiting: EAGAIN is a full backlog, of a node that is busy or was stopped.
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool served =
        fd >= 0 && (connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 || errno == EAGAIN);
    if (fd >= 0) {
        close(fd);
    }
    return served;
}

static bool is_socket(const char *path)
{
    struct stat file;
    return lstat(path, &file) == 0 && S_ISSOCK(file.st_mode);
}

za_err_t za_loop_listen_unix(za_loop_t *loop, const char *path, char *problem, size_t problem_bytes)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof at.sun_path) {
        snprintf(problem, problem_bytes, "socket path %s: longer than %zu bytes", path,
                 sizeof at.sun_path - 1);
        return ZA_EINVAL;
    }
    strcpy(at.sun_path, path);
    if (is_served(&at)) {
        snprintf(problem, problem_bytes, "socket %s: another node serves it", path);
        return ZA_EEXIST;
    }
    if (is_socket(path)) { // another file was not left by a node: bind says that it exists
        unlink(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    // fchmod before bind sets the mode that the file is made with: it is never open to others.
    if (fd < 0 || fchmod(fd, 0600) != 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        chmod(path, 0600) != 0 || listen(fd, BACKLOG) != 0) {
        snprintf(problem, problem_bytes, "cannot listen on %s: %s", path, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return ZA_EIO;
    }
    return add_listener(loop, fd, ZA_LISTENER_ADMIN, path, problem, problem_bytes);
}

/* ---- loop ------------------------------------------------------------------------------------- */

static void on_wake(uv_async_t *async)
{
    (void)async; // it has made uv_run return, which is all
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
}

za_err_t za_loop_create(const za_transport_events_t *events, za_loop_t **out)
{
    za_loop_t *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return ZA_ENOMEM;
    }
    loop->events = events;
    loop->spare_fd = -1;
    if (uv_loop_init(&loop->uv) != 0) {
        free(loop);
        return ZA_EIO;
    }
    int failed = uv_async_init(&loop->uv, &loop->wake, on_wake);
    ZA_ASSERT(failed == 0); // fails only without file descriptors, which uv_loop_init just got
    uv_timer_init(&loop->uv, &loop->limit);
    loop->spare_fd = open_spare(); // without it connections wait until a descriptor is free
    *out = loop;
    return ZA_OK;
}

uv_loop_t *za_loop_uv(za_loop_t *loop)
{
    return &loop->uv;
}

void za_loop_set_context(za_loop_t *loop, void *context)
{
    loop->context = context;
}

za_transport_t za_loop_transport(za_loop_t *loop)
{
    return (za_transport_t){ &loop_ops, loop };
}

static void tell_failed(za_loop_t *loop)
{
    while (loop->failed != NULL) {
        za_conn_t *conn = loop->failed;
        loop->failed = conn->next_failed;
        loop->events->connected(conn->link, conn->failed);
    }
}

void za_loop_poll(za_loop_t *loop, uint64_t timeout_ns)
{
    if (loop->failed != NULL) {
        timeout_ns = 0;
    }
    if (timeout_ns == 0) {
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    } else {
        if (timeout_ns != UINT64_MAX) {
            uv_update_time(&loop->uv);
            uv_timer_start(&loop->limit, on_limit, (timeout_ns + 999999) / 1000000, 0);
        }
        uv_run(&loop->uv, UV_RUN_ONCE);
        uv_timer_stop(&loop->limit);
    }
    tell_failed(loop);
}

void za_loop_interrupt(za_loop_t *loop)
{
    uv_async_send(&loop->wake);
}

void za_loop_destroy(za_loop_t *loop)
{
    if (loop == NULL) {
        return;
    }
    for (uint32_t i = 0; i < loop->listener_count; i++) {
        listener_t *listener = &loop->listeners[i];
        uv_poll_stop(&listener->poll);
        close(listener->fd);
        if (listener->path[0] != '\0') {
            unlink(listener->path);
        }
        uv_close((uv_handle_t *)&listener->poll, NULL);
    }
    za_udp_destroy(loop->udp);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->limit, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT); // until the last handle has closed and no name is looked up
    int busy = uv_loop_close(&loop->uv);
    ZA_ASSERT(busy == 0);
    if (loop->spare_fd >= 0) {
        close(loop->spare_fd);
    }
    free(loop);
}
