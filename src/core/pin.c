#include "core/pin.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- lists -------------------------------------------------------------------------------- */

bool za_cores_have(const za_cores_t *cores, uint32_t core)
{
    for (uint32_t i = 0; i < cores->count; i++) {
        if (cores->cores[i] == core) {
            return true;
        }
    }
    return false;
}

/** The number at `*text`, which it moves on. False: there is none, or no core has it. */
static bool read_core(const char **text, uint32_t *out)
{
    uint32_t core = 0;
    if (!isdigit((unsigned char)**text)) {
        return false;
    }
    for (; isdigit((unsigned char)**text); ++*text) {
        core = core * 10 + (uint32_t)(**text - '0');
        if (core >= ZA_CORES_MAX) {
            return false;
        }
    }
    *out = core;
    return true;
}

static bool add_range(za_cores_t *cores, uint32_t first, uint32_t last)
{
    for (uint32_t core = first; core <= last; core++) {
        if (za_cores_have(cores, core)) {
            return false;
        }
        cores->cores[cores->count++] = (uint16_t)core;
    }
    return first <= last;
}

za_err_t za_cores_parse(const char *text, za_cores_t *out)
{
    za_cores_t cores = { 0 };
    for (bool more = true; more;) {
        uint32_t first;
        if (!read_core(&text, &first)) {
            return ZA_EINVAL;
        }
        uint32_t last = first;
        if (*text == '-') {
            text++;
            if (!read_core(&text, &last)) {
                return ZA_EINVAL;
            }
        }
        if (!add_range(&cores, first, last)) {
            return ZA_EINVAL;
        }
        more = *text == ',';
        text += more;
    }
    if (*text != '\0') {
        return ZA_EINVAL;
    }
    *out = cores;
    return ZA_OK;
}

void za_cores_print(const za_cores_t *cores, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < cores->count && used < text_bytes; i++) {
        uint32_t first = i;
        while (i + 1 < cores->count && cores->cores[i + 1] == cores->cores[i] + 1) {
            i++;
        }
        used += (size_t)snprintf(text + used, text_bytes - used, "%s%" PRIu16,
                                 first == 0 ? "" : ",", cores->cores[first]);
        if (i > first && used < text_bytes) {
            used += (size_t)snprintf(text + used, text_bytes - used, "-%" PRIu16, cores->cores[i]);
        }
    }
}

/* ---- a core for each worker --------------------------------------------------------------- */

static uint32_t node_of(const za_numa_t *numa, uint32_t core)
{
    uint32_t node = za_numa_node_of(numa, core);
    return node < ZA_NUMA_NODES_MAX ? node : 0; // a core nobody knows: as if there was one node
}

/** How many workers each node gets: one each in turn, while it has cores. */
static void share_out(const uint32_t *room, uint32_t workers, uint32_t *shares)
{
    while (workers > 0) {
        for (uint32_t node = 0; node < ZA_NUMA_NODES_MAX && workers > 0; node++) {
            if (shares[node] < room[node]) {
                shares[node]++;
                workers--;
            }
        }
    }
}

za_err_t za_cores_spread(const za_cores_t *allowed, const za_numa_t *numa, uint32_t workers,
                         za_cores_t *out)
{
    if (workers > allowed->count) {
        return ZA_EINVAL;
    }
    uint32_t room[ZA_NUMA_NODES_MAX] = { 0 };
    uint32_t shares[ZA_NUMA_NODES_MAX] = { 0 };
    for (uint32_t i = 0; i < allowed->count; i++) {
        room[node_of(numa, allowed->cores[i])]++;
    }
    share_out(room, workers, shares);
    za_cores_t chosen = { 0 };
    for (uint32_t node = 0; node < ZA_NUMA_NODES_MAX; node++) {
        for (uint32_t i = 0; i < allowed->count && shares[node] > 0; i++) {
            if (node_of(numa, allowed->cores[i]) == node) {
                chosen.cores[chosen.count++] = allowed->cores[i];
                shares[node]--;
            }
        }
    }
    *out = chosen;
    return ZA_OK;
}
