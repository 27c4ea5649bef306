/** Spawning: a slot, a state, a place among the children, and the first run. */
#include <string.h>

#include "base/words.h"
#include "core/fiber.h"

enum { CLAIM_TRIES = 8 }; // free cells with late messages in them are rare

/* ---- slots -------------------------------------------------------------------------------- */

static void slots_push(za_worker_t *worker, za_cell_t *cell)
{
    cell->next = worker->slots == NULL ? 0 : za_cell_slot(worker->runtime, worker->slots);
    worker->slots = cell;
    worker->slot_count++;
}

static za_cell_t *slots_pop(za_worker_t *worker)
{
    za_cell_t *cell = worker->slots;
    if (cell != NULL) {
        worker->slots = cell->next == 0 ? NULL : za_cell_at(worker->runtime, cell->next);
        worker->slot_count--;
    }
    return cell;
}

/** Free cells that a worker keeps. */
static uint32_t slots_keep(const za_runtime_t *runtime)
{
    uint32_t keep = runtime->slot_max / 16;
    return keep < 4 ? 4 : keep > ZA_SLOT_SPARE_MAX ? ZA_SLOT_SPARE_MAX : keep;
}

/** Puts a chain of free cells on the shared stack. */
static void slots_share(za_runtime_t *runtime, za_cell_t *first, za_cell_t *last)
{
    // relaxed: the exchange checks it
    za_cell_t *top = atomic_load_explicit(&runtime->slots_spare, memory_order_relaxed);
    do {
        last->next = top == NULL ? 0 : za_cell_slot(runtime, top);
    } while (!atomic_compare_exchange_weak_explicit(&runtime->slots_spare, &top, first,
                                                    memory_order_release, // pairs: slots-spare
                                                    memory_order_relaxed));
}

/** Gives half of the own free cells to whoever needs some. */
static void share_half(za_worker_t *worker)
{
    za_cell_t *first = worker->slots;
    za_cell_t *last = first;
    uint32_t give = worker->slot_count / 2;
    for (uint32_t i = 1; i < give; i++) {
        last = za_cell_at(worker->runtime, last->next);
    }
    worker->slots = za_cell_at(worker->runtime, last->next);
    worker->slot_count -= give;
    slots_share(worker->runtime, first, last);
}

void za_slots_give_back(za_worker_t *worker)
{
    za_cell_t *last = worker->slots;
    if (last == NULL) {
        return;
    }
    while (last->next != 0) {
        last = za_cell_at(worker->runtime, last->next);
    }
    slots_share(worker->runtime, worker->slots, last);
    worker->slots = NULL;
    worker->slot_count = 0;
}

void za_slot_free(za_worker_t *worker, za_cell_t *cell)
{
    // relaxed: the cell is ours
    uint64_t id = atomic_load_explicit(&cell->id, memory_order_relaxed);
    if (id >> ZA_ACTOR_SLOT_BITS >= ZA_GENERATION_MAX) {
        return; // retired: no id of this slot is left
    }
    slots_push(worker, cell);
    if (worker->slot_count > slots_keep(worker->runtime)) {
        share_half(worker);
    }
}

/** Gives back what was taken from the shared stack and is not needed. */
static void slots_put_back(za_runtime_t *runtime, za_cell_t *rest)
{
    za_cell_t *none = NULL;
    // The rest may be very long. It goes back as it is, unless somebody shared meanwhile.
    if (atomic_compare_exchange_strong_explicit(&runtime->slots_spare, &none, rest,
                                                memory_order_release, // pairs: slots-spare
                                                memory_order_relaxed)) {
        return;
    }
    za_cell_t *last = rest;
    while (last->next != 0) {
        last = za_cell_at(runtime, last->next);
    }
    slots_share(runtime, rest, last);
}

/** Takes free cells that others shared: half of what may be kept, so that none is shared at once. */
static void take_shared(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    // relaxed: a look that saves the exchange
    if (atomic_load_explicit(&runtime->slots_spare, memory_order_relaxed) == NULL) {
        return;
    }
    // All at once, and back what is too much: no ABA.
    za_cell_t *cell = atomic_exchange_explicit(&runtime->slots_spare, NULL,
                                               memory_order_acquire); // pairs: slots-spare
    uint32_t want = slots_keep(runtime) / 2;
    while (cell != NULL && worker->slot_count < want) {
        za_cell_t *next = cell->next == 0 ? NULL : za_cell_at(runtime, cell->next);
        slots_push(worker, cell);
        cell = next;
    }
    if (cell != NULL) {
        slots_put_back(runtime, cell);
    }
}

