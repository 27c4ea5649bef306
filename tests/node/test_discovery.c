// Discovery as a state machine: the answers are the test's, and so is the time.
#include "node/discovery.h"

#include <zactor/actor.h>

#include "cluster/cluster.h"
#include "support/za_test.h"

enum { JOINING_MS = 1000, JOINED_MS = 30000, LOG_MAX = 16, LIST_BYTES = 4096 };

typedef struct world {
    za_discovery_t *discovery;
    uint64_t now_ms;
    bool joined;
    za_err_t refuse; // what resolve and read answer
    uint32_t asked[ZA_DISCOVERY_SOURCES_MAX];
    za_seed_t seeds[ZA_DISCOVERY_SOURCES_MAX];
    char paths[ZA_DISCOVERY_SOURCES_MAX][ZA_SEED_BYTES_MAX + 1];
    uint32_t told;
    char list[LIST_BYTES];
    bool may_found;
    uint32_t lines;
    char log[LOG_MAX][512];
} world_t;

static za_err_t resolve(void *context, uint32_t source, const za_seed_t *seed)
{
    world_t *world = context;
    world->asked[source]++;
    world->seeds[source] = *seed;
    return world->refuse;
}

static za_err_t read_file(void *context, uint32_t source, const char *path)
{
    world_t *world = context;
    world->asked[source]++;
    strcpy(world->paths[source], path);
    return world->refuse;
}

static void take_seeds(void *context, const char *list, uint32_t size, bool may_found)
{
    world_t *world = context;
    world->told++;
    world->may_found = may_found;
    snprintf(world->list, sizeof world->list, "%.*s", (int)size, list);
}

static void take_log(void *context, int level, const char *text)
{
    world_t *world = context;
    (void)level;
    if (world->lines < LOG_MAX) {
        snprintf(world->log[world->lines++], sizeof world->log[0], "%s", text);
    }
}

static const za_discovery_ops_t ops = { resolve, read_file, take_seeds, take_log };

static void make_world(world_t *world, const char *own, uint32_t count, const char *const *seeds)
{
    memset(world, 0, sizeof *world);
    world->now_ms = 5000;
    za_discovery_config_t config = { .seeds = seeds,
                                     .seed_count = count,
                                     .own = own,
                                     .joining_ms = JOINING_MS,
                                     .joined_ms = JOINED_MS,
                                     .ops = &ops,
                                     .context = world };
    za_err_t err = za_discovery_create(&config, world->now_ms, &world->discovery);
    cr_assert(err == ZA_OK, "%s", za_err_name(err));
    za_discovery_tick(world->discovery, world->now_ms, false);
}

static void pass(world_t *world, uint64_t ms)
{
    world->now_ms += ms;
    za_discovery_tick(world->discovery, world->now_ms, world->joined);
}

/** An answer of DNS: addresses separated by spaces. */
static void answer(world_t *world, uint32_t source, const char *addresses)
{
    static char room[ZA_DISCOVERY_ADDRESSES_MAX + 9][ZA_ADDRESS_BYTES_MAX + 1];
    uint32_t count = 0;
    while (*addresses != '\0') {
        size_t size = strcspn(addresses, " ");
        snprintf(room[count++], sizeof room[0], "%.*s", (int)size, addresses);
        addresses += size + (addresses[size] == ' ');
    }
    za_discovery_answer(world->discovery, source, world->now_ms, ZA_OK, "", room, count);
}

static void fail(world_t *world, uint32_t source, za_err_t err, const char *problem)
{
    za_discovery_answer(world->discovery, source, world->now_ms, err, problem, NULL, 0);
}

static void file(world_t *world, uint32_t source, const char *text)
{
    za_discovery_file(world->discovery, source, world->now_ms, ZA_OK, "", text,
                      (uint32_t)strlen(text));
}

static za_discovery_counters_t counters(const world_t *world)
{
    za_discovery_counters_t found;
    za_discovery_counters(world->discovery, &found);
    return found;
}

