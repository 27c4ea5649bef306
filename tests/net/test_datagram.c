#include "net/datagram.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "net/seal_mbedtls.h"
#include "support/za_test.h"

enum { SENDERS_MAX = 64, NOW_MS = 5000, HOST = 7 };

static const uint64_t ALICE = UINT64_C(0xa11ce00000000001);
static const uint64_t BOB = UINT64_C(0xb0b0000000000002);
static const uint64_t CAROL = UINT64_C(0xca50100000000003);

static za_epoch_key_t key_of(uint64_t epoch, uint8_t fill)
{
    za_epoch_key_t key = { .epoch = epoch };
    memset(key.secret, fill, sizeof key.secret);
    return key;
}

static za_datagrams_t *create(const char *cluster, uint64_t uid)
{
    za_datagrams_config_t config = { .cluster = cluster, .uid = uid, .senders_max = SENDERS_MAX };
    za_datagrams_t *made = NULL;
    cr_assert(za_datagrams_create(&config, &made) == ZA_OK, "create");
    return made;
}

static void set_key(za_datagrams_t *datagrams, za_epoch_key_t key)
{
    cr_assert(za_datagrams_set_keys(datagrams, &key, 1, 0) == ZA_OK, "keys");
}

typedef struct sealed {
    uint8_t bytes[ZA_DATAGRAM_SEALED_BYTES_MAX + 1];
    size_t size;
} sealed_t;

static sealed_t seal(za_datagrams_t *from, uint64_t to, const char *text)
{
    sealed_t out = { .size = 0 };
    za_err_t err =
        za_datagrams_seal(from, to, (const uint8_t *)text, strlen(text), out.bytes, &out.size);
    cr_assert(err == ZA_OK, "seal: %s", za_err_name(err));
    return out;
}

typedef struct opened {
    za_datagram_verdict_t verdict;
    char text[ZA_DATAGRAM_BYTES_MAX + 1];
    uint64_t uid;
} opened_t;

static opened_t open_from(za_datagrams_t *at, uint64_t now_ms, uint64_t source,
                          const sealed_t *sealed)
{
    opened_t out = { .uid = 0 };
    size_t size = 0;
    out.verdict = za_datagrams_open(at, now_ms, source, sealed->bytes, sealed->size,
                                    (uint8_t *)out.text, &size, &out.uid);
    out.text[size] = '\0';
    return out;
}

static za_datagram_verdict_t verdict_of(za_datagrams_t *at, sealed_t sealed)
{
    return open_from(at, NOW_MS, HOST, &sealed).verdict;
}

static uint64_t count_of(const za_datagrams_t *at, za_datagram_verdict_t verdict)
{
    za_datagram_counters_t counters;
    za_datagrams_counters(at, &counters);
    return counters.verdicts[verdict];
}

/** Alice and Bob, with one key, and Bob knows Alice. */
typedef struct pair {
    za_datagrams_t *alice, *bob;
} pair_t;

static pair_t make_pair(void)
{
    pair_t pair = { create("prod", ALICE), create("prod", BOB) };
    set_key(pair.alice, key_of(1, 0x11));
    set_key(pair.bob, key_of(1, 0x11));
    cr_assert(za_datagrams_add(pair.bob, ALICE) == ZA_OK, "room");
    return pair;
}

static void end_pair(pair_t pair)
{
    za_datagrams_destroy(pair.alice);
    za_datagrams_destroy(pair.bob);
}

/** Seals and drops until the next datagram has that counter. */
static void advance(za_datagrams_t *from, uint64_t *next, uint64_t to_counter)
{
    for (; *next < to_counter; (*next)++) {
        seal(from, BOB, "");
    }
}

/* ---- the seal itself, against the published vectors ------------------------------------------- */

static void from_hex(const char *hex, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned byte = 0;
        cr_assert(sscanf(hex + 2 * i, "%2x", &byte) == 1, "hexadecimal");
        out[i] = (uint8_t)byte;
    }
}

