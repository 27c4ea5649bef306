/** Messages of one handler to the same actor, which are pushed together. */
#include "core/world.h"

enum { MANY = 8, WARM = 20 };

static za_ref_t first_ref, second_ref;

static void tell_num(za_ctx_t *ctx, za_ref_t to, uint64_t n)
{
    za_err_t err = za_tell(ctx, to, ZA_MSG(t_Num, .n = n));
    cr_assert(err == ZA_OK, "tell %llu: %s", (unsigned long long)n, za_err_name(err));
}

/** A world whose pool has blocks: only then messages go the short way, where batches are. */
static za_ref_t begin(world_t *world, behave_fn *behave)
{
    world_init(world, (za_runtime_config_t){ 0 });
    za_ref_t teller = world_spawn(world);
    first_ref = world_spawn(world);
    second_ref = world_spawn(world);
    world_behave = behave;
    for (uint64_t i = 0; i < WARM; i++) {
        world_go(world, teller, i, ZA_REF_NONE);
        world_run(world);
    }
    world_log_count = 0;
    return teller;
}

/** Expects that the first actor got 0, 1, 2 .. `count` - 1 in this order. */
static void expect_in_order(uint64_t count)
{
    cr_assert(world_count('N', first_ref.actor) == count, "all came");
    for (uint64_t i = 0; i < count; i++) {
        const event_t *event = world_nth('N', first_ref.actor, i);
        cr_expect(event->n == i, "number %llu came at place %llu", (unsigned long long)event->n,
                  (unsigned long long)i);
    }
}

static za_verdict_t tells_another_between(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        for (uint64_t n = 0; n < MANY; n++) {
            tell_num(ctx, first_ref, n);
            if (n == MANY / 2) {
                tell_num(ctx, second_ref, 0);
            }
        }
    }
    return ZA_DONE;
}

// The batch to the first is open when the second is told; what follows must not overtake it.
Test(batch, keeps_its_order_when_another_actor_is_told_in_between)
{
    world_t world;
    za_ref_t teller = begin(&world, tells_another_between);
    world_go(&world, teller, 0, ZA_REF_NONE);
    world_run(&world);
    expect_in_order(MANY);
    za_runtime_destroy(world.runtime);
}

static za_verdict_t copies_and_moves(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        for (uint64_t n = 0; n < MANY; n++) {
            void *message = za_new(ctx, &t_Num_type, 0);
            ((t_Num *)message)->n = n;
            bool moves = n % 3 == 2; // two ways to the same mailbox
            if (moves) {
                cr_assert(za_send(ctx, first_ref, &message) == ZA_OK, "moved");
            } else {
                tell_num(ctx, first_ref, n);
            }
        }
    }
    return ZA_DONE;
}

Test(batch, keeps_its_order_when_some_are_copied_and_some_moved)
{
    world_t world;
    za_ref_t teller = begin(&world, copies_and_moves);
    world_go(&world, teller, 0, ZA_REF_NONE);
    world_run(&world);
    expect_in_order(MANY);
    za_runtime_destroy(world.runtime);
}
