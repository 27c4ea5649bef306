#include "base/numa.h"

uint32_t za_numa_node_of(const za_numa_t *numa, uint32_t core)
{
    return numa == NULL || core >= numa->core_count ? ZA_NUMA_NODE_NONE : numa->nodes[core];
}

za_err_t za_numa_bind(const za_numa_t *numa, void *pages, size_t bytes, uint32_t node)
{
    if (numa == NULL || numa->node_count <= 1 || node >= ZA_NUMA_NODES_MAX || numa->bind == NULL) {
        return ZA_OK;
    }
    return numa->bind(numa->context, pages, bytes, node);
}
