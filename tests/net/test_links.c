#include "support/za_test.h"

#include "base/rng.h"
#include "net/links.h"

/*
 * Both ends of one pair, and every connection between them as three messages in flight: the
 * acceptor's Hello, the connector's Hello, the acknowledgement. A run is a sequence of choices which
 * of the things that can happen happens next; small worlds go through all sequences.
 */

enum { A = 0, B = 1, CONNECTIONS = 6 };

static const uint64_t uids[2] = { 100, 200 };

typedef enum step {
    STEP_GREET,     // the acceptor's Hello reaches the connector
    STEP_OFFER,     // the connector's Hello reaches the acceptor
    STEP_ESTABLISH, // the acknowledgement reaches the connector
    STEP_DONE,
} step_t;

typedef struct connection {
    int connector;
    step_t step;
    uint32_t epoch;
    bool open[2]; // at either end
} connection_t;

typedef struct world {
    za_links_t *links[2];
    connection_t connections[CONNECTIONS];
    int count;
} world_t;

static void make_world(world_t *world)
{
    memset(world, 0, sizeof *world);
    for (int end = 0; end < 2; end++) {
        cr_assert(za_links_create(8, uids[end], &world->links[end]) == ZA_OK, "create");
    }
}

static void free_world(world_t *world)
{
    za_links_destroy(world->links[A]);
    za_links_destroy(world->links[B]);
}

static void add_connection(world_t *world, int connector)
{
    world->connections[world->count++] =
        (connection_t){ .connector = connector, .open = { true, true } };
}

static void close_at(world_t *world, connection_t *connection, int end)
{
    if (connection->open[end]) {
        connection->open[end] = false;
        za_links_remove(world->links[end], uids[1 - end], connection);
    }
}

static void judge(world_t *world, connection_t *connection, int end)
{
    void *old = NULL;
    za_side_t side = end == connection->connector ? ZA_SIDE_CLIENT : ZA_SIDE_SERVER;
    za_links_verdict_t verdict = za_links_establish(world->links[end], uids[1 - end],
                                                    connection->epoch, side, connection, &old);
    if (verdict == ZA_LINKS_REFUSE) {
        close_at(world, connection, end);
    } else if (verdict == ZA_LINKS_REPLACE) {
        close_at(world, old, end);
    } else {
        cr_assert(verdict == ZA_LINKS_ACCEPT, "verdict %d", verdict);
    }
}

static void advance(world_t *world, connection_t *connection)
{
    int connector = connection->connector;
    int receiver = connection->step == STEP_OFFER ? 1 - connector : connector;
    step_t step = connection->step;
    connection->step = (step_t)(step + 1);
    if (!connection->open[receiver]) {
        connection->step = STEP_DONE;
        return;
    }
    if (step == STEP_GREET) {
        if (za_links_propose(world->links[connector], uids[1 - connector], &connection->epoch) !=
            ZA_LINKS_ACCEPT) {
            close_at(world, connection, connector);
            connection->step = STEP_DONE;
        }
        return;
    }
    judge(world, connection, receiver);
    if (!connection->open[receiver]) {
        connection->step = STEP_DONE;
    }
}

/** What can happen next: 2 * index: the next message arrives; + 1: a close arrives. */
static int enabled(const world_t *world, int out[2 * CONNECTIONS])
{
    int count = 0;
    for (int i = 0; i < world->count; i++) {
        const connection_t *connection = &world->connections[i];
        if (connection->step != STEP_DONE) {
            out[count++] = 2 * i;
        } else if (connection->open[A] != connection->open[B]) {
            out[count++] = 2 * i + 1; // behind all that was sent before it, as in a stream
        }
    }
    return count;
}

static void happen(world_t *world, int what)
{
    connection_t *connection = &world->connections[what / 2];
    if (what % 2 == 0) {
        advance(world, connection);
    } else {
        close_at(world, connection, connection->open[A] ? A : B);
    }
}

static const connection_t *link_of(const world_t *world, int end)
{
    return za_links_find(world->links[end], uids[1 - end]);
}

