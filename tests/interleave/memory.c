/**
 * Atomics: a history of stores for each shared place, and what each thread may still see of it.
 *
 * Views and messages as in "A promising semantics for relaxed-memory concurrency" (Kang et al.,
 * POPL 2017), without promises; a history that readers choose from as in CDSChecker (Norris and
 * Demsky, OOPSLA 2013). A store may also come before others in the order of stores to its place, if
 * its thread has not seen those: so do stores that a processor holds back.
 */
#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENTRIES_MAX = 8192,
    STEP = 64, // between the times of two stores: room for some in the middle
};

typedef struct store {
    uint64_t value;
    uint16_t at;    // its time in the order of stores to the place
    bool attached;  // a read-modify-write: nothing comes between it and what it read
    zc_sync_t sync; // what an acquire of it takes over
} store_t;

/** An address that atomic operations touched, in any schedule of the scenario. */
typedef struct entry {
    const void *address;
    uint8_t bytes;
    uint8_t threads; // bit mask
    bool written;
    bool shared;
    bool fresh; // found to be shared in this schedule: counts from the next one
    uint8_t place;
} entry_t;

typedef struct place {
    uint32_t count;        // of stores in this schedule; 0: none was looked at yet
    uint16_t last_seq_cst; // time of a store
} place_t;

static struct {
    entry_t entries[ENTRIES_MAX];
    entry_t *shared[ZC_PLACES_MAX];
    unsigned place_count;
    place_t places[ZC_PLACES_MAX];
    store_t stores[ZC_PLACES_MAX][ZC_STORES_MAX];
    zc_thread_memory_t threads[ZC_THREADS_MAX];
    zc_sync_t fences; // of sequentially consistent fences
} memory;

static const char *const order_names[] = { "relaxed", "consume", "acquire",
                                           "release", "acq_rel", "seq_cst" };

/* ---- raw memory --------------------------------------------------------------------------- */

// By type: memcpy is one of the calls that the linker sends to system.c.
static uint64_t raw_load(const void *address, size_t bytes)
{
    switch (bytes) {
    case 1:
        return *(const volatile uint8_t *)address;
    case 2:
        return *(const volatile uint16_t *)address;
    case 4:
        return *(const volatile uint32_t *)address;
    default:
        return *(const volatile uint64_t *)address;
    }
}

static void raw_store(void *address, size_t bytes, uint64_t value)
{
    switch (bytes) {
    case 1:
        *(volatile uint8_t *)address = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)address = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)address = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)address = value;
        break;
    }
}

static uint64_t cut(uint64_t value, size_t bytes)
{
    return bytes == 8 ? value : value & ((UINT64_C(1) << (bytes * 8)) - 1);
}

/* ---- places ------------------------------------------------------------------------------- */

void zc_memory_forget(void)
{
    memset(memory.entries, 0, sizeof memory.entries);
    memory.place_count = 0;
}

void zc_memory_reset(unsigned threads)
{
    for (unsigned i = 0; i < memory.place_count; i++) {
        memory.places[i] = (place_t){ 0 };
        memory.shared[i]->fresh = false;
    }
    memset(memory.threads, 0, sizeof memory.threads);
    memset(&memory.fences, 0, sizeof memory.fences);
    for (unsigned i = 0; i < threads; i++) {
        memory.threads[i].now.clock[i] = 1;
    }
}

unsigned zc_memory_places(void)
{
    return memory.place_count;
}

zc_thread_memory_t *zc_memory_of(unsigned thread)
{
    return &memory.threads[thread];
}

static entry_t *find(const void *address)
{
    uintptr_t hash = (uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15) >> 40;
    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        entry_t *entry = &memory.entries[(hash + i) % ENTRIES_MAX];
        if (entry->address == NULL || entry->address == address) {
            return entry;
        }
    }
    fprintf(stderr, "more than %d atomic locations\n", ENTRIES_MAX);
    exit(2);
}

