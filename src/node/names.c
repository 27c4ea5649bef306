#include "node/names.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/limits.h"
#include "base/pages.h"

enum {
    SLOTS = 2,                 // of a line
    LINES_MIN = 512,           // 32 KiB: most clusters have a few hundred names
    SEGMENT_LINES = 32 * 1024, // one large page
    SEGMENTS_MAX = ZA_REGISTRY_ENTRIES_MAX / SEGMENT_LINES,
    CHAIN_MAX = 32, // lines of one chain: only who looks for names of one hash gets there
};

/** The control word of a line: which slots hold a name, the next line of its chain, changes. */
#define HELD UINT64_C(3)
#define NEXT_SHIFT 8
#define NEXT (UINT64_C(0xffffff) << NEXT_SHIFT) // 1 + its place among the further lines; 0: none
#define CHANGE (UINT64_C(1) << 32)

/** Two names and their holders: a cache line, so that a lookup costs one miss. */
typedef struct line {
    _Alignas(64) _Atomic uint64_t control;
    _Atomic uint64_t low[SLOTS];
    _Atomic uint64_t node[SLOTS];
    _Atomic uint64_t actor[SLOTS]; // of a free line [0]: the next free one
    _Atomic uint32_t high[SLOTS];
} line_t;

static_assert(sizeof(line_t) == 64, "a lookup looks at one line");
static_assert((size_t)SEGMENT_LINES * sizeof(line_t) == ZA_PAGES_LARGE_BYTES, "one large page");
static_assert((NEXT >> NEXT_SHIFT) > (size_t)SEGMENTS_MAX * SEGMENT_LINES,
              "each line has a number");

/** Lines that never move: a reader may stand on any of them. */
typedef struct lines {
    _Atomic(line_t *) segments[SEGMENTS_MAX];
} lines_t;

struct za_names {
    _Atomic uint64_t extent; // first lines in use; above them, the mask of the hash
    _Atomic uint32_t twins;  // names held whose key_low another one has, too
    lines_t firsts;          // of the chains
    lines_t others;
    // Writers, under the lock.
    _Alignas(64) pthread_mutex_t lock;
    uint64_t count; // names held
    uint64_t names_max;
    uint32_t fresh; // of the others, those never used start here
    uint32_t free;  // 1 + first of those freed; 0: none
    uint32_t freed;
};

/** Of the hash of a name, 63 + 32 bits: what readers compare in place of the name. */
typedef struct key {
    uint64_t low;
    uint32_t high;
} name_key_t;

static name_key_t key_of(const char *name)
{
    XXH128_hash_t hash = XXH3_128bits(name, strlen(name));
    return (name_key_t){ hash.low64 | 1, (uint32_t)hash.high64 };
}

za_ref_t za_named(const char *name)
{
    size_t length = name == NULL ? 0 : strnlen(name, ZA_NAME_BYTES_MAX + 1);
    if (length == 0 || length > ZA_NAME_BYTES_MAX) {
        return ZA_REF_NONE;
    }
    return (za_ref_t){ ZA_NODE_NAMED, key_of(name).low };
}

/* ---- lines -------------------------------------------------------------------------------- */

static inline line_t *line_at(const lines_t *lines, uint64_t index)
{
    // relaxed: it was there before the extent or the control word that told of the line
    line_t *segment =
        atomic_load_explicit(&lines->segments[index / SEGMENT_LINES], memory_order_relaxed);
    return &segment[index % SEGMENT_LINES];
}

/** The line that a control word says is next; NULL: none. */
static inline line_t *next_of(const za_names_t *names, uint64_t control)
{
    uint64_t next = (control & NEXT) >> NEXT_SHIFT;
    return next == 0 ? NULL : line_at(&names->others, next - 1);
}

static inline uint64_t extent_of(uint64_t count, uint64_t mask)
{
    return mask << 32 | count;
}

/**
 * Where the chain of a hash begins. Linear hashing (Litwin, VLDB 1980): with n lines, of which the
 * first power of two are addressed by fewer bits, one chain after the other is split into two.
 */
static inline uint64_t index_of(uint64_t low, uint64_t extent)
{
    uint64_t mask = extent >> 32;
    uint64_t index = low >> 1 & mask; // bit 0 is set in all
    return index < (uint32_t)extent ? index : index & mask >> 1;
}

