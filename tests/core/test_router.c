#include "core/router.h"
#include "core/worker.h"
#include "world.h"

static world_t world;

enum { MEMBERS_MAX = 300, KEYS = 4000 };

static za_ref_t members[MEMBERS_MAX];
static uint32_t member_count;
static za_ref_t sender;

/* What the sender does with t_Go: `n` messages, numbered from 0. */
static za_policy_t policy;
static bool asks;
static bool leaves; // of `members`: the group
static uint64_t fixed_key;
static uint32_t accepted;
static za_err_t refusal; // the last one

/* What members got. */
static uint32_t got[MEMBERS_MAX];
static uint32_t owner[KEYS]; // who got the message of a key

static uint32_t index_of(uint64_t actor)
{
    for (uint32_t i = 0; i < member_count; i++) {
        if (members[i].actor == actor) {
            return i;
        }
    }
    return MEMBERS_MAX;
}

static void send_all(za_ctx_t *ctx, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t key = policy == ZA_HASH && fixed_key == 0 ? i : fixed_key;
        za_err_t err =
            asks ? za_route_ask(ctx, "pool", policy, key, ZA_MSG(t_Num, .n = i), .timeout_ms = 50)
                 : za_route(ctx, "pool", policy, key, ZA_MSG(t_Num, .n = i));
        accepted += err == ZA_OK;
        refusal = err == ZA_OK ? refusal : err;
    }
}

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    uint32_t index = index_of(event->self);
    if (event->kind == 'N' && index < MEMBERS_MAX) {
        got[index]++;
        owner[event->n % KEYS] = index;
        za_reply(ctx, ZA_MSG(t_Text, .n = event->n));
    } else if (event->kind == 'G' && leaves) {
        za_leave(ctx, "pool");
    } else if (event->kind == 'G') {
        send_all(ctx, event->n);
    }
    world_log_count = world_log_count > WORLD_EVENTS_MAX / 2 ? 0 : world_log_count;
    return ZA_DONE;
}

static void add_member(za_spawn_opts_t opts)
{
    opts.group = "pool";
    members[member_count++] = world_spawn_opts(&world, opts);
    world_run(&world);
}

static void setup(uint32_t count, uint32_t mailbox)
{
    world_init(&world, (za_runtime_config_t){ .mailbox_default = 100000 });
    world_behave = behave;
    sender = world_spawn(&world);
    for (uint32_t i = 0; i < count; i++) {
        add_member((za_spawn_opts_t){ .mailbox = mailbox });
    }
}

/** The sender sends `count` messages in one handler: no member works meanwhile. */
static void send(uint64_t count)
{
    memset(got, 0, sizeof got);
    accepted = 0;
    refusal = ZA_OK;
    world_go(&world, sender, count, ZA_REF_NONE);
    world_run(&world);
}

static void expect_each(uint32_t count)
{
    for (uint32_t i = 0; i < member_count; i++) {
        cr_assert(got[i] == count, "member %u got %u", (unsigned)i, (unsigned)got[i]);
    }
}

static uint64_t dead(za_Reason reason)
{
    return world_counters(&world).dead_by_reason[reason];
}

Test(router, takes_turns_over_all_senders)
{
    policy = ZA_ROUND_ROBIN;
    setup(3, 0);
    send(4);
    za_ref_t first = sender;
    sender = world_spawn(&world);
    send(0);
    world_go(&world, sender, 3, ZA_REF_NONE);
    world_go(&world, first, 2, ZA_REF_NONE);
    world_run(&world);
    cr_assert(got[0] + got[1] + got[2] == 5, "all arrived");
    send(9);
    expect_each(3);
    za_runtime_destroy(world.runtime);
}

// Nothing is refused while anybody has room, and nothing is lost.
static void expect_overflow(za_policy_t how)
{
    policy = how;
    setup(3, 2);
    add_member((za_spawn_opts_t){ .mailbox = 10 });
    send(16);
    cr_assert(accepted == 16 && refusal == ZA_OK, "%u accepted", (unsigned)accepted);
    cr_assert(got[0] == 2 && got[1] == 2 && got[2] == 2 && got[3] == 10, "all are full");
    send(17);
    cr_assert(accepted == 16 && refusal == ZA_EFULL, "one too many: %s", za_err_name(refusal));
    cr_assert(world_counters(&world).dead_letters == 0, "none lost");
    za_runtime_destroy(world.runtime);
}

