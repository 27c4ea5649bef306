// Subscriptions to the members of groups: who is there, and then who comes and goes, from all nodes.
#include "stage.h"

#include <string.h>

#include "support/seeds.h"

enum { MEMBERS_MAX = 64, STEPS = 60 };

static za_err_t answer;

/* ---- members ------------------------------------------------------------------------------- */

typedef struct member {
    uint32_t got;
} member_t;

static za_verdict_t on_order(za_ctx_t *ctx, member_t *self, const probe_Do *order)
{
    (void)self;
    if (order->op == 1) {
        answer = za_join(ctx, "room/1");
    } else if (order->op == 2) {
        za_leave(ctx, "room/1");
    }
    return order->op == 3 ? ZA_STOP : ZA_DONE;
}
ZA_ACTOR(member, member_t, (probe_Do, on_order));

static za_ref_t join_on(uint32_t node, const char *group)
{
    za_ref_t ref;
    cr_assert(za_sim_spawn(stage_sim, node, member, &ref, .group = group) == ZA_OK, "spawned");
    return ref;
}

static void order(uint32_t node, za_ref_t ref, uint32_t op)
{
    cr_assert(za_sim_tell(stage_sim, node, ref, ZA_MSG(probe_Do, .op = op)) == ZA_OK, "told");
}

/* ---- a subscriber -------------------------------------------------------------------------- */

// What each node's subscriber was told adds up to this.
typedef struct heard {
    za_ref_t members[MEMBERS_MAX];
    uint32_t count;
    uint32_t news;
} heard_t;

static heard_t heard[STAGE_NODES];
static za_ref_t subscribers[STAGE_NODES];
static const char *wanted;

static uint32_t index_of(const heard_t *list, za_ref_t ref)
{
    uint32_t i = 0;
    while (i < list->count && !za_ref_equal(list->members[i], ref)) {
        i++;
    }
    return i;
}

typedef struct subscriber {
    uint32_t restarts;
} subscriber_t;

static za_verdict_t on_started(za_ctx_t *ctx, subscriber_t *self, const za_Started *started)
{
    self->restarts = started->restarts;
    heard[stage_node(ctx)] = (heard_t){ .count = 0 };
    cr_assert(za_subscribe_members(ctx, wanted) == ZA_OK, "subscribed");
    return ZA_DONE;
}

static za_verdict_t on_changed(za_ctx_t *ctx, subscriber_t *self, const za_GroupChanged *changed)
{
    heard_t *list = &heard[stage_node(ctx)];
    uint32_t at = index_of(list, changed->ref);
    (void)self;
    cr_assert(wanted[0] == '\0' || strcmp(changed->group, wanted) == 0, "not asked for: %s",
              changed->group);
    list->news++;
    stage_note(GROUPED, stage_node(ctx), changed->joined, changed->ref);
    if (changed->joined) {
        cr_assert(at == list->count, "node %u: it came twice", stage_node(ctx));
        cr_assert(list->count < MEMBERS_MAX, "room");
        list->members[list->count++] = changed->ref;
    } else {
        cr_assert(at < list->count, "node %u: it was not there", stage_node(ctx));
        list->members[at] = list->members[--list->count];
    }
    return ZA_DONE;
}

static za_verdict_t on_do(za_ctx_t *ctx, subscriber_t *self, const probe_Do *what)
{
    (void)self;
    if (what->op == 2) {
        za_unsubscribe_members(ctx, wanted);
    }
    return what->op == 1 ? ZA_FAIL : ZA_DONE;
}

ZA_ACTOR(subscriber, subscriber_t, (za_Started, on_started), (za_GroupChanged, on_changed),
         (probe_Do, on_do));

static void subscribe_on(uint32_t node, const char *group)
{
    wanted = group;
    cr_assert(za_sim_spawn(stage_sim, node, subscriber, &subscribers[node], .max_restarts = 9) ==
                  ZA_OK,
              "spawned");
    stage_settle();
}

