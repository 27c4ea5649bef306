#include "cluster/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "cluster/asked.h"
#include "cluster/children.h"
#include "cluster/member_keys.h"
#include "cluster/membership.h"
#include "cluster/registry.h"
#include "cluster/relay.h"
#include "cluster/syslane.h"
#include "cluster/table.h"
#include "cluster/view.h"
#include "cluster/watch.h"

enum {
    REGISTRY_SYNC_MS = 1000,
    STRANGERS_MAX = ZA_PEERS_MAX,
    STRANGER_MS = 60000, // longer than any join takes
};

/** How far the consequences of one effect of membership have come. */
typedef enum phase {
    PHASE_BEGIN,
    PHASE_WATCHES,
    PHASE_NAMES,
    PHASE_CHILDREN,
    PHASE_END,
} phase_t;

typedef struct link {
    uint64_t uid;
    bool served; // the services use it: not while its uid is terminal in our view
} link_t;

/** A uid whose link ended before membership knew it: what it left here goes if it never will. */
typedef struct stranger {
    uint64_t uid;
    uint64_t until_ms;
    za_link_t place;
} stranger_t;

struct za_cluster {
    za_membership_t *membership;
    za_syslane_t *lane;
    za_relay_t *relay;
    za_registry_t *registry;
    za_watch_t *watch;
    za_children_t *children;
    za_keys_t *keys;
    za_view_t view;
    za_slots_t links; // peers with a link, as we were told
    za_slots_t strangers;
    za_chain_t stranger_list; // the first due first
    za_asked_t *asked;        // for links that the services wait for
    uint64_t now_ms;
    uint64_t frames_bad;
    za_effects_t *inner; // effects of membership that wait for their consequences
    uint32_t inner_at;
    phase_t phase;        // of inner item `inner_at`
    bool inner_more;      // membership has more
    bool unfinished;      // the last step answered MORE
    uint64_t services_ms; // when the services have something to do, whatever membership does
};

static bool served(const za_cluster_t *cluster, uint64_t uid);

/* ---- what the services see of membership ------------------------------------------------------ */

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
    return served(context, uid);
}

static uint32_t view_sample_linked(const void *context, za_rng_t *rng, uint64_t *uids, uint32_t max)
{
    const za_cluster_t *cluster = context;
    return za_membership_sample_linked(cluster->membership, rng, uids, max);
}

bool za_cluster_may_claim(const za_cluster_t *cluster)
{
    return za_membership_may_claim(cluster->membership);
}

static bool view_may_claim(const void *context)
{
    return za_cluster_may_claim(context);
}

/* ---- create ----------------------------------------------------------------------------------- */

static za_err_t create_services(za_cluster_t *cluster, const za_cluster_config_t *config,
                                uint64_t now_ms)
{
    uint64_t registry_seed = za_mix64(config->random_seed + 1);
    uint64_t children_seed = za_mix64(config->random_seed + 2);
    uint64_t relay_seed = za_mix64(config->random_seed + 3);
    uint32_t sync_ms = config->timing.registry_sync_ms;
    za_err_t err = za_membership_create(config, now_ms, &cluster->membership);
    if (err == ZA_OK) {
        err = za_asked_create(&cluster->asked);
    }
    if (err == ZA_OK) {
        err = za_syslane_create(&cluster->lane);
    }
    if (err == ZA_OK) {
        err = za_relay_create(&cluster->view, cluster->lane, relay_seed, &cluster->relay);
    }
    if (err == ZA_OK) {
        err = za_watch_create(&cluster->view, cluster->lane, &cluster->watch);
    }
    if (err == ZA_OK) {
        err = za_children_create(&cluster->view, cluster->lane, children_seed, &cluster->children);
    }
    if (err == ZA_OK) {
        za_registry_options_t options = { config->registry,
                                          sync_ms != 0 ? sync_ms : REGISTRY_SYNC_MS,
                                          registry_seed };
        err = za_registry_create(&cluster->view, &options, now_ms, &cluster->registry);
    }
    if (err == ZA_OK) {
        err = za_keys_create(&cluster->view, now_ms, &cluster->keys);
    }
    return err;
}

