/** Certificates, both ends of a TLS connection, and a wire between them that cuts as a seed says. */
#pragma once

#include "support/za_test.h"

#include "base/rng.h"
#include "net/pki_mbedtls.h"
#include "net/revocation_mbedtls.h"
#include "net/tls_mbedtls.h"

enum { PROBLEM_BYTES = 256 };

static const int64_t NOW_S = INT64_C(1900000000); // 2030: the tests bring their own clock
static const int64_t DAY_S = 86400;

static inline int64_t test_now_s(void *context)
{
    (void)context;
    return NOW_S;
}

static inline za_pki_request_t node_request(const char *cluster, const char *node)
{
    return (za_pki_request_t){ .cluster = cluster,
                               .node = node,
                               .roles = ZA_ROLE_MEMBER,
                               .not_before_s = NOW_S - DAY_S,
                               .not_after_s = NOW_S + 365 * DAY_S };
}

static inline za_pki_pair_t make_authority(const char *cluster)
{
    char problem[PROBLEM_BYTES] = "";
    za_pki_pair_t pair;
    za_pki_request_t request = node_request(cluster, NULL);
    za_err_t err = za_pki_make_authority(&request, &pair, problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    return pair;
}

static inline za_pki_pair_t make_node(const za_pki_pair_t *authority,
                                      const za_pki_request_t *request)
{
    char problem[PROBLEM_BYTES] = "";
    za_pki_pair_t pair;
    za_err_t err = za_pki_make_node(authority, request, &pair, problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    return pair;
}

static inline za_tls_t *make_tls(const char *cluster, const char *authorities,
                                 const za_pki_pair_t *pair)
{
    char problem[PROBLEM_BYTES] = "";
    za_tls_config_t config = { .authorities = { .text = authorities },
                               .certificate = { .text = pair->certificate },
                               .key = { .text = pair->key },
                               .cluster = cluster,
                               .now_s = test_now_s };
    za_tls_t *tls = NULL;
    za_err_t err = za_tls_create(&config, &tls, problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    return tls;
}

/** The usual two: nodes n1 and n2 of cluster "prod", of one authority. */
typedef struct tls_world {
    za_pki_pair_t authority;
    za_tls_t *client;
    za_tls_t *server;
} tls_world_t;

static inline tls_world_t make_world(void)
{
    tls_world_t world = { .authority = make_authority("prod") };
    za_pki_request_t request = node_request("prod", "n1");
    za_pki_pair_t pair = make_node(&world.authority, &request);
    world.client = make_tls("prod", world.authority.certificate, &pair);
    request = node_request("prod", "n2");
    pair = make_node(&world.authority, &request);
    world.server = make_tls("prod", world.authority.certificate, &pair);
    return world;
}

static inline void free_world(tls_world_t *world)
{
    za_tls_destroy(world->client);
    za_tls_destroy(world->server);
}

typedef struct end {
    za_security_t *security;
    za_err_t err;
    bool done;
    za_identity_t peer;
    char problem[PROBLEM_BYTES];
} end_t;

typedef struct pair {
    end_t client;
    end_t server;
    za_rng_t rng;
    uint64_t wire_bytes;
} pair_t;

static inline void make_end(end_t *end, za_security_factory_t factory, za_side_t side)
{
    memset(end, 0, sizeof *end);
    za_err_t err = factory.create(factory.context, side, &end->security);
    cr_assert(err == ZA_OK, "%s", za_err_name(err));
}

static inline pair_t make_pair(za_security_factory_t client, za_security_factory_t server,
                               uint64_t seed)
{
    pair_t pair;
    memset(&pair, 0, sizeof pair);
    make_end(&pair.client, client, ZA_SIDE_CLIENT);
    make_end(&pair.server, server, ZA_SIDE_SERVER);
    za_rng_init(&pair.rng, seed);
    return pair;
}

static inline void free_pair(pair_t *pair)
{
    pair->client.security->ops->destroy(pair->client.security);
    pair->server.security->ops->destroy(pair->server.security);
}

/** Carries bytes from one end to the other, in pieces; false if there were none. */
static inline bool carry(pair_t *pair, end_t *from, end_t *to)
{
    uint8_t bytes[3000];
    size_t capacity = 1 + (size_t)za_rng_below(&pair->rng, sizeof bytes);
    size_t size = 0;
    za_err_t err = from->security->ops->pull_wire(from->security, bytes, capacity, &size);
    cr_assert(err == ZA_OK, "%s", za_err_name(err));
    size_t at = 0;
    while (at < size) {
        size_t piece = 1 + (size_t)za_rng_below(&pair->rng, size - at);
        size_t taken = 0;
        err = to->security->ops->push_wire(to->security, bytes + at, piece, &taken);
        cr_assert(err == ZA_OK && taken == piece, "%s %zu", za_err_name(err), taken);
        at += taken;
    }
    pair->wire_bytes += size;
    return size > 0;
}

static inline void advance(end_t *end)
{
    if (end->err == ZA_OK && !end->done) {
        end->err = end->security->ops->handshake(end->security, &end->done, &end->peer,
                                                 end->problem, sizeof end->problem);
    }
}

/** In TLS 1.3 a client is done before the server has seen its certificate: a refusal comes later. */
static inline void look_for_refusal(end_t *end)
{
    uint8_t byte;
    size_t size = 0;
    if (end->done && end->err == ZA_OK) {
        end->err = end->security->ops->open(end->security, &byte, 1, &size);
    }
    if (end->done && end->err != ZA_OK) {
        bool done;
        za_err_t err = end->security->ops->handshake(end->security, &done, &end->peer, end->problem,
                                                     sizeof end->problem);
        cr_assert(err == end->err, "%s: %s", za_err_name(err), end->problem);
    }
}

/** Runs the handshake until nothing moves any more. */
static inline void shake_hands(pair_t *pair)
{
    bool moved = true;
    for (int round = 0; moved && round < 100000; round++) {
        advance(&pair->client);
        advance(&pair->server);
        moved = carry(pair, &pair->client, &pair->server);
        moved |= carry(pair, &pair->server, &pair->client);
    }
    cr_assert(!moved, "the handshake does not end");
    advance(&pair->client);
    advance(&pair->server);
    look_for_refusal(&pair->client);
}
