/**
 * Mailbox: the messages waiting for one actor.
 *
 * Intrusive and lock-free, for many producers and one consumer, without a resident stub. `newest`
 * is also the actor's idle mark: NULL means idle, and the producer that finds it so schedules the
 * actor and no other does, so an actor is never scheduled twice. The consumer handles a message
 * while it still is the head; one compare-and-swap then makes the mailbox empty and the actor idle.
 *
 * Order    Messages of one producer come out in the order they went in.
 * Memory   Allocates nothing. A queued message belongs to the mailbox until advance lets it go.
 * Threads  Push and claim from any thread; the rest only from the owner: whoever was told
 *          ZA_PUSH_WOKE or true by claim, until it gives up by advancing to idle.
 */
#pragma once

#include "core/message.h"

typedef enum za_push {
    ZA_PUSH_QUEUED, // the actor is scheduled already
    ZA_PUSH_WOKE,   // the actor was idle: the caller must schedule it
} za_push_t;

/** Complete only because za_cell_t embeds it. Zero is an idle, empty mailbox. */
typedef struct za_mailbox {
    _Atomic(za_message_t *) newest; // NULL: idle; ZA_MAILBOX_BUSY: owned and empty
    _Atomic(za_message_t *) oldest; // the head; NULL while empty or before the first link
    _Atomic uint32_t admitted;      // producers: user messages so far, round and round
    _Atomic uint32_t limit;         // the owner: so many may be admitted so far
} za_mailbox_t;

#define ZA_MAILBOX_BUSY ((za_message_t *)1)
#define ZA_MAILBOX_BOUND_MAX 0x07ffffff // `admitted` can be ahead and behind; see ZA_BOUND_COUNT

/**
 * Appends the chain `first` .. `last`, linked by block.next, whose end is NULL, with one exchange.
 * Nobody else's message comes between them. Wait-free.
 */
static inline za_push_t za_mailbox_push_chain(za_mailbox_t *mailbox, za_message_t *first,
                                              za_message_t *last)
{
    za_message_t *previous = atomic_exchange_explicit(&mailbox->newest, last,
                                                      memory_order_acq_rel); // pairs: mailbox-idle
    if (previous == NULL) {
        // The run queue publishes it to the owner; release is for senders that drop.
        atomic_store_explicit(&mailbox->oldest, first,
                              memory_order_release); // pairs: mailbox-first
        return ZA_PUSH_WOKE;
    }
    if (previous == ZA_MAILBOX_BUSY) {
        atomic_store_explicit(&mailbox->oldest, first,
                              memory_order_release); // pairs: mailbox-first
    } else {
        atomic_store_explicit(&previous->block.next, &first->block,
                              memory_order_release); // pairs: mailbox-link
    }
    return ZA_PUSH_QUEUED;
}

/** Appends `message`. Wait-free. */
static inline za_push_t za_mailbox_push(za_mailbox_t *mailbox, za_message_t *message)
{
    // relaxed: published by the exchange
    atomic_store_explicit(&message->block.next, NULL, memory_order_relaxed);
    return za_mailbox_push_chain(mailbox, message, message);
}

/** Takes an idle mailbox: the caller owns it, empty, and must schedule the actor or idle it. */
static inline bool za_mailbox_claim(za_mailbox_t *mailbox)
{
    za_message_t *idle = NULL;
    // seq_cst: with the command before it; the owner looks in the opposite order, and one sees the
    // other. Pairs as an acquire with mailbox-idle.
    return atomic_compare_exchange_strong_explicit(&mailbox->newest, &idle, ZA_MAILBOX_BUSY,
                                                   memory_order_seq_cst, memory_order_seq_cst);
}

/** True if za_mailbox_claim would succeed just now; a look that saves the exchange. */
static inline bool za_mailbox_is_idle(const za_mailbox_t *mailbox)
{
    // seq_cst: as in za_mailbox_claim
    return atomic_load_explicit(&mailbox->newest, memory_order_seq_cst) == NULL;
}

/** The head; NULL if the mailbox is empty or the first push is not done yet. */
static inline za_message_t *za_mailbox_head(za_mailbox_t *mailbox)
{
    return atomic_load_explicit(&mailbox->oldest, memory_order_acquire); // pairs: mailbox-first
}

typedef enum za_advance {
    ZA_ADVANCED,      // the old head is the caller's, and there is a new one
    ZA_ADVANCED_LAST, // the old head is the caller's, and newest became `empty`
    ZA_ADVANCE_LATER, // a push is between exchange and link: nothing changed, come back
} za_advance_t;

/** Lets all before `head` go, which are the owner's by then: each had a successor. */
static inline void za_mailbox_skip_to(za_mailbox_t *mailbox, za_message_t *head)
{
    // relaxed: `oldest` is the owner's while the mailbox is not empty
    atomic_store_explicit(&mailbox->oldest, head, memory_order_relaxed);
}

