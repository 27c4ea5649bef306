// Peers: where frames for another node wait, and how a worker finds the place without a lock.

#include "node/state.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/secret.h"
#include "core/ctx.h"

/* ---- index by uid: written by the owner, read by all ----------------------------------------- */

static za_peer_t *const VACANT = NULL; // a removed uid: lookups go on past it

za_peer_t *za_peer_find(za_node_t *node, uint64_t uid)
{
    uint64_t at = za_mix64(uid);
    for (int i = 0; i < ZA_PEER_INDEX_PROBES; i++) {
        uint64_t slot = (at + (uint64_t)i) & (ZA_PEER_INDEX_SLOTS - 1);
        uint64_t found =
            atomic_load_explicit(&node->index_uid[slot], memory_order_acquire); // pairs: peer-index
        if (found == 0) {
            return NULL;
        }
        if (found == uid) {
            // relaxed: written before the uid, which the acquire above read.
            return atomic_load_explicit(&node->index_peer[slot], memory_order_relaxed);
        }
    }
    return NULL;
}

static bool index_add(za_node_t *node, uint64_t uid, za_peer_t *peer)
{
    uint64_t at = za_mix64(uid);
    for (int i = 0; i < ZA_PEER_INDEX_PROBES; i++) {
        uint64_t slot = (at + (uint64_t)i) & (ZA_PEER_INDEX_SLOTS - 1);
        uint64_t found = atomic_load_explicit(&node->index_uid[slot], memory_order_relaxed); // ours
        if (found == 0 ||
            atomic_load_explicit(&node->index_peer[slot], memory_order_relaxed) == VACANT) {
            atomic_store_explicit(&node->index_peer[slot], peer, memory_order_relaxed);
            atomic_store_explicit(&node->index_uid[slot], uid,
                                  memory_order_release); // pairs: peer-index
            return true;
        }
    }
    return false;
}

static void index_remove(za_node_t *node, uint64_t uid)
{
    uint64_t at = za_mix64(uid);
    for (int i = 0; i < ZA_PEER_INDEX_PROBES; i++) {
        uint64_t slot = (at + (uint64_t)i) & (ZA_PEER_INDEX_SLOTS - 1);
        if (atomic_load_explicit(&node->index_uid[slot], memory_order_relaxed) == uid) { // ours
            // The uid stays: it is never used again, so a reader that sees it finds no peer.
            atomic_store_explicit(&node->index_peer[slot], VACANT, memory_order_relaxed);
            return;
        }
    }
}

/* ---- slots ------------------------------------------------------------------------------------ */

static za_peer_t *free_slot(za_node_t *node)
{
    za_peer_t *oldest = NULL;
    for (int i = 0; i < ZA_PEERS_MAX; i++) {
        za_peer_t *peer = &node->peers[i];
        if (atomic_load_explicit(&peer->uid, memory_order_relaxed) == 0) { // ours
            return peer;
        }
        // One whose end was told may have a link again, over which it hears of it.
        if (atomic_load_explicit(&peer->terminal, memory_order_relaxed) &&
            atomic_load_explicit(&peer->link, memory_order_relaxed) == NULL &&
            node->now_ms - peer->since_ms >= ZA_PEER_QUARANTINE_MS &&
            (oldest == NULL || peer->since_ms < oldest->since_ms)) {
            oldest = peer;
        }
    }
    return oldest;
}

