#include "net/datagram_uv.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/datagram.h"
#include "net/loop_uv.h"
#include "support/za_test.h"

enum { TEXT_MAX = 64, POLLS_MAX = 500 };

#define POLL_NS UINT64_C(10000000)

/** A loop with a port, and what arrived there. */
typedef struct port {
    za_loop_t *loop;
    za_transport_t transport;
    char address[128];
    uint32_t count;
    size_t last_size;
    char last[TEXT_MAX];
    za_origin_t from;
} port_t;

static void on_arrived(void *context, const uint8_t *bytes, size_t size, const za_origin_t *from)
{
    port_t *port = context;
    port->count++;
    port->last_size = size;
    port->from = *from;
    snprintf(port->last, sizeof port->last, "%.*s", (int)size, (const char *)bytes);
}

static const za_transport_events_t events = { .datagram = on_arrived };

static za_err_t open_at(port_t *port, const char *address)
{
    char problem[256] = "";
    memset(port, 0, sizeof *port);
    cr_assert(za_loop_create(&events, &port->loop) == ZA_OK, "loop");
    za_loop_set_context(port->loop, port);
    port->transport = za_loop_transport(port->loop);
    za_err_t err = za_loop_listen(port->loop, address, ZA_LOOP_DATAGRAMS, port->address,
                                  sizeof port->address, problem, sizeof problem);
    cr_assert(err == ZA_OK || strstr(problem, address) != NULL, "says where: %s", problem);
    return err;
}

static void end(port_t *port)
{
    za_loop_destroy(port->loop);
}

static za_err_t send_text(port_t *port, const char *address, const char *text)
{
    return port->transport.ops->send_datagram(port->transport.context, address,
                                              (const uint8_t *)text, strlen(text));
}

/** Until so many have arrived; the bound is for a machine that is busy. */
static void await(port_t *port, uint32_t count)
{
    for (int i = 0; port->count < count && i < POLLS_MAX; i++) {
        za_loop_poll(port->loop, POLL_NS);
    }
    cr_assert(port->count >= count, "%u of %u arrived", port->count, count);
}

static const char *port_number(const port_t *port)
{
    return strrchr(port->address, ':') + 1;
}

Test(udp, carries_datagrams_under_the_number_of_the_streams)
{
    port_t a;
    port_t b;
    cr_assert(open_at(&a, "127.0.0.1:0") == ZA_OK && open_at(&b, "127.0.0.1:0") == ZA_OK, "open");
    cr_expect(send_text(&a, b.address, "hello") == ZA_OK, "sent");
    await(&b, 1);
    cr_expect(strcmp(b.last, "hello") == 0, "%s", b.last);
    cr_expect(b.from.port == atoi(port_number(&a)), "from the other's port");
    cr_expect(b.from.address[10] == 0xff && b.from.address[12] == 127, "an IPv4 host");
    end(&a);
    end(&b);
}

Test(udp, takes_all_that_waits_in_one_poll)
{
    enum { COUNT = 100 };
    port_t a;
    port_t b;
    cr_assert(open_at(&a, "127.0.0.1:0") == ZA_OK && open_at(&b, "127.0.0.1:0") == ZA_OK, "open");
    for (int i = 0; i < COUNT; i++) {
        cr_assert(send_text(&a, b.address, "x") == ZA_OK, "number %d", i);
    }
    za_loop_poll(b.loop, POLL_NS); // loopback delivers before sendto returns
    cr_expect(b.count == COUNT, "%u", b.count);
    end(&a);
    end(&b);
}

Test(udp, refuses_a_port_in_use)
{
    port_t a;
    port_t b;
    cr_assert(open_at(&a, "127.0.0.1:0") == ZA_OK, "open");
    cr_expect(open_at(&b, a.address) == ZA_EEXIST, "the same again");
    end(&b);
    end(&a);
}

