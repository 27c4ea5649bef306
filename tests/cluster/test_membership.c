// Membership as a whole, over the mini net: joining, failures, leaving, rebirth.
#include "mini_net.h"

static mini_net_t *cluster(uint64_t seed, uint32_t count)
{
    mini_net_t *net = mini_create(seed, count, za_cluster_timing_lan);
    mini_start_all(net);
    uint64_t elapsed;
    MINI_RUN_UNTIL(net, mini_converged(net), 10000, elapsed);
    if (elapsed == UINT64_MAX) {
        mini_print(net);
    }
    cr_assert(elapsed != UINT64_MAX, "seed %" PRIu64 ": %u nodes never became one cluster", seed,
              count);
    return net;
}

Test(membership, a_node_without_seeds_is_up_at_once)
{
    mini_net_t *net = mini_create(1, 1, za_cluster_timing_lan);
    mini_start_all(net);
    mini_run(net, 0);
    cr_assert(mini_state(net, 0, mini_uid(net, 0)) == ZA_MEMBER_UP, "not up");
    cr_assert(za_membership_up_count(net->nodes[0].membership) == 1, "not counted");
    mini_destroy(net);
}

Test(membership, nodes_that_start_together_become_one_cluster_within_a_second)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        mini_net_t *net = mini_create(seed, 8, za_cluster_timing_lan);
        mini_start_all(net);
        uint64_t elapsed;
        MINI_RUN_UNTIL(net, mini_converged(net), 1000, elapsed);
        cr_assert(elapsed != UINT64_MAX, "seed %" PRIu64, seed);
        mini_destroy(net);
    }
}

Test(membership, one_reachable_seed_is_enough_to_join)
{
    mini_net_t *net = cluster(3, 3);
    mini_crash(net, 2);
    mini_crash(net, 0); // the first seed
    mini_run(net, 5000);
    mini_start(net, 2);
    uint64_t elapsed;
    MINI_RUN_UNTIL(net, mini_converged(net), 2000, elapsed);
    cr_assert(elapsed != UINT64_MAX, "it did not join through the other seed");
    mini_destroy(net);
}

// SIGKILL: the kernel closes the sockets and refuses new connections.
Test(membership, a_crash_is_known_to_all_within_two_seconds)
{
    uint64_t worst = 0;
    const uint32_t sizes[] = { 2, 3, 5, 16 };
    for (uint64_t seed = 1; seed <= 80; seed++) {
        mini_net_t *net = cluster(seed, sizes[seed % 4]);
        mini_run(net, 3000 + seed * 37);
        uint64_t uid = mini_uid(net, net->count - 1);
        mini_crash(net, net->count - 1);
        uint64_t elapsed;
        MINI_RUN_UNTIL(net, mini_all_see(net, uid, ZA_MEMBER_DOWN), 5000, elapsed);
        cr_assert(elapsed <= 2000, "seed %" PRIu64 ", %u nodes: %" PRIu64 " ms", seed, net->count,
                  elapsed);
        worst = elapsed > worst ? elapsed : worst;
        cr_assert(net->marks[ZA_MARK_REFUSED_EVIDENCE] > 0 && net->marks[ZA_MARK_DOWN] > 0, "mark");
        mini_destroy(net);
    }
    printf("crash known to all after %" PRIu64 " ms at most\n", worst);
}

// SIGSTOP: the sockets stay open and nothing answers.
Test(membership, a_stopped_process_is_unreachable_within_6_s_and_down_5_to_10_s_later)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        mini_net_t *net = cluster(seed, 3);
        mini_run(net, 3000 + seed * 41);
        uint64_t uid = mini_uid(net, 2);
        mini_pause(net, 2);
        uint64_t unreachable;
        MINI_RUN_UNTIL(net, mini_all_see(net, uid, ZA_MEMBER_UNREACHABLE), 20000, unreachable);
        cr_assert(unreachable <= 6000, "seed %" PRIu64 ": unreachable after %" PRIu64 " ms", seed,
                  unreachable);
        uint64_t down;
        MINI_RUN_UNTIL(net, mini_all_see(net, uid, ZA_MEMBER_DOWN), 20000, down);
        cr_assert(down >= 4000 && down <= 10000, "seed %" PRIu64 ": down %" PRIu64 " ms later",
                  seed, down);
        mini_resume(net, 2);
        uint64_t healed;
        MINI_RUN_UNTIL(net, mini_converged(net), 15000, healed);
        cr_assert(healed != UINT64_MAX, "seed %" PRIu64 ": it did not come back", seed);
        cr_assert(net->nodes[2].reborn == 1 && mini_uid(net, 2) != uid, "not reborn");
        cr_assert(net->nodes[0].reborn == 0 && net->nodes[1].reborn == 0, "the others were");
        cr_assert(net->marks[ZA_MARK_REBIRTH] == 1 && net->marks[ZA_MARK_INDIRECT_PROBE] > 0,
                  "mark");
        mini_destroy(net);
    }
}

