/**
 * Stage: three simulated nodes with one actor on each that does what the test tells it to, and a log
 * of what actors saw. One thread, so the test may look at everything between two runs.
 */
#pragma once

#include <zactor/sim.h>
#include <zactor/zactor.h>

#include "probe.za.h"
#include "support/za_test.h"

enum {
    STAGE_NODES = 3,
    STAGE_SETTLE_MS = 500,
    STAGE_BOUND_MS = 60 * 1000,
    STAGE_EVENTS_MAX = 4096,
};

/** Where a target lives, as node 0 sees it. */
enum { HERE = 0, THERE = 1 };

typedef enum stage_kind {
    WORKED,   // a: node, b: n
    ANSWERED, // a: node that asked, b: n
    ASK_ENDED,
    DOWN,      // a: reason
    EXITED,    // a: reason
    NAME_LOST, // a: node of who lost it, b: reason
    STOPPED,   // a: node, b: reason
    SPAWNED,   // a: epoch
    MEMBER,    // a: node that heard, b: what
    NAMED,     // a: node that heard; ref: none if nobody holds it any more
    GROUPED,   // a: node that heard, b: joined
} stage_kind_t;

typedef struct stage_event {
    stage_kind_t kind;
    uint64_t a;
    uint64_t b;
    za_ref_t ref;
} stage_event_t;

extern za_sim_t *stage_sim;
extern stage_event_t stage_events[STAGE_EVENTS_MAX];
extern uint32_t stage_event_count;
/** The actor that does what it is told, on each node. */
extern za_ref_t stage_doers[STAGE_NODES];

/** All nodes up, one doer on each. */
void stage_open(uint64_t seed, const za_class_t *const *classes);
/** As stage_open, with all of these but the number of nodes. */
void stage_open_with(za_sim_opts_t opts);
void stage_close(void);
/** A node that crashed is started again, with its doer. */
void stage_restart(uint32_t node);
void stage_settle(void);
bool stage_converged(za_sim_t *sim, void *context);
/** Runs `job` in the doer of that node, and then all there is to do for a while. */
void stage_do(uint32_t node, void (*job)(za_ctx_t *ctx));
/** The node on which this actor lives. */
uint32_t stage_node(const za_ctx_t *ctx);
uint64_t stage_uid(uint32_t node);

void stage_note(stage_kind_t kind, uint64_t a, uint64_t b, za_ref_t ref);
uint32_t stage_count(stage_kind_t kind);
/** Events of that kind on that node. */
uint32_t stage_count_at(stage_kind_t kind, uint64_t node);
stage_event_t stage_last(stage_kind_t kind);
void stage_forget(void);
/** Runs until there are `count` events of that kind, or fails the test. */
void stage_await(stage_kind_t kind, uint32_t count);

/** Notes what it gets, and answers an ask with its n. */
extern const za_class_t target_class;

/**
 * Notes what it gets, as its own, and answers an ask with its n. A probe_Do of 2 has it leave "workers",
 * any other one ends it.
 */
extern const za_class_t stage_member_class;
/** One more member of "workers" on that node; `mailbox`: 0, or how many messages it has room for. */
za_ref_t stage_join(uint32_t node, uint32_t mailbox);
