#include "node/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wire/utf8.h"

enum { TAIL_BYTES = 4 }; // always left for what closes a line: quote, brace, newline, NUL

typedef struct line {
    char *bytes;
    size_t used;
    za_log_format_t format;
} line_t;

static void put(line_t *line, const char *bytes, size_t size)
{
    size_t room = ZA_LOG_LINE_BYTES_MAX - TAIL_BYTES - line->used;
    if (size > room) {
        line->used = ZA_LOG_LINE_BYTES_MAX - TAIL_BYTES; // no half escape, and nothing after it
        memset(line->bytes + line->used - room, '.', room);
        return;
    }
    memcpy(line->bytes + line->used, bytes, size);
    line->used += size;
}

/** Of the UTF-8 sequence that begins with `letter`: a cut falls between characters. */
static size_t sequence_bytes(unsigned char letter)
{
    return letter < 0xc0 ? 1 : letter < 0xe0 ? 2 : letter < 0xf0 ? 3 : 4;
}

/** The text with control characters and quotes escaped, the same way in JSON and logfmt. */
static void put_escaped(line_t *line, const char *text)
{
    bool is_utf8 = za_utf8_valid((const uint8_t *)text, strlen(text));
    for (; *text != '\0'; text++) {
        unsigned char letter = (unsigned char)*text;
        char escape[8];
        if (letter == '"' || letter == '\\') {
            put(line, (char[]){ '\\', (char)letter }, 2);
        } else if (letter == '\n') {
            put(line, "\\n", 2);
        } else if (letter < 0x20 || letter == 0x7f || (letter >= 0x80 && !is_utf8)) {
            int size = snprintf(escape, sizeof(escape), "\\u%04x", letter);
            put(line, escape, (size_t)size);
        } else {
            size_t size = sequence_bytes(letter);
            put(line, text, size);
            text += size - 1;
        }
    }
}

static bool needs_quotes(const char *text)
{
    if (text[0] == '\0') {
        return true;
    }
    for (; *text != '\0'; text++) {
        unsigned char letter = (unsigned char)*text;
        if (letter <= ' ' || letter == '=' || letter == '"' || letter == '\\' || letter >= 0x7f) {
            return true;
        }
    }
    return false;
}

static void put_field(line_t *line, const char *key, const char *text)
{
    bool json = line->format == ZA_LOG_JSON;
    bool quotes = json || needs_quotes(text);
    if (line->used > 0) {
        put(line, json ? "," : " ", 1);
    } else if (json) {
        put(line, "{", 1);
    }
    put(line, "\"", json);
    put(line, key, strlen(key));
    put(line, "\"", json);
    put(line, json ? ":" : "=", 1);
    put(line, "\"", quotes);
    put_escaped(line, text);
    if (quotes) {
        line->bytes[line->used++] = '"'; // of the tail's room if the text was cut
    }
}

static void put_time(line_t *line, int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm utc;
    char text[40] = "?";
    if (gmtime_r(&seconds, &utc) != NULL) {
        size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
        snprintf(text + size, sizeof(text) - size, ".%03dZ", (int)(unix_ms % 1000));
    }
    put_field(line, "time", text);
}

static const char *level_name(int level)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    return level >= ZA_DEBUG && level <= ZA_ERROR ? names[level - ZA_DEBUG] : "error";
}

size_t za_log_render(const za_log_sink_t *sink, int64_t unix_ms, int level, const char *class_name,
                     za_ref_t actor, const char *text, char out[ZA_LOG_LINE_BYTES_MAX])
{
    line_t line = { out, 0, sink->format };
    put_time(&line, unix_ms);
    put_field(&line, "level", level_name(level));
    if (sink->node != NULL) {
        put_field(&line, "node", sink->node);
    }
    if (class_name != NULL) {
        put_field(&line, "class", class_name);
    }
    if (!za_ref_is_none(actor)) {
        char ref[ZA_REF_TEXT_BYTES];
        put_field(&line, "actor", za_ref_format(actor, ref));
    }
    put_field(&line, "msg", text);
    if (sink->format == ZA_LOG_JSON) {
        out[line.used++] = '}';
    }
    out[line.used++] = '\n';
    return line.used;
}

void za_log_write(void *context, int level, const char *class_name, za_ref_t actor,
                  const char *text)
{
    const za_log_sink_t *sink = context;
    if (level < (int)sink->level) {
        return;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t unix_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    char line[ZA_LOG_LINE_BYTES_MAX];
    size_t size = za_log_render(sink, unix_ms, level, class_name, actor, text, line);
    // A log that nobody reads must not stop the node: what is not taken is lost.
    ssize_t written = write(sink->fd, line, size);
    (void)written;
}
