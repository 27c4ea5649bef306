// Lanes: where frames for another node wait until the holder of its link takes them.

#include "node/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/pages.h"
#include "base/secret.h"
#include "core/ctx.h"

static_assert(ZA_PEER_SLOTS_MAX % ZA_LANES_CHUNK == 0, "chunks for the lanes of all slots");

/* ---- whose they are --------------------------------------------------------------------------- */

za_err_t za_lanes_create(za_node_t *node)
{
    node->dirty = za_pages_alloc(ZA_POOLS_MAX * sizeof *node->dirty);
    if (node->dirty == NULL || pthread_mutex_init(&node->lanes_lock, NULL) != 0) {
        return ZA_ENOMEM;
    }
    node->lanes_ready = true;
    return ZA_OK;
}

static za_lanes_t *lanes_at(const za_node_t *node, uint32_t index)
{
    return &node->lanes_chunks[index / ZA_LANES_CHUNK][index % ZA_LANES_CHUNK];
}

/** Lanes that no peer has; NULL: no memory. Under the lock. */
static za_lanes_t *take_lanes(za_node_t *node)
{
    za_lanes_t *lanes = node->lanes_free;
    if (lanes != NULL) {
        node->lanes_free = lanes->next_free;
        return lanes;
    }
    uint32_t index = node->lanes_count;
    ZA_ASSERT(index < ZA_PEER_SLOTS_MAX); // the others all have a slot each
    za_lanes_t **chunk = &node->lanes_chunks[index / ZA_LANES_CHUNK];
    if (*chunk == NULL) {
        *chunk = aligned_alloc(_Alignof(za_lanes_t), ZA_LANES_CHUNK * sizeof **chunk);
        if (*chunk == NULL) {
            return NULL;
        }
        memset(*chunk, 0, ZA_LANES_CHUNK * sizeof **chunk);
    }
    node->lanes_count++;
    lanes = lanes_at(node, index);
    for (int lane = 0; lane < ZA_LANE_COUNT; lane++) {
        za_queue_init(&lanes->queues[lane]);
    }
    return lanes;
}

/** The first that sends to a peer makes them; a lock, once for each peer that is ever sent to. */
__attribute__((noinline)) static za_lanes_t *make_lanes(za_node_t *node, za_peer_t *peer)
{
    pthread_mutex_lock(&node->lanes_lock);
    za_lanes_t *lanes = atomic_load_explicit(&peer->lanes, memory_order_relaxed); // under the lock
    if (lanes == NULL) {
        lanes = take_lanes(node);
        if (lanes != NULL) {
            lanes->peer = peer;
            atomic_store_explicit(&peer->lanes, lanes, memory_order_release); // pairs: peer-lanes
        }
    }
    pthread_mutex_unlock(&node->lanes_lock);
    return lanes;
}

static inline za_lanes_t *lanes_of(za_node_t *node, za_peer_t *peer)
{
    za_lanes_t *lanes =
        atomic_load_explicit(&peer->lanes, memory_order_acquire); // pairs: peer-lanes
    return lanes != NULL ? lanes : make_lanes(node, peer);
}

za_lanes_t *za_peer_lanes(za_node_t *node, za_peer_t *peer)
{
    return lanes_of(node, peer);
}

/* ---- producers -------------------------------------------------------------------------------- */

