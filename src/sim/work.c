#include "sim/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/chance.h"

enum {
    ACTOR_BASE = 1000, // ids below are of actors that never were
    NAMES = 24,        // that one actor has at a time
    GROUPS = 6,        // after them
    CALL_US = 50,      // from a node to its own actor and back
    START_US = 2000,
};

typedef struct actor {
    uint32_t host, process; // za_realm_process
    bool alive;
    uint32_t served; // first of the watches of other nodes; 0: none
} actor_t;

typedef struct watch {
    uint64_t watcher; // actor
    za_ref_t target;
    bool wanted;
    bool fired;
} watch_t;

/** A watch of another node on an actor here. */
typedef struct served {
    za_ref_t watcher;
    uint64_t id;
    uint32_t next;
    bool live;
} served_t;

typedef struct holder {
    uint64_t actor;
    uint8_t name; // below NAMES, or of a group
    bool live;
    uint32_t listed; // host + 1, of the last that listed it
} holder_t;

typedef struct child {
    uint64_t parent;
    uint32_t epoch;
    bool failed;
} child_t;

typedef struct list {
    void *items;
    uint32_t count, capacity;
} list_t;

struct za_work {
    za_realm_t *realm;
    uint64_t seed, due_us, period_us, operations;
    uint32_t names_set; // in this step, a bit each
    list_t actors;      // actor_t, by id - ACTOR_BASE
    list_t watches;     // watch_t, by id - 1
    list_t served;      // served_t, by index; 0 is none
    list_t holders;     // holder_t
    uint32_t tidy_at;   // holders, at which those that hold nothing any more are dropped
    list_t children;    // child_t, by tag - 1
};

/* ---- lists ------------------------------------------------------------------------------------ */

static void *add_item(list_t *list, size_t bytes)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->items = realloc(list->items, list->capacity * bytes);
        ZA_ASSERT(list->items != NULL); // a simulator without memory cannot go on
    }
    void *item = (char *)list->items + list->count++ * bytes;
    memset(item, 0, bytes);
    return item;
}

static actor_t *actor_of(const za_work_t *work, uint64_t id)
{
    bool known = id >= ACTOR_BASE && id - ACTOR_BASE < work->actors.count;
    return known ? (actor_t *)work->actors.items + (id - ACTOR_BASE) : NULL;
}

static bool runs(const za_work_t *work, const actor_t *actor)
{
    return actor->alive && za_host_state(work->realm, actor->host) == ZA_HOST_ON &&
           za_host_process(work->realm, actor->host) == actor->process;
}

static uint64_t new_actor(za_work_t *work, uint32_t host)
{
    actor_t *actor = add_item(&work->actors, sizeof *actor);
    actor->host = host;
    actor->process = za_host_process(work->realm, host);
    actor->alive = true;
    return ACTOR_BASE + work->actors.count - 1;
}

/* ---- what actors do ----------------------------------------------------------------------------- */

static void stop_actor(za_work_t *work, uint64_t id, za_Reason reason)
{
    actor_t *actor = actor_of(work, id);
    if (!runs(work, actor)) {
        return;
    }
    uint32_t host = actor->host;
    actor->alive = false;
    for (uint32_t i = 0; i < work->holders.count; i++) {
        holder_t *holder = (holder_t *)work->holders.items + i;
        holder->live &= holder->actor != id;
    }
    za_host_post(
        work->realm, host,
        &(za_cluster_event_t){ .type = ZA_CLUSTER_ACTOR_STOPPED, .actor = id, .reason = reason },
        CALL_US);
    for (uint32_t at = actor->served; at != 0;) {
        served_t *served = (served_t *)work->served.items + at;
        if (served->live) {
            served->live = false;
            za_host_post(work->realm, host,
                         &(za_cluster_event_t){ .type = ZA_CLUSTER_LOCAL_DOWN,
                                                .watcher = served->watcher,
                                                .id = served->id,
                                                .ref = { 0, id },
                                                .reason = reason },
                         CALL_US);
        }
        at = served->next;
    }
}

