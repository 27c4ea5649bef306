#include "cluster/member_keys.h"

#include "cluster_world.h"
#include "fake_view.h"
#include "support/seeds.h"

enum { START_MS = 1000, FRAMES_MAX = 64 };

#define DAY_MS ((uint64_t)ZA_KEYS_ROTATE_MS)

/** One node's keys with all that it said. */
typedef struct holder {
    fake_view_t fake;
    za_keys_t *keys;
    uint64_t now_ms;
    za_epoch_key_t ring[ZA_EPOCH_KEYS_MAX]; // as the driver was told
    uint32_t count, sending;
    uint32_t told, wants;
    struct {
        uint64_t to;
        uint32_t size;
        uint8_t bytes[512];
    } frames[FRAMES_MAX];
    uint32_t frame_count;
} holder_t;

static void pump(holder_t *h)
{
    static za_effects_t effects;
    za_step_t step;
    do {
        za_effects_reset(&effects);
        step = za_keys_pump(h->keys, h->now_ms, &effects);
        for (uint32_t i = 0; i < effects.count; i++) {
            const za_effect_t *effect = &effects.items[i];
            if (effect->type == ZA_EFFECT_KEYS) {
                memcpy(h->ring, effect->bytes, effect->size);
                h->count = effect->size / sizeof *h->ring;
                h->sending = (uint32_t)effect->id;
                h->told++;
            } else if (effect->type == ZA_EFFECT_WANT_KEYS) {
                h->wants++;
            } else {
                cr_assert(effect->type == ZA_EFFECT_SEND_FRAME && effect->size <= 512, "effect");
                cr_assert(effect->lane == ZA_LANE_CONTROL && effect->bytes[0] == ZA_KEYS_TAG,
                          "frame");
                cr_assert(h->frame_count < FRAMES_MAX, "the test has room");
                h->frames[h->frame_count].to = effect->uid;
                h->frames[h->frame_count].size = effect->size;
                memcpy(h->frames[h->frame_count++].bytes, effect->bytes, effect->size);
            }
        }
    } while (step == ZA_STEP_MORE);
}

static void give(holder_t *h, uint8_t fill)
{
    uint8_t material[ZA_EPOCH_SECRET_BYTES];
    memset(material, fill, sizeof material);
    cr_assert(za_keys_material(h->keys, material, sizeof material), "material");
    pump(h);
}

static void set_up(holder_t *h, uint64_t uid)
{
    memset(h, 0, sizeof *h);
    fake_init(&h->fake, uid);
    h->now_ms = START_MS;
    cr_assert(za_keys_create(&h->fake.view, h->now_ms, &h->keys) == ZA_OK, "create");
}

/** Up, alone, with a key of its own. */
static void found(holder_t *h, uint64_t uid, uint8_t fill)
{
    set_up(h, uid);
    fake_set(&h->fake, uid, ZA_KNOWN_UP);
    give(h, fill);
    give(h, (uint8_t)(fill + 1));
}

/** Runs until then, stepping at each deadline. */
static void run(holder_t *h, uint64_t until_ms)
{
    for (int steps = 0; za_keys_deadline_ms(h->keys) <= until_ms; steps++) {
        cr_assert(steps < 10000, "a deadline that does not move");
        cr_assert(za_keys_deadline_ms(h->keys) > h->now_ms, "a deadline in the past");
        h->now_ms = za_keys_deadline_ms(h->keys);
        pump(h);
    }
    h->now_ms = until_ms;
}

static bool hear(holder_t *h, const uint8_t *bytes, uint32_t size)
{
    bool sound = za_keys_frame(h->keys, bytes + 1, size - 1, h->now_ms);
    pump(h);
    return sound;
}

/** What `from` has said since the last time. */
static void exchange(holder_t *from, holder_t *to)
{
    for (uint32_t i = 0; i < from->frame_count; i++) {
        cr_assert(hear(to, from->frames[i].bytes, from->frames[i].size), "a sound frame");
    }
    from->frame_count = 0;
}

