// What an actor asks of the node: the hooks of the runtime, and the functions of actor.h that reach
// beyond the runtime. They run on workers: they queue, and never touch what is the owner's.

#include <stdio.h>
#include <string.h>

#include "core/ctx.h"
#include "node/state.h"

/* ---- hooks --------------------------------------------------------------------------------- */

static za_err_t remote_send(void *context, za_worker_t *worker, const za_outgoing_t *message)
{
    za_node_t *node = context;
    za_peer_t *peer = za_peer_find(node, message->to.node);
    if (peer == NULL) {
        return ZA_ENOROUTE;
    }
    return za_peer_send(node, worker, peer, message);
}

static za_err_t remote_watch(void *context, za_worker_t *worker, za_ref_t watcher,
                             uint64_t watch_id, za_ref_t target)
{
    za_cluster_event_t event = {
        .type = ZA_CLUSTER_WATCH, .watcher = watcher, .id = watch_id, .ref = target
    };
    return za_request_event(context, worker, &event, false);
}

static void remote_unwatch(void *context, za_worker_t *worker, za_ref_t watcher, uint64_t watch_id,
                           za_ref_t target)
{
    za_cluster_event_t event = {
        .type = ZA_CLUSTER_UNWATCH, .watcher = watcher, .id = watch_id, .ref = target
    };
    ZA_IGNORE(za_request_event(context, worker, &event, true));
}

static za_err_t remote_link(void *context, za_worker_t *worker, za_ref_t maker, uint64_t link_id,
                            za_ref_t target)
{
    za_cluster_event_t event = {
        .type = ZA_CLUSTER_LINK, .watcher = maker, .id = link_id, .ref = target
    };
    return za_request_event(context, worker, &event, false);
}

static void remote_unlink(void *context, za_worker_t *worker, za_ref_t maker, uint64_t link_id,
                          za_ref_t target, za_Reason reason)
{
    za_cluster_event_t event = {
        .type = ZA_CLUSTER_UNLINK,
        .watcher = maker,
        .id = link_id,
        .ref = target,
        .reason = reason,
        .after_user = za_peer_user_pushed(context, target.node),
    };
    ZA_IGNORE(za_request_event(context, worker, &event, true));
}

static void remote_down(void *context, za_worker_t *worker, za_ref_t watcher, uint64_t watch_id,
                        za_ref_t target, za_Reason reason)
{
    za_cluster_event_t event = {
        .type = ZA_CLUSTER_LOCAL_DOWN,
        .watcher = watcher,
        .id = watch_id,
        .ref = target,
        .reason = reason,
        .after_user = za_peer_user_pushed(context, watcher.node),
    };
    ZA_IGNORE(za_request_event(context, worker, &event, true));
}

static void remote_ask_failed(void *context, za_worker_t *worker, za_ref_t asker, uint64_t ask,
                              za_Reason reason)
{
    za_node_t *node = context;
    za_peer_t *peer = za_peer_find(node, asker.node);
    if (peer != NULL) { // else the asker's node is down, and the ask failed there
        za_peer_fail_ask(node, worker, peer, asker, ask, reason);
    }
}

static void remote_stopped(void *context, za_worker_t *worker, za_ref_t actor, za_Reason reason)
{
    za_cluster_event_t event = { .type = ZA_CLUSTER_ACTOR_STOPPED,
                                 .actor = actor.actor,
                                 .reason = reason };
    ZA_IGNORE(za_request_event(context, worker, &event, true));
}

static void remote_started(void *context, za_worker_t *worker, za_ref_t actor,
                           const za_class_t *class_)
{
    za_node_t *node = context;
    za_request_t *request = za_request_create(node, worker, 0, true);
    if (request == NULL) {
        return;
    }
    za_runtime_attach(worker, actor.actor);
    request->kind = ZA_REQUEST_SUBSCRIBE;
    request->event.actor = actor.actor;
    request->class_ = class_;
    za_request_post(node, request);
}