static void unwatch(za_work_t *work, uint32_t index)
{
    watch_t *watch = (watch_t *)work->watches.items + index;
    const actor_t *watcher = actor_of(work, watch->watcher);
    if (!watch->wanted || watch->fired || !runs(work, watcher) ||
        !za_host_running(work->realm, watcher->host)) {
        return;
    }
    watch->wanted = false;
    za_host_input(work->realm, watcher->host,
                  &(za_cluster_event_t){ .type = ZA_CLUSTER_UNWATCH,
                                         .watcher = { 0, watch->watcher },
                                         .id = index + 1,
                                         .ref = watch->target });
}

/* ---- operations --------------------------------------------------------------------------------- */

typedef struct dice {
    uint64_t state;
} dice_t;

static uint64_t roll(dice_t *dice, uint64_t bound)
{
    dice->state = za_mix64(dice->state + UINT64_C(0x9e3779b97f4a7c15));
    return za_chance_below(dice->state, bound);
}

/** Any actor that runs, of any node or of `host` alone; 0 if luck finds none. */
static uint64_t pick_actor(const za_work_t *work, dice_t *dice, uint32_t host)
{
    for (int i = 0; i < 16 && work->actors.count > 0; i++) {
        // The younger ones: the older are mostly gone.
        uint64_t back = roll(dice, work->actors.count < 256 ? work->actors.count : 256);
        uint64_t id = ACTOR_BASE + work->actors.count - 1 - back;
        const actor_t *actor = actor_of(work, id);
        if (runs(work, actor) && (host == UINT32_MAX || actor->host == host)) {
            return id;
        }
    }
    return 0;
}

/** In their order, so that luck finds the younger ones. */
static void tidy_holders(za_work_t *work)
{
    if (work->holders.count < work->tidy_at) {
        return;
    }
    holder_t *holders = work->holders.items;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < work->holders.count; i++) {
        if (holders[i].live && runs(work, actor_of(work, holders[i].actor))) {
            holders[kept++] = holders[i];
        }
    }
    work->holders.count = kept;
    work->tidy_at = 2 * kept + 256;
}

static void name_text(uint32_t name, char *text, size_t bytes)
{
    snprintf(text, bytes, name < NAMES ? "k%u" : "g%u", name < NAMES ? name : name - NAMES);
}

static za_name_kind_t kind_of(uint32_t name)
{
    return name < NAMES ? ZA_NAME_UNIQUE : ZA_NAME_GROUP;
}

static bool is_member(const char *group, za_ref_t ref, const uint8_t *meta, uint32_t meta_bytes,
                      void *context)
{
    uint64_t *actor = context;
    (void)group;
    (void)meta;
    (void)meta_bytes;
    if (ref.node == 0 && ref.actor == *actor) {
        *actor = 0;
    }
    return *actor != 0;
}

/** A node whose actors have as many names as they may takes no member of a group any more. */
static bool is_refused(const za_work_t *work, uint32_t host, const char *group, uint64_t actor)
{
    const za_cluster_t *cluster = za_host_cluster(work->realm, host);
    bool bounded = za_realm_config(work->realm)->names_max != 0;
    if (bounded && cluster != NULL) {
        za_cluster_each_group_member(cluster, group, is_member, &actor);
    }
    return bounded && actor != 0;
}

static void do_register(za_work_t *work, dice_t *dice, uint32_t host)
{
    uint64_t id = pick_actor(work, dice, host);
    if (id == 0) {
        id = new_actor(work, host);
    }
    tidy_holders(work);
    uint32_t name = (uint32_t)roll(dice, NAMES + GROUPS);
    holder_t *holder = add_item(&work->holders, sizeof *holder);
    *holder = (holder_t){ .actor = id, .name = (uint8_t)name, .live = true };
    char text[16];
    name_text(name, text, sizeof text);
    za_host_input(work->realm, host,
                  &(za_cluster_event_t){ .type = ZA_CLUSTER_REGISTER,
                                         .name = text,
                                         .kind = kind_of(name),
                                         .actor = id,
                                         .wall_ms = za_host_wall_ms(work->realm, host) });
    if (kind_of(name) == ZA_NAME_GROUP && is_refused(work, host, text, id)) {
        ((holder_t *)work->holders.items + (work->holders.count - 1))->live = false;
    }
}

