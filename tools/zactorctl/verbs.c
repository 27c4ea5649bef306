#include <inttypes.h>
#include <pb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <zactor/ref.h>

#include "node/admin_client.h"
#include "zactor/admin.pb.h"
#include "zactorctl.h"

enum { PROBLEM_BYTES = 512, UID_TEXT_BYTES = 17, NAME_WIDTH = 24 };

#define SOCKET_DEFAULT "/run/zactor/zactor.sock"

status_t status_of(za_err_t err)
{
    switch (err) {
    case ZA_OK:
        return STATUS_OK;
    case ZA_EINVAL:
    case ZA_ECONFIG:
    case ZA_EEXIST:
        return STATUS_USAGE;
    case ZA_EDENIED:
    case ZA_EAUTH:
    case ZA_ECLUSTER:
        return STATUS_DENIED;
    case ZA_ETIMEOUT:
        return STATUS_TIMEOUT;
    case ZA_EREFUSED:
    case ZA_ECLOSED:
    case ZA_EIO:
    case ZA_EPROTO:
    case ZA_EVERSION:
        return STATUS_UNREACHABLE;
    default:
        return STATUS_NO;
    }
}

/* ---- asking -------------------------------------------------------------------------------- */

/** One connection and its last reply, which is too large for a stack. */
typedef struct call {
    za_admin_client_t *client;
    za_AdminRequest request;
    za_AdminReply reply;
} call_t;

static void call_end(call_t *call)
{
    if (call != NULL) {
        za_admin_client_destroy(call->client);
        free(call);
    }
}

static status_t call_begin(const options_t *options, call_t **out)
{
    const char *socket = options->socket;
    if (socket == NULL && options->address == NULL) {
        socket = SOCKET_DEFAULT;
    }
    if (socket == NULL &&
        (options->ca == NULL || options->certificate == NULL || options->key == NULL)) {
        return say(STATUS_USAGE, "--addr needs --ca, --cert and --key "
                                 "(or ZACTOR_CACERT, ZACTOR_CERT, ZACTOR_KEY)");
    }
    call_t *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        return say(STATUS_NO, "out of memory");
    }
    za_admin_client_config_t config = { .socket = socket,
                                        .address = options->address,
                                        .ca = options->ca,
                                        .certificate = options->certificate,
                                        .key = options->key,
                                        .timeout_ms = options->timeout_ms };
    char problem[PROBLEM_BYTES] = "";
    za_err_t err = za_admin_client_connect(&config, &call->client, problem, sizeof(problem));
    if (err != ZA_OK) {
        free(call);
        return say(status_of(err), "%s", problem);
    }
    *out = call;
    return STATUS_OK;
}

/** Sends call->request; the reply is in call->reply also if it is an error. */
static status_t call_once(const options_t *options, call_t *call)
{
    (void)options;
    char problem[PROBLEM_BYTES] = "";
    za_err_t err =
        za_admin_client_call(call->client, &call->request, &call->reply, problem, sizeof(problem));
    if (err != ZA_OK) {
        return say(status_of(err), "%s", problem);
    }
    if (call->reply.error != ZA_OK) {
        za_err_t answer = (za_err_t)call->reply.error;
        status_t status = answer == ZA_EDENIED  ? STATUS_DENIED
                          : answer == ZA_EINVAL ? STATUS_USAGE
                                                : STATUS_NO;
        return say(status, "%s", call->reply.text);
    }
    return STATUS_OK;
}

/** A request without parameters, or with one in `request`; the call is the caller's to end. */
static status_t ask(const options_t *options, const za_AdminRequest *request, call_t **out)
{
    call_t *call = NULL;
    status_t status = call_begin(options, &call);
    if (status != STATUS_OK) {
        return status;
    }
    call->request = *request;
    status = call_once(options, call);
    *out = call;
    return status;
}