/** A block of cells that no actor ever had; small when there are few at all. */
static bool take_block(za_worker_t *worker)
{
    za_runtime_t *runtime = worker->runtime;
    uint32_t want = runtime->slot_max >= ZA_SLOT_BLOCK * ZA_SLOT_BLOCK ? ZA_SLOT_BLOCK : 1;
    // relaxed: numbers are handed out, the cells are zero pages
    uint32_t next = atomic_load_explicit(&runtime->slot_next, memory_order_relaxed);
    uint32_t end;
    do {
        if (next >= runtime->slot_max) {
            return false;
        }
        end = next + want < runtime->slot_max ? next + want : runtime->slot_max;
    } while (!atomic_compare_exchange_weak_explicit(&runtime->slot_next, &next, end,
                                                    memory_order_relaxed, memory_order_relaxed));
    worker->slot_fresh = next;
    worker->slot_end = end;
    return true;
}

/** As slot_take, if the first free cell is none or still busy. */
static __attribute__((noinline)) za_cell_t *slot_take_slowly(za_worker_t *worker)
{
    if (worker->slots == NULL) {
        take_shared(worker);
    }
    za_cell_t *busy[CLAIM_TRIES];
    uint32_t busy_count = 0;
    za_cell_t *found = NULL;
    while (found == NULL && worker->slots != NULL && busy_count < CLAIM_TRIES) {
        za_cell_t *cell = slots_pop(worker);
        if (za_mailbox_claim(&cell->mailbox)) {
            found = cell;
        } else {
            busy[busy_count++] = cell; // scheduled to be drained: free again soon
        }
    }
    while (busy_count > 0) {
        slots_push(worker, busy[--busy_count]);
    }
    if (found == NULL && (worker->slot_fresh < worker->slot_end || take_block(worker))) {
        found = za_cell_at(worker->runtime, worker->slot_fresh++);
        if (!za_mailbox_claim(&found->mailbox)) {
            // Somebody wrote to a made-up reference: later, when it is drained.
            slots_push(worker, found);
            return NULL;
        }
    }
    return found;
}

/** A free cell whose mailbox is claimed; NULL: the actor limit. */
static inline za_cell_t *slot_take(za_worker_t *worker)
{
    if (worker->slots != NULL && za_mailbox_claim(&worker->slots->mailbox)) {
        return slots_pop(worker);
    }
    return slot_take_slowly(worker);
}

/** Gives up a claimed cell that lives no more. */
static void slot_return(za_worker_t *worker, za_cell_t *cell)
{
    if (!za_mailbox_try_idle(&cell->mailbox)) {
        za_schedule(worker, cell); // somebody wrote to it: drained like any dead one
    }
    za_slot_free(worker, cell);
}

/* ---- parts -------------------------------------------------------------------------------- */

za_extra_t *za_cell_extra(za_worker_t *worker, za_cell_t *cell)
{
    if (cell->extra == NULL) {
        za_block_t *block = za_pool_alloc(&worker->pool, sizeof(za_extra_t), ZA_POOL_BOUNDED);
        if (block == NULL) {
            return NULL;
        }
        memset((char *)block + sizeof *block, 0, sizeof(za_extra_t) - sizeof *block);
        cell->extra = (za_extra_t *)(void *)block;
        za_list_init(&cell->extra->far_asks);
        za_list_init(&cell->extra->lost_asks);
    }
    return cell->extra;
}

/** True if its parent restarts children together. */
static bool is_together(const za_cell_t *parent)
{
    return parent != NULL && parent->extra->strategy != ZA_ONE_FOR_ONE;
}

static bool needs_extra(const za_spawn_opts_t *opts, za_ref_t owner)
{
    return opts->max_restarts > 0 || opts->on_limit != ZA_LIMIT_STOP || opts->args_type != NULL ||
           owner.actor != 0 || opts->stash != 0 || opts->worker != 0 || opts->dedicated ||
           opts->fiber || opts->overflow == ZA_DROP_OLDEST;
}

