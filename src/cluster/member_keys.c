#include "cluster/member_keys.h"

#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/secret.h"
#include "pb_decode.h"
#include "pb_encode.h"
#include "zactor/keys.pb.h"

enum {
    FRAME_BYTES_MAX = 1 + za_KeysFrame_size,
    NONE = ZA_EPOCH_KEYS_MAX, // no place in the ring
    LOOK_MS = 60 * 1000,
};
#define NEVER UINT64_MAX

static_assert(sizeof(((za_EpochKey *)0)->secret.bytes) == ZA_EPOCH_SECRET_BYTES, "keys.options");
static_assert(sizeof(((za_KeysFrame *)0)->keys) / sizeof(za_EpochKey) == ZA_EPOCH_KEYS_MAX,
              "keys.options");

typedef struct held {
    za_epoch_key_t key;
    int64_t since_ms; // of the first node that had it, on our clock: perhaps before our time
} held_t;

typedef struct linked {
    uint64_t uid;
    bool due; // it has not been told of all we hold
} linked_t;

struct za_keys {
    const za_view_t *view;
    uint64_t now_ms;
    held_t ring[ZA_EPOCH_KEYS_MAX]; // the greatest first
    uint32_t count;
    za_epoch_key_t told; // the driver was told to send with it
    bool untold;         // ... and the ring has changed since
    uint8_t material[ZA_EPOCH_SECRET_BYTES];
    bool has_material;
    bool wants_material;
    bool wants_rotation;
    uint64_t keyless_ms; // since when we are up without a key; NEVER: we are not
    uint64_t look_ms;    // not before this do we ask again whether it is our turn
    linked_t links[ZA_PEERS_MAX];
    uint32_t link_count;
    za_KeysFrame frame; // scratch
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- the join ---------------------------------------------------------------------------------- */

static int compare(const za_epoch_key_t *a, const za_epoch_key_t *b)
{
    if (a->epoch != b->epoch) {
        return a->epoch < b->epoch ? -1 : 1;
    }
    return memcmp(a->secret, b->secret, sizeof a->secret);
}

static int64_t age_ms(const za_keys_t *keys, const held_t *held)
{
    return (int64_t)keys->now_ms - held->since_ms;
}

static void tell_links(za_keys_t *keys)
{
    for (uint32_t i = 0; i < keys->link_count; i++) {
        keys->links[i].due = true;
    }
}

static bool is_retired(const za_keys_t *keys, const za_epoch_key_t *key)
{
    return keys->count > 0 && compare(key, &keys->ring[0].key) < 0 &&
           age_ms(keys, &keys->ring[0]) >= ZA_KEYS_RETIRE_MS;
}

/** True if the set has changed. */
static bool merge(za_keys_t *keys, const held_t *news)
{
    uint32_t at = 0;
    while (at < keys->count && compare(&keys->ring[at].key, &news->key) > 0) {
        at++;
    }
    if (at < keys->count && compare(&keys->ring[at].key, &news->key) == 0) {
        held_t *same = &keys->ring[at];
        same->since_ms = news->since_ms < same->since_ms ? news->since_ms : same->since_ms;
        return false;
    }
    if (at == ZA_EPOCH_KEYS_MAX || is_retired(keys, &news->key)) {
        return false;
    }
    uint32_t kept = keys->count < ZA_EPOCH_KEYS_MAX ? keys->count : ZA_EPOCH_KEYS_MAX - 1;
    memmove(&keys->ring[at + 1], &keys->ring[at], (kept - at) * sizeof *keys->ring);
    keys->ring[at] = *news;
    keys->count = kept + 1;
    return true;
}

static void changed(za_keys_t *keys)
{
    keys->untold = true;
    tell_links(keys);
}

static void retire(za_keys_t *keys)
{
    if (keys->count > 1 && age_ms(keys, &keys->ring[0]) >= ZA_KEYS_RETIRE_MS) {
        za_secret_zero(&keys->ring[1], (keys->count - 1) * sizeof *keys->ring);
        keys->count = 1;
        keys->untold = true; // the others do the same by themselves
    }
}

/** Of those that have settled the greatest, else the one that has had most time to. */
static uint32_t choose_sending(const za_keys_t *keys)
{
    uint32_t oldest = 0;
    for (uint32_t i = 0; i < keys->count; i++) {
        if (age_ms(keys, &keys->ring[i]) >= ZA_KEYS_SETTLE_MS) {
            return i;
        }
        oldest = keys->ring[i].since_ms < keys->ring[oldest].since_ms ? i : oldest;
    }
    return keys->count > 0 ? oldest : NONE;
}

/* ---- create ------------------------------------------------------------------------------------ */

za_err_t za_keys_create(const za_view_t *view, uint64_t now_ms, za_keys_t **out)
{
    za_keys_t *keys = za_secret_alloc(sizeof *keys);
    if (keys == NULL) {
        return ZA_ENOMEM;
    }
    keys->view = view;
    keys->now_ms = now_ms;
    keys->keyless_ms = NEVER;
    *out = keys;
    return ZA_OK;
}

void za_keys_destroy(za_keys_t *keys)
{
    za_secret_free(keys, sizeof *keys, sizeof *keys);
}

/* ---- making keys ------------------------------------------------------------------------------- */

bool za_keys_material(za_keys_t *keys, const uint8_t *bytes, size_t size)
{
    if (size != sizeof keys->material) {
        return false;
    }
    memcpy(keys->material, bytes, size);
    keys->has_material = true;
    keys->wants_material = false;
    return true;
}

void za_keys_rotate(za_keys_t *keys)
{
    keys->wants_rotation = true;
}

static void make_key(za_keys_t *keys)
{
    uint64_t epoch = keys->count > 0 ? keys->ring[0].key.epoch + 1 : 1;
    keys->wants_rotation = false;
    if (epoch > ZA_KEYS_EPOCH_MAX) {
        return; // nobody would take it
    }
    held_t made = { .key = { .epoch = epoch }, .since_ms = (int64_t)keys->now_ms };
    memcpy(made.key.secret, keys->material, sizeof made.key.secret);
    if (merge(keys, &made)) {
        changed(keys);
    }
    za_secret_zero(&made, sizeof made);
    za_secret_zero(keys->material, sizeof keys->material);
    keys->has_material = false;
    keys->wants_material = true;
}

typedef struct lowest {
    uint64_t uid;
} lowest_t;

static void visit_up(uint64_t uid, void *visitor)
{
    lowest_t *lowest = visitor;
    lowest->uid = uid < lowest->uid ? uid : lowest->uid;
}

/** Everyone may make the next key, but one does it first, so that there are not as many as members. */
static bool is_first_in_line(const za_keys_t *keys)
{
    lowest_t lowest = { UINT64_MAX };
    keys->view->each_up(keys->view->context, visit_up, &lowest);
    return lowest.uid == za_view_self(keys->view);
}

static bool is_up(const za_keys_t *keys)
{
    return za_view_known(keys->view, za_view_self(keys->view)) == ZA_KNOWN_UP;
}

/** When the next key is due by itself, for who is first in line. */
static uint64_t rotation_ms(const za_keys_t *keys)
{
    if (keys->count == 0) {
        return keys->keyless_ms;
    }
    int64_t at_ms = keys->ring[0].since_ms + ZA_KEYS_ROTATE_MS;
    return at_ms < 0 ? 0 : (uint64_t)at_ms;
}

static uint64_t patience_ms(const za_keys_t *keys)
{
    return keys->count == 0 ? ZA_KEYS_FOUND_MS : ZA_KEYS_STAGGER_MS;
}

/** Whether the next key is due, and ours to make. */
static bool is_our_turn(za_keys_t *keys)
{
    if (keys->count == 0 && keys->keyless_ms == NEVER && is_up(keys)) {
        keys->keyless_ms = keys->now_ms;
    }
    uint64_t due_ms = rotation_ms(keys);
    if (due_ms == NEVER || keys->now_ms < due_ms || keys->now_ms < keys->look_ms || !is_up(keys)) {
        return false;
    }
    if (keys->now_ms - due_ms >= patience_ms(keys) || is_first_in_line(keys)) {
        return true;
    }
    keys->look_ms = earlier(keys->now_ms + LOOK_MS, due_ms + patience_ms(keys));
    return false;
}

/** Not before the last one has settled: of many in a row the one in use would be forgotten. */
static bool is_asked_for(const za_keys_t *keys)
{
    return keys->wants_rotation && keys->count > 0 &&
           age_ms(keys, &keys->ring[0]) >= ZA_KEYS_SETTLE_MS;
}

/* ---- links ------------------------------------------------------------------------------------- */

void za_keys_link_down(za_keys_t *keys, uint64_t uid)
{
    for (uint32_t i = 0; i < keys->link_count; i++) {
        if (keys->links[i].uid == uid) {
            keys->links[i] = keys->links[--keys->link_count];
            return;
        }
    }
}

void za_keys_link_up(za_keys_t *keys, uint64_t uid)
{
    za_keys_link_down(keys, uid); // what was told over another link may not have arrived
    ZA_ASSERT(keys->link_count < ZA_PEERS_MAX);
    keys->links[keys->link_count++] = (linked_t){ .uid = uid, .due = true };
}

static bool is_sound(const za_EpochKey *key)
{
    return key->epoch > 0 && key->epoch <= ZA_KEYS_EPOCH_MAX &&
           key->secret.size == ZA_EPOCH_SECRET_BYTES && key->age_ms <= INT64_MAX / 2;
}

bool za_keys_frame(za_keys_t *keys, const uint8_t *bytes, size_t size, uint64_t now_ms)
{
    keys->now_ms = now_ms;
    pb_istream_t stream = pb_istream_from_buffer(bytes, size);
    bool sound = pb_decode(&stream, za_KeysFrame_fields, &keys->frame);
    for (pb_size_t i = 0; sound && i < keys->frame.keys_count; i++) {
        sound = is_sound(&keys->frame.keys[i]);
    }
    bool news = false;
    for (pb_size_t i = 0; sound && i < keys->frame.keys_count; i++) {
        const za_EpochKey *key = &keys->frame.keys[i];
        held_t held = { .key = { .epoch = key->epoch },
                        .since_ms = (int64_t)now_ms - (int64_t)key->age_ms };
        memcpy(held.key.secret, key->secret.bytes, sizeof held.key.secret);
        news |= merge(keys, &held);
        za_secret_zero(&held, sizeof held);
    }
    za_secret_zero(&keys->frame, sizeof keys->frame);
    if (news) {
        changed(keys);
    }
    return sound;
}

/* ---- effects ----------------------------------------------------------------------------------- */

static void send_ring(za_keys_t *keys, uint64_t uid, za_effects_t *out)
{
    za_KeysFrame *frame = &keys->frame;
    frame->keys_count = (pb_size_t)keys->count;
    for (uint32_t i = 0; i < keys->count; i++) {
        const held_t *held = &keys->ring[i];
        int64_t age = age_ms(keys, held);
        frame->keys[i].epoch = held->key.epoch;
        frame->keys[i].age_ms = age > 0 ? (uint64_t)age : 0;
        frame->keys[i].secret.size = ZA_EPOCH_SECRET_BYTES;
        memcpy(frame->keys[i].secret.bytes, held->key.secret, ZA_EPOCH_SECRET_BYTES);
    }
    uint8_t *bytes = za_effects_alloc(out, FRAME_BYTES_MAX);
    bytes[0] = ZA_KEYS_TAG;
    pb_ostream_t stream = pb_ostream_from_buffer(bytes + 1, FRAME_BYTES_MAX - 1);
    bool encoded = pb_encode(&stream, za_KeysFrame_fields, frame);
    ZA_ASSERT(encoded);
    za_secret_zero(frame, sizeof *frame);
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SEND_FRAME);
    effect->uid = uid;
    effect->lane = ZA_LANE_CONTROL;
    effect->bytes = bytes;
    effect->size = (uint32_t)stream.bytes_written + 1;
}

