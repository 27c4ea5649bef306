#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "node/config.h"

/** inih gives the handler no line number and cuts long lines in two: the reader watches both. */
typedef struct reading {
    FILE *file;
    const char *path;
    za_config_t *config;
    char *problem;
    size_t problem_bytes;
    za_err_t err;
    int line;
    bool line_too_long;
    bool seen[ZA_CONFIG_KEY_COUNT]; // set by this file: once each, but lists go on
} reading_t;

static char *read_line(char *out, int out_bytes, void *context)
{
    reading_t *reading = context;
    if (fgets(out, out_bytes, reading->file) == NULL) {
        return NULL;
    }
    reading->line++;
    if (strchr(out, '\n') == NULL && feof(reading->file) == 0) {
        reading->line_too_long = true; // half a value must not be taken for a value
        return NULL;
    }
    return out;
}

static int handle(void *context, const char *section, const char *name, const char *value)
{
    reading_t *reading = context;
    if (reading->err != ZA_OK) {
        return 0; // the first problem is the one that is told
    }
    char key[128];
    char origin[ZA_CONFIG_ORIGIN_BYTES_MAX + 1];
    snprintf(key, sizeof(key), "%s%s%s", section, section[0] != '\0' ? "." : "", name);
    snprintf(origin, sizeof(origin), "%s:%d", reading->path, reading->line);

    bool again = false;
    for (int i = 0; i < ZA_CONFIG_KEY_COUNT; i++) {
        if (strcmp(za_config_infos[i].key, key) == 0) {
            again = reading->seen[i];
            reading->seen[i] = true;
        }
    }
    reading->err = (again ? za_config_append : za_config_set)(
        reading->config, key, value, origin, reading->problem, reading->problem_bytes);
    return reading->err == ZA_OK;
}

static void say_line(const reading_t *reading, int line, const char *text)
{
    if (reading->problem != NULL) {
        snprintf(reading->problem, reading->problem_bytes, "%s:%d: %s", reading->path, line, text);
    }
}

za_err_t za_config_read_file(za_config_t *config, const char *path, char *problem,
                             size_t problem_bytes)
{
    if (config == NULL || path == NULL) {
        return ZA_EINVAL;
    }
    reading_t reading = {
        .path = path, .config = config, .problem = problem, .problem_bytes = problem_bytes
    };
    reading.file = fopen(path, "re");
    if (reading.file == NULL) {
        if (problem != NULL) {
            snprintf(problem, problem_bytes, "%s: %s", path, strerror(errno));
        }
        return ZA_EIO;
    }
    int line = ini_parse_stream(read_line, &reading, handle, &reading);
    bool io_failed = ferror(reading.file) != 0;
    fclose(reading.file);

    if (reading.err != ZA_OK) {
        return reading.err;
    }
    if (io_failed) {
        say_line(&reading, reading.line, "cannot be read");
        return ZA_EIO;
    }
    if (reading.line_too_long) {
        say_line(&reading, reading.line,
                 "the line is too long; a list may go on in indented lines");
        return ZA_ECONFIG;
    }
    if (line != 0) {
        say_line(&reading, line, "neither \"key = value\" nor \"[section]\"");
        return ZA_ECONFIG;
    }
    return ZA_OK;
}
