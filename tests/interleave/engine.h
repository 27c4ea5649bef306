/** What the parts of the checker share: the fibers and choices, the memory model, the plain memory. */
#pragma once

#include "check.h"

enum {
    ZC_PAGE_BYTES = 4096,
    ZC_PLACES_MAX = 64,  // shared atomic locations of a scenario
    ZC_STORES_MAX = 256, // to one of them in one schedule
    ZC_OPS_MAX = 20000,  // atomic operations of one schedule: more is a livelock
};

/** C's memory orders, with the numbers that compilers pass. */
typedef enum zc_order {
    ZC_RELAXED,
    ZC_CONSUME,
    ZC_ACQUIRE,
    ZC_RELEASE,
    ZC_ACQ_REL,
    ZC_SEQ_CST,
} zc_order_t;

/** What a release carries and an acquire takes over. */
typedef struct zc_sync {
    uint16_t view[ZC_PLACES_MAX];   // for each place: no older store may be read
    uint16_t clock[ZC_THREADS_MAX]; // for each thread: its operations that happened before
} zc_sync_t;

typedef struct zc_thread_memory {
    zc_sync_t now;
    zc_sync_t acquired_later; // of relaxed loads: an acquire fence takes it over
    zc_sync_t released;       // at the last release fence: relaxed stores carry it
} zc_thread_memory_t;

/* ---- engine.c: fibers, choices, schedules ------------------------------------------------- */

typedef struct zc_bounds {
    unsigned preemptions;
    unsigned stale;
} zc_bounds_t;

typedef struct zc_result {
    uint64_t schedules;
    uint64_t ops_max;
    unsigned places;
    bool out_of_time;
} zc_result_t;

/** Sets a scenario up. Once, before the rest. */
void zc_prepare(const zc_scenario_t *scenario);
/** Walks through all schedules within `bounds`; does not return if one fails. */
zc_result_t zc_explore(const zc_bounds_t *bounds, double seconds_max);
/** Runs the one schedule of a failure's text, with a trace. */
void zc_replay(const char *schedule);

/** True while a fiber runs. */
bool zc_is_running(void);
/**
 * One more atomic operation begins: another thread may go first, if threads share the address. True:
 * a look while spinning, and nobody ran since the last one, so it finds what that one found.
 */
bool zc_point(bool shared, bool load, const void *address);
/** Waits until the thread with that number has ended. */
void zc_join(unsigned thread);
/** The running thread wrote something that others may wait for. */
void zc_wrote(void);
/** Chooses one of `count` outcomes of an operation; 0, the usual one, costs nothing. */
unsigned zc_choose_stale(unsigned count);
/** Blocks the running thread until zc_unblock. */
void zc_block(const void *reason);
/** Lets up to `max` threads go on that are blocked for `reason`. */
unsigned zc_unblock(const void *reason, unsigned max);
/** A place turned out to be shared: all schedules are to be walked through again. */
void zc_learned(void);
/** True if this schedule counts for nothing, because something was learned in it. */
bool zc_is_learning(void);
bool zc_is_tracing(void);
/** One line of a trace; `pc` says where. */
void zc_trace(const void *pc, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** The running thread's spin hint: the next look at the same place is no new choice. */
void zc_relax(void);

/* ---- memory.c: atomics -------------------------------------------------------------------- */

void zc_memory_forget(void); // between scenarios: which places are shared
void zc_memory_reset(unsigned threads);
unsigned zc_memory_places(void);
zc_thread_memory_t *zc_memory_of(unsigned thread);
/** Older stores are no longer to be seen: those of a thread that waited. */
void zc_memory_catch_up(unsigned thread);
/** All that `thread` did happened before what the running thread does from now on. */
void zc_memory_join(unsigned thread);

uint64_t zc_load(const void *address, size_t bytes, zc_order_t order, const void *pc);
void zc_store(void *address, size_t bytes, uint64_t value, zc_order_t order, const void *pc);

typedef enum zc_rmw {
    ZC_EXCHANGE,
    ZC_ADD,
    ZC_SUB,
    ZC_AND,
    ZC_OR,
    ZC_XOR,
    ZC_NAND,
} zc_rmw_t;

uint64_t zc_modify(void *address, size_t bytes, zc_rmw_t what, uint64_t operand, zc_order_t order,
                   const void *pc);

typedef struct zc_cas {
    size_t bytes;
    uint64_t expected;
    uint64_t desired;
    zc_order_t order;
    zc_order_t failure;
    bool may_fail; // weak, and the caller can tell
} zc_cas_t;

/** True: exchanged. `*seen` is what it found. */
bool zc_compare_exchange(void *address, const zc_cas_t *cas, uint64_t *seen, const void *pc);
void zc_fence(zc_order_t order, const void *pc);
/** A sequentially consistent fence in every thread: what membarrier(2) does. */
void zc_fence_all(const void *pc);

/* ---- plain.c: the arena, races, freed memory ---------------------------------------------- */

bool zc_arena_has(const void *address);
/** Empties the arena. */
void zc_arena_clear(void);
/** Remembers the arena as it is: what zc_arena_restore goes back to. */
void zc_arena_save(void);
void zc_arena_restore(void);
/** Forgets the accesses of the last schedule. */
void zc_plain_reset(void);
void zc_plain_read(const void *address, size_t bytes, const void *pc);
void zc_plain_write(void *address, size_t bytes, const void *pc);
void zc_atomic_touch(const void *address, size_t bytes, bool write, const void *pc);
void zc_poison(const volatile void *address, size_t bytes, bool poisoned);
