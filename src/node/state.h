/** The structs of a node, shared by the files of this folder and private to them. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/queue.h"
#include "cluster/member_keys.h"
#include "net/datagram.h"
#include "net/links.h"
#include "net/session.h"
#include "node/admin.h"
#include "node/names.h"
#include "node/node.h"
#include "node/peer_index.h"
#include "node/refusals.h"
#include "node/roles.h"
#include "wire/envelope.h"

enum {
    ZA_LINKS_MAX = 2 * ZA_PEERS_MAX, // each peer may have an old and a new connection
    // All that members_max lets be known, and as many that have a link and are not known yet.
    ZA_PEER_SLOTS_MAX = ZA_MEMBERS_MAX + ZA_PEERS_MAX,
    ZA_PEER_CHUNK = 64,  // slots that are taken from memory at a time
    ZA_LANES_CHUNK = 16, // lanes that are
    ZA_LANES_CHUNKS_MAX = ZA_PEER_SLOTS_MAX / ZA_LANES_CHUNK, // each has a slot, or serves the next
    ZA_DIRTY_GROUPS = (ZA_PEER_SLOTS_MAX + 4095) / 4096,      // a bit for a word of 64 bits
    ZA_LANE_BYTES_MAX =
        4 * 1024 * 1024,           // queued for one lane of one peer: the sender's backpressure
    ZA_LINK_OUT_BYTES = 64 * 1024, // one write: larger was no faster, and it delays control frames
    ZA_LINK_IN_BYTES = 64 * 1024,
    ZA_LINK_READ_BYTES_MAX = 512 * 1024, // per readable callback, so that links take turns
    ZA_BULK_SLOTS = 16,                  // large messages of one link in reassembly at a time
    ZA_BULK_PAIRS = 256,                 // hashed (sender, target) pairs with bulk queued
    ZA_GREETERS_MAX = 4,                 // TLS handshakes at a time
    ZA_OUTGOING_MAX = 4,        // connects that are being made at a time, where no greeter counts
    ZA_WAITING_MAX = 64,        // connects that wait for these: as many as a full mesh has peers
    ZA_STARTED_MAX = 10000,     // children started in one step: twice what the cluster holds
    ZA_SUBSCRIBERS_MAX = 4096,  // actors that hear of membership
    ZA_LISTENERS_MAX = 1024,    // subscriptions to names and groups: each change looks at all
    ZA_UNLINKED_MS_MAX = 10000, // frames for a peer without a link are kept this long
    ZA_PEER_QUARANTINE_MS =
        60000,             // before the slot of a dead uid serves another, while there are more
    ZA_PEERS_SWEPT = 256,  // slots that one sweep looks at
    ZA_USER_RUN_MAX = 256, // small messages between two chunks of a large one
    ZA_ENCODE_AT_ONCE_MAX = 1024, // types of a smaller bound are encoded without being measured
    ZA_OUT_COST = 256,            // bytes charged for a queued frame beside its body
    ZA_MESSAGE_FRAME_BODY_MAX = ZA_CHUNK_BYTES_MAX - 256, // larger bodies go in chunks
    // A published message above it goes to each member by itself: in chunks, if need be.
    ZA_PUBLICATION_BODY_MAX = 15 * 1024,
    ZA_PUBLICATION_TARGET = 1, // slot 1, generation 0: no actor
    ZA_INBOX_BATCH_MAX = 4096, // requests per service, so that input gets its turn
};

/** What is queued on a lane: a frame for one peer. Lies in the body of a pool block. */
typedef struct za_out {
    za_queue_node_t link;
    za_message_t *block;
    uint64_t uid; // the peer it is meant for: slots of peers are reused
    enum { ZA_OUT_DATAGRAM, ZA_OUT_CONTROL, ZA_OUT_SYSTEM, ZA_OUT_MESSAGE } kind;
    uint32_t size; // of bytes
    uint32_t sent; // of a large message in chunks
    uint16_t pair;
    bool bulk; // counted in bulk_pairs
    uint64_t deadline_ms;
    uint64_t after_user;       // not before so many user messages ...
    uint64_t after_bulk;       // ... and bulk ones have entered the stream
    za_wire_message_t message; // ZA_OUT_MESSAGE; its body is `bytes`
    uint8_t bytes[];
} za_out_t;

