// Carries out what the cluster asks for. Runs in the owner, between two steps.

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/secret.h"
#include "node/state.h"

/** True if the member was announced as up before. */
static bool announce(za_node_t *node, const za_effect_t *effect)
{
    uint64_t *announced = &node->announced;
    if (effect->uid != za_node_uid(node)) {
        za_peer_t *peer = za_peer_claim(node, effect->uid, effect->name);
        if (peer == NULL) {
            return false;
        }
        // A reborn node takes its verdicts back: a uid that it called down may be up again.
        atomic_store_explicit(&peer->terminal, false,
                              memory_order_relaxed); // a late look is as good
        announced = &peer->announced;
    }
    bool again = *announced == effect->uid;
    *announced = effect->uid;
    return again;
}

/** What routers look at. */
static void note_roles(za_node_t *node, const za_effect_t *effect)
{
    if (effect->uid == za_node_uid(node)) {
        return; // of this node they are known
    }
    if (effect->state == ZA_MEMBER_DOWN || effect->state == ZA_MEMBER_LEFT) {
        za_roles_forget(node->roles, effect->uid);
        return;
    }
    const char *roles = effect->bytes != NULL ? (const char *)effect->bytes : "";
    if (za_roles_set(node->roles, effect->uid, roles) != ZA_OK) {
        za_node_log(node, ZA_WARN,
                    "more than %d roles in the cluster, or too many members: not all of member %s "
                    "(%s) are known to routers",
                    ZA_ROLES_KNOWN_MAX, effect->name, roles);
    }
}

static void on_member(za_node_t *node, const za_effect_t *effect)
{
    za_node_log(node, ZA_INFO, "member %s %016llx is %s", effect->name,
                (unsigned long long)effect->uid, za_member_state_name(effect->state));
    bool again = false;
    za_node_datagrams_on_member(node, effect->uid, effect->state);
    note_roles(node, effect);
    if (effect->state == ZA_MEMBER_UP) {
        again = announce(node, effect);
        if (!again && effect->uid != za_node_uid(node)) {
            za_links_newcomer(node);
        }
    } else if (effect->state == ZA_MEMBER_DOWN || effect->state == ZA_MEMBER_LEFT) {
        if (effect->uid != za_node_uid(node)) {
            za_peer_down(node, effect->uid);
        }
    }
    za_peer_unreachable(node, effect->uid, effect->state == ZA_MEMBER_UNREACHABLE);
    const za_type_t *type = za_node_member_type(effect->state, again);
    if (type != NULL) {
        za_node_tell_all_of(node, type, effect);
    }
}

static void on_apart(za_node_t *node, const za_effect_t *effect)
{
    bool is = effect->id != 0;
    const za_peer_t *peer = za_peer_find(node, effect->uid);
    bool linked = peer != NULL && atomic_load_explicit(&peer->link, memory_order_relaxed) != NULL;
    if (is) {
        za_node_log(node, ZA_WARN,
                    "no link to member %s (%s), which is alive: messages for it are refused until "
                    "there is one; is the path between the two let through?",
                    effect->name, effect->address);
    } else if (linked) {
        za_node_log(node, ZA_INFO, "there is a link to member %s again", effect->name);
    }
    za_peer_apart(node, effect->uid, is);
    if (is || linked) { // else it is unreachable, which follows
        za_node_tell_all_of(node, is ? &za_MemberApart_type : &za_MemberTogether_type, effect);
    }
}

static void forget_apart(za_node_t *node)
{
    for (uint32_t i = 0; i < node->peers_top; i++) {
        za_peer_t *peer = za_peer_at(node, i);
        atomic_store_explicit(&peer->apart, false, memory_order_relaxed); // ours
    }
}

static void on_reborn(za_node_t *node, const za_effect_t *effect)
{
    forget_apart(node); // as another uid, with other links
    za_node_log(node, ZA_WARN, "%s: reborn as %016llx (was %016llx)",
                node->gave_up ? "this node gave up its side of a split"
                              : "this node was declared down by others",
                (unsigned long long)effect->uid, (unsigned long long)effect->was);
    node->gave_up = false;
    za_runtime_add_uid(node->runtime, effect->uid);
    atomic_store_explicit(&node->uid, effect->uid, memory_order_release); // pairs: node-uid
    za_link_close_all(node, ZA_ECLOSED);
    za_node_datagrams_on_reborn(node, effect->uid);
    za_Reborn news = { .was = effect->was, .node = effect->uid };
    za_node_tell_all(node, &za_Reborn_type, &news);
}

