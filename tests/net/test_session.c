#include "base/hash.h"
#include "net/greeting.h"
#include "net/plain.h"
#include "net/session.h"
#include "tls_support.h"

enum { WIRE_BYTES = 4096, BODY_BYTES_MAX = 64 * 1024 };

/** One end: a session and what it has told. */
typedef struct side {
    za_session_t *session;
    uint32_t propose; // the epoch it accepts with, as connector
    bool refuse;
    bool greeted;
    bool established;
    bool closed;
    za_err_t err;
    bool goodbye;
    za_goodbye_t reason;
    char problem[ZA_SESSION_PROBLEM_BYTES];
    char peer_name[65];
    za_session_peer_t peer;
    uint32_t frames;
    uint32_t messages;
    uint64_t message_bytes;
    uint64_t hash; // of everything that came in order
    za_frame_kind_t last_kind;
    uint32_t last_size;
    uint8_t *bulk; // where the large message is put together
    uint32_t bulk_size;
    bool bulk_done;
} side_t;

typedef struct talk {
    side_t client;
    side_t server;
    za_rng_t rng;
    uint64_t now_ms;
} talk_t;

static za_session_config_t config_of(const char *name, uint64_t uid)
{
    return (za_session_config_t){ .cluster = "prod",
                                  .name = name,
                                  .address = "127.0.0.1:7000",
                                  .uid = uid,
                                  .role = ZA_ROLE_MEMBER };
}

static talk_t make_talk(const za_session_config_t *client, za_security_factory_t client_factory,
                        const za_session_config_t *server, za_security_factory_t server_factory,
                        uint64_t seed)
{
    talk_t talk;
    memset(&talk, 0, sizeof talk);
    talk.now_ms = 1000;
    talk.client.propose = 1;
    za_rng_init(&talk.rng, seed);
    za_err_t err = za_session_create(client, &client_factory, ZA_SIDE_CLIENT, talk.now_ms,
                                     &talk.client.session);
    cr_assert(err == ZA_OK, "%s", za_err_name(err));
    err = za_session_create(server, &server_factory, ZA_SIDE_SERVER, talk.now_ms,
                            &talk.server.session);
    cr_assert(err == ZA_OK, "%s", za_err_name(err));
    return talk;
}

static talk_t plain_talk(uint64_t seed)
{
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    return make_talk(&client, za_plain_factory(), &server, za_plain_factory(), seed);
}

static void free_talk(talk_t *talk)
{
    za_session_destroy(talk->client.session);
    za_session_destroy(talk->server.session);
}

static void on_event(talk_t *talk, side_t *side, const za_session_event_t *event)
{
    cr_assert(!side->closed, "an event after the last");
    switch (event->type) {
    case ZA_SESSION_GREETED:
        cr_assert(!side->greeted, "greeted twice");
        side->greeted = true;
        if (side->refuse) {
            za_session_close(side->session, ZA_GOODBYE_REPLACED, "there is a link already");
        } else {
            za_session_accept(side->session,
                              side->propose != 0 ? side->propose : event->peer.link_epoch,
                              talk->now_ms);
        }
        break;
    case ZA_SESSION_ESTABLISHED:
        cr_assert(side->greeted && !side->established, "established");
        side->established = true;
        side->peer = event->peer;
        snprintf(side->peer_name, sizeof side->peer_name, "%s", event->peer.name);
        break;
    case ZA_SESSION_FRAME:
        side->frames++;
        side->last_kind = event->frame.kind;
        side->last_size = (uint32_t)event->frame.size;
        side->hash = za_fnv64(side->hash, event->frame.payload, event->frame.size);
        break;
    case ZA_SESSION_MESSAGE:
        side->messages++;
        side->message_bytes += event->message.size;
        side->hash = za_fnv64(side->hash, &event->message.target, sizeof event->message.target);
        side->hash = za_fnv64(side->hash, event->message.body, event->message.size);
        break;
    case ZA_SESSION_BULK_BEGIN:
        cr_assert(event->message.size <= ZA_MESSAGE_BYTES_MAX && side->bulk == NULL, "bulk");
        side->bulk = malloc(event->message.size);
        side->bulk_size = event->message.size;
        break;
    case ZA_SESSION_BULK_CHUNK:
        cr_assert(event->chunk.offset + event->chunk.size <= side->bulk_size, "beyond its size");
        memcpy(side->bulk + event->chunk.offset, event->chunk.bytes, event->chunk.size);
        side->bulk_done |= event->chunk.last;
        break;
    case ZA_SESSION_CLOSED:
        side->closed = true;
        side->err = event->closed.err;
        side->goodbye = event->closed.goodbye;
        side->reason = event->closed.reason;
        snprintf(side->problem, sizeof side->problem, "%s", event->closed.problem);
        break;
    }
}

