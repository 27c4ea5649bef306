#include "tls_support.h"

static const char *problem_of(const end_t *end)
{
    return end->problem;
}

static bool says(const end_t *end, const char *part)
{
    return strstr(end->problem, part) != NULL;
}

static pair_t shaken(za_tls_t *client, za_tls_t *server, uint64_t seed)
{
    pair_t pair = make_pair(za_tls_factory(client), za_tls_factory(server), seed);
    shake_hands(&pair);
    return pair;
}

Test(tls, tells_each_end_who_the_other_is)
{
    tls_world_t world = make_world();
    for (uint64_t seed = 1; seed <= 5; seed++) {
        pair_t pair = shaken(world.client, world.server, seed);
        cr_assert(pair.client.done && pair.server.done, "seed %d: %s / %s", (int)seed,
                  problem_of(&pair.client), problem_of(&pair.server));
        cr_assert(strcmp(pair.client.peer.node, "n2") == 0, "%s", pair.client.peer.node);
        cr_assert(strcmp(pair.server.peer.node, "n1") == 0, "%s", pair.server.peer.node);
        cr_assert(strcmp(pair.server.peer.cluster, "prod") == 0, "%s", pair.server.peer.cluster);
        cr_assert(pair.server.peer.verified && pair.client.peer.verified, "verified");
        cr_assert(pair.server.peer.roles == ZA_ROLE_MEMBER, "roles");
        free_pair(&pair);
    }
    free_world(&world);
}

// 2 MB each way at once, cut at random: what comes out is what went in.
Test(tls, carries_bytes_both_ways_intact)
{
    enum { TOTAL = 2 * 1024 * 1024, PART = 40000 };
    tls_world_t world = make_world();
    pair_t pair = shaken(world.client, world.server, 7);
    end_t *ends[2] = { &pair.client, &pair.server };
    size_t sent[2] = { 0, 0 };
    size_t received[2] = { 0, 0 };
    static uint8_t data[TOTAL];
    static uint8_t got[PART];
    za_rng_t rng;
    za_rng_init(&rng, 8);
    for (size_t i = 0; i < TOTAL; i++) {
        data[i] = (uint8_t)za_rng_next(&rng);
    }
    while (received[0] < TOTAL || received[1] < TOTAL) {
        for (int i = 0; i < 2; i++) {
            za_security_t *security = ends[i]->security;
            size_t size = 1 + (size_t)za_rng_below(&rng, PART);
            size = size < TOTAL - sent[i] ? size : TOTAL - sent[i];
            size_t taken = 0;
            za_err_t err = security->ops->seal(security, data + sent[i], size, &taken);
            cr_assert(err == ZA_OK, "%s", za_err_name(err));
            sent[i] += taken;
            carry(&pair, ends[i], ends[1 - i]);
            err = security->ops->open(security, got, sizeof got, &taken);
            cr_assert(err == ZA_OK, "%s", za_err_name(err));
            cr_assert(received[i] + taken <= TOTAL, "too much");
            cr_assert(memcmp(got, data + received[i], taken) == 0, "bytes differ");
            received[i] += taken;
        }
    }
    free_pair(&pair);
    free_world(&world);
}

Test(tls, seals_one_record_at_a_time)
{
    tls_world_t world = make_world();
    pair_t pair = shaken(world.client, world.server, 3);
    static uint8_t plain[16 * 1024];
    static uint8_t wire[64 * 1024];
    size_t taken;
    size_t size;
    za_security_t *client = pair.client.security;
    cr_assert(client->ops->seal(client, plain, 1000, &taken) == ZA_OK && taken == 1000, "seal");
    cr_assert(client->ops->pull_wire(client, wire, sizeof wire, &size) == ZA_OK, "pull");
    cr_assert(wire[0] == 23, "application data");
    cr_assert((size_t)(wire[3] << 8 | wire[4]) + 5 == size, "one record");
    cr_assert(size - 1000 <= 29, "overhead is %zu", size - 1000);
    free_pair(&pair);
    free_world(&world);
}

Test(tls, takes_no_more_than_it_has_room_for)
{
    tls_world_t world = make_world();
    pair_t pair = shaken(world.client, world.server, 3);
    za_security_t *client = pair.client.security;
    static uint8_t plain[100 * 1024];
    size_t taken;
    cr_assert(client->ops->seal(client, plain, sizeof plain, &taken) == ZA_OK, "seal");
    cr_assert(taken >= 32 * 1024 && taken < 64 * 1024, "took %zu", taken);
    cr_assert(client->ops->seal(client, plain, sizeof plain, &taken) == ZA_OK, "seal again");
    cr_assert(taken == 0, "took %zu of what does not fit", taken);
    free_pair(&pair);
    free_world(&world);
}

