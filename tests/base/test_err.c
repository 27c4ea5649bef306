#include <zactor/err.h>

#include "support/za_test.h"

static const za_err_t all[] = {
#define CODE(symbol, code, text) symbol,
    ZA_ERRORS(CODE)
#undef CODE
};

enum { ALL = sizeof all / sizeof all[0] };

Test(err, each_code_is_negative_and_means_one_thing)
{
    for (size_t i = 0; i < ALL; i++) {
        cr_expect(all[i] < ZA_OK, "%s", za_err_name(all[i]));
        for (size_t j = 0; j < i; j++) {
            cr_expect(all[i] != all[j], "%s and %s", za_err_name(all[i]), za_err_name(all[j]));
            cr_expect(strcmp(za_err_text(all[i]), za_err_text(all[j])) != 0,
                      "%s has the text of %s", za_err_name(all[i]), za_err_name(all[j]));
        }
    }
}

// "what is wrong: what to do", in one line that fits a log line.
Test(err, each_text_says_what_is_wrong_and_what_to_do)
{
    for (size_t i = 0; i < ALL; i++) {
        const char *text = za_err_text(all[i]);
        const char *advice = strstr(text, ": ");
        cr_assert(advice != NULL && advice > text, "%s: \"%s\"", za_err_name(all[i]), text);
        cr_expect(strlen(advice) > 10, "%s: no advice in \"%s\"", za_err_name(all[i]), text);
        cr_expect(strlen(text) <= 80 && strchr(text, '\n') == NULL, "%s: %zu bytes",
                  za_err_name(all[i]), strlen(text));
        cr_expect(strncmp(za_err_name(all[i]), "ZA_E", 4) == 0, "%s", za_err_name(all[i]));
    }
}

Test(err, unknown_codes_have_a_name_and_a_text)
{
    cr_expect(strcmp(za_err_name(ZA_OK), "ZA_OK") == 0, "%s", za_err_name(ZA_OK));
    cr_expect(strcmp(za_err_text(ZA_OK), "ok") == 0, "%s", za_err_text(ZA_OK));
    cr_expect(strcmp(za_err_name((za_err_t)-999), "ZA_E?") == 0, "%s", za_err_name((za_err_t)-999));
    cr_expect(strcmp(za_err_text((za_err_t)-999), "unknown error") == 0, "%s",
              za_err_text((za_err_t)-999));
}
