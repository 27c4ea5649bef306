/**
 * Keys: the epoch keys of the cluster's datagrams, and how all members come to have the same.
 *
 * They travel inside links only. Who founds a cluster makes the first; who gets a link gets them; who
 * learns of a new one tells all its links. Two sides of a partition may both make one of the same
 * number, so the set is a join: the ZA_EPOCH_KEYS_MAX greatest of all that were heard, ordered by
 * (epoch, secret), however often and in whatever order they come.
 *
 * Use      All in the set are accepted. The greatest is sent with once it is ZA_KEYS_SETTLE_MS old,
 *          by which time every member that can be reached has it. Keys carry their age, so that who
 *          joins, or comes back from a partition, uses at once what the others use.
 * End      When the greatest is ZA_KEYS_RETIRE_MS old, those below it are forgotten.
 * Rotation Every ZA_KEYS_ROTATE_MS by the member with the lowest uid (another follows if it does not
 *          come), or on demand. Key material comes from the driver: the cluster has no secure chance.
 * Memory   Taken in create; not part of core dumps, zeroed at the end. Effects hold copies, which the
 *          driver zeroes.
 * Threads  One at a time.
 *
 * After Consul's and Serf's keyrings, which need an operator for each of these steps.
 */
#pragma once

#include "cluster/effects.h"
#include "cluster/view.h"
#include "wire/epoch_key.h"

enum {
    ZA_KEYS_TAG = 3,
    ZA_KEYS_SETTLE_MS = 5000,
    ZA_KEYS_RETIRE_MS = 10 * 60 * 1000,
    ZA_KEYS_ROTATE_MS = 24 * 60 * 60 * 1000,
    ZA_KEYS_STAGGER_MS = 10 * 60 * 1000, // more for those who are not first in line
    ZA_KEYS_FOUND_MS = 2000,             // a member without a key waits so long for another's
};

/** Above this no key is accepted, so that a number is always left for the next. */
#define ZA_KEYS_EPOCH_MAX (UINT64_C(1) << 62)

typedef struct za_keys za_keys_t;

/** `view` must outlive the keys. ZA_ENOMEM. */
za_err_t za_keys_create(const za_view_t *view, uint64_t now_ms, za_keys_t **out);
void za_keys_destroy(za_keys_t *keys);

/** Secure random bytes for the next key that we make; false: not ZA_EPOCH_SECRET_BYTES of them. */
bool za_keys_material(za_keys_t *keys, const uint8_t *bytes, size_t size);
/** Make another key as soon as there is material for it. */
void za_keys_rotate(za_keys_t *keys);
void za_keys_link_up(za_keys_t *keys, uint64_t uid);
void za_keys_link_down(za_keys_t *keys, uint64_t uid);
/** A frame of `uid`, without the tag. False: no frame of ours, count it. */
bool za_keys_frame(za_keys_t *keys, const uint8_t *bytes, size_t size, uint64_t now_ms);
/** Makes, retires and tells. */
za_step_t za_keys_pump(za_keys_t *keys, uint64_t now_ms, za_effects_t *out);
uint64_t za_keys_deadline_ms(const za_keys_t *keys);

/** The keys held, the greatest first, and which of them is sent with; for oracles. */
uint32_t za_keys_ring(const za_keys_t *keys, za_epoch_key_t out[static ZA_EPOCH_KEYS_MAX],
                      uint32_t *sending);
