// Names as actors see them: who has one, who loses one, and who hears of both.
#include "stage.h"

#include <string.h>

static za_err_t answer;
static uint32_t prio;
static const char *prefix = "";

static void take(za_ctx_t *ctx)
{
    answer =
        za_register_with(ctx, "shop/till",
                         &(za_register_opts_t){ .size = sizeof(za_register_opts_t), .prio = prio });
}

static void give(za_ctx_t *ctx)
{
    za_unregister(ctx, "shop/till");
}

/* ---- actors that lose ---------------------------------------------------------------------- */

typedef struct holder {
    uint32_t lost;
} holder_t;

static za_verdict_t on_hold(za_ctx_t *ctx, holder_t *self, const probe_Do *what)
{
    (void)self;
    prio = what->n;
    take(ctx);
    return ZA_DONE;
}

static za_verdict_t on_lost(za_ctx_t *ctx, holder_t *self, const za_NameLost *lost)
{
    self->lost++;
    cr_assert(strcmp(lost->name, "shop/till") == 0, "its name");
    stage_note(NAME_LOST, stage_node(ctx), lost->reason, lost->winner);
    return ZA_DONE;
}

static za_verdict_t on_stopping(za_ctx_t *ctx, holder_t *self, const za_Stopping *stopping)
{
    (void)self;
    stage_note(STOPPED, stage_node(ctx), stopping->reason, ZA_REF_NONE);
    return ZA_DONE;
}

ZA_ACTOR(keeper, holder_t, (probe_Do, on_hold), (za_NameLost, on_lost), (za_Stopping, on_stopping));
ZA_ACTOR(plain, holder_t, (probe_Do, on_hold), (za_Stopping, on_stopping));

/** Two holders on two sides of a partition that then heals; node 0 has `first_prio`. */
static void conflict(const za_class_t *class_, uint32_t first_prio, uint32_t second_prio)
{
    const za_spawn_opts_t opts = { .size = sizeof opts, .max_restarts = 3 };
    za_ref_t refs[2];
    cr_assert(za_sim_spawn_with(stage_sim, 0, class_, &refs[0], &opts) == ZA_OK, "spawned");
    cr_assert(za_sim_spawn_with(stage_sim, 1, class_, &refs[1], &opts) == ZA_OK, "spawned");
    za_sim_partition(stage_sim, 1);
    za_sim_run_for(stage_sim, 100); // too short for anybody to be down
    cr_assert(za_sim_tell(stage_sim, 0, refs[0], ZA_MSG(probe_Do, .n = first_prio)) == ZA_OK, "0");
    za_sim_run_for(stage_sim, 100);
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
    cr_assert(za_sim_tell(stage_sim, 1, refs[1], ZA_MSG(probe_Do, .n = second_prio)) == ZA_OK, "1");
    za_sim_run_for(stage_sim, 100);
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
    stage_forget();
    za_sim_heal(stage_sim);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "healed");
    za_sim_run_for(stage_sim, 5000);
}

static za_ref_t seen;

static void look(za_ctx_t *ctx)
{
    answer = za_whereis(ctx, "shop/till", &seen);
}

static void expect_holder(uint32_t node)
{
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        stage_do(from, look);
        cr_assert(answer == ZA_OK && seen.node == (from == node ? 0 : stage_uid(node)),
                  "node %u does not see it on node %u: %s", from, node, za_err_name(answer));
    }
}

Test(registered, the_earlier_holder_stays_and_the_later_one_hears_of_it)
{
    stage_open(81, NULL);
    conflict(&keeper_class, 0, 0);
    cr_assert(stage_count(NAME_LOST) == 1 && stage_last(NAME_LOST).a == 1 &&
                  stage_last(NAME_LOST).ref.node == stage_uid(0),
              "the one of node 1");
    cr_expect(stage_last(NAME_LOST).b == za_NameLoss_NAME_TAKEN, "and why");
    cr_assert(stage_count(STOPPED) == 0, "it has a handler, and lives on");
    expect_holder(0);
    stage_close();
}