Test(membership, a_suspect_that_goes_on_refutes_and_keeps_its_uid)
{
    uint64_t refutes = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        mini_net_t *net = cluster(seed, 5);
        mini_run(net, 2000);
        uint64_t uid = mini_uid(net, 4);
        mini_pause(net, 4);
        uint64_t elapsed;
        MINI_RUN_UNTIL(net, mini_state(net, 0, uid) == ZA_MEMBER_SUSPECT, 10000, elapsed);
        cr_assert(elapsed != UINT64_MAX, "never suspected");
        mini_resume(net, 4);
        MINI_RUN_UNTIL(net, mini_converged(net), 5000, elapsed);
        cr_assert(elapsed != UINT64_MAX, "seed %" PRIu64 ": no refutation", seed);
        cr_assert(mini_uid(net, 4) == uid, "seed %" PRIu64 ": reborn without need", seed);
        refutes += net->marks[ZA_MARK_REFUTE];
        mini_destroy(net);
    }
    cr_assert(refutes >= 30, "%" PRIu64 " refutations", refutes);
}

// A restart costs no detection time.
Test(membership, a_restart_under_its_name_and_address_replaces_the_old_uid_at_once)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        mini_net_t *net = cluster(seed, 5);
        mini_run(net, 2000);
        uint64_t uid = mini_uid(net, 3);
        mini_crash(net, 3);
        mini_start(net, 3);
        uint64_t elapsed;
        MINI_RUN_UNTIL(net, mini_converged(net) && mini_all_see(net, uid, ZA_MEMBER_DOWN), 1000,
                       elapsed);
        cr_assert(elapsed != UINT64_MAX, "seed %" PRIu64, seed);
        cr_assert(net->marks[ZA_MARK_REPLACED] > 0, "mark");
        cr_assert(net->nodes[3].reborn == 0, "seed %" PRIu64 ": the newcomer was reborn", seed);
        mini_destroy(net);
    }
}

Test(membership, a_name_in_use_by_a_live_member_is_refused)
{
    mini_net_t *net = cluster(5, 3);
    net->count = 4;
    snprintf(net->nodes[3].name, sizeof net->nodes[3].name, "n2");
    snprintf(net->nodes[3].address, sizeof net->nodes[3].address, "h3:7464");
    uint64_t holder = mini_uid(net, 2);
    mini_start(net, 3);
    mini_run(net, 4000);
    cr_assert(net->nodes[3].refused > 0, "it was not refused");
    cr_assert(mini_state(net, 3, mini_uid(net, 3)) == ZA_MEMBER_JOINING, "it is a member");
    cr_assert(mini_state(net, 0, holder) == ZA_MEMBER_UP, "the holder was harmed");
    mini_run(net, 300000);
    cr_expect(net->nodes[3].refused <= 20, "asks ever less often: %u times", net->nodes[3].refused);
    mini_destroy(net);
}

Test(membership, a_silent_holder_of_a_name_is_replaced_from_another_address)
{
    mini_net_t *net = cluster(6, 3);
    uint64_t holder = mini_uid(net, 2);
    mini_pause(net, 2);
    net->count = 4;
    snprintf(net->nodes[3].name, sizeof net->nodes[3].name, "n2");
    snprintf(net->nodes[3].address, sizeof net->nodes[3].address, "h3:7464");
    mini_start(net, 3);
    mini_run(net, 2500);
    cr_assert(mini_state(net, 0, holder) == ZA_MEMBER_DOWN, "the holder stayed");
    cr_assert(mini_state(net, 0, mini_uid(net, 3)) == ZA_MEMBER_UP, "the newcomer is not up");
    mini_destroy(net);
}

Test(membership, a_leave_is_seen_as_left_by_all_and_ends_at_once)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        mini_net_t *net = cluster(seed, 7);
        mini_run(net, 1000);
        uint64_t uid = mini_uid(net, 6);
        mini_step(net, 6, (za_cluster_event_t){ .type = ZA_CLUSTER_LEAVE });
        uint64_t elapsed;
        MINI_RUN_UNTIL(net, net->nodes[6].left, 1000, elapsed);
        cr_assert(elapsed <= 300, "seed %" PRIu64 ": %" PRIu64 " ms", seed, elapsed);
        cr_assert(mini_all_see(net, uid, ZA_MEMBER_LEFT), "seed %" PRIu64, seed);
        cr_assert(net->nodes[6].left_effects == 1, "LEFT %u times", net->nodes[6].left_effects);
        mini_crash(net, 6);
        mini_run(net, 10000);
        cr_assert(mini_all_see(net, uid, ZA_MEMBER_LEFT), "seed %" PRIu64 ": not final", seed);
        mini_destroy(net);
    }
}