static void link_both(holder_t *a, holder_t *b)
{
    za_keys_link_up(a->keys, b->fake.self);
    za_keys_link_up(b->keys, a->fake.self);
    pump(a);
    pump(b);
    exchange(a, b);
    exchange(b, a);
    exchange(a, b);
}

static void tear_down(holder_t *h)
{
    za_keys_destroy(h->keys);
}

static const za_epoch_key_t *in_use(const holder_t *h)
{
    cr_assert(h->count > 0, "it has a key");
    return &h->ring[h->sending];
}

static bool same_ring(const holder_t *a, const holder_t *b)
{
    return a->count == b->count && memcmp(a->ring, b->ring, a->count * sizeof *a->ring) == 0;
}

/* ---- the first key ------------------------------------------------------------------------------ */

Test(keys, founder_makes_the_first)
{
    holder_t h;
    set_up(&h, 1);
    give(&h, 0x11);
    cr_expect(h.told == 0, "not before it is up");
    fake_set(&h.fake, 1, ZA_KNOWN_UP);
    pump(&h);
    cr_expect(h.told == 1 && h.count == 1 && h.wants == 1, "told %u, wants %u", h.told, h.wants);
    cr_expect(in_use(&h)->epoch == 1 && in_use(&h)->secret[5] == 0x11, "the key");
    pump(&h);
    cr_expect(h.told == 1, "once");
    tear_down(&h);
}

Test(keys, makes_none_of_nothing)
{
    holder_t h;
    set_up(&h, 1);
    fake_set(&h.fake, 1, ZA_KNOWN_UP);
    run(&h, 10 * DAY_MS);
    za_keys_rotate(h.keys);
    pump(&h);
    cr_expect(h.told == 0, "without material");
    uint8_t short_one[ZA_EPOCH_SECRET_BYTES - 1] = { 1 };
    cr_expect(!za_keys_material(h.keys, short_one, sizeof short_one), "too little");
    tear_down(&h);
}

Test(keys, who_joins_waits_for_the_keys_of_the_others)
{
    holder_t h;
    set_up(&h, 2);
    fake_set(&h.fake, 1, ZA_KNOWN_UP);
    fake_set(&h.fake, 2, ZA_KNOWN_UP);
    give(&h, 0x22);
    run(&h, START_MS + ZA_KEYS_FOUND_MS - 1);
    cr_expect(h.told == 0, "another is first in line");
    run(&h, START_MS + ZA_KEYS_FOUND_MS);
    cr_expect(h.told == 1, "and does not come");
    tear_down(&h);
}

/* ---- handing them on ---------------------------------------------------------------------------- */

Test(keys, a_link_hands_them_over)
{
    holder_t a;
    holder_t b;
    found(&a, 1, 0x11);
    set_up(&b, 2);
    run(&a, START_MS + 60000);
    link_both(&a, &b);
    cr_expect(same_ring(&a, &b) && b.told == 1, "told %u", b.told);
    tear_down(&a);
    tear_down(&b);
}

/** Carries frames between four nodes until nobody has more to say; how many there were. */
static uint32_t carry(holder_t h[4])
{
    uint32_t frames = 0;
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < 4; i++) {
            uint32_t count = h[i].frame_count;
            h[i].frame_count = 0;
            for (uint32_t k = 0; k < count; k++) {
                hear(&h[h[i].frames[k].to - 1], h[i].frames[k].bytes, h[i].frames[k].size);
                frames++;
            }
        }
    }
    return frames;
}

