#include "base/pages.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "support/za_test.h"

enum { BYTES = 16 * ZA_PAGE_BYTES };

static bool is_zero(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

Test(pages, are_zeroed_whatever_their_number)
{
    static const size_t sizes[] = { 1, ZA_PAGES_BYTES_MIN - 1, ZA_PAGES_BYTES_MIN, BYTES + 5 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int again = 0; again < 3; again++) { // the heap hands the same out again
            unsigned char *pages = za_pages_alloc(sizes[i]);
            cr_assert(pages != NULL && is_zero(pages, sizes[i]), "%zu bytes", sizes[i]);
            memset(pages, 7, sizes[i]);
            za_pages_free(pages, sizes[i]);
        }
    }
    za_pages_free(NULL, 5);
}

Test(pages, begin_at_a_page)
{
    void *pages = za_pages_alloc(ZA_PAGES_BYTES_MIN);
    cr_assert((uintptr_t)pages % ZA_PAGE_BYTES == 0, "%p", pages);
    za_pages_free(pages, ZA_PAGES_BYTES_MIN);
}

#ifndef __SANITIZE_ADDRESS__ // its heap has them
/** How many pages of the block are in memory. */
static int resident(void *pages)
{
    unsigned char in[BYTES / ZA_PAGE_BYTES];
    cr_assert(mincore(pages, BYTES, in) == 0, "mincore");
    int count = 0;
    for (size_t i = 0; i < sizeof in; i++) {
        count += in[i] & 1;
    }
    return count;
}

Test(pages, come_when_they_are_written)
{
    unsigned char *pages = za_pages_alloc(BYTES);
    cr_assert(resident(pages) == 0, "%d of a new block", resident(pages));
    pages[5 * ZA_PAGE_BYTES] = 1;
    cr_assert(resident(pages) == 1, "%d after a write", resident(pages));
    za_pages_free(pages, BYTES);
}

Test(pages, go_when_they_are_dropped_and_come_again)
{
    unsigned char *pages = za_pages_alloc(BYTES);
    memset(pages, 7, BYTES);
    // From the middle of the second page: what lies beside stays.
    za_pages_drop(pages + ZA_PAGE_BYTES + 100, BYTES - 2 * ZA_PAGE_BYTES);
    cr_assert(resident(pages) == 3, "%d pages are left", resident(pages));
    cr_assert(pages[ZA_PAGE_BYTES + 99] == 7 && pages[ZA_PAGE_BYTES + 100] == 7,
              "a part of a page");
    cr_assert(pages[BYTES - 1] == 7, "the last page");
    memset(pages, 8, BYTES);
    cr_assert(pages[3 * ZA_PAGE_BYTES] == 8 && pages[BYTES - 1] == 8, "they can be written again");
    za_pages_free(pages, BYTES);
}
#endif

Test(pages, drop_nothing_that_is_no_whole_page)
{
    unsigned char *pages = za_pages_alloc(BYTES);
    memset(pages, 7, BYTES);
    za_pages_drop(pages + 1, ZA_PAGE_BYTES);
    za_pages_drop(pages, 0);
    cr_assert(pages[1] == 7 && pages[ZA_PAGE_BYTES] == 7, "bytes were lost");
    za_pages_free(pages, BYTES);
}
