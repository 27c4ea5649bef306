/**
 * File: a small file read as a whole, by one of libuv's threads, so that a disk or a network file system
 * that hangs does not hold up the loop.
 *
 * Memory   One allocation for each reading, of the largest size that is allowed.
 * Threads  The owner of the loop; the answer comes there, too.
 */
#pragma once

#include "net/loop_uv.h"

typedef struct za_file za_file_t;

/**
 * ZA_OK: `text` holds `size` bytes. ZA_ENOENT, ZA_EDENIED, ZA_EIO, ZA_ETOOBIG (more than bytes_max), and
 * `problem` says which in one line. All ends with the call, the za_file_t too.
 */
typedef void (*za_file_fn)(void *context, za_err_t err, const char *problem, const char *text,
                           uint32_t size);

/** One answer for each ZA_OK, never from inside the call. ZA_ENOMEM, ZA_EINVAL (the path is too long). */
za_err_t za_file_read(za_loop_t *loop, const char *path, uint32_t bytes_max, za_file_fn done,
                      void *context, za_file_t **out);
/** No answer comes any more. */
void za_file_abandon(za_file_t *file);