/** Makes sure that there is memory for the line. Zero pages until used. */
static bool have_line(lines_t *lines, uint64_t index)
{
    uint64_t segment = index / SEGMENT_LINES;
    if (segment >= SEGMENTS_MAX) {
        return false;
    }
    // relaxed: under the lock
    if (atomic_load_explicit(&lines->segments[segment], memory_order_relaxed) == NULL) {
        line_t *pages = za_pages_alloc_large(ZA_PAGES_LARGE_BYTES);
        // relaxed: the word that tells of its lines is stored later, and with release
        atomic_store_explicit(&lines->segments[segment], pages, memory_order_relaxed);
        return pages != NULL;
    }
    return true;
}

static void free_lines(lines_t *lines)
{
    for (uint32_t i = 0; i < SEGMENTS_MAX; i++) {
        // relaxed: nobody else is left
        za_pages_free(atomic_load_explicit(&lines->segments[i], memory_order_relaxed),
                      ZA_PAGES_LARGE_BYTES);
    }
}

za_err_t za_names_create(uint32_t names_max, za_names_t **out)
{
    if (names_max > ZA_REGISTRY_ENTRIES_MAX) {
        return ZA_EINVAL;
    }
    za_names_t *names = aligned_alloc(_Alignof(za_names_t), sizeof *names);
    if (names == NULL) {
        return ZA_ENOMEM;
    }
    memset(names, 0, sizeof *names);
    if (!have_line(&names->firsts, 0) || !have_line(&names->others, 0)) {
        free_lines(&names->firsts);
        free(names);
        return ZA_ENOMEM;
    }
    pthread_mutex_init(&names->lock, NULL);
    names->names_max = names_max;
    atomic_init(&names->extent, extent_of(LINES_MIN, LINES_MIN - 1));
    *out = names;
    return ZA_OK;
}

void za_names_destroy(za_names_t *names)
{
    if (names == NULL) {
        return;
    }
    free_lines(&names->firsts);
    free_lines(&names->others);
    pthread_mutex_destroy(&names->lock);
    free(names);
}

size_t za_names_bytes(za_names_t *names)
{
    pthread_mutex_lock(&names->lock);
    // relaxed: under the lock
    uint64_t extent = atomic_load_explicit(&names->extent, memory_order_relaxed);
    size_t bytes = sizeof *names + ((uint32_t)extent + (size_t)names->fresh) * sizeof(line_t);
    pthread_mutex_unlock(&names->lock);
    return bytes;
}

/* ---- looking up --------------------------------------------------------------------------- */

/*
 * A reader takes a line as it was at one moment: it looks at the control word, at the slots that it
 * names, and at the control word again. A slot is written only while no control word names it, and by
 * release stores behind the one that left it: who reads what is too new finds the control word changed.
 *
 * A name that moves from one line to another is in both for a while; then the control word of the first
 * line changes, then it leaves its old place. So whoever passed its new place too early, and its old
 * one too late, finds the first line changed, or the extent, and looks again. That is only ever because
 * a whole change was made meanwhile: there is nobody to wait for.
 */
typedef enum look {
    LOOK_FOUND,
    LOOK_NONE,
    LOOK_CHANGED,
} look_t;

static inline uint64_t control_of(const line_t *line)
{
    return atomic_load_explicit(&line->control, memory_order_acquire); // pairs: name-line
}

static inline bool is_as_it_was(const line_t *line, uint64_t control)
{
    // relaxed: behind the acquires of what was read
    return atomic_load_explicit(&line->control, memory_order_relaxed) == control;
}

static inline bool slot_has(const line_t *line, unsigned slot, name_key_t key, bool whole)
{
    // acquire on each field: keeps the second look at the control word behind them
    uint64_t low = atomic_load_explicit(&line->low[slot], memory_order_acquire);
    uint32_t high = whole ? atomic_load_explicit(&line->high[slot], memory_order_acquire) : 0;
    return ((low ^ key.low) | (whole ? high ^ key.high : 0)) == 0;
}

/**
 * One line. No branch depends on which slot it is: a wrong guess would wait for the memory, and the
 * next lookup with it.
 */
static inline look_t look_at(const line_t *line, name_key_t key, bool whole, uint64_t *control,
                             za_ref_t *out)
{
    uint64_t now = control_of(line);
    *control = now;
    unsigned first = slot_has(line, 0, key, whole) & now;
    unsigned second = slot_has(line, 1, key, whole) & now >> 1;
    out->node = atomic_load_explicit(&line->node[second], memory_order_acquire);
    out->actor = atomic_load_explicit(&line->actor[second], memory_order_acquire);
    if (!is_as_it_was(line, now)) {
        return LOOK_CHANGED;
    }
    return (first | second) != 0 ? LOOK_FOUND : LOOK_NONE;
}

