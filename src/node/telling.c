// What actors here hear of the cluster: news, the present state for who comes late, and answers.

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "node/state.h"

void za_node_inform(za_node_t *node, uint64_t actor, const za_type_t *type, const void *body)
{
    za_err_t err = za_runtime_notify(node->worker, actor, type, body);
    if (err != ZA_OK && err != ZA_EGONE && err != ZA_ETYPE) {
        za_node_log(node, ZA_ERROR, "an actor missed %s: %s", type->name, za_err_text(err));
    }
}

/** As za_node_inform, to one of many: nothing is made for an actor that has no handler. */
static void notify(za_node_t *node, uint64_t actor, const za_class_t *class_, const za_type_t *type,
                   const void *body)
{
    if (za_class_type(class_, type->id) != NULL) {
        za_node_inform(node, actor, type, body);
    }
}

/** All membership messages have the layout of za_MemberUp: uid, name, address and roles. */
const za_type_t *za_node_member_type(za_member_state_t state, bool again)
{
    switch (state) {
    case ZA_MEMBER_UP:
        return again ? &za_MemberReachable_type : &za_MemberUp_type;
    case ZA_MEMBER_SUSPECT:
        return &za_MemberSuspect_type;
    case ZA_MEMBER_UNREACHABLE:
        return &za_MemberUnreachable_type;
    case ZA_MEMBER_LEAVING:
        return &za_MemberLeaving_type;
    case ZA_MEMBER_LEFT:
        return &za_MemberLeft_type;
    case ZA_MEMBER_DOWN:
        return &za_MemberDown_type;
    case ZA_MEMBER_JOINING:
        return &za_MemberJoining_type;
    }
    return NULL;
}

