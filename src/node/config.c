#include "node/config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

extern char **environ;

enum {
    NAME_BYTES_MAX = 64,      // of a key in any spelling
    QUOTED_BYTES_MAX = 80,    // of a value that is wrong
    ACCEPTED_BYTES_MAX = 128, // of the description of a value
    TYPO_DISTANCE_MAX = 3,    // further away, the nearest key is no help
};

typedef struct entry {
    char value[ZA_CONFIG_VALUE_BYTES_MAX + 1];
    char origin[ZA_CONFIG_ORIGIN_BYTES_MAX + 1];
} entry_t;

struct za_config {
    entry_t entries[ZA_CONFIG_KEY_COUNT];
};

const za_config_info_t za_config_infos[ZA_CONFIG_KEY_COUNT] = {
#define INFO(name, key, kind, default_, low, high, choices, help)                                  \
    { key, kind, default_, low, high, choices, help },
    ZA_CONFIG_KEYS(INFO)
#undef INFO
};

za_err_t za_config_create(za_config_t **out)
{
    if (out == NULL) {
        return ZA_EINVAL;
    }
    za_config_t *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        return ZA_ENOMEM;
    }
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT; i++) {
        entry_t *entry = &config->entries[i];
        snprintf(entry->value, sizeof(entry->value), "%s", za_config_infos[i].default_);
        snprintf(entry->origin, sizeof(entry->origin), "default");
    }
    *out = config;
    return ZA_OK;
}

void za_config_destroy(za_config_t *config)
{
    free(config);
}

/* ---- names of a key ------------------------------------------------------------------------ */

/** Copies the key with '.' and '_' replaced, upper-cased if asked. */
static void respell(const char *key, const char *prefix, char separator, bool upper, char *out,
                    size_t out_bytes)
{
    size_t used = (size_t)snprintf(out, out_bytes, "%s", prefix);
    for (; *key != '\0' && used + 1 < out_bytes; key++) {
        char letter = *key == '.' || *key == '_' ? separator : *key;
        out[used++] = (char)(upper ? toupper((unsigned char)letter) : letter);
    }
    out[used] = '\0';
}

void za_config_env_name(const za_config_info_t *info, char *out, size_t out_bytes)
{
    respell(info->key, "ZACTOR_", '_', true, out, out_bytes);
}

void za_config_flag_name(const za_config_info_t *info, char *out, size_t out_bytes)
{
    respell(info->key, "", '-', false, out, out_bytes);
}

static int find_key(const char *key)
{
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT; i++) {
        if (strcmp(za_config_infos[i].key, key) == 0) {
            return i;
        }
    }
    return -1;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/** Levenshtein distance: how many letters to insert, remove or change. */
static uint32_t distance(const char *a, const char *b)
{
    uint32_t row[NAME_BYTES_MAX + 1];
    size_t b_size = strlen(b);
    if (b_size > NAME_BYTES_MAX) {
        return UINT32_MAX;
    }
    for (uint32_t j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (uint32_t i = 1; a[i - 1] != '\0'; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_size; j++) {
            uint32_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(changed, least(row[j] + 1, row[j - 1] + 1));
        }
    }
    return row[b_size];
}

/** Puts " (did you mean X?)" into `hint` if a key is near; each key spelled by `spell`. */
static void suggest(const char *name, void (*spell)(const za_config_info_t *, char *, size_t),
                    char *hint, size_t hint_bytes)
{
    uint32_t best = TYPO_DISTANCE_MAX + 1;
    hint[0] = '\0';
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT; i++) {
        char spelled[NAME_BYTES_MAX];
        if (spell == NULL) {
            snprintf(spelled, sizeof(spelled), "%s", za_config_infos[i].key);
        } else {
            spell(&za_config_infos[i], spelled, sizeof(spelled));
        }
        uint32_t now = distance(name, spelled);
        if (now < best) {
            best = now;
            snprintf(hint, hint_bytes, " (did you mean %s?)", spelled);
        }
    }
}

/* ---- values -------------------------------------------------------------------------------- */

