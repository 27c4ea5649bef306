#include "support/za_test.h"

#include <pb_decode.h>
#include <pb_encode.h>

#include "node/admin.h"
#include "zactor/admin.pb.h"

enum { MEMBERS = 150, NAMES = 200, ACTORS = 300 };

/** A node as the service sees it: counts are what differs between tests. */
typedef struct world {
    int members, names, actors;
    int leaves, rotations;
    bool keyless;
    char down[ZA_NODE_NAME_BYTES_MAX + 1];
} world_t;

static world_t world;
static za_admin_t *admin;
static za_AdminReply reply;

static uint64_t now_ms(void *context)
{
    (void)context;
    return 10000;
}

static void status(void *context, za_admin_status_t *out)
{
    (void)context;
    *out = (za_admin_status_t){ .node = "n000",
                                .cluster = "test",
                                .uid = 1000,
                                .uptime_ms = 5,
                                .actors = 7,
                                .workers = 2,
                                .secure = true,
                                .downing = { .text = "static_quorum 2",
                                             .verdict = ZA_DOWNING_DOWN_OTHERS,
                                             .since_ms = 100,
                                             .stable = 2,
                                             .unreachable = 1 } };
}

static void each_member(void *context, bool (*visit)(const za_member_info_t *, void *),
                        void *visitor)
{
    const world_t *now = context;
    for (int i = 0; i < now->members; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%03d", i / 2 * 2); // two uids to each name
        za_member_info_t info = { .uid = 1000 + (uint64_t)i,
                                  .name = name,
                                  .address = "127.0.0.1:1",
                                  .state = i % 2 == 0 ? ZA_MEMBER_UP : ZA_MEMBER_DOWN,
                                  .since_ms = 4000,
                                  .rtt_us = 77,
                                  .udp_degraded = i == 3,
                                  .self = i == 0 };
        if (!visit(&info, visitor)) {
            return;
        }
    }
}

static void each_name(void *context, bool (*visit)(const char *, za_ref_t, void *), void *visitor)
{
    const world_t *now = context;
    for (int i = 0; i < now->names; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%s/%03d", i < 100 ? "a" : "b", i);
        za_ref_t ref = { i % 2 == 0 ? 0 : 1002, (uint64_t)i + 1 };
        if (!visit(name, ref, visitor)) {
            return;
        }
    }
}

/** Beside each name stands the name. */
static za_err_t lookup(void *context, const char *name, za_name_answer_t *out)
{
    (void)context;
    *out = (za_name_answer_t){ .meta = (const uint8_t *)name, .meta_bytes = 5 };
    return ZA_OK;
}

/** 70 members of "a/crowd" and one of each "b/..". */
static void each_group_member(void *context, za_group_visit_t visit, void *visitor)
{
    const world_t *now = context;
    for (int i = 0; i < now->names; i++) {
        char group[16] = "a/crowd";
        if (i >= 70) {
            snprintf(group, sizeof(group), "b/%03d", i);
        }
        za_ref_t ref = { i % 2 == 0 ? 0 : 1002, (uint64_t)i + 1 };
        if (!visit(group, ref, NULL, 0, visitor)) {
            return;
        }
    }
}

static void each_actor(void *context, uint64_t *cursor,
                       bool (*visit)(const za_actor_info_t *, void *), void *visitor)
{
    const world_t *now = context;
    for (; *cursor < (uint64_t)now->actors; (*cursor)++) {
        za_actor_info_t info = { .ref = { 0, *cursor + 1 }, .class_name = "worker" };
        if (!visit(&info, visitor)) {
            return;
        }
    }
}

static void each_counter(void *context, bool (*visit)(const char *, uint64_t, void *),
                         void *visitor)
{
    (void)context;
    ZA_IGNORE(!visit("messages_in", 42, visitor));
}

static bool worker(void *context, uint32_t index, za_worker_metrics_t *out)
{
    (void)context;
    *out = (za_worker_metrics_t){ .handled = index };
    return index < 64;
}

static const char *class_name(void *context, uint32_t index)
{
    (void)context;
    return index == 0 ? "worker" : NULL;
}

