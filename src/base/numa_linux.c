/**
 * The machine's memory nodes as Linux shows them. No libnuma: of it we would need a file to read and
 * one system call, and it brings a constructor and state of the process (docs/decisions/0011).
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/numa.h"

#define NODES_FOLDER "/sys/devices/system/node"

enum {
    LIST_BYTES_MAX = 4096, // the kernel shows at most a page
    // Of mbind(2). Preferred and not bound: when the node is full, memory elsewhere is better than
    // the out-of-memory killer.
    POLICY_PREFERRED = 1,
};

/** Calls `mark` for each number of a list as "0-3,8,10-11". False: it is none. */
static bool each_number(const char *list,
                        void (*mark)(za_numa_t *numa, uint32_t number, uint32_t node),
                        za_numa_t *numa, uint32_t node)
{
    const char *at = list;
    while (*at >= '0' && *at <= '9') {
        char *end;
        unsigned long first = strtoul(at, &end, 10);
        unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
        for (unsigned long number = first; number <= last && number < ZA_CORES_MAX; number++) {
            mark(numa, (uint32_t)number, node);
        }
        at = *end == ',' ? end + 1 : end;
    }
    return *at == '\n' || *at == '\0';
}

static bool read_list(const char *folder, const char *name, char out[LIST_BYTES_MAX + 1])
{
    char path[512];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t got = read(fd, out, LIST_BYTES_MAX);
    close(fd);
    out[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static void mark_core(za_numa_t *numa, uint32_t core, uint32_t node)
{
    numa->nodes[core] = (uint8_t)node;
    numa->core_count = core + 1 > numa->core_count ? core + 1 : numa->core_count;
}

/** One more node is online; its cores are in a file of its own. */
static void mark_node(za_numa_t *numa, uint32_t node, uint32_t unused)
{
    (void)unused;
    if (node < ZA_NUMA_NODES_MAX) {
        numa->node_count++;
        numa->nodes[node] = 1; // for now: of nodes, not of cores
    }
}

static za_err_t bind_pages(void *context, void *pages, size_t bytes, uint32_t node)
{
    (void)context;
    // The kernel reads one bit less than it is told.
    unsigned long mask[2] = { 1ul << node, 0 };
    long result = syscall(SYS_mbind, pages, bytes, POLICY_PREFERRED, mask, 65ul, 0u);
    return result == 0 ? ZA_OK : ZA_EIO;
}

/** The machine as one node, of which no core is known. */
static void set_plain(za_numa_t *numa)
{
    memset(numa, 0, sizeof *numa);
    memset(numa->nodes, ZA_NUMA_NODE_NONE, sizeof numa->nodes);
    numa->node_count = 1;
    numa->bind = bind_pages;
}

void za_numa_read(za_numa_t *numa, const char *folder)
{
    char list[LIST_BYTES_MAX + 1];
    folder = folder != NULL ? folder : NODES_FOLDER;
    za_numa_t online = { 0 };
    set_plain(numa);
    if (!read_list(folder, "online", list) || !each_number(list, mark_node, &online, 0)) {
        return;
    }
    numa->node_count = online.node_count > 0 ? online.node_count : 1;
    for (uint32_t node = 0; node < ZA_NUMA_NODES_MAX; node++) {
        char name[32];
        snprintf(name, sizeof name, "node%u/cpulist", node);
        // A node without cores has memory alone, and an empty list.
        if (online.nodes[node] == 1 && read_list(folder, name, list) &&
            !each_number(list, mark_core, numa, node)) {
            set_plain(numa);
            return;
        }
    }
}
