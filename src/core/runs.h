/**
 * Runs: a list of runnable actors of one worker, linked by za_cell_t.link. Nobody else sees it.
 */
#pragma once

#include "core/cell.h"

/** Zero is an empty list. */
typedef struct za_runs {
    za_cell_t *first;
    za_cell_t *last;
    uint32_t count;
} za_runs_t;

static inline void za_runs_push_last(za_runs_t *runs, za_cell_t *cell)
{
    // relaxed: the list is one thread's
    atomic_store_explicit(&cell->link, NULL, memory_order_relaxed);
    if (runs->last != NULL) {
        atomic_store_explicit(&runs->last->link, cell, memory_order_relaxed);
    } else {
        runs->first = cell;
    }
    runs->last = cell;
    runs->count++;
}

static inline void za_runs_push_first(za_runs_t *runs, za_cell_t *cell)
{
    // relaxed: the list is one thread's
    atomic_store_explicit(&cell->link, runs->first, memory_order_relaxed);
    if (runs->first == NULL) {
        runs->last = cell;
    }
    runs->first = cell;
    runs->count++;
}

static inline za_cell_t *za_runs_pop(za_runs_t *runs)
{
    za_cell_t *cell = runs->first;
    if (cell != NULL) {
        // relaxed: the list is one thread's
        runs->first = atomic_load_explicit(&cell->link, memory_order_relaxed);
        if (runs->first == NULL) {
            runs->last = NULL;
        }
        runs->count--;
    }
    return cell;
}