typedef struct za_link za_link_t;

typedef struct za_peer za_peer_t;

/**
 * What is queued for one peer. Made when the first frame for it is sent, or a link to it: most members
 * of a large cluster never get there. Type-stable: when its peer is gone it serves another, and a
 * frame that is pushed late says whom it is for.
 */
typedef struct za_lanes {
    za_queue_t queues[ZA_LANE_COUNT];
    _Atomic uint64_t queued_bytes[ZA_LANE_COUNT];
    _Atomic uint64_t user_pushed, bulk_pushed;
    _Atomic uint16_t bulk_pairs[ZA_BULK_PAIRS];
    // The holder of the link's flag; the owner while there is no link.
    uint64_t user_taken, bulk_taken;
    za_out_t *heads[ZA_LANE_COUNT]; // taken from the queue, not yet in the stream
    // Under lanes_lock.
    za_peer_t *peer; // NULL: free
    struct za_lanes *next_free;
    // The owner.
    uint64_t waiting_ms; // since when frames wait for a link; 0: none do
} za_lanes_t;

/** One process start of another node. Type-stable: slots are reused, never freed. */
struct za_peer {
    _Atomic uint64_t uid; // 0: free
    _Atomic(za_link_t *) link;
    _Atomic(za_lanes_t *) lanes; // NULL: nothing was ever for it
    uint32_t index;              // of the slot; constant
    _Atomic bool terminal;       // written by the owner, as the next three
    _Atomic bool unreachable;    // so it is said to be
    _Atomic bool apart;          // it lives, and no link to it can be made
    _Atomic uint64_t heard_ms;   // when something of its cluster layer came
    _Atomic bool wanted;         // a frame waited for a link, and the cluster was told
    _Atomic bool used;           // messages went to or fro since the last sweep
    // The owner.
    bool met; // there was a link
    bool udp_degraded;
    uint32_t udp_unanswered; // datagrams by UDP since the last that came by it, up to a limit ...
    uint64_t udp_since_ms;   // ... the first of them
    uint64_t udp_heard_ms;   // a datagram of it by UDP; 0: none yet
    uint64_t announced;      // the uid that was announced as up
    uint64_t since_ms;       // terminal, or without a link
    char name[ZA_NODE_NAME_BYTES_MAX + 1];
};

/** Peers that a worker queued frames for in this turn: bits of slots, and of their words. */
typedef struct za_dirty {
    uint64_t groups[ZA_DIRTY_GROUPS];
    uint64_t words[ZA_DIRTY_GROUPS * 64];
} za_dirty_t;

static inline void za_peer_use(za_peer_t *peer)
{
    // relaxed, both: a hint. Written once for each sweep, not with each message.
    if (!atomic_load_explicit(&peer->used, memory_order_relaxed)) {
        atomic_store_explicit(&peer->used, true, memory_order_relaxed);
    }
}

typedef enum za_link_state {
    ZA_LINK_FREE,
    ZA_LINK_CONNECTING,
    ZA_LINK_GREETING,    // security handshake and Hello
    ZA_LINK_MEMBER,      // the active link of a peer
    ZA_LINK_CLIENT,      // administration
    ZA_LINK_LOCAL_ADMIN, // unix socket: raw admin frames, no session
} za_link_state_t;

enum { ZA_FLAG_HELD = 1, ZA_FLAG_AGAIN = 2 };

