#include "base/limits.h"
#include "core/worker.h"
#include "world.h"

static world_t world;
static za_ref_t a;
static za_err_t answer;
static const za_class_t *next; // what a Go makes of the actor

static za_verdict_t log_closed(za_ctx_t *ctx, probe_t *self, const t_Num *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'c', .n = m->n });
}

static za_verdict_t log_started(za_ctx_t *ctx, probe_t *self, const za_Started *m)
{
    return world_event(ctx, self, (event_t){ .kind = 's', .n = m->restarts });
}

/** The same state, other handlers; it does not know a Text. */
ZA_ACTOR(closed, probe_t, (t_Num, log_closed), (t_Go, on_go), (za_Started, log_started));

typedef struct other {
    uint64_t mark; // of the same size as probe_t
} other_t;

static za_verdict_t other_num(za_ctx_t *ctx, other_t *self, const t_Num *m)
{
    (void)ctx;
    (void)self;
    (void)m;
    return ZA_DONE;
}

ZA_ACTOR(other, other_t, (t_Num, other_num));

enum { FAIL = 1 };

static za_verdict_t behave(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    if (event->kind == 'N' || event->kind == 'c') {
        self->mark += event->n;
    }
    if (event->kind != 'G') {
        return ZA_DONE;
    }
    if (next != NULL) {
        answer = za_become_with(ctx, next);
    }
    return event->n == FAIL ? ZA_FAIL : ZA_DONE;
}

static void setup(void)
{
    world_init(&world, (za_runtime_config_t){ 0 });
    world_behave = behave;
    next = NULL;
    a = world_spawn_opts(&world, (za_spawn_opts_t){ .max_restarts = 5 });
    world_run(&world);
}

static void num(uint64_t n)
{
    cr_assert(world_tell(&world, a, ZA_MSG(t_Num, .n = n)) == ZA_OK, "tell");
}

static void become(const za_class_t *class_)
{
    next = class_;
    world_go(&world, a, 0, ZA_REF_NONE);
    world_run(&world);
    next = NULL;
}

Test(become, the_next_message_meets_the_other_handlers)
{
    setup();
    next = &closed_class;
    num(1);
    world_go(&world, a, 0, ZA_REF_NONE);
    num(2); // in the same run
    world_run(&world);
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
    cr_assert(world_count('N', 0) == 1 && world_count('c', 0) == 1, "one each");
    za_runtime_destroy(world.runtime);
}

/** As behave; the third Num becomes closed. */
static za_verdict_t close_in_the_middle(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    if (event->kind == 'N' && event->n == 3) {
        answer = za_become(ctx, closed);
    }
    return ZA_DONE;
}

// Short messages of one type are handled in a row, with a handler that is looked up once.
Test(become, the_next_message_of_a_row_meets_the_other_handlers)
{
    setup();
    world_behave = close_in_the_middle;
    za_runtime_worker(world.runtime, 0)->brisk = true;
    for (uint64_t i = 1; i <= 6; i++) {
        num(i);
    }
    world_run(&world);
    cr_assert(answer == ZA_OK, "%s", za_err_name(answer));
    cr_assert(world_count('N', 0) == 3, "%zu", world_count('N', 0));
    cr_assert(world_count('c', 0) == 3, "%zu", world_count('c', 0));
    za_runtime_destroy(world.runtime);
}

static uint64_t mark;

static za_verdict_t read_mark(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    mark = self->mark;
    return behave(ctx, self, event);
}

Test(become, the_state_stays)
{
    setup();
    num(5);
    become(&closed_class);
    num(7);
    world_run(&world);
    world_behave = read_mark;
    become(&probe_class);
    cr_assert(mark == 12, "%d", (int)mark);
    za_runtime_destroy(world.runtime);
}

Test(become, an_actor_can_go_back)
{
    setup();
    for (int i = 0; i < 3; i++) {
        become(&closed_class);
        num(1);
        become(&probe_class);
        num(2);
    }
    world_run(&world);
    cr_assert(world_count('N', 0) == 3 && world_count('c', 0) == 3, "by turns");
    za_runtime_destroy(world.runtime);
}

