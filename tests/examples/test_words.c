#include "support/za_test.h"

#include <stdlib.h>
#include <string.h>

#include "words.h"

static words_t *words_of(const char *text)
{
    words_t *words = NULL;
    cr_assert(words_create(&words) == ZA_OK);
    cr_assert(words_count(words, text, strlen(text)) == ZA_OK);
    return words;
}

/** What words_write writes, in `out`. */
static void written(const words_t *words, char *out, size_t out_bytes)
{
    FILE *file = fmemopen(out, out_bytes, "w");
    cr_assert(file != NULL);
    cr_assert(words_write(words, file) == ZA_OK);
    fclose(file);
}

static size_t packed(const words_t *words, uint8_t *out, size_t out_bytes)
{
    size_t size = words_packed_bytes(words);
    cr_assert(size <= out_bytes);
    words_pack(words, out);
    return size;
}

Test(words, are_letters_lower_cased_and_written_in_order)
{
    words_t *words = words_of("The cat, the DOG's cat2cat\xC3\xA4 the");
    char text[256] = "";
    written(words, text, sizeof text);
    cr_expect(strcmp(text, "3 cat\n1 dog\n1 s\n3 the\n") == 0, "%s", text);
    cr_expect(words_size(words) == 4);
    cr_expect(words_total(words) == 8);
    words_destroy(words);
}

Test(words, of_a_batch_arrive_as_they_were_packed)
{
    words_t *batch = words_of("to be or not to be");
    words_t *totals = words_of("be");
    uint8_t bytes[256];
    size_t size = packed(batch, bytes, sizeof bytes);
    cr_assert(words_merge(totals, bytes, size) == ZA_OK);
    char text[256] = "";
    written(totals, text, sizeof text);
    cr_expect(strcmp(text, "3 be\n1 not\n1 or\n2 to\n") == 0, "%s", text);
    words_destroy(batch);
    words_destroy(totals);
}

// Half a batch in the totals would be counted twice when the batch is sent again.
Test(words, of_a_damaged_batch_are_not_merged_at_all)
{
    words_t *batch = words_of("alpha beta gamma");
    uint8_t bytes[256];
    size_t size = packed(batch, bytes, sizeof bytes);
    for (size_t cut = 1; cut < size; cut++) {
        bool whole = cut == 7 || cut == 13; // after a word and its count
        words_t *totals = words_of("");
        za_err_t err = words_merge(totals, bytes, cut);
        cr_expect(err == (whole ? ZA_OK : ZA_EPROTO), "cut at %zu", cut);
        cr_expect(whole || words_size(totals) == 0, "cut at %zu", cut);
        words_destroy(totals);
    }
    words_destroy(batch);
}

Test(words, that_are_none_are_refused)
{
    static const struct {
        uint8_t bytes[12];
        size_t size;
    } bad[] = {
        { { 0, 1 }, 2 },                                                    // no letters
        { { 1, '7', 1 }, 3 },                                               // no letter
        { { 200, 200, 200, 'a' }, 4 },                                      // a size without end
        { { 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 'a', 1 }, 12 }, // a size beyond all
        { { 1, 'a', 128 }, 3 },                                             // a count without end
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        words_t *totals = words_of("");
        cr_expect(words_merge(totals, bad[i].bytes, bad[i].size) == ZA_EPROTO, "case %zu", i);
        cr_expect(words_size(totals) == 0);
        words_destroy(totals);
    }
}

// The table and its text grow many times; nothing is lost and nothing is counted twice.
Test(words, are_counted_right_when_the_table_grows)
{
    enum { WORDS = 5000, TIMES = 3 };
    words_t *words = words_of("");
    for (int time = 0; time < TIMES; time++) {
        for (int i = 0; i < WORDS; i++) {
            char word[8];
            int n = i;
            for (int k = 0; k < 4; k++, n /= 26) {
                word[k] = (char)('a' + n % 26);
            }
            cr_assert(words_count(words, word, 4) == ZA_OK);
        }
    }
    cr_expect(words_size(words) == WORDS);
    cr_expect(words_total(words) == (uint64_t)WORDS * TIMES);

    size_t size = words_packed_bytes(words);
    cr_expect(size == WORDS * 6); // a size, four letters, a count below 128
    words_destroy(words);
}

Test(words, longer_than_the_limit_are_refused)
{
    size_t size = WORD_BYTES_MAX + 1;
    char *text = malloc(size);
    cr_assert(text != NULL);
    memset(text, 'x', size);
    words_t *words = words_of("");
    cr_expect(words_count(words, text, size) == ZA_ETOOBIG);
    cr_expect(words_count(words, text, size - 1) == ZA_OK);
    words_destroy(words);
    free(text);
}
