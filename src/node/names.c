#include "node/names.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/limits.h"

enum {
    PROBES_MAX = 64,
    SLOTS_MIN = 512,              // 32 KiB: most clusters have a few hundred names
    HUGE_BYTES = 4 * 1024 * 1024, // of a table: two huge pages
};

/** One of the two references of an entry; none: the entry is vacant. */
typedef struct side {
    _Atomic uint64_t node;
    _Atomic uint64_t actor;
} side_t;

/** A cache line. Never used (key_low 0), vacant, or the holder of a name. */
typedef struct entry {
    _Alignas(64) _Atomic uint64_t sequence; // the low bit is the side for readers
    _Atomic uint64_t key_low;
    _Atomic uint64_t key_high;
    side_t sides[2];
} entry_t;

static_assert(sizeof(entry_t) == 64, "a lookup looks at one line");

typedef struct table {
    struct table *older; // outgrown
    uint64_t mask;
    entry_t entries[];
} table_t;

struct za_names {
    _Atomic(table_t *) table;
    _Atomic uint32_t twins; // names held whose key_low another one has, too
    // Writers, under the lock.
    pthread_mutex_t lock;
    uint64_t count; // names held
    uint64_t names_max;
};

typedef struct key {
    uint64_t low, high;
} name_key_t;

static name_key_t key_of(const char *name)
{
    XXH128_hash_t hash = XXH3_128bits(name, strlen(name));
    return (name_key_t){ hash.low64 | 1, hash.high64 }; // low is never 0: 0 is an empty entry
}

za_ref_t za_named(const char *name)
{
    size_t length = name == NULL ? 0 : strnlen(name, ZA_NAME_BYTES_MAX + 1);
    if (length == 0 || length > ZA_NAME_BYTES_MAX) {
        return ZA_REF_NONE;
    }
    return (za_ref_t){ ZA_NODE_NAMED, key_of(name).low };
}

/* ---- tables ------------------------------------------------------------------------------- */

static size_t table_bytes(uint64_t slots)
{
    return sizeof(table_t) + slots * sizeof(entry_t);
}

/** Zero pages until used. */
static table_t *table_create(uint64_t slots)
{
    table_t *table = mmap(NULL, table_bytes(slots), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED) {
        return NULL;
    }
    if (table_bytes(slots) >= HUGE_BYTES) {
        // All of it will be used: names lie anywhere in it, and a lookup is to cost one miss, not
        // two. Advice only: without such pages it is slower and no more.
        (void)madvise(table, table_bytes(slots), MADV_HUGEPAGE);
    }
    table->mask = slots - 1;
    return table;
}

za_err_t za_names_create(uint32_t names_max, za_names_t **out)
{
    za_names_t *names = calloc(1, sizeof *names);
    table_t *table = table_create(SLOTS_MIN);
    if (names == NULL || table == NULL) {
        if (table != NULL) {
            munmap(table, table_bytes(SLOTS_MIN));
        }
        free(names);
        return ZA_ENOMEM;
    }
    pthread_mutex_init(&names->lock, NULL);
    names->names_max = names_max;
    atomic_init(&names->table, table);
    *out = names;
    return ZA_OK;
}

void za_names_destroy(za_names_t *names)
{
    if (names == NULL) {
        return;
    }
    // relaxed: nobody else is left
    table_t *table = atomic_load_explicit(&names->table, memory_order_relaxed);
    while (table != NULL) {
        table_t *older = table->older;
        munmap(table, table_bytes(table->mask + 1));
        table = older;
    }
    pthread_mutex_destroy(&names->lock);
    free(names);
}

/* ---- entries ------------------------------------------------------------------------------ */

/** One consistent reading of an entry: a slot may pass from a cleared name to a new one. */
typedef struct reading {
    name_key_t key;
    za_ref_t ref;
} reading_t;

static inline reading_t read_entry(const entry_t *entry)
{
    for (;;) {
        uint64_t sequence =
            atomic_load_explicit(&entry->sequence, memory_order_acquire); // pairs: name-side
        const side_t *side = &entry->sides[sequence & 1];
        // acquire on each field: keeps the second look at the sequence behind them
        reading_t reading = {
            .key.low = atomic_load_explicit(&entry->key_low, memory_order_acquire),
            .key.high = atomic_load_explicit(&entry->key_high, memory_order_acquire),
            .ref.node = atomic_load_explicit(&side->node, memory_order_acquire),
            .ref.actor = atomic_load_explicit(&side->actor, memory_order_acquire),
        };
        // relaxed: behind the acquires of what was read. It differs only if a whole change was made
        // meanwhile: there is nobody to wait for.
        if (atomic_load_explicit(&entry->sequence, memory_order_relaxed) == sequence) {
            return reading;
        }
    }
}

/**
 * Writers only. The stores are releases so that the sequence of the change before is before them: who
 * sees one of them sees that the sides changed. The key changes only while the entry is vacant: a
 * reader that finds half of it finds no holder beside it, or that the sequence moved on.
 */