static za_err_t fill_extra(za_worker_t *worker, za_cell_t *cell, za_ref_t owner,
                           const za_spawn_opts_t *opts)
{
    za_extra_t *extra = za_cell_extra(worker, cell);
    if (extra == NULL) {
        return ZA_ENOBUFS;
    }
    extra->owner = owner;
    extra->home = opts->worker;
    extra->restart = (uint8_t)opts->restart;
    extra->on_limit = (uint8_t)opts->on_limit;
    extra->max_restarts = opts->max_restarts;
    extra->within_ms = opts->within_ms != 0 ? opts->within_ms : 5000;
    extra->stash_max = opts->stash;
    extra->backoff_min_ms = opts->backoff_min_ms;
    extra->backoff_max_ms = opts->backoff_max_ms != 0 ? opts->backoff_max_ms : 30000;
    if (opts->args_type == NULL) {
        return ZA_OK;
    }
    uint32_t bytes = za_type_extent(opts->args_type, opts->args);
    extra->args = za_message_make(worker, ZA_KIND_NOTIFY, bytes, ZA_POOL_BOUNDED);
    if (extra->args == NULL) {
        return ZA_ENOBUFS;
    }
    extra->args->ask = 0;
    za_message_fill(extra->args, opts->args_type, opts->args, bytes);
    return ZA_OK;
}

void za_cell_free_parts(za_worker_t *worker, za_cell_t *cell)
{
    if (cell->state != NULL) {
        za_pool_free(&worker->pool, cell->state);
        cell->state = NULL;
    }
    // What comes later is for whoever drains it. relaxed: the owner's
    uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed);
    atomic_store_explicit(&cell->bound, bound & ~ZA_BOUND_PLACED, memory_order_relaxed);
    if (cell->extra != NULL) {
        if (cell->extra->args != NULL) {
            za_message_drop(worker, cell->extra->args);
        }
        za_window_deinit(&cell->extra->restarts, &worker->pool);
        if (za_dedicated_is(worker->runtime, cell->extra->home)) {
            za_dedicated_end(worker, cell->extra->home);
        }
        if (cell->extra->fiber != NULL) {
            cell->head_done = ZA_HEAD_PLAIN;
            za_fiber_close(worker, cell->extra);
        }
        za_pool_free(&worker->pool, &cell->extra->block);
        cell->extra = NULL;
    }
}

/** What a few actors need. */
static __attribute__((noinline)) za_err_t make_extra(za_worker_t *worker, za_cell_t *cell,
                                                     const za_cell_t *parent, za_ref_t owner,
                                                     const za_spawn_opts_t *opts)
{
    za_err_t err = fill_extra(worker, cell, owner, opts);
    if (err != ZA_OK) {
        return err;
    }
    cell->extra->together = is_together(parent);
    if (opts->fiber) {
        return za_fiber_open(worker, cell->extra, opts->stack_bytes);
    }
    return opts->dedicated ? za_dedicated_take(worker, opts->stack_bytes, &cell->extra->home)
                           : ZA_OK;
}

static inline __attribute__((always_inline)) za_err_t
make_parts(za_worker_t *worker, za_cell_t *cell, const za_cell_t *parent, za_ref_t owner,
           const za_class_t *class_, const za_spawn_opts_t *opts)
{
    if (class_->state_bytes > 0) {
        cell->state =
            za_pool_alloc(&worker->pool, sizeof(za_block_t) + class_->state_bytes, ZA_POOL_BOUNDED);
        if (cell->state == NULL) {
            return ZA_ENOBUFS;
        }
        za_words_zero(cell->state + 1, class_->state_bytes);
    }
    bool needs = is_together(parent) || needs_extra(opts, owner);
    return needs ? make_extra(worker, cell, parent, owner, opts) : ZA_OK;
}

