/** Roles of nodes: words, of which a member and a router speak. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/limits.h"

static inline bool za_role_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '-';
}

/** Whether it is one word of ZA_ROLE_BYTES_MAX at most. */
static inline bool za_role_is_valid(const char *role, size_t bytes)
{
    if (bytes == 0 || bytes > ZA_ROLE_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (!za_role_byte(role[i])) {
            return false;
        }
    }
    return true;
}