static void write_entry(entry_t *entry, name_key_t key, za_ref_t ref)
{
    // relaxed: under the lock
    uint64_t sequence = atomic_load_explicit(&entry->sequence, memory_order_relaxed);
    side_t *side = &entry->sides[(sequence + 1) & 1];
    atomic_store_explicit(&entry->key_low, key.low, memory_order_release);
    atomic_store_explicit(&entry->key_high, key.high, memory_order_release);
    atomic_store_explicit(&side->node, ref.node, memory_order_release);
    atomic_store_explicit(&side->actor, ref.actor, memory_order_release);
    atomic_store_explicit(&entry->sequence, sequence + 1,
                          memory_order_release); // pairs: name-side
}

static inline uint64_t low_of(const entry_t *entry)
{
    // relaxed: another key tells nothing but to look on; the same one is read again
    return atomic_load_explicit(&entry->key_low, memory_order_relaxed);
}

static inline bool is_key(const reading_t *reading, name_key_t key)
{
    return reading->key.low == key.low && reading->key.high == key.high;
}

/* ---- looking up --------------------------------------------------------------------------- */

static inline const table_t *table_of(const za_names_t *names)
{
    return atomic_load_explicit(&names->table, memory_order_acquire); // pairs: names-table
}

static za_err_t find_key(const table_t *table, name_key_t key, za_ref_t *out)
{
    for (uint64_t i = 0; i < PROBES_MAX; i++) {
        const entry_t *entry = &table->entries[(key.low + i) & table->mask];
        uint64_t low = low_of(entry);
        if (low == 0) {
            return ZA_ENOENT;
        }
        if (low != key.low) {
            continue;
        }
        reading_t reading = read_entry(entry);
        if (is_key(&reading, key)) {
            if (za_ref_is_none(reading.ref)) {
                return ZA_ENOENT;
            }
            *out = reading.ref;
            return ZA_OK;
        }
    }
    return ZA_ENOENT;
}

static za_err_t find_hash(const za_names_t *names, const table_t *table, uint64_t hash,
                          za_ref_t *out)
{
    za_ref_t found = ZA_REF_NONE;
    for (uint64_t i = 0; i < PROBES_MAX; i++) {
        const entry_t *entry = &table->entries[(hash + i) & table->mask];
        uint64_t low = low_of(entry);
        if (low == 0) {
            break;
        }
        if (low != hash) {
            continue;
        }
        reading_t reading = read_entry(entry);
        if (reading.key.low != hash || za_ref_is_none(reading.ref)) {
            continue;
        }
        if (!za_ref_is_none(found)) {
            return ZA_ENOENT; // two names: nobody knows which one is meant
        }
        found = reading.ref;
        // acquire: a twin is counted before it is there. Practically never: two of n names have one
        // half with a chance of n^2 / 2^64, unless somebody looked for them.
        if (atomic_load_explicit(&names->twins, memory_order_acquire) == 0) { // pairs: name-twins
            break;
        }
    }
    if (za_ref_is_none(found)) {
        return ZA_ENOENT;
    }
    *out = found;
    return ZA_OK;
}

/** What is not found in a table that was outgrown meanwhile says nothing: it is empty by now. */
static inline bool is_outgrown(const za_names_t *names, const table_t **table)
{
    const table_t *now = table_of(names);
    bool outgrown = now != *table;
    *table = now;
    return outgrown;
}

za_err_t za_names_find(za_names_t *names, const char *name, za_ref_t *out)
{
    name_key_t key = key_of(name);
    const table_t *table = table_of(names);
    za_err_t err = find_key(table, key, out);
    while (err != ZA_OK && is_outgrown(names, &table)) {
        err = find_key(table, key, out);
    }
    return err;
}

za_err_t za_names_find_hash(za_names_t *names, uint64_t hash, za_ref_t *out)
{
    const table_t *table = table_of(names);
    za_err_t err = find_hash(names, table, hash, out);
    while (err != ZA_OK && is_outgrown(names, &table)) {
        err = find_hash(names, table, hash, out);
    }
    return err;
}

/* ---- changes ------------------------------------------------------------------------------ */

/** Where a name is, or could go. Under the lock. */
typedef struct place {
    entry_t *entry;  // of the name, held or not; NULL: it has none
    entry_t *vacant; // NULL: none is near enough
    za_ref_t ref;    // whom it answers
    bool twin;       // another name with the same lower half is held
} place_t;

static place_t find_place(table_t *table, name_key_t key)
{
    place_t place = { .ref = ZA_REF_NONE };
    for (uint64_t i = 0; i < PROBES_MAX; i++) {
        entry_t *entry = &table->entries[(key.low + i) & table->mask];
        reading_t reading = read_entry(entry);
        bool held = !za_ref_is_none(reading.ref);
        if (is_key(&reading, key)) {
            place.entry = entry;
            place.ref = reading.ref;
        } else if (held && reading.key.low == key.low) {
            place.twin = true;
        }
        if (place.vacant == NULL && !held) {
            place.vacant = entry;
        }
        if (reading.key.low == 0) {
            break;
        }
    }
    return place;
}