/**
 * Asks for page after page until the list is over: `take` appends a reply's items to `rows` and
 * makes the request ask for what follows.
 */
static status_t ask_list(const options_t *options, const za_AdminRequest *request, json_t *rows,
                         void (*take)(call_t *call, json_t *rows))
{
    call_t *call = NULL;
    status_t status = ask(options, request, &call);
    while (status == STATUS_OK) {
        za_AdminRequest before = call->request;
        take(call, rows);
        if (!call->reply.more) {
            break;
        }
        if (memcmp(&before, &call->request, sizeof(before)) == 0) {
            status = say(STATUS_UNREACHABLE, "the node's list has no end");
            break;
        }
        status = call_once(options, call);
    }
    call_end(call);
    return status;
}

static status_t want_arguments(int argc, char **argv, int least, int most, const char *usage)
{
    if (argc - 1 < least || argc - 1 > most) {
        return say(STATUS_USAGE, "usage: zactorctl %s %s", argv[0], usage);
    }
    return STATUS_OK;
}

static const char *uid_text(uint64_t uid, char out[UID_TEXT_BYTES])
{
    snprintf(out, UID_TEXT_BYTES, "%016" PRIx64, uid);
    return out;
}

/* ---- members ------------------------------------------------------------------------------- */

static const column_t member_columns[] = { { "NODE", "node", false, NULL },
                                           { "ADDRESS", "address", false, NULL },
                                           { "STATE", "state", false, NULL },
                                           { "SINCE", "since_ms", false, format_duration_ms },
                                           { "RTT", "rtt_us", false, format_duration_us },
                                           { "SELF", "self", true, format_yes },
                                           { "LINK", "link", true, NULL },
                                           { "UDP", "udp", true, NULL },
                                           { "ROLES", "roles", true, NULL },
                                           { "UID", "uid", true, NULL },
                                           { "INCARNATION", "incarnation", true, NULL },
                                           { NULL, NULL, false, NULL } };

/** The node's connection to it: there, or not wanted, or wanted in vain. */
static const char *link_text(const za_AdminMember *member)
{
    return member->self ? "" : member->linked ? "up" : member->apart ? "apart" : "none";
}

/** Text as it is, other bytes in hexadecimal behind 0x. */
static json_t *meta_text(const uint8_t *meta, pb_size_t size)
{
    bool has_nul = memchr(meta, '\0', size) != NULL; // some refuse \u0000
    json_t *text = has_nul ? NULL : json_stringn((const char *)meta, size);
    if (text != NULL) {
        return text;
    }
    char digits[2 + 2 * sizeof(((za_AdminMember *)0)->meta.bytes) + 1] = "0x";
    for (pb_size_t i = 0; i < size; i++) {
        snprintf(digits + 2 + (size_t)2 * i, 3, "%02x", meta[i]);
    }
    return json_string(digits);
}

static void take_members(call_t *call, json_t *rows)
{
    const za_AdminReply *reply = &call->reply;
    for (pb_size_t i = 0; i < reply->members_count; i++) {
        const za_AdminMember *member = &reply->members[i];
        char uid[UID_TEXT_BYTES];
        json_array_append_new(
            rows,
            json_pack("{s:o,s:o,s:o,s:I,s:I,s:b,s:s,s:s,s:o,s:o,s:s,s:I}", "node",
                      json_of(member->node), "address", json_of(member->address), "state",
                      json_of(member->state), "since_ms", (json_int_t)member->since_ms, "rtt_us",
                      (json_int_t)member->rtt_us, "self", (int)member->self, "link",
                      link_text(member), "udp", member->udp_degraded ? "degraded" : "", "roles",
                      json_of(member->roles), "meta",
                      meta_text(member->meta.bytes, member->meta.size), "uid",
                      uid_text(member->uid, uid), "incarnation", (json_int_t)member->incarnation));
    }
    if (reply->members_count > 0) {
        const za_AdminMember *last = &reply->members[reply->members_count - 1];
        za_AdminPage *page = &call->request.verb.members;
        snprintf(page->after, sizeof(page->after), "%s", last->node);
        page->cursor = last->uid;
    }
}