static inline za_err_t find(const za_names_t *names, name_key_t key, bool whole, za_ref_t *out)
{
    for (;;) {
        uint64_t extent =
            atomic_load_explicit(&names->extent, memory_order_acquire); // pairs: names-extent
        const line_t *first = line_at(&names->firsts, index_of(key.low, extent));
        uint64_t began;
        za_ref_t ref;
        look_t look = look_at(first, key, whole, &began, &ref);
        uint64_t control = began;
        while (look == LOOK_NONE && (control & NEXT) != 0) {
            look = look_at(next_of(names, control), key, whole, &control, &ref);
        }
        if (look == LOOK_FOUND) {
            *out = ref;
            return ZA_OK;
        }
        // relaxed: behind the acquires of what was read
        if (look == LOOK_NONE && is_as_it_was(first, began) &&
            atomic_load_explicit(&names->extent, memory_order_relaxed) == extent) {
            return ZA_ENOENT;
        }
    }
}

za_err_t za_names_find(za_names_t *names, const char *name, za_ref_t *out)
{
    return find(names, key_of(name), true, out);
}

/** What names of one half have, of a line as it was at one moment. False: it changed. */
static bool add_twins(const line_t *line, uint64_t low, uint64_t *control, uint32_t *high,
                      za_ref_t *ref, unsigned *found)
{
    *control = control_of(line);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if ((*control >> slot & 1) == 0 || !slot_has(line, slot, (name_key_t){ low, 0 }, false)) {
            continue;
        }
        uint32_t other = atomic_load_explicit(&line->high[slot], memory_order_acquire);
        if (*found == 0 || other != *high) { // once more the same: it is on its way
            *high = other;
            ref->node = atomic_load_explicit(&line->node[slot], memory_order_acquire);
            ref->actor = atomic_load_explicit(&line->actor[slot], memory_order_acquire);
            ++*found;
        }
    }
    return is_as_it_was(line, *control);
}

/** While two names have one half somewhere. */
static za_err_t find_only(const za_names_t *names, uint64_t hash, za_ref_t *out)
{
    for (;;) {
        uint64_t extent =
            atomic_load_explicit(&names->extent, memory_order_acquire); // pairs: names-extent
        const line_t *first = line_at(&names->firsts, index_of(hash, extent));
        uint64_t began;
        uint32_t high = 0;
        za_ref_t ref = ZA_REF_NONE;
        unsigned found = 0;
        bool sound = add_twins(first, hash, &began, &high, &ref, &found);
        uint64_t control = began;
        while (sound && (control & NEXT) != 0) {
            sound = add_twins(next_of(names, control), hash, &control, &high, &ref, &found);
        }
        // relaxed: behind the acquires of what was read
        if (!sound || !is_as_it_was(first, began) ||
            atomic_load_explicit(&names->extent, memory_order_relaxed) != extent) {
            continue;
        }
        if (found != 1) {
            return ZA_ENOENT; // nobody knows which one is meant
        }
        *out = ref;
        return ZA_OK;
    }
}

za_err_t za_names_find_hash(za_names_t *names, uint64_t hash, za_ref_t *out)
{
    za_ref_t ref;
    za_err_t err = find(names, (name_key_t){ hash, 0 }, false, &ref);
    // acquire: a twin is counted before it is there. Practically never: two of n names have one half
    // with a chance of n^2 / 2^64, unless somebody looked for them.
    if (err == ZA_OK &&
        atomic_load_explicit(&names->twins, memory_order_acquire) != 0) { // pairs: name-twins
        err = find_only(names, hash, &ref);
    }
    if (err == ZA_OK) {
        *out = ref;
    }
    return err;
}

/* ---- chains ------------------------------------------------------------------------------- */

/*
 * Under the lock, from here on. Of a chain all lines but the last are full, so that the first holds
 * most of what is looked for. What is read is what was written under the lock: relaxed.
 */

static inline uint64_t control_now(const line_t *line)
{
    return atomic_load_explicit(&line->control, memory_order_relaxed); // relaxed: under the lock
}

static void set_control(line_t *line, uint64_t control)
{
    atomic_store_explicit(&line->control, control + CHANGE,
                          memory_order_release); // pairs: name-line
}

