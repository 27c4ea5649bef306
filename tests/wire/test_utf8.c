#include "support/za_test.h"

#include <string.h>

#include "wire/utf8.h"

static bool valid(const char *text)
{
    return za_utf8_valid((const uint8_t *)text, strlen(text));
}

Test(utf8, takes_every_length_at_every_place)
{
    static const char *const good[] = { "",
                                        "a",
                                        "\x7f",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf" };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        for (int before = 0; before < 18; before++) {
            char text[40];
            memset(text, 'x', sizeof text);
            memcpy(text + before, good[i], strlen(good[i]));
            text[before + 12] = '\0';
            cr_expect(valid(text), "%zu after %d", i, before);
        }
    }
}

Test(utf8, refuses_all_else_at_every_place)
{
    static const char *const wrong[] = { "\x80",
                                         "\xbf",
                                         "\xc0\xaf",
                                         "\xc1\xbf",
                                         "\xc2",
                                         "\xc2z",
                                         "\xe0\x9f\xbf",
                                         "\xe2\x82",
                                         "\xed\xa0\x80",
                                         "\xef\xbfz",
                                         "\xf0\x8f\xbf\xbf",
                                         "\xf4\x90\x80\x80",
                                         "\xf5\x80\x80\x80",
                                         "\xff",
                                         "\xf0\x9f\x98" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        for (int before = 0; before < 18; before++) {
            char text[40] = "xxxxxxxxxxxxxxxxxxxxxxxx";
            strcpy(text + before, wrong[i]);
            cr_expect(!valid(text), "%zu at the end, after %d", i, before);
        }
    }
}

// The bytes behind would complete it, but are not its own.
Test(utf8, refuses_a_sequence_that_is_cut)
{
    static const char *const whole[] = { "\xc2\x80", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    for (size_t i = 0; i < 3; i++) {
        for (size_t size = 1; size < strlen(whole[i]); size++) {
            cr_expect(!za_utf8_valid((const uint8_t *)whole[i], size), "%zu bytes of %zu", size, i);
        }
    }
}
