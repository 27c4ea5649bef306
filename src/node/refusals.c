#include "node/refusals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "node/link.h"

enum {
    LINES_MAX = 20, // a cluster with a wrong certificate in it shows which
    WHILE_MS = 10000,
    AGAIN_MS = 60000,
    TIMES_BYTES = 64,
};

/** The one with the key; else a free one, or the one told of longest ago. */
static struct za_refused *find(za_refusals_t *refusals, uint64_t key)
{
    struct za_refused *oldest = &refusals->recent[0];
    for (uint32_t i = 0; i < ZA_REFUSALS_RECENT_MAX; i++) {
        struct za_refused *recent = &refusals->recent[i];
        if (recent->key == key || recent->key == 0) { // behind a free one are no others
            return recent;
        }
        oldest = recent->told_ms < oldest->told_ms ? recent : oldest;
    }
    return oldest;
}

static bool has_room(za_refusals_t *refusals, uint64_t now_ms)
{
    if (now_ms >= refusals->until_ms) {
        refusals->until_ms = now_ms + WHILE_MS;
        refusals->lines = 0;
    }
    return refusals->lines < LINES_MAX;
}

bool za_refusals_step(za_refusals_t *refusals, uint64_t key, uint64_t now_ms,
                      za_refusal_line_t *line)
{
    struct za_refused *recent = find(refusals, key);
    bool known = recent->key == key;
    bool room = has_room(refusals, now_ms);
    if (known && (!room || now_ms - recent->told_ms < AGAIN_MS)) {
        recent->untold++;
        return false;
    }
    if (!room) {
        refusals->untold++; // and it is new once more: there was no line
        return false;
    }
    line->times = known ? recent->untold + 1 : 1;
    line->untold = refusals->untold;
    *recent = (struct za_refused){ .key = key, .told_ms = now_ms };
    refusals->untold = 0;
    refusals->lines++;
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

/** Behind a line: how often it was. */
static const char *times_text(const za_refusal_line_t *line, char out[static TIMES_BYTES])
{
    out[0] = '\0';
    if (line->times > 1) {
        snprintf(out, TIMES_BYTES, " (%" PRIu64 " times since the last such line)", line->times);
    }
    return out;
}

void za_link_refused(za_node_t *node, const char *way, const char *address, const char *why)
{
    za_refusal_line_t line;
    char times[TIMES_BYTES];
    ZA_COUNT(node, links_refused, 1);
    size_t bytes = strcmp(way, "from") == 0 ? host_bytes(address) : strlen(address);
    uint64_t key = key_of(way, address, bytes, why);
    if (!za_refusals_step(&node->link_refusals, key, node->now_ms, &line)) {
        return;
    }
    za_node_log(node, ZA_WARN, "connection %s %s refused: %s%s", way, address, why,
                times_text(&line, times));
    if (line.untold > 0) {
        za_node_log(node, ZA_WARN, "%" PRIu64 " connections before it were refused without a line",
                    line.untold);
    }
}

void za_node_refused(za_node_t *node, const char *why)
{
    za_refusal_line_t line;
    char times[TIMES_BYTES];
    uint64_t key = key_of("cluster", "", 0, why);
    if (za_refusals_step(&node->join_refusals, key, node->now_ms, &line)) {
        za_node_log(node, ZA_ERROR, "the cluster refused this node: %s%s", why,
                    times_text(&line, times));
    }
}