static bool pump_links(za_keys_t *keys, za_effects_t *out)
{
    for (uint32_t i = 0; i < keys->link_count && keys->count > 0; i++) {
        if (!keys->links[i].due) {
            continue;
        }
        if (!za_effects_have_room(out, 1, FRAME_BYTES_MAX)) {
            return false;
        }
        send_ring(keys, keys->links[i].uid, out);
        keys->links[i].due = false;
    }
    return true;
}

static bool pump_driver(za_keys_t *keys, za_effects_t *out)
{
    uint32_t sending = choose_sending(keys);
    bool switched = sending != NONE && compare(&keys->ring[sending].key, &keys->told) != 0;
    if (!switched && !keys->untold) {
        return true;
    }
    uint32_t size = keys->count * (uint32_t)sizeof(za_epoch_key_t);
    if (!za_effects_have_room(out, 1, size)) {
        return false;
    }
    za_epoch_key_t *copy = za_effects_alloc(out, size);
    for (uint32_t i = 0; i < keys->count; i++) {
        copy[i] = keys->ring[i].key;
    }
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_KEYS);
    effect->bytes = (const uint8_t *)copy;
    effect->size = size;
    effect->id = sending;
    keys->told = keys->ring[sending].key;
    keys->untold = false;
    return true;
}