/** The releases keep the stores behind the control word that left the slot. */
static void fill(line_t *line, unsigned slot, name_key_t key, za_ref_t ref)
{
    atomic_store_explicit(&line->low[slot], key.low, memory_order_release);
    atomic_store_explicit(&line->high[slot], key.high, memory_order_release);
    atomic_store_explicit(&line->node[slot], ref.node, memory_order_release);
    atomic_store_explicit(&line->actor[slot], ref.actor, memory_order_release);
}

typedef struct holding {
    name_key_t key;
    za_ref_t ref;
} holding_t;

static holding_t holding_of(const line_t *line, unsigned slot)
{
    return (holding_t){
        .key.low =
            atomic_load_explicit(&line->low[slot], memory_order_relaxed), // relaxed: as above
        .key.high = atomic_load_explicit(&line->high[slot], memory_order_relaxed),
        .ref.node = atomic_load_explicit(&line->node[slot], memory_order_relaxed),
        .ref.actor = atomic_load_explicit(&line->actor[slot], memory_order_relaxed),
    };
}

/** Memory for `count` more lines. */
static bool have_others(za_names_t *names, uint32_t count)
{
    return names->freed >= count || have_line(&names->others, (uint64_t)names->fresh + count - 1);
}

static uint64_t take_other(za_names_t *names)
{
    if (names->free == 0) {
        return ++names->fresh;
    }
    uint64_t taken = names->free;
    const line_t *line = line_at(&names->others, taken - 1);
    // relaxed: under the lock
    names->free = (uint32_t)atomic_load_explicit(&line->actor[0], memory_order_relaxed);
    names->freed--;
    return taken;
}

static void give_other(za_names_t *names, uint64_t given)
{
    line_t *line = line_at(&names->others, given - 1);
    atomic_store_explicit(&line->actor[0], names->free, memory_order_release); // as in fill
    names->free = (uint32_t)given;
    names->freed++;
}

static line_t *last_of(const za_names_t *names, line_t *line, line_t **before)
{
    *before = NULL;
    for (line_t *next = next_of(names, control_now(line)); next != NULL;
         next = next_of(names, control_now(line))) {
        *before = line;
        line = next;
    }
    return line;
}

/** At the end of the chain. A further line must be there: have_others. */
static void append(za_names_t *names, line_t *first, const holding_t *holding)
{
    line_t *before;
    line_t *last = last_of(names, first, &before);
    uint64_t control = control_now(last);
    if ((control & HELD) != HELD) {
        unsigned slot = control & 1;
        fill(last, slot, holding->key, holding->ref);
        set_control(last, control | UINT64_C(1) << slot);
        return;
    }
    uint64_t taken = take_other(names);
    line_t *line = line_at(&names->others, taken - 1);
    fill(line, 0, holding->key, holding->ref);
    set_control(line, control_now(line) | 1);
    set_control(last, control | taken << NEXT_SHIFT);
}

/** Takes the slot out of the chain, and fills the hole with the last one. */
static void take_out(za_names_t *names, line_t *first, line_t *line, unsigned slot)
{
    line_t *before;
    line_t *last = last_of(names, first, &before);
    set_control(line, control_now(line) & ~(UINT64_C(1) << slot));
    if (last != line) {
        unsigned moved = control_now(last) >> 1 & 1;
        holding_t holding = holding_of(last, moved);
        fill(line, slot, holding.key, holding.ref);
        set_control(line, control_now(line) | UINT64_C(1) << slot);
        set_control(first, control_now(first)); // says so to who is behind the hole already
        set_control(last, control_now(last) & ~(UINT64_C(1) << moved));
    }
    if (before != NULL && (control_now(last) & HELD) == 0) {
        uint64_t control = control_now(before);
        set_control(before, control & ~NEXT);
        give_other(names, (control & NEXT) >> NEXT_SHIFT);
    }
}

/* ---- changes ------------------------------------------------------------------------------ */

/** Where a name is. */
typedef struct place {
    line_t *first; // of its chain
    line_t *line;  // NULL: nobody holds it
    unsigned slot;
    za_ref_t ref;
    unsigned lines; // of the chain
    bool twin;      // another name with the same lower half is held
} place_t;

static place_t find_place(const za_names_t *names, name_key_t key)
{
    // relaxed: under the lock
    uint64_t extent = atomic_load_explicit(&names->extent, memory_order_relaxed);
    place_t place = { .first = line_at(&names->firsts, index_of(key.low, extent)) };
    for (line_t *line = place.first; line != NULL; line = next_of(names, control_now(line))) {
        place.lines++;
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            holding_t holding = holding_of(line, slot);
            if ((control_now(line) >> slot & 1) == 0 || holding.key.low != key.low) {
                continue;
            }
            if (holding.key.high == key.high) {
                place.line = line;
                place.slot = slot;
                place.ref = holding.ref;
            } else {
                place.twin = true;
            }
        }
    }
    return place;
}