// RFC 8439, 2.8.2.
Test(seal, is_chacha20_poly1305)
{
    const char *plain = "Ladies and Gentlemen of the class of '99: If I could offer you only one "
                        "tip for the future, sunscreen would be it.";
    uint8_t key[32];
    uint8_t nonce[12];
    uint8_t extra[12];
    uint8_t tag[16];
    uint8_t out[256];
    uint8_t back[256];
    from_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key, 32);
    from_hex("070000004041424344454647", nonce, 12);
    from_hex("50515253c0c1c2c3c4c5c6c7", extra, 12);
    from_hex("1ae10b594f09e26a7e902ecbd0600691", tag, 16);
    size_t size = strlen(plain);
    za_seal_close(key, nonce, (za_seal_data_t){ extra, 12 }, (const uint8_t *)plain, size, out);
    cr_expect(memcmp(out + size, tag, 16) == 0, "the tag of the RFC");
    cr_assert(za_seal_open(key, nonce, (za_seal_data_t){ extra, 12 }, out, size, back) == ZA_OK,
              "opens");
    cr_expect(memcmp(back, plain, size) == 0, "the text");
    extra[0] ^= 1;
    cr_expect(za_seal_open(key, nonce, (za_seal_data_t){ extra, 12 }, out, size, back) ==
                  ZA_ECRYPTO,
              "the header counts");
}

// RFC 5869 with the salt and info of its A.1; our secrets have 32 bytes, its have 22 and 80, so the
// key is that of another implementation (Python's hmac).
Test(seal, derives_by_hkdf_sha256)
{
    uint8_t secret[32];
    uint8_t salt[13];
    uint8_t info[10];
    uint8_t expected[32];
    uint8_t key[32];
    memset(secret, 0x0b, sizeof secret);
    from_hex("000102030405060708090a0b0c", salt, 13);
    from_hex("f0f1f2f3f4f5f6f7f8f9", info, 10);
    from_hex("d4100799f26a09615a72af3e58fa3841a2ff20d5ace3fb392e562e207fe6b718", expected, 32);
    cr_assert(za_seal_derive(secret, (za_seal_data_t){ salt, 13 }, (za_seal_data_t){ info, 10 },
                             key) == ZA_OK,
              "derives");
    cr_expect(memcmp(key, expected, 32) == 0, "the key");
}

/* ---- there and back ---------------------------------------------------------------------------- */

Test(datagram, opens_what_a_member_sealed)
{
    pair_t pair = make_pair();
    sealed_t sealed = seal(pair.alice, BOB, "ping");
    cr_expect(sealed.size == strlen("ping") + 34, "%zu bytes", sealed.size);
    cr_expect(memmem(sealed.bytes, sealed.size, "ping", 4) == NULL, "it can be read");
    opened_t opened = open_from(pair.bob, NOW_MS, HOST, &sealed);
    cr_expect(opened.verdict == ZA_DATAGRAM_OPENED, "verdict %d", (int)opened.verdict);
    cr_expect(strcmp(opened.text, "ping") == 0, "text %s", opened.text);
    cr_expect(opened.uid == ALICE, "uid");
    cr_expect(count_of(pair.bob, ZA_DATAGRAM_OPENED) == 1, "counted");
    end_pair(pair);
}

// The example of docs/protocol.md, from an implementation of its own that was written after it.
Test(datagram, is_as_the_protocol_says)
{
    za_datagrams_t *alice = create("prod", ALICE);
    za_epoch_key_t key = { .epoch = 7 };
    for (size_t i = 0; i < sizeof key.secret; i++) {
        key.secret[i] = (uint8_t)i;
    }
    set_key(alice, key);
    sealed_t sealed = seal(alice, BOB, "ping");
    uint8_t expected[38];
    from_hex("01070100000000e01ca10100000000000000"
             "011377d30788b0f2f0a69fcd7a93a574cedd5474",
             expected, sizeof expected);
    cr_expect(sealed.size == sizeof expected, "%zu bytes", sealed.size);
    cr_expect(memcmp(sealed.bytes, expected, sizeof expected) == 0, "other bytes");
    za_datagrams_destroy(alice);
}