/** Notes who touches what; places that only one thread touches, or nobody writes, are no choice. */
static entry_t *touch(const void *address, size_t bytes, bool write)
{
    entry_t *entry = find(address);
    entry->address = address;
    entry->bytes = (uint8_t)bytes;
    entry->threads |= (uint8_t)(1u << zc_self());
    entry->written |= write;
    bool several = (entry->threads & (entry->threads - 1)) != 0;
    if (!entry->shared && several && entry->written && zc_arena_has(address)) {
        if (memory.place_count == ZC_PLACES_MAX) {
            fprintf(stderr, "more than %d shared places\n", ZC_PLACES_MAX);
            exit(2);
        }
        entry->shared = true;
        entry->fresh = true;
        entry->place = (uint8_t)memory.place_count;
        memory.shared[memory.place_count] = entry;
        memory.places[memory.place_count++] = (place_t){ 0 };
        zc_learned();
    }
    return entry;
}

static bool is_tracked(const entry_t *entry)
{
    return entry->shared && !entry->fresh;
}

/** Makes room for a store `back` places before the end; 0: at the end. */
static store_t *insert(const entry_t *entry, unsigned back, uint64_t value)
{
    place_t *place = &memory.places[entry->place];
    store_t *stores = memory.stores[entry->place];
    if (place->count == ZC_STORES_MAX) {
        zc_fail("more than %d stores to one place", ZC_STORES_MAX);
    }
    unsigned index = place->count++ - back;
    for (unsigned i = place->count - 1; i > index; i--) {
        stores[i] = stores[i - 1];
    }
    unsigned before = index == 0 ? 0 : stores[index - 1].at;
    unsigned at = index == 0 ? 0 : back == 0 ? before + STEP : (before + stores[index + 1].at) / 2;
    stores[index] = (store_t){ .value = value, .at = (uint16_t)at };
    return &stores[index];
}

static store_t *last_of(const entry_t *entry)
{
    return &memory.stores[entry->place][memory.places[entry->place].count - 1];
}

/** The history of a tracked place, which has one store at least. */
static place_t *look_up(const entry_t *entry)
{
    place_t *place = &memory.places[entry->place];
    uint64_t value = raw_load(entry->address, entry->bytes);
    if (place->count == 0) {
        insert(entry, 0, value);
    } else if (last_of(entry)->value != value) {
        const store_t *store = insert(entry, 0, value); // written as plain memory meanwhile
        memory.threads[zc_self()].now.view[entry->place] = store->at;
    }
    return place;
}

/* ---- orders ------------------------------------------------------------------------------- */

static void join(zc_sync_t *into, const zc_sync_t *from)
{
    for (unsigned i = 0; i < ZC_PLACES_MAX; i++) {
        into->view[i] = into->view[i] > from->view[i] ? into->view[i] : from->view[i];
    }
    for (unsigned i = 0; i < ZC_THREADS_MAX; i++) {
        into->clock[i] = into->clock[i] > from->clock[i] ? into->clock[i] : from->clock[i];
    }
}

static bool acquires(zc_order_t order)
{
    return order == ZC_CONSUME || order == ZC_ACQUIRE || order >= ZC_ACQ_REL;
}

static bool releases(zc_order_t order)
{
    return order >= ZC_RELEASE;
}

static void saw(const entry_t *entry, const store_t *store, zc_order_t order)
{
    zc_thread_memory_t *self = &memory.threads[zc_self()];
    self->now.view[entry->place] = store->at;
    join(acquires(order) ? &self->now : &self->acquired_later, &store->sync);
}

/** The running thread has made `store`. */
static void put(const entry_t *entry, store_t *store, zc_order_t order)
{
    zc_thread_memory_t *self = &memory.threads[zc_self()];
    self->now.view[entry->place] = store->at;
    store->sync = releases(order) ? self->now : self->released;
    store->sync.view[entry->place] = store->at;
    place_t *place = &memory.places[entry->place];
    if (order == ZC_SEQ_CST && store->at > place->last_seq_cst) {
        place->last_seq_cst = store->at;
    }
    self->now.clock[zc_self()]++;
}

/** The time of the oldest store that the running thread may read. */
static unsigned oldest_visible(const entry_t *entry, zc_order_t order)
{
    unsigned view = memory.threads[zc_self()].now.view[entry->place];
    unsigned last = memory.places[entry->place].last_seq_cst;
    return order == ZC_SEQ_CST && last > view ? last : view;
}