Test(tls, says_that_the_peer_closed)
{
    tls_world_t world = make_world();
    pair_t pair = shaken(world.client, world.server, 3);
    za_security_t *client = pair.client.security;
    za_security_t *server = pair.server.security;
    uint8_t got[16];
    size_t size;
    cr_assert(client->ops->seal(client, (const uint8_t *)"bye", 3, &size) == ZA_OK, "seal");
    client->ops->close(client);
    cr_assert(client->ops->seal(client, got, 1, &size) == ZA_ECLOSED, "no seal after close");
    while (carry(&pair, &pair.client, &pair.server)) {
    }
    cr_assert(server->ops->open(server, got, sizeof got, &size) == ZA_OK && size == 3, "rest");
    cr_assert(server->ops->open(server, got, sizeof got, &size) == ZA_ECLOSED, "closed");
    free_pair(&pair);
    free_world(&world);
}

static void expect_refusal(const za_pki_pair_t *authority, const za_pki_pair_t *client_pair,
                           const char *server_says, const char *client_says)
{
    za_pki_pair_t server_authority = make_authority("prod");
    if (authority == NULL) {
        authority = &server_authority;
    }
    za_pki_request_t request = node_request("prod", "server");
    za_pki_pair_t server_pair = make_node(authority, &request);
    // The client trusts the server's authority whatever its own certificate is.
    za_pki_info_t info;
    char problem[PROBLEM_BYTES];
    cr_assert(za_pki_describe(client_pair->certificate, &info, problem, sizeof problem) == ZA_OK,
              "%s", problem);
    za_tls_t *client = make_tls(info.identity.cluster, authority->certificate, client_pair);
    za_tls_t *server = make_tls("prod", authority->certificate, &server_pair);
    pair_t pair = shaken(client, server, 11);
    cr_assert(pair.server.err == ZA_EAUTH, "%s %s", za_err_name(pair.server.err),
              pair.server.problem);
    cr_expect(says(&pair.server, server_says), "the server says: %s", pair.server.problem);
    cr_expect(pair.client.err == ZA_EAUTH, "%s", za_err_name(pair.client.err));
    // In TLS 1.3 mbedTLS's client cannot read why.
    cr_expect(says(&pair.client, client_says) ||
                  says(&pair.client, "the peer refused us: it did not say why"),
              "the client says: %s", pair.client.problem);
    free_pair(&pair);
    za_tls_destroy(client);
    za_tls_destroy(server);
}

// A foreign authority with the very same name: only its key differs.
Test(tls, refuses_a_foreign_authority)
{
    za_pki_pair_t foreign = make_authority("prod");
    za_pki_request_t request = node_request("prod", "n1");
    za_pki_pair_t pair = make_node(&foreign, &request);
    expect_refusal(NULL, &pair, "not of our authority: zactor://prod/n1",
                   "the peer refused us: our certificate is not of its authority");
}

Test(tls, refuses_an_expired_certificate)
{
    za_pki_pair_t authority = make_authority("prod");
    za_pki_request_t request = node_request("prod", "n1");
    request.not_before_s = NOW_S - 30 * DAY_S;
    request.not_after_s = NOW_S - 1;
    za_pki_pair_t pair = make_node(&authority, &request);
    expect_refusal(&authority, &pair, "has expired: zactor://prod/n1", "the peer refused us");
}

Test(tls, refuses_a_certificate_of_the_future)
{
    za_pki_pair_t authority = make_authority("prod");
    za_pki_request_t request = node_request("prod", "n1");
    request.not_before_s = NOW_S + 1;
    za_pki_pair_t pair = make_node(&authority, &request);
    expect_refusal(&authority, &pair, "is not yet valid: zactor://prod/n1", "the peer refused us");
}

