/**
 * The parts of a realm see one struct.
 *
 *   realm.c   create, the loop, failures, hash
 *   host.c    processes, clocks, input that waits, steps and their effects
 *   fabric.c  paths, datagrams
 *   form.c    a cluster that is there from the start
 *   stream.c  connections: handshakes, frames, ends
 *   dialect.c what a later version says
 *   trace.c   lines for people
 */
#pragma once

#include "cluster/membership.h"
#include "sim/calendar.h"
#include "sim/chance.h"
#include "sim/pairs.h"
#include "sim/realm.h"

enum {
    ZA_PARCEL_INLINE = 72,             // bytes of a usual ping or ack
    ZA_SOCKET_BYTES = 212992,          // Linux's default receive buffer
    ZA_SOCKET_COST = 768,              // what Linux charges a small datagram beyond its bytes
    ZA_DATAGRAM_OVERHEAD = 28 + 34,    // IP and UDP; our header and tag
    ZA_STREAM_WINDOW = 256 * 1024,     // unread bytes at which a stream stands still
    ZA_STREAM_BYTES = 8 * 1024 * 1024, // queued bytes at which a driver gives a link up
    ZA_SEGMENT_BYTES = 1448,
    ZA_STREAM_BYTES_PER_US = 100,
    ZA_DIALECT_BYTES_MAX = 2 * ZA_FRAME_BYTES_MAX,
};

typedef enum za_parcel_kind {
    ZA_PARCEL_TICK,
    ZA_PARCEL_DATAGRAM,
    ZA_PARCEL_EVENT,  // for the process: a frame, or news of a link
    ZA_PARCEL_LOCAL,  // from the process itself
    ZA_PARCEL_STREAM, // the first frame of a direction is due
    ZA_PARCEL_SHAKE,  // a connection goes on
    ZA_PARCEL_DRAIN,  // a slow host takes its next input
} za_parcel_kind_t;

typedef struct za_stream za_stream_t;
typedef struct za_frame za_frame_t;

/** An event of the process itself, with copies of what it points to. */
typedef struct za_local_event {
    za_cluster_event_t event;
    za_spawn_spec_t spawn;
    char name[ZA_NAME_BYTES_MAX + 1];
    uint8_t bytes[];
} za_local_event_t;

/** What is on its way: an entry of the calendar, or of a host's input that waits. */
typedef struct za_parcel {
    za_entry_t entry; // the first field: the calendar gives this back
    uint8_t kind;     // za_parcel_kind_t
    uint8_t side;     // of the stream; of a DATAGRAM 1, if its sender's version is foreign
    uint16_t size;    // of the datagram
    uint32_t host;    // where it happens
    uint32_t from;    // host
    uint32_t process; // of the host when it was sent; EVENT: it is for that one alone
    uint64_t uid;     // sender's
    union {
        uint8_t *bytes; // a block, or `inline_bytes`
        za_stream_t *stream;
        za_local_event_t *local; // its own allocation
    };
    union {
        uint8_t inline_bytes[ZA_PARCEL_INLINE];
        struct {
            za_frame_t *frame;
            za_cluster_event_type_t type;
            za_err_t err;
            uint32_t address; // number
        } news;
    };
} za_parcel_t;

struct za_frame {
    za_frame_t *next;
    uint64_t at_us;
    uint8_t kind; // za_frame_kind of stream.c
    uint8_t lane;
    uint32_t size;
    uint8_t bytes[];
};

typedef struct za_direction {
    za_frame_t *first, **last;
    uint64_t last_us;    // when the last frame arrives
    uint64_t stuck_us;   // since when nothing passes; 0: it does
    uint64_t unacked_us; // since when nothing comes back
    uint32_t bytes, retry_us;
    bool moving; // a parcel for the first frame is in the calendar
} za_direction_t;

typedef enum za_stream_state {
    ZA_STREAM_CONNECTING,
    ZA_STREAM_SHAKING, // the server's share of the handshake
    ZA_STREAM_SHAKEN,  // the client's
    ZA_STREAM_OPEN,
    ZA_STREAM_DEAD,
} za_stream_state_t;

typedef struct za_stream_end {
    uint32_t host, process;
    uint64_t uid;     // of the process when it was made
    uint32_t address; // number, of the host
    bool open;        // its process uses it
    bool up;          // and was told
    bool cut;         // it closed it: nothing is delivered any more
} za_stream_end_t;

/** A connection; lives while an end is open or a parcel refers to it. */
struct za_stream {
    za_stream_t *next, **link_to; // all of the realm
    za_stream_t *host_next[2];    // lists of both hosts
    za_stream_t **host_link[2];
    za_stream_state_t state;
    uint32_t parcels;
    uint64_t since_us;
    za_stream_end_t ends[2]; // 0: who connected
    za_direction_t ways[2];  // from that end
};

