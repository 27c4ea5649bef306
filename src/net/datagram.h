/**
 * Datagrams: what keeps a datagram of the failure detector secret and true on its way over UDP.
 * Sans-IO: bytes in, bytes out.
 *
 *   version (1) | epoch (1) | sender's uid (8) | counter (8) | cipher text | tag (16)
 *
 * Keys     Of the cluster's epoch key each sender makes a key of its own: HKDF-SHA256(epoch key,
 *          salt = its uid, info = "swim1" and the cluster's name). A uid belongs to one start of a
 *          process and its counter only rises, so no nonce serves twice, without a word to disk.
 * Bound to The header, the cluster's name and the receiver's uid are authenticated with the text: a
 *          datagram that is sent on to another member is no datagram there.
 * Replay   A window of the last ZA_DATAGRAM_WINDOW counters of each sender, which only an authentic
 *          datagram moves (RFC 6479's bitmap).
 * Bounds   Nothing is kept of senders that membership does not know. Failed verifications are free
 *          up to ZA_DATAGRAM_FAILURES_PER_S; above that a host that sends such has few of its own.
 *          Keys are derived for strangers ZA_DATAGRAM_DERIVES_PER_S times.
 * Memory   Taken in create: 300 bytes for each sender heard, not part of core dumps, zeroed at the end.
 * Threads  One at a time.
 * Errors   Whatever is wrong with a datagram is a verdict and a count, and changes nothing else.
 *
 * After WireGuard (NDSS 2017): counter nonces with a window, and silence towards strangers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zactor/err.h>

#include "base/limits.h"
#include "wire/epoch_key.h"

enum {
    ZA_DATAGRAM_VERSION = 1,
    ZA_DATAGRAM_HEADER_BYTES = 18,
    ZA_DATAGRAM_OVERHEAD_BYTES = ZA_DATAGRAM_HEADER_BYTES + 16,
    ZA_DATAGRAM_SEALED_BYTES_MAX = ZA_DATAGRAM_BYTES_MAX + ZA_DATAGRAM_OVERHEAD_BYTES,
    ZA_DATAGRAM_WINDOW = 1024,         // a burst that overtakes by more is taken for a replay
    ZA_DATAGRAM_FAILURES_PER_S = 1000, // 0.1 % of a core
    ZA_DATAGRAM_SOURCES = 256,         // hosts with a count of their own; others share one
    ZA_DATAGRAM_SOURCE_PER_S = 100,
    ZA_DATAGRAM_DERIVES_PER_S = 1000, // 0.3 % of a core
};

/** Messages under one epoch key after which another is wanted. */
#define ZA_DATAGRAM_MESSAGES_MAX (UINT64_C(1) << 40)

typedef struct za_datagrams za_datagrams_t;

typedef struct za_datagrams_config {
    const char *cluster;
    uint64_t uid;
    uint32_t senders_max;
    uint64_t messages_max; // 0: ZA_DATAGRAM_MESSAGES_MAX
} za_datagrams_config_t;

/** What became of a datagram, in the order in which it is looked at. */
typedef enum za_datagram_verdict {
    ZA_DATAGRAM_OPENED,
    ZA_DATAGRAM_MALFORMED, // shorter than an empty one, or too long
    ZA_DATAGRAM_FOREIGN,   // another version: most garbage is here
    ZA_DATAGRAM_EPOCH,     // of an epoch whose key we do not hold: too old, or too new
    ZA_DATAGRAM_REPLAYED,  // seen before, or older than the window
    ZA_DATAGRAM_LIMITED,   // not looked at: too many of its kind fail
    ZA_DATAGRAM_FORGED,    // its tag does not fit: forged, damaged, another cluster's or receiver's
    ZA_DATAGRAM_MISDIRECTED, // authentic, and meant for whom we were before a rebirth
    ZA_DATAGRAM_STRANGER,    // authentic, of a uid that membership does not know
    ZA_DATAGRAM_VERDICTS
} za_datagram_verdict_t;

/** As in metrics: "datagrams_forged". */
const char *za_datagram_verdict_name(za_datagram_verdict_t verdict);

/** ZA_EINVAL for a name that is none, ZA_ENOMEM. */
za_err_t za_datagrams_create(const za_datagrams_config_t *config, za_datagrams_t **out);
void za_datagrams_destroy(za_datagrams_t *datagrams);

/** We were reborn: from now on datagrams are sent and received under `uid`. ZA_ENOMEM. */
za_err_t za_datagrams_set_uid(za_datagrams_t *datagrams, uint64_t uid);
/**
 * The keys that are accepted, up to ZA_EPOCH_KEYS_MAX, and which of them is sent with. They are
 * copied. ZA_EINVAL, ZA_ENOMEM; the former keys then stay.
 */
za_err_t za_datagrams_set_keys(za_datagrams_t *datagrams, const za_epoch_key_t *keys,
                               uint32_t count, uint32_t sending);
/** True once there are keys. */
bool za_datagrams_ready(const za_datagrams_t *datagrams);
/** True when as many messages were sealed with the present key as may be. */
bool za_datagrams_spent(const za_datagrams_t *datagrams);

/** Membership knows `uid`: its datagrams are opened from now on. ZA_ENOBUFS: no room for it. */
za_err_t za_datagrams_add(za_datagrams_t *datagrams, uint64_t uid);
/** `uid` has left or is down. */
void za_datagrams_remove(za_datagrams_t *datagrams, uint64_t uid);

/** Writes up to ZA_DATAGRAM_SEALED_BYTES_MAX. ZA_ENOENT without keys, ZA_ETOOBIG, ZA_ECRYPTO: spent. */
za_err_t za_datagrams_seal(za_datagrams_t *datagrams, uint64_t receiver, const uint8_t *plain,
                           size_t size, uint8_t *out, size_t *out_size);

/**
 * Opens what came from `source`, a number that stands for a host. `out` has room for
 * ZA_DATAGRAM_BYTES_MAX and is worth reading only with ZA_DATAGRAM_OPENED; the uid alone, also where
 * it is claimed and not proved, is answered from ZA_DATAGRAM_EPOCH on, for the log.
 */
za_datagram_verdict_t za_datagrams_open(za_datagrams_t *datagrams, uint64_t now_ms, uint64_t source,
                                        const uint8_t *bytes, size_t size, uint8_t *out,
                                        size_t *out_size, uint64_t *uid);

typedef struct za_datagram_counters {
    uint64_t sealed;
    uint64_t verdicts[ZA_DATAGRAM_VERDICTS];
} za_datagram_counters_t;

void za_datagrams_counters(const za_datagrams_t *datagrams, za_datagram_counters_t *out);