static bool class_metrics(void *context, uint32_t index, za_class_metrics_t *out)
{
    memset(out, 0, sizeof(*out));
    out->name = class_name(context, index);
    return out->name != NULL;
}

static za_err_t leave(void *context)
{
    ((world_t *)context)->leaves++;
    return ZA_OK;
}

static za_err_t rotate_keys(void *context)
{
    world_t *w = context;
    w->rotations += w->keyless ? 0 : 1;
    return w->keyless ? ZA_ENOENT : ZA_OK;
}

static za_err_t down(void *context, const char *node)
{
    snprintf(((world_t *)context)->down, sizeof(world.down), "%s", node);
    return ZA_OK;
}

static void setup(void)
{
    world = (world_t){ .members = MEMBERS, .names = NAMES, .actors = ACTORS };
    za_admin_view_t view = { .context = &world,
                             .now_ms = now_ms,
                             .status = status,
                             .each_member = each_member,
                             .each_name = each_name,
                             .lookup = lookup,
                             .each_group_member = each_group_member,
                             .each_actor = each_actor,
                             .each_counter = each_counter,
                             .worker = worker,
                             .class_name = class_name,
                             .class_metrics = class_metrics,
                             .leave = leave,
                             .down = down,
                             .rotate_keys = rotate_keys };
    cr_assert(za_admin_create(&view, &admin) == ZA_OK);
}

static void teardown(void)
{
    za_admin_destroy(admin);
}

TestSuite(admin, .init = setup, .fini = teardown);

static void serve_bytes(uint32_t roles, const uint8_t *bytes, size_t size)
{
    static uint8_t out[ZA_ADMIN_REPLY_BYTES_MAX];
    size_t out_size = 0;
    cr_assert(za_admin_serve(admin, roles, bytes, size, out, sizeof(out), &out_size) == ZA_OK);
    memset(&reply, 0, sizeof(reply));
    pb_istream_t in = pb_istream_from_buffer(out, out_size);
    cr_assert(pb_decode(&in, za_AdminReply_fields, &reply), "%s", PB_GET_ERROR(&in));
}

static void serve(uint32_t roles, const za_AdminRequest *request)
{
    uint8_t bytes[ZA_ADMIN_REQUEST_BYTES_MAX];
    pb_ostream_t out = pb_ostream_from_buffer(bytes, sizeof(bytes));
    cr_assert(pb_encode(&out, za_AdminRequest_fields, request));
    serve_bytes(roles, bytes, out.bytes_written);
}

static void serve_node(pb_size_t verb, uint32_t roles, const char *node)
{
    za_AdminRequest request = { .which_verb = verb };
    snprintf(request.verb.ping.node, sizeof(request.verb.ping.node), "%s", node);
    serve(roles, &request);
}

Test(admin, pages_show_each_member_once)
{
    za_AdminRequest request = { .which_verb = za_AdminRequest_members_tag };
    int count = 0;
    do {
        serve(ZA_ROLE_CLIENT, &request);
        cr_assert(reply.error == ZA_OK && reply.members_count > 0);
        for (pb_size_t i = 0; i < reply.members_count; i++) {
            cr_assert(reply.members[i].udp_degraded == (count == 3));
            cr_assert(reply.members[i].uid == 1000 + (uint64_t)count++);
        }
        const za_AdminMember *last = &reply.members[reply.members_count - 1];
        snprintf(request.verb.members.after, sizeof(request.verb.members.after), "%s", last->node);
        request.verb.members.cursor = last->uid;
    } while (reply.more);
    cr_expect(count == MEMBERS, "%d", count);
}

Test(admin, a_limit_makes_smaller_pages)
{
    za_AdminRequest request = { .which_verb = za_AdminRequest_members_tag,
                                .verb.members.limit = 3 };
    serve(ZA_ROLE_CLIENT, &request);
    cr_expect(reply.members_count == 3 && reply.more);
    cr_expect(reply.members[0].since_ms == 6000);
}