za_err_t za_cluster_create(const za_cluster_config_t *config, uint64_t now_ms, za_cluster_t **out)
{
    za_cluster_t *cluster = calloc(1, sizeof *cluster);
    if (cluster == NULL) {
        return ZA_ENOMEM;
    }
    cluster->view = (za_view_t){ .context = cluster,
                                 .self = view_self,
                                 .known = view_known,
                                 .each_up = view_each_up,
                                 .up_count = view_up_count,
                                 .reachable = view_reachable,
                                 .may_claim = view_may_claim,
                                 .linked = view_linked,
                                 .sample_linked = view_sample_linked };
    cluster->now_ms = now_ms;
    cluster->inner = calloc(1, sizeof *cluster->inner);
    za_err_t err = ZA_ENOMEM;
    if (cluster->inner == NULL) {
        goto fail;
    }
    err = za_slots_init(&cluster->links, ZA_PEERS_MAX, sizeof(link_t));
    if (err != ZA_OK) {
        goto fail;
    }
    err = za_slots_init(&cluster->strangers, STRANGERS_MAX, sizeof(stranger_t));
    if (err != ZA_OK) {
        goto fail;
    }
    err = create_services(cluster, config, now_ms);
    if (err != ZA_OK) {
        goto fail;
    }
    *out = cluster;
    return ZA_OK;
fail:
    za_cluster_destroy(cluster);
    return err;
}

void za_cluster_destroy(za_cluster_t *cluster)
{
    if (cluster == NULL) {
        return;
    }
    za_keys_destroy(cluster->keys);
    za_registry_destroy(cluster->registry);
    za_children_destroy(cluster->children);
    za_watch_destroy(cluster->watch);
    za_relay_destroy(cluster->relay);
    za_syslane_destroy(cluster->lane);
    za_asked_destroy(cluster->asked);
    if (cluster->membership != NULL) {
        za_membership_destroy(cluster->membership);
    }
    za_slots_deinit(&cluster->strangers);
    za_slots_deinit(&cluster->links);
    free(cluster->inner);
    free(cluster);
}

/* ---- links ------------------------------------------------------------------------------------ */

static uint32_t find_link(const za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = za_slots_first(&cluster->links, za_mix64(uid));
    while (id != 0 && ((const link_t *)za_slots_at(&cluster->links, id))->uid != uid) {
        id = za_slots_next(&cluster->links, id);
    }
    return id;
}

static bool terminal(const za_cluster_t *cluster, uint64_t uid)
{
    za_known_t known = view_known(cluster, uid);
    return known == ZA_KNOWN_DOWN || known == ZA_KNOWN_LEFT;
}

#define STRANGER offsetof(stranger_t, place)

static stranger_t *first_stranger(const za_cluster_t *cluster)
{
    uint32_t id = cluster->stranger_list.first;
    return id != 0 ? za_slots_at(&cluster->strangers, id) : NULL;
}

/** Remembers to clean up after `uid`. With a full table the oldest is looked at sooner. */
static void note_stranger(za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = za_slots_add(&cluster->strangers, 0);
    if (id == 0) {
        first_stranger(cluster)->until_ms = cluster->now_ms;
        return;
    }
    stranger_t *stranger = za_slots_at(&cluster->strangers, id);
    stranger->uid = uid;
    stranger->until_ms = cluster->now_ms + STRANGER_MS;
    za_chain_append(&cluster->stranger_list, &cluster->strangers, STRANGER, id);
}

static void link_down(za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = find_link(cluster, uid);
    if (id != 0) {
        za_slots_remove(&cluster->links, id);
        za_syslane_link_down(cluster->lane, uid);
        za_relay_link_down(cluster->relay, uid, cluster->now_ms);
        za_registry_link_down(cluster->registry, uid);
        za_keys_link_down(cluster->keys, uid);
        if (view_known(cluster, uid) == ZA_KNOWN_NOT) {
            note_stranger(cluster, uid);
        }
    }
}

/** Drops what uids left here that never became members. False: `out` is full. */
static bool forget_strangers(za_cluster_t *cluster, za_effects_t *out)
{
    for (stranger_t *stranger = first_stranger(cluster);
         stranger != NULL && stranger->until_ms <= cluster->now_ms;
         stranger = first_stranger(cluster)) {
        uint64_t uid = stranger->uid;
        bool gone = view_known(cluster, uid) == ZA_KNOWN_NOT && find_link(cluster, uid) == 0;
        if (gone &&
            (za_watch_gone(cluster->watch, uid, za_Reason_REASON_NO_NODE, out) == ZA_STEP_MORE ||
             za_children_gone(cluster->children, uid, za_Reason_REASON_NO_NODE, cluster->now_ms,
                              out) == ZA_STEP_MORE)) {
            return false;
        }
        if (gone) {
            za_syslane_forget(cluster->lane, uid);
        }
        uint32_t id = cluster->stranger_list.first;
        za_chain_remove(&cluster->stranger_list, &cluster->strangers, STRANGER, id);
        za_slots_remove(&cluster->strangers, id);
    }
    return true;
}

