/** Limits of every queue, table and buffer: unit in the name, reason beside it. */
#pragma once

#include <assert.h>

enum {
    // Protocol (docs/protocol.md): changing one is a new protocol version.
    ZA_NODE_NAME_BYTES_MAX = 64, // fits a certificate SAN and a table column
    ZA_CLUSTER_NAME_BYTES_MAX = 64,
    ZA_NAME_BYTES_MAX = 255,     // registered names; one length byte
    ZA_NAME_META_BYTES_MAX = 64, // beside a registered name or group membership
    ZA_CLASS_NAME_BYTES_MAX = 64,
    ZA_ADDRESS_BYTES_MAX = 64,          // "[v6]:port" with room
    ZA_FRAME_BYTES_MAX = 64 * 1024,     // control, system and user frames; more goes in chunks
    ZA_CHUNK_BYTES_MAX = 16 * 1024,     // one TLS record: a bulk chunk delays others by one record
    ZA_MESSAGE_BYTES_MAX = 1024 * 1024, // an encoded message body
    ZA_DATAGRAM_BYTES_MAX = 1318, // sealed (34) and in IPv6 (48) it is 1,400: below a tunnel's MTU
    ZA_SPAWN_ARGS_BYTES_MAX = 16 * 1024,

    // Tables.
    ZA_ROLE_BYTES_MAX = 32,   // a word: several of them fit a record of a member
    ZA_MEMBERS_MAX = 16384,   // incl. tombstones, unless configured: 64 bytes each, and their texts
    ZA_MEMBERS_LIMIT = 65000, // ... and what may be configured: an index has 16 bits
    ZA_NAMES_PER_NODE_MAX = 64 * 1024,
    ZA_REGISTRY_ENTRIES_MAX = 1024 * 1024, // of all nodes: live, removed and under way
    ZA_PEERS_MAX = 256,                    // links of one node
    ZA_GREETINGS_MAX = 64,                 // accepted and not yet known: what strangers can cost
    ZA_GROUPS_MAX = 4096,                  // with members; topics among them
    ZA_GROUP_MEMBERS_MAX = 16384, // a message to all of them takes a handler half a millisecond

    // Blobs.
    ZA_BLOB_BYTES_MAX = 1 << 30,      // of one: its size fits a za_bytes_t with the sign to spare
    ZA_BLOBS_BYTES_DEFAULT = 1 << 30, // of all of a node; pages come when they are written

    // Runtime.
    ZA_WORKERS_MAX = 64,   // one to each core
    ZA_GUESTS_MAX = 32,    // threads that send and are no workers
    ZA_CALLERS_MAX = 1024, // threads that wait for an answer at once
    ZA_DEDICATED_MAX = 32, // actors with a thread of their own: more blocking work shares one
    ZA_POOLS_MAX = ZA_WORKERS_MAX + ZA_GUESTS_MAX + ZA_DEDICATED_MAX,
    ZA_STACK_BYTES_MIN = 64 * 1024,      // of such a thread: a handler, and TLS below it
    ZA_STACK_BYTES_DEFAULT = 256 * 1024, // pages are taken as they are used
    ZA_STACK_BYTES_MAX = 64 * 1024 * 1024,
    ZA_FIBERS_DEFAULT = 128 * 1024,        // actors with a stack of their own, by default
    ZA_FIBERS_GUARDED_DEFAULT = 20 * 1000, // of them with a guard page: two of 65,530 mappings each
    ZA_FIBER_BYTES_MIN = 16 * 1024,        // of such a stack: one line of log takes 4 KiB of it
    ZA_FIBER_BYTES_DEFAULT = 64 * 1024,    // pages are taken as they are used
    ZA_FIBER_BYTES_MAX = 1024 * 1024,      // more is a thread's: za_spawn_opts_t.dedicated
    ZA_ACTOR_SLOT_BITS = 28,               // of an actor id; the rest is the generation
    ZA_UIDS_MAX = 64,                      // own uids, present and former; the oldest is forgotten
    ZA_TIMERS_MAX = 1024 * 1024,           // of one worker: what its wheel is made and measured for
    ZA_RUN_MESSAGES_MAX = 100, // per actor run: long enough to amortise, short enough to be fair
    ZA_BEHAVIOURS_MAX = 512,   // pairs of classes: spawned as one, become another
    ZA_STASH_DEFAULT = 1000,   // messages of an actor: as many as a mailbox holds by default
    ZA_DROP_SLACK =
        2 * ZA_POOLS_MAX,     // beyond the bound of a drop-oldest mailbox: see mailbox_drop.h
    ZA_CLASSES_MAX = 255,     // of actors, that are counted each by itself; a byte in the cell
    ZA_TURN_RUNS_MAX = 64,    // per turn, so that the host gets to poll
    ZA_TURN_NS_MAX = 1000000, // ... and how long it may take, give or take a run
    ZA_RUN_SLOW_MAX = 8,      // messages of a run, where they take more than a microsecond each
};

static_assert(ZA_CHUNK_BYTES_MAX <= ZA_FRAME_BYTES_MAX, "a chunk is a frame");
