#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "node/config.h"

bool za_address_is_loopback(const char *address)
{
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    uint16_t port = 0;
    if (!za_address_split(address, host, sizeof(host), &port)) {
        return false;
    }
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    int end = 0;
    // A host name may begin with "127.", too: only four numbers are an address.
    bool v4 = sscanf(host, "%3u.%3u.%3u.%3u%n", &a, &b, &c, &d, &end) == 4 && host[end] == '\0';
    return (v4 && a == 127) || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

static bool is_wildcard(const char *address)
{
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    uint16_t port = 0;
    return za_address_split(address, host, sizeof(host), &port) &&
           (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0);
}

/** Port 0: whichever is free, which nobody can connect to. */
static bool is_portless(const char *address)
{
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    uint16_t port = 0;
    return za_address_split(address, host, sizeof(host), &port) && port == 0;
}

static const char *value_of(const za_config_t *config, za_config_key_t key)
{
    return za_config_get(config, za_config_infos[key].key);
}

static uint64_t number_of(const za_config_t *config, za_config_key_t key)
{
    return strtoull(value_of(config, key), NULL,
                    za_config_infos[key].kind == ZA_CONFIG_ID ? 0 : 10);
}

/** The position among the choices: the enums are in the same order. */
static uint32_t choice_of(const za_config_t *config, za_config_key_t key)
{
    const char *value = value_of(config, key);
    size_t size = strlen(value);
    const char *choice = za_config_infos[key].choices;
    uint32_t position = 0;
    while (strncmp(choice, value, size) != 0 || (choice[size] != '|' && choice[size] != '\0')) {
        choice = strchr(choice, '|');
        ZA_ASSERT(choice != NULL); // checked when it was set
        choice++;
        position++;
    }
    return position;
}

static void copy_seeds(const za_config_t *config, za_settings_t *out)
{
    const char *value = value_of(config, ZA_KEY_cluster_seeds);
    while (*value != '\0') {
        value += strspn(value, ", \t");
        size_t size = strcspn(value, ", \t");
        if (size == 0) {
            break;
        }
        ZA_ASSERT(out->cluster_seed_count < ZA_SEEDS_MAX && size <= ZA_SEED_BYTES_MAX);
        za_seed_t seed;
        char *text = out->cluster_seeds[out->cluster_seed_count++];
        memcpy(text, value, size);
        out->cluster_discovers |= za_seed_parse(text, &seed) && seed.kind != ZA_SEED_ADDRESS;
        value += size;
    }
}

/** The host's name without its domain; names of nodes are as short as certificates have them. */
static void default_name(char name[ZA_NODE_NAME_BYTES_MAX + 1])
{
    if (gethostname(name, ZA_NODE_NAME_BYTES_MAX) != 0 || name[0] == '\0') {
        snprintf(name, ZA_NODE_NAME_BYTES_MAX + 1, "node");
    }
    name[ZA_NODE_NAME_BYTES_MAX] = '\0';
    name[strcspn(name, ".")] = '\0';
}

/** One for each core: of those to be pinned to, of those this process may use, of the machine. */
static uint32_t default_workers(const za_cores_t *pin, const za_cores_t *allowed)
{
    long cores = pin->count > 0       ? (long)pin->count
                 : allowed->count > 0 ? (long)allowed->count
                                      : sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > ZA_WORKERS_MAX ? ZA_WORKERS_MAX : (uint32_t)cores;
}

static void copy_values(const za_config_t *config, za_settings_t *out)
{
#define COPY(field) snprintf(out->field, sizeof(out->field), "%s", value_of(config, ZA_KEY_##field))
    COPY(node_name);
    COPY(node_listen);
    COPY(node_advertise);
    COPY(node_socket);
    COPY(node_roles);
    COPY(node_meta);
    COPY(cluster_name);
    COPY(cluster_dns);
    COPY(tls_ca);
    COPY(tls_cert);
    COPY(tls_key);
#undef COPY
    out->node_workers = (uint32_t)number_of(config, ZA_KEY_node_workers);
    out->node_watchdog_ms = (uint32_t)number_of(config, ZA_KEY_node_watchdog_ms);
    out->node_busy_poll = strcmp(value_of(config, ZA_KEY_node_busy_poll), "true") == 0;
    out->cluster_id = number_of(config, ZA_KEY_cluster_id);
    out->cluster_timing = (za_timing_t)choice_of(config, ZA_KEY_cluster_timing);
    out->cluster_transport = (za_carrier_t)choice_of(config, ZA_KEY_cluster_transport);
    out->tls_insecure = strcmp(value_of(config, ZA_KEY_tls_insecure), "true") == 0;
    out->log_level = (za_level_t)(ZA_DEBUG + choice_of(config, ZA_KEY_log_level));
    out->log_format = (za_log_format_t)choice_of(config, ZA_KEY_log_format);
    out->limits_actors = (uint32_t)number_of(config, ZA_KEY_limits_actors);
    out->limits_blob_bytes = number_of(config, ZA_KEY_limits_blob_mb) << 20;
    out->limits_pool_bytes = number_of(config, ZA_KEY_limits_pool_mb) << 20;
    out->limits_mailbox = (uint32_t)number_of(config, ZA_KEY_limits_mailbox);
    out->drain_ms = (uint32_t)number_of(config, ZA_KEY_drain_ms);
    copy_seeds(config, out);
}

static za_err_t refuse(char *problem, size_t problem_bytes, const char *text, const char *detail)
{
    if (problem != NULL) {
        snprintf(problem, problem_bytes, "%s%s", text, detail);
    }
    return ZA_ECONFIG;
}

/** In the order of the choices. */
static const za_downing_strategy_t strategies[] = {
    ZA_DOWNING_NONE,        ZA_DOWNING_KEEP_MAJORITY, ZA_DOWNING_STATIC_QUORUM,
    ZA_DOWNING_KEEP_OLDEST, ZA_DOWNING_LEASE,         ZA_DOWNING_DOWN_ALL
};

const za_cluster_timing_t *za_settings_timing(za_timing_t timing)
{
    switch (timing) {
    case ZA_TIMING_WAN:
        return &za_cluster_timing_wan;
    case ZA_TIMING_LOCAL:
        return &za_cluster_timing_local;
    case ZA_TIMING_LAN:
        break;
    }
    return &za_cluster_timing_lan;
}

/** Of a shorter one the margin would be over before the losing side knows that it has lost. */
static za_err_t check_stable_after(const za_settings_t *settings, char *problem,
                                   size_t problem_bytes)
{
    uint32_t stable_after_ms = settings->cluster_downing.stable_after_ms;
    uint32_t least_ms = ZA_DOWNING_STABLE_INTERVALS *
                        za_settings_timing(settings->cluster_timing)->probe_interval_ms;
    if (stable_after_ms == 0 || stable_after_ms >= least_ms) {
        return ZA_OK;
    }
    char text[160];
    snprintf(text, sizeof text,
             "cluster.downing.stable_after_ms = %" PRIu32 " is too short: set at least %" PRIu32
             " with this cluster.timing, or 0, which goes by the number of members",
             stable_after_ms, least_ms);
    return refuse(problem, problem_bytes, text, "");
}

static za_err_t fill_downing(const za_config_t *config, za_settings_t *out, char *problem,
                             size_t problem_bytes)
{
    za_downing_config_t *downing = &out->cluster_downing;
    downing->strategy = strategies[choice_of(config, ZA_KEY_cluster_downing_strategy)];
    downing->quorum = (uint32_t)number_of(config, ZA_KEY_cluster_downing_quorum);
    downing->stable_after_ms = (uint32_t)number_of(config, ZA_KEY_cluster_downing_stable_after_ms);
    snprintf(downing->role, sizeof downing->role, "%s",
             value_of(config, ZA_KEY_cluster_downing_role));
    downing->keep_lone_oldest =
        strcmp(value_of(config, ZA_KEY_cluster_downing_keep_lone_oldest), "true") == 0;
    const char *strategy = za_downing_strategy_name(downing->strategy);
    if (downing->strategy == ZA_DOWNING_STATIC_QUORUM && downing->quorum == 0) {
        return refuse(
            problem, problem_bytes,
            "cluster.downing.quorum is not set: static_quorum needs the number of members "
            "that a side must have, more than half of those that the cluster will have",
            "");
    }
    if (downing->strategy != ZA_DOWNING_STATIC_QUORUM && downing->quorum != 0) {
        return refuse(problem, problem_bytes,
                      "cluster.downing.quorum is for static_quorum, and cluster.downing.strategy "
                      "is ",
                      strategy);
    }
    if (downing->strategy != ZA_DOWNING_KEEP_OLDEST && downing->keep_lone_oldest) {
        return refuse(problem, problem_bytes,
                      "cluster.downing.keep_lone_oldest is for keep_oldest, and "
                      "cluster.downing.strategy is ",
                      strategy);
    }
    if (downing->strategy == ZA_DOWNING_NONE && downing->role[0] != '\0') {
        return refuse(problem, problem_bytes,
                      "cluster.downing.role does nothing without a strategy: "
                      "cluster.downing.strategy is ",
                      strategy);
    }
    if (downing->strategy == ZA_DOWNING_NONE && downing->stable_after_ms != 0) {
        return refuse(problem, problem_bytes,
                      "cluster.downing.stable_after_ms does nothing without a strategy: "
                      "cluster.downing.strategy is ",
                      strategy);
    }
    return check_stable_after(out, problem, problem_bytes);
}

static za_err_t check_file(const char *key, const char *path, char *problem, size_t problem_bytes)
{
    if (access(path, R_OK) != 0) {
        char text[128];
        snprintf(text, sizeof(text), "%s: %s: ", key, strerror(errno));
        return refuse(problem, problem_bytes, text, path);
    }
    return ZA_OK;
}

static za_err_t check_tls(const za_settings_t *settings, char *problem, size_t problem_bytes)
{
    bool some = settings->tls_ca[0] != '\0' || settings->tls_cert[0] != '\0' ||
                settings->tls_key[0] != '\0';
    if (settings->tls_insecure) {
        if (some) {
            return refuse(problem, problem_bytes,
                          "tls.insecure = true contradicts tls.ca, "
                          "tls.cert and tls.key: remove one or the other",
                          "");
        }
        if (!za_address_is_loopback(settings->node_listen)) {
            return refuse(problem, problem_bytes,
                          "tls.insecure is for loopback addresses only, "
                          "and node.listen is ",
                          settings->node_listen);
        }
        return ZA_OK;
    }
    const char *missing = settings->tls_ca[0] == '\0'     ? "tls.ca"
                          : settings->tls_cert[0] == '\0' ? "tls.cert"
                          : settings->tls_key[0] == '\0'  ? "tls.key"
                                                          : NULL;
    if (missing != NULL) {
        char text[64];
        snprintf(text, sizeof(text), "%s is not set: ", missing);
        return refuse(problem, problem_bytes, text,
                      "make certificates with `zactorctl ca init` and `zactorctl ca issue NODE`, "
                      "or set tls.insecure = true on a loopback address");
    }
    za_err_t err = check_file("tls.ca", settings->tls_ca, problem, problem_bytes);
    if (err == ZA_OK) {
        err = check_file("tls.cert", settings->tls_cert, problem, problem_bytes);
    }
    return err != ZA_OK ? err : check_file("tls.key", settings->tls_key, problem, problem_bytes);
}

ZA_PRINTF(4, 5)
static za_err_t refuse_cores(char *problem, size_t problem_bytes, const za_cores_t *cores,
                             const char *format, ...)
{
    char list[64];
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    za_cores_print(cores, list, sizeof(list));
    return refuse(problem, problem_bytes, text, list);
}

/** Workers, and a core for each if they are pinned. */
static za_err_t fill_workers(const za_config_t *config, za_settings_t *out, char *problem,
                             size_t problem_bytes)
{
    const char *pin = value_of(config, ZA_KEY_node_pin);
    za_cores_t allowed = { 0 };
    bool known = za_cores_allowed(&allowed) == ZA_OK; // if not, the start of the threads will tell
    bool automatic = strcmp(pin, "auto") == 0;
    if (!automatic && strcmp(pin, "none") != 0) {
        za_err_t err = za_cores_parse(pin, &out->node_pin);
        ZA_ASSERT(err == ZA_OK); // checked when it was set
    }
    if (out->node_workers == 0) {
        out->node_workers = default_workers(&out->node_pin, &allowed);
    }
    if (automatic) {
        za_numa_t numa;
        za_numa_read(&numa, NULL);
        if (za_cores_spread(&allowed, &numa, out->node_workers, &out->node_pin) != ZA_OK) {
            return refuse_cores(problem, problem_bytes, &allowed,
                                "node.pin = auto: %" PRIu32
                                " workers need a core each, and this process may only use ",
                                out->node_workers);
        }
    }
    if (out->node_pin.count > 0 && out->node_pin.count < out->node_workers) {
        return refuse_cores(problem, problem_bytes, &out->node_pin,
                            "node.pin: %" PRIu32 " workers need a core each, and there are only ",
                            out->node_workers);
    }
    for (uint32_t i = 0; known && i < out->node_pin.count; i++) {
        if (!za_cores_have(&allowed, out->node_pin.cores[i])) {
            return refuse_cores(problem, problem_bytes, &allowed,
                                "node.pin: core %" PRIu16
                                " is none of those this process may use: ",
                                out->node_pin.cores[i]);
        }
    }
    return ZA_OK;
}

za_err_t za_settings_from_config(const za_config_t *config, za_settings_t *out, char *problem,
                                 size_t problem_bytes)
{
    *out = (za_settings_t){ 0 };
    copy_values(config, out);
    if (out->node_name[0] == '\0') {
        default_name(out->node_name);
    }
    za_err_t err = fill_workers(config, out, problem, problem_bytes);
    if (err == ZA_OK) {
        err = fill_downing(config, out, problem, problem_bytes);
    }
    if (err != ZA_OK) {
        return err;
    }
    if (out->node_advertise[0] == '\0') {
        if (is_wildcard(out->node_listen)) {
            return refuse(problem, problem_bytes,
                          "node.advertise is not set, and others cannot "
                          "connect to node.listen = ",
                          out->node_listen);
        }
        snprintf(out->node_advertise, sizeof(out->node_advertise), "%s", out->node_listen);
    }
    if (is_portless(out->node_advertise) && strcmp(out->node_advertise, out->node_listen) != 0) {
        return refuse(
            problem, problem_bytes,
            "node.advertise needs the port that others connect to (leave it out to use the "
            "port of node.listen), and it is ",
            out->node_advertise);
    }
    if (is_wildcard(out->node_advertise)) {
        return refuse(problem, problem_bytes, "node.advertise: others cannot connect to ",
                      out->node_advertise);
    }
    return check_tls(out, problem, problem_bytes);
}
