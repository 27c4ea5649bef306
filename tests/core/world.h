/**
 * World: a runtime driven by hand, with virtual time, and one class whose actors log what they get
 * and do what the test's `behave` says.
 */
#pragma once

#include <zactor/actor.h>

#include "core/runtime.h"
#include "support/za_test.h"

typedef struct t_Num {
    uint64_t n;
    za_ref_t ref;
} t_Num;

typedef struct t_Go {
    uint64_t n;
    za_ref_t ref;
} t_Go;

typedef struct t_Text {
    uint64_t n;
    za_bytes_t text;
} t_Text;

typedef struct t_Unheard {
    uint64_t n;
} t_Unheard;

static inline uint32_t t_text_extent(const void *message)
{
    const t_Text *text = message;
    return text->text.size == 0
               ? (uint32_t)sizeof *text
               : (uint32_t)offsetof(t_Text, text) + text->text.offset + text->text.size;
}

/** The wire form of the tests: the struct itself. */
static inline za_err_t t_decode(void *block, size_t block_bytes, const uint8_t *bytes, size_t size)
{
    if (size != sizeof(t_Num) || block_bytes < size) {
        return ZA_EPROTO;
    }
    memcpy(block, bytes, size);
    return ZA_OK;
}

static inline void t_num_refs(void *message, void (*visit)(za_ref_t *ref, void *context),
                              void *context)
{
    visit(&((t_Num *)message)->ref, context);
}

static const za_type_t t_Num_type = {
    .name = "t.Num", .id = 101, .size = sizeof(t_Num), .decode = t_decode, .refs = t_num_refs
};
static const za_type_t t_Go_type = { .name = "t.Go", .id = 102, .size = sizeof(t_Go) };
static const za_type_t t_Text_type = {
    .name = "t.Text", .id = 103, .size = sizeof(t_Text), .extent = t_text_extent
};
static const za_type_t t_Unheard_type = { .name = "t.Unheard",
                                          .id = 104,
                                          .size = sizeof(t_Unheard) };

typedef struct event {
    char kind; // S started, X stopping, D down, T timeout, N num, G go, B text
    uint64_t self;
    uint64_t n; // restarts of S; 1 for an X that a restart follows
    za_ref_t ref;
    za_ref_t sender;
    uint64_t tag;
    za_Reason reason;
    const void *body;
} event_t;

typedef struct probe {
    uint64_t mark;
} probe_t;

typedef za_verdict_t behave_fn(za_ctx_t *ctx, probe_t *self, const event_t *event);

enum { WORLD_EVENTS_MAX = 4096 };

static event_t world_log[WORLD_EVENTS_MAX];
static size_t world_log_count;
static behave_fn *world_behave;

static inline za_verdict_t world_event(za_ctx_t *ctx, probe_t *self, event_t event)
{
    event.self = za_self(ctx).actor;
    event.sender = za_sender(ctx);
    if (event.tag == 0) {
        event.tag = za_tag(ctx);
    }
    if (world_log_count < WORLD_EVENTS_MAX) {
        world_log[world_log_count++] = event;
    }
    return world_behave == NULL ? ZA_DONE : world_behave(ctx, self, &event);
}

static inline za_verdict_t on_num(za_ctx_t *ctx, probe_t *self, const t_Num *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'N', .n = m->n, .ref = m->ref, .body = m });
}

static inline za_verdict_t on_go(za_ctx_t *ctx, probe_t *self, const t_Go *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'G', .n = m->n, .ref = m->ref, .body = m });
}

static inline za_verdict_t on_text(za_ctx_t *ctx, probe_t *self, const t_Text *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'B', .n = m->n, .body = m });
}

static inline za_verdict_t on_started(za_ctx_t *ctx, probe_t *self, const za_Started *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'S', .n = m->restarts });
}

static inline za_verdict_t on_stopping(za_ctx_t *ctx, probe_t *self, const za_Stopping *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'X', .reason = m->reason, .n = m->restarts });
}

static inline za_verdict_t on_down(za_ctx_t *ctx, probe_t *self, const za_Down *m)
{
    return world_event(ctx, self,
                       (event_t){ .kind = 'D', .ref = m->ref, .reason = m->reason, .tag = m->tag });
}

static inline za_verdict_t on_timeout(za_ctx_t *ctx, probe_t *self, const za_Timeout *m)
{
    return world_event(ctx, self, (event_t){ .kind = 'T', .tag = m->tag });
}

