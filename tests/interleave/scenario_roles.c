/** node/roles.c: routers look at the roles of nodes beside the one writer. */
#include "check.h"

#include "node/roles.c" // its slots are its own
#include "scenarios.h"

enum { NODES_MAX = 2048 }; // pages, not the heap: the checker sees to them

static za_roles_t *roles;
static uint64_t low, high;
static uint64_t stays, goes, comes; // uids; the last two lie in one slot, the first behind it

/** The first uid from `from` on whose slot is that of `like`, or any if that is 0. */
static uint64_t uid_like(uint64_t like, uint64_t from)
{
    while (like != 0 && (za_mix64(from) & roles->mask) != (za_mix64(like) & roles->mask)) {
        from++;
    }
    return from;
}

static void setup_roles(void)
{
    ZC_MUST(za_roles_create(NODES_MAX, "low,high", &roles) == ZA_OK, "memory");
    low = za_roles_bit(roles, "low");
    high = za_roles_bit(roles, "high");
    goes = uid_like(0, 1);
    stays = uid_like(goes, goes + 1);
    comes = uid_like(goes, stays + 1);
    ZC_MUST(za_roles_set(roles, goes, "low") == ZA_OK, "room");
    ZC_MUST(za_roles_set(roles, stays, "high") == ZA_OK, "room");
}

static void give_slot_to_another(void)
{
    za_roles_forget(roles, goes);
    ZC_MUST(za_roles_set(roles, comes, "high,new") == ZA_OK, "room");
}

static void look_for_who_goes(void)
{
    uint64_t bits = za_roles_of(roles, goes);
    ZC_MUST(bits == 0 || bits == low, "the roles of another node");
}

static void look_for_all(void)
{
    ZC_MUST(za_roles_of(roles, stays) == high,
            "a node that stays is not found behind one that goes");
    uint64_t bit = za_roles_bit(roles, "new");
    uint64_t bits = za_roles_of(roles, comes);
    ZC_MUST(bits == 0 || (bits & high) != 0, "half of its roles");
    ZC_MUST(bit == 0 || (bit & (low | high)) == 0, "a bit of two roles");
}

static void finish_roles(void)
{
    ZC_MUST(za_roles_of(roles, comes) == (high | za_roles_bit(roles, "new")), "it came");
    ZC_MUST(za_roles_of(roles, goes) == 0, "it went");
    za_roles_destroy(roles);
}

const zc_scenario_t zc_roles = {
    .name = "roles",
    .promise = "who looks at a node that goes finds its roles or none, and never another's",
    .setup = setup_roles,
    .threads = { { "writer", give_slot_to_another },
                 { "reader", look_for_who_goes },
                 { "other", look_for_all } },
    .finish = finish_roles,
    .preemptions = 3,
    .stale = 1,
};
