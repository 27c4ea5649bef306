#include "cluster/effects.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

const char *za_member_state_name(za_member_state_t state)
{
    switch (state) {
    case ZA_MEMBER_JOINING:
        return "joining";
    case ZA_MEMBER_UP:
        return "up";
    case ZA_MEMBER_SUSPECT:
        return "suspect";
    case ZA_MEMBER_UNREACHABLE:
        return "unreachable";
    case ZA_MEMBER_LEAVING:
        return "leaving";
    case ZA_MEMBER_LEFT:
        return "left";
    case ZA_MEMBER_DOWN:
        return "down";
    }
    return "?";
}

const char *za_effects_copy(za_effects_t *effects, const char *text)
{
    uint32_t bytes = (uint32_t)strlen(text) + 1;
    return memcpy(za_effects_alloc(effects, bytes), text, bytes);
}

const char *za_effects_text(za_effects_t *effects, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = (char *)effects->arena + effects->used;
    uint32_t left = ZA_EFFECTS_ARENA_BYTES - effects->used;
    ZA_ASSERT(left > 0);
    int length = vsnprintf(text, left, format, args);
    va_end(args);
    ZA_ASSERT(length >= 0);
    // A text that meets the end of the arena is cut there: it is for people.
    uint32_t bytes = (uint32_t)length + 1 < left ? (uint32_t)length + 1 : left;
    za_effects_alloc(effects, bytes);
    return text;
}
