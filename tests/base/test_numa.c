#include "base/numa.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/za_test.h"

static char root[64];

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0, "%s", path);
}

static void put_node(uint32_t node, const char *cores)
{
    char path[256];
    snprintf(path, sizeof path, "%s/node%u", root, node);
    cr_assert(mkdir(path, 0700) == 0, "%s", path);
    snprintf(path, sizeof path, "node%u/cpulist", node);
    put(path, cores);
}

/** A folder as the kernel's, of a machine with such nodes. */
static void machine(const char *online)
{
    snprintf(root, sizeof root, "/tmp/za_numa_XXXXXX");
    cr_assert(mkdtemp(root) != NULL, "a folder");
    if (online != NULL) {
        put("online", online);
    }
}

static void clear(uint32_t nodes)
{
    char path[256];
    for (uint32_t node = 0; node < nodes; node++) {
        snprintf(path, sizeof path, "%s/node%u/cpulist", root, node);
        unlink(path);
        snprintf(path, sizeof path, "%s/node%u", root, node);
        rmdir(path);
    }
    snprintf(path, sizeof path, "%s/online", root);
    unlink(path);
    rmdir(root);
}

Test(numa, tells_the_node_of_each_core)
{
    machine("0-1\n");
    put_node(0, "0-3,8-11\n");
    put_node(1, "4-7,12\n");
    za_numa_t numa;
    za_numa_read(&numa, root);
    clear(2);
    cr_assert(numa.node_count == 2 && numa.core_count == 13, "two nodes, thirteen cores");
    const uint32_t expected[] = { 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1 };
    for (uint32_t core = 0; core < 13; core++) {
        cr_expect(za_numa_node_of(&numa, core) == expected[core], "core %u", core);
    }
    cr_assert(za_numa_node_of(&numa, 13) == ZA_NUMA_NODE_NONE, "no such core");
    cr_assert(za_numa_node_of(&numa, UINT32_MAX) == ZA_NUMA_NODE_NONE, "far away");
    cr_assert(za_numa_node_of(NULL, 0) == ZA_NUMA_NODE_NONE, "nothing is known");
}

// Nodes may have gaps in their numbers, and memory without cores.
Test(numa, knows_nodes_that_are_not_in_a_row)
{
    machine("0,4\n");
    put_node(0, "\n");
    put_node(4, "0-1\n");
    za_numa_t numa;
    za_numa_read(&numa, root);
    clear(5);
    cr_assert(numa.node_count == 2 && numa.core_count == 2, "two nodes, two cores");
    cr_assert(za_numa_node_of(&numa, 1) == 4, "by its number");
}

Test(numa, is_one_node_where_nothing_can_be_read)
{
    za_numa_t numa;
    za_numa_read(&numa, "/nowhere/at/all");
    cr_assert(numa.node_count == 1 && numa.core_count == 0, "no folder");
    machine("0-1\n");
    put_node(0, "0-3\n");
    put_node(1, "what is this?\n");
    za_numa_read(&numa, root);
    clear(2);
    cr_assert(numa.node_count == 1 && numa.core_count == 0, "no list");
}

Test(numa, reads_the_machine_that_it_runs_on)
{
    za_numa_t numa;
    za_numa_read(&numa, NULL);
    cr_assert(numa.node_count >= 1 && numa.bind != NULL, "at least one node");
}

// Asked back from the kernel. A container may forbid both calls: then nothing is known here.
Test(numa, binding_is_a_preference_of_those_pages)
{
    enum { BYTES = 1 << 16, POLICY_PREFERRED = 1, OF_ADDRESS = 2 };
    za_numa_t numa;
    za_numa_read(&numa, NULL);
    numa.node_count = 2; // as if: on one node nothing would be asked for
    void *pages = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(pages != MAP_FAILED, "pages");
    if (za_numa_bind(&numa, pages, BYTES, 0) != ZA_OK) {
        munmap(pages, BYTES);
        cr_skip_test("no mbind(2) here");
    }
    int policy = -1;
    unsigned long mask[ZA_CORES_MAX / 64] = { 0 };
    long result = syscall(SYS_get_mempolicy, &policy, mask, (unsigned long)ZA_CORES_MAX, pages,
                          (unsigned long)OF_ADDRESS);
    cr_assert(result == 0 && policy == POLICY_PREFERRED && mask[0] == 1, "policy %d of %lx", policy,
              mask[0]);
    munmap(pages, BYTES);
}

typedef struct bound {
    uint32_t calls;
    uint32_t node;
} bound_t;

static za_err_t note_bind(void *context, void *pages, size_t bytes, uint32_t node)
{
    bound_t *bound = context;
    bound->calls++;
    bound->node = node;
    return pages != NULL && bytes > 0 ? ZA_OK : ZA_EIO;
}

Test(numa, binds_nothing_on_a_machine_with_one_node)
{
    bound_t bound = { 0 };
    char page;
    za_numa_t numa = { .node_count = 1, .bind = note_bind, .context = &bound };
    cr_assert(za_numa_bind(&numa, &page, 1, 0) == ZA_OK && bound.calls == 0, "one node");
    cr_assert(za_numa_bind(NULL, &page, 1, 0) == ZA_OK, "none is known");
    numa.node_count = 2;
    cr_assert(za_numa_bind(&numa, &page, 1, ZA_NUMA_NODE_NONE) == ZA_OK && bound.calls == 0,
              "a thread that stays nowhere");
    cr_assert(za_numa_bind(&numa, &page, 1, 1) == ZA_OK && bound.calls == 1 && bound.node == 1,
              "two nodes");
}
