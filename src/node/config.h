/**
 * Configuration: one table of keys is the source of the file format, the environment, the flags,
 * the help text and the dump. Values are text with an origin; za_settings_t is the typed view of
 * them that the node uses, made once and cross-checked.
 *
 * Memory   A za_config_t is one fixed block; settings are a plain struct of the caller's.
 * Threads  One at a time.
 * Errors   `problem` is one line: where, which key, what is wrong, what is accepted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <zactor/node.h>

#include "base/address.h"
#include "base/limits.h"
#include "cluster/cluster.h"
#include "cluster/downing.h"
#include "cluster/member_texts.h"
#include "core/pin.h"
#include "node/discovery.h"

enum {
    ZA_CONFIG_VALUE_BYTES_MAX = 1280, // the seeds: ZA_SEEDS_MAX addresses and commas
    ZA_CONFIG_ORIGIN_BYTES_MAX = 256, // "path:line"; a longer path is cut
    ZA_CONFIG_PATH_BYTES_MAX = 512,
    ZA_SOCKET_PATH_BYTES_MAX = 107, // of sockaddr_un
    ZA_SEEDS_MAX = 16,              // more say nothing new: any one of them is enough to join
};

typedef enum za_config_kind {
    ZA_CONFIG_TEXT,    // low..high bytes, printable, no spaces
    ZA_CONFIG_PATH,    // high bytes
    ZA_CONFIG_ADDRESS, // host:port, [v6]:port
    ZA_CONFIG_LIST,    // addresses and commas
    ZA_CONFIG_SEEDS,   // addresses, dns:// srv:// file://, and commas
    ZA_CONFIG_NUMBER,  // low..high
    ZA_CONFIG_ID,      // 64 bits, decimal or 0x
    ZA_CONFIG_BOOL,    // true or false
    ZA_CONFIG_CHOICE,  // one of choices
    ZA_CONFIG_CORES,   // none, auto, or a list: 0,2,4-7
    ZA_CONFIG_ROLES,   // up to high words and commas
    ZA_CONFIG_LINE,    // up to high bytes, no control characters
} za_config_kind_t;

/** X(name, key, kind, default, low, high, choices, help); `name` is the field of za_settings_t. */
#define ZA_CONFIG_KEYS(X)                                                                          \
    X(node_name, "node.name", ZA_CONFIG_TEXT, "", 1, ZA_NODE_NAME_BYTES_MAX, "",                   \
      "unique in the cluster, as in the certificate; default: the host's name")                    \
    X(node_listen, "node.listen", ZA_CONFIG_ADDRESS, "127.0.0.1:7464", 0, ZA_ADDRESS_BYTES_MAX,    \
      "", "where this node listens")                                                               \
    X(node_advertise, "node.advertise", ZA_CONFIG_ADDRESS, "", 0, ZA_ADDRESS_BYTES_MAX, "",        \
      "where others reach it; default: node.listen")                                               \
    X(node_workers, "node.workers", ZA_CONFIG_NUMBER, "0", 0, ZA_WORKERS_MAX, "",                  \
      "worker threads; 0: one per core")                                                           \
    X(node_socket, "node.socket", ZA_CONFIG_PATH, "", 0, ZA_SOCKET_PATH_BYTES_MAX, "",             \
      "unix socket for zactorctl; default: none")                                                  \
    X(node_busy_poll, "node.busy_poll", ZA_CONFIG_BOOL, "false", 0, 0, "",                         \
      "idle workers spin instead of sleeping: lower latency, full cores")                          \
    X(node_pin, "node.pin", ZA_CONFIG_CORES, "none", 0, ZA_CORES_MAX, "",                          \
      "cores the workers stay on: none, auto (spread over the memory nodes), or one for each")     \
    X(node_watchdog_ms, "node.watchdog_ms", ZA_CONFIG_NUMBER, "1000", 0, 3600 * 1000, "",          \
      "a handler that runs for longer is named in the log, with its stack; 0: none is")            \
    X(node_roles, "node.roles", ZA_CONFIG_ROLES, "", 0, ZA_MEMBER_ROLES_MAX, "",                   \
      "what this node is for, as others see it: words and commas")                                 \
    X(node_meta, "node.meta", ZA_CONFIG_LINE, "", 0, ZA_MEMBER_META_BYTES_MAX, "",                 \
      "whatever the application wants others to know of this node")                                \
    X(cluster_name, "cluster.name", ZA_CONFIG_TEXT, "zactor", 1, ZA_CLUSTER_NAME_BYTES_MAX, "",    \
      "the same on every member, as in the certificates")                                          \
    X(cluster_id, "cluster.id", ZA_CONFIG_ID, "0", 0, 0, "",                                       \
      "a number that tells two clusters of one name apart; 0 goes with any")                       \
    X(cluster_seeds, "cluster.seeds", ZA_CONFIG_SEEDS, "", 0, ZA_SEEDS_MAX, "",                    \
      "members to join through, comma-separated, or where they are found; any one is enough")      \
    X(cluster_dns, "cluster.dns", ZA_CONFIG_LIST, "", 0, 4, "",                                    \
      "name servers for dns:// and srv:// seeds; default: the system's")                           \
    X(cluster_timing, "cluster.timing", ZA_CONFIG_CHOICE, "lan", 0, 0, "lan|wan|local",            \
      "times of the failure detector: between hosts, between sites, or on one host")               \
    X(cluster_transport, "cluster.transport", ZA_CONFIG_CHOICE, "auto", 0, 0, "auto|tls",          \
      "of its datagrams: by UDP where that works (auto), or never (tls)")                          \
    X(cluster_downing_strategy, "cluster.downing.strategy", ZA_CONFIG_CHOICE, "none", 0, 0,        \
      "none|keep_majority|static_quorum|keep_oldest|lease|down_all",                               \
      "which side of a split goes on; none: both do; the same on every member")                    \
    X(cluster_downing_quorum, "cluster.downing.quorum", ZA_CONFIG_NUMBER, "0", 0,                  \
      ZA_DOWNING_QUORUM_MAX, "", "static_quorum: members that a side needs to go on")              \
    X(cluster_downing_stable_after_ms, "cluster.downing.stable_after_ms", ZA_CONFIG_NUMBER, "0",   \
      0, ZA_DOWNING_STABLE_MS_MAX, "",                                                             \
      "how long a split must not change before it is decided; 0: by the number of members")        \
    X(cluster_downing_keep_lone_oldest, "cluster.downing.keep_lone_oldest", ZA_CONFIG_BOOL,        \
      "false", 0, 0, "", "keep_oldest: the oldest wins even against all others together")          \
    X(cluster_downing_role, "cluster.downing.role", ZA_CONFIG_TEXT, "", 1,                         \
      ZA_DOWNING_ROLE_BYTES_MAX, "", "only members with this role count in a split; default: all") \
    X(tls_ca, "tls.ca", ZA_CONFIG_PATH, "", 0, ZA_CONFIG_PATH_BYTES_MAX, "",                       \
      "PEM file: the certificate authority of the cluster")                                        \
    X(tls_cert, "tls.cert", ZA_CONFIG_PATH, "", 0, ZA_CONFIG_PATH_BYTES_MAX, "",                   \
      "PEM file: this node's certificate")                                                         \
    X(tls_key, "tls.key", ZA_CONFIG_PATH, "", 0, ZA_CONFIG_PATH_BYTES_MAX, "",                     \
      "PEM file: this node's private key")                                                         \
    X(tls_insecure, "tls.insecure", ZA_CONFIG_BOOL, "false", 0, 0, "",                             \
      "no TLS at all; only where node.listen is a loopback address")                               \
    X(log_level, "log.level", ZA_CONFIG_CHOICE, "info", 0, 0, "debug|info|warn|error",             \
      "least level that is written")                                                               \
    X(log_format, "log.format", ZA_CONFIG_CHOICE, "logfmt", 0, 0, "logfmt|json",                   \
      "form of the lines on stderr")                                                               \
    X(limits_actors, "limits.actors", ZA_CONFIG_NUMBER, "1048576", 64, 1 << 28, "",                \
      "actors on this node at most")                                                               \
    X(limits_pool_mb, "limits.pool_mb", ZA_CONFIG_NUMBER, "256", 8, 1 << 20, "",                   \
      "memory of messages, MiB")                                                                   \
    X(limits_blob_mb, "limits.blob_mb", ZA_CONFIG_NUMBER, "1024", 1, 1 << 20, "",                  \
      "memory of blobs, MiB; large ones lie beside the memory of messages")                        \
    X(limits_mailbox, "limits.mailbox", ZA_CONFIG_NUMBER, "1024", 1, 1 << 24, "",                  \
      "messages in a mailbox at most, unless the actor says otherwise")                            \
    X(drain_ms, "drain_ms", ZA_CONFIG_NUMBER, "10000", 0, 3600 * 1000, "",                         \
      "at most this long may actors finish their messages when the node stops")