typedef struct za_host {
    // Each event: one cache line, of its sender's and its receiver's host.
    _Alignas(64) int64_t offset_us; // of its clock
    union {
        za_cluster_t *cluster;
        za_membership_t *membership;
    };
    uint64_t deadline_ms; // of the node, as last asked
    uint64_t tick_us;     // when its tick is due; UINT64_MAX: it is not in the calendar
    uint64_t uid;
    uint64_t datagram_bytes;
    int32_t drift;    // of its clock, in 2^-28
    uint32_t process; // starts so far
    uint32_t faults;  // of paths, that name this host
    uint8_t state;    // za_host_state_t
    uint8_t version;  // za_host_version_t
    bool left : 1, paused : 1, starved : 1, suspended : 1;
    bool holds : 1;  // `held` is not NULL
    bool serves : 1; // `service_us` is not 0
    bool narrow : 1; // `tight` is not 0
    // Seldom.
    bool distrusted, lease_cut, draining;
    bool tick_waits;      // it came while the process stood still
    uint8_t next_version; // za_host_version_t
    uint32_t address;     // number
    uint32_t service_us;  // of one input
    uint32_t tight;       // bytes that its sockets and queues hold; 0: as many as ever
    uint64_t suspended_us;
    int64_t wall_ms;                // its wall clock is ahead
    uint64_t cert_from, cert_until; // ms since 1970
    uint32_t behind_ms;             // of its wall clock
    uint32_t stream_count;
    za_entry_t *held; // input that waits, a ring: the last one
    uint32_t held_bytes, held_frame_bytes;
    uint64_t busy_us;
    za_stream_t *streams;
    uint64_t shake_us; // until when its CPU is at handshakes
    uint64_t on_us;    // since when the process runs
    char name[16];
} za_host_t;

static_assert(sizeof(za_host_t) % 128 == 64, "first lines of hosts share no few sets of a cache");

typedef struct za_datagram_block {
    struct za_datagram_block *next;
    uint8_t bytes[ZA_DATAGRAM_BYTES_MAX];
} za_datagram_block_t;

typedef struct za_path {
    bool blocked, refusing;
    uint32_t loss_ppm, duplicate_ppm, delay_us, jitter_us, corrupt_ppm, reorder_ppm, reorder_us,
        mtu;
    bool burst;
} za_path_t;

typedef struct za_realm_trace {
    uint32_t host;
    void (*line)(void *context, const char *text);
    void *context;
} za_realm_trace_t;

struct za_realm {
    za_calendar_t calendar;
    za_realm_config_t config;
    uint64_t now_us, hash;
    uint32_t draws; // of this step: two datagrams of one moment have their own luck
    za_realm_stats_t stats;
    za_host_t *hosts;
    za_parcel_t *ticks;       // of each host; in the calendar unless its tick_us says never
    uint32_t *addresses;      // number to host; ADDRESS_NOBODY, ADDRESS_STRANGER
    uint32_t *address_owners; // the host that has or had it
    uint32_t address_count, address_capacity;
    za_pairs_t by_uid;     // host, of all uids ever
    za_pairs_t by_pair;    // the connection that is the link of two hosts
    za_pairs_t by_connect; // the one that a host makes to an address
    za_stream_t *streams;
    za_parcel_t *free_parcels;
    za_datagram_block_t *free_blocks;
    void **chunks; // of parcels and blocks
    uint32_t chunk_count, chunk_capacity;
    za_path_fault_t paths[ZA_REALM_PATHS_MAX];
    bool path_used[ZA_REALM_PATHS_MAX];
    uint32_t path_count; // highest used + 1
    uint32_t everywhere; // faults that name no hosts
    struct {
        const za_oracle_ops_t *ops;
        void *context;
    } oracles[ZA_REALM_ORACLES_MAX];
    uint32_t oracle_count;
    za_realm_failure_t failure;
    za_frame_loss_t *lose; // NULL: frames arrive
    void *lose_context;
    za_realm_trace_t trace;
    char seeds[ZA_REALM_SEEDS_MAX][24];
    uint32_t seed_count;
    struct za_member_texts *texts;    // of all nodes
    za_cluster_event_t due, datagram; // a tick and a datagram, over and over
    struct {                          // the store of the lease
        uint64_t holder, until_us;
        uint64_t revision;
        bool cut;
    } lease;
    uint8_t *dialect; // ZA_DIALECT_BYTES_MAX; NULL until somebody is a later version
    za_effects_t effects;
};

/** Bytes that a socket or a queue of the host holds, if it is `usual` elsewhere. */
static inline uint32_t za_host_room(const za_host_t *host, uint32_t usual)
{
    return host->tight != 0 ? host->tight : usual;
}

