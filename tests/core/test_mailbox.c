#include "core/mailbox.h"
#include "support/za_test.h"

static za_mailbox_t mailbox;
static za_message_t messages[8];

Test(mailbox, wakes_once_and_keeps_the_order)
{
    cr_assert(za_mailbox_push(&mailbox, &messages[0]) == ZA_PUSH_WOKE, "idle");
    cr_assert(za_mailbox_push(&mailbox, &messages[1]) == ZA_PUSH_QUEUED, "owned");
    cr_assert(za_mailbox_push(&mailbox, &messages[2]) == ZA_PUSH_QUEUED, "owned");
    for (int i = 0; i < 2; i++) {
        cr_assert(za_mailbox_head(&mailbox) == &messages[i], "order");
        cr_assert(za_mailbox_advance(&mailbox, &messages[i], NULL) == ZA_ADVANCED, "more");
    }
    cr_assert(za_mailbox_advance(&mailbox, &messages[2], NULL) == ZA_ADVANCED_LAST, "the last");
    cr_assert(za_mailbox_push(&mailbox, &messages[3]) == ZA_PUSH_WOKE, "idle again");
}

Test(mailbox, can_be_claimed_only_when_idle)
{
    cr_assert(za_mailbox_claim(&mailbox), "idle");
    cr_assert(!za_mailbox_claim(&mailbox), "claimed");
    cr_assert(za_mailbox_head(&mailbox) == NULL, "empty");
    cr_assert(za_mailbox_push(&mailbox, &messages[0]) == ZA_PUSH_QUEUED, "claimed");
    cr_assert(!za_mailbox_try_idle(&mailbox), "a message slipped in");
    cr_assert(za_mailbox_advance(&mailbox, &messages[0], ZA_MAILBOX_BUSY) == ZA_ADVANCED_LAST,
              "last");
    cr_assert(za_mailbox_try_idle(&mailbox), "idle");
    cr_assert(za_mailbox_claim(&mailbox), "again");
}

Test(mailbox, waits_for_a_push_between_exchange_and_link)
{
    cr_assert(za_mailbox_push(&mailbox, &messages[0]) == ZA_PUSH_WOKE, "idle");
    // A producer that was stopped after its exchange.
    za_message_t *previous =
        atomic_exchange_explicit(&mailbox.newest, &messages[1], memory_order_acq_rel);
    cr_assert(previous == &messages[0], "behind the first");
    cr_assert(za_mailbox_advance(&mailbox, &messages[0], NULL) == ZA_ADVANCE_LATER, "not yet");
    cr_assert(za_mailbox_head(&mailbox) == &messages[0], "as before");
    atomic_store_explicit(&previous->block.next, &messages[1].block, memory_order_release);
    cr_assert(za_mailbox_advance(&mailbox, &messages[0], NULL) == ZA_ADVANCED, "now");
    cr_assert(za_mailbox_head(&mailbox) == &messages[1], "the second");
}

Test(mailbox, admits_up_to_its_bound)
{
    atomic_store_explicit(&mailbox.count_max, 2, memory_order_relaxed);
    cr_assert(za_mailbox_admit(&mailbox) == ZA_ADMIT, "one");
    cr_assert(za_mailbox_admit(&mailbox) == ZA_ADMIT, "two");
    cr_assert(za_mailbox_admit(&mailbox) == ZA_ADMIT_REJECT, "three");
    za_mailbox_forget(&mailbox, 1);
    cr_assert(za_mailbox_admit(&mailbox) == ZA_ADMIT, "room");
    atomic_store_explicit(&mailbox.count_max, 2 | ZA_MAILBOX_DROPS, memory_order_relaxed);
    cr_assert(za_mailbox_admit(&mailbox) == ZA_ADMIT_DROP, "the other policy");
}
