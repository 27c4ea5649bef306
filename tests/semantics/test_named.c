// Logical references and lookups of names: what is promised is the same whether the holder lives on
// the node that sends (HERE) or on another one (THERE).
#include "stage.h"

#include <string.h>

#include <zactor/freeze.h>

static const za_class_t *const classes[] = { &target_class, NULL };
static uint32_t number; // of the next message
static za_err_t answer;
static za_ref_t target_ref;

/** A holder of the name, on that node. */
static za_ref_t hold(uint32_t node)
{
    za_ref_t ref;
    cr_assert(za_sim_spawn(stage_sim, node, target, &ref, .name = "target") == ZA_OK, "no target");
    stage_settle();
    return ref;
}

static void tell(za_ctx_t *ctx)
{
    answer = za_tell(ctx, za_named("target"), ZA_MSG(probe_Work, .n = ++number));
}

/** Node 0 tells the name something: it must be handled on `place`. */
static void reaches(uint32_t place)
{
    stage_forget();
    stage_do(0, tell);
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
    cr_assert(stage_count(WORKED) == 1 && stage_last(WORKED).a == place &&
                  stage_last(WORKED).b == number,
              "handled %u times, not on node %u", stage_count(WORKED), place);
}

static void stop_doer_child(za_ctx_t *ctx)
{
    za_ref_t holder;
    cr_assert(za_resolve(ctx, za_named("target"), &holder) == ZA_OK, "held");
    cr_assert(za_exit(ctx, holder, za_Reason_REASON_KILLED) == ZA_OK, "ended");
}

/* ---- reaching the holder ------------------------------------------------------------------- */

static void send_in_every_way(za_ctx_t *ctx)
{
    za_ref_t to = za_named("target");
    cr_expect(za_tell(ctx, to, ZA_MSG(probe_Work, .n = 1)) == ZA_OK, "tell");
    probe_Work *work = za_new(ctx, &probe_Work_type, 0);
    work->n = 2;
    void *message = work;
    cr_expect(za_send(ctx, to, &message) == ZA_OK && message == NULL, "send");
    cr_expect(za_ask(ctx, to, ZA_MSG(probe_Work, .n = 3), .timeout_ms = 300, .tag = 1) == ZA_OK,
              "ask");
    message = za_new(ctx, &probe_Work_type, 0);
    ((probe_Work *)message)->n = 4;
    cr_expect(za_ask_send(
                  ctx, to, &message,
                  &(za_ask_opts_t){ .size = sizeof(za_ask_opts_t), .timeout_ms = 300, .tag = 2 }) ==
                  ZA_OK,
              "ask_send");
    message = za_new(ctx, &probe_Work_type, 0);
    ((probe_Work *)message)->n = 5;
    za_frozen_t *frozen = NULL;
    cr_expect(za_freeze(ctx, &message, &frozen) == ZA_OK, "freeze");
    cr_expect(za_share(ctx, to, frozen) == ZA_OK, "share");
    za_frozen_release(ctx, &frozen);
}

Test(named, reaches_the_holder_by_every_call_and_in_order)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        stage_open(21, classes);
        za_ref_t holder = hold(place);
        stage_do(0, send_in_every_way);
        cr_assert(stage_count(WORKED) == 5 && stage_count(ANSWERED) == 2, "%u handled",
                  stage_count(WORKED));
        uint32_t n = 0;
        for (uint32_t i = 0; i < stage_event_count; i++) {
            if (stage_events[i].kind == WORKED) {
                cr_assert(stage_events[i].b == ++n && stage_events[i].a == place, "in order");
            }
        }
        // Who answers is an actor, not a name.
        za_ref_t sender = stage_last(ANSWERED).ref;
        cr_assert(!za_ref_is_named(sender) && sender.actor == holder.actor, "the holder answers");
        stage_close();
    }
}

static void send_to_nobody(za_ctx_t *ctx)
{
    za_ref_t to = za_named("nobody");
    za_ref_t out = target_ref;
    cr_expect(za_tell(ctx, to, ZA_MSG(probe_Work, .n = 1)) == ZA_ENOENT, "tell");
    void *message = za_new(ctx, &probe_Work_type, 0);
    cr_expect(za_send(ctx, to, &message) == ZA_ENOENT && message != NULL, "send: still ours");
    za_discard(ctx, &message);
    cr_expect(za_ask(ctx, to, ZA_MSG(probe_Work, .n = 3), .timeout_ms = 50, .tag = 1) == ZA_ENOENT,
              "ask");
    cr_expect(za_forward(ctx, to) == ZA_ENOENT, "forward");
    cr_expect(za_watch(ctx, to) == ZA_ENOENT, "watch");
    cr_expect(za_link(ctx, to) == ZA_ENOENT, "link");
    cr_expect(za_exit(ctx, to, za_Reason_REASON_FAILED) == ZA_ENOENT, "exit");
    cr_expect(za_stop(ctx, to) == ZA_ENOENT, "stop");
    cr_expect(za_resolve(ctx, to, &out) == ZA_ENOENT && za_ref_equal(out, target_ref), "resolve");
    za_unwatch(ctx, to);
    za_unlink(ctx, to);
    za_whereis_info_t info = { .age_ms = 99 };
    cr_expect(za_whereis_with(ctx, "nobody", &info) == ZA_ENOENT && info.age_ms == 99, "whereis");
}

