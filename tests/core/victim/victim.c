/**
 * Victim: does one wrong thing with a message, for tests/core/test_poison.c. Built of the sources of base
 * and core with their debug checks on, whatever the rest is built with: once with
 * AddressSanitizer, once without.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/worker.h"

typedef struct v_Text {
    uint64_t n;
    za_bytes_t text;
} v_Text;

static uint32_t text_extent(const void *message)
{
    (void)message;
    return sizeof(v_Text);
}

static const za_type_t v_Text_type = {
    .name = "victim.Text", .id = 1, .size = sizeof(v_Text), .extent = text_extent
};

typedef void crime_fn(za_ctx_t *ctx, const v_Text *m);

static crime_fn *crime;

typedef struct state {
    uint64_t count;
} state_t;

static za_verdict_t on_text(za_ctx_t *ctx, state_t *self, const v_Text *m)
{
    self->count++;
    crime(ctx, m);
    return ZA_DONE;
}

ZA_ACTOR(criminal, state_t, (v_Text, on_text));

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "victim: %s\n", what);
        exit(2);
    }
}

/* ---- crimes; each is called with n = 1, and with 2 for the next message ----------------------- */

static v_Text *send_myself(za_ctx_t *ctx, uint64_t n)
{
    v_Text *m = za_new(ctx, &v_Text_type, 0);
    check(m != NULL, "no message");
    m->n = n;
    void *body = m;
    check(za_send(ctx, za_self(ctx), &body) == ZA_OK && body == NULL, "not sent");
    return m;
}

static void none(za_ctx_t *ctx, const v_Text *m)
{
    if (m->n == 1) {
        send_myself(ctx, 3);
    }
}

static void write_after_send(za_ctx_t *ctx, const v_Text *m)
{
    if (m->n == 1) {
        send_myself(ctx, 3)->n = 4;
    }
}

static volatile uint64_t sink;

static void read_after_send(za_ctx_t *ctx, const v_Text *m)
{
    if (m->n == 1) {
        sink = send_myself(ctx, 3)->n;
    }
}

static const v_Text *before;

/** The own worker's memory: it is used again next. */
static void write_after_return(za_ctx_t *ctx, const v_Text *m)
{
    switch (m->n) {
    case 1:
        send_myself(ctx, 3);
        break;
    case 3:
        before = m;
        send_myself(ctx, 4);
        break;
    case 4:
        ((v_Text *)(uintptr_t)before)->n = 5;
        send_myself(ctx, 5);
        break;
    }
}

static void read_after_return(za_ctx_t *ctx, const v_Text *m)
{
    (void)ctx;
    if (m->n == 1) {
        before = m;
    } else {
        sink = before->n;
    }
}

static za_message_t *kept;

/** What is kept may be read. */
static void keep(za_ctx_t *ctx, const v_Text *m)
{
    if (m->n == 1) {
        before = m;
        kept = za_keep(ctx);
        check(kept != NULL && za_kept_body(kept) == m, "not kept");
    } else {
        check(before->n == 1, "it changed");
        za_release(ctx, &kept);
    }
}

static void write_frozen(za_ctx_t *ctx, const v_Text *m)
{
    if (m->n != 1) {
        return;
    }
    v_Text *mine = za_new(ctx, &v_Text_type, 0);
    void *body = mine;
    za_frozen_t *frozen = NULL;
    check(za_freeze(ctx, &body, &frozen) == ZA_OK, "not frozen");
    mine->n = 6;
    za_frozen_release(ctx, &frozen);
}

static void write_blob(za_ctx_t *ctx, const v_Text *m)
{
    if (m->n != 1) {
        return;
    }
    za_blob_t *blob = NULL;
    check(za_blob_copy(ctx, "payload", 7, &blob) == ZA_OK, "no blob");
    *(char *)(uintptr_t)za_blob_data(blob) = 'P';
    za_blob_release(ctx, &blob);
}

static const struct {
    const char *name;
    crime_fn *call;
} crimes[] = {
    { "none", none },
    { "keep", keep },
    { "write_after_send", write_after_send },
    { "read_after_send", read_after_send },
    { "write_after_return", write_after_return },
    { "read_after_return", read_after_return },
    { "write_frozen", write_frozen },
    { "write_blob", write_blob },
};

/* ---- the world it lives in --------------------------------------------------------------------- */

static void wake(void *context, za_worker_t *worker)
{
    (void)context;
    (void)worker;
}

static void commit(void)
{
    static const za_host_t host = { .wake = wake };
    const za_runtime_config_t config = { .workers = 1,
                                         .actors_max = 10,
                                         .pool_bytes_max = 1 << 24,
                                         .mailbox_default = 10,
                                         .host = &host };
    za_runtime_t *runtime = NULL;
    check(za_runtime_create(&config, &runtime) == ZA_OK, "no runtime");
    za_worker_t *guest = za_runtime_guest(runtime);
    za_ref_t actor;
    const za_spawn_opts_t opts = { .size = sizeof opts };
    check(za_runtime_spawn(guest, &criminal_class, &opts, ZA_REF_NONE, &actor) == ZA_OK, "spawn");
    for (uint64_t n = 1; n <= 2; n++) {
        za_outgoing_t out = { .to = actor, .type = &v_Text_type, .body = &(v_Text){ .n = n } };
        check(za_runtime_tell(guest, &out) == ZA_OK, "tell");
    }
    for (uint64_t now_ns = 1; now_ns < 20; now_ns++) {
        za_worker_turn(za_runtime_worker(runtime, 0), now_ns * 1000000);
    }
    za_runtime_destroy(runtime);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof crimes / sizeof crimes[0]; i++) {
        if (strcmp(crimes[i].name, argv[1]) == 0) {
            crime = crimes[i].call;
            commit();
            return 0;
        }
    }
    fprintf(stderr, "usage: victim CRIME\n");
    return 2;
}
