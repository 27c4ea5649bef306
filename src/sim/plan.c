#include "sim/plan.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/rng.h"

enum {
    TCP_MS = 15000, // until a connection of which nothing is heard is given up
    HANDSHAKE_MS = 9,
    MESH_NODES = 64, // up to which everybody links to everybody
    BENIGN_LOSS_PPM = 50000,
    BENIGN_DELAY_US = 20000,  // well below the least probe time-out
    BENIGN_WALL_MS = 1800000, // certificates are made an hour before they are used
    PAIR_NODES_MIN = 4,
    PAIR_LENGTH_MIN_MS = 5000, // long enough to be noticed
    PAIR_LENGTH_MAX_MS = 120000,
};

const char *za_fault_kind_name(za_fault_kind_t kind)
{
    static const char *const names[ZA_FAULT_KINDS] = {
        [ZA_FAULT_CRASH] = "crash",
        [ZA_FAULT_VANISH] = "vanish",
        [ZA_FAULT_MOVE] = "move",
        [ZA_FAULT_REUSE] = "reuse",
        [ZA_FAULT_LEAVE] = "leave",
        [ZA_FAULT_PAUSE] = "pause",
        [ZA_FAULT_STARVE] = "starve",
        [ZA_FAULT_SLOW] = "slow",
        [ZA_FAULT_DISTRUST] = "distrust",
        [ZA_FAULT_EXPIRE] = "expire",
        [ZA_FAULT_SUSPEND] = "suspend",
        [ZA_FAULT_JUMP] = "jump",
        [ZA_FAULT_WALL] = "wall",
        [ZA_FAULT_TIGHT] = "tight",
        [ZA_FAULT_UPGRADE] = "upgrade",
        [ZA_FAULT_VERSION] = "version",
        [ZA_FAULT_LEASE] = "lease",
        [ZA_FAULT_PARTITION] = "partition",
        [ZA_FAULT_ONEWAY] = "oneway",
        [ZA_FAULT_REFUSE] = "refuse",
        [ZA_FAULT_FLAP] = "flap",
        [ZA_FAULT_LOSS] = "loss",
        [ZA_FAULT_BURST] = "burst",
        [ZA_FAULT_DELAY] = "delay",
        [ZA_FAULT_DUPLICATE] = "duplicate",
        [ZA_FAULT_REORDER] = "reorder",
        [ZA_FAULT_CORRUPT] = "corrupt",
        [ZA_FAULT_MTU] = "mtu",
        [ZA_FAULT_UDP] = "udp",
        [ZA_FAULT_RESET] = "reset",
    };
    return kind < ZA_FAULT_KINDS ? names[kind] : "?";
}

void za_fault_add_host(uint64_t *set, uint32_t host)
{
    ZA_ASSERT(host < ZA_PLAN_SET_HOSTS);
    set[host / 64] |= UINT64_C(1) << (host % 64);
}

bool za_fault_has_host(const uint64_t *set, uint32_t host)
{
    return host < ZA_PLAN_SET_HOSTS && (set[host / 64] >> (host % 64) & 1) != 0;
}

const za_cluster_timing_t *za_plan_timing_of(const za_plan_t *plan)
{
    return plan->timing == ZA_PLAN_LOCAL ? &za_cluster_timing_local : &za_cluster_timing_lan;
}

za_downing_config_t za_plan_downing_of(const za_plan_t *plan)
{
    return (za_downing_config_t){ .strategy = (za_downing_strategy_t)plan->downing,
                                  .quorum = plan->quorum };
}

/**
 * How long views may differ after the last fault: 30 probe intervals and a sync, and before these the
 * time until a member that was called down is met again, at its address or through a seed. TCP's own
 * times come on top, and the handshakes of all with all, on both sides, if everybody starts anew.
 */