static void check_agreement(const world_t *world, uint64_t run)
{
    const connection_t *a = link_of(world, A);
    cr_assert(a == link_of(world, B), "run %" PRIu64 ": the ends do not agree", run);
    int open = 0;
    for (int i = 0; i < world->count; i++) {
        open += world->connections[i].open[A] || world->connections[i].open[B];
    }
    cr_assert(open == (a != NULL), "run %" PRIu64 ": %d connections are open", run, open);
}

/** Runs to the end; each choice is the next digit of `run`. False if it had more choices. */
static void run_all(world_t *world, uint64_t run)
{
    uint64_t digits = run;
    int events[2 * CONNECTIONS];
    for (int count = enabled(world, events); count > 0; count = enabled(world, events)) {
        happen(world, events[digits % (uint64_t)count]);
        digits /= (uint64_t)count;
    }
}

// One connection from each end: at most eight steps with a choice of two, so 4096 runs are all.
Test(links, both_ends_keep_the_lower_uids_of_two_simultaneous)
{
    for (uint64_t run = 0; run < 4096; run++) {
        world_t world;
        make_world(&world);
        add_connection(&world, A);
        add_connection(&world, B);
        // Both have proposed before either hears of the other's: that is what simultaneous means.
        happen(&world, 0);
        happen(&world, 2);
        run_all(&world, run);
        check_agreement(&world, run);
        cr_assert(link_of(&world, A) == &world.connections[0], "run %" PRIu64 ": B's stayed", run);
        free_world(&world);
    }
}

Test(links, both_ends_agree_in_every_order_of_events)
{
    for (uint64_t run = 0; run < 4096; run++) {
        world_t world;
        make_world(&world);
        add_connection(&world, A);
        add_connection(&world, B);
        run_all(&world, run);
        check_agreement(&world, run);
        cr_assert(link_of(&world, A) != NULL, "run %" PRIu64 ": no link is left", run);
        free_world(&world);
    }
}

// Nothing breaks: then something is left, however many were tried at once.
Test(links, keeps_one_of_many_simultaneous)
{
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        world_t world;
        za_rng_t rng;
        make_world(&world);
        za_rng_init(&rng, seed);
        for (int i = 0; i < CONNECTIONS; i++) {
            uint64_t connector = za_rng_below(&rng, 2);
            add_connection(&world, (int)connector);
        }
        uint64_t run = za_rng_next(&rng);
        run_all(&world, run);
        check_agreement(&world, seed);
        cr_assert(link_of(&world, A) != NULL, "seed %" PRIu64 ": no link is left", seed);
        free_world(&world);
    }
}

// More connections, some of which break at one end only for a while.
Test(links, both_ends_agree_after_breaks_and_reconnects)
{
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        world_t world;
        za_rng_t rng;
        make_world(&world);
        za_rng_init(&rng, seed);
        while (world.count < CONNECTIONS) {
            int events[2 * CONNECTIONS];
            int count = enabled(&world, events);
            uint64_t choice = za_rng_below(&rng, 8);
            if (choice == 0 || count == 0) {
                uint64_t connector = za_rng_below(&rng, 2);
                add_connection(&world, (int)connector);
            } else if (choice == 1) {
                uint64_t broken = za_rng_below(&rng, (uint64_t)world.count);
                uint64_t end = za_rng_below(&rng, 2);
                close_at(&world, &world.connections[broken], (int)end);
                world.connections[broken].step = STEP_DONE;
            } else {
                uint64_t event = za_rng_below(&rng, (uint64_t)count);
                happen(&world, events[event]);
            }
        }
        uint64_t rest = za_rng_next(&rng);
        run_all(&world, rest);
        check_agreement(&world, seed);
        free_world(&world);
    }
}

// One end has lost the connection and the other does not know: the new one is the link at once.
Test(links, a_new_connection_replaces_a_half_dead_one)
{
    world_t world;
    make_world(&world);
    add_connection(&world, A);
    run_all(&world, 0);
    close_at(&world, &world.connections[0], B);
    add_connection(&world, B);
    happen(&world, 2);
    happen(&world, 2);
    cr_assert(link_of(&world, A) == &world.connections[1], "A keeps the dead one");
    run_all(&world, 0);
    check_agreement(&world, 0);
    free_world(&world);
}

