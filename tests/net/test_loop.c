// The loop's streams, on loopback.
#include "net/loop_uv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/za_test.h"

enum { POLLS_MAX = 500, NOBODY = 65534 };

#define POLL_NS UINT64_C(10000000)

/** One loop, the one connection that it accepted, and what it said. */
static za_loop_t *loop;
static za_transport_t transport;
static za_conn_t *accepted;
static uint32_t readable, refused;
static za_refusal_t why;

static void *on_accepted(void *context, za_conn_t *conn, za_listener_t listener, const char *from)
{
    (void)context;
    (void)listener;
    (void)from;
    accepted = conn;
    return &loop;
}

static void on_refused(void *context, za_listener_t listener, za_refusal_t reason)
{
    (void)context;
    (void)listener;
    refused++;
    why = reason;
}

static void on_readable(void *link)
{
    (void)link;
    readable++;
}

static const za_transport_events_t events = { .accepted = on_accepted,
                                              .refused = on_refused,
                                              .readable = on_readable };

static void begin(void)
{
    accepted = NULL;
    readable = refused = 0;
    cr_assert(za_loop_create(&events, &loop) == ZA_OK);
    transport = za_loop_transport(loop);
}

static void listen_on_tcp(struct sockaddr_in *out)
{
    char bound[128];
    char problem[256];
    cr_assert(za_loop_listen(loop, "127.0.0.1:0", ZA_LOOP_STREAMS, bound, sizeof bound, problem,
                             sizeof problem) == ZA_OK,
              "%s", problem);
    *out = (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)atoi(strrchr(bound, ':') + 1)) };
}

static int client_of(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0);
    return fd;
}

static bool poll_until(const uint32_t *count, uint32_t least)
{
    for (int i = 0; i < POLLS_MAX && *count < least; i++) {
        za_loop_poll(loop, POLL_NS);
    }
    return *count >= least;
}

Test(loop, who_does_not_want_to_read_is_not_told_of_bytes, .timeout = 60)
{
    begin();
    struct sockaddr_in at;
    listen_on_tcp(&at);
    int client = client_of(&at);
    cr_assert(send(client, "x", 1, 0) == 1);
    cr_assert(poll_until(&readable, 3), "readiness comes again while bytes are there");
    transport.ops->want_read(accepted, false);
    transport.ops->want_read(accepted, false); // twice is once
    readable = 0;
    for (int i = 0; i < 10; i++) {
        za_loop_poll(loop, 0);
    }
    cr_expect(readable == 0, "told %u times", readable);
    transport.ops->want_read(accepted, true);
    cr_assert(poll_until(&readable, 1), "never told again");
    transport.ops->want_read(accepted, false);
    transport.ops->close(accepted);
    close(client);
    za_loop_destroy(loop);
}

Test(loop, without_a_descriptor_it_refuses_and_says_so, .timeout = 60)
{
    begin();
    struct sockaddr_in at;
    listen_on_tcp(&at);
    int client = client_of(&at);
    struct rlimit old;
    cr_assert(getrlimit(RLIMIT_NOFILE, &old) == 0);
    int next = dup(0); // the lowest that is free
    close(next);
    struct rlimit full = { (rlim_t)next, old.rlim_max };
    cr_assert(setrlimit(RLIMIT_NOFILE, &full) == 0);
    bool told = poll_until(&refused, 1);
    cr_assert(setrlimit(RLIMIT_NOFILE, &old) == 0);
    cr_expect(told && why == ZA_REFUSAL_DESCRIPTORS, "told: %d", told);
    cr_expect(accepted == NULL);
    char byte;
    ssize_t got = recv(client, &byte, 1, 0);
    cr_expect(got == 0 || (got < 0 && errno == ECONNRESET), "the client still waits");
    close(client);
    za_loop_destroy(loop);
}

/** Connects as `nobody`; 0: so it did. */
static int connect_as_nobody(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte;
    if (fd < 0 || setuid(NOBODY) != 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        return 1;
    }
    return recv(fd, &byte, 1, 0) == 0 ? 0 : 2; // until it is refused
}

Test(loop, another_users_client_is_refused_and_counted, .timeout = 60)
{
    if (geteuid() != 0) {
        cr_skip_test("only root can be another user");
    }
    char folder[] = "/tmp/zactor-loop-XXXXXX";
    char path[64];
    char problem[256];
    begin();
    cr_assert(mkdtemp(folder) != NULL && chmod(folder, 0755) == 0);
    snprintf(path, sizeof path, "%s/admin", folder);
    cr_assert(za_loop_listen_unix(loop, path, problem, sizeof problem) == ZA_OK, "%s", problem);
    cr_assert(chmod(path, 0666) == 0); // what an operator must not do is not enough to get in
    pid_t child = fork();
    if (child == 0) {
        _exit(connect_as_nobody(path));
    }
    cr_expect(poll_until(&refused, 1) && why == ZA_REFUSAL_USER && accepted == NULL);
    int status = 0;
    cr_assert(waitpid(child, &status, 0) == child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    za_loop_destroy(loop);
    rmdir(folder);
}
