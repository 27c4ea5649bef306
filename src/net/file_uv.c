#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "net/file.h"

enum { PATH_BYTES_MAX = 512, PROBLEM_BYTES = PATH_BYTES_MAX + 128 };

struct za_file {
    uv_work_t work;
    za_file_fn done; // NULL: abandoned
    void *context;
    za_err_t err;
    uint32_t size, bytes_max;
    char path[PATH_BYTES_MAX + 1];
    char problem[PROBLEM_BYTES];
    char text[]; // and one byte more, to see that there is more
};

static za_err_t fail(za_file_t *file, za_err_t err, const char *why)
{
    snprintf(file->problem, sizeof file->problem, "%s: %s", file->path, why);
    return err;
}

static za_err_t fail_by_errno(za_file_t *file)
{
    za_err_t err = errno == ENOENT ? ZA_ENOENT : errno == EACCES ? ZA_EDENIED : ZA_EIO;
    return fail(file, err, strerror(errno));
}

static za_err_t read_all(za_file_t *file, int fd)
{
    while (file->size <= file->bytes_max) {
        ssize_t got = read(fd, file->text + file->size, file->bytes_max + 1 - file->size);
        if (got == 0) {
            return ZA_OK;
        }
        if (got < 0 && errno != EINTR) {
            return fail_by_errno(file);
        }
        file->size += got > 0 ? (uint32_t)got : 0;
    }
    return fail(file, ZA_ETOOBIG, "the file is too large");
}

/** On a thread of libuv's. */
static void work(uv_work_t *request)
{
    za_file_t *file = request->data;
    int fd =
        open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe would wait for its writer
    if (fd < 0) {
        file->err = fail_by_errno(file);
        return;
    }
    file->err = read_all(file, fd);
    close(fd);
}

static void after(uv_work_t *request, int status)
{
    za_file_t *file = request->data;
    if (file->done != NULL && status == 0) {
        file->done(file->context, file->err, file->problem, file->text, file->size);
    }
    free(file);
}

za_err_t za_file_read(za_loop_t *loop, const char *path, uint32_t bytes_max, za_file_fn done,
                      void *context, za_file_t **out)
{
    if (strlen(path) > PATH_BYTES_MAX) {
        return ZA_EINVAL;
    }
    za_file_t *file = calloc(1, sizeof *file + bytes_max + 1);
    if (file == NULL) {
        return ZA_ENOMEM;
    }
    file->done = done;
    file->context = context;
    file->bytes_max = bytes_max;
    file->work.data = file;
    strcpy(file->path, path);
    if (uv_queue_work(za_loop_uv(loop), &file->work, work, after) != 0) {
        free(file);
        return ZA_ENOMEM;
    }
    *out = file;
    return ZA_OK;
}

void za_file_abandon(za_file_t *file)
{
    file->done = NULL;
    uv_cancel((uv_req_t *)&file->work); // one that has begun ends by itself
}
