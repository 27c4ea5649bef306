// References inside decoded messages: whose node 0 is, and which uids are ours.

#include "core/worker.h"

typedef struct home {
    const za_runtime_t *runtime;
    uint64_t from_uid;
} home_t;

static void localise(za_ref_t *ref, void *context)
{
    const home_t *home = context;
    if (ref->actor == 0) {
        *ref = ZA_REF_NONE;
    } else if (ref->node == 0) {
        ref->node = home->from_uid;
    }
    if (za_uid_is_own(home->runtime, ref->node)) {
        ref->node = 0;
    }
}

void za_runtime_resolve_refs(const za_runtime_t *runtime, const za_type_t *type, void *body,
                             uint64_t from_uid)
{
    if (type->refs != NULL) {
        type->refs(body, localise, &(home_t){ runtime, from_uid });
    }
}