Test(keys, news_go_to_every_link_and_end_there)
{
    holder_t h[4];
    for (uint64_t i = 0; i < 4; i++) {
        set_up(&h[i], i + 1);
    }
    for (int i = 0; i < 4; i++) { // a ring of links
        za_keys_link_up(h[i].keys, (uint64_t)(i + 1) % 4 + 1);
        za_keys_link_up(h[i].keys, (uint64_t)(i + 3) % 4 + 1);
    }
    fake_set(&h[0].fake, 1, ZA_KNOWN_UP);
    give(&h[0], 0x11);
    uint32_t frames = carry(h);
    cr_expect(frames == 8, "%u frames: one each way over each link", frames);
    for (int i = 0; i < 4; i++) { // all links have been told; now there is another key
        h[i].now_ms += ZA_KEYS_SETTLE_MS;
    }
    za_keys_rotate(h[0].keys);
    give(&h[0], 0x12);
    frames = carry(h);
    cr_expect(frames == 8, "%u frames of the next key", frames);
    for (int i = 0; i < 4; i++) {
        cr_expect(h[i].count == 2 && same_ring(&h[i], &h[0]) && h[i].frame_count == 0, "node %d",
                  i);
        tear_down(&h[i]);
    }
}

Test(keys, new_link_is_told_what_the_old_one_may_have_lost)
{
    holder_t h;
    found(&h, 1, 0x11);
    za_keys_link_up(h.keys, 2);
    pump(&h);
    za_keys_link_down(h.keys, 2);
    za_keys_link_up(h.keys, 2);
    pump(&h);
    cr_expect(h.frame_count == 2, "%u", h.frame_count);
    za_keys_link_down(h.keys, 2);
    za_keys_rotate(h.keys);
    run(&h, START_MS + 60000);
    cr_expect(h.frame_count == 2, "nobody is there: %u", h.frame_count);
    tear_down(&h);
}

/* ---- which is in use ---------------------------------------------------------------------------- */

Test(keys, new_key_is_sent_with_when_all_may_have_it)
{
    holder_t h;
    found(&h, 1, 0x11);
    run(&h, START_MS + 60000);
    za_keys_rotate(h.keys);
    pump(&h);
    cr_expect(h.count == 2 && h.ring[0].epoch == 2, "accepted at once");
    cr_expect(in_use(&h)->epoch == 1, "not sent with");
    run(&h, START_MS + 60000 + ZA_KEYS_SETTLE_MS - 1);
    cr_expect(in_use(&h)->epoch == 1, "not yet");
    run(&h, START_MS + 60000 + ZA_KEYS_SETTLE_MS);
    cr_expect(in_use(&h)->epoch == 2 && h.count == 2, "now, and the other is accepted still");
    run(&h, START_MS + 60000 + ZA_KEYS_RETIRE_MS);
    cr_expect(in_use(&h)->epoch == 2 && h.count == 1, "and then no more");
    tear_down(&h);
}

Test(keys, who_joins_uses_what_the_others_use)
{
    holder_t a;
    holder_t b;
    found(&a, 1, 0x11);
    run(&a, START_MS + 60000);
    za_keys_rotate(a.keys);
    pump(&a);
    for (int settled = 0; settled < 2; settled++) {
        run(&a, START_MS + 60000 + (settled ? ZA_KEYS_SETTLE_MS + 100 : 100));
        set_up(&b, 2);
        link_both(&a, &b);
        cr_expect(in_use(&b)->epoch == (settled ? 2u : 1u), "settled %d: %u", settled,
                  (unsigned)in_use(&b)->epoch);
        tear_down(&b);
    }
    tear_down(&a);
}

Test(keys, many_rotations_in_a_row_keep_the_one_in_use)
{
    holder_t h;
    found(&h, 1, 0x11);
    run(&h, START_MS + 60000);
    uint32_t told = h.told;
    for (int i = 0; i < 10; i++) {
        za_keys_rotate(h.keys);
        give(&h, (uint8_t)(0x30 + i));
    }
    cr_expect(h.count == 2 && in_use(&h)->epoch == 1, "one new key");
    cr_expect(h.told == told + 1, "told %u", h.told);
    tear_down(&h);
}

/* ---- the join ----------------------------------------------------------------------------------- */