uint32_t za_plan_settle_ms(const za_plan_t *plan)
{
    if (plan->settle_ms != 0) {
        return plan->settle_ms;
    }
    const za_cluster_timing_t *timing = za_plan_timing_of(plan);
    uint32_t mesh = plan->nodes < MESH_NODES ? plan->nodes : (uint32_t)MESH_NODES;
    // In consistency mode a view is given up after 30 intervals, and those who did gather anew.
    // Where all do, whoever does later than others sends these home once more, and some a third time.
    uint32_t rounds = plan->downing == ZA_DOWNING_NONE       ? 0
                      : plan->downing == ZA_DOWNING_DOWN_ALL ? 3
                                                             : 1;
    uint32_t decide_ms = rounds * 80 * timing->probe_interval_ms;
    return 30 * timing->probe_interval_ms + timing->sync_interval_ms + timing->auto_down_ms +
           decide_ms + 2 * timing->reconnect_interval_ms + timing->seed_interval_ms + TCP_MS +
           2 * mesh * HANDSHAKE_MS;
}

void za_plan_init(za_plan_t *plan, uint64_t seed, uint32_t nodes)
{
    memset(plan, 0, sizeof *plan);
    plan->seed = seed;
    plan->nodes = nodes;
    plan->duration_ms = 60000;
    plan->latency_us_min = 100;
    plan->latency_us_max = 500;
}

za_fault_t *za_plan_add(za_plan_t *plan, za_fault_kind_t kind, uint32_t start_ms,
                        uint32_t length_ms)
{
    ZA_ASSERT(plan->fault_count < ZA_PLAN_FAULTS_MAX);
    za_fault_t *fault = &plan->faults[plan->fault_count];
    memset(fault, 0, sizeof *fault);
    fault->kind = kind;
    fault->number = plan->fault_count++;
    fault->start_ms = start_ms;
    fault->length_ms = length_ms;
    return fault;
}

static uint32_t set_count(const uint64_t *set)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ZA_PLAN_SET_WORDS; i++) {
        count += (uint32_t)__builtin_popcountll(set[i]);
    }
    return count;
}

bool za_plan_has(const za_plan_t *plan, za_fault_kind_t kind)
{
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        if (plan->faults[i].kind == kind) {
            return true;
        }
    }
    return false;
}

bool za_fault_is_pair(const za_fault_t *fault)
{
    bool cuts = fault->kind == ZA_FAULT_PARTITION || fault->kind == ZA_FAULT_ONEWAY ||
                fault->kind == ZA_FAULT_REFUSE;
    return cuts && set_count(fault->a) == 1 && set_count(fault->b) == 1;
}

static bool fault_is_benign(const za_fault_t *fault)
{
    switch (fault->kind) {
    case ZA_FAULT_DELAY:
        return fault->amount <= BENIGN_DELAY_US;
    case ZA_FAULT_DUPLICATE:
        return true;
    case ZA_FAULT_REORDER:
        return (uint64_t)fault->period_ms * 1000 <= BENIGN_DELAY_US;
    case ZA_FAULT_WALL:
        return fault->amount <= BENIGN_WALL_MS;
    case ZA_FAULT_JUMP:
        return true; // a node that misses time blames itself
    case ZA_FAULT_CRASH:
    case ZA_FAULT_VANISH:
    case ZA_FAULT_LEAVE:
    case ZA_FAULT_UPGRADE:
        return true; // of others
    default:
        return false;
    }
}

/**
 * Over links alone a lost segment holds up all behind it, for 200 ms and twice as long each time that it is
 * lost again: with the timing of one host that is longer than a suspicion lasts.
 */
static uint32_t benign_loss_ppm(const za_plan_t *plan)
{
    return plan->datagrams != 0 || plan->timing != ZA_PLAN_LOCAL ? BENIGN_LOSS_PPM : 0;
}

bool za_plan_is_benign(const za_plan_t *plan)
{
    // With a strategy a side may give up of which each node is well.
    bool benign = plan->downing == ZA_DOWNING_NONE && plan->loss_ppm <= benign_loss_ppm(plan) &&
                  plan->latency_us_max <= BENIGN_DELAY_US && plan->late_us <= BENIGN_DELAY_US;
    uint32_t pairs = 0;
    uint32_t ends = 0;
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        const za_fault_t *fault = &plan->faults[i];
        bool pair = za_fault_is_pair(fault);
        pairs += pair;
        ends += fault->kind < ZA_FAULT_PARTITION;
        benign = benign && (pair || fault_is_benign(fault));
    }
    // Of four hosts two reach both of a pair; with one pair more, or an end, perhaps nobody does.
    return benign && (pairs == 0 || (pairs == 1 && ends == 0 && plan->nodes >= PAIR_NODES_MIN));
}

