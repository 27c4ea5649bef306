#include "core/worker.h"
#include "world.h"

static world_t world;

enum { JOIN = 1, LEAVE = 2, STOP = 3, LOOK = 4, FAIL = 5, JOIN_ALL = 6 };

static const char *name;
static za_err_t answer;
static za_ref_t seen[128];
static uint32_t seen_count;
static uint32_t all_groups; // JOIN_ALL: how many were joined

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    char text[16];
    if (event->kind == 'X') { // the last handler
        answer = za_join(ctx, "late");
    }
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    switch (event->n) {
    case JOIN:
        answer = za_join(ctx, name);
        break;
    case LEAVE:
        za_leave(ctx, name);
        break;
    case LOOK:
        answer = za_members(ctx, name, seen, 128, &seen_count);
        break;
    case JOIN_ALL:
        for (all_groups = 0; all_groups < ZA_GROUPS_MAX + 1; all_groups++) {
            snprintf(text, sizeof text, "g%u", (unsigned)all_groups);
            answer = za_join(ctx, text);
            if (answer != ZA_OK) {
                break;
            }
        }
        break;
    case FAIL:
        return ZA_FAIL;
    default:
        return ZA_STOP;
    }
    return ZA_DONE;
}

static void setup(uint32_t workers)
{
    world_init(&world, (za_runtime_config_t){ .workers = workers });
    world_behave = behave;
    name = "workers";
    answer = ZA_OK;
}

static void go(za_ref_t to, uint64_t what)
{
    world_go(&world, to, what, ZA_REF_NONE);
    world_run(&world);
}

static void look(za_ref_t from)
{
    seen_count = 99;
    go(from, LOOK);
    cr_assert(answer == ZA_OK, "members: %s", za_err_name(answer));
}

static bool has_seen(za_ref_t ref)
{
    bool found = false;
    for (uint32_t i = 0; i < seen_count && i < 64; i++) {
        found = found || za_ref_equal(seen[i], ref);
    }
    return found;
}

Test(group, is_seen_by_all_once_joined)
{
    setup(2);
    za_ref_t a = world_spawn(&world), b = world_spawn(&world), c = world_spawn(&world);
    look(c);
    cr_assert(seen_count == 0, "nobody");
    go(a, JOIN);
    go(b, JOIN);
    go(b, JOIN);
    cr_assert(answer == ZA_OK, "twice is once");
    look(c);
    cr_assert(seen_count == 2 && has_seen(a) && has_seen(b), "%u members", (unsigned)seen_count);
    look(a);
    cr_assert(seen_count == 2, "members see it too");
    name = "others";
    look(a);
    cr_assert(seen_count == 0, "another group");
    za_runtime_destroy(world.runtime);
}

Test(group, is_left_on_request_and_at_the_end)
{
    setup(1);
    za_ref_t a = world_spawn(&world), b = world_spawn(&world), c = world_spawn(&world);
    go(a, JOIN);
    go(b, JOIN);
    go(c, JOIN);
    go(a, LEAVE);
    go(a, LEAVE); // not in it: nothing
    look(c);
    cr_assert(seen_count == 2 && !has_seen(a), "a has left");
    go(b, STOP);
    look(a);
    cr_assert(seen_count == 1 && has_seen(c), "b has ended");
    go(c, STOP);
    cr_assert(answer == ZA_ESTOPPING, "an ending actor joins nothing");
    look(a);
    cr_assert(seen_count == 0, "and the group with its last member");
    go(a, JOIN);
    look(a);
    cr_assert(seen_count == 1 && has_seen(a), "it may begin again");
    za_runtime_destroy(world.runtime);
}

Test(group, leaves_no_memory_behind_that_was_left_on_request)
{
    setup(1);
    za_ref_t a = world_spawn(&world);
    go(a, JOIN);
    go(a, LEAVE);
    go(a, STOP);
    uint64_t left = za_pools_blocks_in_use(&world.runtime->pools);
    cr_assert(left == 1, "%d blocks: the seats stay, nothing else", (int)left);
    za_runtime_destroy(world.runtime);
}

Test(group, stays_over_a_restart)
{
    setup(1);
    za_ref_t a = world_spawn_opts(&world, (za_spawn_opts_t){ .max_restarts = 1 });
    za_ref_t b = world_spawn(&world);
    go(a, JOIN);
    go(a, FAIL);
    cr_assert(world_count('S', a.actor) == 2, "restarted");
    look(b);
    cr_assert(seen_count == 1 && has_seen(a), "and still a member");
    go(a, FAIL);
    look(b);
    cr_assert(seen_count == 0, "it has ended");
    za_runtime_destroy(world.runtime);
}