static bool take_events(talk_t *talk, side_t *side)
{
    za_session_event_t event;
    bool any = false;
    while (za_session_next(side->session, talk->now_ms, &event)) {
        on_event(talk, side, &event);
        any = true;
    }
    return any;
}

static void push_all(talk_t *talk, side_t *to, const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t piece = 1 + (size_t)za_rng_below(&talk->rng, size - at);
        size_t taken = 0;
        za_err_t err = za_session_push(to->session, bytes + at, piece, &taken);
        cr_assert(err == ZA_OK, "%s", za_err_name(err));
        at += taken;
        bool moved = take_events(talk, to);
        cr_assert(taken > 0 || moved, "neither takes bytes nor has events");
    }
}

static bool carry_bytes(talk_t *talk, side_t *from, side_t *to)
{
    uint8_t bytes[WIRE_BYTES];
    size_t capacity = 1 + (size_t)za_rng_below(&talk->rng, sizeof bytes);
    size_t size = 0;
    za_session_pull(from->session, bytes, capacity, &size);
    push_all(talk, to, bytes, size);
    return size > 0;
}

/** Until nothing moves any more. */
static void run(talk_t *talk)
{
    bool moved = true;
    for (int round = 0; moved; round++) {
        cr_assert(round < 1000000, "it does not come to rest");
        moved = take_events(talk, &talk->client);
        moved |= take_events(talk, &talk->server);
        moved |= carry_bytes(talk, &talk->client, &talk->server);
        moved |= carry_bytes(talk, &talk->server, &talk->client);
    }
}

Test(session, introduces_each_side_to_the_other)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        talk_t talk = plain_talk(seed);
        talk.client.propose = 7;
        run(&talk);
        cr_assert(talk.client.established && talk.server.established, "%s / %s",
                  talk.client.problem, talk.server.problem);
        cr_expect(strcmp(talk.client.peer_name, "n2") == 0, "%s", talk.client.peer_name);
        cr_expect(strcmp(talk.server.peer_name, "n1") == 0, "%s", talk.server.peer_name);
        cr_expect(talk.client.peer.uid == 22 && talk.server.peer.uid == 11, "uids");
        cr_expect(talk.client.peer.link_epoch == 7 && talk.server.peer.link_epoch == 7, "epoch");
        cr_expect(talk.client.peer.version == ZA_PROTOCOL_VERSION_MAX, "version");
        cr_expect(za_session_deadline_ms(talk.client.session) == UINT64_MAX, "deadline");
        free_talk(&talk);
    }
}

static za_tls_t *tls_of(const za_pki_pair_t *authority, const char *node, uint32_t roles)
{
    za_pki_request_t request = node_request("prod", node);
    request.roles = roles;
    za_pki_pair_t pair = make_node(authority, &request);
    return make_tls("prod", authority->certificate, &pair);
}

/** A talk over TLS of which each side announces a name that its certificate may or may not have. */
static talk_t tls_talk(const char *client_certificate, uint32_t client_roles,
                       const za_session_config_t *client, const za_session_config_t *server,
                       uint32_t server_roles)
{
    za_pki_pair_t authority = make_authority("prod");
    za_tls_t *client_tls = tls_of(&authority, client_certificate, client_roles);
    za_tls_t *server_tls = tls_of(&authority, "n2", server_roles);
    talk_t talk =
        make_talk(client, za_tls_factory(client_tls), server, za_tls_factory(server_tls), 17);
    za_tls_destroy(client_tls); // the sessions hold on to them
    za_tls_destroy(server_tls);
    return talk;
}

Test(session, runs_over_tls)
{
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    talk_t talk = tls_talk("n1", ZA_ROLE_MEMBER, &client, &server, ZA_ROLE_MEMBER);
    run(&talk);
    cr_assert(talk.client.established && talk.server.established, "%s / %s", talk.client.problem,
              talk.server.problem);
    cr_expect(talk.server.peer.identity.verified, "verified");
    free_talk(&talk);
}

static void expect_end(const side_t *side, za_err_t err, bool goodbye, const char *problem)
{
    cr_assert(side->closed, "it did not end");
    cr_expect(side->err == err, "%s: %s", za_err_name(side->err), side->problem);
    cr_expect(side->goodbye == goodbye, "goodbye: %s", side->problem);
    cr_expect(strstr(side->problem, problem), "%s", side->problem);
    cr_expect(!side->established, "it was established");
}