za_peer_t *za_peer_claim(za_node_t *node, uint64_t uid, const char *name)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer != NULL) {
        return peer;
    }
    peer = free_slot(node);
    if (peer == NULL) {
        za_node_log(node, ZA_ERROR, "more than %d peers: no room for node %s", ZA_PEERS_MAX, name);
        return NULL;
    }
    uint64_t was = atomic_load_explicit(&peer->uid, memory_order_relaxed); // ours
    if (was != 0) {
        index_remove(node, was);
        za_lanes_discard(node, peer);
    }
    if (!peer->ready) {
        for (int lane = 0; lane < ZA_LANE_COUNT; lane++) {
            za_queue_init(&peer->lanes[lane]);
        }
        peer->ready = true;
    }
    // relaxed, all four: published by the uid
    atomic_store_explicit(&peer->terminal, false, memory_order_relaxed);
    atomic_store_explicit(&peer->unreachable, false, memory_order_relaxed);
    atomic_store_explicit(&peer->apart, false, memory_order_relaxed);
    atomic_store_explicit(&peer->heard_ms, node->now_ms, memory_order_relaxed);
    peer->since_ms = node->now_ms;
    peer->udp_heard_ms = peer->udp_since_ms = 0;
    peer->udp_unanswered = 0;
    peer->udp_degraded = peer->met = false;
    strncpy(peer->name, name, sizeof peer->name - 1);
    atomic_store_explicit(&peer->uid, uid, memory_order_release); // pairs: peer-uid
    if (!index_add(node, uid, peer)) {
        atomic_store_explicit(&peer->uid, 0, memory_order_release); // pairs: peer-uid
        za_node_log(node, ZA_ERROR, "no room in the index of peers for node %s", name);
        return NULL;
    }
    return peer;
}

void za_peer_heard(za_node_t *node, uint64_t uid)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer != NULL) {
        atomic_store_explicit(&peer->heard_ms, node->now_ms, memory_order_relaxed); // only a number
    }
}

void za_peer_unreachable(za_node_t *node, uint64_t uid, bool is)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer != NULL) {
        atomic_store_explicit(&peer->unreachable, is, memory_order_relaxed); // news, no order
    }
}

void za_peer_down(za_node_t *node, uint64_t uid)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer != NULL) {
        za_link_close_peer(node, uid);
        atomic_store_explicit(&peer->terminal, true, memory_order_relaxed);
        peer->announced = 0;
        peer->since_ms = node->now_ms;
        za_lanes_discard(node, peer);
    }
    za_runtime_fail_asks(node->worker, uid, za_Reason_REASON_NODE_DOWN);
}

void za_peer_apart(za_node_t *node, uint64_t uid, bool is)
{
    za_peer_t *peer = za_peer_find(node, uid);
    if (peer == NULL) {
        return;
    }
    atomic_store_explicit(&peer->apart, is, memory_order_relaxed); // a late look is as good
    if (is && atomic_load_explicit(&peer->link, memory_order_relaxed) == NULL) {
        // From now on news of the ends of actors goes another way: no message may come after it.
        za_lanes_discard(node, peer);
        za_runtime_fail_asks(node->worker, uid, za_Reason_REASON_LINK_LOST);
    }
}

void za_peer_begin_link(za_node_t *node, za_peer_t *peer)
{
    if (atomic_load_explicit(&peer->apart, memory_order_relaxed)) { // ours
        za_lanes_discard(node, peer); // of workers that looked just before it was apart
        atomic_store_explicit(&peer->apart, false, memory_order_relaxed); // a late look is as good
    }
}

/** Above the size of a full mesh the cluster makes links, and keeps them, for whom messages are. */
static void sweep_use(za_node_t *node, za_peer_t *peer)
{
    // relaxed, both: what is missed now is seen at the next sweep.
    atomic_store_explicit(&peer->wanted, false, memory_order_relaxed);
    if (atomic_load_explicit(&peer->used, memory_order_relaxed)) {
        atomic_store_explicit(&peer->used, false, memory_order_relaxed);
        uint64_t uid = atomic_load_explicit(&peer->uid, memory_order_relaxed); // ours
        za_node_step(node, &(za_cluster_event_t){ .type = ZA_CLUSTER_WANT_LINK, .uid = uid });
    }
}

void za_peers_sweep(za_node_t *node)
{
    for (int i = 0; i < ZA_PEERS_MAX; i++) {
        za_peer_t *peer = &node->peers[i];
        if (atomic_load_explicit(&peer->uid, memory_order_relaxed) == 0) { // ours
            continue;
        }
        sweep_use(node, peer);
        if (atomic_load_explicit(&peer->link, memory_order_relaxed) != NULL) { // ours
            continue;
        }
        // Nobody drains a lane without a link: give up what is older than the limit.
        if (atomic_load_explicit(&peer->terminal, memory_order_relaxed) ||
            node->now_ms - peer->since_ms >= ZA_UNLINKED_MS_MAX) {
            za_lanes_discard(node, peer);
        }
    }
}

/* ---- lanes: producers ------------------------------------------------------------------------- */