Test(datagram, takes_the_largest_and_refuses_more)
{
    pair_t pair = make_pair();
    static uint8_t plain[ZA_DATAGRAM_BYTES_MAX + 1];
    sealed_t sealed;
    za_err_t err = za_datagrams_seal(pair.alice, BOB, plain, ZA_DATAGRAM_BYTES_MAX, sealed.bytes,
                                     &sealed.size);
    cr_assert(err == ZA_OK, "%s", za_err_name(err));
    cr_expect(sealed.size + 48 == 1400, "%zu bytes and the headers of IPv6 and UDP", sealed.size);
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_OPENED, "opens");
    cr_expect(za_datagrams_seal(pair.alice, BOB, plain, sizeof plain, sealed.bytes, &sealed.size) ==
                  ZA_ETOOBIG,
              "one more");
    end_pair(pair);
}

Test(datagram, seals_nothing_without_a_key)
{
    za_datagrams_t *alice = create("prod", ALICE);
    sealed_t sealed;
    cr_expect(!za_datagrams_ready(alice), "not ready");
    cr_expect(za_datagrams_seal(alice, BOB, (const uint8_t *)"x", 1, sealed.bytes, &sealed.size) ==
                  ZA_ENOENT,
              "no key");
    set_key(alice, key_of(1, 1));
    cr_expect(za_datagrams_ready(alice), "ready");
    za_datagrams_destroy(alice);
}

Test(datagram, refuses_settings_that_make_no_sense)
{
    za_datagrams_t *made = NULL;
    za_datagrams_config_t config = { .cluster = "prod", .uid = 0, .senders_max = 1 };
    cr_expect(za_datagrams_create(&config, &made) == ZA_EINVAL, "no uid");
    config = (za_datagrams_config_t){ .cluster = "", .uid = 1, .senders_max = 1 };
    cr_expect(za_datagrams_create(&config, &made) == ZA_EINVAL, "no name");
    made = create("prod", ALICE);
    za_epoch_key_t keys[ZA_EPOCH_KEYS_MAX + 1] = { 0 };
    cr_expect(za_datagrams_set_keys(made, keys, 0, 0) == ZA_EINVAL, "no key");
    cr_expect(za_datagrams_set_keys(made, keys, ZA_EPOCH_KEYS_MAX + 1, 0) == ZA_EINVAL, "too many");
    cr_expect(za_datagrams_set_keys(made, keys, 1, 1) == ZA_EINVAL, "sends with none");
    cr_expect(!za_datagrams_ready(made), "and has none");
    za_datagrams_destroy(made);
}

/* ---- replay ------------------------------------------------------------------------------------ */

Test(datagram, opens_a_datagram_once)
{
    pair_t pair = make_pair();
    sealed_t sealed = seal(pair.alice, BOB, "ping");
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_OPENED, "first");
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_REPLAYED, "second");
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_REPLAYED, "third");
    cr_expect(count_of(pair.bob, ZA_DATAGRAM_REPLAYED) == 2, "counted");
    end_pair(pair);
}

