#include "base/rng.h"
#include "core/mailbox_drop.h"
#include "world.h"

static world_t world;

static za_ref_t a, b;

static uint64_t lost(void)
{
    return world_counters(&world).dead_by_reason[za_Reason_REASON_MAILBOX_FULL];
}

static void tell(za_ref_t to, uint64_t n)
{
    za_err_t err = world_tell(&world, to, ZA_MSG(t_Num, .n = n));
    cr_assert(err == ZA_OK, "accepted: %s", za_err_name(err));
}

static void notify(za_ref_t to, uint64_t n)
{
    cr_assert(za_runtime_notify(world.guest, to.actor, ZA_MSG(t_Go, .n = n)) == ZA_OK, "notify");
}

static za_ref_t spawn_dropping(uint32_t bound)
{
    return world_spawn_opts(&world,
                            (za_spawn_opts_t){ .mailbox = bound, .overflow = ZA_DROP_OLDEST });
}

/** What came to `a`, in this order: "N7G8" is t_Num 7, then t_Go 8. */
static void expect_log(const char *text)
{
    char got[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < world_log_count && used < sizeof got - 24; i++) {
        if (world_log[i].self == a.actor && strchr("NG", world_log[i].kind) != NULL) {
            used += (size_t)snprintf(got + used, sizeof got - used, "%c%d", world_log[i].kind,
                                     (int)world_log[i].n);
        }
    }
    cr_assert(strcmp(got, text) == 0, "got %s, not %s", got, text);
}

Test(mailbox_drop, the_oldest_goes_for_each_new_one)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = spawn_dropping(3);
    for (uint64_t i = 1; i <= 8; i++) {
        tell(a, i);
    }
    cr_assert(lost() == 5, "%d", (int)lost());
    world_run(&world);
    expect_log("N6N7N8");
    cr_assert(world_counters(&world).rejected == 0, "nobody was refused");
    for (uint64_t i = 11; i <= 14; i++) {
        tell(a, i);
    }
    world_run(&world);
    expect_log("N6N7N8N12N13N14");
    za_runtime_destroy(world.runtime);
}

Test(mailbox_drop, a_bound_of_one_keeps_the_newest)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = spawn_dropping(1);
    world_run(&world);
    for (uint64_t i = 1; i <= 4; i++) {
        tell(a, i);
    }
    world_run(&world);
    expect_log("N4");
    cr_assert(lost() == 3, "%d", (int)lost());
    za_runtime_destroy(world.runtime);
}

Test(mailbox_drop, notifications_keep_their_place_and_are_never_dropped)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = spawn_dropping(2);
    notify(a, 1);
    tell(a, 2);
    notify(a, 3);
    notify(a, 4);
    tell(a, 5);
    notify(a, 6);
    tell(a, 7); // drops 2
    tell(a, 8); // drops 5
    notify(a, 9);
    world_run(&world);
    expect_log("G1G3G4G6N7N8G9");
    cr_assert(lost() == 2, "%d", (int)lost());
    za_runtime_destroy(world.runtime);
}

static za_verdict_t flood_itself(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        for (uint64_t i = 1; i <= 1000; i++) {
            cr_assert(za_tell(ctx, za_self(ctx), ZA_MSG(t_Num, .n = i)) == ZA_OK, "told");
        }
    }
    return ZA_DONE;
}

Test(mailbox_drop, is_bounded_while_its_actor_is_in_a_long_handler)
{
    world_init(&world, (za_runtime_config_t){ .pool_bytes_max = 1u << 20 });
    world_behave = flood_itself;
    a = spawn_dropping(4);
    for (uint64_t i = 0; i < 30; i++) {
        world_go(&world, a, i, ZA_REF_NONE);
        world_run(&world); // a handler whose 1,000 messages are 100 times the pool, all in all
    }
    cr_assert(world_count('N', a.actor) == 30 * 4, "%zu", world_count('N', a.actor));
    cr_assert(world_nth('N', a.actor, 0)->n == 997, "the oldest that stayed");
    cr_assert(lost() == 30 * 996, "%d", (int)lost());
    za_runtime_destroy(world.runtime);
}