/**
 * Peers that have forgotten us as strangers, while we remember them. To them we were gone: they have
 * stopped what they ran for us, and started elsewhere what we run for them. False: `out` is full.
 */
static bool restart_lost(za_cluster_t *cluster, za_effects_t *out)
{
    for (uint64_t uid = za_syslane_lost(cluster->lane); uid != 0;
         uid = za_syslane_lost(cluster->lane)) {
        if (za_watch_forgotten(cluster->watch, uid, out) == ZA_STEP_MORE ||
            za_children_forgotten(cluster->children, uid, cluster->now_ms, out) == ZA_STEP_MORE) {
            return false;
        }
        za_syslane_restart(cluster->lane, uid, cluster->now_ms);
    }
    return true;
}

static link_t *link_at(const za_cluster_t *cluster, uint32_t id)
{
    return za_slots_at(&cluster->links, id);
}

/**
 * Lets the services use the link to `uid`. After a rebirth the others' uids are still those of
 * tombstones when their links come up; they are served when membership knows better.
 */
static void serve_link(za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = find_link(cluster, uid);
    if (id != 0 && !link_at(cluster, id)->served && !terminal(cluster, uid)) {
        link_at(cluster, id)->served = true;
        if (view_known(cluster, uid) != ZA_KNOWN_NOT) {
            za_registry_member(cluster->registry, uid, cluster->now_ms);
        }
        za_syslane_link_up(cluster->lane, uid, cluster->now_ms);
        za_registry_link_up(cluster->registry, uid);
        za_keys_link_up(cluster->keys, uid);
    }
}

static bool served(const za_cluster_t *cluster, uint64_t uid)
{
    uint32_t id = find_link(cluster, uid);
    return id != 0 && link_at(cluster, id)->served;
}

static void link_up(za_cluster_t *cluster, uint64_t uid)
{
    link_down(cluster, uid); // the newest link counts
    za_asked_forget(cluster->asked, uid);
    if (uid == za_cluster_uid(cluster)) {
        return;
    }
    uint32_t id = za_slots_add(&cluster->links, za_mix64(uid));
    if (id != 0) { // beyond ZA_PEERS_MAX the transport refuses links itself
        link_at(cluster, id)->uid = uid;
        serve_link(cluster, uid);
    }
}

/* ---- effects of membership, each with its consequences ---------------------------------------- */

static uint32_t text_bytes(const char *text)
{
    return text != NULL ? (uint32_t)strlen(text) + 1 : 0;
}

static const void *copy_bytes(za_effects_t *out, const void *bytes, uint32_t size)
{
    if (bytes == NULL) {
        return NULL;
    }
    void *copy = za_effects_alloc(out, size);
    memcpy(copy, bytes, size);
    return copy;
}

/** Passes an effect of membership on. False: `out` has no room. */
static bool pass_on(const za_effect_t *effect, za_effects_t *out)
{
    uint32_t name = text_bytes(effect->name);
    uint32_t address = text_bytes(effect->address);
    if (!za_effects_have_room(out, 3, name + address + effect->size)) {
        return false;
    }
    za_effect_t *copy = za_effects_add(out, effect->type);
    *copy = *effect;
    copy->name = copy_bytes(out, effect->name, name);
    copy->address = copy_bytes(out, effect->address, address);
    copy->bytes = copy_bytes(out, effect->bytes, effect->size);
    return true;
}

/**
 * A uid became terminal. In this order: no more of it is delivered, its watches fire, its names go,
 * its children move, and then the news. False: `out` is full, and the phase says where to go on.
 */
static bool member_gone(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    uint64_t uid = effect->uid;
    za_Reason reason =
        effect->state == ZA_MEMBER_LEFT ? za_Reason_REASON_NODE_LEFT : za_Reason_REASON_NODE_DOWN;
    if (cluster->phase == PHASE_BEGIN) {
        if (!za_effects_have_room(out, 1, 0)) {
            return false;
        }
        if (find_link(cluster, uid) != 0) {
            za_effects_add(out, ZA_EFFECT_CLOSE_LINK)->uid = uid;
            link_down(cluster, uid);
        }
        za_relay_end(cluster->relay, uid);
        za_syslane_forget(cluster->lane, uid);
        cluster->phase = PHASE_WATCHES;
    }
    if (cluster->phase == PHASE_WATCHES) {
        if (za_watch_gone(cluster->watch, uid, reason, out) == ZA_STEP_MORE) {
            return false;
        }
        za_registry_gone(cluster->registry, uid);
        cluster->phase = PHASE_NAMES;
    }
    if (cluster->phase == PHASE_NAMES) {
        if (za_registry_pump_names(cluster->registry, cluster->now_ms, out) == ZA_STEP_MORE) {
            return false;
        }
        cluster->phase = PHASE_CHILDREN;
    }
    if (cluster->phase == PHASE_CHILDREN) {
        za_children_set_margin(cluster->children, za_member_downing_margin_ms(cluster->membership));
        if (za_children_gone(cluster->children, uid, reason, cluster->now_ms, out) ==
            ZA_STEP_MORE) {
            return false;
        }
        cluster->phase = PHASE_END;
    }
    return pass_on(effect, out);
}

