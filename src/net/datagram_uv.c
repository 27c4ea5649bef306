#include "net/datagram_uv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "net/datagram.h"

enum {
    BATCH = 16,                                        // datagrams a system call
    BATCHES_MAX = 64,                                  // a call back: streams have their turn
    ROOM_BYTES_MAX = ZA_DATAGRAM_SEALED_BYTES_MAX + 1, // a longer one is seen to be too long
    RECEIVE_BYTES = 1024 * 1024, // a burst of gossip, or of garbage, while the loop is busy
    NAMES_MAX = 1024,            // host names of members
    NAME_WAYS = 4,               // places that a name may have
    LOOKUPS_MAX = 4,             // at a time: as libuv has threads
    NAME_FRESH_MS = 60 * 1000,
    NAME_RETRY_MS = 5 * 1000, // after a look-up that failed
};

static_assert((NAMES_MAX & (NAMES_MAX - 1)) == 0, "a mask finds a place");

typedef struct name {
    char host[ZA_ADDRESS_BYTES_MAX + 1]; // "": free
    bool known;                          // `address` holds the last answer
    bool asking;
    uint64_t due_ms; // look up again
    uint64_t used_ms;
    struct sockaddr_storage address;
} name_t;

struct za_udp {
    uv_poll_t poll;
    uv_loop_t *loop;
    za_udp_receiver_t receiver;
    int fd;
    int family;
    bool closed, handle_closed;
    uint32_t asking;
    name_t names[NAMES_MAX];
    struct mmsghdr headers[BATCH];
    struct iovec rooms[BATCH];
    struct sockaddr_storage from[BATCH];
    uint8_t bytes[BATCH][ROOM_BYTES_MAX];
};

/* ---- reading ----------------------------------------------------------------------------------- */

static za_origin_t origin_of(const struct sockaddr_storage *from)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    za_origin_t origin = { .port = 0 };
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        memcpy(origin.address, &in6->sin6_addr, sizeof origin.address);
        origin.port = ntohs(in6->sin6_port);
    } else if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)from;
        memcpy(origin.address, mapped, sizeof mapped);
        memcpy(origin.address + sizeof mapped, &in4->sin_addr, 4);
        origin.port = ntohs(in4->sin_port);
    }
    return origin;
}

static int read_batch(za_udp_t *udp)
{
    for (int i = 0; i < BATCH; i++) {
        udp->rooms[i] = (struct iovec){ udp->bytes[i], ROOM_BYTES_MAX };
        udp->headers[i].msg_hdr = (struct msghdr){ .msg_name = &udp->from[i],
                                                   .msg_namelen = sizeof udp->from[i],
                                                   .msg_iov = &udp->rooms[i],
                                                   .msg_iovlen = 1 };
    }
    return recvmmsg(udp->fd, udp->headers, BATCH, MSG_DONTWAIT, NULL);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status; // an error is what the next read says
    (void)events;
    za_udp_t *udp = poll->data;
    for (int batch = 0; batch < BATCHES_MAX && !udp->closed; batch++) {
        int count = read_batch(udp);
        if (count < 0 && errno != EAGAIN) {
            continue; // ECONNREFUSED and the like: news of what we sent, which a datagram may not heed
        }
        for (int i = 0; i < count && !udp->closed; i++) {
            za_origin_t from = origin_of(&udp->from[i]);
            udp->receiver.receive(udp->receiver.context, udp->bytes[i], udp->headers[i].msg_len,
                                  &from);
        }
        if (count < BATCH) {
            return; // empty: a look that finds nothing would cost a system call
        }
    }
}

/* ---- host names -------------------------------------------------------------------------------- */

typedef struct lookup {
    uv_getaddrinfo_t request;
    za_udp_t *udp;
    char host[ZA_ADDRESS_BYTES_MAX + 1];
} lookup_t;

static void free_when_over(za_udp_t *udp)
{
    if (udp->handle_closed && udp->asking == 0) {
        free(udp);
    }
}

/** The place of `host`; NULL: it has none. */
static name_t *find_name(za_udp_t *udp, const char *host)
{
    uint64_t at = za_mix64(za_fnv64(ZA_FNV64_INIT, host, strlen(host)));
    for (uint64_t i = 0; i < NAME_WAYS; i++) {
        name_t *name = &udp->names[(at + i) & (NAMES_MAX - 1)];
        if (strcmp(name->host, host) == 0) {
            return name;
        }
    }
    return NULL;
}

/** The place that was not used for longest. */
static name_t *take_name(za_udp_t *udp, const char *host)
{
    uint64_t at = za_mix64(za_fnv64(ZA_FNV64_INIT, host, strlen(host)));
    name_t *oldest = &udp->names[at & (NAMES_MAX - 1)];
    for (uint64_t i = 1; i < NAME_WAYS; i++) {
        name_t *name = &udp->names[(at + i) & (NAMES_MAX - 1)];
        oldest = name->used_ms < oldest->used_ms ? name : oldest;
    }
    *oldest = (name_t){ .known = false };
    strcpy(oldest->host, host);
    return oldest;
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    lookup_t *lookup = request->data;
    za_udp_t *udp = lookup->udp;
    name_t *name = find_name(udp, lookup->host); // its place may be another's by now
    if (name != NULL) {
        bool answered = status == 0 && found != NULL;
        name->asking = false;
        name->due_ms = uv_now(udp->loop) + (answered ? NAME_FRESH_MS : NAME_RETRY_MS);
        if (answered) {
            memcpy(&name->address, found->ai_addr, found->ai_addrlen);
            name->known = true; // of a failure the last answer stays
        }
    }
    uv_freeaddrinfo(found);
    free(lookup);
    udp->asking--;
    free_when_over(udp);
}