static za_ref_t listed[MEMBERS_MAX];
static uint32_t listed_count;

static void list_members(za_ctx_t *ctx)
{
    answer = za_members(ctx, "room/1", listed, MEMBERS_MAX, &listed_count);
}

/** What it was told are the members that its node sees. */
static void expect_present(uint32_t node, uint64_t seed)
{
    stage_do(node, list_members);
    const heard_t *list = &heard[node];
    cr_assert(answer == ZA_OK && list->count == listed_count,
              "seed %llu, node %u was told of %u, and there are %u", (unsigned long long)seed, node,
              list->count, listed_count);
    for (uint32_t i = 0; i < listed_count; i++) {
        cr_assert(index_of(list, listed[i]) < list->count, "seed %llu, node %u misses one",
                  (unsigned long long)seed, node);
    }
}

/* ---- one after the other ------------------------------------------------------------------- */

Test(group_changes, a_subscriber_hears_the_members_and_then_each_change_once)
{
    stage_open(101, NULL);
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        join_on(node, "room/1");
    }
    stage_settle();
    subscribe_on(0, "room/1");
    cr_assert(heard[0].news == STAGE_NODES && heard[0].count == STAGE_NODES, "all that are there");
    expect_present(0, 101);
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        za_ref_t ref = join_on(node, "room/1");
        stage_settle();
        cr_assert(stage_last(GROUPED).b == 1 && stage_last(GROUPED).ref.actor == ref.actor &&
                      stage_last(GROUPED).ref.node == (node == 0 ? 0 : stage_uid(node)),
                  "the new one of node %u", node);
        order(node, ref, 2);
        order(node, ref, 1);
        order(node, ref, 2);
        stage_settle();
        cr_assert(heard[0].count == STAGE_NODES && stage_last(GROUPED).b == 0 &&
                      stage_last(GROUPED).ref.actor == ref.actor,
                  "gone again");
        order(node, ref, 1);
        order(node, ref, 3);
        stage_settle();
        expect_present(0, 101);
    }
    stage_close();
}

static uint32_t seen_there;

static void count_members(za_ctx_t *ctx)
{
    cr_assert(za_members(ctx, "room/1", NULL, 0, &seen_there) == ZA_OK, "counted");
}

Test(group_changes, only_the_group_that_was_asked_for_is_told)
{
    stage_open(102, NULL);
    join_on(1, "room/10");
    join_on(1, "room");
    stage_settle();
    subscribe_on(0, "room/1");
    join_on(2, "room/10");
    stage_settle();
    cr_assert(heard[0].news == 0, "others are not its own");
    subscribe_on(1, "");
    cr_assert(heard[1].count == 3, "all groups");
    join_on(0, "room/2");
    stage_settle();
    cr_assert(heard[1].count == 4 && heard[0].news == 0, "and a new one");
    stage_do(0, count_members);
    cr_assert(seen_there == 0, "nobody is in it");
    stage_close();
}

Test(group_changes, of_a_node_that_is_down_are_told_once_each)
{
    stage_open(103, NULL);
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        join_on(node, "room/1");
        join_on(node, "room/1");
    }
    stage_settle();
    subscribe_on(0, "room/1");
    stage_forget();
    za_sim_crash(stage_sim, 1);
    za_sim_run_for(stage_sim, 30000);
    cr_assert(stage_count(GROUPED) == 2 && heard[0].count == 4, "its two");
    za_sim_restart(stage_sim, 1);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS), "back");
    join_on(1, "room/1");
    za_sim_run_for(stage_sim, 3000);
    cr_assert(stage_count(GROUPED) == 3 && heard[0].count == 5, "the new one");
    expect_present(0, 103);
    stage_close();
}