// The first second and the last are still within.
Test(tls, accepts_the_ends_of_validity)
{
    za_pki_pair_t authority = make_authority("prod");
    za_pki_request_t request = node_request("prod", "n1");
    request.not_before_s = NOW_S;
    za_pki_pair_t first = make_node(&authority, &request);
    request = node_request("prod", "n2");
    request.not_after_s = NOW_S;
    za_pki_pair_t last = make_node(&authority, &request);
    za_tls_t *client = make_tls("prod", authority.certificate, &first);
    za_tls_t *server = make_tls("prod", authority.certificate, &last);
    pair_t pair = shaken(client, server, 1);
    cr_assert(pair.client.done && pair.server.done, "%s / %s", pair.client.problem,
              pair.server.problem);
    free_pair(&pair);
    za_tls_destroy(client);
    za_tls_destroy(server);
}

// One authority, two clusters: the names keep them apart.
Test(tls, refuses_another_cluster)
{
    za_pki_pair_t authority = make_authority("prod");
    za_pki_request_t request = node_request("test", "n1");
    za_pki_pair_t pair = make_node(&authority, &request);
    za_pki_request_t server_request = node_request("prod", "server");
    za_pki_pair_t server_pair = make_node(&authority, &server_request);
    za_tls_t *client = make_tls("test", authority.certificate, &pair);
    za_tls_t *server = make_tls("prod", authority.certificate, &server_pair);
    pair_t shake = shaken(client, server, 2);
    cr_assert(shake.client.err == ZA_EAUTH, "%s", za_err_name(shake.client.err));
    cr_assert(says(&shake.client, "is of another cluster: zactor://prod/server"), "%s",
              shake.client.problem);
    cr_assert(shake.server.err == ZA_EAUTH, "%s", za_err_name(shake.server.err));
    cr_assert(says(&shake.server, "refused us: our certificate's names are not"), "%s",
              shake.server.problem);
    free_pair(&shake);
    za_tls_destroy(client);
    za_tls_destroy(server);
}

/** An end without TLS of its own: pushes these bytes and looks at what the server makes of them. */
static end_t server_given(tls_world_t *world, const void *bytes, size_t size)
{
    end_t end;
    make_end(&end, za_tls_factory(world->server), ZA_SIDE_SERVER);
    size_t taken;
    cr_assert(end.security->ops->push_wire(end.security, bytes, size, &taken) == ZA_OK, "push");
    advance(&end);
    return end;
}

Test(tls, tells_plain_text_from_broken_tls)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: example\r\n\r\n";
    static const uint8_t broken[] = { 22, 3, 1, 0, 5, 1, 0, 0, 1, 0 };
    tls_world_t world = make_world();
    end_t end = server_given(&world, request, sizeof request - 1);
    cr_assert(end.err == ZA_EPROTO, "%s", za_err_name(end.err));
    cr_assert(says(&end, "does not speak TLS: its first byte is 0x47"), "%s", end.problem);
    end.security->ops->destroy(end.security);
    end = server_given(&world, broken, sizeof broken);
    cr_assert(end.err == ZA_EPROTO, "%s", za_err_name(end.err));
    cr_assert(says(&end, "the peer broke TLS"), "%s", end.problem);
    end.security->ops->destroy(end.security);
    free_world(&world);
}