static za_verdict_t ask_three(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'G') {
        for (uint64_t i = 1; i <= 3; i++) {
            za_err_t err =
                za_ask(ctx, event->ref, ZA_MSG(t_Num, .n = i), .timeout_ms = 1000, .tag = i);
            cr_assert(err == ZA_OK, "asked");
        }
    } else if (event->kind == 'N' && event->self == a.actor) {
        za_reply(ctx, ZA_MSG(t_Num, .n = 10 + event->n));
    }
    return ZA_DONE;
}

Test(mailbox_drop, a_dropped_ask_fails_at_once_at_its_sender)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = ask_three;
    a = spawn_dropping(1);
    b = world_spawn(&world);
    world_run(&world);
    world_go(&world, b, 0, a);
    world_run(&world);
    cr_assert(world_count('D', b.actor) == 2, "%zu failed", world_count('D', b.actor));
    for (size_t i = 0; i < 2; i++) {
        const event_t *down = world_nth('D', b.actor, i);
        cr_assert(down->tag == i + 1 && down->reason == za_Reason_REASON_MAILBOX_FULL, "ask %zu",
                  i + 1);
    }
    cr_assert(world_count('N', b.actor) == 1 && world_nth('N', b.actor, 0)->n == 13, "answered");
    cr_assert(world_count('T', b.actor) == 0, "no time was lost");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t move_four(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    for (uint64_t i = 1; event->kind == 'G' && i <= 4; i++) {
        t_Num *num = za_new(ctx, &t_Num_type, 0);
        cr_assert(num != NULL, "a message");
        num->n = i;
        void *message = num;
        cr_assert(za_send(ctx, event->ref, &message) == ZA_OK && message == NULL, "moved");
    }
    return ZA_DONE;
}

Test(mailbox_drop, a_moved_message_drops_the_oldest_as_well)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = move_four;
    a = spawn_dropping(2);
    b = world_spawn(&world);
    world_go(&world, b, 0, a);
    world_run(&world);
    expect_log("N3N4");
    za_runtime_destroy(world.runtime);
}

/* ---- from other nodes --------------------------------------------------------------------- */

static struct {
    uint64_t ask[8];
    za_ref_t asker[8];
    za_Reason reason;
    size_t count;
} failed;

static void on_ask_failed(void *context, za_worker_t *worker, za_ref_t asker, uint64_t ask,
                          za_Reason reason)
{
    (void)context;
    (void)worker;
    failed.ask[failed.count] = ask;
    failed.asker[failed.count] = asker;
    failed.reason = reason;
    failed.count++;
}

static const za_remote_t remote = { .ask_failed = on_ask_failed };

static void deliver(za_ref_t to, uint64_t n, uint64_t ask)
{
    t_Num num = { .n = n };
    za_message_t *message = za_message_alloc(world.guest, sizeof num);
    cr_assert(message != NULL, "a block");
    memcpy(za_message_body(message), &num, sizeof num);
    const za_incoming_t incoming = {
        .actor = to.actor, .sender = { 99, 5 }, .type_id = t_Num_type.id, .ask = ask, .from_uid = 99
    };
    za_runtime_deliver(world.guest, &incoming, message, sizeof num);
}

Test(mailbox_drop, the_oldest_of_another_node_goes_and_its_ask_fails_there)
{
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    a = spawn_dropping(2);
    deliver(a, 1, 71);
    tell(a, 2);
    deliver(a, 3, 73);
    cr_assert(failed.count == 1 && failed.ask[0] == 71, "the first ask failed");
    cr_assert(failed.asker[0].node == 99 && failed.asker[0].actor == 5, "at its sender");
    cr_assert(failed.reason == za_Reason_REASON_MAILBOX_FULL, "for want of room");
    deliver(a, 4, 0);
    cr_assert(lost() == 2, "%d", (int)lost());
    world_run(&world);
    expect_log("N3N4");
    za_runtime_destroy(world.runtime);
}

Test(mailbox_drop, drop_newest_and_reject_lose_the_newest_of_another_node)
{
    world_init(&world, (za_runtime_config_t){ .remote = &remote });
    a = world_spawn_opts(&world, (za_spawn_opts_t){ .mailbox = 1, .overflow = ZA_DROP_NEWEST });
    b = world_spawn_opts(&world, (za_spawn_opts_t){ .mailbox = 1 });
    deliver(a, 1, 0);
    deliver(a, 2, 72);
    deliver(b, 3, 0);
    deliver(b, 4, 74);
    cr_assert(failed.count == 2 && failed.ask[0] == 72 && failed.ask[1] == 74, "the newest");
    cr_assert(failed.reason == za_Reason_REASON_MAILBOX_FULL, "for want of room");
    world_run(&world);
    expect_log("N1");
    cr_assert(world_count('N', b.actor) == 1 && lost() == 2, "one each");
    za_runtime_destroy(world.runtime);
}