Test(named, what_nobody_holds_is_answered_by_each_call_and_has_no_outcome)
{
    stage_open(22, classes);
    stage_do(0, send_to_nobody);
    za_sim_run_for(stage_sim, 1000);
    cr_assert(stage_event_count == 0, "no outcome of what was refused");
    cr_assert(za_sim_tell(stage_sim, 0, za_named("nobody"), ZA_MSG(probe_Work, .n = 1)) ==
                  ZA_ENOENT,
              "from outside");
    stage_close();
}

/* ---- following ----------------------------------------------------------------------------- */

Test(named, follows_a_holder_that_ends_and_its_successor)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        stage_open(23, classes);
        hold(place);
        reaches(place);
        stage_do(0, stop_doer_child);
        stage_do(0, tell);
        cr_assert(answer == ZA_ENOENT, "nobody: %s", za_err_name(answer));
        hold(2 - place); // another node each time
        reaches(2 - place);
        stage_close();
    }
}

static void spawn_there(za_ctx_t *ctx)
{
    cr_assert(za_spawn_on(ctx, stage_uid(1), target, .name = "target", .tag = 7) == ZA_OK, "asked");
}

Test(named, follows_a_child_that_is_respawned_on_another_node)
{
    stage_open(24, classes);
    stage_do(0, spawn_there);
    stage_await(SPAWNED, 1);
    reaches(1);
    za_sim_crash(stage_sim, 1);
    stage_forget();
    stage_await(SPAWNED, 1); // on one of the others, once node 1 is down
    stage_settle();
    stage_event_t spawned = stage_last(SPAWNED);
    reaches(spawned.ref.node == stage_uid(2) ? 2 : 0);
    stage_close();
}

static void take_name(za_ctx_t *ctx)
{
    answer = za_register(ctx, "moving");
}

static void give_name(za_ctx_t *ctx)
{
    za_unregister(ctx, "moving");
}

static void ask_moving(za_ctx_t *ctx)
{
    za_ref_t now;
    answer = za_resolve(ctx, za_named("moving"), &now);
    target_ref = answer == ZA_OK ? now : ZA_REF_NONE;
}

Test(named, follows_a_name_that_moves_between_living_actors)
{
    stage_open(25, classes);
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t node = i % STAGE_NODES;
        stage_do(node, take_name);
        cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
        for (uint32_t from = 0; from < STAGE_NODES; from++) {
            stage_do(from, ask_moving);
            cr_assert(answer == ZA_OK && target_ref.actor == stage_doers[node].actor &&
                          target_ref.node == (from == node ? 0 : stage_uid(node)),
                      "node %u sees it on node %u", from, node);
        }
        stage_do(node, give_name);
    }
    stage_close();
}

Test(named, a_restart_of_the_holder_changes_nothing)
{
    stage_open(26, classes);
    za_ref_t ref;
    cr_assert(za_sim_spawn(stage_sim, 1, target, &ref, .name = "target", .max_restarts = 3) ==
                  ZA_OK,
              "spawned");
    stage_settle();
    reaches(1);
    stage_do(0, stop_doer_child); // an exit fails it: it is restarted
    cr_assert(stage_count(STOPPED) == 1, "a life ended");
    reaches(1);
    stage_close();
}

/** Both sides of a partition give the name away; when it heals one of the two stays. */
Test(named, means_one_holder_again_after_a_partition)
{
    stage_open(27, classes);
    za_sim_partition(stage_sim, 1); // node 0 alone
    za_sim_run_for(stage_sim, 20 * 1000);
    hold(0);
    za_sim_run_for(stage_sim, 1000);
    hold(1);
    reaches(0);
    za_sim_heal(stage_sim);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "healed");
    za_sim_run_for(stage_sim, 5000);
    uint32_t winner = STAGE_NODES;
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        stage_forget();
        stage_do(from, tell);
        cr_assert(answer == ZA_OK && stage_count(WORKED) == 1, "from node %u: %s", from,
                  za_err_name(answer));
        uint32_t at = (uint32_t)stage_last(WORKED).a;
        cr_assert(winner == STAGE_NODES || winner == at, "nodes disagree");
        winner = at;
    }
    stage_close();
}

/* ---- a value ------------------------------------------------------------------------------- */

typedef struct relay {
    uint32_t n;
} relay_t;

// Sends on to the reference that it is told.
static za_verdict_t on_relay(za_ctx_t *ctx, relay_t *self, const probe_Do *what)
{
    self->n++;
    answer = za_tell(ctx, what->ref, ZA_MSG(probe_Work, .n = what->n));
    target_ref = what->ref;
    return ZA_DONE;
}
ZA_ACTOR(relay, relay_t, (probe_Do, on_relay));