Test(datagram, opens_what_was_overtaken_within_the_window)
{
    pair_t pair = make_pair();
    uint64_t next = 1;
    sealed_t outside = seal(pair.alice, BOB, "counter 1");
    sealed_t edge = seal(pair.alice, BOB, "counter 2");
    sealed_t inside = seal(pair.alice, BOB, "counter 3");
    next = 4;
    advance(pair.alice, &next, 1 + ZA_DATAGRAM_WINDOW);
    cr_expect(verdict_of(pair.bob, seal(pair.alice, BOB, "newest")) == ZA_DATAGRAM_OPENED,
              "newest");
    cr_expect(verdict_of(pair.bob, outside) == ZA_DATAGRAM_REPLAYED, "1,024 behind");
    cr_expect(verdict_of(pair.bob, edge) == ZA_DATAGRAM_OPENED, "1,023 behind");
    cr_expect(verdict_of(pair.bob, inside) == ZA_DATAGRAM_OPENED, "1,022 behind");
    cr_expect(verdict_of(pair.bob, edge) == ZA_DATAGRAM_REPLAYED, "once");
    end_pair(pair);
}

// The window against a set of all counters ever seen, in random order with gaps.
Test(datagram, window_is_a_set_of_the_last_counters)
{
    enum { COUNT = 6000 };
    pair_t pair = make_pair();
    sealed_t *all = calloc(COUNT + 1, sizeof *all);
    bool seen[COUNT + 1] = { false };
    za_rng_t rng;
    za_rng_init(&rng, 42);
    for (int i = 1; i <= COUNT; i++) {
        all[i] = seal(pair.alice, BOB, "x");
    }
    uint64_t highest = 0;
    uint64_t base = 0;
    for (int step = 0; step < 20000; step++) {
        base += za_rng_below(&rng, 100) == 0 ? za_rng_below(&rng, 200) : 0;
        uint64_t counter = 1 + base + za_rng_below(&rng, 1300);
        if (counter > COUNT) {
            base = 0;
            continue;
        }
        bool fresh = !seen[counter] && counter + ZA_DATAGRAM_WINDOW > highest;
        za_datagram_verdict_t verdict = verdict_of(pair.bob, all[counter]);
        cr_assert(verdict == (fresh ? ZA_DATAGRAM_OPENED : ZA_DATAGRAM_REPLAYED),
                  "step %d: counter %llu, highest %llu: verdict %d", step,
                  (unsigned long long)counter, (unsigned long long)highest, (int)verdict);
        seen[counter] = true;
        highest = counter > highest ? counter : highest;
    }
    free(all);
    end_pair(pair);
}

Test(datagram, forged_counter_does_not_move_the_window)
{
    pair_t pair = make_pair();
    sealed_t first = seal(pair.alice, BOB, "first");
    sealed_t forged = seal(pair.alice, BOB, "second");
    forged.bytes[10 + 6] = 0xff; // far ahead
    cr_expect(verdict_of(pair.bob, forged) == ZA_DATAGRAM_FORGED, "forged");
    cr_expect(verdict_of(pair.bob, first) == ZA_DATAGRAM_OPENED, "the window is where it was");
    end_pair(pair);
}

/* ---- what is no datagram of ours --------------------------------------------------------------- */

Test(datagram, any_changed_bit_is_noticed)
{
    pair_t pair = make_pair();
    sealed_t sealed = seal(pair.alice, BOB, "a text of some length");
    for (size_t bit = 0; bit < sealed.size * 8; bit++) {
        sealed_t changed = sealed;
        changed.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert(verdict_of(pair.bob, changed) != ZA_DATAGRAM_OPENED, "bit %zu", bit);
    }
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_OPENED, "and nothing else has changed");
    end_pair(pair);
}

