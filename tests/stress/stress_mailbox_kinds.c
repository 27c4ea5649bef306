/**
 * Threads push chains to one mailbox of each kind; whoever wakes it runs it. Nothing is lost, each
 * producer's order holds, the bound is as it was, one thread at a time is the owner.
 */
#include "../../bench/mailboxes/kinds.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: broken: %s\n", __FILE__, __LINE__, kind->name,             \
                    #condition);                                                                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { SENDERS = 4, BOUND = 24, CHAIN_MAX = 20, MESSAGES = 2 * BOUND + CHAIN_MAX };

typedef struct sender {
    za_message_t messages[MESSAGES]; // round and round
    uint64_t made;                   // numbers given to messages
    box_thread_t thread;
    _Alignas(64) _Atomic uint64_t let_go; // by the box: so many messages are free again
} sender_t;

static const box_kind_t *kind;
static box_t box;
static box_depot_t depot;
static sender_t senders[SENDERS];
static uint64_t rounds;
static uint64_t expected[SENDERS]; // the owner's

/** Makes room and checks the order, as a run of an actor does before it handles a message. */
static uint64_t handle(const za_message_t *message)
{
    uint64_t from = message->actor;
    MUST(message->ask == expected[from]);
    expected[from]++;
    box_make_room(kind, &box, 1);
    return from;
}

/** Runs the box until it is idle. */
static void run(box_thread_t *thread)
{
    box_next_t next;
    do {
        za_message_t *head;
        while ((head = kind->head(&box, thread)) == NULL) {
            sched_yield();
        }
        uint64_t from = handle(head);
        while ((next = kind->next(&box, thread, head)) == BOX_LATER) {
            sched_yield();
        }
        atomic_fetch_add_explicit(&senders[from].let_go, 1,
                                  memory_order_release); // pairs: stress-let-go
    } while (next == BOX_MORE);
}

/** Makes `count` messages, all of which are free. */
static box_chain_t make_chain(sender_t *sender, uint32_t count)
{
    box_chain_t chain = { .count = count };
    for (uint32_t i = 0; i < count; i++) {
        uint64_t n = sender->made + i;
        while (n >= MESSAGES + atomic_load_explicit(&sender->let_go,
                                                    memory_order_acquire)) { // pairs: stress-let-go
            sched_yield();
        }
        za_message_t *message = &sender->messages[n % MESSAGES];
        message->actor = (uint64_t)(sender - senders);
        message->ask = n;
        // relaxed, both: published by the push
        atomic_store_explicit(&message->block.next, NULL, memory_order_relaxed);
        if (i == 0) {
            chain.first = message;
        } else {
            atomic_store_explicit(&chain.last->block.next, &message->block, memory_order_relaxed);
        }
        chain.last = message;
    }
    return chain;
}

/** Pushes a chain, or what there is room for: the rest is made anew. */
static void push(sender_t *sender, uint32_t count)
{
    box_chain_t chain = make_chain(sender, count);
    box_push_t pushed = count == 1 ? kind->push(&box, &sender->thread, chain.first)
                                   : kind->push_chain(&box, &sender->thread, &chain);
    if (pushed == BOX_FULL) {
        sched_yield();
        return;
    }
    sender->made += count == 1 ? 1 : count - chain.count;
    if (pushed == BOX_WOKE) {
        run(&sender->thread);
    }
}

static void *send_all(void *argument)
{
    sender_t *sender = argument;
    za_rng_t rng;
    za_rng_init(&rng, (uint64_t)(sender - senders) + 1);
    while (sender->made < rounds) {
        push(sender, 1 + (uint32_t)za_rng_below(&rng, CHAIN_MAX));
    }
    return NULL;
}

static void stress_kind(void)
{
    memset(&box, 0, sizeof box);
    box_make_room(kind, &box, BOUND);
    pthread_t threads[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i].made = 0;
        senders[i].thread = (box_thread_t){ .depot = &depot };
        atomic_store_explicit(&senders[i].let_go, 0, memory_order_relaxed); // relaxed: no thread
        expected[i] = 0;
        MUST(pthread_create(&threads[i], NULL, send_all, &senders[i]) == 0);
    }
    uint64_t made = 0;
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SENDERS; i++) {
        MUST(expected[i] == senders[i].made);
        box_thread_flush(&senders[i].thread);
        made += senders[i].thread.segments_made;
    }
    MUST(za_mailbox_admit_block(kind->bound(&box), BOUND + 1) == BOUND); // all the room is back
    MUST(box_depot_clear(&depot) == made);
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 500000;
    for (int i = 0; i < BOX_KINDS; i++) {
        kind = box_kinds[i];
        stress_kind();
    }
    return 0;
}
