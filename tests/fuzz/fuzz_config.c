// What an operator writes: a configuration file, a value of one key, a seed, a file of seeds, a list of
// cores, a plan of the simulator. Whatever it is, it is taken or refused in one line; and what was taken
// is written and read again as the same.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/identity.h"
#include "node/config.h"
#include "sim/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PROBLEM_BYTES = 512,
    SOURCES = 3,
    LINE_BYTES_MAX = 198
}; // of a file, with inih as it is built

static char problem[PROBLEM_BYTES];

/** After a refusal: a line of a log, and no more than that. */
static void check_problem(void)
{
    ZA_ASSERT(problem[0] != '\0' && memchr(problem, '\0', sizeof problem) != NULL);
    ZA_ASSERT(strchr(problem, '\n') == NULL);
}

/** A file without a name; `path` is where it can be opened. */
static int make_file(const void *bytes, size_t size, char path[32])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    ZA_ASSERT(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static za_err_t read_file(za_config_t *config, const void *bytes, size_t size)
{
    char path[32];
    int fd = make_file(bytes, size, path);
    problem[0] = '\0';
    za_err_t err = za_config_read_file(config, path, problem, sizeof problem);
    close(fd);
    if (err != ZA_OK) {
        check_problem();
    }
    return err;
}

static bool has_long_line(const char *text)
{
    size_t longest = 0;
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t bytes = strcspn(line, "\n");
        longest = bytes > longest ? bytes : longest;
    }
    return longest > LINE_BYTES_MAX;
}

/** The dump of a configuration is a file that says the same. */
static void check_dump(const za_config_t *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ZA_ASSERT(out != NULL);
    za_config_dump(config, out);
    fclose(out);
    za_config_t *again;
    ZA_ASSERT(za_config_create(&again) == ZA_OK);
    bool too_long = has_long_line(text);
    ZA_ASSERT(too_long || read_file(again, text, size) == ZA_OK);
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT && !too_long; i++) {
        const char *key = za_config_infos[i].key;
        ZA_ASSERT(strcmp(za_config_get(config, key), za_config_get(again, key)) == 0);
    }
    za_config_destroy(again);
    free(text);
}

static void check_settings(const za_config_t *config)
{
    static za_settings_t settings;
    problem[0] = '\0';
    if (za_settings_from_config(config, &settings, problem, sizeof problem) != ZA_OK) {
        check_problem();
    } else {
        ZA_ASSERT(settings.node_workers >= 1 && settings.cluster_seed_count <= ZA_SEEDS_MAX);
    }
}

static void fuzz_file(const uint8_t *data, size_t size)
{
    za_config_t *config;
    ZA_ASSERT(za_config_create(&config) == ZA_OK);
    if (read_file(config, data, size) == ZA_OK) {
        check_dump(config);
        check_settings(config);
    }
    za_config_destroy(config);
}

/** The first byte says of which key, the rest is text. */
static void fuzz_value(uint8_t which, const char *text)
{
    const char *key = za_config_infos[which % ZA_CONFIG_KEY_COUNT].key;
    za_config_t *config;
    ZA_ASSERT(za_config_create(&config) == ZA_OK);
    problem[0] = '\0';
    if (za_config_set(config, key, text, "flag", problem, sizeof problem) == ZA_OK) {
        ZA_ASSERT(strcmp(za_config_get(config, key), text) == 0);
        check_dump(config);
        check_settings(config);
    } else {
        check_problem();
    }
    za_config_destroy(config);
}

static void fuzz_words(const char *text)
{
    za_seed_t seed;
    za_cores_t cores;
    uint32_t role;
    uint16_t port;
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    if (za_seed_parse(text, &seed)) {
        ZA_ASSERT(memchr(seed.text, '\0', sizeof seed.text) != NULL);
    }
    if (za_address_split(text, host, sizeof host, &port)) {
        ZA_ASSERT(memchr(host, '\0', sizeof host) != NULL);
        (void)za_address_is_loopback(text);
    }
    if (za_cores_parse(text, &cores) == ZA_OK) {
        ZA_ASSERT(cores.count <= ZA_CORES_MAX);
    }
    (void)za_identity_role_parse(text, &role);
}

/* ---- a file of seeds -------------------------------------------------------------------------- */

