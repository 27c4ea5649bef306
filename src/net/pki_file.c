#include "net/pki_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

enum { MODE_CERTIFICATE = 0644, MODE_KEY = 0600 };

static za_err_t file_problem(const char *what, const char *path, char *problem,
                             size_t problem_bytes)
{
    int error = errno;
    snprintf(problem, problem_bytes, "%s %s: %s", what, path, strerror(error));
    return error == ENOENT ? ZA_ENOENT : error == EEXIST ? ZA_EEXIST : ZA_EIO;
}

static bool write_all(int file, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return false;
        }
        bytes += written;
        size -= (size_t)written;
    }
    return fsync(file) == 0;
}

/** Puts `text` under `path`: all of it under another name first, so that no reader sees half. */
static za_err_t write_file(const char *path, const char *text, mode_t mode,
                           za_pki_existing_t existing, char *problem, size_t problem_bytes)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary) {
        snprintf(problem, problem_bytes, "the path is too long: %.100s...", path);
        return ZA_EINVAL;
    }
    int file = mkstemp(temporary); // 0600 from its first moment
    if (file < 0) {
        return file_problem("cannot write", path, problem, problem_bytes);
    }
    za_err_t err = ZA_OK;
    bool written = write_all(file, text, strlen(text)) && fchmod(file, mode) == 0;
    if (!written) {
        err = file_problem("cannot write", path, problem, problem_bytes);
    }
    close(file);
    if (err == ZA_OK && existing == ZA_PKI_REPLACE_EXISTING) {
        if (rename(temporary, path) == 0) {
            return ZA_OK;
        }
        err = file_problem("cannot replace", path, problem, problem_bytes);
    } else if (err == ZA_OK && link(temporary, path) != 0) { // link, not rename: it never replaces
        err = file_problem("cannot create", path, problem, problem_bytes);
    }
    unlink(temporary);
    return err;
}

static za_err_t check_absent(const char *path, char *problem, size_t problem_bytes)
{
    struct stat info;
    if (lstat(path, &info) == 0) {
        errno = EEXIST;
        return file_problem("will not replace", path, problem, problem_bytes);
    }
    return ZA_OK;
}

/** The key first: a certificate without its key helps nobody. */
static za_err_t write_pair(const za_pki_paths_t *paths, const za_pki_pair_t *pair,
                           za_pki_existing_t existing, char *problem, size_t problem_bytes)
{
    za_err_t err = write_file(paths->key, pair->key, MODE_KEY, existing, problem, problem_bytes);
    if (err != ZA_OK) {
        return err;
    }
    err = write_file(paths->certificate, pair->certificate, MODE_CERTIFICATE, existing, problem,
                     problem_bytes);
    if (err != ZA_OK && existing == ZA_PKI_KEEP_EXISTING) {
        unlink(paths->key); // it was ours: link made it a moment ago
    }
    return err;
}

/** Both are looked for before either is written, so that a refusal leaves nothing behind. */
static za_err_t check_paths(const za_pki_paths_t *paths, za_pki_existing_t existing, char *problem,
                            size_t problem_bytes)
{
    if (existing == ZA_PKI_REPLACE_EXISTING) {
        return ZA_OK;
    }
    za_err_t err = check_absent(paths->key, problem, problem_bytes);
    return err != ZA_OK ? err : check_absent(paths->certificate, problem, problem_bytes);
}

za_err_t za_pki_ca_init(const za_pki_paths_t *out, const za_pki_request_t *request,
                        za_pki_existing_t existing, char *problem, size_t problem_bytes)
{
    za_pki_pair_t pair;
    za_err_t err = check_paths(out, existing, problem, problem_bytes);
    if (err == ZA_OK) {
        err = za_pki_make_authority(request, &pair, problem, problem_bytes);
    }
    if (err != ZA_OK) {
        return err;
    }
    err = write_pair(out, &pair, existing, problem, problem_bytes);
    za_pki_zero(&pair, sizeof pair);
    return err;
}

static za_err_t read_pem(const char *path, char out[ZA_PKI_PEM_BYTES_MAX], char *problem,
                         size_t problem_bytes)
{
    char *text;
    size_t size;
    za_err_t err = za_pki_read_file(path, &text, &size, problem, problem_bytes);
    if (err != ZA_OK) {
        return err;
    }
    if (size >= ZA_PKI_PEM_BYTES_MAX) {
        snprintf(problem, problem_bytes, "%s is too long for one certificate or key", path);
        err = ZA_ETOOBIG;
    } else {
        memcpy(out, text, size + 1);
    }
    za_pki_free_file(text, size);
    return err;
}