static void do_unregister(za_work_t *work, dice_t *dice)
{
    if (work->holders.count == 0) {
        return;
    }
    uint64_t back = roll(dice, work->holders.count < 64 ? work->holders.count : 64);
    holder_t *holder = (holder_t *)work->holders.items + (work->holders.count - 1 - back);
    const actor_t *actor = actor_of(work, holder->actor);
    if (!holder->live || !runs(work, actor) || !za_host_running(work->realm, actor->host)) {
        return;
    }
    for (uint32_t i = 0; i < work->holders.count; i++) { // it may have asked twice
        holder_t *other = (holder_t *)work->holders.items + i;
        other->live &= other->actor != holder->actor || other->name != holder->name;
    }
    char text[16];
    name_text(holder->name, text, sizeof text);
    za_host_input(work->realm, actor->host,
                  &(za_cluster_event_t){ .type = ZA_CLUSTER_UNREGISTER,
                                         .name = text,
                                         .kind = kind_of(holder->name),
                                         .actor = holder->actor });
}

static void do_watch(za_work_t *work, dice_t *dice, uint32_t host)
{
    uint64_t target = pick_actor(work, dice, UINT32_MAX);
    const actor_t *there = target != 0 ? actor_of(work, target) : NULL;
    if (there == NULL || there->host == host) {
        return;
    }
    uint64_t watcher = pick_actor(work, dice, host);
    if (watcher == 0) {
        watcher = new_actor(work, host);
        there = actor_of(work, target);
    }
    watch_t *watch = add_item(&work->watches, sizeof *watch);
    watch->watcher = watcher;
    watch->target = (za_ref_t){ za_host_uid(work->realm, there->host), target };
    watch->wanted = true;
    za_ref_t ref = watch->target;
    za_host_input(work->realm, host,
                  &(za_cluster_event_t){ .type = ZA_CLUSTER_WATCH,
                                         .watcher = { 0, watcher },
                                         .id = work->watches.count,
                                         .ref = ref });
}

static void do_unwatch(za_work_t *work, dice_t *dice)
{
    if (work->watches.count > 0) {
        uint64_t back = roll(dice, work->watches.count < 64 ? work->watches.count : 64);
        unwatch(work, work->watches.count - 1 - (uint32_t)back);
    }
}

static void do_spawn(za_work_t *work, dice_t *dice, uint32_t host)
{
    static const uint8_t args[4] = { 1, 2, 3, 4 };
    uint32_t target = (uint32_t)roll(dice, za_realm_host_count(work->realm));
    uint64_t parent = pick_actor(work, dice, host);
    if (target == host || parent == 0 || za_host_uid(work->realm, target) == 0) {
        return;
    }
    child_t *child = add_item(&work->children, sizeof *child);
    child->parent = parent;
    za_spawn_spec_t spec = { .class_name = "worker",
                             .parent = parent,
                             .max_restarts = 3,
                             .within_ms = 5000,
                             .on_node_down = (uint32_t)roll(dice, 2),
                             .args_type_id = 1,
                             .args = args,
                             .args_bytes = sizeof args };
    za_host_input(work->realm, host,
                  &(za_cluster_event_t){ .type = ZA_CLUSTER_SPAWN,
                                         .id = work->children.count,
                                         .actor = parent,
                                         .uid = za_host_uid(work->realm, target),
                                         .tag = work->children.count,
                                         .spawn = &spec });
}

