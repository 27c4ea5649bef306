#include "support/za_test.h"

#include <netinet/in.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "net/pki_file.h"
#include "net/session.h"
#include "net/tls_mbedtls.h"
#include "node/admin.h"
#include "node/admin_client.h"
#include "zactor/admin.pb.h"

enum { PROBLEM_BYTES = 512, PATH_BYTES = 100 };

/** One server, one connection, in a thread of its own: what a test does to the client. */
typedef struct server {
    int listener;
    pthread_t thread;
    za_tls_t *tls;
    char folder[32];
    char address[PATH_BYTES]; // socket path or host:port
    const uint8_t *answer;    // raw bytes of the unix socket's answer
    size_t answer_size;
} server_t;

static server_t server;
static char problem[PROBLEM_BYTES];
static za_AdminReply reply;
static const za_AdminRequest request = { .which_verb = za_AdminRequest_status_tag };

static size_t encode_status(uint8_t *out, size_t capacity)
{
    static za_AdminReply status;
    status.has_status = true;
    snprintf(status.status.node, sizeof(status.status.node), "alpha");
    pb_ostream_t stream = pb_ostream_from_buffer(out, capacity);
    cr_assert(pb_encode(&stream, za_AdminReply_fields, &status));
    return stream.bytes_written;
}

static void path_of(const char *name, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/%s", server.folder, name);
}

static void make_folder(void)
{
    snprintf(server.folder, sizeof(server.folder), "/tmp/zactor-test-XXXXXX");
    cr_assert(mkdtemp(server.folder) != NULL);
}

static void remove_folder(void)
{
    static const char *const names[] = { "socket",    "ca.crt",    "ca.key",   "node.crt",
                                         "node.key",  "ops.crt",   "ops.key",  "other.crt",
                                         "other.key", "wrong.crt", "wrong.key" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[PATH_BYTES];
        path_of(names[i], path);
        unlink(path);
    }
    rmdir(server.folder);
}

/* ---- unix socket --------------------------------------------------------------------------- */

static void *serve_unix(void *context)
{
    (void)context;
    int fd = accept(server.listener, NULL, NULL);
    uint8_t bytes[ZA_ADMIN_REQUEST_BYTES_MAX];
    ssize_t size = recv(fd, bytes, ZA_ADMIN_HEADER_BYTES, MSG_WAITALL);
    if (size == ZA_ADMIN_HEADER_BYTES) {
        size = recv(fd, bytes, bytes[0], MSG_WAITALL);
    }
    if (size > 0) {
        // In two pieces, so that the client must put them together.
        size_t half = server.answer_size / 2;
        ZA_IGNORE(send(fd, server.answer, half, MSG_NOSIGNAL) < 0);
        ZA_IGNORE(send(fd, server.answer + half, server.answer_size - half, MSG_NOSIGNAL) < 0);
    }
    close(fd);
    return NULL;
}

