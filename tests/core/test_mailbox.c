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
    za_mailbox_make_room(&mailbox, 2);
    cr_assert(za_mailbox_admit(&mailbox), "one");
    cr_assert(za_mailbox_admit(&mailbox), "two");
    cr_assert(!za_mailbox_admit(&mailbox), "three");
    cr_assert(za_mailbox_count(&mailbox, 2) == 2, "two wait");
    za_mailbox_make_room(&mailbox, 1); // one was handled
    cr_assert(za_mailbox_count(&mailbox, 2) == 1, "one waits");
    cr_assert(za_mailbox_admit(&mailbox), "room");
    za_mailbox_unadmit(&mailbox, 1);
    cr_assert(za_mailbox_admit(&mailbox), "as if it had not been");
    cr_assert(!za_mailbox_admit(&mailbox), "full");
}

Test(mailbox, counts_beyond_the_end_of_its_counters)
{
    atomic_store_explicit(&mailbox.admitted, UINT32_MAX, memory_order_relaxed);
    atomic_store_explicit(&mailbox.limit, UINT32_MAX, memory_order_relaxed);
    za_mailbox_make_room(&mailbox, 2);
    cr_assert(za_mailbox_admit(&mailbox), "one");
    cr_assert(za_mailbox_admit(&mailbox), "two");
    cr_assert(!za_mailbox_admit(&mailbox), "three");
    cr_assert(za_mailbox_count(&mailbox, 2) == 2, "two wait");
}

Test(mailbox, a_bound_may_shrink)
{
    za_mailbox_make_room(&mailbox, 3);
    cr_assert(za_mailbox_admit(&mailbox), "one");
    cr_assert(za_mailbox_admit(&mailbox), "two");
    za_mailbox_make_room(&mailbox, 1u - 3u);
    cr_assert(!za_mailbox_admit(&mailbox), "over the new bound");
    za_mailbox_make_room(&mailbox, 2);
    cr_assert(za_mailbox_admit(&mailbox), "room");
}

Test(mailbox, a_chain_goes_in_with_one_push_and_comes_out_in_order)
{
    cr_assert(za_mailbox_push(&mailbox, &messages[0]) == ZA_PUSH_WOKE, "idle before");
    for (int i = 1; i < 3; i++) {
        atomic_store_explicit(&messages[i].block.next, &messages[i + 1].block,
                              memory_order_relaxed);
    }
    cr_assert(za_mailbox_push_chain(&mailbox, &messages[1], &messages[3]) == ZA_PUSH_QUEUED,
              "scheduled already");
    for (int i = 0; i < 4; i++) {
        cr_assert(za_mailbox_head(&mailbox) == &messages[i], "number %d", i);
        cr_assert(za_mailbox_advance(&mailbox, &messages[i], NULL) ==
                      (i < 3 ? ZA_ADVANCED : ZA_ADVANCED_LAST),
                  "number %d", i);
    }
    cr_assert(za_mailbox_push_chain(&mailbox, &messages[1], &messages[3]) == ZA_PUSH_WOKE,
              "a chain wakes as well");
    cr_assert(za_mailbox_head(&mailbox) == &messages[1], "its first is the head");
}

Test(mailbox, admits_a_block_up_to_the_bound)
{
    za_mailbox_make_room(&mailbox, 10);
    cr_assert(za_mailbox_admit_block(&mailbox, 8) == 8, "room for all");
    cr_assert(za_mailbox_admit_block(&mailbox, 8) == 2, "what is left");
    cr_assert(za_mailbox_admit_block(&mailbox, 8) == 0, "full");
    cr_assert(!za_mailbox_admit(&mailbox), "full for one, too");
    za_mailbox_unadmit(&mailbox, 3);
    cr_assert(za_mailbox_admit_block(&mailbox, 8) == 3, "what was given back");
    cr_assert(za_mailbox_count(&mailbox, 10) == 10, "counted");
}

Test(mailbox, a_chain_to_a_claimed_mailbox_begins_with_its_first)
{
    cr_assert(za_mailbox_claim(&mailbox), "idle");
    atomic_store_explicit(&messages[0].block.next, &messages[1].block, memory_order_relaxed);
    cr_assert(za_mailbox_push_chain(&mailbox, &messages[0], &messages[1]) == ZA_PUSH_QUEUED,
              "claimed");
    cr_assert(za_mailbox_head(&mailbox) == &messages[0], "the first");
    cr_assert(za_mailbox_advance(&mailbox, &messages[0], NULL) == ZA_ADVANCED, "more");
    cr_assert(za_mailbox_advance(&mailbox, &messages[1], NULL) == ZA_ADVANCED_LAST, "the last");
}

Test(mailbox, admits_no_block_over_a_bound_that_shrank)
{
    za_mailbox_make_room(&mailbox, 6);
    cr_assert(za_mailbox_admit_block(&mailbox, 6) == 6, "all");
    za_mailbox_make_room(&mailbox, 2u - 6u);
    cr_assert(za_mailbox_admit_block(&mailbox, 5) == 0, "four too many wait");
    za_mailbox_make_room(&mailbox, 5);
    cr_assert(za_mailbox_admit_block(&mailbox, 5) == 1, "room");
}

Test(mailbox, admits_blocks_beyond_the_end_of_its_counters)
{
    atomic_store_explicit(&mailbox.admitted, UINT32_MAX - 1, memory_order_relaxed);
    atomic_store_explicit(&mailbox.limit, UINT32_MAX - 1, memory_order_relaxed);
    za_mailbox_make_room(&mailbox, 5);
    cr_assert(za_mailbox_admit_block(&mailbox, 3) == 3, "across the end");
    cr_assert(za_mailbox_admit_block(&mailbox, 3) == 2, "the rest");
    cr_assert(za_mailbox_admit_block(&mailbox, 3) == 0, "full");
}
