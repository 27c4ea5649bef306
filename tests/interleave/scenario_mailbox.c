/** core/mailbox.h: producers and the owner, and who is the owner next. */
#include "check.h"

#include <string.h>

#include "core/mailbox.h"
#include "scenarios.h"

void zc_poison(const volatile void *address, size_t bytes, bool poisoned);

enum { MESSAGES_MAX = 8 };

typedef struct post {
    za_mailbox_t mailbox;
    _Atomic uint32_t scheduled; // the run queue: 1 if the actor is in it
    uint32_t owner;             // plain: only the owner writes it, so two at once are a race
    uint32_t expected;
    za_message_t messages[MESSAGES_MAX];
    _Atomic uint32_t refused;
    uint32_t got[MESSAGES_MAX]; // numbers, in the order they were handled
    uint32_t got_count;
} post_t;

static post_t *post;

static void setup_post(uint32_t expected, uint32_t bound)
{
    post = zc_alloc(sizeof *post);
    post->expected = expected;
    za_mailbox_make_room(&post->mailbox, bound);
}

static za_message_t *make(uint32_t number)
{
    za_message_t *message = &post->messages[number];
    message->actor = number;
    message->ask = number + 100;
    return message;
}

static void scheduled_once(void)
{
    // Whoever is told to schedule is the owner until somebody takes the actor out of the queue.
    post->owner = zc_self();
    uint32_t before = atomic_exchange_explicit(&post->scheduled, 1, memory_order_acq_rel);
    ZC_MUST(before == 0, "the actor is scheduled twice");
}

static void push(uint32_t number)
{
    if (za_mailbox_push(&post->mailbox, make(number)) == ZA_PUSH_WOKE) {
        scheduled_once();
    }
}

/* ---- the owner ---------------------------------------------------------------------------- */

static void handle(const za_message_t *head)
{
    ZC_MUST(post->got_count < post->expected, "more messages than were sent");
    ZC_MUST(head->ask == head->actor + 100, "a message without its contents");
    post->got[post->got_count++] = (uint32_t)head->actor;
}

/** Lets the handled head go; true: the mailbox is idle and no longer ours. */
static bool let_go(za_message_t *head, za_message_t *empty)
{
    za_advance_t advance = za_mailbox_advance(&post->mailbox, head, empty);
    while (advance == ZA_ADVANCE_LATER) {
        zc_await();
        advance = za_mailbox_advance(&post->mailbox, head, empty);
    }
    zc_poison(head, sizeof *head, true); // freed: no producer may touch it any more
    return advance == ZA_ADVANCED_LAST && empty == NULL;
}

static void own(za_message_t *empty)
{
    for (;;) {
        post->owner = zc_self();
        za_message_t *head = za_mailbox_head(&post->mailbox);
        if (head == NULL) {
            if (za_mailbox_try_idle(&post->mailbox)) {
                return;
            }
            zc_await(); // a first message is on its way
            continue;
        }
        handle(head);
        if (let_go(head, empty)) {
            return;
        }
    }
}

static void consume(za_message_t *empty)
{
    while (post->got_count < post->expected) {
        if (atomic_load_explicit(&post->scheduled, memory_order_acquire) == 0) {
            zc_await();
            continue;
        }
        atomic_store_explicit(&post->scheduled, 0, memory_order_relaxed);
        own(empty);
    }
}

static void consume_to_idle(void)
{
    consume(NULL);
}

static void consume_busy(void)
{
    consume(ZA_MAILBOX_BUSY);
}

/* ---- two producers ------------------------------------------------------------------------ */

static void setup_two(void)
{
    setup_post(4, 0);
}

static void push_0_1(void)
{
    push(0);
    push(1);
}

static void push_2_3(void)
{
    push(2);
    push(3);
}

static void in_order(uint32_t first, uint32_t second)
{
    uint32_t at[2] = { MESSAGES_MAX, MESSAGES_MAX };
    for (uint32_t i = 0; i < post->got_count; i++) {
        if (post->got[i] == first || post->got[i] == second) {
            uint32_t which = post->got[i] == second;
            ZC_MUST(at[which] == MESSAGES_MAX, "message %u comes twice", post->got[i]);
            at[which] = i;
        }
    }
    ZC_MUST(at[0] < at[1] && at[1] < MESSAGES_MAX, "messages %u and %u are lost or swapped", first,
            second);
}

static void finish_idle(void)
{
    uint32_t left = atomic_load_explicit(&post->scheduled, memory_order_relaxed);
    ZC_MUST(left == 0, "an empty mailbox is scheduled");
    ZC_MUST(za_mailbox_head(&post->mailbox) == NULL, "a message is left");
    ZC_MUST(za_mailbox_claim(&post->mailbox), "the mailbox is not idle");
}

static void finish_two(void)
{
    in_order(0, 1);
    in_order(2, 3);
    finish_idle();
}