static bool is_gone(const json_t *member)
{
    const char *state = json_string_value(json_object_get(member, "state"));
    return strcmp(state, "down") == 0 || strcmp(state, "left") == 0;
}

/** A former process start of a node that has a later one: history, which -o wide and JSON show. */
static bool is_former(const json_t *members, size_t at)
{
    const json_t *member = json_array_get(members, at);
    const char *node = json_string_value(json_object_get(member, "node"));
    json_int_t since_ms = json_integer_value(json_object_get(member, "since_ms"));
    size_t index = 0;
    const json_t *other = NULL;
    json_array_foreach(members, index, other)
    {
        if (index != at && strcmp(json_string_value(json_object_get(other, "node")), node) == 0 &&
            (!is_gone(other) ||
             json_integer_value(json_object_get(other, "since_ms")) < since_ms)) {
            return is_gone(member);
        }
    }
    return false;
}

static json_t *without_former(json_t *members)
{
    json_t *present = json_array();
    for (size_t i = 0; i < json_array_size(members); i++) {
        if (!is_former(members, i)) {
            json_array_append(present, json_array_get(members, i));
        }
    }
    json_decref(members);
    return present;
}

status_t verb_members(const options_t *options, int argc, char **argv)
{
    status_t status = want_arguments(argc, argv, 0, 0, "");
    if (status != STATUS_OK) {
        return status;
    }
    json_t *rows = json_array();
    status = ask_list(options, &(za_AdminRequest){ .which_verb = za_AdminRequest_members_tag },
                      rows, take_members);
    if (status != STATUS_OK) {
        json_decref(rows);
        return status;
    }
    if (options->form == FORM_TABLE || options->form == FORM_NAME) {
        rows = without_former(rows);
    }
    print_rows(options, "members", member_columns, rows);
    return STATUS_OK;
}

/* ---- status -------------------------------------------------------------------------------- */

static const column_t status_columns[] = { { "node", "node", false, NULL },
                                           { "uid", "uid", true, NULL },
                                           { "cluster", "cluster", false, NULL },
                                           { "health", "health", false, NULL },
                                           { "members up", "members_up", false, NULL },
                                           { "members", "members", false, NULL },
                                           { "actors", "actors", false, NULL },
                                           { "names", "names", false, NULL },
                                           { "workers", "workers", false, NULL },
                                           { "uptime", "uptime_ms", false, format_duration_ms },
                                           { "tls", "secure", false, format_yes },
                                           { "view", "view", true, NULL },
                                           { "downing", "downing", false, NULL },
                                           { "verdict", "verdict", true, NULL },
                                           { "verdict age", "verdict_ms", true,
                                             format_duration_ms },
                                           { "version", "version", false, NULL },
                                           { NULL, NULL, false, NULL } };

/** Whether the node that answers is no member: it has not found others yet, or they refuse it. */
static bool is_joining(const json_t *members)
{
    size_t index = 0;
    const json_t *member = NULL;
    json_array_foreach(members, index, member)
    {
        const char *state = json_string_value(json_object_get(member, "state"));
        if (json_is_true(json_object_get(member, "self")) && strcmp(state, "joining") == 0) {
            return true;
        }
    }
    return false;
}

/** Members that should be there and are not: left and down ones are gone on purpose or for good. */
static bool has_trouble(const json_t *members)
{
    size_t index = 0;
    const json_t *member = NULL;
    json_array_foreach(members, index, member)
    {
        const char *state = json_string_value(json_object_get(member, "state"));
        const char *link = json_string_value(json_object_get(member, "link"));
        if (strcmp(state, "suspect") == 0 || strcmp(state, "unreachable") == 0 ||
            strcmp(link, "apart") == 0) {
            return true;
        }
    }
    return false;
}