static const za_class_t *find_class(const za_node_t *node, const char *name)
{
    const za_class_t *const *classes = node->params.classes;
    for (size_t i = 0; classes != NULL && classes[i] != NULL; i++) {
        if (strcmp(classes[i]->name, name) == 0) {
            return classes[i];
        }
    }
    return NULL;
}

/** Decodes the arguments into a pool block, which the caller frees after the spawn. */
static za_err_t decode_args(za_node_t *node, const za_class_t *class_, const za_spawn_spec_t *spec,
                            uint64_t from_uid, const za_type_t **type, za_message_t **block)
{
    *type = za_class_type(class_, spec->args_type_id);
    if (*type == NULL) {
        return ZA_ETYPE;
    }
    size_t bytes = (size_t)(*type)->size + spec->args_bytes;
    *block = za_message_alloc(node->worker, bytes);
    if (*block == NULL) {
        return ZA_ENOBUFS;
    }
    void *body = za_message_body(*block);
    memset(body, 0, bytes);
    za_err_t err = (*type)->decode(body, bytes, spec->args, spec->args_bytes);
    if (err == ZA_OK) {
        za_runtime_resolve_refs(node->runtime, *type, body, from_uid);
    } else {
        za_message_free(node->worker, *block);
        *block = NULL;
    }
    return err;
}

static za_err_t spawn_local(za_node_t *node, const za_effect_t *effect, za_ref_t *out)
{
    const za_spawn_spec_t *spec = effect->spawn;
    const za_class_t *class_ = find_class(node, spec->class_name);
    if (class_ == NULL) {
        za_node_log(node, ZA_WARN, "node %016llx asked for class %s, which is not allowed here",
                    (unsigned long long)effect->uid, spec->class_name);
        return ZA_EDENIED;
    }
    za_spawn_opts_t opts = {
        .size = sizeof opts,
        .name = spec->name,
        .mailbox = spec->mailbox,
        .overflow = spec->overflow <= ZA_DROP_OLDEST ? (za_overflow_t)spec->overflow : ZA_REJECT,
        .restart =
            spec->restart <= ZA_RESTART_NEVER ? (za_restart_t)spec->restart : ZA_RESTART_NEVER,
        .max_restarts = spec->max_restarts,
        .within_ms = spec->within_ms,
        .backoff_min_ms = spec->backoff_min_ms,
        .backoff_max_ms = spec->backoff_max_ms,
        .stash = spec->stash,
        .on_limit = ZA_LIMIT_STOP, // an escalation reaches the parent as za_SpawnFailed
    };
    za_message_t *args = NULL;
    if (spec->args_type_id != 0) {
        za_err_t err = decode_args(node, class_, spec, effect->uid, &opts.args_type, &args);
        if (err != ZA_OK) {
            return err;
        }
        opts.args = za_message_body(args);
    }
    za_ref_t owner = { effect->uid == za_node_uid(node) ? 0 : effect->uid, spec->parent };
    za_err_t err = za_runtime_spawn(node->worker, class_, &opts, owner, out);
    if (args != NULL) {
        za_message_free(node->worker, args);
    }
    return err;
}

static void on_spawn_local(za_node_t *node, const za_effect_t *effect)
{
    za_ref_t ref = ZA_REF_NONE;
    za_err_t err = spawn_local(node, effect, &ref);
    // Told right after this step, before the inbox: the child's end cannot come first.
    ZA_ASSERT(node->started_count < ZA_STARTED_MAX); // the cluster's tables are smaller
    node->started[node->started_count++] = (za_cluster_event_t){ .type = ZA_CLUSTER_CHILD_STARTED,
                                                                 .id = effect->id,
                                                                 .uid = effect->uid,
                                                                 .ref = ref,
                                                                 .err = err };
}

static void on_name_set(za_node_t *node, const za_effect_t *effect)
{
    if (za_names_set(node->names, effect->name, effect->ref) != ZA_OK) {
        za_node_log(node, ZA_ERROR, "no room for the name %s", effect->name);
    }
    za_listeners_name(node, effect->name, effect->ref);
}