#define ZA_ADDRESS_NOBODY UINT32_MAX
#define ZA_ADDRESS_STRANGER (UINT32_MAX - 1)

/* ---- realm.c -------------------------------------------------------------------------------- */

uint8_t *za_block_create(za_realm_t *realm);
void za_block_free(za_realm_t *realm, uint8_t *bytes);
/** More free ones. */
void za_parcels_add(za_realm_t *realm);

static inline za_parcel_t *za_parcel_create(za_realm_t *realm, za_parcel_kind_t kind, uint32_t host)
{
    if (realm->free_parcels == NULL) {
        za_parcels_add(realm);
    }
    za_parcel_t *parcel = realm->free_parcels;
    realm->free_parcels = (za_parcel_t *)parcel->entry.next;
    parcel->kind = (uint8_t)kind;
    parcel->side = 0;
    parcel->size = 0;
    parcel->host = host;
    parcel->from = host;
    parcel->process = realm->hosts[host].process;
    parcel->uid = 0;
    parcel->bytes = NULL;
    return parcel;
}

static inline void za_parcel_free(za_realm_t *realm, za_parcel_t *parcel)
{
    if (parcel->kind == ZA_PARCEL_DATAGRAM && parcel->bytes != parcel->inline_bytes) {
        za_block_free(realm, parcel->bytes);
    }
    parcel->entry.next = (za_entry_t *)realm->free_parcels;
    realm->free_parcels = parcel;
}

static inline void za_parcel_post(za_realm_t *realm, za_parcel_t *parcel, uint64_t at_us)
{
    parcel->entry.at = at_us;
    za_calendar_add(&realm->calendar, &parcel->entry);
}

void za_realm_mix(za_realm_t *realm, const za_parcel_t *parcel);
void za_address_text(uint32_t number, char *text, size_t bytes);
/** The number in an address; UINT32_MAX if it has none. */
uint32_t za_address_number(const char *address);

/* ---- host.c --------------------------------------------------------------------------------- */

za_err_t za_hosts_create(za_realm_t *realm);
void za_hosts_destroy(za_realm_t *realm);
void za_host_take(za_realm_t *realm, za_parcel_t *parcel); // datagram or event
void za_host_tick(za_realm_t *realm, uint32_t host);
/** A datagram of `uid` is on its way to it. */
void za_host_expect(const za_realm_t *realm, uint32_t host, uint64_t uid);
void za_host_drain(za_realm_t *realm, za_parcel_t *parcel);

/* ---- fabric.c ------------------------------------------------------------------------------- */

za_path_t za_path_of(const za_realm_t *realm, uint32_t from, uint32_t to, bool stream);
/** One way, for the draw of this use. */
uint64_t za_path_latency_us(const za_realm_t *realm, const za_path_t *path, uint32_t from,
                            uint32_t to, uint64_t draw);
void za_fabric_datagram(za_realm_t *realm, uint32_t from, const za_effect_t *effect);

/* ---- stream.c ------------------------------------------------------------------------------- */

void za_stream_connect(za_realm_t *realm, uint32_t host, const char *address);
void za_stream_send(za_realm_t *realm, uint32_t host, const za_effect_t *effect);
void za_stream_close_peer(za_realm_t *realm, uint32_t host, uint64_t uid);
/** The process is gone. `silent`: nobody is told. */
void za_stream_close_all(za_realm_t *realm, uint32_t host, bool silent);
/** The process took a new uid: it says goodbye to everybody. */
void za_stream_goodbye_all(za_realm_t *realm, uint32_t host);
void za_stream_due(za_realm_t *realm, za_parcel_t *parcel);
/** Frees the frame of an event, and its hold on the stream. */
void za_stream_release_frame(za_realm_t *realm, za_parcel_t *parcel);
void za_stream_shake(za_realm_t *realm, za_parcel_t *parcel);
void za_streams_destroy(za_realm_t *realm);

/* ---- dialect.c ------------------------------------------------------------------------------ */

/**
 * `effect` as a later version would say it: fields that this one does not know in each message, of all
 * wire types. `bytes` has room for ZA_DIALECT_BYTES_MAX; the answer is `effect`, or `later` with these.
 */
const za_effect_t *za_dialect_speak(const za_effect_t *effect, uint8_t *bytes, za_effect_t *later);

/* ---- lease.c -------------------------------------------------------------------------------- */

void za_lease_ask(za_realm_t *realm, uint32_t index, const za_effect_t *effect);

/* ---- trace.c -------------------------------------------------------------------------------- */

void za_trace_event(za_realm_t *realm, uint32_t host, const za_cluster_event_t *event);
void za_trace_effect(za_realm_t *realm, uint32_t host, const za_effect_t *effect);
void za_trace_text(za_realm_t *realm, uint32_t host, const char *format, ...) ZA_PRINTF(3, 4);
