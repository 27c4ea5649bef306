#include "node/discovery_host.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/file.h"
#include "net/resolver.h"
#include "node/state.h"

enum {
    JOINING_MS = 1000, // between two looks while the node is no member
    RESOLVE_TIMEOUT_MS = 2000,
};

/** What an answer needs to find its way back. */
typedef struct errand {
    za_discovery_host_t *host;
    uint32_t source;
    za_file_t *file; // being read
} errand_t;

struct za_discovery_host {
    za_loop_t *loop;
    za_node_t *node;
    za_resolver_t *resolver;
    za_discovery_t *discovery;
    const za_settings_t *settings;
    const char *seeds[ZA_SEEDS_MAX];
    uint32_t joined_ms;
    errand_t errands[ZA_DISCOVERY_SOURCES_MAX];
};

static void on_resolved(void *context, const za_resolver_answer_t *answer)
{
    errand_t *errand = context;
    za_node_t *node = errand->host->node;
    za_node_touch(node);
    za_discovery_answer(errand->host->discovery, errand->source, node->now_ms, answer->err,
                        answer->problem, answer->addresses, answer->count);
}

static za_err_t resolve(void *context, uint32_t source, const za_seed_t *seed)
{
    za_discovery_host_t *host = context;
    za_resolver_kind_t kind =
        seed->kind == ZA_SEED_SERVICE ? ZA_RESOLVER_SERVICE : ZA_RESOLVER_HOST;
    return za_resolver_ask(host->resolver, kind, seed->text, seed->port, on_resolved,
                           &host->errands[source]);
}

static void on_file(void *context, za_err_t err, const char *problem, const char *text,
                    uint32_t size)
{
    errand_t *errand = context;
    za_node_t *node = errand->host->node;
    errand->file = NULL;
    za_node_touch(node);
    za_discovery_file(errand->host->discovery, errand->source, node->now_ms, err, problem, text,
                      size);
}

static za_err_t read_file(void *context, uint32_t source, const char *path)
{
    za_discovery_host_t *host = context;
    return za_file_read(host->loop, path, ZA_DISCOVERY_FILE_BYTES_MAX, on_file,
                        &host->errands[source], &host->errands[source].file);
}

static void tell_seeds(void *context, const char *list, uint32_t size, bool may_found)
{
    za_discovery_host_t *host = context;
    za_node_step(host->node, &(za_cluster_event_t){ .type = ZA_CLUSTER_SEEDS,
                                                    .bytes = (const uint8_t *)list,
                                                    .size = size,
                                                    .id = may_found });
}

static void log_text(void *context, int level, const char *text)
{
    za_discovery_host_t *host = context;
    za_node_log(host->node, level, "%s", text);
}

static const za_discovery_ops_t ops = { resolve, read_file, tell_seeds, log_text };

za_err_t za_discovery_host_create(za_loop_t *loop, const za_settings_t *settings,
                                  uint32_t joined_ms, za_discovery_host_t **out)
{
    *out = NULL;
    if (!settings->cluster_discovers) {
        return ZA_OK;
    }
    za_discovery_host_t *host = calloc(1, sizeof *host);
    if (host == NULL) {
        return ZA_ENOMEM;
    }
    za_resolver_config_t config = { .servers = settings->cluster_dns,
                                    .timeout_ms = RESOLVE_TIMEOUT_MS };
    za_err_t err = za_resolver_create(loop, &config, &host->resolver);
    if (err != ZA_OK) {
        free(host);
        return err;
    }
    host->loop = loop;
    host->settings = settings;
    host->joined_ms = joined_ms;
    for (uint32_t i = 0; i < ZA_DISCOVERY_SOURCES_MAX; i++) {
        host->errands[i] = (errand_t){ .host = host, .source = i };
    }
    *out = host;
    return ZA_OK;
}

za_err_t za_discovery_host_attach(za_discovery_host_t *host, za_node_t *node)
{
    const za_settings_t *settings = host->settings;
    for (uint32_t i = 0; i < settings->cluster_seed_count; i++) {
        host->seeds[i] = settings->cluster_seeds[i];
    }
    za_discovery_config_t config = { .seeds = host->seeds,
                                     .seed_count = settings->cluster_seed_count,
                                     .own = settings->node_advertise,
                                     .joining_ms = JOINING_MS,
                                     .joined_ms = host->joined_ms,
                                     .ops = &ops,
                                     .context = host };
    host->node = node;
    return za_discovery_create(&config, node->now_ms, &host->discovery);
}

void za_discovery_host_destroy(za_discovery_host_t *host)
{
    if (host == NULL) {
        return;
    }
    for (uint32_t i = 0; i < ZA_DISCOVERY_SOURCES_MAX; i++) {
        if (host->errands[i].file != NULL) {
            za_file_abandon(host->errands[i].file);
        }
    }
    za_resolver_destroy(host->resolver);
    za_discovery_destroy(host->discovery);
    free(host);
}

void za_discovery_host_turn(za_discovery_host_t *host)
{
    za_node_t *node = host->node;
    if (node->now_ms >= za_discovery_deadline_ms(host->discovery)) {
        bool joined = node->announced != 0 && node->announced == za_node_uid(node);
        za_discovery_tick(host->discovery, node->now_ms, joined);
    }
    za_discovery_counters_t counters;
    za_discovery_counters(host->discovery, &counters);
#define ZA_WRITE(counter, value)                                                                   \
    atomic_store_explicit(&node->counters.counter, (value), memory_order_relaxed) // a statistic
    ZA_WRITE(discovery_lookups, counters.lookups);
    ZA_WRITE(discovery_failures, counters.failures);
    ZA_WRITE(discovery_lines_bad, counters.lines_bad);
    ZA_WRITE(discovery_addresses, counters.addresses);
#undef ZA_WRITE
}

uint64_t za_discovery_host_deadline_ms(const za_discovery_host_t *host)
{
    return za_discovery_deadline_ms(host->discovery);
}
