#include "support/za_test.h"

#include <unistd.h>

#include "node/config.h"

enum { PROBLEM_BYTES = 512 };

static za_config_t *config;
static char problem[PROBLEM_BYTES];

static void setup(void)
{
    cr_assert(za_config_create(&config) == ZA_OK);
}

static void teardown(void)
{
    za_config_destroy(config);
}

TestSuite(config, .init = setup, .fini = teardown);

/** Reads `text` as a file "/tmp/zactor-test-..."; its path is in `path` until the next call. */
static za_err_t read_text(const char *text)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/zactor-test-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    problem[0] = '\0';
    za_err_t err = za_config_read_file(config, path, problem, sizeof(problem));
    unlink(path);
    return err;
}

static bool value_is(const char *key, const char *value)
{
    const char *now = za_config_get(config, key);
    return now != NULL && strcmp(now, value) == 0;
}

static bool problem_says(const char *part)
{
    return strstr(problem, part) != NULL;
}

static za_err_t set(const char *key, const char *value)
{
    problem[0] = '\0';
    return za_config_set(config, key, value, "flag", problem, sizeof(problem));
}

static void set_insecure(void)
{
    cr_assert(set("tls.insecure", "true") == ZA_OK);
}

Test(config, has_the_defaults)
{
    cr_expect(value_is("node.listen", "127.0.0.1:7464"));
    cr_expect(value_is("cluster.timing", "lan"));
    cr_expect(za_config_get(config, "no.such") == NULL);
    cr_expect_str_eq(za_config_origin(config, ZA_KEY_node_listen), "default");
}

// Each default must pass its own key's check, or a dump could not be read back.
Test(config, accepts_its_own_defaults)
{
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT; i++) {
        const za_config_info_t *info = &za_config_infos[i];
        cr_expect(set(info->key, info->default_) == ZA_OK, "%s: %s", info->key, problem);
    }
}

Test(config, reads_sections_and_dotted_keys)
{
    cr_assert(read_text("# comment\ndrain_ms = 5\n[node]\nname = alpha\n; another\n"
                        "[cluster]\nname = orders ; inline\n") == ZA_OK,
              "%s", problem);
    cr_expect(value_is("node.name", "alpha"));
    cr_expect(value_is("cluster.name", "orders"));
    cr_expect(value_is("drain_ms", "5"));
    cr_expect(strstr(za_config_origin(config, ZA_KEY_node_name), ":4") != NULL, "%s",
              za_config_origin(config, ZA_KEY_node_name));
}

// A variable of the environment may have any bytes in it; a log takes one line.
Test(config, a_refused_value_is_told_in_one_line)
{
    cr_assert(set("node.name", "two\nlines\x1b[2J") == ZA_ECONFIG);
    cr_expect(problem_says("two?lines?[2J") && !problem_says("\n"), "%s", problem);
}

// What a dump cannot say so that a file says the same is refused, wherever it comes from.
Test(config, a_value_is_one_that_a_file_can_say)
{
    static const char *const bad[] = { "a\nb", " a", "a ", ";a", "a ;b", "\x7f" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect(set("tls.ca", bad[i]) == ZA_ECONFIG, "path %zu", i);
        cr_expect(set("node.meta", bad[i]) == ZA_ECONFIG, "line %zu", i);
    }
    cr_expect(set("cluster.seeds", " a:1") == ZA_ECONFIG &&
                  set("cluster.seeds", "a:1,\nb:2") == ZA_ECONFIG,
              "lists");
    cr_expect(set("cluster.seeds", "a:1, b:2") == ZA_OK, "%s", problem);
    cr_expect(set("node.meta", "a;b and more") == ZA_OK, "%s", problem);
    cr_expect(set("tls.ca", "/a path/with;everything") == ZA_OK, "%s", problem);
}

