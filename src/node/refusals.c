#include "node/refusals.h"

#include <inttypes.h>

#include "node/link.h"

enum {
    LINES_MAX = 20, // a cluster with a wrong certificate in it shows which
    WHILE_MS = 10000,
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

void za_link_refused(za_node_t *node, const char *way, const char *address, const char *why)
{
    uint64_t untold = 0;
    ZA_COUNT(node, links_refused, 1);
    if (!za_refusals_step(&node->refusals, node->now_ms, &untold)) {
        return;
    }
    za_node_log(node, ZA_WARN, "connection %s %s refused: %s", way, address, why);
    if (untold > 0) {
        za_node_log(node, ZA_WARN, "%" PRIu64 " connections before it were refused without a line",
                    untold);
    }
}
