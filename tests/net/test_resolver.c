#include "net/resolver.h"

#include <time.h>

#include "dns_server.h"

enum { TIMEOUT_MS = 150, WAIT_MS = 20000 };

static const za_transport_events_t no_events;

typedef struct world {
    dns_server_t server;
    za_loop_t *loop;
    za_resolver_t *resolver;
    uint32_t answers;
    za_err_t err;
    char problem[256];
    uint32_t count;
    char addresses[ZA_RESOLVER_ADDRESSES_MAX][ZA_ADDRESS_BYTES_MAX + 1];
} world_t;

static void make_world(world_t *world, const dns_record_t *records, uint32_t count)
{
    memset(world, 0, sizeof *world);
    world->server = dns_open(records, count);
    cr_assert(za_loop_create(&no_events, &world->loop) == ZA_OK, "loop");
    za_resolver_config_t config = { .servers = world->server.address, .timeout_ms = TIMEOUT_MS };
    cr_assert(za_resolver_create(world->loop, &config, &world->resolver) == ZA_OK, "resolver");
}

static void free_world(world_t *world)
{
    za_resolver_destroy(world->resolver);
    za_loop_destroy(world->loop);
    dns_close(&world->server);
}

static void on_answer(void *context, const za_resolver_answer_t *answer)
{
    world_t *world = context;
    world->answers++;
    world->err = answer->err;
    world->count = answer->count;
    snprintf(world->problem, sizeof world->problem, "%s", answer->problem);
    memcpy(world->addresses, answer->addresses, answer->count * sizeof world->addresses[0]);
}

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/** Runs loop and server until there are so many answers. */
static void run_until(world_t *world, uint32_t answers)
{
    uint64_t end_ms = clock_ms() + WAIT_MS;
    while (world->answers < answers && clock_ms() < end_ms) {
        za_loop_poll(world->loop, 5 * 1000 * 1000);
        dns_serve(&world->server);
    }
    cr_assert(world->answers == answers, "%u answers of %u", world->answers, answers);
}

static void ask(world_t *world, za_resolver_kind_t kind, const char *name, uint16_t port)
{
    uint32_t before = world->answers;
    za_err_t err = za_resolver_ask(world->resolver, kind, name, port, on_answer, world);
    cr_assert(err == ZA_OK, "%s", za_err_name(err));
    cr_assert(world->answers == before, "an answer from inside the call");
    run_until(world, before + 1);
}

static bool has(const world_t *world, const char *address)
{
    for (uint32_t i = 0; i < world->count; i++) {
        if (strcmp(world->addresses[i], address) == 0) {
            return true;
        }
    }
    return false;
}

static const dns_record_t records[] = {
    { "nodes.example", DNS_A, "10.0.0.1", 0 },
    { "nodes.example", DNS_A, "10.0.0.2", 0 },
    { "nodes.example", DNS_AAAA, "fd00::3", 0 },
    { "_zactor._tcp.nodes.example", DNS_SRV, "a.example", 7001 },
    { "_zactor._tcp.nodes.example", DNS_SRV, "b.example", 7002 },
    { "_zactor._tcp.nodes.example", DNS_SRV, "gone.example", 7003 },
    { "a.example", DNS_A, "10.0.1.1", 0 },
    { "b.example", DNS_A, "10.0.1.2", 0 },
    { "b.example", DNS_A, "10.0.1.3", 0 },
    { "_none._tcp.example", DNS_SRV, "gone.example", 7003 },
};
enum { RECORDS = sizeof records / sizeof records[0] };

Test(resolver, tells_all_addresses_of_a_host)
{
    world_t world;
    make_world(&world, records, RECORDS);
    ask(&world, ZA_RESOLVER_HOST, "nodes.example", 7464);
    cr_assert(world.err == ZA_OK && world.count == 3, "%s, %u", world.problem, world.count);
    cr_assert(has(&world, "10.0.0.1:7464") && has(&world, "10.0.0.2:7464") &&
                  has(&world, "[fd00::3]:7464"),
              "%s", world.addresses[0]);
    free_world(&world);
}

// A target that is gone, as of a pod that ends, takes no other away.
Test(resolver, tells_all_targets_of_a_service_with_their_ports)
{
    world_t world;
    make_world(&world, records, RECORDS);
    ask(&world, ZA_RESOLVER_SERVICE, "_zactor._tcp.nodes.example", 0);
    cr_assert(world.err == ZA_OK && world.count == 3, "%s, %u", world.problem, world.count);
    cr_assert(has(&world, "10.0.1.1:7001") && has(&world, "10.0.1.2:7002") &&
                  has(&world, "10.0.1.3:7002"),
              "%s", world.addresses[0]);
    free_world(&world);
}

