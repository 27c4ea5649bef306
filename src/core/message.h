/**
 * Message: one block from a pool, a head of a cache line and the body behind it.
 *
 * A message belongs to one place at a time: the handler that makes it, a mailbox, a timing wheel, a
 * table of kept ones. What is lost on the way turns into the notice of its loss in the same block,
 * so that the notice cannot fail.
 */
#pragma once

#include <zactor/actor.h>

#include "base/list.h"
#include "base/pool.h"

/** za_block_t.kind of a message. */
typedef enum za_kind {
    ZA_KIND_FREE,   // of no mailbox: za_message_alloc
    ZA_KIND_NEW,    // made by za_new, the handler's
    ZA_KIND_FROZEN, // of no mailbox: `refs`
    ZA_KIND_USER,
    ZA_KIND_REPLY,      // answers `ask`
    ZA_KIND_NOTIFY,     // of the runtime to a handler, outside the bound
    ZA_KIND_AGAIN,      // stashed, and no user's message: for its handler alone; `ask`: the tag
    ZA_KIND_ASK_FAILED, // `ask`, `reason`
    ZA_KIND_FAIL_NODE,  // all asks towards node `ask`, `reason`
    ZA_KIND_WATCH,      // `sender` watches under id `ask`
    ZA_KIND_LINK,       // `sender` links under id `ask`
    ZA_KIND_UNWATCH,
    ZA_KIND_DOWN,    // a za_Down for watch `ask`
    ZA_KIND_EXIT,    // a za_Exit: of link `ask`, or of za_exit if that is 0
    ZA_KIND_TIMER,   // of za_after and za_every: id `ask`
    ZA_KIND_IDLE,    // tick of a receive timeout: id `ask`
    ZA_KIND_TIMEOUT, // of an ask
    ZA_KIND_RESUME,  // command: the backoff is over
    ZA_KIND_STOP,    // command: `reason`
    // Commands between `sender`, a parent, and its child `ask`; see strategy.c.
    ZA_KIND_TOGETHER_HALT,
    ZA_KIND_TOGETHER_GO,
    ZA_KIND_TOGETHER_FAILED,
    ZA_KIND_TOGETHER_DONE,
} za_kind_t;

/** za_block_t.flags of a message. */
enum {
    ZA_FLAG_RAW = 1,       // the body is encoded; `type_id` instead of `type`
    ZA_FLAG_HELD = 2,      // za_keep: stays alive when it leaves the mailbox
    ZA_FLAG_FAILED = 4,    // lost and counted; an ask in it fails, with the reason in `deadline_ms`
    ZA_FLAG_REARM = 8,     // a za_every that was delivered
    ZA_FLAG_REFUSED = 16,  // meant for an actor that is gone
    ZA_FLAG_ASIDE = 32,    // goes to the stash when it leaves the mailbox
    ZA_FLAG_STAMPED = 128, // a sample of latency: `sent_ns` instead of a deadline
    ZA_FLAG_SHARES = 64,   // refers to memory that others use, too: blobs, or a frozen message
};

/** Where a timer is; it stands where a message has its sender. */
typedef struct za_timer_state {
    struct za_message *previous; // the home's: in its slot; of the first one: the last
    uint32_t period_ms;          // 0: once
    uint16_t slot;               // the home's: of its wheel
    uint8_t worker;              // the home: in whose wheel it is
    _Atomic uint8_t state;       // za_armed_t
} za_timer_state_t;

struct za_message {
    za_block_t block; // `bytes`: of the body
    union {
        const za_type_t *type;
        uint64_t type_id;       // ZA_FLAG_RAW
        uint64_t reason;        // signals
        za_message_t *given_up; // timers cancelled by another worker than the home: the next one
    };
    uint64_t actor; // whom it is for, with the generation
    union {
        za_ref_t sender;
        za_timer_state_t timer;
        _Atomic uint32_t refs; // ZA_KIND_FROZEN
    };
    uint64_t ask;
    union {
        uint64_t deadline_ms; // 0: none
        uint64_t due_ns;      // timers
        uint64_t sent_ns;     // ZA_FLAG_STAMPED
        uint64_t used;        // ZA_KIND_NEW: bytes of the body in use
    };
};

static_assert(sizeof(za_message_t) == 64, "the head of a message is one cache line");

/** The body of an ask's timeout. */
typedef struct za_ask_record {
    za_Timeout timeout; // with the tag; first: it is the message
    za_ref_t target;
    za_list_t far; // among the actor's asks to other nodes; in no list if the target is here
} za_ask_record_t;

enum {
    // A decoded body is at most its struct and its encoded bytes.
    ZA_BODY_BYTES_MAX = ZA_MESSAGE_BYTES_MAX + 128 * 1024,
};

static_assert(ZA_BODY_BYTES_MAX + sizeof(za_message_t) <= ZA_POOL_BLOCK_BYTES_MAX, "one block");

static inline void *za_body(za_message_t *message)
{
    return message + 1;
}

static inline za_message_t *za_message_of(void *body)
{
    return (za_message_t *)body - 1;
}