static za_err_t resolve(void *context, uint32_t source, const za_seed_t *seed)
{
    (void)context;
    (void)seed;
    return source == 0 ? ZA_EIO : ZA_OK;
}

static za_err_t read_source(void *context, uint32_t source, const char *path)
{
    (void)path;
    *(uint32_t *)context = source;
    return ZA_OK;
}

static void take_seeds(void *context, const char *list, uint32_t size, bool may_found)
{
    (void)context;
    (void)may_found;
    ZA_ASSERT(size == 0 || list[size - 1] == '\n');
    for (uint32_t at = 0; at < size;) {
        const char *end = memchr(list + at, '\n', size - at);
        char text[ZA_ADDRESS_BYTES_MAX + 1];
        size_t bytes = (size_t)(end - (list + at));
        ZA_ASSERT(bytes > 0 && bytes < sizeof text);
        memcpy(text, list + at, bytes);
        text[bytes] = '\0';
        char host[ZA_ADDRESS_BYTES_MAX + 1];
        uint16_t port;
        ZA_ASSERT(za_address_split(text, host, sizeof host, &port));
        at += (uint32_t)bytes + 1;
    }
}

static void take_log(void *context, int level, const char *text)
{
    (void)context;
    (void)level;
    ZA_ASSERT(strchr(text, '\n') == NULL);
}

static void fuzz_seeds(const uint8_t *data, size_t size)
{
    static const za_discovery_ops_t ops = { resolve, read_source, take_seeds, take_log };
    static const char *const seeds[SOURCES] = { "dns://a:1", "10.0.0.1:1", "file:///s" };
    uint32_t file = UINT32_MAX;
    za_discovery_config_t config = { .seeds = seeds,
                                     .seed_count = SOURCES,
                                     .own = "10.0.0.2:1",
                                     .joining_ms = 1000,
                                     .joined_ms = 30000,
                                     .ops = &ops,
                                     .context = &file };
    za_discovery_t *discovery;
    ZA_ASSERT(za_discovery_create(&config, 1000, &discovery) == ZA_OK);
    za_discovery_tick(discovery, 1000, false);
    ZA_ASSERT(file < SOURCES);
    size = size < ZA_DISCOVERY_FILE_BYTES_MAX ? size : ZA_DISCOVERY_FILE_BYTES_MAX;
    za_discovery_file(discovery, file, 1000, ZA_OK, "", (const char *)data, (uint32_t)size);
    za_discovery_tick(discovery, 2000, false);
    za_discovery_destroy(discovery);
}

/* ---- a plan ----------------------------------------------------------------------------------- */

static void write_plan(const za_plan_t *plan, char **text, size_t *size)
{
    FILE *out = open_memstream(text, size);
    ZA_ASSERT(out != NULL);
    za_plan_write(plan, out);
    fclose(out);
}

static za_err_t read_plan(za_plan_t *plan, const void *text, size_t size)
{
    FILE *in = fmemopen((void *)text, size, "r");
    ZA_ASSERT(in != NULL);
    problem[0] = '\0';
    za_err_t err = za_plan_read(plan, in, problem, sizeof problem);
    fclose(in);
    return err;
}

static void fuzz_plan(const uint8_t *data, size_t size)
{
    static za_plan_t plan;
    static za_plan_t same;
    if (size == 0) {
        return;
    }
    if (read_plan(&plan, data, size) != ZA_OK) {
        check_problem();
        return;
    }
    char *once = NULL;
    char *twice = NULL;
    size_t once_size = 0;
    size_t twice_size = 0;
    write_plan(&plan, &once, &once_size);
    ZA_ASSERT(read_plan(&same, once, once_size) == ZA_OK);
    write_plan(&same, &twice, &twice_size);
    ZA_ASSERT(once_size == twice_size && memcmp(once, twice, once_size) == 0);
    free(once);
    free(twice);
}

/** A byte for what it is, then its text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    char *text = malloc(size);
    ZA_ASSERT(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 5) {
    case 0:
        fuzz_file(data + 1, size - 1);
        break;
    case 1:
        fuzz_value(data[1], text + 1);
        break;
    case 2:
        fuzz_words(text);
        break;
    case 3:
        fuzz_seeds(data + 1, size - 1);
        break;
    default:
        fuzz_plan(data + 1, size - 1);
        break;
    }
    free(text);
    return 0;
}