Test(session, refuses_a_name_that_the_certificate_does_not_have)
{
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    talk_t talk = tls_talk("n9", ZA_ROLE_MEMBER, &client, &server, ZA_ROLE_MEMBER);
    run(&talk);
    expect_end(&talk.server, ZA_EAUTH, false, "name is not that of the certificate: it is n1");
    expect_end(&talk.client, ZA_EAUTH, true, "our certificate and Hello differ");
    free_talk(&talk);
}

Test(session, refuses_a_role_that_the_certificate_does_not_grant)
{
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    talk_t talk = tls_talk("n1", ZA_ROLE_CLIENT | ZA_ROLE_ADMIN, &client, &server, ZA_ROLE_MEMBER);
    run(&talk);
    expect_end(&talk.server, ZA_EDENIED, false, "does not grant the announced role");
    expect_end(&talk.client, ZA_EDENIED, true, "it does not let us in");
    free_talk(&talk);

    talk = tls_talk("n1", ZA_ROLE_MEMBER, &client, &server, ZA_ROLE_CLIENT);
    run(&talk);
    expect_end(&talk.client, ZA_EDENIED, false, "does not grant the announced role");
    free_talk(&talk);
}

Test(session, tells_why_tls_failed)
{
    za_pki_pair_t ours = make_authority("prod");
    za_pki_pair_t foreign = make_authority("prod");
    za_tls_t *client_tls = tls_of(&foreign, "n1", ZA_ROLE_MEMBER);
    za_tls_t *server_tls = tls_of(&ours, "n2", ZA_ROLE_MEMBER);
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    talk_t talk =
        make_talk(&client, za_tls_factory(client_tls), &server, za_tls_factory(server_tls), 3);
    run(&talk);
    expect_end(&talk.client, ZA_EAUTH, false, "not of our authority: zactor://prod/n2");
    expect_end(&talk.server, ZA_EAUTH, false, "not of its authority");
    free_talk(&talk);
    za_tls_destroy(client_tls);
    za_tls_destroy(server_tls);
}

Test(session, refuses_another_cluster)
{
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    client.cluster = "test";
    talk_t talk = make_talk(&client, za_plain_factory(), &server, za_plain_factory(), 5);
    run(&talk);
    expect_end(&talk.client, ZA_ECLUSTER, false, "another cluster: it is n2 of prod");
    expect_end(&talk.server, ZA_ECLUSTER, true, "another cluster");
    free_talk(&talk);

    client = config_of("n1", 11);
    client.cluster_id = 1;
    server.cluster_id = 2;
    talk = make_talk(&client, za_plain_factory(), &server, za_plain_factory(), 5);
    run(&talk);
    expect_end(&talk.client, ZA_ECLUSTER, false, "another cluster");
    free_talk(&talk);
}

Test(session, refuses_another_process_than_the_wanted_one)
{
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    client.wanted_uid = 23;
    talk_t talk = make_talk(&client, za_plain_factory(), &server, za_plain_factory(), 5);
    run(&talk);
    expect_end(&talk.client, ZA_ENOENT, false, "another process than the wanted one");
    expect_end(&talk.server, ZA_ENOENT, true, "not whom it expected");
    free_talk(&talk);
}

/** The server of a talk, given bytes of our own making. */
static side_t server_given(const uint8_t *bytes, size_t size)
{
    talk_t talk = plain_talk(21);
    push_all(&talk, &talk.server, bytes, size);
    take_events(&talk, &talk.server);
    side_t server = talk.server;
    free_talk(&talk);
    return server;
}

static size_t hello_frame(const za_hello_t *hello, uint8_t *out)
{
    uint8_t bytes[ZA_GREETING_BYTES_MAX];
    size_t size = za_hello_encode(hello, bytes);
    size_t head = za_frame_header_encode(ZA_FRAME_HELLO, ZA_LANE_CONTROL, size, out, 4);
    memcpy(out + head, bytes, size);
    return head + size;
}

Test(session, refuses_to_be_taken_for_another_process)
{
    uint8_t bytes[1024];
    za_hello_t hello = { .version_min = 1,
                         .version_max = 1,
                         .cluster = "prod",
                         .name = "n1",
                         .address = "a:1",
                         .from = 11,
                         .to = 23,
                         .role = ZA_ROLE_MEMBER };
    side_t server = server_given(bytes, hello_frame(&hello, bytes));
    expect_end(&server, ZA_ENOENT, false, "another process than the wanted one");
    hello.to = 22;
    hello.draining = true;
    server = server_given(bytes, hello_frame(&hello, bytes));
    cr_expect(server.established && server.peer.draining, "%s", server.problem);
}

