// The table of members' texts: each kept once, as long as somebody has it.
#include "cluster/member_texts.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "support/za_test.h"

static za_member_profile_t profile(const char *name, const char *meta)
{
    return (za_member_profile_t){
        .joined = 1,
        .attributes = 1,
        .name = name,
        .address = "h:1",
        .roles = "db",
        .meta = (const uint8_t *)meta,
        .name_bytes = (uint32_t)strlen(name),
        .address_bytes = 3,
        .roles_bytes = 2,
        .meta_bytes = (uint32_t)strlen(meta),
    };
}

Test(member_texts, equal_texts_are_one_until_the_last_is_released)
{
    za_member_texts_t *texts;
    cr_assert(za_member_texts_create(4, &texts) == ZA_OK, "create");
    za_member_profile_t a = profile("a", "m");
    za_member_profile_t later = a;
    later.attributes = 2;
    uint32_t first = za_member_texts_intern(texts, &a);
    uint32_t second = za_member_texts_intern(texts, &a);
    uint32_t other = za_member_texts_intern(texts, &later);
    cr_assert(first == second && first != other && za_member_texts_count(texts) == 2, "shared");
    const za_member_text_t *text = za_member_texts_at(texts, first);
    cr_assert(strcmp(text->name, "a") == 0 && strcmp(za_member_text_address(text), "h:1") == 0 &&
                  strcmp(za_member_text_roles(text), "db") == 0 && text->meta_bytes == 1 &&
                  za_member_text_meta(text)[0] == 'm',
              "its texts");
    za_member_texts_release(texts, first);
    cr_assert(za_member_texts_count(texts) == 2, "one still has it");
    za_member_texts_release(texts, second);
    za_member_texts_release(texts, other);
    cr_assert(za_member_texts_count(texts) == 0, "kept for nobody");
    za_member_texts_destroy(texts);
}

Test(member_texts, a_full_table_says_so)
{
    za_member_texts_t *texts;
    cr_assert(za_member_texts_create(2, &texts) == ZA_OK, "create");
    za_member_profile_t a = profile("a", "");
    za_member_profile_t b = profile("b", "");
    za_member_profile_t c = profile("c", "");
    uint32_t first = za_member_texts_intern(texts, &a);
    cr_assert(first != 0 && za_member_texts_intern(texts, &b) != 0, "two");
    cr_assert(za_member_texts_intern(texts, &c) == 0, "a third");
    za_member_texts_release(texts, first);
    cr_assert(za_member_texts_intern(texts, &c) != 0, "room again");
    za_member_texts_destroy(texts);
    cr_assert(za_member_texts_create(0, &texts) == ZA_EINVAL, "a table for none");
}

enum { IDS = 600, STEPS = 100000 };

// Against a list of what is held: texts of all sizes come and go, and every id keeps its own.
Test(member_texts, ids_keep_their_texts)
{
    static uint32_t held[IDS];
    static char meta[IDS][600];
    za_member_texts_t *texts;
    za_rng_t rng;
    za_rng_init(&rng, 5);
    cr_assert(za_member_texts_create(IDS, &texts) == ZA_OK, "create");
    uint32_t count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint64_t at = za_rng_below(&rng, IDS);
        char name[16];
        snprintf(name, sizeof name, "n%d", (int)at);
        if (held[at] == 0) {
            uint64_t bytes = za_rng_below(&rng, ZA_MEMBER_META_BYTES_MAX + 1);
            memset(meta[at], 'a' + (int)(at % 26), bytes);
            meta[at][bytes] = '\0';
            za_member_profile_t made = profile(name, meta[at]);
            held[at] = za_member_texts_intern(texts, &made);
            cr_assert(held[at] != 0, "step %d: full", step);
            count++;
        } else {
            const za_member_text_t *text = za_member_texts_at(texts, held[at]);
            cr_assert(strcmp(text->name, name) == 0 && text->meta_bytes == strlen(meta[at]) &&
                          memcmp(za_member_text_meta(text), meta[at], text->meta_bytes) == 0,
                      "step %d: other texts", step);
            za_member_texts_release(texts, held[at]);
            held[at] = 0;
            count--;
        }
        cr_assert(za_member_texts_count(texts) == count, "step %d", step);
    }
    za_member_texts_destroy(texts);
}