static void start_unix(const uint8_t *answer, size_t size)
{
    make_folder();
    path_of("socket", server.address);
    server.answer = answer;
    server.answer_size = size;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server.address);
    server.listener = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(bind(server.listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    cr_assert(listen(server.listener, 1) == 0);
    cr_assert(pthread_create(&server.thread, NULL, serve_unix, NULL) == 0);
}

static void stop(void)
{
    pthread_join(server.thread, NULL);
    close(server.listener);
    za_tls_destroy(server.tls);
    remove_folder();
}

static za_err_t call_unix(void)
{
    za_admin_client_config_t config = { .socket = server.address };
    za_admin_client_t *client = NULL;
    za_err_t err = za_admin_client_connect(&config, &client, problem, sizeof(problem));
    cr_assert(err == ZA_OK, "%s", problem);
    err = za_admin_client_call(client, &request, &reply, problem, sizeof(problem));
    za_admin_client_destroy(client);
    return err;
}

Test(admin_client, asks_over_the_unix_socket)
{
    uint8_t answer[512];
    size_t size = encode_status(answer + ZA_ADMIN_HEADER_BYTES, sizeof(answer) - 4);
    memcpy(answer, (uint8_t[]){ (uint8_t)size, (uint8_t)(size >> 8), 0, 0 }, 4);
    start_unix(answer, size + ZA_ADMIN_HEADER_BYTES);
    cr_expect(call_unix() == ZA_OK, "%s", problem);
    cr_expect_str_eq(reply.status.node, "alpha");
    stop();
}

Test(admin_client, refuses_a_reply_that_is_too_large)
{
    static const uint8_t answer[] = { 0xff, 0xff, 0xff, 0xff, 0 };
    start_unix(answer, sizeof(answer));
    cr_expect(call_unix() == ZA_EPROTO, "%s", problem);
    stop();
}

Test(admin_client, notices_a_reply_that_breaks_off)
{
    static const uint8_t answer[] = { 100, 0, 0, 0, 1, 2, 3 };
    start_unix(answer, sizeof(answer));
    cr_expect(call_unix() == ZA_ECLOSED, "%s", problem);
    stop();
}

Test(admin_client, notices_a_reply_that_is_no_message)
{
    static const uint8_t answer[] = { 3, 0, 0, 0, 0xff, 0xff, 0xff };
    start_unix(answer, sizeof(answer));
    cr_expect(call_unix() == ZA_EPROTO, "%s", problem);
    stop();
}

Test(admin_client, says_that_nobody_listens)
{
    za_admin_client_config_t config = { .socket = "/nonexistent/zactor.sock" };
    za_admin_client_t *client = NULL;
    cr_expect(za_admin_client_connect(&config, &client, problem, sizeof(problem)) == ZA_EREFUSED);
    cr_expect(strstr(problem, "/nonexistent/zactor.sock") != NULL, "%s", problem);
    cr_expect(client == NULL);
}

/* ---- TLS ----------------------------------------------------------------------------------- */

static void issue(const char *ca, const char *name, const char *cluster, uint32_t roles)
{
    char paths[4][PATH_BYTES];
    char file[32];
    snprintf(file, sizeof(file), "%s.crt", ca);
    path_of(file, paths[0]);
    snprintf(file, sizeof(file), "%s.key", ca);
    path_of(file, paths[1]);
    snprintf(file, sizeof(file), "%s.crt", name);
    path_of(file, paths[2]);
    snprintf(file, sizeof(file), "%s.key", name);
    path_of(file, paths[3]);
    int64_t now = (int64_t)time(NULL);
    za_pki_request_t pki = { .cluster = cluster,
                             .node = name,
                             .roles = roles,
                             .not_before_s = now - 3600,
                             .not_after_s = now + 3600 };
    za_pki_paths_t authority = { paths[0], paths[1] };
    za_pki_paths_t out = { paths[2], paths[3] };
    za_err_t err =
        roles == 0
            ? za_pki_ca_init(&authority, &pki, ZA_PKI_KEEP_EXISTING, problem, sizeof(problem))
            : za_pki_issue(&authority, &pki, &out, ZA_PKI_KEEP_EXISTING, problem, sizeof(problem));
    cr_assert(err == ZA_OK, "%s", problem);
}

/** Sends what the session has for the socket. */
static void send_out(int fd, za_session_t *session)
{
    uint8_t bytes[4096];
    size_t size = 0;
    do {
        za_session_pull(session, bytes, sizeof(bytes), &size);
        ZA_IGNORE(send(fd, bytes, size, MSG_NOSIGNAL) < 0);
    } while (size > 0);
}

/** Answers one event as a node would; false: the connection is over. */
static bool answer_event(za_session_t *session, const za_session_event_t *event)
{
    switch (event->type) {
    case ZA_SESSION_GREETED:
        za_session_accept(session, event->peer.link_epoch, 0);
        return true;
    case ZA_SESSION_FRAME: {
        uint8_t answer[512];
        size_t size = encode_status(answer, sizeof(answer));
        ZA_IGNORE(za_session_put_frame(session, ZA_FRAME_ADMIN, ZA_LANE_CONTROL, answer, size));
        za_session_flush(session);
        return true;
    }
    case ZA_SESSION_CLOSED:
        return false;
    default:
        return true;
    }
}

static void *serve_tls(void *context)
{
    (void)context;
    int fd = accept(server.listener, NULL, NULL);
    za_session_config_t config = { .cluster = "test",
                                   .name = "node",
                                   .address = "127.0.0.1:1",
                                   .uid = 77,
                                   .role = ZA_ROLE_MEMBER };
    za_security_factory_t factory = za_tls_factory(server.tls);
    za_session_t *session = NULL;
    cr_assert(za_session_create(&config, &factory, ZA_SIDE_SERVER, 0, &session) == ZA_OK);
    bool open = true;
    while (open) {
        uint8_t bytes[4096];
        ssize_t size = recv(fd, bytes, sizeof(bytes), 0);
        if (size <= 0) {
            za_session_eof(session, ZA_ECLOSED);
        }
        size_t taken = 0;
        if (size > 0) {
            cr_assert(za_session_push(session, bytes, (size_t)size, &taken) == ZA_OK);
            cr_assert(taken == (size_t)size);
        }
        za_session_event_t event;
        while (open && za_session_next(session, 0, &event)) {
            open = answer_event(session, &event);
        }
        send_out(fd, session);
        open = open && size > 0;
    }
    za_session_destroy(session);
    close(fd);
    return NULL;
}

static void start_tls(void)
{
    make_folder();
    issue("ca", "ca", "test", 0);
    issue("ca", "node", "test", ZA_ROLE_MEMBER);
    issue("ca", "ops", "test", ZA_ROLE_CLIENT);
    char paths[3][PATH_BYTES];
    path_of("ca.crt", paths[0]);
    path_of("node.crt", paths[1]);
    path_of("node.key", paths[2]);
    za_tls_config_t config = { .authorities = { .path = paths[0] },
                               .certificate = { .path = paths[1] },
                               .key = { .path = paths[2] },
                               .cluster = "test" };
    cr_assert(za_tls_create(&config, &server.tls, problem, sizeof(problem)) == ZA_OK, "%s",
              problem);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(server.listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    cr_assert(listen(server.listener, 1) == 0);
    cr_assert(getsockname(server.listener, (struct sockaddr *)&address, &size) == 0);
    snprintf(server.address, sizeof(server.address), "127.0.0.1:%u", ntohs(address.sin_port));
    cr_assert(pthread_create(&server.thread, NULL, serve_tls, NULL) == 0);
}

/** Connects with NAME.crt and the authority CA.crt. */
static za_err_t connect_tls(const char *ca, const char *name, za_admin_client_t **out)
{
    char paths[3][PATH_BYTES];
    char file[32];
    snprintf(file, sizeof(file), "%s.crt", ca);
    path_of(file, paths[0]);
    snprintf(file, sizeof(file), "%s.crt", name);
    path_of(file, paths[1]);
    snprintf(file, sizeof(file), "%s.key", name);
    path_of(file, paths[2]);
    za_admin_client_config_t config = {
        .address = server.address, .ca = paths[0], .certificate = paths[1], .key = paths[2]
    };
    problem[0] = '\0';
    return za_admin_client_connect(&config, out, problem, sizeof(problem));
}

Test(admin_client, asks_over_tls)
{
    start_tls();
    za_admin_client_t *client = NULL;
    cr_assert(connect_tls("ca", "ops", &client) == ZA_OK, "%s", problem);
    for (int i = 0; i < 3; i++) {
        za_err_t err = za_admin_client_call(client, &request, &reply, problem, sizeof(problem));
        cr_assert(err == ZA_OK, "%s", problem);
        cr_expect_str_eq(reply.status.node, "alpha");
    }
    za_admin_client_destroy(client);
    stop();
}

Test(admin_client, is_refused_by_another_authority)
{
    start_tls();
    issue("other", "other", "test", 0);
    issue("other", "wrong", "test", ZA_ROLE_CLIENT);
    za_admin_client_t *client = NULL;
    za_err_t err = connect_tls("ca", "wrong", &client);
    cr_expect(err == ZA_EAUTH || err == ZA_ECLOSED, "%s: %s", za_err_name(err), problem);
    cr_expect(problem[0] != '\0' && client == NULL);
    stop();
}

Test(admin_client, a_members_certificate_is_no_clients)
{
    start_tls();
    za_admin_client_t *client = NULL;
    cr_expect(connect_tls("ca", "node", &client) == ZA_EAUTH);
    cr_expect(strstr(problem, "neither role client nor admin") != NULL, "%s", problem);
    stop();
}
