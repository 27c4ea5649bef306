#include "support/za_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "texts.h"

enum {
    PATH_BYTES = 64,
    PROBLEM_BYTES = 256,
};

typedef struct fixture {
    char dir[PATH_BYTES];
    char list[PATH_BYTES + 16];
    char problem[PROBLEM_BYTES];
    unsigned count;
} fixture_t;

static fixture_t make_fixture(void)
{
    fixture_t fixture = { .dir = "/tmp/za_texts.XXXXXX" };
    cr_assert(mkdtemp(fixture.dir) != NULL);
    snprintf(fixture.list, sizeof fixture.list, "%s/list", fixture.dir);
    FILE *list = fopen(fixture.list, "w");
    cr_assert(list != NULL);
    fclose(list);
    return fixture;
}

static void text_path(const fixture_t *fixture, unsigned n, char out[PATH_BYTES + 16])
{
    snprintf(out, PATH_BYTES + 16, "%s/%u", fixture->dir, n);
}

static void add_text(fixture_t *fixture, const char *content)
{
    char path[PATH_BYTES + 16];
    text_path(fixture, fixture->count++, path);
    FILE *text = fopen(path, "w");
    FILE *list = fopen(fixture->list, "a");
    cr_assert(text != NULL && list != NULL);
    fputs(content, text);
    fprintf(list, "%s\n", path);
    fclose(text);
    fclose(list);
}

static void remove_fixture(fixture_t *fixture)
{
    char path[PATH_BYTES + 16];
    for (unsigned i = 0; i < fixture->count; i++) {
        text_path(fixture, i, path);
        unlink(path);
    }
    unlink(fixture->list);
    rmdir(fixture->dir);
}

/** Reads the batch at `cursor` as a string, and checks that it can be read again. */
static za_err_t read_batch(fixture_t *fixture, texts_cursor_t *cursor, size_t capacity, char *out)
{
    texts_cursor_t again = *cursor;
    size_t size = 0;
    za_err_t err = texts_read(fixture->list, cursor, out, capacity, &size, fixture->problem,
                              sizeof fixture->problem);
    if (err != ZA_OK) {
        return err;
    }
    out[size] = '\0';
    char second[256];
    size_t second_size = 0;
    cr_assert(texts_read(fixture->list, &again, second, capacity, &second_size, fixture->problem,
                         sizeof fixture->problem) == ZA_OK);
    cr_expect(second_size == size && memcmp(second, out, size) == 0);
    cr_expect(again.line == cursor->line && again.offset == cursor->offset);
    return ZA_OK;
}

Test(texts, are_cut_behind_a_line)
{
    fixture_t fixture = make_fixture();
    add_text(&fixture, "one two\nthree\nfour five six\n");
    texts_cursor_t at = { 0 };
    char batch[256];
    cr_assert(read_batch(&fixture, &at, 20, batch) == ZA_OK);
    cr_expect(strcmp(batch, "one two\nthree\n") == 0, "%s", batch);
    cr_assert(read_batch(&fixture, &at, 20, batch) == ZA_OK);
    cr_expect(strcmp(batch, "four five six\n") == 0, "%s", batch);
    cr_assert(read_batch(&fixture, &at, 20, batch) == ZA_OK);
    cr_expect(strcmp(batch, "") == 0, "the end: %s", batch);
    remove_fixture(&fixture);
}

Test(texts, are_never_cut_inside_a_word)
{
    fixture_t fixture = make_fixture();
    add_text(&fixture, "one two three");
    texts_cursor_t at = { 0 };
    char batch[256];
    cr_assert(read_batch(&fixture, &at, 12, batch) == ZA_OK);
    cr_expect(strcmp(batch, "one two ") == 0, "%s", batch);
    cr_assert(read_batch(&fixture, &at, 12, batch) == ZA_OK);
    cr_expect(strcmp(batch, "three\n") == 0, "%s", batch);
    remove_fixture(&fixture);
}

// The last word of a text and the first of the next one are two words.
Test(texts, end_their_last_line)
{
    fixture_t fixture = make_fixture();
    add_text(&fixture, "foot");
    add_text(&fixture, "");
    add_text(&fixture, "ball\n");
    texts_cursor_t at = { 0 };
    char batch[256];
    cr_assert(read_batch(&fixture, &at, 100, batch) == ZA_OK);
    cr_expect(strcmp(batch, "foot\nball\n") == 0, "%s", batch);
    uint64_t bytes = 0;
    cr_assert(texts_total(fixture.list, &bytes, fixture.problem, sizeof fixture.problem) == ZA_OK);
    cr_expect(bytes == 9);
    remove_fixture(&fixture);
}

Test(texts, that_cannot_be_read_are_named)
{
    fixture_t fixture = make_fixture();
    add_text(&fixture, "here\n");
    FILE *list = fopen(fixture.list, "a");
    cr_assert(list != NULL);
    fputs("/nowhere/at/all\n", list);
    fclose(list);
    uint64_t bytes = 7;
    cr_expect(texts_total(fixture.list, &bytes, fixture.problem, sizeof fixture.problem) == ZA_EIO);
    cr_expect(strstr(fixture.problem, "/nowhere/at/all") != NULL, "%s", fixture.problem);
    cr_expect(bytes == 7);

    texts_cursor_t at = { 0 };
    char batch[256];
    cr_expect(read_batch(&fixture, &at, 100, batch) == ZA_EIO);
    cr_expect(at.line == 0 && at.offset == 0);
    remove_fixture(&fixture);
}

Test(texts, with_a_word_longer_than_a_batch_are_refused)
{
    fixture_t fixture = make_fixture();
    add_text(&fixture, "abcdefghijklmnopqrstuvwxyz");
    texts_cursor_t at = { 0 };
    char batch[256];
    cr_expect(read_batch(&fixture, &at, 10, batch) == ZA_ETOOBIG);
    remove_fixture(&fixture);
}
