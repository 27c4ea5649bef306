/** core/spawn.c: free cells go from worker to worker over the shared stack. */
#include "check.h"

#include "core/spawn.c" // its lists are its own
#include "scenarios.h"

enum { SLOTS = 9, WORKERS = 3 };

typedef struct lot {
    za_runtime_t *runtime;
    za_worker_t *workers[WORKERS];
} lot_t;

static lot_t *lot;

static void wake_nobody(void *context, za_worker_t *worker)
{
    (void)context, (void)worker;
}

static void setup_lot(void)
{
    static const za_host_t host = { .wake = wake_nobody };
    lot = zc_alloc(sizeof *lot);
    const za_runtime_config_t config = { .workers = WORKERS,
                                         .actors_max = SLOTS,
                                         .pool_bytes_max = 1 << 20,
                                         .mailbox_default = 2,
                                         .seed = 1,
                                         .host = &host };
    ZC_MUST(za_runtime_create(&config, &lot->runtime) == ZA_OK, "runtime");
    for (uint32_t i = 0; i < WORKERS; i++) {
        lot->workers[i] = za_runtime_worker(lot->runtime, i);
    }
    // Four cells are shared: more than one worker takes, so that one puts back what is too much.
    for (uint32_t slot = 1; slot < 5; slot++) {
        slots_push(lot->workers[0], za_cell_at(lot->runtime, slot));
    }
    za_cell_t *first = lot->workers[0]->slots;
    lot->workers[0]->slots = NULL;
    lot->workers[0]->slot_count = 0;
    slots_share(lot->runtime, first, za_cell_at(lot->runtime, 1));
}

static void take_some(void)
{
    take_shared(lot->workers[zc_self()]);
}

static void share_one(void)
{
    za_cell_t *cell = za_cell_at(lot->runtime, 5);
    cell->next = 0;
    slots_share(lot->runtime, cell, cell);
}

static void count_list(const za_cell_t *cell, uint32_t seen[SLOTS])
{
    while (cell != NULL) {
        uint32_t slot = za_cell_slot(lot->runtime, cell);
        ZC_MUST(slot > 0 && slot < 6, "slot %u was never free", slot);
        ZC_MUST(seen[slot]++ == 0, "a free cell is in two lists");
        cell = cell->next == 0 ? NULL : za_cell_at(lot->runtime, cell->next);
    }
}

static void finish_lot(void)
{
    uint32_t seen[SLOTS] = { 0 };
    for (uint32_t i = 0; i < WORKERS; i++) {
        count_list(lot->workers[i]->slots, seen);
    }
    count_list(atomic_load_explicit(&lot->runtime->slots_spare, memory_order_relaxed), seen);
    for (uint32_t slot = 1; slot < 6; slot++) {
        ZC_MUST(seen[slot] == 1, "a free cell is lost");
    }
}

const zc_scenario_t zc_slots = {
    .name = "slots",
    .promise = "each free cell is in one list, whoever shares and takes",
    .setup = setup_lot,
    .threads = { { "taker-1", take_some }, { "taker-2", take_some }, { "sharer", share_one } },
    .finish = finish_lot,
    .preemptions = 3,
    .stale = 2,
};