Test(config, a_list_goes_on_in_indented_lines)
{
    cr_assert(read_text("[cluster]\nseeds = a:1, b:2\n  c:3\n  d:4\n") == ZA_OK, "%s", problem);
    set_insecure();
    za_settings_t settings;
    cr_assert(za_settings_from_config(config, &settings, problem, sizeof(problem)) == ZA_OK, "%s",
              problem);
    cr_assert(settings.cluster_seed_count == 4, "%u", settings.cluster_seed_count);
    cr_expect_str_eq(settings.cluster_seeds[0], "a:1");
    cr_expect_str_eq(settings.cluster_seeds[3], "d:4");
}

Test(config, knows_seeds_that_are_to_be_found)
{
    cr_assert(set("cluster.seeds", "a:1, dns://nodes:7464, srv://_zactor._tcp.nodes, "
                                   "file:///etc/seeds") == ZA_OK,
              "%s", problem);
    set_insecure();
    za_settings_t settings;
    cr_assert(za_settings_from_config(config, &settings, problem, sizeof(problem)) == ZA_OK, "%s",
              problem);
    cr_assert(settings.cluster_seed_count == 4 && settings.cluster_discovers, "%u",
              settings.cluster_seed_count);
    cr_expect_str_eq(settings.cluster_seeds[3], "file:///etc/seeds");
    cr_assert(set("cluster.seeds", "a:1") == ZA_OK);
    cr_assert(za_settings_from_config(config, &settings, problem, sizeof(problem)) == ZA_OK);
    cr_expect(!settings.cluster_discovers, "addresses are not discovered");
    cr_expect(set("cluster.seeds", "dns://nodes") == ZA_ECONFIG && problem_says("dns://name:port"),
              "%s", problem);
}

Test(config, names_the_entry_of_a_list_that_is_wrong)
{
    cr_expect(set("cluster.seeds", "a:1, http://b:2 ,c:3") == ZA_ECONFIG);
    cr_expect(problem_says("\"http://b:2\" does not fit: at most 16 of host:port"), "%s", problem);
    cr_expect(set("cluster.dns", "8.8.8.8:53,8.8.4.4") == ZA_ECONFIG);
    cr_expect(problem_says("\"8.8.4.4\" does not fit"), "%s", problem);
    cr_expect(set("cluster.dns", "a:1,a:2,a:3,a:4,a:5") == ZA_ECONFIG);
    cr_expect(problem_says("\"a:1,a:2,a:3,a:4,a:5\" does not fit: at most 4"), "%s", problem);
    cr_expect(set("cluster.seeds", "a:0") == ZA_ECONFIG, "nobody listens at port 0");
}

Test(config, refuses_a_key_set_twice)
{
    cr_assert(read_text("[node]\nname = a\nname = b\n") == ZA_ECONFIG);
    cr_expect(problem_says(":3: node.name"), "%s", problem);
    cr_expect(problem_says(":2"), "%s", problem);
}

Test(config, names_file_line_and_the_nearest_key)
{
    cr_assert(read_text("[node]\n\nnmae = alpha\n") == ZA_ECONFIG);
    cr_expect(problem_says(":3: node.nmae: unknown key (did you mean node.name?)"), "%s", problem);
}

Test(config, tells_the_first_of_several_problems)
{
    cr_assert(read_text("[node]\nworkers = many\nbad = 1\n") == ZA_ECONFIG);
    cr_expect(problem_says(":2: node.workers: \"many\" is not a number from 0 to 64"), "%s",
              problem);
}

Test(config, offers_no_key_that_is_far_away)
{
    cr_assert(set("something.else", "1") == ZA_ECONFIG);
    cr_expect(!problem_says("did you mean"), "%s", problem);
}

Test(config, refuses_a_line_that_is_no_key)
{
    cr_assert(read_text("[node]\nname\n") == ZA_ECONFIG);
    cr_expect(problem_says(":2: neither"), "%s", problem);
}

