#include "cluster/cluster_internal.h"

static uint64_t view_self(const void *context)
{
    const za_cluster_t *cluster = context;
    return za_membership_uid(cluster->membership);
}

static za_known_t view_known(const void *context, uint64_t uid)
{
    const za_cluster_t *cluster = context;
    za_member_info_t info;
    if (!za_membership_find(cluster->membership, uid, &info)) {
        return ZA_KNOWN_NOT;
    }
    switch (info.state) {
    case ZA_MEMBER_UP:
        return ZA_KNOWN_UP;
    case ZA_MEMBER_LEFT:
        return ZA_KNOWN_LEFT;
    case ZA_MEMBER_DOWN:
        return ZA_KNOWN_DOWN;
    case ZA_MEMBER_JOINING:
    case ZA_MEMBER_SUSPECT:
    case ZA_MEMBER_UNREACHABLE:
    case ZA_MEMBER_LEAVING:
        break;
    }
    return ZA_KNOWN_LIVE;
}

typedef struct up_visit {
    void (*visit)(uint64_t uid, void *visitor);
    void *visitor;
} up_visit_t;

static bool visit_up(const za_member_info_t *info, void *context)
{
    const up_visit_t *up = context;
    if (info->state == ZA_MEMBER_UP) {
        up->visit(info->uid, up->visitor);
    }
    return true;
}

static uint32_t view_up_count(const void *context)
{
    const za_cluster_t *cluster = context;
    return za_membership_up_count(cluster->membership);
}

static bool view_reachable(const void *context, uint64_t uid)
{
    const za_cluster_t *cluster = context;
    za_member_info_t info;
    return za_membership_find(cluster->membership, uid, &info) &&
           info.state != ZA_MEMBER_UNREACHABLE;
}

static void view_each_up(const void *context, void (*visit)(uint64_t uid, void *visitor),
                         void *visitor)
{
    const za_cluster_t *cluster = context;
    up_visit_t up = { visit, visitor };
    za_membership_each_member(cluster->membership, visit_up, &up);
}

static bool view_linked(const void *context, uint64_t uid)
{
    return za_cluster_serves(context, uid);
}

static uint32_t view_sample_linked(const void *context, za_rng_t *rng, uint64_t *uids, uint32_t max)
{
    const za_cluster_t *cluster = context;
    return za_membership_sample_linked(cluster->membership, rng, uids, max);
}

static bool view_may_claim(const void *context)
{
    return za_cluster_may_claim(context);
}

void za_cluster_view_init(za_cluster_t *cluster)
{
    cluster->view = (za_view_t){ .context = cluster,
                                 .self = view_self,
                                 .known = view_known,
                                 .each_up = view_each_up,
                                 .up_count = view_up_count,
                                 .reachable = view_reachable,
                                 .may_claim = view_may_claim,
                                 .linked = view_linked,
                                 .sample_linked = view_sample_linked };
}

bool za_cluster_is_terminal(const za_cluster_t *cluster, uint64_t uid)
{
    za_known_t known = view_known(cluster, uid);
    return known == ZA_KNOWN_DOWN || known == ZA_KNOWN_LEFT;
}
