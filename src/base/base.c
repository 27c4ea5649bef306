#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zactor/ref.h>

#include "base/assert.h"

_Noreturn void za_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "zactor: assertion failed: %s (%s:%d)\n", expression, file, line);
    abort();
}

_Noreturn void za_misuse(const char *what, const char *text)
{
    fprintf(stderr, "zactor: misuse: %s %s\n", what, text);
    abort();
}

const char *za_err_name(za_err_t err)
{
    switch (err) {
    case ZA_OK:
        return "ZA_OK";
#define ZA_ERR_NAME(symbol, code, text)                                                            \
    case symbol:                                                                                   \
        return #symbol;
        ZA_ERRORS(ZA_ERR_NAME)
#undef ZA_ERR_NAME
    }
    return "ZA_E?";
}

const char *za_err_text(za_err_t err)
{
    switch (err) {
    case ZA_OK:
        return "ok";
#define ZA_ERR_TEXT(symbol, code, text)                                                            \
    case symbol:                                                                                   \
        return text;
        ZA_ERRORS(ZA_ERR_TEXT)
#undef ZA_ERR_TEXT
    }
    return "unknown error";
}

enum { SLOT_BITS = 28 };

const char *za_ref_format(za_ref_t ref, char text[ZA_REF_TEXT_BYTES])
{
    uint64_t slot = ref.actor & ((1u << SLOT_BITS) - 1);
    uint64_t generation = ref.actor >> SLOT_BITS;
    if (za_ref_is_named(ref)) {
        snprintf(text, ZA_REF_TEXT_BYTES, "named/%016" PRIx64, ref.actor);
    } else if (ref.node == 0) {
        snprintf(text, ZA_REF_TEXT_BYTES, "local/%" PRIx64 ":%" PRIu64, slot, generation);
    } else {
        snprintf(text, ZA_REF_TEXT_BYTES, "%016" PRIx64 "/%" PRIx64 ":%" PRIu64, ref.node, slot,
                 generation);
    }
    return text;
}

static za_err_t parse_named(const char *text, za_ref_t *out)
{
    uint64_t name = 0;
    int end = 0;
    // Exactly 16 digits: what is shorter was cut off somewhere.
    if (sscanf(text, "named/%16" SCNx64 "%n", &name, &end) != 1 || end != 6 + 16 ||
        text[end] != '\0' || name == 0) {
        return ZA_EINVAL;
    }
    *out = (za_ref_t){ ZA_NODE_NAMED, name };
    return ZA_OK;
}

za_err_t za_ref_parse(const char *text, za_ref_t *out)
{
    if (text == NULL || out == NULL) {
        return ZA_EINVAL;
    }
    uint64_t node = 0;
    uint64_t slot = 0;
    uint64_t generation = 0;
    int end = 0;
    if (strncmp(text, "named/", 6) == 0) {
        return parse_named(text, out);
    }
    if (strncmp(text, "local/", 6) == 0) {
        if (sscanf(text, "local/%7" SCNx64 ":%11" SCNu64 "%n", &slot, &generation, &end) != 2) {
            return ZA_EINVAL;
        }
    } else if (sscanf(text, "%16" SCNx64 "/%7" SCNx64 ":%11" SCNu64 "%n", &node, &slot, &generation,
                      &end) != 3 ||
               node == 0 || node == ZA_NODE_NAMED) {
        return ZA_EINVAL;
    }
    if (text[end] != '\0' || generation == 0 || generation >> (64 - SLOT_BITS) != 0) {
        return ZA_EINVAL;
    }
    *out = (za_ref_t){ node, generation << SLOT_BITS | slot };
    return ZA_OK;
}