// inih cuts lines longer than its buffer; half a value must not be taken for a value.
Test(config, refuses_a_line_that_would_be_cut)
{
    char text[16 * 1024] = "[tls]\nca = /";
    memset(text + strlen(text), 'x', sizeof(text) - strlen(text) - 2);
    text[sizeof(text) - 2] = '\n';
    cr_assert(read_text(text) == ZA_ECONFIG);
    cr_expect(problem_says(":2: "), "%s", problem);
    cr_expect(value_is("tls.ca", ""));
}

Test(config, a_missing_file_is_an_error)
{
    za_err_t err = za_config_read_file(config, "/nonexistent/zactor.conf", problem, PROBLEM_BYTES);
    cr_assert(err == ZA_EIO);
    cr_expect(problem_says("/nonexistent/zactor.conf: No such file"), "%s", problem);
}

Test(config, refuses_bad_values_and_keeps_the_old_one)
{
    static const char *const bad[][2] = {
        { "node.name", "a b" },
        { "node.name", "a/b" },
        { "node.listen", "7464" },
        { "node.listen", "h:70000" },
        { "node.listen", ":1" },
        { "node.listen", "h:1x" },
        { "node.listen", "[::1]" },
        { "node.workers", "-1" },
        { "node.workers", "65" },
        { "node.workers", "" },
        { "cluster.seeds", "a:1,,b" },
        { "cluster.seeds", "a" },
        { "cluster.timing", "la" },
        { "cluster.timing", "lan|local" },
        { "node.roles", "a,,b" },
        { "node.roles", "a b" },
        { "node.roles", "a,b,a" },
        { "node.roles", "a," },
        { "node.roles", "1,2,3,4,5,6,7,8,9" },
        { "node.meta", "a\tb" },
        { "cluster.downing.role", "a,b" },
        { "cluster.id", "0xg" },
        { "cluster.id", "18446744073709551616" },
        { "tls.insecure", "yes" },
        { "limits.pool_mb", "99999999999999999999" },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char before[ZA_CONFIG_VALUE_BYTES_MAX + 1];
        snprintf(before, sizeof(before), "%s", za_config_get(config, bad[i][0]));
        cr_expect(set(bad[i][0], bad[i][1]) == ZA_ECONFIG, "%s = %s", bad[i][0], bad[i][1]);
        cr_expect(value_is(bad[i][0], before), "%s", bad[i][0]);
    }
}

Test(config, environment_comes_over_the_file)
{
    cr_assert(read_text("[node]\nname = from-file\n") == ZA_OK);
    setenv("ZACTOR_NODE_NAME", "from-env", 1);
    setenv("ZACTOR_DRAIN_MS", "7", 1);
    cr_assert(za_config_read_env(config, problem, sizeof(problem)) == ZA_OK, "%s", problem);
    cr_expect(value_is("node.name", "from-env"));
    cr_expect(value_is("drain_ms", "7"));
    cr_expect_str_eq(za_config_origin(config, ZA_KEY_node_name), "ZACTOR_NODE_NAME");
}

Test(config, an_unknown_variable_is_an_error)
{
    setenv("ZACTOR_NODE_NMAE", "x", 1);
    cr_assert(za_config_read_env(config, problem, sizeof(problem)) == ZA_ECONFIG);
    cr_expect(problem_says("did you mean ZACTOR_NODE_NAME?"), "%s", problem);
}

// The operator's tool has variables of its own, and Kubernetes makes some for a Service.
Test(config, variables_of_others_are_left_alone)
{
    setenv("ZACTOR_TIMEOUT", "5s", 1);
    setenv("ZACTOR_PORT_7464_TCP", "tcp://10.0.0.1:7464", 1);
    setenv("ZACTOR_SERVICE_HOST", "10.0.0.1", 1);
    cr_expect(za_config_read_env(config, problem, sizeof(problem)) == ZA_OK, "%s", problem);
}

