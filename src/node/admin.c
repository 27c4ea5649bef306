#include "node/admin.h"

#include <inttypes.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/pages.h"
#include "base/limits.h"
#include "cluster/member_texts.h"
#include "node/metrics.h"
#include "zactor/admin.pb.h"

static_assert(ZA_NODE_NAME_BYTES_MAX < sizeof(((za_AdminMember *)0)->node), "names fit");
static_assert(ZA_MEMBER_ROLES_BYTES_MAX < sizeof(((za_AdminMember *)0)->roles), "roles fit");
static_assert(ZA_MEMBER_META_BYTES_MAX <= sizeof(((za_AdminMember *)0)->meta.bytes), "meta fits");
static_assert(ZA_NAME_BYTES_MAX < sizeof(((za_AdminName *)0)->name), "names fit");
static_assert(za_AdminReply_size <= ZA_ADMIN_REPLY_BYTES_MAX, "a page of everything fits a reply");
static_assert(ZA_METRICS_PAGE_BYTES == sizeof(((za_AdminReply *)0)->metrics), "a page fits");
static_assert(za_AdminRequest_size <= ZA_ADMIN_REQUEST_BYTES_MAX, "a request fits its buffer");

struct za_admin {
    za_admin_view_t view;
    za_AdminRequest request;
    za_AdminReply reply; // 60 KiB with its bounded lists: too large for a stack
    za_metrics_room_t room;
};

/** One list being filled: visitors get it as their context. */
typedef struct page {
    za_admin_t *admin;
    const za_AdminPage *request;
    uint32_t limit;
    uint64_t now_ms;
    uint64_t own_uid;
    uint64_t skipped; // members of the group that the client has some of
} page_t;

za_err_t za_admin_create(const za_admin_view_t *view, za_admin_t **out)
{
    za_admin_t *admin = za_pages_alloc(sizeof(*admin));
    if (admin == NULL) {
        return ZA_ENOMEM;
    }
    admin->view = *view;
    *out = admin;
    return ZA_OK;
}

void za_admin_destroy(za_admin_t *admin)
{
    za_pages_free(admin, sizeof(*admin));
}

ZA_PRINTF(3, 4)
static void refuse(za_admin_t *admin, za_err_t err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    admin->reply.error = err;
    vsnprintf(admin->reply.text, sizeof(admin->reply.text), format, arguments);
    va_end(arguments);
}

#define COPY_TEXT(to, text) snprintf((to), sizeof(to), "%s", (text))

static uint32_t page_limit(const za_AdminPage *request, uint32_t limit_max)
{
    return request->limit == 0 || request->limit > limit_max ? limit_max : request->limit;
}

/* ---- lists --------------------------------------------------------------------------------- */

/** Whether the client has this member already: lists are sorted by (name, uid). */
static bool member_is_past(const page_t *page, const za_member_info_t *info)
{
    if (page->request->after[0] == '\0') {
        return false;
    }
    int order = strcmp(info->name, page->request->after);
    return order < 0 || (order == 0 && info->uid <= page->request->cursor);
}

static bool add_member(const za_member_info_t *info, void *context)
{
    page_t *page = context;
    za_AdminReply *reply = &page->admin->reply;
    if (member_is_past(page, info)) {
        return true;
    }
    if (reply->members_count == page->limit) {
        reply->more = true;
        return false;
    }
    za_AdminMember *member = &reply->members[reply->members_count++];
    COPY_TEXT(member->node, info->name);
    COPY_TEXT(member->state, za_member_state_name(info->state));
    COPY_TEXT(member->address, info->address);
    member->uid = info->uid;
    member->incarnation = info->incarnation;
    member->rtt_us = info->rtt_us;
    member->self = info->self;
    member->linked = info->linked;
    member->apart = info->apart;
    member->udp_degraded = info->udp_degraded;
    COPY_TEXT(member->roles, info->roles);
    member->meta.size = (pb_size_t)info->meta_bytes;
    if (info->meta_bytes > 0) { // else there is nothing to copy from
        memcpy(member->meta.bytes, info->meta, info->meta_bytes);
    }
    member->since_ms = page->now_ms > info->since_ms ? page->now_ms - info->since_ms : 0;
    return true;
}

static void serve_members(za_admin_t *admin)
{
    const za_AdminPage *request = &admin->request.verb.members;
    page_t page = { .admin = admin,
                    .request = request,
                    .limit = page_limit(request, sizeof(admin->reply.members) /
                                                     sizeof(admin->reply.members[0])),
                    .now_ms = admin->view.now_ms(admin->view.context) };
    admin->view.each_member(admin->view.context, add_member, &page);
}

