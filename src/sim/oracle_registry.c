#include "sim/oracle_registry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "sim/pairs.h"

/** A name or membership that an actor has or had. */
typedef struct item {
    struct item *next; // of its life
    uint64_t key;      // of the name with its kind
    uint64_t actor;
    bool unique;
    bool present; // registered, and neither removed nor lost
} item_t;

/** One uid. */
typedef struct life {
    struct life *next; // of all
    uint64_t uid;
    uint32_t host;
    uint32_t present;
    item_t *items;
} life_t;

/** What one host was told by effects, and what its copies were. */
typedef struct copy {
    za_pairs_t names;    // key of a name: the reference
    za_pairs_t members;  // key of a group and a reference
    za_pairs_t applied;  // uid: applied + 1
    za_pairs_t terminal; // uid
    uint32_t name_count, member_count;
    uint64_t seen[ZA_REGISTRY_PARTS]; // hashes of the registry, when it was last looked at
} copy_t;

typedef struct oracle {
    za_realm_t *realm;
    life_t *lives;
    life_t **current;     // of each host; NULL: no process
    copy_t *copies;       // of each host
    za_pairs_t by_uid;    // lives
    za_pairs_t by_claim;  // items by uid, kind, name and actor
    za_pairs_t canonical; // hash of a map by owner and applied
} oracle_t;

static void *need(void *memory)
{
    ZA_ASSERT(memory != NULL); // a simulator without memory cannot go on
    return memory;
}

/** A number as the value of a pair, which must not be NULL. */
static void *as_value(uint64_t number)
{
    return (void *)(uintptr_t)(number | 1);
}

static uint64_t key_of(za_name_kind_t kind, const char *name)
{
    return za_mix64(za_fnv64(ZA_FNV64_INIT, name, strlen(name)) + (uint64_t)kind + 1);
}

static uint64_t with(uint64_t key, uint64_t more)
{
    return za_mix64(key ^ za_mix64(more)) | 1;
}

/** Key of a reference as a host says it: its own uid is 0 there, before and after a rebirth. */
static uint64_t key_of_ref(za_ref_t ref)
{
    return with(ref.actor, ref.node);
}

/* ---- what owners have ------------------------------------------------------------------------- */

static item_t *find_item(const oracle_t *oracle, uint64_t uid, uint64_t key, uint64_t actor)
{
    return za_pairs_get(&oracle->by_claim, with(with(key, actor), uid));
}

static item_t *add_item(oracle_t *oracle, life_t *life, uint64_t key, uint64_t actor, bool unique)
{
    item_t *item = need(calloc(1, sizeof *item));
    *item = (item_t){ .next = life->items, .key = key, .actor = actor, .unique = unique };
    life->items = item;
    za_pairs_set(&oracle->by_claim, with(with(key, actor), life->uid), item);
    return item;
}

static void set_present(life_t *life, item_t *item, bool present)
{
    if (item->present != present) {
        life->present += present ? 1 : UINT32_MAX;
        item->present = present;
    }
}

static void forget_copy(copy_t *copy)
{
    za_pairs_deinit(&copy->names);
    za_pairs_deinit(&copy->members);
    za_pairs_deinit(&copy->applied);
    za_pairs_deinit(&copy->terminal);
    *copy = (copy_t){ 0 };
}

/** A new process, or a life after a rebirth: that has what the one before had. */
static void started(void *context, za_realm_t *realm, uint32_t host)
{
    oracle_t *oracle = context;
    life_t *before = oracle->current[host];
    life_t *life = need(calloc(1, sizeof *life));
    *life = (life_t){ .next = oracle->lives, .uid = za_host_uid(realm, host), .host = host };
    oracle->lives = life;
    oracle->current[host] = life;
    za_pairs_set(&oracle->by_uid, life->uid, life);
    if (before == NULL) {
        forget_copy(&oracle->copies[host]);
        return;
    }
    for (const item_t *item = before->items; item != NULL; item = item->next) {
        if (item->present) {
            set_present(life, add_item(oracle, life, item->key, item->actor, item->unique), true);
        }
    }
    za_pairs_deinit(&oracle->copies[host].terminal); // its verdicts were those of another life
}

static void stopped(void *context, za_realm_t *realm, uint32_t host)
{
    oracle_t *oracle = context;
    (void)realm;
    oracle->current[host] = NULL;
    forget_copy(&oracle->copies[host]);
}