// Whoever listens as a client would only collect what others say.
Test(session, connects_to_members_only)
{
    uint8_t bytes[1024];
    za_hello_t hello = {
        .version_min = 1, .version_max = 1, .cluster = "prod", .name = "n2", .role = ZA_ROLE_CLIENT
    };
    talk_t talk = plain_talk(21);
    take_events(&talk, &talk.client);
    push_all(&talk, &talk.client, bytes, hello_frame(&hello, bytes));
    take_events(&talk, &talk.client);
    expect_end(&talk.client, ZA_EDENIED, false, "only members take connections");
    free_talk(&talk);
}

Test(session, keeps_administration_out_of_members_connections)
{
    static const uint8_t frame[] = { 2, ZA_FRAME_ADMIN, 0 };
    talk_t talk = plain_talk(22);
    run(&talk);
    cr_expect(za_session_put_frame(talk.client.session, ZA_FRAME_ADMIN, ZA_LANE_CONTROL, frame,
                                   1) == ZA_EINVAL,
              "put");
    push_all(&talk, &talk.server, frame, sizeof frame);
    take_events(&talk, &talk.server);
    cr_assert(talk.server.closed && talk.server.err == ZA_EPROTO, "%s", talk.server.problem);
    free_talk(&talk);
}

Test(session, passes_on_a_refusal_of_its_own_side)
{
    for (int who = 0; who < 2; who++) {
        talk_t talk = plain_talk(9);
        side_t *refuser = who == 0 ? &talk.client : &talk.server;
        side_t *refused = who == 0 ? &talk.server : &talk.client;
        refuser->refuse = true;
        run(&talk);
        expect_end(refuser, ZA_EEXIST, false, "there is a link already");
        expect_end(refused, ZA_EEXIST, true, "another connection stays: there is a link already");
        cr_expect(refused->reason == ZA_GOODBYE_REPLACED, "reason");
        free_talk(&talk);
    }
}

Test(session, refuses_a_foreign_version)
{
    uint8_t bytes[1024];
    za_hello_t hello = { .version_min = ZA_PROTOCOL_VERSION_MAX + 1,
                         .version_max = ZA_PROTOCOL_VERSION_MAX + 3,
                         .cluster = "prod",
                         .name = "n1",
                         .address = "a:1",
                         .from = 11,
                         .role = ZA_ROLE_MEMBER };
    side_t server = server_given(bytes, hello_frame(&hello, bytes));
    expect_end(&server, ZA_EVERSION, false, "no common protocol version");
    hello.version_min = 1; // a newer one that still speaks ours
    server = server_given(bytes, hello_frame(&hello, bytes));
    cr_expect(server.established && server.peer.version == ZA_PROTOCOL_VERSION_MAX, "%s",
              server.problem);
}

Test(session, refuses_hellos_that_make_no_sense)
{
    uint8_t bytes[1024];
    const za_hello_t good = { .version_min = 1,
                              .version_max = 1,
                              .cluster = "prod",
                              .name = "n1",
                              .address = "a:1",
                              .from = 11,
                              .role = ZA_ROLE_MEMBER };
    za_hello_t bad[7] = { good, good, good, good, good, good, good };
    bad[0].from = 0;
    bad[1].address[0] = '\0';
    strcpy(bad[2].name, "a b");
    strcpy(bad[3].address, "a\n:1");
    bad[4].version_min = 0;
    strcpy(bad[5].cluster, "");
    bad[6].from = ZA_NODE_NAMED; // which stands for names in references
    for (int i = 0; i < 7; i++) {
        side_t server = server_given(bytes, hello_frame(&bad[i], bytes));
        expect_end(&server, ZA_EPROTO, false, "first frame is no Hello");
    }
    side_t server = server_given(bytes, hello_frame(&good, bytes));
    cr_expect(server.established, "%s", server.problem);
}

Test(session, holds_little_before_a_hello)
{
    static const uint8_t long_frame[] = { 0xff, 0x7f, ZA_FRAME_HELLO };
    uint8_t bytes[2000] = { 0 };
    memcpy(bytes, long_frame, sizeof long_frame);
    side_t server = server_given(bytes, sizeof bytes);
    expect_end(&server, ZA_EPROTO, false, "first frame is too long");
    memset(bytes, 0xff, sizeof bytes);
    server = server_given(bytes, sizeof bytes);
    expect_end(&server, ZA_EPROTO, false, "no frame");
    uint8_t message[] = { 3, ZA_FRAME_CONTROL, 1, 2 };
    server = server_given(message, sizeof message);
    expect_end(&server, ZA_EPROTO, false, "no Hello");
}