typedef enum za_config_key {
#define ZA_CONFIG_ENUM(name, key, kind, default_, low, high, choices, help) ZA_KEY_##name,
    ZA_CONFIG_KEYS(ZA_CONFIG_ENUM)
#undef ZA_CONFIG_ENUM
        ZA_CONFIG_KEY_COUNT
} za_config_key_t;

typedef struct za_config_info {
    const char *key;
    za_config_kind_t kind;
    const char *default_;
    uint32_t low, high;
    const char *choices;
    const char *help;
} za_config_info_t;

extern const za_config_info_t za_config_infos[ZA_CONFIG_KEY_COUNT];

/** Where the value comes from: "default", "file.conf:3", "ZACTOR_NODE_NAME", "flag". */
const char *za_config_origin(const za_config_t *config, za_config_key_t key);
/** What may be written there: "a number from 0 to 64". */
void za_config_accepted(const za_config_info_t *info, char *out, size_t out_bytes);
/** "ZACTOR_NODE_NAME" of "node.name". */
void za_config_env_name(const za_config_info_t *info, char *out, size_t out_bytes);
/** "node-name" of "node.name". */
void za_config_flag_name(const za_config_info_t *info, char *out, size_t out_bytes);
/** One line per key: key = value  ; origin. A valid file, unless a line is longer than files may have. */
void za_config_dump(const za_config_t *config, FILE *out);
/** One paragraph per key, for --help. */
void za_config_help(FILE *out);
/** As za_config_set, and says where the key was set before if a list may not be extended. */
za_err_t za_config_append(za_config_t *config, const char *key, const char *value,
                          const char *origin, char *problem, size_t problem_bytes);

