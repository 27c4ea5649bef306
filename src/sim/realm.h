/**
 * Realm: a simulated cluster of up to 16,384 hosts in one thread, in virtual time. Each host steps a
 * za_cluster_t (or a bare za_membership_t), the code that production runs; the network, the clocks
 * and the processes around it are simulated. For whole nodes with actors there is zactor/sim.h.
 *
 * Network   Datagrams: latency drawn per directed link, loss, bursts of loss, duplication, reordering,
 *           corruption (which fails authentication), an MTU. Streams, frame by frame: latency,
 *           bandwidth, retransmission, FIN, RST, refusal, time-outs, half-open ends, full buffers.
 * Hosts     A clock with offset, drift and jumps, late timers, pauses, virtual machines that stand still,
 *           a receive path that lags while timers run, buffers that overflow, 9 ms of CPU for each full
 *           handshake, crashes, restarts; a wall clock that may be wrong, certificates with an end.
 * Versions  A host may be a later version, which says more than the others know, or one that they do
 *           not understand at all.
 * Chance    All draws are by position (sim/chance.h): same configuration and calls, same run, and the
 *           same za_realm_hash, with any compiler.
 * Unit      Microseconds of realm time; a node sees milliseconds of its own clock.
 * Threads   One.
 */
#pragma once

#include "sim/oracle.h"

enum {
    ZA_REALM_HOSTS_MAX = 16384,
    ZA_REALM_ORACLES_MAX = 8,
    ZA_REALM_PATHS_MAX = 256, // faults of paths that are active at once
    ZA_REALM_SEEDS = 2,       // hosts whose addresses everybody is given, unless configured ...
    ZA_REALM_SEEDS_MAX = ZA_CLUSTER_SEEDS_MAX, // ... and so many at most
};
#define ZA_US_PER_MS UINT64_C(1000)
#define ZA_US_PER_S UINT64_C(1000000)
#define ZA_PER_MILLION 1000000u

typedef struct za_realm_config {
    uint64_t seed;
    uint32_t hosts;
    bool services;   // registry, watches and children as well: za_cluster_t
    bool datagrams;  // transport = auto: UDP to any known address; otherwise over links alone
    bool plain_swim; // without Lifeguard, to compare
    za_cluster_timing_t timing;
    za_downing_config_t downing;
    uint32_t latency_us_min, latency_us_max; // one way; drawn with a tail to the longer side
    uint32_t loss_ppm;                       // of datagrams, and of stream segments
    uint32_t duplicate_ppm;
    uint32_t drift_ppm; // of each clock, drawn between -drift and +drift
    uint32_t late_us;   // timers, at most
    uint32_t names_max; // that a node's actors may have; 0: ZA_NAMES_PER_NODE_MAX
    uint32_t seeds;     // the first hosts; 0: ZA_REALM_SEEDS
} za_realm_config_t;

/** What a host's program speaks. */
typedef enum za_host_version {
    ZA_VERSION_PRESENT,
    ZA_VERSION_LATER,   // the same, with fields and frames that nobody else knows yet
    ZA_VERSION_FOREIGN, // no common protocol version: links are refused
} za_host_version_t;

typedef enum za_host_state {
    ZA_HOST_OFF,  // no process: its kernel refuses connections
    ZA_HOST_ON,   // a process runs
    ZA_HOST_GONE, // nothing answers at all: power, cable or kernel
} za_host_state_t;

/** Why a run failed. */
typedef struct za_realm_failure {
    bool failed;
    uint64_t at_us;
    char oracle[24];
    char text[256];
} za_realm_failure_t;

typedef struct za_realm_stats {
    uint64_t events, steps, datagrams, datagram_bytes, frames, frame_bytes;
    uint64_t lost, overflown, corrupted, handshakes, host_us; // host_us: time that processes ran
    uint64_t marks[ZA_MARK_COUNT];
} za_realm_stats_t;