/**
 * We lost a split: whoever holds a name here loses it before another can have it. Nobody is the
 * winner yet. False: `out` is full.
 */
static bool lose_names(za_cluster_t *cluster, za_effects_t *out)
{
    return za_registry_lose_names(cluster->registry, cluster->now_ms, out) == ZA_STEP_DONE &&
           za_registry_pump_names(cluster->registry, cluster->now_ms, out) == ZA_STEP_DONE;
}

/** This node lost a split. False: as in member_gone. */
static bool down_self(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    if (cluster->phase == PHASE_BEGIN) {
        if (!pass_on(effect, out)) {
            return false;
        }
        cluster->phase = PHASE_NAMES;
    }
    return lose_names(cluster, out);
}

/** Our uid changed: to everybody else our old one is down. False: as in member_gone. */
static bool reborn(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    if (cluster->phase == PHASE_BEGIN) {
        if (!pass_on(effect, out)) {
            return false;
        }
        for (uint32_t id = 1; id <= cluster->links.fresh; id++) {
            link_down(cluster, link_at(cluster, id)->uid);
        }
        za_relay_reset(cluster->relay);
        za_syslane_reset(cluster->lane);
        za_registry_reborn(cluster->registry, cluster->now_ms);
        cluster->phase = PHASE_WATCHES;
    }
    if (cluster->phase == PHASE_WATCHES) {
        if (za_watch_reborn(cluster->watch, out) == ZA_STEP_MORE) {
            return false;
        }
        cluster->phase = PHASE_NAMES;
    }
    if (cluster->phase == PHASE_NAMES) {
        if (za_registry_pump_names(cluster->registry, cluster->now_ms, out) == ZA_STEP_MORE) {
            return false;
        }
        cluster->phase = PHASE_CHILDREN;
    }
    if (cluster->phase == PHASE_CHILDREN) {
        za_children_set_margin(cluster->children, za_member_downing_margin_ms(cluster->membership));
        if (za_children_reborn(cluster->children, cluster->now_ms, out) == ZA_STEP_MORE) {
            return false;
        }
        cluster->phase = PHASE_END;
    }
    return true;
}

/** The driver first: user messages that wait end before a system frame goes another way. */
static bool apart(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    if (!pass_on(effect, out)) {
        return false;
    }
    if (effect->id != 0 && find_link(cluster, effect->uid) == 0) {
        za_relay_begin(cluster->relay, effect->uid, cluster->now_ms);
    } else {
        za_relay_end(cluster->relay, effect->uid);
    }
    return true;
}

static bool drain_one(za_cluster_t *cluster, const za_effect_t *effect, za_effects_t *out)
{
    switch (effect->type) {
    case ZA_EFFECT_MEMBER:
        if (effect->uid == za_cluster_uid(cluster)) {
            if (effect->state == ZA_MEMBER_UP) {
                za_asked_reset(cluster->asked); // before, nobody would make a link
            }
            return pass_on(effect, out);
        }
        if (effect->state == ZA_MEMBER_DOWN || effect->state == ZA_MEMBER_LEFT) {
            return member_gone(cluster, effect, out);
        }
        if (!terminal(cluster, effect->uid)) { // it may have gone in the same batch
            za_registry_member(cluster->registry, effect->uid, cluster->now_ms);
            serve_link(cluster, effect->uid);
            za_asked_forget(cluster->asked, effect->uid); // it may not have been a member yet
        }
        return pass_on(effect, out);
    case ZA_EFFECT_APART:
        return apart(cluster, effect, out);
    case ZA_EFFECT_DOWN_SELF:
        return down_self(cluster, effect, out);
    case ZA_EFFECT_REBORN:
        return reborn(cluster, effect, out);
    case ZA_EFFECT_CLOSE_LINK:
        if (!pass_on(effect, out)) {
            return false;
        }
        link_down(cluster, effect->uid);
        return true;
    default:
        return pass_on(effect, out);
    }
}