void za_config_accepted(const za_config_info_t *info, char *out, size_t out_bytes)
{
    switch (info->kind) {
    case ZA_CONFIG_TEXT:
        snprintf(out, out_bytes, "1 to %" PRIu32 " letters, digits and . _ -", info->high);
        break;
    case ZA_CONFIG_PATH:
        snprintf(out, out_bytes, "a path of at most %" PRIu32 " bytes, without \" ;\"", info->high);
        break;
    case ZA_CONFIG_ADDRESS:
        snprintf(out, out_bytes, "host:port or [v6]:port, at most %" PRIu32 " bytes", info->high);
        break;
    case ZA_CONFIG_LIST:
        snprintf(out, out_bytes, "at most %" PRIu32 " host:port, comma-separated", info->high);
        break;
    case ZA_CONFIG_SEEDS:
        snprintf(out, out_bytes,
                 "at most %" PRIu32 " of host:port, dns://name:port, srv://_service._tcp.name and "
                 "file:///path, comma-separated",
                 info->high);
        break;
    case ZA_CONFIG_NUMBER:
        snprintf(out, out_bytes, "a number from %" PRIu32 " to %" PRIu32, info->low, info->high);
        break;
    case ZA_CONFIG_ID:
        snprintf(out, out_bytes, "a number of 64 bits, decimal or 0x...");
        break;
    case ZA_CONFIG_BOOL:
        snprintf(out, out_bytes, "true or false");
        break;
    case ZA_CONFIG_CHOICE:
        snprintf(out, out_bytes, "one of %s", info->choices);
        break;
    case ZA_CONFIG_CORES:
        snprintf(out, out_bytes, "none, auto, or a list of cores as 0,2,4-7");
        break;
    case ZA_CONFIG_ROLES:
        snprintf(out, out_bytes,
                 "at most %" PRIu32 " roles of 1 to %d letters, digits and . _ -, with commas "
                 "between them, each once",
                 info->high, ZA_ROLE_BYTES_MAX);
        break;
    case ZA_CONFIG_LINE:
        snprintf(out, out_bytes, "a line of at most %" PRIu32 " bytes, without \" ;\"", info->high);
        break;
    }
}

static bool number_is_valid(const za_config_info_t *info, const char *value)
{
    if (!isdigit((unsigned char)value[0])) {
        return false;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(value, &end, info->kind == ZA_CONFIG_ID ? 0 : 10);
    if (errno != 0 || *end != '\0') {
        return false;
    }
    return info->kind == ZA_CONFIG_ID || (number >= info->low && number <= info->high);
}

/** Names go into certificates, tables and log lines: nothing there needs quoting. */
static bool text_is_valid(const za_config_info_t *info, const char *value)
{
    size_t size = strlen(value);
    if (size > info->high) {
        return false;
    }
    for (; *value != '\0'; value++) {
        if (!isalnum((unsigned char)*value) && strchr("._-", *value) == NULL) {
            return false;
        }
    }
    return true;
}

static bool address_is_valid(const char *value)
{
    char host[ZA_ADDRESS_BYTES_MAX + 1];
    uint16_t port = 0;
    return za_address_split(value, host, sizeof(host), &port);
}

static bool is_list(const za_config_info_t *info)
{
    return info->kind == ZA_CONFIG_LIST || info->kind == ZA_CONFIG_SEEDS;
}

/** The first one between commas, without the blanks around it; the rest of the list. */
static const char *next_item(const char *list, const char **item, size_t *item_bytes)
{
    size_t size = strcspn(list, ",");
    const char *rest = list + size + (list[size] == ',');
    while (size > 0 && isspace((unsigned char)*list)) {
        list++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)list[size - 1])) {
        size--;
    }
    *item = list;
    *item_bytes = size;
    return rest;
}

static bool item_is_valid(const za_config_info_t *info, const char *item, size_t size)
{
    char text[ZA_SEED_BYTES_MAX + 1];
    za_seed_t seed;
    if (size >= sizeof text) {
        return false;
    }
    memcpy(text, item, size);
    text[size] = '\0';
    return info->kind == ZA_CONFIG_SEEDS ? za_seed_parse(text, &seed) : address_is_valid(text);
}

static bool list_is_valid(const za_config_info_t *info, const char *value)
{
    uint32_t count = 0;
    while (*value != '\0') {
        const char *item;
        size_t size;
        value = next_item(value, &item, &size);
        if (++count > info->high || !item_is_valid(info, item, size)) {
            return false;
        }
    }
    return true;
}

/** Which of a list is to blame; all of it if there are too many. */
static const char *to_blame(const za_config_info_t *info, const char *value, size_t *size)
{
    for (const char *rest = value; *rest != '\0';) {
        const char *item;
        rest = next_item(rest, &item, size);
        if (!item_is_valid(info, item, *size)) {
            return item;
        }
    }
    *size = strlen(value);
    return value;
}

static bool choice_is_valid(const za_config_info_t *info, const char *value)
{
    size_t size = strlen(value);
    for (const char *choice = info->choices; *choice != '\0';) {
        size_t choice_size = strcspn(choice, "|");
        if (choice_size == size && memcmp(choice, value, size) == 0) {
            return true;
        }
        choice += choice_size;
        choice += *choice == '|';
    }
    return false;
}