static inline __attribute__((always_inline)) void fill_cell(za_worker_t *worker, za_cell_t *cell,
                                                            const za_cell_t *parent,
                                                            const za_class_t *class_,
                                                            const za_spawn_opts_t *opts)
{
    za_runtime_t *runtime = worker->runtime;
    uint32_t bound = opts->mailbox != 0 ? opts->mailbox : runtime->config.mailbox_default;
    bound = bound < ZA_BOUND_COUNT ? bound : ZA_BOUND_COUNT;
    // relaxed, all of them: published by the id
    uint32_t before = atomic_load_explicit(&cell->bound, memory_order_relaxed) & ZA_BOUND_COUNT;
    za_mailbox_make_room(&cell->mailbox, bound - before);
    bound |= opts->overflow == ZA_DROP_NEWEST ? ZA_BOUND_DROPS_NEWEST : 0;
    bound |= cell->extra != NULL && cell->extra->home != 0 ? ZA_BOUND_PLACED : 0;
    atomic_store_explicit(&cell->bound, bound, memory_order_relaxed);
    atomic_store_explicit(&cell->class_, class_, memory_order_relaxed);
    const za_known_t *known = za_known(worker, class_);
    atomic_store_explicit(&cell->handled, known->number, memory_order_relaxed);
    atomic_store_explicit(&cell->restarts, 0, memory_order_relaxed);
    atomic_store_explicit(&cell->asks_out, 0, memory_order_relaxed);
    atomic_store_explicit(&cell->attached, 0, memory_order_relaxed);
    atomic_store_explicit(&cell->parent, parent == NULL ? 0 : za_cell_slot(runtime, parent),
                          memory_order_relaxed);
    cell->watchers = NULL;
    cell->status = ZA_STATUS_STARTING;
    cell->head_done = opts->fiber ? ZA_HEAD_FIBER : ZA_HEAD_PLAIN;
    cell->hears = known->hears;
    cell->why = 0;
    cell->escalates = 0;
    cell->previous = 0;
    cell->next = 0;
    if (opts->overflow == ZA_DROP_OLDEST) {
        za_drop_open(cell);
    }
}

static void adopt(za_worker_t *worker, za_cell_t *parent, za_cell_t *child)
{
    za_extra_t *extra = parent->extra;
    uint32_t slot = za_cell_slot(worker->runtime, child);
    child->previous = extra->child_last;
    if (extra->child_last != 0) {
        za_cell_at(worker->runtime, extra->child_last)->next = slot;
    } else {
        extra->child_first = slot;
    }
    extra->child_last = slot;
}

/* ---- spawn -------------------------------------------------------------------------------- */

static bool is_stack_valid(const za_spawn_opts_t *opts)
{
    if (opts->fiber) {
        return !opts->dedicated && opts->overflow != ZA_DROP_OLDEST &&
               (opts->stack_bytes == 0 || (opts->stack_bytes >= ZA_FIBER_BYTES_MIN &&
                                           opts->stack_bytes <= ZA_FIBER_BYTES_MAX));
    }
    if (!opts->dedicated) {
        return opts->stack_bytes == 0;
    }
    return opts->worker == 0 &&
           (opts->stack_bytes == 0 ||
            (opts->stack_bytes >= ZA_STACK_BYTES_MIN && opts->stack_bytes <= ZA_STACK_BYTES_MAX));
}

/** A copy with every field, whatever version of the struct the caller has. */
static za_err_t read_opts(const za_runtime_t *runtime, const za_class_t *class_,
                          const za_spawn_opts_t *given, za_spawn_opts_t *opts)
{
    if (class_ == NULL || given == NULL || given->size < sizeof given->size || given->size > 4096) {
        return ZA_EINVAL;
    }
    *opts = (za_spawn_opts_t){ 0 };
    memcpy(opts, given, given->size < sizeof *opts ? given->size : sizeof *opts);
    if ((opts->args_type != NULL) != (opts->args != NULL) || opts->overflow > ZA_DROP_OLDEST ||
        opts->restart > ZA_RESTART_NEVER || opts->on_limit > ZA_LIMIT_STOP_ALL ||
        opts->worker > runtime->config.workers || !is_stack_valid(opts)) {
        return ZA_EINVAL;
    }
    if (opts->name != NULL) {
        size_t length = strnlen(opts->name, ZA_NAME_BYTES_MAX + 1);
        if (length == 0 || length > ZA_NAME_BYTES_MAX) {
            return ZA_EINVAL;
        }
    }
    if (opts->args_type != NULL) {
        if (za_handler_find(class_, opts->args_type) == NULL) {
            return ZA_ETYPE;
        }
        if (za_type_extent(opts->args_type, opts->args) > ZA_SPAWN_ARGS_BYTES_MAX) {
            return ZA_ETOOBIG;
        }
    }
    return ZA_OK;
}