Test(config, a_dump_can_be_read_back)
{
    cr_assert(set("cluster.seeds", "a:1,b:2") == ZA_OK);
    cr_assert(set("node.name", "alpha") == ZA_OK);
    char dump[8192] = "";
    FILE *out = fmemopen(dump, sizeof(dump), "w");
    za_config_dump(config, out);
    fclose(out);
    za_config_destroy(config);
    cr_assert(za_config_create(&config) == ZA_OK);
    cr_assert(read_text(dump) == ZA_OK, "%s", problem);
    cr_expect(value_is("cluster.seeds", "a:1,b:2"));
    cr_expect(value_is("node.name", "alpha"));
}

Test(settings, without_certificates_says_what_to_do)
{
    setup();
    za_settings_t settings;
    cr_assert(za_settings_from_config(config, &settings, problem, PROBLEM_BYTES) == ZA_ECONFIG);
    cr_expect(problem_says("tls.ca is not set"), "%s", problem);
    cr_expect(problem_says("zactorctl ca init"), "%s", problem);
    teardown();
}

Test(settings, insecure_only_on_loopback)
{
    setup();
    set_insecure();
    za_settings_t settings;
    cr_expect(za_settings_from_config(config, &settings, problem, PROBLEM_BYTES) == ZA_OK);
    cr_assert(set("node.listen", "10.0.0.1:7464") == ZA_OK);
    cr_expect(za_settings_from_config(config, &settings, problem, PROBLEM_BYTES) == ZA_ECONFIG);
    cr_expect(problem_says("10.0.0.1:7464"), "%s", problem);
    teardown();
}

Test(settings, a_wildcard_needs_an_address_to_advertise)
{
    setup();
    cr_assert(set("node.listen", "0.0.0.0:7464") == ZA_OK);
    za_settings_t settings;
    cr_expect(za_settings_from_config(config, &settings, problem, PROBLEM_BYTES) == ZA_ECONFIG);
    cr_expect(problem_says("node.advertise is not set"), "%s", problem);
    teardown();
}

// With port 0 on both nobody is told: the node's address is the one it got.
Test(settings, what_is_advertised_has_a_port)
{
    setup();
    set_insecure();
    cr_assert(set("node.listen", "127.0.0.1:0") == ZA_OK);
    cr_assert(set("node.advertise", "localhost:0") == ZA_OK);
    za_settings_t settings;
    cr_expect(za_settings_from_config(config, &settings, problem, PROBLEM_BYTES) == ZA_ECONFIG);
    cr_expect(problem_says("node.advertise needs the port"), "%s", problem);
    cr_assert(set("node.advertise", "127.0.0.1:0") == ZA_OK);
    cr_expect(za_settings_from_config(config, &settings, problem, PROBLEM_BYTES) == ZA_OK);
    teardown();
}

Test(settings, fills_in_what_is_derived)
{
    setup();
    set_insecure();
    cr_assert(set("log.level", "warn") == ZA_OK && set("cluster.timing", "local") == ZA_OK);
    cr_assert(set("cluster.id", "0x10") == ZA_OK && set("limits.pool_mb", "8192") == ZA_OK);
    cr_assert(set("limits.blob_mb", "4096") == ZA_OK);
    za_settings_t settings;
    cr_assert(za_settings_from_config(config, &settings, problem, PROBLEM_BYTES) == ZA_OK);
    cr_expect(settings.node_name[0] != '\0');
    cr_expect(settings.node_workers >= 1);
    cr_expect_str_eq(settings.node_advertise, settings.node_listen);
    cr_expect(settings.log_level == ZA_WARN);
    cr_expect(settings.cluster_timing == ZA_TIMING_LOCAL);
    cr_expect(settings.cluster_id == 16);
    cr_expect(settings.limits_pool_bytes == UINT64_C(8192) << 20);
    cr_expect(settings.limits_blob_bytes == UINT64_C(4096) << 20);
    teardown();
}

