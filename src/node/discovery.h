/**
 * Discovery: where members are to be found, from names that are resolved and files that are read again.
 *
 * A seed is an address ("host:port"), or says where addresses come from:
 *
 *     dns://NAME:PORT          all A and AAAA records of NAME, as of a headless service of Kubernetes
 *     srv://_SERVICE._PROTO.NAME   all targets of the SRV records, with their ports
 *     file:///PATH             one address per line; "#" begins a comment
 *
 * Each source is asked every joining_ms while the node is no member, and every joined_ms afterwards, so
 * that members on the other side of a split, or that this node never met, are tried again. What a source
 * said last stands until it says something else: a name server that is down takes no seed away.
 *
 * Who is first   Of nodes that start at the same time each might found a cluster of its own. Of those
 *                that are discovered only the one whose address sorts first may; the others wait for it.
 *                (Akka's cluster bootstrap lets the lowest address form the cluster, too.) So the
 *                address at which others reach a node must be one that is discovered.
 *
 * A state machine without socket, clock or thread: it asks through za_discovery_ops_t and is told.
 *
 * Memory   Taken in create: ZA_DISCOVERY_ADDRESSES_MAX addresses for each source.
 * Threads  One at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zactor/err.h>

#include "base/limits.h"

enum {
    ZA_SEED_BYTES_MAX = 320,       // "srv://", and a name or path of as many as DNS allows and more
    ZA_DISCOVERY_SOURCES_MAX = 17, // as many as seeds, and our own name
    ZA_DISCOVERY_ADDRESSES_MAX = 256, // of one source
    ZA_DISCOVERY_FILE_BYTES_MAX = 64 * 1024,
};

typedef enum za_seed_kind {
    ZA_SEED_ADDRESS,
    ZA_SEED_HOST,
    ZA_SEED_SERVICE,
    ZA_SEED_FILE
} za_seed_kind_t;

typedef struct za_seed {
    za_seed_kind_t kind;
    uint16_t port;                    // of a host
    char text[ZA_SEED_BYTES_MAX + 1]; // the address, name or path
} za_seed_t;

/** False: it is none of the four. */
bool za_seed_parse(const char *text, za_seed_t *out);

/** What a discovery wants done. None of it is answered from inside the call. */
typedef struct za_discovery_ops {
    /** Resolve; za_discovery_answer follows, unless it fails. */
    za_err_t (*resolve)(void *context, uint32_t source, const za_seed_t *seed);
    /** Read the file; za_discovery_file follows, unless it fails. */
    za_err_t (*read)(void *context, uint32_t source, const char *path);
    /** These are the seeds now: addresses with a newline behind each, as ZA_CLUSTER_SEEDS takes them. */
    void (*seeds)(void *context, const char *list, uint32_t size, bool may_found);
    void (*log)(void *context, int level, const char *text);
} za_discovery_ops_t;

typedef struct za_discovery_config {
    const char *const *seeds; // valid ones, of all kinds
    uint32_t seed_count;
    const char *own; // where others reach this node, "host:port"
    uint32_t joining_ms, joined_ms;
    const za_discovery_ops_t *ops;
    void *context;
} za_discovery_config_t;

typedef struct za_discovery_counters {
    uint64_t lookups, failures, lines_bad;
    uint64_t addresses; // known now
} za_discovery_counters_t;

typedef struct za_discovery za_discovery_t;

/** ZA_EINVAL (too many seeds, or one that is none), ZA_ENOMEM. `config`'s texts are copied. */
za_err_t za_discovery_create(const za_discovery_config_t *config, uint64_t now_ms,
                             za_discovery_t **out);
void za_discovery_destroy(za_discovery_t *discovery);

/** Asks what is due. `joined`: this node is a member now. */
void za_discovery_tick(za_discovery_t *discovery, uint64_t now_ms, bool joined);
/** When the next tick is due; UINT64_MAX while only answers are waited for. */
uint64_t za_discovery_deadline_ms(const za_discovery_t *discovery);

/** The answer to resolve. On an error `problem` says in one line what it was. */
void za_discovery_answer(za_discovery_t *discovery, uint32_t source, uint64_t now_ms, za_err_t err,
                         const char *problem, char (*addresses)[ZA_ADDRESS_BYTES_MAX + 1],
                         uint32_t count);
/** The answer to read: the whole text of the file. */
void za_discovery_file(za_discovery_t *discovery, uint32_t source, uint64_t now_ms, za_err_t err,
                       const char *problem, const char *text, uint32_t size);

void za_discovery_counters(const za_discovery_t *discovery, za_discovery_counters_t *out);