/* ---- its life ----------------------------------------------------------------------------- */

Test(mailbox_drop, what_waits_at_the_end_is_lost_as_in_any_mailbox)
{
    world_init(&world, (za_runtime_config_t){ .actors_max = 1 });
    a = spawn_dropping(2);
    notify(a, 1);
    for (uint64_t i = 2; i <= 5; i++) {
        tell(a, i);
    }
    za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(lost() == 2, "dropped: %d", (int)lost());
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_NO_ACTOR] == 2, "drained");
    za_runtime_destroy(world.runtime);
}

Test(mailbox_drop, the_next_actor_of_the_slot_has_its_own_policy)
{
    world_init(&world, (za_runtime_config_t){ .actors_max = 1 });
    for (int round = 0; round < 4; round++) {
        // The slot went to the worker's list: a spawn by the worker takes it.
        za_worker_t *worker = za_runtime_worker(world.runtime, 0);
        bool drops = round % 2 == 0;
        za_spawn_opts_t opts = { .size = sizeof opts,
                                 .mailbox = 2,
                                 .overflow = drops ? ZA_DROP_OLDEST : ZA_REJECT };
        cr_assert(za_runtime_spawn(worker, &probe_class, &opts, ZA_REF_NONE, &a) == ZA_OK, "room");
        tell(a, 1);
        tell(a, 2);
        za_err_t err = world_tell(&world, a, ZA_MSG(t_Num, .n = 3));
        cr_assert(err == (drops ? ZA_OK : ZA_EFULL), "round %d: %s", round, za_err_name(err));
        world_run(&world);
        expect_log(drops ? "N2N3" : "N1N2");
        za_runtime_stop_actor(world.guest, a.actor, za_Reason_REASON_STOPPED);
        world_run(&world);
    }
    za_runtime_destroy(world.runtime);
}

static za_verdict_t fail_once(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)ctx;
    (void)self;
    return event->kind == 'N' && event->n == 4 ? ZA_FAIL : ZA_DONE;
}

Test(mailbox_drop, a_restart_keeps_what_waits)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = fail_once;
    a = world_spawn_opts(
        &world, (za_spawn_opts_t){ .mailbox = 3, .overflow = ZA_DROP_OLDEST, .max_restarts = 1 });
    for (uint64_t i = 1; i <= 4; i++) {
        tell(a, i);
        notify(a, 10 + i);
    }
    tell(a, 5);
    tell(a, 6); // 4 is the oldest now
    world_run(&world);
    expect_log("G11G12G13N4G14N5N6");
    cr_assert(world_count('S', a.actor) == 2, "restarted");
    za_runtime_destroy(world.runtime);
}

/** A producer that was stopped after its exchange keeps what is behind out of reach. */
Test(mailbox_drop, beyond_the_slack_the_newest_goes)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = spawn_dropping(1);
    world_run(&world);
    za_cell_t *cell = za_cell_find(world.runtime, a.actor);
    tell(a, 1);
    za_message_t *stopped =
        za_message_make(world.guest, ZA_KIND_USER, sizeof(t_Num), ZA_POOL_BOUNDED);
    stopped->type = &t_Num_type;
    stopped->actor = a.actor;
    stopped->sender = ZA_REF_NONE;
    stopped->ask = 0;
    stopped->deadline_ms = 0;
    *(t_Num *)za_body(stopped) = (t_Num){ .n = 2 };
    atomic_store_explicit(&stopped->block.next, NULL, memory_order_relaxed);
    cr_assert(!za_mailbox_admit(&cell->mailbox) && za_drop_admit(cell), "in excess");
    za_message_t *previous =
        atomic_exchange_explicit(&cell->mailbox.newest, stopped, memory_order_acq_rel);
    for (uint64_t i = 3; i <= 1002; i++) {
        tell(a, i);
    }
    cr_assert(lost() == 1000 - (ZA_DROP_SLACK - 1), "%d are lost", (int)lost());
    // It goes on: all but the bound is dropped, oldest first.
    atomic_store_explicit(&previous->block.next, &stopped->block, memory_order_release);
    za_drop_settle(world.guest, cell);
    cr_assert(lost() == 1001, "%d are lost", (int)lost());
    world_run(&world);
    cr_assert(world_count('N', a.actor) == 1, "one came");
    cr_assert(world_nth('N', a.actor, 0)->n == 3 + ZA_DROP_SLACK - 2, "the newest accepted");
    za_runtime_destroy(world.runtime);
}

