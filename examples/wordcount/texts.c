#include "texts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PATH_BYTES_MAX = 4096, // Linux's PATH_MAX
};

typedef struct reader {
    FILE *list;
    char path[PATH_BYTES_MAX];
    char *problem;
    size_t problem_bytes;
} reader_t;

static za_err_t fail(const reader_t *reader, const char *path, const char *why)
{
    snprintf(reader->problem, reader->problem_bytes, "%s: %s", path, why);
    return ZA_EIO;
}

static za_err_t open_list(reader_t *reader, const char *list_path, uint64_t line)
{
    reader->list = fopen(list_path, "re");
    if (reader->list == NULL) {
        return fail(reader, list_path, strerror(errno));
    }
    if (fseeko(reader->list, (off_t)line, SEEK_SET) != 0) {
        za_err_t err = fail(reader, list_path, strerror(errno));
        fclose(reader->list);
        return err;
    }
    return ZA_OK;
}

/** Reads the next path; *found is false at the end of the list. */
static za_err_t next_path(reader_t *reader, bool *found)
{
    *found = false;
    while (fgets(reader->path, sizeof reader->path, reader->list) != NULL) {
        size_t size = strlen(reader->path);
        if (size > 0 && reader->path[size - 1] == '\n') {
            reader->path[--size] = '\0';
        } else if (!feof(reader->list)) {
            return fail(reader, "the list of texts", "a path is too long");
        }
        if (size > 0) {
            *found = true;
            return ZA_OK;
        }
    }
    return ferror(reader->list) ? fail(reader, "the list of texts", "cannot be read") : ZA_OK;
}

za_err_t texts_total(const char *list_path, uint64_t *bytes, char *problem, size_t problem_bytes)
{
    reader_t reader = { .problem = problem, .problem_bytes = problem_bytes };
    za_err_t err = open_list(&reader, list_path, 0);
    if (err != ZA_OK) {
        return err;
    }
    uint64_t total = 0;
    for (;;) {
        bool found;
        err = next_path(&reader, &found);
        if (err != ZA_OK || !found) {
            break;
        }
        struct stat info;
        if (stat(reader.path, &info) != 0) {
            err = fail(&reader, reader.path, strerror(errno));
            break;
        }
        if (!S_ISREG(info.st_mode)) { // a pipe could not be read a second time
            err = fail(&reader, reader.path, "not a regular file");
            break;
        }
        total += (uint64_t)info.st_size;
    }
    fclose(reader.list);
    if (err == ZA_OK) {
        *bytes = total;
    }
    return err;
}

/** Reads up to `capacity` bytes from `offset` of the text; *end if it has no more. */
static za_err_t read_text(const reader_t *reader, uint64_t offset, char *out, size_t capacity,
                          size_t *size, bool *end)
{
    FILE *text = fopen(reader->path, "re");
    if (text == NULL) {
        return fail(reader, reader->path, strerror(errno));
    }
    za_err_t err = ZA_OK;
    if (fseeko(text, (off_t)offset, SEEK_SET) != 0) {
        err = fail(reader, reader->path, strerror(errno));
    } else {
        *size = fread(out, 1, capacity, text);
        *end = feof(text) != 0;
        if (ferror(text)) {
            err = fail(reader, reader->path, strerror(errno));
        }
    }
    fclose(text);
    return err;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/** How much of `text` can be sent without cutting a word: whole lines, or whole words of one line. */
static size_t whole_size(const char *text, size_t size)
{
    for (size_t i = size; i > 0; i--) {
        if (text[i - 1] == '\n') {
            return i;
        }
    }
    while (size > 0 && is_letter(text[size - 1])) {
        size--;
    }
    return size;
}

/** Fills `out` from `*at` on; returns through *size how much of it is one batch. */
static za_err_t fill(reader_t *reader, texts_cursor_t *at, char *out, size_t capacity, size_t *size)
{
    size_t used = 0;
    while (used + 1 < capacity) { // one byte is kept for the newline that ends a text
        bool found;
        za_err_t err = next_path(reader, &found);
        if (err != ZA_OK) {
            return err;
        }
        if (!found) {
            break;
        }
        size_t got = 0;
        bool end = false;
        err = read_text(reader, at->offset, out + used, capacity - used - 1, &got, &end);
        if (err != ZA_OK) {
            return err;
        }
        if (!end) {
            size_t whole = whole_size(out, used + got);
            if (whole == 0) {
                fail(reader, reader->path, "a word is longer than a batch");
                return ZA_ETOOBIG;
            }
            at->offset += whole - used; // texts before this one ended in a newline: whole >= used
            used = whole;
            break;
        }
        used += got;
        if (used > 0 && out[used - 1] != '\n') {
            out[used++] = '\n';
        }
        *at = (texts_cursor_t){ .line = (uint64_t)ftello(reader->list) };
    }
    *size = used;
    return ZA_OK;
}

za_err_t texts_read(const char *list_path, texts_cursor_t *cursor, char *out, size_t capacity,
                    size_t *size, char *problem, size_t problem_bytes)
{
    reader_t reader = { .problem = problem, .problem_bytes = problem_bytes };
    za_err_t err = open_list(&reader, list_path, cursor->line);
    if (err != ZA_OK) {
        return err;
    }
    texts_cursor_t at = *cursor;
    err = fill(&reader, &at, out, capacity, size);
    fclose(reader.list);
    if (err == ZA_OK) {
        *cursor = at;
    }
    return err;
}