/** True if nothing is asked for: so most actors are spawned. */
static inline bool is_bare(const za_spawn_opts_t *given)
{
    enum { WORDS = sizeof *given / sizeof(uint64_t) };
    if (given == NULL || given->size != sizeof *given) {
        return false;
    }
    uint64_t any = 0;
    for (size_t i = 1; i < WORDS; i++) { // `size` is the first
        uint64_t word;
        memcpy(&word, (const char *)given + i * sizeof word, sizeof word);
        any |= word;
    }
    return any == 0;
}

static za_err_t register_name(za_worker_t *worker, uint64_t id, const char *name)
{
    za_runtime_t *runtime = worker->runtime;
    if (runtime->remote.named == NULL) {
        return ZA_ENOROUTE; // names are the cluster's, and there is none
    }
    return runtime->remote.named(runtime->config.remote_context, worker, (za_ref_t){ 0, id }, name);
}

/** Inlined twice: for options that are known to be zero most of it falls away. */
static inline __attribute__((always_inline)) za_err_t
spawn(za_worker_t *worker, za_cell_t *parent, za_ref_t owner, const za_class_t *class_,
      const za_spawn_opts_t *opts, za_ref_t *out)
{
    if (class_->state_bytes > ZA_POOL_BLOCK_BYTES_MAX - sizeof(za_block_t)) {
        return ZA_ETOOBIG;
    }
    if (parent != NULL && za_cell_extra(worker, parent) == NULL) {
        return ZA_ENOBUFS;
    }
    za_cell_t *cell = slot_take(worker);
    if (cell == NULL) {
        return ZA_ENOBUFS;
    }
    // relaxed: the cell is ours
    uint64_t dead = atomic_load_explicit(&cell->id, memory_order_relaxed);
    uint64_t id = dead + (UINT64_C(1) << ZA_ACTOR_SLOT_BITS) + za_cell_slot(worker->runtime, cell);
    za_err_t err = make_parts(worker, cell, parent, owner, class_, opts);
    if (err != ZA_OK) {
        goto fail_parts;
    }
    fill_cell(worker, cell, parent, class_, opts);
    atomic_store_explicit(&cell->id, id, memory_order_release); // pairs: cell-id
    if (opts->group != NULL) {
        err = za_group_join(worker, cell, id, opts->group, NULL);
        if (err != ZA_OK) {
            goto fail_group;
        }
    }
    if (opts->name != NULL) {
        err = register_name(worker, id, opts->name);
        if (err != ZA_OK) {
            goto fail_name;
        }
    }
    if (parent != NULL) {
        adopt(worker, parent, cell);
    }
    ZA_TALLY(worker, spawned);
    if (out != NULL) {
        *out = (za_ref_t){ 0, id };
    }
    if (owner.actor != 0) {
        // A child of another node's actor: its end must be told. relaxed: the cell is still ours.
        atomic_store_explicit(&cell->attached, 1, memory_order_relaxed);
    }
    za_schedule_fresh(worker, cell);
    return ZA_OK;

fail_name:
    if (opts->group != NULL) {
        za_group_leave(worker, cell, id, opts->group);
    }
    za_groups_leave(worker, cell);
fail_group:
    za_drop_close(cell);
    atomic_store_explicit(&cell->id, za_id_dead(id), memory_order_release); // pairs: cell-id
    cell->status = ZA_STATUS_DEAD;
fail_parts:
    za_cell_free_parts(worker, cell);
    slot_return(worker, cell);
    return err;
}

za_err_t za_cell_spawn(za_worker_t *worker, za_cell_t *parent, za_ref_t owner,
                       const za_class_t *class_, const za_spawn_opts_t *given, za_ref_t *out)
{
    static const za_spawn_opts_t bare = { .size = sizeof bare };
    if (class_ != NULL && owner.actor == 0 && is_bare(given)) {
        return spawn(worker, parent, ZA_REF_NONE, class_, &bare, out);
    }
    za_spawn_opts_t opts;
    za_err_t err = read_opts(worker->runtime, class_, given, &opts);
    return err != ZA_OK ? err : spawn(worker, parent, owner, class_, &opts, out);
}

za_err_t za_spawn_with(za_ctx_t *ctx, const za_class_t *class_, za_ref_t *out,
                       const za_spawn_opts_t *opts)
{
    if (ctx == NULL) {
        return ZA_EINVAL;
    }
    if (ctx->stopping) {
        return ZA_ESTOPPING;
    }
    return za_cell_spawn(ctx->worker, ctx->cell, ZA_REF_NONE, class_, opts, out);
}