Test(session, waits_only_so_long)
{
    za_pki_pair_t authority = make_authority("prod");
    za_tls_t *tls = tls_of(&authority, "n1", ZA_ROLE_MEMBER);
    za_session_config_t config = config_of("n1", 11);
    talk_t talk = make_talk(&config, za_tls_factory(tls), &config, za_plain_factory(), 1);
    take_events(&talk, &talk.client);
    cr_assert(za_session_deadline_ms(talk.client.session) == 1000 + ZA_HANDSHAKE_TIMEOUT_MS, "due");
    talk.now_ms += ZA_HANDSHAKE_TIMEOUT_MS - 1;
    take_events(&talk, &talk.client);
    cr_assert(!talk.client.closed, "too early");
    talk.now_ms++;
    take_events(&talk, &talk.client);
    expect_end(&talk.client, ZA_ETIMEOUT, false, "handshake in 10 s");
    free_talk(&talk);
    za_tls_destroy(tls);

    talk = plain_talk(1);
    take_events(&talk, &talk.server);
    cr_assert(za_session_deadline_ms(talk.server.session) == 1000 + ZA_HELLO_TIMEOUT_MS, "due");
    talk.now_ms += ZA_HELLO_TIMEOUT_MS;
    take_events(&talk, &talk.server);
    expect_end(&talk.server, ZA_ETIMEOUT, false, "greeting in 5 s");
    free_talk(&talk);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static uint8_t body[BODY_BYTES_MAX];

static void fill_body(void)
{
    za_rng_t rng;
    za_rng_init(&rng, 99);
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (uint8_t)za_rng_next(&rng);
    }
}

/** Puts random messages and frames, keeping the hash that the other end must come to. */
static uint64_t put_random(talk_t *talk, za_session_t *from, uint64_t hash, uint32_t *messages,
                           uint32_t *frames)
{
    uint64_t what = za_rng_below(&talk->rng, 4);
    uint64_t small = za_rng_below(&talk->rng, 200);
    uint64_t large = za_rng_below(&talk->rng, ZA_MESSAGE_INLINE_BYTES_MAX);
    uint64_t target = 1 + za_rng_below(&talk->rng, 5);
    uint32_t size = (uint32_t)(what == 3 ? large : small);
    za_err_t err;
    if (what == 0) {
        err = za_session_put_frame(from, ZA_FRAME_CONTROL, ZA_LANE_CONTROL, body, size);
    } else {
        za_wire_message_t message = {
            .lane = ZA_LANE_USER, .target = target, .type_id = 77, .body = body, .size = size
        };
        err = za_session_put_message(from, &message);
    }
    if (err == ZA_ENOBUFS) {
        return hash;
    }
    cr_assert(err == ZA_OK, "%s", za_err_name(err));
    if (what == 0) {
        ++*frames;
    } else {
        ++*messages;
        hash = za_fnv64(hash, &target, sizeof target);
    }
    return za_fnv64(hash, body, size);
}

static void exchange(talk_t *talk, int rounds, bool rests)
{
    side_t *sides[2] = { &talk->client, &talk->server };
    uint64_t hashes[2] = { 0, 0 };
    uint32_t messages[2] = { 0, 0 };
    uint32_t frames[2] = { 0, 0 };
    run(talk);
    cr_assert(talk->client.established && talk->server.established, "%s / %s", talk->client.problem,
              talk->server.problem);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < 2; i++) {
            hashes[i] = put_random(talk, sides[i]->session, hashes[i], &messages[i], &frames[i]);
            if (za_rng_below(&talk->rng, 3) == 0) {
                za_session_flush(sides[i]->session);
            }
            carry_bytes(talk, sides[i], sides[1 - i]);
            take_events(talk, sides[1 - i]);
            if (rests) {
                za_session_rest(sides[i]->session);
            }
        }
    }
    za_session_flush(talk->client.session);
    za_session_flush(talk->server.session);
    run(talk);
    for (int i = 0; i < 2; i++) {
        const side_t *to = sides[1 - i];
        cr_assert(!to->closed, "%s", to->problem);
        cr_expect(to->messages == messages[i] && to->frames == frames[i], "%u of %u, %u of %u",
                  to->messages, messages[i], to->frames, frames[i]);
        cr_expect(to->hash == hashes[i], "something else came");
        cr_expect(messages[i] > 100 && frames[i] > 30, "too few were put");
    }
}

