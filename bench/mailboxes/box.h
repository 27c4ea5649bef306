/**
 * Box: what any mailbox of an actor must do, so that several can be compared and tested alike.
 *
 * Many producers, one owner at a time. The producer whose push finds the box idle becomes the owner
 * (BOX_WOKE); the owner is that until it lets the last message go (BOX_IDLE), and then any thread
 * may be the next. The bound is answered at the send.
 *
 * Order    Messages of one producer come out in the order they went in.
 * Memory   A message in the box belongs to it until `next` lets it go. What else a box needs comes
 *          from the segments of the calling thread.
 * Threads  push and push_chain from any thread; head and next from the owner.
 */
#pragma once

#include "core/mailbox.h"

typedef enum box_push {
    BOX_QUEUED, // somebody owns the box
    BOX_WOKE,   // it was idle: the caller owns it now
    BOX_FULL,   // not queued: the message still is the caller's
} box_push_t;

typedef enum box_next {
    BOX_MORE,  // the head is the caller's, and there are others
    BOX_IDLE,  // the head is the caller's, and the box nobody's
    BOX_LATER, // a producer is in the middle of a push: nothing changed, come back
} box_next_t;

enum { BOX_BACKOFF_MAX = 64 };   // pauses after a push that met another, doubled each time
enum { BOX_SEGMENT_SLOTS = 14 }; // a segment is two cache lines

/** A piece of a segment queue; all slots are NULL when nobody uses it. */
typedef struct box_segment {
    _Alignas(64) _Atomic(struct box_segment *) next;
    struct box_segment *free; // of a list of unused ones
    _Atomic(za_message_t *) slots[BOX_SEGMENT_SLOTS];
} box_segment_t;

static_assert(sizeof(box_segment_t) == 128, "two cache lines");

/** Unused segments of all threads; what one thread frees another takes. */
typedef struct box_depot {
    _Alignas(64) _Atomic(box_segment_t *) segments;
} box_depot_t;

/** What a thread has for its boxes. Zero, but for the depot, is one without segments. */
typedef struct box_thread {
    box_depot_t *depot;
    box_segment_t *segments;
    uint32_t segment_count;
    uint64_t segments_made; // from malloc
    za_message_t *pushed;   // the last one, for a push that backs off
    uint32_t pauses;
} box_thread_t;

/** The intrusive stack: producers push, the owner takes all and turns them round. */
typedef struct box_stack {
    _Atomic(za_message_t *) newest; // NULL: idle; ZA_MAILBOX_BUSY: owned, and nothing new
    za_message_t *oldest;           // the owner's, turned round already
    za_mailbox_t bound;             // its counters alone
} box_stack_t;

/** The queue of segments: a counter gives each message its slot. */
typedef struct box_segments {
    // The segment that is being filled, and above it how many of its slots are given away. No
    // segment: idle.
    _Atomic uint64_t tail;
    box_segment_t *head; // the owner's, and the slot it is at
    uint32_t slot;
    za_mailbox_t bound; // its counters alone
} box_segments_t;

/** Zero is an idle box without room. */
typedef union box {
    za_mailbox_t exchange;
    box_stack_t stack;
    box_segments_t segments;
} box_t;

/** Messages that go together, linked by block.next. */
typedef struct box_chain {
    za_message_t *first;
    za_message_t *last;
    uint32_t count;
} box_chain_t;

typedef struct box_kind {
    const char *name;
    size_t idle_bytes;    // of a box that nobody uses
    size_t segment_bytes; // of each BOX_SEGMENT_SLOTS messages that wait; 0: none
    box_push_t (*push)(box_t *box, box_thread_t *thread, za_message_t *message);
    /**
     * As push for messages in their order, of which a first part may find room: that leaves the
     * chain. BOX_FULL: none of them did.
     */
    box_push_t (*push_chain)(box_t *box, box_thread_t *thread, box_chain_t *chain);
    /** The oldest, which stays in the box; NULL: the producer who comes first is not done. */
    za_message_t *(*head)(box_t *box, box_thread_t *thread);
    /** Lets the head go. */
    box_next_t (*next)(box_t *box, box_thread_t *thread, za_message_t *head);
    /** The counters of the bound. */
    za_mailbox_t *(*bound)(box_t *box);
} box_kind_t;

static inline void box_make_room(const box_kind_t *kind, box_t *box, uint32_t count)
{
    za_mailbox_make_room(kind->bound(box), count);
}

/** Lets the core's other work go ahead, while another core has what this one waits for. */
static inline void box_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

/** Pauses twice as long as the last time. */
static inline void box_back_off(uint32_t *pauses)
{
    for (uint32_t i = 0; i < *pauses; i++) {
        box_pause();
    }
    *pauses = *pauses < BOX_BACKOFF_MAX ? 2 * *pauses : *pauses;
}

/** Splits off the first `count` messages, whose end is NULL then. */
static inline box_chain_t box_chain_split(box_chain_t *chain, uint32_t count)
{
    box_chain_t part = { chain->first, chain->first, count };
    // relaxed, all here: the chain is the caller's
    for (uint32_t i = 1; i < count; i++) {
        part.last =
            (za_message_t *)atomic_load_explicit(&part.last->block.next, memory_order_relaxed);
    }
    chain->first =
        (za_message_t *)atomic_load_explicit(&part.last->block.next, memory_order_relaxed);
    chain->count -= count;
    if (chain->count == 0) {
        *chain = (box_chain_t){ 0 };
    }
    atomic_store_explicit(&part.last->block.next, NULL, memory_order_relaxed);
    return part;
}
