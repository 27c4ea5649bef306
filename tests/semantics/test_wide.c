// More nodes than a full mesh: messages and watches find their way to those without a link, too.
#include "support/seeds.h"
#include "support/za_test.h"

#include <zactor/sim.h>
#include <zactor/zactor.h>

#include "probe.za.h"

enum { NODES = 80, FORM_MS = 20000, TARGET = NODES - 1 };

enum { OP_WATCH, OP_COUNT, OP_STOP };

static za_sim_t *sim;
static za_ref_t refs[NODES];
static za_ref_t target;  // as seen from elsewhere
static uint32_t counted; // messages that reached the target
static uint32_t fired;   // watches of it

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
    default:
        return ZA_STOP;
    }
}

static za_verdict_t on_down(za_ctx_t *ctx, peer_t *self, const za_Down *down)
{
    (void)ctx;
    (void)self;
    cr_expect(down->reason == za_Reason_REASON_STOPPED, "of its own will");
    fired++;
    return ZA_DONE;
}

ZA_ACTOR(peer, peer_t, (probe_Do, on_do), (za_Down, on_down));

static bool converged(za_sim_t *all, void *context)
{
    (void)context;
    return za_sim_converged(all);
}

static void tell(uint32_t from, za_ref_t to, const probe_Do *order)
{
    za_err_t err = za_sim_tell(sim, from, to, &probe_Do_type, order);
    cr_assert(err == ZA_OK, "n%u: %s", from, za_err_text(err));
}

static void open_wide(void)
{
    if (ZA_SANITIZED) {
        cr_skip_test("the shadow memory of so many nodes takes minutes");
    }
    za_sim_opts_t opts = { .size = sizeof opts,
                           .seed = 50,
                           .nodes = NODES,
                           .actors_max = 100,
                           .pool_bytes_max = 1 << 22 };
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK);
    cr_assert(za_sim_run_until(sim, converged, NULL, FORM_MS), "they find each other");
    for (uint32_t i = 0; i < NODES; i++) {
        cr_assert(za_sim_spawn(sim, i, peer, &refs[i]) == ZA_OK);
    }
    target = refs[TARGET];
    target.node = za_node_uid(za_sim_node(sim, TARGET));
}

Test(wide, messages_reach_members_without_a_link_at_once, .timeout = 120)
{
    open_wide();
    for (uint32_t i = 0; i < TARGET; i++) {
        tell(i, target, &(probe_Do){ .op = OP_COUNT });
    }
    za_sim_run_for(sim, 400);
    cr_expect(counted == TARGET, "%u of %u messages came", counted, TARGET);
    za_sim_destroy(sim);
}

Test(wide, watches_reach_members_without_a_link, .timeout = 120)
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