static void operate(za_work_t *work, dice_t *dice)
{
    uint32_t host = (uint32_t)roll(dice, za_realm_host_count(work->realm));
    if (!za_host_running(work->realm, host)) {
        return;
    }
    uint64_t dice_now = roll(dice, 100);
    if (dice_now < 15) {
        new_actor(work, host);
    } else if (dice_now < 35) {
        do_register(work, dice, host);
    } else if (dice_now < 42) {
        do_unregister(work, dice);
    } else if (dice_now < 65) {
        do_watch(work, dice, host);
    } else if (dice_now < 72) {
        do_unwatch(work, dice);
    } else if (dice_now < 80) {
        do_spawn(work, dice, host);
    } else {
        uint64_t id = pick_actor(work, dice, host);
        if (id != 0) {
            stop_actor(work, id, za_Reason_REASON_STOPPED);
        }
    }
}

uint64_t za_work_due_us(const za_work_t *work)
{
    return work->due_us;
}

void za_work_act(za_work_t *work)
{
    dice_t dice = { za_chance(work->seed, ZA_CHANCE_WORK, 1, work->operations++) };
    operate(work, &dice);
    work->due_us = za_realm_now_us(work->realm) + 1 + roll(&dice, 2 * work->period_us);
}

/* ---- effects ------------------------------------------------------------------------------------ */

static bool is_terminal(const za_work_t *work, uint32_t host, uint64_t uid)
{
    za_member_info_t info;
    return za_host_find(work->realm, host, uid, &info) &&
           (info.state == ZA_MEMBER_DOWN || info.state == ZA_MEMBER_LEFT);
}

static void on_fire(za_work_t *work, uint32_t host, const za_effect_t *effect)
{
    if (effect->id == 0 || effect->id > work->watches.count) {
        za_realm_fail(work->realm, "W1", "n%u: a watch fires that never was", host);
        return;
    }
    watch_t *watch = (watch_t *)work->watches.items + (effect->id - 1);
    const actor_t *target = actor_of(work, watch->target.actor);
    unsigned long long id = effect->id;
    if (watch->fired) {
        za_realm_fail(work->realm, "W1", "n%u: watch %llu fires again", host, id);
    } else if (!watch->wanted) {
        za_realm_fail(work->realm, "W3", "n%u: watch %llu fires and was taken back", host, id);
    }
    watch->fired = true;
    za_member_info_t info;
    switch (effect->reason) {
    case za_Reason_REASON_NODE_DOWN:
    case za_Reason_REASON_NODE_LEFT:
        if (!is_terminal(work, host, watch->target.node)) {
            za_realm_fail(work->realm, "W3", "n%u: watch %llu fires for a node that lives", host,
                          id);
        }
        break;
    case za_Reason_REASON_NO_NODE:
        if (za_host_find(work->realm, host, watch->target.node, &info) &&
            info.state < ZA_MEMBER_LEFT) {
            za_realm_fail(work->realm, "W3", "n%u: watch %llu fires for a node that is known", host,
                          id);
        }
        break;
    default:
        if (runs(work, target)) {
            za_realm_fail(work->realm, "W3", "n%u: watch %llu fires, and n%u's actor lives", host,
                          id, target->host);
        }
        break;
    }
}

static void on_watch_local(za_work_t *work, uint32_t host, const za_effect_t *effect)
{
    actor_t *actor = actor_of(work, effect->actor);
    if (actor == NULL || !runs(work, actor) || actor->host != host) {
        za_host_post(work->realm, host,
                     &(za_cluster_event_t){ .type = ZA_CLUSTER_LOCAL_DOWN,
                                            .watcher = effect->watcher,
                                            .id = effect->id,
                                            .ref = { 0, effect->actor },
                                            .reason = za_Reason_REASON_NO_ACTOR },
                     CALL_US);
        return;
    }
    served_t *served = add_item(&work->served, sizeof *served);
    *served = (served_t){ effect->watcher, effect->id, actor->served, true };
    actor->served = work->served.count - 1;
}

static void on_unwatch_local(za_work_t *work, const za_effect_t *effect)
{
    const actor_t *actor = actor_of(work, effect->actor);
    for (uint32_t at = actor != NULL ? actor->served : 0; at != 0;) {
        served_t *served = (served_t *)work->served.items + at;
        if (za_ref_equal(served->watcher, effect->watcher) && served->id == effect->id) {
            served->live = false;
        }
        at = served->next;
    }
}