Test(links, refuses_a_connection_to_itself)
{
    za_links_t *links;
    int link;
    void *old = NULL;
    uint32_t epoch = 0;
    cr_assert(za_links_create(2, 7, &links) == ZA_OK, "create");
    cr_expect(za_links_propose(links, 7, &epoch) == ZA_LINKS_SELF, "propose");
    cr_expect(za_links_establish(links, 7, 1, ZA_SIDE_SERVER, &link, &old) == ZA_LINKS_SELF,
              "self");
    cr_expect(za_links_find(links, 7) == NULL, "found");
    za_links_destroy(links);
}

Test(links, makes_room_only_by_peers_without_a_link)
{
    za_links_t *links;
    int link[4];
    void *old = NULL;
    uint32_t epoch = 0;
    cr_assert(za_links_create(2, 1, &links) == ZA_OK, "create");
    cr_assert(za_links_establish(links, 10, 1, ZA_SIDE_SERVER, &link[0], &old) == ZA_LINKS_ACCEPT,
              "first");
    cr_assert(za_links_establish(links, 11, 1, ZA_SIDE_SERVER, &link[1], &old) == ZA_LINKS_ACCEPT,
              "second");
    cr_expect(za_links_establish(links, 12, 1, ZA_SIDE_SERVER, &link[2], &old) == ZA_LINKS_FULL,
              "third");
    cr_expect(za_links_propose(links, 12, &epoch) == ZA_LINKS_FULL, "propose");
    za_links_remove(links, 10, &link[3]);
    cr_expect(za_links_find(links, 10) == &link[0], "another connection's end changes nothing");
    za_links_remove(links, 10, &link[0]);
    cr_expect(za_links_establish(links, 12, 1, ZA_SIDE_SERVER, &link[2], &old) == ZA_LINKS_ACCEPT,
              "after one went");
    cr_expect(za_links_find(links, 11) == &link[1] && za_links_find(links, 10) == NULL, "others");
    za_links_destroy(links);
}

// A peer may claim the greatest epoch there is: connections go on to replace each other.
Test(links, survives_the_greatest_epoch)
{
    za_links_t *links;
    int link[2];
    void *old = NULL;
    uint32_t epoch = 0;
    cr_assert(za_links_create(2, 1, &links) == ZA_OK, "create");
    cr_assert(za_links_establish(links, 10, UINT32_MAX, ZA_SIDE_SERVER, &link[0], &old) ==
                  ZA_LINKS_ACCEPT,
              "first");
    cr_expect(za_links_establish(links, 10, UINT32_MAX, ZA_SIDE_SERVER, &link[1], &old) ==
                  ZA_LINKS_REPLACE,
              "second");
    cr_expect(old == &link[0], "old");
    za_links_remove(links, 10, &link[1]);
    cr_expect(za_links_propose(links, 10, &epoch) == ZA_LINKS_ACCEPT && epoch == UINT32_MAX,
              "%" PRIu32, epoch);
    za_links_destroy(links);
}

Test(links, forgets_everything_with_its_uid)
{
    za_links_t *links;
    int link;
    void *old = NULL;
    uint32_t epoch = 0;
    cr_assert(za_links_create(2, 1, &links) == ZA_OK, "create");
    cr_assert(za_links_establish(links, 10, 5, ZA_SIDE_CLIENT, &link, &old) == ZA_LINKS_ACCEPT,
              "first");
    za_links_reset(links, 2);
    cr_expect(za_links_find(links, 10) == NULL, "found");
    cr_expect(za_links_propose(links, 10, &epoch) == ZA_LINKS_ACCEPT && epoch == 1, "%" PRIu32,
              epoch);
    cr_expect(za_links_propose(links, 2, &epoch) == ZA_LINKS_SELF, "self");
    cr_expect(za_links_propose(links, 1, &epoch) == ZA_LINKS_ACCEPT, "the old uid is a stranger");
    za_links_destroy(links);
}
