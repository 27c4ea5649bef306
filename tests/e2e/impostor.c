// A peer that our own code would never be, for the tests of strangers.
//
//     impostor issue CA.CRT CA.KEY CLUSTER NODE OUT.CRT OUT.KEY FROM_S UNTIL_S   (relative to now)
//     impostor greet ADDRESS CA.CRT CRT KEY CLUSTER NAME CLUSTER_ID
//     impostor silent ADDRESS CA.CRT CRT KEY
//
// greet shows the certificate and says Hello as NAME of CLUSTER, whatever the certificate says and
// whoever answers; silent shows it and says nothing. Both print how the node ended the connection and
// then exit with 0; 1: it went on.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/greeting.h"
#include "net/pki_file.h"
#include "net/tls_mbedtls.h"
#include "wire/frame.h"

enum { PROBLEM_BYTES = 256, WAIT_MS = 60000, STREAM_BYTES = 16 * 1024 };

typedef struct impostor {
    int fd;
    za_security_t *tls;
    bool eof;
    char problem[PROBLEM_BYTES];
} impostor_t;

static int issue(char **argv)
{
    char problem[PROBLEM_BYTES] = "";
    int64_t now_s = (int64_t)time(NULL);
    za_pki_paths_t ca = { argv[0], argv[1] };
    za_pki_paths_t out = { argv[4], argv[5] };
    za_pki_request_t request = { .cluster = argv[2],
                                 .node = argv[3],
                                 .roles = ZA_ROLE_MEMBER,
                                 .not_before_s = now_s + atol(argv[6]),
                                 .not_after_s = now_s + atol(argv[7]) };
    za_err_t err =
        za_pki_issue(&ca, &request, &out, ZA_PKI_REPLACE_EXISTING, problem, sizeof problem);
    if (err != ZA_OK) {
        fprintf(stderr, "impostor: %s\n", problem);
    }
    return err == ZA_OK ? 0 : 2;
}

static int connect_to(const char *address)
{
    char host[64] = "";
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= sizeof host) {
        return -1;
    }
    memcpy(host, address, (size_t)(colon - address));
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &at.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        return -1;
    }
    return fd;
}

