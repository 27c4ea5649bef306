/**
 * Plain memory: the arena with all that scenarios share, put back before each schedule; who wrote
 * and read which byte when (as FastTrack does, Flanagan and Freund, PLDI 2009); what is freed.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARENA_BYTES = 32 * 1024 * 1024, // pages and shadows are taken as they are touched
    PAGES = ARENA_BYTES / ZC_PAGE_BYTES,
    ALIGNMENT = 64,
};

typedef struct shadow {
    uint32_t schedule; // older: nothing was noted in this one
    uint8_t writer;
    uint16_t written; // clock of the writer; 0: not written
    uint16_t read[ZC_THREADS_MAX];
    uint16_t stored[ZC_THREADS_MAX]; // by atomic operations
    uint16_t loaded[ZC_THREADS_MAX];
} shadow_t;

static _Alignas(ZC_PAGE_BYTES) unsigned char arena[ARENA_BYTES];
static unsigned char saved[ARENA_BYTES];
static uint8_t poison[ARENA_BYTES];
static uint8_t saved_poison[ARENA_BYTES];
static shadow_t shadows[ARENA_BYTES];

static struct {
    size_t used;
    size_t used_saved;
    bool dirty[PAGES];
    uint32_t dirty_pages[PAGES];
    unsigned dirty_count;
    uint32_t schedule;
    size_t watched; // offset of the byte a failure was about; its accesses are traced
} state;

/* ---- the arena ---------------------------------------------------------------------------- */

bool zc_arena_has(const void *address)
{
    return (uintptr_t)address - (uintptr_t)arena < ARENA_BYTES;
}

static size_t offset_of(const volatile void *address)
{
    return (uintptr_t)address - (uintptr_t)arena;
}

static void mark_dirty(size_t offset, size_t bytes)
{
    for (size_t page = offset / ZC_PAGE_BYTES; page <= (offset + bytes - 1) / ZC_PAGE_BYTES;
         page++) {
        if (!state.dirty[page]) {
            state.dirty[page] = true;
            state.dirty_pages[state.dirty_count++] = (uint32_t)page;
        }
    }
}

void *zc_alloc(size_t bytes)
{
    size_t aligned = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (aligned > ARENA_BYTES - state.used) {
        fprintf(stderr, "the arena has no %zu bytes left\n", bytes);
        exit(2);
    }
    void *block = arena + state.used;
    state.used += aligned;
    return block;
}

void zc_arena_clear(void)
{
    memset(arena, 0, state.used);
    memset(poison, 0, state.used);
    memset(saved, 0, state.used_saved);
    memset(saved_poison, 0, state.used_saved);
    state.used = 0;
    state.watched = 0;
}

void zc_arena_save(void)
{
    memcpy(saved, arena, state.used);
    memcpy(saved_poison, poison, state.used);
    memset(state.dirty, 0, sizeof state.dirty);
    state.dirty_count = 0;
    state.used_saved = state.used;
}

void zc_arena_restore(void)
{
    for (unsigned i = 0; i < state.dirty_count; i++) {
        size_t page = state.dirty_pages[i];
        memcpy(arena + page * ZC_PAGE_BYTES, saved + page * ZC_PAGE_BYTES, ZC_PAGE_BYTES);
        memcpy(poison + page * ZC_PAGE_BYTES, saved_poison + page * ZC_PAGE_BYTES, ZC_PAGE_BYTES);
        state.dirty[page] = false;
    }
    state.dirty_count = 0;
    state.used = state.used_saved;
    // Now and then: is it really as it was? A write that nobody instruments would stay unseen.
    if (state.schedule % 4096 == 1 && memcmp(arena, saved, state.used) != 0) {
        fprintf(stderr, "memory was written behind the checker's back\n");
        exit(2);
    }
}

void zc_poison(const volatile void *address, size_t bytes, bool poisoned)
{
    if (zc_arena_has((const void *)address) && bytes > 0) {
        mark_dirty(offset_of(address), bytes);
        memset(poison + offset_of(address), poisoned, bytes);
    }
}