/** One connection. Type-stable. */
struct za_link {
    za_node_t *node;
    _Atomic uint32_t flag; // who holds it may use session, conn and out; ZA_FLAG_AGAIN: flush again
    // The holder of the flag.
    za_session_t *session;
    za_conn_t *conn;
    za_peer_t *peer;
    za_out_t *chunked;      // large message of which chunks are in the stream
    bool blocked;           // the socket took less than we had
    bool moved;             // bytes, since the last sweep
    bool rested;            // its empty buffers hold no memory
    uint64_t sent_messages; // since the counters were last told
    uint32_t out_used, out_sent;
    uint8_t *out; // ZA_LINK_OUT_BYTES
    struct {
        uint32_t id;
        uint32_t size, have;
        za_message_t *block;
        za_wire_message_t envelope;
    } bulk[ZA_BULK_SLOTS];
    // The owner.
    za_link_state_t state;
    bool closing;
    za_err_t close_err;
    bool goodbye;       // it ended with a reason given: no evidence of a failure
    bool duplicate;     // it ended because another connection of the pair stays: nothing to log
    bool told_down;     // the cluster knows already
    bool wants_greeter; // at the next release
    bool with_greeter;  // a greeter holds the flag and gives it back through the inbox
    bool has_event;     // its result
    za_session_event_t event;
    bool owner_holds;    // the flag, during a callback
    uint32_t generation; // of the slot
    uint64_t peer_uid;
    bool we_connected;
    uint64_t opened_ms;
    uint32_t roles;
    char address[ZA_ADDRESS_BYTES_MAX + 1];
    uint8_t *admin_in; // ZA_LINK_LOCAL_ADMIN: request being read
    uint32_t admin_have;
};

/** A request of a worker or a foreign thread to the owner. */
typedef struct za_request {
    za_queue_node_t link;
    za_message_t *block; // NULL: from malloc
    enum {
        ZA_REQUEST_EVENT, // a cluster event
        ZA_REQUEST_SUBSCRIBE,
        ZA_REQUEST_LISTEN, // to names or groups: event.kind says which
        ZA_REQUEST_UNLISTEN,
        ZA_REQUEST_QUERY_MEMBER,
        ZA_REQUEST_QUERY_NAME,
        ZA_REQUEST_ARM_WRITE,
        ZA_REQUEST_CLOSE_LINK,
        ZA_REQUEST_GREETED, // a greeter gives its link back
    } kind;
    za_cluster_event_t event;
    za_spawn_spec_t spawn;
    const za_class_t *class_;
    za_link_t *target;
    uint8_t bytes[];
} za_request_t;

typedef struct za_subscriber {
    uint64_t actor;
    const za_class_t *class_;
} za_subscriber_t;

/** An actor that hears of the names with a prefix, or of the members of a group. */
typedef struct za_news_listener {
    uint64_t actor;
    za_name_kind_t kind;
    char of[ZA_NAME_BYTES_MAX + 1]; // the prefix, or the group; empty: all of them
} za_news_listener_t;

struct za_node {
    za_node_params_t params;
    void *process; // host 1's half
    char name[ZA_NODE_NAME_BYTES_MAX + 1];
    char cluster_name[ZA_CLUSTER_NAME_BYTES_MAX + 1];
    char address[ZA_ADDRESS_BYTES_MAX + 1];

    za_runtime_t *runtime;
    za_names_t *names;
    za_roles_t *roles;
    _Atomic uint64_t uid;
    _Atomic uint64_t spawn_requests; // ids of za_spawn_on
    _Atomic bool leaving, left;
    _Atomic uint32_t unreachable_count; // of peers; written by the owner, read by those who route
    _Atomic bool may_claim;             // unique names: the cluster's opinion after its last step

    za_peer_index_t index; // written by the owner, read by everyone

    // Whoever has something for a peer for the first time.
    pthread_mutex_t lanes_lock;
    za_lanes_t *lanes_chunks[ZA_LANES_CHUNKS_MAX];
    bool lanes_ready;     // the lock is there
    uint32_t lanes_count; // ever made
    za_lanes_t *lanes_free;

    za_queue_t inbox;
    _Atomic bool inbox_kicked;

    za_dirty_t *dirty; // ZA_POOLS_MAX; each its worker's only