Test(resolver, says_that_there_is_no_such_name)
{
    world_t world;
    make_world(&world, records, RECORDS);
    static const struct {
        za_resolver_kind_t kind;
        const char *name;
    } names[] = { { ZA_RESOLVER_HOST, "missing.example" },
                  { ZA_RESOLVER_HOST, "_zactor._tcp.nodes.example" }, // a name, but no host
                  { ZA_RESOLVER_SERVICE, "_missing._tcp.example" },
                  { ZA_RESOLVER_SERVICE, "_none._tcp.example" } };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ask(&world, names[i].kind, names[i].name, 1);
        cr_assert(world.err == ZA_ENOENT && world.count == 0, "%s: %s", names[i].name,
                  za_err_name(world.err));
        cr_assert(strstr(world.problem, names[i].name) != NULL, "%s", world.problem);
    }
    free_world(&world);
}

Test(resolver, says_that_no_server_answers)
{
    world_t world;
    make_world(&world, records, RECORDS);
    world.server.silent = true;
    ask(&world, ZA_RESOLVER_HOST, "nodes.example", 1);
    cr_assert(world.err == ZA_ETIMEOUT, "%s: %s", za_err_name(world.err), world.problem);
    cr_assert(world.server.questions >= 2, "it was asked once only");
    world.server.silent = false;
    ask(&world, ZA_RESOLVER_HOST, "nodes.example", 1);
    cr_assert(world.err == ZA_OK && world.count == 3, "it does not ask again");
    free_world(&world);
}

Test(resolver, asks_the_server_each_time)
{
    world_t world;
    static dns_record_t changing[] = { { "nodes.example", DNS_A, "10.0.0.1", 0 } };
    make_world(&world, changing, 1);
    ask(&world, ZA_RESOLVER_HOST, "nodes.example", 1);
    cr_assert(has(&world, "10.0.0.1:1"), "%s", world.problem);
    changing[0].value = "10.0.0.9";
    ask(&world, ZA_RESOLVER_HOST, "nodes.example", 1);
    cr_assert(has(&world, "10.0.0.9:1") && world.count == 1, "an old answer was kept");
    free_world(&world);
}

Test(resolver, answers_many_questions_at_a_time_and_refuses_more)
{
    world_t world;
    make_world(&world, records, RECORDS);
    for (uint32_t i = 0; i < ZA_RESOLVER_QUESTIONS_MAX; i++) {
        cr_assert(za_resolver_ask(world.resolver, ZA_RESOLVER_HOST, "nodes.example", 1, on_answer,
                                  &world) == ZA_OK,
                  "question %u", i);
    }
    cr_assert(za_resolver_ask(world.resolver, ZA_RESOLVER_HOST, "nodes.example", 1, on_answer,
                              &world) == ZA_EFULL,
              "one too many");
    run_until(&world, ZA_RESOLVER_QUESTIONS_MAX);
    ask(&world, ZA_RESOLVER_HOST, "nodes.example", 1);
    free_world(&world);
}

static void ask_again(void *context, const za_resolver_answer_t *answer)
{
    world_t *world = context;
    cr_assert(answer->err == ZA_OK, "%s", answer->problem);
    if (++world->answers < 5) {
        za_resolver_kind_t kind = world->answers % 2 == 1 ? ZA_RESOLVER_SERVICE : ZA_RESOLVER_HOST;
        const char *name =
            kind == ZA_RESOLVER_HOST ? "nodes.example" : "_zactor._tcp.nodes.example";
        cr_assert(za_resolver_ask(world->resolver, kind, name, 1, ask_again, world) == ZA_OK,
                  "ask");
    }
}

Test(resolver, can_be_asked_from_an_answer)
{
    world_t world;
    make_world(&world, records, RECORDS);
    cr_assert(za_resolver_ask(world.resolver, ZA_RESOLVER_HOST, "nodes.example", 1, ask_again,
                              &world) == ZA_OK,
              "ask");
    run_until(&world, 5);
    free_world(&world);
}

Test(resolver, ends_with_questions_open_and_answers_none_of_them)
{
    for (uint32_t polls = 0; polls < 4; polls++) {
        world_t world;
        make_world(&world, records, RECORDS);
        world.server.silent = true;
        for (int i = 0; i < 3; i++) {
            cr_assert(za_resolver_ask(world.resolver,
                                      i == 0 ? ZA_RESOLVER_SERVICE : ZA_RESOLVER_HOST,
                                      "nodes.example", 1, on_answer, &world) == ZA_OK,
                      "ask");
        }
        for (uint32_t i = 0; i < polls; i++) {
            za_loop_poll(world.loop, 0);
            dns_serve(&world.server);
        }
        free_world(&world);
        cr_assert(world.answers == 0, "an answer at the end");
    }
}

Test(resolver, refuses_names_and_servers_that_are_none)
{
    world_t world;
    make_world(&world, records, RECORDS);
    static const char *const names[] = { "", "a b", "a/b", "a:1" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cr_assert(za_resolver_ask(world.resolver, ZA_RESOLVER_HOST, names[i], 1, on_answer,
                                  &world) == ZA_EINVAL,
                  "\"%s\"", names[i]);
    }
    za_resolver_t *other = NULL;
    za_resolver_config_t config = { .servers = "no server at all", .timeout_ms = TIMEOUT_MS };
    cr_assert(za_resolver_create(world.loop, &config, &other) == ZA_EINVAL && other == NULL,
              "servers");
    free_world(&world);
}