static void send_pending(impostor_t *me)
{
    uint8_t bytes[STREAM_BYTES];
    size_t size = 0;
    do {
        (void)me->tls->ops->pull_wire(me->tls, bytes, sizeof bytes, &size);
    } while (size > 0 && send(me->fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size);
}

/** Waits for bytes; false: there are no more, or none in time. */
static bool receive(impostor_t *me)
{
    uint8_t bytes[STREAM_BYTES / 4];
    send_pending(me);
    if (poll(&(struct pollfd){ .fd = me->fd, .events = POLLIN }, 1, WAIT_MS) != 1) {
        return false;
    }
    ssize_t got = recv(me->fd, bytes, sizeof bytes, 0);
    if (got <= 0) {
        me->eof = true;
        return false;
    }
    size_t taken = 0;
    return me->tls->ops->push_wire(me->tls, bytes, (size_t)got, &taken) == ZA_OK &&
           taken == (size_t)got;
}

static bool shake_hands(impostor_t *me)
{
    bool done = false;
    za_identity_t peer;
    for (;;) {
        za_err_t err = me->tls->ops->handshake(me->tls, &done, &peer, me->problem, PROBLEM_BYTES);
        if (err != ZA_OK || done) {
            send_pending(me);
            return err == ZA_OK;
        }
        if (!receive(me)) {
            snprintf(me->problem, PROBLEM_BYTES, "closed during the handshake");
            return false;
        }
    }
}

static bool say_hello(impostor_t *me, char **argv)
{
    za_hello_t hello = { .version_min = ZA_PROTOCOL_VERSION_MIN,
                         .version_max = ZA_PROTOCOL_VERSION_MAX,
                         .cluster_id = strtoull(argv[2], NULL, 0),
                         .from = 0x600d,
                         .role = ZA_ROLE_MEMBER,
                         .link_epoch = 1 };
    snprintf(hello.cluster, sizeof hello.cluster, "%s", argv[0]);
    snprintf(hello.name, sizeof hello.name, "%s", argv[1]);
    snprintf(hello.address, sizeof hello.address, "127.0.0.1:1");
    uint8_t frame[ZA_FRAME_HEADER_BYTES_MAX + ZA_GREETING_BYTES_MAX];
    uint8_t payload[ZA_GREETING_BYTES_MAX];
    size_t size = za_hello_encode(&hello, payload);
    size_t head =
        za_frame_header_encode(ZA_FRAME_HELLO, ZA_LANE_CONTROL, size, frame, sizeof frame);
    memcpy(frame + head, payload, size);
    size_t taken = 0;
    return me->tls->ops->seal(me->tls, frame, head + size, &taken) == ZA_OK && taken == head + size;
}

/** Looks at one frame. True: it says how this ends, which is in me->problem. */
static bool is_end(impostor_t *me, const za_frame_t *frame, bool *refused)
{
    char text[ZA_GOODBYE_TEXT_BYTES_MAX + 1];
    za_goodbye_t reason;
    if (frame->kind == ZA_FRAME_HELLO) {
        return false;
    }
    *refused = frame->kind == ZA_FRAME_GOODBYE;
    if (*refused && za_goodbye_decode(frame->payload, frame->size, &reason, text) == ZA_OK) {
        snprintf(me->problem, PROBLEM_BYTES, "goodbye %d: %s", (int)reason, text);
    } else {
        snprintf(me->problem, PROBLEM_BYTES, "it went on: frame %02x", (unsigned)frame->kind);
    }
    return true;
}

/** Until the node says how it ends: true if it refused us. */
static bool listen_to_end(impostor_t *me)
{
    uint8_t stream[STREAM_BYTES];
    size_t have = 0;
    for (;;) {
        size_t size = 0;
        za_err_t err = me->tls->ops->open(me->tls, stream + have, sizeof stream - have, &size);
        have += size;
        za_frame_t frame;
        size_t used = 0;
        bool refused = false;
        while (za_frame_split(stream, have, &frame, &used) == ZA_SPLIT_FRAME) {
            if (is_end(me, &frame, &refused)) {
                return refused;
            }
            have -= used;
            memmove(stream, stream + used, have);
        }
        if (err != ZA_OK || (size == 0 && !receive(me))) {
            bool closed = err != ZA_OK || me->eof;
            snprintf(me->problem, PROBLEM_BYTES, closed ? "closed" : "it went on: no answer");
            return closed;
        }
    }
}

static int meet(char **argv, char **hello)
{
    za_pki_info_t info;
    impostor_t me = { 0 };
    za_tls_t *tls = NULL;
    if (za_pki_describe_file(argv[2], &info, me.problem, PROBLEM_BYTES) != ZA_OK) {
        fprintf(stderr, "impostor: %s\n", me.problem);
        return 2;
    }
    za_tls_config_t config = { .authorities = { .path = argv[1] },
                               .certificate = { .path = argv[2] },
                               .key = { .path = argv[3] },
                               .cluster = info.identity.cluster };
    za_err_t err = za_tls_create(&config, &tls, me.problem, PROBLEM_BYTES);
    za_security_factory_t factory = { 0 };
    if (err == ZA_OK) {
        factory = za_tls_factory(tls);
        err = factory.create(factory.context, ZA_SIDE_CLIENT, &me.tls);
    }
    me.fd = connect_to(argv[0]);
    if (err != ZA_OK || me.fd < 0) {
        fprintf(stderr, "impostor: %s\n", me.fd < 0 ? "cannot connect" : me.problem);
        return 2;
    }
    bool refused = !shake_hands(&me);
    if (!refused) {
        refused = (hello == NULL || say_hello(&me, hello)) && listen_to_end(&me);
    }
    printf("%s\n", me.problem);
    close(me.fd);
    me.tls->ops->destroy(me.tls);
    za_tls_destroy(tls);
    return refused ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "issue") == 0 && argc == 10) {
        return issue(argv + 2);
    }
    if (strcmp(verb, "greet") == 0 && argc == 9) {
        return meet(argv + 2, argv + 6);
    }
    if (strcmp(verb, "silent") == 0 && argc == 6) {
        return meet(argv + 2, NULL);
    }
    fprintf(stderr, "usage: see the head of impostor.c\n");
    return 2;
}