    // The owner.
    za_cluster_t *cluster;
    za_effects_t *effects;
    za_worker_t *worker; // of the owner, during service and callbacks
    uint64_t now_ms, now_us;
    za_peer_t *peer_chunks[ZA_PEER_SLOTS_MAX / ZA_PEER_CHUNK];
    uint32_t peers_top;   // of those that were ever in use: nobody looks behind it
    uint32_t peers_free;  // of those below it
    uint32_t peers_swept; // where the next sweep begins ...
    uint32_t peers_taken; // ... and the next look for a free one
    za_link_t *links;
    uint32_t links_top; // of those that were ever in use: nobody looks behind it
    za_links_t *link_rules;
    struct {
        char address[ZA_ADDRESS_BYTES_MAX + 1];
        uint64_t uid; // of a member whose first link it is; 0: it is needed now
        uint64_t since_ms;
    } waiting[ZA_WAITING_MAX]; // connects that others keep from beginning, the oldest first
    uint32_t waiting_count;
    uint32_t newcomers;                   // members that came up, each soon after the other
    uint64_t newcomers_ms, mesh_after_ms; // since when; until when the mesh waits for more of them
    uint8_t *in;                          // ZA_LINK_IN_BYTES
    za_subscriber_t *subscribers;
    uint32_t subscriber_count;
    za_news_listener_t *listeners;
    _Atomic uint32_t listener_count; // read by those who subscribe
    bool stepping;
    za_cluster_event_t started[ZA_STARTED_MAX]; // children of this step, to be told
    uint32_t started_count;
    uint32_t closing_count;
    uint64_t announced;         // own uid, once announced as up
    uint64_t received_messages; // since the counters were last told
    za_ref_t greeters[ZA_GREETERS_MAX];
    uint32_t greeter_count;
    bool untidy;                    // a handshake took place since the heap was tidied
    uint64_t greeted_ms, tidied_ms; // the last one; 0: never
    za_admin_t *admin;
    uint64_t started_ms;
    uint8_t *reply;            // ZA_ADMIN_REPLY_BYTES_MAX
    uint64_t sweep_ms;         // next look at idle peers and slow greetings
    za_datagrams_t *datagrams; // NULL: they go over links only
    uint64_t epoch;            // of the key that datagrams are sealed with; 0: none
    uint64_t answering;        // whose datagram over a link is being stepped; 0: none
    bool wants_material;
    bool rotation_due;
    za_refusals_t link_refusals;            // by us
    za_refusals_t join_refusals;            // of us, which strangers' do not push out of the log
    bool gave_up;                           // in a split, and is about to be reborn
    uint64_t refused_datagrams, refused_ms; // since the last line of the log; the next may come

    struct {
        _Atomic uint64_t bytes_out, bytes_in, writes, messages_out, messages_in, lost_link,
            queue_full, links_opened, links_refused, links_closed, admin_requests, datagrams_out,
            datagrams_unsent, datagrams_linked, udp_degraded, apart_refused, discovery_lookups,
            discovery_failures, discovery_lines_bad, discovery_addresses;
    } counters;
};

#define ZA_COUNT(node, counter, n)                                                                 \
    atomic_fetch_add_explicit(&(node)->counters.counter, (n), memory_order_relaxed) // a statistic

/* node.c */
/** Reads the clock: at each callback, because a poll may have slept. Owner. */
void za_node_touch(za_node_t *node);
void za_node_step(za_node_t *node, const za_cluster_event_t *event);
void za_node_log(const za_node_t *node, int level, const char *format, ...) ZA_PRINTF(3, 4);

/* refusals.c */
/** Says that the cluster will not have this node, and why: the same once in a minute. Owner. */
void za_node_refused(za_node_t *node, const char *why);

/* inbox.c: requests from workers to the owner */
/** A zeroed request with room for `bytes`; `must` ones fall back to the heap and fail only there. */
za_request_t *za_request_create(za_node_t *node, za_worker_t *worker, size_t bytes, bool must);
void za_request_post(za_node_t *node, za_request_t *request);
void za_request_destroy(za_worker_t *worker, za_request_t *request);
/** Hands an event, and a copy of its name, to the cluster. ZA_ENOBUFS, or ZA_ENOMEM if it must. */
za_err_t za_request_event(za_node_t *node, za_worker_t *worker, const za_cluster_event_t *event,
                          bool must);
void za_inbox_drain(za_node_t *node);

