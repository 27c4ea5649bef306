#include "core/watchdog.h"

#include "core/worker.h"

enum { LOOKS = 4 }; // within the limit

uint64_t za_watchdog_period_ns(const za_watchdog_t *watchdog)
{
    return watchdog->limit_ns / LOOKS > 0 ? watchdog->limit_ns / LOOKS : 1;
}

/** Four numbers that the worker writes meanwhile: if they fit together by chance, only once. */
static za_sight_t look_at(const za_worker_t *worker)
{
    // relaxed, all: nothing is read through them but what is constant, or atomic itself
    return (za_sight_t){
        .cell = atomic_load_explicit(&worker->running, memory_order_relaxed),
        .type = atomic_load_explicit(&worker->ctx.type, memory_order_relaxed),
        .body = atomic_load_explicit(&worker->ctx.body, memory_order_relaxed),
        .handled = za_metrics_handled(&worker->metrics),
    };
}

static bool is_same(const za_sight_t *a, const za_sight_t *b)
{
    return a->cell == b->cell && a->type == b->type && a->body == b->body &&
           a->handled == b->handled;
}

static za_slow_t describe(const za_watched_t *watched, uint32_t worker, uint64_t now_ns, bool over)
{
    const za_sight_t *sight = &watched->sight;
    // relaxed, both: a class lives as long as the program; the actor may have changed meanwhile
    const za_class_t *class_ = atomic_load_explicit(&sight->cell->class_, memory_order_relaxed);
    uint64_t id = atomic_load_explicit(&sight->cell->id, memory_order_relaxed);
    return (za_slow_t){
        .worker = worker,
        .actor = { 0, id },
        .class_name = class_ == NULL ? "" : class_->name,
        .type_name = sight->type == NULL ? "" : sight->type->name,
        .ms = (now_ns - watched->since_ns) / 1000000,
        .over = over,
    };
}

bool za_watchdog_look(za_watchdog_t *watchdog, const za_runtime_t *runtime, uint64_t now_ns,
                      void (*tell)(void *context, const za_slow_t *slow), void *context)
{
    bool runs = false;
    for (uint32_t i = 0; i < runtime->config.workers; i++) {
        za_watched_t *watched = &watchdog->workers[i];
        za_sight_t sight = look_at(&runtime->workers[i]);
        runs = runs || sight.cell != NULL;
        bool same = sight.cell != NULL && is_same(&sight, &watched->sight);
        if (same && !watched->slow && now_ns - watched->since_ns >= watchdog->limit_ns) {
            watched->slow = true;
            za_slow_t slow = describe(watched, i, now_ns, false);
            tell(context, &slow);
        } else if (!same) {
            if (watched->slow) {
                za_slow_t slow = describe(watched, i, now_ns, true);
                tell(context, &slow);
            }
            *watched = (za_watched_t){ .sight = sight, .since_ns = now_ns };
        }
    }
    return runs;
}
