// One program with ZActor and CZMQ, whose actor is called zactor_t and whose header is zactor.h: both
// kinds of actor run at once, and tell each other what they were told.
#include <czmq.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <zactor/zactor.h>

#include "note.za.h"

enum { NOTES = 100 };

static _Atomic unsigned written;

typedef struct writer {
    unsigned written;
} writer_t;

static za_verdict_t on_written(za_ctx_t *ctx, writer_t *self, const note_Written *note)
{
    (void)ctx;
    self->written += strcmp(note->text, "hello") == 0;
    atomic_store(&written, self->written);
    return ZA_DONE;
}
ZA_ACTOR(writer, writer_t, (note_Written, on_written));

typedef struct target {
    za_node_t *node;
    za_ref_t writer;
} target_t;

/** CZMQ's actor: a thread with a pipe. What it is told it tells the other one. */
static void relay(zsock_t *pipe, void *arguments)
{
    const target_t *target = arguments;
    zsock_signal(pipe, 0);
    for (;;) {
        char *text = zstr_recv(pipe);
        if (text == NULL || streq(text, "$TERM")) {
            zstr_free(&text);
            return;
        }
        note_Written note = { 0 };
        snprintf(note.text, sizeof note.text, "%s", text);
        zstr_free(&text);
        za_err_t err = za_node_tell(target->node, target->writer, &note_Written_type, &note);
        zstr_send(pipe, za_err_name(err));
    }
}

static za_node_t *start_node(void)
{
    static const char *const values[][2] = { { "node.name", "both" },
                                             { "node.listen", "127.0.0.1:0" },
                                             { "tls.insecure", "true" },
                                             { "log.level", "error" } };
    char problem[256] = "";
    za_config_t *config = NULL;
    za_node_t *node = NULL;
    za_err_t err = za_config_create(&config);
    for (size_t i = 0; i < sizeof values / sizeof *values && err == ZA_OK; i++) {
        err = za_config_set(config, values[i][0], values[i][1], "both", problem, sizeof problem);
    }
    if (err == ZA_OK) {
        err = za_node_create(config, NULL, &node);
    }
    if (err == ZA_OK) {
        err = za_node_start(node);
    }
    za_config_destroy(config);
    if (err != ZA_OK) {
        fprintf(stderr, "both: %s %s\n", za_err_name(err), problem);
        exit(1);
    }
    return node;
}

int main(void)
{
    target_t target = { .node = start_node() };
    if (za_node_spawn(target.node, writer, &target.writer, .mailbox = NOTES) != ZA_OK) {
        return 1;
    }
    zactor_t *actor = zactor_new(relay, &target);
    unsigned accepted = 0;
    for (unsigned i = 0; i < NOTES && actor != NULL; i++) {
        zstr_send(actor, "hello");
        char *answer = zstr_recv(actor);
        accepted += answer != NULL && streq(answer, "ZA_OK");
        zstr_free(&answer);
    }
    zactor_destroy(&actor);
    za_node_stop(target.node); // drains: what was accepted is written
    za_node_destroy(target.node);
    printf("accepted %u, written %u\n", accepted, atomic_load(&written));
    return accepted == NOTES && written == NOTES ? 0 : 1;
}