void zc_memory_catch_up(unsigned thread)
{
    // Stores become visible in the end; what they order is taken over by acquiring only.
    for (unsigned i = 0; i < memory.place_count; i++) {
        if (memory.places[i].count > 0) {
            memory.threads[thread].now.view[i] = last_of(memory.shared[i])->at;
        }
    }
}

void zc_memory_join(unsigned thread)
{
    join(&memory.threads[zc_self()].now, &memory.threads[thread].now);
}

/* ---- operations --------------------------------------------------------------------------- */

uint64_t zc_load(const void *address, size_t bytes, zc_order_t order, const void *pc)
{
    if (!zc_is_running()) {
        return raw_load(address, bytes);
    }
    const entry_t *entry = touch(address, bytes, false);
    bool again = zc_point(is_tracked(entry), true, address);
    zc_atomic_touch(address, bytes, false, pc);
    if (!is_tracked(entry)) {
        return raw_load(address, bytes);
    }
    unsigned last = look_up(entry)->count - 1;
    const store_t *stores = memory.stores[entry->place];
    unsigned count = 1;
    while (count <= last && stores[last - count].at >= oldest_visible(entry, order)) {
        count++;
    }
    unsigned back = again ? count - 1 : zc_choose_stale(count); // again: what it found before
    const store_t *store = &stores[last - back];
    saw(entry, store, order);
    zc_trace(pc, "%p = 0x%" PRIx64 " load %s%s", address, store->value, order_names[order],
             back > 0 ? ", stale" : "");
    return store->value;
}

static void changed(const entry_t *entry, uint64_t before, uint64_t value)
{
    if (entry->shared && before != value) {
        zc_wrote();
    }
}

/** How many newer stores a store may be made behind: 0 is the usual. */
static unsigned choose_place(const entry_t *entry, zc_order_t order)
{
    const store_t *stores = memory.stores[entry->place];
    unsigned last = memory.places[entry->place].count - 1;
    unsigned back[ZC_STORES_MAX + 1];
    unsigned count = 0;
    back[count++] = 0;
    for (unsigned i = last; i > 0 && stores[i].at > oldest_visible(entry, order); i--) {
        if (!stores[i].attached && stores[i].at - stores[i - 1].at > 1) {
            back[count++] = last - i + 1;
        }
    }
    return back[zc_choose_stale(count)];
}

void zc_store(void *address, size_t bytes, uint64_t value, zc_order_t order, const void *pc)
{
    if (!zc_is_running()) {
        zc_plain_write(address, bytes, pc);
        raw_store(address, bytes, value);
        return;
    }
    const entry_t *entry = touch(address, bytes, true);
    zc_point(is_tracked(entry), false, address);
    zc_atomic_touch(address, bytes, true, pc);
    uint64_t before = raw_load(address, bytes);
    if (is_tracked(entry)) {
        look_up(entry);
        unsigned back = choose_place(entry, order);
        put(entry, insert(entry, back, value), order);
        zc_trace(pc, "%p <- 0x%" PRIx64 " store %s%s", address, value, order_names[order],
                 back > 0 ? ", late" : "");
        value = back > 0 ? before : value;
    }
    raw_store(address, bytes, value);
    changed(entry, before, value);
}

static uint64_t apply(zc_rmw_t what, uint64_t value, uint64_t operand)
{
    switch (what) {
    case ZC_EXCHANGE:
        return operand;
    case ZC_ADD:
        return value + operand;
    case ZC_SUB:
        return value - operand;
    case ZC_AND:
        return value & operand;
    case ZC_OR:
        return value | operand;
    case ZC_XOR:
        return value ^ operand;
    case ZC_NAND:
        return ~(value & operand);
    }
    abort();
}

/** A read-modify-write: it reads the last store, always, and goes on with its release sequence. */
static void replace(const entry_t *entry, uint64_t value, zc_order_t order)
{
    look_up(entry);
    const zc_sync_t before = last_of(entry)->sync;
    saw(entry, last_of(entry), order);
    store_t *store = insert(entry, 0, value);
    store->attached = true;
    put(entry, store, order);
    join(&store->sync, &before);
}

