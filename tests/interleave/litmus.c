/**
 * The checker checked: small programs whose outcomes C's memory model says, and all of them must be
 * seen, and no other. Names as in Alglave, Maranget and Tautschnig, "Herding cats" (TOPLAS 2014).
 *
 * Exit status: 0 if each has exactly its outcomes, 1 if not.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum { REGISTERS = 4, OUTCOMES = 1 << REGISTERS };

typedef struct cells {
    _Atomic uint32_t x;
    _Atomic uint32_t y;
    uint32_t plain;
    uint32_t found[REGISTERS]; // each by one thread
} cells_t;

static cells_t *cells;
static bool outcomes[OUTCOMES]; // bit i: what register i found

static void setup(void)
{
    cells = zc_alloc(sizeof *cells);
}

static void finish(void)
{
    unsigned outcome = 0;
    for (unsigned i = 0; i < REGISTERS; i++) {
        outcome |= (cells->found[i] & 1) << i;
    }
    outcomes[outcome] = true;
}

static void find(unsigned index, uint32_t value)
{
    cells->found[index] = value;
}

#define STORE(place, order) atomic_store_explicit(&cells->place, 1, memory_order_##order)
#define LOAD(place, order) atomic_load_explicit(&cells->place, memory_order_##order)

#define THREAD(name, ...)                                                                          \
    static void name(void)                                                                         \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }                                                                                              \
    struct name // takes the semicolon

// SB: each thread writes one place and reads the other's.
THREAD(sb_relaxed_x, STORE(x, release); find(0, LOAD(y, acquire)););
THREAD(sb_relaxed_y, STORE(y, release); find(1, LOAD(x, acquire)););
THREAD(sb_seq_cst_x, STORE(x, seq_cst); find(0, LOAD(y, seq_cst)););
THREAD(sb_seq_cst_y, STORE(y, seq_cst); find(1, LOAD(x, seq_cst)););
THREAD(sb_fence_x, STORE(x, relaxed); atomic_thread_fence(memory_order_seq_cst);
       find(0, LOAD(y, relaxed)););
THREAD(sb_fence_y, STORE(y, relaxed); atomic_thread_fence(memory_order_seq_cst);
       find(1, LOAD(x, relaxed)););

// MP: one publishes x by y.
THREAD(mp_relaxed_put, STORE(x, relaxed); STORE(y, relaxed););
THREAD(mp_release_put, STORE(x, relaxed); STORE(y, release););
THREAD(mp_fence_put, STORE(x, relaxed); atomic_thread_fence(memory_order_release);
       STORE(y, relaxed););
THREAD(mp_relaxed_get, find(0, LOAD(y, relaxed)); find(1, LOAD(x, relaxed)););
THREAD(mp_acquire_get, find(0, LOAD(y, acquire)); find(1, LOAD(x, relaxed)););
THREAD(mp_fence_get, find(0, LOAD(y, relaxed)); atomic_thread_fence(memory_order_acquire);
       find(1, LOAD(x, relaxed)););
// A read-modify-write goes on with the release sequence, whatever its own order.
THREAD(mp_pass_on, uint32_t one = 1;
       atomic_compare_exchange_strong_explicit(&cells->y, &one, 3, memory_order_relaxed,
                                               memory_order_relaxed););
THREAD(mp_get_passed, find(0, LOAD(y, acquire) == 3); find(1, LOAD(x, relaxed)););

// CoRR: one place never goes back.
THREAD(corr_put, STORE(x, relaxed););
THREAD(corr_get, find(0, LOAD(x, relaxed)); find(1, LOAD(x, relaxed)););

// 2+2W: who writes last; each thread's first write may come last.
THREAD(ww_x, atomic_store_explicit(&cells->x, 3, memory_order_relaxed);
       atomic_store_explicit(&cells->y, 2, memory_order_relaxed););
THREAD(ww_y, atomic_store_explicit(&cells->y, 3, memory_order_relaxed);
       atomic_store_explicit(&cells->x, 2, memory_order_relaxed););

static void finish_ww(void)
{
    find(0, LOAD(x, relaxed));
    find(1, LOAD(y, relaxed));
    finish();
}

// IRIW: two readers disagree on which of two writes came first.
THREAD(iriw_x, STORE(x, release););
THREAD(iriw_y, STORE(y, release););
THREAD(iriw_xy, find(0, LOAD(x, acquire)); find(1, LOAD(y, acquire)););
THREAD(iriw_yx, find(2, LOAD(y, acquire)); find(3, LOAD(x, acquire)););
THREAD(iriw_sc_x, STORE(x, seq_cst););
THREAD(iriw_sc_y, STORE(y, seq_cst););
THREAD(iriw_sc_xy, find(0, LOAD(x, seq_cst)); find(1, LOAD(y, seq_cst)););
THREAD(iriw_sc_yx, find(2, LOAD(y, seq_cst)); find(3, LOAD(x, seq_cst)););

// Two counts: no read-modify-write is lost.
THREAD(count_x, uint32_t before = atomic_fetch_add_explicit(&cells->x, 1, memory_order_relaxed);
       find(0, before););
THREAD(count_y, uint32_t before = atomic_fetch_add_explicit(&cells->x, 1, memory_order_relaxed);
       find(1, before););

typedef struct litmus {
    const char *name;
    zc_thread_t threads[ZC_THREADS_MAX];
    void (*finish)(void);
    const char *outcomes; // registers in order, outcomes by spaces
    unsigned registers;
} litmus_t;

static const litmus_t tests[] = {
    { "SB release", { { "x", sb_relaxed_x }, { "y", sb_relaxed_y } }, finish, "00 01 10 11", 2 },
    { "SB seq_cst", { { "x", sb_seq_cst_x }, { "y", sb_seq_cst_y } }, finish, "01 10 11", 2 },
    { "SB fences", { { "x", sb_fence_x }, { "y", sb_fence_y } }, finish, "01 10 11", 2 },
    { "SB one fence", { { "x", sb_fence_x }, { "y", sb_relaxed_y } }, finish, "00 01 10 11", 2 },
    { "MP relaxed",
      { { "put", mp_relaxed_put }, { "get", mp_relaxed_get } },
      finish,
      "00 01 10 11",
      2 },
    { "MP release only",
      { { "put", mp_release_put }, { "get", mp_relaxed_get } },
      finish,
      "00 01 10 11",
      2 },
    { "MP acquire only",
      { { "put", mp_relaxed_put }, { "get", mp_acquire_get } },
      finish,
      "00 01 10 11",
      2 },
    { "MP", { { "put", mp_release_put }, { "get", mp_acquire_get } }, finish, "00 01 11", 2 },
    { "MP fences", { { "put", mp_fence_put }, { "get", mp_fence_get } }, finish, "00 01 11", 2 },
    { "MP passed on",
      { { "put", mp_release_put }, { "pass", mp_pass_on }, { "get", mp_get_passed } },
      finish,
      "00 01 11",
      2 },
    { "CoRR", { { "put", corr_put }, { "get", corr_get } }, finish, "00 01 11", 2 },
    { "2+2W", { { "x", ww_x }, { "y", ww_y } }, finish_ww, "00 01 10 11", 2 },
    { "IRIW",
      { { "x", iriw_x }, { "y", iriw_y }, { "xy", iriw_xy }, { "yx", iriw_yx } },
      finish,
      "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111",
      4 },
    { "IRIW seq_cst",
      { { "x", iriw_sc_x }, { "y", iriw_sc_y }, { "xy", iriw_sc_xy }, { "yx", iriw_sc_yx } },
      finish,
      "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1011 1100 1101 1110 1111",
      4 },
    { "counts", { { "x", count_x }, { "y", count_y } }, finish, "01 10", 2 },
};

const zc_scenario_t *const zc_scenarios[] = { NULL };

static void name_outcome(const litmus_t *test, unsigned outcome, char text[REGISTERS + 1])
{
    memset(text, 0, REGISTERS + 1);
    for (unsigned i = 0; i < test->registers; i++) {
        text[i] = outcome >> i & 1 ? '1' : '0';
    }
}

static bool run(const litmus_t *test)
{
    zc_scenario_t scenario = {
        .name = test->name, .promise = "its outcomes", .setup = setup, .finish = test->finish
    };
    memcpy(scenario.threads, test->threads, sizeof scenario.threads);
    memset(outcomes, 0, sizeof outcomes);
    zc_prepare(&scenario);
    zc_explore(&(zc_bounds_t){ 8, 8 }, 60);
    bool passed = true;
    for (unsigned outcome = 0; outcome < 1u << test->registers; outcome++) {
        char text[REGISTERS + 1];
        name_outcome(test, outcome, text);
        if (outcomes[outcome] != (strstr(test->outcomes, text) != NULL)) {
            printf("FAILED %s: %s is %s\n", test->name, text,
                   outcomes[outcome] ? "seen" : "not seen");
            passed = false;
        }
    }
    return passed;
}

int main(void)
{
    bool passed = true;
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        passed = run(&tests[i]) && passed;
    }
    return passed ? 0 : 1;
}