Test(registered, the_higher_prio_wins)
{
    stage_open(82, NULL);
    conflict(&keeper_class, 1, 2);
    cr_assert(stage_count(NAME_LOST) == 1 && stage_last(NAME_LOST).a == 0, "the one of node 0");
    expect_holder(1);
    stage_close();
}

Test(registered, a_loser_without_a_handler_stops_for_good)
{
    stage_open(83, NULL);
    conflict(&plain_class, 0, 0);
    cr_assert(stage_count(STOPPED) == 1 && stage_last(STOPPED).a == 1 &&
                  stage_last(STOPPED).b == za_Reason_REASON_STOPPED,
              "the one of node 1");
    expect_holder(0);
    stage_close();
}

/* ---- a name that is free again -------------------------------------------------------------- */

static za_ref_t child;
static uint32_t respawned;

static za_verdict_t on_parent_do(za_ctx_t *ctx, holder_t *self, const probe_Do *what)
{
    (void)self;
    if (what->op == 1) {
        cr_assert(za_spawn(ctx, plain, &child, .name = "heir") == ZA_OK, "the first");
        cr_assert(za_watch(ctx, child) == ZA_OK, "watched");
        return ZA_DONE;
    }
    cr_assert(za_stop(ctx, child) == ZA_OK, "stopped");
    return ZA_DONE;
}

static za_verdict_t on_parent_down(za_ctx_t *ctx, holder_t *self, const za_Down *down)
{
    (void)self;
    (void)down;
    answer = za_spawn(ctx, plain, &child, .name = "heir");
    respawned++;
    return ZA_DONE;
}
ZA_ACTOR(parent, holder_t, (probe_Do, on_parent_do), (za_Down, on_parent_down));

static void look_heir(za_ctx_t *ctx)
{
    answer = za_whereis(ctx, "heir", &seen);
}

// za_Down says that it has ended: its name is to be had in the handler of that.
Test(registered, a_name_is_free_when_its_holder_is_said_to_have_ended)
{
    stage_open(84, NULL);
    za_ref_t parent_ref;
    cr_assert(za_sim_spawn(stage_sim, 0, parent, &parent_ref) == ZA_OK, "spawned");
    cr_assert(za_sim_tell(stage_sim, 0, parent_ref, ZA_MSG(probe_Do, .op = 1)) == ZA_OK, "told");
    stage_settle();
    cr_assert(za_sim_tell(stage_sim, 0, parent_ref, ZA_MSG(probe_Do, .op = 2)) == ZA_OK, "told");
    stage_settle();
    cr_assert(respawned == 1 && answer == ZA_OK, "%s", za_err_name(answer));
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        stage_do(from, look_heir);
        cr_assert(answer == ZA_OK && seen.actor == child.actor, "node %u: the heir", from);
    }
    stage_close();
}

/* ---- subscriptions -------------------------------------------------------------------------- */

static za_verdict_t on_changed(za_ctx_t *ctx, holder_t *self, const za_NameChanged *changed)
{
    self->lost++;
    cr_assert(strncmp(changed->name, prefix, strlen(prefix)) == 0, "not asked for: %s",
              changed->name);
    stage_note(NAMED, stage_node(ctx), changed->name[strlen(changed->name) - 1], changed->ref);
    return ZA_DONE;
}

static za_verdict_t on_subscribe(za_ctx_t *ctx, holder_t *self, const probe_Do *what)
{
    (void)self;
    if (what->op == 1) {
        answer = za_subscribe_names(ctx, prefix);
    } else {
        za_unsubscribe_names(ctx, prefix);
    }
    return ZA_DONE;
}
ZA_ACTOR(reader, holder_t, (za_NameChanged, on_changed), (probe_Do, on_subscribe));

static za_ref_t reader_ref;