Test(keys, sides_that_rotated_apart_agree_on_the_greater)
{
    holder_t a;
    holder_t b;
    found(&a, 1, 0x11);
    set_up(&b, 2);
    fake_set(&b.fake, 2, ZA_KNOWN_UP);
    link_both(&a, &b);
    za_keys_link_down(a.keys, 2);
    za_keys_link_down(b.keys, 1);
    give(&a, 0x44);
    give(&b, 0x55);
    run(&a, 60000);
    run(&b, 60000);
    za_keys_rotate(a.keys);
    za_keys_rotate(b.keys);
    pump(&a);
    pump(&b);
    cr_assert(!same_ring(&a, &b), "apart");
    run(&a, 70000);
    run(&b, 70000);
    link_both(&a, &b);
    cr_expect(same_ring(&a, &b) && a.count == 3, "together: %u", a.count);
    cr_expect(in_use(&a)->secret[0] == 0x55 && in_use(&b)->secret[0] == 0x55, "the greater");
    tear_down(&a);
    tear_down(&b);
}

// Any holders, any keys, any order, any repetition: who has heard the same holds the same.
Test(keys, merge_is_a_join)
{
    enum { HOLDERS = 4, KEYS = 9 };
    za_seeds_t seeds = za_seeds(200);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        za_rng_t rng;
        za_rng_init(&rng, seed);
        holder_t source[KEYS];
        holder_t h[HOLDERS];
        for (int i = 0; i < KEYS; i++) { // each with one key of a small range of numbers
            uint64_t epoch = 1 + za_rng_below(&rng, 4);
            uint8_t frame[64] = { ZA_KEYS_TAG, 0x0a, 0 };
            uint32_t size = 3;
            frame[size++] = 0x08;
            frame[size++] = (uint8_t)epoch;
            frame[size++] = 0x12;
            frame[size++] = ZA_EPOCH_SECRET_BYTES;
            for (int k = 0; k < ZA_EPOCH_SECRET_BYTES; k++) {
                frame[size++] = (uint8_t)za_rng_below(&rng, 3);
            }
            frame[2] = (uint8_t)(size - 3);
            set_up(&source[i], 100 + (uint64_t)i);
            cr_assert(hear(&source[i], frame, size), "a sound frame");
        }
        for (int i = 0; i < HOLDERS; i++) {
            set_up(&h[i], 1 + (uint64_t)i);
            uint32_t missing = (1u << KEYS) - 1;
            while (missing != 0) {
                uint64_t k = za_rng_below(&rng, KEYS);
                za_keys_link_up(source[k].keys, h[i].fake.self);
                pump(&source[k]);
                exchange(&source[k], &h[i]);
                missing &= ~(1u << k);
            }
            cr_assert(same_ring(&h[i], &h[0]), "seed %llu: holder %d", (unsigned long long)seed, i);
            cr_assert(h[i].count == ZA_EPOCH_KEYS_MAX, "seed %llu", (unsigned long long)seed);
        }
        for (int i = 0; i < HOLDERS; i++) {
            tear_down(&h[i]);
        }
        for (int i = 0; i < KEYS; i++) {
            tear_down(&source[i]);
        }
    }
}

Test(keys, retired_key_does_not_come_back)
{
    holder_t a;
    holder_t b;
    found(&a, 1, 0x11);
    set_up(&b, 2);
    link_both(&a, &b);
    za_keys_link_down(a.keys, 2);
    run(&a, START_MS + 60000);
    za_keys_rotate(a.keys);
    pump(&a);
    run(&a, START_MS + 60000 + ZA_KEYS_RETIRE_MS);
    run(&b, a.now_ms); // it was away all the time
    uint32_t told = a.told;
    link_both(&a, &b);
    cr_expect(a.told == told, "no news, not even for a moment");
    cr_expect(a.count == 1 && b.count == 1 && same_ring(&a, &b), "%u and %u", a.count, b.count);
    cr_expect(in_use(&b)->epoch == 2, "and uses at once what the others use");
    tear_down(&a);
    tear_down(&b);
}

/* ---- rotation ----------------------------------------------------------------------------------- */

Test(keys, rotate_once_a_day)
{
    holder_t h;
    found(&h, 1, 0x11);
    run(&h, START_MS + DAY_MS - 1);
    cr_expect(h.ring[0].epoch == 1, "not before");
    run(&h, START_MS + DAY_MS);
    cr_expect(h.ring[0].epoch == 2 && h.wants == 2, "then");
    give(&h, 0x77);
    run(&h, START_MS + 2 * DAY_MS);
    cr_expect(h.ring[0].epoch == 3, "and again");
    tear_down(&h);
}

