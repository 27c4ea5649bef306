// More nodes than a full mesh: messages and watches find their way to those without a link, too.
#include "support/resident.h"
#include "support/seeds.h"
#include "support/za_test.h"

#include <zactor/sim.h>
#include <zactor/zactor.h>

#include "probe.za.h"

enum { NODES = 80, FORM_MS = 20000, TARGET = NODES - 1, WIDER = 300, LOOK_MS = 100 };

enum { OP_WATCH, OP_COUNT, OP_SPAWN, OP_STOP };

static za_sim_t *sim;
static za_ref_t refs[WIDER];
static za_ref_t target;  // as seen from elsewhere
static uint32_t counted; // messages that reached the target
static uint32_t fired;   // watches of it
static uint32_t began;   // children on the target's node
static uint32_t moved;   // children that began again elsewhere

typedef struct child {
    uint32_t unused;
} child_t;

static za_verdict_t on_start(za_ctx_t *ctx, child_t *self, const probe_Do *order)
{
    (void)ctx;
    (void)self;
    (void)order;
    return ZA_DONE;
}

ZA_ACTOR(child, child_t, (probe_Do, on_start));

typedef struct peer {
    uint32_t unused;
} peer_t;

static za_verdict_t on_do(za_ctx_t *ctx, peer_t *self, const probe_Do *order)
{
    (void)self;
    switch (order->op) {
    case OP_WATCH:
        cr_assert(za_watch(ctx, order->ref) == ZA_OK, "watches");
        return ZA_DONE;
    case OP_COUNT:
        counted++;
        return ZA_DONE;
    case OP_SPAWN:
        for (uint32_t tag = 1; tag <= order->n; tag++) {
            cr_assert(za_spawn_on(ctx, order->node, child, .tag = tag) == ZA_OK, "asked");
        }
        return ZA_DONE;
    default:
        return ZA_STOP;
    }
}

static za_verdict_t on_spawned(za_ctx_t *ctx, peer_t *self, const za_Spawned *spawned)
{
    (void)ctx;
    (void)self;
    began += spawned->epoch == 1;
    moved += spawned->epoch == 2;
    return ZA_DONE;
}

static za_verdict_t on_down(za_ctx_t *ctx, peer_t *self, const za_Down *down)
{
    (void)ctx;
    (void)self;
    cr_expect(down->reason == za_Reason_REASON_STOPPED, "of its own will");
    fired++;
    return ZA_DONE;
}

ZA_ACTOR(peer, peer_t, (probe_Do, on_do), (za_Down, on_down), (za_Spawned, on_spawned));

static void tell(uint32_t from, za_ref_t to, const probe_Do *order)
{
    za_err_t err = za_sim_tell(sim, from, to, &probe_Do_type, order);
    cr_assert(err == ZA_OK, "n%u: %s", from, za_err_text(err));
}

static void open_nodes(uint32_t nodes)
{
    if (ZA_SANITIZED) {
        cr_skip_test("the shadow memory of so many nodes takes minutes");
    }
    static const za_class_t *const classes[] = { &child_class, NULL };
    za_sim_opts_t opts = { .size = sizeof opts,
                           .seed = 50,
                           .nodes = nodes,
                           .classes = classes,
                           .actors_max = 100,
                           .pool_bytes_max = 1 << 22 };
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK);
    for (uint32_t ms = 0; ms < FORM_MS && !za_sim_converged(sim); ms += LOOK_MS) {
        za_sim_run_for(sim, LOOK_MS); // to compare all views after each event takes minutes
    }
    cr_assert(za_sim_converged(sim), "they find each other");
    for (uint32_t i = 0; i < nodes; i++) {
        cr_assert(za_sim_spawn(sim, i, peer, &refs[i]) == ZA_OK);
    }
}

static void open_wide(void)
{
    open_nodes(NODES);
    target = refs[TARGET];
    target.node = za_node_uid(za_sim_node(sim, TARGET));
}

// A node has tables for thousands of members, children and names, of which most never touch a page.
Test(wide, a_member_takes_little_memory, .timeout = 300)
{
    enum { KIB_MAX = 2600 };
    uint64_t before = resident_bytes();
    open_wide();
    uint64_t kib = (resident_bytes() - before) / NODES / 1024;
    cr_expect(kib <= KIB_MAX, "%" PRIu64 " KiB each", kib);
    za_sim_destroy(sim);
}

Test(wide, messages_reach_members_without_a_link_at_once, .timeout = 300)
{
    open_wide();
    for (uint32_t i = 0; i < TARGET; i++) {
        tell(i, target, &(probe_Do){ .op = OP_COUNT });
    }
    za_sim_run_for(sim, 400);
    cr_expect(counted == TARGET, "%u of %u messages came", counted, TARGET);
    za_sim_destroy(sim);
}

Test(wide, watches_reach_members_without_a_link, .timeout = 300)
{
    open_wide();
    for (uint32_t i = 0; i < TARGET; i++) {
        tell(i, refs[i], &(probe_Do){ .op = OP_WATCH, .ref = target });
    }
    za_sim_run_for(sim, 5000);
    tell(TARGET, refs[TARGET], &(probe_Do){ .op = OP_STOP });
    za_sim_run_for(sim, 5000);
    cr_expect(fired == TARGET, "%u of %u watches fired", fired, TARGET);
    za_sim_destroy(sim);
}

// A host of choice is one of many, linked or not, and nothing more may ever be heard of it.
Test(wide, children_are_started_again_on_members_without_a_link, .timeout = 300)
{
    enum { CHILDREN = 20, PARENT = NODES / 2 }; // all have links to those that they joined by
    open_wide();
    tell(PARENT, refs[PARENT], &(probe_Do){ .op = OP_SPAWN, .node = target.node, .n = CHILDREN });
    za_sim_run_for(sim, 5000);
    cr_assert(began == CHILDREN, "%u of %u children began", began, CHILDREN);
    za_sim_crash(sim, TARGET);
    za_sim_run_for(sim, 10000);
    cr_expect(moved == CHILDREN, "%u of %u began again", moved, CHILDREN);
    za_sim_destroy(sim);
}

// More than it may have links with: those that rest make room for the next.
Test(wide, a_node_reaches_more_members_than_it_has_links, .timeout = 300)
{
    enum { AT_ONCE = 100, REST_MS = 4000 };
    open_nodes(WIDER);
    for (uint32_t i = 1; i < WIDER; i++) {
        za_ref_t to = refs[i];
        to.node = za_node_uid(za_sim_node(sim, i));
        tell(0, to, &(probe_Do){ .op = OP_COUNT });
        if (i % AT_ONCE == 0) {
            za_sim_run_for(sim, REST_MS);
        }
    }
    za_sim_run_for(sim, REST_MS);
    cr_expect(counted == WIDER - 1, "%u of %u messages came", counted, WIDER - 1);
    za_sim_destroy(sim);
}