Test(become, what_the_present_handlers_do_not_know_is_a_dead_letter)
{
    setup();
    become(&closed_class);
    cr_assert(world_tell(&world, a, ZA_MSG(t_Text, .n = 1)) == ZA_OK, "tell");
    world_run(&world);
    cr_assert(world_count('B', 0) == 0, "not handled");
    cr_assert(world_counters(&world).dead_by_reason[za_Reason_REASON_BAD_MESSAGE] == 1, "counted");
    za_runtime_destroy(world.runtime);
}

Test(become, a_class_of_another_state_is_refused)
{
    setup();
    static const za_class_t nameless = { "nameless", sizeof(probe_t), NULL, 0, NULL };
    static const za_class_t larger = { "larger", sizeof(probe_t) + 8, NULL, 0, "probe_t" };
    const za_class_t *const wrong[] = { &other_class, &nameless, &larger };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        become(wrong[i]);
        cr_assert(answer == ZA_ETYPE, "%zu: %s", i, za_err_name(answer));
        num(1);
        world_run(&world);
        cr_assert(world_count('N', 0) == i + 1, "it is what it was");
    }
    cr_assert(za_become_with(NULL, &probe_class) == ZA_EINVAL, "nobody");
    za_runtime_destroy(world.runtime);
}

static za_verdict_t become_nothing(za_ctx_t *ctx, probe_t *self, const event_t *event)
{
    (void)self;
    (void)event;
    answer = za_become_with(ctx, NULL);
    return ZA_DONE;
}

Test(become, nothing_cannot_be_become)
{
    setup();
    world_behave = become_nothing;
    num(1);
    world_run(&world);
    cr_assert(answer == ZA_EINVAL, "%s", za_err_name(answer));
    za_runtime_destroy(world.runtime);
}

Test(become, a_restart_goes_back_to_the_class_it_was_spawned_with)
{
    setup();
    become(&closed_class);
    world_go(&world, a, FAIL, ZA_REF_NONE);
    num(1);
    world_run(&world);
    cr_assert(world_count('S', 0) == 2 && world_count('s', 0) == 0, "started as what it was");
    cr_assert(world_count('N', 0) == 1, "and goes on so");
    za_runtime_destroy(world.runtime);
}

static const char *name_seen;

static bool see_name(const za_actor_info_t *info, void *context)
{
    (void)context;
    name_seen = info->class_name;
    return true;
}

Test(become, inspection_knows_it_by_the_name_it_was_spawned_with)
{
    setup();
    become(&closed_class);
    uint64_t cursor = 0;
    za_runtime_each_actor(world.runtime, &cursor, see_name, NULL);
    cr_assert(name_seen != NULL && strcmp(name_seen, "probe") == 0, "%s", name_seen);
    za_runtime_destroy(world.runtime);
}

static za_class_t many[ZA_BEHAVIOURS_MAX + 1];

Test(become, pairs_of_classes_are_bounded_and_known_ones_go_on)
{
    setup();
    for (uint32_t i = 0; i <= ZA_BEHAVIOURS_MAX; i++) {
        many[i] = closed_class;
        become(&many[i]);
        cr_assert(answer == (i < ZA_BEHAVIOURS_MAX ? ZA_OK : ZA_ENOBUFS), "pair %u: %s", i,
                  za_err_name(answer));
    }
    for (uint32_t i = 0; i < ZA_BEHAVIOURS_MAX; i++) {
        become(&many[i]);
        cr_assert(answer == ZA_OK, "known pair %u: %s", i, za_err_name(answer));
    }
    become(&probe_class);
    cr_assert(answer == ZA_OK, "its own needs no room");
    num(1);
    world_run(&world);
    cr_assert(world_count('N', 0) == 1, "it is");
    za_runtime_destroy(world.runtime);
}