static void on_spawn_local(za_work_t *work, uint32_t host, const za_effect_t *effect)
{
    za_cluster_event_t answer = { .type = ZA_CLUSTER_CHILD_STARTED,
                                  .id = effect->id,
                                  .uid = effect->uid };
    if (za_mix64(effect->id + host) % 8 == 0) {
        answer.err = ZA_EDENIED;
    } else {
        answer.ref.actor = new_actor(work, host);
    }
    za_host_post(work->realm, host, &answer, START_US);
}

static void on_spawned(za_work_t *work, uint32_t host, const za_effect_t *effect)
{
    if (effect->tag == 0 || effect->tag > work->children.count) {
        za_realm_fail(work->realm, "V1", "n%u: a child of no request", host);
        return;
    }
    child_t *child = (child_t *)work->children.items + (effect->tag - 1);
    if (effect->epoch <= child->epoch || child->failed) {
        za_realm_fail(work->realm, "V1", "n%u: epoch %u of a child after %u%s", host, effect->epoch,
                      child->epoch, child->failed ? ", which failed" : "");
    }
    child->epoch = effect->epoch;
}

/** A step may set a name twice; what counts is where it leads in the end. */
static void on_name_set(za_work_t *work, const za_effect_t *effect)
{
    unsigned name = NAMES;
    if (sscanf(effect->name, "k%u", &name) == 1 && name < NAMES) {
        work->names_set |= UINT32_C(1) << name;
    }
}

static void step(void *context, za_realm_t *realm, uint32_t host)
{
    za_work_t *work = context;
    const za_cluster_t *cluster = work->names_set != 0 ? za_host_cluster(realm, host) : NULL;
    for (uint32_t name = 0; cluster != NULL && name < NAMES; name++) {
        char text[16];
        za_ref_t ref;
        name_text(name, text, sizeof text);
        if ((work->names_set >> name & 1) != 0 &&
            za_cluster_whereis(cluster, text, &ref) == ZA_OK && ref.node != 0 &&
            is_terminal(work, host, ref.node)) {
            za_realm_fail(realm, "R3", "n%u: %s leads to a node that is terminal", host, text);
        }
    }
    work->names_set = 0;
}

static void effect(void *context, za_realm_t *realm, uint32_t host, const za_effect_t *item)
{
    za_work_t *work = context;
    (void)realm;
    switch (item->type) {
    case ZA_EFFECT_FIRE:
        on_fire(work, host, item);
        break;
    case ZA_EFFECT_WATCH_LOCAL:
        on_watch_local(work, host, item);
        break;
    case ZA_EFFECT_UNWATCH_LOCAL:
        on_unwatch_local(work, item);
        break;
    case ZA_EFFECT_SPAWN_LOCAL:
        on_spawn_local(work, host, item);
        break;
    case ZA_EFFECT_STOP_LOCAL:
        if (actor_of(work, item->actor) != NULL) {
            stop_actor(work, item->actor, item->reason);
        }
        break;
    case ZA_EFFECT_SPAWNED:
        on_spawned(work, host, item);
        break;
    case ZA_EFFECT_SPAWN_FAILED:
        if (item->tag > 0 && item->tag <= work->children.count) {
            ((child_t *)work->children.items + (item->tag - 1))->failed = true;
        }
        break;
    case ZA_EFFECT_NAME_SET:
        on_name_set(work, item);
        break;
    case ZA_EFFECT_NAME_LOST:
        if (actor_of(work, item->actor) != NULL) {
            stop_actor(work, item->actor, za_Reason_REASON_STOPPED);
        }
        break;
    default:
        break;
    }
}

/* ---- in the end --------------------------------------------------------------------------------- */