Test(discovery, tells_seeds_of_four_kinds_apart)
{
    static const struct {
        const char *text;
        int kind; // -1: none
        const char *rest;
        uint16_t port;
    } cases[] = {
        { "10.0.0.1:7464", ZA_SEED_ADDRESS, "10.0.0.1:7464", 0 },
        { "[fd00::1]:7464", ZA_SEED_ADDRESS, "[fd00::1]:7464", 0 },
        { "alpha.example:7464", ZA_SEED_ADDRESS, "alpha.example:7464", 0 },
        { "dns://zactor.default.svc:7464", ZA_SEED_HOST, "zactor.default.svc", 7464 },
        { "srv://_zactor._tcp.zactor.default.svc", ZA_SEED_SERVICE,
          "_zactor._tcp.zactor.default.svc", 0 },
        { "file:///etc/zactor/seeds", ZA_SEED_FILE, "/etc/zactor/seeds", 0 },
        { "", -1, "", 0 },
        { "dns://", -1, "", 0 },
        { "dns://name", -1, "", 0 },
        { "dns://name:0", -1, "", 0 },
        { "dns://na me:1", -1, "", 0 },
        { "dns://[fd00::1]:1", -1, "", 0 },
        { "srv://name", -1, "", 0 },
        { "srv://_name._tcp:7464", -1, "", 0 },
        { "file://relative", -1, "", 0 },
        { "http://name:80", -1, "", 0 },
        { "name", -1, "", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        za_seed_t seed;
        bool valid = za_seed_parse(cases[i].text, &seed);
        cr_assert(valid == (cases[i].kind >= 0), "%s", cases[i].text);
        cr_assert(!valid || ((int)seed.kind == cases[i].kind &&
                             strcmp(seed.text, cases[i].rest) == 0 && seed.port == cases[i].port),
                  "%s: %s", cases[i].text, seed.text);
    }
}

Test(discovery, asks_all_sources_at_once_and_tells_what_all_of_them_say)
{
    world_t world;
    make_world(&world, "10.0.0.9:1", 4,
               (const char *const[]){ "10.0.0.1:1", "dns://nodes:1", "srv://_a._tcp.nodes",
                                      "file:///seeds" });
    cr_assert(world.asked[0] == 1 && world.asked[1] == 1 && world.asked[2] == 1, "not all");
    cr_assert(world.seeds[0].kind == ZA_SEED_HOST && world.seeds[0].port == 1, "the host");
    cr_assert(world.seeds[1].kind == ZA_SEED_SERVICE && strcmp(world.paths[2], "/seeds") == 0,
              "the others");
    answer(&world, 0, "10.0.0.3:1 10.0.0.2:1");
    cr_assert_str_eq(world.list, "10.0.0.1:1\n10.0.0.2:1\n10.0.0.3:1\n");
    answer(&world, 1, "10.0.0.3:1 10.0.0.4:1"); // one is known already
    file(&world, 2, "10.0.0.5:1\n");
    cr_assert_str_eq(world.list, "10.0.0.1:1\n10.0.0.2:1\n10.0.0.3:1\n10.0.0.4:1\n10.0.0.5:1\n");
    cr_assert(counters(&world).addresses == 4 && counters(&world).lookups == 3, "counted");
    za_discovery_destroy(world.discovery);
}

Test(discovery, asks_each_second_until_it_is_a_member_and_then_rarely)
{
    world_t world;
    make_world(&world, "10.0.0.9:1", 1, (const char *const[]){ "dns://nodes:1" });
    cr_assert(za_discovery_deadline_ms(world.discovery) == UINT64_MAX, "while it is asking");
    pass(&world, 10 * JOINING_MS);
    cr_assert(world.asked[0] == 1, "a question beside one that is open");
    answer(&world, 0, "10.0.0.1:1");
    cr_assert(za_discovery_deadline_ms(world.discovery) == world.now_ms + JOINING_MS, "deadline");
    pass(&world, JOINING_MS - 1);
    cr_assert(world.asked[0] == 1, "too early");
    pass(&world, 1);
    cr_assert(world.asked[0] == 2, "too late");
    world.joined = true;
    pass(&world, 1);
    answer(&world, 0, "10.0.0.1:1");
    pass(&world, JOINED_MS - 1);
    cr_assert(world.asked[0] == 2, "too early for a member");
    pass(&world, 1);
    cr_assert(world.asked[0] == 3, "too late for a member");
    answer(&world, 0, "10.0.0.1:1");
    world.joined = false; // reborn
    pass(&world, 1);
    cr_assert(world.asked[0] == 4, "a node that must join again cannot wait");
    za_discovery_destroy(world.discovery);
}

Test(discovery, looks_at_a_file_every_five_seconds_also_as_a_member)
{
    world_t world;
    make_world(&world, "10.0.0.9:1", 1, (const char *const[]){ "file:///seeds" });
    world.joined = true;
    pass(&world, 1);
    file(&world, 0, "10.0.0.1:1");
    pass(&world, 4999);
    cr_assert(world.asked[0] == 1, "too early");
    pass(&world, 1);
    cr_assert(world.asked[0] == 2, "too late");
    file(&world, 0, "10.0.0.1:1\n10.0.0.2:1");
    cr_assert_str_eq(world.list, "10.0.0.1:1\n10.0.0.2:1\n");
    za_discovery_destroy(world.discovery);
}

Test(discovery, tells_only_what_is_new)
{
    world_t world;
    make_world(&world, "10.0.0.9:1", 1, (const char *const[]){ "dns://nodes:1" });
    answer(&world, 0, "10.0.0.1:1 10.0.0.2:1");
    pass(&world, JOINING_MS);
    answer(&world, 0, "10.0.0.2:1 10.0.0.1:1"); // name servers turn them around
    cr_assert(world.told == 1 && world.lines == 2, "%u, %u: %s", world.told, world.lines,
              world.log[world.lines - 1]); // and that our own is not among them
    pass(&world, JOINING_MS);
    answer(&world, 0, "10.0.0.2:1");
    cr_assert(world.told == 2, "not told");
    cr_assert_str_eq(world.list, "10.0.0.2:1\n");
    za_discovery_destroy(world.discovery);
}

Test(discovery, keeps_what_it_knows_while_a_source_fails_and_says_so_once)
{
    world_t world;
    make_world(&world, "10.0.0.1:1", 1, (const char *const[]){ "dns://nodes:1" });
    answer(&world, 0, "10.0.0.1:1 10.0.0.2:1");
    uint32_t lines = world.lines;
    for (int i = 0; i < 3; i++) {
        pass(&world, JOINING_MS);
        fail(&world, 0, ZA_ETIMEOUT, "nodes: no answer");
    }
    cr_assert(world.lines == lines + 1 && strstr(world.log[lines], "no answer") != NULL, "%s",
              world.log[lines]);
    cr_assert(strstr(world.log[lines], "dns://nodes:1") != NULL, "%s", world.log[lines]);
    cr_assert(counters(&world).failures == 3 && counters(&world).addresses == 2, "counted");
    pass(&world, JOINING_MS);
    answer(&world, 0, "10.0.0.1:1 10.0.0.2:1");
    cr_assert(world.lines == lines + 2, "that it works again is worth a line");
    cr_assert(world.told == 1, "nothing had changed");
    za_discovery_destroy(world.discovery);
}

Test(discovery, takes_a_question_that_cannot_be_asked_for_a_failure)
{
    world_t world;
    make_world(&world, "10.0.0.1:1", 2, (const char *const[]){ "dns://nodes:1", "file:///seeds" });
    answer(&world, 0, "10.0.0.1:1");
    file(&world, 1, "");
    world.refuse = ZA_ENOMEM;
    pass(&world, JOINING_MS);
    cr_assert(counters(&world).failures == 2, "%d", (int)counters(&world).failures);
    world.refuse = ZA_OK;
    pass(&world, JOINING_MS);
    cr_assert(world.asked[0] == 3 && world.asked[1] == 3, "not asked again");
    za_discovery_destroy(world.discovery);
}

Test(discovery, lets_only_the_first_of_those_that_are_found_found_a_cluster)
{
    world_t world;
    make_world(&world, "10.0.0.2:1", 1, (const char *const[]){ "dns://nodes:1" });
    answer(&world, 0, "10.0.0.2:1 10.0.0.3:1");
    cr_assert(world.may_found, "it is the first");
    cr_assert_str_eq(world.list, "10.0.0.3:1\n"); // not its own
    pass(&world, JOINING_MS);
    answer(&world, 0, "10.0.0.2:1 10.0.0.3:1 10.0.0.1:1");
    cr_assert(!world.may_found && world.told == 2, "another is the first now");
    pass(&world, JOINING_MS);
    answer(&world, 0, "");
    cr_assert(!world.may_found, "nobody is known");
    za_discovery_destroy(world.discovery);
}

// As in a StatefulSet: a node is reached by its own name, and the service has addresses.
Test(discovery, knows_its_own_name_among_the_addresses)
{
    world_t world;
    make_world(&world, "zactor-0.zactor:1", 1, (const char *const[]){ "dns://zactor:1" });
    cr_assert(world.asked[1] == 1 && strcmp(world.seeds[1].text, "zactor-0.zactor") == 0,
              "its own name is not asked for");
    answer(&world, 0, "10.0.0.1:1 10.0.0.2:1");
    cr_assert(!world.may_found, "it does not know yet");
    answer(&world, 1, "10.0.0.1:1");
    cr_assert(world.may_found, "it is the first");
    cr_assert_str_eq(world.list, "10.0.0.2:1\n");
    za_discovery_destroy(world.discovery);
}

Test(discovery, warns_a_node_that_is_not_among_those_that_are_found)
{
    world_t world;
    make_world(&world, "192.168.0.1:1", 1, (const char *const[]){ "dns://nodes:1" });
    for (int i = 0; i < 3; i++) {
        answer(&world, 0, "10.0.0.1:1 10.0.0.2:1");
        pass(&world, JOINING_MS);
    }
    uint32_t warnings = 0;
    for (uint32_t i = 0; i < world.lines; i++) {
        warnings += strstr(world.log[i], "192.168.0.1:1") != NULL;
    }
    cr_assert(warnings == 1, "%u warnings", warnings);
    za_discovery_destroy(world.discovery);
}

Test(discovery, reads_a_line_for_an_address_and_says_which_is_none)
{
    world_t world;
    make_world(&world, "10.0.0.1:1", 1, (const char *const[]){ "file:///seeds" });
    const char *text = "# the seeds\r\n\n  10.0.0.1:1  # first\n10.0.0.2\nb.example:1\nno port:\n"
                       "[fd00::1]:1";
    file(&world, 0, text);
    cr_assert_str_eq(world.list, "[fd00::1]:1\nb.example:1\n");
    cr_assert(counters(&world).lines_bad == 2 && counters(&world).addresses == 3, "counted");
    cr_assert(strstr(world.log[0], "line 4") != NULL && strstr(world.log[0], "10.0.0.2") != NULL,
              "%s", world.log[0]);
    uint32_t lines = world.lines;
    pass(&world, JOINING_MS);
    file(&world, 0, text);
    cr_assert(world.lines == lines && counters(&world).lines_bad == 2, "told twice");
    za_discovery_destroy(world.discovery);
}

Test(discovery, tells_all_of_many_addresses_in_turn)
{
    enum { COUNT = 100 };
    static char text[COUNT * 16];
    size_t used = 0;
    bool seen[COUNT] = { false };
    world_t world;
    make_world(&world, "10.0.0.250:1", 1, (const char *const[]){ "dns://nodes:1" });
    for (int i = 0; i < COUNT; i++) {
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s10.0.0.%d:1", i > 0 ? " " : "", i);
    }
    for (int round = 0; round < 4; round++) {
        answer(&world, 0, text);
        uint32_t count = 0;
        for (const char *at = world.list; *at != '\0'; at = strchr(at, '\n') + 1, count++) {
            int number = -1;
            cr_assert(sscanf(at, "10.0.0.%d:1", &number) == 1 && number < COUNT, "%s", at);
            seen[number] = true;
        }
        cr_assert(count == ZA_CLUSTER_SEEDS_MAX, "%u at a time", count);
        pass(&world, JOINING_MS);
    }
    for (int i = 0; i < COUNT; i++) {
        cr_assert(seen[i], "10.0.0.%d was never told", i);
    }
    za_discovery_destroy(world.discovery);
}

Test(discovery, refuses_more_than_it_has_room_for)
{
    const char *seeds[ZA_DISCOVERY_SOURCES_MAX];
    for (int i = 0; i < ZA_DISCOVERY_SOURCES_MAX; i++) {
        seeds[i] = "dns://nodes:1";
    }
    za_discovery_t *discovery = NULL;
    za_discovery_config_t config = { .seeds = seeds,
                                     .seed_count = ZA_DISCOVERY_SOURCES_MAX,
                                     .own = "a:1",
                                     .joining_ms = 1,
                                     .joined_ms = 1,
                                     .ops = &ops };
    cr_assert(za_discovery_create(&config, 0, &discovery) == ZA_EINVAL, "one too many");
    config.seed_count = 1;
    seeds[0] = "nonsense";
    cr_assert(za_discovery_create(&config, 0, &discovery) == ZA_EINVAL && discovery == NULL,
              "none at all");
    world_t world;
    make_world(&world, "10.0.0.1:1", ZA_DISCOVERY_SOURCES_MAX - 1,
               (const char *const[]){ "dns://n:1", "dns://n:1", "dns://n:1", "dns://n:1",
                                      "dns://n:1", "dns://n:1", "dns://n:1", "dns://n:1",
                                      "dns://n:1", "dns://n:1", "dns://n:1", "dns://n:1",
                                      "dns://n:1", "dns://n:1", "dns://n:1", "dns://n:1" });
    static char many[ZA_DISCOVERY_ADDRESSES_MAX + 5][ZA_ADDRESS_BYTES_MAX + 1];
    for (int i = 0; i < ZA_DISCOVERY_ADDRESSES_MAX + 5; i++) {
        snprintf(many[i], sizeof many[i], "host%d:1", i);
    }
    for (uint32_t i = 0; i < ZA_DISCOVERY_SOURCES_MAX - 1; i++) {
        za_discovery_answer(world.discovery, i, world.now_ms, ZA_OK, "", many,
                            ZA_DISCOVERY_ADDRESSES_MAX + 5);
    }
    cr_assert(counters(&world).addresses == ZA_DISCOVERY_ADDRESSES_MAX, "%d",
              (int)counters(&world).addresses);
    za_discovery_destroy(world.discovery);
}
