/**
 * Log: one line per entry on a file descriptor, as logfmt or JSON, one write each, so that lines of
 * several threads do not mix. Lines are cut at ZA_LOG_LINE_BYTES_MAX.
 *
 * Threads  A sink is constant after it was filled in; any thread may write.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <zactor/actor.h>

#include "node/config.h"

enum { ZA_LOG_LINE_BYTES_MAX = 2048 };

typedef struct za_log_sink {
    int fd;
    za_level_t level; // least that is written
    za_log_format_t format;
    const char *node; // borrowed; NULL: none
} za_log_sink_t;

/** The line with its newline at `unix_ms`; returns its size. `class_name` may be NULL, `actor` none. */
size_t za_log_render(const za_log_sink_t *sink, int64_t unix_ms, int level, const char *class_name,
                     za_ref_t actor, const char *text, char out[ZA_LOG_LINE_BYTES_MAX]);

/** Writes a line now. Has the signature of a node's log; `context` is a za_log_sink_t. */
void za_log_write(void *context, int level, const char *class_name, za_ref_t actor,
                  const char *text);