static void remote_flush(void *context, za_worker_t *worker)
{
    za_peers_flush(context, worker);
}

static za_err_t remote_stop(void *context, za_worker_t *worker, za_ref_t parent, za_ref_t actor)
{
    za_cluster_event_t event = { .type = ZA_CLUSTER_STOP_CHILD,
                                 .actor = parent.actor,
                                 .ref = actor };
    return za_request_event(context, worker, &event, false);
}

/** As za_names_claim, and a holder of this node that has ended just now holds nothing any more. */
static za_err_t claim(za_node_t *node, const char *name, za_ref_t ref)
{
    za_err_t err = za_names_claim(node->names, name, ref);
    za_ref_t held;
    if (err == ZA_EEXIST && za_names_find(node->names, name, &held) == ZA_OK && held.node == 0 &&
        !za_runtime_has(node->runtime, held.actor)) {
        za_names_clear(node->names, name, held);
        err = za_names_claim(node->names, name, ref);
    }
    return err;
}

/** Whether an actor of ours may claim it, or has it and says so again. */
static bool may_claim(za_node_t *node, const char *name, uint64_t actor)
{
    za_ref_t held;
    // relaxed: an answer to the moment; a claim that is sent too late is refused by the registry
    return atomic_load_explicit(&node->may_claim, memory_order_relaxed) ||
           (za_names_find(node->names, name, &held) == ZA_OK && held.node == 0 &&
            held.actor == actor);
}

/** A request that says what an actor of ours claims, with copies of the name and of what stands beside it. */
static za_request_t *claim_request(za_node_t *node, za_worker_t *worker, za_cluster_event_t claim)
{
    size_t length = strlen(claim.name);
    za_request_t *request = za_request_create(node, worker, length + 1 + claim.size, false);
    if (request == NULL) {
        return NULL;
    }
    request->kind = ZA_REQUEST_EVENT;
    request->event = claim;
    request->event.type = ZA_CLUSTER_REGISTER;
    memcpy(request->bytes, claim.name, length + 1);
    request->event.name = (const char *)request->bytes;
    if (claim.size > 0) { // else there is nothing to copy from
        memcpy(request->bytes + length + 1, claim.bytes, claim.size);
        request->event.bytes = request->bytes + length + 1;
    }
    return request;
}

/** Claims the name for an actor of ours and announces it. */
static za_err_t announce_name(za_node_t *node, za_worker_t *worker, uint64_t actor,
                              const char *name, const za_register_opts_t *opts)
{
    if (name == NULL || name[0] == '\0' || (opts->meta == NULL && opts->meta_size > 0)) {
        return ZA_EINVAL;
    }
    if (strlen(name) > ZA_NAME_BYTES_MAX || opts->meta_size > ZA_NAME_META_BYTES_MAX) {
        return ZA_ETOOBIG;
    }
    if (!may_claim(node, name, actor)) {
        return ZA_EUNAVAILABLE;
    }
    za_request_t *request = claim_request(node, worker,
                                          (za_cluster_event_t){ .kind = ZA_NAME_UNIQUE,
                                                                .name = name,
                                                                .actor = actor,
                                                                .prio = opts->prio,
                                                                .bytes = opts->meta,
                                                                .size = opts->meta_size });
    if (request == NULL) {
        return ZA_ENOBUFS;
    }
    za_err_t err = claim(node, name, (za_ref_t){ 0, actor });
    if (err != ZA_OK) {
        za_request_destroy(worker, request);
        return err;
    }
    za_runtime_attach(worker, actor);
    za_request_post(node, request);
    return ZA_OK;
}

static za_err_t remote_named(void *context, za_worker_t *worker, za_ref_t actor, const char *name)
{
    const za_register_opts_t opts = { .size = sizeof opts };
    return announce_name(context, worker, actor.actor, name, &opts);
}