Test(keys, lowest_uid_rotates_and_another_only_if_it_does_not)
{
    holder_t a;
    holder_t b;
    found(&a, 1, 0x11);
    set_up(&b, 2);
    fake_set(&b.fake, 1, ZA_KNOWN_UP);
    fake_set(&b.fake, 2, ZA_KNOWN_UP);
    link_both(&a, &b);
    give(&b, 0x99);
    run(&b, START_MS + DAY_MS + ZA_KEYS_STAGGER_MS - 1);
    cr_expect(b.ring[0].epoch == 1, "the other is first in line");
    run(&b, START_MS + DAY_MS + ZA_KEYS_STAGGER_MS);
    cr_expect(b.ring[0].epoch == 2, "but does not come");
    tear_down(&a);
    tear_down(&b);
}

Test(keys, next_in_line_rotates_when_the_first_has_gone)
{
    holder_t h;
    found(&h, 2, 0x11);
    fake_set(&h.fake, 1, ZA_KNOWN_UP);
    run(&h, START_MS + DAY_MS + 1000);
    cr_expect(h.ring[0].epoch == 1, "the other is first in line");
    fake_set(&h.fake, 1, ZA_KNOWN_DOWN);
    run(&h, START_MS + DAY_MS + 60000);
    cr_expect(h.ring[0].epoch == 2, "it has gone");
    tear_down(&h);
}

/* ---- bad frames --------------------------------------------------------------------------------- */

Test(keys, bad_frames_change_nothing)
{
    holder_t h;
    found(&h, 1, 0x11);
    za_keys_link_up(h.keys, 2);
    pump(&h);
    const uint8_t *good = h.frames[0].bytes;
    uint32_t size = h.frames[0].size;
    za_rng_t rng;
    za_rng_init(&rng, 5);
    uint32_t refused = 0;
    for (int i = 0; i < 2000; i++) {
        za_epoch_key_t before[ZA_EPOCH_KEYS_MAX] = { 0 };
        za_epoch_key_t after[ZA_EPOCH_KEYS_MAX] = { 0 };
        uint32_t sending;
        uint8_t bytes[512];
        memcpy(bytes, good, size);
        uint32_t cut = 1 + (uint32_t)za_rng_below(&rng, size - 1);
        bytes[cut] ^= (uint8_t)(1 + za_rng_below(&rng, 255));
        za_keys_ring(h.keys, before, &sending);
        if (za_keys_frame(h.keys, bytes + 1, cut, h.now_ms)) {
            continue; // cut or changed so that it is sound, as a member's may be
        }
        refused++;
        za_keys_ring(h.keys, after, &sending);
        cr_assert(memcmp(before, after, sizeof before) == 0, "frame %d", i);
    }
    cr_expect(refused > 1000, "%u", refused);
    static const uint8_t no_epoch[] = { 0x0a, 0x02, 0x12, 0x00 };
    static const uint8_t short_secret[] = { 0x0a, 0x05, 0x08, 0x01, 0x12, 0x01, 0xff };
    cr_expect(!za_keys_frame(h.keys, no_epoch, sizeof no_epoch, h.now_ms), "no epoch");
    cr_expect(!za_keys_frame(h.keys, short_secret, sizeof short_secret, h.now_ms), "one byte");
    cr_expect(za_keys_frame(h.keys, good + 1, size - 1, h.now_ms), "the sound one");
    tear_down(&h);
}

/* ---- whole clusters ----------------------------------------------------------------------------- */

enum { CLUSTER = 5, HEAL_MS = 30000 };

static void keyed_world(world_t *w)
{
    w->keyed = true;
    for (int i = 0; i < w->count; i++) {
        start_node(w, i);
    }
}