static bool cores_are_valid(const char *value)
{
    za_cores_t cores;
    return strcmp(value, "none") == 0 || strcmp(value, "auto") == 0 ||
           za_cores_parse(value, &cores) == ZA_OK;
}

/** A role that is there twice is most often another one, mistyped. */
static bool roles_differ(const char *roles)
{
    while (*roles != '\0') {
        size_t size = strcspn(roles, ",");
        const char *rest = roles + size + (roles[size] == ',');
        for (const char *other = rest; *other != '\0';) {
            size_t other_size = strcspn(other, ",");
            if (other_size == size && memcmp(other, roles, size) == 0) {
                return false;
            }
            other += other_size + (other[other_size] == ',');
        }
        roles = rest;
    }
    return true;
}

/** No control characters, no spaces around it, nothing that begins a comment. */
static bool file_can_say(const char *value)
{
    size_t size = strlen(value);
    for (size_t i = 0; i < size; i++) {
        bool comment = value[i] == ';' && (i == 0 || value[i - 1] == ' ');
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f || comment) {
            return false;
        }
    }
    return size == 0 || (value[0] != ' ' && value[size - 1] != ' ');
}

/** An empty value is valid where the default is empty: it takes an earlier one back. */
static bool value_is_valid(const za_config_info_t *info, const char *value)
{
    if (value[0] == '\0') {
        return info->default_[0] == '\0';
    }
    if (!file_can_say(value)) {
        return false; // wherever it comes from, its dump is a file
    }
    switch (info->kind) {
    case ZA_CONFIG_TEXT:
        return text_is_valid(info, value);
    case ZA_CONFIG_PATH:
    case ZA_CONFIG_LINE:
        return strlen(value) <= info->high;
    case ZA_CONFIG_ADDRESS:
        return address_is_valid(value);
    case ZA_CONFIG_LIST:
    case ZA_CONFIG_SEEDS:
        return list_is_valid(info, value);
    case ZA_CONFIG_NUMBER:
    case ZA_CONFIG_ID:
        return number_is_valid(info, value);
    case ZA_CONFIG_BOOL:
        return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
    case ZA_CONFIG_CHOICE:
        return choice_is_valid(info, value);
    case ZA_CONFIG_CORES:
        return cores_are_valid(value);
    case ZA_CONFIG_ROLES:
        return za_member_roles_valid(value, (uint32_t)strlen(value)) && roles_differ(value);
    }
    return false;
}

/** One line, whatever is quoted in it. */
ZA_PRINTF(3, 4)
static void say(char *problem, size_t problem_bytes, const char *format, ...)
{
    if (problem == NULL || problem_bytes == 0) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, problem_bytes, format, arguments);
    va_end(arguments);
    for (char *at = problem; *at != '\0'; at++) {
        *at = (unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at;
    }
}

static za_err_t set_key(za_config_t *config, int key, const char *value, const char *origin,
                        char *problem, size_t problem_bytes)
{
    const za_config_info_t *info = &za_config_infos[key];
    if (strlen(value) > ZA_CONFIG_VALUE_BYTES_MAX || !value_is_valid(info, value)) {
        char accepted[ACCEPTED_BYTES_MAX];
        za_config_accepted(info, accepted, sizeof(accepted));
        size_t size = strlen(value);
        const char *wrong = is_list(info) ? to_blame(info, value, &size) : value;
        say(problem, problem_bytes, "%s: %s: \"%.*s\" %s %s", origin, info->key,
            (int)(size < QUOTED_BYTES_MAX ? size : QUOTED_BYTES_MAX), wrong,
            is_list(info) ? "does not fit:" : "is not", accepted);
        return ZA_ECONFIG;
    }
    entry_t *entry = &config->entries[key];
    snprintf(entry->value, sizeof(entry->value), "%s", value);
    snprintf(entry->origin, sizeof(entry->origin), "%s", origin);
    return ZA_OK;
}

static za_err_t unknown_key(const char *key, const char *origin, char *problem,
                            size_t problem_bytes)
{
    char hint[NAME_BYTES_MAX * 2];
    suggest(key, NULL, hint, sizeof(hint));
    say(problem, problem_bytes, "%s: %.80s: unknown key%s", origin, key, hint);
    return ZA_ECONFIG;
}

za_err_t za_config_set(za_config_t *config, const char *key, const char *value, const char *origin,
                       char *problem, size_t problem_bytes)
{
    if (config == NULL || key == NULL || value == NULL || origin == NULL) {
        return ZA_EINVAL;
    }
    int found = find_key(key);
    if (found < 0) {
        return unknown_key(key, origin, problem, problem_bytes);
    }
    return set_key(config, found, value, origin, problem, problem_bytes);
}