Test(group_changes, begin_anew_for_a_subscriber_that_was_restarted)
{
    stage_open(104, NULL);
    join_on(0, "room/1");
    join_on(1, "room/1");
    stage_settle();
    subscribe_on(0, "room/1");
    order(0, subscribers[0], 1);
    stage_settle();
    cr_assert(stage_count(GROUPED) == 4 && heard[0].count == 2, "all of them again");
    join_on(2, "room/1");
    stage_settle();
    cr_assert(heard[0].count == 3 && heard[0].news == 3, "and one subscription, not two");
    stage_close();
}

Test(group_changes, end_with_the_subscription)
{
    stage_open(105, NULL);
    subscribe_on(0, "room/1");
    join_on(1, "room/1");
    stage_settle();
    cr_assert(heard[0].count == 1, "heard");
    order(0, subscribers[0], 2);
    stage_settle();
    join_on(1, "room/1");
    stage_settle();
    cr_assert(heard[0].count == 1, "not any more");
    stage_close();
}

static void subscribe_badly(za_ctx_t *ctx)
{
    char text[300];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_expect(za_subscribe_members(ctx, "room/1") == ZA_ETYPE, "no handler");
    cr_expect(za_subscribe_members(ctx, NULL) == ZA_EINVAL, "no group");
    cr_expect(za_subscribe_members(NULL, "room/1") == ZA_EINVAL, "no context");
    cr_expect(za_subscribe_members(ctx, text) == ZA_ETOOBIG, "too long");
    za_unsubscribe_members(ctx, text);
    za_unsubscribe_members(ctx, NULL);
    za_unsubscribe_members(NULL, "room/1");
}

Test(group_changes, bad_arguments_are_answered)
{
    stage_open(106, NULL);
    stage_do(0, subscribe_badly);
    stage_close();
}

/* ---- whatever happens ---------------------------------------------------------------------- */

typedef struct drawn {
    za_ref_t refs[STAGE_NODES][STEPS];
    uint32_t counts[STAGE_NODES];
    uint64_t uids[STAGE_NODES]; // of its process
    uint32_t down;              // 1 + the node that is not there; 0: all are
    uint32_t crashes;
} drawn_t;

static void draw_member_step(drawn_t *drawn, uint32_t node)
{
    uint32_t count = drawn->counts[node];
    if (count == 0 || za_sim_random(stage_sim, 3) == 0) {
        drawn->refs[node][drawn->counts[node]++] = join_on(node, "room/1");
        return;
    }
    uint32_t which = (uint32_t)za_sim_random(stage_sim, count);
    uint32_t op = 1 + (uint32_t)za_sim_random(stage_sim, 3);
    order(node, drawn->refs[node][which], op);
    if (op == 3) {
        drawn->refs[node][which] = drawn->refs[node][--drawn->counts[node]];
    }
}

static void bring_back(drawn_t *drawn)
{
    if (drawn->down != 0) {
        uint32_t node = drawn->down - 1;
        drawn->down = 0;
        stage_restart(node);
        drawn->uids[node] = stage_uid(node);
        cr_assert(za_sim_spawn(stage_sim, node, subscriber, &subscribers[node]) == ZA_OK, "back");
    }
}

static void take_down(drawn_t *drawn)
{
    uint32_t node = (uint32_t)za_sim_random(stage_sim, STAGE_NODES);
    drawn->down = 1 + node;
    drawn->counts[node] = 0;
    drawn->crashes++;
    za_sim_crash(stage_sim, node);
}

static void draw_fault(drawn_t *drawn)
{
    uint64_t what = za_sim_random(stage_sim, 3);
    if (what == 0) {
        za_sim_partition(stage_sim, 1 + za_sim_random(stage_sim, 6));
        za_sim_run_for(stage_sim, 100 + za_sim_random(stage_sim, 20000));
    } else if (what == 1) {
        za_sim_heal(stage_sim);
    } else if (drawn->down != 0) {
        bring_back(drawn);
    } else {
        take_down(drawn);
    }
}