static void subscribe(uint32_t node, uint32_t op)
{
    cr_assert(za_sim_tell(stage_sim, node, reader_ref, ZA_MSG(probe_Do, .op = op)) == ZA_OK,
              "told");
    stage_settle();
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
}

static void open_with_reader(uint64_t seed)
{
    static const char *const names[] = { "shop/b", "shop/a", "other/c", "shop/d" };
    stage_open(seed, NULL);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(za_sim_spawn(stage_sim, i % STAGE_NODES, plain, NULL, .name = names[i]) == ZA_OK,
                  "spawned");
    }
    stage_settle();
    cr_assert(za_sim_spawn(stage_sim, 0, reader, &reader_ref) == ZA_OK, "spawned");
    prefix = "shop/";
    subscribe(0, 1);
}

Test(registered, a_subscriber_hears_who_holds_names_and_then_each_change_once)
{
    open_with_reader(85);
    cr_assert(stage_count(NAMED) == 3 && stage_events[0].b == 'a' && stage_events[1].b == 'b' &&
                  stage_events[2].b == 'd',
              "those that are held, in order");
    stage_forget();
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        stage_do(node, take);
        cr_assert(answer == ZA_OK && stage_count(NAMED) == 1 &&
                      stage_last(NAMED).ref.node == (node == 0 ? 0 : stage_uid(node)),
                  "held by node %u: %u", node, stage_count(NAMED));
        stage_do(node, give);
        cr_assert(stage_count(NAMED) == 2 && za_ref_is_none(stage_last(NAMED).ref), "by nobody");
        stage_forget();
    }
    subscribe(0, 1);
    cr_assert(stage_count(NAMED) == 3, "from the beginning again");
    stage_forget();
    subscribe(0, 2);
    stage_do(1, take);
    cr_assert(stage_count(NAMED) == 0, "not any more");
    stage_close();
}

Test(registered, a_subscriber_hears_that_names_go_with_their_node)
{
    open_with_reader(86);
    stage_forget();
    za_sim_crash(stage_sim, 1); // has shop/a
    za_sim_run_for(stage_sim, 30000);
    cr_assert(stage_count(NAMED) == 1 && stage_last(NAMED).b == 'a' &&
                  za_ref_is_none(stage_last(NAMED).ref),
              "once");
    stage_close();
}

static void subscribe_without_handler(za_ctx_t *ctx)
{
    cr_expect(za_subscribe_names(ctx, "") == ZA_ETYPE, "no handler");
    cr_expect(za_subscribe_names(ctx, NULL) == ZA_EINVAL, "no prefix");
    char text[300];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_expect(za_subscribe_names(ctx, text) == ZA_ETOOBIG, "too long");
    cr_expect(za_register_with(ctx, "x", NULL) == ZA_EINVAL, "no options");
    cr_expect(
        za_register_with(ctx, text, &(za_register_opts_t){ .size = sizeof(za_register_opts_t) }) ==
            ZA_ETOOBIG,
        "too long");
    za_unsubscribe_names(ctx, text);
    za_unsubscribe_names(ctx, NULL);
}

Test(registered, bad_arguments_are_answered)
{
    stage_open(87, NULL);
    stage_do(0, subscribe_without_handler);
    stage_close();
}

/* ---- what stands beside a name -------------------------------------------------------------- */

static const char *noted; // the meta, without its end
static za_NameInfo described;
static uint32_t descriptions;

static void take_with_meta(za_ctx_t *ctx)
{
    char copy[64];
    uint32_t size = (uint32_t)strlen(noted);
    memcpy(copy, noted, size);
    answer = za_register_with(
        ctx, "shop/till",
        &(za_register_opts_t){
            .size = sizeof(za_register_opts_t), .prio = 3, .meta = copy, .meta_size = size });
    memset(copy, 0, sizeof copy); // it was copied
}

static za_verdict_t on_info(za_ctx_t *ctx, holder_t *self, const za_NameInfo *info)
{
    (void)ctx;
    (void)self;
    described = *info;
    descriptions++;
    return ZA_DONE;
}

