// Subscriptions to names: actors that hear who holds the names with a prefix. In the owner, in the
// order in which the registry says it.

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

static void tell(za_node_t *node, uint64_t actor, const char *name, za_ref_t ref)
{
    za_NameChanged news = { .ref = ref };
    snprintf(news.name, sizeof news.name, "%s", name);
    za_node_inform(node, actor, &za_NameChanged_type, &news);
}

static bool concerns(const char *prefix, const char *name)
{
    return strncmp(prefix, name, strlen(prefix)) == 0;
}

void za_listeners_tell(za_node_t *node, const char *name, za_ref_t ref)
{
    for (uint32_t i = 0; i < count_of(node); i++) {
        if (concerns(node->listeners[i].prefix, name)) {
            tell(node, node->listeners[i].actor, name, ref);
        }
    }
}

static za_name_listener_t *find(za_node_t *node, uint64_t actor, const char *prefix)
{
    for (uint32_t i = 0; i < count_of(node); i++) {
        za_name_listener_t *listener = &node->listeners[i];
        if (listener->actor == actor && strcmp(listener->prefix, prefix) == 0) {
            return listener;
        }
    }
    return NULL;
}

typedef struct replay {
    za_node_t *node;
    const za_name_listener_t *to;
} replay_t;

static bool replay_name(const char *name, za_ref_t ref, void *context)
{
    const replay_t *replay = context;
    if (concerns(replay->to->prefix, name)) {
        tell(replay->node, replay->to->actor, name, ref);
    }
    return true;
}

void za_listeners_add(za_node_t *node, uint64_t actor, const char *prefix)
{
    za_name_listener_t *listener = find(node, actor, prefix);
    if (listener == NULL) {
        uint32_t count = count_of(node);
        if (count == ZA_LISTENERS_MAX) {
            za_node_log(node, ZA_WARN, "more than %d subscriptions to names: one hears nothing",
                        ZA_LISTENERS_MAX);
            return;
        }
        listener = &node->listeners[count];
        listener->actor = actor;
        snprintf(listener->prefix, sizeof listener->prefix, "%s", prefix);
        set_count(node, count + 1);
    }
    za_cluster_each_name(node->cluster, replay_name, &(replay_t){ node, listener });
}

/** In order: they are told in the order in which they came. */
static void remove_at(za_node_t *node, uint32_t index)
{
    uint32_t count = count_of(node);
    memmove(&node->listeners[index], &node->listeners[index + 1],
            (count - index - 1) * sizeof *node->listeners);
    set_count(node, count - 1);
}

void za_listeners_remove(za_node_t *node, uint64_t actor, const char *prefix)
{
    za_name_listener_t *listener = find(node, actor, prefix);
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
