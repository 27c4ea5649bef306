/** Requests of operators, which any authenticated client may send: whatever they are, they are answered. */
#include <stdlib.h>
#include <string.h>

#include "node/admin.h"

static uint64_t now_ms(void *context)
{
    (void)context;
    return 1000;
}

static void status(void *context, za_admin_status_t *out)
{
    (void)context;
    *out = (za_admin_status_t){ .node = "n", .cluster = "c", .uid = 1 };
}

static void each_member(void *context, bool (*visit)(const za_member_info_t *info, void *visitor),
                        void *visitor)
{
    (void)context;
    static const char *const names[] = { "a", "b", "b", "c" };
    for (uint64_t i = 0; i < 4; i++) {
        za_member_info_t info = {
            .uid = i + 1, .name = names[i], .address = "h:1", .self = i == 0
        };
        if (!visit(&info, visitor)) {
            return;
        }
    }
}

static void each_name(void *context, bool (*visit)(const char *name, za_ref_t ref, void *visitor),
                      void *visitor)
{
    (void)context;
    if (visit("a/1", (za_ref_t){ 0, 1 }, visitor)) {
        visit("b/1", (za_ref_t){ 2, 1 }, visitor);
    }
}

static za_err_t lookup(void *context, const char *name, za_name_answer_t *out)
{
    (void)context;
    *out = (za_name_answer_t){ .meta = (const uint8_t *)name, .meta_bytes = 3 };
    return ZA_OK;
}

static void each_group_member(void *context, za_group_visit_t visit, void *visitor)
{
    (void)context;
    for (uint64_t i = 1; i <= 100; i++) {
        if (!visit(i <= 60 ? "a" : "b", (za_ref_t){ i % 3, i }, NULL, 0, visitor)) {
            return;
        }
    }
}

static void each_actor(void *context, uint64_t *cursor,
                       bool (*visit)(const za_actor_info_t *info, void *visitor), void *visitor)
{
    (void)context;
    for (; *cursor < 3; (*cursor)++) {
        za_actor_info_t info = { .ref = { 0, *cursor + 1 }, .class_name = "x" };
        if (!visit(&info, visitor)) {
            return;
        }
    }
}

static void each_counter(void *context,
                         bool (*visit)(const char *name, uint64_t value, void *visitor),
                         void *visitor)
{
    (void)context;
    visit("frames", 1, visitor);
}

static za_err_t leave(void *context)
{
    (void)context;
    return ZA_OK;
}

static za_err_t rotate_keys(void *context)
{
    (void)context;
    return ZA_ENOENT;
}

static za_err_t down(void *context, const char *node)
{
    (void)context;
    return node[0] == '\0' ? ZA_EINVAL : ZA_OK;
}

enum { WORKERS = 3, CLASSES = 40 }; // more classes than one page has room for

static bool worker(void *context, uint32_t index, za_worker_metrics_t *out)
{
    (void)context;
    if (index >= WORKERS) {
        return false;
    }
    *out = (za_worker_metrics_t){ .handled = index };
    return true;
}

static const char *class_name(void *context, uint32_t index)
{
    (void)context;
    return index >= CLASSES ? NULL : index % 2 == 0 ? "even" : "with \"quotes\" and \\";
}

static bool class_metrics(void *context, uint32_t index, za_class_metrics_t *out)
{
    (void)context;
    if (index >= CLASSES) {
        return false;
    }
    memset(out, 0, sizeof *out);
    out->name = class_name(context, index);
    out->handled = index;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static uint8_t reply[ZA_ADMIN_REPLY_BYTES_MAX];
    za_admin_view_t view = { .now_ms = now_ms,
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
    za_admin_t *admin = NULL;
    size_t reply_size = 0;
    if (za_admin_create(&view, &admin) != ZA_OK) {
        return 0;
    }
    uint32_t roles = size > 0 && bytes[0] % 2 == 0 ? ZA_ROLE_CLIENT : ZA_ROLE_ADMIN;
    if (za_admin_serve(admin, roles, bytes, size, reply, sizeof(reply), &reply_size) != ZA_OK) {
        abort(); // each request has an answer, and each answer fits
    }
    za_admin_destroy(admin);
    return 0;
}