za_step_t za_keys_pump(za_keys_t *keys, uint64_t now_ms, za_effects_t *out)
{
    keys->now_ms = now_ms;
    if (keys->has_material && (is_asked_for(keys) || is_our_turn(keys))) {
        make_key(keys);
    }
    retire(keys);
    if (keys->wants_material) {
        if (!za_effects_have_room(out, 1, 0)) {
            return ZA_STEP_MORE;
        }
        za_effects_add(out, ZA_EFFECT_WANT_KEYS);
        keys->wants_material = false;
    }
    return pump_driver(keys, out) && pump_links(keys, out) ? ZA_STEP_DONE : ZA_STEP_MORE;
}

/** When `held` will be so old; NEVER if it is. */
static uint64_t when_aged(const za_keys_t *keys, const held_t *held, int64_t age)
{
    return age_ms(keys, held) < age ? (uint64_t)(held->since_ms + age) : NEVER;
}

uint64_t za_keys_deadline_ms(const za_keys_t *keys)
{
    uint64_t deadline = NEVER;
    if (keys->count > 1) {
        deadline = when_aged(keys, &keys->ring[0], ZA_KEYS_RETIRE_MS);
    }
    for (uint32_t i = 0; i < keys->count; i++) {
        deadline = earlier(deadline, when_aged(keys, &keys->ring[i], ZA_KEYS_SETTLE_MS));
    }
    uint64_t due_ms = rotation_ms(keys);
    if (keys->has_material && due_ms != NEVER) {
        uint64_t look_ms = due_ms > keys->look_ms ? due_ms : keys->look_ms;
        // Past: we are not up, and who comes up steps.
        deadline = look_ms > keys->now_ms ? earlier(deadline, look_ms) : deadline;
    }
    return deadline;
}

uint32_t za_keys_ring(const za_keys_t *keys, za_epoch_key_t out[static ZA_EPOCH_KEYS_MAX],
                      uint32_t *sending)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        out[i] = keys->ring[i].key;
    }
    *sending = choose_sending(keys);
    return keys->count;
}
