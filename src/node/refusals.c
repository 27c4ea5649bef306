#include "node/refusals.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "node/link.h"

enum {
    LINES_MAX = 20, // a cluster with a wrong certificate in it shows which
    WHILE_MS = 10000,
    AGAIN_MS = 60000,
};

bool za_refusals_step(za_refusals_t *refusals, uint64_t now_ms, uint64_t *untold)
{
    if (now_ms >= refusals->until_ms) {
        refusals->until_ms = now_ms + WHILE_MS;
        refusals->lines = 0;
    }
    if (refusals->lines == LINES_MAX) {
        refusals->untold++;
        return false;
    }
    refusals->lines++;
    *untold = refusals->untold;
    refusals->untold = 0;
    return true;
}

bool za_refusals_again(za_refusals_t *refusals, uint64_t key, uint64_t now_ms, uint64_t *times)
{
    uint32_t oldest = 0;
    for (uint32_t i = 0; i < ZA_REFUSALS_RECENT_MAX; i++) {
        if (refusals->recent[i].key == key) {
            refusals->recent[i].untold++;
            if (now_ms - refusals->recent[i].told_ms < AGAIN_MS) {
                return false;
            }
            *times = refusals->recent[i].untold;
            refusals->recent[i].told_ms = now_ms;
            refusals->recent[i].untold = 0;
            return true;
        }
        if (refusals->recent[i].told_ms < refusals->recent[oldest].told_ms) {
            oldest = i;
        }
    }
    refusals->recent[oldest].key = key;
    refusals->recent[oldest].told_ms = now_ms;
    refusals->recent[oldest].untold = 0;
    *times = 1;
    return true;
}

static uint64_t key_of(const char *way, const char *address, size_t address_bytes, const char *why)
{
    uint64_t key = ZA_FNV64_INIT;
    key = za_fnv64(key, way, strlen(way) + 1);
    key = za_fnv64(key, address, address_bytes);
    key = za_fnv64(key, why, strlen(why) + 1);
    return key != 0 ? key : 1;
}

/** Who comes has another port each time. */
static size_t host_bytes(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon != NULL ? (size_t)(colon - address) : strlen(address);
}

void za_link_refused(za_node_t *node, const char *way, const char *address, const char *why)
{
    uint64_t untold = 0;
    uint64_t times = 0;
    ZA_COUNT(node, links_refused, 1);
    size_t bytes = strcmp(way, "from") == 0 ? host_bytes(address) : strlen(address);
    uint64_t key = key_of(way, address, bytes, why);
    if (!za_refusals_again(&node->refusals, key, node->now_ms, &times) ||
        !za_refusals_step(&node->refusals, node->now_ms, &untold)) {
        return;
    }
    if (times > 1) {
        za_node_log(node, ZA_WARN,
                    "connection %s %s refused: %s (%" PRIu64 " times since the last such line)",
                    way, address, why, times);
    } else {
        za_node_log(node, ZA_WARN, "connection %s %s refused: %s", way, address, why);
    }
    if (untold > 0) {
        za_node_log(node, ZA_WARN, "%" PRIu64 " connections before it were refused without a line",
                    untold);
    }
}

void za_node_refused(za_node_t *node, const char *why)
{
    uint64_t times = 0;
    uint64_t key = key_of("cluster", "", 0, why);
    if (!za_refusals_again(&node->refusals, key, node->now_ms, &times)) {
        return;
    }
    if (times > 1) {
        za_node_log(node, ZA_ERROR,
                    "the cluster refused this node: %s (%" PRIu64
                    " times since the last such line)",
                    why, times);
    } else {
        za_node_log(node, ZA_ERROR, "the cluster refused this node: %s", why);
    }
}