static za_ref_t relay_ref;

static void tell_relay(za_ctx_t *ctx)
{
    cr_assert(za_tell(ctx, relay_ref, ZA_MSG(probe_Do, .ref = za_named("target"), .n = 9)) == ZA_OK,
              "told");
}

Test(named, is_a_value_that_other_nodes_can_use)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        stage_open(28, classes);
        hold(place);
        za_ref_t ref;
        cr_assert(za_sim_spawn(stage_sim, 2, relay, &ref) == ZA_OK, "relay");
        relay_ref = (za_ref_t){ stage_uid(2), ref.actor };
        stage_do(0, tell_relay);
        cr_assert(answer == ZA_OK && za_ref_equal(target_ref, za_named("target")),
                  "the value came as it was");
        cr_assert(stage_count(WORKED) == 1 && stage_last(WORKED).a == place &&
                      stage_last(WORKED).b == 9,
                  "it reached the holder");
        stage_close();
    }
}

/* ---- bound to whoever holds it now ---------------------------------------------------------- */

static void watch_it(za_ctx_t *ctx)
{
    answer = za_watch(ctx, za_named("target"));
}

static void ask_it(za_ctx_t *ctx)
{
    answer =
        za_ask(ctx, za_named("target"), ZA_MSG(probe_Work, .n = 1), .timeout_ms = 30000, .tag = 5);
}

Test(named, a_watch_is_of_the_holder_and_not_of_the_name)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        stage_open(29, classes);
        za_ref_t first = hold(place);
        stage_do(0, watch_it);
        cr_assert(answer == ZA_OK, "watched");
        stage_do(0, stop_doer_child);
        cr_assert(stage_count(DOWN) == 1 && stage_last(DOWN).ref.actor == first.actor &&
                      !za_ref_is_named(stage_last(DOWN).ref),
                  "za_Down names the actor");
        hold(place);
        stage_do(0, stop_doer_child);
        cr_assert(stage_count(DOWN) == 1, "its successor is not watched");
        stage_close();
    }
}

static za_verdict_t on_silent(za_ctx_t *ctx, relay_t *self, const probe_Work *work)
{
    self->n++;
    stage_note(WORKED, stage_node(ctx), work->n, ZA_REF_NONE);
    return za_keep(ctx) != NULL ? ZA_DONE : ZA_FAIL; // no answer yet
}
ZA_ACTOR(silent, relay_t, (probe_Work, on_silent));

Test(named, an_ask_under_way_ends_with_the_holder_that_got_it)
{
    for (uint32_t place = HERE; place <= THERE; place++) {
        stage_open(30, classes);
        za_ref_t ref;
        cr_assert(za_sim_spawn(stage_sim, place, silent, &ref, .name = "target") == ZA_OK, "held");
        stage_settle();
        stage_do(0, ask_it);
        cr_assert(answer == ZA_OK && stage_count(WORKED) == 1, "under way");
        stage_do(0, stop_doer_child);
        hold(place);
        stage_settle();
        cr_assert(stage_count(ASK_ENDED) == 1 && stage_last(ASK_ENDED).b == 5, "ended once");
        cr_assert(stage_count(WORKED) == 1 && stage_count(ANSWERED) == 0,
                  "the new holder never hears of it");
        stage_close();
    }
}

/* ---- what is known ------------------------------------------------------------------------- */

static za_whereis_info_t info;

static void look(za_ctx_t *ctx)
{
    answer = za_whereis_with(ctx, "target", &info);
}

Test(named, a_lookup_says_how_old_its_answer_is)
{
    stage_open(31, classes);
    za_ref_t holder = hold(1);
    stage_do(1, look);
    cr_assert(answer == ZA_OK && info.age_ms == 0 && !info.unreachable && info.ref.node == 0,
              "its own node knows");
    za_sim_run_for(stage_sim, 5000);
    stage_do(0, look);
    cr_assert(answer == ZA_OK && info.ref.actor == holder.actor && info.age_ms < 5000 &&
                  !info.unreachable,
              "heard %llu ms ago", (unsigned long long)info.age_ms);
    za_sim_partition(stage_sim, 1);
    info.unreachable = false;
    for (uint64_t ms = 0; !info.unreachable; ms += 2 * STAGE_SETTLE_MS) {
        za_sim_run_for(stage_sim, STAGE_SETTLE_MS);
        stage_do(0, look);
        cr_assert(answer == ZA_OK && info.age_ms >= ms, "cut off: heard %llu ms ago",
                  (unsigned long long)info.age_ms);
        cr_assert(ms < STAGE_BOUND_MS, "never unreachable");
    }
    za_sim_heal(stage_sim);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "healed");
    za_sim_run_for(stage_sim, 3000);
    stage_do(0, look);
    cr_assert(answer == ZA_OK && info.age_ms < 5000 && !info.unreachable, "heard again");
    stage_close();
}
