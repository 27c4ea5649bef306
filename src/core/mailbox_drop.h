/**
 * Drop-oldest: a full mailbox lets go of its oldest user message for each new one.
 *
 * The sender does it, so that the mailbox stays within its bound while its actor is in a long
 * handler. It pushes beyond the bound and then takes the oldest user message out, which otherwise
 * only the owner of a mailbox may do. In such an actor (ZA_HEAD_SHARED) whoever takes the head,
 * owner or sender, therefore holds a lock: one bit of za_cell_t.bound. No other actor pays for it.
 *
 * Nobody waits for the lock. A sender that finds it taken leaves its message as an excess; whoever
 * has the lock looks for an excess after it gave the lock up, and drops for the other. While a sender
 * is preempted between its exchange and its link the messages behind it are out of reach: then at
 * most ZA_DROP_SLACK wait beyond the bound, and what comes on top of these is dropped itself. The
 * excess goes with the next send to the full mailbox, or before the owner takes the next message.
 *
 * Order    As in any mailbox. What is no user message is never dropped: a sender that finds it at
 *          the head puts it into za_extra_t.passed, which comes before the mailbox.
 * Memory   Allocates nothing. A dropped message is a dead letter, and fails its ask.
 * Threads  As each function says.
 */
#pragma once

#include "core/worker.h"

/**
 * Counts a user message in beyond the bound of a drop-oldest actor: za_drop_settle is due after its
 * push. False: it is none, or too many wait already. Any thread.
 */
bool za_drop_admit(za_cell_t *cell);

/** Drops the oldest user messages of an actor until its bound holds. Any thread of a worker. */
void za_drop_settle(za_worker_t *worker, za_cell_t *cell);

typedef enum za_take {
    ZA_TAKEN,      // out of the mailbox, which still is owned
    ZA_TAKE_EMPTY, // nothing is there, or a first push is not done yet
    ZA_TAKE_LATER, // a push is not linked yet, or a sender has the lock: come back
} za_take_t;

/** Takes the oldest message of a ZA_HEAD_SHARED actor, and makes room for it. The owner. */
za_take_t za_drop_take(za_worker_t *worker, za_cell_t *cell, za_message_t **out);

/** Makes the actor drop its oldest messages. By the spawner, before it publishes the id. */
void za_drop_open(za_cell_t *cell);

/**
 * From now on the head is the owner's alone, and nothing is dropped: the actor ends. What is in
 * `passed` comes before the mailbox. Waits for a sender that is just dropping. The owner.
 */
void za_drop_close(za_cell_t *cell);
