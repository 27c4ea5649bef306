#include "core/watchers.h"

#include <string.h>

#include "base/hash.h"
#include "core/worker.h"

enum {
    WATCHERS_CHAIN_MAX = 16, // a walk of so many is as cheap as a hash
    CHAIN_MEAN_MAX = 2,      // watches to a chain, before the table doubles
};

static za_message_t *next_of(const za_message_t *watch)
{
    // relaxed: the chain is the owner's
    return (za_message_t *)atomic_load_explicit(&watch->block.next, memory_order_relaxed);
}

static void set_next(za_message_t *watch, za_message_t *next)
{
    // relaxed: the chain is the owner's
    atomic_store_explicit(&watch->block.next, (za_block_t *)next, memory_order_relaxed);
}

static uint64_t hash_of(za_ref_t watcher, uint64_t watch_id)
{
    return za_mix64(watch_id ^ za_mix64(watcher.actor ^ za_mix64(watcher.node)));
}

static za_message_t **heads(const za_watchers_t *watchers)
{
    return (za_message_t **)(void *)(watchers->block + 1);
}

static void insert(za_watchers_t *watchers, za_message_t *watch)
{
    za_message_t **head = &heads(watchers)[hash_of(watch->sender, watch->ask) & watchers->mask];
    set_next(watch, *head);
    *head = watch;
    watchers->count++;
}

/** An empty table of `chains` (a power of two). False: no memory is left. */
static bool make_table(za_worker_t *worker, uint32_t chains, za_watchers_t *out)
{
    size_t bytes = chains * sizeof(za_message_t *);
    za_block_t *block = za_pool_alloc(&worker->pool, sizeof *block + bytes, ZA_POOL_BOUNDED);
    if (block == NULL) {
        return false;
    }
    memset(block + 1, 0, bytes);
    *out = (za_watchers_t){ .block = block, .mask = chains - 1 };
    return true;
}

static void insert_chain(za_watchers_t *watchers, za_message_t *chain)
{
    while (chain != NULL) {
        za_message_t *next = next_of(chain);
        insert(watchers, chain);
        chain = next;
    }
}

/** From one chain to a table, if there is memory for it. */
static void spread(za_worker_t *worker, za_cell_t *cell)
{
    za_extra_t *extra = za_cell_extra(worker, cell);
    if (extra != NULL && make_table(worker, WATCHERS_CHAIN_MAX, &extra->watchers)) {
        insert_chain(&extra->watchers, cell->watchers);
        cell->watchers = NULL;
    }
}

static void double_table(za_worker_t *worker, za_watchers_t *watchers)
{
    za_watchers_t larger;
    if (!make_table(worker, 2 * (watchers->mask + 1), &larger)) {
        return;
    }
    for (uint32_t i = 0; i <= watchers->mask; i++) {
        insert_chain(&larger, heads(watchers)[i]);
    }
    za_pool_free(&worker->pool, watchers->block);
    *watchers = larger;
}

static za_watchers_t *table_of(const za_cell_t *cell)
{
    return cell->extra != NULL && cell->extra->watchers.block != NULL ? &cell->extra->watchers
                                                                      : NULL;
}

void za_watcher_add(za_worker_t *worker, za_cell_t *cell, za_message_t *watch)
{
    // In the lone chain the head knows how many they are: the cell has no room for it.
    if (cell->watchers != NULL && cell->watchers->deadline_ms >= WATCHERS_CHAIN_MAX) {
        spread(worker, cell);
    }
    za_watchers_t *table = table_of(cell);
    if (table == NULL) {
        watch->deadline_ms = cell->watchers == NULL ? 1 : cell->watchers->deadline_ms + 1;
        set_next(watch, cell->watchers);
        cell->watchers = watch;
        return;
    }
    if (table->count >= CHAIN_MEAN_MAX * (table->mask + 1)) {
        double_table(worker, table);
    }
    insert(table, watch);
}

/** Takes the watch out of a chain; NULL: it is not in it. */
static za_message_t *take(za_worker_t *worker, za_message_t **head, za_ref_t watcher,
                          uint64_t watch_id)
{
    za_message_t *before = NULL;
    za_message_t *watch = *head;
    worker->looks++;
    while (watch != NULL && (watch->ask != watch_id || !za_ref_equal(watch->sender, watcher))) {
        before = watch;
        watch = next_of(watch);
        worker->looks++;
    }
    if (watch != NULL && before == NULL) {
        *head = next_of(watch);
    } else if (watch != NULL) {
        set_next(before, next_of(watch));
    }
    return watch;
}

static za_message_t *take_from_chain(za_worker_t *worker, za_cell_t *cell, za_ref_t watcher,
                                     uint64_t watch_id)
{
    uint64_t count = cell->watchers == NULL ? 0 : cell->watchers->deadline_ms;
    za_message_t *watch = take(worker, &cell->watchers, watcher, watch_id);
    if (watch != NULL && cell->watchers != NULL) {
        cell->watchers->deadline_ms = count - 1;
    }
    return watch;
}

static za_message_t *take_from_table(za_worker_t *worker, za_watchers_t *table, za_ref_t watcher,
                                     uint64_t watch_id)
{
    za_message_t **head = &heads(table)[hash_of(watcher, watch_id) & table->mask];
    za_message_t *watch = take(worker, head, watcher, watch_id);
    if (watch != NULL && --table->count == 0) {
        za_pool_free(&worker->pool, table->block);
        *table = (za_watchers_t){ 0 };
    }
    return watch;
}

void za_watcher_remove(za_worker_t *worker, za_cell_t *cell, za_ref_t watcher, uint64_t watch_id)
{
    za_watchers_t *table = table_of(cell);
    za_message_t *watch = table == NULL ? take_from_chain(worker, cell, watcher, watch_id)
                                        : take_from_table(worker, table, watcher, watch_id);
    if (watch != NULL) {
        za_message_drop(worker, watch);
    }
}

static void tell_chain(za_worker_t *worker, za_message_t *chain, za_ref_t self, za_Reason reason)
{
    while (chain != NULL) {
        za_message_t *watch = chain;
        chain = next_of(watch);
        watch->actor = self.actor;
        za_watch_answer(worker, watch, reason);
    }
}

void za_watchers_tell(za_worker_t *worker, za_cell_t *cell, za_ref_t self, za_Reason reason)
{
    tell_chain(worker, cell->watchers, self, reason);
    cell->watchers = NULL;
    za_watchers_t *table = table_of(cell);
    if (table == NULL) {
        return;
    }
    for (uint32_t i = 0; i <= table->mask; i++) {
        tell_chain(worker, heads(table)[i], self, reason);
    }
    za_pool_free(&worker->pool, table->block);
    *table = (za_watchers_t){ 0 };
}
