/** node/names.c: lookups beside one writer, who holds the lock. */
#include "check.h"

#include "node/names.c" // its lines are its own
#include "scenarios.h"

enum { NAMES_MAX = 8 };

static za_names_t *names;

/** Names of one chain as long as there are two; the third goes to another when there are three. */
static const name_key_t key_a = { 0x11, 1 };
static const name_key_t key_b = { 0x21, 2 };
static const name_key_t key_c = { 0x05, 3 };
static const name_key_t key_d = { 0x31, 4 };
static const name_key_t key_e = { 0x41, 5 };

/** A reference that says for which name it was set, and when; the other half repeats it. */
static za_ref_t ref_for(name_key_t key, uint64_t version)
{
    uint64_t actor = version << 8 | key.low;
    return (za_ref_t){ actor * 3, actor };
}

static void put(name_key_t key, uint64_t version)
{
    place_t place = find_place(names, key);
    holding_t holding = { key, ref_for(key, version) };
    if (place.line != NULL) {
        change(names, &place, &holding);
    } else {
        ZC_MUST(add(names, &place, &holding) == ZA_OK, "there is room");
    }
}

static void drop(name_key_t key)
{
    place_t place = find_place(names, key);
    take_out(names, place.first, place.line, place.slot);
    names->count--;
}

static void setup_names(void)
{
    ZC_MUST(za_names_create(NAMES_MAX, &names) == ZA_OK, "memory");
    atomic_store_explicit(&names->extent, extent_of(2, 1), memory_order_relaxed);
    put(key_a, 1);
    put(key_b, 1);
}

static void put_behind(name_key_t key)
{
    uint64_t count = names->count;
    names->count = 0; // as if there were few: nothing is split
    put(key, 1);
    names->count = count + 1;
}

/** C is behind A and B, in a line of its own. */
static void setup_chain(void)
{
    setup_names();
    put_behind(key_c);
}

/** A and B, C and D, E. */
static void setup_long_chain(void)
{
    setup_chain();
    put_behind(key_d);
    put_behind(key_e);
}

/** False: nobody holds it. Otherwise its holder of some time. */
static bool see(name_key_t key, bool whole)
{
    za_ref_t ref = ZA_REF_NONE;
    if (find(names, key, whole, &ref) != ZA_OK) {
        return false;
    }
    ZC_MUST(ref.node == ref.actor * 3, "halves of two references");
    ZC_MUST((ref.actor & 0xff) == key.low, "the holder of another name");
    return true;
}

static void look_for_c(void)
{
    ZC_MUST(see(key_c, true), "a name that is held all the time is not found");
}

static void look_for_b(void)
{
    ZC_MUST(see(key_b, false), "a name that is held all the time is not found by its hash");
}

static void look_for_e(void)
{
    ZC_MUST(see(key_e, true), "a name that is held all the time is not found");
}

static void look_for_a_twice(void)
{
    za_ref_t first = ZA_REF_NONE;
    za_ref_t second = ZA_REF_NONE;
    ZC_MUST(find(names, key_a, true, &first) == ZA_OK, "held all the time");
    ZC_MUST(find(names, key_a, true, &second) == ZA_OK, "held all the time");
    ZC_MUST(first.node == first.actor * 3 && second.node == second.actor * 3, "halves");
    ZC_MUST(first.actor <= second.actor, "an older holder after a newer one");
}

static void look_for_all(void)
{
    see(key_a, true);
    see(key_d, true);
}

// A and B fill their line: the new holder goes to the end of the chain first, and back.
static void change_a(void)
{
    put(key_a, 2);
    put(key_a, 3);
}

// C moves up; its line is left, and taken by the next one.
static void clear_and_set(void)
{
    drop(key_a);
    put(key_d, 1);
}

// E takes the place of C in the middle of the chain.
static void clear_c(void)
{
    drop(key_c);
}

// D is one more than there are lines: C goes to the third.
static void add_one(void)
{
    put(key_d, 1);
}

static void finish_all(void)
{
    ZC_MUST(see(key_b, true), "B is held");
}

const zc_scenario_t zc_names = {
    .name = "names",
    .promise = "who looks while a holder changes finds the old one or the new one",
    .setup = setup_names,
    .threads = { { "writer", change_a }, { "reader", look_for_a_twice }, { "other", look_for_b } },
    .finish = finish_all,
    .preemptions = 2,
    .stale = 1,
};

const zc_scenario_t zc_names_clear = {
    .name = "names-clear",
    .promise = "a name that moves within its chain is found; a cleared one is, or is not",
    .setup = setup_chain,
    .threads = { { "writer", clear_and_set }, { "reader", look_for_c }, { "other", look_for_all } },
    .finish = finish_all,
    .preemptions = 2,
    .stale = 1,
};

const zc_scenario_t zc_names_split = {
    .name = "names-split",
    .promise = "a name that moves to another chain is found, and so is who stays",
    .setup = setup_chain,
    .threads = { { "writer", add_one }, { "reader", look_for_c }, { "other", look_for_b } },
    .finish = finish_all,
    .preemptions = 2,
    .stale = 1,
};

const zc_scenario_t zc_names_long = {
    .name = "names-long",
    .promise = "a name that moves between two further lines of its chain is found",
    .setup = setup_long_chain,
    .threads = { { "writer", clear_c }, { "reader", look_for_e }, { "other", look_for_b } },
    .finish = finish_all,
    .preemptions = 2,
    .stale = 1,
};
