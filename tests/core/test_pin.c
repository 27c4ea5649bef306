#include "core/pin.h"
#include "support/za_test.h"

static void parses_to(const char *text, const char *wanted)
{
    za_cores_t cores;
    char printed[64];
    cr_assert(za_cores_parse(text, &cores) == ZA_OK, "%s is a list", text);
    za_cores_print(&cores, printed, sizeof printed);
    cr_expect(strcmp(printed, wanted) == 0, "%s is %s, not %s", text, wanted, printed);
}

Test(pin, a_list_is_numbers_and_ranges_in_any_order)
{
    parses_to("0", "0");
    parses_to("0,2,4-7", "0,2,4-7");
    parses_to("3,1,0", "3,1,0");
    parses_to("1023", "1023");
    parses_to("5-5", "5");
}

Test(pin, what_is_no_list_is_refused)
{
    static const char *const bad[] = { "",      ",",  "0,",  "a",    "1-",         "3-1", "0,0",
                                       "1-3,2", "-1", "0 1", "1024", "4294967296", "0x1" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        za_cores_t cores = { .count = 7 };
        cr_expect(za_cores_parse(bad[i], &cores) == ZA_EINVAL, "\"%s\"", bad[i]);
        cr_expect(cores.count == 7, "\"%s\" leaves the result alone", bad[i]);
    }
}

Test(pin, a_printed_list_is_cut_to_its_room)
{
    za_cores_t cores;
    cr_assert(za_cores_parse("100,200,300,400", &cores) == ZA_OK, "a list");
    char printed[10];
    memset(printed, 'x', sizeof printed);
    za_cores_print(&cores, printed, sizeof printed);
    cr_expect(memchr(printed, '\0', sizeof printed) != NULL, "it ends");
}

/** A machine whose core i is on the node that the digit i of `nodes` names. */
static za_numa_t machine(const char *nodes)
{
    za_numa_t numa = { 0 };
    memset(numa.nodes, ZA_NUMA_NODE_NONE, sizeof numa.nodes);
    for (; nodes[numa.core_count] != '\0'; numa.core_count++) {
        uint32_t node = (uint32_t)(nodes[numa.core_count] - '0');
        numa.nodes[numa.core_count] = (uint8_t)node;
        numa.node_count = node + 1 > numa.node_count ? node + 1 : numa.node_count;
    }
    return numa;
}

static void spreads_to(const char *nodes, const char *allowed, uint32_t workers, const char *wanted)
{
    za_numa_t numa = machine(nodes);
    za_cores_t cores;
    za_cores_t chosen;
    char printed[64];
    cr_assert(za_cores_parse(allowed, &cores) == ZA_OK, "%s is a list", allowed);
    cr_assert(za_cores_spread(&cores, &numa, workers, &chosen) == ZA_OK, "enough cores");
    za_cores_print(&chosen, printed, sizeof printed);
    cr_expect(strcmp(printed, wanted) == 0, "%u of %s: %s, not %s", workers, allowed, wanted,
              printed);
}

Test(pin, workers_are_spread_evenly_over_the_nodes_and_neighbours_stay_together)
{
    spreads_to("00001111", "0-7", 4, "0-1,4-5");
    spreads_to("01010101", "0-7", 4, "0,2,1,3");
    spreads_to("00001111", "0-7", 8, "0-7");
    spreads_to("00001111", "0-7", 3, "0-1,4");
    spreads_to("00000000", "0-7", 3, "0-2");
}

Test(pin, a_node_without_cores_left_gives_none)
{
    spreads_to("00001111", "0,4-7", 4, "0,4-6");
    spreads_to("00001111", "5-7", 3, "5-7");
}

Test(pin, cores_of_no_known_node_are_used_all_the_same)
{
    spreads_to("0", "0-3", 4, "0-3");
}

Test(pin, more_workers_than_cores_are_refused)
{
    za_cores_t cores;
    za_cores_t chosen;
    cr_assert(za_cores_parse("0-1", &cores) == ZA_OK, "a list");
    cr_expect(za_cores_spread(&cores, NULL, 3, &chosen) == ZA_EINVAL, "3 on 2");
}

Test(pin, some_core_is_allowed_and_one_that_is_not_there_is_not)
{
    za_cores_t cores;
    cr_assert(za_cores_allowed(&cores) == ZA_OK && cores.count > 0, "some core");
    cr_expect(za_cores_have(&cores, cores.cores[0]), "the first");
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    cr_expect(za_pin_attributes(&attributes, cores.cores[0]) == ZA_OK, "a core");
    cr_expect(za_pin_attributes(&attributes, ZA_CORES_MAX) == ZA_EINVAL, "no core");
    pthread_attr_destroy(&attributes);
}
