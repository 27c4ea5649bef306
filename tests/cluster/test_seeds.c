// Seeds that come later, as names are resolved and files read: ZA_CLUSTER_SEEDS.
#include "mini_net.h"

/** Three nodes that discover their seeds: none has any yet. */
static mini_net_t *seedless(uint64_t seed)
{
    mini_net_t *net = mini_create(seed, 3, za_cluster_timing_lan);
    net->seed_count = 0;
    net->discovers = true;
    mini_start_all(net);
    return net;
}

static void tell(mini_net_t *net, uint32_t at, const char *seeds, bool may_found)
{
    mini_step(net, at,
              (za_cluster_event_t){ .type = ZA_CLUSTER_SEEDS,
                                    .bytes = (const uint8_t *)seeds,
                                    .size = (uint32_t)strlen(seeds),
                                    .id = may_found });
}

static bool is_up(mini_net_t *net, uint32_t at)
{
    return mini_state(net, at, mini_uid(net, at)) == ZA_MEMBER_UP;
}

Test(seeds, a_node_that_discovers_is_not_alone_for_having_none_yet)
{
    mini_net_t *net = seedless(1);
    mini_run(net, 60000);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(!is_up(net, i), "node %u founded a cluster of its own", i);
    }
    mini_destroy(net);
}

Test(seeds, what_is_discovered_is_joined_at_once)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        mini_net_t *net = seedless(seed);
        tell(net, 0, "h0:7464\n", true);
        mini_run(net, 5000);
        cr_assert(is_up(net, 0), "seed %" PRIu64 ": the first of all is not up", seed);
        tell(net, 1, "h0:7464\nh1:7464\nh2:7464\n", false);
        tell(net, 2, "h0:7464\nh1:7464\nh2:7464\n", false);
        uint64_t elapsed;
        MINI_RUN_UNTIL(net, mini_converged(net), 1000, elapsed);
        cr_assert(elapsed != UINT64_MAX, "seed %" PRIu64 ": not joined within a second", seed);
        mini_destroy(net);
    }
}

Test(seeds, the_one_that_may_found_listens_first)
{
    mini_net_t *net = seedless(2);
    mini_cut(net, 0, 1, true);
    tell(net, 0, "h0:7464\nh1:7464\n", true);
    mini_run(net, 2500);
    cr_assert(!is_up(net, 0), "it did not wait for the others");
    mini_run(net, 1000);
    cr_assert(is_up(net, 0), "nobody was there, and it is not up");
    mini_destroy(net);
}

// An address before ours has appeared: its node is the first.
Test(seeds, the_permission_to_found_can_be_taken_back)
{
    mini_net_t *net = seedless(3);
    tell(net, 1, "h1:7464\n", true);
    mini_run(net, 1000);
    tell(net, 1, "h0:7464\nh1:7464\n", false);
    mini_cut(net, 0, 1, true);
    mini_run(net, 60000);
    cr_assert(!is_up(net, 1), "it founded a cluster that was another's to found");
    mini_destroy(net);
}

Test(seeds, two_clusters_are_one_once_they_discover_each_other)
{
    mini_net_t *net = seedless(4);
    tell(net, 0, "h0:7464\n", true);
    tell(net, 2, "h2:7464\n", true);
    mini_run(net, 10000);
    cr_assert(is_up(net, 0) && is_up(net, 2) && !mini_converged(net), "they were to be apart");
    tell(net, 1, "h0:7464\n", false);
    tell(net, 2, "h0:7464\nh2:7464\n", false);
    uint64_t elapsed;
    MINI_RUN_UNTIL(net, mini_converged(net), 2000, elapsed);
    cr_assert(elapsed != UINT64_MAX, "still apart");
    mini_destroy(net);
}

/** Node 1 is told of so many hosts that nobody has: "far0" and so on, with `rest` behind it. */
static void tell_many(mini_net_t *net, int count, const char *rest)
{
    char many[64 * 100];
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        used += (size_t)snprintf(many + used, sizeof many - used, "far%d%s", i, rest);
    }
    tell(net, 1, many, false);
}