static void take_register(oracle_t *oracle, life_t *life, const za_cluster_event_t *event)
{
    uint64_t key = key_of(event->kind, event->name);
    item_t *item = find_item(oracle, life->uid, key, event->actor);
    if (item == NULL) {
        item = add_item(oracle, life, key, event->actor, event->kind == ZA_NAME_UNIQUE);
    }
    // Who has too many names is told so of a unique one; of a group it is a member on its own node alone.
    uint32_t names_max = za_realm_config(oracle->realm)->names_max;
    bool full = names_max != 0 && life->present >= names_max && !item->present;
    if (!full || item->unique) {
        set_present(life, item, true);
    }
}

static void input(void *context, za_realm_t *realm, uint32_t host, const za_cluster_event_t *event)
{
    oracle_t *oracle = context;
    life_t *life = oracle->current[host];
    (void)realm;
    if (event->type == ZA_CLUSTER_REGISTER) {
        take_register(oracle, life, event);
    } else if (event->type == ZA_CLUSTER_UNREGISTER) {
        uint64_t key = key_of(event->kind, event->name);
        item_t *item = find_item(oracle, life->uid, key, event->actor);
        if (item != NULL) {
            set_present(life, item, false);
        }
    } else if (event->type == ZA_CLUSTER_ACTOR_STOPPED) {
        for (item_t *item = life->items; item != NULL; item = item->next) {
            if (item->actor == event->actor) {
                set_present(life, item, false);
            }
        }
    }
}

/* ---- what comes out --------------------------------------------------------------------------- */

static void check_answer(oracle_t *oracle, uint32_t host, uint64_t key, const za_effect_t *effect)
{
    uint64_t uid = effect->ref.node != 0 ? effect->ref.node : oracle->current[host]->uid;
    if (za_pairs_get(&oracle->copies[host].terminal, uid) != NULL) {
        za_realm_fail(oracle->realm, "R3", "host %u answers %s with %016" PRIx64 ", which is over",
                      host, effect->name, uid);
    }
    if (find_item(oracle, uid, key, effect->ref.actor) == NULL) {
        za_realm_fail(oracle->realm, "R4",
                      "host %u says that actor %" PRIu64 " of %016" PRIx64
                      " has %s: it never registered it",
                      host, effect->ref.actor, uid, effect->name);
    }
}

static void take_name(oracle_t *oracle, uint32_t host, const za_effect_t *effect)
{
    copy_t *copy = &oracle->copies[host];
    uint64_t key = key_of(ZA_NAME_UNIQUE, effect->name);
    void *old = za_pairs_get(&copy->names, key);
    bool set = effect->type == ZA_EFFECT_NAME_SET;
    void *new = set ? as_value(key_of_ref(effect->ref)) : NULL;
    if (old == new) {
        za_realm_fail(oracle->realm, "R7", "host %u says again who has %s", host, effect->name);
    }
    if (set) {
        check_answer(oracle, host, key, effect);
    }
    copy->name_count += (new != NULL) - (old != NULL);
    za_pairs_set(&copy->names, key, new);
}

static void take_member(oracle_t *oracle, uint32_t host, const za_effect_t *effect)
{
    copy_t *copy = &oracle->copies[host];
    uint64_t group = key_of(ZA_NAME_GROUP, effect->name);
    uint64_t key = with(group, key_of_ref(effect->ref));
    bool was = za_pairs_get(&copy->members, key) != NULL;
    if (effect->type == ZA_EFFECT_GROUP_ADDED) {
        check_answer(oracle, host, group, effect);
        copy->member_count += !was; // again: it has new meta
        za_pairs_set(&copy->members, key, as_value(1));
        return;
    }
    if (!was) {
        za_realm_fail(oracle->realm, "R7", "host %u removes from %s who is no member", host,
                      effect->name);
    }
    copy->member_count -= was;
    za_pairs_set(&copy->members, key, NULL);
}

static void take_lost(oracle_t *oracle, uint32_t host, const za_effect_t *effect)
{
    life_t *life = oracle->current[host];
    uint64_t key = key_of(ZA_NAME_UNIQUE, effect->name);
    item_t *item = find_item(oracle, life->uid, key, effect->actor);
    if (item == NULL || !item->present) {
        za_realm_fail(oracle->realm, "R6",
                      "actor %" PRIu64 " of host %u loses %s, which it has not", effect->actor,
                      host, effect->name);
        return;
    }
    set_present(life, item, false);
}