Test(admin, metrics_come_in_pages)
{
    za_AdminRequest request = { .which_verb = za_AdminRequest_metrics_tag };
    static char text[128 * 1024];
    int pages = 0;
    do {
        serve(ZA_ROLE_CLIENT, &request);
        cr_assert(reply.error == ZA_OK && reply.metrics[0] != '\0');
        strncat(text, reply.metrics, sizeof(text) - strlen(text) - 1);
        request.verb.metrics.cursor = reply.next_cursor;
        pages++;
    } while (reply.more);
    cr_expect(pages > 1, "%d", pages);
    cr_expect(strstr(text, "\nzactor_messages_in_total 42\n") != NULL, "a counter");
    cr_expect(strstr(text, "\nzactor_worker_handled_total{worker=\"63\"} 63\n") != NULL);
    cr_expect(strstr(text, "\nzactor_class_queued_messages_count{class=\"worker\"} 0\n") != NULL);
}

Test(admin, names_of_a_prefix_with_their_nodes_and_meta)
{
    za_AdminRequest request = { .which_verb = za_AdminRequest_names_tag,
                                .verb.names.prefix = "b/" };
    int count = 0;
    do {
        serve(ZA_ROLE_CLIENT, &request);
        for (pb_size_t i = 0; i < reply.names_count; i++) {
            const za_AdminName *name = &reply.names[i];
            cr_assert(strncmp(name->name, "b/", 2) == 0);
            cr_assert_str_eq(name->node_name, count % 2 == 0 ? "n000" : "n002");
            cr_assert(name->meta.size == 5 && memcmp(name->meta.bytes, name->name, 5) == 0, "meta");
            count++;
        }
        snprintf(request.verb.names.after, sizeof(request.verb.names.after), "%s",
                 reply.names[reply.names_count - 1].name);
    } while (reply.more);
    cr_expect(count == NAMES - 100, "%d", count);
}

static uint64_t list_groups(const char *prefix)
{
    za_AdminRequest request = { .which_verb = za_AdminRequest_groups_tag };
    snprintf(request.verb.groups.prefix, sizeof(request.verb.groups.prefix), "%s", prefix);
    uint64_t sum = 0; // of the actors' numbers: none is missing, none is there twice
    do {
        serve(ZA_ROLE_CLIENT, &request);
        cr_assert(reply.error == ZA_OK && reply.names_count > 0);
        za_AdminPage *page = &request.verb.groups;
        for (pb_size_t i = 0; i < reply.names_count; i++) {
            const za_AdminName *member = &reply.names[i];
            cr_assert_str_eq(member->node_name, member->actor % 2 == 1 ? "n000" : "n002");
            bool same = strcmp(member->name, page->after) == 0;
            page->cursor = same ? page->cursor + 1 : 1;
            snprintf(page->after, sizeof(page->after), "%s", member->name);
            sum += member->actor;
        }
    } while (reply.more);
    return sum;
}

Test(admin, pages_show_each_member_of_a_group_once)
{
    cr_expect(list_groups("") == NAMES * (NAMES + 1) / 2, "all");
    cr_expect(list_groups("a/") == 70 * 71 / 2, "of a prefix");
    cr_expect(list_groups("b/199") == 200, "of a prefix");
}

Test(admin, actors_follow_the_cursor)
{
    za_AdminRequest request = { .which_verb = za_AdminRequest_actors_tag };
    int count = 0;
    do {
        serve(ZA_ROLE_CLIENT, &request);
        for (pb_size_t i = 0; i < reply.actors_count; i++) {
            cr_assert(reply.actors[i].actor == (uint64_t)++count);
        }
        request.verb.actors.cursor = reply.next_cursor;
    } while (reply.more);
    cr_expect(count == ACTORS, "%d", count);
}

Test(admin, status_counts)
{
    serve(ZA_ROLE_CLIENT, &(za_AdminRequest){ .which_verb = za_AdminRequest_status_tag });
    cr_assert(reply.has_status);
    cr_expect(reply.status.members == MEMBERS / 2 && reply.status.members_up == MEMBERS / 2,
              "those that are down are none");
    cr_expect(reply.status.names == NAMES);
    cr_expect(reply.status.counters_count == 1 && reply.status.counters[0].value == 42);
}

