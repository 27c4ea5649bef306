/**
 * Plan: what one trial does, as an explicit list that can be drawn from a seed, written, read and
 * made smaller. All else follows from it.
 *
 *     zasim plan 1
 *     seed 42
 *     nodes 5
 *     duration_ms 60000
 *     fault partition at=1200 for=3000 a=0-2 b=3,4
 *
 * Swarm   za_plan_draw switches each class of faults on or off with even odds (Groce et al., Swarm
 *         Testing, ISSTA 2012): a run with all of them hides what a run with few would show. Each
 *         class is drawn from a generator of its own, by name: a new one leaves the others as they were.
 */
#pragma once

#include <stdio.h>

#include "sim/realm.h"

enum {
    ZA_PLAN_FAULTS_MAX = 256,
    ZA_PLAN_SET_HOSTS = 1024, // that a set can name
    ZA_PLAN_SET_WORDS = ZA_PLAN_SET_HOSTS / 64,
};

typedef enum za_fault_kind {
    // Hosts of set a. At its end each is as before: started again, running.
    ZA_FAULT_CRASH,    // FIN, and refusal
    ZA_FAULT_VANISH,   // silence
    ZA_FAULT_MOVE,     // crashes, and comes back under another address
    ZA_FAULT_REUSE,    // the same, and another cluster has its old address
    ZA_FAULT_LEAVE,    // gracefully
    ZA_FAULT_PAUSE,    // SIGSTOP
    ZA_FAULT_STARVE,   // input waits while timers run
    ZA_FAULT_SLOW,     // amount: us for each input
    ZA_FAULT_DISTRUST, // certificate refused
    ZA_FAULT_EXPIRE,   // certificate ends; at the end there is a new one
    ZA_FAULT_SUSPEND,  // a virtual machine stands still, its clock with it, and nothing reaches it
    ZA_FAULT_JUMP,     // amount: ms that the monotonic clock jumps ahead, once
    ZA_FAULT_WALL,     // amount: ms that the wall clock is behind
    ZA_FAULT_TIGHT,    // amount: bytes that its sockets and queues hold
    ZA_FAULT_UPGRADE,  // restarts as a later version, and as the present one again
    ZA_FAULT_VERSION,  // the same as one that the others do not understand
    ZA_FAULT_LEASE,    // the store of the lease does not answer it
    // Paths between sets a and b.
    ZA_FAULT_PARTITION, // nothing passes either way
    ZA_FAULT_ONEWAY,    // nothing passes from a to b
    ZA_FAULT_REFUSE,    // a firewall answers with RST; datagrams are lost
    ZA_FAULT_FLAP,      // partition, on and off every period_ms
    ZA_FAULT_LOSS,      // amount: ppm
    ZA_FAULT_BURST,     // amount: ppm of the time, in bursts of period_ms
    ZA_FAULT_DELAY,     // amount: us more, half of it jitter
    ZA_FAULT_DUPLICATE, // amount: ppm
    ZA_FAULT_REORDER,   // amount: ppm, late by up to period_ms
    ZA_FAULT_CORRUPT,   // amount: ppm
    ZA_FAULT_MTU,       // amount: bytes
    ZA_FAULT_UDP,       // no datagrams, streams as ever
    ZA_FAULT_RESET,     // connections between a and b are reset, once
    ZA_FAULT_KINDS
} za_fault_kind_t;

const char *za_fault_kind_name(za_fault_kind_t kind);
static inline bool za_fault_is_path(za_fault_kind_t kind)
{
    return kind >= ZA_FAULT_PARTITION && kind < ZA_FAULT_RESET;
}

typedef struct za_fault {
    za_fault_kind_t kind;
    uint32_t number; // of the plan it was drawn for: its luck stays when others are taken away
    uint32_t start_ms, length_ms;
    uint32_t amount, period_ms;
    uint64_t a[ZA_PLAN_SET_WORDS], b[ZA_PLAN_SET_WORDS];
} za_fault_t;

typedef enum za_plan_timing {
    ZA_PLAN_LAN,
    ZA_PLAN_LOCAL,
} za_plan_timing_t;

typedef struct za_plan {
    uint64_t seed;
    uint32_t nodes;
    uint32_t services;  // 1: registry, watches and children as well
    uint32_t datagrams; // 1: transport = auto
    uint32_t timing;    // za_plan_timing_t
    uint32_t downing;   // za_downing_strategy_t
    uint32_t quorum;    // of a static quorum
    uint32_t names;     // that each node's actors may have; 0: as many as nodes usually may
    uint32_t start_ms;  // nodes start within this time
    uint32_t duration_ms;
    uint32_t settle_ms; // bound for all views to be equal after the faults; 0: from the timing
    uint32_t latency_us_min, latency_us_max;
    uint32_t loss_ppm, duplicate_ppm, drift_ppm, late_us;
    uint32_t
        work; // operations of registry, watches and children per second and node, in hundredths
    uint32_t fault_count;
    za_fault_t faults[ZA_PLAN_FAULTS_MAX];
} za_plan_t;

/** A LAN of `nodes` without faults. */
void za_plan_init(za_plan_t *plan, uint64_t seed, uint32_t nodes);
/** Everything from the seed; `nodes` 0: that, too. */
void za_plan_draw(za_plan_t *plan, uint64_t seed, uint32_t nodes, bool services);
/**
 * Makes hours of it: the same faults far apart, and no more operations than the longest plan has. What
 * needs time is met in these: clocks that drifted, tombstones that are a day old, tables that grow.
 */
void za_plan_stretch(za_plan_t *plan);
/**
 * A plan in consistency mode that gives each fault the time to be decided, and the cluster the time to
 * be whole again, before the next: partitions, cuts of one direction and crashes, all from the seed.
 */
void za_plan_draw_splits(za_plan_t *plan, uint64_t seed);
za_fault_t *za_plan_add(za_plan_t *plan, za_fault_kind_t kind, uint32_t start_ms,
                        uint32_t length_ms);
void za_fault_add_host(uint64_t *set, uint32_t host);
bool za_fault_has_host(const uint64_t *set, uint32_t host);
/** The path between two hosts, one way or both: others reach both of them. */
bool za_fault_is_pair(const za_fault_t *fault);
bool za_plan_has(const za_plan_t *plan, za_fault_kind_t kind);
uint32_t za_plan_settle_ms(const za_plan_t *plan);
const za_cluster_timing_t *za_plan_timing_of(const za_plan_t *plan);
za_downing_config_t za_plan_downing_of(const za_plan_t *plan);
/**
 * True if nothing in it may make a live node look dead: no loss above 5 %, no stall, no partition. The
 * path between two hosts may be cut where at least two others reach both.
 */
bool za_plan_is_benign(const za_plan_t *plan);

void za_plan_write(const za_plan_t *plan, FILE *out);
/** ZA_EINVAL with the place and what is wrong in `problem`. */
za_err_t za_plan_read(za_plan_t *plan, FILE *in, char *problem, size_t problem_bytes);