static void check_watches(za_work_t *work)
{
    for (uint32_t i = 0; i < work->watches.count; i++) {
        const watch_t *watch = (const watch_t *)work->watches.items + i;
        const actor_t *watcher = actor_of(work, watch->watcher);
        const actor_t *target = actor_of(work, watch->target.actor);
        bool gone =
            !runs(work, target) || za_host_uid(work->realm, target->host) != watch->target.node;
        if (watch->wanted && !watch->fired && gone && runs(work, watcher)) {
            za_realm_fail(work->realm, "W2", "n%u: watch %u of an actor of n%u has not fired",
                          watcher->host, i + 1, target->host);
        }
    }
}

/** Whether the target's node serves that watch, once and no more. */
static bool is_served(const za_work_t *work, const actor_t *target, za_ref_t watcher, uint64_t id)
{
    uint32_t count = 0;
    for (uint32_t at = target->served; at != 0;) {
        const served_t *served = (const served_t *)work->served.items + at;
        count += served->live && za_ref_equal(served->watcher, watcher) && served->id == id;
        at = served->next;
    }
    return count == 1;
}

/** Each watch that waits is served by its target's node. */
static void check_waiting(za_work_t *work)
{
    for (uint32_t i = 0; i < work->watches.count; i++) {
        const watch_t *watch = (const watch_t *)work->watches.items + i;
        const actor_t *watcher = actor_of(work, watch->watcher);
        const actor_t *target = actor_of(work, watch->target.actor);
        if (!watch->wanted || watch->fired || !runs(work, watcher) || !runs(work, target) ||
            za_host_uid(work->realm, target->host) != watch->target.node) {
            continue;
        }
        za_ref_t ref = { za_host_uid(work->realm, watcher->host), watch->watcher };
        if (!is_served(work, target, ref, i + 1)) {
            za_realm_fail(work->realm, "W7", "n%u does not serve watch %u of n%u, or twice",
                          target->host, i + 1, watcher->host);
        }
    }
}

/** What is served waits. Whoever stopped did not take its watches back: this is the runtime's to do. */
static void check_served(za_work_t *work, const actor_t *actor)
{
    for (uint32_t at = runs(work, actor) ? actor->served : 0; at != 0;) {
        const served_t *served = (const served_t *)work->served.items + at;
        const actor_t *watcher = actor_of(work, served->watcher.actor);
        const watch_t *watch = (const watch_t *)work->watches.items + (served->id - 1);
        at = served->next;
        if (!served->live || !runs(work, watcher)) {
            continue;
        }
        if (!watch->wanted || watch->fired ||
            served->watcher.node != za_host_uid(work->realm, watcher->host)) {
            za_realm_fail(work->realm, "W7", "n%u serves watch %u of n%u, which %s", actor->host,
                          (unsigned)served->id, watcher->host,
                          !watch->wanted ? "was taken back"
                          : watch->fired ? "has fired"
                                         : "has another uid");
        }
    }
}

static void check_tables(za_work_t *work)
{
    check_waiting(work);
    for (uint32_t i = 0; i < work->actors.count; i++) {
        check_served(work, (const actor_t *)work->actors.items + i);
    }
}

typedef struct lookup {
    za_work_t *work;
    uint32_t host;
    bool found[NAMES];
} lookup_t;

static bool holds(const za_work_t *work, uint64_t actor, uint32_t name)
{
    for (uint32_t i = 0; i < work->holders.count; i++) {
        const holder_t *holder = (const holder_t *)work->holders.items + i;
        if (holder->live && holder->actor == actor && holder->name == name) {
            return true;
        }
    }
    return false;
}

static bool check_name(const char *text, za_ref_t ref, void *context)
{
    lookup_t *lookup = context;
    za_work_t *work = lookup->work;
    const actor_t *actor = actor_of(work, ref.actor);
    unsigned name = NAMES;
    if (sscanf(text, "k%u", &name) != 1 || name >= NAMES) {
        za_realm_fail(work->realm, "R4", "n%u: nobody registered %s", lookup->host, text);
        return false;
    }
    lookup->found[name] = true;
    if (actor == NULL || !runs(work, actor) || !holds(work, ref.actor, name)) {
        za_realm_fail(work->realm, "R4", "n%u: %s leads to one who does not hold it", lookup->host,
                      text);
        return false;
    }
    return true;
}