static za_verdict_t on_query(za_ctx_t *ctx, holder_t *self, const probe_Do *what)
{
    (void)self;
    (void)what;
    answer = za_query_name(ctx, "shop/till");
    return ZA_DONE;
}
ZA_ACTOR(asker, holder_t, (za_NameInfo, on_info), (probe_Do, on_query));

static void query_from(uint32_t node)
{
    za_ref_t ref;
    descriptions = 0;
    cr_assert(za_sim_spawn(stage_sim, node, asker, &ref) == ZA_OK, "spawned");
    cr_assert(za_sim_tell(stage_sim, node, ref, ZA_MSG(probe_Do, .op = 1)) == ZA_OK, "told");
    stage_settle();
    cr_assert(answer == ZA_OK && descriptions == 1, "%s, %u answers", za_err_name(answer),
              descriptions);
    cr_assert(strcmp(described.name, "shop/till") == 0, "the name");
}

static void note_on_0(const char *meta)
{
    noted = meta;
    stage_do(0, take_with_meta);
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
}

static void expect_meta(const char *meta)
{
    for (uint32_t from = 0; from < STAGE_NODES; from++) {
        query_from(from);
        cr_assert(described.ref.node == (from == 0 ? 0 : stage_uid(0)) &&
                      described.ref.actor == stage_doers[0].actor,
                  "the holder, from node %u", from);
        cr_assert(described.meta.size == strlen(meta) &&
                      memcmp(described.meta.bytes, meta, described.meta.size) == 0,
                  "meta of %u bytes, from node %u", described.meta.size, from);
        cr_assert(described.holders == 1 && described.prio == 3 && !described.unreachable &&
                      described.age_ms < 10000,
                  "the rest, from node %u", from);
    }
}

#define SIXTY_FOUR "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(registered, a_name_has_meta_that_is_read_on_all_nodes_and_may_change)
{
    stage_open(89, NULL);
    note_on_0("v1");
    expect_meta("v1");
    note_on_0(SIXTY_FOUR);
    expect_meta(SIXTY_FOUR);
    note_on_0("");
    expect_meta("");
    stage_close();
}

Test(registered, a_name_that_nobody_holds_is_described_as_such)
{
    stage_open(90, NULL);
    query_from(1);
    cr_assert(za_ref_is_none(described.ref) && described.holders == 0 && described.meta.size == 0,
              "nobody");
    note_on_0("v1");
    stage_do(0, give);
    query_from(1);
    cr_assert(za_ref_is_none(described.ref) && described.meta.size == 0, "nobody any more");
    stage_close();
}

static void query_and_note_badly(za_ctx_t *ctx)
{
    char many[257];
    memset(many, 'a', 256);
    many[256] = '\0';
    cr_expect(za_query_name(ctx, "shop/till") == ZA_ETYPE, "no handler");
    cr_expect(za_query_name(NULL, "shop/till") == ZA_EINVAL, "no context");
    cr_expect(za_query_name(ctx, NULL) == ZA_EINVAL && za_query_name(ctx, "") == ZA_EINVAL, "none");
    cr_expect(za_query_name(ctx, many) == ZA_ETOOBIG, "no name");
    za_register_opts_t opts = { .size = sizeof opts, .meta = many, .meta_size = 65 };
    cr_expect(za_register_with(ctx, "shop/till", &opts) == ZA_ETOOBIG, "too much meta");
    opts = (za_register_opts_t){ .size = sizeof opts, .meta_size = 1 };
    cr_expect(za_register_with(ctx, "shop/till", &opts) == ZA_EINVAL, "no meta");
    cr_expect(za_whereis(ctx, "shop/till", &seen) == ZA_ENOENT, "nothing was done");
}

Test(registered, bad_meta_and_queries_are_refused)
{
    stage_open(91, NULL);
    stage_do(0, query_and_note_badly);
    stage_close();
}