static bool has_prefix(const page_t *page, const char *name)
{
    const char *prefix = page->request->prefix;
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static_assert(ZA_NAME_META_BYTES_MAX <= sizeof(((za_AdminName *)0)->meta.bytes), "meta fits");

static void put_meta(za_AdminName *entry, const uint8_t *meta, uint32_t meta_bytes)
{
    entry->meta.size = (pb_size_t)meta_bytes;
    if (meta_bytes > 0) { // else there is nothing to copy from
        memcpy(entry->meta.bytes, meta, meta_bytes);
    }
}

/** The line that is to be filled; NULL: the page is full. */
static za_AdminName *put_name(page_t *page, const char *name, za_ref_t ref)
{
    za_AdminReply *reply = &page->admin->reply;
    if (reply->names_count == page->limit) {
        reply->more = true;
        return NULL;
    }
    za_AdminName *entry = &reply->names[reply->names_count++];
    COPY_TEXT(entry->name, name);
    entry->node = ref.node != 0 ? ref.node : page->own_uid;
    entry->actor = ref.actor;
    return entry;
}

static bool add_name(const char *name, za_ref_t ref, void *context)
{
    page_t *page = context;
    const char *after = page->request->after;
    bool past = after[0] != '\0' && strcmp(name, after) <= 0;
    if (past || !has_prefix(page, name)) {
        return true;
    }
    za_AdminName *entry = put_name(page, name, ref);
    const za_admin_view_t *view = &page->admin->view;
    za_name_answer_t answer;
    if (entry != NULL && view->lookup(view->context, name, &answer) == ZA_OK) {
        put_meta(entry, answer.meta, answer.meta_bytes);
    }
    return entry != NULL;
}

/** Of a group the client has `cursor` members already: they are visited in one order while none changes. */
static bool add_group_member(const char *group, za_ref_t ref, const uint8_t *meta,
                             uint32_t meta_bytes, void *context)
{
    page_t *page = context;
    const char *after = page->request->after;
    int order = after[0] != '\0' ? strcmp(group, after) : 1;
    if (order < 0 || (order == 0 && page->skipped++ < page->request->cursor)) {
        return true;
    }
    if (!has_prefix(page, group)) {
        return true;
    }
    za_AdminName *entry = put_name(page, group, ref);
    if (entry != NULL) {
        put_meta(entry, meta, meta_bytes);
    }
    return entry != NULL;
}

/** Fills the nodes' names in: one pass over the members for the whole page. */
static bool name_nodes(const za_member_info_t *info, void *context)
{
    za_AdminReply *reply = context;
    for (pb_size_t i = 0; i < reply->names_count; i++) {
        if (reply->names[i].node == info->uid) {
            COPY_TEXT(reply->names[i].node_name, info->name);
        }
    }
    return true;
}

static page_t names_page(za_admin_t *admin, const za_AdminPage *request)
{
    za_admin_status_t status = { 0 };
    admin->view.status(admin->view.context, &status);
    return (page_t){ .admin = admin,
                     .request = request,
                     .limit = page_limit(request, sizeof(admin->reply.names) /
                                                      sizeof(admin->reply.names[0])),
                     .own_uid = status.uid };
}

static void serve_names(za_admin_t *admin)
{
    page_t page = names_page(admin, &admin->request.verb.names);
    admin->view.each_name(admin->view.context, add_name, &page);
    admin->view.each_member(admin->view.context, name_nodes, &admin->reply);
}

static void serve_groups(za_admin_t *admin)
{
    page_t page = names_page(admin, &admin->request.verb.groups);
    admin->view.each_group_member(admin->view.context, add_group_member, &page);
    admin->view.each_member(admin->view.context, name_nodes, &admin->reply);
}

static bool add_actor(const za_actor_info_t *info, void *context)
{
    page_t *page = context;
    za_AdminReply *reply = &page->admin->reply;
    if (reply->actors_count == page->limit) {
        reply->more = true;
        return false;
    }
    za_AdminActor *actor = &reply->actors[reply->actors_count++];
    COPY_TEXT(actor->class, info->class_name);
    actor->actor = info->ref.actor;
    actor->parent = info->parent.actor;
    actor->queued = info->queued;
    actor->mailbox_max = info->mailbox_max;
    actor->restarts = info->restarts;
    actor->handled = info->handled;
    return true;
}

static void serve_actors(za_admin_t *admin)
{
    const za_AdminPage *request = &admin->request.verb.actors;
    page_t page = { .admin = admin,
                    .request = request,
                    .limit = page_limit(request, sizeof(admin->reply.actors) /
                                                     sizeof(admin->reply.actors[0])) };
    uint64_t cursor = request->cursor;
    admin->view.each_actor(admin->view.context, &cursor, add_actor, &page);
    admin->reply.next_cursor = admin->reply.more ? cursor : 0;
}

/* ---- one thing ----------------------------------------------------------------------------- */

static bool count_member(const za_member_info_t *info, void *context)
{
    za_AdminStatus *status = context;
    status->members += info->state != ZA_MEMBER_LEFT && info->state != ZA_MEMBER_DOWN;
    status->members_up += info->state == ZA_MEMBER_UP;
    return true;
}

static bool count_name(const char *name, za_ref_t ref, void *context)
{
    (void)name;
    (void)ref;
    za_AdminStatus *status = context;
    status->names++;
    return true;
}

static bool add_counter(const char *name, uint64_t value, void *context)
{
    za_AdminStatus *status = context;
    if (status->counters_count == sizeof(status->counters) / sizeof(status->counters[0])) {
        return false;
    }
    za_AdminCounter *counter = &status->counters[status->counters_count++];
    COPY_TEXT(counter->name, name);
    counter->value = value;
    return true;
}

static void copy_downing(za_AdminStatus *status, const za_downing_info_t *downing, uint64_t now_ms)
{
    COPY_TEXT(status->downing, downing->text != NULL ? downing->text : "");
    COPY_TEXT(status->verdict, za_downing_verdict_name(downing->verdict));
    status->verdict_ms = now_ms > downing->since_ms ? now_ms - downing->since_ms : 0;
    status->counted = downing->stable;
    status->unreachable = downing->unreachable;
    status->gave_up = downing->fenced;
}

static void serve_status(za_admin_t *admin)
{
    const za_admin_view_t *view = &admin->view;
    za_admin_status_t now = { 0 };
    view->status(view->context, &now);
    za_AdminStatus *status = &admin->reply.status;
    admin->reply.has_status = true;
    COPY_TEXT(status->node, now.node);
    COPY_TEXT(status->cluster, now.cluster);
    COPY_TEXT(status->version, ZA_VERSION_TEXT);
    status->uid = now.uid;
    status->uptime_ms = now.uptime_ms;
    status->actors = now.actors;
    status->view_hash = now.view_hash;
    status->workers = now.workers;
    status->leaving = now.leaving;
    status->secure = now.secure;
    copy_downing(status, &now.downing, view->now_ms(view->context));
    view->each_member(view->context, count_member, status);
    view->each_name(view->context, count_name, status);
    view->each_counter(view->context, add_counter, status);
}

static void serve_metrics(za_admin_t *admin)
{
    uint64_t cursor = admin->request.verb.metrics.cursor;
    admin->reply.more = za_metrics_page(&admin->view, &admin->room, &cursor, admin->reply.metrics);
    admin->reply.next_cursor = admin->reply.more ? cursor : 0;
}

/** Looks a member up by name or uid; of several with one name the newest that is not gone. */
typedef struct search {
    const char *wanted;
    uint64_t uid; // if `wanted` is one, else 0
    bool found, by_uid;
    za_AdminPong pong;
} search_t;

static bool is_gone(const char *state)
{
    return strcmp(state, "down") == 0 || strcmp(state, "left") == 0;
}

static bool match_member(const za_member_info_t *info, void *context)
{
    search_t *search = context;
    bool by_uid = search->uid != 0 && info->uid == search->uid;
    bool by_name =
        strcmp(info->name, search->wanted) == 0 || (search->wanted[0] == '\0' && info->self);
    if (!by_uid && !by_name) {
        return true;
    }
    if (search->found && !by_uid && (search->by_uid || !is_gone(search->pong.state))) {
        return true;
    }
    search->found = true;
    search->by_uid = by_uid;
    COPY_TEXT(search->pong.node, info->name);
    COPY_TEXT(search->pong.state, za_member_state_name(info->state));
    search->pong.uid = info->uid;
    search->pong.rtt_us = info->self ? 0 : info->rtt_us;
    return true;
}

/** False, and the reply says so, if there is no such member. */
static bool find_member(za_admin_t *admin, const char *wanted, za_AdminPong *out)
{
    search_t search = { .wanted = wanted };
    char *end = NULL;
    uint64_t uid = strtoull(wanted, &end, 16);
    search.uid = wanted[0] != '\0' && *end == '\0' ? uid : 0;
    admin->view.each_member(admin->view.context, match_member, &search);
    if (!search.found) {
        refuse(admin, ZA_ENOENT, "no member is called %s", wanted);
        return false;
    }
    *out = search.pong;
    return true;
}

static void serve_ping(za_admin_t *admin)
{
    za_AdminReply *reply = &admin->reply;
    if (!find_member(admin, admin->request.verb.ping.node, &reply->pong)) {
        return;
    }
    reply->has_pong = true;
    if (strcmp(reply->pong.state, "up") != 0) {
        refuse(admin, ZA_ENOROUTE, "%s is %s", reply->pong.node, reply->pong.state);
    }
}

static void serve_leave(za_admin_t *admin)
{
    za_err_t err = admin->view.leave(admin->view.context);
    if (err != ZA_OK) {
        refuse(admin, err, "%s", za_err_text(err));
    }
}

static void serve_rotate_keys(za_admin_t *admin)
{
    za_err_t err = admin->view.rotate_keys(admin->view.context);
    if (err == ZA_ENOENT) {
        refuse(admin, err, "this node has no key for datagrams yet: ask again when it is a member");
    } else if (err != ZA_OK) {
        refuse(admin, err, "%s", za_err_text(err));
    }
}

static void serve_down(za_admin_t *admin)
{
    za_AdminPong found = { 0 };
    const char *wanted = admin->request.verb.down.node;
    if (wanted[0] == '\0') {
        refuse(admin, ZA_EINVAL, "which node is down?");
        return;
    }
    if (!find_member(admin, wanted, &found)) {
        return;
    }
    za_err_t err = admin->view.down(admin->view.context, found.node);
    if (err != ZA_OK) {
        refuse(admin, err, "%s: %s", found.node, za_err_text(err));
    }
}

/* ---- dispatch ------------------------------------------------------------------------------ */

typedef struct verb {
    pb_size_t tag;
    uint32_t roles; // one of them is needed
    void (*serve)(za_admin_t *admin);
} verb_t;

static const verb_t verbs[] = {
#define READ (ZA_ROLE_MEMBER | ZA_ROLE_CLIENT | ZA_ROLE_ADMIN)
    { za_AdminRequest_members_tag, READ, serve_members },
    { za_AdminRequest_status_tag, READ, serve_status },
    { za_AdminRequest_names_tag, READ, serve_names },
    { za_AdminRequest_groups_tag, READ, serve_groups },
    { za_AdminRequest_actors_tag, READ, serve_actors },
    { za_AdminRequest_ping_tag, READ, serve_ping },
    { za_AdminRequest_metrics_tag, READ, serve_metrics },
    { za_AdminRequest_leave_tag, ZA_ROLE_ADMIN, serve_leave },
    { za_AdminRequest_down_tag, ZA_ROLE_ADMIN, serve_down },
    { za_AdminRequest_rotate_keys_tag, ZA_ROLE_ADMIN, serve_rotate_keys },
#undef READ
};

static void dispatch(za_admin_t *admin, uint32_t roles)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (verbs[i].tag != admin->request.which_verb) {
            continue;
        }
        if ((roles & verbs[i].roles) == 0) {
            refuse(admin, ZA_EDENIED, "the certificate has no role that may do this");
            return;
        }
        verbs[i].serve(admin);
        return;
    }
    refuse(admin, ZA_EINVAL, "this node (%s) does not know the request", ZA_VERSION_TEXT);
}

za_err_t za_admin_serve(za_admin_t *admin, uint32_t roles, const uint8_t *request, size_t size,
                        uint8_t *reply, size_t capacity, size_t *reply_size)
{
    admin->request = (za_AdminRequest)za_AdminRequest_init_zero;
    memset(&admin->reply, 0, sizeof(admin->reply));
    pb_istream_t in = pb_istream_from_buffer(request, size);
    if (pb_decode(&in, za_AdminRequest_fields, &admin->request)) {
        dispatch(admin, roles);
    } else {
        refuse(admin, ZA_EPROTO, "the request cannot be read");
    }
    pb_ostream_t out = pb_ostream_from_buffer(reply, capacity);
    if (!pb_encode(&out, za_AdminReply_fields, &admin->reply)) {
        return ZA_ETOOBIG;
    }
    *reply_size = out.bytes_written;
    return ZA_OK;
}
