// Subscriptions: actors that hear who holds the names with a prefix, or who is in a group. In the owner,
// in the order in which the registry says it.

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "node/state.h"

static uint32_t count_of(const za_node_t *node)
{
    return atomic_load_explicit(&node->listener_count, memory_order_relaxed); // ours
}

static void set_count(za_node_t *node, uint32_t count)
{
    atomic_store_explicit(&node->listener_count, count, memory_order_relaxed); // a bound for others
}

/* ---- news ------------------------------------------------------------------------------------- */

static bool concerns(const za_news_listener_t *listener, za_name_kind_t kind, const char *name)
{
    if (listener->kind != kind) {
        return false;
    }
    if (kind == ZA_NAME_GROUP) {
        return listener->of[0] == '\0' || strcmp(listener->of, name) == 0;
    }
    return strncmp(listener->of, name, strlen(listener->of)) == 0;
}

static void tell_name(za_node_t *node, uint64_t actor, const char *name, za_ref_t ref)
{
    za_NameChanged news = { .ref = ref };
    snprintf(news.name, sizeof news.name, "%s", name);
    za_node_inform(node, actor, &za_NameChanged_type, &news);
}

void za_listeners_name(za_node_t *node, const char *name, za_ref_t ref)
{
    for (uint32_t i = 0; i < count_of(node); i++) {
        if (concerns(&node->listeners[i], ZA_NAME_UNIQUE, name)) {
            tell_name(node, node->listeners[i].actor, name, ref);
        }
    }
}

static_assert(ZA_NAME_META_BYTES_MAX == sizeof(((za_GroupChanged *)0)->meta.bytes), "meta fits");

static za_GroupChanged group_news(const char *group, za_ref_t ref, bool joined, const uint8_t *meta,
                                  uint32_t meta_bytes)
{
    za_GroupChanged news = { .ref = ref, .joined = joined };
    snprintf(news.group, sizeof news.group, "%s", group);
    news.meta.size = (uint16_t)meta_bytes;
    if (meta_bytes > 0) { // else there is nothing to copy from
        memcpy(news.meta.bytes, meta, meta_bytes);
    }
    return news;
}

void za_listeners_group(za_node_t *node, const za_effect_t *effect)
{
    za_GroupChanged news =
        group_news(effect->name, effect->ref, effect->type == ZA_EFFECT_GROUP_ADDED, effect->bytes,
                   effect->size);
    for (uint32_t i = 0; i < count_of(node); i++) {
        if (concerns(&node->listeners[i], ZA_NAME_GROUP, effect->name)) {
            za_node_inform(node, node->listeners[i].actor, &za_GroupChanged_type, &news);
        }
    }
}

/* ---- how things are --------------------------------------------------------------------------- */

typedef struct replay {
    za_node_t *node;
    const za_news_listener_t *to;
} replay_t;

static bool replay_name(const char *name, za_ref_t ref, void *context)
{
    const replay_t *replay = context;
    if (concerns(replay->to, ZA_NAME_UNIQUE, name)) {
        tell_name(replay->node, replay->to->actor, name, ref);
    }
    return true;
}

static bool replay_member(const char *group, za_ref_t ref, const uint8_t *meta, uint32_t meta_bytes,
                          void *context)
{
    const replay_t *replay = context;
    za_GroupChanged news = group_news(group, ref, true, meta, meta_bytes);
    za_node_inform(replay->node, replay->to->actor, &za_GroupChanged_type, &news);
    return true;
}

/** Between two steps, when the registry has told all that it knows. */
static void replay_all(za_node_t *node, const za_news_listener_t *listener)
{
    replay_t replay = { node, listener };
    if (listener->kind == ZA_NAME_UNIQUE) {
        za_cluster_each_name(node->cluster, replay_name, &replay);
    } else {
        const char *group = listener->of[0] != '\0' ? listener->of : NULL;
        za_cluster_each_group_member(node->cluster, group, replay_member, &replay);
    }
}

/* ---- who listens ------------------------------------------------------------------------------ */

static za_news_listener_t *find(za_node_t *node, uint64_t actor, za_name_kind_t kind,
                                const char *of)
{
    for (uint32_t i = 0; i < count_of(node); i++) {
        za_news_listener_t *listener = &node->listeners[i];
        if (listener->actor == actor && listener->kind == kind && strcmp(listener->of, of) == 0) {
            return listener;
        }
    }
    return NULL;
}

void za_listeners_add(za_node_t *node, uint64_t actor, za_name_kind_t kind, const char *of)
{
    za_news_listener_t *listener = find(node, actor, kind, of);
    if (listener == NULL) {
        uint32_t count = count_of(node);
        if (count == ZA_LISTENERS_MAX) {
            za_node_log(node, ZA_WARN,
                        "more than %d subscriptions to names and groups: one hears nothing",
                        ZA_LISTENERS_MAX);
            return;
        }
        listener = &node->listeners[count];
        listener->actor = actor;
        listener->kind = kind;
        snprintf(listener->of, sizeof listener->of, "%s", of);
        set_count(node, count + 1);
    }
    replay_all(node, listener);
}

/** In order: they are told in the order in which they came. */
static void remove_at(za_node_t *node, uint32_t index)
{
    uint32_t count = count_of(node);
    memmove(&node->listeners[index], &node->listeners[index + 1],
            (count - index - 1) * sizeof *node->listeners);
    set_count(node, count - 1);
}

void za_listeners_remove(za_node_t *node, uint64_t actor, za_name_kind_t kind, const char *of)
{
    za_news_listener_t *listener = find(node, actor, kind, of);
    if (listener != NULL) {
        remove_at(node, (uint32_t)(listener - node->listeners));
    }
}

void za_listeners_forget(za_node_t *node, uint64_t actor)
{
    for (uint32_t i = count_of(node); i > 0; i--) {
        if (node->listeners[i - 1].actor == actor) {
            remove_at(node, i - 1);
        }
    }
}