static json_t *status_object(const za_AdminStatus *now, const char *health)
{
    char uid[UID_TEXT_BYTES];
    char view[UID_TEXT_BYTES];
    json_t *counters = json_object();
    for (pb_size_t i = 0; i < now->counters_count; i++) {
        json_object_set_new(counters, now->counters[i].name,
                            json_integer((json_int_t)now->counters[i].value));
    }
    json_t *split =
        json_pack("{s:o,s:o,s:I,s:I,s:I,s:b}", "downing", json_of(now->downing), "verdict",
                  json_of(now->verdict), "verdict_ms", (json_int_t)now->verdict_ms, "counted",
                  (json_int_t)now->counted, "unreachable", (json_int_t)now->unreachable, "gave_up",
                  (int)now->gave_up);
    json_t *status =
        json_pack("{s:o,s:s,s:o,s:s,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:s,s:o}", "node",
                  json_of(now->node), "uid", uid_text(now->uid, uid), "cluster",
                  json_of(now->cluster), "health", health, "version", json_of(now->version),
                  "uptime_ms", (json_int_t)now->uptime_ms, "members", (json_int_t)now->members,
                  "members_up", (json_int_t)now->members_up, "actors", (json_int_t)now->actors,
                  "names", (json_int_t)now->names, "workers", (json_int_t)now->workers, "secure",
                  (int)now->secure, "view", uid_text(now->view_hash, view), "counters", counters);
    json_object_update(status, split);
    json_decref(split);
    return status;
}

static void print_counters(const za_AdminStatus *now)
{
    for (pb_size_t i = 0; i < now->counters_count; i++) {
        const char *name = now->counters[i].name;
        size_t width = strlen(name);
        printf("  ");
        print_lines(name);
        printf("%*s %" PRIu64 "\n", width < NAME_WIDTH ? (int)(NAME_WIDTH - width) : 0, "",
               now->counters[i].value);
    }
}

status_t verb_status(const options_t *options, int argc, char **argv)
{
    status_t status = want_arguments(argc, argv, 0, 0, "");
    if (status != STATUS_OK) {
        return status;
    }
    json_t *members = json_array();
    status = ask_list(options, &(za_AdminRequest){ .which_verb = za_AdminRequest_members_tag },
                      members, take_members);
    bool trouble = status == STATUS_OK && has_trouble(members);
    bool joining = status == STATUS_OK && is_joining(members);
    json_decref(members);
    if (status != STATUS_OK) {
        return status;
    }
    call_t *call = NULL;
    status = ask(options, &(za_AdminRequest){ .which_verb = za_AdminRequest_status_tag }, &call);
    if (status == STATUS_OK) {
        const za_AdminStatus *now = &call->reply.status;
        trouble = trouble || now->gave_up;
        const char *health = now->leaving ? "leaving"
                             : joining    ? "joining"
                             : trouble    ? "degraded"
                                          : "ok";
        print_object(options, now->node, status_columns, status_object(now, health));
        if (options->form == FORM_WIDE) {
            print_counters(now);
        }
        status = trouble || joining || now->leaving ? STATUS_NO : STATUS_OK;
    }
    call_end(call);
    return status;
}

/* ---- names and actors ---------------------------------------------------------------------- */

static const column_t name_columns[] = { { "NAME", "name", false, NULL },
                                         { "NODE", "node", false, NULL },
                                         { "META", "meta", true, NULL },
                                         { "REFERENCE", "ref", true, NULL },
                                         { NULL, NULL, false, NULL } };

