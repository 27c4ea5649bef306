/**
 * Names are set, cleared and set again by two threads, in entries that pass from one name to another
 * and in a table that grows, while others look them up by name and by hash: whoever finds a name finds
 * a reference that was set for it, whole, and a name that is never cleared is always found.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "node/names.h"

enum { NAMES = 2000, STEADY = 100, WRITERS = 2, READERS = 2, NAME_BYTES = 16 };

#define MUST(expr)                                                                                 \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static za_names_t *names;
static char text[NAMES][NAME_BYTES];
static uint64_t hashes[NAMES];
static atomic_bool over;
static atomic_ulong lookups;

/** A reference that says for which name it was set; the other half repeats it. */
static za_ref_t ref_for(uint32_t name, uint64_t version)
{
    uint64_t actor = version * NAMES + name + 1;
    return (za_ref_t){ actor * 3, actor };
}

static void check(uint32_t name, za_ref_t found)
{
    MUST(found.node == found.actor * 3);
    MUST((found.actor - 1) % NAMES == name);
}

static void *read_names(void *context)
{
    za_rng_t rng;
    za_rng_init(&rng, (uint64_t)(uintptr_t)context);
    unsigned long count = 0;
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        uint32_t name = (uint32_t)za_rng_below(&rng, NAMES);
        za_ref_t found;
        if (za_names_find(names, text[name], &found) == ZA_OK) {
            check(name, found);
        } else {
            MUST(name >= STEADY);
        }
        if (za_names_find_hash(names, hashes[name], &found) == ZA_OK) {
            check(name, found);
        } else {
            MUST(name >= STEADY);
        }
        count++;
    }
    atomic_fetch_add(&lookups, count);
    return NULL;
}

typedef struct writer {
    uint32_t index;
    uint64_t rounds;
} writer_t;

static void *write_names(void *context)
{
    const writer_t *writer = context;
    za_rng_t rng;
    za_rng_init(&rng, 100 + writer->index);
    for (uint64_t i = 1; i <= writer->rounds; i++) {
        // Its own half of the names: a clear finds what it set.
        uint32_t name = (uint32_t)za_rng_below(&rng, NAMES / WRITERS) * WRITERS + writer->index;
        if (name >= STEADY && za_rng_below(&rng, 2) == 0) {
            za_names_clear(names, text[name], ZA_REF_NONE);
        } else {
            MUST(za_names_set(names, text[name], ref_for(name, i)) == ZA_OK);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
    MUST(za_names_create(NAMES, &names) == ZA_OK);
    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(text[i], NAME_BYTES, "name/%u", i);
        hashes[i] = za_named(text[i]).actor;
        if (i < STEADY) {
            MUST(za_names_set(names, text[i], ref_for(i, 0)) == ZA_OK);
        }
    }
    pthread_t readers[READERS];
    pthread_t writers[WRITERS];
    writer_t parts[WRITERS];
    for (uintptr_t i = 0; i < READERS; i++) {
        MUST(pthread_create(&readers[i], NULL, read_names, (void *)(i + 1)) == 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        parts[i] = (writer_t){ i, rounds };
        MUST(pthread_create(&writers[i], NULL, write_names, &parts[i]) == 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(writers[i], NULL);
    }
    atomic_store(&over, true);
    for (uint32_t i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    printf("%lu lookups beside %llu changes\n", atomic_load(&lookups),
           (unsigned long long)rounds * WRITERS);
    za_names_destroy(names);
    return 0;
}
