// A guest on every node of the cluster, who hears who else is in the room.
#include <zactor/zactor.h>

typedef struct guest {
    uint32_t present;
} guest_t;

static za_verdict_t on_started(za_ctx_t *ctx, guest_t *self, const za_Started *started)
{
    (void)self;
    (void)started;
    bool in = za_join(ctx, "room") == ZA_OK && za_subscribe_members(ctx, "room") == ZA_OK;
    return in ? ZA_DONE : ZA_FAIL;
}

// First one for each who is there, itself among them, then one for each who comes or goes anywhere.
static za_verdict_t on_changed(za_ctx_t *ctx, guest_t *self, const za_GroupChanged *changed)
{
    self->present += changed->joined ? 1 : -1;
    za_log(ctx, ZA_INFO, "%u in the room", self->present);
    za_err_t err = changed->joined ? za_query_member(ctx, changed->ref.node) : ZA_OK;
    return err == ZA_OK ? ZA_DONE : ZA_FAIL;
}

static za_verdict_t on_info(za_ctx_t *ctx, guest_t *self, const za_MemberInfo *info)
{
    (void)self;
    za_log(ctx, ZA_INFO, "from %s, %u us away", info->name, info->rtt_us);
    return ZA_DONE;
}
ZA_ACTOR(guest, guest_t, (za_Started, on_started), (za_GroupChanged, on_changed),
         (za_MemberInfo, on_info));

int main(int argc, char **argv)
{
    return za_main(argc, argv, &guest_class, NULL);
}