// Recorded from mbedTLS 3.6. A server of 2.28 that listed suites of TLS 1.3 failed at these.
Test(tls, answers_a_client_that_offers_tls_1_3)
{
    static const uint8_t hello[] = {
        0x16, 0x03, 0x03, 0x00, 0xc8, 0x01, 0x00, 0x00, 0xc4, 0x03, 0x03, 0xef, 0x31, 0x8b, 0xd0,
        0x13, 0x1f, 0x4c, 0x41, 0x58, 0xfb, 0xe1, 0x82, 0x63, 0xb7, 0x50, 0xd8, 0xf7, 0x8e, 0xf3,
        0x00, 0x65, 0xfc, 0xf7, 0x67, 0xd2, 0x8b, 0x89, 0x17, 0x8c, 0x23, 0x27, 0x5e, 0x20, 0xba,
        0x65, 0x45, 0xb9, 0x00, 0x24, 0x6c, 0x56, 0xb5, 0xe2, 0x89, 0x52, 0x1b, 0xf8, 0x02, 0x3d,
        0xc0, 0xd4, 0x54, 0x83, 0x0e, 0x9a, 0x6f, 0x97, 0x73, 0x4f, 0x5c, 0xa9, 0xe9, 0xea, 0x34,
        0x11, 0x00, 0x0e, 0x13, 0x03, 0x13, 0x01, 0x13, 0x02, 0xcc, 0xa9, 0xc0, 0x2b, 0xc0, 0x2c,
        0x00, 0xff, 0x01, 0x00, 0x00, 0x6d, 0x00, 0x10, 0x00, 0x0b, 0x00, 0x09, 0x08, 0x7a, 0x61,
        0x63, 0x74, 0x6f, 0x72, 0x2f, 0x31, 0x00, 0x2b, 0x00, 0x05, 0x04, 0x03, 0x04, 0x03, 0x03,
        0x00, 0x33, 0x00, 0x26, 0x00, 0x24, 0x00, 0x1d, 0x00, 0x20, 0xc0, 0xce, 0xa2, 0xe1, 0x0c,
        0x23, 0x3a, 0xe4, 0x90, 0x26, 0xb3, 0xf4, 0x76, 0x02, 0x5d, 0x2a, 0xee, 0x9f, 0xef, 0x4b,
        0x89, 0x1c, 0x64, 0xe3, 0xce, 0x07, 0xd0, 0xb5, 0x0a, 0xc9, 0xa4, 0x2c, 0x00, 0x2d, 0x00,
        0x03, 0x02, 0x01, 0x00, 0x00, 0x0a, 0x00, 0x08, 0x00, 0x06, 0x00, 0x1d, 0x00, 0x17, 0x00,
        0x18, 0x00, 0x0d, 0x00, 0x06, 0x00, 0x04, 0x04, 0x03, 0x05, 0x03, 0x00, 0x0b, 0x00, 0x02,
        0x01, 0x00, 0x00, 0x16, 0x00, 0x00, 0x00, 0x17, 0x00, 0x00
    };
    tls_world_t world = make_world();
    end_t end = server_given(&world, hello, sizeof hello);
    uint8_t answer[8192];
    size_t size = 0;
    cr_assert(end.err == ZA_OK, "%s", end.problem);
    cr_assert(end.security->ops->pull_wire(end.security, answer, sizeof answer, &size) == ZA_OK,
              "pull");
    cr_assert(size > 5 && answer[0] == 22, "a ServerHello");
    end.security->ops->destroy(end.security);
    free_world(&world);
}

Test(tls, answers_the_end_again_and_again)
{
    tls_world_t world = make_world();
    end_t end = server_given(&world, "GET / HTTP/1.1", 14);
    char problem[PROBLEM_BYTES] = "";
    bool done = false;
    uint8_t byte = 0;
    size_t size = 0;
    za_security_t *security = end.security;
    za_err_t err = security->ops->handshake(security, &done, &end.peer, problem, sizeof problem);
    cr_assert(err == ZA_EPROTO && strcmp(problem, end.problem) == 0, "%s", problem);
    cr_assert(security->ops->open(security, &byte, 1, &size) == ZA_EPROTO, "open");
    cr_assert(security->ops->seal(security, &byte, 1, &size) == ZA_EPROTO, "seal");
    security->ops->close(security);
    security->ops->destroy(security);
    free_world(&world);
}

Test(tls, waits_for_the_rest_of_a_truncated_hello)
{
    tls_world_t world = make_world();
    end_t client;
    make_end(&client, za_tls_factory(world.client), ZA_SIDE_CLIENT);
    advance(&client);
    uint8_t hello[4096];
    size_t size;
    cr_assert(client.security->ops->pull_wire(client.security, hello, sizeof hello, &size) == ZA_OK,
              "pull");
    for (size_t cut = 0; cut < size; cut += 37) {
        end_t end = server_given(&world, hello, cut);
        cr_assert(end.err == ZA_OK && !end.done, "cut at %zu: %s", cut, end.problem);
        end.security->ops->destroy(end.security);
    }
    client.security->ops->destroy(client.security);
    free_world(&world);
}

Test(tls, holds_little_for_an_unknown_peer)
{
    tls_world_t world = make_world();
    end_t end;
    make_end(&end, za_tls_factory(world.server), ZA_SIDE_SERVER);
    static uint8_t flood[64 * 1024] = { 22, 3, 3 };
    size_t taken;
    cr_assert(end.security->ops->push_wire(end.security, flood, sizeof flood, &taken) == ZA_OK,
              "push");
    cr_assert(taken <= 16 * 1024, "took %zu", taken);
    end.security->ops->destroy(end.security);
    free_world(&world);
}