static void run_drawn(uint64_t seed, drawn_t *drawn)
{
    *drawn = (drawn_t){ .down = 0 };
    stage_open(seed, NULL);
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        subscribe_on(node, "room/1");
        drawn->uids[node] = stage_uid(node);
    }
    for (int step = 0; step < STEPS; step++) {
        uint32_t node = (uint32_t)za_sim_random(stage_sim, STAGE_NODES);
        if (za_sim_random(stage_sim, 8) == 0) {
            draw_fault(drawn);
        } else if (drawn->down != node + 1) {
            draw_member_step(drawn, node);
        }
        za_sim_run_for(stage_sim, za_sim_random(stage_sim, 400));
        stage_forget();
    }
    za_sim_heal(stage_sim);
    bring_back(drawn);
    cr_assert(za_sim_run_until(stage_sim, stage_converged, NULL, STAGE_BOUND_MS),
              "seed %llu healed", (unsigned long long)seed);
    za_sim_run_for(stage_sim, 5000);
}

// Nobody comes twice or goes without having been there (see on_changed), and in the end all is right.
Test(group_changes, add_up_to_the_present_members_whatever_happens)
{
    za_seeds_t seeds = za_seeds(100);
    uint32_t reborn = 0, crashes = 0;
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        drawn_t drawn;
        run_drawn(seed, &drawn);
        for (uint32_t node = 0; node < STAGE_NODES; node++) {
            expect_present(node, seed);
            cr_assert(heard[node].count == heard[0].count, "seed %llu: one view",
                      (unsigned long long)seed);
            reborn += drawn.uids[node] != stage_uid(node);
        }
        crashes += drawn.crashes;
        stage_close();
    }
    cr_assert(!seeds.enough || (reborn > 10 && crashes > 10), "%u reborn, %u crashes", reborn,
              crashes);
}

/* ---- what stands beside a membership --------------------------------------------------------- */

static const char *noted; // the meta, without its end
static za_GroupChanged last_heard[STAGE_NODES];
static uint32_t heard_metas[STAGE_NODES];

typedef struct reader {
    uint32_t unused;
} reader_t;

static za_verdict_t on_reader(za_ctx_t *ctx, reader_t *self, const za_Started *started)
{
    (void)self;
    (void)started;
    cr_assert(za_subscribe_members(ctx, "room/1") == ZA_OK, "subscribed");
    return ZA_DONE;
}

static za_verdict_t on_read(za_ctx_t *ctx, reader_t *self, const za_GroupChanged *changed)
{
    (void)self;
    last_heard[stage_node(ctx)] = *changed;
    heard_metas[stage_node(ctx)]++;
    return ZA_DONE;
}
ZA_ACTOR(reader, reader_t, (za_Started, on_reader), (za_GroupChanged, on_read));

static void read_on(uint32_t node)
{
    cr_assert(za_sim_spawn(stage_sim, node, reader, NULL) == ZA_OK, "spawned");
    stage_settle();
}

static void open_with_readers(uint64_t seed)
{
    memset(heard_metas, 0, sizeof heard_metas);
    stage_open(seed, NULL);
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        read_on(node);
    }
}

static void join_noted(za_ctx_t *ctx)
{
    char copy[64];
    uint32_t size = (uint32_t)strlen(noted);
    memcpy(copy, noted, size);
    answer = za_join_with(
        ctx, "room/1",
        &(za_join_opts_t){ .size = sizeof(za_join_opts_t), .meta = copy, .meta_size = size });
    memset(copy, 0, sizeof copy); // it was copied
}

static void join_plainly(za_ctx_t *ctx)
{
    answer = za_join(ctx, "room/1");
}

static void note_on_1(const char *meta)
{
    noted = meta;
    stage_do(1, join_noted);
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
}