/** A fault of paths, while it lasts. Bit sets have a bit for each host; NULL is everybody. */
typedef struct za_path_fault {
    const uint64_t *from, *to;
    uint32_t set_hosts; // bits in the sets: hosts above are in none of them
    bool both_ways;     // also from `to` to `from`
    bool block, refuse; // silently, or with RST
    uint32_t flap_us;   // half a period of blocking and not; 0: it blocks all the time
    uint32_t loss_ppm;  // uniform
    uint32_t burst_us;  // length of a burst in which everything is lost, with
    uint32_t burst_ppm; // this share of the time
    uint32_t delay_us, jitter_us;
    uint32_t duplicate_ppm, corrupt_ppm;
    uint32_t reorder_ppm, reorder_us; // this share is late by up to
    uint32_t mtu;                     // longer datagrams are lost; 0: none
    bool datagrams_only;              // UDP is filtered, TCP is not
    uint32_t number;                  // place of its draws
    uint64_t since_us;
} za_path_fault_t;

za_err_t za_realm_create(const za_realm_config_t *config, za_realm_t **out);
void za_realm_destroy(za_realm_t *realm);
/** `ops` must outlive the realm; `context` is destroyed with it. */
void za_realm_add_oracle(za_realm_t *realm, const za_oracle_ops_t *ops, void *context);

/* ---- time --------------------------------------------------------------------------------- */

uint64_t za_realm_now_us(const za_realm_t *realm);
/** Runs to `until_us`. False if an oracle failed on the way; then it stands where that was. */
bool za_realm_run(za_realm_t *realm, uint64_t until_us);
/** Ends the run at once; the first failure stays. */
void za_realm_fail(za_realm_t *realm, const char *oracle, const char *format, ...) ZA_PRINTF(3, 4);
const za_realm_failure_t *za_realm_failure(const za_realm_t *realm);
/** All is healed, and has had its time: asks the oracles for the last time. */
bool za_realm_settled(za_realm_t *realm);

/* ---- hosts -------------------------------------------------------------------------------- */

uint32_t za_realm_host_count(const za_realm_t *realm);
const za_realm_config_t *za_realm_config(const za_realm_t *realm);
za_host_state_t za_host_state(const za_realm_t *realm, uint32_t host);
bool za_host_running(const za_realm_t *realm, uint32_t host); // on, and not paused
bool za_host_has_left(const za_realm_t *realm, uint32_t host);
uint64_t za_host_uid(const za_realm_t *realm, uint32_t host); // of its process; 0: none
/** Counts the starts of the host: two processes of it never have the same number. */
uint32_t za_host_process(const za_realm_t *realm, uint32_t host);
/** The host whose present or former process had that uid; UINT32_MAX if none had. */
uint32_t za_host_of_uid(const za_realm_t *realm, uint64_t uid);
/** The host that has the address; UINT32_MAX if none has. */
uint32_t za_realm_host_at(const za_realm_t *realm, const char *address);
/** The host that has it or had it until it moved; UINT32_MAX: no host ever had. */
uint32_t za_realm_owner_of(const za_realm_t *realm, const char *address);
uint64_t za_host_now_ms(const za_realm_t *realm, uint32_t host); // on its own clock
/** NULL without a process, or in a realm without services. */
const za_cluster_t *za_host_cluster(const za_realm_t *realm, uint32_t host);
bool za_host_find(const za_realm_t *realm, uint32_t host, uint64_t uid, za_member_info_t *out);
void za_host_each_member(const za_realm_t *realm, uint32_t host,
                         bool (*visit)(const za_member_info_t *info, void *context), void *context);
uint64_t za_host_view_hash(const za_realm_t *realm, uint32_t host);
uint64_t za_host_datagram_bytes(const za_realm_t *realm, uint32_t host); // sent, at the IP level

void za_host_start(za_realm_t *realm, uint32_t host);
/**
 * Starts all hosts, none of which runs, as members of one cluster: each is told of all others and is
 * accepted, as by the member that it joins. Links are made from then on. So a realm of ten thousand is
 * there after the 10^8 records that it must hold anyway, and not after the gossip of a mass start.
 */