Test(datagram, each_way_to_be_wrong_has_its_count)
{
    pair_t pair = make_pair();
    sealed_t good = seal(pair.alice, BOB, "ping");
    sealed_t bad = good;
    bad.size = ZA_DATAGRAM_OVERHEAD_BYTES - 1;
    cr_expect(verdict_of(pair.bob, bad) == ZA_DATAGRAM_MALFORMED, "too short");
    bad.size = 0;
    cr_expect(verdict_of(pair.bob, bad) == ZA_DATAGRAM_MALFORMED, "nothing at all");
    bad.size = ZA_DATAGRAM_SEALED_BYTES_MAX + 1;
    cr_expect(verdict_of(pair.bob, bad) == ZA_DATAGRAM_MALFORMED, "too long");
    bad = good;
    bad.size--;
    cr_expect(verdict_of(pair.bob, bad) == ZA_DATAGRAM_FORGED, "cut");
    bad = good;
    bad.bytes[0] = 2;
    cr_expect(verdict_of(pair.bob, bad) == ZA_DATAGRAM_FOREIGN, "another version");
    bad = good;
    bad.bytes[1]++;
    cr_expect(verdict_of(pair.bob, bad) == ZA_DATAGRAM_EPOCH, "an epoch without a key");
    bad = good;
    memset(bad.bytes + 2, 0, 8);
    cr_expect(verdict_of(pair.bob, bad) == ZA_DATAGRAM_FORGED, "from nobody");
    static const uint64_t expected[ZA_DATAGRAM_VERDICTS] = {
        [ZA_DATAGRAM_MALFORMED] = 3,
        [ZA_DATAGRAM_FOREIGN] = 1,
        [ZA_DATAGRAM_EPOCH] = 1,
        [ZA_DATAGRAM_FORGED] = 2,
    };
    for (int verdict = 0; verdict < ZA_DATAGRAM_VERDICTS; verdict++) {
        cr_expect(count_of(pair.bob, verdict) == expected[verdict], "%s: %llu",
                  za_datagram_verdict_name(verdict),
                  (unsigned long long)count_of(pair.bob, verdict));
    }
    cr_expect(verdict_of(pair.bob, good) == ZA_DATAGRAM_OPENED, "and nothing else has changed");
    end_pair(pair);
}

Test(datagram, is_for_its_receiver_alone)
{
    pair_t pair = make_pair();
    cr_expect(verdict_of(pair.bob, seal(pair.alice, CAROL, "for carol")) == ZA_DATAGRAM_FORGED,
              "sent on to bob");
    cr_expect(verdict_of(pair.alice, seal(pair.alice, BOB, "for bob")) == ZA_DATAGRAM_FORGED,
              "sent back to alice");
    end_pair(pair);
}

// The same epoch key under another name: a copied configuration, say.
Test(datagram, is_for_its_cluster_alone)
{
    pair_t pair = make_pair();
    za_datagrams_t *other = create("test", ALICE);
    set_key(other, key_of(1, 0x11));
    cr_expect(verdict_of(pair.bob, seal(other, BOB, "ping")) == ZA_DATAGRAM_FORGED, "of test");
    za_datagrams_destroy(other);
    end_pair(pair);
}

Test(datagram, nobody_speaks_for_another)
{
    pair_t pair = make_pair();
    za_datagrams_t *carol = create("prod", CAROL);
    set_key(carol, key_of(1, 0x11));
    sealed_t sealed = seal(carol, BOB, "I am alice");
    for (int i = 0; i < 8; i++) {
        sealed.bytes[2 + i] = (uint8_t)(ALICE >> (8 * i));
    }
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_FORGED, "carol's key is not alice's");
    za_datagrams_destroy(carol);
    end_pair(pair);
}

/* ---- epochs ------------------------------------------------------------------------------------ */

Test(datagram, accepts_the_epochs_before_and_after)
{
    pair_t pair = make_pair();
    za_epoch_key_t ring[3] = { key_of(7, 0x77), key_of(6, 0x66), key_of(5, 0x55) };
    cr_assert(za_datagrams_set_keys(pair.bob, ring, 3, 1) == ZA_OK, "keys");
    for (int i = 0; i < 3; i++) {
        set_key(pair.alice, ring[i]);
        sealed_t sealed = seal(pair.alice, BOB, "ping");
        cr_expect(sealed.bytes[1] == 7 - i, "epoch %d", sealed.bytes[1]);
        cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_OPENED, "epoch %d", 7 - i);
    }
    set_key(pair.alice, key_of(4, 0x44));
    cr_expect(verdict_of(pair.bob, seal(pair.alice, BOB, "old")) == ZA_DATAGRAM_EPOCH, "old");
    // One that was accepted and is no more, although its derived key was in use.
    sealed_t late = seal(pair.alice, BOB, "late");
    set_key(pair.alice, ring[2]);
    late = seal(pair.alice, BOB, "late");
    cr_assert(za_datagrams_set_keys(pair.bob, ring, 2, 0) == ZA_OK, "keys");
    cr_expect(verdict_of(pair.bob, late) == ZA_DATAGRAM_EPOCH, "gone");
    end_pair(pair);
}