// TCP gets any port first; UDP may not have that one.
Test(udp, finds_a_port_that_both_have_free)
{
    int taken[200];
    for (int i = 0; i < 200; i++) { // makes it likely that one is met
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        taken[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert(bind(taken[i], (struct sockaddr *)&at, sizeof at) == 0, "bind");
    }
    for (int i = 0; i < 50; i++) {
        port_t a;
        cr_assert(open_at(&a, "127.0.0.1:0") == ZA_OK, "open");
        end(&a);
    }
    for (int i = 0; i < 200; i++) {
        close(taken[i]);
    }
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    close(fd);
    return has;
}

Test(udp, speaks_ipv6)
{
    port_t a;
    port_t b;
    if (!has_ipv6()) {
        fprintf(stderr, "skipped: no IPv6 here\n");
        return;
    }
    cr_assert(open_at(&a, "[::1]:0") == ZA_OK && open_at(&b, "[::1]:0") == ZA_OK, "open");
    cr_expect(send_text(&a, b.address, "six") == ZA_OK, "sent to %s", b.address);
    await(&b, 1);
    cr_expect(strcmp(b.last, "six") == 0 && b.from.address[15] == 1, "%s", b.last);
    end(&a);
    end(&b);
}

Test(udp, ipv6_port_of_all_addresses_reaches_ipv4)
{
    port_t a;
    port_t b;
    if (!has_ipv6()) {
        fprintf(stderr, "skipped: no IPv6 here\n");
        return;
    }
    cr_assert(open_at(&a, "[::]:0") == ZA_OK && open_at(&b, "127.0.0.1:0") == ZA_OK, "open");
    cr_expect(send_text(&a, b.address, "four") == ZA_OK, "sent to %s", b.address);
    await(&b, 1);
    cr_expect(strcmp(b.last, "four") == 0, "%s", b.last);
    char back[64];
    snprintf(back, sizeof back, "127.0.0.1:%s", port_number(&a));
    cr_expect(send_text(&b, back, "back") == ZA_OK, "sent to %s", back);
    await(&a, 1);
    cr_expect(a.from.address[10] == 0xff && a.from.address[12] == 127, "an IPv4 host");
    cr_expect(send_text(&b, "[::1]:9", "six") == ZA_EIO, "an IPv4 port has no way to IPv6");
    end(&a);
    end(&b);
}

/** Whether this machine knows its own name: one without /etc/hosts does not. */
static bool localhost_is_known(void)
{
    struct addrinfo *found = NULL;
    bool known = getaddrinfo("localhost", NULL, NULL, &found) == 0;
    if (known) {
        freeaddrinfo(found);
    }
    return known;
}

Test(udp, looks_host_names_up_beside)
{
    if (!localhost_is_known()) {
        cr_skip_test("no localhost in /etc/hosts");
    }
    port_t a;
    port_t b;
    char address[64];
    cr_assert(open_at(&a, "127.0.0.1:0") == ZA_OK && open_at(&b, "127.0.0.1:0") == ZA_OK, "open");
    snprintf(address, sizeof address, "localhost:%s", port_number(&b));
    cr_expect(send_text(&a, address, "too early") == ZA_ENOENT, "not known yet");
    za_err_t err = ZA_ENOENT;
    for (int i = 0; err == ZA_ENOENT && i < POLLS_MAX; i++) {
        za_loop_poll(a.loop, POLL_NS);
        err = send_text(&a, address, "named");
    }
    cr_expect(err == ZA_OK, "%s", za_err_name(err));
    await(&b, 1);
    cr_expect(strcmp(b.last, "named") == 0, "%s", b.last);
    // One that is being looked up when the loop ends is no leak.
    cr_expect(send_text(&a, "no.such.host.invalid:1", "x") == ZA_ENOENT, "nowhere");
    end(&a);
    end(&b);
}

Test(udp, what_is_too_long_arrives_as_such)
{
    port_t a;
    static char text[4000];
    memset(text, 'x', sizeof text);
    cr_assert(open_at(&a, "127.0.0.1:0") == ZA_OK, "open");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_addr = { htonl(INADDR_LOOPBACK) },
                              .sin_port = htons((uint16_t)atoi(port_number(&a))) };
    cr_assert(sendto(fd, text, sizeof text, 0, (struct sockaddr *)&to, sizeof to) > 0, "sent");
    await(&a, 1);
    cr_expect(a.last_size > ZA_DATAGRAM_SEALED_BYTES_MAX, "%zu", a.last_size);
    cr_assert(sendto(fd, text, 0, 0, (struct sockaddr *)&to, sizeof to) == 0, "an empty one");
    await(&a, 2);
    cr_expect(a.last_size == 0, "%zu", a.last_size);
    close(fd);
    end(&a);
}

Test(udp, says_what_cannot_be_sent)
{
    port_t a;
    static uint8_t large[70000];
    cr_assert(open_at(&a, "127.0.0.1:0") == ZA_OK, "open");
    cr_expect(a.transport.ops->send_datagram(a.transport.context, a.address, large, sizeof large) ==
                  ZA_ETOOBIG,
              "too big");
    cr_expect(send_text(&a, "no address", "x") == ZA_EINVAL, "no address");
    cr_expect(send_text(&a, "127.0.0.1:9", "x") == ZA_OK, "nobody is there, and nobody says so");
    za_loop_poll(a.loop, 0);
    cr_expect(send_text(&a, a.address, "x") == ZA_OK, "and the next is sent");
    await(&a, 1);
    end(&a);
}

Test(udp, port_without_datagrams_sends_none)
{
    port_t a;
    char problem[256];
    cr_assert(za_loop_create(&events, &a.loop) == ZA_OK, "loop");
    a.transport = za_loop_transport(a.loop);
    cr_assert(za_loop_listen(a.loop, "127.0.0.1:0", ZA_LOOP_STREAMS, a.address, sizeof a.address,
                             problem, sizeof problem) == ZA_OK,
              "listen");
    cr_expect(send_text(&a, a.address, "x") == ZA_EIO, "no");
    end(&a);
}