/**
 * Gives the memory of an outgrown table back, and keeps its place: who still reads it finds zeros,
 * which are no name, and looks into the present one.
 */
static void give_back(table_t *table)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = table_bytes(table->mask + 1);
    if (bytes > page) { // the first one says what is older
        (void)madvise((char *)table + page, bytes - page, MADV_DONTNEED);
    }
}

/** Copies what is held into a table of twice the size, for those who look from now on. */
static za_err_t grow(za_names_t *names)
{
    table_t *from = (table_t *)table_of(names);
    uint64_t slots = (from->mask + 1) * 2;
    if (slots / 8 > names->names_max && slots > SLOTS_MIN * 2) {
        return ZA_ENOBUFS; // far from full, and no place was near enough
    }
    table_t *to = table_create(slots);
    if (to == NULL) {
        return ZA_ENOBUFS;
    }
    for (uint64_t i = 0; i <= from->mask; i++) {
        reading_t reading = read_entry(&from->entries[i]);
        if (!za_ref_is_none(reading.ref)) {
            place_t place = find_place(to, reading.key);
            if (place.vacant == NULL) {
                munmap(to, table_bytes(slots));
                return ZA_ENOBUFS;
            }
            write_entry(place.vacant, reading.key, reading.ref);
        }
    }
    to->older = from;
    atomic_store_explicit(&names->table, to, memory_order_release); // pairs: names-table
    give_back(from);
    return ZA_OK;
}

/** An entry for a name that is not held. */
static za_err_t make_entry(za_names_t *names, name_key_t key, place_t *place)
{
    if (names->count >= names->names_max) {
        return ZA_ENOBUFS;
    }
    bool crowded = names->count * 2 > table_of(names)->mask;
    if (crowded || (place->entry == NULL && place->vacant == NULL)) {
        za_err_t err = grow(names);
        *place = find_place((table_t *)table_of(names), key);
        if (place->entry == NULL && place->vacant == NULL) {
            return err != ZA_OK ? err : ZA_ENOBUFS;
        }
    }
    place->entry = place->entry != NULL ? place->entry : place->vacant;
    return ZA_OK;
}

static za_err_t set(za_names_t *names, const char *name, za_ref_t ref, bool claim)
{
    name_key_t key = key_of(name);
    za_err_t err = ZA_OK;
    pthread_mutex_lock(&names->lock);
    place_t place = find_place((table_t *)table_of(names), key);
    bool held = !za_ref_is_none(place.ref);
    if (held && claim && !za_ref_equal(place.ref, ref)) {
        err = ZA_EEXIST;
    } else if (!held) {
        err = make_entry(names, key, &place);
        if (err == ZA_OK) {
            names->count++;
            if (place.twin) {
                atomic_fetch_add_explicit(&names->twins, 1,
                                          memory_order_release); // pairs: name-twins
            }
        }
    }
    if (err == ZA_OK) {
        write_entry(place.entry, key, ref);
    }
    pthread_mutex_unlock(&names->lock);
    return err;
}

za_err_t za_names_set(za_names_t *names, const char *name, za_ref_t ref)
{
    return set(names, name, ref, false);
}

za_err_t za_names_claim(za_names_t *names, const char *name, za_ref_t ref)
{
    return set(names, name, ref, true);
}

/** Vacant entries behind which nothing lies are unused again: who looks in vain looks less. */
static void forget_vacant(table_t *table, entry_t *entry)
{
    uint64_t slot = (uint64_t)(entry - table->entries);
    if (low_of(&table->entries[(slot + 1) & table->mask]) != 0) {
        return;
    }
    for (int i = 0; i < PROBES_MAX; i++) {
        entry_t *last = &table->entries[slot];
        if (!za_ref_is_none(read_entry(last).ref) || low_of(last) == 0) {
            return;
        }
        write_entry(last, (name_key_t){ 0, 0 }, ZA_REF_NONE);
        slot = (slot - 1) & table->mask;
    }
}

void za_names_clear(za_names_t *names, const char *name, za_ref_t ref)
{
    name_key_t key = key_of(name);
    pthread_mutex_lock(&names->lock);
    table_t *table = (table_t *)table_of(names);
    place_t place = find_place(table, key);
    if (!za_ref_is_none(place.ref) && (za_ref_is_none(ref) || za_ref_equal(place.ref, ref))) {
        write_entry(place.entry, key, ZA_REF_NONE);
        names->count--;
        if (place.twin) {
            atomic_fetch_sub_explicit(&names->twins, 1,
                                      memory_order_relaxed); // relaxed: it is gone
        }
        forget_vacant(table, place.entry);
    }
    pthread_mutex_unlock(&names->lock);
}