// Nobody is routed to an actor that only waits for its children to end.
static za_ref_t child;

static za_verdict_t behave_parent(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind == 'S' && za_ref_is_none(child)) {
        cr_assert(za_spawn(ctx, probe, &child) == ZA_OK, "a child");
    }
    if (event->kind == 'X' && event->self == child.actor) {
        cr_assert(za_members(ctx, name, seen, 128, &seen_count) == ZA_OK, "members");
        return ZA_DONE;
    }
    return behave(ctx, self, event);
}

Test(group, is_left_before_the_children_stop)
{
    setup(1);
    world_behave = behave_parent;
    za_ref_t a = world_spawn(&world);
    world_run(&world);
    go(a, JOIN);
    look(a);
    cr_assert(seen_count == 1, "joined");
    seen_count = 99;
    go(a, STOP);
    cr_assert(seen_count == 0, "%u members when the child stopped", (unsigned)seen_count);
    za_runtime_destroy(world.runtime);
}

Test(group, takes_an_actor_from_its_spawn_on)
{
    setup(1);
    za_ref_t ref, b = world_spawn(&world);
    za_ref_t a = world_spawn_opts(&world, (za_spawn_opts_t){ .group = "workers" });
    za_group_key_t key;
    cr_assert(za_group_key("workers", &key) == ZA_OK, "a key");
    uint32_t locals;
    cr_assert(za_group_copy(world.runtime->groups, &key, seen, 128, &locals) == 1 && locals == 1,
              "before it runs");
    look(b);
    cr_assert(seen_count == 1 && has_seen(a), "joined");
    za_spawn_opts_t opts = { .size = sizeof opts, .group = "" };
    cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_EINVAL,
              "no name");
    // Names are the cluster's, and here is none: the spawn is undone, and the joining with it.
    opts = (za_spawn_opts_t){ .size = sizeof opts, .group = "workers", .name = "x" };
    cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_ENOROUTE,
              "no cluster");
    look(b);
    cr_assert(seen_count == 1 && has_seen(a), "nobody else");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t behave_badly(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    char text[300];
    memset(text, 'x', sizeof text);
    text[ZA_NAME_BYTES_MAX + 1] = '\0';
    cr_assert(za_join(NULL, "a") == ZA_EINVAL && za_join(ctx, NULL) == ZA_EINVAL, "nothing");
    cr_assert(za_join(ctx, "") == ZA_EINVAL, "empty");
    cr_assert(za_join(ctx, text) == ZA_ETOOBIG, "256 bytes");
    text[ZA_NAME_BYTES_MAX] = '\0';
    cr_assert(za_join(ctx, text) == ZA_OK, "255 bytes");
    uint32_t count = 0;
    cr_assert(za_members(ctx, text, seen, 128, &count) == ZA_OK && count == 1, "found");
    text[ZA_NAME_BYTES_MAX - 1] = '\0';
    cr_assert(za_members(ctx, text, seen, 128, &count) == ZA_OK && count == 0, "254 bytes");
    cr_assert(za_members(ctx, text, NULL, 1, &count) == ZA_EINVAL, "no room");
    cr_assert(za_members(ctx, text, seen, 1, NULL) == ZA_EINVAL, "no count");
    cr_assert(za_members(ctx, NULL, seen, 1, &count) == ZA_EINVAL, "no name");
    za_leave(ctx, "");
    za_leave(ctx, NULL);
    za_leave(NULL, "a");
    return ZA_DONE;
}

Test(group, refuses_bad_names_and_takes_all_others)
{
    setup(1);
    world_behave = behave_badly;
    go(world_spawn(&world), 0);
    cr_assert(world_count('G', 0) == 1, "it ran");
    za_runtime_destroy(world.runtime);
}