Test(membership, a_leave_ends_by_its_timeout_when_a_peer_is_silent)
{
    mini_net_t *net = cluster(7, 3);
    mini_pause(net, 1);
    mini_step(net, 2, (za_cluster_event_t){ .type = ZA_CLUSTER_LEAVE });
    uint64_t uid = mini_uid(net, 2);
    uint64_t elapsed;
    MINI_RUN_UNTIL(net, net->nodes[2].left, 20000, elapsed);
    cr_assert(elapsed >= 4000 && elapsed <= 7000, "%" PRIu64 " ms", elapsed);
    mini_resume(net, 1);
    mini_run(net, 3000);
    cr_assert(mini_state(net, 1, uid) == ZA_MEMBER_LEFT, "the silent peer never heard");
    mini_destroy(net);
}

Test(membership, an_operator_downs_a_member_and_it_is_reborn)
{
    mini_net_t *net = cluster(8, 3);
    uint64_t uid = mini_uid(net, 2);
    mini_step(net, 0, (za_cluster_event_t){ .type = ZA_CLUSTER_DOWN_NODE, .name = "n2" });
    cr_assert(mini_state(net, 0, uid) == ZA_MEMBER_DOWN, "not down");
    mini_run(net, 3000);
    cr_assert(mini_all_see(net, uid, ZA_MEMBER_DOWN), "not for all");
    cr_assert(mini_converged(net) && net->nodes[2].reborn == 1, "not reborn");
    mini_step(net, 0, (za_cluster_event_t){ .type = ZA_CLUSTER_DOWN_NODE, .name = "nobody" });
    mini_step(net, 0, (za_cluster_event_t){ .type = ZA_CLUSTER_DOWN_NODE });
    mini_destroy(net);
}

Test(membership, halves_that_downed_each_other_become_one_and_the_smaller_is_reborn)
{
    uint32_t majority_reborn = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        mini_net_t *net = cluster(seed, 5);
        mini_run(net, 2000);
        mini_split(net, 2, true);
        mini_run(net, 40000);
        cr_assert(mini_state(net, 0, mini_uid(net, 4)) == ZA_MEMBER_DOWN, "seed %" PRIu64, seed);
        cr_assert(mini_state(net, 4, mini_uid(net, 0)) == ZA_MEMBER_DOWN, "seed %" PRIu64, seed);
        mini_heal(net);
        uint64_t elapsed;
        MINI_RUN_UNTIL(net, mini_converged(net), 30000, elapsed);
        if (elapsed == UINT64_MAX) {
            mini_print(net);
        }
        cr_assert(elapsed != UINT64_MAX, "seed %" PRIu64 ": never one cluster again", seed);
        cr_assert(net->marks[ZA_MARK_RECONNECT_DOWNED] > 0, "mark");
        cr_assert(net->nodes[0].reborn > 0 && net->nodes[1].reborn > 0, "seed %" PRIu64, seed);
        for (uint32_t i = 2; i < 5; i++) {
            majority_reborn += net->nodes[i].reborn;
        }
        mini_destroy(net);
    }
    cr_assert(majority_reborn == 0, "%u of the larger side were reborn", majority_reborn);
}

Test(membership, a_short_split_downs_nobody)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        mini_net_t *net = cluster(seed, 5);
        mini_run(net, 2000);
        mini_split(net, 2, true);
        mini_run(net, 4000);
        mini_heal(net);
        uint64_t elapsed;
        MINI_RUN_UNTIL(net, mini_converged(net), 30000, elapsed);
        cr_assert(elapsed != UINT64_MAX, "seed %" PRIu64, seed);
        for (uint32_t i = 0; i < 5; i++) {
            cr_assert(net->nodes[i].reborn == 0, "seed %" PRIu64 ": reborn", seed);
        }
        mini_destroy(net);
    }
}

Test(membership, a_stall_of_our_own_blames_nobody)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        mini_net_t *net = cluster(seed, 3);
        mini_run(net, 2000);
        mini_pause(net, 0);
        mini_run(net, 1000);
        mini_resume(net, 0);
        mini_run(net, 5000);
        for (uint32_t i = 1; i < 3; i++) {
            for (uint32_t j = 0; j < net->nodes[0].seen_count; j++) {
                cr_assert(net->nodes[0].seen[j].state == ZA_MEMBER_UP, "seed %" PRIu64, seed);
            }
        }
        za_cluster_counters_t counters = { 0 };
        za_membership_counters(net->nodes[0].membership, &counters);
        cr_assert(counters.suspects == 0, "seed %" PRIu64 ": it suspected others", seed);
        mini_destroy(net);
    }
}

