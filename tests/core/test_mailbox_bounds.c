/** Bounds are exact however small they are, and a full mailbox is its actor's trouble alone. */
#include "base/limits.h"
#include "base/rng.h"
#include "world.h"

static world_t world;

static za_ref_t a, b, c;

static uint64_t lost(void)
{
    return world_counters(&world).dead_by_reason[za_Reason_REASON_MAILBOX_FULL];
}

static za_ref_t spawn_bounded(uint32_t bound, za_overflow_t overflow)
{
    return world_spawn_opts(&world, (za_spawn_opts_t){ .mailbox = bound, .overflow = overflow });
}

/* ---- exactly so many ---------------------------------------------------------------------- */

static uint32_t sends_accepted;

/** t_Go n: so many messages to `ref`; counts what was accepted. t_Go to `a`: it fails. */
static za_verdict_t send_many(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G' && event->self == a.actor) {
        return ZA_FAIL;
    }
    for (uint64_t i = 0; event->kind == 'G' && i < event->n; i++) {
        za_err_t err = za_tell(ctx, event->ref, ZA_MSG(t_Num, .n = i));
        cr_assert(err == ZA_OK || err == ZA_EFULL, "%s", za_err_name(err));
        sends_accepted += err == ZA_OK;
    }
    return ZA_DONE;
}

/** While an actor waits for its restart, others tell it this and that. */
static void expect_room_for(uint32_t bound, uint64_t first)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = world_spawn_opts(
        &world, (za_spawn_opts_t){ .mailbox = bound, .max_restarts = 1, .backoff_min_ms = 100 });
    b = world_spawn(&world);
    c = world_spawn(&world);
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);

    sends_accepted = 0;
    world_go(&world, b, first, a);
    world_run(&world);
    cr_assert(sends_accepted == (first < bound ? first : bound), "bound %u: %u of the first", bound,
              sends_accepted);
    world_go(&world, c, 10, a);
    world_run(&world);
    cr_assert(sends_accepted == bound, "bound %u: %u of both", bound, sends_accepted);
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_EFULL, "full");

    world_advance(&world, 101);
    cr_assert(world_count('N', a.actor) == bound, "bound %u: all came", bound);
    za_runtime_destroy(world.runtime);
}

Test(mailbox_bounds, small_bounds_are_exact_for_many_senders)
{
    world_behave = send_many;
    for (uint32_t bound = 1; bound <= 4; bound++) {
        for (uint64_t first = 0; first <= bound + 1; first++) {
            expect_room_for(bound, first);
        }
    }
}

enum { LINKED_BOUND = 256, LINKED_FIRST = 40 };

static za_verdict_t fail_in_the_middle(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)ctx;
    (void)self;
    return event->kind == 'N' && event->n == LINKED_FIRST / 2 ? ZA_FAIL : ZA_DONE;
}

/** What an idle actor of LINKED_BOUND takes until it is full. */
static uint32_t count_places(za_ref_t actor)
{
    uint32_t places = 0;
    while (world_tell(&world, actor, ZA_MSG(t_Num, .n = LINKED_FIRST)) == ZA_OK) {
        places++;
    }
    return places;
}

// It handled some whose places it had not made free yet, when it began to wait.
Test(mailbox_bounds, a_failure_among_many_messages_costs_no_place)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = fail_in_the_middle;
    a = world_spawn_opts(
        &world,
        (za_spawn_opts_t){ .mailbox = LINKED_BOUND, .max_restarts = 1, .backoff_min_ms = 100 });
    world_run(&world);
    for (uint64_t n = 0; n < LINKED_FIRST; n++) {
        cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = n)) == ZA_OK, "room");
    }
    world_advance(&world, 101);
    cr_assert(world_count('N', a.actor) == LINKED_FIRST, "it went on after its restart");
    uint32_t places = count_places(a);
    cr_assert(places == LINKED_BOUND, "%u places of %u", places, (unsigned)LINKED_BOUND);
    za_runtime_destroy(world.runtime);
}

static za_verdict_t refill(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && event->n > 0) {
        // The place of the message being handled, and no other.
        cr_assert(za_tell(ctx, za_self(ctx), ZA_MSG(t_Num, .n = event->n - 1)) == ZA_OK, "its own");
        cr_assert(za_tell(ctx, za_self(ctx), ZA_MSG(t_Num, .n = 0)) == ZA_EFULL, "no other");
    }
    return ZA_DONE;
}

Test(mailbox_bounds, a_handler_finds_the_place_of_its_message_and_no_other)
{
    world_behave = refill;
    for (uint32_t bound = 1; bound <= 4; bound++) {
        world_init(&world, (za_runtime_config_t){ 0 });
        a = spawn_bounded(bound, ZA_REJECT);
        for (uint32_t i = 0; i < bound; i++) {
            cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 200)) == ZA_OK, "place %u", i);
        }
        world_run(&world);
        cr_assert(world_count('N', 0) == 201u * bound, "bound %u: %zu came", bound,
                  world_count('N', 0));
        za_runtime_destroy(world.runtime);
    }
}