static void add_names(const call_t *call, const char *what, json_t *rows)
{
    const za_AdminReply *reply = &call->reply;
    for (pb_size_t i = 0; i < reply->names_count; i++) {
        const za_AdminName *name = &reply->names[i];
        char ref[ZA_REF_TEXT_BYTES];
        json_array_append_new(rows,
                              json_pack("{s:o,s:o,s:o,s:s}", what, json_of(name->name), "node",
                                        json_of(name->node_name), "meta",
                                        meta_text(name->meta.bytes, name->meta.size), "ref",
                                        za_ref_format((za_ref_t){ name->node, name->actor }, ref)));
    }
}

static void take_names(call_t *call, json_t *rows)
{
    const za_AdminReply *reply = &call->reply;
    add_names(call, "name", rows);
    if (reply->names_count > 0) {
        za_AdminPage *page = &call->request.verb.names;
        snprintf(page->after, sizeof(page->after), "%s", reply->names[reply->names_count - 1].name);
    }
}

static void take_groups(call_t *call, json_t *rows)
{
    const za_AdminReply *reply = &call->reply;
    za_AdminPage *page = &call->request.verb.groups;
    add_names(call, "group", rows);
    for (pb_size_t i = 0; i < reply->names_count; i++) {
        bool same = strcmp(page->after, reply->names[i].name) == 0;
        page->cursor = same ? page->cursor + 1 : 1;
        snprintf(page->after, sizeof(page->after), "%s", reply->names[i].name);
    }
}

/** Lists what begins with the argument, if there is one. */
static status_t list_prefix(const options_t *options, int argc, char **argv, pb_size_t tag,
                            void (*take)(call_t *call, json_t *rows), const char *title,
                            const column_t *columns)
{
    status_t status = want_arguments(argc, argv, 0, 1, "[PREFIX]");
    if (status != STATUS_OK) {
        return status;
    }
    za_AdminRequest request = { .which_verb = tag };
    za_AdminPage *page = tag == za_AdminRequest_names_tag ? &request.verb.names //
                                                          : &request.verb.groups;
    if (argc > 1) {
        if (strlen(argv[1]) >= sizeof(page->prefix)) {
            return say(STATUS_USAGE, "no name is that long");
        }
        snprintf(page->prefix, sizeof(page->prefix), "%s", argv[1]);
    }
    json_t *rows = json_array();
    status = ask_list(options, &request, rows, take);
    if (status != STATUS_OK) {
        json_decref(rows);
        return status;
    }
    print_rows(options, title, columns, rows);
    return STATUS_OK;
}

status_t verb_names(const options_t *options, int argc, char **argv)
{
    return list_prefix(options, argc, argv, za_AdminRequest_names_tag, take_names, "names",
                       name_columns);
}

static const column_t group_columns[] = { { "GROUP", "group", false, NULL },
                                          { "NODE", "node", false, NULL },
                                          { "META", "meta", true, NULL },
                                          { "REFERENCE", "ref", false, NULL },
                                          { NULL, NULL, false, NULL } };

status_t verb_groups(const options_t *options, int argc, char **argv)
{
    return list_prefix(options, argc, argv, za_AdminRequest_groups_tag, take_groups, "groups",
                       group_columns);
}

static const column_t actor_columns[] = {
    { "ACTOR", "ref", false, NULL },       { "CLASS", "class", false, NULL },
    { "QUEUED", "queued", false, NULL },   { "MAILBOX", "mailbox_max", true, NULL },
    { "HANDLED", "handled", false, NULL }, { "RESTARTS", "restarts", false, NULL },
    { "PARENT", "parent", true, NULL },    { NULL, NULL, false, NULL }
};

