#include "cluster/syslane.h"

#include <stdlib.h>
#include <string.h>

#include <pb_decode.h>
#include <pb_encode.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "cluster/relay.h"

enum {
    PEERS_MAX = ZA_MEMBERS_MAX,
    FRAMES_MAX = 16 * 1024, // unacked, of all peers
    BLOCKS_MAX = 32 * 1024, // their bytes: 4 MiB
    ACK_EVERY = 64,         // frames received without an ack sent
    HEAD_BYTES_MAX = 55,
    FRAME_HEADS_MAX = HEAD_BYTES_MAX + ZA_RELAY_HEAD_MAX,
};

static_assert(FRAMES_MAX >= (int)ZA_SYSLANE_FRAMES_MAX, "one peer can fill its window");
static_assert(BLOCKS_MAX * (int)ZA_BLOCK_BYTES >= (int)ZA_SYSLANE_BYTES_MAX,
              "one peer can fill its window");
static_assert(za_SysFrame_size + FRAME_HEADS_MAX <= ZA_FRAME_BYTES_MAX, "a frame fits a frame");

typedef struct frame {
    uint64_t seq;
    uint64_t after_user;
    uint32_t size;
    uint32_t blocks;
    za_link_t queue;
} frame_t;

typedef struct peer {
    uint64_t uid;
    uint64_t via, self; // the neighbour who hands frames on, 0: none, and our uid then
    uint64_t sent;      // last seq given out
    uint64_t received;  // last seq delivered
    uint64_t mine;      // number of what we remember of it
    uint64_t theirs;    // and of what it remembers of us; 0: not heard
    uint64_t ack_at_ms;
    uint64_t resend_at_ms;
    uint32_t unacked_bytes;
    uint32_t unanswered; // frames received since the last ack
    uint32_t epoch;      // links so far
    uint32_t resend;     // the frame to be sent again next; 0: none
    bool linked;
    bool ack_due;
    bool waiting;     // in the list of peers with a resend timer
    bool greets;      // it may remember us: it hears our number as soon as there is a link
    bool lost;        // in the list of peers that have forgotten us
    bool unheard;     // it spoke to whom we have forgotten: what we have sent since was not taken
    bool stuck;       // in the list of peers with unacked frames and no link
    za_chain_t queue; // unacked frames
    za_link_t acks, timers, resends, losses, stucks;
} peer_t;

struct za_syslane {
    za_slots_t peers;
    za_slots_t frames;
    za_blocks_t blocks;
    za_chain_t acks;    // peers that wait for an ack, the first due first
    za_chain_t timers;  // peers with unacked frames on a link, the first due first
    za_chain_t resends; // peers whose frames are being sent again
    za_chain_t losses;  // peers that have forgotten us, and wait for za_syslane_restart
    za_chain_t stucks;  // peers with unacked frames and no link
    uint64_t begun;     // the last number given to what we remember of a peer
    uint64_t resent, relayed;
    za_SysFrame draft;
    uint8_t bytes[HEAD_BYTES_MAX + za_SysFrame_size];
};

#define ACKS offsetof(peer_t, acks)
#define TIMERS offsetof(peer_t, timers)
#define RESENDS offsetof(peer_t, resends)
#define LOSSES offsetof(peer_t, losses)
#define STUCKS offsetof(peer_t, stucks)
#define QUEUE offsetof(frame_t, queue)

za_err_t za_syslane_create(za_syslane_t **out)
{
    za_syslane_t *lane = calloc(1, sizeof *lane);
    if (lane == NULL) {
        return ZA_ENOMEM;
    }
    if (za_slots_init(&lane->peers, PEERS_MAX, sizeof(peer_t)) != ZA_OK ||
        za_slots_init(&lane->frames, FRAMES_MAX, sizeof(frame_t)) != ZA_OK ||
        za_blocks_init(&lane->blocks, BLOCKS_MAX) != ZA_OK) {
        za_syslane_destroy(lane);
        return ZA_ENOMEM;
    }
    *out = lane;
    return ZA_OK;
}

void za_syslane_destroy(za_syslane_t *lane)
{
    if (lane == NULL) {
        return;
    }
    za_blocks_deinit(&lane->blocks);
    za_slots_deinit(&lane->frames);
    za_slots_deinit(&lane->peers);
    free(lane);
}