/* ---- drawing ---------------------------------------------------------------------------------- */

/** Log-uniform between the bounds: small values matter as much as large ones. */
static uint32_t draw_log(za_rng_t *rng, uint32_t min, uint32_t max)
{
    uint32_t doublings = 31u - (uint32_t)__builtin_clz(max / min);
    uint32_t octaves = doublings + (max > min << doublings); // the last one may be a part of one
    uint64_t exponent = za_rng_below(rng, octaves > 0 ? octaves : 1);
    uint64_t low = (uint64_t)min << exponent;
    uint64_t high = 2 * low < max ? 2 * low : max;
    uint64_t above = za_rng_below(rng, high - low + 1);
    return (uint32_t)(low + above);
}

static bool draw_coin(za_rng_t *rng)
{
    return za_rng_below(rng, 2) == 0;
}

/** Three to seven mostly; sometimes more, now and then one or two, rarely a thousand. */
static uint32_t draw_nodes(za_rng_t *rng)
{
    uint64_t dice = za_rng_below(rng, 1000);
    if (dice == 0) {
        return 1000;
    }
    if (dice < 650) {
        return 3 + (uint32_t)za_rng_below(rng, 5);
    }
    if (dice < 700) {
        return 1 + (uint32_t)za_rng_below(rng, 2);
    }
    return draw_log(rng, 8, 64);
}

static void draw_hosts(za_rng_t *rng, uint64_t *set, uint32_t nodes)
{
    uint64_t dice = za_rng_below(rng, 8);
    uint32_t count = dice < 5   ? 1
                     : dice < 7 ? 1 + (uint32_t)za_rng_below(rng, (nodes + 1) / 2)
                                : nodes;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t host = (uint32_t)za_rng_below(rng, nodes);
        za_fault_add_host(set, count == nodes ? i : host);
    }
}

/** A and the rest; or, seldom, two sets that leave others connected to both. */
static void draw_sides(za_rng_t *rng, za_fault_t *fault, uint32_t nodes)
{
    draw_hosts(rng, fault->a, nodes);
    bool transitive = za_rng_below(rng, 3) > 0;
    for (uint32_t i = 0; transitive && i < nodes; i++) {
        if (!za_fault_has_host(fault->a, i)) {
            za_fault_add_host(fault->b, i);
        }
    }
    if (!transitive) {
        draw_hosts(rng, fault->b, nodes);
    }
}

static void draw_everybody(za_rng_t *rng, za_fault_t *fault, uint32_t nodes)
{
    bool all = draw_coin(rng);
    for (uint32_t i = 0; all && i < nodes; i++) {
        za_fault_add_host(fault->a, i);
        za_fault_add_host(fault->b, i);
    }
    if (!all) {
        draw_sides(rng, fault, nodes);
    }
}

static void draw_amount(za_rng_t *rng, za_fault_t *fault)
{
    switch (fault->kind) {
    case ZA_FAULT_SLOW:
        fault->amount = draw_log(rng, 100, 20000);
        break;
    case ZA_FAULT_FLAP:
        fault->period_ms = draw_log(rng, 50, 5000);
        break;
    case ZA_FAULT_LOSS:
        fault->amount = draw_log(rng, 1000, 500000);
        break;
    case ZA_FAULT_BURST:
        fault->amount = draw_log(rng, 10000, 300000);
        fault->period_ms = draw_log(rng, 10, 1000);
        break;
    case ZA_FAULT_DELAY:
        fault->amount = draw_log(rng, 500, 1000000);
        break;
    case ZA_FAULT_DUPLICATE:
        fault->amount = draw_log(rng, 1000, 500000);
        break;
    case ZA_FAULT_REORDER:
        fault->amount = draw_log(rng, 1000, 500000);
        fault->period_ms = draw_log(rng, 1, 500);
        break;
    case ZA_FAULT_CORRUPT:
        fault->amount = draw_log(rng, 1000, 300000);
        break;
    case ZA_FAULT_MTU:
        fault->amount = draw_log(rng, 100, 1300);
        break;
    case ZA_FAULT_JUMP:
        fault->amount = draw_log(rng, 10, 120000);
        break;
    case ZA_FAULT_WALL:
        fault->amount = draw_log(rng, 100, 200000000); // more than two days
        break;
    case ZA_FAULT_TIGHT:
        fault->amount = draw_log(rng, 2048, 262144);
        break;
    default:
        break;
    }
}

