/** What any mailbox must do, of the one in use and of those it is compared with (bench/mailboxes). */
#include "../../bench/mailboxes/kinds.h"

#include <string.h>

#include "base/rng.h"
#include "support/za_test.h"

enum { MESSAGES = 256 };

static za_message_t messages[MESSAGES];
static box_t box;
static box_depot_t depot;
static box_thread_t thread;

static void begin(const box_kind_t *kind, uint32_t bound)
{
    memset(&box, 0, sizeof box);
    thread = (box_thread_t){ .depot = &depot };
    box_make_room(kind, &box, bound);
}

static void end(void)
{
    box_thread_flush(&thread);
    cr_assert(box_depot_clear(&depot) == thread.segments_made, "every segment came back");
}

/** The messages first..last, linked. */
static box_chain_t chain_of(int first, int last)
{
    for (int i = first; i <= last; i++) {
        atomic_store_explicit(&messages[i].block.next, i < last ? &messages[i + 1].block : NULL,
                              memory_order_relaxed);
    }
    return (box_chain_t){ &messages[first], &messages[last], (uint32_t)(last - first + 1) };
}

/** first..last come out in this order, and the box is idle then. */
static void expect_order(const box_kind_t *kind, int first, int last)
{
    for (int i = first; i <= last; i++) {
        cr_assert(kind->head(&box, &thread) == &messages[i], "%s: message %d", kind->name, i);
        cr_assert(kind->head(&box, &thread) == &messages[i], "%s: it stays", kind->name);
        cr_assert(kind->next(&box, &thread, &messages[i]) == (i < last ? BOX_MORE : BOX_IDLE),
                  "%s: after message %d", kind->name, i);
    }
}

Test(mailbox_kinds, wake_once_and_keep_the_order)
{
    for (int k = 0; k < BOX_KINDS; k++) {
        const box_kind_t *kind = box_kinds[k];
        begin(kind, MESSAGES);
        for (int round = 0; round < 40; round++) {
            for (int i = 0; i <= round; i++) {
                cr_assert(kind->push(&box, &thread, &messages[i]) ==
                              (i == 0 ? BOX_WOKE : BOX_QUEUED),
                          "%s: push %d", kind->name, i);
            }
            expect_order(kind, 0, round);
            box_make_room(kind, &box, (uint32_t)round + 1);
        }
        end();
    }
}

Test(mailbox_kinds, a_chain_wakes_once_and_keeps_its_order)
{
    for (int k = 0; k < BOX_KINDS; k++) {
        const box_kind_t *kind = box_kinds[k];
        for (int count = 1; count <= 64; count++) {
            begin(kind, MESSAGES);
            box_chain_t chain = chain_of(0, count - 1);
            cr_assert(kind->push_chain(&box, &thread, &chain) == BOX_WOKE, "%s: idle", kind->name);
            cr_assert(chain.count == 0 && chain.first == NULL, "%s: all are in", kind->name);
            chain = chain_of(count, 2 * count - 1);
            cr_assert(kind->push_chain(&box, &thread, &chain) == BOX_QUEUED, "%s", kind->name);
            cr_assert(kind->push(&box, &thread, &messages[2 * count]) == BOX_QUEUED, "%s",
                      kind->name);
            expect_order(kind, 0, 2 * count);
            end();
        }
    }
}

Test(mailbox_kinds, answer_at_the_send_that_they_are_full)
{
    for (int k = 0; k < BOX_KINDS; k++) {
        const box_kind_t *kind = box_kinds[k];
        begin(kind, 20);
        box_chain_t chain = chain_of(0, 15);
        cr_assert(kind->push_chain(&box, &thread, &chain) == BOX_WOKE, "%s: room", kind->name);
        chain = chain_of(16, 23);
        cr_assert(kind->push_chain(&box, &thread, &chain) == BOX_QUEUED, "%s: four", kind->name);
        cr_assert(chain.count == 4 && chain.first == &messages[20] && chain.last == &messages[23],
                  "%s: the rest is the caller's", kind->name);
        cr_assert(kind->push_chain(&box, &thread, &chain) == BOX_FULL, "%s: full", kind->name);
        cr_assert(chain.count == 4, "%s: as before", kind->name);
        cr_assert(kind->push(&box, &thread, &messages[30]) == BOX_FULL, "%s: full", kind->name);
        expect_order(kind, 0, 19);
        box_make_room(kind, &box, 20);
        cr_assert(kind->push_chain(&box, &thread, &chain) == BOX_WOKE, "%s: room", kind->name);
        expect_order(kind, 20, 23);
        end();
    }
}

/** Pushes and takes in random order against a list, which is two numbers here. */
Test(mailbox_kinds, do_what_a_list_would_do)
{
    for (int k = 0; k < BOX_KINDS; k++) {
        const box_kind_t *kind = box_kinds[k];
        for (uint64_t seed = 1; seed <= 50; seed++) {
            za_rng_t rng;
            za_rng_init(&rng, seed);
            uint32_t bound = 1 + (uint32_t)za_rng_below(&rng, 100);
            begin(kind, bound);
            uint32_t taken = 0;
            uint32_t pushed = 0;
            for (int step = 0; step < 2000; step++) {
                uint32_t waiting = pushed - taken;
                if (za_rng_below(&rng, 2) == 0 && waiting > 0) {
                    za_message_t *head = kind->head(&box, &thread);
                    cr_assert(head == &messages[taken % MESSAGES], "%s: seed %d", kind->name,
                              (int)seed);
                    box_make_room(kind, &box, 1);
                    cr_assert(kind->next(&box, &thread, head) ==
                                  (waiting > 1 ? BOX_MORE : BOX_IDLE),
                              "%s: seed %d", kind->name, (int)seed);
                    taken++;
                    continue;
                }
                int first = (int)(pushed % MESSAGES);
                uint32_t want = 1 + (uint32_t)za_rng_below(&rng, 20);
                want = want < (uint32_t)(MESSAGES - first) ? want : (uint32_t)(MESSAGES - first);
                uint32_t fits = want < bound - waiting ? want : bound - waiting;
                box_chain_t chain = chain_of(first, first + (int)want - 1);
                box_push_t push = kind->push_chain(&box, &thread, &chain);
                cr_assert(push == (fits == 0      ? BOX_FULL
                                   : waiting == 0 ? BOX_WOKE
                                                  : BOX_QUEUED),
                          "%s: seed %d", kind->name, (int)seed);
                cr_assert(chain.count == want - fits, "%s: seed %d", kind->name, (int)seed);
                pushed += fits;
            }
            while (taken < pushed) {
                za_message_t *head = kind->head(&box, &thread);
                cr_assert(head == &messages[taken++ % MESSAGES], "%s", kind->name);
                cr_assert(kind->next(&box, &thread, head) == (taken < pushed ? BOX_MORE : BOX_IDLE),
                          "%s", kind->name);
            }
            end();
        }
    }
}
