#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/rng.h"
#include "node/names.h"
#include "support/za_test.h"

static za_names_t *names_of(uint32_t max)
{
    za_names_t *names = NULL;
    cr_assert(za_names_create(max, &names) == ZA_OK, "no memory");
    return names;
}

static za_ref_t ref_of(uint64_t actor)
{
    return (za_ref_t){ actor * 3, actor };
}

Test(names, answers_what_was_set)
{
    za_names_t *names = names_of(16);
    za_ref_t found = ref_of(99);
    cr_assert(za_names_find(names, "a", &found) == ZA_ENOENT, "nobody has it");
    cr_assert(found.actor == 99, "untouched on failure");
    cr_assert(za_names_set(names, "a", ref_of(1)) == ZA_OK, "set");
    cr_assert(za_names_find(names, "a", &found) == ZA_OK && za_ref_equal(found, ref_of(1)),
              "found");
    cr_assert(za_names_set(names, "a", ref_of(2)) == ZA_OK, "set again");
    cr_assert(za_names_find(names, "a", &found) == ZA_OK && found.actor == 2, "the newer one");
    za_names_destroy(names);
}

Test(names, a_claim_takes_no_name_of_another)
{
    za_names_t *names = names_of(16);
    za_ref_t found;
    cr_assert(za_names_claim(names, "a", ref_of(1)) == ZA_OK, "free");
    cr_assert(za_names_claim(names, "a", ref_of(1)) == ZA_OK, "its own");
    cr_assert(za_names_claim(names, "a", ref_of(2)) == ZA_EEXIST, "another's");
    cr_assert(za_names_find(names, "a", &found) == ZA_OK && found.actor == 1, "kept");
    za_names_clear(names, "a", ref_of(2));
    cr_assert(za_names_find(names, "a", &found) == ZA_OK, "another cannot clear it");
    za_names_clear(names, "a", ref_of(1));
    cr_assert(za_names_find(names, "a", &found) == ZA_ENOENT, "cleared");
    cr_assert(za_names_claim(names, "a", ref_of(2)) == ZA_OK, "free again");
    za_names_destroy(names);
}

// Names that come and go must not use the table up.
Test(names, cleared_entries_serve_other_names)
{
    za_names_t *names = names_of(16);
    char name[32];
    za_ref_t found;
    for (uint64_t i = 1; i <= 20000; i++) {
        snprintf(name, sizeof name, "worker/%llu", (unsigned long long)i);
        cr_assert(za_names_set(names, name, ref_of(i)) == ZA_OK, "%s", name);
        cr_assert(za_names_find(names, name, &found) == ZA_OK && found.actor == i, "%s", name);
        za_names_clear(names, name, ZA_REF_NONE);
        cr_assert(za_names_find(names, name, &found) == ZA_ENOENT, "%s", name);
    }
    za_names_destroy(names);
}

Test(names, a_full_table_says_so_and_keeps_what_it_has)
{
    za_names_t *names = names_of(8);
    char name[32];
    za_ref_t found;
    uint64_t kept = 0;
    while (kept < 1000) {
        snprintf(name, sizeof name, "n%llu", (unsigned long long)kept + 1);
        if (za_names_set(names, name, ref_of(kept + 1)) != ZA_OK) {
            break;
        }
        kept++;
    }
    cr_assert(kept >= 8 && kept < 1000, "%llu fitted", (unsigned long long)kept);
    for (uint64_t i = 1; i <= kept; i++) {
        snprintf(name, sizeof name, "n%llu", (unsigned long long)i);
        cr_assert(za_names_find(names, name, &found) == ZA_OK && found.actor == i, "%s", name);
    }
    za_names_destroy(names);
}

typedef struct race {
    za_names_t *names;
    atomic_bool over;
    atomic_ulong torn;
} race_t;

static void *read_names(void *context)
{
    race_t *race = context;
    while (!atomic_load(&race->over)) {
        za_ref_t found;
        if (za_names_find(race->names, "moving", &found) == ZA_OK &&
            found.node != found.actor * 3) {
            atomic_fetch_add(&race->torn, 1);
        }
    }
    return NULL;
}

// A reader beside a writer sees one reference or another, never halves of two.
Test(names, a_reader_never_sees_half_a_reference)
{
    race_t race = { .names = names_of(16) };
    pthread_t readers[2];
    for (int i = 0; i < 2; i++) {
        cr_assert(pthread_create(&readers[i], NULL, read_names, &race) == 0, "no thread");
    }
    for (uint64_t i = 1; i <= 100000; i++) {
        cr_assert(za_names_set(race.names, "moving", ref_of(i)) == ZA_OK, "set");
    }
    atomic_store(&race.over, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(readers[i], NULL);
    }
    cr_assert(atomic_load(&race.torn) == 0, "%lu halves", atomic_load(&race.torn));
    za_names_destroy(race.names);
}

