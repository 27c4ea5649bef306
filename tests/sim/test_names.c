// Names in whole nodes: what all that knows of them takes together.
#include "support/za_test.h"

#include <stdio.h>

#include <zactor/sim.h>
#include <zactor/zactor.h>

#include "node/state.h"

enum { NAMES = 100000, OWNERS = 200, OWNED = NAMES / OWNERS, NODES = 2 };

static uint32_t begun; // owners that have taken their names

typedef struct owner {
    uint32_t unused;
} owner_t;

static za_verdict_t on_started(za_ctx_t *ctx, owner_t *self, const za_Started *started)
{
    (void)self;
    (void)started;
    for (uint32_t i = 0; i < OWNED; i++) {
        char name[ZA_NAME_BYTES_MAX + 1];
        snprintf(name, sizeof name, "service-%u-%u", begun, i);
        cr_assert(za_register(ctx, name) == ZA_OK, "%s is free", name);
    }
    begun++;
    return ZA_DONE;
}

ZA_ACTOR(owner, owner_t, (za_Started, on_started));

static bool converged(za_sim_t *sim, void *context)
{
    (void)context;
    return za_sim_converged(sim);
}

static void check_node(za_sim_t *sim, uint32_t index)
{
    za_node_t *node = za_sim_node(sim, index);
    for (uint32_t i = 0; i < NAMES; i++) {
        char name[ZA_NAME_BYTES_MAX + 1];
        za_ref_t found;
        snprintf(name, sizeof name, "service-%u-%u", i / OWNED, i % OWNED);
        cr_assert(za_names_find(node->names, name, &found) == ZA_OK, "%s", name);
        cr_assert((found.node == 0) == (i / OWNED % NODES == index), "%s: where it is", name);
    }
    za_cluster_counters_t counters;
    za_cluster_counters(node->cluster, &counters);
    size_t lookups = za_names_bytes(node->names);
    uint64_t sum = counters.registry_bytes + lookups;
    printf("node %u, 100,000 names: %.1f MiB in the registry, %.1f MiB for lookups\n", index,
           (double)counters.registry_bytes / 1048576, (double)lookups / 1048576);
    cr_expect(counters.registry_bytes > (uint64_t)NAMES * sizeof(za_ref_t) &&
                  lookups > NAMES * sizeof(za_ref_t),
              "both count what they hold");
    cr_expect(sum <= UINT64_C(30) << 20, "%.1f MiB", (double)sum / 1048576);
}

// What the allocators of both tables say is in use, in a node that owns half of the names and has
// learnt the other half.
Test(names, a_node_holds_a_hundred_thousand_in_30_MiB, .timeout = 300)
{
    za_sim_t *sim;
    za_sim_opts_t opts = { .size = sizeof opts, .seed = 1, .nodes = NODES };
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK, "memory");
    cr_assert(za_sim_run_until(sim, converged, NULL, 5000), "the nodes find each other");
    for (uint32_t i = 0; i < OWNERS; i++) {
        za_ref_t ref;
        cr_assert(za_sim_spawn(sim, i % NODES, owner, &ref) == ZA_OK, "spawned");
        za_sim_run_for(sim, 10);
        cr_assert(begun == i + 1, "one after the other");
    }
    za_sim_run_for(sim, 10000);
    for (uint32_t i = 0; i < NODES; i++) {
        check_node(sim, i);
    }
    za_sim_destroy(sim);
}
