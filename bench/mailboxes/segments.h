/**
 * Box by segments: a counter gives each message its slot, as in LCRQ (Morrison and Afek 2013), the
 * FAA array queue (Ramalhete and Correia 2016) and "A wait-free queue as fast as fetch-and-add"
 * (Yang and Mellor-Crummey 2016), cut down to one consumer and with an idle mark.
 *
 * Pointer of the segment and counter are one word, so that a producer learns from one fetch-and-add
 * which slot of which segment is its own: no hazard pointer, and the owner frees a segment when its
 * last slot was used. Idle is a word without a segment, so that an idle box has no memory; the
 * producer that puts a segment there has woken it. The second form takes the slot by
 * compare-and-swap, for machines without a cheap fetch-and-add.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "stack.h"

#define BOX_SLOT_ONE (UINT64_C(1) << 48) // a user's address is shorter
#define BOX_SEGMENT_MASK (BOX_SLOT_ONE - 1)

enum { BOX_SEGMENTS_KEPT = 64 }; // of a thread; more go to the depot

static inline box_segment_t *box_segment_of(uint64_t word)
{
    return (box_segment_t *)(uintptr_t)(word & BOX_SEGMENT_MASK);
}

/* ---- memory ------------------------------------------------------------------------------- */

static inline box_segment_t *box_segment_take(box_thread_t *thread)
{
    if (thread->segments == NULL) {
        thread->segments = atomic_exchange_explicit(&thread->depot->segments, NULL,
                                                    memory_order_acquire); // pairs: box-depot
        thread->segment_count = 0; // only of those that come on top
    }
    box_segment_t *segment = thread->segments;
    if (segment != NULL) {
        thread->segments = segment->free;
        thread->segment_count -= thread->segment_count > 0;
        return segment;
    }
    segment = aligned_alloc(64, sizeof *segment);
    if (segment == NULL) {
        abort(); // a benchmark and a test: there is memory
    }
    memset(segment, 0, sizeof *segment);
    thread->segments_made++;
    return segment;
}

/** Hands the thread's segments to the others. */
static inline void box_thread_flush(box_thread_t *thread)
{
    box_segment_t *first = thread->segments;
    if (first == NULL) {
        return;
    }
    box_segment_t *last = first;
    while (last->free != NULL) {
        last = last->free;
    }
    // relaxed: the exchange checks it
    box_segment_t *top = atomic_load_explicit(&thread->depot->segments, memory_order_relaxed);
    do {
        last->free = top;
    } while (!atomic_compare_exchange_weak_explicit(&thread->depot->segments, &top, first,
                                                    memory_order_release, // pairs: box-depot
                                                    memory_order_relaxed));
    thread->segments = NULL;
    thread->segment_count = 0;
}

static inline void box_segment_free(box_thread_t *thread, box_segment_t *segment)
{
    segment->free = thread->segments;
    thread->segments = segment;
    if (++thread->segment_count >= BOX_SEGMENTS_KEPT) {
        box_thread_flush(thread);
    }
}

/** Frees what is in the depot: the end of a run. Returns how many there were. */
static inline uint64_t box_depot_clear(box_depot_t *depot)
{
    uint64_t count = 0;
    box_segment_t *segment =
        atomic_exchange_explicit(&depot->segments, NULL, memory_order_acquire); // pairs: box-depot
    while (segment != NULL) {
        box_segment_t *next = segment->free;
        free(segment);
        segment = next;
        count++;
    }
    return count;
}

/* ---- producers ---------------------------------------------------------------------------- */

typedef enum box_claim { BOX_ADD, BOX_SWAP, BOX_SWAP_BACKOFF } box_claim_t;

/** Takes up to `want` slots; returns the word before. */
static inline uint64_t box_claim_slots(box_segments_t *box, uint32_t want, box_claim_t how)
{
    if (how == BOX_ADD) {
        return atomic_fetch_add_explicit(&box->tail, want * BOX_SLOT_ONE,
                                         memory_order_acq_rel); // pairs: box-segments
    }
    // relaxed: the exchange checks it
    uint64_t word = atomic_load_explicit(&box->tail, memory_order_relaxed);
    uint32_t pauses = 1;
    while (box_segment_of(word) != NULL && word / BOX_SLOT_ONE < BOX_SEGMENT_SLOTS &&
           !atomic_compare_exchange_weak_explicit(&box->tail, &word, word + want * BOX_SLOT_ONE,
                                                  memory_order_acq_rel, // pairs: box-segments
                                                  memory_order_relaxed)) {
        if (how == BOX_SWAP_BACKOFF) {
            box_back_off(&pauses);
        }
    }
    return word;
}