static za_err_t remote_joined(void *context, za_worker_t *worker, za_ref_t actor, const char *group,
                              const za_join_opts_t *opts)
{
    za_request_t *request = claim_request(context, worker,
                                          (za_cluster_event_t){ .kind = ZA_NAME_GROUP,
                                                                .name = group,
                                                                .actor = actor.actor,
                                                                .bytes = opts->meta,
                                                                .size = opts->meta_size });
    if (request == NULL) {
        return ZA_ENOBUFS;
    }
    za_runtime_attach(worker, actor.actor);
    za_request_post(context, request);
    return ZA_OK;
}

static void remote_left(void *context, za_worker_t *worker, za_ref_t actor, const char *group)
{
    za_cluster_event_t event = {
        .type = ZA_CLUSTER_UNREGISTER, .kind = ZA_NAME_GROUP, .actor = actor.actor, .name = group
    };
    ZA_IGNORE(za_request_event(context, worker, &event, true));
}

static uint32_t remote_fan_out(void *context, za_worker_t *worker, const za_outgoing_t *message,
                               const char *group, const za_ref_t *members, uint32_t count,
                               za_err_t *refused)
{
    za_node_t *node = context;
    za_peer_t *peer = za_peer_find(node, members[0].node);
    if (peer == NULL) {
        *refused = ZA_ENOROUTE;
        return 0;
    }
    if (count > 1 && za_peer_may_publish(peer, message, members, count)) {
        *refused = za_peer_publish(node, worker, peer, members[0].node, message, group);
        return *refused == ZA_OK ? count : 0;
    }
    uint32_t taken = 0;
    for (uint32_t i = 0; i < count; i++) {
        za_outgoing_t one = *message;
        one.to = members[i];
        za_err_t err = za_peer_send(node, worker, peer, &one);
        taken += err == ZA_OK;
        *refused = err == ZA_OK ? *refused : err;
    }
    return taken;
}

static za_err_t remote_resolve(void *context, uint64_t name, za_ref_t *out)
{
    za_node_t *node = context;
    return za_names_find_hash(node->names, name, out);
}

static uint64_t remote_role(void *context, const char *role)
{
    const za_node_t *node = context;
    return za_roles_bit(node->roles, role);
}

static uint64_t remote_roles_of(void *context, uint64_t uid)
{
    const za_node_t *node = context;
    return za_roles_of(node->roles, uid);
}

static bool remote_unreachable(void *context, uint64_t uid)
{
    const za_node_t *node = context;
    if (uid == 0) {
        // relaxed, here and below: a message routed a moment before the news goes there as well
        return atomic_load_explicit(&node->unreachable_count, memory_order_relaxed) > 0;
    }
    const za_peer_t *peer = za_peer_find(node, uid);
    return peer != NULL && atomic_load_explicit(&peer->unreachable, memory_order_relaxed);
}

static void remote_log(void *context, int level, const char *class_name, za_ref_t actor,
                       const char *text)
{
    za_node_t *node = context;
    node->params.log(node->params.log_context, level, class_name, actor, text);
}

const za_remote_t za_node_remote = {
    .send = remote_send,
    .watch = remote_watch,
    .unwatch = remote_unwatch,
    .link = remote_link,
    .unlink = remote_unlink,
    .down = remote_down,
    .ask_failed = remote_ask_failed,
    .stopped = remote_stopped,
    .started = remote_started,
    .flush = remote_flush,
    .stop = remote_stop,
    .named = remote_named,
    .joined = remote_joined,
    .left = remote_left,
    .fan_out = remote_fan_out,
    .role = remote_role,
    .roles_of = remote_roles_of,
    .unreachable = remote_unreachable,
    .resolve = remote_resolve,
    .log = remote_log,
};

/* ---- actor.h ------------------------------------------------------------------------------- */

za_err_t za_register(za_ctx_t *ctx, const char *name)
{
    return za_register_with(ctx, name, &(za_register_opts_t){ .size = sizeof(za_register_opts_t) });
}