static bool drain(za_cluster_t *cluster, za_effects_t *out)
{
    while (cluster->inner_at < cluster->inner->count) {
        if (!drain_one(cluster, &cluster->inner->items[cluster->inner_at], out)) {
            return false;
        }
        cluster->inner_at++;
        cluster->phase = PHASE_BEGIN;
    }
    return true;
}

static void step_membership(za_cluster_t *cluster, const za_cluster_event_t *event)
{
    ZA_ASSERT(cluster->inner_at == cluster->inner->count);
    za_effects_reset(cluster->inner);
    cluster->inner_at = 0;
    cluster->inner_more =
        za_membership_step(cluster->membership, event, cluster->inner) == ZA_STEP_MORE;
}

/** Whether an effect of membership concerns the services, too: drain_one knows what to do. */
static bool concerns_services(const za_effect_t *effect)
{
    switch (effect->type) {
    case ZA_EFFECT_MEMBER:
    case ZA_EFFECT_APART:
    case ZA_EFFECT_DOWN_SELF:
    case ZA_EFFECT_REBORN:
    case ZA_EFFECT_CLOSE_LINK:
        return true;
    default:
        return false;
    }
}

static const void *moved(const void *pointer, const za_effects_t *from, za_effects_t *to)
{
    return pointer != NULL ? to->arena + ((const uint8_t *)pointer - from->arena) : NULL;
}

/** Makes effects that membership gave straight to the driver wait for their consequences. */
static void take_back(za_cluster_t *cluster, za_effects_t *out)
{
    za_effects_t *inner = cluster->inner;
    inner->count = out->count;
    inner->used = out->used;
    memcpy(inner->arena, out->arena, out->used);
    for (uint32_t i = 0; i < out->count; i++) {
        za_effect_t *effect = &inner->items[i];
        *effect = out->items[i];
        effect->name = moved(effect->name, out, inner);
        effect->address = moved(effect->address, out, inner);
        effect->bytes = moved(effect->bytes, out, inner);
    }
    cluster->inner_at = 0;
    za_effects_reset(out);
}

/**
 * Most steps are a probe or its answer, and concern membership alone: it writes for the driver itself.
 * False: there is more to be done.
 */
static bool step_alone(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    ZA_ASSERT(cluster->inner_at == cluster->inner->count);
    cluster->inner_more = za_membership_step(cluster->membership, event, out) == ZA_STEP_MORE;
    bool alone = !cluster->inner_more && cluster->now_ms < cluster->services_ms;
    for (uint32_t i = 0; i < out->count && alone; i++) {
        alone = !concerns_services(&out->items[i]);
    }
    if (!alone) {
        take_back(cluster, out);
    }
    return alone;
}

/* ---- events ----------------------------------------------------------------------------------- */

static void system_frame(za_cluster_t *cluster, uint64_t uid, const uint8_t *bytes, uint32_t size,
                         za_effects_t *out)
{
    const za_SysFrame *frame;
    switch (za_syslane_receive(cluster->lane, uid, bytes, size, cluster->now_ms, &frame)) {
    case ZA_SYS_NONE:
        break;
    case ZA_SYS_FRAME:
        za_watch_frame(cluster->watch, uid, frame, out);
        za_children_frame(cluster->children, uid, frame, cluster->now_ms, out);
        break;
    case ZA_SYS_BAD:
        cluster->frames_bad++;
        break;
    }
}

/** False: malformed. */
static bool relay_frame(za_cluster_t *cluster, uint64_t uid, const uint8_t *bytes, uint32_t size,
                        za_effects_t *out)
{
    za_relayed_t frame;
    switch (za_relay_frame(cluster->relay, uid, bytes, size, cluster->now_ms, &frame, out)) {
    case ZA_RELAY_DONE:
        return true;
    case ZA_RELAY_FRAME:
        system_frame(cluster, frame.from, frame.bytes, frame.size, out);
        return true;
    case ZA_RELAY_BAD:
        break;
    }
    return false;
}

/** False: nobody's, or malformed. */
static bool control_frame(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    if (event->lane != ZA_LANE_CONTROL || event->size == 0) {
        return false;
    }
    const uint8_t *bytes = event->bytes + 1;
    uint32_t size = event->size - 1;
    switch (event->bytes[0]) {
    case ZA_REGISTRY_TAG:
        return za_registry_frame(cluster->registry, event->uid, bytes, size, cluster->now_ms, out);
    case ZA_KEYS_TAG:
        return za_keys_frame(cluster->keys, bytes, size, cluster->now_ms);
    case ZA_RELAY_TAG:
        return relay_frame(cluster, event->uid, bytes, size, out);
    default:
        return false;
    }
}

