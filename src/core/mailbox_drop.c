#include "core/mailbox_drop.h"

#include <sched.h>

enum {
    PASS_MAX = 64,  // messages that are no user's, to be passed over with the lock held
    TAKE_TRIES = 64 // of the owner, while senders drop: each has the lock for a moment
};

/* ---- the lock ----------------------------------------------------------------------------- */

/** False: somebody has it, who will look for what the caller did; or nothing is to be dropped. */
static bool try_lock(za_cell_t *cell)
{
    // relaxed: the exchange checks it
    uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed);
    uint32_t wanted;
    do {
        if ((bound & ZA_BOUND_DROPS_OLDEST) == 0) {
            return false;
        }
        // A lock that is taken is written, too: so whoever gives it up knows of us, and sees our
        // push and its link, which a mere look would leave behind.
        wanted = bound & ZA_BOUND_LOCKED ? bound | ZA_BOUND_MISSED : bound | ZA_BOUND_LOCKED;
    } while (!atomic_compare_exchange_weak_explicit(&cell->bound, &bound, wanted,
                                                    memory_order_acq_rel, // pairs: drop-lock
                                                    memory_order_relaxed));
    return (bound & ZA_BOUND_LOCKED) == 0;
}

static bool is_locked(za_cell_t *cell)
{
    // relaxed: a look
    return (atomic_load_explicit(&cell->bound, memory_order_relaxed) & ZA_BOUND_LOCKED) != 0;
}

/** True if somebody found the lock taken: what he left is seen from now on. */
static bool unlock(za_cell_t *cell)
{
    uint32_t before = atomic_fetch_and_explicit(&cell->bound, ~(ZA_BOUND_LOCKED | ZA_BOUND_MISSED),
                                                memory_order_acq_rel); // pairs: drop-lock
    return (before & ZA_BOUND_MISSED) != 0;
}

/** More user messages than the bound allows. Exact with the lock, else a guess. */
static bool is_over(za_cell_t *cell)
{
    // relaxed, both: the lock orders what counts; the owner writes the limit with the lock held
    uint32_t limit = atomic_load_explicit(&cell->mailbox.limit, memory_order_relaxed);
    uint32_t admitted = atomic_load_explicit(&cell->mailbox.admitted, memory_order_relaxed);
    return (int32_t)(admitted - limit) > 0;
}

/* ---- with the lock ------------------------------------------------------------------------ */

/** Takes the head; NULL: there is none, or it is out of reach for now (`*later`). */
static za_message_t *take_head(za_cell_t *cell, bool *later)
{
    za_message_t *head = za_mailbox_head(&cell->mailbox);
    if (head != NULL &&
        za_mailbox_advance(&cell->mailbox, head, ZA_MAILBOX_BUSY) == ZA_ADVANCE_LATER) {
        *later = true;
        return NULL;
    }
    return head;
}

/** Moves user messages that are too many to `dropped`. False: the rest is out of reach. */
static bool drop_excess(za_cell_t *cell, za_aside_t *dropped)
{
    uint32_t passed = 0;
    bool later = false;
    while (is_over(cell) && passed < PASS_MAX) {
        za_message_t *head = take_head(cell, &later);
        if (head == NULL) {
            return false;
        }
        if (head->block.kind == ZA_KIND_USER) {
            za_mailbox_unadmit(&cell->mailbox, 1);
            za_aside_push(dropped, head);
        } else {
            passed++;
            za_aside_push(&cell->extra->passed, head);
        }
    }
    return true;
}

/* ---- without it --------------------------------------------------------------------------- */

static void bury(za_worker_t *worker, za_aside_t *dropped)
{
    za_message_t *message;
    while ((message = za_aside_pop(dropped)) != NULL) {
        za_message_die(worker, message, za_Reason_REASON_MAILBOX_FULL);
    }
}

bool za_drop_admit(za_cell_t *cell)
{
    // relaxed: if the actor ends meanwhile, its next owner refuses the message
    if ((atomic_load_explicit(&cell->bound, memory_order_relaxed) & ZA_BOUND_DROPS_OLDEST) == 0) {
        return false;
    }
    // relaxed, both: see za_mailbox_admit
    uint32_t limit = atomic_load_explicit(&cell->mailbox.limit, memory_order_relaxed);
    uint32_t before = atomic_fetch_add_explicit(&cell->mailbox.admitted, 1, memory_order_relaxed);
    if ((int32_t)(before - limit) < ZA_DROP_SLACK) {
        return true;
    }
    za_mailbox_unadmit(&cell->mailbox, 1);
    return false;
}

void za_drop_settle(za_worker_t *worker, za_cell_t *cell)
{
    za_aside_t dropped = { 0 };
    bool again = true;
    while (again && is_over(cell) && try_lock(cell)) {
        bool all = drop_excess(cell, &dropped);
        again = unlock(cell) || all;
    }
    bury(worker, &dropped);
}

za_take_t za_drop_take(za_worker_t *worker, za_cell_t *cell, za_message_t **out)
{
    uint32_t tries = 0;
    // It looks before it tries, so that it does not take the line from the one who is to be done.
    while (is_locked(cell) || !try_lock(cell)) {
        if (++tries == TAKE_TRIES) {
            return ZA_TAKE_LATER;
        }
    }
    za_aside_t dropped = { 0 };
    bool later = false;
    drop_excess(cell, &dropped);
    za_message_t *message = za_aside_pop(&cell->extra->passed);
    if (message == NULL) {
        message = take_head(cell, &later);
    }
    if (message != NULL && message->block.kind == ZA_KIND_USER) {
        za_mailbox_make_room(&cell->mailbox, 1);
    }
    unlock(cell);
    za_drop_settle(worker, cell); // for those who found the lock taken
    bury(worker, &dropped);
    *out = message;
    if (message != NULL) {
        return ZA_TAKEN;
    }
    return later ? ZA_TAKE_LATER : ZA_TAKE_EMPTY;
}

/* ---- the actor's life --------------------------------------------------------------------- */

void za_drop_open(za_cell_t *cell)
{
    ZA_ASSERT(cell->extra != NULL);
    cell->head_done = ZA_HEAD_SHARED;
    // relaxed: nobody else writes it while nothing is to be dropped
    uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed);
    // release: the extra record; a sender may know the id of a former actor here
    atomic_store_explicit(&cell->bound, bound | ZA_BOUND_DROPS_OLDEST,
                          memory_order_release); // pairs: drop-lock
}

void za_drop_close(za_cell_t *cell)
{
    if (cell->head_done != ZA_HEAD_SHARED) {
        return;
    }
    while (!try_lock(cell)) {
        sched_yield(); // it was preempted in the middle of a few instructions
    }
    cell->head_done = 0;
    // relaxed, then release: we have the lock, and give it up for good
    uint32_t bound = atomic_load_explicit(&cell->bound, memory_order_relaxed);
    atomic_store_explicit(&cell->bound,
                          bound & ~(ZA_BOUND_DROPS_OLDEST | ZA_BOUND_LOCKED | ZA_BOUND_MISSED),
                          memory_order_release); // pairs: drop-lock
}
