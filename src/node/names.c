#include "node/names.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PROBES_MAX = 64 };

/** An entry was never used (key_low 0), is vacant (actor 0), or holds a name. */
typedef struct entry {
    _Atomic uint64_t sequence; // odd while the entry is written
    _Atomic uint64_t key_low;
    _Atomic uint64_t key_high;
    _Atomic uint64_t node;
    _Atomic uint64_t actor;
} entry_t;

struct za_names {
    atomic_flag writing;
    uint64_t mask;
    entry_t *entries;
};

typedef struct key {
    uint64_t low, high;
} name_key_t;

static name_key_t key_of(const char *name)
{
    XXH128_hash_t hash = XXH3_128bits(name, strlen(name));
    return (name_key_t){ hash.low64 | 1, hash.high64 }; // low is never 0: 0 is an empty entry
}

za_err_t za_names_create(uint32_t names_max, za_names_t **out)
{
    uint64_t slots = 64;
    while (slots < (uint64_t)names_max * 2) {
        slots *= 2;
    }
    za_names_t *names = calloc(1, sizeof *names);
    if (names == NULL) {
        return ZA_ENOMEM;
    }
    names->entries = calloc(slots, sizeof *names->entries);
    if (names->entries == NULL) {
        free(names);
        return ZA_ENOMEM;
    }
    names->mask = slots - 1;
    atomic_flag_clear(&names->writing);
    *out = names;
    return ZA_OK;
}

void za_names_destroy(za_names_t *names)
{
    if (names != NULL) {
        free(names->entries);
        free(names);
    }
}

/** One consistent reading of an entry: a slot may pass from a cleared name to a new one. */
typedef struct reading {
    name_key_t key;
    za_ref_t ref;
} reading_t;

static reading_t read_entry(entry_t *entry)
{
    for (;;) {
        uint64_t before =
            atomic_load_explicit(&entry->sequence, memory_order_acquire); // pairs: name-entry
        // acquire on each field: keeps the second look at the sequence behind them.
        reading_t reading = {
            .key.low = atomic_load_explicit(&entry->key_low, memory_order_acquire),
            .key.high = atomic_load_explicit(&entry->key_high, memory_order_acquire),
            .ref.node = atomic_load_explicit(&entry->node, memory_order_acquire),
            .ref.actor = atomic_load_explicit(&entry->actor, memory_order_acquire),
        };
        uint64_t after = atomic_load_explicit(&entry->sequence, memory_order_relaxed);
        if (before == after && (before & 1) == 0) {
            return reading;
        }
    }
}

/** Writers only, under the flag. The release stores keep the odd mark in front of the fields. */
static void write_entry(entry_t *entry, name_key_t key, za_ref_t ref)
{
    uint64_t sequence = atomic_load_explicit(&entry->sequence, memory_order_relaxed); // one writer
    atomic_store_explicit(&entry->sequence, sequence + 1, memory_order_relaxed);
    atomic_store_explicit(&entry->key_low, key.low, memory_order_release);
    atomic_store_explicit(&entry->key_high, key.high, memory_order_release);
    atomic_store_explicit(&entry->node, ref.node, memory_order_release);
    atomic_store_explicit(&entry->actor, ref.actor, memory_order_release);
    atomic_store_explicit(&entry->sequence, sequence + 2,
                          memory_order_release); // pairs: name-entry
}

/** The entry of `key`, or NULL and in *vacant (may be NULL) where it could go. */
static entry_t *find_entry(za_names_t *names, name_key_t key, reading_t *reading, entry_t **vacant)
{
    for (uint64_t i = 0; i < PROBES_MAX; i++) {
        entry_t *entry = &names->entries[(key.low + i) & names->mask];
        *reading = read_entry(entry);
        if (reading->key.low == key.low && reading->key.high == key.high) {
            return entry;
        }
        if (vacant != NULL && *vacant == NULL && za_ref_is_none(reading->ref)) {
            *vacant = entry;
        }
        if (reading->key.low == 0) {
            break;
        }
    }
    return NULL;
}

za_err_t za_names_find(za_names_t *names, const char *name, za_ref_t *out)
{
    reading_t reading;
    entry_t *entry = find_entry(names, key_of(name), &reading, NULL);
    if (entry == NULL || za_ref_is_none(reading.ref)) {
        return ZA_ENOENT;
    }
    *out = reading.ref;
    return ZA_OK;
}

static void lock(za_names_t *names)
{
    while (atomic_flag_test_and_set_explicit(&names->writing, memory_order_acquire)) {
        // Held for a few hundred nanoseconds. pairs: names-writer
    }
}

static void unlock(za_names_t *names)
{
    atomic_flag_clear_explicit(&names->writing, memory_order_release); // pairs: names-writer
}

static za_err_t set(za_names_t *names, const char *name, za_ref_t ref, bool claim)
{
    name_key_t key = key_of(name);
    za_err_t err = ZA_OK;
    lock(names);
    reading_t held;
    entry_t *vacant = NULL;
    entry_t *entry = find_entry(names, key, &held, &vacant);
    if (entry != NULL && claim && !za_ref_is_none(held.ref) && !za_ref_equal(held.ref, ref)) {
        err = ZA_EEXIST;
    } else if (entry == NULL && vacant == NULL) {
        err = ZA_ENOBUFS;
    } else {
        write_entry(entry != NULL ? entry : vacant, key, ref);
    }
    unlock(names);
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

void za_names_clear(za_names_t *names, const char *name, za_ref_t ref)
{
    name_key_t key = key_of(name);
    lock(names);
    reading_t held;
    entry_t *entry = find_entry(names, key, &held, NULL);
    if (entry != NULL && (za_ref_is_none(ref) || za_ref_equal(held.ref, ref))) {
        write_entry(entry, key, ZA_REF_NONE);
    }
    unlock(names);
}
