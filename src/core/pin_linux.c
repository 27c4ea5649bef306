#include <sched.h>

#include "core/pin.h"

static_assert(ZA_CORES_MAX == CPU_SETSIZE, "a core has a bit in cpu_set_t");

za_err_t za_cores_allowed(za_cores_t *out)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return ZA_EIO;
    }
    out->count = 0;
    for (uint32_t core = 0; core < ZA_CORES_MAX; core++) {
        if (CPU_ISSET(core, &set)) {
            out->cores[out->count++] = (uint16_t)core;
        }
    }
    return ZA_OK;
}

za_err_t za_pin_attributes(pthread_attr_t *attributes, uint32_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (core >= ZA_CORES_MAX) {
        return ZA_EINVAL;
    }
    CPU_SET(core, &set);
    return pthread_attr_setaffinity_np(attributes, sizeof set, &set) == 0 ? ZA_OK : ZA_EINVAL;
}
