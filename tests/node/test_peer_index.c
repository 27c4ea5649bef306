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

/** What za_mix64 makes `mixed` of. */
static uint64_t unmix64(uint64_t mixed)
{
    mixed ^= mixed >> 31 ^ mixed >> 62;
    mixed *= UINT64_C(0x319642b2d24d8ec3); // the inverse of its second factor modulo 2^64
    mixed ^= mixed >> 27 ^ mixed >> 54;
    mixed *= UINT64_C(0x96de1b173f119089); // of its first
    return mixed ^ mixed >> 30 ^ mixed >> 60;
}

// A member chooses its uid: who chooses those that meet in any table gets no table of any size for it.
Test(peer_index, does_not_grow_without_end_for_uids_that_were_chosen_to_meet)
{
    enum { MEET = ZA_PEER_INDEX_PROBES };
    za_peer_index_t index;
    cr_assert(za_peer_index_init(&index, ZA_PEER_INDEX_SLOTS) == ZA_OK);
    for (uint64_t i = 0; i < MEET; i++) {
        uint64_t uid = unmix64(i << 16 | 7);
        cr_assert(za_mix64(uid) == (i << 16 | 7), "the inverse");
        cr_assert(za_peer_index_put(&index, uid, &peers[i]) == ZA_OK, "%u", (unsigned)i);
    }
    cr_expect(za_peer_index_put(&index, unmix64(UINT64_C(1) << 40 | 7), &peers[MEET]) == ZA_ENOMEM);
    for (uint64_t i = 0; i < MEET; i++) {
        cr_expect(za_peer_index_find(&index, unmix64(i << 16 | 7)) == &peers[i], "it is there");
    }
    cr_expect(za_peer_index_put(&index, 1, &peers[MEET]) == ZA_OK, "there is room for others");
    uint64_t slots = 1 + atomic_load(&index.table)->mask;
    cr_expect(slots <= (uint64_t)ZA_PEER_INDEX_SPARSE * (MEET + 1), "%u slots", (unsigned)slots);
    za_peer_index_deinit(&index);
}

// Actors of this node have it for their node's uid.
Test(peer_index, nobody_has_uid_0)
{
    za_peer_index_t index;
    cr_assert(za_peer_index_init(&index, SLOTS) == ZA_OK);
    za_peer_slot_t *slot = &atomic_load(&index.table)->slots[za_mix64(0) & (SLOTS - 1)];
    atomic_store(&slot->peer, &peers[0]); // a put that has come so far
    cr_expect(za_peer_index_find(&index, 0) == NULL);
    za_peer_index_deinit(&index);
}