static void take_actors(call_t *call, json_t *rows)
{
    const za_AdminReply *reply = &call->reply;
    for (pb_size_t i = 0; i < reply->actors_count; i++) {
        const za_AdminActor *actor = &reply->actors[i];
        char ref[ZA_REF_TEXT_BYTES];
        char parent[ZA_REF_TEXT_BYTES] = "";
        if (actor->parent != 0) {
            za_ref_format((za_ref_t){ 0, actor->parent }, parent);
        }
        json_array_append_new(
            rows, json_pack("{s:s,s:s,s:o,s:I,s:I,s:I,s:I}", "ref",
                            za_ref_format((za_ref_t){ 0, actor->actor }, ref), "parent", parent,
                            "class", json_of(actor->class), "queued", (json_int_t)actor->queued,
                            "mailbox_max", (json_int_t)actor->mailbox_max, "restarts",
                            (json_int_t)actor->restarts, "handled", (json_int_t)actor->handled));
    }
    call->request.verb.actors.cursor = reply->next_cursor;
}

status_t verb_actors(const options_t *options, int argc, char **argv)
{
    status_t status = want_arguments(argc, argv, 0, 0, "");
    if (status != STATUS_OK) {
        return status;
    }
    json_t *rows = json_array();
    status = ask_list(options, &(za_AdminRequest){ .which_verb = za_AdminRequest_actors_tag }, rows,
                      take_actors);
    if (status != STATUS_OK) {
        json_decref(rows);
        return status;
    }
    print_rows(options, "actors", actor_columns, rows);
    return STATUS_OK;
}

/* ---- metrics ------------------------------------------------------------------------------- */

static const column_t metric_columns[] = { { "METRIC", "metric", false, NULL },
                                           { "LABELS", "labels", false, NULL },
                                           { "VALUE", "value", false, NULL },
                                           { NULL, NULL, false, NULL } };

