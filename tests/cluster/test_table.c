#include "cluster/table.h"
#include "base/rng.h"
#include "support/za_test.h"

typedef struct record {
    uint64_t key;
    za_link_t link;
} record_t;

#define LINK offsetof(record_t, link)

static uint32_t find(const za_slots_t *slots, uint64_t key)
{
    uint32_t id = za_slots_first(slots, key % 7); // few hashes: long chains
    while (id != 0 && ((record_t *)za_slots_at(slots, id))->key != key) {
        id = za_slots_next(slots, id);
    }
    return id;
}

Test(table, slots_find_what_was_added_and_not_what_was_removed)
{
    enum { KEYS = 64, ROOM = 40 };
    za_slots_t slots;
    cr_assert(za_slots_init(&slots, ROOM, sizeof(record_t)) == ZA_OK);
    bool in[KEYS] = { false };
    uint32_t count = 0;
    za_rng_t rng;
    za_rng_init(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t key = za_rng_below(&rng, KEYS);
        uint32_t id = find(&slots, key);
        cr_assert((id != 0) == in[key], "key %" PRIu64, key);
        if (id != 0) {
            za_slots_remove(&slots, id);
            count--;
        } else {
            id = za_slots_add(&slots, key % 7);
            cr_assert((id == 0) == (count == ROOM), "full exactly when it is");
            if (id == 0) {
                continue;
            }
            cr_assert(((record_t *)za_slots_at(&slots, id))->key == 0, "zeroed");
            ((record_t *)za_slots_at(&slots, id))->key = key;
            count++;
        }
        in[key] = !in[key];
        cr_assert(slots.count == count);
    }
    za_slots_deinit(&slots);
}

Test(table, a_chain_keeps_its_order)
{
    za_slots_t slots;
    cr_assert(za_slots_init(&slots, 8, sizeof(record_t)) == ZA_OK);
    za_chain_t chain = { 0 };
    uint32_t ids[4];
    for (int i = 0; i < 4; i++) {
        ids[i] = za_slots_add(&slots, 0);
    }
    za_chain_append(&chain, &slots, LINK, ids[0]);
    za_chain_append(&chain, &slots, LINK, ids[2]);
    za_chain_insert(&chain, &slots, LINK, ids[0], ids[1]);
    za_chain_insert(&chain, &slots, LINK, 0, ids[3]);
    const uint32_t expected[] = { ids[3], ids[0], ids[1], ids[2] };
    uint32_t id = chain.first;
    for (int i = 0; i < 4; i++) {
        cr_assert(id == expected[i], "place %d", i);
        id = za_chain_next(&slots, LINK, id);
    }
    za_chain_remove(&chain, &slots, LINK, ids[0]);
    cr_expect(za_chain_next(&slots, LINK, ids[3]) == ids[1]);
    cr_expect(za_chain_prev(&slots, LINK, ids[1]) == ids[3] && chain.count == 3);
    za_slots_deinit(&slots);
}

Test(table, blocks_give_back_what_was_put_until_they_are_full)
{
    enum { BLOCKS = 16 };
    static uint8_t bytes[BLOCKS * ZA_BLOCK_BYTES + 1], back[sizeof bytes];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 31);
    }
    za_blocks_t blocks;
    cr_assert(za_blocks_init(&blocks, BLOCKS) == ZA_OK);
    uint32_t first = 99;
    cr_assert(za_blocks_put(&blocks, NULL, 0, &first) && first == 0, "nothing needs no block");
    cr_assert(!za_blocks_put(&blocks, bytes, sizeof bytes, &first), "one byte too many");
    cr_assert(blocks.used == 0, "and nothing was taken");
    for (size_t size = 1; size < sizeof bytes; size += 97) {
        cr_assert(za_blocks_put(&blocks, bytes, size, &first));
        za_blocks_get(&blocks, first, back, size);
        cr_assert(memcmp(bytes, back, size) == 0, "%zu bytes", size);
        za_blocks_free(&blocks, first);
        cr_assert(blocks.used == 0);
    }
    za_blocks_deinit(&blocks);
}