Test(membership, nobody_is_suspected_at_five_percent_loss)
{
    uint64_t downs = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        mini_net_t *net = cluster(seed, 8);
        net->loss_permille = 50;
        mini_run(net, 120000);
        downs += net->marks[ZA_MARK_DOWN];
        cr_assert(mini_converged(net) || net->marks[ZA_MARK_SUSPECT] > 0, "seed %" PRIu64, seed);
        mini_destroy(net);
    }
    cr_assert(downs == 0, "%" PRIu64 " downs", downs);
}

Test(membership, an_idle_node_sends_less_than_400_bytes_per_second)
{
    mini_net_t *net = cluster(9, 16);
    mini_run(net, 20000);
    net->bytes_sent = 0;
    net->datagrams_sent = 0;
    mini_run(net, 60000);
    uint64_t per_node = (net->bytes_sent + 70 * net->datagrams_sent) / 60 / 16;
    printf("%" PRIu64 " bytes per node and second\n", per_node);
    cr_assert(per_node < 400, "%" PRIu64, per_node);
    mini_destroy(net);
}

Test(membership, one_seed_gives_one_run)
{
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        mini_net_t *net = cluster(11, 5);
        net->loss_permille = 100;
        mini_run(net, 20000);
        hashes[i] = net->hash;
        mini_destroy(net);
    }
    cr_assert(hashes[0] == hashes[1], "two runs of one seed differ");
}

Test(membership, more_members_than_a_full_mesh_become_one_cluster)
{
    mini_net_t *net = mini_create(12, 90, za_cluster_timing_lan);
    mini_start_all(net);
    uint64_t elapsed;
    MINI_RUN_UNTIL(net, mini_converged(net), 20000, elapsed);
    cr_assert(elapsed != UINT64_MAX, "never one cluster");
    mini_run(net, 30000);
    cr_assert(mini_converged(net), "it did not stay one");
    uint64_t uid = mini_uid(net, 50);
    mini_crash(net, 50);
    MINI_RUN_UNTIL(net, mini_all_see(net, uid, ZA_MEMBER_DOWN), 20000, elapsed);
    cr_assert(elapsed != UINT64_MAX, "the crash was missed");
    mini_destroy(net);
}

// X1: what a peer sends may be anything; it costs a counter.
Test(membership, garbage_costs_a_counter_and_nothing_else)
{
    mini_net_t *net = cluster(13, 3);
    za_rng_t rng;
    za_rng_init(&rng, 13);
    uint64_t view = za_membership_view_hash(net->nodes[0].membership);
    uint64_t peer = mini_uid(net, 1);
    uint8_t bytes[256];
    for (int i = 0; i < 20000; i++) {
        uint64_t size = za_rng_below(&rng, sizeof bytes);
        for (uint64_t j = 0; j < size; j++) {
            bytes[j] = (uint8_t)(za_rng_next(&rng) >> 56);
        }
        za_cluster_event_t event = { .type = i % 2 ? ZA_CLUSTER_FRAME : ZA_CLUSTER_DATAGRAM,
                                     .uid = peer,
                                     .bytes = bytes,
                                     .size = (uint32_t)size };
        bytes[0] = i % 4 == 1 ? ZA_MEMBERSHIP_TAG : bytes[0];
        mini_step(net, 0, event);
    }
    za_cluster_counters_t counters = { 0 };
    za_membership_counters(net->nodes[0].membership, &counters);
    cr_assert(counters.frames_bad > 5000 && counters.datagrams_bad > 5000, "not counted");
    cr_assert(za_membership_view_hash(net->nodes[0].membership) == view, "the view changed");
    mini_run(net, 5000);
    cr_assert(mini_converged(net), "no longer one view");
    mini_destroy(net);
}

Test(membership, a_configuration_out_of_bounds_is_refused)
{
    za_membership_t *membership = NULL;
    za_cluster_config_t config = { .name = "n", .address = "h:1", .timing = za_cluster_timing_lan };
    cr_assert(za_membership_create(NULL, 0, &membership) == ZA_EINVAL, "NULL");
    config.name = "";
    cr_assert(za_membership_create(&config, 0, &membership) == ZA_EINVAL, "no name");
    config.name = "n";
    config.timing.probe_interval_ms = 0;
    cr_assert(za_membership_create(&config, 0, &membership) == ZA_EINVAL, "no interval");
    cr_assert(membership == NULL, "the out-parameter was touched");
    za_membership_destroy(NULL);
}
