#include "net/datagram.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/secret.h"
#include "net/seal_mbedtls.h"

#define INFO_LABEL "swim1"

enum {
    INFO_BYTES_MAX = sizeof INFO_LABEL - 1 + ZA_CLUSTER_NAME_BYTES_MAX,
    EXTRA_BYTES = ZA_DATAGRAM_HEADER_BYTES + 8 + 4, // header, cluster, receiver
    // One word more than the window, so that the oldest word in use is never half forgotten.
    WINDOW_WORDS = ZA_DATAGRAM_WINDOW / 64 + 1,
    MS_PER_S = 1000,
};

static_assert((int)ZA_SEAL_KEY_BYTES == (int)ZA_EPOCH_SECRET_BYTES, "of one strength");
static_assert((int)ZA_DATAGRAM_OVERHEAD_BYTES ==
                  (int)ZA_DATAGRAM_HEADER_BYTES + (int)ZA_SEAL_TAG_BYTES,
              "header and tag");

typedef struct sender {
    uint64_t uid;       // 0: free
    uint32_t next_free; // as `free`, of the next
    uint32_t derived;   // bit i: keys[i] is that of ring[i]
    uint64_t highest;   // counter of an authentic datagram; 0: none yet
    uint64_t seen[WINDOW_WORDS];
    uint8_t keys[ZA_EPOCH_KEYS_MAX][ZA_SEAL_KEY_BYTES];
} sender_t;

/** A token bucket: up to a second's worth in advance. */
typedef struct bucket {
    uint64_t at_ms;
    uint32_t spent; // thousandths of a token; 0: full
} bucket_t;

struct za_datagrams {
    size_t bytes; // of all of this
    uint64_t uid;
    uint64_t former; // our uid before the last rebirth; 0: none
    uint64_t cluster_hash;
    uint8_t info[INFO_BYTES_MAX];
    size_t info_size;

    za_epoch_key_t ring[ZA_EPOCH_KEYS_MAX];
    uint32_t ring_count;
    uint32_t sending; // in ring
    uint8_t own_key[ZA_SEAL_KEY_BYTES];
    uint64_t counter; // of the last datagram of this uid, whatever its epoch
    uint64_t messages, messages_max;

    bucket_t failures, derives;
    bucket_t sources[ZA_DATAGRAM_SOURCES];
    za_datagram_counters_t counters;

    uint32_t senders_max, used;
    uint32_t free; // slot + 1 of the first free one below `used`; 0: none
    uint32_t index_mask;
    uint32_t *index; // slot of a sender + 1 by its uid; 0: empty
    sender_t senders[];
};

/* ---- numbers ----------------------------------------------------------------------------------- */

