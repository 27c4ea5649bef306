/**
 * Cell: the resident part of one actor, two cache lines in one reserved mapping.
 *
 * A cell is never unmapped while the runtime lives, so a send needs no count, lock or hazard
 * pointer: at worst it reaches a cell that means another actor by now, and the generation in the
 * message tells. A zero page is a dead, idle cell.
 *
 * Order    Whoever owns the mailbox (mailbox.h) owns the actor's fields. A dead cell that is pushed
 *          to is scheduled, drained and goes idle like any other; a spawner writes class and state
 *          only after it has claimed the idle mailbox, and publishes the id last.
 * Threads  Fields are grouped by who writes them.
 */
#pragma once

#include "base/table.h"
#include "core/aside.h"
#include "core/mailbox.h"
#include "core/runtime.h"
#include "core/watchers.h"
#include "core/window.h"

typedef enum za_status {
    ZA_STATUS_DEAD,     // also of a zero page
    ZA_STATUS_STARTING, // its first message is to be handled
    ZA_STATUS_RUNNING,
    ZA_STATUS_REPLAYING,  // running, and what was put aside comes before the mailbox
    ZA_STATUS_STOPPING,   // waits for its children, then ends
    ZA_STATUS_RESTARTING, // waits for its children, then restarts
    ZA_STATUS_HALTED,     // its old life is gone; waits for its parent, see strategy.c
    ZA_STATUS_BACKOFF,    // waits for ZA_KIND_RESUME
} za_status_t;

/** What is special about the head of the mailbox. */
typedef enum za_head {
    ZA_HEAD_PLAIN,
    ZA_HEAD_DONE,   // it is handled, its successor not linked yet
    ZA_HEAD_SHARED, // senders take it as well; see mailbox_drop.h
    ZA_HEAD_FIBER,  // it is taken out before it is handled; see fiber.h
} za_head_t;

typedef struct za_extra za_extra_t;

typedef struct za_cell {
    // Any thread. Producers on other cores own this line while the actor works off what they sent:
    // what a run looks at for each message is in the other.
    za_mailbox_t mailbox;
    _Atomic uint64_t id;            // of the living actor, or its generation with slot 0: dead
    _Atomic(struct za_cell *) link; // of the run queue it is in
    _Atomic uint32_t bound;         // of the mailbox, and ZA_BOUND_ bits
    uint32_t ended_next;            // slot; stack link in the parent's `ended`
    za_extra_t *extra;              // the owner's: what few actors need; NULL: none
    za_message_t *watchers;         // the owner's: see watchers.h

    // The owner, and seldom others.
    _Atomic(za_message_t *) commands; // stack; taken ahead of messages
    _Atomic(struct za_cell *) ended;  // stack of children that ended, until they are reaped
    _Atomic(const za_class_t *) class_;
    za_block_t *state;
    _Atomic uint64_t handled; // the class's number in the low byte; see za_cell_handled
    _Atomic uint32_t restarts;
    uint8_t status;    // za_status_t
    uint8_t head_done; // za_head_t
    uint8_t hears;     // ZA_HEARS_ bits: what it may have handlers for
    uint8_t why;       // za_Reason of the end
    // The parent; the free list of a worker when dead.
    _Atomic uint32_t parent; // slot; 0: a root actor
    uint32_t previous;       // siblings, by slot
    uint32_t next;
    _Atomic uint8_t asks_out;  // it may have asks open towards other nodes
    uint8_t escalates;         // za_on_limit_t: how its end concerns the parent
    _Atomic uint8_t attached;  // uses node services: za_remote_t.stopped hears of its end
    _Atomic uint8_t suspended; // 1: not idle, yet in no run queue; a command schedules it
} za_cell_t;

static_assert(sizeof(za_cell_t) == 128, "two cache lines");