static void on_name_cleared(za_node_t *node, const za_effect_t *effect)
{
    // Only whom the registry knew: another actor of ours may have claimed the name since.
    za_names_clear(node->names, effect->name, effect->ref);
    za_listeners_name(node, effect->name, ZA_REF_NONE);
}

static za_NameLoss loss_of(za_err_t err)
{
    switch (err) {
    case ZA_EEXIST:
        return za_NameLoss_NAME_TAKEN;
    case ZA_EUNAVAILABLE:
        return za_NameLoss_NAME_GIVEN_UP;
    case ZA_ENOBUFS:
        return za_NameLoss_NAME_NO_ROOM;
    default:
        return za_NameLoss_NAME_LOSS_UNKNOWN;
    }
}

static void on_name_lost(za_node_t *node, const za_effect_t *effect)
{
    // A claim that was refused stands in the table still.
    za_names_clear(node->names, effect->name, (za_ref_t){ 0, effect->actor });
    za_NameLost news = { .winner = effect->ref, .reason = loss_of(effect->err) };
    snprintf(news.name, sizeof news.name, "%s", effect->name);
    // Without a handler for it the actor stops: it may exist only once.
    bool nobody = za_ref_is_none(effect->ref);
    za_node_log(node, ZA_WARN, "lost the name %s%s%s", effect->name,
                nobody ? ": " : " to another holder", nobody ? za_err_text(effect->err) : "");
    za_node_inform(node, effect->actor, &za_NameLost_type, &news);
}

static void ask_lease(za_node_t *node, const za_effect_t *effect)
{
    const za_lease_provider_t *provider = &node->params.lease;
    ZA_ASSERT(provider->ask != NULL); // nobody starts with the strategy and without a provider
    const za_lease_question_t question = { .cluster = node->cluster_name,
                                           .cluster_id = node->params.cluster_id,
                                           .holder = effect->uid,
                                           .revision = effect->tag,
                                           .ttl_ms = (uint32_t)effect->id };
    provider->ask(provider->context, node, &question);
}

static void on_group_added(za_node_t *node, const za_effect_t *effect)
{
    za_err_t err = ZA_OK;
    if (effect->ref.node != 0) { // of those who joined here their worker saw to it
        err = za_runtime_group_add(node->worker, effect->name, effect->ref);
    }
    if (err != ZA_OK) {
        za_node_log(node, ZA_ERROR, "no room for a member of the group %s: %s", effect->name,
                    za_err_text(err));
    }
    za_listeners_group(node, effect);
}

static void on_group_removed(za_node_t *node, const za_effect_t *effect)
{
    za_runtime_group_remove(node->worker, effect->name, effect->ref);
    za_listeners_group(node, effect);
}

static void send_frame(za_node_t *node, const za_effect_t *effect)
{
    za_peer_t *peer = za_peer_find(node, effect->uid);
    if (peer == NULL) {
        return;
    }
    bool system = effect->lane == ZA_LANE_SYSTEM;
    za_peer_frame(node, peer, system ? ZA_OUT_SYSTEM : ZA_OUT_CONTROL,
                  system ? ZA_LANE_SYSTEM : ZA_LANE_CONTROL, effect->bytes, effect->size);
    if (!system && za_is_key_frame(effect->bytes, effect->size)) {
        za_secret_zero((void *)effect->bytes, effect->size); // they lie in node->effects
    }
}

static void on_down_self(za_node_t *node, const za_effect_t *effect)
{
    node->gave_up = true;
    za_node_log(node, ZA_WARN,
                "this side of a split gives up (%s): what may exist only once stops here",
                effect->name);
}

/** A watch or a link from afar on an actor here. */
static void watch_local(za_node_t *node, const za_effect_t *effect)
{
    bool links = effect->type == ZA_EFFECT_LINK_LOCAL;
    za_err_t err = links
                       ? za_runtime_link(node->worker, effect->watcher, effect->id, effect->actor)
                       : za_runtime_watch(node->worker, effect->watcher, effect->id, effect->actor);
    if (err != ZA_OK) {
        // No memory for it: the far side hears that the actor is out of its sight.
        za_node_remote.down(node, node->worker, effect->watcher, effect->id,
                            (za_ref_t){ 0, effect->actor }, za_Reason_REASON_LIMIT);
    }
}

