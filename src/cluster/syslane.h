/**
 * System lane: frames to each peer uid, delivered exactly once and in order as long as neither uid
 * is terminal, over any number of links.
 *
 * Frames carry a sequence and a cumulative ack; what is not acked is sent again on the next link. A
 * link loses nothing inside, so there is one slow timer only, against a link that was lost unseen.
 *
 * A node may forget a peer that it did not know for long (za_syslane_forget) while that one remembers it.
 * Frames therefore name what both remember, as TCP's initial sequence numbers tell one connection from
 * the next between the same ends (RFC 9293, 3.4): the peer learns of it with the next link.
 *
 * Order    As sent. A frame waits at the receiver for the user frames before it (after_user).
 * Bounds   ZA_SYSLANE_FRAMES_MAX and _BYTES_MAX unacked per peer. Beyond that, and without a link,
 *          send says no, and the caller keeps its state until the next pump: the tables of watch and
 *          children are the queue, so nothing is lost and no peer is ever given up for a full window.
 * Memory   Taken in create. Errors: frames of a peer are checked, never asserted.
 */
#pragma once

#include "cluster/effects.h"
#include "cluster/table.h"

#include "zactor/syslane.pb.h"

enum {
    ZA_SYSLANE_FRAMES_MAX = 4096,
    ZA_SYSLANE_BYTES_MAX = 1024 * 1024,
    ZA_SYSLANE_ACK_MS = 50,      // an ack waits this long for a frame to ride on
    ZA_SYSLANE_RESEND_MS = 3000, // unacked for so long on a living link: sent again
};

typedef struct za_syslane za_syslane_t;

za_err_t za_syslane_create(za_syslane_t **out);
void za_syslane_destroy(za_syslane_t *lane);

/** The frame to fill before send; its seq, ack and after_user are the lane's. */
za_SysFrame *za_syslane_draft(za_syslane_t *lane);
/**
 * Sends the draft. False: no link, the window or a pool is full, or `out` is; nothing happened.
 * `after_user` counts on the link that `epoch` (za_syslane_epoch) names: on a later link it is moot.
 */
bool za_syslane_send(za_syslane_t *lane, uint64_t uid, uint64_t after_user, uint32_t epoch,
                     uint64_t now_ms, za_effects_t *out);
/** True if a send of a small frame to `uid` can succeed now, apart from the room in effects. */
bool za_syslane_ready(const za_syslane_t *lane, uint64_t uid);
/** Number of the present or last link to `uid`; 0: never one. */
uint32_t za_syslane_epoch(const za_syslane_t *lane, uint64_t uid);

typedef enum za_sys_in {
    ZA_SYS_NONE,  // an ack, a duplicate, or a frame behind a gap: nothing to do
    ZA_SYS_FRAME, // the next frame, once: act on it
    ZA_SYS_BAD,   // no frame of ours: count it
} za_sys_in_t;

/** Takes a frame of `uid`. *frame is valid until the next call. */
za_sys_in_t za_syslane_receive(za_syslane_t *lane, uint64_t uid, const uint8_t *bytes, size_t size,
                               uint64_t now_ms, const za_SysFrame **frame);

void za_syslane_link_up(za_syslane_t *lane, uint64_t uid, uint64_t now_ms);
void za_syslane_link_down(za_syslane_t *lane, uint64_t uid);
/**
 * As a link that came up, but `via` hands the frames on (cluster/relay.h); `self` is our uid. User
 * frames go no such way, so nothing waits for them.
 */
void za_syslane_relay(za_syslane_t *lane, uint64_t uid, uint64_t self, uint64_t via,
                      uint64_t now_ms);
/** `uid` is terminal: what was under way is dropped. */
void za_syslane_forget(za_syslane_t *lane, uint64_t uid);
/** A peer that has forgotten us, and all that we have told it; 0: none. */
uint64_t za_syslane_lost(const za_syslane_t *lane);
/** Begins anew with such a peer, after all that it had of us, and we of it, was given up. */
void za_syslane_restart(za_syslane_t *lane, uint64_t uid, uint64_t now_ms);
/** Our own uid changed: every conversation begins anew. */
void za_syslane_reset(za_syslane_t *lane);

/** Resends and acks that are due. */
za_step_t za_syslane_pump(za_syslane_t *lane, uint64_t now_ms, za_effects_t *out);
uint64_t za_syslane_deadline_ms(const za_syslane_t *lane);
/** Frames sent over a neighbour, ever. */
uint64_t za_syslane_relayed(const za_syslane_t *lane);
/** Frames sent again, ever. */
uint64_t za_syslane_resends(const za_syslane_t *lane);
/** Each uid whose unacked frames wait for a link. */
void za_syslane_each_waiting(const za_syslane_t *lane, void (*visit)(uint64_t uid, void *visitor),
                             void *visitor);
/** Frames not acked by `uid`. */
uint32_t za_syslane_unacked(const za_syslane_t *lane, uint64_t uid);

/** The user frames of the same link that go before this frame. False: it is not a system frame. */
bool za_syslane_after_user(const uint8_t *bytes, size_t size, uint64_t *after_user);