// The two sides of a partition made different keys of one number; and numbers share a byte.
Test(datagram, tries_each_key_that_looks_right)
{
    pair_t pair = make_pair();
    za_epoch_key_t ring[3] = { key_of(258, 0x01), key_of(2, 0x03), key_of(2, 0x02) };
    cr_assert(za_datagrams_set_keys(pair.bob, ring, 3, 0) == ZA_OK, "keys");
    for (int i = 0; i < 3; i++) {
        set_key(pair.alice, ring[i]);
        cr_expect(verdict_of(pair.bob, seal(pair.alice, BOB, "ping")) == ZA_DATAGRAM_OPENED,
                  "key %d", i);
    }
    end_pair(pair);
}

Test(datagram, new_key_does_not_open_the_window_again)
{
    pair_t pair = make_pair();
    za_epoch_key_t ring[2] = { key_of(2, 0x22), key_of(1, 0x11) };
    sealed_t old = seal(pair.alice, BOB, "under the first key");
    cr_expect(verdict_of(pair.bob, old) == ZA_DATAGRAM_OPENED, "first");
    cr_assert(za_datagrams_set_keys(pair.alice, ring, 2, 0) == ZA_OK, "keys");
    cr_assert(za_datagrams_set_keys(pair.bob, ring, 2, 0) == ZA_OK, "keys");
    cr_expect(verdict_of(pair.bob, old) == ZA_DATAGRAM_REPLAYED, "again");
    cr_expect(verdict_of(pair.bob, seal(pair.alice, BOB, "next")) == ZA_DATAGRAM_OPENED, "next");
    end_pair(pair);
}

Test(datagram, wants_another_key_when_one_is_spent)
{
    za_datagrams_config_t config = {
        .cluster = "prod", .uid = ALICE, .senders_max = 1, .messages_max = 3
    };
    za_datagrams_t *alice = NULL;
    cr_assert(za_datagrams_create(&config, &alice) == ZA_OK, "create");
    set_key(alice, key_of(1, 1));
    seal(alice, BOB, "1");
    seal(alice, BOB, "2");
    set_key(alice, key_of(1, 1)); // the same again
    cr_expect(!za_datagrams_spent(alice), "two");
    seal(alice, BOB, "3");
    cr_expect(za_datagrams_spent(alice), "three");
    set_key(alice, key_of(2, 2));
    cr_expect(!za_datagrams_spent(alice), "anew");
    za_datagrams_destroy(alice);
}

/* ---- rebirth ----------------------------------------------------------------------------------- */

Test(datagram, reborn_sender_has_a_key_of_its_own)
{
    pair_t pair = make_pair();
    sealed_t before = seal(pair.alice, BOB, "same text");
    cr_assert(za_datagrams_set_uid(pair.alice, CAROL) == ZA_OK, "reborn");
    cr_assert(za_datagrams_add(pair.bob, CAROL) == ZA_OK, "room");
    sealed_t after = seal(pair.alice, BOB, "same text");
    cr_expect(memcmp(before.bytes + 10, after.bytes + 10, 8) == 0, "the same counter");
    cr_expect(memcmp(before.bytes + 18, after.bytes + 18, 9) != 0, "and another key");
    opened_t opened = open_from(pair.bob, NOW_MS, HOST, &after);
    cr_expect(opened.verdict == ZA_DATAGRAM_OPENED && opened.uid == CAROL, "opens");
    end_pair(pair);
}

