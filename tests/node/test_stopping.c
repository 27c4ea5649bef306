// A node that has stopped, or was never started: every call of a thread is answered.
#include "support/za_test.h"

#include <zactor/zactor.h>

typedef struct t_Note {
    uint64_t n;
} t_Note;

typedef struct t_Answer {
    uint64_t n;
} t_Answer;

static const za_type_t t_Note_type = { .name = "t.Note", .id = 401, .size = sizeof(t_Note) };
static const za_type_t t_Answer_type = { .name = "t.Answer", .id = 402, .size = sizeof(t_Answer) };

typedef struct clerk {
    uint64_t unused;
} clerk_t;

static za_verdict_t on_note(za_ctx_t *ctx, clerk_t *self, const t_Note *m)
{
    (void)self;
    za_reply(ctx, ZA_MSG(t_Answer, .n = m->n));
    return ZA_DONE;
}

ZA_ACTOR(clerk, clerk_t, (t_Note, on_note));

static za_node_t *node;

static void set(za_config_t *config, const char *key, const char *value)
{
    char problem[256] = "";
    za_err_t err = za_config_set(config, key, value, "test", problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
}

static void create(void)
{
    za_config_t *config = NULL;
    cr_assert(za_config_create(&config) == ZA_OK);
    set(config, "node.name", "alpha");
    set(config, "node.listen", "127.0.0.1:0");
    set(config, "node.workers", "1");
    set(config, "tls.insecure", "true");
    set(config, "limits.pool_mb", "64");
    set(config, "log.level", "error");
    cr_assert(za_node_create(config, NULL, &node) == ZA_OK);
    za_config_destroy(config);
}

Test(stopping, what_is_sent_after_it_is_refused, .timeout = 60)
{
    create();
    cr_assert(za_node_start(node) == ZA_OK);
    za_ref_t clerk;
    cr_assert(za_node_spawn(node, clerk, &clerk, .group = "clerks") == ZA_OK);
    t_Answer answer = { .n = 5 };
    cr_assert(za_ask_sync(node, clerk, ZA_MSG(t_Note, .n = 7), ZA_REPLY(t_Answer, &answer),
                          .timeout_ms = 30000) == ZA_OK);
    cr_assert(answer.n == 7, "it lived");
    za_node_stop(node);
    za_ref_t ref = { 3, 4 };
    cr_expect(za_node_tell(node, clerk, ZA_MSG(t_Note, .n = 1)) == ZA_ESTOPPING, "tell");
    cr_expect(za_node_spawn(node, clerk, &ref) == ZA_ESTOPPING, "spawn");
    cr_expect(ref.node == 3 && ref.actor == 4, "no reference");
    za_err_t err = za_node_route(node, "clerks", ZA_BROADCAST, 0, ZA_MSG(t_Note, .n = 1));
    cr_expect(err == ZA_ENOENT, "its members are gone: %s", za_err_name(err));
    cr_expect(za_ask_sync(node, clerk, ZA_MSG(t_Note, .n = 8), ZA_REPLY(t_Answer, &answer),
                          .timeout_ms = 30000) == ZA_ESTOPPING,
              "ask");
    cr_expect(answer.n == 7, "untouched");
    za_node_destroy(node);
}

Test(stopping, twice_is_once, .timeout = 60)
{
    create();
    za_node_stop(node); // not even started: nothing to do
    cr_assert(za_node_start(node) == ZA_OK);
    cr_expect(za_node_start(node) == ZA_EEXIST, "runs already");
    za_node_stop(node);
    za_node_stop(node);
    cr_expect(za_node_start(node) == ZA_ESTOPPING, "a node runs once");
    za_node_destroy(node);
    za_node_stop(NULL);
    za_node_destroy(NULL);
}