za_err_t za_config_append(za_config_t *config, const char *key, const char *value,
                          const char *origin, char *problem, size_t problem_bytes)
{
    int found = find_key(key);
    if (found < 0) {
        return unknown_key(key, origin, problem, problem_bytes);
    }
    const entry_t *entry = &config->entries[found];
    if (za_config_infos[found].kind != ZA_CONFIG_LIST &&
        za_config_infos[found].kind != ZA_CONFIG_SEEDS) {
        say(problem, problem_bytes, "%s: %s: set already at %s", origin, key, entry->origin);
        return ZA_ECONFIG;
    }
    char joined[ZA_CONFIG_VALUE_BYTES_MAX + 1];
    size_t size = strlen(entry->value);
    bool comma = size > 0 && entry->value[size - 1] != ',';
    int used = snprintf(joined, sizeof(joined), "%s%s%s", entry->value, comma ? "," : "", value);
    if (used >= (int)sizeof(joined)) {
        say(problem, problem_bytes, "%s: %s: longer than %d bytes", origin, key,
            ZA_CONFIG_VALUE_BYTES_MAX);
        return ZA_ECONFIG;
    }
    return set_key(config, found, joined, origin, problem, problem_bytes);
}

const char *za_config_get(const za_config_t *config, const char *key)
{
    int found = config != NULL && key != NULL ? find_key(key) : -1;
    return found < 0 ? NULL : config->entries[found].value;
}

const char *za_config_origin(const za_config_t *config, za_config_key_t key)
{
    ZA_ASSERT(key < ZA_CONFIG_KEY_COUNT);
    return config->entries[key].origin;
}

/* ---- environment --------------------------------------------------------------------------- */

/**
 * Variables with our prefix that are not keys: those of zactorctl and zactord, and those that
 * Kubernetes sets in every pod for a Service called zactor.
 */
static bool env_is_foreign(const char *name)
{
    static const char *const names[] = { "ZACTOR_CONFIG", "ZACTOR_ADDR",   "ZACTOR_SOCKET",
                                         "ZACTOR_CACERT", "ZACTOR_CERT",   "ZACTOR_KEY",
                                         "ZACTOR_OUTPUT", "ZACTOR_TIMEOUT" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return strncmp(name, "ZACTOR_SERVICE_", 15) == 0 || strncmp(name, "ZACTOR_PORT", 11) == 0;
}

static za_err_t set_from_env(za_config_t *config, const char *name, const char *value,
                             char *problem, size_t problem_bytes)
{
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT; i++) {
        char spelled[NAME_BYTES_MAX];
        za_config_env_name(&za_config_infos[i], spelled, sizeof(spelled));
        if (strcmp(spelled, name) == 0) {
            return set_key(config, i, value, name, problem, problem_bytes);
        }
    }
    if (env_is_foreign(name)) {
        return ZA_OK;
    }
    char hint[NAME_BYTES_MAX * 2];
    suggest(name, za_config_env_name, hint, sizeof(hint));
    say(problem, problem_bytes, "environment: %.80s: unknown key%s", name, hint);
    return ZA_ECONFIG;
}

za_err_t za_config_read_env(za_config_t *config, char *problem, size_t problem_bytes)
{
    if (config == NULL) {
        return ZA_EINVAL;
    }
    for (char **variable = environ; *variable != NULL; variable++) {
        const char *equals = strchr(*variable, '=');
        if (strncmp(*variable, "ZACTOR_", 7) != 0 || equals == NULL) {
            continue;
        }
        char name[NAME_BYTES_MAX * 2];
        snprintf(name, sizeof(name), "%.*s", (int)(equals - *variable), *variable);
        za_err_t err = set_from_env(config, name, equals + 1, problem, problem_bytes);
        if (err != ZA_OK) {
            return err;
        }
    }
    return ZA_OK;
}

/* ---- output -------------------------------------------------------------------------------- */

void za_config_dump(const za_config_t *config, FILE *out)
{
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT; i++) {
        const entry_t *entry = &config->entries[i];
        fprintf(out, "%s = %s  ; %s\n", za_config_infos[i].key, entry->value, entry->origin);
    }
}

void za_config_help(FILE *out)
{
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT; i++) {
        const za_config_info_t *info = &za_config_infos[i];
        char flag[NAME_BYTES_MAX];
        char accepted[ACCEPTED_BYTES_MAX];
        za_config_flag_name(info, flag, sizeof(flag));
        za_config_accepted(info, accepted, sizeof(accepted));
        fprintf(out, "  --%s%s\n      %s\n      %s%s%s\n", flag,
                info->kind == ZA_CONFIG_BOOL ? "[=VALUE]" : " VALUE", info->help, accepted,
                info->default_[0] != '\0' ? "; default " : "", info->default_);
    }
}