Test(settings, say_what_a_node_is_for)
{
    setup();
    set_insecure();
    cr_assert(set("node.roles", "api,db-1") == ZA_OK && set("node.meta", "rack=4, row=b") == ZA_OK);
    cr_assert(set("cluster.timing", "wan") == ZA_OK);
    za_settings_t settings;
    cr_assert(za_settings_from_config(config, &settings, problem, PROBLEM_BYTES) == ZA_OK);
    cr_expect_str_eq(settings.node_roles, "api,db-1");
    cr_expect_str_eq(settings.node_meta, "rack=4, row=b");
    cr_expect(settings.cluster_timing == ZA_TIMING_WAN);
    teardown();
}

/** Settings of `cluster.downing.KEY = VALUE`, two of them; NULL: none. */
static za_err_t settings_with_downing(const char *strategy, const char *key, const char *value,
                                      za_settings_t *settings)
{
    setup();
    set_insecure();
    cr_assert(set("cluster.downing.strategy", strategy) == ZA_OK);
    cr_assert(key == NULL || set(key, value) == ZA_OK);
    za_err_t err = za_settings_from_config(config, settings, problem, PROBLEM_BYTES);
    teardown();
    return err;
}

Test(settings, a_strategy_for_splits_comes_with_what_it_needs)
{
    static za_settings_t settings;
    cr_assert(settings_with_downing("none", NULL, NULL, &settings) == ZA_OK);
    cr_expect(settings.cluster_downing.strategy == ZA_DOWNING_NONE);
    cr_assert(settings_with_downing("keep_majority", "cluster.downing.stable_after_ms", "7000",
                                    &settings) == ZA_OK);
    cr_expect(settings.cluster_downing.strategy == ZA_DOWNING_KEEP_MAJORITY);
    cr_expect(settings.cluster_downing.stable_after_ms == 7000);
    cr_assert(settings_with_downing("static_quorum", "cluster.downing.quorum", "3", &settings) ==
              ZA_OK);
    cr_expect(settings.cluster_downing.strategy == ZA_DOWNING_STATIC_QUORUM);
    cr_expect(settings.cluster_downing.quorum == 3);
    cr_assert(settings_with_downing("keep_oldest", "cluster.downing.keep_lone_oldest", "true",
                                    &settings) == ZA_OK);
    cr_expect(settings.cluster_downing.keep_lone_oldest);
    cr_assert(settings_with_downing("keep_majority", "cluster.downing.role", "db", &settings) ==
              ZA_OK);
    cr_expect_str_eq(settings.cluster_downing.role, "db");
    cr_assert(settings_with_downing("down_all", NULL, NULL, &settings) == ZA_OK);
    cr_expect(settings.cluster_downing.strategy == ZA_DOWNING_DOWN_ALL);
}

Test(settings, a_strategy_for_splits_with_what_is_not_its_own_is_refused)
{
    static za_settings_t settings;
    cr_expect(settings_with_downing("static_quorum", NULL, NULL, &settings) == ZA_ECONFIG);
    cr_expect(problem_says("cluster.downing.quorum is not set"), "%s", problem);
    cr_expect(settings_with_downing("keep_majority", "cluster.downing.quorum", "3", &settings) ==
              ZA_ECONFIG);
    cr_expect(problem_says("is for static_quorum, and cluster.downing.strategy is keep_majority"),
              "%s", problem);
    cr_expect(settings_with_downing("down_all", "cluster.downing.keep_lone_oldest", "true",
                                    &settings) == ZA_ECONFIG);
    cr_expect(problem_says("is for keep_oldest"), "%s", problem);
    cr_expect(settings_with_downing("none", "cluster.downing.stable_after_ms", "9", &settings) ==
              ZA_ECONFIG);
    cr_expect(problem_says("does nothing without a strategy"), "%s", problem);
    cr_expect(settings_with_downing("none", "cluster.downing.role", "db", &settings) == ZA_ECONFIG);
    cr_expect(problem_says("cluster.downing.role does nothing"), "%s", problem);
}