// Any damage to a record ends the connection; nothing of the record comes out.
Test(tls, refuses_a_changed_record)
{
    tls_world_t world = make_world();
    for (size_t at = 5; at < 40; at += 7) {
        pair_t pair = shaken(world.client, world.server, at);
        za_security_t *client = pair.client.security;
        za_security_t *server = pair.server.security;
        uint8_t wire[256];
        uint8_t got[64];
        size_t size;
        size_t taken;
        cr_assert(client->ops->seal(client, (const uint8_t *)"0123456789abcdef", 16, &taken) ==
                      ZA_OK,
                  "seal");
        cr_assert(client->ops->pull_wire(client, wire, sizeof wire, &size) == ZA_OK, "pull");
        wire[at < size ? at : size - 1] ^= 1;
        cr_assert(server->ops->push_wire(server, wire, size, &taken) == ZA_OK, "push");
        za_err_t err = server->ops->open(server, got, sizeof got, &taken);
        cr_assert(err == ZA_EPROTO, "byte %zu: %s", at, za_err_name(err));
        free_pair(&pair);
    }
    free_world(&world);
}

Test(tls, trusts_two_authorities_while_they_are_exchanged)
{
    za_pki_pair_t old = make_authority("prod");
    za_pki_pair_t new = make_authority("prod");
    static char both[2 * ZA_PKI_PEM_BYTES_MAX];
    snprintf(both, sizeof both, "%s%s", old.certificate, new.certificate);
    za_pki_request_t request = node_request("prod", "n1");
    za_pki_pair_t client_pair = make_node(&old, &request);
    za_pki_pair_t server_pair = make_node(&new, &request);
    za_tls_t *client = make_tls("prod", both, &client_pair);
    za_tls_t *server = make_tls("prod", both, &server_pair);
    pair_t pair = shaken(client, server, 4);
    cr_assert(pair.client.done && pair.server.done, "%s / %s", pair.client.problem,
              pair.server.problem);
    free_pair(&pair);
    za_tls_destroy(client);
    za_tls_destroy(server);
}