/** The samples of a page: lines `name{labels} value` or `name value`; the others are comments. */
static void take_samples(char *page, json_t *rows)
{
    for (char *line = strtok(page, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *value = strrchr(line, ' ');
        if (line[0] == '#' || value == NULL) {
            continue;
        }
        *value++ = '\0';
        char *labels = line + strcspn(line, "{");
        if (*labels == '{') {
            *labels++ = '\0';
            char *end = strrchr(labels, '}'); // not the first: a label's value may have one
            *(end != NULL ? end : labels) = '\0';
        }
        json_array_append_new(rows, json_pack("{s:o,s:o,s:o}", "metric", json_of(line), "labels",
                                              json_of(labels), "value", json_of(value)));
    }
}

static void take_metrics(call_t *call, json_t *rows)
{
    take_samples(call->reply.metrics, rows);
    call->request.verb.metrics.cursor = call->reply.next_cursor;
}

static void print_metrics(call_t *call, json_t *rows)
{
    (void)rows;
    print_lines(call->reply.metrics);
    call->request.verb.metrics.cursor = call->reply.next_cursor;
}

status_t verb_metrics(const options_t *options, int argc, char **argv)
{
    status_t status = want_arguments(argc, argv, 0, 0, "");
    if (status != STATUS_OK) {
        return status;
    }
    bool as_text = options->form == FORM_TABLE || options->form == FORM_WIDE;
    json_t *rows = json_array();
    status = ask_list(options, &(za_AdminRequest){ .which_verb = za_AdminRequest_metrics_tag },
                      rows, as_text ? print_metrics : take_metrics);
    if (status == STATUS_OK && !as_text) {
        print_rows(options, "metrics", metric_columns, rows);
        return STATUS_OK;
    }
    json_decref(rows);
    return status;
}

/* ---- leave, down, rotate, ping ------------------------------------------------------------- */

static const column_t done_columns[] = { { "node", "node", false, NULL },
                                         { "action", "action", false, NULL },
                                         { "done", "done", false, format_yes },
                                         { NULL, NULL, false, NULL } };

static void print_done(const options_t *options, const char *node, const char *action, bool done)
{
    print_object(options, node, done_columns,
                 json_pack("{s:s,s:s,s:b}", "node", node, "action", action, "done", (int)done));
}

/** What changes something: asked for first, and with --dry-run not done. */
static status_t change(const options_t *options, const za_AdminRequest *request, const char *node,
                       const char *action, const char *consequence)
{
    if (options->dry_run) {
        print_done(options, node, action, false);
        return STATUS_OK;
    }
    if (!confirm(options, "%s", consequence)) {
        return say(STATUS_NO, "nothing was done");
    }
    call_t *call = NULL;
    status_t status = ask(options, request, &call);
    call_end(call);
    if (status == STATUS_OK) {
        print_done(options, node, action, true);
    }
    return status;
}

status_t verb_leave(const options_t *options, int argc, char **argv)
{
    status_t status = want_arguments(argc, argv, 0, 0, "");
    if (status != STATUS_OK) {
        return status;
    }
    const char *node =
        options->socket != NULL || options->address == NULL ? "local" : options->address;
    return change(options, &(za_AdminRequest){ .which_verb = za_AdminRequest_leave_tag }, node,
                  "leave", "The node drains, leaves the cluster and stops its actors. Go on?");
}

status_t verb_rotate(const options_t *options, int argc, char **argv)
{
    status_t status = want_arguments(argc, argv, 0, 0, "");
    if (status != STATUS_OK) {
        return status;
    }
    return change(options, &(za_AdminRequest){ .which_verb = za_AdminRequest_rotate_keys_tag },
                  "cluster", "rotate",
                  "All members get another key for their datagrams; the present one is forgotten "
                  "after some minutes. Go on?");
}

static status_t set_node(za_AdminNode *out, const char *node)
{
    if (strlen(node) >= sizeof(out->node)) {
        return say(STATUS_USAGE, "no node has a name that long");
    }
    snprintf(out->node, sizeof(out->node), "%s", node);
    return STATUS_OK;
}

status_t verb_down(const options_t *options, int argc, char **argv)
{
    status_t status = want_arguments(argc, argv, 1, 1, "NODE");
    if (status != STATUS_OK) {
        return status;
    }
    za_AdminRequest request = { .which_verb = za_AdminRequest_down_tag };
    status = set_node(&request.verb.down, argv[1]);
    if (status != STATUS_OK) {
        return status;
    }
    char consequence[256];
    snprintf(consequence, sizeof(consequence),
             "%.64s is declared down for good and its work starts again elsewhere. Go on?",
             argv[1]);
    return change(options, &request, argv[1], "down", consequence);
}

static const column_t pong_columns[] = { { "node", "node", false, NULL },
                                         { "state", "state", false, NULL },
                                         { "answer", "answer_us", false, format_duration_us },
                                         { "rtt", "rtt_us", false, format_duration_us },
                                         { "uid", "uid", true, NULL },
                                         { NULL, NULL, false, NULL } };

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/** `answer` is our round trip to the node we ask; `rtt` that of its failure detector to the target. */
status_t verb_ping(const options_t *options, int argc, char **argv)
{
    status_t status = want_arguments(argc, argv, 0, 1, "[NODE]");
    if (status != STATUS_OK) {
        return status;
    }
    za_AdminRequest request = { .which_verb = za_AdminRequest_ping_tag };
    if (argc > 1) {
        status = set_node(&request.verb.ping, argv[1]);
    }
    call_t *call = NULL;
    if (status == STATUS_OK) {
        status = call_begin(options, &call);
    }
    if (status != STATUS_OK) {
        return status;
    }
    call->request = request;
    uint64_t begin = now_us();
    status = call_once(options, call);
    uint64_t answer_us = now_us() - begin;
    if (call->reply.has_pong) {
        const za_AdminPong *pong = &call->reply.pong;
        char uid[UID_TEXT_BYTES];
        print_object(options, pong->node, pong_columns,
                     json_pack("{s:s,s:s,s:I,s:I,s:s}", "node", pong->node, "state", pong->state,
                               "answer_us", (json_int_t)answer_us, "rtt_us",
                               (json_int_t)pong->rtt_us, "uid", uid_text(pong->uid, uid)));
    }
    call_end(call);
    return status;
}
