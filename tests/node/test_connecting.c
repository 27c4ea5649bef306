// Whom a node connects to, and when: many that start at once, seen as whole simulated nodes.
#include "support/za_test.h"

#include <zactor/sim.h>

#include "cluster/cluster.h"
#include "node/node.h"
#include "support/note.h"

enum {
    MANY = 12,
    MESH = MANY * (MANY - 1), // links, counted at both ends
    HURRY_MS = 200,           // less than the mesh waits
    KNOWN_MS = 2000,          // until all know all
    MESH_MS = 20000,          // until the mesh is made
};

typedef struct clerk {
    uint64_t unused;
} clerk_t;

static za_verdict_t on_note(za_ctx_t *ctx, clerk_t *self, const t_Note *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    return ZA_DONE;
}

ZA_ACTOR(clerk, clerk_t, (t_Note, on_note));

static za_sim_t *sim_of(uint32_t nodes)
{
    za_sim_t *sim;
    za_sim_opts_t opts = { .size = sizeof opts, .seed = 3, .nodes = nodes };
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK);
    return sim;
}

static bool count_up(const za_member_info_t *info, void *context)
{
    *(uint32_t *)context += info->state == ZA_MEMBER_UP;
    return true;
}

static bool all_know_all(za_sim_t *sim, void *context)
{
    (void)context;
    uint32_t nodes = za_sim_node_count(sim);
    uint32_t up = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        za_cluster_each_member(za_node_cluster(za_sim_node(sim, i)), count_up, &up);
    }
    return up == nodes * nodes;
}

static uint64_t links(za_sim_t *sim)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < za_sim_node_count(sim); i++) {
        za_node_counters_t counters;
        za_node_counters(za_sim_node(sim, i), &counters);
        sum += counters.links_opened;
    }
    return sum;
}

static bool mesh_is_made(za_sim_t *sim, void *context)
{
    (void)context;
    uint64_t nodes = za_sim_node_count(sim);
    return links(sim) >= nodes * (nodes - 1); // a pair may have had two for a moment
}

// The handshakes of the mesh would take the cores from those that still join.
Test(connecting, the_mesh_waits_until_all_have_joined)
{
    za_sim_t *sim = sim_of(MANY);
    cr_assert(za_sim_run_until(sim, all_know_all, NULL, KNOWN_MS), "they did not meet");
    cr_expect(links(sim) < MESH / 2, "%u links", (unsigned)links(sim));
    cr_assert(za_sim_run_until(sim, mesh_is_made, NULL, MESH_MS), "only %u of %d links",
              (unsigned)links(sim), MESH);
    za_sim_destroy(sim);
}

static uint64_t messages_in(za_sim_t *sim, uint32_t node)
{
    za_node_counters_t counters;
    za_node_counters(za_sim_node(sim, node), &counters);
    return counters.messages_in;
}

// Of two nodes the one with the lower uid connects, so that only its messages can hurry a link.
Test(connecting, a_link_that_messages_wait_for_is_made_at_once)
{
    za_sim_t *sim = sim_of(MANY);
    cr_assert(za_sim_run_until(sim, all_know_all, NULL, KNOWN_MS), "they did not meet");
    za_ref_t clerk;
    cr_assert(za_sim_spawn(sim, MANY - 1, clerk, &clerk) == ZA_OK);
    clerk.node = za_node_uid(za_sim_node(sim, MANY - 1));
    uint32_t hurried = 0;
    for (uint32_t i = 0; i < MANY - 1; i++) {
        hurried += za_node_uid(za_sim_node(sim, i)) < clerk.node;
        cr_assert(za_sim_tell(sim, i, clerk, ZA_MSG(t_Note, .n = i)) == ZA_OK, "node %u", i);
    }
    cr_assert(hurried > 1, "another seed is wanted");
    za_sim_run_for(sim, HURRY_MS);
    cr_expect(messages_in(sim, MANY - 1) >= hurried, "%u of %u",
              (unsigned)messages_in(sim, MANY - 1), hurried);
    cr_expect(links(sim) < MESH, "and only this link");
    za_sim_destroy(sim);
}