/** A server of "prod" that looks at a revocation list of these serials and dates. */
static end_t meet_server_with_list(const za_pki_pair_t *authority, const za_pki_pair_t *client_pair,
                                   const za_pki_revocations_t *request)
{
    char problem[PROBLEM_BYTES] = "";
    static char list[ZA_PKI_REVOKED_PEM_BYTES_MAX];
    za_err_t err =
        za_pki_make_revocations(authority, request, list, sizeof list, problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    za_pki_request_t server_request = node_request("prod", "server");
    za_pki_pair_t server_pair = make_node(authority, &server_request);
    za_tls_config_t config = { .authorities = { .text = authority->certificate },
                               .certificate = { .text = server_pair.certificate },
                               .key = { .text = server_pair.key },
                               .revoked = { .text = list },
                               .cluster = "prod",
                               .now_s = test_now_s };
    za_tls_t *server = NULL;
    err = za_tls_create(&config, &server, problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    za_tls_t *client = make_tls("prod", authority->certificate, client_pair);
    pair_t pair = shaken(client, server, 6);
    end_t end = pair.server;
    end.security = NULL;
    free_pair(&pair);
    za_tls_destroy(client);
    za_tls_destroy(server);
    return end;
}

Test(tls, refuses_a_revoked_certificate_and_no_other)
{
    enum { COUNT = ZA_PKI_REVOKED_MAX };
    char problem[PROBLEM_BYTES] = "";
    za_pki_pair_t authority = make_authority("prod");
    za_pki_request_t request = node_request("prod", "n1");
    za_pki_pair_t one = make_node(&authority, &request);
    za_pki_pair_t two = make_node(&authority, &request);
    za_pki_info_t info;
    cr_assert(za_pki_describe(one.certificate, &info, problem, sizeof problem) == ZA_OK, "%s",
              problem);
    static const char *serials[COUNT];
    for (int i = 0; i < COUNT; i++) {
        serials[i] = "0123456789abcdef0123456789abcdef01234567";
    }
    serials[COUNT / 2] = info.serial;
    za_pki_revocations_t revoked = { .serials = serials,
                                     .serial_count = COUNT,
                                     .this_update_s = NOW_S - DAY_S,
                                     .next_update_s = NOW_S + 30 * 365 * DAY_S };
    end_t end = meet_server_with_list(&authority, &one, &revoked);
    cr_expect(end.err == ZA_EAUTH && says(&end, "is revoked: zactor://prod/n1"), "%s", end.problem);
    end = meet_server_with_list(&authority, &two, &revoked);
    cr_expect(end.done, "%s", end.problem);
    revoked.serial_count = 0;
    end = meet_server_with_list(&authority, &one, &revoked);
    cr_expect(end.done, "an empty list: %s", end.problem);
}

// A list past its end says nothing of who was revoked since.
Test(tls, refuses_everybody_by_a_list_past_its_end)
{
    za_pki_pair_t authority = make_authority("prod");
    za_pki_request_t request = node_request("prod", "n1");
    za_pki_pair_t pair = make_node(&authority, &request);
    za_pki_revocations_t revoked = { .this_update_s = NOW_S - 2 * DAY_S,
                                     .next_update_s = NOW_S - DAY_S };
    end_t end = meet_server_with_list(&authority, &pair, &revoked);
    cr_expect(end.err == ZA_EAUTH && says(&end, "revocation list has expired"), "%s", end.problem);
    revoked = (za_pki_revocations_t){ .this_update_s = NOW_S + 1, .next_update_s = NOW_S + DAY_S };
    end = meet_server_with_list(&authority, &pair, &revoked);
    cr_expect(end.err == ZA_EAUTH && says(&end, "list is not yet valid"), "%s", end.problem);
}

Test(tls, makes_no_list_of_what_is_no_serial)
{
    static const char *const bad[] = { "", "0", "xy",
                                       "0123456789abcdef0123456789abcdef0123456789" };
    static char list[ZA_PKI_REVOKED_PEM_BYTES_MAX];
    char problem[PROBLEM_BYTES] = "";
    za_pki_pair_t authority = make_authority("prod");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        za_pki_revocations_t revoked = { .serials = &bad[i],
                                         .serial_count = 1,
                                         .this_update_s = NOW_S,
                                         .next_update_s = NOW_S + 1 };
        za_err_t err = za_pki_make_revocations(&authority, &revoked, list, sizeof list, problem,
                                               sizeof problem);
        cr_expect(err == ZA_EINVAL && strstr(problem, "not a serial"), "%s", problem);
    }
}

// New certificates replace the old ones under living connections.
Test(tls, outlives_its_destruction_while_connections_use_it)
{
    tls_world_t world = make_world();
    pair_t pair = make_pair(za_tls_factory(world.client), za_tls_factory(world.server), 5);
    free_world(&world);
    shake_hands(&pair);
    cr_assert(pair.client.done && pair.server.done, "%s / %s", pair.client.problem,
              pair.server.problem);
    free_pair(&pair);
}

static za_err_t create_with(const za_tls_config_t *config, char problem[PROBLEM_BYTES])
{
    za_tls_t *tls = NULL;
    za_err_t err = za_tls_create(config, &tls, problem, PROBLEM_BYTES);
    za_tls_destroy(tls);
    return err;
}

Test(tls, finds_its_own_mistakes_at_once)
{
    char problem[PROBLEM_BYTES] = "";
    za_pki_pair_t authority = make_authority("prod");
    za_pki_request_t request = node_request("prod", "n1");
    za_pki_pair_t one = make_node(&authority, &request);
    za_pki_pair_t two = make_node(&authority, &request);
    za_tls_config_t good = { .authorities = { .text = authority.certificate },
                             .certificate = { .text = one.certificate },
                             .key = { .text = one.key },
                             .cluster = "prod" };
    cr_assert(create_with(&good, problem) == ZA_OK, "%s", problem);

    za_tls_config_t config = good;
    config.key.text = two.key;
    cr_assert(create_with(&config, problem) == ZA_ECONFIG, "foreign key");
    cr_expect(strstr(problem, "the key is not that of the certificate"), "%s", problem);

    config = good;
    config.cluster = "test";
    cr_assert(create_with(&config, problem) == ZA_ECONFIG, "other cluster");
    cr_expect(strstr(problem, "the certificate is of another cluster, prod, and not of test"), "%s",
              problem);

    config = good;
    config.certificate.text = authority.certificate;
    config.key.text = authority.key;
    cr_assert(create_with(&config, problem) == ZA_ECONFIG, "no node");
    cr_expect(strstr(problem, "names no node"), "%s", problem);

    config = good;
    config.key = (za_tls_pem_t){ .path = "/nonexistent/key.pem" };
    cr_assert(create_with(&config, problem) == ZA_ENOENT, "no file");
    cr_expect(strstr(problem, "/nonexistent/key.pem"), "%s", problem);

    config = good;
    config.authorities.text = "not a certificate";
    cr_assert(create_with(&config, problem) == ZA_ECONFIG, "bad authority");
    cr_expect(strstr(problem, "bad authority"), "%s", problem);
}