/** Lets the head go. `empty`: NULL to be idle, or ZA_MAILBOX_BUSY to stay the owner. */
static inline za_advance_t za_mailbox_advance(za_mailbox_t *mailbox, za_message_t *head,
                                              za_message_t *empty)
{
    za_block_t *next =
        atomic_load_explicit(&head->block.next, memory_order_acquire); // pairs: mailbox-link
    if (next != NULL) {
        // relaxed: `oldest` is the owner's while the mailbox is not empty
        atomic_store_explicit(&mailbox->oldest, (za_message_t *)next, memory_order_relaxed);
        return ZA_ADVANCED;
    }
    // Before the exchange: afterwards the next producer writes it. relaxed: published below.
    atomic_store_explicit(&mailbox->oldest, NULL, memory_order_relaxed);
    za_message_t *expected = head;
    // seq_cst: before the look for commands that follows idling; see za_mailbox_claim.
    if (atomic_compare_exchange_strong_explicit(&mailbox->newest, &expected, empty,
                                                memory_order_seq_cst, // pairs: mailbox-idle
                                                memory_order_relaxed)) {
        return ZA_ADVANCED_LAST;
    }
    atomic_store_explicit(&mailbox->oldest, head, memory_order_relaxed); // relaxed: the owner's
    return ZA_ADVANCE_LATER;
}

/** Makes an owned, empty mailbox idle. False if a message slipped in. */
static inline bool za_mailbox_try_idle(za_mailbox_t *mailbox)
{
    za_message_t *busy = ZA_MAILBOX_BUSY;
    // seq_cst: see za_mailbox_claim
    return atomic_compare_exchange_strong_explicit(&mailbox->newest, &busy, NULL,
                                                   memory_order_seq_cst, // pairs: mailbox-idle
                                                   memory_order_relaxed);
}

/** Takes back `count` admissions: nothing was pushed for them. */
static inline void za_mailbox_unadmit(za_mailbox_t *mailbox, uint32_t count)
{
    // relaxed: see za_mailbox_admit
    atomic_fetch_sub_explicit(&mailbox->admitted, count, memory_order_relaxed);
}

/**
 * Counts one more user message, in any case. False: the bound does not allow it, and it is to be
 * given back with za_mailbox_unadmit.
 */
static inline bool za_mailbox_count_in(za_mailbox_t *mailbox)
{
    // relaxed, both: see za_mailbox_admit_block
    uint32_t limit = atomic_load_explicit(&mailbox->limit, memory_order_relaxed);
    uint32_t before = atomic_fetch_add_explicit(&mailbox->admitted, 1, memory_order_relaxed);
    return __builtin_expect((int32_t)(limit - before) > 0, 1);
}

/**
 * Counts up to `want` more user messages and answers how many the bound allows, all at once. What is
 * not pushed is given back with za_mailbox_unadmit; until then others find that room taken.
 */
static inline uint32_t za_mailbox_admit_block(za_mailbox_t *mailbox, uint32_t want)
{
    // relaxed: a bound orders nothing; the messages themselves are published by push
    uint32_t limit = atomic_load_explicit(&mailbox->limit, memory_order_relaxed);
    uint32_t before = atomic_fetch_add_explicit(&mailbox->admitted, want, memory_order_relaxed);
    // Signed: `limit` may be younger than `before`, or older.
    int32_t room = (int32_t)(limit - before);
    if (__builtin_expect(room >= (int32_t)want, 1)) {
        return want;
    }
    // It takes all the room there is, so whoever is refused before this is refused rightly.
    uint32_t granted = room > 0 ? (uint32_t)room : 0;
    za_mailbox_unadmit(mailbox, want - granted);
    return granted;
}

/** Counts one more user message. False: the bound does not allow it. */
static inline bool za_mailbox_admit(za_mailbox_t *mailbox)
{
    return za_mailbox_admit_block(mailbox, 1) != 0;
}

/**
 * Makes room for `count` more: messages that were handled, or a bound that grew. The owner alone
 * writes `limit`, so this is a plain store where a count that went up and down would cost a locked
 * instruction for each message.
 */
static inline void za_mailbox_make_room(za_mailbox_t *mailbox, uint32_t count)
{
    // relaxed: see za_mailbox_admit
    uint32_t limit = atomic_load_explicit(&mailbox->limit, memory_order_relaxed);
    atomic_store_explicit(&mailbox->limit, limit + count, memory_order_relaxed);
}

/** User messages in a mailbox of `bound`, at about now. Any thread. */
static inline uint32_t za_mailbox_count(const za_mailbox_t *mailbox, uint32_t bound)
{
    // relaxed: two numbers that change while we look
    uint32_t limit = atomic_load_explicit(&mailbox->limit, memory_order_relaxed);
    uint32_t admitted = atomic_load_explicit(&mailbox->admitted, memory_order_relaxed);
    int32_t count = (int32_t)(admitted - (limit - bound));
    return count < 0 ? 0 : (uint32_t)count;
}