Test(settings, a_split_is_not_decided_before_the_losing_side_can_know_of_it)
{
    static za_settings_t settings;
    cr_expect(settings_with_downing("keep_majority", "cluster.downing.stable_after_ms", "4999",
                                    &settings) == ZA_ECONFIG);
    cr_expect(problem_says("stable_after_ms = 4999 is too short: set at least 5000"), "%s",
              problem);
    cr_expect(settings_with_downing("keep_majority", "cluster.downing.stable_after_ms", "5000",
                                    &settings) == ZA_OK);
    setup();
    set_insecure();
    cr_assert(set("cluster.timing", "wan") == ZA_OK);
    cr_assert(set("cluster.downing.strategy", "keep_majority") == ZA_OK);
    cr_assert(set("cluster.downing.stable_after_ms", "5000") == ZA_OK);
    cr_expect(za_settings_from_config(config, &settings, problem, PROBLEM_BYTES) == ZA_ECONFIG);
    cr_expect(problem_says("set at least 20000"), "%s", problem);
    teardown();
}

static za_err_t settings_with_pin(const char *pin, const char *workers, za_settings_t *settings)
{
    setup();
    set_insecure();
    cr_assert(set("node.pin", pin) == ZA_OK && set("node.workers", workers) == ZA_OK);
    za_err_t err = za_settings_from_config(config, settings, problem, PROBLEM_BYTES);
    teardown();
    return err;
}

Test(settings, workers_are_pinned_to_cores_that_are_allowed)
{
    static za_settings_t settings;
    za_cores_t allowed;
    char first[16];
    cr_assert(za_cores_allowed(&allowed) == ZA_OK);
    snprintf(first, sizeof first, "%u", allowed.cores[0]);
    cr_assert(settings_with_pin("none", "3", &settings) == ZA_OK);
    cr_expect(settings.node_pin.count == 0 && settings.node_workers == 3);
    cr_assert(settings_with_pin("auto", "0", &settings) == ZA_OK);
    cr_expect(settings.node_workers == settings.node_pin.count);
    cr_assert(settings_with_pin(first, "0", &settings) == ZA_OK);
    cr_expect(settings.node_workers == 1, "a worker for each core of the list");
    cr_expect(settings.node_pin.cores[0] == allowed.cores[0]);
}

Test(settings, a_pin_that_cannot_be_kept_says_which_core_or_how_many)
{
    static za_settings_t settings;
    za_cores_t allowed;
    char other[16];
    char first[16];
    cr_assert(za_cores_allowed(&allowed) == ZA_OK);
    uint32_t absent = 0;
    while (za_cores_have(&allowed, absent)) {
        absent++;
    }
    snprintf(other, sizeof other, "%u", absent);
    snprintf(first, sizeof first, "%u", allowed.cores[0]);
    cr_expect(settings_with_pin(other, "0", &settings) == ZA_ECONFIG);
    cr_expect(problem_says("is none of those this process may use"), "%s", problem);
    cr_expect(settings_with_pin(first, "2", &settings) == ZA_ECONFIG);
    cr_expect(problem_says("node.pin: 2 workers need a core each"), "%s", problem);
    if (allowed.count < ZA_WORKERS_MAX) {
        cr_expect(settings_with_pin("auto", "64", &settings) == ZA_ECONFIG);
        cr_expect(problem_says("node.pin = auto: 64 workers"), "%s", problem);
    }
}

Test(settings, knows_loopback_addresses)
{
    cr_expect(za_address_is_loopback("127.0.0.1:1"));
    cr_expect(za_address_is_loopback("127.9.9.9:1"));
    cr_expect(za_address_is_loopback("[::1]:1"));
    cr_expect(za_address_is_loopback("localhost:1"));
    cr_expect(!za_address_is_loopback("127.0.0.1.example.org:1"));
    cr_expect(!za_address_is_loopback("0.0.0.0:1"));
    cr_expect(!za_address_is_loopback("[::]:1"));
}
