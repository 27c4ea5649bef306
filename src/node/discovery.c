#include "node/discovery.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zactor/actor.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/pages.h"
#include "cluster/cluster.h"

enum {
    HOST_BYTES_MAX = 253, // a name in DNS
    LOG_BYTES = 512,
    FILE_MS_MAX = 5000, // a file costs next to nothing, and who edits one waits for it
    UNION_MAX = ZA_DISCOVERY_SOURCES_MAX * ZA_DISCOVERY_ADDRESSES_MAX,
};

typedef char address_t[ZA_ADDRESS_BYTES_MAX + 1];

typedef struct source {
    za_seed_t seed;
    char name[ZA_SEED_BYTES_MAX + 1]; // as it was written, for the log
    bool own;                         // resolves our own address: no seed
    bool asking, failing;
    uint64_t due_ms;
    uint64_t hash; // of the file that was read last
    uint32_t count;
    address_t addresses[ZA_DISCOVERY_ADDRESSES_MAX];
} source_t;

struct za_discovery {
    za_discovery_ops_t ops;
    void *context;
    uint32_t joining_ms, joined_ms;
    bool joined;
    bool stranger; // our own address is not among the discovered ones, which was told
    address_t own;
    uint32_t fixed_count; // seeds that are addresses
    address_t fixed[ZA_CLUSTER_SEEDS_MAX];
    uint32_t source_count;
    za_discovery_counters_t counters;
    uint64_t told_hash; // of the seeds that were told last
    uint32_t window;    // first of those that were told, if there are more than can be
    const char *all[UNION_MAX];
    char list[ZA_CLUSTER_SEEDS_MAX * sizeof(address_t)];
    source_t sources[ZA_DISCOVERY_SOURCES_MAX];
};

/* ---- seeds ------------------------------------------------------------------------------------- */

static bool has_prefix(const char *text, const char *prefix, const char **rest)
{
    size_t size = strlen(prefix);
    *rest = text + size;
    return strncmp(text, prefix, size) == 0;
}

