/** The ring of core/sched.c: the owner pushes and pops, others steal. */
#include "check.h"

#include "core/sched.c" // the ring's functions are its own
#include "scenarios.h"

enum { CELLS = ZA_RING_RUNS + 2 };

#define START (UINT32_MAX - 1) // the numbers wrap in the middle

typedef struct table {
    za_ring_t rings[3]; // the owner's, then the thieves'
    za_cell_t cells[CELLS];
    uint32_t taken[CELLS]; // plain: written by whoever takes the cell
    uint32_t pushed;
} table_t;

static table_t *table;

static void ring_begin(za_ring_t *ring, uint32_t at)
{
    atomic_store_explicit(&ring->head, at, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, at, memory_order_relaxed);
}

static void setup_rings(void)
{
    table = zc_alloc(sizeof *table);
    for (int i = 0; i < 3; i++) {
        ring_begin(&table->rings[i], START);
    }
}

/** Pushes the next cell, as its owner until then. */
static bool put_next(void)
{
    za_cell_t *cell = &table->cells[table->pushed];
    cell->status = ZA_STATUS_RUNNING;
    if (!ring_push(&table->rings[0], cell)) {
        return false;
    }
    table->pushed++;
    return true;
}

static void take(za_cell_t *cell)
{
    ZC_MUST(cell >= table->cells && cell < table->cells + CELLS, "%p is no actor", (void *)cell);
    ZC_MUST(cell->status == ZA_STATUS_RUNNING, "an actor without what its last owner wrote");
    ZC_MUST(table->taken[cell - table->cells]++ == 0, "an actor is taken twice");
}

static bool pop(unsigned ring)
{
    za_cell_t *cell = ring_pop(&table->rings[ring]);
    if (cell != NULL) {
        take(cell);
    }
    return cell != NULL;
}

static void owner_pushes_and_pops(void)
{
    put_next();
    put_next();
    pop(0);
    put_next();
    while (pop(0)) {
    }
}

static void steal_into(unsigned ring)
{
    if (ring_steal(&table->rings[ring], &table->rings[0])) {
        while (pop(ring)) {
        }
    }
}

static void thief_1(void)
{
    steal_into(1);
}

static void thief_2(void)
{
    steal_into(2);
}

static void finish_rings(void)
{
    for (unsigned ring = 0; ring < 3; ring++) {
        while (pop(ring)) {
        }
    }
    for (uint32_t i = 0; i < table->pushed; i++) {
        ZC_MUST(table->taken[i] == 1, "an actor is lost");
    }
}

const zc_scenario_t zc_ring = {
    .name = "ring",
    .promise = "each runnable actor is taken exactly once, by the owner or a thief",
    .setup = setup_rings,
    .threads = { { "owner", owner_pushes_and_pops },
                 { "thief-1", thief_1 },
                 { "thief-2", thief_2 } },
    .finish = finish_rings,
    .preemptions = 3,
    .stale = 1,
};

/* ---- a thief is robbed -------------------------------------------------------------------- */

static void owner_pushes(void)
{
    put_next();
    put_next();
    put_next();
}

static void thief_robs_thief(void)
{
    if (ring_steal(&table->rings[2], &table->rings[1])) {
        while (pop(2)) {
        }
    }
}

const zc_scenario_t zc_ring_chain = {
    .name = "ring-chain",
    .promise = "what a thief has stolen may be stolen from it, with what its owner wrote",
    .setup = setup_rings,
    .threads = { { "owner", owner_pushes }, { "thief", thief_1 }, { "robber", thief_robs_thief } },
    .finish = finish_rings,
    .preemptions = 3,
    .stale = 2,
};

/* ---- full --------------------------------------------------------------------------------- */

static void setup_full(void)
{
    setup_rings();
    while (table->pushed < ZA_RING_RUNS) {
        put_next();
    }
}

static void owner_pushes_on(void)
{
    if (!put_next()) {
        pop(0);
        ZC_MUST(put_next(), "a ring with room refuses");
    }
    put_next();
}

static void thief_takes_half(void)
{
    ring_steal(&table->rings[1], &table->rings[0]);
}

const zc_scenario_t zc_ring_full = {
    .name = "ring-full",
    .promise = "a full ring refuses, and nothing in it is written over",
    .setup = setup_full,
    .threads = { { "owner", owner_pushes_on }, { "thief", thief_takes_half } },
    .finish = finish_rings,
    .preemptions = 3,
    .stale = 2,
};
