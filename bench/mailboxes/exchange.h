/** Box by core/mailbox.h: one exchange on the newest, then a link from the one before. */
#pragma once

#include "box.h"

static inline box_push_t box_exchange_push(box_t *box, box_thread_t *thread, za_message_t *message)
{
    (void)thread;
    if (!za_mailbox_admit(&box->exchange)) {
        return BOX_FULL;
    }
    return za_mailbox_push(&box->exchange, message) == ZA_PUSH_WOKE ? BOX_WOKE : BOX_QUEUED;
}

static inline box_push_t box_exchange_push_chain(box_t *box, box_thread_t *thread,
                                                 box_chain_t *chain)
{
    (void)thread;
    uint32_t granted = za_mailbox_admit_block(&box->exchange, chain->count);
    if (granted == 0) {
        return BOX_FULL;
    }
    box_chain_t part = *chain;
    if (granted == chain->count) {
        *chain = (box_chain_t){ 0 };
    } else {
        part = box_chain_split(chain, granted);
    }
    return za_mailbox_push_chain(&box->exchange, part.first, part.last) == ZA_PUSH_WOKE
               ? BOX_WOKE
               : BOX_QUEUED;
}

static inline za_message_t *box_exchange_head(box_t *box, box_thread_t *thread)
{
    (void)thread;
    return za_mailbox_head(&box->exchange);
}

static inline box_next_t box_exchange_next(box_t *box, box_thread_t *thread, za_message_t *head)
{
    (void)thread;
    switch (za_mailbox_advance(&box->exchange, head, NULL)) {
    case ZA_ADVANCED:
        return BOX_MORE;
    case ZA_ADVANCED_LAST:
        return BOX_IDLE;
    case ZA_ADVANCE_LATER:
        break;
    }
    return BOX_LATER;
}

static inline za_mailbox_t *box_exchange_bound(box_t *box)
{
    return &box->exchange;
}

/**
 * An exchange never fails, so it does not tell that others push as well; but what it finds does: it
 * is not what this thread pushed before.
 */
static inline box_push_t box_exchange_push_backoff(box_t *box, box_thread_t *thread,
                                                   za_message_t *message)
{
    if (!za_mailbox_admit(&box->exchange)) {
        return BOX_FULL;
    }
    // relaxed: a look
    za_message_t *newest = atomic_load_explicit(&box->exchange.newest, memory_order_relaxed);
    bool met = newest != NULL && newest != ZA_MAILBOX_BUSY && newest != thread->pushed;
    thread->pushed = message;
    za_push_t push = za_mailbox_push(&box->exchange, message);
    if (met) {
        box_back_off(&thread->pauses);
    } else {
        thread->pauses = 1;
    }
    return push == ZA_PUSH_WOKE ? BOX_WOKE : BOX_QUEUED;
}

static const box_kind_t box_exchange = {
    .name = "exchange",
    .idle_bytes = sizeof(za_mailbox_t),
    .push = box_exchange_push,
    .push_chain = box_exchange_push_chain,
    .head = box_exchange_head,
    .next = box_exchange_next,
    .bound = box_exchange_bound,
};

static const box_kind_t box_exchange_backoff = {
    .name = "exchange-backoff",
    .idle_bytes = sizeof(za_mailbox_t),
    .push = box_exchange_push_backoff,
    .push_chain = box_exchange_push_chain,
    .head = box_exchange_head,
    .next = box_exchange_next,
    .bound = box_exchange_bound,
};