za_err_t za_register_with(za_ctx_t *ctx, const char *name, const za_register_opts_t *opts)
{
    if (ctx == NULL || opts == NULL || opts->size < sizeof *opts) {
        return ZA_EINVAL;
    }
    return announce_name(za_ctx_node(ctx), za_ctx_worker(ctx), za_self(ctx).actor, name, opts);
}

void za_unregister(za_ctx_t *ctx, const char *name)
{
    if (ctx == NULL || name == NULL || strlen(name) > ZA_NAME_BYTES_MAX) {
        return;
    }
    za_node_t *node = za_ctx_node(ctx);
    size_t length = strlen(name);
    za_request_t *request = za_request_create(node, za_ctx_worker(ctx), length + 1, true);
    if (request == NULL) {
        return;
    }
    za_names_clear(node->names, name, za_self(ctx));
    memcpy(request->bytes, name, length + 1);
    request->kind = ZA_REQUEST_EVENT;
    request->event = (za_cluster_event_t){ .type = ZA_CLUSTER_UNREGISTER,
                                           .actor = za_self(ctx).actor,
                                           .name = (const char *)request->bytes };
    za_request_post(node, request);
}

/** Hands a prefix of names, or a group, to the owner. */
static za_err_t request_news(za_ctx_t *ctx, za_name_kind_t kind, const char *of, bool listen)
{
    za_node_t *node = za_ctx_node(ctx);
    size_t length = strlen(of);
    za_request_t *request = za_request_create(node, za_ctx_worker(ctx), length + 1, !listen);
    if (request == NULL) {
        return ZA_ENOBUFS;
    }
    memcpy(request->bytes, of, length + 1);
    request->kind = listen ? ZA_REQUEST_LISTEN : ZA_REQUEST_UNLISTEN;
    request->event.actor = za_self(ctx).actor;
    request->event.kind = kind;
    za_runtime_attach(za_ctx_worker(ctx), za_self(ctx).actor);
    za_request_post(node, request);
    return ZA_OK;
}

/** `type` is what the actor will hear. */
static za_err_t subscribe(za_ctx_t *ctx, za_name_kind_t kind, const char *of, const za_type_t *type)
{
    if (ctx == NULL || of == NULL) {
        return ZA_EINVAL;
    }
    if (strlen(of) > ZA_NAME_BYTES_MAX) {
        return ZA_ETOOBIG;
    }
    if (za_class_type(za_ctx_class(ctx), type->id) == NULL) {
        return ZA_ETYPE;
    }
    // relaxed: a bound, which those who subscribe at one moment may pass: then the log says so
    if (atomic_load_explicit(&za_ctx_node(ctx)->listener_count, memory_order_relaxed) >=
        ZA_LISTENERS_MAX) {
        return ZA_ENOBUFS;
    }
    return request_news(ctx, kind, of, true);
}

static void unsubscribe(za_ctx_t *ctx, za_name_kind_t kind, const char *of)
{
    if (ctx != NULL && of != NULL && strlen(of) <= ZA_NAME_BYTES_MAX) {
        ZA_IGNORE(request_news(ctx, kind, of, false));
    }
}

za_err_t za_subscribe_names(za_ctx_t *ctx, const char *prefix)
{
    return subscribe(ctx, ZA_NAME_UNIQUE, prefix, &za_NameChanged_type);
}

void za_unsubscribe_names(za_ctx_t *ctx, const char *prefix)
{
    unsubscribe(ctx, ZA_NAME_UNIQUE, prefix);
}

za_err_t za_subscribe_members(za_ctx_t *ctx, const char *group)
{
    return subscribe(ctx, ZA_NAME_GROUP, group, &za_GroupChanged_type);
}

void za_unsubscribe_members(za_ctx_t *ctx, const char *group)
{
    unsubscribe(ctx, ZA_NAME_GROUP, group);
}