/* ---- logical references ------------------------------------------------------------------- */

// Found by search (4e9 hashes): the lower halves of their hashes are the same, the others are not.
#define TWIN_A "2378b84cf33bb82f"
#define TWIN_B "1b9b1489b0501bb9"

Test(names, a_logical_reference_is_the_same_everywhere_and_none_for_what_is_no_name)
{
    char name[ZA_NAME_BYTES_MAX + 2];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    cr_assert(za_ref_is_none(za_named(NULL)) && za_ref_is_none(za_named("")), "no name");
    cr_assert(za_ref_is_none(za_named(name)), "too long");
    name[sizeof name - 2] = '\0';
    cr_assert(!za_ref_is_none(za_named(name)), "as long as may be");
    za_ref_t one = za_named("registry");
    cr_assert(za_ref_is_named(one) && za_ref_equal(one, za_named("registry")), "a value");
    cr_assert(!za_ref_equal(one, za_named("registrz")), "another name");
    // docs/protocol.md: who writes another client computes this.
    cr_assert(one.actor == UINT64_C(0xcf07e1d4c579fd07), "%016llx", (unsigned long long)one.actor);
}

Test(names, are_found_by_their_hash)
{
    za_names_t *names = names_of(16);
    uint64_t hash = za_named("a").actor;
    za_ref_t found = ref_of(99);
    cr_assert(za_names_find_hash(names, hash, &found) == ZA_ENOENT && found.actor == 99, "nobody");
    cr_assert(za_names_set(names, "a", ref_of(1)) == ZA_OK, "set");
    cr_assert(za_names_find_hash(names, hash, &found) == ZA_OK && found.actor == 1, "found");
    za_names_clear(names, "a", ZA_REF_NONE);
    cr_assert(za_names_find_hash(names, hash, &found) == ZA_ENOENT, "cleared");
    za_names_destroy(names);
}

// Rather to nobody than to the wrong one.
Test(names, a_hash_of_two_names_means_neither)
{
    za_names_t *names = names_of(16);
    uint64_t hash = za_named(TWIN_A).actor;
    za_ref_t found;
    cr_assert(hash == za_named(TWIN_B).actor, "twins");
    cr_assert(za_names_set(names, TWIN_A, ref_of(1)) == ZA_OK, "a");
    cr_assert(za_names_find_hash(names, hash, &found) == ZA_OK && found.actor == 1, "a alone");
    cr_assert(za_names_set(names, TWIN_B, ref_of(2)) == ZA_OK, "b");
    cr_assert(za_names_find_hash(names, hash, &found) == ZA_ENOENT, "neither");
    cr_assert(za_names_find(names, TWIN_A, &found) == ZA_OK && found.actor == 1, "a by name");
    cr_assert(za_names_find(names, TWIN_B, &found) == ZA_OK && found.actor == 2, "b by name");
    cr_assert(za_names_set(names, TWIN_B, ref_of(3)) == ZA_OK, "b moves");
    za_names_clear(names, TWIN_A, ZA_REF_NONE);
    cr_assert(za_names_find_hash(names, hash, &found) == ZA_OK && found.actor == 3, "b alone");
    za_names_clear(names, TWIN_B, ZA_REF_NONE);
    cr_assert(za_names_find_hash(names, hash, &found) == ZA_ENOENT, "none");
    za_names_destroy(names);
}

Test(names, grow_with_their_number)
{
    enum { COUNT = 100000 };
    za_names_t *names = names_of(COUNT);
    char name[32];
    for (uint64_t i = 1; i <= COUNT; i++) {
        snprintf(name, sizeof name, "n%llu", (unsigned long long)i);
        cr_assert(za_names_set(names, name, ref_of(i)) == ZA_OK, "%s", name);
    }
    cr_assert(za_names_set(names, "one more", ref_of(1)) == ZA_ENOBUFS, "the bound");
    for (uint64_t i = 1; i <= COUNT; i++) {
        za_ref_t found;
        snprintf(name, sizeof name, "n%llu", (unsigned long long)i);
        cr_assert(za_names_find(names, name, &found) == ZA_OK && found.actor == i, "%s", name);
        cr_assert(za_names_find_hash(names, za_named(name).actor, &found) == ZA_OK &&
                      found.actor == i,
                  "%s by hash", name);
        za_names_clear(names, name, ZA_REF_NONE);
        cr_assert(za_names_find(names, name, &found) == ZA_ENOENT, "%s is cleared", name);
    }
    za_names_destroy(names);
}

/* ---- chains and memory -------------------------------------------------------------------- */

enum { MODEL_NAMES = 3000 };