/** The excess of a sender that found the lock taken is dropped by whoever comes next. */
Test(mailbox_drop, nobody_waits_for_the_lock)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    a = spawn_dropping(2);
    za_cell_t *cell = za_cell_find(world.runtime, a.actor);
    for (int round = 0; round < 2; round++) {
        world_run(&world);
        atomic_fetch_or_explicit(&cell->bound, ZA_BOUND_LOCKED, memory_order_relaxed);
        for (uint64_t i = 1; i <= 6; i++) {
            tell(a, i);
        }
        cr_assert(lost() == (uint64_t)round * 5, "somebody else takes the head just now");
        atomic_fetch_and_explicit(&cell->bound, ~ZA_BOUND_LOCKED, memory_order_relaxed);
        if (round == 0) {
            tell(a, 7);
            cr_assert(lost() == 5, "the next sender drops for all: %d", (int)lost());
        }
    }
    world_run(&world);
    cr_assert(lost() == 9, "the owner drops before it handles: %d", (int)lost());
    expect_log("N6N7N5N6");
    za_runtime_destroy(world.runtime);
}

/* ---- against a model ---------------------------------------------------------------------- */

enum { MODEL_MAX = 4096 };

/** What waits, oldest first. */
typedef struct model {
    struct {
        char kind;
        uint64_t n;
    } waits[MODEL_MAX];
    size_t count, users, bound, dropped;
} model_t;

static model_t model;

static void model_add(char kind, uint64_t n)
{
    if (kind == 'N' && model.users == model.bound) {
        size_t oldest = 0;
        while (model.waits[oldest].kind != 'N') {
            oldest++;
        }
        memmove(&model.waits[oldest], &model.waits[oldest + 1],
                (model.count - oldest - 1) * sizeof model.waits[0]);
        model.count--;
        model.users--;
        model.dropped++;
    }
    model.waits[model.count].kind = kind;
    model.waits[model.count].n = n;
    model.count++;
    model.users += kind == 'N';
}

static void model_check(uint64_t seed)
{
    size_t at = 0;
    for (size_t i = 0; i < world_log_count; i++) {
        if (strchr("NG", world_log[i].kind) == NULL) {
            continue;
        }
        cr_assert(at < model.count && world_log[i].kind == model.waits[at].kind &&
                      world_log[i].n == model.waits[at].n,
                  "seed %d: message %zu is %c%d", (int)seed, at, world_log[i].kind,
                  (int)world_log[i].n);
        at++;
    }
    cr_assert(at == model.count, "seed %d: %zu of %zu came", (int)seed, at, model.count);
    cr_assert(lost() == model.dropped, "seed %d: %d dropped", (int)seed, (int)lost());
    model.count = 0;
    model.users = 0;
    world_log_count = 0;
}

Test(mailbox_drop, does_what_a_list_would_do)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        za_rng_t rng;
        za_rng_init(&rng, seed);
        world_init(&world, (za_runtime_config_t){ .workers = 2 });
        model = (model_t){ .bound = 1 + (size_t)za_rng_below(&rng, seed % 3 == 0 ? 300 : 6) };
        a = spawn_dropping((uint32_t)model.bound);
        world_run(&world);
        for (uint64_t n = 1; n <= 600; n++) {
            uint64_t what = za_rng_below(&rng, 100);
            if (what < 2) {
                world_run(&world);
                model_check(seed);
            } else if (what < 30) {
                notify(a, n);
                model_add('G', n);
            } else if (what < 60) {
                deliver(a, n, 0);
                model_add('N', n);
            } else {
                tell(a, n);
                model_add('N', n);
            }
        }
        world_run(&world);
        model_check(seed);
        za_runtime_destroy(world.runtime);
    }
}