Test(seeds, what_is_no_address_or_one_too_many_is_passed_over)
{
    mini_net_t *net = seedless(5);
    char many[301];
    tell_many(net, 90, ":1\n");
    tell(net, 1, "", false);
    tell(net, 1, "\n\n\n", false);
    memset(many, 'x', 300);
    many[300] = '\0';
    tell(net, 1, many, false);
    tell(net, 0, "h0:7464", true); // without a newline at its end
    mini_run(net, 5000);
    tell(net, 1, "h0:7464", false);
    uint64_t elapsed;
    MINI_RUN_UNTIL(net, is_up(net, 1), 1000, elapsed);
    cr_assert(elapsed != UINT64_MAX, "it did not join");
    mini_destroy(net);
}

/* ---- what became of them ---------------------------------------------------------------------- */

Test(seeds, who_finds_nobody_says_which_were_tried_and_why_each_failed)
{
    mini_net_t *net = mini_create(6, 4, za_cluster_timing_lan); // h0 and h1 are the seeds
    mini_node_t *node = &net->nodes[3];
    net->cut[3][1] = true;
    mini_start(net, 3);
    mini_run(net, 2900);
    cr_expect(node->lines == 0, "most are members by then");
    mini_run(net, 2000);
    cr_assert(node->lines == 1, "%u lines, the last \"%s\"", node->lines, node->line);
    cr_expect(strstr(node->line, "h0:7464 (connection refused") != NULL, "%s", node->line);
    cr_expect(strstr(node->line, "h1:7464 (") != NULL, "%s", node->line);
    mini_run(net, 12000);
    cr_expect(node->lines == 2, "%u lines", node->lines);
    cr_expect(strstr(node->line, "h1:7464 (timed out") != NULL, "%s", node->line);
    mini_run(net, 600000);
    cr_expect(node->lines >= 5 && node->lines <= 9, "ever less often: %u lines", node->lines);
    mini_destroy(net);
}

Test(seeds, a_line_says_of_how_many_it_has_no_room_to_tell)
{
    mini_net_t *net = seedless(7);
    tell_many(net, 30, ".example.org:7464\n");
    mini_run(net, 10000);
    cr_expect(strstr(net->nodes[1].line, "far0.example.org:7464 (") != NULL, "%s",
              net->nodes[1].line);
    cr_expect(strstr(net->nodes[1].line, " seeds more") != NULL, "%s", net->nodes[1].line);
    cr_expect(strstr(net->nodes[2].line, "no seed is known") != NULL, "%s", net->nodes[2].line);
    mini_destroy(net);
}

// A node of another cluster is a nuisance to those that it asks: 300 times in five minutes.
Test(seeds, a_refusal_that_stays_is_asked_for_ever_less_often_and_mended_in_time)
{
    static const za_err_t errs[] = { ZA_ECLUSTER, ZA_EAUTH, ZA_EVERSION };
    for (uint32_t i = 0; i < 3; i++) {
        mini_net_t *net = mini_create(8 + i, 3, za_cluster_timing_lan);
        net->seed_count = 1;
        mini_start(net, 0);
        net->nodes[0].denies = errs[i];
        mini_start(net, 1);
        mini_run(net, 300000);
        uint32_t refused = net->nodes[1].refused;
        cr_expect(refused >= 10 && refused <= 20, "%u in five minutes", refused);
        net->nodes[0].denies = ZA_OK;
        uint64_t elapsed;
        MINI_RUN_UNTIL(net, is_up(net, 1), 31000, elapsed);
        cr_assert(elapsed != UINT64_MAX, "mended, and not a member after half a minute");
        mini_destroy(net);
    }
}

Test(seeds, the_one_that_refuses_keeps_nobody_from_the_others)
{
    mini_net_t *net = mini_create(12, 3, za_cluster_timing_lan);
    mini_start(net, 0);
    mini_start(net, 1);
    mini_run(net, 5000);
    net->nodes[0].denies = ZA_ECLUSTER;
    mini_crash(net, 1);
    mini_start(net, 2);
    mini_run(net, 60000);
    cr_assert(!is_up(net, 2) && net->nodes[2].refused > 0, "h0 refuses, h1 is not there");
    mini_start(net, 1);
    uint64_t elapsed;
    MINI_RUN_UNTIL(net, is_up(net, 2), 5000, elapsed);
    cr_assert(elapsed != UINT64_MAX, "it waits for h0");
    mini_destroy(net);
}