ZA_ACTOR(probe, probe_t, (t_Num, on_num), (t_Go, on_go), (t_Text, on_text),
         (za_Started, on_started), (za_Stopping, on_stopping), (za_Down, on_down),
         (za_Timeout, on_timeout));

/* ---- the world ---------------------------------------------------------------------------- */

typedef struct world {
    za_runtime_t *runtime;
    za_worker_t *guest;
    uint32_t workers;
    uint64_t now_ns;
    uint32_t wakes;
    za_worker_t *woken; // whom the last wake was for; NULL: any
} world_t;

static inline void world_wake(void *context, za_worker_t *worker)
{
    world_t *world = context;
    world->wakes++;
    world->woken = worker;
}

static const za_host_t world_host = { .wake = world_wake };

/** Zero fields of `config` get small defaults. */
static inline void world_init(world_t *world, za_runtime_config_t config)
{
    memset(world, 0, sizeof *world);
    config.workers = config.workers != 0 ? config.workers : 1;
    config.actors_max = config.actors_max != 0 ? config.actors_max : 10000;
    config.pool_bytes_max = config.pool_bytes_max != 0 ? config.pool_bytes_max : 64u << 20;
    config.mailbox_default = config.mailbox_default != 0 ? config.mailbox_default : 1000;
    config.seed = 42;
    config.host = &world_host;
    config.host_context = world;
    world->workers = config.workers;
    world->now_ns = 1000000000;
    cr_assert(za_runtime_create(&config, &world->runtime) == ZA_OK, "a runtime");
    world->guest = za_runtime_guest(world->runtime);
    cr_assert(world->guest != NULL, "a guest");
    world_log_count = 0;
}

/** Turns until nothing is left to do at this time. */
static inline void world_run(world_t *world)
{
    uint32_t idle = 0;
    for (uint32_t turns = 0; idle < 2 * world->workers; turns++) {
        cr_assert(turns < 1000000, "the world does not come to rest");
        za_worker_t *worker = za_runtime_worker(world->runtime, turns % world->workers);
        idle = za_worker_turn(worker, world->now_ns) == ZA_TURN_IDLE ? idle + 1 : 0;
    }
}

static inline void world_advance(world_t *world, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        world->now_ns += 1000000;
        world_run(world);
    }
}

static inline za_ref_t world_spawn_opts(world_t *world, za_spawn_opts_t opts)
{
    za_ref_t ref;
    opts.size = sizeof opts;
    za_err_t err = za_runtime_spawn(world->guest, &probe_class, &opts, ZA_REF_NONE, &ref);
    cr_assert(err == ZA_OK, "spawn: %s", za_err_name(err));
    return ref;
}

static inline za_ref_t world_spawn(world_t *world)
{
    return world_spawn_opts(world, (za_spawn_opts_t){ 0 });
}

static inline za_err_t world_tell(world_t *world, za_ref_t to, const za_type_t *type,
                                  const void *body)
{
    za_outgoing_t out = { .to = to, .type = type, .body = body };
    return za_runtime_tell(world->guest, &out);
}

static inline void world_go(world_t *world, za_ref_t to, uint64_t n, za_ref_t ref)
{
    za_err_t err = world_tell(world, to, ZA_MSG(t_Go, .n = n, .ref = ref));
    cr_assert(err == ZA_OK, "tell: %s", za_err_name(err));
}

static inline za_counters_t world_counters(const world_t *world)
{
    za_counters_t counters;
    za_runtime_counters(world->runtime, &counters);
    return counters;
}

static inline size_t world_count(char kind, uint64_t self)
{
    size_t count = 0;
    for (size_t i = 0; i < world_log_count; i++) {
        count += world_log[i].kind == kind && (self == 0 || world_log[i].self == self);
    }
    return count;
}

/** The nth event of a kind at an actor (0: any); NULL if there are not so many. */
static inline const event_t *world_nth(char kind, uint64_t self, size_t nth)
{
    for (size_t i = 0; i < world_log_count; i++) {
        if (world_log[i].kind == kind && (self == 0 || world_log[i].self == self) && nth-- == 0) {
            return &world_log[i];
        }
    }
    return NULL;
}

static inline size_t world_index(const event_t *event)
{
    return (size_t)(event - world_log);
}