Test(router, in_turn_passes_over_full_members)
{
    expect_overflow(ZA_ROUND_ROBIN);
}

Test(router, at_random_passes_over_full_members)
{
    expect_overflow(ZA_RANDOM);
}

Test(router, by_load_passes_over_full_members)
{
    expect_overflow(ZA_LEAST_LOADED);
}

Test(router, at_random_reaches_all_alike)
{
    policy = ZA_RANDOM;
    setup(10, 0);
    send(10000);
    for (uint32_t i = 0; i < 10; i++) {
        cr_assert(got[i] > 850 && got[i] < 1150, "member %u got %u", (unsigned)i,
                  (unsigned)got[i]); // five standard deviations
    }
    za_runtime_destroy(world.runtime);
}

/* ---- by key ------------------------------------------------------------------------------- */

/** A message for each key; `before` gets who had them. */
static void send_keys(uint32_t before[KEYS])
{
    memcpy(before, owner, sizeof owner);
    send(KEYS);
    cr_assert(accepted == KEYS, "all accepted");
}

Test(router, by_hash_gives_a_key_to_one_member)
{
    static uint32_t before[KEYS];
    policy = ZA_HASH;
    setup(7, 0);
    send_keys(before);
    for (int round = 0; round < 3; round++) {
        send_keys(before);
        cr_assert(memcmp(before, owner, sizeof owner) == 0, "the same owners");
    }
    za_runtime_destroy(world.runtime);
}

static bool is_near(uint32_t value, uint32_t expected, uint32_t percent)
{
    return value * 100 >= expected * (100 - percent) && value * 100 <= expected * (100 + percent);
}

// A property: for any number of members, one that comes or goes moves its own share and no more.
Test(router, by_hash_moves_only_the_keys_of_who_comes_or_goes)
{
    static uint32_t before[KEYS];
    policy = ZA_HASH;
    setup(1, 0);
    send_keys(before);
    for (uint32_t n = 2; n <= 24; n++) { // one joins
        add_member((za_spawn_opts_t){ 0 });
        send_keys(before);
        uint32_t moved = 0;
        for (uint32_t key = 0; key < KEYS; key++) {
            moved += owner[key] != before[key];
            cr_assert(owner[key] == before[key] || owner[key] == n - 1, "only to the new one");
        }
        cr_assert(is_near(moved, KEYS / n, 30), "%u of %u members: %u moved", (unsigned)n,
                  (unsigned)n, (unsigned)moved);
        for (uint32_t i = 0; i < n; i++) {
            cr_assert(is_near(got[i], KEYS / n, 35), "%u members: %u has %u keys", (unsigned)n,
                      (unsigned)i, (unsigned)got[i]);
        }
    }
    leaves = true;
    for (uint32_t i = 0; i < 23; i++) { // and one leaves
        uint32_t who = (i * 7) % 24;
        world_go(&world, members[who], 0, ZA_REF_NONE);
        world_run(&world);
        leaves = false;
        send_keys(before);
        for (uint32_t key = 0; key < KEYS; key++) {
            cr_assert((before[key] == who) == (owner[key] != before[key]), "only its own keys");
        }
        leaves = true;
    }
    za_runtime_destroy(world.runtime);
}

Test(router, by_hash_refuses_what_the_owner_has_no_room_for)
{
    policy = ZA_HASH;
    fixed_key = za_key("alice", 5);
    setup(5, 3);
    send(4);
    cr_assert(accepted == 3 && refusal == ZA_EFULL, "%s", za_err_name(refusal));
    uint32_t receivers = 0;
    for (uint32_t i = 0; i < 5; i++) {
        receivers += got[i] > 0;
    }
    cr_assert(receivers == 1, "nobody else got one");
    cr_assert(za_key("alice", 5) != za_key("alicf", 5) && za_key(NULL, 1) == 0, "keys");
    za_runtime_destroy(world.runtime);
}

/* ---- by load ------------------------------------------------------------------------------ */