static void take_frame(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    if (event->lane == ZA_LANE_CONTROL && event->size > 0 && event->bytes[0] == ZA_MEMBERSHIP_TAG) {
        step_membership(cluster, event);
        return;
    }
    serve_link(cluster, event->uid);
    if (!served(cluster, event->uid)) {
        return; // of a link that was closed, or of a terminal uid
    }
    if (event->lane == ZA_LANE_SYSTEM) {
        system_frame(cluster, event->uid, event->bytes, event->size, out);
        return;
    }
    if (!control_frame(cluster, event, out)) {
        cluster->frames_bad++;
    }
}

static void take_watch(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    bool links = event->type == ZA_CLUSTER_LINK;
    if (event->ref.node == 0 || event->ref.node == za_cluster_uid(cluster)) {
        za_effect_t *effect = za_effects_add(out, links ? ZA_EFFECT_EXIT_LOCAL : ZA_EFFECT_FIRE);
        effect->actor = links ? event->watcher.actor : 0;
        effect->watcher = event->watcher;
        effect->id = event->id;
        effect->ref = event->ref;
        effect->reason = za_Reason_REASON_NO_NODE; // local watches are not for the cluster
        return;
    }
    if (links) {
        za_watch_link(cluster->watch, event->watcher, event->id, event->ref, cluster->now_ms, out);
    } else {
        za_watch_add(cluster->watch, event->watcher, event->id, event->ref, cluster->now_ms, out);
    }
}

static void take_register(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    za_claim_t claim = { event->name,  event->kind,  event->prio,
                         event->actor, event->bytes, event->size };
    if (event->wall_ms != 0) {
        za_registry_wall(cluster->registry, event->now_ms, event->wall_ms);
    }
    za_registry_register(cluster->registry, &claim, event->now_ms, out);
}

/** Whom what an actor here asks of the cluster is about; 0: nobody, or this node. */
static uint64_t partner(const za_cluster_event_t *event)
{
    switch (event->type) {
    case ZA_CLUSTER_WATCH:
    case ZA_CLUSTER_LINK:
    case ZA_CLUSTER_UNLINK:
    case ZA_CLUSTER_STOP_CHILD:
        return event->ref.node;
    case ZA_CLUSTER_LOCAL_DOWN:
        return event->watcher.node;
    case ZA_CLUSTER_SPAWN:
    case ZA_CLUSTER_CHILD_STARTED:
        return event->uid;
    default:
        return 0;
    }
}

static void take_local(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    uint64_t now_ms = cluster->now_ms;
    if (partner(event) != 0) {
        za_membership_want_link(cluster->membership, partner(event));
    }
    switch (event->type) {
    case ZA_CLUSTER_KEYS:
        za_keys_material(cluster->keys, event->bytes, event->size);
        break;
    case ZA_CLUSTER_ROTATE_KEYS:
        za_keys_rotate(cluster->keys);
        break;
    case ZA_CLUSTER_REGISTER:
        take_register(cluster, event, out);
        break;
    case ZA_CLUSTER_UNREGISTER:
        za_registry_unregister(cluster->registry, event->kind, event->name, event->actor, now_ms);
        break;
    case ZA_CLUSTER_WATCH:
    case ZA_CLUSTER_LINK:
        take_watch(cluster, event, out);
        break;
    case ZA_CLUSTER_UNWATCH:
        za_watch_remove(cluster->watch, event->watcher, event->id, event->ref);
        break;
    case ZA_CLUSTER_UNLINK:
        za_watch_unlink(cluster->watch, event->watcher, event->id, event->ref, event->reason,
                        event->after_user);
        break;
    case ZA_CLUSTER_LOCAL_DOWN:
        za_watch_local_down(cluster->watch, event->watcher, event->id, event->reason,
                            event->after_user);
        break;
    case ZA_CLUSTER_ACTOR_STOPPED:
        za_registry_actor_stopped(cluster->registry, event->actor, now_ms);
        za_children_actor_stopped(cluster->children, event->actor, event->reason);
        break;
    case ZA_CLUSTER_SPAWN:
        za_children_spawn(cluster->children, event->id, event->actor, event->uid, event->tag,
                          event->spawn, out);
        break;
    case ZA_CLUSTER_STOP_CHILD:
        za_children_stop(cluster->children, event->actor, event->ref);
        break;
    case ZA_CLUSTER_CHILD_STARTED:
        za_children_started(cluster->children, event->id, event->uid, event->ref.actor, event->err,
                            out);
        break;
    default:
        ZA_ASSERT(!"an event of no known type");
    }
}