static void mark_dirty(za_node_t *node, za_worker_t *worker, const za_peer_t *peer)
{
    size_t index = (size_t)(peer - node->peers);
    node->dirty[za_worker_index(worker)][index / 64] |= UINT64_C(1) << (index % 64);
}

static za_out_t *out_create(za_worker_t *worker, uint32_t bytes)
{
    za_message_t *block = za_message_alloc(worker, sizeof(za_out_t) + bytes);
    if (block == NULL) {
        return NULL;
    }
    za_out_t *out = za_message_body(block);
    memset(out, 0, sizeof *out);
    out->block = block;
    out->size = bytes;
    return out;
}

/** `uid` is whom the frame is for; it is checked when the frame is taken out. */
static void push(za_node_t *node, za_worker_t *worker, za_peer_t *peer, uint64_t uid,
                 za_lane_t lane, za_out_t *out)
{
    out->uid = uid;
    // relaxed: statistics and bounds; the queue publishes the frame.
    atomic_fetch_add_explicit(&peer->queued_bytes[lane], out->size + ZA_OUT_COST,
                              memory_order_relaxed);
    if (lane == ZA_LANE_USER) {
        atomic_fetch_add_explicit(&peer->user_pushed, 1, memory_order_relaxed);
    } else if (lane == ZA_LANE_BULK) {
        atomic_fetch_add_explicit(&peer->bulk_pushed, 1, memory_order_relaxed);
    }
    za_queue_push(&peer->lanes[lane], &out->link);
    mark_dirty(node, worker, peer);
    if (lane != ZA_LANE_CONTROL) {
        za_peer_use(peer);
    }
}

static uint16_t pair_of(za_ref_t sender, uint64_t target)
{
    return (uint16_t)(za_mix64(sender.actor ^ za_mix64(target)) % ZA_BULK_PAIRS);
}

/** Large messages go in chunks, and what follows them between the same pair stays behind them. */
static za_lane_t choose_lane(const za_peer_t *peer, uint16_t pair, size_t size)
{
    // relaxed: one pair's messages come from one actor, whose runs are ordered. The counter falls
    // when a frame has entered the stream, and a stale high value only picks the slower lane.
    bool behind = atomic_load_explicit(&peer->bulk_pairs[pair], memory_order_relaxed) > 0;
    return size > ZA_MESSAGE_FRAME_BODY_MAX || behind ? ZA_LANE_BULK : ZA_LANE_USER;
}

static void enter_bulk(za_peer_t *peer, za_out_t *out, uint16_t pair)
{
    atomic_fetch_add_explicit(&peer->bulk_pairs[pair], 1, memory_order_relaxed); // see choose_lane
    out->pair = pair;
    out->bulk = true;
    out->after_user = atomic_load_explicit(&peer->user_pushed, memory_order_relaxed); // own sends
}

static bool lane_is_full(const za_peer_t *peer, za_lane_t lane, size_t size)
{
    // relaxed: a bound, which producers on several workers may pass by one message each.
    return atomic_load_explicit(&peer->queued_bytes[lane], memory_order_relaxed) + size >
           ZA_LANE_BYTES_MAX;
}

/** Room for the encoded body: exact, unless a bound that costs no look at the message is small. */
static za_err_t encoding_bound(const za_outgoing_t *message, size_t *size)
{
    if (message->type->encoded_max > 0 && message->type->encoded_max <= ZA_ENCODE_AT_ONCE_MAX) {
        *size = message->type->encoded_max;
        return ZA_OK;
    }
    za_err_t err = message->type->encoded_size(message->body, size);
    return err == ZA_OK && *size > ZA_MESSAGE_BYTES_MAX ? ZA_ETOOBIG : err;
}

/** Whether nothing is taken for it: its uid ended, or no link to it can be made. */
static bool has_no_route(za_node_t *node, const za_peer_t *peer)
{
    if (atomic_load_explicit(&peer->apart, memory_order_relaxed)) { // a late look is as good
        ZA_COUNT(node, apart_refused, 1);
        return true;
    }
    return atomic_load_explicit(&peer->terminal, memory_order_relaxed); // as good, too
}