static inline void mark_dirty(za_node_t *node, za_worker_t *worker, const za_peer_t *peer)
{
    za_dirty_t *dirty = &node->dirty[za_worker_index(worker)];
    uint32_t word = peer->index / 64;
    dirty->words[word] |= UINT64_C(1) << (peer->index % 64);
    dirty->groups[word / 64] |= UINT64_C(1) << (word % 64);
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
static inline void push(za_node_t *node, za_worker_t *worker, za_peer_t *peer, za_lanes_t *lanes,
                        uint64_t uid, za_lane_t lane, za_out_t *out)
{
    out->uid = uid;
    // relaxed: statistics and bounds; the queue publishes the frame.
    atomic_fetch_add_explicit(&lanes->queued_bytes[lane], out->size + ZA_OUT_COST,
                              memory_order_relaxed);
    if (lane == ZA_LANE_USER) {
        atomic_fetch_add_explicit(&lanes->user_pushed, 1, memory_order_relaxed);
    } else if (lane == ZA_LANE_BULK) {
        atomic_fetch_add_explicit(&lanes->bulk_pushed, 1, memory_order_relaxed);
    }
    za_queue_push(&lanes->queues[lane], &out->link);
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
static za_lane_t choose_lane(const za_lanes_t *lanes, uint16_t pair, size_t size)
{
    // relaxed: one pair's messages come from one actor, whose runs are ordered. The counter falls
    // when a frame has entered the stream, and a stale high value only picks the slower lane.
    bool behind = atomic_load_explicit(&lanes->bulk_pairs[pair], memory_order_relaxed) > 0;
    return size > ZA_MESSAGE_FRAME_BODY_MAX || behind ? ZA_LANE_BULK : ZA_LANE_USER;
}

static void enter_bulk(za_lanes_t *lanes, za_out_t *out, uint16_t pair)
{
    atomic_fetch_add_explicit(&lanes->bulk_pairs[pair], 1, memory_order_relaxed); // see choose_lane
    out->pair = pair;
    out->bulk = true;
    out->after_user = atomic_load_explicit(&lanes->user_pushed, memory_order_relaxed); // own sends
}

static bool lane_is_full(const za_lanes_t *lanes, za_lane_t lane, size_t size)
{
    // relaxed: a bound, which producers on several workers may pass by one message each.
    return atomic_load_explicit(&lanes->queued_bytes[lane], memory_order_relaxed) + size >
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

/** What any message to `peer` needs: a way, a bound of its bytes, queues. */
static za_err_t begin_send(za_node_t *node, za_peer_t *peer, const za_outgoing_t *message,
                           size_t *size, za_lanes_t **lanes)
{
    if (has_no_route(node, peer)) {
        return ZA_ENOROUTE;
    }
    za_err_t err = encoding_bound(message, size);
    if (err != ZA_OK) {
        return err;
    }
    *lanes = lanes_of(node, peer);
    return *lanes != NULL ? ZA_OK : ZA_ENOBUFS;
}

za_err_t za_peer_send(za_node_t *node, za_worker_t *worker, za_peer_t *peer,
                      const za_outgoing_t *message)
{
    size_t size = 0;
    za_lanes_t *lanes = NULL;
    za_err_t err = begin_send(node, peer, message, &size, &lanes);
    if (err != ZA_OK) {
        return err;
    }
    uint16_t pair = pair_of(message->sender, message->to.actor);
    za_lane_t lane = choose_lane(lanes, pair, size);
    if (lane_is_full(lanes, lane, size)) {
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
        enter_bulk(lanes, out, pair);
    }
    push(node, worker, peer, lanes, message->to.node, lane, out);
    return ZA_OK;
}

/* ---- one frame for several receivers ---------------------------------------------------------- */

/** True if something between the sender and one of these goes in the bulk lane still. */
static bool is_behind_bulk(const za_lanes_t *lanes, za_ref_t sender, const za_ref_t *to,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint16_t pair = pair_of(sender, to[i].actor);
        if (atomic_load_explicit(&lanes->bulk_pairs[pair], memory_order_relaxed) > 0) {
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
    const za_lanes_t *lanes =
        atomic_load_explicit(&peer->lanes, memory_order_acquire); // pairs: peer-lanes
    size_t size = 0;
    return encoding_bound(message, &size) == ZA_OK && size <= ZA_PUBLICATION_BODY_MAX &&
           (lanes == NULL || !is_behind_bulk(lanes, message->sender, to, count));
}

za_err_t za_peer_publish(za_node_t *node, za_worker_t *worker, za_peer_t *peer, uint64_t uid,
                         const za_outgoing_t *message, const char *group)
{
    size_t size = 0;
    za_lanes_t *lanes = NULL;
    za_err_t err = begin_send(node, peer, message, &size, &lanes);
    if (err != ZA_OK) {
        return err;
    }
    if (lane_is_full(lanes, ZA_LANE_USER, size)) {
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
    push(node, worker, peer, lanes, uid, ZA_LANE_USER, out);
    return ZA_OK;
}

void za_peer_fail_ask(za_node_t *node, za_worker_t *worker, za_peer_t *peer, za_ref_t asker,
                      uint64_t ask, za_Reason reason)
{
    // A peer that asks and does not read must not fill the pool with its failures.
    za_lanes_t *lanes = has_no_route(node, peer) ? NULL : lanes_of(node, peer);
    bool refuse = lanes == NULL || lane_is_full(lanes, ZA_LANE_USER, 0);
    za_out_t *out = refuse ? NULL : out_create(worker, 0);
    if (out == NULL) {
        return; // the ask then ends by its deadline
    }
    out->kind = ZA_OUT_MESSAGE;
    out->message = (za_wire_message_t){
        .target = asker.actor, .ask = ask, .reply = true, .failed = true, .reason = reason
    };
    push(node, worker, peer, lanes, asker.node, ZA_LANE_USER, out);
}

void za_peer_frame(za_node_t *node, za_peer_t *peer, int kind, za_lane_t lane, const uint8_t *bytes,
                   uint32_t size)
{
    za_link_t *link = atomic_load_explicit(&peer->link, memory_order_relaxed); // ours to change
    if (link == NULL) {
        return; // the cluster hears of links and sends again what must arrive
    }
    za_lanes_t *lanes =
        atomic_load_explicit(&peer->lanes, memory_order_relaxed); // as with any link
    if (lane_is_full(lanes, lane, size)) {
        za_node_log(node, ZA_WARN, "node %s takes nothing any more: its link is closed",
                    peer->name);
        za_link_close(link, ZA_EFULL); // and the cluster goes on over another, or without it
        return;
    }
    za_out_t *out = out_create(node->worker, size);
    if (out == NULL) {
        return; // as without a link; the pool counts it
    }
    out->kind = kind;
    memcpy(out->bytes, bytes, size);
    // A heartbeat overtakes: behind megabytes it would look like a failure. But the word that we have
    // left ends the link at the other side, and does not cut off what was sent before.
    bool leaving = atomic_load_explicit(&node->leaving, memory_order_relaxed); // a hint
    if (lane == ZA_LANE_SYSTEM || leaving) {
        // relaxed: the sends that must not be overtaken happened before this step.
        out->after_user = atomic_load_explicit(&lanes->user_pushed, memory_order_relaxed);
        out->after_bulk = atomic_load_explicit(&lanes->bulk_pushed, memory_order_relaxed);
    }
    // relaxed: ours to change
    push(node, node->worker, peer, lanes, atomic_load_explicit(&peer->uid, memory_order_relaxed),
         lane, out);
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
    uint64_t uid = atomic_load_explicit(&peer->uid, memory_order_relaxed); // of any that it had
    if (uid == 0 ||
        atomic_load_explicit(&peer->terminal, memory_order_relaxed) || // a late look is as good
        atomic_exchange_explicit(&peer->wanted, true, memory_order_relaxed)) { // a hint
        return;
    }
    za_cluster_event_t event = { .type = ZA_CLUSTER_WANT_LINK, .uid = uid };
    ZA_IGNORE(za_request_event(node, worker, &event, false)); // else the sweep says it
}

uint64_t za_peer_user_pushed(za_node_t *node, uint64_t uid)
{
    za_peer_t *peer = za_peer_find(node, uid);
    const za_lanes_t *lanes =
        peer == NULL
            ? NULL
            : atomic_load_explicit(&peer->lanes, memory_order_acquire); // pairs: peer-lanes
    // relaxed: the asker's own sends are before it in program order.
    return lanes == NULL ? 0 : atomic_load_explicit(&lanes->user_pushed, memory_order_relaxed);
}

static uint64_t queued_bytes(const za_lanes_t *lanes)
{
    uint64_t queued = 0;
    for (int lane = 0; lane < ZA_LANE_COUNT; lane++) {
        // relaxed: a message that comes later is seen by the next look
        queued += atomic_load_explicit(&lanes->queued_bytes[lane], memory_order_relaxed);
    }
    return queued;
}

uint64_t za_peer_queued_bytes(const za_peer_t *peer)
{
    const za_lanes_t *lanes =
        atomic_load_explicit(&peer->lanes, memory_order_acquire); // pairs: peer-lanes
    return lanes == NULL ? 0 : queued_bytes(lanes);
}

/* ---- the end of a turn ------------------------------------------------------------------------ */

static void flush_peer(za_node_t *node, za_worker_t *worker, za_peer_t *peer)
{
    if (link_of(peer) == NULL) {
        want_link(node, worker, peer);
    }
    // Once more if it was replaced meanwhile: the former one writes nothing for the peer.
    za_link_t *flushed = NULL;
    for (za_link_t *link = link_of(peer); link != NULL && link != flushed; link = link_of(peer)) {
        za_link_flush(link, worker);
        flushed = link;
    }
}

static void flush_word(za_node_t *node, za_worker_t *worker, uint64_t *bits, uint32_t first)
{
    while (*bits != 0) {
        uint32_t bit = (uint32_t)__builtin_ctzll(*bits);
        *bits &= *bits - 1;
        flush_peer(node, worker, za_peer_at(node, first + bit));
    }
}

void za_peers_flush(za_node_t *node, za_worker_t *worker)
{
    za_dirty_t *dirty = &node->dirty[za_worker_index(worker)];
    for (uint32_t group = 0; group < ZA_DIRTY_GROUPS; group++) {
        while (dirty->groups[group] != 0) {
            uint32_t word = group * 64 + (uint32_t)__builtin_ctzll(dirty->groups[group]);
            dirty->groups[group] &= dirty->groups[group] - 1;
            flush_word(node, worker, &dirty->words[word], word * 64);
        }
    }
}

/* ---- consumers: the holder of the link's flag, the owner while there is no link ---------------- */

static void taken(za_lanes_t *lanes, za_lane_t lane, const za_out_t *out)
{
    atomic_fetch_sub_explicit(&lanes->queued_bytes[lane], out->size + ZA_OUT_COST,
                              memory_order_relaxed); // a bound
    if (lane == ZA_LANE_USER) {
        lanes->user_taken++;
    } else if (lane == ZA_LANE_BULK) {
        lanes->bulk_taken++;
    }
    if (out->bulk) {
        atomic_fetch_sub_explicit(&lanes->bulk_pairs[out->pair], 1, memory_order_relaxed);
    }
}

/** What the cluster says is sent again, or out of date. */
static void count_lost(za_node_t *node, const za_out_t *out)
{
    if (out->kind == ZA_OUT_MESSAGE) {
        ZA_COUNT(node, lost_link, 1);
    }
}

/** The next frame of the lane, which stays its head until it is spent. */
static za_out_t *head(za_lanes_t *lanes, za_lane_t lane)
{
    if (lanes->heads[lane] == NULL) {
        za_queue_node_t *item = za_queue_pop(&lanes->queues[lane]);
        lanes->heads[lane] = item == NULL ? NULL : ZA_CONTAINER(item, za_out_t, link);
    }
    return lanes->heads[lane];
}

static void spend(za_lanes_t *lanes, za_lane_t lane, za_worker_t *worker)
{
    za_out_t *out = lanes->heads[lane];
    lanes->heads[lane] = NULL;
    taken(lanes, lane, out);
    if (out->kind == ZA_OUT_CONTROL && za_is_key_frame(out->bytes, out->size)) {
        za_secret_zero(out->bytes, out->size);
    }
    za_message_free(worker, out->block);
}

static void discard_lane(za_node_t *node, za_lanes_t *lanes, za_lane_t lane)
{
    for (za_out_t *out = head(lanes, lane); out != NULL; out = head(lanes, lane)) {
        count_lost(node, out);
        spend(lanes, lane, node->worker);
    }
}

static void discard(za_node_t *node, za_lanes_t *lanes)
{
    for (za_lane_t lane = 0; lane < ZA_LANE_COUNT && lanes != NULL; lane++) {
        discard_lane(node, lanes, lane);
    }
}

void za_lanes_discard(za_node_t *node, za_peer_t *peer)
{
    discard(node, atomic_load_explicit(&peer->lanes, memory_order_acquire)); // pairs: peer-lanes
}

void za_lanes_discard_service(za_node_t *node, za_peer_t *peer)
{
    // relaxed: it had a link, for which the owner saw to them
    za_lanes_t *lanes = atomic_load_explicit(&peer->lanes, memory_order_relaxed);
    discard_lane(node, lanes, ZA_LANE_CONTROL);
    discard_lane(node, lanes, ZA_LANE_SYSTEM);
}

void za_lanes_release(za_node_t *node, za_peer_t *peer)
{
    pthread_mutex_lock(&node->lanes_lock);
    za_lanes_t *lanes = atomic_load_explicit(&peer->lanes, memory_order_relaxed); // under the lock
    if (lanes != NULL) {
        discard(node, lanes);
        lanes->peer = NULL;
        lanes->waiting_ms = 0;
        lanes->next_free = node->lanes_free;
        node->lanes_free = lanes;
        atomic_store_explicit(&peer->lanes, NULL, memory_order_relaxed); // a late look finds them
    }
    pthread_mutex_unlock(&node->lanes_lock);
}

void za_lanes_destroy(za_node_t *node)
{
    for (uint32_t i = 0; i < node->lanes_count; i++) {
        discard(node, lanes_at(node, i));
    }
    for (uint32_t i = 0; i < ZA_LANES_CHUNKS_MAX; i++) {
        free(node->lanes_chunks[i]);
    }
    if (node->lanes_ready) {
        pthread_mutex_destroy(&node->lanes_lock);
    }
    za_pages_free(node->dirty, ZA_POOLS_MAX * sizeof *node->dirty);
}

/* ---- now and then ------------------------------------------------------------------------------ */

/** The peer that lanes belong to. Of lanes that are free it takes out what was pushed late. */
static za_peer_t *look_at(za_node_t *node, uint32_t index)
{
    pthread_mutex_lock(&node->lanes_lock);
    za_lanes_t *lanes = lanes_at(node, index);
    za_peer_t *peer = lanes->peer;
    if (peer == NULL) {
        discard(node, lanes); // under the lock: nobody can begin to use them meanwhile
    }
    pthread_mutex_unlock(&node->lanes_lock);
    return peer;
}

/** Above the size of a full mesh the cluster makes links, and keeps them, for whom messages are. */
static void sweep_use(za_node_t *node, za_peer_t *peer, bool waits)
{
    // relaxed, both: what is missed now is seen at the next sweep.
    atomic_store_explicit(&peer->wanted, false, memory_order_relaxed);
    bool used = atomic_load_explicit(&peer->used, memory_order_relaxed);
    if (used) {
        atomic_store_explicit(&peer->used, false, memory_order_relaxed);
    }
    if (used || waits) {
        uint64_t uid = atomic_load_explicit(&peer->uid, memory_order_relaxed); // ours
        za_node_step(node, &(za_cluster_event_t){ .type = ZA_CLUSTER_WANT_LINK, .uid = uid });
    }
}

static void sweep_peer(za_node_t *node, za_peer_t *peer)
{
    // relaxed, all: ours to change
    za_lanes_t *lanes = atomic_load_explicit(&peer->lanes, memory_order_relaxed);
    bool gone = atomic_load_explicit(&peer->terminal, memory_order_relaxed) ||
                atomic_load_explicit(&peer->uid, memory_order_relaxed) == 0;
    if (atomic_load_explicit(&peer->link, memory_order_relaxed) != NULL) {
        lanes->waiting_ms = 0;
        sweep_use(node, peer, false);
        return;
    }
    // Nobody drains a lane without a link: give up what is older than the limit.
    bool waits = queued_bytes(lanes) > 0;
    bool late =
        waits && lanes->waiting_ms != 0 && node->now_ms - lanes->waiting_ms >= ZA_UNLINKED_MS_MAX;
    if (gone || late) {
        discard(node, lanes);
        waits = false;
    }
    lanes->waiting_ms = !waits ? 0 : lanes->waiting_ms != 0 ? lanes->waiting_ms : node->now_ms;
    if (!gone) {
        sweep_use(node, peer, waits);
    }
}

void za_lanes_sweep(za_node_t *node)
{
    pthread_mutex_lock(&node->lanes_lock);
    uint32_t count = node->lanes_count;
    pthread_mutex_unlock(&node->lanes_lock);
    for (uint32_t i = 0; i < count; i++) {
        za_peer_t *peer = look_at(node, i);
        if (peer != NULL) {
            sweep_peer(node, peer);
        }
    }
}

/* ---- into the session -------------------------------------------------------------------------- */

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
        put_t begun = put_of(za_session_put_bulk_begin(link->session, &out->message));
        if (begun != PUT_DONE) {
            return begun;
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
    return put_of(za_session_put_message(link->session, &out->message));
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
    return put_of(za_session_put_frame(link->session, kind, lane, out->bytes, out->size));
}

/** Puts one frame or chunk of a lane; false: none is there, it must wait, or there is no room. */
static bool put_next(za_link_t *link, za_lane_t lane, za_worker_t *worker, bool *full)
{
    // relaxed: the owner saw to them before the link had a peer
    za_lanes_t *lanes = atomic_load_explicit(&link->peer->lanes, memory_order_relaxed);
    za_out_t *out = head(lanes, lane);
    if (out == NULL) {
        return false;
    }
    if (lanes->user_taken < out->after_user || lanes->bulk_taken < out->after_bulk) {
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
        count_lost(link->node, out);
    } else if (out->kind == ZA_OUT_MESSAGE) {
        link->sent_messages++;
    }
    spend(lanes, lane, worker);
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