static void look_up(za_udp_t *udp, name_t *name)
{
    lookup_t *lookup = udp->asking < LOOKUPS_MAX ? calloc(1, sizeof *lookup) : NULL;
    if (lookup == NULL) {
        return; // the next datagram tries again
    }
    lookup->request.data = lookup;
    lookup->udp = udp;
    strcpy(lookup->host, name->host);
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM,
                              .ai_family = udp->family,
                              .ai_flags = udp->family == AF_INET6 ? AI_V4MAPPED : 0 };
    if (uv_getaddrinfo(udp->loop, &lookup->request, on_found, name->host, NULL, &hints) != 0) {
        free(lookup);
        return;
    }
    name->asking = true;
    udp->asking++;
}

static bool named_address(za_udp_t *udp, const char *host, struct sockaddr_storage *out)
{
    uint64_t now_ms = uv_now(udp->loop);
    name_t *name = find_name(udp, host);
    if (name == NULL) {
        name = take_name(udp, host);
    }
    name->used_ms = now_ms;
    if (!name->asking && now_ms >= name->due_ms) {
        look_up(udp, name);
    }
    *out = name->address;
    return name->known;
}

/* ---- sending ----------------------------------------------------------------------------------- */

/** An IPv4 address as an IPv6 socket has it. */
static void map_to_v6(struct sockaddr_storage *address)
{
    struct sockaddr_in in4;
    memcpy(&in4, address, sizeof in4);
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&in6.sin6_addr.s6_addr[12], &in4.sin_addr, 4);
    memcpy(address, &in6, sizeof in6);
}

static za_err_t find_address(za_udp_t *udp, const char *text, struct sockaddr_storage *out)
{
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    uint16_t port;
    memset(out, 0, sizeof *out);
    if (!za_address_split(text, host, sizeof host, &port)) {
        return ZA_EINVAL;
    }
    bool v4 = uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0;
    if (!v4 && uv_ip6_addr(host, port, (struct sockaddr_in6 *)out) != 0 &&
        !named_address(udp, host, out)) {
        return ZA_ENOENT;
    }
    if (v4 && udp->family == AF_INET6) {
        map_to_v6(out);
    }
    if (out->ss_family != udp->family) {
        return ZA_EIO; // an IPv6 address from an IPv4 port
    }
    if (udp->family == AF_INET6) {
        ((struct sockaddr_in6 *)out)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)out)->sin_port = htons(port);
    }
    return ZA_OK;
}

static za_err_t error_of_send(int error)
{
    switch (error) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
        return ZA_EFULL;
    case EMSGSIZE:
        return ZA_ETOOBIG;
    case ECONNREFUSED:
        return ZA_EREFUSED;
    default:
        return ZA_EIO;
    }
}

static socklen_t size_of_address(int family)
{
    return family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

za_err_t za_udp_send(za_udp_t *udp, const char *address, const uint8_t *bytes, size_t size)
{
    struct sockaddr_storage to;
    za_err_t err = find_address(udp, address, &to);
    if (err != ZA_OK) {
        return err;
    }
    // Twice: the first may only tell what became of an earlier one.
    for (int attempt = 0; attempt < 2; attempt++) {
        if (sendto(udp->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
                   size_of_address(udp->family)) >= 0) {
            return ZA_OK;
        }
    }
    return error_of_send(errno);
}

/* ---- create and destroy ------------------------------------------------------------------------ */

static int open_port(const struct sockaddr *address)
{
    int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    // Routers on the way may cut one that is too long for them: it must not be lost without a word.
    int never = IP_PMTUDISC_DONT;
    int room = RECEIVE_BYTES; // what the kernel grants of it; it is used when something waits
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (address->sa_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &never, sizeof never);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &never, sizeof never);
    }
    if (bind(fd, address, size_of_address(address->sa_family)) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

za_err_t za_udp_create(struct uv_loop_s *loop, const struct sockaddr *address,
                       const za_udp_receiver_t *receiver, za_udp_t **out)
{
    za_udp_t *udp = calloc(1, sizeof *udp);
    if (udp == NULL) {
        return ZA_ENOMEM;
    }
    udp->loop = loop;
    udp->receiver = *receiver;
    udp->family = address->sa_family;
    udp->fd = open_port(address);
    if (udp->fd < 0) {
        free(udp);
        return errno == EADDRINUSE ? ZA_EEXIST : ZA_EIO;
    }
    if (uv_poll_init(loop, &udp->poll, udp->fd) != 0) {
        close(udp->fd);
        free(udp);
        return ZA_EIO;
    }
    udp->poll.data = udp;
    uv_poll_start(&udp->poll, UV_READABLE, on_readable);
    *out = udp;
    return ZA_OK;
}

static void on_closed(uv_handle_t *handle)
{
    za_udp_t *udp = handle->data;
    udp->handle_closed = true;
    free_when_over(udp);
}

void za_udp_destroy(za_udp_t *udp)
{
    if (udp == NULL) {
        return;
    }
    udp->closed = true;
    uv_poll_stop(&udp->poll);
    close(udp->fd);
    uv_close((uv_handle_t *)&udp->poll, on_closed);
}