static void on_spawned(za_node_t *node, const za_effect_t *effect)
{
    za_Spawned news = { .tag = effect->tag, .ref = effect->ref, .epoch = effect->epoch };
    za_node_inform(node, effect->actor, &za_Spawned_type, &news);
}

static void on_spawn_failed(za_node_t *node, const za_effect_t *effect)
{
    za_SpawnFailed news = { .tag = effect->tag, .reason = effect->reason };
    za_node_inform(node, effect->actor, &za_SpawnFailed_type, &news);
}

static void mark(const za_node_t *node, const za_effect_t *effect)
{
    if (node->params.mark != NULL) {
        node->params.mark(node->params.mark_context, effect->mark);
    }
}

static void carry_out(za_node_t *node, const za_effect_t *effect)
{
    switch (effect->type) {
    case ZA_EFFECT_SEND_DATAGRAM:
        za_node_datagrams_send(node, effect);
        break;
    case ZA_EFFECT_SEND_FRAME:
        send_frame(node, effect);
        break;
    case ZA_EFFECT_CONNECT:
        za_link_connect(node, effect->address, effect->uid);
        break;
    case ZA_EFFECT_CLOSE_LINK:
        za_link_close_peer(node, effect->uid);
        break;
    case ZA_EFFECT_MEMBER:
        on_member(node, effect);
        break;
    case ZA_EFFECT_APART:
        on_apart(node, effect);
        break;
    case ZA_EFFECT_DOWN_SELF:
        on_down_self(node, effect);
        break;
    case ZA_EFFECT_LEASE:
        ask_lease(node, effect);
        break;
    case ZA_EFFECT_REBORN:
        on_reborn(node, effect);
        break;
    case ZA_EFFECT_LEFT:
        atomic_store_explicit(&node->left, true, memory_order_release); // pairs: node-left
        break;
    case ZA_EFFECT_REFUSED:
        za_node_refused(node, effect->name != NULL ? effect->name : za_err_text(effect->err));
        break;
    case ZA_EFFECT_NAME_SET:
        on_name_set(node, effect);
        break;
    case ZA_EFFECT_NAME_CLEARED:
        on_name_cleared(node, effect);
        break;
    case ZA_EFFECT_NAME_LOST:
        on_name_lost(node, effect);
        break;
    case ZA_EFFECT_GROUP_ADDED:
        on_group_added(node, effect);
        break;
    case ZA_EFFECT_GROUP_REMOVED:
        on_group_removed(node, effect);
        break;
    case ZA_EFFECT_FIRE:
        za_runtime_down(node->worker, effect->watcher, effect->id, effect->ref, effect->reason);
        break;
    case ZA_EFFECT_WATCH_LOCAL:
    case ZA_EFFECT_LINK_LOCAL:
        watch_local(node, effect);
        break;
    case ZA_EFFECT_UNWATCH_LOCAL:
        za_runtime_unwatch(node->worker, effect->watcher, effect->id, effect->actor);
        break;
    case ZA_EFFECT_EXIT_LOCAL:
        za_runtime_exit(node->worker, effect->actor, effect->ref, effect->id, effect->reason);
        break;
    case ZA_EFFECT_SPAWN_LOCAL:
        on_spawn_local(node, effect);
        break;
    case ZA_EFFECT_STOP_LOCAL:
        za_runtime_stop_actor(node->worker, effect->actor, effect->reason);
        break;
    case ZA_EFFECT_SPAWNED:
        on_spawned(node, effect);
        break;
    case ZA_EFFECT_SPAWN_FAILED:
        on_spawn_failed(node, effect);
        break;
    case ZA_EFFECT_KEYS:
        za_node_datagrams_on_keys(node, effect);
        break;
    case ZA_EFFECT_WANT_KEYS:
        node->wants_material = node->params.random != NULL;
        break;
    case ZA_EFFECT_LOG:
        za_node_log(node, effect->level, "%s", effect->name);
        break;
    case ZA_EFFECT_MARK:
        mark(node, effect);
        break;
    }
}

void za_node_carry_out(za_node_t *node)
{
    for (uint32_t i = 0; i < node->effects->count; i++) {
        carry_out(node, &node->effects->items[i]);
    }
}
