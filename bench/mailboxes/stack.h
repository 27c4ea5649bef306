/**
 * Box by a stack (Treiber 1986), as in CAF and Pony's ancestors: producers push by compare-and-swap,
 * the owner takes all of it with one exchange and turns it round. No producer keeps the owner
 * waiting; but each message is walked over twice, and producers repeat when they meet.
 */
#pragma once

#include "box.h"

/** Puts a chain, newest first, on top. */
static inline box_push_t box_stack_put(box_stack_t *stack, za_message_t *newest,
                                       za_message_t *oldest, bool backoff)
{
    // relaxed: the exchange checks it
    za_message_t *top = atomic_load_explicit(&stack->newest, memory_order_relaxed);
    uint32_t pauses = 1;
    for (;;) {
        za_block_t *below = top == NULL || top == ZA_MAILBOX_BUSY ? NULL : &top->block;
        // relaxed: published by the exchange
        atomic_store_explicit(&oldest->block.next, below, memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&stack->newest, &top, newest,
                                                  memory_order_acq_rel, // pairs: box-stack
                                                  memory_order_relaxed)) {
            return top == NULL ? BOX_WOKE : BOX_QUEUED;
        }
        if (backoff) {
            box_back_off(&pauses);
        }
    }
}

static inline box_push_t box_stack_push_either(box_t *box, za_message_t *message, bool backoff)
{
    if (!za_mailbox_admit(&box->stack.bound)) {
        return BOX_FULL;
    }
    return box_stack_put(&box->stack, message, message, backoff);
}

static inline box_push_t box_stack_push(box_t *box, box_thread_t *thread, za_message_t *message)
{
    (void)thread;
    return box_stack_push_either(box, message, false);
}

static inline box_push_t box_stack_push_backoff(box_t *box, box_thread_t *thread,
                                                za_message_t *message)
{
    (void)thread;
    return box_stack_push_either(box, message, true);
}

/** The same messages the other way round; the links are the caller's. */
static inline za_message_t *box_turn_round(za_message_t *first)
{
    za_message_t *turned = NULL;
    while (first != NULL) {
        // relaxed, both: the caller's
        za_message_t *next =
            (za_message_t *)atomic_load_explicit(&first->block.next, memory_order_relaxed);
        atomic_store_explicit(&first->block.next, (za_block_t *)turned, memory_order_relaxed);
        turned = first;
        first = next;
    }
    return turned;
}

static inline box_push_t box_stack_push_chain(box_t *box, box_thread_t *thread, box_chain_t *chain)
{
    (void)thread;
    uint32_t granted = za_mailbox_admit_block(&box->stack.bound, chain->count);
    if (granted == 0) {
        return BOX_FULL;
    }
    box_chain_t part = *chain;
    if (granted == chain->count) {
        *chain = (box_chain_t){ 0 };
    } else {
        part = box_chain_split(chain, granted);
    }
    return box_stack_put(&box->stack, box_turn_round(part.first), part.first, false);
}

static inline za_message_t *box_stack_head(box_t *box, box_thread_t *thread)
{
    (void)thread;
    box_stack_t *stack = &box->stack;
    if (stack->oldest == NULL) {
        za_message_t *newest = atomic_exchange_explicit(&stack->newest, ZA_MAILBOX_BUSY,
                                                        memory_order_acq_rel); // pairs: box-stack
        stack->oldest = newest == ZA_MAILBOX_BUSY ? NULL : box_turn_round(newest);
    }
    return stack->oldest;
}

static inline box_next_t box_stack_next(box_t *box, box_thread_t *thread, za_message_t *head)
{
    (void)thread;
    box_stack_t *stack = &box->stack;
    // relaxed: the owner's
    stack->oldest = (za_message_t *)atomic_load_explicit(&head->block.next, memory_order_relaxed);
    if (stack->oldest != NULL) {
        return BOX_MORE;
    }
    za_message_t *busy = ZA_MAILBOX_BUSY;
    return atomic_compare_exchange_strong_explicit(&stack->newest, &busy, NULL,
                                                   memory_order_acq_rel, // pairs: box-stack
                                                   memory_order_relaxed)
               ? BOX_IDLE
               : BOX_MORE;
}

static inline za_mailbox_t *box_stack_bound(box_t *box)
{
    return &box->stack.bound;
}

enum { BOX_STACK_BYTES = 2 * sizeof(void *) + 2 * sizeof(uint32_t) };

static const box_kind_t box_stack = {
    .name = "stack",
    .idle_bytes = BOX_STACK_BYTES,
    .push = box_stack_push,
    .push_chain = box_stack_push_chain,
    .head = box_stack_head,
    .next = box_stack_next,
    .bound = box_stack_bound,
};

static const box_kind_t box_stack_backoff = {
    .name = "stack-backoff",
    .idle_bytes = BOX_STACK_BYTES,
    .push = box_stack_push_backoff,
    .push_chain = box_stack_push_chain,
    .head = box_stack_head,
    .next = box_stack_next,
    .bound = box_stack_bound,
};