Test(router, by_load_prefers_the_shortest_mailbox)
{
    policy = ZA_LEAST_LOADED;
    setup(3, 0);
    // Five wait for each of the first two; their messages are counted with the others.
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert(world_tell(&world, members[0], ZA_MSG(t_Num, .n = i)) == ZA_OK, "tell");
        cr_assert(world_tell(&world, members[1], ZA_MSG(t_Num, .n = i)) == ZA_OK, "tell");
    }
    const za_routed_t routed = { "pool", ZA_LEAST_LOADED, 0, ZA_MSG(t_Num, .n = 9), NULL };
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert(za_runtime_route(world.guest, &routed) == ZA_OK, "route");
    }
    world_run(&world);
    expect_each(5);
    za_runtime_destroy(world.runtime);
}

Test(router, by_load_lets_idle_members_take_turns)
{
    policy = ZA_LEAST_LOADED;
    setup(3, 0);
    for (int i = 0; i < 9; i++) {
        world_go(&world, sender, 1, ZA_REF_NONE);
        world_run(&world);
    }
    expect_each(3);
    za_runtime_destroy(world.runtime);
}

// Two choices: 20,000 messages over 50 queues would differ by 100 at random.
Test(router, by_load_levels_many_members)
{
    policy = ZA_LEAST_LOADED;
    setup(50, 0);
    send(20000);
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < 50; i++) {
        least = got[i] < least ? got[i] : least;
        most = got[i] > most ? got[i] : most;
    }
    cr_assert(most - least <= 10, "from %u to %u", (unsigned)least, (unsigned)most);
    za_runtime_destroy(world.runtime);
}

/* ---- to all ------------------------------------------------------------------------------- */

Test(router, broadcasts_to_each_member_once)
{
    policy = ZA_BROADCAST;
    setup(MEMBERS_MAX - 1, 0); // more than fit on the stack
    send(3);
    cr_assert(accepted == 3, "accepted");
    expect_each(3);
    za_runtime_destroy(world.runtime);
}

Test(router, counts_what_some_receivers_of_a_broadcast_refused)
{
    policy = ZA_BROADCAST;
    setup(2, 1);
    add_member((za_spawn_opts_t){ .mailbox = 2 });
    send(3);
    cr_assert(accepted == 2 && refusal == ZA_EFULL, "the third reached nobody");
    cr_assert(got[0] == 1 && got[1] == 1 && got[2] == 2, "each took what it had room for");
    cr_assert(dead(za_Reason_REASON_MAILBOX_FULL) == 2, "two of the second were lost");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t behave_topic(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    if (event->n == 0) {
        cr_assert(za_publish(ctx, "news", ZA_MSG(t_Num, .n = 1)) == ZA_OK, "nobody listens");
        cr_assert(za_route(ctx, "news", ZA_BROADCAST, 0, ZA_MSG(t_Num, .n = 1)) == ZA_ENOENT,
                  "a router wants somebody");
        cr_assert(za_subscribe(ctx, "news") == ZA_OK, "subscribe");
    } else if (event->n == 1) {
        cr_assert(za_publish(ctx, "news", ZA_MSG(t_Num, .n = 2)) == ZA_OK, "publish");
        cr_assert(za_publish(ctx, "", ZA_MSG(t_Num, .n = 2)) == ZA_EINVAL, "no topic");
    } else {
        za_unsubscribe(ctx, "news");
    }
    return ZA_DONE;
}

Test(router, publishes_to_all_subscribers_and_to_oneself)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = behave_topic;
    za_ref_t a = world_spawn(&world), b = world_spawn(&world);
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    world_go(&world, a, 1, ZA_REF_NONE);
    world_go(&world, b, 1, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 2 && world_count('N', b.actor) == 0, "subscribers");
    cr_assert(za_ref_equal(world_nth('N', a.actor, 1)->sender, b), "from whom");
    world_go(&world, a, 2, ZA_REF_NONE);
    world_go(&world, a, 1, ZA_REF_NONE);
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 2, "unsubscribed");
    za_runtime_destroy(world.runtime);
}

/* ---- asking ------------------------------------------------------------------------------- */

