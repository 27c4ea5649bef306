// The provider of leases of a real node: when it may be set, and what needs it.
#include "support/za_test.h"

#include <zactor/zactor.h>

static void set(za_config_t *config, const char *key, const char *value)
{
    char problem[256] = "";
    za_err_t err = za_config_set(config, key, value, "test", problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
}

static za_node_t *create(const char *strategy)
{
    za_config_t *config = NULL;
    cr_assert(za_config_create(&config) == ZA_OK);
    set(config, "node.name", "alpha");
    set(config, "node.listen", "127.0.0.1:0");
    set(config, "node.workers", "1");
    set(config, "tls.insecure", "true");
    set(config, "limits.pool_mb", "64");
    set(config, "log.level", "error");
    set(config, "cluster.downing.strategy", strategy);
    za_node_t *node = NULL;
    cr_assert(za_node_create(config, NULL, &node) == ZA_OK);
    za_config_destroy(config);
    return node;
}

static void ask(void *context, za_node_t *node, const za_lease_question_t *question)
{
    (void)context, (void)node, (void)question;
}

static const za_lease_provider_t provider = { .size = sizeof provider, .ask = ask };

Test(lease, is_no_strategy_without_a_provider, .timeout = 60)
{
    za_node_t *node = create("lease");
    cr_assert(za_node_start(node) == ZA_ECONFIG, "nobody could win a split");
    cr_assert(za_node_set_lease_provider(node, &provider) == ZA_OK, "not started");
    cr_assert(za_node_start(node) == ZA_OK, "now somebody can");
    cr_expect(za_node_set_lease_provider(node, &provider) == ZA_EEXIST, "it runs");
    za_node_destroy(node);
}

Test(lease, providers_and_answers_are_looked_at, .timeout = 60)
{
    za_node_t *node = create("none");
    za_lease_provider_t none = provider;
    none.ask = NULL;
    cr_expect(za_node_set_lease_provider(node, &none) == ZA_EINVAL, "it asks nobody");
    none = provider;
    none.size = 8;
    cr_expect(za_node_set_lease_provider(node, &none) == ZA_EINVAL, "of another version");
    cr_expect(za_node_set_lease_provider(node, NULL) == ZA_EINVAL, "none");
    cr_assert(za_node_start(node) == ZA_OK, "started");
    const za_lease_answer_t late = { .size = sizeof late, .holder = 7, .revision = 1 };
    cr_expect(za_node_answer_lease(node, &late) == ZA_OK, "from a thread that is no worker");
    za_node_destroy(node);
}