static bool check_member(const char *text, za_ref_t ref, const uint8_t *meta, uint32_t meta_bytes,
                         void *context)
{
    lookup_t *lookup = context;
    za_work_t *work = lookup->work;
    (void)meta;
    (void)meta_bytes;
    bool found = false;
    for (uint32_t i = 0; i < work->holders.count; i++) {
        holder_t *holder = (holder_t *)work->holders.items + i;
        char group[16];
        name_text(holder->name, group, sizeof group);
        if (holder->live && holder->actor == ref.actor && strcmp(group, text) == 0) {
            holder->listed = lookup->host + 1;
            found = true;
        }
    }
    if (!found || !runs(work, actor_of(work, ref.actor))) {
        za_realm_fail(work->realm, "R4", "n%u: %s lists one who is no member", lookup->host, text);
    }
    return found;
}

/** All members of groups are listed by `host`, and nobody else. */
static void check_groups(za_work_t *work, uint32_t host, const za_cluster_t *cluster)
{
    lookup_t lookup = { .work = work, .host = host };
    za_cluster_each_group_member(cluster, NULL, check_member, &lookup);
    for (uint32_t i = 0; i < work->holders.count; i++) {
        const holder_t *holder = (const holder_t *)work->holders.items + i;
        if (holder->name >= NAMES && holder->live && holder->listed != host + 1 &&
            runs(work, actor_of(work, holder->actor))) {
            za_realm_fail(work->realm, "R5", "n%u does not list a member of g%u", host,
                          holder->name - NAMES);
        }
    }
}

static void check_names(za_work_t *work)
{
    uint32_t first = UINT32_MAX;
    for (uint32_t host = 0; host < za_realm_host_count(work->realm); host++) {
        const za_cluster_t *cluster = za_host_cluster(work->realm, host);
        if (cluster == NULL) {
            continue;
        }
        first = first == UINT32_MAX ? host : first;
        const za_cluster_t *one = za_host_cluster(work->realm, first);
        if (za_cluster_registry_hash(cluster) != za_cluster_registry_hash(one)) {
            za_realm_fail(work->realm, "R5", "the registries of n%u and n%u differ", first, host);
        }
        lookup_t lookup = { .work = work, .host = host };
        za_cluster_each_name(cluster, check_name, &lookup);
        for (uint32_t i = 0; i < work->holders.count; i++) {
            const holder_t *holder = (const holder_t *)work->holders.items + i;
            if (holder->name < NAMES && holder->live && runs(work, actor_of(work, holder->actor)) &&
                !lookup.found[holder->name]) {
                za_realm_fail(work->realm, "R5", "n%u does not know k%u", host, holder->name);
            }
        }
        check_groups(work, host, cluster);
    }
}

static void settled(void *context, za_realm_t *realm)
{
    za_work_t *work = context;
    (void)realm;
    check_watches(work);
    check_tables(work);
    check_names(work);
}

static void destroy(void *context)
{
    za_work_t *work = context;
    free(work->actors.items);
    free(work->watches.items);
    free(work->served.items);
    free(work->holders.items);
    free(work->children.items);
    free(work);
}

static const za_oracle_ops_t ops = {
    .name = "work",
    .effect = effect,
    .step = step,
    .settled = settled,
    .destroy = destroy,
};

za_err_t za_work_add(za_realm_t *realm, const za_plan_t *plan, za_work_t **out)
{
    za_work_t *work = calloc(1, sizeof *work);
    if (work == NULL) {
        return ZA_ENOMEM;
    }
    work->realm = realm;
    work->seed = plan->seed;
    work->due_us = UINT64_MAX;
    work->tidy_at = 256;
    uint64_t per_100_s = (uint64_t)plan->work * plan->nodes;
    if (per_100_s > 0) {
        work->period_us = 100 * ZA_US_PER_S / per_100_s;
        work->due_us = ZA_US_PER_S;
    }
    add_item(&work->served, sizeof(served_t)); // 0 is none
    za_realm_add_oracle(realm, &ops, work);
    *out = work;
    return ZA_OK;
}