Test(group, ends_at_its_limits)
{
    setup(1);
    za_ref_t a = world_spawn(&world), b = world_spawn(&world);
    go(a, JOIN_ALL);
    cr_assert(answer == ZA_ENOBUFS && all_groups == ZA_GROUPS_MAX, "%u groups",
              (unsigned)all_groups);
    name = "one more";
    go(b, JOIN);
    cr_assert(answer == ZA_ENOBUFS, "%s", za_err_name(answer));
    name = "g77";
    go(b, JOIN);
    cr_assert(answer == ZA_OK, "one that is there");
    go(a, STOP);
    look(b);
    cr_assert(seen_count == 1 && has_seen(b), "it stays");
    name = "one more";
    go(b, JOIN);
    cr_assert(answer == ZA_OK, "there is room again: %s", za_err_name(answer));
    za_runtime_destroy(world.runtime);
}

Test(group, has_so_many_members_and_no_more)
{
    world_init(&world, (za_runtime_config_t){ .actors_max = ZA_GROUP_MEMBERS_MAX + 10 });
    world_behave = NULL;
    name = "workers";
    const za_spawn_opts_t opts = { .size = sizeof opts, .group = name };
    za_ref_t ref, first = ZA_REF_NONE;
    for (uint32_t i = 0; i < ZA_GROUP_MEMBERS_MAX; i++) {
        cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_OK,
                  "member %u", (unsigned)i);
        first = i == 0 ? ref : first;
    }
    cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_ENOBUFS,
              "one too many");
    world_run(&world);
    za_runtime_stop_actor(world.guest, first.actor, za_Reason_REASON_STOPPED);
    world_run(&world);
    cr_assert(za_runtime_spawn(world.guest, &probe_class, &opts, ZA_REF_NONE, &ref) == ZA_OK,
              "its seat is free");
    za_runtime_destroy(world.runtime);
}

/* ---- against a model ---------------------------------------------------------------------- */

enum { ACTORS = 40, REMOTES = 30, NAMES = 12, STEPS = 20000 };

static za_ref_t actors[ACTORS + REMOTES]; // the remotes are of three other nodes
static bool model[NAMES][ACTORS + REMOTES];
static bool hears_of_remotes;

static void check_group(uint32_t group)
{
    char text[8];
    snprintf(text, sizeof text, "n%u", (unsigned)group);
    za_group_key_t key;
    cr_assert(za_group_key(text, &key) == ZA_OK, "a key");
    uint32_t locals;
    uint32_t count = za_group_copy(world.runtime->groups, &key, seen, 128, &locals);
    seen_count = count;
    uint32_t expected = 0;
    uint32_t here = 0;
    for (uint32_t i = 0; i < ACTORS + REMOTES; i++) {
        expected += model[group][i];
        here += model[group][i] && i < ACTORS;
        cr_assert(has_seen(actors[i]) == model[group][i], "actor %u in group %u", (unsigned)i,
                  (unsigned)group);
    }
    cr_assert(count == expected, "%u members, not %u", (unsigned)count, (unsigned)expected);
    cr_assert(locals == here, "%u of this node, not %u", (unsigned)locals, (unsigned)here);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert((seen[i].node == 0) == (i < locals), "those of this node come first");
    }
}

/** A member of another node comes or goes, twice: that is once. */
static void change_remote(za_rng_t *rng, uint32_t group)
{
    uint32_t who = ACTORS + (uint32_t)za_rng_below(rng, REMOTES);
    bool joins = za_rng_below(rng, 2) == 0;
    for (int i = 0; i < 2 && joins; i++) {
        cr_assert(za_runtime_group_add(world.guest, name, actors[who]) == ZA_OK, "room");
    }
    for (int i = 0; i < 2 && !joins; i++) {
        za_runtime_group_remove(world.guest, name, actors[who]);
    }
    model[group][who] = joins;
}

static void walk_beside_a_model(void)
{
    static char text[8];
    setup(2);
    name = text;
    za_rng_t rng;
    za_rng_init(&rng, 7);
    for (uint32_t i = 0; i < ACTORS; i++) {
        actors[i] = world_spawn(&world);
    }
    for (uint32_t i = ACTORS; i < ACTORS + REMOTES; i++) {
        actors[i] = (za_ref_t){ 1000 + i % 3, i };
    }
    world_run(&world);
    for (int step = 0; step < STEPS; step++) {
        uint32_t who = (uint32_t)za_rng_below(&rng, ACTORS);
        uint32_t group = (uint32_t)za_rng_below(&rng, NAMES);
        uint32_t what = (uint32_t)za_rng_below(&rng, 100);
        snprintf(text, sizeof text, "n%u", (unsigned)group);
        world_log_count = 0;
        if (what < 2) {
            go(actors[who], STOP);
            actors[who] = world_spawn(&world);
            for (uint32_t i = 0; i < NAMES; i++) {
                model[i][who] = false;
            }
        } else if (hears_of_remotes && what < 50) {
            change_remote(&rng, group);
        } else {
            bool joins = za_rng_below(&rng, 2) == 0;
            model[group][who] = joins;
            go(actors[who], joins ? JOIN : LEAVE);
        }
        check_group(group);
        check_group((uint32_t)step % NAMES);
    }
    za_runtime_destroy(world.runtime);
}

