/**
 * Become: other handlers for the same state (Hewitt's become, Akka's, the states of gen_statem).
 *
 * The handlers of an actor are those of its class, so that calling one costs what it always does. To
 * keep the name under which the actor was spawned, what it became is a class made from both: the name
 * of the one, the handlers of the other. Any thread may look at the class of an actor at any time,
 * so these are made once for each pair, in a table of the runtime, and stay.
 */
#include <string.h>

#include "base/hash.h"
#include "core/worker.h"

/** The state's type goes by its name: that two have the same size says little. */
static bool same_state(const za_class_t *a, const za_class_t *b)
{
    if (a->state_bytes != b->state_bytes || (a->state_type == NULL) != (b->state_type == NULL)) {
        return false;
    }
    return a->state_type == NULL || strcmp(a->state_type, b->state_type) == 0;
}

/** Makes `behaviour`, which the caller claimed. */
static void fill(za_behaviour_t *behaviour, const za_class_t *spawned, const za_class_t *now)
{
    behaviour->spawned = spawned;
    behaviour->now = now;
    behaviour->made = *now;
    behaviour->made.name = spawned->name;
    atomic_store_explicit(&behaviour->state, ZA_BEHAVIOUR_READY,
                          memory_order_release); // pairs: behaviour
}

/** The class of an actor spawned as one and become another; NULL: the table is full. */
static const za_class_t *intern(za_runtime_t *runtime, const za_class_t *spawned,
                                const za_class_t *now)
{
    uint64_t hash = za_mix64((uintptr_t)spawned + za_mix64((uintptr_t)now));
    for (uint32_t i = 0; i < ZA_BEHAVIOURS_MAX; i++) {
        za_behaviour_t *behaviour = &runtime->behaviours[(hash + i) % ZA_BEHAVIOURS_MAX];
        uint32_t state =
            atomic_load_explicit(&behaviour->state, memory_order_acquire); // pairs: behaviour
        // relaxed: a claim publishes nothing
        if (state == ZA_BEHAVIOUR_FREE &&
            atomic_compare_exchange_strong_explicit(&behaviour->state, &state, ZA_BEHAVIOUR_CLAIMED,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            fill(behaviour, spawned, now);
            return &behaviour->made;
        }
        // One that another worker is making may be the same pair: then there are two of it.
        if (state == ZA_BEHAVIOUR_READY && behaviour->spawned == spawned && behaviour->now == now) {
            return &behaviour->made;
        }
    }
    return NULL;
}

za_err_t za_become_with(za_ctx_t *ctx, const za_class_t *class_)
{
    if (ctx == NULL || class_ == NULL) {
        return ZA_EINVAL;
    }
    za_cell_t *cell = ctx->cell;
    // relaxed, here and below: the owner's; what it points to was made before the run queue
    const za_class_t *present = atomic_load_explicit(&cell->class_, memory_order_relaxed);
    if (!same_state(class_, present)) {
        return ZA_ETYPE;
    }
    za_extra_t *extra = za_cell_extra(ctx->worker, cell);
    if (extra == NULL) {
        return ZA_ENOBUFS;
    }
    const za_class_t *spawned = extra->spawned != NULL ? extra->spawned : present;
    const za_class_t *made =
        class_ == spawned ? spawned : intern(ctx->worker->runtime, spawned, class_);
    if (made == NULL) {
        return ZA_ENOBUFS;
    }
    extra->spawned = spawned;
    ctx->after |= ZA_AFTER_CHANGE;
    cell->hears |= ZA_HEARS_LIFE; // maybe: it is looked up then
    // release: inspectors on other threads read the class that was made
    atomic_store_explicit(&cell->class_, made, memory_order_release); // pairs: class
    return ZA_OK;
}

void za_become_reset(za_cell_t *cell)
{
    if (cell->extra != NULL && cell->extra->spawned != NULL) {
        // relaxed: a constant of the program
        atomic_store_explicit(&cell->class_, cell->extra->spawned, memory_order_relaxed);
        cell->extra->spawned = NULL;
    }
}
