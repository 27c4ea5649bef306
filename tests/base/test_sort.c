// Heap sort against all orders of a few items and against random ones of many.
#include "base/rng.h"
#include "base/sort.h"
#include "support/za_test.h"

enum { FEW = 7, MANY = 1000 };

typedef struct box {
    uint32_t key;
    uint32_t label; // what must stay with its key
} box_t;

static bool box_before(const void *a, const void *b)
{
    return ((const box_t *)a)->key < ((const box_t *)b)->key;
}

static const za_sort_t by_key = { sizeof(box_t), box_before };

Test(sort, any_order_of_a_few_keys_ends_sorted)
{
    // Each key from 0 to FEW - 1, so that every kind of equal keys is among them, too.
    uint32_t orders = 1;
    for (uint32_t i = 0; i < FEW; i++) {
        orders *= FEW;
    }
    for (uint32_t order = 0; order < orders; order++) {
        box_t boxes[FEW];
        uint32_t counts[FEW] = { 0 };
        uint32_t rest = order;
        for (uint32_t i = 0; i < FEW; i++, rest /= FEW) {
            boxes[i] = (box_t){ .key = rest % FEW };
            counts[rest % FEW]++;
        }
        za_sort(&by_key, boxes, FEW);
        uint32_t at = 0;
        for (uint32_t key = 0; key < FEW; key++) {
            for (uint32_t i = 0; i < counts[key]; i++, at++) {
                cr_assert(boxes[at].key == key, "order %u: %u at %u", order, boxes[at].key, at);
            }
        }
    }
}

Test(sort, items_stay_whole_and_none_is_lost)
{
    za_rng_t rng;
    za_rng_init(&rng, 1);
    for (uint32_t count = 0; count <= MANY; count += 1 + count / 3) {
        box_t boxes[MANY];
        bool seen[MANY] = { false };
        for (uint32_t i = 0; i < count; i++) {
            boxes[i].label = i;
            boxes[i].key = i * 7919 % MANY;
        }
        for (uint32_t i = count; i > 1; i--) {
            box_t *other = &boxes[za_rng_below(&rng, i)];
            box_t last = boxes[i - 1];
            boxes[i - 1] = *other;
            *other = last;
        }
        za_sort(&by_key, boxes, count);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert(i == 0 || boxes[i - 1].key <= boxes[i].key, "%u of %u", i, count);
            cr_assert(boxes[i].key == boxes[i].label * 7919 % MANY, "%u of %u is torn", i, count);
            cr_assert(!seen[boxes[i].label], "%u of %u stands twice", i, count);
            seen[boxes[i].label] = true;
        }
    }
}
