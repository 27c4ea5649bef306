// Which roles nodes have, as routers look at them.
#include "node/roles.h"

#include <stdio.h>

#include <zactor/sim.h>

#include "base/hash.h"
#include "node/state.h"
#include "support/za_test.h"

static za_roles_t *roles;

static void open_roles(uint32_t nodes_max, const char *own)
{
    cr_assert(za_roles_create(nodes_max, own, &roles) == ZA_OK, "made");
}

static bool has(uint64_t uid, const char *role)
{
    uint64_t bit = za_roles_bit(roles, role);
    return bit != 0 && (za_roles_of(roles, uid) & bit) != 0;
}

Test(roles, of_a_node_are_those_that_were_set_last)
{
    open_roles(100, "web,a.b-c_9");
    cr_expect(has(0, "web") && has(0, "a.b-c_9") && !has(0, "we") && !has(0, "web,a.b-c_9"),
              "its own");
    cr_assert(za_roles_set(roles, 7, "web,gpu") == ZA_OK && za_roles_set(roles, 8, "gpu") == ZA_OK,
              "set");
    cr_expect(has(7, "web") && has(7, "gpu") && !has(8, "web") && has(8, "gpu"), "of others");
    cr_assert(za_roles_set(roles, 7, "gpu") == ZA_OK && za_roles_set(roles, 8, "") == ZA_OK, "set");
    cr_expect(!has(7, "web") && has(7, "gpu") && !has(8, "gpu"), "others");
    za_roles_forget(roles, 7);
    za_roles_forget(roles, 9);
    cr_expect(!has(7, "gpu") && za_roles_of(roles, 9) == 0, "gone");
    za_roles_destroy(roles);
}

Test(roles, beyond_64_are_said_to_be_too_many)
{
    open_roles(100, "");
    char text[8];
    for (uint64_t i = 0; i < ZA_ROLES_KNOWN_MAX; i++) {
        snprintf(text, sizeof text, "r%u", (unsigned)i);
        cr_assert(za_roles_set(roles, 1 + i, text) == ZA_OK, "%s", text);
    }
    cr_expect(za_roles_set(roles, 99, "r3,r64") == ZA_ENOBUFS, "one more");
    cr_expect(has(99, "r3") && !has(99, "r64") && has(64, "r63"), "those that are known");
    za_roles_destroy(roles);
}

// Many nodes come and go, as with a cluster that lives for years: what others left is used again.
Test(roles, of_many_nodes_that_come_and_go_are_kept)
{
    enum { LIVE = 3000, LIVES = 60 };
    open_roles(4096, "");
    for (uint64_t life = 0; life < LIVES; life++) {
        for (uint64_t i = 0; i < LIVE; i++) {
            za_roles_forget(roles, za_mix64((life - 1) * LIVE + i + 1));
            cr_assert(za_roles_set(roles, za_mix64(life * LIVE + i + 1), i % 2 ? "a" : "b,c") ==
                          ZA_OK,
                      "room for node %u of life %u", (unsigned)i, (unsigned)life);
        }
    }
    for (uint64_t i = 0; i < LIVE; i++) {
        uint64_t uid = za_mix64((LIVES - 1) * (uint64_t)LIVE + i + 1);
        cr_assert(has(uid, "a") == (i % 2 == 1) && has(uid, "c") == (i % 2 == 0), "kept");
        cr_assert(za_roles_of(roles, za_mix64((LIVES - 2) * (uint64_t)LIVE + i + 1)) == 0, "gone");
    }
    za_roles_destroy(roles);
}

static bool converged(za_sim_t *sim, void *context)
{
    (void)context;
    return za_sim_converged(sim);
}

// What others left is used again: a node that is down or has left takes no room.
Test(roles, of_nodes_that_are_gone_are_forgotten)
{
    static const char *const each[3] = { "web", "gpu", "disk" };
    za_sim_t *sim;
    const za_sim_opts_t opts = { .size = sizeof opts, .seed = 5, .nodes = 3, .roles = each };
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK, "made");
    cr_assert(za_sim_run_until(sim, converged, NULL, 60000), "up");
    uint64_t left = za_node_uid(za_sim_node(sim, 1)), down = za_node_uid(za_sim_node(sim, 2));
    roles = za_sim_node(sim, 0)->roles;
    cr_expect(has(0, "web") && has(left, "gpu") && has(down, "disk") && !has(down, "gpu"), "all");
    za_sim_leave(sim, 1);
    za_sim_crash(sim, 2);
    za_sim_run_for(sim, 30000);
    cr_expect(za_roles_of(roles, left) == 0 && za_roles_of(roles, down) == 0, "gone");
    za_sim_destroy(sim);
}