Test(session, carries_frames_in_order)
{
    fill_body();
    for (uint64_t seed = 1; seed <= 4; seed++) {
        talk_t talk = plain_talk(seed);
        exchange(&talk, 1500, false);
        free_talk(&talk);
    }
}

Test(session, carries_frames_in_order_over_tls)
{
    fill_body();
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    talk_t talk = tls_talk("n1", ZA_ROLE_MEMBER, &client, &server, ZA_ROLE_MEMBER);
    exchange(&talk, 1500, false);
    free_talk(&talk);
}

// It may come at any moment, in the middle of a frame and of a record as well.
Test(session, loses_nothing_when_it_rests)
{
    fill_body();
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    talk_t talk = tls_talk("n1", ZA_ROLE_MEMBER, &client, &server, ZA_ROLE_MEMBER);
    exchange(&talk, 1500, true);
    free_talk(&talk);
}

Test(session, carries_a_large_message_in_chunks)
{
    static uint8_t large[ZA_MESSAGE_BYTES_MAX];
    talk_t talk = plain_talk(5);
    run(&talk);
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = (uint8_t)(i * 7 + i / 251);
    }
    za_wire_message_t message = {
        .lane = ZA_LANE_BULK, .target = 4, .type_id = 5, .size = sizeof large
    };
    cr_assert(za_session_put_bulk_begin(talk.client.session, &message) == ZA_OK, "begin");
    cr_expect(za_session_put_bulk_begin(talk.client.session, &message) == ZA_EINVAL, "two at once");
    size_t sent = 0;
    while (sent < sizeof large) {
        size_t size =
            sizeof large - sent < ZA_CHUNK_BYTES_MAX ? sizeof large - sent : ZA_CHUNK_BYTES_MAX;
        za_err_t err = za_session_put_bulk_chunk(talk.client.session, large + sent, size);
        if (err == ZA_OK) {
            sent += size;
        } else {
            cr_assert(err == ZA_ENOBUFS, "%s", za_err_name(err));
        }
        carry_bytes(&talk, &talk.client, &talk.server);
    }
    za_session_flush(talk.client.session);
    run(&talk);
    cr_expect(za_session_put_bulk_chunk(talk.client.session, large, 1) == ZA_EINVAL,
              "one too many");
    cr_assert(talk.server.bulk_done, "%s", talk.server.problem);
    cr_expect(memcmp(talk.server.bulk, large, sizeof large) == 0, "bytes differ");
    free(talk.server.bulk);
    free_talk(&talk);
}

Test(session, has_no_room_while_a_record_waits)
{
    talk_t talk = plain_talk(5);
    run(&talk);
    uint64_t taken = 0;
    za_err_t err;
    while ((err = za_session_put_frame(talk.client.session, ZA_FRAME_CONTROL, ZA_LANE_CONTROL, body,
                                       60000)) == ZA_OK) {
        taken += 60000;
        cr_assert(taken < 1000000, "it takes without end");
    }
    cr_assert(err == ZA_ENOBUFS && za_session_room(talk.client.session) == 0, "%s",
              za_err_name(err));
    run(&talk);
    cr_assert(za_session_room(talk.client.session) == ZA_FRAME_PAYLOAD_BYTES_MAX, "room again");
    err = za_session_put_frame(talk.client.session, ZA_FRAME_CONTROL, ZA_LANE_CONTROL, body,
                               ZA_FRAME_PAYLOAD_BYTES_MAX + 1);
    cr_expect(err == ZA_ETOOBIG, "%s", za_err_name(err));
    za_session_flush(talk.client.session);
    run(&talk);
    cr_expect(talk.server.frames == taken / 60000, "%u", talk.server.frames);
    free_talk(&talk);
}

// What one turn put, however many frames, is one TLS record.
Test(session, flushes_into_one_record)
{
    za_session_config_t client = config_of("n1", 11);
    za_session_config_t server = config_of("n2", 22);
    talk_t talk = tls_talk("n1", ZA_ROLE_MEMBER, &client, &server, ZA_ROLE_MEMBER);
    run(&talk);
    uint8_t wire[2 * 16 * 1024];
    size_t size = 0;
    za_wire_message_t message = {
        .lane = ZA_LANE_USER, .target = 1, .type_id = 2, .body = body, .size = 30
    };
    for (int i = 0; i < 100; i++) {
        cr_assert(za_session_put_message(talk.client.session, &message) == ZA_OK, "put");
    }
    za_session_pull(talk.client.session, wire, sizeof wire, &size);
    cr_expect(size == 0, "nothing goes out before the flush");
    za_session_flush(talk.client.session);
    za_session_pull(talk.client.session, wire, sizeof wire, &size);
    cr_expect(size == (size_t)(wire[3] << 8 | wire[4]) + 5, "one record of %zu", size);
    cr_expect(size < 100 * 33 + 80, "three bytes a message within a run: %zu", size);
    push_all(&talk, &talk.server, wire, size);
    cr_expect(talk.server.messages == 100, "%u", talk.server.messages);
    free_talk(&talk);
}