Test(datagram, one_for_a_former_uid_is_told_from_a_forged_one)
{
    pair_t pair = make_pair();
    sealed_t late = seal(pair.alice, BOB, "to whom bob was");
    cr_assert(za_datagrams_set_uid(pair.bob, CAROL) == ZA_OK, "reborn");
    cr_expect(verdict_of(pair.bob, late) == ZA_DATAGRAM_MISDIRECTED, "misdirected");
    cr_expect(verdict_of(pair.bob, seal(pair.alice, CAROL, "now")) == ZA_DATAGRAM_OPENED, "now");
    end_pair(pair);
}

/* ---- strangers --------------------------------------------------------------------------------- */

Test(datagram, nothing_is_kept_of_a_stranger)
{
    pair_t pair = make_pair();
    za_datagrams_remove(pair.bob, ALICE);
    sealed_t sealed = seal(pair.alice, BOB, "ping");
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_STRANGER, "unknown");
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_STRANGER, "not even its counter");
    cr_assert(za_datagrams_add(pair.bob, ALICE) == ZA_OK, "room");
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_OPENED, "known");
    za_datagrams_remove(pair.bob, ALICE);
    cr_expect(verdict_of(pair.bob, seal(pair.alice, BOB, "after")) == ZA_DATAGRAM_STRANGER, "gone");
    end_pair(pair);
}

Test(datagram, knows_as_many_senders_as_it_has_room_for)
{
    za_datagrams_t *bob = create("prod", BOB);
    za_rng_t rng;
    za_rng_init(&rng, 3);
    uint64_t known[SENDERS_MAX];
    set_key(bob, key_of(1, 1));
    za_datagrams_t *sender = create("prod", 1);
    set_key(sender, key_of(1, 1));
    for (int i = 0; i < SENDERS_MAX; i++) {
        known[i] = za_rng_next(&rng) | 1;
        cr_assert(za_datagrams_add(bob, known[i]) == ZA_OK, "sender %d", i);
        cr_assert(za_datagrams_add(bob, known[i]) == ZA_OK, "twice is once");
    }
    cr_expect(za_datagrams_add(bob, 2) == ZA_ENOBUFS, "full");
    for (int step = 0; step < 2000; step++) {
        uint64_t now_ms = NOW_MS + 10 * (uint64_t)step;
        size_t at = (size_t)za_rng_below(&rng, SENDERS_MAX);
        za_datagrams_remove(bob, known[at]);
        za_datagrams_remove(bob, known[at]); // twice is once
        cr_assert(za_datagrams_set_uid(sender, known[at]) == ZA_OK, "uid");
        sealed_t sealed = seal(sender, BOB, "");
        cr_assert(open_from(bob, now_ms, HOST, &sealed).verdict == ZA_DATAGRAM_STRANGER,
                  "step %d: removed", step);
        known[at] = za_rng_next(&rng) | 1;
        cr_assert(za_datagrams_add(bob, known[at]) == ZA_OK, "step %d: there is room again", step);
        size_t other = (size_t)za_rng_below(&rng, SENDERS_MAX);
        cr_assert(za_datagrams_set_uid(sender, known[other]) == ZA_OK, "uid");
        sealed = seal(sender, BOB, "");
        // A uid that was used before begins its counter anew here, as no process's does.
        za_datagram_verdict_t verdict = open_from(bob, now_ms, HOST, &sealed).verdict;
        cr_assert(verdict == ZA_DATAGRAM_OPENED || verdict == ZA_DATAGRAM_REPLAYED, "step %d: %s",
                  step, za_datagram_verdict_name(verdict));
    }
    za_datagrams_destroy(sender);
    za_datagrams_destroy(bob);
}

/* ---- rates ------------------------------------------------------------------------------------- */