za_err_t za_peer_send(za_node_t *node, za_worker_t *worker, za_peer_t *peer,
                      const za_outgoing_t *message)
{
    if (has_no_route(node, peer)) {
        return ZA_ENOROUTE;
    }
    size_t size = 0;
    za_err_t err = encoding_bound(message, &size);
    if (err != ZA_OK) {
        return err;
    }
    uint16_t pair = pair_of(message->sender, message->to.actor);
    za_lane_t lane = choose_lane(peer, pair, size);
    if (lane_is_full(peer, lane, size)) {
        ZA_COUNT(node, queue_full, 1);
        return ZA_EFULL;
    }
    za_out_t *out = out_create(worker, (uint32_t)size);
    if (out == NULL) {
        return ZA_ENOBUFS;
    }
    size_t written = 0;
    err = message->type->encode(message->body, out->bytes, size, &written);
    if (err != ZA_OK) {
        za_message_free(worker, out->block);
        return err;
    }
    out->kind = ZA_OUT_MESSAGE;
    out->size = (uint32_t)written;
    out->deadline_ms = message->deadline_ms;
    out->message = (za_wire_message_t){
        .target = message->to.actor,
        .sender = message->sender,
        .type_id = message->type->id,
        .ask = message->ask,
        .reply = message->reply,
        .body = out->bytes,
        .size = (uint32_t)written,
    };
    if (lane == ZA_LANE_BULK) {
        enter_bulk(peer, out, pair);
    }
    push(node, worker, peer, message->to.node, lane, out);
    return ZA_OK;
}

/* ---- one frame for several receivers ---------------------------------------------------------- */

/** True if something between the sender and one of these goes in the bulk lane still. */
static bool is_behind_bulk(const za_peer_t *peer, za_ref_t sender, const za_ref_t *to,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint16_t pair = pair_of(sender, to[i].actor);
        if (atomic_load_explicit(&peer->bulk_pairs[pair], memory_order_relaxed) > 0) {
            return true; // relaxed: see choose_lane
        }
    }
    return false;
}