static void draw_fault(za_rng_t *rng, za_plan_t *plan, za_fault_kind_t kind)
{
    uint32_t start_ms = (uint32_t)za_rng_below(rng, plan->duration_ms);
    uint32_t length_ms = draw_log(rng, 50, 30000);
    za_fault_t *fault = za_plan_add(plan, kind, start_ms, length_ms);
    draw_amount(rng, fault);
    if (kind < ZA_FAULT_PARTITION) {
        draw_hosts(rng, fault->a, plan->nodes);
    } else if (kind == ZA_FAULT_PARTITION || kind == ZA_FAULT_ONEWAY || kind == ZA_FAULT_REFUSE ||
               kind == ZA_FAULT_FLAP || kind == ZA_FAULT_RESET) {
        draw_sides(rng, fault, plan->nodes);
    } else {
        draw_everybody(rng, fault, plan->nodes);
    }
}

/** FoundationDB's swizzle: hosts are cut off one after another and come back in another order. */
static void draw_swizzle(za_rng_t *rng, za_plan_t *plan)
{
    uint32_t first_ms = (uint32_t)za_rng_below(rng, plan->duration_ms);
    uint32_t hosts = plan->nodes < 8 ? plan->nodes : 8;
    uint32_t start_ms = first_ms;
    for (uint32_t i = 0; i < hosts && plan->fault_count < ZA_PLAN_FAULTS_MAX; i++) {
        start_ms += draw_log(rng, 10, 2000);
        uint32_t length_ms = draw_log(rng, 500, 30000);
        za_fault_t *fault = za_plan_add(plan, ZA_FAULT_PARTITION, start_ms, length_ms);
        uint32_t host = (uint32_t)za_rng_below(rng, plan->nodes);
        za_fault_add_host(fault->a, host);
        for (uint32_t other = 0; other < plan->nodes; other++) {
            if (other != host) {
                za_fault_add_host(fault->b, other);
            }
        }
    }
}

/** One host after the other becomes a later version; then all are rolled back, as slowly. */
static void draw_upgrade(za_rng_t *rng, za_plan_t *plan)
{
    uint32_t start_ms = (uint32_t)za_rng_below(rng, plan->duration_ms);
    uint32_t gap_ms = draw_log(rng, 200, 10000);
    uint32_t length_ms = draw_log(rng, 1000, 60000);
    uint32_t hosts = plan->nodes < 8 ? plan->nodes : 8;
    uint32_t first = (uint32_t)za_rng_below(rng, plan->nodes);
    for (uint32_t i = 0; i < hosts && plan->fault_count < ZA_PLAN_FAULTS_MAX; i++) {
        za_fault_t *fault = za_plan_add(plan, ZA_FAULT_UPGRADE, start_ms + i * gap_ms, length_ms);
        za_fault_add_host(fault->a, (first + i) % plan->nodes);
    }
}

static void init_by_name(za_rng_t *rng, const za_plan_t *plan, const char *name)
{
    za_rng_init(rng, za_mix64(plan->seed) ^ za_fnv64(ZA_FNV64_INIT, name, strlen(name)));
}

/**
 * Where a strategy decides nobody moves: when all sides gave up, one that is back under another address
 * does not show that its former process is gone, and those who need to know wait for an operator.
 */
static bool fits(const za_plan_t *plan, za_fault_kind_t kind)
{
    switch (kind) {
    case ZA_FAULT_LEASE:
        return plan->downing == ZA_DOWNING_LEASE;
    case ZA_FAULT_MOVE:
    case ZA_FAULT_REUSE:
        return plan->downing == ZA_DOWNING_NONE;
    default:
        return true;
    }
}

