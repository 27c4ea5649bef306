/**
 * Relay: the system lane between two members that cannot link, over a neighbour of both.
 *
 * When the path between two members is broken and others reach both, nobody is at fault and nobody is
 * declared down. What must arrive between them, the frames of the system lane, goes in frames to a
 * neighbour that both are linked to, who hands them on; once, never further. A neighbour without a link
 * to the other says so, and another is asked. Names and members need no relay: they spread by
 * themselves.
 *
 * Order    That of the system lane, which resends what a neighbour lost and passes over what came
 *          twice. Frames of a member that is linked directly are not taken from others: what it sent
 *          over its own link may not have been read yet.
 * Trust    A neighbour could speak in another's name, as any member can in gossip.
 * Bounds   ZA_PEERS_MAX members; others wait for a link. A neighbour queues nothing of its own.
 * Memory   Taken in create. Errors: frames of a peer are checked, never asserted.
 *
 * After SWIM's indirect probe (Das, Gupta and Motivala, DSN 2002), which asks the same of a neighbour.
 */
#pragma once

#include "cluster/effects.h"
#include "cluster/syslane.h"
#include "cluster/view.h"

enum {
    ZA_RELAY_TAG = 4,
    ZA_RELAY_RETRY_MS = 1000, // after several neighbours in a row that had no link either
};

typedef struct za_relay za_relay_t;

/** `view` and `lane` must outlive the relay. ZA_ENOMEM. */
za_err_t za_relay_create(const za_view_t *view, za_syslane_t *lane, uint64_t seed,
                         za_relay_t **out);
void za_relay_destroy(za_relay_t *relay);

/** `uid` is alive and has no link with us: from the next pump on a neighbour serves as one. */
void za_relay_begin(za_relay_t *relay, uint64_t uid, uint64_t now_ms);
/** It has a link, is unreachable, or ended. */
void za_relay_end(za_relay_t *relay, uint64_t uid);
/** The link to `uid` ended, which may have been such a neighbour. */
void za_relay_link_down(za_relay_t *relay, uint64_t uid, uint64_t now_ms);
/** Our own uid changed. */
void za_relay_reset(za_relay_t *relay);

typedef enum za_relay_in {
    ZA_RELAY_DONE,  // handed on, or nothing to do
    ZA_RELAY_FRAME, // a system frame for us
    ZA_RELAY_BAD,   // no frame of ours: count it
} za_relay_in_t;

typedef struct za_relayed {
    uint64_t from;
    const uint8_t *bytes; // lie in the frame
    uint32_t size;
} za_relayed_t;

/** Takes a frame, without its tag, that came over the link to `uid`. At most one effect. */
za_relay_in_t za_relay_frame(za_relay_t *relay, uint64_t uid, const uint8_t *bytes, uint32_t size,
                             uint64_t now_ms, za_relayed_t *frame, za_effects_t *out);

/** Chooses neighbours. */
za_step_t za_relay_pump(za_relay_t *relay, uint64_t now_ms, za_effects_t *out);
uint64_t za_relay_deadline_ms(const za_relay_t *relay);

typedef struct za_relay_stats {
    uint64_t handed_on; // frames, for others
    uint64_t refused;   // neighbours that had no link to the other
} za_relay_stats_t;

void za_relay_stats(const za_relay_t *relay, za_relay_stats_t *out);

enum { ZA_RELAY_HEAD_MAX = 1 + 9 + 9 + 4 };

/** Writes the head of a frame from `from` to `to` with `size` bytes behind it; returns the end. */
uint8_t *za_relay_head_put(uint8_t *out, uint64_t from, uint64_t to, uint32_t size);