static bool is_name(const char *name, size_t size)
{
    if (size == 0 || size > HOST_BYTES_MAX || name[0] == '.' || name[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static bool parse_host(const char *text, za_seed_t *out)
{
    char host[ZA_SEED_BYTES_MAX + 1];
    uint16_t port = 0;
    if (!za_address_split(text, host, sizeof host, &port) || port == 0 ||
        !is_name(host, strlen(host))) {
        return false;
    }
    *out = (za_seed_t){ .kind = ZA_SEED_HOST, .port = port };
    strcpy(out->text, host);
    return true;
}

static bool is_address(const char *text)
{
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    uint16_t port = 0;
    return strlen(text) <= ZA_ADDRESS_BYTES_MAX &&
           za_address_split(text, host, sizeof host, &port) && port != 0 &&
           strpbrk(text, "/ \t") == NULL;
}

bool za_seed_parse(const char *text, za_seed_t *out)
{
    const char *rest;
    if (strlen(text) > ZA_SEED_BYTES_MAX) {
        return false;
    }
    if (has_prefix(text, "dns://", &rest)) {
        return parse_host(rest, out);
    }
    bool service = has_prefix(text, "srv://", &rest);
    bool file = !service && has_prefix(text, "file://", &rest);
    bool valid = service ? rest[0] == '_' && is_name(rest, strlen(rest))
                 : file  ? rest[0] == '/'
                         : is_address(rest = text);
    if (valid) {
        *out = (za_seed_t){ .kind = service ? ZA_SEED_SERVICE
                                    : file  ? ZA_SEED_FILE
                                            : ZA_SEED_ADDRESS };
        strcpy(out->text, rest);
    }
    return valid;
}

/* ---- create ------------------------------------------------------------------------------------ */

static bool is_numeric(const char *host)
{
    unsigned char room[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

static source_t *add_source(za_discovery_t *discovery, const za_seed_t *seed, const char *name,
                            uint64_t now_ms)
{
    source_t *source = &discovery->sources[discovery->source_count++];
    source->seed = *seed;
    source->due_ms = now_ms;
    snprintf(source->name, sizeof source->name, "%s", name);
    return source;
}

/** A node that is reached by a name is found by the addresses behind it. */
static void add_own(za_discovery_t *discovery, const char *own, uint64_t now_ms)
{
    za_seed_t seed = { .kind = ZA_SEED_HOST };
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    snprintf(discovery->own, sizeof discovery->own, "%s", own);
    if (za_address_split(own, host, sizeof host, &seed.port) && !is_numeric(host)) {
        strcpy(seed.text, host);
        add_source(discovery, &seed, own, now_ms)->own = true;
    }
}

za_err_t za_discovery_create(const za_discovery_config_t *config, uint64_t now_ms,
                             za_discovery_t **out)
{
    if (config->seed_count >= ZA_DISCOVERY_SOURCES_MAX || config->joining_ms == 0 ||
        config->joined_ms == 0) {
        return ZA_EINVAL;
    }
    za_discovery_t *discovery = za_pages_alloc(sizeof *discovery);
    if (discovery == NULL) {
        return ZA_ENOMEM;
    }
    discovery->ops = *config->ops;
    discovery->context = config->context;
    discovery->joining_ms = config->joining_ms;
    discovery->joined_ms = config->joined_ms;
    for (uint32_t i = 0; i < config->seed_count; i++) {
        za_seed_t seed;
        if (!za_seed_parse(config->seeds[i], &seed)) {
            za_discovery_destroy(discovery);
            return ZA_EINVAL;
        }
        if (seed.kind == ZA_SEED_ADDRESS) {
            strcpy(discovery->fixed[discovery->fixed_count++], seed.text);
        } else {
            add_source(discovery, &seed, config->seeds[i], now_ms);
        }
    }
    add_own(discovery, config->own, now_ms);
    *out = discovery;
    return ZA_OK;
}

void za_discovery_destroy(za_discovery_t *discovery)
{
    za_pages_free(discovery, sizeof *discovery);
}

/* ---- what is known ----------------------------------------------------------------------------- */

ZA_PRINTF(3, 4)
static void say(za_discovery_t *discovery, int level, const char *format, ...)
{
    char text[LOG_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    discovery->ops.log(discovery->context, level, text);
}

static bool is_own(const za_discovery_t *discovery, const char *address)
{
    if (strcmp(address, discovery->own) == 0) {
        return true;
    }
    for (uint32_t i = 0; i < discovery->source_count; i++) {
        const source_t *source = &discovery->sources[i];
        for (uint32_t k = 0; source->own && k < source->count; k++) {
            if (strcmp(address, source->addresses[k]) == 0) {
                return true;
            }
        }
    }
    return false;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** All discovered addresses, sorted, each once. */
static uint32_t gather(za_discovery_t *discovery)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < discovery->source_count; i++) {
        const source_t *source = &discovery->sources[i];
        for (uint32_t k = 0; !source->own && k < source->count; k++) {
            discovery->all[count++] = source->addresses[k];
        }
    }
    qsort(discovery->all, count, sizeof discovery->all[0], compare);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || strcmp(discovery->all[i], discovery->all[kept - 1]) != 0) {
            discovery->all[kept++] = discovery->all[i];
        }
    }
    discovery->counters.addresses = kept;
    return kept;
}

typedef struct writer {
    char *list;
    uint32_t used, count;
} writer_t;

static void put(writer_t *writer, const char *address)
{
    size_t size = strlen(address);
    memcpy(writer->list + writer->used, address, size);
    writer->list[writer->used + size] = '\n';
    writer->used += (uint32_t)size + 1;
    writer->count++;
}

/** Nobody else may found a cluster in its place: without this line it would wait in silence. */
static void check_own(za_discovery_t *discovery, uint32_t count)
{
    bool found = false;
    for (uint32_t i = 0; i < count && !found; i++) {
        found = is_own(discovery, discovery->all[i]);
    }
    bool stranger = count > 0 && !found;
    if (stranger && !discovery->stranger && !discovery->joined) {
        say(discovery, ZA_WARN,
            "%s, where others reach this node, is not among the %" PRIu32
            " discovered addresses: it can join a cluster, and found none",
            discovery->own, count);
    }
    discovery->stranger = stranger;
}

/** Tells the seeds if they are others than before, or if there are more than can be told at once. */
static void tell(za_discovery_t *discovery)
{
    uint32_t count = gather(discovery);
    bool may_found = count > 0 && is_own(discovery, discovery->all[0]);
    check_own(discovery, count);
    writer_t writer = { .list = discovery->list };
    for (uint32_t i = 0; i < discovery->fixed_count; i++) {
        put(&writer, discovery->fixed[i]);
    }
    uint32_t begin = count > ZA_CLUSTER_SEEDS_MAX ? discovery->window % count : 0;
    uint32_t taken = 0;
    while (taken < count && writer.count < ZA_CLUSTER_SEEDS_MAX) {
        const char *address = discovery->all[(begin + taken++) % count];
        if (!is_own(discovery, address)) {
            put(&writer, address);
        }
    }
    discovery->window = begin + taken;
    uint64_t hash = za_fnv64(ZA_FNV64_INIT + may_found, discovery->list, writer.used);
    if (hash != discovery->told_hash) {
        discovery->told_hash = hash;
        discovery->ops.seeds(discovery->context, discovery->list, writer.used, may_found);
    }
}

/* ---- answers ----------------------------------------------------------------------------------- */

static uint64_t interval(const za_discovery_t *discovery, const source_t *source)
{
    uint32_t ms = discovery->joined ? discovery->joined_ms : discovery->joining_ms;
    return source->seed.kind == ZA_SEED_FILE && ms > FILE_MS_MAX ? FILE_MS_MAX : ms;
}

/** False: an error, which is told once, and what was known stays. */
static bool take_answer(za_discovery_t *discovery, source_t *source, uint64_t now_ms, za_err_t err,
                        const char *problem)
{
    source->asking = false;
    source->due_ms = now_ms + interval(discovery, source);
    if (err == ZA_OK) {
        return true;
    }
    discovery->counters.failures++;
    if (!source->failing) {
        source->failing = true;
        say(discovery, ZA_WARN, "seed %s: %s", source->name,
            problem[0] != '\0' ? problem : za_err_text(err));
    }
    return false;
}

static void settle(za_discovery_t *discovery, source_t *source, bool changed)
{
    if (source->failing || changed) {
        source->failing = false;
        say(discovery, ZA_INFO, "seed %s: %" PRIu32 " addresses", source->name, source->count);
    }
    tell(discovery);
}

void za_discovery_answer(za_discovery_t *discovery, uint32_t source_id, uint64_t now_ms,
                         za_err_t err, const char *problem,
                         char (*addresses)[ZA_ADDRESS_BYTES_MAX + 1], uint32_t count)
{
    ZA_ASSERT(source_id < discovery->source_count);
    source_t *source = &discovery->sources[source_id];
    if (!take_answer(discovery, source, now_ms, err, problem)) {
        return;
    }
    count = count < ZA_DISCOVERY_ADDRESSES_MAX ? count : ZA_DISCOVERY_ADDRESSES_MAX;
    bool changed = count != source->count;
    source->count = count;
    for (uint32_t i = 0; i < count; i++) {
        snprintf(source->addresses[i], sizeof source->addresses[i], "%s", addresses[i]);
    }
    settle(discovery, source, changed);
}

/** One line of a file, without its comment and the spaces around; false if nothing is left. */
static bool trim(const char *line, size_t size, char out[ZA_SEED_BYTES_MAX + 1])
{
    const char *comment = memchr(line, '#', size);
    size = comment != NULL ? (size_t)(comment - line) : size;
    while (size > 0 && isspace((unsigned char)line[size - 1])) {
        size--;
    }
    while (size > 0 && isspace((unsigned char)*line)) {
        line++;
        size--;
    }
    snprintf(out, ZA_SEED_BYTES_MAX + 1, "%.*s", (int)size, line);
    return size > 0;
}

static void read_lines(za_discovery_t *discovery, source_t *source, const char *text, uint32_t size)
{
    uint32_t number = 0;
    uint32_t bad = 0;
    source->count = 0;
    for (uint32_t at = 0; at < size;) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t length = newline != NULL ? (size_t)(newline - (text + at)) : size - at;
        char line[ZA_SEED_BYTES_MAX + 1];
        number++;
        if (trim(text + at, length, line)) {
            bool valid = is_address(line) && source->count < ZA_DISCOVERY_ADDRESSES_MAX;
            if (valid) {
                strcpy(source->addresses[source->count++], line);
            } else if (bad++ == 0) {
                say(discovery, ZA_WARN, "seed %s: line %" PRIu32 ": \"%.80s\" is %s", source->name,
                    number, line, is_address(line) ? "one too many" : "no host:port");
            }
        }
        at += (uint32_t)length + 1;
    }
    discovery->counters.lines_bad += bad;
}

void za_discovery_file(za_discovery_t *discovery, uint32_t source_id, uint64_t now_ms, za_err_t err,
                       const char *problem, const char *text, uint32_t size)
{
    ZA_ASSERT(source_id < discovery->source_count);
    source_t *source = &discovery->sources[source_id];
    if (!take_answer(discovery, source, now_ms, err, problem)) {
        return;
    }
    uint64_t hash = za_fnv64(ZA_FNV64_INIT, text, size);
    bool changed = hash != source->hash; // else its bad lines were told
    if (changed) {
        source->hash = hash;
        read_lines(discovery, source, text, size);
    }
    settle(discovery, source, changed);
}

/* ---- time -------------------------------------------------------------------------------------- */

static void ask(za_discovery_t *discovery, uint32_t id, uint64_t now_ms)
{
    source_t *source = &discovery->sources[id];
    source->asking = true;
    discovery->counters.lookups++;
    za_err_t err = source->seed.kind == ZA_SEED_FILE
                       ? discovery->ops.read(discovery->context, id, source->seed.text)
                       : discovery->ops.resolve(discovery->context, id, &source->seed);
    if (err != ZA_OK) {
        take_answer(discovery, source, now_ms, err, "");
    }
}

void za_discovery_tick(za_discovery_t *discovery, uint64_t now_ms, bool joined)
{
    bool hurries = discovery->joined && !joined; // reborn: what is known may be old
    discovery->joined = joined;
    for (uint32_t i = 0; i < discovery->source_count; i++) {
        source_t *source = &discovery->sources[i];
        if (!source->asking && (hurries || source->due_ms <= now_ms)) {
            ask(discovery, i, now_ms);
        }
    }
}

uint64_t za_discovery_deadline_ms(const za_discovery_t *discovery)
{
    uint64_t deadline = UINT64_MAX;
    for (uint32_t i = 0; i < discovery->source_count; i++) {
        const source_t *source = &discovery->sources[i];
        if (!source->asking && source->due_ms < deadline) {
            deadline = source->due_ms;
        }
    }
    return deadline;
}

void za_discovery_counters(const za_discovery_t *discovery, za_discovery_counters_t *out)
{
    *out = discovery->counters;
}