static peer_t *peer_at(const za_syslane_t *lane, uint32_t id)
{
    return za_slots_at(&lane->peers, id);
}

static frame_t *frame_at(const za_syslane_t *lane, uint32_t id)
{
    return za_slots_at(&lane->frames, id);
}

static uint32_t find_peer(const za_syslane_t *lane, uint64_t uid)
{
    uint32_t id = za_slots_first(&lane->peers, za_mix64(uid));
    while (id != 0 && peer_at(lane, id)->uid != uid) {
        id = za_slots_next(&lane->peers, id);
    }
    return id;
}

static uint32_t make_peer(za_syslane_t *lane, uint64_t uid)
{
    uint32_t id = find_peer(lane, uid);
    if (id == 0) {
        id = za_slots_add(&lane->peers, za_mix64(uid));
        if (id != 0) {
            peer_at(lane, id)->uid = uid;
            peer_at(lane, id)->mine = ++lane->begun;
        }
    }
    return id;
}

za_SysFrame *za_syslane_draft(za_syslane_t *lane)
{
    // Only the head: the caller sets which_body and fills that body whole.
    lane->draft.seq = 0;
    lane->draft.ack = 0;
    lane->draft.after_user = 0;
    lane->draft.mine = 0;
    lane->draft.theirs = 0;
    return &lane->draft;
}

bool za_syslane_ready(const za_syslane_t *lane, uint64_t uid)
{
    uint32_t id = find_peer(lane, uid);
    if (id == 0) {
        return false;
    }
    const peer_t *peer = peer_at(lane, id);
    return peer->linked && !peer->lost && peer->resend == 0 &&
           peer->queue.count < ZA_SYSLANE_FRAMES_MAX &&
           peer->unacked_bytes + ZA_BLOCK_BYTES <= ZA_SYSLANE_BYTES_MAX &&
           lane->frames.count < FRAMES_MAX && lane->blocks.used < BLOCKS_MAX;
}

uint32_t za_syslane_epoch(const za_syslane_t *lane, uint64_t uid)
{
    uint32_t id = find_peer(lane, uid);
    return id != 0 ? peer_at(lane, id)->epoch : 0;
}

/* ---- timers --------------------------------------------------------------------------------- */

static void stop_ack(za_syslane_t *lane, uint32_t id)
{
    peer_t *peer = peer_at(lane, id);
    peer->unanswered = 0;
    if (peer->ack_due) {
        peer->ack_due = false;
        za_chain_remove(&lane->acks, &lane->peers, ACKS, id);
    }
}

static void want_ack(za_syslane_t *lane, uint32_t id, uint64_t now_ms)
{
    peer_t *peer = peer_at(lane, id);
    peer->unanswered++;
    if (!peer->ack_due) {
        peer->ack_due = true;
        peer->ack_at_ms = now_ms + ZA_SYSLANE_ACK_MS;
        za_chain_append(&lane->acks, &lane->peers, ACKS, id); // one delay: append keeps the order
    } else if (peer->unanswered >= ACK_EVERY && peer->ack_at_ms > now_ms) {
        za_chain_remove(&lane->acks, &lane->peers, ACKS, id);
        peer->ack_at_ms = now_ms;
        za_chain_insert(&lane->acks, &lane->peers, ACKS, 0, id);
    }
}

/** An ack at once. */
static void hurry_ack(za_syslane_t *lane, uint32_t id, uint64_t now_ms)
{
    peer_t *peer = peer_at(lane, id);
    stop_ack(lane, id);
    if (!peer->linked) {
        return;
    }
    peer->ack_due = true;
    peer->ack_at_ms = now_ms;
    za_chain_insert(&lane->acks, &lane->peers, ACKS, 0, id);
}

static void stop_timer(za_syslane_t *lane, uint32_t id)
{
    peer_t *peer = peer_at(lane, id);
    if (peer->waiting) {
        peer->waiting = false;
        za_chain_remove(&lane->timers, &lane->peers, TIMERS, id);
    }
}