static void take_event(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    switch (event->type) {
    case ZA_CLUSTER_CONTINUE:
        break;
    case ZA_CLUSTER_TICK:
    case ZA_CLUSTER_DATAGRAM:
    case ZA_CLUSTER_CONNECT_FAILED:
    case ZA_CLUSTER_SEEDS:
    case ZA_CLUSTER_WANT_LINK:
    case ZA_CLUSTER_LEAVE:
    case ZA_CLUSTER_DOWN_NODE:
    case ZA_CLUSTER_LEASE:
        step_membership(cluster, event);
        break;
    case ZA_CLUSTER_LINK_UP:
        link_up(cluster, event->uid);
        step_membership(cluster, event);
        break;
    case ZA_CLUSTER_LINK_DOWN:
        link_down(cluster, event->uid);
        step_membership(cluster, event);
        break;
    case ZA_CLUSTER_FRAME:
        take_frame(cluster, event, out);
        break;
    default:
        take_local(cluster, event, out);
        break;
    }
}

static bool pump(za_cluster_t *cluster, za_effects_t *out)
{
    uint64_t now_ms = cluster->now_ms;
    return forget_strangers(cluster, out) && restart_lost(cluster, out) &&
           za_relay_pump(cluster->relay, now_ms, out) == ZA_STEP_DONE &&
           za_syslane_pump(cluster->lane, now_ms, out) == ZA_STEP_DONE &&
           za_watch_pump(cluster->watch, now_ms, out) == ZA_STEP_DONE &&
           za_children_pump(cluster->children, now_ms, out) == ZA_STEP_DONE &&
           za_keys_pump(cluster->keys, now_ms, out) == ZA_STEP_DONE &&
           za_registry_pump(cluster->registry, now_ms, out) == ZA_STEP_DONE;
}

static void want_link(uint64_t uid, void *context)
{
    za_cluster_t *cluster = context;
    if (find_link(cluster, uid) == 0 && za_asked_try(cluster->asked, uid, cluster->now_ms)) {
        za_membership_want_link(cluster->membership, uid);
    }
}