/** Takes one out of `first` that belongs to the chain `to`. False: none is left. */
static bool take_out_one(za_names_t *names, line_t *first, uint64_t to, uint64_t extent)
{
    for (line_t *line = first; line != NULL; line = next_of(names, control_now(line))) {
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            if ((control_now(line) >> slot & 1) != 0 &&
                index_of(holding_of(line, slot).key.low, extent) == to) {
                take_out(names, first, line, slot);
                return true;
            }
        }
    }
    return false;
}

/**
 * One more first line: it takes its names from one other chain. Without memory it is not made, and the
 * chains get longer.
 */
static void split(za_names_t *names)
{
    // relaxed: under the lock
    uint64_t extent = atomic_load_explicit(&names->extent, memory_order_relaxed);
    uint64_t to = (uint32_t)extent;
    uint64_t mask = extent >> 32;
    mask = to > mask ? 2 * mask + 1 : mask;
    if (!have_line(&names->firsts, to) || !have_others(names, CHAIN_MAX)) {
        return;
    }
    uint64_t wider = extent_of(to + 1, mask);
    line_t *from = line_at(&names->firsts, to & mask >> 1);
    for (line_t *line = from; line != NULL; line = next_of(names, control_now(line))) {
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            holding_t holding = holding_of(line, slot);
            if ((control_now(line) >> slot & 1) != 0 && index_of(holding.key.low, wider) == to) {
                append(names, line_at(&names->firsts, to), &holding);
            }
        }
    }
    atomic_store_explicit(&names->extent, wider, memory_order_release); // pairs: names-extent
    while (take_out_one(names, from, to, wider)) {
    }
    if ((to + 1) % SEGMENT_LINES == 0) {
        // Names lie anywhere in it, so each lookup would miss a small page, too.
        za_pages_gather(line_at(&names->firsts, to + 1 - SEGMENT_LINES), ZA_PAGES_LARGE_BYTES);
    }
}

/** A name that nobody holds. */
static za_err_t add(za_names_t *names, const place_t *place, const holding_t *holding)
{
    // One line more than is needed: a change of a holder must not fail.
    if (names->count >= names->names_max || place->lines >= CHAIN_MAX || !have_others(names, 2)) {
        return ZA_ENOBUFS;
    }
    if (place->twin) {
        atomic_fetch_add_explicit(&names->twins, 1, memory_order_release); // pairs: name-twins
    }
    append(names, place->first, holding);
    // relaxed: under the lock
    if (++names->count > (uint32_t)atomic_load_explicit(&names->extent, memory_order_relaxed)) {
        split(names);
    }
    return ZA_OK;
}

/** Another holder. The name is found all the time: the old one, or the new one. */
static void change(za_names_t *names, const place_t *place, const holding_t *holding)
{
    uint64_t control = control_now(place->line);
    if ((control & HELD) != HELD) {
        unsigned other = place->slot ^ 1;
        fill(place->line, other, holding->key, holding->ref);
        set_control(place->line, control ^ HELD);
        return;
    }
    append(names, place->first, holding);
    take_out(names, place->first, place->line, place->slot);
}

static za_err_t set(za_names_t *names, const char *name, za_ref_t ref, bool claim)
{
    holding_t holding = { key_of(name), ref };
    za_err_t err = ZA_OK;
    pthread_mutex_lock(&names->lock);
    place_t place = find_place(names, holding.key);
    if (place.line == NULL) {
        err = add(names, &place, &holding);
    } else if (!za_ref_equal(place.ref, ref)) {
        if (claim) {
            err = ZA_EEXIST;
        } else {
            change(names, &place, &holding);
        }
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

void za_names_clear(za_names_t *names, const char *name, za_ref_t ref)
{
    name_key_t key = key_of(name);
    pthread_mutex_lock(&names->lock);
    place_t place = find_place(names, key);
    if (place.line != NULL && (za_ref_is_none(ref) || za_ref_equal(place.ref, ref))) {
        take_out(names, place.first, place.line, place.slot);
        names->count--;
        if (place.twin) {
            atomic_fetch_sub_explicit(&names->twins, 1,
                                      memory_order_relaxed); // relaxed: it is gone
        }
    }
    pthread_mutex_unlock(&names->lock);
}