/** Moves the first messages of the chain into slots that nobody sees, or that are the caller's. */
static inline void box_fill_slots(box_segment_t *segment, uint32_t slot, uint32_t count,
                                  box_chain_t *chain)
{
    for (uint32_t i = 0; i < count; i++) {
        za_message_t *message = chain->first;
        // relaxed: the chain is the caller's
        chain->first =
            (za_message_t *)atomic_load_explicit(&message->block.next, memory_order_relaxed);
        atomic_store_explicit(&segment->slots[slot + i], message,
                              memory_order_release); // pairs: box-slot
    }
    chain->count -= count;
}

/** Puts a new segment behind the one of `word`, or where none is. False: another did. */
static inline bool box_install(box_segments_t *box, box_thread_t *thread, uint64_t word,
                               box_chain_t *chain, box_push_t *push)
{
    uint32_t count = chain->count < BOX_SEGMENT_SLOTS ? chain->count : BOX_SEGMENT_SLOTS;
    box_segment_t *segment = box_segment_take(thread);
    box_chain_t rest = *chain;
    box_fill_slots(segment, 0, count, &rest);
    for (;;) {
        box_segment_t *full = box_segment_of(word);
        if (full != NULL && word / BOX_SLOT_ONE < BOX_SEGMENT_SLOTS) {
            break;
        }
        if (!atomic_compare_exchange_weak_explicit(
                &box->tail, &word, (uint64_t)(uintptr_t)segment | count * BOX_SLOT_ONE,
                memory_order_acq_rel, // pairs: box-segments
                memory_order_relaxed)) {
            continue;
        }
        *chain = rest;
        if (full == NULL) {
            box->head = segment;
            box->slot = 0;
            *push = BOX_WOKE;
        } else {
            atomic_store_explicit(&full->next, segment, memory_order_release); // pairs: box-next
        }
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        // relaxed: nobody saw it
        atomic_store_explicit(&segment->slots[i], NULL, memory_order_relaxed);
    }
    box_segment_free(thread, segment);
    return false;
}

/** All of an admitted chain, whose messages are counted in. */
static inline box_push_t box_segments_put(box_segments_t *box, box_thread_t *thread,
                                          box_chain_t *chain, box_claim_t how)
{
    box_push_t push = BOX_QUEUED;
    while (chain->count > 0) {
        uint64_t word = box_claim_slots(box, chain->count, how);
        box_segment_t *segment = box_segment_of(word);
        uint64_t slot = word / BOX_SLOT_ONE;
        if (segment != NULL && slot < BOX_SEGMENT_SLOTS) {
            uint32_t room = BOX_SEGMENT_SLOTS - (uint32_t)slot;
            box_fill_slots(segment, (uint32_t)slot, chain->count < room ? chain->count : room,
                           chain);
            continue;
        }
        // relaxed: box_install checks it
        word = atomic_load_explicit(&box->tail, memory_order_relaxed);
        box_install(box, thread, word, chain, &push);
    }
    return push;
}

static inline box_push_t box_segments_push_how(box_t *box, box_thread_t *thread,
                                               za_message_t *message, box_claim_t how)
{
    if (!za_mailbox_admit(&box->segments.bound)) {
        return BOX_FULL;
    }
    // relaxed: published by the slot
    atomic_store_explicit(&message->block.next, NULL, memory_order_relaxed);
    box_chain_t chain = { message, message, 1 };
    return box_segments_put(&box->segments, thread, &chain, how);
}

static inline box_push_t box_segments_chain_how(box_t *box, box_thread_t *thread,
                                                box_chain_t *chain, box_claim_t how)
{
    uint32_t granted = za_mailbox_admit_block(&box->segments.bound, chain->count);
    if (granted == 0) {
        return BOX_FULL;
    }
    box_chain_t part = *chain;
    if (granted == chain->count) {
        *chain = (box_chain_t){ 0 };
    } else {
        part = box_chain_split(chain, granted);
    }
    return box_segments_put(&box->segments, thread, &part, how);
}

