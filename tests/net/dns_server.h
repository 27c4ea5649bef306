/** A name server on loopback for tests: answers from a table, when it is asked to look. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/za_test.h"

enum { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33, DNS_NAME_MAX = 256, DNS_PACKET_MAX = 4096 };

typedef struct dns_record {
    const char *name;
    int type;
    const char *value; // an address, or the target of a service
    uint16_t port;
} dns_record_t;

typedef struct dns_server {
    int fd;
    char address[32]; // where it is asked, as za_resolver_config_t takes it
    const dns_record_t *records;
    uint32_t record_count;
    bool silent;
    uint32_t questions;
} dns_server_t;

static inline dns_server_t dns_open(const dns_record_t *records, uint32_t count)
{
    dns_server_t server = { .records = records, .record_count = count };
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert(server.fd >= 0 && bind(server.fd, (struct sockaddr *)&at, size) == 0 &&
                  getsockname(server.fd, (struct sockaddr *)&at, &size) == 0,
              "a socket for the name server");
    snprintf(server.address, sizeof server.address, "127.0.0.1:%u", ntohs(at.sin_port));
    return server;
}

static inline size_t dns_put_name(uint8_t *out, const char *name)
{
    size_t used = 0;
    while (*name != '\0') {
        size_t label = strcspn(name, ".");
        out[used++] = (uint8_t)label;
        memcpy(out + used, name, label);
        used += label;
        name += label + (name[label] == '.');
    }
    out[used++] = 0;
    return used;
}

static inline size_t dns_put_data(uint8_t *out, const dns_record_t *record)
{
    if (record->type == DNS_SRV) {
        memset(out, 0, 4); // priority and weight
        out[4] = (uint8_t)(record->port >> 8);
        out[5] = (uint8_t)record->port;
        return 6 + dns_put_name(out + 6, record->value);
    }
    bool v6 = record->type == DNS_AAAA;
    cr_assert(inet_pton(v6 ? AF_INET6 : AF_INET, record->value, out) == 1, "%s", record->value);
    return v6 ? 16 : 4;
}

/** Reads the name of the question; the bytes behind it. */
static inline const uint8_t *dns_read_name(const uint8_t *at, char name[DNS_NAME_MAX])
{
    size_t used = 0;
    while (*at != 0 && used + *at + 1 < DNS_NAME_MAX) {
        memcpy(name + used, at + 1, *at);
        used += *at;
        at += *at + 1;
        name[used++] = '.';
    }
    name[used > 0 ? used - 1 : 0] = '\0';
    return at + 1;
}

static inline size_t dns_answer(dns_server_t *server, const uint8_t *in, uint8_t *out)
{
    char name[DNS_NAME_MAX];
    const uint8_t *end = dns_read_name(in + 12, name);
    int type = end[0] << 8 | end[1];
    size_t used = (size_t)(end + 4 - in);
    uint16_t answers = 0;
    bool known = false;
    memcpy(out, in, used);
    for (uint32_t i = 0; i < server->record_count; i++) {
        const dns_record_t *record = &server->records[i];
        known |= strcasecmp(record->name, name) == 0;
        if (strcasecmp(record->name, name) != 0 || record->type != type) {
            continue;
        }
        // A pointer to the question's name, type, class, 5 s, the length, the data.
        const uint8_t head[] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 5 };
        memcpy(out + used, head, sizeof head);
        size_t size = dns_put_data(out + used + sizeof head + 2, record);
        out[used + sizeof head] = (uint8_t)(size >> 8);
        out[used + sizeof head + 1] = (uint8_t)size;
        used += sizeof head + 2 + size;
        answers++;
    }
    out[2] = 0x84;                    // an answer, of the one who knows
    out[3] = known ? 0x80 : 0x83;     // or: there is no such name
    out[6] = (uint8_t)(answers >> 8); // of the sections only this one
    out[7] = (uint8_t)answers;
    memset(out + 8, 0, 4);
    return used;
}

/** Answers what has come. */
static inline void dns_serve(dns_server_t *server)
{
    uint8_t in[DNS_PACKET_MAX];
    uint8_t out[DNS_PACKET_MAX];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t got;
    while ((got = recvfrom(server->fd, in, sizeof in, 0, (struct sockaddr *)&from, &size)) > 17) {
        server->questions++;
        if (!server->silent) {
            sendto(server->fd, out, dns_answer(server, in, out), 0, (struct sockaddr *)&from, size);
        }
        size = sizeof from;
    }
}

static inline void dns_close(dns_server_t *server)
{
    close(server->fd);
}