static za_err_t read_authority(const za_pki_paths_t *ca, za_pki_pair_t *out, char *problem,
                               size_t problem_bytes)
{
    za_err_t err = read_pem(ca->certificate, out->certificate, problem, problem_bytes);
    return err != ZA_OK ? err : read_pem(ca->key, out->key, problem, problem_bytes);
}

za_err_t za_pki_issue(const za_pki_paths_t *ca, const za_pki_request_t *request,
                      const za_pki_paths_t *out, za_pki_existing_t existing, char *problem,
                      size_t problem_bytes)
{
    za_pki_pair_t authority;
    za_pki_pair_t pair;
    za_err_t err = check_paths(out, existing, problem, problem_bytes);
    if (err == ZA_OK) {
        err = read_authority(ca, &authority, problem, problem_bytes);
    }
    if (err == ZA_OK) {
        err = za_pki_make_node(&authority, request, &pair, problem, problem_bytes);
    }
    if (err == ZA_OK) {
        err = write_pair(out, &pair, existing, problem, problem_bytes);
    }
    za_pki_zero(&authority, sizeof authority);
    za_pki_zero(&pair, sizeof pair);
    return err;
}

za_err_t za_pki_revoke(const za_pki_paths_t *ca, const za_pki_revocations_t *request,
                       const char *out_path, za_pki_existing_t existing, char *problem,
                       size_t problem_bytes)
{
    static const size_t list_bytes = ZA_PKI_REVOKED_PEM_BYTES_MAX;
    za_pki_pair_t authority;
    char *list = malloc(list_bytes);
    if (list == NULL) {
        snprintf(problem, problem_bytes, "no memory for a revocation list");
        return ZA_ENOMEM;
    }
    za_err_t err = read_authority(ca, &authority, problem, problem_bytes);
    if (err == ZA_OK) {
        err =
            za_pki_make_revocations(&authority, request, list, list_bytes, problem, problem_bytes);
    }
    if (err == ZA_OK) {
        err = write_file(out_path, list, MODE_CERTIFICATE, existing, problem, problem_bytes);
    }
    za_pki_zero(&authority, sizeof authority);
    free(list);
    return err;
}

za_err_t za_pki_describe_file(const char *path, za_pki_info_t *out, char *problem,
                              size_t problem_bytes)
{
    char *text;
    size_t size;
    za_err_t err = za_pki_read_file(path, &text, &size, problem, problem_bytes);
    if (err != ZA_OK) {
        return err;
    }
    err = za_pki_describe(text, out, problem, problem_bytes);
    za_pki_free_file(text, size);
    return err;
}

static za_err_t read_all(int file, const char *path, char **text, size_t *size, char *problem,
                         size_t problem_bytes)
{
    struct stat info;
    if (fstat(file, &info) != 0) {
        return file_problem("cannot read", path, problem, problem_bytes);
    }
    if (!S_ISREG(info.st_mode) || info.st_size > ZA_PKI_FILE_BYTES_MAX) {
        snprintf(problem, problem_bytes, "%s is not a file of at most 256 KiB", path);
        return ZA_EINVAL;
    }
    size_t capacity = (size_t)info.st_size;
    char *bytes = calloc(1, capacity + 1);
    if (bytes == NULL) {
        snprintf(problem, problem_bytes, "no memory to read %s", path);
        return ZA_ENOMEM;
    }
    size_t filled = 0;
    while (filled < capacity) {
        ssize_t got = read(file, bytes + filled, capacity - filled);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            za_err_t err = file_problem("cannot read", path, problem, problem_bytes);
            za_pki_free_file(bytes, capacity);
            return err;
        }
        if (got == 0) {
            break;
        }
        filled += (size_t)got;
    }
    *text = bytes;
    *size = filled;
    return ZA_OK;
}

za_err_t za_pki_read_file(const char *path, char **text, size_t *size, char *problem,
                          size_t problem_bytes)
{
    ZA_ASSERT(path != NULL && text != NULL && size != NULL);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return file_problem("cannot read", path, problem, problem_bytes);
    }
    za_err_t err = read_all(file, path, text, size, problem, problem_bytes);
    close(file);
    return err;
}

void za_pki_free_file(char *text, size_t size)
{
    za_pki_zero(text, size);
    free(text);
}