const zc_scenario_t zc_mailbox = {
    .name = "mailbox",
    .promise = "nothing is lost, each producer's order holds, one owner at a time",
    .setup = setup_two,
    .threads = { { "first", push_0_1 }, { "second", push_2_3 }, { "owner", consume_to_idle } },
    .finish = finish_two,
    .preemptions = 3,
    .stale = 2,
};

const zc_scenario_t zc_mailbox_busy = {
    .name = "mailbox-busy",
    .promise = "an owner that keeps an empty mailbox loses no first message",
    .setup = setup_two,
    .threads = { { "first", push_0_1 }, { "second", push_2_3 }, { "owner", consume_busy } },
    .finish = finish_two,
    .preemptions = 3,
    .stale = 2,
};

/* ---- a chain ------------------------------------------------------------------------------ */

static void push_chain_0_1(void)
{
    za_message_t *first = make(0);
    za_message_t *last = make(1);
    atomic_store_explicit(&first->block.next, &last->block, memory_order_relaxed);
    atomic_store_explicit(&last->block.next, NULL, memory_order_relaxed);
    if (za_mailbox_push_chain(&post->mailbox, first, last) == ZA_PUSH_WOKE) {
        scheduled_once();
    }
}

const zc_scenario_t zc_mailbox_chain = {
    .name = "mailbox-chain",
    .promise = "a chain goes in whole, beside single messages",
    .setup = setup_two,
    .threads = { { "chain", push_chain_0_1 },
                 { "single", push_2_3 },
                 { "owner", consume_to_idle } },
    .finish = finish_two,
    .preemptions = 3,
    .stale = 2,
};

/* ---- a claim ------------------------------------------------------------------------------ */

/** As a spawner does: takes the mailbox if it is idle, writes, and gives it up again. */
static void claim(void)
{
    if (za_mailbox_claim(&post->mailbox)) {
        post->owner = zc_self();
        if (!za_mailbox_try_idle(&post->mailbox)) {
            scheduled_once(); // somebody wrote to it meanwhile
        }
    }
}

static void setup_claim(void)
{
    setup_post(2, 0);
}

static void finish_claim(void)
{
    in_order(0, 1);
    finish_idle();
}

const zc_scenario_t zc_mailbox_claim = {
    .name = "mailbox-claim",
    .promise = "a claimed mailbox has one owner, and what is sent meanwhile is not lost",
    .setup = setup_claim,
    .threads = { { "producer", push_0_1 }, { "claimer", claim }, { "owner", consume_to_idle } },
    .finish = finish_claim,
    .preemptions = 3,
    .stale = 2,
};

/* ---- the bound ---------------------------------------------------------------------------- */

static void setup_bound(void)
{
    setup_post(MESSAGES_MAX, 1); // as many as are admitted
}

static void send(uint32_t number)
{
    if (za_mailbox_admit(&post->mailbox)) {
        push(number);
    } else {
        atomic_fetch_add_explicit(&post->refused, 1, memory_order_relaxed);
    }
}

static void send_0_1(void)
{
    send(0);
    send(1);
}

static void send_2(void)
{
    send(2);
}

static void consume_bounded(void)
{
    while (post->got_count + atomic_load_explicit(&post->refused, memory_order_relaxed) < 3) {
        if (atomic_load_explicit(&post->scheduled, memory_order_acquire) == 0) {
            zc_await();
            continue;
        }
        atomic_store_explicit(&post->scheduled, 0, memory_order_relaxed);
        post->owner = zc_self();
        za_message_t *head = za_mailbox_head(&post->mailbox);
        handle(head);
        // With a bound of one, whoever else was admitted came too early.
        ZC_MUST(atomic_load_explicit(&head->block.next, memory_order_relaxed) == NULL,
                "two messages in a mailbox for one");
        ZC_MUST(let_go(head, ZA_MAILBOX_BUSY) == false, "still the owner");
        za_mailbox_make_room(&post->mailbox, 1);
        if (!za_mailbox_try_idle(&post->mailbox)) {
            atomic_store_explicit(&post->scheduled, 1, memory_order_relaxed);
            while (za_mailbox_head(&post->mailbox) == NULL) {
                zc_await();
            }
        }
    }
}

static void finish_bound(void)
{
    ZC_MUST(post->got_count > 0, "an empty mailbox refuses everybody");
    ZC_MUST(za_mailbox_count(&post->mailbox, 1) == 0, "a place is lost");
    ZC_MUST(za_mailbox_admit(&post->mailbox), "an empty mailbox has no room");
    ZC_MUST(!za_mailbox_admit(&post->mailbox), "the bound grew");
}

const zc_scenario_t zc_mailbox_bound = {
    .name = "mailbox-bound",
    .promise = "never more messages than the bound, and no place gets lost",
    .setup = setup_bound,
    .threads = { { "first", send_0_1 }, { "second", send_2 }, { "owner", consume_bounded } },
    .finish = finish_bound,
    .preemptions = 3,
    .stale = 2,
};
