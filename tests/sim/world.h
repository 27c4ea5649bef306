/**
 * World: what really happened in a simulation, told by the workload's actors and by the swarm, and
 * the oracles over it. It stands outside of all nodes: one thread runs them all, so an actor may
 * simply write down here what it did.
 *
 * A *process* is one process start of a node; it may have several uids, one after the other. An
 * *instance* is one actor of one process, from its first message to its end or its process's; a
 * *life* of it is what lies between two restarts.
 *
 * Errors   The first violation is kept as text; those after it are consequences.
 * Threads  One.
 */
#pragma once

#include <zactor/sim.h>

typedef enum kind {
    KIND_NONE,
    KIND_PEER,
    KIND_SMALL,
    KIND_FLOODER,
    KIND_ASKER,
    KIND_ANSWERER,
    KIND_NURSERY,
    KIND_MORTAL,
    KIND_WATCHER,
    KIND_NAMER,
    KIND_PARENT,
    KIND_CHILD,
    KIND_CLOCKWORK,
    KIND_FAN,
    KIND_COUNT
} kind_t;

typedef enum phase {
    PHASE_WORK,  // everything goes on
    PHASE_DRAIN, // nothing new is begun, what is open ends
    PHASE_PROBE, // each peer sends to each other: all of it must arrive
} phase_t;

enum {
    WORLD_NAME_BYTES = 32,
    PROBES_PER_PAIR = 3,
};

/** Begins anew, with `sim` and nothing in it. */
void world_init(za_sim_t *sim);
void world_deinit(void);

/** Notes a violation of an oracle. */
void world_fail(const char *format, ...) ZA_PRINTF(1, 2);
/** The first violation; NULL: none so far. */
const char *world_failure(void);

void world_set_phase(phase_t phase);
phase_t world_phase(void);
uint64_t world_now_ms(void);
/** Over what every actor did, in order. */
uint64_t world_hash(void);
void world_mix(uint64_t value);
uint32_t world_node_count(void);

/* ---- processes --------------------------------------------------------------------------------- */

/** A process of `node` has started. Its number, from 1. */
uint32_t world_process_began(uint32_t node);
/** It is gone: crashed, or it has left. */
void world_process_ended(uint32_t node);
/** The live process of `node`; 0: none. */
uint32_t world_process(uint32_t node);
uint32_t world_process_node(uint32_t process);
/** The process that a handler runs in. */
uint32_t world_here(const za_ctx_t *ctx);
/** Whose uid that is or was; 0: nobody's. */
uint32_t world_process_of(uint64_t uid);
/** Looks at the uids of all processes; after each event. */
void world_watch_uids(void);
/** The uid became terminal in the view of `process`. */
void world_uid_ended(uint32_t process, uint64_t uid);
/** True until `process` is reborn: a node that was itself declared down takes its verdicts back. */
bool world_uid_has_ended(uint32_t process, uint64_t uid);

/* ---- instances --------------------------------------------------------------------------------- */

/** First message of a life: a new instance, or the next life of one. `name`: registered for it. */
uint32_t world_born(za_ctx_t *ctx, kind_t kind, const char *name);
/** za_Stopping. */
void world_gone(uint32_t instance);
bool world_alive(uint32_t instance);
uint32_t world_life(uint32_t instance);
uint32_t world_instance_process(uint32_t instance);
kind_t world_kind(uint32_t instance);
/** The instance of `ref` as process `here` sees it; 0: unknown. */
uint32_t world_find(uint32_t here, za_ref_t ref);
uint32_t world_instance_count(void);

/* ---- streams: order, at most once ---------------------------------------------------------------- */

uint64_t world_stream(uint32_t sender);
void world_stream_arrived(uint64_t stream, uint32_t seq, uint32_t receiver);
void world_probe_sent(void);
void world_probe_arrived(void);
/** True when all probes that were sent have arrived. */
bool world_probes_complete(void);

/* ---- asks: one end each -------------------------------------------------------------------------- */

typedef enum outcome { OUTCOME_ANSWER = 1, OUTCOME_TIMEOUT, OUTCOME_DOWN } outcome_t;

uint64_t world_asked(uint32_t asker, uint64_t deadline_ms);
/** The send was refused: the ask never was. */
void world_ask_refused(uint64_t ask);
void world_ask_ended(uint64_t ask, uint32_t asker, outcome_t outcome);

/* ---- watches: once each ---------------------------------------------------------------------------- */

void world_watched(uint32_t watcher, za_ref_t target);
void world_unwatched(uint32_t watcher, za_ref_t target);
void world_watch_fired(uint32_t watcher, za_ref_t target, za_Reason reason);
/** A message of `sender` has come: no watch on it may have fired. */
void world_heard(uint32_t watcher, za_ref_t sender);

/* ---- names ------------------------------------------------------------------------------------------ */

void world_name_held(uint32_t instance, const char *name);
void world_name_given_up(uint32_t instance, const char *name);
bool world_holds(uint32_t instance, const char *name);
/** A lookup answered `ref`. */
void world_looked_up(za_ctx_t *ctx, const char *name, za_ref_t ref);

/* ---- topics ------------------------------------------------------------------------------------------ */

void world_subscribed(uint32_t instance, uint32_t topic, bool is);
/** How many that live have subscribed. */
uint32_t world_subscribers(uint32_t topic);
/** In order for each publisher and receiver, and once. */
void world_flyer_arrived(uint32_t publisher, uint32_t seq, uint32_t receiver);
/** After the healing: all nodes must give the key of a topic to the same subscriber. */
void world_key_went_to(uint32_t topic, uint32_t receiver);

/* ---- children ---------------------------------------------------------------------------------------- */

/** A record of `parent`: one child, wherever it runs. */
uint64_t world_record(uint32_t parent);
void world_child_born(uint64_t record, uint32_t instance);
void world_child_spawned(uint64_t record, uint32_t parent, za_ref_t ref, uint32_t epoch);
/** za_SpawnFailed, or the spawn was refused: nothing follows. */
void world_record_ended(uint64_t record, uint32_t parent);
/** Children go on while their parent is restarted: which they are, and where the last news of them was. */
uint32_t world_open_records(uint32_t parent, uint64_t *records, uint32_t max);
za_ref_t world_record_ref(uint64_t record);
/** The parent ended: its records end with it. */
void world_records_forget(uint32_t parent);

/* ---- counts -------------------------------------------------------------------------------------------- */

typedef struct world_counts {
    uint64_t items, item_bytes, refused_full, refused_other;
    uint64_t answers, timeouts, downs;
    uint64_t watches, fired, fired_node;
    uint64_t names, names_lost;
    uint64_t spawned, respawned, child_restarts, children_ended, carried_home;
    uint64_t flyers;
    uint64_t rings, cancels;
    uint64_t rebirths;
} world_counts_t;

extern world_counts_t world_counts;

/** All oracles that hold only in the end. */
void world_check_end(void);