za_err_t za_query_member(za_ctx_t *ctx, uint64_t uid)
{
    if (ctx == NULL) {
        return ZA_EINVAL;
    }
    if (za_class_type(za_ctx_class(ctx), za_MemberInfo_type.id) == NULL) {
        return ZA_ETYPE;
    }
    za_node_t *node = za_ctx_node(ctx);
    za_request_t *request = za_request_create(node, za_ctx_worker(ctx), 0, false);
    if (request == NULL) {
        return ZA_ENOBUFS;
    }
    request->kind = ZA_REQUEST_QUERY_MEMBER;
    request->event.actor = za_self(ctx).actor;
    request->event.uid = uid;
    za_request_post(node, request);
    return ZA_OK;
}

za_err_t za_query_name(za_ctx_t *ctx, const char *name)
{
    if (ctx == NULL || name == NULL || name[0] == '\0') {
        return ZA_EINVAL;
    }
    size_t length = strlen(name);
    if (length > ZA_NAME_BYTES_MAX) {
        return ZA_ETOOBIG;
    }
    if (za_class_type(za_ctx_class(ctx), za_NameInfo_type.id) == NULL) {
        return ZA_ETYPE;
    }
    za_node_t *node = za_ctx_node(ctx);
    za_request_t *request = za_request_create(node, za_ctx_worker(ctx), length + 1, false);
    if (request == NULL) {
        return ZA_ENOBUFS;
    }
    memcpy(request->bytes, name, length + 1);
    request->kind = ZA_REQUEST_QUERY_NAME;
    request->event.actor = za_self(ctx).actor;
    za_request_post(node, request);
    return ZA_OK;
}

za_err_t za_whereis(za_ctx_t *ctx, const char *name, za_ref_t *out)
{
    return ctx == NULL ? ZA_EINVAL : za_node_whereis(za_ctx_node(ctx), name, out);
}

za_err_t za_whereis_with(za_ctx_t *ctx, const char *name, za_whereis_info_t *out)
{
    return ctx == NULL ? ZA_EINVAL : za_node_whereis_with(za_ctx_node(ctx), name, out);
}

za_err_t za_node_whereis_with(za_node_t *node, const char *name, za_whereis_info_t *out)
{
    za_ref_t ref;
    if (out == NULL) {
        return ZA_EINVAL;
    }
    za_err_t err = za_node_whereis(node, name, &ref);
    if (err != ZA_OK) {
        return err;
    }
    *out = (za_whereis_info_t){ .ref = ref };
    za_peer_t *peer = za_peer_find(node, ref.node);
    if (peer != NULL) {
        // relaxed, both: what was so a moment ago
        uint64_t heard_ms = atomic_load_explicit(&peer->heard_ms, memory_order_relaxed);
        uint64_t now_ms = node->params.now_ns(node->params.now_context) / 1000000;
        out->age_ms = now_ms > heard_ms ? now_ms - heard_ms : 0;
        out->unreachable = atomic_load_explicit(&peer->unreachable, memory_order_relaxed);
    }
    return ZA_OK;
}

za_err_t za_resolve(za_ctx_t *ctx, za_ref_t ref, za_ref_t *out)
{
    if (ctx == NULL || out == NULL || za_ref_is_none(ref)) {
        return ZA_EINVAL;
    }
    if (za_ref_is_named(ref)) {
        return remote_resolve(za_ctx_node(ctx), ref.actor, out);
    }
    *out = ref;
    return ZA_OK;
}