static void draw_kind(za_plan_t *plan, za_fault_kind_t kind)
{
    za_rng_t rng;
    init_by_name(&rng, plan, za_fault_kind_name(kind));
    bool on = draw_coin(&rng) && fits(plan, kind);
    uint32_t count = draw_log(&rng, 1, 6);
    if (on && kind == ZA_FAULT_UPGRADE) {
        draw_upgrade(&rng, plan);
        return;
    }
    for (uint32_t i = 0; on && i < count; i++) {
        draw_fault(&rng, plan, kind);
    }
}

static void draw_faults(za_plan_t *plan)
{
    za_rng_t rng;
    for (int kind = 0; kind < ZA_FAULT_KINDS; kind++) {
        draw_kind(plan, (za_fault_kind_t)kind);
    }
    init_by_name(&rng, plan, "swizzle");
    if (draw_coin(&rng)) {
        draw_swizzle(&rng, plan);
    }
}

/** Classes that a benign run may have: those alone show whether healthy nodes stay up. */
static void draw_benign(za_rng_t *rng, za_plan_t *plan)
{
    static const za_fault_kind_t kinds[] = { ZA_FAULT_CRASH, ZA_FAULT_VANISH, ZA_FAULT_LEAVE,
                                             ZA_FAULT_DUPLICATE, ZA_FAULT_JUMP };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        bool on = draw_coin(rng);
        uint32_t count = draw_log(rng, 1, 4);
        for (uint32_t k = 0; on && k < count; k++) {
            draw_fault(rng, plan, kinds[i]);
        }
    }
    if (draw_coin(rng)) {
        draw_upgrade(rng, plan);
    }
}

/** Two hosts that do not reach each other, one way or both, by silence or a firewall with RST. */
static void draw_pair(za_rng_t *rng, za_plan_t *plan)
{
    static const za_fault_kind_t kinds[] = { ZA_FAULT_PARTITION, ZA_FAULT_ONEWAY, ZA_FAULT_REFUSE };
    za_fault_kind_t kind = kinds[za_rng_below(rng, sizeof kinds / sizeof kinds[0])];
    uint32_t start_ms = (uint32_t)za_rng_below(rng, plan->duration_ms);
    uint32_t length_ms = draw_log(rng, PAIR_LENGTH_MIN_MS, PAIR_LENGTH_MAX_MS);
    za_fault_t *fault = za_plan_add(plan, kind, start_ms, length_ms);
    uint32_t one = (uint32_t)za_rng_below(rng, plan->nodes);
    uint32_t other = (uint32_t)za_rng_below(rng, plan->nodes - 1);
    za_fault_add_host(fault->a, one);
    za_fault_add_host(fault->b, other < one ? other : other + 1);
}

static bool try_draw_pair(za_rng_t *rng, za_plan_t *plan)
{
    bool on = plan->nodes >= PAIR_NODES_MIN && draw_coin(rng);
    if (on) {
        draw_pair(rng, plan);
    }
    return on;
}

static void draw_strategy(za_rng_t *rng, za_plan_t *plan)
{
    static const za_downing_strategy_t strategies[] = {
        ZA_DOWNING_KEEP_MAJORITY, ZA_DOWNING_STATIC_QUORUM, ZA_DOWNING_KEEP_OLDEST,
        ZA_DOWNING_LEASE,         ZA_DOWNING_DOWN_ALL,
    };
    plan->downing = strategies[za_rng_below(rng, sizeof strategies / sizeof strategies[0])];
    plan->quorum = plan->downing == ZA_DOWNING_STATIC_QUORUM ? plan->nodes / 2 + 1 : 0;
}

/** A strategy for a third of all plans. */
static void try_draw_strategy(za_plan_t *plan)
{
    za_rng_t rng;
    init_by_name(&rng, plan, "downing");
    if (za_rng_below(&rng, 3) == 0 && plan->nodes >= 3) {
        draw_strategy(&rng, plan);
    }
}