static void effect(void *context, za_realm_t *realm, uint32_t host, const za_effect_t *effect)
{
    oracle_t *oracle = context;
    (void)realm;
    if (oracle->current[host] == NULL) {
        return;
    }
    switch (effect->type) {
    case ZA_EFFECT_NAME_SET:
    case ZA_EFFECT_NAME_CLEARED:
        take_name(oracle, host, effect);
        break;
    case ZA_EFFECT_GROUP_ADDED:
    case ZA_EFFECT_GROUP_REMOVED:
        take_member(oracle, host, effect);
        break;
    case ZA_EFFECT_NAME_LOST:
        take_lost(oracle, host, effect);
        break;
    case ZA_EFFECT_MEMBER:
        // A node that has left still answers for itself.
        if ((effect->state == ZA_MEMBER_DOWN || effect->state == ZA_MEMBER_LEFT) &&
            effect->uid != oracle->current[host]->uid) {
            za_pairs_set(&oracle->copies[host].terminal, effect->uid, as_value(1));
            memset(oracle->copies[host].seen, 0, sizeof oracle->copies[host].seen); // its map, too
            // Its map is gone with it. A rebirth may take the verdict back, and then it begins anew.
            za_pairs_set(&oracle->copies[host].applied, effect->uid, NULL);
        }
        break;
    default:
        break;
    }
}

/* ---- copies ----------------------------------------------------------------------------------- */

typedef struct look {
    oracle_t *oracle;
    uint32_t host;
} look_t;

/** Nobody holds a change that its owner has not made. */
static void check_source(oracle_t *oracle, uint32_t host, const life_t *owner,
                         const za_owner_info_t *info)
{
    uint64_t applied = 0;
    uint64_t hash = 0;
    const za_cluster_t *cluster = za_host_cluster(oracle->realm, owner->host);
    if (cluster != NULL && za_cluster_owner_version(cluster, info->uid, &applied, &hash) &&
        info->applied > applied) {
        za_realm_fail(oracle->realm, "R8",
                      "host %u holds change %" PRIu64 " of %016" PRIx64 ", which is at %" PRIu64,
                      host, info->applied, info->uid, applied);
    }
}

static bool check_copy(const za_owner_info_t *info, void *context)
{
    const look_t *look = context;
    oracle_t *oracle = look->oracle;
    copy_t *copy = &oracle->copies[look->host];
    if (info->applied == 0) {
        return true;
    }
    if (za_pairs_get(&copy->terminal, info->uid) != NULL) {
        za_realm_fail(oracle->realm, "R3", "host %u holds the map of %016" PRIx64 ", which is over",
                      look->host, info->uid);
    }
    uint64_t last = (uint64_t)(uintptr_t)za_pairs_get(&copy->applied, info->uid) >> 1;
    if (info->applied < last) {
        za_realm_fail(oracle->realm, "R2",
                      "host %u goes back from %" PRIu64 " to %" PRIu64 " of %016" PRIx64,
                      look->host, last, info->applied, info->uid);
    }
    if (info->applied == last) {
        return true;
    }
    const life_t *owner = za_pairs_get(&oracle->by_uid, info->uid);
    if (owner != NULL && oracle->current[owner->host] == owner && owner->host != look->host) {
        check_source(oracle, look->host, owner, info);
    }
    za_pairs_set(&copy->applied, info->uid, as_value(info->applied << 1));
    uint64_t state = with(info->uid, info->applied);
    void *known = za_pairs_get(&oracle->canonical, state);
    void *here = as_value(info->hash);
    if (known != NULL && known != here) {
        za_realm_fail(oracle->realm, "R1",
                      "host %u holds another map %" PRIu64 " of %016" PRIx64 " than others did",
                      look->host, info->applied, info->uid);
    }
    za_pairs_set(&oracle->canonical, state, here);
    return !za_realm_failure(oracle->realm)->failed;
}

static void step(void *context, za_realm_t *realm, uint32_t host)
{
    oracle_t *oracle = context;
    const za_cluster_t *cluster = za_host_cluster(realm, host);
    if (cluster == NULL || oracle->current[host] == NULL) {
        return;
    }
    za_cluster_each_changed_owner(cluster, oracle->copies[host].seen, check_copy,
                                  &(look_t){ oracle, host });
}

/* ---- in the end ------------------------------------------------------------------------------- */

static bool check_name(const char *name, za_ref_t ref, void *context)
{
    const look_t *look = context;
    oracle_t *oracle = look->oracle;
    copy_t *copy = &oracle->copies[look->host];
    void *told = za_pairs_get(&copy->names, key_of(ZA_NAME_UNIQUE, name));
    if (told != as_value(key_of_ref(ref))) {
        za_realm_fail(oracle->realm, "R7", "host %u answers %s as its effects did not", look->host,
                      name);
    }
    copy->name_count--;
    return true;
}