/* peers.c: who is there */
za_err_t za_peers_create(za_node_t *node);
void za_peers_destroy(za_node_t *node);                                    // at the end
za_peer_t *za_peer_find(const za_node_t *node, uint64_t uid);              // any thread
za_peer_t *za_peer_claim(za_node_t *node, uint64_t uid, const char *name); // owner
/** The peer in a slot below peers_top; its uid is 0 if the slot is free. */
za_peer_t *za_peer_at(const za_node_t *node, uint32_t index);
void za_peer_heard(za_node_t *node, uint64_t uid);                // owner
void za_peer_unreachable(za_node_t *node, uint64_t uid, bool is); // owner
/** From now on workers flush over `link`; what they queued before, its holder does. Owner. */
void za_peer_link(za_peer_t *peer, za_link_t *link);
void za_peer_down(za_node_t *node, uint64_t uid); // owner: give up what is queued
/** No link to it can be made: give up what is queued for it, and take no more. Owner. */
void za_peer_apart(za_node_t *node, uint64_t uid, bool is);
/** A link to it begins: what waits for it goes over that one, unless it was apart. Owner. */
void za_peer_begin_link(za_node_t *node, za_peer_t *peer);
void za_peers_sweep(za_node_t *node); // owner

/* lanes.c: what senders do. Any thread, with its worker */
/** Of a peer, made if it had none; NULL: no memory. */
za_lanes_t *za_peer_lanes(za_node_t *node, za_peer_t *peer);
za_err_t za_peer_send(za_node_t *node, za_worker_t *worker, za_peer_t *peer,
                      const za_outgoing_t *message);
/** True if one frame to all of these keeps the order of each pair. */
bool za_peer_may_publish(const za_peer_t *peer, const za_outgoing_t *message, const za_ref_t *to,
                         uint32_t count);
/** One frame for the group's members there. Errors as za_peer_send. */
za_err_t za_peer_publish(za_node_t *node, za_worker_t *worker, za_peer_t *peer, uint64_t uid,
                         const za_outgoing_t *message, const char *group);
void za_peer_fail_ask(za_node_t *node, za_worker_t *worker, za_peer_t *peer, za_ref_t asker,
                      uint64_t ask, za_Reason reason);
void za_peer_frame(za_node_t *node, za_peer_t *peer, int kind, za_lane_t lane, const uint8_t *bytes,
                   uint32_t size); // owner
/** User frames that were queued for the uid so far. */
uint64_t za_peer_user_pushed(za_node_t *node, uint64_t uid);
/** Bytes that wait for the peer. */
uint64_t za_peer_queued_bytes(const za_peer_t *peer);
void za_peers_flush(za_node_t *node, za_worker_t *worker);

/* connecting.c; the owner */
/**
 * Connects, or has the connect wait until few enough are being made. `uid`: of the member that lives there
 * if its first link may wait while many join; 0: it may not.
 */
void za_link_connect(za_node_t *node, const char *address, uint64_t uid);
void za_links_connect_waiting(za_node_t *node);
/** A member is up that was not before. */
void za_links_newcomer(za_node_t *node);
/** When a connect that waits for others to have joined may begin; UINT64_MAX: none waits. */
uint64_t za_links_deadline_ms(const za_node_t *node);

/* closing.c; the owner */
void za_link_close(za_link_t *link, za_err_t err);
void za_link_close_peer(za_node_t *node, uint64_t uid);
void za_link_close_all(za_node_t *node, za_err_t err);
void za_links_close_pending(za_node_t *node); // not from a callback or step
void za_links_deinit(za_node_t *node);        // at the end

/* flushing.c */
void za_link_flush(za_link_t *link, za_worker_t *worker);     // any thread
void za_link_hand_back(za_link_t *link, za_worker_t *worker); // greeter
bool za_link_try_hold(za_link_t *link);
void za_link_release(za_link_t *link, za_worker_t *worker);

/* connections.c; the owner */
void za_links_sweep(za_node_t *node);
void za_link_greeted(za_link_t *link);
void za_link_arm_write(za_link_t *link);

/* lanes.c: what takes out */
/** Gives up all that is queued for a peer without a link. Owner. */
void za_lanes_discard(za_node_t *node, za_peer_t *peer);
/** The peer is gone and has no link: gives up what is queued, and its lanes serve another. Owner. */
void za_lanes_release(za_node_t *node, za_peer_t *peer);
/**
 * Gives up what the cluster has queued for a link that ended: it sends again what must arrive, and
 * after a rebirth its numbers begin anew, so that an old frame would pass for a new one. Holder.
 */