void za_plan_draw(za_plan_t *plan, uint64_t seed, uint32_t nodes, bool services)
{
    za_rng_t rng;
    za_rng_init(&rng, seed);
    uint32_t drawn = draw_nodes(&rng);
    za_plan_init(plan, seed, nodes != 0 ? nodes : drawn);
    plan->services = services;
    plan->datagrams = draw_coin(&rng);
    plan->timing = draw_coin(&rng) ? ZA_PLAN_LAN : ZA_PLAN_LOCAL;
    plan->start_ms = draw_coin(&rng) ? 0 : draw_log(&rng, 1, 5000);
    plan->duration_ms = draw_log(&rng, 15000, 240000);
    plan->latency_us_min = draw_log(&rng, 20, 2000);
    plan->latency_us_max = plan->latency_us_min + draw_log(&rng, 10, 5000);
    plan->loss_ppm = draw_coin(&rng) ? 0 : draw_log(&rng, 100, BENIGN_LOSS_PPM);
    plan->duplicate_ppm = draw_coin(&rng) ? 0 : draw_log(&rng, 100, 50000);
    plan->drift_ppm = draw_coin(&rng) ? 0 : draw_log(&rng, 10, 500);
    plan->late_us = draw_coin(&rng) ? 0 : draw_log(&rng, 100, 10000);
    plan->work = services ? draw_log(&rng, 5, 500) : 0;
    plan->names = draw_coin(&rng) ? 0 : draw_log(&rng, 1, 16);
    if (za_rng_below(&rng, 5) > 0) {
        try_draw_strategy(plan);
        draw_faults(plan);
    } else if (!try_draw_pair(&rng, plan)) {
        draw_benign(&rng, plan);
    }
}

void za_plan_stretch(za_plan_t *plan)
{
    enum { LEAST_MS = 600000, MOST_MS = 30 * 3600000, NODE_S = 600000, OPERATIONS = 20000 };
    za_rng_t rng;
    za_rng_init(&rng, ~plan->seed);
    uint32_t before_ms = plan->duration_ms;
    uint32_t most_ms = NODE_S / plan->nodes * 1000;
    most_ms = most_ms < LEAST_MS ? LEAST_MS : most_ms < MOST_MS ? most_ms : (uint32_t)MOST_MS;
    plan->duration_ms = draw_log(&rng, LEAST_MS, most_ms);
    uint64_t per_100_s = UINT64_C(100) * OPERATIONS * 1000 / plan->duration_ms / plan->nodes + 1;
    plan->work = plan->work < per_100_s ? plan->work : (uint32_t)per_100_s;
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        za_fault_t *fault = &plan->faults[i];
        uint64_t start_ms = (uint64_t)fault->start_ms * plan->duration_ms / before_ms;
        fault->start_ms = (uint32_t)start_ms;
    }
}

/** Of a third of the cuts one direction is left, this one or that. */
static void draw_directions(za_plan_t *plan)
{
    za_rng_t rng;
    init_by_name(&rng, plan, za_fault_kind_name(ZA_FAULT_ONEWAY));
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        za_fault_t *fault = &plan->faults[i];
        bool one = za_rng_below(&rng, 3) == 0;
        bool back = draw_coin(&rng);
        if (fault->kind != ZA_FAULT_PARTITION || !one) {
            continue;
        }
        fault->kind = ZA_FAULT_ONEWAY;
        for (uint32_t word = 0; back && word < ZA_PLAN_SET_WORDS; word++) {
            uint64_t a = fault->a[word];
            fault->a[word] = fault->b[word];
            fault->b[word] = a;
        }
    }
}

void za_plan_draw_splits(za_plan_t *plan, uint64_t seed)
{
    enum { FAULTS = 4, CALM_MS = 45000, LENGTH_MIN_MS = 15000, LENGTH_MAX_MS = 40000 };
    za_rng_t rng;
    za_rng_init(&rng, seed);
    za_plan_init(plan, seed, 3 + (uint32_t)za_rng_below(&rng, 6));
    plan->services = 1;
    plan->datagrams = draw_coin(&rng);
    plan->work = draw_log(&rng, 5, 200);
    plan->loss_ppm = draw_coin(&rng) ? 0 : draw_log(&rng, 100, BENIGN_LOSS_PPM);
    draw_strategy(&rng, plan);
    uint32_t at_ms = CALM_MS;
    for (int i = 0; i < FAULTS; i++) {
        uint32_t length_ms = draw_log(&rng, LENGTH_MIN_MS, LENGTH_MAX_MS);
        bool crash = za_rng_below(&rng, 4) == 0;
        za_fault_t *fault =
            za_plan_add(plan, crash ? ZA_FAULT_CRASH : ZA_FAULT_PARTITION, at_ms, length_ms);
        for (uint32_t host = 0; host < plan->nodes; host++) {
            bool here = draw_coin(&rng);
            za_fault_add_host(here ? fault->a : fault->b, host);
        }
        at_ms += length_ms + CALM_MS;
    }
    plan->duration_ms = at_ms;
    draw_directions(plan);
}