/* ---- the owner ---------------------------------------------------------------------------- */

static inline za_message_t *box_segments_head(box_t *box, box_thread_t *thread)
{
    box_segments_t *self = &box->segments;
    if (self->slot == BOX_SEGMENT_SLOTS) {
        box_segment_t *next =
            atomic_load_explicit(&self->head->next, memory_order_acquire); // pairs: box-next
        if (next == NULL) {
            return NULL;
        }
        // relaxed: nobody else knows it any more
        atomic_store_explicit(&self->head->next, NULL, memory_order_relaxed);
        box_segment_free(thread, self->head);
        self->head = next;
        self->slot = 0;
    }
    return atomic_load_explicit(&self->head->slots[self->slot],
                                memory_order_acquire); // pairs: box-slot
}

static inline box_next_t box_segments_next(box_t *box, box_thread_t *thread, za_message_t *head)
{
    (void)head;
    box_segments_t *self = &box->segments;
    box_segment_t *segment = self->head;
    // relaxed: the slot is the owner's until the segment is used again
    atomic_store_explicit(&segment->slots[self->slot], NULL, memory_order_relaxed);
    self->slot++;
    // relaxed: a look; the exchange checks it
    uint64_t word = atomic_load_explicit(&self->tail, memory_order_relaxed);
    uint64_t given = word / BOX_SLOT_ONE;
    while (box_segment_of(word) == segment &&
           (given == self->slot || (given > self->slot && self->slot == BOX_SEGMENT_SLOTS))) {
        if (atomic_compare_exchange_weak_explicit(&self->tail, &word, 0,
                                                  memory_order_acq_rel, // pairs: box-segments
                                                  memory_order_relaxed)) {
            box_segment_free(thread, segment);
            return BOX_IDLE;
        }
        given = word / BOX_SLOT_ONE;
    }
    return BOX_MORE;
}

static inline za_mailbox_t *box_segments_bound(box_t *box)
{
    return &box->segments.bound;
}

/* ---- the forms ---------------------------------------------------------------------------- */

static inline box_push_t box_add_push(box_t *box, box_thread_t *thread, za_message_t *message)
{
    return box_segments_push_how(box, thread, message, BOX_ADD);
}

static inline box_push_t box_add_push_chain(box_t *box, box_thread_t *thread, box_chain_t *chain)
{
    return box_segments_chain_how(box, thread, chain, BOX_ADD);
}

static inline box_push_t box_swap_push(box_t *box, box_thread_t *thread, za_message_t *message)
{
    return box_segments_push_how(box, thread, message, BOX_SWAP);
}

static inline box_push_t box_swap_push_chain(box_t *box, box_thread_t *thread, box_chain_t *chain)
{
    return box_segments_chain_how(box, thread, chain, BOX_SWAP);
}

static inline box_push_t box_backoff_push(box_t *box, box_thread_t *thread, za_message_t *message)
{
    return box_segments_push_how(box, thread, message, BOX_SWAP_BACKOFF);
}

static inline box_push_t box_backoff_push_chain(box_t *box, box_thread_t *thread,
                                                box_chain_t *chain)
{
    return box_segments_chain_how(box, thread, chain, BOX_SWAP_BACKOFF);
}

enum { BOX_SEGMENTS_BYTES = 2 * sizeof(void *) + 4 * sizeof(uint32_t) };

#define BOX_SEGMENTS_KIND(kind, form)                                                              \
    static const box_kind_t kind = {                                                               \
        .name = form,                                                                              \
        .idle_bytes = BOX_SEGMENTS_BYTES,                                                          \
        .segment_bytes = sizeof(box_segment_t),                                                    \
        .push = kind##_push,                                                                       \
        .push_chain = kind##_push_chain,                                                           \
        .head = box_segments_head,                                                                 \
        .next = box_segments_next,                                                                 \
        .bound = box_segments_bound,                                                               \
    }

BOX_SEGMENTS_KIND(box_add, "segments-add");
BOX_SEGMENTS_KIND(box_swap, "segments-swap");
BOX_SEGMENTS_KIND(box_backoff, "segments-swap-backoff");