static void expect_agreement(world_t *w, const char *when)
{
    za_epoch_key_t first[ZA_EPOCH_KEYS_MAX];
    uint32_t first_sending = 0;
    uint32_t first_count = 0;
    int looked = 0;
    for (int i = 0; i < w->count; i++) {
        if (!w->nodes[i].alive) {
            continue;
        }
        za_epoch_key_t ring[ZA_EPOCH_KEYS_MAX];
        uint32_t sending = 0;
        uint32_t count = za_cluster_keys(w->nodes[i].cluster, ring, &sending);
        cr_assert(count > 0, "seed %" PRIu64 ", %s: node %d has no key", w->seed, when, i);
        if (looked++ == 0) {
            memcpy(first, ring, sizeof ring);
            first_sending = sending;
            first_count = count;
        }
        cr_assert(count == first_count && memcmp(ring, first, count * sizeof *ring) == 0,
                  "seed %" PRIu64 ", %s: node %d holds other keys", w->seed, when, i);
        cr_assert(sending == first_sending, "seed %" PRIu64 ", %s: node %d sends with another",
                  w->seed, when, i);
    }
}

static void rotate(world_t *w, int node)
{
    step_node(w, node, (za_cluster_event_t){ .type = ZA_CLUSTER_ROTATE_KEYS });
}

static void cut(world_t *w, int from, bool apart)
{
    for (int a = 0; a < from; a++) {
        for (int b = from; b < w->count; b++) {
            w->cut[a][b] = w->cut[b][a] = apart;
            if (apart) {
                drop_link(w, a, b, ZA_ETIMEOUT, ZA_ETIMEOUT);
            }
        }
    }
}

Test(keys, all_members_hold_the_same)
{
    za_seeds_t seeds = za_seeds(8);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        world_t *w = world_prepare(seed, CLUSTER);
        keyed_world(w);
        run_until(w, 10000);
        expect_agreement(w, "joined");
        rotate(w, (int)draw(w, CLUSTER));
        run_until(w, w->now_ms + 1000);
        expect_agreement(w, "rotated");
        crash_node(w, 4);
        run_until(w, w->now_ms + 10000);
        start_node(w, 4);
        run_until(w, w->now_ms + 10000);
        expect_agreement(w, "restarted");
        world_destroy(w);
    }
}

// Each side makes keys of its own, downs the other, and one is reborn when they meet.
Test(keys, halves_of_a_partition_agree_again)
{
    za_seeds_t seeds = za_seeds(12);
    for (uint64_t seed = seeds.first; seed < seeds.end; seed++) {
        world_t *w = world_prepare(seed, CLUSTER);
        keyed_world(w);
        run_until(w, 10000);
        cut(w, 2, true);
        run_until(w, w->now_ms + 10000);
        for (uint64_t i = draw(w, 4); i > 0; i--) {
            rotate(w, (int)draw(w, 2));
            run_until(w, w->now_ms + ZA_KEYS_SETTLE_MS + draw(w, 2000));
        }
        for (uint64_t i = draw(w, 4); i > 0; i--) {
            rotate(w, 2 + (int)draw(w, 3));
            run_until(w, w->now_ms + ZA_KEYS_SETTLE_MS + draw(w, 2000));
        }
        cut(w, 2, false);
        run_until(w, w->now_ms + HEAL_MS);
        expect_agreement(w, "healed");
        world_destroy(w);
    }
}

Test(keys, a_day_passes_and_one_key_is_made)
{
    world_t *w = world_prepare(7, 3);
    keyed_world(w);
    run_until(w, 10000);
    za_epoch_key_t ring[ZA_EPOCH_KEYS_MAX];
    uint32_t sending;
    za_cluster_keys(w->nodes[0].cluster, ring, &sending);
    uint64_t epoch = ring[0].epoch;
    w->now_ms += DAY_MS; // all were stopped
    run_until(w, w->now_ms + 20000);
    expect_agreement(w, "a day later");
    za_cluster_keys(w->nodes[0].cluster, ring, &sending);
    cr_expect(ring[0].epoch == epoch + 1, "%" PRIu64 " after %" PRIu64, ring[0].epoch, epoch);
    world_destroy(w);
}