/* ---- races -------------------------------------------------------------------------------- */

void zc_plain_reset(void)
{
    state.schedule++;
}

static shadow_t *shadow_at(size_t offset)
{
    shadow_t *shadow = &shadows[offset];
    if (shadow->schedule != state.schedule) {
        *shadow = (shadow_t){ .schedule = state.schedule };
    }
    return shadow;
}

typedef enum access {
    READ,
    WRITE,
    ATOMIC_LOAD,
    ATOMIC_STORE,
} access_t;

static const char *const access_names[] = { "reads", "writes", "loads", "stores" };

/** The thread whose access is not ordered before ours; ZC_THREADS_MAX: none. */
static unsigned racer(const shadow_t *shadow, access_t access, const uint16_t *clock)
{
    if (shadow->written > clock[shadow->writer]) {
        return shadow->writer;
    }
    for (unsigned i = 0; i < ZC_THREADS_MAX; i++) {
        bool races = false;
        if (access == WRITE) {
            races = shadow->read[i] > clock[i] || shadow->stored[i] > clock[i] ||
                    shadow->loaded[i] > clock[i];
        } else if (access == READ) {
            races = shadow->stored[i] > clock[i];
        } else if (access == ATOMIC_STORE) {
            races = shadow->read[i] > clock[i];
        }
        if (races && i != zc_self()) {
            return i;
        }
    }
    return ZC_THREADS_MAX;
}

static void note(shadow_t *shadow, access_t access, uint16_t clock)
{
    switch (access) {
    case READ:
        shadow->read[zc_self()] = clock;
        break;
    case WRITE:
        shadow->writer = (uint8_t)zc_self();
        shadow->written = clock;
        break;
    case ATOMIC_LOAD:
        shadow->loaded[zc_self()] = clock;
        break;
    case ATOMIC_STORE:
        shadow->stored[zc_self()] = clock;
        break;
    }
}

static void fail_at(size_t offset, const void *pc, const char *what, access_t access)
{
    if (zc_is_learning()) {
        return; // an order that was not noted yet
    }
    zc_trace(pc, "%p %s", (void *)(arena + offset), access_names[access]);
    state.watched = offset + 1;
    zc_fail("%s at %p", what, (void *)(arena + offset));
}

static void check(const volatile void *address, size_t bytes, access_t access, const void *pc)
{
    size_t first = offset_of(address);
    const uint16_t *clock = zc_memory_of(zc_self())->now.clock;
    for (size_t offset = first; offset < first + bytes; offset++) {
        if (state.watched == offset + 1) {
            zc_trace(pc, "%p %s", (void *)(arena + offset), access_names[access]);
        }
        if (poison[offset]) {
            fail_at(offset, pc, "access to freed memory", access);
        }
        shadow_t *shadow = shadow_at(offset);
        if (racer(shadow, access, clock) != ZC_THREADS_MAX) {
            fail_at(offset, pc, "a race on plain memory", access);
        }
        note(shadow, access, clock[zc_self()]);
    }
}

void zc_plain_read(const void *address, size_t bytes, const void *pc)
{
    if (zc_arena_has(address) && zc_is_running()) {
        check(address, bytes, READ, pc);
    }
}

void zc_plain_write(void *address, size_t bytes, const void *pc)
{
    if (zc_arena_has(address) && bytes > 0) {
        mark_dirty(offset_of(address), bytes);
        if (zc_is_running()) {
            check(address, bytes, WRITE, pc);
        }
    }
}

void zc_atomic_touch(const void *address, size_t bytes, bool write, const void *pc)
{
    if (zc_arena_has(address)) {
        if (write) {
            mark_dirty(offset_of(address), bytes);
        }
        check(address, bytes, write ? ATOMIC_STORE : ATOMIC_LOAD, pc);
    }
}