Test(router, asks_a_member_that_has_room)
{
    policy = ZA_ROUND_ROBIN;
    asks = true;
    setup(3, 1);
    send(4);
    cr_assert(accepted == 3 && refusal == ZA_EFULL, "each took one");
    expect_each(1);
    cr_assert(world_count('B', sender.actor) == 3, "three answers");
    world_advance(&world, 100);
    cr_assert(world_count('B', sender.actor) == 3 && world_count('T', sender.actor) == 0 &&
                  world_count('D', sender.actor) == 0,
              "what was refused has no outcome");
    za_runtime_destroy(world.runtime);
}

/* ---- what else may be asked for ----------------------------------------------------------- */

Test(router, finds_nobody_in_an_empty_group)
{
    setup(0, 0);
    for (int how = ZA_ROUND_ROBIN; how <= ZA_BROADCAST; how++) {
        policy = (za_policy_t)how;
        send(1);
        cr_assert(accepted == 0 && refusal == ZA_ENOENT, "%d: %s", how, za_err_name(refusal));
    }
    cr_assert(world_counters(&world).dead_letters == 0, "nothing was sent");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t behave_badly(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'G' || event->n != 99) {
        return ZA_DONE;
    }
    const t_Num num = { .n = 1 };
    const za_ask_opts_t ask = { .size = sizeof ask, .timeout_ms = 10 };
    cr_assert(za_route(NULL, "pool", ZA_RANDOM, 0, &t_Num_type, &num) == ZA_EINVAL, "no context");
    cr_assert(za_route(ctx, NULL, ZA_RANDOM, 0, &t_Num_type, &num) == ZA_EINVAL, "no group");
    cr_assert(za_route(ctx, "pool", ZA_RANDOM, 0, NULL, &num) == ZA_EINVAL, "no type");
    cr_assert(za_route(ctx, "pool", ZA_RANDOM, 0, &t_Num_type, NULL) == ZA_EINVAL, "no message");
    cr_assert(za_route(ctx, "pool", (za_policy_t)5, 0, &t_Num_type, &num) == ZA_EINVAL, "policy");
    cr_assert(za_route(ctx, "pool", (za_policy_t)-1, 0, &t_Num_type, &num) == ZA_EINVAL, "policy");
    cr_assert(za_route_ask_with(ctx, "pool", ZA_BROADCAST, 0, &t_Num_type, &num, &ask) == ZA_EINVAL,
              "an ask has one answer");
    cr_assert(za_route_ask_with(ctx, "pool", ZA_RANDOM, 0, &t_Num_type, &num, NULL) == ZA_EINVAL,
              "no options");
    cr_assert(za_route_ask(ctx, "pool", ZA_RANDOM, 0, ZA_MSG(t_Num, .n = 1), .tag = 1) == ZA_EINVAL,
              "no timeout");
    return ZA_DONE;
}

Test(router, refuses_what_makes_no_sense)
{
    setup(2, 0);
    world_behave = behave_badly;
    world_go(&world, sender, 99, ZA_REF_NONE);
    world_advance(&world, 20);
    cr_assert(world_count('G', 0) == 1 && world_count('N', 0) == 0, "nothing was sent");
    za_runtime_stop_all(world.guest);
    const za_routed_t routed = { "pool", ZA_RANDOM, 0, ZA_MSG(t_Num, .n = 9), NULL };
    cr_assert(za_runtime_route(world.guest, &routed) == ZA_ESTOPPING, "stopping");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t behave_in_order(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind == 'G') {
        for (uint64_t i = 0; i < 300; i++) {
            za_err_t err =
                i % 3 == 0 ? za_tell(ctx, event->ref, ZA_MSG(t_Num, .n = i))
                           : za_route(ctx, "pool", (za_policy_t)(i % 5), 0, ZA_MSG(t_Num, .n = i));
            cr_assert(err == ZA_OK, "message %u", (unsigned)i);
        }
    } else if (event->kind == 'N') {
        cr_assert(event->n == self->mark++, "message %u out of order", (unsigned)event->n);
    }
    return ZA_DONE;
}

// To the receiver it is all the same how its sender found it.
Test(router, keeps_the_order_of_each_pair)
{
    setup(1, 0);
    world_behave = behave_in_order;
    world_go(&world, sender, 0, members[0]);
    world_run(&world);
    cr_assert(world_count('N', members[0].actor) == 300, "all");
    za_runtime_destroy(world.runtime);
}