/** Sets and clears names at random, and compares what is found with what was set. */
static void run_against_model(char (*text)[32], uint32_t count, uint32_t rounds)
{
    static uint64_t holders[MODEL_NAMES];
    memset(holders, 0, sizeof holders);
    za_names_t *names = names_of(count);
    za_rng_t rng;
    za_rng_init(&rng, 5);
    for (uint64_t round = 1; round <= rounds; round++) {
        uint32_t i = (uint32_t)za_rng_below(&rng, count);
        if (za_rng_below(&rng, 3) == 0) {
            za_names_clear(names, text[i], ZA_REF_NONE);
            holders[i] = 0;
        } else {
            cr_assert(za_names_set(names, text[i], ref_of(round)) == ZA_OK, "%s", text[i]);
            holders[i] = round;
        }
        uint32_t asked = (uint32_t)za_rng_below(&rng, count);
        za_ref_t found = { 0, 0 };
        za_ref_t hashed = { 0, 0 };
        za_err_t err = holders[asked] == 0 ? ZA_ENOENT : ZA_OK;
        cr_assert(za_names_find(names, text[asked], &found) == err, "%s", text[asked]);
        cr_assert(found.actor == holders[asked], "%s: its last holder", text[asked]);
        cr_assert(za_names_find_hash(names, za_named(text[asked]).actor, &hashed) == err &&
                      za_ref_equal(hashed, found),
                  "%s by hash", text[asked]);
    }
    za_names_destroy(names);
}

// Most of them: 3,000 names make the table split, and lines are full, shared and left.
Test(names, are_found_wherever_they_lie)
{
    static char text[MODEL_NAMES][32];
    for (uint32_t i = 0; i < MODEL_NAMES; i++) {
        snprintf(text[i], sizeof text[i], "service/%u", i);
    }
    run_against_model(text, MODEL_NAMES, 200000);
}

/** Names whose hashes end alike, as far as a small table looks. */
static void crowd(char (*text)[32], uint32_t count)
{
    uint32_t found = 0;
    for (uint64_t i = 0; found < count; i++) {
        snprintf(text[found], sizeof text[found], "crowd/%llu", (unsigned long long)i);
        found += (za_named(text[found]).actor & 0xfff) == 1;
    }
}

Test(names, of_one_chain_are_kept_apart)
{
    enum { COUNT = 20 };
    static char text[COUNT][32];
    crowd(text, COUNT);
    run_against_model(text, COUNT, 20000);
}

// Who looks for names of one hash makes their chain long, and no longer.
Test(names, of_one_chain_are_bounded)
{
    enum { COUNT = 65 };
    static char text[COUNT][32];
    crowd(text, COUNT);
    za_names_t *names = names_of(1000);
    for (uint32_t i = 0; i < COUNT - 2; i++) {
        cr_assert(za_names_set(names, text[i], ref_of(i + 1)) == ZA_OK, "%s", text[i]);
    }
    uint32_t refused = 0;
    for (uint32_t i = COUNT - 2; i < COUNT; i++) {
        refused += za_names_set(names, text[i], ref_of(1)) == ZA_ENOBUFS;
    }
    cr_assert(refused > 0, "a chain of any length");
    for (uint32_t i = 0; i < COUNT - 2; i++) {
        za_ref_t found;
        cr_assert(za_names_set(names, text[i], ref_of(i + 100)) == ZA_OK, "a new holder fits");
        cr_assert(za_names_find(names, text[i], &found) == ZA_OK && found.actor == i + 100,
                  "found");
    }
    cr_assert(za_names_set(names, "another", ref_of(1)) == ZA_OK, "others have their own");
    za_names_destroy(names);
}

// Names that come and go leave their lines to others.
Test(names, take_72_bytes_each_and_no_more_for_coming_and_going)
{
    enum { COUNT = 100000 };
    za_names_t *names = names_of(COUNT);
    size_t empty = za_names_bytes(names);
    cr_assert(empty < 64 * 1024, "%zu bytes for no name", empty);
    char name[32];
    size_t most = 0;
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 1; i <= COUNT; i++) {
            snprintf(name, sizeof name, "n%llu", (unsigned long long)i);
            cr_assert(za_names_set(names, name, ref_of(i + round)) == ZA_OK, "%s", name);
        }
        size_t bytes = za_names_bytes(names);
        cr_assert(bytes > COUNT * sizeof(uint64_t), "%zu bytes are no table", bytes);
        cr_assert(bytes < (size_t)COUNT * 72, "%zu bytes", bytes);
        cr_assert(most == 0 || bytes <= most + 64, "%zu bytes after %zu", bytes, most);
        most = bytes; // a line more: of who changed holders
        for (uint64_t i = 1; round == 1 && i <= COUNT; i++) {
            snprintf(name, sizeof name, "n%llu", (unsigned long long)i);
            za_names_clear(names, name, ZA_REF_NONE);
        }
    }
    za_names_destroy(names);
}