Test(admin, status_says_what_was_decided_on_the_last_split)
{
    serve(ZA_ROLE_CLIENT, &(za_AdminRequest){ .which_verb = za_AdminRequest_status_tag });
    cr_expect_str_eq(reply.status.downing, "static_quorum 2");
    cr_expect_str_eq(reply.status.verdict, "down_others");
    cr_expect(reply.status.verdict_ms == 9900 && reply.status.counted == 2);
    cr_expect(reply.status.unreachable == 1 && !reply.status.gave_up);
}

Test(admin, only_administrators_change_things)
{
    za_AdminRequest request = { .which_verb = za_AdminRequest_leave_tag };
    serve(ZA_ROLE_CLIENT | ZA_ROLE_MEMBER, &request);
    cr_expect(reply.error == ZA_EDENIED && world.leaves == 0);
    serve_node(za_AdminRequest_down_tag, ZA_ROLE_CLIENT, "n002");
    cr_expect(reply.error == ZA_EDENIED && world.down[0] == '\0');
    serve(ZA_ROLE_ADMIN, &request);
    cr_expect(reply.error == ZA_OK && world.leaves == 1);
    serve_node(za_AdminRequest_down_tag, ZA_ROLE_ADMIN, "n002");
    cr_expect(reply.error == ZA_OK);
    cr_expect_str_eq(world.down, "n002");
}

Test(admin, rotates_keys_for_an_administrator_of_a_node_that_has_one)
{
    za_AdminRequest request = { .which_verb = za_AdminRequest_rotate_keys_tag };
    serve(ZA_ROLE_CLIENT | ZA_ROLE_MEMBER, &request);
    cr_expect(reply.error == ZA_EDENIED && world.rotations == 0);
    serve(ZA_ROLE_ADMIN, &request);
    cr_expect(reply.error == ZA_OK && world.rotations == 1);
    world.keyless = true;
    serve(ZA_ROLE_ADMIN, &request);
    cr_expect(reply.error == ZA_ENOENT && strstr(reply.text, "no key") != NULL);
}

Test(admin, without_a_role_nothing_is_read)
{
    serve(0, &(za_AdminRequest){ .which_verb = za_AdminRequest_status_tag });
    cr_expect(reply.error == ZA_EDENIED && !reply.has_status);
}

Test(admin, pings_by_name_and_by_uid)
{
    serve_node(za_AdminRequest_ping_tag, ZA_ROLE_CLIENT, "");
    cr_expect(reply.error == ZA_OK && reply.pong.uid == 1000, "%s", reply.text);
    serve_node(za_AdminRequest_ping_tag, ZA_ROLE_CLIENT, "n002"); // of its two uids the live one
    cr_expect(reply.error == ZA_OK && reply.pong.uid == 1002 && reply.pong.rtt_us == 77);
    serve_node(za_AdminRequest_ping_tag, ZA_ROLE_CLIENT, "3eb"); // 1003: down
    cr_expect(reply.error == ZA_ENOROUTE && reply.pong.uid == 1003, "%s", reply.text);
    serve_node(za_AdminRequest_ping_tag, ZA_ROLE_CLIENT, "nobody");
    cr_expect(reply.error == ZA_ENOENT && !reply.has_pong);
}

Test(admin, answers_what_it_cannot_read)
{
    serve_bytes(ZA_ROLE_ADMIN, (const uint8_t *)"\xff\xff\xff", 3);
    cr_expect(reply.error == ZA_EPROTO);
    serve_bytes(ZA_ROLE_ADMIN, NULL, 0);
    cr_expect(reply.error == ZA_EINVAL, "no verb: %d", reply.error);
}

Test(admin, says_when_the_reply_has_no_room)
{
    uint8_t request[] = { 0x12, 0x00 }; // status
    uint8_t out[8];
    size_t size = 99;
    cr_assert(za_admin_serve(admin, ZA_ROLE_CLIENT, request, sizeof(request), out, sizeof(out),
                             &size) == ZA_ETOOBIG);
    cr_expect(size == 99);
}
