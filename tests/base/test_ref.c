#include <zactor/ref.h>

#include "support/za_test.h"

static const za_ref_t refs[] = {
    { 0, UINT64_C(1) << 28 | 1 },
    { 0, UINT64_MAX },
    { UINT64_MAX - 1, UINT64_C(7) << 28 | 0xabc },
    { ZA_NODE_NAMED, 1 },
    { ZA_NODE_NAMED, UINT64_MAX },
    { 1, UINT64_C(1) << 28 },
};

Test(ref, what_is_formatted_can_be_parsed)
{
    for (size_t i = 0; i < sizeof refs / sizeof refs[0]; i++) {
        char text[ZA_REF_TEXT_BYTES];
        za_ref_t back = ZA_REF_NONE;
        za_ref_format(refs[i], text);
        cr_assert(strlen(text) < sizeof text, "it fits");
        cr_assert(za_ref_parse(text, &back) == ZA_OK, "%s", text);
        cr_assert(za_ref_equal(back, refs[i]), "%s is itself", text);
    }
}

Test(ref, what_is_no_reference_is_refused_and_nothing_written)
{
    static const char *const texts[] = {
        "",
        "local",
        "local/",
        "local/1",
        "local/1:",
        "local/1:0",
        "local/1:1x",
        "1/1",
        "0/1:1",
        "x/1:1",
        "1/x:1",
        "local/12345678:1",
        "1/1:99999999999",
        "local/1:68719476736",
        "1/1:1 ",
        "ffffffffffffffff/1:1",
        "named/",
        "named/1",
        "named/0000000000000000",
        "named/00000000000000010",
        "named/000000000000000x",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        za_ref_t out = { 3, 4 };
        cr_expect(za_ref_parse(texts[i], &out) == ZA_EINVAL, "\"%s\"", texts[i]);
        cr_expect(out.node == 3 && out.actor == 4, "\"%s\": untouched", texts[i]);
    }
    za_ref_t out;
    cr_expect(za_ref_parse(NULL, &out) == ZA_EINVAL && za_ref_parse("1/1:1", NULL) == ZA_EINVAL);
}