/* ---- text ------------------------------------------------------------------------------------- */

typedef struct field {
    const char *name;
    size_t offset;
    uint32_t max;
} field_t;

#define FIELD(name, max)                                                                           \
    {                                                                                              \
#name, offsetof(za_plan_t, name), max                                                      \
    }

static const field_t fields[] = {
    FIELD(nodes, ZA_REALM_HOSTS_MAX),
    FIELD(services, 1),
    FIELD(datagrams, 1),
    FIELD(timing, ZA_PLAN_LOCAL),
    FIELD(downing, ZA_DOWNING_DOWN_ALL),
    FIELD(quorum, ZA_DOWNING_QUORUM_MAX),
    FIELD(names, ZA_NAMES_PER_NODE_MAX),
    FIELD(start_ms, 3600000),
    FIELD(duration_ms, 7 * 24 * 3600000),
    FIELD(settle_ms, 24 * 3600000),
    FIELD(latency_us_min, 10000000),
    FIELD(latency_us_max, 10000000),
    FIELD(loss_ppm, ZA_PER_MILLION),
    FIELD(duplicate_ppm, ZA_PER_MILLION),
    FIELD(drift_ppm, 10000),
    FIELD(late_us, 10000000),
    FIELD(work, 1000000),
};

enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

static void write_set(FILE *out, const char *name, const uint64_t *set)
{
    const char *before = "=";
    for (uint32_t host = 0; host < ZA_PLAN_SET_HOSTS; host++) {
        if (!za_fault_has_host(set, host)) {
            continue;
        }
        uint32_t last = host;
        while (za_fault_has_host(set, last + 1)) {
            last++;
        }
        if (before[0] == '=') {
            fprintf(out, " %s", name);
        }
        fprintf(out, "%s%u", before, host);
        if (last > host) {
            fprintf(out, "-%u", last);
        }
        before = ",";
        host = last;
    }
}

void za_plan_write(const za_plan_t *plan, FILE *out)
{
    fprintf(out, "zasim plan 1\nseed %llu\n", (unsigned long long)plan->seed);
    for (int i = 0; i < FIELD_COUNT; i++) {
        uint32_t value = *(const uint32_t *)(const void *)((const char *)plan + fields[i].offset);
        fprintf(out, "%s %u\n", fields[i].name, value);
    }
    for (uint32_t i = 0; i < plan->fault_count; i++) {
        const za_fault_t *fault = &plan->faults[i];
        fprintf(out, "fault %s number=%u at=%u for=%u", za_fault_kind_name(fault->kind),
                fault->number, fault->start_ms, fault->length_ms);
        if (fault->amount != 0) {
            fprintf(out, " amount=%u", fault->amount);
        }
        if (fault->period_ms != 0) {
            fprintf(out, " period=%u", fault->period_ms);
        }
        write_set(out, "a", fault->a);
        write_set(out, "b", fault->b);
        fputc('\n', out);
    }
}

static bool read_number(const char **at, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    const char *start = *at;
    for (; **at >= '0' && **at <= '9' && value <= max; (*at)++) {
        value = value * 10 + (uint64_t)(**at - '0');
    }
    *out = (uint32_t)value;
    return *at > start && value <= max;
}

/** "0-2,5" */
static bool read_set(const char *text, uint64_t *set)
{
    for (;;) {
        uint32_t first = 0;
        uint32_t last = 0;
        if (!read_number(&text, ZA_PLAN_SET_HOSTS - 1, &first)) {
            return false;
        }
        last = first;
        if (*text == '-') {
            text++;
            if (!read_number(&text, ZA_PLAN_SET_HOSTS - 1, &last) || last < first) {
                return false;
            }
        }
        for (uint32_t host = first; host <= last; host++) {
            za_fault_add_host(set, host);
        }
        if (*text == '\0') {
            return true;
        }
        if (*text++ != ',') {
            return false;
        }
    }
}