// Buckets are split one at a time as the table grows: nothing is lost on the way, up or down.
Test(table, slots_are_found_at_every_size)
{
    enum { MOST = 3000 };
    za_slots_t slots;
    cr_assert(za_slots_init(&slots, MOST, sizeof(record_t)) == ZA_OK);
    uint32_t ids[MOST];
    for (uint64_t key = 0; key < MOST; key++) {
        ids[key] = za_slots_add(&slots, key * 2654435761);
        cr_assert(ids[key] != 0);
        ((record_t *)za_slots_at(&slots, ids[key]))->key = key;
        uint64_t other = key / 2; // one from before
        uint32_t id = za_slots_first(&slots, other * 2654435761);
        while (id != 0 && ((record_t *)za_slots_at(&slots, id))->key != other) {
            id = za_slots_next(&slots, id);
        }
        cr_assert(id == ids[other], "%" PRIu64 " of %" PRIu64, other, key);
    }
    cr_expect(za_slots_add(&slots, 1) == 0, "full");
    for (uint64_t key = 0; key < MOST; key += 2) {
        za_slots_remove(&slots, ids[key]);
        cr_assert(!za_slots_used(&slots, ids[key]) && za_slots_used(&slots, ids[key + 1]));
    }
    for (uint64_t key = 1; key < MOST; key += 2) {
        cr_assert(za_slots_first(&slots, key * 2654435761) == ids[key]);
    }
    za_slots_deinit(&slots);
}

Test(table, a_rekeyed_slot_is_found_under_its_new_hash_alone)
{
    za_slots_t slots;
    cr_assert(za_slots_init(&slots, 8, sizeof(record_t)) == ZA_OK);
    uint32_t id = za_slots_add(&slots, 3);
    ((record_t *)za_slots_at(&slots, id))->key = 42;
    za_slots_rekey(&slots, id, 5);
    cr_expect(za_slots_first(&slots, 3) == 0);
    cr_assert(za_slots_first(&slots, 5) == id);
    cr_expect(((record_t *)za_slots_at(&slots, id))->key == 42);
    za_slots_deinit(&slots);
}

Test(table, texts_keep_their_bytes_and_their_room_is_used_again)
{
    enum { TEXTS = 200 };
    za_texts_t texts;
    cr_assert(za_texts_init(&texts, 32 * 1024) == ZA_OK);
    uint8_t bytes[ZA_TEXT_BYTES_MAX];
    uint32_t ids[TEXTS] = { 0 };
    size_t sizes[TEXTS] = { 0 };
    za_rng_t rng;
    za_rng_init(&rng, 1);
    for (int round = 0; round < 20000; round++) {
        uint32_t which = (uint32_t)za_rng_below(&rng, TEXTS);
        if (ids[which] != 0) {
            const uint8_t *held = za_texts_at(&texts, ids[which]);
            cr_assert(held[0] == (uint8_t)which && held[sizes[which] - 1] == (uint8_t)which);
            za_texts_free(&texts, ids[which], sizes[which]);
        }
        sizes[which] = 1 + (size_t)za_rng_below(&rng, ZA_TEXT_BYTES_MAX);
        memset(bytes, (int)which, sizes[which]);
        ids[which] = za_texts_put(&texts, bytes, sizes[which]);
    }
    for (uint32_t i = 0; i < TEXTS; i++) {
        if (ids[i] != 0) {
            za_texts_free(&texts, ids[i], sizes[i]);
        }
    }
    uint32_t used = texts.fresh;
    cr_assert(za_texts_put(&texts, bytes, 200) != 0);
    cr_expect(texts.fresh == used, "a freed cell");
    za_texts_deinit(&texts);
}
