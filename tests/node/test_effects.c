// What the cluster asks of a node, carried out: what actors hear of it.
#include "node/state.h"

#include <string.h>

#include <zactor/sim.h>

#include "support/note.h"
#include "support/za_test.h"

static za_NameLost heard;
static uint32_t heard_count;

typedef struct holder {
    uint32_t unused;
} holder_t;

static za_verdict_t on_lost(za_ctx_t *ctx, holder_t *self, const za_NameLost *lost)
{
    (void)ctx;
    (void)self;
    heard = *lost;
    heard_count++;
    return ZA_DONE;
}

static za_verdict_t on_note(za_ctx_t *ctx, holder_t *self, const t_Note *note)
{
    (void)ctx;
    (void)self;
    (void)note;
    return ZA_DONE;
}
ZA_ACTOR(holder, holder_t, (za_NameLost, on_lost), (t_Note, on_note));

static void expect_loss(za_sim_t *sim, za_ref_t actor, za_err_t err, za_ref_t winner,
                        za_NameLoss reason)
{
    za_node_t *node = za_sim_node(sim, 0);
    za_effects_reset(node->effects);
    za_effect_t *effect = za_effects_add(node->effects, ZA_EFFECT_NAME_LOST);
    effect->name = "db";
    effect->actor = actor.actor;
    effect->err = err;
    effect->ref = winner;
    heard_count = 0;
    za_node_carry_out(node);
    // Nobody wakes a worker from outside of its turn but for this.
    cr_assert(za_sim_tell(sim, 0, actor, ZA_MSG(t_Note, .n = 1)) == ZA_OK);
    za_sim_run_for(sim, 10);
    cr_assert(heard_count == 1 && strcmp(heard.name, "db") == 0, "%u", heard_count);
    cr_expect(heard.reason == reason, "%s is %d", za_err_name(err), (int)heard.reason);
    cr_expect(heard.winner.node == winner.node && heard.winner.actor == winner.actor, "the winner");
}

Test(effects, an_actor_hears_why_it_lost_its_name)
{
    za_sim_t *sim;
    za_sim_opts_t opts = { .size = sizeof opts, .seed = 4, .nodes = 1 };
    cr_assert(za_sim_create(&opts, &sim) == ZA_OK);
    za_ref_t ref;
    cr_assert(za_sim_spawn(sim, 0, holder, &ref) == ZA_OK);
    za_sim_run_for(sim, 10);
    expect_loss(sim, ref, ZA_EEXIST, (za_ref_t){ 7, 8 }, za_NameLoss_NAME_TAKEN);
    expect_loss(sim, ref, ZA_EUNAVAILABLE, ZA_REF_NONE, za_NameLoss_NAME_GIVEN_UP);
    expect_loss(sim, ref, ZA_ENOBUFS, ZA_REF_NONE, za_NameLoss_NAME_NO_ROOM);
    expect_loss(sim, ref, ZA_EINVAL, ZA_REF_NONE, za_NameLoss_NAME_LOSS_UNKNOWN);
    za_sim_destroy(sim);
}
