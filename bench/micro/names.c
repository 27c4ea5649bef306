// What it costs to find the holder of a cluster-wide name, on one core: the table that za_whereis and
// each send to a logical reference read. One name that stays in the cache, and 100,000 in no order.

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "micro/tables.h"
#include "node/names.h"

enum { NAME_BYTES = 32, PICKS = 1 << 16 };

typedef struct book {
    za_names_t *names;
    char (*next)[NAME_BYTES]; // what is looked up, in turn: at hand, as in a message
} book_t;

/** Of this thread, which never waits: what others do on the machine counts less. */
static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static book_t book_open(uint32_t count)
{
    book_t book = { .next = calloc(PICKS, NAME_BYTES) };
    bench_check(book.next != NULL, "memory");
    bench_must(za_names_create(count, &book.names), "table");
    uint64_t random = 7;
    for (uint32_t i = 0; i < count; i++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "service/worker-%u", i);
        bench_must(za_names_set(book.names, name, (za_ref_t){ i % 100, i + 1 }), "name");
    }
    for (uint32_t i = 0; i < PICKS; i++) {
        snprintf(book.next[i], NAME_BYTES, "service/worker-%u", bench_random(&random, count));
    }
    return book;
}

static void book_close(book_t *book)
{
    za_names_destroy(book->names);
    free(book->next);
}

static double by_name(const bench_workload_t *workload, uint64_t lookups)
{
    book_t book = book_open(workload->how_many);
    uint64_t found = 0;
    uint64_t begin_ns = cpu_ns();
    for (uint64_t i = 0; i < lookups; i++) {
        za_ref_t ref;
        found += za_names_find(book.names, book.next[i % PICKS], &ref) == ZA_OK;
    }
    double ns = (double)(cpu_ns() - begin_ns);
    bench_check(found == lookups, "each name is found");
    book_close(&book);
    return ns / (double)lookups;
}

static double by_hash(const bench_workload_t *workload, uint64_t lookups)
{
    book_t book = book_open(workload->how_many);
    uint64_t *hashes = calloc(PICKS, sizeof *hashes);
    bench_check(hashes != NULL, "memory");
    for (uint32_t i = 0; i < PICKS; i++) {
        hashes[i] = za_named(book.next[i]).actor;
    }
    uint64_t found = 0;
    uint64_t begin_ns = cpu_ns();
    for (uint64_t i = 0; i < lookups; i++) {
        za_ref_t ref;
        found += za_names_find_hash(book.names, hashes[i % PICKS], &ref) == ZA_OK;
    }
    double ns = (double)(cpu_ns() - begin_ns);
    bench_check(found == lookups, "each name is found");
    free(hashes);
    book_close(&book);
    return ns / (double)lookups;
}

// clang-format off
const bench_workload_t bench_micro_names[] = {
    { .id = "whereis", .unit = "ns", .measure = by_name, .amount = 20000000, .how_many = 1, .workers = 1 },
    { .id = "whereis-100000", .unit = "ns", .measure = by_name, .amount = 10000000, .how_many = 100000, .workers = 1 },
    { .id = "named", .unit = "ns", .measure = by_hash, .amount = 20000000, .how_many = 1, .workers = 1 },
    { .id = "named-100000", .unit = "ns", .measure = by_hash, .amount = 10000000, .how_many = 100000, .workers = 1 },
    { 0 },
};
// clang-format on
