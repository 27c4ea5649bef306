/**
 * Threads push chains of admitted blocks to one mailbox; whoever wakes it runs it. Nothing is lost,
 * each producer's order holds, never more wait than the bound, one thread at a time is the owner.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "core/mailbox.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { SENDERS = 4, BOUND = 24, CHAIN_MAX = 9, MESSAGES = 2 * BOUND };

typedef struct sender {
    za_message_t messages[MESSAGES]; // round and round
    uint64_t sent;
    _Alignas(64) _Atomic uint64_t let_go; // by the mailbox: these messages are free again
} sender_t;

static za_mailbox_t mailbox;
static sender_t senders[SENDERS];
static uint64_t rounds;
static uint64_t expected[SENDERS]; // the owner's
static _Atomic uint32_t waiting;

/** Makes room and checks the order, as a run of an actor does before it handles a message. */
static uint64_t handle(const za_message_t *message)
{
    uint64_t from = message->actor;
    MUST(message->ask == expected[from]);
    expected[from]++;
    atomic_fetch_sub_explicit(&waiting, 1, memory_order_acquire); // acquire: before the room
    za_mailbox_make_room(&mailbox, 1);
    return from;
}

/** Runs the mailbox until it is idle. */
static void run(void)
{
    za_advance_t advance;
    do {
        za_message_t *head = za_mailbox_head(&mailbox);
        MUST(head != NULL); // it woke us, or it was linked
        uint64_t from = handle(head);
        while ((advance = za_mailbox_advance(&mailbox, head, NULL)) == ZA_ADVANCE_LATER) {
            sched_yield();
        }
        atomic_fetch_add_explicit(&senders[from].let_go, 1,
                                  memory_order_release); // pairs: stress-let-go
    } while (advance == ZA_ADVANCED);
}

static za_message_t *next_message(sender_t *sender)
{
    uint64_t n = sender->sent++;
    while (n >= MESSAGES + atomic_load_explicit(&sender->let_go,
                                                memory_order_acquire)) { // pairs: stress-let-go
        sched_yield();
    }
    za_message_t *message = &sender->messages[n % MESSAGES];
    message->actor = (uint64_t)(sender - senders);
    message->ask = n;
    // relaxed: published by the push
    atomic_store_explicit(&message->block.next, NULL, memory_order_relaxed);
    return message;
}

static void push(sender_t *sender, uint32_t count)
{
    za_message_t *first = next_message(sender);
    za_message_t *last = first;
    for (uint32_t i = 1; i < count; i++) {
        za_message_t *next = next_message(sender);
        // relaxed: published by the push
        atomic_store_explicit(&last->block.next, &next->block, memory_order_relaxed);
        last = next;
    }
    if (za_mailbox_push_chain(&mailbox, first, last) == ZA_PUSH_WOKE) {
        run();
    }
}

static void *send_all(void *argument)
{
    sender_t *sender = argument;
    za_rng_t rng;
    za_rng_init(&rng, (uint64_t)(sender - senders) + 1);
    while (sender->sent < rounds) {
        uint32_t want = 1 + (uint32_t)za_rng_below(&rng, CHAIN_MAX);
        uint32_t granted = za_mailbox_admit_block(&mailbox, want);
        MUST(granted <= want);
        // acq_rel: it rises after the admission, and falls before the room is made
        MUST(atomic_fetch_add_explicit(&waiting, granted, memory_order_acq_rel) + granted <= BOUND);
        uint32_t used = (uint32_t)za_rng_below(&rng, granted + 1);
        atomic_fetch_sub_explicit(&waiting, granted - used, memory_order_acq_rel);
        za_mailbox_unadmit(&mailbox, granted - used);
        if (used > 0) {
            push(sender, used);
        } else {
            sched_yield();
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    za_mailbox_make_room(&mailbox, BOUND);
    pthread_t threads[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        MUST(pthread_create(&threads[i], NULL, send_all, &senders[i]) == 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SENDERS; i++) {
        MUST(expected[i] == senders[i].sent && senders[i].sent >= rounds);
    }
    MUST(za_mailbox_claim(&mailbox)); // idle and empty
    MUST(za_mailbox_admit_block(&mailbox, BOUND + 1) == BOUND);
    return 0;
}