/** Above the mesh, or after a rebirth, there may be no link to those for whom something waits. */
static void want_links(za_cluster_t *cluster)
{
    za_asked_expire(cluster->asked, cluster->now_ms);
    za_syslane_each_waiting(cluster->lane, want_link, cluster);
    za_watch_each_waiting(cluster->watch, want_link, cluster);
    za_children_each_waiting(cluster->children, want_link, cluster);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t services_deadline_ms(const za_cluster_t *cluster)
{
    uint64_t deadline = za_syslane_deadline_ms(cluster->lane);
    deadline = earlier(deadline, za_watch_deadline_ms(cluster->watch));
    deadline = earlier(deadline, za_children_deadline_ms(cluster->children));
    const stranger_t *stranger = first_stranger(cluster);
    deadline = earlier(deadline, stranger != NULL ? stranger->until_ms : UINT64_MAX);
    deadline = earlier(deadline, za_asked_deadline_ms(cluster->asked));
    deadline = earlier(deadline, za_keys_deadline_ms(cluster->keys));
    deadline = earlier(deadline, za_relay_deadline_ms(cluster->relay));
    return earlier(deadline, za_registry_deadline_ms(cluster->registry));
}

za_step_t za_cluster_step(za_cluster_t *cluster, const za_cluster_event_t *event, za_effects_t *out)
{
    ZA_ASSERT(event->now_ms >= cluster->now_ms); // the driver's clock is monotonic
    ZA_ASSERT(out->count == 0);                  // it has carried everything out
    ZA_ASSERT(!cluster->unfinished || event->type == ZA_CLUSTER_CONTINUE);
    cluster->now_ms = event->now_ms;
    bool probe = event->type == ZA_CLUSTER_DATAGRAM || event->type == ZA_CLUSTER_TICK;
    if (probe && step_alone(cluster, event, out)) {
        return ZA_STEP_DONE;
    }
    cluster->unfinished = true;
    if (!probe) {
        take_event(cluster, event, out);
    }
    for (;;) {
        if (!drain(cluster, out) || !pump(cluster, out)) {
            return ZA_STEP_MORE;
        }
        if (!cluster->inner_more) {
            break;
        }
        step_membership(cluster, &(za_cluster_event_t){ .type = ZA_CLUSTER_CONTINUE,
                                                        .now_ms = cluster->now_ms });
    }
    want_links(cluster);
    cluster->unfinished = false;
    cluster->services_ms = services_deadline_ms(cluster);
    return ZA_STEP_DONE;
}

uint64_t za_cluster_deadline_ms(const za_cluster_t *cluster)
{
    if (cluster->unfinished) {
        return cluster->now_ms;
    }
    return earlier(za_membership_deadline_ms(cluster->membership), cluster->services_ms);
}

bool za_cluster_frame_after_user(const uint8_t *bytes, uint32_t size, uint64_t *after_user)
{
    return za_syslane_after_user(bytes, size, after_user);
}

/* ---- looking in ------------------------------------------------------------------------------- */

uint64_t za_cluster_uid(const za_cluster_t *cluster)
{
    return za_membership_uid(cluster->membership);
}

bool za_cluster_find_member(const za_cluster_t *cluster, uint64_t uid, za_member_info_t *out)
{
    return za_membership_find(cluster->membership, uid, out);
}

void za_cluster_each_member(const za_cluster_t *cluster,
                            bool (*visit)(const za_member_info_t *info, void *context),
                            void *context)
{
    za_membership_each_member(cluster->membership, visit, context);
}

void za_cluster_each_name(const za_cluster_t *cluster,
                          bool (*visit)(const char *name, za_ref_t ref, void *context),
                          void *context)
{
    za_registry_each_name(cluster->registry, visit, context);
}

uint32_t za_cluster_keys(const za_cluster_t *cluster, za_epoch_key_t out[static ZA_EPOCH_KEYS_MAX],
                         uint32_t *sending)
{
    return za_keys_ring(cluster->keys, out, sending);
}

za_err_t za_cluster_whereis(const za_cluster_t *cluster, const char *name, za_ref_t *out)
{
    za_name_answer_t answer;
    za_err_t err = za_registry_whereis(cluster->registry, name, cluster->now_ms, &answer);
    if (err == ZA_OK) {
        *out = answer.ref;
    }
    return err;
}

za_err_t za_cluster_lookup(const za_cluster_t *cluster, const char *name, za_name_answer_t *out)
{
    return za_registry_whereis(cluster->registry, name, cluster->now_ms, out);
}

void za_cluster_each_group_member(const za_cluster_t *cluster, const char *group,
                                  za_group_visit_t visit, void *context)
{
    za_registry_each_member(cluster->registry, group, visit, context);
}

void za_cluster_each_owner(const za_cluster_t *cluster,
                           bool (*visit)(const za_owner_info_t *info, void *context), void *context)
{
    za_registry_each_owner(cluster->registry, visit, context);
}

void za_cluster_each_changed_owner(const za_cluster_t *cluster,
                                   uint64_t seen[static ZA_REGISTRY_PARTS],
                                   bool (*visit)(const za_owner_info_t *info, void *context),
                                   void *context)
{
    za_registry_each_changed(cluster->registry, seen, visit, context);
}

bool za_cluster_owner_version(const za_cluster_t *cluster, uint64_t uid, uint64_t *applied,
                              uint64_t *hash)
{
    return za_registry_version(cluster->registry, uid, applied, hash);
}

void za_cluster_downing(const za_cluster_t *cluster, za_downing_info_t *out)
{
    za_membership_downing(cluster->membership, out);
}

uint64_t za_cluster_view_hash(const za_cluster_t *cluster)
{
    return za_membership_view_hash(cluster->membership);
}

uint64_t za_cluster_registry_hash(const za_cluster_t *cluster)
{
    return za_registry_hash(cluster->registry);
}

void za_cluster_counters(const za_cluster_t *cluster, za_cluster_counters_t *out)
{
    *out = (za_cluster_counters_t){ 0 };
    za_membership_counters(cluster->membership, out);
    za_registry_stats_t registry;
    za_watch_stats_t watch;
    za_children_stats_t children;
    za_registry_stats(cluster->registry, &registry);
    za_watch_stats(cluster->watch, &watch);
    za_children_stats(cluster->children, &children);
    za_relay_stats_t relay;
    za_relay_stats(cluster->relay, &relay);
    out->frames_bad += cluster->frames_bad;
    out->registry_divergence = registry.divergence;
    out->name_conflicts = registry.conflicts;
    out->registry_bytes = registry.bytes;
    out->registry_refused = registry.refused;
    out->clocks_skewed = registry.skewed;
    out->watches = watch.active;
    out->watches_fired = watch.fired;
    out->system_resends = za_syslane_resends(cluster->lane);
    out->relayed = za_syslane_relayed(cluster->lane);
    out->relayed_for_others = relay.handed_on;
    out->relay_refusals = relay.refused;
    out->respawns = children.respawns;
    out->refused = registry.refused + watch.refused + children.refused;
}