Test(session, lets_administrators_administrate_and_nothing_else)
{
    za_session_config_t client = config_of("operator", 0);
    za_session_config_t server = config_of("n2", 22);
    client.role = ZA_ROLE_ADMIN;
    client.address = "";
    talk_t talk = tls_talk("operator", ZA_ROLE_ADMIN, &client, &server, ZA_ROLE_MEMBER);
    run(&talk);
    cr_assert(talk.server.established && talk.server.peer.role == ZA_ROLE_ADMIN, "%s",
              talk.server.problem);
    za_session_t *session = talk.client.session;
    cr_expect(za_session_put_frame(session, ZA_FRAME_CONTROL, ZA_LANE_CONTROL, body, 1) ==
                  ZA_EINVAL,
              "control");
    cr_assert(za_session_put_frame(session, ZA_FRAME_ADMIN, ZA_LANE_CONTROL, body, 9) == ZA_OK,
              "admin");
    za_session_flush(session);
    run(&talk);
    cr_expect(talk.server.last_kind == ZA_FRAME_ADMIN && talk.server.last_size == 9, "admin frame");
    free_talk(&talk);
}

Test(session, ends_at_frames_that_the_role_does_not_allow)
{
    static const uint8_t frames[][4] = {
        { 2, ZA_FRAME_CONTROL, 0 }, { 2, ZA_FRAME_SYSTEM, 0 },     { 2, ZA_FRAME_DATAGRAM, 0 },
        { 2, ZA_FRAME_MESSAGE, 0 }, { 2, ZA_FRAME_BULK_CHUNK, 0 }, { 2, ZA_FRAME_HELLO, 0 },
    };
    uint8_t bytes[1024];
    za_hello_t hello = { .version_min = 1,
                         .version_max = 1,
                         .cluster = "prod",
                         .name = "operator",
                         .role = ZA_ROLE_CLIENT };
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        size_t size = hello_frame(&hello, bytes);
        memcpy(bytes + size, frames[i], 3);
        side_t server = server_given(bytes, size + 3);
        cr_assert(server.closed && server.err == ZA_EPROTO, "frame %zu: %s", i, server.problem);
        cr_expect(strstr(server.problem, "role does not allow"), "%s", server.problem);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

Test(session, delivers_everything_before_a_goodbye)
{
    talk_t talk = plain_talk(31);
    run(&talk);
    for (int i = 0; i < 50; i++) {
        cr_assert(za_session_put_frame(talk.client.session, ZA_FRAME_SYSTEM, ZA_LANE_SYSTEM, body,
                                       300) == ZA_OK,
                  "put");
    }
    za_session_close(talk.client.session, ZA_GOODBYE_NORMAL, "leaving\n\x1b[31m");
    cr_expect(za_session_put_frame(talk.client.session, ZA_FRAME_SYSTEM, ZA_LANE_SYSTEM, body, 1) ==
                  ZA_ECLOSED,
              "after the goodbye");
    run(&talk);
    cr_expect(talk.server.frames == 50, "%u", talk.server.frames);
    cr_assert(talk.server.closed && talk.server.goodbye, "%s", talk.server.problem);
    cr_expect(talk.server.err == ZA_ECLOSED && talk.server.reason == ZA_GOODBYE_NORMAL, "reason");
    cr_expect(strstr(talk.server.problem, "leaving??[31m"), "%s", talk.server.problem);
    cr_expect(talk.client.closed && talk.client.err == ZA_ECLOSED, "%s", talk.client.problem);
    free_talk(&talk);
}

Test(session, delivers_everything_before_the_socket_ended)
{
    talk_t talk = plain_talk(33);
    run(&talk);
    uint8_t wire[4096];
    size_t size = 0;
    cr_assert(za_session_put_frame(talk.client.session, ZA_FRAME_SYSTEM, ZA_LANE_SYSTEM, body,
                                   300) == ZA_OK,
              "put");
    za_session_flush(talk.client.session);
    za_session_pull(talk.client.session, wire, sizeof wire, &size);
    size_t taken = 0;
    cr_assert(za_session_push(talk.server.session, wire, size, &taken) == ZA_OK && taken == size,
              "push");
    za_session_eof(talk.server.session, ZA_EREFUSED);
    take_events(&talk, &talk.server);
    cr_expect(talk.server.frames == 1, "%u", talk.server.frames);
    cr_assert(talk.server.closed && talk.server.err == ZA_EREFUSED, "%s", talk.server.problem);
    cr_expect(strcmp(talk.server.problem, "the peer reset the connection") == 0, "%s",
              talk.server.problem);
    free_talk(&talk);
}

Test(session, says_when_the_socket_ended)
{
    talk_t talk = plain_talk(33);
    take_events(&talk, &talk.server);
    za_session_eof(talk.server.session, ZA_ECLOSED);
    take_events(&talk, &talk.server);
    expect_end(&talk.server, ZA_ECLOSED, false, "closed the connection before it was established");
    free_talk(&talk);

    talk = plain_talk(34);
    run(&talk);
    uint8_t half[] = { 100, ZA_FRAME_SYSTEM, 1, 2, 3 };
    push_all(&talk, &talk.server, half, sizeof half);
    za_session_eof(talk.server.session, ZA_ECLOSED);
    take_events(&talk, &talk.server);
    cr_expect(strstr(talk.server.problem, "in the middle of a frame"), "%s", talk.server.problem);
    free_talk(&talk);
}

Test(session, passes_over_unknown_frames_and_ends_at_critical_ones)
{
    talk_t talk = plain_talk(35);
    run(&talk);
    uint8_t unknown[] = { 3, 0x1f, 1, 2, 2, ZA_FRAME_CONTROL, 9 };
    push_all(&talk, &talk.server, unknown, sizeof unknown);
    cr_expect(talk.server.frames == 1 && za_session_skipped(talk.server.session) == 1, "skipped");
    uint8_t critical[] = { 3, 0x9f, 1, 2 };
    push_all(&talk, &talk.server, critical, sizeof critical);
    take_events(&talk, &talk.server);
    cr_assert(talk.server.closed && talk.server.err == ZA_EPROTO, "%s", talk.server.problem);
    run(&talk);
    cr_assert(talk.client.closed && talk.client.reason == ZA_GOODBYE_PROTOCOL, "%s",
              talk.client.problem);
    free_talk(&talk);
}

Test(session, refuses_chunks_that_nothing_announced)
{
    talk_t talk = plain_talk(36);
    run(&talk);
    uint8_t chunk[16] = { 0 };
    size_t head = za_bulk_chunk_encode(ZA_LANE_BULK, 5, 3, chunk, sizeof chunk);
    push_all(&talk, &talk.server, chunk, head + 3);
    take_events(&talk, &talk.server);
    cr_assert(talk.server.closed && talk.server.err == ZA_EPROTO, "%s", talk.server.problem);
    cr_expect(strstr(talk.server.problem, "chunk of no large message"), "%s", talk.server.problem);
    free_talk(&talk);
}

Test(session, refuses_a_chunk_beyond_the_announced_size)
{
    talk_t talk = plain_talk(37);
    run(&talk);
    za_envelope_encoder_t encoder;
    za_envelope_encoder_init(&encoder);
    uint8_t bytes[256] = { 0 };
    za_wire_message_t begin = {
        .lane = ZA_LANE_BULK, .target = 1, .type_id = 2, .bulk = 5, .size = 4
    };
    size_t size = za_bulk_begin_encode(&encoder, &begin, bytes, sizeof bytes);
    size += za_bulk_chunk_encode(ZA_LANE_BULK, 5, 5, bytes + size, sizeof bytes - size);
    push_all(&talk, &talk.server, bytes, size + 5);
    take_events(&talk, &talk.server);
    cr_assert(talk.server.bulk_size == 4, "begin");
    cr_assert(talk.server.closed && talk.server.err == ZA_EPROTO, "%s", talk.server.problem);
    free(talk.server.bulk);
    free_talk(&talk);
}

Test(session, refuses_settings_that_make_no_sense)
{
    za_security_factory_t factory = za_plain_factory();
    za_session_t *session = NULL;
    za_session_config_t bad[5];
    for (int i = 0; i < 5; i++) {
        bad[i] = config_of("n1", 11);
    }
    bad[0].uid = 0;
    bad[1].name = "a b";
    bad[2].address = "";
    bad[3].role = ZA_ROLE_MEMBER | ZA_ROLE_ADMIN;
    bad[4].role = ZA_ROLE_CLIENT; // takes no connections
    for (int i = 0; i < 5; i++) {
        cr_expect(za_session_create(&bad[i], &factory, ZA_SIDE_SERVER, 0, &session) == ZA_EINVAL,
                  "%d", i);
    }
}