/** What few actors need. From the pool, on demand. */
struct za_extra {
    za_block_t block;
    za_table_t records;  // (id, 0): timers and asks; (address, 1): kept messages
    za_table_t watches;  // (actor, node) of the target: a block with the watch id as `ask`
    za_table_t groups;   // (slot of the group, 0): its memberships
    za_list_t far_asks;  // open ones to other nodes, in the order they were made
    za_list_t lost_asks; // those of them that are about to fail: their node was lost
    za_watchers_t watchers;
    uint32_t child_first;
    uint32_t child_last;
    uint32_t child_told; // the last child, if it was told to stop
    za_message_t *args;
    za_message_t *resume; // the armed ZA_KIND_RESUME
    za_ref_t owner;       // parent on another node
    uint32_t home;        // 1 + index of the worker it is placed on; 0: any
    // Supervision, as in za_spawn_opts_t.
    uint8_t restart;
    uint8_t on_limit;
    uint32_t max_restarts;
    uint32_t within_ms;
    uint32_t backoff_min_ms;
    uint32_t backoff_max_ms;
    uint32_t backoff_step; // restarts in a row
    za_window_t restarts;
    uint64_t started_ms;
    uint64_t idle;             // id of the receive timeout's tick; 0: none
    uint64_t notices;          // handled that no user sent
    const za_class_t *spawned; // its class before it became another; NULL: it did not
    za_table_t links[2];       // (actor, node): made by it, made to it; see link.c
    bool traps_exit;
    // Of a child that is restarted together with others: the child's.
    bool together;
    bool failed_itself;  // else another did
    za_message_t *token; // to be given back when it is halted, started or gone
    // Of its children: its own.
    uint8_t strategy; // za_strategy_t
    uint8_t round;
    uint32_t round_oldest;     // slots of children
    uint32_t round_next;       // to be told
    uint32_t round_stops;      // told to stop
    za_message_t *round_token; // under way
    uint64_t rounds;
    // Of its children: written by them, while it cannot end.
    _Atomic uint64_t child_failures, child_restarts, child_limits;
    // Messages beside the mailbox.
    za_aside_t stash;
    za_aside_t replay;      // ahead of the mailbox
    uint32_t stash_max;     // 0: ZA_STASH_DEFAULT
    struct za_fiber *fiber; // of one whose handlers may wait; NULL: they may not
    za_aside_t passed;      // with the lock of mailbox_drop.h: came before all in the mailbox
};

// Bits of `bound`.
#define ZA_BOUND_DROPS_NEWEST UINT32_C(0x80000000) // what a full mailbox does: else ZA_EFULL
#define ZA_BOUND_DROPS_OLDEST UINT32_C(0x40000000)
#define ZA_BOUND_PLACED UINT32_C(0x20000000) // it runs on za_extra_t.home alone
#define ZA_BOUND_LOCKED UINT32_C(0x10000000) // somebody takes the head; see mailbox_drop.h
#define ZA_BOUND_MISSED UINT32_C(0x08000000) // and somebody else wanted to
#define ZA_BOUND_COUNT ((uint32_t)ZA_MAILBOX_BOUND_MAX) // the bound itself

enum { ZA_HANDLED_SHIFT = 8 }; // za_cell_t.handled: see za_metrics_count

/** Messages that the actor handled. Any thread. */
static inline uint64_t za_cell_handled(const za_cell_t *cell)
{
    // relaxed: one writer at a time; others want a number
    return atomic_load_explicit(&cell->handled, memory_order_relaxed) >> ZA_HANDLED_SHIFT;
}

enum { ZA_SLOT_MASK = (1 << ZA_ACTOR_SLOT_BITS) - 1 };

#define ZA_GENERATION_MAX (UINT64_MAX >> ZA_ACTOR_SLOT_BITS)

static inline uint32_t za_id_slot(uint64_t id)
{
    return (uint32_t)(id & ZA_SLOT_MASK);
}

static inline uint64_t za_id_dead(uint64_t id)
{
    return id & ~(uint64_t)ZA_SLOT_MASK;
}

/** True while its handlers are called for messages. */
static inline bool za_cell_is_running(const za_cell_t *cell)
{
    return cell->status == ZA_STATUS_RUNNING || cell->status == ZA_STATUS_REPLAYING;
}

/** The id of the living actor, or a dead one. */
static inline uint64_t za_cell_id(const za_cell_t *cell)
{
    return atomic_load_explicit(&cell->id, memory_order_acquire); // pairs: cell-id
}
