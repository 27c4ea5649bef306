#include "cluster/asked.h"
#include "base/limits.h"
#include "support/za_test.h"

static za_asked_t *asked;

static void begin(void)
{
    cr_assert(za_asked_create(&asked) == ZA_OK);
}

static void end(void)
{
    za_asked_destroy(asked);
}

TestSuite(asked, .init = begin, .fini = end);

Test(asked, asks_for_each_at_once_and_then_from_time_to_time)
{
    cr_expect(za_asked_deadline_ms(asked) == UINT64_MAX, "for nobody");
    cr_expect(za_asked_try(asked, 7, 100));
    cr_expect(!za_asked_try(asked, 7, 200), "lately");
    cr_expect(za_asked_try(asked, 8, 200), "of the other nothing is known");
    cr_expect(za_asked_deadline_ms(asked) == 100 + ZA_ASKED_AGAIN_MS);
    za_asked_expire(asked, 100 + ZA_ASKED_AGAIN_MS);
    cr_expect(!za_asked_try(asked, 8, 100 + ZA_ASKED_AGAIN_MS), "100 ms younger");
    cr_expect(za_asked_try(asked, 7, 100 + ZA_ASKED_AGAIN_MS), "again");
}

Test(asked, asks_at_once_for_whom_there_is_news)
{
    cr_expect(za_asked_try(asked, 7, 100) && za_asked_try(asked, 8, 100));
    za_asked_forget(asked, 7);
    za_asked_forget(asked, 9); // of whom nothing is known
    cr_expect(za_asked_try(asked, 7, 200) && !za_asked_try(asked, 8, 200));
    za_asked_reset(asked);
    cr_expect(za_asked_deadline_ms(asked) == UINT64_MAX);
    cr_expect(za_asked_try(asked, 7, 300) && za_asked_try(asked, 8, 300));
}

Test(asked, asks_for_no_more_than_may_be_linked)
{
    for (uint64_t uid = 1; uid <= ZA_PEERS_MAX; uid++) {
        cr_assert(za_asked_try(asked, uid, uid));
    }
    uint64_t next = ZA_PEERS_MAX + 1;
    cr_expect(!za_asked_try(asked, next, next), "it waits");
    za_asked_expire(asked, 1 + ZA_ASKED_AGAIN_MS);
    cr_expect(za_asked_try(asked, next, 1 + ZA_ASKED_AGAIN_MS), "the first one is out of date");
}