static void restart_timer(za_syslane_t *lane, uint32_t id, uint64_t now_ms)
{
    peer_t *peer = peer_at(lane, id);
    stop_timer(lane, id);
    if (peer->linked && peer->queue.count > 0) {
        peer->waiting = true;
        peer->resend_at_ms = now_ms + ZA_SYSLANE_RESEND_MS;
        za_chain_append(&lane->timers, &lane->peers, TIMERS, id);
    }
}

static void stop_resend(za_syslane_t *lane, uint32_t id)
{
    peer_t *peer = peer_at(lane, id);
    if (peer->resend != 0) {
        peer->resend = 0;
        za_chain_remove(&lane->resends, &lane->peers, RESENDS, id);
    }
}

static void start_resend(za_syslane_t *lane, uint32_t id)
{
    peer_t *peer = peer_at(lane, id);
    stop_resend(lane, id);
    if (peer->queue.first != 0) {
        peer->resend = peer->queue.first;
        za_chain_append(&lane->resends, &lane->peers, RESENDS, id);
    }
}

static void end_stuck(za_syslane_t *lane, uint32_t id)
{
    peer_t *peer = peer_at(lane, id);
    if (peer->stuck) {
        peer->stuck = false;
        za_chain_remove(&lane->stucks, &lane->peers, STUCKS, id);
    }
}

static void begin_stuck(za_syslane_t *lane, uint32_t id)
{
    peer_t *peer = peer_at(lane, id);
    if (!peer->stuck && peer->queue.count > 0) {
        peer->stuck = true;
        za_chain_append(&lane->stucks, &lane->peers, STUCKS, id);
    }
}

/* ---- sending -------------------------------------------------------------------------------- */

static size_t write_head(const peer_t *peer, uint64_t seq, uint64_t after_user, uint8_t *out)
{
    za_SysHead head = { .seq = seq,
                        .ack = peer->received,
                        .after_user = after_user,
                        .mine = peer->mine,
                        .theirs = peer->theirs };
    pb_ostream_t stream = pb_ostream_from_buffer(out, HEAD_BYTES_MAX);
    bool fits = pb_encode(&stream, za_SysHead_fields, &head);
    ZA_ASSERT(fits); // five varints
    return stream.bytes_written;
}

/** The caller has made sure of room for the bytes and FRAME_HEADS_MAX. */
static void emit(za_syslane_t *lane, peer_t *peer, const uint8_t *bytes, size_t size,
                 za_effects_t *out)
{
    peer->greets = true;
    za_effect_t *effect = za_effects_add(out, ZA_EFFECT_SEND_FRAME);
    uint8_t *start = za_effects_next(out);
    uint8_t *at = start;
    bool relayed = peer->via != 0;
    if (relayed) {
        at = za_relay_head_put(at, peer->self, peer->uid, (uint32_t)size);
        lane->relayed++;
    }
    memcpy(at, bytes, size);
    effect->uid = relayed ? peer->via : peer->uid;
    effect->lane = relayed ? ZA_LANE_CONTROL : ZA_LANE_SYSTEM;
    effect->size = (uint32_t)(at - start) + (uint32_t)size;
    effect->bytes = za_effects_alloc(out, effect->size);
}

static void emit_frame(za_syslane_t *lane, peer_t *peer, const frame_t *frame, za_effects_t *out)
{
    size_t head = write_head(peer, frame->seq, frame->after_user, lane->bytes);
    za_blocks_get(&lane->blocks, frame->blocks, lane->bytes + head, frame->size);
    emit(lane, peer, lane->bytes, head + frame->size, out);
}