void za_realm_form(za_realm_t *realm);
/** The process ends; its kernel says so to everybody (FIN), and refuses from then on. */
void za_host_crash(za_realm_t *realm, uint32_t host);
/** Nothing is heard of the host any more. */
void za_host_vanish(za_realm_t *realm, uint32_t host);
/** It starts under another address; another cluster's node has the old one if `reused`. Not a seed. */
void za_host_move(za_realm_t *realm, uint32_t host, bool reused);
void za_host_leave(za_realm_t *realm, uint32_t host);
void za_host_pause(za_realm_t *realm, uint32_t host, bool paused); // SIGSTOP, SIGCONT
/** Input waits while timers run. */
void za_host_starve(za_realm_t *realm, uint32_t host, bool starved);
/** Each input takes that long, handshakes as many times longer; 0: no time. */
void za_host_slow(za_realm_t *realm, uint32_t host, uint32_t service_us);
/** Its certificate is not accepted, or is again. */
void za_host_distrust(za_realm_t *realm, uint32_t host, bool distrusted);
/** Its certificate ends now, or it gets a new one. Each other host goes by its own wall clock. */
void za_host_expire(za_realm_t *realm, uint32_t host, bool expired);
/**
 * The machine stands still, and its clock with it: nothing reaches the host or leaves it. Afterwards it goes
 * on as if no time had passed.
 */
void za_host_suspend(za_realm_t *realm, uint32_t host, bool suspended);
/** Its monotonic clock jumps ahead. */
void za_host_jump(za_realm_t *realm, uint32_t host, uint32_t ahead_ms);
/** Its wall clock is so much behind; 0: right again, but for what clocks are always off. */
void za_host_set_back(za_realm_t *realm, uint32_t host, uint32_t behind_ms);
/** What sockets and queues of links hold, and steps may say at once; 0: as much as ever. */
void za_host_tighten(za_realm_t *realm, uint32_t host, uint32_t bytes);
/** From its next start on. */
void za_host_set_version(za_realm_t *realm, uint32_t host, za_host_version_t version);
za_host_version_t za_host_version(const za_realm_t *realm,
                                  uint32_t host);                 // of its process, or the last
uint64_t za_host_wall_ms(const za_realm_t *realm, uint32_t host); // since 1970, as it believes
/** Steps `event` at once; now_ms is set here. Nothing happens without a running process. */
void za_host_input(za_realm_t *realm, uint32_t host, const za_cluster_event_t *event);
/**
 * The same after `delay_us`, if the process still runs then; an oracle may do this at any time. Name,
 * bytes and spawn are copied.
 */
void za_host_post(za_realm_t *realm, uint32_t host, const za_cluster_event_t *event,
                  uint64_t delay_us);

/* ---- network ------------------------------------------------------------------------------ */

/** Begins a fault; the sets must stay until it ends. The answer names it. */
uint32_t za_realm_fault(za_realm_t *realm, const za_path_fault_t *fault);
void za_realm_heal(za_realm_t *realm, uint32_t fault);
/**
 * Frames of which `lose` says so are not sent, as if the driver had no room for them. No stream does
 * that by itself: it is for measuring what repairs the loss. NULL: none.
 */
typedef bool za_frame_loss_t(void *context, uint32_t from, uint32_t to, za_lane_t lane,
                             const uint8_t *bytes, uint32_t size);
void za_realm_set_loss(za_realm_t *realm, za_frame_loss_t *lose, void *context);
/** Resets all connections between two hosts. */
void za_realm_reset(za_realm_t *realm, uint32_t a, uint32_t b);

/* ---- the lease ---------------------------------------------------------------------------- */

/** The store that ZA_DOWNING_LEASE asks answers nobody, or all that it is not cut from, as at first. */
void za_realm_cut_lease(za_realm_t *realm, bool cut);
/** It does not answer that host, until it is told that it does. */
void za_host_cut_lease(za_realm_t *realm, uint32_t host, bool cut);
/** Who holds the lease now; 0: nobody. */
uint64_t za_realm_lease_holder(const za_realm_t *realm);

/* ---- looking ------------------------------------------------------------------------------ */

uint64_t za_realm_hash(const za_realm_t *realm);
void za_realm_stats(const za_realm_t *realm, za_realm_stats_t *out);
/** One line for each event and effect of `host` (UINT32_MAX: of all). */
void za_realm_trace(za_realm_t *realm, uint32_t host, void (*line)(void *context, const char *text),
                    void *context);