static void expect_heard(uint32_t node, uint32_t times, bool joined, const char *meta)
{
    const za_GroupChanged *last = &last_heard[node];
    cr_assert(heard_metas[node] == times, "node %u: %u times", node, heard_metas[node]);
    cr_assert(last->joined == joined && last->ref.node == (node == 1 ? 0 : stage_uid(1)) &&
                  last->ref.actor == stage_doers[1].actor,
              "node %u: the doer of node 1", node);
    cr_assert(last->meta.size == strlen(meta) &&
                  memcmp(last->meta.bytes, meta, last->meta.size) == 0,
              "node %u: meta of %u bytes", node, last->meta.size);
}

static void expect_all_heard(uint32_t times, bool joined, const char *meta)
{
    for (uint32_t node = 0; node < STAGE_NODES; node++) {
        expect_heard(node, times, joined, meta);
    }
}

#define SIXTY_FOUR "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(group_changes, a_member_has_meta_that_is_heard_on_all_nodes_and_may_change)
{
    open_with_readers(110);
    note_on_1("v1");
    expect_all_heard(1, true, "v1");
    note_on_1(SIXTY_FOUR);
    expect_all_heard(2, true, SIXTY_FOUR);
    note_on_1(SIXTY_FOUR);
    expect_all_heard(2, true, SIXTY_FOUR); // the same is no news
    note_on_1("");
    expect_all_heard(3, true, "");
    stage_do(0, count_members);
    cr_assert(seen_there == 1, "it is one member all the time");
    stage_close();
}

Test(group_changes, a_subscriber_that_comes_later_hears_the_present_meta)
{
    open_with_readers(111);
    note_on_1("v1");
    note_on_1("v2");
    read_on(0);
    expect_heard(0, 3, true, "v2");
    stage_close();
}

Test(group_changes, a_member_that_joins_again_keeps_its_meta_until_it_leaves)
{
    open_with_readers(112);
    note_on_1("v1");
    stage_do(1, join_plainly);
    expect_all_heard(1, true, "v1");
    read_on(0);
    expect_heard(0, 2, true, "v1");
    stage_close();
}

static void leave_room(za_ctx_t *ctx)
{
    za_leave(ctx, "room/1");
}

Test(group_changes, a_member_that_left_has_no_meta)
{
    open_with_readers(113);
    note_on_1("v1");
    stage_do(1, leave_room);
    expect_all_heard(2, false, "");
    stage_do(1, join_plainly);
    expect_all_heard(3, true, "");
    stage_close();
}

static void join_badly(za_ctx_t *ctx)
{
    char many[257];
    memset(many, 'a', 256);
    many[256] = '\0';
    za_join_opts_t opts = { .size = sizeof opts };
    cr_expect(za_join_with(NULL, "room/1", &opts) == ZA_EINVAL, "no context");
    cr_expect(za_join_with(ctx, "room/1", NULL) == ZA_EINVAL, "no options");
    cr_expect(za_join_with(ctx, NULL, &opts) == ZA_EINVAL, "no group");
    cr_expect(za_join_with(ctx, many, &opts) == ZA_ETOOBIG, "no name");
    opts = (za_join_opts_t){ .size = sizeof opts, .meta = many, .meta_size = 65 };
    cr_expect(za_join_with(ctx, "room/1", &opts) == ZA_ETOOBIG, "too much meta");
    opts = (za_join_opts_t){ .size = sizeof opts, .meta_size = 1 };
    cr_expect(za_join_with(ctx, "room/1", &opts) == ZA_EINVAL, "no meta");
    opts = (za_join_opts_t){ .size = 8 };
    cr_expect(za_join_with(ctx, "room/1", &opts) == ZA_EINVAL, "of another version");
    count_members(ctx);
    cr_expect(seen_there == 0, "nothing was done");
}

Test(group_changes, bad_meta_is_refused)
{
    stage_open(114, NULL);
    stage_do(0, join_badly);
    stage_close();
}