/** Tells of several handlers in random order and number, against a count. */
Test(mailbox_bounds, what_is_accepted_is_what_a_count_would_accept)
{
    world_behave = send_many;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        za_rng_t rng;
        za_rng_init(&rng, seed);
        world_init(&world, (za_runtime_config_t){ 0 });
        uint32_t bound = 1 + (uint32_t)za_rng_below(&rng, 100);
        za_overflow_t overflow = seed % 2 == 0 ? ZA_REJECT : ZA_DROP_NEWEST;
        a = spawn_bounded(bound, overflow);
        world_run(&world);
        for (int round = 0; round < 20; round++) {
            uint64_t lost_before = lost();
            uint32_t waiting = 0;
            uint32_t accepted = 0;
            for (uint64_t i = za_rng_below(&rng, 2 * bound + 2); i > 0; i--) {
                za_err_t err = world_tell(&world, a, ZA_MSG(t_Num, .n = i));
                bool fits = waiting < bound;
                cr_assert(err == (fits || overflow == ZA_DROP_NEWEST ? ZA_OK : ZA_EFULL),
                          "seed %d: %s with %u of %u", (int)seed, za_err_name(err), waiting, bound);
                waiting += fits;
                accepted += err == ZA_OK;
            }
            world_log_count = 0;
            world_run(&world);
            cr_assert(world_count('N', 0) == waiting, "seed %d: all came", (int)seed);
            cr_assert(lost() - lost_before == accepted - waiting, "seed %d: counted", (int)seed);
        }
        za_runtime_destroy(world.runtime);
    }
}

static za_verdict_t ask_two(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    for (uint64_t i = 1; event->kind == 'G' && i <= 2; i++) {
        za_err_t err = za_ask(ctx, event->ref, ZA_MSG(t_Num, .n = i), .timeout_ms = 1000, .tag = i);
        cr_assert(err == ZA_OK, "asked");
    }
    if (event->kind == 'N' && event->self == a.actor) {
        za_reply(ctx, ZA_MSG(t_Num, .n = 10 + event->n));
    }
    return ZA_DONE;
}

Test(mailbox_bounds, a_dropped_newest_ask_fails_at_once)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = ask_two;
    a = spawn_bounded(1, ZA_DROP_NEWEST);
    b = world_spawn(&world);
    world_run(&world);
    world_go(&world, b, 0, a);
    world_run(&world);
    const event_t *down = world_nth('D', b.actor, 0);
    cr_assert(down != NULL && down->tag == 2, "the second failed");
    cr_assert(down->reason == za_Reason_REASON_MAILBOX_FULL, "for want of room");
    cr_assert(world_count('D', b.actor) == 1 && world_count('T', b.actor) == 0, "once");
    cr_assert(world_count('N', b.actor) == 1 && world_nth('N', b.actor, 0)->n == 11, "the first");
    za_runtime_destroy(world.runtime);
}

/* ---- others have their turn --------------------------------------------------------------- */

static const za_overflow_t policies[] = { ZA_REJECT, ZA_DROP_NEWEST, ZA_DROP_OLDEST };

/** Messages that were handled before the first one of `c`. */
static size_t handled_before_c(void)
{
    const event_t *first = world_nth('N', c.actor, 0);
    cr_assert(first != NULL, "it had its turn");
    size_t before = 0;
    for (const event_t *event = world_log; event < first; event++) {
        before += event->kind != 'S';
    }
    return before;
}

Test(mailbox_bounds, an_actor_with_a_full_mailbox_does_not_starve_others)
{
    for (size_t i = 0; i < 3; i++) {
        world_init(&world, (za_runtime_config_t){ 0 });
        a = spawn_bounded(1000, policies[i]);
        c = world_spawn(&world);
        world_run(&world);
        for (uint64_t n = 0; n < 1200; n++) {
            za_err_t err = world_tell(&world, a, ZA_MSG(t_Num, .n = n));
            cr_assert(err == ZA_OK || policies[i] == ZA_REJECT, "policy %zu", i);
        }
        cr_assert(world_tell(&world, c, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "the other");
        world_run(&world);
        cr_assert(world_count('N', a.actor) == 1000, "policy %zu", i);
        cr_assert(handled_before_c() <= ZA_RUN_MESSAGES_MAX, "policy %zu: %zu before the other", i,
                  handled_before_c());
        za_runtime_destroy(world.runtime);
    }
}

static za_verdict_t flood_until_c(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && event->self == a.actor && world_nth('N', c.actor, 0) == NULL) {
        cr_assert(world_log_count < WORLD_EVENTS_MAX, "the other starves");
        for (int i = 0; i < 3; i++) {
            ZA_IGNORE(za_tell(ctx, za_self(ctx), ZA_MSG(t_Num, .n = 1)));
        }
    }
    return ZA_DONE;
}

Test(mailbox_bounds, an_actor_that_floods_itself_does_not_starve_others)
{
    world_behave = flood_until_c;
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t bound = 1; bound <= 256; bound *= 4) {
            world_init(&world, (za_runtime_config_t){ 0 });
            a = spawn_bounded(bound, policies[i]);
            c = world_spawn(&world);
            world_run(&world);
            cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "the first");
            cr_assert(world_tell(&world, c, ZA_MSG(t_Num, .n = 1)) == ZA_OK, "the other");
            world_run(&world);
            cr_assert(handled_before_c() <= ZA_RUN_MESSAGES_MAX, "policy %zu, bound %u: %zu", i,
                      bound, handled_before_c());
            za_runtime_destroy(world.runtime);
        }
    }
}