/** In the order of the choices. */
typedef enum za_timing { ZA_TIMING_LAN, ZA_TIMING_WAN, ZA_TIMING_LOCAL } za_timing_t;
typedef enum za_carrier { ZA_CARRIER_AUTO, ZA_CARRIER_TLS } za_carrier_t;
typedef enum za_log_format { ZA_LOG_LOGFMT, ZA_LOG_JSON } za_log_format_t;

/** The typed view: every field valid, derived defaults filled in. */
typedef struct za_settings {
    char node_name[ZA_NODE_NAME_BYTES_MAX + 1];
    char node_listen[ZA_ADDRESS_BYTES_MAX + 1];
    char node_advertise[ZA_ADDRESS_BYTES_MAX + 1];
    uint32_t node_workers; // >= 1
    char node_socket[ZA_SOCKET_PATH_BYTES_MAX + 1];
    bool node_busy_poll;
    uint32_t node_watchdog_ms;
    char node_roles[ZA_MEMBER_ROLES_BYTES_MAX + 1];
    char node_meta[ZA_MEMBER_META_BYTES_MAX + 1];
    za_cores_t node_pin; // empty: no worker is pinned; else a core for each
    char cluster_name[ZA_CLUSTER_NAME_BYTES_MAX + 1];
    uint64_t cluster_id;
    char cluster_seeds[ZA_SEEDS_MAX][ZA_SEED_BYTES_MAX + 1];
    uint32_t cluster_seed_count;
    bool cluster_discovers; // some of them are no addresses
    char cluster_dns[ZA_CONFIG_VALUE_BYTES_MAX + 1];
    za_timing_t cluster_timing;
    za_downing_config_t cluster_downing;
    za_carrier_t cluster_transport;
    char tls_ca[ZA_CONFIG_PATH_BYTES_MAX + 1];
    char tls_cert[ZA_CONFIG_PATH_BYTES_MAX + 1];
    char tls_key[ZA_CONFIG_PATH_BYTES_MAX + 1];
    bool tls_insecure;
    za_level_t log_level;
    za_log_format_t log_format;
    uint32_t limits_actors;
    uint64_t limits_pool_bytes;
    uint64_t limits_blob_bytes;
    uint32_t limits_mailbox;
    uint32_t drain_ms;
} za_settings_t;

/**
 * Fills `out` and checks what concerns several keys: TLS files or the insecure mode on loopback, an
 * address that others can reach, cores that this process may use. ZA_ECONFIG; `out` is then of no use.
 */
za_err_t za_settings_from_config(const za_config_t *config, za_settings_t *out, char *problem,
                                 size_t problem_bytes);

/** The times that a value of cluster.timing stands for. */
const za_cluster_timing_t *za_settings_timing(za_timing_t timing);

/** Whether the host part is 127.0.0.0/8, ::1 or localhost. */
bool za_address_is_loopback(const char *address);