static void put_u64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_u64(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static void fill_nonce(uint8_t nonce[ZA_SEAL_NONCE_BYTES], uint64_t counter)
{
    memset(nonce, 0, ZA_SEAL_NONCE_BYTES - 8);
    put_u64(nonce + ZA_SEAL_NONCE_BYTES - 8, counter);
}

/** What the tag covers beside the text. */
static za_seal_data_t fill_extra(const za_datagrams_t *d, uint8_t extra[EXTRA_BYTES],
                                 const uint8_t header[ZA_DATAGRAM_HEADER_BYTES], uint64_t receiver)
{
    memcpy(extra, header, ZA_DATAGRAM_HEADER_BYTES);
    put_u64(extra + ZA_DATAGRAM_HEADER_BYTES, d->cluster_hash);
    for (int i = 0; i < 4; i++) {
        extra[ZA_DATAGRAM_HEADER_BYTES + 8 + i] = (uint8_t)(receiver >> (8 * i));
    }
    return (za_seal_data_t){ extra, EXTRA_BYTES };
}

static za_err_t derive(const za_datagrams_t *d, const za_epoch_key_t *epoch, uint64_t uid,
                       uint8_t out[ZA_SEAL_KEY_BYTES])
{
    uint8_t salt[8];
    put_u64(salt, uid);
    return za_seal_derive(epoch->secret, (za_seal_data_t){ salt, sizeof salt },
                          (za_seal_data_t){ d->info, d->info_size }, out);
}

/* ---- rates ------------------------------------------------------------------------------------- */

static void refill(bucket_t *bucket, uint64_t now_ms, uint32_t per_s)
{
    // A thousandth of a token per ms and token per second.
    uint64_t refilled = (now_ms - bucket->at_ms) * per_s;
    bucket->spent = refilled >= bucket->spent ? 0 : bucket->spent - (uint32_t)refilled;
    bucket->at_ms = now_ms;
}

static bool has_token(const bucket_t *bucket, uint32_t per_s)
{
    return bucket->spent + MS_PER_S <= per_s * MS_PER_S;
}

static void take_token(bucket_t *bucket, uint32_t per_s)
{
    if (has_token(bucket, per_s)) {
        bucket->spent += MS_PER_S;
    }
}

static bucket_t *bucket_of(za_datagrams_t *d, uint64_t source)
{
    return &d->sources[za_mix64(source) % ZA_DATAGRAM_SOURCES];
}

/** Whether a verification that may fail is worth the while. */
static bool may_verify(za_datagrams_t *d, uint64_t now_ms, uint64_t source)
{
    bucket_t *own = bucket_of(d, source);
    refill(&d->failures, now_ms, ZA_DATAGRAM_FAILURES_PER_S);
    refill(own, now_ms, ZA_DATAGRAM_SOURCE_PER_S);
    return has_token(&d->failures, ZA_DATAGRAM_FAILURES_PER_S) ||
           has_token(own, ZA_DATAGRAM_SOURCE_PER_S);
}

static void note_failure(za_datagrams_t *d, uint64_t source)
{
    take_token(&d->failures, ZA_DATAGRAM_FAILURES_PER_S);
    take_token(bucket_of(d, source), ZA_DATAGRAM_SOURCE_PER_S);
}

static bool may_derive(za_datagrams_t *d, uint64_t now_ms)
{
    refill(&d->derives, now_ms, ZA_DATAGRAM_DERIVES_PER_S);
    bool may = has_token(&d->derives, ZA_DATAGRAM_DERIVES_PER_S);
    take_token(&d->derives, ZA_DATAGRAM_DERIVES_PER_S);
    return may;
}

/* ---- senders ----------------------------------------------------------------------------------- */

/** The place of `uid` in the index, or the empty one where it would be. */
static uint32_t place_of(const za_datagrams_t *d, uint64_t uid)
{
    uint32_t at = (uint32_t)za_mix64(uid) & d->index_mask;
    while (d->index[at] != 0 && d->senders[d->index[at] - 1].uid != uid) {
        at = (at + 1) & d->index_mask;
    }
    return at;
}

static sender_t *find_sender(za_datagrams_t *d, uint64_t uid)
{
    uint32_t slot = d->index[place_of(d, uid)];
    return slot == 0 ? NULL : &d->senders[slot - 1];
}

za_err_t za_datagrams_add(za_datagrams_t *datagrams, uint64_t uid)
{
    za_datagrams_t *d = datagrams;
    ZA_ASSERT(uid != 0);
    uint32_t at = place_of(d, uid);
    if (d->index[at] != 0) {
        return ZA_OK;
    }
    uint32_t slot = d->free - 1;
    if (d->free != 0) {
        d->free = d->senders[slot].next_free;
    } else if (d->used < d->senders_max) {
        slot = d->used++;
    } else {
        return ZA_ENOBUFS;
    }
    d->senders[slot].uid = uid;
    d->index[at] = slot + 1;
    return ZA_OK;
}

/** Closes the gap: what was put behind `at` because it was taken moves up (Knuth 6.4, algorithm R). */
static void close_gap(za_datagrams_t *d, uint32_t at)
{
    uint32_t gap = at;
    for (uint32_t i = (at + 1) & d->index_mask; d->index[i] != 0; i = (i + 1) & d->index_mask) {
        uint32_t home = (uint32_t)za_mix64(d->senders[d->index[i] - 1].uid) & d->index_mask;
        if (((i - home) & d->index_mask) >= ((i - gap) & d->index_mask)) {
            d->index[gap] = d->index[i];
            gap = i;
        }
    }
    d->index[gap] = 0;
}

void za_datagrams_remove(za_datagrams_t *datagrams, uint64_t uid)
{
    za_datagrams_t *d = datagrams;
    uint32_t at = place_of(d, uid);
    if (d->index[at] == 0) {
        return;
    }
    uint32_t slot = d->index[at] - 1;
    close_gap(d, at);
    za_secret_zero(&d->senders[slot], sizeof d->senders[slot]);
    d->senders[slot].next_free = d->free;
    d->free = slot + 1;
}

/* ---- the window -------------------------------------------------------------------------------- */

static bool is_fresh(const sender_t *sender, uint64_t counter)
{
    if (counter > sender->highest) {
        return true;
    }
    if (sender->highest - counter >= ZA_DATAGRAM_WINDOW) {
        return false;
    }
    return (sender->seen[counter / 64 % WINDOW_WORDS] >> (counter % 64) & 1) == 0;
}

static void note_seen(sender_t *sender, uint64_t counter)
{
    if (counter > sender->highest) {
        uint64_t words = counter / 64 - sender->highest / 64;
        for (uint64_t i = 1; i <= words && i <= WINDOW_WORDS; i++) {
            sender->seen[(sender->highest / 64 + i) % WINDOW_WORDS] = 0;
        }
        sender->highest = counter;
    }
    sender->seen[counter / 64 % WINDOW_WORDS] |= UINT64_C(1) << (counter % 64);
}

/* ---- create ------------------------------------------------------------------------------------ */

static uint32_t power_of_two(uint32_t at_least)
{
    uint32_t power = 1;
    while (power < at_least) {
        power *= 2;
    }
    return power;
}

za_err_t za_datagrams_create(const za_datagrams_config_t *config, za_datagrams_t **out)
{
    size_t name_size = strlen(config->cluster);
    if (name_size == 0 || name_size > ZA_CLUSTER_NAME_BYTES_MAX || config->uid == 0 ||
        config->senders_max == 0) {
        return ZA_EINVAL;
    }
    uint32_t index_size = power_of_two(2 * config->senders_max); // half empty: probes stay short
    size_t bytes = sizeof(za_datagrams_t) + config->senders_max * sizeof(sender_t);
    za_datagrams_t *d = za_secret_alloc(bytes);
    if (d == NULL) {
        return ZA_ENOMEM;
    }
    d->index = calloc(index_size, sizeof *d->index);
    if (d->index == NULL) {
        za_secret_free(d, bytes, 0);
        return ZA_ENOMEM;
    }
    d->bytes = bytes;
    d->uid = config->uid;
    d->senders_max = config->senders_max;
    d->index_mask = index_size - 1;
    d->messages_max = config->messages_max != 0 ? config->messages_max : ZA_DATAGRAM_MESSAGES_MAX;
    d->cluster_hash = za_fnv64(ZA_FNV64_INIT, config->cluster, name_size);
    memcpy(d->info, INFO_LABEL, sizeof INFO_LABEL - 1);
    memcpy(d->info + sizeof INFO_LABEL - 1, config->cluster, name_size);
    d->info_size = sizeof INFO_LABEL - 1 + name_size;
    *out = d;
    return ZA_OK;
}

void za_datagrams_destroy(za_datagrams_t *datagrams)
{
    if (datagrams == NULL) {
        return;
    }
    free(datagrams->index);
    za_secret_free(datagrams, datagrams->bytes,
                   sizeof *datagrams + datagrams->used * sizeof(sender_t));
}

/* ---- keys -------------------------------------------------------------------------------------- */

za_err_t za_datagrams_set_uid(za_datagrams_t *datagrams, uint64_t uid)
{
    za_datagrams_t *d = datagrams;
    if (d->ring_count > 0) {
        za_err_t err = derive(d, &d->ring[d->sending], uid, d->own_key);
        if (err != ZA_OK) {
            return err;
        }
    }
    d->former = d->uid;
    d->uid = uid;
    d->counter = 0; // with a key that has never been used
    d->messages = 0;
    return ZA_OK;
}

static bool same_key(const za_epoch_key_t *a, const za_epoch_key_t *b)
{
    return a->epoch == b->epoch && memcmp(a->secret, b->secret, sizeof a->secret) == 0;
}

za_err_t za_datagrams_set_keys(za_datagrams_t *datagrams, const za_epoch_key_t *keys,
                               uint32_t count, uint32_t sending)
{
    za_datagrams_t *d = datagrams;
    if (count == 0 || count > ZA_EPOCH_KEYS_MAX || sending >= count) {
        return ZA_EINVAL;
    }
    uint8_t own_key[ZA_SEAL_KEY_BYTES];
    za_err_t err = derive(d, &keys[sending], d->uid, own_key);
    if (err != ZA_OK) {
        return err;
    }
    if (d->ring_count == 0 || !same_key(&d->ring[d->sending], &keys[sending])) {
        d->messages = 0;
    }
    memcpy(d->own_key, own_key, sizeof own_key);
    za_secret_zero(own_key, sizeof own_key);
    za_secret_zero(d->ring, sizeof d->ring);
    for (uint32_t i = 0; i < count; i++) {
        d->ring[i] = keys[i];
    }
    d->ring_count = count;
    d->sending = sending;
    for (uint32_t i = 0; i < d->used; i++) { // derived again when they are needed
        d->senders[i].derived = 0;
        za_secret_zero(d->senders[i].keys, sizeof d->senders[i].keys);
    }
    return ZA_OK;
}

bool za_datagrams_ready(const za_datagrams_t *datagrams)
{
    return datagrams->ring_count > 0;
}

bool za_datagrams_spent(const za_datagrams_t *datagrams)
{
    return datagrams->messages >= datagrams->messages_max;
}

/* ---- seal and open ----------------------------------------------------------------------------- */

za_err_t za_datagrams_seal(za_datagrams_t *datagrams, uint64_t receiver, const uint8_t *plain,
                           size_t size, uint8_t *out, size_t *out_size)
{
    za_datagrams_t *d = datagrams;
    if (d->ring_count == 0) {
        return ZA_ENOENT;
    }
    if (size > ZA_DATAGRAM_BYTES_MAX) {
        return ZA_ETOOBIG;
    }
    if (d->counter == UINT64_MAX) {
        return ZA_ECRYPTO; // no nonce is left: 500 years at a thousand million a second
    }
    d->counter++;
    d->messages++;
    d->counters.sealed++;
    out[0] = ZA_DATAGRAM_VERSION;
    out[1] = (uint8_t)d->ring[d->sending].epoch;
    put_u64(out + 2, d->uid);
    put_u64(out + 10, d->counter);
    uint8_t nonce[ZA_SEAL_NONCE_BYTES];
    uint8_t extra[EXTRA_BYTES];
    fill_nonce(nonce, d->counter);
    za_seal_close(d->own_key, nonce, fill_extra(d, extra, out, receiver), plain, size,
                  out + ZA_DATAGRAM_HEADER_BYTES);
    *out_size = size + ZA_DATAGRAM_OVERHEAD_BYTES;
    return ZA_OK;
}

typedef struct arrived {
    const uint8_t *bytes;
    size_t size; // of the text
    uint64_t uid, counter;
    uint8_t *out;
} arrived_t;

static bool opens(const za_datagrams_t *d, const arrived_t *arrived,
                  const uint8_t key[ZA_SEAL_KEY_BYTES], uint64_t receiver)
{
    uint8_t nonce[ZA_SEAL_NONCE_BYTES];
    uint8_t extra[EXTRA_BYTES];
    fill_nonce(nonce, arrived->counter);
    return za_seal_open(key, nonce, fill_extra(d, extra, arrived->bytes, receiver),
                        arrived->bytes + ZA_DATAGRAM_HEADER_BYTES, arrived->size,
                        arrived->out) == ZA_OK;
}

/** With the key of `ring[i]`; a stranger's key is derived and forgotten. */
static za_datagram_verdict_t try_key(za_datagrams_t *d, sender_t *sender, const arrived_t *arrived,
                                     uint32_t i)
{
    uint8_t once[ZA_SEAL_KEY_BYTES];
    uint8_t *key = sender != NULL ? sender->keys[i] : once;
    bool have = sender != NULL && (sender->derived >> i & 1) != 0;
    if (!have && derive(d, &d->ring[i], arrived->uid, key) != ZA_OK) {
        return ZA_DATAGRAM_LIMITED; // no memory
    }
    if (sender != NULL) {
        sender->derived |= UINT32_C(1) << i;
    }
    za_datagram_verdict_t verdict = opens(d, arrived, key, d->uid) ? ZA_DATAGRAM_OPENED
                                    : d->former != 0 && opens(d, arrived, key, d->former)
                                        ? ZA_DATAGRAM_MISDIRECTED
                                        : ZA_DATAGRAM_FORGED;
    za_secret_zero(once, sizeof once);
    return verdict;
}

/** With each key whose epoch looks the same: two numbers in a byte, or two keys of a partition. */
static za_datagram_verdict_t verify(za_datagrams_t *d, sender_t *sender, const arrived_t *arrived)
{
    za_datagram_verdict_t verdict = ZA_DATAGRAM_FORGED;
    for (uint32_t i = 0; i < d->ring_count && verdict == ZA_DATAGRAM_FORGED; i++) {
        if ((uint8_t)d->ring[i].epoch == arrived->bytes[1]) {
            verdict = try_key(d, sender, arrived, i);
        }
    }
    return verdict;
}

static bool knows_epoch(const za_datagrams_t *d, uint8_t epoch)
{
    for (uint32_t i = 0; i < d->ring_count; i++) {
        if ((uint8_t)d->ring[i].epoch == epoch) {
            return true;
        }
    }
    return false;
}

static za_datagram_verdict_t judge(za_datagrams_t *d, uint64_t now_ms, uint64_t source,
                                   const arrived_t *arrived)
{
    if (!knows_epoch(d, arrived->bytes[1])) {
        return ZA_DATAGRAM_EPOCH;
    }
    if (arrived->uid == 0 || arrived->uid == d->uid) {
        return ZA_DATAGRAM_FORGED; // nobody, or our own that was sent back
    }
    sender_t *sender = find_sender(d, arrived->uid);
    if (sender != NULL && !is_fresh(sender, arrived->counter)) {
        return ZA_DATAGRAM_REPLAYED;
    }
    if (!may_verify(d, now_ms, source) || (sender == NULL && !may_derive(d, now_ms))) {
        return ZA_DATAGRAM_LIMITED;
    }
    za_datagram_verdict_t verdict = verify(d, sender, arrived);
    if (verdict == ZA_DATAGRAM_FORGED || verdict == ZA_DATAGRAM_MISDIRECTED) {
        note_failure(d, source);
    }
    if (verdict == ZA_DATAGRAM_OPENED && sender == NULL) {
        return ZA_DATAGRAM_STRANGER;
    }
    if (verdict == ZA_DATAGRAM_OPENED) {
        note_seen(sender, arrived->counter);
    }
    return verdict;
}

za_datagram_verdict_t za_datagrams_open(za_datagrams_t *datagrams, uint64_t now_ms, uint64_t source,
                                        const uint8_t *bytes, size_t size, uint8_t *out,
                                        size_t *out_size, uint64_t *uid)
{
    za_datagrams_t *d = datagrams;
    za_datagram_verdict_t verdict = ZA_DATAGRAM_MALFORMED;
    *out_size = 0;
    *uid = 0;
    if (size > 0 && bytes[0] != ZA_DATAGRAM_VERSION) {
        verdict = ZA_DATAGRAM_FOREIGN;
    } else if (size >= ZA_DATAGRAM_OVERHEAD_BYTES && size <= ZA_DATAGRAM_SEALED_BYTES_MAX) {
        arrived_t arrived = { .bytes = bytes,
                              .size = size - ZA_DATAGRAM_OVERHEAD_BYTES,
                              .uid = get_u64(bytes + 2),
                              .counter = get_u64(bytes + 10),
                              .out = out };
        verdict = judge(d, now_ms, source, &arrived);
        *uid = arrived.uid;
        *out_size = arrived.size;
    }
    d->counters.verdicts[verdict]++;
    return verdict;
}

/* ---- counters ---------------------------------------------------------------------------------- */

const char *za_datagram_verdict_name(za_datagram_verdict_t verdict)
{
    static const char *const names[ZA_DATAGRAM_VERDICTS] = {
        [ZA_DATAGRAM_OPENED] = "datagrams_opened",
        [ZA_DATAGRAM_MALFORMED] = "datagrams_malformed",
        [ZA_DATAGRAM_FOREIGN] = "datagrams_foreign",
        [ZA_DATAGRAM_EPOCH] = "datagrams_epoch",
        [ZA_DATAGRAM_REPLAYED] = "datagrams_replayed",
        [ZA_DATAGRAM_LIMITED] = "datagrams_limited",
        [ZA_DATAGRAM_FORGED] = "datagrams_forged",
        [ZA_DATAGRAM_MISDIRECTED] = "datagrams_misdirected",
        [ZA_DATAGRAM_STRANGER] = "datagrams_strangers",
    };
    ZA_ASSERT((unsigned)verdict < ZA_DATAGRAM_VERDICTS);
    return names[verdict];
}

void za_datagrams_counters(const za_datagrams_t *datagrams, za_datagram_counters_t *out)
{
    *out = datagrams->counters;
}