static uint8_t *put_varint(uint8_t *at, size_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/** All of a za_Publication in front of its body. */
static size_t put_head(uint8_t *out, const char *group, size_t group_bytes, uint32_t type,
                       size_t body_bytes)
{
    uint8_t *at = out;
    *at++ = 1 << 3 | 2;
    at = put_varint(at, group_bytes);
    memcpy(at, group, group_bytes);
    at += group_bytes;
    *at++ = 2 << 3 | 5;
    for (int shift = 0; shift < 32; shift += 8) {
        *at++ = (uint8_t)(type >> shift);
    }
    *at++ = 3 << 3 | 2;
    at = put_varint(at, body_bytes);
    return (size_t)(at - out);
}

enum { HEAD_BYTES_MAX = 3 + ZA_NAME_BYTES_MAX + 5 + 1 + 3 };
static_assert(ZA_PUBLICATION_BODY_MAX + HEAD_BYTES_MAX <= ZA_MESSAGE_FRAME_BODY_MAX,
              "a publication is one frame");
static_assert(ZA_PUBLICATION_BODY_MAX < 1 << 21, "three bytes of varint");

bool za_peer_may_publish(const za_peer_t *peer, const za_outgoing_t *message, const za_ref_t *to,
                         uint32_t count)
{
    size_t size = 0;
    return encoding_bound(message, &size) == ZA_OK && size <= ZA_PUBLICATION_BODY_MAX &&
           !is_behind_bulk(peer, message->sender, to, count);
}

za_err_t za_peer_publish(za_node_t *node, za_worker_t *worker, za_peer_t *peer, uint64_t uid,
                         const za_outgoing_t *message, const char *group)
{
    if (has_no_route(node, peer)) {
        return ZA_ENOROUTE;
    }
    size_t size = 0;
    za_err_t err = encoding_bound(message, &size);
    if (err != ZA_OK) {
        return err;
    }
    if (lane_is_full(peer, ZA_LANE_USER, size)) {
        ZA_COUNT(node, queue_full, 1);
        return ZA_EFULL;
    }
    za_out_t *out = out_create(worker, (uint32_t)(HEAD_BYTES_MAX + size));
    if (out == NULL) {
        return ZA_ENOBUFS;
    }
    size_t written = 0;
    uint8_t *body = out->bytes + HEAD_BYTES_MAX;
    err = message->type->encode(message->body, body, size, &written);
    if (err != ZA_OK) {
        za_message_free(worker, out->block);
        return err;
    }
    size_t head = put_head(out->bytes, group, strlen(group), message->type->id, written);
    memmove(out->bytes + head, body, written);
    out->kind = ZA_OUT_MESSAGE;
    out->size = (uint32_t)(head + written);
    out->message = (za_wire_message_t){
        .target = ZA_PUBLICATION_TARGET,
        .sender = message->sender,
        .type_id = za_Publication_type.id,
        .body = out->bytes,
        .size = out->size,
    };
    // Always the user lane, where what the sender tells the members otherwise goes, too.
    push(node, worker, peer, uid, ZA_LANE_USER, out);
    return ZA_OK;
}

void za_peer_fail_ask(za_node_t *node, za_worker_t *worker, za_peer_t *peer, za_ref_t asker,
                      uint64_t ask, za_Reason reason)
{
    // A peer that asks and does not read must not fill the pool with its failures.
    bool refuse = lane_is_full(peer, ZA_LANE_USER, 0) || has_no_route(node, peer);
    za_out_t *out = refuse ? NULL : out_create(worker, 0);
    if (out == NULL) {
        return; // the ask then ends by its deadline
    }
    out->kind = ZA_OUT_MESSAGE;
    out->message = (za_wire_message_t){
        .target = asker.actor, .ask = ask, .reply = true, .failed = true, .reason = reason
    };
    push(node, worker, peer, asker.node, ZA_LANE_USER, out);
}

void za_peer_frame(za_node_t *node, za_peer_t *peer, int kind, za_lane_t lane, const uint8_t *bytes,
                   uint32_t size)
{
    za_link_t *link = atomic_load_explicit(&peer->link, memory_order_relaxed); // ours to change
    if (link == NULL) {
        return; // the cluster hears of links and sends again what must arrive
    }
    if (lane_is_full(peer, lane, size)) {
        za_node_log(node, ZA_WARN, "node %s takes nothing any more: its link is closed",
                    peer->name);
        za_link_close(link, ZA_EFULL); // and the cluster goes on over another, or without it
        return;
    }
    za_out_t *out = out_create(node->worker, size);
    if (out == NULL) {
        ZA_COUNT(node, lost_link, 1);
        return;
    }
    out->kind = kind;
    memcpy(out->bytes, bytes, size);
    // A heartbeat overtakes: behind megabytes it would look like a failure. But the word that we have
    // left ends the link at the other side, and does not cut off what was sent before.
    bool leaving = atomic_load_explicit(&node->leaving, memory_order_relaxed); // a hint
    if (lane == ZA_LANE_SYSTEM || leaving) {
        // relaxed: the sends that must not be overtaken happened before this step.
        out->after_user = atomic_load_explicit(&peer->user_pushed, memory_order_relaxed);
        out->after_bulk = atomic_load_explicit(&peer->bulk_pushed, memory_order_relaxed);
    }
    // relaxed: ours to change
    push(node, node->worker, peer, atomic_load_explicit(&peer->uid, memory_order_relaxed), lane,
         out);
}

static za_link_t *link_of(za_peer_t *peer)
{
    za_link_t *link = atomic_load_explicit(&peer->link, memory_order_acquire); // pairs: peer-link
    if (link == NULL) {
        // None is written again: either this meets the link that is just being set, or whoever sets
        // one takes it out and sees what we queued.
        atomic_compare_exchange_strong_explicit(&peer->link, &link, NULL,
                                                memory_order_acq_rel,  // pairs: peer-link
                                                memory_order_acquire); // pairs: peer-link
    }
    return link;
}

/** Tells the cluster once that frames wait: a sweep does it again if there is no link yet. */
static void want_link(za_node_t *node, za_worker_t *worker, za_peer_t *peer)
{
    if (atomic_load_explicit(&peer->terminal, memory_order_relaxed) || // a late look is as good
        atomic_exchange_explicit(&peer->wanted, true, memory_order_relaxed)) { // a hint
        return;
    }
    za_cluster_event_t event = {
        .type = ZA_CLUSTER_WANT_LINK,
        .uid =
            atomic_load_explicit(&peer->uid, memory_order_relaxed), // of any that it had: harmless
    };
    ZA_IGNORE(za_request_event(node, worker, &event, false)); // else the sweep says it
}

void za_peer_link(za_peer_t *peer, za_link_t *link)
{
    peer->met = true;
    // An exchange: see link_of.
    atomic_exchange_explicit(&peer->link, link, memory_order_acq_rel); // pairs: peer-link
}

void za_peers_flush(za_node_t *node, za_worker_t *worker)
{
    uint64_t *dirty = node->dirty[za_worker_index(worker)];
    for (int word = 0; word < ZA_DIRTY_WORDS; word++) {
        while (dirty[word] != 0) {
            int bit = __builtin_ctzll(dirty[word]);
            dirty[word] &= dirty[word] - 1;
            za_peer_t *peer = &node->peers[word * 64 + bit];
            // Once more if it was replaced meanwhile: the former one writes nothing for the peer.
            za_link_t *flushed = NULL;
            if (link_of(peer) == NULL) {
                want_link(node, worker, peer);
            }
            for (za_link_t *link = link_of(peer); link != NULL && link != flushed;
                 link = link_of(peer)) {
                za_link_flush(link, worker);
                flushed = link;
            }
        }
    }
}

/* ---- lanes: the holder of the link's flag ----------------------------------------------------- */

static void taken(za_peer_t *peer, za_lane_t lane, const za_out_t *out)
{
    atomic_fetch_sub_explicit(&peer->queued_bytes[lane], out->size + ZA_OUT_COST,
                              memory_order_relaxed); // a bound
    if (lane == ZA_LANE_USER) {
        peer->user_taken++;
    } else if (lane == ZA_LANE_BULK) {
        peer->bulk_taken++;
    }
    if (out->bulk) {
        atomic_fetch_sub_explicit(&peer->bulk_pairs[out->pair], 1, memory_order_relaxed);
    }
}

/** The next frame of the lane, which stays its head until it is spent. */
static za_out_t *head(za_peer_t *peer, za_lane_t lane)
{
    if (peer->heads[lane] == NULL) {
        za_queue_node_t *item = za_queue_pop(&peer->lanes[lane]);
        peer->heads[lane] = item == NULL ? NULL : ZA_CONTAINER(item, za_out_t, link);
    }
    return peer->heads[lane];
}

static void spend(za_peer_t *peer, za_lane_t lane, za_worker_t *worker)
{
    za_out_t *out = peer->heads[lane];
    peer->heads[lane] = NULL;
    taken(peer, lane, out);
    if (out->kind == ZA_OUT_CONTROL && za_is_key_frame(out->bytes, out->size)) {
        za_secret_zero(out->bytes, out->size);
    }
    za_message_free(worker, out->block);
}

static void discard_lane(za_node_t *node, za_peer_t *peer, za_lane_t lane)
{
    for (za_out_t *out = head(peer, lane); out != NULL; out = head(peer, lane)) {
        if (out->kind == ZA_OUT_MESSAGE) {
            ZA_COUNT(node, lost_link, 1);
        }
        spend(peer, lane, node->worker);
    }
}

void za_lanes_discard(za_node_t *node, za_peer_t *peer)
{
    for (za_lane_t lane = 0; lane < ZA_LANE_COUNT && peer->ready; lane++) {
        discard_lane(node, peer, lane);
    }
}

void za_lanes_discard_service(za_node_t *node, za_peer_t *peer)
{
    discard_lane(node, peer, ZA_LANE_CONTROL);
    discard_lane(node, peer, ZA_LANE_SYSTEM);
}

/** What is left of the budget when the frame goes out; false: nothing, drop it. */
static bool set_budget(za_out_t *out, uint64_t now_ms)
{
    if (out->deadline_ms == 0) {
        return true;
    }
    if (out->deadline_ms <= now_ms) {
        return false;
    }
    uint64_t left = out->deadline_ms - now_ms;
    out->message.budget_ms = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
    return true;
}

typedef enum put {
    PUT_DONE, // in the session: the frame is spent
    PUT_MORE, // a chunk of it is
    PUT_FULL, // the session has no room now
    PUT_DROP, // it cannot or need not be sent
} put_t;

/** A session that is over takes nothing any more: what it did not take waits for the next link. */
static put_t put_of(za_err_t err)
{
    return err == ZA_OK ? PUT_DONE : err == ZA_ENOBUFS || err == ZA_ECLOSED ? PUT_FULL : PUT_DROP;
}

static put_t put_chunk(za_link_t *link, za_out_t *out)
{
    if (link->chunked == NULL) {
        if (za_session_put_bulk_begin(link->session, &out->message) != ZA_OK) {
            return PUT_FULL;
        }
        link->chunked = out;
        out->sent = 0;
        return PUT_MORE;
    }
    uint32_t left = out->size - out->sent;
    uint32_t size = left < ZA_CHUNK_BYTES_MAX ? left : ZA_CHUNK_BYTES_MAX;
    if (za_session_put_bulk_chunk(link->session, out->bytes + out->sent, size) != ZA_OK) {
        return PUT_FULL;
    }
    out->sent += size;
    if (out->sent < out->size) {
        return PUT_MORE;
    }
    link->chunked = NULL;
    return PUT_DONE;
}

static put_t put_message(za_link_t *link, za_out_t *out, uint64_t now_ms)
{
    if (link->chunked != out && !set_budget(out, now_ms)) {
        return PUT_DROP;
    }
    if (out->size > ZA_MESSAGE_FRAME_BODY_MAX) {
        return put_chunk(link, out);
    }
    za_err_t err = za_session_put_message(link->session, &out->message);
    return put_of(err);
}

static put_t put(za_link_t *link, za_lane_t lane, za_out_t *out, uint64_t now_ms)
{
    // Slots of peers are reused: a frame pushed late for a former uid is nobody's.
    if (out->uid != atomic_load_explicit(&link->peer->uid, memory_order_relaxed)) {
        return PUT_DROP;
    }
    if (out->kind == ZA_OUT_MESSAGE) {
        return put_message(link, out, now_ms);
    }
    za_frame_kind_t kind = out->kind == ZA_OUT_DATAGRAM  ? ZA_FRAME_DATAGRAM
                           : out->kind == ZA_OUT_CONTROL ? ZA_FRAME_CONTROL
                                                         : ZA_FRAME_SYSTEM;
    za_err_t err = za_session_put_frame(link->session, kind, lane, out->bytes, out->size);
    return put_of(err);
}

/** Puts one frame or chunk of a lane; false: none is there, it must wait, or there is no room. */
static bool put_next(za_link_t *link, za_lane_t lane, za_worker_t *worker, bool *full)
{
    za_peer_t *peer = link->peer;
    za_out_t *out = head(peer, lane);
    if (out == NULL) {
        return false;
    }
    if (peer->user_taken < out->after_user || peer->bulk_taken < out->after_bulk) {
        return false; // neither a notification nor a large message overtakes those before it
    }
    put_t result = put(link, lane, out, za_worker_now_ms(worker));
    if (result == PUT_FULL) {
        *full = true;
        return false;
    }
    if (result == PUT_MORE) {
        return true;
    }
    if (result == PUT_DROP) {
        ZA_COUNT(link->node, lost_link, 1);
    } else if (out->kind == ZA_OUT_MESSAGE) {
        link->sent_messages++;
    }
    spend(peer, lane, worker);
    return true;
}

bool za_lanes_fill(za_link_t *link, za_worker_t *worker)
{
    bool moved = false;
    bool full = false;
    for (bool progress = true; progress && !full; moved |= progress) {
        progress = false;
        while (put_next(link, ZA_LANE_CONTROL, worker, &full)) {
            progress = true;
        }
        while (!full && put_next(link, ZA_LANE_SYSTEM, worker, &full)) {
            progress = true;
        }
        for (int i = 0; i < ZA_USER_RUN_MAX && !full; i++) {
            if (!put_next(link, ZA_LANE_USER, worker, &full)) {
                break;
            }
            progress = true;
        }
        // One chunk after each run of small messages: neither starves the other.
        if (!full && put_next(link, ZA_LANE_BULK, worker, &full)) {
            progress = true;
        }
    }
    return moved;
}