bool za_syslane_send(za_syslane_t *lane, uint64_t uid, uint64_t after_user, uint32_t epoch,
                     uint64_t now_ms, za_effects_t *out)
{
    uint32_t id = find_peer(lane, uid);
    if (id == 0 || !za_syslane_ready(lane, uid)) {
        return false;
    }
    peer_t *peer = peer_at(lane, id);
    pb_ostream_t stream = pb_ostream_from_buffer(lane->bytes, sizeof lane->bytes);
    bool encoded = pb_encode(&stream, za_SysFrame_fields, &lane->draft);
    ZA_ASSERT(encoded); // every field of a draft is bounded by its struct
    size_t size = stream.bytes_written;
    if (peer->unacked_bytes + size > ZA_SYSLANE_BYTES_MAX ||
        !za_effects_have_room(out, 1, (uint32_t)size + FRAME_HEADS_MAX)) {
        return false;
    }
    uint32_t blocks;
    if (!za_blocks_put(&lane->blocks, lane->bytes, size, &blocks)) {
        return false;
    }
    uint32_t frame_id = za_slots_add(&lane->frames, 0);
    ZA_ASSERT(frame_id != 0); // ready has looked
    frame_t *frame = frame_at(lane, frame_id);
    *frame = (frame_t){ .seq = ++peer->sent, .size = (uint32_t)size, .blocks = blocks };
    // Of an older link: its user frames are delivered or lost, there is nothing to wait for.
    frame->after_user = epoch == peer->epoch ? after_user : 0;
    za_chain_append(&peer->queue, &lane->frames, QUEUE, frame_id);
    peer->unacked_bytes += frame->size;
    emit_frame(lane, peer, frame, out);
    stop_ack(lane, id); // the frame carries it
    if (!peer->waiting) {
        restart_timer(lane, id, now_ms);
    }
    return true;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static void drop_frame(za_syslane_t *lane, peer_t *peer, uint32_t frame_id)
{
    frame_t *frame = frame_at(lane, frame_id);
    za_chain_remove(&peer->queue, &lane->frames, QUEUE, frame_id);
    peer->unacked_bytes -= frame->size;
    za_blocks_free(&lane->blocks, frame->blocks);
    za_slots_remove(&lane->frames, frame_id);
}

static void take_ack(za_syslane_t *lane, uint32_t id, uint64_t ack, uint64_t now_ms)
{
    peer_t *peer = peer_at(lane, id);
    bool progress = false;
    while (peer->queue.first != 0 && frame_at(lane, peer->queue.first)->seq <= ack) {
        uint32_t frame_id = peer->queue.first;
        if (peer->resend == frame_id) {
            peer->resend = za_chain_next(&lane->frames, QUEUE, frame_id);
            if (peer->resend == 0) {
                za_chain_remove(&lane->resends, &lane->peers, RESENDS, id);
            }
        }
        drop_frame(lane, peer, frame_id);
        progress = true;
    }
    if (progress) {
        restart_timer(lane, id, now_ms);
    }
    if (peer->queue.count == 0) {
        end_stuck(lane, id);
    }
}

static void begin_loss(za_syslane_t *lane, uint32_t id)
{
    peer_t *peer = peer_at(lane, id);
    if (!peer->lost) {
        peer->lost = true;
        za_chain_append(&lane->losses, &lane->peers, LOSSES, id);
    }
}

/**
 * Whether a frame is of what both remember now. If the sender has forgotten us, nothing of it is taken before
 * za_syslane_restart; if it takes us for one who remembers, it hears that we do not.
 */
static bool is_of_now(za_syslane_t *lane, uint32_t id, const za_SysFrame *got, uint64_t now_ms)
{
    peer_t *peer = peer_at(lane, id);
    if (got->mine != 0 && peer->theirs != 0 && got->mine != peer->theirs) {
        if (got->mine > peer->theirs) { // below: it was long under way
            peer->theirs = got->mine;
            begin_loss(lane, id);
        }
        return false;
    }
    if (got->theirs != 0 && got->theirs != peer->mine) {
        peer->greets = true;
        peer->unheard = true;
        hurry_ack(lane, id, now_ms);
        return false;
    }
    return !peer->lost;
}

za_sys_in_t za_syslane_receive(za_syslane_t *lane, uint64_t uid, const uint8_t *bytes, size_t size,
                               uint64_t now_ms, const za_SysFrame **frame)
{
    pb_istream_t stream = pb_istream_from_buffer(bytes, size);
    if (!pb_decode(&stream, za_SysFrame_fields, &lane->draft)) {
        return ZA_SYS_BAD;
    }
    const za_SysFrame *got = &lane->draft;
    uint32_t id = make_peer(lane, uid);
    if (id == 0) {
        return ZA_SYS_NONE; // too many peers: it keeps the frame and sends it again
    }
    peer_t *peer = peer_at(lane, id);
    if ((got->seq != 0) != (got->which_body != 0)) {
        return ZA_SYS_BAD;
    }
    if (!is_of_now(lane, id, got, now_ms)) {
        return ZA_SYS_NONE;
    }
    if (got->ack > peer->sent) {
        return ZA_SYS_BAD;
    }
    take_ack(lane, id, got->ack, now_ms);
    peer->theirs = got->mine != 0 ? got->mine : peer->theirs;
    if (peer->unheard) {
        peer->unheard = false;
        start_resend(lane, id);
    }
    if (got->seq == 0) {
        return ZA_SYS_NONE;
    }
    want_ack(lane, id, now_ms); // a duplicate too: its ack was lost with a link
    if (got->seq != peer->received + 1) {
        return ZA_SYS_NONE;
    }
    peer->received++;
    *frame = got;
    return ZA_SYS_FRAME;
}

/* ---- links ---------------------------------------------------------------------------------- */

static void begin_link(za_syslane_t *lane, uint64_t uid, uint64_t self, uint64_t via,
                       uint64_t now_ms)
{
    uint32_t id = make_peer(lane, uid);
    if (id == 0) {
        return; // beyond ZA_MEMBERS_MAX: frames to it wait in their tables
    }
    peer_t *peer = peer_at(lane, id);
    end_stuck(lane, id);
    peer->linked = true;
    peer->self = self;
    peer->via = via;
    peer->epoch++;
    uint32_t frame_id = peer->queue.first;
    while (frame_id != 0) {
        frame_at(lane, frame_id)->after_user = 0;
        frame_id = za_chain_next(&lane->frames, QUEUE, frame_id);
    }
    start_resend(lane, id);
    restart_timer(lane, id, now_ms);
    if ((peer->greets || peer->received > 0) && peer->queue.count == 0) {
        hurry_ack(lane, id, now_ms);
    }
}

void za_syslane_link_up(za_syslane_t *lane, uint64_t uid, uint64_t now_ms)
{
    begin_link(lane, uid, 0, 0, now_ms);
}

void za_syslane_relay(za_syslane_t *lane, uint64_t uid, uint64_t self, uint64_t via,
                      uint64_t now_ms)
{
    begin_link(lane, uid, self, via, now_ms);
}

void za_syslane_link_down(za_syslane_t *lane, uint64_t uid)
{
    uint32_t id = find_peer(lane, uid);
    if (id == 0) {
        return;
    }
    peer_t *peer = peer_at(lane, id);
    peer->linked = false;
    begin_stuck(lane, id);
    stop_ack(lane, id);
    stop_timer(lane, id);
    stop_resend(lane, id);
    peer->unheard = false; // at the next link all that is not acked goes again
    if (!peer->greets && peer->received == 0) {
        za_slots_remove(&lane->peers, id); // nothing to remember of a link that carried nothing
    }
}

/** Drops all that is under way to and from a peer. */
static void stop_peer(za_syslane_t *lane, uint32_t id)
{
    peer_t *peer = peer_at(lane, id);
    stop_ack(lane, id);
    stop_timer(lane, id);
    stop_resend(lane, id);
    end_stuck(lane, id);
    while (peer->queue.first != 0) {
        drop_frame(lane, peer, peer->queue.first);
    }
    if (peer->lost) {
        peer->lost = false;
        za_chain_remove(&lane->losses, &lane->peers, LOSSES, id);
    }
}

void za_syslane_forget(za_syslane_t *lane, uint64_t uid)
{
    uint32_t id = find_peer(lane, uid);
    if (id != 0) {
        stop_peer(lane, id);
        za_slots_remove(&lane->peers, id);
    }
}

uint64_t za_syslane_lost(const za_syslane_t *lane)
{
    return lane->losses.first != 0 ? peer_at(lane, lane->losses.first)->uid : 0;
}

void za_syslane_restart(za_syslane_t *lane, uint64_t uid, uint64_t now_ms)
{
    uint32_t id = find_peer(lane, uid);
    ZA_ASSERT(id != 0 && peer_at(lane, id)->lost);
    stop_peer(lane, id);
    peer_t *peer = peer_at(lane, id);
    peer->sent = 0;
    peer->received = 0;
    hurry_ack(lane, id, now_ms);
}

void za_syslane_reset(za_syslane_t *lane)
{
    for (uint32_t id = 1; id <= lane->peers.fresh; id++) {
        uint64_t uid = peer_at(lane, id)->uid;
        if (find_peer(lane, uid) == id) {
            za_syslane_forget(lane, uid);
        }
    }
    ZA_ASSERT(lane->peers.count == 0 && lane->frames.count == 0 && lane->blocks.used == 0);
}

/* ---- pump ----------------------------------------------------------------------------------- */

/** One frame of the first peer that resends. False: `out` is full. */
static bool resend_one(za_syslane_t *lane, za_effects_t *out)
{
    uint32_t id = lane->resends.first;
    peer_t *peer = peer_at(lane, id);
    const frame_t *frame = frame_at(lane, peer->resend);
    if (!za_effects_have_room(out, 2, frame->size + FRAME_HEADS_MAX)) {
        return false;
    }
    if (peer->resend == peer->queue.first) {
        za_effects_add(out, ZA_EFFECT_MARK)->mark = ZA_MARK_SYSTEM_RESEND;
    }
    emit_frame(lane, peer, frame, out);
    lane->resent++;
    peer->resend = za_chain_next(&lane->frames, QUEUE, peer->resend);
    if (peer->resend == 0) {
        za_chain_remove(&lane->resends, &lane->peers, RESENDS, id);
    }
    return true;
}

za_step_t za_syslane_pump(za_syslane_t *lane, uint64_t now_ms, za_effects_t *out)
{
    while (lane->timers.first != 0 && peer_at(lane, lane->timers.first)->resend_at_ms <= now_ms) {
        uint32_t id = lane->timers.first;
        start_resend(lane, id);
        restart_timer(lane, id, now_ms);
    }
    while (lane->resends.first != 0) {
        if (!resend_one(lane, out)) {
            return ZA_STEP_MORE;
        }
    }
    while (lane->acks.first != 0 && peer_at(lane, lane->acks.first)->ack_at_ms <= now_ms) {
        uint32_t id = lane->acks.first;
        peer_t *peer = peer_at(lane, id);
        if (!za_effects_have_room(out, 1, FRAME_HEADS_MAX)) {
            return ZA_STEP_MORE;
        }
        if (peer->linked) {
            uint8_t head[HEAD_BYTES_MAX];
            size_t size = write_head(peer, 0, 0, head);
            emit(lane, peer, head, size, out);
        }
        stop_ack(lane, id);
    }
    return ZA_STEP_DONE;
}

uint64_t za_syslane_deadline_ms(const za_syslane_t *lane)
{
    uint64_t deadline = lane->resends.first != 0 ? 0 : UINT64_MAX;
    if (lane->acks.first != 0 && peer_at(lane, lane->acks.first)->ack_at_ms < deadline) {
        deadline = peer_at(lane, lane->acks.first)->ack_at_ms;
    }
    if (lane->timers.first != 0 && peer_at(lane, lane->timers.first)->resend_at_ms < deadline) {
        deadline = peer_at(lane, lane->timers.first)->resend_at_ms;
    }
    return deadline;
}

uint64_t za_syslane_relayed(const za_syslane_t *lane)
{
    return lane->relayed;
}

uint64_t za_syslane_resends(const za_syslane_t *lane)
{
    return lane->resent;
}

void za_syslane_each_waiting(const za_syslane_t *lane, void (*visit)(uint64_t uid, void *visitor),
                             void *visitor)
{
    for (uint32_t id = lane->stucks.first; id != 0; id = za_chain_next(&lane->peers, STUCKS, id)) {
        visit(peer_at(lane, id)->uid, visitor);
    }
}

uint32_t za_syslane_unacked(const za_syslane_t *lane, uint64_t uid)
{
    uint32_t id = find_peer(lane, uid);
    return id != 0 ? peer_at(lane, id)->queue.count : 0;
}

bool za_syslane_after_user(const uint8_t *bytes, size_t size, uint64_t *after_user)
{
    za_SysHead head = za_SysHead_init_zero;
    pb_istream_t stream = pb_istream_from_buffer(bytes, size);
    if (!pb_decode(&stream, za_SysHead_fields, &head)) {
        return false;
    }
    *after_user = head.after_user;
    return true;
}