/** Copies what the request refers to behind it. */
static za_err_t fill_spawn(za_request_t *request, const za_class_t *class_,
                           const za_spawn_opts_t *opts, size_t name_bytes, size_t args_bytes)
{
    uint8_t *at = request->bytes;
    za_spawn_spec_t *spec = &request->spawn;
    *spec = (za_spawn_spec_t){
        .mailbox = opts->mailbox,
        .overflow = opts->overflow,
        .restart = opts->restart,
        .max_restarts = opts->max_restarts,
        .within_ms = opts->within_ms,
        .backoff_min_ms = opts->backoff_min_ms,
        .backoff_max_ms = opts->backoff_max_ms,
        .on_limit = opts->on_limit,
        .on_node_down = opts->on_node_down,
        .stash = opts->stash,
    };
    size_t class_bytes = strlen(class_->name) + 1;
    memcpy(at, class_->name, class_bytes);
    spec->class_name = (const char *)at;
    at += class_bytes;
    if (name_bytes > 0) {
        memcpy(at, opts->name, name_bytes);
        spec->name = (const char *)at;
        at += name_bytes;
    }
    if (opts->args_type != NULL) {
        size_t size = 0;
        za_err_t err = opts->args_type->encode(opts->args, at, args_bytes, &size);
        if (err != ZA_OK) {
            return err;
        }
        spec->args = at;
        spec->args_bytes = (uint32_t)size;
        spec->args_type_id = opts->args_type->id;
    }
    return ZA_OK;
}

/** What is wrong with the options themselves; else how many bytes the arguments take. */
static za_err_t check_spawn(const za_class_t *class_, const za_spawn_opts_t *opts,
                            size_t *args_bytes)
{
    if (class_ == NULL || class_->name == NULL || opts == NULL || opts->size != sizeof *opts ||
        opts->group != NULL || opts->worker != 0 || opts->dedicated || opts->fiber ||
        (opts->args_type != NULL && opts->args == NULL)) {
        return ZA_EINVAL;
    }
    if (strlen(class_->name) > ZA_CLASS_NAME_BYTES_MAX ||
        (opts->name != NULL && strlen(opts->name) > ZA_NAME_BYTES_MAX)) {
        return ZA_ETOOBIG;
    }
    *args_bytes = 0;
    if (opts->args_type == NULL) {
        return ZA_OK;
    }
    if (za_class_type(class_, opts->args_type->id) == NULL) {
        return ZA_ETYPE;
    }
    za_err_t err = opts->args_type->encoded_size(opts->args, args_bytes);
    return err == ZA_OK && *args_bytes > ZA_SPAWN_ARGS_BYTES_MAX ? ZA_ETOOBIG : err;
}

za_err_t za_spawn_on_with(za_ctx_t *ctx, uint64_t node_uid, const za_class_t *class_,
                          const za_spawn_opts_t *opts)
{
    size_t args_bytes = 0;
    za_err_t err = ctx == NULL ? ZA_EINVAL : check_spawn(class_, opts, &args_bytes);
    if (err != ZA_OK) {
        return err;
    }
    za_node_t *node = za_ctx_node(ctx);
    za_worker_t *worker = za_ctx_worker(ctx);
    uint64_t own = za_node_uid(node);
    if (node_uid == 0) {
        node_uid = own;
    }
    if (node_uid != own && za_peer_find(node, node_uid) == NULL) {
        return ZA_ENOROUTE;
    }
    size_t name_bytes = opts->name == NULL ? 0 : strlen(opts->name) + 1;
    za_request_t *request =
        za_request_create(node, worker, strlen(class_->name) + 1 + name_bytes + args_bytes, false);
    if (request == NULL) {
        return ZA_ENOBUFS;
    }
    err = fill_spawn(request, class_, opts, name_bytes, args_bytes);
    if (err != ZA_OK) {
        za_request_destroy(worker, request);
        return err;
    }
    uint64_t self = za_self(ctx).actor;
    request->spawn.parent = self;
    request->kind = ZA_REQUEST_EVENT;
    request->event = (za_cluster_event_t){
        .type = ZA_CLUSTER_SPAWN,
        // relaxed: only uniqueness counts.
        .id = atomic_fetch_add_explicit(&node->spawn_requests, 1, memory_order_relaxed) + 1,
        .actor = self,
        .uid = node_uid,
        .tag = opts->tag,
        .spawn = &request->spawn,
    };
    za_runtime_attach(worker, self);
    za_request_post(node, request);
    return ZA_OK;
}