Test(group, is_what_a_simple_model_says)
{
    hears_of_remotes = false;
    walk_beside_a_model();
}

Test(group, with_members_of_other_nodes_is_what_a_simple_model_says)
{
    hears_of_remotes = true;
    walk_beside_a_model();
}

Test(group, a_member_of_another_node_has_its_limits)
{
    setup(1);
    za_ref_t remote = { 7, 8 };
    cr_assert(za_runtime_group_add(world.guest, "", remote) == ZA_EINVAL, "no name");
    cr_assert(za_runtime_group_add(world.guest, "g", (za_ref_t){ 0, 8 }) == ZA_EINVAL, "ours");
    cr_assert(za_runtime_group_add(world.guest, "g", (za_ref_t){ 7, 0 }) == ZA_EINVAL, "nobody");
    for (uint64_t i = 1; i <= ZA_GROUP_MEMBERS_MAX; i++) {
        cr_assert(za_runtime_group_add(world.guest, "g", (za_ref_t){ 7, i }) == ZA_OK, "room");
    }
    za_ref_t more = { 7, ZA_GROUP_MEMBERS_MAX + 1 };
    cr_assert(za_runtime_group_add(world.guest, "g", more) == ZA_ENOBUFS, "full");
    za_runtime_group_remove(world.guest, "g", more);
    za_runtime_group_remove(world.guest, "g", remote);
    cr_assert(za_runtime_group_add(world.guest, "g", more) == ZA_OK, "room again");
    za_runtime_destroy(world.runtime);
}

// Groups come and go under ever new names; what they leave behind must not lengthen every search.
Test(group, that_is_gone_leaves_no_trace)
{
    setup(1);
    static char text[16];
    name = text;
    za_ref_t a = world_spawn(&world);
    for (unsigned i = 0; i < 3 * 2 * ZA_GROUPS_MAX; i++) {
        snprintf(text, sizeof text, "s%u", i);
        world_log_count = 0;
        go(a, JOIN);
        cr_assert(answer == ZA_OK, "session %u: %s", i, za_err_name(answer));
        go(a, LEAVE);
    }
    for (unsigned i = 0; i < 1000; i++) {
        za_group_key_t key;
        za_group_view_t view = { .tries = 0 };
        snprintf(text, sizeof text, "s%u", i);
        cr_assert(za_group_key(text, &key) == ZA_OK, "a key");
        cr_assert(!za_group_look(world.runtime->groups, &key, &view), "gone");
        cr_assert(view.probes == 1, "%u slots looked at", (unsigned)view.probes);
    }
    za_counters_t counters = world_counters(&world);
    cr_assert(counters.pool_bytes < 1u << 20, "%llu bytes",
              (unsigned long long)counters.pool_bytes);
    za_runtime_destroy(world.runtime);
}

// A reader that looked in vain too often takes the writers' lock, and gives it back in either case.
Test(group, that_keeps_changing_is_read_under_the_lock)
{
    setup(1);
    za_ref_t a = world_spawn(&world);
    go(a, JOIN);
    za_group_key_t key;
    cr_assert(za_group_key("workers", &key) == ZA_OK, "a key");
    za_group_view_t view = { .tries = 0 };
    uint32_t looks = 0;
    bool found = true;
    for (; found && !view.held && looks < 100; looks++) { // as if each look had been in vain
        found = za_group_look(world.runtime->groups, &key, &view);
    }
    cr_assert(found && view.held && looks < 100, "held after %u looks", (unsigned)looks);
    cr_assert(za_ref_equal(za_group_member(&view, 0), a) && za_group_is_same(&view), "it is read");
    go(a, LEAVE); // would wait for ever if the lock were still held
    cr_assert(!za_group_look(world.runtime->groups, &key, &view), "nobody is left");
    go(a, JOIN);
    look(a);
    cr_assert(seen_count == 1 && has_seen(a), "and it may change again");
    za_runtime_destroy(world.runtime);
}
