// Peers by uid, as they come and go for years.
#include "node/peer_index.h"

#include "node/state.h"
#include "support/za_test.h"

enum { LIVE = 10000, LIVES = 20, SLOTS = 8 };

static za_peer_t peers[LIVE];

Test(peer_index, finds_those_that_are_there_and_no_others)
{
    za_peer_index_t index;
    cr_assert(za_peer_index_init(&index, SLOTS) == ZA_OK);
    cr_expect(za_peer_index_find(&index, 7) == NULL, "nobody is there");
    for (uint64_t uid = 1; uid <= LIVE; uid++) {
        cr_assert(za_peer_index_put(&index, uid, &peers[uid - 1]) == ZA_OK);
    }
    za_peer_index_remove(&index, 5);
    za_peer_index_remove(&index, LIVE + 1);
    for (uint64_t uid = 1; uid <= LIVE; uid++) {
        const za_peer_t *found = za_peer_index_find(&index, uid);
        cr_assert(found == (uid == 5 ? NULL : &peers[uid - 1]), "%u", (unsigned)uid);
    }
    cr_assert(za_peer_index_put(&index, 5, &peers[0]) == ZA_OK);
    cr_expect(za_peer_index_find(&index, 5) == &peers[0], "it is back, as another");
    za_peer_index_deinit(&index);
}

// What others left is used again: the table is as large as those that were there at once ask for.
Test(peer_index, does_not_grow_with_those_that_come_and_go)
{
    za_peer_index_t index;
    cr_assert(za_peer_index_init(&index, SLOTS) == ZA_OK);
    for (uint64_t uid = 1; uid <= (uint64_t)LIVE * LIVES; uid++) {
        if (uid > LIVE) {
            za_peer_index_remove(&index, uid - LIVE);
        }
        cr_assert(za_peer_index_put(&index, uid, &peers[uid % LIVE]) == ZA_OK);
        cr_assert(za_peer_index_find(&index, uid) == &peers[uid % LIVE], "it came");
        cr_assert(uid <= LIVE || za_peer_index_find(&index, uid - LIVE) == NULL, "it went");
    }
    uint64_t slots = 1 + atomic_load(&index.table)->mask;
    cr_expect(slots <= 4 * LIVE, "%u slots for %u peers", (unsigned)slots, LIVE);
    za_peer_index_deinit(&index);
}