Test(datagram, derives_so_many_keys_for_strangers)
{
    pair_t pair = make_pair();
    za_datagrams_remove(pair.bob, ALICE);
    sealed_t sealed = seal(pair.alice, BOB, "ping");
    for (int i = 0; i < ZA_DATAGRAM_DERIVES_PER_S; i++) {
        cr_assert(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_STRANGER, "number %d", i);
    }
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_LIMITED, "one more");
    cr_expect(open_from(pair.bob, NOW_MS + 2, HOST, &sealed).verdict == ZA_DATAGRAM_STRANGER,
              "two thousandths of a second later");
    za_datagrams_add(pair.bob, ALICE);
    cr_expect(verdict_of(pair.bob, sealed) == ZA_DATAGRAM_OPENED, "members do not wait");
    end_pair(pair);
}

Test(datagram, one_host_that_forges_does_not_shut_out_another)
{
    pair_t pair = make_pair();
    sealed_t forged = seal(pair.alice, BOB, "ping");
    forged.bytes[forged.size - 1] ^= 1;
    sealed_t good = seal(pair.alice, BOB, "pong");
    uint32_t verified = 0;
    while (open_from(pair.bob, NOW_MS, 99, &forged).verdict == ZA_DATAGRAM_FORGED) {
        verified++;
        cr_assert(verified <= ZA_DATAGRAM_FAILURES_PER_S, "without end");
    }
    cr_expect(verified == ZA_DATAGRAM_FAILURES_PER_S, "%u", verified);
    cr_expect(open_from(pair.bob, NOW_MS, 99, &good).verdict == ZA_DATAGRAM_LIMITED,
              "not looked at from there");
    cr_expect(open_from(pair.bob, NOW_MS, HOST, &good).verdict == ZA_DATAGRAM_OPENED,
              "from elsewhere");
    cr_expect(open_from(pair.bob, NOW_MS + 1000, 99, &forged).verdict == ZA_DATAGRAM_FORGED,
              "a second later");
    end_pair(pair);
}

/* ---- everything at once ------------------------------------------------------------------------ */

// Whatever arrives in between, what the members say to each other gets through.
Test(datagram, nothing_but_counters_changes)
{
    pair_t pair = make_pair();
    za_rng_t rng;
    za_rng_init(&rng, 11);
    uint64_t arrived = 0;
    for (int step = 0; step < 5000; step++) {
        sealed_t good = seal(pair.alice, BOB, "between the others");
        sealed_t bad = good;
        size_t at = (size_t)za_rng_below(&rng, bad.size);
        bad.bytes[at] ^= (uint8_t)(1 + za_rng_below(&rng, 255));
        if (za_rng_below(&rng, 4) == 0) {
            bad.size = (size_t)za_rng_below(&rng, sizeof bad.bytes + 1);
        }
        if (za_rng_below(&rng, 4) == 0) {
            for (size_t i = 0; i < bad.size; i++) {
                bad.bytes[i] = (uint8_t)za_rng_next(&rng);
            }
        }
        uint64_t now_ms = NOW_MS + (uint64_t)step;
        cr_assert(open_from(pair.bob, now_ms, za_rng_next(&rng), &bad).verdict !=
                      ZA_DATAGRAM_OPENED,
                  "step %d", step);
        cr_assert(open_from(pair.bob, now_ms, HOST, &good).verdict == ZA_DATAGRAM_OPENED, "step %d",
                  step);
        cr_assert(open_from(pair.bob, now_ms, HOST, &good).verdict == ZA_DATAGRAM_REPLAYED,
                  "step %d", step);
        arrived += 3;
    }
    uint64_t counted = 0;
    for (int verdict = 0; verdict < ZA_DATAGRAM_VERDICTS; verdict++) {
        counted += count_of(pair.bob, verdict);
    }
    cr_expect(counted == arrived, "each is counted once");
    end_pair(pair);
}