static bool read_word(za_fault_t *fault, const char *word)
{
    static const struct {
        const char *name;
        size_t offset;
    } numbers[] = {
        { "number=", offsetof(za_fault_t, number) },    { "at=", offsetof(za_fault_t, start_ms) },
        { "for=", offsetof(za_fault_t, length_ms) },    { "amount=", offsetof(za_fault_t, amount) },
        { "period=", offsetof(za_fault_t, period_ms) },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        size_t length = strlen(numbers[i].name);
        if (strncmp(word, numbers[i].name, length) == 0) {
            const char *value = word + length;
            uint32_t *out = (uint32_t *)(void *)((char *)fault + numbers[i].offset);
            return read_number(&value, 7 * 24 * 3600000, out) && *value == '\0';
        }
    }
    if (strncmp(word, "a=", 2) == 0) {
        return read_set(word + 2, fault->a);
    }
    return strncmp(word, "b=", 2) == 0 && read_set(word + 2, fault->b);
}

static bool read_fault(za_plan_t *plan, char *words)
{
    char *rest = NULL;
    const char *name = strtok_r(words, " \n", &rest);
    int kind = 0;
    while (name != NULL && kind < ZA_FAULT_KINDS &&
           strcmp(name, za_fault_kind_name((za_fault_kind_t)kind)) != 0) {
        kind++;
    }
    if (name == NULL || kind == ZA_FAULT_KINDS || plan->fault_count == ZA_PLAN_FAULTS_MAX) {
        return false;
    }
    za_fault_t *fault = za_plan_add(plan, (za_fault_kind_t)kind, 0, 0);
    for (const char *word = strtok_r(NULL, " \n", &rest); word != NULL;
         word = strtok_r(NULL, " \n", &rest)) {
        if (!read_word(fault, word)) {
            return false;
        }
    }
    return true;
}

static bool read_line(za_plan_t *plan, char *line)
{
    unsigned long long seed = 0;
    if (line[0] == '#' || line[0] == '\n') {
        return true;
    }
    if (strncmp(line, "fault ", 6) == 0) {
        return read_fault(plan, line + 6);
    }
    if (sscanf(line, "seed %llu", &seed) == 1) {
        plan->seed = seed;
        return true;
    }
    for (int i = 0; i < FIELD_COUNT; i++) {
        size_t length = strlen(fields[i].name);
        if (strncmp(line, fields[i].name, length) == 0 && line[length] == ' ') {
            const char *value = line + length + 1;
            uint32_t *out = (uint32_t *)(void *)((char *)plan + fields[i].offset);
            return read_number(&value, fields[i].max, out) && (*value == '\n' || *value == '\0');
        }
    }
    return false;
}

static bool plan_valid(const za_plan_t *plan)
{
    return plan->nodes > 0 && plan->duration_ms > plan->start_ms && plan->latency_us_min > 0 &&
           plan->latency_us_max >= plan->latency_us_min;
}

za_err_t za_plan_read(za_plan_t *plan, FILE *in, char *problem, size_t problem_bytes)
{
    char line[16384]; // a set of 1,024 hosts, each by its number
    za_plan_init(plan, 1, 0);
    int number = 1;
    if (fgets(line, sizeof line, in) == NULL || strcmp(line, "zasim plan 1\n") != 0) {
        snprintf(problem, problem_bytes, "line 1: not a plan of zasim");
        return ZA_EINVAL;
    }
    while (fgets(line, sizeof line, in) != NULL) {
        number++;
        if (!read_line(plan, line)) {
            snprintf(problem, problem_bytes, "line %d: not understood", number);
            return ZA_EINVAL;
        }
    }
    if (!plan_valid(plan)) {
        snprintf(problem, problem_bytes, "nodes, duration_ms or latency_us are out of bounds");
        return ZA_EINVAL;
    }
    za_downing_config_t downing = za_plan_downing_of(plan);
    if (!za_downing_config_valid(&downing)) {
        snprintf(problem, problem_bytes, "downing %u (%s) does not go with quorum %u",
                 plan->downing, za_downing_strategy_name(downing.strategy), plan->quorum);
        return ZA_EINVAL;
    }
    return ZA_OK;
}