static bool check_member(const char *group, za_ref_t ref, const uint8_t *meta, uint32_t meta_bytes,
                         void *context)
{
    const look_t *look = context;
    oracle_t *oracle = look->oracle;
    copy_t *copy = &oracle->copies[look->host];
    (void)meta;
    (void)meta_bytes;
    uint64_t key = with(key_of(ZA_NAME_GROUP, group), key_of_ref(ref));
    if (za_pairs_get(&copy->members, key) == NULL) {
        za_realm_fail(oracle->realm, "R7", "host %u lists a member of %s that it never told of",
                      look->host, group);
    }
    copy->member_count--;
    return true;
}

/** Listings and effects say the same. */
static void check_listing(oracle_t *oracle, uint32_t host, const za_cluster_t *cluster)
{
    copy_t *copy = &oracle->copies[host];
    copy_t before = *copy;
    look_t look = { oracle, host };
    za_cluster_each_name(cluster, check_name, &look);
    za_cluster_each_group_member(cluster, NULL, check_member, &look);
    if (copy->name_count != 0 || copy->member_count != 0) {
        za_realm_fail(oracle->realm, "R7", "host %u told of %d names and %d members too many", host,
                      (int)copy->name_count, (int)copy->member_count);
    }
    *copy = before;
}

static bool check_union(const za_owner_info_t *info, void *context)
{
    const look_t *look = context;
    oracle_t *oracle = look->oracle;
    const life_t *life = za_pairs_get(&oracle->by_uid, info->uid);
    bool lives = life != NULL && oracle->current[life->host] == life;
    uint32_t present = lives ? life->present : 0;
    if (info->entries != present) {
        za_realm_fail(oracle->realm, "R5",
                      "host %u holds %u entries of %016" PRIx64 ", which has %u", look->host,
                      info->entries, info->uid, present);
    }
    return true;
}

static void check_winners(oracle_t *oracle)
{
    za_pairs_t holders = { 0 };
    for (const life_t *life = oracle->lives; life != NULL; life = life->next) {
        bool lives = oracle->current[life->host] == life;
        for (const item_t *item = life->items; lives && item != NULL; item = item->next) {
            if (!item->present || !item->unique) {
                continue;
            }
            if (za_pairs_get(&holders, item->key) != NULL) {
                za_realm_fail(oracle->realm, "R6",
                              "actor %" PRIu64 " of host %u still has a name that another has, too",
                              item->actor, life->host);
            }
            za_pairs_set(&holders, item->key, as_value(1));
        }
    }
    za_pairs_deinit(&holders);
}

static void settled(void *context, za_realm_t *realm)
{
    oracle_t *oracle = context;
    const za_cluster_t *first = NULL;
    for (uint32_t host = 0; host < za_realm_host_count(realm); host++) {
        const za_cluster_t *cluster = za_host_cluster(realm, host);
        if (cluster == NULL || za_host_has_left(realm, host) || oracle->current[host] == NULL) {
            continue;
        }
        first = first != NULL ? first : cluster;
        if (za_cluster_registry_hash(cluster) != za_cluster_registry_hash(first)) {
            za_realm_fail(realm, "R5", "host %u does not hold what the first holds", host);
        }
        za_cluster_each_owner(cluster, check_union, &(look_t){ oracle, host });
        check_listing(oracle, host, cluster);
    }
    check_winners(oracle);
}

static void destroy(void *context)
{
    oracle_t *oracle = context;
    while (oracle->lives != NULL) {
        life_t *life = oracle->lives;
        oracle->lives = life->next;
        while (life->items != NULL) {
            item_t *item = life->items;
            life->items = item->next;
            free(item);
        }
        free(life);
    }
    for (uint32_t i = 0; i < za_realm_host_count(oracle->realm) && oracle->copies != NULL; i++) {
        forget_copy(&oracle->copies[i]);
    }
    za_pairs_deinit(&oracle->by_uid);
    za_pairs_deinit(&oracle->by_claim);
    za_pairs_deinit(&oracle->canonical);
    free(oracle->copies);
    free(oracle->current);
    free(oracle);
}

static const za_oracle_ops_t ops = {
    .name = "registry",
    .started = started,
    .stopped = stopped,
    .input = input,
    .effect = effect,
    .step = step,
    .settled = settled,
    .destroy = destroy,
};

za_err_t za_oracle_registry_add(za_realm_t *realm)
{
    oracle_t *oracle = calloc(1, sizeof *oracle);
    if (oracle == NULL) {
        return ZA_ENOMEM;
    }
    uint32_t hosts = za_realm_host_count(realm);
    oracle->realm = realm;
    oracle->current = calloc(hosts, sizeof(life_t *));
    oracle->copies = calloc(hosts, sizeof(copy_t));
    if (oracle->current == NULL || oracle->copies == NULL) {
        destroy(oracle);
        return ZA_ENOMEM;
    }
    za_realm_add_oracle(realm, &ops, oracle);
    return ZA_OK;
}