void za_lanes_discard_service(za_node_t *node, za_peer_t *peer);
/** Wants links for what waits for one, and gives up what did for too long. Owner. */
void za_lanes_sweep(za_node_t *node);
/** Moves queued frames of the link's peer into its session; false if nothing moved. Holder. */
bool za_lanes_fill(za_link_t *link, za_worker_t *worker);
za_err_t za_lanes_create(za_node_t *node);
void za_lanes_destroy(za_node_t *node); // at the end

/** A control frame with secrets: what copies it zeroes the copy. */
static inline bool za_is_key_frame(const uint8_t *bytes, uint32_t size)
{
    return size > 0 && bytes[0] == ZA_KEYS_TAG;
}

/* datagrams.c; the owner */
za_err_t za_node_datagrams_start(za_node_t *node);
void za_node_datagrams_service(za_node_t *node);
void za_node_datagrams_sweep(za_node_t *node);
void za_node_datagrams_on_keys(za_node_t *node, const za_effect_t *effect);
void za_node_datagrams_on_member(za_node_t *node, uint64_t uid, za_member_state_t state);
void za_node_datagrams_on_reborn(za_node_t *node, uint64_t uid);
/** Whether UDP fails it: the cluster sees which pings are lost, the node which datagrams come from whom. */
bool za_node_datagrams_degraded(za_node_t *node, const za_member_info_t *info);
/** By UDP, over the link, or both while it is not known what works. */
void za_node_datagrams_send(za_node_t *node, const za_effect_t *effect);
void za_node_datagrams_on_arrived(void *context, const uint8_t *bytes, size_t size,
                                  const za_origin_t *from);
/** Steps a datagram that came over a link. */
void za_node_datagrams_on_linked(za_node_t *node, const za_cluster_event_t *event);

/* greeter.c */
za_err_t za_greeters_create(za_node_t *node);
/** Leaves a held link to a greeter; false: it needs none, or none can take it. Owner. */
bool za_greeter_take(za_node_t *node, za_link_t *link);
/** Has the heap tidied when the handshakes of a burst are over. Owner, now and then. */
void za_greeters_sweep(za_node_t *node);

/* administer.c */
za_err_t za_node_create_admin(za_node_t *node);

/* remote.c */
extern const za_remote_t za_node_remote;

/* listeners.c: subscriptions to names and groups. The owner */
void za_listeners_add(za_node_t *node, uint64_t actor, za_name_kind_t kind, const char *of);
void za_listeners_remove(za_node_t *node, uint64_t actor, za_name_kind_t kind, const char *of);
/** The actor ended. */
void za_listeners_forget(za_node_t *node, uint64_t actor);
/** Whom a name answers now; none: nobody. */
void za_listeners_name(za_node_t *node, const char *name, za_ref_t ref);
/** Who came to a group or is gone, or has other meta: a GROUP_ADDED or GROUP_REMOVED. */
void za_listeners_group(za_node_t *node, const za_effect_t *effect);

/* effects.c */
void za_node_carry_out(za_node_t *node);

/* telling.c: what actors here hear of the cluster. The owner */
/** A runtime message to one actor; an actor without a handler for it does not want to know. */
void za_node_inform(za_node_t *node, uint64_t actor, const za_type_t *type, const void *body);
/** To all who subscribed to membership, if they have a handler for it. */
void za_node_tell_all(za_node_t *node, const za_type_t *type, const void *body);
/** The same, of the member that an effect is about: all such messages have one layout. */
void za_node_tell_all_of(za_node_t *node, const za_type_t *type, const za_effect_t *effect);
/** What is said of a member in that state; `again`: that it is up was said before. */
const za_type_t *za_node_member_type(za_member_state_t state, bool again);
/** Tells an actor what is known of the member; 0: of this node. */
void za_node_tell_member(za_node_t *node, uint64_t actor, uint64_t uid);
void za_node_tell_name(za_node_t *node, uint64_t actor, const char *name);
/** Tells an actor of the members that are up. */
void za_node_replay_members(za_node_t *node, uint64_t actor, const za_class_t *class_);
