#include "support/za_test.h"

#include <jansson.h>

#include "node/log.h"

enum { EPOCH_MS = 0 };

static char line[ZA_LOG_LINE_BYTES_MAX];

/** The line of `text` at the epoch, as a C string without its newline. */
static const char *logged(za_log_format_t format, const char *text)
{
    za_log_sink_t sink = { .fd = -1, .level = ZA_DEBUG, .format = format, .node = "alpha" };
    size_t size = za_log_render(&sink, EPOCH_MS, ZA_WARN, "greeter",
                                (za_ref_t){ 0, UINT64_C(1) << 28 | 5 }, text, line);
    cr_assert(size > 0 && size < sizeof(line) && line[size - 1] == '\n');
    line[size - 1] = '\0';
    return line;
}

Test(log, writes_logfmt)
{
    cr_expect_str_eq(logged(ZA_LOG_LOGFMT, "hello world"),
                     "time=1970-01-01T00:00:00.000Z level=warn node=alpha class=greeter "
                     "actor=local/5:1 msg=\"hello world\"");
}

Test(log, writes_json)
{
    cr_expect_str_eq(logged(ZA_LOG_JSON, "a \"b\"\n"),
                     "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\",\"node\":\"alpha\","
                     "\"class\":\"greeter\",\"actor\":\"local/5:1\",\"msg\":\"a \\\"b\\\"\\n\"}");
}

// One entry is one line, whatever a peer managed to get into it.
Test(log, never_breaks_a_line)
{
    const char *text = logged(ZA_LOG_LOGFMT, "x\nlevel=error msg=forged\r\x1b[0m");
    cr_expect(strchr(text, '\n') == NULL && strchr(text, '\r') == NULL &&
                  strchr(text, '\x1b') == NULL,
              "%s", text);
}

// Whatever the text, a JSON line is one that parsers take: cut, and with bytes that are no UTF-8.
Test(log, json_is_valid_for_any_text)
{
    static char text[2 * ZA_LOG_LINE_BYTES_MAX];
    uint32_t random = 1;
    for (int round = 0; round < 2000; round++) {
        size_t size = (size_t)round % sizeof(text);
        for (size_t i = 0; i < size; i++) {
            random = random * 1664525 + 1013904223;
            text[i] = (char)(1 + (random >> 24) % 255);
        }
        text[size] = '\0';
        json_t *json = json_loads(logged(ZA_LOG_JSON, text), 0, NULL);
        cr_assert(json != NULL, "round %d: %s", round, line);
        json_decref(json);
    }
}

Test(log, cuts_between_characters)
{
    static char text[2 * ZA_LOG_LINE_BYTES_MAX];
    for (size_t shift = 0; shift < 4; shift++) {
        size_t used = shift;
        memset(text, 'x', shift);
        while (used + 3 < sizeof(text)) {
            memcpy(text + used, "\xe2\x82\xac", 3);
            used += 3;
        }
        text[used] = '\0';
        json_t *json = json_loads(logged(ZA_LOG_JSON, text), 0, NULL);
        cr_assert(json != NULL, "shift %zu", shift);
        json_decref(json);
    }
}