uint64_t zc_modify(void *address, size_t bytes, zc_rmw_t what, uint64_t operand, zc_order_t order,
                   const void *pc)
{
    uint64_t before = raw_load(address, bytes);
    if (!zc_is_running()) {
        zc_plain_write(address, bytes, pc);
        raw_store(address, bytes, apply(what, before, operand));
        return before;
    }
    const entry_t *entry = touch(address, bytes, true);
    zc_point(is_tracked(entry), false, address);
    zc_atomic_touch(address, bytes, true, pc);
    before = raw_load(address, bytes); // others may have gone first
    uint64_t value = cut(apply(what, before, operand), bytes);
    if (is_tracked(entry)) {
        replace(entry, value, order);
        zc_trace(pc, "%p = 0x%" PRIx64 " <- 0x%" PRIx64 " modify %s", address, before, value,
                 order_names[order]);
    }
    raw_store(address, bytes, value);
    changed(entry, before, value);
    return before;
}

/** How far back a failing exchange reads: 0 is the newest store, which may let it succeed. */
static unsigned choose_failure(const entry_t *entry, const zc_cas_t *cas)
{
    const store_t *stores = memory.stores[entry->place];
    unsigned last = memory.places[entry->place].count - 1;
    unsigned back[ZC_STORES_MAX];
    unsigned count = 0;
    back[count++] = 0;
    for (unsigned i = last; i-- > 0 && stores[i].at >= oldest_visible(entry, cas->failure);) {
        if (stores[i].value != cas->expected) {
            back[count++] = last - i;
        }
    }
    return back[zc_choose_stale(count)];
}

bool zc_compare_exchange(void *address, const zc_cas_t *cas, uint64_t *seen, const void *pc)
{
    if (!zc_is_running()) {
        *seen = raw_load(address, cas->bytes);
        if (*seen == cas->expected) {
            zc_plain_write(address, cas->bytes, pc);
            raw_store(address, cas->bytes, cas->desired);
        }
        return *seen == cas->expected;
    }
    const entry_t *entry = touch(address, cas->bytes, true);
    zc_point(is_tracked(entry), false, address);
    zc_atomic_touch(address, cas->bytes, true, pc);
    *seen = raw_load(address, cas->bytes);
    bool success = *seen == cas->expected;
    if (is_tracked(entry)) {
        look_up(entry);
        const store_t *found = last_of(entry) - choose_failure(entry, cas);
        *seen = found->value;
        success = *seen == cas->expected && !(cas->may_fail && zc_choose_stale(2) == 1);
        if (success) {
            replace(entry, cas->desired, cas->order);
        } else {
            saw(entry, found, cas->failure);
        }
        zc_trace(pc, "%p = 0x%" PRIx64 "%s <- 0x%" PRIx64 " %s", address, *seen,
                 success ? " exchanged," : " not exchanged,", cas->desired,
                 order_names[success ? cas->order : cas->failure]);
    }
    if (success) {
        raw_store(address, cas->bytes, cas->desired);
        changed(entry, cas->expected, cas->desired);
    }
    return success;
}

void zc_fence(zc_order_t order, const void *pc)
{
    if (!zc_is_running()) {
        return;
    }
    zc_point(true, false, NULL);
    zc_thread_memory_t *self = &memory.threads[zc_self()];
    if (acquires(order)) {
        join(&self->now, &self->acquired_later);
    }
    if (order == ZC_SEQ_CST) {
        join(&self->now, &memory.fences);
        // Views only: a fence orders what is seen, and hands no plain memory over.
        memcpy(memory.fences.view, self->now.view, sizeof memory.fences.view);
    }
    if (releases(order)) {
        self->released = self->now;
        self->now.clock[zc_self()]++;
    }
    zc_trace(pc, "fence %s", order_names[order]);
}

void zc_fence_all(const void *pc)
{
    if (!zc_is_running()) {
        return;
    }
    zc_point(true, false, NULL);
    zc_trace(pc, "fence in all threads");
    for (unsigned round = 0; round < 2; round++) { // each sees what any has seen
        for (unsigned i = 0; i < ZC_THREADS_MAX; i++) {
            zc_sync_t *now = &memory.threads[i].now;
            for (unsigned place = 0; place < ZC_PLACES_MAX; place++) {
                uint16_t *seen = &memory.fences.view[place];
                *seen = *seen > now->view[place] ? *seen : now->view[place];
                now->view[place] = *seen;
            }
        }
    }
}