#define SAME_LAYOUT(T)                                                                             \
    static_assert(sizeof(T) == sizeof(za_MemberUp) &&                                              \
                      offsetof(T, node) == offsetof(za_MemberUp, node) &&                          \
                      offsetof(T, name) == offsetof(za_MemberUp, name) &&                          \
                      offsetof(T, address) == offsetof(za_MemberUp, address) &&                    \
                      offsetof(T, roles) == offsetof(za_MemberUp, roles),                          \
                  #T " is told as a za_MemberUp")
SAME_LAYOUT(za_MemberJoining);
SAME_LAYOUT(za_MemberSuspect);
SAME_LAYOUT(za_MemberUnreachable);
SAME_LAYOUT(za_MemberReachable);
SAME_LAYOUT(za_MemberLeaving);
SAME_LAYOUT(za_MemberLeft);
SAME_LAYOUT(za_MemberDown);
SAME_LAYOUT(za_MemberApart);
SAME_LAYOUT(za_MemberTogether);
#undef SAME_LAYOUT

static za_MemberUp member_news(const za_member_info_t *info)
{
    za_MemberUp news = { .node = info->uid };
    snprintf(news.name, sizeof news.name, "%s", info->name);
    snprintf(news.address, sizeof news.address, "%s", info->address);
    snprintf(news.roles, sizeof news.roles, "%s", info->roles);
    return news;
}

static void tell_member(za_node_t *node, const za_subscriber_t *to, const za_type_t *type,
                        const za_member_info_t *info)
{
    za_MemberUp news = member_news(info);
    notify(node, to->actor, to->class_, type, &news);
}

void za_node_tell_all(za_node_t *node, const za_type_t *type, const void *body)
{
    for (uint32_t i = 0; i < node->subscriber_count; i++) {
        notify(node, node->subscribers[i].actor, node->subscribers[i].class_, type, body);
    }
}

void za_node_tell_all_of(za_node_t *node, const za_type_t *type, const za_effect_t *effect)
{
    za_MemberUp news = member_news(
        &(za_member_info_t){ .uid = effect->uid,
                             .name = effect->name,
                             .address = effect->address,
                             .roles = effect->bytes != NULL ? (const char *)effect->bytes : "" });
    za_node_tell_all(node, type, &news);
}

typedef struct replay {
    za_node_t *node;
    za_subscriber_t to;
} replay_t;

/** True if others heard that it is up, so that they will not hear it again. */
static bool was_announced(za_node_t *node, uint64_t uid)
{
    if (uid == za_node_uid(node)) {
        return node->announced == uid;
    }
    za_peer_t *peer = za_peer_find(node, uid);
    return peer != NULL && peer->announced == uid;
}

/** The shortest story that ends with its present state. */
static bool replay_member(const za_member_info_t *info, void *context)
{
    replay_t *replay = context;
    if (info->state == ZA_MEMBER_LEFT || info->state == ZA_MEMBER_DOWN) {
        return true; // no member any more
    }
    if (info->state != ZA_MEMBER_UP && was_announced(replay->node, info->uid)) {
        tell_member(replay->node, &replay->to, &za_MemberUp_type, info);
    }
    tell_member(replay->node, &replay->to, za_node_member_type(info->state, false), info);
    if (info->apart) {
        tell_member(replay->node, &replay->to, &za_MemberApart_type, info);
    }
    return true;
}

void za_node_replay_members(za_node_t *node, uint64_t actor, const za_class_t *class_)
{
    replay_t replay = { node, { actor, class_ } };
    za_cluster_each_member(node->cluster, replay_member, &replay);
}

static za_MemberState state_of(za_member_state_t state)
{
    switch (state) {
    case ZA_MEMBER_JOINING:
        return za_MemberState_MEMBER_JOINING;
    case ZA_MEMBER_UP:
        return za_MemberState_MEMBER_UP;
    case ZA_MEMBER_SUSPECT:
        return za_MemberState_MEMBER_SUSPECT;
    case ZA_MEMBER_UNREACHABLE:
        return za_MemberState_MEMBER_UNREACHABLE;
    case ZA_MEMBER_LEAVING:
        return za_MemberState_MEMBER_LEAVING;
    case ZA_MEMBER_LEFT:
        return za_MemberState_MEMBER_LEFT;
    case ZA_MEMBER_DOWN:
        return za_MemberState_MEMBER_DOWN;
    }
    return za_MemberState_MEMBER_UNKNOWN;
}

void za_node_tell_member(za_node_t *node, uint64_t actor, uint64_t uid)
{
    za_MemberInfo news = { .node = uid != 0 ? uid : za_node_uid(node) };
    za_member_info_t info;
    if (za_cluster_find_member(node->cluster, news.node, &info)) {
        news.state = state_of(info.state);
        news.since_ms = node->now_ms > info.since_ms ? node->now_ms - info.since_ms : 0;
        snprintf(news.name, sizeof news.name, "%s", info.name);
        snprintf(news.address, sizeof news.address, "%s", info.address);
        snprintf(news.roles, sizeof news.roles, "%s", info.roles);
        news.meta.size = (uint16_t)info.meta_bytes;
        if (info.meta_bytes > 0) { // else there is nothing to copy from
            memcpy(news.meta.bytes, info.meta, info.meta_bytes);
        }
        news.rtt_us = info.rtt_us;
        news.linked = info.linked;
        news.apart = info.apart;
        news.udp_degraded = za_node_datagrams_degraded(node, &info);
    }
    za_node_inform(node, actor, &za_MemberInfo_type, &news);
}

static_assert(ZA_NAME_META_BYTES_MAX == sizeof(((za_NameInfo *)0)->meta.bytes), "meta fits");

void za_node_tell_name(za_node_t *node, uint64_t actor, const char *name)
{
    za_NameInfo news = { .ref = ZA_REF_NONE };
    za_name_answer_t answer;
    snprintf(news.name, sizeof news.name, "%s", name);
    if (za_cluster_lookup(node->cluster, name, &answer) == ZA_OK) {
        news.ref = answer.ref;
        news.age_ms = answer.age_ms;
        news.unreachable = answer.unreachable;
        news.holders = answer.holders;
        news.prio = answer.prio;
        news.meta.size = (uint16_t)answer.meta_bytes;
        if (answer.meta_bytes > 0) { // else there is nothing to copy from
            memcpy(news.meta.bytes, answer.meta, answer.meta_bytes);
        }
    }
    za_node_inform(node, actor, &za_NameInfo_type, &news);
}
